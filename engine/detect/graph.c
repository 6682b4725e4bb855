/* graph.c - the bounded graph of transfers: nodes and edges, what leaves when they are full, and the primitive's table.
 *
 * An address keeps the `edges` counterparties of each direction whose last transfer is newest in event time; the lists
 * are not sorted: a transfer reads one of them each at both ends, and writes one edge. When the graph holds
 * `max_addresses`, the dictionary chooses who goes (state/dict.h). Edges to an address that went die with it. */
#include "detect/graph.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define FIRST_EDGES   2
#define EVICTIONS_MAX 8
#define EDGES_MAX     1024
#define AMOUNT_MAX    1e38        /* what a float holds; more than any chain's wei */

enum graph_opt { OPT_MAX_ADDRESSES = 0, OPT_EDGES, OPT_SPAN, OPT_MIN_VALUE, OPT_LABELS, OPT_METHOD, OPT_HOPS, OPT_DECAY,
                 OPT_WORK, OPT_HUB, OPT_KEEP };

static struct cw_graph *graph_of(void *handle)
{
	return CW_CAST(handle, CW_GRAPH_MAGIC);
}

/* ---------------------------------------------------------------- finding */

uint32_t cw_graph_since(const struct cw_graph *g, const struct cw_tx *tx)
{
	uint32_t now = cw_time32(tx->timestamp);

	return now > g->span_s ? now - g->span_s : 0;
}

struct cw_graph_node *cw_graph_find(const struct cw_graph *g, const struct cw_tx *tx, double field, enum cw_field def,
                                    const struct cw_address **address)
{
	double which = isnan(field) ? (double)def : field;
	bool from = which == CW_FIELD_FROM, to = which == CW_FIELD_TO && (tx->has & CW_TX_HAS_TO) != 0;
	struct cw_dict_key key;

	if (address != NULL)
		*address = from ? &tx->from : to ? &tx->to : NULL;
	if ((!from && !to) || !cw_fieldset_key(tx, from ? CW_FIELD_FROM : CW_FIELD_TO, &key))
		return NULL;
	return cw_dict_find(g->dict, &key);
}

const struct cw_lists_row *cw_graph_label(struct cw_graph *g, const struct cw_address *address, const struct cw_tx *tx)
{
	const struct cw_lists *lists = cw_lists_current();
	const struct cw_lists_row *rows;
	size_t n;

	if (g->serial != cw_lists_serial(lists)) {
		g->serial = cw_lists_serial(lists);
		g->lists = lists;
		if (lists != NULL)
			cw_list_names_number(&g->labels, lists);
	}
	if (g->lists == NULL)
		return NULL;
	rows = cw_lists_find(g->lists, address, &n);
	for (size_t i = 0; i < n; i++)
		if (cw_list_names_have(&g->labels, rows[i].category) && cw_lists_holds(&rows[i], tx))
			return &rows[i];
	return NULL;
}

/* Counterparties of one side whose last transfer is in the window. */
static uint32_t fan_of(const struct cw_graph *g, const struct cw_graph_side *side, uint32_t since)
{
	const struct cw_graph_edge *e = cw_graph_edges(g, side);
	uint32_t live = 0;

	for (uint32_t i = 0; i < side->n; i++)
		live += e[i].last >= since;
	return live;
}

/* ---------------------------------------------------------------- making room */

static size_t edges_bytes(uint32_t cap)
{
	return cap * sizeof(struct cw_graph_edge);
}

/* A block; where memory is short, other addresses make room, and the two nodes of the transfer are looked up again. */
static cw_ref take_block(struct cw_graph *g, const struct cw_dict_key key[2], struct cw_graph_node *node[2], size_t size)
{
	cw_ref ref = cw_state_try_alloc(g->st, g->root->owner, size);

	for (int i = 0; ref == 0 && i < EVICTIONS_MAX && cw_dict_count(g->dict) > 2; i++) {
		cw_dict_evict(g->dict);
		for (int j = 0; j < 2; j++)
			node[j] = cw_dict_find(g->dict, &key[j]);
		if (node[0] == NULL || node[1] == NULL)
			return 0;
		ref = cw_state_try_alloc(g->st, g->root->owner, size);
	}
	return ref;
}

