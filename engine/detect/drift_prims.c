/* drift_prims.c - the change detectors of drift.h, adwin.h and kswin.h as primitives, one detector a key.
 *
 * All of them answer the same questions: did it change now, is it about to, how often and how long ago did it. What is
 * special to one (mean, window, distances) are methods of its own. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/adwin.h"
#include "detect/all.h"
#include "detect/keyed.h"
#include "detect/kswin.h"
#include "detect/twosample.h"

#define DRIFT_MAGIC 0x44524654u

enum kind { PAGE_HINKLEY, CUSUM, DDM, EDDM, HDDM_A, HDDM_W, ADWIN, KSWIN };

/* Value of a key: this and the detector's own structure. */
struct head {
	uint32_t changes, changed_s;  /* how many, and the time of the last one */
	uint32_t last;                /* enum cw_drift of the last number */
	uint32_t pad;
};

struct drift {
	struct cw_keyed k;
	enum kind kind;
	enum cw_field of;
	bool up, down;                /* PAGE_HINKLEY */
	union {
		struct cw_page_hinkley_conf page_hinkley;
		struct cw_cusum_conf cusum;
		struct cw_ddm_conf ddm;
		struct cw_eddm_conf eddm;
		struct cw_hddm_conf hddm;
		struct cw_adwin_conf adwin;
		struct cw_kswin_conf kswin;
	} conf;
};

static bool counts_errors(enum kind kind)
{
	return kind == DDM || kind == EDDM || kind == HDDM_A || kind == HDDM_W;
}

/* The number of this transaction: the argument, else the field, else (error detectors) whether it failed. */
static double number_of(const struct drift *d, const struct cw_tx *tx, double a)
{
	double x = a;

	if (isnan(a) && counts_errors(d->kind)) {
		double status = cw_field_number(tx, CW_FIELD_STATUS);

		x = isnan(status) ? NAN : status == 0;
	} else if (isnan(a) && d->of != CW_FIELD_NONE) {
		x = cw_field_number(tx, d->of);
	}
	if (counts_errors(d->kind) && x != 0 && !isnan(x))
		x = d->kind == HDDM_A || d->kind == HDDM_W ? fmin(fmax(x, 0), 1) : 1;
	return isfinite(x) ? x : NAN;
}

static enum cw_drift detect(struct drift *d, struct head *h, double x)
{
	void *s = h + 1;

	switch (d->kind) {
	case PAGE_HINKLEY: {
		struct cw_page_hinkley *side = s;
		enum cw_drift up = CW_DRIFT_NONE, down = CW_DRIFT_NONE;

		if (d->up)
			up = cw_page_hinkley_add(&side[0], &d->conf.page_hinkley, x);
		if (d->down)
			down = cw_page_hinkley_add(&side[1], &d->conf.page_hinkley, -x);
		if (up == CW_DRIFT_FOUND || down == CW_DRIFT_FOUND)
			memset(side, 0, 2 * sizeof(*side));
		return up > down ? up : down;
	}
	case CUSUM: return cw_cusum_add(s, &d->conf.cusum, x);
	case DDM: return cw_ddm_add(s, &d->conf.ddm, x != 0);
	case EDDM: return cw_eddm_add(s, &d->conf.eddm, x != 0);
	case HDDM_A: return cw_hddm_a_add(s, &d->conf.hddm, x);
	case HDDM_W: return cw_hddm_w_add(s, &d->conf.hddm, x);
	case ADWIN: return cw_adwin_add(d->k.st, s, &d->conf.adwin, x);
	case KSWIN: return cw_kswin_add(d->k.st, s, &d->conf.kswin, x);
	}
	return CW_DRIFT_NONE;
}

static double drift_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct drift *d = CW_CAST(handle, DRIFT_MAGIC);
	double x = number_of(d, tx, a);
	struct head *h;

	(void)b;
	if (isnan(x))
		return NAN;
	h = cw_keyed_upsert(&d->k, tx);
	if (h == NULL)
		return NAN;
	cw_state_touch(d->k.st, h, sizeof(*h));
	h->last = detect(d, h, x);
	if (h->last != CW_DRIFT_FOUND)
		return 0;
	h->changes++;
	h->changed_s = cw_time32(tx->timestamp);
	return 1;
}

static const struct head *look(void *handle, const struct cw_tx *tx, double field)
{
	struct drift *d = CW_CAST(handle, DRIFT_MAGIC);

	return cw_keyed_find(&d->k, tx, field);
}

