/* Refusals before the body has come. Where chunks follow, the refusal waits for a moment: if their framing is broken, that
 * is the answer, and the only one, so that whoever sits between learns that nothing behind them can be trusted. */
#include "http/server.h"

#include "support/http_case.h"

#define UPLOAD(path, more) "POST " path " HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" more "\r\n"

static struct wire *ask(const char *head)
{
	struct wire *w;

	if (httpd.loop == NULL)
		httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, head);
	return w;
}

static void ends(struct wire *w)
{
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}

START_TEST(broken_chunks_are_the_answer)
{
	static const char *const broken[] = {
		"zz\r\n", "3 \r\nabc\r\n0\r\n\r\n", "3\rabc", "3\r\nabcd\r\n", "3\r\nabc\r\n0\r\nHost: x\r\n\r\n", "3\r\nabc\r\n0\r\n\rG", "0x3\r\n",
		"3\nabc\n", "10000000000000000\r\n",
	};
	struct wire *w = ask(UPLOAD("/nothing", ""));

	wire_wait(5);
	wire_puts(w, broken[_i]);
	wire_puts(w, GET("/hello"));
	expect(w, 400, NULL);
	ends(w);
}
END_TEST

START_TEST(whole_chunks_are_read_away)
{
	struct wire *w = ask(UPLOAD("/nothing", "") "3\r\na");

	wire_wait(5);
	wire_puts(w, "bc\r\n0\r\nX: y\r\n\r\n" GET("/hello"));
	expect(w, 404, NULL);
	expect(w, 200, "hello");
	ck_assert_uint_eq(cw_server_stats(httpd.server).requests, 2);
	wire_close(&w);
}
END_TEST

/* The moment is over, and the refusal stands; what comes then is still read, and still checked. */
START_TEST(what_does_not_come_is_not_awaited_for_long)
{
	struct wire *w = ask(UPLOAD("/nothing", "") "3\r\n");

	expect(w, 404, NULL);
	if (_i == 0) {
		wire_puts(w, "abc\r\n0\r\n\r\n" GET("/hello"));
		expect(w, 200, "hello");
		wire_close(&w);
	} else {
		wire_puts(w, "abcd\r\n" GET("/hello"));   /* answered already */
		ends(w);
	}
}
END_TEST

START_TEST(endless_chunks_end_the_connection)
{
	static char chunk[16384 + 16];
	struct wire *w = ask(UPLOAD("/nothing", ""));
	int n = snprintf(chunk, sizeof(chunk), "4000\r\n");

	memset(chunk + n, 'x', 16384);
	memcpy(chunk + n + 16384, "\r\n", 2);
	for (int i = 0; i < 6; i++)
		wire_send(w, chunk, (size_t)n + 16386);
	expect(w, 404, NULL);
	ends(w);
}
END_TEST

/* Who waits for a word before the body gets it at once. */
START_TEST(a_client_that_asks_first_is_told_at_once)
{
	struct wire *w = ask(UPLOAD("/nothing", "Expect: 100-continue\r\n"));

	expect(w, 404, NULL);
	ends(w);
}
END_TEST

START_TEST(a_client_that_leaves_hears_nothing)
{
	struct wire *w = ask(UPLOAD("/nothing", "") "3\r\nab");

	wire_wait(20);
	if (_i == 0)
		wire_reset(&w);
	else
		wire_close(&w);
	httpd_wait_connections(0);
	ck_assert_int_eq(cw_server_stats(httpd.server).in_flight, 0);
}
END_TEST

START_TEST(a_client_that_sends_no_more_hears_that_it_is_not_whole)
{
	struct wire *w = ask(UPLOAD("/nothing", "") "3\r\nab");

	wire_wait(5);
	wire_half_close(w);
	expect(w, 400, NULL);
	ends(w);
}
END_TEST

/* In its turn: earlier requests are answered first, and its answer is not held back by what cannot come. */
START_TEST(answers_stay_in_order)
{
	struct wire *w = ask(GET("/park") UPLOAD("/nothing", "") "zz\r\n");

	httpd_wait_parked(1);
	wire_wait(20);
	httpd_answer(0, "first");
	expect(w, 200, "first");
	expect(w, 400, NULL);
	ends(w);
}
END_TEST

START_TEST(methods_that_a_path_does_not_take)
{
	struct wire *w = ask(UPLOAD("/hello", "") "0\r\n\r\n");

	expect(w, 405, NULL);
	ck_assert_str_eq(wire_header(w, "allow"), "GET, HEAD, OPTIONS");
	wire_puts(w, UPLOAD("/echo", "Content-Encoding: gzip\r\n") "1\r\nx\r\n0\r\n\r\n");
	expect(w, 415, NULL);
	wire_puts(w, UPLOAD("/echo", "Content-Encoding: gzip\r\n") "1;=\r\nx\r\n0\r\n\r\n");
	expect(w, 400, NULL);
	ends(w);
}
END_TEST

START_TEST(a_server_that_drains_does_not_wait)
{
	struct wire *w = ask(GET("/park"));

	httpd_wait_parked(1);
	cw_server_drain(httpd.server, 5000, NULL, NULL);
	wire_puts(w, UPLOAD("/nothing", "") "3\r\n");
	wire_wait(5);
	httpd_answer(0, "last");
	expect(w, 200, "last");
	ends(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http_early");
	TCase *tc = tcase_create("early");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, broken_chunks_are_the_answer, 0, 9);
	tcase_add_test(tc, whole_chunks_are_read_away);
	tcase_add_loop_test(tc, what_does_not_come_is_not_awaited_for_long, 0, 2);
	tcase_add_test(tc, endless_chunks_end_the_connection);
	tcase_add_test(tc, a_client_that_asks_first_is_told_at_once);
	tcase_add_loop_test(tc, a_client_that_leaves_hears_nothing, 0, 2);
	tcase_add_test(tc, a_client_that_sends_no_more_hears_that_it_is_not_whole);
	tcase_add_test(tc, answers_stay_in_order);
	tcase_add_test(tc, methods_that_a_path_does_not_take);
	tcase_add_test(tc, a_server_that_drains_does_not_wait);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
