#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http/exchange.h"
#include "http/tls.h"
#include "loop/loop.h"

#define BACKLOG 1024
#define ACCEPT_BATCH 256       /* of one turn, so that connections that are there get theirs, and new ones soon */
#define TURN_BYTES (4 << 20)   /* written in one turn to those who go on: a thousand who ask for much do not hold up the rest */
#define REFUSED_MAX 64         /* connections beyond max_connections that are told so; others are just closed */
#define RETRY_ACCEPT_MS 100    /* after "too many open files": the listener would be ready in every turn */

const struct cw_server_conf cw_server_conf_default = {
	.listen = "127.0.0.1:8080",
	.inherited_fd = -1,
	.limits = { .request_line = 8192, .headers = 16384, .header_count = 100, .body = (uint64_t)8 << 20 },
	.max_connections = 4096,
	.pipeline_max = 16,
	.head_ms = 10000, .body_ms = 60000, .idle_ms = 60000, .write_ms = 30000, .reply_ms = 30000,
	.half_close_ms = 2000, .linger_ms = 2000,
	.bodies = (uint64_t)256 << 20,
};

/* ---- addresses ---- */

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
	char unix_path[108];   /* "" if it is not a unix socket */
	char bound[128];       /* as text, once it is bound */
};

static int read_unix(const char *path, struct address *a, struct cw_err *err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

	if (path[0] == '\0' || strlen(path) >= sizeof(un->sun_path))
		return cw_err_set(err, CW_ERR_INVALID, "cannot listen on \"unix:%s\": a path of 1 to %d bytes is needed", path,
		                  (int)sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	strcpy(a->unix_path, path);
	a->len = sizeof(*un);
	return 0;
}

static bool read_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	*port = (uint16_t)n;
	return *end == '\0' && n <= 65535;
}

/* No names but "localhost": a look-up would block the loop on reload. */
static int read_address(const char *text, struct address *a, struct cw_err *err)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
	struct sockaddr_in *in4 = (struct sockaddr_in *)&a->sa;
	const char *colon = strrchr(text, ':');
	char host[64];
	uint16_t port;
	size_t n;

	memset(a, 0, sizeof(*a));
	if (strncmp(text, "unix:", 5) == 0)
		return read_unix(text + 5, a, err);
	if (colon == NULL || !read_port(colon + 1, &port) || (size_t)(colon - text) >= sizeof(host))
		return cw_err_set(err, CW_ERR_INVALID, "cannot listen on \"%s\": an address has the form \"127.0.0.1:8080\", "
		                  "\"[::1]:8080\", \":8080\" or \"unix:/path\"", text);
	n = (size_t)(colon - text);
	memcpy(host, text, n);
	host[n] = '\0';
	if (n == 0 || strcmp(host, "*") == 0)
		strcpy(host, "[::]");
	if (strcmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	n = strlen(host);
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		a->len = sizeof(*in6);
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1)
			return 0;
	} else {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		a->len = sizeof(*in4);
		if (inet_pton(AF_INET, host, &in4->sin_addr) == 1)
			return 0;
	}
	return cw_err_set(err, CW_ERR_INVALID, "cannot listen on \"%s\": \"%s\" is not an IP address", text, host);
}

/* Address without port of a peer; IPv4 also where it came through an IPv6 socket. */
static void peer_text(const struct sockaddr_storage *sa, char out[64])
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)sa;

	strcpy(out, "unix");
	if (sa->ss_family == AF_INET)
		inet_ntop(AF_INET, &in4->sin_addr, out, 64);
	else if (sa->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out, 64);
	else if (sa->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &in6->sin6_addr, out, 64);
}

