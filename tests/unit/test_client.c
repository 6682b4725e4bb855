/* The outgoing HTTP client against the engine's own server and against a server that says what a test tells it to. */
#include "http/client.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "support/httpd.h"
#include "support/slow.h"

static struct cw_httpc *client;
static char url[256];

/* What came of a call. */
struct outcome {
	int told, status;
	enum cw_code code;
	char body[256], message[512], type[64];
	size_t len;
	int64_t retry_after_ms;
};

static void note(void *arg, const struct cw_httpc_answer *answer, const struct cw_err *err)
{
	struct outcome *o = arg;

	o->told++;
	if (err != NULL) {
		o->code = err->code;
		snprintf(o->message, sizeof(o->message), "%s", err->msg);
		return;
	}
	o->status = answer->status;
	o->len = answer->len;
	o->retry_after_ms = answer->retry_after_ms;
	snprintf(o->body, sizeof(o->body), "%s", answer->body);
	snprintf(o->type, sizeof(o->type), "%s", answer->content_type);
}

static void pump_until(const int *told, int n)
{
	int64_t until = cw_clock_mono_us() + INT64_C(5000000) * slow_factor();

	while (*told < n && cw_clock_mono_us() < until) {
		cw_loop_poll(httpd.loop);
		usleep(200);
	}
	ck_assert_int_eq(*told, n);
}

static const char *at(const char *path)
{
	snprintf(url, sizeof(url), "http://%s%s", httpd.address, path);
	return url;
}

static struct cw_httpc_call *start(struct outcome *o, const struct cw_httpc_request *r)
{
	struct cw_err err;
	struct cw_httpc_call *call;

	memset(o, 0, sizeof(*o));
	call = cw_httpc_start(client, r, note, o, &err);
	ck_assert_msg(call != NULL, "%s", err.msg);
	ck_assert_int_eq(o->told, 0);
	return call;
}

static struct outcome get(const char *path)
{
	struct cw_httpc_request r = { .url = at(path) };
	struct outcome o;

	start(&o, &r);
	pump_until(&o.told, 1);
	return o;
}

static void up(void)
{
	httpd_up(NULL);
	client = cw_httpc_new(httpd.loop, NULL);
}

static void down(void)
{
	if (client != NULL)
		ck_assert_int_eq(cw_httpc_busy(client), 0);
	cw_httpc_free(&client);
	httpd_down();
	cw_metrics_free();
}

START_TEST(gets_and_posts)
{
	const char *const headers[] = { "Content-Type: application/json", "X-Thing: 1" };
	struct cw_httpc_request r = { .url = at("/echo"), .body = "{\"a\":1}", .len = 7, .headers = headers, .nheaders = 2 };
	struct outcome o = get("/hello");

	r.url = at("/echo");
	ck_assert_int_eq(o.status, 200);
	ck_assert_str_eq(o.body, "hello");
	ck_assert_str_eq(o.type, "text/plain");
	ck_assert_int_eq((int)o.retry_after_ms, -1);
	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_str_eq(o.body, "{\"a\":1}");
	o = get("/nothing/here");
	ck_assert_int_eq(o.status, 404);
	ck_assert_int_eq(o.code, CW_OK);
	r = (struct cw_httpc_request){ .url = at("/hello"), .method = "HEAD" };
	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.status, 200);
	ck_assert_uint_eq(o.len, 0);
}
END_TEST

static char method_seen[16], agent_seen[64];

static void note_request(void *arg, struct cw_request *req)
{
	struct cw_slice agent = cw_request_header(req, "user-agent");

	(void)arg;
	snprintf(method_seen, sizeof(method_seen), "%s", cw_method_name(req->head->method));
	snprintf(agent_seen, sizeof(agent_seen), "%.*s", (int)agent.len, agent.p);
	cw_reply_send(req, 200, NULL, req->body, req->body_len);
}

