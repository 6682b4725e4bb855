#include "pg/conn.h"

#include <check.h>
#include <dlfcn.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/result.h"
#include "support/pgtest.h"
#include "support/slow.h"

static struct pgtest *pg;
static struct cw_loop *loop;
static struct cw_arena *arena;
static char journal[65536];          /* what the callbacks saw, in order */

static bool refuse_sync;

/* libpq's own, which it calls by its name: without memory there is no result for the answer to a sync. */
PGresult *PQmakeEmptyPGresult(PGconn *conn, ExecStatusType status)
{
	static __typeof__(PQmakeEmptyPGresult) *real;

	if (real == NULL) {
		void *found = dlsym(RTLD_NEXT, "PQmakeEmptyPGresult");

		memcpy(&real, &found, sizeof(real));
	}
	if (!refuse_sync || status != PGRES_PIPELINE_SYNC)
		return real(conn, status);
	refuse_sync = false;
	return NULL;
}

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
	loop = cw_loop_new();
	arena = cw_arena_new();
	journal[0] = '\0';
}

static void teardown(void)
{
	cw_arena_free(&arena);
	cw_loop_free(&loop);
}

static void note(const char *text)
{
	ck_assert_uint_lt(strlen(journal) + strlen(text) + 2, sizeof(journal));
	strcat(journal, text);
	strcat(journal, " ");
}

/* `arg` is the name under which the answer is noted. */
static void on_answer(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	char line[700];

	if (err != NULL)
		snprintf(line, sizeof(line), "%s!%s:%s", (const char *)arg, cw_code_name(err->code), err->sqlstate);
	else if (res != NULL && cw_result_columns(res) > 0 && cw_result_rows(res) > 0 && cw_result_type(res, 0) == 25)
		snprintf(line, sizeof(line), "%s=%s", (const char *)arg, cw_result_text(res, 0, 0, NULL));
	else if (res != NULL && cw_result_columns(res) > 0 && cw_result_rows(res) > 0)
		snprintf(line, sizeof(line), "%s=%lld", (const char *)arg, (long long)cw_result_i64(res, 0, 0));
	else
		snprintf(line, sizeof(line), "%s", (const char *)arg);
	note(line);
}

static void on_ready(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	struct cw_err *out = arg;

	ck_assert_ptr_nonnull(conn);
	if (err != NULL)
		*out = *err;
	note(err == NULL ? "ready" : "refused");
}

static void on_death(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	char line[64];

	(void)arg;
	ck_assert_int_eq(cw_conn_state(conn), CW_CONN_DEAD);
	snprintf(line, sizeof(line), "dead:%s", err->sqlstate);
	note(line);
}

/* Turns the loop until the journal holds the word, for 10 s at most. */
static void run_until(const char *word)
{
	struct cw_timer *alarm_timer;
	int64_t deadline = cw_clock_mono_us() + 10 * INT64_C(1000000) * slow_factor();

	alarm_timer = cw_timer_new(loop, (cw_loop_fn *)cw_loop_stop, loop);
	while (strstr(journal, word) == NULL && cw_clock_mono_us() < deadline) {
		cw_timer_set(alarm_timer, 50);
		cw_loop_run_once(loop);
	}
	cw_timer_free(&alarm_timer);
	ck_assert_msg(strstr(journal, word) != NULL, "waited for \"%s\", saw \"%s\"", word, journal);
}

static void expect(const char *words)
{
	ck_assert_str_eq(journal, words);
	journal[0] = '\0';
}

static struct cw_err refused;

static struct cw_conn *open_to(const char *conninfo)
{
	struct cw_conn *conn = cw_conn_new(loop, conninfo, 5000, on_ready, &refused);

	ck_assert_int_eq(cw_conn_state(conn), CW_CONN_CONNECTING);
	run_until("re");
	return conn;
}

static struct cw_conn *open_conn_ok(void)
{
	struct cw_conn *conn = open_to(pgtest_conninfo(pg));

	ck_assert_msg(cw_conn_state(conn) == CW_CONN_READY, "%s", refused.msg);
	cw_conn_on_death(conn, on_death, NULL);
	expect("ready ");
	return conn;
}

