/* cmd_detect.c - chainwatch detect: the detectors over one's own CSV files. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "app/cli.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/combined.h"
#include "detect/ecod.h"
#include "detect/hbos.h"
#include "detect/hstree.h"
#include "detect/iforest.h"
#include "detect/knn.h"
#include "detect/mahalanobis.h"
#include "detect/series.h"
#include "detect/table.h"

#define LINE_MAX_BYTES (1u << 20)
#define CELLS_MAX (CW_TABLE_COLS_MAX + 1)   /* and the label */

/* --- lines and cells --- */

struct lines {
	gzFile file;
	const char *path;              /* for messages */
	char *text;
	unsigned long line;
	char *cells[CELLS_MAX];
	size_t ncells;
};

static int open_lines(struct lines *in, const char *path, struct cw_err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;

	in->path = is_stdin ? "standard input" : path;
	in->file = is_stdin ? gzdopen(0, "rb") : gzopen(path, "rb");
	if (in->file == NULL)
		return cw_err_errno(err, CW_ERR_INVALID, "could not open \"%s\"", path);
	in->text = cw_alloc(LINE_MAX_BYTES);
	return 0;
}

static void close_lines(struct lines *in)
{
	if (in->file != NULL)
		gzclose(in->file);
	cw_free(in->text);
	in->file = NULL;
	in->text = NULL;
}

static int wrong(const struct lines *in, struct cw_err *err, const char *what)
{
	return cw_err_set(err, CW_ERR_INVALID, "%s:%lu: %s", in->path, in->line, what);
}

/* Splits at commas; a cell may stand in double quotes, without commas or quotes in it. */
static int split(struct lines *in, struct cw_err *err)
{
	char *cell = in->text;

	for (in->ncells = 0;;) {
		char *comma = strchr(cell, ',');
		size_t len;

		if (in->ncells == CELLS_MAX)
			return wrong(in, err, "too many cells");
		if (comma != NULL)
			*comma = '\0';
		while (*cell == ' ' || *cell == '\t')
			cell++;
		len = strlen(cell);
		while (len > 0 && (cell[len - 1] == ' ' || cell[len - 1] == '\t'))
			cell[--len] = '\0';
		if (len >= 2 && cell[0] == '"' && cell[len - 1] == '"') {
			cell[len - 1] = '\0';
			cell++;
		}
		in->cells[in->ncells++] = cell;
		if (comma == NULL)
			return 0;
		cell = comma + 1;
	}
}

/* 1: the next line that is not empty is in cells[]; 0: end; -1: error. */
static int next_line(struct lines *in, struct cw_err *err)
{
	size_t len;
	z_off_t from;
	int code;

	do {
		from = gztell(in->file);
		if (gzgets(in->file, in->text, LINE_MAX_BYTES) == NULL) {
			const char *why = gzerror(in->file, &code);

			if (code != Z_OK && code != Z_STREAM_END)
				return cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\": %s", in->path,
				                  code == Z_BUF_ERROR ? "the gzip stream is cut short" : why);
			return 0;
		}
		in->line++;
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): gzgets gave text, so it is not NULL. */
		len = strlen(in->text);
		if (gztell(in->file) - from != (z_off_t)len)
			return wrong(in, err, "a NUL in the line");
		if (len + 1 == LINE_MAX_BYTES)
			return wrong(in, err, "the line is longer than 1 MiB");
		while (len > 0 && (in->text[len - 1] == '\n' || in->text[len - 1] == '\r'))
			in->text[--len] = '\0';
	} while (len == 0);
	return split(in, err) != 0 ? -1 : 1;
}

static int read_header(struct lines *in, struct cw_err *err)
{
	int rc = next_line(in, err);

	if (rc == 0)
		return cw_err_set(err, CW_ERR_INVALID, "%s: the file is empty", in->path);
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a line that was split has a first cell. */
	if (rc > 0 && strncmp(in->cells[0], "\xef\xbb\xbf", 3) == 0)
		in->cells[0] += 3;     /* byte order mark */
	return rc > 0 ? 0 : -1;
}

static int read_number(const struct lines *in, const char *cell, double *out, struct cw_err *err)
{
	char *end;

	*out = strtod(cell, &end);
	if (end == cell || *end != '\0' || !isfinite(*out) || strpbrk(cell, "xX") != NULL)
		return cw_err_set(err, CW_ERR_INVALID, "%s:%lu: \"%.60s\" is not a number", in->path, in->line, cell);
	return 0;
}

static int check_cells(const struct lines *in, size_t want, struct cw_err *err)
{
	if (in->ncells == want)
		return 0;
	return cw_err_set(err, CW_ERR_INVALID, "%s:%lu: %zu cells where the header has %zu", in->path, in->line, in->ncells,
	                  want);
}

