#include "chain/logs.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "chain/abi.h"
#include "chain/tx.h"

#define WORD 32
#define PACK_VERSION 1

_Static_assert(sizeof(struct cw_tx_log) == 192, "struct cw_tx_log has no padding");

static const char *const kind_names[CW_LOG_KINDS] = {
	"other", "transfer", "approval", "approval_for_all", "swap", "deposit", "withdrawal", "flash_loan",
	"ownership_transferred", "upgraded", "admin_changed", "role_granted", "role_revoked", "paused", "unpaused",
};

/* How the words of an event fill an entry, one letter a word, indexed ones first: f from, t to, o third, a amount, x
 * extra, - left out. `indexed`: how many must be; -1: contracts differ, the order is the same. No spec: decode_*(). */
struct event {
	uint64_t words[4];
	const char *signature;
	enum cw_log_kind kind;
	int indexed;
	const char *spec;
};

/* Stored by number (+ 1): new ones at the end. */
static const struct event events[] = {
	{ { 0xddf252ad1be2c89bu, 0x69c2b068fc378daau, 0x952ba7f163c4a116u, 0x28f55a4df523b3efu },
	  "Transfer(address,address,uint256)", CW_LOG_TRANSFER, -1, NULL },
	{ { 0x8c5be1e5ebec7d5bu, 0xd14f71427d1e84f3u, 0xdd0314c0f7b2291eu, 0x5b200ac8c7c3b925u },
	  "Approval(address,address,uint256)", CW_LOG_APPROVAL, -1, NULL },
	{ { 0x17307eab39ab6107u, 0xe8899845ad3d59bdu, 0x9653f200f2209204u, 0x89ca2b5937696c31u },
	  "ApprovalForAll(address,address,bool)", CW_LOG_APPROVAL_FOR_ALL, -1, NULL },
	{ { 0xc3d58168c5ae7397u, 0x731d063d5bbf3d65u, 0x7854427343f4c083u, 0x240f7aacaa2d0f62u },
	  "TransferSingle(address,address,address,uint256,uint256)", CW_LOG_TRANSFER, -1, NULL },
	{ { 0x4a39dc06d4c0dbc6u, 0x4b70af90fd698a23u, 0x3a518aa5d07e595du, 0x983b8c0526c8f7fbu },
	  "TransferBatch(address,address,address,uint256[],uint256[])", CW_LOG_TRANSFER, -1, NULL },
	{ { 0xd78ad95fa46c994bu, 0x6551d0da85fc275fu, 0xe613ce37657fb8d5u, 0xe3d130840159d822u },
	  "Swap(address,uint256,uint256,uint256,uint256,address)", CW_LOG_SWAP, 2, NULL },
	{ { 0xc42079f94a6350d7u, 0xe6235f29174924f9u, 0x28cc2ac818eb64feu, 0xd8004e115fbcca67u },
	  "Swap(address,address,int256,int256,uint160,uint128,int24)", CW_LOG_SWAP, 2, NULL },
	{ { 0x19b47279256b2a23u, 0xa1665c810c8d55a1u, 0x758940ee09377d4fu, 0x8d26497a3577dc83u },
	  "Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)", CW_LOG_SWAP, 2, NULL },
	{ { 0xe1fffcc4923d04b5u, 0x59f4d29a8bfc6cdau, 0x04eb5b0d3c460751u, 0xc2402c5c5cc9109cu },
	  "Deposit(address,uint256)", CW_LOG_DEPOSIT, 1, "ta" },
	{ { 0x7fcf532c15f0a6dbu, 0x0bd6d0e038bea71du, 0x30d808c7d98cb3bfu, 0x7268a95bf5081b65u },
	  "Withdrawal(address,uint256)", CW_LOG_WITHDRAWAL, 1, "fa" },
	{ { 0x631042c832b07452u, 0x973831137f2d73e3u, 0x95028b44b250dedcu, 0x5abb0ee766e168acu },
	  "FlashLoan(address,address,address,uint256,uint256,uint16)", CW_LOG_FLASH_LOAN, 3, "tfoax-" },   /* Aave v2 */
	{ { 0xefefaba5e9215731u, 0x00900a3ad9cf29f2u, 0x22d995fb3b604579u, 0x7eaea7521bd8d6f0u },
	  "FlashLoan(address,address,address,uint256,uint8,uint256,uint16)", CW_LOG_FLASH_LOAN, 3, "to-fa-x" },  /* v3 */
	{ { 0x0d7d75e01ab95780u, 0xd3cd1c8ec0dd6c2cu, 0xe19e3a20427eec8bu, 0xf53283b6fb8e95f0u },
	  "FlashLoan(address,address,uint256,uint256)", CW_LOG_FLASH_LOAN, -1, "toax" },         /* Balancer, Maker */
	{ { 0xbdbdb71d7860376bu, 0xa52b25a5028beea2u, 0x3581364a40522f6bu, 0xcfb86bb1f2dca633u },
	  "Flash(address,address,uint256,uint256,uint256,uint256)", CW_LOG_FLASH_LOAN, 2, NULL },      /* Uniswap v3 */
	{ { 0xab38cdc4a831ebe6u, 0x542bf277d36b65dbu, 0xc5c66a4d03ec6cf5u, 0x6ac38de05dc30098u },
	  "LogCall(address,uint256,address)", CW_LOG_FLASH_LOAN, 1, "f-t" },    /* dYdX: what only its flash loans need */
	{ { 0x8be0079c53165914u, 0x1344cd1fd0a4f284u, 0x19497f9722a3daafu, 0xe3b4186f6b6457e0u },
	  "OwnershipTransferred(address,address)", CW_LOG_OWNERSHIP_TRANSFERRED, -1, "ft" },
	{ { 0xbc7cd75a20ee27fdu, 0x9adebab32041f755u, 0x214dbc6bffa90cc0u, 0x225b39da2e5c2d3bu },
	  "Upgraded(address)", CW_LOG_UPGRADED, -1, "t" },
	{ { 0x1cf3b03a6cf19fa2u, 0xbaba4df148e9dcabu, 0xedea7f8a5c07840eu, 0x207e5c089be95d3eu },
	  "BeaconUpgraded(address)", CW_LOG_UPGRADED, -1, "t" },
	{ { 0x7e644d79422f17c0u, 0x1e4894b5f4f588d3u, 0x31ebfa28653d42aeu, 0x832dc59e38c9798fu },
	  "AdminChanged(address,address)", CW_LOG_ADMIN_CHANGED, -1, "ft" },
	{ { 0x2f8788117e7eff1du, 0x82e926ec794901d1u, 0x7c78024a50270940u, 0x304540a733656f0du },
	  "RoleGranted(bytes32,address,address)", CW_LOG_ROLE_GRANTED, 3, "xtf" },
	{ { 0xf6391f5c32d9c69du, 0x2a47ea670b442974u, 0xb53935d1edc7fd64u, 0xeb21e047a839171bu },
	  "RoleRevoked(bytes32,address,address)", CW_LOG_ROLE_REVOKED, 3, "xtf" },
	{ { 0x62e78cea01bee320u, 0xcd4e420270b5ea74u, 0x000d11b0c9f74754u, 0xebdbfc544b05a258u },
	  "Paused(address)", CW_LOG_PAUSED, -1, "f" },
	{ { 0x5db9ee0a495bf2e6u, 0xff9c91a7834c1ba4u, 0xfdd244a5e8aa4e53u, 0x7bd38aeae4b073aau },
	  "Unpaused(address)", CW_LOG_UNPAUSED, -1, "f" },
};
#define NEVENTS (sizeof(events) / sizeof(*events))

