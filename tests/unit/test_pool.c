#include "pg/pool.h"

#include <check.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/result.h"
#include "support/pgtest.h"
#include "support/slow.h"

static struct pgtest *pg;
static struct cw_loop *loop;
static struct cw_arena *arena;
static struct cw_pool *pool;
static struct cw_pool_conf conf;
static char journal[65536];

static void pg_up(void)
{
	pg = pgtest_start();
}

static void pg_down(void)
{
	pgtest_stop(&pg);
}

static void setup(void)
{
	cw_log_set_level(NULL, CW_LOG_OFF);      /* failures to connect are part of the tests */
	loop = cw_loop_new();
	arena = cw_arena_new();
	journal[0] = '\0';
	conf = cw_pool_conf_default;
	conf.conninfo = pgtest_conninfo(pg);
}

static void teardown(void)
{
	cw_pool_free(&pool);
	cw_arena_free(&arena);
	cw_loop_free(&loop);
	cw_metrics_free();
}

static void open_pool(int size, int overflow)
{
	struct cw_err err = { .msg = "" };

	conf.size = size;
	conf.overflow = overflow;
	pool = cw_pool_new(loop, &conf, &err);
	ck_assert_msg(pool != NULL, "%s", err.msg);
}

static void note(const char *text)
{
	ck_assert_uint_lt(strlen(journal) + strlen(text) + 2, sizeof(journal));
	strcat(journal, text);
	strcat(journal, " ");
}

static void on_answer(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	char line[128];

	if (err != NULL)
		snprintf(line, sizeof(line), "%s!%s:%s", (const char *)arg, cw_code_name(err->code), err->sqlstate);
	else if (cw_result_columns(res) > 0 && cw_result_rows(res) > 0)
		snprintf(line, sizeof(line), "%s=%lld", (const char *)arg, (long long)cw_result_i64(res, 0, 0));
	else
		snprintf(line, sizeof(line), "%s", (const char *)arg);
	note(line);
}

static bool turn_until(bool (*done)(const char *), const char *word, int ms)
{
	struct cw_timer *wake = cw_timer_new(loop, (cw_loop_fn *)cw_loop_stop, loop);
	int64_t deadline = cw_clock_mono_us() + ms * INT64_C(1000);

	while (!done(word) && cw_clock_mono_us() < deadline) {
		cw_timer_set(wake, 10);
		cw_loop_run_once(loop);
	}
	cw_timer_free(&wake);
	return done(word);
}

static bool seen(const char *word)
{
	return strstr(journal, word) != NULL;
}

static bool quiet(const char *word)
{
	struct cw_pool_stats s = cw_pool_stats(pool);

	(void)word;
	return s.busy == 0 && s.waiting == 0 && s.connecting == 0;
}

static bool never(const char *word)
{
	(void)word;
	return false;
}

static void run_until(const char *word)
{
	ck_assert_msg(turn_until(seen, word, 10000 * slow_factor()), "waited for \"%s\", saw \"%s\"", word, journal);
}

static void run_until_quiet(void)
{
	ck_assert(turn_until(quiet, NULL, 10000 * slow_factor()));
}

static void expect(const char *words)
{
	ck_assert_str_eq(journal, words);
	journal[0] = '\0';
}

static uint64_t ask(const char *sql, const char *label)
{
	struct cw_stmt stmt = { sql, sql };

	return cw_pool_query(pool, &stmt, NULL, on_answer, (void *)(uintptr_t)label);
}

static uint64_t look(const char *sql, const char *label)
{
	struct cw_stmt stmt = { sql, sql };

	return cw_pool_read(pool, &stmt, NULL, on_answer, (void *)(uintptr_t)label);
}

struct held {
	const char *label;
	struct cw_lease *lease;
	bool answered;
};

static void on_lease(void *arg, struct cw_lease *lease, const struct cw_err *err)
{
	struct held *h = arg;
	char line[128];

	h->lease = lease;
	h->answered = true;
	if (err != NULL)
		snprintf(line, sizeof(line), "%s!%s", h->label, cw_code_name(err->code));
	else
		snprintf(line, sizeof(line), "%s", h->label);
	note(line);
}

static uint64_t hold(struct held *h, const char *label)
{
	*h = (struct held){ .label = label };
	return cw_pool_lease(pool, on_lease, h);
}

/* ---- queries ---- */

