#include "http/sse.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "support/httpd.h"
#include "support/wire.h"

#define GET(headers) "GET /events HTTP/1.1\r\nHost: test\r\n" headers "\r\n"

static struct cw_sse *sse;
static int nfreed, missed;
static cw_sse_filter_fn *filter;
static struct cw_request *late;   /* could not subscribe: events are missing */

static void free_arg(void *arg)
{
	ck_assert_str_eq(arg, "arg");
	nfreed++;
}

static void events(void *arg, struct cw_request *req)
{
	(void)arg;
	if (cw_sse_subscribe(sse, req, cw_sse_last_id(req), filter, (void *)(uintptr_t)"arg", free_arg))
		return;
	missed++;
	late = req;
}

static void up(void)
{
	httpd_up(NULL);
	httpd_route(CW_METHOD_GET, "/events", 0, events);
	sse = cw_sse_new(httpd.loop, 4, 60000);
}

static void down(void)
{
	cw_sse_free(&sse);
	httpd_down();
	cw_metrics_free();
}

static void publish(uint64_t id, const char *event, const char *data)
{
	cw_sse_publish(sse, id, event, data, strlen(data));
}

/* Reads until the text has come; what was read before it is in `seen`. */
static char seen[1 << 20];

static void read_to(struct wire *w, const char *text)
{
	size_t n = 0;
	long got;

	seen[0] = '\0';
	while (strstr(seen, text) == NULL) {
		got = wire_raw(w, seen + n, sizeof(seen) - 1 - n, WIRE_MS);
		ck_assert_msg(got > 0, "\"%s\" did not come, but: %s", text, seen);
		n += (size_t)got;
		seen[n] = '\0';
	}
}

static struct wire *subscribe(const char *request, int n)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, request);
	for (int i = 0; i < WIRE_MS && cw_sse_subscribers(sse) < n && missed == 0; i++)
		wire_wait(1);
	ck_assert_int_eq(cw_sse_subscribers(sse) + missed, n);
	return w;
}

