#include "pg/conn.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/connect.h"

#define CONN_MAGIC 0x50474331u

enum prepared_state {
	PREPARED_PENDING = 0,        /* sent; true if the transaction it was sent in gets that far */
	PREPARED_READY,
	PREPARED_DEAD,               /* refused, or outdated by a change of the schema */
};

/* One statement as the server knows it, for one list of parameter types. Lives as long as the connection, since
 * queries in flight point to it. */
struct prepared {
	struct prepared *next;       /* of the same statement, newest first */
	enum prepared_state state;
	uint64_t segment;            /* between which syncs it was sent */
	int refs;                    /* flights that point here */
	char name[16];
	int count;
	uint32_t types[];
};

enum flight_kind { FLIGHT_QUERY = 0, FLIGHT_PREPARE, FLIGHT_SYNC };

/* Something sent that has no answer yet. */
struct flight {
	struct cw_list link;
	enum flight_kind kind;
	cw_query_fn *fn;
	void *arg;
	struct prepared *prepared;
	int ends;                    /* of a sync: how often libpq said that there is no more, before it came */
	bool held;                   /* a query that is answered only by the next sync */
	PGresult *res;               /* its answer, until libpq says that there is no more; of a sync: why it failed */
	PGresult *cause;             /* of a query: why its prepare failed */
};

struct cw_conn {
	uint32_t magic;
	enum cw_conn_state state;
	struct cw_loop *loop;
	struct cw_connect *connect;  /* while connecting */
	PGconn *pg;
	struct cw_watch *watch;
	struct cw_list flights;      /* in order of sending */
	struct cw_list held;         /* answered by the server, waiting for their sync; before all in `flights` */
	int in_flight;
	bool open_segment;           /* a query was sent after the last sync */
	uint64_t segment;
	unsigned names;              /* statements prepared so far */
	struct cw_map *statements;   /* name -> struct prepared */
	int64_t created_us;
	cw_conn_fn *on_ready, *on_death;
	void *ready_arg, *death_arg;
	struct cw_err why;           /* of its death; a notice before the end may tell more than libpq */
	int depth;                   /* callbacks running above us: then the struct is freed by the outermost */
	bool freed, later, broken;
};

static void process(struct cw_conn *conn);

/* ---- errors ---- */

static enum cw_code code_of(const char *state, const char *text)
{
	if (strcmp(state, "23505") == 0 || strcmp(state, "23503") == 0)
		return CW_ERR_CONFLICT;
	if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
		return CW_ERR_INVALID;
	if (strcmp(state, "42501") == 0)
		return CW_ERR_DENIED;
	if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0)
		return CW_ERR_BUSY;
	if (strcmp(state, "53100") == 0)
		return CW_ERR_FULL;
	if (strcmp(state, "57014") == 0)
		return strstr(text, "timeout") != NULL ? CW_ERR_TIMEOUT : CW_ERR_CANCELLED;
	return CW_ERR_DB;
}

/* Only the primary message: the detail may quote values. */
static void error_from(const PGresult *res, struct cw_err *err)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (text == NULL)
		text = PQresultErrorMessage(res);
	if (state == NULL)
		state = "08006";         /* libpq's own: the connection is lost */
	cw_err_set(err, code_of(state, text), "%.*s", (int)strcspn(text, "\n"), text);
	snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
}

/* The server's last words on a session say why it ends; the end of the stream may come a moment later. */
static void note_last_words(struct cw_conn *conn, const PGresult *res)
{
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity == NULL || (strcmp(severity, "FATAL") != 0 && strcmp(severity, "PANIC") != 0))
		return;
	error_from(res, &conn->why);
	conn->broken = true;
}

/* They come as a notice when nothing runs. */
static void on_notice(void *arg, const PGresult *res)
{
	note_last_words(arg, res);
}

/* ---- answers ---- */

static void drop_flight(struct flight *f)
{
	if (f->prepared != NULL)
		f->prepared->refs--;
	PQclear(f->res);
	PQclear(f->cause);
	cw_free(f);
}

