/* lookalike.c - accounts that a wallet would show alike: the same first and last digits.
 *
 * Under a hash of (account, ends of its counterparty) stands the counterparty that was noted last; another one with the
 * same ends is one that people mistake for it. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define LOOKALIKE_MAGIC 0x4c4f4f4bu

enum { OPT_MAX_KEYS = 0, OPT_DIGITS };

struct lookalike {
	struct cw_keyed k;
	int digits;                   /* at each end */
};

struct entry {
	struct cw_address other;
	uint32_t noted_s;             /* + 1; 0: never */
};

/* One digit after another, `digits` from each end. */
static uint64_t ends_of(const struct cw_address *a, int digits)
{
	uint64_t ends = 0;

	for (int i = 0; i < digits; i++) {
		int at = 39 - i;

		ends = ends << 4 | (i % 2 == 0 ? a->b[i / 2] >> 4 : a->b[i / 2] & 15);
		ends = ends << 4 | (at % 2 == 0 ? a->b[at / 2] >> 4 : a->b[at / 2] & 15);
	}
	return ends;
}

static const struct cw_address *address_of(const struct cw_tx *tx, double field, enum cw_field def)
{
	return cw_field_address(tx, isnan(field) ? def : field > 0 && field < CW_FIELD_COUNT ? (enum cw_field)field
	                                                                                     : CW_FIELD_NONE);
}

static void key_of(const struct lookalike *l, const struct cw_tx *tx, const struct cw_address *who,
                   const struct cw_address *other, struct cw_dict_key *key)
{
	uint64_t words[4] = { 0 };

	memcpy(words, who->b, sizeof(who->b));
	words[3] = ends_of(other, l->digits);
	memset(key->b, 0, sizeof(key->b));
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t hash = cw_hash64(words, sizeof(words), tx->chain_id * 3 + i);

		memcpy(key->b + 8 * i, &hash, 8);
	}
}

static double seconds_since(const struct cw_tx *tx, const struct entry *e)
{
	return fmax((double)cw_time32(tx->timestamp) - (double)(e->noted_s - 1), 0);
}

static bool is_another(const struct entry *e, const struct cw_address *other)
{
	return e != NULL && e->noted_s != 0 && memcmp(&e->other, other, sizeof(*other)) != 0;
}

static double lookalike_like(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct lookalike *l = CW_CAST(handle, LOOKALIKE_MAGIC);
	const struct cw_address *who = address_of(tx, a, CW_FIELD_FROM), *other = address_of(tx, b, CW_FIELD_TO);
	struct cw_dict_key key;
	const struct entry *e;

	if (who == NULL || other == NULL)
		return NAN;
	key_of(l, tx, who, other, &key);
	e = cw_dict_find(l->k.dict, &key);
	return is_another(e, other) ? seconds_since(tx, e) : NAN;
}

static double lookalike_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct lookalike *l = CW_CAST(handle, LOOKALIKE_MAGIC);
	const struct cw_address *who = address_of(tx, a, CW_FIELD_FROM), *other = address_of(tx, b, CW_FIELD_TO);
	uint32_t now = cw_time32(tx->timestamp);
	struct cw_dict_key key;
	struct entry *e;
	double result;

	if (who == NULL || other == NULL)
		return NAN;
	key_of(l, tx, who, other, &key);
	e = cw_dict_upsert(l->k.dict, &key, tx->timestamp, NULL);
	if (e == NULL)
		return NAN;
	result = is_another(e, other) ? seconds_since(tx, e) : NAN;
	*e = (struct entry){ .other = *other, .noted_s = now == UINT32_MAX ? now : now + 1 };
	return result;
}

/* Sender and receiver, as `add` without arguments; where a call names an account first, that is the receiver. */
static void lookalike_prefetch(void *handle, const struct cw_tx *tx, int stage)
{
	struct lookalike *l = handle;
	struct cw_dict_key key;

	if (stage > 0) {
		cw_dict_fetch_on(l->k.dict, (unsigned)tx->seq, stage);
	} else if (cw_dict_ahead(l->k.dict, (unsigned)tx->seq)) {
		const struct cw_address *other = cw_field_address(tx, CW_FIELD_ARG1);

		if (other == NULL)
			other = cw_field_address(tx, CW_FIELD_TO);
		if (other == NULL)
			return;
		key_of(l, tx, &tx->from, other, &key);
		cw_dict_fetch(l->k.dict, (unsigned)tx->seq, &key);
	}
}

static void *lookalike_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                            struct cw_err *err)
{
	union cw_opt_value keyed[2] = { [CW_OPT_AT_KEY] = { .key = CW_FIELD_FROM },
		                            [CW_OPT_AT_MAX_KEYS] = vals[OPT_MAX_KEYS] };
	struct lookalike *l = cw_keyed_plain(sizeof(*l), LOOKALIKE_MAGIC, st, root, keyed, sizeof(struct entry), err);

	if (l != NULL)
		l->digits = (int)vals[OPT_DIGITS].number;
	return l;
}

static const struct cw_opt lookalike_opts[] = {
	{ .name = "max_keys", .type = CW_OPT_COUNT, .def = 100000, .min = 1, .max = 50e6,
	  .doc = "pairs of accounts kept; beyond it the pair whose last event is oldest among 8 makes room" },
	{ .name = "digits", .type = CW_OPT_COUNT, .def = 4, .min = 2, .max = 8,
	  .doc = "hexadecimal digits at each end that make two addresses look alike" },
	{ .name = NULL },
};

#define WHO "; whose (from) and the other (to) can be given as fields"

static const struct cw_method lookalike_methods[] = {
	{ .name = "like", .fn = lookalike_like, .takes_tx = true, .a = CW_ARG_FIELD, .b = CW_ARG_FIELD,
	  .doc = "seconds since the account dealt with an address that looks like the other one and is not it, nil if it "
	         "never did" WHO },
	{ .name = "add", .fn = lookalike_add, .takes_tx = true, .a = CW_ARG_FIELD, .b = CW_ARG_FIELD,
	  .doc = "the same, then notes that the account deals with the other one" WHO },
	{ .name = NULL },
};

const struct cw_primitive cw_key_lookalike = {
	.table = "key", .name = "lookalike", .version = 1,
	.doc = "Whether an account dealt with another address that begins and ends like this one: address poisoning.",
	.error = "of several that look alike the one noted last counts; a pair that had to make room is forgotten; two "
	         "addresses look alike by chance once in 16^(2 digits)",
	.memory = "64 bytes a pair; O(1)",
	.source = "T. Tsuchiya and others, Blockchain address poisoning, USENIX Security 2025",
	.example = "paid = key.lookalike { }   -- paid:like(tx, \"to\", \"from\"): the receiver once paid one like the sender",
	.opts = lookalike_opts, .methods = lookalike_methods, .open = lookalike_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = lookalike_prefetch,
};