static void ask(struct cw_conn *conn, const char *name, const char *sql, const char *label)
{
	struct cw_stmt stmt = { name, sql };

	cw_conn_query(conn, &stmt, NULL, label != NULL ? on_answer : NULL, (void *)(uintptr_t)label);
}

static void sync_as(struct cw_conn *conn, const char *label)
{
	cw_conn_sync(conn, on_answer, (void *)(uintptr_t)label);
}

START_TEST(answers_come_in_order_after_the_call_returned)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "one", "SELECT 1", "a");
	ask(conn, "", "SELECT 2", "b");
	sync_as(conn, "s");
	ask(conn, "one", "SELECT 1", "c");
	sync_as(conn, "t");
	ck_assert_int_eq(cw_conn_in_flight(conn), 5);
	ck_assert(!cw_conn_is_clean(conn));
	expect("");
	run_until("t ");
	expect("a=1 b=2 s c=1 t ");
	ck_assert_int_eq(cw_conn_in_flight(conn), 0);
	ck_assert(cw_conn_is_clean(conn));
	cw_conn_free(&conn);
	ck_assert_ptr_null(conn);
	expect("");
}
END_TEST

START_TEST(error_aborts_up_to_the_sync_only)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "t", "CREATE TABLE aborts (x int PRIMARY KEY)", "create");
	sync_as(conn, "s0");
	ask(conn, "i", "INSERT INTO aborts VALUES (1)", "first");
	ask(conn, "bad", "SELECT nonsense", "bad");
	ask(conn, "i2", "INSERT INTO aborts VALUES (2)", "second");
	sync_as(conn, "s1");
	ask(conn, "n", "SELECT count(*) FROM aborts", "count");
	ask(conn, "i2", "INSERT INTO aborts VALUES (2)", "third");
	sync_as(conn, "s2");
	ask(conn, "bad", "SELECT nonsense", "bad");
	ask(conn, "n", "SELECT count(*) FROM aborts", "count");
	sync_as(conn, "s3");
	run_until("s3 ");
	expect("create s0 first bad!database:42703 second!cancelled: s1 count=0 third s2 bad!database:42703 "
	       "count!cancelled: s3 ");
	/* prepared meanwhile, in spite of all */
	ask(conn, "n", "SELECT count(*) FROM aborts", "count");
	ask(conn, "i2", "INSERT INTO aborts VALUES (2)", "dup");
	sync_as(conn, "s4");
	run_until("s4 ");
	expect("count=1 dup!conflict:23505 s4 ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(codes_follow_from_the_sqlstate)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "", "CREATE TABLE codes (x int CHECK (x > 0))", NULL);
	sync_as(conn, "s0");
	ask(conn, "", "INSERT INTO codes VALUES (0)", "check");
	sync_as(conn, "s1");
	ask(conn, "", "SELECT 1/0", "zero");
	sync_as(conn, "s2");
	ask(conn, "", "SET LOCAL statement_timeout = 20", NULL);
	ask(conn, "", "SELECT pg_sleep(5)", "slow");
	sync_as(conn, "s3");
	ask(conn, "", "SELECT FROM", "syntax");
	sync_as(conn, "s4");
	run_until("s4 ");
	expect("s0 check!invalid:23514 s1 zero!invalid:22012 s2 slow!timeout:57014 s3 syntax!database:42601 s4 ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(each_class_of_errors_has_its_code)
{
	static const struct { const char *state, *message, *code; } cases[] = {
		{ "42501", "m", "denied" }, { "40001", "m", "busy" }, { "40P01", "m", "busy" }, { "55P03", "m", "busy" }, { "53100", "m", "storage_full" },
		{ "57014", "canceling statement due to statement timeout", "timeout" }, { "57014", "by a user", "cancelled" },
		{ "23503", "m", "conflict" }, { "23505", "m", "conflict" }, { "23502", "m", "invalid" }, { "22P02", "m", "invalid" },
		{ "P0001", "m", "database" }, { "XX000", "m", "database" },
	};
	struct cw_conn *conn = open_conn_ok();
	char sql[256], want[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(sql, sizeof(sql), "DO $$ BEGIN RAISE EXCEPTION '%s' USING ERRCODE = '%s', DETAIL = 'a secret'; END $$",
		         cases[i].message, cases[i].state);
		ask(conn, "", sql, "q");
		sync_as(conn, "end");
		run_until("end ");
		snprintf(want, sizeof(want), "q!%s:%s end ", cases[i].code, cases[i].state);
		expect(want);
	}
	cw_conn_free(&conn);
}
END_TEST

START_TEST(notifications_are_taken_off)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "", "LISTEN news", "listen");
	sync_as(conn, "s1");
	run_until("s1 ");
	for (int i = 0; i < 3; i++)
		pgtest_exec(pg, "NOTIFY news, 'x'");
	ask(conn, "", "SELECT 1", "a");
	sync_as(conn, "s2");
	run_until("s2 ");
	expect("listen s1 a=1 s2 ");
	ck_assert(cw_conn_is_clean(conn));
	ck_assert_int_gt(cw_conn_created_us(conn), 0);
	ck_assert_int_le(cw_conn_created_us(conn), cw_clock_mono_us());
	cw_conn_free(&conn);
	cw_conn_free(&conn);
}
END_TEST

