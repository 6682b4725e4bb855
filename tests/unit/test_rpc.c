/* The nodes of a chain: what they answer, well and badly, and which of them is asked. */
#include "source/rpc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/metrics.h"
#include "http/client.h"
#include "loop/loop.h"
#include "support/httpd.h"
#include "support/slow.h"

#define HASH "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEAD(number) "{\"number\":\"" number "\",\"hash\":\"" HASH "\"}"
#define OK(id, result) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":" result "}"
#define NO(id, error) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":" error "}"
#define NODES 2

/* What each node answers; `single` where the request is no batch. NULL: as `poll`. */
static struct node {
	const char *poll, *call, *single;
	int status, polls, calls;
} nodes[NODES];

static struct cw_httpc *http;
static struct cw_rpc *rpc;
static bool polled;
static char urls[NODES][96];
static struct cw_err err;

static void answer(struct node *n, struct cw_request *req)
{
	bool single = req->body[0] == '{' && n->single != NULL;
	bool asks_id = memmem(req->body, req->body_len, "eth_chainId", 11) != NULL;
	bool is_poll = asks_id || memmem(req->body, req->body_len, "latest", 6) != NULL;
	const char *text = is_poll && n->poll != NULL ? n->poll : n->call;
	int status = is_poll && n->poll != NULL ? 200 : n->status;

	if (single) {
		text = asks_id ? OK("0", "\"0x1\"") : is_poll ? OK("0", HEAD("0x10")) : n->single;
		status = 200;
	}
	*(is_poll ? &n->polls : &n->calls) += 1;
	cw_reply_send(req, status, "application/json", text, strlen(text));
}

static void node0(void *arg, struct cw_request *req)
{
	(void)arg;
	answer(&nodes[0], req);
}

static void node1(void *arg, struct cw_request *req)
{
	(void)arg;
	answer(&nodes[1], req);
}

static void on_polled(void *arg)
{
	(void)arg;
	polled = true;
}

static void turn_until(const bool *done)
{
	int64_t until = cw_clock_mono_us() + INT64_C(10000000) * slow_factor();

	while (!*done && cw_clock_mono_us() < until)
		cw_loop_poll(httpd.loop);
	ck_assert(*done);
}

static void poll_all(void)
{
	polled = false;
	cw_rpc_poll(rpc, on_polled, NULL);
	turn_until(&polled);
}

static void up_with(int n)
{
	struct cw_rpc_endpoint_conf endpoints[NODES];
	struct cw_rpc_conf conf = { .source = "dev", .chain_id = 1, .endpoints = endpoints, .nendpoints = n, .max_bytes = 2000 };

	httpd_up(NULL);
	httpd_route(CW_METHOD_POST, "/0", 0, node0);
	httpd_route(CW_METHOD_POST, "/1", 0, node1);
	http = cw_httpc_new(httpd.loop, NULL);
	for (int i = 0; i < NODES; i++) {
		nodes[i] = (struct node){ .poll = "[" OK("0", "\"0x1\"") "," OK("1", HEAD("0x10")) "]", .call = "[]", .status = 200 };
		snprintf(urls[i], sizeof(urls[i]), "http://%s/%d", httpd.address, i);
		endpoints[i] = (struct cw_rpc_endpoint_conf){ .name = i == 0 ? "first" : "second", .url = urls[i], .weight = NODES - i };
	}
	rpc = cw_rpc_new(httpd.loop, http, &conf, &err);
	ck_assert_msg(rpc != NULL, "%s", err.msg);
}

static void down(void)
{
	cw_rpc_free(&rpc);
	cw_httpc_free(&http);
	httpd_down();
	cw_metrics_free();
}

/* --- calls --- */

static struct told {
	bool done;
	struct cw_err err;
	int n;
	bool is_null[2];
	char result[2][64], message[2][64];
	int64_t code[2];
} told;

