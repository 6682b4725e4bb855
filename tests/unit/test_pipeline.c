/* The way of a transaction, with a real PostgreSQL and a real evaluator process. What happens when something dies is in
 * test_commit.c. */
#include "pipeline/pipeline.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "support/pgtest.h"
#include "support/pipeline_env.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"

/* Sanitizers would turn the crash of a rule into an exit. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:abort_on_error=1:detect_stack_use_after_return=0";
}

static struct pgtest *pg;
static char conninfo[512];
static struct cw_err err;

static void up(void)
{
	snprintf(conninfo, sizeof(conninfo), "%s", store_env_database(pg));
	cw_log_set_level(NULL, getenv("CW_TEST_LOG") != NULL ? CW_LOG_DEBUG : CW_LOG_OFF);
	env_up(conninfo, "v1");
}

static void down(void)
{
	env_down();
}

static long number(const char *sql)
{
	return store_env_number(pg, sql);
}

static const char *text(const char *sql)
{
	return store_env_value(pg, sql);
}

static void many(struct cw_tx_in *txs, size_t n, uint64_t first, uint64_t told)
{
	for (size_t i = 0; i < n; i++) {
		txs[i] = store_env_tx(first + i);
		txs[i].tx.gas = told;
	}
}

/* Every alert of "test.count" tells its place among all that were ever evaluated: once each, in the order of ids. */
static void assert_counted_in_order(void)
{
	ck_assert_int_eq(number("SELECT count(*) FROM (SELECT (features_used->>'n')::bigint AS n, row_number() OVER"
	                        " (ORDER BY transaction_id) AS r FROM anomalies WHERE rule_id = 'test.count') x WHERE n <> r"), 0);
}

/* --- new ones --- */

START_TEST(quiet_transaction_is_stored_and_answered)
{
	struct call *call = call_one(7, TOLD_QUIET);
	const struct seen *seen = call_wait(call);

	ck_assert_int_eq(seen->err.code, CW_OK);
	ck_assert(!seen->duplicate && !seen->is_anomaly);
	ck_assert_int_eq(seen->nalerts, 0);
	ck_assert_str_eq(seen->ruleset, "digest-v1");
	ck_assert_int_eq(seen->id, number("SELECT id FROM transactions"));
	ck_assert_str_eq(text("SELECT encode(hash, 'hex') FROM transactions"), store_env_hash(7) + 2);
	ck_assert_str_eq(text("SELECT value::text || ' ' || gas || ' ' || gas_price || ' ' || nonce || ' ' || status || ' ' ||"
	                      " block_number || ' ' || extract(epoch FROM timestamp)::bigint FROM transactions"),
	                 "7000000049 21000 30000000007 0 1 18000000 1767225600");
	ck_assert_str_eq(text("SELECT m.name || ' ' || v.version || ' ' || p.is_anomaly || ' ' || p.request_id FROM"
	                      " predictions p JOIN model_versions v ON v.id = p.model_version_id JOIN models m"
	                      " ON m.id = v.model_id"), "ruleset digest-v1 false req-1");
	ck_assert(strtod(text("SELECT response_time_ms FROM predictions"), NULL) > 0);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies"), 0);
	call_free(&call);
}
END_TEST

START_TEST(every_field_is_stored)
{
	static uint8_t input[300];
	struct cw_tx_in in = store_env_tx(1);
	struct call *call;

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)i;
	memset(&in.tx.value, 0xff, sizeof(in.tx.value));
	in.tx.has = CW_TX_HAS_INPUT | CW_TX_HAS_BLOCK_HASH | CW_TX_HAS_INDEX;
	in.tx.index = 77;
	memset(in.tx.block_hash.b, 0xbb, 32);
	in.input = input;
	in.input_len = sizeof(input);
	in.tx.input_size = 5000;
	call = call_send(&in, 1);
	memset(input, 0, sizeof(input));     /* it was copied */
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	ck_assert_str_eq(text("SELECT value FROM transactions"),
	                 "115792089237316195423570985008687907853269984665640564039457584007913129639935");
	ck_assert_str_eq(text("SELECT concat_ws(' ', tx_index, input_size, length(input_data), get_byte(input_data, 299),"
	                      " left(encode(block_hash, 'hex'), 4), to_address IS NULL, gas_used IS NULL, status IS NULL)"
	                      " FROM transactions"), "77 5000 300 43 bbbb t t t");
	call_free(&call);
}
END_TEST

