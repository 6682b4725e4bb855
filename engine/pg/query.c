#include "pg/query.h"

#include <limits.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "chain/u256.h"
#include "pg/wire.h"

#define ARRAY_HEADER 20

static const struct {
	uint32_t element, array;
	size_t guess;                /* bytes of an element, to size the buffer once */
} elems[] = {
	[CW_ELEM_BOOL] = { CW_OID_BOOL, CW_OID_BOOL_ARRAY, 5 },
	[CW_ELEM_I32] = { CW_OID_INT4, CW_OID_INT4_ARRAY, 8 },
	[CW_ELEM_I64] = { CW_OID_INT8, CW_OID_INT8_ARRAY, 12 },
	[CW_ELEM_F64] = { CW_OID_FLOAT8, CW_OID_FLOAT8_ARRAY, 12 },
	[CW_ELEM_TEXT] = { CW_OID_TEXT, CW_OID_TEXT_ARRAY, 20 },
	[CW_ELEM_BYTEA] = { CW_OID_BYTEA, CW_OID_BYTEA_ARRAY, 36 },
	[CW_ELEM_JSONB] = { CW_OID_JSONB, CW_OID_JSONB_ARRAY, 40 },
	[CW_ELEM_NUMERIC] = { CW_OID_NUMERIC, CW_OID_NUMERIC_ARRAY, 24 },
	[CW_ELEM_TIME] = { CW_OID_TIMESTAMPTZ, CW_OID_TIMESTAMPTZ_ARRAY, 12 },
};

/* Header (dimensions, null flag, type, length, lower bound), then each element behind its length. Lives in the arena;
 * its buffer is released with it. */
struct cw_array {
	enum cw_elem type;
	bool ended, has_null;
	uint32_t count;
	struct cw_buf bytes;
};

void cw_params_init(struct cw_params *p, struct cw_arena *arena)
{
	p->arena = arena;
	p->count = 0;
}

static void add(struct cw_params *p, uint32_t type, const void *value, size_t len)
{
	cw_assert(p->count < CW_PARAMS_MAX);
	cw_assert(len <= INT_MAX);
	p->types[p->count] = type;
	p->values[p->count] = value;
	p->lengths[p->count] = (int)len;
	p->count++;
}

static uint8_t *room(struct cw_params *p, size_t size)
{
	return cw_arena_alloc(p->arena, size);
}

void cw_params_null(struct cw_params *p)
{
	add(p, 0, NULL, 0);
}

void cw_params_bool(struct cw_params *p, bool value)
{
	uint8_t *out = room(p, 1);

	out[0] = value;
	add(p, CW_OID_BOOL, out, 1);
}

void cw_params_i32(struct cw_params *p, int32_t value)
{
	uint8_t *out = room(p, 4);

	cw_wire_put32(out, (uint32_t)value);
	add(p, CW_OID_INT4, out, 4);
}

static void add64(struct cw_params *p, uint32_t type, uint64_t value)
{
	uint8_t *out = room(p, 8);

	cw_wire_put64(out, value);
	add(p, type, out, 8);
}

static uint64_t double_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, 8);
	return bits;
}

void cw_params_i64(struct cw_params *p, int64_t value)
{
	add64(p, CW_OID_INT8, (uint64_t)value);
}

void cw_params_f64(struct cw_params *p, double value)
{
	add64(p, CW_OID_FLOAT8, double_bits(value));
}

void cw_params_time(struct cw_params *p, int64_t wall_us)
{
	add64(p, CW_OID_TIMESTAMPTZ, (uint64_t)wall_us - (uint64_t)CW_PG_EPOCH_US);
}

void cw_params_text(struct cw_params *p, const char *text, size_t len)
{
	add(p, CW_OID_TEXT, cw_arena_strndup(p->arena, text, len), len);
}

void cw_params_cstring(struct cw_params *p, const char *text)
{
	if (text == NULL)
		add(p, CW_OID_TEXT, NULL, 0);
	else
		cw_params_text(p, text, strlen(text));
}

void cw_params_bytea(struct cw_params *p, const void *bytes, size_t len)
{
	uint8_t *out = room(p, len);

	if (len > 0)
		memcpy(out, bytes, len);
	add(p, CW_OID_BYTEA, out, len);
}

void cw_params_jsonb(struct cw_params *p, const char *text, size_t len)
{
	uint8_t *out = room(p, len + 1);

	out[0] = 1;                  /* version of the format */
	memcpy(out + 1, text, len);
	add(p, CW_OID_JSONB, out, len + 1);
}

