/* The pipeline while a table cannot be read: whoever reads asks again until it can, nobody gets a wrong answer, nothing is done
 * twice. The table is renamed for a while, which each statement on it meets as an error, or locked, and statements wait. */
#include "pipeline/pipeline.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "state/checkpoint.h"
#include "state/state.h"
#include "support/pgtest.h"
#include "support/pipeline_env.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"

static struct pgtest *pg;
static char conninfo[512];

static void up(void)
{
	snprintf(conninfo, sizeof(conninfo), "%s", store_env_database(pg));
	cw_log_set_level(NULL, getenv("CW_TEST_LOG") != NULL ? CW_LOG_DEBUG : CW_LOG_OFF);
	env.conf = cw_pipeline_conf_default;
	env_up(conninfo, "v1");
}

static void down(void)
{
	env_down();
}

static void hide(const char *table)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "ALTER TABLE %s RENAME TO hidden", table);
	store_env_exec(pg, sql);
}

static void show(const char *table)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "ALTER TABLE hidden RENAME TO %s", table);
	store_env_exec(pg, sql);
}

static void store(uint64_t first, uint64_t last)
{
	for (uint64_t n = first; n <= last; n++) {
		struct call *call = call_one(n, TOLD_ALERT);

		ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
		call_free(&call);
	}
}

START_TEST(verdict_of_a_known_one_waits_until_it_can_be_read)
{
	struct call *known, *cancelled, *fresh;
	int64_t id;

	known = call_one(5, TOLD_TWO);
	id = call_wait(known)->id;
	call_free(&known);
	store(6, 6);
	env_restart(conninfo, "v1");
	hide("predictions");
	known = call_one(5, TOLD_TWO);
	cancelled = call_one(6, TOLD_ALERT);
	cw_pipeline_cancel(env.p, cancelled->id);
	env_idle(300);
	ck_assert(!known->done);
	show("predictions");
	ck_assert_int_eq(call_wait(known)->err.code, CW_OK);
	ck_assert(known->seen[0].duplicate);
	ck_assert_int_eq(known->seen[0].id, id);
	ck_assert_int_eq(known->seen[0].nalerts, 2);
	ck_assert(!cancelled->done);
	fresh = call_one(7, TOLD_QUIET);
	ck_assert_int_eq(call_wait(fresh)->err.code, CW_OK);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM predictions"), 3);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).load, 0);
	call_free(&known);
	call_free(&cancelled);
	call_free(&fresh);
}
END_TEST

START_TEST(end_while_a_verdict_cannot_be_read_answers_those_who_wait)
{
	struct call *known;

	store(5, 5);
	env_restart(conninfo, "v1");
	hide("predictions");
	known = call_one(5, TOLD_ALERT);
	env_idle(100);
	env_restart(conninfo, NULL);
	ck_assert(known->done);
	ck_assert_int_ne(known->seen[0].err.code, CW_OK);
	show("predictions");
	call_free(&known);
}
END_TEST

START_TEST(history_is_replayed_when_it_can_be_read)
{
	struct call *call;

	store(1, 20);
	env_restart(conninfo, NULL);
	hide("transactions");
	env_load("v1");
	ck_assert_int_eq(env.load_err.code, CW_OK);
	env_idle(600);
	ck_assert(!cw_pipeline_ready(env.p));
	show("transactions");
	env_until_ready();
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 20);
	call = call_one(99, TOLD_ALERT);
	ck_assert_ptr_nonnull(strstr(call_wait(call)->alerts[0].features, "\"n\":21,"));
	call_free(&call);
}
END_TEST

START_TEST(end_in_the_middle_of_a_replay)
{
	store(1, 3);
	env_restart(conninfo, NULL);
	hide("transactions");
	env_load("v1");
	env_idle(100);
	ck_assert(!cw_pipeline_ready(env.p));
	env_restart(conninfo, NULL);              /* no leak, no crash; the next one begins anew */
	show("transactions");
	env_load("v1");
	env_until_ready();
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 3);
}
END_TEST

START_TEST(rates_are_looked_at_again)
{
	struct call *call;

	env.conf.rate_check_ms = 50;
	cw_pipeline_reconfigure(env.p, &env.conf);
	hide("anomalies");
	env_idle(200);
	show("anomalies");
	call = call_one(1, TOLD_ALERT);
	ck_assert_int_eq(call_wait(call)->nalerts, 1);
	env_idle(200);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"rate\":"));
	env.conf.rate_check_ms = 0;
	cw_pipeline_reconfigure(env.p, &env.conf);
	call_free(&call);
}
END_TEST

