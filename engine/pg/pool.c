#include "pg/pool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/connect.h"
#include "pg/pool_int.h"

#define REQUEST_MAGIC 0x50475251u
#define LEASE_MAGIC   0x5047454cu
#define RENEW_US      5000000  /* sessions that may only read are opened anew no more often */
#define GROUP_MAX     8        /* reads in one transaction: more gains little and makes the first wait for the last */
#define SHARE_DEPTH   16       /* requests on one connection */
#define SLOW_US       10000    /* a statement that takes longer on average is sent alone, and nothing behind it */
#define HOT_MAX       8
#define BACKLOG_US    2000     /* so long a pipeline of fast statements costs less than waking another server process */
#define RENEW_US      5000000  /* sessions that may only read are opened anew no more often */

const struct cw_pool_conf cw_pool_conf_default = { .size = 20, .overflow = 10, .wait_ms = 30000, .recycle_s = 3600,
	                                               .check_idle_s = 30, .connect_ms = 5000, .statement_ms = 30000,
	                                               .queue_limit = 1000 };

static const double query_bounds[] = { 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
	                                   1, 2.5, 5, 10, 30 };

enum request_kind { REQUEST_QUERY = 0, REQUEST_READ, REQUEST_LEASE };

/* What is known of a statement. */
struct stat {
	int64_t mean_us;             /* from sending to the answer, moving; -1: never seen */
	int64_t cost_us;             /* its share of the connection's time */
	struct cw_metric *seconds;
};

/* A query, read or lease from the call to its answer. In one list at a time: waiting, running on a slot, or answers. */
struct request {
	uint32_t magic;
	struct cw_list link;
	enum request_kind kind;
	uint64_t id;
	struct cw_pool *pool;
	struct slot *slot;           /* while it runs */
	cw_query_fn *fn;             /* NULL: cancelled */
	cw_lease_fn *lease_fn;
	void *arg;
	int64_t asked_us, deadline_us, sent_us, cost_us;
	struct stat *stat;
	bool grouped, first, slow, alone, retried;   /* first: of its group */
	int members;                 /* about how many are in its group */
	struct cw_lease *lease;      /* in answers: granted */
	struct cw_err *err;          /* in answers: refused */
	struct cw_stmt stmt;         /* both strings and the parameters are in the same piece of memory */
	int nparams;
	uint32_t *types;
	int *lengths;
	const char **values;
};

struct cw_lease {
	uint32_t magic;
	struct slot *slot;           /* NULL: the pool is gone */
	struct cw_conn *conn;        /* the slot's; ours when the pool is gone */
};

static void run(void *arg);

/* ---- requests ---- */

static size_t align8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* One allocation: the request, types, lengths, values, then the bytes. */
static struct request *request_new(struct cw_pool *pool, enum request_kind kind, const struct cw_stmt *stmt,
                                   const struct cw_params *params)
{
	size_t n = params != NULL ? (size_t)params->count : 0;
	size_t name = stmt != NULL ? strlen(stmt->name) + 1 : 0, sql = stmt != NULL ? strlen(stmt->sql) + 1 : 0;
	size_t size = align8(sizeof(struct request)) + n * (sizeof(char *) + 8) + name + sql;
	struct request *r;
	char *to;

	for (size_t i = 0; i < n; i++)
		size += params->values[i] != NULL ? (size_t)params->lengths[i] : 0;
	r = cw_alloc(size);
	*r = (struct request){ .magic = REQUEST_MAGIC, .kind = kind, .id = ++pool->last_id, .pool = pool,
		                   .nparams = (int)n };
	cw_list_init(&r->link);
	to = (char *)r + align8(sizeof(*r));
	r->values = (const char **)(void *)to;
	r->types = (uint32_t *)(void *)(to + n * sizeof(char *));
	r->lengths = (int *)(void *)(to + n * (sizeof(char *) + 4));
	to += n * (sizeof(char *) + 8);
	for (size_t i = 0; i < n; i++) {
		size_t len = params->values[i] != NULL ? (size_t)params->lengths[i] : 0;

		r->types[i] = params->types[i];
		r->lengths[i] = (int)len;
		r->values[i] = params->values[i] != NULL ? memcpy(to, params->values[i], len) : NULL;
		to += len;
	}
	if (stmt == NULL)
		return r;
	r->stmt.name = memcpy(to, stmt->name, name);
	r->stmt.sql = memcpy(to + name, stmt->sql, sql);
	return r;
}