static void on_call(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *failed)
{
	(void)arg;
	told.done = true;
	told.n = n;
	if (failed != NULL) {
		told.err = *failed;
		return;
	}
	for (int i = 0; i < n && i < 2; i++) {
		told.code[i] = replies[i].code;
		if (replies[i].result == NULL)
			snprintf(told.message[i], sizeof(told.message[i]), "%s", replies[i].message);
		else if (replies[i].result->type == CW_JSON_STRING)
			snprintf(told.result[i], sizeof(told.result[i]), "%s", replies[i].result->text);
		else
			told.is_null[i] = replies[i].result->type == CW_JSON_NULL;
	}
}

static void call_two(void)
{
	static const struct cw_rpc_ask asks[2] = { { "eth_one", "[]" }, { "eth_two", "[\"0x1\"]" } };

	memset(&told, 0, sizeof(told));
	cw_rpc_call(rpc, CW_RPC_BEST, 0, asks, 2, on_call, NULL);
	ck_assert(!told.done);
	turn_until(&told.done);
}

START_TEST(answers_come_in_any_order)
{
	up_with(1);
	poll_all();
	nodes[0].call = "[" OK("1", "\"b\"") "," OK("0", "\"a\"") "]";
	call_two();
	ck_assert_str_eq(told.result[0], "a");
	ck_assert_str_eq(told.result[1], "b");
	nodes[0].call = " [ " OK("0", "null") ", " NO("\"1\"", "{\"code\":-32000,\"message\":\"header not found\",\"data\":[]}") " ] ";
	call_two();
	ck_assert_msg(told.is_null[0], "%s", told.err.msg);
	ck_assert_str_eq(told.message[1], "header not found");
	ck_assert_int_eq((int)told.code[1], -32000);
}
END_TEST

/* Nothing that a caller could use, though a batch of two was taken before: the endpoint is set aside, and the reason is told. */
static const struct { int status; const char *answer, *what; } useless[] = {
	{ 200, "", "the answer is empty" },
	{ 200, "<html>", "the answer is no JSON: unexpected '<'" },
	{ 200, "[" OK("0", "1"), "the answer is no JSON" },
	{ 200, "7", "the answer is no JSON-RPC" },
	{ 200, "{}", "the answer is no JSON-RPC" },
	{ 200, "[]", "answers are missing" },
	{ 200, "[" OK("0", "1") "]", "answers are missing" },
	{ 200, "[" OK("0", "1") "," OK("2", "1") "]", "an answer has an id that was not asked, or one twice" },
	{ 200, "[" OK("0", "1") "," OK("0", "1") "]", "an answer has an id that was not asked, or one twice" },
	{ 200, "[" OK("0", "1") "," OK("-1", "1") "]", "an answer has an id that was not asked, or one twice" },
	{ 200, "[" OK("0", "1") "," OK("18446744073709551617", "1") "]", "an answer has an id that was not asked, or one twice" },
	{ 200, "[" OK("0", "1") ",{\"result\":1}]", "an answer has an id that was not asked, or one twice" },
	{ 200, "[" OK("0", "1") ",{\"id\":1}]", "an answer has neither result nor error" },
	{ 200, "[" OK("0", "1") ",7]", "an answer has an id that was not asked, or one twice" },
	{ 200, "[" OK("0", "1") "," NO("1", "{\"code\":-32005,\"message\":\"slow down\"}") "]", "slow down" },
	{ 200, "[" OK("0", "1") "," NO("1", "{\"code\":-1,\"message\":\"project rate limited: Rate Limit\"}") "]", "rate limit" },
	{ 200, NO("null", "{\"code\":429,\"message\":\"much\"}"), "much" },
	{ 429, "[" OK("0", "1") "," OK("1", "1") "]", "it answered with status 429" },
	{ 500, "it broke", "it answered with status 500" },
	{ 404, "[" OK("0", "1") "," OK("1", "1") "]", "it answered with status 404" },
	{ 302, "", "it answered with status 302" },
};

