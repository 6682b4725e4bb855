/* Trials: the same verdicts as before, whatever happens on the way; the rules are tests/support/c_evaluator.c. */
#include "pipeline/trial.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "state/checkpoint.h"
#include "support/c_evaluator.h"
#include "support/pgtest.h"
#include "support/slow.h"
#include "support/store_env.h"

static struct pgtest *pg;
static struct cw_loop *loop;
static struct cw_zygote *zygote;
static const struct cw_trial_conf conf = {
	.state_bytes = 16u << 20, .journal_bytes = 8u << 20,
	.supervisor = { .ring_slots = 64, .hang_ms = 300, .scratch_bytes = 1u << 20 },
};
static const uint8_t digest[32] = { 9 };

/* One trial and what was heard of it. */
struct run {
	struct cw_trial *trial;
	struct cw_history *history;
	struct cw_buf bytes;             /* of all verdicts */
	char text[64];                   /* explanation of the last alert */
	uint64_t verdicts, last, limit;  /* feeds c_tx(1 .. limit) when there is no history */
	uint64_t next;
	enum c_command command;          /* of every 50th transaction */
	int quarantined;
	bool ready, failed, fed;
	struct cw_err err;
};

static void on_ready(void *arg, const char *report)
{
	struct run *r = arg;

	ck_assert(strstr(report, "digest") != NULL);
	r->ready = true;
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len)
{
	struct run *r = arg;

	if (tx->seq != v->seq || tx->seq <= r->last)
		ck_abort_msg("verdict out of turn");
	r->last = tx->seq;
	r->verdicts++;
	cw_buf_add(&r->bytes, bytes, len);
	if (v->nalerts > 0)
		snprintf(r->text, sizeof(r->text), "%s", v->alerts[0].explanation);
}

static void feed(struct run *r)
{
	while (r->history == NULL && r->next <= r->limit && cw_trial_room(r->trial) > 0) {
		struct cw_tx tx = c_tx(r->next, r->next % 50 == 0 ? r->command : C_QUIET, 0);
		const struct cw_tx *list = &tx;

		cw_trial_submit(r->trial, &list, 1);
		r->next++;
	}
	if (r->history != NULL)
		cw_history_step(r->history);
}

static void on_room(void *arg)
{
	feed(arg);
}

static void on_quarantined(void *arg, int rule, const char *reason)
{
	struct run *r = arg;

	(void)reason;
	ck_assert_int_eq(rule, 1);
	r->quarantined++;
}

static void on_failed(void *arg, const struct cw_err *err)
{
	struct run *r = arg;

	ck_assert(!r->failed);
	r->failed = true;
	r->err = *err;
}

static const struct cw_trial_fns fns = { on_ready, on_verdict, on_room, on_quarantined, on_failed };

static void on_turn(void *arg)
{
	(void)arg;
}

static void turn(void)
{
	struct cw_timer *timer = cw_timer_new(loop, on_turn, NULL);

	cw_timer_set(timer, 20);
	cw_loop_run_once(loop);
	cw_timer_free(&timer);
}

