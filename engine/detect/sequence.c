/* sequence.c - patterns in the order of a key's transactions: steps within a time, repetitions, nonces, sandwiches. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define STEPS_MAGIC    0x53544550u
#define REPEATS_MAGIC  0x52455045u
#define NONCE_MAGIC    0x4e4f4e43u
#define SANDWICH_MAGIC 0x53414e44u

struct sequence {
	struct cw_keyed k;
	cw_fieldset of;
	uint32_t span_s;
	uint32_t n;                   /* steps, or transactions that are remembered */
	bool priced;
};

#define SHARED .close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch

/* ---------------------------------------------------------------- sequence.steps */

enum steps_opt { ST_STEPS = CW_OPT_AT_OWN, ST_SPAN };
#define STEPS_MAX 8

/* Value of a key: for each i the latest time + 1 at which a run of steps 1 to i + 1 began, 0 if there is none. Keeping
 * the latest start of every length finds each run that exists, without remembering any of the others. */
struct steps { uint32_t start[STEPS_MAX]; };

static double steps_step(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, STEPS_MAGIC);
	uint32_t now = cw_time32(tx->timestamp), *start;
	struct steps *s;
	int i;

	(void)b;
	if (!(a >= 1 && a <= q->n))
		return NAN;
	i = (int)a - 1;
	s = cw_keyed_upsert(&q->k, tx);
	if (s == NULL)
		return NAN;
	start = s->start;
	if (now == UINT32_MAX)
		now--;
	if (i == 0) {
		if (now + 1 > start[0])
			start[0] = now + 1;
		return 1;
	}
	if (start[i - 1] == 0 || start[i - 1] > now + 1 || now + 1 - start[i - 1] > q->span_s)
		return 0;
	if ((uint32_t)i + 1 == q->n)
		memset(start, 0, q->n * sizeof(*start));   /* done: the next run starts from the first step */
	else if (start[i - 1] > start[i])
		start[i] = start[i - 1];
	return i + 1;
}

/* The longest run that may still go on. */
static double steps_done(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, STEPS_MAGIC);
	const struct steps *s = cw_keyed_find(&q->k, tx, a);
	uint32_t now = cw_time32(tx->timestamp);

	(void)b;
	for (uint32_t i = s != NULL ? q->n - 1 : 0; i > 0; i--)
		if (s->start[i - 1] != 0 && (uint64_t)now + 1 <= (uint64_t)s->start[i - 1] + q->span_s)
			return i;
	return 0;
}

static double steps_clear(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, STEPS_MAGIC);
	struct steps *s = cw_keyed_find(&q->k, tx, a);

	(void)b;
	if (s == NULL)
		return 0;
	cw_state_touch(q->k.st, s, q->n * sizeof(s->start[0]));
	memset(s, 0, q->n * sizeof(s->start[0]));
	return 1;
}

static void *steps_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	uint32_t n = (uint32_t)vals[ST_STEPS].number;
	struct sequence *q = cw_keyed_plain(sizeof(*q), STEPS_MAGIC, st, root, vals, n * sizeof(uint32_t), err);

	if (q == NULL)
		return NULL;
	q->n = n;
	q->span_s = (uint32_t)vals[ST_SPAN].number;
	return q;
}

