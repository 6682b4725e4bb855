/* Model files: what was written is read; whatever is damaged, cut or foreign is refused with its reason. */
#include "support/tables.h"

#include "base/buf.h"
#include "detect/iforest.h"
#include "model/artefact.h"

static struct cw_buf whole;

static void up(void)
{
	struct cw_table t = tables_normal(100, 2, 0, 0, NULL);
	const struct cw_iforest_conf conf = { .trees = 3, .sample = 16 };
	struct cw_iforest *f = cw_iforest_fit(&t, &conf, NULL);
	struct cw_buf body = CW_BUF_INIT;

	cw_buf_init(&whole);
	cw_iforest_encode(f, &body);
	cw_artefact_write(CW_ARTEFACT_IFOREST, &body, &whole);
	cw_buf_release(&body);
	cw_iforest_free(&f);
	free(t.x);
}

static void down(void)
{
	cw_buf_release(&whole);
}

static void refused(size_t len, const char *message)
{
	const void *body;
	size_t body_len;
	struct cw_err err = { 0 };

	ck_assert_int_eq(cw_artefact_read(whole.data, len, &body, &body_len, &err), CW_ARTEFACT_NONE);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_msg(strstr(err.msg, message) != NULL, "%s", err.msg);
}

START_TEST(what_was_written_is_read)
{
	const void *body;
	size_t len;
	struct cw_err err = { 0 };
	struct cw_iforest *f;

	ck_assert_int_eq(cw_artefact_read(whole.data, whole.len, &body, &len, &err), CW_ARTEFACT_IFOREST);
	f = cw_iforest_decode(body, len, &err);
	ck_assert_msg(f != NULL, "%s", err.msg);
	ck_assert_uint_eq(cw_iforest_cols(f), 2);
	ck_assert_str_eq(cw_artefact_kind_name(CW_ARTEFACT_IFOREST), "iforest");
	ck_assert_str_eq(cw_artefact_kind_name(CW_ARTEFACT_KINDS), "");
	cw_iforest_free(&f);
}
END_TEST

START_TEST(every_flipped_bit_is_seen)
{
	const void *body;
	size_t len;

	for (size_t i = 0; i < whole.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			whole.data[i] ^= (char)(1 << bit);
			ck_assert_int_eq(cw_artefact_read(whole.data, whole.len, &body, &len, NULL), CW_ARTEFACT_NONE);
			whole.data[i] ^= (char)(1 << bit);
		}
}
END_TEST

START_TEST(every_cut_is_seen)
{
	refused(0, "not a model: only 0 bytes");
	for (size_t len = 0; len < whole.len; len++)
		refused(len, len < 40 ? "not a model: only" : "the model is cut short");
	cw_buf_putc(&whole, 'x');
	refused(whole.len, "the model is too long");
}
END_TEST

START_TEST(the_reason_is_told)
{
	char kept = whole.data[0];

	whole.data[0] = 'X';
	refused(whole.len, "does not begin with \"cwmodel\"");
	whole.data[0] = kept;
	whole.data[8] = 9;
	refused(whole.len, "a model of format 9; this engine reads format 1");
	whole.data[8] = 1;
	whole.data[12] = 77;
	refused(whole.len, "unknown kind 77");
	whole.data[12] = CW_ARTEFACT_GBT;
	refused(whole.len, "its checksum does not fit");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("artefact");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_add_test(tc, what_was_written_is_read);
	tcase_add_test(tc, every_flipped_bit_is_seen);
	tcase_add_test(tc, every_cut_is_seen);
	tcase_add_test(tc, the_reason_is_told);
	suite_add_tcase(suite, tc);
	return env_run(suite);
}
