/* One call of an operation: statement, page, relations, JSON. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "chain/u256.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/build.h"
#include "store/render.h"

#define CALL_MAGIC 0x43414c4cu       /* "CALL" */
#define STATEMENTS_MAX 1000          /* kept; more shapes than that are not prepared */

/* Rows of one relation, as text: all of one key stand together. */
struct related {
	const struct cw_relation *relation;
	struct cw_buf text;
	struct part { int64_t key; size_t from, to; } *parts;
	size_t nparts;
};

struct cw_call {
	uint32_t magic;
	struct cw_pool *pool;            /* or, inside a transaction, conn */
	struct cw_conn *conn;
	const struct cw_op *op;
	struct cw_arena *arena;
	cw_rows_fn *fn;
	void *arg;
	uint64_t query;
	int limit;
	char owner[48];                  /* of the page's cursor: the operation and the direction */
	const struct cw_arg *include;
	struct cw_rows rows;
	char next[CW_CURSOR_TEXT];
	/* With relations: the rows as text while those are fetched. */
	struct cw_buf text;
	size_t *ends;                    /* of each row's text, before its closing brace */
	int64_t *keys;
	struct related *related;
	int nrelated, fetched;
};

/* --- statements --- */

static const struct cw_stmt *unprepared(const char *sql, size_t len, struct cw_arena *arena)
{
	struct cw_stmt *stmt = cw_arena_alloc(arena, sizeof(*stmt));

	*stmt = (struct cw_stmt){ "", cw_arena_strndup(arena, sql, len) };
	return stmt;
}

/* By their text: the number of texts is that of the ways to combine an operation's arguments. What follows the # tells
 * them apart and is no part of the name in metrics. */
static const struct cw_stmt *statement(const struct cw_op *op, const char *sql, size_t len, struct cw_arena *arena)
{
	static struct cw_map *known;
	struct cw_stmt *stmt;
	char name[96];

	if (known == NULL)
		known = cw_map_new();
	stmt = cw_map_get(known, sql, len);
	if (stmt != NULL)
		return stmt;
	if (cw_map_count(known) >= STATEMENTS_MAX)
		return unprepared(sql, len, arena);
	snprintf(name, sizeof(name), "%.40s_%.40s#%zu", op->repo, op->name, cw_map_count(known));
	stmt = cw_alloc(sizeof(*stmt));
	*stmt = (struct cw_stmt){ cw_strdup(name), cw_strdup(sql) };
	cw_map_put(known, sql, len, stmt);
	return stmt;
}

/* --- the end of a call --- */

static void call_free(struct cw_call *call)
{
	for (int i = 0; i < call->nrelated; i++)
		cw_buf_release(&call->related[i].text);
	cw_buf_release(&call->text);
	cw_arena_free(&call->arena);
	cw_free(call);
}

static void finish(struct cw_call *call, const struct cw_err *err)
{
	call->fn(call->arg, err == NULL ? &call->rows : NULL, err);
	call_free(call);
}

/* Inside a transaction each statement is answered before the next is sent: one that fails is told by its own error. */
static void ask(struct cw_call *call, const struct cw_stmt *stmt, const struct cw_params *params, cw_query_fn *fn)
{
	if (call->conn != NULL)
		cw_conn_exec(call->conn, stmt, params, fn, call);
	else if (call->op->kind == CW_OP_EXEC)
		call->query = cw_pool_query(call->pool, stmt, params, fn, call);
	else
		call->query = cw_pool_read(call->pool, stmt, params, fn, call);
}

/* --- relations --- */

static void fetch_next(struct cw_call *call);

static void keep_related(struct related *r, const struct cw_result *res, struct cw_arena *arena)
{
	int rows = cw_result_rows(res);

	r->parts = cw_arena_alloc(arena, ((size_t)rows + 1) * sizeof(*r->parts));
	for (int i = 0; i < rows; i++) {
		int64_t key = cw_result_i64(res, i, 0);
		struct part *last = r->nparts > 0 ? &r->parts[r->nparts - 1] : NULL;

		if (last == NULL || last->key != key) {
			last = &r->parts[r->nparts++];
			*last = (struct part){ key, r->text.len, 0 };
		} else {
			cw_buf_putc(&r->text, ',');
		}
		cw_render_row(&r->text, res, i, r->relation->columns, r->relation->ncolumns);
		cw_buf_putc(&r->text, '}');
		last->to = r->text.len;
	}
}

static void on_related(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_call *call = CW_CAST(arg, CALL_MAGIC);

	call->query = 0;
	if (err != NULL) {
		finish(call, err);
		return;
	}
	keep_related(&call->related[call->fetched++], res, call->arena);
	fetch_next(call);
}