static double drift_warning(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct head *h = look(handle, tx, a);

	(void)b;
	return h != NULL && h->last == CW_DRIFT_WARNING;
}

static double drift_changes(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct head *h = look(handle, tx, a);

	(void)b;
	return h != NULL ? h->changes : 0;
}

static double drift_age(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct head *h = look(handle, tx, a);

	(void)b;
	return h != NULL && h->changes > 0 ? (double)cw_time32(tx->timestamp) - (double)h->changed_s : NAN;
}

static double adwin_width(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct head *h = look(handle, tx, a);
	const struct cw_adwin *s = h != NULL ? (const void *)(h + 1) : NULL;

	(void)b;
	return s != NULL ? (double)s->width : 0;
}

static double adwin_mean(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct head *h = look(handle, tx, a);
	const struct cw_adwin *s = h != NULL ? (const void *)(h + 1) : NULL;

	(void)b;
	return s != NULL && s->width > 0 ? s->sum / (double)s->width : NAN;
}

static double kswin_statistic(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct head *h = look(handle, tx, a);
	const struct cw_kswin *s = h != NULL ? (const void *)(h + 1) : NULL;

	(void)b;
	return s != NULL ? s->statistic : NAN;
}

/* The older and the newest part of a key's window, sorted; false before the window is full. */
static bool parts(struct drift *d, const struct cw_tx *tx, double field, double *older, double *newest)
{
	const struct head *h = look(d, tx, field);

	if (h == NULL || !cw_kswin_parts((const void *)(h + 1), &d->conf.kswin, older, newest))
		return false;
	cw_sort_doubles(older, d->conf.kswin.window - d->conf.kswin.recent);
	cw_sort_doubles(newest, d->conf.kswin.recent);
	return true;
}

static double kswin_psi(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct drift *d = CW_CAST(handle, DRIFT_MAGIC);
	double older[CW_KSWIN_WINDOW_MAX], newest[CW_KSWIN_WINDOW_MAX];

	(void)b;
	if (!parts(d, tx, a, older, newest))
		return NAN;
	return cw_psi(older, d->conf.kswin.window - d->conf.kswin.recent, newest, d->conf.kswin.recent, 10, 1e-6);
}

static double kswin_wasserstein(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct drift *d = CW_CAST(handle, DRIFT_MAGIC);
	double older[CW_KSWIN_WINDOW_MAX], newest[CW_KSWIN_WINDOW_MAX];

	(void)b;
	if (!parts(d, tx, a, older, newest))
		return NAN;
	return cw_wasserstein(older, d->conf.kswin.window - d->conf.kswin.recent, newest, d->conf.kswin.recent);
}

/* ---------------------------------------------------------------- options */

static struct drift *open_drift(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                                enum kind kind, size_t size, struct cw_err *err)
{
	const struct cw_keyed_conf conf = {
		.magic = DRIFT_MAGIC,
		.handle_size = sizeof(struct drift),
		.value_size = sizeof(struct head) + size,
		.touch_parts = kind == ADWIN || kind == KSWIN,   /* the others change all that they have */
	};
	struct drift *d = cw_keyed_new(&conf, st, root, vals, err);

	if (d != NULL)
		d->kind = kind;
	return d;
}

#define OF_OPT \
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to watch; left out: the number is an argument of add" }
#define WARM_OPT(what, n) \
	{ .name = "warm", .type = CW_OPT_COUNT, .def = (n), .min = 2, .max = 1e6, .doc = (what) }

enum ph_opt { PH_OF = CW_OPT_AT_OWN, PH_WARM, PH_DELTA, PH_THRESHOLD, PH_ALPHA, PH_DIRECTION };
static const struct cw_opt ph_opts[] = {
	CW_KEYED_OPTS, OF_OPT, WARM_OPT("numbers before it may fire", 30),
	{ .name = "delta", .type = CW_OPT_NUMBER, .def = 0.005, .min = 0, .max = 1e300,
	  .doc = "change of the mean that is tolerated, in the unit of the numbers" },
	{ .name = "threshold", .type = CW_OPT_NUMBER, .def = 50, .min = 0, .max = 1e300,
	  .doc = "sum of deviations at which it fires, in the unit of the numbers" },
	{ .name = "alpha", .type = CW_OPT_NUMBER, .def = 0.9999, .min = 0.5, .max = 1,
	  .doc = "the sum shrinks to this share with each number" },
	{ .name = "direction", .type = CW_OPT_TEXT, .def_text = "up", .doc = "\"up\", \"down\" or \"both\"" },
	{ .name = NULL },
};

