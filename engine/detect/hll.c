/* hll.c - HyperLogLog. */
#include "detect/hll.h"

#include <math.h>
#include <string.h>

#include "detect/keyed.h"

size_t cw_hll_size(uint32_t bits)
{
	return sizeof(struct cw_hll) + ((size_t)1 << bits);
}

void cw_hll_init(struct cw_state *st, struct cw_hll *s, uint32_t bits)
{
	cw_detect_touch(st, s, cw_hll_size(bits));
	memset(s, 0, cw_hll_size(bits));
	s->bits = bits;
	s->room = (double)(1u << bits);
}

/* 2^-n for n in 0 to 63, exactly. */
static double power(uint8_t n)
{
	return 1.0 / (double)(1ull << n);
}

void cw_hll_add(struct cw_state *st, struct cw_hll *s, uint64_t hash)
{
	uint64_t at = hash >> (64 - s->bits);
	/* the low bit ends the run of zeros at the latest */
	uint8_t rank = (uint8_t)(__builtin_clzll(hash << s->bits | 1ull << (s->bits - 1)) + 1);

	if (rank <= s->reg[at])
		return;
	cw_detect_touch(st, s, sizeof(*s));
	cw_detect_touch(st, &s->reg[at], 1);
	s->hip += (double)(1u << s->bits) / s->room;
	s->room += power(rank) - power(s->reg[at]);
	s->reg[at] = rank;
}

/* Ertl, section 2.3: the share of empty registers. */
static double sigma(double x)
{
	double y = 1, z = x, last;

	if (x == 1)
		return INFINITY;
	do {
		x *= x;
		last = z;
		z += x * y;
		y += y;
	} while (z != last);
	return z;
}

/* The same for registers at their limit. */
static double tau(double x)
{
	double y = 1, z = 1 - x, last;

	if (x == 0 || x == 1)
		return 0;
	do {
		x = sqrt(x);
		last = z;
		y /= 2;
		z -= (1 - x) * (1 - x) * y;
	} while (z != last);
	return z / 3;
}

double cw_hll_count_registers(const struct cw_hll *s)
{
	uint32_t n[66] = { 0 }, m = 1u << s->bits, top = 64 - s->bits;
	double z;

	for (uint32_t i = 0; i < m; i++)
		n[s->reg[i]]++;
	z = m * tau(1 - (double)n[top + 1] / m);
	for (uint32_t k = top; k >= 1; k--)
		z = 0.5 * (z + n[k]);
	z += m * sigma((double)n[0] / m);
	return (double)m * m / (2 * 0.69314718055994531) / z;
}

double cw_hll_count(const struct cw_hll *s)
{
	return s->merged == 0 ? s->hip : cw_hll_count_registers(s);
}

void cw_hll_merge(struct cw_state *st, struct cw_hll *s, const struct cw_hll *from)
{
	cw_detect_touch(st, s, cw_hll_size(s->bits));
	s->merged = 1;
	s->room = 0;
	for (uint32_t i = 0; i < 1u << s->bits; i++) {
		if (from->reg[i] > s->reg[i])
			s->reg[i] = from->reg[i];
		s->room += power(s->reg[i]);
	}
}
