/* twosample.c - Kolmogorov-Smirnov, Wasserstein, population stability index. */
#include "detect/twosample.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "detect/num.h"

#define PI         3.14159265358979324
#define EXACT_MAX  10000000   /* lattice steps: 20 ms */
#define PSI_BINS   10
#define PSI_FLOOR  1e-6

double cw_ks_statistic(const double *a, size_t n, const double *b, size_t m)
{
	size_t i = 0, j = 0;
	double worst = 0;

	while (i < n && j < m) {
		double x = a[i] < b[j] ? a[i] : b[j], d;

		while (i < n && a[i] <= x)
			i++;
		while (j < m && b[j] <= x)
			j++;
		d = fabs((double)i / (double)n - (double)j / (double)m);
		if (d > worst)
			worst = d;
	}
	return worst;
}

double cw_wasserstein(const double *a, size_t n, const double *b, size_t m)
{
	size_t i = 0, j = 0;
	double last = a[0] < b[0] ? a[0] : b[0], area = 0;

	while (i < n || j < m) {
		double x = j == m || (i < n && a[i] < b[j]) ? a[i] : b[j];

		area += fabs((double)i / (double)n - (double)j / (double)m) * (x - last);
		last = x;
		while (i < n && a[i] <= x)
			i++;
		while (j < m && b[j] <= x)
			j++;
	}
	return area;
}

/* The value at share q of a sorted sample, between two numbers by proportion. */
static double share_at(const double *a, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	return i + 1 < n ? a[i] + (at - (double)i) * (a[i + 1] - a[i]) : a[n - 1];
}

/* Numbers that are not above `edge`. */
static size_t up_to(const double *a, size_t n, double edge)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (a[mid] <= edge)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

double cw_psi(const double *a, size_t n, const double *b, size_t m, int bins, double floor)
{
	size_t before_a = 0, before_b = 0;
	double psi = 0;

	for (int k = 1; k <= bins; k++) {
		/* bins are (edge, next edge]; the outer ones are open */
		double edge = share_at(a, n, (double)k / bins);
		size_t upto_a = k < bins ? up_to(a, n, edge) : n, upto_b = k < bins ? up_to(b, m, edge) : m;
		double p = fmax((double)(upto_a - before_a) / (double)n, floor);
		double q = fmax((double)(upto_b - before_b) / (double)m, floor);

		psi += (q - p) * cw_ln(q / p);
		before_a = upto_a;
		before_b = upto_b;
	}
	return psi;
}

/* Walks from (0, 0) to (n, m): each path of a's and b's is equally likely. u[j] is the probability that a path to (i,
 * j) has been out of the band |i/n - j/m| < d; only sums of positive numbers, so small tails keep their digits. */
double cw_ks_p_exact(size_t n, size_t m, double d)
{
	/* distances are whole multiples of 1 / (n m) */
	double limit = floor(d * (double)n * (double)m + 0.5);
	double *u;
	double p;

	if (limit <= 0)
		return 1;
	if (d > 1)
		return 0;
	u = cw_alloc((m + 1) * sizeof(*u));
	for (size_t i = 0; i <= n; i++)
		for (size_t j = 0; j <= m; j++) {
			double off = fabs((double)i * (double)m - (double)j * (double)n);

			if (off >= limit)
				u[j] = 1;
			else if (i == 0)
				u[j] = j > 0 ? u[j - 1] : 0;
			else if (j > 0)
				u[j] = (double)i / (double)(i + j) * u[j] + (double)j / (double)(i + j) * u[j - 1];
		}
	p = u[m];
	cw_free(u);
	return p;
}

double cw_ks_p_large(size_t n, size_t m, double d)
{
	double en = floor((double)n * (double)m / (double)(n + m) + 0.5), rn = sqrt(en), z = d * rn;
	double z2 = z * z, z4 = z2 * z2, z6 = z4 * z2;
	double k0 = 0, k1 = 0, k2 = 0, k2b = 0, k3 = 0, k3b = 0, root = sqrt(PI / 2), p;

	if (z <= 0.05)
		return 1;
	if (z > 8)   /* 1 - 1e-55 in the series; say so without subtracting */
		return 2 * cw_exp(-2 * z2);
	for (int k = 0; k <= 30; k++) {
		double h = k + 0.5, h2 = h * h * PI * PI, g2 = (double)k * k * PI * PI;
		double e = cw_exp(-h2 / (2 * z2)), f = cw_exp(-g2 / (2 * z2));

		k0 += e;
		k1 += (h2 - z2) * e;
		k2 += (6 * z6 + 2 * z4 + (2 * z4 - 5 * z2) * h2 + (1 - 2 * z2) * h2 * h2) * e;
		k2b += g2 * f;
		k3 += (-30 * z6 - 90 * z6 * z2 + (135 * z4 - 96 * z6) * h2 + (212 * z4 - 60 * z2) * h2 * h2 +
		       (5 - 30 * z2) * h2 * h2 * h2) * e;
		k3b += (3 * z2 * g2 - g2 * g2) * f;
	}
	/* every sum but the first runs over negative k too */
	p = 2 * root / z * k0;
	p += 2 * root * k1 / (6 * z4) / rn;
	p += (2 * root * k2 / (72 * z6 * z) - 2 * root * k2b / (36 * z * z2)) / en;
	p += (2 * root * k3 / (6480 * z6 * z4) + 2 * root * k3b / (108 * z6)) / (en * rn);
	p = 1 - p;
	return p < 0 ? 0 : p > 1 ? 1 : p;
}

static int compare(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return a < b ? -1 : a > b ? 1 : isnan(a) - isnan(b);
}

void cw_sort_doubles(double *x, size_t n)
{
	if (n > 1)
		qsort(x, n, sizeof(*x), compare);
}

void cw_two_sample(const double *a, size_t n, const double *b, size_t m, struct cw_two_sample *out)
{
	double *sa = cw_memdup(a, n * sizeof(*a)), *sb = cw_memdup(b, m * sizeof(*b));

	cw_assert(n > 0 && m > 0);
	cw_sort_doubles(sa, n);
	cw_sort_doubles(sb, m);
	out->ks = cw_ks_statistic(sa, n, sb, m);
	out->ks_p = n * m <= EXACT_MAX ? cw_ks_p_exact(n, m, out->ks) : cw_ks_p_large(n, m, out->ks);
	out->wasserstein = cw_wasserstein(sa, n, sb, m);
	out->psi = cw_psi(sa, n, sb, m, PSI_BINS, PSI_FLOOR);
	cw_free(sa);
	cw_free(sb);
}