static const struct cw_opt steps_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "steps", .type = CW_OPT_COUNT, .def = 2, .min = 2, .max = STEPS_MAX, .doc = "steps of the pattern" },
	{ .name = "span", .type = CW_OPT_SPAN, .required = true, .min = 1, .max = 400 * 86400,
	  .doc = "time from the first to the last step" },
	{ .name = NULL },
};
static const struct cw_method steps_methods[] = {
	{ .name = "step", .fn = steps_step, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "this transaction is the i-th step (1 to steps): i if the steps before it were done in order within the "
	         "span, else 0; the last step ends the run" },
	{ .name = "done", .fn = steps_done, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "steps done of the longest run that may still go on, 0 if there is none" CW_ARG_LOOKUP_DOC },
	{ .name = "clear", .fn = steps_clear, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_BOOL,
	  .doc = "what must not happen has happened: forgets all runs of the key" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_sequence_steps = {
	.table = "sequence", .name = "steps", .version = 1,
	.doc = "First this, then that within some time, and not that other thing between: the rule says which transaction is "
	       "which step, and clears the run when it must not go on.",
	.error = "exact for steps in order of event time",
	.memory = "64 bytes a key with up to 6 steps, 128 with more; O(steps)", .source = "",
	.example = "drain = sequence.steps { key = \"from\", span = \"1h\" }   "
	           "-- is_approval and drain:step(tx, 1); is_transfer and drain:step(tx, 2) == 2",
	.opts = steps_opts, .methods = steps_methods, .open = steps_open, SHARED,
};

/* ---------------------------------------------------------------- sequence.repeats */

enum repeats_opt { RE_OF = CW_OPT_AT_OWN, RE_SPAN };

struct repeats {
	uint64_t hash;
	uint32_t count, first_s, last_s, pad;
};

static double repeats_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, REPEATS_MAGIC);
	uint32_t now = cw_time32(tx->timestamp);
	struct repeats *r;
	uint64_t hash;

	(void)a;
	(void)b;
	/* a transaction without the field (a transfer without a selector) is a value of its own */
	if (!cw_fieldset_hash(tx, q->of, &hash))
		hash = 0;
	r = cw_keyed_upsert(&q->k, tx);
	if (r == NULL)
		return NAN;
	if (r->count == 0 || r->hash != hash || now > r->last_s + (uint64_t)q->span_s)
		*r = (struct repeats){ .hash = hash, .first_s = now, .last_s = now };
	if (now > r->last_s)
		r->last_s = now;
	if (now < r->first_s)
		r->first_s = now;
	return ++r->count;
}

static const struct repeats *open_run(void *handle, const struct cw_tx *tx, double field)
{
	struct sequence *q = CW_CAST(handle, REPEATS_MAGIC);
	const struct repeats *r = cw_keyed_find(&q->k, tx, field);

	return r != NULL && cw_time32(tx->timestamp) <= r->last_s + (uint64_t)q->span_s ? r : NULL;
}

static double repeats_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct repeats *r = open_run(handle, tx, a);

	(void)b;
	return r != NULL ? r->count : 0;
}

static double repeats_length(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct repeats *r = open_run(handle, tx, a);

	(void)b;
	return r != NULL ? (double)(r->last_s - r->first_s) : NAN;
}

static void *repeats_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                          struct cw_err *err)
{
	struct sequence *q = cw_keyed_plain(sizeof(*q), REPEATS_MAGIC, st, root, vals, sizeof(struct repeats), err);

	if (q == NULL)
		return NULL;
	q->of = vals[RE_OF].key;
	q->span_s = (uint32_t)vals[RE_SPAN].number;
	return q;
}

static const struct cw_opt repeats_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_KEY, .required = true, .doc = "field or fields that must stay the same" },
	{ .name = "span", .type = CW_OPT_SPAN, .def = 3600, .min = 1, .max = 400 * 86400,
	  .doc = "a longer pause between two ends the run" },
	{ .name = NULL },
};
static const struct cw_method repeats_methods[] = {
	{ .name = "add", .fn = repeats_add, .takes_tx = true,
	  .doc = "how many times in a row the key has sent this value, this one included" },
	{ .name = "count", .fn = repeats_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "length of the run that is open, 0 if none is" CW_ARG_LOOKUP_DOC },
	{ .name = "length", .fn = repeats_length, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "seconds from its first to its last, nil if none is open" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_sequence_repeats = {
	.table = "sequence", .name = "repeats", .version = 1,
	.doc = "How often in a row a key did the same: the same selector, the same receiver, the same amount.",
	.error = "exact in order of arrival", .memory = "64 bytes a key; O(1)", .source = "",
	.example = "again = sequence.repeats { key = \"from\", of = \"to+selector\", span = \"1m\" }   -- again:add(tx) >= 20",
	.opts = repeats_opts, .methods = repeats_methods, .open = repeats_open, SHARED,
};

/* ---------------------------------------------------------------- sequence.nonce */

/* As in replay windows (RFC 4303, section 3.4.3): the highest nonce and which of the 64 up to it were seen. */
struct nonce {
	uint64_t next;                /* highest + 1; 0: none yet */
	uint64_t seen;                /* bit i: next - 1 - i */
};

static double nonce_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, NONCE_MAGIC);
	struct nonce *s = cw_keyed_upsert(&q->k, tx);
	uint64_t gap;
	double result;

	(void)a;
	(void)b;
	if (s == NULL)
		return NAN;
	if (s->next == 0) {
		*s = (struct nonce){ .next = tx->nonce + 1, .seen = 1 };
		return NAN;
	}
	result = (double)tx->nonce - (double)s->next;
	if (tx->nonce >= s->next) {
		gap = tx->nonce - s->next;
		s->seen = gap < 63 ? s->seen << (gap + 1) : 0;
		s->seen |= 1;
		s->next = tx->nonce + 1;
	} else if (s->next - 1 - tx->nonce < 64) {
		s->seen |= 1ull << (s->next - 1 - tx->nonce);
	}
	return result;
}