START_TEST(methods_and_settings_go_out_as_given)
{
	static const struct { const char *method, *body, *seen; } cases[] = {
		{ NULL, NULL, "GET" }, { NULL, "{}", "POST" }, { "POST", NULL, "POST" }, { "PUT", "{}", "PUT" }, { "PATCH", "{}", "PATCH" },
		{ "DELETE", NULL, "DELETE" }, { "GET", NULL, "GET" },
	};
	static const struct cw_httpc_conf conf = { .host_connections = 1, .idle_connections = 1, .user_agent = "something else" };
	struct outcome o;

	for (unsigned bit = CW_METHOD_GET; bit <= CW_METHOD_DELETE; bit <<= 1)
		if (bit != CW_METHOD_HEAD)
			httpd_route((enum cw_method)bit, "/method", 0, note_request);
	cw_httpc_free(&client);
	client = cw_httpc_new(httpd.loop, &conf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_httpc_request r = { .url = at("/method"), .method = cases[i].method, .body = cases[i].body, .connect_ms = 2000 };

		r.len = r.body != NULL ? strlen(r.body) : 0;
		start(&o, &r);
		pump_until(&o.told, 1);
		ck_assert_msg(o.status == 200, "%zu: %s", i, o.message);
		ck_assert_str_eq(method_seen, cases[i].seen);
		ck_assert_str_eq(o.body, cases[i].body != NULL ? cases[i].body : "");
		ck_assert_str_eq(o.type, "");
		ck_assert_str_eq(agent_seen, "something else");
	}
	httpd_wait_connections(1);
}
END_TEST

/* Both are complete and would be told at the end of this turn. */
START_TEST(free_between_an_answer_and_its_telling)
{
	struct cw_httpc_request r = { .url = at("/park") };
	struct outcome o[2];

	start(&o[0], &r);
	start(&o[1], &r);
	httpd_wait_parked(2);
	httpd_answer(0, "a");
	httpd_answer(1, "b");
	for (int i = 0; i < 200 && o[0].told + o[1].told == 0; i++)
		cw_loop_poll(httpd.loop);
	cw_httpc_free(&client);
	for (int i = 0; i < 20; i++)
		cw_loop_poll(httpd.loop);
	ck_assert_int_le(o[0].told, 1);
	ck_assert_int_le(o[1].told, 1);
}
END_TEST

START_TEST(connection_is_used_again)
{
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(get("/hello").status, 200);
	httpd_wait_connections(1);
}
END_TEST

START_TEST(answer_that_is_too_large_is_given_up)
{
	struct cw_httpc_request r = { .url = at("/text?n=100000"), .max_bytes = 99999 };
	struct outcome o;

	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(o.message, "is larger than 99999 bytes"));
	r.url = at("/text?n=99999");
	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_uint_eq(o.len, 99999);
}
END_TEST

START_TEST(where_only_the_status_counts_a_long_body_is_cut)
{
	struct cw_httpc_request r = { .url = at("/text?n=100000"), .max_bytes = 1000, .cut = true };
	struct outcome o;

	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_OK);
	ck_assert_int_eq(o.status, 200);
	ck_assert_uint_eq(o.len, 1000);
	r.url = at("/park");             /* and one that never comes is none */
	r.deadline_ms = 100;
	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_TIMEOUT);
	httpd_wait_aborted(1);
}
END_TEST

START_TEST(deadline_ends_a_call)
{
	struct cw_httpc_request r = { .url = at("/park"), .deadline_ms = 100 };
	struct outcome o;

	start(&o, &r);
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_TIMEOUT);
	httpd_wait_aborted(1);
}
END_TEST

START_TEST(cancelled_call_is_not_told)
{
	struct cw_httpc_request r = { .url = at("/park") };
	struct cw_httpc_call *call;
	struct outcome o, other;

	call = start(&o, &r);
	httpd_wait_parked(1);
	cw_httpc_cancel(&call);
	ck_assert_ptr_null(call);
	httpd_wait_aborted(1);
	other = get("/hello");
	ck_assert_int_eq(other.status, 200);
	ck_assert_int_eq(o.told, 0);
}
END_TEST

