/* rule_states, rule_sources, rule_alarms - what has become of a rule: switched off, tried out, promoted, too quiet. */
#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "store/build.h"
#include "store/ops.h"
#include "store/rules.h"

/* --- rule_states --- */

static const struct cw_column state_columns[] = {
	CW_COLUMN("rule", "s.rule_id", 0),
	CW_COLUMN("role", "s.role", 0),
	CW_COLUMN("status", "s.status", 0),
	CW_COLUMN("reason", "s.reason", 0),
	CW_COLUMN("faults", "s.faults", 0),
	CW_COLUMN("sha256", "s.sha256", 0),
	CW_COLUMN("changed_at", "s.changed_at", 0),
	CW_COLUMN("changed_by", "s.changed_by", 0),
};

static void build_states(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM rule_states s ORDER BY s.rule_id, s.role");
}

const struct cw_op cw_rule_states_list = {
	.repo = "rule_states", .name = "list", .kind = CW_OP_ROWS,
	.summary = "Rules that have ever been switched off or quarantined.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(state_columns), .build = build_states,
};

static const struct cw_arg_spec state_args[] = {
	{ .name = "rule", .required = true },
	{ .name = "role", .type = CW_ARG_CHOICE, .choices = "live|candidate", .required = true },
	{ .name = "status", .type = CW_ARG_CHOICE, .choices = "enabled|disabled|quarantined", .required = true },
	{ .name = "reason" },
	{ .name = "faults", .type = CW_ARG_INT, .min = 0, .max = 1e15 },
	{ .name = "sha256" },
	{ .name = "changed_by", .type = CW_ARG_INT },
};

static void build_state_set(struct cw_build *b)
{
	cw_build_value(b, "rule", "INSERT INTO rule_states AS s (rule_id, role, status, reason, faults, sha256, changed_by)"
	               " VALUES (%");
	cw_build_value(b, "role", ", %");
	cw_build_value(b, "status", ", %");
	cw_build_value(b, "reason", ", coalesce(%, '')");
	cw_build_value(b, "faults", ", coalesce(%, 0)");
	cw_build_value(b, "sha256", ", coalesce(%, '')");
	cw_build_value(b, "changed_by", ", %) ON CONFLICT (rule_id, role) DO UPDATE SET status = excluded.status,"
	               " reason = excluded.reason, faults = excluded.faults, sha256 = excluded.sha256, changed_at = now(),"
	               " changed_by = excluded.changed_by");
	cw_build_returning(b);
}

const struct cw_op cw_rule_states_set = {
	.repo = "rule_states", .name = "set", .kind = CW_OP_EXEC,
	.summary = "What is to become of a rule. A quarantine is of one version: give its sha256.",
	CW_OP_ARGS(state_args), CW_OP_COLUMNS(state_columns), .build = build_state_set,
};

/* --- rule_sources --- */

static const struct cw_column source_columns[] = {
	CW_COLUMN("rule", "s.rule_id", 0),
	CW_COLUMN("role", "s.role", 0),
	CW_COLUMN("sha256", "s.sha256", 0),
	CW_COLUMN("replaces", "s.replaces", 0),
	CW_COLUMN("created_at", "s.created_at", 0),
	CW_COLUMN("created_by", "s.created_by", 0),
	CW_COLUMN("source", "s.source", 0),
};
#define SOURCE_ROLE(need) \
	{ .name = "role", .type = CW_ARG_CHOICE, .choices = "candidate|promoted", .required = (need) }

static const struct cw_arg_spec source_list_args[] = { { .name = "rule" }, SOURCE_ROLE(false) };

static void build_sources(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM rule_sources s");
	cw_build_filter(b, "rule", "s.rule_id = %");
	cw_build_filter(b, "role", "s.role = %");
	cw_build_sql(b, " ORDER BY s.rule_id, s.role");
}

const struct cw_op cw_rule_sources_list = {
	.repo = "rule_sources", .name = "list", .kind = CW_OP_ROWS,
	.summary = "Candidates that came in over HTTP, and promoted versions that no file has yet.",
	CW_OP_ARGS(source_list_args), CW_OP_COLUMNS(source_columns), .build = build_sources,
};

