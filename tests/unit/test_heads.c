/* Announcements of new blocks: a server in a child process that says what a test wants it to. */
#include "source/heads.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "loop/loop.h"
#include "source/ws.h"
#include "support/slow.h"

#define EVENT "{\"method\":\"eth_subscription\",\"params\":{}}"

static const char event[] = EVENT;
static struct cw_loop *loop;
static struct cw_heads *heads;
static int announced;
static pid_t child;
static char url[64];

static void on_head(void *arg)
{
	(void)arg;
	announced++;
}

/* --- the other side --- */

static void say(int fd, const void *bytes, size_t len)
{
	if (write(fd, bytes, len) != (ssize_t)len)
		_exit(1);
}

static void say_frame(int fd, unsigned first, const char *text)
{
	unsigned char head[2] = { (unsigned char)first, (unsigned char)strlen(text) };

	say(fd, head, 2);
	say(fd, text, strlen(text));
}

static void read_head(int fd, char *key)
{
	char text[2048];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
		text[len] = '\0';
		if (strstr(text, "\r\n\r\n") != NULL)
			break;
	}
	if (strstr(text, "Upgrade: websocket\r\n") == NULL || strstr(text, "Sec-WebSocket-Key: ") == NULL)
		_exit(2);
	snprintf(key, 25, "%.24s", strstr(text, "Sec-WebSocket-Key: ") + 19);
}

static void accept_upgrade(int fd, const char *key)
{
	char want[29], text[256];

	cw_ws_accept(key, want);
	snprintf(text, sizeof(text), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSEC-WEBSOCKET-ACCEPT:  %s\r\n\r\n", want);
	say(fd, text, strlen(text));
}

/* Reads one small masked frame; its opcode, and the payload. */
static unsigned read_frame(int fd, char *payload)
{
	unsigned char head[6], byte;
	unsigned len;

	if (recv(fd, head, 2, MSG_WAITALL) != 2 || (head[1] & 0x80) == 0 || recv(fd, head + 2, 4, MSG_WAITALL) != 4)
		_exit(3);
	len = head[1] & 0x7f;
	for (unsigned i = 0; i < len; i++) {
		if (recv(fd, &byte, 1, MSG_WAITALL) != 1)
			_exit(3);
		payload[i] = (char)(byte ^ head[2 + i % 4]);
	}
	payload[len] = '\0';
	return head[0] & 0x0f;
}

enum way { GOOD = 0, NO_UPGRADE, WRONG_KEY, ENDLESS_HEAD, CLOSES, MASKED, TOO_LONG, HANGS_UP, CONTROL_SPLIT };

static void serve(int fd, enum way way)
{
	char key[25], text[256];

	read_head(fd, key);
	switch (way) {
	case NO_UPGRADE:
		say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45);
		return;
	case WRONG_KEY:
		accept_upgrade(fd, "AAAAAAAAAAAAAAAAAAAAAA==");
		return;
	case ENDLESS_HEAD:
		for (int i = 0; i < 2000; i++)
			if (write(fd, "X-More: 1234567890\r\n", 20) < 0)
				return;
		return;
	default:
		break;
	}
	accept_upgrade(fd, key);
	if (read_frame(fd, text) != CW_WS_TEXT || strstr(text, "\"newHeads\"") == NULL)
		_exit(4);
	say_frame(fd, 0x81, "{\"id\":1,\"result\":\"0x9\"}");
	say_frame(fd, 0x81, EVENT);
	if (way == CLOSES)
		say_frame(fd, 0x88, "");
	else if (way == MASKED)
		say(fd, "\x81\x81mask7", 7);
	else if (way == TOO_LONG)
		say(fd, "\x81\x7f\0\0\0\1\0\0\0\0", 10);
	else if (way == CONTROL_SPLIT)
		say(fd, "\x09\x00", 2);
	if (way != GOOD)
		return;
	say_frame(fd, 0x89, "are you there");       /* ping: the same comes back */
	if (read_frame(fd, text) != CW_WS_PONG || strcmp(text, "are you there") != 0)
		_exit(5);
	say(fd, "\x81", 1);                         /* a frame in pieces */
	usleep(20000);
	say(fd, "\x29", 1);
	say(fd, event, 20);
	usleep(20000);
	say(fd, &event[20], strlen(event) - 20);
	say_frame(fd, 0x82, "binary");
	say_frame(fd, 0x81, EVENT);
	pause();
}