static void request_free(struct request *r)
{
	cw_list_remove(&r->link);
	cw_free(r->err);
	r->magic = 0;
	cw_free(r);
}

static struct stat *stat_of(struct cw_pool *pool, const char *name)
{
	const char *label = name[0] != '\0' ? name : "unnamed";
	char shown[64];              /* shapes of one statement (name#7) share a histogram */
	struct stat *s = cw_map_get(pool->stats, label, strlen(label));
	struct cw_buf labels = CW_BUF_INIT;

	if (s != NULL)
		return s;
	s = cw_zalloc(sizeof(*s));
	s->mean_us = -1;
	snprintf(shown, sizeof(shown), "%.*s", (int)strcspn(label, "#"), label);
	cw_metric_label(&labels, "statement", shown);
	s->seconds = cw_histogram("chainwatch_db_query_seconds", "time from sending a statement to its answer", labels.data,
	                          query_bounds, sizeof(query_bounds) / sizeof(*query_bounds));
	cw_buf_release(&labels);
	cw_map_put(pool->stats, label, strlen(label), s);
	return s;
}

/* ---- waiting ---- */

static void unwait(struct request *r)
{
	cw_list_remove(&r->link);
	r->pool->nwaiting--;
	r->pool->nleases -= r->kind == REQUEST_LEASE;
}

/* In order of arrival: one that comes back after a lost connection goes before those that came later. */
static void wait_for_slot(struct request *r)
{
	struct cw_pool *pool = r->pool;
	struct cw_list *after = pool->waiting.prev;

	while (after != &pool->waiting && cw_list_entry(after, struct request, link)->id > r->id)
		after = after->prev;
	cw_list_prepend(after, &r->link);
	pool->nwaiting++;
	pool->nleases += r->kind == REQUEST_LEASE;
	if (!cw_timer_pending(pool->deadline) || r->deadline_us < pool->deadline_us) {
		pool->deadline_us = r->deadline_us;
		cw_timer_set_us(pool->deadline, r->deadline_us - cw_clock_mono_us());
	}
	cw_pool_schedule(pool);
}

/* The answer is given at the end of this turn. */
static void refuse(struct request *r, const struct cw_err *err)
{
	r->err = cw_memdup(err, sizeof(*err));
	cw_list_append(&r->pool->answers, &r->link);
	cw_pool_schedule(r->pool);
}

static void expire(struct request *r)
{
	const struct cw_pool *pool = r->pool;
	struct cw_err err;

	unwait(r);
	if (pool->failures > 0)
		cw_err_set(&err, CW_ERR_TIMEOUT, "no database connection within %lld ms: %.300s",
		           (long long)pool->conf.wait_ms, pool->why.msg);
	else
		cw_err_set(&err, CW_ERR_TIMEOUT, "no database connection became free within %lld ms",
		           (long long)pool->conf.wait_ms);
	r->pool->timeouts++;
	refuse(r, &err);
}

static void on_deadline(void *arg)
{
	struct cw_pool *pool = arg;
	int64_t now_us = cw_clock_mono_us(), next_us = INT64_MAX;
	struct cw_list *link, *tmp;

	cw_list_each(link, tmp, &pool->waiting) {
		struct request *r = cw_list_entry(link, struct request, link);

		if (r->deadline_us <= now_us)
			expire(r);
		else if (r->deadline_us < next_us)
			next_us = r->deadline_us;
	}
	pool->deadline_us = next_us;
	if (next_us != INT64_MAX)
		cw_timer_set_us(pool->deadline, next_us - now_us);
}

