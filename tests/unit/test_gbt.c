/* Boosted trees: learn what no line can tell apart, take missing cells, explain, repeat themselves, refuse. */
#include "support/tables.h"

#include "base/buf.h"
#include "model/gbt.h"

#define ROWS 2000

static uint8_t label[ROWS];

/* Label 1 where exactly one of the first two columns is positive; the third is noise. */
static struct cw_table exclusive_or(void)
{
	struct cw_table t = tables_normal(ROWS, 3, 0, 0, NULL);

	for (size_t i = 0; i < ROWS; i++)
		label[i] = (cw_table_row(&t, i)[0] > 0) != (cw_table_row(&t, i)[1] > 0);
	return t;
}

static struct cw_gbt *train(const struct cw_table *t, const struct cw_gbt_conf *conf)
{
	struct cw_err err = { 0 };
	struct cw_gbt *g = cw_gbt_train(t, label, conf, &err);

	ck_assert_msg(g != NULL, "%s", err.msg);
	return g;
}

START_TEST(learns_what_no_line_can)
{
	struct cw_table t = exclusive_or();
	const struct cw_table half = { t.x, ROWS / 2, 3 };
	const struct cw_gbt_conf conf = { .trees = 60, .rate = 0.2 };
	struct cw_gbt *g = train(&half, &conf);
	double score[ROWS];

	for (size_t i = ROWS / 2; i < ROWS; i++)
		score[i] = cw_gbt_score(g, cw_table_row(&t, i));
	ck_assert_double_gt(tables_auc(score + ROWS / 2, label + ROWS / 2, ROWS / 2), 0.98);
	cw_gbt_free(&g);
	free(t.x);
}
END_TEST

/* One tree of two leaves on one column: the leaves can be counted out. */
START_TEST(one_stump_by_hand)
{
	double x[8] = { 1, 2, 3, 4, 11, 12, 13, 14 };
	const uint8_t y[8] = { 0, 0, 0, 1, 1, 1, 1, 1 };
	const struct cw_table t = { x, 8, 1 };
	const struct cw_gbt_conf conf = { .trees = 1, .leaves = 2, .rate = 1, .l2 = 1, .min_rows = 4 };
	struct cw_gbt *g = cw_gbt_train(&t, y, &conf, NULL);
	double p = 5.0 / 8, left, right, row = 3.9;   /* p: share of label 1 */

	left = -(4 * p - 1) / (4 * p * (1 - p) + 1);
	right = -(4 * p - 4) / (4 * p * (1 - p) + 1);
	ck_assert_double_eq_tol(cw_gbt_log_odds(g, &row), log(5.0 / 3) + left, 1e-12);
	row = 7.5;                         /* half way: left */
	ck_assert_double_eq_tol(cw_gbt_log_odds(g, &row), log(5.0 / 3) + left, 1e-12);
	row = 7.6;
	ck_assert_double_eq_tol(cw_gbt_log_odds(g, &row), log(5.0 / 3) + right, 1e-12);
	ck_assert_double_eq_tol(cw_gbt_score(g, &row), 1 / (1 + exp(-(log(5.0 / 3) + right))), 1e-12);
	cw_gbt_free(&g);
}
END_TEST

/* Missing cells say it all. */
START_TEST(missing_cells_take_a_side)
{
	struct cw_table t = tables_normal(ROWS, 2, 0, 0, NULL);
	const struct cw_gbt_conf conf = { .trees = 20 };
	double gone[2] = { NAN, 0 }, there[2] = { 0, 0 };
	struct cw_gbt *g;

	for (size_t i = 0; i < ROWS; i++) {
		label[i] = i % 3 == 0;
		if (label[i])
			t.x[2 * i] = NAN;
	}
	g = train(&t, &conf);
	ck_assert_double_gt(cw_gbt_score(g, gone), 0.6);
	ck_assert_double_lt(cw_gbt_score(g, there), 0.2);
	cw_gbt_free(&g);
	free(t.x);
}
END_TEST

START_TEST(contributions_add_up)
{
	struct cw_table t = exclusive_or();
	const struct cw_gbt_conf conf = { .trees = 40, .rate = 0.2 };
	struct cw_gbt *g = train(&t, &conf);
	double part[3];

	for (size_t i = 0; i < 100; i++) {
		cw_gbt_explain(g, cw_table_row(&t, i), part);
		ck_assert_double_eq_tol(part[0] + part[1] + part[2] + cw_gbt_base(g), cw_gbt_log_odds(g, cw_table_row(&t, i)), 1e-9);
		ck_assert_double_gt(fabs(part[0]) + fabs(part[1]), fabs(part[2]));
	}
	cw_gbt_free(&g);
	free(t.x);
}
END_TEST

