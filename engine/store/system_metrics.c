/* system_metrics - samples of the engine's own metrics. */
#include "base/clock.h"
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("timestamp", "s.timestamp", 0),
	CW_COLUMN("id", "s.id", 0),
	CW_COLUMN("metric_name", "s.metric_name", 0),
	CW_COLUMN("metric_value", "s.metric_value", 0),
	CW_COLUMN("tags", "s.tags", 0),
};

static const struct cw_arg_spec append_args[] = {
	{ .name = "samples", .type = CW_ARG_JSON, .required = true },
	{ .name = "timestamp", .type = CW_ARG_TIME },
};

static void build_append(struct cw_build *b)
{
	cw_build_sql(b, "INSERT INTO system_metrics (metric_name, metric_value, tags, timestamp)"
	             " SELECT j.name, j.value, coalesce(j.tags, '{}'), ");
	cw_build_value(b, "timestamp", "coalesce(%, now())");
	cw_build_value(b, "samples", " FROM jsonb_to_recordset(%) AS j (name text, value float8, tags jsonb)");
}

const struct cw_op cw_system_metrics_append = {
	.repo = "system_metrics", .name = "append", .kind = CW_OP_EXEC,
	.summary = "Many samples at once: [{\"name\":, \"value\":, \"tags\":{}}].",
	CW_OP_ARGS(append_args), .columns = NULL, .ncolumns = 0, .build = build_append,
};

static const struct cw_arg_spec list_args[] = {
	{ .name = "name", .required = true, .where = "s.metric_name = %" },
	{ .name = "since", .type = CW_ARG_TIME, .where = "s.timestamp >= %" },
	{ .name = "until", .type = CW_ARG_TIME, .where = "s.timestamp < %" },
	{ .name = "tags", .type = CW_ARG_JSON, .where = "s.tags @> %" },
	CW_PAGE_ARGS,
};

const struct cw_op cw_system_metrics_list = {
	.repo = "system_metrics", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Samples of one metric, newest first; `tags` are those that must be there.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = cw_build_query, .from = "system_metrics s",
	.keys = "s.timestamp, s.id",
};

/* --- down-sampled --- */

#define BUCKETS_MAX 10000            /* of one answer, for each set of tags */

static const struct cw_arg_spec series_args[] = {
	{ .name = "name", .required = true },
	{ .name = "since", .type = CW_ARG_TIME, .required = true },
	{ .name = "until", .type = CW_ARG_TIME },
	{ .name = "bucket", .type = CW_ARG_INT, .min = 1, .max = 31622400, .required = true },
	{ .name = "tags", .type = CW_ARG_JSON },
};

static const struct cw_column series_columns[] = {
	CW_COLUMN("timestamp", "s.bucket", 0),
	CW_COLUMN("tags", "s.tags", 0),
	CW_COLUMN("average", "avg(s.metric_value)", 0),
	CW_COLUMN("min", "min(s.metric_value)", 0),
	CW_COLUMN("max", "max(s.metric_value)", 0),
	CW_COLUMN("last", "(array_agg(s.metric_value ORDER BY s.timestamp DESC, s.id DESC))[1]", 0),
	CW_COLUMN("count", "count(*)", 0),
};

/* Buckets begin at multiples of their length since 2000, wherever the period begins: two answers fit together. */
static void build_series(struct cw_build *b)
{
	const struct cw_arg *until = cw_build_arg(b, "until");
	int64_t end_us = until != NULL ? until->integer : cw_clock_wall_us();

	if ((end_us - cw_build_arg(b, "since")->integer) / 1000000 / cw_build_arg(b, "bucket")->integer > BUCKETS_MAX)
		b->fault = "more than 10000 buckets: take a longer one, or a shorter period";
	cw_build_select(b);
	cw_build_value(b, "bucket", " FROM (SELECT date_bin(% * interval '1 second', timestamp, '2000-01-01 00:00+00') AS bucket,"
	               " tags, metric_value, timestamp, id FROM system_metrics");
	cw_build_filter(b, "name", "metric_name = %");
	cw_build_filter(b, "since", "timestamp >= %");
	cw_build_filter(b, "until", "timestamp < %");
	cw_build_filter(b, "tags", "tags @> %");
	cw_build_sql(b, ") s GROUP BY s.bucket, s.tags ORDER BY s.bucket, s.tags");
}

const struct cw_op cw_system_metrics_series = {
	.repo = "system_metrics", .name = "series", .kind = CW_OP_ROWS,
	.summary = "One metric in buckets of so many seconds, oldest first, each set of tags by itself.",
	CW_OP_ARGS(series_args), CW_OP_COLUMNS(series_columns), .build = build_series,
};

static const struct cw_column name_columns[] = { CW_COLUMN("metric_name", "n.metric_name", 0) };

/* A walk along the index, one probe a name (a loose index scan). */
static void build_names(struct cw_build *b)
{
	cw_build_sql(b, "WITH RECURSIVE n AS ((SELECT metric_name FROM system_metrics ORDER BY metric_name LIMIT 1)"
	             " UNION ALL SELECT (SELECT s.metric_name FROM system_metrics s WHERE s.metric_name > n.metric_name"
	             " ORDER BY s.metric_name LIMIT 1) FROM n WHERE n.metric_name IS NOT NULL) ");
	cw_build_select(b);
	cw_build_sql(b, " FROM n WHERE n.metric_name IS NOT NULL");
}

const struct cw_op cw_system_metrics_names = {
	.repo = "system_metrics", .name = "names", .kind = CW_OP_ROWS,
	.summary = "Names of the metrics that have samples.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(name_columns), .build = build_names,
};
