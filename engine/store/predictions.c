/* predictions - the verdict on each transaction, quiet or not. They are written by store/ingest.h. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("id", "p.id", 0),
	CW_COLUMN("transaction_id", "p.transaction_id", 0),
	CW_COLUMN("hash", "t.hash", 0),
	CW_COLUMN("chainId", "t.chain_id", CW_COL_QUANTITY),
	CW_COLUMN("model_version_id", "p.model_version_id", 0),
	CW_COLUMN("user_id", "p.user_id", 0),
	CW_COLUMN("is_anomaly", "p.is_anomaly", 0),
	CW_COLUMN("score", "p.anomaly_score", 0),
	CW_COLUMN("confidence", "p.confidence", 0),
	CW_COLUMN("faults", "p.faults", 0),
	CW_COLUMN("request_id", "p.request_id", 0),
	CW_COLUMN("response_time_ms", "p.response_time_ms", 0),
	CW_COLUMN("created_at", "p.created_at", 0),
};

static const struct cw_arg_spec list_args[] = {
	{ .name = "hash", .type = CW_ARG_HASH },
	{ .name = "is_anomaly", .type = CW_ARG_BOOL },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM predictions p JOIN transactions t ON t.id = p.transaction_id"
	             " AND p.created_at >= t.created_at - interval '1 day'");
	cw_build_filter(b, "hash", "t.hash = %");
	cw_build_flag(b, "is_anomaly", "p.is_anomaly", "NOT p.is_anomaly");
}

const struct cw_op cw_predictions_list = {
	.repo = "predictions", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Verdicts, newest first; with a hash, those on one transaction.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "p.id",
};

static const struct cw_arg_spec period_args[] = {
	{ .name = "since", .type = CW_ARG_TIME, .required = true },
	{ .name = "until", .type = CW_ARG_TIME },
};

static const struct cw_column statistics_columns[] = {
	CW_COLUMN("count", "count(*)", 0),
	CW_COLUMN("anomalies", "count(*) FILTER (WHERE p.is_anomaly)", 0),
	CW_COLUMN("with_faults", "count(p.faults)", 0),
	CW_COLUMN("mean_response_time_ms", "avg(p.response_time_ms)", 0),
	CW_COLUMN("first", "min(p.created_at)", 0),
	CW_COLUMN("last", "max(p.created_at)", 0),
};

static void build_statistics(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM predictions p");
	cw_build_filter(b, "since", "p.created_at >= %");
	cw_build_filter(b, "until", "p.created_at < %");
}

const struct cw_op cw_predictions_statistics = {
	.repo = "predictions", .name = "statistics", .kind = CW_OP_ONE,
	.summary = "Counts over a period of arrival.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(statistics_columns), .build = build_statistics,
};
