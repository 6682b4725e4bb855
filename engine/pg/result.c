#include "pg/result.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "chain/u256.h"
#include "pg/wire.h"

#define EXACT_DOUBLE (INT64_C(1) << 53)   /* JSON readers take numbers for doubles */
#define PGSQL_AF_INET 2                   /* inet_send: family, bits, is_cidr, length, address */

/* One value as it came: of a cell or of an element of an array. */
struct cell {
	uint32_t type;
	size_t len;
	const uint8_t *bytes;                 /* NULL: null */
};

static const PGresult *pg(const struct cw_result *res)
{
	return (const PGresult *)(const void *)res;
}

static struct cell cell_at(const struct cw_result *res, int row, int column)
{
	struct cell c = { .type = 0 };

	if (row < 0 || row >= PQntuples(pg(res)) || column < 0 || column >= PQnfields(pg(res))) {
		cw_bug("cell %d,%d of a result of %d rows and %d columns", row, column, PQntuples(pg(res)), PQnfields(pg(res)));
		return c;
	}
	c.type = PQftype(pg(res), column);
	if (PQgetisnull(pg(res), row, column))
		return c;
	c.bytes = (const uint8_t *)PQgetvalue(pg(res), row, column);
	c.len = (size_t)PQgetlength(pg(res), row, column);
	return c;
}

/* NULL if it is null, or of another type or length than is asked for (which is a bug and said so). */
static const uint8_t *bytes_of(const struct cell *c, bool right_type, size_t len, const char *wanted)
{
	if (c->bytes == NULL && (c->type == 0 || right_type))
		return NULL;
	if (!right_type || (len > 0 && c->len != len)) {
		cw_bug("a value of type %u, %zu bytes, was read as %s", c->type, c->len, wanted);
		return NULL;
	}
	return c->bytes;
}

static bool is_text(uint32_t type)
{
	return type == CW_OID_TEXT || type == CW_OID_VARCHAR || type == CW_OID_BPCHAR || type == CW_OID_NAME ||
	       type == CW_OID_JSON || type == CW_OID_JSONB || type == CW_OID_UNKNOWN || type >= CW_OID_FIRST_USER;
}

static int64_t to_i64(const struct cell *c)
{
	bool two = c->type == CW_OID_INT2, four = c->type == CW_OID_INT4, oid = c->type == CW_OID_OID;
	const uint8_t *in = bytes_of(c, two || four || oid || c->type == CW_OID_INT8, two ? 2 : four || oid ? 4 : 8,
	                             "an integer");

	if (in == NULL)
		return 0;
	if (two)
		return (int16_t)cw_wire_get16(in);
	if (four)
		return (int32_t)cw_wire_get32(in);
	return oid ? (int64_t)cw_wire_get32(in) : (int64_t)cw_wire_get64(in);
}

static double to_f64(const struct cell *c)
{
	const uint8_t *in;
	uint32_t half;
	uint64_t full;
	float narrow;
	double wide;

	if (c->type == CW_OID_FLOAT4) {
		in = bytes_of(c, true, 4, "a float");
		half = in != NULL ? cw_wire_get32(in) : 0;
		memcpy(&narrow, &half, 4);
		return narrow;
	}
	if (c->type == CW_OID_INT2 || c->type == CW_OID_INT4 || c->type == CW_OID_INT8)
		return (double)to_i64(c);
	in = bytes_of(c, c->type == CW_OID_FLOAT8, 8, "a float");
	full = in != NULL ? cw_wire_get64(in) : 0;
	memcpy(&wide, &full, 8);
	return wide;
}

static int64_t to_time(const struct cell *c)
{
	const uint8_t *in = bytes_of(c, c->type == CW_OID_TIMESTAMPTZ || c->type == CW_OID_TIMESTAMP, 8, "a time");
	int64_t us = in != NULL ? (int64_t)cw_wire_get64(in) : -CW_PG_EPOCH_US;

	return us == INT64_MAX || us == INT64_MIN ? us : us + CW_PG_EPOCH_US;
}

static const char *to_text(const struct cell *c, size_t *len)
{
	const uint8_t *in = bytes_of(c, is_text(c->type), 0, "text");
	size_t skip = c->type == CW_OID_JSONB && in != NULL && c->len > 0 ? 1 : 0;   /* version of the format */

	if (len != NULL)
		*len = in != NULL ? c->len - skip : 0;
	return in != NULL ? (const char *)in + skip : "";
}

/* ---- public ---- */

int cw_result_rows(const struct cw_result *res)
{
	return PQntuples(pg(res));
}

int cw_result_columns(const struct cw_result *res)
{
	return PQnfields(pg(res));
}

int64_t cw_result_affected(const struct cw_result *res)
{
	/* libpq's functions that only read take no const */
	return strtoll(PQcmdTuples((PGresult *)(uintptr_t)res), NULL, 10);
}

