/* robust.c - how far a number is from the median of a key's past, in robust deviations.
 *
 * The past is a DDSketch for each key; its median and spread are kept with the key and computed again whenever the
 * past has grown by 1/32, so that scoring reads one line and adding writes two. The spread is 1.4826 times the median
 * of the distances to the median (MAD), which is the standard deviation where the numbers are normal; where more than
 * half of the past is one and the same number, 1.2533 times the mean distance (Iglewicz and Hoaglin, How to detect and
 * handle outliers, 1993). It is never less than the sketch can tell apart. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/all.h"
#include "detect/ddsketch.h"
#include "detect/keyed.h"
#include "detect/num.h"

#define ROBUST_MAGIC 0x524f4255u
#define Z_MAX 1e6

enum robust_opt {
	OPT_OF = CW_OPT_AT_OWN, OPT_SCALE, OPT_WARM, OPT_MEMORY, OPT_MIN, OPT_MIN_SPREAD, OPT_ERROR, OPT_BINS
};

struct robust {
	struct cw_keyed k;
	enum cw_field of;
	int log;
	uint32_t bins, warm, memory;
	double min, min_spread, error;
};

/* Value of a key: what a score needs, and where its past is. */
struct entry {
	double median;                /* of the numbers or, on a log scale, of their logarithms */
	double spread;                /* 0: not known yet */
	uint64_t due;                 /* count at which median and spread are computed again */
	struct cw_ddsketch sketch;
};

static double on_scale(const struct robust *r, double x)
{
	return r->log == 0 ? x : x > 1 ? cw_ln(x) : 0;
}

static double number_of(const struct robust *r, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && r->of != CW_FIELD_NONE ? cw_field_number(tx, r->of) : a;

	return x >= r->min && isfinite(x) ? x : NAN;
}

static double z_score(const struct robust *r, const struct entry *e, double x)
{
	double z;

	if (e == NULL || e->spread == 0)
		return NAN;
	z = (on_scale(r, x) - e->median) / e->spread;
	return z > Z_MAX ? Z_MAX : z < -Z_MAX ? -Z_MAX : z;
}

static void refresh(const struct robust *r, struct entry *e)
{
	const struct cw_ddsketch *s = &e->sketch;
	double median = cw_ddsketch_quantile(s, 0.5);
	double spread = 1.4826 * cw_ddsketch_mad(s, median, r->log);
	double error = cw_ddsketch_error(s), finest = r->log != 0 ? cw_ln(1 + error) : error * median;

	if (spread <= 2 * finest)
		spread = fmax(spread, 1.2533 * cw_ddsketch_mean_deviation(s, median, r->log));
	spread = fmax(fmax(spread, finest), r->min_spread);
	e->median = on_scale(r, median);
	e->spread = spread > 0 ? spread : 1e-9;   /* all zeros on a linear scale: anything else is far off */
	e->due = s->count + s->count / 32 + 1;
}

static void take(const struct robust *r, struct entry *e, double x)
{
	struct cw_ddsketch *s = &e->sketch;

	cw_state_touch(r->k.st, e, offsetof(struct entry, sketch));
	if (s->bins == 0) {
		cw_ddsketch_init(r->k.st, s, r->bins, r->error);
		e->due = r->warm;
	}
	cw_ddsketch_add(r->k.st, s, x);
	if (s->count >= r->memory) {
		cw_ddsketch_halve(r->k.st, s);
		e->due = 0;
	}
	if (s->count >= e->due && s->count > 0)
		refresh(r, e);
}

static double robust_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct robust *r = CW_CAST(handle, ROBUST_MAGIC);
	double x = number_of(r, tx, a), z;
	struct entry *e;

	(void)b;
	if (isnan(x))
		return NAN;
	e = cw_keyed_upsert(&r->k, tx);
	if (e == NULL)
		return NAN;
	z = z_score(r, e, x);
	take(r, e, x);
	return z;
}

static double robust_score(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct robust *r = CW_CAST(handle, ROBUST_MAGIC);
	double x = number_of(r, tx, a);

	(void)b;
	return isnan(x) ? NAN : z_score(r, cw_keyed_find(&r->k, tx, NAN), x);
}

static double robust_median(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct robust *r = CW_CAST(handle, ROBUST_MAGIC);
	const struct entry *e = cw_keyed_find(&r->k, tx, a);

	(void)b;
	if (e == NULL || e->spread == 0)
		return NAN;
	return r->log != 0 ? cw_exp(e->median) : e->median;
}

static double robust_spread(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct robust *r = CW_CAST(handle, ROBUST_MAGIC);
	const struct entry *e = cw_keyed_find(&r->k, tx, a);

	(void)b;
	return e != NULL && e->spread != 0 ? e->spread : NAN;
}

static double robust_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct robust *r = CW_CAST(handle, ROBUST_MAGIC);
	const struct entry *e = cw_keyed_find(&r->k, tx, a);

	(void)b;
	return e != NULL ? (double)e->sketch.count : 0;
}

