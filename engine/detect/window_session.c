/* window_session.c - runs of transactions without a long pause (sessions), fixed periods of the clock (tumbling). */
#include <math.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define SESSION_MAGIC  0x53455353u
#define TUMBLING_MAGIC 0x54554d42u

enum session_opt { S_GAP = CW_OPT_AT_OWN, S_OF };
enum tumbling_opt { T_SPAN = CW_OPT_AT_OWN, T_OF };

struct window {
	struct cw_keyed k;
	enum cw_field of;
	uint32_t span_s;              /* the longest pause, or the period */
};

static double number_of(const struct window *w, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && w->of != CW_FIELD_NONE ? cw_field_number(tx, w->of) : a;

	return isnan(x) ? 0 : x;      /* counts do not need a number */
}

/* ---------------------------------------------------------------- window.session */

struct session {
	uint32_t start_s, last_s;     /* of the newest session */
	uint32_t count, pad;
	double sum;
};

static double session_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, SESSION_MAGIC);
	struct session *s = cw_keyed_upsert(&w->k, tx);
	uint32_t now = cw_time32(tx->timestamp);

	(void)b;
	if (s == NULL)
		return NAN;
	if (s->count > 0 && now + (uint64_t)w->span_s < s->start_s)
		return s->count;          /* so late that it belongs to an earlier session */
	if (s->count == 0 || now > s->last_s + (uint64_t)w->span_s)
		*s = (struct session){ .start_s = now, .last_s = now };
	if (now < s->start_s)
		s->start_s = now;
	if (now > s->last_s)
		s->last_s = now;
	s->count++;
	s->sum += number_of(w, tx, a);
	return s->count;
}

/* The session that is still open at the transaction's time, or NULL. */
static const struct session *open_session(void *handle, const struct cw_tx *tx, double field)
{
	struct window *w = CW_CAST(handle, SESSION_MAGIC);
	const struct session *s = cw_keyed_find(&w->k, tx, field);

	return s != NULL && s->count > 0 && cw_time32(tx->timestamp) <= s->last_s + (uint64_t)w->span_s ? s : NULL;
}

static double session_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct session *s = open_session(handle, tx, a);

	(void)b;
	return s != NULL ? s->count : 0;
}

static double session_sum(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct session *s = open_session(handle, tx, a);

	(void)b;
	return s != NULL ? s->sum : 0;
}

static double session_length(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct session *s = open_session(handle, tx, a);

	(void)b;
	return s != NULL ? (double)(s->last_s - s->start_s) : NAN;
}

static void *session_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	struct window *w = cw_keyed_plain(sizeof(*w), SESSION_MAGIC, st, root, vals, sizeof(struct session), err);

	if (w == NULL)
		return NULL;
	w->span_s = (uint32_t)vals[S_GAP].number;
	w->of = vals[S_OF].field;
	return w;
}

