#include "http/request.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

static struct cw_request req;
static struct cw_head head;

static void up(void)
{
	req.arena = cw_arena_new();
	req.head = &head;
}

static void down(void)
{
	cw_arena_free(&req.arena);
}

/* "[a=1][b=]", or the message of the error. */
static const char *query(const char *text)
{
	static char out[1024];
	const struct cw_param *params;
	struct cw_err err = { .code = CW_OK };
	size_t n = 0;
	int count;

	head.query = (struct cw_slice){ text, strlen(text) };
	count = cw_request_query(&req, &params, &err);
	if (count < 0) {
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		snprintf(out, sizeof(out), "%s", err.msg);
		return out;
	}
	out[0] = '\0';
	for (int i = 0; i < count; i++) {
		ck_assert_uint_eq(strlen(params[i].value), params[i].len);
		n += (size_t)snprintf(out + n, sizeof(out) - n, "[%s=%s]", params[i].name, params[i].value);
	}
	return out;
}

static const struct { const char *text, *expect; } queries[] = {
	{ "", "" },
	{ "a=1", "[a=1]" },
	{ "a=1&b=2&a=3", "[a=1][b=2][a=3]" },
	{ "a", "[a=]" },
	{ "a=", "[a=]" },
	{ "=v", "[=v]" },
	{ "&&a=1&", "[a=1]" },
	{ "a=b=c", "[a=b=c]" },
	{ "a+b=c+d%2B", "[a b=c d+]" },
	{ "%61=%C3%A9", "[a=\xc3\xa9]" },
	{ "a=x;b=y", "[a=x;b=y]" },
	{ "a=%26%3D", "[a=&=]" },
	{ "a=%", "malformed percent escape in the query at \"%\"" },
	{ "a=%4", "malformed percent escape in the query at \"%4\"" },
	{ "a=%4g", "malformed percent escape in the query at \"%4g\"" },
	{ "%zz=1", "malformed percent escape in the query at \"%zz\"" },
	{ "a=%00", "the query contains an escaped NUL or bytes that are not UTF-8" },
	{ "a=%ff", "the query contains an escaped NUL or bytes that are not UTF-8" },
	{ "a=%ed%a0%80", "the query contains an escaped NUL or bytes that are not UTF-8" },
};

START_TEST(queries_are_decoded_or_refused)
{
	ck_assert_str_eq(query(queries[_i].text), queries[_i].expect);
}
END_TEST

START_TEST(parameters_are_bounded)
{
	struct cw_buf text = CW_BUF_INIT;

	for (int i = 0; i < 128; i++)
		cw_buf_puts(&text, "a&");
	ck_assert_uint_eq(strlen(query(text.data)), 128 * 4);
	cw_buf_puts(&text, "a");
	ck_assert_str_eq(query(text.data), "more than 128 query parameters");
	cw_buf_release(&text);
}
END_TEST

START_TEST(headers_are_found_without_case)
{
	struct cw_header headers[] = { { { "Host", 4 }, { "h", 1 } }, { { "X-A", 3 }, { "1", 1 } },
		                           { { "x-a", 3 }, { "2", 1 } },
		                           { { "Empty", 5 }, { "", 0 } } };
	struct cw_slice s;

	head.headers = headers;
	head.nheaders = 4;
	s = cw_request_header(&req, "x-a");
	ck_assert(s.len == 1 && s.p[0] == '1');
	s = cw_request_header(&req, "EMPTY");
	ck_assert(s.p != NULL && s.len == 0);
	ck_assert_ptr_null(cw_request_header(&req, "x-").p);
	ck_assert_ptr_null(cw_request_header(&req, "x-ab").p);
}
END_TEST

static const struct { const char *field; bool json; } media[] = {
	{ "", true }, { "application/json", true }, { "APPLICATION/Json", true }, { "application/json;charset=utf-8", true },
	{ "application/json ; charset=\"UTF-8\"", true }, { "application/json; charset=utf8; x=y", true },
	{ "application/json;", true }, { "application/problem+json", true }, { "application/vnd.a.b+JSON; v=1", true },
	{ "application/x-www-form-urlencoded", true }, { "application/x-www-form-urlencoded; charset=utf-16", true },
	{ "application/json; charset=utf-16", false }, { "application/json; charset=\"", false },
	{ "application/json; charset=", false }, { "application/json; v=1;CHARSET=iso-8859-1", false },
	{ "application/jsonx", false }, { "application/xjson", false }, { "application/x-ndjson", false },
	{ "application/+json", false }, { "application/json, text/plain", false }, { "text/plain, application/x+json", false },
	{ "text/plain", false }, { "text/json", false }, { "text/plain; a=application/json", false }, { ";", false },
	{ "json", false }, { "application/a,b+json", false }, { "application", false },
};

START_TEST(bodies_are_json_where_they_say_so)
{
	struct cw_slice field = { media[_i].field, strlen(media[_i].field) };

	ck_assert_msg(cw_media_json(field) == media[_i].json, "%s", media[_i].field);
	ck_assert_int_eq(cw_media_is(field, "application/x-ndjson"), strcmp(media[_i].field, "application/x-ndjson") == 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http request");
	TCase *tc = tcase_create("request");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, up, down);
	tcase_add_loop_test(tc, queries_are_decoded_or_refused, 0, sizeof(queries) / sizeof(*queries));
	tcase_add_test(tc, parameters_are_bounded);
	tcase_add_test(tc, headers_are_found_without_case);
	tcase_add_loop_test(tc, bodies_are_json_where_they_say_so, 0, sizeof(media) / sizeof(*media));
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
