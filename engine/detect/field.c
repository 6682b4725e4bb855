/* field.c - the fields of a transaction by name, as keys, as numbers; the hash that all sketches use. */
#include "detect/primitive.h"

#include <math.h>
#include <string.h>

/* Bytes of one field in a key: the longest is a hash or an amount. */
#define FIELD_BYTES 32

static const char *const field_names[CW_FIELD_COUNT] = {
	[CW_FIELD_NONE] = "",
	[CW_FIELD_FROM] = "from",
	[CW_FIELD_TO] = "to",
	[CW_FIELD_HASH] = "hash",
	[CW_FIELD_CHAIN] = "chain",
	[CW_FIELD_SELECTOR] = "selector",
	[CW_FIELD_VALUE] = "value",
	[CW_FIELD_GAS] = "gas",
	[CW_FIELD_GAS_PRICE] = "gas_price",
	[CW_FIELD_GAS_USED] = "gas_used",
	[CW_FIELD_NONCE] = "nonce",
	[CW_FIELD_BLOCK] = "block",
	[CW_FIELD_TIMESTAMP] = "timestamp",
	[CW_FIELD_INPUT_SIZE] = "input_size",
	[CW_FIELD_STATUS] = "status",
	[CW_FIELD_INDEX] = "index",
	[CW_FIELD_FEE] = "fee",
	[CW_FIELD_ARG1] = "arg1",
	[CW_FIELD_ARG2] = "arg2",
	[CW_FIELD_ARG3] = "arg3",
	[CW_FIELD_CREATED] = "created",
	[CW_FIELD_LOG_ADDRESS] = "log_address",
	[CW_FIELD_LOG_FROM] = "log_from",
	[CW_FIELD_LOG_TO] = "log_to",
	[CW_FIELD_LOG_AMOUNT] = "log_amount",
	[CW_FIELD_LOG_ID] = "log_id",
};

static enum cw_field parse_name(const char *name, size_t len)
{
	for (int f = CW_FIELD_NONE + 1; f < CW_FIELD_COUNT; f++)
		if (strlen(field_names[f]) == len && memcmp(field_names[f], name, len) == 0)
			return (enum cw_field)f;
	return CW_FIELD_NONE;
}

enum cw_field cw_field_parse(const char *name)
{
	return parse_name(name, strlen(name));
}

const char *cw_field_name(enum cw_field field)
{
	return (unsigned)field < CW_FIELD_COUNT ? field_names[field] : "";
}

bool cw_field_is_number(enum cw_field field)
{
	return field >= CW_FIELD_VALUE && field < CW_FIELD_COUNT;
}

