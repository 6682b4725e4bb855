#include "chain/tx.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#define HASH "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"
#define FROM "0xa1e4380a3b1f749673e270229993ee55f35663b4"
#define TO "0x5df9b87991262f6ba471f09758cde1c0fc1de734"
#define MAX256 "115792089237316195423570985008687907853269984665640564039457584007913129639935"

static struct cw_arena *arena;
static struct cw_tx_faults faults;
static struct cw_tx_in in;
static struct cw_buf out;

static void setup(void)
{
	arena = cw_arena_new();
	cw_buf_init(&out);
}

static void teardown(void)
{
	cw_arena_free(&arena);
	cw_buf_release(&out);
}

static int read_text(const char *text)
{
	struct cw_json_error error;
	const struct cw_json *json = cw_json_parse(text, strlen(text), CW_JSON_DEPTH_DEFAULT, arena, &error);

	ck_assert_msg(json != NULL, "%s: %s", text, error.what);
	return cw_tx_from_json(&in, json, 1, arena, &faults);
}

/* A good transaction in which `name` has the JSON `value`; NULL leaves it out. */
static int read_with(const char *name, const char *value)
{
	static const char *const good[][2] = {
		{ "hash", "\"" HASH "\"" }, { "blockNumber", "46147" }, { "timestamp", "1438918233" }, { "from", "\"" FROM "\"" },
		{ "to", "\"" TO "\"" }, { "value", "\"31337\"" }, { "gas", "21000" }, { "gasPrice", "50000000000000" },
		{ "nonce", "0" },
	};
	struct cw_buf text = CW_BUF_INIT;
	bool seen = false;
	int rc;

	cw_buf_puts(&text, "{\"unknown\":[{}]");
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		bool mine = strcmp(good[i][0], name) == 0;

		seen = seen || mine;
		if (!mine || value != NULL)
			cw_buf_printf(&text, ",\"%s\":%s", good[i][0], mine ? value : good[i][1]);
	}
	if (!seen)
		cw_buf_printf(&text, ",\"%s\":%s", name, value);
	cw_buf_putc(&text, '}');
	rc = read_text(text.data);
	cw_buf_release(&text);
	return rc;
}

static void expect_fault(const char *pointer, const char *what)
{
	for (int i = 0; i < faults.count; i++)
		if (strcmp(faults.list[i].pointer, pointer) == 0) {
			ck_assert_str_eq(faults.list[i].what, what);
			return;
		}
	ck_abort_msg("no fault at %s (of %d, first %s %s)", pointer, faults.count, faults.list[0].pointer, faults.list[0].what);
}

START_TEST(reads_json_rpc_names)
{
	char text[CW_U256_DECIMAL_MAX];

	ck_assert_int_eq(read_text(
		"{\"hash\":\"" HASH "\",\"blockNumber\":\"0xb443\",\"blockHash\":\"" HASH "\",\"transactionIndex\":\"0x5\","
		"\"timestamp\":\"0x55c42659\",\"from\":\"" FROM "\",\"to\":\"" TO "\",\"value\":\"0xde0b6b3a7640000\","
		"\"gas\":\"0x5208\",\"gasPrice\":\"" MAX256 "\",\"gasUsed\":\"0x5207\",\"nonce\":\"9223372036854775807\","
		"\"input\":\"0xa9059cbb00\",\"chainId\":\"0x89\",\"status\":\"0x1\",\"type\":\"0x2\",\"v\":\"0x1b\",\"accessList\":[]}"), 0);
	ck_assert_uint_eq(in.tx.block_number, 46147);
	ck_assert_mem_eq(&in.tx.block_hash, &in.tx.hash, 32);
	ck_assert_uint_eq(in.tx.index, 5);
	ck_assert_int_eq(in.tx.timestamp, 1438918233);
	ck_assert_uint_eq(in.tx.from.b[0], 0xa1);
	ck_assert_uint_eq(in.tx.to.b[19], 0x34);
	ck_assert_uint_eq(in.tx.value.w[0], 1000000000000000000u);
	cw_u256_format_decimal(&in.tx.gas_price, text);
	ck_assert_str_eq(text, MAX256);
	ck_assert_uint_eq(in.tx.gas, 21000);
	ck_assert_uint_eq(in.tx.gas_used, 20999);
	ck_assert_uint_eq(in.tx.nonce, INT64_MAX);
	ck_assert_uint_eq(in.tx.chain_id, 137);
	ck_assert_uint_eq(in.tx.status, 1);
	ck_assert_uint_eq(in.tx.seq, 0);
	ck_assert_uint_eq(in.tx.has, CW_TX_HAS_TO | CW_TX_HAS_GAS_USED | CW_TX_HAS_STATUS | CW_TX_HAS_BLOCK_HASH |
	                  CW_TX_HAS_INDEX | CW_TX_HAS_INPUT);
	ck_assert_uint_eq(in.tx.input_size, 5);
	ck_assert_uint_eq(in.tx.input_head_size, 5);
	ck_assert_mem_eq(in.tx.input_head, "\xa9\x05\x9c\xbb\x00", 5);
	ck_assert_uint_eq(in.input_len, 5);
}
END_TEST