static const struct cw_arg_spec source_args[] = {
	{ .name = "rule", .required = true }, SOURCE_ROLE(true), { .name = "sha256", .required = true },
	{ .name = "source", .required = true }, { .name = "replaces" }, { .name = "created_by", .type = CW_ARG_INT },
};

static void build_source_put(struct cw_build *b)
{
	cw_build_value(b, "rule", "INSERT INTO rule_sources AS s (rule_id, role, sha256, source, replaces, created_by) VALUES (%");
	cw_build_value(b, "role", ", %");
	cw_build_value(b, "sha256", ", %");
	cw_build_value(b, "source", ", %");
	cw_build_value(b, "replaces", ", coalesce(%, '')");
	cw_build_value(b, "created_by", ", %) ON CONFLICT (rule_id, role) DO UPDATE SET sha256 = excluded.sha256,"
	               " source = excluded.source, replaces = excluded.replaces, created_at = now(),"
	               " created_by = excluded.created_by");
	cw_build_returning(b);
}

const struct cw_op cw_rule_sources_put = {
	.repo = "rule_sources", .name = "put", .kind = CW_OP_EXEC,
	.summary = "The text of a rule, in place of the one that was there.",
	CW_OP_ARGS(source_args), CW_OP_COLUMNS(source_columns), .build = build_source_put,
};

static const struct cw_arg_spec source_delete_args[] = { { .name = "rule", .required = true }, SOURCE_ROLE(true) };

static void build_source_delete(struct cw_build *b)
{
	cw_build_sql(b, "DELETE FROM rule_sources s");
	cw_build_filter(b, "rule", "s.rule_id = %");
	cw_build_filter(b, "role", "s.role = %");
	cw_build_returning(b);
}

const struct cw_op cw_rule_sources_delete = {
	.repo = "rule_sources", .name = "delete", .kind = CW_OP_EXEC,
	.summary = "Forgets a candidate or a promotion.",
	CW_OP_ARGS(source_delete_args), CW_OP_COLUMNS(source_columns), .build = build_source_delete,
};

static const struct cw_stmt all_stmt = {
	"rule_sources_all",
	"SELECT rule_id, role, sha256, source, replaces FROM rule_sources ORDER BY role DESC, rule_id",
};

uint64_t cw_rule_sources_all(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &all_stmt, NULL, fn, arg);
}

static const struct cw_stmt forget_stmt = {
	"rule_sources_forget", "DELETE FROM rule_sources WHERE rule_id = $1 AND role = $2 AND sha256 = $3",
};

