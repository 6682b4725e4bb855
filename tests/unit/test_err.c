#include "base/err.h"

#include <check.h>
#include <errno.h>
#include <string.h>

static struct cw_err err;

static void setup(void)
{
	memset(&err, '#', sizeof(err));
	cw_err_clear(&err);
}

START_TEST(set_and_clear)
{
	ck_assert_int_eq(err.code, CW_OK);
	ck_assert_str_eq(err.msg, "");
	strcpy(err.sqlstate, "23505");
	ck_assert_int_eq(cw_err_set(&err, CW_ERR_BUSY, "queue of %d is full", 7), -1);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_str_eq(err.sqlstate, "");
	ck_assert_str_eq(err.msg, "queue of 7 is full");
}
END_TEST

START_TEST(null_is_allowed)
{
	ck_assert_int_eq(cw_err_set(NULL, CW_ERR_BUSY, "x"), -1);
	ck_assert_int_eq(cw_err_wrap(NULL, "x"), -1);
	cw_err_clear(NULL);
}
END_TEST

START_TEST(wrap_puts_text_in_front)
{
	cw_err_set(&err, CW_ERR_DB, "connection refused");
	strcpy(err.sqlstate, "08006");
	ck_assert_int_eq(cw_err_wrap(&err, "could not connect to \"%s\"", "db"), -1);
	ck_assert_int_eq(cw_err_wrap(&err, "start"), -1);
	ck_assert_str_eq(err.msg, "start: could not connect to \"db\": connection refused");
	ck_assert_int_eq(err.code, CW_ERR_DB);
	ck_assert_str_eq(err.sqlstate, "08006");
}
END_TEST

START_TEST(long_messages_are_cut)
{
	char text[600];

	for (size_t n = 480; n < sizeof(text); n++) {
		memset(text, 'x', n);
		text[n] = '\0';
		cw_err_set(&err, CW_ERR_DB, "inner");
		cw_err_wrap(&err, "%s", text);
		ck_assert_uint_lt(strlen(err.msg), sizeof(err.msg));
		ck_assert_int_eq(err.msg[0], 'x');
		cw_err_set(&err, CW_ERR_DB, "%s", text);
		ck_assert_uint_lt(strlen(err.msg), sizeof(err.msg));
		cw_err_wrap(&err, "outer");
		ck_assert_uint_lt(strlen(err.msg), sizeof(err.msg));
		ck_assert(strncmp(err.msg, "outer: xxx", 10) == 0);
	}
}
END_TEST

START_TEST(codes_have_names_and_statuses)
{
	for (int code = CW_OK; code <= CW_ERR_INTERNAL; code++) {
		ck_assert_ptr_nonnull(cw_code_name((enum cw_code)code));
		ck_assert_int_ge(cw_code_http_status((enum cw_code)code), 200);
	}
	ck_assert_str_eq(cw_code_name(CW_ERR_NOT_FOUND), "not_found");
	ck_assert_int_eq(cw_code_http_status(CW_ERR_INVALID), 400);
	ck_assert_int_eq(cw_code_http_status(CW_ERR_BUSY), 503);
	ck_assert_int_eq(cw_code_exit_status(CW_OK), 0);
	ck_assert_int_eq(cw_code_exit_status(CW_ERR_INVALID), 2);
	ck_assert_int_eq(cw_code_exit_status(CW_ERR_DB), 69);
	ck_assert_int_eq(cw_code_exit_status(CW_ERR_BUSY), 75);
}
END_TEST

START_TEST(system_calls_fail_for_now_or_for_good)
{
	errno = EMFILE;
	ck_assert_int_eq(cw_err_errno(&err, CW_ERR_INVALID, "could not open \"%s\"", "a"), -1);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_int_eq(cw_code_http_status(err.code), 503);
	ck_assert_str_eq(err.msg, "could not open \"a\": Too many open files");
	errno = ENOENT;
	cw_err_errno(&err, CW_ERR_NOT_FOUND, "could not open \"%s\"", "a");
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_str_eq(err.msg, "could not open \"a\": No such file or directory");
	ck_assert_int_eq(cw_err_errno(NULL, CW_ERR_INVALID, "x"), -1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("err");
	TCase *t = tcase_create("err");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, set_and_clear);
	tcase_add_test(t, null_is_allowed);
	tcase_add_test(t, wrap_puts_text_in_front);
	tcase_add_test(t, long_messages_are_cut);
	tcase_add_test(t, codes_have_names_and_statuses);
	tcase_add_test(t, system_calls_fail_for_now_or_for_good);
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
