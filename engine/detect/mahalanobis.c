#include "detect/mahalanobis.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "detect/twosample.h"

#define ROWS_MAX 20000
#define STEPS 12
#define KEEP 0.75
#define RIDGE 1e-6             /* of the mean variance, on the diagonal: columns that depend on each other stay solvable */

struct cw_mahalanobis {
	size_t cols;
	struct cw_scale scale;
	double *mean;
	double *factor;                /* lower triangle L of the covariance L L' */
};

void cw_mahalanobis_free(struct cw_mahalanobis **m)
{
	if (*m == NULL)
		return;
	cw_scale_release(&(*m)->scale);
	cw_free((*m)->mean);
	cw_free((*m)->factor);
	cw_free(*m);
	*m = NULL;
}

/* Cholesky in place on the lower triangle. */
static void factorise(double *a, size_t n)
{
	double trace = 0;

	for (size_t i = 0; i < n; i++)
		trace += a[i * n + i];
	for (size_t i = 0; i < n; i++)
		a[i * n + i] += RIDGE * (trace > 0 ? trace / (double)n : 1);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double sum = a[i * n + j];

			for (size_t k = 0; k < j; k++)
				sum -= a[i * n + k] * a[j * n + k];
			if (i == j)
				a[i * n + i] = sqrt(sum > 1e-12 ? sum : 1e-12);
			else
				a[i * n + j] = sum / a[j * n + j];
		}
}

static double distance(const struct cw_mahalanobis *m, const float *x)
{
	double y[CW_MAHALANOBIS_COLS_MAX], sum = 0;
	size_t n = m->cols;

	for (size_t i = 0; i < n; i++) {
		double d = (double)x[i] - m->mean[i];

		for (size_t k = 0; k < i; k++)
			d -= m->factor[i * n + k] * y[k];
		y[i] = d / m->factor[i * n + i];
		sum += y[i] * y[i];
	}
	return sum;
}

/* Mean and covariance of the rows that are not farther than `limit`. */
static void estimate(struct cw_mahalanobis *m, const float *x, size_t rows, const double *d, double limit)
{
	size_t n = m->cols, kept = 0;

	memset(m->mean, 0, n * sizeof(double));
	memset(m->factor, 0, n * n * sizeof(double));
	for (size_t i = 0; i < rows; i++)
		if (d[i] <= limit) {
			kept++;
			for (size_t j = 0; j < n; j++)
				m->mean[j] += (double)x[i * n + j];
		}
	for (size_t j = 0; j < n; j++)
		m->mean[j] /= (double)kept;
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; d[i] <= limit && j < n; j++) {
			double a = (double)x[i * n + j] - m->mean[j];

			for (size_t k = 0; k <= j; k++)
				m->factor[j * n + k] += a * ((double)x[i * n + k] - m->mean[k]);
		}
	for (size_t j = 0; j < n * n; j++)
		m->factor[j] /= (double)kept;
	factorise(m->factor, n);
}

static void concentrate(struct cw_mahalanobis *m, const float *x, size_t rows)
{
	double *d = cw_zalloc(rows * sizeof(double)), *sorted = cw_alloc(rows * sizeof(double));

	/* start: nearest to the medians, which the scale has put at 0 */
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < m->cols; j++)
			d[i] += (double)x[i * m->cols + j] * (double)x[i * m->cols + j];
	for (int step = 0; step < STEPS; step++) {
		memcpy(sorted, d, rows * sizeof(double));
		cw_sort_doubles(sorted, rows);
		estimate(m, x, rows, d, cw_quantile_sorted(sorted, rows, KEEP));
		for (size_t i = 0; i < rows; i++)
			d[i] = distance(m, x + i * m->cols);
	}
	cw_free(d);
	cw_free(sorted);
}

struct cw_mahalanobis *cw_mahalanobis_fit(const struct cw_table *t, struct cw_err *err)
{
	struct cw_mahalanobis *m;
	size_t rows, n = t->cols;
	float *x;

	if (cw_table_check(t, err) != 0)
		return NULL;
	if (n > CW_MAHALANOBIS_COLS_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "covariance of %zu columns: %d are possible", n, CW_MAHALANOBIS_COLS_MAX);
		return NULL;
	}
	rows = t->rows < ROWS_MAX ? t->rows : ROWS_MAX;
	m = cw_zalloc(sizeof(*m));
	m->cols = n;
	m->mean = cw_zalloc(n * sizeof(double));
	m->factor = cw_zalloc(n * n * sizeof(double));
	cw_scale_fit(&m->scale, CW_SCALE_IQR, t);
	x = cw_alloc(rows * n * sizeof(float));
	for (size_t i = 0; i < rows; i++)
		cw_scale_row(&m->scale, cw_table_row(t, i * t->rows / rows), x + i * n);
	concentrate(m, x, rows);
	cw_free(x);
	return m;
}

double cw_mahalanobis_score(const struct cw_mahalanobis *m, const double *row)
{
	float x[CW_MAHALANOBIS_COLS_MAX];

	if (!cw_row_finite(row, m->cols))
		return NAN;
	cw_scale_row(&m->scale, row, x);
	return distance(m, x);
}