static double nonce_replaces(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, NONCE_MAGIC);
	const struct nonce *s = cw_keyed_find(&q->k, tx, NAN);

	(void)a;
	(void)b;
	return s != NULL && tx->nonce < s->next && s->next - 1 - tx->nonce < 64 &&
	       (s->seen >> (s->next - 1 - tx->nonce) & 1) != 0;
}

static double nonce_missing(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, NONCE_MAGIC);
	const struct nonce *s = cw_keyed_find(&q->k, tx, NAN);
	int lowest;

	(void)a;
	(void)b;
	if (s == NULL || s->seen == 0)
		return 0;
	/* holes between the lowest that was seen and the highest */
	lowest = 63 - __builtin_clzll(s->seen);
	return lowest + 1 - __builtin_popcountll(s->seen);
}

static void *nonce_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	return cw_keyed_plain(sizeof(struct sequence), NONCE_MAGIC, st, root, vals, sizeof(struct nonce), err);
}

static const struct cw_opt nonce_opts[] = {
	{ .name = "key", .type = CW_OPT_KEY, .def_text = "from", .doc = "whose nonces they are: the sender" },
	{ .name = "max_keys", .type = CW_OPT_COUNT, .def = 100000, .min = 1, .max = 50e6,
	  .doc = "entries kept; beyond it the entry whose last event is oldest among 8 makes room" },
	{ .name = NULL },
};
static const struct cw_method nonce_methods[] = {
	{ .name = "add", .fn = nonce_add, .takes_tx = true,
	  .doc = "nonce minus the one that was due: 0 in order, above 0 some are missing, below 0 late or a replacement; nil "
	         "for the first of a key" },
	{ .name = "replaces", .fn = nonce_replaces, .takes_tx = true, .result = CW_RESULT_BOOL,
	  .doc = "true if another transaction of the key had this nonce (of the last 64). Ask before add" },
	{ .name = "missing", .fn = nonce_missing, .takes_tx = true,
	  .doc = "nonces that have not come, of the last 64" },
	{ .name = NULL },
};

const struct cw_primitive cw_sequence_nonce = {
	.table = "sequence", .name = "nonce", .version = 1,
	.doc = "Nonces of a sender: gaps (transactions that were not seen), late ones and replacements (the same nonce "
	       "twice).",
	.error = "exact for the 64 nonces up to the highest", .memory = "64 bytes a key; O(1)",
	.source = "S. Kent, RFC 4303 (2005), section 3.4.3 (anti-replay window)",
	.example = "order = sequence.nonce { key = \"from\" }   -- order:replaces(tx); order:add(tx)",
	.opts = nonce_opts, .methods = nonce_methods, .open = nonce_open, SHARED,
};

/* ---------------------------------------------------------------- sequence.sandwich */

enum sandwich_opt { SW_OF = CW_OPT_AT_OWN, SW_N, SW_PRICED };
#define SANDWICH_MAX 64

struct place {
	uint32_t sender;              /* hash bits */
	uint32_t index;               /* in the block, or order of arrival */
	double price;
};

struct sandwich {
	uint64_t block;               /* + 1; 0: none yet */
	uint32_t count;               /* transactions of this block so far */
	uint32_t pad;
	struct place place[];         /* a ring of the last q->n */
};

/* Transactions of others between the sender's last one before `index` and `index`; with `priced` only if that one paid
 * at least as much as each of them. */
static uint32_t victims(const struct sequence *q, const struct sandwich *s, uint32_t sender, uint32_t index)
{
	uint32_t held = s->count < q->n ? s->count : q->n, between = 0;
	const struct place *front = NULL;
	double dearest = 0;

	for (uint32_t i = 0; i < held; i++) {
		const struct place *p = &s->place[i];

		if (p->sender == sender && p->index < index && (front == NULL || p->index > front->index))
			front = p;
	}
	for (uint32_t i = 0; front != NULL && i < held; i++) {
		const struct place *p = &s->place[i];

		if (p->sender == sender || p->index <= front->index || p->index >= index)
			continue;
		between++;
		dearest = fmax(dearest, p->price);
	}
	return q->priced && between > 0 && front->price < dearest ? 0 : between;
}

