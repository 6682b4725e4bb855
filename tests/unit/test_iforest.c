/* The isolation forest: separates, repeats itself, explains, and refuses what is not a table. */
#include "support/tables.h"

#include "base/buf.h"
#include "detect/iforest.h"

static struct cw_iforest *fit(const struct cw_table *t, uint32_t trees, uint32_t sample, uint64_t seed)
{
	const struct cw_iforest_conf conf = { .trees = trees, .sample = sample, .seed = seed };
	struct cw_err err = { 0 };
	struct cw_iforest *f = cw_iforest_fit(t, &conf, &err);

	ck_assert_msg(f != NULL, "%s", err.msg);
	return f;
}

START_TEST(path_length_is_that_of_the_paper)
{
	double harmonic = 0;

	ck_assert_double_eq(cw_iforest_path(0), 0);
	ck_assert_double_eq(cw_iforest_path(1), 0);
	ck_assert_double_eq(cw_iforest_path(2), 1);
	for (int i = 1; i < 256; i++)
		harmonic += 1.0 / i;
	ck_assert_double_eq_tol(cw_iforest_path(256), 2 * harmonic - 2 * 255.0 / 256, 1e-9);
}
END_TEST

START_TEST(odd_rows_score_higher)
{
	uint8_t label[2000];
	double score[2000];
	struct cw_table t = tables_normal(2000, 4, 20, 5, label);
	struct cw_iforest *f = fit(&t, 0, 0, 1);

	for (size_t i = 0; i < t.rows; i++) {
		score[i] = cw_iforest_score(f, cw_table_row(&t, i));
		ck_assert(score[i] > 0 && score[i] < 1);
		ck_assert_double_eq_tol(score[i], pow(2, -cw_iforest_steps(f, cw_table_row(&t, i)) / cw_iforest_path(256)), 1e-12);
	}
	ck_assert_double_gt(tables_auc(score, label, 2000), 0.99);
	cw_iforest_free(&f);
	ck_assert_ptr_null(f);
	free(t.x);
}
END_TEST

START_TEST(same_seed_same_forest)
{
	struct cw_table t = tables_normal(700, 3, 7, 4, NULL);
	struct cw_iforest *a = fit(&t, 13, 100, 9), *b = fit(&t, 13, 100, 9), *c = fit(&t, 13, 100, 10);
	bool differs = false;

	for (size_t i = 0; i < t.rows; i++) {
		double score = cw_iforest_score(a, cw_table_row(&t, i));

		ck_assert(score == cw_iforest_score(b, cw_table_row(&t, i)));
		differs |= score != cw_iforest_score(c, cw_table_row(&t, i));
	}
	ck_assert(differs);
	cw_iforest_free(&a);
	cw_iforest_free(&b);
	cw_iforest_free(&c);
	free(t.x);
}
END_TEST

/* Times are around 1.7e9, where single precision has steps of 128. */
START_TEST(far_origins_lose_nothing)
{
	struct cw_table t = tables_normal(1000, 2, 5, 6, NULL), moved = tables_normal(1000, 2, 5, 6, NULL);
	struct cw_iforest *a, *b;

	for (size_t i = 0; i < 2000; i++) {
		t.x[i] = rint(t.x[i] * 1024);
		moved.x[i] = t.x[i] + 1.7e9;
	}
	a = fit(&t, 0, 0, 3);
	b = fit(&moved, 0, 0, 3);
	for (size_t i = 0; i < t.rows; i++)
		ck_assert(cw_iforest_score(a, cw_table_row(&t, i)) == cw_iforest_score(b, cw_table_row(&moved, i)));
	cw_iforest_free(&a);
	cw_iforest_free(&b);
	free(t.x);
	free(moved.x);
}
END_TEST

START_TEST(contributions_add_up_and_name_the_column)
{
	struct cw_table t = tables_normal(1000, 3, 0, 0, NULL);
	const double row[3] = { 0.1, 8, -0.2 };
	struct cw_iforest *f = fit(&t, 0, 0, 1);
	double part[3];

	cw_iforest_explain(f, row, part);
	ck_assert_double_eq_tol(part[0] + part[1] + part[2], cw_iforest_mean_steps(f) - cw_iforest_steps(f, row), 1e-4);
	ck_assert(part[1] > part[0] && part[1] > part[2] && part[1] > 1);
	cw_iforest_free(&f);
	free(t.x);
}
END_TEST

