/* graph_walk.c - walks over the graph of transfers, each within a budget of edges.
 *
 * A walk goes level by level and in the order of time: forwards it keeps for each address the earliest time at which the
 * money can have arrived, backwards the latest at which it can have left. A better time puts an address into the next
 * level again, so a level holds exactly what that many transfers can reach, and the first hit is the shortest. Of a
 * pair's transfers the first and the last are known. Hubs cost what their edge lists hold and no more than is left of
 * the budget. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "detect/graph.h"
#include "detect/keyed.h"

#define CYCLE_MAX 6
#define AHEAD     4               /* edges whose other ends are fetched ahead */
#define NO_TIME   UINT32_MAX

struct cw_graph_mark {
	cw_ref node;
	uint32_t epoch;
	uint32_t bound;               /* best time so far */
	uint32_t step;                /* in which it was put on the list `next` last */
};

enum outcome { STEP_MORE = 0, STEP_END, STEP_FOUND, STEP_CUT };

/* What a step looks for. */
struct quest {
	struct cw_graph *g;
	uint32_t since, now;
	float least;                  /* wei that an edge must have carried at once */
	cw_ref skip[2];               /* never reached */
	const struct cw_graph_node *end[2];   /* of a path that is looked for from both sides: hubs or not */
	/* An address reached, or reached at a better time; true: this is it. */
	bool (*reached)(struct quest *q, const struct cw_graph_node *node, uint32_t bound);
	void *arg;
	const struct cw_tx *tx;
	const struct cw_lists_row *row;
};

/* ---------------------------------------------------------------- reach */

void cw_graph_walk_init(struct cw_graph *g)
{
	uint32_t size = 16;

	/* every edge reaches one address at most */
	while (size < 2 * (g->work + 2))
		size *= 2;
	for (int i = 0; i < 2; i++) {
		struct cw_graph_reach *r = &g->reach[i];

		r->marks = cw_zalloc(size * sizeof(*r->marks));
		r->mask = size - 1;
		r->front = cw_zalloc((g->work + 2) * sizeof(*r->front));
		r->next = cw_zalloc((g->work + 2) * sizeof(*r->next));
	}
}

void cw_graph_walk_release(struct cw_graph *g)
{
	for (int i = 0; i < 2; i++) {
		cw_free(g->reach[i].marks);
		cw_free(g->reach[i].front);
		cw_free(g->reach[i].next);
	}
}

uint32_t cw_graph_work_done(const struct cw_graph *g)
{
	return g->work - g->left;
}

/* The place of an address among the marks: its own, or a free one. */
static struct cw_graph_mark *mark_of(const struct cw_graph_reach *r, cw_ref node)
{
	uint32_t at = (node * 0x9e3779b1u) >> 7;

	for (;; at++) {
		struct cw_graph_mark *m = &r->marks[at & r->mask];

		if (m->epoch != r->epoch || m->node == node)
			return m;
	}
}

static void begin(const struct cw_graph *g, struct cw_graph_reach *r, enum cw_graph_way way,
                  const struct cw_graph_node *start, uint32_t bound)
{
	struct cw_graph_mark *m;

	r->way = way;
	r->step = 0;
	r->nnext = 0;
	if (++r->epoch == 0) {
		memset(r->marks, 0, ((size_t)r->mask + 1) * sizeof(*r->marks));
		r->epoch = 1;
	}
	r->front[0] = (struct cw_graph_front){ cw_graph_place(g, start), bound };
	r->nfront = 1;
	m = mark_of(r, r->front[0].node);
	*m = (struct cw_graph_mark){ .node = r->front[0].node, .epoch = r->epoch, .bound = bound };
}

/* The best time at which an edge can be used after (before) `bound`; NO_TIME if at none. */
static uint32_t use_edge(const struct quest *q, enum cw_graph_way way, const struct cw_graph_edge *e, uint32_t bound)
{
	if (e->largest < q->least)
		return NO_TIME;
	if (way == CW_GRAPH_OUT) {
		uint32_t t = e->first >= bound ? e->first : e->last;

		return t >= bound && t <= q->now ? t : NO_TIME;
	} else {
		uint32_t t = e->last <= bound ? e->last : e->first;

		return t <= bound && t >= q->since ? t : NO_TIME;
	}
}

static bool is_better(enum cw_graph_way way, uint32_t a, uint32_t b)
{
	return way == CW_GRAPH_OUT ? a < b : a > b;
}

static bool is_hub(const struct cw_graph *g, const struct cw_graph_node *node)
{
	return g->hub > 0 && (node->side[CW_GRAPH_OUT].n > g->hub || node->side[CW_GRAPH_IN].n > g->hub);
}

/* Follows the edges of one address. */
static enum outcome follow(struct quest *q, struct cw_graph_reach *r, const struct cw_graph_front *f)
{
	struct cw_graph *g = q->g;
	const struct cw_graph_node *node = cw_graph_node_at(g, f->node);
	const struct cw_graph_side *side = &node->side[r->way];
	const struct cw_graph_edge *e = cw_graph_edges(g, side);

