#include "store/render.h"

#include <string.h>

#include "base/arena.h"
#include "chain/tx.h"
#include "pg/result.h"

#define TYPE_NUMERIC 1700u           /* pg_type.h */

void cw_render_columns(struct cw_buf *sql, const char *separator, const struct cw_column *columns, int n)
{
	for (int i = 0; i < n; i++) {
		if (columns[i].sql == NULL)
			continue;
		cw_buf_puts(sql, separator);
		cw_buf_puts(sql, columns[i].sql);
		separator = ", ";
	}
}

static void put_quantity(struct cw_buf *out, const struct cw_result *res, int row, int column)
{
	if (cw_result_type(res, column) == TYPE_NUMERIC) {
		cw_result_put_json(res, row, column, out);
		return;
	}
	cw_buf_putc(out, '"');
	cw_buf_uint(out, (uint64_t)cw_result_i64(res, row, column));
	cw_buf_putc(out, '"');
}

static void put_logs(struct cw_buf *out, const struct cw_result *res, int row, int column)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_tx tx = { .has = 0 };
	size_t len;
	const uint8_t *bytes = cw_result_bytea(res, row, column, &len);

	if (cw_logs_unpack(&tx, bytes, len, arena))
		cw_logs_put_json(out, &tx);
	else
		cw_buf_puts(out, "null");
	cw_arena_free(&arena);
}

static void put_cell(struct cw_buf *out, const struct cw_result *res, int row, int column, unsigned flags)
{
	if ((flags & (CW_COL_QUANTITY | CW_COL_SECONDS | CW_COL_LOGS)) == 0 || cw_result_is_null(res, row, column)) {
		cw_result_put_json(res, row, column, out);
	} else if ((flags & CW_COL_LOGS) != 0) {
		put_logs(out, res, row, column);
	} else if ((flags & CW_COL_QUANTITY) != 0) {
		put_quantity(out, res, row, column);
	} else {
		cw_buf_putc(out, '"');
		cw_buf_uint(out, (uint64_t)(cw_result_time(res, row, column) / 1000000));
		cw_buf_putc(out, '"');
	}
}

void cw_render_row(struct cw_buf *out, const struct cw_result *res, int row, const struct cw_column *columns, int n)
{
	bool first = true;
	int cell = 0;

	cw_buf_putc(out, '{');
	for (int i = 0; i < n; i++) {
		const struct cw_column *c = &columns[i];

		if ((c->flags & CW_COL_CLOSE) != 0) {
			cw_buf_putc(out, '}');
			first = false;
			continue;
		}
		if ((c->flags & CW_COL_HIDDEN) != 0) {
			cell++;
			continue;
		}
		if (!first)
			cw_buf_putc(out, ',');
		cw_buf_puts(out, c->key);
		first = (c->flags & CW_COL_OPEN) != 0;
		if (first)
			cw_buf_putc(out, '{');
		else
			put_cell(out, res, row, cell++, c->flags);
	}
}

/* `key` is written as "\"name\":". */
static bool is_key(const char *key, const char *name, size_t len)
{
	return strlen(key) == len + 3 && memcmp(key + 1, name, len) == 0;
}

int cw_render_find(const struct cw_column *columns, int n, const char *name)
{
	const char *dot = strchr(name, '.');
	bool inside = false;
	int cell = 0;

	for (int i = 0; i < n; i++) {
		const struct cw_column *c = &columns[i];

		if ((c->flags & CW_COL_OPEN) != 0)
			inside = dot != NULL && is_key(c->key, name, (size_t)(dot - name));
		else if ((c->flags & CW_COL_CLOSE) != 0)
			inside = false;
		else if (inside && is_key(c->key, dot + 1, strlen(dot + 1)))
			return cell;
		else if (!inside && dot == NULL && is_key(c->key, name, strlen(name)))
			return cell;
		if (c->sql != NULL)
			cell++;
	}
	return -1;
}
