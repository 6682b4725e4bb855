/* labels_internal.h - what the readers of label lists share. Private to source/. */
#ifndef CW_SOURCE_LABELS_INTERNAL_H
#define CW_SOURCE_LABELS_INTERNAL_H

#include "source/labels.h"

struct cw_map;

struct labels_reader {
	struct cw_labels *out;
	const struct cw_labels_conf *conf;
	struct cw_arena *arena;
	struct cw_err *err;
	struct cw_map *seen;          /* address, chain, category -> number of the row, + 1 */
	size_t cap;
};

/* Each returns 0, or -1 with the error set: reading ends. */
int cw_labels_read_csv(struct labels_reader *r, const char *text, size_t len);
int cw_labels_read_tagpack(struct labels_reader *r, const char *text, size_t len);
int cw_labels_read_ofac(struct labels_reader *r, const char *text, size_t len);
int cw_labels_read_plain(struct labels_reader *r, const char *text, size_t len);

/* A bad row: -1 with the error, or 0 where bad rows are skipped (it is counted and listed). */
int cw_labels_bad_row(struct labels_reader *r, uint32_t line, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What makes the whole text unreadable: always -1. */
int cw_labels_bad_text(struct labels_reader *r, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Checks lengths, fills in what the settings say, keeps it. */
int cw_labels_take(struct labels_reader *r, const struct cw_label *label);

/* Values as cells give them; empty ones leave *out as it is. Each returns NULL, or what is wrong (static, or of the
 * arena). */
const char *cw_labels_address(struct labels_reader *r, const char *text, struct cw_address *out);
const char *cw_labels_time(struct labels_reader *r, const char *text, int64_t *out);
const char *cw_labels_share(struct labels_reader *r, const char *text, double *out);
const char *cw_labels_chain(struct labels_reader *r, const char *text, uint64_t *out);
const char *cw_labels_text(struct labels_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