/* ---- running ---- */

static bool is_lost(const struct cw_err *err)
{
	return strncmp(err->sqlstate, "08", 2) == 0 || strncmp(err->sqlstate, "57P", 3) == 0;
}

/* Reads only: asked again where it was not their own fault. */
static bool ask_again(struct request *r, const struct cw_err *err)
{
	if (err == NULL || r->kind != REQUEST_READ || r->fn == NULL || r->pool->closing)
		return false;
	if (is_lost(err) && !r->retried)
		r->retried = true;
	else if (!(r->grouped && err->code == CW_ERR_CANCELLED && err->sqlstate[0] == '\0'))
		return false;            /* not: another read of the same transaction failed before it */
	r->alone = true;
	wait_for_slot(r);
	return true;
}

/* A moving mean that believes good news sooner than bad: on a busy machine even the fastest statement waits for a
 * processor at times, and to take it for slow then would spread the load over more connections and make it worse. A
 * statement that is slow by itself never brings good news. */
static int64_t moved(int64_t mean_us, int64_t sample_us)
{
	return mean_us + (sample_us - mean_us) / (sample_us < mean_us ? 4 : 32);
}

static void note_time(struct request *r, struct slot *slot, bool ok)
{
	int64_t now_us = cw_clock_mono_us();
	int64_t from_us = r->sent_us > slot->last_answer_us ? r->sent_us : slot->last_answer_us;
	struct stat *s = r->stat;

	cw_metric_observe(s->seconds, (double)(now_us - r->sent_us) / 1e6);
	slot->last_answer_us = now_us;
	/* A group is answered as a whole, so each member takes the time of all for its own. One slow among fast ones makes
	 * them all be sent alone soon; then each shows what it is. */
	if (r->first)
		slot->group_from_us = from_us;
	if (r->grouped)
		from_us = slot->group_from_us;
	if (!ok)
		return;
	s->mean_us = s->mean_us < 0 ? now_us - from_us : moved(s->mean_us, now_us - from_us);
	s->cost_us = s->cost_us == 0 ? s->mean_us : moved(s->cost_us, (now_us - from_us) / r->members);
}

bool cw_pool_outlived(struct cw_pool *pool, const struct cw_err *err)
{
	int64_t now_us = cw_clock_mono_us();

	if (strcmp(err->sqlstate, "25006") != 0)
		return false;
	if (pool->renewed_us != 0 && now_us - pool->renewed_us < RENEW_US)
		return true;
	pool->renewed_us = now_us;
	pool->generation++;
	cw_log_err(CW_LOG_WARN, "pg", "the database takes no writes, its connections are opened anew", err);
	cw_timer_set(pool->housekeeping, 0);
	return true;
}

static void retire_or_keep(struct slot *slot)
{
	if (!slot->doomed) {
		slot_set_state(slot, SLOT_IDLE);
		return;
	}
	slot->pool->recycled++;
	cw_slot_close(slot);
}

/* All bookkeeping first: the callback may free the pool. */
static void on_answer(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct request *r = CW_CAST(arg, REQUEST_MAGIC);
	struct cw_pool *pool = r->pool;
	struct slot *slot = r->slot;

	cw_list_remove(&r->link);
	r->slot = NULL;
	slot->depth--;
	slot->slow -= r->slow;
	slot->backlog_us -= r->cost_us;
	note_time(r, slot, err == NULL);
	if (err != NULL)
		cw_pool_outlived(pool, err);
	if (slot->depth == 0 && slot->state == SLOT_BUSY && slot->conn != NULL &&
	    cw_conn_state(slot->conn) == CW_CONN_READY)
		retire_or_keep(slot);
	if (pool->nwaiting > 0)
		cw_pool_schedule(pool);
	if (ask_again(r, err))
		return;
	if (r->fn != NULL)
		r->fn(r->arg, res, err);
	request_free(r);
}

