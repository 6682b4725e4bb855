/* transactions - what came in: by hash, by address, by time, by value; sums over a period; history that is imported. */
#include <string.h>

#include "chain/u256.h"
#include "store/build.h"
#include "store/ops.h"

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
	CW_COLUMN("finality", "a.finality", 0),
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
	cw_build_filter(b, "hash", CW_WHERE_HASH);
	cw_build_filter(b, "chain_id", "t.chain_id = %");
	cw_build_sql(b, " ORDER BY t.canonical DESC, CASE WHEN t.canonical THEN t.id ELSE -t.id END LIMIT 1");
}

const struct cw_op cw_transactions_get = {
	.repo = "transactions", .name = "get", .kind = CW_OP_ONE,
	.summary = "One transaction by its hash, with its input: the first that came in, where several chains have it; one that"
	           " its chain has dropped only if it did not come again.",
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

/* --- as they came in --- */

static const struct cw_arg_spec list_args[] = {
	{ .name = "chain_id", .type = CW_ARG_INT, .where = "t.chain_id = %" },
	{ .name = "status", .type = CW_ARG_INT, .min = 0, .max = 1, .where = "t.status = %" },
	{ .name = "canonical", .type = CW_ARG_BOOL, .where = "t.canonical", .otherwise = "NOT t.canonical" },
	{ .name = "after", .type = CW_ARG_INT, .where = "t.id > %" },
	{ .name = "before", .type = CW_ARG_INT, .where = "t.id < %" },
	INCLUDE_ARG, CW_PAGE_ARGS,
};

const struct cw_op cw_transactions_list = {
	.repo = "transactions", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Transactions in the order in which they came in, newest first; `after` and `before` are identities.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(brief_columns), .build = cw_build_query, .from = "transactions t",
	.keys = "t.id", RELATIONS,
};

static const struct cw_arg_spec block_args[] = {
	{ .name = "chain_id", .type = CW_ARG_INT, .required = true },
	{ .name = "block_number", .type = CW_ARG_INT, .required = true },
	INCLUDE_ARG,
};

/* BRIN finds the pages of a block; OFFSET 0 keeps the planner from walking the whole order instead. */
static void build_by_block(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "block_number", " FROM (SELECT * FROM transactions WHERE block_number = %");
	cw_build_value(b, "chain_id", " AND chain_id = % OFFSET 0) t ORDER BY t.tx_index, t.id LIMIT 10000");
}

const struct cw_op cw_transactions_by_block = {
	.repo = "transactions", .name = "by_block", .kind = CW_OP_ROWS,
	.summary = "The transactions of one block, in its order.",
	CW_OP_ARGS(block_args), CW_OP_COLUMNS(brief_columns), .build = build_by_block, RELATIONS,
};

/* --- by block time --- */

static const struct cw_column time_columns[] = { CW_COLUMN("", "t.timestamp", CW_COL_HIDDEN),
	CW_COLUMN("", "t.id", CW_COL_HIDDEN), BRIEF_COLUMNS };

#define PERIOD_ARGS \
	{ .name = "since", .type = CW_ARG_TIME, .where = "t.timestamp >= %" }, \
	{ .name = "until", .type = CW_ARG_TIME, .where = "t.timestamp < %" }, \
	{ .name = "chain_id", .type = CW_ARG_INT, .where = "t.chain_id = %" }

static const struct cw_arg_spec time_args[] = {
	PERIOD_ARGS,
	{ .name = "min_value", .type = CW_ARG_AMOUNT, .where = "t.value >= %" },
	{ .name = "max_value", .type = CW_ARG_AMOUNT, .where = "t.value <= %" },
	{ .name = "status", .type = CW_ARG_INT, .min = 0, .max = 1, .where = "t.status = %" },
	{ .name = "canonical", .type = CW_ARG_BOOL, .where = "t.canonical", .otherwise = "NOT t.canonical" },
	{ .name = "creation", .type = CW_ARG_BOOL, .where = "t.to_address IS NULL", .otherwise = "t.to_address IS NOT NULL" },
	INCLUDE_ARG, CW_PAGE_ARGS,
};

/* From 100 ether on there is an index of those alone (transactions_high_value_idx): the condition that it has must stand
 * in the statement as it is. */
static void build_by_time(struct cw_build *b)
{
	static const struct cw_u256 line = { .w = { 0x6bc75e2d63100000u, 5 } };      /* 100 ether */
	const struct cw_arg *least = cw_build_arg(b, "min_value");
	struct cw_u256 value;

	cw_build_query(b);
	if (least == NULL)
		return;
	memcpy(&value, least->text, sizeof(value));
	if (cw_u256_cmp(&value, &line) < 0)
		return;
	cw_build_and(b);
	cw_build_sql(b, "t.value >= 100000000000000000000");
}