#define WAIT(condition) \
	do { \
		int64_t end_ = cw_clock_mono_us() + INT64_C(20000000) * slow_factor(); \
		while (!(condition)) { \
			if (cw_clock_mono_us() > end_) \
				ck_abort_msg("waited in vain: %s", #condition); \
			turn(); \
		} \
	} while (0)

static void load(struct run *r, const char *text)
{
	struct cw_bundle_file rules = { "rules/a.lua", text, strlen(text) };
	struct cw_bundle bundle = { .rules = &rules, .nrules = 1, .params_json = "{}", .options_json = "{}" };
	struct cw_err err;

	ck_assert_msg(cw_trial_load(r->trial, &bundle, &err) == 0, "%s", err.msg);
	r->ready = false;
	WAIT(r->ready || r->failed);
}

static void make(struct run *r, uint64_t limit, enum c_command command)
{
	struct cw_err err;

	*r = (struct run){ .limit = limit, .next = 1, .command = command, .bytes = CW_BUF_INIT };
	r->trial = cw_trial_new(loop, zygote, &conf, &fns, r, &err);
	ck_assert_msg(r->trial != NULL, "%s", err.msg);
}

static void start(struct run *r, const char *text)
{
	load(r, text);
	cw_trial_go(r->trial, NULL, 0);
	feed(r);
}

static void end(struct run *r)
{
	cw_history_free(&r->history);
	cw_trial_free(&r->trial);
	cw_buf_release(&r->bytes);
}

static void setup(void)
{
	struct cw_err err;

	zygote = cw_zygote_start(&c_evaluator, &err);
	ck_assert_msg(zygote != NULL, "%s", err.msg);
	cw_log_set_level(NULL, CW_LOG_OFF);
	loop = cw_loop_new();
}

static void teardown(void)
{
	cw_loop_free(&loop);
	cw_zygote_stop(&zygote);
	ck_assert_msg(waitpid(-1, NULL, WNOHANG | __WALL) < 0, "no process is left");
}

START_TEST(same_stream_same_bytes)
{
	struct run a, b;

	make(&a, 1000, C_ALERT);
	make(&b, 1000, C_ALERT);
	start(&a, "v1");
	start(&b, "v1");
	WAIT(a.verdicts == 1000 && b.verdicts == 1000);
	ck_assert(cw_trial_idle(a.trial));
	ck_assert_uint_eq(cw_trial_seq(a.trial), 1000);
	ck_assert_uint_eq(a.bytes.len, b.bytes.len);
	ck_assert(memcmp(a.bytes.data, b.bytes.data, a.bytes.len) == 0);
	ck_assert_str_eq(a.text, "v1 #1000");
	end(&a);
	end(&b);
}
END_TEST

START_TEST(checkpoint_continues_in_another_trial)
{
	char path[] = "/tmp/cw-trial-XXXXXX";
	struct run whole, half, rest;
	struct cw_err err;

	ck_assert_int_ge(mkstemp(path), 0);
	make(&whole, 1000, C_ALERT);
	make(&half, 500, C_ALERT);
	make(&rest, 1000, C_ALERT);
	start(&whole, "v1");
	start(&half, "v1");
	WAIT(whole.verdicts == 1000 && half.verdicts == 500);
	ck_assert_msg(cw_trial_save(half.trial, digest, path, &err) == 0, "%s", err.msg);
	ck_assert_msg(cw_checkpoint_load(cw_trial_state(rest.trial), path, digest, NULL, &err) == 0, "%s", err.msg);
	rest.next = 501;
	start(&rest, "v1");
	WAIT(rest.verdicts == 500);
	ck_assert_uint_eq(half.bytes.len + rest.bytes.len, whole.bytes.len);
	ck_assert(memcmp(half.bytes.data, whole.bytes.data, half.bytes.len) == 0);
	ck_assert(memcmp(rest.bytes.data, whole.bytes.data + half.bytes.len, rest.bytes.len) == 0);
	unlink(path);
	end(&whole);
	end(&half);
	end(&rest);
}
END_TEST

START_TEST(another_bundle_takes_over_the_arena)
{
	struct run r;

	make(&r, 50, C_ALERT);
	start(&r, "v1");
	WAIT(r.verdicts == 50);
	ck_assert_str_eq(r.text, "v1 #50");
	load(&r, "v2");
	cw_trial_go(r.trial, NULL, 0);
	r.limit = 100;
	feed(&r);
	WAIT(r.verdicts == 100);
	ck_assert_str_eq(r.text, "v2 #100");
	end(&r);
}
END_TEST

START_TEST(hanging_rule_is_quarantined_within_the_trial)
{
	struct run r;

	make(&r, 200, C_HANG);
	start(&r, "v1");
	WAIT(r.verdicts == 200);
	ck_assert_int_eq(r.quarantined, 1);
	ck_assert(!r.failed);
	end(&r);
}
END_TEST

START_TEST(bundle_that_does_not_load_fails_with_its_reason)
{
	struct run r;

	make(&r, 1, C_QUIET);
	load(&r, "fail");
	ck_assert(r.failed);
	ck_assert_str_eq(r.err.msg, "rules/bad.lua:7: this rule does not load");
	ck_assert_uint_eq(cw_trial_room(r.trial), 0);
	end(&r);
}
END_TEST

START_TEST(lost_state_ends_the_trial)
{
	struct run r;

	make(&r, 200, C_SEGV);
	start(&r, "v1");
	WAIT(r.failed);
	ck_assert_msg(strncmp(r.err.msg, "the state of the trial was lost: ", 33) == 0, "%s", r.err.msg);
	end(&r);
}
END_TEST

START_TEST(rules_that_do_not_attach_end_the_trial)
{
	struct run r;

	make(&r, 10, C_QUIET);
	start(&r, "attach fails");
	WAIT(r.failed);
	ck_assert_str_eq(r.err.msg, "the rules could not be put to work: attach was told to fail");
	cw_trial_go(r.trial, NULL, 0);   /* nothing any more */
	ck_assert(!cw_trial_active(r.trial));
	end(&r);
}
END_TEST

/* Killed from outside, so no rule is to blame: at some point it is enough. What the last ones judged is not told any more. */
START_TEST(evaluators_that_die_one_after_the_other_end_the_trial)
{
	uint64_t seen = 0, told = 0;
	int64_t last = 0;
	struct run r;

	make(&r, UINT64_MAX, C_QUIET);
	start(&r, "v1");
	for (int after = 0; after < 3; turn()) {
		int64_t pid = cw_trial_pid(r.trial);

		if (pid <= 0 || pid == last || (!r.failed && r.verdicts == seen))
			continue;
		after += r.failed;
		told = after == 1 ? r.verdicts : told;
		seen = r.verdicts;
		last = pid;
		kill((pid_t)pid, SIGKILL);
	}
	ck_assert_msg(strncmp(r.err.msg, "evaluators died 32 times, the last one: the evaluator was killed by signal 9", 76) == 0,
	              "%s", r.err.msg);
	ck_assert_uint_eq(r.verdicts, told);
	ck_assert_uint_eq(cw_trial_room(r.trial), 0);
	cw_trial_submit(r.trial, NULL, 0);
	end(&r);
}
END_TEST

/* All that may be left out is left out. */
START_TEST(the_least_that_a_trial_needs)
{
	static const struct cw_trial_fns least = { .ready = on_ready, .verdict = on_verdict, .failed = on_failed };
	static const struct cw_trial_conf none;
	struct run r = { .limit = 100, .next = 1, .command = C_HANG, .bytes = CW_BUF_INIT };
	struct cw_rule_meter meter;
	struct cw_err err;

	r.trial = cw_trial_new(loop, zygote, &none, &least, &r, &err);
	ck_assert_msg(r.trial != NULL, "%s", err.msg);
	ck_assert_int_eq(cw_trial_cpu_us(r.trial), -1);
	ck_assert(!cw_trial_meter(r.trial, 0, &meter));
	load(&r, "v1");
	ck_assert(!cw_trial_active(r.trial));
	cw_trial_go(r.trial, NULL, 0);
	feed(&r);
	WAIT(r.verdicts == 100);         /* the rule that hangs was switched off without a word */
	ck_assert(cw_trial_active(r.trial));
	ck_assert(cw_trial_meter(r.trial, 0, &meter));
	ck_assert(!cw_trial_meter(r.trial, CW_RULES_MAX, &meter));
	ck_assert_int_ge(cw_trial_cpu_us(r.trial), 0);
	end(&r);
}
END_TEST

START_TEST(free_cancels_at_any_point)
{
	struct run r;

	make(&r, 1, C_QUIET);
	end(&r);
	make(&r, 1000000, C_QUIET);
	start(&r, "v1");
	WAIT(r.verdicts > 100);
	end(&r);
	turn();
}
END_TEST

static void on_fed(void *arg, const struct cw_err *err)
{
	struct run *r = arg;

	ck_assert(err == NULL);
	r->fed = true;
}

/* 5000 rows, every tenth dropped by a reorg. */
START_TEST(history_comes_in_the_order_of_evaluation)
{
	struct cw_pool_conf pool_conf = cw_pool_conf_default;
	struct cw_pool *pool;
	struct cw_err err;
	struct run r;

	pool_conf.conninfo = store_env_database(pg);
	store_env_exec(pg, "INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, to_address, value,"
	               " gas, gas_price, nonce, canonical) SELECT 1, decode(lpad(to_hex(i), 64, '0'), 'hex'), 100 + i / 10,"
	               " to_timestamp(1767225600 + i), decode(lpad(to_hex(i % 7), 40, 'a'), 'hex'),"
	               " decode(lpad(to_hex(i % 5), 40, 'a'), 'hex'), i, 21000, 30, i, i % 10 <> 0"
	               " FROM generate_series(1, 5000) i");
	pool = cw_pool_new(loop, &pool_conf, &err);
	ck_assert_msg(pool != NULL, "%s", err.msg);
	make(&r, 0, C_QUIET);
	r.history = cw_history_new(loop, pool, r.trial, 100, 4501, on_fed, &r);
	start(&r, "v1");
	WAIT(r.fed && cw_trial_idle(r.trial));
	ck_assert_uint_eq(r.verdicts, 4401 - 440);
	ck_assert_uint_eq(r.last, 4501);
	ck_assert_uint_eq(cw_history_position(r.history), 4501);
	cw_history_free(&r.history);
	r.fed = false;
	r.history = cw_history_new(loop, pool, r.trial, 5000, 5000, on_fed, &r);
	cw_history_step(r.history);
	WAIT(r.fed);
	end(&r);
	make(&r, 0, C_QUIET);
	r.history = cw_history_new(loop, pool, r.trial, 0, 5000, on_fed, &r);
	start(&r, "v1");
	WAIT(r.verdicts > 10);
	end(&r);                         /* in the middle of a page */
	cw_pool_free(&pool);
}
END_TEST

static struct cw_pool *pool_with(int rows)
{
	struct cw_pool_conf pool_conf = cw_pool_conf_default;
	struct cw_pool *pool;
	struct cw_err err;
	char sql[640];

	pool_conf.conninfo = store_env_database(pg);
	snprintf(sql, sizeof(sql), "INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, to_address, value,"
	         " gas, gas_price, nonce) SELECT 1, decode(lpad(to_hex(i), 64, '0'), 'hex'), 100,"
	         " to_timestamp(1767225600 + i), decode(lpad(to_hex(i %% 7), 40, 'a'), 'hex'),"
	         " decode(lpad(to_hex(i %% 5), 40, 'a'), 'hex'), i, 21000, 30, i FROM generate_series(1, %d) i", rows);
	store_env_exec(pg, sql);
	pool = cw_pool_new(loop, &pool_conf, &err);
	ck_assert_msg(pool != NULL, "%s", err.msg);
	return pool;
}

/* The table is away for a while; a row in it cannot be read. */
START_TEST(history_is_asked_for_again)
{
	struct cw_pool *pool = pool_with(30);
	int64_t later;
	struct run r;

	store_env_exec(pg, "UPDATE transactions SET logs = '\\xff' WHERE id = 17");
	store_env_exec(pg, "ALTER TABLE transactions RENAME TO hidden");
	make(&r, 0, C_QUIET);
	r.history = cw_history_new(loop, pool, r.trial, 0, 30, on_fed, &r);
	start(&r, "v1");
	later = cw_clock_mono_us() + 500000;
	WAIT(cw_clock_mono_us() > later);
	ck_assert(!r.fed);
	store_env_exec(pg, "ALTER TABLE hidden RENAME TO transactions");
	WAIT(r.fed && cw_trial_idle(r.trial));
	ck_assert_uint_eq(r.verdicts, 29);
	ck_assert_uint_eq(r.last, 30);
	cw_history_step(r.history);      /* there is no more */
	ck_assert_uint_eq(cw_history_position(r.history), 30);
	end(&r);
	cw_pool_free(&pool);
}
END_TEST

static void on_given_up(void *arg, const struct cw_err *err)
{
	struct run *r = arg;

	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_nonnull(strstr(err->msg, "transactions"));
	r->fed = true;
}

/* The table stays away, and so do zygote and evaluator: after seconds, nobody waits any longer. */
START_TEST(what_does_not_come_back_is_given_up)
{
	struct cw_pool *pool = pool_with(1);
	pid_t pid;
	struct run r;
	FILE *f = fopen("/proc/thread-self/children", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &pid), 1);      /* the zygote: it is the only one yet */
	fclose(f);
	store_env_exec(pg, "ALTER TABLE transactions RENAME TO hidden");
	make(&r, 0, C_QUIET);
	r.history = cw_history_new(loop, pool, r.trial, 0, 30, on_given_up, &r);
	start(&r, "v1");
	WAIT(cw_trial_active(r.trial));
	kill(pid, SIGKILL);
	kill((pid_t)cw_trial_pid(r.trial), SIGKILL);
	WAIT(r.fed && r.failed);
	ck_assert_str_eq(r.err.msg, "no evaluator could be started");
	end(&r);
	cw_pool_free(&pool);
}
END_TEST