const char *cw_result_name(const struct cw_result *res, int column)
{
	const char *name = column >= 0 && column < PQnfields(pg(res)) ? PQfname(pg(res), column) : NULL;

	return name != NULL ? name : "";
}

uint32_t cw_result_type(const struct cw_result *res, int column)
{
	return PQftype(pg(res), column);
}

bool cw_result_is_null(const struct cw_result *res, int row, int column)
{
	struct cell c = cell_at(res, row, column);

	return c.bytes == NULL;
}

bool cw_result_bool(const struct cw_result *res, int row, int column)
{
	struct cell c = cell_at(res, row, column);
	const uint8_t *in = bytes_of(&c, c.type == CW_OID_BOOL, 1, "a boolean");

	return in != NULL && in[0] != 0;
}

int64_t cw_result_i64(const struct cw_result *res, int row, int column)
{
	struct cell c = cell_at(res, row, column);

	return to_i64(&c);
}

double cw_result_f64(const struct cw_result *res, int row, int column)
{
	struct cell c = cell_at(res, row, column);

	return to_f64(&c);
}

const char *cw_result_text(const struct cw_result *res, int row, int column, size_t *len)
{
	struct cell c = cell_at(res, row, column);

	return to_text(&c, len);
}

const uint8_t *cw_result_bytea(const struct cw_result *res, int row, int column, size_t *len)
{
	struct cell c = cell_at(res, row, column);
	const uint8_t *in = bytes_of(&c, c.type == CW_OID_BYTEA, 0, "bytea");

	if (len != NULL)
		*len = in != NULL ? c.len : 0;
	return in != NULL ? in : (const uint8_t *)"";
}

int64_t cw_result_time(const struct cw_result *res, int row, int column)
{
	struct cell c = cell_at(res, row, column);

	return to_time(&c);
}

bool cw_result_numeric(const struct cw_result *res, int row, int column, struct cw_u256 *out)
{
	struct cell c = cell_at(res, row, column);
	const uint8_t *in = bytes_of(&c, c.type == CW_OID_NUMERIC, 0, "numeric");

	*out = cw_u256_from_u64(0);
	return in != NULL && cw_wire_get_numeric(in, c.len, out);
}

/* ---- arrays ---- */

/* array_send: dimensions, null flag, type, then length and lower bound of each dimension, then the elements. */
struct walk {
	const uint8_t *at, *end;
	uint32_t type;
	int count;
};

static bool walk_begin(struct walk *w, const struct cell *c)
{
	uint32_t dimensions;

	*w = (struct walk){ .count = 0 };
	if (c->bytes == NULL || c->len < 12)
		return false;
	dimensions = cw_wire_get32(c->bytes);
	w->type = cw_wire_get32(c->bytes + 8);
	w->end = c->bytes + c->len;
	w->at = c->bytes + 12;
	if (dimensions == 0)
		return true;
	if (dimensions != 1 || c->len < 20)
		return false;
	w->count = (int)cw_wire_get32(c->bytes + 12);
	w->at = c->bytes + 20;
	return w->count >= 0;
}

static bool walk_next(struct walk *w, struct cell *out)
{
	uint32_t len;

	*out = (struct cell){ .type = w->type };
	if (w->end - w->at < 4)
		return false;
	len = cw_wire_get32(w->at);
	w->at += 4;
	if (len == UINT32_MAX)
		return true;
	if ((size_t)(w->end - w->at) < len)
		return false;
	out->bytes = w->at;
	out->len = len;
	w->at += len;
	return true;
}

static bool is_array(uint32_t type)
{
	switch (type) {
	case CW_OID_BOOL_ARRAY:
	case CW_OID_BYTEA_ARRAY:
	case CW_OID_INT4_ARRAY:
	case CW_OID_TEXT_ARRAY:
	case CW_OID_INT8_ARRAY:
	case CW_OID_FLOAT8_ARRAY:
	case CW_OID_TIMESTAMPTZ_ARRAY:
	case CW_OID_NUMERIC_ARRAY:
	case CW_OID_JSONB_ARRAY:
		return true;
	default:
		return false;
	}
}

int cw_result_array_count(const struct cw_result *res, int row, int column)
{
	struct cell c = cell_at(res, row, column);
	struct walk w;

	if (bytes_of(&c, is_array(c.type), 0, "an array") == NULL || !walk_begin(&w, &c))
		return 0;
	return w.count;
}

const char *cw_result_array_bytes(const struct cw_result *res, int row, int column, int index, size_t *len)
{
	struct cell c = cell_at(res, row, column), element = { .type = 0 };
	struct walk w;

	*len = 0;
	if (bytes_of(&c, is_array(c.type), 0, "an array") == NULL || !walk_begin(&w, &c) || index < 0 || index >= w.count)
		return NULL;
	for (int i = 0; i <= index; i++)
		if (!walk_next(&w, &element))
			return NULL;
	*len = element.len;
	return (const char *)element.bytes;
}

