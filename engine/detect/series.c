#include "detect/series.h"

#include <math.h>
#include <stddef.h>

#include "detect/keyed.h"
#include "detect/num.h"

#define LEAK 1e-4              /* a row, of the distance to the mean: ranges forget in some 10,000 rows */
#define FADE 0.93550698503161773   /* e^(-1/15) a row: of what a witness said */
#define WEIGHT 0.375           /* of each witness */
#define WARM 150
#define WARM_SEASON 300
#define LONG 60
#define SHORT 24
#define BLOCK 10
#define NEAR 0.05              /* shapes nearer than this are one */

/* What each witness finds where there is nothing to find. */
static const double usual[CW_SERIES_WITNESSES] = { 0.0245, 0.0200, 0.0245, 0.0100, 0.0447, 1.50 };

const char *cw_series_witness_name(enum cw_series_witness witness)
{
	static const char *const names[] = { "value", "spread", "season", "envelope", "shape", "unrest" };

	return (unsigned)witness < CW_SERIES_WITNESSES ? names[witness] : "";
}

/* By how much of the range x lies outside of it; 0 in the first `warm` numbers. */
static double record(struct cw_series_record *r, double x, uint64_t warm)
{
	double above, below, range, out, rate;

	if (r->n++ == 0) {
		r->lo = r->hi = r->mean = x;
		return 0;
	}
	above = x - r->hi;
	below = r->lo - x;
	range = r->hi - r->lo;
	out = above > below ? above : below;
	out = out <= 0 ? 0 : range > 0 ? out / range : 1;
	if (out > 1)
		out = 1 + 0.1 * cw_ln(out);
	rate = 1 / (double)r->n;
	r->mean += (rate > LEAK ? rate : LEAK) * (x - r->mean);
	r->hi = above > 0 ? x : r->hi + LEAK * (r->mean - r->hi);
	r->lo = below > 0 ? x : r->lo + LEAK * (r->mean - r->lo);
	return r->n > warm ? out : 0;
}

/* --- the last 60 and 24 rows --- */

static double back(const struct cw_series *s, uint64_t rows)
{
	return s->ring[(s->rows - rows) % CW_SERIES_RING] - s->shift;
}

/* Sums from the start, so that rounding does not pile up. */
static void sum_again(struct cw_series *s)
{
	uint64_t n = s->rows < LONG ? s->rows : LONG;

	s->shift = n > 0 ? s->ring[(s->rows - 1) % CW_SERIES_RING] : 0;
	s->sum60 = s->squares60 = s->sum24 = 0;
	for (uint64_t i = n; i >= 1; i--) {
		double v = back(s, i);

		s->sum60 += v;
		s->squares60 += v * v;
		if (i <= SHORT)
			s->sum24 += v;
	}
}

static void take_ring(struct cw_state *st, struct cw_series *s, double x)
{
	double v, old;

	if (s->rows % LONG == 0)
		sum_again(s);
	v = x - s->shift;
	if (s->rows >= LONG) {
		old = back(s, LONG);
		s->sum60 -= old;
		s->squares60 -= old * old;
	}
	if (s->rows >= SHORT)
		s->sum24 -= back(s, SHORT);
	s->sum60 += v;
	s->squares60 += v * v;
	s->sum24 += v;
	cw_detect_touch(st, &s->ring[s->rows % CW_SERIES_RING], sizeof(double));
	s->ring[s->rows % CW_SERIES_RING] = x;
	s->rows++;
}

static double spread(struct cw_series *s)
{
	double n = s->rows < LONG ? (double)s->rows : LONG, mean = s->sum60 / n, var = s->squares60 / n - mean * mean, sd;
	double mid, hi = s->spread.hi, out;

	sd = var > 0 ? sqrt(var) : 0;
	mid = sd;
	out = record(&s->spread, mid, WARM);
	return s->spread.n > 1 && mid > hi ? out : 0;
}

/* --- the time of day --- */

