/* A connection: bytes in, bytes out, clocks. What the bytes mean is exchange.c's.
 *
 * Plain read and write on the descriptor and not libevent's bufferevents: a request of 60 bytes and its reply of 250
 * cost more in evbuffer chains, locks and callbacks than in parsing, and a limit on what is read ahead, half-closed
 * clients and lingering need the descriptor anyway. TLS sits behind the same two calls. */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/exchange.h"
#include "http/tls.h"
#include "loop/loop.h"

#define STRIDE 65536               /* of a stream: as much has to move within the time */
#define LINGER_BYTES (4 << 20)     /* read and dropped at most, so that a client learns why its upload was refused */
#define ROUNDS 16                  /* of parsing and writing before others get their turn; */
#define TURN_BYTES 65536           /* or so much written */

static int64_t in_ms(int64_t ms)
{
	return cw_clock_mono_us() + ms * 1000;
}

/* The one that is being read, unless nothing of it has come but an empty line. */
static struct cw_exchange *being_read(const struct cw_peer *conn)
{
	struct cw_exchange *x = conn->current;

	return x != NULL && x->stage == CW_STAGE_HEAD && cw_parser_idle(x->parser) ? NULL : x;
}

static bool is_idle(const struct cw_peer *conn)
{
	return being_read(conn) == NULL && conn->nqueue == (conn->current != NULL ? 1 : 0);
}

static size_t in_pending(const struct cw_peer *conn)
{
	return conn->in.len - conn->in_at;
}

/* ---- life ---- */

static void on_event(void *arg, int fd, int flags);

static void count_address(struct cw_server *server, const char *remote, int by)
{
	struct cw_address_count *c = cw_map_get(server->addresses, remote, strlen(remote));

	if (c == NULL) {
		c = cw_zalloc(sizeof(*c));
		cw_map_put(server->addresses, remote, strlen(remote), c);
	}
	c->connections += by;
	if (c->connections == 0)
		cw_free(cw_map_take(server->addresses, remote, strlen(remote)));
}

void cw_peer_open(struct cw_server *server, int fd, struct ssl_st *ssl, const char *remote, bool refuse)
{
	static const char full[] = "{\"type\":\"urn:chainwatch:problem:busy\",\"title\":\"Service Unavailable\","
	                           "\"status\":503,\"code\":\"busy\",\"detail\":\"too many connections are open already\"}";
	struct cw_peer *conn = cw_zalloc(sizeof(*conn));

	conn->magic = CW_CONN_MAGIC;
	conn->server = server;
	conn->fd = fd;
	conn->ssl = ssl;
	strncpy(conn->remote, remote, sizeof(conn->remote) - 1);
	cw_list_init(&conn->dirty);
	cw_list_init(&conn->queue);
	cw_buf_init(&conn->in);
	cw_buf_init(&conn->out);
	cw_list_append(&server->conns, &conn->link);
	server->nconns++;
	count_address(server, conn->remote, 1);
	conn->watch = cw_watch_new(server->loop, fd, on_event, conn);
	if (refuse) {
		conn->closing = true;
		cw_buf_printf(&conn->out, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
		              "Content-Length: %zu\r\nConnection: close\r\nRetry-After: 1\r\n\r\n%s", sizeof(full) - 1, full);
		cw_peer_touch(conn);
		return;
	}
	conn->phase = CW_PHASE_FIRST;
	conn->phase_due_us = in_ms(server->conf.head_ms);
	cw_watch_set(conn->watch, CW_WATCH_READ);
}

static void drop_queue(struct cw_peer *conn)
{
	while (!cw_list_empty(&conn->queue))
		cw_exchange_drop(cw_list_entry(conn->queue.next, struct cw_exchange, link));
}

void cw_peer_close(struct cw_peer *conn)
{
	if (conn->dead)
		return;
	conn->dead = true;
	cw_watch_free(&conn->watch);
	if (conn->ssl != NULL)
		cw_tls_close(&conn->ssl);
	close(conn->fd);
	cw_list_remove(&conn->dirty);
	cw_list_remove(&conn->link);
	cw_list_append(&conn->server->dead, &conn->link);
	conn->server->nconns--;
	count_address(conn->server, conn->remote, -1);
	drop_queue(conn);
	cw_server_schedule(conn->server);
}

void cw_peer_free(struct cw_peer *conn)
{
	cw_list_remove(&conn->link);
	cw_buf_release(&conn->in);
	cw_buf_release(&conn->out);
	conn->magic = 0;
	cw_free(conn);
}

