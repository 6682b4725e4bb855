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
/* The type of the column must be the one that is read (int2/4/8 widen); a mismatch is a bug. Null reads as 0 / "". */
bool cw_result_bool(const struct cw_result *res, int row, int column);
int64_t cw_result_i64(const struct cw_result *res, int row, int column);
double cw_result_f64(const struct cw_result *res, int row, int column);
const char *cw_result_text(const struct cw_result *res, int row, int column, size_t *len);    /* text, enum, jsonb */
const uint8_t *cw_result_bytea(const struct cw_result *res, int row, int column, size_t *len);
int64_t cw_result_time(const struct cw_result *res, int row, int column);  /* microseconds since 1970 */
/* false: not a whole number in [0, 2^256) */
bool cw_result_numeric(const struct cw_result *res, int row, int column, struct cw_u256 *out);
/* Appends the cell as JSON: numbers for int and float, decimal strings for int8 beyond 2^53 and numeric, 0x hex for
 * bytea, RFC 3339 for times, jsonb as it is, null. */
void cw_result_put_json(const struct cw_result *res, int row, int column, struct cw_buf *out);

#endif
