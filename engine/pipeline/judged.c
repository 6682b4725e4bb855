/* A verdict on its way from the evaluator to the tables. */
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "store/alerts.h"
#include "store/ingest.h"

/* The reader has checked everything but whether the rule exists. */
static void count_alerts(struct generation *gen, struct cw_verdict *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->nalerts; i++) {
		if (v->alerts[i].rule >= gen->nrules) {
			cw_log(CW_LOG_ERROR, "pipeline", "an alert names no rule", "rule=%u", v->alerts[i].rule);
			continue;
		}
		gen->rules[v->alerts[i].rule].alerts++;
		v->alerts[n++] = v->alerts[i];
	}
	v->nalerts = n;
}

void cw_verdict_take(struct cw_pipeline *p, struct generation *gen, struct item *item, const void *bytes, size_t len)
{
	struct cw_err err = { 0 };
	size_t consumed;

	if (cw_verdict_read(&item->verdict, bytes, len, &consumed, item->keep->arena, &err) != 0) {
		cw_log_err(CW_LOG_ERROR, "pipeline", "a verdict cannot be read, taken as quiet", &err);
		item->verdict = (struct cw_verdict){ .seq = item->in.tx.seq };
		return;
	}
	if (item->verdict.nalerts > 0) {
		count_alerts(gen, &item->verdict);
		item->alerts = cw_arena_zalloc(item->keep->arena, (item->verdict.nalerts + 1) * sizeof(*item->alerts));
	}
	if (item->verdict.nfaults > 0)
		cw_rules_faults(p, gen, &item->verdict);
}

/* [{"rule":"eth.fan_out","kind":"ticks","message":"..."}], or NULL. */
static const char *faults_json(struct cw_arena *arena, const struct generation *gen, const struct item *item)
{
	const struct cw_verdict *v = &item->verdict;
	struct cw_buf out = CW_BUF_INIT;
	const char *text;

	if (v->nfaults == 0 || item->plain)
		return NULL;
	for (uint32_t i = 0; i < v->nfaults; i++) {
		uint32_t rule = v->faults[i].rule;

		cw_buf_puts(&out, i == 0 ? "[{\"rule\":" : ",{\"rule\":");
		cw_json_put_cstring(&out, rule < gen->nrules ? gen->rules[rule].id : "");
		cw_buf_printf(&out, ",\"kind\":\"%s\",\"message\":", cw_rule_fault_name(v->faults[i].kind));
		cw_json_put_cstring(&out, v->faults[i].message);
		cw_buf_putc(&out, '}');
	}
	cw_buf_putc(&out, ']');
	text = cw_arena_strndup(arena, out.data, out.len);
	cw_buf_release(&out);
	return text;
}

static bool is_anomaly(const struct cw_verdict *v)
{
	for (uint32_t i = 0; i < v->nalerts; i++)
		if ((v->alerts[i].flags & CW_ALERT_SHADOW) == 0)
			return true;
	return false;
}

void cw_verdict_send_predictions(struct cw_pipeline *p, struct group *g, cw_query_fn *fn)
{
	struct cw_new_prediction *rows = cw_arena_alloc(p->scratch, g->n * sizeof(*rows));
	int64_t now = cw_clock_mono_us();

	for (size_t i = 0; i < g->n; i++) {
		const struct item *item = g->items[i];
		int64_t start = item->origin.start_us;

		rows[i] = (struct cw_new_prediction){
			.transaction_id = (int64_t)item->in.tx.seq,
			.model_version_id = g->gen->version_id,
			.user_id = item->plain ? 0 : item->origin.user_id,
			.request_id = item->origin.request_id,
			.score = item->verdict.score,
			.confidence = item->verdict.confidence,
			.response_time_ms = start != 0 ? (double)(now - start) / 1000 : 0,
			.is_anomaly = is_anomaly(&item->verdict),
			.faults = faults_json(p->scratch, g->gen, item),
		};
	}
	cw_ingest_predictions(cw_group_conn(p, g), rows, g->n, p->scratch, fn, p);
	cw_arena_clear(p->scratch);
}

