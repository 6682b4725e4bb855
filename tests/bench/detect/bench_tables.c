/* AUC of the table detectors on ten labelled tables, beside the figures of scikit-learn 1.2.1, and the speed of the
 * forest. Labels are used for measuring only. "bench_tables quick" runs three seeds instead of twenty. */
#include <math.h>

#include "base/err.h"
#include "data.h"
#include "detect/combined.h"
#include "detect/ecod.h"
#include "detect/hbos.h"
#include "detect/iforest.h"
#include "detect/knn.h"
#include "detect/mahalanobis.h"
#include "model/measure.h"

#define SETS 10

/* scikit-learn's isolation forest, 100 trees x 256, 20 seeds: mean and standard deviation. */
static const struct { const char *name; double mean, sd; } reference[SETS] = {
	{ "Cardiotocography", 0.6816, 0.0213 }, { "Ionosphere", 0.8490, 0.0049 }, { "Pima", 0.6709, 0.0115 },
	{ "annthyroid", 0.8185, 0.0164 }, { "cardio", 0.9257, 0.0109 }, { "mammography", 0.8605, 0.0100 },
	{ "pendigits", 0.9462, 0.0159 }, { "shuttle", 0.9969, 0.0007 }, { "thyroid", 0.9782, 0.0043 },
	{ "vowels", 0.7483, 0.0249 },
};

enum { FOREST = 0, COMBINED, HBOS, ECOD, KNN, COVARIANCE, METHODS };
static const char *const method_names[] = { "iforest", "combined", "hbos", "ecod", "knn", "mahalanobis" };

static double *scores;

static double auc_of(const struct data *d, int method, uint64_t seed)
{
	const struct cw_iforest_conf forest = { .seed = seed };
	const struct cw_knn_conf knn = { .seed = seed };
	struct cw_err err = { 0 };
	void *m = method == FOREST     ? (void *)cw_iforest_fit(&d->t, &forest, &err)
	          : method == COMBINED ? (void *)cw_combined_fit(&d->t, seed, &err)
	          : method == HBOS     ? (void *)cw_hbos_fit(&d->t, 0, &err)
	          : method == ECOD     ? (void *)cw_ecod_fit(&d->t, &err)
	          : method == KNN      ? (void *)cw_knn_fit(&d->t, &knn, &err)
	                               : (void *)cw_mahalanobis_fit(&d->t, &err);

	if (m == NULL) {
		fprintf(stderr, "%s: %s\n", method_names[method], err.msg);
		exit(1);
	}
	for (size_t i = 0; i < d->t.rows; i++) {
		const double *row = cw_table_row(&d->t, i);

		scores[i] = method == FOREST     ? cw_iforest_score(m, row)
		            : method == COMBINED ? cw_combined_score(m, row, NULL)
		            : method == HBOS     ? cw_hbos_score(m, row)
		            : method == ECOD     ? cw_ecod_score(m, row)
		            : method == KNN      ? cw_knn_score(m, row)
		                                 : cw_mahalanobis_score(m, row);
	}
	switch (method) {
	case FOREST: cw_iforest_free((struct cw_iforest **)&m); break;
	case COMBINED: cw_combined_free((struct cw_combined **)&m); break;
	case HBOS: cw_hbos_free((struct cw_hbos **)&m); break;
	case ECOD: cw_ecod_free((struct cw_ecod **)&m); break;
	case KNN: cw_knn_free((struct cw_knn **)&m); break;
	default: cw_mahalanobis_free((struct cw_mahalanobis **)&m); break;
	}
	return cw_auc_roc(scores, d->label, d->t.rows);
}

static void speed(const struct data *d, const char *name)
{
	double fit = INFINITY, score = INFINITY, sum = 0;
	char what[80];

	for (uint64_t seed = 1; seed <= 7; seed++) {
		const struct cw_iforest_conf conf = { .seed = seed * 1000003 };
		double t0 = now_s(), t1;
		struct cw_iforest *f = cw_iforest_fit(&d->t, &conf, NULL);
		size_t n = d->t.rows < 20000 ? d->t.rows : 20000;

		t1 = now_s();
		fit = fmin(fit, t1 - t0);
		for (size_t i = 0; i < n; i++)
			sum += cw_iforest_score(f, cw_table_row(&d->t, i));
		score = fmin(score, (now_s() - t1) / (double)n);
		cw_iforest_free(&f);
	}
	snprintf(what, sizeof(what), "forest 100 x 256, %s (%zu columns): score", name, d->t.cols);
	figure(what, score * 1e6, "us", 1.0, false);
	snprintf(what, sizeof(what), "forest 100 x 256, %s (%zu columns): fit", name, d->t.cols);
	if (d->t.cols <= 10)
		figure(what, fit * 1e3, "ms", 1.5, false);
	else
		printf("  %-52s %9.4g ms\n", what, fit * 1e3);
	if (sum == 0)
		printf("no score\n");
}

int main(int argc, char **argv)
{
	int seeds = argc > 1 && strcmp(argv[1], "quick") == 0 ? 3 : 20;
	double mean[METHODS] = { 0 }, worst = 1, worst_own = 1, parity = 1;

	printf("tables: AUC-ROC, mean of %d seeds (combined, knn: 3)\n  %-17s sklearn", seeds, "");
	for (int m = 0; m < METHODS; m++)
		printf(" %11s", method_names[m]);
	printf("\n");
	for (int s = 0; s < SETS; s++) {
		char file[64];
		struct data d;
		double auc[METHODS];

		snprintf(file, sizeof(file), "adbench/%s.csv.gz", reference[s].name);
		if (!data_read(&d, file))
			return 0;
		scores = malloc(d.t.rows * sizeof(double));
		printf("  %-17s %7.4f", reference[s].name, reference[s].mean);
		for (int m = 0; m < METHODS; m++) {
			int runs = m == FOREST ? seeds : m == COMBINED || m == KNN ? 3 : 1;

			auc[m] = 0;
			for (int i = 0; i < runs; i++)
				auc[m] += auc_of(&d, m, (uint64_t)i * 7919 + 42) / runs;
			mean[m] += auc[m] / SETS;
			printf(" %11.4f", auc[m]);
			fflush(stdout);
		}
		printf("\n");
		worst = fmin(worst, auc[COMBINED] - reference[s].mean);
		worst_own = fmin(worst_own, auc[COMBINED] - auc[FOREST]);
		/* margin left of the larger of 0.005 and two standard errors of the difference of two means of 20 */
		parity = fmin(parity, fmax(0.005, 2 * reference[s].sd * sqrt(1.0 / 20 + 1.0 / seeds)) -
		                          fmax(0, reference[s].mean - auc[FOREST]));
		free(scores);
		data_free(&d);
	}
	printf("  %-17s %7.4f", "mean", 0.8476);
	for (int m = 0; m < METHODS; m++)
		printf(" %11.4f", mean[m]);
	printf("\n");
	figure("forest, mean AUC", mean[FOREST], "", 0.847, true);
	figure("forest, margin to scikit-learn left on the worst table", parity, "", 0, true);
	figure("combined, mean AUC", mean[COMBINED], "", 0.88, true);
	figure("combined minus scikit-learn's forest, worst table", worst, "", -0.01, true);
	figure("combined minus the forest here, worst table", worst_own, "", -0.01, true);
	for (int s = 0; s < SETS; s++) {
		char file[64];
		struct data d;

		snprintf(file, sizeof(file), "adbench/%s.csv.gz", reference[s].name);
		if (data_read(&d, file)) {
			speed(&d, reference[s].name);
			data_free(&d);
		}
	}
	return 0;
}
