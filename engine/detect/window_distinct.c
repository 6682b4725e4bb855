/* window_distinct.c - how many different values a key met in the last `span` of event time.
 *
 * A key has a small hash table of the values it met: 32 bits of a value's hash and the sub-bucket in which it was met
 * last. Counting by the bucket of the *last* meeting makes the window slide: when a bucket leaves, its values leave.
 * Exact up to `capacity` values. Beyond that the table becomes a sample (adaptive sampling: Wegman; Flajolet, On
 * adaptive sampling, Computing 43, 1990): only values whose hash starts with `level` zero bits are kept, each standing
 * for 2^level. Every bucket has its own level, so that sampling ends when the crowd has passed.
 *
 * Most keys meet one or two values: those live inside the dictionary's entry, without a table. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define DISTINCT_MAGIC 0x44495354u
#define SLOTS_MAX      61
#define INLINE_CELLS   2
#define BUCKET_PAST    1

enum distinct_opt { OPT_OF = CW_OPT_AT_OWN, OPT_SPAN, OPT_BUCKETS, OPT_CAPACITY };

struct distinct {
	struct cw_keyed k;
	cw_fieldset of;
	uint64_t span_s, buckets;
	uint32_t slots;
	uint32_t capacity;
	uint32_t cells_max;           /* of a table: a power of two of at least 4/3 of the capacity */
	size_t levels_at, counts_at, cells_at;   /* offsets into the value of a key */
};

/* Value of a key. Behind it: level[slots] of 8 bits, count[slots] of 16, padding, INLINE_CELLS cells of 64. */
struct head {
	uint32_t newest;              /* number of the newest bucket; 0: nothing yet */
	cw_ref table;                 /* 0: the cells are inline */
	uint32_t cells;               /* a power of two */
	uint32_t used;                /* cells that are not 0, those of the past included */
};

/* A cell: hash bits above, bucket of the last meeting below; 0 is free. */
static inline uint64_t cell_make(uint32_t print, uint32_t bucket)
{
	return (uint64_t)print << 32 | bucket;
}

static inline uint32_t cell_print(uint64_t cell)
{
	return (uint32_t)(cell >> 32);
}

static inline uint32_t cell_bucket(uint64_t cell)
{
	return (uint32_t)cell;
}

static uint8_t *levels(const struct distinct *d, struct head *h)
{
	return (uint8_t *)h + d->levels_at;
}

static uint16_t *counts(const struct distinct *d, struct head *h)
{
	return (uint16_t *)(void *)((uint8_t *)h + d->counts_at);
}

static uint64_t *cells_of(const struct distinct *d, struct head *h)
{
	return h->table != 0 ? cw_state_ptr(d->k.st, h->table) : (void *)((uint8_t *)h + d->cells_at);
}

static uint32_t bucket_of(const struct distinct *d, int64_t time)
{
	/* buckets start behind BUCKET_PAST, which is out of every window */
	uint64_t bucket = (uint64_t)cw_time32(time) * d->buckets / d->span_s + BUCKET_PAST + SLOTS_MAX;

	return bucket < UINT32_MAX ? (uint32_t)bucket : UINT32_MAX - 1;   /* loops run to it and stop */
}

static bool is_live(const struct distinct *d, const struct head *h, uint32_t bucket)
{
	return h->newest - bucket < d->slots;
}

/* Values of the buckets that a window ending in `bucket` (not before the newest) sees, each with its weight. */
static double total(const struct distinct *d, struct head *h, uint32_t bucket)
{
	const uint8_t *level = levels(d, h);
	const uint16_t *count = counts(d, h);
	uint64_t gone = bucket - h->newest;
	double sum = 0;

	if (gone >= d->slots || h->newest == 0)
		return 0;
	if (gone == 0) {
		uint32_t plain = 0, weighted = 0;

		for (uint32_t i = 0; i < d->slots; i++) {
			plain += count[i];
			weighted |= level[i];
		}
		if (weighted == 0)
			return plain;
	}
	for (uint64_t i = 0; i < d->slots - gone; i++) {
		uint32_t slot = (uint32_t)((h->newest - i) % d->slots);

		sum += ldexp(count[slot], level[slot]);
	}
	return sum;
}

