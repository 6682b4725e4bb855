/* anomalies - what rules and models found, each with the transaction it was found on. */
#include "store/build.h"
#include "store/ops.h"

#define SEVERITIES "low|medium|high|critical"
#define FINALITIES "provisional|final|retracted"
#define STATUSES "open|investigating|confirmed|dismissed"

#define ANOMALY_COLUMNS \
	CW_COLUMN("detected_at", "a.detected_at", 0), CW_COLUMN("id", "a.id", 0), \
	CW_COLUMN("severity", "a.severity", 0), CW_COLUMN("score", "a.anomaly_score", 0), \
	CW_COLUMN("confidence", "a.confidence", 0), CW_COLUMN("rule", "a.rule_id", 0), \
	CW_COLUMN("rule_version", "a.rule_version", 0), CW_COLUMN("model_version_id", "a.model_id", 0), \
	CW_COLUMN("title", "a.title", 0), CW_COLUMN("explanation", "a.explanation", 0), \
	CW_COLUMN("features", "a.features_used", 0), CW_COLUMN("ruleset", "a.ruleset", 0), \
	CW_COLUMN("dedup_key", "a.dedup_key", 0), CW_COLUMN("shadow", "a.shadow", 0), \
	CW_COLUMN("occurrences", "a.occurrences", 0), CW_COLUMN("last_seen", "a.last_seen", 0), \
	CW_COLUMN("suppressed_by", "a.suppressed_by", 0), CW_COLUMN("finality", "a.finality", 0), \
	CW_COLUMN("reborn_of", "a.reborn_of", 0), \
	CW_COLUMN("status", "a.status", 0), CW_COLUMN("reviewed", "a.reviewed", 0), \
	CW_COLUMN("reviewed_by", "a.reviewed_by", 0), CW_COLUMN("reviewed_at", "a.reviewed_at", 0), \
	CW_COLUMN("review_note", "a.review_note", 0), CW_COLUMN("false_positive", "a.false_positive", 0), \
	CW_COLUMN("entity", "a.entity", 0), CW_COLUMN("role", "a.role", 0), \
	CW_COLUMN("label_withdrawn_at", "a.label_withdrawn_at", 0), \
	CW_COLUMN("labels", "(SELECT coalesce(jsonb_agg(jsonb_build_object('list', l.list, 'version', l.version, 'last_version'," \
	          " l.last_version, 'file', l.file_checksum, 'address', '0x' || encode(l.address, 'hex'), 'chain', l.chain_id," \
	          " 'category', l.category, 'name', l.label, 'source', l.source, 'confidence', l.confidence, 'use', l.use," \
	          " 'withdrawn_at', l.withdrawn_at, 'withdrawn_version', l.withdrawn_version) ORDER BY l.list, l.address," \
	          " l.category, l.use), '[]') FROM anomaly_labels l WHERE l.anomaly_id = a.id)", 0)

static const struct cw_column columns[] = {
	ANOMALY_COLUMNS,
	CW_COLUMN("transaction", NULL, CW_COL_OPEN),
	CW_COLUMN("id", "t.id", 0),
	CW_COLUMN("hash", "t.hash", 0),
	CW_COLUMN("chainId", "t.chain_id", CW_COL_QUANTITY),
	CW_COLUMN("blockNumber", "t.block_number", CW_COL_QUANTITY),
	CW_COLUMN("timestamp", "t.timestamp", CW_COL_SECONDS),
	CW_COLUMN("from", "t.from_address", 0),
	CW_COLUMN("to", "t.to_address", 0),
	CW_COLUMN("value", "t.value", CW_COL_QUANTITY),
	CW_COLUMN("", NULL, CW_COL_CLOSE),
};

static const struct cw_column changed_columns[] = { ANOMALY_COLUMNS };

