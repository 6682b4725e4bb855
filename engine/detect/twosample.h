/* twosample.h - whether two samples come from the same distribution, and how far apart they are. Pure. */
#ifndef CW_DETECT_TWOSAMPLE_H
#define CW_DETECT_TWOSAMPLE_H

#include <stddef.h>

/* All take samples in rising order, without NaN, n and m at least 1. */

/* Kolmogorov-Smirnov: the largest distance between the two empirical distribution functions, 0 to 1. Ties are fine. */
double cw_ks_statistic(const double *a, size_t n, const double *b, size_t m);
/* Area between the two distribution functions (Wasserstein-1, earth mover's distance), in the unit of the numbers. */
double cw_wasserstein(const double *a, size_t n, const double *b, size_t m);
/* Population stability index over `bins` bins of equal share of the reference `a`: sum of (q - p) ln(q / p) with p and
 * q the bins' shares of a and b, none taken smaller than `floor` (1e-6). By rule of thumb 0.1 is a small shift and
 * 0.25 a large one. 2 to 100 bins. */
double cw_psi(const double *a, size_t n, const double *b, size_t m, int bins, double floor);

/* Probability of a KS statistic of `d` or more when both samples come from one continuous distribution. Exact by
 * counting lattice paths (J. L. Hodges, The significance probability of the Smirnov two-sample test, Arkiv for
 * Matematik 3, 1958), n * m steps. */
double cw_ks_p_exact(size_t n, size_t m, double d);
/* The same for large samples: the one-sample distribution at n m / (n + m), expanded by W. Pelz and I. J. Good
 * (Approximating the lower tail-areas of the Kolmogorov-Smirnov one-sample statistic, JRSS B 38, 1976). Absolute error
 * below 1e-6 from 100 numbers each on. */
double cw_ks_p_large(size_t n, size_t m, double d);

/* All of it for samples in any order: copies and sorts. Exact p up to 10^7 steps, else that for large samples. */
struct cw_two_sample { double ks, ks_p, wasserstein, psi; };
void cw_two_sample(const double *a, size_t n, const double *b, size_t m, struct cw_two_sample *out);

/* Rising order; NaN last. */
void cw_sort_doubles(double *x, size_t n);

#endif
