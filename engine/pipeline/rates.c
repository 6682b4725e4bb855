/* How many alerts each rule gives, and whether that is out of the ordinary: a rule that has fallen silent is as broken as one
 * that floods, and nobody looks at what is not there.
 *
 * What is ordinary the rule declares (expect = { per_day = { min =, max = } }), or it is learnt from the seven days before the
 * last one: then at least four days of alerts are needed, silence counts only where five a day were usual (fewer leave a day
 * empty by chance), and a flood is far outside of what counts of independent events do. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "store/rules.h"

#define LEARN_DAYS 4.0
#define LEARN_LEAST 5.0              /* alerts a day: e^-5 of the days would be empty */
#define FLOOD_LEAST 20.0             /* a rule that gives hardly any may give some */
#define FLOOD_SIGMAS 6.0

struct rates {
	struct cw_timer *timer;
	uint64_t query;
};

/* One row of cw_rule_rates. */
struct row {
	const char *rule, *open;         /* the kind of alarm that is open in the table, "" */
	double hour, day, week, age_days, first_days;
	bool traffic;
};

static void on_written(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	if (err != NULL)
		cw_log_err(CW_LOG_WARN, "rules", "an alarm could not be kept", err);
}

static void raise_alarm(struct cw_pipeline *p, struct rule_info *rule, const char *kind, double observed)
{
	struct cw_rule_alarm *a = &rule->alarm;
	char message[200];

	snprintf(a->kind, sizeof(a->kind), "%s", kind);
	a->raised_us = cw_clock_wall_us();
	snprintf(message, sizeof(message), "%g alerts a day, %s are %g to %g", observed, a->declared ? "expected" : "usual", a->min,
	         a->max);
	cw_log(CW_LOG_WARN, "rules", kind[0] == 's' ? "a rule has fallen silent" : "a rule floods", "rule=%s alerts=\"%s\"",
	       rule->id, message);
	cw_rule_alarm_raise(p->pool, rule->id, kind, observed, a->min, a->max, a->declared, message, on_written, NULL);
	if (p->on_alarm != NULL)
		p->on_alarm(p->on_alarm_arg, rule->id, a, true, message);
}

static void clear_alarm(struct cw_pipeline *p, struct rule_info *rule)
{
	cw_log(CW_LOG_INFO, "rules", "a rule is back to its ordinary rate", "rule=%s was=%s", rule->id, rule->alarm.kind);
	cw_rule_alarm_clear(p->pool, rule->id, rule->alarm.kind, on_written, NULL);
	if (p->on_alarm != NULL)
		p->on_alarm(p->on_alarm_arg, rule->id, &rule->alarm, false, "back to its ordinary rate");
	rule->alarm.kind[0] = '\0';
	rule->alarm.raised_us = 0;
}

/* False where nothing can be expected yet. */
static bool expect(const struct rule_info *rule, const struct row *row, struct cw_rule_alarm *a)
{
	double mean;

	a->declared = rule->expects;
	a->min = rule->expect_min;
	a->max = rule->expect_max;
	if (rule->expects)
		return true;
	if (row->first_days < LEARN_DAYS)
		return false;
	mean = row->week / fmin(7, fmax(row->first_days - 1, 1));
	a->min = mean >= LEARN_LEAST ? 1 : 0;
	a->max = fmax(FLOOD_LEAST, ceil(3 * mean + FLOOD_SIGMAS * sqrt(mean)));
	return true;
}

static void look_at(struct cw_pipeline *p, const struct row *row)
{
	struct rule_info *rule = cw_rule_find(p, row->rule, false, NULL);
	struct cw_rule_alarm *a;
	const char *kind = "";

	if (rule == NULL)
		return;
	a = &rule->alarm;
	a->known = expect(rule, row, a);
	a->hour = row->hour;
	a->day = row->day;
	if (a->known && !rule->disabled && row->day > a->max)
		kind = "flood";
	else if (a->known && !rule->disabled && row->day < a->min && row->age_days >= 1 && row->traffic)
		kind = "silent";
	if (a->kind[0] == '\0' && row->open[0] != '\0')
		snprintf(a->kind, sizeof(a->kind), "%s", row->open);      /* raised before a restart */
	if (a->kind[0] != '\0' && strcmp(a->kind, kind) != 0)
		clear_alarm(p, rule);
	if (kind[0] != '\0' && a->kind[0] == '\0')
		raise_alarm(p, rule, kind, row->day);
}

static void on_rates(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	int n = err == NULL ? cw_result_rows(res) : 0;

	p->rates->query = 0;
	for (int i = 0; i < n; i++) {
		const struct row row = {
			.rule = cw_result_text(res, i, 0, NULL),
			.hour = (double)cw_result_i64(res, i, 1), .day = (double)cw_result_i64(res, i, 2),
			.week = (double)cw_result_i64(res, i, 3), .age_days = cw_result_f64(res, i, 4),
			.first_days = cw_result_f64(res, i, 5), .traffic = cw_result_bool(res, i, 6),
			.open = cw_result_text(res, i, 7, NULL),
		};

		look_at(p, &row);
	}
}

static void on_timer(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	if (p->rates->query == 0 && p->gen != NULL)
		p->rates->query = cw_rule_rates(p->pool, on_rates, p);
	cw_rates_reconfigured(p);
}

void cw_rates_reconfigured(struct cw_pipeline *p)
{
	if (p->conf.rate_check_ms > 0)
		cw_timer_set(p->rates->timer, p->conf.rate_check_ms);
	else
		cw_timer_clear(p->rates->timer);
}

void cw_rates_init(struct cw_pipeline *p)
{
	p->rates = cw_zalloc(sizeof(*p->rates));
	p->rates->timer = cw_timer_new(p->loop, on_timer, p);
	cw_rates_reconfigured(p);
}

void cw_rates_release(struct cw_pipeline *p)
{
	if (p->rates->query != 0)
		cw_pool_cancel(p->pool, p->rates->query);
	cw_timer_free(&p->rates->timer);
	cw_free(p->rates);
	p->rates = NULL;
}

void cw_pipeline_on_alarm(struct cw_pipeline *pipeline, cw_alarm_fn *fn, void *arg)
{
	pipeline->on_alarm = fn;
	pipeline->on_alarm_arg = arg;
}
