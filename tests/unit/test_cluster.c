#include "pg/cluster.h"

#include <check.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "support/pgtest.h"
#include "support/slow.h"

static char root[64], template_dir[128];

static void make_root(void)
{
	strcpy(root, "/tmp/cwt-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(chmod(root, 0711), 0);
	snprintf(template_dir, sizeof(template_dir), "/tmp/cwt-template-%ld-v1", (long)getuid());
}

static void drop_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	ck_assert_int_eq(system(command), 0);
}

static struct cw_cluster *start_in(const char *dir, struct cw_err *err)
{
	struct cw_cluster_conf conf = { .dir = dir, .shared_buffers = "16MB", .scratch = true,
		                            .template_dir = template_dir };

	return cw_cluster_start(&conf, err);
}

static struct cw_cluster *start_ok(const char *dir)
{
	struct cw_err err = { .msg = "" };
	struct cw_cluster *c = start_in(dir, &err);

	ck_assert_msg(c != NULL, "%s", err.msg);
	return c;
}

static char *ask(const char *conninfo, const char *sql)
{
	static char answer[256];
	PGconn *conn = PQconnectdb(conninfo);

	ck_assert_msg(PQstatus(conn) == CONNECTION_OK, "%s", PQerrorMessage(conn));
	PGresult *res = PQexec(conn, sql);

	snprintf(answer, sizeof(answer), "%s",
	         PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : PQresultErrorMessage(res));
	PQclear(res);
	PQfinish(conn);
	return answer;
}

static bool alive(pid_t pid)
{
	char path[64], text[512] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	char *paren = n > 0 ? strrchr(text, ')') : NULL;

	return paren != NULL && paren[2] != 'Z';
}

static void await_death(pid_t pid)
{
	int64_t deadline = cw_clock_mono_us() + INT64_C(20000000) * slow_factor();
	struct timespec nap = { 0, 2000000 };

	while (alive(pid) && cw_clock_mono_us() < deadline)
		nanosleep(&nap, NULL);
	ck_assert(!alive(pid));
}

