/* Logistic regression: the optimum, heavy tails, contributions, bytes, refusals. */
#include "support/tables.h"

#include "base/buf.h"
#include "model/logistic.h"

#define ROWS 1500

static uint8_t label[ROWS];

/* Label 1 with a chance that grows with the first column, whose tail is heavy. */
static struct cw_table heavy(void)
{
	struct cw_table t = tables_normal(ROWS, 2, 0, 0, NULL);
	uint64_t rng = 8;

	for (size_t i = 0; i < ROWS; i++) {
		label[i] = env_uniform(&rng) < 1 / (1 + exp(-2 * t.x[2 * i]));
		t.x[2 * i] = exp(8 * t.x[2 * i]);
	}
	return t;
}

static struct cw_logistic *train(const struct cw_table *t, double l2)
{
	const struct cw_logistic_conf conf = { .l2 = l2 };
	struct cw_err err = { 0 };
	struct cw_logistic *l = cw_logistic_train(t, label, &conf, &err);

	ck_assert_msg(l != NULL, "%s", err.msg);
	return l;
}

/* At the optimum the chances sum up to the number of ones, for the base is not penalised. */
START_TEST(chances_sum_up_to_the_labels)
{
	struct cw_table t = heavy();
	struct cw_logistic *l = train(&t, 1);
	double sum = 0, ones = 0;

	for (size_t i = 0; i < ROWS; i++) {
		sum += cw_logistic_score(l, cw_table_row(&t, i));
		ones += label[i];
	}
	ck_assert_double_eq_tol(sum, ones, 1e-6);
	cw_logistic_free(&l);
	free(t.x);
}
END_TEST

START_TEST(heavy_tails_do_not_blind_it)
{
	struct cw_table t = heavy();
	struct cw_logistic *l = train(&t, 1);
	double score[ROWS], ideal[ROWS];

	for (size_t i = 0; i < ROWS; i++) {
		score[i] = cw_logistic_log_odds(l, cw_table_row(&t, i));
		ideal[i] = t.x[2 * i];
	}
	ck_assert_double_gt(tables_auc(score, label, ROWS), tables_auc(ideal, label, ROWS) - 0.01);
	cw_logistic_free(&l);
	free(t.x);
}
END_TEST

START_TEST(contributions_add_up)
{
	struct cw_table t = heavy();
	struct cw_logistic *l = train(&t, 1);
	double part[2], nan[2] = { NAN, 0 };

	for (size_t i = 0; i < ROWS; i++) {
		cw_logistic_explain(l, cw_table_row(&t, i), part);
		ck_assert_double_eq_tol(part[0] + part[1] + cw_logistic_base(l), cw_logistic_log_odds(l, cw_table_row(&t, i)), 1e-12);
	}
	cw_logistic_explain(l, nan, part);
	ck_assert(isnan(part[0]) && isnan(cw_logistic_score(l, nan)));
	cw_logistic_free(&l);
	free(t.x);
}
END_TEST

/* What separates perfectly is held by the penalty. */
START_TEST(perfect_separation_stays_finite)
{
	double x[40];
	const struct cw_table t = { x, 40, 1 };
	struct cw_logistic *l;

	for (int i = 0; i < 40; i++) {
		x[i] = i;
		label[i] = i >= 20;
	}
	l = train(&t, 0.001);
	ck_assert(cw_logistic_score(l, &x[0]) < 0.1 && cw_logistic_score(l, &x[39]) > 0.9);
	ck_assert(isfinite(cw_logistic_log_odds(l, &x[39])));
	cw_logistic_free(&l);
}
END_TEST

START_TEST(constant_columns_teach_nothing)
{
	double x[40] = { 0 };
	const struct cw_table t = { x, 20, 2 };
	struct cw_logistic *l;

	memset(label, 0, sizeof(label));
	memset(label, 1, 5);
	l = train(&t, 1);
	ck_assert_double_eq_tol(cw_logistic_score(l, x), 0.25, 1e-6);
	cw_logistic_free(&l);
}
END_TEST

START_TEST(bytes_and_back)
{
	struct cw_table t = heavy();
	struct cw_logistic *l = train(&t, 1), *m;
	struct cw_buf buf = CW_BUF_INIT;
	struct cw_err err = { 0 };

	cw_logistic_encode(l, &buf);
	m = cw_logistic_decode(buf.data, buf.len, &err);
	ck_assert_msg(m != NULL, "%s", err.msg);
	ck_assert_uint_eq(cw_logistic_cols(m), 2);
	for (size_t i = 0; i < ROWS; i++)
		ck_assert(cw_logistic_log_odds(l, cw_table_row(&t, i)) == cw_logistic_log_odds(m, cw_table_row(&t, i)));
	for (size_t len = 0; len < buf.len; len++)
		ck_assert_ptr_null(cw_logistic_decode(buf.data, len, &err));
	memset(buf.data + 16, 0xff, 8);    /* the first knot: not a number */
	ck_assert_ptr_null(cw_logistic_decode(buf.data, buf.len, &err));
	ck_assert_str_eq(err.msg, "logistic regression: a knot or a weight is out of bounds");
	cw_logistic_free(&l);
	cw_logistic_free(&m);
	cw_buf_release(&buf);
	free(t.x);
}
END_TEST

START_TEST(nonsense_is_refused)
{
	struct cw_table t = heavy();
	const struct cw_logistic_conf conf = { 0 }, bad = { .l2 = -1 };
	struct cw_err err = { 0 };

	ck_assert_ptr_null(cw_logistic_train(&t, label, &bad, &err));
	ck_assert_str_eq(err.msg, "the penalty must be a number from 0 on");
	t.x[3] = NAN;
	ck_assert_ptr_null(cw_logistic_train(&t, label, &conf, &err));
	ck_assert_str_eq(err.msg, "row 2, column 2 is not a finite number");
	t.x[3] = 0;
	memset(label, 1, sizeof(label));
	ck_assert_ptr_null(cw_logistic_train(&t, label, &conf, &err));
	ck_assert_str_eq(err.msg, "all rows are labelled 1: there is nothing to tell apart");
	free(t.x);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("logistic");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, chances_sum_up_to_the_labels);
	tcase_add_test(tc, heavy_tails_do_not_blind_it);
	tcase_add_test(tc, contributions_add_up);
	tcase_add_test(tc, perfect_separation_stays_finite);
	tcase_add_test(tc, constant_columns_teach_nothing);
	tcase_add_test(tc, bytes_and_back);
	tcase_add_test(tc, nonsense_is_refused);
	suite_add_tcase(suite, tc);
	return env_run(suite);
}
