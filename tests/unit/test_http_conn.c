/* The life of connections: time-outs, clients that leave, streams and their backpressure, drain, sockets, TLS. */
#include "http/server.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "support/http_case.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- time-outs ---- */

START_TEST(a_head_has_a_whole_time)
{
	struct wire *w;
	int64_t start;

	conf.head_ms = 60;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	start = now_ms();
	/* Bytes that drip do not gain time. */
	for (int i = 0; i < 1000 && wire_send(w, i == 0 ? "G" : "E", 1) == 1 && !wire_ends(w, 5); i++)
		if (now_ms() - start > 1000)
			break;
	ck_assert_int_lt(now_ms() - start, 1000);
	wire_close(&w);
	w = wire_open(httpd.address);
	wire_puts(w, "GET /hello HTTP/1.1\r\n");
	expect(w, 408, NULL);
	ck_assert_str_eq(wire_header(w, "connection"), "close");
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(silence_is_closed_without_a_word)
{
	struct wire *w;

	conf.head_ms = conf.idle_ms = 40;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	ck_assert(!wire_ends(w, 10));
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_puts(w, "\r\n");   /* not the beginning of a request */
	ck_assert(!wire_ends(w, 10));
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
	httpd_wait_connections(0);
}
END_TEST

START_TEST(a_body_has_a_whole_time)
{
	struct wire *w;
	int64_t start;
	struct wire_reply r;

	conf.body_ms = 60;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n");
	start = now_ms();
	for (int i = 0; i < 20 && now_ms() - start < 200; i++) {
		wire_send(w, "x", 1);
		wire_wait(10);
	}
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 408);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
	/* A request that waits for a handler has no such time. */
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	wire_wait(100);
	httpd_answer(0, "late");
	expect(w, 200, "late");
	wire_close(&w);
}
END_TEST

START_TEST(a_handler_that_does_not_answer_is_answered_for)
{
	struct wire *w;

	conf.reply_ms = 40;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park") GET("/hello"));
	expect(w, 503, NULL);
	ck_assert_str_eq(wire_header(w, "retry-after"), "1");
	expect(w, 200, "hello");
	ck_assert_int_eq(httpd.naborted, 1);
	httpd_answer(0, "too late");
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
	wire_close(&w);
}
END_TEST

START_TEST(a_route_has_its_own_time)
{
	struct cw_route route = { .method = CW_METHOD_GET, .pattern = "/slow", .timeout_ms = 30 };
	struct wire *w;

	httpd_up(&conf);
	route.fn = httpd_park;
	ck_assert_int_eq(cw_router_add(httpd.router, &route, NULL), 0);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/slow"));
	expect(w, 503, NULL);
	wire_close(&w);
}
END_TEST

START_TEST(a_client_that_does_not_read_is_closed)
{
	struct wire *w;

	conf.write_ms = 60;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/text?n=20000000"));
	httpd_wait_connections(1);
	httpd_wait_connections(0);
	wire_close(&w);
}
END_TEST

START_TEST(a_client_that_reads_slowly_is_served)
{
	struct wire *w;
	char bytes[65536];
	size_t total = 0;
	long n;

	conf.write_ms = 100;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/text?n=12000000"));
	while (total < 12000000 && (n = wire_raw(w, bytes, sizeof(bytes), WIRE_MS)) > 0) {
		total += (size_t)n;
		if (total < 3000000)
			wire_wait(5);
	}
	ck_assert_uint_ge(total, 12000000);
	wire_close(&w);
}
END_TEST

/* ---- clients that leave ---- */

START_TEST(a_reset_aborts_what_is_unanswered)
{
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park") GET("/park"));
	httpd_wait_parked(2);
	wire_reset(&w);
	httpd_wait_aborted(2);
	ck_assert_int_eq(cw_server_stats(httpd.server).connections, 0);
	httpd_answer(1, "to nobody");
	httpd_answer(0, "to nobody");
	ck_assert_int_eq(httpd.naborted, 2);
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
}
END_TEST

