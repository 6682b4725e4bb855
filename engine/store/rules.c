#include "store/rules.h"

#include <string.h>

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"

/* Row 0 is the ruleset, so one statement serves both. A data-modifying WITH sees the tables as they were before the
 * statement, so what it made comes from RETURNING. */
static const struct cw_stmt register_stmt = {
	"rules_register",
	"WITH given AS MATERIALIZED ("
	" SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[])"
	" WITH ORDINALITY AS g (name, type, version, checksum, description, source, live, ord)"
	"), made AS ("
	" INSERT INTO models (name, model_type, description) SELECT DISTINCT ON (name) name, type, description FROM given"
	" ORDER BY name, live DESC"
	" ON CONFLICT (name) DO UPDATE SET description = excluded.description, is_active = true"
	" WHERE models.model_type = excluded.model_type"
	" RETURNING id, name, model_type"
	"), named AS MATERIALIZED ("
	" SELECT g.ord, g.checksum, g.source, g.live, m.id AS model_id, CASE WHEN EXISTS (SELECT 1 FROM model_versions v"
	" WHERE v.model_id = m.id AND v.version = g.version AND v.checksum IS DISTINCT FROM g.checksum)"
	" OR (NOT g.live AND EXISTS (SELECT 1 FROM given o WHERE o.name = g.name AND o.version = g.version"
	" AND o.checksum <> g.checksum)) THEN g.version || '+' || left(g.checksum, 12) ELSE g.version END AS version"
	" FROM given g JOIN made m ON m.name = g.name"
	"), withdrawn AS ("
	" UPDATE model_versions v SET is_deployed = false, traffic_percentage = 0 FROM models m"
	" WHERE m.id = v.model_id AND m.model_type IN ('rule', 'ruleset') AND v.is_deployed"
	" AND NOT EXISTS (SELECT 1 FROM named n WHERE n.model_id = v.model_id AND n.version = v.version"
	" AND n.live)"
	"), versions AS ("
	" INSERT INTO model_versions AS v (model_id, version, checksum, source, is_deployed, deployed_at,"
	" traffic_percentage) SELECT model_id, version, checksum, source, live,"
	" CASE WHEN live THEN now() END, CASE WHEN live THEN 100 ELSE 0 END FROM named ORDER BY model_id"
	" ON CONFLICT (model_id, version) DO UPDATE SET is_deployed = excluded.is_deployed,"
	" traffic_percentage = excluded.traffic_percentage,"
	" deployed_at = CASE WHEN v.is_deployed OR NOT excluded.is_deployed THEN v.deployed_at ELSE now() END,"
	" source = coalesce(v.source, excluded.source) RETURNING id, model_id, version"
	") SELECT v.id, v.version, coalesce(s.status, 'enabled'), coalesce(s.reason, ''), s.changed_at"
	" FROM given g JOIN named n ON n.ord = g.ord JOIN versions v ON v.model_id = n.model_id"
	" AND v.version = n.version"
	" LEFT JOIN rule_states s ON s.rule_id = g.name AND s.role = CASE WHEN g.live THEN 'live' ELSE 'candidate' END"
	" AND (s.status = 'disabled' OR s.sha256 IN ('', g.checksum)) ORDER BY g.ord",
};

/* The engine's own act, so it is audited here. */
static const struct cw_stmt quarantine_stmt = {
	"rules_quarantine",
	"WITH kept AS (INSERT INTO rule_states (rule_id, role, status, reason, faults, sha256)"
	" VALUES ($1, $2, 'quarantined', $3, $4, $5) ON CONFLICT (rule_id, role) DO UPDATE SET status = excluded.status,"
	" reason = excluded.reason, faults = excluded.faults, sha256 = excluded.sha256, changed_at = now(), changed_by = NULL)"
	" INSERT INTO audit_logs (event_type, resource, action, status, severity, details)"
	" VALUES ('rule.quarantine', 'rule:' || $1, 'quarantine', 'success', 'warning', json_build_object('rule', $1,"
	" 'role', $2, 'version', $6, 'sha256', $5, 'reason', $3, 'faults', $4, 'by', 'engine'))",
};

static void put(struct cw_array *a, const char *text)
{
	if (text != NULL)
		cw_array_bytes(a, text, strlen(text));
	else
		cw_array_null(a);
}

uint64_t cw_rules_register(struct cw_pool *pool, const char *digest, const struct cw_rule_version *rules, size_t n,
                           cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	struct cw_array *columns[7];
	uint64_t query;

	for (int i = 0; i < 6; i++)
		columns[i] = cw_array_begin(arena, CW_ELEM_TEXT, n + 1);
	columns[6] = cw_array_begin(arena, CW_ELEM_BOOL, n + 1);
	put(columns[0], "ruleset");
	put(columns[1], "ruleset");
	put(columns[2], digest);
	put(columns[3], digest);
	put(columns[4], "all rules that are live together");
	put(columns[5], NULL);
	cw_array_bool(columns[6], true);
	for (size_t i = 0; i < n; i++) {
		put(columns[0], rules[i].id);
		put(columns[1], "rule");
		put(columns[2], rules[i].version);
		put(columns[3], rules[i].sha256);
		put(columns[4], rules[i].title);
		put(columns[5], rules[i].source);
		cw_array_bool(columns[6], !rules[i].candidate);
	}
	cw_params_init(&params, arena);
	for (int i = 0; i < 7; i++)
		cw_params_array(&params, columns[i]);
	query = cw_pool_query(pool, &register_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

void cw_rules_row(const struct cw_result *res, int row, struct cw_rule_row *out)
{
	*out = (struct cw_rule_row){
		.version_id = cw_result_i64(res, row, 0),
		.version = cw_result_text(res, row, 1, NULL),
		.status = cw_result_text(res, row, 2, NULL),
		.reason = cw_result_text(res, row, 3, NULL),
		.changed_us = cw_result_is_null(res, row, 4) ? 0 : cw_result_time(res, row, 4),
	};
}

uint64_t cw_rules_quarantine(struct cw_pool *pool, const struct cw_rule_version *rule, const char *reason,
                             uint64_t faults, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule->id);
	cw_params_cstring(&params, rule->candidate ? "candidate" : "live");
	cw_params_cstring(&params, reason);
	cw_params_i64(&params, (int64_t)faults);
	cw_params_cstring(&params, rule->sha256);
	cw_params_cstring(&params, rule->version);
	query = cw_pool_query(pool, &quarantine_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
