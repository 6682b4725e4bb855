/* The private PostgreSQL where something is in its way: programs that fail, other users, what an engine that was killed left
 * behind. Programs are shell scripts where the real ones would never fail so. */
#include "pg/cluster.h"

#include <check.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static char root[64], bin[80], template_dir[128];
static struct cw_err err;

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void put_program(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", bin, name);
	put(path, text);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

static void make_root(void)
{
	cw_log_set_level(NULL, CW_LOG_OFF);
	strcpy(root, "/tmp/cwt-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(chmod(root, 0711), 0);
	snprintf(bin, sizeof(bin), "%s/bin", root);
	ck_assert_int_eq(mkdir(bin, 0755), 0);
	snprintf(template_dir, sizeof(template_dir), "/tmp/cwt-template-%ld-v1", (long)getuid());
}

static void drop_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	ck_assert_int_eq(system(command), 0);
}

static const char *in_root(const char *name)
{
	static char path[64][256];   /* one for each call of a test */
	static int at;

	at = (at + 1) % 64;
	snprintf(path[at], sizeof(path[at]), "%s/%s", root, name);
	return path[at];
}

static struct cw_cluster_conf scratch(const char *dir)
{
	return (struct cw_cluster_conf){ .dir = dir, .shared_buffers = "16MB", .scratch = true, .template_dir = template_dir };
}

static char *ask(const char *conninfo, const char *sql)
{
	static char answer[256];
	PGconn *conn = PQconnectdb(conninfo);

	ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s", PQerrorMessage(conn));
	PGresult *res = PQexec(conn, sql);

	snprintf(answer, sizeof(answer), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : PQresultErrorMessage(res));
	PQclear(res);
	PQfinish(conn);
	return answer;
}

/* ---- programs that fail ---- */

#define INITDB "#!/bin/sh\nwhile [ \"$1\" != -D ]; do shift; done\necho 15 > \"$2/PG_VERSION\"\n"
#define SERVER "#!/bin/sh\ncase \"$*\" in --single* | *\" -C \"*) exit 0 ;; esac\n"

static const struct { const char *initdb, *postgres; enum cw_code code; const char *words; } failures[] = {
	{ "#!/bin/sh\necho creating\necho 'initdb: error: no space' >&2\nexit 1\n", SERVER, CW_ERR_INTERNAL,
	  "/initdb\" failed: initdb: error: no space (see \"" },
	{ "#!/bin/sh\nkill -9 $$\n", SERVER, CW_ERR_INTERNAL, "/initdb\" failed: no message" },
	{ "#!/nonexistent/shell\n", SERVER, CW_ERR_INTERNAL, "/initdb\" failed: could not run \"" },
	{ NULL, SERVER, CW_ERR_INTERNAL, "No such file or directory" },
	{ INITDB, "#!/bin/sh\necho one\necho 'x FATAL:  two'\necho three\necho 'HINT:  four'\nexit 3\n", CW_ERR_INTERNAL,
	  "\"/bin/sh\" failed: FATAL:  two (see" },
	{ INITDB, SERVER "echo 'FATAL:  one'\necho 'y PANIC:  could not find a way'\necho three\nexit 1\n", CW_ERR_DB,
	  "did not start: PANIC:  could not find a way (see" },
	{ INITDB, SERVER "echo one\necho two\necho HINT: three\nexit 1\n", CW_ERR_DB, "did not start: two (see" },
	{ INITDB, SERVER "exit 0\n", CW_ERR_DB, "did not start: no message (see" },
	{ INITDB, SERVER "trap 'exit 0' INT\nwhile :; do sleep 0.02; done\n", CW_ERR_TIMEOUT, "is not ready after 1 seconds" },
};

START_TEST(programs_that_fail_are_quoted)
{
	struct cw_cluster_conf conf = { .dir = in_root("pg"), .bin_dir = bin, .ready_wait_s = 1 };

	if (failures[_i].initdb != NULL)
		put_program("initdb", failures[_i].initdb);
	put_program("postgres", failures[_i].postgres);
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_msg(err.code == failures[_i].code, "%d %s", err.code, err.msg);
	ck_assert_msg(strstr(err.msg, failures[_i].words) != NULL, "%s", err.msg);
	/* The lock is given back: the next start is not refused for it. */
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_int_ne(err.code, CW_ERR_BUSY);
}
END_TEST

static int say_no(void *arg, struct cw_err *e)
{
	(*(int *)arg)++;
	return cw_err_set(e, CW_ERR_CONFLICT, "not now");
}

START_TEST(who_prepares_may_refuse)
{
	int asked = 0;
	struct cw_cluster_conf conf = scratch(in_root("pg"));

	conf.before_start = say_no;
	conf.arg = &asked;
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_str_eq(err.msg, "not now");
	ck_assert_int_eq(asked, 1);
	ck_assert_int_ne(access(in_root("pg/data"), F_OK), 0);
}
END_TEST

/* ---- which server ---- */

static void make_data_of_nine(void)
{
	ck_assert_int_eq(mkdir(in_root("pg"), 0711), 0);
	ck_assert_int_eq(mkdir(in_root("pg/data"), 0700), 0);
	put(in_root("pg/data/PG_VERSION"), "9\n");
}

#define NINE "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'postgres (PostgreSQL) 9.6.1'; exit; }\necho 'FATAL:  this is nine'\n"

static const struct { const char *pg_config, *postgres, *words; } programs[] = {
	{ "#!/bin/sh\necho %s\n", NINE, "this is nine" },                    /* pg_config names it */
	{ "#!/bin/sh\necho /nowhere\n", NINE, "this is nine" },              /* PATH leads to it */
	{ "#!/bin/sh\nexit 1\n", NINE, "this is nine" },
	{ "#!/bin/sh\necho \"/it's\"\n", NINE, "this is nine" },
	{ "#!/bin/sh\necho %s\n", "#!/bin/sh\necho 'postgres (PostgreSQL) 8.4'\n", "was made by PostgreSQL 9, which is not installed" },
	{ "#!/bin/sh\necho %s\n", "#!/bin/sh\necho 'nonsense'\n", "was made by PostgreSQL 9, which is not installed" },
	{ "#!/bin/sh\necho %s\n", "#!/bin/sh\nexit 0\n", "was made by PostgreSQL 9, which is not installed" },
};

START_TEST(the_server_that_made_the_data_is_looked_for)
{
	struct cw_cluster_conf conf = { .dir = in_root("pg") };
	char text[256], path[512];

	make_data_of_nine();
	snprintf(text, sizeof(text), programs[_i].pg_config, bin);
	put_program("pg_config", text);
	put_program("postgres", programs[_i].postgres);
	snprintf(path, sizeof(path), ":/nowhere:%s:/usr/bin:/bin", bin);
	setenv("PATH", path, 1);
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_msg(strstr(err.msg, programs[_i].words) != NULL, "%s", err.msg);
}
END_TEST

/* ---- directories ---- */

START_TEST(directories_that_cannot_be)
{
	char deep[5000] = "";
	struct cw_cluster_conf conf = { .dir = NULL };

	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	conf.dir = deep;
	snprintf(deep, sizeof(deep), "%s", root);
	while (strlen(deep) < 4200)
		strcat(deep, "/a_directory_of_a_path_that_is_too_long");
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "could not make directory"));
	conf.dir = "/proc/nothing/here";
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "could not make directory \"/proc/nothing"));
	/* What should be a directory or a file is the other. */
	conf = scratch(in_root("pg"));
	ck_assert_int_eq(mkdir(in_root("pg"), 0711), 0);
	ck_assert_int_eq(mkdir(in_root("pg/lock"), 0700), 0);
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "/pg/lock\": Is a directory"));
	ck_assert_int_eq(rmdir(in_root("pg/lock")), 0);
	ck_assert_int_eq(mkdir(in_root("pg/postgres.log"), 0700), 0);
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "/pg/postgres.log\": Is a directory"));
	ck_assert_int_eq(rmdir(in_root("pg/postgres.log")), 0);
	ck_assert_int_eq(rmdir(in_root("pg/run")), 0);
	put(in_root("pg/run"), "");
	struct cw_cluster *c = cw_cluster_start(&conf, &err);

	ck_assert_ptr_null(c);            /* a file where the directory of the socket should be */
}
END_TEST

