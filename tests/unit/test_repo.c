#include "store/repo.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/build.h"
#include "store/cursor.h"
#include "store/ops.h"

static struct cw_arena *arena;
static struct cw_args args;
static struct cw_err err;

static void up(void)
{
	arena = cw_arena_new();
	memset(&err, 0, sizeof(err));
}

static void down(void)
{
	cw_arena_free(&arena);
}

static int set(const char *name, const char *text)
{
	return cw_args_set(&args, name, text, strlen(text), &err);
}

static void refused(const char *name, const char *text, const char *message)
{
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(set(name, text), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, message);
}

/* --- cursors --- */

START_TEST(cursor_comes_back)
{
	const int64_t keys[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 1767225600123456 };

	for (size_t i = 0; i < 6; i++) {
		struct cw_cursor in = { .count = 1 + (int)(i % 2), .keys = { keys[i], keys[5 - i] }, .is_time = { true, false } };
		struct cw_cursor out;
		char text[CW_CURSOR_TEXT];

		in.keys[1] = in.count == 2 ? in.keys[1] : 0;
		cw_cursor_format(&in, "list", text);
		ck_assert(cw_cursor_parse(&out, "list", text, strlen(text)));
		ck_assert_int_eq(out.count, in.count);
		ck_assert_int_eq(out.keys[0], in.keys[0]);
		ck_assert_int_eq(out.keys[1], in.keys[1]);
		ck_assert(out.is_time[0] && !out.is_time[1]);
		ck_assert_uint_eq(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), strlen(text));
	}
}
END_TEST

/* Any single character changed, left out or added is noticed. */
START_TEST(damaged_cursor_is_refused)
{
	struct cw_cursor in = { .count = 2, .keys = { 1767225600123456, 4711 }, .is_time = { true, false } }, out;
	char text[CW_CURSOR_TEXT], bad[CW_CURSOR_TEXT + 2];
	size_t len;

	cw_cursor_format(&in, "list", text);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		strcpy(bad, text);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		ck_assert_msg(!cw_cursor_parse(&out, "list", bad, len), "changed at %zu", i);
		memmove(bad + i, text + i + 1, len - i);
		ck_assert_msg(!cw_cursor_parse(&out, "list", bad, len - 1), "cut at %zu", i);
	}
	snprintf(bad, sizeof(bad), "%sA", text);
	ck_assert(!cw_cursor_parse(&out, "list", bad, len + 1));
	ck_assert(!cw_cursor_parse(&out, "recent", text, len));
	ck_assert(!cw_cursor_parse(&out, "list", "", 0));
	ck_assert(!cw_cursor_parse(&out, "list", "not a cursor", 12));
	ck_assert(!cw_cursor_parse(&out, "list", "\0\0\0\0", 4));
}
END_TEST

START_TEST(random_text_is_no_cursor)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct cw_cursor out;
	char text[64];

	srandom(7);
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)random() % 60;

		for (size_t k = 0; k < len; k++)
			text[k] = digits[random() % 64];
		ck_assert(!cw_cursor_parse(&out, "list", text, len));
	}
}
END_TEST

/* --- arguments --- */

static const struct cw_arg_spec all_args[] = {
	{ .name = "text" },
	{ .name = "int", .type = CW_ARG_INT },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 1000 },
	{ .name = "number", .type = CW_ARG_NUMBER },
	{ .name = "bool", .type = CW_ARG_BOOL },
	{ .name = "time", .type = CW_ARG_TIME },
	{ .name = "hash", .type = CW_ARG_HASH },
	{ .name = "address", .type = CW_ARG_ADDRESS },
	{ .name = "bytes", .type = CW_ARG_BYTES },
	{ .name = "json", .type = CW_ARG_JSON },
	{ .name = "choice", .type = CW_ARG_CHOICE, .choices = "low|high" },
	{ .name = "texts", .type = CW_ARG_TEXTS },
	{ .name = "choices", .type = CW_ARG_CHOICES, .choices = "red|green|blue" },
};
static const struct cw_op all = { .repo = "tests", .name = "all", CW_OP_ARGS(all_args) };

static const struct cw_arg *value(const char *name)
{
	for (int i = 0; i < all.nargs; i++)
		if (strcmp(all.args[i].name, name) == 0)
			return &args.values[i];
	ck_abort_msg("%s", name);
}

