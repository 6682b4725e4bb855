/* audit_logs - append-only, hash-chained. Who appends computes the hashes (auth/audit.h) and goes one after another. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("id", "l.id", 0),
	CW_COLUMN("timestamp", "l.timestamp", 0),
	CW_COLUMN("event_type", "l.event_type", 0),
	CW_COLUMN("user_id", "l.user_id", 0),
	CW_COLUMN("api_key_id", "l.api_key_id", 0),
	CW_COLUMN("resource", "l.resource", 0),
	CW_COLUMN("action", "l.action", 0),
	CW_COLUMN("status", "l.status", 0),
	CW_COLUMN("ip_address", "host(l.ip_address)", 0),
	CW_COLUMN("user_agent", "l.user_agent", 0),
	CW_COLUMN("details", "l.details", 0),
	CW_COLUMN("severity", "l.severity", 0),
	CW_COLUMN("previous_hash", "l.previous_hash", 0),
	CW_COLUMN("hash", "l.hash", 0),
};

static const struct cw_arg_spec append_args[] = {
	{ .name = "event_type", .required = true },
	{ .name = "timestamp", .type = CW_ARG_TIME, .required = true },
	{ .name = "user_id", .type = CW_ARG_INT },
	{ .name = "api_key_id", .type = CW_ARG_INT },
	{ .name = "resource" },
	{ .name = "action" },
	{ .name = "status" },
	{ .name = "ip_address" },
	{ .name = "user_agent" },
	{ .name = "details" },
	{ .name = "severity", .type = CW_ARG_CHOICE, .choices = "info|warning|error|critical" },
	{ .name = "previous_hash", .type = CW_ARG_BYTES, .required = true },
	{ .name = "hash", .type = CW_ARG_BYTES, .required = true },
};

static const struct cw_column id_columns[] = { CW_COLUMN("id", "l.id", 0), CW_COLUMN("hash", "l.hash", 0) };

static void build_append(struct cw_build *b)
{
	cw_build_value(b, "event_type", "INSERT INTO audit_logs AS l (event_type, timestamp, user_id, api_key_id, resource,"
	               " action, status, ip_address, user_agent, details, severity, previous_hash, hash) VALUES (%");
	cw_build_value(b, "timestamp", ", %");
	cw_build_value(b, "user_id", ", %");
	cw_build_value(b, "api_key_id", ", %");
	cw_build_value(b, "resource", ", coalesce(%, '')");
	cw_build_value(b, "action", ", coalesce(%, '')");
	cw_build_value(b, "status", ", coalesce(%, '')");
	cw_build_value(b, "ip_address", ", %::text::inet");
	cw_build_value(b, "user_agent", ", %");
	cw_build_value(b, "details", ", %::text::json");
	cw_build_value(b, "severity", ", coalesce(%, 'info')");
	cw_build_value(b, "previous_hash", ", %");
	cw_build_value(b, "hash", ", %)");
	cw_build_returning(b);
}

const struct cw_op cw_audit_logs_append = {
	.repo = "audit_logs", .name = "append", .kind = CW_OP_EXEC,
	.summary = "One more link of the chain. `details` is JSON text, kept as it is.",
	CW_OP_ARGS(append_args), CW_OP_COLUMNS(id_columns), .build = build_append,
};

static void build_last(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM audit_logs l ORDER BY l.id DESC LIMIT 1");
}

const struct cw_op cw_audit_logs_last = {
	.repo = "audit_logs", .name = "last", .kind = CW_OP_ONE,
	.summary = "Identity and hash of the newest entry; none while the log is empty.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(id_columns), .build = build_last,
};

static const struct cw_arg_spec list_args[] = {
	{ .name = "event_type" },
	{ .name = "user_id", .type = CW_ARG_INT },
	{ .name = "since", .type = CW_ARG_TIME },
	{ .name = "until", .type = CW_ARG_TIME },
	{ .name = "severity", .type = CW_ARG_CHOICE, .choices = "info|warning|error|critical" },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM audit_logs l");
	cw_build_filter(b, "event_type", "l.event_type = %");
	cw_build_filter(b, "user_id", "l.user_id = %");
	cw_build_filter(b, "since", "l.timestamp >= %");
	cw_build_filter(b, "until", "l.timestamp < %");
	cw_build_choice(b, "severity", "l.severity = '%'");
}

const struct cw_op cw_audit_logs_list = {
	.repo = "audit_logs", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Audit entries, newest first.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "l.id",
};

static const struct cw_arg_spec chain_args[] = {
	{ .name = "after", .type = CW_ARG_INT, .required = true },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 10000, .required = true },
};

static void build_chain(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM audit_logs l");
	cw_build_filter(b, "after", "l.id > %");
	cw_build_value(b, "limit", " ORDER BY l.id LIMIT %");
}

const struct cw_op cw_audit_logs_chain = {
	.repo = "audit_logs", .name = "chain", .kind = CW_OP_ROWS,
	.summary = "Entries after an identity, oldest first, for a check of the chain.",
	CW_OP_ARGS(chain_args), CW_OP_COLUMNS(columns), .build = build_chain,
};
