/* The commit stream when something dies: backends killed at each step, answers lost, rows refused, the server restarted
 * under load. Every alert of the rules tells how many transactions had been counted, so the tables show whether the
 * state has counted each of them once. Takes about ten seconds. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/cluster.h"
#include "support/pg_proxy.h"
#include "support/pgtest.h"
#include "support/pipeline_env.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"
#include "support/slow.h"

static struct pgtest *pg, *shared;
static struct pg_proxy *proxy;
static char conninfo[512];

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

static struct call *send_many(size_t n, uint64_t first)
{
	struct cw_tx_in *txs = cw_zalloc(n * sizeof(*txs));
	struct call *call;

	for (size_t i = 0; i < n; i++) {
		txs[i] = store_env_tx(first + i);
		txs[i].tx.gas = TOLD_ALERT;
	}
	call = call_send(txs, n);
	cw_free(txs);
	return call;
}

/* Everything that was sent is there once, was counted once, in the order of ids, and the outcomes say what the tables
 * say. */
static void assert_exactly(struct call **calls, int ncalls, long total)
{
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), total);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), total);
	ck_assert_int_eq(number("SELECT count(DISTINCT transaction_id) FROM predictions"), total);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies"), total);
	ck_assert_int_eq(number("SELECT count(*) FROM (SELECT (features_used->>'n')::bigint AS n, row_number() OVER"
	                        " (ORDER BY transaction_id) AS r FROM anomalies) x WHERE n <> r"), 0);
	for (int i = 0; i < ncalls; i++) {
		call_wait(calls[i]);
		for (size_t k = 0; k < calls[i]->n; k++) {
			const struct seen *seen = &calls[i]->seen[k];
			char sql[128];

			ck_assert_msg(seen->err.code == CW_OK, "%s", seen->err.msg);
			ck_assert(!seen->duplicate && seen->is_anomaly);
			if (k % 37 != 0)
				continue;
			snprintf(sql, sizeof(sql), "SELECT id FROM anomalies WHERE transaction_id = %lld", (long long)seen->id);
			ck_assert_int_eq(number(sql), seen->alerts[0].id);
		}
		call_free(&calls[i]);
	}
}

/* A trigger that ends its own backend, once, when the sequence says so: real, and at an exact place. */
static void arm(const char *table, const char *when, const char *action, int skip)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
	         "CREATE SEQUENCE arm; CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	         " IF nextval('arm') = %d THEN %s; END IF; RETURN NULL; END $$;"
	         " CREATE %s ON %s %s EXECUTE FUNCTION strike()", skip + 1, action, when, table,
	         strstr(when, "CONSTRAINT") != NULL ? "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW" : "FOR EACH STATEMENT");
	store_env_exec(pg, sql);
}

#define KILL "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)"

static const struct { const char *table, *when, *action; int skip; } strikes[] = {
	{ "transactions", "TRIGGER t BEFORE INSERT", KILL, 0 },
	{ "transactions", "TRIGGER t AFTER INSERT", KILL, 1 },
	{ "predictions", "TRIGGER t BEFORE INSERT", KILL, 0 },
	{ "predictions", "TRIGGER t AFTER INSERT", KILL, 2 },
	{ "anomalies", "TRIGGER t AFTER INSERT", KILL, 1 },
	{ "anomalies", "CONSTRAINT TRIGGER t AFTER INSERT", KILL, 60 },      /* during the COMMIT */
	{ "transactions", "TRIGGER t BEFORE INSERT", "RAISE lock_not_available", 1 },
	{ "predictions", "TRIGGER t BEFORE INSERT", "RAISE deadlock_detected", 1 },
	{ "predictions", "TRIGGER t BEFORE INSERT", "RAISE disk_full", 1 },
	{ "anomalies", "TRIGGER t BEFORE INSERT", "RAISE serialization_failure", 0 },
	{ "anomalies", "CONSTRAINT TRIGGER t AFTER INSERT", "RAISE out_of_memory", 60 },
};

