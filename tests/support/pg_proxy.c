#include "support/pg_proxy.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINES 64
#define DRIP 7

/* Where a stream of messages stands: type (but for the first of a client), length, the rest. */
struct flow {
	bool typed;
	int have;
	unsigned char head[5];
	long left;
};

struct line {
	int client, server;
	struct flow flows[2];          /* of the client, of the server */
	bool deaf, drips;
};

struct pg_proxy {
	pthread_t thread;
	char dir[64], server[108];
	int listener;
	atomic_int stop, cut, cuts, blocked;
	atomic_int trip_side, trip_nth, trip_fault, tripped;
	struct line lines[LINES];
	int n;
	char buffer[65536];
};

static int unix_socket(const char *dir, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%.80s/.s.PGSQL.5432", dir);
	return fd;
}

static void cut(struct pg_proxy *p, int i)
{
	close(p->lines[i].client);
	close(p->lines[i].server);
	p->lines[i] = p->lines[--p->n];
}

static void take_client(struct pg_proxy *p)
{
	int client = accept(p->listener, NULL, NULL);
	struct sockaddr_un address;
	int server = unix_socket(p->server, &address);

	if (client < 0 || p->blocked || p->n == LINES ||
	    connect(server, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (client >= 0)
			close(client);
		close(server);
		return;
	}
	p->lines[p->n] = (struct line){ .client = client, .server = server };
	p->lines[p->n++].flows[1].typed = true;
}

/* Takes a byte; true if it is the first of a message. */
static bool begins(struct flow *f, unsigned char byte)
{
	int need = f->typed ? 5 : 4, at = f->typed ? 1 : 0;

	if (f->left > 0) {
		f->left--;
		return false;
	}
	f->head[f->have++] = byte;
	if (f->have == need) {
		f->left = ((long)f->head[at] << 24 | (long)f->head[at + 1] << 16 | (long)f->head[at + 2] << 8 | f->head[at + 3]) - 4;
		f->have = 0;
		f->typed = true;
		return false;
	}
	return f->have == 1;
}

/* How many of these bytes go on before the fault; -1: all, without one. */
static ssize_t until_fault(struct pg_proxy *p, struct flow *f, int side, ssize_t n)
{
	ssize_t at = -1;

	for (ssize_t i = 0; i < n; i++) {
		if (!begins(f, (unsigned char)p->buffer[i]) || p->trip_side != side || p->trip_nth == 0)
			continue;
		if (--p->trip_nth == 0 && at < 0) {
			p->tripped++;
			at = p->trip_fault == PG_PROXY_CUT_INSIDE ? i + 1 : i;
		}
	}
	return at;
}

static int pass(const struct line *l, const char *bytes, ssize_t n, int to)
{
	for (ssize_t at = 0; at < n;) {
		ssize_t sent = send(to, bytes + at, l->drips && n - at > DRIP ? DRIP : (size_t)(n - at), MSG_NOSIGNAL);

		if (sent < 0)
			return -1;
		at += sent;
	}
	return 0;
}

static int pump(struct pg_proxy *p, struct line *l, int is_server)
{
	int from = is_server ? l->server : l->client, to = is_server ? l->client : l->server;
	static const char answer[] = "COMMIT";   /* with its NUL: CommandComplete's tag */
	ssize_t n = read(from, p->buffer, sizeof(p->buffer));

	if (n <= 0)
		return -1;
	if (is_server && p->cut > 0 && memmem(p->buffer, (size_t)n, answer, sizeof(answer)) != NULL) {
		p->cut--;
		p->cuts++;
		return -1;
	}
	ssize_t before = until_fault(p, &l->flows[is_server], is_server, n);

	if (l->deaf)                     /* what comes after the end that was shown is lost */
		return 0;
	if (before < 0)
		return pass(l, p->buffer, n, to);
	if (pass(l, p->buffer, before, to) != 0)
		return -1;
	switch (atomic_load(&p->trip_fault)) {
	case PG_PROXY_HALF_CLOSE:
		shutdown(to, SHUT_WR);
		l->deaf = true;
		return 0;
	case PG_PROXY_DRIP:
		l->drips = true;
		return pass(l, p->buffer + before, n - before, to);
	default: return -1;
	}
}

static void *run(void *arg)
{
	struct pg_proxy *p = arg;
	struct pollfd fds[1 + 2 * LINES];

	while (!p->stop) {
		int n = p->n;

		fds[0] = (struct pollfd){ p->listener, POLLIN, 0 };
		for (int i = 0; i < n; i++) {
			fds[1 + 2 * i] = (struct pollfd){ p->lines[i].client, POLLIN, 0 };
			fds[2 + 2 * i] = (struct pollfd){ p->lines[i].server, POLLIN, 0 };
		}
		poll(fds, (nfds_t)(1 + 2 * n), 10);
		for (int i = n - 1; i >= 0; i--) {
			if (p->blocked || (fds[1 + 2 * i].revents != 0 && pump(p, &p->lines[i], 0) != 0) ||
			    (fds[2 + 2 * i].revents != 0 && pump(p, &p->lines[i], 1) != 0))
				cut(p, i);
		}
		if (fds[0].revents != 0)
			take_client(p);
	}
	while (p->n > 0)
		cut(p, 0);
	return NULL;
}

struct pg_proxy *pg_proxy_start(const char *server_dir)
{
	struct pg_proxy *p = calloc(1, sizeof(*p));
	struct sockaddr_un address;

	strcpy(p->dir, "/tmp/cwp-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	snprintf(p->server, sizeof(p->server), "%s", server_dir);
	p->listener = unix_socket(p->dir, &address);
	ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(p->listener, 16), 0);
	ck_assert_int_eq(pthread_create(&p->thread, NULL, run, p), 0);
	return p;
}

void pg_proxy_stop(struct pg_proxy **proxy)
{
	struct pg_proxy *p = *proxy;
	char path[128];

	*proxy = NULL;
	p->stop = 1;
	pthread_join(p->thread, NULL);
	close(p->listener);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", p->dir);
	unlink(path);
	rmdir(p->dir);
	free(p);
}

const char *pg_proxy_dir(const struct pg_proxy *proxy)
{
	return proxy->dir;
}

void pg_proxy_cut_commit_answers(struct pg_proxy *proxy, int times)
{
	proxy->cut = times;
}

void pg_proxy_trip(struct pg_proxy *proxy, int from_server, int nth, enum pg_proxy_fault fault)
{
	proxy->trip_nth = 0;
	proxy->tripped = 0;
	proxy->trip_side = from_server;
	proxy->trip_fault = (int)fault;
	proxy->trip_nth = nth;
}

int pg_proxy_tripped(const struct pg_proxy *proxy)
{
	return proxy->tripped;
}

int pg_proxy_cuts(const struct pg_proxy *proxy)
{
	return proxy->cuts;
}

void pg_proxy_block(struct pg_proxy *proxy, int blocked)
{
	proxy->blocked = blocked;
}