/* Where `fd` listens, now that the kernel has chosen a port. Returns it, or closes it and returns -1. */
static int take_bound(int fd, struct address *a, struct cw_err *err)
{
	struct sockaddr_storage sa = { 0 };
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&sa;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&sa;
	socklen_t len = sizeof(sa);
	char host[64] = "";

	if (fd < 0)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not find out where it listens: %s", strerror(errno));
		close(fd);
		return -1;
	}
	if (sa.ss_family == AF_INET) {
		inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
		snprintf(a->bound, sizeof(a->bound), "%s:%d", host, ntohs(in4->sin_port));
	} else if (sa.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(a->bound, sizeof(a->bound), "[%s]:%d", host, ntohs(in6->sin6_port));
	} else {
		snprintf(a->bound, sizeof(a->bound), "unix:%.*s", (int)sizeof(un->sun_path), un->sun_path);
	}
	return fd;
}

/* ---- listening ---- */

/* A socket file that nobody listens on is left from a process that was killed. */
static bool unlink_stale(const struct address *a)
{
	struct stat st;
	int fd;
	bool stale;

	if (lstat(a->unix_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)&a->sa, a->len) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale && unlink(a->unix_path) == 0;
}

static int try_bind(const struct address *a, const char *text, struct cw_err *err)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0;

	if (fd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not open a socket for \"%s\": %s", text, strerror(errno));
	if (a->unix_path[0] == '\0')
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (const struct sockaddr *)&a->sa, a->len) == 0 ||
	    (errno == EADDRINUSE && a->unix_path[0] != '\0' && unlink_stale(a) &&
	     bind(fd, (const struct sockaddr *)&a->sa, a->len) == 0)) {
		if (listen(fd, BACKLOG) == 0)
			return fd;
	}
	cw_err_errno(err, CW_ERR_INVALID, "could not listen on \"%s\"", text);
	close(fd);
	return -1;
}

/* Opens the socket of `conf`; -1 and `err` if that fails. Machines without IPv6 get 0.0.0.0 for "all". */
static int open_listener(const struct cw_server_conf *conf, struct address *a, struct cw_err *err)
{
	int fd;

	if (read_address(conf->listen, a, err) != 0)
		return -1;
	fd = try_bind(a, conf->listen, err);
	if (fd < 0 && (conf->listen[0] == ':' || conf->listen[0] == '*')) {
		char v4[64];

		snprintf(v4, sizeof(v4), "0.0.0.0%s", strrchr(conf->listen, ':'));
		if (read_address(v4, a, err) == 0)
			fd = try_bind(a, conf->listen, err);
	}
	return fd;
}

static int take_inherited(int fd, struct cw_err *err)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening)
		return cw_err_set(err, CW_ERR_INVALID, "descriptor %d is not a listening socket", fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not set up descriptor %d: %s", fd, strerror(errno));
	return fd;
}

static void set_gauge(struct cw_server *server)
{
	cw_metric_set(server->connections_gauge, server->nconns);
}

/* Handshake and HTTP are the connection's. */
static void open_connection(struct cw_server *server, int fd, const struct sockaddr_storage *sa)
{
	bool refuse = server->nconns >= server->conf.max_connections;
	const struct cw_address_count *same;
	struct ssl_st *ssl = NULL;
	char remote[64];
	int on = 1;

	peer_text(sa, remote);
	same = cw_map_get(server->addresses, remote, strlen(remote));
	if (server->conf.address_connections > 0 && sa->ss_family != AF_UNIX && same != NULL &&
	    same->connections >= server->conf.address_connections)
		refuse = true;
	server->accepted++;
	server->refused += refuse;
	if (refuse)
		cw_metric_add(cw_counter("chainwatch_http_connections_refused_total",
		                         "Connections above the limit, answered 503 or closed.", NULL), 1);
	if (server->nconns >= server->conf.max_connections + REFUSED_MAX) {
		close(fd);
		return;
	}
	if (server->tls != NULL) {
		ssl = cw_tls_accept(server->tls, fd);
		if (ssl == NULL) {
			close(fd);
			return;
		}
	}
	if (sa->ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	cw_peer_open(server, fd, ssl, remote, refuse);
}

static void on_accept(void *arg, int fd, int flags)
{
	struct cw_server *server = arg;

	(void)flags;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t len = sizeof(sa);
		int conn = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (conn >= 0) {
			server->accept_failed = false;
			open_connection(server, conn, &sa);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (!server->accept_failed)
				cw_log(CW_LOG_ERROR, "http", "cannot accept connections", "error=\"%s\" connections=%d", strerror(errno),
				       server->nconns);
			server->accept_failed = true;
			cw_watch_set(server->listen_watch, 0);
			cw_timer_set(server->retry_accept, RETRY_ACCEPT_MS);
		}
		break;
	}
	set_gauge(server);
}

