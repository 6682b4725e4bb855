/* Fields by name, as keys and numbers; the hash; spans; options; digests. */
#include "support/detect_env.h"

START_TEST(names_go_both_ways)
{
	for (int f = CW_FIELD_NONE + 1; f < CW_FIELD_COUNT; f++)
		ck_assert_int_eq(cw_field_parse(cw_field_name((enum cw_field)f)), f);
	ck_assert_int_eq(cw_field_parse(""), CW_FIELD_NONE);
	ck_assert_int_eq(cw_field_parse("fro"), CW_FIELD_NONE);
	ck_assert_int_eq(cw_field_parse("fromm"), CW_FIELD_NONE);
	ck_assert_str_eq(cw_field_name(CW_FIELD_COUNT), "");
	ck_assert(cw_field_is_number(CW_FIELD_FEE));
	ck_assert(!cw_field_is_number(CW_FIELD_SELECTOR));
	ck_assert(!cw_field_is_number(CW_FIELD_NONE));
}
END_TEST

START_TEST(sets_do_not_care_for_order)
{
	char text[CW_FIELDSET_TEXT];
	cw_fieldset a, b;

	ck_assert(cw_fieldset_parse("to+selector", &a));
	ck_assert(cw_fieldset_parse("selector+to", &b));
	ck_assert_uint_eq(a, b);
	ck_assert_str_eq(cw_fieldset_format(a, text), "to+selector");
	ck_assert(cw_fieldset_parse("timestamp+gas_price+input_size", &a));
	ck_assert_str_eq(cw_fieldset_format(a, text), "gas_price+timestamp+input_size");
	ck_assert(cw_fieldset_parse("", &a));
	ck_assert_uint_eq(a, 0);
}
END_TEST

START_TEST(bad_sets_are_refused)
{
	static const char *const bad[] = { "+", "from+", "+from", "from++to", "from+from", "from+to+gas+nonce", "nobody",
	                                   "from to", " from", "from+to+from" };
	cw_fieldset set;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!cw_fieldset_parse(bad[i], &set), "\"%s\" was taken", bad[i]);
}
END_TEST

