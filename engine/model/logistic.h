/* logistic.h - logistic regression for yes or no, on columns brought to the shape of a normal distribution.
 *
 * Each column's value becomes the normal quantile of its rank among the training rows (33 knots, straight between them),
 * which takes the heavy tails of amounts and counts; the model has a weight for it and one for its square. Fitted by
 * Newton's method with an L2 penalty. Small, fast and easy to read: the plain yardstick for gbt.h. Read-only once
 * trained. */
#ifndef CW_MODEL_LOGISTIC_H
#define CW_MODEL_LOGISTIC_H

#include <stddef.h>
#include <stdint.h>

#include "detect/table.h"

struct cw_buf;
struct cw_err;
struct cw_logistic;

#define CW_LOGISTIC_COLS_MAX 256
struct cw_logistic_conf { double l2; };   /* penalty, >= 0; 0: 1 */

/* `label` 0 or 1; both must occur; every cell finite. NULL with CW_ERR_INVALID. */
struct cw_logistic *cw_logistic_train(const struct cw_table *t, const uint8_t *label,
                                      const struct cw_logistic_conf *conf, struct cw_err *err);
void cw_logistic_free(struct cw_logistic **l);
size_t cw_logistic_cols(const struct cw_logistic *l);
double cw_logistic_log_odds(const struct cw_logistic *l, const double *row);   /* NaN for a row that is not finite */
double cw_logistic_score(const struct cw_logistic *l, const double *row);      /* the chance, 0 to 1 */
/* What each column adds to the log-odds; with cw_logistic_base() it sums up to them. */
void cw_logistic_explain(const struct cw_logistic *l, const double *row, double *contribution);
double cw_logistic_base(const struct cw_logistic *l);

void cw_logistic_encode(const struct cw_logistic *l, struct cw_buf *out);
struct cw_logistic *cw_logistic_decode(const void *bytes, size_t len, struct cw_err *err);

#endif