/* Room for one more edge on one side of a node, up to `edges`. False: a node went; else there is room or there is not. */
static bool widen(struct cw_graph *g, const struct cw_dict_key key[2], struct cw_graph_node *node[2], int which)
{
	struct cw_graph_side *side = &node[which]->side[which];
	uint32_t cap = side->cap > 0 ? side->cap * 2u : FIRST_EDGES;
	struct cw_graph_edge *fresh;
	cw_ref block;

	if (side->n < side->cap || side->cap >= g->edges)
		return true;
	if (cap > g->edges)
		cap = g->edges;
	block = take_block(g, key, node, edges_bytes(cap));
	if (node[0] == NULL || node[1] == NULL)
		return false;
	if (block == 0)
		return true;
	side = &node[which]->side[which];
	if (side->n > 0) {
		fresh = cw_state_ptr(g->st, block);
		cw_state_touch(g->st, fresh, edges_bytes(side->n));
		memcpy(fresh, cw_graph_edges(g, side), edges_bytes(side->n));
	}
	cw_state_free(g->st, g->root->owner, side->edges, edges_bytes(side->cap));
	cw_state_touch(g->st, side, sizeof(*side));
	side->edges = block;
	side->cap = (uint16_t)cap;
	return true;
}

/* A FIFO balance into which tainted money may come needs a queue; without memory it stays mixed. False: a node went. */
static bool queue_for(struct cw_graph *g, const struct cw_dict_key key[2], struct cw_graph_node *node[2],
                      const bool labelled[2])
{
	cw_ref block;

	if (g->method != CW_TAINT_FIFO || labelled[1] || node[1]->queue != 0 || !(labelled[0] || node[0]->tainted > 0))
		return true;
	block = take_block(g, key, node, CW_GRAPH_SEGMENTS * sizeof(struct cw_graph_segment));
	if (node[0] == NULL || node[1] == NULL)
		return false;
	if (block != 0) {
		cw_state_touch(g->st, node[1], sizeof(*node[1]));
		node[1]->queue = block;
		node[1]->nqueue = 0;
	}
	return true;
}

static struct cw_graph_node *upsert(struct cw_graph *g, const struct cw_dict_key *key, int64_t time)
{
	struct cw_graph_node *node = cw_dict_upsert(g->dict, key, time, NULL);

	if (node != NULL && node->gen == 0) {
		cw_state_touch(g->st, g->head, sizeof(*g->head));
		if (++g->head->gen == 0)
			g->head->gen = 1;
		node->gen = g->head->gen;
	}
	return node;
}

/* ---------------------------------------------------------------- adding */

/* The transfer's edge on one side: the pair's own, a free place, or that of the oldest counterparty, unless the transfer
 * is older still. */
static void link_edge(struct cw_graph *g, struct cw_graph_side *side, const struct cw_graph_node *other, uint32_t time,
                      float amount)
{
	struct cw_graph_edge *list = cw_graph_edges(g, side), *e = NULL, *oldest = NULL;
	cw_ref place = cw_graph_place(g, other);

	for (uint32_t i = 0; i < side->n; i++) {
		if (list[i].node == place && list[i].gen == other->gen) {
			e = &list[i];
			break;
		}
		if (oldest == NULL || list[i].last < oldest->last)
			oldest = &list[i];
	}
	if (e != NULL) {
		cw_state_touch(g->st, e, sizeof(*e));
		e->first = time < e->first ? time : e->first;
		e->last = time > e->last ? time : e->last;
		e->largest = amount > e->largest ? amount : e->largest;
		e->total = e->total + amount < (float)AMOUNT_MAX ? e->total + amount : (float)AMOUNT_MAX;
		return;
	}
	if (side->n < side->cap) {
		e = &list[side->n];
		cw_state_touch(g->st, side, sizeof(*side));
		side->n++;
	} else if (oldest != NULL && time >= oldest->last) {
		e = oldest;
	} else {
		return;
	}
	cw_state_touch(g->st, e, sizeof(*e));
	*e = (struct cw_graph_edge){ .node = place, .gen = other->gen, .first = time, .last = time, .largest = amount,
	                             .total = amount };
}

static uint64_t tx_mark(const struct cw_tx *tx)
{
	return cw_hash64(tx->hash.b, sizeof(tx->hash.b), tx->chain_id) | 1;
}

