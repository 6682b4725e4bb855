/* Transactions that are known already: their stored verdicts, asked for by key, many at a time. */
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "store/verdicts.h"

#define LOOKUP_MAX 500
#define AGAIN_FIRST_MS 20
#define AGAIN_MAX_MS 1000

/* One query under way. */
struct lookup {
	uint64_t query;
	size_t n;
	struct item *items[LOOKUP_MAX];
};

static void ask(struct cw_pipeline *p);

static const char *copy(struct cw_arena *arena, const char *text)
{
	return cw_arena_strndup(arena, text, strlen(text));
}

static void add_alert(struct item *item, const struct cw_verdict_row *row)
{
	struct cw_arena *arena = item->keep->arena;
	struct cw_outcome *out = &item->outcome;
	struct cw_outcome_alert *list = cw_arena_alloc(arena, ((size_t)out->nalerts + 1) * sizeof(*list));
	struct cw_outcome_alert *alert = &list[out->nalerts];

	if (out->nalerts > 0)
		memcpy(list, out->alerts, (size_t)out->nalerts * sizeof(*list));
	*alert = (struct cw_outcome_alert){
		.id = row->anomaly_id,
		.founded = row->founded,
		.event = row->founded ? CW_EVENT_NEW : CW_EVENT_NONE,
		.rule = copy(arena, row->rule),
		.version = copy(arena, row->version),
		.title = copy(arena, row->title),
		.score = row->anomaly_score,
		.confidence = row->anomaly_confidence,
		.explanation = copy(arena, row->explanation),
		.features = copy(arena, row->features),
		.entity = copy(arena, row->entity),
		.labels = copy(arena, row->labels),
	};
	if (!cw_alert_role_parse(row->role, &alert->role))
		alert->role = CW_ALERT_UNKNOWN;
	if (!cw_severity_parse(row->severity, &alert->severity))
		alert->severity = CW_SEVERITY_LOW;
	if (out->nalerts == 0 || alert->severity > out->severity)
		out->severity = alert->severity;
	out->alerts = list;
	out->nalerts++;
}

static void add_row(struct cw_pipeline *p, struct item *item, const struct cw_verdict_row *row)
{
	struct cw_outcome *out = &item->outcome;

	if (out->transaction_id == 0) {
		cw_keep_unref(&item->keep);
		item->keep = cw_keep_new();
		*out = (struct cw_outcome){
			.transaction_id = row->transaction_id,
			.duplicate = !item->stored || (uint64_t)row->transaction_id != item->in.tx.seq,
			.is_anomaly = row->judged && row->is_anomaly,
			.score = row->judged ? row->score : 0,
			.confidence = row->judged ? row->confidence : 0,
			.ruleset = row->judged ? copy(item->keep->arena, row->ruleset) : "",
		};
		if ((uint64_t)row->transaction_id > p->stats.committed_id)
			p->stats.committed_id = (uint64_t)row->transaction_id;
	}
	if (row->anomaly_id != 0 && row->suppressed)
		out->nsuppressed++;
	else if (row->anomaly_id != 0)
		add_alert(item, row);
}

static void count(struct cw_pipeline *p, const struct cw_outcome *out)
{
	if (out->duplicate) {
		p->stats.duplicate++;
		cw_metric_add(p->metrics.duplicate, 1);
		return;
	}
	p->stats.fresh++;
	cw_metric_add(p->metrics.fresh, 1);
	for (int i = 0; i < out->nalerts; i++) {
		if (!out->alerts[i].founded)
			continue;
		p->stats.alerts++;
		cw_metric_add(p->metrics.severity[out->alerts[i].severity], 1);
	}
}

/* What was committed by a COMMIT without answer is new to its publisher. Where all alerts are suppressed there is no
 * anomaly. */
static void finish(struct cw_pipeline *p, struct item *item)
{
	item->outcome.is_anomaly = item->outcome.is_anomaly && (item->outcome.nalerts > 0 || item->outcome.nsuppressed == 0);
	count(p, &item->outcome);
	item->refs++;
	cw_item_done(p, item);
	if (!item->outcome.duplicate && p->publish != NULL)
		p->publish(p->publish_arg, &item->outcome);
	cw_item_unref(&item);
}