static void answer_prepare(struct cw_conn *conn, struct flight *f)
{
	bool ok = PQresultStatus(f->res) == PGRES_COMMAND_OK;
	struct cw_list *next = conn->flights.next;

	if (f->prepared->state == PREPARED_PENDING)
		f->prepared->state = ok ? PREPARED_READY : PREPARED_DEAD;
	if (ok || PQresultStatus(f->res) == PGRES_PIPELINE_ABORTED || next == &conn->flights)
		return;
	cw_list_entry(next, struct flight, link)->cause = f->res;   /* the query that it was sent for */
	f->res = NULL;
}

static void answer_query(struct flight *f, const struct cw_err *lost)
{
	struct cw_err err = { .code = CW_OK };

	switch (f->res != NULL ? PQresultStatus(f->res) : PGRES_PIPELINE_ABORTED) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
	case PGRES_EMPTY_QUERY:
		if (f->fn != NULL)
			f->fn(f->arg, (const struct cw_result *)(const void *)f->res, NULL);
		return;
	case PGRES_PIPELINE_ABORTED:
		if (f->cause != NULL)
			error_from(f->cause, &err);
		else if (lost != NULL)
			err = *lost;
		else
			cw_err_set(&err, CW_ERR_CANCELLED, "an earlier statement of the same transaction failed");
		break;
	case PGRES_FATAL_ERROR:
		error_from(f->res, &err);
		break;
	default:
		cw_err_set(&err, CW_ERR_INVALID, "a statement of this kind cannot be pipelined (%s)",
		           PQresStatus(PQresultStatus(f->res)));
	}
	/* Gone after DISCARD, or "cached plan must not change result type" after a migration: prepare it anew next time. */
	if (f->prepared != NULL && (strcmp(err.sqlstate, "26000") == 0 || strcmp(err.sqlstate, "0A000") == 0))
		f->prepared->state = PREPARED_DEAD;
	if (f->fn != NULL)
		f->fn(f->arg, NULL, &err);
}

/* Everything that waited for the sync: with `why` it was not committed after all. */
static void answer_held(struct cw_conn *conn, const struct cw_err *why)
{
	struct cw_list *link;

	while ((link = cw_list_take(&conn->held)) != NULL) {
		struct flight *f = cw_list_entry(link, struct flight, link);

		conn->in_flight--;
		if (why != NULL && PQresultStatus(f->res) != PGRES_FATAL_ERROR) {
			PQclear(f->res);
			f->res = NULL;
		}
		answer_query(f, why);
		drop_flight(f);
	}
}

static void answer_sync(struct cw_conn *conn, struct flight *f, const struct cw_err *lost)
{
	struct cw_err err;

	if (f->res != NULL) {
		error_from(f->res, &err);
		lost = &err;
	}
	answer_held(conn, lost);
	conn->in_flight--;
	if (f->fn != NULL)
		f->fn(f->arg, NULL, lost);
}

/* Takes the oldest flight off and answers it: by its result, or by `lost` if it has none. */
static void answer(struct cw_conn *conn, const struct cw_err *lost)
{
	struct flight *f = cw_list_entry(cw_list_take(&conn->flights), struct flight, link);

	if (f->kind == FLIGHT_QUERY && f->held && lost == NULL) {
		cw_list_append(&conn->held, &f->link);
		return;
	}
	if (f->kind == FLIGHT_PREPARE) {
		if (lost == NULL)
			answer_prepare(conn, f);
	} else if (f->kind == FLIGHT_QUERY) {
		if (f->held && f->res != NULL && PQresultStatus(f->res) != PGRES_FATAL_ERROR) {
			PQclear(f->res);         /* it had not been committed when the connection was lost */
			f->res = NULL;
		}
		conn->in_flight--;
		answer_query(f, lost);
	} else {
		answer_sync(conn, f, lost);
	}
	drop_flight(f);
}

/* ---- life ---- */

static void release(struct cw_conn *conn)
{
	size_t at = 0;
	struct prepared *p;

	while ((p = cw_map_next(conn->statements, &at, NULL, NULL)) != NULL)
		while (p != NULL) {
			struct prepared *next = p->next;

			cw_free(p);
			p = next;
		}
	cw_map_free(&conn->statements);
	conn->magic = 0;
	cw_free(conn);
}

static void enter(struct cw_conn *conn)
{
	conn->depth++;
}

/* False: it was freed meanwhile and is gone now (or when the outermost callback returns). */
static bool leave(struct cw_conn *conn)
{
	bool freed = conn->freed;

	if (--conn->depth == 0 && freed)
		release(conn);
	return !freed;
}

