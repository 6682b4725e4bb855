#include "source/heads.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "source/ws.h"

#define HEADS_MAGIC 0x48454144u      /* "HEAD" */
#define HEAD_MAX 16384               /* bytes of the answer to the upgrade */
#define ANSWER_MS 10000              /* connect and upgrade */
#define SILENCE_S 60                 /* then a ping, and with no answer to it the end */
#define AGAIN_MAX_MS 30000

static const char subscribe[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_subscribe\",\"params\":[\"newHeads\"]}";

enum state { DOWN = 0, CONNECTING, UPGRADING, OPEN };

struct place {
	bool tls;
	char host[256], path[512];
	int port;
};

struct cw_heads {
	uint32_t magic;
	struct cw_loop *loop;
	char *source;
	struct place place;
	cw_heads_fn *fn;
	void *arg;
	enum state state;
	struct bufferevent *bev;
	struct evdns_base *dns;
	SSL_CTX *tls;
	struct cw_timer *timer;          /* DOWN: connect again; CONNECTING, UPGRADING: too late */
	int failures;
	bool pinged, complained;
	char key[25];
	uint64_t seen;
};

/* --- the URL --- */

static int read_url(struct place *p, const char *url, struct cw_err *err)
{
	const char *at, *slash, *colon;
	size_t len;

	memset(p, 0, sizeof(*p));
	if (strncmp(url, "ws://", 5) == 0)
		at = url + 5;
	else if (strncmp(url, "wss://", 6) == 0)
		at = url + 6;
	else
		return cw_err_set(err, CW_ERR_INVALID, "must be a ws:// or wss:// URL");
	p->tls = url[2] == 's';
	p->port = p->tls ? 443 : 80;
	slash = strchr(at, '/');
	snprintf(p->path, sizeof(p->path), "%s", slash != NULL ? slash : "/");
	len = slash != NULL ? (size_t)(slash - at) : strlen(at);
	if (len == 0 || len >= sizeof(p->host) || strlen(slash != NULL ? slash : "/") >= sizeof(p->path))
		return cw_err_set(err, CW_ERR_INVALID, "has no host, or is too long");
	for (const char *c = url; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == '@' || *c == 0x7f)
			return cw_err_set(err, CW_ERR_INVALID, "has a character that does not belong there");
	memcpy(p->host, at, len);
	colon = strrchr(p->host, ':');
	if (colon != NULL && strchr(colon, ']') == NULL) {
		p->port = atoi(colon + 1);
		p->host[colon - p->host] = '\0';
	}
	if (p->port < 1 || p->port > 65535 || p->host[0] == '\0')
		return cw_err_set(err, CW_ERR_INVALID, "has no host or no such port");
	return 0;
}

int cw_heads_check_url(const char *url, struct cw_err *err)
{
	struct place place;

	return read_url(&place, url, err);
}

/* --- the connection --- */

static void drop(struct cw_heads *h, const char *why)
{
	int64_t again_ms = (int64_t)500 << (h->failures < 6 ? h->failures : 6);
	char quoted[300];

	if (!h->complained)
		cw_log(CW_LOG_WARN, "source", "new blocks are not announced, polling goes on", "source=%s reason=%s", h->source,
		       cw_log_quote(quoted, sizeof(quoted), why));
	h->complained = true;
	h->failures++;
	if (h->bev != NULL)
		bufferevent_free(h->bev);
	h->bev = NULL;
	h->state = DOWN;
	cw_timer_set(h->timer, again_ms < AGAIN_MAX_MS ? again_ms : AGAIN_MAX_MS);
}

static void write_frame(struct cw_heads *h, enum cw_ws_opcode opcode, const void *payload, size_t len)
{
	struct cw_buf frame = CW_BUF_INIT;
	uint8_t mask[4];

	randombytes_buf(mask, sizeof(mask));
	cw_ws_write(&frame, opcode, payload, len, mask);
	bufferevent_write(h->bev, frame.data, frame.len);
	cw_buf_release(&frame);
}

static void upgrade(struct cw_heads *h)
{
	uint8_t nonce[16];
	const struct place *p = &h->place;
	bool normal = p->port == (p->tls ? 443 : 80);
	char port[16] = "";

	randombytes_buf(nonce, sizeof(nonce));
	sodium_bin2base64(h->key, sizeof(h->key), nonce, sizeof(nonce), sodium_base64_VARIANT_ORIGINAL);
	if (!normal)
		snprintf(port, sizeof(port), ":%d", p->port);
	evbuffer_add_printf(bufferevent_get_output(h->bev), "GET %s HTTP/1.1\r\nHost: %s%s\r\nUpgrade: websocket\r\n"
	                    "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", p->path, p->host,
	                    port, h->key);
	h->state = UPGRADING;
}

/* Value of a header in the text of an answer, or NULL; `len` without spaces. */
static const char *header(const char *head, const char *name, size_t *len)
{
	for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		size_t n = strlen(name);

		line += 2;
		if (strncasecmp(line, name, n) != 0 || line[n] != ':')
			continue;
		line += n + 1;
		while (*line == ' ')
			line++;
		*len = strcspn(line, "\r");
		return line;
	}
	return NULL;
}