START_TEST(degenerate_tables)
{
	double same[30] = { 0 }, one[3] = { 1, 2, 3 }, two[2] = { 0, 1 }, wide[4] = { -1e308, 1e308, 0, 5e307 };
	struct cw_table tables[] = { { same, 10, 3 }, { one, 1, 3 }, { two, 2, 1 }, { wide, 4, 1 } };

	for (size_t k = 0; k < sizeof(tables) / sizeof(*tables); k++) {
		struct cw_iforest *f = fit(&tables[k], 0, 0, 1);

		for (size_t i = 0; i < tables[k].rows; i++)
			ck_assert(isfinite(cw_iforest_score(f, cw_table_row(&tables[k], i))));
		cw_iforest_free(&f);
	}
}
END_TEST

START_TEST(not_finite_is_refused)
{
	double x[6] = { 1, 2, 3, NAN, 5, 6 }, good[6] = { 1, 2, 3, 4, 5, 6 }, row[2] = { INFINITY, 1 }, part[2];
	struct cw_table t = { x, 3, 2 }, none = { x, 0, 2 }, empty = { x, 3, 0 };
	const struct cw_iforest_conf conf = { 0 }, silly = { .sample = 1 };
	struct cw_iforest *f;
	struct cw_err err = { 0 };

	ck_assert_ptr_null(cw_iforest_fit(&t, &conf, &err));
	ck_assert_str_eq(err.msg, "row 2, column 2 is not a finite number");
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_ptr_null(cw_iforest_fit(&none, &conf, &err));
	ck_assert_str_eq(err.msg, "the table has no rows");
	ck_assert_ptr_null(cw_iforest_fit(&empty, &conf, &err));
	ck_assert_str_eq(err.msg, "the table has no columns");
	t.x = good;
	ck_assert_ptr_null(cw_iforest_fit(&t, &silly, &err));
	ck_assert_ptr_nonnull(strstr(err.msg, "2 to 4096 rows"));
	f = fit(&t, 10, 0, 1);
	ck_assert(isnan(cw_iforest_score(f, row)));
	cw_iforest_explain(f, row, part);
	ck_assert(isnan(part[0]));
	cw_iforest_free(&f);
}
END_TEST

START_TEST(bytes_and_back)
{
	struct cw_table t = tables_normal(500, 3, 5, 4, NULL);
	struct cw_iforest *f = fit(&t, 11, 64, 2), *g;
	struct cw_buf buf = CW_BUF_INIT;
	struct cw_err err = { 0 };

	cw_iforest_encode(f, &buf);
	g = cw_iforest_decode(buf.data, buf.len, &err);
	ck_assert_msg(g != NULL, "%s", err.msg);
	for (size_t i = 0; i < t.rows; i++)
		ck_assert(cw_iforest_score(f, cw_table_row(&t, i)) == cw_iforest_score(g, cw_table_row(&t, i)));
	ck_assert_ptr_null(cw_iforest_decode(buf.data, buf.len - 1, &err));
	ck_assert_ptr_null(cw_iforest_decode(buf.data, 3, &err));
	memset(buf.data + 16 + 3 * 8 + 8 + 4, 0xff, 4);   /* column of the first tree's root */
	ck_assert_ptr_null(cw_iforest_decode(buf.data, buf.len, &err));
	ck_assert_str_eq(err.msg, "forest: a column, cut or step is out of bounds");
	cw_iforest_free(&f);
	cw_iforest_free(&g);
	cw_buf_release(&buf);
	free(t.x);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iforest");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, path_length_is_that_of_the_paper);
	tcase_add_test(tc, odd_rows_score_higher);
	tcase_add_test(tc, same_seed_same_forest);
	tcase_add_test(tc, far_origins_lose_nothing);
	tcase_add_test(tc, contributions_add_up_and_name_the_column);
	tcase_add_test(tc, degenerate_tables);
	tcase_add_test(tc, not_finite_is_refused);
	tcase_add_test(tc, bytes_and_back);
	suite_add_tcase(suite, tc);
	return env_run(suite);
}
