/* list_contains.c - whether an address of a transaction is on a list, and what is known of it there.
 *
 * Names of lists and categories are turned into numbers of the set in use once; when another set has taken its place
 * they are turned again. */
#include <math.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/all.h"
#include "detect/keyed.h"
#include "detect/lists_match.h"

#define LIST_MAGIC 0x4c495354u

enum list_opt { OPT_LIST = 0, OPT_CATEGORY, OPT_MIN_CONFIDENCE };

struct list {
	uint32_t magic;
	const struct cw_lists *lists; /* that the numbers are of */
	uint64_t serial;
	struct cw_list_names list, category;
	double min_confidence;
};

static void attach(struct list *l)
{
	l->lists = cw_lists_current();
	l->serial = cw_lists_serial(l->lists);
	if (l->lists == NULL)
		return;
	cw_list_names_number(&l->list, l->lists);
	cw_list_names_number(&l->category, l->lists);
}

/* The surest entry of the field's address that is on one of the lists, of one of the categories and not expired. */
static const struct cw_lists_row *match(void *handle, const struct cw_tx *tx, double field)
{
	struct list *l = CW_CAST(handle, LIST_MAGIC);
	const struct cw_address *address;
	const struct cw_lists_row *rows;
	size_t n;

	if (l->serial != cw_lists_serial(cw_lists_current()))
		attach(l);
	if (l->lists == NULL)
		return NULL;
	address = cw_field_address(tx, isnan(field) ? CW_FIELD_TO
	                                             : field > 0 && field < CW_FIELD_COUNT ? (enum cw_field)field : CW_FIELD_NONE);
	if (address == NULL)
		return NULL;
	rows = cw_lists_find(l->lists, address, &n);
	for (size_t i = 0; i < n; i++)
		if ((double)rows[i].confidence >= l->min_confidence && cw_list_names_have(&l->list, rows[i].list) &&
		    cw_list_names_have(&l->category, rows[i].category) && cw_lists_holds(&rows[i], tx)) {
			cw_list_hit(&rows[i]);
			return &rows[i];
		}
	return NULL;
}

static double list_has(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return match(handle, tx, a) != NULL;
}

static double list_category(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row = match(handle, tx, a);

	(void)b;
	return row != NULL ? (double)row->category : NAN;
}

static double list_name(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row = match(handle, tx, a);

	(void)b;
	return row != NULL ? (double)row->label : NAN;
}

static double list_source(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row = match(handle, tx, a);

	(void)b;
	return row != NULL ? (double)row->source : NAN;
}

static double list_confidence(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row = match(handle, tx, a);

	(void)b;
	return row != NULL ? (double)row->confidence : NAN;
}

static void list_prefetch(void *handle, const struct cw_tx *tx, int stage)
{
	const struct list *l = CW_CAST(handle, LIST_MAGIC);

	if (stage != 0 || l->lists == NULL || l->serial != cw_lists_serial(cw_lists_current()))
		return;
	cw_lists_prefetch(l->lists, &tx->to);
	cw_lists_prefetch(l->lists, &tx->from);
}

static const char *list_text(void *handle, int index)
{
	struct list *l = CW_CAST(handle, LIST_MAGIC);

	return l->lists != NULL && index >= 0 ? cw_lists_text(l->lists, (uint32_t)index) : "";
}

static void *list_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	struct list *l = cw_zalloc(sizeof(*l));

	(void)st;
	(void)root;
	l->magic = LIST_MAGIC;
	l->min_confidence = vals[OPT_MIN_CONFIDENCE].number;
	if (cw_list_names_read(&l->list, vals[OPT_LIST].text, "list.contains", "list", err) != 0 ||
	    cw_list_names_read(&l->category, vals[OPT_CATEGORY].text, "list.contains", "category", err) != 0) {
		cw_free(l);
		return NULL;
	}
	attach(l);
	for (int i = 0; l->lists != NULL && i < l->list.n; i++)
		if (l->list.number[i] == UINT32_MAX) {
			cw_err_set(err, CW_ERR_INVALID, "list.contains: there is no list \"%.60s\"", l->list.name[i]);
			cw_free(l);
			return NULL;
		}
	return l;
}

static const struct cw_opt list_opts[] = {
	{ .name = "list", .type = CW_OPT_TEXT, .doc = "lists to look into, joined with commas; left out: all" },
	{ .name = "category", .type = CW_OPT_TEXT, .doc = "categories that count, joined with commas; left out: all" },
	{ .name = "min_confidence", .type = CW_OPT_NUMBER, .def = 0, .min = 0, .max = 1,
	  .doc = "entries that are less sure do not count" },
	{ .name = NULL },
};

#define WHICH "; looks at `to`, or at the field that is given: any that is an address"

static const struct cw_method list_methods[] = {
	{ .name = "has", .fn = list_has, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_BOOL,
	  .doc = "true if the address is on the list" WHICH },
	{ .name = "category", .fn = list_category, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_TEXT,
	  .doc = "category of the address, nil if it is not on the list" WHICH },
	{ .name = "name", .fn = list_name, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_TEXT,
	  .doc = "name of the address, nil if it is not on the list" WHICH },
	{ .name = "source", .fn = list_source, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_TEXT,
	  .doc = "where the entry comes from, nil if it is not on the list" WHICH },
	{ .name = "confidence", .fn = list_confidence, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "0 to 1, nil if it is not on the list" WHICH },
	{ .name = NULL },
};

const struct cw_primitive cw_list_contains = {
	.table = "list", .name = "contains", .version = 1,
	.doc = "Whether an address is on one of the lists (labels, sanctions, own allow lists), and what is known of it. "
	       "Lists are loaded beside the rules; they are not detector state and do not rewind. An alert rests on what its "
	       "evaluation found: that is stored with it.",
	.error = "exact; entries past their expiry (by the transaction's time) or of another chain do not count; of several the surest does",
	.memory = "80 bytes an entry, 16 to 32 of index, each text once; no state in the arena; O(1)", .source = "",
	.example = "bad = list.contains { list = \"labels\", category = \"mixer,sanctioned\" }   -- bad:has(tx, \"to\")",
	.opts = list_opts, .methods = list_methods, .open = list_open,
	.close = cw_free, .drop = cw_free, .prefetch = list_prefetch, .text = list_text,
};
