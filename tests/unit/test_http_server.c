/* Requests and replies over real sockets: what is served, what is refused, in which order. */
#include "http/server.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "support/httpd.h"
#include "support/wire.h"

#define H "Host: test\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" H "\r\n"

static void up(void)
{
	httpd_up(NULL);
}

static void down(void)
{
	httpd_down();
	cw_metrics_free();
}

static void expect(struct wire *w, int status, const char *body)
{
	struct wire_reply r = wire_read(w, false);

	ck_assert_msg(r.status == status, "status %d instead of %d: %s%s", r.status, status, r.head, r.body);
	ck_assert(!r.cut);
	if (body != NULL)
		ck_assert_str_eq(r.body, body);
}

/* Sends one request on a connection of its own and returns the status; the connection has to end when `ends`. */
static int ask(const char *request, size_t len, bool ends, char *body, size_t size)
{
	struct wire *w = wire_open(httpd.address);
	struct wire_reply r;

	ck_assert_int_eq(wire_send(w, request, len), (long)len);
	r = wire_read(w, false);
	if (body != NULL)
		snprintf(body, size, "%s", r.body);
	if (ends)
		ck_assert_msg(wire_ends(w, WIRE_MS), "one answer and then the end: %s", request);
	wire_close(&w);
	return r.status;
}

START_TEST(a_reply_has_the_headers_it_needs)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	ck_assert_str_eq(wire_header(w, "content-length"), "5");
	ck_assert_str_eq(wire_header(w, "content-type"), "text/plain");
	ck_assert_str_eq(wire_header(w, "x-content-type-options"), "nosniff");
	ck_assert_str_eq(wire_header(w, "cache-control"), "no-store");
	ck_assert_uint_eq(strlen(wire_header(w, "x-request-id")), 32);
	ck_assert_ptr_null(wire_header(w, "connection"));
	ck_assert_ptr_nonnull(strstr(wire_header(w, "date"), " GMT"));
	ck_assert_uint_eq(strlen(wire_header(w, "date")), strlen("Sun, 06 Nov 1994 08:49:37 GMT"));
	wire_close(&w);
}
END_TEST

START_TEST(a_connection_serves_many_requests)
{
	struct wire *w = wire_open(httpd.address);
	char first[64];

	for (int i = 0; i < 50; i++) {
		wire_puts(w, GET("/hello"));
		expect(w, 200, "hello");
		if (i == 0)
			snprintf(first, sizeof(first), "%s", wire_header(w, "x-request-id"));
		else
			ck_assert_str_ne(wire_header(w, "x-request-id"), first);
	}
	ck_assert_uint_eq(cw_server_stats(httpd.server).accepted, 1);
	ck_assert_uint_eq(cw_server_stats(httpd.server).requests, 50);
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
	wire_close(&w);
	httpd_wait_connections(0);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	struct wire *w = wire_open(httpd.address);
	struct cw_buf all = CW_BUF_INIT;
	char body[16];

	for (int i = 0; i < 2000; i++)
		cw_buf_printf(&all, i % 5 == 0 ? "POST /echo HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\n%06d"
		                               : "GET /item/%06d HTTP/1.1\r\n" H "\r\n", i);
	ck_assert_int_eq(wire_send(w, all.data, all.len), (long)all.len);
	for (int i = 0; i < 2000; i++) {
		snprintf(body, sizeof(body), "%06d", i);
		expect(w, 200, body);
	}
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	cw_buf_release(&all);
	wire_close(&w);
}
END_TEST

START_TEST(bytes_may_come_one_by_one)
{
	static const char bytes[] = "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	                            GET("/hello");
	struct wire *w = wire_open(httpd.address);

	for (size_t i = 0; i + 1 < sizeof(bytes); i++) {
		ck_assert_int_eq(wire_send(w, bytes + i, 1), 1);
		cw_loop_poll(httpd.loop);
	}
	expect(w, 200, "abc");
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(a_slow_reply_holds_back_later_ones)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, GET("/park") GET("/hello") GET("/park"));
	httpd_wait_parked(2);   /* safe methods run side by side */
	httpd_answer(1, "third");
	wire_wait(20);
	ck_assert(!wire_ends(w, 0));
	httpd_answer(0, "first");
	expect(w, 200, "first");
	expect(w, 200, "hello");
	expect(w, 200, "third");
	wire_close(&w);
}
END_TEST

