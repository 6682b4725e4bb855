#include "base/arena.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

static struct cw_arena *arena;
static char order[16];

static void setup(void)
{
	arena = cw_arena_new();
	order[0] = '\0';
}

static void teardown(void)
{
	cw_arena_free(&arena);
	ck_assert_ptr_null(arena);
}

static void note(void *arg)
{
	strcat(order, arg);
}

START_TEST(pieces_are_aligned_and_apart)
{
	unsigned char *pieces[300];

	for (size_t i = 0; i < 300; i++) {
		pieces[i] = cw_arena_alloc(arena, i);
		if ((uintptr_t)pieces[i] % 16 != 0)
			ck_abort_msg("%zu", i);
		memset(pieces[i], (int)(i & 255), i);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t k = 0; k < i; k++)
			if (pieces[i][k] != (i & 255))
				ck_abort_msg("%zu", i);
}
END_TEST

START_TEST(large_pieces)
{
	size_t before = cw_arena_bytes(arena);
	char *large = cw_arena_alloc(arena, 1000000);

	memset(large, 1, 1000000);
	ck_assert_uint_ge(cw_arena_bytes(arena), before + 1000000);
	cw_arena_clear(arena);
	ck_assert_uint_eq(cw_arena_bytes(arena), before);
}
END_TEST

START_TEST(zalloc_and_strndup)
{
	static const char zero[100];
	char *text;

	memset(cw_arena_alloc(arena, 3000), 0xff, 3000);
	cw_arena_clear(arena);
	ck_assert_mem_eq(cw_arena_zalloc(arena, 100), zero, 100);
	text = cw_arena_strndup(arena, "abcdef", 3);
	ck_assert_str_eq(text, "abc");
	ck_assert_str_eq(cw_arena_strndup(arena, "", 0), "");
}
END_TEST

START_TEST(cleanups_run_in_reverse_order_and_once)
{
	cw_arena_cleanup(arena, note, "a");
	cw_arena_alloc(arena, 10000);
	cw_arena_cleanup(arena, note, "b");
	cw_arena_cleanup(arena, note, "c");
	cw_arena_clear(arena);
	ck_assert_str_eq(order, "cba");
	cw_arena_cleanup(arena, note, "d");
	cw_arena_free(&arena);
	ck_assert_str_eq(order, "cbad");
	cw_arena_free(&arena);
}
END_TEST

static void add_another(void *arg)
{
	note("x");
	cw_arena_cleanup(arg, note, "y");
}

START_TEST(a_cleanup_may_add_one)
{
	cw_arena_cleanup(arena, note, "a");
	cw_arena_cleanup(arena, add_another, arena);
	cw_arena_clear(arena);
	ck_assert_str_eq(order, "xya");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, pieces_are_aligned_and_apart);
	tcase_add_test(t, large_pieces);
	tcase_add_test(t, zalloc_and_strndup);
	tcase_add_test(t, cleanups_run_in_reverse_order_and_once);
	tcase_add_test(t, a_cleanup_may_add_one);
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
