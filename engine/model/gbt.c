#include "model/gbt.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/num.h"
#include "detect/rng.h"
#include "detect/twosample.h"
#include "model/artefact.h"

#define BINS 256               /* the last one is for missing cells */
#define MISSING 255
#define LEAVES_MAX 255
#define TREES_MAX 10000
#define NODES (2 * LEAVES_MAX)

/* x > cut, or missing and `missing_right`: to `right`, else to the node after this. right 0: a leaf. */
struct node {
	double cut;
	double value;                  /* log-odds: of a leaf what it adds, of others the mean of what is below */
	uint16_t col, right;
	uint32_t missing_right;
};

/* The same for walking: without branches, several trees side by side. A leaf is its own child. */
struct step { double cut; uint16_t col, missing_right, child[2]; };
#define SIDE_BY_SIDE 8

struct cw_gbt {
	uint32_t cols, trees;
	double base, base_mean;        /* log-odds of the labels; that plus the mean of the trees' roots */
	uint32_t *first;               /* [trees + 1] node of each tree */
	struct node *nodes;            /* each tree in preorder: the left child follows its parent */
	struct step *steps;            /* parallel to nodes */
	uint16_t *depth;               /* of each tree */
};

void cw_gbt_free(struct cw_gbt **g)
{
	if (*g == NULL)
		return;
	cw_free((*g)->first);
	cw_free((*g)->nodes);
	cw_free((*g)->steps);
	cw_free((*g)->depth);
	cw_free(*g);
	*g = NULL;
}

/* From nodes to steps, once they are complete. */
static void prepare(struct cw_gbt *g)
{
	g->steps = cw_alloc(g->first[g->trees] * sizeof(struct step));
	g->depth = cw_zalloc(g->trees * sizeof(uint16_t));
	for (uint32_t k = 0; k < g->trees; k++) {
		const struct node *tree = g->nodes + g->first[k];
		uint16_t level[NODES] = { 0 };

		for (uint32_t i = 0; i < g->first[k + 1] - g->first[k]; i++) {
			struct step *step = &g->steps[g->first[k] + i];
			uint16_t self = (uint16_t)i;

			*step = (struct step){ INFINITY, 0, 0, { self, self } };
			g->depth[k] = level[i] > g->depth[k] ? level[i] : g->depth[k];
			if (tree[i].right == 0)
				continue;
			*step = (struct step){ tree[i].cut, tree[i].col, (uint16_t)tree[i].missing_right,
			                       { (uint16_t)(i + 1), tree[i].right } };
			level[i + 1] = level[tree[i].right] = (uint16_t)(level[i] + 1);
		}
	}
}

/* --- training --- */

struct sums { double grad, hess; uint32_t rows, pad; };

struct split {
	double gain, cut;
	uint32_t col, bin;             /* bins up to this one go left */
	bool missing_right;
};

struct leaf {
	uint32_t from, n;              /* in order[] */
	struct sums sum;
	struct sums *hist;             /* [cols][BINS] */
	struct split best;
	uint32_t node;                 /* in grown[] */
};

struct grown { struct split split; double value, rows; int32_t left, right; };

struct trainer {
	const struct cw_table *t;
	struct cw_gbt_conf conf;
	struct cw_rng rng;
	uint8_t *bin;                  /* [cols][rows] */
	double *cuts;                  /* [cols][BINS]: upper end of each bin */
	uint32_t *nbins;
	double *odds, *grad, *hess;
	uint32_t *order, *spare;
	struct leaf leaves[LEAVES_MAX];
	struct grown grown[NODES];
	uint32_t ngrown;
	struct sums *pool;             /* histograms of all leaves */
};

