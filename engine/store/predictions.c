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
	{ .name = "hash", .type = CW_ARG_HASH, .where = CW_WHERE_HASH },
	{ .name = "is_anomaly", .type = CW_ARG_BOOL, .where = "p.is_anomaly", .otherwise = "NOT p.is_anomaly" },
	{ .name = "with_faults", .type = CW_ARG_BOOL, .where = "p.faults IS NOT NULL", .otherwise = "p.faults IS NULL" },
	{ .name = "since", .type = CW_ARG_TIME, .where = "p.created_at >= %" },
	{ .name = "until", .type = CW_ARG_TIME, .where = "p.created_at < %" },
	CW_PAGE_ARGS,
};

/* A prediction is not older than its transaction: see store/verdicts.c. */
#define FROM "predictions p JOIN transactions t ON t.id = p.transaction_id AND p.created_at >= t.created_at - interval '1 day'"

const struct cw_op cw_predictions_list = {
	.repo = "predictions", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Verdicts, newest first; with a hash, those on one transaction.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = cw_build_query, .from = FROM, .keys = "p.id",
};

static const struct cw_arg_spec period_args[] = {
	{ .name = "since", .type = CW_ARG_TIME, .required = true, .where = "p.created_at >= %" },
	{ .name = "until", .type = CW_ARG_TIME, .where = "p.created_at < %" },
	{ .name = "model_version_id", .type = CW_ARG_INT, .where = "p.model_version_id = %" },
};

static const struct cw_column statistics_columns[] = {
	CW_COLUMN("count", "count(*)", 0),
	CW_COLUMN("anomalies", "count(*) FILTER (WHERE p.is_anomaly)", 0),
	CW_COLUMN("with_faults", "count(p.faults)", 0),
	CW_COLUMN("mean_response_time_ms", "avg(p.response_time_ms)", 0),
	CW_COLUMN("first", "min(p.created_at)", 0),
	CW_COLUMN("last", "max(p.created_at)", 0),
};

const struct cw_op cw_predictions_statistics = {
	.repo = "predictions", .name = "statistics", .kind = CW_OP_ONE,
	.summary = "Counts over a period of arrival, of all or of one version of the ruleset or a model.",
	CW_OP_ARGS(period_args), CW_OP_COLUMNS(statistics_columns), .build = cw_build_query, .from = "predictions p",
};
