/* Parameters out and results in, against a real server: what is sent comes back the same. */
#include "pg/query.h"

#include <check.h>
#include <libpq-fe.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "chain/u256.h"
#include "pg/result.h"
#include "pg/wire.h"
#include "support/pgtest.h"

static struct pgtest *pg;
static PGconn *conn;
static struct cw_arena *arena;
static struct cw_params p;
static const struct cw_result *res;

static void pg_up(void)
{
	pg = pgtest_start();
}

static void pg_down(void)
{
	pgtest_stop(&pg);
}

static void setup(void)
{
	arena = cw_arena_new();
	cw_params_init(&p, arena);
	conn = PQconnectdb(pgtest_conninfo(pg));
	ck_assert_int_eq(PQstatus(conn), CONNECTION_OK);
	res = NULL;
}

static void teardown(void)
{
	PQclear((PGresult *)(uintptr_t)res);
	PQfinish(conn);
	cw_arena_free(&arena);
}

/* Runs it with what is in `p`, which is empty after that. */
static void ask(const char *sql)
{
	static const int binary[CW_PARAMS_MAX] = { [0 ... CW_PARAMS_MAX - 1] = 1 };
	PGresult *got = PQexecParams(conn, sql, p.count, p.types, p.values, p.lengths, binary, 1);

	PQclear((PGresult *)(uintptr_t)res);
	res = (const struct cw_result *)(const void *)got;
	ck_assert_msg(PQresultStatus(got) == PGRES_TUPLES_OK || PQresultStatus(got) == PGRES_COMMAND_OK, "%s: %s", sql,
	              PQresultErrorMessage(got));
	cw_arena_clear(arena);
	cw_params_init(&p, arena);
}

static const char *text(int row, int column)
{
	size_t len;
	const char *t = cw_result_text(res, row, column, &len);

	ck_assert_uint_eq(strlen(t), len);
	return t;
}

static const char *json(int row, int column)
{
	static struct cw_buf out = CW_BUF_INIT;

	cw_buf_clear(&out);
	cw_result_put_json(res, row, column, &out);
	return out.data;
}

static struct cw_u256 u256(const char *decimal)
{
	struct cw_u256 v;

	ck_assert(cw_u256_parse_decimal(&v, decimal, strlen(decimal)));
	return v;
}

START_TEST(scalars_come_back_the_same)
{
	static const int64_t longs[] = { 0, 1, -1, INT64_MAX, INT64_MIN, INT64_C(9007199254740993) };
	static const int32_t ints[] = { 0, 1, -1, INT32_MAX, INT32_MIN };
	static const double doubles[] = { 0, -0.0, 1.5, -1e308, 5e-324, 0.1 };

	for (size_t i = 0; i < sizeof(longs) / sizeof(*longs); i++) {
		char expect[32];

		cw_params_i64(&p, longs[i]);
		ask("SELECT $1, $1::text");
		ck_assert_int_eq(cw_result_i64(res, 0, 0), longs[i]);
		snprintf(expect, sizeof(expect), "%lld", (long long)longs[i]);
		ck_assert_str_eq(text(0, 1), expect);
	}
	for (size_t i = 0; i < sizeof(ints) / sizeof(*ints); i++) {
		cw_params_i32(&p, ints[i]);
		ask("SELECT $1");
		ck_assert_int_eq(cw_result_i64(res, 0, 0), ints[i]);
	}
	for (size_t i = 0; i < sizeof(doubles) / sizeof(*doubles); i++) {
		double got;

		cw_params_f64(&p, doubles[i]);
		ask("SELECT $1");
		got = cw_result_f64(res, 0, 0);
		ck_assert_int_eq(memcmp(&got, &doubles[i], 8), 0);
	}
	cw_params_bool(&p, true);
	cw_params_bool(&p, false);
	cw_params_f64(&p, (double)NAN);
	cw_params_f64(&p, (double)-INFINITY);
	ask("SELECT $1, $2, $3, $4");
	ck_assert(cw_result_bool(res, 0, 0));
	ck_assert(!cw_result_bool(res, 0, 1));
	ck_assert(isnan(cw_result_f64(res, 0, 2)));
	ck_assert_str_eq(json(0, 3), "null");
	ask("SELECT 7::int2, -7::int2, 1.5::float4, 3::int2, 4::oid");
	ck_assert_int_eq(cw_result_i64(res, 0, 0), 7);
	ck_assert_int_eq(cw_result_i64(res, 0, 1), -7);
	ck_assert(cw_result_f64(res, 0, 2) == 1.5);
	ck_assert(cw_result_f64(res, 0, 3) == 3);
	ck_assert_int_eq(cw_result_i64(res, 0, 4), 4);
}
END_TEST

