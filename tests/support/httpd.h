/* httpd.h - an HTTP server inside a test, on port 0, kept running while a wire client waits.
 *
 * Routes: GET /hello, /text (its query parameter "n" bytes), /item/{id}; POST /echo, /small (body limit 10);
 * GET and POST /park: the request is kept until the test answers it; what else a test adds to `router`. */
#ifndef CW_TEST_HTTPD_H
#define CW_TEST_HTTPD_H

#include "http/reply.h"
#include "http/request.h"
#include "http/router.h"
#include "http/server.h"

#define HTTPD_PARKED 64

struct httpd {
	struct cw_loop *loop;
	struct cw_server *server;
	struct cw_router *router;
	struct cw_server_conf conf;
	const char *address;
	struct cw_request *parked[HTTPD_PARKED];   /* in order of arrival; NULL once answered */
	int nparked, nanswered, naborted;
	int fds;                                   /* open before it began */
};
extern struct httpd httpd;

/* Starts with `conf` (NULL: the defaults, on 127.0.0.1:0). */
void httpd_up(const struct cw_server_conf *conf);
struct cw_server_conf httpd_conf(void);
/* Checks that no descriptor is left open and no request is left. */
void httpd_down(void);
void httpd_route(enum cw_method method, const char *pattern, unsigned flags, cw_handler_fn *fn);
/* The handler of /park. */
void httpd_park(void *arg, struct cw_request *req);
/* Answers parked[i] with 200 and this text. */
void httpd_answer(int i, const char *text);
/* Waits until n requests have been parked, or connections are open. */
void httpd_wait_parked(int n);
void httpd_wait_connections(int n);
void httpd_wait_aborted(int n);

#endif
