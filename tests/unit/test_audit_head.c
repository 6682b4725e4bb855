#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/audit_head.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

static char folder[64];
static struct cw_audit_key key;
static struct cw_err err;

static const char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/cw-head-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(cw_audit_key_load(&key, in_folder("audit.key"), true, &err), 0);
}

static void teardown(void)
{
	char command[128];

	cw_audit_key_release(&key);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* printf '1:1,1:1,7:1000000,4:test,-,-,0:,0:,0:,-,-,-,4:info,-' behind 32 zero bytes, by sha256sum. */
START_TEST(hash_of_an_entry)
{
	static const uint8_t zero[32];
	const char *fields[CW_AUDIT_FIELDS] = { "1", "1", "1000000", "test", NULL, NULL,   "",
		                                    "",  "",  NULL,      NULL,   NULL, "info", NULL };
	uint8_t hash[32], other[32];
	char hex[65];

	cw_audit_hash(zero, fields, hash);
	sodium_bin2hex(hex, sizeof(hex), hash, 32);
	ck_assert_str_eq(hex, "ba36777fe889bb0a2f4b15d4d6c8ece19a79b8a12e5232f3d779837f21c40d96");
	fields[4] = ""; /* an empty text is no null */
	cw_audit_hash(zero, fields, other);
	ck_assert_int_ne(memcmp(hash, other, 32), 0);
}
END_TEST

static struct cw_audit_head head_of(int64_t n)
{
	struct cw_audit_head head = { .n = n, .seq = 10 * n, .anchor_seq = n, .time_us = 1700000000123456 + n };

	memset(head.hash, (int)n, 32);
	return head;
}

START_TEST(signed_and_read_back)
{
	struct cw_audit_head head = head_of(3), back;
	struct cw_buf line = CW_BUF_INIT;

	cw_audit_head_sign(&head, &key, &line);
	ck_assert_int_eq(cw_audit_head_parse(&back, line.data, line.len - 1, &key, &err), 0);
	ck_assert_int_eq(back.n, 3);
	ck_assert_int_eq(back.seq, 30);
	ck_assert_int_eq(back.anchor_seq, 3);
	ck_assert_int_eq(back.time_us, head.time_us);
	ck_assert_int_eq(memcmp(back.hash, head.hash, 32), 0);
	for (size_t i = 0; i + 1 < line.len; i++) { /* the key is for people; the verifier has its own */
		char kept = line.data[i];
		const char *at = strstr(line.data, "\"key\":");

		if (line.data + i >= at && line.data + i < at + 6 + CW_AUDIT_KEY_TEXT + 2)
			continue;
		line.data[i] = kept == '1' ? '2' : '1';
		ck_assert_msg(cw_audit_head_parse(&back, line.data, line.len - 1, &key, &err) != 0, "changed at %zu: %s", i,
		              line.data);
		line.data[i] = kept;
	}
	cw_buf_release(&line);
}
END_TEST

START_TEST(file_of_heads)
{
	struct cw_buf line = CW_BUF_INIT;
	struct cw_audit_head *heads;
	size_t count;
	FILE *f;

	ck_assert_ptr_null(cw_audit_heads_read(in_folder("heads"), &key, &count, &err));
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	for (int n = 1; n <= 3; n++) {
		struct cw_audit_head head = head_of(n);

		cw_buf_clear(&line);
		cw_audit_head_sign(&head, &key, &line);
		ck_assert_int_eq(cw_audit_heads_append(in_folder("heads"), line.data, line.len, &err), 0);
		f = fopen(in_folder("heads"), "a"); /* what a crash would leave of the next one */
		fputs("{\"n\":", f);
		fclose(f);
	}
	heads = cw_audit_heads_read(in_folder("heads"), &key, &count, &err);
	ck_assert_ptr_nonnull(heads);
	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(heads[2].seq, 30);
	cw_free(heads);
	/* A line that is not the next one. */
	cw_buf_clear(&line);
	cw_audit_head_sign(&(struct cw_audit_head){ .n = 5, .seq = 50 }, &key, &line);
	ck_assert_int_eq(cw_audit_heads_append(in_folder("heads"), line.data, line.len, &err), 0);
	ck_assert_ptr_null(cw_audit_heads_read(in_folder("heads"), &key, &count, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "missing"));
	cw_buf_release(&line);
}
END_TEST

START_TEST(keys)
{
	struct cw_audit_key again, public_only, other;
	char text[CW_AUDIT_KEY_TEXT];
	struct cw_audit_head head = head_of(1), back;
	struct cw_buf line = CW_BUF_INIT;
	struct stat st;

	ck_assert_int_eq(stat(in_folder("audit.key"), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(cw_audit_key_load(&again, in_folder("audit.key"), false, &err), 0);
	ck_assert_int_eq(memcmp(again.public_key, key.public_key, 32), 0);
	cw_audit_key_text(&key, text);
	ck_assert_int_eq(cw_audit_key_parse(&public_only, text, &err), 0);
	cw_audit_head_sign(&head, &key, &line);
	ck_assert_int_eq(cw_audit_head_parse(&back, line.data, line.len, &public_only, &err), 0);
	ck_assert_int_eq(cw_audit_key_load(&other, in_folder("other.key"), true, &err), 0);
	ck_assert_int_ne(cw_audit_head_parse(&back, line.data, line.len, &other, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_DENIED);
	ck_assert_int_ne(cw_audit_key_load(&again, in_folder("none.key"), false, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	chmod(in_folder("other.key"), 0640);
	ck_assert_int_ne(cw_audit_key_load(&again, in_folder("other.key"), false, &err), 0);
	ck_assert_int_ne(cw_audit_key_parse(&public_only, "AAAA", &err), 0);
	cw_audit_key_release(&other);
	cw_buf_release(&line);
}
END_TEST

/* Each is a good head but for one thing. */
START_TEST(what_is_no_head)
{
	static const struct { const char *was, *is; } changes[] = {
		{ "{\"n\":3", "[\"n\":3" }, { "\"n\":3", "\"m\":3" }, { "\"n\":3", "\"n\":\"3\"" }, { "\"n\":3", "\"n\":-3" },
		{ "\"n\":3", "\"n\":3.5" }, { "\"n\":3", "\"n\":99999999999999999999" }, { "\"seq\":30", "\"sequence\":30" },
		{ "\"anchor_seq\":3", "\"anchor_seq\":null" }, { "\"hash\":\"03", "\"hash\":\"" }, { "\"hash\":\"03", "\"hash\":\"xx" },
		{ "\"hash\":\"03", "\"hash\":3,\"x\":\"03" }, { "\"hash\":\"03", "\"rash\":\"03" },
		{ "\"anchor_hash\":\"00", "\"anchor_hash\":\"" }, { "\"time\":\"20", "\"time\":\"nonsense" },
		{ "\"time\":\"", "\"time\":7,\"x\":\"" }, { "\"time\"", "\"tide\"" }, { "\"signature\":\"", "\"signature\":\"AA" },
		{ "\"signature\":\"", "\"signature\":\"*" }, { "\"signature\":\"", "\"signature\":\"\",\"x\":\"" },
		{ "\"signature\":\"", "\"signature\":null,\"x\":\"" }, { "\"signature\"", "\"seal\"" }, { "{", "" }, { "}", "" },
	};
	struct cw_audit_head head = head_of(3), back;
	struct cw_buf line = CW_BUF_INIT, changed = CW_BUF_INIT;

	cw_audit_head_sign(&head, &key, &line);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		const char *at = strstr(line.data, changes[i].was);

		ck_assert_msg(at != NULL, "%zu: no %s in %s", i, changes[i].was, line.data);
		cw_buf_clear(&changed);
		cw_buf_add(&changed, line.data, (size_t)(at - line.data));
		cw_buf_puts(&changed, changes[i].is);
		cw_buf_puts(&changed, at + strlen(changes[i].was));
		ck_assert_msg(cw_audit_head_parse(&back, changed.data, changed.len, &key, &err) != 0, "%s", changed.data);
		ck_assert_msg(err.code == CW_ERR_INVALID, "%s: %s", changed.data, err.msg);
	}
	cw_buf_release(&line);
	cw_buf_release(&changed);
}
END_TEST

START_TEST(long_files_and_files_that_are_none)
{
	enum { MANY = 150 };
	struct cw_buf line = CW_BUF_INIT;
	struct cw_audit_head *heads;
	size_t count;
	FILE *f;

	for (int n = 1; n <= MANY; n++) {
		struct cw_audit_head head = head_of(n);

		cw_audit_head_sign(&head, &key, &line);
	}
	ck_assert_int_eq(cw_audit_heads_append(in_folder("heads"), line.data, line.len, &err), 0);
	heads = cw_audit_heads_read(in_folder("heads"), &key, &count, &err);
	ck_assert_msg(heads != NULL, "%s", err.msg);
	ck_assert_uint_eq(count, MANY);
	for (int n = 1; n <= MANY; n++)
		ck_assert_int_eq(heads[n - 1].seq, 10 * n);
	cw_free(heads);
	f = fopen(in_folder("heads"), "a");
	fputs("nonsense\n", f);
	fclose(f);
	ck_assert_ptr_null(cw_audit_heads_read(in_folder("heads"), &key, &count, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "151"));
	ck_assert_int_eq(mkdir(in_folder("folder"), 0700), 0);
	ck_assert_int_ne(cw_audit_heads_append(in_folder("folder"), line.data, line.len, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_int_ne(cw_audit_heads_append(in_folder("none/heads"), line.data, line.len, &err), 0);
	ck_assert_ptr_null(cw_audit_heads_read("/proc/self/mem/heads", &key, &count, &err));
	ck_assert_ptr_null(cw_audit_heads_read(folder, &key, &count, &err));    /* what cannot be read is not empty */
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	cw_buf_release(&line);
}
END_TEST

START_TEST(the_last_head_of_a_file)
{
	struct cw_buf line = CW_BUF_INIT;
	struct cw_audit_head last = head_of(7);
	FILE *f;

	ck_assert_int_eq(cw_audit_heads_last(in_folder("heads"), &key, &last, &err), 0);       /* no file: none */
	ck_assert_int_eq(last.n, 0);
	f = fopen(in_folder("heads"), "w");
	fclose(f);
	ck_assert_int_eq(cw_audit_heads_last(in_folder("heads"), &key, &last, &err), 0);
	ck_assert_int_eq(last.n, 0);
	for (int n = 1; n <= 40; n++) {
		struct cw_audit_head head = head_of(n);

		cw_buf_clear(&line);
		cw_audit_head_sign(&head, &key, &line);
		ck_assert_int_eq(cw_audit_heads_append(in_folder("heads"), line.data, line.len, &err), 0);
		ck_assert_int_eq(cw_audit_heads_last(in_folder("heads"), &key, &last, &err), 0);
		ck_assert_int_eq(last.n, n);
	}
	f = fopen(in_folder("heads"), "a");
	fputs("{\"n\":41,", f);                          /* torn by a crash */
	fclose(f);
	ck_assert_int_eq(cw_audit_heads_last(in_folder("heads"), &key, &last, &err), 0);
	ck_assert_int_eq(last.n, 40);
	f = fopen(in_folder("heads"), "a");
	fputs("nonsense\n", f);
	fclose(f);
	ck_assert_int_eq(cw_audit_heads_last(in_folder("heads"), &key, &last, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "the last line of"));
	f = fopen(in_folder("heads"), "w");
	for (int i = 0; i < 10000; i++)
		fputc('x', f);
	fclose(f);
	ck_assert_int_eq(cw_audit_heads_last(in_folder("heads"), &key, &last, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "does not end in a signed head"));
	ck_assert_int_eq(cw_audit_heads_last(folder, &key, &last, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_int_eq(cw_audit_heads_last(in_folder("heads/x"), &key, &last, &err), -1);
	cw_buf_release(&line);
}
END_TEST

/* A disk that is full: nothing is left that would be in the way of the next try. */
START_TEST(full_disk)
{
	struct rlimit limit = { 0, RLIM_INFINITY };
	struct cw_audit_key other;
	struct cw_buf line = CW_BUF_INIT;
	struct cw_audit_head head = head_of(1);
	struct stat st;

	cw_audit_head_sign(&head, &key, &line);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_ne(cw_audit_key_load(&other, in_folder("new.key"), true, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not write"));
	ck_assert_int_ne(stat(in_folder("new.key"), &st), 0);
	ck_assert_int_ne(cw_audit_heads_append(in_folder("heads"), line.data, line.len, &err), 0);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(cw_audit_key_load(&other, in_folder("new.key"), true, &err), 0);
	ck_assert_int_eq(cw_audit_heads_append(in_folder("heads"), line.data, line.len, &err), 0);
	cw_audit_key_release(&other);
	cw_buf_release(&line);
}
END_TEST

START_TEST(key_files_that_are_refused)
{
	static const char *const texts[] = { "", "\n", "AAAA\n", "nonsense, and no base64 of 32 bytes at all\n",
		                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", "*\n" };
	struct cw_audit_key other;
	FILE *f;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		f = fopen(in_folder("bad.key"), "w");
		fputs(texts[i], f);
		fclose(f);
		chmod(in_folder("bad.key"), 0600);
		ck_assert_msg(cw_audit_key_load(&other, in_folder("bad.key"), true, &err) != 0, "%s", texts[i]);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_int_ne(cw_audit_key_parse(&other, texts[i], &err), 0);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
	}
	ck_assert_int_ne(cw_audit_key_load(&other, folder, true, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "must be a file"));
	ck_assert_int_ne(cw_audit_key_load(&other, in_folder("none/a.key"), true, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_int_ne(cw_audit_key_load(&other, in_folder("audit.key/a"), true, &err), 0);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit_head");
	TCase *tc = tcase_create("audit_head");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, hash_of_an_entry);
	tcase_add_test(tc, signed_and_read_back);
	tcase_add_test(tc, file_of_heads);
	tcase_add_test(tc, keys);
	tcase_add_test(tc, what_is_no_head);
	tcase_add_test(tc, long_files_and_files_that_are_none);
	tcase_add_test(tc, the_last_head_of_a_file);
	tcase_add_test(tc, full_disk);
	tcase_add_test(tc, key_files_that_are_refused);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
