/* anomalies, continued - what waits for a review, and what was found lately. */
#include "store/build.h"
#include "store/ops.h"

/* As anomalies_queue_idx has it: least is most urgent. */
#define URGENCY "(CASE a.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END)"

#define FOUND_COLUMNS \
	CW_COLUMN("severity", "a.severity", 0), CW_COLUMN("score", "a.anomaly_score", 0), \
	CW_COLUMN("confidence", "a.confidence", 0), CW_COLUMN("rule", "a.rule_id", 0), \
	CW_COLUMN("rule_version", "a.rule_version", 0), CW_COLUMN("title", "a.title", 0), \
	CW_COLUMN("explanation", "a.explanation", 0), CW_COLUMN("features", "a.features_used", 0), \
	CW_COLUMN("dedup_key", "a.dedup_key", 0), CW_COLUMN("status", "a.status", 0), \
	CW_COLUMN("reviewed", "a.reviewed", 0), CW_COLUMN("false_positive", "a.false_positive", 0), \
	CW_COLUMN("transaction", NULL, CW_COL_OPEN), CW_COLUMN("id", "t.id", 0), CW_COLUMN("hash", "t.hash", 0), \
	CW_COLUMN("chainId", "t.chain_id", CW_COL_QUANTITY), CW_COLUMN("blockNumber", "t.block_number", CW_COL_QUANTITY), \
	CW_COLUMN("timestamp", "t.timestamp", CW_COL_SECONDS), CW_COLUMN("from", "t.from_address", 0), \
	CW_COLUMN("to", "t.to_address", 0), CW_COLUMN("value", "t.value", CW_COL_QUANTITY), \
	CW_COLUMN("", NULL, CW_COL_CLOSE)

static const struct cw_column queue_columns[] = {
	CW_COLUMN("", URGENCY, CW_COL_HIDDEN),
	CW_COLUMN("detected_at", "a.detected_at", 0),
	CW_COLUMN("id", "a.id", 0),
	FOUND_COLUMNS,
};

static const struct cw_arg_spec queue_args[] = {
	{ .name = "min_severity", .type = CW_ARG_CHOICE, .choices = "low|medium|high|critical", .where = "a.severity >= '%'" },
	{ .name = "rule", .where = "a.rule_id = %" },
	CW_PAGE_ARGS,
};

static void build_queue(struct cw_build *b)
{
	cw_build_query(b);
	cw_build_and(b);
	cw_build_sql(b, "NOT a.reviewed AND NOT a.shadow AND a.suppressed_by IS NULL");
}

const struct cw_op cw_anomalies_unreviewed = {
	.repo = "anomalies", .name = "unreviewed", .kind = CW_OP_PAGE,
	.summary = "What waits for a review: critical first, and the oldest first within a severity.",
	CW_OP_ARGS(queue_args), CW_OP_COLUMNS(queue_columns), .build = build_queue,
	.from = "anomalies a JOIN transactions t ON t.id = a.transaction_id",
	.keys = URGENCY ", a.detected_at, a.id", .ascending = true,
};

static const struct cw_column recent_columns[] = {
	CW_COLUMN("detected_at", "a.detected_at", 0),
	CW_COLUMN("id", "a.id", 0),
	FOUND_COLUMNS,
};

static const struct cw_arg_spec recent_args[] = {
	{ .name = "hours", .type = CW_ARG_NUMBER, .min = 0.01, .max = 87600, .required = true,
	  .where = "a.detected_at >= now() - % * interval '1 hour'" },
	{ .name = "min_severity", .type = CW_ARG_CHOICE, .choices = "low|medium|high|critical", .where = "a.severity >= '%'" },
	CW_PAGE_ARGS,
};

static void build_recent(struct cw_build *b)
{
	cw_build_query(b);
	cw_build_and(b);
	cw_build_sql(b, "NOT a.shadow AND a.suppressed_by IS NULL");
}

const struct cw_op cw_anomalies_recent = {
	.repo = "anomalies", .name = "recent", .kind = CW_OP_PAGE,
	.summary = "What was found in the last hours, newest first.",
	CW_OP_ARGS(recent_args), CW_OP_COLUMNS(recent_columns), .build = build_recent,
	.from = "anomalies a JOIN transactions t ON t.id = a.transaction_id", .keys = "a.detected_at, a.id",
};

/* By sender and receiver of the transactions on which it was found. */
static const struct cw_arg_spec entity_args[] = {
	{ .name = "since", .type = CW_ARG_TIME, .required = true },
	{ .name = "until", .type = CW_ARG_TIME },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 1000, .required = true },
};

static const struct cw_column entity_columns[] = {
	CW_COLUMN("address", "e.address", 0),
	CW_COLUMN("anomalies", "count(*)", 0),
	CW_COLUMN("worst", "max(e.severity)", 0),
	CW_COLUMN("unreviewed", "count(*) FILTER (WHERE NOT e.reviewed)", 0),
	CW_COLUMN("last", "max(e.detected_at)", 0),
};

static void build_entities(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM (SELECT x.address, a.severity, a.reviewed, a.detected_at FROM anomalies a JOIN transactions t"
	             " ON t.id = a.transaction_id CROSS JOIN LATERAL (SELECT t.from_address AS address UNION SELECT t.to_address) x");
	cw_build_filter(b, "since", "a.detected_at >= %");
	cw_build_filter(b, "until", "a.detected_at < %");
	cw_build_sql(b, " AND NOT a.shadow AND a.suppressed_by IS NULL AND x.address IS NOT NULL) e GROUP BY e.address");
	cw_build_value(b, "limit", " ORDER BY count(*) DESC, max(e.severity) DESC, e.address LIMIT %");
}

const struct cw_op cw_anomalies_by_entity = {
	.repo = "anomalies", .name = "by_entity", .kind = CW_OP_ROWS,
	.summary = "The addresses with the most anomalies in a period; the anomalies of one address are `list { address = }`.",
	CW_OP_ARGS(entity_args), CW_OP_COLUMNS(entity_columns), .build = build_entities,
};
