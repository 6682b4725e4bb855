/* sketch_prims.c - the sketches hll, cms, topk, bloom and reservoir as primitives, one sketch a key.
 *
 * With the option "every" a sketch starts anew at each multiple of that span of event time; a transaction that comes
 * late counts in the newest period. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/all.h"
#include "detect/bloom.h"
#include "detect/cms.h"
#include "detect/hll.h"
#include "detect/keyed.h"
#include "detect/reservoir.h"
#include "detect/topk.h"

#define SKETCH_MAGIC 0x534b4554u

enum sketch_opt { OPT_OF = CW_OPT_AT_OWN, OPT_EVERY, OPT_SIZE };

struct sketch {
	struct cw_keyed k;
	cw_fieldset of;
	enum cw_field number;         /* of sketch.sample */
	uint64_t every_s;             /* 0: never anew */
	uint32_t size;                /* bits, lines or items */
	uint64_t seed;
	struct cw_bloom_conf bloom;
};

#define EVERY_OPT \
	{ .name = "every", .type = CW_OPT_SPAN, .def = 0, .min = 60, .max = 400 * 86400, \
	  .doc = "starts anew at each multiple of this span of event time; left out: never" }
#define OF_KEY_OPT \
	{ .name = "of", .type = CW_OPT_KEY, .required = true, .doc = "field or fields that make up a thing" }

static struct sketch *open_sketch(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                                  size_t value_size, cw_dict_evict_fn *evict, struct cw_err *err)
{
	const struct cw_keyed_conf conf = {
		.magic = SKETCH_MAGIC, .handle_size = sizeof(struct sketch), .value_size = value_size,
		.touch_parts = true, .evict = evict,
	};
	struct sketch *s = cw_keyed_new(&conf, st, root, vals, err);

	if (s == NULL)
		return NULL;
	s->of = vals[OPT_OF].key;
	s->every_s = (uint64_t)vals[OPT_EVERY].number;
	return s;
}

/* Number of the period of a time, from 1 on. */
static uint32_t period_of(const struct sketch *s, int64_t time)
{
	return s->every_s == 0 ? 1 : (uint32_t)(cw_time32(time) / s->every_s) + 1;
}

/* A reader's view: false when the period of the entry is over at the transaction's time. */
static bool is_current(const struct sketch *s, const struct cw_tx *tx, uint32_t period)
{
	return period_of(s, tx->timestamp) <= period;
}

/* ---------------------------------------------------------------- sketch.distinct */

struct distinct { uint32_t period, pad; struct cw_hll hll; };

static double distinct_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	uint32_t period = period_of(s, tx->timestamp);
	struct distinct *d;
	uint64_t hash;

	(void)a;
	(void)b;
	if (!cw_fieldset_hash(tx, s->of, &hash))
		return NAN;
	d = cw_keyed_upsert(&s->k, tx);
	if (d == NULL)
		return NAN;
	if (period > d->period) {
		cw_state_touch(s->k.st, d, offsetof(struct distinct, hll));
		d->period = period;
		cw_hll_init(s->k.st, &d->hll, s->size);
	}
	cw_hll_add(s->k.st, &d->hll, hash);
	return cw_hll_count(&d->hll);
}

static double distinct_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	const struct distinct *d = cw_keyed_find(&s->k, tx, a);

	(void)b;
	return d != NULL && d->period > 0 && is_current(s, tx, d->period) ? cw_hll_count(&d->hll) : 0;
}

static void *distinct_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                           struct cw_err *err)
{
	uint32_t bits = (uint32_t)vals[OPT_SIZE].number;
	struct sketch *s = open_sketch(st, root, vals, offsetof(struct distinct, hll) + cw_hll_size(bits), NULL, err);

	if (s != NULL)
		s->size = bits;
	return s;
}

