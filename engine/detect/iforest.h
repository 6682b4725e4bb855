/* iforest.h - isolation forest: rows that random cuts set apart early are anomalies.
 *
 * F. T. Liu, K. M. Ting, Z.-H. Zhou, Isolation forest, ICDM 2008. Trees are kept complete: a row takes the same number of
 * steps in each, without branches, eight trees side by side; where a branch ended early the cuts below it send every
 * row the same way. The same table, settings and seed give the same forest and the same scores on every machine.
 * Read-only once fitted: may be shared by threads. */
#ifndef CW_DETECT_IFOREST_H
#define CW_DETECT_IFOREST_H

#include <stddef.h>
#include <stdint.h>

#include "detect/table.h"

struct cw_buf;
struct cw_err;
struct cw_iforest;

struct cw_iforest_conf {
	uint32_t trees;                /* 1 to 10000; 0: 100 */
	uint32_t sample;               /* rows a tree, 2 to 4096; 0: 256 */
	uint64_t seed;
};

/* NULL with CW_ERR_INVALID when the table has no rows, cells that are not finite, or the settings make no sense. */
struct cw_iforest *cw_iforest_fit(const struct cw_table *t, const struct cw_iforest_conf *conf, struct cw_err *err);
void cw_iforest_free(struct cw_iforest **f);
size_t cw_iforest_cols(const struct cw_iforest *f);

/* 0 to 1, as in the paper: about 0.5 ordinary, towards 1 anomalous. NaN for a row with a cell that is not finite. */
double cw_iforest_score(const struct cw_iforest *f, const double *row);
/* What each column did: by how many steps (mean over the trees) its cuts shortened the row's way, against that of an
 * average row. Positive: made it more anomalous. The sum is cw_iforest_mean_steps() minus the row's own steps.
 * `contribution` has a place for each column; NaN for a row that is not finite. */
void cw_iforest_explain(const struct cw_iforest *f, const double *row, double *contribution);
double cw_iforest_mean_steps(const struct cw_iforest *f);
double cw_iforest_steps(const struct cw_iforest *f, const double *row);

/* As bytes for model/artefact.h, and back; NULL with CW_ERR_INVALID for bytes that no forest could have written. */
void cw_iforest_encode(const struct cw_iforest *f, struct cw_buf *out);
struct cw_iforest *cw_iforest_decode(const void *bytes, size_t len, struct cw_err *err);

/* Mean steps of an unsuccessful search in a binary tree of n rows: c(n) of the paper. */
double cw_iforest_path(double n);

#endif