START_TEST(rules_register_when_their_table_is_there)
{
	struct call *call;

	hide("model_versions");
	env_load("v2");
	show("model_versions");
	if (env.load_err.code != CW_OK)           /* refused, and the old ones go on */
		ck_assert_str_ne(env.load_err.msg, "");
	call = call_one(1, TOLD_ALERT);
	ck_assert_int_eq(call_wait(call)->nalerts, 1);
	ck_assert_str_eq(call->seen[0].ruleset, env.load_err.code != CW_OK ? "digest-v1" : "digest-v2");
	call_free(&call);
	env_load("v3");
	ck_assert_msg(env.load_err.code == CW_OK, "%s", env.load_err.msg);
}
END_TEST

static int restored;

static void on_lost(void *arg, struct cw_state *st)
{
	(void)arg;
	ck_assert_ptr_eq(st, env.st);
	restored++;
}

/* A transaction in the history takes the evaluator down, and the state with it: the owner may restore what he has, the rest is
 * replayed from the start, without the rule. */
START_TEST(state_that_is_lost_in_a_replay_is_replayed_again)
{
	struct cw_tx_in txs[40];
	struct call *call;

	for (size_t i = 0; i < 40; i++) {
		txs[i] = store_env_tx(i + 1);
		txs[i].tx.gas = i == 30 ? TOLD_CRASH : TOLD_ALERT;
	}
	call = call_send(txs, 40);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(call_wait(call)[i].err.code, CW_OK);
	call_free(&call);
	store_env_exec(pg, "DELETE FROM rule_states");   /* the rule is on again */
	env_restart(conninfo, NULL);
	restored = 0;
	cw_pipeline_on_state_lost(env.p, on_lost, NULL);
	env_load("v1");
	env_until_ready();
	ck_assert_int_eq(restored, 1);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"quarantined\":true"));
	call = call_one(99, TOLD_ALERT);
	ck_assert_ptr_nonnull(strstr(call_wait(call)->alerts[0].features, "\"n\":41,"));
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM predictions"), 41);
	call_free(&call);
}
END_TEST

START_TEST(settings_that_make_no_sense_change_nothing)
{
	struct cw_pipeline_conf odd = env.conf;
	struct call *call;

	odd.commit_linger_us = -1;
	odd.queue_limit = 1;
	cw_pipeline_reconfigure(env.p, &odd);
	store(1, 3);
	call = call_send((struct cw_tx_in[]){ store_env_tx(8), store_env_tx(9) }, 2);
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);   /* two fit: the old limit holds */
	call_free(&call);
}
END_TEST

/* Where history begins can be read, and the history itself only later; but one row of it never. */
START_TEST(a_page_of_history_is_read_when_it_can_be)
{
	store(1, 20);
	store_env_exec(pg, "UPDATE transactions SET logs = '\\xff' WHERE id = 7");
	store_env_exec(pg, "ALTER TABLE transactions RENAME gas_price TO hidden");
	env_restart(conninfo, NULL);
	env_load("v1");
	ck_assert_int_eq(env.load_err.code, CW_OK);
	env_idle(500);
	ck_assert(!cw_pipeline_ready(env.p));
	ck_assert(cw_pipeline_stats(env.p).replaying);
	ck_assert(cw_pipeline_stats(env.p).replay_progress < 1);
	store_env_exec(pg, "ALTER TABLE transactions RENAME hidden TO gas_price");
	env_until_ready();
	ck_assert(cw_pipeline_stats(env.p).replay_progress >= 1);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 19);
}
END_TEST

static void store_many(int n)
{
	char sql[512];

	snprintf(sql, sizeof(sql), "INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, value, gas,"
	         " gas_price, nonce) SELECT 1, decode('ab' || lpad(to_hex(i), 62, '0'), 'hex'), i, to_timestamp(1767225600 + i),"
	         " decode(lpad(to_hex(i %% 7), 40, 'a'), 'hex'), i, CASE WHEN i %% 20 = 0 THEN %d ELSE %d END, 30, 2000"
	         " FROM generate_series(1, %d) i", TOLD_SPIN, TOLD_QUIET, n);
	store_env_exec(pg, sql);
}