START_TEST(text_bytea_and_json_come_back_the_same)
{
	uint8_t all[256];
	size_t len;

	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	cw_params_text(&p, "\xc3\xa4 \"quoted\" \\ $1 {,}", 20);
	cw_params_cstring(&p, "");
	cw_params_bytea(&p, all, sizeof(all));
	cw_params_bytea(&p, NULL, 0);
	cw_params_jsonb(&p, "{\"b\": [1, 2.50], \"a\": \"x\"}", 26);
	cw_params_cstring(&p, "  {\"kept\":  true}");
	ask("SELECT $1, $2, $3, $4, $5, $6::json, $1::varchar, 'x'::name");
	ck_assert_str_eq(text(0, 0), "\xc3\xa4 \"quoted\" \\ $1 {,}");
	ck_assert_str_eq(text(0, 1), "");
	ck_assert_int_eq(memcmp(cw_result_bytea(res, 0, 2, &len), all, 256), 0);
	ck_assert_uint_eq(len, 256);
	cw_result_bytea(res, 0, 3, &len);
	ck_assert_uint_eq(len, 0);
	ck_assert(!cw_result_is_null(res, 0, 3));
	ck_assert_str_eq(text(0, 4), "{\"a\": \"x\", \"b\": [1, 2.50]}");
	ck_assert_str_eq(json(0, 4), "{\"a\": \"x\", \"b\": [1, 2.50]}");
	ck_assert_str_eq(text(0, 5), "  {\"kept\":  true}");
	ck_assert_str_eq(text(0, 6), text(0, 0));
	ck_assert_str_eq(text(0, 7), "x");
	ck_assert_str_eq(json(0, 0), "\"\xc3\xa4 \\\"quoted\\\" \\\\ $1 {,}\"");
	ck_assert_str_eq(json(0, 3), "\"0x\"");
}
END_TEST

START_TEST(amounts_are_exact)
{
	static const char *const values[] = {
		"0", "1", "9", "9999", "10000", "10001", "99990000", "100000000", "1000000000000000000",
		"1000000000000000001", "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211456",
		"10000000000000000000000000000000000000000000000000000000000000000000000000000",
		"57896044618658097711785492504343953926634992332820282019728792003956564819968",
		"115792089237316195423570985008687907853269984665640564039457584007913129639935",
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct cw_u256 v = u256(values[i]), got;
		char quoted[100];

		cw_params_numeric(&p, &v);
		ask("SELECT $1, $1::text, $1::numeric(78,0)");
		ck_assert_str_eq(text(0, 1), values[i]);
		ck_assert(cw_result_numeric(res, 0, 0, &got));
		ck_assert_int_eq(cw_u256_cmp(&v, &got), 0);
		ck_assert(cw_result_numeric(res, 0, 2, &got));
		ck_assert_int_eq(cw_u256_cmp(&v, &got), 0);
		snprintf(quoted, sizeof(quoted), "\"%s\"", values[i]);
		ck_assert_str_eq(json(0, 2), quoted);
	}
}
END_TEST

