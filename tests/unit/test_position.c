/* What is kept between two runs of the program: the position of a backtest, and what an engine notes of itself. */
#include "app/position.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "app/client.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define GOOD "{\"seq\":12,\"alerts_bytes\":340,\"transactions\":900,\"warmed\":10,\"faults\":0,\"first\":1700000000," \
             "\"last\":-5,\"cpu_us\":77,\"wall_us\":99}\n"

START_TEST(a_position_comes_back_as_it_was)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf out = CW_BUF_INIT;
	struct cw_position at;
	struct cw_err err;

	ck_assert_int_eq(cw_position_read(&at, GOOD, strlen(GOOD), arena, &err), 0);
	ck_assert_int_eq(at.alerts_bytes, 340);
	ck_assert_int_eq(at.last_s, -5);
	cw_position_put(&at, &out);
	ck_assert_str_eq(out.data, GOOD);
	cw_buf_release(&out);
	cw_arena_free(&arena);
}
END_TEST

static const struct { const char *from, *to, *says; } damages[] = {
	{ "\"seq\":12,", "", "\"seq\" is not" }, { "12", "0", "\"seq\" is not" }, { "340", "-1", "\"alerts_bytes\" is not" },
	{ "340", "1e300", "\"alerts_bytes\" is not" }, { "340", "3.5", "\"alerts_bytes\" is not" },
	{ "340", "\"340\"", "\"alerts_bytes\" is not" }, { "340", "9007199254740993", "\"alerts_bytes\" is not" },
	{ "99}", "99", "line" }, { "{", "[", "line" },
};

START_TEST(a_damaged_position_is_none)
{
	struct cw_arena *arena = cw_arena_new();
	const char *found = strstr(GOOD, damages[_i].from);
	struct cw_position at;
	struct cw_err err;
	char text[512];

	snprintf(text, sizeof(text), "%.*s%s%s", (int)(found - GOOD), GOOD, damages[_i].to, found + strlen(damages[_i].from));
	ck_assert_int_eq(cw_position_read(&at, text, strlen(text), arena, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_msg(strncmp(err.msg, damages[_i].says, strlen(damages[_i].says)) == 0, "%s", err.msg);
	ck_assert_int_eq(cw_position_read(&at, "[1]", 3, arena, &err), -1);
	cw_arena_free(&arena);
}
END_TEST

static const struct { const char *text; int pid; const char *address; } notes[] = {
	{ "123\n127.0.0.1:8080\n", 123, "127.0.0.1:8080" }, { "123\nunix:/run/cw.sock\n", 123, "unix:/run/cw.sock" },
	{ "", 0, "" }, { "123", 0, "" }, { "123\n", 0, "" }, { "123\n\n", 0, "" }, { "123\n127.0.0.1:8080", 0, "" },
	{ "-1\n127.0.0.1:8080\n", 0, "" }, { "0\n127.0.0.1:8080\n", 0, "" }, { "1\n127.0.0.1:8080\n", 0, "" },
	{ "99999999999999999999\na:1\n", 0, "" }, { "4294967297\na:1\n", 0, "" }, { " 5\na:1\n", 0, "" }, { "5x\na:1\n", 0, "" },
	{ "5\na b\n", 0, "" }, { "5\na\r\n", 0, "" }, { "x\ny\n", 0, "" },
};

START_TEST(what_an_engine_notes_is_read_whole_or_not_at_all)
{
	char dir[] = "/tmp/cwnotedXXXXXX", path[64], address[64];
	pid_t pid;
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert(!cw_engine_running(dir, address, sizeof(address), &pid));
	snprintf(path, sizeof(path), "%s/engine.pid", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, notes[_i].text, strlen(notes[_i].text)), (ssize_t)strlen(notes[_i].text));
	ck_assert(!cw_engine_running(dir, address, sizeof(address), &pid));   /* left by one that is gone */
	ck_assert_int_eq(pid, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert(cw_engine_running(dir, address, sizeof(address), &pid));
	ck_assert_int_eq(pid, notes[_i].pid);
	ck_assert_str_eq(address, notes[_i].address);
	ck_assert(cw_engine_running(dir, address, 4, &pid));
	ck_assert_int_eq(pid, 0);                                             /* an address that does not fit */
	close(fd);
	unlink(path);
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("position");
	TCase *tc = tcase_create("position");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, a_position_comes_back_as_it_was);
	tcase_add_loop_test(tc, a_damaged_position_is_none, 0, sizeof(damages) / sizeof(*damages));
	tcase_add_loop_test(tc, what_an_engine_notes_is_read_whole_or_not_at_all, 0, sizeof(notes) / sizeof(*notes));
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
