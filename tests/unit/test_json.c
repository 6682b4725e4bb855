#include "base/json.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static struct cw_arena *arena;
static struct cw_json_error error;
static struct cw_buf out;

static void setup(void)
{
	arena = cw_arena_new();
	cw_buf_init(&out);
}

static void teardown(void)
{
	cw_arena_free(&arena);
	cw_buf_release(&out);
}

static const struct cw_json *parse_len(const char *text, size_t len)
{
	return cw_json_parse(text, len, CW_JSON_DEPTH_DEFAULT, arena, &error);
}

static const struct cw_json *parse(const char *text)
{
	return parse_len(text, strlen(text));
}

struct sample {
	const char *text;
	size_t len;
};

static const struct sample accepted[] = {
	{ TEXT("null") }, { TEXT(" true ") }, { TEXT("\t\r\nfalse") }, { TEXT("0") }, { TEXT("-0") }, { TEXT("-0.0e-0") },
	{ TEXT("1E+9") }, { TEXT("123.456e78") }, { TEXT("1e400") }, { TEXT("\"\"") }, { TEXT("[]") }, { TEXT("{}") },
	{ TEXT("[ ]") }, { TEXT("{ }") }, { TEXT("{\"\":0}") }, { TEXT("[[[[]]],{}]") }, { TEXT("{\"a\":{\"a\":1}}") },
	{ TEXT("[1 , 2\n,3]") }, { TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"") }, { TEXT("\"\x7f\"") }, { TEXT("\"\\u0012\"") },
	{ TEXT("\"\\uD834\\uDD1E\"") }, { TEXT("\"\xef\xbf\xbf\"") }, { TEXT("\"\\uFFFE\"") }, { TEXT("\"\xf4\x8f\xbf\xbf\"") },
	{ TEXT("\"\xe2\x80\xa8\"") }, { TEXT("[\"a\",null,true,1.5,{\"k\":[]}]") }, { TEXT("[-1]") },
	{ TEXT("{\"a\":\"b\",\"A\":\"b\"}") }, { TEXT("\"/*comment*/\"") },
	{ TEXT("115792089237316195423570985008687907853269984665640564039457584007913129639936") },
};

START_TEST(accepts_json)
{
	const struct sample *s = &accepted[_i];

	ck_assert_msg(parse_len(s->text, s->len) != NULL, "%s: %s", s->text, error.what);
	ck_assert_int_eq(error.fault, CW_JSON_OK);
}
END_TEST

static const struct sample malformed[] = {
	{ TEXT("") }, { TEXT(" ") }, { TEXT("nul") }, { TEXT("nulll") }, { TEXT("True") }, { TEXT("NaN") }, { TEXT("Infinity") },
	{ TEXT("-") }, { TEXT("+1") }, { TEXT("01") }, { TEXT("-01") }, { TEXT("1.") }, { TEXT(".5") }, { TEXT("1e") },
	{ TEXT("1e+") }, { TEXT("1.e3") }, { TEXT("0x1") }, { TEXT("1 2") }, { TEXT("--1") }, { TEXT("1_000") }, { TEXT("[1,]") },
	{ TEXT("[,1]") }, { TEXT("[1,,2]") }, { TEXT("[1 2]") }, { TEXT("[") }, { TEXT("]") }, { TEXT("[1") }, { TEXT("[1}") },
	{ TEXT("[]]") }, { TEXT("{") }, { TEXT("}") }, { TEXT("{]") }, { TEXT("{\"a\"}") }, { TEXT("{\"a\":}") },
	{ TEXT("{\"a\":1,}") }, { TEXT("{,\"a\":1}") }, { TEXT("{a:1}") }, { TEXT("{'a':1}") }, { TEXT("{1:1}") },
	{ TEXT("{\"a\" 1}") }, { TEXT("{\"a\":1 \"b\":2}") }, { TEXT("{\"a\":1}x") }, { TEXT("{\"a\"::1}") }, { TEXT("{null:1}") },
	{ TEXT("\"") }, { TEXT("\"abc") }, { TEXT("\"\\\"") }, { TEXT("\"\\x41\"") }, { TEXT("\"\\u12\"") },
	{ TEXT("\"\\u12g4\"") }, { TEXT("\"\\ud800\\u1\"") }, { TEXT("\"\\") }, { TEXT("\"\\u") }, { TEXT("\"a\tb\"") },
	{ TEXT("\"a\nb\"") }, { TEXT("\"\x1f\"") }, { TEXT("\"a\0b\"") }, { TEXT("'a'") }, { TEXT("\xef\xbb\xbf{}") }, { TEXT("\xff\xfe[\0]\0") },
	{ TEXT("\"\xff\"") }, { TEXT("\"\xc0\xaf\"") }, { TEXT("\"\xe0\x80\xaf\"") }, { TEXT("\"\xed\xa0\x80\"") },
	{ TEXT("\"\xf4\x90\x80\x80\"") }, { TEXT("\"\xf8\x88\x80\x80\x80\"") }, { TEXT("\"\xe2\x82\"") }, { TEXT("\"\x80\"") },
	{ TEXT("[1]\0") }, { TEXT("\0") }, { TEXT("[1\f]") }, { TEXT("[\xc2\xa0]") }, { TEXT("// c\n1") }, { TEXT("/**/1") },
	{ TEXT("1\xe2\x81\xa0") }, { TEXT("[\"a\"") }, { TEXT("\"a\"b") }, { TEXT("*") }, { TEXT("{\"a\":1,\"a\":2") },
	{ TEXT("[\"\\u0000\"") }, { TEXT("\"\\") }, { TEXT("<.>") }, { TEXT("-Infinity") }, { TEXT("[-]") },
};

