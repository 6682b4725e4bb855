/* ecod.h - how far out in the tails of the columns' empirical distributions a row lies. No settings, no randomness.
 *
 * Z. Li, Y. Zhao, X. Hu, N. Botta, C. Ionescu, G. Chen, ECOD: unsupervised outlier detection using empirical cumulative
 * distribution functions, IEEE TKDE 2022. Read-only once fitted; keeps a sorted copy of the table. */
#ifndef CW_DETECT_ECOD_H
#define CW_DETECT_ECOD_H

#include "detect/table.h"

struct cw_err;
struct cw_ecod;

struct cw_ecod *cw_ecod_fit(const struct cw_table *t, struct cw_err *err);
void cw_ecod_free(struct cw_ecod **e);
/* The largest of three sums over the columns of -ln(tail probability): of the left tails, of the right ones, and of the
 * one to which each column is skewed. NaN for a row that is not finite. */
double cw_ecod_score(const struct cw_ecod *e, const double *row);

#endif
