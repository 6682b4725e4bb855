#include "store/build.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "chain/u256.h"
#include "store/render.h"

static int index_of(const struct cw_op *op, const char *name)
{
	for (int i = 0; i < op->nargs; i++)
		if (strcmp(op->args[i].name, name) == 0)
			return i;
	cw_bug("%s.%s has no argument \"%s\"", op->repo, op->name, name);
	return 0;
}

const struct cw_arg *cw_build_arg(const struct cw_build *b, const char *name)
{
	const struct cw_arg *arg = &b->args->values[index_of(b->args->op, name)];

	return arg->set ? arg : NULL;
}

void cw_build_sql(struct cw_build *b, const char *text)
{
	cw_buf_puts(&b->sql, text);
}

void cw_build_select(struct cw_build *b)
{
	cw_render_columns(&b->sql, "SELECT ", b->args->op->columns, b->args->op->ncolumns);
}

void cw_build_returning(struct cw_build *b)
{
	cw_render_columns(&b->sql, " RETURNING ", b->args->op->columns, b->args->op->ncolumns);
}

static void push_list(struct cw_build *b, const struct cw_arg *arg)
{
	struct cw_array *array = cw_array_begin(b->arena, CW_ELEM_TEXT, arg->nlist);

	for (size_t i = 0; i < arg->nlist; i++)
		cw_array_bytes(array, arg->list[i].text, arg->list[i].len);
	cw_params_array(&b->params, array);
}

static void push_amount(struct cw_build *b, const struct cw_arg *arg)
{
	struct cw_u256 amount;

	cw_assert(arg->len == sizeof(amount));
	memcpy(&amount, arg->text, sizeof(amount));
	cw_params_numeric(&b->params, &amount);
}

/* pg_type.h. A null has the type that a value would have: both are the same prepared statement. */
static uint32_t type_oid(enum cw_arg_type type)
{
	switch (type) {
	case CW_ARG_TEXT:
	case CW_ARG_INET:
	case CW_ARG_CHOICE: return 25;
	case CW_ARG_INT: return 20;
	case CW_ARG_NUMBER: return 701;
	case CW_ARG_BOOL: return 16;
	case CW_ARG_TIME: return 1184;
	case CW_ARG_HASH:
	case CW_ARG_ADDRESS:
	case CW_ARG_BYTES: return 17;
	case CW_ARG_JSON: return 3802;
	case CW_ARG_TEXTS:
	case CW_ARG_CHOICES: return 1009;
	case CW_ARG_AMOUNT: return 1700;
	}
	return 0;
}

static void push(struct cw_build *b, const struct cw_arg_spec *spec, const struct cw_arg *arg)
{
	if (!arg->set) {
		cw_params_null(&b->params);
		b->params.types[b->params.count - 1] = type_oid(spec->type);
		return;
	}
	switch (spec->type) {
	case CW_ARG_TEXT:
	case CW_ARG_INET:
	case CW_ARG_CHOICE: cw_params_text(&b->params, arg->text, arg->len); return;
	case CW_ARG_INT: cw_params_i64(&b->params, arg->integer); return;
	case CW_ARG_NUMBER: cw_params_f64(&b->params, arg->number); return;
	case CW_ARG_BOOL: cw_params_bool(&b->params, arg->flag); return;
	case CW_ARG_TIME: cw_params_time(&b->params, arg->integer); return;
	case CW_ARG_HASH:
	case CW_ARG_ADDRESS:
	case CW_ARG_BYTES: cw_params_bytea(&b->params, arg->text, arg->len); return;
	case CW_ARG_JSON: cw_params_jsonb(&b->params, arg->text, arg->len); return;
	case CW_ARG_TEXTS:
	case CW_ARG_CHOICES: push_list(b, arg); return;
	case CW_ARG_AMOUNT: push_amount(b, arg); return;
	}
}

static void put_template(struct cw_build *b, const char *template, const char *value)
{
	for (const char *p = template; *p != '\0'; p++) {
		if (*p == '%')
			cw_buf_puts(&b->sql, value);
		else
			cw_buf_putc(&b->sql, *p);
	}
}

void cw_build_value(struct cw_build *b, const char *name, const char *template)
{
	int i = index_of(b->args->op, name);
	char number[16];

	push(b, &b->args->op->args[i], &b->args->values[i]);
	snprintf(number, sizeof(number), "$%d", b->params.count);
	put_template(b, template, number);
}

void cw_build_and(struct cw_build *b)
{
	cw_buf_puts(&b->sql, b->conditions++ == 0 ? " WHERE " : " AND ");
}

void cw_build_filter(struct cw_build *b, const char *name, const char *template)
{
	if (cw_build_arg(b, name) == NULL)
		return;
	cw_build_and(b);
	cw_build_value(b, name, template);
}

void cw_build_choice(struct cw_build *b, const char *name, const char *template)
{
	const struct cw_arg *arg = cw_build_arg(b, name);

	if (arg == NULL)
		return;
	cw_build_and(b);
	put_template(b, template, arg->text);
}

void cw_build_flag(struct cw_build *b, const char *name, const char *yes, const char *no)
{
	const struct cw_arg *arg = cw_build_arg(b, name);

	if (arg == NULL)
		return;
	cw_build_and(b);
	cw_buf_puts(&b->sql, arg->flag ? yes : no);
}

