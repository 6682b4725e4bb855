#include "chain/abi.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MAX256 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define PAD12 "000000000000000000000000"
#define ALICE "a1e4380a3b1f749673e270229993ee55f35663b4"
#define BOB "5df9b87991262f6ba471f09758cde1c0fc1de734"
#define WORD_1 "0000000000000000000000000000000000000000000000000000000000000001"
#define WORD_2 "0000000000000000000000000000000000000000000000000000000000000002"
#define WORD_64 "0000000000000000000000000000000000000000000000000000000000000040"
#define WORD_160 "00000000000000000000000000000000000000000000000000000000000000a0"
#define TRANSFER "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
#define APPROVAL "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925"
#define APPROVAL_FOR_ALL "17307eab39ab6107e8899845ad3d59bd9653f200f220920489ca2b5937696c31"
#define SINGLE "c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
#define BATCH "4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"

static uint8_t *bytes;   /* exactly as long as the text, so that a sanitizer sees a read too far */

static void teardown(void)
{
	free(bytes);
	bytes = NULL;
}

static size_t set_bytes(const char *hex)
{
	free(bytes);
	bytes = malloc(strlen(hex) / 2 + (hex[0] == '\0'));
	ck_assert(cw_hex_decode(bytes, hex, strlen(hex)));
	return strlen(hex) / 2;
}

static struct cw_call decode(const char *hex)
{
	size_t len = set_bytes(hex);
	struct cw_call call;

	cw_call_decode(&call, bytes, len, len);
	return call;
}

static bool is_address(const struct cw_address *address, const char *hex)
{
	char text[CW_ADDRESS_TEXT];

	return strcmp(cw_address_format(address, text) + 2, hex) == 0;
}

static const char *decimal(const struct cw_u256 *a)
{
	static char text[CW_U256_DECIMAL_MAX];

	cw_u256_format_decimal(a, text);
	return text;
}

START_TEST(transfer)
{
	struct cw_call call = decode("a9059cbb" PAD12 BOB MAX256);

	ck_assert_int_eq(call.kind, CW_CALL_TRANSFER);
	ck_assert_uint_eq(call.selector, 0xa9059cbb);
	ck_assert_str_eq(call.name, "transfer(address,uint256)");
	ck_assert_uint_eq(call.has, CW_ABI_HAS_TO | CW_ABI_HAS_AMOUNT);
	ck_assert(is_address(&call.to, BOB) && !call.malformed);
	ck_assert_str_eq(decimal(&call.amount), "115792089237316195423570985008687907853269984665640564039457584007913129639935");
}
END_TEST

START_TEST(other_calls)
{
	struct cw_call call = decode("23b872dd" PAD12 ALICE PAD12 BOB WORD_2);

	ck_assert_int_eq(call.kind, CW_CALL_TRANSFER_FROM);
	ck_assert(is_address(&call.from, ALICE) && is_address(&call.to, BOB));
	ck_assert_str_eq(decimal(&call.amount), "2");
	call = decode("a22cb465" PAD12 BOB WORD_1);
	ck_assert_int_eq(call.kind, CW_CALL_SET_APPROVAL_FOR_ALL);
	ck_assert(call.approved && call.has == (CW_ABI_HAS_TO | CW_ABI_HAS_APPROVED));
	call = decode("42842e0e" PAD12 ALICE PAD12 BOB WORD_2);
	ck_assert_int_eq(call.kind, CW_CALL_SAFE_TRANSFER_FROM);
	ck_assert_uint_eq(call.has, CW_ABI_HAS_FROM | CW_ABI_HAS_TO | CW_ABI_HAS_TOKEN_ID);
	call = decode("f242432a" PAD12 ALICE PAD12 BOB WORD_1 WORD_2);
	ck_assert_str_eq(decimal(&call.token_id), "1");
	ck_assert_str_eq(decimal(&call.amount), "2");
	call = decode("7ff36ab5" WORD_1);
	ck_assert_int_eq(call.kind, CW_CALL_OTHER);
	ck_assert_str_eq(call.name, "swapExactETHForTokens(uint256,address[],address,uint256)");
	call = decode("deadbeef" WORD_1);
	ck_assert_int_eq(call.kind, CW_CALL_UNKNOWN);
	ck_assert_ptr_null(call.name);
	ck_assert_int_eq(decode("").kind, CW_CALL_NONE);
	ck_assert_int_eq(decode("a9059c").kind, CW_CALL_NONE);
}
END_TEST

