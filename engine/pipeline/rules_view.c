/* What can be told of the rules that are live: status, counts, time, state; as JSON and as metrics; and the switches. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/suggest.h"
#include "pipeline/core.h"
#include "state/state.h"

struct rule_info *cw_rule_find(struct cw_pipeline *p, const char *id, bool candidate, uint32_t *index)
{
	for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++) {
		struct rule_info *rule = &p->gen->rules[i];

		if (rule->candidate != candidate || strcmp(rule->id, id) != 0)
			continue;
		if (index != NULL)
			*index = i;
		return rule;
	}
	return NULL;
}

void cw_rule_meter_of(const struct cw_pipeline *p, uint32_t rule, struct cw_rule_meter *out)
{
	struct cw_rule_meter now;

	*out = p->gen->rules[rule].before;
	cw_supervisor_meter(p->supervisor, rule, &now);
	cw_meter_add(out, &now);
}

const char *cw_rule_status_of(const struct cw_pipeline *p, uint32_t i)
{
	const struct rule_info *rule = &p->gen->rules[i];
	struct cw_rule_meter meter;

	if (rule->disabled)
		return rule->quarantined ? "quarantined" : "disabled";
	if (cw_supervisor_meter(p->supervisor, i, &meter) && meter.gap != 0)
		return "warming";
	if (rule->candidate)
		return "candidate";
	return strcmp(rule->declared, "shadow") == 0 ? "shadow" : "live";
}

/* --- JSON --- */

/* The time below which this share of the sampled calls stayed: the upper bound of its bucket, in microseconds. */
static double quantile_us(const struct cw_rule_meter *m, double share)
{
	uint64_t sum = 0;

	for (int i = 0; i < CW_METER_BUCKETS - 1; i++) {
		sum += m->buckets[i];
		if ((double)sum >= share * (double)m->sampled)
			return (double)cw_meter_bounds_ns[i] / 1000;
	}
	return (double)cw_meter_bounds_ns[CW_METER_BUCKETS - 2] / 1000;
}

static void put_time(struct cw_buf *out, const char *key, int64_t us)
{
	char text[32];

	if (us == 0)
		cw_buf_printf(out, ",\"%s\":null", key);
	else
		cw_buf_printf(out, ",\"%s\":\"%s\"", key, cw_time_format(us, text));
}

static void put_cost(struct cw_buf *out, const struct cw_rule_meter *m)
{
	double n = m->sampled > 0 ? (double)m->sampled : 1;

	cw_buf_printf(out, ",\"cost\":{\"mean_us\":%.3f,\"p50_us\":%g,\"p99_us\":%g,\"sampled\":%llu,\"mean_ticks\":%.1f}",
	              (double)m->sampled_ns / 1000 / n, m->sampled > 0 ? quantile_us(m, 0.5) : 0,
	              m->sampled > 0 ? quantile_us(m, 0.99) : 0, (unsigned long long)m->sampled,
	              m->calls > 0 ? (double)m->ticks / (double)m->calls : 0);
}

static void put_breaches(struct cw_buf *out, const struct cw_rule_meter *m)
{
	cw_buf_printf(out, ",\"errors\":%llu,\"breaches\":{", (unsigned long long)m->faults[CW_FAULT_ERROR]);
	for (int kind = CW_FAULT_TICKS; kind <= CW_FAULT_STACK; kind++)
		cw_buf_printf(out, "%s\"%s\":%llu", kind > CW_FAULT_TICKS ? "," : "",
		              cw_rule_fault_name((enum cw_rule_fault_kind)kind), (unsigned long long)m->faults[kind]);
	cw_buf_putc(out, '}');
}

static void put_state(struct cw_buf *out, const struct cw_pipeline *p, uint32_t owner)
{
	struct cw_state_account a = { 0 };

	if (owner > 0 && owner < CW_STATE_OWNERS)
		a = cw_state_account(p->st, owner);
	cw_buf_printf(out, ",\"state\":{\"keys\":%llu,\"bytes\":%llu,\"evictions\":%llu,\"refused\":%llu}",
	              (unsigned long long)a.keys, (unsigned long long)a.bytes, (unsigned long long)a.evictions,
	              (unsigned long long)a.refused);
}

static void put_alarm(struct cw_buf *out, const struct cw_rule_alarm *a)
{
	if (!a->known) {
		cw_buf_puts(out, ",\"rate\":null,\"alarm\":null");
		return;
	}
	cw_buf_printf(out, ",\"rate\":{\"last_hour\":%g,\"last_day\":%g,\"expected\":{\"min\":%g,\"max\":%g,\"basis\":\"%s\"}}",
	              a->hour, a->day, a->min, a->max, a->declared ? "declared" : "learnt");
	if (a->kind[0] == '\0') {
		cw_buf_puts(out, ",\"alarm\":null");
		return;
	}
	cw_buf_printf(out, ",\"alarm\":{\"kind\":\"%s\"", a->kind);
	put_time(out, "raised_at", a->raised_us);
	cw_buf_putc(out, '}');
}

