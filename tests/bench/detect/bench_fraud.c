/* Fraud addresses: AUC of the trainers by 5-fold cross-validation, folds kept apart by address, without the ERC-20 columns
 * (in this table empty ERC-20 cells give the label away). The features that are made of the raw columns are here. */
#include <math.h>

#include "base/err.h"
#include "data.h"
#include "model/gbt.h"
#include "model/logistic.h"
#include "model/measure.h"

#define RAW 22                 /* columns before the ERC-20 ones */
#define FOLDS 5
#define FEATURES_MAX 128

enum raw {
	GAP_SENT, GAP_RECEIVED, LIFETIME, SENT, RECEIVED, CREATED, SENDERS, RECIPIENTS, MIN_IN, MAX_IN, MEAN_IN, MIN_OUT,
	MAX_OUT, MEAN_OUT, MIN_CONTRACT, MAX_CONTRACT, MEAN_CONTRACT, TRANSACTIONS, TOTAL_OUT, TOTAL_IN, TOTAL_CONTRACT, BALANCE
};

static double ratio(double a, double b)
{
	return b != 0 ? a / b : a == 0 ? 0 : a > 0 ? 1e12 : -1e12;
}

/* Digits behind the point that a value has, up to 6: sums people type are round. */
static double decimals(double x)
{
	double scale = 1;

	for (int i = 0; i < 6; i++, scale *= 10)
		if (fabs(x * scale - nearbyint(x * scale)) < 1e-7 * scale)
			return i;
	return 6;
}

static size_t features(const double *r, double *f)
{
	static const int values[] = { MIN_IN, MAX_IN, MEAN_IN, MIN_OUT, MAX_OUT, MEAN_OUT, TOTAL_IN, TOTAL_OUT, BALANCE };
	double busy = r[GAP_SENT] * r[SENT] + r[GAP_RECEIVED] * r[RECEIVED], fees = r[TOTAL_IN] - r[TOTAL_OUT] - r[BALANCE];
	double n = r[SENT] + r[RECEIVED];
	size_t k = 0;

	memcpy(f, r, RAW * sizeof(double));
	k = RAW;
	f[k++] = ratio(r[RECEIVED], r[SENDERS]);
	f[k++] = ratio(r[SENDERS], r[RECEIVED]);
	f[k++] = ratio(r[RECIPIENTS], r[SENT]);
	f[k++] = ratio(r[SENT], r[RECIPIENTS]);
	f[k++] = ratio(r[MEAN_OUT], r[MEAN_IN]);
	f[k++] = ratio(r[MIN_IN], r[MIN_OUT]);
	f[k++] = ratio(r[MAX_IN], r[MAX_OUT]);
	f[k++] = ratio(r[MAX_IN], r[MEAN_IN]);
	f[k++] = ratio(r[MAX_OUT], r[MEAN_OUT]);
	f[k++] = ratio(r[MIN_IN], r[MEAN_IN]);
	f[k++] = ratio(r[MIN_OUT], r[MEAN_OUT]);
	f[k++] = ratio(r[MAX_IN], r[TOTAL_IN]);
	f[k++] = ratio(r[MAX_OUT], r[TOTAL_OUT]);
	f[k++] = ratio(r[TOTAL_OUT], r[TOTAL_IN]);
	f[k++] = ratio(r[BALANCE], r[TOTAL_IN]);
	f[k++] = ratio(r[RECEIVED], r[SENT]);
	f[k++] = ratio(n, r[LIFETIME]);
	f[k++] = ratio(r[GAP_SENT], r[LIFETIME]);
	f[k++] = ratio(r[GAP_RECEIVED], r[LIFETIME]);
	f[k++] = ratio(r[GAP_SENT], r[GAP_RECEIVED]);
	f[k++] = r[LIFETIME] - busy;
	f[k++] = ratio(busy, r[LIFETIME]);
	f[k++] = fees;
	f[k++] = ratio(fees, r[SENT]);
	f[k++] = ratio(fees, r[TOTAL_IN]);
	f[k++] = r[MAX_IN] - r[MIN_IN];
	f[k++] = r[MAX_OUT] - r[MIN_OUT];
	f[k++] = n;
	f[k++] = r[TRANSACTIONS] - n;
	f[k++] = ratio(r[TOTAL_IN], r[SENDERS]);
	f[k++] = ratio(r[TOTAL_OUT], r[RECIPIENTS]);
	f[k++] = ratio(r[SENDERS], r[RECIPIENTS]);
	f[k++] = ratio(r[TOTAL_IN], r[LIFETIME]);
	f[k++] = r[GAP_SENT] * r[SENT];
	f[k++] = r[GAP_RECEIVED] * r[RECEIVED];
	f[k++] = r[LIFETIME] - r[GAP_SENT] * r[SENT];
	f[k++] = r[LIFETIME] - r[GAP_RECEIVED] * r[RECEIVED];
	f[k++] = r[MAX_OUT] - r[MAX_IN];
	f[k++] = r[TOTAL_IN] - r[MAX_IN];
	f[k++] = r[TOTAL_OUT] - r[MAX_OUT];
	f[k++] = ratio(r[TOTAL_CONTRACT], r[TOTAL_OUT]);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		f[k++] = decimals(r[values[i]]);
	return k;
}