const char *cw_log_kind_name(enum cw_log_kind kind)
{
	return (unsigned)kind < CW_LOG_KINDS ? kind_names[kind] : kind_names[CW_LOG_OTHER];
}

bool cw_log_kind_parse(enum cw_log_kind *out, const char *text, size_t len)
{
	for (int i = 0; i < CW_LOG_KINDS; i++)
		if (strlen(kind_names[i]) == len && memcmp(kind_names[i], text, len) == 0) {
			*out = (enum cw_log_kind)i;
			return true;
		}
	return false;
}

const char *cw_log_standard_name(uint8_t standard)
{
	switch ((enum cw_token_standard)standard) {
	case CW_TOKEN_ERC20: return "erc20";
	case CW_TOKEN_ERC721: return "erc721";
	case CW_TOKEN_ERC1155: return "erc1155";
	case CW_TOKEN_UNKNOWN: break;
	}
	return NULL;
}

const char *cw_log_third_name(enum cw_log_kind kind)
{
	return kind == CW_LOG_TRANSFER ? "operator" : kind == CW_LOG_FLASH_LOAN ? "token" : NULL;
}

const char *cw_log_extra_name(enum cw_log_kind kind)
{
	switch (kind) {
	case CW_LOG_TRANSFER:
	case CW_LOG_APPROVAL:
		return "tokenId";
	case CW_LOG_SWAP:
		return "amountOut";
	case CW_LOG_FLASH_LOAN:
		return "fee";
	case CW_LOG_ROLE_GRANTED:
	case CW_LOG_ROLE_REVOKED:
		return "role";
	default:
		return NULL;
	}
}

