/* What partial records are completed with. */
#include "source/fill.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "chain/tx.h"

#define HASH "\"hash\":\"0x1111111111111111111111111111111111111111111111111111111111111111\""
#define A "0x1111111111111111111111111111111111111111"
#define B "0x2222222222222222222222222222222222222222"

static struct cw_fill *fill;
static struct cw_arena *arena;
static struct cw_buf record;

static void up(void)
{
	fill = cw_fill_new(1);
	arena = cw_arena_new();
	cw_buf_init(&record);
}

static void down(void)
{
	cw_fill_free(&fill);
	cw_arena_free(&arena);
	cw_buf_release(&record);
}

static const char *filled(const char *text)
{
	cw_buf_clear(&record);
	cw_buf_puts(&record, text);
	cw_fill_record(fill, &record);
	return record.data;
}

static struct cw_tx read_tx(const char *text)
{
	struct cw_json_error error;
	struct cw_tx_faults faults;
	struct cw_tx_in in;
	const struct cw_json *json;

	(void)filled(text);
	json = cw_json_parse(record.data, record.len, 32, arena, &error);
	ck_assert_ptr_nonnull(json);
	ck_assert_msg(cw_tx_from_json(&in, json, 1, arena, &faults) == 0, "%s %s in %s", faults.list[0].pointer, faults.list[0].what,
	              record.data);
	return in.tx;
}

static const char *say(void)
{
	static char text[400];
	struct cw_buf out = CW_BUF_INIT;

	cw_fill_tell(fill, &out);
	snprintf(text, sizeof(text), "%s", out.data);
	cw_buf_release(&out);
	return text;
}

START_TEST(test_complete_ones_stay)
{
	static const char *const same[] = {
		"{" HASH ",\"block_number\":5,\"timestamp\":9,\"from\":\"" A "\",\"value\":1,\"gas\":2,\"gasPrice\":3,\"nonce\":4,\"to\":null}",
		"{" HASH ",\"blockNumber\":5,\"block_timestamp\":\"2020-01-01T00:00:00Z\",\"from_address\":\"" A
		"\",\"gas\":2,\"receipt_effective_gas_price\":3,\"nonce\":4}",
		"nonsense", "[1,2]", "", "{}", "{\"block_number\":5}", "{\"block_number\":-5,\"from\":\"" A "\"}",
		"{\"block_number\":5,\"from\":\"0x12\"}",
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		ck_assert_str_eq(filled(same[i]), same[i]);
	ck_assert_str_eq(say(), "");
}
END_TEST

/* Rows of a data set about neighbourhoods: no gas, no price, no nonce. */
START_TEST(test_missing_parts)
{
	struct cw_tx tx = read_tx("{" HASH ",\"block_number\":100,\"timestamp\":1439718252,\"from_address\":\"" A "\",\"to_address\":\"" B
	                          "\",\"value\":\"7\",\"gas_price\":null}");

	ck_assert_uint_eq(tx.gas, 21000);
	ck_assert_uint_eq(tx.gas_price.w[0], 0);
	ck_assert_uint_eq(tx.nonce, CW_FILL_NONCE);
	ck_assert_int_eq(tx.timestamp, 1439718252);
	ck_assert_uint_eq(tx.value.w[0], 7);
	tx = read_tx("{" HASH ",\"block_number\":101,\"timestamp\":null,\"from_address\":\"" A "\",\"value\":\"7\",\"gas_used\":50000,"
	             "\"effective_gas_price\":12}");
	ck_assert_uint_eq(tx.gas, 50000);
	ck_assert_uint_eq(tx.gas_price.w[0], 12);
	ck_assert_uint_eq(tx.nonce, CW_FILL_NONCE + 1);
	tx = read_tx("{" HASH ",\"block_number\":101,\"timestamp\":1,\"from_address\":\"" B "\",\"value\":\"7\",\"gas\":1,\"gas_price\":2}");
	ck_assert_uint_eq(tx.nonce, CW_FILL_NONCE);
	ck_assert_str_eq(say(), "3 records were partial; filled in: 1 times (by block number), 2 gas limits (the gas used, or 21000), "
	                 "1 gas prices (0), 3 nonces (counted by sender)");
	ck_assert_uint_eq(cw_fill_stats(fill).records, 3);
}
END_TEST

static int64_t time_of(const char *block, const char *chain)
{
	char text[400];

	snprintf(text, sizeof(text), "{" HASH ",\"blockNumber\":%s,\"chainId\":%s,\"from\":\"" A "\",\"value\":0,\"gas\":1,"
	         "\"gasPrice\":2,\"nonce\":3}", block, chain);
	return read_tx(text).timestamp;
}

/* Times of mainnet blocks that everybody can look up. */
START_TEST(test_times_of_mainnet)
{
	static const struct { const char *block; int64_t time; } blocks[] = {
		{ "46147", 1438918233 }, { "1920000", 1469020840 }, { "4370000", 1508131331 }, { "7280000", 1551383524 },
		{ "9069000", 1575764709 }, { "12965000", 1628166822 }, { "15537394", 1663224179 }, { "17034870", 1681338479 },
		{ "19426587", 1710338135 },
	};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		int64_t off = time_of(blocks[i].block, "1") - blocks[i].time;

		ck_assert_msg(off > -21600 && off < 21600, "block %s is %ld s off", blocks[i].block, (long)off);
	}
	ck_assert_int_eq(time_of("19934126", "1"), 1716485843 + 120);
	ck_assert_int_gt(time_of("1", "1"), 1438000000);
	ck_assert_int_gt(time_of("9223372036854775807", "1"), 1716485843);
}
END_TEST

START_TEST(test_times_of_the_same_block)
{
	(void)read_tx("{" HASH ",\"blockNumber\":9191529,\"timestamp\":1577800000,\"from\":\"" A "\",\"value\":0,\"gas\":1,"
	              "\"gasPrice\":2,\"nonce\":3}");
	ck_assert_int_eq(time_of("9191529", "1"), 1577800000);
	ck_assert_int_gt(time_of("9191530", "1"), 1577806000);
}
END_TEST

/* Of other chains nothing is known; only the record before tells. */
START_TEST(test_times_of_other_chains)
{
	char text[400];

	snprintf(text, sizeof(text), "{" HASH ",\"blockNumber\":7,\"chainId\":5,\"from\":\"" A "\",\"value\":0,\"gas\":1,\"gasPrice\":2,"
	         "\"nonce\":3}");
	ck_assert_ptr_null(strstr(filled(text), "timestamp"));
	ck_assert_str_eq(say(), "");
	(void)read_tx("{" HASH ",\"blockNumber\":8,\"chainId\":5,\"timestamp\":1600000000,\"from\":\"" A "\",\"value\":0,\"gas\":1,"
	              "\"gasPrice\":2,\"nonce\":3}");
	ck_assert_int_eq(time_of("9", "5"), 1600000000);
	ck_assert_ptr_null(strstr(filled("{" HASH ",\"blockNumber\":7,\"chainId\":6,\"from\":\"" A "\"}"), "timestamp"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fill");
	TCase *t = tcase_create("fill");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, up, down);
	tcase_add_test(t, test_complete_ones_stay);
	tcase_add_test(t, test_missing_parts);
	tcase_add_test(t, test_times_of_mainnet);
	tcase_add_test(t, test_times_of_the_same_block);
	tcase_add_test(t, test_times_of_other_chains);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