/* The same name, asked with other types in turn: each list of types has a statement of its own. */
START_TEST(one_statement_for_each_list_of_types)
{
	struct cw_stmt stmt = { "poly", "SELECT pg_typeof($1)::text" };
	struct cw_conn *conn = open_conn_ok();
	struct cw_params number, word, none, two;

	cw_params_init(&number, arena);
	cw_params_i64(&number, 7);
	cw_params_init(&word, arena);
	cw_params_cstring(&word, "x");
	cw_params_init(&none, arena);
	cw_params_null(&none);
	cw_params_init(&two, arena);
	cw_params_i64(&two, 7);
	cw_params_i64(&two, 7);
	const struct cw_params *const turns[] = { &number, &word, &none, &number, &word, &two, &number };

	for (size_t i = 0; i < sizeof(turns) / sizeof(*turns); i++) {
		cw_conn_query(conn, &stmt, turns[i], on_answer, (void *)(uintptr_t)"t");
		sync_as(conn, "s");
	}
	sync_as(conn, "end");
	run_until("end ");
	/* A null of no type has the one that this parameter had before; what is not used may be there. */
	expect("t=bigint s t=text s t=text s t=bigint s t=text s t=bigint s t=bigint s end ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(a_dead_connection_takes_everything_and_does_nothing)
{
	struct cw_conn *conn = open_to("host=/nonexistent user=x");

	expect("refused ");
	cw_conn_flush(conn);
	cw_conn_cancel(conn);
	ask(conn, "", "SELECT 1", "a");
	sync_as(conn, "s");
	cw_conn_flush(conn);
	ck_assert(!cw_conn_is_clean(conn));
	cw_conn_close(conn);
	run_until("s!");
	expect("a!cancelled: s!cancelled: ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(exec_answers_when_committed)
{
	struct cw_conn *conn = open_conn_ok();
	struct cw_stmt insert = { "insert", "INSERT INTO later VALUES (7) RETURNING x" };
	struct cw_stmt again = { "again", "INSERT INTO later VALUES (8) RETURNING x" };

	pgtest_exec(pg, "CREATE TABLE later (x int PRIMARY KEY, y int REFERENCES later DEFERRABLE INITIALLY DEFERRED "
	                "DEFAULT 7)");
	cw_conn_exec(conn, &again, NULL, on_answer, (void *)(uintptr_t)"fails");    /* only the commit finds out */
	cw_conn_exec(conn, &insert, NULL, on_answer, (void *)(uintptr_t)"works");
	ask(conn, "", "SELECT count(*) FROM later", "count");
	sync_as(conn, "s");
	run_until("s ");
	run_until(" s ");
	expect("fails!conflict:23503 works=7 count=1 s ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(flush_brings_answers_without_ending_the_transaction)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "b", "BEGIN", "begin");
	ask(conn, "x", "SELECT 5", "x");
	cw_conn_flush(conn);
	run_until("x=5 ");
	expect("begin x=5 ");
	ck_assert(!cw_conn_is_clean(conn));
	sync_as(conn, "s");
	run_until("s ");
	ck_assert_int_eq(cw_conn_in_flight(conn), 0);
	ck_assert(!cw_conn_is_clean(conn));      /* BEGIN without COMMIT */
	ask(conn, "c", "COMMIT", "commit");
	sync_as(conn, "t");
	run_until("t ");
	run_until("commit t ");
	ck_assert(cw_conn_is_clean(conn));
	cw_conn_free(&conn);
}
END_TEST

START_TEST(parameter_types_may_change_from_call_to_call)
{
	struct cw_conn *conn = open_conn_ok();
	struct cw_stmt stmt = { "typed", "SELECT coalesce($1::text, 'none') || ':' || $2::text" };
	struct cw_params p;

	for (int i = 0; i < 4; i++) {
		cw_params_init(&p, arena);
		if (i % 2 == 0)
			cw_params_null(&p);
		else
			cw_params_i64(&p, i);
		if (i < 2)
			cw_params_cstring(&p, "text");
		else
			cw_params_f64(&p, 0.5);
		cw_conn_query(conn, &stmt, &p, on_answer, (void *)(uintptr_t)"r");
		cw_conn_sync(conn, NULL, NULL);
	}
	sync_as(conn, "s");
	run_until("s ");
	expect("r=none:text r=1:text r=none:0.5 r=3:0.5 s ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(statement_outdated_by_a_migration_is_prepared_anew)
{
	struct cw_conn *conn = open_conn_ok();

	pgtest_exec(pg, "CREATE TABLE changing AS SELECT 1 AS x");
	ask(conn, "all", "SELECT * FROM changing", "a");
	sync_as(conn, "s");
	run_until("s ");
	pgtest_exec(pg, "ALTER TABLE changing ALTER x TYPE bigint");
	ask(conn, "all", "SELECT * FROM changing", "b");
	sync_as(conn, "t");
	ask(conn, "", "DEALLOCATE ALL", NULL);
	sync_as(conn, "u");
	run_until("u ");
	ask(conn, "all", "SELECT * FROM changing", "c");
	sync_as(conn, "v");
	run_until("v ");
	ask(conn, "all", "SELECT * FROM changing", "d");
	sync_as(conn, "w");
	run_until("w ");
	ck_assert_msg(strstr(journal, "a=1 s b!database:0A000 t u ") == journal, "%s", journal);
	ck_assert_ptr_nonnull(strstr(journal, "d=1 w "));
	cw_conn_free(&conn);
}
END_TEST

START_TEST(many_large_queries_in_both_directions)
{
	struct cw_conn *conn = open_conn_ok();
	struct cw_stmt stmt = { "echo", "SELECT $1::text || '' WHERE length($1::text) > 0" };
	struct cw_stmt count = { "big", "SELECT length($1)" };
	char *big = malloc(1 << 20);
	struct cw_params p;
	static int seen;

	memset(big, 'x', 1 << 20);
	seen = 0;
	(void)stmt;
	/* 64 MiB out and 20 MiB in, far beyond any socket buffer */
	for (int i = 0; i < 64; i++) {
		cw_params_init(&p, arena);
		cw_params_text(&p, big, 1 << 20);
		cw_conn_query(conn, &count, &p, on_answer, (void *)(uintptr_t)"n");
		if (i % 3 == 0)
			ask(conn, "rows", "SELECT repeat('y', 1000) FROM generate_series(1, 1000)", NULL);
		cw_conn_sync(conn, NULL, NULL);
		cw_arena_clear(arena);
	}
	free(big);
	sync_as(conn, "s");
	run_until("s ");
	for (const char *at = journal; (at = strstr(at, "n=1048576 ")) != NULL; at += 10)
		seen++;
	ck_assert_int_eq(seen, 64);
	cw_conn_free(&conn);
}
END_TEST

START_TEST(lost_connection_answers_everything_in_order)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "", "SELECT 1", "a");
	sync_as(conn, "s");
	ask(conn, "", "SELECT pg_terminate_backend(pg_backend_pid())", "kill");
	sync_as(conn, "t");
	ask(conn, "", "SELECT 2", "b");
	sync_as(conn, "u");
	run_until("dead");
	expect("a=1 s kill!database:57P01 t!database:57P01 b!database:57P01 u!database:57P01 dead:57P01 ");
	/* and after that, also without a callback from inside the call */
	ask(conn, "x", "SELECT 3", "c");
	cw_conn_exec(conn, &(struct cw_stmt){ "y", "SELECT 4" }, NULL, on_answer, (void *)(uintptr_t)"d");
	sync_as(conn, "v");
	expect("");
	run_until("v!");
	expect("c!database:57P01 d!database:57P01 v!database:57P01 ");
	ck_assert_int_eq(cw_conn_in_flight(conn), 0);
	cw_conn_free(&conn);
}
END_TEST

START_TEST(death_while_idle_is_noticed)
{
	struct cw_conn *conn = open_conn_ok();

	pgtest_exec(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
	                "application_name = 'chainwatch'");
	run_until("dead");
	expect("dead:57P01 ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(what_was_not_committed_is_not_acknowledged)
{
	struct cw_conn *conn = open_conn_ok();
	struct cw_stmt insert = { "i", "INSERT INTO acked SELECT g FROM generate_series(1, 3000) g RETURNING repeat('x', 100)" };

	/* The rows of RETURNING come long before the commit, which a deferred trigger ends. */
	pgtest_exec(pg, "CREATE TABLE acked (x int); CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
	                "$$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$; CREATE CONSTRAINT TRIGGER "
	                "die AFTER INSERT ON acked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()");
	cw_conn_exec(conn, &insert, NULL, on_answer, (void *)(uintptr_t)"insert");
	run_until("dead");
	expect("insert!database:57P01 dead:57P01 ");
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(*) FROM acked"), "0");
	cw_conn_free(&conn);
}
END_TEST

static struct cw_conn *victim;

static void free_it(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)res;
	(void)err;
	note(arg);
	cw_conn_free(&victim);
}

START_TEST(may_be_freed_inside_its_own_callback)
{
	victim = open_conn_ok();
	ask(victim, "", "SELECT 1", "a");
	cw_conn_query(victim, &(struct cw_stmt){ "", "SELECT 2" }, NULL, free_it, (void *)(uintptr_t)"free");
	ask(victim, "", "SELECT 3", "b");
	sync_as(victim, "s");
	run_until("free");
	expect("a=1 free b!cancelled: s!cancelled: ");
	ck_assert_ptr_null(victim);
	cw_loop_poll(loop);
	expect("");
}
END_TEST

static void free_on_death(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	(void)arg;
	(void)err;
	ck_assert_ptr_eq(conn, victim);
	cw_conn_free(&victim);
	note("freed");
}

static void free_on_ready(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	(void)arg;
	(void)err;
	victim = conn;
	cw_conn_free(&victim);
	note("freed");
}

START_TEST(may_be_freed_at_its_death_and_birth)
{
	struct cw_conn *conn;

	victim = open_conn_ok();
	cw_conn_on_death(victim, free_on_death, NULL);
	ask(victim, "", "SELECT pg_terminate_backend(pg_backend_pid())", NULL);
	sync_as(victim, "s");
	run_until("freed");
	expect("s!database:57P01 freed ");
	cw_conn_new(loop, pgtest_conninfo(pg), 5000, free_on_ready, NULL);
	run_until("freed");
	expect("freed ");
	cw_conn_new(loop, "host=/nonexistent", 5000, free_on_ready, NULL);
	run_until("freed");
	expect("freed ");
	/* while it connects */
	conn = cw_conn_new(loop, pgtest_conninfo(pg), 5000, on_ready, NULL);
	cw_conn_free(&conn);
	conn = cw_conn_new(loop, pgtest_conninfo(pg), 5000, on_ready, NULL);
	cw_loop_poll(loop);
	cw_conn_free(&conn);
	cw_loop_poll(loop);
	expect("");
}
END_TEST

static void ask_more(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)res;
	note(err == NULL ? "ok" : "lost");
	if (strlen(journal) < 60)
		cw_conn_query(arg, &(struct cw_stmt){ "", "SELECT 1" }, NULL, ask_more, arg);
	else
		note("end");
}

START_TEST(callbacks_that_ask_again_of_a_dead_connection_end)
{
	struct cw_conn *conn = open_conn_ok();

	ask(conn, "", "SELECT pg_terminate_backend(pg_backend_pid())", NULL);
	cw_conn_sync(conn, NULL, NULL);
	cw_conn_query(conn, &(struct cw_stmt){ "", "SELECT 1" }, NULL, ask_more, conn);
	sync_as(conn, "s");
	run_until("end");
	ck_assert_msg(strstr(journal, "lost s!database:57P01 dead:57P01 lost") != NULL, "%s", journal);
	cw_conn_free(&conn);
}
END_TEST

START_TEST(forgotten_answers_are_dropped)
{
	struct cw_conn *conn = open_conn_ok();
	static char a[] = "a", b[] = "b";

	ask(conn, "", "SELECT 1", a);
	ask(conn, "", "SELECT 2", b);
	cw_conn_exec(conn, &(struct cw_stmt){ "", "SELECT 3" }, NULL, on_answer, a);
	sync_as(conn, "s");
	cw_conn_forget(conn, a);
	run_until("s ");
	expect("b=2 s ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(cancel_ends_what_runs)
{
	struct cw_conn *conn = open_conn_ok();
	int64_t from = cw_clock_mono_us();

	ask(conn, "", "SELECT pg_sleep(30)", "sleep");
	sync_as(conn, "s");
	while (strcmp(pgtest_value(pg, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND "
	                               "wait_event = 'PgSleep'"), "1") != 0 &&
	       cw_clock_mono_us() - from < 5000000)
		cw_loop_poll(loop);
	cw_conn_cancel(conn);
	run_until("s ");
	expect("sleep!cancelled:57014 s ");
	ck_assert_int_lt(cw_clock_mono_us() - from, 9000000);
	cw_conn_free(&conn);
}
END_TEST

START_TEST(copy_is_refused)
{
	struct cw_conn *conn = open_conn_ok();

	pgtest_exec(pg, "CREATE TABLE copied (x int)");
	ask(conn, "", "COPY copied FROM STDIN", "copy");
	sync_as(conn, "s");
	run_until("dead");
	ck_assert_msg(strncmp(journal, "copy!", 5) == 0, "%s", journal);
	cw_conn_free(&conn);
}
END_TEST

/* ---- connecting ---- */

START_TEST(refusals_to_connect_say_why)
{
	struct { const char *conninfo, *message; } cases[] = {
		{ "host=/nonexistent port=5432 user=x",
		  "could not connect to the database: connection to server on socket \"/nonexistent/.s.PGSQL.5432\" failed: "
		  "No such file or directory" },
		{ "host=no-such-host.invalid user=x", "could not resolve the database host \"no-such-host.invalid\": " },
		{ "host=a hostt=b", "cannot read the connection string: invalid connection option" },
		{ "postgresql://u:secret@h:p%zz/d", "cannot read the connection string: invalid percent-encoded token" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_conn *conn = open_to(cases[i].conninfo);

		expect("refused ");
		ck_assert_msg(strncmp(refused.msg, cases[i].message, strlen(cases[i].message)) == 0, "%s", refused.msg);
		ck_assert_ptr_null(strstr(refused.msg, "secret"));
		ck_assert_int_eq(cw_conn_state(conn), CW_CONN_DEAD);
		cw_conn_free(&conn);
	}
}
END_TEST

/* A listener that never answers. */
static int silent_port(int *fd)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	*fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(*fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(*fd, 4), 0);
	ck_assert_int_eq(getsockname(*fd, (struct sockaddr *)&addr, &len), 0);
	return ntohs(addr.sin_port);
}

START_TEST(connection_strings_of_every_kind)
{
	static const struct { const char *conninfo, *message; } cases[] = {
		{ "host=a,b port=1,2,3 user=x", "could not connect to the database: could not match 3 port numbers to 2 hosts" },
		{ "host=a,b hostaddr=127.0.0.1 user=x",
		  "could not connect to the database: could not match 2 host names to 1 hostaddr values" },
		{ "service=no_such_service_at_all", "could not connect to the database: definition of service" },
		{ "host=@no.such.abstract.socket user=x", "could not connect to the database: connection to server on socket" },
		{ "hostaddr=127.0.0.1 port=1 user=x", "could not connect to the database: connection to server at \"127.0.0.1\", port 1" },
		{ "host=localhost port=1 user=x", "could not connect to the database: connection to server at \"" },
		{ "host=::1 port=1 user=x", "could not connect to the database: connection to server at \"::1\", port 1" },
		{ "host=named hostaddr=127.0.0.1 port=1 user=x", "could not connect to the database: connection to server at \"" },
		{ "host=/nonexistent target_session_attrs=prefer-standby user=x",
		  "could not connect to the database: connection to server on socket \"/nonexistent" },
		{ "host=/nonexistent,/nowhere port=5432,5433 target_session_attrs=prefer-standby user=x",
		  "could not connect to the database: connection to server on socket \"/nowhere/.s.PGSQL.5433\"" },
	};

	setenv("PGSYSCONFDIR", "/nonexistent", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_conn *conn = open_to(cases[i].conninfo);

		expect("refused ");
		ck_assert_msg(strncmp(refused.msg, cases[i].message, strlen(cases[i].message)) == 0, "%s: %s", cases[i].conninfo,
		              refused.msg);
		ck_assert_str_eq(refused.sqlstate, "08001");
		cw_conn_free(&conn);
	}
}
END_TEST

/* While a name is looked up, while a host does not answer, and before anything was done. */
START_TEST(an_attempt_may_be_given_up_at_any_time)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "/nonexistent" };
	struct cw_conn *conn;
	char conninfo[128];
	int fd, port = silent_port(&fd);

	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
		for (int turns = 0; turns < 3; turns++) {
			snprintf(conninfo, sizeof(conninfo), "host=%s port=%d user=x", hosts[i], port);
			conn = cw_conn_new(loop, conninfo, 5000, on_ready, &refused);
			for (int t = 0; t < turns && cw_conn_state(conn) == CW_CONN_CONNECTING; t++)
				cw_loop_poll(loop);
			journal[0] = '\0';
			cw_conn_free(&conn);
			for (int t = 0; t < 5; t++)
				cw_loop_poll(loop);
			expect("");
		}
	close(fd);
}
END_TEST

START_TEST(silent_host_does_not_hide_the_next_one)
{
	char conninfo[512];
	int fd, port = silent_port(&fd);
	struct cw_conn *conn;
	int64_t from = cw_clock_mono_us();

	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=x", port);
	conn = cw_conn_new(loop, conninfo, 100, on_ready, &refused);
	run_until("re");
	expect("refused ");
	ck_assert_str_eq(refused.msg, "could not connect to the database at \"127.0.0.1\": no answer within 100 ms");
	ck_assert_int_eq(refused.code, CW_ERR_TIMEOUT);
	cw_conn_free(&conn);
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1,localhost,%s port=%d,%d,5432 user=chainwatch dbname=chainwatch "
	         "target_session_attrs=read-write", cw_cluster_socket_dir(pgtest_cluster(pg)), port, port);
	conn = cw_conn_new(loop, conninfo, 100 * slow_factor(), on_ready, &refused);
	run_until("re");
	ck_assert_msg(cw_conn_state(conn) == CW_CONN_READY, "%s", refused.msg);
	ck_assert_int_ge(cw_clock_mono_us() - from, 290000);
	cw_conn_free(&conn);
	close(fd);
}
END_TEST

START_TEST(session_attributes_choose_the_host)
{
	char conninfo[512];
	const char *dir = cw_cluster_socket_dir(pgtest_cluster(pg));
	struct cw_conn *conn;

	snprintf(conninfo, sizeof(conninfo), "host=%s,%s port=5432 user=chainwatch dbname=chainwatch "
	         "target_session_attrs=standby", dir, dir);
	conn = open_to(conninfo);
	expect("refused ");
	ck_assert_ptr_nonnull(strstr(refused.msg, "not in hot standby mode"));
	cw_conn_free(&conn);
	snprintf(conninfo, sizeof(conninfo), "host=%s,%s port=5432 user=chainwatch dbname=chainwatch "
	         "target_session_attrs=prefer-standby", dir, dir);
	conn = open_to(conninfo);
	expect("ready ");
	cw_conn_free(&conn);
	snprintf(conninfo, sizeof(conninfo), "postgresql://chainwatch@/chainwatch?host=%s&application_name=named", dir);
	conn = open_to(conninfo);
	expect("ready ");
	ask(conn, "", "SELECT current_setting('application_name') || current_setting('client_encoding')", "r");
	sync_as(conn, "s");
	run_until("s ");
	expect("r=namedUTF8 s ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(query_before_it_is_ready_is_refused_and_harms_nothing)
{
	struct cw_conn *conn = cw_conn_new(loop, pgtest_conninfo(pg), 5000, on_ready, &refused);

	ask(conn, "", "SELECT 1", "early");
	run_until("ready");
	expect("early!database:08003 ready ");
	ask(conn, "", "SELECT 1", "a");
	sync_as(conn, "s");
	run_until("s ");
	expect("a=1 s ");
	cw_conn_free(&conn);
}
END_TEST

START_TEST(an_answer_that_libpq_had_no_memory_for_is_not_waited_for)
{
	struct cw_conn *conn = open_conn_ok();

	refuse_sync = true;
	ask(conn, "one", "SELECT 1", "a");
	sync_as(conn, "s");
	ask(conn, "one", "SELECT 1", "b");
	sync_as(conn, "t");
	run_until("dead");
	ck_assert(!refuse_sync);
	expect("a=1 s!database:08006 b!database:08006 t!database:08006 dead:08006 ");
	cw_conn_free(&conn);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pg_conn");
	TCase *tc = tcase_create("conn");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, pg_up, pg_down);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, answers_come_in_order_after_the_call_returned);
	tcase_add_test(tc, error_aborts_up_to_the_sync_only);
	tcase_add_test(tc, codes_follow_from_the_sqlstate);
	tcase_add_test(tc, each_class_of_errors_has_its_code);
	tcase_add_test(tc, notifications_are_taken_off);
	tcase_add_test(tc, one_statement_for_each_list_of_types);
	tcase_add_test(tc, a_dead_connection_takes_everything_and_does_nothing);
	tcase_add_test(tc, connection_strings_of_every_kind);
	tcase_add_test(tc, an_attempt_may_be_given_up_at_any_time);
	tcase_add_test(tc, exec_answers_when_committed);
	tcase_add_test(tc, flush_brings_answers_without_ending_the_transaction);
	tcase_add_test(tc, parameter_types_may_change_from_call_to_call);
	tcase_add_test(tc, statement_outdated_by_a_migration_is_prepared_anew);
	tcase_add_test(tc, many_large_queries_in_both_directions);
	tcase_add_test(tc, lost_connection_answers_everything_in_order);
	tcase_add_test(tc, death_while_idle_is_noticed);
	tcase_add_test(tc, what_was_not_committed_is_not_acknowledged);
	tcase_add_test(tc, may_be_freed_inside_its_own_callback);
	tcase_add_test(tc, may_be_freed_at_its_death_and_birth);
	tcase_add_test(tc, callbacks_that_ask_again_of_a_dead_connection_end);
	tcase_add_test(tc, forgotten_answers_are_dropped);
	tcase_add_test(tc, cancel_ends_what_runs);
	tcase_add_test(tc, copy_is_refused);
	tcase_add_test(tc, refusals_to_connect_say_why);
	tcase_add_test(tc, silent_host_does_not_hide_the_next_one);
	tcase_add_test(tc, session_attributes_choose_the_host);
	tcase_add_test(tc, query_before_it_is_ready_is_refused_and_harms_nothing);
	tcase_add_test(tc, an_answer_that_libpq_had_no_memory_for_is_not_waited_for);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
