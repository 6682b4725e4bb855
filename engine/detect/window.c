/* window.c - count, sum, rate, maximum and minimum of a key's events in the last `span` of event time.
 *
 * A ring of sub-buckets: time is cut into buckets of span / n, and the ring holds the newest bucket and the n before
 * it. So every event of the last `span` is in, and none older than span * (1 + 1/n). An event that comes late goes to
 * the bucket of its own time as long as the ring reaches back to it; older ones change nothing. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
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

/* Values of a key. Slots that hold nothing are 0, NaN for extremes. Bucket numbers start at 1; 0: no event yet. */
struct counts {
	uint32_t newest;              /* number of the newest bucket */
	uint32_t total;               /* of all slots */
	uint32_t slot[];
};

struct numbers {
	uint32_t newest, pad;
	double rest;                  /* what all slots but the newest come to; made again with each new bucket, so that
	                               * rounding does not build up */
	double slot[];
};

static uint32_t bucket_of(const struct window *w, int64_t time)
{
	uint64_t bucket = (uint64_t)cw_time32(time) * w->buckets / w->span_s + 1;

	return bucket < UINT32_MAX ? (uint32_t)bucket : UINT32_MAX - 1;   /* loops run to it and stop */
}

/* Whether a window that ends in `now` still sees the bucket. */
static bool is_live(const struct window *w, uint32_t now, uint32_t bucket)
{
	return now - bucket < w->slots;
}

/* ---------------------------------------------------------------- counts and rates */

static void advance_counts(const struct window *w, struct counts *r, uint32_t bucket)
{
	uint32_t steps = bucket - r->newest;

	if (r->newest == 0 || steps >= w->slots) {
		memset(r->slot, 0, w->slots * sizeof(r->slot[0]));
		r->total = 0;
	} else {
		for (uint32_t b = r->newest + 1; b <= bucket; b++) {
			r->total -= r->slot[b % w->slots];
			r->slot[b % w->slots] = 0;
		}
	}
	r->newest = bucket;
}

static double count_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	struct counts *r = cw_keyed_upsert(&w->k, tx);
	uint32_t bucket = bucket_of(w, tx->timestamp);

	(void)a;
	(void)b;
	if (r == NULL)
		return NAN;
	if (bucket > r->newest)
		advance_counts(w, r, bucket);
	if (is_live(w, r->newest, bucket)) {
		r->slot[bucket % w->slots]++;
		r->total++;
	}
	return r->total;
}

static double count_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	const struct counts *r = cw_keyed_find(&w->k, tx, a);
	uint32_t now = bucket_of(w, tx->timestamp), total;

	(void)b;
	if (r == NULL || r->newest == 0)
		return 0;
	if (now > r->newest && !is_live(w, now, r->newest))
		return 0;
	total = r->total;
	for (uint32_t b2 = r->newest + 1; b2 <= now; b2++)
		total -= r->slot[b2 % w->slots];
	return total;
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

/* ---------------------------------------------------------------- sums and extremes */

/* How two of a window's numbers become one, and what stands for none. */
typedef double combine_fn(double a, double b);

static double sum_of(double a, double b)
{
	return a + b;
}

static double max_of(double a, double b)
{
	return isnan(a) || b > a ? b : a;
}

static double min_of(double a, double b)
{
	return isnan(a) || b < a ? b : a;
}

/* The slots of buckets first to last come together, in order of time. */
static double fold(const struct window *w, const struct numbers *r, uint32_t first, uint32_t last, combine_fn *combine,
                   double none)
{
	double x = none;

	for (uint32_t b = first; b <= last; b++)
		x = combine(x, r->slot[b % w->slots]);
	return x;
}

/* The oldest bucket that a window which ends in `now` sees. */
static uint32_t oldest(const struct window *w, uint32_t now)
{
	return now >= w->slots ? now - w->slots + 1 : 1;
}

