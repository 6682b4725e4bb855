#include "base/wake.h"

#include <check.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

START_TEST(each_wake_adds_one)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0;

	cw_wake(fd);
	cw_wake(fd);
	ck_assert_int_eq(read(fd, &n, sizeof(n)), sizeof(n));
	ck_assert_uint_eq(n, 2);
	close(fd);
}
END_TEST

START_TEST(full_counter_does_not_block)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t n = UINT64_MAX - 1;

	ck_assert_int_eq(write(fd, &n, sizeof(n)), sizeof(n));
	cw_wake(fd);
	ck_assert_int_eq(read(fd, &n, sizeof(n)), sizeof(n));
	ck_assert_uint_eq(n, UINT64_MAX - 1);
	close(fd);
	cw_wake(-1);   /* nobody there: comes back */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wake");
	TCase *t = tcase_create("wake");
	SRunner *runner;
	int failed;

	tcase_add_test(t, each_wake_adds_one);
	tcase_add_test(t, full_counter_does_not_block);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
