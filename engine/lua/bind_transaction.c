/* bind_transaction.c - what db.transaction() in boot.lua stands on.
 *
 *   start(isolation, read_only, timeout_ms, pause_ms)   begins, or sets a savepoint in the one that is open
 *   finish(commit)                                      true: commits or releases; false: rolls back
 *   collect() -> true | nil, err                        err.again: rolled back, and may succeed when done again
 *   depth() -> 0 outside, 1 in a transaction, more in nested ones
 *
 * What may be done again: serialization failures and deadlocks (40001, 40P01), and a connection that was lost before
 * COMMIT was sent. A lost answer to COMMIT is error 08007: nobody knows. */
#include "lua/transaction.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "lua/bind.h"
#include "lua/guard.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "pg/pool.h"

#define TRANSACTION_MAGIC 0x54584e21u
#define STATEMENT_MS 30000           /* database.statement_ms as it comes: who asks for more has it for his statements too */
#define DEPTH_MAX 16             /* nested ones; more is a recursion that does not end */

struct cw_transaction {
	uint32_t magic;
	struct cw_job *job;
	struct cw_pool *pool;
	struct cw_lease *lease;
	uint64_t asking, ticket;
	struct cw_timer *timer;      /* the pause before, then the time-out */
	int64_t timeout_ms;
	char begin[80];
	int depth;
	bool again, lasting;         /* lasting: a savepoint does not help */
	struct cw_err why;           /* code OK: nothing has failed */
};

static void count(const char *result)
{
	char labels[40];

	snprintf(labels, sizeof(labels), "result=\"%s\"", result);
	cw_metric_add(cw_counter("chainwatch_db_transactions_total", "transactions of scripts, by their end", labels), 1);
}

static bool is_lost(const struct cw_err *err)
{
	return strncmp(err->sqlstate, "08", 2) == 0 || strncmp(err->sqlstate, "57P", 3) == 0;
}

static bool is_conflict(const struct cw_err *err)
{
	return strcmp(err->sqlstate, "40001") == 0 || strcmp(err->sqlstate, "40P01") == 0;
}

/* The connection is given back: clean after COMMIT or ROLLBACK was sent, else it is closed, which rolls back. */
static void end(struct cw_transaction *tx, bool clean)
{
	struct cw_lease *lease = tx->lease;

	tx->lease = NULL;
	if (tx->asking != 0)
		cw_pool_cancel(tx->pool, tx->asking);
	tx->asking = 0;
	cw_timer_free(&tx->timer);
	if (lease == NULL)
		return;
	cw_conn_forget(cw_lease_conn(lease), tx);
	if (!clean && cw_conn_in_flight(cw_lease_conn(lease)) > 0)
		cw_conn_cancel(cw_lease_conn(lease));
	cw_lease_release(&lease, clean);
}

static void drop(void *held)
{
	struct cw_transaction *tx = CW_CAST(held, TRANSACTION_MAGIC);

	end(tx, false);
	count("dropped");
	tx->magic = 0;
	cw_free(tx);
}

static void forget(struct cw_transaction *tx)
{
	cw_job_hold(tx->job, NULL, NULL);
	tx->magic = 0;
	cw_free(tx);
}

struct cw_transaction *cw_transaction_of(const struct cw_job *job)
{
	return cw_job_held(job) != NULL ? CW_CAST(cw_job_held(job), TRANSACTION_MAGIC) : NULL;
}

struct cw_conn *cw_transaction_conn(const struct cw_transaction *tx, struct cw_err *err)
{
	if (tx->why.code == CW_OK && tx->lease != NULL)
		return cw_lease_conn(tx->lease);
	*err = tx->why;
	cw_err_wrap(err, "the transaction has failed and can only be rolled back");
	return NULL;
}

static void note(struct cw_transaction *tx, const struct cw_err *err)
{
	if (tx->why.code != CW_OK)
		return;
	tx->why = *err;
	tx->lasting = is_lost(err) || is_conflict(err);
	tx->again = tx->lasting;
}

void cw_transaction_failed(struct cw_transaction *tx, struct cw_err *err)
{
	note(tx, err);
	*err = tx->why;
}

static void on_settled(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)res;
	if (err != NULL)
		note(CW_CAST(arg, TRANSACTION_MAGIC), err);
}