static double season(struct cw_state *st, struct cw_series *s, uint32_t half_hour, double x)
{
	struct cw_series_bin *b = &s->bin[half_hour];
	double out = 0, rate = 1 / (double)(b->n + 1);

	if (b->n > 0)
		out = record(&s->season, x - b->mean, WARM_SEASON);
	cw_detect_touch(st, b, sizeof(*b));
	b->mean += (rate > 0.15 ? rate : 0.15) * (x - b->mean);
	b->n++;
	return out;
}

static double envelope(struct cw_state *st, struct cw_series *s, uint32_t hour)
{
	double n = s->rows < SHORT ? (double)s->rows : SHORT, x = s->sum24 / n + s->shift, lo = INFINITY, hi = -INFINITY;
	double range = s->mean_hi - s->mean_lo, out = 0;
	struct cw_series_hour *h = &s->hour[hour];

	for (uint32_t i = 23; i <= 25; i++) {
		const struct cw_series_hour *beside = &s->hour[(hour + i) % 24];

		if (beside->n == 0)
			continue;
		lo = beside->lo < lo ? beside->lo : lo;
		hi = beside->hi > hi ? beside->hi : hi;
	}
	if (lo <= hi && s->rows > WARM_SEASON)
		out = x > hi ? x - hi : x < lo ? lo - x : 0;
	if (out > 0)
		out = range > 0 ? out / range : 1;
	cw_detect_touch(st, h, sizeof(*h));
	h->lo = h->n == 0 || x < h->lo ? x : h->lo;
	h->hi = h->n == 0 || x > h->hi ? x : h->hi;
	h->n++;
	s->mean_lo = s->rows == 1 || x < s->mean_lo ? x : s->mean_lo;
	s->mean_hi = s->rows == 1 || x > s->mean_hi ? x : s->mean_hi;
	return out > 1 ? 1 + 0.1 * cw_ln(out) : out;
}

/* --- the shape of the last 80 rows --- */

static double nearest(const struct cw_series *s, const float *now, uint32_t *which)
{
	float best = INFINITY;

	*which = 0;
	for (uint32_t i = 0; i < s->shapes; i++) {
		float sum = 0;

		for (int j = 0; j < CW_SERIES_BLOCKS; j++) {
			float d = s->shape[i].x[j] - now[j];

			sum += d * d;
		}
		if (sum < best) {
			best = sum;
			*which = i;
		}
	}
	return sqrt((double)best / CW_SERIES_BLOCKS);
}

static uint32_t longest_unused(const struct cw_series *s)
{
	uint32_t at = 0;

	for (uint32_t i = 1; i < s->shapes; i++)
		if (s->shape[i].used < s->shape[at].used)
			at = i;
	return at;
}

static void take_shape(struct cw_state *st, struct cw_series *s, const float *now)
{
	uint32_t at;
	bool close;

	s->distance = nearest(s, now, &at);
	close = s->shapes > 0 && s->distance < NEAR;
	if (!close)
		at = s->shapes < CW_SERIES_SHAPES ? s->shapes++ : longest_unused(s);
	cw_detect_touch(st, &s->shape[at], sizeof(s->shape[at]));
	for (int j = 0; j < CW_SERIES_BLOCKS; j++)
		s->shape[at].x[j] = close ? s->shape[at].x[j] + 0.1f * (now[j] - s->shape[at].x[j]) : now[j];
	s->shape[at].used = s->blocks;
}

static double shape(struct cw_state *st, struct cw_series *s, double x)
{
	s->block_sum += x;
	if (++s->block_rows == BLOCK) {
		float now[CW_SERIES_BLOCKS];
		double range = s->hi - s->lo;

		s->block[s->blocks++ % CW_SERIES_BLOCKS] = s->block_sum / BLOCK;
		s->block_sum = 0;
		s->block_rows = 0;
		if (s->blocks >= CW_SERIES_BLOCKS) {
			for (uint32_t j = 0; j < CW_SERIES_BLOCKS; j++)
				now[j] = range > 0 ? (float)((s->block[(s->blocks + j) % CW_SERIES_BLOCKS] - s->lo) / range) : 0;
			take_shape(st, s, now);
		}
	}
	return s->rows > WARM && isfinite(s->distance) ? s->distance : 0;
}