/* --- detect series --- */

/* "2014-04-01 00:00:00", RFC 3339, or seconds since 1970. */
static bool read_time(const char *text, int64_t *seconds)
{
	char buf[48];
	char *end;
	int64_t us;
	double number;

	if (strlen(text) + 1 >= sizeof(buf))
		return false;
	strcpy(buf, text);
	if (strlen(buf) >= 19 && buf[10] == ' ')
		buf[10] = 'T';
	if (cw_time_parse(buf, &us) != 0) {
		strcat(buf, "Z");
		if (cw_time_parse(buf, &us) != 0) {
			number = strtod(text, &end);
			if (end == text || *end != '\0' || !(fabs(number) < 1e12))
				return false;
			*seconds = (int64_t)floor(number);
			return true;
		}
	}
	*seconds = us / 1000000 - (us % 1000000 < 0);
	return true;
}

static int series_columns(struct lines *in, size_t *time, size_t *value, struct cw_err *err)
{
	*time = *value = SIZE_MAX;
	for (size_t i = 0; i < in->ncells; i++) {
		if (strcmp(in->cells[i], "timestamp") == 0)
			*time = i;
		else if (strcmp(in->cells[i], "value") == 0)
			*value = i;
	}
	if (*time == SIZE_MAX || *value == SIZE_MAX)
		return wrong(in, err, "the header must name the columns \"timestamp\" and \"value\"");
	return 0;
}

static int score_series(struct lines *in, struct cw_err *err)
{
	struct cw_series *s = cw_zalloc(sizeof(*s));
	size_t time = 0, value = 0, columns = 0, rows = 0;
	int rc = read_header(in, err);

	if (rc == 0)
		rc = series_columns(in, &time, &value, err);
	columns = in->ncells;
	while (rc == 0 && (rc = next_line(in, err)) > 0) {
		int64_t at;
		double x;

		if (check_cells(in, columns, err) != 0 || read_number(in, in->cells[value], &x, err) != 0) {
			rc = -1;
		} else if (!read_time(in->cells[time], &at)) {
			rc = cw_err_set(err, CW_ERR_INVALID, "%s:%lu: \"%.60s\" is not a time", in->path, in->line, in->cells[time]);
		} else {
			if (rows++ == 0)
				printf("timestamp,value,anomaly_score\n");
			printf("%s,%s,%.17g\n", in->cells[time], in->cells[value], cw_series_add(NULL, s, at, x));
			rc = 0;
		}
	}
	cw_free(s);
	if (rc == 0 && rows == 0)
		rc = cw_err_set(err, CW_ERR_INVALID, "%s: no rows below the header", in->path);
	return rc;
}

/* --- detect table --- */

/* `label`: the cells of that column, as they were written. */
struct rows { struct cw_table t; char **label; char **names; bool labelled; };

static void rows_release(struct rows *r)
{
	for (size_t j = 0; j < r->t.cols; j++)
		cw_free(r->names[j]);
	cw_free(r->names);
	for (size_t i = 0; r->labelled && i < r->t.rows; i++)
		cw_free(r->label[i]);
	cw_free(r->t.x);
	cw_free(r->label);
}

static int read_row(struct lines *in, struct rows *r, size_t label, struct cw_err *err)
{
	double *row = r->t.x + r->t.rows * r->t.cols;

	if (check_cells(in, r->t.cols + r->labelled, err) != 0)
		return -1;
	for (size_t i = 0; i < in->ncells; i++)
		if (!(r->labelled && i == label) && read_number(in, in->cells[i], row++, err) != 0)
			return -1;
	if (r->labelled)
		r->label[r->t.rows] = cw_strdup(in->cells[label]);
	r->t.rows++;
	return 0;
}

static int read_table_head(struct lines *in, struct rows *r, size_t *label, struct cw_err *err)
{
	if (read_header(in, err) != 0)
		return -1;
	r->names = cw_zalloc(CELLS_MAX * sizeof(char *));
	for (size_t i = 0; i < in->ncells; i++)
		if (strcmp(in->cells[i], "label") == 0 && !r->labelled) {
			*label = i;
			r->labelled = true;
		} else if (r->t.cols < CW_TABLE_COLS_MAX) {
			r->names[r->t.cols++] = cw_strdup(in->cells[i]);
		} else {
			return wrong(in, err, "more than 1024 columns");
		}
	return r->t.cols > 0 ? 0 : wrong(in, err, "the header names no column but the label");
}