static void advance_numbers(const struct window *w, struct numbers *r, uint32_t bucket, combine_fn *combine,
                            double none)
{
	uint32_t first = r->newest + 1;

	if (r->newest == 0 || bucket - r->newest >= w->slots)
		first = bucket - w->slots + 1;   /* all slots; wraps around in the first seconds of 1970, which does no harm */
	for (uint32_t b = first; b != bucket + 1; b++)
		r->slot[b % w->slots] = none;
	r->rest = r->newest == 0 ? none : fold(w, r, oldest(w, bucket), bucket - 1, combine, none);
	r->newest = bucket;
}

static inline double numbers_add(struct window *w, const struct cw_tx *tx, double a, combine_fn *combine, double none)
{
	double x = isnan(a) && w->of != CW_FIELD_NONE ? cw_field_number(tx, w->of) : a;
	uint32_t bucket = bucket_of(w, tx->timestamp);
	struct numbers *r;
	double *slot;

	if (isnan(x))
		return NAN;
	r = cw_keyed_upsert(&w->k, tx);
	if (r == NULL)
		return NAN;
	if (bucket > r->newest)
		advance_numbers(w, r, bucket, combine, none);
	if (is_live(w, r->newest, bucket)) {
		slot = &r->slot[bucket % w->slots];
		*slot = combine(*slot, x);
		if (bucket != r->newest)
			r->rest = combine(r->rest, x);
	}
	return combine(r->rest, r->slot[r->newest % w->slots]);
}

static inline double numbers_get(struct window *w, const struct cw_tx *tx, double field, combine_fn *combine,
                                 double none)
{
	const struct numbers *r = cw_keyed_find(&w->k, tx, field);
	uint32_t now = bucket_of(w, tx->timestamp);

	if (r == NULL || r->newest == 0)
		return none;
	if (now <= r->newest)
		return combine(r->rest, r->slot[r->newest % w->slots]);
	return fold(w, r, oldest(w, now), r->newest, combine, none);
}

static double sum_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return numbers_add(CW_CAST(handle, WINDOW_MAGIC), tx, a, sum_of, 0);
}

static double sum_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return numbers_get(CW_CAST(handle, WINDOW_MAGIC), tx, a, sum_of, 0);
}

static double max_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return numbers_add(CW_CAST(handle, WINDOW_MAGIC), tx, a, max_of, NAN);
}

static double max_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return numbers_get(CW_CAST(handle, WINDOW_MAGIC), tx, a, max_of, NAN);
}

static double min_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return numbers_add(CW_CAST(handle, WINDOW_MAGIC), tx, a, min_of, NAN);
}

static double min_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return numbers_get(CW_CAST(handle, WINDOW_MAGIC), tx, a, min_of, NAN);
}

/* ---------------------------------------------------------------- telling */

/* "buckets":[[seconds since its begin, what it holds], ...], the newest first; empty ones are left out. */
static void put_bucket(const struct window *w, const struct cw_tx *tx, uint32_t bucket, double x, const char **comma,
                       struct cw_buf *out)
{
	double begin = (double)(bucket - 1) * (double)w->span_s / (double)w->buckets;

	cw_buf_printf(out, "%s[%.0f,%.15g]", *comma, (double)tx->timestamp - begin, x);
	*comma = ",";
}

static void describe_counts(void *handle, const struct cw_tx *tx, double field, struct cw_buf *out)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	const struct counts *r = cw_keyed_find(&w->k, tx, field);
	uint32_t now = bucket_of(w, tx->timestamp);
	const char *comma = "";

	cw_buf_puts(out, ",\"buckets\":[");
	for (uint32_t b = r != NULL ? r->newest : 0; b > 0 && is_live(w, r->newest, b); b--)
		if ((now <= r->newest || is_live(w, now, b)) && r->slot[b % w->slots] != 0)
			put_bucket(w, tx, b, r->slot[b % w->slots], &comma, out);
	cw_buf_putc(out, ']');
}

