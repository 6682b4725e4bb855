#include "detect/iforest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/num.h"
#include "detect/rng.h"

#define SIDE_BY_SIDE 8         /* trees walked together: hides the latency of each step */
#define DEPTH_MAX 12
#define TREES_MAX 10000

/* x > cut: right. Columns are taken relative to `origin`, so that single precision is enough even for times. Both are
 * kept as whole numbers in the order of the floats, which compare without a branch. */
struct node { int32_t cut; uint32_t col; };
#define CUT_NONE INT32_MAX     /* nothing is larger */

struct cw_iforest {
	uint32_t cols, trees, padded, depth;
	uint32_t sample;               /* rows a tree in fact: fewer where the table is small */
	double *origin;                /* of each column */
	struct node *nodes;            /* [padded][1 << depth], the root at 1 */
	float *steps;                  /* [padded][2 << depth]: mean steps of the training rows below; leaves in the upper half */
};

static float narrow(double x)
{
	return x > (double)FLT_MAX ? FLT_MAX : x < -(double)FLT_MAX ? -FLT_MAX : (float)x;
}

static int32_t ordered(float x)
{
	int32_t bits;

	x += 0.0f;                 /* -0 becomes 0 */
	memcpy(&bits, &x, sizeof(bits));
	return bits < 0 ? bits ^ INT32_MAX : bits;
}

double cw_iforest_path(double n)
{
	double i = n - 1, h;

	if (n < 2)
		return 0;
	if (n == 2)
		return 1;
	h = cw_ln(i) + 0.57721566490153286 + 1 / (2 * i) - 1 / (12 * i * i);   /* harmonic number */
	return 2 * h - 2 * i / n;
}

static struct cw_iforest *make(uint32_t cols, uint32_t trees, uint32_t depth)
{
	struct cw_iforest *f = cw_zalloc(sizeof(*f));
	size_t all;