static void close_socket(struct cw_conn *conn)
{
	conn->state = CW_CONN_DEAD;
	cw_connect_free(&conn->connect);
	cw_watch_free(&conn->watch);
	if (conn->pg != NULL)
		PQfinish(conn->pg);
	conn->pg = NULL;
}

/* Answers what is in flight now, not what callbacks ask meanwhile: that would never end. */
static void answer_all(struct cw_conn *conn, const struct cw_err *lost)
{
	const struct cw_list *last = conn->flights.prev;

	answer_held(conn, lost);
	while (!cw_list_empty(&conn->flights)) {
		bool end = conn->flights.next == last;

		answer(conn, lost);
		if (end)
			break;
	}
}

static void on_later(void *arg)
{
	struct cw_conn *conn = CW_CAST(arg, CONN_MAGIC);

	conn->later = false;
	process(conn);
}

/* Something is to be told, but not from inside the caller's call. */
static void process_later(struct cw_conn *conn)
{
	if (conn->later)
		return;
	conn->later = true;
	cw_loop_defer(conn->loop, on_later, conn);
}

static void die(struct cw_conn *conn)
{
	struct cw_err why = conn->why;
	cw_conn_fn *fn = conn->on_death;

	if (why.code == CW_OK) {
		const char *text = conn->pg != NULL ? PQerrorMessage(conn->pg) : "";
		size_t n = strcspn(text, "\n");

		cw_err_set(&why, CW_ERR_DB, "lost the connection to the database%s%.*s", n > 0 ? ": " : "", (int)n, text);
		strcpy(why.sqlstate, "08006");
		conn->why = why;
	}
	conn->on_death = NULL;
	close_socket(conn);
	enter(conn);
	answer_all(conn, &why);
	if (!conn->freed && fn != NULL)
		fn(conn->death_arg, conn, &why);
	if (leave(conn) && !cw_list_empty(&conn->flights))
		process_later(conn);
}

/* ---- traffic ---- */

/* Keeps a result for the oldest flight. */
static void keep_result(struct cw_conn *conn, struct flight *f, PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	note_last_words(conn, res);
	if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
		conn->broken = true;                     /* it cannot be left again */
	PQclear(f->res);
	f->res = res;
}

/* One step of what libpq has; false: the connection is of no use any more. After each query's result comes a NULL, after
 * a sync's none. A sync may bring an error first: the commit failed. */
static bool take_result(struct cw_conn *conn)
{
	struct flight *f = cw_list_entry(conn->flights.next, struct flight, link);
	PGresult *res = PQgetResult(conn->pg);

	if (res == NULL && f->res != NULL && f->kind != FLIGHT_SYNC) {
		answer(conn, NULL);
		return true;
	}
	if (res == NULL && f->res != NULL && f->ends++ < 2)
		return true;                             /* the sync itself follows */
	if (res != NULL && PQresultStatus(res) == PGRES_PIPELINE_SYNC && f->kind == FLIGHT_SYNC) {
		PQclear(res);
		answer(conn, NULL);
		return true;
	}
	/* An error without SQLSTATE is libpq's own: of a lost connection it says less than `why` may; instead of a sync it means
	 * that libpq took the sync for nothing, since memory was refused, and everything that follows would be out of step. */
	if (res != NULL && PQresultStatus(res) != PGRES_PIPELINE_SYNC &&
	    ((PQstatus(conn->pg) != CONNECTION_BAD && f->kind != FLIGHT_SYNC) ||
	     PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL) &&
	    (f->kind != FLIGHT_SYNC || PQresultStatus(res) == PGRES_FATAL_ERROR)) {
		keep_result(conn, f, res);
		return true;
	}
	if (res != NULL && PQresultStatus(res) == PGRES_FATAL_ERROR && PQstatus(conn->pg) != CONNECTION_BAD)
		error_from(res, &conn->why);
	else if (PQstatus(conn->pg) != CONNECTION_BAD)
		cw_err_set(&conn->why, CW_ERR_INTERNAL, "answers of the database are out of step");
	PQclear(res);
	conn->broken = true;
	return false;
}

/* Whether the oldest flight must be waited for. An error while it is still out is libpq's own: memory was refused in the
 * middle of an answer, and of one to a sync it never says any more that it came. */