static void *open_page_hinkley(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                               struct cw_err *err)
{
	const char *direction = vals[PH_DIRECTION].text;
	bool both = strcmp(direction, "both") == 0, up = strcmp(direction, "up") == 0;
	struct drift *d;

	if (!both && !up && strcmp(direction, "down") != 0) {
		cw_err_set(err, CW_ERR_INVALID, "drift.page_hinkley: option \"direction\" must be \"up\", \"down\" or \"both\", "
		           "not \"%.40s\"", direction);
		return NULL;
	}
	d = open_drift(st, root, vals, PAGE_HINKLEY, 2 * sizeof(struct cw_page_hinkley), err);
	if (d == NULL)
		return NULL;
	d->of = vals[PH_OF].field;
	d->up = both || up;
	d->down = both || !up;
	d->conf.page_hinkley = (struct cw_page_hinkley_conf){ (uint32_t)vals[PH_WARM].number, vals[PH_DELTA].number,
		                                                  vals[PH_THRESHOLD].number, vals[PH_ALPHA].number };
	return d;
}

enum cusum_opt { CU_OF = CW_OPT_AT_OWN, CU_WARM, CU_SLACK, CU_THRESHOLD };
static const struct cw_opt cusum_opts[] = {
	CW_KEYED_OPTS, OF_OPT, WARM_OPT("numbers before it may fire", 30),
	{ .name = "slack", .type = CW_OPT_NUMBER, .def = 0.5, .min = 0, .max = 100,
	  .doc = "half of the shift that matters, in standard deviations" },
	{ .name = "threshold", .type = CW_OPT_NUMBER, .def = 5, .min = 0, .max = 1e6,
	  .doc = "sum at which it fires, in standard deviations" },
	{ .name = NULL },
};

static void *open_cusum(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	struct drift *d = open_drift(st, root, vals, CUSUM, sizeof(struct cw_cusum), err);

	if (d == NULL)
		return NULL;
	d->of = vals[CU_OF].field;
	d->conf.cusum = (struct cw_cusum_conf){ (uint32_t)vals[CU_WARM].number, vals[CU_SLACK].number,
		                                    vals[CU_THRESHOLD].number };
	return d;
}

enum ddm_opt { DD_WARM = CW_OPT_AT_OWN, DD_WARNING, DD_DRIFT };
static const struct cw_opt ddm_opts[] = {
	CW_KEYED_OPTS, WARM_OPT("verdicts before it may fire", 30),
	{ .name = "warning", .type = CW_OPT_NUMBER, .def = 2, .min = 0, .max = 100,
	  .doc = "standard deviations above the best error rate at which it warns" },
	{ .name = "drift", .type = CW_OPT_NUMBER, .def = 3, .min = 0, .max = 100,
	  .doc = "standard deviations above the best error rate at which it fires" },
	{ .name = NULL },
};
static const struct cw_opt eddm_opts[] = {
	CW_KEYED_OPTS, WARM_OPT("errors before it may fire", 30),
	{ .name = "warning", .type = CW_OPT_NUMBER, .def = 0.95, .min = 0, .max = 1,
	  .doc = "share of the greatest distance between errors below which it warns" },
	{ .name = "drift", .type = CW_OPT_NUMBER, .def = 0.9, .min = 0, .max = 1,
	  .doc = "share of the greatest distance between errors below which it fires" },
	{ .name = NULL },
};

static void *open_ddm(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                      struct cw_err *err)
{
	struct drift *d = open_drift(st, root, vals, DDM, sizeof(struct cw_ddm), err);

	if (d != NULL)
		d->conf.ddm = (struct cw_ddm_conf){ (uint32_t)vals[DD_WARM].number, vals[DD_WARNING].number,
			                                vals[DD_DRIFT].number };
	return d;
}

static void *open_eddm(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                       struct cw_err *err)
{
	struct drift *d = open_drift(st, root, vals, EDDM, sizeof(struct cw_eddm), err);

	if (d != NULL)
		d->conf.eddm = (struct cw_eddm_conf){ (uint32_t)vals[DD_WARM].number, vals[DD_WARNING].number,
			                                  vals[DD_DRIFT].number };
	return d;
}

