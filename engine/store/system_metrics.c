/* system_metrics - samples of the engine's own metrics. */
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
	{ .name = "name", .required = true },
	{ .name = "since", .type = CW_ARG_TIME },
	{ .name = "until", .type = CW_ARG_TIME },
	{ .name = "tags", .type = CW_ARG_JSON },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM system_metrics s");
	cw_build_filter(b, "name", "s.metric_name = %");
	cw_build_filter(b, "since", "s.timestamp >= %");
	cw_build_filter(b, "until", "s.timestamp < %");
	cw_build_filter(b, "tags", "s.tags @> %");
}

const struct cw_op cw_system_metrics_list = {
	.repo = "system_metrics", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Samples of one metric, newest first; `tags` are those that must be there.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "s.timestamp, s.id",
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
