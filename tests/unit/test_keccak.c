#include "chain/keccak.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "chain/hex.h"

static const char *digest(const void *bytes, size_t len)
{
	static char text[65];
	uint8_t hash[32];

	cw_keccak256(bytes, len, hash);
	cw_hex_encode(text, hash, 32);
	return text;
}

START_TEST(hashes_known_texts)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" },
		{ "abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45" },
		{ "Transfer(address,address,uint256)", "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef" },
		{ "The quick brown fox jumps over the lazy dog",
		  "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_str_eq(digest(cases[i].text, strlen(cases[i].text)), cases[i].want);
}
END_TEST

/* Around the block size of 136; bytes 0, 1, 2, ..., hashed with js-sha3 0.9. */
START_TEST(hashes_across_blocks)
{
	static const struct { size_t len; const char *want; } cases[] = {
		{ 135, "cbdfd9dee5faad3818d6b06f95a219fd290b0e1706f6a82e5a595b9ce9faca62" },
		{ 136, "7ce759f1ab7f9ce437719970c26b0a66ff11fe3e38e17df89cf5d29c7d7f807e" },
		{ 137, "ac73d4fae68b8453f764007c1a20ce95994187861f0c3227a3a8e99a73a3b1db" },
		{ 271, "7c974895b2a88303ff2dc6b58f438ceb0b298cac91099ac0539cc0f477506191" },
		{ 272, "fdf2ec49e749960d3c8521a0219af8d03e30e2b3bf19bd16150ee0eaf133d66e" },
		{ 1000, "aca79e4146e30eb1c733f6d6060d72471c36ea4e01ebf45d7f4916249c2bbd82" },
	};
	uint8_t bytes[1000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t *exact = malloc(cases[i].len);   /* so that a sanitizer sees a read too far */

		memcpy(exact, bytes, cases[i].len);
		ck_assert_str_eq(digest(exact, cases[i].len), cases[i].want);
		free(exact);
	}
}
END_TEST

START_TEST(may_write_over_its_input)
{
	uint8_t bytes[32] = { 1, 2, 3 }, want[32];

	cw_keccak256(bytes, 32, want);
	cw_keccak256(bytes, 32, bytes);
	ck_assert_mem_eq(bytes, want, 32);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("keccak");
	TCase *t = tcase_create("keccak");

	tcase_add_test(t, hashes_known_texts);
	tcase_add_test(t, hashes_across_blocks);
	tcase_add_test(t, may_write_over_its_input);
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
