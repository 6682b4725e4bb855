/* row_prims.c - the detectors over one metric in time (series.h) and over rows of fields (hstree.h) as primitives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/all.h"
#include "detect/hstree.h"
#include "detect/keyed.h"
#include "detect/num.h"
#include "detect/series.h"

#define SERIES_MAGIC 0x53455249u
#define FOREST_MAGIC 0x464f5245u
#define VALUE_MAX (1u << 20)      /* of a dictionary */

/* ---------------------------------------------------------------- series.score */

enum series_opt { S_OF = CW_OPT_AT_OWN };

struct series { struct cw_keyed k; enum cw_field of; };
/* Value of a key. */
struct series_entry { double score; struct cw_series s; };

static double series_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct series *s = CW_CAST(handle, SERIES_MAGIC);
	double x = isnan(a) && s->of != CW_FIELD_NONE ? cw_field_number(tx, s->of) : a;
	struct series_entry *e;

	(void)b;
	if (!isfinite(x))
		return NAN;
	e = cw_keyed_upsert(&s->k, tx);
	if (e == NULL)
		return NAN;
	cw_state_touch(s->k.st, &e->score, sizeof(e->score));
	e->score = cw_series_add(s->k.st, &e->s, tx->timestamp, x);
	return e->score;
}

static const struct series_entry *series_look(void *handle, const struct cw_tx *tx, double field)
{
	struct series *s = CW_CAST(handle, SERIES_MAGIC);

	return cw_keyed_find(&s->k, tx, field);
}

static double series_last(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct series_entry *e = series_look(handle, tx, a);

	(void)b;
	return e != NULL && e->s.rows > 0 ? e->score : NAN;
}

static double series_reason(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct series_entry *e = series_look(handle, tx, a);

	(void)b;
	return e != NULL && cw_series_evidence(&e->s) > 0 ? (double)cw_series_reason(&e->s) : NAN;
}

static double series_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct series_entry *e = series_look(handle, tx, a);

	(void)b;
	return e != NULL ? (double)e->s.rows : 0;
}

static const char *series_text(void *handle, int index)
{
	(void)handle;
	return cw_series_witness_name((enum cw_series_witness)index);
}

static void *series_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	const struct cw_keyed_conf conf = { .magic = SERIES_MAGIC, .handle_size = sizeof(struct series),
	                                    .value_size = sizeof(struct series_entry), .touch_parts = true };
	struct series *s = cw_keyed_new(&conf, st, root, vals, err);

	if (s != NULL)
		s->of = vals[S_OF].field;
	return s;
}

static const struct cw_opt series_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to watch; left out: the number is an argument of add" },
	{ .name = NULL },
};

static const struct cw_method series_methods[] = {
	{ .name = "add", .fn = series_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "score of this number (by default the field `of`) against the past, then takes it: 0 to 1, an alert from 0.5 "
	         "on; the 100 numbers after an alert stay below" },
	{ .name = "last", .fn = series_last, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "score of the last number taken, nil if there was none" CW_ARG_LOOKUP_DOC },
	{ .name = "reason", .fn = series_reason, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_TEXT,
	  .doc = "what was oddest about the last number: value, spread, season, envelope, shape, unrest; nil if nothing was"
	         CW_ARG_LOOKUP_DOC },
	{ .name = "count", .fn = series_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "numbers taken so far" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_series_prim = {
	.table = "series", .name = "score", .version = 1,
	.doc = "How odd the newest number of a metric is against all that came before, whatever its scale: its level, spread, "
	       "time of day and shape. No settings.",
	.error = "deterministic; detection quality is measured on the Numenta benchmark (make bench-detect)",
	.memory = "8 KiB a key; O(1), every tenth number compares with 128 shapes",
	.source = "sum of log evidence of six witnesses, docs/DETECTORS.md; benchmark: A. Lavin, S. Ahmad, ICMLA 2015",
	.example = "fees = series.score { of = \"gas_price\" }   -- (fees:add(tx) or 0) >= 0.5, fees:reason(tx)",
	.opts = series_opts, .methods = series_methods, .open = series_open, .text = series_text,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};

/* ---------------------------------------------------------------- outlier.forest */

enum forest_opt { F_OF = CW_OPT_AT_OWN, F_LOG, F_TREES, F_WINDOW, F_SEED };

struct forest {
	struct cw_keyed k;
	enum cw_field of[CW_HSTREE_COLS_MAX];
	bool log;
	struct cw_hstree_conf conf;
};

static bool read_row(const struct forest *f, const struct cw_tx *tx, double *row)
{
	for (uint32_t j = 0; j < f->conf.cols; j++) {
		row[j] = cw_field_number(tx, f->of[j]);
		if (!isfinite(row[j]))
			return false;
		if (f->log)
			row[j] = cw_ln(1 + (row[j] > 0 ? row[j] : 0));
	}
	return true;
}

static double forest_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct forest *f = CW_CAST(handle, FOREST_MAGIC);
	double row[CW_HSTREE_COLS_MAX];
	struct cw_hstree *s;

	(void)a;
	(void)b;
	if (!read_row(f, tx, row))
		return NAN;
	s = cw_keyed_upsert(&f->k, tx);
	return s != NULL ? cw_hstree_add(f->k.st, s, &f->conf, row) : NAN;
}

static double forest_score(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct forest *f = CW_CAST(handle, FOREST_MAGIC);
	const struct cw_hstree *s = cw_keyed_find(&f->k, tx, NAN);
	double row[CW_HSTREE_COLS_MAX];

	(void)a;
	(void)b;
	return s != NULL && read_row(f, tx, row) ? cw_hstree_score(s, &f->conf, row) : NAN;
}

static double forest_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct forest *f = CW_CAST(handle, FOREST_MAGIC);
	const struct cw_hstree *s = cw_keyed_find(&f->k, tx, a);

	(void)b;
	return s != NULL ? (double)s->rows : 0;
}

