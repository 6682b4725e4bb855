#include "detect/knn.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "detect/rng.h"

#define K_MAX 64
#define ROWS_MAX 1024
#define SAMPLES_MAX 1000
#define FAR 1e30f              /* squared distance of places that hold no row */

/* Distances to four rows at a time. */
typedef float four __attribute__((vector_size(16), aligned(4)));

struct cw_knn {
	uint32_t samples, rows, padded, k, cols;
	struct cw_scale scale;
	float *x;                      /* [samples][cols][padded] */
};

void cw_knn_free(struct cw_knn **k)
{
	if (*k == NULL)
		return;
	cw_scale_release(&(*k)->scale);
	cw_free((*k)->x);
	cw_free(*k);
	*k = NULL;
}

static int check(const struct cw_knn *k, struct cw_err *err)
{
	if (k->samples > SAMPLES_MAX || k->rows < 2 || k->rows > ROWS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "1 to %d samples of 2 to %d rows are possible, not %u of %u", SAMPLES_MAX,
		                  ROWS_MAX, k->samples, k->rows);
	if (k->k == 0 || k->k > K_MAX || k->k >= k->rows)
		return cw_err_set(err, CW_ERR_INVALID, "neighbour %u is not among the 1 to %d of %u rows", k->k, K_MAX, k->rows);
	return 0;
}

static void take_sample(struct cw_knn *k, const struct cw_table *t, const uint32_t *picked, float *x)
{
	float row[CW_TABLE_COLS_MAX];

	for (uint32_t i = 0; i < k->padded; i++) {
		if (i < k->rows)
			cw_scale_row(&k->scale, cw_table_row(t, picked[i]), row);
		for (uint32_t j = 0; j < k->cols; j++)
			x[(size_t)j * k->padded + i] = i < k->rows ? row[j] : FAR;
	}
}

struct cw_knn *cw_knn_fit(const struct cw_table *t, const struct cw_knn_conf *conf, struct cw_err *err)
{
	struct cw_knn set = { .samples = conf->samples != 0 ? conf->samples : 8, .k = conf->k != 0 ? conf->k : 5,
	                      .rows = conf->rows != 0 ? conf->rows : 128, .cols = (uint32_t)t->cols }, *k;
	uint32_t picked[ROWS_MAX];
	struct cw_rng rng;

	if (check(&set, err) != 0 || cw_table_check(t, err) != 0)
		return NULL;
	if (set.rows > t->rows)
		set.rows = (uint32_t)t->rows;
	set.padded = (set.rows + 3) / 4 * 4;
	k = cw_memdup(&set, sizeof(set));
	cw_scale_fit(&k->scale, conf->scale, t);
	k->x = cw_alloc((size_t)k->samples * k->cols * k->padded * sizeof(float));
	cw_rng_init(&rng, conf->seed);
	for (uint32_t s = 0; s < k->samples; s++) {
		cw_sample_rows(&rng, t->rows, k->rows, picked);
		take_sample(k, t, picked, k->x + (size_t)s * k->cols * k->padded);
	}
	return k;
}

static void distances(const struct cw_knn *k, const float *x, const float *row, float *out)
{
	for (uint32_t i = 0; i < k->padded; i += 4) {
		four sum = { 0 };

		for (uint32_t j = 0; j < k->cols; j++) {
			four d = *(const four *)(x + (size_t)j * k->padded + i) - row[j];

			sum += d * d;
		}
		memcpy(out + i, &sum, sizeof(sum));
	}
}

/* The k-th smallest; where there are fewer, the largest; one zero is passed over. */
static float kth(const struct cw_knn *k, const float *d)
{
	float near[K_MAX];
	uint32_t n = 0;
	bool passed = false;

	/* NOLINTBEGIN(clang-analyzer-core.UndefinedBinaryOperatorResult): `d` holds a distance for each row; 1 <= k <= K_MAX. */
	for (uint32_t i = 0; i < k->rows; i++) {
		uint32_t at;

		if (d[i] == 0 && !passed) {
			passed = true;
			continue;
		}
		if (n > 0 && n == k->k && !(d[i] < near[n - 1]))
			continue;
		at = n < k->k ? n++ : n - 1;
		for (; at > 0 && near[at - 1] > d[i]; at--)
			near[at] = near[at - 1];
		near[at] = d[i];
	}
	/* NOLINTEND(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	return n > 0 ? near[n - 1] : 0;
}

double cw_knn_score(const struct cw_knn *k, const double *row)
{
	float scaled[CW_TABLE_COLS_MAX], d[ROWS_MAX] = { 0 };
	double sum = 0;

	if (!cw_row_finite(row, k->cols))
		return NAN;
	cw_scale_row(&k->scale, row, scaled);
	for (uint32_t s = 0; s < k->samples; s++) {
		distances(k, k->x + (size_t)s * k->cols * k->padded, scaled, d);
		sum += sqrt((double)kth(k, d));
	}
	return sum / k->samples;
}
