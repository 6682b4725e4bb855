#include "detect/hstree.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "detect/iforest.h"
#include "detect/keyed.h"
#include "detect/num.h"
#include "detect/rng.h"

#define SAMPLE 256
#define DEPTH 8
#define EVERY 8                /* rows between two trees: with 50 trees all are new after 400 rows */
#define SIDE_BY_SIDE 8

/* x > cut: right. Nothing is above FLT_MAX, so all rows go left where a branch ended early. */
struct cut { float x; uint32_t col; };
struct tree { struct cut cuts[SAMPLE]; float steps[SAMPLE]; };   /* the root at 1; leaves from left to right */

static float *window_of(struct cw_hstree *s)
{
	return (float *)(s + 1);
}

static size_t window_bytes(const struct cw_hstree_conf *conf)
{
	return ((size_t)conf->window * conf->cols * sizeof(float) + 63) / 64 * 64;
}

static struct tree *trees_of(const struct cw_hstree *s, const struct cw_hstree_conf *conf)
{
	return (struct tree *)((uintptr_t)(s + 1) + window_bytes(conf));
}

/* Trees are walked in groups of SIDE_BY_SIDE: room for the last group to be full. */
static uint32_t padded(const struct cw_hstree_conf *conf)
{
	return (conf->trees + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE * SIDE_BY_SIDE;
}

size_t cw_hstree_size(const struct cw_hstree_conf *conf)
{
	return sizeof(struct cw_hstree) + window_bytes(conf) + padded(conf) * sizeof(struct tree);
}

/* --- growing one tree --- */

struct growth {
	struct cw_rng rng;
	uint32_t cols;
	float x[CW_HSTREE_COLS_MAX][SAMPLE];
	uint16_t rows[SAMPLE], spare[SAMPLE];
	struct tree *tree;
};

static bool choose_cut(struct growth *g, uint32_t from, uint32_t n, struct cut *cut)
{
	uint32_t candidates[CW_HSTREE_COLS_MAX];

	for (uint32_t j = 0; j < g->cols; j++)
		candidates[j] = j;
	for (uint32_t left = g->cols; left > 0; left--) {
		uint32_t at = cw_rng_below(&g->rng, left), col = candidates[at];
		float lo = g->x[col][g->rows[from]], hi = lo;

		for (uint32_t i = from + 1; i < from + n; i++) {
			float v = g->x[col][g->rows[i]];

			lo = v < lo ? v : lo;
			hi = v > hi ? v : hi;
		}
		if (lo < hi) {
			float x = (float)((double)lo + cw_rng_uniform(&g->rng) * ((double)hi - (double)lo));

			*cut = (struct cut){ x < hi ? x : lo, col };
			return true;
		}
		candidates[at] = candidates[left - 1];
	}
	return false;
}

static void grow(struct growth *g, uint32_t at, uint32_t level, uint32_t from, uint32_t n)
{
	uint32_t left = 0, right = 0;
	struct cut cut;

	if (level == DEPTH || n < 2 || !choose_cut(g, from, n, &cut)) {
		float steps = (float)(level + cw_iforest_path(n));

		for (; level < DEPTH; level++, at *= 2)     /* all rows go left from here */
			g->tree->cuts[at] = (struct cut){ FLT_MAX, 0 };
		g->tree->steps[at - SAMPLE] = steps;
		return;
	}
	for (uint32_t i = from; i < from + n; i++) {
		uint16_t row = g->rows[i];
		uint32_t goes_right = g->x[cut.col][row] > cut.x;

		g->rows[from + left] = row;
		g->spare[right] = row;
		left += 1 - goes_right;
		right += goes_right;
	}
	memcpy(g->rows + from + left, g->spare, right * sizeof(uint16_t));
	g->tree->cuts[at] = cut;
	grow(g, 2 * at, level + 1, from, left);
	grow(g, 2 * at + 1, level + 1, from + left, right);
}

static void grow_tree(struct cw_state *st, struct cw_hstree *s, const struct cw_hstree_conf *conf)
{
	uint32_t known = s->rows < conf->window ? (uint32_t)s->rows : conf->window;
	uint32_t stretch = known / SAMPLE;           /* one row of each stretch: different rows without a table of them */
	struct growth g;

	g.cols = conf->cols;
	g.tree = &trees_of(s, conf)[s->next];
	cw_rng_init(&g.rng, conf->seed + s->rows * 0x9e3779b97f4a7c15ull);
	for (uint32_t i = 0; i < SAMPLE; i++) {
		const float *row = window_of(s) + (size_t)(i * stretch + cw_rng_below(&g.rng, stretch)) * conf->cols;

		g.rows[i] = (uint16_t)i;
		for (uint32_t j = 0; j < g.cols; j++)
			g.x[j][i] = row[j];
	}
	cw_detect_touch(st, g.tree, sizeof(*g.tree));
	grow(&g, 1, 0, 0, SAMPLE);
	s->next = s->next + 1 < conf->trees ? s->next + 1 : 0;
	if (s->grown < conf->trees)
		s->grown++;
}

/* --- rows --- */

static bool narrow(const struct cw_hstree_conf *conf, const double *row, float *x)
{
	for (uint32_t j = 0; j < conf->cols; j++) {
		if (!isfinite(row[j]))
			return false;
		x[j] = row[j] > (double)FLT_MAX ? FLT_MAX : row[j] < -(double)FLT_MAX ? -FLT_MAX : (float)row[j];
	}
	return true;
}

static double score(const struct cw_hstree *s, const struct cw_hstree_conf *conf, const float *x)
{
	const struct tree *trees = trees_of(s, conf);
	double sum = 0;

	if (s->grown == 0)
		return NAN;
	for (uint32_t k = 0; k < s->grown; k += SIDE_BY_SIDE) {
		uint32_t at[SIDE_BY_SIDE] = { 1, 1, 1, 1, 1, 1, 1, 1 };

		for (int level = 0; level < DEPTH; level++) {
#pragma GCC unroll 8
			for (int i = 0; i < SIDE_BY_SIDE; i++) {
				struct cut cut = trees[k + (uint32_t)i].cuts[at[i]];

				at[i] = 2 * at[i] + (x[cut.col] > cut.x);
			}
		}
		for (uint32_t i = 0; i < SIDE_BY_SIDE && k + i < s->grown; i++)
			sum += (double)trees[k + i].steps[at[i] - SAMPLE];
	}
	return cw_exp(-sum / s->grown / cw_iforest_path(SAMPLE) * 0.69314718055994531);
}

double cw_hstree_score(const struct cw_hstree *s, const struct cw_hstree_conf *conf, const double *row)
{
	float x[CW_HSTREE_COLS_MAX];

	return narrow(conf, row, x) ? score(s, conf, x) : NAN;
}

double cw_hstree_add(struct cw_state *st, struct cw_hstree *s, const struct cw_hstree_conf *conf, const double *row)
{
	float x[CW_HSTREE_COLS_MAX], *place = window_of(s) + (size_t)(s->rows % conf->window) * conf->cols;
	double result;

	cw_assert(conf->cols >= 1 && conf->cols <= CW_HSTREE_COLS_MAX && conf->trees >= 1 && conf->window >= SAMPLE);
	if (!narrow(conf, row, x))
		return NAN;
	result = score(s, conf, x);
	cw_detect_touch(st, s, sizeof(*s));
	cw_detect_touch(st, place, conf->cols * sizeof(float));
	memcpy(place, x, conf->cols * sizeof(float));
	s->rows++;
	if (s->rows == SAMPLE) {   /* enough for the first trees: an eighth of them at once, the others follow */
		for (uint32_t i = 0; i < SIDE_BY_SIDE; i++)
			grow_tree(st, s, conf);
	} else if (s->rows > SAMPLE && s->rows % EVERY == 0) {
		grow_tree(st, s, conf);
	}
	return result;
}
