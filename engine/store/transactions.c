#include "store/transactions.h"

#include <string.h>

#include "base/arena.h"
#include "chain/tx.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"

/* Identities below zero are history that was imported, never judged and never replayed. */
static const struct cw_stmt range_stmt = {
	"transactions_replay_range",
	"SELECT coalesce((SELECT id FROM transactions WHERE id > 0 ORDER BY id DESC OFFSET $1 LIMIT 1), 0),"
	" greatest((SELECT max(id) FROM transactions), 0)",
};

/* The newest `$1`, and of them those of the last `$2` hours before the newest; BRIN on time finds the first of these. */
static const struct cw_stmt warm_range_stmt = {
	"transactions_warm_range",
	"SELECT greatest(coalesce((SELECT id FROM transactions WHERE id > 0 ORDER BY id DESC OFFSET $1 LIMIT 1), 0),"
	" CASE WHEN $2 > 0 THEN coalesce((SELECT min(id) - 1 FROM transactions WHERE timestamp >= (SELECT max(timestamp)"
	" FROM (SELECT timestamp FROM transactions ORDER BY id DESC LIMIT 1000) newest) - $2 * interval '1 hour'), 0)"
	" ELSE 0 END)",
};

/* 100 = CW_TX_INPUT_HEAD: all of the call data that a rule may see. */
static const struct cw_stmt page_stmt = {
	"transactions_replay_page",
	"SELECT id, chain_id, block_number, timestamp, gas, gas_used, nonce, value, gas_price, hash, block_hash,"
	" from_address, to_address, tx_index, status, input_size, substring(input_data FROM 1 FOR 100),"
	" created_address, logs"
	" FROM transactions WHERE id > $1 AND id <= $2 AND canonical ORDER BY id LIMIT $3",
};
_Static_assert(CW_TX_INPUT_HEAD == 100, "page_stmt cuts the call data there");

uint64_t cw_transactions_replay_range(struct cw_pool *pool, uint64_t newest, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, (int64_t)newest);
	query = cw_pool_read(pool, &range_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

uint64_t cw_transactions_warm_range(struct cw_pool *pool, uint64_t newest, int64_t hours, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, (int64_t)newest);
	cw_params_i64(&params, hours);
	query = cw_pool_read(pool, &warm_range_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

uint64_t cw_transactions_replay_page(struct cw_pool *pool, uint64_t after, uint64_t up_to, uint32_t limit,
                                     cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, (int64_t)after);
	cw_params_i64(&params, (int64_t)up_to);
	cw_params_i64(&params, (int64_t)limit);
	query = cw_pool_read(pool, &page_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

static bool read_bytes(const struct cw_result *res, int row, int column, void *out, size_t size)
{
	size_t len;
	const uint8_t *bytes = cw_result_bytea(res, row, column, &len);

	if (len != size)
		return false;
	memcpy(out, bytes, size);
	return true;
}

static bool read_receipt(const struct cw_result *res, int row, struct cw_arena *arena, struct cw_tx *tx)
{
	size_t len;
	const uint8_t *bytes;

	if (!cw_result_is_null(res, row, 17)) {
		tx->has |= CW_TX_HAS_CREATED;
		if (!read_bytes(res, row, 17, tx->created.b, sizeof(tx->created.b)))
			return false;
	}
	if (cw_result_is_null(res, row, 18))
		return true;
	bytes = cw_result_bytea(res, row, 18, &len);
	return cw_logs_unpack(tx, bytes, len, arena);
}

static bool read_optional(const struct cw_result *res, int row, struct cw_tx *tx)
{
	size_t len;
	const uint8_t *head;

	if (!cw_result_is_null(res, row, 5)) {
		tx->has |= CW_TX_HAS_GAS_USED;
		tx->gas_used = (uint64_t)cw_result_i64(res, row, 5);
	}
	if (!cw_result_is_null(res, row, 13)) {
		tx->has |= CW_TX_HAS_INDEX;
		tx->index = (uint32_t)cw_result_i64(res, row, 13);
	}
	if (!cw_result_is_null(res, row, 14)) {
		tx->has |= CW_TX_HAS_STATUS;
		tx->status = (uint32_t)cw_result_i64(res, row, 14);
	}
	if (!cw_result_is_null(res, row, 10)) {
		tx->has |= CW_TX_HAS_BLOCK_HASH;
		if (!read_bytes(res, row, 10, tx->block_hash.b, sizeof(tx->block_hash.b)))
			return false;
	}
	if (!cw_result_is_null(res, row, 12)) {
		tx->has |= CW_TX_HAS_TO;
		if (!read_bytes(res, row, 12, tx->to.b, sizeof(tx->to.b)))
			return false;
	}
	if (!cw_result_is_null(res, row, 16)) {
		tx->has |= CW_TX_HAS_INPUT;
		head = cw_result_bytea(res, row, 16, &len);
		tx->input_head_size = (uint32_t)(len < CW_TX_INPUT_HEAD ? len : CW_TX_INPUT_HEAD);
		memcpy(tx->input_head, head, tx->input_head_size);
	}
	return true;
}

bool cw_transactions_read(const struct cw_result *res, int row, struct cw_arena *arena, struct cw_tx *out)
{
	memset(out, 0, sizeof(*out));
	out->seq = (uint64_t)cw_result_i64(res, row, 0);
	out->chain_id = (uint64_t)cw_result_i64(res, row, 1);
	out->block_number = (uint64_t)cw_result_i64(res, row, 2);
	out->timestamp = cw_result_time(res, row, 3) / 1000000;
	out->gas = (uint64_t)cw_result_i64(res, row, 4);
	out->nonce = (uint64_t)cw_result_i64(res, row, 6);
	out->input_size = (uint32_t)cw_result_i64(res, row, 15);
	return cw_result_numeric(res, row, 7, &out->value) && cw_result_numeric(res, row, 8, &out->gas_price) &&
	       read_bytes(res, row, 9, out->hash.b, sizeof(out->hash.b)) &&
	       read_bytes(res, row, 11, out->from.b, sizeof(out->from.b)) && read_optional(res, row, out) &&
	       read_receipt(res, row, arena, out);
}
