/* Properties against a reference that shares nothing with the engine: numbers as 512 bits in an array of bits. */
#include "chain/u256.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BITS 520

struct bits {
	unsigned char b[BITS];   /* b[0] is the least significant */
};

static uint64_t state = 20240229;

static uint64_t random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1du;
}

/* Of all lengths, often with long runs of ones or zeros, where carries travel far. */
static struct cw_u256 random_u256(void)
{
	struct cw_u256 a = { { 0 } };
	unsigned words = (unsigned)(random64() % 5);

	for (unsigned i = 0; i < words; i++) {
		uint64_t kind = random64() % 4;

		a.w[i] = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : random64();
	}
	if (words > 0)
		a.w[words - 1] >>= random64() % 64;
	return a;
}

static struct bits bits_of(const struct cw_u256 *a)
{
	struct bits out = { { 0 } };

	for (int i = 0; i < 256; i++)
		out.b[i] = a->w[i / 64] >> (i % 64) & 1;
	return out;
}

static bool same(const struct bits *a, const struct cw_u256 *b)
{
	struct bits other = bits_of(b);

	return memcmp(a, &other, sizeof(other)) == 0;
}

static bool fits(const struct bits *a)
{
	for (int i = 256; i < BITS; i++)
		if (a->b[i])
			return false;
	return true;
}

static void ref_add(struct bits *a, const struct bits *b)
{
	int carry = 0;

	for (int i = 0; i < BITS; i++) {
		int sum = a->b[i] + b->b[i] + carry;

		a->b[i] = sum & 1;
		carry = sum >> 1;
	}
}

static bool ref_less(const struct bits *a, const struct bits *b)
{
	for (int i = BITS - 1; i >= 0; i--)
		if (a->b[i] != b->b[i])
			return a->b[i] < b->b[i];
	return false;
}

static void ref_sub(struct bits *a, const struct bits *b)
{
	int borrow = 0;

	for (int i = 0; i < BITS; i++) {
		int d = a->b[i] - b->b[i] - borrow;

		a->b[i] = d & 1;
		borrow = d < 0;
	}
}

static void ref_double(struct bits *a, int low)
{
	memmove(a->b + 1, a->b, BITS - 1);
	a->b[0] = (unsigned char)low;
}

static struct bits ref_mul(const struct bits *a, const struct bits *b)
{
	struct bits out = { { 0 } };

	for (int i = 255; i >= 0; i--) {
		ref_double(&out, 0);
		if (b->b[i])
			ref_add(&out, a);
	}
	return out;
}

static void ref_divmod(const struct bits *a, const struct bits *b, struct bits *q, struct bits *r)
{
	memset(q, 0, sizeof(*q));
	memset(r, 0, sizeof(*r));
	for (int i = 255; i >= 0; i--) {
		ref_double(r, a->b[i]);
		if (!ref_less(r, b)) {
			ref_sub(r, b);
			q->b[i] = 1;
		}
	}
}

static const char *decimal(const struct cw_u256 *a)
{
	static char text[CW_U256_DECIMAL_MAX];

	cw_u256_format_decimal(a, text);
	return text;
}

START_TEST(sums_and_differences)
{
	for (int i = 0; i < 20000; i++) {
		struct cw_u256 a = random_u256(), b = random_u256(), got = { { 1, 2, 3, 4 } };
		struct bits sum = bits_of(&a), rest = sum, other = bits_of(&b);
		int order = ref_less(&sum, &other) ? -1 : ref_less(&other, &sum) ? 1 : 0;
		bool ok;

		ref_add(&sum, &other);
		ok = cw_u256_add(&got, &a, &b);
		if (ok != fits(&sum) || (ok && !same(&sum, &got)) || (!ok && got.w[3] != 4))
			ck_abort_msg("add %d", i);
		if (cw_u256_cmp(&a, &b) != order)
			ck_abort_msg("cmp %d", i);
		got.w[3] = 4;
		ok = cw_u256_sub(&got, &a, &b);
		if (ok != (order >= 0) || (!ok && got.w[3] != 4))
			ck_abort_msg("sub %d", i);
		if (ok) {
			ref_sub(&rest, &other);
			if (!same(&rest, &got))
				ck_abort_msg("sub %d", i);
		}
	}
}
END_TEST

START_TEST(products)
{
	for (int i = 0; i < 2000; i++) {
		struct cw_u256 a = random_u256(), b = random_u256(), got = { { 1, 2, 3, 4 } };
		struct bits x = bits_of(&a), y = bits_of(&b), product = ref_mul(&x, &y);
		bool ok = cw_u256_mul(&got, &a, &b);

		if (ok != fits(&product) || (ok && !same(&product, &got)) || (!ok && got.w[3] != 4))
			ck_abort_msg("mul %d", i);
	}
}
END_TEST

