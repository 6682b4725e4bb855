#include "model/logistic.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/num.h"
#include "model/artefact.h"

#define KNOTS 33
#define STEPS 50
#define CLOSE 1e-9             /* a Newton step this small ends the search */

struct column { double knot[KNOTS]; double w, w_square; };

struct cw_logistic {
	uint32_t cols;
	double base;
	double normal[KNOTS];          /* quantile of the normal distribution at each knot */
	struct column *col;
};

void cw_logistic_free(struct cw_logistic **l)
{
	if (*l == NULL)
		return;
	cw_free((*l)->col);
	cw_free(*l);
	*l = NULL;
}

/* Quantile of the standard normal distribution, 0 < p < 1, error below 0.00045: formula 26.2.23 of M. Abramowitz,
 * I. Stegun, Handbook of mathematical functions. */
static double normal_quantile(double p)
{
	double tail = p < 0.5 ? p : 1 - p, t = sqrt(-2 * cw_ln(tail)), x;

	x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
	return p == 0.5 ? 0 : p < 0.5 ? -x : x;
}

static void set_normal(struct cw_logistic *l)
{
	for (int i = 0; i < KNOTS; i++)
		l->normal[i] = normal_quantile((i + 0.5) / KNOTS);
}

/* Where several knots are the same number, the middle of them. */
static double shaped(const struct cw_logistic *l, const struct column *c, double x)
{
	int low = 0, high = KNOTS - 1, from, to;
	double part;

	if (x < c->knot[0])
		return l->normal[0];
	if (x > c->knot[KNOTS - 1])
		return l->normal[KNOTS - 1];
	while (low < high) {               /* the first knot >= x */
		int mid = (low + high) / 2;

		if (c->knot[mid] < x)
			low = mid + 1;
		else
			high = mid;
	}
	if (c->knot[low] == x) {
		for (from = to = low; to + 1 < KNOTS && c->knot[to + 1] == x;)
			to++;
		return (l->normal[from] + l->normal[to]) / 2;
	}
	part = (x - c->knot[low - 1]) / (c->knot[low] - c->knot[low - 1]);
	return l->normal[low - 1] + part * (l->normal[low] - l->normal[low - 1]);
}

static double odds_of(const struct cw_logistic *l, const double *row, double *contribution)
{
	double odds = l->base;

	for (uint32_t j = 0; j < l->cols; j++) {
		const struct column *c = &l->col[j];
		double z = shaped(l, c, row[j]), adds = c->w * z + c->w_square * (z * z - 1);

		odds += adds;
		if (contribution != NULL)
			contribution[j] = adds;
	}
	return odds;
}

/* --- training --- */

static void set_knots(struct cw_logistic *l, const struct cw_table *t)
{
	double *sorted = cw_alloc(t->rows * sizeof(double));

	for (uint32_t j = 0; j < l->cols; j++) {
		cw_table_column_sorted(t, j, sorted);
		for (int i = 0; i < KNOTS; i++)
			l->col[j].knot[i] = cw_quantile_sorted(sorted, t->rows, (i + 0.5) / KNOTS);
	}
	cw_free(sorted);
}

/* Solves a x = b for a positive definite a (lower triangle used, overwritten); x replaces b. */
static void solve(double *a, double *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j <= i; j++) {
			double sum = a[i * n + j];

			for (size_t k = 0; k < j; k++)
				sum -= a[i * n + k] * a[j * n + k];
			if (i == j)
				a[i * n + i] = sqrt(sum > 1e-12 ? sum : 1e-12);
			else
				a[i * n + j] = sum / a[j * n + j];
		}
		for (size_t k = 0; k < i; k++)
			b[i] -= a[i * n + k] * b[k];
		b[i] /= a[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			b[i] -= a[k * n + i] * b[k];
		b[i] /= a[i * n + i];
	}
}