/* True when the answer is there and says yes. */
static bool read_upgrade(struct cw_heads *h, struct evbuffer *in)
{
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	char want[29], head[HEAD_MAX + 1];
	const char *accept;
	size_t len;

	if (end.pos < 0 || end.pos > HEAD_MAX - 4) {
		if (end.pos >= 0 || evbuffer_get_length(in) > HEAD_MAX)
			drop(h, "the answer to the upgrade is too long");
		return false;
	}
	len = (size_t)end.pos + 4;
	evbuffer_remove(in, head, len);
	head[len] = '\0';
	accept = header(head, "sec-websocket-accept", &len);
	cw_ws_accept(h->key, want);
	if (strncmp(head, "HTTP/1.1 101 ", 13) != 0 || accept == NULL || len != strlen(want) ||
	    strncmp(accept, want, len) != 0) {
		drop(h, "the node does not speak WebSocket there");
		return false;
	}
	return true;
}

static void on_frame(struct cw_heads *h, const struct cw_ws_frame *frame)
{
	switch (frame->opcode) {
	case CW_WS_PING:
		write_frame(h, CW_WS_PONG, frame->payload, frame->len);
		return;
	case CW_WS_TEXT:
		/* The answer to the subscription has no method. */
		if (memmem(frame->payload, frame->len, "eth_subscription", 16) == NULL)
			return;
		h->seen++;
		h->fn(h->arg);
		return;
	case CW_WS_CLOSE:
		drop(h, "the node has closed the connection");
		return;
	case CW_WS_CONTINUATION:
	case CW_WS_BINARY:
	case CW_WS_PONG:
		return;
	}
}

static void read_frames(struct cw_heads *h)
{
	struct evbuffer *in = bufferevent_get_input(h->bev);
	struct cw_ws_frame frame;
	struct cw_err err;
	size_t consumed;

	while (h->state == OPEN && evbuffer_get_length(in) > 0) {
		size_t len = evbuffer_get_length(in);
		int rc = cw_ws_read(evbuffer_pullup(in, (ev_ssize_t)len), len, &frame, &consumed, &err);

		if (rc == 0)
			return;
		if (rc < 0) {
			drop(h, err.msg);
			return;
		}
		on_frame(h, &frame);
		if (h->state == OPEN)
			evbuffer_drain(in, consumed);
	}
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct cw_heads *h = CW_CAST(arg, HEADS_MAGIC);
	struct timeval silence = { .tv_sec = SILENCE_S };

	h->pinged = false;
	if (h->state == UPGRADING) {
		if (!read_upgrade(h, bufferevent_get_input(bev)))
			return;
		h->state = OPEN;
		h->failures = 0;
		cw_timer_clear(h->timer);
		bufferevent_set_timeouts(bev, &silence, NULL);
		write_frame(h, CW_WS_TEXT, subscribe, sizeof(subscribe) - 1);
		cw_log(CW_LOG_INFO, "source", "new blocks are announced", "source=%s", h->source);
		h->complained = false;
	}
	if (h->state == OPEN)
		read_frames(h);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct cw_heads *h = CW_CAST(arg, HEADS_MAGIC);

	if ((what & BEV_EVENT_CONNECTED) != 0) {
		upgrade(h);
	} else if ((what & BEV_EVENT_TIMEOUT) != 0 && h->state == OPEN && !h->pinged) {
		h->pinged = true;
		bufferevent_enable(bev, EV_READ);
		write_frame(h, CW_WS_PING, "", 0);
	} else {
		drop(h, h->state == CONNECTING ? "could not connect" : "the connection broke");
	}
}

