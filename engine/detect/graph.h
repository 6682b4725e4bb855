/* graph.h - the bounded graph of transfers: what graph.c, graph_walk.c and graph_taint.c share. Of the layer detect only.
 *
 * One node an address (and chain) in a dictionary, with two lists of edges: the newest counterparties it paid, and the
 * newest that paid it. An edge stands for all transfers of a pair: time of the first and of the last, largest and total
 * amount. It names its other end by place and generation, so an edge to an address that was evicted is seen to be dead.
 * Amounts are doubles and floats of wei: 15 and 7 digits, more than any share or limit needs. */
#ifndef CW_DETECT_GRAPH_H
#define CW_DETECT_GRAPH_H

#include "detect/lists_match.h"
#include "detect/primitive.h"

enum cw_taint_method { CW_TAINT_HAIRCUT = 0, CW_TAINT_POISON, CW_TAINT_FIFO };

/* --- in the arena --- */

struct cw_graph_edge {
	cw_ref node;
	uint32_t gen;                 /* of the node; another one there: it was evicted, the edge is dead */
	uint32_t first, last;         /* event times of the pair's transfers since the edge was made */
	float largest, total;         /* wei */
};

enum cw_graph_way { CW_GRAPH_OUT = 0, CW_GRAPH_IN };

struct cw_graph_side {
	cw_ref edges;
	uint16_t n, cap;
};

struct cw_graph_segment { double amount, tainted; };
#define CW_GRAPH_SEGMENTS 32      /* of a FIFO balance; what comes beyond is mixed into the newest */

struct cw_graph_node {
	uint32_t gen;                 /* from 1; 0: evicted */
	cw_ref queue;                 /* FIFO: CW_GRAPH_SEGMENTS segments, oldest first; 0: the balance is one of its own */
	struct cw_graph_side side[2]; /* by enum cw_graph_way */
	uint32_t nqueue;
	uint32_t spare;
	double known, tainted;        /* balance that came through the graph, and the tainted part of it; wei */
};

struct cw_graph_head {
	cw_ref dict;
	uint32_t gen;                 /* of the node made last */
	uint64_t last_tx;             /* hash of the transaction added last, and the tainted share of its value */
	double last_share;
	double emitted, absorbed, lost;
};

/* --- of this process --- */

/* Where a walk has been: the addresses and the best time for each, and those reached with the last step. */
struct cw_graph_reach {
	enum cw_graph_way way;
	struct cw_graph_mark *marks;  /* hashed by place; a power of two */
	uint32_t mask;
	uint32_t epoch;               /* marks of other epochs are free */
	struct cw_graph_front { cw_ref node; uint32_t bound; } *front;
	uint32_t nfront;
	uint32_t *next;               /* marks reached with the next step */
	uint32_t nnext, step;
};

struct cw_graph {
	uint32_t magic;
	struct cw_state *st;
	struct cw_state_root *root;
	struct cw_graph_head *head;
	struct cw_dict *dict;
	const struct cw_lists *lists; /* that the numbers of `labels` are of */
	uint64_t serial;
	struct cw_list_names labels;
	enum cw_taint_method method;
	uint32_t edges, span_s, hops, work, hub;
	double min_value, keep, decay;
	uint32_t left;                /* of the work of this call, edges */
	struct cw_graph_reach reach[2];
};

static inline struct cw_graph_edge *cw_graph_edges(const struct cw_graph *g, const struct cw_graph_side *side)
{
	return cw_state_ptr(g->st, side->edges);
}

/* Values of the dictionary start 8 bytes before a place that a cw_ref can name. */
static inline cw_ref cw_graph_place(const struct cw_graph *g, const struct cw_graph_node *node)
{
	return cw_state_ref(g->st, (const uint8_t *)node + 8);
}

static inline struct cw_graph_node *cw_graph_node_at(const struct cw_graph *g, cw_ref place)
{
	const struct cw_state_hot *hot = (const void *)g->st;

	/* never 0, so without the test that cw_state_ptr makes */
	return (struct cw_graph_node *)(void *)(hot->base + (size_t)place * 16 - 8);
}

/* The other end of an edge, NULL if it was evicted. */
static inline struct cw_graph_node *cw_graph_other(const struct cw_graph *g, const struct cw_graph_edge *e)
{
	struct cw_graph_node *node = cw_graph_node_at(g, e->node);

	return node->gen == e->gen ? node : NULL;
}

/* The node of an address of the transaction, NULL: not in the graph. `field` NaN: that of `def`; others than from and
 * to have none. *address (may be NULL) gets the address, or NULL where the transaction has none there. */
struct cw_graph_node *cw_graph_find(const struct cw_graph *g, const struct cw_tx *tx, double field, enum cw_field def,
                                    const struct cw_address **address);
/* Start of the window that ends with the transaction. */
uint32_t cw_graph_since(const struct cw_graph *g, const struct cw_tx *tx);
/* The surest entry of the address under one of the labels that holds for the transaction, NULL if there is none. */
const struct cw_lists_row *cw_graph_label(struct cw_graph *g, const struct cw_address *address, const struct cw_tx *tx);

/* --- graph_taint.c --- */

/* Moves `value` wei from one balance to another; both touched by the caller. A labelled sender pays tainted money only;
 * what a labelled receiver gets is out of the game. Returns the tainted share of the value. Allocates nothing: without
 * to->queue the receiver's balance is mixed. */
double cw_graph_move(struct cw_graph *g, struct cw_graph_node *from, struct cw_graph_node *to, double value,
                     bool from_labelled, bool to_labelled);
/* The share that cw_graph_move would give. */
double cw_graph_share(const struct cw_graph *g, const struct cw_graph_node *from, double value);
/* A FIFO balance that holds no tainted part needs no queue. */
void cw_graph_tidy(struct cw_graph *g, struct cw_graph_node *node);

/* Wei: paid by labelled addresses; received by them as tainted; gone with evicted addresses. Under haircut and FIFO
 * emitted = absorbed + lost + the sum over all addresses. */
struct cw_graph_totals { double emitted, absorbed, lost, held; };
struct cw_graph_totals cw_graph_totals(const struct cw_graph *g);

/* --- graph_walk.c: methods --- */

void cw_graph_walk_init(struct cw_graph *g);
void cw_graph_walk_release(struct cw_graph *g);
/* Edges that the last walk looked at. */
uint32_t cw_graph_work_done(const struct cw_graph *g);
cw_method_fn cw_graph_hops, cw_graph_hops_out, cw_graph_proximity, cw_graph_category, cw_graph_cycle, cw_graph_peel,
	cw_graph_common_funder;

#define CW_GRAPH_MAGIC 0x47525048u

#endif
