/* hll.h - how many different things were seen, in a few kilobytes.
 *
 * HyperLogLog (P. Flajolet and others, AofA 2007) with 2^bits registers of 8 bits. While a sketch is filled directly
 * its estimate is the historic inverse probability sum (E. Cohen, All-distances sketches, revisited, PODS 2014; D.
 * Ting, Streamed approximate counting of distinct elements, KDD 2014): relative standard error 0.833 / sqrt(2^bits).
 * After a merge it is O. Ertl's estimator from the registers (New cardinality estimation algorithms for HyperLogLog
 * sketches, 2017): 1.039 / sqrt(2^bits), from one to 2^60 without tables. Lives in the arena or in plain memory (`st`
 * NULL). */
#ifndef CW_DETECT_HLL_H
#define CW_DETECT_HLL_H

#include <stddef.h>
#include <stdint.h>

struct cw_state;

#define CW_HLL_BITS_MIN 4
#define CW_HLL_BITS_MAX 16

struct cw_hll {
	double hip;                   /* sum of inverse probabilities */
	double room;                  /* sum of 2^-register: chance that a new thing changes one, times the registers */
	uint32_t bits;
	uint32_t merged;              /* not 0: hip means nothing any more */
	uint8_t reg[];
};

size_t cw_hll_size(uint32_t bits);
/* Empties `size` bytes, whatever is in them. */
void cw_hll_init(struct cw_state *st, struct cw_hll *s, uint32_t bits);
void cw_hll_add(struct cw_state *st, struct cw_hll *s, uint64_t hash);
double cw_hll_count(const struct cw_hll *s);
/* From the registers only: what a merged sketch says. */
double cw_hll_count_registers(const struct cw_hll *s);
/* The union; both have the same bits. */
void cw_hll_merge(struct cw_state *st, struct cw_hll *s, const struct cw_hll *from);

#endif
