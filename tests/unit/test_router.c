#include "http/router.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"

static struct cw_router *router;
static struct cw_request req;
static struct cw_head head;

static void nothing(void *arg, struct cw_request *r)
{
	(void)arg;
	(void)r;
}

static int add(enum cw_method method, const char *pattern, struct cw_err *err)
{
	struct cw_route route = { .method = method, .pattern = pattern, .fn = nothing };

	return cw_router_add(router, &route, err);
}

static void up(void)
{
	static const struct { enum cw_method method; const char *pattern; } routes[] = {
		{ CW_METHOD_GET, "/" },
		{ CW_METHOD_GET, "/health" },
		{ CW_METHOD_GET, "/api/v1/rules" },
		{ CW_METHOD_POST, "/api/v1/rules" },
		{ CW_METHOD_GET, "/api/v1/rules/{id}" },
		{ CW_METHOD_DELETE, "/api/v1/rules/{rule}" },
		{ CW_METHOD_POST, "/api/v1/rules/test" },
		{ CW_METHOD_GET, "/api/v1/rules/{id}/versions/{version}" },
		{ CW_METHOD_GET, "/api/v1/rules/all/versions/latest" },
		{ CW_METHOD_GET, "/a/{x}/c" },
		{ CW_METHOD_GET, "/a/b/d" },
		{ CW_METHOD_GET, "/slash/" },
		{ CW_METHOD_HEAD, "/own-head" },
		{ CW_METHOD_GET, "/own-head" },
	};

	router = cw_router_new();
	req.arena = cw_arena_new();
	req.head = &head;
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		ck_assert_int_eq(add(routes[i].method, routes[i].pattern, NULL), 0);
	ck_assert_int_eq(cw_router_count(router), (int)(sizeof(routes) / sizeof(*routes)));
}

static void down(void)
{
	cw_router_unref(&router);
	ck_assert_ptr_null(router);
	cw_arena_free(&req.arena);
}

/* "pattern name=value name=value", or "404", or "405 <bits>". */
static const char *match(enum cw_method method, const char *path)
{
	static char out[512];
	const struct cw_route *route;
	unsigned allowed;
	size_t n;

	head.method = method;
	head.path = (struct cw_slice){ path, strlen(path) };
	route = cw_router_match(router, &req, &allowed);
	ck_assert_ptr_eq(route, req.route);
	if (route == NULL) {
		ck_assert_uint_eq(req.npath_params, 0);
		snprintf(out, sizeof(out), allowed != 0 ? "405 %u" : "404", allowed);
		return out;
	}
	ck_assert_uint_eq(allowed, 0);
	n = (size_t)snprintf(out, sizeof(out), "%s", route->pattern);
	for (unsigned i = 0; i < req.npath_params; i++) {
		const struct cw_param *p = &req.path_params[i];

		ck_assert_uint_eq(p->len, strlen(p->value));
		ck_assert_ptr_eq(cw_request_path_param(&req, p->name), p->value);
		n += (size_t)snprintf(out + n, sizeof(out) - n, " %s=%s", p->name, p->value);
	}
	return out;
}

static const struct { enum cw_method method; const char *path, *expect; } cases[] = {
	{ CW_METHOD_GET, "/", "/" },
	{ CW_METHOD_GET, "/health", "/health" },
	{ CW_METHOD_GET, "/health/", "404" },
	{ CW_METHOD_GET, "/healthx", "404" },
	{ CW_METHOD_GET, "/heal", "404" },
	{ CW_METHOD_GET, "//health", "404" },
	{ CW_METHOD_GET, "/slash/", "/slash/" },
	{ CW_METHOD_GET, "/slash", "404" },
	{ CW_METHOD_HEAD, "/health", "/health" },
	{ CW_METHOD_POST, "/health", "405 1" },
	{ CW_METHOD_PUT, "/api/v1/rules", "405 5" },
	{ CW_METHOD_POST, "/api/v1/rules", "/api/v1/rules" },
	{ CW_METHOD_GET, "/api/v1/rules/7", "/api/v1/rules/{id} id=7" },
	{ CW_METHOD_GET, "/api/v1/rules/", "404" },
	{ CW_METHOD_DELETE, "/api/v1/rules/7", "/api/v1/rules/{rule} rule=7" },
	{ CW_METHOD_PUT, "/api/v1/rules/7", "405 33" },
	/* literal beats parameter, but does not hide it from other methods */
	{ CW_METHOD_POST, "/api/v1/rules/test", "/api/v1/rules/test" },
	{ CW_METHOD_GET, "/api/v1/rules/test", "/api/v1/rules/{id} id=test" },
	{ CW_METHOD_POST, "/api/v1/rules/other", "405 33" },
	{ CW_METHOD_PUT, "/api/v1/rules/test", "405 37" },
	{ CW_METHOD_GET, "/api/v1/rules/r/versions/2", "/api/v1/rules/{id}/versions/{version} id=r version=2" },
	{ CW_METHOD_GET, "/api/v1/rules/all/versions/latest", "/api/v1/rules/all/versions/latest" },
	{ CW_METHOD_GET, "/api/v1/rules/all/versions/3", "/api/v1/rules/{id}/versions/{version} id=all version=3" },
	{ CW_METHOD_GET, "/api/v1/rules/x/versions", "404" },
	{ CW_METHOD_GET, "/a/b/c", "/a/{x}/c x=b" },
	{ CW_METHOD_GET, "/a/b/d", "/a/b/d" },
	{ CW_METHOD_GET, "/a/z/d", "404" },
	{ CW_METHOD_HEAD, "/own-head", "/own-head" },
	/* escapes: in parameters decoded, in literals equal to what they stand for, never a separator */
	{ CW_METHOD_GET, "/api/v1/rules/a%2Fb%20c", "/api/v1/rules/{id} id=a/b c" },
	{ CW_METHOD_GET, "/h%65alth", "/health" },
	{ CW_METHOD_GET, "/api%2Fv1/rules", "404" },
	{ CW_METHOD_GET, "/a/%62/%63", "/a/{x}/c x=b" },
	{ CW_METHOD_GET, "/a/../health", "404" },
	{ CW_METHOD_GET, "*", "404" },
	{ CW_METHOD_GET, "/api/v1/rules/{id}", "/api/v1/rules/{id} id={id}" },
};