static const struct cw_opt distinct_opts[] = {
	CW_KEYED_OPTS, OF_KEY_OPT, EVERY_OPT,
	{ .name = "precision", .type = CW_OPT_COUNT, .def = 12, .min = CW_HLL_BITS_MIN, .max = CW_HLL_BITS_MAX,
	  .doc = "the sketch has 2^precision registers of a byte" },
	{ .name = NULL },
};
static const struct cw_method distinct_methods[] = {
	{ .name = "add", .fn = distinct_add, .takes_tx = true,
	  .doc = "number of different things so far, this one included (estimate)" },
	{ .name = "get", .fn = distinct_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "number of different things so far (estimate)" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

/* ---------------------------------------------------------------- sketch.count */

struct count { uint64_t total; uint32_t period; cw_ref lines; };

static void count_evict(struct cw_state *st, uint32_t owner, void *value, void *arg)
{
	const struct sketch *s = arg;
	const struct count *c = value;

	cw_state_free(st, owner, c->lines, s->size * sizeof(struct cw_cms_line));
}

static double count_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	uint32_t period = period_of(s, tx->timestamp), n = 1;
	size_t size = s->size * sizeof(struct cw_cms_line);
	struct cw_cms_line *lines;
	struct count *c;
	uint64_t hash;
	void *value;

	(void)b;
	if (!isnan(a)) {
		if (!(a >= 0))
			return NAN;
		n = a < 4294967295.0 ? (uint32_t)a : UINT32_MAX;
	}
	if (!cw_fieldset_hash(tx, s->of, &hash))
		return NAN;
	value = c = cw_keyed_upsert(&s->k, tx);
	if (c != NULL && c->lines == 0) {
		cw_ref ref = cw_keyed_alloc(&s->k, tx, size, &value);

		c = value;
		if (c != NULL && ref != 0) {
			cw_state_touch(s->k.st, c, sizeof(*c));
			c->lines = ref;
			c->period = period;
		} else {
			cw_state_free(s->k.st, s->k.root->owner, ref, size);
		}
	}
	if (c == NULL || c->lines == 0)
		return NAN;
	lines = cw_state_ptr(s->k.st, c->lines);
	cw_state_touch(s->k.st, c, sizeof(*c));
	if (period > c->period) {
		cw_state_touch(s->k.st, lines, size);
		memset(lines, 0, size);
		c->period = period;
		c->total = 0;
	}
	c->total += n;
	return cw_cms_add(s->k.st, lines, s->size, hash, n);
}

static const struct count *count_look(const struct sketch *s, const struct cw_tx *tx)
{
	const struct count *c = cw_keyed_find(&s->k, tx, NAN);

	return c != NULL && c->lines != 0 && is_current(s, tx, c->period) ? c : NULL;
}

static double count_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	const struct count *c = count_look(s, tx);
	uint64_t hash;

	(void)a;
	(void)b;
	if (!cw_fieldset_hash(tx, s->of, &hash))
		return NAN;
	return c != NULL ? cw_cms_count(cw_state_ptr(s->k.st, c->lines), s->size, hash) : 0;
}

static double count_total(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct count *c = count_look(CW_CAST(handle, SKETCH_MAGIC), tx);

	(void)a;
	(void)b;
	return c != NULL ? (double)c->total : 0;
}

static double count_share(void *handle, const struct cw_tx *tx, double a, double b)
{
	double total = count_total(handle, tx, a, b);

	return total > 0 ? count_get(handle, tx, a, b) / total : NAN;
}

static void *count_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	struct sketch *s = open_sketch(st, root, vals, sizeof(struct count), count_evict, err);

	if (s == NULL)
		return NULL;
	for (s->size = 1; s->size * CW_CMS_LINE < vals[OPT_SIZE].number;)
		s->size *= 2;
	return s;
}

static const struct cw_opt count_opts[] = {
	CW_KEYED_OPTS, OF_KEY_OPT, EVERY_OPT,
	{ .name = "cells", .type = CW_OPT_COUNT, .def = 65536, .min = 256, .max = 4194304,
	  .doc = "counters of 4 bytes, rounded up to a power of two" },
	{ .name = NULL },
};
static const struct cw_method count_methods[] = {
	{ .name = "add", .fn = count_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "counts this thing (by the argument, 1 by default); its count so far, this one included" },
	{ .name = "get", .fn = count_get, .takes_tx = true, .doc = "this thing's count so far" },
	{ .name = "total", .fn = count_total, .takes_tx = true, .doc = "count of all things" },
	{ .name = "share", .fn = count_share, .takes_tx = true, .doc = "this thing's share of all, nil if there are none" },
	{ .name = NULL },
};