/* --- unrest --- */

static double unrest(struct cw_series *s, double x)
{
	double n = (double)s->rows, rate = 1 / n, sd = sqrt(s->var), d = x - s->mean, z, out = 0;

	z = d == 0 ? 0 : sd > 0 ? fabs(d) / sd : 0;
	z = z > 20 ? 20 : z;
	if (s->rows <= 1)
		z = 0;
	rate = rate > 0.001 ? rate : 0.001;
	s->mean += rate * d;
	s->var = (1 - rate) * (s->var + rate * d * d);
	s->unrest += (1 / n > 1.0 / 30 ? 1 / n : 1.0 / 30) * (z - s->unrest);
	d = s->unrest - s->unrest_mean;
	if (s->rows > CW_SERIES_WARM && d > 0 && s->unrest_var > 0)
		out = d / sqrt(s->unrest_var);
	rate = 1 / n > 1.0 / 2000 ? 1 / n : 1.0 / 2000;
	s->unrest_mean += rate * d;
	s->unrest_var = (1 - rate) * (s->unrest_var + rate * d * d);
	return out;
}

/* --- all together --- */

double cw_series_evidence(const struct cw_series *s)
{
	double sum = 0;

	for (int k = 0; k < CW_SERIES_WITNESSES; k++)
		sum += s->memory[k];
	return sum;
}

enum cw_series_witness cw_series_reason(const struct cw_series *s)
{
	int best = 0;

	for (int k = 1; k < CW_SERIES_WITNESSES; k++)
		if (s->memory[k] > s->memory[best])
			best = k;
	return (enum cw_series_witness)best;
}

double cw_series_score(double evidence, bool silent)
{
	double score = 1 - 1 / (1 + cw_exp(WEIGHT * (evidence - CW_SERIES_ALERT)));

	if (evidence >= CW_SERIES_ALERT && score < 0.5)
		score = 0.5;           /* rounding */
	return silent ? score / 2 : score;
}

double cw_series_add(struct cw_state *st, struct cw_series *s, int64_t time_s, double x)
{
	int64_t second = time_s % 86400;
	double found[CW_SERIES_WITNESSES], evidence;
	uint32_t half_hour;
	bool silent;

	if (!isfinite(x))
		return NAN;
	half_hour = (uint32_t)((second < 0 ? second + 86400 : second) / 1800);
	cw_detect_touch(st, s, offsetof(struct cw_series, ring));
	s->lo = s->rows == 0 || x < s->lo ? x : s->lo;
	s->hi = s->rows == 0 || x > s->hi ? x : s->hi;
	found[CW_SERIES_VALUE] = record(&s->value, x, WARM);
	found[CW_SERIES_SEASON] = season(st, s, half_hour, x);
	take_ring(st, s, x);
	found[CW_SERIES_SPREAD] = spread(s);
	found[CW_SERIES_ENVELOPE] = envelope(st, s, half_hour / 2);
	found[CW_SERIES_SHAPE] = shape(st, s, x);
	found[CW_SERIES_UNREST] = unrest(s, x);
	for (int k = 0; k < CW_SERIES_WITNESSES; k++) {
		double says = found[k] > 0 ? cw_ln(1 + found[k] / usual[k]) : 0;

		s->memory[k] *= FADE;
		s->memory[k] = says > s->memory[k] ? says : s->memory[k];
	}
	evidence = cw_series_evidence(s);
	silent = s->last_alert != 0 && s->rows - s->last_alert <= CW_SERIES_SILENCE;
	if (evidence >= CW_SERIES_ALERT && !silent)
		s->last_alert = s->rows;
	return cw_series_score(evidence, silent);
}