START_TEST(what_is_of_no_use_sets_the_endpoint_aside)
{
	struct cw_rpc_head head;

	up_with(1);
	poll_all();
	nodes[0].call = useless[_i].answer;
	nodes[0].status = useless[_i].status;
	call_two();
	ck_assert_int_eq(told.err.code, CW_ERR_BUSY);
	ck_assert_msg(strcasestr(told.err.msg, useless[_i].what) != NULL, "%s", told.err.msg);
	ck_assert_str_eq(cw_rpc_endpoint_stats(rpc, 0).state, "set aside");
	ck_assert_int_eq(cw_rpc_head(rpc, &head, &err), -1);
	ck_assert_int_gt((int)cw_rpc_wait_ms(rpc), 0);
	call_two();                      /* and nobody is left */
	ck_assert_str_eq(told.err.msg, "no endpoint of source \"dev\" can be asked now");
	ck_assert_int_eq(nodes[0].calls, 1);
}
END_TEST

START_TEST(errors_that_are_no_objects_are_errors)
{
	up_with(1);
	poll_all();
	nodes[0].call = "[" NO("0", "\"upstream is away\"") "," NO("1", "{\"message\":7,\"code\":\"x\"}") "]";
	call_two();
	ck_assert_str_eq(told.message[0], "no message");
	ck_assert_str_eq(told.message[1], "no message");
}
END_TEST

/* What nodes that take no batches say to one, or too little. */
static const struct { int status; const char *answer; } refusals[] = {
	{ 200, NO("null", "{\"code\":-32600,\"message\":\"batches are not taken\"}") },
	{ 200, "[" NO("null", "{\"code\":-32600,\"message\":\"invalid request\"}") "]" },
	{ 200, "[" OK("0", "\"one\"") "]" },
	{ 200, OK("0", "\"one\"") },
	{ 200, "" },
	{ 200, "<html>" },
	{ 400, "bad request" },
	{ 413, "{\"message\":\"too large\"}" },
	{ 500, "" },
};

START_TEST(a_node_is_asked_for_as_much_as_it_takes)
{
	up_with(1);
	nodes[0].call = refusals[_i].answer;
	nodes[0].poll = NULL;
	nodes[0].status = refusals[_i].status;
	nodes[0].single = OK("0", "\"one\"");
	poll_all();
	ck_assert_str_eq(cw_rpc_endpoint_stats(rpc, 0).state, "followed");
	for (int i = 0; i < 15; i++) {
		call_two();
		ck_assert_msg(told.err.code == CW_OK, "%s", told.err.msg);
		ck_assert_str_eq(told.result[0], "one");
		ck_assert_str_eq(told.result[1], "one");
	}
	ck_assert_int_eq(nodes[0].calls, 2 * 15);
	/* Now and then it is asked for more, and may have learnt it. */
	nodes[0].call = "[" OK("0", "\"both\"") "," OK("1", "\"both\"") "]";
	nodes[0].status = 200;
	call_two();
	ck_assert_str_eq(told.result[1], "both");
	ck_assert_int_eq(nodes[0].calls, 2 * 15 + 1);
}
END_TEST

START_TEST(errors_of_calls_that_are_asked_one_by_one)
{
	up_with(1);
	nodes[0].call = NO("null", "{\"code\":-32600,\"message\":\"batches are not taken\"}");
	nodes[0].poll = NULL;
	nodes[0].single = NO("0", "{\"code\":-32601,\"message\":\"the method does not exist\"}");
	poll_all();
	call_two();
	ck_assert_int_eq((int)told.code[0], -32601);
	ck_assert(cw_rpc_is_unknown_method(&(struct cw_rpc_reply){ .code = told.code[0], .message = told.message[0] }));
	nodes[0].single = "[]";
	call_two();
	ck_assert_ptr_nonnull(strstr(told.err.msg, "the answer is no JSON-RPC"));
}
END_TEST

/* The first that is said for good is looked at; a node that knew its chain once is not believed without. */
static const struct { const char *poll, *state; } ids[] = {
	{ "[" NO("0", "{\"code\":-32601,\"message\":\"no\"}") "," OK("1", HEAD("0x10")) "]", "followed" },
	{ "[" OK("0", "null") "," OK("1", HEAD("0x10")) "]", "followed" },
	{ "[" OK("0", "\"5\"") "," OK("1", HEAD("0x10")) "]", "wrong chain" },
	{ "[" OK("0", "[]") "," OK("1", HEAD("0x10")) "]", "set aside" },
};

