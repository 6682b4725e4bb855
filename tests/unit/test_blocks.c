/* Blocks as nodes say them, and as none should. */
#include "source/blocks.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#define H(c) "0x" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define A(c) "0x" c c c c c c c c c c c c c c c c c c c c
#define HEAD "\"number\":\"0x5\",\"hash\":\"" H("bb") "\",\"parentHash\":\"" H("aa") "\",\"timestamp\":\"0x64\""
#define TX_OF(block, more) \
	"{\"hash\":\"" H("01") "\",\"blockHash\":\"" block "\",\"blockNumber\":\"0x5\",\"transactionIndex\":\"0x0\",\"from\":\"" A("f0") \
	"\",\"value\":\"0x10\",\"gas\":\"0x5208\",\"nonce\":\"0x1\"" more "}"
#define TX(more) TX_OF(H("bb"), more)
#define BLOCK(txs) "{" HEAD ",\"transactions\":[" txs "]}"
#define RECEIPT(more) "{\"transactionHash\":\"" H("01") "\",\"blockHash\":\"" H("bb") "\",\"blockNumber\":\"0x5\"" more "}"

static struct cw_arena *arena;
static struct cw_block block;
static struct cw_err err;

static void up(void)
{
	arena = cw_arena_new();
	cw_log_set_level(NULL, CW_LOG_OFF);
}

static void down(void)
{
	cw_arena_free(&arena);
}

static const struct cw_json *parse(const char *text)
{
	struct cw_json_error fault;
	const struct cw_json *json = cw_json_parse(text, strlen(text), 16, arena, &fault);

	ck_assert_msg(json != NULL, "%s: %s", fault.what, text);
	return json;
}

static int read_block(const char *text, const char *receipts)
{
	return cw_block_read(&block, 5, 9, parse(text), receipts != NULL ? parse(receipts) : NULL, arena, &err);
}

/* Each gives the one transaction that the block has, or leaves it out and goes on. */
static const struct { const char *tx, *receipt; bool taken; } txs[] = {
	{ TX(",\"gasPrice\":\"0x7\""), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"to\":null,\"chainId\":null"), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"type\":\"0x7e\",\"mint\":\"0x0\",\"sourceHash\":\"" H("99") "\",\"isSystemTx\":false"), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"type\":\"0x4\",\"authorizationList\":[{\"chainId\":\"0x1\",\"r\":\"0x1\"}]"), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"type\":\"0x99\",\"blobVersionedHashes\":[[[]]]"), NULL, true },
	{ TX(",\"gasPrice\":\"0x00007\",\"v\":\"0x1b\",\"r\":\"0x1\",\"s\":\"0x2\""), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"data\":\"0xABcd\""), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"input\":\"0xabcd\",\"data\":\"0xABCD\""), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"input\":\"0xabcd\",\"data\":\"0xabce\""), NULL, false },
	{ TX(",\"maxFeePerGas\":\"0x7\""), NULL, true },
	{ TX(",\"gasPrice\":\"0x7\",\"to\":\"0x\""), RECEIPT(",\"to\":\"\",\"contractAddress\":\"" A("00") "\""), true },
	{ TX(",\"gasPrice\":\"0x7\",\"to\":\"0xAAaaAaaaaaAAAAAaAAAAAAAAAAAAAAAAAAAAAAAA\""), NULL, true },   /* a checksum of its own */
	{ TX(",\"maxFeePerGas\":\"0x9\""), RECEIPT(",\"effectiveGasPrice\":\"0x7\",\"status\":\"0x1\",\"gasUsed\":\"0x1\",\"logs\":[]"), true },
	{ TX(",\"gasPrice\":\"0x9\""), RECEIPT(",\"effectiveGasPrice\":\"0x7\",\"root\":\"" H("22") "\",\"status\":null"), true },
	{ TX(",\"gasPrice\":\"0x7\""), RECEIPT(",\"gasUsed\":\"0x10000000000000000\""), false },
	{ TX(",\"gasPrice\":\"0x7\""), RECEIPT(",\"status\":\"0x2\""), false },
	{ TX(",\"gasPrice\":\"0x7\""), RECEIPT(",\"from\":\"" A("f1") "\""), false },        /* says something else */
	{ TX(",\"gasPrice\":\"0x7\""), RECEIPT(",\"logs\":[{\"address\":\"" A("cc") "\",\"topics\":[\"0x1\"],\"data\":\"0x\"}]"), false },
	{ TX(",\"gasPrice\":\"0x7\",\"to\":\"0x12\""), NULL, false },
	{ TX(",\"gasPrice\":\"-1\""), NULL, false },
	{ TX(",\"gasPrice\":\"0x1" "0000000000000000000000000000000000000000000000000000000000000000\""), NULL, false },
	{ TX(",\"gasPrice\":7.5"), NULL, false },
	{ TX(",\"gasPrice\":\"0x\""), NULL, false },
};