	for (uint32_t i = 0; i < side->n; i++) {
		const struct cw_graph_node *other;
		struct cw_graph_mark *m;
		uint32_t t;

		if (g->left == 0)
			return STEP_CUT;
		g->left--;
		if (i + AHEAD < side->n)
			__builtin_prefetch(cw_graph_node_at(g, e[i + AHEAD].node));
		t = use_edge(q, r->way, &e[i], f->bound);
		if (t == NO_TIME || e[i].node == q->skip[0] || e[i].node == q->skip[1])
			continue;
		other = cw_graph_other(g, &e[i]);
		if (other == NULL)
			continue;
		m = mark_of(r, e[i].node);
		if (m->epoch == r->epoch && !is_better(r->way, t, m->bound))
			continue;
		if (m->epoch != r->epoch)
			*m = (struct cw_graph_mark){ .node = e[i].node, .epoch = r->epoch };
		m->bound = t;
		if (q->reached(q, other, t))
			return STEP_FOUND;
		if (m->step != r->step && !is_hub(g, other)) {
			m->step = r->step;
			r->next[r->nnext++] = (uint32_t)(m - r->marks);
		}
	}
	return STEP_MORE;
}

/* One more transfer from every address reached with the last step. */
static enum outcome step(struct quest *q, struct cw_graph_reach *r)
{
	r->step++;
	r->nnext = 0;
	for (uint32_t i = 0; i < r->nfront; i++) {
		enum outcome o = follow(q, r, &r->front[i]);

		if (o != STEP_MORE)
			return o;
	}
	for (uint32_t i = 0; i < r->nnext; i++)
		r->front[i] = (struct cw_graph_front){ r->marks[r->next[i]].node, r->marks[r->next[i]].bound };
	r->nfront = r->nnext;
	return r->nfront > 0 ? STEP_MORE : STEP_END;
}

static struct quest quest_of(struct cw_graph *g, const struct cw_tx *tx)
{
	g->left = g->work;
	return (struct quest){ .g = g, .since = cw_graph_since(g, tx), .now = cw_time32(tx->timestamp), .tx = tx };
}

/* ---------------------------------------------------------------- distance to labelled addresses */

static bool is_labelled(struct quest *q, const struct cw_graph_node *node, uint32_t bound)
{
	const struct cw_dict_key *key = cw_dict_key_of(node);

	(void)bound;
	q->row = cw_graph_label(q->g, (const struct cw_address *)(const void *)key->b, q->tx);
	return q->row != NULL;
}

/* Hops, infinity or NaN; *row is what was found. */
static double distance(void *handle, const struct cw_tx *tx, double field, enum cw_field def, enum cw_graph_way way,
                       const struct cw_lists_row **row)
{
	struct cw_graph *g = CW_CAST(handle, CW_GRAPH_MAGIC);
	const struct cw_address *address;
	const struct cw_graph_node *start = cw_graph_find(g, tx, field, def, &address);
	struct quest q = quest_of(g, tx);

	*row = NULL;
	if (address == NULL)
		return NAN;
	*row = cw_graph_label(g, address, tx);
	if (*row != NULL) {
		cw_list_hit(*row);
		return 0;
	}
	if (start == NULL || g->lists == NULL)
		return INFINITY;
	q.reached = is_labelled;
	begin(g, &g->reach[0], way, start, way == CW_GRAPH_OUT ? q.since : q.now);
	for (uint32_t n = 1; n <= g->hops; n++) {
		enum outcome o = step(&q, &g->reach[0]);

		if (o == STEP_FOUND) {
			*row = q.row;
			cw_list_hit(*row);
			return n;
		}
		if (o == STEP_CUT)
			return NAN;
		if (o == STEP_END)
			break;
	}
	return INFINITY;
}

double cw_graph_hops(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row;

	(void)b;
	return distance(handle, tx, a, CW_FIELD_FROM, CW_GRAPH_IN, &row);
}

double cw_graph_hops_out(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row;

	(void)b;
	return distance(handle, tx, a, CW_FIELD_TO, CW_GRAPH_OUT, &row);
}

double cw_graph_proximity(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_graph *g = CW_CAST(handle, CW_GRAPH_MAGIC);
	double n = cw_graph_hops(handle, tx, a, b);

	/* 1 ^ infinity would be 1 */
	return isinf(n) ? 0 : n == 0 ? 1 : pow(g->decay, n);
}

double cw_graph_category(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_lists_row *row;

	(void)b;
	distance(handle, tx, a, CW_FIELD_FROM, CW_GRAPH_IN, &row);
	return row != NULL ? (double)row->category : NAN;
}

/* ---------------------------------------------------------------- two walks that meet */

/* Forwards from one end, backwards from the other: there is a path if the money arrives before it has to leave. */
static bool meets_in_time(struct quest *q, const struct cw_graph_node *node, uint32_t bound)
{
	const struct cw_graph_reach *other = q->arg;
	const struct cw_graph_mark *m = mark_of(other, cw_graph_place(q->g, node));

	if (m->epoch != other->epoch || (is_hub(q->g, node) && node != q->end[0] && node != q->end[1]))
		return false;
	return other->way == CW_GRAPH_IN ? bound <= m->bound : m->bound <= bound;
}