START_TEST(alerts_are_stored_and_answered)
{
	struct call *one = call_one(1, TOLD_ALERT), *two = call_one(2, TOLD_TWO);
	const struct seen *seen = call_wait(one);

	ck_assert(seen->is_anomaly);
	ck_assert_int_eq(seen->severity, CW_SEVERITY_HIGH);
	ck_assert(seen->score > 0.69 && seen->score < 0.71);
	ck_assert_int_eq(seen->nalerts, 1);
	ck_assert_str_eq(seen->alerts[0].rule, "test.count");
	ck_assert_str_eq(seen->alerts[0].version, "1.0");
	ck_assert_str_eq(seen->alerts[0].title, "Counted");
	ck_assert_str_eq(seen->alerts[0].explanation, "told to");
	ck_assert_int_eq(seen->alerts[0].id, number("SELECT min(id) FROM anomalies"));
	seen = call_wait(two);
	ck_assert_int_eq(seen->nalerts, 2);
	ck_assert_int_eq(seen->severity, CW_SEVERITY_CRITICAL);
	ck_assert(seen->score > 0.89);
	ck_assert_int_eq(seen->alerts[1].id, number("SELECT max(id) FROM anomalies"));
	ck_assert_str_eq(text("SELECT string_agg(concat_ws(' ', a.rule_id, a.rule_version, a.severity, a.dedup_key, a.ruleset,"
	                      " a.status, m.name, v.version), ';' ORDER BY a.id) FROM anomalies a JOIN model_versions v"
	                      " ON v.id = a.model_id JOIN models m ON m.id = v.model_id WHERE a.transaction_id = 2"),
	                 "test.count 1.0 low d digest-v1 open test.count 1.0;"
	                 "test.fault 3.0 critical d digest-v1 open test.fault 3.0");
	call_free(&one);
	call_free(&two);
}
END_TEST

START_TEST(shadow_alert_is_stored_and_not_told)
{
	struct call *call = call_one(1, TOLD_SHADOW), *again;

	ck_assert(!call_wait(call)->is_anomaly);
	ck_assert_int_eq(call->seen->nalerts, 0);
	ck_assert_str_eq(text("SELECT rule_id || ' ' || shadow FROM anomalies"), "test.shadow true");
	ck_assert_str_eq(text("SELECT is_anomaly FROM predictions"), "f");
	again = call_one(1, TOLD_SHADOW);
	ck_assert(call_wait(again)->duplicate);
	ck_assert_int_eq(again->seen->nalerts, 0);
	call_free(&call);
	call_free(&again);
}
END_TEST

START_TEST(faults_are_stored_and_counted)
{
	struct call *one = call_one(1, TOLD_FAULT), *two = call_one(2, TOLD_FAULT);

	ck_assert_int_eq(call_wait(one)->err.code, CW_OK);
	ck_assert_int_eq(call_wait(two)->err.code, CW_OK);
	ck_assert_str_eq(text("SELECT string_agg(faults::text, '') FROM predictions WHERE transaction_id = 1"),
	                 "[{\"kind\": \"ticks\", \"rule\": \"test.fault\", \"message\": \"too long\"}]");
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"id\":\"test.fault\",\"version\":\"3.0\""));
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"faults\":2"));
	call_free(&one);
	call_free(&two);
}
END_TEST

START_TEST(alert_of_no_rule_is_dropped)
{
	struct call *call = call_one(1, TOLD_NO_RULE);

	ck_assert(!call_wait(call)->is_anomaly);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 1);
	call_free(&call);
}
END_TEST

/* --- groups and order --- */

START_TEST(order_is_kept_over_groups_of_any_size)
{
	struct call *calls[60];
	struct cw_tx_in txs[60];
	uint64_t at = 0;
	int64_t last = 0;

	for (int i = 0; i < 60; i++) {
		size_t n = 1 + (size_t)(i * 7 % 60);

		many(txs, n, at, TOLD_ALERT);
		calls[i] = call_send(txs, n);
		at += n;
		if (i % 3 == 0)
			env_turn();
	}
	for (int i = 0; i < 60; i++) {
		call_wait(calls[i]);
		for (size_t k = 0; k < calls[i]->n; k++) {
			ck_assert_int_gt(calls[i]->seen[k].id, last);
			last = calls[i]->seen[k].id;
		}
		call_free(&calls[i]);
	}
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), (long)at);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), (long)at);
	assert_counted_in_order();
	ck_assert_uint_lt(cw_pipeline_stats(env.p).groups, 60);
}
END_TEST

START_TEST(large_submission_is_cut_into_groups)
{
	struct cw_tx_in *txs = cw_zalloc(2500 * sizeof(*txs));
	struct call *call;

	many(txs, 2500, 0, TOLD_ALERT);
	call = call_send(txs, 2500);
	call_wait(call);
	for (int i = 0; i < 2500; i++)
		ck_assert_int_eq(call->seen[i].err.code, CW_OK);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).groups, 3);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 2500);
	assert_counted_in_order();
	call_free(&call);
	cw_free(txs);
}
END_TEST