START_TEST(a_node_that_does_not_know_its_chain_is_believed_if_it_never_did)
{
	bool known = _i % 2 == 1;
	int row = _i / 2;

	up_with(1);
	nodes[0].single = OK("0", HEAD("0x10"));
	if (known)
		poll_all();
	nodes[0].poll = ids[row].poll;
	poll_all();
	ck_assert_str_eq(cw_rpc_endpoint_stats(rpc, 0).state, known && row < 2 ? "set aside" : ids[row].state);
}
END_TEST

START_TEST(unknown_methods_are_told_from_unknown_blocks)
{
	static const struct { int64_t code; const char *message; bool unknown; } cases[] = {
		{ -32601, "no", true }, { -32600, "Unsupported method: eth_getBlockReceipts on ETH_MAINNET", true },
		{ -32000, "the method eth_getBlockReceipts does not exist/is not available", true }, { -32000, "Method not found", true },
		{ -32000, "header not found", false }, { -32000, "block does not exist", false }, { -32000, "unknown block", false },
		{ -32000, "method handler crashed", false }, { 0, "no message", false },
	};
	const struct cw_json null = { .type = CW_JSON_NULL };

	up_with(1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct cw_rpc_reply reply = { .code = cases[i].code, .message = cases[i].message };

		ck_assert_msg(cw_rpc_is_unknown_method(&reply) == cases[i].unknown, "%s", cases[i].message);
	}
	ck_assert(!cw_rpc_is_unknown_method(&(struct cw_rpc_reply){ .result = &null }));
}
END_TEST

START_TEST(an_answer_that_is_too_long_is_given_up)
{
	static char text[4000];

	up_with(1);
	poll_all();
	memset(text, ' ', sizeof(text) - 1);
	nodes[0].call = text;
	call_two();
	ck_assert_msg(strstr(told.err.msg, "is larger than 2000 bytes") != NULL, "%s", told.err.msg);
}
END_TEST

/* --- heads --- */

static const struct { const char *poll, *state, *what; uint64_t head; } polls[] = {
	{ "[" OK("0", "\"0x1\"") "," OK("1", HEAD("0x0010")) "]", "followed", "", 16 },
	{ "[" OK("0", "1") "," OK("1", "{\"number\":16,\"hash\":\"0xBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB\"}") "]",
	  "followed", "", 16 },
	{ "[" OK("0", "\"0x5\"") "," OK("1", HEAD("0x10")) "]", "wrong chain", "it is of chain 5, not 1", 16 },
	{ "[" OK("0", "\"main\"") "," OK("1", HEAD("0x10")) "]", "set aside", "it did not say its chain id", 0 },
	{ "[" NO("0", "{\"code\":-1,\"message\":\"no\"}") "," OK("1", HEAD("0x10")) "]", "set aside", "it did not say its chain id", 0 },
	{ "[" OK("0", "\"0x1\"") "," OK("1", "null") "]", "set aside", "its newest block makes no sense", 0 },
	{ "[" OK("0", "\"0x1\"") "," OK("1", HEAD("0x10000000000000000")) "]", "set aside", "its newest block makes no sense", 0 },
	{ "[" OK("0", "\"0x1\"") "," OK("1", HEAD("0x8000000000000000")) "]", "set aside", "its newest block makes no sense", 0 },
	{ "[" OK("0", "\"0x1\"") "," OK("1", HEAD("-1")) "]", "set aside", "its newest block makes no sense", 0 },
	{ "[" OK("0", "\"0x1\"") "," OK("1", "{\"number\":\"0x10\",\"hash\":\"0x1\"}") "]", "set aside", "its newest block makes no sense", 0 },
	{ "[" OK("0", "\"0x1\"") "," NO("1", "{\"code\":-32000,\"message\":\"syncing\"}") "]", "set aside", "syncing", 0 },
};