START_TEST(an_unsafe_request_waits_and_is_waited_for)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, GET("/park") "POST /park HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx" GET("/park"));
	httpd_wait_parked(1);
	wire_wait(20);
	ck_assert_int_eq(httpd.nparked, 1);
	httpd_answer(0, "get");
	httpd_wait_parked(2);
	wire_wait(20);
	ck_assert_msg(httpd.nparked == 2, "the second GET must see what the POST did");
	httpd_answer(1, "post");
	httpd_wait_parked(3);
	httpd_answer(2, "get again");
	expect(w, 200, "get");
	expect(w, 200, "post");
	expect(w, 200, "get again");
	wire_close(&w);
}
END_TEST

START_TEST(pipeline_is_bounded)
{
	struct wire *w = wire_open(httpd.address);

	for (int i = 0; i < 40; i++)
		wire_puts(w, GET("/park"));
	httpd_wait_parked(16);
	wire_wait(30);
	ck_assert_int_eq(httpd.nparked, 16);
	for (int i = 0; i < 40; i++) {
		httpd_wait_parked(i + 16 < 40 ? i + 16 : 40);
		httpd_answer(i, "x");
		expect(w, 200, "x");
	}
	wire_close(&w);
}
END_TEST

START_TEST(bodies_come_whole)
{
	struct wire *w = wire_open(httpd.address);
	size_t size = 3000000;
	char *bytes = malloc(size), head[200];
	struct wire_reply r;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)random();
	snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", size);
	wire_puts(w, head);
	ck_assert_int_eq(wire_send(w, bytes, size), (long)size);
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 200);
	ck_assert_uint_eq(r.len, size);
	ck_assert(memcmp(r.body, bytes, size) == 0);
	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0; at < size; at += 100000) {
		snprintf(head, sizeof(head), "%x\r\n", 100000);
		wire_puts(w, head);
		ck_assert_int_eq(wire_send(w, bytes + at, 100000), 100000);
		wire_puts(w, "\r\n");
	}
	wire_puts(w, "0\r\n\r\n");
	r = wire_read(w, false);
	ck_assert_uint_eq(r.len, size);
	ck_assert(memcmp(r.body, bytes, size) == 0);
	free(bytes);
	wire_close(&w);
}
END_TEST

START_TEST(no_body_is_an_empty_one)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "\r\n");
	expect(w, 200, "");
	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n");
	expect(w, 200, "");
	wire_close(&w);
}
END_TEST

START_TEST(head_has_no_body_and_keeps_the_framing)
{
	struct wire *w = wire_open(httpd.address);
	struct wire_reply r;

	wire_puts(w, "HEAD /hello HTTP/1.1\r\n" H "\r\nHEAD /none HTTP/1.1\r\n" H "\r\n" GET("/hello"));
	r = wire_read(w, true);
	ck_assert_int_eq(r.status, 200);
	ck_assert_str_eq(wire_header(w, "content-length"), "5");
	r = wire_read(w, true);
	ck_assert_int_eq(r.status, 404);
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(continue_is_sent_when_the_body_is_wanted)
{
	struct wire *w = wire_open(httpd.address);
	struct wire_reply r;

	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 100);
	wire_puts(w, "hi");
	expect(w, 200, "hi");
	wire_close(&w);
}
END_TEST

START_TEST(continue_is_not_sent_for_what_is_refused)
{
	static const char *const requests[] = {
		"POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n",
		"POST /none HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
		"POST /hello HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n",
	};
	static const int status[] = { 413, 404, 405, 417 };

	ck_assert_int_eq(ask(requests[_i], strlen(requests[_i]), true, NULL, 0), status[_i]);
}
END_TEST

START_TEST(a_route_has_its_own_body_limit)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "POST /small HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123456789");
	expect(w, 200, "0123456789");
	wire_puts(w, "POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n01234\r\n0\r\n\r\n");
	expect(w, 413, NULL);
	ck_assert_str_eq(wire_header(w, "connection"), "close");
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