START_TEST(query_is_answered_after_the_call)
{
	struct cw_params p;
	struct cw_stmt stmt = { "sum", "SELECT $1::int8 + length($2)" };

	open_pool(2, 0);
	cw_params_init(&p, arena);
	cw_params_i64(&p, 40);
	cw_params_cstring(&p, "ab");
	cw_pool_query(pool, &stmt, &p, on_answer, (void *)(uintptr_t)"q");
	cw_arena_clear(arena);                   /* copied */
	cw_pool_read(pool, &stmt, NULL, on_answer, (void *)(uintptr_t)"bad");
	expect("");
	run_until("q=42 ");
	run_until("bad!");
	ck_assert_ptr_nonnull(strstr(journal, "bad!database:08P01 "));   /* supplies 0 parameters */
	ck_assert(cw_pool_healthy(pool));
}
END_TEST

START_TEST(writes_are_committed_one_by_one)
{
	open_pool(1, 0);
	pgtest_exec(pg, "CREATE TABLE writes (x int PRIMARY KEY)");
	ask("INSERT INTO writes VALUES (1)", "a");
	ask("INSERT INTO writes VALUES (1)", "b");
	ask("INSERT INTO writes VALUES (2)", "c");
	run_until("c ");
	expect("a b!conflict:23505 c ");
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(*) FROM writes"), "2");
}
END_TEST

START_TEST(reads_that_share_a_transaction_fail_alone)
{
	open_pool(1, 0);
	for (int i = 0; i < 2; i++) {
		look("SELECT 1", "a");
		run_until("a=1 ");
		look("SELECT x / (x - 7) FROM generate_series(6, 6) x", "b");
		run_until("b=-6 ");
		journal[0] = '\0';
	}
	/* now both are known to be fast, so these go together */
	look("SELECT 1", "r1");
	look("SELECT x / (x - 7) FROM generate_series(6, 6) x", "r2");
	look("SELECT 1 / (SELECT 0)", "r3");
	look("SELECT 1", "r4");
	look("SELECT 1", "r5");
	run_until("r3!");
	run_until("r4=1 ");
	run_until("r5=1 ");
	ck_assert_ptr_nonnull(strstr(journal, "r1=1 r2=-6 "));
	ck_assert_ptr_nonnull(strstr(journal, "r3!invalid:22012 "));
	ck_assert_int_eq(cw_pool_stats(pool).waiting, 0);
}
END_TEST

START_TEST(failing_read_in_a_known_group_fails_alone)
{
	open_pool(1, 0);
	pgtest_exec(pg, "CREATE TABLE divisor AS SELECT 1 AS x");
	for (int i = 0; i < 3; i++) {
		look("SELECT 1 / x FROM divisor", "d");
		look("SELECT 2", "e");
		run_until("e=2 ");
		journal[0] = '\0';
	}
	pgtest_exec(pg, "UPDATE divisor SET x = 0");
	look("SELECT 2", "e1");
	look("SELECT 1 / x FROM divisor", "d1");
	look("SELECT 2", "e2");
	look("SELECT 2", "e3");
	run_until("e3=2 ");
	expect("e1=2 d1!invalid:22012 e2=2 e3=2 ");
}
END_TEST

START_TEST(many_queries_share_few_connections)
{
	open_pool(2, 0);
	for (int i = 0; i < 500; i++) {
		look("SELECT 3", "r");
		if (i % 10 == 0)
			ask("SELECT 4", "w");
	}
	run_until_quiet();
	ck_assert_uint_eq(cw_pool_stats(pool).checkouts, 550);
	ck_assert_int_le(cw_pool_stats(pool).size, 2);
	int n = 0;

	for (const char *at = journal; *at != '\0'; at = strchr(at, ' ') + 1)
		n += strncmp(at, "r=3 ", 4) == 0 || strncmp(at, "w=4 ", 4) == 0;
	ck_assert_int_eq(n, 550);
}
END_TEST

START_TEST(slow_statement_does_not_hold_up_fast_ones)
{
	open_pool(2, 0);
	look("SELECT 1", "f");
	look("SELECT length(pg_sleep(0.3)::text)", "s");
	run_until("s=0 ");
	journal[0] = '\0';
	for (int i = 0; i < 3; i++) {
		look("SELECT length(pg_sleep(0.3)::text)", "s");
		look("SELECT 1", "f");
		look("SELECT 1", "f");
		run_until("f=1 f=1 ");
		ck_assert_ptr_null(strstr(journal, "s=0"));
		run_until("s=0 ");
		journal[0] = '\0';
	}
}
END_TEST

/* ---- leases and waiting ---- */

START_TEST(waiter_gets_connection_on_release)
{
	struct held first, second;

	open_pool(1, 0);
	hold(&first, "first");
	hold(&second, "second");
	ck_assert(!first.answered);
	run_until("first ");
	ck_assert(!turn_until(seen, "second ", 50));
	ck_assert_int_eq(cw_pool_stats(pool).waiting, 1);
	cw_lease_release(&first.lease, 1);
	ck_assert_ptr_null(first.lease);
	ck_assert(!second.answered);
	run_until("second ");
	cw_lease_release(&second.lease, 1);
	run_until_quiet();
	ck_assert_int_eq(cw_pool_stats(pool).size, 1);
}
END_TEST