	f->cols = cols;
	f->trees = trees;
	f->padded = (trees + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE * SIDE_BY_SIDE;
	f->depth = depth;
	f->origin = cw_zalloc(cols * sizeof(double));
	all = (size_t)f->padded << depth;
	f->nodes = cw_zalloc(all * sizeof(struct node));
	f->steps = cw_zalloc(2 * all * sizeof(float));
	return f;
}

void cw_iforest_free(struct cw_iforest **f)
{
	if (*f == NULL)
		return;
	cw_free((*f)->origin);
	cw_free((*f)->nodes);
	cw_free((*f)->steps);
	cw_free(*f);
	*f = NULL;
}

/* --- growing --- */

struct cut { float x; uint32_t col; };

/* One tree while it grows. */
struct growth {
	struct cw_rng rng;
	uint32_t cols, depth;
	const float *x;                /* [col][sample], the tree's rows */
	uint32_t sample;
	uint16_t *rows, *spare;        /* which rows are where */
	uint32_t *candidates;          /* columns not yet known to be constant at the node at hand */
	struct node *nodes;
	float *steps;
};

static void range_of(const struct growth *g, uint32_t col, uint32_t from, uint32_t n, float *low, float *high)
{
	const float *x = g->x + (size_t)col * g->sample;
	float lo = x[g->rows[from]], hi = lo;

	for (uint32_t i = from + 1; i < from + n; i++) {
		float v = x[g->rows[i]];

		lo = v < lo ? v : lo;
		hi = v > hi ? v : hi;
	}
	*low = lo;
	*high = hi;
}

/* A random column among those that vary here, and a cut below its highest value; false: all are constant. */
static bool choose_cut(struct growth *g, uint32_t from, uint32_t n, struct cut *cut)
{
	for (uint32_t left = g->cols; left > 0; left--) {
		uint32_t at = cw_rng_below(&g->rng, left), col = g->candidates[at];
		float low, high;

		range_of(g, col, from, n, &low, &high);
		if (low < high) {
			float x = (float)(low + cw_rng_uniform(&g->rng) * ((double)high - low));

			cut->col = col;
			cut->x = x < high ? x : low;
			return true;
		}
		g->candidates[at] = g->candidates[left - 1];
		g->candidates[left - 1] = col;
	}
	return false;
}

static uint32_t part(struct growth *g, const struct cut *cut, uint32_t from, uint32_t n)
{
	const float *x = g->x + (size_t)cut->col * g->sample;
	uint32_t left = 0, right = 0;

	for (uint32_t i = from; i < from + n; i++) {
		uint16_t row = g->rows[i];
		uint32_t goes_right = x[row] > cut->x;

		g->rows[from + left] = row;
		g->spare[right] = row;
		left += 1 - goes_right;
		right += goes_right;
	}
	memcpy(g->rows + from + left, g->spare, right * sizeof(uint16_t));
	return left;
}

/* Everything below `at` has the same steps. */
static void fill(struct growth *g, uint32_t at, uint32_t level, float steps)
{
	for (uint32_t width = 1; level <= g->depth; level++, at *= 2, width *= 2)
		for (uint32_t i = at; i < at + width; i++) {
			g->steps[i] = steps;
			if (level < g->depth)
				g->nodes[i] = (struct node){ .cut = CUT_NONE, .col = 0 };
		}
}

/* Returns the sum of the steps of the rows below. */
static double grow(struct growth *g, uint32_t at, uint32_t level, uint32_t from, uint32_t n)
{
	double steps = level + cw_iforest_path(n);
	struct cut cut;
	uint32_t left;

	if (level == g->depth || n < 2 || !choose_cut(g, from, n, &cut)) {
		fill(g, at, level, (float)steps);
		return steps * n;
	}
	left = part(g, &cut, from, n);
	g->nodes[at] = (struct node){ .cut = ordered(cut.x), .col = cut.col };
	steps = grow(g, 2 * at, level + 1, from, left);
	steps += grow(g, 2 * at + 1, level + 1, from + left, n - left);
	g->steps[at] = (float)(steps / n);
	return steps;
}

static void grow_all(struct cw_iforest *f, const struct cw_table *t, uint64_t seed)
{
	uint32_t n = f->sample, *picked = cw_alloc(n * sizeof(uint32_t));
	float *x = cw_alloc((size_t)n * f->cols * sizeof(float));
	struct growth g = { .cols = f->cols, .depth = f->depth, .x = x, .sample = n };

	g.rows = cw_alloc(2 * n * sizeof(uint16_t));
	g.spare = g.rows + n;
	g.candidates = cw_alloc(f->cols * sizeof(uint32_t));
	cw_rng_init(&g.rng, seed);
	for (uint32_t j = 0; j < f->cols; j++)
		g.candidates[j] = j;
	for (uint32_t tree = 0; tree < f->trees; tree++) {
		cw_sample_rows(&g.rng, t->rows, n, picked);
		for (uint32_t i = 0; i < n; i++) {
			const double *row = cw_table_row(t, picked[i]);

			g.rows[i] = (uint16_t)i;
			for (uint32_t j = 0; j < f->cols; j++)
				x[(size_t)j * n + i] = narrow(row[j] - f->origin[j]);
		}
		g.nodes = f->nodes + ((size_t)tree << f->depth);
		g.steps = f->steps + ((size_t)tree << (f->depth + 1));
		grow(&g, 1, 0, 0, n);
	}
	cw_free(g.rows);
	cw_free(g.candidates);
	cw_free(x);
	cw_free(picked);
}

struct cw_iforest *cw_iforest_fit(const struct cw_table *t, const struct cw_iforest_conf *conf, struct cw_err *err)
{
	uint32_t trees = conf->trees != 0 ? conf->trees : 100, sample = conf->sample != 0 ? conf->sample : 256, depth = 1;
	struct cw_iforest *f;

	if (trees > TREES_MAX || sample < 2 || sample > 1u << DEPTH_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "a forest has 1 to %d trees of 2 to %u rows, not %u of %u", TREES_MAX,
		           1u << DEPTH_MAX, trees, sample);
		return NULL;
	}
	if (cw_table_check(t, err) != 0)
		return NULL;
	if (sample > t->rows)
		sample = (uint32_t)t->rows;
	while (1u << depth < sample)
		depth++;
	f = make((uint32_t)t->cols, trees, depth);
	f->sample = sample;
	memcpy(f->origin, t->x, t->cols * sizeof(double));
	grow_all(f, t, conf->seed);
	return f;
}

size_t cw_iforest_cols(const struct cw_iforest *f)
{
	return f->cols;
}

/* --- scoring --- */

static bool relative(const struct cw_iforest *f, const double *row, int32_t *x)
{
	if (!cw_row_finite(row, f->cols))
		return false;
	for (uint32_t j = 0; j < f->cols; j++)
		x[j] = ordered(narrow(row[j] - f->origin[j]));
	return true;
}

static double sum_of_steps(const struct cw_iforest *f, const int32_t *x)
{
	const struct node *nodes = f->nodes;
	const float *steps = f->steps;
	size_t size = (size_t)1 << f->depth;
	double sum = 0;

	for (uint32_t tree = 0; tree < f->padded; tree += SIDE_BY_SIDE, nodes += SIDE_BY_SIDE * size,
	     steps += SIDE_BY_SIDE * 2 * size) {
		uint32_t at[SIDE_BY_SIDE] = { 1, 1, 1, 1, 1, 1, 1, 1 };
		float some = 0;

		for (uint32_t level = 0; level < f->depth; level++) {
#pragma GCC unroll 8
			for (int k = 0; k < SIDE_BY_SIDE; k++) {
				struct node node = nodes[(size_t)k * size + at[k]];

				at[k] = 2 * at[k] + (x[node.col] > node.cut);
			}
		}
#pragma GCC unroll 8
		for (int k = 0; k < SIDE_BY_SIDE; k++)
			some += steps[(size_t)k * 2 * size + at[k]];
		sum += (double)some;
	}
	return sum;
}

