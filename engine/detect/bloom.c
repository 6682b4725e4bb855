/* bloom.c - blocked Bloom filter. */
#include "detect/bloom.h"

#include <math.h>

#include "detect/keyed.h"
#include "detect/num.h"

#define LINE_BITS 512

/* Rate of false yes when lines hold `load` things on average and each sets `bits`: lines are Poisson filled. */
static double rate(double load, uint32_t bits)
{
	double p = cw_exp(-load), total = 0;
	int last = (int)(load + 10 * sqrt(load) + 10);

	for (int n = 1; n <= last; n++) {
		double set;

		p *= load / n;
		set = 1 - cw_exp(n * (double)bits * cw_ln(1 - 1.0 / LINE_BITS));
		total += p * cw_pow(set, bits);
	}
	return total;
}

struct cw_bloom_conf cw_bloom_plan(double capacity, double error)
{
	struct cw_bloom_conf best = { 0, 0 };

	for (uint32_t bits = 1; bits <= 16; bits++) {
		double lo = 0.01, hi = LINE_BITS, lines;

		for (int i = 0; i < 40; i++) {
			double mid = (lo + hi) / 2;

			if (rate(mid, bits) <= error)
				lo = mid;
			else
				hi = mid;
		}
		lines = ceil(capacity / lo);
		if (lines >= 1 && lines < 4e9 && (best.lines == 0 || (uint32_t)lines < best.lines))
			best = (struct cw_bloom_conf){ (uint32_t)lines, bits };
	}
	return best;
}

/* Line by the upper half of the hash; bits by nine at a time of a second hash. */
static uint32_t line_of(const struct cw_bloom_conf *conf, uint64_t hash)
{
	return (uint32_t)((hash >> 32) * conf->lines >> 32);
}

static void bits_of(const struct cw_bloom_conf *conf, uint64_t hash, uint64_t mask[8])
{
	uint64_t source = hash;

	for (int i = 0; i < 8; i++)
		mask[i] = 0;
	for (uint32_t i = 0; i < conf->bits; i++) {
		uint32_t bit;

		if (i % 7 == 0)
			source = cw_hash64(&hash, sizeof(hash), i + 1);
		bit = (uint32_t)(source & (LINE_BITS - 1));
		source >>= 9;
		mask[bit / 64] |= 1ull << (bit % 64);
	}
}

static bool covers(const struct cw_bloom_line *line, const uint64_t mask[8])
{
	uint64_t missing = 0;

	for (int i = 0; i < 8; i++)
		missing |= mask[i] & ~line->w[i];
	return missing == 0;
}

bool cw_bloom_has(const struct cw_bloom_line *s, const struct cw_bloom_conf *conf, uint64_t hash)
{
	uint64_t mask[8];

	bits_of(conf, hash, mask);
	return covers(&s[line_of(conf, hash)], mask);
}

bool cw_bloom_add(struct cw_state *st, struct cw_bloom_line *s, const struct cw_bloom_conf *conf, uint64_t hash)
{
	struct cw_bloom_line *line = &s[line_of(conf, hash)];
	uint64_t mask[8];

	bits_of(conf, hash, mask);
	if (covers(line, mask))
		return true;
	cw_detect_touch(st, line, sizeof(*line));
	for (int i = 0; i < 8; i++)
		line->w[i] |= mask[i];
	return false;
}

void cw_bloom_merge(struct cw_state *st, struct cw_bloom_line *s, const struct cw_bloom_line *from,
                    const struct cw_bloom_conf *conf)
{
	cw_detect_touch(st, s, conf->lines * sizeof(*s));
	for (uint32_t i = 0; i < conf->lines; i++)
		for (int j = 0; j < 8; j++)
			s[i].w[j] |= from[i].w[j];
}