START_TEST(group_survives_a_strike)
{
	struct call *calls[10];
	int n = 6;

	arm(strikes[_i].table, strikes[_i].when, strikes[_i].action, strikes[_i].skip);
	for (int i = 0; i < n; i++) {
		calls[i] = send_many(20, (uint64_t)i * 20);
		if (i < strikes[_i].skip && strikes[_i].skip < 6)      /* a group of its own, however busy the machine */
			call_wait(calls[i]);
		env_idle(2);
	}
	for (int i = 0; i < n; i++)
		call_wait(calls[i]);
	while (number("SELECT last_value FROM arm") <= strikes[_i].skip && n < 10) {   /* they shared fewer commits than usual */
		calls[n] = send_many(20, (uint64_t)n * 20);
		call_wait(calls[n++]);
	}
	ck_assert_int_gt(number("SELECT last_value FROM arm"), strikes[_i].skip);
	ck_assert_uint_ge(cw_pipeline_stats(env.p).retries, 1);
	assert_exactly(calls, n, 20L * n);
}
END_TEST

/* Killed while the evaluator has the group in hand: it is evaluated once, and committed on another connection. */
START_TEST(backend_killed_during_evaluation)
{
	struct cw_tx_in txs[4];
	struct call *calls[2];

	for (uint64_t i = 0; i < 4; i++) {
		txs[i] = store_env_tx(i);
		txs[i].tx.gas = TOLD_SPIN;
		txs[i].tx.nonce = 40000;
	}
	calls[0] = call_send(txs, 4);
	env_idle(30);
	calls[1] = send_many(10, 100);
	ck_assert_int_ge(number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname ="
	                        " current_database() AND pid <> pg_backend_pid()"), 1);
	call_wait(calls[0]);
	call_wait(calls[1]);
	ck_assert_uint_eq(cw_pipeline_supervisor_stats(env.p).submitted, 14);
	assert_exactly(calls, 2, 14);
}
END_TEST

START_TEST(idle_connection_killed)
{
	struct call *calls[2] = { send_many(3, 0) };

	call_wait(calls[0]);
	for (int i = 0; i < 3; i++) {
		number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
		       " AND pid <> pg_backend_pid()");
		env_idle(20);
	}
	calls[1] = send_many(3, 10);
	call_wait(calls[1]);
	assert_exactly(calls, 2, 6);
}
END_TEST

/* --- the answer to a COMMIT is lost --- */

static void up_behind_proxy(void)
{
	snprintf(conninfo, sizeof(conninfo), "%s", store_env_database(pg));
	proxy = pg_proxy_start(cw_cluster_socket_dir(pgtest_cluster(pg)));
	snprintf(conninfo + strlen(conninfo), sizeof(conninfo) - strlen(conninfo), " host=%s", pg_proxy_dir(proxy));
	cw_log_set_level(NULL, getenv("CW_TEST_LOG") != NULL ? CW_LOG_DEBUG : CW_LOG_OFF);
	env_up(conninfo, "v1");
}

static void down_behind_proxy(void)
{
	env_down();
	pg_proxy_stop(&proxy);
}

START_TEST(lost_commit_answer_is_asked_by_key)
{
	struct call *calls[8];

	pg_proxy_cut_commit_answers(proxy, 3);
	for (int i = 0; i < 8; i++) {
		calls[i] = send_many(15, (uint64_t)i * 15);
		env_idle(3);
	}
	for (int i = 0; i < 8; i++)
		call_wait(calls[i]);
	ck_assert_int_eq(pg_proxy_cuts(proxy), 3);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).fresh, 120);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).duplicate, 0);
	assert_exactly(calls, 8, 120);
}
END_TEST

/* Every message of a commit in either direction, on a fresh connection: before it, inside it, one way only, drop by drop. */
#define STEPS_MAX 200

