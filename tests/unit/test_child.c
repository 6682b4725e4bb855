#include "base/child.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

static int run(const char *script, struct cw_buf *out, struct cw_buf *err_text)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	const char *env[] = { "CW_WORD=hello", NULL };
	struct cw_child child = { .argv = argv, .env = env, .out = out, .err = err_text };
	struct cw_err err = { .msg = "" };
	int rc = cw_child_run(&child, &err);

	ck_assert_msg(rc >= 0, "%s", err.msg);
	return rc;
}

START_TEST(both_streams_and_the_exit_code_come_back)
{
	struct cw_buf out = CW_BUF_INIT, said = CW_BUF_INIT;

	ck_assert_int_eq(run("echo \"$CW_WORD\"; echo oops >&2; exit 7", &out, &said), 7);
	ck_assert_str_eq(out.data, "hello\n");
	ck_assert_str_eq(said.data, "oops\n");
	ck_assert_int_eq(run("kill -9 $$", &out, &said), 128 + 9);
	cw_buf_release(&out);
	cw_buf_release(&said);
}
END_TEST

START_TEST(one_buffer_may_take_both_streams)
{
	struct cw_buf said = CW_BUF_INIT;

	ck_assert_int_eq(run("echo a; echo b >&2", &said, &said), 0);
	ck_assert_uint_eq(said.len, 4);
	ck_assert_ptr_nonnull(strstr(said.data, "b\n"));
	cw_buf_release(&said);
}
END_TEST

START_TEST(more_than_a_pipe_holds_does_not_block)
{
	struct cw_buf out = CW_BUF_INIT, said = CW_BUF_INIT;

	ck_assert_int_eq(run("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789012345678901234567890123; "
	                     "echo x >&2; i=$((i + 1)); done", &out, &said), 0);
	ck_assert_uint_eq(out.len, 3000 * 65);
	ck_assert_uint_eq(said.len, 6000);
	cw_buf_release(&out);
	cw_buf_release(&said);
}
END_TEST

START_TEST(descriptors_and_input_stay_behind)
{
	struct cw_buf out = CW_BUF_INIT, said = CW_BUF_INIT;
	int pipe_fds[2];

	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(run("cat; ls /proc/self/fd | wc -l", &out, &said), 0);
	/* 0, 1, 2 and ls's own */
	ck_assert_str_eq(out.data, "4\n");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	cw_buf_release(&out);
	cw_buf_release(&said);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_127)
{
	const char *argv[] = { "/nonexistent/program", NULL };
	struct cw_buf said = CW_BUF_INIT;
	struct cw_child child = { .argv = argv, .err = &said };

	ck_assert_int_eq(cw_child_run(&child, NULL), 127);
	ck_assert_ptr_nonnull(strstr(said.data, "could not run \"/nonexistent/program\": No such file"));
	cw_buf_release(&said);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("child");
	TCase *tc = tcase_create("child");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, both_streams_and_the_exit_code_come_back);
	tcase_add_test(tc, one_buffer_may_take_both_streams);
	tcase_add_test(tc, more_than_a_pipe_holds_does_not_block);
	tcase_add_test(tc, descriptors_and_input_stay_behind);
	tcase_add_test(tc, a_program_that_is_not_there_is_127);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
