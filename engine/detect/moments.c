/* moments.c - mean and variance of a number for each key: of all its past (Welford) or of its recent past (EWMA).
 *
 * A score is taken against the past only: the number itself enters after it. */
#include <math.h>
#include <stddef.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"
#include "detect/num.h"

#define MOMENTS_MAGIC 0x4d4f4d45u
#define Z_MAX 1e6                     /* a z-score is cut here: the spread was (nearly) nothing */

enum welford_opt { W_OF = CW_OPT_AT_OWN, W_WARM };
enum ewma_opt { E_OF = CW_OPT_AT_OWN, E_WARM, E_ALPHA, E_HALF_LIFE };
enum mode { MODE_ALL, MODE_COUNT, MODE_TIME };

struct moments {
	struct cw_keyed k;
	enum cw_field of;
	enum mode mode;
	double warm, alpha, half_life_s;
};

/* Value of a key. */
struct entry {
	double mean;
	double var;                   /* MODE_ALL and MODE_TIME: sum of squared deviations, divided when read */
	uint32_t n;                   /* saturates */
	uint32_t last_s;              /* MODE_TIME */
	double weight;                /* MODE_TIME only: the others have no room for it */
};

static double number_of(const struct moments *m, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && m->of != CW_FIELD_NONE ? cw_field_number(tx, m->of) : a;

	return isfinite(x) ? x : NAN;
}

static double variance(const struct moments *m, const struct entry *e)
{
	switch (m->mode) {
	case MODE_ALL: return e->n > 1 ? e->var / (e->n - 1) : 0;
	case MODE_TIME: return e->weight > 0 ? e->var / e->weight : 0;
	case MODE_COUNT: break;
	}
	return e->var;
}

static double z_score(const struct moments *m, const struct entry *e, double x)
{
	double sd, z;

	if (e == NULL || e->n < m->warm || e->n == 0)
		return NAN;
	sd = sqrt(variance(m, e));
	if (x == e->mean)
		return 0;
	z = (x - e->mean) / sd;
	return z > Z_MAX ? Z_MAX : z < -Z_MAX ? -Z_MAX : z;
}

static void take(const struct moments *m, struct entry *e, double x, int64_t time)
{
	double delta = x - e->mean;

	if (e->n < UINT32_MAX)
		e->n++;
	if (m->mode == MODE_ALL) {
		e->mean += delta / e->n;
		e->var += delta * (x - e->mean);
	} else if (m->mode == MODE_COUNT) {
		/* the first numbers weigh alike, so that the start is not remembered for ever */
		double a = m->alpha * e->n < 1 ? 1.0 / e->n : m->alpha;

		e->mean += a * delta;
		e->var = (1 - a) * (e->var + a * delta * delta);
	} else {
		uint32_t now = cw_time32(time);
		double d = 1;

		if (now > e->last_s) {
			if (e->last_s != 0)
				d = cw_exp(-(double)(now - e->last_s) / m->half_life_s * 0.69314718055994531);
			e->last_s = now;
		}
		e->weight = e->weight * d + 1;
		e->mean += delta / e->weight;
		e->var = e->var * d + delta * (x - e->mean);
	}
}

static double moments_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct moments *m = CW_CAST(handle, MOMENTS_MAGIC);
	double x = number_of(m, tx, a), z;
	struct entry *e;

	(void)b;
	if (isnan(x))
		return NAN;
	e = cw_keyed_upsert(&m->k, tx);
	if (e == NULL)
		return NAN;
	z = z_score(m, e, x);
	take(m, e, x, tx->timestamp);
	return z;
}

static double moments_score(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct moments *m = CW_CAST(handle, MOMENTS_MAGIC);
	double x = number_of(m, tx, a);

	(void)b;
	return isnan(x) ? NAN : z_score(m, cw_keyed_find(&m->k, tx, NAN), x);
}

static double moments_mean(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct moments *m = CW_CAST(handle, MOMENTS_MAGIC);
	const struct entry *e = cw_keyed_find(&m->k, tx, a);

	(void)b;
	return e != NULL && e->n > 0 ? e->mean : NAN;
}

static double moments_sd(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct moments *m = CW_CAST(handle, MOMENTS_MAGIC);
	const struct entry *e = cw_keyed_find(&m->k, tx, a);

	(void)b;
	return e != NULL && e->n > 0 ? sqrt(variance(m, e)) : NAN;
}