START_TEST(malformed_calls)
{
	struct cw_call call = decode("a9059cbb" PAD12 BOB "ffffff");   /* the short address attack */
	size_t len;

	ck_assert(call.malformed && call.has == CW_ABI_HAS_TO);
	call = decode("a9059cbb" "010000000000000000000000" BOB WORD_1);
	ck_assert(call.malformed && call.has == 0);
	call = decode("a22cb465" PAD12 BOB WORD_2);
	ck_assert(call.malformed && call.has == CW_ABI_HAS_TO);
	call = decode("a9059cbb");
	ck_assert(call.malformed && call.has == 0);
	/* What lies behind the head of a record is absent, not malformed. */
	len = set_bytes("f242432a" PAD12 ALICE PAD12 BOB WORD_1);
	ck_assert_uint_eq(len, 100);
	cw_call_decode(&call, bytes, len, 196);
	ck_assert(!call.malformed && call.has == (CW_ABI_HAS_FROM | CW_ABI_HAS_TO | CW_ABI_HAS_TOKEN_ID));
}
END_TEST

START_TEST(encoding_is_read_back)
{
	struct cw_address a = { { 1, 2, 3 } }, b = { { 9 } };
	struct cw_u256 amount = { { 5, 6, 7, 8 } };
	struct cw_call call;
	uint8_t out[100];

	ck_assert_uint_eq(cw_call_encode_transfer(out, &a, &amount), 68);
	cw_call_decode(&call, out, 68, 68);
	ck_assert(call.kind == CW_CALL_TRANSFER && memcmp(&call.to, &a, 20) == 0 && cw_u256_cmp(&call.amount, &amount) == 0);
	ck_assert_uint_eq(cw_call_encode_approve(out, &a, &amount), 68);
	cw_call_decode(&call, out, 68, 68);
	ck_assert(call.kind == CW_CALL_APPROVE && memcmp(&call.to, &a, 20) == 0);
	ck_assert_uint_eq(cw_call_encode_transfer_from(out, &a, &b, &amount), 100);
	cw_call_decode(&call, out, 100, 100);
	ck_assert(call.kind == CW_CALL_TRANSFER_FROM && memcmp(&call.from, &a, 20) == 0 && memcmp(&call.to, &b, 20) == 0);
}
END_TEST

/* The tables hold numbers; the names they stand for must hash to them. */
START_TEST(tables_agree_with_keccak)
{
	static const char *const signatures[] = {
		"transfer(address,uint256)", "transferFrom(address,address,uint256)", "approve(address,uint256)",
		"increaseAllowance(address,uint256)", "decreaseAllowance(address,uint256)",
		"permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", "safeTransferFrom(address,address,uint256)",
		"safeTransferFrom(address,address,uint256,bytes)", "setApprovalForAll(address,bool)",
		"safeTransferFrom(address,address,uint256,uint256,bytes)",
		"safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)", "mint(address,uint256)", "deposit()",
		"withdraw(uint256)", "multicall(bytes[])", "execute(bytes,bytes[],uint256)", "transferOwnership(address)",
		"upgradeTo(address)", "upgradeToAndCall(address,bytes)", "claim()", "burn(uint256)",
	};
	static const char *const events[] = {
		"Transfer(address,address,uint256)", "Approval(address,address,uint256)", "ApprovalForAll(address,address,bool)",
		"TransferSingle(address,address,address,uint256,uint256)",
		"TransferBatch(address,address,address,uint256[],uint256[])", "URI(string,uint256)", "Deposit(address,uint256)",
		"Withdrawal(address,uint256)", "Swap(address,uint256,uint256,uint256,uint256,address)",
		"Swap(address,address,int256,int256,uint160,uint128,int24)", "Sync(uint112,uint112)",
		"Mint(address,uint256,uint256)", "Burn(address,uint256,uint256,address)",
		"PairCreated(address,address,address,uint256)", "PoolCreated(address,address,uint24,int24,address)",
		"OwnershipTransferred(address,address)", "RoleGranted(bytes32,address,address)",
		"RoleRevoked(bytes32,address,address)", "Paused(address)", "Unpaused(address)", "Upgraded(address)",
		"AdminChanged(address,address)", "BeaconUpgraded(address)",
	};

	for (size_t i = 0; i < sizeof(signatures) / sizeof(*signatures); i++) {
		const char *name = cw_selector_name(cw_selector_of(signatures[i]));

		ck_assert_msg(name != NULL && strcmp(name, signatures[i]) == 0, "%s", signatures[i]);
	}
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		struct cw_hash topic = cw_topic_of(events[i]);
		const char *name = cw_topic_name(&topic);

		ck_assert_msg(name != NULL && strcmp(name, events[i]) == 0, "%s", events[i]);
	}
	ck_assert_ptr_null(cw_selector_name(0));
}
END_TEST

