/* rng.h - the random numbers of detectors that are trained: small, fast, the same on every machine for the same seed.
 *
 * xoshiro256++ (D. Blackman, S. Vigna, Scrambled linear pseudorandom number generators, ACM TOMS 47, 2021), seeded
 * through SplitMix64. Not for secrets. */
#ifndef CW_DETECT_RNG_H
#define CW_DETECT_RNG_H

#include <stdint.h>

struct cw_rng { uint64_t s[4]; };

static inline void cw_rng_init(struct cw_rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15ull;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
		rng->s[i] = z ^ (z >> 31);
	}
}

static inline uint64_t cw_rng_next(struct cw_rng *rng)
{
	uint64_t *s = rng->s, sum = s[0] + s[3], result = ((sum << 23) | (sum >> 41)) + s[0], t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/* 0 <= result < n, 1 <= n < 2^32; each equally likely but for 2^-32 (D. Lemire, ACM TOMACS 29, 2019). */
static inline uint32_t cw_rng_below(struct cw_rng *rng, uint32_t n)
{
	return (uint32_t)(((cw_rng_next(rng) >> 32) * n) >> 32);
}

static inline double cw_rng_uniform(struct cw_rng *rng)   /* [0, 1) */
{
	return (double)(cw_rng_next(rng) >> 11) * 0x1p-53;
}

#endif