static void fetch_next(struct cw_call *call)
{
	const struct cw_relation *relation;
	struct cw_array *keys;
	struct cw_params params;
	struct cw_buf sql = CW_BUF_INIT;

	if (call->fetched == call->nrelated || call->rows.count == 0) {
		finish(call, NULL);
		return;
	}
	relation = call->related[call->fetched].relation;
	keys = cw_array_begin(call->arena, CW_ELEM_I64, (size_t)call->rows.count);
	for (int i = 0; i < call->rows.count; i++)
		cw_array_i64(keys, call->keys[i]);
	cw_params_init(&params, call->arena);
	cw_params_array(&params, keys);
	cw_render_columns(&sql, "SELECT ", relation->columns, relation->ncolumns);
	cw_buf_putc(&sql, ' ');
	cw_buf_puts(&sql, relation->tail);
	ask(call, statement(call->op, sql.data, sql.len, call->arena), &params, on_related);
	cw_buf_release(&sql);
}

static void keep_rows(struct cw_call *call, const struct cw_result *res)
{
	size_t n = (size_t)call->rows.count;

	call->ends = cw_arena_alloc(call->arena, (n + 1) * sizeof(*call->ends));
	call->keys = cw_arena_alloc(call->arena, (n + 1) * sizeof(*call->keys));
	for (size_t i = 0; i < n; i++) {
		call->keys[i] = cw_result_i64(res, (int)i, call->op->row_id);
		cw_render_row(&call->text, res, (int)i, call->op->columns, call->op->ncolumns);
		call->ends[i] = call->text.len;
	}
	call->rows.res = NULL;
}

static bool wants(const struct cw_arg *include, const char *name)
{
	for (size_t i = 0; include != NULL && i < include->nlist; i++)
		if (strcmp(include->list[i].text, name) == 0)
			return true;
	return false;
}

static void plan_relations(struct cw_call *call, const struct cw_arg *include)
{
	const struct cw_op *op = call->op;

	call->related = cw_arena_zalloc(call->arena, ((size_t)op->nrelations + 1) * sizeof(*call->related));
	for (int i = 0; i < op->nrelations; i++) {
		if (!wants(include, op->relations[i].name))
			continue;
		cw_buf_init(&call->related[call->nrelated].text);
		call->related[call->nrelated++].relation = &op->relations[i];
	}
}

/* --- the rows --- */

static void set_next(struct cw_call *call, const struct cw_result *res)
{
	struct cw_cursor cursor = { .count = 1 };
	int last = call->rows.count - 1;

	for (const char *p = call->op->keys; *p != '\0'; p++)
		cursor.count += *p == ',';   /* none of them has one inside */
	for (int i = 0; i < cursor.count; i++) {
		cursor.is_time[i] = cw_result_type(res, i) == CW_TYPE_TIMESTAMPTZ;
		cursor.keys[i] = cursor.is_time[i] ? cw_result_time(res, last, i) : cw_result_i64(res, last, i);
	}
	cw_cursor_format(&cursor, call->owner, call->next);
	call->rows.next = call->next;
}

static void on_rows(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_call *call = CW_CAST(arg, CALL_MAGIC);

	call->query = 0;
	if (err != NULL) {
		finish(call, err);
		return;
	}
	call->rows.res = res;
	call->rows.count = cw_result_rows(res);
	call->rows.affected = cw_result_affected(res);
	if (call->op->kind == CW_OP_PAGE && call->rows.count > call->limit) {
		call->rows.count = call->limit;
		set_next(call, res);
	}
	if (call->nrelated == 0) {
		finish(call, NULL);
		return;
	}
	keep_rows(call, res);
	fetch_next(call);
}

static int check_required(const struct cw_args *args, struct cw_err *err)
{
	for (int i = 0; i < args->op->nargs; i++)
		if (args->op->args[i].required && !args->values[i].set)
			return cw_err_set(err, CW_ERR_INVALID, "%s.%s needs \"%s\"", args->op->repo, args->op->name,
			                  args->op->args[i].name);
	return 0;
}

/* A cursor belongs to the operation and the direction that it was given in. */
static void name_owner(const struct cw_build *b, char out[48])
{
	const struct cw_op *op = b->args->op;

	snprintf(out, 48, "%.40s%s", op->name, b->ascending != op->ascending ? ":turned" : "");
}

static int begin_page(struct cw_build *b, struct cw_err *err)
{
	const struct cw_arg *limit = cw_build_arg(b, "limit"), *cursor = cw_build_arg(b, "cursor");
	const struct cw_arg *offset = cw_build_arg(b, "offset"), *order = cw_build_arg(b, "order");
	char owner[48];

	b->limit = limit != NULL ? (int)limit->integer : CW_PAGE_DEFAULT;
	if (b->limit < 1 || b->limit > CW_PAGE_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "\"limit\" must be between 1 and %d", CW_PAGE_MAX);
	b->offset = offset != NULL ? offset->integer : 0;
	if (b->offset < 0 || b->offset > CW_OFFSET_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "\"offset\" must be between 0 and %d; \"cursor\" goes deeper",
		                  CW_OFFSET_MAX);
	b->ascending = order != NULL ? order->text[0] == 'a' : b->args->op->ascending;
	if (cursor == NULL)
		return 0;
	if (b->offset > 0)
		return cw_err_set(err, CW_ERR_INVALID, "\"cursor\" and \"offset\" exclude each other");
	name_owner(b, owner);
	if (!cw_cursor_parse(&b->cursor, owner, cursor->text, cursor->len))
		return cw_err_set(err, CW_ERR_INVALID, "\"cursor\" is none that %s.%s has given", b->args->op->repo,
		                  b->args->op->name);
	b->has_cursor = true;
	return 0;
}

