/* Mail against a server that says what a test tells it to: what goes over the wire, and what comes of every answer. */
#include "http/mail.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "support/slow.h"

static struct cw_loop *loop;
static struct cw_work_pool *work;

/* The server: one connection at a time, on the loop. */
static struct {
	int fd, peer;
	struct cw_watch *watch, *peer_watch;
	char url[64];
	const char *verb, *says;     /* this answer to this command, instead of the usual one */
	struct cw_buf line, commands, data;
	bool in_data;
} server;

static void say(const char *text)
{
	ck_assert_int_eq(write(server.peer, text, strlen(text)), (int)strlen(text));
}

static void obey(const char *line)
{
	cw_buf_printf(&server.commands, "%s\n", line);
	server.in_data = false;
	if (server.verb != NULL && strncmp(line, server.verb, strlen(server.verb)) == 0)
		say(server.says);
	else if (strncmp(line, "EHLO", 4) == 0)
		say("250-test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n");
	else if ((server.in_data = strcmp(line, "DATA") == 0))
		say("354 go on\r\n");
	else
		say(strcmp(line, "QUIT") == 0 ? "221 bye\r\n" : "250 fine\r\n");
}

static void on_line(const char *line)
{
	if (!server.in_data) {
		obey(line);
	} else if (strcmp(line, ".") == 0) {
		server.in_data = false;
		say(server.verb != NULL && strcmp(server.verb, ".") == 0 ? server.says : "250 taken\r\n");
	} else {
		cw_buf_printf(&server.data, "%s\n", line);
	}
}

static void on_peer(void *arg, int fd, int flags)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)arg;
	(void)flags;
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			cw_buf_putc(&server.line, bytes[i]);
			continue;
		}
		ck_assert_msg(server.line.len > 0 && server.line.data[server.line.len - 1] == '\r', "a line without CR");
		server.line.data[--server.line.len] = '\0';
		on_line(server.line.data);
		cw_buf_clear(&server.line);
	}
	if (n <= 0) {
		cw_watch_free(&server.peer_watch);
		close(fd);
	}
}

static void on_connect(void *arg, int fd, int flags)
{
	(void)arg;
	(void)flags;
	server.peer = accept(fd, NULL, NULL);
	ck_assert_int_ge(server.peer, 0);
	server.peer_watch = cw_watch_new(loop, server.peer, on_peer, NULL);
	cw_watch_set(server.peer_watch, CW_WATCH_READ);
	say(server.verb != NULL && strcmp(server.verb, "") == 0 ? server.says : "220 test ESMTP\r\n");
}

static void up(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	loop = cw_loop_new();
	work = cw_work_pool_new(loop, 1, 2);
	memset(&server, 0, sizeof(server));
	server.line = server.commands = server.data = (struct cw_buf)CW_BUF_INIT;
	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server.fd, (struct sockaddr *)(void *)&address, size), 0);
	ck_assert_int_eq(listen(server.fd, 8), 0);
	ck_assert_int_eq(getsockname(server.fd, (struct sockaddr *)(void *)&address, &size), 0);
	snprintf(server.url, sizeof(server.url), "smtp://127.0.0.1:%d", ntohs(address.sin_port));
	server.watch = cw_watch_new(loop, server.fd, on_connect, NULL);
	cw_watch_set(server.watch, CW_WATCH_READ);
}

static void down(void)
{
	cw_work_pool_free(&work);
	cw_watch_free(&server.watch);
	cw_watch_free(&server.peer_watch);
	close(server.fd);
	cw_buf_release(&server.line);
	cw_buf_release(&server.commands);
	cw_buf_release(&server.data);
	cw_loop_free(&loop);
}

struct outcome { int told; struct cw_err err; };

static void note(void *arg, const struct cw_err *err)
{
	struct outcome *o = arg;

	o->told++;
	o->err.code = CW_OK;
	if (err != NULL)
		o->err = *err;
}

static const char *const receivers[] = { "soc@example.org", "duty@example.org" };

static struct cw_mail_message plain(void)
{
	return (struct cw_mail_message){ .url = server.url, .from = "cw@example.org", .to = receivers, .nto = 2,
		                             .subject = "an alert", .text = "one\ntwo", .timeout_ms = 5000 };
}

static struct outcome send_mail(const struct cw_mail_message *m)
{
	int64_t until = cw_clock_mono_us() + INT64_C(10000000) * slow_factor();
	struct outcome o = { 0 };
	struct cw_err err;
	struct cw_mail *mail = cw_mail_send(work, m, note, &o, &err);

	ck_assert_msg(mail != NULL, "%s", err.msg);
	ck_assert_int_eq(o.told, 0);
	while (o.told == 0 && cw_clock_mono_us() < until) {
		cw_loop_poll(loop);
		usleep(200);
	}
	ck_assert_int_eq(o.told, 1);
	return o;
}

