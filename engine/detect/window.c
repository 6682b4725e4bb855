/* window.c - count, sum, rate, maximum and minimum of a key's events in the last `span` of event time.
 *
 * A ring of sub-buckets: time is cut into buckets of span / n, and the ring holds the newest bucket and the n before
 * it. So every event of the last `span` is in, and none older than span * (1 + 1/n). An event that comes late goes to
 * the bucket of its own time as long as the ring reaches back to it; older ones change nothing. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define WINDOW_MAGIC 0x57494e44u
#define SLOTS_MAX 61

enum window_opt { OPT_SPAN = CW_OPT_AT_OWN, OPT_BUCKETS, OPT_OWN };

struct window {
	struct cw_keyed k;
	enum cw_field of;             /* NONE: the number comes as an argument */
	uint32_t slots;               /* buckets and one more */
	uint64_t buckets, span_s;
	double per_s;                 /* of rate */
};

/* Value of a key; the slots follow: uint32_t for counts, double for the others. */
struct ring {
	uint64_t newest;              /* number of the newest bucket + 1; 0: empty */
	uint64_t used;                /* bit for each slot that holds something */
};

static uint64_t bucket_of(const struct window *w, int64_t time)
{
	/* 2^40 s are 35,000 years; keeps time * 60 far from overflow */
	uint64_t t = time <= 0 ? 0 : time >= (int64_t)1 << 40 ? (uint64_t)1 << 40 : (uint64_t)time;

	return t * w->buckets / w->span_s + 1;
}

/* Bits of the slots that a window ending in `bucket` does not see any more. */
static uint64_t expired(const struct window *w, const struct ring *r, uint64_t bucket)
{
	uint64_t gone = bucket - r->newest, mask = 0;

	if (bucket <= r->newest)
		return 0;
	if (gone >= w->slots)
		return r->used;
	for (uint64_t b = r->newest + 1; b <= bucket; b++)
		mask |= 1ull << (b % w->slots);
	return mask & r->used;
}

/* Moves the ring to the bucket of `time` and gives its slot; -1 if it is older than the ring. */
static int slot_for(const struct window *w, struct ring *r, int64_t time)
{
	uint64_t bucket = bucket_of(w, time);

	if (bucket > r->newest) {
		r->used &= ~expired(w, r, bucket);
		r->newest = bucket;
	} else if (bucket + w->slots <= r->newest) {
		return -1;
	}
	return (int)(bucket % w->slots);
}

static double *numbers(struct ring *r)
{
	return (double *)(void *)(r + 1);
}

static uint32_t *counts(struct ring *r)
{
	return (uint32_t *)(void *)(r + 1);
}

/* The slots that are in use and not in `gone`. */
static double count_of(const struct ring *r, uint64_t gone)
{
	const uint32_t *c = (const uint32_t *)(const void *)(r + 1);
	uint64_t total = 0;

	for (uint64_t live = r->used & ~gone; live != 0; live &= live - 1)
		total += c[__builtin_ctzll(live)];
	return (double)total;
}

static double sum_of(const struct ring *r, uint64_t gone)
{
	const double *x = (const double *)(const void *)(r + 1);
	double total = 0;

	for (uint64_t live = r->used & ~gone; live != 0; live &= live - 1)
		total += x[__builtin_ctzll(live)];
	return total;
}

static double extreme_of(const struct ring *r, uint64_t gone, double sign)
{
	const double *x = (const double *)(const void *)(r + 1);
	double best = NAN;

	for (uint64_t live = r->used & ~gone; live != 0; live &= live - 1) {
		double v = x[__builtin_ctzll(live)];

		if (isnan(best) || v * sign > best * sign)
			best = v;
	}
	return best;
}

/* The number to take: the argument, else the option's field. */
static double number_of(const struct window *w, const struct cw_tx *tx, double a)
{
	return isnan(a) && w->of != CW_FIELD_NONE ? cw_field_number(tx, w->of) : a;
}

/* The ring as this transaction may see it, and the slots that are too old for it; NULL: no such entry. */
static const struct ring *look(const struct window *w, const struct cw_tx *tx, double field, uint64_t *gone)
{
	const struct ring *r = cw_keyed_find(&w->k, tx, field);

	if (r != NULL)
		*gone = expired(w, r, bucket_of(w, tx->timestamp));
	return r;
}