static void send_request(struct slot *slot, struct request *r)
{
	struct cw_params p;

	p.count = r->nparams;
	if (r->nparams > 0) {
		memcpy(p.types, r->types, (size_t)r->nparams * sizeof(*p.types));
		memcpy(p.lengths, r->lengths, (size_t)r->nparams * sizeof(*p.lengths));
		memcpy(p.values, r->values, (size_t)r->nparams * sizeof(*p.values));
	}
	unwait(r);
	r->slot = slot;
	r->sent_us = cw_clock_mono_us();
	cw_metric_observe(slot->pool->waits, (double)(r->sent_us - r->asked_us) / 1e6);
	r->slow = r->stat->mean_us < 0 || r->stat->mean_us > SLOW_US;
	r->cost_us = r->stat->cost_us;
	slot->slow += r->slow;
	slot->backlog_us += r->cost_us;
	slot->depth++;
	slot->pool->checkouts++;
	cw_list_append(&slot->running, &r->link);
	if (slot->state != SLOT_BUSY)
		slot_set_state(slot, SLOT_BUSY);
	if (r->kind == REQUEST_READ)
		cw_conn_query(slot->conn, &r->stmt, &p, on_answer, r);
	else
		cw_conn_exec(slot->conn, &r->stmt, &p, on_answer, r);
}

static bool may_group(const struct request *r)
{
	return r->kind == REQUEST_READ && !r->alone && r->stat->mean_us >= 0 && r->stat->mean_us <= SLOW_US;
}

/* Sends the oldest request, and with a fast read those of its kind that wait right behind it. */
static void send_next(struct cw_pool *pool, struct slot *slot)
{
	struct request *r = cw_list_entry(pool->waiting.next, struct request, link);
	bool group = may_group(r), read = r->kind == REQUEST_READ;
	int n = 0;

	do {
		r->grouped = group;
		r->first = n == 0;
		r->members = group && pool->nwaiting < GROUP_MAX ? n + pool->nwaiting : group ? GROUP_MAX : 1;
		send_request(slot, r);
		n++;
		r = cw_list_entry(pool->waiting.next, struct request, link);
	} while (group && n < GROUP_MAX && !cw_list_empty(&pool->waiting) && may_group(r));
	if (read)
		cw_conn_sync(slot->conn, NULL, NULL);
}

/* The busy connection with the shortest pipeline, if sharing one is right at all. While a lease waits it is not: no
 * connection would ever become idle. */
static struct slot *take_shared(const struct cw_pool *pool)
{
	struct slot *best = NULL;
	struct cw_list *link, *tmp;

	if (pool->nleases > 0)
		return NULL;
	cw_list_each(link, tmp, &pool->slots[SLOT_BUSY]) {
		struct slot *slot = cw_list_entry(link, struct slot, link);

		if (slot->slow == 0 && !slot->doomed && slot->depth < SHARE_DEPTH && cw_conn_state(slot->conn) == CW_CONN_READY &&
		    (best == NULL || slot->depth < best->depth))
			best = slot;
	}
	return best;
}

/* Where a request goes: to an idle connection as long as few are busy; then, if it is fast, behind others that are fast,
 * too, since a server process that is awake takes the next statement for much less than one that must be woken; then
 * again to an idle one; then behind whatever is not slow. */
static struct slot *choose(struct cw_pool *pool, const struct request *r)
{
	struct slot *slot = NULL;

	if (r->kind != REQUEST_LEASE && r->stat->mean_us >= 0 && pool->nslots[SLOT_BUSY] >= pool->hot) {
		slot = take_shared(pool);
		if (slot != NULL && slot->backlog_us + r->stat->cost_us > BACKLOG_US)
			slot = NULL;
	}
	if (slot == NULL)
		slot = cw_pool_take_idle(pool);
	if (slot != NULL || r->kind == REQUEST_LEASE)
		return slot;
	slot = take_shared(pool);
	if (slot != NULL && slot->backlog_us + r->stat->cost_us > BACKLOG_US)
		cw_pool_grow(pool, 1, pool->conf.size);
	return slot;
}

