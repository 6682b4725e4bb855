/* The pool's connections: opened on demand, checked, recycled, given up. */
#include "pg/pool_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"

#define SLOT_MAGIC        0x50474c53u
#define BACKOFF_MIN_MS    100
#define BACKOFF_MAX_MS    1000      /* clients wait: a database that is back is found within a second and a half */
#define HOUSEKEEPING_MS   1000
#define CONNECTING_MAX    4         /* at once: a new session costs the server some milliseconds of CPU */
#define IDLE_TRANSACTION  "60000"   /* a script that never ends its transaction must not hold back vacuum for ever */

static uint64_t next_random(struct cw_pool *pool)
{
	pool->random ^= pool->random << 13;
	pool->random ^= pool->random >> 7;
	pool->random ^= pool->random << 17;
	return pool->random;
}

void slot_set_state(struct slot *slot, enum slot_state state)
{
	struct cw_pool *pool = slot->pool;

	cw_list_remove(&slot->link);
	pool->nslots[slot->state]--;
	slot->state = state;
	pool->nslots[state]++;
	if (state == SLOT_IDLE)
		slot->idle_since_us = cw_clock_mono_us();
	cw_list_prepend(&pool->slots[state], &slot->link);
}

int cw_pool_open_slots(const struct cw_pool *pool)
{
	int n = 0;

	for (int i = 0; i < SLOT_STATES; i++)
		n += pool->nslots[i];
	return n;
}

/* Requests that run on it are answered by the connection's end. A lease keeps the dead connection until it ends. */
void cw_slot_close(struct slot *slot)
{
	struct cw_pool *pool = slot->pool;

	cw_assert(slot->lease == NULL);
	/* Out of sight first: the answers' callbacks may come back to the pool. */
	cw_list_remove(&slot->link);
	pool->nslots[slot->state]--;
	cw_conn_free(&slot->conn);
	slot->magic = 0;
	cw_free(slot);
}

static bool outdated(const struct slot *slot)
{
	const struct cw_pool *pool = slot->pool;

	return slot->generation != pool->generation || cw_clock_mono_us() > slot->expires_us ||
	       cw_pool_open_slots(pool) > pool->conf.size + pool->conf.overflow;
}

/* ---- connecting ---- */

static void on_session_set(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	if (err != NULL && err->code != CW_ERR_CANCELLED)
		cw_log_err(CW_LOG_WARN, "pg", "could not set the time-outs of a session", err);
}

/* Goes ahead of the first query; nobody waits for it. */
static void set_session(struct slot *slot)
{
	static const struct cw_stmt stmt = { "", "SELECT set_config('statement_timeout', $1, false), "
		                                     "set_config('idle_in_transaction_session_timeout', $2, false)" };
	struct cw_arena *arena = cw_arena_new();
	struct cw_params p;
	char ms[24];

	snprintf(ms, sizeof(ms), "%lld", (long long)slot->pool->conf.statement_ms);
	cw_params_init(&p, arena);
	cw_params_cstring(&p, ms);
	cw_params_cstring(&p, IDLE_TRANSACTION);
	cw_conn_query(slot->conn, &stmt, &p, on_session_set, slot);
	cw_conn_sync(slot->conn, NULL, NULL);
	cw_arena_free(&arena);
}

static void back_off(struct cw_pool *pool)
{
	_Static_assert(BACKOFF_MIN_MS << 3 <= BACKOFF_MAX_MS, "four times the double is the most");
	int64_t ms = pool->failures < 5 ? (int64_t)BACKOFF_MIN_MS << (pool->failures - 1) : BACKOFF_MAX_MS;

	/* half to one and a half: a hundred engines must not come back in the same moment */
	cw_timer_set(pool->backoff, ms / 2 + (int64_t)(next_random(pool) % (uint64_t)ms));
}

static void note_failure(struct cw_pool *pool, const struct cw_err *err)
{
	pool->failed++;
	pool->failures++;
	pool->why = *err;
	if (pool->failures == 1)
		cw_log_err(CW_LOG_WARN, "pg", "could not open a database connection", err);
	back_off(pool);
}

static void on_death(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	struct slot *slot = CW_CAST(arg, SLOT_MAGIC);
	struct cw_pool *pool = slot->pool;

	(void)conn;
	cw_log_err(CW_LOG_DEBUG, "pg", "a database connection was lost", err);
	pool->why = *err;
	if (slot->lease == NULL)
		cw_slot_close(slot);
	cw_pool_schedule(pool);
}

static void on_ready(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	struct slot *slot = CW_CAST(arg, SLOT_MAGIC);
	struct cw_pool *pool = slot->pool;

	if (err != NULL) {
		note_failure(pool, err);
		cw_slot_close(slot);
		return;
	}
	if (pool->failures > 0)
		cw_log(CW_LOG_INFO, "pg", "the database answers again", "failures=%d", pool->failures);
	pool->failures = 0;
	cw_timer_clear(pool->backoff);
	cw_conn_on_death(conn, on_death, slot);
	set_session(slot);
	slot_set_state(slot, SLOT_IDLE);
	slot->proven = pool->dispatch;
	cw_pool_schedule(pool);
}