START_TEST(events_have_the_form_of_the_standard)
{
	struct wire *w = subscribe(GET(""), 1);

	read_to(w, "retry: ");
	ck_assert_ptr_nonnull(strstr(seen, "HTTP/1.1 200 OK"));
	ck_assert_ptr_nonnull(strstr(seen, "Content-Type: text/event-stream\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "Cache-Control: no-store\r\n"));
	publish(7, "anomaly", "{\"a\":1}");
	read_to(w, "id: 7\nevent: anomaly\ndata: {\"a\":1}\n\n");
	publish(8, NULL, "one\ntwo\r\nthree\rfour\n");
	read_to(w, "id: 8\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\n");
	publish(9, "", "");
	read_to(w, "id: 9\ndata: \n\n");
	/* a name with a line end in it must not become a field of its own */
	publish(10, "x\ndata: forged", "y");
	read_to(w, "id: 10\nevent: x\ndata: y\n\n");
	wire_close(&w);
}
END_TEST

START_TEST(all_subscribers_get_all)
{
	struct wire *a = subscribe(GET(""), 1), *b = subscribe(GET(""), 2);

	publish(1, "e", "x");
	read_to(a, "data: x\n\n");
	read_to(b, "data: x\n\n");
	wire_reset(&a);
	for (int i = 0; i < WIRE_MS && cw_sse_subscribers(sse) > 1; i++)
		wire_wait(1);
	ck_assert_int_eq(cw_sse_subscribers(sse), 1);
	ck_assert_int_eq(nfreed, 1);
	publish(2, "e", "y");
	read_to(b, "data: y\n\n");
	wire_close(&b);
}
END_TEST

static bool only_high(void *arg, const char *event, const char *data, size_t len)
{
	ck_assert_str_eq(arg, "arg");
	ck_assert_uint_eq(strlen(data), len);
	return strcmp(event, "high") == 0;
}

START_TEST(filters_choose)
{
	struct wire *w;

	filter = only_high;
	publish(1, "high", "past high");
	publish(2, "low", "past low");
	w = subscribe(GET("Last-Event-ID: 0\r\n"), 1);
	publish(3, "low", "no");
	publish(4, "high", "yes");
	read_to(w, "data: yes\n\n");
	ck_assert_ptr_null(strstr(seen, "data: no"));
	ck_assert_ptr_null(strstr(seen, "past"));
	wire_close(&w);
	w = wire_open(httpd.address);
	wire_puts(w, GET("Last-Event-ID: 2\r\n"));
	read_to(w, "data: yes\n\n");
	ck_assert_ptr_null(strstr(seen, "data: no"));
	wire_close(&w);
}
END_TEST

START_TEST(resume_from_the_ring)
{
	struct wire *w;
	char data[16];

	for (uint64_t id = 10; id <= 60; id += 10) {
		snprintf(data, sizeof(data), "e%d", (int)id);
		publish(id, NULL, data);
	}
	/* 30 to 60 are in the ring, 20 has left it */
	w = subscribe(GET("Last-Event-ID: 20\r\n"), 1);
	read_to(w, "data: e60\n\n");
	for (int i = 30; i < 60; i += 10) {   /* in order */
		char before[64], after[64];

		snprintf(before, sizeof(before), "id: %d\ndata: e%d\n\n", i, i);
		snprintf(after, sizeof(after), "id: %d\ndata: e%d\n\n", i + 10, i + 10);
		ck_assert_ptr_nonnull(strstr(seen, before));
		ck_assert_ptr_nonnull(strstr(strstr(seen, before), after));
	}
	ck_assert_ptr_null(strstr(seen, "e20"));
	wire_close(&w);
	w = subscribe(GET("Last-Event-ID: 60\r\n"), 2);
	publish(70, NULL, "e70");
	read_to(w, "data: e70\n\n");
	ck_assert_ptr_null(strstr(seen, "e60"));
	wire_close(&w);
}
END_TEST

/* What has no id of its own follows the event before it: who resumes from that gets it again rather than never. */
START_TEST(unnumbered_events_do_not_move_the_id)
{
	struct wire *w = subscribe(GET(""), 1);

	publish(5, "anomaly", "new");
	publish(0, "anomaly.updated", "grown");
	read_to(w, "event: anomaly.updated\ndata: grown\n\n");
	ck_assert_ptr_nonnull(strstr(seen, "id: 5\nevent: anomaly\ndata: new\n\n"));
	ck_assert_ptr_null(strstr(strstr(seen, "data: new"), "id: "));
	ck_assert_uint_eq(cw_sse_newest(sse), 5);
	publish(6, "anomaly", "next");
	wire_close(&w);
	w = subscribe(GET("Last-Event-ID: 5\r\n"), 2);
	read_to(w, "id: 6\nevent: anomaly\ndata: next\n\n");
	ck_assert_ptr_nonnull(strstr(seen, "event: anomaly.updated\ndata: grown\n\n"));
	ck_assert_ptr_null(strstr(seen, "data: new"));
	wire_close(&w);
	w = subscribe(GET("Last-Event-ID: 6\r\n"), 3);
	publish(7, NULL, "last");
	read_to(w, "data: last\n\n");
	ck_assert_ptr_null(strstr(seen, "grown"));
	wire_close(&w);
}
END_TEST

START_TEST(what_the_ring_has_lost_is_replayed_by_the_caller)
{
	struct wire *w;
	char data[32];
	uint64_t newest;

	for (uint64_t id = 1; id <= 9; id++) {
		snprintf(data, sizeof(data), "e%d", (int)id);
		publish(id, NULL, data);
	}
	w = subscribe(GET("Last-Event-ID: 3\r\n"), 1);
	ck_assert_int_eq(missed, 1);
	ck_assert(!cw_reply_begun(late));
	newest = cw_sse_newest(sse);
	ck_assert_uint_eq(newest, 9);
	for (uint64_t id = 4; id <= newest; id++) {
		snprintf(data, sizeof(data), "e%d", (int)id);
		cw_sse_replay(late, id, NULL, data, strlen(data));
	}
	publish(10, NULL, "e10");   /* meanwhile */
	ck_assert(cw_sse_subscribe(sse, late, newest, NULL, (void *)(uintptr_t)"arg", free_arg));
	publish(11, NULL, "e11");
	read_to(w, "data: e11\n\n");
	ck_assert_ptr_nonnull(strstr(seen, "retry: "));
	ck_assert_ptr_null(strstr(strstr(seen, "retry: ") + 1, "retry: "));
	for (int id = 4; id <= 11; id++) {
		snprintf(data, sizeof(data), "data: e%d\n", id);
		ck_assert_ptr_nonnull(strstr(seen, data));
		ck_assert_msg(strstr(strstr(seen, data) + 1, data) == NULL, "event %d came twice", id);
	}
	wire_close(&w);
}
END_TEST

START_TEST(after_a_restart_the_past_is_elsewhere)
{
	struct wire *w;

	cw_sse_seed(sse, 100);
	w = subscribe(GET("Last-Event-ID: 99\r\n"), 1);
	ck_assert_int_eq(missed, 1);
	cw_reply_problem(late, &(struct cw_problem){ .status = 503, .code = "busy" });
	wire_close(&w);
	missed = 0;
	w = subscribe(GET("Last-Event-ID: 100\r\n"), 1);
	publish(101, NULL, "next");
	read_to(w, "data: next\n\n");
	wire_close(&w);
}
END_TEST

START_TEST(odd_last_ids_are_no_ids)
{
	static const char *const odd[] = { "GET /events HTTP/1.1\r\nHost: t\r\nLast-Event-ID: abc\r\n\r\n",
		                               "GET /events HTTP/1.1\r\nHost: t\r\nLast-Event-ID: -1\r\n\r\n",
		                               "GET /events HTTP/1.1\r\nHost: t\r\nLast-Event-ID: 99999999999999999999\r\n\r\n",
		                               "GET /events HTTP/1.1\r\nHost: t\r\nLast-Event-ID:\r\n\r\n" };
	struct wire *w;

	cw_sse_seed(sse, 100);
	w = subscribe(odd[_i], 1);
	ck_assert_int_eq(missed, 0);
	wire_close(&w);
}
END_TEST

START_TEST(a_subscriber_that_does_not_read_is_cut)
{
	struct wire *slow = subscribe(GET(""), 1), *good = subscribe(GET(""), 2);
	static char data[100001];
	uint64_t id = 0;

	memset(data, 'x', sizeof(data) - 1);
	for (int i = 0; i < 400 && cw_sse_subscribers(sse) == 2; i++) {
		publish(++id, NULL, data);
		read_to(good, "x\n\n");
	}
	ck_assert_int_eq(cw_sse_subscribers(sse), 1);
	ck_assert_int_eq(nfreed, 1);
	publish(++id, NULL, "still here");
	read_to(good, "data: still here\n\n");
	while (wire_raw(slow, seen, sizeof(seen), WIRE_MS) > 0)   /* what the kernel had; then the end */
		;
	ck_assert(wire_ends(slow, 0));
	wire_close(&slow);
	wire_close(&good);
	httpd_wait_connections(0);
}
END_TEST

START_TEST(heartbeats_keep_the_connection)
{
	struct wire *w;

	cw_sse_free(&sse);
	sse = cw_sse_new(httpd.loop, 4, 10);
	w = subscribe(GET(""), 1);
	read_to(w, ": \n\n");
	read_to(w, ": \n\n");
	wire_close(&w);
}
END_TEST

START_TEST(close_all_ends_the_streams_properly)
{
	struct wire *w = subscribe(GET(""), 1);
	struct wire_reply r;

	publish(1, NULL, "last");
	cw_sse_close_all(sse);
	ck_assert_int_eq(cw_sse_subscribers(sse), 0);
	ck_assert_int_eq(nfreed, 1);
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 200);
	ck_assert(!r.cut);
	ck_assert_ptr_nonnull(strstr(r.body, "data: last\n\n"));
	wire_puts(w, "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n");
	ck_assert_int_eq(wire_read(w, false).status, 200);
	wire_close(&w);
}
END_TEST

START_TEST(head_does_not_subscribe)
{
	struct wire *w = wire_open(httpd.address);

	wire_puts(w, "HEAD /events HTTP/1.1\r\nHost: test\r\n\r\n");
	ck_assert_int_eq(wire_read(w, true).status, 200);
	ck_assert_int_eq(cw_sse_subscribers(sse), 0);
	ck_assert_int_eq(nfreed, 1);
	wire_close(&w);
}
END_TEST

/* The past may be longer than the buffer of one subscriber: that alone must not cut it. */
START_TEST(a_long_past_is_no_reason_to_cut)
{
	static char data[200001];
	struct wire *w;

	memset(data, 'x', sizeof(data) - 1);
	publish(1, NULL, "first");
	for (uint64_t id = 2; id <= 4; id++)
		publish(id, NULL, data);
	w = subscribe(GET("Last-Event-ID: 1\r\n"), 1);
	publish(5, NULL, "new");
	ck_assert_int_eq(cw_sse_subscribers(sse), 1);
	read_to(w, "data: new\n\n");
	wire_close(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sse");
	TCase *tc = tcase_create("sse");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, events_have_the_form_of_the_standard);
	tcase_add_test(tc, all_subscribers_get_all);
	tcase_add_test(tc, filters_choose);
	tcase_add_test(tc, resume_from_the_ring);
	tcase_add_test(tc, unnumbered_events_do_not_move_the_id);
	tcase_add_test(tc, what_the_ring_has_lost_is_replayed_by_the_caller);
	tcase_add_test(tc, after_a_restart_the_past_is_elsewhere);
	tcase_add_loop_test(tc, odd_last_ids_are_no_ids, 0, 4);
	tcase_add_test(tc, a_subscriber_that_does_not_read_is_cut);
	tcase_add_test(tc, heartbeats_keep_the_connection);
	tcase_add_test(tc, close_all_ends_the_streams_properly);
	tcase_add_test(tc, head_does_not_subscribe);
	tcase_add_test(tc, a_long_past_is_no_reason_to_cut);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