/* Known a moment ago and not there: it was deleted. */
static void finish_missing(struct cw_pipeline *p, struct item *item)
{
	static const struct cw_err gone = { .code = CW_ERR_NOT_FOUND,
		                                .msg = "the transaction was deleted while it was being stored" };

	cw_recent_remove(p->recent, item->key);
	if (item->stored)
		cw_item_fail(p, item, &gone);
	else
		cw_item_requeue(p, item);
}

static void finish_all(struct cw_pipeline *p, struct lookup *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->items[i]->outcome.transaction_id == 0)
			continue;
		finish(p, l->items[i]);
		l->items[i] = NULL;
	}
	for (size_t i = l->n; i-- > 0;)      /* backwards: each goes to the head of the queue */
		if (l->items[i] != NULL)
			finish_missing(p, l->items[i]);
}

/* Those that nobody waits for any more are let go; the others ask again later. */
static void put_back(struct cw_pipeline *p, struct lookup *l, const struct cw_err *err)
{
	int64_t ms = (int64_t)AGAIN_FIRST_MS << (p->lookup_failures < 6 ? p->lookup_failures : 6);

	if (p->lookup_failures++ == 0)
		cw_log_err(CW_LOG_WARN, "pipeline", "stored verdicts could not be read, trying again", err);
	for (size_t i = l->n; i-- > 0;) {
		if (cw_list_empty(&l->items[i]->slots))
			cw_item_fail(p, l->items[i], err);
		else
			cw_list_prepend(&p->lookups, &l->items[i]->link);
	}
	cw_timer_set(p->lookup_again, ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS);
}

static void on_found(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct lookup *l = p->lookup;

	p->lookup = NULL;
	if (err != NULL) {
		put_back(p, l, err);
	} else {
		p->lookup_failures = 0;
		for (int i = 0; i < cw_result_rows(res); i++) {
			struct cw_verdict_row row;

			cw_verdicts_row(res, i, &row);
			if (row.index < l->n)
				add_row(p, l->items[row.index], &row);
		}
		finish_all(p, l);
		ask(p);
		cw_commit_kick(p);
	}
	cw_free(l);
	cw_admit_answer(p);
}

static void ask(struct cw_pipeline *p)
{
	const struct cw_tx *txs[LOOKUP_MAX];
	struct lookup *l;

	if (p->lookup != NULL || cw_timer_pending(p->lookup_again) || cw_list_empty(&p->lookups))
		return;
	l = cw_zalloc(sizeof(*l));
	while (l->n < LOOKUP_MAX && !cw_list_empty(&p->lookups)) {
		struct item *item = cw_list_entry(cw_list_take(&p->lookups), struct item, link);

		memset(&item->outcome, 0, sizeof(item->outcome));
		txs[l->n] = &item->in.tx;
		l->items[l->n++] = item;
	}
	p->lookup = l;
	l->query = cw_verdicts_find(p->pool, txs, l->n, on_found, p);
}

static void on_again(void *arg)
{
	ask(CW_CAST(arg, PIPELINE_MAGIC));
}

/* At the end of the turn, so that all that arrive in one turn share a query. */
void cw_known_ask(struct cw_pipeline *p, struct item *item)
{
	if (cw_list_empty(&p->lookups)) {
		cw_loop_undefer(p->loop, on_again, p);
		cw_loop_defer(p->loop, on_again, p);
	}
	item->place = ITEM_LOOKUP;
	cw_list_append(&p->lookups, &item->link);
}

void cw_known_init(struct cw_pipeline *p)
{
	cw_list_init(&p->lookups);
	p->lookup_again = cw_timer_new(p->loop, on_again, p);
}

void cw_known_release(struct cw_pipeline *p)
{
	cw_loop_undefer(p->loop, on_again, p);
	if (p->lookup != NULL)
		cw_pool_cancel(p->pool, p->lookup->query);
	cw_free(p->lookup);
	p->lookup = NULL;
	cw_timer_free(&p->lookup_again);
}