/* Cuts half way between neighbours, so that bins hold equal shares of the different values. */
static void make_bins(struct trainer *tr, size_t col, double *sorted)
{
	const struct cw_table *t = tr->t;
	double *cuts = tr->cuts + col * BINS;
	size_t n = 0, different = 0, per, in_bin = 0;
	uint32_t bins = 0;

	for (size_t i = 0; i < t->rows; i++)
		if (!isnan(t->x[i * t->cols + col]))
			sorted[n++] = t->x[i * t->cols + col];
	cw_sort_doubles(sorted, n);
	for (size_t i = 1; i < n; i++)
		different += sorted[i] != sorted[i - 1];
	per = different + 1 <= BINS - 1 ? 1 : (n + BINS - 3) / (BINS - 2);
	for (size_t i = 0; i + 1 < n; i++) {
		in_bin++;
		if (sorted[i] == sorted[i + 1] || in_bin < per || bins >= BINS - 2)
			continue;
		cuts[bins] = sorted[i] + (sorted[i + 1] - sorted[i]) / 2;
		if (!(cuts[bins] < sorted[i + 1]))
			cuts[bins] = sorted[i];
		bins++;
		in_bin = 0;
	}
	tr->nbins[col] = bins + 1;
	for (size_t i = 0; i < t->rows; i++) {
		double x = t->x[i * t->cols + col];
		uint32_t low = 0, high = bins;

		while (low < high) {
			uint32_t mid = (low + high) / 2;

			if (x > cuts[mid])
				low = mid + 1;
			else
				high = mid;
		}
		tr->bin[col * t->rows + i] = (uint8_t)(isnan(x) ? MISSING : low);
	}
}

static void add(struct sums *to, const struct sums *s, int sign)
{
	to->grad += sign * s->grad;
	to->hess += sign * s->hess;
	to->rows += (uint32_t)sign * s->rows;
}

static void fill_hist(const struct trainer *tr, struct leaf *leaf)
{
	size_t rows = tr->t->rows;

	memset(leaf->hist, 0, tr->t->cols * BINS * sizeof(struct sums));
	for (size_t j = 0; j < tr->t->cols; j++) {
		const uint8_t *bin = tr->bin + j * rows;
		struct sums *hist = leaf->hist + j * BINS;

		for (uint32_t i = leaf->from; i < leaf->from + leaf->n; i++) {
			uint32_t row = tr->order[i];
			struct sums *s = &hist[bin[row]];

			s->grad += tr->grad[row];
			s->hess += tr->hess[row];
			s->rows++;
		}
	}
}

static double quality(const struct trainer *tr, const struct sums *s)
{
	return s->grad * s->grad / (s->hess + tr->conf.l2);
}

static void try_column(const struct trainer *tr, struct leaf *leaf, uint32_t col)
{
	const struct sums *hist = leaf->hist + (size_t)col * BINS, *missing = &hist[MISSING];
	struct sums left = { 0 };
	double before = quality(tr, &leaf->sum);

	for (uint32_t b = 0; b + 1 < tr->nbins[col]; b++) {
		add(&left, &hist[b], 1);
		for (int side = 0; side < (missing->rows > 0 ? 2 : 1); side++) {
			struct sums l = left, r = leaf->sum;
			double gain;

			if (side == 0)
				add(&l, missing, 1);
			add(&r, &l, -1);
			if (l.rows < tr->conf.min_rows || r.rows < tr->conf.min_rows)
				continue;
			gain = quality(tr, &l) + quality(tr, &r) - before;
			if (gain > leaf->best.gain)
				leaf->best = (struct split){ gain, tr->cuts[(size_t)col * BINS + b], col, b, side == 1 };
		}
	}
}

static void find_split(struct trainer *tr, struct leaf *leaf)
{
	leaf->best = (struct split){ .gain = 1e-9 };
	for (uint32_t j = 0; leaf->n >= 2 * tr->conf.min_rows && j < tr->t->cols; j++)
		if (tr->conf.columns >= 1 || cw_rng_uniform(&tr->rng) < tr->conf.columns)
			try_column(tr, leaf, j);
}