static uint32_t live_cells(const struct distinct *d, struct head *h)
{
	const uint16_t *count = counts(d, h);
	uint32_t live = 0;

	for (uint32_t i = 0; i < d->slots; i++)
		live += count[i];
	return live;
}

/* Opens the buckets up to `bucket`; those that leave are empty then. */
static void advance(const struct distinct *d, struct head *h, uint32_t bucket)
{
	uint8_t *level = levels(d, h);
	uint16_t *count = counts(d, h);
	uint32_t steps = bucket - h->newest, start = 0;

	if (h->newest == 0 || steps >= d->slots) {
		memset(level, 0, d->slots);
		memset(count, 0, d->slots * sizeof(*count));
		h->newest = bucket;
		return;
	}
	start = level[h->newest % d->slots];
	for (uint32_t b = h->newest + 1; b <= bucket; b++)
		count[b % d->slots] = 0;
	/* a crowd that has left a quarter of the room needs less sampling from here on */
	if (start > 0 && live_cells(d, h) < d->capacity / 4)
		start--;
	for (uint32_t b = h->newest + 1; b <= bucket; b++)
		level[b % d->slots] = (uint8_t)start;
	h->newest = bucket;
}

/* Where a value is or may go: its own cell; else one of the past, else a free one, else NULL. */
static uint64_t *find_cell(const struct distinct *d, struct head *h, uint32_t print, uint64_t *cells)
{
	uint64_t *spare = NULL;

	for (uint32_t i = 0; i < h->cells; i++) {
		uint64_t *cell = &cells[(print + i) & (h->cells - 1)];

		if (*cell == 0)
			return spare != NULL ? spare : cell;
		if (cell_print(*cell) == print)
			return cell;
		if (spare == NULL && !is_live(d, h, cell_bucket(*cell)))
			spare = cell;
	}
	return spare;
}

/* Fills `to` with the living cells of `from` that pass the level; both sizes are powers of two. */
static void rebuild(const struct distinct *d, struct head *h, const uint64_t *from, uint32_t nfrom, uint64_t *to,
                    uint32_t nto)
{
	h->used = 0;
	for (uint32_t i = 0; i < nfrom; i++) {
		uint32_t at = cell_print(from[i]);

		if (from[i] == 0 || !is_live(d, h, cell_bucket(from[i])))
			continue;
		while (to[at & (nto - 1)] != 0)
			at++;
		to[at & (nto - 1)] = from[i];
		h->used++;
	}
}

/* Drops the values that do not pass one more zero bit, in every bucket that sampled less. The print's upper bits are
 * the hash's upper bits, and places in the table come from its lower bits. */
static void raise_level(const struct distinct *d, struct head *h, uint64_t *cells)
{
	uint8_t *level = levels(d, h);
	uint16_t *count = counts(d, h);
	uint32_t next = level[h->newest % d->slots] + 1u;

	cw_state_touch(d->k.st, cells, h->cells * sizeof(*cells));
	for (uint32_t i = 0; i < h->cells; i++) {
		uint32_t slot = cell_bucket(cells[i]) % d->slots;

		if (cells[i] == 0 || !is_live(d, h, cell_bucket(cells[i])) || next <= level[slot])
			continue;
		if (cell_print(cells[i]) >> (32 - next) != 0) {
			count[slot]--;
			cells[i] = cell_make(cell_print(cells[i]), BUCKET_PAST);   /* of the past: the place may be used again */
		}
	}
	for (uint32_t i = 0; i < d->slots; i++)
		if (level[i] < next)
			level[i] = (uint8_t)next;
}

static size_t cells_bytes(uint32_t cells)
{
	return cells * sizeof(uint64_t);
}

/* Makes a table of `cells` the key's. False: no memory; the old one stays. `*h` may have moved. */
static bool resize(struct distinct *d, const struct cw_tx *tx, struct head **h, uint32_t cells)
{
	void *value = *h;
	cw_ref table = cw_keyed_alloc(&d->k, tx, cells_bytes(cells), &value), old;
	uint64_t *fresh = cw_state_ptr(d->k.st, table);
	uint32_t nold;

	*h = value;
	if (table == 0 || value == NULL) {
		if (table != 0)
			cw_state_free(d->k.st, d->k.root->owner, table, cells_bytes(cells));
		return false;
	}
	old = (*h)->table;
	nold = (*h)->cells;
	cw_state_touch(d->k.st, fresh, cells_bytes(cells));
	rebuild(d, *h, cells_of(d, *h), nold, fresh, cells);
	(*h)->table = table;
	(*h)->cells = cells;
	if (old != 0)
		cw_state_free(d->k.st, d->k.root->owner, old, cells_bytes(nold));
	return true;
}