START_TEST(quotients)
{
	for (int i = 0; i < 2000; i++) {
		struct cw_u256 a = random_u256(), b = random_u256(), q = { { 9 } }, r = { { 9 } };
		struct bits x = bits_of(&a), y = bits_of(&b), want_q, want_r;

		if (cw_u256_is_zero(&b)) {
			if (cw_u256_divmod(&q, &r, &a, &b) || q.w[0] != 9 || r.w[0] != 9)
				ck_abort_msg("by zero");
			continue;
		}
		ref_divmod(&x, &y, &want_q, &want_r);
		if (!cw_u256_divmod(&q, &r, &a, &b) || !same(&want_q, &q) || !same(&want_r, &r))
			ck_abort_msg("%d: divide %s", i, decimal(&a));
	}
}
END_TEST

/* Where the estimate of a quotient's digit is too large by one or two (Hacker's Delight, section 9-2, and the same
 * shapes over 64-bit words). */
START_TEST(quotients_that_need_a_correction)
{
	static const struct cw_u256 cases[][2] = {
		{ { { 0, UINT64_MAX - 1, 0x8000000000000000u, 0 } }, { { UINT64_MAX, 0x8000000000000000u, 0, 0 } } },
		{ { { 3, 0, 0x8000000000000000u, 0 } }, { { 1, 0, 0x2000000000000000u, 0 } } },
		{ { { 0, 0, 0x8000000000000000u, 0x7fffffffffffffffu } }, { { 1, 0, 0x8000000000000000u, 0 } } },
		{ { { 0, 0xfffffffffffffffeu, 0, 0x8000000000000000u } }, { { UINT64_MAX, 0, 0x8000000000000000u, 0 } } },
		{ { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } }, { { UINT64_MAX, UINT64_MAX, 0, 0 } } },
		{ { { 0, 0, 0, 1 } }, { { UINT64_MAX, UINT64_MAX, 0, 0 } } },
		{ { { 0, 0, UINT64_MAX, UINT64_MAX - 1 } }, { { 0, UINT64_MAX, UINT64_MAX, 0 } } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bits x = bits_of(&cases[i][0]), y = bits_of(&cases[i][1]), want_q, want_r;
		struct cw_u256 q, r, a = cases[i][0];

		ref_divmod(&x, &y, &want_q, &want_r);
		ck_assert(cw_u256_divmod(&q, &r, &cases[i][0], &cases[i][1]));
		ck_assert(same(&want_q, &q) && same(&want_r, &r));
		ck_assert(cw_u256_divmod(NULL, &a, &a, &cases[i][1]));   /* over its own input, quotient not wanted */
		ck_assert(same(&want_r, &a));
	}
}
END_TEST

START_TEST(decimals_read_back)
{
	for (int i = 0; i < 200; i++) {
		struct cw_u256 a = random_u256(), back;
		struct bits rest = bits_of(&a), ten = { { 0, 1, 0, 1 } }, q, r;
		char want[CW_U256_DECIMAL_MAX], text[CW_U256_DECIMAL_MAX];
		size_t at = sizeof(want) - 1, n;

		want[at] = '\0';
		do {
			ref_divmod(&rest, &ten, &q, &r);
			want[--at] = (char)('0' + r.b[0] + 2 * r.b[1] + 4 * r.b[2] + 8 * r.b[3]);
			rest = q;
		} while (!fits(&rest) || memchr(rest.b, 1, BITS) != NULL);
		n = cw_u256_format_decimal(&a, text);
		if (n != strlen(want + at) || strcmp(text, want + at) != 0)
			ck_abort_msg("%s, not %s", text, want + at);
		if (!cw_u256_parse_decimal(&back, text, n) || cw_u256_cmp(&back, &a) != 0)
			ck_abort_msg("%s does not read back", text);
	}
}
END_TEST