START_TEST(many_amounts_agree_with_the_servers_arithmetic)
{
	struct cw_array *a = cw_array_begin(arena, CW_ELEM_NUMERIC, 1000), *t = cw_array_begin(arena, CW_ELEM_TEXT, 1000);
	uint64_t x = 88172645463325252;

	for (int i = 0; i < 1000; i++) {
		struct cw_u256 v = { { 0, 0, 0, 0 } };
		char decimal[CW_U256_DECIMAL_MAX];

		for (int w = 0; w <= i % 4; w++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			v.w[w] = i % 5 == 0 ? x & 0xffff : x;
		}
		cw_array_numeric(a, &v);
		cw_array_bytes(t, decimal, cw_u256_format_decimal(&v, decimal));
	}
	cw_params_array(&p, a);
	cw_params_array(&p, t);
	ask("SELECT count(*) FILTER (WHERE n = t::numeric AND n::text = t), count(*) FROM unnest($1, $2) u(n, t)");
	ck_assert_int_eq(cw_result_i64(res, 0, 0), 1000);
	ck_assert_int_eq(cw_result_i64(res, 0, 1), 1000);
}
END_TEST

START_TEST(what_is_no_amount_is_refused)
{
	struct cw_u256 v;
	struct cw_buf out = CW_BUF_INIT;
	static const uint8_t broken[][10] = { { 0, 2, 0, 0, 0, 0, 0, 0, 0, 1 }, { 0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10 },
		                                  { 0, 1, 0, 30, 0, 0, 0, 0, 0, 1 } };

	ask("SELECT -1::numeric, 0.5::numeric, 'NaN'::numeric, 'Infinity'::numeric, 2^256::numeric, NULL::numeric, "
	    "1.0::numeric, 10::numeric ^ 90");
	for (int i = 0; i < 6; i++)
		ck_assert_msg(!cw_result_numeric(res, 0, i, &v), "column %d", i);
	ck_assert(cw_result_numeric(res, 0, 6, &v));
	ck_assert_int_eq(cw_u256_cmp(&v, &(struct cw_u256){ { 1, 0, 0, 0 } }), 0);
	ck_assert(!cw_result_numeric(res, 0, 7, &v));
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		ck_assert(!cw_wire_get_numeric(broken[i], 10, &v));
	ck_assert(!cw_wire_get_numeric(broken[1], 7, &v));
	ck_assert(!cw_wire_numeric_text(broken[0], 10, &out));
}
END_TEST

START_TEST(any_numeric_prints_as_the_server_prints_it)
{
	ask("SELECT n, n::text FROM unnest(ARRAY[0, -1, 1.5, -0.001, 100, 10000, 0.00010000, 123456789.987654321, 1e20, "
	    "-1e-20, 'NaN', 'Infinity', '-Infinity', 12345.0, 0.10, 99999999.9999, 1e-5, 1.20000]::numeric[]) n");
	ck_assert_int_eq(cw_result_rows(res), 18);
	for (int i = 0; i < cw_result_rows(res); i++) {
		char quoted[100];

		snprintf(quoted, sizeof(quoted), "\"%s\"", text(i, 1));
		ck_assert_str_eq(json(i, 0), quoted);
	}
}
END_TEST

START_TEST(times_are_microseconds_since_1970)
{
	static const struct { int64_t us; const char *iso; } times[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 1, "1970-01-01T00:00:00.000001Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" },
		{ INT64_C(946684800000000), "2000-01-01T00:00:00Z" },
		{ INT64_C(1767225600123456), "2026-01-01T00:00:00.123456Z" },
		{ INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		char quoted[64];

		cw_params_time(&p, times[i].us);
		cw_params_cstring(&p, times[i].iso);
		ask("SELECT $1, $1 = $2::timestamptz");
		ck_assert(cw_result_bool(res, 0, 1));
		ck_assert_int_eq(cw_result_time(res, 0, 0), times[i].us);
		snprintf(quoted, sizeof(quoted), "\"%s\"", times[i].iso);
		ck_assert_str_eq(json(0, 0), quoted);
	}
	ask("SELECT 'infinity'::timestamptz, '-infinity'::timestamptz, '2026-01-01 00:00:00'::timestamp, NULL::timestamptz");
	ck_assert(cw_result_time(res, 0, 0) == INT64_MAX);
	ck_assert(cw_result_time(res, 0, 1) == INT64_MIN);
	ck_assert_str_eq(json(0, 0), "\"infinity\"");
	ck_assert_str_eq(json(0, 2), "\"2026-01-01T00:00:00Z\"");
	ck_assert_int_eq(cw_result_time(res, 0, 3), 0);
}
END_TEST