static size_t find_event(const struct cw_hash *topic)
{
	uint64_t words[4];

	for (int i = 0; i < 4; i++) {
		memcpy(&words[i], topic->b + 8 * i, 8);
		words[i] = __builtin_bswap64(words[i]);
	}
	for (size_t i = 0; i < NEVENTS; i++)
		if (events[i].words[0] == words[0] && memcmp(events[i].words, words, sizeof(words)) == 0)
			return i + 1;
	return 0;
}

/* --- the list --- */

void cw_logs_add(struct cw_logs *logs, const struct cw_tx_log *log)
{
	uint32_t i = logs->n;

	logs->total++;
	if (logs->n < CW_TX_LOGS_MAX) {
		logs->list[logs->n++] = *log;
		return;
	}
	if (log->kind == CW_LOG_OTHER)
		return;
	while (i > 0 && logs->list[i - 1].kind != CW_LOG_OTHER)
		i--;
	if (i == 0)
		return;
	memmove(&logs->list[i - 1], &logs->list[i], (logs->n - i) * sizeof(*log));
	logs->list[logs->n - 1] = *log;
}

/* --- decoding --- */

/* Arguments in order: indexed ones are topics, the others data. */
struct words {
	const struct cw_raw_log *raw;
	size_t indexed, n;
};

static const uint8_t *word_at(const struct words *w, size_t i)
{
	return i < w->indexed ? w->raw->topics[i + 1].b : w->raw->data + (i - w->indexed) * WORD;
}

static bool read_address(struct cw_address *out, const uint8_t *word)
{
	for (int i = 0; i < 12; i++)
		if (word[i] != 0)
			return false;
	memcpy(out->b, word + 12, sizeof(out->b));
	return true;
}

static bool read_party(struct cw_tx_log *log, char letter, const uint8_t *word)
{
	switch (letter) {
	case 'f':
		log->has |= CW_LOG_HAS_FROM;
		return read_address(&log->from, word);
	case 't':
		log->has |= CW_LOG_HAS_TO;
		return read_address(&log->to, word);
	case 'o':
		log->has |= CW_LOG_HAS_THIRD;
		return read_address(&log->third, word);
	case 'a':
		log->has |= CW_LOG_HAS_AMOUNT;
		log->amount = cw_u256_from_be(word, WORD);
		return true;
	case 'x':
		log->has |= CW_LOG_HAS_EXTRA;
		log->extra = cw_u256_from_be(word, WORD);
		return true;
	default:
		return true;
	}
}

static bool read_spec(struct cw_tx_log *log, const struct words *w, const char *spec)
{
	if (w->n != strlen(spec))
		return false;
	for (size_t i = 0; i < w->n; i++)
		if (!read_party(log, spec[i], word_at(w, i)))
			return false;
	return true;
}

/* A signed word as magnitude; whether it is negative. */
static bool read_signed(struct cw_u256 *out, const uint8_t *word)
{
	static const struct cw_u256 one = { { 1, 0, 0, 0 } };
	bool negative = (word[0] & 0x80) != 0;

	*out = cw_u256_from_be(word, WORD);
	if (!negative)
		return false;
	for (int i = 0; i < 4; i++)
		out->w[i] = ~out->w[i];
	cw_u256_add(out, out, &one);    /* cannot overflow: the top bit is 0, or all of it was 2^255 */
	return true;
}

