#include "detect/ecod.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "detect/num.h"

struct cw_ecod {
	size_t rows, cols;
	double *sorted;                /* [cols][rows] */
	signed char *skew;             /* sign of each column's skewness */
};

static signed char skewness_sign(const double *x, size_t n)
{
	double mean = 0, cubes = 0;

	for (size_t i = 0; i < n; i++)
		mean += (x[i] - mean) / (double)(i + 1);
	for (size_t i = 0; i < n; i++)
		cubes += (x[i] - mean) * (x[i] - mean) * (x[i] - mean);
	return (signed char)((cubes > 0) - (cubes < 0));
}

struct cw_ecod *cw_ecod_fit(const struct cw_table *t, struct cw_err *err)
{
	struct cw_ecod *e;

	if (cw_table_check(t, err) != 0)
		return NULL;
	e = cw_zalloc(sizeof(*e));
	e->rows = t->rows;
	e->cols = t->cols;
	e->sorted = cw_alloc(t->rows * t->cols * sizeof(double));
	e->skew = cw_zalloc(t->cols);
	for (size_t j = 0; j < t->cols; j++) {
		cw_table_column_sorted(t, j, e->sorted + j * t->rows);
		e->skew[j] = skewness_sign(e->sorted + j * t->rows, t->rows);
	}
	return e;
}

void cw_ecod_free(struct cw_ecod **e)
{
	if (*e == NULL)
		return;
	cw_free((*e)->sorted);
	cw_free((*e)->skew);
	cw_free(*e);
	*e = NULL;
}

/* Numbers below x, or, with `equal`, not above it. */
static size_t count_below(const double *sorted, size_t n, double x, bool equal)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (sorted[mid] < x || (equal && sorted[mid] == x))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

double cw_ecod_score(const struct cw_ecod *e, const double *row)
{
	double left = 0, right = 0, skewed = 0, n = (double)e->rows;

	if (!cw_row_finite(row, e->cols))
		return NAN;
	for (size_t j = 0; j < e->cols; j++) {
		const double *sorted = e->sorted + j * e->rows;
		double at_most = (double)count_below(sorted, e->rows, row[j], true);
		double at_least = n - (double)count_below(sorted, e->rows, row[j], false);
		/* beyond all that was seen: half a row */
		double l = -cw_ln((at_most > 0 ? at_most : 0.5) / n), r = -cw_ln((at_least > 0 ? at_least : 0.5) / n);

		left += l;
		right += r;
		skewed += e->skew[j] < 0 ? l : e->skew[j] > 0 ? r : l + r;
	}
	left = left > right ? left : right;
	return left > skewed ? left : skewed;
}