/* ---- JSON ---- */

static void put_hex(struct cw_buf *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *to;

	cw_buf_reserve(out, 2 * len + 4);
	to = out->data + out->len;
	*to++ = '"';
	*to++ = '0';
	*to++ = 'x';
	for (size_t i = 0; i < len; i++) {
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 15];
	}
	*to++ = '"';
	*to = '\0';
	out->len = (size_t)(to - out->data);
}

static void put_integer(struct cw_buf *out, int64_t value)
{
	bool exact = value >= -EXACT_DOUBLE && value <= EXACT_DOUBLE;

	if (!exact)
		cw_buf_putc(out, '"');
	if (value < 0)
		cw_buf_putc(out, '-');
	cw_buf_uint(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
	if (!exact)
		cw_buf_putc(out, '"');
}

/* Shortest text that reads back as the same float: as a double it would show digits that were never there. */
static void put_float4(struct cw_buf *out, float value)
{
	char text[32];

	if (!isfinite(value)) {
		cw_buf_puts(out, "null");
		return;
	}
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, (double)value);
		if (strtof(text, NULL) == value)
			break;
	}
	cw_buf_puts(out, text);
}

static void put_time(struct cw_buf *out, int64_t us)
{
	char text[32];

	if (us == INT64_MAX || us == INT64_MIN) {
		cw_buf_puts(out, us == INT64_MAX ? "\"infinity\"" : "\"-infinity\"");
		return;
	}
	cw_buf_putc(out, '"');
	cw_buf_puts(out, cw_time_format(us, text));
	cw_buf_putc(out, '"');
}

static void put_inet(struct cw_buf *out, const struct cell *c)
{
	char text[INET6_ADDRSTRLEN] = "";
	bool four = c->len >= 4 && c->bytes[0] == PGSQL_AF_INET;
	size_t want = four ? 4 : 16;

	if (c->len != 4 + want || inet_ntop(four ? AF_INET : AF_INET6, c->bytes + 4, text, sizeof(text)) == NULL) {
		cw_buf_puts(out, "null");
		return;
	}
	cw_buf_printf(out, c->bytes[1] == 8 * want ? "\"%s\"" : "\"%s/%u\"", text, c->bytes[1]);
}

static void put_cell(struct cw_buf *out, const struct cell *c);

static void put_array(struct cw_buf *out, const struct cell *c)
{
	struct cell element;
	struct walk w;

	if (!walk_begin(&w, c)) {
		cw_bug("an array of more than one dimension, type %u", c->type);
		cw_buf_puts(out, "null");
		return;
	}
	cw_buf_putc(out, '[');
	for (int i = 0; i < w.count && walk_next(&w, &element); i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		put_cell(out, &element);
	}
	cw_buf_putc(out, ']');
}

static void put_numeric(struct cw_buf *out, const struct cell *c)
{
	cw_buf_putc(out, '"');
	if (!cw_wire_numeric_text(c->bytes, c->len, out))
		cw_bug("malformed numeric of %zu bytes", c->len);
	cw_buf_putc(out, '"');
}

static void put_cell(struct cw_buf *out, const struct cell *c)
{
	const char *text;
	size_t len;

	if (c->bytes == NULL) {
		cw_buf_puts(out, "null");
		return;
	}
	switch (c->type) {
	case CW_OID_BOOL:
		cw_buf_puts(out, c->len > 0 && c->bytes[0] != 0 ? "true" : "false");
		return;
	case CW_OID_INT2:
	case CW_OID_INT4:
	case CW_OID_INT8:
	case CW_OID_OID:
		put_integer(out, to_i64(c));
		return;
	case CW_OID_FLOAT4:
		put_float4(out, (float)to_f64(c));
		return;
	case CW_OID_FLOAT8:
		cw_json_put_double(out, to_f64(c));
		return;
	case CW_OID_NUMERIC:
		put_numeric(out, c);
		return;
	case CW_OID_BYTEA:
		put_hex(out, c->bytes, c->len);
		return;
	case CW_OID_TIMESTAMP:
	case CW_OID_TIMESTAMPTZ:
		put_time(out, to_time(c));
		return;
	case CW_OID_JSON:
	case CW_OID_JSONB:
		text = to_text(c, &len);
		cw_buf_add(out, text, len);
		return;
	case CW_OID_INET:
	case CW_OID_CIDR:
		put_inet(out, c);
		return;
	default:
		break;
	}
	if (is_array(c->type)) {
		put_array(out, c);
		return;
	}
	text = to_text(c, &len);
	cw_json_put_string(out, text, len);
}

void cw_result_put_json(const struct cw_result *res, int row, int column, struct cw_buf *out)
{
	struct cell c = cell_at(res, row, column);

	put_cell(out, &c);
}