START_TEST(a_half_closed_client_gets_its_answers)
{
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello") GET("/park"));
	wire_half_close(w);
	httpd_wait_parked(1);
	wire_wait(30);
	httpd_answer(0, "parked");
	expect(w, 200, "hello");
	expect(w, 200, "parked");
	ck_assert(wire_ends(w, WIRE_MS));
	ck_assert_int_eq(httpd.naborted, 0);
	wire_close(&w);
	httpd_wait_connections(0);
}
END_TEST

START_TEST(a_closed_client_is_noticed_after_a_while)
{
	struct wire *w;

	conf.half_close_ms = 50;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	wire_close(&w);
	httpd_wait_aborted(1);
	httpd_wait_connections(0);
	httpd_answer(0, "to nobody");
}
END_TEST

static void answer_in_abort(void *arg, struct cw_request *req)
{
	(void)arg;
	httpd.parked[0] = NULL;
	cw_reply_send(req, 200, NULL, NULL, 0);
}

START_TEST(on_abort_may_answer)
{
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	cw_request_on_abort(httpd.parked[0], answer_in_abort, NULL);
	wire_reset(&w);
	httpd_wait_connections(0);
	ck_assert_ptr_null(httpd.parked[0]);
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
}
END_TEST

START_TEST(the_server_may_go_before_the_answer)
{
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park") GET("/park"));
	httpd_wait_parked(2);
	cw_server_free(&httpd.server);
	ck_assert_int_eq(httpd.naborted, 2);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);   /* the fixture answers both */
}
END_TEST

START_TEST(connections_are_bounded)
{
	struct wire *w[4];

	conf.max_connections = 2;
	httpd_up(&conf);
	for (int i = 0; i < 2; i++) {
		w[i] = wire_open(httpd.address);
		wire_puts(w[i], GET("/hello"));
		expect(w[i], 200, "hello");
	}
	w[2] = wire_open(httpd.address);
	wire_puts(w[2], GET("/hello"));
	expect(w[2], 503, NULL);
	ck_assert_str_eq(wire_header(w[2], "retry-after"), "1");
	ck_assert(wire_ends(w[2], WIRE_MS));
	wire_close(&w[2]);
	wire_puts(w[0], GET("/hello"));
	expect(w[0], 200, "hello");
	wire_close(&w[0]);
	httpd_wait_connections(1);
	w[3] = wire_open(httpd.address);
	wire_puts(w[3], GET("/hello"));
	expect(w[3], 200, "hello");
	ck_assert_uint_eq(cw_server_stats(httpd.server).refused, 1);
	wire_close(&w[1]);
	wire_close(&w[3]);
}
END_TEST

START_TEST(bodies_in_memory_are_bounded)
{
	struct wire *a, *b;

	conf.bodies = 1000;
	httpd_up(&conf);
	a = wire_open(httpd.address);
	b = wire_open(httpd.address);
	wire_puts(a, "POST /echo HTTP/1.1\r\n" H "Content-Length: 900\r\n\r\n");
	for (int i = 0; i < 80; i++)
		wire_puts(a, "0123456789");
	wire_wait(10);
	wire_puts(b, "POST /echo HTTP/1.1\r\n" H "Content-Length: 300\r\n\r\n");
	for (int i = 0; i < 30; i++)
		wire_send(b, "0123456789", 10);
	expect(b, 503, NULL);
	for (int i = 0; i < 10; i++)
		wire_puts(a, "0123456789");
	expect(a, 200, NULL);
	wire_close(&b);
	b = wire_open(httpd.address);
	wire_puts(b, "POST /echo HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123456789");
	expect(b, 200, "0123456789");
	wire_close(&a);
	wire_close(&b);
}
END_TEST

/* ---- streamed replies ---- */

static struct cw_request *stream;
static int ndrained;

static void on_drain(void *arg, struct cw_request *req)
{
	(void)arg;
	(void)req;
	ndrained++;
}