static uint32_t grow_node(struct trainer *tr, const struct leaf *leaf)
{
	struct grown *g = &tr->grown[tr->ngrown];

	*g = (struct grown){ .value = -leaf->sum.grad / (leaf->sum.hess + tr->conf.l2) * tr->conf.rate, .rows = leaf->n,
	                     .left = -1, .right = -1 };
	return tr->ngrown++;
}

static uint32_t part_rows(struct trainer *tr, const struct leaf *leaf)
{
	const uint8_t *bin = tr->bin + (size_t)leaf->best.col * tr->t->rows;
	uint32_t left = leaf->from, right = 0;

	for (uint32_t i = leaf->from; i < leaf->from + leaf->n; i++) {
		uint32_t row = tr->order[i];
		bool goes_right = bin[row] == MISSING ? leaf->best.missing_right : bin[row] > leaf->best.bin;

		if (goes_right)
			tr->spare[right++] = row;
		else
			tr->order[left++] = row;
	}
	memcpy(tr->order + left, tr->spare, right * sizeof(uint32_t));
	return left - leaf->from;
}

/* `leaf` becomes the left child, `other` the right one. The smaller one is counted, the larger is what is left. */
static void split_leaf(struct trainer *tr, struct leaf *leaf, struct leaf *other)
{
	struct grown *parent = &tr->grown[leaf->node];
	struct leaf *small = leaf, *large = other;
	struct sums *hist = leaf->hist, *spare = other->hist, parent_sum = leaf->sum;
	uint32_t left = part_rows(tr, leaf);

	parent->split = leaf->best;
	*other = (struct leaf){ .from = leaf->from + left, .n = leaf->n - left };
	leaf->n = left;
	if (leaf->n > other->n) {
		small = other;
		large = leaf;
	}
	small->hist = spare;
	large->hist = hist;
	fill_hist(tr, small);
	for (size_t i = 0; i < tr->t->cols * BINS; i++)
		add(&hist[i], &spare[i], -1);
	small->sum = (struct sums){ 0 };
	for (uint32_t b = 0; b < BINS; b++)
		add(&small->sum, &spare[b], 1);
	large->sum = parent_sum;
	add(&large->sum, &small->sum, -1);
	leaf->node = grow_node(tr, leaf);
	parent->left = (int32_t)leaf->node;
	other->node = grow_node(tr, other);
	parent->right = (int32_t)other->node;
	find_split(tr, leaf);
	find_split(tr, other);
}

static uint32_t choose_rows(struct trainer *tr)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < tr->t->rows; i++)
		if (tr->conf.rows >= 1 || cw_rng_uniform(&tr->rng) < tr->conf.rows)
			tr->order[n++] = i;
	return n;
}

static void grow_tree(struct trainer *tr)
{
	uint32_t nleaves = 1;
	struct leaf *root = &tr->leaves[0];

	tr->ngrown = 0;
	for (uint32_t i = 0; i < tr->conf.leaves; i++)
		tr->leaves[i].hist = tr->pool + (size_t)i * tr->t->cols * BINS;
	root->from = 0;
	root->n = choose_rows(tr);
	fill_hist(tr, root);
	root->sum = (struct sums){ 0 };
	for (uint32_t b = 0; b < BINS; b++)
		add(&root->sum, &root->hist[b], 1);
	root->node = grow_node(tr, root);
	find_split(tr, root);
	while (nleaves < tr->conf.leaves) {
		struct leaf *best = root;

		for (uint32_t i = 1; i < nleaves; i++)
			if (tr->leaves[i].best.gain > best->best.gain)
				best = &tr->leaves[i];
		if (best->best.gain <= 1e-9)
			break;
		split_leaf(tr, best, &tr->leaves[nleaves++]);
	}
}

