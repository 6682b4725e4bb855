#include "detect/hbos.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "detect/num.h"

#define BINS_MAX 1000

struct cw_hbos {
	uint32_t cols, bins;
	double *low, *per;             /* first value, bins a unit; per 0: the column is constant */
	double *rarity;                /* [cols][bins + 1]; the last is for values outside */
};

void cw_hbos_free(struct cw_hbos **h)
{
	if (*h == NULL)
		return;
	cw_free((*h)->low);
	cw_free((*h)->per);
	cw_free((*h)->rarity);
	cw_free(*h);
	*h = NULL;
}

static uint32_t bin_of(const struct cw_hbos *h, uint32_t col, double x)
{
	double at = (x - h->low[col]) * h->per[col];

	if (h->per[col] == 0)
		return x == h->low[col] ? 0 : h->bins;
	if (!(at >= 0 && at <= h->bins * (1 + 1e-12)))
		return h->bins;
	return at < h->bins ? (uint32_t)at : h->bins - 1;
}

static void fit_column(struct cw_hbos *h, const struct cw_table *t, uint32_t col)
{
	double *n = h->rarity + (size_t)col * (h->bins + 1), low = INFINITY, high = -INFINITY, most = 0;

	for (size_t i = 0; i < t->rows; i++) {
		double x = cw_table_row(t, i)[col];

		low = x < low ? x : low;
		high = x > high ? x : high;
	}
	h->low[col] = low;
	h->per[col] = high > low && isfinite(h->bins / (high - low)) ? h->bins / (high - low) : 0;
	for (size_t i = 0; i < t->rows; i++)
		n[bin_of(h, col, cw_table_row(t, i)[col])]++;
	for (uint32_t b = 0; b < h->bins; b++)
		most = n[b] > most ? n[b] : most;
	for (uint32_t b = 0; b <= h->bins; b++)
		n[b] = most > 0 ? cw_ln(most / (n[b] > 0 ? n[b] : 0.5)) : 0;
}

struct cw_hbos *cw_hbos_fit(const struct cw_table *t, uint32_t bins, struct cw_err *err)
{
	struct cw_hbos *h;

	if (bins == 0)
		bins = 10;
	if (bins < 2 || bins > BINS_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "a histogram has 2 to %d bins, not %u", BINS_MAX, bins);
		return NULL;
	}
	if (cw_table_check(t, err) != 0)
		return NULL;
	h = cw_zalloc(sizeof(*h));
	h->cols = (uint32_t)t->cols;
	h->bins = bins;
	h->low = cw_zalloc(t->cols * sizeof(double));
	h->per = cw_zalloc(t->cols * sizeof(double));
	h->rarity = cw_zalloc(t->cols * (bins + 1) * sizeof(double));
	for (uint32_t j = 0; j < h->cols; j++)
		fit_column(h, t, j);
	return h;
}

double cw_hbos_score(const struct cw_hbos *h, const double *row)
{
	double sum = 0;

	if (!cw_row_finite(row, h->cols))
		return NAN;
	for (uint32_t j = 0; j < h->cols; j++)
		sum += h->rarity[(size_t)j * (h->bins + 1) + bin_of(h, j, row[j])];
	return sum;
}