static bool moves_money(const struct cw_graph *g, const struct cw_tx *tx, double value)
{
	if ((tx->has & CW_TX_HAS_TO) == 0 || ((tx->has & CW_TX_HAS_STATUS) != 0 && tx->status == 0))
		return false;
	return value >= g->min_value && memcmp(tx->from.b, tx->to.b, sizeof(tx->to.b)) != 0;
}

static double graph_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct cw_graph *g = graph_of(handle);
	double value = cw_u256_to_double(&tx->value);
	float amount = (float)(value < AMOUNT_MAX ? value : AMOUNT_MAX);
	uint32_t time = cw_time32(tx->timestamp);
	struct cw_dict_key key[2];
	struct cw_graph_node *node[2];
	bool labelled[2];

	(void)a;
	(void)b;
	if (!moves_money(g, tx, value) || !cw_fieldset_key(tx, CW_FIELD_FROM, &key[0]) ||
	    !cw_fieldset_key(tx, CW_FIELD_TO, &key[1]))
		return NAN;
	labelled[0] = cw_graph_label(g, &tx->from, tx) != NULL;
	labelled[1] = cw_graph_label(g, &tx->to, tx) != NULL;
	if (upsert(g, &key[0], tx->timestamp) == NULL)
		return NAN;
	node[1] = upsert(g, &key[1], tx->timestamp);
	node[0] = cw_dict_find(g->dict, &key[0]);   /* the second may have cost the first */
	if (node[0] == NULL || node[1] == NULL)
		return NAN;
	if (!widen(g, key, node, CW_GRAPH_OUT) || !widen(g, key, node, CW_GRAPH_IN) || !queue_for(g, key, node, labelled))
		return NAN;
	cw_state_touch(g->st, node[0], sizeof(*node[0]));
	cw_state_touch(g->st, node[1], sizeof(*node[1]));
	link_edge(g, &node[0]->side[CW_GRAPH_OUT], node[1], time, amount);
	link_edge(g, &node[1]->side[CW_GRAPH_IN], node[0], time, amount);
	cw_state_touch(g->st, g->head, sizeof(*g->head));
	g->head->last_share = cw_graph_move(g, node[0], node[1], value, labelled[0], labelled[1]);
	g->head->last_tx = tx_mark(tx);
	cw_graph_tidy(g, node[0]);
	cw_graph_tidy(g, node[1]);
	return fan_of(g, &node[0]->side[CW_GRAPH_OUT], cw_graph_since(g, tx));
}

/* ---------------------------------------------------------------- asking */

static double fan(void *handle, const struct cw_tx *tx, double field, enum cw_field def, enum cw_graph_way way)
{
	const struct cw_graph *g = graph_of(handle);
	const struct cw_address *address;
	const struct cw_graph_node *node = cw_graph_find(g, tx, field, def, &address);

	if (address == NULL)
		return NAN;
	return node != NULL ? fan_of(g, &node->side[way], cw_graph_since(g, tx)) : 0;
}

static double graph_fan_in(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return fan(handle, tx, a, CW_FIELD_TO, CW_GRAPH_IN);
}

static double graph_fan_out(void *handle, const struct cw_tx *tx, double a, double b)
{
	(void)b;
	return fan(handle, tx, a, CW_FIELD_FROM, CW_GRAPH_OUT);
}

/* Of this transaction's value: what add found, or what it would find. */
static double share_of_tx(struct cw_graph *g, const struct cw_tx *tx)
{
	double value = cw_u256_to_double(&tx->value);
	const struct cw_graph_node *node;
	const struct cw_lists_row *row;

	if (g->head->last_tx == tx_mark(tx))
		return g->head->last_share;
	if (!moves_money(g, tx, value))
		return 0;
	row = cw_graph_label(g, &tx->from, tx);
	if (row != NULL) {
		cw_list_hit(row);
		return value > 0 ? 1 : 0;
	}
	node = cw_graph_find(g, tx, NAN, CW_FIELD_FROM, NULL);
	return node != NULL ? cw_graph_share(g, node, value) : 0;
}

