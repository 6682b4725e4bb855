#include "base/metrics.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"

#define BOUNDS_MAX 24

enum kind { COUNTER = 0, GAUGE, HISTOGRAM };

struct family {
	struct family *next;
	char *name, *help;
	enum kind kind;
	int nbounds;
	double bounds[BOUNDS_MAX];
	struct cw_map *by_labels;
	struct cw_metric *first, *last;
};

struct cw_metric {
	struct cw_metric *next;
	struct family *family;
	char *labels;                /* "" if there are none */
	double value;                /* histogram: sum */
	uint64_t count;              /* histogram only, as all below */
	uint64_t buckets[];          /* not cumulative; nbounds + 1, the last one is above all bounds */
};

struct collector {
	struct collector *next;
	cw_metrics_collect_fn *fn;   /* NULL: taken off while collecting */
	void *arg;
};

static const char *const kind_names[] = { "counter", "gauge", "histogram" };

const double cw_seconds_bounds[] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };
const int cw_seconds_nbounds = sizeof(cw_seconds_bounds) / sizeof(*cw_seconds_bounds);

static struct cw_map *by_name;
static struct family *first_family, *last_family;
static struct collector *collectors;

static struct family *family_of(const char *name, const char *help, enum kind kind, const double *bounds, int nbounds)
{
	struct family *f;

	if (by_name == NULL)
		by_name = cw_map_new();
	f = cw_map_get(by_name, name, strlen(name));
	if (f != NULL) {
		if (f->kind != kind)
			cw_bug("metric %s is a %s, not a %s", name, kind_names[f->kind], kind_names[kind]);
		return f;
	}
	f = cw_zalloc(sizeof(*f));
	f->name = cw_strdup(name);
	f->help = cw_strdup(help);
	f->kind = kind;
	f->nbounds = nbounds < BOUNDS_MAX ? nbounds : BOUNDS_MAX;
	for (int i = 0; i < f->nbounds; i++) {
		cw_assert(i == 0 || bounds[i] > bounds[i - 1]);
		f->bounds[i] = bounds[i];
	}
	f->by_labels = cw_map_new();
	cw_map_put(by_name, name, strlen(name), f);
	if (last_family != NULL)
		last_family->next = f;
	else
		first_family = f;
	last_family = f;
	return f;
}

static struct cw_metric *child_of(struct family *f, const char *labels)
{
	struct cw_metric *m;
	size_t buckets = f->kind == HISTOGRAM ? (size_t)f->nbounds + 1 : 0;

	if (labels == NULL)
		labels = "";
	m = cw_map_get(f->by_labels, labels, strlen(labels));
	if (m != NULL)
		return m;
	m = cw_zalloc(sizeof(*m) + buckets * sizeof(*m->buckets));
	m->family = f;
	m->labels = cw_strdup(labels);
	cw_map_put(f->by_labels, labels, strlen(labels), m);
	if (f->last != NULL)
		f->last->next = m;
	else
		f->first = m;
	f->last = m;
	return m;
}

struct cw_metric *cw_counter(const char *name, const char *help, const char *labels)
{
	return child_of(family_of(name, help, COUNTER, NULL, 0), labels);
}

struct cw_metric *cw_gauge(const char *name, const char *help, const char *labels)
{
	return child_of(family_of(name, help, GAUGE, NULL, 0), labels);
}

struct cw_metric *cw_histogram(const char *name, const char *help, const char *labels, const double *bounds,
                               int nbounds)
{
	return child_of(family_of(name, help, HISTOGRAM, bounds, nbounds), labels);
}

/* Backslash, newline and (in labels) the double quote are escaped; the format knows no other. */
static void put_escaped(struct cw_buf *out, const char *text, bool quote)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\' || (quote && *text == '"'))
			cw_buf_putc(out, '\\');
		if (*text == '\n')
			cw_buf_puts(out, "\\n");
		else
			cw_buf_putc(out, *text);
	}
}

void cw_metric_label(struct cw_buf *labels, const char *name, const char *value)
{
	if (labels->len > 0)
		cw_buf_putc(labels, ',');
	cw_buf_puts(labels, name);
	cw_buf_puts(labels, "=\"");
	put_escaped(labels, value, true);
	cw_buf_putc(labels, '"');
}

void cw_metric_add(struct cw_metric *metric, double amount)
{
	enum kind kind = metric->family->kind;

	if (kind == HISTOGRAM || (kind == COUNTER && !(amount >= 0))) {
		cw_bug("cannot add %g to %s %s", amount, kind_names[kind], metric->family->name);
		return;
	}
	metric->value += amount;
}

void cw_metric_set(struct cw_metric *metric, double value)
{
	if (metric->family->kind == HISTOGRAM) {
		cw_bug("cannot set histogram %s", metric->family->name);
		return;
	}
	metric->value = value;
}