START_TEST(decimal_limits)
{
	static const char max[] = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
	static const struct { const char *text; bool ok; const char *want; } cases[] = {
		{ "0", true, "0" }, { "00", true, "0" }, { "007", true, "7" }, { "9999999999999999999", true, "9999999999999999999" },
		{ "10000000000000000000", true, "10000000000000000000" }, { "18446744073709551615", true, "18446744073709551615" },
		{ "18446744073709551616", true, "18446744073709551616" }, { max, true, max },
		{ "000000000000115792089237316195423570985008687907853269984665640564039457584007913129639935", true, max },
		{ "115792089237316195423570985008687907853269984665640564039457584007913129639936", false, NULL },
		{ "999999999999999999999999999999999999999999999999999999999999999999999999999999", false, NULL },
		{ "1157920892373161954235709850086879078532699846656405640394575840079131296399350", false, NULL },
		{ "", false, NULL }, { "-1", false, NULL }, { "+1", false, NULL }, { " 1", false, NULL }, { "1 ", false, NULL },
		{ "1.0", false, NULL }, { "1e3", false, NULL }, { "0x10", false, NULL }, { "1234567890123456789/", false, NULL },
		{ "/2345678901234567890", false, NULL }, { "12345678901234567890:", false, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_u256 a = { { 7 } };

		ck_assert_msg(cw_u256_parse_decimal(&a, cases[i].text, strlen(cases[i].text)) == cases[i].ok, "%s", cases[i].text);
		if (cases[i].ok)
			ck_assert_str_eq(decimal(&a), cases[i].want);
		else
			ck_assert_uint_eq(a.w[0], 7);
	}
}
END_TEST

START_TEST(hex_text)
{
	static const struct { const char *text; bool ok; const char *want; } cases[] = {
		{ "0", true, "0" }, { "ff", true, "255" }, { "FF", true, "255" }, { "10000000000000000", true, "18446744073709551616" },
		{ "de0b6b3a7640000", true, "1000000000000000000" }, { "", false, NULL }, { "g", false, NULL }, { "0x1", false, NULL },
		{ "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true,
		  "115792089237316195423570985008687907853269984665640564039457584007913129639935" },
		{ "0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true,
		  "115792089237316195423570985008687907853269984665640564039457584007913129639935" },
		{ "10000000000000000000000000000000000000000000000000000000000000000", false, NULL }, { "-1", false, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cw_u256 a;

		ck_assert_msg(cw_u256_parse_hex(&a, cases[i].text, strlen(cases[i].text)) == cases[i].ok, "%s", cases[i].text);
		if (cases[i].ok)
			ck_assert_str_eq(decimal(&a), cases[i].want);
	}
}
END_TEST

START_TEST(big_endian_bytes)
{
	static const uint8_t bytes[] = { 0x01, 0x02, 0x03 };
	struct cw_u256 a = cw_u256_from_be(bytes, 3), b;
	uint8_t full[32];

	ck_assert_uint_eq(a.w[0], 0x010203);
	a = cw_u256_from_be(bytes, 0);
	ck_assert(cw_u256_is_zero(&a));
	for (int i = 0; i < 1000; i++) {
		a = random_u256();
		cw_u256_to_be(&a, full);
		b = cw_u256_from_be(full, 32);
		if (cw_u256_cmp(&a, &b) != 0 || full[31] != (uint8_t)a.w[0] || full[0] != (uint8_t)(a.w[3] >> 56))
			ck_abort_msg("%d", i);
	}
}
END_TEST

/* strtod of the C library rounds correctly and shares no code with the engine. */
START_TEST(doubles_are_rounded_correctly)
{
	static const struct cw_u256 ties[] = {
		{ { 0, 0x20000000000001u, 0, 0 } }, { { 1, 0x20000000000001u, 0, 0 } }, { { 0, 0x20000000000003u, 0, 0 } },
		{ { UINT64_MAX, 0x20000000000000u, 0, 0 } }, { { 0, 0, 0, 0x8000000000000400u } },
		{ { 1, 0, 0, 0x8000000000000400u } }, { { 0, 0, 0, 0x8000000000000c00u } }, { { 0, 1, 0, 0x8000000000000400u } },
		{ { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } }, { { 9007199254740993u, 0, 0, 0 } }, { { 0 } },
	};

	for (size_t i = 0; i < sizeof(ties) / sizeof(*ties); i++)
		ck_assert_double_eq(cw_u256_to_double(&ties[i]), strtod(decimal(&ties[i]), NULL));
	for (int i = 0; i < 20000; i++) {
		struct cw_u256 a = random_u256();

		if (cw_u256_to_double(&a) != strtod(decimal(&a), NULL))
			ck_abort_msg("%s", decimal(&a));
	}
}
END_TEST

START_TEST(small_helpers)
{
	struct cw_u256 a = cw_u256_from_u64(UINT64_MAX), one = cw_u256_from_u64(1), b;

	ck_assert(cw_u256_fits_u64(&a) && !cw_u256_is_zero(&a));
	ck_assert(cw_u256_add(&b, &a, &one) && !cw_u256_fits_u64(&b));
	ck_assert(cw_u256_add(&a, &a, &one));   /* over its own input */
	ck_assert_int_eq(cw_u256_cmp(&a, &b), 0);
	ck_assert(cw_u256_sub(&a, &a, &a) && cw_u256_is_zero(&a));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("u256");
	TCase *t = tcase_create("u256");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, sums_and_differences);
	tcase_add_test(t, products);
	tcase_add_test(t, quotients);
	tcase_add_test(t, quotients_that_need_a_correction);
	tcase_add_test(t, decimals_read_back);
	tcase_add_test(t, decimal_limits);
	tcase_add_test(t, hex_text);
	tcase_add_test(t, big_endian_bytes);
	tcase_add_test(t, doubles_are_rounded_correctly);
	tcase_add_test(t, small_helpers);
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