double cw_iforest_steps(const struct cw_iforest *f, const double *row)
{
	int32_t x[CW_TABLE_COLS_MAX];

	return relative(f, row, x) ? sum_of_steps(f, x) / f->trees : NAN;
}

double cw_iforest_score(const struct cw_iforest *f, const double *row)
{
	double steps = cw_iforest_steps(f, row), usual = cw_iforest_path(f->sample);

	if (isnan(steps))
		return NAN;
	return usual > 0 ? cw_exp(-steps / usual * 0.69314718055994531) : 0.5;
}

double cw_iforest_mean_steps(const struct cw_iforest *f)
{
	double sum = 0;

	for (uint32_t tree = 0; tree < f->trees; tree++)
		sum += (double)f->steps[((size_t)tree << (f->depth + 1)) + 1];
	return sum / f->trees;
}

void cw_iforest_explain(const struct cw_iforest *f, const double *row, double *contribution)
{
	int32_t x[CW_TABLE_COLS_MAX];
	bool finite = relative(f, row, x);

	for (uint32_t j = 0; j < f->cols; j++)
		contribution[j] = finite ? 0 : NAN;
	for (uint32_t tree = 0; finite && tree < f->trees; tree++) {
		const struct node *nodes = f->nodes + ((size_t)tree << f->depth);
		const float *steps = f->steps + ((size_t)tree << (f->depth + 1));
		uint32_t at = 1;

		for (uint32_t level = 0; level < f->depth; level++) {
			struct node node = nodes[at];
			uint32_t next = 2 * at + (x[node.col] > node.cut);

			contribution[node.col] += ((double)steps[at] - (double)steps[next]) / f->trees;
			at = next;
		}
	}
}

/* --- bytes --- */

struct wire_head { uint32_t cols, trees, depth, sample; };

void cw_iforest_encode(const struct cw_iforest *f, struct cw_buf *out)
{
	const struct wire_head head = { f->cols, f->trees, f->depth, f->sample };
	size_t all = (size_t)f->trees << f->depth;

	cw_buf_add(out, &head, sizeof(head));
	cw_buf_add(out, f->origin, f->cols * sizeof(double));
	cw_buf_add(out, f->nodes, all * sizeof(struct node));
	cw_buf_add(out, f->steps, 2 * all * sizeof(float));
}

static bool makes_sense(const struct cw_iforest *f)
{
	size_t all = (size_t)f->trees << f->depth;

	if (!cw_row_finite(f->origin, f->cols))
		return false;
	for (size_t i = 0; i < all; i++)
		if (f->nodes[i].col >= f->cols)
			return false;
	for (size_t i = 0; i < 2 * all; i++)
		if (!(f->steps[i] >= 0 && f->steps[i] <= 64))
			return false;
	return true;
}

struct cw_iforest *cw_iforest_decode(const void *bytes, size_t len, struct cw_err *err)
{
	const uint8_t *p = bytes;
	struct wire_head head = { 0 };
	struct cw_iforest *f;
	size_t all;

	if (len >= sizeof(head))
		memcpy(&head, p, sizeof(head));
	if (head.cols < 1 || head.cols > CW_TABLE_COLS_MAX || head.trees < 1 || head.trees > TREES_MAX || head.depth < 1 ||
	    head.depth > DEPTH_MAX || head.sample < 1 || head.sample > 1u << head.depth) {
		cw_err_set(err, CW_ERR_INVALID, "forest: its head makes no sense");
		return NULL;
	}
	all = (size_t)head.trees << head.depth;
	if (len != sizeof(head) + head.cols * sizeof(double) + all * (sizeof(struct node) + 2 * sizeof(float))) {
		cw_err_set(err, CW_ERR_INVALID, "forest: %zu bytes are not what %u trees take", len, head.trees);
		return NULL;
	}
	f = make(head.cols, head.trees, head.depth);
	f->sample = head.sample;
	p += sizeof(head);
	memcpy(f->origin, p, head.cols * sizeof(double));
	p += head.cols * sizeof(double);
	memcpy(f->nodes, p, all * sizeof(struct node));
	p += all * sizeof(struct node);
	memcpy(f->steps, p, 2 * all * sizeof(float));
	if (!makes_sense(f)) {
		cw_iforest_free(&f);
		cw_err_set(err, CW_ERR_INVALID, "forest: a column, cut or step is out of bounds");
	}
	return f;
}