static bool is_waiting(struct cw_conn *conn)
{
	if (PQisBusy(conn->pg) == 0)
		return false;
	if (PQerrorMessage(conn->pg)[0] != '\0')
		conn->broken = true;
	return true;
}

static void process(struct cw_conn *conn)
{
	static const struct cw_err early = { .code = CW_ERR_DB, .sqlstate = "08003", .msg = "not connected yet" };

	enter(conn);
	while (!conn->freed && conn->state == CW_CONN_READY && !conn->broken && !cw_list_empty(&conn->flights) &&
	       !is_waiting(conn) && take_result(conn))
		continue;
	if (!conn->freed && conn->state == CW_CONN_CONNECTING)
		answer_all(conn, &early);
	else if (!conn->freed && (conn->state == CW_CONN_DEAD || conn->broken || PQstatus(conn->pg) == CONNECTION_BAD))
		die(conn);
	leave(conn);
}

/* Sends what libpq has buffered; asks for a write event if the socket does not take it all. */
static void push(struct cw_conn *conn)
{
	int rc = PQflush(conn->pg);

	if (rc < 0) {
		conn->broken = true;
		process_later(conn);
		return;
	}
	cw_watch_set(conn->watch, rc > 0 ? CW_WATCH_READ | CW_WATCH_WRITE : CW_WATCH_READ);
	/* When the socket was full libpq has read on the way: no read event will tell of that. */
	if (!cw_list_empty(&conn->flights) && (!is_waiting(conn) || conn->broken))
		process_later(conn);
}

static void on_socket(void *arg, int fd, int flags)
{
	struct cw_conn *conn = CW_CAST(arg, CONN_MAGIC);
	PGnotify *notify;

	if (CW_FAULT("pg.lost"))
		shutdown(fd, SHUT_RDWR); /* as if the server had gone, with whatever it has not said yet */
	if (flags & CW_WATCH_READ) {
		if (PQconsumeInput(conn->pg) == 0)
			conn->broken = PQisBusy(conn->pg) || cw_list_empty(&conn->flights);
		while ((notify = PQnotifies(conn->pg)) != NULL)
			PQfreemem(notify);
	}
	if ((flags & CW_WATCH_WRITE) && !conn->broken)
		push(conn);
	process(conn);
}

static struct flight *flight_new(struct cw_conn *conn, enum flight_kind kind, cw_query_fn *fn, void *arg)
{
	struct flight *f = cw_zalloc(sizeof(*f));

	f->kind = kind;
	f->fn = fn;
	f->arg = arg;
	cw_list_append(&conn->flights, &f->link);
	if (kind != FLIGHT_PREPARE)
		conn->in_flight++;
	return f;
}

/* ---- prepared statements ---- */

static bool is_usable(const struct cw_conn *conn, const struct prepared *p, const struct cw_params *params)
{
	if (p->state == PREPARED_DEAD || p->count != params->count ||
	    (p->state == PREPARED_PENDING && p->segment != conn->segment))
		return false;
	for (int i = 0; i < p->count; i++)
		if (params->types[i] != 0 && params->types[i] != p->types[i])
			return false;
	return true;
}

/* A null whose type the caller leaves open takes the type that this parameter had before. */
static struct prepared *prepared_new(struct cw_conn *conn, const struct prepared *before, const struct cw_params *params)
{
	struct prepared *p = cw_zalloc(sizeof(*p) + (size_t)params->count * sizeof(p->types[0]));

	p->segment = conn->segment;
	p->count = params->count;
	snprintf(p->name, sizeof(p->name), "cw%u", ++conn->names);
	for (int i = 0; i < p->count; i++)
		p->types[i] = params->types[i] != 0 || before == NULL || before->count != p->count ? params->types[i]
		                                                                                  : before->types[i];
	return p;
}

/* Frees what is dead and not in flight; a statement that fails again and again would pile them up. */
static struct prepared *drop_dead(struct prepared *list)
{
	struct prepared **link = &list;

	while (*link != NULL) {
		struct prepared *p = *link;

		if (p->state == PREPARED_DEAD && p->refs == 0) {
			*link = p->next;
			cw_free(p);
		} else {
			link = &p->next;
		}
	}
	return list;
}