static void open_slot(struct cw_pool *pool)
{
	struct slot *slot = cw_zalloc(sizeof(*slot));
	int64_t age_us = pool->conf.recycle_s * 1000000;

	slot->magic = SLOT_MAGIC;
	slot->pool = pool;
	slot->generation = pool->generation;
	slot->expires_us = cw_clock_mono_us() + age_us - age_us / 10 +
	                   (int64_t)(next_random(pool) % (uint64_t)(age_us / 5 + 1));
	cw_list_init(&slot->running);
	slot->state = SLOT_CONNECTING;
	pool->nslots[SLOT_CONNECTING]++;
	cw_list_append(&pool->slots[SLOT_CONNECTING], &slot->link);
	slot->conn = cw_conn_new(pool->loop, pool->conninfo, pool->conf.connect_ms, on_ready, slot);
}

void cw_pool_grow(struct cw_pool *pool, int want, int limit)
{
	int coming = pool->nslots[SLOT_CONNECTING] + pool->nslots[SLOT_CHECKING];
	/* After a failure one attempt finds out; the others follow when it succeeds. */
	int most = pool->failures > 0 ? 1 : CONNECTING_MAX;

	if (cw_timer_pending(pool->backoff))
		return;
	for (; coming < want && pool->nslots[SLOT_CONNECTING] < most && cw_pool_open_slots(pool) < limit; coming++)
		open_slot(pool);
}

void cw_pool_backoff_over(void *arg)
{
	struct cw_pool *pool = arg;

	if (pool->nwaiting == 0 && cw_pool_open_slots(pool) == 0)
		open_slot(pool);         /* so that healthy becomes true again by itself */
	cw_pool_schedule(pool);
}

/* ---- use ---- */

static void on_checked(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct slot *slot = CW_CAST(arg, SLOT_MAGIC);

	(void)res;
	if (err != NULL)
		return;                  /* its death follows */
	if (slot->state == SLOT_CHECKING) {
		slot_set_state(slot, SLOT_IDLE);
		slot->proven = slot->pool->dispatch;     /* else, checked after no idle time at all, it would be for ever */
	}
	cw_pool_schedule(slot->pool);
}

/* Where the other side has vanished without a word, the check goes unanswered: after a while housekeeping gives up. */
static void check(struct slot *slot)
{
	slot_set_state(slot, SLOT_CHECKING);
	slot->idle_since_us = cw_clock_mono_us();
	cw_conn_sync(slot->conn, on_checked, slot);
}

struct slot *cw_pool_take_idle(struct cw_pool *pool)
{
	int64_t now_us = cw_clock_mono_us();

	while (!cw_list_empty(&pool->slots[SLOT_IDLE])) {
		struct slot *slot = cw_list_entry(pool->slots[SLOT_IDLE].next, struct slot, link);

		if (outdated(slot)) {
			pool->recycled++;
			cw_slot_close(slot);
		} else if (slot->proven != pool->dispatch && now_us - slot->idle_since_us > pool->conf.check_idle_s * 1000000) {
			check(slot);
		} else {
			return slot;
		}
	}
	return NULL;
}

static void on_drained(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct slot *slot = CW_CAST(arg, SLOT_MAGIC);

	(void)res;
	if (err == NULL && slot->state == SLOT_DRAINING)
		cw_slot_give_back(slot, true);
}

void cw_slot_give_back(struct slot *slot, bool clean)
{
	struct cw_pool *pool = slot->pool;

	if (clean && cw_conn_state(slot->conn) == CW_CONN_READY && cw_conn_in_flight(slot->conn) > 0) {
		slot_set_state(slot, SLOT_DRAINING);
		cw_conn_sync(slot->conn, on_drained, slot);
		return;
	}
	if (clean && cw_conn_is_clean(slot->conn) && !outdated(slot)) {
		slot_set_state(slot, SLOT_IDLE);
	} else {
		pool->recycled++;
		cw_slot_close(slot);
	}
	cw_pool_schedule(pool);
}

/* ---- once a second ---- */

/* Idle connections above the size, longest idle first; old ones; checks without answer. */
void cw_pool_housekeeping(void *arg)
{
	struct cw_pool *pool = arg;
	int64_t now_us = cw_clock_mono_us();
	struct cw_list *link, *tmp, *idle = &pool->slots[SLOT_IDLE];

	while (cw_pool_open_slots(pool) > pool->conf.size && !cw_list_empty(idle)) {
		struct slot *slot = cw_list_entry(idle->prev, struct slot, link);

		if (now_us - slot->idle_since_us < HOUSEKEEPING_MS * 1000)
			break;
		cw_slot_close(slot);
	}
	cw_list_each(link, tmp, idle) {
		struct slot *slot = cw_list_entry(link, struct slot, link);

		if (outdated(slot)) {
			pool->recycled++;
			cw_slot_close(slot);
		}
	}
	cw_list_each(link, tmp, &pool->slots[SLOT_CHECKING]) {
		struct slot *slot = cw_list_entry(link, struct slot, link);

		if (now_us - slot->idle_since_us > pool->conf.connect_ms * 1000) {
			pool->failed++;
			cw_slot_close(slot);
		}
	}
	if (cw_pool_open_slots(pool) == 0 && !cw_timer_pending(pool->backoff))
		open_slot(pool);
	cw_timer_set(pool->housekeeping, HOUSEKEEPING_MS);
	cw_pool_schedule(pool);
}