const struct cw_op cw_transactions_by_time = {
	.repo = "transactions", .name = "by_time", .kind = CW_OP_PAGE,
	.summary = "Transactions of a period of block time, newest first; with `min_value` those of high value.",
	CW_OP_ARGS(time_args), CW_OP_COLUMNS(time_columns), .build = build_by_time, .from = "transactions t",
	.keys = "t.timestamp, t.id", RELATIONS, .row_id = 1,
};

static const struct cw_arg_spec period_args[] = {
	{ .name = "since", .type = CW_ARG_TIME, .required = true, .where = "t.timestamp >= %" },
	{ .name = "until", .type = CW_ARG_TIME, .where = "t.timestamp < %" },
	{ .name = "chain_id", .type = CW_ARG_INT, .where = "t.chain_id = %" },
	{ .name = "min_value", .type = CW_ARG_AMOUNT, .where = "t.value >= %" },
};

static const struct cw_column count_columns[] = { CW_COLUMN("count", "count(*)", 0) };

const struct cw_op cw_transactions_count = {
	.repo = "transactions", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many transactions there are of a period of block time.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(count_columns), .build = cw_build_query, .from = "transactions t",
};

static const struct cw_column statistics_columns[] = {
	CW_COLUMN("count", "count(*)", 0),
	CW_COLUMN("value", "coalesce(sum(t.value), 0)", 0),
	CW_COLUMN("mean_value", "trunc(avg(t.value))", 0),
	CW_COLUMN("min_value", "min(t.value)", 0),
	CW_COLUMN("max_value", "max(t.value)", 0),
	CW_COLUMN("gas_used", "coalesce(sum(t.gas_used), 0)", 0),
	CW_COLUMN("mean_gas_price", "trunc(avg(t.gas_price))", 0),
	CW_COLUMN("min_gas_price", "min(t.gas_price)", 0),
	CW_COLUMN("max_gas_price", "max(t.gas_price)", 0),
	CW_COLUMN("contract_creations", "count(*) FILTER (WHERE t.to_address IS NULL)", 0),
	CW_COLUMN("failed", "count(*) FILTER (WHERE t.status = 0)", 0),
	CW_COLUMN("first", "min(t.timestamp)", 0),
	CW_COLUMN("last", "max(t.timestamp)", 0),
};

const struct cw_op cw_transactions_statistics = {
	.repo = "transactions", .name = "statistics", .kind = CW_OP_ONE,
	.summary = "Totals, averages and extremes over a period of block time, exact decimals; averages are cut off to a whole.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(statistics_columns), .build = cw_build_query, .from = "transactions t",
};

/* --- changes --- */

static const struct cw_arg_spec import_args[] = { { .name = "rows", .type = CW_ARG_JSON, .required = true } };

/* What is no whole number becomes null and is refused by the column, instead of being rounded. */
#define QUANTITY(name) "CASE WHEN j.\"" name "\" ~ '^[0-9]{1,78}$' THEN j.\"" name "\"::numeric END"
#define HEX(name) "decode(substr(j.\"" name "\", 3), 'hex')"

static void build_import(struct cw_build *b)
{
	cw_build_sql(b, "INSERT INTO transactions (id, chain_id, hash, block_number, block_hash, tx_index, timestamp,"
	             " from_address, to_address, value, gas, gas_price, gas_used, nonce, input_data, input_size, status,"
	             " canonical) OVERRIDING SYSTEM VALUE SELECT nextval('transactions_history_seq'), coalesce(j.\"chainId\", 1), "
	             HEX("hash") ", j.\"blockNumber\", " HEX("blockHash") ", j.\"transactionIndex\","
	             " to_timestamp(j.timestamp), " HEX("from") ", " HEX("to") ", " QUANTITY("value") ", j.gas, "
	             QUANTITY("gasPrice") ", j.\"gasUsed\", j.nonce, " HEX("input")
	             ", coalesce(octet_length(j.input) / 2 - 1, 0), j.status, coalesce(j.canonical, true)");
	cw_build_value(b, "rows", " FROM jsonb_to_recordset(%) AS j (\"chainId\" int8, hash text, \"blockNumber\" int8,"
	               " \"blockHash\" text, \"transactionIndex\" int4, timestamp float8, \"from\" text, \"to\" text, value text,"
	               " gas int8, \"gasPrice\" text, \"gasUsed\" int8, nonce int8, input text, status int2, canonical bool)"
	               " ON CONFLICT (chain_id, hash) WHERE canonical DO NOTHING");
}

const struct cw_op cw_transactions_bulk_create = {
	.repo = "transactions", .name = "bulk_create", .kind = CW_OP_EXEC,
	.summary = "History, many at once, with the names that `get` gives; known ones are left out. No rule sees them: what is to "
	           "be judged goes through predict. Their identities are below zero.",
	CW_OP_ARGS(import_args), .columns = NULL, .ncolumns = 0, .build = build_import,
};
