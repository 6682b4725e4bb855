#include "store/reorgs.h"

#include <string.h>

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"

/* Transactions of the blocks that the source named `source` has handed over. What it handed over before it kept a list, or
 * further back than the list goes, is all that names a block. `t` is transactions. */
#define IS_OF(source) \
	"(EXISTS (SELECT 1 FROM source_blocks b WHERE b.source = " source " AND b.number = t.block_number" \
	" AND b.hash = t.block_hash) OR t.block_number < coalesce((SELECT min(number) FROM source_blocks b" \
	" WHERE b.source = " source "), " "9223372036854775807))"

static const struct cw_stmt begin_stmt = {
	"reorgs_begin",
	"SELECT nextval(pg_get_serial_sequence('reorgs', 'id')), coalesce(min(id), 0) FROM transactions t"
	" WHERE chain_id = $1 AND block_number >= $2 AND canonical AND block_hash IS NOT NULL AND " IS_OF("$3"),
};

/* gone: the transactions; h: the alerts for which they were evidence; left: what these keep, and its sums; b: the
 * strongest of it, which speaks for the alert from now on. */
static const struct cw_stmt apply_stmt = {
	"reorgs_apply",
	"WITH gone AS (UPDATE transactions t SET canonical = false WHERE chain_id = $2 AND block_number >= $3 AND canonical"
	" AND block_hash IS NOT NULL AND " IS_OF("$4") " AND NOT EXISTS (SELECT 1 FROM reorgs WHERE id = $1)"
	" RETURNING id),"
	" forgotten AS (DELETE FROM source_blocks WHERE source = $4 AND number >= $3),"
	" h AS MATERIALIZED (SELECT e.anomaly_id AS id, count(*) AS lost FROM gone"
	" JOIN anomaly_evidence e ON e.transaction_id = gone.id GROUP BY 1),"
	" left_over AS MATERIALIZED (SELECT e.*, t.timestamp FROM h JOIN anomaly_evidence e ON e.anomaly_id = h.id"
	" JOIN transactions t ON t.id = e.transaction_id WHERE t.canonical"
	" AND NOT EXISTS (SELECT 1 FROM gone WHERE gone.id = t.id)),"
	" g AS (SELECT anomaly_id AS id, count(*) AS n, min(transaction_id) AS first, max(severity) AS severity,"
	" max(timestamp) AS last FROM left_over GROUP BY 1),"
	" b AS (SELECT DISTINCT ON (anomaly_id) anomaly_id AS id, anomaly_score, confidence, features_used, explanation"
	" FROM left_over ORDER BY anomaly_id, anomaly_score DESC, transaction_id DESC),"
	" kept AS (UPDATE anomalies a SET occurrences = greatest(a.occurrences - h.lost, g.n), severity = g.severity,"
	" last_seen = g.last, anomaly_score = b.anomaly_score, confidence = b.confidence, features_used = b.features_used,"
	" explanation = b.explanation,"
	" founder = CASE WHEN f.id IS NULL THEN a.founder ELSE g.first END,"
	" transaction_id = CASE WHEN f.id IS NULL THEN a.transaction_id ELSE g.first END"
	" FROM h JOIN g ON g.id = h.id JOIN b ON b.id = h.id JOIN anomalies o ON o.id = h.id"
	" LEFT JOIN gone f ON f.id = o.transaction_id WHERE a.id = h.id),"
	" lost AS (UPDATE anomalies a SET finality = 'retracted', reorg_id = $1 FROM h WHERE a.id = h.id"
	" AND a.finality <> 'retracted' AND NOT EXISTS (SELECT 1 FROM g WHERE g.id = a.id)"
	" RETURNING a.id, a.severity, a.shadow, a.suppressed_by),"
	" told AS (INSERT INTO outbox (anomaly_id, kind, target, payload) SELECT id, 'retracted', '',"
	" jsonb_build_object('severity', severity, 'reorg', $1::int8) FROM lost"
	" WHERE $6 AND NOT shadow AND suppressed_by IS NULL),"
	" moved AS (INSERT INTO cursors (name, position) SELECT $4, $5 WHERE $5::jsonb IS NOT NULL"
	" ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now())"
	" INSERT INTO reorgs (id, chain_id, from_block, transactions, retracted) OVERRIDING SYSTEM VALUE"
	" SELECT $1, $2, $3, (SELECT count(*) FROM gone), (SELECT count(*) FROM lost WHERE NOT shadow)"
	" ON CONFLICT (id) DO NOTHING",
};

static const struct cw_stmt read_stmt = {
	"reorgs_read",
	"SELECT r.transactions, r.retracted, a.id, a.rule_id, a.rule_version, a.title, a.severity, a.dedup_key, r.chain_id"
	" FROM reorgs r LEFT JOIN anomalies a ON a.reorg_id = r.id AND NOT a.shadow AND a.suppressed_by IS NULL"
	" WHERE r.id = $1 ORDER BY a.id",
};

/* Sub-select and OFFSET 0: from the few that are provisional to their transactions, never the other way round. */
static const struct cw_stmt finalise_stmt = {
	"reorgs_finalise",
	"UPDATE anomalies a SET finality = 'final' FROM (SELECT p.id, t.chain_id, t.block_number FROM anomalies p"
	" JOIN transactions t ON t.id = p.transaction_id WHERE p.finality = 'provisional' OFFSET 0) p"
	" WHERE a.id = p.id AND p.chain_id = $1 AND p.block_number <= $2",
};

uint64_t cw_reorgs_begin(struct cw_pool *pool, uint64_t chain_id, uint64_t from_block, const char *source, cw_query_fn *fn,
                         void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, (int64_t)chain_id);
	cw_params_i64(&params, (int64_t)from_block);
	cw_params_cstring(&params, source);
	query = cw_pool_query(pool, &begin_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

uint64_t cw_reorgs_apply(struct cw_pool *pool, int64_t id, uint64_t chain_id, uint64_t from_block, const char *source,
                         const char *position, bool events, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, id);
	cw_params_i64(&params, (int64_t)chain_id);
	cw_params_i64(&params, (int64_t)from_block);
	cw_params_cstring(&params, source);
	if (position != NULL)
		cw_params_jsonb(&params, position, strlen(position));
	else
		cw_params_null(&params);
	cw_params_bool(&params, events);
	query = cw_pool_query(pool, &apply_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

uint64_t cw_reorgs_read(struct cw_pool *pool, int64_t id, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, id);
	query = cw_pool_read(pool, &read_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

void cw_reorgs_row(const struct cw_result *res, int row, struct cw_reorg_row *out)
{
	*out = (struct cw_reorg_row){
		.transactions = (uint64_t)cw_result_i64(res, row, 0),
		.retracted = (uint64_t)cw_result_i64(res, row, 1),
		.anomaly_id = cw_result_i64(res, row, 2),
		.rule = cw_result_text(res, row, 3, NULL),
		.version = cw_result_text(res, row, 4, NULL),
		.title = cw_result_text(res, row, 5, NULL),
		.severity = cw_result_text(res, row, 6, NULL),
		.dedup_key = cw_result_text(res, row, 7, NULL),
		.chain_id = (uint64_t)cw_result_i64(res, row, 8),
	};
}

uint64_t cw_reorgs_finalise(struct cw_pool *pool, uint64_t chain_id, uint64_t up_to_block, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, (int64_t)chain_id);
	cw_params_i64(&params, (int64_t)up_to_block);
	query = cw_pool_query(pool, &finalise_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