START_TEST(line_fails_at_each_message)
{
	int fault = _i / 2, from_server = _i % 2, n = 0;
	struct call *calls[STEPS_MAX];

	for (bool tripped = true; tripped && n < (fault == PG_PROXY_DRIP ? 10 : STEPS_MAX); n++) {
		pg_proxy_trip(proxy, from_server, n + 1, (enum pg_proxy_fault)fault);
		calls[n] = send_many(3, (uint64_t)n * 3);
		call_wait(calls[n]);
		tripped = pg_proxy_tripped(proxy) > 0;
		pg_proxy_trip(proxy, 0, 0, PG_PROXY_CUT);
	}
	ck_assert_int_gt(n, 4);
	ck_assert_int_lt(n, STEPS_MAX);
	assert_exactly(calls, n, (long)n * 3);
}
END_TEST

static int published;

static void on_publish(void *arg, const struct cw_outcome *out)
{
	(void)arg;
	published += !out->duplicate;
}

START_TEST(lost_commit_answer_is_published_once)
{
	struct call *call;

	cw_pipeline_on_publish(env.p, on_publish, NULL);
	pg_proxy_cut_commit_answers(proxy, 1);
	call = send_many(5, 0);
	call_wait(call);
	ck_assert_int_eq(published, 5);
	assert_exactly(&call, 1, 5);
}
END_TEST

/* A duplicate that comes in between must not be taken for ours. */
START_TEST(database_away_and_back)
{
	struct cw_pipeline_conf conf = env.conf;
	struct call *calls[3];
	struct cw_tx_in tx = store_env_tx(900);

	calls[0] = send_many(5, 0);
	call_wait(calls[0]);
	conf.wait_ms = 300;
	conf.queue_limit = 20;
	cw_pipeline_reconfigure(env.p, &conf);
	pg_proxy_block(proxy, 1);
	env_idle(30);
	calls[1] = send_many(20, 100);
	call_wait(calls[1]);
	ck_assert_int_eq(calls[1]->seen[0].err.code, CW_ERR_TIMEOUT);
	ck_assert(!cw_pipeline_ready(env.p));
	ck_assert_uint_eq(cw_pipeline_submit(env.p, &tx, 1, NULL, call_answer, NULL, NULL), 0);   /* still queued */
	conf.wait_ms = 10000;
	conf.queue_limit = 1000;
	cw_pipeline_reconfigure(env.p, &conf);
	calls[2] = send_many(20, 100);           /* the same again: they wait for the first */
	pg_proxy_block(proxy, 0);
	call_wait(calls[2]);
	for (int i = 0; i < 20; i++)
		ck_assert(calls[2]->seen[i].err.code == CW_OK && calls[2]->seen[i].duplicate);
	call_free(&calls[1]);
	call_free(&calls[2]);
	assert_exactly(calls, 1, 25);
}
END_TEST

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

START_TEST(drain_ends_while_the_database_is_away)
{
	struct cw_pipeline_conf conf = env.conf;
	struct call *call;
	bool drained = false;

	conf.wait_ms = 200;
	cw_pipeline_reconfigure(env.p, &conf);
	pg_proxy_block(proxy, 1);
	env_idle(30);
	call = send_many(3, 0);
	cw_pipeline_drain(env.p, set_flag, &drained);
	env_idle(50);
	ck_assert(!drained && !call->done);
	env_until(&drained, 5000);
	ck_assert(call->done);
	ck_assert_int_eq(call->seen->err.code, CW_ERR_TIMEOUT);
	call_free(&call);
}
END_TEST

/* --- rows that the database refuses --- */

static void refuse(const char *table, const char *condition, const char *how)
{
	char sql[512];

	snprintf(sql, sizeof(sql), "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF %s THEN %s;"
	         " END IF; RETURN NEW; END $$; CREATE TRIGGER r BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION refuse()",
	         condition, how, table);
	store_env_exec(pg, sql);
}

START_TEST(bad_row_fails_alone)
{
	struct call *call, *after;
	long failed = 0;

	refuse("transactions", "NEW.nonce = 1 AND get_byte(NEW.hash, 31) % 50 = 7",
	       "RAISE check_violation USING MESSAGE = 'this one is refused'");
	call = send_many(250, 0);                /* nonce is n / 50, so number 57 has nonce 1 and 57 % 50 = 7 */
	after = send_many(10, 1000);
	call_wait(call);
	for (int i = 0; i < 250; i++) {
		if (call->seen[i].err.code == CW_OK)
			continue;
		failed++;
		ck_assert_int_eq(i, 57);
		ck_assert_str_eq(call->seen[i].err.msg, "this one is refused");
		ck_assert_str_eq(call->seen[i].err.sqlstate, "23514");
	}
	ck_assert_int_eq(failed, 1);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).failed, 1);
	call_wait(after);
	call_free(&call);
	assert_exactly(&after, 1, 259);          /* it was never evaluated, so the counts have no gap */
}
END_TEST