void cw_metric_observe(struct cw_metric *metric, double value)
{
	const struct family *f = metric->family;
	int i = 0;

	if (f->kind != HISTOGRAM) {
		cw_bug("cannot observe %s %s", kind_names[f->kind], f->name);
		return;
	}
	while (i < f->nbounds && !(value <= f->bounds[i]))
		i++;
	metric->buckets[i]++;
	metric->count++;
	metric->value += value;
}

void cw_metric_set_histogram(struct cw_metric *metric, const uint64_t *buckets, double sum)
{
	const struct family *f = metric->family;

	if (f->kind != HISTOGRAM) {
		cw_bug("cannot observe %s %s", kind_names[f->kind], f->name);
		return;
	}
	metric->count = 0;
	metric->value = sum;
	for (int i = 0; i <= f->nbounds; i++) {
		metric->buckets[i] = buckets[i];
		metric->count += buckets[i];
	}
}

double cw_metric_value(const struct cw_metric *metric)
{
	return metric->family->kind == HISTOGRAM ? (double)metric->count : metric->value;
}

void cw_metrics_on_collect(cw_metrics_collect_fn *fn, void *arg)
{
	struct collector **end = &collectors, *c = cw_zalloc(sizeof(*c));

	c->fn = fn;
	c->arg = arg;
	while (*end != NULL)
		end = &(*end)->next;
	*end = c;
}

void cw_metrics_off_collect(cw_metrics_collect_fn *fn, void *arg)
{
	for (struct collector *c = collectors; c != NULL; c = c->next)
		if (c->fn == fn && c->arg == arg) {
			c->fn = NULL;
			return;
		}
}

static void collect(void)
{
	for (struct collector *c = collectors; c != NULL; c = c->next)
		if (c->fn != NULL)
			c->fn(c->arg);
	for (struct collector **at = &collectors; *at != NULL;) {
		struct collector *c = *at;

		if (c->fn != NULL) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		cw_free(c);
	}
}

static void put_number(struct cw_buf *out, double value)
{
	if (isnan(value))
		cw_buf_puts(out, "NaN");
	else if (isinf(value))
		cw_buf_puts(out, value > 0 ? "+Inf" : "-Inf");
	else
		cw_json_put_double(out, value);
}

/* name{labels,le="..."} up to the space before the value. `le` NULL: none. */
static void put_head(struct cw_buf *out, const struct cw_metric *m, const char *suffix, const double *le)
{
	cw_buf_puts(out, m->family->name);
	cw_buf_puts(out, suffix);
	if (m->labels[0] != '\0' || le != NULL) {
		cw_buf_putc(out, '{');
		cw_buf_puts(out, m->labels);
		if (le != NULL) {
			cw_buf_puts(out, m->labels[0] != '\0' ? ",le=\"" : "le=\"");
			put_number(out, *le);
			cw_buf_putc(out, '"');
		}
		cw_buf_putc(out, '}');
	}
	cw_buf_putc(out, ' ');
}

static void put_histogram(struct cw_buf *out, const struct cw_metric *m)
{
	static const double infinite = INFINITY;
	uint64_t sum = 0;

	for (int i = 0; i <= m->family->nbounds; i++) {
		sum += m->buckets[i];
		put_head(out, m, "_bucket", i < m->family->nbounds ? &m->family->bounds[i] : &infinite);
		cw_buf_uint(out, sum);
		cw_buf_putc(out, '\n');
	}
	put_head(out, m, "_sum", NULL);
	put_number(out, m->value);
	cw_buf_putc(out, '\n');
	put_head(out, m, "_count", NULL);
	cw_buf_uint(out, m->count);
	cw_buf_putc(out, '\n');
}

void cw_metrics_write(struct cw_buf *out)
{
	collect();
	for (const struct family *f = first_family; f != NULL; f = f->next) {
		cw_buf_puts(out, "# HELP ");
		cw_buf_puts(out, f->name);
		cw_buf_putc(out, ' ');
		put_escaped(out, f->help, false);
		cw_buf_puts(out, "\n# TYPE ");
		cw_buf_puts(out, f->name);
		cw_buf_putc(out, ' ');
		cw_buf_puts(out, kind_names[f->kind]);
		cw_buf_putc(out, '\n');
		for (const struct cw_metric *m = f->first; m != NULL; m = m->next) {
			if (f->kind == HISTOGRAM) {
				put_histogram(out, m);
				continue;
			}
			put_head(out, m, "", NULL);
			put_number(out, m->value);
			cw_buf_putc(out, '\n');
		}
	}
}

static void family_free(struct family *f)
{
	while (f->first != NULL) {
		struct cw_metric *m = f->first;

		f->first = m->next;
		cw_free(m->labels);
		cw_free(m);
	}
	cw_map_free(&f->by_labels);
	cw_free(f->name);
	cw_free(f->help);
	cw_free(f);
}

void cw_metrics_free(void)
{
	while (first_family != NULL) {
		struct family *f = first_family;

		first_family = f->next;
		family_free(f);
	}
	last_family = NULL;
	while (collectors != NULL) {
		struct collector *c = collectors;

		collectors = c->next;
		cw_free(c);
	}
	cw_map_free(&by_name);
}
