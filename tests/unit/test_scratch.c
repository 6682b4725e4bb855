#include "pg/scratch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "pg/cluster.h"

static struct cw_err err;

START_TEST(databases_come_and_go_with_it)
{
	struct cw_scratch *s;
	char conninfo[256], out[64], dir[256];
	pid_t server;

	unsetenv("TMPDIR");
	s = cw_scratch_start(NULL, &err);
	ck_assert_msg(s != NULL, "%s", err.msg);
	snprintf(dir, sizeof(dir), "%s", cw_scratch_dir(s));
	ck_assert_int_eq(strncmp(dir, "/tmp/cw-scratch-", 16), 0);
	server = cw_cluster_pid(cw_scratch_cluster(s));
	ck_assert_int_gt(server, 0);
	ck_assert_int_eq(cw_scratch_database(s, "one", conninfo, sizeof(conninfo), &err), 0);
	ck_assert_int_eq(cw_scratch_database(s, "one", out, sizeof(out), &err), -1);
	ck_assert_str_eq(err.sqlstate, "42P04");

	ck_assert_int_eq(cw_pg_exec(conninfo, "DO $$ BEGIN RAISE NOTICE 'not for stderr'; END $$; CREATE TABLE t (x int)", &err), 0);
	ck_assert_int_eq(cw_pg_exec(conninfo, "", &err), 0);
	ck_assert_int_eq(cw_pg_run(conninfo, "INSERT INTO t VALUES ($1), ($2)", (const char *const[]){ "7", NULL }, 2, &err), 0);
	ck_assert_int_eq(cw_pg_value(conninfo, "SELECT x FROM t ORDER BY x", out, sizeof(out), &err), 0);
	ck_assert_str_eq(out, "7");
	ck_assert_int_eq(cw_pg_value(conninfo, "SELECT x FROM t WHERE x IS NULL", out, sizeof(out), &err), 0);
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(cw_pg_value(conninfo, "SELECT x FROM t WHERE false", out, sizeof(out), &err), 0);
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(cw_pg_value(conninfo, "SELECT 'a text that is too long for its place'", out, 7, &err), 0);
	ck_assert_str_eq(out, "a text");
	ck_assert_int_eq(cw_pg_run(conninfo, "INSERT INTO t VALUES ($1)", (const char *const[]){ "nine" }, 1, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_DB);
	ck_assert_str_eq(err.sqlstate, "22P02");
	ck_assert_int_eq(cw_pg_exec(conninfo, "SELECT nonsense", NULL), -1);
	ck_assert_int_eq(cw_pg_exec(conninfo, "SELECT pg_terminate_backend(pg_backend_pid())", &err), -1);
	ck_assert_int_eq(cw_pg_exec(conninfo, "COPY t TO STDOUT", &err), -1);    /* nobody would read it */

	cw_scratch_stop(&s);
	ck_assert_ptr_null(s);
	ck_assert_int_ne(access(dir, F_OK), 0);
	ck_assert_int_eq(cw_pg_value(conninfo, "SELECT 1", out, sizeof(out), &err), -1);
	ck_assert_ptr_null(strchr(err.msg, '\n'));
	ck_assert_str_eq(err.sqlstate, "");
	cw_scratch_stop(&s);
}
END_TEST

START_TEST(where_it_cannot_be_is_said)
{
	ck_assert_ptr_null(cw_scratch_start("/nonexistent", &err));
	ck_assert_str_eq(err.msg, "could not make a scratch directory in \"/nonexistent\": No such file or directory");
	setenv("TMPDIR", "/nonexistent/too", 1);
	ck_assert_ptr_null(cw_scratch_start(NULL, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "in \"/nonexistent/too\""));
	static char deep[5000];

	memset(deep, 'x', sizeof(deep) - 1);
	ck_assert_ptr_null(cw_scratch_start(deep, &err));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scratch");
	TCase *tc = tcase_create("scratch");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, databases_come_and_go_with_it);
	tcase_add_test(tc, where_it_cannot_be_is_said);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