static double graph_taint(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct cw_graph *g = graph_of(handle);
	const struct cw_address *address;
	const struct cw_graph_node *node;
	const struct cw_lists_row *row;

	(void)b;
	if (isnan(a))
		return share_of_tx(g, tx);
	node = cw_graph_find(g, tx, a, CW_FIELD_FROM, &address);
	if (address == NULL)
		return NAN;
	row = cw_graph_label(g, address, tx);
	if (row != NULL) {
		cw_list_hit(row);
		return 1;
	}
	return node != NULL && node->known > 0 ? fmin(node->tainted / node->known, 1) : 0;
}

static double graph_tainted(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct cw_graph *g = graph_of(handle);
	const struct cw_address *address;
	const struct cw_graph_node *node = cw_graph_find(g, tx, a, CW_FIELD_FROM, &address);

	(void)b;
	if (address == NULL)
		return NAN;
	return node != NULL ? node->tainted : 0;
}

static const char *graph_text(void *handle, int index)
{
	const struct cw_graph *g = graph_of(handle);

	return g->lists != NULL && index >= 0 ? cw_lists_text(g->lists, (uint32_t)index) : "";
}

/* ---------------------------------------------------------------- open, close */

static void evict_node(struct cw_state *st, uint32_t owner, void *value, void *arg)
{
	struct cw_graph *g = arg;
	struct cw_graph_node *node = value;

	for (int way = 0; way < 2; way++)
		cw_state_free(st, owner, node->side[way].edges, edges_bytes(node->side[way].cap));
	cw_state_free(st, owner, node->queue, CW_GRAPH_SEGMENTS * sizeof(struct cw_graph_segment));
	cw_state_touch(st, g->head, sizeof(*g->head));
	g->head->lost += node->tainted;
	cw_state_touch(st, node, sizeof(*node));
	memset(node, 0, sizeof(*node));
}

static void graph_close(void *handle)
{
	struct cw_graph *g = graph_of(handle);

	cw_graph_walk_release(g);
	cw_dict_close(&g->dict);
	cw_free(g);
}

static void graph_drop(void *handle)
{
	struct cw_graph *g = graph_of(handle);

	cw_dict_drop(&g->dict, &g->head->dict);
	cw_state_free(g->st, g->root->owner, g->root->ref, sizeof(*g->head));
	cw_state_touch(g->st, &g->root->ref, sizeof(g->root->ref));
	g->root->ref = 0;
	cw_graph_walk_release(g);
	cw_free(g);
}

static int read_method(struct cw_graph *g, const char *text, struct cw_err *err)
{
	static const char *const names[] = { [CW_TAINT_HAIRCUT] = "haircut", [CW_TAINT_POISON] = "poison",
	                                     [CW_TAINT_FIFO] = "fifo" };

	for (int i = 0; i < 3; i++)
		if (strcmp(text, names[i]) == 0) {
			g->method = (enum cw_taint_method)i;
			return 0;
		}
	return cw_err_set(err, CW_ERR_INVALID,
	                  "graph.transfers: option \"method\" must be haircut, poison or fifo, not \"%.40s\"", text);
}

/* Header and dictionary; on failure nothing new is left in the arena. */
static int open_state(struct cw_graph *g, uint32_t max_addresses, struct cw_err *err)
{
	const struct cw_dict_conf conf = {
		.value_size = sizeof(struct cw_graph_node), .max_keys = max_addresses, .owner = g->root->owner,
		.touch_parts = true, .evict = evict_node, .evict_arg = g,
	};
	bool fresh = g->root->ref == 0;
	cw_ref ref = fresh ? cw_state_alloc(g->st, g->root->owner, sizeof(*g->head)) : g->root->ref;

	if (ref == 0)
		return cw_err_set(err, CW_ERR_BUSY, "graph.transfers: no memory left for its state");
	g->head = cw_state_ptr(g->st, ref);
	g->dict = cw_dict_open(g->st, &conf, &g->head->dict, err);
	if (g->dict == NULL) {
		if (fresh)
			cw_state_free(g->st, g->root->owner, ref, sizeof(*g->head));
		return -1;
	}
	if (fresh) {
		cw_state_touch(g->st, &g->root->ref, sizeof(g->root->ref));
		g->root->ref = ref;
	}
	return 0;
}