static int read_table(const char *path, struct rows *r, struct cw_err *err)
{
	struct lines in = { 0 };
	size_t room = 0, label = 0;
	int rc = open_lines(&in, path, err);

	if (rc == 0)
		rc = read_table_head(&in, r, &label, err);
	while (rc == 0 && (rc = next_line(&in, err)) > 0) {
		if (r->t.rows == room) {
			room = room * 2 + 1024;
			r->t.x = cw_realloc(r->t.x, room * r->t.cols * sizeof(double));
			r->label = cw_realloc(r->label, room * sizeof(char *));
		}
		rc = read_row(&in, r, label, err);
	}
	if (rc == 0 && r->t.rows == 0)
		rc = cw_err_set(err, CW_ERR_INVALID, "%s: no rows below the header", in.path);
	close_lines(&in);
	return rc;
}

static int same_columns(const struct rows *a, const char *a_path, const struct rows *b, const char *b_path,
                        struct cw_err *err)
{
	if (a->t.cols != b->t.cols)
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" has %zu columns, \"%s\" has %zu", a_path, a->t.cols, b_path, b->t.cols);
	for (size_t j = 0; j < a->t.cols; j++)
		if (strcmp(a->names[j], b->names[j]) != 0)
			return cw_err_set(err, CW_ERR_INVALID, "column %zu is \"%.40s\" in \"%s\" and \"%.40s\" in \"%s\"", j + 1,
			                  a->names[j], a_path, b->names[j], b_path);
	return 0;
}

/* The methods: each fits on `train` and scores the rows of `t`. */
typedef int method_fn(const struct cw_table *train, const struct cw_table *t, uint64_t seed, double *out,
                      struct cw_err *err);

#define METHOD(name, type, fit, score) \
	static int run_##name(const struct cw_table *train, const struct cw_table *t, uint64_t seed, double *out, \
	                      struct cw_err *err) \
	{ \
		struct type *m = fit; \
\
		(void)seed; \
		if (m == NULL) \
			return -1; \
		for (size_t i = 0; i < t->rows; i++) \
			out[i] = score; \
		type##_free(&m); \
		return 0; \
	}

METHOD(combined, cw_combined, cw_combined_fit(train, seed, err), cw_combined_score(m, cw_table_row(t, i), NULL))
METHOD(iforest, cw_iforest, cw_iforest_fit(train, &(struct cw_iforest_conf){ .seed = seed }, err),
       cw_iforest_score(m, cw_table_row(t, i)))
METHOD(hbos, cw_hbos, cw_hbos_fit(train, 0, err), cw_hbos_score(m, cw_table_row(t, i)))
METHOD(ecod, cw_ecod, cw_ecod_fit(train, err), cw_ecod_score(m, cw_table_row(t, i)))
METHOD(knn, cw_knn, cw_knn_fit(train, &(struct cw_knn_conf){ .seed = seed }, err), cw_knn_score(m, cw_table_row(t, i)))
METHOD(mahalanobis, cw_mahalanobis, cw_mahalanobis_fit(train, err), cw_mahalanobis_score(m, cw_table_row(t, i)))

/* In file order; rows before the first trees exist score 0.5. With other training rows these come first. */
static int run_hstree(const struct cw_table *train, const struct cw_table *t, uint64_t seed, double *out,
                      struct cw_err *err)
{
	const struct cw_hstree_conf conf = { .cols = (uint32_t)t->cols, .trees = 50, .window = 1024, .seed = seed };
	struct cw_hstree *s;

	if (t->cols > CW_HSTREE_COLS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "the streaming forest takes %d columns, not %zu", CW_HSTREE_COLS_MAX, t->cols);
	s = cw_zalloc(cw_hstree_size(&conf));
	for (size_t i = 0; train != t && i < train->rows; i++)
		cw_hstree_add(NULL, s, &conf, cw_table_row(train, i));
	for (size_t i = 0; i < t->rows; i++) {
		out[i] = cw_hstree_add(NULL, s, &conf, cw_table_row(t, i));
		out[i] = isnan(out[i]) ? 0.5 : out[i];
	}
	cw_free(s);
	return 0;
}

static const struct { const char *name; method_fn *run; } methods[] = {
	{ "combined", run_combined }, { "iforest", run_iforest }, { "hbos", run_hbos }, { "ecod", run_ecod },
	{ "knn", run_knn }, { "mahalanobis", run_mahalanobis }, { "hstree", run_hstree },
};
#define METHODS (sizeof(methods) / sizeof(*methods))

static method_fn *method_by_name(const char *name)
{
	for (size_t i = 0; i < METHODS; i++)
		if (strcmp(methods[i].name, name) == 0)
			return methods[i].run;
	return NULL;
}