static void grant(struct slot *slot, struct request *r)
{
	struct cw_lease *lease = cw_zalloc(sizeof(*lease));

	lease->magic = LEASE_MAGIC;
	lease->slot = slot;
	lease->conn = slot->conn;
	slot->lease = lease;
	slot_set_state(slot, SLOT_LEASED);
	slot->pool->checkouts++;
	cw_metric_observe(slot->pool->waits, (double)(cw_clock_mono_us() - r->asked_us) / 1e6);
	unwait(r);
	r->lease = lease;
	cw_list_append(&slot->pool->answers, &r->link);
}

/* How many new connections the waiting ones are worth. One at a time for fast statements, which an open connection will
 * take soon, and for those not seen before: they may turn out to be fast while it opens. */
static int wanted(const struct cw_pool *pool, const struct request *r)
{
	if (r->kind == REQUEST_LEASE)
		return pool->nleases;
	return r->stat->mean_us > SLOW_US ? pool->nwaiting : 1;
}

/* Gives connections to those who wait, in order of arrival. Calls nobody back. */
static void dispatch(struct cw_pool *pool)
{
	while (!cw_list_empty(&pool->waiting)) {
		struct request *r = cw_list_entry(pool->waiting.next, struct request, link);
		struct slot *slot = choose(pool, r);

		if (slot == NULL) {
			cw_pool_grow(pool, wanted(pool, r), pool->conf.size + pool->conf.overflow);
			return;
		}
		if (r->kind == REQUEST_LEASE)
			grant(slot, r);
		else
			send_next(pool, slot);
	}
}

/* ---- answers ---- */

static void deliver_one(struct request *r)
{
	struct cw_lease *lease = r->lease;

	cw_list_remove(&r->link);
	if (r->kind == REQUEST_LEASE && r->lease_fn != NULL)
		r->lease_fn(r->arg, lease, r->err);
	else if (r->kind == REQUEST_LEASE && lease != NULL)
		cw_lease_release(&lease, 1);     /* nobody wants it any more */
	else if (r->fn != NULL)
		r->fn(r->arg, NULL, r->err);
	request_free(r);
}

/* Dispatch and answers, at the end of a turn. The pool may be freed by a callback. */
static void run(void *arg)
{
	struct cw_pool *pool = arg;
	bool gone = false, *outer = pool->gone;

	pool->scheduled = false;
	pool->gone = &gone;
	dispatch(pool);
	pool->dispatch++;
	while (!gone && !cw_list_empty(&pool->answers))
		deliver_one(cw_list_entry(pool->answers.next, struct request, link));
	if (gone && outer != NULL)
		*outer = true;
	if (!gone)
		pool->gone = outer;
}

void cw_pool_schedule(struct cw_pool *pool)
{
	if (pool->scheduled || pool->closing)
		return;
	pool->scheduled = true;
	cw_loop_defer(pool->loop, run, pool);
}

/* ---- metrics ---- */

static const struct {
	const char *name, *help;
} gauge_names[] = {
	{ "chainwatch_db_pool_connections", "open database connections" },
	{ "chainwatch_db_pool_busy", "database connections in use" },
	{ "chainwatch_db_pool_idle", "database connections that wait for work" },
	{ "chainwatch_db_pool_connecting", "database connections being opened" },
	{ "chainwatch_db_pool_waiting", "requests that wait for a database connection" },
}, counter_names[] = {
	{ "chainwatch_db_pool_checkouts_total", "requests that got a database connection" },
	{ "chainwatch_db_pool_timeouts_total", "requests that waited for a database connection in vain" },
	{ "chainwatch_db_pool_refused_total", "requests refused because the queue was full" },
	{ "chainwatch_db_pool_recycled_total", "database connections closed for their age or state" },
	{ "chainwatch_db_pool_failed_total", "failed attempts to open a database connection" },
};