enum hddm_opt { HD_DRIFT = CW_OPT_AT_OWN, HD_WARNING, HD_TWO_SIDED, HD_LAMBDA };
#define HDDM_OPTS \
	CW_KEYED_OPTS, \
	{ .name = "drift", .type = CW_OPT_NUMBER, .def = 0.001, .min = 1e-12, .max = 0.5, \
	  .doc = "probability of a false alarm" }, \
	{ .name = "warning", .type = CW_OPT_NUMBER, .def = 0.005, .min = 1e-12, .max = 0.5, \
	  .doc = "probability of a false warning" }, \
	{ .name = "two_sided", .type = CW_OPT_BOOL, .doc = "falls of the rate are found too" }
static const struct cw_opt hddm_a_opts[] = { HDDM_OPTS, { .name = NULL } };
static const struct cw_opt hddm_w_opts[] = {
	HDDM_OPTS,
	{ .name = "lambda", .type = CW_OPT_NUMBER, .def = 0.05, .min = 1e-4, .max = 1, .doc = "weight of the newest verdict" },
	{ .name = NULL },
};

static void *open_hddm_a(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	struct drift *d = open_drift(st, root, vals, HDDM_A, sizeof(struct cw_hddm_a), err);

	if (d != NULL)
		d->conf.hddm = (struct cw_hddm_conf){ .drift = vals[HD_DRIFT].number, .warning = vals[HD_WARNING].number,
			                                  .two_sided = vals[HD_TWO_SIDED].number != 0 };
	return d;
}

static void *open_hddm_w(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	struct drift *d = open_drift(st, root, vals, HDDM_W, sizeof(struct cw_hddm_w), err);

	if (d != NULL)
		d->conf.hddm = (struct cw_hddm_conf){ vals[HD_DRIFT].number, vals[HD_WARNING].number, vals[HD_LAMBDA].number,
			                                  vals[HD_TWO_SIDED].number != 0 };
	return d;
}

enum adwin_opt { AD_OF = CW_OPT_AT_OWN, AD_DELTA, AD_CLOCK, AD_ROWS, AD_LEAVE_NEWEST, AD_RESTART };
static const struct cw_opt adwin_opts[] = {
	CW_KEYED_OPTS, OF_OPT,
	{ .name = "delta", .type = CW_OPT_NUMBER, .def = 0.002, .min = 1e-12, .max = 0.5,
	  .doc = "probability of a false cut; smaller is more cautious" },
	{ .name = "clock", .type = CW_OPT_COUNT, .def = 32, .min = 1, .max = 1e6,
	  .doc = "numbers between two looks for a cut" },
	{ .name = "rows", .type = CW_OPT_COUNT, .def = 14, .min = 2, .max = CW_ADWIN_ROWS_MAX,
	  .doc = "length of the window at most 5 * 2^rows numbers" },
	{ .name = "leave_newest", .type = CW_OPT_BOOL,
	  .doc = "the newest bucket of each row is on neither side of a cut, as in river and scikit-multiflow (finds later)" },
	{ .name = "restart", .type = CW_OPT_BOOL, .doc = "a change empties the window, not only its older side" },
	{ .name = NULL },
};

static void *open_adwin(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	uint32_t rows = (uint32_t)vals[AD_ROWS].number;
	struct drift *d = open_drift(st, root, vals, ADWIN, cw_adwin_size(rows), err);

	if (d == NULL)
		return NULL;
	d->of = vals[AD_OF].field;
	d->conf.adwin = (struct cw_adwin_conf){ vals[AD_DELTA].number, (uint32_t)vals[AD_CLOCK].number, rows,
		                                    vals[AD_LEAVE_NEWEST].number != 0, vals[AD_RESTART].number != 0 };
	return d;
}

enum kswin_opt { KS_OF = CW_OPT_AT_OWN, KS_ALPHA, KS_WINDOW, KS_RECENT, KS_KEEP };
static const struct cw_opt kswin_opts[] = {
	CW_KEYED_OPTS, OF_OPT,
	{ .name = "alpha", .type = CW_OPT_NUMBER, .def = 0.005, .min = 1e-12, .max = 0.5,
	  .doc = "probability of a false alarm in one test" },
	{ .name = "window", .type = CW_OPT_COUNT, .def = 100, .min = 10, .max = CW_KSWIN_WINDOW_MAX,
	  .doc = "numbers in the window" },
	{ .name = "recent", .type = CW_OPT_COUNT, .def = 30, .min = 5, .max = CW_KSWIN_WINDOW_MAX - 5,
	  .doc = "newest numbers that are compared with the others of the window" },
	{ .name = "keep", .type = CW_OPT_BOOL, .doc = "after a change the newest numbers stay as the new past" },
	{ .name = NULL },
};

