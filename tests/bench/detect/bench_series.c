/* The series detector on the Numenta Anomaly Benchmark v1.1 (Lavin and Ahmad, ICMLA 2015): exact scores of the three
 * profiles, the threshold chosen on all files and on random halves; cost of a row.
 *
 * "bench_series FILES" scores CSVs "timestamp,value,anomaly_score" that something else has written into the folder
 * FILES, laid out like the benchmark's data. */
#include <ctype.h>
#include <math.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "data.h"
#include "detect/rng.h"
#include "detect/series.h"

#define FILES_MAX 64
#define WINDOWS_MAX 8
#define SPLITS 400

struct window { size_t from, to; };   /* rows, both included */
struct file {
	char name[96];
	size_t rows, windows, probation;
	double *x, *score, *evidence;
	int64_t *time;
	struct window window[WINDOWS_MAX];
};
static struct file files[FILES_MAX];
static size_t nfiles;

static const struct profile { const char *name; double tp, fp, fn, rcf, artime; } profiles[] = {
	{ "standard", 1, 0.11, 1, 50.56, 72.93 }, { "low false positives", 1, 0.22, 1, 0, 0 },
	{ "low false negatives", 1, 0.11, 2, 0, 0 },
};

/* --- scoring, as nab/sweeper.py of the benchmark does it --- */

static double sigmoid(double at)
{
	return at > 3 ? -1 : 2 / (1 + exp(5 * at)) - 1;
}

/* Sum for one file when rows with score >= threshold are detections. */
static double file_score(const struct file *f, const double *score, double threshold, const struct profile *p)
{
	double sum = 0, best[WINDOWS_MAX];
	size_t w = 0;

	for (size_t k = 0; k < f->windows; k++)
		best[k] = -p->fn;
	for (size_t i = 0; i < f->rows; i++) {
		while (w < f->windows && i > f->window[w].to)
			w++;
		if (i < f->probation || !(score[i] >= threshold))
			continue;
		if (w < f->windows && i >= f->window[w].from) {
			double width = (double)(f->window[w].to - f->window[w].from + 1);
			double value = sigmoid(-(double)(f->window[w].to - i + 1) / width) * p->tp / sigmoid(-1);

			best[w] = fmax(best[w], value);
		} else if (w == 0) {
			sum -= p->fp;
		} else {
			const struct window *before = &f->window[w - 1];

			sum += p->fp * sigmoid((double)(i - before->to) / (double)(before->to - before->from));
		}
	}
	for (size_t k = 0; k < f->windows; k++)
		sum += best[k];
	return sum;
}

static bool in_half(size_t i, uint64_t half)
{
	return (half >> i & 1) != 0;
}

/* 0 silent, 100 perfect, over the files in `half`; sums[] are file_score() of each. */
static double normalised(const double *sums, uint64_t half, const struct profile *p)
{
	double sum = 0, null = 0, perfect = 0;

	for (size_t i = 0; i < nfiles; i++)
		if (in_half(i, half)) {
			sum += sums[i];
			null -= p->fn * (double)files[i].windows;
			perfect += p->tp * (double)files[i].windows;
		}
	return 100 * (sum - null) / (perfect - null);
}

/* --- files --- */

static bool read_series(struct file *f, const char *path)
{
	gzFile in = gzopen(path, "rb");
	char line[256];
	size_t room = 0;

	if (in == NULL || gzgets(in, line, sizeof(line)) == NULL)
		return false;
	while (gzgets(in, line, sizeof(line)) != NULL) {
		char *comma = strchr(line, ',');
		char text[40];
		int64_t us;

		if (comma == NULL)
			continue;
		if (f->rows == room) {
			room = room * 2 + 4096;
			f->x = realloc(f->x, room * sizeof(double));
			f->score = realloc(f->score, room * sizeof(double));
			f->evidence = realloc(f->evidence, room * sizeof(double));
			f->time = realloc(f->time, room * sizeof(int64_t));
		}
		snprintf(text, sizeof(text), "%.10sT%.8sZ", line, line + 11);
		if (cw_time_parse(text, &us) != 0) {
			fprintf(stderr, "%s: time \"%.19s\"\n", path, line);
			exit(1);
		}
		f->time[f->rows] = us / 1000000;
		f->x[f->rows] = strtod(comma + 1, &comma);
		f->score[f->rows++] = *comma == ',' ? strtod(comma + 1, NULL) : 0;
	}
	gzclose(in);
	f->probation = (size_t)fmin(floor(0.15 * (double)f->rows), 750);
	return true;
}