void cw_build_after(struct cw_build *b, const char *keys)
{
	const char *separator = b->ascending ? ") > (" : ") < (";

	if (!b->has_cursor)
		return;
	cw_build_and(b);
	cw_buf_printf(&b->sql, "(%s", keys);
	for (int i = 0; i < b->cursor.count; i++) {
		if (b->cursor.is_time[i])
			cw_params_time(&b->params, b->cursor.keys[i]);
		else
			cw_params_i64(&b->params, b->cursor.keys[i]);
		cw_buf_printf(&b->sql, "%s$%d", separator, b->params.count);
		separator = ", ";
	}
	cw_buf_putc(&b->sql, ')');
}

/* A literal limit, because with a parameter the planner would guess; a few steps, because each is a statement. One row
 * more than asked for tells whether there is a next page. */
static int limit_step(int limit)
{
	static const int steps[] = { 10, 25, 50, 100, 200, 500, 1000 };

	for (int i = 0; i < CW_COUNT(steps); i++)
		if (limit <= steps[i])
			return steps[i] + 1;
	return CW_PAGE_MAX + 1;
}

static void put_order(struct cw_build *b, const char *keys)
{
	const char *direction = b->ascending ? "" : " DESC";

	cw_buf_puts(&b->sql, " ORDER BY ");
	for (const char *p = keys; *p != '\0'; p++) {
		if (*p == ',')
			cw_buf_puts(&b->sql, direction);
		cw_buf_putc(&b->sql, *p);
	}
	cw_buf_printf(&b->sql, "%s LIMIT %lld", direction, (long long)limit_step(b->limit));
}

void cw_build_order(struct cw_build *b, const char *keys)
{
	put_order(b, keys);
	if (b->offset > 0)
		cw_buf_printf(&b->sql, " + %lld", (long long)b->offset);
}

void cw_build_page(struct cw_build *b, const char *keys)
{
	cw_build_after(b, keys);
	put_order(b, keys);
	if (b->offset == 0)
		return;
	b->plan_anew = true;          /* each offset is another statement */
	cw_buf_printf(&b->sql, " OFFSET %lld", (long long)b->offset);
}

/* --- whole statements --- */

void cw_build_where(struct cw_build *b)
{
	const struct cw_op *op = b->args->op;

	for (int i = 0; i < op->nargs; i++) {
		const struct cw_arg_spec *spec = &op->args[i];

		if (spec->where == NULL)
			continue;
		if (spec->type == CW_ARG_BOOL && spec->otherwise != NULL)
			cw_build_flag(b, spec->name, spec->where, spec->otherwise);
		else if (spec->type == CW_ARG_CHOICE && strstr(spec->where, "'%'") != NULL)
			cw_build_choice(b, spec->name, spec->where);
		else
			cw_build_filter(b, spec->name, spec->where);
	}
}

static void put_end(struct cw_build *b)
{
	const struct cw_op *op = b->args->op;

	if (op->tail != NULL)
		cw_buf_printf(&b->sql, " %s", op->tail);
	if (op->kind == CW_OP_EXEC && op->ncolumns > 0)
		cw_build_returning(b);
}

void cw_build_query(struct cw_build *b)
{
	cw_build_select(b);
	cw_buf_printf(&b->sql, " FROM %s", b->args->op->from);
	cw_build_where(b);
	put_end(b);
}

/* Those with a column that are given; returns how many. */
static int put_written(struct cw_build *b, void (*put)(struct cw_build *b, const struct cw_arg_spec *spec, int n))
{
	const struct cw_op *op = b->args->op;
	int n = 0;

	for (int i = 0; i < op->nargs; i++)
		if (op->args[i].column != NULL && b->args->values[i].set)
			put(b, &op->args[i], n++);
	return n;
}

static void put_column(struct cw_build *b, const struct cw_arg_spec *spec, int n)
{
	cw_buf_printf(&b->sql, "%s%s", n > 0 ? ", " : "", spec->column);
}

static void put_value(struct cw_build *b, const struct cw_arg_spec *spec, int n)
{
	cw_buf_puts(&b->sql, n > 0 ? ", " : "");
	cw_build_value(b, spec->name, spec->value != NULL ? spec->value : "%");
}

static void put_assignment(struct cw_build *b, const struct cw_arg_spec *spec, int n)
{
	cw_buf_printf(&b->sql, "%s%s = ", n > 0 ? ", " : "", spec->column);
	cw_build_value(b, spec->name, spec->value != NULL ? spec->value : "%");
}

void cw_build_insert(struct cw_build *b)
{
	cw_buf_printf(&b->sql, "INSERT INTO %s (", b->args->op->from);
	put_written(b, put_column);
	cw_buf_puts(&b->sql, ") VALUES (");
	put_written(b, put_value);
	cw_buf_putc(&b->sql, ')');
	put_end(b);
}

void cw_build_update(struct cw_build *b)
{
	cw_buf_printf(&b->sql, "UPDATE %s SET ", b->args->op->from);
	if (put_written(b, put_assignment) == 0)
		b->fault = "there is nothing to change";
	cw_build_where(b);
	put_end(b);
}

void cw_build_delete(struct cw_build *b)
{
	cw_buf_printf(&b->sql, "DELETE FROM %s", b->args->op->from);
	cw_build_where(b);
	put_end(b);
}