START_TEST(paths_find_their_route)
{
	ck_assert_str_eq(match(cases[_i].method, cases[_i].path), cases[_i].expect);
}
END_TEST

START_TEST(the_path_is_decoded)
{
	match(CW_METHOD_GET, "/api/v1/rules/a%2fb");
	ck_assert_str_eq(req.path, "/api/v1/rules/a/b");
	match(CW_METHOD_GET, "/nowhere%21");
	ck_assert_str_eq(req.path, "/nowhere!");
}
END_TEST

static const struct { const char *pattern, *message; } bad[] = {
	{ "health", "does not begin with a slash" },
	{ "", "does not begin with a slash" },
	{ "//a", "has an empty segment" },
	{ "/a//b", "has an empty segment" },
	{ "/a/{", "is not a parameter like {name}" },
	{ "/a/{}", "is not a parameter like {name}" },
	{ "/a/{x", "is not a parameter like {name}" },
	{ "/a/{X}", "is not a parameter like {name}" },
	{ "/a/{x}y", "is not a parameter like {name}" },
	{ "/a/{1x}", "is not a parameter like {name}" },
	{ "/a/x{y}", "cannot be matched" },
	{ "/a/%20", "cannot be matched" },
	{ "/a b", "cannot be matched" },
	{ "/a?b", "cannot be matched" },
	{ "/{x}/{x}", "two parameters \"x\"" },
	{ "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "more than 8 parameters" },
	{ "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25", "more than 24 segments" },
	{ "/health", "is there already" },
	{ "/api/v1/rules/{other}", "is there already as \"/api/v1/rules/{id}\"" },
};

START_TEST(bad_patterns_are_refused)
{
	struct cw_err err = { .msg = "" };
	int before = cw_router_count(router);

	ck_assert_int_eq(add(CW_METHOD_GET, bad[_i].pattern, &err), -1);
	ck_assert_msg(strstr(err.msg, bad[_i].message) != NULL, "%s: %s", bad[_i].pattern, err.msg);
	ck_assert_int_eq(cw_router_count(router), before);
}
END_TEST

START_TEST(the_pattern_is_copied)
{
	char pattern[] = "/copied/{name}";

	ck_assert_int_eq(add(CW_METHOD_GET, pattern, NULL), 0);
	memset(pattern, 'x', sizeof(pattern) - 1);
	ck_assert_str_eq(match(CW_METHOD_GET, "/copied/1"), "/copied/{name} name=1");
}
END_TEST

static int nfreed;

static void count(void *arg)
{
	ck_assert_str_eq(arg, "arg");
	nfreed++;
}

START_TEST(the_last_reference_frees)
{
	struct cw_router *other = cw_router_ref(router);

	cw_router_on_free(router, count, (void *)(uintptr_t)"arg");
	cw_router_unref(&other);
	ck_assert_int_eq(nfreed, 0);
	cw_router_unref(&router);
	ck_assert_int_eq(nfreed, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router");
	TCase *tc = tcase_create("router");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, up, down);
	tcase_add_loop_test(tc, paths_find_their_route, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_test(tc, the_path_is_decoded);
	tcase_add_loop_test(tc, bad_patterns_are_refused, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, the_pattern_is_copied);
	tcase_add_test(tc, the_last_reference_frees);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