static void on_retry_accept(void *arg)
{
	struct cw_server *server = arg;

	if (server->listen_watch != NULL)
		cw_watch_set(server->listen_watch, CW_WATCH_READ);
}

static void stop_listening(struct cw_server *server)
{
	cw_timer_clear(server->retry_accept);
	cw_watch_free(&server->listen_watch);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	server->listen_fd = -1;
	if (server->unix_path != NULL)
		unlink(server->unix_path);
	cw_free(server->unix_path);
	server->unix_path = NULL;
}

static void start_listening(struct cw_server *server, int fd, const struct address *a)
{
	server->listen_fd = fd;
	server->unix_path = a->unix_path[0] != '\0' ? cw_strdup(a->unix_path) : NULL;
	snprintf(server->address, sizeof(server->address), "%s", a->bound);
	server->listen_watch = cw_watch_new(server->loop, fd, on_accept, server);
	cw_watch_set(server->listen_watch, CW_WATCH_READ);
	cw_log(CW_LOG_INFO, "http", "listening", "addr=%s tls=%s", server->address, server->tls != NULL ? "on" : "off");
}

/* ---- end of turn, clocks ---- */

static void free_dead(struct cw_server *server)
{
	struct cw_list *link;

	while ((link = cw_list_take(&server->dead)) != NULL)
		cw_peer_free(cw_list_entry(link, struct cw_peer, link));
}

static void end_drain(struct cw_server *server)
{
	void (*fn)(void *arg) = server->on_drained;

	cw_timer_clear(server->grace);
	server->on_drained = NULL;
	if (fn != NULL)
		fn(server->on_drained_arg);   /* may free the server */
}

static void on_turn(void *arg)
{
	struct cw_server *server = arg;
	struct cw_list now, *link;

	server->scheduled = false;
	cw_list_init(&now);
	while ((link = cw_list_take(&server->dirty)) != NULL)
		cw_list_append(&now, link);
	server->turn_bytes = 0;
	while (!cw_list_empty(&now) && server->turn_bytes < TURN_BYTES)
		cw_peer_settle(cw_list_entry(now.next, struct cw_peer, dirty));
	while (!cw_list_empty(&now)) {
		link = now.prev;
		cw_list_remove(link);
		cw_list_prepend(&server->dirty, link);
		cw_server_schedule(server);
	}
	free_dead(server);
	set_gauge(server);
	if (server->draining && server->on_drained != NULL && server->nconns == 0 && server->norphans == 0)
		end_drain(server);
}

void cw_server_schedule(struct cw_server *server)
{
	if (server->scheduled)
		return;
	server->scheduled = true;
	cw_loop_defer(server->loop, on_turn, server);
}

/* A fourth of the shortest time-out, so that none is late by more than that. */
static int64_t sweep_ms(const struct cw_server_conf *c)
{
	const int64_t all[] = { c->head_ms, c->body_ms, c->idle_ms, c->write_ms, c->reply_ms, c->half_close_ms, c->linger_ms };
	int64_t least = 1000;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		least = all[i] < least ? all[i] : least;
	return least / 4 > 10 ? least / 4 : 10;
}

static void on_sweep(void *arg)
{
	struct cw_server *server = arg;
	int64_t now_us = cw_clock_mono_us();
	struct cw_list *link, *tmp;

	cw_list_each(link, tmp, &server->conns)
		cw_peer_sweep(cw_list_entry(link, struct cw_peer, link), now_us);
	cw_timer_set(server->sweep, sweep_ms(&server->conf));
}

