/* Rules that lack history get it, each transaction once, whatever happens meanwhile. The rule (tests/support/rules_in_c.h) counts
 * what it is given; rule 0 beside it has counted all there is. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pipeline/pipeline.h"
#include "support/pgtest.h"
#include "support/pipeline_env.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"

#define STORED 3000               /* more than a page, and than the ring holds */

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:abort_on_error=1:detect_stack_use_after_return=0";
}

static struct pgtest *pg;
static char conninfo[512];
static uint64_t next;

static void up(void)
{
	snprintf(conninfo, sizeof(conninfo), "%s", store_env_database(pg));
	cw_log_set_level(NULL, getenv("CW_TEST_LOG") != NULL ? CW_LOG_DEBUG : CW_LOG_OFF);
	store_env_exec(pg, "INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, to_address, value,"
	               " gas, gas_price, nonce, block_hash) SELECT 1, decode('ab' || lpad(to_hex(i), 62, '0'), 'hex'), i / 10,"
	               " to_timestamp(1767225600 + i), decode(lpad(to_hex(i % 7), 40, 'a'), 'hex'),"
	               " decode(lpad(to_hex(i % 5), 40, 'a'), 'hex'), i, 21000, 30, i,"
	               " decode(lpad(to_hex(i / 10), 64, 'c'), 'hex') FROM generate_series(1, 3000) i");
	next = 1;
	env.conf = cw_pipeline_conf_default;
	env_up(conninfo, NULL);
	env.supervisor.ring_slots = 64;
	env_restart(conninfo, "v1");
}

static void down(void)
{
	env_down();
}

static void send_one(enum told told)
{
	struct call *call = call_one(next++, told);

	ck_assert_msg(call_wait(call)->err.code == CW_OK, "%s", call->seen[0].err.msg);
	call_free(&call);
}

static void load(const char *version)
{
	env_load(version);
	ck_assert_msg(env.load_err.code == CW_OK, "%s", env.load_err.msg);
}

static bool is_warm(void)
{
	return strstr(cw_pipeline_ruleset(env.p), "\"warm\":false") == NULL;
}

static void wait_for(uint64_t warmed)
{
	static bool yes;

	for (int i = 0; i < 4000 && cw_pipeline_stats(env.p).warmed < warmed; i++)
		env_turn();
	yes = cw_pipeline_stats(env.p).warmed >= warmed;
	env_until(&yes, 1);
}

/* Every transaction once, live or as history: as many as the rule beside it has counted. */
static void assert_all_seen(void)
{
	bool done = false;

	for (int i = 0; i < 4000 && !done; i++) {
		env_turn();
		done = is_warm() && cw_pipeline_ready(env.p);
	}
	ck_assert_msg(done, "%s", cw_pipeline_ruleset(env.p));
	send_one(TOLD_SHADOW);
	ck_assert_str_eq(store_env_value(pg, "SELECT count(*) || ' ' || min((features_used->>'n')::int - (features_used->>'seen')::int)"
	                 " FROM anomalies WHERE shadow AND transaction_id = (SELECT max(id) FROM transactions)"), "1 0");
}

START_TEST(history_comes_between_live_transactions)
{
	load("v2 lacks");
	ck_assert(!is_warm());
	while (!is_warm())
		send_one(TOLD_QUIET);
	assert_all_seen();
	ck_assert_uint_ge(cw_pipeline_stats(env.p).warmed, STORED);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"warm_progress\":1.000"));
	send_one(TOLD_QUIET);
	assert_all_seen();
}
END_TEST

/* The table, and one column of it, so that where history begins is known and the history itself is not. */
static const char *const away[][2] = {
	{ "ALTER TABLE transactions RENAME TO hidden", "ALTER TABLE hidden RENAME TO transactions" },
	{ "ALTER TABLE transactions RENAME gas_price TO hidden", "ALTER TABLE transactions RENAME hidden TO gas_price" },
};

START_TEST(history_is_read_when_it_can_be)
{
	store_env_exec(pg, "UPDATE transactions SET canonical = false WHERE id = 7");   /* was counted, and is no more */
	env_restart(conninfo, "v1");
	store_env_exec(pg, away[_i][0]);
	load("v2 lacks");
	env_idle(700);
	ck_assert(!is_warm());
	ck_assert_uint_eq(cw_pipeline_stats(env.p).warmed, 0);
	store_env_exec(pg, away[_i][1]);
	assert_all_seen();
}
END_TEST

START_TEST(other_rules_take_over_in_the_middle)
{
	load("v2 lacks");
	wait_for(300);
	load("v3 lacks");
	assert_all_seen();
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "digest-v3 lacks"));
}
END_TEST

START_TEST(an_evaluator_dies_in_the_middle)
{
	load("v2 lacks");
	wait_for(300);
	kill((pid_t)cw_pipeline_supervisor_stats(env.p).pid, SIGKILL);
	assert_all_seen();
}
END_TEST

static void on_rewound(void *arg, const struct cw_rewound *what, const struct cw_err *err)
{
	ck_assert_ptr_null(err);
	ck_assert_uint_eq(what->transactions, 1000);
	*(bool *)arg = true;
}

START_TEST(a_chain_takes_blocks_back_in_the_middle)
{
	const struct cw_reorg reorg = { .chain_id = 1, .from_block = 200 };
	struct cw_err err;
	bool done = false;

	store_env_exec(pg, "UPDATE transactions SET block_number = 199 WHERE id = 3000");
	env_restart(conninfo, "v1");
	load("v2 lacks");
	wait_for(300);
	ck_assert_msg(cw_pipeline_rewind(env.p, &reorg, on_rewound, &done, &err) == 0, "%s", err.msg);
	env_until(&done, 20000);
	assert_all_seen();
}
END_TEST

/* New groups wait for the end of it, but not for ever: here the end does not come as long as a commit hangs. */
START_TEST(a_hanging_commit_does_not_hold_up_what_is_new)
{
	struct call *hangs;

	store_env_lock(pg, "predictions");
	hangs = call_one(next++, TOLD_QUIET);
	env_idle(50);
	load("v2 lacks");
	env_idle(2500);
	ck_assert(!hangs->done);
	ck_assert(!is_warm());
	store_env_release();
	ck_assert_int_eq(call_wait(hangs)->err.code, CW_OK);
	call_free(&hangs);
	send_one(TOLD_QUIET);
	assert_all_seen();
}
END_TEST

START_TEST(the_end_comes_while_the_database_does_not_answer)
{
	load("v2 lacks");
	store_env_lock(pg, "transactions");
	env_idle(400);
	env_restart(conninfo, NULL);
	store_env_release();
	load("v2 lacks");
	assert_all_seen();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("warm");
	TCase *tc = tcase_create("warm");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, history_comes_between_live_transactions);
	tcase_add_loop_test(tc, history_is_read_when_it_can_be, 0, 2);
	tcase_add_test(tc, other_rules_take_over_in_the_middle);
	tcase_add_test(tc, an_evaluator_dies_in_the_middle);
	tcase_add_test(tc, a_chain_takes_blocks_back_in_the_middle);
	tcase_add_test(tc, a_hanging_commit_does_not_hold_up_what_is_new);
	tcase_add_test(tc, the_end_comes_while_the_database_does_not_answer);
	pg = store_env_start();
	srunner_run_all(runner, CK_NORMAL);
	pgtest_stop(&pg);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
