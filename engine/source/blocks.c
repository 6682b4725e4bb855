#include "source/blocks.h"

#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#define TIME_MAX 253402300799        /* as chain/tx.c */

static bool read_number(const struct cw_json *json, uint64_t *out, uint64_t max)
{
	struct cw_u256 number;

	if (json == NULL || !cw_json_quantity(json, &number) || !cw_u256_fits_u64(&number) || number.w[0] > max)
		return false;
	*out = number.w[0];
	return true;
}

static bool read_hash(const struct cw_json *json, struct cw_hash *out)
{
	return json != NULL && json->type == CW_JSON_STRING && cw_hash_parse(out, json->text, json->len);
}

int cw_block_read_header(struct cw_block *out, const struct cw_json *block, struct cw_err *err)
{
	uint64_t timestamp;

	memset(out, 0, sizeof(*out));
	if (block == NULL || block->type != CW_JSON_OBJECT)
		return cw_err_set(err, CW_ERR_INVALID, "a block is no object");
	if (!read_number(cw_json_get(block, "number"), &out->number, INT64_MAX))
		return cw_err_set(err, CW_ERR_INVALID, "a block has no number");
	if (!read_hash(cw_json_get(block, "hash"), &out->hash) || !read_hash(cw_json_get(block, "parentHash"), &out->parent))
		return cw_err_set(err, CW_ERR_INVALID, "block %" PRIu64 " has no hash or parentHash", out->number);
	if (!read_number(cw_json_get(block, "timestamp"), &timestamp, TIME_MAX))
		return cw_err_set(err, CW_ERR_INVALID, "block %" PRIu64 " has no timestamp", out->number);
	out->timestamp = (int64_t)timestamp;
	return 0;
}

/* Both a list of full transactions and one of hashes. */
size_t cw_block_hashes(const struct cw_json *block, const char **hashes, size_t max)
{
	const struct cw_json *list = cw_json_get(block, "transactions");
	size_t n = 0;

	if (list == NULL || list->type != CW_JSON_ARRAY)
		return 0;
	for (const struct cw_json *e = list->first; e != NULL; e = e->next) {
		const struct cw_json *hash = e->type == CW_JSON_OBJECT ? cw_json_get(e, "hash") : e;

		if (n < max)
			hashes[n] = hash != NULL && hash->type == CW_JSON_STRING ? hash->text : "";
		n++;
	}
	return n;
}

/* Of this transaction, and of this block where it says so. */
static bool is_receipt_of(const struct cw_json *receipt, const struct cw_hash *tx)
{
	struct cw_hash hash;

	return read_hash(cw_json_get(receipt, "transactionHash"), &hash) && memcmp(&hash, tx, sizeof(hash)) == 0;
}

static bool says_other(const struct cw_json *json, const struct cw_hash *block)
{
	struct cw_hash hash;

	return json != NULL && json->type != CW_JSON_NULL && (!read_hash(json, &hash) || memcmp(&hash, block, sizeof(hash)) != 0);
}

static int check_receipt(const struct cw_block *block, const struct cw_json *tx, const struct cw_json *receipt,
                         struct cw_err *err)
{
	struct cw_hash of;

	if (says_other(cw_json_get(receipt, "blockHash"), &block->hash))
		return cw_err_set(err, CW_ERR_INVALID, "a receipt of block %" PRIu64 " is of another block", block->number);
	if (!read_hash(cw_json_get(tx, "hash"), &of) || !is_receipt_of(receipt, &of))
		return cw_err_set(err, CW_ERR_INVALID, "a receipt of block %" PRIu64 " is of another transaction", block->number);
	return 0;
}

/* Receipts in another order than the transactions: a table of them by hash. */
struct receipts {
	const struct cw_json **slots;
	size_t mask;
};

static uint64_t slot_of(const struct cw_hash *hash)
{
	uint64_t n;

	memcpy(&n, hash->b, sizeof(n));
	return n;
}

static void sort_receipts(struct receipts *r, const struct cw_json *list, struct cw_arena *arena)
{
	struct cw_hash hash;

	for (r->mask = 15; r->mask < 2 * (size_t)list->count; r->mask = 2 * r->mask + 1)
		;
	r->slots = cw_arena_zalloc(arena, (r->mask + 1) * sizeof(*r->slots));
	for (const struct cw_json *e = list->first; e != NULL; e = e->next) {
		size_t at;

		if (!read_hash(cw_json_get(e, "transactionHash"), &hash))
			continue;
		for (at = slot_of(&hash) & r->mask; r->slots[at] != NULL; at = (at + 1) & r->mask)
			;
		r->slots[at] = e;
	}
}

