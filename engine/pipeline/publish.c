/* Publication: outcomes of a committed group to those who wait, then to the event stream and the deliveries. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "pipeline/core.h"
#include "store/alerts.h"

static void release_generation(void *arg)
{
	struct generation *gen = arg;

	cw_generation_unref(&gen);
}

/* A flood is told of as it grows: at 2, 4, 8, ... fires. */
static enum cw_alert_event event_of(const struct cw_alert *a, const struct cw_alert_stored *stored)
{
	if (stored->told)
		return CW_EVENT_NEW;
	if ((a->flags & CW_ALERT_ROSE) != 0 || (a->occurrences & (a->occurrences - 1)) == 0)
		return CW_EVENT_UPDATED;
	return CW_EVENT_NONE;
}

static const char *entity_of(struct cw_arena *arena, const struct cw_alert *a)
{
	char text[CW_ADDRESS_TEXT];

	if ((a->flags & CW_ALERT_HAS_ENTITY) == 0)
		return "";
	return cw_arena_strndup(arena, cw_address_format(&a->entity, text), CW_ADDRESS_TEXT - 1);
}

static void make_outcome(struct item *item, const struct generation *gen)
{
	const struct cw_verdict *v = &item->verdict;
	struct cw_outcome *out = &item->outcome;
	struct cw_outcome_alert *alerts;

	*out = (struct cw_outcome){
		.transaction_id = (int64_t)item->in.tx.seq,
		.score = v->score,
		.confidence = v->confidence,
		.ruleset = gen->digest,
	};
	if (v->nalerts == 0)
		return;
	alerts = cw_arena_alloc(item->keep->arena, v->nalerts * sizeof(*alerts));
	for (uint32_t i = 0; i < v->nalerts; i++) {
		const struct cw_alert *a = &v->alerts[i];
		const struct rule_info *rule = &gen->rules[a->rule];

		if ((a->flags & CW_ALERT_SHADOW) != 0)
			continue;
		if (item->alerts[i].suppressed) {
			out->nsuppressed++;
			continue;
		}
		if (!out->is_anomaly || a->severity > out->severity)
			out->severity = a->severity;
		out->is_anomaly = true;
		alerts[out->nalerts++] = (struct cw_outcome_alert){
			.id = item->alerts[i].id,
			.founded = item->alerts[i].founded,
			.event = event_of(a, &item->alerts[i]),
			.reborn_of = item->alerts[i].reborn_of,
			.provisional = item->provisional,
			.rule = rule->id,
			.version = rule->version,
			.title = rule->title,
			.alert = a,
			.severity = a->severity,
			.score = a->score,
			.confidence = a->confidence,
			.explanation = item->plain ? "" : a->explanation,
			.features = item->plain ? "{}" : a->features,
			.role = a->role,
			.entity = entity_of(item->keep->arena, a),
			.labels = item->plain ? "[]" : a->labels,
		};
	}
	out->alerts = alerts;
}

static void count(struct cw_pipeline *p, const struct group *g)
{
	p->stats.groups++;
	p->stats.fresh += g->n;
	cw_metric_add(p->metrics.fresh, (double)g->n);
	cw_metric_observe(p->metrics.group_size, (double)g->n);
	cw_metric_observe(p->metrics.commit_seconds, (double)(cw_clock_mono_us() - g->started_us) / 1e6);
	for (size_t i = 0; i < g->n; i++) {
		const struct cw_outcome *out = &g->items[i]->outcome;

		if (out->transaction_id > (int64_t)p->stats.committed_id)
			p->stats.committed_id = (uint64_t)out->transaction_id;
		for (int k = 0; k < out->nalerts; k++) {
			if (!out->alerts[k].founded)
				continue;
			p->stats.alerts++;
			cw_metric_add(p->metrics.severity[out->alerts[k].severity], 1);
		}
	}
}

void cw_publish_group(struct cw_pipeline *p, struct group **group)
{
	struct group *g = *group;

	*group = NULL;
	if (g->n > 0)                        /* the outcomes' strings are the generation's */
		cw_arena_cleanup(g->keep->arena, release_generation, cw_generation_ref(g->gen));
	for (size_t i = 0; i < g->n; i++)
		make_outcome(g->items[i], g->gen);
	if (g->n > 0)
		count(p, g);
	for (size_t i = 0; i < g->n; i++) {
		g->items[i]->refs++;             /* for the publisher, below */
		cw_item_done(p, g->items[i]);
	}
	while (!cw_list_empty(&g->cursors))
		cw_item_done(p, cw_list_entry(g->cursors.next, struct item, link));
	cw_admit_answer(p);
	for (size_t i = 0; i < g->n; i++) {
		if (p->publish != NULL)
			p->publish(p->publish_arg, &g->items[i]->outcome);
		cw_item_unref(&g->items[i]);
	}
	cw_group_free(&g);
}

void cw_pipeline_on_publish(struct cw_pipeline *pipeline, cw_publish_fn *fn, void *arg)
{
	pipeline->publish = fn;
	pipeline->publish_arg = arg;
}