static void up(void)
{
	pg = store_env_start();
}

static void down(void)
{
	pgtest_stop(&pg);
}

int main(void)
{
	Suite *suite = suite_create("trial");
	TCase *tc = tcase_create("trial"), *stored = tcase_create("history");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_set_timeout(stored, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, same_stream_same_bytes);
	tcase_add_test(tc, checkpoint_continues_in_another_trial);
	tcase_add_test(tc, another_bundle_takes_over_the_arena);
	tcase_add_test(tc, hanging_rule_is_quarantined_within_the_trial);
	tcase_add_test(tc, bundle_that_does_not_load_fails_with_its_reason);
	tcase_add_test(tc, lost_state_ends_the_trial);
	tcase_add_test(tc, rules_that_do_not_attach_end_the_trial);
	tcase_add_test(tc, evaluators_that_die_one_after_the_other_end_the_trial);
	tcase_add_test(tc, the_least_that_a_trial_needs);
	tcase_add_test(tc, free_cancels_at_any_point);
	tcase_add_unchecked_fixture(stored, up, down);
	tcase_add_checked_fixture(stored, setup, teardown);
	tcase_add_test(stored, history_comes_in_the_order_of_evaluation);
	tcase_add_test(stored, history_is_asked_for_again);
	tcase_add_test(stored, what_does_not_come_back_is_given_up);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, stored);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
