#include "pg/connect.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "loop/loop.h"

#define CONNECT_MAGIC 0x434e4354u
#define HOSTS_MAX     16
#define ADDRESSES_MAX 8
#define OPTIONS_MAX   64
#define LOOKUP_POLL_MS 2

struct host {
	const char *name, *address, *port;   /* NULL: libpq's default */
};

/* Shared by the loop and the thread; the last one frees it. */
struct lookup {
	atomic_int refs, done;
	char name[256];
	int rc;
	struct addrinfo *found;
};

struct cw_connect {
	uint32_t magic;
	struct cw_loop *loop;
	int64_t timeout_ms;
	cw_connect_fn *fn;
	void *arg;
	PQconninfoOption *options;
	char *lists[3];                      /* host, hostaddr, port: cut at their commas */
	struct host hosts[HOSTS_MAX];
	int nhosts, host;                    /* host: the one that is tried */
	bool as_is;                          /* hosts are left to libpq: from a service file or the environment */
	bool standby_first;                  /* prefer-standby: first round of two */
	char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
	int naddresses, address;
	struct lookup *lookup;
	PGconn *pg;
	struct cw_watch *watch;
	struct cw_timer *timer;              /* start, poll of the look-up, or time-out of an attempt */
	void (*on_time)(struct cw_connect *c);
	struct cw_err last;                  /* why the last attempt failed */
};

static void next_host(struct cw_connect *c);

/* ---- names ---- */