/* More than a page of it and many times what the ring holds, and other rules come while it is judged. */
START_TEST(rules_take_over_in_the_middle_of_a_replay)
{
	struct call *call;

	store_many(2100);
	env.supervisor.ring_slots = 16;
	env_restart(conninfo, NULL);
	env_load("v1");
	ck_assert_int_eq(env.load_err.code, CW_OK);
	env_load("v2");
	ck_assert_int_eq(env.load_err.code, CW_OK);
	ck_assert(cw_pipeline_stats(env.p).replaying);
	env_until_ready();
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 2100);
	call = call_one(99, TOLD_ALERT);
	ck_assert_ptr_nonnull(strstr(call_wait(call)->alerts[0].features, "\"n\":2101,"));
	ck_assert_str_eq(call->seen[0].ruleset, "digest-v2");
	call_free(&call);
}
END_TEST

/* The state is older than the oldest transaction that may be replayed: it goes on with a gap, and says so. */
START_TEST(history_is_longer_than_what_is_replayed)
{
	char path[] = "/tmp/cw-retry-XXXXXX";
	struct cw_checkpoint *copy = cw_checkpoint_new();
	struct cw_err err;
	struct call *call;

	ck_assert_int_ge(mkstemp(path), 0);
	store(1, 5);
	ck_assert_msg(cw_checkpoint_save(copy, env.st, 5, (const uint8_t[32]){ 0 }, path, &err) == 0, "%s", err.msg);
	cw_checkpoint_free(&copy);
	store(6, 20);
	env.conf.replay_max = 4;
	env_restart(conninfo, NULL);
	ck_assert_msg(cw_checkpoint_load(env.st, path, NULL, NULL, &err) == 0, "%s", err.msg);
	unlink(path);
	env_load("v1");
	env_until_ready();
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 4);
	call = call_one(99, TOLD_ALERT);
	ck_assert_ptr_nonnull(strstr(call_wait(call)->alerts[0].features, "\"n\":10,"));
	call_free(&call);
}
END_TEST

static const struct { const char *version, *why; } refused[] = {
	{ "torn", "cannot read the report of the rules: " },
	{ "no list", "the report of the rules has no list of rules" },
	{ "no id", "rule 0 of the report has no id" },
	{ "loose", "the rules could not be attached to the state: attach was told to fail" },
};

START_TEST(rules_that_are_none_leave_those_before)
{
	struct call *call = call_one(1, TOLD_ALERT);

	ck_assert_int_eq(call_wait(call)->nalerts, 1);
	call_free(&call);
	env_load(refused[_i].version);
	ck_assert_int_eq(env.load_err.code, CW_ERR_INTERNAL);
	ck_assert_msg(strncmp(env.load_err.msg, refused[_i].why, strlen(refused[_i].why)) == 0, "%s", env.load_err.msg);
	call = call_one(2, TOLD_ALERT);
	ck_assert_str_eq(call_wait(call)->ruleset, "digest-v1");
	ck_assert_ptr_nonnull(strstr(call->seen[0].alerts[0].features, "\"n\":2,"));
	call_free(&call);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"alerts\":2,"));
	env_restart(conninfo, NULL);     /* and where there are none before */
	env_load(refused[_i].version);
	ck_assert_int_eq(env.load_err.code, CW_ERR_INTERNAL);
	env_load("v1");
	ck_assert_msg(env.load_err.code == CW_OK, "%s", env.load_err.msg);
	env_until_ready();
}
END_TEST

static void on_lists(void *arg, const char *report, const struct cw_err *failed)
{
	ck_assert_msg(failed == NULL, "%s", failed->msg);
	snprintf(arg, 64, "%s", report);
}

static int load_lists(int n, char told[64], struct cw_err *err)
{
	static const struct cw_bundle_file files[] = { { CW_LISTS_STORED "a", "x", 1 }, { CW_LISTS_STORED "b", "y", 1 } };

	told[0] = '\0';
	return cw_pipeline_load_lists(env.p, files, n, on_lists, told, err);
}

static void wait_told(const char *told)
{
	bool done = false;

	for (int i = 0; i < 2000 && !done; i++) {
		env_turn();
		done = told[0] != '\0';
	}
	ck_assert(done);
}

