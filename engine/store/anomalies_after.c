/* Anomalies as the event stream tells them, by identity: what a subscriber has missed. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_arg_spec after_args[] = {
	{ .name = "after", .type = CW_ARG_INT, .min = 0, .max = 9e15, .required = true },
	{ .name = "up_to", .type = CW_ARG_INT, .min = 0, .max = 9e15, .required = true },
	{ .name = "rule" },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 10000 },
};

static const struct cw_column after_columns[] = {
	CW_COLUMN("id", "a.id", 0),
	CW_COLUMN("rule", "a.rule_id", 0),
	CW_COLUMN("version", "a.rule_version", 0),
	CW_COLUMN("title", "a.title", 0),
	CW_COLUMN("severity", "a.severity", 0),
	CW_COLUMN("score", "a.anomaly_score", 0),
	CW_COLUMN("confidence", "a.confidence", 0),
	CW_COLUMN("explanation", "a.explanation", 0),
	CW_COLUMN("features", "a.features_used", 0),
	CW_COLUMN("role", "a.role", 0),
	CW_COLUMN("entity", "a.entity", 0),
	CW_COLUMN("labels", "(SELECT coalesce(jsonb_agg(jsonb_build_object('list', l.list, 'version', l.last_version, 'file',"
	          " l.file_checksum, 'address', '0x' || encode(l.address, 'hex'), 'chain', l.chain_id, 'category', l.category,"
	          " 'name', l.label, 'source', l.source, 'confidence', l.confidence, 'use', l.use) ORDER BY l.list, l.address,"
	          " l.category), '[]') FROM anomaly_labels l WHERE l.anomaly_id = a.id)", 0),
	CW_COLUMN("occurrences", "a.occurrences", 0),
	CW_COLUMN("finality", "a.finality", 0),
	CW_COLUMN("chainId", "t.chain_id", CW_COL_QUANTITY),
	CW_COLUMN("hash", "t.hash", 0),
	CW_COLUMN("from", "t.from_address", 0),
	CW_COLUMN("to", "t.to_address", 0),
};

static void build_after(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM anomalies a JOIN transactions t ON t.id = a.transaction_id");
	cw_build_filter(b, "after", "a.id > %");
	cw_build_filter(b, "up_to", "a.id <= %");
	cw_build_filter(b, "rule", "a.rule_id = %");
	cw_build_and(b);
	cw_build_sql(b, "NOT a.shadow AND a.suppressed_by IS NULL ORDER BY a.id");
	cw_build_value(b, "limit", " LIMIT coalesce(%, 1000)");
}

const struct cw_op cw_anomalies_after = {
	.repo = "anomalies", .name = "after", .kind = CW_OP_ROWS,
	.summary = "Anomalies behind one, oldest first, as the event stream tells them.",
	CW_OP_ARGS(after_args), CW_OP_COLUMNS(after_columns), .build = build_after,
};
