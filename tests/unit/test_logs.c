#include "chain/logs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "chain/abi.h"
#include "chain/tx.h"

#define MAX256 "115792089237316195423570985008687907853269984665640564039457584007913129639935"
#define TRANSFER "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
#define ADDR_A "0x00000000000000000000000000000000000000aa"
#define ADDR_B "0x00000000000000000000000000000000000000bb"
#define ADDR_C "0x00000000000000000000000000000000000000cc"
#define PAD "0x000000000000000000000000"
#define WORD_A PAD "00000000000000000000000000000000000000aa"
#define WORD_B PAD "00000000000000000000000000000000000000bb"
#define W(last) "00000000000000000000000000000000000000000000000000000000000000" last

static struct cw_arena *arena;
static struct cw_tx_faults faults;
static struct cw_tx tx;
static struct cw_buf out;

static void setup(void)
{
	arena = cw_arena_new();
	cw_buf_init(&out);
	memset(&tx, 0, sizeof(tx));
	faults.count = 0;
}

static void teardown(void)
{
	cw_arena_free(&arena);
	cw_buf_release(&out);
}

static int read_list(const char *text)
{
	struct cw_json_error error;
	const struct cw_json *json = cw_json_parse(text, strlen(text), CW_JSON_DEPTH_DEFAULT, arena, &error);

	ck_assert_msg(json != NULL, "%s: %s", text, error.what);
	faults.count = 0;
	memset(&tx, 0, sizeof(tx));
	return cw_logs_from_json(&tx, json, arena, &faults);
}

/* One raw log of the event with this signature; `indexed` topics and `data` as JSON text. */
static const struct cw_tx_log *one(const char *signature, const char *indexed, const char *data)
{
	struct cw_hash topic = cw_topic_of(signature);
	char text[2048], hash[CW_HASH_TEXT];

	snprintf(text, sizeof(text), "[{\"address\":\"" ADDR_C "\",\"logIndex\":\"0x7\",\"topics\":[\"%s\"%s%s],\"data\":\"0x%s\"}]",
	         cw_hash_format(&topic, hash), indexed[0] != '\0' ? "," : "", indexed, data);
	ck_assert_msg(read_list(text) == 0, "%s: %s %s", signature, faults.list[0].pointer, faults.list[0].what);
	ck_assert_uint_ge(tx.nlogs, 1);
	ck_assert_uint_eq(tx.logs[0].index, 7);
	ck_assert_int_eq(tx.logs[0].address.b[19], 0xcc);
	return &tx.logs[0];
}

/* It comes back the same from the stored form and from JSON. */
static void same_after_round_trips(void)
{
	struct cw_tx packed = { .has = 0 }, again;
	const struct cw_json *json;

	cw_buf_clear(&out);
	cw_logs_pack(&out, &tx);
	ck_assert(cw_logs_unpack(&packed, (const uint8_t *)out.data, out.len, arena));
	ck_assert_uint_eq(packed.nlogs, tx.nlogs);
	ck_assert_uint_eq(packed.logs_total, tx.logs_total);
	ck_assert(packed.has & CW_TX_HAS_LOGS);
	if (tx.nlogs > 0)
		ck_assert_mem_eq(packed.logs, tx.logs, tx.nlogs * sizeof(*tx.logs));
	cw_buf_clear(&out);
	cw_logs_put_json(&out, &tx);
	if (tx.logs_total > tx.nlogs)
		*strrchr(out.data, ',') = '\0';     /* logsTotal is the transaction's */
	json = cw_json_parse(out.data, strlen(out.data), 8, arena, NULL);
	ck_assert_msg(json != NULL, "%s", out.data);
	memset(&again, 0, sizeof(again));
	ck_assert_int_eq(cw_logs_from_json(&again, json, arena, &faults), 0);
	ck_assert_uint_eq(again.nlogs, tx.nlogs);
	if (tx.nlogs > 0)
		ck_assert_mem_eq(again.logs, tx.logs, tx.nlogs * sizeof(*tx.logs));
}

