#include "store/workbench.h"

#include <string.h>

#include "base/arena.h"
#include "chain/tx.h"
#include "pg/pool.h"
#include "pg/query.h"

static const struct cw_stmt find_stmt = {
	"workbench_find",
	"SELECT t.id, t.chain_id, t.canonical, json_build_object('id', t.id::text, 'chainId', t.chain_id::text,"
	" 'hash', '0x' || encode(t.hash, 'hex'), 'blockNumber', t.block_number::text,"
	" 'timestamp', extract(epoch FROM t.timestamp)::bigint::text, 'from', '0x' || encode(t.from_address, 'hex'),"
	" 'to', '0x' || encode(t.to_address, 'hex'), 'value', t.value::text, 'gas', t.gas::text,"
	" 'gasPrice', t.gas_price::text, 'nonce', t.nonce::text)::text,"
	" coalesce((SELECT json_agg(json_build_object('rule', a.rule_id, 'version', a.rule_version,"
	" 'severity', e.severity, 'score', e.anomaly_score, 'confidence', e.confidence, 'dedup', a.dedup_key,"
	" 'shadow', a.shadow, 'founded', a.transaction_id = t.id, 'anomaly_id', a.id, 'explanation', e.explanation,"
	" 'features', e.features_used) ORDER BY a.rule_id, a.id) FROM anomaly_evidence e JOIN anomalies a"
	" ON a.id = e.anomaly_id WHERE e.transaction_id = t.id), '[]')::text,"
	" coalesce((SELECT json_build_object('ruleset', v.checksum, 'faults', coalesce(p.faults, '[]')) FROM predictions p"
	" JOIN model_versions v ON v.id = p.model_version_id WHERE p.transaction_id = t.id ORDER BY p.id DESC LIMIT 1),"
	" 'null')::text"
	" FROM transactions t WHERE t.hash = $1 AND ($2 = 0 OR t.chain_id = $2) ORDER BY t.id LIMIT 1",
};

static const struct cw_stmt range_stmt = {
	"workbench_range",
	"SELECT coalesce(min(id) - 1, 0), coalesce(max(id), 0), count(*) FROM transactions WHERE id > 0 AND canonical"
	" AND timestamp >= $1 AND timestamp < $2",
};

static const struct cw_stmt sources_stmt = {
	"workbench_sources",
	"SELECT DISTINCT ON (m.name) m.name, v.version, coalesce(v.checksum, ''), v.source, v.is_deployed"
	" FROM model_versions v JOIN models m ON m.id = v.model_id WHERE m.model_type = 'rule' AND v.source IS NOT NULL"
	" AND CASE WHEN $1 = '' THEN v.is_deployed ELSE m.name = $1 AND starts_with(v.version, $2) END"
	" ORDER BY m.name, (v.version = $2) DESC, v.is_deployed DESC, v.id DESC",
};

static const struct cw_stmt reviews_stmt = {
	"workbench_reviews",
	"SELECT e.transaction_id, a.rule_id, coalesce(a.false_positive, false) FROM anomaly_evidence e JOIN anomalies a"
	" ON a.id = e.anomaly_id WHERE e.transaction_id > $1 AND e.transaction_id <= $2 AND a.reviewed AND NOT a.shadow",
};

static const struct cw_stmt labels_stmt = {
	"workbench_labels",
	"SELECT DISTINCT ON (address) address, category FROM labels WHERE (expires_at IS NULL OR expires_at > now())"
	" AND category NOT IN ('exchange', 'custodian', 'bridge', 'mev_builder', 'mining_pool', 'payroll', 'allow', 'service')"
	" ORDER BY address, list",
};

static const struct cw_stmt start_stmt = {
	"workbench_start",
	"INSERT INTO job_runs (name, detail) VALUES ('backtest', $1) RETURNING id",
};

static const struct cw_stmt end_stmt = {
	"workbench_end",
	"UPDATE job_runs SET status = $2, detail = $3, error = $4, finished_at = now() WHERE id = $1 AND name = 'backtest'",
};

static const struct cw_stmt runs_stmt = {
	"workbench_runs",
	"SELECT json_build_object('id', id, 'status', status, 'started_at', started_at, 'finished_at', finished_at,"
	" 'error', error, 'detail', CASE WHEN $1 = 0 THEN detail - 'report' - 'alerts' ELSE detail END)::text FROM job_runs"
	" WHERE name = 'backtest' AND ($1 = 0 OR id = $1) ORDER BY id DESC LIMIT 100",
};

static const struct cw_stmt interrupt_stmt = {
	"workbench_interrupt",
	"UPDATE job_runs SET status = 'interrupted', finished_at = now(), error = 'the engine ended' WHERE name = 'backtest'"
	" AND status = 'running' AND detail->>'engine' = $1",
};

static uint64_t run(struct cw_pool *pool, const struct cw_stmt *stmt, struct cw_params *params, struct cw_arena *arena,
                    cw_query_fn *fn, void *arg)
{
	uint64_t query = cw_pool_query(pool, stmt, params, fn, arg);

	cw_arena_free(&arena);
	return query;
}

uint64_t cw_workbench_find(struct cw_pool *pool, const struct cw_hash *hash, uint64_t chain, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_bytea(&params, hash->b, sizeof(hash->b));
	cw_params_i64(&params, (int64_t)chain);
	return run(pool, &find_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_range(struct cw_pool *pool, int64_t from_us, int64_t to_us, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_time(&params, from_us);
	cw_params_time(&params, to_us);
	return run(pool, &range_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_sources(struct cw_pool *pool, const char *rule, const char *version, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, rule);
	cw_params_cstring(&params, version);
	return run(pool, &sources_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_reviews(struct cw_pool *pool, uint64_t after, uint64_t up_to, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_i64(&params, (int64_t)after);
	cw_params_i64(&params, (int64_t)up_to);
	return run(pool, &reviews_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_labels(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	return run(pool, &labels_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_start(struct cw_pool *pool, const char *detail, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_jsonb(&params, detail, strlen(detail));
	return run(pool, &start_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_end(struct cw_pool *pool, int64_t id, const char *status, const char *detail, const char *error,
                          cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_i64(&params, id);
	cw_params_cstring(&params, status);
	cw_params_jsonb(&params, detail, strlen(detail));
	cw_params_cstring(&params, error);
	return run(pool, &end_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_runs(struct cw_pool *pool, int64_t id, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_i64(&params, id);
	return run(pool, &runs_stmt, &params, arena, fn, arg);
}

uint64_t cw_workbench_interrupt(struct cw_pool *pool, const char *engine, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, engine);
	return run(pool, &interrupt_stmt, &params, arena, fn, arg);
}