#define FILTER_ARGS \
	{ .name = "severity", .type = CW_ARG_CHOICE, .choices = SEVERITIES }, \
	{ .name = "min_severity", .type = CW_ARG_CHOICE, .choices = SEVERITIES }, { .name = "rule" }, \
	{ .name = "address", .type = CW_ARG_ADDRESS }, { .name = "hash", .type = CW_ARG_HASH }, \
	{ .name = "chain_id", .type = CW_ARG_INT }, { .name = "since", .type = CW_ARG_TIME }, \
	{ .name = "until", .type = CW_ARG_TIME }, { .name = "reviewed", .type = CW_ARG_BOOL }, \
	{ .name = "false_positive", .type = CW_ARG_BOOL }, \
	{ .name = "status", .type = CW_ARG_CHOICE, .choices = STATUSES }, { .name = "shadow", .type = CW_ARG_BOOL }, \
	{ .name = "suppressed", .type = CW_ARG_BOOL }, \
	{ .name = "finality", .type = CW_ARG_CHOICE, .choices = FINALITIES }, \
	{ .name = "dedup_key" }, { .name = "min_score", .type = CW_ARG_NUMBER, .min = 0, .max = 1 }, \
	{ .name = "entity", .type = CW_ARG_ADDRESS }, \
	{ .name = "role", .type = CW_ARG_CHOICE, .choices = "actor|victim|counterparty|unknown" }, \
	{ .name = "label_withdrawn", .type = CW_ARG_BOOL }, { .name = "list" }

static const struct cw_arg_spec list_args[] = { FILTER_ARGS, CW_PAGE_ARGS };
static const struct cw_arg_spec filter_args[] = { FILTER_ARGS };
static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true } };
static const struct cw_arg_spec review_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "status", .type = CW_ARG_CHOICE, .choices = STATUSES },
	{ .name = "false_positive", .type = CW_ARG_BOOL },
	{ .name = "note" },
	{ .name = "reviewed_by", .type = CW_ARG_INT },
};
static const struct cw_arg_spec period_args[] = {
	{ .name = "since", .type = CW_ARG_TIME },
	{ .name = "until", .type = CW_ARG_TIME },
	{ .name = "rule" },
};

/* Address and hash are looked for from their transactions, then the alerts for which these are evidence. OFFSET 0 keeps
 * the planner from turning that round. */
static void put_from(struct cw_build *b)
{
	bool address = cw_build_arg(b, "address") != NULL, hash = cw_build_arg(b, "hash") != NULL;

	if (!address && !hash) {
		cw_build_sql(b, " FROM anomalies a JOIN transactions t ON t.id = a.transaction_id");
		return;
	}
	cw_build_sql(b, " FROM (WITH x AS MATERIALIZED (");
	if (address) {
		cw_build_value(b, "address", "SELECT id, hash FROM transactions WHERE from_address = % UNION"
		               " SELECT id, hash FROM transactions WHERE to_address = %");
	} else {
		cw_build_value(b, "hash", "SELECT id, hash FROM transactions WHERE hash = % AND canonical"
		               " UNION ALL SELECT id, hash FROM transactions WHERE hash = % AND NOT canonical");
	}
	cw_build_sql(b, ") SELECT e.anomaly_id AS id FROM x JOIN anomaly_evidence e ON e.transaction_id = x.id");
	if (address && hash)
		cw_build_value(b, "hash", " WHERE x.hash = %");
	cw_build_sql(b, " UNION SELECT n.id FROM x JOIN anomalies n ON n.transaction_id = x.id");
	if (address && hash)
		cw_build_value(b, "hash", " WHERE x.hash = %");
	cw_build_sql(b, " OFFSET 0) y JOIN anomalies a ON a.id = y.id JOIN transactions t ON t.id = a.transaction_id");
}