static void connect_now(struct cw_heads *h)
{
	struct event_base *base = cw_loop_base(h->loop);
	const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	SSL *ssl = h->tls != NULL ? SSL_new(h->tls) : NULL;
	char name[sizeof(h->place.host)];

	if (ssl != NULL) {
		SSL_set_tlsext_host_name(ssl, h->place.host);
		SSL_set1_host(ssl, h->place.host);
		h->bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_CONNECTING, options);
	} else {
		h->bev = bufferevent_socket_new(base, -1, options);
	}
	/* An IPv6 address stands in brackets in a URL, and only there. */
	snprintf(name, sizeof(name), "%s", h->place.host + (h->place.host[0] == '['));
	name[strcspn(name, "]")] = '\0';
	h->state = CONNECTING;
	cw_timer_set(h->timer, ANSWER_MS);
	bufferevent_setcb(h->bev, on_read, NULL, on_event, h);
	bufferevent_enable(h->bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect_hostname(h->bev, h->dns, AF_UNSPEC, name, h->place.port) != 0)
		drop(h, "could not connect");
}

static void on_timer(void *arg)
{
	struct cw_heads *h = CW_CAST(arg, HEADS_MAGIC);

	if (h->state == DOWN)
		connect_now(h);
	else
		drop(h, "the node does not answer");
}

struct cw_heads *cw_heads_new(struct cw_loop *loop, const char *source, const char *url, cw_heads_fn *fn, void *arg,
                              struct cw_err *err)
{
	struct cw_heads *h = cw_zalloc(sizeof(*h));

	if (read_url(&h->place, url, err) != 0) {
		cw_free(h);
		return NULL;
	}
	h->magic = HEADS_MAGIC;
	h->loop = loop;
	h->source = cw_strdup(source);
	h->fn = fn;
	h->arg = arg;
	h->timer = cw_timer_new(loop, on_timer, h);
	h->dns = evdns_base_new(cw_loop_base(loop), EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (h->dns == NULL)              /* no name servers: addresses still work */
		h->dns = evdns_base_new(cw_loop_base(loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (h->place.tls) {
		h->tls = SSL_CTX_new(TLS_client_method());
		cw_assert(h->tls != NULL && SSL_CTX_set_default_verify_paths(h->tls) == 1);
		SSL_CTX_set_verify(h->tls, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_min_proto_version(h->tls, TLS1_2_VERSION);
	}
	cw_timer_set(h->timer, 0);
	return h;
}

void cw_heads_free(struct cw_heads **heads)
{
	struct cw_heads *h = *heads;

	*heads = NULL;
	if (h == NULL)
		return;
	if (h->bev != NULL)
		bufferevent_free(h->bev);
	if (h->dns != NULL)
		evdns_base_free(h->dns, 0);
	SSL_CTX_free(h->tls);
	cw_timer_free(&h->timer);
	cw_free(h->source);
	cw_free(h);
}

bool cw_heads_up(const struct cw_heads *heads)
{
	return heads->state == OPEN;
}

uint64_t cw_heads_seen(const struct cw_heads *heads)
{
	return heads->seen;
}