START_TEST(finds_syntax_faults)
{
	const struct sample *s = &malformed[_i];

	ck_assert_msg(parse_len(s->text, s->len) == NULL, "accepted: %s", s->text);
	ck_assert_msg(error.fault == CW_JSON_SYNTAX, "%s: fault %d (%s)", s->text, error.fault, error.what);
	ck_assert_uint_le(error.offset, s->len);
	ck_assert_str_ne(error.what, "");
}
END_TEST

static const struct sample ambiguous[] = {
	{ TEXT("{\"a\":1,\"a\":1}") }, { TEXT("{\"\":1,\"\":2}") }, { TEXT("{\"a\":1,\"\\u0061\":2}") },
	{ TEXT("[{\"b\":{\"x\":1,\"y\":2,\"x\":3}}]") }, { TEXT("\"\\u0000\"") },
	{ TEXT("{\"\\u0000\":1}") }, { TEXT("\"\\ud800\"") }, { TEXT("\"\\udc00\"") }, { TEXT("\"\\ud800\\ud800\\udc00\"") },
	{ TEXT("\"\\ud800x\"") }, { TEXT("\"\\udc00\\ud800\"") }, { TEXT("\"\\ud800\\n\"") }, { TEXT("\"\\ud800\\u0041\"") },
};

START_TEST(refuses_what_is_ambiguous)
{
	const struct sample *s = &ambiguous[_i];

	ck_assert_msg(parse_len(s->text, s->len) == NULL, "accepted: %s", s->text);
	ck_assert_msg(error.fault == CW_JSON_REFUSED, "%s: fault %d (%s)", s->text, error.fault, error.what);
}
END_TEST

START_TEST(locates_faults)
{
	ck_assert_ptr_null(parse("{\n  \"a\": 1,\n  \"b\" 2\n}"));
	ck_assert_uint_eq(error.line, 3);
	ck_assert_uint_eq(error.column, 7);
	ck_assert_uint_eq(error.offset, 18);
	ck_assert_str_eq(error.what, "unexpected '2', expected ':'");

	ck_assert_ptr_null(parse("[\"\xc3\xa4\xc3\xb6\" x]"));   /* columns count characters */
	ck_assert_uint_eq(error.column, 7);
	ck_assert_str_eq(error.what, "unexpected 'x', expected ',' or ']'");

	ck_assert_ptr_null(parse("{\"from\":1,\n \"from\":2}"));
	ck_assert_str_eq(error.what, "duplicate name \"from\"");
	ck_assert_uint_eq(error.line, 2);
	ck_assert_uint_eq(error.column, 2);

	ck_assert_ptr_null(parse("[1,2"));
	ck_assert_str_eq(error.what, "unexpected end of text, expected ',' or ']'");
	ck_assert_uint_eq(error.offset, 4);
}
END_TEST

