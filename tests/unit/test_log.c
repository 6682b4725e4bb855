#include "base/log.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

#define HEAD "ts=2026-01-31T23:59:59.123Z level=info group=test"

static char captured[65536];
static int saved_fd;
static FILE *file;

static int64_t fixed_wall(void)
{
	return 1769903999123456;
}

static const struct cw_clock fixed = { fixed_wall, fixed_wall };

static void setup(void)
{
	cw_clock_set(&fixed);
	cw_log_clear_levels();
	cw_log_set_format(CW_LOG_LOGFMT);
	cw_log_set_role(NULL);
	file = tmpfile();
	saved_fd = dup(2);
	dup2(fileno(file), 2);
}

static void teardown(void)
{
	dup2(saved_fd, 2);
	close(saved_fd);
	fclose(file);
	cw_clock_set(NULL);
}

/* What was written since the last call. */
static const char *lines(void)
{
	ssize_t n = pread(2, captured, sizeof(captured) - 1, 0);

	ck_assert_int_ge(n, 0);
	captured[n] = '\0';
	ck_assert_int_eq(ftruncate(2, 0), 0);
	lseek(2, 0, SEEK_SET);
	return captured;
}

START_TEST(logfmt_line)
{
	cw_log(CW_LOG_INFO, "test", "listening on \"x\"", "addr=%s n=%d text=\"a b\"", "127.0.0.1:80", 3);
	ck_assert_str_eq(lines(), HEAD " msg=\"listening on \\\"x\\\"\" addr=127.0.0.1:80 n=3 text=\"a b\"\n");
	cw_log_set_role("evaluator");
	cw_log(CW_LOG_INFO, "test", "up", NULL);
	ck_assert_str_eq(lines(), HEAD " role=evaluator msg=\"up\"\n");
}
END_TEST

START_TEST(json_line)
{
	cw_log_set_format(CW_LOG_JSON);
	cw_log_set_role("engine");
	cw_log(CW_LOG_WARN, "test", "a\nb", "n=%d text=\"x \\\" y\" empty= quoted=\"\"", 3);
	ck_assert_str_eq(lines(), "{\"ts\":\"2026-01-31T23:59:59.123Z\",\"level\":\"warn\",\"group\":\"test\",\"role\":\"engine\","
	                          "\"msg\":\"a\\nb\",\"n\":\"3\",\"text\":\"x \\\" y\",\"empty\":\"\",\"quoted\":\"\"}\n");
}
END_TEST

START_TEST(levels_by_group)
{
	enum cw_log_level level;

	ck_assert(!cw_log_enabled(CW_LOG_DEBUG, "test"));
	cw_log(CW_LOG_DEBUG, "test", "hidden", NULL);
	cw_log_set_level("test", CW_LOG_DEBUG);
	cw_log_set_level(NULL, CW_LOG_ERROR);
	ck_assert(cw_log_enabled(CW_LOG_DEBUG, "test"));
	ck_assert(!cw_log_enabled(CW_LOG_WARN, "other"));
	cw_log_set_level("test", CW_LOG_OFF);
	ck_assert(!cw_log_enabled(CW_LOG_ERROR, "test"));
	ck_assert(!cw_log_enabled(CW_LOG_OFF, "test"));
	cw_log(CW_LOG_ERROR, "test", "hidden", NULL);
	ck_assert_str_eq(lines(), "");
	for (int i = 0; i < 100; i++) {   /* more groups than there is room for */
		char name[16];

		snprintf(name, sizeof(name), "g%d", i);
		cw_log_set_level(name, CW_LOG_OFF);
	}
	cw_log_clear_levels();
	ck_assert(cw_log_enabled(CW_LOG_INFO, "test"));
	ck_assert(cw_log_level_parse("warn", &level) && level == CW_LOG_WARN);
	ck_assert(cw_log_level_parse("off", &level) && level == CW_LOG_OFF);
	ck_assert(!cw_log_level_parse("WARN", &level) && !cw_log_level_parse("", &level));
}
END_TEST

static const struct { const char *fields, *want; } secrets[] = {
	{ "password=hunter2 x=1", "password=*** x=1" }, { "Token=\"a b\"", "Token=\"***\"" }, { "api_key=k", "api_key=***" },
	{ "key=k", "key=***" }, { "authorization=\"Bearer xyz\"", "authorization=\"***\"" }, { "tokens=5", "tokens=5" },
	{ "dsn=postgres://bob:hunter2@db:5432/x", "dsn=postgres://bob:***@db:5432/x" },
	{ "dsn=\"postgres://bob:hunt@er2@db/x y\"", "dsn=\"postgres://bob:***@db/x y\"" },
	{ "dsn=postgres://db:5432/x?a=b", "dsn=postgres://db:5432/x?a=b" },
	{ "dsn=postgres://bob@db/x", "dsn=postgres://bob@db/x" },
	{ "a=\"no postgres://u:p1@h and postgres://v:p2@h\"", "a=\"no postgres://u:***@h and postgres://v:***@h\"" },
	{ "e=\"host=db password=hunter2 user=bob\"", "e=\"host=db password=*** user=bob\"" },
	{ "e=\"password='hunter 2' user=bob\"", "e=\"password=*** user=bob\"" },
	{ "e=\"postgres://h/x?user=a&password=hunter2&b=1\"", "e=\"postgres://h/x?user=a&password=***&b=1\"" },
	{ "e=\"no cw_live_0123456789abcdefghijklmnopqrstABCDEF here\"", "e=\"no cw_live_*** here\"" },
	{ "e=cw_ref_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", "e=cw_ref_***" },
	{ "e=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.AAAA-BBBB_C x=1", "e=eyJ*** x=1" },
	{ "prefix=cw_live_3tQ0JUgx x=eyJ", "prefix=cw_live_3tQ0JUgx x=eyJ" },
};