START_TEST(large_call_data_is_cut_into_groups)
{
	size_t size = 3u << 20;
	uint8_t *input = cw_zalloc(size);
	struct cw_tx_in txs[6];
	struct call *call;

	many(txs, 6, 0, TOLD_QUIET);
	for (int i = 0; i < 6; i++) {
		txs[i].tx.has |= CW_TX_HAS_INPUT;
		txs[i].tx.input_size = (uint32_t)size;
		txs[i].input = input;
		txs[i].input_len = size;
	}
	call = call_send(txs, 6);
	call_wait(call);
	ck_assert_int_eq(call->seen[5].err.code, CW_OK);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).groups, 3);
	ck_assert_int_eq(number("SELECT min(length(input_data)) FROM transactions"), (long)size);
	call_free(&call);
	cw_free(input);
}
END_TEST

START_TEST(more_than_the_ring_holds_goes_through)
{
	struct cw_tx_in *txs = cw_zalloc(3000 * sizeof(*txs));
	struct call *call;

	cw_pipeline_free(&env.p);
	env.supervisor.ring_slots = 64;
	env.p = cw_pipeline_new(env.loop, env.pool, env.zygote, env.st, &env.conf, &env.supervisor, &err);
	ck_assert_ptr_nonnull(env.p);
	env_load("v1");
	env_until_ready();
	many(txs, 3000, 0, TOLD_ALERT);
	call = call_send(txs, 3000);
	call_wait(call);
	assert_counted_in_order();
	call_free(&call);
	cw_free(txs);
}
END_TEST

START_TEST(linger_gathers)
{
	struct cw_pipeline_conf conf = env.conf;
	struct call *calls[5];
	uint64_t before = cw_pipeline_stats(env.p).groups;
	int64_t begin = cw_clock_mono_us();

	conf.commit_linger_us = 50000;
	cw_pipeline_reconfigure(env.p, &conf);
	for (uint64_t i = 0; i < 5; i++) {
		calls[i] = call_one(i, TOLD_QUIET);
		env_turn();
	}
	for (int i = 0; i < 5; i++) {
		call_wait(calls[i]);
		call_free(&calls[i]);
	}
	ck_assert_int_ge(cw_clock_mono_us() - begin, 50000);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).groups - before, 1);
}
END_TEST

/* --- known ones --- */

static void assert_same(const struct seen *a, const struct seen *b)
{
	ck_assert_int_eq(b->err.code, CW_OK);
	ck_assert_int_eq(a->id, b->id);
	ck_assert_int_eq(a->is_anomaly, b->is_anomaly);
	ck_assert_int_eq(a->severity, b->severity);
	ck_assert(a->score == b->score);
	ck_assert_str_eq(a->ruleset, b->ruleset);
	ck_assert_int_eq(a->nalerts, b->nalerts);
	for (int i = 0; i < a->nalerts; i++) {
		ck_assert_int_eq(a->alerts[i].id, b->alerts[i].id);
		ck_assert_str_eq(a->alerts[i].rule, b->alerts[i].rule);
		ck_assert_str_eq(a->alerts[i].version, b->alerts[i].version);
		ck_assert_str_eq(a->alerts[i].title, b->alerts[i].title);
		ck_assert_str_eq(a->alerts[i].explanation, b->alerts[i].explanation);
		ck_assert(a->alerts[i].score == b->alerts[i].score);
	}
}

START_TEST(duplicate_within_a_submission)
{
	struct cw_tx_in txs[4];
	struct call *call;

	many(txs, 2, 1, TOLD_TWO);
	txs[2] = txs[0];
	txs[3] = txs[0];
	txs[3].tx.value = cw_u256_from_u64(1);   /* the key decides, not the content */
	call = call_send(txs, 4);
	call_wait(call);
	ck_assert(!call->seen[0].duplicate && !call->seen[1].duplicate && call->seen[2].duplicate &&
	          call->seen[3].duplicate);
	assert_same(&call->seen[0], &call->seen[2]);
	assert_same(&call->seen[0], &call->seen[3]);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 2);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 2);
	call_free(&call);
}
END_TEST

START_TEST(duplicate_of_one_in_flight)
{
	struct call *first = call_one(1, TOLD_TWO), *second, *third;

	second = call_one(1, TOLD_TWO);          /* while it waits */
	env_turn();
	third = call_one(1, TOLD_TWO);           /* while it is sent */
	call_wait(first);
	call_wait(second);
	call_wait(third);
	ck_assert(!first->seen->duplicate && second->seen->duplicate && third->seen->duplicate);
	assert_same(first->seen, second->seen);
	assert_same(first->seen, third->seen);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 1);
	call_free(&first);
	call_free(&second);
	call_free(&third);
}
END_TEST