static void collect(void *arg)
{
	struct cw_pool *pool = arg;
	struct cw_pool_stats s = cw_pool_stats(pool);
	const int gauges[] = { s.size, s.busy, s.idle, s.connecting, s.waiting };
	const uint64_t counters[] = { s.checkouts, s.timeouts, s.refused, s.recycled, s.failed };

	cw_metric_set(cw_gauge("chainwatch_db_pool_limit", "connections that may be open at once", NULL),
	              pool->conf.size + pool->conf.overflow);

	for (int i = 0; i < 5; i++) {
		cw_metric_set(cw_gauge(gauge_names[i].name, gauge_names[i].help, NULL), gauges[i]);
		cw_metric_set(cw_counter(counter_names[i].name, counter_names[i].help, NULL), (double)counters[i]);
	}
}

/* ---- public ---- */

static int check_conf(const struct cw_pool_conf *conf, struct cw_err *err)
{
	if (conf->conninfo == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "no connection string for the database");
	if (conf->size < 1 || conf->size > 1000)
		return cw_err_set(err, CW_ERR_INVALID, "pool size %d is not between 1 and 1000", conf->size);
	if (conf->overflow < 0 || conf->overflow > 1000)
		return cw_err_set(err, CW_ERR_INVALID, "pool overflow %d is not between 0 and 1000", conf->overflow);
	if (conf->queue_limit < 1)
		return cw_err_set(err, CW_ERR_INVALID, "queue limit %d of the pool is less than 1", conf->queue_limit);
	if (conf->wait_ms < 1 || conf->connect_ms < 1 || conf->recycle_s < 1 || conf->check_idle_s < 0 ||
	    conf->statement_ms < 0)
		return cw_err_set(err, CW_ERR_INVALID, "a time of the pool is too short");
	if (conf->wait_ms > 86400000 || conf->connect_ms > 86400000 || conf->recycle_s > 31536000 ||
	    conf->check_idle_s > 31536000 || conf->statement_ms > INT32_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "a time of the pool is too long");
	return cw_conninfo_check(conf->conninfo, err);
}

static void take_conf(struct cw_pool *pool, const struct cw_pool_conf *conf)
{
	if (pool->conninfo == NULL || strcmp(pool->conninfo, conf->conninfo) != 0 ||
	    pool->conf.statement_ms != conf->statement_ms) {
		char *conninfo = cw_strdup(conf->conninfo);

		cw_free(pool->conninfo);
		pool->conninfo = conninfo;
		pool->generation++;
	}
	pool->conf = *conf;
	pool->conf.conninfo = pool->conninfo;
}

struct cw_pool *cw_pool_new(struct cw_loop *loop, const struct cw_pool_conf *conf, struct cw_err *err)
{
	struct cw_pool *pool;

	if (check_conf(conf, err) != 0)
		return NULL;
	pool = cw_zalloc(sizeof(*pool));
	pool->loop = loop;
	pool->dispatch = 1;
	take_conf(pool, conf);
	for (int i = 0; i < SLOT_STATES; i++)
		cw_list_init(&pool->slots[i]);
	cw_list_init(&pool->waiting);
	cw_list_init(&pool->answers);
	pool->deadline = cw_timer_new(loop, on_deadline, pool);
	pool->backoff = cw_timer_new(loop, cw_pool_backoff_over, pool);
	pool->housekeeping = cw_timer_new(loop, cw_pool_housekeeping, pool);
	cw_timer_set(pool->housekeeping, 0);     /* opens the first connection */
	pool->stats = cw_map_new();
	/* Measured with look-ups on two processors: 4 gave 1.5 times what 2 gave, and more than 4 gave less. */
	pool->hot = (int)sysconf(_SC_NPROCESSORS_ONLN) * 2;
	if (pool->hot > HOT_MAX || pool->hot < 2)
		pool->hot = HOT_MAX;
	pool->random = (uint64_t)cw_clock_wall_us() | 1;
	pool->waits = cw_histogram("chainwatch_db_pool_wait_seconds", "from the call to its database connection", NULL,
	                           query_bounds, sizeof(query_bounds) / sizeof(*query_bounds));
	cw_metrics_on_collect(collect, pool);
	return pool;
}

