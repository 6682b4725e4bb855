#include "chain/abi.h"

#include <string.h>

#include "chain/keccak.h"

#define WORD 32

/* Arguments are spelt one letter a word: f from, t to, a amount, i token id, b approved. */
struct call_name {
	uint32_t selector;
	const char *signature;
	enum cw_call_kind kind;
	const char *args;
};

static const struct call_name calls[] = {
	{ 0xa9059cbb, "transfer(address,uint256)", CW_CALL_TRANSFER, "ta" },
	{ 0x23b872dd, "transferFrom(address,address,uint256)", CW_CALL_TRANSFER_FROM, "fta" },
	{ 0x095ea7b3, "approve(address,uint256)", CW_CALL_APPROVE, "ta" },
	{ 0x39509351, "increaseAllowance(address,uint256)", CW_CALL_INCREASE_ALLOWANCE, "ta" },
	{ 0xa457c2d7, "decreaseAllowance(address,uint256)", CW_CALL_DECREASE_ALLOWANCE, "ta" },
	{ 0xd505accf, "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", CW_CALL_PERMIT, "fta" },
	{ 0x42842e0e, "safeTransferFrom(address,address,uint256)", CW_CALL_SAFE_TRANSFER_FROM, "fti" },
	{ 0xb88d4fde, "safeTransferFrom(address,address,uint256,bytes)", CW_CALL_SAFE_TRANSFER_FROM, "fti" },
	{ 0xa22cb465, "setApprovalForAll(address,bool)", CW_CALL_SET_APPROVAL_FOR_ALL, "tb" },
	{ 0xf242432a, "safeTransferFrom(address,address,uint256,uint256,bytes)",
	  CW_CALL_SAFE_TRANSFER_FROM_1155, "ftia" },
	{ 0x2eb2c2d6, "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
	  CW_CALL_SAFE_BATCH_TRANSFER_FROM, "ft" },
	{ 0x40c10f19, "mint(address,uint256)", CW_CALL_OTHER, "" },
	{ 0x42966c68, "burn(uint256)", CW_CALL_OTHER, "" },
	{ 0x79cc6790, "burnFrom(address,uint256)", CW_CALL_OTHER, "" },
	{ 0xd0e30db0, "deposit()", CW_CALL_OTHER, "" },
	{ 0x2e1a7d4d, "withdraw(uint256)", CW_CALL_OTHER, "" },
	{ 0x38ed1739, "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)", CW_CALL_OTHER, "" },
	{ 0x7ff36ab5, "swapExactETHForTokens(uint256,address[],address,uint256)", CW_CALL_OTHER, "" },
	{ 0x18cbafe5, "swapExactTokensForETH(uint256,uint256,address[],address,uint256)", CW_CALL_OTHER, "" },
	{ 0xfb3bdb41, "swapETHForExactTokens(uint256,address[],address,uint256)", CW_CALL_OTHER, "" },
	{ 0x414bf389, "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
	  CW_CALL_OTHER, "" },
	{ 0xac9650d8, "multicall(bytes[])", CW_CALL_OTHER, "" },
	{ 0x5ae401dc, "multicall(uint256,bytes[])", CW_CALL_OTHER, "" },
	{ 0x3593564c, "execute(bytes,bytes[],uint256)", CW_CALL_OTHER, "" },
	{ 0x24856bc3, "execute(bytes,bytes[])", CW_CALL_OTHER, "" },
	{ 0x6a761202, "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
	  CW_CALL_OTHER, "" },
	{ 0xf2fde38b, "transferOwnership(address)", CW_CALL_OTHER, "" },
	{ 0x715018a6, "renounceOwnership()", CW_CALL_OTHER, "" },
	{ 0x3659cfe6, "upgradeTo(address)", CW_CALL_OTHER, "" },
	{ 0x4f1ef286, "upgradeToAndCall(address,bytes)", CW_CALL_OTHER, "" },
	{ 0x4e71d92d, "claim()", CW_CALL_OTHER, "" },
	{ 0xf305d719, "addLiquidityETH(address,uint256,uint256,uint256,address,uint256)", CW_CALL_OTHER, "" },
	{ 0xab9c4b5d, "flashLoan(address,address[],uint256[],uint256[],address,bytes,uint16)", CW_CALL_OTHER, "" },
};