static uint32_t count_fires(const struct group *g)
{
	uint32_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		n += g->items[i]->verdict.nalerts;
	return n;
}

/* What makes two fires of a group belong to one alert. */
struct alert_key { uint64_t founder; uint32_t rule, shadow; };

struct alert_rows {
	struct cw_map *seen;             /* key -> number of the row, + 1 */
	struct cw_alert_row *rows;
	size_t n;
};

/* The row of the living alert; a new one if it has not fired in this group yet. */
static uint32_t row_of(struct cw_pipeline *p, struct alert_rows *r, const struct group *g, const struct item *item,
                       const struct cw_alert *a)
{
	const struct rule_info *rule = &g->gen->rules[a->rule];
	bool shadow = (a->flags & CW_ALERT_SHADOW) != 0, keyed = a->dedup[0] != '\0' && !item->plain;
	struct alert_key key = { a->founder, a->rule, shadow };
	size_t at = (size_t)(uintptr_t)cw_map_get(r->seen, &key, sizeof(key));
	char hash[CW_HASH_TEXT];

	if (at > 0)
		return (uint32_t)at - 1;
	if (!keyed)
		cw_hash_format(&item->in.tx.hash, hash);
	r->rows[r->n] = (struct cw_alert_row){
		.founder = (int64_t)a->founder,
		.model_version_id = rule->version_id,
		.rule_id = rule->id,
		.rule_version = rule->version,
		.title = rule->title,
		.ruleset = g->gen->digest,
		.dedup = keyed ? a->dedup : cw_arena_strndup(p->scratch, hash, strlen(hash)),
		.shadow = shadow,
		.provisional = item->provisional,
	};
	cw_map_put(r->seen, &key, sizeof(key), (void *)(uintptr_t)++r->n);
	return (uint32_t)r->n - 1;
}

bool cw_verdict_send_alerts(struct cw_pipeline *p, struct group *g, cw_query_fn *fn)
{
	uint32_t nfires = count_fires(g), n = 0;
	struct cw_alert_fire *fires;
	struct alert_rows r = { .n = 0 };

	if (nfires == 0)
		return false;
	fires = cw_arena_alloc(p->scratch, nfires * sizeof(*fires));
	r.rows = cw_arena_alloc(p->scratch, nfires * sizeof(*r.rows));
	r.seen = cw_map_new();
	for (size_t i = 0; i < g->n; i++) {
		const struct item *item = g->items[i];

		for (uint32_t k = 0; k < item->verdict.nalerts; k++) {
			const struct cw_alert *a = &item->verdict.alerts[k];

			fires[n++] = (struct cw_alert_fire){
				.row = row_of(p, &r, g, item, a),
				.transaction_id = (int64_t)item->in.tx.seq,
				.score = a->score,
				.confidence = a->confidence,
				.severity = cw_severity_name(a->severity),
				.features = item->plain ? "{}" : a->features,
				.explanation = item->plain ? "" : a->explanation,
				.labels = item->plain ? "[]" : a->labels,
				.role = cw_alert_role_name(a->role),
				.entity = (a->flags & CW_ALERT_HAS_ENTITY) != 0 ? a->entity.b : NULL,
				.list = item->plain ? "" : a->hidden_by,
			};
		}
	}
	cw_alerts_store(cw_group_conn(p, g), r.rows, r.n, fires, nfires, p->want_events, p->scratch, fn, p);
	cw_map_free(&r.seen);
	cw_arena_clear(p->scratch);
	return true;
}

void cw_verdict_take_stored(struct group *g, const struct cw_result *res)
{
	int row = 0;

	for (size_t i = 0; i < g->n; i++)
		for (uint32_t k = 0; k < g->items[i]->verdict.nalerts; k++)
			if (!cw_alerts_read(res, row++, &g->items[i]->alerts[k]))
				return;
}
