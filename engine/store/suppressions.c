/* suppressions - alerts that nobody wants to see for a while. The commit stream applies them (store/alerts.c). */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("id", "s.id", 0),
	CW_COLUMN("rule", "s.rule_id", 0),
	CW_COLUMN("address", "s.address", 0),
	CW_COLUMN("dedup_key", "s.dedup_key", 0),
	CW_COLUMN("chain_id", "s.chain_id", 0),
	CW_COLUMN("list", "s.list", 0),
	CW_COLUMN("rules", "s.rules", 0),
	CW_COLUMN("side", "s.side", 0),
	CW_COLUMN("max_severity", "s.max_severity", 0),
	CW_COLUMN("reason", "s.reason", 0),
	CW_COLUMN("owner", "s.owner_id", 0),
	CW_COLUMN("created_at", "s.created_at", 0),
	CW_COLUMN("expires_at", "nullif(s.expires_at, 'infinity')", 0),
	CW_COLUMN("ended_at", "s.ended_at", 0),
	CW_COLUMN("ended_by", "s.ended_by", 0),
	CW_COLUMN("active", "(s.ended_at IS NULL AND s.expires_at > now())", 0),
	CW_COLUMN("hidden", "s.hidden", 0),
	CW_COLUMN("last_hidden_at", "s.last_hidden_at", 0),
};

static const struct cw_arg_spec list_args[] = {
	{ .name = "active", .type = CW_ARG_BOOL },
	{ .name = "rule" },
	{ .name = "address", .type = CW_ARG_ADDRESS },
	{ .name = "list" },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM suppressions s");
	cw_build_flag(b, "active", "s.ended_at IS NULL AND s.expires_at > now()",
	              "(s.ended_at IS NOT NULL OR s.expires_at <= now())");
	cw_build_filter(b, "rule", "s.rule_id = %");
	cw_build_filter(b, "address", "s.address = %");
	cw_build_filter(b, "list", "s.list = %");
}

const struct cw_op cw_suppressions_list = {
	.repo = "suppressions", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Suppressions, newest first; over or not.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "s.id",
};

static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true } };

static void build_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM suppressions s");
	cw_build_filter(b, "id", "s.id = %");
}

const struct cw_op cw_suppressions_get = {
	.repo = "suppressions", .name = "get", .kind = CW_OP_ONE,
	.summary = "One suppression.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_get,
};

static const struct cw_arg_spec create_args[] = {
	{ .name = "rule" },
	{ .name = "address", .type = CW_ARG_ADDRESS },
	{ .name = "dedup_key" },
	{ .name = "chain_id", .type = CW_ARG_INT },
	{ .name = "reason", .required = true },
	{ .name = "owner", .type = CW_ARG_INT },
	{ .name = "expires_at", .type = CW_ARG_TIME, .required = true },
};

static void build_create(struct cw_build *b)
{
	cw_build_value(b, "rule", "INSERT INTO suppressions AS s (rule_id, address, dedup_key, chain_id, reason, owner_id,"
	               " expires_at) VALUES (%");
	cw_build_value(b, "address", ", %");
	cw_build_value(b, "dedup_key", ", %");
	cw_build_value(b, "chain_id", ", %");
	cw_build_value(b, "reason", ", %");
	cw_build_value(b, "owner", ", %");
	cw_build_value(b, "expires_at", ", %)");
	cw_build_returning(b);
}

const struct cw_op cw_suppressions_create = {
	.repo = "suppressions", .name = "create", .kind = CW_OP_EXEC,
	.summary = "Hides alerts that match all that is given, until it expires. Rule, address or dedup key must be given.",
	CW_OP_ARGS(create_args), CW_OP_COLUMNS(columns), .build = build_create,
};

static const struct cw_arg_spec finish_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "ended_by", .type = CW_ARG_INT },
};

static void build_finish(struct cw_build *b)
{
	cw_build_value(b, "ended_by", "UPDATE suppressions s SET ended_at = coalesce(s.ended_at, now()),"
	               " ended_by = CASE WHEN s.ended_at IS NULL THEN % ELSE s.ended_by END");
	cw_build_filter(b, "id", "s.list IS NULL AND s.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_suppressions_finish = {
	.repo = "suppressions", .name = "finish", .kind = CW_OP_EXEC,
	.summary = "Ends a suppression now; one that has ended stays as it is. Not that of a list: that ends with its declaration.",
	CW_OP_ARGS(finish_args), CW_OP_COLUMNS(columns), .build = build_finish,
};