/* The first of two that are told in one turn cancels the second. */
static struct cw_httpc_call *second;
static int chain_told;

static void cancel_second(void *arg, const struct cw_httpc_answer *answer, const struct cw_err *err)
{
	(void)arg;
	ck_assert_ptr_null(err);
	ck_assert_int_eq(answer->status, 200);
	chain_told++;
	cw_httpc_cancel(&second);
}

START_TEST(callback_may_cancel_another)
{
	struct cw_httpc_request r = { .url = at("/park") };
	struct cw_err err;
	struct outcome o;

	chain_told = 0;
	ck_assert_ptr_nonnull(cw_httpc_start(client, &r, cancel_second, NULL, &err));
	second = start(&o, &r);
	httpd_wait_parked(2);
	httpd_answer(0, "a");
	httpd_answer(1, "b");
	pump_until(&chain_told, 1);
	for (int i = 0; i < 50; i++)
		cw_loop_poll(httpd.loop);
	ck_assert_int_eq(o.told, 0);
}
END_TEST

START_TEST(free_cancels_everything)
{
	struct cw_httpc_request r = { .url = at("/park") };
	struct outcome o;

	start(&o, &r);
	httpd_wait_parked(1);
	cw_httpc_free(&client);
	httpd_wait_aborted(1);
	ck_assert_int_eq(o.told, 0);
}
END_TEST

START_TEST(what_cannot_be_called_is_refused_at_once)
{
	static const char *const urls[] = { "", "nothing", "/path", "ftp://host/", "file:///etc/passwd", "http://", "gopher://x",
		                                "http://a b/", "https://", "javascript:1" };
	static const char *const bad[][1] = { { "X: 1\r\nY: 2" }, { "X: 1\nY" }, { "no colon" }, { ": no name" }, { "" } };
	struct cw_httpc_request r = { .url = "http://127.0.0.1/" };
	struct cw_httpc_call *none = NULL;
	struct cw_err err;

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		ck_assert_msg(cw_httpc_check_url(urls[i], &err) == -1 && err.code == CW_ERR_INVALID, "%s", urls[i]);
		ck_assert_ptr_null(cw_httpc_start(client, &(struct cw_httpc_request){ .url = urls[i] }, note, NULL, &err));
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
	}
	ck_assert_int_eq(cw_httpc_check_url("https://user:pass@node.example:8545/v3/key?x=1", &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		r.headers = bad[i];
		r.nheaders = 1;
		ck_assert_ptr_null(cw_httpc_start(client, &r, note, NULL, &err));
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_ptr_nonnull(strstr(err.msg, "header 1 is not"));
	}
	cw_httpc_cancel(&none);
}
END_TEST

START_TEST(label_hides_what_may_be_secret)
{
	char label[64];

	cw_httpc_label("https://user:pass@node.example:8545/v3/key?x=1", label, sizeof(label));
	ck_assert_str_eq(label, "https://node.example:8545");
	cw_httpc_label("http://[::1]/x", label, sizeof(label));
	ck_assert_str_eq(label, "http://[::1]");
	cw_httpc_label("nonsense", label, sizeof(label));
	ck_assert_str_eq(label, "?");
}
END_TEST

static bool special(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return cw_httpc_is_special((struct sockaddr *)(void *)&v4);
	ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return cw_httpc_is_special((struct sockaddr *)(void *)&v6);
}

START_TEST(special_addresses)
{
	static const char *const no[] = {
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.168.1.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
		"255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "fe80::1", "fc00::1",
		"fd12::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "2002:a00:1::", "::7f00:1",
	};
	static const char *const yes[] = { "1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111",
		                               "2a00:1450::1", "2001:200::1", "2001:d00::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:4860::1" };

	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		ck_assert_msg(special(no[i]), "%s", no[i]);
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		ck_assert_msg(!special(yes[i]), "%s", yes[i]);
	ck_assert(cw_httpc_is_special(&(struct sockaddr){ .sa_family = AF_UNIX }));   /* what is no internet address */
}
END_TEST

