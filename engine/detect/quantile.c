/* quantile.c - a running quantile of a number for each key, as a limit that adapts. */
#include <math.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/all.h"
#include "detect/ddsketch.h"
#include "detect/keyed.h"

#define QUANTILE_MAGIC 0x5155414eu

enum quantile_opt { OPT_OF = CW_OPT_AT_OWN, OPT_Q, OPT_WARM, OPT_MEMORY, OPT_ERROR, OPT_BINS };

struct quantile {
	struct cw_keyed k;
	enum cw_field of;
	double q, error;
	uint64_t warm, memory;
	uint32_t bins;
};

/* Value of a key. The limit is computed again whenever the past has grown by 1/32. */
struct entry {
	double limit;
	uint64_t due;                 /* 0: no limit yet */
	struct cw_ddsketch sketch;
};

static double number_of(const struct quantile *h, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && h->of != CW_FIELD_NONE ? cw_field_number(tx, h->of) : a;

	return isfinite(x) ? x : NAN;
}

static void take(const struct quantile *h, struct entry *e, double x)
{
	struct cw_ddsketch *s = &e->sketch;

	if (s->bins == 0)
		cw_ddsketch_init(h->k.st, s, h->bins, h->error);
	cw_ddsketch_add(h->k.st, s, x);
	if (h->memory > 0 && s->count >= h->memory)
		cw_ddsketch_halve(h->k.st, s);
	else if (s->count < (e->due > 0 ? e->due : h->warm))
		return;
	if (s->count == 0)
		return;
	cw_state_touch(h->k.st, e, offsetof(struct entry, sketch));
	e->limit = cw_ddsketch_quantile(s, h->q);
	e->due = s->count + s->count / 32 + 1;
}

static double quantile_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct quantile *h = CW_CAST(handle, QUANTILE_MAGIC);
	double x = number_of(h, tx, a), above;
	struct entry *e;

	(void)b;
	if (isnan(x))
		return NAN;
	e = cw_keyed_upsert(&h->k, tx);
	if (e == NULL)
		return NAN;
	above = e->due > 0 && x > e->limit;
	take(h, e, x);
	return above;
}

static double quantile_above(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct quantile *h = CW_CAST(handle, QUANTILE_MAGIC);
	const struct entry *e = cw_keyed_find(&h->k, tx, NAN);

	(void)b;
	return e != NULL && e->due > 0 && number_of(h, tx, a) > e->limit;
}

static double quantile_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct quantile *h = CW_CAST(handle, QUANTILE_MAGIC);
	const struct entry *e = cw_keyed_find(&h->k, tx, b);

	if (e == NULL || e->sketch.count == 0 || (isnan(a) && e->due == 0))
		return NAN;
	return isnan(a) ? e->limit : cw_ddsketch_quantile(&e->sketch, a);
}

static double quantile_rank(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct quantile *h = CW_CAST(handle, QUANTILE_MAGIC);
	const struct entry *e = cw_keyed_find(&h->k, tx, NAN);

	(void)b;
	return e != NULL && e->sketch.count > 0 ? cw_ddsketch_rank(&e->sketch, number_of(h, tx, a)) : NAN;
}

static double quantile_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct quantile *h = CW_CAST(handle, QUANTILE_MAGIC);
	const struct entry *e = cw_keyed_find(&h->k, tx, a);

	(void)b;
	return e != NULL ? (double)e->sketch.count : 0;
}

static void *quantile_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                           struct cw_err *err)
{
	uint32_t bins = (uint32_t)vals[OPT_BINS].number;
	struct cw_keyed_conf conf = { .magic = QUANTILE_MAGIC, .handle_size = sizeof(struct quantile), .touch_parts = true };
	struct quantile *h;

	if (bins == 0)
		bins = vals[CW_OPT_AT_KEY].key == 0 ? 2048 : 128;
	if (bins < CW_DDSKETCH_BINS_MIN) {
		cw_err_set(err, CW_ERR_INVALID, "stat.quantile: option \"bins\" must be 0 or at least %d", CW_DDSKETCH_BINS_MIN);
		return NULL;
	}
	conf.value_size = offsetof(struct entry, sketch) + cw_ddsketch_size(bins);
	h = cw_keyed_new(&conf, st, root, vals, err);
	if (h == NULL)
		return NULL;
	h->of = vals[OPT_OF].field;
	h->q = vals[OPT_Q].number;
	h->warm = (uint64_t)vals[OPT_WARM].number;
	h->memory = (uint64_t)vals[OPT_MEMORY].number;
	h->error = vals[OPT_ERROR].number;
	h->bins = bins;
	return h;
}

static const struct cw_opt quantile_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to take; left out: the number is an argument" },
	{ .name = "q", .type = CW_OPT_NUMBER, .def = 0.99, .min = 0, .max = 1, .doc = "the quantile that is the limit" },
	{ .name = "warm", .type = CW_OPT_COUNT, .def = 100, .min = 1, .max = 1e9,
	  .doc = "numbers that must be known before there is a limit" },
	{ .name = "memory", .type = CW_OPT_COUNT, .def = 0, .min = 64, .max = 4e9,
	  .doc = "when this many are known, all counts are halved, so that the past fades; left out: never" },
	{ .name = "error", .type = CW_OPT_NUMBER, .def = 0.01, .min = 1e-4, .max = 0.5,
	  .doc = "relative error of the sketch while its bins suffice" },
	{ .name = "bins", .type = CW_OPT_COUNT, .def = 0, .min = 0, .max = CW_DDSKETCH_BINS_MAX,
	  .doc = "bins of the sketch; 0: 128 with a key, 2048 without" },
	{ .name = NULL },
};

static const struct cw_method quantile_methods[] = {
	{ .name = "add", .fn = quantile_add, .takes_tx = true, .a = CW_ARG_NUMBER, .result = CW_RESULT_BOOL,
	  .doc = "true if this number is above the limit of the past; then takes it. False before `warm` numbers" },
	{ .name = "above", .fn = quantile_above, .takes_tx = true, .a = CW_ARG_NUMBER, .result = CW_RESULT_BOOL,
	  .doc = "the same without taking it" },
	{ .name = "get", .fn = quantile_get, .takes_tx = true, .a = CW_ARG_NUMBER, .b = CW_ARG_FIELD,
	  .doc = "the limit, nil before `warm` numbers; with an argument that quantile (0 to 1) instead" },
	{ .name = "rank", .fn = quantile_rank, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "share of the past below this number, 0 to 1; nil if there is none" },
	{ .name = "count", .fn = quantile_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "numbers the past consists of (after halving)" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_stat_quantile = {
	.table = "stat", .name = "quantile", .version = 1,
	.doc = "A running quantile of a number: a limit that adapts to the traffic, and where a number stands in its past. "
	       "Numbers below or at 0 are one and the same.",
	.error = "limit within `error` of a number of that rank while the bins suffice, about doubled each time they do not "
	         "(128 bins: 4 % for numbers that span a factor of 5000, 8 % for 10^7, 17 % for 10^15), of a past at most "
	         "1/32 shorter; sketches merge",
	.memory = "640 bytes a key with 128 bins, 8.3 KB with 2048; add O(1), rank and get with an argument O(bins)",
	.source = "C. Masson, J. Rim, H. Lee, DDSketch, VLDB 2019; I. Epicoco and others, UDDSketch, IEEE Access 2020",
	.example = "cut = stat.quantile { q = 0.99, memory = 100000 }   -- cut:add(tx, score)",
	.opts = quantile_opts, .methods = quantile_methods, .open = quantile_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