START_TEST(heads_that_make_sense_and_those_that_do_not)
{
	struct cw_rpc_endpoint_stats stats;
	struct cw_rpc_head head;

	up_with(1);
	nodes[0].poll = polls[_i].poll;
	poll_all();
	stats = cw_rpc_endpoint_stats(rpc, 0);
	ck_assert_str_eq(stats.state, polls[_i].state);
	ck_assert_str_eq(stats.last_error, polls[_i].what);
	ck_assert_int_eq(cw_rpc_head(rpc, &head, &err), polls[_i].what[0] == '\0' ? 0 : -1);
	if (polls[_i].what[0] == '\0')
		ck_assert_uint_eq(head.number, polls[_i].head);
	else
		ck_assert_ptr_nonnull(strstr(err.msg, polls[_i].what));
}
END_TEST

static const char *followed(void)
{
	for (int i = 0; i < cw_rpc_endpoints(rpc); i++)
		if (strcmp(cw_rpc_endpoint_stats(rpc, i).state, "followed") == 0)
			return cw_rpc_endpoint_stats(rpc, i).name;
	return "none";
}

START_TEST(the_one_that_is_followed_is_left_when_it_lags_or_fails)
{
	up_with(2);
	poll_all();
	ck_assert_str_eq(followed(), "first");       /* of equal ones the heavier */
	nodes[1].poll = "[" OK("0", "\"0x1\"") "," OK("1", HEAD("0x12")) "]";
	for (int i = 0; i < 9; i++)
		poll_all();
	ck_assert_str_eq(followed(), "first");       /* a little behind, for a while */
	poll_all();
	ck_assert_str_eq(followed(), "second");
	nodes[0].poll = "[" OK("0", "\"0x1\"") "," OK("1", HEAD("0x16")) "]";
	poll_all();
	ck_assert_str_eq(followed(), "first");       /* far behind: at once */
	nodes[0].status = 500;
	nodes[1].call = "[" OK("0", "\"a\"") "," OK("1", "\"b\"") "]";
	call_two();
	ck_assert_str_eq(told.result[0], "a");
	poll_all();
	ck_assert_str_eq(followed(), "second");
	nodes[1].call = "[]";
	call_two();
	ck_assert_msg(strstr(told.err.msg, "endpoint \"second\": answers are missing") != NULL, "%s", told.err.msg);
}
END_TEST

START_TEST(settings_that_make_no_sense_are_refused)
{
	struct cw_rpc_endpoint_conf endpoints[2] = { { .url = "http://h" }, { .url = "ftp://h" } };
	struct cw_rpc_conf conf = { .source = "dev", .chain_id = 1, .endpoints = endpoints, .nendpoints = 2 };

	up_with(1);
	ck_assert_ptr_null(cw_rpc_new(httpd.loop, http, &conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "endpoint 2: is not an http or https URL"));
	conf.nendpoints = 0;
	ck_assert_ptr_null(cw_rpc_new(httpd.loop, http, &conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "needs 1 to 16 endpoints"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rpc");
	TCase *tc = tcase_create("rpc");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, NULL, down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, answers_come_in_any_order);
	tcase_add_loop_test(tc, what_is_of_no_use_sets_the_endpoint_aside, 0, (int)(sizeof(useless) / sizeof(*useless)));
	tcase_add_test(tc, errors_that_are_no_objects_are_errors);
	tcase_add_loop_test(tc, a_node_is_asked_for_as_much_as_it_takes, 0, (int)(sizeof(refusals) / sizeof(*refusals)));
	tcase_add_test(tc, errors_of_calls_that_are_asked_one_by_one);
	tcase_add_test(tc, unknown_methods_are_told_from_unknown_blocks);
	tcase_add_test(tc, an_answer_that_is_too_long_is_given_up);
	tcase_add_loop_test(tc, a_node_that_does_not_know_its_chain_is_believed_if_it_never_did, 0, 2 * (int)(sizeof(ids) / sizeof(*ids)));
	tcase_add_loop_test(tc, heads_that_make_sense_and_those_that_do_not, 0, (int)(sizeof(polls) / sizeof(*polls)));
	tcase_add_test(tc, the_one_that_is_followed_is_left_when_it_lags_or_fails);
	tcase_add_test(tc, settings_that_make_no_sense_are_refused);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