START_TEST(duplicate_of_a_recent_one_is_not_inserted_again)
{
	struct call *first = call_one(1, TOLD_TWO), *second, *other = call_one(2, TOLD_QUIET);
	long before;

	call_wait(first);
	call_wait(other);
	before = number("SELECT last_value FROM transactions_id_seq");
	second = call_one(1, TOLD_QUIET);
	call_wait(second);
	ck_assert(second->seen->duplicate);
	assert_same(first->seen, second->seen);
	ck_assert_int_eq(number("SELECT last_value FROM transactions_id_seq"), before);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).duplicate, 1);
	call_free(&first);
	call_free(&second);
	call_free(&other);
}
END_TEST

START_TEST(duplicate_of_an_old_one_is_found_by_the_database)
{
	struct call *first = call_one(5, TOLD_TWO), *mixed;
	struct cw_tx_in txs[3];
	struct seen old;

	old = *call_wait(first);
	call_free(&first);
	env_restart(conninfo, "v1");
	many(txs, 3, 4, TOLD_ALERT);             /* 4 is new, 5 is not, 6 is */
	mixed = call_send(txs, 3);
	call_wait(mixed);
	ck_assert(!mixed->seen[0].duplicate && mixed->seen[1].duplicate && !mixed->seen[2].duplicate);
	assert_same(&old, &mixed->seen[1]);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 3);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 3);
	call_free(&mixed);
}
END_TEST

START_TEST(same_hash_on_another_chain_is_another_transaction)
{
	struct cw_tx_in txs[2];
	struct call *call;

	many(txs, 1, 1, TOLD_QUIET);
	txs[1] = txs[0];
	txs[1].tx.chain_id = 137;
	call = call_send(txs, 2);
	call_wait(call);
	ck_assert(!call->seen[0].duplicate && !call->seen[1].duplicate);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 2);
	call_free(&call);
}
END_TEST

/* Retention took it: then it is new again. */
START_TEST(recent_one_that_was_deleted_is_new)
{
	struct call *first = call_one(1, TOLD_QUIET), *again;

	call_wait(first);
	store_env_exec(pg, "DELETE FROM transactions");
	again = call_one(1, TOLD_ALERT);
	call_wait(again);
	ck_assert(!again->seen->duplicate && again->seen->is_anomaly);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 1);
	call_free(&first);
	call_free(&again);
}
END_TEST

START_TEST(recent_set_is_bounded)
{
	struct cw_pipeline_conf conf = env.conf;
	struct cw_tx_in txs[50];
	struct call *call, *again;
	long before;

	conf.recent_hashes = 10;
	cw_pipeline_reconfigure(env.p, &conf);
	many(txs, 50, 0, TOLD_QUIET);
	call = call_send(txs, 50);
	call_wait(call);
	before = number("SELECT last_value FROM transactions_id_seq");
	again = call_send(txs, 50);              /* 10 asked for by key, 40 tried */
	call_wait(again);
	for (int i = 0; i < 50; i++) {
		ck_assert(again->seen[i].duplicate);
		ck_assert_int_eq(again->seen[i].id, call->seen[i].id);
	}
	ck_assert_int_eq(number("SELECT last_value FROM transactions_id_seq"), before + 40);
	call_free(&call);
	call_free(&again);
}
END_TEST

/* --- limits --- */

START_TEST(full_queue_is_refused_and_nothing_taken)
{
	struct cw_pipeline_conf conf = env.conf;
	struct cw_tx_in txs[12];
	struct call *call;

	conf.queue_limit = 10;
	cw_pipeline_reconfigure(env.p, &conf);
	many(txs, 12, 0, TOLD_QUIET);
	call = call_send(txs, 8);
	ck_assert_uint_eq(cw_pipeline_room(env.p), 2);
	ck_assert_uint_eq(cw_pipeline_submit(env.p, txs + 8, 3, NULL, call_answer, NULL, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_str_eq(err.msg, "the queue is full");
	ck_assert_uint_eq(cw_pipeline_submit(env.p, txs, 12, NULL, call_answer, NULL, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_uint_eq(cw_pipeline_submit(env.p, txs, 0, NULL, call_answer, NULL, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	call_wait(call);
	ck_assert_uint_eq(cw_pipeline_room(env.p), 10);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 8);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).refused, 1);
	call_free(&call);
}
END_TEST

START_TEST(duplicates_count_against_the_limit)
{
	struct cw_pipeline_conf conf = env.conf;
	struct cw_tx_in txs[6];
	struct call *call;

	conf.queue_limit = 6;
	cw_pipeline_reconfigure(env.p, &conf);
	many(txs, 1, 0, TOLD_QUIET);
	for (int i = 1; i < 6; i++)
		txs[i] = txs[0];
	call = call_send(txs, 6);
	ck_assert_uint_eq(cw_pipeline_room(env.p), 0);
	call_wait(call);
	ck_assert_uint_eq(cw_pipeline_room(env.p), 6);
	call_free(&call);
}
END_TEST

START_TEST(cancelled_submission_is_not_answered_and_goes_on)
{
	struct call *call = call_one(1, TOLD_ALERT), *other = call_one(2, TOLD_ALERT), *twin = call_one(1, TOLD_ALERT);

	cw_pipeline_cancel(env.p, call->id);
	cw_pipeline_cancel(env.p, 4711);
	call_wait(other);
	call_wait(twin);
	ck_assert(!call->done);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 2);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).load, 0);
	call_free(&call);
	call_free(&other);
	call_free(&twin);
}
END_TEST