START_TEST(nulls_read_as_nothing)
{
	struct cw_u256 v;
	size_t len = 9;

	cw_params_null(&p);
	cw_params_cstring(&p, NULL);
	ask("SELECT $1::int8, $2, NULL::bool, NULL::float8, NULL::bytea, NULL::numeric, NULL::jsonb, NULL::text[]");
	for (int i = 0; i < 8; i++) {
		ck_assert(cw_result_is_null(res, 0, i));
		ck_assert_str_eq(json(0, i), "null");
	}
	ck_assert_int_eq(cw_result_i64(res, 0, 0), 0);
	ck_assert_str_eq(text(0, 1), "");
	ck_assert(!cw_result_bool(res, 0, 2));
	ck_assert(cw_result_f64(res, 0, 3) == 0);
	cw_result_bytea(res, 0, 4, &len);
	ck_assert_uint_eq(len, 0);
	ck_assert(!cw_result_numeric(res, 0, 5, &v));
	ck_assert_str_eq(text(0, 6), "");
	ck_assert_int_eq(cw_result_array_count(res, 0, 7), 0);
}
END_TEST

START_TEST(arrays_of_every_type_with_nulls_go_through_unnest)
{
	struct cw_array *a[9];
	struct cw_u256 max = u256("115792089237316195423570985008687907853269984665640564039457584007913129639935");

	for (int i = 0; i < 9; i++)
		a[i] = cw_array_begin(arena, (enum cw_elem)i, 0);
	cw_array_bool(a[CW_ELEM_BOOL], true);
	cw_array_i32(a[CW_ELEM_I32], INT32_MIN);
	cw_array_i64(a[CW_ELEM_I64], INT64_MIN);
	cw_array_f64(a[CW_ELEM_F64], 0.25);
	cw_array_bytes(a[CW_ELEM_TEXT], "NULL", 4);
	cw_array_bytes(a[CW_ELEM_BYTEA], "\0\xff", 2);
	cw_array_bytes(a[CW_ELEM_JSONB], "[1]", 3);
	cw_array_numeric(a[CW_ELEM_NUMERIC], &max);
	cw_array_time(a[CW_ELEM_TIME], 1);
	for (int i = 0; i < 9; i++)
		cw_array_null(a[i]);
	cw_array_bool(a[CW_ELEM_BOOL], false);
	cw_array_i32(a[CW_ELEM_I32], 5);
	cw_array_i64(a[CW_ELEM_I64], 6);
	cw_array_f64(a[CW_ELEM_F64], 7);
	cw_array_bytes(a[CW_ELEM_TEXT], "", 0);
	cw_array_bytes(a[CW_ELEM_BYTEA], "", 0);
	cw_array_bytes(a[CW_ELEM_JSONB], "\"x\"", 3);
	cw_array_numeric(a[CW_ELEM_NUMERIC], &(struct cw_u256){ { 0, 0, 0, 0 } });
	cw_array_time(a[CW_ELEM_TIME], -1);
	for (int i = 0; i < 9; i++)
		cw_params_array(&p, a[i]);
	ask("SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)");
	static const char *const expect[3][9] = {
		{ "true", "-2147483648", "\"-9223372036854775808\"", "0.25", "\"NULL\"", "\"0x00ff\"", "[1]",
		  "\"115792089237316195423570985008687907853269984665640564039457584007913129639935\"",
		  "\"1970-01-01T00:00:00.000001Z\"" },
		{ "null", "null", "null", "null", "null", "null", "null", "null", "null" },
		{ "false", "5", "6", "7", "\"\"", "\"0x\"", "\"x\"", "\"0\"", "\"1969-12-31T23:59:59.999999Z\"" },
	};

	ck_assert_int_eq(cw_result_rows(res), 3);
	for (int row = 0; row < 3; row++)
		for (int column = 0; column < 9; column++)
			ck_assert_str_eq(json(row, column), expect[row][column]);
}
END_TEST