uint64_t cw_rule_sources_forget(struct cw_pool *pool, const char *rule_id, const char *role, const char *sha256,
                                cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule_id);
	cw_params_cstring(&params, role);
	cw_params_cstring(&params, sha256);
	query = cw_pool_query(pool, &forget_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

/* --- a candidate against the live version --- */

static const struct cw_stmt alerts_stmt = {
	"rule_alerts",
	"SELECT e.transaction_id, e.model_id = $3, '0x' || encode(t.hash, 'hex'), coalesce(nullif(a.dedup_key, ''),"
	" '0x' || encode(t.from_address, 'hex')), e.severity::text, e.anomaly_score, e.explanation"
	" FROM anomalies a JOIN anomaly_evidence e ON e.anomaly_id = a.id JOIN transactions t ON t.id = e.transaction_id"
	" WHERE a.rule_id = $1 AND e.transaction_id > $4 AND (e.model_id = $3 OR e.model_id = $2 OR NOT a.shadow)"
	" AND ($5::timestamptz IS NULL OR e.detected_at >= $5)"
	" ORDER BY e.transaction_id LIMIT 200000",
};

uint64_t cw_rule_alerts(struct cw_pool *pool, const char *rule_id, int64_t live_id, int64_t candidate_id, uint64_t after,
                        int64_t since_us, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule_id);
	cw_params_i64(&params, live_id);
	cw_params_i64(&params, candidate_id);
	cw_params_i64(&params, (int64_t)after);
	if (since_us != 0)
		cw_params_time(&params, since_us);
	else
		cw_params_null(&params);
	query = cw_pool_read(pool, &alerts_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

/* --- rule_alarms --- */

static const struct cw_arg_spec alarm_args[] = {
	{ .name = "rule" }, { .name = "kind", .type = CW_ARG_CHOICE, .choices = "silent|flood" },
	{ .name = "open", .type = CW_ARG_BOOL }, CW_PAGE_ARGS,
};

static const struct cw_column alarm_columns[] = {
	CW_COLUMN("id", "l.id", 0),
	CW_COLUMN("rule", "l.rule_id", 0),
	CW_COLUMN("kind", "l.kind", 0),
	CW_COLUMN("observed", "l.observed", 0),
	CW_COLUMN("expected_min", "l.expected_min", 0),
	CW_COLUMN("expected_max", "l.expected_max", 0),
	CW_COLUMN("basis", "l.basis", 0),
	CW_COLUMN("message", "l.message", 0),
	CW_COLUMN("raised_at", "l.raised_at", 0),
	CW_COLUMN("cleared_at", "l.cleared_at", 0),
};

static void build_alarms(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM rule_alarms l");
	cw_build_filter(b, "rule", "l.rule_id = %");
	cw_build_filter(b, "kind", "l.kind = %");
	cw_build_flag(b, "open", "l.cleared_at IS NULL", "l.cleared_at IS NOT NULL");
}

const struct cw_op cw_rule_alarms_list = {
	.repo = "rule_alarms", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Rules that fell silent or flooded, newest first.",
	CW_OP_ARGS(alarm_args), CW_OP_COLUMNS(alarm_columns), .build = build_alarms, .keys = "l.id",
};

static const struct cw_stmt rates_stmt = {
	"rule_rates",
	"SELECT m.name, count(a.id) FILTER (WHERE a.detected_at > now() - interval '1 hour'),"
	" count(a.id) FILTER (WHERE a.detected_at > now() - interval '1 day'),"
	" count(a.id) FILTER (WHERE a.detected_at <= now() - interval '1 day'),"
	" extract(epoch FROM now() - m.created_at)::float8 / 86400,"
	" coalesce(extract(epoch FROM now() - min(a.detected_at))::float8 / 86400, 0),"
	" EXISTS (SELECT FROM predictions WHERE created_at > now() - interval '1 hour'),"
	" coalesce((SELECT min(l.kind) FROM rule_alarms l WHERE l.rule_id = m.name AND l.cleared_at IS NULL), '')"
	" FROM models m LEFT JOIN anomalies a ON a.rule_id = m.name AND NOT a.shadow"
	" AND a.detected_at > now() - interval '8 days' WHERE m.model_type = 'rule' AND EXISTS (SELECT FROM model_versions v"
	" WHERE v.model_id = m.id AND v.is_deployed) GROUP BY m.id ORDER BY m.name",
};

uint64_t cw_rule_rates(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &rates_stmt, NULL, fn, arg);
}

static const struct cw_stmt raise_stmt = {
	"rule_alarm_raise",
	"WITH made AS (INSERT INTO rule_alarms (rule_id, kind, observed, expected_min, expected_max, basis, message)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (rule_id, kind) WHERE cleared_at IS NULL DO NOTHING RETURNING 1)"
	" INSERT INTO audit_logs (event_type, resource, action, status, severity, details) SELECT 'rule.alarm', 'rule:' || $1,"
	" $2, 'success', 'warning', json_build_object('rule', $1, 'kind', $2, 'observed', $3, 'min', $4, 'max', $5,"
	" 'basis', $6) FROM made",
};

uint64_t cw_rule_alarm_raise(struct cw_pool *pool, const char *rule, const char *kind, double observed, double min,
                             double max, bool declared, const char *message, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule);
	cw_params_cstring(&params, kind);
	cw_params_f64(&params, observed);
	cw_params_f64(&params, min);
	cw_params_f64(&params, max);
	cw_params_cstring(&params, declared ? "declared" : "learnt");
	cw_params_cstring(&params, message);
	query = cw_pool_query(pool, &raise_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

static const struct cw_stmt clear_stmt = {
	"rule_alarm_clear",
	"UPDATE rule_alarms SET cleared_at = now() WHERE rule_id = $1 AND kind = $2 AND cleared_at IS NULL",
};

uint64_t cw_rule_alarm_clear(struct cw_pool *pool, const char *rule, const char *kind, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule);
	cw_params_cstring(&params, kind);
	query = cw_pool_query(pool, &clear_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
