/* shares.c - how a key's past is spread over classes: histogram of a number, first digits (Benford), entropy.
 *
 * All three count classes in 32 bits each and, with the option "memory", halve all counts when that many are known. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/all.h"
#include "detect/keyed.h"
#include "detect/num.h"

#define SHARES_MAGIC 0x53484152u
#define LN2 0.69314718055994531

enum kind { HISTOGRAM, BENFORD, ENTROPY };

struct shares {
	struct cw_keyed k;
	enum kind kind;
	enum cw_field of;             /* HISTOGRAM, BENFORD */
	cw_fieldset things;           /* ENTROPY */
	uint32_t classes;
	uint64_t warm, memory;
	double lo, hi;                /* HISTOGRAM; logarithms if log */
	bool log;
};

/* Value of a key. */
struct entry {
	uint64_t count;
	double sum;                   /* ENTROPY: of n ln n */
	uint32_t n[];
};

static double number_of(const struct shares *s, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && s->of != CW_FIELD_NONE ? cw_field_number(tx, s->of) : a;

	return isfinite(x) ? x : NAN;
}

/* First significant digit of x > 0, 1 to 9. */
static int first_digit(double x)
{
	while (x >= 1e16)
		x /= 1e16;
	while (x >= 10)
		x /= 10;
	while (x < 1)
		x *= 10;
	return (int)x;
}

/* The class of this transaction, or -1. A histogram has one class below its range and one above. */
static int64_t class_of(const struct shares *s, const struct cw_tx *tx, double a)
{
	uint64_t hash;
	double x;

	if (s->kind == ENTROPY) {
		if (isnan(a))
			return cw_fieldset_hash(tx, s->things, &hash) ? (int64_t)(hash % s->classes) : -1;
		hash = cw_hash64(&a, sizeof(a), 0);
		return (int64_t)(hash % s->classes);
	}
	x = number_of(s, tx, a);
	if (isnan(x))
		return -1;
	if (s->kind == BENFORD)
		return x > 0 ? first_digit(x) - 1 : -1;
	if (s->log)
		x = cw_ln(x);
	if (!(x >= s->lo))
		return 0;
	if (x >= s->hi)
		return s->classes - 1;
	return 1 + (int64_t)((x - s->lo) / (s->hi - s->lo) * (s->classes - 2));
}

static double n_ln_n(uint32_t n)
{
	return n > 1 ? n * cw_ln(n) : 0;
}

static void halve(struct shares *s, struct entry *e)
{
	cw_state_touch(s->k.st, e, sizeof(*e) + s->classes * sizeof(e->n[0]));
	e->count = 0;
	e->sum = 0;
	for (uint32_t i = 0; i < s->classes; i++) {
		e->n[i] /= 2;
		e->count += e->n[i];
		if (s->kind == ENTROPY)
			e->sum += n_ln_n(e->n[i]);
	}
}

static void take(struct shares *s, struct entry *e, int64_t class)
{
	uint32_t *n = &e->n[class];

	cw_state_touch(s->k.st, e, sizeof(*e));
	cw_state_touch(s->k.st, n, sizeof(*n));
	if (*n == UINT32_MAX)
		halve(s, e);
	if (s->kind == ENTROPY)
		e->sum += n_ln_n(*n + 1) - n_ln_n(*n);
	++*n;
	e->count++;
	if (s->memory > 0 && e->count >= s->memory)
		halve(s, e);
}

/* Bits of surprise at one more of a class: -log2 of its share when every class has been seen half a time more
 * (Krichevsky-Trofimov, so that nothing is impossible). */
static double surprise(const struct shares *s, const struct entry *e, int64_t class)
{
	double n = e != NULL ? e->n[class] : 0, count = e != NULL ? (double)e->count : 0;

	return -cw_ln((n + 0.5) / (count + 0.5 * s->classes)) / LN2;
}

static double shares_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	int64_t class = class_of(s, tx, a);
	struct entry *e;
	double bits;

	(void)b;
	if (class < 0)
		return NAN;
	e = cw_keyed_upsert(&s->k, tx);
	if (e == NULL)
		return NAN;
	bits = e->count >= s->warm ? surprise(s, e, class) : NAN;
	take(s, e, class);
	return bits;
}

static double shares_surprise(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, NAN);
	int64_t class = class_of(s, tx, a);

	(void)b;
	return class >= 0 && e != NULL && e->count >= s->warm ? surprise(s, e, class) : NAN;
}

static double shares_share(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, NAN);
	int64_t class = class_of(s, tx, a);

	(void)b;
	return class >= 0 && e != NULL && e->count > 0 ? e->n[class] / (double)e->count : NAN;
}

static double shares_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, a);

	(void)b;
	return e != NULL ? (double)e->count : 0;
}