static void put_rule(struct cw_buf *out, const struct cw_pipeline *p, uint32_t i)
{
	const struct rule_info *r = &p->gen->rules[i];
	struct cw_rule_meter now, all;

	cw_supervisor_meter(p->supervisor, i, &now);
	cw_rule_meter_of(p, i, &all);
	cw_buf_printf(out, "{%s%s\"status\":\"%s\",\"declared_status\":\"%s\",\"model_version_id\":%lld,\"enabled\":%s,"
	              "\"quarantined\":%s,\"reason\":", r->json, r->json[0] != '\0' ? "," : "", cw_rule_status_of(p, i),
	              r->declared, (long long)r->version_id, r->disabled ? "false" : "true", r->quarantined ? "true" : "false");
	if (r->reason[0] != '\0')
		cw_json_put_cstring(out, r->reason);
	else
		cw_buf_puts(out, "null");
	put_time(out, "since", r->since_us);
	put_time(out, "changed_at", r->changed_us);
	cw_buf_printf(out, ",\"warm\":%s,\"warm_progress\":%.3f,\"calls\":%llu,\"fires\":%llu", now.gap == 0 ? "true" : "false",
	              cw_warm_progress(p, now.gap), (unsigned long long)all.calls, (unsigned long long)all.fires);
	put_breaches(out, &all);
	put_cost(out, &all);
	put_state(out, p, now.owner);
	put_alarm(out, &r->alarm);
	cw_buf_printf(out, ",\"alerts\":%llu,\"faults\":%llu}", (unsigned long long)r->alerts,
	              (unsigned long long)r->faults);
}

const char *cw_pipeline_ruleset(struct cw_pipeline *pipeline)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct cw_buf *out = &p->ruleset;
	bool warm = true;
	char since[32];

	cw_buf_clear(out);
	if (p->gen == NULL)
		return out->data;
	for (uint32_t i = 0; i < p->gen->nrules; i++)
		warm = warm && strcmp(cw_rule_status_of(p, i), "warming") != 0;
	cw_buf_puts(out, "{\"digest\":");
	cw_json_put_cstring(out, p->gen->digest);
	cw_buf_printf(out, ",\"model_version_id\":%lld,\"since\":\"%s\",\"warm\":%s,\"rules\":[", (long long)p->gen->version_id,
	              cw_time_format(p->gen->since_us, since), warm ? "true" : "false");
	for (uint32_t i = 0; i < p->gen->nrules; i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		put_rule(out, p, i);
	}
	cw_buf_puts(out, "]}");
	return out->data;
}

const char *cw_pipeline_rule(struct cw_pipeline *pipeline, const char *id, bool candidate)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	uint32_t i;

	cw_buf_clear(&p->ruleset);
	if (cw_rule_find(p, id, candidate, &i) != NULL)
		put_rule(&p->ruleset, p, i);
	return p->ruleset.data;
}

/* --- what has changed --- */

static const struct rule_info *same_in(const struct generation *gen, const struct rule_info *rule)
{
	for (uint32_t i = 0; gen != NULL && i < gen->nrules; i++)
		if (gen->rules[i].candidate == rule->candidate && strcmp(gen->rules[i].id, rule->id) == 0)
			return &gen->rules[i];
	return NULL;
}

static void put_change(struct cw_buf *out, const struct rule_info *rule, const char *change, const char *from)
{
	cw_buf_printf(out, "%s{\"rule\":\"%s\",\"role\":\"%s\",\"change\":\"%s\",\"version\":", out->len > 1 ? "," : "", rule->id,
	              rule->candidate ? "candidate" : "live", change);
	cw_json_put_cstring(out, rule->version);
	if (from != NULL) {
		cw_buf_puts(out, ",\"from\":");
		cw_json_put_cstring(out, from);
	}
	cw_buf_putc(out, '}');
}

