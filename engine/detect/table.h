/* table.h - rows of numbers: what the detectors and models that are fitted to a table share. Pure. */
#ifndef CW_DETECT_TABLE_H
#define CW_DETECT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_rng;

#define CW_TABLE_COLS_MAX 1024
#define CW_TABLE_ROWS_MAX 100000000

/* Row-major; the caller's memory. */
struct cw_table { double *x; size_t rows, cols; };

static inline const double *cw_table_row(const struct cw_table *t, size_t row)
{
	return t->x + row * t->cols;
}

/* At least one row and one column, within the limits above, every cell finite; CW_ERR_INVALID names the first cell
 * (counted from 1) that is not. Every fit begins with it. */
int cw_table_check(const struct cw_table *t, struct cw_err *err);
bool cw_row_finite(const double *row, size_t cols);

/* Copies one column and sorts it. `out` has room for t->rows. */
void cw_table_column_sorted(const struct cw_table *t, size_t col, double *out);
/* Quantile of numbers in rising order, between neighbours linear; n >= 1, 0 <= q <= 1. */
double cw_quantile_sorted(const double *sorted, size_t n, double q);
/* `n` different rows of 0 .. rows - 1 in random order (all of them where n >= rows). Returns how many. */
size_t cw_sample_rows(struct cw_rng *rng, size_t rows, size_t n, uint32_t *out);

/* Columns brought to a common scale, so that distances mean something. */
enum cw_scale_kind {
	CW_SCALE_IQR = 0,   /* (x - median) / (interquartile range / 1.349), cut at +-20: rows beyond a narrow bulk count */
	CW_SCALE_ASINH,     /* (x - median) / ((q90 - q10) / 2.563), then asinh: heavy tails are drawn in */
};
/* Where a range is 0 the standard deviation stands in, and 1 where that is 0 too. */
struct cw_scale { enum cw_scale_kind kind; uint32_t cols; double *center, *inverse; };
void cw_scale_fit(struct cw_scale *s, enum cw_scale_kind kind, const struct cw_table *t);
void cw_scale_row(const struct cw_scale *s, const double *row, float *out);
void cw_scale_release(struct cw_scale *s);

#endif