static void *open_kswin(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	uint32_t window = (uint32_t)vals[KS_WINDOW].number, recent = (uint32_t)vals[KS_RECENT].number;
	struct drift *d;

	if (recent + 5 > window) {
		cw_err_set(err, CW_ERR_INVALID, "drift.kswin: option \"recent\" must be at least 5 below \"window\" (%u)", window);
		return NULL;
	}
	d = open_drift(st, root, vals, KSWIN, cw_kswin_size(window), err);
	if (d == NULL)
		return NULL;
	d->of = vals[KS_OF].field;
	d->conf.kswin = (struct cw_kswin_conf){ window, recent, vals[KS_KEEP].number != 0,
		                                    cw_kswin_limit(window, recent, vals[KS_ALPHA].number) };
	return d;
}

/* ---------------------------------------------------------------- declarations */

#define METHODS(add_doc) \
	{ .name = "add", .fn = drift_add, .takes_tx = true, .a = CW_ARG_NUMBER, .result = CW_RESULT_BOOL, \
	  .doc = "takes this " add_doc "; true if the change is found with it" }, \
	{ .name = "changes", .fn = drift_changes, .takes_tx = true, .a = CW_ARG_FIELD, \
	  .doc = "changes found so far" CW_ARG_LOOKUP_DOC }, \
	{ .name = "age", .fn = drift_age, .takes_tx = true, .a = CW_ARG_FIELD, \
	  .doc = "seconds since the last change, nil if there was none" CW_ARG_LOOKUP_DOC }
#define ERROR_ARG "verdict (1 error, 0 not; by default whether the transaction failed, nil without a status)"
#define NUMBER_ARG "number (by default the field `of`)"