void cw_params_numeric(struct cw_params *p, const struct cw_u256 *value)
{
	uint8_t *out = room(p, CW_WIRE_NUMERIC_MAX);

	add(p, CW_OID_NUMERIC, out, cw_wire_put_numeric(out, value));
}

/* ---- arrays ---- */

static void release_array(void *arg)
{
	struct cw_array *a = arg;

	cw_buf_release(&a->bytes);
}

struct cw_array *cw_array_begin(struct cw_arena *arena, enum cw_elem type, size_t expected)
{
	struct cw_array *a = cw_arena_zalloc(arena, sizeof(*a));
	uint8_t header[ARRAY_HEADER] = { 0 };

	a->type = type;
	cw_buf_init(&a->bytes);
	cw_arena_cleanup(arena, release_array, a);
	cw_buf_reserve(&a->bytes, ARRAY_HEADER + expected * elems[type].guess);
	cw_buf_add(&a->bytes, header, ARRAY_HEADER);
	return a;
}

static uint8_t *grow(struct cw_array *a, size_t len)
{
	uint8_t *out;

	cw_assert(!a->ended && a->count < INT32_MAX);
	if (a->bytes.cap - a->bytes.len <= len)
		cw_buf_reserve(&a->bytes, len);
	out = (uint8_t *)a->bytes.data + a->bytes.len;
	a->bytes.len += len;
	a->count++;
	return out;
}

void cw_array_null(struct cw_array *a)
{
	cw_wire_put32(grow(a, 4), UINT32_MAX);
	a->has_null = true;
}

void cw_array_bool(struct cw_array *a, bool value)
{
	uint8_t *out = grow(a, 5);

	cw_assert(a->type == CW_ELEM_BOOL);
	cw_wire_put32(out, 1);
	out[4] = value;
}

void cw_array_i32(struct cw_array *a, int32_t value)
{
	uint8_t *out = grow(a, 8);

	cw_assert(a->type == CW_ELEM_I32);
	cw_wire_put32(out, 4);
	cw_wire_put32(out + 4, (uint32_t)value);
}

static void append64(struct cw_array *a, enum cw_elem type, uint64_t value)
{
	uint8_t *out = grow(a, 12);

	cw_assert(a->type == type);
	cw_wire_put32(out, 8);
	cw_wire_put64(out + 4, value);
}

void cw_array_i64(struct cw_array *a, int64_t value)
{
	append64(a, CW_ELEM_I64, (uint64_t)value);
}

void cw_array_f64(struct cw_array *a, double value)
{
	append64(a, CW_ELEM_F64, double_bits(value));
}

void cw_array_time(struct cw_array *a, int64_t wall_us)
{
	append64(a, CW_ELEM_TIME, (uint64_t)wall_us - (uint64_t)CW_PG_EPOCH_US);
}

void cw_array_bytes(struct cw_array *a, const void *bytes, size_t len)
{
	size_t version = a->type == CW_ELEM_JSONB ? 1 : 0;
	uint8_t *out;

	cw_assert(a->type == CW_ELEM_TEXT || a->type == CW_ELEM_BYTEA || a->type == CW_ELEM_JSONB);
	cw_assert(len < INT_MAX);
	out = grow(a, 4 + version + len);
	cw_wire_put32(out, (uint32_t)(version + len));
	if (version > 0)
		out[4] = 1;
	if (len > 0)
		memcpy(out + 4 + version, bytes, len);
}

void cw_array_numeric(struct cw_array *a, const struct cw_u256 *value)
{
	uint8_t number[CW_WIRE_NUMERIC_MAX];
	size_t len = cw_wire_put_numeric(number, value);
	uint8_t *out = grow(a, 4 + len);

	cw_assert(a->type == CW_ELEM_NUMERIC);
	cw_wire_put32(out, (uint32_t)len);
	memcpy(out + 4, number, len);
}

void cw_params_array(struct cw_params *p, struct cw_array *a)
{
	uint8_t *header = (uint8_t *)a->bytes.data;
	bool empty = a->count == 0;

	cw_assert(!a->ended);
	a->ended = true;
	cw_wire_put32(header, empty ? 0 : 1);
	cw_wire_put32(header + 4, a->has_null);
	cw_wire_put32(header + 8, elems[a->type].element);
	cw_wire_put32(header + 12, a->count);
	cw_wire_put32(header + 16, 1);
	add(p, elems[a->type].array, header, empty ? 12 : a->bytes.len);
}
