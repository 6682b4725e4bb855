#include "chain/tx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

#define TIME_MAX 253402300799   /* 9999-12-31T23:59:59Z: later ones have no RFC 3339 form, and milliseconds end here */

enum field {
	HASH = 0, CHAIN_ID, BLOCK_NUMBER, BLOCK_HASH, INDEX, TIMESTAMP, FROM, TO, VALUE, GAS, GAS_PRICE, EFFECTIVE_PRICE,
	GAS_USED, NONCE, INPUT, INPUT_BYTES, STATUS, CREATED, LOGS, LOGS_TOTAL, FIELDS
};

struct value {
	const char *name;           /* as it stood in the JSON; NULL: not given */
	struct cw_u256 number;
	struct cw_hash hash;
	struct cw_address address;
	const uint8_t *bytes;
	size_t len;
	const struct cw_json *list;
};

struct reader {
	struct value values[FIELDS];
	struct cw_arena *arena;
	struct cw_tx_faults *faults;
	bool failed;
	bool node;                  /* what a node says: its transaction happened, however it is written */
};

struct name {
	const char *text;
	enum field field;
};

/* By length, so that a name is compared with few others. */
static const struct name names[28][6] = {
	[2] = { { "to", TO } },
	[3] = { { "gas", GAS } },
	[4] = { { "hash", HASH }, { "from", FROM }, { "data", INPUT }, { "logs", LOGS } },
	[5] = { { "value", VALUE }, { "nonce", NONCE }, { "input", INPUT } },
	[6] = { { "status", STATUS } },
	[7] = { { "gasUsed", GAS_USED }, { "chainId", CHAIN_ID } },
	[8] = { { "gasPrice", GAS_PRICE }, { "gas_used", GAS_USED }, { "chain_id", CHAIN_ID } },
	[9] = { { "timestamp", TIMESTAMP }, { "gas_price", GAS_PRICE }, { "blockHash", BLOCK_HASH }, { "logsTotal", LOGS_TOTAL } },
	[10] = { { "to_address", TO }, { "input_data", INPUT }, { "block_hash", BLOCK_HASH }, { "inputBytes", INPUT_BYTES },
	         { "logs_total", LOGS_TOTAL } },
	[11] = { { "blockNumber", BLOCK_NUMBER }, { "input_bytes", INPUT_BYTES } },
	[12] = { { "from_address", FROM }, { "block_number", BLOCK_NUMBER } },
	[14] = { { "receipt_status", STATUS } },
	[15] = { { "transactionHash", HASH }, { "contractAddress", CREATED }, { "block_timestamp", TIMESTAMP } },
	[16] = { { "transactionIndex", INDEX }, { "contract_address", CREATED }, { "receipt_gas_used", GAS_USED } },
	[17] = { { "transaction_index", INDEX }, { "effectiveGasPrice", EFFECTIVE_PRICE } },
	[19] = { { "effective_gas_price", EFFECTIVE_PRICE } },
	[24] = { { "receipt_contract_address", CREATED } },
	[27] = { { "receipt_effective_gas_price", EFFECTIVE_PRICE } },
};

static const struct name *find_name(const char *text, size_t len)
{
	if (len >= sizeof(names) / sizeof(*names))
		return NULL;
	for (const struct name *name = names[len]; name->text != NULL; name++)
		if (memcmp(name->text, text, len) == 0)
			return name;
	return NULL;
}

static void fault_at(struct cw_tx_faults *faults, const char *slash, const char *name, const char *format,
                     va_list args)
{
	struct cw_tx_fault *f;

	if (faults->count == CW_TX_FAULTS_MAX)
		return;
	f = &faults->list[faults->count++];
	snprintf(f->pointer, sizeof(f->pointer), "%s%s", slash, name);
	vsnprintf(f->what, sizeof(f->what), format, args);
}

void cw_tx_fault_add(struct cw_tx_faults *faults, const char *pointer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fault_at(faults, "", pointer, format, args);
	va_end(args);
}

__attribute__((format(printf, 3, 4)))
static void fault(struct reader *r, const char *name, const char *format, ...)
{
	va_list args;

	r->failed = true;
	va_start(args, format);
	fault_at(r->faults, name[0] != '\0' ? "/" : "", name, format, args);
	va_end(args);
}

