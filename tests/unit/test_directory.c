/* Who may enter, read from a real database: keys, users, sessions; what holds while the database does not answer. */
#include "auth/directory.h"

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/audit.h"
#include "auth/keys.h"
#include "auth/role.h"
#include "auth/token.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/request.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "support/pgtest.h"

static struct pgtest *pg;
static struct cw_loop *loop;
static struct cw_pool *pool;
static struct cw_directory *directory;
static struct cw_identity who;

/* --- a clock that can be moved --- */

static int64_t wall_ahead_us, mono_ahead_us;

static int64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000 + wall_ahead_us;
}

static int64_t mono_us(void)
{
	return cw_clock_mono_ns() / 1000 + mono_ahead_us;
}

static const struct cw_clock movable = { wall_us, mono_us };

/* --- the fixture --- */

static void pg_up(void)
{
	pg = pgtest_start_migrated();
}

static void pg_down(void)
{
	pgtest_stop(&pg);
}

static void setup(void)
{
	struct cw_pool_conf conf = cw_pool_conf_default;
	struct cw_err err;

	cw_log_set_level(NULL, CW_LOG_OFF);
	wall_ahead_us = mono_ahead_us = 0;
	cw_clock_set(&movable);
	loop = cw_loop_new();
	conf.conninfo = pgtest_conninfo(pg);
	conf.size = 2;
	pool = cw_pool_new(loop, &conf, &err);
	ck_assert_msg(pool != NULL, "%s", err.msg);
	pgtest_exec(pg, "DELETE FROM users");
	directory = cw_directory_new(loop, pool);
}

static void teardown(void)
{
	cw_directory_free(&directory);
	cw_pool_free(&pool);
	cw_loop_free(&loop);
	cw_metrics_free();
	cw_clock_set(NULL);
}

static void turn_until(const int *told, int n)
{
	int64_t until = cw_clock_mono_ns() + INT64_C(10000000000);

	while (*told < n && cw_clock_mono_ns() < until) {
		cw_loop_poll(loop);
		usleep(200);
	}
	ck_assert_int_eq(*told, n);
}

struct waited { int told; enum cw_code code; };

static void note(void *arg, const struct cw_err *err)
{
	struct waited *w = arg;

	w->told++;
	w->code = err != NULL ? err->code : CW_OK;
}

static enum cw_code refresh(void)
{
	struct waited w = { 0 };

	cw_directory_refresh(directory, note, &w);
	ck_assert_int_eq(w.told, 0);
	turn_until(&w.told, 1);
	return w.code;
}

static void start(void)
{
	struct waited w = { 0 };

	cw_directory_start(directory, note, &w);
	turn_until(&w.told, 1);
	ck_assert_int_eq(w.code, CW_OK);
}

/* A key of a user with these roles and scopes. */
static void add_key(char key[CW_KEY_TEXT], const char *email, const char *roles, const char *scopes, const char *expires)
{
	unsigned char hash[32];
	char hex[65], sql[1024];

	cw_key_make(key);
	cw_key_digest(key, hash);
	sodium_bin2hex(hex, sizeof(hex), hash, 32);
	snprintf(sql, sizeof(sql),
	         "WITH u AS (INSERT INTO users (email, roles) VALUES ('%s', '{%s}') RETURNING id)"
	         " INSERT INTO api_keys (user_id, name, hashed_key, prefix, scopes, expires_at)"
	         " SELECT id, 'k', decode('%s', 'hex'), 'p', '{%s}', %s FROM u",
	         email, roles, hex, scopes, expires);
	pgtest_exec(pg, sql);
}

static bool enters(const char *key)
{
	return cw_directory_key(directory, key, strlen(key), &who);
}

/* --- keys --- */

