#include "detect/table.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "detect/num.h"
#include "detect/rng.h"
#include "detect/twosample.h"

#define CLIP 20                /* of CW_SCALE_IQR; 10 and 100 are alike */

/* x * 0 is NaN where x is not finite. Four sums, so that one addition need not wait for the one before. */
static bool all_finite(const double *x, size_t n)
{
	double a = 0, b = 0, c = 0, d = 0;
	size_t i = 0;

	for (; i + 4 <= n; i += 4) {
		a += x[i] * 0;
		b += x[i + 1] * 0;
		c += x[i + 2] * 0;
		d += x[i + 3] * 0;
	}
	for (; i < n; i++)
		a += x[i] * 0;
	return a + b + c + d == 0;
}

bool cw_row_finite(const double *row, size_t cols)
{
	return all_finite(row, cols);
}

int cw_table_check(const struct cw_table *t, struct cw_err *err)
{
	if (t->rows == 0)
		return cw_err_set(err, CW_ERR_INVALID, "the table has no rows");
	if (t->cols == 0)
		return cw_err_set(err, CW_ERR_INVALID, "the table has no columns");
	if (t->cols > CW_TABLE_COLS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "the table has %zu columns; %d are possible", t->cols, CW_TABLE_COLS_MAX);
	if (t->rows > CW_TABLE_ROWS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "the table has %zu rows; %d are possible", t->rows, CW_TABLE_ROWS_MAX);
	if (all_finite(t->x, t->rows * t->cols))
		return 0;
	for (size_t i = 0; i < t->rows * t->cols; i++)
		if (!isfinite(t->x[i]))
			return cw_err_set(err, CW_ERR_INVALID, "row %zu, column %zu is not a finite number", i / t->cols + 1,
			                  i % t->cols + 1);
	return 0;
}

void cw_table_column_sorted(const struct cw_table *t, size_t col, double *out)
{
	for (size_t i = 0; i < t->rows; i++)
		out[i] = t->x[i * t->cols + col];
	cw_sort_doubles(out, t->rows);
}

double cw_quantile_sorted(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;
	double part = at - (double)i;

	return i + 1 < n && part > 0 ? sorted[i] + part * (sorted[i + 1] - sorted[i]) : sorted[i];
}

/* Floyd's method (J. Bentley, R. Floyd, CACM 30, 1987) with a bitmap for small samples of many rows would need memory
 * for all rows; here a sorted list of what is taken is searched instead, samples being small. */
static size_t sample_few(struct cw_rng *rng, size_t rows, size_t n, uint32_t *out)
{
	enum { SLOTS = 4096 };
	uint32_t taken[SLOTS];     /* hash set of row + 1 */
	size_t got = 0;

	memset(taken, 0, sizeof(taken));
	while (got < n) {
		uint32_t row = cw_rng_below(rng, (uint32_t)rows), slot = (row * 2654435761u) >> 20;

		while (taken[slot] != 0 && taken[slot] != row + 1)
			slot = (slot + 1) % SLOTS;
		if (taken[slot] != 0)
			continue;
		taken[slot] = row + 1;
		out[got++] = row;
	}
	return n;
}

size_t cw_sample_rows(struct cw_rng *rng, size_t rows, size_t n, uint32_t *out)
{
	uint32_t *all;

	if (n <= 2048 && n * 2 <= rows)
		return sample_few(rng, rows, n, out);
	if (n > rows)
		n = rows;
	all = cw_alloc(rows * sizeof(*all));
	for (size_t i = 0; i < rows; i++)
		all[i] = (uint32_t)i;
	for (size_t i = 0; i < n; i++) {
		size_t j = i + cw_rng_below(rng, (uint32_t)(rows - i));
		uint32_t row = all[j];

		all[j] = all[i];
		out[i] = row;
	}
	cw_free(all);
	return n;
}

static double deviation(const double *x, size_t n)
{
	double mean = 0, sum = 0;

	for (size_t i = 0; i < n; i++)
		mean += (x[i] - mean) / (double)(i + 1);
	for (size_t i = 0; i < n; i++)
		sum += (x[i] - mean) * (x[i] - mean);
	return sqrt(sum / (double)n);
}

void cw_scale_fit(struct cw_scale *s, enum cw_scale_kind kind, const struct cw_table *t)
{
	double *sorted = cw_alloc(t->rows * sizeof(*sorted));
	double low = kind == CW_SCALE_IQR ? 0.25 : 0.1, normal = kind == CW_SCALE_IQR ? 1.349 : 2.563;

	s->kind = kind;
	s->cols = (uint32_t)t->cols;
	s->center = cw_alloc(t->cols * sizeof(double));
	s->inverse = cw_alloc(t->cols * sizeof(double));
	for (size_t j = 0; j < t->cols; j++) {
		double spread;

		cw_table_column_sorted(t, j, sorted);
		s->center[j] = cw_quantile_sorted(sorted, t->rows, 0.5);
		spread = (cw_quantile_sorted(sorted, t->rows, 1 - low) - cw_quantile_sorted(sorted, t->rows, low)) / normal;
		if (!(spread > 0))
			spread = deviation(sorted, t->rows);
		s->inverse[j] = spread > 0 && isfinite(1 / spread) ? 1 / spread : 1;
	}
	cw_free(sorted);
}

static double draw_in(double x)
{
	double a = fabs(x), y = a < 1e150 ? cw_ln(a + sqrt(a * a + 1)) : cw_ln(a) + 0.69314718055994531;

	return x < 0 ? -y : y;
}

void cw_scale_row(const struct cw_scale *s, const double *row, float *out)
{
	for (uint32_t j = 0; j < s->cols; j++) {
		double x = (row[j] - s->center[j]) * s->inverse[j];

		if (s->kind == CW_SCALE_IQR)
			x = x > CLIP ? CLIP : x < -CLIP ? -CLIP : x;
		else
			x = draw_in(x);
		out[j] = (float)x;
	}
}

void cw_scale_release(struct cw_scale *s)
{
	cw_free(s->center);
	cw_free(s->inverse);
	s->center = s->inverse = NULL;
}