START_TEST(lists_come_with_the_rules_that_are_live)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle aside = *rules_in_c_bundle("v7");
	struct cw_bundle_file own = { "lists/own.csv", "z", 1 };
	char told[64], other[64];
	struct cw_err err;

	cw_pipeline_join_lists(env.p, &aside, arena);
	ck_assert_int_eq(aside.nlists, 0);
	ck_assert_msg(load_lists(2, told, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(load_lists(1, other, &err), -1);
	ck_assert_str_eq(err.msg, "other rules are being loaded");
	wait_told(told);
	ck_assert_ptr_nonnull(strstr(told, "\"digest\":\"digest-v1\",\"lists\":2"));
	env_load("v2");
	ck_assert_ptr_nonnull(strstr(env.report, "\"digest\":\"digest-v2\",\"lists\":2"));
	aside.lists = &own;
	aside.nlists = 1;
	cw_pipeline_join_lists(env.p, &aside, arena);
	ck_assert_int_eq(aside.nlists, 3);
	ck_assert_str_eq(aside.lists[0].name, "lists/own.csv");
	ck_assert_str_eq(aside.lists[2].name, CW_LISTS_STORED "b");
	ck_assert_int_eq(load_lists(1, told, &err), 0);
	wait_told(told);
	ck_assert_ptr_nonnull(strstr(told, "\"digest\":\"digest-v2\",\"lists\":1"));
	env_restart(conninfo, NULL);
	ck_assert_int_eq(load_lists(1, told, &err), -1);
	ck_assert_str_eq(err.msg, "no rules are live yet");
	cw_pipeline_set_lists(env.p, &own, 1);
	cw_arena_free(&arena);
}
END_TEST

/* No evaluator can be made: what is there goes on. */
START_TEST(lists_cannot_be_loaded_without_a_zygote)
{
	FILE *f = fopen("/proc/thread-self/children", "r");
	pid_t pids[2], live = (pid_t)cw_pipeline_supervisor_stats(env.p).pid;
	char told[64];
	struct cw_err err;
	struct call *call;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d %d", &pids[0], &pids[1]), 2);
	fclose(f);
	kill(pids[0] == live ? pids[1] : pids[0], SIGKILL);
	ck_assert_int_eq(load_lists(1, told, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "zygote"));
	call = call_one(1, TOLD_ALERT);
	ck_assert_int_eq(call_wait(call)->nalerts, 1);
	call_free(&call);
}
END_TEST

/* A rule takes the evaluator down and is off from then on, whether or not that can be stored. */
static void crash(uint64_t n)
{
	struct call *call = call_one(n, TOLD_CRASH);

	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"quarantined\":true"));
	call_free(&call);
}

START_TEST(a_quarantine_that_cannot_be_stored_holds)
{
	struct call *call;

	hide("rule_states");
	crash(1);
	call = call_one(2, TOLD_CRASH);
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	call_free(&call);
	show("rule_states");
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM rule_states"), 0);
}
END_TEST

START_TEST(the_end_comes_before_a_quarantine_is_stored)
{
	store_env_lock(pg, "rule_states");
	crash(1);
	env_restart(conninfo, NULL);
	store_env_release();
	env_load("v1");
	ck_assert_msg(env.load_err.code == CW_OK, "%s", env.load_err.msg);
	env_until_ready();
}
END_TEST

/* Whoever waits is told; what was asked of the database is taken back. */
START_TEST(the_end_comes_while_the_database_does_not_answer)
{
	struct cw_err err;

	store(1, 5);
	env_restart(conninfo, NULL);
	store_env_lock(pg, "transactions");
	env_load("v1");
	env_idle(100);
	ck_assert(cw_pipeline_stats(env.p).replaying);
	env_restart(conninfo, NULL);
	store_env_release();
	store_env_lock(pg, "model_versions");
	env.loaded = false;
	ck_assert_msg(cw_pipeline_load_rules(env.p, rules_in_c_bundle("v1"), env_on_load, NULL, &err) == 0, "%s", err.msg);
	env_idle(500);
	ck_assert(!env.loaded);
	env_restart(conninfo, NULL);
	ck_assert(env.loaded);
	ck_assert_str_eq(env.load_err.msg, "the engine is stopping");
	store_env_release();
	env_load("v1");
	env_until_ready();
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 5);
}
END_TEST