/* What the pool got of a token and what it gave, as one number. */
static bool net(struct cw_u256 *out, const struct cw_u256 *in, const struct cw_u256 *away)
{
	if (cw_u256_sub(out, in, away))
		return false;
	cw_u256_sub(out, away, in);
	return true;
}

/* `amount0` and `amount1` came in, or went out where `minus` says so. */
static void set_swap(struct cw_tx_log *log, const struct cw_u256 amounts[2], const bool minus[2])
{
	/* token0 for token1, unless token0 went out or only token1 came in. */
	bool zero_for_one = !minus[0] && (minus[1] || !cw_u256_is_zero(&amounts[0]));
	int in = zero_for_one ? 0 : 1;

	log->amount = amounts[in];
	log->extra = minus[1 - in] ? amounts[1 - in] : cw_u256_from_u64(0);
	log->has |= CW_LOG_HAS_AMOUNT | CW_LOG_HAS_EXTRA | CW_LOG_HAS_FLAG | (zero_for_one ? CW_LOG_FLAG : 0);
}

static bool decode_swap(struct cw_tx_log *log, const struct words *w)
{
	struct cw_u256 amounts[2];
	bool minus[2];

	if (w->n < 6 || !read_party(log, 'f', word_at(w, 0)) || !read_party(log, 't', word_at(w, 1)))
		return false;
	if (w->n == 6) {                /* v2: both in, both out */
		for (size_t i = 0; i < 2; i++) {
			struct cw_u256 in = cw_u256_from_be(word_at(w, 2 + i), WORD), out = cw_u256_from_be(word_at(w, 4 + i), WORD);

			minus[i] = net(&amounts[i], &in, &out);
		}
	} else {                        /* v3: signed */
		for (size_t i = 0; i < 2; i++)
			minus[i] = read_signed(&amounts[i], word_at(w, 2 + i));
	}
	set_swap(log, amounts, minus);
	return true;
}

/* Flash(sender, recipient, amount0, amount1, paid0, paid1): one entry a token that was lent. */
static bool add_flash(struct cw_logs *logs, struct cw_tx_log *log, const struct words *w)
{
	bool any = false;

	if (w->n != 6 || !read_party(log, 'f', word_at(w, 0)) || !read_party(log, 't', word_at(w, 1)))
		return false;
	for (size_t i = 0; i < 2; i++) {
		read_party(log, 'a', word_at(w, 2 + i));
		read_party(log, 'x', word_at(w, 4 + i));
		if (cw_u256_is_zero(&log->amount) && (any || i == 0))
			continue;
		cw_logs_add(logs, log);
		any = true;
	}
	return true;
}

static bool add_token_event(struct cw_logs *logs, struct cw_tx_log *log, const struct cw_raw_log *raw)
{
	struct cw_event e;

	if (!cw_event_decode(&e, raw->topics, raw->ntopics, raw->data, raw->len))
		return false;
	log->standard = (uint8_t)e.standard;
	log->from = e.from;
	log->to = e.to;
	log->third = e.operator;
	log->amount = e.amount;
	log->extra = e.token_id;
	log->has |= (uint16_t)(((e.has & CW_ABI_HAS_FROM) != 0 ? CW_LOG_HAS_FROM : 0) |
	                       ((e.has & CW_ABI_HAS_TO) != 0 ? CW_LOG_HAS_TO : 0) |
	                       ((e.has & CW_ABI_HAS_OPERATOR) != 0 ? CW_LOG_HAS_THIRD : 0) |
	                       ((e.has & CW_ABI_HAS_AMOUNT) != 0 ? CW_LOG_HAS_AMOUNT : 0) |
	                       ((e.has & CW_ABI_HAS_TOKEN_ID) != 0 ? CW_LOG_HAS_EXTRA : 0) |
	                       ((e.has & CW_ABI_HAS_APPROVED) != 0 ? CW_LOG_HAS_FLAG : 0) | (e.approved ? CW_LOG_FLAG : 0));
	if (e.kind != CW_EVENT_TRANSFER_BATCH) {
		cw_logs_add(logs, log);
		return true;
	}
	log->has |= CW_LOG_HAS_AMOUNT | CW_LOG_HAS_EXTRA;
	for (uint32_t i = 0; i < e.count; i++) {
		cw_event_pair(&e, raw->data, raw->len, i, &log->extra, &log->amount);
		cw_logs_add(logs, log);
	}
	return true;
}