static bool same(const struct cw_dict_key *a, const struct cw_dict_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

START_TEST(keys_tell_apart_what_differs)
{
	struct cw_tx tx = env_tx(1, 2, 100, 5), other = tx;
	struct cw_dict_key a, b;
	cw_fieldset set;

	ck_assert(cw_fieldset_key(&tx, CW_FIELD_FROM, &a));
	ck_assert_mem_eq(a.b, tx.from.b, 20);
	other.to = tx.from;
	ck_assert(cw_fieldset_key(&other, CW_FIELD_TO, &b));
	ck_assert(same(&a, &b));                       /* one account, in either role */
	other.chain_id = 2;
	ck_assert(cw_fieldset_key(&other, CW_FIELD_TO, &b));
	ck_assert(!same(&a, &b));
	other.chain_id = (1ull << 32) + 1;             /* not chain 1 */
	ck_assert(cw_fieldset_key(&other, CW_FIELD_TO, &b));
	ck_assert(!same(&a, &b));

	other = tx;
	ck_assert(cw_fieldset_key(&tx, 0, &a));
	other.from = tx.to;
	ck_assert(cw_fieldset_key(&other, 0, &b));
	ck_assert(same(&a, &b));                       /* global */

	ck_assert(cw_fieldset_parse("from+to", &set));
	ck_assert(cw_fieldset_key(&tx, set, &a));
	other = tx;
	other.from = tx.to;
	other.to = tx.from;
	ck_assert(cw_fieldset_key(&other, set, &b));
	ck_assert(!same(&a, &b));

	tx.gas = 7;
	tx.nonce = 7;
	ck_assert(cw_fieldset_key(&tx, CW_FIELD_GAS, &a));
	ck_assert(cw_fieldset_key(&tx, CW_FIELD_NONCE, &b));
	ck_assert(!same(&a, &b));
}
END_TEST

START_TEST(missing_fields_have_no_key_and_no_number)
{
	struct cw_tx tx = env_tx(1, 2, 100, 5);
	struct cw_dict_key key;
	cw_fieldset set;
	uint64_t hash;

	tx.has = 0;
	ck_assert(!cw_fieldset_key(&tx, CW_FIELD_TO, &key));
	ck_assert(cw_fieldset_parse("from+to", &set));
	ck_assert(!cw_fieldset_key(&tx, set, &key));
	ck_assert(!cw_fieldset_hash(&tx, set, &hash));
	ck_assert(!cw_fieldset_key(&tx, CW_FIELD_SELECTOR, &key));
	ck_assert(!cw_fieldset_key(&tx, CW_FIELD_FEE, &key));
	ck_assert(isnan(cw_field_number(&tx, CW_FIELD_GAS_USED)));
	ck_assert(isnan(cw_field_number(&tx, CW_FIELD_FEE)));
	ck_assert(isnan(cw_field_number(&tx, CW_FIELD_STATUS)));
	ck_assert(isnan(cw_field_number(&tx, CW_FIELD_FROM)));
	tx.has = CW_TX_HAS_INPUT;
	tx.input_head_size = 3;
	ck_assert(!cw_fieldset_key(&tx, CW_FIELD_SELECTOR, &key));
	tx.input_head_size = 4;
	ck_assert(cw_fieldset_key(&tx, CW_FIELD_SELECTOR, &key));
}
END_TEST

START_TEST(numbers_are_in_their_units)
{
	struct cw_tx tx = env_tx(1, 2, 100, 5);

	tx.value = (struct cw_u256){ { 0, 1, 0, 0 } };
	ck_assert_double_eq(cw_field_number(&tx, CW_FIELD_VALUE), 0x1p64);
	tx.gas_used = 21000;
	tx.has |= CW_TX_HAS_GAS_USED;
	ck_assert_double_eq(cw_field_number(&tx, CW_FIELD_FEE), 21000e9);
	ck_assert_double_eq(cw_field_number(&tx, CW_FIELD_TIMESTAMP), 100);
}
END_TEST

/* Flipping one bit of the input flips half of the output, whichever it is; 6 standard deviations are allowed. */
START_TEST(hash_spreads_every_bit)
{
	uint64_t rng = 1;
	int worst = 0;

	for (size_t len = 4; len <= 40; len += 12)
		for (size_t bit = 0; bit < len * 8; bit++) {
			int flips[64] = { 0 };

			for (int trial = 0; trial < 1000; trial++) {
				uint8_t bytes[40];
				uint64_t a, d;

				for (size_t i = 0; i < len; i++)
					bytes[i] = (uint8_t)env_random(&rng);
				a = cw_hash64(bytes, len, 5);
				bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
				d = a ^ cw_hash64(bytes, len, 5);
				for (int i = 0; i < 64; i++)
					flips[i] += (int)(d >> i & 1);
			}
			for (int i = 0; i < 64; i++)
				worst = abs(flips[i] - 500) > worst ? abs(flips[i] - 500) : worst;
		}
	ck_assert_msg(worst < 6 * 16, "a bit flips %d times more or less than 500 of 1000", worst);
}
END_TEST

START_TEST(hash_knows_length_and_seed)
{
	static const uint8_t zeros[40];
	uint64_t seen[41];

	for (size_t len = 0; len <= 40; len++) {
		seen[len] = cw_hash64(zeros, len, 0);
		ck_assert_uint_ne(seen[len], cw_hash64(zeros, len, 1));
		for (size_t i = 0; i < len; i++)
			ck_assert_uint_ne(seen[i], seen[len]);
	}
	/* part of the state on disk: it must never change */
	ck_assert_uint_eq(cw_hash64("chainwatch", 10, 0), 0x87428f55670d798cull);
}
END_TEST

START_TEST(spans_are_read_and_written)
{
	static const struct {
		const char *text;
		double seconds;
	} good[] = { { "10m", 600 }, { "36h", 129600 }, { "7d", 604800 }, { "90", 90 }, { "1h30m", 5400 }, { "2w", 1209600 },
	             { "0.5h", 1800 }, { "1d12h30m5s", 131405 }, { "1.5", 1.5 } };
	static const char *const bad[] = { "", "m", "10x", "-5m", "10m5", "5s5m", "1e3s",
	                                  "10 m", "1m1m", "1..5s", ".", "nan" };
	char text[CW_SPAN_TEXT];
	double s;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_msg(cw_span_parse(good[i].text, &s), "%s", good[i].text);
		ck_assert_double_eq(s, good[i].seconds);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!cw_span_parse(bad[i], &s), "\"%s\" was taken", bad[i]);
	ck_assert_str_eq(cw_span_format(600, text), "10m");
	ck_assert_str_eq(cw_span_format(34560000, text), "400d");
	ck_assert_str_eq(cw_span_format(90, text), "90s");
	ck_assert_str_eq(cw_span_format(1, text), "1s");
}
END_TEST

