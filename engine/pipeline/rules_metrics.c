/* What rules do, for Prometheus. Labels are the rule's id and its role: both are bounded by the files there are. */
#include "base/buf.h"
#include "base/metrics.h"
#include "pipeline/core.h"
#include "state/state.h"

/* Labels of one rule, and more behind them. */
static const char *labels(struct cw_buf *buf, const struct rule_info *rule, const char *name, const char *value)
{
	cw_buf_clear(buf);
	cw_metric_label(buf, "rule", rule->id);
	cw_metric_label(buf, "role", rule->candidate ? "candidate" : "live");
	if (name != NULL)
		cw_metric_label(buf, name, value);
	return buf->data;
}

static void set_counter(const char *name, const char *help, const char *with, uint64_t value)
{
	cw_metric_set(cw_counter(name, help, with), (double)value);
}

static void set_gauge(const char *name, const char *help, const char *with, double value)
{
	cw_metric_set(cw_gauge(name, help, with), value);
}

static void set_seconds(const char *with, const struct cw_rule_meter *m)
{
	double bounds[CW_METER_BUCKETS - 1];

	for (int i = 0; i < CW_METER_BUCKETS - 1; i++)
		bounds[i] = (double)cw_meter_bounds_ns[i] / 1e9;
	cw_metric_set_histogram(cw_histogram("chainwatch_rule_seconds", "Time of a call of a rule; one in 16 is measured.", with,
	                                     bounds, CW_METER_BUCKETS - 1), m->buckets, (double)m->sampled_ns / 1e9);
}

static void set_alarm(struct cw_buf *buf, const struct rule_info *rule)
{
	static const char *const kinds[] = { "silent", "flood" };

	for (int i = 0; i < 2; i++)
		set_gauge("chainwatch_rule_alarm", "1 while a rule gives too few or too many alerts.",
		          labels(buf, rule, "kind", kinds[i]), rule->alarm.kind[0] == kinds[i][0]);
	if (!rule->alarm.known)
		return;
	set_gauge("chainwatch_rule_alerts_day", "Alerts of a rule in the last day.", labels(buf, rule, NULL, NULL),
	          rule->alarm.day);
	set_gauge("chainwatch_rule_alerts_day_expected", "What is ordinary for it, declared or learnt.",
	          labels(buf, rule, "bound", "min"), rule->alarm.min);
	set_gauge("chainwatch_rule_alerts_day_expected", "What is ordinary for it, declared or learnt.",
	          labels(buf, rule, "bound", "max"), rule->alarm.max);
}

static void collect(const struct cw_pipeline *p, uint32_t i, struct cw_buf *buf)
{
	const struct rule_info *rule = &p->gen->rules[i];
	struct cw_state_account account = { 0 };
	struct cw_rule_meter m;

	cw_rule_meter_of(p, i, &m);
	if (m.owner > 0 && m.owner < CW_STATE_OWNERS)
		account = cw_state_account(p->st, m.owner);
	labels(buf, rule, NULL, NULL);
	set_counter("chainwatch_rule_calls_total", "Calls of a rule.", buf->data, m.calls);
	set_counter("chainwatch_rule_fires_total", "Calls that gave an alert.", buf->data, m.fires);
	set_counter("chainwatch_rule_warmed_total", "Transactions of history that a rule was given.", buf->data, m.warmed);
	set_counter("chainwatch_rule_ticks_total", "Guard ticks that its calls took.", buf->data, m.ticks);
	set_seconds(buf->data, &m);
	set_gauge("chainwatch_rule_enabled", "0 while a rule is disabled or quarantined.", buf->data, !rule->disabled);
	set_gauge("chainwatch_rule_quarantined", "1 while a rule is quarantined.", buf->data, rule->quarantined);
	set_gauge("chainwatch_rule_warm", "0 while a rule lacks history and does not judge.", buf->data, m.gap == 0);
	set_gauge("chainwatch_rule_state_keys", "Keys in the state of a rule.", buf->data, (double)account.keys);
	set_gauge("chainwatch_rule_state_bytes", "Bytes of the state of a rule.", buf->data, (double)account.bytes);
	set_counter("chainwatch_rule_state_evictions_total", "Keys that had to make room.", buf->data, account.evictions);
	for (int kind = CW_FAULT_ERROR; kind <= CW_FAULT_STACK; kind++)
		set_counter("chainwatch_rule_faults_total", "Calls that failed, by what they broke.",
		            labels(buf, rule, "kind", cw_rule_fault_name((enum cw_rule_fault_kind)kind)), m.faults[kind]);
	if (!rule->candidate)
		set_alarm(buf, rule);
}

void cw_rules_collect(struct cw_pipeline *p)
{
	struct cw_buf buf = CW_BUF_INIT;

	for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++)
		collect(p, i, &buf);
	cw_buf_release(&buf);
}