static void describe_numbers(void *handle, const struct cw_tx *tx, double field, struct cw_buf *out)
{
	struct window *w = CW_CAST(handle, WINDOW_MAGIC);
	const struct numbers *r = cw_keyed_find(&w->k, tx, field);
	uint32_t now = bucket_of(w, tx->timestamp);
	const char *comma = "";

	cw_buf_puts(out, ",\"buckets\":[");
	for (uint32_t b = r != NULL ? r->newest : 0; b > 0 && is_live(w, r->newest, b); b--) {
		double x = r->slot[b % w->slots];

		if ((now <= r->newest || is_live(w, now, b)) && isfinite(x) && x != 0)
			put_bucket(w, tx, b, x, &comma, out);
	}
	cw_buf_putc(out, ']');
}

/* ---------------------------------------------------------------- options */

static void *open_window(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         size_t head_size, size_t slot_size, struct cw_err *err)
{
	uint64_t span_s = (uint64_t)vals[OPT_SPAN].number, buckets = (uint64_t)vals[OPT_BUCKETS].number;
	struct window *w;

	if (buckets > span_s)   /* a bucket is a second or more */
		buckets = span_s;
	w = cw_keyed_plain(sizeof(*w), WINDOW_MAGIC, st, root, vals, head_size + (buckets + 1) * slot_size, err);
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
	return open_window(st, root, vals, sizeof(struct counts), sizeof(uint32_t), err);
}

static void *open_rate(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	struct window *w = open_window(st, root, vals, sizeof(struct counts), sizeof(uint32_t), err);

	if (w != NULL)
		w->per_s = vals[OPT_OWN].number;
	return w;
}

static void *open_numbers(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	struct window *w = open_window(st, root, vals, sizeof(struct numbers), sizeof(double), err);

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
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = describe_counts,
};

const struct cw_primitive cw_window_rate = {
	.table = "window", .name = "rate", .version = 1,
	.doc = "Transactions of a key for each minute (or other unit), over the last span of event time.",
	.error = WINDOW_ERROR, .memory = "128 bytes a key with 16 buckets (4 a bucket); O(1) an event", .source = "",
	.example = "rate = window.rate { key = \"from\", span = \"10m\", per = \"1m\" }   -- rate:add(tx) >= 30",
	.opts = rate_opts, .methods = rate_methods, .open = open_rate,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = describe_counts,
};

const struct cw_primitive cw_window_sum = {
	.table = "window", .name = "sum", .version = 1,
	.doc = "Sum of a number over the last span of event time, for each key.",
	.error = WINDOW_ERROR "; sums are doubles (relative error 1e-15)",
	.memory = "192 bytes a key with 16 buckets (8 a bucket); O(1) an event", .source = "",
	.example = "paid = window.sum { key = \"from\", of = \"value\", span = \"24h\" }   -- paid:add(tx) >= 1e21",
	.opts = number_opts, .methods = sum_methods, .open = open_numbers,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = describe_numbers,
};

const struct cw_primitive cw_window_max = {
	.table = "window", .name = "max", .version = 1,
	.doc = "Largest number of the last span of event time, for each key.",
	.error = WINDOW_ERROR, .memory = "192 bytes a key with 16 buckets (8 a bucket); O(1) an event", .source = "",
	.example = "top = window.max { of = \"gas_price\", span = \"1h\" }   -- tx.gas_price > 2 * (top:get(tx) or 1/0)",
	.opts = number_opts, .methods = max_methods, .open = open_numbers,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = describe_numbers,
};

const struct cw_primitive cw_window_min = {
	.table = "window", .name = "min", .version = 1,
	.doc = "Smallest number of the last span of event time, for each key.",
	.error = WINDOW_ERROR, .memory = "192 bytes a key with 16 buckets (8 a bucket); O(1) an event", .source = "",
	.example = "low = window.min { of = \"gas_price\", span = \"1h\" }",
	.opts = number_opts, .methods = min_methods, .open = open_numbers,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = describe_numbers,
};