/* "value+gas+gas_price" */
static int read_fields(const char *text, enum cw_field *of, uint32_t *n, struct cw_err *err)
{
	*n = 0;
	for (;;) {
		size_t len = strcspn(text, "+");
		char name[32];

		if (*n == CW_HSTREE_COLS_MAX)
			return cw_err_set(err, CW_ERR_INVALID, "outlier.forest: option \"of\" names more than %d fields",
			                  CW_HSTREE_COLS_MAX);
		memcpy(name, text, len < sizeof(name) ? len : sizeof(name) - 1);
		name[len < sizeof(name) ? len : sizeof(name) - 1] = '\0';
		of[*n] = cw_field_parse(name);
		if (len >= sizeof(name) || !cw_field_is_number(of[*n]))
			return cw_err_set(err, CW_ERR_INVALID, "outlier.forest: option \"of\" must name fields that are numbers, joined "
			                  "with +, like \"value+gas+gas_price\", not \"%.40s\"", name);
		for (uint32_t i = 0; i < *n; i++)
			if (of[i] == of[*n])
				return cw_err_set(err, CW_ERR_INVALID, "outlier.forest: option \"of\" names \"%s\" twice", name);
		++*n;
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

static void *forest_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	struct cw_hstree_conf set = { .trees = (uint32_t)vals[F_TREES].number, .window = (uint32_t)vals[F_WINDOW].number,
	                              .seed = (uint64_t)vals[F_SEED].number };
	struct cw_keyed_conf conf = { .magic = FOREST_MAGIC, .handle_size = sizeof(struct forest), .touch_parts = true };
	enum cw_field of[CW_HSTREE_COLS_MAX];
	struct forest *f;

	if (read_fields(vals[F_OF].text, of, &set.cols, err) != 0)
		return NULL;
	conf.value_size = cw_hstree_size(&set);
	if (conf.value_size > VALUE_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "outlier.forest: %zu bytes a key are too much (%u are possible): fewer trees, a "
		           "smaller window or fewer fields", conf.value_size, VALUE_MAX);
		return NULL;
	}
	f = cw_keyed_new(&conf, st, root, vals, err);
	if (f == NULL)
		return NULL;
	f->conf = set;
	f->log = vals[F_LOG].number != 0;
	memcpy(f->of, of, sizeof(of));
	return f;
}

static const struct cw_opt forest_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_TEXT, .def_text = "value+gas+gas_price",
	  .doc = "fields that make a row, joined with +, up to 16" },
	{ .name = "log", .type = CW_OPT_BOOL, .def = 1, .min = 0, .max = 1,
	  .doc = "take logarithms (of 1 + x): amounts and gas run over many decades" },
	{ .name = "trees", .type = CW_OPT_COUNT, .def = 50, .min = 8, .max = 200, .doc = "trees" },
	{ .name = "window", .type = CW_OPT_COUNT, .def = 1024, .min = 256, .max = 65536,
	  .doc = "newest rows that trees are grown from" },
	{ .name = "seed", .type = CW_OPT_COUNT, .def = 1, .min = 0, .max = 9e15, .doc = "of the cuts" },
	{ .name = NULL },
};

static const struct cw_method forest_methods[] = {
	{ .name = "add", .fn = forest_add, .takes_tx = true,
	  .doc = "score of this row against the recent past, then takes it: 0 to 1, about 0.5 ordinary, above 0.6 odd; nil in the "
	         "first 256 rows" },
	{ .name = "score", .fn = forest_score, .takes_tx = true, .doc = "the same without taking the row" },
	{ .name = "count", .fn = forest_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "rows taken so far" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_outlier_forest = {
	.table = "outlier", .name = "forest", .version = 1,
	.doc = "How easily random cuts set a row of several fields apart from the recent ones: an isolation forest that "
	       "follows the stream.",
	.error = "AUC 0.001 to 0.011 below a forest fitted to the whole table, on five labelled tables (make bench-detect)",
	.memory = "3 KiB a tree and 4 bytes a field of the window: 180 KiB a key by default; some 2 us a row",
	.source = "F. T. Liu, K. M. Ting, Z.-H. Zhou, Isolation forest, ICDM 2008; S. C. Tan, K. M. Ting, T. F. Liu, Fast anomaly "
	          "detection for streaming data, IJCAI 2011",
	.example = "rows = outlier.forest { of = \"value+gas+gas_price\" }   -- (rows:add(tx) or 0) > 0.65",
	.opts = forest_opts, .methods = forest_methods, .open = forest_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
