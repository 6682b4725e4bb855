/* request.h - one HTTP request while it is answered.
 *
 * Owned by its connection; lives until the reply has been handed over completely, also when the client goes away
 * (then `on_abort` runs and the reply goes nowhere). Its arena dies with it. A handler answers exactly once, in its
 * own call or later. */
#ifndef CW_HTTP_REQUEST_H
#define CW_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/parser.h"

struct cw_arena;
struct cw_conn_http;
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
	const char *path;                  /* decoded */
	struct cw_param path_params[8];
	unsigned npath_params;
	const char *body;                  /* whole body, NUL-terminated; NULL for a route that streams it */
	size_t body_len;
	int64_t start_us;                  /* monotonic */
	int64_t deadline_us;               /* monotonic; answer 503 after it */
	void *user;                        /* the handler's own; NULL at first */
	/* set by the auth layer before the handler runs */
	int64_t user_id, key_id;           /* 0: nobody */
	uint32_t roles;
	struct cw_conn_http *conn;         /* the server's */
};

/* Header by name without case; {NULL, 0} if absent, the first one if it came twice. */
struct cw_slice cw_request_header(const struct cw_request *req, const char *name);
const char *cw_request_path_param(const struct cw_request *req, const char *name);
/* Decodes the query string into arena memory: + is a space, %zz malformed is an error (400). Returns the count. */
int cw_request_query(struct cw_request *req, const struct cw_param **params, struct cw_err *err);

/* Runs when the client has gone or the server gives up on it, before the reply was sent; at most once. */
typedef void cw_abort_fn(void *arg, struct cw_request *req);
void cw_request_on_abort(struct cw_request *req, cw_abort_fn *fn, void *arg);

/* Routes with CW_ROUTE_STREAM_BODY get the body piece by piece; `last` comes once, perhaps with an empty piece. */
typedef void cw_body_fn(void *arg, struct cw_request *req, const char *piece, size_t len, bool last);
void cw_request_on_body(struct cw_request *req, cw_body_fn *fn, void *arg);
void cw_request_pause(struct cw_request *req);    /* stop reading from the client */
void cw_request_resume(struct cw_request *req);

#endif