/* --- reading --- */

bool cw_json_quantity(const struct cw_json *json, struct cw_u256 *out)
{
	if (json->type == CW_JSON_NUMBER)
		return cw_u256_parse_decimal(out, json->text, json->len);   /* refuses sign, fraction and exponent */
	if (json->type != CW_JSON_STRING)
		return false;
	if (json->len >= 2 && json->text[0] == '0' && json->text[1] == 'x')
		return cw_u256_parse_hex(out, json->text + 2, json->len - 2);
	return cw_u256_parse_decimal(out, json->text, json->len);
}

static bool read_below(const struct cw_json *json, struct cw_u256 *out, uint64_t max)
{
	return cw_json_quantity(json, out) && cw_u256_fits_u64(out) && out->w[0] <= max;
}

static bool read_timestamp(const struct cw_json *json, struct cw_u256 *out)
{
	int64_t us;

	if (json->type == CW_JSON_STRING && cw_time_parse(json->text, &us) == 0) {
		if (us < 0 || us / 1000000 > TIME_MAX)
			return false;
		*out = cw_u256_from_u64((uint64_t)us / 1000000);
		return true;
	}
	return read_below(json, out, TIME_MAX);
}

static bool read_status(const struct cw_json *json, struct cw_u256 *out)
{
	if (json->type == CW_JSON_TRUE || json->type == CW_JSON_FALSE) {
		*out = cw_u256_from_u64(json->type == CW_JSON_TRUE);
		return true;
	}
	return read_below(json, out, 1);
}

static bool read_input(struct reader *r, const struct cw_json *json, struct value *v)
{
	uint8_t *bytes;

	if (json->type != CW_JSON_STRING || json->len < 2 || json->text[0] != '0' || json->text[1] != 'x')
		return false;
	v->len = (json->len - 2) / 2;
	bytes = cw_arena_alloc(r->arena, v->len + 1);
	v->bytes = bytes;
	return cw_hex_decode(bytes, json->text + 2, json->len - 2);
}

/* Nodes of some chains have checksums of their own (EIP-1191), and some write "nobody" like this. */
static bool read_node_address(const struct cw_json *json, struct value *v)
{
	static const struct cw_address nobody;

	if (json->len <= 3 && strncmp("0x0", json->text, json->len) == 0)
		v->name = NULL;
	else if (json->len != CW_ADDRESS_TEXT - 1 || json->text[0] != '0' || json->text[1] != 'x' ||
	         !cw_hex_decode(v->address.b, json->text + 2, 40))
		return false;
	else if (v->name == names[15][1].text && memcmp(&v->address, &nobody, sizeof(nobody)) == 0)
		v->name = NULL;             /* no contract was created */
	return true;
}

/* NULL if all is well, else what is wrong. */
static const char *read_value(struct reader *r, enum field field, const struct cw_json *json, struct value *v)
{
	bool text = json->type == CW_JSON_STRING;

	if (r->node && text && (field == FROM || field == TO || field == CREATED))
		return read_node_address(json, v) ? NULL : "must be 0x and 40 hex digits";
	switch (field) {
	case HASH:
	case BLOCK_HASH:
		return text && cw_hash_parse(&v->hash, json->text, json->len) ? NULL : "must be 0x and 64 hex digits";
	case FROM:
	case TO:
	case CREATED:
		switch (text ? cw_address_parse(&v->address, json->text, json->len) : CW_ADDRESS_MALFORMED) {
		case CW_ADDRESS_OK:
			return NULL;
		case CW_ADDRESS_CHECKSUM:
			return "has a wrong EIP-55 checksum (lower case claims none)";
		case CW_ADDRESS_MALFORMED:
			return "must be 0x and 40 hex digits";
		}
		return "must be an address";
	case VALUE:
	case GAS_PRICE:
	case EFFECTIVE_PRICE:
		return cw_json_quantity(json, &v->number) ? NULL : "must be a non-negative integer below 2^256";
	case CHAIN_ID:
	case BLOCK_NUMBER:
	case GAS:
	case GAS_USED:
	case NONCE:
		return read_below(json, &v->number, INT64_MAX) ? NULL : "must be a non-negative integer below 2^63";
	case INDEX:
	case INPUT_BYTES:
	case LOGS_TOTAL:
		return read_below(json, &v->number, INT32_MAX) ? NULL : "must be a non-negative integer below 2^31";
	case TIMESTAMP:
		return read_timestamp(json, &v->number) ? NULL
			: "must be seconds since 1970 or an RFC 3339 time, before the year 10000";
	case STATUS:
		return read_status(json, &v->number) ? NULL : "must be 0, 1, true or false";
	case INPUT:
		return read_input(r, json, v) ? NULL : "must be 0x and an even number of hex digits";
	case LOGS:
		v->list = json;
		return NULL;
	case FIELDS:
		break;
	}
	return "is unknown";
}

