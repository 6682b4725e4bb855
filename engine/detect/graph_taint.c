/* graph_taint.c - tainted money on its way through balances: haircut, poison, first in first out.
 *
 * Möser, Böhme and Breuker define the policies for the inputs and outputs of Bitcoin transactions: under *poison* an
 * output is tainted as a whole if any input is, under *haircut* in the proportion of the inputs. An account has no
 * inputs: its balance takes their place. *FIFO* (Anderson, Shumailov, Ahmed, Rietmann) pays out in the order in which
 * money came in. A balance is what came in through the graph less what went out: what an address had before is not known
 * and counts as clean money that is spent last; fees are not counted. Poison ends when the known balance is spent. */
#include <math.h>
#include <string.h>

#include "detect/graph.h"
#include "detect/keyed.h"

/* A payment: parts in the order in which they are spent, the last one clean money of unknown origin. */
struct payment {
	struct cw_graph_segment part[CW_GRAPH_SEGMENTS + 1];
	uint32_t n;
	double tainted;
};

static struct cw_graph_segment *queue_of(const struct cw_graph *g, const struct cw_graph_node *node)
{
	return cw_state_ptr(g->st, node->queue);
}

/* The tainted part of the first `amount` of a segment. Pure segments stay pure, digit for digit. */
static double part_of(const struct cw_graph_segment *s, double amount)
{
	if (amount >= s->amount)
		return s->tainted;
	return s->tainted >= s->amount ? amount : s->tainted * (amount / s->amount);
}

static bool same_mix(const struct cw_graph_segment *a, const struct cw_graph_segment *b)
{
	return (a->tainted <= 0 && b->tainted <= 0) || (a->tainted >= a->amount && b->tainted >= b->amount);
}

/* Appends to a list of segments with room for `max`. */
static uint32_t append(struct cw_graph_segment *list, uint32_t n, uint32_t max, const struct cw_graph_segment *s)
{
	if (s->amount <= 0)
		return n;
	if (n > 0 && (n == max || same_mix(&list[n - 1], s))) {
		list[n - 1].amount += s->amount;
		list[n - 1].tainted += s->tainted;
		return n;
	}
	list[n] = *s;
	return n + 1;
}

/* ---------------------------------------------------------------- paying */

/* What `value` would consist of; *spent: segments that go whole, *rest: what goes of the one after them. */
static void plan_payment(const struct cw_graph *g, const struct cw_graph_node *from, double value, struct payment *p,
                         uint32_t *spent, double *rest)
{
	const struct cw_graph_segment single = { from->known, from->tainted };
	const struct cw_graph_segment *list = from->queue != 0 ? queue_of(g, from) : &single;
	uint32_t n = from->queue != 0 ? from->nqueue : 1, i = 0;

	p->n = 0;
	p->tainted = 0;
	for (; i < n && value > 0 && list[i].amount <= value; i++) {
		p->n = append(p->part, p->n, CW_GRAPH_SEGMENTS, &list[i]);
		p->tainted += list[i].tainted;
		value -= list[i].amount;
	}
	*spent = i;
	*rest = i < n && value > 0 ? value : 0;
	if (value > 0) {
		struct cw_graph_segment last = { value, 0 };

		if (i < n)
			last.tainted = part_of(&list[i], value);
		p->n = append(p->part, p->n, CW_GRAPH_SEGMENTS + 1, &last);
		p->tainted += last.tainted;
	}
}

/* Poison: the whole payment, if the balance holds any. */
static void poison_payment(const struct cw_graph_node *from, double value, struct payment *p)
{
	if (from->tainted <= 0)
		return;
	p->part[0] = (struct cw_graph_segment){ value, value };
	p->n = 1;
	p->tainted = value;
}

