/* gbt.h - gradient-boosted trees for yes or no: the chance that a row is labelled 1.
 *
 * J. H. Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29 (2001), on
 * histograms of 255 bins of equal share, trees grown leaf by leaf where the loss falls most (G. Ke and others, LightGBM,
 * NIPS 2017), second-order gains with an L2 penalty (T. Chen, C. Guestrin, XGBoost, KDD 2016). Missing cells (NaN) have a
 * bin of their own, tried on either side. The same rows, settings and seed give the same model. Read-only once
 * trained: may be shared by threads. */
#ifndef CW_MODEL_GBT_H
#define CW_MODEL_GBT_H

#include <stddef.h>
#include <stdint.h>

#include "detect/table.h"

struct cw_buf;
struct cw_err;
struct cw_gbt;

struct cw_gbt_conf {
	uint32_t trees;                /* 1 to 10000; 0: 500 */
	uint32_t leaves;               /* of a tree, 2 to 255; 0: 15 */
	double rate;                   /* 0 < rate <= 1; 0: 0.05 */
	double l2;                     /* >= 0; 0: 1 */
	uint32_t min_rows;             /* of a leaf; 0: 20 */
	double columns;                /* share of the columns looked at for each split, 0 < columns <= 1; 0: all */
	double rows;                   /* share of the rows a tree, 0 < rows <= 1; 0: all */
	uint64_t seed;                 /* of the shares */
};

/* `label` 0 or 1, one a row; both must occur. Cells may be NaN (missing) but not infinite. NULL with CW_ERR_INVALID. Some
 * 0.1 s for 5,000 rows of 20 columns: call it on a worker thread. */
struct cw_gbt *cw_gbt_train(const struct cw_table *t, const uint8_t *label, const struct cw_gbt_conf *conf,
                            struct cw_err *err);
void cw_gbt_free(struct cw_gbt **g);
size_t cw_gbt_cols(const struct cw_gbt *g);

double cw_gbt_log_odds(const struct cw_gbt *g, const double *row);
double cw_gbt_score(const struct cw_gbt *g, const double *row);   /* the chance, 0 to 1 */
/* What each column added to the log-odds of this row; with cw_gbt_base() it sums up to cw_gbt_log_odds. */
void cw_gbt_explain(const struct cw_gbt *g, const double *row, double *contribution);
double cw_gbt_base(const struct cw_gbt *g);

void cw_gbt_encode(const struct cw_gbt *g, struct cw_buf *out);
struct cw_gbt *cw_gbt_decode(const void *bytes, size_t len, struct cw_err *err);

#endif
