#include "store/verdicts.h"

#include "base/arena.h"
#include "chain/tx.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"

/* LATERAL with ORDER BY keeps the planner on the indexes, whatever it thinks of the length of an array. A prediction is
 * not older than its transaction (a day for clocks that were set): months before it are not looked into. */
static const struct cw_stmt find_stmt = {
	"verdicts_find",
	"SELECT k.ord, t.id, p.is_anomaly, p.anomaly_score, p.confidence, p.ruleset, a.id, a.anomaly_score, a.confidence,"
	" a.severity, a.rule_id, a.version, a.title, a.explanation, a.features_used, a.founded, a.suppressed,"
	" a.role, '0x' || encode(a.entity, 'hex'), (SELECT jsonb_agg(jsonb_build_object('list', l.list, 'version', l.last_version, 'file', l.file_checksum,"
	" 'address', '0x' || encode(l.address, 'hex'), 'chain', l.chain_id, 'category', l.category, 'name', l.label, 'source',"
	" l.source, 'confidence', l.confidence, 'use', l.use) ORDER BY l.list, l.address, l.category)"
	" FROM anomaly_labels l WHERE l.anomaly_id = a.id)"
	" FROM unnest($1::int8[], $2::bytea[]) WITH ORDINALITY AS k (chain_id, hash, ord)"
	" JOIN transactions t ON t.hash = k.hash AND t.chain_id = k.chain_id AND t.canonical"
	" LEFT JOIN LATERAL (SELECT q.is_anomaly, q.anomaly_score, q.confidence, coalesce(v.checksum, v.version) AS ruleset"
	" FROM predictions q JOIN model_versions v ON v.id = q.model_version_id JOIN models m ON m.id = v.model_id"
	" WHERE q.transaction_id = t.id AND q.created_at >= t.created_at - interval '1 day'"
	" ORDER BY (m.model_type = 'ruleset') DESC, q.id LIMIT 1) p ON true"
	" LEFT JOIN LATERAL (SELECT n.id, f.anomaly_score, f.confidence, f.severity, n.rule_id, v.version, n.title,"
	" f.explanation, f.features_used, n.transaction_id = t.id AS founded, f.suppressed_by IS NOT NULL AS suppressed,"
	" n.role, n.entity"
	" FROM anomaly_evidence f JOIN anomalies n ON n.id = f.anomaly_id JOIN model_versions v ON v.id = f.model_id"
	" WHERE f.transaction_id = t.id AND NOT n.shadow UNION ALL"
	" SELECT n.id, n.anomaly_score, n.confidence, n.severity, n.rule_id, n.rule_version, n.title, n.explanation,"
	" n.features_used, true, false, n.role, n.entity FROM anomalies n WHERE n.transaction_id = t.id AND n.founder IS NULL AND NOT n.shadow)"
	" a ON true ORDER BY k.ord, a.id",
};

uint64_t cw_verdicts_find(struct cw_pool *pool, const struct cw_tx *const *txs, size_t n, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_array *chains = cw_array_begin(arena, CW_ELEM_I64, n);
	struct cw_array *hashes = cw_array_begin(arena, CW_ELEM_BYTEA, n);
	struct cw_params params;
	uint64_t query;

	for (size_t i = 0; i < n; i++) {
		cw_array_i64(chains, (int64_t)txs[i]->chain_id);
		cw_array_bytes(hashes, txs[i]->hash.b, sizeof(txs[i]->hash.b));
	}
	cw_params_init(&params, arena);
	cw_params_array(&params, chains);
	cw_params_array(&params, hashes);
	query = cw_pool_read(pool, &find_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

void cw_verdicts_row(const struct cw_result *res, int row, struct cw_verdict_row *out)
{
	*out = (struct cw_verdict_row){
		.index = (size_t)cw_result_i64(res, row, 0) - 1,
		.transaction_id = cw_result_i64(res, row, 1),
		.judged = !cw_result_is_null(res, row, 2),
		.is_anomaly = cw_result_bool(res, row, 2),
		.score = cw_result_f64(res, row, 3),
		.confidence = cw_result_f64(res, row, 4),
		.ruleset = cw_result_text(res, row, 5, NULL),
		.anomaly_id = cw_result_i64(res, row, 6),
		.anomaly_score = cw_result_f64(res, row, 7),
		.anomaly_confidence = cw_result_f64(res, row, 8),
		.severity = cw_result_text(res, row, 9, NULL),
		.rule = cw_result_text(res, row, 10, NULL),
		.version = cw_result_text(res, row, 11, NULL),
		.title = cw_result_text(res, row, 12, NULL),
		.explanation = cw_result_text(res, row, 13, NULL),
		.features = cw_result_text(res, row, 14, NULL),
		.founded = cw_result_bool(res, row, 15),
		.suppressed = cw_result_bool(res, row, 16),
		.role = cw_result_text(res, row, 17, NULL),
		.entity = cw_result_is_null(res, row, 18) ? "" : cw_result_text(res, row, 18, NULL),
		.labels = cw_result_is_null(res, row, 19) ? "[]" : cw_result_text(res, row, 19, NULL),
	};
}