static const struct cw_opt session_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "gap", .type = CW_OPT_SPAN, .required = true, .min = 1, .max = 400 * 86400,
	  .doc = "a longer pause ends the session" },
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to sum; left out: the number is an argument of add, or none" },
	{ .name = NULL },
};
static const struct cw_method session_methods[] = {
	{ .name = "add", .fn = session_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "transactions in the session, this one included" },
	{ .name = "count", .fn = session_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transactions in the session that is open, 0 if none is" CW_ARG_LOOKUP_DOC },
	{ .name = "sum", .fn = session_sum, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "sum of the numbers in the session that is open" CW_ARG_LOOKUP_DOC },
	{ .name = "length", .fn = session_length, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "seconds from its first to its last transaction, nil if none is open" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_window_session = {
	.table = "window", .name = "session", .version = 1,
	.doc = "Transactions of a key that follow each other without a long pause: number, sum and length of the run.",
	.error = "exact in order of arrival; a late one stretches the newest session or, earlier than that by more than the "
	         "gap, is left out",
	.memory = "64 bytes a key; O(1)", .source = "",
	.example = "burst = window.session { key = \"from\", gap = \"2m\", of = \"value\" }   -- burst:add(tx) >= 30",
	.opts = session_opts, .methods = session_methods, .open = session_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

/* ---------------------------------------------------------------- window.tumbling */

struct tumbling {
	uint32_t period;              /* the newest + 1; 0: none yet */
	uint32_t count, before_count; /* of the newest, and of the one right before it */
	uint32_t pad;
	double sum, min, max, before_sum;
};

static uint32_t period_of(const struct window *w, const struct cw_tx *tx)
{
	return cw_time32(tx->timestamp) / w->span_s + 1;
}

static double tumbling_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct window *w = CW_CAST(handle, TUMBLING_MAGIC);
	struct tumbling *t = cw_keyed_upsert(&w->k, tx);
	uint32_t period = period_of(w, tx);
	double x = number_of(w, tx, a);

	(void)b;
	if (t == NULL)
		return NAN;
	if (period > t->period) {
		bool next = period == t->period + 1;

		*t = (struct tumbling){ .period = period, .before_count = next ? t->count : 0,
			                    .before_sum = next ? t->sum : 0 };
	}
	if (period == t->period) {
		t->min = t->count == 0 || x < t->min ? x : t->min;
		t->max = t->count == 0 || x > t->max ? x : t->max;
		t->count++;
		t->sum += x;
	} else if (period + 1 == t->period) {
		t->before_count++;
		t->before_sum += x;
	}
	return t->count;
}

/* The entry, and how many periods ago its newest one was; NULL: nothing known. */
static const struct tumbling *look(void *handle, const struct cw_tx *tx, double field, uint32_t *ago)
{
	struct window *w = CW_CAST(handle, TUMBLING_MAGIC);
	const struct tumbling *t = cw_keyed_find(&w->k, tx, field);

	if (t == NULL || t->period == 0)
		return NULL;
	*ago = period_of(w, tx) > t->period ? period_of(w, tx) - t->period : 0;
	return t;
}

static double tumbling_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	uint32_t ago;
	const struct tumbling *t = look(handle, tx, a, &ago);

	(void)b;
	return t != NULL && ago == 0 ? t->count : 0;
}

static double tumbling_sum(void *handle, const struct cw_tx *tx, double a, double b)
{
	uint32_t ago;
	const struct tumbling *t = look(handle, tx, a, &ago);

	(void)b;
	return t != NULL && ago == 0 ? t->sum : 0;
}

static double tumbling_min(void *handle, const struct cw_tx *tx, double a, double b)
{
	uint32_t ago;
	const struct tumbling *t = look(handle, tx, a, &ago);

	(void)b;
	return t != NULL && ago == 0 && t->count > 0 ? t->min : NAN;
}

static double tumbling_max(void *handle, const struct cw_tx *tx, double a, double b)
{
	uint32_t ago;
	const struct tumbling *t = look(handle, tx, a, &ago);

	(void)b;
	return t != NULL && ago == 0 && t->count > 0 ? t->max : NAN;
}

static double tumbling_before_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	uint32_t ago;
	const struct tumbling *t = look(handle, tx, a, &ago);

	(void)b;
	return t == NULL || ago > 1 ? 0 : ago == 1 ? t->count : t->before_count;
}

static double tumbling_before_sum(void *handle, const struct cw_tx *tx, double a, double b)
{
	uint32_t ago;
	const struct tumbling *t = look(handle, tx, a, &ago);

	(void)b;
	return t == NULL || ago > 1 ? 0 : ago == 1 ? t->sum : t->before_sum;
}

static void *tumbling_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                           struct cw_err *err)
{
	struct window *w = cw_keyed_plain(sizeof(*w), TUMBLING_MAGIC, st, root, vals, sizeof(struct tumbling), err);

	if (w == NULL)
		return NULL;
	w->span_s = (uint32_t)vals[T_SPAN].number;
	w->of = vals[T_OF].field;
	return w;
}

static const struct cw_opt tumbling_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "span", .type = CW_OPT_SPAN, .required = true, .min = 1, .max = 400 * 86400,
	  .doc = "length of a period; periods start at its multiples since 1970 (\"1d\": midnight UTC)" },
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to sum; left out: the number is an argument of add, or none" },
	{ .name = NULL },
};
static const struct cw_method tumbling_methods[] = {
	{ .name = "add", .fn = tumbling_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "transactions in the newest period, this one included" },
	{ .name = "count", .fn = tumbling_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transactions in this transaction's period so far" CW_ARG_LOOKUP_DOC },
	{ .name = "sum", .fn = tumbling_sum, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "sum of the numbers in it" CW_ARG_LOOKUP_DOC },
	{ .name = "min", .fn = tumbling_min, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "smallest number in it, nil if there is none" CW_ARG_LOOKUP_DOC },
	{ .name = "max", .fn = tumbling_max, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "largest number in it, nil if there is none" CW_ARG_LOOKUP_DOC },
	{ .name = "before_count", .fn = tumbling_before_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transactions in the period right before it" CW_ARG_LOOKUP_DOC },
	{ .name = "before_sum", .fn = tumbling_before_sum, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "sum of the numbers in the period right before it" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_window_tumbling = {
	.table = "window", .name = "tumbling", .version = 1,
	.doc = "Count, sum, minimum and maximum of a key in fixed periods (each hour, each day UTC), and those of the period "
	       "before.",
	.error = "exact; a late transaction counts in its own period if that is the newest or the one before, else not",
	.memory = "128 bytes a key; O(1)", .source = "",
	.example = "daily = window.tumbling { key = \"from\", span = \"1d\", of = \"value\" }   "
	           "-- daily:add(tx); daily:sum(tx) > 10 * daily:before_sum(tx)",
	.opts = tumbling_opts, .methods = tumbling_methods, .open = tumbling_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
