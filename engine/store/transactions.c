#include "store/transactions.h"

#include <string.h>

#include "base/arena.h"
#include "chain/tx.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"
#include "store/build.h"
#include "store/ops.h"

static const struct cw_stmt range_stmt = {
	"transactions_replay_range",
	"SELECT coalesce((SELECT id FROM transactions ORDER BY id DESC OFFSET $1 LIMIT 1), 0),"
	" coalesce((SELECT max(id) FROM transactions), 0)",
};

/* The newest `$1`, and of them those of the last `$2` hours before the newest; BRIN on time finds the first of these. */
static const struct cw_stmt warm_range_stmt = {
	"transactions_warm_range",
	"SELECT greatest(coalesce((SELECT id FROM transactions ORDER BY id DESC OFFSET $1 LIMIT 1), 0),"
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

/* --- operations --- */

#define BRIEF_COLUMNS \
	CW_COLUMN("id", "t.id", 0), CW_COLUMN("hash", "t.hash", 0), CW_COLUMN("chainId", "t.chain_id", CW_COL_QUANTITY), \
	CW_COLUMN("blockNumber", "t.block_number", CW_COL_QUANTITY), CW_COLUMN("blockHash", "t.block_hash", 0), \
	CW_COLUMN("transactionIndex", "t.tx_index", CW_COL_QUANTITY), \
	CW_COLUMN("timestamp", "t.timestamp", CW_COL_SECONDS), CW_COLUMN("from", "t.from_address", 0), \
	CW_COLUMN("to", "t.to_address", 0), CW_COLUMN("value", "t.value", CW_COL_QUANTITY), \
	CW_COLUMN("gas", "t.gas", CW_COL_QUANTITY), CW_COLUMN("gasPrice", "t.gas_price", CW_COL_QUANTITY), \
	CW_COLUMN("gasUsed", "t.gas_used", CW_COL_QUANTITY), CW_COLUMN("nonce", "t.nonce", CW_COL_QUANTITY), \
	CW_COLUMN("status", "t.status", CW_COL_QUANTITY), CW_COLUMN("inputBytes", "t.input_size", CW_COL_QUANTITY), \
	CW_COLUMN("canonical", "t.canonical", 0), CW_COLUMN("created_at", "t.created_at", 0)

static const struct cw_column brief_columns[] = { BRIEF_COLUMNS };
static const struct cw_column full_columns[] = { BRIEF_COLUMNS, CW_COLUMN("input", "t.input_data", 0),
	CW_COLUMN("contractAddress", "t.created_address", 0), CW_COLUMN("logs", "t.logs", CW_COL_LOGS) };

static const struct cw_column anomaly_columns[] = {
	CW_COLUMN("", "x.transaction_id", CW_COL_HIDDEN),
	CW_COLUMN("id", "a.id", 0),
	CW_COLUMN("severity", "a.severity", 0),
	CW_COLUMN("score", "a.anomaly_score", 0),
	CW_COLUMN("confidence", "a.confidence", 0),
	CW_COLUMN("rule", "a.rule_id", 0),
	CW_COLUMN("rule_version", "a.rule_version", 0),
	CW_COLUMN("model_version_id", "a.model_id", 0),
	CW_COLUMN("title", "a.title", 0),
	CW_COLUMN("explanation", "a.explanation", 0),
	CW_COLUMN("features", "a.features_used", 0),
	CW_COLUMN("ruleset", "a.ruleset", 0),
	CW_COLUMN("detected_at", "a.detected_at", 0),
	CW_COLUMN("occurrences", "a.occurrences", 0),
	CW_COLUMN("last_seen", "a.last_seen", 0),
	CW_COLUMN("suppressed_by", "a.suppressed_by", 0),
	CW_COLUMN("status", "a.status", 0),
	CW_COLUMN("reviewed", "a.reviewed", 0),
	CW_COLUMN("false_positive", "a.false_positive", 0),
};

static const struct cw_column prediction_columns[] = {
	CW_COLUMN("", "p.transaction_id", CW_COL_HIDDEN),
	CW_COLUMN("id", "p.id", 0),
	CW_COLUMN("model_version_id", "p.model_version_id", 0),
	CW_COLUMN("is_anomaly", "p.is_anomaly", 0),
	CW_COLUMN("score", "p.anomaly_score", 0),
	CW_COLUMN("confidence", "p.confidence", 0),
	CW_COLUMN("faults", "p.faults", 0),
	CW_COLUMN("request_id", "p.request_id", 0),
	CW_COLUMN("response_time_ms", "p.response_time_ms", 0),
	CW_COLUMN("created_at", "p.created_at", 0),
};

/* Two relations, named in `include`. */
static const struct cw_relation relations[] = {
	{ "anomalies", anomaly_columns, CW_COUNT(anomaly_columns),
	  "FROM (SELECT transaction_id, anomaly_id AS id FROM anomaly_evidence WHERE transaction_id = ANY ($1::int8[]) UNION"
	  " SELECT transaction_id, id FROM anomalies WHERE transaction_id = ANY ($1::int8[])) x JOIN anomalies a ON a.id = x.id"
	  " WHERE NOT a.shadow ORDER BY x.transaction_id, a.id" },
	{ "predictions", prediction_columns, CW_COUNT(prediction_columns),
	  "FROM transactions t CROSS JOIN LATERAL (SELECT * FROM predictions q WHERE q.transaction_id = t.id AND"
	  " q.created_at >= t.created_at - interval '1 day' OFFSET 0) p WHERE t.id = ANY ($1::int8[])"
	  " ORDER BY p.transaction_id, p.id" },
};
#define RELATIONS .relations = relations, .nrelations = CW_COUNT(relations)
#define INCLUDE_ARG { .name = "include", .type = CW_ARG_CHOICES, .choices = "anomalies|predictions" }

static const struct cw_arg_spec get_args[] = {
	{ .name = "hash", .type = CW_ARG_HASH, .required = true },
	{ .name = "chain_id", .type = CW_ARG_INT },
	INCLUDE_ARG,
};

static void build_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM transactions t");
	cw_build_filter(b, "hash", "t.hash = %");
	cw_build_filter(b, "chain_id", "t.chain_id = %");
	cw_build_sql(b, " ORDER BY t.id LIMIT 1");
}