static const struct cw_method number_methods[] = { METHODS(NUMBER_ARG), { .name = NULL } };
static const struct cw_method error_methods[] = {
	METHODS(ERROR_ARG),
	{ .name = "warning", .fn = drift_warning, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_BOOL,
	  .doc = "true if the last verdict made it warn" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method adwin_methods[] = {
	METHODS(NUMBER_ARG),
	{ .name = "width", .fn = adwin_width, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "numbers in the window" CW_ARG_LOOKUP_DOC },
	{ .name = "mean", .fn = adwin_mean, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "mean of the window, nil if it is empty" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method kswin_methods[] = {
	METHODS(NUMBER_ARG),
	{ .name = "statistic", .fn = kswin_statistic, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "Kolmogorov-Smirnov distance of the last test" CW_ARG_LOOKUP_DOC },
	{ .name = "psi", .fn = kswin_psi, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "population stability index of the newest against the older numbers, nil before the window is full"
	         CW_ARG_LOOKUP_DOC },
	{ .name = "wasserstein", .fn = kswin_wasserstein, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "Wasserstein distance of the newest and the older numbers, nil before the window is full"
	         CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

#define SHARED .close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch

const struct cw_primitive cw_drift_page_hinkley = {
	.table = "drift", .name = "page_hinkley", .version = 1,
	.doc = "Tells when the mean of a number has risen (or fallen) for good.",
	.error = "delay about threshold / (shift - delta) numbers; false alarms grow with noise / threshold",
	.memory = "128 bytes a key; O(1)", .source = "E. S. Page, Continuous inspection schemes, Biometrika 41 (1954)",
	.example = "shift = drift.page_hinkley { of = \"gas_price\", delta = 1e9, threshold = 5e11 }   -- shift:add(tx)",
	.opts = ph_opts, .methods = number_methods, .open = open_page_hinkley, SHARED,
};
const struct cw_primitive cw_drift_cusum = {
	.table = "drift", .name = "cusum", .version = 1,
	.doc = "Tells when a number has moved up or down by some standard deviations of its own past, whatever its unit.",
	.error = "at slack 0.5 and threshold 5 a shift of one deviation is found after some 10 numbers, and a false alarm "
	         "comes about every 465 of normal numbers",
	.memory = "128 bytes a key; O(1)",
	.source = "E. S. Page, Continuous inspection schemes, Biometrika 41 (1954); D. M. Hawkins, Self-starting CUSUM "
	          "charts for location and scale, The Statistician 36 (1987)",
	.example = "moved = drift.cusum { key = \"to\", of = \"gas\", threshold = 8 }   -- moved:add(tx)",
	.opts = cusum_opts, .methods = number_methods, .open = open_cusum, SHARED,
};
const struct cw_primitive cw_drift_ddm = {
	.table = "drift", .name = "ddm", .version = 1,
	.doc = "Tells when the share of errors (failed transactions, wrong predictions) has risen above its best.",
	.error = "warns at 2, fires at 3 standard deviations of a binomial share", .memory = "128 bytes a key; O(1)",
	.source = "J. Gama, P. Medas, G. Castillo, P. Rodrigues, Learning with drift detection, SBIA 2004",
	.example = "failing = drift.ddm { key = \"to\" }   -- failing:add(tx)",
	.opts = ddm_opts, .methods = error_methods, .open = open_ddm, SHARED,
};
const struct cw_primitive cw_drift_eddm = {
	.table = "drift", .name = "eddm", .version = 1,
	.doc = "Tells when errors come closer together: better than ddm for slow changes, with more false alarms.",
	.error = "relative to the greatest distance seen", .memory = "128 bytes a key; O(1)",
	.source = "M. Baena-Garcia and others, Early drift detection method, IWKDDS 2006",
	.example = "failing = drift.eddm { key = \"to\" }   -- failing:add(tx)",
	.opts = eddm_opts, .methods = error_methods, .open = open_eddm, SHARED,
};
const struct cw_primitive cw_drift_hddm_a = {
	.table = "drift", .name = "hddm_a", .version = 1,
	.doc = "Tells when a share has changed, by averages: no assumption about the errors but that they lie in 0 to 1.",
	.error = "false alarms with probability `drift` at most (Hoeffding)", .memory = "128 bytes a key; O(1)",
	.source = "I. Frias-Blanco and others, Online and non-parametric drift detection methods based on Hoeffding's "
	          "bounds, IEEE TKDE 27 (2015)",
	.example = "failing = drift.hddm_a { key = \"from\", two_sided = true }   -- failing:add(tx)",
	.opts = hddm_a_opts, .methods = error_methods, .open = open_hddm_a, SHARED,
};
const struct cw_primitive cw_drift_hddm_w = {
	.table = "drift", .name = "hddm_w", .version = 1,
	.doc = "Tells when a share has changed, by weighted averages: quicker than hddm_a for sudden changes.",
	.error = "false alarms with probability `drift` at most (McDiarmid)", .memory = "256 bytes a key; O(1)",
	.source = "I. Frias-Blanco and others, Online and non-parametric drift detection methods based on Hoeffding's "
	          "bounds, IEEE TKDE 27 (2015)",
	.example = "failing = drift.hddm_w { key = \"from\" }   -- failing:add(tx)",
	.opts = hddm_w_opts, .methods = error_methods, .open = open_hddm_w, SHARED,
};
const struct cw_primitive cw_drift_adwin = {
	.table = "drift", .name = "adwin", .version = 1,
	.doc = "A window that grows while the mean of a number holds and is cut where it changes: tells the change, and "
	       "keeps the mean of what is valid now.",
	.error = "false cuts with probability `delta` at most; numbers should be of one size (take a logarithm of amounts)",
	.memory = "1.8 KB a key with 14 rows (104 bytes a row); O(1) a number, O(rows^2) at each look",
	.source = "A. Bifet, R. Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007",
	.example = "usage = drift.adwin { key = \"to\", of = \"input_size\" }   -- usage:add(tx)",
	.opts = adwin_opts, .methods = adwin_methods, .open = open_adwin, SHARED,
};
const struct cw_primitive cw_drift_kswin = {
	.table = "drift", .name = "kswin", .version = 1,
	.doc = "Compares the newest numbers with those before them: any change of their distribution, not of the mean only.",
	.error = "each test has a false alarm with probability `alpha` at most, by the exact distribution; differences of "
	         "shares below 0.1 are not looked at",
	.memory = "10 bytes a number in the window and 72 a key (1.3 KB with 100); O(window) a number",
	.source = "C. Raab, M. Heusinger, F.-M. Schleif, Reactive soft prototype computing for concept drift streams, "
	          "Neurocomputing 416 (2020)",
	.example = "mix = drift.kswin { key = \"to\", of = \"value\", window = 200, recent = 50 }   -- mix:add(tx)",
	.opts = kswin_opts, .methods = kswin_methods, .open = open_kswin, SHARED,
};
