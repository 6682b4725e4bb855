#include "support/wire.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "support/slow.h"

struct wire {
	int fd;
	SSL *ssl;
	SSL_CTX *tls;
	struct cw_buf in;        /* received, not yet taken */
	struct cw_buf head, body;
	char header[512];
	bool ended;
};

static void (*pump)(void *arg);
static void *pump_arg;

void wire_set_pump(void (*fn)(void *arg), void *arg)
{
	pump = fn;
	pump_arg = arg;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for `events`, with the pump running; false when the time is over. */
static bool wait_for(int fd, short events, long until)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		long left = until - now_ms();

		if (pump != NULL)
			pump(pump_arg);
		if (fd >= 0 && poll(&p, 1, 0) > 0)
			return true;
		if (left <= 0)
			return false;
		if (pump != NULL)
			poll(NULL, 0, 1);
		else
			poll(&p, fd >= 0 ? 1 : 0, (int)left);
	}
}

void wire_wait(int ms)
{
	wait_for(-1, 0, now_ms() + ms);
}

static socklen_t parse(const char *address, struct sockaddr_storage *sa)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;
	struct sockaddr_in *in4 = (struct sockaddr_in *)sa;
	struct sockaddr_un *un = (struct sockaddr_un *)sa;
	const char *colon = strrchr(address, ':');
	char host[80];

	memset(sa, 0, sizeof(*sa));
	if (strncmp(address, "unix:", 5) == 0) {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", address + 5);
		return sizeof(*un);
	}
	ck_assert_ptr_nonnull(colon);
	if (address[0] == '[') {
		snprintf(host, sizeof(host), "%.*s", (int)(colon - address - 2), address + 1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(colon + 1));
		ck_assert_int_eq(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
		return sizeof(*in6);
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	in4->sin_family = AF_INET;
	in4->sin_port = htons((uint16_t)atoi(colon + 1));
	ck_assert_int_eq(inet_pton(AF_INET, host, &in4->sin_addr), 1);
	return sizeof(*in4);
}

struct wire *wire_open(const char *address)
{
	struct sockaddr_storage sa;
	socklen_t len = parse(address, &sa);
	struct wire *w = cw_zalloc(sizeof(*w));

	w->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(w->fd, 0);
	cw_buf_init(&w->in);
	cw_buf_init(&w->head);
	cw_buf_init(&w->body);
	ck_assert_msg(connect(w->fd, (struct sockaddr *)&sa, len) == 0, "cannot connect to %s: %s", address, strerror(errno));
	fcntl(w->fd, F_SETFL, O_NONBLOCK);
	return w;
}

struct wire *wire_open_tls(const char *address)
{
	struct wire *w = wire_open(address);
	int n;

	w->tls = SSL_CTX_new(TLS_client_method());
	w->ssl = SSL_new(w->tls);
	SSL_set_fd(w->ssl, w->fd);
	while ((n = SSL_connect(w->ssl)) != 1) {
		int why = SSL_get_error(w->ssl, n);

		ck_assert_msg(why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE, "TLS handshake failed");
		ck_assert_msg(wait_for(w->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, now_ms() + WIRE_MS * slow_factor()),
		              "TLS handshake timed out");
	}
	return w;
}

void wire_close(struct wire **wire)
{
	struct wire *w = *wire;

	*wire = NULL;
	if (w == NULL)
		return;
	SSL_free(w->ssl);
	SSL_CTX_free(w->tls);
	close(w->fd);
	cw_buf_release(&w->in);
	cw_buf_release(&w->head);
	cw_buf_release(&w->body);
	cw_free(w);
}

void wire_reset(struct wire **wire)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt((*wire)->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	wire_close(wire);
}

void wire_half_close(struct wire *wire)
{
	if (wire->ssl != NULL)
		SSL_shutdown(wire->ssl);
	shutdown(wire->fd, SHUT_WR);
}

long wire_send(struct wire *wire, const void *bytes, size_t len)
{
	long until = now_ms() + WIRE_MS * slow_factor();
	size_t at = 0;

	while (at < len) {
		ssize_t n = wire->ssl != NULL ? SSL_write(wire->ssl, (const char *)bytes + at, (int)(len - at))
		                              : send(wire->fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (wire->ssl == NULL && errno != EAGAIN)
			return -1;
		else if (!wait_for(wire->fd, POLLOUT, until))
			break;
		if (pump != NULL)
			pump(pump_arg);
	}
	return (long)at;
}

long wire_send_some(struct wire *wire, const void *bytes, size_t len)
{
	ssize_t n = send(wire->fd, bytes, len, MSG_NOSIGNAL);

	return n > 0 ? n : 0;
}

long wire_tls_serial(struct wire *wire)
{
	X509 *cert = SSL_get1_peer_certificate(wire->ssl);
	long serial = ASN1_INTEGER_get(X509_get_serialNumber(cert));

	X509_free(cert);
	return serial;
}

void wire_puts(struct wire *wire, const char *text)
{
	ck_assert_int_eq(wire_send(wire, text, strlen(text)), (long)strlen(text));
}

/* 1: something came, 0: the end, -1: too late. */
static int fill(struct wire *w, long until)
{
	char bytes[16384];

	while (!w->ended) {
		ssize_t n = w->ssl != NULL ? SSL_read(w->ssl, bytes, sizeof(bytes)) : recv(w->fd, bytes, sizeof(bytes), 0);

		if (n > 0) {
			cw_buf_add(&w->in, bytes, (size_t)n);
			return 1;
		}
		if (w->ssl != NULL ? SSL_get_error(w->ssl, (int)n) != SSL_ERROR_WANT_READ : n == 0 || errno != EAGAIN)
			w->ended = true;
		else if (!wait_for(w->fd, POLLIN, until))
			return -1;
	}
	return 0;
}

static void take(struct wire *w, size_t n)
{
	memmove(w->in.data, w->in.data + n, w->in.len - n);
	w->in.len -= n;
	if (w->in.cap > 0)
		w->in.data[w->in.len] = '\0';
}

long wire_raw(struct wire *wire, void *bytes, size_t size, int ms)
{
	if (wire->in.len == 0) {
		int got = fill(wire, now_ms() + ms);

		if (got <= 0)
			return got;
	}
	if (size > wire->in.len)
		size = wire->in.len;
	memcpy(bytes, wire->in.data, size);
	take(wire, size);
	return (long)size;
}

bool wire_ends(struct wire *wire, int ms)
{
	return wire->in.len == 0 && fill(wire, now_ms() + ms) == 0;
}

const char *wire_header(struct wire *wire, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strstr(wire->head.data, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			const char *value = line + n + 1 + strspn(line + n + 1, " ");

			snprintf(wire->header, sizeof(wire->header), "%.*s", (int)strcspn(value, "\r\n"), value);
			return wire->header;
		}
	}
	return NULL;
}

/* More bytes, or the outcome in *reply. */
static bool more(struct wire *w, long until, struct wire_reply *reply)
{
	int got = fill(w, until);

	if (got == 1)
		return true;
	reply->cut = true;
	if (got < 0)
		reply->status = -1;
	else if (w->head.len == 0 && w->in.len == 0)
		reply->status = 0;
	return false;
}

static bool read_chunks(struct wire *w, long until, struct wire_reply *reply)
{
	for (;;) {
		char *eol, *end;
		size_t size;

		while ((eol = strstr(w->in.data, "\r\n")) == NULL)
			if (!more(w, until, reply))
				return false;
		size = strtoul(w->in.data, &end, 16);
		ck_assert_msg(end == eol, "malformed chunk size");
		take(w, (size_t)(eol + 2 - w->in.data));
		while (w->in.len < size + 2)
			if (!more(w, until, reply)) {
				cw_buf_add(&w->body, w->in.data, w->in.len < size ? w->in.len : size);
				return false;
			}
		cw_buf_add(&w->body, w->in.data, size);
		ck_assert_msg(memcmp(w->in.data + size, "\r\n", 2) == 0, "malformed chunk end");
		take(w, size + 2);
		if (size == 0)
			return true;
	}
}

static void read_body(struct wire *w, long until, struct wire_reply *reply)
{
	const char *length = wire_header(w, "content-length"), *coding;
	size_t size;

	if (length != NULL) {
		size = strtoul(length, NULL, 10);
		while (w->in.len < size && more(w, until, reply))
			;
		size = w->in.len < size ? w->in.len : size;
		cw_buf_add(&w->body, w->in.data, size);
		take(w, size);
		return;
	}
	coding = wire_header(w, "transfer-encoding");
	if (coding != NULL) {
		ck_assert_str_eq(coding, "chunked");
		read_chunks(w, until, reply);
		return;
	}
	while (fill(w, until) == 1)
		;
	cw_buf_add(&w->body, w->in.data, w->in.len);
	take(w, w->in.len);
}

struct wire_reply wire_read(struct wire *wire, bool to_head)
{
	struct wire_reply reply = { .head = "", .body = "" };
	long until = now_ms() + WIRE_MS * slow_factor();
	char *end;
	size_t n;

	cw_buf_clear(&wire->head);
	cw_buf_clear(&wire->body);
	while ((end = strstr(wire->in.data, "\r\n\r\n")) == NULL)
		if (!more(wire, until, &reply))
			return reply;
	n = (size_t)(end + 4 - wire->in.data);
	cw_buf_add(&wire->head, wire->in.data, n);
	take(wire, n);
	ck_assert_msg(sscanf(wire->head.data, "HTTP/1.1 %d ", &reply.status) == 1, "malformed status line: %s",
	              wire->head.data);
	if (!to_head && reply.status >= 200 && reply.status != 204 && reply.status != 304)
		read_body(wire, until, &reply);
	reply.head = wire->head.data;
	reply.body = wire->body.data;
	reply.len = wire->body.len;
	return reply;
}