/* The statement on this connection, prepared on the way if it is not yet; NULL: could not be sent. Each PREPARE has a
 * name of its own: whether one that was sent in an earlier transaction came through is not known before its answer. */
static struct prepared *find_prepared(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params)
{
	size_t len = strlen(stmt->name);
	struct prepared *first = cw_map_get(conn->statements, stmt->name, len), *p;

	for (p = first; p != NULL; p = p->next)
		if (is_usable(conn, p, params))
			return p;
	p = prepared_new(conn, first, params);
	p->next = drop_dead(first);
	cw_map_put(conn->statements, stmt->name, len, p);
	if (!PQsendPrepare(conn->pg, p->name, stmt->sql, p->count, p->types)) {
		p->state = PREPARED_DEAD;
		return NULL;
	}
	flight_new(conn, FLIGHT_PREPARE, NULL, NULL)->prepared = p;
	p->refs++;
	return p;
}

static bool send_query(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params,
                       struct prepared **prepared)
{
	static const int binary[CW_PARAMS_MAX] = { [0 ... CW_PARAMS_MAX - 1] = 1 };

	if (stmt->name[0] == '\0')
		return PQsendQueryParams(conn->pg, stmt->sql, params->count, params->types, params->values, params->lengths,
		                         binary, 1);
	*prepared = find_prepared(conn, stmt, params);
	return *prepared != NULL && PQsendQueryPrepared(conn->pg, (*prepared)->name, params->count, params->values,
	                                                params->lengths, binary, 1);
}

/* ---- public ---- */

static void on_connected(void *arg, PGconn *pg, const struct cw_err *err)
{
	struct cw_conn *conn = CW_CAST(arg, CONN_MAGIC);
	struct cw_err why;
	int fd = pg != NULL ? PQsocket(pg) : -1;

	cw_err_clear(&why);
	if (err != NULL)
		why = *err;
	cw_connect_free(&conn->connect);
	conn->pg = pg;
	if (pg != NULL && (PQsetnonblocking(pg, 1) != 0 || PQenterPipelineMode(pg) != 1))
		cw_err_set(&why, CW_ERR_DB, "could not enter pipeline mode: %s", PQerrorMessage(pg));
	else if (pg != NULL && fd < 0)
		cw_err_set(&why, CW_ERR_DB, "the database connection has no socket any more");
	if (why.code != CW_OK) {
		close_socket(conn);
		conn->why = why;
	} else {
		conn->state = CW_CONN_READY;
		PQsetNoticeReceiver(pg, on_notice, conn);
		conn->watch = cw_watch_new(conn->loop, fd, on_socket, conn);
		cw_watch_set(conn->watch, CW_WATCH_READ);
	}
	enter(conn);
	conn->on_ready(conn->ready_arg, conn, why.code != CW_OK ? &why : NULL);
	if (leave(conn) && conn->state == CW_CONN_DEAD && !cw_list_empty(&conn->flights))
		process_later(conn);
}

struct cw_conn *cw_conn_new(struct cw_loop *loop, const char *conninfo, int64_t timeout_ms, cw_conn_fn *on_ready,
                            void *arg)
{
	struct cw_conn *conn = cw_zalloc(sizeof(*conn));

	conn->magic = CONN_MAGIC;
	conn->loop = loop;
	cw_list_init(&conn->flights);
	cw_list_init(&conn->held);
	conn->statements = cw_map_new();
	conn->created_us = cw_clock_mono_us();
	conn->on_ready = on_ready;
	conn->ready_arg = arg;
	conn->connect = cw_connect_new(loop, conninfo, timeout_ms, on_connected, conn);
	return conn;
}

void cw_conn_close(struct cw_conn *conn)
{
	struct cw_err closed;

	conn->on_death = NULL;
	cw_err_set(&closed, CW_ERR_CANCELLED, "the database connection was closed");
	close_socket(conn);
	if (conn->later)
		cw_loop_undefer(conn->loop, on_later, conn);
	conn->later = false;
	conn->why = closed;
	enter(conn);
	answer_all(conn, &closed);
	if (leave(conn) && !cw_list_empty(&conn->flights))
		process_later(conn);
}