static double sandwich_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, SANDWICH_MAGIC);
	uint32_t found, index;
	struct sandwich *s;
	struct place *p;
	uint64_t hash;

	(void)a;
	(void)b;
	if (!cw_fieldset_hash(tx, q->of, &hash))
		return NAN;
	s = cw_keyed_upsert(&q->k, tx);
	if (s == NULL)
		return NAN;
	if (tx->block_number + 1 < s->block)
		return 0;                 /* of an earlier block, which is forgotten */
	cw_state_touch(q->k.st, s, sizeof(*s));
	if (tx->block_number + 1 > s->block) {
		s->block = tx->block_number + 1;
		s->count = 0;
	}
	index = (tx->has & CW_TX_HAS_INDEX) != 0 ? tx->index : s->count;
	found = victims(q, s, (uint32_t)hash, index);
	p = &s->place[s->count++ % q->n];
	cw_state_touch(q->k.st, p, sizeof(*p));
	*p = (struct place){ .sender = (uint32_t)hash, .index = index,
		                 .price = cw_field_number(tx, CW_FIELD_GAS_PRICE) };
	return found;
}

static double sandwich_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct sequence *q = CW_CAST(handle, SANDWICH_MAGIC);
	const struct sandwich *s = cw_keyed_find(&q->k, tx, a);

	(void)b;
	return s != NULL && tx->block_number + 1 == s->block ? s->count : 0;
}

static void *sandwich_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                           struct cw_err *err)
{
	uint32_t n = (uint32_t)vals[SW_N].number;
	const struct cw_keyed_conf conf = {
		.magic = SANDWICH_MAGIC, .handle_size = sizeof(struct sequence), .touch_parts = true,
		.value_size = sizeof(struct sandwich) + n * sizeof(struct place),
	};
	struct sequence *q = cw_keyed_new(&conf, st, root, vals, err);

	if (q == NULL)
		return NULL;
	q->of = vals[SW_OF].key;
	q->n = n;
	q->priced = vals[SW_PRICED].number != 0;
	return q;
}

static const struct cw_opt sandwich_opts[] = {
	{ .name = "key", .type = CW_OPT_KEY, .def_text = "to", .doc = "where it happens: the pool or router that is called" },
	{ .name = "max_keys", .type = CW_OPT_COUNT, .def = 10000, .min = 1, .max = 50e6,
	  .doc = "entries kept; beyond it the entry whose last event is oldest among 8 makes room" },
	{ .name = "of", .type = CW_OPT_KEY, .def_text = "from", .doc = "who does it: the sender" },
	{ .name = "n", .type = CW_OPT_COUNT, .def = 16, .min = 3, .max = SANDWICH_MAX,
	  .doc = "last transactions of a block that are looked at" },
	{ .name = "priced", .type = CW_OPT_BOOL,
	  .doc = "only if the first one paid at least the gas price of all between (not so where order is bought otherwise)" },
	{ .name = NULL },
};
static const struct cw_method sandwich_methods[] = {
	{ .name = "add", .fn = sandwich_add, .takes_tx = true,
	  .doc = "transactions of others between this one and the same sender's last one before it in this block: above 0 it "
	         "closes a sandwich around so many" },
	{ .name = "count", .fn = sandwich_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transactions of the key in this block so far" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_sequence_sandwich = {
	.table = "sequence", .name = "sandwich", .version = 1,
	.doc = "One sender before and after others at the same contract within one block: the order in which sandwich attacks "
	       "trade. Order is the index in the block, or that of arrival where there is none.",
	.error = "exact for the last n transactions of a block; one that arrives after the one that closes it is not seen",
	.memory = "56 + 16 n bytes a key, rounded up to 64 (320 with 16); O(n)",
	.source = "P. Daian and others, Flash Boys 2.0, IEEE S&P 2020; K. Qin, L. Zhou, A. Gervais, Quantifying blockchain "
	          "extractable value, IEEE S&P 2022, section 4.1",
	.example = "squeeze = sequence.sandwich { }   -- squeeze:add(tx) > 0",
	.opts = sandwich_opts, .methods = sandwich_methods, .open = sandwich_open, SHARED,
};