START_TEST(odd_transactions_are_taken_or_left_out)
{
	struct cw_buf text = CW_BUF_INIT, list = CW_BUF_INIT;

	cw_buf_printf(&text, "{" HEAD ",\"transactions\":[%s]}", txs[_i].tx);
	cw_buf_printf(&list, "[%s]", txs[_i].receipt != NULL ? txs[_i].receipt : "");
	ck_assert_msg(read_block(text.data, txs[_i].receipt != NULL ? list.data : NULL) == 0, "%s", err.msg);
	ck_assert_msg(block.ntxs == txs[_i].taken && block.skipped == !txs[_i].taken, "%s", text.data);
	if (txs[_i].taken) {
		const struct cw_tx *tx = &block.txs[0].tx;

		ck_assert_uint_eq(tx->chain_id, 9);
		ck_assert_uint_eq(tx->gas_price.w[0], 7);
		ck_assert_int_eq(tx->timestamp, 100);
		ck_assert_uint_eq(tx->block_number, 5);
	}
	cw_buf_release(&text);
	cw_buf_release(&list);
}
END_TEST

/* Another node should be asked. */
static const struct { const char *block, *receipts, *what; } faults[] = {
	{ "7", NULL, "a block is no object" },
	{ "[]", NULL, "a block is no object" },
	{ "{}", NULL, "a block has no number" },
	{ "{\"number\":\"five\"}", NULL, "a block has no number" },
	{ "{\"number\":\"0x10000000000000005\"}", NULL, "a block has no number" },
	{ "{\"number\":\"0x5\",\"hash\":\"0x1\"}", NULL, "block 5 has no hash or parentHash" },
	{ "{\"number\":\"0x5\",\"hash\":null,\"parentHash\":\"" H("aa") "\"}", NULL, "block 5 has no hash or parentHash" },
	{ "{\"number\":\"0x5\",\"hash\":\"" H("bb") "\",\"parentHash\":\"" H("aa") "\"}", NULL, "block 5 has no timestamp" },
	{ "{\"number\":\"0x5\",\"hash\":\"" H("bb") "\",\"parentHash\":\"" H("aa") "\",\"timestamp\":\"0xffffffffffff\"}", NULL,
	  "block 5 has no timestamp" },
	{ "{\"number\":\"0x6\",\"hash\":\"" H("bb") "\",\"parentHash\":\"" H("aa") "\",\"timestamp\":1}", NULL, "asked for block 5, got 6" },
	{ "{" HEAD "}", NULL, "block 5 has no list of transactions" },
	{ "{" HEAD ",\"transactions\":{}}", NULL, "block 5 has no list of transactions" },
	{ BLOCK("\"" H("01") "\""), NULL, "block 5 has no full transactions" },
	{ BLOCK("null"), NULL, "block 5 has no full transactions" },
	{ BLOCK(TX_OF(H("bc"), ",\"gasPrice\":1")), NULL, "a transaction of block 5 is of another block" },
	{ BLOCK(TX(",\"gasPrice\":1")), "{}", "block 5 has 1 transactions and 0 receipts" },
	{ BLOCK(TX(",\"gasPrice\":1")), "[]", "block 5 has 1 transactions and 0 receipts" },
	{ BLOCK(""), "[" RECEIPT("") "]", "block 5 has 0 transactions and 1 receipts" },
	{ BLOCK(TX(",\"gasPrice\":1")), "[null]", "a receipt of block 5 is of another transaction" },
	{ BLOCK(TX(",\"gasPrice\":1")), "[{\"blockHash\":\"" H("bc") "\"}]", "a receipt of block 5 is of another block" },
	{ BLOCK(TX(",\"gasPrice\":1")), "[{\"blockHash\":\"" H("bb") "\"}]", "a receipt of block 5 is of another transaction" },
	{ BLOCK(TX(",\"gasPrice\":1")), "[{\"blockHash\":\"" H("bb") "\",\"transactionHash\":\"" H("02") "\"}]",
	  "a receipt of block 5 is of another transaction" },
};