/* The client sends all of it before it reads; the answer must survive that. */
START_TEST(a_refused_upload_still_hears_why)
{
	struct wire *w = wire_open(httpd.address);
	char *bytes = calloc(1, 3000000);

	wire_puts(w, "POST /small HTTP/1.1\r\n" H "Content-Length: 3000000\r\n\r\n");
	wire_send(w, bytes, 3000000);
	expect(w, 413, NULL);
	ck_assert(wire_ends(w, WIRE_MS));
	free(bytes);
	wire_close(&w);
}
END_TEST

START_TEST(an_unwanted_small_body_costs_no_connection)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "POST /none HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab");
	expect(w, 404, NULL);
	wire_puts(w, "cde" "POST /hello HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
	             "2\r\nhi\r\n0\r\n\r\n" GET("/hello"));
	expect(w, 405, NULL);
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(an_unwanted_large_body_ends_the_connection)
{
	struct wire *w = wire_open(httpd.address);
	char chunk[5 + 1024 + 2 + 1];

	snprintf(chunk, sizeof(chunk), "400\r\n%01024d\r\n", 0);
	wire_puts(w, "POST /none HTTP/1.1\r\n" H "Content-Length: 70000\r\n\r\nab");
	expect(w, 404, NULL);
	ck_assert_str_eq(wire_header(w, "connection"), "close");
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
	w = wire_open(httpd.address);
	wire_puts(w, "POST /none HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	expect(w, 404, NULL);
	for (int i = 0; i < 60; i++)   /* below the limit of what is dropped for the sake of the connection */
		ck_assert_int_eq(wire_send(w, chunk, sizeof(chunk) - 1), (long)sizeof(chunk) - 1);
	ck_assert(!wire_ends(w, 20));
	for (int i = 0; i < 10; i++)
		wire_send(w, chunk, sizeof(chunk) - 1);
	ck_assert_msg(wire_ends(w, WIRE_MS), "endless chunks for nobody must end");
	wire_close(&w);
}
END_TEST

static const struct { const char *request; int status; } refused[] = {
	{ "GET /hello HTTP/1.1\r\n\r\n", 400 },
	{ "GET /hello HTTP/1.1\r\n" H H "\r\n", 400 },
	{ "GET /hello HTTP/1.1\r\n" H "X : y\r\n\r\n", 400 },
	{ "GET /hello HTTP/1.1\nHost: test\n\n", 400 },
	{ "GET /he llo HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET /%zz HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET /item/%ff HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET /hello\r\n\r\n", 400 },
	{ "\x16\x03\x01", 400 },
	{ "GET /hello HTTP/2.0\r\n\r\n", 505 },
	{ "BREW /hello HTTP/1.1\r\n" H "\r\n", 501 },
	{ "POST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400 },
	{ "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501 },
	{ "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400 },
	{ "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400 },
	{ "POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999\r\n\r\n", 413 },
};

/* One answer, a problem document, and the end; what follows in the same bytes is not looked at. */
START_TEST(what_is_refused_is_answered_once)
{
	char body[2048], bytes[4096];

	snprintf(bytes, sizeof(bytes), "%s%s%s", refused[_i].request, GET("/hello"), GET("/hello"));
	ck_assert_int_eq(ask(bytes, strlen(bytes), true, body, sizeof(body)), refused[_i].status);
	ck_assert_ptr_nonnull(strstr(body, "\"type\":\"urn:chainwatch:problem:"));
	ck_assert_ptr_nonnull(strstr(body, "\"detail\":"));
	ck_assert_ptr_nonnull(strstr(body, "\"request_id\":"));
	wire_wait(5);
	ck_assert_int_eq(cw_server_stats(httpd.server).connections, 0);
}
END_TEST

START_TEST(limits_of_the_head)
{
	struct cw_buf r = CW_BUF_INIT;

	cw_buf_puts(&r, "GET /");
	for (int i = 0; i < 9000; i++)
		cw_buf_putc(&r, 'a');
	ck_assert_int_eq(ask(r.data, r.len, true, NULL, 0), 414);
	cw_buf_clear(&r);
	cw_buf_puts(&r, "GET /hello HTTP/1.1\r\n" H);
	for (int i = 0; i < 17000; i++)
		cw_buf_puts(&r, "X: y\r\n");
	ck_assert_int_eq(ask(r.data, r.len, true, NULL, 0), 431);
	cw_buf_clear(&r);
	cw_buf_puts(&r, "GET /hello HTTP/1.1\r\n" H "X: ");
	for (int i = 0; i < 17000; i++)
		cw_buf_putc(&r, 'a');
	ck_assert_int_eq(ask(r.data, r.len, true, NULL, 0), 431);
	cw_buf_release(&r);
}
END_TEST

START_TEST(earlier_requests_are_answered_before_an_error)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, GET("/hello") GET("/park") "GET / HTTP/1.1\r\n\r\n" GET("/hello"));
	httpd_wait_parked(1);
	httpd_answer(0, "parked");
	expect(w, 200, "hello");
	expect(w, 200, "parked");
	expect(w, 400, NULL);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(a_damaged_body_is_refused_after_the_head_was_fine)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	wire_wait(5);
	wire_puts(w, "zz\r\n");
	expect(w, 400, NULL);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(a_half_request_is_refused)
{
	static const char *const requests[] = { "GET /hello HTTP/1.1\r\nHos",
		                                    "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabc" };
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, requests[_i]);
	wire_half_close(w);
	expect(w, 400, NULL);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(methods_and_paths)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "DELETE /park HTTP/1.1\r\n" H "\r\n");
	expect(w, 405, NULL);
	ck_assert_str_eq(wire_header(w, "allow"), "GET, HEAD, POST, OPTIONS");
	ck_assert_str_eq(wire_header(w, "content-type"), "application/problem+json");
	wire_puts(w, "OPTIONS /park HTTP/1.1\r\n" H "\r\n");
	expect(w, 204, "");
	ck_assert_str_eq(wire_header(w, "allow"), "GET, HEAD, POST, OPTIONS");
	ck_assert_ptr_null(wire_header(w, "content-length"));
	wire_puts(w, "OPTIONS * HTTP/1.1\r\n" H "\r\n");
	expect(w, 204, "");
	ck_assert_str_eq(wire_header(w, "allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	wire_puts(w, "OPTIONS /none HTTP/1.1\r\n" H "\r\n");
	expect(w, 404, NULL);
	wire_puts(w, GET("/hello/"));
	expect(w, 404, NULL);
	wire_puts(w, GET("/item/a%2Fb%C3%A9"));
	expect(w, 200, "a/b\xc3\xa9");
	wire_puts(w, "GET http://test/item/7?q HTTP/1.1\r\n" H "\r\n");
	expect(w, 200, "7");
	wire_close(&w);
}
END_TEST

START_TEST(http_1_0)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	expect(w, 200, "hello");
	ck_assert_str_eq(wire_header(w, "connection"), "keep-alive");
	wire_puts(w, "GET /hello HTTP/1.0\r\n\r\n" GET("/hello"));
	expect(w, 200, "hello");
	ck_assert_str_eq(wire_header(w, "connection"), "close");
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(nothing_is_taken_after_close)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "GET /park HTTP/1.1\r\n" H "Connection: close\r\n\r\n" GET("/park"));
	httpd_wait_parked(1);
	wire_wait(20);
	ck_assert_int_eq(httpd.nparked, 1);
	httpd_answer(0, "last");
	expect(w, 200, "last");
	ck_assert_str_eq(wire_header(w, "connection"), "close");
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(request_ids_are_taken_over_if_harmless)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "GET /hello HTTP/1.1\r\n" H "X-Request-ID: Az-09_.z\r\n\r\n");
	expect(w, 200, NULL);
	ck_assert_str_eq(wire_header(w, "x-request-id"), "Az-09_.z");
	wire_puts(w, "GET /hello HTTP/1.1\r\n" H "X-Request-ID: a b\"c\r\n\r\n");
	expect(w, 200, NULL);
	ck_assert_uint_eq(strlen(wire_header(w, "x-request-id")), 32);
	wire_puts(w, "GET /hello HTTP/1.1\r\n" H "X-Request-ID: "
	             "01234567890123456789012345678901234567890123456789012345678901234\r\n\r\n");
	expect(w, 200, NULL);
	ck_assert_uint_eq(strlen(wire_header(w, "x-request-id")), 32);
	wire_close(&w);
}
END_TEST

/* ---- the gate ---- */

static int gate_mode;   /* 0: pass, 1: refuse, 2: hold, 3: hold until it is aborted */
static struct cw_request *held;

static void answer_held(void *arg, struct cw_request *req)
{
	(void)arg;
	held = NULL;
	cw_request_proceed(req);   /* one way to give it back */
}

static bool gate(void *arg, struct cw_request *req)
{
	(void)arg;
	if (gate_mode == 0)
		return true;
	if (gate_mode >= 2)
		held = req;
	if (gate_mode == 3)
		cw_request_on_abort(req, answer_held, NULL);
	if (gate_mode == 1)
		cw_reply_problem(req, &(struct cw_problem){ .status = 401, .code = "unauthorized" });
	return false;
}

START_TEST(the_gate_can_refuse)
{
	struct wire *w = wire_open(httpd.address);

	cw_server_set_gate(httpd.server, gate, NULL);
	gate_mode = 1;
	wire_puts(w, "POST /park HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc" GET("/none"));
	expect(w, 401, NULL);
	expect(w, 401, NULL);
	gate_mode = 0;
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	ck_assert_int_eq(httpd.nparked, 0);
	wire_close(&w);
}
END_TEST

START_TEST(the_gate_can_hold)
{
	struct wire *w = wire_open(httpd.address);

	cw_server_set_gate(httpd.server, gate, NULL);
	gate_mode = 2;
	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc" GET("/hello"));
	wire_wait(20);
	ck_assert_ptr_nonnull(held);
	gate_mode = 0;
	cw_request_proceed(held);
	expect(w, 200, "abc");
	expect(w, 200, "hello");
	gate_mode = 2;
	held = NULL;
	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
	wire_wait(20);
	gate_mode = 0;
	cw_reply_problem(held, &(struct cw_problem){ .status = 403, .code = "denied" });
	wire_puts(w, GET("/hello"));
	expect(w, 403, NULL);
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(a_held_request_may_lose_its_client)
{
	for (int answer = 0; answer < 2; answer++) {
		struct wire *w = wire_open(httpd.address);

		cw_server_set_gate(httpd.server, gate, NULL);
		gate_mode = 2;
		held = NULL;
		wire_puts(w, GET("/hello"));
		wire_wait(20);
		ck_assert_ptr_nonnull(held);
		wire_reset(&w);
		httpd_wait_connections(0);
		if (answer)
			cw_reply_problem(held, &(struct cw_problem){ .status = 403, .code = "denied" });
		else
			cw_request_proceed(held);
	}
}
END_TEST

START_TEST(a_gate_that_never_decides_is_answered_for)
{
	struct cw_server_conf conf = httpd_conf();
	struct wire *w;

	conf.reply_ms = 30;
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &conf, NULL), 0);
	cw_server_set_gate(httpd.server, gate, NULL);
	gate_mode = 3;
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 503, NULL);
	ck_assert_ptr_null(held);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