START_TEST(guard_refuses_private_addresses)
{
	static const struct cw_httpc_conf guarded = { .public_only = true };
	char by_name[256];
	struct outcome o;

	cw_httpc_free(&client);
	client = cw_httpc_new(httpd.loop, &guarded);
	o = get("/hello");
	ck_assert_int_eq(o.code, CW_ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(o.message, "private or special"));
	/* The name, too: what counts is what it resolves to. */
	snprintf(by_name, sizeof(by_name), "http://localhost%s/hello", strchr(httpd.address, ':'));
	start(&o, &(struct cw_httpc_request){ .url = by_name });
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_DENIED);
	/* Decimal and hexadecimal spellings are addresses as well. */
	snprintf(by_name, sizeof(by_name), "http://0x7f000001%s/hello", strchr(httpd.address, ':'));
	start(&o, &(struct cw_httpc_request){ .url = by_name });
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_DENIED);
}
END_TEST

/* --- a server that says what it is told to --- */

static const char *canned;
static int canned_fd;
static struct cw_watch *canned_watch, *peer_watch;

/* The whole request is there: it is small. */
static void on_peer(void *arg, int fd, int flags)
{
	char request[4096];

	(void)arg;
	(void)flags;
	if (read(fd, request, sizeof(request)) > 0)
		ck_assert_int_eq(write(fd, canned, strlen(canned)), (int)strlen(canned));
	cw_watch_free(&peer_watch);
	close(fd);
}

static void on_canned(void *arg, int fd, int flags)
{
	int peer = accept(fd, NULL, NULL);

	(void)arg;
	(void)flags;
	ck_assert_int_ge(peer, 0);
	ck_assert_ptr_null(peer_watch);
	peer_watch = cw_watch_new(httpd.loop, peer, on_peer, NULL);
	cw_watch_set(peer_watch, CW_WATCH_READ);
}

static bool only_status;

static struct outcome ask_canned(const char *answer)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	struct outcome o;

	canned = answer;
	canned_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(canned_fd, (struct sockaddr *)(void *)&address, size), 0);
	ck_assert_int_eq(listen(canned_fd, 8), 0);
	ck_assert_int_eq(getsockname(canned_fd, (struct sockaddr *)(void *)&address, &size), 0);
	canned_watch = cw_watch_new(httpd.loop, canned_fd, on_canned, NULL);
	cw_watch_set(canned_watch, CW_WATCH_READ);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/secret/path", ntohs(address.sin_port));
	start(&o, &(struct cw_httpc_request){ .url = url, .cut = only_status });
	pump_until(&o.told, 1);
	cw_watch_free(&canned_watch);
	close(canned_fd);
	return o;
}

START_TEST(retry_after_is_read)
{
	struct outcome o = ask_canned("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");

	ck_assert_int_eq(o.status, 429);
	ck_assert_int_eq((int)o.retry_after_ms, 7000);
	o = ask_canned("HTTP/1.1 503 No\r\nretry-after:  Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, 0);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, -1);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, 86400000);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, 0);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After: 7 \r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, 7000);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After: 7s\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, -1);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After:\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, -1);
	o = ask_canned("HTTP/1.1 503 No\r\nRetry-After: 00000000000000000000000000000000000000000000000000000000000000000000000000"
	               "0000007\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq((int)o.retry_after_ms, 0);        /* of a value so long only the beginning is read */
}
END_TEST

START_TEST(broken_answers_are_errors)
{
	static const struct { const char *answer; enum cw_code code; } cases[] = {
		{ "", CW_ERR_BUSY },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", CW_ERR_BUSY },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", CW_ERR_BUSY },
		{ "SSH-2.0-OpenSSH\r\n", CW_ERR_INVALID },
		{ "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", CW_ERR_INVALID },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct outcome o = ask_canned(cases[i].answer);

		ck_assert_msg(o.code == cases[i].code, "%zu: %d %s (status %d)", i, o.code, o.message, o.status);
		ck_assert_ptr_null(strstr(o.message, "secret"));
	}
}
END_TEST

START_TEST(where_only_the_status_counts_a_broken_body_is_cut)
{
	static const struct { const char *answer; int status; } cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", 200 },
		{ "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 503 },
		{ "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 200 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-More: 1\r\n", 0 },       /* headers without an end */
		{ "HTTP/1.1 100 Continue\r\n\r\n", 0 }, { "", 0 },
	};

	only_status = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct outcome o = ask_canned(cases[i].answer);

		ck_assert_msg(o.status == cases[i].status && (o.code == CW_OK) == (o.status != 0), "%zu: %d %s (status %d)", i, o.code,
		              o.message, o.status);
	}
	only_status = false;
}
END_TEST

