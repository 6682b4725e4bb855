#include "chain/hex.h"

#include <check.h>
#include <string.h>

/* The test cases of EIP-55 itself: all caps, all lower, mixed. */
static const char *const checksummed[] = {
	"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
	"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
	"0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
	"0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
};

static enum cw_address_fault parse(struct cw_address *out, const char *text)
{
	return cw_address_parse(out, text, strlen(text));
}

START_TEST(addresses_with_checksum)
{
	struct cw_address address, lower;
	char text[CW_ADDRESS_TEXT], plain[CW_ADDRESS_TEXT];

	for (size_t i = 0; i < sizeof(checksummed) / sizeof(*checksummed); i++) {
		ck_assert_int_eq(parse(&address, checksummed[i]), CW_ADDRESS_OK);
		ck_assert_str_eq(cw_address_format_eip55(&address, text), checksummed[i]);
		cw_address_format(&address, plain);
		ck_assert_int_eq(parse(&lower, plain), CW_ADDRESS_OK);
		ck_assert_mem_eq(&lower, &address, sizeof(lower));
	}
}
END_TEST

START_TEST(any_case_is_read_where_no_checksum_is_claimed)
{
	struct cw_address a, b;

	ck_assert_int_eq(parse(&a, "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED"), CW_ADDRESS_OK);
	ck_assert_int_eq(parse(&b, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), CW_ADDRESS_OK);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_int_eq(a.b[0], 0x5a);
	ck_assert_int_eq(a.b[19], 0xed);
	ck_assert_int_eq(parse(&a, "0x0000000000000000000000000000000000000000"), CW_ADDRESS_OK);
}
END_TEST

START_TEST(wrong_checksums_are_told_apart)
{
	struct cw_address address = { { 7 } };
	char text[CW_ADDRESS_TEXT];

	for (size_t i = 2; i < 42; i++) {   /* each letter turned alone */
		strcpy(text, checksummed[0]);
		if (text[i] < 'A')
			continue;
		text[i] ^= 0x20;
		ck_assert_int_eq(parse(&address, text), CW_ADDRESS_CHECKSUM);
	}
	ck_assert_int_eq(address.b[0], 7);
}
END_TEST

START_TEST(malformed_addresses)
{
	static const char *const cases[] = {
		"", "0x", "0", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
		"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaedd",
		"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae ",
		" 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", "1x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
		"0x\377\377eb6053f3e94c9b9a09f33669435e7ef1beaed",
	};
	struct cw_address address;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_msg(parse(&address, cases[i]) == CW_ADDRESS_MALFORMED, "%s", cases[i]);
}
END_TEST

START_TEST(hashes)
{
	static const char text[] = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060";
	char back[CW_HASH_TEXT], upper[CW_HASH_TEXT];
	struct cw_hash hash, same;

	ck_assert(cw_hash_parse(&hash, text, strlen(text)));
	ck_assert_int_eq(hash.b[0], 0x5c);
	ck_assert_int_eq(hash.b[31], 0x60);
	ck_assert_str_eq(cw_hash_format(&hash, back), text);
	strcpy(upper, text);
	for (char *p = upper + 2; *p != '\0'; p++)
		if (*p >= 'a')
			*p -= 0x20;
	ck_assert(cw_hash_parse(&same, upper, strlen(upper)));
	ck_assert_mem_eq(&same, &hash, sizeof(same));
	ck_assert(!cw_hash_parse(&hash, text, strlen(text) - 1));
	ck_assert(!cw_hash_parse(&hash, text + 2, strlen(text) - 2));
	ck_assert(!cw_hash_parse(&hash, "", 0));
	back[10] = 'x';
	ck_assert(!cw_hash_parse(&hash, back, 66));
}
END_TEST

START_TEST(bytes_to_digits_and_back)
{
	uint8_t bytes[256], back[256];
	char text[513];

	for (size_t i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	for (size_t len = 0; len <= 256; len += 5) {
		cw_hex_encode(text, bytes, len);
		ck_assert_uint_eq(strlen(text), 2 * len);
		ck_assert(cw_hex_decode(back, text, 2 * len));
		ck_assert_mem_eq(back, bytes, len);
	}
	ck_assert(!cw_hex_decode(back, "abc", 3));
	for (int c = 0; c < 256; c++) {
		char pair[2] = { '0', (char)c };
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

		ck_assert_int_eq(cw_hex_decode(back, pair, 2), hex);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hex");
	TCase *t = tcase_create("hex");

	tcase_add_test(t, addresses_with_checksum);
	tcase_add_test(t, any_case_is_read_where_no_checksum_is_claimed);
	tcase_add_test(t, wrong_checksums_are_told_apart);
	tcase_add_test(t, malformed_addresses);
	tcase_add_test(t, hashes);
	tcase_add_test(t, bytes_to_digits_and_back);
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
