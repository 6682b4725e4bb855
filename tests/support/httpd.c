#include "support/httpd.h"

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "loop/loop.h"
#include "support/wire.h"

struct httpd httpd;

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void pump(void *arg)
{
	(void)arg;
	cw_loop_poll(httpd.loop);
}

/* ---- handlers ---- */

static void hello(void *arg, struct cw_request *req)
{
	(void)arg;
	cw_reply_send(req, 200, "text/plain", "hello", 5);
}

static void text(void *arg, struct cw_request *req)
{
	const struct cw_param *params;
	struct cw_err err;
	size_t n;
	char *bytes;

	(void)arg;
	if (cw_request_query(req, &params, &err) < 1) {
		cw_reply_error(req, &err);
		return;
	}
	n = strtoul(params[0].value, NULL, 10);
	bytes = malloc(n + 1);
	memset(bytes, 'x', n);
	cw_reply_send(req, 200, "text/plain", bytes, n);
	free(bytes);
}

static void item(void *arg, struct cw_request *req)
{
	const char *id = cw_request_path_param(req, "id");

	(void)arg;
	cw_reply_send(req, 200, "text/plain", id, strlen(id));
}

static void echo(void *arg, struct cw_request *req)
{
	(void)arg;
	ck_assert_uint_ge(req->body_len, strlen(req->body));
	cw_reply_send(req, 200, "application/octet-stream", req->body, req->body_len);
}

static void on_abort(void *arg, struct cw_request *req)
{
	(void)arg;
	(void)req;
	httpd.naborted++;
}

void httpd_park(void *arg, struct cw_request *req)
{
	(void)arg;
	ck_assert_int_lt(httpd.nparked, HTTPD_PARKED);
	httpd.parked[httpd.nparked++] = req;
	cw_request_on_abort(req, on_abort, NULL);
}

void httpd_answer(int i, const char *body)
{
	struct cw_request *req = httpd.parked[i];

	ck_assert_ptr_nonnull(req);
	httpd.parked[i] = NULL;
	httpd.nanswered++;
	cw_reply_send(req, 200, "text/plain", body, strlen(body));
}

/* ---- life ---- */

void httpd_route(enum cw_method method, const char *pattern, unsigned flags, cw_handler_fn *fn)
{
	struct cw_route route = { .method = method, .pattern = pattern, .flags = flags, .fn = fn };

	ck_assert_int_eq(cw_router_add(httpd.router, &route, NULL), 0);
}

struct cw_server_conf httpd_conf(void)
{
	struct cw_server_conf conf = cw_server_conf_default;

	conf.listen = "127.0.0.1:0";
	return conf;
}

void httpd_up(const struct cw_server_conf *conf)
{
	struct cw_route small = { .method = CW_METHOD_POST, .pattern = "/small", .body_limit = 10, .fn = echo };
	struct cw_err err;

	memset(&httpd, 0, sizeof(httpd));
	cw_log_set_level(NULL, CW_LOG_OFF);
	httpd.fds = open_fds();
	httpd.conf = conf != NULL ? *conf : httpd_conf();
	httpd.loop = cw_loop_new();
	httpd.router = cw_router_new();
	httpd_route(CW_METHOD_GET, "/hello", 0, hello);
	httpd_route(CW_METHOD_GET, "/text", 0, text);
	httpd_route(CW_METHOD_GET, "/item/{id}", 0, item);
	httpd_route(CW_METHOD_POST, "/echo", 0, echo);
	httpd_route(CW_METHOD_GET, "/park", 0, httpd_park);
	httpd_route(CW_METHOD_POST, "/park", 0, httpd_park);
	ck_assert_int_eq(cw_router_add(httpd.router, &small, NULL), 0);
	httpd.server = cw_server_new(httpd.loop, &httpd.conf, &err);
	ck_assert_msg(httpd.server != NULL, "%s", err.msg);
	cw_server_set_router(httpd.server, httpd.router);
	httpd.address = cw_server_address(httpd.server);
	wire_set_pump(pump, NULL);
}

void httpd_down(void)
{
	wire_set_pump(NULL, NULL);
	cw_server_free(&httpd.server);
	for (int i = 0; i < httpd.nparked; i++)
		if (httpd.parked[i] != NULL)
			httpd_answer(i, "late");
	cw_router_unref(&httpd.router);
	cw_loop_free(&httpd.loop);
	ck_assert_msg(open_fds() == httpd.fds, "descriptors are left open");
}

void httpd_wait_parked(int n)
{
	for (int i = 0; i < WIRE_MS && httpd.nparked < n; i++)
		wire_wait(1);
	ck_assert_int_eq(httpd.nparked, n);
}

void httpd_wait_connections(int n)
{
	for (int i = 0; i < WIRE_MS && cw_server_stats(httpd.server).connections != n; i++)
		wire_wait(1);
	ck_assert_int_eq(cw_server_stats(httpd.server).connections, n);
}

void httpd_wait_aborted(int n)
{
	for (int i = 0; i < WIRE_MS && httpd.naborted < n; i++)
		wire_wait(1);
	ck_assert_int_eq(httpd.naborted, n);
}