static void *graph_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                        struct cw_err *err)
{
	struct cw_graph *g = cw_zalloc(sizeof(*g));

	g->magic = CW_GRAPH_MAGIC;
	g->st = st;
	g->root = root;
	g->edges = (uint32_t)vals[OPT_EDGES].number;
	g->span_s = (uint32_t)vals[OPT_SPAN].number;
	g->min_value = vals[OPT_MIN_VALUE].number;
	g->hops = (uint32_t)vals[OPT_HOPS].number;
	g->decay = vals[OPT_DECAY].number;
	g->work = (uint32_t)vals[OPT_WORK].number;
	g->hub = (uint32_t)vals[OPT_HUB].number;
	g->keep = vals[OPT_KEEP].number;
	g->serial = UINT64_MAX;
	if (read_method(g, vals[OPT_METHOD].text, err) != 0 ||
	    cw_list_names_read(&g->labels, vals[OPT_LABELS].text, "graph.transfers", "labels", err) != 0 ||
	    open_state(g, (uint32_t)vals[OPT_MAX_ADDRESSES].number, err) != 0) {
		cw_free(g);
		return NULL;
	}
	cw_graph_walk_init(g);
	return g;
}

static void graph_prefetch(void *handle, const struct cw_tx *tx, int stage)
{
	const struct cw_graph *g = graph_of(handle);
	unsigned slot = 2 * (unsigned)tx->seq;

	for (unsigned end = 0; end < 2; end++) {
		struct cw_dict_key key;

		if (stage > 0)
			cw_dict_fetch_on(g->dict, slot + end, stage);
		else if (cw_dict_ahead(g->dict, slot + end) &&
		         cw_fieldset_key(tx, end == 0 ? CW_FIELD_FROM : CW_FIELD_TO, &key))
			cw_dict_fetch(g->dict, slot + end, &key);
	}
}

/* ---------------------------------------------------------------- the table */

static const struct cw_opt graph_opts[] = {
	{ .name = "max_addresses", .type = CW_OPT_COUNT, .def = 100000, .min = 2, .max = 50e6,
	  .doc = "addresses kept; beyond it the one whose last transfer is oldest among 8 makes room" },
	{ .name = "edges", .type = CW_OPT_COUNT, .def = 64, .min = 1, .max = EDGES_MAX,
	  .doc = "counterparties an address keeps in each direction: those with the newest transfers in event time" },
	{ .name = "span", .type = CW_OPT_SPAN, .def = 7 * 86400, .min = 1, .max = 400 * 86400,
	  .doc = "age in event time up to which transfers count in degrees and on paths; taint has no age" },
	{ .name = "min_value", .type = CW_OPT_NUMBER, .def = 1, .min = 0, .max = 1e30,
	  .doc = "wei; smaller transfers are not added" },
	{ .name = "labels", .type = CW_OPT_TEXT, .def_text = "mixer,sanctioned",
	  .doc = "categories of the address lists that count as sources (and ends) of tainted money, joined with commas; "
	         "\"\": all" },
	{ .name = "method", .type = CW_OPT_TEXT, .def_text = "haircut",
	  .doc = "how taint spreads: haircut (in proportion), poison (all of it), fifo (in the order in which money came)" },
	{ .name = "hops", .type = CW_OPT_COUNT, .def = 4, .min = 1, .max = 16,
	  .doc = "transfers that hops, hops_out, proximity, category and common_funder follow at most" },
	{ .name = "decay", .type = CW_OPT_NUMBER, .def = 0.5, .min = 0, .max = 1, .doc = "factor of proximity for each hop" },
	{ .name = "work", .type = CW_OPT_COUNT, .def = 2000, .min = 1, .max = 100000,
	  .doc = "edges that one call looks at before it gives up" },
	{ .name = "hub", .type = CW_OPT_COUNT, .def = 0, .min = 0, .max = EDGES_MAX,
	  .doc = "addresses that keep more counterparties than this in either direction are services: no path goes through "
	         "them, they fund nobody in common; 0: no limit" },
	{ .name = "keep", .type = CW_OPT_NUMBER, .def = 0.5, .min = 0, .max = 1,
	  .doc = "share of an amount that must go on for it to be the same money, in cycles and peel chains" },
	{ .name = NULL },
};

#define WHICH(field) "; looks at `" field "`, or at the field that is given (from, to)"
#define GAVE_UP      "nil: not known, the work was used up; math.huge: there is none"