/* The disk is full: for a moment that costs nobody his answer, then everybody is told, until there is room again. */
START_TEST(a_full_disk_is_told)
{
	struct cw_origin origin = { .request_id = "r" };
	struct cw_tx_in in = store_env_tx(9);
	struct call *call, *late;
	struct cw_err err = { 0 };

	store_env_exec(pg, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END';"
	               " CREATE TRIGGER refuse BEFORE INSERT ON predictions FOR EACH ROW EXECUTE FUNCTION refuse()");
	call = call_one(1, TOLD_ALERT);
	ck_assert_int_eq(call_wait(call)->err.code, CW_ERR_FULL);
	ck_assert_str_eq(call->seen[0].err.msg, "the database has no room on its disk; nothing is taken until it has");
	call_free(&call);
	late = call_new(1);
	ck_assert_uint_eq(cw_pipeline_submit(env.p, &in, 1, &origin, call_answer, late, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_FULL);
	ck_assert(!late->done);
	store_env_exec(pg, "DROP FUNCTION refuse CASCADE");
	for (int i = 0; i < 2000 && cw_pipeline_stats(env.p).load > 0; i++)
		env_turn();
	call = call_one(1, TOLD_ALERT);  /* what was given up was stored all the same */
	ck_assert(call_wait(call)->duplicate);
	ck_assert_int_eq(call->seen[0].nalerts, 1);
	call_free(&call);
	call = call_one(9, TOLD_ALERT);
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	call_free(&call);
	call_free(&late);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM predictions"), 2);
}
END_TEST

/* A commit that did not come about was judged under an identity that somebody else has meanwhile: it gets another one, and so
 * does the alert that it founded. */
START_TEST(an_identity_that_was_taken_meanwhile)
{
	struct call *call;

	store(1, 3);
	store_env_lock(pg, "predictions");
	call = call_one(30, TOLD_LIVE);
	env_idle(300);
	ck_assert(!call->done);
	/* Nobody turns the loop, so the engine does not know yet. */
	store_env_exec(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'predictions' AND state = 'active'"
	               " AND pid <> pg_backend_pid()");
	store_env_exec(pg, "INSERT INTO transactions (id, chain_id, hash, block_number, timestamp, from_address, value, gas, gas_price,"
	               " nonce) OVERRIDING SYSTEM VALUE SELECT 4, 5, hash, block_number, timestamp, from_address, value, gas,"
	               " gas_price, nonce FROM transactions WHERE id = 1");
	store_env_release();
	ck_assert_msg(call_wait(call)->err.code == CW_OK, "%s", call->seen[0].err.msg);
	ck_assert_int_gt(call->seen[0].id, 4);
	ck_assert_int_eq(call->seen[0].nalerts, 1);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM anomalies WHERE transaction_id > 4 AND founder = transaction_id"),
	                 1);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM predictions"), 4);
	call_free(&call);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("retry");
	TCase *tc = tcase_create("retry");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, verdict_of_a_known_one_waits_until_it_can_be_read);
	tcase_add_test(tc, end_while_a_verdict_cannot_be_read_answers_those_who_wait);
	tcase_add_test(tc, history_is_replayed_when_it_can_be_read);
	tcase_add_test(tc, end_in_the_middle_of_a_replay);
	tcase_add_test(tc, rates_are_looked_at_again);
	tcase_add_test(tc, rules_register_when_their_table_is_there);
	tcase_add_test(tc, state_that_is_lost_in_a_replay_is_replayed_again);
	tcase_add_test(tc, settings_that_make_no_sense_change_nothing);
	tcase_add_test(tc, a_page_of_history_is_read_when_it_can_be);
	tcase_add_test(tc, rules_take_over_in_the_middle_of_a_replay);
	tcase_add_test(tc, history_is_longer_than_what_is_replayed);
	tcase_add_loop_test(tc, rules_that_are_none_leave_those_before, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, lists_come_with_the_rules_that_are_live);
	tcase_add_test(tc, lists_cannot_be_loaded_without_a_zygote);
	tcase_add_test(tc, a_quarantine_that_cannot_be_stored_holds);
	tcase_add_test(tc, the_end_comes_before_a_quarantine_is_stored);
	tcase_add_test(tc, a_full_disk_is_told);
	tcase_add_test(tc, an_identity_that_was_taken_meanwhile);
	tcase_add_test(tc, the_end_comes_while_the_database_does_not_answer);
	pg = store_env_start();
	srunner_run_all(runner, CK_NORMAL);
	pgtest_stop(&pg);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
