/* reservoir.h - a uniform sample of all numbers so far.
 *
 * Every number gets a random tag (a hash of the seed and its position) and the n smallest tags stay: the sample is that
 * of algorithm R (J. S. Vitter, Random sampling with a reservoir, ACM TOMS 11, 1985), needs no generator state, and two
 * samples with different seeds merge by keeping the smallest tags of both. Arena or plain memory (`st` NULL). */
#ifndef CW_DETECT_RESERVOIR_H
#define CW_DETECT_RESERVOIR_H

#include <stddef.h>
#include <stdint.h>

struct cw_state;

#define CW_RESERVOIR_MAX 4096

struct cw_reservoir_item { uint64_t tag; double x; };
struct cw_reservoir {
	uint64_t count;               /* numbers so far */
	uint32_t size, used;
	struct cw_reservoir_item item[];   /* a heap: the largest tag first */
};

size_t cw_reservoir_size(uint32_t size);
void cw_reservoir_init(struct cw_state *st, struct cw_reservoir *s, uint32_t size);
void cw_reservoir_add(struct cw_state *st, struct cw_reservoir *s, uint64_t seed, double x);
/* Share of the sample below x, equal ones by half; NaN when empty. Standard error 0.5 / sqrt(size) at most. */
double cw_reservoir_rank(const struct cw_reservoir *s, double x);
double cw_reservoir_mean(const struct cw_reservoir *s);
void cw_reservoir_merge(struct cw_state *st, struct cw_reservoir *s, const struct cw_reservoir *from);

#endif