static const struct cw_method graph_methods[] = {
	{ .name = "add", .fn = graph_add, .takes_tx = true,
	  .doc = "adds the transfer; number of receivers of the sender within span, this one included; nil if it moves nothing "
	         "(failed, below min_value, to itself, no receiver)" },
	{ .name = "fan_in", .fn = graph_fan_in, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "number of senders that paid the address within span, up to `edges`" WHICH("to") },
	{ .name = "fan_out", .fn = graph_fan_out, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "number of receivers that the address paid within span, up to `edges`" WHICH("from") },
	{ .name = "hops", .fn = cw_graph_hops, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transfers, in the order of time, from the nearest labelled address to this one, 0 if it is labelled itself. "
	         GAVE_UP WHICH("from") },
	{ .name = "hops_out", .fn = cw_graph_hops_out, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "the same in the other direction: from this address to the nearest labelled one it paid, directly or through "
	         "others. " GAVE_UP WHICH("to") },
	{ .name = "proximity", .fn = cw_graph_proximity, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "decay ^ hops: 1 if labelled itself, 0 if there is no path, nil: not known" WHICH("from") },
	{ .name = "category", .fn = cw_graph_category, .takes_tx = true, .a = CW_ARG_FIELD, .result = CW_RESULT_TEXT,
	  .doc = "category of the labelled address that hops finds, nil if it finds none" WHICH("from") },
	{ .name = "taint", .fn = graph_taint, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "0 to 1: tainted share of the value that this transaction moves, before and after add alike; with a field "
	         "(from, to): of the balance of that address, 1 if it is labelled itself" },
	{ .name = "tainted", .fn = graph_tainted, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "wei: tainted part of the balance" WHICH("from") },
	{ .name = "cycle", .fn = cw_graph_cycle, .takes_tx = true,
	  .doc = "transfers in the shortest cycle that this transaction closes, itself included, 2 to 6: money that its sender "
	         "got from its receiver in the order of time, through addresses that passed on at least `keep` of this value; "
	         "0: none; nil: not known, the work was used up" },
	{ .name = "peel", .fn = cw_graph_peel, .takes_tx = true,
	  .doc = "addresses in the peel chain that ends with this transaction: each had one payer, passed on at least `keep` "
	         "of what it got and paid somebody else besides (the last may still do so). A lower bound when the work is "
	         "used up" },
	{ .name = "common_funder", .fn = cw_graph_common_funder, .takes_tx = true,
	  .doc = "transfers, at most, from the nearest third address whose money reached both sender and receiver: 1 if it "
	         "paid both directly. " GAVE_UP },
	{ .name = NULL },
};

const struct cw_primitive cw_graph_transfers = {
	.table = "graph", .name = "transfers", .version = 1,
	.doc = "A bounded graph of who paid whom: degrees, distance to labelled addresses, tainted shares of balances, cycles, "
	       "peel chains, common funders. Several rules can each keep one with its own limits.",
	.error = "what it finds is there; it may miss what was evicted, lies outside of span or behind a hub, or goes through "
	         "a transfer of a pair that was neither its first nor its last. Distances and cycles are shortest ones. "
	         "Shares are doubles: 1e-12 or better; FIFO balances of more than 32 parts mix the newest. Money an address "
	         "had before it was seen is unknown, counts as clean and is spent last",
	.memory = "128 bytes an address, 48 to 24 * edges for each direction, 512 for a tainted FIFO balance; add reads up to "
	          "2 * edges edges, a walk up to `work`",
	.source = "M. Möser, R. Böhme, D. Breuker, Towards Risk Scoring of Bitcoin Transactions (2014): poison, haircut; "
	          "R. Anderson, I. Shumailov, M. Ahmed, A. Rietmann, Bitcoin Redux (2018): FIFO; S. Meiklejohn et al., A "
	          "Fistful of Bitcoins (2013): peel chains",
	.example = "g = graph.transfers { labels = \"mixer,sanctioned\", span = \"7d\" }   -- g:add(tx); g:taint(tx) > 0.1",
	.opts = graph_opts, .methods = graph_methods, .open = graph_open,
	.close = graph_close, .drop = graph_drop, .prefetch = graph_prefetch, .text = graph_text,
};