static struct cw_hash topics[8];
static struct cw_event event;

/* Topics as hex texts, the last one NULL; then data. */
static bool decode_event(const char *const *texts, const char *data)
{
	size_t n = 0, len = set_bytes(data);

	for (; texts[n] != NULL; n++)
		ck_assert(cw_hex_decode(topics[n].b, texts[n], 64));
	return cw_event_decode(&event, topics, n, bytes, len);
}
#define TOPICS(...) (const char *const[]){ __VA_ARGS__, NULL }

START_TEST(erc20_events)
{
	ck_assert(decode_event(TOPICS(TRANSFER, PAD12 ALICE, PAD12 BOB), MAX256));
	ck_assert_int_eq(event.kind, CW_EVENT_TRANSFER);
	ck_assert_int_eq(event.standard, CW_TOKEN_ERC20);
	ck_assert_str_eq(event.name, "Transfer(address,address,uint256)");
	ck_assert(is_address(&event.from, ALICE) && is_address(&event.to, BOB));
	ck_assert_str_eq(decimal(&event.amount), "115792089237316195423570985008687907853269984665640564039457584007913129639935");
	ck_assert(decode_event(TOPICS(APPROVAL, PAD12 ALICE, PAD12 BOB), WORD_2));
	ck_assert_int_eq(event.kind, CW_EVENT_APPROVAL);
	ck_assert_str_eq(decimal(&event.amount), "2");
	ck_assert(decode_event(TOPICS(TRANSFER), PAD12 ALICE PAD12 BOB WORD_1));   /* nothing indexed */
	ck_assert_int_eq(event.standard, CW_TOKEN_UNKNOWN);
	ck_assert(is_address(&event.to, BOB));
}
END_TEST

START_TEST(erc721_events)
{
	ck_assert(decode_event(TOPICS(TRANSFER, PAD12 ALICE, PAD12 BOB, WORD_2), ""));
	ck_assert_int_eq(event.standard, CW_TOKEN_ERC721);
	ck_assert_str_eq(decimal(&event.token_id), "2");
	ck_assert_str_eq(decimal(&event.amount), "1");
	ck_assert(decode_event(TOPICS(APPROVAL, PAD12 ALICE, PAD12 BOB, WORD_2), ""));
	ck_assert_uint_eq(event.has, CW_ABI_HAS_FROM | CW_ABI_HAS_TO | CW_ABI_HAS_TOKEN_ID);
	ck_assert(decode_event(TOPICS(APPROVAL_FOR_ALL, PAD12 ALICE, PAD12 BOB), WORD_1));
	ck_assert(event.approved && event.has == (CW_ABI_HAS_FROM | CW_ABI_HAS_TO | CW_ABI_HAS_APPROVED));
}
END_TEST