START_TEST(message_arrives_whole)
{
	struct cw_mail_message m = plain();
	struct outcome o;

	m.text = "one\n.\n..two\r\nthree\rfour\n";
	o = send_mail(&m);
	ck_assert_msg(o.err.code == CW_OK, "%s", o.err.msg);
	ck_assert_ptr_nonnull(strstr(server.commands.data, "MAIL FROM:<cw@example.org>"));
	ck_assert_ptr_nonnull(strstr(server.commands.data, "RCPT TO:<soc@example.org>"));
	ck_assert_ptr_nonnull(strstr(server.commands.data, "RCPT TO:<duty@example.org>"));
	ck_assert_int_eq(strncmp(server.data.data, "Date: ", 6), 0);
	ck_assert_ptr_nonnull(strstr(server.data.data, "\nFrom: <cw@example.org>\nTo: <soc@example.org>,\n <duty@example.org>\n"
	                                               "Subject: an alert\n"));
	/* Dots are doubled on the way (RFC 5321, 4.5.2); a CR alone does not pass. */
	ck_assert_ptr_nonnull(strstr(server.data.data, "\n\none\n..\n...two\nthreefour\n"));
}
END_TEST

/* The words of the subject, decoded and put together. */
static const char *read_subject(void)
{
	static char out[1024];
	const char *at = strstr(server.data.data, "Subject: ");
	size_t n = 0;

	ck_assert_ptr_nonnull(at);
	for (at += 9; strncmp(at, "=?UTF-8?B?", 10) == 0; at = at[2] == '\n' ? at + 4 : at + 2) {
		const char *line_end = strchr(at, '\n');
		size_t got = 0;

		ck_assert_msg(line_end - at <= 75, "a word of %td characters", line_end - at);
		ck_assert_int_eq(sodium_base642bin((unsigned char *)out + n, sizeof(out) - n, at + 10, (size_t)(strstr(at + 10, "?=") - at) - 10,
		                                   NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
		n += got;
		ck_assert_msg(at[10] != '\0' && ((unsigned char)out[n - got] & 0xc0) != 0x80, "a word begins within a character");
		at = strstr(at + 10, "?=");
		if (at[2] != '\n' || at[3] != ' ')
			break;
	}
	out[n] = '\0';
	return out;
}

START_TEST(subject_is_one_header_whatever_it_holds)
{
	static const char *const subjects[] = {
		"Überweisung", "a\r\nBcc: thief@example.org\r\n\r\nfree text", "tab\there", "\x7f",
		"長い件名長い件名長い件名長い件名長い件名長い件名長い件名長い件名長い件名長い件名",
		("12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		 "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"),
	};
	struct cw_mail_message m = plain();

	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		cw_buf_clear(&server.data);
		m.subject = subjects[i];
		ck_assert_int_eq(send_mail(&m).err.code, CW_OK);
		ck_assert_str_eq(read_subject(), subjects[i]);
		ck_assert_ptr_null(strstr(server.data.data, "\nBcc:"));
	}
}
END_TEST

START_TEST(refusals_tell_whether_to_try_again)
{
	static const struct { const char *verb, *says; enum cw_code code; const char *words; } cases[] = {
		{ "", "554 not you\r\n", CW_ERR_INVALID, "the server said 554" },
		{ "", "421 too busy\r\n", CW_ERR_BUSY, "the server said 421" },
		{ "MAIL", "451 later\r\n", CW_ERR_BUSY, "the server said 451" },
		{ "MAIL", "550 never\r\n", CW_ERR_INVALID, "the server said 550" },
		{ "RCPT TO:<duty", "550 who?\r\n", CW_ERR_INVALID, "the server said 550" },
		{ "DATA", "554 no\r\n", CW_ERR_INVALID, "the server said 554" },
		{ ".", "552 too large\r\n", CW_ERR_INVALID, "the server said 552" },
		{ ".", "452 disk full\r\n", CW_ERR_BUSY, "the server said 452" },
	};
	struct cw_mail_message m = plain();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct outcome o;

		server.verb = cases[i].verb;
		server.says = cases[i].says;
		o = send_mail(&m);
		ck_assert_msg(o.err.code == cases[i].code, "%zu: %d %s", i, o.err.code, o.err.msg);
		ck_assert_msg(strstr(o.err.msg, cases[i].words) != NULL, "%zu: %s", i, o.err.msg);
	}
}
END_TEST

START_TEST(password_does_not_go_out_in_the_clear)
{
	struct cw_mail_message m = plain();
	struct outcome o;

	m.user = "engine";
	m.password = "correct horse";
	o = send_mail(&m);
	ck_assert_int_eq(o.err.code, CW_ERR_BUSY);
	ck_assert_ptr_null(strstr(o.err.msg, "correct horse"));
	ck_assert_ptr_null(strstr(server.commands.data, "AUTH"));
	ck_assert_ptr_null(strstr(server.commands.data, "MAIL"));
	m.password = NULL;
	m.user = "";
	ck_assert_int_eq(send_mail(&m).err.code, CW_OK);
}
END_TEST

START_TEST(nobody_there_and_no_answer_in_time)
{
	struct cw_mail_message m = plain();
	struct outcome o;

	m.timeout_ms = 200;
	server.verb = "";
	server.says = "";              /* no greeting */
	o = send_mail(&m);
	ck_assert_int_eq(o.err.code, CW_ERR_BUSY);
	ck_assert_ptr_null(strstr(o.err.msg, "the server said"));
	cw_watch_free(&server.watch);
	close(server.fd);
	server.fd = -1;
	m.timeout_ms = 5000;
	o = send_mail(&m);
	ck_assert_int_eq(o.err.code, CW_ERR_BUSY);
	ck_assert_ptr_nonnull(strstr(o.err.msg, "could not send mail"));
}
END_TEST

START_TEST(what_is_no_mail_is_refused_at_once)
{
	static const char *const addresses[] = {
		"", "nobody", "@example.org", "a@", "a b@example.org", "a@example.org\r\nRCPT TO:<b@example.org>", "<a@example.org>",
		"a@b>c", "a,b@example.org", "a\\b@example.org", "a@example\x7f",
		"a@12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		"123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		"2345678901234567890123456789012345678901234567890",
	};
	const char *many[CW_MAIL_TO_MAX + 1], *one[1];
	struct cw_mail_message m, good = plain();
	struct cw_err err;

#define REFUSED(words) \
	ck_assert_msg(cw_mail_send(work, &m, note, NULL, &err) == NULL && err.code == CW_ERR_INVALID && \
	              strstr(err.msg, words) != NULL, "%s", err.msg)
	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		m = good;
		m.from = addresses[i];
		REFUSED("\"from\" is no address");
		m = good;
		one[0] = addresses[i];
		m.to = one;
		m.nto = 1;
		REFUSED("is no address");
	}
	m = good;
	m.from = NULL;
	REFUSED("\"from\" is no address");
	m = good;
	m.nto = 0;
	REFUSED("nobody to send it to");
	for (int i = 0; i <= CW_MAIL_TO_MAX; i++)
		many[i] = "a@example.org";
	m = good;
	m.to = many;
	m.nto = CW_MAIL_TO_MAX + 1;
	REFUSED("at most 32");
	m = good;
	m.subject = NULL;
	REFUSED("subject and text");
	m = good;
	m.text = NULL;
	REFUSED("subject and text");
	m = good;
	m.url = NULL;
	REFUSED("smtp://");
	m.url = "http://127.0.0.1";
	REFUSED("smtp://");
	m.url = "smtps:";
	REFUSED("smtp://");
}
END_TEST