static double moments_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct moments *m = CW_CAST(handle, MOMENTS_MAGIC);
	const struct entry *e = cw_keyed_find(&m->k, tx, a);

	(void)b;
	return e != NULL ? e->n : 0;
}

static struct moments *open_moments(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                                    enum mode mode, struct cw_err *err)
{
	size_t size = mode == MODE_TIME ? sizeof(struct entry) : offsetof(struct entry, weight);
	struct moments *m = cw_keyed_plain(sizeof(*m), MOMENTS_MAGIC, st, root, vals, size, err);

	if (m == NULL)
		return NULL;
	m->mode = mode;
	m->of = vals[W_OF].field;     /* the same place in both lists */
	m->warm = vals[W_WARM].number;
	return m;
}

static void *open_welford(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	return open_moments(st, root, vals, MODE_ALL, err);
}

static void *open_ewma(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	double half_life_s = vals[E_HALF_LIFE].number;
	struct moments *m = open_moments(st, root, vals, half_life_s > 0 ? MODE_TIME : MODE_COUNT, err);

	if (m == NULL)
		return NULL;
	m->alpha = vals[E_ALPHA].number;
	m->half_life_s = half_life_s;
	return m;
}

#define MOMENTS_OPTS \
	CW_KEYED_OPTS, \
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to take; left out: the number is an argument" }, \
	{ .name = "warm", .type = CW_OPT_COUNT, .def = 30, .min = 2, .max = 1e6, \
	  .doc = "numbers that must be known before a score is given" }

static const struct cw_opt welford_opts[] = { MOMENTS_OPTS, { .name = NULL } };
static const struct cw_opt ewma_opts[] = {
	MOMENTS_OPTS,
	{ .name = "alpha", .type = CW_OPT_NUMBER, .def = 0.01, .min = 1e-6, .max = 1,
	  .doc = "weight of a new number; 1/alpha numbers are remembered" },
	{ .name = "half_life", .type = CW_OPT_SPAN, .def = 0, .min = 1, .max = 400 * 86400,
	  .doc = "weights fade with event time instead: half after this long; replaces alpha" },
	{ .name = NULL },
};

static const struct cw_method moments_methods[] = {
	{ .name = "add", .fn = moments_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "z-score of this number against the past, then takes it; nil before `warm` numbers" },
	{ .name = "score", .fn = moments_score, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "z-score of this number against the past, without taking it; nil before `warm` numbers" },
	{ .name = "mean", .fn = moments_mean, .takes_tx = true, .a = CW_ARG_FIELD, .doc = "mean" CW_ARG_LOOKUP_DOC },
	{ .name = "sd", .fn = moments_sd, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "standard deviation" CW_ARG_LOOKUP_DOC },
	{ .name = "count", .fn = moments_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "numbers taken so far" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_stat_welford = {
	.table = "stat", .name = "welford", .version = 1,
	.doc = "Mean and standard deviation of all past numbers of a key, and how many deviations a new one is away.",
	.error = "relative error some 1e-15 times the ratio of mean and deviation (no cancellation of large sums)",
	.memory = "64 bytes a key; O(1)",
	.source = "B. P. Welford, Note on a method for calculating corrected sums of squares and products, Technometrics "
	          "4 (1962)",
	.example = "base = stat.welford { key = \"to\", of = \"gas_price\" }   -- (base:add(tx) or 0) > 6",
	.opts = welford_opts, .methods = moments_methods, .open = open_welford,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

const struct cw_primitive cw_stat_ewma = {
	.table = "stat", .name = "ewma", .version = 1,
	.doc = "Mean and standard deviation of the recent past of a key, older numbers weighing less and less, and how many "
	       "deviations a new one is away.",
	.error = "exact for the weights; the first 1/alpha numbers weigh alike. With half_life a late number counts as new",
	.memory = "64 bytes a key, 128 with half_life; O(1)",
	.source = "T. Finch, Incremental calculation of weighted mean and variance (2009), section 9",
	.example = "base = stat.ewma { of = \"gas_price\", alpha = 0.001 }   -- (base:add(tx) or 0) > 6",
	.opts = ewma_opts, .methods = moments_methods, .open = open_ewma,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
