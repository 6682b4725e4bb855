/* lists_match.h - what primitives (list.contains, graph.transfers) see of struct cw_lists. Of the layer detect only. */
#ifndef CW_DETECT_LISTS_MATCH_H
#define CW_DETECT_LISTS_MATCH_H

#include <stdbool.h>

#include "chain/tx.h"
#include "detect/lists.h"

struct cw_lists_row {
	struct cw_address address;
	uint32_t list, category, label, source;   /* numbers of texts */
	uint32_t order;                           /* of arrival */
	float confidence;
	uint32_t doc;                             /* the document it stands in */
	uint64_t chain_id;                        /* 0: it holds on every chain */
	int64_t first_seen, last_seen, expires;
};

/* One text that was read: a file, or the entries of a list in the database. */
#define CW_LIST_PATTERNS 16
struct cw_lists_doc {
	uint32_t list;                            /* number of its name */
	int64_t version;                          /* of the list; 0: it is a file */
	char checksum[17];                        /* of a file: the first digits of its SHA-256 */
	bool hides;                               /* alerts, by the rest: */
	enum cw_list_side { CW_LIST_ENTITY = 1, CW_LIST_COUNTERPARTY = 2, CW_LIST_EITHER = 3 } side;
	int max_severity;                         /* 0 low to 3 critical */
	uint32_t patterns[CW_LIST_PATTERNS];      /* of rule ids and tags; none: all rules */
	int npatterns;
};
const struct cw_lists_doc *cw_lists_doc(const struct cw_lists *lists, const struct cw_lists_row *row);
bool cw_lists_hide(const struct cw_lists *lists);                              /* any of them does */

/* Does the entry hold for this transaction: its chain, and not past its expiry? */
static inline bool cw_lists_holds(const struct cw_lists_row *row, const struct cw_tx *tx)
{
	return (row->expires == 0 || tx->timestamp < row->expires) && (row->chain_id == 0 || row->chain_id == tx->chain_id);
}

/* --- what the rule at work has found on lists: its alert rests on it --- */

#define CW_LIST_HITS 16
struct cw_list_hits {
	uint32_t n;
	const struct cw_lists_row *rows[CW_LIST_HITS];
};
extern struct cw_list_hits cw_list_hits;      /* of this process; emptied before each rule */

/* Only where something was found, so it costs nothing otherwise. */
static inline void cw_list_hit(const struct cw_lists_row *row)
{
	for (uint32_t i = 0; i < cw_list_hits.n; i++)
		if (cw_list_hits.rows[i] == row)
			return;
	if (cw_list_hits.n < CW_LIST_HITS)
		cw_list_hits.rows[cw_list_hits.n++] = row;
}

/* Tells sets apart also when one stands where another was freed; 0 of NULL. */
uint64_t cw_lists_serial(const struct cw_lists *lists);
/* The rows of an address, surest first; NULL and *n = 0 if there are none. */
const struct cw_lists_row *cw_lists_find(const struct cw_lists *lists, const struct cw_address *address, size_t *n);
/* Hint: the address will be looked up soon. */
void cw_lists_prefetch(const struct cw_lists *lists, const struct cw_address *address);
/* The number of a text, UINT32_MAX if it is not known (and not to be made). 0 is "". */
uint32_t cw_lists_text_number(struct cw_lists *lists, const char *text, bool make);
const char *cw_lists_text(const struct cw_lists *lists, uint32_t number);

/* Names of lists or categories as an option gives them, "mixer,sanctioned", and their numbers in one set. */
#define CW_LIST_NAMES_MAX   32
#define CW_LIST_NAMES_BYTES 512

struct cw_list_names {
	char text[CW_LIST_NAMES_BYTES];   /* cut at the commas; names[] point into it, so it must not be copied */
	const char *name[CW_LIST_NAMES_MAX];
	uint32_t number[CW_LIST_NAMES_MAX];
	int n;
};

/* Cuts "a, b" into names. -1 and CW_ERR_INVALID, naming primitive and option, when they are too many or too long. */
int cw_list_names_read(struct cw_list_names *names, const char *text, const char *primitive, const char *option,
                       struct cw_err *err);
/* Looks the names up in a set; to be done again when another set has taken its place. */
void cw_list_names_number(struct cw_list_names *names, const struct cw_lists *lists);
/* Is the number that of one of the names? No names: true. */
bool cw_list_names_have(const struct cw_list_names *names, uint32_t number);

#endif
