#include "source/ws.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "source/heads.h"

static struct cw_err err;
static struct cw_ws_frame frame;
static size_t consumed;

static int read_bytes(const char *bytes, size_t len)
{
	return cw_ws_read((const uint8_t *)bytes, len, &frame, &consumed, &err);
}

START_TEST(frames_of_every_length)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536, 1u << 20 };
	static const char *const heads[] = { "\x81\x00", "\x81\x01", "\x81\x7d", "\x81\x7e\x00\x7e", "\x81\x7e\x00\x7f",
		                                 "\x81\x7e\xff\xff", "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
		                                 "\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x00" };
	static const size_t head_sizes[] = { 2, 2, 2, 4, 4, 4, 10, 10 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *bytes = cw_zalloc(head_sizes[i] + sizes[i] + 1);

		memcpy(bytes, heads[i], head_sizes[i]);
		memset(bytes + head_sizes[i], 'x', sizes[i]);
		if (sizes[i] > 0)
			ck_assert_int_eq(read_bytes(bytes, head_sizes[i] + sizes[i] - 1), 0);
		ck_assert_int_eq(read_bytes(bytes, head_sizes[i] + sizes[i] + 1), 1);
		ck_assert_uint_eq(frame.len, sizes[i]);
		ck_assert_uint_eq(consumed, head_sizes[i] + sizes[i]);
		ck_assert_int_eq(frame.opcode, CW_WS_TEXT);
		ck_assert(frame.fin);
		cw_free(bytes);
	}
	ck_assert_int_eq(read_bytes("\x81", 1), 0);
	ck_assert_int_eq(read_bytes("", 0), 0);
}
END_TEST

START_TEST(what_a_server_may_not_send_is_refused)
{
	static const struct { const char *bytes; size_t len; } bad[] = {
		{ "\x81\x81zzzz", 6 },                    /* masked */
		{ "\xc1\x00", 2 }, { "\x83\x00", 2 }, { "\x8b\x00", 2 },
		{ "\x09\x00", 2 },                        /* a ping in parts */
		{ "\x89\x7e\x00\x7e", 4 },                /* a long one */
		{ "\x81\x7e\x00\x05", 4 },                /* not the shortest form */
		{ "\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 10 },
		{ "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10 },
		{ "\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01", 10 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(read_bytes(bad[i].bytes, bad[i].len) == -1 && err.code == CW_ERR_INVALID, "%zu", i);
}
END_TEST

START_TEST(what_is_written_is_masked)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	struct cw_buf out = CW_BUF_INIT;

	cw_ws_write(&out, CW_WS_TEXT, "Hello", 5, mask);      /* RFC 6455, section 5.7 */
	ck_assert_uint_eq(out.len, 11);
	ck_assert_mem_eq(out.data, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	cw_buf_release(&out);
}
END_TEST

START_TEST(accept_is_the_one_of_the_standard)
{
	char out[29];

	cw_ws_accept("dGhlIHNhbXBsZSBub25jZQ==", out);         /* RFC 6455, section 1.3 */
	ck_assert_str_eq(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
END_TEST

START_TEST(urls)
{
	static const char *const good[] = { "ws://h", "wss://h.example:8546/path?key=1", "ws://127.0.0.1:1", "ws://[::1]:8546/" };
	static const char *const bad[] = { "", "http://h", "ws://", "ws:///p", "ws://h:0", "ws://h:70000", "ws://h\r\nX: 1",
		                               "ws://u@h", "ws://h/a b" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(cw_heads_check_url(good[i], &err) == 0, "%s: %s", good[i], err.msg);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(cw_heads_check_url(bad[i], &err) == -1, "%s", bad[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ws");
	TCase *tc = tcase_create("ws");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, frames_of_every_length);
	tcase_add_test(tc, what_a_server_may_not_send_is_refused);
	tcase_add_test(tc, what_is_written_is_masked);
	tcase_add_test(tc, accept_is_the_one_of_the_standard);
	tcase_add_test(tc, urls);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
