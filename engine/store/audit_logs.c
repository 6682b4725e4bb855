/* audit_logs - append-only, hash-chained: a trigger makes each row a link, app/audit.h checks them. */
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
	CW_COLUMN("request_id", "l.request_id", 0),
	CW_COLUMN("seq", "l.seq", 0),
	CW_COLUMN("previous_hash", "l.previous_hash", 0),
	CW_COLUMN("hash", "l.hash", 0),
};

#define SEVERITIES "info|warning|error|critical"

static const struct cw_arg_spec append_args[] = {
	{ .name = "event_type", .required = true },
	{ .name = "user_id", .type = CW_ARG_INT },
	{ .name = "api_key_id", .type = CW_ARG_INT },
	{ .name = "resource" },
	{ .name = "action" },
	{ .name = "status" },
	{ .name = "ip_address" },
	{ .name = "user_agent" },
	{ .name = "request_id" },
	{ .name = "details" },
	{ .name = "severity", .type = CW_ARG_CHOICE, .choices = SEVERITIES },
};

static const struct cw_column link_columns[] = {
	CW_COLUMN("id", "l.id", 0), CW_COLUMN("seq", "l.seq", 0), CW_COLUMN("hash", "l.hash", 0),
};

/* The trigger fills in what makes it a link: number and hashes. */
static void build_append(struct cw_build *b)
{
	cw_build_value(b, "event_type", "INSERT INTO audit_logs AS l (event_type, user_id, api_key_id, resource, action,"
	               " status, ip_address, user_agent, request_id, details, severity) VALUES (%");
	cw_build_value(b, "user_id", ", %");
	cw_build_value(b, "api_key_id", ", %");
	cw_build_value(b, "resource", ", coalesce(%, '')");
	cw_build_value(b, "action", ", coalesce(%, '')");
	cw_build_value(b, "status", ", coalesce(%, 'success')");
	cw_build_value(b, "ip_address", ", %::text::inet");
	cw_build_value(b, "user_agent", ", %");
	cw_build_value(b, "request_id", ", %");
	cw_build_value(b, "details", ", %::text::json");
	cw_build_value(b, "severity", ", coalesce(%, 'info'))");
	cw_build_returning(b);
}

const struct cw_op cw_audit_logs_append = {
	.repo = "audit_logs", .name = "append", .kind = CW_OP_EXEC,
	.summary = "One more link of the chain. `details` is JSON text, kept as it is.",
	CW_OP_ARGS(append_args), CW_OP_COLUMNS(link_columns), .build = build_append,
};

static void build_last(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM audit_logs l ORDER BY l.seq DESC LIMIT 1");
}

const struct cw_op cw_audit_logs_last = {
	.repo = "audit_logs", .name = "last", .kind = CW_OP_ONE,
	.summary = "Number and hash of the newest entry; none while the log is empty.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(link_columns), .build = build_last,
};

static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true } };

static void build_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM audit_logs l");
	cw_build_filter(b, "id", "l.id = %");
}

const struct cw_op cw_audit_logs_get = {
	.repo = "audit_logs", .name = "get", .kind = CW_OP_ONE,
	.summary = "One entry.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_get,
};

#define FILTER_ARGS \
	{ .name = "event_type" }, { .name = "user_id", .type = CW_ARG_INT }, { .name = "api_key_id", .type = CW_ARG_INT }, \
	{ .name = "resource" }, { .name = "action" }, { .name = "status" }, \
	{ .name = "ip_address", .type = CW_ARG_INET }, { .name = "request_id" }, { .name = "since", .type = CW_ARG_TIME }, { .name = "until", .type = CW_ARG_TIME }, \
	{ .name = "severity", .type = CW_ARG_CHOICE, .choices = SEVERITIES }

static const struct cw_arg_spec list_args[] = { FILTER_ARGS, CW_PAGE_ARGS };

/* An event type may be a family: "auth." finds auth.login and auth.refresh. */
static void put_filters(struct cw_build *b)
{
	const struct cw_arg *type = cw_build_arg(b, "event_type");

	cw_build_sql(b, " FROM audit_logs l");
	if (type != NULL && type->len > 0 && type->text[type->len - 1] == '.')
		cw_build_filter(b, "event_type", "starts_with(l.event_type, %)");
	else
		cw_build_filter(b, "event_type", "l.event_type = %");
	cw_build_filter(b, "user_id", "l.user_id = %");
	cw_build_filter(b, "api_key_id", "l.api_key_id = %");
	cw_build_filter(b, "resource", "l.resource = %");
	cw_build_filter(b, "action", "l.action = %");
	cw_build_filter(b, "status", "l.status = %");
	cw_build_filter(b, "ip_address", "l.ip_address = %::text::inet");
	cw_build_filter(b, "request_id", "l.request_id = %");
	cw_build_filter(b, "since", "l.timestamp >= %");
	cw_build_filter(b, "until", "l.timestamp < %");
	cw_build_choice(b, "severity", "l.severity = '%'");
}

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	put_filters(b);
}

const struct cw_op cw_audit_logs_list = {
	.repo = "audit_logs", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Audit entries, newest first. An event type that ends in a dot stands for all that begin so.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "l.id",
};

static const struct cw_arg_spec statistics_args[] = { FILTER_ARGS };

static const struct cw_column statistics_columns[] = {
	CW_COLUMN("event_type", "l.event_type", 0),
	CW_COLUMN("status", "l.status", 0),
	CW_COLUMN("severity", "l.severity", 0),
	CW_COLUMN("count", "count(*)", 0),
	CW_COLUMN("users", "count(DISTINCT l.user_id)", 0),
	CW_COLUMN("addresses", "count(DISTINCT l.ip_address)", 0),
	CW_COLUMN("first", "min(l.timestamp)", 0),
	CW_COLUMN("last", "max(l.timestamp)", 0),
};

static void build_statistics(struct cw_build *b)
{
	cw_build_select(b);
	put_filters(b);
	cw_build_sql(b, " GROUP BY l.event_type, l.status, l.severity"
	             " ORDER BY count(*) DESC, l.event_type, l.status, l.severity LIMIT 1000");
}

const struct cw_op cw_audit_logs_statistics = {
	.repo = "audit_logs", .name = "statistics", .kind = CW_OP_ROWS,
	.summary = "By event type, status and severity in a period: how many, of how many users and addresses.",
	CW_OP_ARGS(statistics_args), CW_OP_COLUMNS(statistics_columns), .build = build_statistics,
};

static const struct cw_arg_spec chain_args[] = {
	{ .name = "after", .type = CW_ARG_INT, .required = true },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 10000, .required = true },
};

static void build_chain(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM audit_logs l");
	cw_build_filter(b, "after", "l.seq > %");
	cw_build_value(b, "limit", " ORDER BY l.seq LIMIT %");
}

const struct cw_op cw_audit_logs_chain = {
	.repo = "audit_logs", .name = "chain", .kind = CW_OP_ROWS,
	.summary = "Entries after a place in the chain, oldest first.",
	CW_OP_ARGS(chain_args), CW_OP_COLUMNS(columns), .build = build_chain,
};
