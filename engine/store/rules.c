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
	" SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY"
	" AS g (name, type, version, checksum, description, source, ord)"
	"), made AS ("
	" INSERT INTO models (name, model_type, description) SELECT name, type, description FROM given ORDER BY name"
	" ON CONFLICT (name) DO UPDATE SET description = excluded.description, is_active = true"
	" WHERE models.model_type = excluded.model_type"
	" RETURNING id, name, model_type"
	"), named AS MATERIALIZED ("
	" SELECT g.ord, g.checksum, g.source, m.id AS model_id, CASE WHEN EXISTS (SELECT 1 FROM model_versions v"
	" WHERE v.model_id = m.id AND v.version = g.version AND v.checksum IS DISTINCT FROM g.checksum)"
	" THEN g.version || '+' || left(g.checksum, 12) ELSE g.version END AS version"
	" FROM given g JOIN made m ON m.name = g.name"
	"), withdrawn AS ("
	" UPDATE model_versions v SET is_deployed = false, traffic_percentage = 0 FROM models m"
	" WHERE m.id = v.model_id AND m.model_type IN ('rule', 'ruleset') AND v.is_deployed"
	" AND NOT EXISTS (SELECT 1 FROM named n WHERE n.model_id = v.model_id AND n.version = v.version)"
	"), versions AS ("
	" INSERT INTO model_versions AS v (model_id, version, checksum, source, is_deployed, deployed_at,"
	" traffic_percentage) SELECT model_id, version, checksum, source, true, now(), 100 FROM named ORDER BY model_id"
	" ON CONFLICT (model_id, version) DO UPDATE SET is_deployed = true, traffic_percentage = 100,"
	" deployed_at = CASE WHEN v.is_deployed THEN v.deployed_at ELSE now() END,"
	" source = coalesce(v.source, excluded.source) RETURNING id, model_id, version"
	") SELECT v.id, v.version, coalesce(s.status, 'enabled'), coalesce(s.reason, '')"
	" FROM given g JOIN named n ON n.ord = g.ord JOIN versions v ON v.model_id = n.model_id"
	" LEFT JOIN rule_states s ON s.rule_id = g.name ORDER BY g.ord",
};

static const struct cw_stmt status_stmt = {
	"rules_set_status",
	"INSERT INTO rule_states (rule_id, status, reason, faults) VALUES ($1, $2, $3, $4) ON CONFLICT (rule_id)"
	" DO UPDATE SET status = excluded.status, reason = excluded.reason, faults = excluded.faults, changed_at = now()",
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
	struct cw_array *columns[6];
	uint64_t query;

	for (int i = 0; i < 6; i++)
		columns[i] = cw_array_begin(arena, CW_ELEM_TEXT, n + 1);
	put(columns[0], "ruleset");
	put(columns[1], "ruleset");
	put(columns[2], digest);
	put(columns[3], digest);
	put(columns[4], "all rules that are live together");
	put(columns[5], NULL);
	for (size_t i = 0; i < n; i++) {
		put(columns[0], rules[i].id);
		put(columns[1], "rule");
		put(columns[2], rules[i].version);
		put(columns[3], rules[i].sha256);
		put(columns[4], rules[i].title);
		put(columns[5], rules[i].source);
	}
	cw_params_init(&params, arena);
	for (int i = 0; i < 6; i++)
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
	};
}

uint64_t cw_rules_set_status(struct cw_pool *pool, const char *rule_id, const char *status, const char *reason,
                             uint64_t faults, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule_id);
	cw_params_cstring(&params, status);
	cw_params_cstring(&params, reason);
	cw_params_i64(&params, (int64_t)faults);
	query = cw_pool_query(pool, &status_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