START_TEST(a_key_has_what_its_user_and_scopes_have_in_common)
{
	static const struct { const char *roles, *scopes; uint32_t has; } cases[] = {
		{ "viewer", "", CW_ROLE_VIEWER },
		{ "analyst", "", CW_ROLE_ANALYST | CW_ROLE_VIEWER },
		{ "analyst", "viewer", CW_ROLE_VIEWER },
		{ "viewer", "admin", CW_ROLE_VIEWER },
		{ "admin", "service", CW_ROLE_SERVICE },
		{ "viewer,service", "analyst", CW_ROLE_VIEWER },
		{ "emperor", "", 0 },             /* what is unknown gives nothing */
		{ "viewer,emperor", "", 0 },
		{ "viewer", "emperor", 0 },
		{ "", "", 0 },
	};
	char keys[sizeof(cases) / sizeof(*cases)][CW_KEY_TEXT], email[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(email, sizeof(email), "u%zu@example.org", i);
		add_key(keys[i], email, cases[i].roles, cases[i].scopes, "NULL");
	}
	start();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_msg(enters(keys[i]), "%zu", i);
		ck_assert_msg(who.roles == cases[i].has, "%s / %s: %x", cases[i].roles, cases[i].scopes, who.roles);
		ck_assert_int_gt(who.key_id, 0);
		ck_assert_int_eq(who.session_id, 0);
	}
}
END_TEST

START_TEST(a_key_ends_when_it_should)
{
	char good[CW_KEY_TEXT], late[CW_KEY_TEXT], soon[CW_KEY_TEXT], unknown[CW_KEY_TEXT];

	add_key(good, "a@example.org", "viewer", "", "now() + interval '1 day'");
	add_key(soon, "b@example.org", "viewer", "", "now() + interval '1 hour'");
	add_key(late, "c@example.org", "viewer", "", "now() - interval '1 second'");
	cw_key_make(unknown);
	ck_assert(!enters(good));                    /* nothing is known yet */
	start();
	ck_assert(enters(good));
	ck_assert(enters(soon));
	ck_assert(!enters(late));
	ck_assert(!enters(unknown));
	ck_assert(!enters("nonsense"));
	ck_assert(!enters(""));
	wall_ahead_us = INT64_C(3601000000);         /* without another look at the database */
	ck_assert(!enters(soon));
	ck_assert(enters(good));
	pgtest_exec(pg, "UPDATE api_keys SET is_active = false");
	ck_assert(enters(good));
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!enters(good));
	pgtest_exec(pg, "UPDATE api_keys SET is_active = true");
	pgtest_exec(pg, "UPDATE users SET is_active = false");
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!enters(good));
}
END_TEST

/* The bearer of a token of this epoch. */
static bool token_enters(int64_t user, int64_t session, int64_t epoch, const char *id)
{
	struct cw_claims claims = { .user_id = user, .session_id = session, .epoch = epoch };

	snprintf(claims.id, sizeof(claims.id), "%s", id);
	return cw_directory_session(directory, &claims, &who);
}

START_TEST(a_token_ends_with_itself_its_session_and_its_user)
{
	int64_t user, session, epoch;
	char key[CW_KEY_TEXT];

	add_key(key, "a@example.org", "operator", "", "NULL");
	user = atoll(pgtest_value(pg, "SELECT id FROM users"));
	session = atoll(pgtest_value(pg, "INSERT INTO auth_sessions (user_id, expires_at) SELECT id, now() + interval '1 day'"
	                             " FROM users RETURNING id"));
	start();
	ck_assert(token_enters(user, session, 0, "a"));
	ck_assert_int_eq(who.user_id, user);
	ck_assert_int_eq(who.session_id, session);
	ck_assert_uint_eq(who.roles & CW_ROLE_OPERATOR, CW_ROLE_OPERATOR);
	ck_assert(!token_enters(user + 1, session, 0, "a"));
	ck_assert(!token_enters(user, session, 1, "a"));           /* newer than what has been read */
	pgtest_exec(pg, "INSERT INTO revoked_tokens (jti, user_id, expires_at) SELECT 'a', id, now() + interval '1 hour' FROM users");
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!token_enters(user, session, 0, "a"));
	ck_assert(token_enters(user, session, 0, "b"));
	pgtest_exec(pg, "UPDATE users SET roles = '{viewer}'");    /* other roles: other tokens */
	epoch = atoll(pgtest_value(pg, "SELECT token_epoch FROM users"));
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!token_enters(user, session, 0, "b"));
	ck_assert(token_enters(user, session, epoch, "b"));
	ck_assert_uint_eq(who.roles, CW_ROLE_VIEWER);
	pgtest_exec(pg, "UPDATE users SET roles = '{viewer,emperor}'");
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(token_enters(user, session, epoch + 1, "b"));
	ck_assert_uint_eq(who.roles, 0);
	pgtest_exec(pg, "UPDATE auth_sessions SET revoked_at = now()");
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!token_enters(user, session, epoch + 1, "b"));
	pgtest_exec(pg, "UPDATE auth_sessions SET revoked_at = NULL");
	pgtest_exec(pg, "UPDATE users SET is_active = false");
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!token_enters(user, session, epoch + 1, "b"));
	ck_assert(!token_enters(user, session, epoch + 2, "b"));
}
END_TEST