static bool add_known(struct cw_logs *logs, const struct event *event, struct cw_tx_log *log,
                      const struct cw_raw_log *raw)
{
	const struct words w = { .raw = raw, .indexed = raw->ntopics - 1, .n = raw->ntopics - 1 + raw->len / WORD };

	log->kind = (uint8_t)event->kind;
	if (event->kind <= CW_LOG_APPROVAL_FOR_ALL)
		return add_token_event(logs, log, raw);
	if (raw->len % WORD != 0 || (event->indexed >= 0 && w.indexed != (size_t)event->indexed))
		return false;
	if (event->kind == CW_LOG_FLASH_LOAN && event->spec == NULL)
		return add_flash(logs, log, &w);
	if (event->spec != NULL ? !read_spec(log, &w, event->spec) : !decode_swap(log, &w))
		return false;
	cw_logs_add(logs, log);
	return true;
}

void cw_logs_add_raw(struct cw_logs *logs, const struct cw_raw_log *raw)
{
	struct cw_tx_log plain = { .address = raw->address, .index = raw->index, .data_size = (uint32_t)raw->len };
	size_t event = 0;

	if (raw->ntopics > 0) {
		plain.topic = raw->topics[0];
		plain.has = CW_LOG_HAS_TOPIC;
		event = raw->ntopics <= 4 ? find_event(&plain.topic) : 0;   /* the EVM has LOG0 to LOG4 */
	}
	if (event > 0) {
		struct cw_tx_log log = plain;

		if (add_known(logs, &events[event - 1], &log, raw))
			return;
	}
	cw_logs_add(logs, &plain);
}

/* --- stored form ---
 *
 * Version; total and number as varints; then for each entry: kind, standard, has, event (0: the topic follows), index and
 * size as varints, the address, and what `has` names: addresses whole, amounts as length and big-endian bytes. */

static void put_varint(struct cw_buf *out, uint32_t value)
{
	for (; value >= 0x80; value >>= 7)
		cw_buf_putc(out, (char)(uint8_t)(value | 0x80));
	cw_buf_putc(out, (char)(uint8_t)value);
}

static void put_amount(struct cw_buf *out, const struct cw_u256 *amount)
{
	uint8_t bytes[32];
	size_t skip = 0;

	cw_u256_to_be(amount, bytes);
	while (skip < sizeof(bytes) && bytes[skip] == 0)
		skip++;
	cw_buf_putc(out, (char)(sizeof(bytes) - skip));
	cw_buf_add(out, bytes + skip, sizeof(bytes) - skip);
}

static void pack_one(struct cw_buf *out, const struct cw_tx_log *log)
{
	size_t event = log->kind != CW_LOG_OTHER && (log->has & CW_LOG_HAS_TOPIC) != 0 ? find_event(&log->topic) : 0;
	const uint8_t head[4] = { log->kind, log->standard, (uint8_t)log->has, (uint8_t)event };

	cw_buf_add(out, head, sizeof(head));
	put_varint(out, log->index);
	put_varint(out, log->data_size);
	cw_buf_add(out, log->address.b, sizeof(log->address.b));
	if (event == 0 && (log->has & CW_LOG_HAS_TOPIC) != 0)
		cw_buf_add(out, log->topic.b, sizeof(log->topic.b));
	if ((log->has & CW_LOG_HAS_FROM) != 0)
		cw_buf_add(out, log->from.b, sizeof(log->from.b));
	if ((log->has & CW_LOG_HAS_TO) != 0)
		cw_buf_add(out, log->to.b, sizeof(log->to.b));
	if ((log->has & CW_LOG_HAS_THIRD) != 0)
		cw_buf_add(out, log->third.b, sizeof(log->third.b));
	if ((log->has & CW_LOG_HAS_AMOUNT) != 0)
		put_amount(out, &log->amount);
	if ((log->has & CW_LOG_HAS_EXTRA) != 0)
		put_amount(out, &log->extra);
}