static int build(struct cw_build *b, const struct cw_args *args, struct cw_arena *arena, struct cw_err *err)
{
	*b = (struct cw_build){ .args = args, .arena = arena, .sql = CW_BUF_INIT };
	cw_params_init(&b->params, arena);
	if (check_required(args, err) != 0)
		return -1;
	if (args->op->kind == CW_OP_PAGE && begin_page(b, err) != 0)
		return -1;
	args->op->build(b);
	if (b->fault != NULL)
		return cw_err_set(err, CW_ERR_INVALID, "%s.%s: %s", args->op->repo, args->op->name, b->fault);
	if (args->op->kind == CW_OP_PAGE)
		cw_build_page(b, args->op->keys);
	return 0;
}

static struct cw_call *begin(struct cw_pool *pool, struct cw_conn *conn, const struct cw_args *args, cw_rows_fn *fn,
                             void *arg, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	const struct cw_stmt *stmt;
	struct cw_call *call;
	struct cw_build b;

	if (build(&b, args, arena, err) != 0) {
		cw_buf_release(&b.sql);
		cw_arena_free(&arena);
		return NULL;
	}
	call = cw_zalloc(sizeof(*call));
	call->magic = CALL_MAGIC;
	call->pool = pool;
	call->conn = conn;
	call->op = args->op;
	call->arena = arena;
	call->fn = fn;
	call->arg = arg;
	call->limit = b.limit;
	name_owner(&b, call->owner);
	call->rows.op = args->op;
	call->rows.call = call;
	cw_buf_init(&call->text);
	if (args->op->nrelations > 0)
		plan_relations(call, cw_build_arg(&b, "include"));
	stmt = b.plan_anew ? unprepared(b.sql.data, b.sql.len, arena) : statement(args->op, b.sql.data, b.sql.len, arena);
	ask(call, stmt, &b.params, on_rows);
	cw_buf_release(&b.sql);
	return call;
}

struct cw_call *cw_repo_call(struct cw_pool *pool, const struct cw_args *args, cw_rows_fn *fn, void *arg,
                             struct cw_err *err)
{
	return begin(pool, NULL, args, fn, arg, err);
}

struct cw_call *cw_repo_call_on(struct cw_conn *conn, const struct cw_args *args, cw_rows_fn *fn, void *arg,
                                struct cw_err *err)
{
	return begin(NULL, conn, args, fn, arg, err);
}

void cw_repo_cancel(struct cw_call **call)
{
	struct cw_call *c = *call;

	*call = NULL;
	if (c == NULL)
		return;
	if (c->conn != NULL)
		cw_conn_forget(c->conn, c);
	else if (c->query != 0)
		cw_pool_cancel(c->pool, c->query);
	call_free(c);
}

/* --- JSON --- */

static void put_related(struct cw_buf *out, const struct related *r, int64_t key)
{
	cw_buf_printf(out, ",\"%s\":[", r->relation->name);
	for (size_t i = 0; i < r->nparts; i++)
		if (r->parts[i].key == key)
			cw_buf_add(out, r->text.data + r->parts[i].from, r->parts[i].to - r->parts[i].from);
	cw_buf_putc(out, ']');
}

void cw_rows_put_json(const struct cw_rows *rows, int row, struct cw_buf *out)
{
	const struct cw_call *call = rows->call;
	size_t from;

	if (rows->res != NULL) {
		cw_render_row(out, rows->res, row, rows->op->columns, rows->op->ncolumns);
		cw_buf_putc(out, '}');
		return;
	}
	from = row > 0 ? call->ends[row - 1] : 0;
	cw_buf_add(out, call->text.data + from, call->ends[row] - from);
	for (int i = 0; i < call->nrelated; i++)
		put_related(out, &call->related[i], call->keys[row]);
	cw_buf_putc(out, '}');
}

void cw_rows_put_page(const struct cw_rows *rows, struct cw_buf *out)
{
	cw_buf_puts(out, "{\"items\":[");
	for (int i = 0; i < rows->count; i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		cw_rows_put_json(rows, i, out);
	}
	if (rows->next != NULL)
		cw_buf_printf(out, "],\"next\":\"%s\"}", rows->next);
	else
		cw_buf_puts(out, "],\"next\":null}");
}

int cw_rows_column(const struct cw_rows *rows, const char *name)
{
	return cw_render_find(rows->op->columns, rows->op->ncolumns, name);
}
