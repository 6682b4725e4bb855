/* num.c - logarithm and exponential by reduction and series. */
#include "detect/num.h"

#include <math.h>

/* ln 2 in two parts: the first has so few bits that its product with an exponent is exact. */
#define LN2_HI 6.93147180369123816490e-01
#define LN2_LO 1.90821492927058770002e-10

/* 1/(2k + 1), the last first. */
static const double atanh_terms[] = { 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7,
	                                  1.0 / 5, 1.0 / 3 };
/* 1/n!, the last first. */
static const double exp_terms[] = { 1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
	                                1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6,
	                                1.0 / 2 };

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

double cw_ln(double x)
{
	int e;
	double m, s, z, sum = 0;

	if (!(x > 0))
		return isnan(x) ? x : -INFINITY;
	if (isinf(x))
		return x;
	m = frexp(x, &e);
	if (m < 0.70710678118654752) {
		m *= 2;
		e--;
	}
	/* ln m = 2 atanh((m - 1) / (m + 1)); |s| <= 0.172, so 11 terms reach 1e-18 */
	s = (m - 1) / (m + 1);
	z = s * s;
	for (int i = 0; i < COUNT(atanh_terms); i++)
		sum = z * (atanh_terms[i] + sum);
	return (double)e * LN2_HI + (2 * s + (2 * s * sum + (double)e * LN2_LO));
}

double cw_exp(double x)
{
	double k, r, sum = 0;

	if (isnan(x))
		return x;
	if (x > 709.78)
		return INFINITY;
	if (x < -745.2)
		return 0;
	k = floor(x * 1.44269504088896341 + 0.5);
	r = (x - k * LN2_HI) - k * LN2_LO;   /* |r| <= 0.347: 14 terms reach 1e-17 */
	for (int i = 0; i < COUNT(exp_terms); i++)
		sum = (sum + exp_terms[i]) * r;
	return ldexp(1 + (r + r * sum), (int)k);
}

double cw_pow(double x, double y)
{
	return cw_exp(y * cw_ln(x));
}

double cw_log2_cubic_inverse(double y)
{
	double e = floor(y), target = y - e, m = target;

	/* Newton: the start is off by 0.09 at most, and 0.4 times the square of the error is left each time */
	for (int i = 0; i < 5; i++) {
		double value = m * (10.0 / 7 + m * (-3.0 / 5 + m * (6.0 / 35)));
		double slope = 10.0 / 7 + m * (-6.0 / 5 + m * (18.0 / 35));

		m -= (value - target) / slope;
	}
	return ldexp(1 + m, (int)e);
}