/* A topic as four big-endian words. */
struct topic_name {
	uint64_t words[4];
	const char *signature;
	enum cw_event_kind kind;
};

static const struct topic_name topics_known[] = {
	{ { 0xddf252ad1be2c89bu, 0x69c2b068fc378daau, 0x952ba7f163c4a116u, 0x28f55a4df523b3efu },
	  "Transfer(address,address,uint256)", CW_EVENT_TRANSFER },
	{ { 0x8c5be1e5ebec7d5bu, 0xd14f71427d1e84f3u, 0xdd0314c0f7b2291eu, 0x5b200ac8c7c3b925u },
	  "Approval(address,address,uint256)", CW_EVENT_APPROVAL },
	{ { 0x17307eab39ab6107u, 0xe8899845ad3d59bdu, 0x9653f200f2209204u, 0x89ca2b5937696c31u },
	  "ApprovalForAll(address,address,bool)", CW_EVENT_APPROVAL_FOR_ALL },
	{ { 0xc3d58168c5ae7397u, 0x731d063d5bbf3d65u, 0x7854427343f4c083u, 0x240f7aacaa2d0f62u },
	  "TransferSingle(address,address,address,uint256,uint256)", CW_EVENT_TRANSFER_SINGLE },
	{ { 0x4a39dc06d4c0dbc6u, 0x4b70af90fd698a23u, 0x3a518aa5d07e595du, 0x983b8c0526c8f7fbu },
	  "TransferBatch(address,address,address,uint256[],uint256[])", CW_EVENT_TRANSFER_BATCH },
	{ { 0x6bb7ff708619ba06u, 0x10cba295a58592e0u, 0x451dee2622938c87u, 0x55667688daf3529bu },
	  "URI(string,uint256)", CW_EVENT_OTHER },
	{ { 0xe1fffcc4923d04b5u, 0x59f4d29a8bfc6cdau, 0x04eb5b0d3c460751u, 0xc2402c5c5cc9109cu },
	  "Deposit(address,uint256)", CW_EVENT_OTHER },
	{ { 0x7fcf532c15f0a6dbu, 0x0bd6d0e038bea71du, 0x30d808c7d98cb3bfu, 0x7268a95bf5081b65u },
	  "Withdrawal(address,uint256)", CW_EVENT_OTHER },
	{ { 0xd78ad95fa46c994bu, 0x6551d0da85fc275fu, 0xe613ce37657fb8d5u, 0xe3d130840159d822u },
	  "Swap(address,uint256,uint256,uint256,uint256,address)", CW_EVENT_OTHER },
	{ { 0xc42079f94a6350d7u, 0xe6235f29174924f9u, 0x28cc2ac818eb64feu, 0xd8004e115fbcca67u },
	  "Swap(address,address,int256,int256,uint160,uint128,int24)", CW_EVENT_OTHER },
	{ { 0x1c411e9a96e07124u, 0x1c2f21f7726b17aeu, 0x89e3cab4c78be50eu, 0x062b03a9fffbbad1u },
	  "Sync(uint112,uint112)", CW_EVENT_OTHER },
	{ { 0x4c209b5fc8ad5075u, 0x8f13e2e1088ba56au, 0x560dff690a1c6fefu, 0x26394f4c03821c4fu },
	  "Mint(address,uint256,uint256)", CW_EVENT_OTHER },
	{ { 0xdccd412f0b125281u, 0x9cb1fd330b93224cu, 0xa42612892bb3f4f7u, 0x89976e6d81936496u },
	  "Burn(address,uint256,uint256,address)", CW_EVENT_OTHER },
	{ { 0x0d3648bd0f6ba801u, 0x34a33ba9275ac585u, 0xd9d315f0ad8355cdu, 0xdefde31afa28d0e9u },
	  "PairCreated(address,address,address,uint256)", CW_EVENT_OTHER },
	{ { 0x783cca1c0412dd0du, 0x695e784568c96da2u, 0xe9c22ff989357a2eu, 0x8b1d9b2b4e6b7118u },
	  "PoolCreated(address,address,uint24,int24,address)", CW_EVENT_OTHER },
	{ { 0x8be0079c53165914u, 0x1344cd1fd0a4f284u, 0x19497f9722a3daafu, 0xe3b4186f6b6457e0u },
	  "OwnershipTransferred(address,address)", CW_EVENT_OTHER },
	{ { 0x2f8788117e7eff1du, 0x82e926ec794901d1u, 0x7c78024a50270940u, 0x304540a733656f0du },
	  "RoleGranted(bytes32,address,address)", CW_EVENT_OTHER },
	{ { 0xf6391f5c32d9c69du, 0x2a47ea670b442974u, 0xb53935d1edc7fd64u, 0xeb21e047a839171bu },
	  "RoleRevoked(bytes32,address,address)", CW_EVENT_OTHER },
	{ { 0x62e78cea01bee320u, 0xcd4e420270b5ea74u, 0x000d11b0c9f74754u, 0xebdbfc544b05a258u },
	  "Paused(address)", CW_EVENT_OTHER },
	{ { 0x5db9ee0a495bf2e6u, 0xff9c91a7834c1ba4u, 0xfdd244a5e8aa4e53u, 0x7bd38aeae4b073aau },
	  "Unpaused(address)", CW_EVENT_OTHER },
	{ { 0xbc7cd75a20ee27fdu, 0x9adebab32041f755u, 0x214dbc6bffa90cc0u, 0x225b39da2e5c2d3bu },
	  "Upgraded(address)", CW_EVENT_OTHER },
	{ { 0x7e644d79422f17c0u, 0x1e4894b5f4f588d3u, 0x31ebfa28653d42aeu, 0x832dc59e38c9798fu },
	  "AdminChanged(address,address)", CW_EVENT_OTHER },
	{ { 0x1cf3b03a6cf19fa2u, 0xbaba4df148e9dcabu, 0xedea7f8a5c07840eu, 0x207e5c089be95d3eu },
	  "BeaconUpgraded(address)", CW_EVENT_OTHER },
};