/* After this one more value fits (or its entry is gone, *h NULL). */
static void make_room(struct distinct *d, const struct cw_tx *tx, struct head **h)
{
	uint32_t live = live_cells(d, *h), want = (*h)->cells;
	uint64_t *cells;

	if (live < d->capacity) {
		/* half full after it; the same size again when the past had filled it */
		while (want < d->cells_max && want < 2 * (live + 1))
			want *= 2;
		if (want < 8)
			want = 8;
		if (resize(d, tx, h, want) || *h == NULL)
			return;
	}
	do {
		cells = cells_of(d, *h);
		raise_level(d, *h, cells);
	} while (live_cells(d, *h) > live / 4 * 3 && levels(d, *h)[(*h)->newest % d->slots] < 31);
}

static bool is_full(const struct head *h)
{
	return h->cells <= INLINE_CELLS ? h->used >= h->cells : h->used >= h->cells / 4 * 3;
}

static void meet(struct distinct *d, const struct cw_tx *tx, struct head *h, uint32_t print, uint32_t bucket)
{
	uint64_t *cells = cells_of(d, h), *cell;
	uint32_t slot = bucket % d->slots, old = 0;

	if (levels(d, h)[slot] > 0 && print >> (32 - levels(d, h)[slot]) != 0)
		return;   /* not of the sample */
	cell = find_cell(d, h, print, cells);
	if (cell != NULL && *cell != 0 && cell_print(*cell) == print && is_live(d, h, cell_bucket(*cell)))
		old = cell_bucket(*cell);
	if (old >= bucket)
		return;
	if (old == 0 && (cell == NULL || (*cell == 0 && is_full(h)) || live_cells(d, h) >= d->capacity)) {
		make_room(d, tx, &h);
		if (h == NULL || (levels(d, h)[slot] > 0 && print >> (32 - levels(d, h)[slot]) != 0))
			return;
		cells = cells_of(d, h);
		cell = find_cell(d, h, print, cells);
		if (cell == NULL)
			return;
	}
	if (old != 0)
		counts(d, h)[old % d->slots]--;
	if (*cell == 0)
		h->used++;
	cw_state_touch(d->k.st, cell, sizeof(*cell));
	*cell = cell_make(print, bucket);
	counts(d, h)[slot]++;
}

static double distinct_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct distinct *d = CW_CAST(handle, DISTINCT_MAGIC);
	uint32_t bucket = bucket_of(d, tx->timestamp);
	struct head *h;
	uint64_t hash;

	(void)a;
	(void)b;
	if (!cw_fieldset_hash(tx, d->of, &hash))
		return NAN;
	h = cw_keyed_upsert(&d->k, tx);
	if (h == NULL)
		return NAN;
	if (h->cells == 0)
		h->cells = INLINE_CELLS;
	if (bucket > h->newest)
		advance(d, h, bucket);
	if (is_live(d, h, bucket)) {
		meet(d, tx, h, (uint32_t)(hash >> 32), bucket);
		h = cw_keyed_find(&d->k, tx, NAN);   /* a larger table may have cost other entries */
		if (h == NULL)
			return NAN;
	}
	return total(d, h, h->newest);
}

static double distinct_get(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct distinct *d = CW_CAST(handle, DISTINCT_MAGIC);
	struct head *h = cw_keyed_find(&d->k, tx, a);
	uint32_t bucket = bucket_of(d, tx->timestamp);

	(void)b;
	if (h == NULL)
		return 0;
	return total(d, h, bucket > h->newest ? bucket : h->newest);
}

static void evict_table(struct cw_state *st, uint32_t owner, void *value, void *arg)
{
	const struct head *h = value;

	(void)arg;
	if (h->table != 0)
		cw_state_free(st, owner, h->table, cells_bytes(h->cells));
}