void cw_peer_touch(struct cw_peer *conn)
{
	if (conn->busy || conn->dead || !cw_list_empty(&conn->dirty))
		return;
	cw_list_append(&conn->server->dirty, &conn->dirty);
	cw_server_schedule(conn->server);
}

/* ---- in ---- */

/* Of TLS a record at most, and a whole one (RFC 8446, 5.1): nothing stays in OpenSSL of which no event would tell. */
_Static_assert(CW_READ_BYTES >= 16384, "a TLS record must fit");

static ssize_t read_some(struct cw_peer *conn, char *data, size_t len)
{
	ssize_t n;

	if (conn->ssl != NULL)
		return cw_tls_read(conn->ssl, data, len, &conn->ssl_wants_write);
	do
		n = recv(conn->fd, data, len, 0);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK ? CW_IO_AGAIN : CW_IO_FAIL;
}

static bool drops_input(const struct cw_peer *conn)
{
	return conn->closing || conn->lingering;
}

static bool wants_input(const struct cw_peer *conn)
{
	if (conn->eof || conn->dead)
		return false;
	return drops_input(conn) ? conn->phase_bytes < LINGER_BYTES : in_pending(conn) == 0;
}

/* Keeps what could not be parsed now. Nothing more is read until it is. */
static void keep_rest(struct cw_peer *conn, const char *data, size_t len)
{
	if (drops_input(conn) || conn->dead)
		return;
	cw_buf_add(&conn->in, data, len);
}

static void receive(struct cw_peer *conn)
{
	struct cw_server *server = conn->server;
	ssize_t n = read_some(conn, server->read_buf, CW_READ_BYTES);
	size_t used;

	switch (n) {
	case CW_IO_AGAIN: return;
	case CW_IO_FAIL: cw_peer_close(conn); return;
	case CW_IO_EOF: conn->eof = true; return;
	default: break;
	}
	if (drops_input(conn)) {
		conn->phase_bytes += (uint64_t)n;
		return;
	}
	used = cw_peer_consume(conn, server->read_buf, (size_t)n);
	if (used < (size_t)n)
		keep_rest(conn, server->read_buf + used, (size_t)n - used);
}

/* Parses what was kept, and goes on with a request that had been blocked. True if that moved anything. */
static bool parse_kept(struct cw_peer *conn)
{
	uint64_t serial = conn->serial;
	size_t used;

	if (drops_input(conn)) {
		cw_buf_release(&conn->in);
		conn->in_at = 0;
		return false;
	}
	if (in_pending(conn) == 0 && conn->current == NULL)
		return false;
	used = cw_peer_consume(conn, conn->in.data + conn->in_at, in_pending(conn));
	conn->in_at += used;
	if (conn->in_at > 0 && in_pending(conn) == 0) {
		cw_buf_release(&conn->in);
		conn->in_at = 0;
	}
	return used > 0 || serial != conn->serial;
}

/* The client sends no more. What it has sent completely is answered: it may have closed one direction only. */
static void end_of_input(struct cw_peer *conn)
{
	struct cw_exchange *x = being_read(conn);

	if (x != NULL && cw_exchange_is_blocked(x))
		return;
	if (x != NULL)
		cw_peer_fail(conn, 400, "bad_request", "the request is not complete");
	else if (conn->current != NULL)
		cw_exchange_drop(conn->current);
	conn->closing = true;
}

/* ---- out ---- */