START_TEST(waiter_times_out_and_its_transaction_goes_on)
{
	struct cw_pipeline_conf conf = env.conf;
	struct cw_tx_in txs[2];
	struct call *call;

	conf.wait_ms = 100;
	cw_pipeline_reconfigure(env.p, &conf);
	many(txs, 2, 1, TOLD_SPIN);
	txs[0].tx.nonce = txs[1].tx.nonce = 150000;
	call = call_send(txs, 2);
	call_wait(call);
	ck_assert_int_eq(call->seen[0].err.code, CW_ERR_TIMEOUT);
	ck_assert_int_eq(call->seen[1].err.code, CW_ERR_TIMEOUT);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 0);
	while (cw_pipeline_stats(env.p).load > 0)
		env_turn();
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 2);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).timeouts, 1);
	call_free(&call);
}
END_TEST

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

START_TEST(drain_waits_for_all_and_refuses_new)
{
	struct cw_tx_in tx = store_env_tx(99);
	struct call *calls[3];
	bool drained = false;

	for (uint64_t i = 0; i < 3; i++)
		calls[i] = call_one(i, TOLD_QUIET);
	cw_pipeline_drain(env.p, set_flag, &drained);
	ck_assert(!drained);
	ck_assert_uint_eq(cw_pipeline_submit(env.p, &tx, 1, NULL, call_answer, NULL, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	env_until(&drained, 5000);
	for (int i = 0; i < 3; i++) {
		ck_assert(calls[i]->done);
		call_free(&calls[i]);
	}
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 3);
}
END_TEST

START_TEST(drain_of_an_idle_pipeline_ends_at_once)
{
	bool drained = false;

	cw_pipeline_drain(env.p, set_flag, &drained);
	ck_assert(!drained);
	env_until(&drained, 1000);
}
END_TEST

START_TEST(end_answers_those_who_wait)
{
	struct call *call = call_one(1, TOLD_QUIET);

	cw_pipeline_free(&env.p);
	ck_assert(call->done);
	ck_assert_int_eq(call->seen->err.code, CW_ERR_CANCELLED);
	call_free(&call);
}
END_TEST

/* --- publication --- */

static struct { int n; int64_t last; char rules[128]; } published;

static void on_publish(void *arg, const struct cw_outcome *out)
{
	(void)arg;
	ck_assert(!out->duplicate && out->err == NULL);
	ck_assert_int_gt(out->transaction_id, published.last);
	published.last = out->transaction_id;
	published.n++;
	for (int i = 0; i < out->nalerts; i++) {
		strcat(published.rules, out->alerts[i].rule);
		strcat(published.rules, " ");
	}
}

START_TEST(publisher_hears_of_new_ones_in_order)
{
	struct cw_tx_in txs[4];
	struct call *call, *again;

	cw_pipeline_on_publish(env.p, on_publish, NULL);
	many(txs, 4, 0, TOLD_QUIET);
	txs[1].tx.gas = TOLD_TWO;
	txs[2].tx.gas = TOLD_SHADOW;
	txs[3].tx.gas = TOLD_ALERT;
	call = call_send(txs, 4);
	call_wait(call);
	again = call_send(txs, 4);
	call_wait(again);
	ck_assert_int_eq(published.n, 4);
	ck_assert_str_eq(published.rules, "test.count test.fault test.count ");
	call_free(&call);
	call_free(&again);
}
END_TEST

/* --- generations of rules --- */

START_TEST(nothing_is_judged_before_there_are_rules)
{
	struct call *call;

	cw_pipeline_free(&env.p);
	env.p = cw_pipeline_new(env.loop, env.pool, env.zygote, env.st, &env.conf, &env.supervisor, &err);
	ck_assert_ptr_nonnull(env.p);
	ck_assert_str_eq(cw_pipeline_ruleset(env.p), "");
	call = call_one(1, TOLD_ALERT);
	env_idle(60);
	ck_assert(!call->done && !cw_pipeline_ready(env.p));
	env_load("v1");
	call_wait(call);
	ck_assert(call->seen->is_anomaly);
	call_free(&call);
}
END_TEST

START_TEST(reload_switches_between_groups)
{
	struct call *calls[200];
	int sent = 0;

	for (; sent < 50; sent++) {
		calls[sent] = call_one((uint64_t)sent, TOLD_ALERT);
		if (sent % 5 == 0)
			call_wait(calls[sent]);
	}
	ck_assert_int_eq(cw_pipeline_load_rules(env.p, rules_in_c_bundle("v2"), NULL, NULL, &err), 0);
	ck_assert_int_eq(cw_pipeline_load_rules(env.p, rules_in_c_bundle("v3"), NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	while (sent < 200) {
		calls[sent] = call_one((uint64_t)sent, TOLD_ALERT);
		call_wait(calls[sent++]);
	}
	ck_assert_str_eq(calls[0]->seen->ruleset, "digest-v1");
	ck_assert_str_eq(calls[199]->seen->ruleset, "digest-v2");
	for (int i = 0; i < 200; i++) {
		call_wait(calls[i]);
		call_free(&calls[i]);
	}
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "{\"digest\":\"digest-v2\""));
	assert_counted_in_order();               /* the state has moved over */
	/* Prediction and anomaly of a transaction name the same generation, the switch is at one place. */
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies a JOIN predictions p USING (transaction_id)"
	                        " JOIN model_versions v ON v.id = p.model_version_id JOIN model_versions w ON w.id = a.model_id"
	                        " WHERE a.ruleset <> v.version OR right(w.checksum, 2) <> right(v.version, 2)"), 0);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies a JOIN anomalies b ON b.id > a.id"
	                        " WHERE a.ruleset = 'digest-v2' AND b.ruleset = 'digest-v1'"), 0);
	ck_assert_int_gt(number("SELECT count(*) FROM anomalies WHERE ruleset = 'digest-v1'"), 0);
}
END_TEST