static void on_stream_abort(void *arg, struct cw_request *req)
{
	(void)arg;
	httpd.naborted++;
	stream = NULL;
	if (cw_reply_begun(req))
		cw_reply_end(req);
	else
		cw_reply_send(req, 200, NULL, NULL, 0);
}

static void stream_handler(void *arg, struct cw_request *req)
{
	(void)arg;
	stream = req;
	cw_reply_begin(req, 200, "text/plain");
	cw_reply_on_drain(req, on_drain, NULL);
	cw_request_on_abort(req, on_stream_abort, NULL);
}

static struct wire *open_stream(const char *request)
{
	struct wire *w;

	httpd_up(&conf);
	httpd_route(CW_METHOD_GET, "/stream", 0, stream_handler);
	w = wire_open(httpd.address);
	wire_puts(w, request);
	for (int i = 0; i < WIRE_MS && stream == NULL; i++)
		wire_wait(1);
	ck_assert_ptr_nonnull(stream);
	return w;
}

START_TEST(a_streamed_reply_is_chunked)
{
	struct wire *w = open_stream(GET("/stream") GET("/hello"));

	cw_reply_piece(stream, "one ", 4);
	cw_reply_piece(stream, "", 0);   /* not the end */
	wire_wait(5);
	cw_reply_piece(stream, "two", 3);
	cw_reply_end(stream);
	expect(w, 200, "one two");
	ck_assert_str_eq(wire_header(w, "transfer-encoding"), "chunked");
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(a_streamed_reply_to_1_0_ends_with_the_connection)
{
	struct wire *w = open_stream("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

	cw_reply_piece(stream, "one ", 4);
	cw_reply_piece(stream, "two", 3);
	cw_reply_end(stream);
	expect(w, 200, "one two");
	ck_assert_ptr_null(wire_header(w, "transfer-encoding"));
	ck_assert_str_eq(wire_header(w, "connection"), "close");
	wire_close(&w);
}
END_TEST

START_TEST(a_streamed_reply_to_head_has_no_body)
{
	struct wire *w = open_stream("HEAD /stream HTTP/1.1\r\n" H "\r\n" GET("/hello"));

	cw_reply_piece(stream, "one", 3);
	cw_reply_end(stream);
	ck_assert_int_eq(wire_read(w, true).status, 200);
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(a_producer_is_told_to_pause_and_to_go_on)
{
	static char bytes[100000];
	struct wire *w = open_stream(GET("/stream"));
	size_t pending = 0, total = 0;
	char in[65536];
	long n;

	for (int i = 0; i < 500 && pending <= 262144; i++, total += sizeof(bytes)) {
		pending = cw_reply_piece(stream, bytes, sizeof(bytes));
		cw_loop_poll(httpd.loop);
	}
	ck_assert_uint_gt(pending, 262144);
	wire_wait(20);
	ck_assert_int_eq(ndrained, 0);
	while (ndrained == 0 && (n = wire_raw(w, in, sizeof(in), WIRE_MS)) > 0)
		;
	ck_assert_int_eq(ndrained, 1);
	cw_reply_end(stream);
	while ((n = wire_raw(w, in, sizeof(in), 100)) > 0)
		;
	ck_assert_int_eq(ndrained, 1);
	wire_close(&w);
}
END_TEST

START_TEST(a_streamed_reply_can_be_cut)
{
	struct wire *w = open_stream(GET("/stream") GET("/park"));
	struct wire_reply r;

	cw_reply_piece(stream, "one", 3);
	wire_wait(5);
	cw_reply_cut(stream);
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 200);
	ck_assert_msg(r.cut, "a cut must not look like an end");
	wire_close(&w);
	httpd_wait_connections(0);
	ck_assert_int_eq(httpd.naborted, 1);   /* the one that was parked, not the stream */
}
END_TEST

START_TEST(a_stream_hears_of_its_client_leaving)
{
	struct wire *w;

	conf.half_close_ms = 40;
	w = open_stream(GET("/stream"));
	cw_reply_piece(stream, "one", 3);
	wire_wait(5);
	if (_i == 0)
		wire_reset(&w);
	else
		wire_close(&w);
	httpd_wait_aborted(1);
	httpd_wait_connections(0);
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
}
END_TEST

/* ---- streamed bodies ---- */

static size_t received;
static int nlast;
static bool pause_each, echo_pieces;

static void on_body(void *arg, struct cw_request *req, const char *piece, size_t len, bool last)
{
	(void)arg;
	received += len;
	nlast += last;
	if (echo_pieces)
		cw_reply_piece(req, piece, len);
	if (last && echo_pieces)
		cw_reply_end(req);
	else if (last)
		cw_reply_send(req, 200, "text/plain", "all", 3);
	else if (pause_each)
		cw_request_pause(req);
}

static void upload(void *arg, struct cw_request *req)
{
	(void)arg;
	stream = req;
	ck_assert_ptr_null(req->body);
	cw_request_on_body(req, on_body, NULL);
	cw_request_on_abort(req, on_stream_abort, NULL);
	if (echo_pieces)
		cw_reply_begin(req, 200, "application/x-ndjson");
}

static void up_with_upload(void)
{
	struct cw_route route = { .method = CW_METHOD_POST, .pattern = "/upload", .flags = CW_ROUTE_STREAM_BODY,
		                      .body_limit = UINT64_MAX, .fn = upload };

	httpd_up(&conf);
	ck_assert_int_eq(cw_router_add(httpd.router, &route, NULL), 0);
}

START_TEST(a_streamed_body_comes_in_pieces)
{
	static char bytes[9000000];   /* above the limit for whole bodies */
	struct wire *w;

	up_with_upload();
	w = wire_open(httpd.address);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "Content-Length: 9000000\r\n\r\n");
	wire_send(w, bytes, sizeof(bytes));
	expect(w, 200, "all");
	ck_assert_uint_eq(received, sizeof(bytes));
	ck_assert_int_eq(nlast, 1);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "\r\n" GET("/hello"));
	expect(w, 200, "all");
	ck_assert_int_eq(nlast, 2);
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(a_paused_body_is_not_read)
{
	static char bytes[20000000];
	struct wire *w;
	long sent;
	size_t before;

	up_with_upload();
	pause_each = true;
	w = wire_open(httpd.address);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "Content-Length: 20000000\r\n\r\n");
	wire_wait(5);
	wire_puts(w, "x");
	wire_wait(5);
	ck_assert_uint_eq(received, 1);
	/* What the kernel and 64 KiB of ours hold, and no more. */
	sent = 0;
	for (int i = 0; i < 200; i++) {
		sent += wire_send_some(w, bytes, 100000);
		cw_loop_poll(httpd.loop);
	}
	ck_assert_int_lt(sent, 19000000);
	ck_assert_uint_eq(received, 1);
	before = received;
	cw_request_resume(stream);
	wire_wait(5);
	ck_assert_uint_gt(received, before);
	pause_each = false;
	cw_request_resume(stream);
	while (sent < 19999999) {
		long n = wire_send(w, bytes, (size_t)(19999999 - sent) < 100000 ? (size_t)(19999999 - sent) : 100000);

		ck_assert_int_gt(n, 0);
		sent += n;
	}
	expect(w, 200, "all");
	ck_assert_uint_eq(received, 20000000);
	wire_close(&w);
}
END_TEST

