/* request.h - one HTTP request while it is answered.
 *
 * Owned by its connection; lives until the reply has been handed over completely, also when the client goes away
 * (then `on_abort` runs and the reply goes nowhere). Its arena dies with it. A handler answers exactly once, in its
 * own call or later, also after on_abort: the answer is what gives the request back. Pipelined requests with safe
 * methods may run side by side, any other waits until those before it are answered (RFC 9112 9.3.2). */
#ifndef CW_HTTP_REQUEST_H
#define CW_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/parser.h"

struct cw_arena;
struct cw_peer;
struct cw_err;
struct cw_problem;
struct cw_request;
struct cw_route;

struct cw_param { const char *name; const char *value; size_t len; };   /* decoded, NUL-terminated */

struct cw_request {
	uint32_t magic;
	const struct cw_head *head;
	const struct cw_route *route;      /* NULL: none matched */
	struct cw_arena *arena;
	char id[65];                       /* X-Request-Id, taken from the client if it is harmless, else made */
	char remote[64];                   /* address without port */
	const char *path;                  /* decoded; valid UTF-8 without NUL */
	struct cw_param path_params[8];
	unsigned npath_params;
	const char *body;                  /* whole body, NUL-terminated ("" if none); NULL for a route that streams it */
	size_t body_len;
	int64_t start_us;                  /* monotonic; when the head was complete */
	int64_t deadline_us;               /* monotonic; the server answers 503 after it unless a reply has begun. The clock
	                                    * starts when the body is complete; a handler may move it */
	void *user;                        /* the handler's own; NULL at first */
	/* set by the auth layer before the handler runs */
	int64_t user_id, key_id, session_id;   /* 0: nobody; key or session, not both */
	uint32_t roles;
	struct cw_peer *conn;         /* the server's */
};

/* Header by name without case; {NULL, 0} if absent, the first one if it came twice. */
struct cw_slice cw_request_header(const struct cw_request *req, const char *name);
/* Whether the media type of a Content-Type field, its parameters aside, is this one. */
bool cw_media_is(struct cw_slice field, const char *type);
/* Whether a body may be read as JSON: yes where nothing is named, where it says so (application/json, +json) and names no
 * charset but UTF-8, and for what clients name when nobody told them (application/x-www-form-urlencoded: `curl -d`). */
bool cw_media_json(struct cw_slice field);
const char *cw_request_path_param(const struct cw_request *req, const char *name);
/* Decodes the query string into arena memory, in order, names without value as "": + is a space. Returns the count, or
 * -1 with CW_ERR_INVALID for malformed escapes, NUL, bytes that are not UTF-8, and more than 128 parameters. */
int cw_request_query(struct cw_request *req, const struct cw_param **params, struct cw_err *err);

/* Runs when the client has gone or the server gives up on it, before the reply was sent; at most once, never from
 * within a call of this layer's. The handler still has to answer; it may do so in here. A client that has only closed
 * its sending side is taken for gone when nothing could be sent to it for a while (server.h, half_close_ms). */
typedef void cw_abort_fn(void *arg, struct cw_request *req);
void cw_request_on_abort(struct cw_request *req, cw_abort_fn *fn, void *arg);

/* Routes with CW_ROUTE_STREAM_BODY are called when the head is there and get the body piece by piece; `last` comes
 * once, with an empty piece. To be asked for in the handler's own call or while paused; the body is dropped otherwise,
 * and after the answer. */
typedef void cw_body_fn(void *arg, struct cw_request *req, const char *piece, size_t len, bool last);
void cw_request_on_body(struct cw_request *req, cw_body_fn *fn, void *arg);
void cw_request_pause(struct cw_request *req);    /* stop reading from the client; its clock stands still */
void cw_request_resume(struct cw_request *req);   /* pieces come in a later turn */
/* For a gate that could not decide at once: goes on with the request, in a later turn. */
void cw_request_proceed(struct cw_request *req);

#endif
