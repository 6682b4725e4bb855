/* The pipeline while a table cannot be read: whoever reads asks again until it can, nobody gets a wrong answer, nothing is done
 * twice. The table is renamed for a while, which each statement on it meets as an error. */
#include "pipeline/pipeline.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
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
	pg = store_env_start();
	srunner_run_all(runner, CK_NORMAL);
	pgtest_stop(&pg);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