static double count_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	struct ring *r = cw_keyed_upsert(&w->k, tx);
	int slot;

	(void)a;
	(void)b;
	if (r == NULL)
		return NAN;
	slot = slot_for(w, r, tx->timestamp);
	if (slot >= 0) {
		if ((r->used & (1ull << slot)) == 0)
			counts(r)[slot] = 0;
		r->used |= 1ull << slot;
		counts(r)[slot]++;
	}
	return count_of(r, 0);
}

static double count_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	uint64_t gone;
	const struct ring *r = look(w, tx, a, &gone);

	(void)b;
	return r != NULL ? count_of(r, gone) : 0;
}

static double rate_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);

	return count_add(handle, tx, a, b) * w->per_s / (double)w->span_s;
}

static double rate_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);

	return count_get(handle, tx, a, b) * w->per_s / (double)w->span_s;
}

static double sum_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	double x = number_of(w, tx, a);
	struct ring *r;
	int slot;

	(void)b;
	if (isnan(x))
		return NAN;
	r = cw_keyed_upsert(&w->k, tx);
	if (r == NULL)
		return NAN;
	slot = slot_for(w, r, tx->timestamp);
	if (slot >= 0) {
		if ((r->used & (1ull << slot)) == 0)
			numbers(r)[slot] = 0;
		r->used |= 1ull << slot;
		numbers(r)[slot] += x;
	}
	return sum_of(r, 0);
}

static double sum_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	uint64_t gone;
	const struct ring *r = look(w, tx, a, &gone);

	(void)b;
	return r != NULL ? sum_of(r, gone) : 0;
}

static double extreme_add(struct window *w, const struct cw_tx *tx, double a, double sign)
{
	double x = number_of(w, tx, a);
	struct ring *r;
	int slot;

	if (isnan(x))
		return NAN;
	r = cw_keyed_upsert(&w->k, tx);
	if (r == NULL)
		return NAN;
	slot = slot_for(w, r, tx->timestamp);
	if (slot >= 0) {
		if ((r->used & (1ull << slot)) == 0 || x * sign > numbers(r)[slot] * sign)
			numbers(r)[slot] = x;
		r->used |= 1ull << slot;
	}
	return extreme_of(r, 0, sign);
}

static double max_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return extreme_add(CW_CAST(handle, WINDOW_MAGIC), tx, a, 1);
}

static double min_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return extreme_add(CW_CAST(handle, WINDOW_MAGIC), tx, a, -1);
}

static double max_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	uint64_t gone;
	const struct ring *r = look(w, tx, a, &gone);

	(void)b;
	return r != NULL ? extreme_of(r, gone, 1) : NAN;
}

static double min_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	uint64_t gone;
	const struct ring *r = look(w, tx, a, &gone);

	(void)b;
	return r != NULL ? extreme_of(r, gone, -1) : NAN;
}

static void *open_window(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         size_t slot_size, struct cw_err *err)
{
	uint64_t span_s = (uint64_t)vals[OPT_SPAN].number, buckets = (uint64_t)vals[OPT_BUCKETS].number;
	struct window *w;

	if (buckets > span_s)   /* a bucket is a second or more */
		buckets = span_s;
	w = cw_keyed_plain(sizeof(*w), WINDOW_MAGIC, st, root, vals, sizeof(struct ring) + (buckets + 1) * slot_size, err);
	if (w == NULL)
		return NULL;
	w->span_s = span_s;
	w->buckets = buckets;
	w->slots = (uint32_t)buckets + 1;
	return w;
}

static void *open_count(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	return open_window(st, root, vals, sizeof(uint32_t), err);
}

static void *open_rate(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	struct window *w = open_window(st, root, vals, sizeof(uint32_t), err);

	if (w != NULL)
		w->per_s = vals[OPT_OWN].number;
	return w;
}

static void *open_numbers(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	struct window *w = open_window(st, root, vals, sizeof(double), err);

	if (w != NULL)
		w->of = vals[OPT_OWN].field;
	return w;
}

#define WINDOW_OPTS \
	CW_KEYED_OPTS, \
	{ .name = "span", .type = CW_OPT_SPAN, .required = true, .min = 1, .max = 400 * 86400, \
	  .doc = "length of the window in event time" }, \
	{ .name = "buckets", .type = CW_OPT_COUNT, .def = 16, .min = 1, .max = SLOTS_MAX - 1, \
	  .doc = "sub-buckets of the window; events up to span / buckets too old are still seen" }

