/* window_last.c - the last N numbers of a key, newest first. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define LAST_MAGIC 0x4c415354u
#define N_MAX      256
#define VALUES_TOLD 32

enum last_opt { OPT_OF = CW_OPT_AT_OWN, OPT_N };

struct last {
	struct cw_keyed k;
	enum cw_field of;
	uint32_t n;
};

struct cell {
	double x;
	int64_t time;
};

/* Value of a key: a ring; cells[(count - 1) % n] is the newest. */
struct ring {
	uint64_t count;
	struct cell cells[];
};

static double number_of(const struct last *l, const struct cw_tx *tx, double a)
{
	return isnan(a) && l->of != CW_FIELD_NONE ? cw_field_number(tx, l->of) : a;
}

static uint32_t held(const struct last *l, const struct ring *r)
{
	return r == NULL ? 0 : r->count < l->n ? (uint32_t)r->count : l->n;
}

/* The `back`-th number before now: 1 is the newest. */
static const struct cell *cell_at(const struct last *l, const struct ring *r, double back)
{
	if (!(back >= 1 && back <= held(l, r)))
		return NULL;
	return &r->cells[(r->count - (uint64_t)back) % l->n];
}

static double last_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);
	double x = number_of(l, tx, a);
	struct cell *cell;
	struct ring *r;

	(void)b;
	if (isnan(x))
		return NAN;
	r = cw_keyed_upsert(&l->k, tx);
	if (r == NULL)
		return NAN;
	cell = &r->cells[r->count % l->n];
	cw_state_touch(l->k.st, r, sizeof(*r));
	cw_state_touch(l->k.st, cell, sizeof(*cell));
	r->count++;
	cell->x = x;
	cell->time = tx->timestamp;
	return held(l, r);
}

static double last_at(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);
	const struct cell *cell = cell_at(l, cw_keyed_find(&l->k, tx, b), isnan(a) ? 1 : a);

	return cell != NULL ? cell->x : NAN;
}

static double last_age(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);
	const struct cell *cell = cell_at(l, cw_keyed_find(&l->k, tx, b), isnan(a) ? 1 : a);

	return cell != NULL ? (double)tx->timestamp - (double)cell->time : NAN;
}

static double last_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);

	(void)b;
	return held(l, cw_keyed_find(&l->k, tx, a));
}

/* Newest first, so that the sum does not depend on where the ring stands. */
static double last_mean(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);
	const struct ring *r = cw_keyed_find(&l->k, tx, a);
	uint32_t n = held(l, r);
	double sum = 0;

	(void)b;
	for (uint32_t i = 1; i <= n; i++)
		sum += r->cells[(r->count - i) % l->n].x;
	return n > 0 ? sum / n : NAN;
}

static double last_equal(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);
	double x = number_of(l, tx, a);
	const struct ring *r = cw_keyed_find(&l->k, tx, NAN);
	uint32_t n = held(l, r), same = 0;

	(void)b;
	if (isnan(x))
		return NAN;
	for (uint32_t i = 0; i < n; i++)
		same += r->cells[i].x == x;
	return same;
}

/* "values":[[seconds ago, number], ...], newest first. */
static void last_describe(void *handle, const struct cw_tx *tx, double field, struct cw_buf *out)
{
	struct last *l = CW_CAST(handle, LAST_MAGIC);
	const struct ring *r = cw_keyed_find(&l->k, tx, field);
	uint32_t n = held(l, r);

	cw_buf_puts(out, ",\"values\":[");
	for (uint32_t i = 1; i <= n && i <= VALUES_TOLD; i++) {
		const struct cell *cell = cell_at(l, r, i);

		cw_buf_printf(out, "%s[%lld,%.15g]", i > 1 ? "," : "", (long long)(tx->timestamp - cell->time), cell->x);
	}
	cw_buf_putc(out, ']');
}

static void *last_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	const struct cw_keyed_conf conf = {
		.magic = LAST_MAGIC,
		.handle_size = sizeof(struct last),
		.value_size = sizeof(struct ring) + (size_t)vals[OPT_N].number * sizeof(struct cell),
		.touch_parts = true,
	};
	struct last *l = cw_keyed_new(&conf, st, root, vals, err);

	if (l == NULL)
		return NULL;
	l->of = vals[OPT_OF].field;
	l->n = (uint32_t)vals[OPT_N].number;
	return l;
}

static const struct cw_opt last_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to keep; left out: the number is an argument" },
	{ .name = "n", .type = CW_OPT_COUNT, .def = 10, .min = 1, .max = N_MAX, .doc = "numbers kept for a key" },
	{ .name = NULL },
};

static const struct cw_method last_methods[] = {
	{ .name = "add", .fn = last_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "keeps this number; returns how many are held, this one included" },
	{ .name = "at", .fn = last_at, .takes_tx = true, .a = CW_ARG_NUMBER, .b = CW_ARG_FIELD,
	  .doc = "the number added i-th last (1, the default, is the newest), nil if there are fewer" },
	{ .name = "age", .fn = last_age, .takes_tx = true, .a = CW_ARG_NUMBER, .b = CW_ARG_FIELD,
	  .doc = "seconds from the i-th last number to this transaction, nil if there are fewer" },
	{ .name = "count", .fn = last_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "how many numbers are held" CW_ARG_LOOKUP_DOC },
	{ .name = "mean", .fn = last_mean, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "mean of the numbers held, nil if none" CW_ARG_LOOKUP_DOC },
	{ .name = "equal", .fn = last_equal, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "how many of the numbers held equal this one" },
	{ .name = NULL },
};

const struct cw_primitive cw_window_last = {
	.table = "window", .name = "last", .version = 1,
	.doc = "The last n numbers of a key and when they came, in order of arrival.",
	.error = "exact",
	.memory = "48 + 16 n bytes a key, rounded up to 64 (256 with 10); add O(1), mean and equal O(n)", .source = "",
	.example = "past = window.last { key = \"from\", of = \"value\", n = 20 }   -- past:equal(tx) >= 10",
	.opts = last_opts, .methods = last_methods, .open = last_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = last_describe,
};