static void refused(const char *table, const char *name, struct cw_raw_opt *raw, size_t n, const char *message)
{
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_err err = { 0 };

	ck_assert_int_eq(cw_primitive_read_options(cw_primitive_find(table, name), raw, n, vals, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, message);
}

#define TEXT(n, t) { .name = (n), .type = CW_RAW_TEXT, .text = (t) }
#define NUM(n, x) { .name = (n), .type = CW_RAW_NUMBER, .number = (x) }
#define BOOL(n, x) { .name = (n), .type = CW_RAW_BOOL, .number = (x) }

START_TEST(wrong_options_are_named)
{
	struct cw_raw_opt span = TEXT("span", "10m"), of = TEXT("of", "to");

	refused("window", "distinct", (struct cw_raw_opt[]){ TEXT("span", "500d"), of }, 2,
	        "window.distinct: option \"span\" must be between 1s and 400d");
	refused("window", "distinct", (struct cw_raw_opt[]){ TEXT("span", "soon"), of }, 2,
	        "window.distinct: option \"span\" must be a duration like \"90s\", \"10m\", \"36h\" or \"7d\", not \"soon\"");
	refused("window", "distinct", &span, 1, "window.distinct: option \"of\" is missing");
	refused("window", "count", (struct cw_raw_opt[]){ span, TEXT("of", "to") }, 2,
	        "window.count: unknown option \"of\"; it takes key, max_keys, span, buckets");
	refused("window", "count", (struct cw_raw_opt[]){ span, TEXT("key", "from+sender") }, 2,
	        "window.count: option \"key\" must name up to three fields joined with +, like \"from\" or \"to+selector\", "
	        "not \"from+sender\"");
	refused("window", "sum", (struct cw_raw_opt[]){ span, TEXT("of", "from") }, 2,
	        "window.sum: option \"of\" must name a field that is a number, like \"value\" or \"gas_price\", not \"from\"");
	refused("window", "count", (struct cw_raw_opt[]){ span, NUM("buckets", 2.5) }, 2,
	        "window.count: option \"buckets\" must be a whole number");
	refused("window", "count", (struct cw_raw_opt[]){ span, NUM("buckets", 0) }, 2,
	        "window.count: option \"buckets\" must be between 1 and 60");
	refused("window", "count", (struct cw_raw_opt[]){ span, TEXT("buckets", "8") }, 2,
	        "window.count: option \"buckets\" must be a whole number, not text");
	refused("window", "count", (struct cw_raw_opt[]){ span, BOOL("buckets", 1) }, 2,
	        "window.count: option \"buckets\" must not be true or false");
	refused("window", "count", (struct cw_raw_opt[]){ span, span }, 2, "window.count: option \"span\" is given twice");
	refused("window", "count", (struct cw_raw_opt[]){ NUM("span", NAN) }, 1,
	        "window.count: option \"span\" must be a finite number");
	refused("window", "count", (struct cw_raw_opt[]){ span, NUM("key", 5) }, 2,
	        "window.count: option \"key\" must name a field, not be a number");
	refused("window", "distinct", (struct cw_raw_opt[]){ span, TEXT("of", "") }, 2,
	        "window.distinct: option \"of\" must name up to three fields joined with +, like \"from\" or "
	        "\"to+selector\", not \"\"");
	refused("list", "contains", (struct cw_raw_opt[]){ NUM("list", 5) }, 1,
	        "list.contains: option \"list\" must be text, not a number");
}
END_TEST

START_TEST(defaults_fill_in)
{
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_raw_opt raw[] = { NUM("span", 60), { .name = "buckets", .type = CW_RAW_NIL } };
	struct cw_err err = { 0 };

	ck_assert_int_eq(cw_primitive_read_options(cw_primitive_find("window", "count"), raw, 2, vals, &err), 0);
	ck_assert_uint_eq(vals[0].key, 0);
	ck_assert_double_eq(vals[1].number, 100000);
	ck_assert_double_eq(vals[2].number, 60);
	ck_assert_double_eq(vals[3].number, 16);
}
END_TEST

static void digest(const char *table, const char *name, struct cw_raw_opt *raw, size_t n, uint8_t out[16])
{
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	const struct cw_primitive *p = cw_primitive_find(table, name);
	struct cw_err err = { 0 };

	ck_assert_msg(cw_primitive_read_options(p, raw, n, vals, &err) == 0, "%s", err.msg);
	cw_primitive_digest(p, vals, out);
}

START_TEST(digests_follow_the_meaning)
{
	uint8_t a[16], b[16];

	digest("window", "sum", (struct cw_raw_opt[]){ TEXT("span", "10m"), TEXT("of", "value") }, 2, a);
	digest("window", "sum", (struct cw_raw_opt[]){ TEXT("of", "value"), NUM("span", 600), NUM("buckets", 16) }, 3, b);
	ck_assert_mem_eq(a, b, 16);
	digest("window", "sum", (struct cw_raw_opt[]){ TEXT("of", "gas"), NUM("span", 600) }, 2, b);
	ck_assert_mem_ne(a, b, 16);
	digest("window", "sum", (struct cw_raw_opt[]){ TEXT("of", "value"), NUM("span", 601) }, 2, b);
	ck_assert_mem_ne(a, b, 16);
	digest("window", "max", (struct cw_raw_opt[]){ TEXT("span", "10m"), TEXT("of", "value") }, 2, b);
	ck_assert_mem_ne(a, b, 16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("field");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, names_go_both_ways);
	tcase_add_test(tc, sets_do_not_care_for_order);
	tcase_add_test(tc, bad_sets_are_refused);
	tcase_add_test(tc, keys_tell_apart_what_differs);
	tcase_add_test(tc, missing_fields_have_no_key_and_no_number);
	tcase_add_test(tc, numbers_are_in_their_units);
	tcase_add_test(tc, hash_spreads_every_bit);
	tcase_add_test(tc, hash_knows_length_and_seed);
	tcase_add_test(tc, spans_are_read_and_written);
	tcase_add_test(tc, wrong_options_are_named);
	tcase_add_test(tc, defaults_fill_in);
	tcase_add_test(tc, digests_follow_the_meaning);
	return env_run(suite);
}