static void *robust_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	const char *scale = vals[OPT_SCALE].text;
	uint32_t bins = (uint32_t)vals[OPT_BINS].number;
	struct cw_keyed_conf conf = { .magic = ROBUST_MAGIC, .handle_size = sizeof(struct robust), .touch_parts = true };
	struct robust *r;

	if (strcmp(scale, "log") != 0 && strcmp(scale, "linear") != 0) {
		cw_err_set(err, CW_ERR_INVALID, "stat.robust: option \"scale\" must be \"log\" or \"linear\", not \"%.40s\"",
		           scale);
		return NULL;
	}
	if (bins == 0)
		bins = vals[CW_OPT_AT_KEY].key == 0 ? 2048 : 128;
	if (bins < CW_DDSKETCH_BINS_MIN) {
		cw_err_set(err, CW_ERR_INVALID, "stat.robust: option \"bins\" must be 0 or at least %d",
		           CW_DDSKETCH_BINS_MIN);
		return NULL;
	}
	conf.value_size = offsetof(struct entry, sketch) + cw_ddsketch_size(bins);
	r = cw_keyed_new(&conf, st, root, vals, err);
	if (r == NULL)
		return NULL;
	r->of = vals[OPT_OF].field;
	r->log = strcmp(scale, "log") == 0;
	r->bins = bins;
	r->warm = (uint32_t)vals[OPT_WARM].number;
	r->memory = (uint32_t)vals[OPT_MEMORY].number;
	r->min = vals[OPT_MIN].number;
	r->min_spread = vals[OPT_MIN_SPREAD].number;
	r->error = vals[OPT_ERROR].number;
	return r;
}

static const struct cw_opt robust_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to take; left out: the number is an argument" },
	{ .name = "scale", .type = CW_OPT_TEXT, .def_text = "log",
	  .doc = "\"log\": distances between logarithms, for amounts that span decades (numbers below 1 count as 1); "
	         "\"linear\": between the numbers" },
	{ .name = "warm", .type = CW_OPT_COUNT, .def = 30, .min = 5, .max = 1e6,
	  .doc = "numbers that must be known before a score is given" },
	{ .name = "memory", .type = CW_OPT_COUNT, .def = 10000, .min = 64, .max = 4e9,
	  .doc = "when this many are known, all counts are halved, so that the past fades" },
	{ .name = "min", .type = CW_OPT_NUMBER, .def = 0, .min = 0, .max = 1e300,
	  .doc = "smaller numbers are neither taken nor scored" },
	{ .name = "min_spread", .type = CW_OPT_NUMBER, .def = 0, .min = 0, .max = 1e300,
	  .doc = "least spread that is assumed, in the unit of the scale" },
	{ .name = "error", .type = CW_OPT_NUMBER, .def = 0.01, .min = 1e-4, .max = 0.5,
	  .doc = "relative error of the sketch while its bins suffice" },
	{ .name = "bins", .type = CW_OPT_COUNT, .def = 0, .min = 0, .max = 65536,
	  .doc = "bins of the sketch; 0: 128 with a key, 2048 without" },
	{ .name = NULL },
};

static const struct cw_method robust_methods[] = {
	{ .name = "add", .fn = robust_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "robust z-score of this number against the past, then takes it; nil before `warm` numbers" },
	{ .name = "score", .fn = robust_score, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "robust z-score of this number against the past, without taking it; nil before `warm` numbers" },
	{ .name = "median", .fn = robust_median, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "median of the past, nil before `warm` numbers" CW_ARG_LOOKUP_DOC },
	{ .name = "spread", .fn = robust_spread, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "robust standard deviation, of the logarithms on a log scale" CW_ARG_LOOKUP_DOC },
	{ .name = "count", .fn = robust_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "numbers the past consists of (after halving)" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};


const struct cw_primitive cw_stat_robust = {
	.table = "stat", .name = "robust", .version = 1,
	.doc = "How far a number is from the median of a key's past, in robust standard deviations (median and MAD): a few "
	       "wild numbers in the past do not widen the measure.",
	.error = "median within `error` while the bins suffice, about doubled each time they do not (128 bins: 4 % for "
	         "numbers that span a factor of 5000, 8 % for 10^7, 17 % for 10^15); median and spread are those of a past at "
	         "most 1/32 shorter",
	.memory = "640 bytes a key with 128 bins, 8.3 KB with 2048; O(1), a walk over the bins each time the past has grown "
	          "by 1/32",
	.source = "B. Iglewicz, D. Hoaglin, How to detect and handle outliers (1993); C. Masson, J. Rim, H. Lee, DDSketch "
	          "(VLDB 2019); I. Epicoco and others, UDDSketch (IEEE Access 2020)",
	.example = "amount = stat.robust { of = \"value\", min = 1 }   -- (amount:add(tx) or 0) > 5",
	.opts = robust_opts, .methods = robust_methods, .open = robust_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