static void start(enum way way)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct cw_err err;

	ck_assert_int_eq(bind(fd, (struct sockaddr *)(void *)&address, size), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)(void *)&address, &size), 0);
	child = fork();
	if (child == 0) {
		signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int peer = accept(fd, NULL, NULL);

			serve(peer, way);
			close(peer);
		}
	}
	close(fd);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%d/x", ntohs(address.sin_port));
	heads = cw_heads_new(loop, "dev", url, on_head, NULL, &err);
	ck_assert_msg(heads != NULL, "%s", err.msg);
}

static void turn_until(int n)
{
	int64_t until = cw_clock_mono_us() + INT64_C(10000000) * slow_factor();

	while (announced < n && cw_clock_mono_us() < until)
		cw_loop_poll(loop);
	ck_assert_int_ge(announced, n);
}

static void up(void)
{
	cw_log_set_level(NULL, CW_LOG_OFF);
	loop = cw_loop_new();
	announced = 0;
	child = 0;
}

static void down(void)
{
	int status = 0;

	cw_heads_free(&heads);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		ck_assert_msg(WIFSIGNALED(status), "the server has seen what it did not expect: %d", WEXITSTATUS(status));
	}
	cw_loop_free(&loop);
}

START_TEST(announcements_come_and_pings_are_answered)
{
	start(GOOD);
	ck_assert(!cw_heads_up(heads));
	turn_until(3);
	ck_assert(cw_heads_up(heads));
	ck_assert_uint_eq(cw_heads_seen(heads), 3);
}
END_TEST

/* It connects again, half a second later: the first announcement of the second connection is the second. */
START_TEST(a_connection_that_ends_is_made_again)
{
	static const enum way ways[] = { CLOSES, MASKED, TOO_LONG, HANGS_UP, CONTROL_SPLIT };

	start(ways[_i]);
	turn_until(2);
}
END_TEST

START_TEST(what_is_no_upgrade_is_no_connection)
{
	static const enum way ways[] = { NO_UPGRADE, WRONG_KEY, ENDLESS_HEAD };
	int64_t until = cw_clock_mono_us() + 700000;

	start(ways[_i]);
	while (cw_clock_mono_us() < until) {
		cw_loop_poll(loop);
		ck_assert(!cw_heads_up(heads));
	}
	ck_assert_uint_eq(cw_heads_seen(heads), 0);
}
END_TEST

static const struct { const char *url; bool good; } urls[] = {
	{ "ws://h", true }, { "ws://h/", true }, { "wss://h:8546/path?key=1", true }, { "ws://[::1]:8546/x", true }, { "ws://[::1]", true },
	{ "http://h", false }, { "ws://", false }, { "ws:///x", false }, { "ws://:8546", false }, { "ws://h:0", false },
	{ "ws://h:65536", false }, { "ws://h:port", false }, { "ws://user@h", false }, { "ws://h/a b", false }, { "ws://h/\r\nX: y", false },
	{ "", false }, { "ws", false },
};

START_TEST(urls_are_checked)
{
	struct cw_err err;

	ck_assert_msg((cw_heads_check_url(urls[_i].url, &err) == 0) == urls[_i].good, "%s", urls[_i].url);
	if (!urls[_i].good)
		ck_assert_ptr_null(cw_heads_new(loop, "dev", urls[_i].url, on_head, NULL, &err));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heads");
	TCase *tc = tcase_create("heads");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, announcements_come_and_pings_are_answered);
	tcase_add_loop_test(tc, a_connection_that_ends_is_made_again, 0, 5);
	tcase_add_loop_test(tc, what_is_no_upgrade_is_no_connection, 0, 3);
	tcase_add_loop_test(tc, urls_are_checked, 0, (int)(sizeof(urls) / sizeof(*urls)));
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
