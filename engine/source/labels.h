/* labels.h - lists of labelled addresses as people hand them round, read into rows: CSV, TagPack YAML, OFAC's SDN files, one
 * address a line.
 *
 * Pure: text goes in, rows come out, nothing is stored. The text is not trusted: sizes, depths and counts are bounded, and
 * what is wrong is told with file, line and field. All or nothing, unless bad rows are to be skipped; then they are listed. */
#ifndef CW_SOURCE_LABELS_H
#define CW_SOURCE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"

struct cw_arena;
struct cw_buf;
struct cw_err;

#define CW_LABELS_MAX ((size_t)2000000)   /* rows of one text */
#define CW_LABEL_TEXT_MAX 500             /* bytes of name and source; a category has 64 at most */
#define CW_LABEL_CATEGORY_MAX 64
#define CW_LABEL_FAULTS 100               /* that are listed; the others are counted */

enum cw_labels_format { CW_LABELS_AUTO = 0, CW_LABELS_CSV, CW_LABELS_TAGPACK, CW_LABELS_OFAC, CW_LABELS_PLAIN };
const char *cw_labels_format_name(enum cw_labels_format format);     /* "auto", "csv", ... */
bool cw_labels_format_parse(const char *text, enum cw_labels_format *out);

struct cw_label {
	struct cw_address address;
	uint64_t chain_id;            /* 0: it holds on every chain */
	const char *category, *name, *source;
	double confidence;            /* 0 to 1; NaN: not said */
	int64_t first_seen, last_seen, expires;   /* seconds since 1970; 0: not known, or never */
	uint32_t line;
};

struct cw_label_fault { uint32_t line; const char *field, *what; };

struct cw_labels_conf {
	const char *file;             /* for messages */
	enum cw_labels_format format;
	const char *category, *source;   /* where the text says none; NULL: "" ("sanctioned" and "OFAC SDN" for OFAC's) */
	double confidence;            /* the same; NaN: none */
	int64_t chain_id;             /* of all rows, whatever the text says; -1: what it says */
	bool skip_bad;
};

struct cw_labels {
	enum cw_labels_format format; /* that was read; never CW_LABELS_AUTO */
	struct cw_label *rows;
	size_t n;
	size_t skipped;               /* bad rows (conf.skip_bad) */
	size_t repeated;              /* rows of an address, chain and category that were there already: the surest stays */
	size_t foreign;               /* addresses of networks that are no EVM chains */
	struct cw_label_fault faults[CW_LABEL_FAULTS];
	int nfaults;
};

/* Everything lives in `arena`. -1 and CW_ERR_INVALID, "FILE:LINE: field: what". A text without a row is an error too. */
int cw_labels_read(struct cw_labels *out, const char *text, size_t len, const struct cw_labels_conf *conf,
                   struct cw_arena *arena, struct cw_err *err);
/* Rows from `first` on, until they are `bytes` long or more, as the store's label_stage and label_import take them. Gives the
 * first of those that are left, or labels->n. */
size_t cw_labels_put_rows(const struct cw_labels *labels, size_t first, size_t bytes, struct cw_buf *out);
/* Appends members: "format", "rows", "skipped", "repeated", "foreign", "faults":[{"line","field","what"}]. */
void cw_labels_put_report(const struct cw_labels *labels, struct cw_buf *out);

#endif