START_TEST(bad_rows_at_the_ends_fail_alone)
{
	struct call *call;

	refuse("transactions", "NEW.nonce IN (0, 5)", "RAISE numeric_value_out_of_range");
	call = send_many(300, 0);                /* the first and the last fifty */
	call_wait(call);
	for (int i = 0; i < 300; i++)
		ck_assert_int_eq(call->seen[i].err.code == CW_OK, i >= 50 && i < 250);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 200);
	call_free(&call);
}
END_TEST

/* Judged already, then refused for what the rule wrote: stored without that. */
START_TEST(what_a_rule_wrote_cannot_fail_a_transaction)
{
	struct cw_tx_in txs[9];
	struct call *call;

	for (uint64_t i = 0; i < 9; i++) {
		txs[i] = store_env_tx(i);
		txs[i].tx.gas = i == 4 ? TOLD_UNSTORABLE : TOLD_ALERT;
	}
	call = call_send(txs, 9);
	call_wait(call);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(call->seen[i].err.code, CW_OK);
	ck_assert_str_eq(call->seen[4].alerts[0].features, "{}");
	ck_assert_str_eq(call->seen[4].alerts[0].explanation, "");
	ck_assert_ptr_nonnull(strstr(call->seen[5].alerts[0].features, "\"n\":6"));
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 9);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies WHERE features_used = '{}'"), 1);
	ck_assert_uint_eq(cw_pipeline_supervisor_stats(env.p).submitted, 9);   /* each judged once */
	call_free(&call);
}
END_TEST

START_TEST(judged_transaction_that_is_refused_fails_alone)
{
	struct call *call, *after;

	refuse("predictions", "NEW.transaction_id = (SELECT min(id) + 3 FROM transactions)",
	       "RAISE check_violation USING MESSAGE = 'not this one'");
	call = send_many(8, 0);
	call_wait(call);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(call->seen[i].err.code == CW_OK, i != 3);
	ck_assert_str_eq(call->seen[3].err.msg, "not this one");
	after = send_many(5, 100);
	call_wait(after);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions"), 12);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 12);
	call_free(&call);
	call_free(&after);
}
END_TEST

/* A user that was deleted meanwhile is no reason to lose a judged transaction. */
START_TEST(unknown_user_is_left_out)
{
	struct cw_origin origin = { .user_id = 4711 };
	struct cw_tx_in tx = store_env_tx(1);
	struct call *call = call_new(1);

	ck_assert_uint_ne(cw_pipeline_submit(env.p, &tx, 1, &origin, call_answer, call, NULL), 0);
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	ck_assert_int_eq(number("SELECT count(*) FROM predictions WHERE user_id IS NULL"), 1);
	call_free(&call);
}
END_TEST

/* --- the server --- */

static void up_alone(void)
{
	cw_log_set_level(NULL, getenv("CW_TEST_LOG") != NULL ? CW_LOG_DEBUG : CW_LOG_OFF);
	shared = pg;
	pg = store_env_start();
	snprintf(conninfo, sizeof(conninfo), "%s", store_env_database(pg));
	env_up(conninfo, "v1");
}

static void down_alone(void)
{
	env_down();
	pgtest_stop(&pg);
	pg = shared;
}

enum { CLIENTS = 40 };

static struct {
	struct call *calls[CLIENTS];
	uint64_t next;
	long acked;
} load;

