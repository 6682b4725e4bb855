/* logs_json.c - the logs of a transaction as JSON: as nodes give them, and as they go out. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "chain/abi.h"
#include "chain/logs.h"
#include "chain/tx.h"

#define TOPICS_MAX 4                 /* LOG0 to LOG4 */

struct reader {
	struct cw_arena *arena;
	struct cw_tx_faults *faults;
	uint32_t at;                 /* place in the list */
	bool failed;
};

#define FAULT(r, name, ...) \
	do { \
		char pointer_[64]; \
		(r)->failed = true; \
		snprintf(pointer_, sizeof(pointer_), "/logs/%u%s%s", (r)->at, (name)[0] != '\0' ? "/" : "", name); \
		cw_tx_fault_add((r)->faults, pointer_, __VA_ARGS__); \
	} while (0)

/* Under either name; null counts as absent. */
static const struct cw_json *member(const struct cw_json *object, const char *name, const char *snake)
{
	const struct cw_json *m = cw_json_get(object, name);

	if ((m == NULL || m->type == CW_JSON_NULL) && snake != NULL)
		m = cw_json_get(object, snake);
	return m != NULL && m->type != CW_JSON_NULL ? m : NULL;
}

/* --- what both forms have --- */

static void read_address(struct reader *r, const struct cw_json *m, const char *name, struct cw_address *out)
{
	bool text = m->type == CW_JSON_STRING;

	switch (text ? cw_address_parse(out, m->text, m->len) : CW_ADDRESS_MALFORMED) {
	case CW_ADDRESS_OK:
		return;
	case CW_ADDRESS_CHECKSUM:
		FAULT(r, name, "has a wrong EIP-55 checksum (lower case claims none)");
		return;
	case CW_ADDRESS_MALFORMED:
		FAULT(r, name, "must be 0x and 40 hex digits");
		return;
	}
}

static uint32_t read_small(struct reader *r, const struct cw_json *m, const char *name)
{
	struct cw_u256 number;

	if (cw_json_quantity(m, &number) && cw_u256_fits_u64(&number) && number.w[0] <= INT32_MAX)
		return (uint32_t)number.w[0];
	FAULT(r, name, "must be a non-negative integer below 2^31");
	return 0;
}

/* --- as nodes give them --- */

static size_t read_topics(struct reader *r, const struct cw_json *list, struct cw_hash topics[TOPICS_MAX])
{
	size_t n = 0;

	if (list == NULL || list->type != CW_JSON_ARRAY || list->count > TOPICS_MAX) {
		FAULT(r, "topics", "must be a list of at most 4 hashes");
		return 0;
	}
	for (const struct cw_json *e = list->first; e != NULL; e = e->next, n++)
		if (e->type != CW_JSON_STRING || !cw_hash_parse(&topics[n], e->text, e->len)) {
			char name[16];

			snprintf(name, sizeof(name), "topics/%zu", n);
			FAULT(r, name, "must be 0x and 64 hex digits");
		}
	return n;
}

static const uint8_t *read_data(struct reader *r, const struct cw_json *m, size_t *len)
{
	uint8_t *bytes;

	*len = 0;
	if (m == NULL)
		return NULL;
	if (m->type == CW_JSON_STRING && m->len >= 2 && m->text[0] == '0' && m->text[1] == 'x' && m->len / 2 < INT32_MAX) {
		bytes = cw_arena_alloc(r->arena, m->len / 2);
		if (cw_hex_decode(bytes, m->text + 2, m->len - 2)) {
			*len = (m->len - 2) / 2;
			return bytes;
		}
	}
	FAULT(r, "data", "must be 0x and an even number of hex digits");
	return NULL;
}

static void read_raw(struct reader *r, const struct cw_json *object, struct cw_logs *logs)
{
	const struct cw_json *index = member(object, "logIndex", "log_index"), *address = member(object, "address", NULL);
	struct cw_hash topics[TOPICS_MAX];
	struct cw_raw_log raw = { .topics = topics, .index = r->at };

	raw.ntopics = read_topics(r, member(object, "topics", NULL), topics);
	raw.data = read_data(r, member(object, "data", NULL), &raw.len);
	if (address == NULL)
		FAULT(r, "address", "is required");
	else
		read_address(r, address, "address", &raw.address);
	if (index != NULL)
		raw.index = read_small(r, index, "logIndex");
	if (!r->failed)
		cw_logs_add_raw(logs, &raw);
}

/* --- as they go out --- */

static void read_party(struct reader *r, const struct cw_json *object, const char *name, uint16_t flag,
                       struct cw_tx_log *log, struct cw_address *out)
{
	const struct cw_json *m = name != NULL ? member(object, name, NULL) : NULL;