/* Answers everything, in order: what runs, by the end of its connection; then what waits. */
static void close_all(struct cw_pool *pool)
{
	struct cw_list *link;
	struct cw_err err;

	cw_err_set(&err, CW_ERR_CANCELLED, "the database pool was closed");
	for (link = pool->answers.next; link != &pool->answers; link = link->next) {
		struct request *r = cw_list_entry(link, struct request, link);

		if (r->lease == NULL)
			continue;
		r->lease->slot->lease = NULL;            /* granted, but nobody knows yet */
		cw_free(r->lease);
		r->lease = NULL;
		r->err = cw_memdup(&err, sizeof(err));
	}
	for (int i = 0; i < SLOT_STATES; i++)
		while (!cw_list_empty(&pool->slots[i])) {
			struct slot *slot = cw_list_entry(pool->slots[i].next, struct slot, link);

			if (slot->lease != NULL) {
				slot->lease->slot = NULL;        /* the lease takes the connection along */
				slot->lease = NULL;
				cw_conn_close(slot->conn);
				slot->conn = NULL;
			}
			cw_slot_close(slot);
		}
	while ((link = pool->waiting.next) != &pool->waiting) {
		struct request *r = cw_list_entry(link, struct request, link);

		unwait(r);
		refuse(r, &err);
	}
	while (!cw_list_empty(&pool->answers))
		deliver_one(cw_list_entry(pool->answers.next, struct request, link));
}

void cw_pool_free(struct cw_pool **pool)
{
	struct cw_pool *p = *pool;
	struct stat *s;
	size_t at = 0;

	*pool = NULL;
	if (p == NULL)
		return;
	p->closing = true;
	cw_loop_undefer(p->loop, run, p);
	close_all(p);
	cw_metrics_off_collect(collect, p);
	if (p->gone != NULL)
		*p->gone = true;
	cw_timer_free(&p->deadline);
	cw_timer_free(&p->backoff);
	cw_timer_free(&p->housekeeping);
	while ((s = cw_map_next(p->stats, &at, NULL, NULL)) != NULL)
		cw_free(s);
	cw_map_free(&p->stats);
	cw_free(p->conninfo);
	cw_free(p);
}

int cw_pool_reconfigure(struct cw_pool *pool, const struct cw_pool_conf *conf, struct cw_err *err)
{
	if (check_conf(conf, err) != 0)
		return -1;
	take_conf(pool, conf);
	cw_timer_set(pool->housekeeping, 0);
	return 0;
}

static uint64_t submit(struct cw_pool *pool, struct request *r)
{
	struct cw_err err;

	r->asked_us = cw_clock_mono_us();
	r->deadline_us = r->asked_us + pool->conf.wait_ms * 1000;
	if (pool->closing) {
		cw_err_set(&err, CW_ERR_CANCELLED, "the database pool was closed");
		refuse(r, &err);
		return r->id;
	}
	/* Many calls in one turn: they may find room before the turn ends. */
	if (pool->nwaiting >= pool->conf.queue_limit)
		dispatch(pool);
	if (pool->nwaiting >= pool->conf.queue_limit) {
		pool->refused++;
		cw_err_set(&err, CW_ERR_BUSY, "%d requests wait for a database connection already", pool->nwaiting);
		refuse(r, &err);
	} else {
		wait_for_slot(r);
	}
	return r->id;
}

static uint64_t submit_query(struct cw_pool *pool, enum request_kind kind, const struct cw_stmt *stmt,
                             const struct cw_params *params, cw_query_fn *fn, void *arg)
{
	struct request *r = request_new(pool, kind, stmt, params);

	r->fn = fn;
	r->arg = arg;
	r->stat = stat_of(pool, stmt->name);
	return submit(pool, r);
}