/* ---- life ---- */

static int check_conf(const struct cw_server_conf *c, struct cw_err *err)
{
	if (c->head_ms <= 0 || c->body_ms <= 0 || c->idle_ms <= 0 || c->write_ms <= 0 || c->reply_ms <= 0 ||
	    c->half_close_ms <= 0 || c->linger_ms <= 0)
		return cw_err_set(err, CW_ERR_INVALID, "every time-out of the HTTP server must be above 0 ms");
	if (c->max_connections < 1 || c->pipeline_max < 1)
		return cw_err_set(err, CW_ERR_INVALID, "max_connections and pipeline_max must be at least 1");
	if (c->limits.request_line < 64 || c->limits.headers < 64 || c->limits.header_count < 1)
		return cw_err_set(err, CW_ERR_INVALID, "the limits for request line and headers are too small to serve anything");
	if ((c->tls_cert == NULL) != (c->tls_key == NULL))
		return cw_err_set(err, CW_ERR_INVALID, "TLS needs both a certificate and a key");
	return 0;
}

static void free_texts(struct cw_server_conf *c)
{
	cw_free((char *)(uintptr_t)c->listen);
	cw_free((char *)(uintptr_t)c->tls_cert);
	cw_free((char *)(uintptr_t)c->tls_key);
}

static void set_conf(struct cw_server *server, const struct cw_server_conf *conf)
{
	struct cw_server_conf old = server->conf;

	server->conf = *conf;
	server->conf.listen = conf->listen != NULL ? cw_strdup(conf->listen) : NULL;
	server->conf.tls_cert = conf->tls_cert != NULL ? cw_strdup(conf->tls_cert) : NULL;
	server->conf.tls_key = conf->tls_key != NULL ? cw_strdup(conf->tls_key) : NULL;
	free_texts(&old);
	server->generation++;
	cw_timer_set(server->sweep, sweep_ms(conf));
}

static void free_spare(struct cw_server *server)
{
	struct cw_list *link;

	while ((link = cw_list_take(&server->spare)) != NULL) {
		struct cw_exchange *x = cw_list_entry(link, struct cw_exchange, link);

		x->server = NULL;
		server->nspare--;
		cw_exchange_release(x);
	}
}

static struct cw_server *make(struct cw_loop *loop)
{
	struct cw_server *server = cw_zalloc(sizeof(*server));

	server->addresses = cw_map_new();
	server->loop = loop;
	server->listen_fd = -1;
	cw_list_init(&server->conns);
	cw_list_init(&server->dirty);
	cw_list_init(&server->dead);
	cw_list_init(&server->orphans);
	cw_list_init(&server->spare);
	server->read_buf = cw_alloc(CW_READ_BYTES);
	server->sweep = cw_timer_new(loop, on_sweep, server);
	server->retry_accept = cw_timer_new(loop, on_retry_accept, server);
	server->connections_gauge = cw_gauge("chainwatch_http_connections", "Open HTTP connections.", NULL);
	return server;
}

struct cw_server *cw_server_new(struct cw_loop *loop, const struct cw_server_conf *conf, struct cw_err *err)
{
	struct address a = { .unix_path = "" };
	struct ssl_ctx_st *tls = NULL;
	struct cw_server *server;
	int fd;

	if (check_conf(conf, err) != 0)
		return NULL;
	if (conf->tls_cert != NULL) {
		tls = cw_tls_new(conf->tls_cert, conf->tls_key, err);
		if (tls == NULL)
			return NULL;
	}
	fd = conf->inherited_fd >= 0 ? take_inherited(conf->inherited_fd, err) : open_listener(conf, &a, err);
	fd = take_bound(fd, &a, err);
	if (fd < 0) {
		cw_tls_free(&tls);
		return NULL;
	}
	server = make(loop);
	server->tls = tls;
	set_conf(server, conf);
	start_listening(server, fd, &a);
	return server;
}