/* The same version number with another source is a version of its own. */
START_TEST(versions_are_registered)
{
	env_load("v2");
	ck_assert_int_eq(env.load_err.code, CW_OK);
	ck_assert_str_eq(text("SELECT string_agg(concat_ws(' ', v.version, v.checksum, v.is_deployed), ';' ORDER BY v.id)"
	                      " FROM model_versions v JOIN models m ON m.id = v.model_id WHERE m.name = 'test.count'"),
	                 "1.0 sha-v1 f;1.0+sha-v2 sha-v2 t");
	ck_assert_str_eq(text("SELECT string_agg(v.version || ' ' || v.is_deployed, ';' ORDER BY v.id) FROM model_versions v"
	                      " JOIN models m ON m.id = v.model_id WHERE m.name = 'ruleset'"),
	                 "digest-v1 false;digest-v2 true");
	ck_assert_int_eq(number("SELECT count(*) FROM model_versions v JOIN models m ON m.id = v.model_id"
	                        " WHERE m.name = 'test.shadow'"), 1);
	env_load("v1");
	ck_assert_int_eq(number("SELECT count(*) FROM model_versions"), 6);
	ck_assert_str_eq(text("SELECT v.version FROM model_versions v JOIN models m ON m.id = v.model_id"
	                      " WHERE m.name = 'test.count' AND v.is_deployed"), "1.0");
}
END_TEST

START_TEST(bad_rules_change_nothing)
{
	struct call *call;

	env_load("bad");
	ck_assert_int_eq(env.load_err.code, CW_ERR_SCRIPT);
	ck_assert_str_eq(env.load_err.msg, "rules/count.lua:3: unexpected symbol near 'bad'");
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "{\"digest\":\"digest-v1\""));
	call = call_one(1, TOLD_ALERT);
	ck_assert_str_eq(call_wait(call)->ruleset, "digest-v1");
	call_free(&call);
	env_load("v2");
	ck_assert_int_eq(env.load_err.code, CW_OK);
}
END_TEST

START_TEST(name_that_a_model_has_is_refused)
{
	store_env_exec(pg, "UPDATE models SET model_type = 'iforest' WHERE name = 'test.fault'");
	env_load("v2");
	ck_assert_int_eq(env.load_err.code, CW_ERR_CONFLICT);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "digest-v1"));
	store_env_exec(pg, "UPDATE models SET model_type = 'rule' WHERE name = 'test.fault'");
	env_load("v2");
	ck_assert_int_eq(env.load_err.code, CW_OK);
}
END_TEST