/* Gradient and second derivatives of the penalised loss at the weights w; returns the loss. Terms: 1, z, z^2 - 1. */
static double derive(const double *terms, const uint8_t *label, size_t rows, size_t n, const double *w, double l2,
                     double *grad, double *hess)
{
	double loss = 0;

	memset(grad, 0, n * sizeof(double));
	memset(hess, 0, n * n * sizeof(double));
	for (size_t i = 0; i < rows; i++) {
		const double *x = terms + i * n;
		double odds = 0, p, weight;

		for (size_t j = 0; j < n; j++)
			odds += w[j] * x[j];
		p = 1 / (1 + cw_exp(-odds));
		weight = p * (1 - p);
		loss += odds > 0 ? cw_ln(1 + cw_exp(-odds)) + (label[i] ? 0 : odds) : cw_ln(1 + cw_exp(odds)) - (label[i] ? odds : 0);
		for (size_t j = 0; j < n; j++) {
			grad[j] += (p - label[i]) * x[j];
			for (size_t k = 0; k <= j; k++)
				hess[j * n + k] += weight * x[j] * x[k];
		}
	}
	for (size_t j = 1; j < n; j++) {   /* the base is not penalised */
		loss += l2 / 2 * w[j] * w[j];
		grad[j] += l2 * w[j];
		hess[j * n + j] += l2;
	}
	return loss;
}

static void newton(const double *terms, const uint8_t *label, size_t rows, size_t n, double l2, double *w)
{
	double *grad = cw_alloc(n * sizeof(double)), *hess = cw_alloc(n * n * sizeof(double));
	double *tried = cw_alloc(n * sizeof(double)), *spare = cw_alloc(n * sizeof(double));
	double loss = derive(terms, label, rows, n, w, l2, grad, hess);

	for (int step = 0; step < STEPS; step++) {
		double size = 0, scale = 1, next = INFINITY;

		memcpy(spare, grad, n * sizeof(double));
		solve(hess, spare, n);
		for (size_t j = 0; j < n; j++)
			size = fmax(size, fabs(spare[j]));
		for (int halves = 0; halves < 20; halves++, scale /= 2) {
			for (size_t j = 0; j < n; j++)
				tried[j] = w[j] - scale * spare[j];
			next = derive(terms, label, rows, n, tried, l2, grad, hess);
			if (next <= loss)
				break;
		}
		if (!(next <= loss))
			break;
		memcpy(w, tried, n * sizeof(double));
		loss = next;
		if (size * scale < CLOSE)
			break;
	}
	cw_free(grad);
	cw_free(hess);
	cw_free(tried);
	cw_free(spare);
}

static int check(const struct cw_table *t, const uint8_t *label, double l2, struct cw_err *err)
{
	size_t ones = 0;

	if (cw_table_check(t, err) != 0)
		return -1;
	if (t->cols > CW_LOGISTIC_COLS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "%zu columns; logistic regression takes %d", t->cols, CW_LOGISTIC_COLS_MAX);
	if (!(l2 >= 0) || isinf(l2))
		return cw_err_set(err, CW_ERR_INVALID, "the penalty must be a number from 0 on");
	for (size_t i = 0; i < t->rows; i++) {
		if (label[i] > 1)
			return cw_err_set(err, CW_ERR_INVALID, "row %zu has label %u; 0 and 1 are possible", i + 1, label[i]);
		ones += label[i];
	}
	if (ones == 0 || ones == t->rows)
		return cw_err_set(err, CW_ERR_INVALID, "all rows are labelled %d: there is nothing to tell apart", ones != 0);
	return 0;
}

