/* wire.h - PostgreSQL's binary formats: big-endian integers, type numbers, numeric. Inside pg only. */
#ifndef CW_PG_WIRE_H
#define CW_PG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cw_buf;
struct cw_u256;

/* From pg_type.dat; they never change. */
enum cw_oid {
	CW_OID_BOOL = 16, CW_OID_BYTEA = 17, CW_OID_NAME = 19, CW_OID_INT8 = 20, CW_OID_INT2 = 21, CW_OID_INT4 = 23,
	CW_OID_TEXT = 25, CW_OID_OID = 26, CW_OID_JSON = 114, CW_OID_FLOAT4 = 700, CW_OID_FLOAT8 = 701,
	CW_OID_UNKNOWN = 705, CW_OID_INET = 869, CW_OID_CIDR = 650, CW_OID_BOOL_ARRAY = 1000, CW_OID_BYTEA_ARRAY = 1001,
	CW_OID_INT4_ARRAY = 1007, CW_OID_TEXT_ARRAY = 1009, CW_OID_INT8_ARRAY = 1016, CW_OID_FLOAT8_ARRAY = 1022,
	CW_OID_BPCHAR = 1042, CW_OID_VARCHAR = 1043, CW_OID_DATE = 1082, CW_OID_TIMESTAMP = 1114,
	CW_OID_TIMESTAMPTZ = 1184, CW_OID_TIMESTAMPTZ_ARRAY = 1185, CW_OID_NUMERIC_ARRAY = 1231, CW_OID_NUMERIC = 1700,
	CW_OID_JSONB = 3802, CW_OID_JSONB_ARRAY = 3807,
	CW_OID_FIRST_USER = 16384,   /* types made by CREATE TYPE: here they are enums */
};

#define CW_PG_EPOCH_US INT64_C(946684800000000)   /* 2000-01-01, from which PostgreSQL counts */

static inline void cw_wire_put16(void *out, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(out, &v, 2);
}

static inline void cw_wire_put32(void *out, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(out, &v, 4);
}

static inline void cw_wire_put64(void *out, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(out, &v, 8);
}

static inline uint16_t cw_wire_get16(const void *in)
{
	uint16_t v;

	memcpy(&v, in, 2);
	return __builtin_bswap16(v);
}

static inline uint32_t cw_wire_get32(const void *in)
{
	uint32_t v;

	memcpy(&v, in, 4);
	return __builtin_bswap32(v);
}

static inline uint64_t cw_wire_get64(const void *in)
{
	uint64_t v;

	memcpy(&v, in, 8);
	return __builtin_bswap64(v);
}

#define CW_WIRE_NUMERIC_MAX 48   /* 8 bytes and 20 digits of base 10000 hold 2^256 - 1 */

/* Returns the length. */
size_t cw_wire_put_numeric(uint8_t out[CW_WIRE_NUMERIC_MAX], const struct cw_u256 *value);
/* false: malformed, not whole, negative, or 2^256 and more */
bool cw_wire_get_numeric(const uint8_t *in, size_t len, struct cw_u256 *out);
/* Any numeric as text ("-1.50", "NaN", "Infinity"); false if malformed. */
bool cw_wire_numeric_text(const uint8_t *in, size_t len, struct cw_buf *out);

#endif