/* ---- errors ---- */

static enum cw_code error_code;

static void fail_handler(void *arg, struct cw_request *req)
{
	struct cw_err err;

	(void)arg;
	cw_err_set(&err, error_code, "secret text about /etc and SELECT 1");
	cw_reply_error(req, &err);
}

START_TEST(errors_tell_clients_what_is_theirs)
{
	static const struct { enum cw_code code; int status; bool tells; const char *retry; } cases[] = {
		{ CW_ERR_INVALID, 400, true, NULL },    { CW_ERR_NOT_FOUND, 404, true, NULL },
		{ CW_ERR_CONFLICT, 409, true, NULL },   { CW_ERR_DENIED, 403, true, NULL },
		{ CW_ERR_BUSY, 503, false, "1" },       { CW_ERR_TIMEOUT, 503, false, "1" },
		{ CW_ERR_DB, 503, false, "1" },         { CW_ERR_SCRIPT, 500, false, NULL },
		{ CW_ERR_INTERNAL, 500, false, NULL },
	};
	struct wire *w = wire_open(httpd.address);

	error_code = cases[_i].code;
	httpd_route(CW_METHOD_GET, "/fail", 0, fail_handler);
	wire_puts(w, GET("/fail"));
	struct wire_reply r = wire_read(w, false);

	ck_assert_int_eq(r.status, cases[_i].status);
	ck_assert_int_eq(strstr(r.body, "secret text") != NULL, cases[_i].tells);
	ck_assert_ptr_nonnull(strstr(r.body, cw_code_name(cases[_i].code)));
	ck_assert_ptr_nonnull(strstr(r.body, "\"instance\":\"/fail\""));
	if (cases[_i].retry != NULL)
		ck_assert_str_eq(wire_header(w, "retry-after"), cases[_i].retry);
	else
		ck_assert_ptr_null(wire_header(w, "retry-after"));
	wire_close(&w);
}
END_TEST