START_TEST(a_body_can_be_answered_while_it_comes)
{
	struct wire *w;
	char bytes[1024];
	long n;

	up_with_upload();
	echo_pieces = true;
	w = wire_open(httpd.address);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
	n = wire_raw(w, bytes, sizeof(bytes) - 1, WIRE_MS);
	ck_assert_int_gt(n, 0);
	bytes[n] = '\0';
	ck_assert_ptr_nonnull(strstr(bytes, "one\n"));
	wire_puts(w, "4\r\ntwo\n\r\n0\r\n\r\n" GET("/hello"));
	wire_wait(10);
	n = wire_raw(w, bytes, sizeof(bytes) - 1, WIRE_MS);
	bytes[n] = '\0';
	ck_assert_ptr_nonnull(strstr(bytes, "two\n"));
	ck_assert_ptr_nonnull(strstr(bytes, "0\r\n\r\nHTTP/1.1 200 OK"));
	wire_close(&w);
}
END_TEST

/* Damage in the middle of a streamed body: a handler that has not begun its reply is answered for, another is cut. */
START_TEST(a_damaged_streamed_body_aborts_the_handler)
{
	struct wire *w;
	struct wire_reply r;

	up_with_upload();
	echo_pieces = _i == 1;
	w = wire_open(httpd.address);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	wire_wait(5);
	if (_i == 0) {
		stream = NULL;
		wire_puts(w, "zz\r\n");
		wire_wait(5);
		ck_assert_int_eq(httpd.naborted, 1);
	} else {
		wire_puts(w, "zz\r\n");
	}
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, _i == 0 ? 400 : 200);
	ck_assert_int_eq(r.cut, _i == 1);
	ck_assert_int_eq(httpd.naborted, 1);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

