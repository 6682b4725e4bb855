/* Where a server comes to its limits: settings, connections, descriptors, certificates; and clients that go on long. */
#include "http/server.h"

#include <check.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "support/http_case.h"

/* ---- settings ---- */

START_TEST(settings_that_make_no_sense)
{
	struct cw_server_conf bad[32];
	struct cw_server *server;
	struct cw_err err;
	int n = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		bad[i] = conf;
	bad[n++].head_ms = 0;
	bad[n++].body_ms = -1;
	bad[n++].idle_ms = 0;
	bad[n++].write_ms = 0;
	bad[n++].reply_ms = 0;
	bad[n++].half_close_ms = 0;
	bad[n++].linger_ms = 0;
	bad[n++].max_connections = 0;
	bad[n++].pipeline_max = 0;
	bad[n++].limits.request_line = 63;
	bad[n++].limits.headers = 63;
	bad[n++].limits.header_count = 0;
	bad[n++].tls_cert = "/a.pem";
	bad[n++].tls_key = "/a.pem";
	httpd_up(&conf);
	for (int i = 0; i < n; i++) {
		server = cw_server_new(httpd.loop, &bad[i], &err);
		ck_assert_msg(server == NULL, "%d", i);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_int_eq(cw_server_reconfigure(httpd.server, &bad[i], &err), -1);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
	}
}
END_TEST

START_TEST(addresses_that_can_be_had)
{
	static const struct { const char *listen, *bound, *remote; } cases[] = {
		{ "localhost:0", "127.0.0.1:", "127.0.0.1" }, { "[::1]:0", "[::1]:", "::1" }, { "*:0", "[::]:", "127.0.0.1" },
		{ ":0", "[::]:", "127.0.0.1" },
	};
	char address[96];
	struct wire *w;

	conf.listen = cases[_i].listen;
	httpd_up(&conf);
	ck_assert_int_eq(strncmp(httpd.address, cases[_i].bound, strlen(cases[_i].bound)), 0);
	snprintf(address, sizeof(address), _i == 1 ? "[%s]%s" : "%s%s", cases[_i].remote, strrchr(httpd.address, ':'));
	w = wire_open(address);
	wire_puts(w, GET("/park"));
	httpd_wait_parked(1);
	ck_assert_str_eq(httpd.parked[0]->remote, cases[_i].remote);   /* IPv4 as such, also through an IPv6 socket */
	httpd_answer(0, "x");
	expect(w, 200, "x");
	wire_close(&w);
}
END_TEST

START_TEST(addresses_that_cannot_be_had)
{
	struct cw_server_conf second = conf;
	char taken[64], file[80], path[64];
	struct cw_err err;
	struct stat st;

	conf.listen = ":0";
	httpd_up(&conf);
	snprintf(taken, sizeof(taken), "%s", strrchr(httpd.address, ':'));
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(file, sizeof(file), "unix:%s", path);
	fclose(fopen(path, "w"));
	const char *const bad[] = { taken, file, "unix:/nowhere/at/all", "[zz]:0", "[::1:0", "192.0.2.1:0" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		second.listen = bad[i];
		ck_assert_msg(cw_server_new(httpd.loop, &second, &err) == NULL, "%s", bad[i]);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_msg(strstr(err.msg, bad[i]) != NULL, "%s does not name \"%s\"", err.msg, bad[i]);
	}
	ck_assert_int_eq(stat(path, &st), 0);   /* what is no socket is not removed */
}
END_TEST

/* ---- connections ---- */

START_TEST(connections_of_one_address_are_bounded)
{
	struct wire *w[3];

	conf.address_connections = 2;
	httpd_up(&conf);
	for (int i = 0; i < 2; i++) {
		w[i] = wire_open(httpd.address);
		wire_puts(w[i], GET("/hello"));
		expect(w[i], 200, "hello");
	}
	w[2] = wire_open(httpd.address);
	expect(w[2], 503, NULL);
	ck_assert_str_eq(wire_header(w[2], "retry-after"), "1");
	ck_assert(wire_ends(w[2], WIRE_MS));
	ck_assert_uint_eq(cw_server_stats(httpd.server).refused, 1);
	wire_close(&w[2]);
	wire_close(&w[0]);
	httpd_wait_connections(1);
	w[0] = wire_open(httpd.address);
	wire_puts(w[0], GET("/hello"));
	expect(w[0], 200, "hello");
	wire_close(&w[0]);
	wire_close(&w[1]);
}
END_TEST

