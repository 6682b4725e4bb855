/* router.h - method + pattern -> handler. Built aside, then swapped as a whole; requests keep the one they began with.
 * Literal segments win over parameters, but do not hide them from methods they do not have. */
#ifndef CW_HTTP_ROUTER_H
#define CW_HTTP_ROUTER_H

#include <stdint.h>

#include "http/request.h"

struct cw_err;
struct cw_metric;
struct cw_router;

typedef void cw_handler_fn(void *arg, struct cw_request *req);

enum cw_route_flags { CW_ROUTE_STREAM_BODY = 1, CW_ROUTE_NO_ACCESS_LOG = 2 };

struct cw_route {
	enum cw_method method;
	const char *pattern;          /* "/api/v1/anomalies/{id}": literal segments win over parameters */
	unsigned flags;
	uint64_t body_limit;          /* bytes, 0: the server's */
	int64_t timeout_ms;           /* for the answer, 0: the server's */
	uint32_t roles;               /* any of these may call it; 0: everybody (auth layer's bits) */
	cw_handler_fn *fn;
	void *arg;
};

struct cw_router *cw_router_new(void);
struct cw_router *cw_router_ref(struct cw_router *router);
void cw_router_unref(struct cw_router **router);
/* Called when the last reference goes (a generation of scripts hangs on it). */
void cw_router_on_free(struct cw_router *router, void (*fn)(void *arg), void *arg);
/* Copies the route. Fails on a malformed pattern and on one that is already there for this method. HEAD is answered
 * by GET routes. */
int cw_router_add(struct cw_router *router, const struct cw_route *route, struct cw_err *err);
/* NULL: no such path (*allowed is 0) or not with this method (*allowed has the methods, for the Allow header). Fills
 * path, path_params and route of the request. */
const struct cw_route *cw_router_match(const struct cw_router *router, struct cw_request *req, unsigned *allowed);
int cw_router_count(const struct cw_router *router);

#endif