START_TEST(a_streamed_body_may_be_refused_early)
{
	struct wire *w;

	up_with_upload();
	pause_each = true;
	w = wire_open(httpd.address);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	wire_wait(5);
	cw_reply_problem(stream, &(struct cw_problem){ .status = 422, .code = "line_invalid" });
	expect(w, 422, NULL);
	wire_puts(w, "3\r\ntwo\r\n0\r\n\r\n" GET("/hello"));
	expect(w, 200, "hello");
	ck_assert_uint_eq(received, 3);
	wire_close(&w);
}
END_TEST

START_TEST(a_streamed_body_has_its_time_by_stride)
{
	struct wire *w;
	int64_t start = 0;

	conf.body_ms = 80;
	up_with_upload();
	w = wire_open(httpd.address);
	wire_puts(w, "POST /upload HTTP/1.1\r\n" H "Content-Length: 1000000000\r\n\r\n");
	/* 64 KiB and more within the time, for several times the time */
	start = now_ms();
	while (now_ms() - start < 250) {
		static char bytes[70000];

		ck_assert_int_eq(wire_send(w, bytes, sizeof(bytes)), (long)sizeof(bytes));
		wire_wait(10);
	}
	ck_assert_int_eq(httpd.naborted, 0);
	expect(w, 408, NULL);
	ck_assert_int_eq(httpd.naborted, 1);
	wire_close(&w);
}
END_TEST

/* ---- drain ---- */

static int ndone;

static void done(void *arg)
{
	(void)arg;
	ndone++;
}

START_TEST(drain_lets_requests_end)
{
	struct wire *idle, *busy;

	httpd_up(&conf);
	idle = wire_open(httpd.address);
	busy = wire_open(httpd.address);
	wire_puts(idle, GET("/hello"));
	expect(idle, 200, "hello");
	wire_puts(busy, GET("/park"));
	httpd_wait_parked(1);
	cw_server_drain(httpd.server, 5000, done, NULL);
	ck_assert(wire_ends(idle, WIRE_MS));
	ck_assert_int_eq(ndone, 0);
	httpd_answer(0, "last words");
	expect(busy, 200, "last words");
	ck_assert_str_eq(wire_header(busy, "connection"), "close");
	ck_assert(wire_ends(busy, WIRE_MS));
	wire_close(&idle);
	wire_close(&busy);
	for (int i = 0; i < WIRE_MS && ndone == 0; i++)
		wire_wait(1);
	ck_assert_int_eq(ndone, 1);
}
END_TEST