START_TEST(secrets_are_masked)
{
	char want[256];

	cw_log(CW_LOG_INFO, "test", "x", "%s", secrets[_i].fields);
	snprintf(want, sizeof(want), HEAD " msg=\"x\" %s\n", secrets[_i].want);
	ck_assert_str_eq(lines(), want);
}
END_TEST

START_TEST(a_line_stays_one_line)
{
	cw_log(CW_LOG_INFO, "test", "x\ny\x1b[2J", "path=%s text=\"%s\"", "a\nlevel=error", "b\nts=\t");
	ck_assert_str_eq(lines(), HEAD " msg=\"x\\ny\\u001b[2J\" path=a\\nlevel=error text=\"b\\nts=\\u0009\"\n");
}
END_TEST

static void check_json(void)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const char *text = lines();
	const char *end = strchr(text, '\n');

	ck_assert_ptr_nonnull(end);
	ck_assert_str_eq(end, "\n");
	ck_assert_uint_le(strlen(text), 4096);
	/* Text that looks like pairs may give a name twice: JSON still. */
	if (cw_json_parse(text, strlen(text), 4, arena, &error) == NULL && error.fault != CW_JSON_REFUSED)
		ck_abort_msg("%s at %zu: %s", error.what, error.offset, text);
	cw_arena_free(&arena);
}

/* Whatever a value holds, a JSON line is JSON: every length around the limit, with text that needs escapes. */
START_TEST(json_lines_are_json)
{
	static const char *const nasty[] = { "plain", "quo\"te", "back\\slash\\", "\x01\x7f", "\xc3\xa4\xff\xe2\x82\xac", "open=\"" };
	char text[6000];

	cw_log_set_format(CW_LOG_JSON);
	for (size_t k = 0; k < sizeof(nasty) / sizeof(*nasty); k++)
		for (size_t len = 0; len < 5000; len += len < 1200 || len > 4100 ? 97 : 3) {
			size_t n = strlen(nasty[k]);

			for (size_t i = 0; i < len; i++)
				text[i] = nasty[k][i % n];
			text[len] = '\0';
			switch (len % 4) {
			case 0:
				cw_log(CW_LOG_INFO, "test", "m", "a=\"%s\" b=2", text);
				break;
			case 1:
				cw_log(CW_LOG_INFO, "test", "m", "a=%s b=2 %s=x", text, text);
				break;
			case 2:
				cw_log(CW_LOG_INFO, "test", text, "a=1");
				break;
			default:
				cw_log(CW_LOG_INFO, "test", "m", "%s", text);
			}
			check_json();
		}
}
END_TEST

START_TEST(what_was_cut_says_so)
{
	char text[5000];
	const char *line;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cw_log(CW_LOG_INFO, "test", "m", "a=\"%s\"", text);
	line = lines();
	ck_assert_uint_le(strlen(line), 4096);
	ck_assert_str_eq(line + strlen(line) - 14, "xxx\" cut=true\n");
}
END_TEST

START_TEST(errors_with_their_code)
{
	struct cw_err err;

	cw_err_set(&err, CW_ERR_INVALID, "bad \"x\"");
	cw_log_err(CW_LOG_INFO, "test", "m", &err);
	ck_assert_str_eq(lines(), HEAD " msg=\"m\" code=invalid error=\"bad \\\"x\\\"\"\n");
	cw_err_set(&err, CW_ERR_DB, "no");
	strcpy(err.sqlstate, "57P01");
	cw_log_err(CW_LOG_INFO, "test", "m", &err);
	ck_assert_str_eq(lines(), HEAD " msg=\"m\" code=database sqlstate=57P01 error=\"no\"\n");
}
END_TEST

START_TEST(quoting_into_little_room)
{
	char out[64];

	ck_assert_str_eq(cw_log_quote(out, sizeof(out), "a \"b\"\n"), "\"a \\\"b\\\"\\n\"");
	for (unsigned long size = 3; size < 20; size++) {
		memset(out, '#', sizeof(out));
		cw_log_quote(out, size, "\"\"\xe2\x82\xac\x01xyz");
		ck_assert_uint_lt(strlen(out), size);
		ck_assert_int_eq(out[strlen(out) - 1], '"');
		ck_assert_int_eq(out[size], '#');
	}
	ck_assert_str_eq(cw_log_quote(out, 2, "x"), "");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, logfmt_line);
	tcase_add_test(t, json_line);
	tcase_add_test(t, levels_by_group);
	tcase_add_loop_test(t, secrets_are_masked, 0, sizeof(secrets) / sizeof(*secrets));
	tcase_add_test(t, a_line_stays_one_line);
	tcase_add_test(t, json_lines_are_json);
	tcase_add_test(t, what_was_cut_says_so);
	tcase_add_test(t, errors_with_their_code);
	tcase_add_test(t, quoting_into_little_room);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