void cw_logs_pack(struct cw_buf *out, const struct cw_tx *tx)
{
	cw_buf_putc(out, PACK_VERSION);
	put_varint(out, tx->logs_total);
	put_varint(out, tx->nlogs);
	for (uint32_t i = 0; i < tx->nlogs; i++)
		pack_one(out, &tx->logs[i]);
}

struct unpack {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static void take(struct unpack *u, void *out, size_t len)
{
	if (u->bad || u->left < len) {
		u->bad = true;
		return;
	}
	memcpy(out, u->at, len);
	u->at += len;
	u->left -= len;
}

static uint32_t take_varint(struct unpack *u)
{
	uint64_t value = 0;
	uint8_t byte = 0x80;

	for (unsigned shift = 0; shift < 35 && !u->bad && (byte & 0x80) != 0; shift += 7) {
		take(u, &byte, 1);
		value |= (uint64_t)(byte & 0x7f) << shift;
	}
	u->bad |= value > UINT32_MAX || (byte & 0x80) != 0;
	return u->bad ? 0 : (uint32_t)value;
}

static struct cw_u256 take_amount(struct unpack *u)
{
	uint8_t len = 0, bytes[32];

	take(u, &len, 1);
	u->bad |= len > sizeof(bytes);
	if (u->bad)
		return cw_u256_from_u64(0);
	take(u, bytes, len);
	return u->bad ? cw_u256_from_u64(0) : cw_u256_from_be(bytes, len);
}

static void topic_of(struct cw_hash *out, const struct event *event)
{
	for (int i = 0; i < 4; i++) {
		uint64_t word = __builtin_bswap64(event->words[i]);

		memcpy(out->b + 8 * i, &word, sizeof(word));
	}
}

static void unpack_one(struct unpack *u, struct cw_tx_log *log)
{
	uint8_t head[4] = { 0 };

	memset(log, 0, sizeof(*log));
	take(u, head, sizeof(head));
	log->kind = head[0];
	log->standard = head[1];
	log->has = head[2];
	u->bad |= log->kind >= CW_LOG_KINDS || log->standard > CW_TOKEN_ERC1155 || head[3] > NEVENTS;
	log->index = take_varint(u);
	log->data_size = take_varint(u);
	take(u, log->address.b, sizeof(log->address.b));
	if (!u->bad && head[3] > 0)
		topic_of(&log->topic, &events[head[3] - 1]);
	else if ((log->has & CW_LOG_HAS_TOPIC) != 0)
		take(u, log->topic.b, sizeof(log->topic.b));
	if ((log->has & CW_LOG_HAS_FROM) != 0)
		take(u, log->from.b, sizeof(log->from.b));
	if ((log->has & CW_LOG_HAS_TO) != 0)
		take(u, log->to.b, sizeof(log->to.b));
	if ((log->has & CW_LOG_HAS_THIRD) != 0)
		take(u, log->third.b, sizeof(log->third.b));
	if ((log->has & CW_LOG_HAS_AMOUNT) != 0)
		log->amount = take_amount(u);
	if ((log->has & CW_LOG_HAS_EXTRA) != 0)
		log->extra = take_amount(u);
}

bool cw_logs_unpack(struct cw_tx *tx, const uint8_t *bytes, size_t len, struct cw_arena *arena)
{
	struct unpack u = { .at = bytes, .left = len };
	struct cw_tx_log *list;
	uint8_t version = 0;
	uint32_t total, n;

	take(&u, &version, 1);
	total = take_varint(&u);
	n = take_varint(&u);
	if (u.bad || version != PACK_VERSION || n > CW_TX_LOGS_MAX || n > total)
		return false;
	list = cw_arena_alloc(arena, (n + 1) * sizeof(*list));
	for (uint32_t i = 0; i < n; i++)
		unpack_one(&u, &list[i]);
	if (u.bad || u.left > 0)
		return false;
	tx->logs = n > 0 ? list : NULL;
	tx->nlogs = n;
	tx->logs_total = total;
	tx->has |= CW_TX_HAS_LOGS;
	return true;
}