static ssize_t write_some(struct cw_peer *conn, const char *data, size_t len)
{
	ssize_t n;

	if (conn->ssl != NULL)
		return cw_tls_write(conn->ssl, data, len, &conn->ssl_wants_write);
	do
		n = send(conn->fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK ? CW_IO_AGAIN : CW_IO_FAIL;
}

/* Buffers wander: whoever writes next gets the one that is still in the cache. */
static void give_back_out(struct cw_peer *conn)
{
	struct cw_server *server = conn->server;

	conn->out_at = 0;
	if (conn->out.cap > CW_KEEP_BYTES || server->nspare_out == sizeof(server->spare_out) / sizeof(*server->spare_out)) {
		cw_buf_release(&conn->out);
		return;
	}
	cw_buf_clear(&conn->out);
	server->spare_out[server->nspare_out++] = conn->out;
	cw_buf_init(&conn->out);
}

/* Bytes that have reached the other side. The kernel may hold megabytes and reports room in large steps, so that what
 * it has taken from us says little about a slow client. */
static uint64_t delivered(const struct cw_peer *conn)
{
	int queued = 0;

	if (ioctl(conn->fd, SIOCOUTQ, &queued) != 0 || queued < 0 || (uint64_t)queued > conn->written)
		return conn->written;
	return conn->written - (uint64_t)queued;
}

/* False if the connection broke. */
static bool flush(struct cw_peer *conn)
{
	while (cw_peer_out_pending(conn) > 0) {
		ssize_t n = write_some(conn, conn->out.data + conn->out_at, cw_peer_out_pending(conn));

		if (n == CW_IO_FAIL) {
			cw_peer_close(conn);
			return false;
		}
		if (n == CW_IO_AGAIN)
			break;
		conn->out_at += (size_t)n;
		conn->written += (uint64_t)n;
		conn->server->turn_bytes += (uint64_t)n;
		conn->half_due_us = 0;
	}
	if (cw_peer_out_pending(conn) == 0) {
		conn->write_due_us = 0;
		if (conn->out.cap > 0)
			give_back_out(conn);
		return true;
	}
	if (conn->write_due_us == 0) {
		conn->write_due_us = in_ms(conn->server->conf.write_ms);
		conn->write_mark = delivered(conn);
	}
	if (conn->out_at > CW_OUT_LOW && conn->out_at > conn->out.len / 2) {
		memmove(conn->out.data, conn->out.data + conn->out_at, cw_peer_out_pending(conn));
		conn->out.len -= conn->out_at;
		conn->out_at = 0;
	}
	return true;
}

/* Tells the producer of the reply that is being written that there is room again. */
static bool drained(struct cw_peer *conn)
{
	struct cw_exchange *x;

	if (cw_list_empty(&conn->queue) || cw_peer_out_pending(conn) >= CW_OUT_LOW)
		return false;
	x = cw_list_entry(conn->queue.next, struct cw_exchange, link);
	if (!x->full || x->answer != CW_ANSWER_BEGUN)
		return false;
	x->full = false;
	if (x->on_drain != NULL)
		x->on_drain(x->drain_arg, &x->req);
	return true;
}

/* ---- clocks ---- */

static enum cw_phase phase_now(const struct cw_peer *conn)
{
	const struct cw_exchange *x = being_read(conn);

	if (conn->lingering)
		return CW_PHASE_LINGER;
	if (conn->closing || (x == NULL && !is_idle(conn)) || (x == NULL && cw_peer_out_pending(conn) > 0))
		return CW_PHASE_NONE;
	if (x == NULL)
		return conn->serial == 0 ? CW_PHASE_FIRST : CW_PHASE_IDLE;
	if (cw_exchange_is_blocked(x) || in_pending(conn) > 0)
		return CW_PHASE_NONE;   /* we do not read: the time is not the client's */
	return x->stage == CW_STAGE_HEAD ? CW_PHASE_HEAD : CW_PHASE_BODY;
}

static void set_phase(struct cw_peer *conn)
{
	const struct cw_server_conf *conf = &conn->server->conf;
	const int64_t ms[] = { [CW_PHASE_NONE] = 0, [CW_PHASE_FIRST] = conf->head_ms, [CW_PHASE_IDLE] = conf->idle_ms,
		                   [CW_PHASE_HEAD] = conf->head_ms, [CW_PHASE_BODY] = conf->body_ms,
		                   [CW_PHASE_LINGER] = conf->linger_ms };
	enum cw_phase phase = phase_now(conn);
	const struct cw_exchange *x = conn->current;
	bool stride = phase == CW_PHASE_BODY && x != NULL && x->streams && conn->phase_bytes >= STRIDE;

	if (phase == conn->phase && conn->serial == conn->phase_serial && !stride)
		return;
	conn->phase = phase;
	conn->phase_serial = conn->serial;
	conn->phase_due_us = phase != CW_PHASE_NONE ? in_ms(ms[phase]) : 0;
	conn->phase_bytes = 0;
}

static bool is_due(int64_t due_us, int64_t now_us)
{
	return due_us != 0 && due_us <= now_us;
}

static void time_out_phase(struct cw_peer *conn)
{
	conn->phase_due_us = 0;
	if (conn->phase == CW_PHASE_HEAD || conn->phase == CW_PHASE_BODY)
		cw_peer_fail(conn, 408, "request_timeout", conn->phase == CW_PHASE_HEAD
		             ? "the request head did not come in time" : "the request body did not come in time");
	else
		conn->closing = true;
}

void cw_peer_sweep(struct cw_peer *conn, int64_t now_us)
{
	struct cw_list *link, *tmp;
	bool changed = false;

	if (is_due(conn->write_due_us, now_us) && delivered(conn) - conn->write_mark >= STRIDE) {
		conn->write_mark = delivered(conn);
		conn->write_due_us = in_ms(conn->server->conf.write_ms);
	}
	if (is_due(conn->write_due_us, now_us) || is_due(conn->half_due_us, now_us) ||
	    (conn->phase == CW_PHASE_LINGER && is_due(conn->phase_due_us, now_us))) {
		cw_peer_close(conn);
		return;
	}
	if (is_due(conn->phase_due_us, now_us)) {
		time_out_phase(conn);
		changed = true;
	}
	cw_list_each(link, tmp, &conn->queue) {
		struct cw_exchange *x = cw_list_entry(link, struct cw_exchange, link);

		if (x->req.deadline_us > now_us || (!x->early && (!x->owned || x->answer != CW_ANSWER_NONE)))
			continue;
		if (x->early)
			cw_exchange_give_early(x);
		else
			cw_exchange_time_out(x);   /* may drop more of the queue: look again at the next sweep */
		changed = true;
		break;
	}
	if (changed)
		cw_peer_touch(conn);
}

/* ---- settling ---- */

/* After the last reply: says so, and waits for the client to close, or for nothing more to be read. Closing at once
 * with input unread would make the kernel send a reset, which can destroy the reply on its way (RFC 9112 9.6). */
static void linger(struct cw_peer *conn)
{
	if (conn->ssl != NULL)
		cw_tls_shutdown(conn->ssl);
	if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
		cw_peer_close(conn);
		return;
	}
	conn->lingering = true;
}