static bool same_value(const struct value *a, const struct value *b)
{
	return cw_u256_cmp(&a->number, &b->number) == 0 && memcmp(&a->hash, &b->hash, sizeof(a->hash)) == 0 &&
	       memcmp(&a->address, &b->address, sizeof(a->address)) == 0 && a->len == b->len &&
	       (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

static void read_member(struct reader *r, const struct cw_json *json)
{
	const struct name *name = find_name(json->key, json->key_len);
	struct value v = { .name = NULL }, *given;
	const char *what;

	if (name == NULL || json->type == CW_JSON_NULL)
		return;
	v.name = name->text;
	what = read_value(r, name->field, json, &v);
	if (what != NULL) {
		fault(r, name->text, "%s", what);
		/* Not missing at least. */
		v = (struct value){ .name = name->text };
	}
	given = &r->values[name->field];
	if (v.name == NULL)
		return;
	if (given->name == NULL)
		*given = v;
	else if (what == NULL && !same_value(given, &v))
		fault(r, name->text, "differs from \"%s\"", given->name);
}

static void require_fields(struct reader *r)
{
	static const struct { enum field field; const char *name; } required[] = {
		{ HASH, "hash" }, { BLOCK_NUMBER, "blockNumber" }, { TIMESTAMP, "timestamp" }, { FROM, "from" },
		{ VALUE, "value" }, { GAS, "gas" }, { GAS_PRICE, "gasPrice" }, { NONCE, "nonce" },
	};

	for (size_t i = 0; i < sizeof(required) / sizeof(*required); i++)
		if (r->values[required[i].field].name == NULL)
			fault(r, required[i].name, "is required");
}

static void fill_input(struct cw_tx_in *out, struct reader *r)
{
	const struct value *input = &r->values[INPUT], *size = &r->values[INPUT_BYTES];
	struct cw_tx *tx = &out->tx;

	if (input->len > INT32_MAX) {
		fault(r, input->name, "must be shorter than 2^31 bytes");
		return;
	}
	if (size->name != NULL && size->number.w[0] < input->len) {
		fault(r, size->name, "is less than the call data that was given");
		return;
	}
	tx->input_size = (uint32_t)(size->name != NULL ? size->number.w[0] : input->len);
	if (input->name == NULL)
		return;
	tx->has |= CW_TX_HAS_INPUT;
	tx->input_head_size = (uint32_t)(input->len < CW_TX_INPUT_HEAD ? input->len : CW_TX_INPUT_HEAD);
	if (input->len > 0)
		memcpy(tx->input_head, input->bytes, tx->input_head_size);
	out->input = input->bytes;
	out->input_len = input->len;
}

static void fill_logs(struct cw_tx *tx, struct reader *r)
{
	const struct value *list = &r->values[LOGS], *total = &r->values[LOGS_TOTAL];

	if (list->name == NULL)
		return;
	if (cw_logs_from_json(tx, list->list, r->arena, r->faults) != 0)
		r->failed = true;
	else if (total->name != NULL && total->number.w[0] < tx->logs_total)
		fault(r, total->name, "is less than the logs that were given");
	else if (total->name != NULL)
		tx->logs_total = (uint32_t)total->number.w[0];
}

static void fill(struct cw_tx_in *out, struct reader *r, uint64_t default_chain_id)
{
	static const struct { enum field field; enum cw_tx_has flag; } flags[] = {
		{ TO, CW_TX_HAS_TO }, { GAS_USED, CW_TX_HAS_GAS_USED }, { STATUS, CW_TX_HAS_STATUS },
		{ BLOCK_HASH, CW_TX_HAS_BLOCK_HASH }, { INDEX, CW_TX_HAS_INDEX }, { CREATED, CW_TX_HAS_CREATED },
	};
	const struct value *v = r->values;
	struct cw_tx *tx = &out->tx;

	tx->chain_id = v[CHAIN_ID].name != NULL ? v[CHAIN_ID].number.w[0] : default_chain_id;
	tx->block_number = v[BLOCK_NUMBER].number.w[0];
	tx->timestamp = (int64_t)v[TIMESTAMP].number.w[0];
	tx->gas = v[GAS].number.w[0];
	tx->gas_used = v[GAS_USED].number.w[0];
	tx->nonce = v[NONCE].number.w[0];
	tx->value = v[VALUE].number;
	tx->gas_price = v[GAS_PRICE].number;
	tx->hash = v[HASH].hash;
	tx->block_hash = v[BLOCK_HASH].hash;
	tx->from = v[FROM].address;
	tx->to = v[TO].address;
	tx->created = v[CREATED].address;
	tx->index = (uint32_t)v[INDEX].number.w[0];
	tx->status = (uint32_t)v[STATUS].number.w[0];
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (v[flags[i].field].name != NULL)
			tx->has |= flags[i].flag;
	fill_input(out, r);
	fill_logs(tx, r);
}

/* What not every node says of every kind of transaction: deposits of a rollup have no price, some no nonce. */
static void fill_node_gaps(struct reader *r, const struct cw_json *tx, uint64_t block_number)
{
	static const enum field zero[] = { GAS, GAS_PRICE, NONCE };
	const struct cw_json *most = cw_json_get(tx, "maxFeePerGas");
	struct value *price = &r->values[GAS_PRICE];

	if (r->values[EFFECTIVE_PRICE].name != NULL)
		*price = r->values[EFFECTIVE_PRICE];
	else if (price->name == NULL && most != NULL && cw_json_quantity(most, &price->number))
		price->name = "maxFeePerGas";
	for (size_t i = 0; i < sizeof(zero) / sizeof(*zero); i++)
		if (r->values[zero[i]].name == NULL)
			r->values[zero[i]] = (struct value){ .name = "0" };
	if (r->values[BLOCK_NUMBER].name == NULL)
		r->values[BLOCK_NUMBER] = (struct value){ .name = "blockNumber", .number = cw_u256_from_u64(block_number) };
}

int cw_tx_from_rpc(struct cw_tx_in *out, const struct cw_json *const *objects, int n, uint64_t block_number,
                   int64_t timestamp, uint64_t chain_id, struct cw_arena *arena, struct cw_tx_faults *faults)
{
	struct reader r = { .arena = arena, .faults = faults, .node = true };

	memset(out, 0, sizeof(*out));
	faults->count = 0;
	r.values[TIMESTAMP] = (struct value){ .name = "timestamp", .number = cw_u256_from_u64((uint64_t)timestamp) };
	for (int i = 0; i < n; i++)
		for (const struct cw_json *m = objects[i]->first; m != NULL; m = m->next)
			read_member(&r, m);
	fill_node_gaps(&r, objects[0], block_number);
	require_fields(&r);
	fill(out, &r, chain_id);
	return r.failed ? -1 : 0;
}

int cw_tx_from_json(struct cw_tx_in *out, const struct cw_json *object, uint64_t default_chain_id,
                    struct cw_arena *arena, struct cw_tx_faults *faults)
{
	struct reader r = { .arena = arena, .faults = faults };

	memset(out, 0, sizeof(*out));   /* the padding too: the record goes through shared memory byte by byte */
	faults->count = 0;
	if (object == NULL || object->type != CW_JSON_OBJECT) {
		fault(&r, "", "must be an object");
		return -1;
	}
	for (const struct cw_json *m = object->first; m != NULL; m = m->next)
		read_member(&r, m);
	if (r.values[GAS_PRICE].name == NULL)
		r.values[GAS_PRICE] = r.values[EFFECTIVE_PRICE];
	require_fields(&r);
	fill(out, &r, default_chain_id);
	return r.failed ? -1 : 0;
}

/* --- writing --- */

#define PUT(out, literal) cw_buf_add(out, literal, sizeof(literal) - 1)

static void put_hex(struct cw_buf *out, const uint8_t *bytes, size_t len)
{
	PUT(out, "\"0x");
	cw_buf_reserve(out, 2 * len);
	cw_hex_encode(out->data + out->len, bytes, len);
	out->len += 2 * len;
	cw_buf_putc(out, '"');
}

static void put_uint(struct cw_buf *out, uint64_t value)
{
	cw_buf_putc(out, '"');
	cw_buf_uint(out, value);
	cw_buf_putc(out, '"');
}

static void put_u256(struct cw_buf *out, const struct cw_u256 *value)
{
	cw_buf_reserve(out, CW_U256_DECIMAL_MAX + 1);
	cw_buf_putc(out, '"');
	out->len += cw_u256_format_decimal(value, out->data + out->len);
	cw_buf_putc(out, '"');
}

static void put_uint_or_null(struct cw_buf *out, uint64_t value, bool there)
{
	if (there)
		put_uint(out, value);
	else
		PUT(out, "null");
}

static void put_hex_or_null(struct cw_buf *out, const uint8_t *bytes, size_t len, bool there)
{
	if (there)
		put_hex(out, bytes, len);
	else
		PUT(out, "null");
}

void cw_tx_to_json(struct cw_buf *out, const struct cw_tx_in *in)
{
	const struct cw_tx *tx = &in->tx;

	cw_buf_reserve(out, 768 + 2 * in->input_len);   /* the most that all but value and price take */
	PUT(out, "\"hash\":");
	put_hex(out, tx->hash.b, 32);
	PUT(out, ",\"chainId\":");
	put_uint(out, tx->chain_id);
	PUT(out, ",\"blockNumber\":");
	put_uint(out, tx->block_number);
	PUT(out, ",\"blockHash\":");
	put_hex_or_null(out, tx->block_hash.b, 32, tx->has & CW_TX_HAS_BLOCK_HASH);
	PUT(out, ",\"transactionIndex\":");
	put_uint_or_null(out, tx->index, tx->has & CW_TX_HAS_INDEX);
	PUT(out, ",\"timestamp\":");
	put_uint(out, (uint64_t)tx->timestamp);
	PUT(out, ",\"from\":");
	put_hex(out, tx->from.b, 20);
	PUT(out, ",\"to\":");
	put_hex_or_null(out, tx->to.b, 20, tx->has & CW_TX_HAS_TO);
	PUT(out, ",\"value\":");
	put_u256(out, &tx->value);
	PUT(out, ",\"gas\":");
	put_uint(out, tx->gas);
	PUT(out, ",\"gasPrice\":");
	put_u256(out, &tx->gas_price);
	PUT(out, ",\"gasUsed\":");
	put_uint_or_null(out, tx->gas_used, tx->has & CW_TX_HAS_GAS_USED);
	PUT(out, ",\"nonce\":");
	put_uint(out, tx->nonce);
	PUT(out, ",\"status\":");
	put_uint_or_null(out, tx->status, tx->has & CW_TX_HAS_STATUS);
	PUT(out, ",\"input\":");
	put_hex_or_null(out, in->input, in->input_len, tx->has & CW_TX_HAS_INPUT);
	PUT(out, ",\"inputBytes\":");
	put_uint_or_null(out, tx->input_size, (tx->has & CW_TX_HAS_INPUT) || tx->input_size > 0);
	if ((tx->has & CW_TX_HAS_CREATED) != 0) {
		PUT(out, ",\"contractAddress\":");
		put_hex(out, tx->created.b, 20);
	}
	if ((tx->has & CW_TX_HAS_LOGS) != 0) {
		PUT(out, ",\"logs\":");
		cw_logs_put_json(out, tx);
	}
}
