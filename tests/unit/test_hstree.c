/* The streaming forest: warms up, finds, follows a change, repeats itself; the primitive over fields. */
#include "support/detect_env.h"

#include "detect/hstree.h"

static const struct cw_hstree_conf conf = { .cols = 3, .trees = 50, .window = 512, .seed = 4 };

static struct cw_hstree *stream(int rows, double mean, uint64_t *rng, struct cw_hstree *s)
{
	if (s == NULL)
		s = calloc(1, cw_hstree_size(&conf));
	for (int i = 0; i < rows; i++) {
		double row[3] = { mean + env_normal(rng), env_normal(rng), env_normal(rng) };

		cw_hstree_add(NULL, s, &conf, row);
	}
	return s;
}

START_TEST(nothing_is_known_in_the_first_rows)
{
	uint64_t rng = 1;
	struct cw_hstree *s = stream(255, 0, &rng, NULL);
	const double row[3] = { 0, 0, 0 };

	ck_assert(isnan(cw_hstree_score(s, &conf, row)));
	ck_assert(isnan(cw_hstree_add(NULL, s, &conf, row)));
	ck_assert(!isnan(cw_hstree_score(s, &conf, row)));
	free(s);
}
END_TEST

START_TEST(odd_rows_score_higher)
{
	uint64_t rng = 2;
	struct cw_hstree *s = stream(2000, 0, &rng, NULL);
	const double usual[3] = { 0.1, -0.2, 0 }, odd[3] = { 0, 7, -6 };

	ck_assert_double_lt(cw_hstree_score(s, &conf, usual), 0.5);
	ck_assert_double_gt(cw_hstree_score(s, &conf, odd), 0.6);
	free(s);
}
END_TEST

START_TEST(what_was_odd_becomes_usual)
{
	uint64_t rng = 3;
	struct cw_hstree *s = stream(2000, 0, &rng, NULL);
	const double row[3] = { 10, 0, 0 };
	double before = cw_hstree_score(s, &conf, row), after;

	stream(1200, 10, &rng, s);
	after = cw_hstree_score(s, &conf, row);
	ck_assert_double_gt(before, 0.55);
	ck_assert_double_lt(after, 0.45);
	free(s);
}
END_TEST

START_TEST(repeats_itself)
{
	uint64_t a = 9, b = 9;
	struct cw_hstree *s = stream(1500, 0, &a, NULL), *t = stream(1500, 0, &b, NULL);

	ck_assert(memcmp(s, t, cw_hstree_size(&conf)) == 0);
	free(s);
	free(t);
}
END_TEST

START_TEST(degenerate_rows)
{
	uint64_t rng = 5;
	struct cw_hstree *s = stream(300, 0, &rng, NULL);
	const double nan[3] = { 0, NAN, 0 }, inf[3] = { 0, 0, INFINITY }, huge[3] = { 1e300, -1e300, 0 };
	uint64_t rows = s->rows;

	ck_assert(isnan(cw_hstree_add(NULL, s, &conf, nan)));
	ck_assert(isnan(cw_hstree_add(NULL, s, &conf, inf)));
	ck_assert_uint_eq(s->rows, rows);
	for (int i = 0; i < 1000; i++)
		ck_assert(isfinite(cw_hstree_add(NULL, s, &conf, huge)));
	free(s);
}
END_TEST

START_TEST(primitive_over_fields)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "outlier.forest", "of=value+gas+gas_price");
	uint64_t rng = 6;
	struct cw_tx tx;

	for (int i = 0; i < 800; i++) {
		tx = env_tx(1, 2, 1700000000 + i, 1000000 + env_below(&rng, 1000000));
		tx.gas = 21000 + env_below(&rng, 1000);
		ck_assert(isnan(env_call(&e, "add", &tx)) == (i < 256));
		cw_state_mark(st, (uint64_t)i, 0);
	}
	ck_assert_double_eq(env_call(&e, "count", &tx), 800);
	ck_assert_double_lt(env_call(&e, "score", &tx), 0.6);
	tx.gas = 8000000;
	tx.value = cw_u256_from_u64(1);
	ck_assert_double_gt(env_call(&e, "score", &tx), 0.6);
	ck_assert_double_eq(env_call(&e, "count", &tx), 800);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

static void refused(const char *of, double window, const char *message)
{
	const struct cw_primitive *p = cw_primitive_find("outlier", "forest");
	const struct cw_raw_opt raw[] = { { "of", CW_RAW_TEXT, 0, of }, { "window", CW_RAW_NUMBER, window, NULL } };
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_state *st = env_state();
	struct cw_err err = { 0 };
	uint8_t digest[16];
	struct cw_state_root *root;

	ck_assert_msg(cw_primitive_read_options(p, raw, 2, vals, &err) == 0, "%s", err.msg);
	cw_primitive_digest(p, vals, digest);
	root = cw_state_root_open(st, "rule/state", digest);
	ck_assert_ptr_null(p->open(st, root, vals, &err));
	ck_assert_msg(strstr(err.msg, message) != NULL, "%s", err.msg);
	cw_state_close(&st);
}

START_TEST(bad_fields_are_refused)
{
	refused("value+nothing", 1024, "not \"nothing\"");
	refused("value+", 1024, "not \"\"");
	refused("value+from", 1024, "not \"from\"");
	refused("value+gas+value", 1024, "names \"value\" twice");
	refused("value+gas+gas_price+nonce+block", 65536, "bytes a key are too much");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hstree");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, nothing_is_known_in_the_first_rows);
	tcase_add_test(tc, odd_rows_score_higher);
	tcase_add_test(tc, what_was_odd_becomes_usual);
	tcase_add_test(tc, repeats_itself);
	tcase_add_test(tc, degenerate_rows);
	tcase_add_test(tc, primitive_over_fields);
	tcase_add_test(tc, bad_fields_are_refused);
	suite_add_tcase(suite, tc);
	return env_run(suite);
}
