/* reply.h - the answer to a request. Headers first, then cw_reply_send, or begin / piece / end for a stream.
 *
 * Date, Content-Length or chunked framing, Connection, X-Request-Id, X-Content-Type-Options and, unless the handler
 * says otherwise, Cache-Control: no-store are set here; HEAD, 204 and 304 send no body. Nothing is written before the
 * turn ends, so that replies to pipelined requests go out together. After the last call the request may be gone. */
#ifndef CW_HTTP_REPLY_H
#define CW_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "http/parser.h"

struct cw_err;
struct cw_request;

void cw_reply_header(struct cw_request *req, const char *name, const char *value);   /* copied; CR, LF refused (bug) */
/* The body is copied out before it returns. `content_type` NULL: no body type header. */
void cw_reply_send(struct cw_request *req, int status, const char *content_type, const void *body, size_t len);
void cw_reply_json(struct cw_request *req, int status, const char *json, size_t len);

/* RFC 9457 problem document. `code` is stable and machine-readable ("transaction_invalid"). `errors_json` is a JSON
 * array of {"pointer","detail"} or NULL. */
struct cw_problem {
	int status;
	const char *code;
	const char *title;            /* NULL: the status's own text */
	const char *detail;
	const char *errors_json;
	int retry_after_s;            /* 0: no Retry-After header */
};
void cw_reply_problem(struct cw_request *req, const struct cw_problem *problem);
/* "GET, HEAD, POST" of bits of enum cw_method (HEAD where there is GET, and OPTIONS), for an Allow header. */
char *cw_allow_text(unsigned methods, char out[64]);
/* The one place where a cw_err becomes an answer. SQL texts and paths do not go out for 5xx; they are logged. */
void cw_reply_error(struct cw_request *req, const struct cw_err *err);

/* Streams: chunked on HTTP/1.1, until close on 1.0. */
void cw_reply_begin(struct cw_request *req, int status, const char *content_type);
/* Returns the bytes that wait for the client: pause producing above some 256 KiB and go on in on_drain. */
size_t cw_reply_piece(struct cw_request *req, const void *data, size_t len);
/* Runs when less than 64 KiB wait, after cw_reply_piece had returned more than 256 KiB. */
typedef void cw_drain_fn(void *arg, struct cw_request *req);
void cw_reply_on_drain(struct cw_request *req, cw_drain_fn *fn, void *arg);
void cw_reply_end(struct cw_request *req);
/* For a stream that cannot go on: the client sees it cut off. Ends the reply like cw_reply_end, without on_abort. */
void cw_reply_cut(struct cw_request *req);
bool cw_reply_begun(const struct cw_request *req);

const char *cw_status_text(int status);

#endif