static void put_where(struct cw_build *b)
{
	b->plan_anew = cw_build_arg(b, "rule") != NULL || cw_build_arg(b, "dedup_key") != NULL;
	cw_build_choice(b, "severity", "a.severity = '%'");
	cw_build_choice(b, "min_severity", "a.severity >= '%'");
	cw_build_filter(b, "rule", "a.rule_id = %");
	cw_build_filter(b, "chain_id", "t.chain_id = %");
	cw_build_filter(b, "since", "a.detected_at >= %");
	cw_build_filter(b, "until", "a.detected_at < %");
	cw_build_flag(b, "reviewed", "a.reviewed", "NOT a.reviewed");
	cw_build_flag(b, "false_positive", "a.false_positive", "a.false_positive IS NOT TRUE");
	cw_build_choice(b, "status", "a.status = '%'");
	cw_build_filter(b, "dedup_key", "a.dedup_key = %");
	cw_build_filter(b, "min_score", "a.anomaly_score >= %");
	cw_build_filter(b, "entity", "a.entity = %");
	cw_build_choice(b, "role", "a.role = '%'");
	cw_build_flag(b, "label_withdrawn", "a.label_withdrawn_at IS NOT NULL", "a.label_withdrawn_at IS NULL");
	cw_build_filter(b, "list", "EXISTS (SELECT FROM anomaly_labels al WHERE al.anomaly_id = a.id AND al.list = %)");
	if (cw_build_arg(b, "shadow") == NULL) {
		cw_build_and(b);
		cw_build_sql(b, "NOT a.shadow");
	}
	cw_build_flag(b, "shadow", "a.shadow", "NOT a.shadow");
	if (cw_build_arg(b, "suppressed") == NULL) {
		cw_build_and(b);
		cw_build_sql(b, "a.suppressed_by IS NULL");
	}
	cw_build_choice(b, "finality", "a.finality = '%'");
	cw_build_flag(b, "suppressed", "a.suppressed_by IS NOT NULL", "a.suppressed_by IS NULL");
}

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	put_from(b);
	put_where(b);
}

const struct cw_op cw_anomalies_list = {
	.repo = "anomalies", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Anomalies, newest first, each with its transaction. Those of rules in shadow only on demand.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "a.detected_at, a.id",
};

static void build_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM anomalies a JOIN transactions t ON t.id = a.transaction_id");
	cw_build_filter(b, "id", "a.id = %");
}

const struct cw_op cw_anomalies_get = {
	.repo = "anomalies", .name = "get", .kind = CW_OP_ONE,
	.summary = "One anomaly with its transaction.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_get,
};

static const struct cw_column evidence_columns[] = {
	CW_COLUMN("transaction_id", "e.transaction_id", 0),
	CW_COLUMN("detected_at", "e.detected_at", 0),
	CW_COLUMN("severity", "e.severity", 0),
	CW_COLUMN("score", "e.anomaly_score", 0),
	CW_COLUMN("confidence", "e.confidence", 0),
	CW_COLUMN("model_version_id", "e.model_id", 0),
	CW_COLUMN("explanation", "e.explanation", 0),
	CW_COLUMN("features", "e.features_used", 0),
	CW_COLUMN("suppressed_by", "e.suppressed_by", 0),
	CW_COLUMN("transaction", NULL, CW_COL_OPEN),
	CW_COLUMN("hash", "t.hash", 0),
	CW_COLUMN("chainId", "t.chain_id", CW_COL_QUANTITY),
	CW_COLUMN("blockNumber", "t.block_number", CW_COL_QUANTITY),
	CW_COLUMN("timestamp", "t.timestamp", CW_COL_SECONDS),
	CW_COLUMN("from", "t.from_address", 0),
	CW_COLUMN("to", "t.to_address", 0),
	CW_COLUMN("value", "t.value", CW_COL_QUANTITY),
	CW_COLUMN("canonical", "t.canonical", 0),
	CW_COLUMN("", NULL, CW_COL_CLOSE),
};
static const struct cw_arg_spec evidence_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	CW_PAGE_ARGS,
};

static void build_evidence(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM anomaly_evidence e JOIN transactions t ON t.id = e.transaction_id");
	cw_build_filter(b, "id", "e.anomaly_id = %");
}