START_TEST(drain_ends_when_its_time_is_over)
{
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	cw_server_drain(httpd.server, 30, done, NULL);
	for (int i = 0; i < WIRE_MS && ndone == 0; i++)
		wire_wait(1);
	ck_assert_int_eq(ndone, 1);
	ck_assert_int_eq(httpd.naborted, 1);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
	wire_wait(60);
	ck_assert_int_eq(ndone, 1);
}
END_TEST

START_TEST(drain_of_an_idle_server_is_immediate)
{
	httpd_up(&conf);
	cw_server_drain(httpd.server, 5000, done, NULL);
	ck_assert_int_eq(ndone, 0);   /* not before the call has returned */
	cw_loop_poll(httpd.loop);
	ck_assert_int_eq(ndone, 1);
}
END_TEST

/* ---- sockets ---- */

START_TEST(unix_sockets_serve_and_go_away)
{
	char address[96], path[64];
	struct wire *w;

	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(address, sizeof(address), "unix:%s", path);
	conf.listen = address;
	httpd_up(&conf);
	ck_assert_str_eq(httpd.address, address);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_close(&w);
	httpd_down();
	httpd.loop = NULL;
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_stale_unix_socket_is_replaced_a_live_one_is_not)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct cw_server *second;
	char address[64];
	struct cw_err err;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	snprintf(address, sizeof(address), "unix:%s/s", dir);
	conf.listen = address;
	httpd_up(&conf);
	second = cw_server_new(httpd.loop, &conf, &err);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not listen on \"unix:"));
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(addresses_that_make_no_sense)
{
	static const char *const bad[] = { "", "8080", "host:80", "127.0.0.1:x", "127.0.0.1:70000", "1.2.3:80", "[::1:80",
		                               "unix:", "127.0.0.1:+80", "300.0.0.1:80" };
	struct cw_err err;

	httpd_up(&conf);
	conf.listen = bad[_i];
	ck_assert_ptr_null(cw_server_new(httpd.loop, &conf, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_msg(strncmp(err.msg, "cannot listen on", 16) == 0, "%s", err.msg);
}
END_TEST

START_TEST(ipv6_and_all_interfaces)
{
	struct wire *w;
	char v4[96];

	conf.listen = ":0";
	httpd_up(&conf);
	snprintf(v4, sizeof(v4), "127.0.0.1%s", strrchr(httpd.address, ':'));
	w = wire_open(v4);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(a_listening_socket_can_be_inherited)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct wire *w;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
	conf.inherited_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(conf.inherited_fd, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(conf.inherited_fd, 5), 0);
	httpd_up(&conf);
	httpd.fds--;   /* the server has taken it over */
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(what_is_inherited_must_listen)
{
	struct cw_err err;

	httpd_up(&conf);
	conf.inherited_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_ptr_null(cw_server_new(httpd.loop, &conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "is not a listening socket"));
	close(conf.inherited_fd);
}
END_TEST

START_TEST(settings_can_change_while_running)
{
	struct cw_server_conf next;
	struct cw_err err;
	char old[64];
	struct wire *w, *v;

	httpd_up(&conf);
	snprintf(old, sizeof(old), "%s", httpd.address);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	next = conf;
	next.limits.header_count = 2;
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), 0);
	ck_assert_str_eq(cw_server_address(httpd.server), old);
	wire_puts(w, "GET /hello HTTP/1.1\r\n" H "a: b\r\nc: d\r\n\r\n");
	expect(w, 431, NULL);
	wire_close(&w);
	next.head_ms = 0;
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "time-out"));
	next = conf;
	next.listen = "nowhere";
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), -1);
	ck_assert_str_eq(cw_server_address(httpd.server), old);
	w = wire_open(old);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	next.listen = "[::1]:0";
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), 0);
	ck_assert_str_ne(cw_server_address(httpd.server), old);
	v = wire_open(cw_server_address(httpd.server));
	wire_puts(v, GET("/hello"));
	expect(v, 200, "hello");
	httpd_answer(0, "still here");
	expect(w, 200, "still here");
	wire_close(&w);
	wire_close(&v);
}
END_TEST

