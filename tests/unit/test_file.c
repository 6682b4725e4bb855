#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "source/file.h"

static char path[64];

static void write_file(const char *text, size_t len, int packed)
{
	int fd;

	strcpy(path, "/tmp/cw-file-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	if (packed) {
		gzFile gz = gzdopen(fd, "wb");

		ck_assert_int_eq(gzwrite(gz, text, (unsigned)len), (int)len);
		gzclose(gz);
	} else {
		ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
		close(fd);
	}
}

static struct cw_records *open_text(const char *text, int packed)
{
	struct cw_records *r;
	struct cw_err err;

	write_file(text, strlen(text), packed);
	r = cw_records_open(path, &err);
	unlink(path);
	ck_assert_msg(r != NULL, "%s", err.msg);
	return r;
}

static void expect(struct cw_records *r, const char *want, uint64_t line)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;
	int rc = cw_records_next(r, &out, &err);

	ck_assert_msg(rc == 1, "%s", rc < 0 ? err.msg : "unexpected end");
	ck_assert_str_eq(out.data, want);
	ck_assert_uint_eq(cw_records_line(r), line);
	cw_buf_release(&out);
}

static void expect_end(struct cw_records **r)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;

	ck_assert_int_eq(cw_records_next(*r, &out, &err), 0);
	cw_buf_release(&out);
	cw_records_close(r);
	ck_assert_ptr_null(*r);
}

static void expect_fault(struct cw_records *r, const char *what)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;

	ck_assert_int_eq(cw_records_next(r, &out, &err), -1);
	ck_assert_msg(strstr(err.msg, what) != NULL, "%s", err.msg);
	cw_buf_release(&out);
}

START_TEST(ndjson_lines_with_and_without_a_last_line_end)
{
	struct cw_records *r = open_text("{\"a\":1}\r\n\n  \n{\"b\":2}", _i);

	expect(r, "{\"a\":1}", 1);
	expect(r, "{\"b\":2}", 4);
	expect_end(&r);
}
END_TEST

START_TEST(csv_rows_become_objects_without_empty_cells)
{
	struct cw_records *r = open_text("hash,value,block_timestamp\n0x1,\"1,000 \"\"wei\"\"\",5\n0x2,,\"6\n7\"\n", _i);

	expect(r, "{\"hash\":\"0x1\",\"value\":\"1,000 \\\"wei\\\"\",\"timestamp\":\"5\"}", 2);
	expect(r, "{\"hash\":\"0x2\",\"timestamp\":\"6\\n7\"}", 3);
	expect_end(&r);
}
END_TEST

START_TEST(csv_row_of_another_length_is_named_and_passed_over)
{
	struct cw_records *r = open_text("a,b\n1\n1,2,3\n4,5\n", 0);

	expect_fault(r, ":2: fewer cells than the header has (2)");
	expect_fault(r, ":3: more cells than the header has (2)");
	expect(r, "{\"a\":\"4\",\"b\":\"5\"}", 4);
	expect_end(&r);
}
END_TEST

START_TEST(quote_without_an_end_is_named)
{
	struct cw_records *r = open_text("a,b\n1,\"2\n3\n", 0);

	expect_fault(r, ":2: quote without an end");
	expect_end(&r);
}
END_TEST

START_TEST(long_record_is_refused_and_the_next_is_read)
{
	size_t len = CW_RECORD_MAX + 100;
	char *text = malloc(len + 16);
	struct cw_records *r;

	memset(text, ' ', len);
	text[0] = '{';
	strcpy(text + len, "}\n{\"b\":2}\n");
	r = open_text(text, 0);
	expect_fault(r, ":1: record longer than");
	expect(r, "{\"b\":2}", 2);
	expect_end(&r);
	free(text);
}
END_TEST

START_TEST(cut_gzip_is_told_from_the_end)
{
	char packed[256];
	struct cw_records *r;
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;
	FILE *f;
	size_t n;
	int rc;

	write_file("{\"a\":1}\n{\"b\":2}\n{\"cccccccccccccccccccccccc\":3}\n", 47, 1);
	f = fopen(path, "rb");
	n = fread(packed, 1, sizeof(packed), f);
	fclose(f);
	unlink(path);
	write_file(packed, n - 12, 0);
	r = cw_records_open(path, &err);
	unlink(path);
	while (r != NULL && (rc = cw_records_next(r, &out, &err)) == 1)
		;
	ck_assert_msg(strstr(err.msg, "cut short") != NULL || strstr(err.msg, "could not read") != NULL, "%s", err.msg);
	cw_buf_release(&out);
	cw_records_close(&r);
}
END_TEST

START_TEST(what_cannot_be_opened_says_why)
{
	struct cw_err err;

	ck_assert_ptr_null(cw_records_open("/nowhere/x.ndjson", &err));
	ck_assert_str_eq(err.msg, "could not open \"/nowhere/x.ndjson\": No such file or directory");
	ck_assert_ptr_null(cw_records_open("/tmp", &err));
	ck_assert_str_eq(err.msg, "could not open \"/tmp\": it is a folder");
}
END_TEST

START_TEST(json_array_is_no_csv)
{
	struct cw_err err;

	write_file("[{\"a\": 1}]\n", 11, 0);
	ck_assert_ptr_null(cw_records_open(path, &err));
	unlink(path);
	ck_assert_msg(strstr(err.msg, "is a JSON array") != NULL, "%s", err.msg);
}
END_TEST

START_TEST(nul_in_a_csv_row_cuts_nothing_off)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_records *r;
	struct cw_err err;

	write_file("a,b\n1,2\0junk\n3,4\n", 17, 0);
	r = cw_records_open(path, &err);
	unlink(path);
	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(cw_records_next(r, &out, &err), -1);
	ck_assert_msg(strstr(err.msg, ":2: NUL byte") != NULL, "%s", err.msg);
	expect(r, "{\"a\":\"3\",\"b\":\"4\"}", 3);
	expect_end(&r);
	cw_buf_release(&out);
}
END_TEST

START_TEST(empty_file_has_no_records)
{
	struct cw_records *r = open_text("", 0);

	expect_end(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file");
	TCase *tc = tcase_create("file");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tc, ndjson_lines_with_and_without_a_last_line_end, 0, 2);
	tcase_add_loop_test(tc, csv_rows_become_objects_without_empty_cells, 0, 2);
	tcase_add_test(tc, csv_row_of_another_length_is_named_and_passed_over);
	tcase_add_test(tc, quote_without_an_end_is_named);
	tcase_add_test(tc, long_record_is_refused_and_the_next_is_read);
	tcase_add_test(tc, cut_gzip_is_told_from_the_end);
	tcase_add_test(tc, what_cannot_be_opened_says_why);
	tcase_add_test(tc, json_array_is_no_csv);
	tcase_add_test(tc, nul_in_a_csv_row_cuts_nothing_off);
	tcase_add_test(tc, empty_file_has_no_records);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