const struct cw_op cw_anomalies_evidence = {
	.repo = "anomalies", .name = "evidence", .kind = CW_OP_PAGE,
	.summary = "The transactions on which a living alert fired, newest first, with what the rule said of each.",
	CW_OP_ARGS(evidence_args), CW_OP_COLUMNS(evidence_columns), .build = build_evidence, .keys = "e.transaction_id",
};

static const struct cw_column count_columns[] = { CW_COLUMN("count", "count(*)", 0) };

static void build_count(struct cw_build *b)
{
	cw_build_select(b);
	put_from(b);
	put_where(b);
}

const struct cw_op cw_anomalies_count = {
	.repo = "anomalies", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many anomalies match.",
	CW_OP_ARGS(filter_args), CW_OP_COLUMNS(count_columns), .build = build_count,
};

/* What is not given stays; a review makes the anomaly reviewed. */
static void build_review(struct cw_build *b)
{
	cw_build_value(b, "status", "UPDATE anomalies a SET reviewed = true, reviewed_at = now(), status = coalesce(%, CASE");
	cw_build_value(b, "false_positive", " % WHEN true THEN 'dismissed' WHEN false THEN 'confirmed' ELSE a.status END),"
	               " false_positive = coalesce(%, a.false_positive)");
	cw_build_value(b, "note", ", review_note = coalesce(%, a.review_note)");
	cw_build_value(b, "reviewed_by", ", reviewed_by = %");
	cw_build_filter(b, "id", "a.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_anomalies_review = {
	.repo = "anomalies", .name = "review", .kind = CW_OP_EXEC,
	.summary = "Writes a reviewer's word on an anomaly; a false positive is dismissed unless a status says otherwise.",
	CW_OP_ARGS(review_args), CW_OP_COLUMNS(changed_columns), .build = build_review,
};

static const struct cw_column statistics_columns[] = {
	CW_COLUMN("rule", "a.rule_id", 0),
	CW_COLUMN("severity", "a.severity", 0),
	CW_COLUMN("count", "count(*)", 0),
	CW_COLUMN("reviewed", "count(*) FILTER (WHERE a.reviewed)", 0),
	CW_COLUMN("false_positives", "count(*) FILTER (WHERE a.false_positive)", 0),
	CW_COLUMN("mean_score", "avg(a.anomaly_score)", 0),
	CW_COLUMN("last", "max(a.detected_at)", 0),
};

static void build_statistics(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM anomalies a");
	cw_build_filter(b, "since", "a.detected_at >= %");
	cw_build_filter(b, "until", "a.detected_at < %");
	cw_build_filter(b, "rule", "a.rule_id = %");
	cw_build_and(b);
	cw_build_sql(b, "NOT a.shadow AND a.suppressed_by IS NULL AND a.finality <> 'retracted' GROUP BY a.rule_id,"
	             " a.severity ORDER BY count(*) DESC, a.rule_id, a.severity");
}

const struct cw_op cw_anomalies_statistics = {
	.repo = "anomalies", .name = "statistics", .kind = CW_OP_ROWS,
	.summary = "By rule and severity in a period: how many, how many reviewed, how many false positives.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(statistics_columns), .build = build_statistics,
};

static const struct cw_column rate_columns[] = {
	CW_COLUMN("reviewed", "count(*) FILTER (WHERE a.reviewed)", 0),
	CW_COLUMN("false_positives", "count(*) FILTER (WHERE a.false_positive)", 0),
	CW_COLUMN("rate", "count(*) FILTER (WHERE a.false_positive)::float8 / nullif(count(*) FILTER (WHERE a.reviewed), 0)",
	          0),
};

static void build_rate(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM anomalies a");
	cw_build_filter(b, "since", "a.detected_at >= %");
	cw_build_filter(b, "until", "a.detected_at < %");
	cw_build_filter(b, "rule", "a.rule_id = %");
}

const struct cw_op cw_anomalies_false_positive_rate = {
	.repo = "anomalies", .name = "false_positive_rate", .kind = CW_OP_ONE,
	.summary = "Share of false positives among the reviewed anomalies; null while none is reviewed.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(rate_columns), .build = build_rate,
};