START_TEST(empty_and_large_arrays_work)
{
	struct cw_array *none = cw_array_begin(arena, CW_ELEM_I64, 10), *many = cw_array_begin(arena, CW_ELEM_I64, 10);

	for (int i = 0; i < 100000; i++)
		cw_array_i64(many, i);
	cw_params_array(&p, none);
	cw_params_array(&p, many);
	ask("SELECT cardinality($1), cardinality($2), (SELECT sum(x)::int8 FROM unnest($2) x)");
	ck_assert_int_eq(cw_result_i64(res, 0, 0), 0);
	ck_assert_int_eq(cw_result_i64(res, 0, 1), 100000);
	ck_assert_int_eq(cw_result_i64(res, 0, 2), INT64_C(4999950000));
}
END_TEST

START_TEST(array_columns_are_read)
{
	const char *element;
	size_t len;

	ask("SELECT ARRAY['a', NULL, 'b,\"c']::text[], '{}'::int8[], ARRAY[1.5, 2]::numeric[], ARRAY[[1,2],[3,4]]::int8[], "
	    "ARRAY[true]");
	ck_assert_int_eq(cw_result_array_count(res, 0, 0), 3);
	element = cw_result_array_bytes(res, 0, 0, 2, &len);
	ck_assert_uint_eq(len, 4);
	ck_assert_int_eq(memcmp(element, "b,\"c", 4), 0);
	ck_assert_ptr_null(cw_result_array_bytes(res, 0, 0, 1, &len));
	ck_assert_ptr_null(cw_result_array_bytes(res, 0, 0, 3, &len));
	ck_assert_ptr_null(cw_result_array_bytes(res, 0, 0, -1, &len));
	ck_assert_str_eq(json(0, 0), "[\"a\",null,\"b,\\\"c\"]");
	ck_assert_str_eq(json(0, 1), "[]");
	ck_assert_str_eq(json(0, 2), "[\"1.5\",\"2\"]");
	ck_assert_int_eq(cw_result_array_count(res, 0, 3), 0);       /* of two dimensions: not for this */
	ck_assert_str_eq(json(0, 4), "[true]");
}
END_TEST

START_TEST(json_of_the_rest)
{
	ask("SELECT 9007199254740992, 9007199254740993, -9007199254740993, 1::int2, 0.1::float4, 1e30::float4, "
	    "'192.168.1.7'::inet, '10.0.0.0/8'::cidr, '2001:db8::1'::inet, '2001:db8::/33'::inet, 'NaN'::float4");
	ck_assert_str_eq(json(0, 0), "9007199254740992");
	ck_assert_str_eq(json(0, 1), "\"9007199254740993\"");
	ck_assert_str_eq(json(0, 2), "\"-9007199254740993\"");
	ck_assert_str_eq(json(0, 3), "1");
	ck_assert_str_eq(json(0, 4), "0.1");
	ck_assert_str_eq(json(0, 5), "1e+30");
	ck_assert_str_eq(json(0, 6), "\"192.168.1.7\"");
	ck_assert_str_eq(json(0, 7), "\"10.0.0.0/8\"");
	ck_assert_str_eq(json(0, 8), "\"2001:db8::1\"");
	ck_assert_str_eq(json(0, 9), "\"2001:db8::/33\"");
	ck_assert_str_eq(json(0, 10), "null");
}
END_TEST

START_TEST(enums_are_text)
{
	pgtest_exec(pg, "CREATE TYPE mood AS ENUM ('low', 'high')");
	cw_params_cstring(&p, "high");
	ask("SELECT $1::mood, $1::mood > 'low'");
	ck_assert_str_eq(text(0, 0), "high");
	ck_assert(cw_result_bool(res, 0, 1));
	ck_assert_str_eq(json(0, 0), "\"high\"");
}
END_TEST

START_TEST(shape_of_a_result_is_told)
{
	ask("CREATE TEMP TABLE shape (x int8, y text)");
	ask("INSERT INTO shape SELECT g, 'y' FROM generate_series(1, 5) g");
	ck_assert_int_eq(cw_result_affected(res), 5);
	ask("SELECT x, y AS name FROM shape LIMIT 3");
	ck_assert_int_eq(cw_result_rows(res), 3);
	ck_assert_int_eq(cw_result_columns(res), 2);
	ck_assert_str_eq(cw_result_name(res, 1), "name");
	ck_assert_str_eq(cw_result_name(res, 2), "");
	ck_assert_uint_eq(cw_result_type(res, 0), CW_OID_INT8);
	ask("DELETE FROM shape WHERE x > 3");
	ck_assert_int_eq(cw_result_affected(res), 2);
}
END_TEST