START_TEST(first_start_makes_a_database_with_the_settings)
{
	struct cw_cluster *c = start_ok(root);
	const char *conninfo = cw_cluster_conninfo(c);

	ck_assert_str_eq(ask(conninfo, "SELECT current_database()"), "chainwatch");
	ck_assert_str_eq(ask(conninfo, "SELECT current_user"), "chainwatch");
	ck_assert_str_eq(ask(conninfo, "SHOW shared_buffers"), "16MB");
	ck_assert_str_eq(ask(conninfo, "SHOW listen_addresses"), "");
	ck_assert_str_eq(ask(conninfo, "SHOW jit"), "off");
	ck_assert_str_eq(ask(conninfo, "SHOW synchronous_commit"), "on");
	ck_assert_str_eq(ask(conninfo, "SHOW TimeZone"), "UTC");
	ck_assert_str_eq(ask(conninfo, "SHOW server_encoding"), "UTF8");
	ck_assert_str_eq(ask(conninfo, "SHOW data_checksums"), "on");
	cw_cluster_stop(&c);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(nothing_is_open_to_others)
{
	struct cw_cluster *c = start_ok(root);
	struct stat st;

	ck_assert_int_eq(stat(cw_cluster_socket_dir(c), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	ck_assert_int_ne(st.st_uid, 0);
	/* A user of the operating system that is not in the map is refused even with the socket in reach. */
	char command[512];

	snprintf(command, sizeof(command),
	         "chmod 755 '%s' && chmod 777 '%s/.s.PGSQL.5432' && setpriv --reuid=1 --regid=1 --clear-groups "
	         "psql '%s' -c 'SELECT 1' >/dev/null 2>'%s/refused'",
	         cw_cluster_socket_dir(c), cw_cluster_socket_dir(c), cw_cluster_conninfo(c), root);
	if (geteuid() == 0)
		ck_assert_int_ne(system(command), 0);
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(data_survives_stop_and_start)
{
	struct cw_cluster *c = start_ok(root);
	int64_t from;

	ask(cw_cluster_conninfo(c), "CREATE TABLE t AS SELECT 7 AS x");
	cw_cluster_stop(&c);
	from = cw_clock_mono_us();
	c = start_ok(root);
	printf("start of an initialised cluster: %.0f ms\n", (double)(cw_clock_mono_us() - from) / 1e3);
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT x FROM t"), "7");
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(initdb_works_without_template_and_begins_again)
{
	struct cw_cluster_conf conf = { .dir = root };
	struct cw_err err = { .msg = "" };
	char half[128];

	/* As an interrupted initdb leaves it. */
	snprintf(half, sizeof(half), "%s/data.new", root);
	ck_assert_int_eq(mkdir(half, 0700), 0);
	snprintf(half, sizeof(half), "%s/data.new/PG_VERSION", root);
	close(open(half, O_CREAT | O_WRONLY, 0600));
	int64_t from = cw_clock_mono_us();
	struct cw_cluster *c = cw_cluster_start(&conf, &err);

	ck_assert_msg(c != NULL, "%s", err.msg);
	printf("first start with initdb: %.0f ms\n", (double)(cw_clock_mono_us() - from) / 1e3);
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SHOW shared_buffers"), "128MB");
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SHOW fsync"), "on");
	cw_cluster_stop(&c);
}
END_TEST

/* An engine in a child: starts the cluster, reports the server's process, waits to be killed. */
static pid_t engine_in_child(const char *dir, pid_t *server)
{
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	pid_t engine = fork();

	if (engine == 0) {
		struct cw_err err;
		struct cw_cluster *c = start_in(dir, &err);
		pid_t pid = c != NULL ? cw_cluster_pid(c) : -1;

		if (c == NULL)
			fprintf(stderr, "%s\n", err.msg);
		if (write(pipes[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(pipes[0], server, sizeof(*server)), sizeof(*server));
	close(pipes[0]);
	close(pipes[1]);
	ck_assert_int_gt(*server, 0);
	return engine;
}

START_TEST(server_ends_when_its_engine_is_killed)
{
	pid_t server, engine = engine_in_child(root, &server);

	ck_assert(alive(server));
	kill(engine, SIGKILL);
	waitpid(engine, NULL, 0);
	await_death(server);
}
END_TEST

START_TEST(start_waits_for_the_server_of_a_killed_engine)
{
	pid_t server, engine = engine_in_child(root, &server);

	kill(engine, SIGKILL);
	waitpid(engine, NULL, 0);
	struct cw_cluster *c = start_ok(root);

	ck_assert(!alive(server));
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT 1"), "1");
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(second_engine_on_the_directory_is_refused)
{
	pid_t server, engine = engine_in_child(root, &server);
	struct cw_err err = { .msg = "" };
	char expect[128];

	ck_assert_ptr_null(start_in(root, &err));
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	snprintf(expect, sizeof(expect), "\"%s\" is in use by process %ld", root, (long)engine);
	ck_assert_str_eq(err.msg, expect);
	ck_assert(alive(server));
	kill(engine, SIGKILL);
	waitpid(engine, NULL, 0);
	await_death(server);
}
END_TEST

START_TEST(stale_pid_file_is_no_obstacle)
{
	struct cw_cluster *c = start_ok(root);
	char path[128];
	FILE *f;

	kill(cw_cluster_pid(c), SIGKILL);   /* leaves postmaster.pid */
	cw_cluster_stop(&c);
	snprintf(path, sizeof(path), "%s/data/postmaster.pid", root);
	ck_assert_int_eq(access(path, F_OK), 0);
	c = start_ok(root);
	cw_cluster_stop(&c);
	/* The number belongs to another process by now. */
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%ld\n%s/data\n1700000000\n5432\n/tmp\n\n\nready\n", (long)getpid(), root);
	fclose(f);
	c = start_ok(root);
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT 1"), "1");
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(directory_below_a_closed_parent_works)
{
	char closed[80], dir[128];

	snprintf(closed, sizeof(closed), "%s/closed", root);
	ck_assert_int_eq(mkdir(closed, 0700), 0);
	snprintf(dir, sizeof(dir), "%s/a/b", closed);
	struct cw_cluster *c = start_ok(dir);

	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT 1"), "1");
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "CREATE TABLE t AS SELECT 1 AS x"), "");
	if (geteuid() == 0)
		ck_assert_int_eq(strncmp(cw_cluster_socket_dir(c), "/tmp/cw-", 8), 0);
	cw_cluster_stop(&c);
	c = start_ok(dir);
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT x FROM t"), "1");
	cw_cluster_stop(&c);
	/* initdb itself goes through the open directory, too */
	snprintf(dir, sizeof(dir), "%s/c", closed);
	struct cw_cluster_conf conf = { .dir = dir, .shared_buffers = "16MB", .scratch = true };
	struct cw_err err = { .msg = "" };

	c = cw_cluster_start(&conf, &err);
	ck_assert_msg(c != NULL, "%s", err.msg);
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(long_path_gets_a_short_run_directory)
{
	char dir[256], run[128];
	struct stat st;

	snprintf(dir, sizeof(dir), "%s/%0100d", root, 1);
	struct cw_cluster *c = start_ok(dir);

	snprintf(run, sizeof(run), "%s", cw_cluster_socket_dir(c));
	ck_assert_int_eq(strncmp(run, "/tmp/cw-", 8), 0);
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT 1"), "1");
	cw_cluster_stop(&c);
	ck_assert_int_ne(stat(run, &st), 0);
}
END_TEST

START_TEST(revive_starts_a_dead_server)
{
	struct cw_cluster *c = start_ok(root);
	struct cw_err err = { .msg = "" };
	pid_t first = cw_cluster_pid(c);

	ck_assert_int_eq(cw_cluster_revive(c, &err), 0);
	ck_assert_int_eq(cw_cluster_pid(c), first);
	kill(first, SIGQUIT);
	await_death(first);
	ck_assert_int_eq(cw_cluster_revive(c, &err), 0);
	ck_assert_int_ne(cw_cluster_pid(c), first);
	int64_t deadline = cw_clock_mono_us() + INT64_C(20000000) * slow_factor();

	/* Not twice in a second: called again and again, as the engine does. */
	while (PQping(cw_cluster_conninfo(c)) != PQPING_OK && cw_clock_mono_us() < deadline) {
		ck_assert_int_eq(cw_cluster_revive(c, &err), 0);
		usleep(5000);
	}
	ck_assert_str_eq(ask(cw_cluster_conninfo(c), "SELECT 1"), "1");
	cw_cluster_stop(&c);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
	struct cw_err err = { .msg = "" };
	struct cw_cluster_conf conf = { .dir = root, .bin_dir = "/nonexistent" };
	char path[128];

	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_str_eq(err.msg, "no PostgreSQL server in \"/nonexistent\"");
	conf = (struct cw_cluster_conf){ .dir = "" };
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	conf = (struct cw_cluster_conf){ .dir = root, .scratch = true, .template_dir = template_dir,
		                             .shared_buffers = "much" };
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "invalid value for parameter \"shared_buffers\": \"much\""));
	snprintf(path, sizeof(path), "%s/file", root);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	conf = (struct cw_cluster_conf){ .dir = path };
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "Not a directory"));
	/* of a version that is not there */
	snprintf(path, sizeof(path), "echo 9 > '%s/data/PG_VERSION'", root);
	ck_assert_int_eq(system(path), 0);
	conf = (struct cw_cluster_conf){ .dir = root };
	ck_assert_ptr_null(cw_cluster_start(&conf, &err));
	ck_assert_msg(strstr(err.msg, "was made by PostgreSQL 9, which is not installed") != NULL, "%s", err.msg);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cluster");
	TCase *tc = tcase_create("cluster");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, make_root, drop_root);
	tcase_add_test(tc, first_start_makes_a_database_with_the_settings);
	tcase_add_test(tc, nothing_is_open_to_others);
	tcase_add_test(tc, data_survives_stop_and_start);
	tcase_add_test(tc, initdb_works_without_template_and_begins_again);
	tcase_add_test(tc, server_ends_when_its_engine_is_killed);
	tcase_add_test(tc, start_waits_for_the_server_of_a_killed_engine);
	tcase_add_test(tc, second_engine_on_the_directory_is_refused);
	tcase_add_test(tc, stale_pid_file_is_no_obstacle);
	tcase_add_test(tc, directory_below_a_closed_parent_works);
	tcase_add_test(tc, long_path_gets_a_short_run_directory);
	tcase_add_test(tc, revive_starts_a_dead_server);
	tcase_add_test(tc, what_is_wrong_is_named);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