/* BEGIN, savepoints: nobody waits for the answer; the next statement would fail, too. */
static void say(struct cw_transaction *tx, const char *sql)
{
	struct cw_stmt stmt = { "", sql };

	cw_conn_exec(cw_lease_conn(tx->lease), &stmt, NULL, on_settled, tx);
}

/* --- begin --- */

static void on_timeout(void *arg)
{
	struct cw_transaction *tx = CW_CAST(arg, TRANSACTION_MAGIC);
	struct cw_lease *lease = tx->lease;

	tx->lease = NULL;
	if (tx->why.code == CW_OK)
		cw_err_set(&tx->why, CW_ERR_TIMEOUT, "the transaction took longer than its %lld ms", (long long)tx->timeout_ms);
	tx->lasting = true;
	tx->again = false;
	if (cw_conn_in_flight(cw_lease_conn(lease)) > 0)
		cw_conn_cancel(cw_lease_conn(lease));
	cw_lease_release(&lease, 0);     /* answers a statement in flight: its job goes on from here, and may be gone after */
}

static void on_lease(void *arg, struct cw_lease *lease, const struct cw_err *err)
{
	struct cw_transaction *tx = CW_CAST(arg, TRANSACTION_MAGIC);

	tx->asking = 0;
	if (err != NULL) {
		tx->why = *err;
	} else {
		tx->lease = lease;
		say(tx, tx->begin);
		if (tx->timeout_ms > STATEMENT_MS) {
			char sql[64];

			snprintf(sql, sizeof(sql), "SET LOCAL statement_timeout = %lld", (long long)tx->timeout_ms);
			say(tx, sql);
		}
		cw_timer_free(&tx->timer);
		tx->timer = cw_timer_new(cw_bind_generation(cw_job_thread(tx->job))->env->loop, on_timeout, tx);
		cw_timer_set(tx->timer, tx->timeout_ms);
	}
	cw_job_resume(tx->job, tx->ticket);
}

static void on_pause_over(void *arg)
{
	struct cw_transaction *tx = CW_CAST(arg, TRANSACTION_MAGIC);

	tx->asking = cw_pool_lease(tx->pool, on_lease, tx);
}

/* true, nil, err for boot.lua: answered at once. */
static int refuse(lua_State *L, const struct cw_err *err)
{
	lua_pushboolean(L, 1);
	lua_pushnil(L);
	cw_bind_push_error(L, err, NULL);
	return 3;
}

static int settled(lua_State *L)
{
	lua_pushboolean(L, 1);
	lua_pushboolean(L, 1);
	return 2;
}

static int nest(lua_State *L, struct cw_transaction *tx)
{
	struct cw_err err;
	char sql[40];

	if (cw_transaction_conn(tx, &err) == NULL)
		return refuse(L, &err);
	if (tx->depth >= DEPTH_MAX)
		return luaL_error(L, "db.transaction: more than %d inside each other", DEPTH_MAX);
	snprintf(sql, sizeof(sql), "SAVEPOINT cw_%d", tx->depth++);
	say(tx, sql);
	return settled(L);
}

/* start(isolation, read_only, timeout_ms, pause_ms): boot.lua has checked them. */
static int l_start(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_transaction *tx = cw_transaction_of(job);
	int64_t pause_ms = (int64_t)lua_tonumber(L, 4);

	if (tx != NULL)
		return nest(L, tx);
	tx = cw_zalloc(sizeof(*tx));
	tx->magic = TRANSACTION_MAGIC;
	tx->job = job;
	tx->pool = env->pool;
	tx->timeout_ms = (int64_t)lua_tonumber(L, 3);
	tx->depth = 1;
	tx->ticket = cw_job_ticket(job);
	snprintf(tx->begin, sizeof(tx->begin), "BEGIN ISOLATION LEVEL %.20s %s", luaL_checkstring(L, 1),
	         lua_toboolean(L, 2) ? "READ ONLY" : "READ WRITE");
	cw_job_hold(job, drop, tx);
	if (pause_ms > 0) {
		/* half to one and a half: those who met in a conflict must not meet again */
		tx->timer = cw_timer_new(env->loop, on_pause_over, tx);
		cw_timer_set_us(tx->timer, pause_ms * 500 + cw_clock_mono_us() % 997 * pause_ms);
	} else {
		tx->asking = cw_pool_lease(tx->pool, on_lease, tx);
	}
	return cw_job_wait(job, NULL, tx);
}