static double shares_entropy(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, a);
	double bits;

	(void)b;
	if (e == NULL || e->count == 0)
		return NAN;
	bits = (cw_ln((double)e->count) - e->sum / (double)e->count) / LN2;
	return bits > 0 ? bits : 0;   /* rounding, when there is one class only */
}

/* Share that Benford's law gives to a first digit: log10(1 + 1/d). */
static double benford(uint32_t digit)
{
	return cw_ln(1 + 1.0 / digit) / 2.30258509299404568;
}

static double benford_deviation(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, a);
	double sum = 0;

	(void)b;
	if (e == NULL || e->count < s->warm || e->count == 0)
		return NAN;
	for (uint32_t i = 0; i < 9; i++)
		sum += fabs(e->n[i] / (double)e->count - benford(i + 1));
	return sum / 9;
}

static double benford_chi2(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct shares *s = CW_CAST(handle, SHARES_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, a);
	double sum = 0;

	(void)b;
	if (e == NULL || e->count < s->warm || e->count == 0)
		return NAN;
	for (uint32_t i = 0; i < 9; i++) {
		double want = benford(i + 1) * (double)e->count;

		sum += (e->n[i] - want) * (e->n[i] - want) / want;
	}
	return sum;
}

/* ---------------------------------------------------------------- options */

static struct shares *open_shares(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                                  enum kind kind, uint32_t classes, struct cw_err *err)
{
	const struct cw_keyed_conf conf = {
		.magic = SHARES_MAGIC, .handle_size = sizeof(struct shares),
		.value_size = sizeof(struct entry) + classes * sizeof(uint32_t), .touch_parts = true,
	};
	struct shares *s = cw_keyed_new(&conf, st, root, vals, err);

	if (s == NULL)
		return NULL;
	s->kind = kind;
	s->classes = classes;
	s->warm = (uint64_t)vals[CW_OPT_AT_OWN + 1].number;      /* the same places in all three lists */
	s->memory = (uint64_t)vals[CW_OPT_AT_OWN + 2].number;
	return s;
}

#define WARM_OPT(n) \
	{ .name = "warm", .type = CW_OPT_COUNT, .def = (n), .min = 1, .max = 1e9, \
	  .doc = "transactions that must be known before there is an answer" }, \
	{ .name = "memory", .type = CW_OPT_COUNT, .def = 0, .min = 64, .max = 4e9, \
	  .doc = "when this many are known, all counts are halved, so that the past fades; left out: never" }
#define FIELD_OPT \
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to take; left out: the number is an argument" }

enum histogram_opt { H_OF = CW_OPT_AT_OWN, H_WARM, H_MEMORY, H_LO, H_HI, H_BINS, H_SCALE };
static const struct cw_opt histogram_opts[] = {
	CW_KEYED_OPTS, FIELD_OPT, WARM_OPT(100),
	{ .name = "lo", .type = CW_OPT_NUMBER, .required = true, .min = -1e300, .max = 1e300,
	  .doc = "lower end of the range" },
	{ .name = "hi", .type = CW_OPT_NUMBER, .required = true, .min = -1e300, .max = 1e300,
	  .doc = "upper end of the range" },
	{ .name = "bins", .type = CW_OPT_COUNT, .def = 32, .min = 2, .max = 4096,
	  .doc = "bins of equal width between lo and hi; two more hold what is below and above" },
	{ .name = "scale", .type = CW_OPT_TEXT, .def_text = "linear",
	  .doc = "\"linear\" or \"log\" (then lo must be above 0)" },
	{ .name = NULL },
};

static void *histogram_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                            struct cw_err *err)
{
	double lo = vals[H_LO].number, hi = vals[H_HI].number;
	bool log = strcmp(vals[H_SCALE].text, "log") == 0;
	struct shares *s;

	if (!log && strcmp(vals[H_SCALE].text, "linear") != 0) {
		cw_err_set(err, CW_ERR_INVALID, "stat.histogram: option \"scale\" must be \"log\" or \"linear\", not \"%.40s\"",
		           vals[H_SCALE].text);
		return NULL;
	}
	if (!(lo < hi) || (log && !(lo > 0))) {
		cw_err_set(err, CW_ERR_INVALID, "stat.histogram: option \"lo\" must be below \"hi\"%s", log ? " and above 0" : "");
		return NULL;
	}
	s = open_shares(st, root, vals, HISTOGRAM, (uint32_t)vals[H_BINS].number + 2, err);
	if (s == NULL)
		return NULL;
	s->of = vals[H_OF].field;
	s->log = log;
	s->lo = log ? cw_ln(lo) : lo;
	s->hi = log ? cw_ln(hi) : hi;
	return s;
}

static const struct cw_opt benford_opts[] = { CW_KEYED_OPTS, FIELD_OPT, WARM_OPT(200), { .name = NULL } };