START_TEST(reads_snake_case_names)
{
	ck_assert_int_eq(read_text(
		"{\"hash\":\"" HASH "\",\"block_number\":46147,\"block_hash\":null,\"transaction_index\":0,\"timestamp\":\"1438918233\","
		"\"from_address\":\"" FROM "\",\"to_address\":null,\"value\":31337,\"gas\":\"21000\",\"gas_price\":50000000000000,"
		"\"gas_used\":null,\"nonce\":7,\"input_data\":\"0x\",\"chain_id\":10,\"status\":false,\"label\":null}"), 0);
	ck_assert_uint_eq(in.tx.has, CW_TX_HAS_STATUS | CW_TX_HAS_INDEX | CW_TX_HAS_INPUT);
	ck_assert_uint_eq(in.tx.chain_id, 10);
	ck_assert_uint_eq(in.tx.nonce, 7);
	ck_assert_uint_eq(in.tx.input_size, 0);
}
END_TEST

START_TEST(least_transaction)
{
	ck_assert_int_eq(read_with("unknown2", "true"), 0);
	ck_assert_uint_eq(in.tx.has, CW_TX_HAS_TO);
	ck_assert_uint_eq(in.tx.chain_id, 1);
	ck_assert_ptr_null(in.input);
	ck_assert_int_eq(read_with("to", NULL), 0);
	ck_assert_uint_eq(in.tx.has, 0);
}
END_TEST

START_TEST(every_missing_field_is_named)
{
	static const char *const required[] = { "hash", "blockNumber", "timestamp", "from", "value", "gas", "gasPrice", "nonce" };
	char pointer[32];

	ck_assert_int_eq(read_text("{}"), -1);
	ck_assert_int_eq(faults.count, 8);
	for (size_t i = 0; i < sizeof(required) / sizeof(*required); i++) {
		snprintf(pointer, sizeof(pointer), "/%s", required[i]);
		expect_fault(pointer, "is required");
	}
	for (size_t i = 0; i < sizeof(required) / sizeof(*required); i++) {
		snprintf(pointer, sizeof(pointer), "/%s", required[i]);
		ck_assert_int_eq(read_with(required[i], "null"), -1);
		ck_assert_int_eq(faults.count, 1);
		expect_fault(pointer, "is required");
	}
}
END_TEST

#define BAD256 "must be a non-negative integer below 2^256"
#define BAD63 "must be a non-negative integer below 2^63"
#define BAD31 "must be a non-negative integer below 2^31"
#define BADHASH "must be 0x and 64 hex digits"
#define BADADDRESS "must be 0x and 40 hex digits"
#define BADTIME "must be seconds since 1970 or an RFC 3339 time, before the year 10000"
#define BADSTATUS "must be 0, 1, true or false"
#define BADINPUT "must be 0x and an even number of hex digits"