/* --- when the database does not answer --- */

START_TEST(the_known_ones_stay_good_while_reading_fails)
{
	static const char *const tables[] = { "auth_version", "api_keys", "auth_sessions", "revoked_tokens" };
	char key[CW_KEY_TEXT], new[CW_KEY_TEXT], sql[128];

	add_key(key, "a@example.org", "viewer", "", "NULL");
	start();
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		snprintf(sql, sizeof(sql), "n%zu@example.org", i);
		add_key(new, sql, "viewer", "", "NULL");
		snprintf(sql, sizeof(sql), "ALTER TABLE %s RENAME TO away", tables[i]);
		pgtest_exec(pg, sql);
		ck_assert_int_ne(refresh(), CW_OK);
		ck_assert_int_ne(refresh(), CW_OK);
		ck_assert(enters(key));
		ck_assert(!enters(new));
		snprintf(sql, sizeof(sql), "ALTER TABLE away RENAME TO %s", tables[i]);
		pgtest_exec(pg, sql);
		ck_assert_int_eq(refresh(), CW_OK);
		ck_assert(enters(key));
		ck_assert(enters(new));
	}
}
END_TEST

START_TEST(a_first_reading_that_fails_is_told)
{
	struct waited w = { 0 };

	pgtest_exec(pg, "ALTER TABLE auth_version RENAME TO away");
	cw_directory_start(directory, note, &w);
	turn_until(&w.told, 1);
	ck_assert_int_ne(w.code, CW_OK);
	pgtest_exec(pg, "ALTER TABLE away RENAME TO auth_version");
	ck_assert_int_eq(refresh(), CW_OK);
}
END_TEST

/* --- strangers, and who waits --- */

START_TEST(strangers_wait_for_the_next_reading)
{
	enum { MOST = 256 };
	struct waited w[MOST + 1] = { { 0 } }, other = { 0 };
	char key[CW_KEY_TEXT];

	start();
	add_key(key, "a@example.org", "viewer", "", "NULL");
	for (int i = 0; i < MOST; i++)
		ck_assert_msg(cw_directory_look_again(directory, note, &w[i]), "%d", i);
	ck_assert(!cw_directory_look_again(directory, note, &w[MOST]));
	cw_directory_forget(directory, &w[7]);
	turn_until(&w[0].told, 1);
	ck_assert(enters(key));
	for (int i = 0; i < MOST; i++)
		ck_assert_int_eq(w[i].told, i != 7);
	ck_assert_int_eq(w[MOST].told, 0);
	/* Who comes while it is read waits for another reading. */
	cw_directory_refresh(directory, note, &w[0]);
	cw_loop_poll(loop);
	ck_assert(cw_directory_look_again(directory, note, &other));
	cw_directory_forget(directory, &w[0]);
	turn_until(&other.told, 1);
	ck_assert_int_eq(w[0].told, 1);
}
END_TEST

START_TEST(places_of_the_forgotten_are_free)
{
	enum { MOST = 256 };
	struct waited w[MOST] = { { 0 } }, last = { 0 };
	int64_t begun;

	start();
	for (int i = 0; i < MOST; i++)
		ck_assert(cw_directory_look_again(directory, note, &w[i]));
	for (int i = 0; i < MOST; i++)
		cw_directory_forget(directory, &w[i]);
	begun = cw_clock_mono_ns();
	ck_assert(cw_directory_look_again(directory, note, &last));
	turn_until(&last.told, 1);
	ck_assert_int_lt((cw_clock_mono_ns() - begun) / 1000000, 800);     /* 100 ms, not the usual second */
}
END_TEST