void cw_rules_note_changes(struct cw_pipeline *p, const struct generation *old)
{
	struct cw_buf *out = &p->changes;

	cw_buf_clear(out);
	cw_buf_putc(out, '[');
	for (uint32_t i = 0; i < p->gen->nrules; i++) {
		const struct rule_info *rule = &p->gen->rules[i], *before = same_in(old, rule);

		if (before == NULL)
			put_change(out, rule, "added", NULL);
		else if (strcmp(before->sha256, rule->sha256) != 0)
			put_change(out, rule, "changed", before->version);
	}
	for (uint32_t i = 0; old != NULL && i < old->nrules; i++)
		if (same_in(p->gen, &old->rules[i]) == NULL)
			put_change(out, &old->rules[i], "removed", NULL);
	cw_buf_putc(out, ']');
}

const char *cw_pipeline_changes(const struct cw_pipeline *pipeline)
{
	return pipeline->changes.data;
}

/* --- switches --- */

static int unknown_rule(struct cw_pipeline *p, const char *id, bool candidate, struct cw_err *err)
{
	const char *names[CW_RULES_MAX + 1], *near;
	uint32_t n = 0;

	if (candidate && cw_rule_find(p, id, false, NULL) != NULL)
		return cw_err_set(err, CW_ERR_CONFLICT, "rule \"%s\" has no candidate", id);
	for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++)
		names[n++] = p->gen->rules[i].id;
	names[n] = NULL;
	near = cw_suggest(id, names);
	return cw_err_set(err, CW_ERR_NOT_FOUND, "there is no rule \"%s\"%s%s%s", id, near != NULL ? "; did you mean \"" : "",
	                  near != NULL ? near : "", near != NULL ? "\"?" : "");
}

int cw_pipeline_view_rule(struct cw_pipeline *pipeline, const char *id, bool candidate, struct cw_rule_view *view,
                          struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct cw_rule_meter meter, all;
	const struct rule_info *rule;
	uint32_t i;

	rule = cw_rule_find(p, id, candidate, &i);
	if (rule == NULL)
		return unknown_rule(p, id, candidate, err);
	cw_supervisor_meter(p->supervisor, i, &meter);
	cw_rule_meter_of(p, i, &all);
	*view = (struct cw_rule_view){ .version_id = rule->version_id, .from = meter.from,
		                           .mean_us = all.sampled > 0 ? (double)all.sampled_ns / 1e3 / (double)all.sampled : 0,
		                           .mean_ticks = all.calls > 0 ? (double)all.ticks / (double)all.calls : 0,
		                           .id = rule->id, .version = rule->version, .sha256 = rule->sha256,
		                           .status = cw_rule_status_of(p, i), .changed_us = rule->changed_us,
		                           .faults = rule->faults, .warm = meter.gap == 0 };
	return 0;
}

int cw_pipeline_may_switch(struct cw_pipeline *pipeline, const char *id, bool candidate, enum cw_rule_switch what,
                           struct cw_err *err)
{
	static const char *const cannot[] = { "enabled", "disabled", "quarantined", "released" };
	struct cw_rule_view view = { .status = "" };
	char since[48] = "", at[32];
	bool off, quarantined, ok = false;

	if (cw_pipeline_view_rule(pipeline, id, candidate, &view, err) != 0)
		return -1;
	quarantined = strcmp(view.status, "quarantined") == 0;
	off = quarantined || strcmp(view.status, "disabled") == 0;
	switch (what) {
	case CW_RULE_ENABLE: ok = off; break;
	case CW_RULE_DISABLE: ok = !off || quarantined; break;
	case CW_RULE_QUARANTINE: ok = !quarantined; break;
	case CW_RULE_RELEASE: ok = quarantined; break;
	}
	if (ok)
		return 0;
	if (view.changed_us != 0 && off)
		snprintf(since, sizeof(since), " since %s", cw_time_format(view.changed_us, at));
	return cw_err_set(err, CW_ERR_CONFLICT, "%s \"%s\" cannot be %s: it is %s%s", candidate ? "the candidate of rule" : "rule",
	                  id, cannot[what], view.status, since);
}

int cw_pipeline_switch_rule(struct cw_pipeline *pipeline, const char *id, bool candidate, enum cw_rule_switch what,
                            const char *reason, struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct rule_info *rule;
	uint32_t i;

	if (cw_pipeline_may_switch(pipeline, id, candidate, what, err) != 0)
		return -1;
	rule = cw_rule_find(p, id, candidate, &i);
	rule->disabled = what == CW_RULE_DISABLE || what == CW_RULE_QUARANTINE;
	rule->quarantined = what == CW_RULE_QUARANTINE;
	snprintf(rule->reason, sizeof(rule->reason), "%s", rule->disabled ? reason : "");
	rule->changed_us = cw_clock_wall_us();
	if (!rule->disabled)
		rule->logged = 0;
	cw_supervisor_enable(p->supervisor, i, !rule->disabled);
	cw_warm_step(p);
	return 0;
}