/* Preorder; values of inner nodes become the mean of what is below. Returns that node's value. */
static double flatten(struct trainer *tr, struct node *out, uint32_t *at, uint32_t base, int32_t from)
{
	const struct grown *g = &tr->grown[from];
	struct node *n = &out[(*at)++];
	double left, right, rows;

	*n = (struct node){ .value = g->value };
	if (g->left < 0)
		return n->value;
	n->col = (uint16_t)g->split.col;
	n->cut = g->split.cut;
	n->missing_right = g->split.missing_right;
	left = flatten(tr, out, at, base, g->left);
	n->right = (uint16_t)(*at - base);
	right = flatten(tr, out, at, base, g->right);
	rows = tr->grown[g->left].rows + tr->grown[g->right].rows;
	n->value = (left * tr->grown[g->left].rows + right * tr->grown[g->right].rows) / rows;
	return n->value;
}

static double walk(const struct node *tree, const double *row)
{
	uint32_t at = 0;

	while (tree[at].right != 0) {
		double x = row[tree[at].col];
		bool right = isnan(x) ? tree[at].missing_right != 0 : x > tree[at].cut;

		at = right ? tree[at].right : at + 1;
	}
	return tree[at].value;
}

static void gradients(struct trainer *tr, const uint8_t *label)
{
	for (size_t i = 0; i < tr->t->rows; i++) {
		double p = 1 / (1 + cw_exp(-tr->odds[i]));

		tr->grad[i] = p - label[i];
		tr->hess[i] = p * (1 - p);
	}
}

static void train_all(struct trainer *tr, struct cw_gbt *g, const uint8_t *label)
{
	const struct cw_table *t = tr->t;
	uint32_t at = 0;

	g->base_mean = g->base;
	for (size_t i = 0; i < t->rows; i++)
		tr->odds[i] = g->base;
	for (uint32_t k = 0; k < g->trees; k++) {
		gradients(tr, label);
		grow_tree(tr);
		g->first[k] = at;
		g->base_mean += flatten(tr, g->nodes, &at, at, 0);
		for (size_t i = 0; i < t->rows; i++)
			tr->odds[i] += walk(g->nodes + g->first[k], cw_table_row(t, i));
	}
	g->first[g->trees] = at;
	g->nodes = cw_realloc(g->nodes, at * sizeof(struct node));
}

static int check(const struct cw_table *t, const uint8_t *label, const struct cw_gbt_conf *c, struct cw_err *err)
{
	size_t ones = 0;

	if (t->rows == 0 || t->cols == 0 || t->cols > CW_TABLE_COLS_MAX || t->rows > CW_TABLE_ROWS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "a table of %zu rows and %zu columns cannot be learnt from", t->rows, t->cols);
	for (size_t i = 0; i < t->rows * t->cols; i++)
		if (isinf(t->x[i]))
			return cw_err_set(err, CW_ERR_INVALID, "row %zu, column %zu is infinite", i / t->cols + 1, i % t->cols + 1);
	for (size_t i = 0; i < t->rows; i++) {
		if (label[i] > 1)
			return cw_err_set(err, CW_ERR_INVALID, "row %zu has label %u; 0 and 1 are possible", i + 1, label[i]);
		ones += label[i];
	}
	if (ones == 0 || ones == t->rows)
		return cw_err_set(err, CW_ERR_INVALID, "all rows are labelled %d: there is nothing to tell apart", ones != 0);
	if (c->trees > TREES_MAX || c->leaves < 2 || c->leaves > LEAVES_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "1 to %d trees of 2 to %d leaves are possible, not %u of %u", TREES_MAX,
		                  LEAVES_MAX, c->trees, c->leaves);
	if (!(c->rate > 0 && c->rate <= 1 && c->l2 >= 0 && c->columns > 0 && c->columns <= 1 && c->rows > 0 && c->rows <= 1))
		return cw_err_set(err, CW_ERR_INVALID, "rate and shares must lie between 0 and 1, the penalty not below 0");
	return 0;
}

static struct trainer *trainer_new(const struct cw_table *t, const struct cw_gbt_conf *conf)
{
	struct trainer *tr = cw_zalloc(sizeof(*tr));
	double *sorted = cw_alloc(t->rows * sizeof(double));