static void lookup_unref(struct lookup *l)
{
	if (atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	if (l->found != NULL)
		freeaddrinfo(l->found);
	cw_free(l);
}

static void *lookup_thread(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	l->rc = getaddrinfo(l->name, NULL, &hints, &l->found);
	atomic_store(&l->done, 1);
	lookup_unref(l);
	return NULL;
}

static struct lookup *lookup_start(const char *name)
{
	struct lookup *l = cw_zalloc(sizeof(*l));
	pthread_attr_t detached;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	atomic_init(&l->refs, 2);
	snprintf(l->name, sizeof(l->name), "%s", name);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);   /* signals are for the loop */
	rc = pthread_create(&thread, &detached, lookup_thread, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	if (rc == 0)
		return l;
	cw_free(l);
	return NULL;
}

static bool needs_lookup(const struct host *h)
{
	unsigned char number[16];

	return h->address == NULL && h->name != NULL && h->name[0] != '\0' && h->name[0] != '/' && h->name[0] != '@' &&
	       inet_pton(AF_INET, h->name, number) != 1 && inet_pton(AF_INET6, h->name, number) != 1;
}

/* ---- the connection string ---- */

static const char *option(const struct cw_connect *c, const char *keyword)
{
	for (const PQconninfoOption *o = c->options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val != NULL && o->val[0] != '\0' ? o->val : NULL;
	return NULL;
}

/* Cuts a list at its commas; returns the number of entries. */
static int split(char **copy, const char *list, const char *out[HOSTS_MAX])
{
	int n = 0;

	if (list == NULL)
		return 0;
	*copy = cw_strdup(list);
	for (char *p = *copy; p != NULL && n < HOSTS_MAX; n++)
		out[n] = strsep(&p, ",");
	return n;
}

/* Fills in hosts. Lists whose lengths do not match are left to libpq, which says so. */
static void read_hosts(struct cw_connect *c)
{
	const char *names[HOSTS_MAX] = { NULL }, *addresses[HOSTS_MAX] = { NULL }, *ports[HOSTS_MAX] = { NULL };
	int nnames = split(&c->lists[0], option(c, "host"), names);
	int naddresses = split(&c->lists[1], option(c, "hostaddr"), addresses);
	int nports = split(&c->lists[2], option(c, "port"), ports);
	const char *attrs = option(c, "target_session_attrs");

	c->nhosts = nnames > naddresses ? nnames : naddresses;
	if (c->nhosts == 0 || (nnames > 0 && naddresses > 0 && nnames != naddresses) ||
	    (nports > 1 && nports != c->nhosts) || option(c, "service") != NULL) {
		c->as_is = true;
		c->nhosts = 1;
		return;
	}
	for (int i = 0; i < c->nhosts; i++) {
		c->hosts[i].name = names[i];
		c->hosts[i].address = addresses[i] != NULL && addresses[i][0] != '\0' ? addresses[i] : NULL;
		c->hosts[i].port = nports == 1 ? ports[0] : ports[i];
	}
	c->standby_first = c->nhosts > 1 && attrs != NULL && strcmp(attrs, "prefer-standby") == 0;
}

static int parse(PQconninfoOption **options, const char *conninfo, struct cw_err *err)
{
	char *why = NULL;

	*options = PQconninfoParse(conninfo, &why);
	if (*options != NULL)
		return 0;
	if (why == NULL || strncmp(why, "out of memory", 13) == 0) {
		PQfreemem(why);
		return cw_err_set(err, CW_ERR_SYSTEM, "could not read the connection string: out of memory");
	}
	/* libpq quotes the part it could not read, which may be a password: the reason only up to there */
	int n = (int)strcspn(why, "\"\n");

	while (n > 0 && (why[n - 1] == ' ' || why[n - 1] == ':'))
		n--;
	cw_err_set(err, CW_ERR_INVALID, "cannot read the connection string: %.*s", n, why);
	PQfreemem(why);
	return -1;
}

int cw_conninfo_check(const char *conninfo, struct cw_err *err)
{
	PQconninfoOption *options;

	if (parse(&options, conninfo, err) != 0)
		return -1;
	PQconninfoFree(options);
	return 0;
}

struct pairs {
	const char *keys[OPTIONS_MAX], *values[OPTIONS_MAX];
	int n;
};

static void pair(struct pairs *p, const char *key, const char *value)
{
	if (value == NULL || p->n + 1 >= OPTIONS_MAX)
		return;
	p->keys[p->n] = key;
	p->values[p->n++] = value;
	p->keys[p->n] = p->values[p->n] = NULL;
}

/* What libpq gets: the user's options, one host, and defaults that notice a peer that has vanished (60 s). */
static void collect(const struct cw_connect *c, struct pairs *p)
{
	static const char *const defaults[][2] = {
		{ "keepalives_idle", "30" }, { "keepalives_interval", "10" }, { "keepalives_count", "3" },
		{ "tcp_user_timeout", "60000" }, { "fallback_application_name", "chainwatch" },
	};
	const char *attrs = option(c, "target_session_attrs");

	for (size_t i = 0; i < sizeof(defaults) / sizeof(*defaults); i++)
		pair(p, defaults[i][0], defaults[i][1]);
	for (const PQconninfoOption *o = c->options; o->keyword != NULL; o++) {
		bool ours = strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0 ||
		            strcmp(o->keyword, "port") == 0;

		if (strcmp(o->keyword, "target_session_attrs") == 0 || (ours && !c->as_is))
			continue;
		pair(p, o->keyword, o->val);
	}
	if (attrs != NULL && c->nhosts > 1 && strcmp(attrs, "prefer-standby") == 0)
		attrs = c->standby_first ? "standby" : "any";
	pair(p, "target_session_attrs", attrs);
	pair(p, "client_encoding", "UTF8");
	if (c->as_is)
		return;
	pair(p, "host", c->hosts[c->host].name);
	pair(p, "hostaddr", c->naddresses > 0 ? c->addresses[c->address] : c->hosts[c->host].address);
	pair(p, "port", c->hosts[c->host].port);
}

/* ---- attempts ---- */

static void set_time(struct cw_connect *c, int64_t after_ms, void (*fn)(struct cw_connect *c))
{
	c->on_time = fn;
	cw_timer_set(c->timer, after_ms);
}

static void on_timer(void *arg)
{
	struct cw_connect *c = CW_CAST(arg, CONNECT_MAGIC);

	c->on_time(c);
}

static void drop_attempt(struct cw_connect *c)
{
	cw_watch_free(&c->watch);
	if (c->pg != NULL)
		PQfinish(c->pg);
	c->pg = NULL;
	cw_timer_clear(c->timer);
}

static void next_address(struct cw_connect *c);

static void attempt_failed(struct cw_connect *c, const char *why)
{
	const struct host *h = &c->hosts[c->host];

	if (why != NULL)
		cw_err_set(&c->last, CW_ERR_DB, "could not connect to the database: %.*s", (int)strcspn(why, "\n"), why);
	else
		cw_err_set(&c->last, CW_ERR_TIMEOUT, "could not connect to the database at \"%s\": no answer within %lld ms",
		           h->name != NULL ? h->name : h->address != NULL ? h->address : "default",
		           (long long)c->timeout_ms);
	strcpy(c->last.sqlstate, "08001");
	drop_attempt(c);
	c->address++;
	next_address(c);
}

static void on_timeout(struct cw_connect *c)
{
	attempt_failed(c, NULL);
}

/* The socket may be another one after each step: libpq closes and opens them as it tries. */
static void step(struct cw_connect *c, PostgresPollingStatusType status);

static void on_socket(void *arg, int fd, int flags)
{
	struct cw_connect *c = CW_CAST(arg, CONNECT_MAGIC);

	(void)fd;
	(void)flags;
	cw_watch_free(&c->watch);
	step(c, PQconnectPoll(c->pg));
}

static void step(struct cw_connect *c, PostgresPollingStatusType status)
{
	PGconn *pg = c->pg;
	int fd = PQsocket(pg);

	if ((status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) && fd < 0)
		status = PGRES_POLLING_FAILED;
	switch (status) {
	case PGRES_POLLING_READING:
	case PGRES_POLLING_WRITING:
		c->watch = cw_watch_new(c->loop, fd, on_socket, c);
		cw_watch_set(c->watch, status == PGRES_POLLING_READING ? CW_WATCH_READ : CW_WATCH_WRITE);
		return;
	case PGRES_POLLING_OK:
		c->pg = NULL;
		cw_timer_clear(c->timer);
		c->fn(c->arg, pg, NULL);
		return;
	default:
		attempt_failed(c, PQerrorMessage(pg));
	}
}

static void next_address(struct cw_connect *c)
{
	struct pairs p = { .n = 0 };

	if (c->address >= (c->naddresses > 0 ? c->naddresses : 1)) {
		c->host++;
		next_host(c);
		return;
	}
	collect(c, &p);
	c->pg = PQconnectStartParams(p.keys, p.values, 0);
	if (c->pg == NULL) {
		attempt_failed(c, "out of memory");
		return;
	}
	if (PQstatus(c->pg) == CONNECTION_BAD || CW_FAULT("pg.connect")) {
		attempt_failed(c, PQerrorMessage(c->pg));
		return;
	}
	set_time(c, c->timeout_ms, on_timeout);
	step(c, PGRES_POLLING_WRITING);
}

static void take_addresses(struct cw_connect *c, const struct addrinfo *found)
{
	for (const struct addrinfo *a = found; a != NULL && c->naddresses < ADDRESSES_MAX; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, c->addresses[c->naddresses], INET6_ADDRSTRLEN, NULL, 0,
		                NI_NUMERICHOST) == 0)
			c->naddresses++;
}

static void lookup_failed(struct cw_connect *c, const char *why)
{
	cw_err_set(&c->last, CW_ERR_DB, "could not resolve the database host \"%s\": %s", c->hosts[c->host].name, why);
	strcpy(c->last.sqlstate, "08001");
	c->host++;
	next_host(c);
}

static void poll_lookup(struct cw_connect *c)
{
	struct lookup *l = c->lookup;

	if (!atomic_load(&l->done)) {
		set_time(c, LOOKUP_POLL_MS, poll_lookup);
		return;
	}
	c->lookup = NULL;
	if (l->rc == 0)
		take_addresses(c, l->found);
	const char *why = l->rc != 0 ? gai_strerror(l->rc) : "it has no address";

	lookup_unref(l);
	if (c->naddresses == 0)
		lookup_failed(c, why);
	else
		next_address(c);
}

static void next_host(struct cw_connect *c)
{
	if (c->host >= c->nhosts && c->standby_first) {
		c->standby_first = false;
		c->host = 0;
	}
	if (c->host >= c->nhosts) {
		c->fn(c->arg, NULL, &c->last);
		return;
	}
	c->naddresses = c->address = 0;
	if (c->as_is || !needs_lookup(&c->hosts[c->host])) {
		next_address(c);
		return;
	}
	c->lookup = lookup_start(c->hosts[c->host].name);
	if (c->lookup == NULL)
		lookup_failed(c, "no thread for the look-up");
	else
		set_time(c, LOOKUP_POLL_MS, poll_lookup);
}

static void begin(struct cw_connect *c)
{
	if (c->options == NULL)
		c->fn(c->arg, NULL, &c->last);
	else
		next_host(c);
}

struct cw_connect *cw_connect_new(struct cw_loop *loop, const char *conninfo, int64_t timeout_ms, cw_connect_fn *fn,
                                  void *arg)
{
	struct cw_connect *c = cw_zalloc(sizeof(*c));

	c->magic = CONNECT_MAGIC;
	c->loop = loop;
	c->timeout_ms = timeout_ms;
	c->fn = fn;
	c->arg = arg;
	c->timer = cw_timer_new(loop, on_timer, c);
	if (parse(&c->options, conninfo, &c->last) == 0)
		read_hosts(c);
	set_time(c, 0, begin);
	return c;
}

void cw_connect_free(struct cw_connect **connect)
{
	struct cw_connect *c = *connect;

	*connect = NULL;
	if (c == NULL)
		return;
	drop_attempt(c);
	if (c->lookup != NULL)
		lookup_unref(c->lookup);
	cw_timer_free(&c->timer);
	PQconninfoFree(c->options);
	for (int i = 0; i < 3; i++)
		cw_free(c->lists[i]);
	c->magic = 0;
	cw_free(c);
}