START_TEST(arguments_are_read_by_type)
{
	cw_args_init(&args, &all, arena);
	ck_assert_int_eq(set("text", "gr\xc3\xbc\xc3\x9f" "e"), 0);
	ck_assert_int_eq(set("int", "-9223372036854775808"), 0);
	ck_assert_int_eq(set("number", "1e-3"), 0);
	ck_assert_int_eq(set("bool", "true"), 0);
	ck_assert_int_eq(set("time", "2026-01-01T00:00:00.5Z"), 0);
	ck_assert_int_eq(set("hash", "0x00000000000000000000000000000000000000000000000000000000000000ff"), 0);
	ck_assert_int_eq(set("address", "0x52908400098527886E0F7030069857D2E4169EE7"), 0);
	ck_assert_int_eq(set("bytes", "0x0aff"), 0);
	ck_assert_int_eq(set("json", "{\"a\":[1,2]}"), 0);
	ck_assert_int_eq(set("choice", "high"), 0);
	ck_assert_int_eq(set("texts", "one"), 0);
	ck_assert_int_eq(set("texts", "two,three"), 0);
	ck_assert_int_eq(set("choices", "red,blue"), 0);
	ck_assert_str_eq(value("text")->text, "gr\xc3\xbc\xc3\x9f" "e");
	ck_assert(value("int")->integer == INT64_MIN);
	ck_assert(fabs(value("number")->number - 0.001) < 1e-15);
	ck_assert(value("bool")->flag);
	ck_assert_int_eq(value("time")->integer, 1767225600500000);
	ck_assert_uint_eq(value("hash")->len, 32);
	ck_assert_int_eq((unsigned char)value("hash")->text[31], 0xff);
	ck_assert_uint_eq(value("address")->len, 20);
	ck_assert_uint_eq(value("bytes")->len, 2);
	ck_assert_uint_eq(value("texts")->nlist, 2);
	ck_assert_str_eq(value("texts")->list[1].text, "two,three");
	ck_assert_uint_eq(value("choices")->nlist, 2);
	ck_assert_str_eq(value("choices")->list[1].text, "blue");
	ck_assert(!value("limit")->set);
	ck_assert_int_eq(set("time", "1767225600"), 0);
	ck_assert_int_eq(value("time")->integer, 1767225600000000);
}
END_TEST

START_TEST(wrong_arguments_are_named)
{
	cw_args_init(&args, &all, arena);
	refused("txet", "x", "tests.all has no argument \"txet\"; did you mean \"text\"?");
	refused("zzz", "x", "tests.all has no argument \"zzz\"");
	refused("int", "12x", "\"int\" must be a whole number, not \"12x\"");
	refused("int", "", "\"int\" must be a whole number, not \"\"");
	refused("int", "-", "\"int\" must be a whole number, not \"-\"");
	refused("int", "1.0", "\"int\" must be a whole number, not \"1.0\"");
	refused("int", "9223372036854775808", "\"int\" must be a whole number below 2^63, not \"9223372036854775808\"");
	refused("limit", "0", "\"limit\" must be between 1 and 1000");
	refused("limit", "1001", "\"limit\" must be between 1 and 1000");
	refused("number", "nan", "\"number\" must be a number, not \"nan\"");
	refused("number", "1e999", "\"number\" must be a number, not \"1e999\"");
	refused("bool", "yes", "\"bool\" must be true or false, not \"yes\"");
	refused("time", "yesterday", "\"time\" must be a time (RFC 3339, or seconds since 1970), not \"yesterday\"");
	refused("time", "-5", "\"time\" must be a time (RFC 3339, or seconds since 1970), not \"-5\"");
	refused("hash", "0x12", "\"hash\" must be a hash (0x and 64 hex digits), not \"0x12\"");
	refused("address", "0x52908400098527886E0F7030069857D2E4169Ee7",
	        "\"address\" must be an address whose mixed case is its EIP-55 checksum, not "
	        "\"0x52908400098527886E0F7030069857D2E4169Ee7\"");
	refused("bytes", "0x0", "\"bytes\" must be bytes (0x and hex digits), not \"0x0\"");
	refused("bytes", "0xzz", "\"bytes\" must be bytes (0x and hex digits), not \"0xzz\"");
	refused("choice", "lo", "\"choice\" must be one of low|high, not \"lo\"");
	refused("choice", "low|high", "\"choice\" must be one of low|high, not \"low|high\"");
	refused("choices", "red,yellow", "\"choices\" must be one of red|green|blue, not \"yellow\"");
	refused("text", "\xff", "\"text\" must be UTF-8 text without NUL");
	ck_assert_int_eq(cw_args_set(&args, "text", "a\0b", 3, &err), -1);
	ck_assert_int_eq(set("json", "{\"a\":1,}"), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "\"json\" is not JSON"));
}
END_TEST