START_TEST(erc1155_events)
{
	struct cw_u256 id, amount;
	static const char batch[] = WORD_64 WORD_160 WORD_2 WORD_1 WORD_2 WORD_2 WORD_64 MAX256;
	size_t len = (sizeof(batch) - 1) / 2;

	ck_assert(decode_event(TOPICS(SINGLE, PAD12 BOB, PAD12 ALICE, PAD12 BOB), WORD_1 WORD_2));
	ck_assert_int_eq(event.standard, CW_TOKEN_ERC1155);
	ck_assert(is_address(&event.operator, BOB) && is_address(&event.from, ALICE) && is_address(&event.to, BOB));
	ck_assert_str_eq(decimal(&event.token_id), "1");
	ck_assert_str_eq(decimal(&event.amount), "2");
	ck_assert(!cw_event_pair(&event, bytes, 64, 0, &id, &amount));

	ck_assert(decode_event(TOPICS(BATCH, PAD12 BOB, PAD12 ALICE, PAD12 BOB), batch));
	ck_assert_uint_eq(event.count, 2);
	ck_assert(cw_event_pair(&event, bytes, len, 0, &id, &amount));
	ck_assert_str_eq(decimal(&id), "1");
	ck_assert_str_eq(decimal(&amount), "64");
	ck_assert(cw_event_pair(&event, bytes, len, 1, &id, &amount));
	ck_assert_str_eq(decimal(&id), "2");
	ck_assert_uint_eq(amount.w[3], UINT64_MAX);
	ck_assert(!cw_event_pair(&event, bytes, len, 2, &id, &amount));
	for (size_t cut = 0; cut < len; cut++)   /* no prefix is one */
		ck_assert(!cw_event_decode(&event, topics, 4, bytes, cut));
}
END_TEST

START_TEST(malformed_events)
{
	ck_assert(!decode_event(TOPICS(TRANSFER, PAD12 ALICE, PAD12 BOB), ""));
	ck_assert_int_eq(event.kind, CW_EVENT_TRANSFER);
	ck_assert_uint_eq(event.has, 0);
	ck_assert(!decode_event(TOPICS(TRANSFER, PAD12 ALICE, PAD12 BOB), WORD_1 "00"));
	ck_assert(!decode_event(TOPICS(TRANSFER, PAD12 ALICE, PAD12 BOB, WORD_1), WORD_1));
	ck_assert(!decode_event(TOPICS(TRANSFER, PAD12 ALICE, PAD12 BOB, WORD_1, WORD_1), ""));
	ck_assert(!decode_event(TOPICS(TRANSFER, MAX256, PAD12 BOB), WORD_1));
	ck_assert(!decode_event(TOPICS(APPROVAL_FOR_ALL, PAD12 ALICE, PAD12 BOB), WORD_2));
	ck_assert(!decode_event(TOPICS(APPROVAL_FOR_ALL, PAD12 ALICE, PAD12 BOB, WORD_1), ""));
	ck_assert(!decode_event(TOPICS(SINGLE, PAD12 ALICE, PAD12 BOB), WORD_1 WORD_1));
	ck_assert(!decode_event(TOPICS(SINGLE, PAD12 ALICE, PAD12 BOB, PAD12 BOB), WORD_1));
	ck_assert(!decode_event(TOPICS(BATCH, PAD12 BOB, PAD12 ALICE, PAD12 BOB), MAX256 WORD_64 WORD_1 WORD_1));
	ck_assert(!decode_event(TOPICS(BATCH, PAD12 BOB, PAD12 ALICE, PAD12 BOB), WORD_64 WORD_64 MAX256 WORD_1));
	ck_assert(decode_event(TOPICS(BATCH, PAD12 BOB, PAD12 ALICE, PAD12 BOB), WORD_64 WORD_64 WORD_1 WORD_1));
	ck_assert(decode_event(TOPICS(MAX256), ""));
	ck_assert_int_eq(event.kind, CW_EVENT_UNKNOWN);
	ck_assert(cw_event_decode(&event, NULL, 0, NULL, 0));
	ck_assert_ptr_null(event.name);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("abi");
	TCase *t = tcase_create("abi");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, transfer);
	tcase_add_test(t, other_calls);
	tcase_add_test(t, malformed_calls);
	tcase_add_test(t, encoding_is_read_back);
	tcase_add_test(t, tables_agree_with_keccak);
	tcase_add_test(t, erc20_events);
	tcase_add_test(t, erc721_events);
	tcase_add_test(t, erc1155_events);
	tcase_add_test(t, malformed_events);
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