void cw_conn_free(struct cw_conn **conn)
{
	struct cw_conn *c = *conn;
	struct cw_err closed;

	*conn = NULL;
	if (c == NULL)
		return;
	cw_assert(c->magic == CONN_MAGIC && !c->freed);
	c->depth++;
	cw_conn_close(c);
	/* What callbacks asked meanwhile. */
	cw_err_set(&closed, CW_ERR_CANCELLED, "the database connection was closed");
	while (!cw_list_empty(&c->flights))
		answer(c, &closed);      /* held is empty: nothing gets there without a socket */
	if (c->later)
		cw_loop_undefer(c->loop, on_later, c);
	c->freed = true;
	leave(c);
}

void cw_conn_on_death(struct cw_conn *conn, cw_conn_fn *fn, void *arg)
{
	conn->on_death = fn;
	conn->death_arg = arg;
}

enum cw_conn_state cw_conn_state(const struct cw_conn *conn)
{
	return conn->state;
}

int cw_conn_in_flight(const struct cw_conn *conn)
{
	return conn->in_flight;
}

int64_t cw_conn_created_us(const struct cw_conn *conn)
{
	return conn->created_us;
}

bool cw_conn_is_clean(const struct cw_conn *conn)
{
	return conn->state == CW_CONN_READY && conn->in_flight == 0 && !conn->open_segment && !conn->broken &&
	       PQtransactionStatus(conn->pg) == PQTRANS_IDLE;
}

static void query(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params, cw_query_fn *fn,
                  void *arg, bool held)
{
	static const struct cw_params none = { .count = 0 };
	struct prepared *prepared = NULL;
	struct flight *f;

	if (conn->state == CW_CONN_READY && !conn->broken &&
	    !send_query(conn, stmt, params != NULL ? params : &none, &prepared))
		conn->broken = true;     /* libpq takes everything but what it has no memory for, or on a dead socket */
	conn->open_segment = true;
	f = flight_new(conn, FLIGHT_QUERY, fn, arg);
	f->held = held;
	f->prepared = prepared;
	if (prepared != NULL)
		prepared->refs++;
	if (conn->state != CW_CONN_READY || conn->broken)
		process_later(conn);
}

void cw_conn_query(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params, cw_query_fn *fn,
                   void *arg)
{
	query(conn, stmt, params, fn, arg, false);
}

void cw_conn_exec(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params, cw_query_fn *fn,
                  void *arg)
{
	query(conn, stmt, params, fn, arg, true);
	cw_conn_sync(conn, NULL, NULL);
}

void cw_conn_flush(struct cw_conn *conn)
{
	if (conn->state != CW_CONN_READY || conn->broken)
		return;
	if (!PQsendFlushRequest(conn->pg)) {
		conn->broken = true;
		process_later(conn);
		return;
	}
	push(conn);
}

void cw_conn_sync(struct cw_conn *conn, cw_query_fn *fn, void *arg)
{
	conn->segment++;
	conn->open_segment = false;
	if (conn->state == CW_CONN_READY && !conn->broken && !PQpipelineSync(conn->pg))
		conn->broken = true;
	flight_new(conn, FLIGHT_SYNC, fn, arg);
	if (conn->state != CW_CONN_READY || conn->broken)
		process_later(conn);
	else
		push(conn);
}

void cw_conn_forget(struct cw_conn *conn, void *arg)
{
	struct cw_list *link, *tmp, *lists[] = { &conn->held, &conn->flights };

	for (int i = 0; i < 2; i++)
		cw_list_each(link, tmp, lists[i]) {
			struct flight *f = cw_list_entry(link, struct flight, link);

			if (f->arg == arg)
				f->fn = NULL;
		}
}

static void *cancel_thread(void *arg)
{
	PGcancel *cancel = arg;
	char why[256];

	if (!PQcancel(cancel, why, sizeof(why)))
		cw_log(CW_LOG_WARN, "pg", "could not cancel a statement", NULL);
	PQfreeCancel(cancel);
	return NULL;
}

void cw_conn_cancel(struct cw_conn *conn)
{
	PGcancel *cancel = conn->pg != NULL ? PQgetCancel(conn->pg) : NULL;
	pthread_attr_t detached;
	sigset_t all, before;
	pthread_t thread;

	if (cancel == NULL)
		return;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, &detached, cancel_thread, cancel) != 0)
		PQfreeCancel(cancel);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
}