double cw_graph_cycle(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct cw_graph *g = CW_CAST(handle, CW_GRAPH_MAGIC);
	const struct cw_graph_node *from = cw_graph_find(g, tx, NAN, CW_FIELD_FROM, NULL);
	const struct cw_graph_node *to = cw_graph_find(g, tx, NAN, CW_FIELD_TO, NULL);
	struct quest q = quest_of(g, tx);

	(void)a;
	(void)b;
	if (from == NULL || to == NULL || from == to)
		return 0;
	q.least = (float)fmin(g->keep * cw_u256_to_double(&tx->value), 1e38);
	q.least -= q.least * 1e-6f;   /* amounts have 7 digits */
	q.reached = meets_in_time;
	q.end[0] = from;
	q.end[1] = to;
	begin(g, &g->reach[0], CW_GRAPH_OUT, to, q.since);
	begin(g, &g->reach[1], CW_GRAPH_IN, from, q.now);
	for (int n = 2; n <= CYCLE_MAX; n++) {
		int which = g->reach[0].nfront <= g->reach[1].nfront ? 0 : 1;
		enum outcome o;

		q.arg = &g->reach[1 - which];
		o = step(&q, &g->reach[which]);
		if (o == STEP_FOUND)
			return n;
		if (o == STEP_CUT)
			return NAN;
		if (o == STEP_END)
			break;
	}
	return 0;
}

static bool meets(struct quest *q, const struct cw_graph_node *node, uint32_t bound)
{
	const struct cw_graph_reach *other = q->arg;

	(void)bound;
	return !is_hub(q->g, node) && mark_of(other, cw_graph_place(q->g, node))->epoch == other->epoch;
}

double cw_graph_common_funder(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct cw_graph *g = CW_CAST(handle, CW_GRAPH_MAGIC);
	const struct cw_graph_node *end[2] = { cw_graph_find(g, tx, NAN, CW_FIELD_FROM, NULL),
	                                       cw_graph_find(g, tx, NAN, CW_FIELD_TO, NULL) };
	struct quest q = quest_of(g, tx);
	bool ended[2] = { false, false };

	(void)a;
	(void)b;
	if (end[0] == NULL || end[1] == NULL || end[0] == end[1])
		return INFINITY;
	q.reached = meets;
	for (int i = 0; i < 2; i++) {
		q.skip[i] = cw_graph_place(g, end[i]);
		begin(g, &g->reach[i], CW_GRAPH_IN, end[i], q.now);
	}
	for (uint32_t n = 1; n <= g->hops && !(ended[0] && ended[1]); n++)
		for (int i = 0; i < 2; i++) {
			enum outcome o;

			if (ended[i])
				continue;
			q.arg = &g->reach[1 - i];
			o = step(&q, &g->reach[i]);
			if (o == STEP_FOUND)
				return n;
			if (o == STEP_CUT)
				return NAN;
			ended[i] = o == STEP_END;
		}
	return INFINITY;
}

/* ---------------------------------------------------------------- peel chains */

/* The only edge of a side in the window; NULL if there is none, or more. Counts them into *live; false: out of work. */
static bool only_edge(struct cw_graph *g, const struct cw_graph_side *side, uint32_t since, uint32_t until,
                      const struct cw_graph_edge **only, uint32_t *live)
{
	const struct cw_graph_edge *e = cw_graph_edges(g, side);

	*only = NULL;
	*live = 0;
	if (g->left < side->n)
		return false;
	g->left -= side->n;
	for (uint32_t i = 0; i < side->n; i++)
		if (e[i].last >= since && e[i].first <= until) {
			*only = *live == 0 ? &e[i] : NULL;
			++*live;
		}
	return true;
}

double cw_graph_peel(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct cw_graph *g = CW_CAST(handle, CW_GRAPH_MAGIC);
	const struct cw_graph_node *node = cw_graph_find(g, tx, NAN, CW_FIELD_FROM, NULL);
	double passed = cw_u256_to_double(&tx->value);
	uint32_t since = cw_graph_since(g, tx), until = cw_time32(tx->timestamp);
	uint32_t length = 0;

	(void)a;
	(void)b;
	g->left = g->work;
	while (node != NULL) {
		const struct cw_graph_edge *in, *out;
		uint32_t payers, payees;

		if (!only_edge(g, &node->side[CW_GRAPH_IN], since, until, &in, &payers) || payers != 1)
			break;
		if (passed < g->keep * (double)in->total || passed > (double)in->total * (1 + 1e-6) || !(passed > 0))
			break;
		if (length > 0 && (!only_edge(g, &node->side[CW_GRAPH_OUT], since, UINT32_MAX, &out, &payees) || payees < 2))
			break;
		length++;
		passed = (double)in->total;
		until = in->last <= until ? in->last : in->first;
		node = cw_graph_other(g, in);
		if (g->left-- == 0) {
			g->left = 0;
			break;
		}
	}
	return length;
}