static int switch_rule(const char *id, enum cw_rule_switch what)
{
	return cw_pipeline_switch_rule(env.p, id, false, what, "switched off", &err);
}

START_TEST(switched_off_rule_stays_off)
{
	struct call *call;

	ck_assert_int_eq(switch_rule("test.fault", CW_RULE_DISABLE), 0);
	ck_assert_int_eq(switch_rule("no.such", CW_RULE_DISABLE), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_int_eq(switch_rule("test.faults", CW_RULE_DISABLE), -1);
	ck_assert_str_eq(err.msg, "there is no rule \"test.faults\"; did you mean \"test.fault\"?");
	ck_assert_int_eq(switch_rule("test.fault", CW_RULE_RELEASE), -1);
	ck_assert_int_eq(err.code, CW_ERR_CONFLICT);
	ck_assert_msg(strncmp(err.msg, "rule \"test.fault\" cannot be released: it is disabled since 2", 60) == 0, "%s", err.msg);
	call = call_one(1, TOLD_FAULT);
	call_wait(call);
	call_free(&call);
	ck_assert_int_eq(number("SELECT count(faults) FROM predictions"), 0);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"enabled\":false,\"quarantined\":false,\"reason\":"
	                             "\"switched off\""));
	text("INSERT INTO rule_states (rule_id, status, reason) VALUES ('test.fault', 'disabled', 'kept') RETURNING rule_id");
	env_restart(conninfo, "v2");
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"enabled\":false,\"quarantined\":false,\"reason\":"
	                             "\"kept\""));
	call = call_one(2, TOLD_FAULT);
	call_wait(call);
	call_free(&call);
	ck_assert_int_eq(number("SELECT count(faults) FROM predictions"), 0);
	ck_assert_int_eq(switch_rule("test.fault", CW_RULE_ENABLE), 0);
	ck_assert_int_eq(switch_rule("test.fault", CW_RULE_ENABLE), -1);
	ck_assert_str_eq(err.msg, "rule \"test.fault\" cannot be enabled: it is live");
	call = call_one(3, TOLD_FAULT);
	call_wait(call);
	call_free(&call);
	ck_assert_int_eq(number("SELECT count(faults) FROM predictions"), 1);
}
END_TEST

/* --- replay --- */

START_TEST(restart_goes_on_where_it_was)
{
	struct cw_tx_in *txs = cw_zalloc(5000 * sizeof(*txs));
	struct call *call;

	many(txs, 5000, 0, TOLD_ALERT);
	call = call_send(txs, 5000);
	call_wait(call);
	call_free(&call);
	env_restart(conninfo, "v1");
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 5000);
	call = call_one(7000, TOLD_ALERT);
	ck_assert_ptr_nonnull(strstr(call_wait(call)->alerts[0].features, "\"n\":5001"));
	call_free(&call);
	assert_counted_in_order();
	cw_free(txs);
}
END_TEST

START_TEST(replay_takes_the_newest_only)
{
	struct cw_tx_in txs[100];
	struct call *call;

	many(txs, 100, 0, TOLD_ALERT);
	call = call_send(txs, 100);
	call_wait(call);
	call_free(&call);
	env.conf.replay_max = 30;
	env_restart(conninfo, "v1");
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 30);
	env.conf.replay_max = 0;
	env_restart(conninfo, "v1");
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 0);
	call = call_one(700, TOLD_ALERT);
	ck_assert_ptr_nonnull(strstr(call_wait(call)->alerts[0].features, "\"n\":1,"));
	call_free(&call);
}
END_TEST

/* A replay judges exactly what a live rule saw: the hash over all says so. */
START_TEST(replay_sees_what_was_seen)
{
	char before[128];
	struct cw_tx_in txs[64];
	struct call *call;

	many(txs, 64, 0, TOLD_ALERT);
	call = call_send(txs, 64);
	snprintf(before, sizeof(before), "%s", call_wait(call)[63].alerts[0].features);
	call_free(&call);
	env_restart(conninfo, "v1");
	store_env_exec(pg, "DELETE FROM transactions WHERE id = (SELECT max(id) FROM transactions)");
	env_restart(conninfo, "v1");
	call = call_send(txs + 63, 1);
	ck_assert_str_eq(call_wait(call)->alerts[0].features, before);
	call_free(&call);
}
END_TEST