/* ---------------------------------------------------------------- sketch.top */

struct top { uint32_t period, pad; struct cw_topk topk; };

static double top_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	uint32_t period = period_of(s, tx->timestamp);
	struct top *t;
	uint64_t hash;

	(void)b;
	if (!cw_fieldset_hash(tx, s->of, &hash))
		return NAN;
	if (!isnan(a) && !(a > 0 && isfinite(a)))
		return NAN;
	t = cw_keyed_upsert(&s->k, tx);
	if (t == NULL)
		return NAN;
	if (period > t->period) {
		cw_state_touch(s->k.st, t, offsetof(struct top, topk));
		t->period = period;
		cw_topk_init(s->k.st, &t->topk, s->size);
	}
	return cw_topk_add(s->k.st, &t->topk, hash, isnan(a) ? 1 : a)->weight;
}

static const struct cw_topk *top_look(const struct sketch *s, const struct cw_tx *tx)
{
	const struct top *t = cw_keyed_find(&s->k, tx, NAN);

	return t != NULL && t->period > 0 && is_current(s, tx, t->period) ? &t->topk : NULL;
}

static const struct cw_topk_item *top_item(void *handle, const struct cw_tx *tx, const struct cw_topk **topk)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	uint64_t hash;

	*topk = top_look(s, tx);
	return *topk != NULL && cw_fieldset_hash(tx, s->of, &hash) ? cw_topk_find(*topk, hash) : NULL;
}

static double top_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_topk *topk;
	const struct cw_topk_item *item = top_item(handle, tx, &topk);

	(void)a;
	(void)b;
	return item != NULL ? item->weight : 0;
}

static double top_error(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_topk *topk;
	const struct cw_topk_item *item = top_item(handle, tx, &topk);

	(void)a;
	(void)b;
	return item != NULL ? item->error : NAN;
}

static double top_rank(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_topk *topk;
	const struct cw_topk_item *item = top_item(handle, tx, &topk);

	(void)a;
	(void)b;
	return item != NULL ? (double)cw_topk_rank(topk, item->hash) : NAN;
}

static double top_share(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_topk *topk;
	const struct cw_topk_item *item = top_item(handle, tx, &topk);

	(void)a;
	(void)b;
	return topk != NULL && topk->total > 0 ? (item != NULL ? item->weight : 0) / topk->total : NAN;
}

static double top_nth(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_topk *topk = top_look(CW_CAST(handle, SKETCH_MAGIC), tx);

	(void)b;
	return topk != NULL && a >= 1 && a <= CW_TOPK_MAX ? cw_topk_nth(topk, (uint32_t)a) : 0;
}

static double top_total(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_topk *topk = top_look(CW_CAST(handle, SKETCH_MAGIC), tx);

	(void)a;
	(void)b;
	return topk != NULL ? topk->total : 0;
}

static void *top_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                      struct cw_err *err)
{
	uint32_t k = (uint32_t)vals[OPT_SIZE].number;
	struct sketch *s = open_sketch(st, root, vals, offsetof(struct top, topk) + cw_topk_size(k), NULL, err);

	if (s != NULL)
		s->size = k;
	return s;
}

static const struct cw_opt top_opts[] = {
	CW_KEYED_OPTS, OF_KEY_OPT, EVERY_OPT,
	{ .name = "k", .type = CW_OPT_COUNT, .def = 64, .min = 2, .max = CW_TOPK_MAX, .doc = "things that are kept" },
	{ .name = NULL },
};
static const struct cw_method top_methods[] = {
	{ .name = "add", .fn = top_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "adds the argument (1 by default, above 0) to this thing's weight; the weight, this one included" },
	{ .name = "get", .fn = top_get, .takes_tx = true, .doc = "this thing's weight, 0 if it is not among the heaviest" },
	{ .name = "error", .fn = top_error, .takes_tx = true,
	  .doc = "by how much that may be too large, nil if it is not among the heaviest" },
	{ .name = "rank", .fn = top_rank, .takes_tx = true, .doc = "1 for the heaviest thing, nil if it is not among them" },
	{ .name = "share", .fn = top_share, .takes_tx = true,
	  .doc = "this thing's share of all weight, nil if there is none" },
	{ .name = "nth", .fn = top_nth, .takes_tx = true, .a = CW_ARG_NUMBER, .doc = "weight of the i-th heaviest, 0 beyond" },
	{ .name = "total", .fn = top_total, .takes_tx = true, .doc = "weight of all things" },
	{ .name = NULL },
};