	if (m == NULL)
		return;
	read_address(r, m, name, out);
	log->has |= flag;
}

static void read_amount(struct reader *r, const struct cw_json *object, const char *name, const char *snake,
                        uint16_t flag, struct cw_tx_log *log, struct cw_u256 *out)
{
	const struct cw_json *m = name != NULL ? member(object, name, snake) : NULL;

	if (m == NULL)
		return;
	if (!cw_json_quantity(m, out))
		FAULT(r, name, "must be a non-negative integer below 2^256");
	log->has |= flag;
}

static const char *snake_of_extra(enum cw_log_kind kind)
{
	return kind == CW_LOG_TRANSFER || kind == CW_LOG_APPROVAL ? "token_id" : kind == CW_LOG_SWAP ? "amount_out" : NULL;
}

static void read_flag(struct reader *r, const struct cw_json *object, const char *name, const char *snake,
                      struct cw_tx_log *log)
{
	const struct cw_json *m = member(object, name, snake);

	if (m == NULL)
		return;
	if (m->type != CW_JSON_TRUE && m->type != CW_JSON_FALSE)
		FAULT(r, name, "must be true or false");
	log->has |= CW_LOG_HAS_FLAG | (m->type == CW_JSON_TRUE ? CW_LOG_FLAG : 0);
}

static void read_standard(struct reader *r, const struct cw_json *object, struct cw_tx_log *log)
{
	const struct cw_json *m = member(object, "standard", NULL);

	if (m == NULL)
		return;
	for (int i = CW_TOKEN_ERC20; i <= CW_TOKEN_ERC1155; i++)
		if (m->type == CW_JSON_STRING && strcmp(m->text, cw_log_standard_name((uint8_t)i)) == 0)
			log->standard = (uint8_t)i;
	if (log->standard == CW_TOKEN_UNKNOWN)
		FAULT(r, "standard", "must be erc20, erc721 or erc1155");
}

static void read_topic(struct reader *r, const struct cw_json *object, struct cw_tx_log *log)
{
	const struct cw_json *m = member(object, "topic", NULL);

	if (m == NULL)
		return;
	if (m->type != CW_JSON_STRING || !cw_hash_parse(&log->topic, m->text, m->len))
		FAULT(r, "topic", "must be 0x and 64 hex digits");
	log->has |= CW_LOG_HAS_TOPIC;
}

static void read_decoded(struct reader *r, const struct cw_json *object, const struct cw_json *kind_name,
                         struct cw_logs *logs)
{
	const struct cw_json *index = member(object, "logIndex", "log_index"), *address = member(object, "address", NULL);
	const struct cw_json *size = member(object, "dataBytes", "data_bytes");
	bool approval;
	struct cw_tx_log log;
	enum cw_log_kind kind = CW_LOG_OTHER;

	memset(&log, 0, sizeof(log));
	log.index = index != NULL ? read_small(r, index, "logIndex") : r->at;
	if (kind_name->type != CW_JSON_STRING || !cw_log_kind_parse(&kind, kind_name->text, kind_name->len))
		FAULT(r, "kind", "is not one of the kinds of logs");
	log.kind = (uint8_t)kind;
	if (address == NULL)
		FAULT(r, "address", "is required");
	else
		read_address(r, address, "address", &log.address);
	if (size != NULL)
		log.data_size = read_small(r, size, "dataBytes");
	read_topic(r, object, &log);
	read_standard(r, object, &log);
	approval = kind == CW_LOG_APPROVAL || kind == CW_LOG_APPROVAL_FOR_ALL;
	read_party(r, object, "from", CW_LOG_HAS_FROM, &log, &log.from);
	read_party(r, object, "to", CW_LOG_HAS_TO, &log, &log.to);
	read_party(r, object, approval ? "spender" : NULL, CW_LOG_HAS_TO, &log, &log.to);
	read_party(r, object, cw_log_third_name(kind), CW_LOG_HAS_THIRD, &log, &log.third);
	read_amount(r, object, "amount", NULL, CW_LOG_HAS_AMOUNT, &log, &log.amount);
	read_amount(r, object, cw_log_extra_name(kind), snake_of_extra(kind), CW_LOG_HAS_EXTRA, &log, &log.extra);
	if (kind == CW_LOG_APPROVAL_FOR_ALL)
		read_flag(r, object, "approved", NULL, &log);
	else if (kind == CW_LOG_SWAP)
		read_flag(r, object, "zeroForOne", "zero_for_one", &log);
	if (!r->failed)
		cw_logs_add(logs, &log);
}