/* One is held up by a server that does not greet; two wait; a fourth is too many. */
START_TEST(queue_has_a_bound_and_an_end)
{
	struct cw_mail_message m = plain();
	struct outcome o[4] = { { 0 } };
	struct cw_mail *mail[3];
	struct cw_err err;

	m.timeout_ms = 300;
	server.verb = "";
	server.says = "";
	mail[0] = cw_mail_send(work, &m, note, &o[0], &err);
	while (server.peer_watch == NULL)
		cw_loop_poll(loop);
	for (int i = 1; i < 3; i++) {
		mail[i] = cw_mail_send(work, &m, note, &o[i], &err);
		ck_assert_ptr_nonnull(mail[i]);
	}
	ck_assert_ptr_null(cw_mail_send(work, &m, note, &o[3], &err));
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	cw_mail_forget(&mail[2]);
	ck_assert_ptr_null(mail[2]);
	cw_mail_forget(&mail[2]);
	cw_work_pool_free(&work);      /* waits for the first, answers the others */
	ck_assert_int_eq(o[0].told, 1);
	ck_assert_int_eq(o[1].told, 1);
	ck_assert_int_eq(o[1].err.code, CW_ERR_CANCELLED);
	ck_assert_int_eq(o[2].told, 0);
	ck_assert_int_eq(o[3].told, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mail");
	TCase *tc = tcase_create("mail");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, message_arrives_whole);
	tcase_add_test(tc, subject_is_one_header_whatever_it_holds);
	tcase_add_test(tc, refusals_tell_whether_to_try_again);
	tcase_add_test(tc, password_does_not_go_out_in_the_clear);
	tcase_add_test(tc, nobody_there_and_no_answer_in_time);
	tcase_add_test(tc, what_is_no_mail_is_refused_at_once);
	tcase_add_test(tc, queue_has_a_bound_and_an_end);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