/* ---------------------------------------------------------------- sketch.seen */

enum seen_opt { SEEN_CAPACITY = OPT_OF + 1, SEEN_ERROR };

struct seen { uint64_t added; cw_ref lines; uint32_t pad; };

static void seen_evict(struct cw_state *st, uint32_t owner, void *value, void *arg)
{
	const struct sketch *s = arg;
	const struct seen *e = value;

	cw_state_free(st, owner, e->lines, s->bloom.lines * sizeof(struct cw_bloom_line));
}

static double seen_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	size_t size = s->bloom.lines * sizeof(struct cw_bloom_line);
	struct seen *e;
	uint64_t hash;
	void *value;
	bool known;

	(void)a;
	(void)b;
	if (!cw_fieldset_hash(tx, s->of, &hash))
		return NAN;
	value = e = cw_keyed_upsert(&s->k, tx);
	if (e != NULL && e->lines == 0) {
		cw_ref ref = cw_keyed_alloc(&s->k, tx, size, &value);

		e = value;
		if (e != NULL && ref != 0) {
			cw_state_touch(s->k.st, e, sizeof(*e));
			e->lines = ref;
		} else {
			cw_state_free(s->k.st, s->k.root->owner, ref, size);
		}
	}
	if (e == NULL || e->lines == 0)
		return NAN;
	known = cw_bloom_add(s->k.st, cw_state_ptr(s->k.st, e->lines), &s->bloom, hash);
	if (!known) {
		cw_state_touch(s->k.st, e, sizeof(*e));
		e->added++;
	}
	return known;
}

static double seen_has(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	const struct seen *e = cw_keyed_find(&s->k, tx, NAN);
	uint64_t hash;

	(void)a;
	(void)b;
	if (!cw_fieldset_hash(tx, s->of, &hash))
		return NAN;
	return e != NULL && e->lines != 0 && cw_bloom_has(cw_state_ptr(s->k.st, e->lines), &s->bloom, hash);
}

static double seen_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	const struct seen *e = cw_keyed_find(&s->k, tx, NAN);

	(void)a;
	(void)b;
	return e != NULL ? (double)e->added : 0;
}

static void *seen_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	const struct cw_keyed_conf conf = {
		.magic = SKETCH_MAGIC, .handle_size = sizeof(struct sketch), .value_size = sizeof(struct seen),
		.touch_parts = true, .evict = seen_evict,
	};
	struct sketch *s = cw_keyed_new(&conf, st, root, vals, err);

	if (s == NULL)
		return NULL;
	s->of = vals[OPT_OF].key;
	s->bloom = cw_bloom_plan(vals[SEEN_CAPACITY].number, vals[SEEN_ERROR].number);
	return s;
}

static const struct cw_opt seen_opts[] = {
	CW_KEYED_OPTS, OF_KEY_OPT,
	{ .name = "capacity", .type = CW_OPT_COUNT, .def = 1e6, .min = 100, .max = 100e6,
	  .doc = "different things a filter is planned for; more make false yes likelier" },
	{ .name = "error", .type = CW_OPT_NUMBER, .def = 0.01, .min = 1e-4, .max = 0.5,
	  .doc = "share of new things that seem known when it is filled to capacity" },
	{ .name = NULL },
};
static const struct cw_method seen_methods[] = {
	{ .name = "add", .fn = seen_add, .takes_tx = true, .result = CW_RESULT_BOOL,
	  .doc = "notes this thing; true if it was (or seems to have been) noted before" },
	{ .name = "has", .fn = seen_has, .takes_tx = true, .result = CW_RESULT_BOOL,
	  .doc = "true if this thing was (or seems to have been) noted" },
	{ .name = "count", .fn = seen_count, .takes_tx = true, .doc = "different things noted (a few too few)" },
	{ .name = NULL },
};