	tr->t = t;
	tr->conf = *conf;
	cw_rng_init(&tr->rng, conf->seed);
	tr->bin = cw_alloc(t->rows * t->cols);
	tr->cuts = cw_zalloc(t->cols * BINS * sizeof(double));
	tr->nbins = cw_zalloc(t->cols * sizeof(uint32_t));
	tr->odds = cw_alloc(3 * t->rows * sizeof(double));
	tr->grad = tr->odds + t->rows;
	tr->hess = tr->grad + t->rows;
	tr->order = cw_alloc(2 * t->rows * sizeof(uint32_t));
	tr->spare = tr->order + t->rows;
	tr->pool = cw_alloc((size_t)conf->leaves * t->cols * BINS * sizeof(struct sums));
	for (size_t j = 0; j < t->cols; j++)
		make_bins(tr, j, sorted);
	cw_free(sorted);
	return tr;
}

static void trainer_free(struct trainer *tr)
{
	cw_free(tr->bin);
	cw_free(tr->cuts);
	cw_free(tr->nbins);
	cw_free(tr->odds);
	cw_free(tr->order);
	cw_free(tr->pool);
	cw_free(tr);
}

struct cw_gbt *cw_gbt_train(const struct cw_table *t, const uint8_t *label, const struct cw_gbt_conf *conf,
                            struct cw_err *err)
{
	struct cw_gbt_conf c = *conf;
	struct trainer *tr;
	struct cw_gbt *g;
	double ones = 0;

	c.trees = c.trees != 0 ? c.trees : 500;
	c.leaves = c.leaves != 0 ? c.leaves : 15;
	c.rate = c.rate != 0 ? c.rate : 0.05;
	c.l2 = c.l2 != 0 ? c.l2 : 1;
	c.min_rows = c.min_rows != 0 ? c.min_rows : 20;
	c.columns = c.columns != 0 ? c.columns : 1;
	c.rows = c.rows != 0 ? c.rows : 1;
	if (check(t, label, &c, err) != 0)
		return NULL;
	for (size_t i = 0; i < t->rows; i++)
		ones += label[i];
	g = cw_zalloc(sizeof(*g));
	g->cols = (uint32_t)t->cols;
	g->trees = c.trees;
	g->base = cw_ln(ones / ((double)t->rows - ones));
	g->first = cw_zalloc((c.trees + 1) * sizeof(uint32_t));
	g->nodes = cw_alloc((size_t)c.trees * (2 * c.leaves - 1) * sizeof(struct node));
	tr = trainer_new(t, &c);
	train_all(tr, g, label);
	trainer_free(tr);
	prepare(g);
	return g;
}

/* --- use --- */

size_t cw_gbt_cols(const struct cw_gbt *g)
{
	return g->cols;
}

/* Leaves of SIDE_BY_SIDE trees from `k` on; every step takes one level in each of them. */
static void walk_group(const struct cw_gbt *g, uint32_t k, const double *row, uint32_t at[SIDE_BY_SIDE])
{
	const struct step *tree[SIDE_BY_SIDE];
	uint16_t depth = 0;

	for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
		tree[i] = g->steps + g->first[k + i];
		at[i] = 0;
		depth = g->depth[k + i] > depth ? g->depth[k + i] : depth;
	}
	for (uint16_t level = 0; level < depth; level++) {
#pragma GCC unroll 8
		for (int i = 0; i < SIDE_BY_SIDE; i++) {
			const struct step *step = &tree[i][at[i]];
			double x = row[step->col];

			at[i] = step->child[(x > step->cut) | ((x != x) & step->missing_right)];
		}
	}
}

double cw_gbt_log_odds(const struct cw_gbt *g, const double *row)
{
	double odds = g->base;
	uint32_t k = 0;

	for (; k + SIDE_BY_SIDE <= g->trees; k += SIDE_BY_SIDE) {
		uint32_t at[SIDE_BY_SIDE];

		walk_group(g, k, row, at);
		for (uint32_t i = 0; i < SIDE_BY_SIDE; i++)
			odds += g->nodes[g->first[k + i] + at[i]].value;
	}
	for (; k < g->trees; k++)
		odds += walk(g->nodes + g->first[k], row);
	return odds;
}