/* ---- TLS ---- */

/* A self-signed certificate and its key, in dir/NAME.crt and dir/NAME.key. */
static void make_certificate(const char *name, long serial)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	char path[64];
	FILE *f;

	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_sign(cert, key, EVP_sha256());
	snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
	f = fopen(path, "w");
	PEM_write_X509(f, cert);
	fclose(f);
	snprintf(path, sizeof(path), "%s/%s.key", dir, name);
	f = fopen(path, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void up_with_tls(void)
{
	static char cert[64], key[64];

	make_certificate("a", 1);
	snprintf(cert, sizeof(cert), "%s/a.crt", dir);
	snprintf(key, sizeof(key), "%s/a.key", dir);
	conf.tls_cert = cert;
	conf.tls_key = key;
	httpd_up(&conf);
}

START_TEST(tls_serves_like_plain)
{
	struct wire *w;
	struct wire_reply r;
	char *bytes = malloc(1000000);

	for (int i = 0; i < 1000000; i++)
		bytes[i] = (char)(i * 7);
	up_with_tls();
	w = wire_open_tls(httpd.address);
	wire_puts(w, GET("/hello") GET("/item/1"));
	expect(w, 200, "hello");
	expect(w, 200, "1");
	wire_puts(w, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n");
	ck_assert_int_eq(wire_send(w, bytes, 1000000), 1000000);
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 200);
	ck_assert_uint_eq(r.len, 1000000);
	ck_assert(memcmp(r.body, bytes, 1000000) == 0);
	wire_puts(w, "GET / HTTP/1.1\r\n\r\n");
	expect(w, 400, NULL);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
	free(bytes);
}
END_TEST

START_TEST(many_pipelined_requests_in_one_tls_record)
{
	struct wire *w;
	char bytes[16000] = "";
	int n = 0;

	up_with_tls();
	w = wire_open_tls(httpd.address);
	while (strlen(bytes) + 60 < sizeof(bytes)) {
		strcat(bytes, GET("/hello"));
		n++;
	}
	wire_puts(w, GET("/park"));
	wire_puts(w, bytes);
	wire_puts(w, bytes);
	httpd_wait_parked(1);
	wire_wait(20);
	httpd_answer(0, "parked");
	expect(w, 200, "parked");
	for (int i = 0; i < 2 * n; i++)
		expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

START_TEST(plain_http_on_a_tls_port_is_closed)
{
	struct wire *w;

	up_with_tls();
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	for (char c; wire_raw(w, &c, 1, WIRE_MS) > 0;)   /* perhaps an alert */
		;
	httpd_wait_connections(0);
	wire_close(&w);
}
END_TEST

START_TEST(a_tls_handshake_has_its_time)
{
	struct wire *w;

	conf.head_ms = 40;
	up_with_tls();
	w = wire_open(httpd.address);
	wire_send(w, "\x16\x03\x01", 3);
	httpd_wait_connections(1);
	httpd_wait_connections(0);
	wire_close(&w);
}
END_TEST

START_TEST(certificates_can_be_changed_while_running)
{
	struct cw_server_conf next;
	char cert[64], key[64];
	struct cw_err err;
	struct wire *w, *v;

	up_with_tls();
	w = wire_open_tls(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	make_certificate("b", 2);
	snprintf(cert, sizeof(cert), "%s/b.crt", dir);
	next = conf;
	next.tls_cert = cert;
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), -1);   /* the key of another */
	ck_assert_msg(strstr(err.msg, "b.crt") != NULL || strstr(err.msg, "a.key") != NULL, "%s", err.msg);
	next.tls_key = NULL;
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), -1);
	snprintf(key, sizeof(key), "%s/none.key", dir);
	next.tls_key = key;
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "cannot use private key"));
	v = wire_open_tls(httpd.address);
	ck_assert_int_eq(wire_tls_serial(v), 1);
	wire_close(&v);
	snprintf(key, sizeof(key), "%s/b.key", dir);
	ck_assert_int_eq(cw_server_reconfigure(httpd.server, &next, &err), 0);
	v = wire_open_tls(httpd.address);
	ck_assert_int_eq(wire_tls_serial(v), 2);
	wire_puts(v, GET("/hello"));
	expect(v, 200, "hello");
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_close(&w);
	wire_close(&v);
}
END_TEST