struct folds { const struct data *d; struct cw_table t; double *score; };

static int fold_of(const struct data *d, size_t row, uint64_t seed)
{
	uint64_t z = (d->group[row] ^ seed * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;

	return (int)((z >> 32) % FOLDS);
}

enum model { LOGISTIC = 0, TREES, STOCHASTIC };
static double train_s, score_s;

static void score_fold(struct folds *f, int fold, uint64_t seed, enum model model)
{
	struct cw_table part = { .cols = f->t.cols, .x = malloc(f->t.rows * f->t.cols * sizeof(double)) };
	uint8_t *label = malloc(f->t.rows);
	const struct cw_gbt_conf plain = { .seed = seed }, some = { .trees = 800, .leaves = 31, .rows = 0.6, .columns = 0.1,
	                                                            .min_rows = 10, .seed = seed };
	const struct cw_logistic_conf logistic = { .l2 = 1 };
	struct cw_err err = { 0 };
	struct cw_gbt *g = NULL;
	struct cw_logistic *l = NULL;
	double t0;

	for (size_t i = 0; i < f->t.rows; i++)
		if (fold_of(f->d, i, seed) != fold) {
			memcpy(part.x + part.rows * part.cols, cw_table_row(&f->t, i), part.cols * sizeof(double));
			label[part.rows++] = f->d->label[i];
		}
	t0 = now_s();
	if (model == LOGISTIC)
		l = cw_logistic_train(&part, label, &logistic, &err);
	else
		g = cw_gbt_train(&part, label, model == TREES ? &plain : &some, &err);
	train_s = now_s() - t0;
	if (l == NULL && g == NULL) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	t0 = now_s();
	for (size_t i = 0; i < f->t.rows; i++)
		if (fold_of(f->d, i, seed) == fold)
			f->score[i] = l != NULL ? cw_logistic_log_odds(l, cw_table_row(&f->t, i))
			                        : cw_gbt_log_odds(g, cw_table_row(&f->t, i));
	score_s = (now_s() - t0) / (double)(f->t.rows - part.rows);
	cw_gbt_free(&g);
	cw_logistic_free(&l);
	free(part.x);
	free(label);
}

static double cross_validate(struct folds *f, uint64_t seed, enum model model)
{
	for (int fold = 0; fold < FOLDS; fold++)
		score_fold(f, fold, seed, model);
	return cw_auc_roc(f->score, f->d->label, f->t.rows);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "logistic on normal ranks", "trees 500 x 15", "stochastic trees 800 x 31" };
	int seeds = argc > 1 ? atoi(argv[1]) : 2;
	struct folds f = { 0 };
	struct data d;
	double *kept, *sum, both = 0;

	if (!data_read(&d, "eth_fraud_addresses.csv.gz"))
		return 0;
	f.d = &d;
	f.t.rows = d.t.rows;
	f.t.x = malloc(d.t.rows * FEATURES_MAX * sizeof(double));
	f.score = malloc(d.t.rows * sizeof(double));
	kept = malloc(d.t.rows * sizeof(double));
	sum = malloc(d.t.rows * sizeof(double));
	for (int made = 0; made < 2; made++) {
		for (size_t i = 0; i < d.t.rows; i++) {
			double row[FEATURES_MAX];

			f.t.cols = features(cw_table_row(&d.t, i), row);
			f.t.cols = made ? f.t.cols : RAW;
			memcpy(f.t.x + i * f.t.cols, row, f.t.cols * sizeof(double));
		}
		printf("fraud addresses, %zu columns, 5-fold cross-validated AUC-ROC, mean of %d foldings\n", f.t.cols, seeds);
		both = 0;
		for (int m = LOGISTIC; m <= STOCHASTIC; m++) {
			double auc = 0;

			for (int seed = 0; seed < seeds; seed++)
				auc += cross_validate(&f, (uint64_t)seed + 1, (enum model)m) / seeds;
			if (m == TREES)
				memcpy(kept, f.score, d.t.rows * sizeof(double));
			figure(names[m], auc, "", m == LOGISTIC ? 0.944 : made ? 0.99 : 0.985, true);
			printf("  (%-24s training %.2f s, a row %.2f us)\n", names[m], train_s, score_s * 1e6);
		}
		for (size_t i = 0; i < d.t.rows; i++)   /* both were left from the last folding */
			sum[i] = kept[i] + f.score[i];
		both = cw_auc_roc(sum, d.label, d.t.rows);
		figure("mean of both boosters' log-odds, one folding", both, "", made ? 0.99 : 0.985, true);
	}
	free(sum);
	free(kept);
	free(f.score);
	free(f.t.x);
	data_free(&d);
	return 0;
}
