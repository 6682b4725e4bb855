#include "store/alerts.h"

#include <string.h>

#include "base/arena.h"
#include "pg/query.h"
#include "pg/result.h"

/* k: the alerts, with what is in the table of them. e: their fires, with the suppression that hides each (one that somebody
 * made before that of a list). lab: the entries of lists that they rest on. g: sums of the
 * fires by alert. b: the strongest fire, the latest of equals, which speaks for the alert. z: retracted ones that they are
 * again. LATERAL with LIMIT keeps the planner on the indexes, whatever it thinks of the length of an array. */
static const struct cw_stmt store_stmt = {
	"alerts_store",
	"WITH k AS MATERIALIZED (SELECT n.*, o.id AS old_id, o.suppressed_by AS old_hidden, o.severity AS old_severity"
	" FROM unnest($8::int8[], $9::int8[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bool[],"
	" $16::bool[]) WITH ORDINALITY AS n (founder, model, rule, version, title, ruleset, dedup, shadow, provisional, row)"
	" LEFT JOIN LATERAL (SELECT a.id, a.suppressed_by, a.severity FROM anomalies a WHERE a.founder = n.founder"
	" AND a.rule_id = n.rule AND a.shadow = n.shadow LIMIT 1) o ON true),"
	" e AS MATERIALIZED (SELECT x.*, t.timestamp AS at, t.chain_id, s.id AS hidden"
	" FROM unnest($1::int4[], $2::int8[], $3::float8[], $4::float8[], $5::text[], $6::jsonb[], $7::text[], $18::jsonb[],"
	" $19::text[], $20::bytea[], $21::text[])"
	" WITH ORDINALITY AS x (row, tx, score, confidence, severity, features, explanation, labels, role, entity, list, ord)"
	" JOIN k ON k.row = x.row"
	" CROSS JOIN LATERAL (SELECT t.timestamp, t.chain_id, t.from_address, t.to_address FROM transactions t"
	" WHERE t.id = x.tx LIMIT 1) t"
	" LEFT JOIN LATERAL (SELECT s.id FROM suppressions s WHERE s.ended_at IS NULL AND s.expires_at > now()"
	" AND (s.list IS NULL OR s.list = x.list) AND (s.rule_id IS NULL OR s.rule_id = k.rule) AND (s.dedup_key IS NULL OR s.dedup_key = k.dedup)"
	" AND (s.chain_id IS NULL OR s.chain_id = t.chain_id)"
	" AND (s.address IS NULL OR s.address = t.from_address OR s.address = t.to_address)"
	" ORDER BY s.list IS NOT NULL, s.id LIMIT 1) s ON NOT k.shadow),"
	" g AS MATERIALIZED (SELECT row, min(tx) AS tx, min(ord) AS first, min(ord) FILTER (WHERE hidden IS NULL) AS told,"
	" count(*) AS n, min(at) AS since, max(at) AS last, min(chain_id) AS chain_id, max(severity::severity) AS severity,"
	" CASE WHEN bool_and(hidden IS NOT NULL) THEN min(hidden) END AS hidden FROM e GROUP BY row),"
	" b AS (SELECT DISTINCT ON (row) row, score, confidence, features, explanation, role, entity FROM e ORDER BY row, score DESC,"
	" ord DESC),"
	" z AS MATERIALIZED (SELECT k.row, x.id FROM k JOIN g USING (row) CROSS JOIN LATERAL (SELECT x.id FROM anomalies x"
	" JOIN transactions xt ON xt.id = x.transaction_id WHERE x.finality = 'retracted' AND x.rule_id = k.rule"
	" AND x.dedup_key = k.dedup AND x.shadow = k.shadow AND xt.chain_id = g.chain_id"
	" AND xt.timestamp BETWEEN g.since - interval '1 day' AND g.last + interval '1 day'"
	" AND NOT EXISTS (SELECT 1 FROM anomalies y WHERE y.reborn_of = x.id) ORDER BY x.id DESC LIMIT 1) x"
	" WHERE k.provisional AND k.old_id IS NULL),"
	" up AS (INSERT INTO anomalies AS a (founder, transaction_id, model_id, anomaly_score, severity, confidence, rule_id,"
	" rule_version, title, ruleset, features_used, explanation, dedup_key, shadow, occurrences, last_seen,"
	" suppressed_by, finality, reborn_of, role, entity)"
	" SELECT k.founder, g.tx, k.model, b.score, g.severity, b.confidence, k.rule, k.version, k.title, k.ruleset,"
	" b.features, b.explanation, k.dedup, k.shadow, g.n, g.last, g.hidden,"
	" CASE WHEN k.provisional THEN 'provisional' ELSE 'final' END, z.id, b.role, nullif(b.entity, '')"
	" FROM k JOIN g USING (row) JOIN b USING (row) LEFT JOIN z USING (row) ORDER BY k.row"
	" ON CONFLICT (founder, rule_id, shadow) DO UPDATE SET occurrences = a.occurrences + excluded.occurrences,"
	" last_seen = greatest(a.last_seen, excluded.last_seen), severity = greatest(a.severity, excluded.severity),"
	" anomaly_score = greatest(a.anomaly_score, excluded.anomaly_score),"
	" confidence = CASE WHEN excluded.anomaly_score >= a.anomaly_score THEN excluded.confidence ELSE a.confidence END,"
	" features_used = CASE WHEN excluded.anomaly_score >= a.anomaly_score THEN excluded.features_used"
	" ELSE a.features_used END,"
	" explanation = CASE WHEN excluded.anomaly_score >= a.anomaly_score THEN excluded.explanation ELSE a.explanation END,"
	" role = CASE WHEN excluded.anomaly_score >= a.anomaly_score THEN excluded.role ELSE a.role END,"
	" entity = CASE WHEN excluded.anomaly_score >= a.anomaly_score THEN excluded.entity ELSE a.entity END,"
	" suppressed_by = CASE WHEN excluded.suppressed_by IS NOT NULL THEN a.suppressed_by END"
	" RETURNING a.id, a.founder, a.rule_id, a.shadow, a.severity, a.occurrences),"
	" r AS (SELECT e.*, k.model, k.old_id, k.old_hidden, up.id, g.first, g.told, z.id AS reborn_of"
	" FROM e JOIN k USING (row) JOIN g USING (row) LEFT JOIN z USING (row)"
	" JOIN up ON up.founder = k.founder AND up.rule_id = k.rule AND up.shadow = k.shadow),"
	" ev AS (INSERT INTO anomaly_evidence (transaction_id, anomaly_id, model_id, anomaly_score, confidence, severity,"
	" suppressed_by, features_used, explanation) SELECT tx, id, model, score, confidence, severity::severity, hidden,"
	" features, explanation FROM r ON CONFLICT DO NOTHING),"
	" lab AS (INSERT INTO anomaly_labels AS x (anomaly_id, list, address, chain_id, category, use, version, last_version,"
	" file_checksum, label, source, confidence) SELECT DISTINCT ON (1, 2, 3, 4, 5, 6) r.id, l.list,"
	" decode(substr(l.address, 3), 'hex'), l.chain, l.category, l.use, l.version, l.version, l.file, l.name, l.source,"
	" l.confidence FROM r CROSS JOIN LATERAL jsonb_to_recordset(r.labels) AS l (list text, version int8, file text,"
	" address text, chain int8, category text, name text, source text, confidence float8, use text)"
	" WHERE r.labels <> '[]' AND (l.use = 'evidence' OR r.hidden IS NOT NULL) ORDER BY 1, 2, 3, 4, 5, 6, l.version DESC"
	" ON CONFLICT (anomaly_id, list, address, chain_id, category, use) DO UPDATE SET last_version ="
	" greatest(x.last_version, excluded.last_version), noted_at = now(), withdrawn_at = NULL, withdrawn_version = NULL),"
	" hid AS (UPDATE suppressions s SET hidden = s.hidden + h.n, last_hidden_at = now()"
	" FROM (SELECT hidden AS id, count(*) AS n FROM e WHERE hidden IS NOT NULL GROUP BY 1) h WHERE s.id = h.id),"
	" out AS (INSERT INTO outbox (anomaly_id, kind, target, payload) SELECT up.id,"
	" CASE WHEN z.id IS NOT NULL THEN 'reborn' WHEN k.old_id IS NULL OR k.old_hidden IS NOT NULL THEN 'new'"
	" ELSE 'updated' END, '', jsonb_strip_nulls(jsonb_build_object('severity', up.severity, 'previous_severity',"
	" k.old_severity, 'occurrences', up.occurrences, 'reborn_of', z.id))"
	" FROM k JOIN g USING (row) LEFT JOIN z USING (row)"
	" JOIN up ON up.founder = k.founder AND up.rule_id = k.rule AND up.shadow = k.shadow"
	" WHERE $17 AND NOT k.shadow AND g.told IS NOT NULL"
	" AND (k.old_id IS NULL OR k.old_hidden IS NOT NULL OR up.severity > k.old_severity) ORDER BY up.id)"
	" SELECT id, old_id IS NULL AND ord = first, hidden IS NOT NULL,"
	" coalesce((old_id IS NULL OR old_hidden IS NOT NULL) AND ord = told, false), reborn_of FROM r ORDER BY ord",
};