double cw_gbt_score(const struct cw_gbt *g, const double *row)
{
	return 1 / (1 + cw_exp(-cw_gbt_log_odds(g, row)));
}

double cw_gbt_base(const struct cw_gbt *g)
{
	return g->base_mean;
}

void cw_gbt_explain(const struct cw_gbt *g, const double *row, double *contribution)
{
	for (uint32_t j = 0; j < g->cols; j++)
		contribution[j] = 0;
	for (uint32_t k = 0; k < g->trees; k++) {
		const struct node *tree = g->nodes + g->first[k];
		uint32_t at = 0;

		while (tree[at].right != 0) {
			double x = row[tree[at].col];
			bool right = isnan(x) ? tree[at].missing_right != 0 : x > tree[at].cut;
			uint32_t next = right ? tree[at].right : at + 1;

			contribution[tree[at].col] += tree[next].value - tree[at].value;
			at = next;
		}
	}
}

/* --- bytes --- */

struct wire_head { uint32_t cols, trees; double base, base_mean; };

void cw_gbt_encode(const struct cw_gbt *g, struct cw_buf *out)
{
	const struct wire_head head = { g->cols, g->trees, g->base, g->base_mean };

	cw_buf_add(out, &head, sizeof(head));
	cw_buf_add(out, g->first, (g->trees + 1) * sizeof(uint32_t));
	cw_buf_add(out, g->nodes, g->first[g->trees] * sizeof(struct node));
}

/* Children lie behind their parents within the tree, so that every walk ends. */
static bool tree_makes_sense(const struct cw_gbt *g, const struct node *tree, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct node *node = &tree[i];

		if (!isfinite(node->value) || node->missing_right > 1)
			return false;
		if (node->right != 0 &&
		    (node->col >= g->cols || !isfinite(node->cut) || node->right <= i + 1 || node->right >= n))
			return false;
	}
	return n > 0 && n <= NODES;
}

static bool makes_sense(const struct cw_gbt *g, uint32_t nnodes)
{
	if (g->first[0] != 0 || g->first[g->trees] != nnodes || !isfinite(g->base) || !isfinite(g->base_mean))
		return false;
	for (uint32_t k = 0; k < g->trees; k++)
		if (g->first[k] >= g->first[k + 1] || g->first[k + 1] > nnodes ||
		    !tree_makes_sense(g, g->nodes + g->first[k], g->first[k + 1] - g->first[k]))
			return false;
	return true;
}

struct cw_gbt *cw_gbt_decode(const void *bytes, size_t len, struct cw_err *err)
{
	struct cw_artefact_cursor c = { bytes, len };
	struct wire_head head;
	struct cw_gbt *g;
	uint32_t nnodes;

	if (!cw_artefact_take(&c, &head, sizeof(head)) || head.cols < 1 || head.cols > CW_TABLE_COLS_MAX || head.trees < 1 ||
	    head.trees > TREES_MAX || c.left < (head.trees + 1) * sizeof(uint32_t)) {
		cw_err_set(err, CW_ERR_INVALID, "trees: the head makes no sense");
		return NULL;
	}
	g = cw_zalloc(sizeof(*g));
	g->cols = head.cols;
	g->trees = head.trees;
	g->base = head.base;
	g->base_mean = head.base_mean;
	g->first = cw_alloc((head.trees + 1) * sizeof(uint32_t));
	cw_artefact_take(&c, g->first, (head.trees + 1) * sizeof(uint32_t));
	nnodes = (uint32_t)(c.left / sizeof(struct node));
	g->nodes = cw_memdup(c.at, c.left);
	if (c.left % sizeof(struct node) != 0 || !makes_sense(g, nnodes)) {
		cw_gbt_free(&g);
		cw_err_set(err, CW_ERR_INVALID, "trees: a node or a count is out of bounds");
		return NULL;
	}
	prepare(g);
	return g;
}