static const struct cw_opt count_opts[] = { WINDOW_OPTS, { .name = NULL } };
static const struct cw_opt rate_opts[] = {
	WINDOW_OPTS,
	{ .name = "per", .type = CW_OPT_SPAN, .def = 60, .min = 1, .max = 400 * 86400, .doc = "unit of the rate" },
	{ .name = NULL },
};
static const struct cw_opt number_opts[] = {
	WINDOW_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to take; left out: the number is an argument of add" },
	{ .name = NULL },
};

#define WINDOW_ERROR \
	"every event of the last span is in, and none older than span * (1 + 1/buckets); exact when a bucket is one " \
	"second. Late events count in the bucket of their time; those older than the window are not counted"

static const struct cw_method count_methods[] = {
	{ .name = "add", .fn = count_add, .takes_tx = true, .doc = "number of events in the window, this one included" },
	{ .name = "get", .fn = count_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "number of events in the window at this transaction's time" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method rate_methods[] = {
	{ .name = "add", .fn = rate_add, .takes_tx = true, .doc = "events for each `per`, this one included" },
	{ .name = "get", .fn = rate_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "events for each `per` at this transaction's time" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method sum_methods[] = {
	{ .name = "add", .fn = sum_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "sum over the window, this one included; the number defaults to the field `of`" },
	{ .name = "get", .fn = sum_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "sum over the window at this transaction's time" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method max_methods[] = {
	{ .name = "add", .fn = max_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "largest number in the window, this one included; the number defaults to the field `of`" },
	{ .name = "get", .fn = max_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "largest number in the window at this transaction's time, nil if there is none" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method min_methods[] = {
	{ .name = "add", .fn = min_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "smallest number in the window, this one included; the number defaults to the field `of`" },
	{ .name = "get", .fn = min_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "smallest number in the window at this transaction's time, nil if there is none" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_window_count = {
	.table = "window", .name = "count", .version = 1,
	.doc = "How many transactions a key had in the last span of event time.",
	.error = WINDOW_ERROR, .memory = "128 bytes a key with 16 buckets (4 a bucket); O(1) an event", .source = "",
	.example = "recent = window.count { key = \"from\", span = \"10m\" }   -- recent:add(tx) >= 50",
	.opts = count_opts, .methods = count_methods, .open = open_count,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

const struct cw_primitive cw_window_rate = {
	.table = "window", .name = "rate", .version = 1,
	.doc = "Transactions of a key for each minute (or other unit), over the last span of event time.",
	.error = WINDOW_ERROR, .memory = "128 bytes a key with 16 buckets (4 a bucket); O(1) an event", .source = "",
	.example = "rate = window.rate { key = \"from\", span = \"10m\", per = \"1m\" }   -- rate:add(tx) >= 30",
	.opts = rate_opts, .methods = rate_methods, .open = open_rate,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

const struct cw_primitive cw_window_sum = {
	.table = "window", .name = "sum", .version = 1,
	.doc = "Sum of a number over the last span of event time, for each key.",
	.error = WINDOW_ERROR "; sums are doubles (relative error 1e-15)",
	.memory = "192 bytes a key with 16 buckets (8 a bucket); O(1) an event", .source = "",
	.example = "paid = window.sum { key = \"from\", of = \"value\", span = \"24h\" }   -- paid:add(tx) >= 1e21",
	.opts = number_opts, .methods = sum_methods, .open = open_numbers,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

const struct cw_primitive cw_window_max = {
	.table = "window", .name = "max", .version = 1,
	.doc = "Largest number of the last span of event time, for each key.",
	.error = WINDOW_ERROR, .memory = "192 bytes a key with 16 buckets (8 a bucket); O(1) an event", .source = "",
	.example = "top = window.max { of = \"gas_price\", span = \"1h\" }   -- tx.gas_price > 2 * (top:get(tx) or 1/0)",
	.opts = number_opts, .methods = max_methods, .open = open_numbers,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

const struct cw_primitive cw_window_min = {
	.table = "window", .name = "min", .version = 1,
	.doc = "Smallest number of the last span of event time, for each key.",
	.error = WINDOW_ERROR, .memory = "192 bytes a key with 16 buckets (8 a bucket); O(1) an event", .source = "",
	.example = "low = window.min { of = \"gas_price\", span = \"1h\" }",
	.opts = number_opts, .methods = min_methods, .open = open_numbers,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