/* Takes the answers, sends the next ones (if there shall be more), and does what the engine does for its server. */
static void turn_under_load(bool more)
{
	for (int i = 0; i < CLIENTS; i++) {
		if (load.calls[i] != NULL && load.calls[i]->done) {
			ck_assert_msg(load.calls[i]->seen->err.code == CW_OK, "%s", load.calls[i]->seen->err.msg);
			ck_assert(!load.calls[i]->seen->duplicate);
			load.acked++;
			call_free(&load.calls[i]);
		}
		if (load.calls[i] == NULL && more)
			load.calls[i] = call_one(load.next++, TOLD_ALERT);
	}
	env_turn();
	cw_cluster_revive(pgtest_cluster(pg), NULL);
}

/* Clients that each send one transaction after another, while the server is killed and comes back. The ledger is what
 * they were told. */
START_TEST(server_killed_under_load)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGINT };
	int64_t deadline;

	for (int i = 0; i < 3; i++) {
		for (long until = load.acked + 200; load.acked < until;)
			turn_under_load(true);
		kill(cw_cluster_pid(pgtest_cluster(pg)), signals[i]);
	}
	deadline = cw_clock_mono_us() + 15000000 * slow_factor();
	while (load.acked < (long)load.next) {
		ck_assert_msg(cw_clock_mono_us() < deadline, "%ld of %ld were answered", load.acked, (long)load.next);
		turn_under_load(false);
	}
	assert_exactly(NULL, 0, load.acked);
	ck_assert_uint_eq(cw_pipeline_supervisor_stats(env.p).submitted, (uint64_t)load.acked);
}
END_TEST

#ifdef CW_FAULTS
START_TEST(fault_point_of_the_commit_answer)
{
	struct call *calls[3];

	cw_fault_arm("pipeline.commit_answer", 1, 1);
	for (int i = 0; i < 3; i++) {
		calls[i] = send_many(5, (uint64_t)i * 5);
		call_wait(calls[i]);
	}
	assert_exactly(calls, 3, 15);
}
END_TEST
#endif

static TCase *add_case(Suite *s, const char *name, void (*before)(void), void (*after)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, before, after);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

/* Everything must hold with one connection and with two that take turns, whether a group is one INSERT or several. */
static int run(uint32_t lanes, uint32_t rows, const char *name)
{
	Suite *s = suite_create(name);
	TCase *tc = add_case(s, "strikes", up, down);
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, group_survives_a_strike, 0, (int)(sizeof(strikes) / sizeof(strikes[0])));
	tcase_add_test(tc, backend_killed_during_evaluation);
	tcase_add_test(tc, idle_connection_killed);
	tcase_add_test(tc, bad_row_fails_alone);
	tcase_add_test(tc, bad_rows_at_the_ends_fail_alone);
	tcase_add_test(tc, what_a_rule_wrote_cannot_fail_a_transaction);
	tcase_add_test(tc, judged_transaction_that_is_refused_fails_alone);
	tcase_add_test(tc, unknown_user_is_left_out);
#ifdef CW_FAULTS
	tcase_add_test(tc, fault_point_of_the_commit_answer);
#endif
	tc = add_case(s, "lost answers", up_behind_proxy, down_behind_proxy);
	tcase_add_test(tc, lost_commit_answer_is_asked_by_key);
	tcase_add_loop_test(tc, line_fails_at_each_message, 0, lanes == 1 ? 2 * PG_PROXY_FAULTS : 2);
	tcase_add_test(tc, lost_commit_answer_is_published_once);
	tcase_add_test(tc, database_away_and_back);
	tcase_add_test(tc, drain_ends_while_the_database_is_away);
	tc = add_case(s, "server", up_alone, down_alone);
	tcase_add_test(tc, server_killed_under_load);
	env.conf = cw_pipeline_conf_default;
	env.conf.commit_lanes = lanes;
	env.conf.insert_rows = rows;
	env.conf.lane_rows = 12;         /* of the groups here some are larger */
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed;
}

int main(void)
{
	int failed;

	pg = store_env_start();          /* one for all: a server takes its time where disks are busy */
	failed = run(1, 3, "commit") + run(2, 1, "commit on two lanes");
	pgtest_stop(&pg);
	return failed == 0 ? 0 : 1;
}