START_TEST(a_large_log_is_moved_aside)
{
	struct cw_cluster_conf conf = scratch(in_root("pg"));
	struct cw_cluster *c;
	struct stat st;

	ck_assert_int_eq(mkdir(in_root("pg"), 0711), 0);
	put(in_root("pg/postgres.log"), "");
	ck_assert_int_eq(truncate(in_root("pg/postgres.log"), (16 << 20) + 1), 0);
	c = cw_cluster_start(&conf, &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	ck_assert_int_eq(stat(in_root("pg/postgres.log.1"), &st), 0);
	ck_assert_int_eq(st.st_size, (16 << 20) + 1);
	ck_assert_int_eq(stat(in_root("pg/postgres.log"), &st), 0);
	ck_assert_int_lt(st.st_size, 1 << 20);
	cw_cluster_stop(&c);
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(archiving_is_what_the_settings_say)
{
	struct cw_cluster_conf conf = scratch(in_root("pg"));
	struct cw_cluster *c;
	const char *conninfo;
	uid_t uid;
	gid_t gid;
	struct stat st;

	conf.archive_command = "test ! -f x%f";
	conf.archive_timeout_s = 77;
	c = cw_cluster_start(&conf, &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	conninfo = cw_cluster_conninfo(c);
	ck_assert_str_eq(ask(conninfo, "SHOW archive_mode"), "on");
	ck_assert_str_eq(ask(conninfo, "SHOW archive_command"), "test ! -f x%f");
	ck_assert_str_eq(ask(conninfo, "SHOW archive_timeout"), "77s");
	ck_assert_str_eq(ask(conninfo, "SHOW wal_level"), "replica");
	/* What it tells about itself is so. */
	cw_cluster_owner(c, &uid, &gid);
	ck_assert_int_eq(stat(cw_cluster_data_dir(c), &st), 0);
	ck_assert_uint_eq(st.st_uid, uid);
	ck_assert_uint_eq(st.st_gid, gid);
	ck_assert_str_eq(ask(conninfo, "SHOW data_directory"), cw_cluster_data_dir(c));
	ck_assert(cw_cluster_reachable(c));
	snprintf(bin, sizeof(bin), "%s/initdb", cw_cluster_bin_dir(c));
	ck_assert_int_eq(access(bin, X_OK), 0);
	cw_cluster_stop(&c);
	conf.archive_command = NULL;
	c = cw_cluster_start(&conf, &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SHOW archive_mode"), "off");
	cw_cluster_stop(&c);
}
END_TEST

/* ---- after a kill ---- */

static void start_and_be_killed(const char *dir, char *run, size_t size)
{
	int pipes[2], status;
	pid_t engine;

	ck_assert_int_eq(pipe(pipes), 0);
	engine = fork();
	if (engine == 0) {
		struct cw_cluster_conf conf = scratch(dir);
		struct cw_cluster *c = cw_cluster_start(&conf, &err);
		const char *told = c != NULL ? cw_cluster_socket_dir(c) : err.msg;

		if (write(pipes[1], told, strlen(told) + 1) < 0)
			_exit(1);
		raise(SIGKILL);
	}
	ck_assert_int_gt(read(pipes[0], run, size), 0);
	ck_assert_int_eq(waitpid(engine, &status, 0), engine);
	close(pipes[0]);
	close(pipes[1]);
	ck_assert_msg(run[0] == '/', "%s", run);
}

START_TEST(the_short_directory_of_a_killed_engine_is_used_again)
{
	char dir[256], first[128], note[300];
	struct cw_cluster_conf conf;
	struct cw_cluster *c;

	snprintf(dir, sizeof(dir), "%s/%0100d", root, 1);
	start_and_be_killed(dir, first, sizeof(first));
	conf = scratch(dir);
	c = cw_cluster_start(&conf, &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	ck_assert_str_eq(cw_cluster_socket_dir(c), first);
	cw_cluster_stop(&c);
	ck_assert_int_ne(access(first, F_OK), 0);
	/* A name that leads elsewhere is not followed, nor is an empty one. */
	snprintf(note, sizeof(note), "%s/run_dir", dir);
	static const char *const notes[] = { "", "/tmp\n" };

	for (size_t i = 0; i < sizeof(notes) / sizeof(*notes); i++) {
		put(note, notes[i]);
		c = cw_cluster_start(&conf, &err);
		ck_assert_msg(c != NULL, "%s", err.msg);
		ck_assert_int_eq(strncmp(cw_cluster_socket_dir(c), "/tmp/cw-", 8), 0);
		ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT 1"), "1");
		cw_cluster_stop(&c);
		ck_assert_int_ne(access(note, F_OK), 0);
	}
}
END_TEST

/* ---- another user ---- */

static _Noreturn void as_ordinary_user(const struct passwd *pw)
{
	char template[128];
	struct cw_cluster_conf conf = { .dir = in_root("mine"), .shared_buffers = "16MB", .scratch = true,
		                            .template_dir = template };
	struct cw_cluster *c;

	snprintf(template, sizeof(template), "%s", in_root("template"));
	if (setgroups(0, NULL) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		_exit(10);
	c = cw_cluster_start(&conf, &err);      /* makes the template, too */
	if (c == NULL) {
		fprintf(stderr, "%s\n", err.msg);
		_exit(11);
	}
	if (!cw_cluster_reachable(c) || strcmp(ask(cw_cluster_conninfo(c), "SELECT current_user"), "chainwatch") != 0)
		_exit(12);
	cw_cluster_stop(&c);
	if (access(template, F_OK) != 0)
		_exit(13);
	conf.dir = in_root("roots");
	if (cw_cluster_start(&conf, &err) != NULL || err.code != CW_ERR_DENIED || strstr(err.msg, "belongs to user id 0") == NULL)
		_exit(14);
	conf.dir = "/etc/chainwatch-of-nobody";
	if (cw_cluster_start(&conf, &err) != NULL || strstr(err.msg, "Permission denied") == NULL)
		_exit(15);
	_exit(0);
}

START_TEST(an_ordinary_user_has_a_server_of_its_own)
{
	struct passwd *pw = getpwnam("postgres");
	int status;
	pid_t pid;

	if (geteuid() != 0 || pw == NULL)
		return;                         /* all the other tests are run as one then */
	ck_assert_int_eq(chown(root, pw->pw_uid, pw->pw_gid), 0);
	ck_assert_int_eq(mkdir(in_root("roots"), 0777), 0);
	ck_assert_int_eq(chmod(in_root("roots"), 0777), 0);
	ck_assert_int_eq(mkdir(in_root("roots/data"), 0755), 0);
	pid = fork();
	if (pid == 0)
		as_ordinary_user(pw);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", WIFEXITED(status) ? WEXITSTATUS(status) : -status);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cluster failures");
	TCase *tc = tcase_create("cluster");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, make_root, drop_root);
	tcase_add_loop_test(tc, programs_that_fail_are_quoted, 0, (int)(sizeof(failures) / sizeof(*failures)));
	tcase_add_test(tc, who_prepares_may_refuse);
	tcase_add_loop_test(tc, the_server_that_made_the_data_is_looked_for, 0, (int)(sizeof(programs) / sizeof(*programs)));
	tcase_add_test(tc, directories_that_cannot_be);
	tcase_add_test(tc, a_large_log_is_moved_aside);
	tcase_add_test(tc, archiving_is_what_the_settings_say);
	tcase_add_test(tc, the_short_directory_of_a_killed_engine_is_used_again);
	tcase_add_test(tc, an_ordinary_user_has_a_server_of_its_own);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