static void *distinct_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                           struct cw_err *err)
{
	uint64_t span_s = (uint64_t)vals[OPT_SPAN].number, buckets = (uint64_t)vals[OPT_BUCKETS].number;
	struct cw_keyed_conf conf = {
		.magic = DISTINCT_MAGIC, .handle_size = sizeof(struct distinct), .evict = evict_table,
	};
	size_t levels_at = sizeof(struct head), counts_at, cells_at;
	struct distinct *d;

	if (buckets > span_s)
		buckets = span_s;
	counts_at = (levels_at + buckets + 1 + 1) / 2 * 2;
	cells_at = (counts_at + (buckets + 1) * sizeof(uint16_t) + 7) / 8 * 8;
	conf.value_size = cells_at + INLINE_CELLS * sizeof(uint64_t);
	d = cw_keyed_new(&conf, st, root, vals, err);
	if (d == NULL)
		return NULL;
	d->of = vals[OPT_OF].key;
	d->span_s = span_s;
	d->buckets = buckets;
	d->slots = (uint32_t)buckets + 1;
	d->capacity = (uint32_t)vals[OPT_CAPACITY].number;
	d->cells_max = 8;
	while (d->cells_max / 4 * 3 < d->capacity)
		d->cells_max *= 2;
	d->levels_at = levels_at;
	d->counts_at = counts_at;
	d->cells_at = cells_at;
	return d;
}

/* "buckets":[[seconds since its begin, values met last in it], ...], the newest first; empty ones are left out. */
static void distinct_describe(void *handle, const struct cw_tx *tx, double field, struct cw_buf *out)
{
	const struct distinct *d = CW_CAST(handle, DISTINCT_MAGIC);
	struct head *h = cw_keyed_find(&d->k, tx, field);
	uint32_t now = bucket_of(d, tx->timestamp), slots = h != NULL && h->newest != 0 ? d->slots : 0;
	const char *comma = "";

	cw_buf_puts(out, ",\"buckets\":[");
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t bucket = h->newest - i, slot = bucket % d->slots;
		double begin = ((double)bucket - BUCKET_PAST - SLOTS_MAX) * (double)d->span_s / (double)d->buckets;

		if (counts(d, h)[slot] == 0 || (now > h->newest && now - bucket >= d->slots))
			continue;
		cw_buf_printf(out, "%s[%.0f,%.0f]", comma, (double)tx->timestamp - begin,
		              ldexp(counts(d, h)[slot], levels(d, h)[slot]));
		comma = ",";
	}
	cw_buf_putc(out, ']');
}

static const struct cw_opt distinct_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_KEY, .required = true, .doc = "field or fields whose different values are counted" },
	{ .name = "span", .type = CW_OPT_SPAN, .required = true, .min = 1, .max = 400 * 86400,
	  .doc = "length of the window in event time" },
	{ .name = "buckets", .type = CW_OPT_COUNT, .def = 16, .min = 1, .max = SLOTS_MAX - 1,
	  .doc = "sub-buckets of the window; values met up to span / buckets too early are still seen" },
	{ .name = "capacity", .type = CW_OPT_COUNT, .def = 256, .min = 16, .max = 16384,
	  .doc = "different values a key counts exactly; more are estimated from a sample of that size" },
	{ .name = NULL },
};

static const struct cw_method distinct_methods[] = {
	{ .name = "add", .fn = distinct_add, .takes_tx = true,
	  .doc = "number of different values in the window, this one included" },
	{ .name = "get", .fn = distinct_get, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "number of different values in the window at this transaction's time" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_window_distinct = {
	.table = "window", .name = "distinct", .version = 1,
	.doc = "How many different values (receivers, senders, selectors) a key met in the last span of event time.",
	.error = "exact up to `capacity` values, beyond it a relative standard error of some 1.2 / sqrt(capacity) (7.5 % at "
	         "256); every value of the last span is in, and none older than span * (1 + 1/buckets). Two values fall "
	         "together with probability 2^-32. Late ones count in the bucket of their time",
	.memory = "128 bytes a key that meets one or two values, and a table of 8 to 21 bytes a value beyond; O(1) an event",
	.source = "P. Flajolet, On adaptive sampling, Computing 43 (1990)",
	.example = "seen = window.distinct { key = \"from\", of = \"to\", span = \"10m\" }   -- seen:add(tx) >= 25",
	.opts = distinct_opts, .methods = distinct_methods, .open = distinct_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .describe = distinct_describe,
};
