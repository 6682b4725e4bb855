/* reservoir.c - the numbers with the smallest tags, in a heap. */
#include "detect/reservoir.h"

#include <math.h>
#include <string.h>

#include "detect/keyed.h"

size_t cw_reservoir_size(uint32_t size)
{
	return sizeof(struct cw_reservoir) + size * sizeof(struct cw_reservoir_item);
}

void cw_reservoir_init(struct cw_state *st, struct cw_reservoir *s, uint32_t size)
{
	cw_detect_touch(st, s, sizeof(*s));
	*s = (struct cw_reservoir){ .size = size };
}

static void write_item(struct cw_state *st, struct cw_reservoir *s, uint32_t at, struct cw_reservoir_item item)
{
	cw_detect_touch(st, &s->item[at], sizeof(item));
	s->item[at] = item;
}

static void sift_up(struct cw_state *st, struct cw_reservoir *s, uint32_t at, struct cw_reservoir_item item)
{
	for (; at > 0 && s->item[(at - 1) / 2].tag < item.tag; at = (at - 1) / 2)
		write_item(st, s, at, s->item[(at - 1) / 2]);
	write_item(st, s, at, item);
}

static void sift_down(struct cw_state *st, struct cw_reservoir *s, struct cw_reservoir_item item)
{
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < s->used) {
		if (child + 1 < s->used && s->item[child + 1].tag > s->item[child].tag)
			child++;
		if (s->item[child].tag <= item.tag)
			break;
		write_item(st, s, at, s->item[child]);
		at = child;
	}
	write_item(st, s, at, item);
}

static void keep(struct cw_state *st, struct cw_reservoir *s, struct cw_reservoir_item item)
{
	if (s->used < s->size)
		sift_up(st, s, s->used++, item);
	else if (item.tag < s->item[0].tag)
		sift_down(st, s, item);
}

void cw_reservoir_add(struct cw_state *st, struct cw_reservoir *s, uint64_t seed, double x)
{
	struct cw_reservoir_item item = { .tag = cw_hash64(&s->count, sizeof(s->count), seed), .x = x };

	cw_detect_touch(st, s, sizeof(*s));
	s->count++;
	keep(st, s, item);
}

double cw_reservoir_rank(const struct cw_reservoir *s, double x)
{
	double below = 0;

	for (uint32_t i = 0; i < s->used; i++)
		below += s->item[i].x < x ? 1 : s->item[i].x == x ? 0.5 : 0;
	return s->used > 0 ? below / s->used : NAN;
}

double cw_reservoir_mean(const struct cw_reservoir *s)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->used; i++)
		sum += s->item[i].x;
	return s->used > 0 ? sum / s->used : NAN;
}

void cw_reservoir_merge(struct cw_state *st, struct cw_reservoir *s, const struct cw_reservoir *from)
{
	cw_detect_touch(st, s, sizeof(*s));
	s->count += from->count;
	for (uint32_t i = 0; i < from->used; i++)
		keep(st, s, from->item[i]);
}