/* A mismatch of types is a bug of ours: logged, and nothing is read (an abort in test builds). */
START_TEST(wrong_types_and_cells_read_as_nothing)
{
	size_t len;

	ask("SELECT 'text', 5::int8");
	cw_result_i64(res, 0, 0);
	ck_assert_int_eq(cw_result_i64(res, 0, 0), 0);
	ck_assert_str_eq(cw_result_text(res, 0, 1, &len), "");
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(cw_result_i64(res, 1, 1), 0);
	ck_assert_int_eq(cw_result_i64(res, 0, 2), 0);
	ck_assert(cw_result_is_null(res, -1, 0));
	ck_assert_int_eq(cw_result_time(res, 0, 1), 0);
}
END_TEST

#ifndef CW_TEST_BUILD   /* there a bug aborts */

/* One cell of this type with these bytes. */
static void pretend(uint32_t type, const char *bytes, int len)
{
	PGresAttDesc column = { .name = (char *)(uintptr_t)"x", .format = 1, .typid = type, .typlen = -1, .atttypmod = -1 };
	PGresult *made = PQmakeEmptyPGresult(conn, PGRES_TUPLES_OK);

	PQclear((PGresult *)(uintptr_t)res);
	ck_assert_int_eq(PQsetResultAttrs(made, 1, &column), 1);
	ck_assert_int_eq(PQsetvalue(made, 0, 0, (char *)(uintptr_t)bytes, len), 1);
	res = (const struct cw_result *)(const void *)made;
}

#define ONE_ROW(type, elements) "\0\0\0\1" "\0\0\0\0" "\0\0" type "\0\0\0" elements "\0\0\0\1"