/* --- the registry --- */

START_TEST(operations_are_consistent)
{
	for (int i = 0; cw_ops[i] != NULL; i++) {
		const struct cw_op *op = cw_ops[i];
		bool limit = false, cursor = false;

		ck_assert_ptr_eq(cw_op_find(op->repo, op->name), op);
		ck_assert_ptr_nonnull(op->build);
		ck_assert(op->summary != NULL && op->summary[0] != '\0');
		ck_assert_int_le(op->nargs, CW_ARGS_MAX);
		for (int k = 0; k < op->nargs; k++) {
			bool choice = op->args[k].type == CW_ARG_CHOICE || op->args[k].type == CW_ARG_CHOICES;

			ck_assert_msg(choice == (op->args[k].choices != NULL), "%s.%s %s", op->repo, op->name, op->args[k].name);
			limit |= strcmp(op->args[k].name, "limit") == 0;
			cursor |= strcmp(op->args[k].name, "cursor") == 0;
		}
		ck_assert_msg((op->kind == CW_OP_PAGE) == (limit && cursor), "%s.%s", op->repo, op->name);
		ck_assert_msg((op->kind == CW_OP_PAGE) == (op->keys != NULL), "%s.%s", op->repo, op->name);
		if (op->kind == CW_OP_PAGE)
			ck_assert_msg(strncmp(op->keys, op->columns[0].sql, strlen(op->columns[0].sql)) == 0,
			              "%s.%s: the first columns are the keys", op->repo, op->name);
	}
	ck_assert_ptr_null(cw_op_find("anomalies", "lst"));
	ck_assert_ptr_null(cw_op_find("nothing", "list"));
}
END_TEST

START_TEST(what_is_required_and_limited_is_checked_before_a_query)
{
	cw_args_init(&args, &cw_transactions_get, arena);
	ck_assert_ptr_null(cw_repo_call(NULL, &args, NULL, NULL, &err));
	ck_assert_str_eq(err.msg, "transactions.get needs \"hash\"");
	cw_args_init(&args, &cw_anomalies_list, arena);
	ck_assert_int_eq(set("cursor", "AQEAAA"), 0);
	ck_assert_ptr_null(cw_repo_call(NULL, &args, NULL, NULL, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, "\"cursor\" is none that anomalies.list has given");
}
END_TEST

/* Values never enter the text, whatever they are. */
START_TEST(values_are_parameters)
{
	struct cw_build b = { .args = &args, .arena = arena, .sql = CW_BUF_INIT, .limit = 50 };

	cw_args_init(&args, &cw_anomalies_list, arena);
	ck_assert_int_eq(set("rule", "x'; DROP TABLE anomalies; --"), 0);
	ck_assert_int_eq(set("severity", "high"), 0);
	ck_assert_int_eq(set("dedup_key", "%"), 0);
	cw_params_init(&b.params, arena);
	cw_anomalies_list.build(&b);
	cw_build_page(&b, cw_anomalies_list.keys);
	ck_assert_ptr_null(strstr(b.sql.data, "DROP"));
	ck_assert_ptr_nonnull(strstr(b.sql.data, "WHERE a.severity = 'high' AND a.rule_id = $1 AND a.dedup_key = $2"));
	ck_assert_ptr_nonnull(strstr(b.sql.data, "ORDER BY a.detected_at DESC, a.id DESC LIMIT 51"));
	ck_assert_int_eq(b.params.count, 2);
	cw_buf_release(&b.sql);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("repo");
	TCase *tc = tcase_create("repo");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_add_test(tc, cursor_comes_back);
	tcase_add_test(tc, damaged_cursor_is_refused);
	tcase_add_test(tc, random_text_is_no_cursor);
	tcase_add_test(tc, arguments_are_read_by_type);
	tcase_add_test(tc, wrong_arguments_are_named);
	tcase_add_test(tc, operations_are_consistent);
	tcase_add_test(tc, what_is_required_and_limited_is_checked_before_a_query);
	tcase_add_test(tc, values_are_parameters);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
