/* The streaming forest: cost of score + update at 3 columns, and AUC of one pass over labelled tables in file order
 * turned random, beside that of the fitted forest (which sees all rows beforehand). */
#include <math.h>

#include "data.h"
#include "detect/hstree.h"
#include "detect/rng.h"
#include "model/measure.h"

static double normal(struct cw_rng *rng)
{
	double u = 1 - cw_rng_uniform(rng), v = cw_rng_uniform(rng);

	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void speed(void)
{
	const struct cw_hstree_conf conf = { .cols = 3, .trees = 50, .window = 1024, .seed = 1 };
	enum { ROWS = 100000 };
	double *x = malloc(ROWS * 3 * sizeof(double)), best = INFINITY, sum = 0;
	struct cw_hstree *s = calloc(1, cw_hstree_size(&conf));
	struct cw_rng rng;

	cw_rng_init(&rng, 7);
	for (int i = 0; i < ROWS * 3; i++)
		x[i] = exp(3 * normal(&rng));
	for (int run = 0; run < 3; run++) {
		double t0 = now_s();

		for (int i = 0; i < ROWS; i++) {
			double score = cw_hstree_add(NULL, s, &conf, x + i * 3);

			sum += isnan(score) ? 0 : score;
		}
		best = fmin(best, (now_s() - t0) / ROWS);
	}
	figure("streaming forest, 3 columns, 50 x 256: a row", best * 1e6, "us", 5, false);
	printf("  (%zu bytes; mean score %.3f; AWS random cut forest in Rust 67.5 us)\n", cw_hstree_size(&conf), sum / ROWS / 3);
	free(s);
	free(x);
}

static void table(const char *name, double reference)
{
	char file[64];
	struct data d;
	double auc = 0;

	snprintf(file, sizeof(file), "adbench/%s.csv.gz", name);
	if (!data_read(&d, file))
		return;
	for (uint64_t seed = 0; seed < 5; seed++) {
		const struct cw_hstree_conf conf = { .cols = (uint32_t)d.t.cols, .trees = 50, .window = 1024, .seed = seed };
		struct cw_hstree *s = calloc(1, cw_hstree_size(&conf));
		uint32_t *order = malloc(d.t.rows * sizeof(uint32_t));
		double *score = malloc(d.t.rows * sizeof(double));
		uint8_t *label = malloc(d.t.rows);
		struct cw_rng rng;
		size_t n = 0;

		cw_rng_init(&rng, seed);
		cw_sample_rows(&rng, d.t.rows, d.t.rows, order);
		for (size_t i = 0; i < d.t.rows; i++) {
			score[n] = cw_hstree_add(NULL, s, &conf, cw_table_row(&d.t, order[i]));
			label[n] = d.label[order[i]];
			n += isnan(score[n]) ? 0 : 1;
		}
		auc += cw_auc_roc(score, label, n) / 5;
		free(s);
		free(order);
		free(score);
		free(label);
	}
	printf("  %-17s one pass %.4f   fitted forest (scikit-learn) %.4f\n", name, auc, reference);
	data_free(&d);
}

int main(void)
{
	printf("streaming forest\n");
	speed();
	table("annthyroid", 0.8185);
	table("mammography", 0.8605);
	table("pendigits", 0.9462);
	table("shuttle", 0.9969);
	table("thyroid", 0.9782);
	return 0;
}