START_TEST(far_too_many_connections_are_closed_without_a_word)
{
	enum { MANY = 100 };
	struct wire *w[MANY];
	int told = 0, closed = 0;

	conf.max_connections = 1;
	httpd_up(&conf);
	for (int i = 0; i < MANY; i++)
		w[i] = wire_open(httpd.address);
	wire_puts(w[0], GET("/hello"));
	expect(w[0], 200, "hello");
	for (int i = 1; i < MANY; i++) {
		struct wire_reply r = wire_read(w[i], false);

		ck_assert_msg(r.status == 503 || r.status == 0, "%d", r.status);
		told += r.status == 503;
		closed += r.status == 0;
	}
	ck_assert_msg(told > 0 && closed > 0, "%d told, %d closed", told, closed);
	ck_assert_uint_eq(cw_server_stats(httpd.server).refused, MANY - 1);
	for (int i = 0; i < MANY; i++)
		wire_close(&w[i]);
}
END_TEST

/* ---- descriptors ---- */

static struct rlimit limit_before;

static int take_descriptors(int fds[], int n)
{
	struct rlimit limit;
	int taken = 0, highest = dup(0);

	close(highest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
	limit = limit_before;
	limit.rlim_cur = (rlim_t)highest + 8;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (taken < n && (fds[taken] = dup(0)) >= 0)
		taken++;
	return taken;
}

static void give_descriptors(const int fds[], int n)
{
	while (n > 0)
		close(fds[--n]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

START_TEST(a_lack_of_descriptors_passes)
{
	struct cw_server_conf second = conf;
	int fds[64], n;
	struct cw_err err;
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);     /* the kernel has it; the server has not taken it yet */
	wire_puts(w, "GET /hello HTTP/1.1\r\n");
	n = take_descriptors(fds, 64);
	for (int i = 0; i < 20; i++)
		cw_loop_poll(httpd.loop);
	ck_assert_int_le(cw_server_stats(httpd.server).connections, 1);
	ck_assert_ptr_null(cw_server_new(httpd.loop, &second, &err));
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not open a socket"));
	give_descriptors(fds, n);
	wire_puts(w, H "\r\n");
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

/* The server's own descriptor is the one that is missing: it tries again by itself. */
START_TEST(accepting_is_tried_again)
{
	int fds[64], n;
	struct wire *w;

	httpd_up(&conf);
	w = wire_open(httpd.address);
	n = take_descriptors(fds, 64);
	wire_wait(30);
	ck_assert_int_eq(cw_server_stats(httpd.server).connections, 0);
	ck_assert_uint_eq(cw_server_stats(httpd.server).accepted, 0);
	give_descriptors(fds, n);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_close(&w);
}
END_TEST

/* ---- clients that go on long ---- */

/* More than the kernel holds: replies are made while the client reads, each once, in order. */
START_TEST(many_large_replies_on_one_connection)
{
	enum { MANY = 60, SIZE = 300000 };
	struct wire *w;

	conf.pipeline_max = MANY;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	for (int i = 0; i < MANY; i++)
		wire_puts(w, GET("/text?n=300000"));
	for (int i = 0; i < MANY; i++) {
		struct wire_reply r = wire_read(w, false);

		ck_assert_int_eq(r.status, 200);
		ck_assert_uint_eq(r.len, SIZE);
	}
	wire_close(&w);
}
END_TEST

/* Its input is not read, for the pipeline is full: that it has gone shows when its answer is written. */
START_TEST(a_client_may_be_gone_when_it_is_answered)
{
	struct wire *w;

	conf.pipeline_max = 1;
	httpd_up(&conf);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park") GET("/hello"));
	httpd_wait_parked(1);
	wire_reset(&w);
	wire_wait(10);
	ck_assert_int_eq(cw_server_stats(httpd.server).connections, 1);
	httpd_answer(0, "too late");
	httpd_wait_connections(0);
	ck_assert_int_eq(httpd.naborted, 0);
}
END_TEST

static struct cw_request *held;

static bool hold(void *arg, struct cw_request *req)
{
	(void)arg;
	held = req;
	return false;
}

START_TEST(a_half_closed_client_waits_for_the_gate)
{
	struct wire *w;

	httpd_up(&conf);
	cw_server_set_gate(httpd.server, hold, NULL);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	wire_half_close(w);
	wire_wait(20);
	ck_assert_ptr_nonnull(held);
	cw_request_proceed(held);
	expect(w, 200, "hello");
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

static bool refuse_hello(void *arg, struct cw_request *req)
{
	(void)arg;
	if (strcmp(req->path, "/hello") != 0)
		return true;
	cw_reply_problem(req, &(struct cw_problem){ .status = 401, .code = "unauthorized" });
	return false;
}

/* The second has been refused when its chunks turn out to be damaged: that is what is told, but not before the first. */
START_TEST(damage_behind_a_refusal_is_told_in_order)
{
	struct wire *w;

	httpd_up(&conf);
	cw_server_set_gate(httpd.server, refuse_hello, NULL);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/park") "GET /hello HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	httpd_wait_parked(1);
	wire_puts(w, "zz\r\n" GET("/hello"));
	wire_wait(20);
	httpd_answer(0, "first");
	expect(w, 200, "first");
	expect(w, 400, NULL);
	ck_assert(wire_ends(w, WIRE_MS));
	wire_close(&w);
}
END_TEST

/* Chunks that do not come are not awaited for long. */
START_TEST(a_refusal_does_not_wait_for_ever)
{
	struct wire *w;

	httpd_up(&conf);
	cw_server_set_gate(httpd.server, refuse_hello, NULL);
	w = wire_open(httpd.address);
	wire_puts(w, "GET /hello HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nab");
	expect(w, 401, NULL);
	wire_puts(w, "c\r\n0\r\n\r\n" GET("/item/7"));
	expect(w, 200, "7");
	wire_close(&w);
}
END_TEST

/* ---- the access log ---- */

START_TEST(requests_are_logged_unless_the_route_says_no)
{
	char path[64], text[4096];
	struct wire *w;
	FILE *f;
	size_t n;

	conf.access_log = true;
	httpd_up(&conf);
	httpd_route(CW_METHOD_GET, "/quiet", CW_ROUTE_NO_ACCESS_LOG, httpd_park);
	snprintf(path, sizeof(path), "%s/log", dir);
	fflush(stderr);
	int keep = dup(2), fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	dup2(fd, 2);
	cw_log_set_level(NULL, CW_LOG_INFO);
	w = wire_open(httpd.address);
	wire_puts(w, GET("/hello"));
	expect(w, 200, "hello");
	wire_puts(w, GET("/quiet"));
	httpd_wait_parked(1);
	httpd_answer(0, "x");
	expect(w, 200, "x");
	wire_puts(w, "nonsense\r\n\r\n");
	expect(w, 400, NULL);
	wire_close(&w);
	cw_log_set_level(NULL, CW_LOG_OFF);
	dup2(keep, 2);
	close(keep);
	close(fd);
	f = fopen(path, "r");
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	ck_assert_msg(strstr(text, "method=GET path=\"/hello\" status=200 bytes=5") != NULL, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "path=\"-\" status=400"));
	ck_assert_ptr_null(strstr(text, "/quiet"));
}
END_TEST

/* ---- TLS ---- */

static void make_certificate(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	char path[64];
	FILE *f;

	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	snprintf(path, sizeof(path), "%s/%s.crt", dir, name);
	f = fopen(path, "w");
	PEM_write_X509(f, cert);
	fclose(f);
	snprintf(path, sizeof(path), "%s/%s.key", dir, name);
	f = fopen(path, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void use_certificate(struct cw_server_conf *c, const char *cert, const char *key)
{
	static char certs[2][64];

	snprintf(certs[0], sizeof(certs[0]), "%s/%s", dir, cert);
	snprintf(certs[1], sizeof(certs[1]), "%s/%s", dir, key);
	c->tls_cert = certs[0];
	c->tls_key = certs[1];
}

START_TEST(certificates_that_cannot_be_used)
{
	static const struct { const char *cert, *key, *words; } cases[] = {
		{ "missing.crt", "a.key", "missing.crt\": No such file" }, { "a.crt", "missing.key", "missing.key\": No such file" },
		{ "nonsense", "a.key", "nonsense\"" }, { "a.crt", "nonsense", "nonsense\"" }, { "a.crt", "b.key", "b.key\"" },
		{ "a.key", "a.crt", "a.key\"" },
	};
	char path[64];
	struct cw_err err;
	FILE *f;

	make_certificate("a");
	make_certificate("b");
	snprintf(path, sizeof(path), "%s/nonsense", dir);
	f = fopen(path, "w");
	fputs("-----BEGIN CERTIFICATE-----\nAAAA\n", f);
	fclose(f);
	httpd_up(&conf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_server_conf bad = conf;

		use_certificate(&bad, cases[i].cert, cases[i].key);
		ck_assert_ptr_null(cw_server_new(httpd.loop, &bad, &err));
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_msg(strstr(err.msg, cases[i].words) != NULL, "%zu: %s", i, err.msg);
		ck_assert_int_eq(cw_server_reconfigure(httpd.server, &bad, &err), -1);
	}
}
END_TEST

START_TEST(only_http_1_is_agreed_on)
{
	static const struct { const char *offered; unsigned len; const char *agreed; } cases[] = {
		{ "\x02h2\x08http/1.1", 12, "http/1.1" }, { "\x02h2", 3, "" },
	};

	make_certificate("a");
	use_certificate(&conf, "a.crt", "a.key");
	httpd_up(&conf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
		struct wire *w = wire_open(httpd.address);
		SSL *ssl = SSL_new(tls);
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		const unsigned char *agreed = NULL;
		char bytes[8192];
		unsigned len = 0;
		long n;

		SSL_set_bio(ssl, in, out);
		ck_assert_int_eq(SSL_set_alpn_protos(ssl, (const unsigned char *)cases[i].offered, cases[i].len), 0);
		while (SSL_connect(ssl) != 1) {
			if ((n = BIO_read(out, bytes, sizeof(bytes))) > 0)
				ck_assert_int_eq(wire_send(w, bytes, (size_t)n), n);
			n = wire_raw(w, bytes, sizeof(bytes), WIRE_MS);
			ck_assert_int_gt(n, 0);
			BIO_write(in, bytes, (int)n);
		}
		SSL_get0_alpn_selected(ssl, &agreed, &len);
		ck_assert_uint_eq(len, strlen(cases[i].agreed));
		ck_assert_int_eq(memcmp(len > 0 ? (const char *)agreed : "", cases[i].agreed, len), 0);
		SSL_free(ssl);
		SSL_CTX_free(tls);
		wire_close(&w);
	}
}
END_TEST

/* Eight megabytes to a client that begins to read late, and says goodbye by TLS's own message. */
START_TEST(a_slow_client_is_served_over_tls)
{
	struct wire_reply r;
	struct wire *w;

	make_certificate("a");
	use_certificate(&conf, "a.crt", "a.key");
	httpd_up(&conf);
	w = wire_open_tls(httpd.address);
	wire_puts(w, GET("/text?n=8000000"));
	wire_wait(50);
	r = wire_read(w, false);
	ck_assert_int_eq(r.status, 200);
	ck_assert_uint_eq(r.len, 8000000);
	wire_half_close(w);
	ck_assert(wire_ends(w, WIRE_MS));
	httpd_wait_connections(0);
	wire_close(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http limits");
	TCase *tc = tcase_create("limits");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, settings_that_make_no_sense);
	tcase_add_loop_test(tc, addresses_that_can_be_had, 0, 4);
	tcase_add_test(tc, addresses_that_cannot_be_had);
	tcase_add_test(tc, connections_of_one_address_are_bounded);
	tcase_add_test(tc, far_too_many_connections_are_closed_without_a_word);
	tcase_add_test(tc, a_lack_of_descriptors_passes);
	tcase_add_test(tc, accepting_is_tried_again);
	tcase_add_test(tc, many_large_replies_on_one_connection);
	tcase_add_test(tc, a_client_may_be_gone_when_it_is_answered);
	tcase_add_test(tc, a_half_closed_client_waits_for_the_gate);
	tcase_add_test(tc, damage_behind_a_refusal_is_told_in_order);
	tcase_add_test(tc, a_refusal_does_not_wait_for_ever);
	tcase_add_test(tc, requests_are_logged_unless_the_route_says_no);
	tcase_add_test(tc, certificates_that_cannot_be_used);
	tcase_add_test(tc, only_http_1_is_agreed_on);
	tcase_add_test(tc, a_slow_client_is_served_over_tls);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