START_TEST(bounds_depth)
{
	char text[2001];

	for (int depth = 31; depth <= 33; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		ck_assert_int_eq(parse_len(text, 2 * (size_t)depth) != NULL, depth <= 32);
	}
	ck_assert_int_eq(error.fault, CW_JSON_TOO_DEEP);
	ck_assert_uint_eq(error.offset, 32);
	memset(text, '[', 1000);
	memset(text + 1000, ']', 1000);
	ck_assert_ptr_nonnull(cw_json_parse(text, 2000, 1000, arena, &error));
	ck_assert_ptr_null(cw_json_parse(text, 2000, 999, arena, &error));
	ck_assert_ptr_nonnull(cw_json_parse("1", 1, 0, arena, NULL));
	ck_assert_ptr_null(cw_json_parse("[]", 2, 0, arena, NULL));
	memset(text, '{', 2000);   /* the open ones are given back */
	ck_assert_ptr_null(parse_len(text, 2000));
}
END_TEST

START_TEST(builds_the_tree)
{
	const struct cw_json *v = parse("{\"a\":[1,-2.5e3,\"x\\u00e9\\n\"],\"b\":{},\"c\":null,\"d\":true,\"e\":[false]}");
	const struct cw_json *a = cw_json_get(v, "a");

	ck_assert_int_eq(v->type, CW_JSON_OBJECT);
	ck_assert_uint_eq(v->count, 5);
	ck_assert_uint_eq(a->count, 3);
	ck_assert_str_eq(a->first->text, "1");
	ck_assert_str_eq(a->first->next->text, "-2.5e3");
	ck_assert_uint_eq(a->first->next->len, 6);
	ck_assert_str_eq(a->first->next->next->text, "x\xc3\xa9\n");
	ck_assert_uint_eq(a->first->next->next->len, 4);
	ck_assert_ptr_null(a->first->next->next->next);
	ck_assert_ptr_null(a->first->key);
	ck_assert_str_eq(a->key, "a");
	ck_assert_int_eq(cw_json_get(v, "b")->type, CW_JSON_OBJECT);
	ck_assert_uint_eq(cw_json_get(v, "b")->count, 0);
	ck_assert_int_eq(cw_json_get(v, "c")->type, CW_JSON_NULL);
	ck_assert_int_eq(cw_json_get(v, "e")->first->type, CW_JSON_FALSE);
	ck_assert_ptr_null(cw_json_get(v, "f"));
	ck_assert_ptr_null(cw_json_get(a, "a"));
	ck_assert_ptr_null(cw_json_get(NULL, "a"));
	ck_assert_str_eq(parse("\"\\uD834\\uDD1E\"")->text, "\xf0\x9d\x84\x9e");
}
END_TEST

/* Every string length and position of the closing quote, so that each lane of the 8-byte copy is seen. */
START_TEST(strings_of_all_lengths)
{
	char text[128];

	for (size_t n = 0; n < 70; n++)
		for (size_t at = 0; at <= n; at++) {
			const struct cw_json *v;
			size_t len = 0;

			text[len++] = '"';
			for (size_t i = 0; i < n; i++) {
				if (i == at)
					text[len++] = '\\';
				text[len++] = i == at ? '"' : (char)('a' + i % 26);
			}
			text[len++] = '"';
			v = parse_len(text, len);
			ck_assert_ptr_nonnull(v);
			ck_assert_uint_eq(v->len, n);
			for (size_t i = 0; i < n; i++)
				if (v->text[i] != (i == at ? '"' : (char)('a' + i % 26)))
					ck_abort_msg("byte %zu of %zu, quote at %zu", i, n, at);
		}
}
END_TEST