static void put_text(struct cw_array *a, const char *text)
{
	cw_array_bytes(a, text, strlen(text));
}

static void put_fires(struct cw_params *params, const struct cw_alert_fire *fires, size_t n, struct cw_arena *arena)
{
	static const enum cw_elem types[] = { CW_ELEM_I32, CW_ELEM_I64, CW_ELEM_F64, CW_ELEM_F64, CW_ELEM_TEXT,
		                                  CW_ELEM_JSONB, CW_ELEM_TEXT };
	enum { N = sizeof(types) / sizeof(types[0]) };
	struct cw_array *c[N];

	for (int i = 0; i < N; i++)
		c[i] = cw_array_begin(arena, types[i], n);
	for (size_t i = 0; i < n; i++) {
		cw_array_i32(c[0], (int32_t)fires[i].row + 1);
		cw_array_i64(c[1], fires[i].transaction_id);
		cw_array_f64(c[2], fires[i].score);
		cw_array_f64(c[3], fires[i].confidence);
		put_text(c[4], fires[i].severity);
		put_text(c[5], fires[i].features);
		put_text(c[6], fires[i].explanation);
	}
	for (int i = 0; i < N; i++)
		cw_params_array(params, c[i]);
}

/* What came later to the same rows. */
static void put_more(struct cw_params *params, const struct cw_alert_fire *fires, size_t n, struct cw_arena *arena)
{
	struct cw_array *labels = cw_array_begin(arena, CW_ELEM_JSONB, n), *roles = cw_array_begin(arena, CW_ELEM_TEXT, n);
	struct cw_array *entities = cw_array_begin(arena, CW_ELEM_BYTEA, n), *lists = cw_array_begin(arena, CW_ELEM_TEXT, n);

	for (size_t i = 0; i < n; i++) {
		put_text(labels, fires[i].labels);
		put_text(roles, fires[i].role);
		cw_array_bytes(entities, fires[i].entity, fires[i].entity != NULL ? 20 : 0);
		put_text(lists, fires[i].list);
	}
	cw_params_array(params, labels);
	cw_params_array(params, roles);
	cw_params_array(params, entities);
	cw_params_array(params, lists);
}