static int score_table(method_fn *run, uint64_t seed, const char *fit_path, const char *path, struct cw_err *err)
{
	struct rows rows = { 0 }, train = { 0 };
	double *scores = NULL;
	int rc = read_table(path, &rows, err);

	if (rc == 0 && fit_path != NULL) {
		rc = read_table(fit_path, &train, err);
		if (rc == 0)
			rc = same_columns(&rows, path, &train, fit_path, err);
	}
	if (rc == 0) {
		scores = cw_alloc(rows.t.rows * sizeof(double));
		rc = run(fit_path != NULL ? &train.t : &rows.t, &rows.t, seed, scores, err);
	}
	if (rc == 0)
		printf("%s\n", rows.labelled ? "score,label" : "score");
	for (size_t i = 0; rc == 0 && i < rows.t.rows; i++)
		if (rows.labelled)
			printf("%.17g,%s\n", scores[i], rows.label[i]);
		else
			printf("%.17g\n", scores[i]);
	cw_free(scores);
	rows_release(&rows);
	rows_release(&train);
	return rc;
}

/* --- the verb --- */

static const char usage[] =
	"detect series IN.csv\n"
	"       chainwatch detect table [--method NAME] [--seed N] [--fit TRAIN.csv] IN.csv\n\n"
	"Scores the rows of a CSV with a header, plain or gzip; \"-\" is standard input.\n\n"
	"series: columns timestamp (\"2026-01-01 00:00:00\", RFC 3339, or seconds) and value; writes\n"
	"        timestamp,value,anomaly_score. Each row is scored against those before it. From 0.5 on it is an alert.\n"
	"table:  numbers only; writes score, and label where there is a column of that name, which no method looks at.\n"
	"        The higher the odder.\n\n"
	"      --method NAME   combined, iforest, hbos, ecod, knn, mahalanobis, hstree (combined)\n"
	"      --seed N        of what is random in it (1)\n"
	"      --fit TRAIN.csv fit on these rows instead; the same columns\n";

static int finish(const struct cw_cli *cli, int rc, const struct cw_err *err)
{
	struct cw_err write_err;

	if (fflush(stdout) != 0 && rc == 0) {
		cw_err_set(&write_err, CW_ERR_SYSTEM, "could not write to standard output: %s", strerror(errno));
		return cw_cli_fail(cli, &write_err);
	}
	return rc == 0 ? 0 : cw_cli_fail(cli, err);
}

static int detect_series(int argc, char **argv)
{
	struct cw_cli cli = { .verb = "detect series", .usage = usage };
	struct lines in = { 0 };
	struct cw_err err = { 0 };
	int rc;

	if (cw_cli_next(&cli, argc, argv, NULL) != -1)
		return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	if (argc - optind != 1)
		return cw_cli_usage_error(&cli, "one file is needed, or \"-\"");
	rc = open_lines(&in, argv[optind], &err);
	if (rc == 0)
		rc = score_series(&in, &err);
	close_lines(&in);
	return finish(&cli, rc, &err);
}

static int detect_table(int argc, char **argv)
{
	static const struct option own[] = { { "method", required_argument, NULL, 256 },
		                             { "seed", required_argument, NULL, 257 },
		                             { "fit", required_argument, NULL, 258 },
		                             { NULL, 0, NULL, 0 } };
	struct cw_cli cli = { .verb = "detect table", .usage = usage };
	const char *fit = NULL;
	method_fn *run = run_combined;
	struct cw_err err = { 0 };
	long long seed = 1;
	int opt;

	while ((opt = cw_cli_next(&cli, argc, argv, own)) != -1)
		switch (opt) {
		case 256:
			run = method_by_name(optarg);
			if (run == NULL)
				return cw_cli_usage_error(&cli, "unknown method \"%s\"; there are combined, iforest, hbos, ecod, knn, "
				                          "mahalanobis, hstree", optarg);
			break;
		case 257:
			if (!cw_cli_number(&cli, "--seed", optarg, 0, LLONG_MAX, &seed))
				return 2;
			break;
		case 258: fit = optarg; break;
		default: return 2;
		}
	if (cli.help)
		return cw_cli_help(&cli);
	if (argc - optind != 1)
		return cw_cli_usage_error(&cli, "one file is needed, or \"-\"");
	if (fit != NULL && strcmp(fit, "-") == 0 && strcmp(argv[optind], "-") == 0)
		return cw_cli_usage_error(&cli, "only one of the two files can be standard input");
	return finish(&cli, score_table(run, (uint64_t)seed, fit, argv[optind], &err), &err);
}

int cw_cmd_detect(int argc, char **argv)
{
	struct cw_cli cli = { .verb = "detect", .usage = usage };

	if (argc > 1 && strcmp(argv[1], "series") == 0)
		return detect_series(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "table") == 0)
		return detect_table(argc - 1, argv + 1);
	if (cw_cli_next(&cli, argc, argv, NULL) != -1)
		return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	if (argc > 1)
		return cw_cli_usage_error(&cli, "\"%s\" is neither series nor table", argv[1]);
	return cw_cli_usage_error(&cli, "say what to score: series or table");
}