START_TEST(large_objects_find_their_duplicate)
{
	struct cw_buf text = CW_BUF_INIT;
	const int members = 200000;
	clock_t began;

	cw_buf_putc(&text, '{');
	for (int i = 0; i < members; i++)
		cw_buf_printf(&text, "%s\"name%d\":%d", i > 0 ? "," : "", i, i);
	began = clock();
	cw_buf_putc(&text, '}');
	ck_assert_ptr_nonnull(parse_len(text.data, text.len));
	ck_assert_msg(clock() - began < 5 * CLOCKS_PER_SEC, "not linear");
	text.len--;
	cw_buf_puts(&text, ",\"name77\":1}");
	ck_assert_ptr_null(parse_len(text.data, text.len));
	ck_assert_str_eq(error.what, "duplicate name \"name77\"");
	cw_buf_release(&text);
}
END_TEST

START_TEST(integers_are_exact_or_refused)
{
	static const struct { const char *text; bool ok; int64_t value; } cases[] = {
		{ "0", true, 0 }, { "-0", true, 0 }, { "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN }, { "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 }, { "18446744073709551616", false, 0 },
		{ "99999999999999999999999999", false, 0 }, { "1.0", false, 0 }, { "1e2", false, 0 }, { "1E2", false, 0 },
		{ "\"1\"", false, 0 }, { "true", false, 0 }, { "9007199254740993", true, 9007199254740993 },
	};
	int64_t got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_msg(cw_json_to_i64(parse(cases[i].text), &got) == cases[i].ok, "%s", cases[i].text);
		if (cases[i].ok)
			ck_assert_int_eq(got, cases[i].value);
	}
	ck_assert(!cw_json_to_i64(NULL, &got));
	ck_assert(cw_json_is_integer(parse("123456789012345678901234567890")));
	ck_assert(!cw_json_is_integer(parse("1e1")));
	ck_assert(!cw_json_is_integer(parse("[1]")));
}
END_TEST

START_TEST(doubles_are_finite_or_refused)
{
	double got;

	ck_assert(cw_json_to_double(parse("-2.5e3"), &got) && got == -2500);
	ck_assert(cw_json_to_double(parse("1e-400"), &got) && got == 0);
	ck_assert(!cw_json_to_double(parse("1e400"), &got));
	ck_assert(!cw_json_to_double(parse("-1e400"), &got));
	ck_assert(!cw_json_to_double(parse("\"1\""), &got));
	ck_assert(!cw_json_to_double(NULL, &got));
}
END_TEST

