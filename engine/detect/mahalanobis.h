/* mahalanobis.h - distance from the middle of the table in the units of its own spread and slant, robustly.
 *
 * Mean and covariance of the 75 % of the rows nearest to them, by concentration steps from a robust start (P. J. Rousseeuw,
 * K. Van Driessen, A fast algorithm for the minimum covariance determinant estimator, Technometrics 41, 1999), columns on
 * a robust scale. No randomness. At most 20,000 rows, evenly spaced, are looked at. Read-only once fitted. */
#ifndef CW_DETECT_MAHALANOBIS_H
#define CW_DETECT_MAHALANOBIS_H

#include "detect/table.h"

struct cw_err;
struct cw_mahalanobis;

/* `cols` at most CW_MAHALANOBIS_COLS_MAX, as a step takes rows x cols^2. */
#define CW_MAHALANOBIS_COLS_MAX 256
struct cw_mahalanobis *cw_mahalanobis_fit(const struct cw_table *t, struct cw_err *err);
void cw_mahalanobis_free(struct cw_mahalanobis **m);
/* The squared distance, >= 0; NaN for a row that is not finite. */
double cw_mahalanobis_score(const struct cw_mahalanobis *m, const double *row);

#endif
