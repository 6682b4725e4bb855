/* query.h - statements and their parameters, in PostgreSQL's binary formats.
 *
 * A statement is a constant with a name; each connection prepares it at its first use. Parameters are gathered in an
 * arena and belong to one execution. Nothing is ever quoted into SQL text. */
#ifndef CW_PG_QUERY_H
#define CW_PG_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_arena;
struct cw_u256;

struct cw_stmt {
	const char *name;             /* up to a # the label of its time histogram; "" = not prepared */
	const char *sql;
};

#define CW_PARAMS_MAX 48

struct cw_params {
	struct cw_arena *arena;
	int count;
	uint32_t types[CW_PARAMS_MAX];
	const char *values[CW_PARAMS_MAX];
	int lengths[CW_PARAMS_MAX];
};

void cw_params_init(struct cw_params *p, struct cw_arena *arena);
void cw_params_null(struct cw_params *p);            /* type left to the server */
void cw_params_bool(struct cw_params *p, bool value);
void cw_params_i32(struct cw_params *p, int32_t value);
void cw_params_i64(struct cw_params *p, int64_t value);
void cw_params_f64(struct cw_params *p, double value);
void cw_params_text(struct cw_params *p, const char *text, size_t len);
void cw_params_cstring(struct cw_params *p, const char *text);             /* NULL pointer: SQL null */
void cw_params_bytea(struct cw_params *p, const void *bytes, size_t len);
void cw_params_jsonb(struct cw_params *p, const char *text, size_t len);
void cw_params_numeric(struct cw_params *p, const struct cw_u256 *value);
void cw_params_time(struct cw_params *p, int64_t wall_us);                 /* timestamptz */

/* One-dimensional arrays for unnest: begin, add `n` elements, end. An element may be null. */
struct cw_array;
enum cw_elem { CW_ELEM_BOOL, CW_ELEM_I32, CW_ELEM_I64, CW_ELEM_F64, CW_ELEM_TEXT, CW_ELEM_BYTEA, CW_ELEM_JSONB,
	           CW_ELEM_NUMERIC, CW_ELEM_TIME };
struct cw_array *cw_array_begin(struct cw_arena *arena, enum cw_elem type, size_t expected);
void cw_array_null(struct cw_array *a);
void cw_array_bool(struct cw_array *a, bool value);
void cw_array_i32(struct cw_array *a, int32_t value);
void cw_array_i64(struct cw_array *a, int64_t value);
void cw_array_f64(struct cw_array *a, double value);
void cw_array_bytes(struct cw_array *a, const void *bytes, size_t len);    /* TEXT, BYTEA, JSONB */
void cw_array_numeric(struct cw_array *a, const struct cw_u256 *value);
void cw_array_time(struct cw_array *a, int64_t wall_us);
void cw_params_array(struct cw_params *p, struct cw_array *a);

#endif