START_TEST(writes_strings)
{
	static const struct { struct sample in; const char *want; } cases[] = {
		{ { TEXT("") }, "\"\"" }, { { TEXT("a\"b\\c/") }, "\"a\\\"b\\\\c/\"" },
		{ { TEXT("\b\f\n\r\t") }, "\"\\b\\f\\n\\r\\t\"" }, { { TEXT("\0\x01\x1f\x7f") }, "\"\\u0000\\u0001\\u001f\\u007f\"" },
		{ { TEXT("\xc3\xa4\xf0\x9d\x84\x9e") }, "\"\xc3\xa4\xf0\x9d\x84\x9e\"" },
		{ { TEXT("a\xff" "b\xc3") }, "\"a\xef\xbf\xbd" "b\xef\xbf\xbd\"" }, { { TEXT("\xed\xa0\x80") }, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cw_buf_clear(&out);
		cw_json_put_string(&out, cases[i].in.text, cases[i].in.len);
		ck_assert_str_eq(out.data, cases[i].want);
	}
}
END_TEST

START_TEST(writes_shortest_doubles)
{
	static const struct { double value; const char *want; } cases[] = {
		{ 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { -1.5, "-1.5" }, { 0.1, "0.1" }, { 0.912, "0.912" }, { 1e-9, "0.000000001" },
		{ 123456789012345, "123456789012345" }, { 1e15, "1e+15" }, { 1e22, "1e+22" }, { 0.1 + 0.2, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" }, { 5e-324, "4.94065645841247e-324" }, { DBL_MAX, "1.7976931348623157e+308" },
		{ 2.2250738585072014e-308, "2.2250738585072014e-308" }, { 0x1p-44, "5.684341886080802e-14" },
		{ 9007199254740992.0, "9007199254740992" }, { 2.5e-12, "2.5e-12" }, { NAN, "null" }, { INFINITY, "null" }, { -INFINITY, "null" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cw_buf_clear(&out);
		cw_json_put_double(&out, cases[i].value);
		ck_assert_str_eq(out.data, cases[i].want);
	}
}
END_TEST

static size_t significant(const char *text)
{
	size_t n = 0, zeros = 0;

	for (; *text != '\0' && *text != 'e'; text++)
		if (*text >= '1' && *text <= '9') {
			n += zeros + 1;
			zeros = 0;
		} else if (*text == '0' && n > 0) {
			zeros++;
		}
	return n;
}

START_TEST(doubles_read_back)
{
	uint64_t state = 42;

	for (int i = 0; i < 50000; i++) {
		uint64_t bits;
		double value, got;
		char text[40];

		state = state * 6364136223846793005u + 1442695040888963407u;
		bits = state ^ state >> 29;
		if (i % 2 == 0)
			memcpy(&value, &bits, sizeof(value));
		else
			value = (double)(bits >> 40) / (i % 3 == 0 ? 1000.0 : 65536.0);
		if (!isfinite(value))
			continue;
		cw_buf_clear(&out);
		cw_json_put_double(&out, value);
		got = strtod(out.data, NULL);
		if (memcmp(&got, &value, sizeof(got)) != 0 || parse_len(out.data, out.len) == NULL)
			ck_abort_msg("%s", out.data);
		cw_arena_clear(arena);
		for (int digits = 1; digits < 17; digits++) {
			snprintf(text, sizeof(text), "%.*g", digits, value);
			if (strtod(text, NULL) == value && significant(out.data) > (size_t)digits)
				ck_abort_msg("%s, shorter: %s", out.data, text);
		}
	}
}
END_TEST

START_TEST(values_go_out_as_they_came)
{
	static const char text[] = "{\"a\":[1,-2.50e3,\"x\\n\",null,true,false,[],{}],\"\xc3\xa4\":{\"b\":18446744073709551616}}";

	cw_json_put_value(&out, parse(text));
	ck_assert_str_eq(out.data, text);
}
END_TEST

START_TEST(utf8_helpers)
{
	char bytes[4];

	ck_assert_uint_eq(cw_utf8_check("abcdefgh\xc3\xa4\xff", 11), 10);
	ck_assert_uint_eq(cw_utf8_check("abc", 3), 3);
	ck_assert_uint_eq(cw_utf8_sequence("", 0), 0);
	ck_assert_uint_eq(cw_utf8_truncate("a\xc3\xa4", 3, 2), 1);
	ck_assert_uint_eq(cw_utf8_truncate("a\xc3\xa4", 3, 3), 3);
	ck_assert_uint_eq(cw_utf8_truncate("\xf0\x9d\x84\x9e", 4, 3), 0);
	for (uint32_t code = 0; code <= 0x110000; code++) {
		size_t n = cw_utf8_encode(code, bytes);

		bool replaced = n == 3 && memcmp(bytes, "\xef\xbf\xbd", 3) == 0;
		bool scalar = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);

		/* An assertion of Check costs a write(2): not a million times. */
		if (cw_utf8_sequence(bytes, n) != n || cw_utf8_sequence(bytes, n - 1) != 0 ||
		    replaced != (!scalar || code == 0xfffd))
			ck_abort_msg("code point %x", code);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("json");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, accepts_json, 0, sizeof(accepted) / sizeof(*accepted));
	tcase_add_loop_test(t, finds_syntax_faults, 0, sizeof(malformed) / sizeof(*malformed));
	tcase_add_loop_test(t, refuses_what_is_ambiguous, 0, sizeof(ambiguous) / sizeof(*ambiguous));
	tcase_add_test(t, locates_faults);
	tcase_add_test(t, bounds_depth);
	tcase_add_test(t, builds_the_tree);
	tcase_add_test(t, strings_of_all_lengths);
	tcase_add_test(t, large_objects_find_their_duplicate);
	tcase_add_test(t, integers_are_exact_or_refused);
	tcase_add_test(t, doubles_are_finite_or_refused);
	tcase_add_test(t, writes_strings);
	tcase_add_test(t, writes_shortest_doubles);
	tcase_add_test(t, doubles_read_back);
	tcase_add_test(t, values_go_out_as_they_came);
	tcase_add_test(t, utf8_helpers);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
