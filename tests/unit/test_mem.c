#include "base/mem.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

#ifndef __SANITIZE_ADDRESS__   /* a sanitizer's own mappings do not fit under a limit */
/* From here on the process gets no more than `bytes` of address space. */
static void allow(size_t bytes)
{
	struct rlimit limit;
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	ck_assert(f != NULL && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void allow_all(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
}

START_TEST(reserve_helps_out_and_is_taken_again)
{
	uint64_t before = cw_mem_refused();
	char *block;

	cw_mem_keep_reserve(16 * MIB);
	ck_assert(!cw_mem_short());
	allow(2 * MIB);
	block = cw_alloc(8 * MIB);
	memset(block, 1, 8 * MIB);
	ck_assert_uint_eq(cw_mem_refused(), before + 1);
	ck_assert_msg(cw_mem_short(), "16 MiB cannot be had again beside 8 under a limit");
	block = cw_realloc(block, 9 * MIB);   /* what is left of the reserve */
	ck_assert_int_eq(block[8 * MIB - 1], 1);
	cw_free(block);
	ck_assert_msg(!cw_mem_short(), "the memory is back, so the reserve is");
	allow_all();
	cw_mem_keep_reserve(0);
}
END_TEST

START_TEST(second_refusal_stops_the_process)
{
	cw_mem_keep_reserve(MIB);
	allow(2 * MIB);
	cw_free(cw_alloc(64 * MIB));
	allow_all();
}
END_TEST

START_TEST(try_alloc_may_be_refused_and_keeps_the_reserve)
{
	cw_mem_keep_reserve(4 * MIB);
	allow(2 * MIB);
	ck_assert_ptr_null(cw_try_alloc(64 * MIB));
	ck_assert(!cw_mem_short());
	allow_all();
	cw_mem_keep_reserve(0);
}
END_TEST
#endif

START_TEST(without_a_reserve_memory_is_never_short)
{
	cw_mem_keep_reserve(0);
	cw_mem_relieve(10);
	ck_assert(!cw_mem_short());
}
END_TEST

START_TEST(size_of_nothing)
{
	void *a = cw_alloc(0), *b = cw_zalloc(0), *c = cw_memdup("", 0);
	char *text = cw_strdup("text");

	ck_assert(a != NULL && b != NULL && c != NULL);
	ck_assert_str_eq(text, "text");
	cw_free(a);
	cw_free(b);
	cw_free(c);
	cw_free(text);
	cw_free(NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mem");
	TCase *t = tcase_create("mem");

	tcase_add_test(t, size_of_nothing);
	tcase_add_test(t, without_a_reserve_memory_is_never_short);
#ifndef __SANITIZE_ADDRESS__
	/* memcheck needs memory of its own under the limit, too */
	if (getenv("CK_FORK") == NULL && getenv("CHAINWATCH_TEST_MEMCHECK") == NULL) {
		tcase_add_test(t, reserve_helps_out_and_is_taken_again);
		tcase_add_test(t, try_alloc_may_be_refused_and_keeps_the_reserve);
		tcase_add_test_raise_signal(t, second_refusal_stops_the_process, 6);
	}
#endif
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