/* --- the end --- */

static void on_commit(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_transaction *tx = CW_CAST(arg, TRANSACTION_MAGIC);

	(void)res;
	if (err != NULL && is_lost(err)) {
		cw_err_set(&tx->why, CW_ERR_DB, "the connection was lost during the commit, so whether it took effect is unknown");
		strcpy(tx->why.sqlstate, "08007");
	} else if (err != NULL) {
		note(tx, err);
	}
	if (tx->lease != NULL)
		end(tx, err == NULL);
	cw_job_resume(tx->job, tx->ticket);
}

static int commit(struct cw_job *job, struct cw_transaction *tx)
{
	static const struct cw_stmt stmt = { "script_commit", "COMMIT" };

	tx->ticket = cw_job_ticket(job);
	cw_timer_clear(tx->timer);       /* a commit that has begun is waited for */
	cw_conn_exec(cw_lease_conn(tx->lease), &stmt, NULL, on_commit, tx);
	return cw_job_wait(job, NULL, tx);
}

static int push_failure(lua_State *L, const struct cw_err *why, bool again)
{
	lua_pushnil(L);
	cw_bind_push_error(L, why, NULL);
	if (again) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "again");
	}
	return 2;
}

static int roll_back(lua_State *L, struct cw_transaction *tx)
{
	struct cw_err why = tx->why;
	bool again = tx->again;

	if (tx->lease != NULL)
		say(tx, "ROLLBACK");
	end(tx, true);
	forget(tx);
	count(again ? "conflict" : "rolled_back");
	if (cw_guard_stopped())
		return cw_guard_raise(L);
	lua_pushboolean(L, 1);
	if (why.code != CW_OK)
		return 1 + push_failure(L, &why, again);
	lua_pushboolean(L, 1);
	return 2;
}

/* Back to the savepoint; unless the failure is one of the whole transaction, it goes on. */
static int leave(lua_State *L, struct cw_transaction *tx, bool keep)
{
	struct cw_err why = tx->why;
	char sql[64];

	keep = keep && why.code == CW_OK;
	tx->depth--;
	if (tx->lease != NULL && !keep) {
		snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT cw_%d", tx->depth);
		say(tx, sql);
	}
	if (tx->lease != NULL) {
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT cw_%d", tx->depth);
		say(tx, sql);
	}
	if (!tx->lasting)
		cw_err_clear(&tx->why);
	lua_pushboolean(L, 1);
	if (why.code != CW_OK)
		return 1 + push_failure(L, &why, false);
	lua_pushboolean(L, 1);
	return 2;
}

static int l_finish(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_transaction *tx = cw_transaction_of(job);
	bool keep = lua_toboolean(L, 1);

	cw_assert(tx != NULL);
	if (tx->depth > 1)
		return leave(L, tx, keep);
	if (!keep || tx->why.code != CW_OK || tx->lease == NULL)
		return roll_back(L, tx);
	return commit(job, tx);
}

/* After start, and after finish(true). */
static int l_collect(lua_State *L)
{
	struct cw_transaction *tx = cw_job_answer(L);
	struct cw_err why = tx->why;
	bool again = tx->again;

	if (tx->lease != NULL && why.code == CW_OK) {    /* it has begun */
		lua_pushboolean(L, 1);
		return 1;
	}
	end(tx, false);
	forget(tx);
	count(why.code == CW_OK ? "committed" : again ? "conflict" : "failed");
	if (why.code != CW_OK)
		return push_failure(L, &why, again);
	lua_pushboolean(L, 1);
	return 1;
}

static int l_depth(lua_State *L)
{
	const struct cw_job *job = cw_job_current(L);
	const struct cw_transaction *tx = job != NULL ? cw_transaction_of(job) : NULL;

	lua_pushinteger(L, tx != NULL ? tx->depth : 0);
	return 1;
}

void cw_bind_transaction(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "start", l_start }, { "finish", l_finish }, { "collect", l_collect }, { "depth", l_depth }, { NULL, NULL },
	};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}
