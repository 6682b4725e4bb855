/* tables.h - small tables for the tests of detectors and models: normal rows with some that are far off. */
#ifndef CW_TESTS_TABLES_H
#define CW_TESTS_TABLES_H

#include "support/detect_env.h"

#include "detect/table.h"

/* `rows` x `cols` standard normal numbers; the first `odd` rows are moved by `by` in every column, and labelled 1. */
static inline struct cw_table tables_normal(size_t rows, size_t cols, size_t odd, double by, uint8_t *label)
{
	struct cw_table t = { malloc(rows * cols * sizeof(double)), rows, cols };
	uint64_t rng = 12345;

	for (size_t i = 0; i < rows; i++) {
		for (size_t j = 0; j < cols; j++)
			t.x[i * cols + j] = env_normal(&rng) + (i < odd ? by : 0);
		if (label != NULL)
			label[i] = i < odd;
	}
	return t;
}

/* Area under the ROC curve from its definition: all pairs. */
static inline double tables_auc(const double *score, const uint8_t *label, size_t n)
{
	double won = 0, pairs = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			if (label[i] == 1 && label[j] == 0) {
				pairs++;
				won += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
			}
	return won / pairs;
}

#endif