struct cw_logistic *cw_logistic_train(const struct cw_table *t, const uint8_t *label,
                                      const struct cw_logistic_conf *conf, struct cw_err *err)
{
	double l2 = conf->l2 != 0 ? conf->l2 : 1, *terms, *w;
	size_t n = 2 * t->cols + 1;
	struct cw_logistic *l;

	if (check(t, label, l2, err) != 0)
		return NULL;
	l = cw_zalloc(sizeof(*l));
	l->cols = (uint32_t)t->cols;
	l->col = cw_zalloc(t->cols * sizeof(struct column));
	set_normal(l);
	set_knots(l, t);
	terms = cw_alloc(t->rows * n * sizeof(double));
	w = cw_zalloc(n * sizeof(double));
	for (size_t i = 0; i < t->rows; i++) {
		double *x = terms + i * n;

		x[0] = 1;
		for (uint32_t j = 0; j < l->cols; j++) {
			double z = shaped(l, &l->col[j], cw_table_row(t, i)[j]);

			x[1 + 2 * j] = z;
			x[2 + 2 * j] = z * z - 1;
		}
	}
	newton(terms, label, t->rows, n, l2, w);
	l->base = w[0];
	for (uint32_t j = 0; j < l->cols; j++) {
		l->col[j].w = w[1 + 2 * j];
		l->col[j].w_square = w[2 + 2 * j];
	}
	cw_free(terms);
	cw_free(w);
	return l;
}

/* --- use --- */

size_t cw_logistic_cols(const struct cw_logistic *l)
{
	return l->cols;
}

double cw_logistic_base(const struct cw_logistic *l)
{
	return l->base;
}

double cw_logistic_log_odds(const struct cw_logistic *l, const double *row)
{
	return cw_row_finite(row, l->cols) ? odds_of(l, row, NULL) : NAN;
}

double cw_logistic_score(const struct cw_logistic *l, const double *row)
{
	double odds = cw_logistic_log_odds(l, row);

	return isnan(odds) ? NAN : 1 / (1 + cw_exp(-odds));
}

void cw_logistic_explain(const struct cw_logistic *l, const double *row, double *contribution)
{
	if (cw_row_finite(row, l->cols)) {
		odds_of(l, row, contribution);
		return;
	}
	for (uint32_t j = 0; j < l->cols; j++)
		contribution[j] = NAN;
}

/* --- bytes --- */

void cw_logistic_encode(const struct cw_logistic *l, struct cw_buf *out)
{
	uint64_t cols = l->cols;

	cw_buf_add(out, &cols, sizeof(cols));
	cw_buf_add(out, &l->base, sizeof(l->base));
	cw_buf_add(out, l->col, l->cols * sizeof(struct column));
}

static bool makes_sense(const struct cw_logistic *l)
{
	if (!isfinite(l->base))
		return false;
	for (uint32_t j = 0; j < l->cols; j++) {
		const struct column *c = &l->col[j];

		if (!isfinite(c->w) || !isfinite(c->w_square))
			return false;
		for (int i = 0; i < KNOTS; i++)
			if (!isfinite(c->knot[i]) || (i > 0 && c->knot[i] < c->knot[i - 1]))
				return false;
	}
	return true;
}

struct cw_logistic *cw_logistic_decode(const void *bytes, size_t len, struct cw_err *err)
{
	struct cw_artefact_cursor c = { bytes, len };
	struct cw_logistic *l;
	uint64_t cols = 0;
	double base;

	if (!cw_artefact_take(&c, &cols, sizeof(cols)) || !cw_artefact_take(&c, &base, sizeof(base)) || cols < 1 ||
	    cols > CW_LOGISTIC_COLS_MAX || c.left != cols * sizeof(struct column)) {
		cw_err_set(err, CW_ERR_INVALID, "logistic regression: the head makes no sense");
		return NULL;
	}
	l = cw_zalloc(sizeof(*l));
	l->cols = (uint32_t)cols;
	l->base = base;
	l->col = cw_memdup(c.at, c.left);
	set_normal(l);
	if (!makes_sense(l)) {
		cw_logistic_free(&l);
		cw_err_set(err, CW_ERR_INVALID, "logistic regression: a knot or a weight is out of bounds");
	}
	return l;
}