START_TEST(redirects_are_answers)
{
	struct outcome o = ask_canned("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");

	ck_assert_int_eq(o.status, 302);
}
END_TEST

START_TEST(nobody_there_is_an_error)
{
	struct outcome o;

	ask_canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");     /* its port is free again */
	start(&o, &(struct cw_httpc_request){ .url = url });
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_BUSY);
	ck_assert_ptr_nonnull(strstr(o.message, "could not call"));
}
END_TEST

START_TEST(certificate_that_nobody_vouches_for_is_refused)
{
	struct cw_server_conf conf = httpd_conf();
	char dir[] = "/tmp/cw-client-XXXXXX", cert[64], key[64], command[512];
	struct outcome o;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/c.pem", dir);
	snprintf(key, sizeof(key), "%s/k.pem", dir);
	snprintf(command, sizeof(command), "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s "
	         "-out %s -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null", key, cert);
	ck_assert_int_eq(system(command), 0);
	cw_httpc_free(&client);
	httpd_down();
	conf.tls_cert = cert;
	conf.tls_key = key;
	httpd_up(&conf);
	client = cw_httpc_new(httpd.loop, NULL);
	snprintf(url, sizeof(url), "https://localhost%s/hello", strchr(httpd.address, ':'));
	start(&o, &(struct cw_httpc_request){ .url = url });
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_BUSY);
	ck_assert_ptr_nonnull(strstr(o.message, "certificate"));
	cw_httpc_free(&client);
	client = cw_httpc_new(httpd.loop, &(struct cw_httpc_conf){ .ca_file = cert });
	start(&o, &(struct cw_httpc_request){ .url = url });
	pump_until(&o.told, 1);
	ck_assert_msg(o.status == 200, "%s", o.message);
	/* Vouched for, but for another name. */
	snprintf(url, sizeof(url), "https://127.0.0.1%s/hello", strchr(httpd.address, ':'));
	start(&o, &(struct cw_httpc_request){ .url = url });
	pump_until(&o.told, 1);
	ck_assert_int_eq(o.code, CW_ERR_BUSY);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *tc = tcase_create("client");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, gets_and_posts);
	tcase_add_test(tc, methods_and_settings_go_out_as_given);
	tcase_add_test(tc, free_between_an_answer_and_its_telling);
	tcase_add_test(tc, connection_is_used_again);
	tcase_add_test(tc, answer_that_is_too_large_is_given_up);
	tcase_add_test(tc, where_only_the_status_counts_a_long_body_is_cut);
	tcase_add_test(tc, deadline_ends_a_call);
	tcase_add_test(tc, cancelled_call_is_not_told);
	tcase_add_test(tc, callback_may_cancel_another);
	tcase_add_test(tc, free_cancels_everything);
	tcase_add_test(tc, what_cannot_be_called_is_refused_at_once);
	tcase_add_test(tc, label_hides_what_may_be_secret);
	tcase_add_test(tc, special_addresses);
	tcase_add_test(tc, guard_refuses_private_addresses);
	tcase_add_test(tc, retry_after_is_read);
	tcase_add_test(tc, broken_answers_are_errors);
	tcase_add_test(tc, where_only_the_status_counts_a_broken_body_is_cut);
	tcase_add_test(tc, redirects_are_answers);
	tcase_add_test(tc, nobody_there_is_an_error);
	tcase_add_test(tc, certificate_that_nobody_vouches_for_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