static const struct { const char *name, *value, *what; } wrong[] = {
	{ "value", "-1", BAD256 }, { "value", "-0", BAD256 }, { "value", "1.0", BAD256 }, { "value", "1e18", BAD256 },
	{ "value", "\"\"", BAD256 }, { "value", "\" 1\"", BAD256 }, { "value", "\"1 \"", BAD256 }, { "value", "\"-1\"", BAD256 },
	{ "value", "\"1.5\"", BAD256 }, { "value", "\"1e18\"", BAD256 }, { "value", "\"0x\"", BAD256 }, { "value", "\"0xg\"", BAD256 },
	{ "value", "\"0X1\"", BAD256 }, { "value", "true", BAD256 }, { "value", "[1]", BAD256 }, { "value", "{}", BAD256 },
	{ "value", "\"1 ether\"", BAD256 }, { "value", "1" MAX256, BAD256 },
	{ "value", "115792089237316195423570985008687907853269984665640564039457584007913129639936", BAD256 },
	{ "value", "\"0x10000000000000000000000000000000000000000000000000000000000000000\"", BAD256 },
	{ "gasPrice", "-5", BAD256 }, { "gasPrice", "0.5", BAD256 }, { "gas", "9223372036854775808", BAD63 },
	{ "gas", "\"0x8000000000000000\"", BAD63 }, { "gas", "18446744073709551616", BAD63 }, { "gas", "21000.0", BAD63 },
	{ "nonce", "-1", BAD63 }, { "nonce", "\"\"", BAD63 }, { "blockNumber", "\"latest\"", BAD63 }, { "blockNumber", MAX256, BAD63 },
	{ "gasUsed", "\"x\"", BAD63 }, { "chainId", "-1", BAD63 }, { "chainId", "\"mainnet\"", BAD63 }, { "chain_id", "1.5", BAD63 },
	{ "transactionIndex", "2147483648", BAD31 }, { "hash", "\"0x12\"", BADHASH }, { "hash", "12", BADHASH },
	{ "hash", "\"\"", BADHASH }, { "hash", "\"" HASH "0\"", BADHASH }, { "blockHash", "\"0x\"", BADHASH },
	{ "from", "\"\"", BADADDRESS }, { "from", "\"vitalik.eth\"", BADADDRESS }, { "from", "\"" FROM "00\"", BADADDRESS },
	{ "from", "1", BADADDRESS }, { "to", "\"\"", BADADDRESS }, { "to", "\"0x\"", BADADDRESS }, { "to", "false", BADADDRESS },
	{ "to", "\"0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"", "has a wrong EIP-55 checksum (lower case claims none)" },
	{ "timestamp", "-1", BADTIME }, { "timestamp", "1700000000000", BADTIME }, { "timestamp", "253402300800", BADTIME },
	{ "timestamp", "1.5", BADTIME }, { "timestamp", "\"yesterday\"", BADTIME }, { "timestamp", "\"2024-02-30T00:00:00Z\"", BADTIME },
	{ "timestamp", "\"2024-01-01\"", BADTIME }, { "timestamp", "\"1969-12-31T23:59:59Z\"", BADTIME },
	{ "timestamp", "\"9999-12-31T23:59:59-01:00\"", BADTIME }, { "timestamp", "\"\"", BADTIME },
	{ "status", "2", BADSTATUS }, { "status", "\"ok\"", BADSTATUS }, { "status", "\"0x2\"", BADSTATUS }, { "status", "-1", BADSTATUS },
	{ "input", "\"\"", BADINPUT }, { "input", "\"0x1\"", BADINPUT }, { "input", "\"0xzz\"", BADINPUT }, { "input", "\"a9\"", BADINPUT },
	{ "data", "1", BADINPUT }, { "inputBytes", "-1", BAD31 }, { "inputBytes", "2147483648", BAD31 },
};

START_TEST(wrong_values_are_named)
{
	char pointer[64];

	snprintf(pointer, sizeof(pointer), "/%s", wrong[_i].name);
	ck_assert_msg(read_with(wrong[_i].name, wrong[_i].value) == -1, "%s %s accepted", wrong[_i].name, wrong[_i].value);
	ck_assert_int_eq(faults.count, 1);
	expect_fault(pointer, wrong[_i].what);
}
END_TEST

START_TEST(every_name_is_known)
{
	static const char *const names[] = {
		"hash", "chainId", "chain_id", "blockNumber", "block_number", "blockHash", "block_hash", "transactionIndex",
		"transaction_index", "timestamp", "from", "from_address", "to", "to_address", "value", "gas", "gasPrice",
		"gas_price", "effectiveGasPrice", "effective_gas_price", "gasUsed", "gas_used", "nonce", "input", "data",
		"input_data", "inputBytes", "input_bytes", "status",
	};
	char pointer[32];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(pointer, sizeof(pointer), "/%s", names[i]);
		ck_assert_msg(read_with(names[i], "[]") == -1, "%s", names[i]);
		ck_assert_str_eq(faults.list[0].pointer, pointer);
	}
}
END_TEST

