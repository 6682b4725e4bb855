/* The smallest server on the http layer, to be set beside nginx: GET /health answers 20 bytes.
 *
 * usage: http_hello ADDRESS [CERT KEY]; prints the address it listens on, ends on SIGTERM or SIGINT. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "http/reply.h"
#include "http/router.h"
#include "http/server.h"
#include "loop/loop.h"

static void health(void *arg, struct cw_request *req)
{
	(void)arg;
	cw_reply_json(req, 200, "{\"status\":\"healthy\"}", 20);
}

static void on_signal(void *arg, int signal)
{
	(void)signal;
	cw_loop_stop(arg);
}

int main(int argc, char **argv)
{
	struct cw_server_conf conf = cw_server_conf_default;
	struct cw_router *router = cw_router_new();
	struct cw_loop *loop = cw_loop_new();
	struct cw_server *server;
	struct cw_err err;

	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: http_hello ADDRESS [CERT KEY]\n");
		return 2;
	}
	conf.listen = argv[1];
	if (argc == 4) {
		conf.tls_cert = argv[2];
		conf.tls_key = argv[3];
	}
	server = cw_server_new(loop, &conf, &err);
	if (server == NULL || cw_router_add(router, &(struct cw_route){ .method = CW_METHOD_GET, .pattern = "/health",
	                                                                 .fn = health }, &err) != 0) {
		fprintf(stderr, "http_hello: %s\n", err.msg);
		return 1;
	}
	cw_server_set_router(server, router);
	cw_router_unref(&router);
	cw_loop_on_signal(loop, SIGTERM, on_signal, loop);
	cw_loop_on_signal(loop, SIGINT, on_signal, loop);
	printf("%s\n", cw_server_address(server));
	fflush(stdout);
	cw_loop_run(loop);
	cw_server_free(&server);
	cw_loop_free(&loop);
	return 0;
}