static size_t row_at(const struct file *f, const struct cw_json *text)
{
	char buf[40];
	int64_t us = 0;

	snprintf(buf, sizeof(buf), "%.10sT%.8sZ", text->text, text->text + 11);
	cw_time_parse(buf, &us);
	for (size_t i = 0; i < f->rows; i++)
		if (f->time[i] == us / 1000000)
			return i;
	fprintf(stderr, "%s: no row at %s\n", f->name, buf);
	exit(1);
}

static bool read_all(const char *folder)
{
	static char text[1 << 20];
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	char path[1024];
	gzFile labels = data_open("nab/labels/combined_windows.json");
	int len = labels != NULL ? gzread(labels, text, sizeof(text)) : -1;
	const struct cw_json *all = len > 0 ? cw_json_parse(text, (size_t)len, 8, arena, &error) : NULL;

	if (all == NULL)
		return false;
	gzclose(labels);
	for (const struct cw_json *one = all->first; one != NULL && nfiles < FILES_MAX; one = one->next) {
		struct file *f = &files[nfiles];
		char base[512];

		snprintf(f->name, sizeof(f->name), "%s", one->key);
		snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : data_path("nab/data", base), one->key);
		if (!read_series(f, path))
			continue;
		for (const struct cw_json *w = one->first; w != NULL; w = w->next)
			f->window[f->windows++] = (struct window){ row_at(f, w->first), row_at(f, w->first->next) };
		nfiles++;
	}
	cw_arena_free(&arena);
	return nfiles > 0;
}

static void score_all(void)
{
	struct cw_series *s = malloc(sizeof(*s));

	for (size_t k = 0; k < nfiles; k++) {
		struct file *f = &files[k];

		memset(s, 0, sizeof(*s));
		for (size_t i = 0; i < f->rows; i++) {
			f->score[i] = cw_series_add(NULL, s, f->time[i], f->x[i]);
			f->evidence[i] = cw_series_evidence(s);
		}
	}
	free(s);
}

/* --- choosing a threshold --- */