uint64_t cw_pool_query(struct cw_pool *pool, const struct cw_stmt *stmt, const struct cw_params *params,
                       cw_query_fn *fn, void *arg)
{
	return submit_query(pool, REQUEST_QUERY, stmt, params, fn, arg);
}

uint64_t cw_pool_read(struct cw_pool *pool, const struct cw_stmt *stmt, const struct cw_params *params,
                      cw_query_fn *fn, void *arg)
{
	return submit_query(pool, REQUEST_READ, stmt, params, fn, arg);
}

uint64_t cw_pool_lease(struct cw_pool *pool, cw_lease_fn *fn, void *arg)
{
	struct request *r = request_new(pool, REQUEST_LEASE, NULL, NULL);

	r->lease_fn = fn;
	r->arg = arg;
	return submit(pool, r);
}

static struct request *find_in(struct cw_list *list, uint64_t id)
{
	struct cw_list *link, *tmp;

	cw_list_each(link, tmp, list) {
		struct request *r = cw_list_entry(link, struct request, link);

		if (r->id == id)
			return r;
	}
	return NULL;
}

/* Nobody wants the answer: a statement that takes long and is alone on its connection is cancelled on the server, too. A
 * fast one has ended before a cancel would be there, and costs no connection. */
static void stop_running(struct request *r)
{
	struct slot *slot = r->slot;

	if (slot == NULL || slot->depth != 1 || slot->doomed ||
	    (!r->slow && cw_clock_mono_us() - r->sent_us < SLOW_US))
		return;
	slot->doomed = true;
	cw_conn_cancel(slot->conn);
}

/* What runs or is about to be answered stays where it is, without a callback. */
void cw_pool_cancel(struct cw_pool *pool, uint64_t query)
{
	struct request *r = find_in(&pool->waiting, query);
	struct cw_list *link, *tmp;

	if (r != NULL) {
		unwait(r);
		request_free(r);
		cw_pool_schedule(pool);
		return;
	}
	r = find_in(&pool->answers, query);
	cw_list_each(link, tmp, &pool->slots[SLOT_BUSY]) {
		if (r != NULL)
			break;
		r = find_in(&cw_list_entry(link, struct slot, link)->running, query);
	}
	if (r != NULL) {
		r->fn = NULL;
		r->lease_fn = NULL;
		stop_running(r);
	}
}

struct cw_conn *cw_lease_conn(struct cw_lease *lease)
{
	return lease->conn;
}

void cw_lease_release(struct cw_lease **lease, int clean)
{
	struct cw_lease *l = *lease;

	*lease = NULL;
	if (l == NULL)
		return;
	cw_assert(l->magic == LEASE_MAGIC);
	if (l->slot == NULL) {
		cw_conn_free(&l->conn);
	} else {
		l->slot->lease = NULL;
		cw_slot_give_back(l->slot, clean != 0);
	}
	l->magic = 0;
	cw_free(l);
}

struct cw_pool_stats cw_pool_stats(const struct cw_pool *pool)
{
	return (struct cw_pool_stats){
		.size = cw_pool_open_slots(pool) - pool->nslots[SLOT_CONNECTING],
		.busy = pool->nslots[SLOT_BUSY] + pool->nslots[SLOT_LEASED] + pool->nslots[SLOT_DRAINING],
		.idle = pool->nslots[SLOT_IDLE] + pool->nslots[SLOT_CHECKING],
		.connecting = pool->nslots[SLOT_CONNECTING],
		.waiting = pool->nwaiting,
		.checkouts = pool->checkouts,
		.timeouts = pool->timeouts,
		.refused = pool->refused,
		.recycled = pool->recycled,
		.failed = pool->failed,
	};
}

int cw_pool_healthy(const struct cw_pool *pool)
{
	return pool->failures == 0 || cw_pool_open_slots(pool) > pool->nslots[SLOT_CONNECTING];
}