/* What a sound server does not send: nothing is read past the end of a cell, and what cannot be read is null or empty. */
START_TEST(cells_that_no_server_sends)
{
	static const struct { uint32_t type; const char *bytes; int len; const char *json; } cases[] = {
		{ CW_OID_BOOL, "", 0, "false" },
		{ CW_OID_INT4, "\0\0\1", 3, "0" }, { CW_OID_INT8, "", 0, "0" }, { CW_OID_INT2, "\0\1\2", 3, "0" },
		{ CW_OID_FLOAT4, "\0\0", 2, "0" }, { CW_OID_FLOAT8, "\0\0", 2, "0" },
		{ CW_OID_TIMESTAMPTZ, "\0\0", 2, "\"1970-01-01T00:00:00Z\"" },
		{ CW_OID_JSONB, "", 0, "" }, { CW_OID_BYTEA, "", 0, "\"0x\"" }, { CW_OID_TEXT, "", 0, "\"\"" },
		{ CW_OID_NUMERIC, "\0\1", 2, "\"\"" }, { CW_OID_NUMERIC, "\0\1\0\0\0\0\0\0", 8, "\"\"" },
		{ CW_OID_INET, "", 0, "null" }, { CW_OID_INET, "\2\40\0\4\1\2\3", 7, "null" },
		{ CW_OID_INET, "\3\200\0\20\1\2\3\4", 8, "null" },
		{ CW_OID_INET, "\2\10\0\4\12\0\0\0", 8, "\"10.0.0.0/8\"" },
		{ CW_OID_INT8_ARRAY, "", 0, "null" }, { CW_OID_INT8_ARRAY, "\0\0\0\1\0\0\0\0\0\0\0", 11, "null" },
		{ CW_OID_INT8_ARRAY, "\0\0\0\1\0\0\0\0\0\0\0\24", 12, "null" },
		{ CW_OID_INT8_ARRAY, "\0\0\0\2\0\0\0\0\0\0\0\24\0\0\0\1\0\0\0\1", 20, "null" },
		{ CW_OID_INT8_ARRAY, "\0\0\0\1\0\0\0\0\0\0\0\24\377\377\377\377\0\0\0\1", 20, "null" },
		{ CW_OID_INT8_ARRAY, ONE_ROW("\0\24", "\1"), 20, "[]" },
		{ CW_OID_INT8_ARRAY, ONE_ROW("\0\24", "\1") "\0\0", 22, "[]" },
		{ CW_OID_INT8_ARRAY, ONE_ROW("\0\24", "\1") "\0\0\0\11" "12345678", 32, "[]" },
		{ CW_OID_INT8_ARRAY, ONE_ROW("\0\24", "\2") "\0\0\0\10" "\0\0\0\0\0\0\0\7" "\177\0\0\0", 36, "[7]" },
	};
	size_t len;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		pretend(cases[i].type, cases[i].bytes, cases[i].len);
		ck_assert_msg(strcmp(json(0, 0), cases[i].json) == 0, "%zu: %s instead of %s", i, json(0, 0), cases[i].json);
		if (cases[i].type == CW_OID_INT8_ARRAY) {
			ck_assert_int_ge(cw_result_array_count(res, 0, 0), 0);
			ck_assert_ptr_null(cw_result_array_bytes(res, 0, 0, 1, &len));
			ck_assert_uint_eq(len, 0);
		}
	}
	/* Asked for as what they are not. */
	ask("SELECT 1::int8, 'x', ARRAY[[1,2],[3,4]]::int8[], NULL::text, 'infinity'::timestamptz, '-infinity'::timestamp");
	ck_assert_int_eq(cw_result_array_count(res, 0, 0), 0);
	ck_assert_ptr_null(cw_result_array_bytes(res, 0, 1, 0, &len));
	ck_assert(!cw_result_bool(res, 0, 0));
	ck_assert(cw_result_f64(res, 0, 1) == 0);
	cw_result_bytea(res, 0, 0, &len);
	ck_assert_uint_eq(len, 0);
	ck_assert(!cw_result_numeric(res, 0, 1, &(struct cw_u256){ { 0 } }));
	ck_assert_str_eq(json(0, 2), "null");
	ck_assert_int_eq(cw_result_i64(res, 0, 3), 0);
	ck_assert_str_eq(json(0, 4), "\"infinity\"");
	ck_assert_str_eq(json(0, 5), "\"-infinity\"");
	ck_assert_int_eq(cw_result_time(res, 0, 4), INT64_MAX);
	ck_assert_int_eq(cw_result_time(res, 0, 5), INT64_MIN);
	ck_assert_str_eq(cw_result_text(res, 0, 1, NULL), "x");
	ck_assert_str_eq(cw_result_name(res, -1), "");
	static const int outside[][2] = { { -1, 0 }, { 1, 0 }, { 0, -1 }, { 0, 6 } };

	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++)
		ck_assert_str_eq(json(outside[i][0], outside[i][1]), "null");
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("pg_query");
	TCase *tc = tcase_create("query");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, pg_up, pg_down);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, scalars_come_back_the_same);
	tcase_add_test(tc, text_bytea_and_json_come_back_the_same);
	tcase_add_test(tc, amounts_are_exact);
	tcase_add_test(tc, many_amounts_agree_with_the_servers_arithmetic);
	tcase_add_test(tc, what_is_no_amount_is_refused);
	tcase_add_test(tc, any_numeric_prints_as_the_server_prints_it);
	tcase_add_test(tc, times_are_microseconds_since_1970);
	tcase_add_test(tc, nulls_read_as_nothing);
	tcase_add_test(tc, arrays_of_every_type_with_nulls_go_through_unnest);
	tcase_add_test(tc, empty_and_large_arrays_work);
	tcase_add_test(tc, array_columns_are_read);
	tcase_add_test(tc, json_of_the_rest);
	tcase_add_test(tc, enums_are_text);
	tcase_add_test(tc, shape_of_a_result_is_told);
#ifndef CW_TEST_BUILD
	tcase_add_test(tc, cells_that_no_server_sends);
#endif
#ifdef CW_TEST_BUILD
	tcase_add_test_raise_signal(tc, wrong_types_and_cells_read_as_nothing, SIGABRT);
#else
	tcase_add_test(tc, wrong_types_and_cells_read_as_nothing);
#endif
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