/* `next` is the one in the same place of the list. What fits nothing is given back: check_receipt will say so. */
static const struct cw_json *receipt_of(struct receipts *r, const struct cw_json *tx, const struct cw_json *next,
                                        const struct cw_json *list, struct cw_arena *arena)
{
	struct cw_hash hash;

	if (next == NULL || !read_hash(cw_json_get(tx, "hash"), &hash) || is_receipt_of(next, &hash))
		return next;
	if (r->slots == NULL)
		sort_receipts(r, list, arena);
	for (size_t at = slot_of(&hash) & r->mask; r->slots[at] != NULL; at = (at + 1) & r->mask)
		if (is_receipt_of(r->slots[at], &hash))
			return r->slots[at];
	return next;
}

static void note_skipped(const struct cw_block *block, const struct cw_json *tx, const struct cw_tx_faults *faults)
{
	const struct cw_json *hash = cw_json_get(tx, "hash");
	char quoted[400];

	cw_log(CW_LOG_WARN, "source", "a transaction of a block makes no sense", "block=%" PRIu64 " hash=%.66s field=%s reason=%s",
	       block->number, hash != NULL && hash->type == CW_JSON_STRING ? hash->text : "?", faults->list[0].pointer,
	       cw_log_quote(quoted, sizeof(quoted), faults->list[0].what));
}

/* One of a block's transactions. A transaction that is no object or of another block is the node's fault, one whose
 * fields make no sense is left out: the next node would say the same, and the chain goes on. */
static int read_tx(struct cw_block *out, const struct cw_json *tx, const struct cw_json *receipt, uint32_t place,
                   uint64_t chain_id, struct cw_arena *arena, struct cw_err *err)
{
	const struct cw_json *parts[2] = { tx, receipt };
	struct cw_tx_in *in = &out->txs[out->ntxs];
	struct cw_tx_faults faults;

	if (tx->type != CW_JSON_OBJECT)
		return cw_err_set(err, CW_ERR_INVALID, "block %" PRIu64 " has no full transactions", out->number);
	if (receipt != NULL && check_receipt(out, tx, receipt, err) != 0)
		return -1;
	if (cw_tx_from_rpc(in, parts, receipt != NULL ? 2 : 1, out->number, out->timestamp, chain_id, arena,
	                   &faults) != 0) {
		note_skipped(out, tx, &faults);
		out->skipped++;
		return 0;
	}
	if (in->tx.block_number != out->number || says_other(cw_json_get(tx, "blockHash"), &out->hash))
		return cw_err_set(err, CW_ERR_INVALID, "a transaction of block %" PRIu64 " is of another block", out->number);
	in->tx.chain_id = chain_id;
	in->tx.block_hash = out->hash;
	in->tx.has |= CW_TX_HAS_BLOCK_HASH;
	if ((in->tx.has & CW_TX_HAS_INDEX) == 0) {
		in->tx.index = place;
		in->tx.has |= CW_TX_HAS_INDEX;
	}
	out->ntxs++;
	return 0;
}

int cw_block_read(struct cw_block *out, uint64_t number, uint64_t chain_id, const struct cw_json *block,
                  const struct cw_json *receipts, struct cw_arena *arena, struct cw_err *err)
{
	const struct cw_json *list = cw_json_get(block, "transactions"), *receipt;
	struct receipts table = { .slots = NULL };
	uint32_t place = 0;

	if (cw_block_read_header(out, block, err) != 0)
		return -1;
	if (out->number != number)
		return cw_err_set(err, CW_ERR_INVALID, "asked for block %" PRIu64 ", got %" PRIu64, number, out->number);
	if (list == NULL || list->type != CW_JSON_ARRAY)
		return cw_err_set(err, CW_ERR_INVALID, "block %" PRIu64 " has no list of transactions", number);
	if (receipts != NULL && (receipts->type != CW_JSON_ARRAY || receipts->count != list->count))
		return cw_err_set(err, CW_ERR_INVALID, "block %" PRIu64 " has %u transactions and %u receipts", number, list->count,
		                  receipts->type == CW_JSON_ARRAY ? receipts->count : 0);
	out->txs = cw_arena_alloc(arena, (list->count + 1) * sizeof(*out->txs));
	receipt = receipts != NULL ? receipts->first : NULL;
	for (const struct cw_json *tx = list->first; tx != NULL; tx = tx->next) {
		if (read_tx(out, tx, receipt_of(&table, tx, receipt, receipts, arena), place++, chain_id, arena, err) != 0)
			return -1;
		if (receipt != NULL)
			receipt = receipt->next;
	}
	return 0;
}
