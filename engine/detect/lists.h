/* lists.h - lists of addresses and what is known of them: category, name, source, confidence, times, expiry.
 *
 * Built once, then read only: a sorted table in plain memory of the process that evaluates. Another set of lists is
 * loaded beside it and takes its place between two transactions. Lists are not detector state: they do not rewind.
 * Knows nothing of files: the caller reads them. */
#ifndef CW_DETECT_LISTS_H
#define CW_DETECT_LISTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"

struct cw_err;
struct cw_lists;

struct cw_lists *cw_lists_new(void);
/* Must not be the set in use. */
void cw_lists_free(struct cw_lists **lists);

/* Reads one CSV document (RFC 4180) into the list `name`; may be called again for the same list. The first line names
 * the columns: `address` is required; `chain_id` (0: all), `category`, `name`, `source`, `confidence` (0 to 1),
 * `first_seen`, `last_seen`, `expires` (seconds since 1970, or RFC 3339) are known, others are ignored. Lines in front of it
 * that begin with # are comments, but for what these say of the list:
 *
 *   # list NAME            its name, whatever the caller says
 *   # version N            of a list in the database
 *   # suppress [side=entity|counterparty|either] [max_severity=low|...|critical] [rules=PATTERN,...]
 *                          it hides alerts (cw_lists_hider): by default either side, up to high, of all rules
 *
 * Returns the number of entries, or -1 with list, line and fault; nothing is added then. Up to 2^31 entries. `checksum`
 * (may be NULL) is kept with the list. */
int64_t cw_lists_add_csv(struct cw_lists *lists, const char *name, const char *csv, size_t len, const char *checksum,
                         struct cw_err *err);
/* One entry. `category`, `label`, `source` may be NULL. Times are seconds since 1970, 0: not known, or never. */
struct cw_list_entry {
	struct cw_address address;
	const char *category, *label, *source;
	double confidence;
	int64_t first_seen, last_seen, expires;
	uint64_t chain_id;            /* 0: it holds on every chain */
};
int cw_lists_add(struct cw_lists *lists, const char *name, const struct cw_list_entry *entry, struct cw_err *err);
/* Sorts; after it nothing can be added, and it can be used. */
void cw_lists_seal(struct cw_lists *lists);

/* Is there any entry for the address, expired or not? */
bool cw_lists_know(const struct cw_lists *lists, const struct cw_address *address);
size_t cw_lists_count(const struct cw_lists *lists);          /* entries of all lists */
size_t cw_lists_bytes(const struct cw_lists *lists);          /* memory */
/* Walks the entries of one address: start with *at = 0; false at the end. `list` gets the list's name; texts live as
 * long as the set; "" where nothing is known. */
int cw_lists_next(const struct cw_lists *lists, const struct cw_address *address, size_t *at, const char **list,
                  struct cw_list_entry *entry);

/* --- what alerts rest on, and lists that hide them --- */

struct cw_buf;
struct cw_tx;

/* Categories that begin so are never hidden by a list. */
#define CW_LIST_NEVER_HIDDEN "sanction"

/* Forgets what was found on lists: before a rule is called. */
void cw_lists_forget_hits(void);
/* Whether the rule called last found something. */
bool cw_lists_any_hits(void);

/* An alert, as lists that hide see it. */
struct cw_list_alert {
	const char *rule;             /* id */
	const char *const *tags;
	int ntags, severity;          /* 0 low to 3 critical */
	const struct cw_address *entity;   /* that it is about; NULL: nobody knows */
};
/* Appends what the rule called last found, as a JSON array of {"list","version","file","address","chain","category","name",
 * "source","confidence","use":"evidence"}, and, with use "suppression", the entry of a list that hides the alert: the first
 * that is declared for such rules, severity and side. Never for an alert that rests on a sanction, or whose transaction's
 * parties are under one. Returns the name of the list that hides it, "" if none does. */
const char *cw_lists_put_hits(const struct cw_lists *lists, const struct cw_tx *tx, const struct cw_list_alert *alert,
                              struct cw_buf *out);

/* The set that list.* primitives of this process look into; NULL: none. Not owned. Returns the one before. */
const struct cw_lists *cw_lists_use(const struct cw_lists *lists);
const struct cw_lists *cw_lists_current(void);

#endif
