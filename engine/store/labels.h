/* labels.h - what the engine asks of address lists in the database, beside the operations of scripts. */
#ifndef CW_STORE_LABELS_H
#define CW_STORE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;

/* One row: a number that rises with every change of any list, and the newest alert that was opened again. */
uint64_t cw_labels_state(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* One row a list: its name, its entries as a CSV document with a head that says name, version and whether it hides alerts
 * (detect/lists.h), and the number of cw_labels_state at the time. */
uint64_t cw_labels_documents(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* Opens alerts again that were committed after their label was taken away, being judged before. */
uint64_t cw_labels_settle(struct cw_pool *pool, bool events, cw_query_fn *fn, void *arg);
/* Alerts that were opened again, with numbers above `after`: number, anomaly, rule, version, title, severity, dedup key,
 * list, version of it, address, category, chain. */
uint64_t cw_labels_withdrawn(struct cw_pool *pool, int64_t after, cw_query_fn *fn, void *arg);

/* One row each entry of a list that is a file on which some alert rests: list, address, chain, category. */
uint64_t cw_labels_of_files(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* These entries left their files: opens the alerts again that rested on them; one row, how many. */
struct cw_label_entry { const char *list, *category; const uint8_t *address; int64_t chain_id; };
uint64_t cw_labels_left_files(struct cw_pool *pool, const struct cw_label_entry *gone, size_t n, bool events,
                              cw_query_fn *fn, void *arg);

/* A list that is a file and hides alerts. */
struct cw_label_declaration { const char *list, *side, *max_severity, *rules; };
/* These are all there are: rows of suppressions come and end with them. */
uint64_t cw_labels_declare(struct cw_pool *pool, const struct cw_label_declaration *lists, size_t n, cw_query_fn *fn,
                           void *arg);

#endif