/* Everything that can happen without waiting. False if the connection has been closed. */
static bool work(struct cw_peer *conn)
{
	uint64_t from = conn->written;
	bool moved = true;
	int rounds;

	for (rounds = 0; moved && rounds < ROUNDS && conn->written - from < TURN_BYTES; rounds++) {
		size_t before = cw_peer_out_pending(conn);

		moved = parse_kept(conn);
		if (conn->eof && !conn->closing && in_pending(conn) == 0 && !conn->dead)
			end_of_input(conn);
		if (conn->dead || conn->cut || !flush(conn))
			break;
		moved = drained(conn) || moved || (before > CW_OUT_LOW && cw_peer_out_pending(conn) <= CW_OUT_LOW);
	}
	if (conn->cut)
		cw_peer_close(conn);
	if (conn->dead)
		return false;
	if (moved) {
		cw_list_append(&conn->server->dirty, &conn->dirty);
		cw_server_schedule(conn->server);
	}
	return true;
}

static void set_watch(struct cw_peer *conn)
{
	bool write = cw_peer_out_pending(conn) > 0 || conn->ssl_wants_write;

	cw_watch_set(conn->watch, (wants_input(conn) ? CW_WATCH_READ : 0) | (write ? CW_WATCH_WRITE : 0));
}

void cw_peer_settle(struct cw_peer *conn)
{
	if (conn->dead)
		return;
	cw_list_remove(&conn->dirty);
	conn->busy = true;
	if (!work(conn))
		return;
	if (conn->last_sent)
		drop_queue(conn);
	if (conn->server->draining && is_idle(conn) && in_pending(conn) == 0)
		conn->closing = true;
	if (conn->closing && conn->current != NULL && being_read(conn) == NULL)
		cw_exchange_drop(conn->current);
	if (conn->closing && !conn->lingering && cw_list_empty(&conn->queue) && cw_peer_out_pending(conn) == 0)
		linger(conn);
	if (conn->lingering && conn->eof)
		cw_peer_close(conn);
	if (conn->dead)
		return;
	if (conn->eof && conn->half_due_us == 0)
		conn->half_due_us = in_ms(conn->server->conf.half_close_ms);
	set_phase(conn);
	set_watch(conn);
	conn->busy = false;
}

static void on_event(void *arg, int fd, int flags)
{
	struct cw_peer *conn = CW_CAST(arg, CW_CONN_MAGIC);

	(void)fd;
	conn->busy = true;
	conn->ssl_wants_write = false;
	if (wants_input(conn) && ((flags & CW_WATCH_READ) || conn->ssl != NULL))
		receive(conn);
	cw_peer_settle(conn);
}