int cw_logs_from_json(struct cw_tx *tx, const struct cw_json *list, struct cw_arena *arena, struct cw_tx_faults *faults)
{
	struct reader r = { .arena = arena, .faults = faults };
	struct cw_logs logs = { .list = NULL };

	if (list->type != CW_JSON_ARRAY) {
		cw_tx_fault_add(faults, "/logs", "must be a list");
		return -1;
	}
	if (list->count > 0)
		logs.list = cw_arena_alloc(arena, CW_TX_LOGS_MAX * sizeof(*logs.list));
	for (const struct cw_json *e = list->first; e != NULL; e = e->next, r.at++) {
		const struct cw_json *kind = member(e, "kind", NULL);

		if (e->type != CW_JSON_OBJECT)
			FAULT(&r, "", "must be an object");
		else if (kind != NULL)
			read_decoded(&r, e, kind, &logs);
		else
			read_raw(&r, e, &logs);
	}
	if (r.failed)
		return -1;
	tx->logs = logs.list;
	tx->nlogs = logs.n;
	tx->logs_total = logs.total;
	tx->has |= CW_TX_HAS_LOGS;
	return 0;
}

/* --- writing --- */

static void put_hex(struct cw_buf *out, const char *name, const uint8_t *bytes, size_t len)
{
	cw_buf_printf(out, ",\"%s\":\"0x", name);
	cw_buf_reserve(out, 2 * len + 2);
	cw_hex_encode(out->data + out->len, bytes, len);
	out->len += 2 * len;
	cw_buf_putc(out, '"');
}

static void put_amount(struct cw_buf *out, const char *name, const struct cw_u256 *amount)
{
	char digits[CW_U256_DECIMAL_MAX];

	cw_u256_format_decimal(amount, digits);
	cw_buf_printf(out, ",\"%s\":\"%s\"", name, digits);
}

static void put_extra(struct cw_buf *out, const struct cw_tx_log *log)
{
	uint8_t word[32];

	if (log->kind != CW_LOG_ROLE_GRANTED && log->kind != CW_LOG_ROLE_REVOKED) {
		put_amount(out, cw_log_extra_name(log->kind), &log->extra);
		return;
	}
	cw_u256_to_be(&log->extra, word);
	put_hex(out, "role", word, sizeof(word));
}

static void put_parties(struct cw_buf *out, const struct cw_tx_log *log)
{
	bool approval = log->kind == CW_LOG_APPROVAL || log->kind == CW_LOG_APPROVAL_FOR_ALL;

	if ((log->has & CW_LOG_HAS_FROM) != 0)
		put_hex(out, "from", log->from.b, sizeof(log->from.b));
	if ((log->has & CW_LOG_HAS_TO) != 0)
		put_hex(out, approval ? "spender" : "to", log->to.b, sizeof(log->to.b));
	if ((log->has & CW_LOG_HAS_THIRD) != 0 && cw_log_third_name(log->kind) != NULL)
		put_hex(out, cw_log_third_name(log->kind), log->third.b, sizeof(log->third.b));
}

static void put_log(struct cw_buf *out, const struct cw_tx_log *log)
{
	cw_buf_printf(out, "{\"logIndex\":\"%u\",\"kind\":\"%s\"", log->index, cw_log_kind_name(log->kind));
	put_hex(out, "address", log->address.b, sizeof(log->address.b));
	if (log->standard != CW_TOKEN_UNKNOWN)
		cw_buf_printf(out, ",\"standard\":\"%s\"", cw_log_standard_name(log->standard));
	put_parties(out, log);
	if ((log->has & CW_LOG_HAS_AMOUNT) != 0)
		put_amount(out, "amount", &log->amount);
	if ((log->has & CW_LOG_HAS_EXTRA) != 0 && cw_log_extra_name(log->kind) != NULL)
		put_extra(out, log);
	if ((log->has & CW_LOG_HAS_FLAG) != 0)
		cw_buf_printf(out, ",\"%s\":%s", log->kind == CW_LOG_SWAP ? "zeroForOne" : "approved",
		              (log->has & CW_LOG_FLAG) != 0 ? "true" : "false");
	if ((log->has & CW_LOG_HAS_TOPIC) != 0)
		put_hex(out, "topic", log->topic.b, sizeof(log->topic.b));
	cw_buf_printf(out, ",\"dataBytes\":\"%u\"}", log->data_size);
}

void cw_logs_put_json(struct cw_buf *out, const struct cw_tx *tx)
{
	cw_buf_putc(out, '[');
	for (uint32_t i = 0; i < tx->nlogs; i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		put_log(out, &tx->logs[i]);
	}
	cw_buf_putc(out, ']');
	if (tx->logs_total > tx->nlogs)
		cw_buf_printf(out, ",\"logsTotal\":\"%u\"", tx->logs_total);
}