static void odd_problem(void *arg, struct cw_request *req)
{
	(void)arg;
	cw_reply_problem(req, &(struct cw_problem){ .status = 422, .code = "a\"b\n", .title = "\"\\", .detail = "\xff\x01\"",
	                                            .errors_json = "[{\"pointer\":\"/a\"}]", .retry_after_s = 7 });
}

START_TEST(problems_are_json_whatever_they_say)
{
	struct wire *w = wire_open(httpd.address);
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const struct cw_json *doc;
	struct wire_reply r;

	httpd_route(CW_METHOD_GET, "/odd/{x}", 0, odd_problem);
	wire_puts(w, GET("/odd/%22%0d%0a"));
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 422);
	ck_assert_str_eq(wire_header(w, "retry-after"), "7");
	doc = cw_json_parse(r.body, r.len, 8, arena, &error);
	ck_assert_msg(doc != NULL, "%s: %s", r.body, error.what);
	ck_assert_str_eq(cw_json_get(doc, "type")->text, "urn:chainwatch:problem:ab");
	ck_assert_str_eq(cw_json_get(doc, "code")->text, "a\"b\n");
	ck_assert_str_eq(cw_json_get(doc, "instance")->text, "/odd/\"\r\n");
	ck_assert_str_eq(cw_json_get(doc, "status")->text, "422");
	ck_assert_str_eq(cw_json_get(doc, "request_id")->text, wire_header(w, "x-request-id"));
	ck_assert_uint_eq(cw_json_get(doc, "errors")->count, 1);
	cw_arena_free(&arena);
	wire_close(&w);
}
END_TEST