static uint64_t low(const struct cw_u256 *amount)
{
	ck_assert(cw_u256_fits_u64(amount));
	return amount->w[0];
}

START_TEST(topics_are_the_hash_of_their_signatures)
{
	static const struct { const char *signature; enum cw_log_kind kind; const char *indexed, *data; } cases[] = {
		{ "Transfer(address,address,uint256)", CW_LOG_TRANSFER, "\"" WORD_A "\",\"" WORD_B "\"", W("05") },
		{ "Approval(address,address,uint256)", CW_LOG_APPROVAL, "\"" WORD_A "\",\"" WORD_B "\"", W("05") },
		{ "ApprovalForAll(address,address,bool)", CW_LOG_APPROVAL_FOR_ALL, "\"" WORD_A "\",\"" WORD_B "\"", W("01") },
		{ "Deposit(address,uint256)", CW_LOG_DEPOSIT, "\"" WORD_A "\"", W("05") },
		{ "Withdrawal(address,uint256)", CW_LOG_WITHDRAWAL, "\"" WORD_A "\"", W("05") },
		{ "OwnershipTransferred(address,address)", CW_LOG_OWNERSHIP_TRANSFERRED, "\"" WORD_A "\",\"" WORD_B "\"", "" },
		{ "OwnershipTransferred(address,address)", CW_LOG_OWNERSHIP_TRANSFERRED, "", W("aa") W("bb") },
		{ "Upgraded(address)", CW_LOG_UPGRADED, "\"" WORD_A "\"", "" },
		{ "BeaconUpgraded(address)", CW_LOG_UPGRADED, "\"" WORD_A "\"", "" },
		{ "AdminChanged(address,address)", CW_LOG_ADMIN_CHANGED, "", W("aa") W("bb") },
		{ "RoleGranted(bytes32,address,address)", CW_LOG_ROLE_GRANTED,
		  "\"" TRANSFER "\",\"" WORD_A "\",\"" WORD_B "\"", "" },
		{ "RoleRevoked(bytes32,address,address)", CW_LOG_ROLE_REVOKED,
		  "\"" TRANSFER "\",\"" WORD_A "\",\"" WORD_B "\"", "" },
		{ "Paused(address)", CW_LOG_PAUSED, "", W("aa") },
		{ "Unpaused(address)", CW_LOG_UNPAUSED, "", W("aa") },
		{ "FlashLoan(address,address,address,uint256,uint256,uint16)", CW_LOG_FLASH_LOAN,
		  "\"" WORD_A "\",\"" WORD_B "\",\"" WORD_A "\"", W("64") W("01") W("00") },
		{ "FlashLoan(address,address,address,uint256,uint8,uint256,uint16)", CW_LOG_FLASH_LOAN,
		  "\"" WORD_A "\",\"" WORD_B "\",\"" WORD_A "\"", W("aa") W("64") W("00") W("01") },
		{ "FlashLoan(address,address,uint256,uint256)", CW_LOG_FLASH_LOAN, "\"" WORD_A "\",\"" WORD_B "\"",
		  W("64") W("01") },
		{ "FlashLoan(address,address,uint256,uint256)", CW_LOG_FLASH_LOAN, "\"" WORD_A "\"", W("bb") W("64") W("01") },
		{ "Flash(address,address,uint256,uint256,uint256,uint256)", CW_LOG_FLASH_LOAN,
		  "\"" WORD_A "\",\"" WORD_B "\"", W("64") W("00") W("01") W("00") },
		{ "LogCall(address,uint256,address)", CW_LOG_FLASH_LOAN, "\"" WORD_A "\"", W("00") W("bb") },
		{ "Swap(address,uint256,uint256,uint256,uint256,address)", CW_LOG_SWAP, "\"" WORD_A "\",\"" WORD_B "\"",
		  W("05") W("00") W("00") W("09") },
		{ "Swap(address,address,int256,int256,uint160,uint128,int24)", CW_LOG_SWAP, "\"" WORD_A "\",\"" WORD_B "\"",
		  W("05") W("00") W("00") W("09") W("00") },
		{ "Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)", CW_LOG_SWAP,
		  "\"" WORD_A "\",\"" WORD_B "\"", W("05") W("00") W("00") W("09") W("00") W("00") W("00") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct cw_tx_log *log = one(cases[i].signature, cases[i].indexed, cases[i].data);

		ck_assert_msg(log->kind == cases[i].kind, "%s is \"%s\"", cases[i].signature,
		              cw_log_kind_name((enum cw_log_kind)log->kind));
		same_after_round_trips();
	}
}
END_TEST

START_TEST(token_amounts_are_exact)
{
	const struct cw_tx_log *log = one("Transfer(address,address,uint256)", "\"" WORD_A "\",\"" WORD_B "\"",
	                                  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff");
	char digits[CW_U256_DECIMAL_MAX];

	cw_u256_format_decimal(&log->amount, digits);
	ck_assert_str_eq(digits, MAX256);
	ck_assert_int_eq(log->standard, CW_TOKEN_ERC20);
	ck_assert_int_eq(log->from.b[19], 0xaa);
	ck_assert_int_eq(log->to.b[19], 0xbb);
	log = one("Transfer(address,address,uint256)", "\"" WORD_A "\",\"" WORD_B "\",\"0x" W("07") "\"", "");
	ck_assert_int_eq(log->standard, CW_TOKEN_ERC721);
	ck_assert_uint_eq(low(&log->extra), 7);
	ck_assert_uint_eq(low(&log->amount), 1);
}
END_TEST

START_TEST(swaps_say_what_came_in_and_what_went_out)
{
	static const char *const v2 = "Swap(address,uint256,uint256,uint256,uint256,address)";
	static const char *const v3 = "Swap(address,address,int256,int256,uint160,uint128,int24)";
	static const char *const parties = "\"" WORD_A "\",\"" WORD_B "\"";
	const struct cw_tx_log *log = one(v2, parties, W("05") W("00") W("00") W("09"));

	ck_assert_uint_eq(low(&log->amount), 5);
	ck_assert_uint_eq(low(&log->extra), 9);
	ck_assert(log->has & CW_LOG_FLAG);
	log = one(v2, parties, W("02") W("08") W("06") W("00"));          /* a flash swap: net of token0 went out */
	ck_assert_uint_eq(low(&log->amount), 8);
	ck_assert_uint_eq(low(&log->extra), 4);
	ck_assert(!(log->has & CW_LOG_FLAG));
	log = one(v3, parties, "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd" W("0b") W("01") W("01") W("01"));
	ck_assert_uint_eq(low(&log->amount), 11);
	ck_assert_uint_eq(low(&log->extra), 3);
	ck_assert(!(log->has & CW_LOG_FLAG));
	/* The least number there is. */
	log = one(v3, parties, "8000000000000000000000000000000000000000000000000000000000000000" W("01") W("01") W("01") W("01"));
	ck_assert_uint_eq(log->extra.w[3], 1ull << 63);
}
END_TEST

START_TEST(batch_gives_one_entry_for_each_token)
{
	const struct cw_tx_log *log = one("TransferBatch(address,address,address,uint256[],uint256[])",
	                                  "\"" WORD_A "\",\"" WORD_A "\",\"" WORD_B "\"",
	                                  W("40") W("a0") W("02") W("01") W("02") W("02") W("0a") W("14"));

	ck_assert_uint_eq(tx.nlogs, 2);
	ck_assert_uint_eq(low(&log[0].extra), 1);
	ck_assert_uint_eq(low(&log[0].amount), 10);
	ck_assert_uint_eq(low(&log[1].extra), 2);
	ck_assert_uint_eq(low(&log[1].amount), 20);
	ck_assert_uint_eq(log[1].index, 7);
	ck_assert_int_eq(log[1].standard, CW_TOKEN_ERC1155);
	same_after_round_trips();
	one("Flash(address,address,uint256,uint256,uint256,uint256)", "\"" WORD_A "\",\"" WORD_B "\"",
	    W("64") W("32") W("02") W("01"));
	ck_assert_uint_eq(tx.nlogs, 2);
	ck_assert_uint_eq(low(&tx.logs[1].amount), 0x32);
	ck_assert_uint_eq(low(&tx.logs[1].extra), 1);
}
END_TEST

START_TEST(what_is_no_standard_event_is_other)
{
	static const struct { const char *signature, *indexed, *data; } cases[] = {
		{ "Transfer(address,address,uint256)", "\"" WORD_A "\",\"" WORD_B "\"", "" },
		{ "Transfer(address,address,uint256)", "\"" TRANSFER "\",\"" WORD_B "\"", W("05") },
		{ "Paused(address)", "", W("aa") W("bb") },
		{ "Paused(address)", "", "aa" },
		{ "Upgraded(address)", "\"" TRANSFER "\"", "" },
		{ "RoleGranted(bytes32,address,address)", "", W("00") W("aa") W("bb") },
		{ "Swap(address,uint256,uint256,uint256,uint256,address)", "", W("05") W("00") W("00") W("09") W("aa") W("bb") },
		{ "Nothing(address)", "", W("aa") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct cw_tx_log *log = one(cases[i].signature, cases[i].indexed, cases[i].data);

		ck_assert_msg(log->kind == CW_LOG_OTHER, "%zu", i);
		ck_assert_int_eq(log->has, CW_LOG_HAS_TOPIC);
		ck_assert_uint_eq(log->data_size, strlen(cases[i].data) / 2);
		same_after_round_trips();
	}
	ck_assert_int_eq(read_list("[{\"address\":\"" ADDR_A "\",\"topics\":[],\"data\":\"0x\"}]"), 0);
	ck_assert_int_eq(tx.logs[0].has, 0);
	same_after_round_trips();
}
END_TEST

static void add_kinds(struct cw_logs *logs, enum cw_log_kind kind, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct cw_tx_log log = { .kind = (uint8_t)kind, .index = logs->total };

		cw_logs_add(logs, &log);
	}
}

START_TEST(full_list_prefers_what_has_a_meaning)
{
	static struct cw_tx_log list[CW_TX_LOGS_MAX];
	struct cw_logs logs = { .list = list };

	add_kinds(&logs, CW_LOG_TRANSFER, 2);
	add_kinds(&logs, CW_LOG_OTHER, 100);
	add_kinds(&logs, CW_LOG_PAUSED, 1);
	ck_assert_uint_eq(logs.n, CW_TX_LOGS_MAX);
	ck_assert_uint_eq(logs.total, 103);
	ck_assert_uint_eq(list[63].index, 102);
	ck_assert_uint_eq(list[62].index, 62);        /* the last other one made way */
	add_kinds(&logs, CW_LOG_TRANSFER, 100);
	ck_assert_uint_eq(list[0].index, 0);
	ck_assert_uint_eq(list[2].index, 102);
	ck_assert_uint_eq(list[63].index, 163);
	ck_assert_uint_eq(logs.total, 203);
	tx.logs = list;
	tx.nlogs = logs.n;
	tx.logs_total = logs.total;
	same_after_round_trips();
}
END_TEST

START_TEST(faults_say_where)
{
	static const struct { const char *list, *pointer, *what; } cases[] = {
		{ "{}", "/logs", "must be a list" },
		{ "[1]", "/logs/0", "must be an object" },
		{ "[{\"topics\":[]}]", "/logs/0/address", "is required" },
		{ "[{\"address\":\"0x1\",\"topics\":[]}]", "/logs/0/address", "must be 0x and 40 hex digits" },
		{ "[{\"address\":\"" ADDR_A "\",\"topics\":[\"0x1\"]}]", "/logs/0/topics/0", "must be 0x and 64 hex digits" },
		{ "[{\"address\":\"" ADDR_A "\"}]", "/logs/0/topics", "must be a list of at most 4 hashes" },
		{ "[{\"address\":\"" ADDR_A "\",\"topics\":[1,2,3,4,5]}]", "/logs/0/topics", "must be a list of at most 4 hashes" },
		{ "[{\"address\":\"" ADDR_A "\",\"topics\":[],\"data\":\"0x1\"}]", "/logs/0/data",
		  "must be 0x and an even number of hex digits" },
		{ "[{\"address\":\"" ADDR_A "\",\"topics\":[],\"data\":7}]", "/logs/0/data",
		  "must be 0x and an even number of hex digits" },
		{ "[{\"address\":\"" ADDR_A "\",\"topics\":[]},{\"address\":\"" ADDR_A "\",\"topics\":[],\"logIndex\":-1}]",
		  "/logs/1/logIndex", "must be a non-negative integer below 2^31" },
		{ "[{\"kind\":\"gift\",\"address\":\"" ADDR_A "\"}]", "/logs/0/kind", "is not one of the kinds of logs" },
		{ "[{\"kind\":\"transfer\",\"address\":\"" ADDR_A "\",\"amount\":1.5}]", "/logs/0/amount",
		  "must be a non-negative integer below 2^256" },
		{ "[{\"kind\":\"transfer\",\"address\":\"" ADDR_A "\",\"standard\":\"erc5\"}]", "/logs/0/standard",
		  "must be erc20, erc721 or erc1155" },
		{ "[{\"kind\":\"swap\",\"address\":\"" ADDR_A "\",\"zeroForOne\":1}]", "/logs/0/zeroForOne",
		  "must be true or false" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_msg(read_list(cases[i].list) == -1, "%s", cases[i].list);
		ck_assert_str_eq(faults.list[0].pointer, cases[i].pointer);
		ck_assert_str_eq(faults.list[0].what, cases[i].what);
		ck_assert_ptr_null(tx.logs);
	}
}
END_TEST

START_TEST(stored_bytes_that_make_no_sense_are_refused)
{
	struct cw_tx bad = { .has = 0 };

	one("Transfer(address,address,uint256)", "\"" WORD_A "\",\"" WORD_B "\"", W("05"));
	cw_logs_pack(&out, &tx);
	for (size_t len = 0; len < out.len; len++)
		ck_assert(!cw_logs_unpack(&bad, (const uint8_t *)out.data, len, arena));
	cw_buf_putc(&out, 'x');
	ck_assert(!cw_logs_unpack(&bad, (const uint8_t *)out.data, out.len, arena));
	ck_assert(!cw_logs_unpack(&bad, (const uint8_t *)"\x01\xff\xff\xff\xff\xff\x01", 7, arena));
	ck_assert(!cw_logs_unpack(&bad, (const uint8_t *)"\x02\x00\x00", 3, arena));
	ck_assert_uint_eq(bad.has, 0);
	ck_assert(cw_logs_unpack(&bad, (const uint8_t *)"\x01\x00\x00", 3, arena));
	ck_assert_ptr_null(bad.logs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("logs");
	TCase *tc = tcase_create("logs");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, topics_are_the_hash_of_their_signatures);
	tcase_add_test(tc, token_amounts_are_exact);
	tcase_add_test(tc, swaps_say_what_came_in_and_what_went_out);
	tcase_add_test(tc, batch_gives_one_entry_for_each_token);
	tcase_add_test(tc, what_is_no_standard_event_is_other);
	tcase_add_test(tc, full_list_prefers_what_has_a_meaning);
	tcase_add_test(tc, faults_say_where);
	tcase_add_test(tc, stored_bytes_that_make_no_sense_are_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