static void take(struct cw_graph *g, struct cw_graph_node *from, double value, uint32_t spent, double rest)
{
	struct cw_graph_segment *list;
	double tainted = 0, known = 0;

	if (from->queue == 0) {
		const struct cw_graph_segment single = { from->known, from->tainted };

		from->tainted = spent > 0 ? 0 : from->tainted - part_of(&single, rest);
		from->known = value >= from->known ? 0 : from->known - value;
		return;
	}
	list = queue_of(g, from);
	cw_state_touch(g->st, list, CW_GRAPH_SEGMENTS * sizeof(*list));
	from->nqueue -= spent;
	memmove(list, list + spent, from->nqueue * sizeof(*list));
	if (rest > 0 && from->nqueue > 0) {
		list[0].tainted -= part_of(&list[0], rest);
		list[0].amount -= rest;
	}
	for (uint32_t i = 0; i < from->nqueue; i++) {
		known += list[i].amount;
		tainted += list[i].tainted;
	}
	from->known = known;
	from->tainted = tainted;
}

/* ---------------------------------------------------------------- receiving */

static void give(struct cw_graph *g, struct cw_graph_node *to, double value, const struct payment *p)
{
	if (to->queue != 0) {
		struct cw_graph_segment *list = queue_of(g, to);
		const struct cw_graph_segment single = { to->known, to->tainted };

		cw_state_touch(g->st, list, CW_GRAPH_SEGMENTS * sizeof(*list));
		if (to->nqueue == 0)
			to->nqueue = append(list, 0, CW_GRAPH_SEGMENTS, &single);
		for (uint32_t i = 0; i < p->n; i++)
			to->nqueue = append(list, to->nqueue, CW_GRAPH_SEGMENTS, &p->part[i]);
	}
	to->known += value;
	to->tainted += p->tainted;
	if (g->method == CW_TAINT_POISON && to->tainted > 0)
		to->tainted = to->known;
}

void cw_graph_tidy(struct cw_graph *g, struct cw_graph_node *node)
{
	if (node->queue == 0 || node->tainted > 0)
		return;
	cw_state_free(g->st, g->root->owner, node->queue, CW_GRAPH_SEGMENTS * sizeof(struct cw_graph_segment));
	node->queue = 0;
	node->nqueue = 0;
}

double cw_graph_share(const struct cw_graph *g, const struct cw_graph_node *from, double value)
{
	struct payment p;
	uint32_t spent;
	double rest;

	if (!(value > 0))
		return 0;
	plan_payment(g, from, value, &p, &spent, &rest);
	if (g->method == CW_TAINT_POISON)
		poison_payment(from, value, &p);
	return p.tainted / value;
}

double cw_graph_move(struct cw_graph *g, struct cw_graph_node *from, struct cw_graph_node *to, double value,
                     bool from_labelled, bool to_labelled)
{
	struct payment p;
	uint32_t spent;
	double rest;

	if (!(value > 0))
		return 0;
	cw_state_touch(g->st, g->head, sizeof(*g->head));
	plan_payment(g, from, value, &p, &spent, &rest);
	if (g->method == CW_TAINT_POISON)
		poison_payment(from, value, &p);
	if (from_labelled) {
		p = (struct payment){ .part = { { value, value } }, .n = 1, .tainted = value };
		g->head->emitted += value;
	} else {
		take(g, from, value, spent, rest);
		if (g->method == CW_TAINT_POISON)
			from->tainted = from->tainted > 0 || (p.tainted > 0 && from->known > 0) ? from->known : 0;
	}
	if (to_labelled)
		g->head->absorbed += p.tainted;
	else
		give(g, to, value, &p);
	return p.tainted / value;
}

struct cw_graph_totals cw_graph_totals(const struct cw_graph *g)
{
	struct cw_graph_totals t = { g->head->emitted, g->head->absorbed, g->head->lost, 0 };
	uint32_t at = 0;
	void *value;

	while (cw_dict_next(g->dict, &at, NULL, &value, NULL))
		t.held += ((const struct cw_graph_node *)value)->tainted;
	return t;
}
