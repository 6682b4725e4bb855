#include "base/buf.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static struct cw_buf buf;

static void setup(void)
{
	cw_buf_init(&buf);
}

static void teardown(void)
{
	cw_buf_release(&buf);
	ck_assert_uint_eq(buf.cap, 0);
	ck_assert_str_eq(buf.data, "");
}

START_TEST(empty_buffer_is_printable)
{
	struct cw_buf fresh = CW_BUF_INIT;

	ck_assert_str_eq(fresh.data, "");
	cw_buf_clear(&fresh);
	cw_buf_add(&fresh, "", 0);
	ck_assert_str_eq(fresh.data, "");
	cw_buf_release(&fresh);
	cw_buf_release(&fresh);
}
END_TEST

START_TEST(always_ends_in_nul)
{
	for (size_t i = 0; i < 1000; i++) {
		cw_buf_putc(&buf, 'x');
		if (buf.len != i + 1 || buf.data[buf.len] != '\0' || buf.cap <= buf.len)
			ck_abort_msg("at %zu", i);
	}
}
END_TEST

START_TEST(bytes_may_be_nul)
{
	cw_buf_add(&buf, "a\0b", 3);
	cw_buf_puts(&buf, "c");
	ck_assert_uint_eq(buf.len, 4);
	ck_assert_mem_eq(buf.data, "a\0bc", 5);
}
END_TEST

START_TEST(clear_keeps_the_memory)
{
	size_t cap;

	cw_buf_reserve(&buf, 1000);
	cap = buf.cap;
	ck_assert_uint_gt(cap, 1000);
	cw_buf_puts(&buf, "abc");
	cw_buf_clear(&buf);
	ck_assert_uint_eq(buf.len, 0);
	ck_assert_uint_eq(buf.cap, cap);
	ck_assert_str_eq(buf.data, "");
}
END_TEST

START_TEST(printf_of_any_length)
{
	char want[301];

	memset(want, 'y', 300);
	want[300] = '\0';
	cw_buf_printf(&buf, "%s", "");
	ck_assert_uint_eq(buf.len, 0);
	cw_buf_printf(&buf, "%d-%s", 7, "x");
	ck_assert_str_eq(buf.data, "7-x");
	cw_buf_printf(&buf, "%s", want);
	ck_assert_uint_eq(buf.len, 303);
	ck_assert_str_eq(buf.data + 3, want);
}
END_TEST

START_TEST(unsigned_decimals)
{
	static const uint64_t values[] = { 0, 9, 10, 1234567890, UINT64_MAX };
	char want[32];

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		cw_buf_clear(&buf);
		cw_buf_uint(&buf, values[i]);
		snprintf(want, sizeof(want), "%llu", (unsigned long long)values[i]);
		ck_assert_str_eq(buf.data, want);
	}
}
END_TEST

START_TEST(take_moves_the_bytes_out)
{
	size_t len;
	char *text;

	cw_buf_puts(&buf, "abc");
	text = cw_buf_take(&buf, &len);
	ck_assert_str_eq(text, "abc");
	ck_assert_uint_eq(len, 3);
	ck_assert_uint_eq(buf.cap, 0);
	cw_free(text);
	text = cw_buf_take(&buf, NULL);   /* of an empty one: still the caller's to free */
	ck_assert_str_eq(text, "");
	cw_free(text);
}
END_TEST

START_TEST(absurd_size_stops_the_process)
{
	cw_buf_puts(&buf, "x");
	cw_buf_reserve(&buf, SIZE_MAX - 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, empty_buffer_is_printable);
	tcase_add_test(t, always_ends_in_nul);
	tcase_add_test(t, bytes_may_be_nul);
	tcase_add_test(t, clear_keeps_the_memory);
	tcase_add_test(t, printf_of_any_length);
	tcase_add_test(t, unsigned_decimals);
	tcase_add_test(t, take_moves_the_bytes_out);
	if (getenv("CK_FORK") == NULL)
		tcase_add_test_raise_signal(t, absurd_size_stops_the_process, 6);
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
