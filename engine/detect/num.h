/* num.h - logarithm and exponential with the same bits on every machine.
 *
 * The C library picks other code where the processor has fused multiply-add, and its last bit differs; a verdict that
 * is recomputed elsewhere must not. Only IEEE additions, multiplications and divisions here. Pure. */
#ifndef CW_DETECT_NUM_H
#define CW_DETECT_NUM_H

#include <stdint.h>
#include <string.h>

/* Natural logarithm within 2 units in the last place; x <= 0: -INFINITY; NaN stays. */
double cw_ln(double x);
/* e^x within 2 units in the last place for |x| < 700; beyond 709.7 INFINITY, below -745 zero. */
double cw_exp(double x);
/* x^y for x > 0. Relative error grows with |y ln x| to some 1e-13. */
double cw_pow(double x, double y);

/* The binary logarithm with a cubic in place of its curve between powers of two: strictly rising, 0.01 off at most,
 * and d(ln x) / d(result) is at most CW_LOG2_CUBIC_STEP everywhere. x positive, normal, finite. A quarter of the cost
 * of a logarithm. After Masson, Rim, Lee: DDSketch, VLDB 2019, section 4.2 (mappings), with the cubic that makes the
 * steepest places equal. */
#define CW_LOG2_CUBIC_STEP 0.7
static inline double cw_log2_cubic(double x)
{
	uint64_t bits;
	double m;
	int64_t e;

	memcpy(&bits, &x, 8);
	e = (int64_t)(bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
	memcpy(&m, &bits, 8);
	m -= 1;
	return (double)e + m * (10.0 / 7 + m * (-3.0 / 5 + m * (6.0 / 35)));
}
/* Its inverse within 1e-14 (relative). */
double cw_log2_cubic_inverse(double y);

#endif
