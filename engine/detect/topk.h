/* topk.h - the heaviest of many things, with what they weigh.
 *
 * Space-saving (A. Metwally, D. Agrawal, A. El Abbadi, ICDT 2005): k counters; a thing without one takes that of the
 * lightest and inherits its weight as possible error. Everything heavier than total / k is among them, and no weight is
 * too small nor too large by more than its error <= total / k. Merging: P. Agarwal and others, Mergeable summaries,
 * PODS 2012. Lives in the arena or in plain memory (`st` NULL). */
#ifndef CW_DETECT_TOPK_H
#define CW_DETECT_TOPK_H

#include <stddef.h>
#include <stdint.h>

struct cw_state;

#define CW_TOPK_MAX 1024

struct cw_topk_item { uint64_t hash; double weight, error; };
struct cw_topk {
	double total;
	uint32_t k, used;
	struct cw_topk_item item[];   /* in no order */
};

size_t cw_topk_size(uint32_t k);
/* Empties it. */
void cw_topk_init(struct cw_state *st, struct cw_topk *s, uint32_t k);
/* weight > 0. Returns the thing's item. */
const struct cw_topk_item *cw_topk_add(struct cw_state *st, struct cw_topk *s, uint64_t hash, double weight);
/* NULL: not among the k. */
const struct cw_topk_item *cw_topk_find(const struct cw_topk *s, uint64_t hash);
/* 1: the heaviest; 0: not among the k. Ties share the better rank. */
uint32_t cw_topk_rank(const struct cw_topk *s, uint64_t hash);
/* Weight of the i-th heaviest, 1 to used; 0 beyond. */
double cw_topk_nth(const struct cw_topk *s, uint32_t i);
void cw_topk_merge(struct cw_state *st, struct cw_topk *s, const struct cw_topk *from);

#endif