/* ---------------------------------------------------------------- sketch.sample */

enum sample_opt { SAMPLE_N = OPT_EVERY + 1, SAMPLE_SEED };

struct sample { uint32_t period, pad; struct cw_reservoir reservoir; };

static double sample_number(const struct sketch *s, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && s->number != CW_FIELD_NONE ? cw_field_number(tx, s->number) : a;

	return isfinite(x) ? x : NAN;
}

static const struct cw_reservoir *sample_look(const struct sketch *s, const struct cw_tx *tx, double field)
{
	const struct sample *e = cw_keyed_find(&s->k, tx, field);

	return e != NULL && e->period > 0 && is_current(s, tx, e->period) ? &e->reservoir : NULL;
}

static double sample_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	uint32_t period = period_of(s, tx->timestamp);
	double x = sample_number(s, tx, a), rank;
	struct sample *e;

	(void)b;
	if (isnan(x))
		return NAN;
	e = cw_keyed_upsert(&s->k, tx);
	if (e == NULL)
		return NAN;
	if (period > e->period) {
		cw_state_touch(s->k.st, e, offsetof(struct sample, reservoir));
		e->period = period;
		cw_reservoir_init(s->k.st, &e->reservoir, s->size);
	}
	rank = cw_reservoir_rank(&e->reservoir, x);
	cw_reservoir_add(s->k.st, &e->reservoir, s->seed, x);
	return rank;
}

static double sample_rank(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sketch *s = CW_CAST(handle, SKETCH_MAGIC);
	const struct cw_reservoir *r = sample_look(s, tx, NAN);
	double x = sample_number(s, tx, a);

	(void)b;
	return r != NULL && !isnan(x) ? cw_reservoir_rank(r, x) : NAN;
}

static double sample_mean(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_reservoir *r = sample_look(CW_CAST(handle, SKETCH_MAGIC), tx, a);

	(void)b;
	return r != NULL ? cw_reservoir_mean(r) : NAN;
}

static double sample_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_reservoir *r = sample_look(CW_CAST(handle, SKETCH_MAGIC), tx, a);

	(void)b;
	return r != NULL ? (double)r->count : 0;
}

static void *sample_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	uint32_t n = (uint32_t)vals[SAMPLE_N].number;
	struct sketch *s = open_sketch(st, root, vals, offsetof(struct sample, reservoir) + cw_reservoir_size(n), NULL, err);

	if (s == NULL)
		return NULL;
	s->of = 0;
	s->number = vals[OPT_OF].field;
	s->size = n;
	s->seed = (uint64_t)vals[SAMPLE_SEED].number;
	return s;
}