static const struct call_name *find_call(uint32_t selector)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (calls[i].selector == selector)
			return &calls[i];
	return NULL;
}

static const struct topic_name *find_topic(const struct cw_hash *topic)
{
	uint64_t words[4];

	for (int i = 0; i < 4; i++) {
		memcpy(&words[i], topic->b + 8 * i, 8);
		words[i] = __builtin_bswap64(words[i]);
	}
	for (size_t i = 0; i < sizeof(topics_known) / sizeof(*topics_known); i++)
		if (memcmp(topics_known[i].words, words, sizeof(words)) == 0)
			return &topics_known[i];
	return NULL;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool read_address(struct cw_address *out, const uint8_t word[WORD])
{
	if (!all_zero(word, 12))
		return false;
	memcpy(out->b, word + 12, 20);
	return true;
}

static bool read_bool(bool *out, const uint8_t word[WORD])
{
	if (!all_zero(word, WORD - 1) || word[WORD - 1] > 1)
		return false;
	*out = word[WORD - 1] == 1;
	return true;
}

/* --- calls --- */

static bool read_argument(struct cw_call *call, char kind, const uint8_t word[WORD])
{
	switch (kind) {
	case 'f':
		call->has |= CW_ABI_HAS_FROM;
		return read_address(&call->from, word);
	case 't':
		call->has |= CW_ABI_HAS_TO;
		return read_address(&call->to, word);
	case 'a':
		call->has |= CW_ABI_HAS_AMOUNT;
		call->amount = cw_u256_from_be(word, WORD);
		return true;
	case 'i':
		call->has |= CW_ABI_HAS_TOKEN_ID;
		call->token_id = cw_u256_from_be(word, WORD);
		return true;
	default:
		call->has |= CW_ABI_HAS_APPROVED;
		return read_bool(&call->approved, word);
	}
}

void cw_call_decode(struct cw_call *out, const uint8_t *input, size_t len, size_t size)
{
	const struct call_name *name;

	*out = (struct cw_call){ .kind = CW_CALL_NONE };
	if (len < 4)
		return;
	out->selector = (uint32_t)input[0] << 24 | (uint32_t)input[1] << 16 | (uint32_t)input[2] << 8 | input[3];
	name = find_call(out->selector);
	out->kind = name != NULL ? name->kind : CW_CALL_UNKNOWN;
	if (name == NULL)
		return;
	out->name = name->signature;
	for (size_t i = 0; name->args[i] != '\0'; i++) {
		size_t at = 4 + WORD * i;
		uint32_t before = out->has;

		out->malformed = at + WORD > size;
		if (at + WORD > size || at + WORD > len)
			return;
		if (!read_argument(out, name->args[i], input + at)) {
			out->has = before;
			out->malformed = true;
			return;
		}
	}
}

const char *cw_selector_name(uint32_t selector)
{
	const struct call_name *name = find_call(selector);

	return name != NULL ? name->signature : NULL;
}

uint32_t cw_selector_of(const char *signature)
{
	uint8_t hash[32];

	cw_keccak256(signature, strlen(signature), hash);
	return (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

static size_t put_selector(uint8_t *out, uint32_t selector)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(selector >> (24 - 8 * i));
	return 4;
}

static size_t put_address(uint8_t *out, const struct cw_address *address)
{
	memset(out, 0, 12);
	memcpy(out + 12, address->b, 20);
	return WORD;
}

static size_t put_amount(uint8_t *out, const struct cw_u256 *amount)
{
	cw_u256_to_be(amount, out);
	return WORD;
}

static size_t encode_pair(uint8_t *out, uint32_t selector, const struct cw_address *address,
                          const struct cw_u256 *amount)
{
	size_t at = put_selector(out, selector);

	at += put_address(out + at, address);
	return at + put_amount(out + at, amount);
}

size_t cw_call_encode_transfer(uint8_t out[68], const struct cw_address *to, const struct cw_u256 *amount)
{
	return encode_pair(out, 0xa9059cbb, to, amount);
}

size_t cw_call_encode_approve(uint8_t out[68], const struct cw_address *spender, const struct cw_u256 *amount)
{
	return encode_pair(out, 0x095ea7b3, spender, amount);
}

size_t cw_call_encode_transfer_from(uint8_t out[100], const struct cw_address *from, const struct cw_address *to,
                                    const struct cw_u256 *amount)
{
	size_t at = put_selector(out, 0x23b872dd);

	at += put_address(out + at, from);
	at += put_address(out + at, to);
	return at + put_amount(out + at, amount);
}

/* --- events --- */

/* The words of an event in the order of its arguments: indexed ones are topics, the others data. */
struct words {
	const struct cw_hash *topics;
	size_t ntopics;                /* without the first */
	const uint8_t *data;
	size_t len;
};

static const uint8_t *word_at(const struct words *w, size_t i)
{
	if (i < w->ntopics)
		return w->topics[i].b;
	i -= w->ntopics;
	return (i + 1) * WORD <= w->len ? w->data + i * WORD : NULL;
}

static bool read_parties(struct cw_event *e, const struct words *w, size_t first)
{
	const uint8_t *from = word_at(w, first), *to = word_at(w, first + 1);

	if (from == NULL || to == NULL || !read_address(&e->from, from) || !read_address(&e->to, to))
		return false;
	e->has |= CW_ABI_HAS_FROM | CW_ABI_HAS_TO;
	return true;
}

/* Transfer and Approval: ERC-721 indexes all three arguments, ERC-20 two. Contracts older than both index none and
 * could be either. */
static bool read_transfer(struct cw_event *e, const struct words *w)
{
	const uint8_t *last = word_at(w, 2);

	if (last == NULL || !read_parties(e, w, 0))
		return false;
	if (w->ntopics == 3) {
		e->standard = CW_TOKEN_ERC721;
		e->token_id = cw_u256_from_be(last, WORD);
		e->has |= CW_ABI_HAS_TOKEN_ID;
		if (e->kind == CW_EVENT_TRANSFER) {
			e->amount = cw_u256_from_u64(1);
			e->has |= CW_ABI_HAS_AMOUNT;
		}
		return w->len == 0;
	}
	e->standard = w->ntopics == 2 ? CW_TOKEN_ERC20 : CW_TOKEN_UNKNOWN;
	e->amount = cw_u256_from_be(last, WORD);
	e->has |= CW_ABI_HAS_AMOUNT;
	return w->len == (3 - w->ntopics) * WORD;
}

static bool read_approval_for_all(struct cw_event *e, const struct words *w)
{
	const uint8_t *last = word_at(w, 2);

	if (w->ntopics > 2 || last == NULL || w->len != (3 - w->ntopics) * WORD || !read_bool(&e->approved, last))
		return false;
	e->has |= CW_ABI_HAS_APPROVED;
	return read_parties(e, w, 0);
}

static bool read_operator(struct cw_event *e, const struct words *w)
{
	const uint8_t *word = word_at(w, 0);

	e->standard = CW_TOKEN_ERC1155;
	if (w->ntopics != 3 || word == NULL || !read_address(&e->operator, word))
		return false;
	e->has |= CW_ABI_HAS_OPERATOR;
	return read_parties(e, w, 1);
}

static bool read_single(struct cw_event *e, const struct words *w)
{
	if (w->len != 2 * WORD || !read_operator(e, w))
		return false;
	e->token_id = cw_u256_from_be(w->data, WORD);
	e->amount = cw_u256_from_be(w->data + WORD, WORD);
	e->has |= CW_ABI_HAS_TOKEN_ID | CW_ABI_HAS_AMOUNT;
	return true;
}

/* Where the elements of the dynamic array begin whose offset is word `arg` of the data, and how many there are. */
static bool find_array(const uint8_t *data, size_t len, size_t arg, size_t *start, size_t *count)
{
	struct cw_u256 offset, n;

	if (len < (arg + 1) * WORD)
		return false;
	offset = cw_u256_from_be(data + arg * WORD, WORD);
	if (!cw_u256_fits_u64(&offset) || offset.w[0] > len || len - offset.w[0] < WORD)
		return false;
	*start = (size_t)offset.w[0] + WORD;
	n = cw_u256_from_be(data + offset.w[0], WORD);
	if (!cw_u256_fits_u64(&n) || n.w[0] > (len - *start) / WORD || n.w[0] > UINT32_MAX)
		return false;
	*count = (size_t)n.w[0];
	return true;
}

static bool read_batch(struct cw_event *e, const struct words *w)
{
	size_t ids, amounts, nids, namounts;

	if (!read_operator(e, w) || !find_array(w->data, w->len, 0, &ids, &nids) ||
	    !find_array(w->data, w->len, 1, &amounts, &namounts) || nids != namounts)
		return false;
	e->count = (uint32_t)nids;
	return true;
}

static bool read_event(struct cw_event *e, const struct words *w)
{
	switch (e->kind) {
	case CW_EVENT_TRANSFER:
	case CW_EVENT_APPROVAL:
		return read_transfer(e, w);
	case CW_EVENT_APPROVAL_FOR_ALL:
		return read_approval_for_all(e, w);
	case CW_EVENT_TRANSFER_SINGLE:
		return read_single(e, w);
	case CW_EVENT_TRANSFER_BATCH:
		return read_batch(e, w);
	case CW_EVENT_UNKNOWN:
	case CW_EVENT_OTHER:
		break;
	}
	return true;
}

bool cw_event_decode(struct cw_event *out, const struct cw_hash *topics, size_t ntopics, const uint8_t *data,
                     size_t len)
{
	const struct topic_name *name = ntopics > 0 ? find_topic(&topics[0]) : NULL;
	struct words w = { .data = data, .len = len };

	*out = (struct cw_event){ .kind = CW_EVENT_UNKNOWN };
	if (name == NULL)
		return true;
	out->kind = name->kind;
	out->name = name->signature;
	w.topics = topics + 1;
	w.ntopics = ntopics - 1;
	if (w.ntopics <= 3 && read_event(out, &w))   /* the EVM has LOG0 to LOG4 */
		return true;
	*out = (struct cw_event){ .kind = name->kind, .name = name->signature };
	return false;
}

bool cw_event_pair(const struct cw_event *event, const uint8_t *data, size_t len, uint32_t index,
                   struct cw_u256 *token_id, struct cw_u256 *amount)
{
	size_t ids, amounts, nids, namounts;

	if (event->kind != CW_EVENT_TRANSFER_BATCH || !find_array(data, len, 0, &ids, &nids) ||
	    !find_array(data, len, 1, &amounts, &namounts) || index >= nids || index >= namounts)
		return false;
	*token_id = cw_u256_from_be(data + ids + (size_t)index * WORD, WORD);
	*amount = cw_u256_from_be(data + amounts + (size_t)index * WORD, WORD);
	return true;
}

const char *cw_topic_name(const struct cw_hash *topic)
{
	const struct topic_name *name = find_topic(topic);

	return name != NULL ? name->signature : NULL;
}

struct cw_hash cw_topic_of(const char *signature)
{
	struct cw_hash topic;

	cw_keccak256(signature, strlen(signature), topic.b);
	return topic;
}