START_TEST(lost_state_is_replayed)
{
	struct cw_tx_in txs[100];
	struct call *call, *crash, *after;

	many(txs, 100, 0, TOLD_ALERT);
	call = call_send(txs, 100);
	call_wait(call);
	txs[50].tx.gas = TOLD_CRASH;
	for (int i = 0; i < 100; i++)
		txs[i].tx.hash.b[0] = 0x77;
	crash = call_send(txs, 100);
	after = call_one(5000, TOLD_ALERT);
	call_wait(crash);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(crash->seen[i].err.code, CW_OK);
	ck_assert_ptr_nonnull(strstr(call_wait(after)->alerts[0].features, "\"n\":201"));
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 201);
	ck_assert_ptr_nonnull(strstr(cw_pipeline_ruleset(env.p), "\"quarantined\":true"));
	ck_assert_str_eq(text("SELECT status FROM rule_states WHERE rule_id = 'test.fault'"), "quarantined");
	ck_assert_int_eq(number("SELECT count(*) FROM audit_logs WHERE event_type = 'rule.quarantine'"), 1);
	call_free(&call);
	call_free(&crash);
	call_free(&after);
}
END_TEST

START_TEST(settings_that_make_no_sense_are_refused)
{
	struct cw_pipeline_conf conf = cw_pipeline_conf_default;

	conf.queue_limit = 0;
	ck_assert_ptr_null(cw_pipeline_new(env.loop, env.pool, env.zygote, env.st, &conf, &env.supervisor, &err));
	ck_assert_str_eq(err.msg, "pipeline.queue_limit must be at least 1");
	conf.queue_limit = 1;
	conf.group_max = 0;
	ck_assert_ptr_null(cw_pipeline_new(env.loop, env.pool, env.zygote, env.st, &conf, &env.supervisor, &err));
	ck_assert_str_eq(err.msg, "pipeline.group_max must be at least 1");
	conf.group_max = 1;
	conf.wait_ms = 0;
	ck_assert_ptr_null(cw_pipeline_new(env.loop, env.pool, env.zygote, env.st, &conf, &env.supervisor, &err));
	ck_assert_str_eq(err.msg, "pipeline.wait_ms must be at least 1");
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

int main(void)
{
	Suite *s = suite_create("pipeline");
	TCase *tc = add_case(s, "admit, commit, publish");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, quiet_transaction_is_stored_and_answered);
	tcase_add_test(tc, every_field_is_stored);
	tcase_add_test(tc, alerts_are_stored_and_answered);
	tcase_add_test(tc, shadow_alert_is_stored_and_not_told);
	tcase_add_test(tc, faults_are_stored_and_counted);
	tcase_add_test(tc, alert_of_no_rule_is_dropped);
	tcase_add_test(tc, order_is_kept_over_groups_of_any_size);
	tcase_add_test(tc, large_submission_is_cut_into_groups);
	tcase_add_test(tc, large_call_data_is_cut_into_groups);
	tcase_add_test(tc, more_than_the_ring_holds_goes_through);
	tcase_add_test(tc, linger_gathers);
	tcase_add_test(tc, duplicate_within_a_submission);
	tcase_add_test(tc, duplicate_of_one_in_flight);
	tcase_add_test(tc, duplicate_of_a_recent_one_is_not_inserted_again);
	tcase_add_test(tc, duplicate_of_an_old_one_is_found_by_the_database);
	tcase_add_test(tc, same_hash_on_another_chain_is_another_transaction);
	tcase_add_test(tc, recent_one_that_was_deleted_is_new);
	tcase_add_test(tc, recent_set_is_bounded);
	tcase_add_test(tc, full_queue_is_refused_and_nothing_taken);
	tcase_add_test(tc, duplicates_count_against_the_limit);
	tcase_add_test(tc, cancelled_submission_is_not_answered_and_goes_on);
	tcase_add_test(tc, waiter_times_out_and_its_transaction_goes_on);
	tcase_add_test(tc, drain_waits_for_all_and_refuses_new);
	tcase_add_test(tc, drain_of_an_idle_pipeline_ends_at_once);
	tcase_add_test(tc, end_answers_those_who_wait);
	tcase_add_test(tc, publisher_hears_of_new_ones_in_order);
	tcase_add_test(tc, nothing_is_judged_before_there_are_rules);
	tcase_add_test(tc, reload_switches_between_groups);
	tcase_add_test(tc, versions_are_registered);
	tcase_add_test(tc, bad_rules_change_nothing);
	tcase_add_test(tc, name_that_a_model_has_is_refused);
	tcase_add_test(tc, switched_off_rule_stays_off);
	tcase_add_test(tc, restart_goes_on_where_it_was);
	tcase_add_test(tc, replay_takes_the_newest_only);
	tcase_add_test(tc, replay_sees_what_was_seen);
	tcase_add_test(tc, lost_state_is_replayed);
	tcase_add_test(tc, settings_that_make_no_sense_are_refused);
	pg = store_env_start();
	srunner_run_all(runner, CK_NORMAL);
	pgtest_stop(&pg);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
