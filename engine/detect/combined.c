#include "detect/combined.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "detect/iforest.h"
#include "detect/knn.h"
#include "detect/num.h"
#include "detect/rng.h"
#include "detect/twosample.h"

#define NORM_ROWS 8192         /* training rows that are scored to find median and range of each part */

#define QUIETER 0.95           /* of the forest: its tail is heavier than that of the logarithm of a distance */
#define NOTHING 1e-9           /* distance that counts as none: rows that are there many times */

struct cw_combined {
	struct cw_iforest *forest;
	struct cw_knn *near;
	double median[CW_COMBINED_PARTS], inverse[CW_COMBINED_PARTS];
};

const char *cw_combined_part_name(enum cw_combined_part part)
{
	static const char *const names[] = { "forest", "neighbours" };

	return (unsigned)part < CW_COMBINED_PARTS ? names[part] : "";
}

void cw_combined_free(struct cw_combined **c)
{
	if (*c == NULL)
		return;
	cw_iforest_free(&(*c)->forest);
	cw_knn_free(&(*c)->near);
	cw_free(*c);
	*c = NULL;
}

static void part_scores(const struct cw_combined *c, const double *row, double z[CW_COMBINED_PARTS])
{
	z[CW_COMBINED_FOREST] = -cw_iforest_steps(c->forest, row);
	z[CW_COMBINED_NEAR] = cw_ln(cw_knn_score(c->near, row) + NOTHING);
}

static void normalise(struct cw_combined *c, const struct cw_table *t, uint64_t seed)
{
	size_t n = t->rows < NORM_ROWS ? t->rows : NORM_ROWS;
	uint32_t *picked = cw_alloc(n * sizeof(*picked));
	double *scores = cw_alloc(CW_COMBINED_PARTS * n * sizeof(double));
	struct cw_rng rng;

	cw_rng_init(&rng, seed);
	n = cw_sample_rows(&rng, t->rows, n, picked);
	for (size_t i = 0; i < n; i++) {
		double z[CW_COMBINED_PARTS];

		part_scores(c, cw_table_row(t, picked[i]), z);
		for (int p = 0; p < CW_COMBINED_PARTS; p++)
			scores[(size_t)p * n + i] = z[p];
	}
	for (int p = 0; p < CW_COMBINED_PARTS; p++) {
		double *s = scores + (size_t)p * n, range;

		cw_sort_doubles(s, n);
		c->median[p] = cw_quantile_sorted(s, n, 0.5);
		range = cw_quantile_sorted(s, n, 0.75) - cw_quantile_sorted(s, n, 0.25);
		c->inverse[p] = range > 0 && isfinite(1 / range) ? 1 / range : 1;
		if (p == CW_COMBINED_FOREST)
			c->inverse[p] *= QUIETER;
	}
	cw_free(scores);
	cw_free(picked);
}

struct cw_combined *cw_combined_fit(const struct cw_table *t, uint64_t seed, struct cw_err *err)
{
	const struct cw_iforest_conf forest = { .trees = 300, .sample = 256, .seed = seed };
	const struct cw_knn_conf near = { .samples = 32, .rows = 32, .k = 1, .scale = CW_SCALE_IQR, .seed = seed + 1 };
	struct cw_combined *c = cw_zalloc(sizeof(*c));

	c->forest = cw_iforest_fit(t, &forest, err);
	if (c->forest != NULL)
		c->near = cw_knn_fit(t, &near, err);
	if (c->near == NULL)
		cw_combined_free(&c);
	else
		normalise(c, t, seed + 2);
	return c;
}

double cw_combined_score(const struct cw_combined *c, const double *row, enum cw_combined_part *part)
{
	double z[CW_COMBINED_PARTS], best = NAN;
	int which = 0;

	part_scores(c, row, z);
	for (int p = 0; p < CW_COMBINED_PARTS; p++) {
		z[p] = (z[p] - c->median[p]) * c->inverse[p];
		if (p == 0 || z[p] > best) {
			best = z[p];
			which = p;
		}
	}
	if (part != NULL)
		*part = (enum cw_combined_part)which;
	return best;
}