START_TEST(nobody_is_answered_after_the_end)
{
	struct waited w[3] = { { 0 } };

	cw_directory_start(directory, note, &w[0]);
	cw_directory_refresh(directory, note, &w[1]);
	if (_i == 1)
		turn_until(&w[0].told, 1);
	cw_directory_look_again(directory, note, &w[2]);
	cw_directory_free(&directory);
	for (int i = 0; i < 50; i++) {
		cw_loop_poll(loop);
		usleep(500);
	}
	ck_assert_int_eq(w[0].told, _i);
	ck_assert_int_eq(w[1].told, 0);
	ck_assert_int_eq(w[2].told, 0);
	cw_directory_free(&directory);
}
END_TEST

/* --- what is written back --- */

START_TEST(use_is_written_now_and_then_and_old_sessions_go)
{
	char used[CW_KEY_TEXT], unused[CW_KEY_TEXT];

	add_key(used, "a@example.org", "viewer", "", "NULL");
	add_key(unused, "b@example.org", "viewer", "", "NULL");
	pgtest_exec(pg, "INSERT INTO auth_sessions (user_id, expires_at) SELECT id, now() - interval '8 days' FROM users;"
	                "INSERT INTO auth_sessions (user_id, expires_at) SELECT id, now() FROM users");
	start();
	ck_assert(enters(used));
	wall_ahead_us = INT64_C(3601000000);
	ck_assert_int_eq(refresh(), CW_OK);
	for (int i = 0; i < 5000 && strcmp(pgtest_value(pg, "SELECT count(*) FROM auth_sessions"), "2") != 0; i++) {
		cw_loop_poll(loop);
		usleep(1000);
	}
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(*) FROM auth_sessions"), "2");
	for (int i = 0; i < 5000 && strcmp(pgtest_value(pg, "SELECT count(last_used) FROM api_keys"), "1") != 0; i++) {
		cw_loop_poll(loop);
		usleep(1000);
	}
	ck_assert_str_eq(pgtest_value(pg, "SELECT u.email FROM api_keys k JOIN users u ON u.id = k.user_id"
	                              " WHERE k.last_used IS NOT NULL"), "a@example.org");
	/* Nobody came since: nothing is written. */
	pgtest_exec(pg, "UPDATE api_keys SET last_used = NULL");
	wall_ahead_us += INT64_C(16000000);
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(last_used) FROM api_keys"), "0");
}
END_TEST

/* A change that does not move the version (made around the triggers) is seen after five minutes. */
START_TEST(everything_is_read_again_now_and_then)
{
	char key[CW_KEY_TEXT];

	add_key(key, "a@example.org", "viewer", "", "NULL");
	start();
	pgtest_exec(pg, "SET session_replication_role = replica; UPDATE api_keys SET is_active = false");
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(enters(key));
	mono_ahead_us = INT64_C(301000000);
	ck_assert_int_eq(refresh(), CW_OK);
	ck_assert(!enters(key));
}
END_TEST

/* --- the first admin --- */

static struct waited made;

static void on_admin(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	note(&made, err);
}