START_TEST(all_faults_are_told_at_once)
{
	ck_assert_int_eq(read_text("{\"hash\":\"0x1\",\"block_number\":-1,\"from_address\":5,\"value\":\"x\",\"gas\":21000}"), -1);
	ck_assert_int_eq(faults.count, 7);
	expect_fault("/hash", BADHASH);
	expect_fault("/block_number", BAD63);
	expect_fault("/from_address", BADADDRESS);
	expect_fault("/value", BAD256);
	expect_fault("/timestamp", "is required");
	expect_fault("/gasPrice", "is required");
	expect_fault("/nonce", "is required");
	ck_assert_int_eq(read_text("[]"), -1);
	expect_fault("", "must be an object");
	ck_assert_int_eq(cw_tx_from_json(&in, NULL, 1, arena, &faults), -1);
	/* More faults than there is room for. */
	ck_assert_int_eq(read_text("{\"hash\":1,\"blockNumber\":\"\",\"blockHash\":1,\"transactionIndex\":\"\",\"timestamp\":\"\","
	                           "\"from\":1,\"to\":1,\"value\":\"\",\"gas\":\"\",\"gasPrice\":\"\",\"gasUsed\":\"\",\"nonce\":\"\","
	                           "\"input\":1,\"chainId\":\"\",\"status\":\"\",\"inputBytes\":\"\",\"data\":1,\"to_address\":1}"), -1);
	ck_assert_int_eq(faults.count, CW_TX_FAULTS_MAX);
}
END_TEST

START_TEST(aliases_must_agree)
{
	ck_assert_int_eq(read_with("gas_price", "\"0x2d79883d2000\""), 0);   /* the same in hex */
	ck_assert_int_eq(read_with("from_address", "\"0xA1E4380A3B1F749673E270229993EE55F35663B4\""), 0);
	ck_assert_int_eq(read_with("from_address", "\"" TO "\""), -1);
	expect_fault("/from_address", "differs from \"from\"");
	ck_assert_int_eq(read_with("gas_price", "1"), -1);
	expect_fault("/gas_price", "differs from \"gasPrice\"");
	ck_assert_int_eq(read_with("block_number", "null"), 0);
	ck_assert_int_eq(read_with("input\":\"0x00\",\"data", "\"0x01\""), -1);
	expect_fault("/data", "differs from \"input\"");
	ck_assert_int_eq(read_with("input\":\"0x00\",\"data", "\"0x00\""), 0);
	ck_assert_int_eq(read_with("input\":\"0x\",\"data", "\"0x00\""), -1);
}
END_TEST

