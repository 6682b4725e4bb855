/* funder.c - who paid an address first, when and how much: the root of an account. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define FUNDER_MAGIC 0x46554e44u

enum { OPT_MAX_KEYS = 0, OPT_MIN_VALUE };

struct funder {
	struct cw_keyed k;
	double min_value;
	char text[CW_ADDRESS_TEXT];   /* that payer() made last */
};

struct entry {
	struct cw_address payer;
	uint32_t paid_s;              /* + 1; 0: never */
	double value;
};

static const struct entry *look(struct funder *f, const struct cw_tx *tx, double field, enum cw_field def)
{
	const struct entry *e = cw_keyed_find(&f->k, tx, isnan(field) ? (double)def : field);

	return e != NULL && e->paid_s != 0 ? e : NULL;
}

static double funder_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct funder *f = CW_CAST(handle, FUNDER_MAGIC);
	double value = cw_field_number(tx, CW_FIELD_VALUE);
	uint32_t now = cw_time32(tx->timestamp);
	struct entry *e;

	(void)a;
	(void)b;
	if ((tx->has & CW_TX_HAS_TO) == 0 || value < f->min_value || value <= 0 ||
	    ((tx->has & CW_TX_HAS_STATUS) != 0 && tx->status == 0))
		return NAN;
	e = cw_keyed_upsert(&f->k, tx);
	if (e == NULL)
		return NAN;
	if (e->paid_s != 0)
		return 0;
	*e = (struct entry){ .payer = tx->from, .paid_s = now == UINT32_MAX ? now : now + 1, .value = value };
	return 1;
}

static double funder_age(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct entry *e = look(CW_CAST(handle, FUNDER_MAGIC), tx, a, CW_FIELD_FROM);

	(void)b;
	return e != NULL ? fmax((double)cw_time32(tx->timestamp) - (double)(e->paid_s - 1), 0) : NAN;
}

static double funder_value(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct entry *e = look(CW_CAST(handle, FUNDER_MAGIC), tx, a, CW_FIELD_FROM);

	(void)b;
	return e != NULL ? e->value : NAN;
}

/* 52 bits of a hash: a double holds them. */
static double funder_id(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct entry *e = look(CW_CAST(handle, FUNDER_MAGIC), tx, a, CW_FIELD_FROM);

	(void)b;
	return e != NULL ? (double)(cw_hash64(e->payer.b, sizeof(e->payer.b), tx->chain_id) >> 12) : NAN;
}

static double funder_same(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct funder *f = CW_CAST(handle, FUNDER_MAGIC);
	const struct entry *x = look(f, tx, a, CW_FIELD_FROM), *y = look(f, tx, b, CW_FIELD_TO);

	return x != NULL && y != NULL && memcmp(&x->payer, &y->payer, sizeof(x->payer)) == 0;
}

static double funder_payer(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct funder *f = CW_CAST(handle, FUNDER_MAGIC);
	const struct entry *e = look(f, tx, a, CW_FIELD_FROM);

	(void)b;
	if (e == NULL)
		return NAN;
	cw_address_format(&e->payer, f->text);
	return 0;
}

static const char *funder_text(void *handle, int index)
{
	const struct funder *f = CW_CAST(handle, FUNDER_MAGIC);

	(void)index;
	return f->text;
}

static void *funder_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	union cw_opt_value keyed[2] = { [CW_OPT_AT_KEY] = { .key = CW_FIELD_TO },
		                            [CW_OPT_AT_MAX_KEYS] = vals[OPT_MAX_KEYS] };
	struct funder *f = cw_keyed_plain(sizeof(*f), FUNDER_MAGIC, st, root, keyed, sizeof(struct entry), err);

	if (f != NULL)
		f->min_value = vals[OPT_MIN_VALUE].number;
	return f;
}

static const struct cw_opt funder_opts[] = {
	{ .name = "max_keys", .type = CW_OPT_COUNT, .def = 100000, .min = 1, .max = 50e6,
	  .doc = "addresses kept; beyond it the one whose last payment is oldest among 8 makes room" },
	{ .name = "min_value", .type = CW_OPT_NUMBER, .def = 1, .min = 0, .max = 1e30,
	  .doc = "wei; smaller payments fund nobody" },
	{ .name = NULL },
};

#define WHOSE "; of the sender, or of the field that is given"

static const struct cw_method funder_methods[] = {
	{ .name = "add", .fn = funder_add, .takes_tx = true, .result = CW_RESULT_BOOL,
	  .doc = "notes the payment; true if it is the receiver's first, nil if it pays nobody. Ask the other methods before "
	         "it" },
	{ .name = "age", .fn = funder_age, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "seconds since the first payment, nil if none was seen" WHOSE },
	{ .name = "value", .fn = funder_value, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "wei of the first payment, nil if none was seen" WHOSE },
	{ .name = "payer", .fn = funder_payer, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_TEXT,
	  .doc = "address that paid first, nil if none was seen" WHOSE },
	{ .name = "id", .fn = funder_id, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "number that stands for that address, for window.last and its like; nil if none was seen" WHOSE },
	{ .name = "same", .fn = funder_same, .takes_tx = true, .a = CW_ARG_FIELD, .b = CW_ARG_FIELD,
	  .result = CW_RESULT_BOOL,
	  .doc = "true if sender and receiver, or the two fields that are given, were first paid by the same address" },
	{ .name = NULL },
};

const struct cw_primitive cw_key_funder = {
	.table = "key", .name = "funder", .version = 1,
	.doc = "Who paid an address first: accounts with a common root, fresh accounts of one owner.",
	.error = "exact as long as the address is kept; payments inside of contracts are not seen; two payers share an id "
	         "with probability 2^-52",
	.memory = "64 bytes an address; O(1)",
	.source = "F. Victor, Address clustering heuristics for Ethereum, FC 2020",
	.example = "root = key.funder { }   -- root:same(tx): sender and receiver were set up by the same address",
	.opts = funder_opts, .methods = funder_methods, .open = funder_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch, .text = funder_text,
};
