/* series.h - how odd the newest value of a metric is, against all that came before: any scale, no settings.
 *
 * Six cheap witnesses look at each value; what each finds is divided by what it usually finds, put on a logarithmic scale
 * and remembered for some 15 rows; the evidence is the sum. No witness is good alone, and none has a threshold of its
 * own: sums of weak evidence carry over to series they were not made on (the comparison is in docs/DETECTORS.md). After
 * an alert the next 100 rows cannot alert: they belong to it.
 *
 * One flat structure; zeroed is empty. Lives in the arena or in plain memory (`st` NULL). The same rows give the same
 * scores on every machine. */
#ifndef CW_DETECT_SERIES_H
#define CW_DETECT_SERIES_H

#include <stdbool.h>
#include <stdint.h>

struct cw_state;

enum cw_series_witness {
	CW_SERIES_VALUE = 0,     /* higher or lower than ever (with a slow leak) */
	CW_SERIES_SPREAD,        /* the last 60 rows vary more than ever */
	CW_SERIES_SEASON,        /* farther from the mean of its half hour of the day than ever */
	CW_SERIES_ENVELOPE,      /* mean of the last 24 rows outside of what this hour of the day has seen */
	CW_SERIES_SHAPE,         /* the last 80 rows look like no stretch before */
	CW_SERIES_UNREST,        /* the last 30 rows are farther from the mean than is usual here */
	CW_SERIES_WITNESSES
};
const char *cw_series_witness_name(enum cw_series_witness witness);   /* "value", "spread", ... */

#define CW_SERIES_RING 64        /* at least the 60 rows that are looked back on */
#define CW_SERIES_WARM 100       /* rows before the first witness speaks; all do after 300 */
#define CW_SERIES_SILENCE 100    /* rows after an alert that cannot alert */
#define CW_SERIES_BINS 48        /* half hours of a day */
#define CW_SERIES_BLOCKS 8       /* block means that make a shape, each of 10 rows */
#define CW_SERIES_SHAPES 128

/* Range with a slow leak, and the mean it leaks to. */
struct cw_series_record { double lo, hi, mean; uint64_t n; };
struct cw_series_bin { double mean; uint64_t n; };
struct cw_series_hour { double lo, hi; uint64_t n; };
struct cw_series_shape { float x[CW_SERIES_BLOCKS]; uint64_t used; };   /* `used`: block at which it was last nearest */

struct cw_series {
	uint64_t rows;
	uint64_t last_alert;         /* row, from 1; 0: none yet */
	double memory[CW_SERIES_WITNESSES];
	struct cw_series_record value, spread, season;
	double lo, hi;               /* of all values */
	double mean_lo, mean_hi;     /* of all means of 24 rows */
	double sum60, squares60, sum24, shift;   /* running sums, values less `shift` */
	double mean, var;            /* exponential, 1000 rows */
	double unrest, unrest_mean, unrest_var;  /* mean z of some 30 rows; its own mean and variance, 2000 rows */
	double block_sum, distance;
	double block[CW_SERIES_BLOCKS];   /* ring of block means */
	uint32_t block_rows, shapes;
	uint64_t blocks;
	double ring[CW_SERIES_RING];
	struct cw_series_bin bin[CW_SERIES_BINS];
	struct cw_series_hour hour[CW_SERIES_BINS / 2];
	struct cw_series_shape shape[CW_SERIES_SHAPES];
};

/* Score of `x` at time `time_s` (seconds since 1970; used for the time of day only), against the past; then takes it.
 * 0 to 1; from 0.5 on it is an alert. NaN, and nothing taken, where x is not finite. */
double cw_series_add(struct cw_state *st, struct cw_series *s, int64_t time_s, double x);
/* Evidence of the newest row, >= 0; an alert needs CW_SERIES_ALERT. Silence is not in it. */
#define CW_SERIES_ALERT 2.3
double cw_series_evidence(const struct cw_series *s);
/* Which witness had most to say about the newest row. */
enum cw_series_witness cw_series_reason(const struct cw_series *s);
/* The score for an evidence outside of silence, and within: for those who want another threshold. */
double cw_series_score(double evidence, bool silent);

#endif