static void *benford_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	struct shares *s = open_shares(st, root, vals, BENFORD, 9, err);

	if (s != NULL)
		s->of = vals[CW_OPT_AT_OWN].field;
	return s;
}

static const struct cw_opt entropy_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_KEY, .required = true, .doc = "field or fields whose spread is measured" },
	WARM_OPT(30),
	{ .name = "cells", .type = CW_OPT_COUNT, .def = 64, .min = 4, .max = 4096,
	  .doc = "classes into which values are hashed" },
	{ .name = NULL },
};

static void *entropy_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	struct shares *s = open_shares(st, root, vals, ENTROPY, (uint32_t)vals[CW_OPT_AT_OWN + 3].number, err);

	if (s != NULL)
		s->things = vals[CW_OPT_AT_OWN].key;
	return s;
}

/* ---------------------------------------------------------------- declarations */

#define METHODS(what) \
	{ .name = "add", .fn = shares_add, .takes_tx = true, .a = CW_ARG_NUMBER, \
	  .doc = "surprise of this " what " in bits (-log2 of its share of the past), then takes it; nil before `warm`" }, \
	{ .name = "surprise", .fn = shares_surprise, .takes_tx = true, .a = CW_ARG_NUMBER, \
	  .doc = "the same without taking it" }, \
	{ .name = "share", .fn = shares_share, .takes_tx = true, .a = CW_ARG_NUMBER, \
	  .doc = "share of this " what " in the past, nil if there is none" }, \
	{ .name = "count", .fn = shares_count, .takes_tx = true, .a = CW_ARG_FIELD, \
	  .doc = "transactions the past consists of (after halving)" CW_ARG_LOOKUP_DOC }

static const struct cw_method histogram_methods[] = { METHODS("number's bin"), { .name = NULL } };
static const struct cw_method benford_methods[] = {
	METHODS("first digit"),
	{ .name = "deviation", .fn = benford_deviation, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "mean distance of the nine shares from Benford's law, nil before `warm` (above 0.015 does not conform)"
	         CW_ARG_LOOKUP_DOC },
	{ .name = "chi2", .fn = benford_chi2, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "chi-squared distance with 8 degrees of freedom, nil before `warm` (15.5 is exceeded by chance in 5 %)"
	         CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method entropy_methods[] = {
	METHODS("value"),
	{ .name = "bits", .fn = shares_entropy, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "entropy of the values in bits: 0 for one value, log2 n for n equally frequent ones" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

#define SHARED .close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch

const struct cw_primitive cw_stat_histogram = {
	.table = "stat", .name = "histogram", .version = 1,
	.doc = "Counts of a number in fixed bins: how common a number like this one is for the key.",
	.error = "exact counts; shares of a new bin start from half a count (Krichevsky-Trofimov)",
	.memory = "64 + 4 (bins + 2) bytes a key, rounded up to 64 (192 with 32 bins); O(1)",
	.source = "R. Krichevsky, V. Trofimov, The performance of universal encoding, IEEE Trans. Inf. Theory 27 (1981)",
	.example = "sizes = stat.histogram { key = \"to\", of = \"input_size\", lo = 1, hi = 1e5, scale = \"log\" }   "
	           "-- (sizes:add(tx) or 0) > 10",
	.opts = histogram_opts, .methods = histogram_methods, .open = histogram_open, SHARED,
};
const struct cw_primitive cw_stat_benford = {
	.table = "stat", .name = "benford", .version = 1,
	.doc = "First digits of a key's amounts against Benford's law: made-up amounts and wash trades do not follow it.",
	.error = "chance alone gives a deviation of some 0.25 / sqrt(count)", .memory = "128 bytes a key; O(1)",
	.source = "F. Benford, The law of anomalous numbers, Proc. Am. Phil. Soc. 78 (1938); M. Nigrini, Benford's law "
	          "(2012), chapter 7 (limits of the mean absolute deviation)",
	.example = "digits = stat.benford { key = \"from\", of = \"value\" }   -- (digits:deviation(tx) or 0) > 0.03",
	.opts = benford_opts, .methods = benford_methods, .open = benford_open, SHARED,
};
const struct cw_primitive cw_stat_entropy = {
	.table = "stat", .name = "entropy", .version = 1,
	.doc = "How evenly a key's transactions are spread over receivers, selectors or other values, and how unusual this "
	       "one's value is.",
	.error = "values that are hashed into the same cell count as one: entropy ends at log2 cells",
	.memory = "64 + 4 cells bytes a key, rounded up to 64 (320 with 64); O(1), two logarithms",
	.source = "C. E. Shannon, A mathematical theory of communication (1948), section 6",
	.example = "spread = stat.entropy { key = \"from\", of = \"to\" }   "
	           "-- (spread:add(tx) or 0) > 6 and spread:bits(tx) < 1",
	.opts = entropy_opts, .methods = entropy_methods, .open = entropy_open, SHARED,
};