START_TEST(waiters_are_served_in_order_of_arrival)
{
	struct held a, b, c;

	open_pool(1, 0);
	hold(&a, "a");
	run_until("a ");
	ask("SELECT 1", "q1");
	hold(&b, "b");
	ask("SELECT 2", "q2");
	hold(&c, "c");
	look("SELECT 3", "q3");
	cw_lease_release(&a.lease, 1);
	run_until("b ");
	cw_lease_release(&b.lease, 1);
	run_until("c ");
	cw_lease_release(&c.lease, 1);
	run_until("q3=3 ");
	expect("a q1=1 b q2=2 c q3=3 ");
}
END_TEST

START_TEST(overflow_opens_under_load_and_closes_when_idle)
{
	struct held h[5];

	open_pool(2, 2);
	for (int i = 0; i < 5; i++)
		hold(&h[i], i < 4 ? "x" : "last");
	ck_assert(!turn_until(seen, "x x x x x ", 300));
	ck_assert_ptr_nonnull(strstr(journal, "x x x x "));
	ck_assert_int_eq(cw_pool_stats(pool).size, 4);
	for (int i = 0; i < 4; i++)
		cw_lease_release(&h[i].lease, 1);
	run_until("last ");
	cw_lease_release(&h[4].lease, 1);
	int64_t deadline = cw_clock_mono_us() + INT64_C(5000000) * slow_factor();

	while (cw_pool_stats(pool).size > 2 && cw_clock_mono_us() < deadline)
		turn_until(never, NULL, 50);
	ck_assert_int_eq(cw_pool_stats(pool).size, 2);
}
END_TEST

START_TEST(waiting_ends_at_the_deadline)
{
	struct held h, late;
	int64_t from = cw_clock_mono_us();

	conf.wait_ms = 500;
	open_pool(1, 0);
	hold(&h, "h");
	run_until("h ");
	ask("SELECT 1", "q");
	hold(&late, "late");
	ck_assert(!turn_until(seen, "!", 50));
	run_until("late!");
	expect("h q!timeout: late!timeout ");
	ck_assert_int_ge(cw_clock_mono_us() - from, 500000);
	ck_assert_ptr_null(late.lease);
	ck_assert_uint_eq(cw_pool_stats(pool).timeouts, 2);
	cw_lease_release(&h.lease, 1);
}
END_TEST

START_TEST(full_queue_says_no_at_once)
{
	struct held h;

	conf.queue_limit = 3;
	open_pool(1, 0);
	hold(&h, "h");
	run_until("h ");
	for (int i = 0; i < 5; i++)
		ask("SELECT 1", "q");
	expect("h ");                            /* not from inside the call */
	cw_loop_poll(loop);
	cw_loop_poll(loop);
	expect("q!busy: q!busy: ");
	ck_assert_uint_eq(cw_pool_stats(pool).refused, 2);
	cw_lease_release(&h.lease, 1);
	run_until("q=1 q=1 q=1 ");
}
END_TEST

START_TEST(burst_beyond_the_queue_finds_room_on_the_connections)
{
	conf.queue_limit = 3;
	open_pool(1, 0);
	for (int i = 0; i < 20; i++) {           /* until it is known to be fast */
		ask("SELECT 1", "q");
		run_until("q=1 ");
		journal[0] = '\0';
	}
	for (int i = 0; i < 12; i++)
		ask("SELECT 1", "q");
	run_until_quiet();
	expect("q=1 q=1 q=1 q=1 q=1 q=1 q=1 q=1 q=1 q=1 q=1 q=1 ");
}
END_TEST

START_TEST(cancelled_requests_are_not_answered)
{
	struct held h, w, g;
	uint64_t waiting, running, lease, granted;

	open_pool(2, 0);
	hold(&h, "h");
	run_until("h ");
	running = ask("SELECT 1", "running");
	run_until("running=1 ");
	journal[0] = '\0';
	running = ask("SELECT pg_sleep(0.1)", "running");
	cw_loop_poll(loop);
	granted = hold(&g, "granted");
	waiting = ask("SELECT 2", "waiting");
	lease = hold(&w, "lease");
	cw_pool_cancel(pool, running);
	cw_pool_cancel(pool, waiting);
	cw_pool_cancel(pool, lease);
	cw_pool_cancel(pool, 999);
	run_until("granted ");
	expect("granted ");
	cw_lease_release(&g.lease, 1);
	/* granted, but not told yet */
	granted = hold(&g, "granted");
	turn_until(never, NULL, 0);
	cw_pool_cancel(pool, granted);
	cw_lease_release(&h.lease, 1);
	if (g.lease != NULL)
		cw_lease_release(&g.lease, 1);
	run_until_quiet();
	ck_assert_int_ge(cw_pool_stats(pool).idle, 1);     /* the one that was cancelled on the server is not kept */
}
END_TEST