static const struct cw_opt sample_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to sample; left out: the number is an argument" },
	EVERY_OPT,
	{ .name = "n", .type = CW_OPT_COUNT, .def = 64, .min = 8, .max = CW_RESERVOIR_MAX, .doc = "numbers in the sample" },
	{ .name = "seed", .type = CW_OPT_COUNT, .def = 1, .min = 0, .max = 1e15, .doc = "which sample is drawn" },
	{ .name = NULL },
};
static const struct cw_method sample_methods[] = {
	{ .name = "add", .fn = sample_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "share of the past below this number (0 to 1, equal ones by half), then takes it; nil at first" },
	{ .name = "rank", .fn = sample_rank, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "share of the past below this number, without taking it" },
	{ .name = "mean", .fn = sample_mean, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "mean of the sample" CW_ARG_LOOKUP_DOC },
	{ .name = "count", .fn = sample_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "numbers that were taken, in the sample or not" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

/* ---------------------------------------------------------------- declarations */

#define SHARED .close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch

const struct cw_primitive cw_sketch_distinct = {
	.table = "sketch", .name = "distinct", .version = 1,
	.doc = "How many different things (addresses, selectors) there were, of thousands to billions.",
	.error = "relative standard error 0.833 / sqrt(2^precision): 1.3 % at 12; sketches merge (1.039 / sqrt then)",
	.memory = "2^precision + 72 bytes a key (5 KB at 12); O(1)",
	.source = "P. Flajolet and others, HyperLogLog, AofA 2007; E. Cohen, All-distances sketches, revisited, PODS 2014; "
	          "O. Ertl, New cardinality estimation algorithms for HyperLogLog sketches, 2017",
	.example = "users = sketch.distinct { key = \"to\", of = \"from\", every = \"1d\", precision = 10 }   "
	           "-- users:add(tx)",
	.opts = distinct_opts, .methods = distinct_methods, .open = distinct_open, SHARED,
};
const struct cw_primitive cw_sketch_count = {
	.table = "sketch", .name = "count", .version = 1,
	.doc = "How often each of very many things was seen, in fixed memory: never too few.",
	.error = "too many by at most 10.9 / cells of the total with probability 98 %, usually far less (conservative "
	         "update); sketches merge by adding",
	.memory = "4 bytes a cell (256 KB with 65536) and 64 a key; O(1), one cache line",
	.source = "G. Cormode, S. Muthukrishnan, An improved data stream summary: the count-min sketch, J. Algorithms 55 "
	          "(2005); C. Estan, G. Varghese, New directions in traffic measurement and accounting, SIGCOMM 2002",
	.example = "calls = sketch.count { of = \"to+selector\", every = \"1h\" }   -- calls:add(tx) == 1",
	.opts = count_opts, .methods = count_methods, .open = count_open, SHARED,
};
const struct cw_primitive cw_sketch_top = {
	.table = "sketch", .name = "top", .version = 1,
	.doc = "The heaviest things, by number or by weight, and the share of each.",
	.error = "whatever weighs more than 1/k of all is among them; a weight is too large by total / k at most",
	.memory = "24 bytes an item and 64 a key (1.8 KB with 64); O(k) an addition",
	.source = "A. Metwally, D. Agrawal, A. El Abbadi, Efficient computation of frequent and top-k elements in data "
	          "streams, ICDT 2005; P. Agarwal and others, Mergeable summaries, PODS 2012",
	.example = "payers = sketch.top { key = \"to\", of = \"from\", k = 16 }   "
	           "-- payers:add(tx, tx.value) > 0.5 * payers:total(tx)",
	.opts = top_opts, .methods = top_methods, .open = top_open, SHARED,
};
const struct cw_primitive cw_sketch_seen = {
	.table = "sketch", .name = "seen", .version = 1,
	.doc = "Whether a thing was seen before, for many more things than a dictionary could hold.",
	.error = "never a false no; a false yes for `error` of the new things when filled to capacity",
	.memory = "10.5 bits for each of capacity at 1 % (1.3 MB for a million), 64 bytes a key; O(1), one cache line",
	.source = "B. H. Bloom, Space/time trade-offs in hash coding with allowable errors, CACM 13 (1970); F. Putze, P. "
	          "Sanders, J. Singler, Cache-, hash- and space-efficient Bloom filters (2007)",
	.example = "pairs = sketch.seen { of = \"from+to\", capacity = 10000000 }   -- not pairs:add(tx)",
	.opts = seen_opts, .methods = seen_methods, .open = seen_open, SHARED,
};
const struct cw_primitive cw_sketch_sample = {
	.table = "sketch", .name = "sample", .version = 1,
	.doc = "A uniform sample of all numbers of a key: where a new one stands among them.",
	.error = "standard error of a share 0.5 / sqrt(n) at most (6 % with 64)",
	.memory = "16 bytes a number and 64 a key (1.3 KB with 64); add O(log n), mostly O(1); rank and mean O(n)",
	.source = "J. S. Vitter, Random sampling with a reservoir, ACM TOMS 11 (1985)",
	.example = "fees = sketch.sample { key = \"to\", of = \"gas_price\", n = 256 }   -- (fees:add(tx) or 0) > 0.99",
	.opts = sample_opts, .methods = sample_methods, .open = sample_open, SHARED,
};