START_TEST(times)
{
	static const struct { const char *text; int64_t want; } cases[] = {
		{ "0", 0 }, { "\"2015-08-07T03:30:33Z\"", 1438918233 }, { "\"2015-08-07T05:30:33.999+02:00\"", 1438918233 },
		{ "\"0x0\"", 0 }, { "\"9999-12-31T23:59:59Z\"", 253402300799 }, { "253402300799", 253402300799 },
		{ "\"2015-08-07t03:30:33z\"", 1438918233 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_msg(read_with("timestamp", cases[i].text) == 0, "%s", cases[i].text);
		ck_assert_int_eq(in.tx.timestamp, cases[i].want);
	}
}
END_TEST

START_TEST(effective_price_stands_in)
{
	ck_assert_int_eq(read_text("{\"hash\":\"" HASH "\",\"blockNumber\":1,\"timestamp\":1,\"from\":\"" FROM "\",\"value\":0,"
	                           "\"gas\":1,\"effectiveGasPrice\":\"0x7\",\"nonce\":0}"), 0);
	ck_assert_uint_eq(in.tx.gas_price.w[0], 7);
	ck_assert_int_eq(read_with("effectiveGasPrice", "9"), 0);
	ck_assert_uint_eq(in.tx.gas_price.w[0], 50000000000000);
}
END_TEST

START_TEST(call_data)
{
	struct cw_buf text = CW_BUF_INIT;

	cw_buf_puts(&text, "\"0x");
	for (int i = 0; i < 300; i++)
		cw_buf_printf(&text, "%02X", i & 255);
	cw_buf_putc(&text, '"');
	ck_assert_int_eq(read_with("input", text.data), 0);
	ck_assert_uint_eq(in.tx.input_size, 300);
	ck_assert_uint_eq(in.tx.input_head_size, CW_TX_INPUT_HEAD);
	ck_assert_uint_eq(in.input_len, 300);
	ck_assert_int_eq(in.input[299], 299 & 255);
	ck_assert_int_eq(in.tx.input_head[99], 99);
	ck_assert_int_eq(read_with("input\":\"0x7ff36ab5\",\"input_bytes", "228"), 0);
	ck_assert_uint_eq(in.tx.input_size, 228);
	ck_assert_uint_eq(in.tx.input_head_size, 4);
	ck_assert_uint_eq(in.input_len, 4);
	ck_assert_int_eq(read_with("input\":\"0x7ff36ab5\",\"input_bytes", "3"), -1);
	expect_fault("/input_bytes", "is less than the call data that was given");
	ck_assert_int_eq(read_with("inputBytes", "68"), 0);
	ck_assert_uint_eq(in.tx.input_size, 68);
	ck_assert_uint_eq(in.tx.has & CW_TX_HAS_INPUT, 0);
	cw_buf_release(&text);
}
END_TEST

START_TEST(form_that_goes_out)
{
	ck_assert_int_eq(read_with("input", "\"0x7FF36AB5\""), 0);
	cw_tx_to_json(&out, &in);
	ck_assert_str_eq(out.data,
		"\"hash\":\"" HASH "\",\"chainId\":\"1\",\"blockNumber\":\"46147\",\"blockHash\":null,\"transactionIndex\":null,"
		"\"timestamp\":\"1438918233\",\"from\":\"" FROM "\",\"to\":\"" TO "\",\"value\":\"31337\",\"gas\":\"21000\","
		"\"gasPrice\":\"50000000000000\",\"gasUsed\":null,\"nonce\":\"0\",\"status\":null,\"input\":\"0x7ff36ab5\","
		"\"inputBytes\":\"4\"");
}
END_TEST

/* Out and in again gives the same record, byte for byte. */
static void check_round_trip(const char *line)
{
	struct cw_tx before = in.tx;

	cw_buf_clear(&out);
	cw_buf_putc(&out, '{');
	cw_tx_to_json(&out, &in);
	cw_buf_putc(&out, '}');
	if (read_text(out.data) != 0 || memcmp(&before, &in.tx, sizeof(before)) != 0)
		ck_abort_msg("%s\nbecame\n%s", line, out.data);
}

START_TEST(round_trips)
{
	ck_assert_int_eq(read_with("to", NULL), 0);
	check_round_trip("no receiver");
	ck_assert_int_eq(read_with("inputBytes", "68"), 0);
	check_round_trip("size only");
	ck_assert_int_eq(read_with("status\":0,\"gasUsed\":1,\"transactionIndex\":2,\"input", "\"0x\""), 0);
	check_round_trip("all optional ones");
}
END_TEST

/* Quantities of the outgoing form against the text of the line that came in. */
static void check_amounts(const char *line, const struct cw_json *json)
{
	static const char *const fields[][2] = {
		{ "value", "value" }, { "gas_price", "gasPrice" }, { "gas", "gas" }, { "nonce", "nonce" }, { "gas_used", "gasUsed" },
		{ "block_number", "blockNumber" }, { "timestamp", "timestamp" }, { "hash", "hash" }, { "from_address", "from" },
		{ "to_address", "to" }, { "transaction_index", "transactionIndex" }, { "status", "status" }, { "input", "input" },
		{ "input_bytes", "inputBytes" },
	};
	struct cw_buf text = CW_BUF_INIT;
	const struct cw_json *back;

	cw_buf_putc(&text, '{');
	cw_tx_to_json(&text, &in);
	cw_buf_putc(&text, '}');
	back = cw_json_parse(text.data, text.len, 4, arena, NULL);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		const struct cw_json *a = cw_json_get(json, fields[i][0]), *b = cw_json_get(back, fields[i][1]);

		if ((a->type == CW_JSON_NULL) != (b->type == CW_JSON_NULL) ||
		    (a->type != CW_JSON_NULL && strcmp(a->text, b->text) != 0))
			ck_abort_msg("%s: %s", fields[i][0], line);
	}
	cw_buf_release(&text);
}