/* Nobody waits for it any more: the server need not go on, and what comes next on the pool is not hit. */
START_TEST(long_statement_is_cancelled_on_the_server)
{
	static const char running[] = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
	                              " AND pid <> pg_backend_pid()";
	int64_t end = cw_clock_mono_us() + INT64_C(5000000) * slow_factor();
	uint64_t query;

	open_pool(2, 0);
	for (int i = 0; i < 3; i++) {
		query = ask("SELECT pg_sleep(60)", "sleep");
		while (strcmp(pgtest_value(pg, running), "1") != 0 && cw_clock_mono_us() < end)
			cw_loop_poll(loop);
		cw_pool_cancel(pool, query);
		while (strcmp(pgtest_value(pg, running), "0") != 0 && cw_clock_mono_us() < end)
			cw_loop_poll(loop);
		ck_assert_str_eq(pgtest_value(pg, running), "0");
		journal[0] = '\0';
		ask("SELECT 1", "after");
		run_until("after=1 ");
		ask("SELECT 2", "then");
		run_until("after=1 then=2 ");
	}
}
END_TEST

START_TEST(unclean_connection_is_not_lent_again)
{
	struct held h;

	open_pool(1, 0);
	hold(&h, "a");
	run_until("a ");
	cw_conn_query(cw_lease_conn(h.lease), &(struct cw_stmt){ "", "BEGIN" }, NULL, NULL, NULL);
	cw_conn_query(cw_lease_conn(h.lease), &(struct cw_stmt){ "", "SET statement_timeout = 77" }, NULL, NULL, NULL);
	cw_lease_release(&h.lease, 1);           /* still in flight, and BEGIN without COMMIT */
	ask("SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid() AND state <> 'active'", "none");
	ask("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'", "open");
	run_until("open=0 ");
	ck_assert_uint_eq(cw_pool_stats(pool).recycled, 1);
	journal[0] = '\0';
	/* a transaction that ends right before the release keeps its connection */
	hold(&h, "b");
	run_until("b ");
	cw_conn_query(cw_lease_conn(h.lease), &(struct cw_stmt){ "", "BEGIN" }, NULL, NULL, NULL);
	cw_conn_query(cw_lease_conn(h.lease), &(struct cw_stmt){ "", "COMMIT" }, NULL, NULL, NULL);
	cw_conn_sync(cw_lease_conn(h.lease), NULL, NULL);
	cw_lease_release(&h.lease, 1);
	run_until_quiet();
	ck_assert_uint_eq(cw_pool_stats(pool).recycled, 1);
	hold(&h, "c");
	run_until("c ");
	cw_lease_release(&h.lease, 0);
	ck_assert_uint_eq(cw_pool_stats(pool).recycled, 2);
}
END_TEST

START_TEST(sessions_have_their_timeouts)
{
	conf.statement_ms = 50;
	open_pool(1, 0);
	ask("SELECT pg_sleep(5)", "slow");
	run_until("slow!");
	expect("slow!timeout:57014 ");
	ask("SELECT setting::int8 FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'", "idle");
	run_until("idle=60000 ");
}
END_TEST

/* ---- age ---- */

START_TEST(connections_are_recycled_by_age)
{
	int64_t deadline;

	conf.recycle_s = 1;
	open_pool(1, 0);
	ask("SELECT 1", "a");
	run_until("a=1 ");
	deadline = cw_clock_mono_us() + INT64_C(5000000) * slow_factor();
	while (cw_pool_stats(pool).recycled == 0 && cw_clock_mono_us() < deadline)
		turn_until(never, NULL, 50);
	ck_assert_uint_ge(cw_pool_stats(pool).recycled, 1);
	ask("SELECT 2", "b");
	run_until("b=2 ");
}
END_TEST

START_TEST(idle_connection_is_checked_before_use)
{
	conf.check_idle_s = 0;                   /* every time */
	open_pool(1, 0);
	ask("SELECT 1", "a");
	run_until("a=1 ");
	turn_until(never, NULL, 20);
	ask("SELECT 2", "b");
	run_until("b=2 ");
	ck_assert_int_eq(cw_pool_stats(pool).size, 1);
}
END_TEST