START_TEST(a_full_server_says_so_over_tls)
{
	struct wire *w[2];

	conf.max_connections = 1;
	up_with_tls();
	w[0] = wire_open_tls(httpd.address);
	w[1] = wire_open_tls(httpd.address);
	expect(w[1], 503, NULL);
	wire_close(&w[0]);
	wire_close(&w[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http connections");
	TCase *tc = tcase_create("connections");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, a_head_has_a_whole_time);
	tcase_add_test(tc, silence_is_closed_without_a_word);
	tcase_add_test(tc, a_body_has_a_whole_time);
	tcase_add_test(tc, a_handler_that_does_not_answer_is_answered_for);
	tcase_add_test(tc, a_route_has_its_own_time);
	tcase_add_test(tc, a_client_that_does_not_read_is_closed);
	tcase_add_test(tc, a_client_that_reads_slowly_is_served);
	tcase_add_test(tc, a_reset_aborts_what_is_unanswered);
	tcase_add_test(tc, a_half_closed_client_gets_its_answers);
	tcase_add_test(tc, a_closed_client_is_noticed_after_a_while);
	tcase_add_test(tc, on_abort_may_answer);
	tcase_add_test(tc, the_server_may_go_before_the_answer);
	tcase_add_test(tc, connections_are_bounded);
	tcase_add_test(tc, bodies_in_memory_are_bounded);
	tcase_add_test(tc, a_streamed_reply_is_chunked);
	tcase_add_test(tc, a_streamed_reply_to_1_0_ends_with_the_connection);
	tcase_add_test(tc, a_streamed_reply_to_head_has_no_body);
	tcase_add_test(tc, a_producer_is_told_to_pause_and_to_go_on);
	tcase_add_test(tc, a_streamed_reply_can_be_cut);
	tcase_add_loop_test(tc, a_stream_hears_of_its_client_leaving, 0, 2);
	tcase_add_test(tc, a_streamed_body_comes_in_pieces);
	tcase_add_test(tc, a_paused_body_is_not_read);
	tcase_add_test(tc, a_body_can_be_answered_while_it_comes);
	tcase_add_loop_test(tc, a_damaged_streamed_body_aborts_the_handler, 0, 2);
	tcase_add_test(tc, a_streamed_body_may_be_refused_early);
	tcase_add_test(tc, a_streamed_body_has_its_time_by_stride);
	tcase_add_test(tc, drain_lets_requests_end);
	tcase_add_test(tc, drain_ends_when_its_time_is_over);
	tcase_add_test(tc, drain_of_an_idle_server_is_immediate);
	tcase_add_test(tc, unix_sockets_serve_and_go_away);
	tcase_add_test(tc, a_stale_unix_socket_is_replaced_a_live_one_is_not);
	tcase_add_loop_test(tc, addresses_that_make_no_sense, 0, 10);
	tcase_add_test(tc, ipv6_and_all_interfaces);
	tcase_add_test(tc, a_listening_socket_can_be_inherited);
	tcase_add_test(tc, what_is_inherited_must_listen);
	tcase_add_test(tc, settings_can_change_while_running);
	tcase_add_test(tc, tls_serves_like_plain);
	tcase_add_test(tc, many_pipelined_requests_in_one_tls_record);
	tcase_add_test(tc, plain_http_on_a_tls_port_is_closed);
	tcase_add_test(tc, a_tls_handshake_has_its_time);
	tcase_add_test(tc, certificates_can_be_changed_while_running);
	tcase_add_test(tc, a_full_server_says_so_over_tls);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
