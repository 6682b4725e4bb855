/* metrics.h - registry of counters, gauges and histograms, written out as Prometheus text (format 0.0.4).
 *
 * One registry a process, single-threaded. A metric is registered once with its help text and label names; children
 * are looked up by label values once and kept by the caller, so counting is one addition. Names follow Prometheus'
 * conventions: chainwatch_*_total, _seconds, _bytes. Label values must be bounded (a route template, never a hash). */
#ifndef CW_BASE_METRICS_H
#define CW_BASE_METRICS_H

#include <stdint.h>

struct cw_buf;
struct cw_metric;   /* one child: a counter, gauge or histogram with its label values */

/* `labels` is written as it stands between braces (`route="/health",code="200"`; cw_metric_label builds it), or NULL.
 * The same name and labels give the same child. Help, type and bounds of the first call for a name hold; a call that
 * asks for another type is a bug (cw_bug), and so is counting a child as what it is not: both change nothing. */
struct cw_metric *cw_counter(const char *name, const char *help, const char *labels);
struct cw_metric *cw_gauge(const char *name, const char *help, const char *labels);
/* `bounds` are upper limits in rising order; +Inf is added. At most 24. */
struct cw_metric *cw_histogram(const char *name, const char *help, const char *labels, const double *bounds,
                               int nbounds);
/* Appends `name="value"`, the value escaped, after a comma unless `labels` is empty. */
void cw_metric_label(struct cw_buf *labels, const char *name, const char *value);
extern const double cw_seconds_bounds[];   /* 0.5 ms to 10 s, for request times */
extern const int cw_seconds_nbounds;

void cw_metric_add(struct cw_metric *metric, double amount);       /* counter (>= 0) or gauge */
void cw_metric_set(struct cw_metric *metric, double value);        /* gauge; counter that mirrors another's total */
void cw_metric_observe(struct cw_metric *metric, double value);    /* histogram */
/* Histogram that mirrors counts kept elsewhere: one for each bound and one above, not cumulative, and their sum. */
void cw_metric_set_histogram(struct cw_metric *metric, const uint64_t *buckets, double sum);
double cw_metric_value(const struct cw_metric *metric);            /* histogram: count */

/* Called before each exposition, to set gauges that are cheaper to read than to keep. */
typedef void cw_metrics_collect_fn(void *arg);
void cw_metrics_on_collect(cw_metrics_collect_fn *fn, void *arg);
void cw_metrics_off_collect(cw_metrics_collect_fn *fn, void *arg);

void cw_metrics_write(struct cw_buf *out);
void cw_metrics_free(void);   /* forgets all; for tests and a clean end */

#endif