START_TEST(shares_follow_the_seed)
{
	struct cw_table t = exclusive_or();
	const struct cw_gbt_conf conf = { .trees = 10, .rows = 0.5, .columns = 0.6, .seed = 1 };
	struct cw_gbt_conf other = conf;
	struct cw_gbt *a = train(&t, &conf), *b = train(&t, &conf), *c;
	bool differs = false;

	other.seed = 2;
	c = train(&t, &other);
	for (size_t i = 0; i < ROWS; i++) {
		double x = cw_gbt_log_odds(a, cw_table_row(&t, i));

		ck_assert(x == cw_gbt_log_odds(b, cw_table_row(&t, i)));
		differs |= x != cw_gbt_log_odds(c, cw_table_row(&t, i));
	}
	ck_assert(differs);
	cw_gbt_free(&a);
	cw_gbt_free(&b);
	cw_gbt_free(&c);
	free(t.x);
}
END_TEST

START_TEST(bytes_and_back)
{
	struct cw_table t = exclusive_or();
	const struct cw_gbt_conf conf = { .trees = 12 };
	struct cw_gbt *g = train(&t, &conf), *h;
	struct cw_buf buf = CW_BUF_INIT;
	struct cw_err err = { 0 };

	cw_gbt_encode(g, &buf);
	h = cw_gbt_decode(buf.data, buf.len, &err);
	ck_assert_msg(h != NULL, "%s", err.msg);
	ck_assert_uint_eq(cw_gbt_cols(h), 3);
	for (size_t i = 0; i < ROWS; i++)
		ck_assert(cw_gbt_log_odds(g, cw_table_row(&t, i)) == cw_gbt_log_odds(h, cw_table_row(&t, i)));
	for (size_t len = 0; len < buf.len; len += 7)
		ck_assert_ptr_null(cw_gbt_decode(buf.data, len, &err));
	cw_gbt_free(&g);
	cw_gbt_free(&h);
	cw_buf_release(&buf);
	free(t.x);
}
END_TEST

static void refused(const struct cw_table *t, const struct cw_gbt_conf *conf, const char *message)
{
	struct cw_err err = { 0 };

	ck_assert_ptr_null(cw_gbt_train(t, label, conf, &err));
	ck_assert_msg(strstr(err.msg, message) != NULL, "%s", err.msg);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}

START_TEST(nonsense_is_refused)
{
	struct cw_table t = exclusive_or();
	struct cw_gbt_conf conf = { 0 };

	t.x[4] = INFINITY;
	refused(&t, &conf, "row 2, column 2 is infinite");
	t.x[4] = 0;
	label[7] = 2;
	refused(&t, &conf, "row 8 has label 2");
	memset(label, 0, sizeof(label));
	refused(&t, &conf, "all rows are labelled 0");
	label[0] = 1;
	conf.leaves = 1000;
	refused(&t, &conf, "2 to 255 leaves");
	conf = (struct cw_gbt_conf){ .rate = 2 };
	refused(&t, &conf, "between 0 and 1");
	refused(&(struct cw_table){ t.x, 0, 3 }, &conf, "0 rows");
	free(t.x);
}
END_TEST

START_TEST(constant_columns_teach_nothing)
{
	double x[100] = { 0 };
	const struct cw_table t = { x, 100, 1 };
	const struct cw_gbt_conf conf = { .trees = 5 };
	struct cw_gbt *g;

	memset(label, 0, sizeof(label));
	memset(label, 1, 25);
	g = train(&t, &conf);
	ck_assert_double_eq_tol(cw_gbt_score(g, x), 0.25, 1e-9);
	cw_gbt_free(&g);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gbt");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, learns_what_no_line_can);
	tcase_add_test(tc, one_stump_by_hand);
	tcase_add_test(tc, missing_cells_take_a_side);
	tcase_add_test(tc, contributions_add_up);
	tcase_add_test(tc, shares_follow_the_seed);
	tcase_add_test(tc, bytes_and_back);
	tcase_add_test(tc, nonsense_is_refused);
	tcase_add_test(tc, constant_columns_teach_nothing);
	suite_add_tcase(suite, tc);
	return env_run(suite);
}