static void headers_handler(void *arg, struct cw_request *req)
{
	(void)arg;
	cw_reply_header(req, "Cache-Control", "max-age=60");
	cw_reply_header(req, "ETag", "\"x\"");
	cw_reply_send(req, 304, NULL, "must not be sent", 16);
}

START_TEST(handlers_may_add_headers)
{
	struct wire *w = wire_open(httpd.address);

	httpd_route(CW_METHOD_GET, "/headers", 0, headers_handler);
	wire_puts(w, GET("/headers") GET("/hello"));
	expect(w, 304, "");
	ck_assert_str_eq(wire_header(w, "cache-control"), "max-age=60");
	ck_assert_str_eq(wire_header(w, "etag"), "\"x\"");
	expect(w, 200, "hello");
	ck_assert_str_eq(wire_header(w, "cache-control"), "no-store");
	wire_close(&w);
}
END_TEST

START_TEST(requests_are_counted)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, GET("/hello") GET("/hello") GET("/none") GET("/item/1"));
	for (int i = 0; i < 4; i++)
		wire_read(w, false);
	ck_assert(cw_metric_value(cw_counter("chainwatch_http_requests_total", "", "route=\"/hello\",code=\"200\"")) == 2);
	ck_assert(cw_metric_value(cw_counter("chainwatch_http_requests_total", "", "route=\"/item/{id}\",code=\"200\"")) == 1);
	ck_assert(cw_metric_value(cw_counter("chainwatch_http_requests_total", "", "route=\"none\",code=\"404\"")) == 1);
	ck_assert(cw_metric_value(cw_gauge("chainwatch_http_connections", "", NULL)) == 1);
	wire_close(&w);
}
END_TEST

static int nfreed;

static void count_free(void *arg)
{
	(void)arg;
	nfreed++;
}

START_TEST(a_router_lives_as_long_as_its_requests)
{
	struct cw_router *next = cw_router_new();
	struct wire *w = wire_open(httpd.address);

	cw_router_on_free(httpd.router, count_free, NULL);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	cw_server_set_router(httpd.server, next);
	cw_router_unref(&next);
	cw_router_unref(&httpd.router);
	ck_assert_int_eq(nfreed, 0);
	httpd_answer(0, "old");
	ck_assert_int_eq(nfreed, 1);
	expect(w, 200, "old");
	wire_puts(w, GET("/park"));
	expect(w, 404, NULL);
	wire_close(&w);
}
END_TEST

