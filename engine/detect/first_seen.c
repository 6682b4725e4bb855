/* first_seen.c - when a key was seen first and last, and how often. */
#include <math.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define FIRST_SEEN_MAGIC 0x46495253u

struct entry {
	uint32_t first_s, last_s;     /* + 1, so that 0 is never */
	uint64_t count;
};

static double seen_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct cw_keyed *k = CW_CAST(handle, FIRST_SEEN_MAGIC);
	struct entry *e = cw_keyed_upsert(k, tx);
	uint32_t now = cw_time32(tx->timestamp);

	(void)a;
	(void)b;
	if (e == NULL)
		return NAN;
	if (now == UINT32_MAX)
		now--;
	if (e->count == 0 || now + 1 < e->first_s)
		e->first_s = now + 1;
	if (now + 1 > e->last_s)
		e->last_s = now + 1;
	return e->count++ == 0;
}

static const struct entry *look(void *handle, const struct cw_tx *tx, double field)
{
	const struct entry *e = cw_keyed_find(CW_CAST(handle, FIRST_SEEN_MAGIC), tx, field);

	return e != NULL && e->count > 0 ? e : NULL;
}

static double since(const struct cw_tx *tx, uint32_t then_s)
{
	double s = (double)cw_time32(tx->timestamp) - (double)(then_s - 1);

	return s > 0 ? s : 0;
}

static double seen_is_new(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return look(handle, tx, a) == NULL;
}

static double seen_age(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct entry *e = look(handle, tx, a);

	(void)b;
	return e != NULL ? since(tx, e->first_s) : NAN;
}

static double seen_idle(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct entry *e = look(handle, tx, a);

	(void)b;
	return e != NULL ? since(tx, e->last_s) : NAN;
}

static double seen_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct entry *e = look(handle, tx, a);

	(void)b;
	return e != NULL ? (double)e->count : 0;
}

static void *seen_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	return cw_keyed_plain(sizeof(struct cw_keyed), FIRST_SEEN_MAGIC, st, root, vals, sizeof(struct entry), err);
}

static const struct cw_opt seen_opts[] = { CW_KEYED_OPTS, { .name = NULL } };
static const struct cw_method seen_methods[] = {
	{ .name = "add", .fn = seen_add, .takes_tx = true, .result = CW_RESULT_BOOL,
	  .doc = "notes this transaction; true if the key was new. Ask the other methods before it" },
	{ .name = "is_new", .fn = seen_is_new, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_BOOL,
	  .doc = "true if the key was never noted" CW_ARG_LOOKUP_DOC },
	{ .name = "age", .fn = seen_age, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "seconds since the key was seen first, nil if it is new" CW_ARG_LOOKUP_DOC },
	{ .name = "idle", .fn = seen_idle, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "seconds since the key was seen last, nil if it is new" CW_ARG_LOOKUP_DOC },
	{ .name = "count", .fn = seen_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transactions noted for the key" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_key_first_seen = {
	.table = "key", .name = "first_seen", .version = 1,
	.doc = "Whether, since when and how often a key was seen: new accounts, dormant ones that wake up.",
	.error = "exact as long as the key is kept; one that had to make room (max_keys) is new again. Seconds saturate "
	         "in 2106",
	.memory = "64 bytes a key; O(1)", .source = "",
	.example = "known = key.first_seen { key = \"from\" }   -- (known:idle(tx) or 0) > 180 * 86400",
	.opts = seen_opts, .methods = seen_methods, .open = seen_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