START_TEST(the_first_admin_gets_a_key_in_a_file)
{
	char dir[] = "/tmp/cw-keys-XXXXXX", path[64], key[128] = "", command[64];
	struct cw_err err;
	struct stat st;
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/admin.key", dir);
	for (int i = 1; i <= 2; i++) {                /* the second start finds both */
		ck_assert_uint_ne(cw_keys_admin_file(pool, dir, on_admin, NULL, &err), 0);
		turn_until(&made.told, i);
		ck_assert_int_eq(made.code, CW_OK);
	}
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(fgets(key, sizeof(key), f));
	fclose(f);
	key[strcspn(key, "\n")] = '\0';
	start();
	ck_assert(enters(key));
	ck_assert_uint_eq(who.roles & CW_ROLE_ADMIN, CW_ROLE_ADMIN);
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(*) FROM api_keys"), "1");
	static const char *const bad[] = { "", "nonsense\n", "cw_live_0000000000000000000000000000000000000\n" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		f = fopen(path, "w");
		fputs(bad[i], f);
		fclose(f);
		ck_assert_uint_eq(cw_keys_admin_file(pool, dir, on_admin, NULL, &err), 0);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_ptr_nonnull(strstr(err.msg, "not an API key"));
		ck_assert_ptr_null(strstr(err.msg, "cw_live_"));
	}
	unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);        /* what is no file cannot be read */
	ck_assert_uint_eq(cw_keys_admin_file(pool, dir, on_admin, NULL, &err), 0);
	ck_assert_uint_eq(cw_keys_admin_file(pool, "/nowhere/at/all", on_admin, NULL, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* --- the audit log, from C --- */

START_TEST(acts_are_audited_with_who_did_them)
{
	static const struct { const char *remote, *ip, *agent, *kept; } cases[] = {
		{ "127.0.0.1", "127.0.0.1", "curl/8", "curl/8" }, { "fe80::1%eth0", "fe80::1", "", "" },
		{ "unix", "", "caf\xc3\xa9", "caf\xc3\xa9" }, { "::1", "::1", "broken \xff", "" },
	};
	struct cw_audit_writer *writer = cw_audit_writer_new(pool);
	struct waited w = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_header agent = { .name = { "user-agent", 10 }, .value = { cases[i].agent, strlen(cases[i].agent) } };
		struct cw_head head = { .headers = &agent, .nheaders = 1 };
		struct cw_request req = { .head = &head, .id = "req-1" };
		struct cw_audit_actor actor;
		struct cw_audit_event event = { .type = "test.act", .action = "try", .details = "{\"a\":1}", .actor = &actor };

		snprintf(req.remote, sizeof(req.remote), "%s", cases[i].remote);
		cw_audit_actor_of(&req, &actor);
		ck_assert_str_eq(actor.ip, cases[i].ip);
		ck_assert_str_eq(actor.agent, cases[i].kept);
		cw_audit_write(writer, &event, note, &w);
		turn_until(&w.told, (int)i + 1);
		ck_assert_int_eq(w.code, CW_OK);
		ck_assert_str_eq(pgtest_value(pg, "SELECT coalesce(host(ip_address), '') FROM audit_logs ORDER BY id DESC LIMIT 1"),
		                 cases[i].ip);
		ck_assert_str_eq(pgtest_value(pg, "SELECT coalesce(user_agent, '') FROM audit_logs ORDER BY id DESC LIMIT 1"),
		                 cases[i].kept);
	}
	cw_audit_write(writer, &(struct cw_audit_event){ .type = "engine.act" }, note, &w);
	turn_until(&w.told, 5);
	ck_assert_int_eq(w.code, CW_OK);
	/* Refused by the database: told to who asked. */
	cw_audit_write(writer, &(struct cw_audit_event){ .type = "test.act", .details = "no JSON" }, note, &w);
	turn_until(&w.told, 6);
	ck_assert_int_ne(w.code, CW_OK);
	/* Nobody asked: it is in the log, with all of it; and who is freed meanwhile is not told. */
	cw_audit_write(writer, &(struct cw_audit_event){ .type = "test.act", .details = "no JSON" }, NULL, NULL);
	cw_audit_write(writer, &(struct cw_audit_event){ .type = "test.act" }, note, &w);
	cw_audit_writer_free(&writer);
	for (int i = 0; i < 50; i++) {
		cw_loop_poll(loop);
		usleep(500);
	}
	ck_assert_int_eq(w.told, 6);
	cw_audit_writer_free(&writer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("directory");
	TCase *tc = tcase_create("directory");
	SRunner *runner;
	int failed;

	tcase_add_unchecked_fixture(tc, pg_up, pg_down);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_key_has_what_its_user_and_scopes_have_in_common);
	tcase_add_test(tc, a_key_ends_when_it_should);
	tcase_add_test(tc, a_token_ends_with_itself_its_session_and_its_user);
	tcase_add_test(tc, the_known_ones_stay_good_while_reading_fails);
	tcase_add_test(tc, a_first_reading_that_fails_is_told);
	tcase_add_test(tc, strangers_wait_for_the_next_reading);
	tcase_add_test(tc, places_of_the_forgotten_are_free);
	tcase_add_loop_test(tc, nobody_is_answered_after_the_end, 0, 2);
	tcase_add_test(tc, use_is_written_now_and_then_and_old_sessions_go);
	tcase_add_test(tc, everything_is_read_again_now_and_then);
	tcase_add_test(tc, the_first_admin_gets_a_key_in_a_file);
	tcase_add_test(tc, acts_are_audited_with_who_did_them);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