/* Damaged requests in a row on one connection: every answer is one of those that make sense, and it ends. */
START_TEST(damage_is_survived)
{
	static const char *const seeds[] = {
		GET("/hello"), GET("/text?n=100"), GET("/item/x%20y"),
		"OPTIONS * HTTP/1.1\r\n" H "\r\n",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
		"POST /none HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
		"POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nT: u\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "GET /hello HTTP/1.0\r\n\r\n",
	};
	static const char evil[] = "\r\n\t :;,\0\x7f\xff%#0xg+-";
	static const int known[] = { 100, 200, 204, 400, 404, 405, 413, 417, 501, 505 };

	for (int round = 0; round < 400; round++) {
		struct wire *w = wire_open(httpd.address);
		char bytes[1024], *at = bytes;
		struct wire_reply r;

		for (int i = 0; i < 4; i++) {
			const char *seed = seeds[(size_t)random() % (sizeof(seeds) / sizeof(*seeds))];

			at = stpcpy(at, seed);
			if (random() % 2 == 0)
				at[-1 - random() % (long)strlen(seed)] = evil[(size_t)random() % (sizeof(evil) - 1)];
		}
		wire_send(w, bytes, (size_t)(at - bytes));
		wire_half_close(w);
		while ((r = wire_read(w, false)).status > 0) {
			bool fine = false;

			for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
				fine = fine || known[i] == r.status;
			ck_assert_msg(fine && !r.cut, "status %d", r.status);
		}
		ck_assert_int_eq(r.status, 0);
		wire_close(&w);
	}
	httpd_wait_connections(0);
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http server");
	TCase *tc = tcase_create("server");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, a_reply_has_the_headers_it_needs);
	tcase_add_test(tc, a_connection_serves_many_requests);
	tcase_add_test(tc, pipelined_requests_are_answered_in_order);
	tcase_add_test(tc, bytes_may_come_one_by_one);
	tcase_add_test(tc, a_slow_reply_holds_back_later_ones);
	tcase_add_test(tc, an_unsafe_request_waits_and_is_waited_for);
	tcase_add_test(tc, pipeline_is_bounded);
	tcase_add_test(tc, bodies_come_whole);
	tcase_add_test(tc, no_body_is_an_empty_one);
	tcase_add_test(tc, head_has_no_body_and_keeps_the_framing);
	tcase_add_test(tc, continue_is_sent_when_the_body_is_wanted);
	tcase_add_loop_test(tc, continue_is_not_sent_for_what_is_refused, 0, 4);
	tcase_add_test(tc, a_route_has_its_own_body_limit);
	tcase_add_test(tc, a_refused_upload_still_hears_why);
	tcase_add_test(tc, an_unwanted_small_body_costs_no_connection);
	tcase_add_test(tc, an_unwanted_large_body_ends_the_connection);
	tcase_add_loop_test(tc, what_is_refused_is_answered_once, 0, sizeof(refused) / sizeof(*refused));
	tcase_add_test(tc, limits_of_the_head);
	tcase_add_test(tc, earlier_requests_are_answered_before_an_error);
	tcase_add_test(tc, a_damaged_body_is_refused_after_the_head_was_fine);
	tcase_add_loop_test(tc, a_half_request_is_refused, 0, 2);
	tcase_add_test(tc, methods_and_paths);
	tcase_add_test(tc, http_1_0);
	tcase_add_test(tc, nothing_is_taken_after_close);
	tcase_add_test(tc, request_ids_are_taken_over_if_harmless);
	tcase_add_test(tc, the_gate_can_refuse);
	tcase_add_test(tc, the_gate_can_hold);
	tcase_add_test(tc, a_held_request_may_lose_its_client);
	tcase_add_test(tc, a_gate_that_never_decides_is_answered_for);
	tcase_add_test(tc, problems_are_json_whatever_they_say);
	tcase_add_loop_test(tc, errors_tell_clients_what_is_theirs, 0, 9);
	tcase_add_test(tc, handlers_may_add_headers);
	tcase_add_test(tc, requests_are_counted);
	tcase_add_test(tc, a_router_lives_as_long_as_its_requests);
	tcase_add_test(tc, damage_is_survived);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
