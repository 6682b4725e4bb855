/* result.h - typed reading of a binary result. Valid during the callback that brought it. */
#ifndef CW_PG_RESULT_H
#define CW_PG_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_result;      /* a PGresult in binary format */
struct cw_u256;
struct cw_buf;

int cw_result_rows(const struct cw_result *res);
int cw_result_columns(const struct cw_result *res);
int64_t cw_result_affected(const struct cw_result *res);
const char *cw_result_name(const struct cw_result *res, int column);
uint32_t cw_result_type(const struct cw_result *res, int column);          /* type OID */
bool cw_result_is_null(const struct cw_result *res, int row, int column);
/* The type of the column must be the one that is read (int2/4/8 and float4/8 widen); a mismatch is a bug. Null reads
 * as 0 / "". */
bool cw_result_bool(const struct cw_result *res, int row, int column);
int64_t cw_result_i64(const struct cw_result *res, int row, int column);
double cw_result_f64(const struct cw_result *res, int row, int column);
/* text, varchar, name, enum, json, jsonb; NUL-terminated; `len` may be NULL */
const char *cw_result_text(const struct cw_result *res, int row, int column, size_t *len);
const uint8_t *cw_result_bytea(const struct cw_result *res, int row, int column, size_t *len);
/* Microseconds since 1970; "infinity" is INT64_MAX, "-infinity" INT64_MIN. */
int64_t cw_result_time(const struct cw_result *res, int row, int column);
/* false: null, or not a whole number in [0, 2^256) */
bool cw_result_numeric(const struct cw_result *res, int row, int column, struct cw_u256 *out);
/* One-dimensional arrays, e.g. text[] of roles: number of elements (null and empty: 0), then each one's bytes, which
 * end without a NUL; NULL for a null element. */
int cw_result_array_count(const struct cw_result *res, int row, int column);
const char *cw_result_array_bytes(const struct cw_result *res, int row, int column, int index, size_t *len);
/* Appends the cell as JSON: numbers for int and float, decimal strings for int8 beyond 2^53 and numeric, 0x hex for
 * bytea, RFC 3339 for times, json and jsonb as they are, arrays as arrays, text for inet and enums, null. A float that
 * is not finite is null. */
void cw_result_put_json(const struct cw_result *res, int row, int column, struct cw_buf *out);

#endif