static void read_file(const char *name)
{
	const char *folder = getenv("CHAINWATCH_TEST_DATA");
	char path[512], line[65536];
	gzFile file;
	int rows = 0;

	snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : "../shared/data", name);
	file = gzopen(path, "r");
	if (file == NULL) {
		printf("skipped: %s is not there\n", path);
		return;
	}
	while (gzgets(file, line, sizeof(line)) != NULL) {
		struct cw_json_error error;
		const struct cw_json *json = cw_json_parse(line, strlen(line), 8, arena, &error);

		if (json == NULL)
			ck_abort_msg("%s: %s", line, error.what);
		if (cw_tx_from_json(&in, json, 1, arena, &faults) != 0)
			ck_abort_msg("%s: %s %s", line, faults.list[0].pointer, faults.list[0].what);
		check_amounts(line, json);
		check_round_trip(line);
		cw_arena_clear(arena);
		rows++;
	}
	gzclose(file);
	ck_assert_int_ge(rows, 1000);
	printf("%s: %d rows\n", name, rows);
}

START_TEST(real_transactions)
{
	read_file("demo_tx.ndjson");
	read_file("eth_tx.ndjson.gz");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tx");
	TCase *t = tcase_create("tx");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reads_json_rpc_names);
	tcase_add_test(t, reads_snake_case_names);
	tcase_add_test(t, least_transaction);
	tcase_add_test(t, every_missing_field_is_named);
	tcase_add_loop_test(t, wrong_values_are_named, 0, sizeof(wrong) / sizeof(*wrong));
	tcase_add_test(t, every_name_is_known);
	tcase_add_test(t, all_faults_are_told_at_once);
	tcase_add_test(t, aliases_must_agree);
	tcase_add_test(t, times);
	tcase_add_test(t, effective_price_stands_in);
	tcase_add_test(t, call_data);
	tcase_add_test(t, form_that_goes_out);
	tcase_add_test(t, round_trips);
	tcase_add_test(t, real_transactions);
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