START_TEST(what_does_not_fit_together_is_the_nodes_fault)
{
	ck_assert_int_eq(read_block(faults[_i].block, faults[_i].receipts), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, faults[_i].what);
}
END_TEST

/* What is not said is of the block; receipts find their transactions. */
START_TEST(what_a_node_leaves_out_and_puts_in_another_order)
{
	ck_assert_msg(read_block("{" HEAD ",\"transactions\":[{\"hash\":\"" H("01") "\",\"from\":\"" A("f0") "\",\"value\":\"0x1\"},"
	              "{\"hash\":\"" H("02") "\",\"from\":\"" A("f0") "\",\"value\":\"0x2\"}]}",
	              "[{\"transactionHash\":\"" H("02") "\",\"status\":\"0x0\"},{\"transactionHash\":\"" H("01") "\",\"status\":\"0x1\"}]") == 0,
	              "%s", err.msg);
	ck_assert_uint_eq(block.ntxs, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct cw_tx *tx = &block.txs[i].tx;

		ck_assert_uint_eq(tx->block_number, 5);
		ck_assert_uint_eq(tx->index, i);
		ck_assert_uint_eq(tx->value.w[0], i + 1);
		ck_assert_uint_eq(tx->status, 1 - i);
		ck_assert_mem_eq(&tx->block_hash, &block.hash, sizeof(block.hash));
		ck_assert_uint_eq(tx->has & (CW_TX_HAS_BLOCK_HASH | CW_TX_HAS_INDEX | CW_TX_HAS_STATUS | CW_TX_HAS_CREATED | CW_TX_HAS_TO),
		                  CW_TX_HAS_BLOCK_HASH | CW_TX_HAS_INDEX | CW_TX_HAS_STATUS);
		ck_assert_uint_eq(tx->gas_price.w[0] + tx->gas + tx->nonce, 0);
	}
}
END_TEST

START_TEST(hashes_of_both_forms)
{
	const char *hashes[2];

	ck_assert_uint_eq(cw_block_hashes(parse("{}"), hashes, 2), 0);
	ck_assert_uint_eq(cw_block_hashes(parse("{\"transactions\":7}"), hashes, 2), 0);
	ck_assert_uint_eq(cw_block_hashes(parse("{\"transactions\":[\"0x1\",{\"hash\":\"0x2\"},null,{}]}"), hashes, 2), 4);
	ck_assert_str_eq(hashes[0], "0x1");
	ck_assert_str_eq(hashes[1], "0x2");
	ck_assert_uint_eq(cw_block_hashes(parse("{\"transactions\":[7,{\"hash\":7}]}"), hashes, 2), 2);
	ck_assert_str_eq(hashes[0], "");
	ck_assert_str_eq(hashes[1], "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("blocks");
	TCase *tc = tcase_create("blocks");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_add_loop_test(tc, odd_transactions_are_taken_or_left_out, 0, (int)(sizeof(txs) / sizeof(*txs)));
	tcase_add_loop_test(tc, what_does_not_fit_together_is_the_nodes_fault, 0, (int)(sizeof(faults) / sizeof(*faults)));
	tcase_add_test(tc, what_a_node_leaves_out_and_puts_in_another_order);
	tcase_add_test(tc, hashes_of_both_forms);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