const struct cw_op cw_transactions_get = {
	.repo = "transactions", .name = "get", .kind = CW_OP_ONE,
	.summary = "One transaction by its hash (the first that came in, where several chains have it), with its input.",
	CW_OP_ARGS(get_args), CW_OP_COLUMNS(full_columns), .build = build_get, RELATIONS,
};

static const struct cw_arg_spec address_args[] = {
	{ .name = "address", .type = CW_ARG_ADDRESS, .required = true },
	{ .name = "direction", .type = CW_ARG_CHOICE, .choices = "in|out|both" },
	{ .name = "chain_id", .type = CW_ARG_INT },
	{ .name = "since", .type = CW_ARG_TIME },
	{ .name = "until", .type = CW_ARG_TIME },
	INCLUDE_ARG,
	CW_PAGE_ARGS,
};

/* One side of the address: along its index, newest first, no further than the page. */
static void put_side(struct cw_build *b, const char *condition)
{
	b->conditions = 0;
	cw_build_sql(b, "(SELECT * FROM transactions t");
	cw_build_and(b);
	cw_build_value(b, "address", condition);
	cw_build_filter(b, "chain_id", "t.chain_id = %");
	cw_build_filter(b, "since", "t.timestamp >= %");
	cw_build_filter(b, "until", "t.timestamp < %");
	cw_build_after(b, "t.id");
	cw_build_order(b, "t.id");
	cw_build_sql(b, ")");
}

static void build_by_address(struct cw_build *b)
{
	const struct cw_arg *direction = cw_build_arg(b, "direction");
	bool both = direction == NULL || direction->text[0] == 'b';

	cw_build_select(b);
	cw_build_sql(b, " FROM (");
	if (both || direction->text[0] == 'o')
		put_side(b, "t.from_address = %");
	if (both)
		cw_build_sql(b, " UNION ALL ");
	if (both || direction->text[0] == 'i')
		put_side(b, both ? "t.to_address = % AND t.from_address <> %" : "t.to_address = %");
	cw_build_sql(b, ") t");
	b->conditions = 0;
}

const struct cw_op cw_transactions_by_address = {
	.repo = "transactions", .name = "by_address", .kind = CW_OP_PAGE,
	.summary = "Transactions from or to an address, newest first.",
	CW_OP_ARGS(address_args), CW_OP_COLUMNS(brief_columns), .build = build_by_address, .keys = "t.id", RELATIONS,
};

static const struct cw_arg_spec recent_args[] = { { .name = "chain_id", .type = CW_ARG_INT }, INCLUDE_ARG, CW_PAGE_ARGS };

static void build_recent(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM transactions t");
	cw_build_filter(b, "chain_id", "t.chain_id = %");
}

const struct cw_op cw_transactions_recent = {
	.repo = "transactions", .name = "recent", .kind = CW_OP_PAGE,
	.summary = "Transactions as they came in, newest first.",
	CW_OP_ARGS(recent_args), CW_OP_COLUMNS(brief_columns), .build = build_recent, .keys = "t.id", RELATIONS,
};

static const struct cw_arg_spec period_args[] = {
	{ .name = "since", .type = CW_ARG_TIME, .required = true },
	{ .name = "until", .type = CW_ARG_TIME },
	{ .name = "chain_id", .type = CW_ARG_INT },
};

static const struct cw_column statistics_columns[] = {
	CW_COLUMN("count", "count(*)", 0),
	CW_COLUMN("value", "coalesce(sum(t.value), 0)", 0),
	CW_COLUMN("mean_gas_price", "avg(t.gas_price)::float8", 0),
	CW_COLUMN("contract_creations", "count(*) FILTER (WHERE t.to_address IS NULL)", 0),
	CW_COLUMN("failed", "count(*) FILTER (WHERE t.status = 0)", 0),
	CW_COLUMN("first", "min(t.timestamp)", 0),
	CW_COLUMN("last", "max(t.timestamp)", 0),
};

static void build_statistics(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM transactions t");
	cw_build_filter(b, "since", "t.timestamp >= %");
	cw_build_filter(b, "until", "t.timestamp < %");
	cw_build_filter(b, "chain_id", "t.chain_id = %");
}

const struct cw_op cw_transactions_statistics = {
	.repo = "transactions", .name = "statistics", .kind = CW_OP_ONE,
	.summary = "Counts and sums over a period of block time.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(statistics_columns), .build = build_statistics,
};