void cw_server_free(struct cw_server **server)
{
	struct cw_server *s = *server;
	struct cw_list *link, *tmp;

	*server = NULL;
	if (s == NULL)
		return;
	stop_listening(s);
	cw_timer_free(&s->retry_accept);
	cw_timer_free(&s->sweep);
	cw_timer_free(&s->grace);
	while (!cw_list_empty(&s->conns))
		cw_peer_close(cw_list_entry(s->conns.next, struct cw_peer, link));
	free_dead(s);
	cw_loop_undefer(s->loop, on_turn, s);
	/* Handlers still have these; they go when they are answered. */
	cw_list_each(link, tmp, &s->orphans) {
		struct cw_exchange *x = cw_list_entry(link, struct cw_exchange, link);

		x->server = NULL;
		cw_list_remove(link);
	}
	free_spare(s);
	while (s->nspare_out > 0)
		cw_buf_release(&s->spare_out[--s->nspare_out]);
	set_gauge(s);
	cw_router_unref(&s->router);
	cw_tls_free(&s->tls);
	free_texts(&s->conf);
	cw_map_free(&s->addresses);
	cw_free(s->read_buf);
	cw_free(s);
}

void cw_server_set_router(struct cw_server *server, struct cw_router *router)
{
	struct cw_router *old = server->router;

	server->router = router != NULL ? cw_router_ref(router) : NULL;
	if (old != NULL)
		cw_router_unref(&old);
}

void cw_server_set_gate(struct cw_server *server, cw_gate_fn *fn, void *arg)
{
	server->gate = fn;
	server->gate_arg = arg;
}

int cw_server_reconfigure(struct cw_server *server, const struct cw_server_conf *conf, struct cw_err *err)
{
	bool moves = server->conf.inherited_fd < 0 && !server->draining && strcmp(conf->listen, server->conf.listen) != 0;
	struct cw_server_conf next = *conf;
	struct ssl_ctx_st *tls = NULL;
	struct address a;
	int fd = -1;

	next.inherited_fd = server->conf.inherited_fd;
	if (check_conf(conf, err) != 0)
		return -1;
	if (conf->tls_cert != NULL) {
		tls = cw_tls_new(conf->tls_cert, conf->tls_key, err);
		if (tls == NULL)
			return -1;
	}
	if (moves) {
		fd = take_bound(open_listener(conf, &a, err), &a, err);
		if (fd < 0) {
			cw_tls_free(&tls);
			return -1;
		}
	}
	cw_tls_free(&server->tls);
	server->tls = tls;
	set_conf(server, &next);
	free_spare(server);   /* their parsers have the old limits */
	if (moves) {
		stop_listening(server);
		start_listening(server, fd, &a);
	}
	return 0;
}

const char *cw_server_address(const struct cw_server *server)
{
	return server->address;
}

static void on_grace(void *arg)
{
	struct cw_server *server = arg;

	if (server->nconns > 0)
		cw_log(CW_LOG_WARN, "http", "closing connections that did not end in time", "connections=%d in_flight=%d",
		       server->nconns, server->in_flight);
	while (!cw_list_empty(&server->conns))
		cw_peer_close(cw_list_entry(server->conns.next, struct cw_peer, link));
	end_drain(server);
}

void cw_server_drain(struct cw_server *server, int64_t grace_ms, void (*fn)(void *arg), void *arg)
{
	struct cw_list *link, *tmp;

	server->draining = true;
	server->on_drained = fn;
	server->on_drained_arg = arg;
	stop_listening(server);
	if (server->grace == NULL)
		server->grace = cw_timer_new(server->loop, on_grace, server);
	cw_timer_set(server->grace, grace_ms);
	cw_list_each(link, tmp, &server->conns)
		cw_peer_touch(cw_list_entry(link, struct cw_peer, link));
	cw_server_schedule(server);
}

struct cw_server_stats cw_server_stats(const struct cw_server *server)
{
	return (struct cw_server_stats){ .connections = server->nconns, .in_flight = server->in_flight,
		                             .accepted = server->accepted, .refused = server->refused,
		                             .requests = server->requests };
}