/* The other side is there, but says nothing: a machine that has vanished looks like this. */
START_TEST(check_that_is_not_answered_is_given_up)
{
	pid_t first, second;

	conf.check_idle_s = 0;
	conf.connect_ms = 200 * slow_factor();
	open_pool(1, 0);
	ask("SELECT pg_backend_pid()::int8", "a");
	run_until("a=");
	first = (pid_t)strtol(strstr(journal, "a=") + 2, NULL, 10);
	turn_until(never, NULL, 20);
	ck_assert_int_eq(kill(first, SIGSTOP), 0);
	ask("SELECT pg_backend_pid()::int8", "b");
	run_until("b=");
	second = (pid_t)strtol(strstr(journal, "b=") + 2, NULL, 10);
	kill(first, SIGCONT);
	ck_assert_int_ne(first, second);
	ck_assert_uint_ge(cw_pool_stats(pool).failed, 1);
}
END_TEST

START_TEST(outdated_connection_is_not_used_once_more)
{
	struct cw_err err;
	uint64_t recycled;

	open_pool(1, 0);
	ask("SELECT 1", "a");
	run_until("a=1 ");
	run_until_quiet();
	recycled = cw_pool_stats(pool).recycled;
	conf.statement_ms = 12345;
	ck_assert_int_eq(cw_pool_reconfigure(pool, &conf, &err), 0);
	ask("SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout'", "t");   /* in the same turn */
	run_until("t=12345 ");
	ck_assert_uint_eq(cw_pool_stats(pool).recycled, recycled + 1);
}
END_TEST

/* ---- failure ---- */

/* Nobody asks: it finds out by itself that the database is back. */
START_TEST(health_returns_without_a_query)
{
	char link[] = "/tmp/cw-pool-XXXXXX", conninfo[256];
	int64_t deadline;

	ck_assert_ptr_nonnull(mkdtemp(link));
	ck_assert_int_eq(rmdir(link), 0);
	snprintf(conninfo, sizeof(conninfo), "host=%s port=5432 user=chainwatch dbname=chainwatch", link);
	conf.conninfo = conninfo;
	conf.wait_ms = 300;
	open_pool(1, 0);
	look("SELECT 1", "away");
	run_until("away!");
	ck_assert(!cw_pool_healthy(pool));
	ck_assert_int_eq(cw_pool_stats(pool).waiting, 0);
	ck_assert_int_eq(symlink(cw_cluster_socket_dir(pgtest_cluster(pg)), link), 0);
	deadline = cw_clock_mono_us() + 10000000 * slow_factor();
	while (!cw_pool_healthy(pool) && cw_clock_mono_us() < deadline)
		turn_until(never, NULL, 20);
	ck_assert(cw_pool_healthy(pool));
	unlink(link);
}
END_TEST

static void kill_backends(void)
{
	pgtest_exec(pg, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'chainwatch' "
	                "AND pid <> pg_backend_pid()");
}

START_TEST(killed_idle_backends_are_replaced)
{
	struct held h[3];

	open_pool(3, 0);
	for (int i = 0; i < 3; i++)
		hold(&h[i], "h");
	run_until("h h h ");
	for (int i = 0; i < 3; i++)
		cw_lease_release(&h[i].lease, 1);
	run_until_quiet();
	kill_backends();
	for (int i = 0; i < 10; i++)
		look("SELECT 1", "r");
	run_until("r=1 r=1 r=1 r=1 r=1 r=1 r=1 r=1 r=1 r=1 ");
	ck_assert(cw_pool_healthy(pool));
}
END_TEST