/* A set is up to three field numbers of 8 bits, the smallest lowest, so that the order of writing does not matter. */
bool cw_fieldset_parse(const char *text, cw_fieldset *out)
{
	enum cw_field got[3];
	int n = 0;

	*out = 0;
	if (text[0] == '\0')
		return true;
	for (;;) {
		size_t len = strcspn(text, "+");
		enum cw_field field = parse_name(text, len);
		int at = n;

		if (field == CW_FIELD_NONE || n == 3)
			return false;
		for (; at > 0 && got[at - 1] >= field; at--) {
			if (got[at - 1] == field)
				return false;
			got[at] = got[at - 1];
		}
		got[at] = field;
		n++;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	for (int i = 0; i < n; i++)
		*out |= (cw_fieldset)got[i] << (8 * i);
	return true;
}

char *cw_fieldset_format(cw_fieldset fields, char out[CW_FIELDSET_TEXT])
{
	size_t len = 0;

	out[0] = '\0';
	for (; fields != 0; fields >>= 8) {
		const char *name = cw_field_name((enum cw_field)(fields & 0xff));
		size_t n = strlen(name);

		if (len + n + 2 > CW_FIELDSET_TEXT)
			break;
		if (len > 0)
			out[len++] = '+';
		memcpy(out + len, name, n + 1);
		len += n;
	}
	return out;
}

/* The log that a rule's loop has reached, if it has the member. */
static const struct cw_tx_log *log_with(const struct cw_tx *tx, uint16_t member)
{
	const struct cw_tx_log *log = tx->log_at > 0 && tx->log_at <= tx->nlogs ? &tx->logs[tx->log_at - 1] : NULL;

	return log != NULL && (log->has & member) == member ? log : NULL;
}

const uint8_t *cw_field_word(const struct cw_tx *tx, enum cw_field field)
{
	uint32_t end = 4 + 32 * ((uint32_t)field - CW_FIELD_ARG1 + 1);

	return (tx->has & CW_TX_HAS_INPUT) != 0 && tx->input_head_size >= end ? tx->input_head + end - 32 : NULL;
}

const struct cw_address *cw_field_address(const struct cw_tx *tx, enum cw_field field)
{
	static const uint8_t none[12];
	const struct cw_tx_log *log;
	const uint8_t *word;

	switch (field) {
	case CW_FIELD_CREATED: return (tx->has & CW_TX_HAS_CREATED) != 0 ? &tx->created : NULL;
	case CW_FIELD_LOG_ADDRESS: return (log = log_with(tx, 0)) != NULL ? &log->address : NULL;
	case CW_FIELD_LOG_FROM: return (log = log_with(tx, CW_LOG_HAS_FROM)) != NULL ? &log->from : NULL;
	case CW_FIELD_LOG_TO: return (log = log_with(tx, CW_LOG_HAS_TO)) != NULL ? &log->to : NULL;
	case CW_FIELD_FROM: return &tx->from;
	case CW_FIELD_TO: return (tx->has & CW_TX_HAS_TO) != 0 ? &tx->to : NULL;
	case CW_FIELD_ARG1:
	case CW_FIELD_ARG2:
	case CW_FIELD_ARG3: break;
	default: return NULL;
	}
	word = cw_field_word(tx, field);
	return word != NULL && memcmp(word, none, sizeof(none)) == 0 ? (const struct cw_address *)(word + sizeof(none)) : NULL;
}

static size_t put_u64(uint8_t *out, uint64_t value)
{
	memcpy(out, &value, sizeof(value));
	return sizeof(value);
}

/* Bytes of a field that make it a key; 0 where the transaction lacks it. */
static size_t field_bytes(const struct cw_tx *tx, enum cw_field field, uint8_t out[FIELD_BYTES])
{
	switch (field) {
	case CW_FIELD_FROM: memcpy(out, tx->from.b, 20); return 20;
	case CW_FIELD_TO:
		if ((tx->has & CW_TX_HAS_TO) == 0)
			return 0;
		memcpy(out, tx->to.b, 20);
		return 20;
	case CW_FIELD_HASH: memcpy(out, tx->hash.b, 32); return 32;
	case CW_FIELD_CHAIN: return put_u64(out, tx->chain_id);
	case CW_FIELD_SELECTOR:
		if ((tx->has & CW_TX_HAS_INPUT) == 0 || tx->input_head_size < 4)
			return 0;
		memcpy(out, tx->input_head, 4);
		return 4;
	case CW_FIELD_VALUE: memcpy(out, tx->value.w, 32); return 32;
	case CW_FIELD_GAS: return put_u64(out, tx->gas);
	case CW_FIELD_GAS_PRICE: memcpy(out, tx->gas_price.w, 32); return 32;
	case CW_FIELD_GAS_USED: return (tx->has & CW_TX_HAS_GAS_USED) != 0 ? put_u64(out, tx->gas_used) : 0;
	case CW_FIELD_NONCE: return put_u64(out, tx->nonce);
	case CW_FIELD_BLOCK: return put_u64(out, tx->block_number);
	case CW_FIELD_TIMESTAMP: return put_u64(out, (uint64_t)tx->timestamp);
	case CW_FIELD_INPUT_SIZE: return (tx->has & CW_TX_HAS_INPUT) != 0 ? put_u64(out, tx->input_size) : 0;
	case CW_FIELD_STATUS: return (tx->has & CW_TX_HAS_STATUS) != 0 ? put_u64(out, tx->status) : 0;
	case CW_FIELD_INDEX: return (tx->has & CW_TX_HAS_INDEX) != 0 ? put_u64(out, tx->index) : 0;
	case CW_FIELD_FEE: {
		double fee = cw_field_number(tx, CW_FIELD_FEE);

		if (isnan(fee))
			return 0;
		memcpy(out, &fee, sizeof(fee));
		return sizeof(fee);
	}
	case CW_FIELD_ARG1:
	case CW_FIELD_ARG2:
	case CW_FIELD_ARG3:
	case CW_FIELD_CREATED:
	case CW_FIELD_LOG_ADDRESS:
	case CW_FIELD_LOG_FROM:
	case CW_FIELD_LOG_TO: {
		const struct cw_address *address = cw_field_address(tx, field);

		if (address == NULL)
			return 0;
		memcpy(out, address->b, 20);
		return 20;
	}
	case CW_FIELD_LOG_AMOUNT:
	case CW_FIELD_LOG_ID: {
		bool id = field == CW_FIELD_LOG_ID;
		const struct cw_tx_log *log = log_with(tx, id ? CW_LOG_HAS_EXTRA : CW_LOG_HAS_AMOUNT);

		if (log == NULL)
			return 0;
		memcpy(out, id ? log->extra.w : log->amount.w, 32);
		return 32;
	}
	case CW_FIELD_NONE:
	case CW_FIELD_COUNT: break;
	}
	return 0;
}

/* All fields of the set one after another; 0 where one is missing. */
static size_t set_bytes(const struct cw_tx *tx, cw_fieldset fields, uint8_t out[3 * FIELD_BYTES])
{
	size_t len = 0;

	for (; fields != 0; fields >>= 8) {
		size_t n = field_bytes(tx, (enum cw_field)(fields & 0xff), out + len);

		if (n == 0)
			return 0;
		len += n;
	}
	return len;
}

/* The low 32 bits for the chains that exist; a hash of it for those that do not. */
static uint32_t chain_word(uint64_t chain_id)
{
	return chain_id <= UINT32_MAX ? (uint32_t)chain_id : (uint32_t)cw_hash64(&chain_id, sizeof(chain_id), 0);
}

bool cw_fieldset_key(const struct cw_tx *tx, cw_fieldset fields, struct cw_dict_key *key)
{
	uint32_t chain = chain_word(tx->chain_id);
	uint8_t bytes[3 * FIELD_BYTES];
	size_t len;

	/* cppcheck-suppress ctuuninitvar ; it is filled here */
	memcpy(key->b + 20, &chain, sizeof(chain));
	if (fields == CW_FIELD_FROM) {
		memcpy(key->b, tx->from.b, 20);
		return true;
	}
	if (fields == CW_FIELD_TO) {
		memcpy(key->b, tx->to.b, 20);
		return (tx->has & CW_TX_HAS_TO) != 0;
	}
	memset(key->b, 0, 20);
	if (fields == 0)
		return true;
	if (fields >= CW_FIELD_ARG1 && fields <= CW_FIELD_LOG_TO) {   /* an account, in whatever role */
		const struct cw_address *address = cw_field_address(tx, (enum cw_field)fields);

		if (address != NULL)
			memcpy(key->b, address->b, 20);
		return address != NULL;
	}
	len = set_bytes(tx, fields, bytes);
	if (len == 0)
		return false;
	put_u64(key->b, cw_hash64(bytes, len, fields));
	put_u64(key->b + 8, cw_hash64(bytes, len, ~(uint64_t)fields));
	memcpy(key->b + 16, &fields, 4);   /* so that equal bytes of other fields are other keys */
	return true;
}

bool cw_fieldset_hash(const struct cw_tx *tx, cw_fieldset fields, uint64_t *hash)
{
	uint8_t bytes[3 * FIELD_BYTES];
	size_t len = set_bytes(tx, fields, bytes);

	if (len == 0 && fields != 0)
		return false;
	*hash = cw_hash64(bytes, len, tx->chain_id);
	return true;
}

static double u256_number(const struct cw_u256 *a)
{
	return (a->w[1] | a->w[2] | a->w[3]) == 0 ? (double)a->w[0] : cw_u256_to_double(a);
}

static double word_number(const uint8_t *word)
{
	struct cw_u256 number;

	if (word == NULL)
		return NAN;
	number = cw_u256_from_be(word, 32);
	return u256_number(&number);
}

double cw_field_number(const struct cw_tx *tx, enum cw_field field)
{
	switch (field) {
	case CW_FIELD_VALUE: return u256_number(&tx->value);
	case CW_FIELD_GAS: return (double)tx->gas;
	case CW_FIELD_GAS_PRICE: return u256_number(&tx->gas_price);
	case CW_FIELD_GAS_USED: return (tx->has & CW_TX_HAS_GAS_USED) != 0 ? (double)tx->gas_used : NAN;
	case CW_FIELD_NONCE: return (double)tx->nonce;
	case CW_FIELD_BLOCK: return (double)tx->block_number;
	case CW_FIELD_TIMESTAMP: return (double)tx->timestamp;
	case CW_FIELD_INPUT_SIZE: return (tx->has & CW_TX_HAS_INPUT) != 0 ? (double)tx->input_size : NAN;
	case CW_FIELD_STATUS: return (tx->has & CW_TX_HAS_STATUS) != 0 ? (double)tx->status : NAN;
	case CW_FIELD_INDEX: return (tx->has & CW_TX_HAS_INDEX) != 0 ? (double)tx->index : NAN;
	case CW_FIELD_FEE:
		return (tx->has & CW_TX_HAS_GAS_USED) != 0 ? (double)tx->gas_used * u256_number(&tx->gas_price) : NAN;
	case CW_FIELD_ARG1:
	case CW_FIELD_ARG2:
	case CW_FIELD_ARG3: return word_number(cw_field_word(tx, field));
	case CW_FIELD_LOG_AMOUNT: {
		const struct cw_tx_log *log = log_with(tx, CW_LOG_HAS_AMOUNT);

		return log != NULL ? u256_number(&log->amount) : NAN;
	}
	default: return NAN;
	}
}

/* Two words are multiplied to 128 bits and folded: every input bit reaches every output bit. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Fractional bits of the square roots of 2, 3, 5, made odd: numbers without a plan. */
#define HASH_K0 0x6a09e667f3bcc909ull
#define HASH_K1 0xbb67ae8584caa73bull
#define HASH_K2 0x3c6ef372fe94f82bull

uint64_t cw_hash64(const void *bytes, size_t len, uint64_t seed)
{
	const uint8_t *p = bytes;
	uint64_t h = fold(seed ^ HASH_K0, (uint64_t)len ^ HASH_K1);
	uint64_t a, b;

	for (; len > 16; len -= 16, p += 16) {
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		h = fold(a ^ HASH_K1, b ^ h) ^ HASH_K2;
	}
	a = b = 0;
	memcpy(&a, p, len < 8 ? len : 8);
	if (len > 8)
		memcpy(&b, p + 8, len - 8);
	h = fold(a ^ HASH_K2 ^ h, b ^ HASH_K0);
	return fold(h ^ HASH_K1, h ^ (h >> 32) ^ HASH_K2);
}