static void put_rows(struct cw_params *params, const struct cw_alert_row *rows, size_t n, struct cw_arena *arena)
{
	static const enum cw_elem types[] = { CW_ELEM_I64, CW_ELEM_I64, CW_ELEM_TEXT, CW_ELEM_TEXT, CW_ELEM_TEXT,
		                                  CW_ELEM_TEXT, CW_ELEM_TEXT, CW_ELEM_BOOL, CW_ELEM_BOOL };
	enum { N = sizeof(types) / sizeof(types[0]) };
	struct cw_array *c[N];

	for (int i = 0; i < N; i++)
		c[i] = cw_array_begin(arena, types[i], n);
	for (size_t i = 0; i < n; i++) {
		cw_array_i64(c[0], rows[i].founder);
		cw_array_i64(c[1], rows[i].model_version_id);
		put_text(c[2], rows[i].rule_id);
		put_text(c[3], rows[i].rule_version);
		put_text(c[4], rows[i].title);
		put_text(c[5], rows[i].ruleset);
		put_text(c[6], rows[i].dedup);
		cw_array_bool(c[7], rows[i].shadow);
		cw_array_bool(c[8], rows[i].provisional);
	}
	for (int i = 0; i < N; i++)
		cw_params_array(params, c[i]);
}

void cw_alerts_store(struct cw_conn *conn, const struct cw_alert_row *rows, size_t nrows,
                     const struct cw_alert_fire *fires, size_t nfires, bool events, struct cw_arena *arena,
                     cw_query_fn *fn, void *arg)
{
	struct cw_params params;

	cw_params_init(&params, arena);
	put_fires(&params, fires, nfires, arena);
	put_rows(&params, rows, nrows, arena);
	cw_params_bool(&params, events);
	put_more(&params, fires, nfires, arena);
	cw_conn_query(conn, &store_stmt, &params, fn, arg);
}

bool cw_alerts_read(const struct cw_result *res, int row, struct cw_alert_stored *out)
{
	if (row >= cw_result_rows(res))
		return false;
	*out = (struct cw_alert_stored){
		.id = cw_result_i64(res, row, 0),
		.founded = cw_result_bool(res, row, 1),
		.suppressed = cw_result_bool(res, row, 2),
		.told = cw_result_bool(res, row, 3),
		.reborn_of = cw_result_i64(res, row, 4),
	};
	return true;
}