START_TEST(reads_survive_a_killed_backend_and_writes_say_so)
{
	struct cw_stmt stmt = { "sleep", "SELECT 5::int8, pg_sleep(0.5)" };

	pgtest_exec(pg, "CREATE TABLE survivors (x int)");
	open_pool(2, 0);
	cw_pool_read(pool, &stmt, NULL, on_answer, (void *)(uintptr_t)"read");
	ask("INSERT INTO survivors SELECT 1 FROM pg_sleep(0.5)", "write");
	while (atoi(pgtest_value(pg, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")) < 2)
		turn_until(never, NULL, 10);
	kill_backends();
	run_until("read=5 ");
	run_until("write!database:57P01 ");
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(*) FROM survivors"), "0");
}
END_TEST

static void on_sleep(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	note(err != NULL ? "lost" : "done");
}

START_TEST(read_is_asked_again_only_once)
{
	struct cw_stmt stmt = { "suicide", "SELECT pg_terminate_backend(pg_backend_pid())" };

	open_pool(2, 0);
	cw_pool_read(pool, &stmt, NULL, on_sleep, NULL);
	run_until("lost ");
	turn_until(never, NULL, 100);
	expect("lost ");
	ck_assert_uint_eq(cw_pool_stats(pool).checkouts, 2);
}
END_TEST

#ifdef CW_FAULTS
/* Cut at every event in turn: each request is answered exactly once, reads with their row. */
START_TEST(connections_cut_at_any_moment_lose_no_answer)
{
	for (unsigned skip = 0; skip < 40; skip++) {
		struct held h;
		int reads = 0, writes = 0;

		open_pool(2, 1);
		cw_fault_arm("pg.lost", skip, 1);
		if (skip % 4 == 0)
			cw_fault_arm("pg.connect", skip / 4, 1);
		for (int i = 0; i < 10; i++) {
			look("SELECT 3", "r");
			ask("SELECT 4", "w");
			if (i == 5)
				hold(&h, "h");
		}
		ck_assert(turn_until(seen, "h ", 10000));
		cw_lease_release(&h.lease, 1);
		run_until_quiet();
		for (const char *at = journal; *at != '\0'; at = strchr(at, ' ') + 1) {
			reads += strncmp(at, "r=3 ", 4) == 0;
			writes += strncmp(at, "w=4 ", 4) == 0 || strncmp(at, "w!database:08", 13) == 0;
		}
		ck_assert_msg(reads == 10 && writes == 10, "skip %u: %s", skip, journal);
		cw_fault_arm("pg.lost", 0, 0);
		cw_fault_arm("pg.connect", 0, 0);
		cw_pool_free(&pool);
		journal[0] = '\0';
	}
}
END_TEST
#endif

START_TEST(lease_whose_backend_was_killed_can_be_released)
{
	struct held h;

	open_pool(1, 0);
	hold(&h, "h");
	run_until("h ");
	kill_backends();
	for (int i = 0; i < 100 && cw_conn_state(cw_lease_conn(h.lease)) != CW_CONN_DEAD; i++)
		turn_until(never, NULL, 10);
	ck_assert_int_eq(cw_conn_state(cw_lease_conn(h.lease)), CW_CONN_DEAD);
	cw_conn_exec(cw_lease_conn(h.lease), &(struct cw_stmt){ "", "SELECT 1" }, NULL, on_answer, (void *)(uintptr_t)"x");
	run_until("x!database:57P01 ");
	cw_lease_release(&h.lease, 1);
	ask("SELECT 1", "q");
	run_until("q=1 ");
}
END_TEST

START_TEST(restarted_server_is_found_again)
{
	struct cw_cluster *cluster = pgtest_cluster(pg);
	struct cw_err err;
	pid_t old = cw_cluster_pid(cluster);

	open_pool(3, 0);
	ask("SELECT 1", "a");
	run_until("a=1 ");
	kill(old, SIGINT);
	for (int i = 0; i < 500 && cw_pool_healthy(pool); i++)
		turn_until(never, NULL, 10);
	ck_assert(!cw_pool_healthy(pool));
	ck_assert_uint_ge(cw_pool_stats(pool).failed, 1);
	look("SELECT 2", "b");                   /* waits */
	ask("INSERT INTO pg_temp.nothing VALUES (1)", "c");
	turn_until(never, NULL, 200);
	ck_assert_int_eq(cw_pool_stats(pool).waiting, 2);
	for (int i = 0; i < 500 && cw_cluster_pid(cluster) == old; i++) {
		ck_assert_int_eq(cw_cluster_revive(cluster, &err), 0);
		turn_until(never, NULL, 10);
	}
	run_until("b=2 ");
	run_until("c!database:42P01 ");
	ck_assert(cw_pool_healthy(pool));
}
END_TEST

START_TEST(database_that_is_away_is_told_at_the_deadline)
{
	conf.conninfo = "host=/nonexistent user=x";
	conf.wait_ms = 300;
	open_pool(2, 0);
	ask("SELECT 1", "a");
	run_until("a!timeout: ");
	ck_assert(!cw_pool_healthy(pool));
	/* with backoff: a handful of attempts, not hundreds */
	ck_assert_uint_le(cw_pool_stats(pool).failed, 6);
	ck_assert_uint_ge(cw_pool_stats(pool).failed, 1);
}
END_TEST

/* ---- settings ---- */

START_TEST(settings_that_make_no_sense_are_refused)
{
	struct { int size, overflow, queue; const char *conninfo, *message; } cases[] = {
		{ 0, 0, 1, "host=x", "pool size 0 is not between 1 and 1000" },
		{ 1, -1, 1, "host=x", "pool overflow -1 is not between 0 and 1000" },
		{ 1, 0, 0, "host=x", "queue limit 0 of the pool is less than 1" },
		{ 1, 0, 1, NULL, "no connection string for the database" },
		{ 1, 0, 1, "hostx=x", "cannot read the connection string: invalid connection option" },
	};
	struct cw_err err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		conf.size = cases[i].size;
		conf.overflow = cases[i].overflow;
		conf.queue_limit = cases[i].queue;
		conf.conninfo = cases[i].conninfo;
		ck_assert_ptr_null(cw_pool_new(loop, &conf, &err));
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_str_eq(err.msg, cases[i].message);
	}
}
END_TEST

START_TEST(times_that_make_no_sense_are_refused)
{
	struct cw_pool_conf bad[16];
	struct cw_err err;
	int shorter, n = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		bad[i] = conf;
	bad[n++].wait_ms = 0;
	bad[n++].connect_ms = 0;
	bad[n++].recycle_s = 0;
	bad[n++].check_idle_s = -1;
	bad[n++].statement_ms = -1;
	shorter = n;
	bad[n++].wait_ms = 86400001;
	bad[n++].connect_ms = 86400001;
	bad[n++].recycle_s = 31536001;
	bad[n++].check_idle_s = 31536001;
	bad[n++].statement_ms = INT64_C(1) << 31;
	bad[n].overflow = 1001;
	bad[n + 1].size = 1001;
	open_pool(1, 0);
	for (int i = 0; i < n; i++) {
		ck_assert_msg(cw_pool_new(loop, &bad[i], &err) == NULL, "%d", i);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_str_eq(err.msg, i < shorter ? "a time of the pool is too short" : "a time of the pool is too long");
		ck_assert_int_eq(cw_pool_reconfigure(pool, &bad[i], &err), -1);
	}
	ck_assert_ptr_null(cw_pool_new(loop, &bad[n], &err));
	ck_assert_ptr_null(cw_pool_new(loop, &bad[n + 1], &err));
}
END_TEST

START_TEST(new_settings_hold_at_once)
{
	struct held h[3];
	struct cw_err err;
	char other[512];

	open_pool(1, 0);
	hold(&h[0], "h");
	hold(&h[1], "h");
	hold(&h[2], "h");
	run_until("h ");
	ck_assert(!turn_until(seen, "h h ", 50));
	conf.size = 3;
	ck_assert_int_eq(cw_pool_reconfigure(pool, &conf, &err), 0);
	run_until("h h h ");
	conf.size = 1;
	ck_assert_int_eq(cw_pool_reconfigure(pool, &conf, &err), 0);
	for (int i = 0; i < 3; i++)
		cw_lease_release(&h[i].lease, 1);
	run_until_quiet();
	ck_assert_int_eq(cw_pool_stats(pool).size, 1);
	/* another database, without losing a request */
	snprintf(other, sizeof(other), "%s", pgtest_create_database(pg, "other"));
	conf.conninfo = other;
	conf.size = 0;
	ck_assert_int_eq(cw_pool_reconfigure(pool, &conf, &err), -1);
	conf.size = 1;
	ask("SELECT count(*) FROM pg_database WHERE datname = current_database() AND datname = 'other'", "before");
	turn_until(never, NULL, 0);
	ck_assert_int_eq(cw_pool_reconfigure(pool, &conf, &err), 0);
	memset(other, 'x', 10);                  /* copied */
	run_until("before=");
	ask("SELECT count(*) FROM pg_database WHERE datname = current_database() AND datname = 'other'", "after");
	run_until("after=1 ");
}
END_TEST

/* ---- the end ---- */

static void free_pool(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)res;
	(void)err;
	note(arg);
	cw_pool_free(&pool);
}

START_TEST(pool_may_be_freed_inside_a_callback)
{
	struct held h, w;

	open_pool(2, 0);
	hold(&h, "h");
	run_until("h ");
	cw_pool_query(pool, &(struct cw_stmt){ "f", "SELECT 1" }, NULL, free_pool, (void *)(uintptr_t)"free");
	cw_pool_query(pool, &(struct cw_stmt){ "g", "SELECT 2" }, NULL, on_answer, (void *)(uintptr_t)"g");
	hold(&w, "w");
	run_until("w!cancelled ");
	ck_assert_ptr_null(pool);
	expect("h free g!cancelled: w!cancelled ");
	cw_loop_poll(loop);
	/* a lease outlives the pool */
	ck_assert_int_eq(cw_conn_state(cw_lease_conn(h.lease)), CW_CONN_DEAD);
	cw_lease_release(&h.lease, 1);
	expect("");
}
END_TEST

static void free_pool_on_refusal(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	ck_assert_ptr_null(res);
	ck_assert_int_eq(err->code, CW_ERR_BUSY);
	note(arg);
	cw_pool_free(&pool);
}

START_TEST(pool_may_be_freed_inside_a_refusal)
{
	struct held h;

	conf.queue_limit = 1;
	open_pool(1, 0);
	hold(&h, "h");
	run_until("h ");
	ask("SELECT 1", "a");
	cw_pool_query(pool, &(struct cw_stmt){ "f", "SELECT 1" }, NULL, free_pool_on_refusal, (void *)(uintptr_t)"free");
	ask("SELECT 2", "b");
	run_until("b!busy: ");
	expect("h free b!busy: a!cancelled: ");
	cw_lease_release(&h.lease, 1);
}
END_TEST

START_TEST(free_answers_what_waits_and_runs)
{
	struct held h;

	open_pool(1, 0);
	ask("SELECT pg_sleep(5)", "running");
	turn_until(never, NULL, 100);
	hold(&h, "waiting");
	look("SELECT 1", "read");
	cw_pool_free(&pool);
	expect("running!cancelled: waiting!cancelled read!cancelled: ");
}
END_TEST

START_TEST(metrics_tell_of_the_pool)
{
	struct cw_buf out = CW_BUF_INIT;

	open_pool(1, 0);
	ask("SELECT 1", "a");
	run_until("a=1 ");
	run_until_quiet();
	cw_metrics_write(&out);
	ck_assert_ptr_nonnull(strstr(out.data, "chainwatch_db_pool_connections 1\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "chainwatch_db_pool_idle 1\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "chainwatch_db_pool_checkouts_total 1\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "chainwatch_db_query_seconds_count{statement=\"SELECT 1\"} 1\n"));
	cw_buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("pool"), *restart = tcase_create("restart");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, pg_up, pg_down);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, query_is_answered_after_the_call);
	tcase_add_test(tc, writes_are_committed_one_by_one);
	tcase_add_test(tc, reads_that_share_a_transaction_fail_alone);
	tcase_add_test(tc, failing_read_in_a_known_group_fails_alone);
	tcase_add_test(tc, many_queries_share_few_connections);
	tcase_add_test(tc, slow_statement_does_not_hold_up_fast_ones);
	tcase_add_test(tc, waiter_gets_connection_on_release);
	tcase_add_test(tc, waiters_are_served_in_order_of_arrival);
	tcase_add_test(tc, overflow_opens_under_load_and_closes_when_idle);
	tcase_add_test(tc, waiting_ends_at_the_deadline);
	tcase_add_test(tc, full_queue_says_no_at_once);
	tcase_add_test(tc, burst_beyond_the_queue_finds_room_on_the_connections);
	tcase_add_test(tc, cancelled_requests_are_not_answered);
	tcase_add_test(tc, long_statement_is_cancelled_on_the_server);
	tcase_add_test(tc, unclean_connection_is_not_lent_again);
	tcase_add_test(tc, sessions_have_their_timeouts);
	tcase_add_test(tc, connections_are_recycled_by_age);
	tcase_add_test(tc, idle_connection_is_checked_before_use);
	tcase_add_test(tc, check_that_is_not_answered_is_given_up);
	tcase_add_test(tc, outdated_connection_is_not_used_once_more);
	tcase_add_test(tc, health_returns_without_a_query);
	tcase_add_test(tc, killed_idle_backends_are_replaced);
	tcase_add_test(tc, reads_survive_a_killed_backend_and_writes_say_so);
	tcase_add_test(tc, read_is_asked_again_only_once);
#ifdef CW_FAULTS
	tcase_add_test(tc, connections_cut_at_any_moment_lose_no_answer);
#endif
	tcase_add_test(tc, lease_whose_backend_was_killed_can_be_released);
	tcase_add_test(tc, database_that_is_away_is_told_at_the_deadline);
	tcase_add_test(tc, settings_that_make_no_sense_are_refused);
	tcase_add_test(tc, times_that_make_no_sense_are_refused);
	tcase_add_test(tc, new_settings_hold_at_once);
	tcase_add_test(tc, pool_may_be_freed_inside_a_callback);
	tcase_add_test(tc, pool_may_be_freed_inside_a_refusal);
	tcase_add_test(tc, free_answers_what_waits_and_runs);
	tcase_add_test(tc, metrics_tell_of_the_pool);
	suite_add_tcase(suite, tc);
	/* a server of its own, whose parent is the test that ends and revives it */
	tcase_set_timeout(restart, 60);
	tcase_add_checked_fixture(restart, pg_up, pg_down);
	tcase_add_checked_fixture(restart, setup, teardown);
	tcase_add_test(restart, restarted_server_is_found_again);
	suite_add_tcase(suite, restart);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