static int rising(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Every score there is; the best threshold is one of them. */
static double *candidates(size_t *n)
{
	double *all = NULL;
	size_t m = 0, rows = 0;

	for (size_t k = 0; k < nfiles; k++)
		rows += files[k].rows;
	all = malloc((rows + 1) * sizeof(double));
	for (size_t k = 0; k < nfiles; k++)
		for (size_t i = files[k].probation; i < files[k].rows; i++)
			all[m++] = files[k].score[i];
	qsort(all, m, sizeof(double), rising);
	*n = 0;
	for (size_t i = 0; i < m; i++)
		if (*n == 0 || all[i] != all[*n - 1])
			all[(*n)++] = all[i];
	if (*n > 4000) {
		size_t step = *n / 2000, kept = 0;

		for (size_t i = 0; i < *n; i++)   /* all of the upper end, where alerts are; a grid below */
			if (i + 2000 >= *n || i % step == 0)
				all[kept++] = all[i];
		*n = kept;
	}
	return all;
}

static double best_threshold(const struct profile *p, double *best)
{
	size_t n;
	double *t = candidates(&n), at = 0.5;

	*best = -INFINITY;
	for (size_t i = 0; i < n; i++) {
		double sums[FILES_MAX], score;

		for (size_t k = 0; k < nfiles; k++)
			sums[k] = file_score(&files[k], files[k].score, t[i], p);
		score = normalised(sums, UINT64_MAX, p);
		if (score > *best) {
			*best = score;
			at = t[i];
		}
	}
	free(t);
	return at;
}

/* The detector's own rule, silence included, at another level of evidence. */
static void alerts_at(const struct file *f, double level, double *out)
{
	size_t last = 0;

	for (size_t i = 0; i < f->rows; i++) {
		out[i] = f->evidence[i] >= level && (last == 0 || i + 1 - last > CW_SERIES_SILENCE);
		if (out[i] > 0)
			last = i + 1;
	}
}

/* The level of evidence chosen on a random half of the files, scored on the other half. */
static void half_splits(const struct profile *p)
{
	enum { LEVELS = 81 };
	static double sums[LEVELS][FILES_MAX];
	double mean = 0, squares = 0, fixed = 0;
	struct cw_rng rng;

	for (int l = 0; l < LEVELS; l++)
		for (size_t k = 0; k < nfiles; k++) {
			double *out = malloc(files[k].rows * sizeof(double));

			alerts_at(&files[k], 1 + 0.05 * l, out);
			sums[l][k] = file_score(&files[k], out, 0.5, p);
			free(out);
		}
	cw_rng_init(&rng, 1);
	for (int split = 0; split < SPLITS; split++) {
		uint64_t half = 0;
		uint32_t picked[FILES_MAX];
		int best = 0;
		double other;

		cw_sample_rows(&rng, nfiles, nfiles, picked);
		for (size_t i = 0; i < nfiles / 2; i++)
			half |= 1ull << picked[i];
		for (int l = 1; l < LEVELS; l++)
			if (normalised(sums[l], half, p) > normalised(sums[best], half, p))
				best = l;
		other = normalised(sums[best], ~half, p);
		mean += other / SPLITS;
		squares += other * other / SPLITS;
		fixed += normalised(sums[26], ~half, p) / SPLITS;   /* 1 + 26 * 0.05: CW_SERIES_ALERT */
	}
	figure("threshold from a random half, scored on the other", mean, "", 66, true);
	printf("  (standard deviation over %d halves %.1f; with the shipped threshold on the same halves %.1f)\n", SPLITS,
	       sqrt(squares - mean * mean), fixed);
	printf("  evidence needed and score:");
	for (int l = 10; l < LEVELS; l += 4)
		printf(" %.2f:%.1f", 1 + 0.05 * l, normalised(sums[l], UINT64_MAX, p));
	printf("\n");
}

static void report(const struct profile *p, double threshold, const char *how)
{
	double sums[FILES_MAX];
	size_t hit = 0, windows = 0, false_rows = 0;
	char what[80];

	for (size_t k = 0; k < nfiles; k++) {
		const struct file *f = &files[k];
		bool found[WINDOWS_MAX] = { false };

		sums[k] = file_score(f, f->score, threshold, p);
		windows += f->windows;
		for (size_t i = f->probation; i < f->rows; i++) {
			bool inside = false;

			for (size_t w = 0; w < f->windows; w++)
				if (i >= f->window[w].from && i <= f->window[w].to && f->score[i] >= threshold)
					found[w] = inside = true;
				else
					inside |= i >= f->window[w].from && i <= f->window[w].to;
			false_rows += !inside && f->score[i] >= threshold;
		}
		for (size_t w = 0; w < f->windows; w++)
			hit += found[w];
	}
	snprintf(what, sizeof(what), "%s, %s", p->name, how);
	if (p == profiles)
		figure(what, normalised(sums, UINT64_MAX, p), "", 72, true);
	else
		printf("  %-52s %9.4g\n", what, normalised(sums, UINT64_MAX, p));
	printf("  (threshold %.6g: %zu of %zu windows, %zu false rows)\n", threshold, hit, windows, false_rows);
}

static void speed(void)
{
	struct cw_series *s = malloc(sizeof(*s));
	double best = INFINITY;

	for (int run = 0; run < 3; run++) {
		double t0 = now_s();
		size_t rows = 0;

		for (size_t k = 0; k < nfiles; k++) {
			memset(s, 0, sizeof(*s));
			for (size_t i = 0; i < files[k].rows; i++)
				cw_series_add(NULL, s, files[k].time[i], files[k].x[i]);
			rows += files[k].rows;
		}
		best = fmin(best, (now_s() - t0) / (double)rows);
	}
	figure("cost of a row", best * 1e6, "us", 2, false);
	printf("  (%zu bytes a series)\n", sizeof(*s));
	free(s);
}

int main(int argc, char **argv)
{
	double best;

	if (!read_all(argc > 1 ? argv[1] : NULL))
		return 0;
	if (argc == 1)
		score_all();
	printf("series: NAB, %zu files (published on these: ARTime 72.93, htmjava 69.68, Numenta 68.72, AWS RCF 50.56)\n", nfiles);
	for (size_t i = 0; i < sizeof(profiles) / sizeof(*profiles); i++) {
		double at = best_threshold(&profiles[i], &best);

		report(&profiles[i], at, "best threshold on these files");
	}
	report(&profiles[0], 0.5, "the shipped threshold");
	if (argc == 1) {
		half_splits(&profiles[0]);
		speed();
	}
	return 0;
}
