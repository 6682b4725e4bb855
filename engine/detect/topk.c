/* topk.c - space-saving with a plain array: k is small, and a scan of hashes is cheaper than keeping an order. */
#include "detect/topk.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "detect/keyed.h"

size_t cw_topk_size(uint32_t k)
{
	return sizeof(struct cw_topk) + k * sizeof(struct cw_topk_item);
}

void cw_topk_init(struct cw_state *st, struct cw_topk *s, uint32_t k)
{
	cw_detect_touch(st, s, sizeof(*s) + (size_t)s->used * sizeof(s->item[0]));
	memset(s, 0, sizeof(*s) + (size_t)s->used * sizeof(s->item[0]));
	s->k = k;
}

const struct cw_topk_item *cw_topk_find(const struct cw_topk *s, uint64_t hash)
{
	for (uint32_t i = 0; i < s->used; i++)
		if (s->item[i].hash == hash)
			return &s->item[i];
	return NULL;
}

static struct cw_topk_item *lightest(struct cw_topk *s)
{
	struct cw_topk_item *least = &s->item[0];

	for (uint32_t i = 1; i < s->used; i++)
		if (s->item[i].weight < least->weight)
			least = &s->item[i];
	return least;
}

const struct cw_topk_item *cw_topk_add(struct cw_state *st, struct cw_topk *s, uint64_t hash, double weight)
{
	const struct cw_topk_item *known = cw_topk_find(s, hash);
	struct cw_topk_item *item;

	cw_detect_touch(st, s, sizeof(*s));
	s->total += weight;
	if (known != NULL) {
		item = &s->item[known - s->item];
		cw_detect_touch(st, item, sizeof(*item));
	} else if (s->used < s->k) {
		item = &s->item[s->used++];
		cw_detect_touch(st, item, sizeof(*item));
		*item = (struct cw_topk_item){ .hash = hash };
	} else {
		item = lightest(s);
		cw_detect_touch(st, item, sizeof(*item));
		item->hash = hash;
		item->error = item->weight;
	}
	item->weight += weight;
	return item;
}

uint32_t cw_topk_rank(const struct cw_topk *s, uint64_t hash)
{
	const struct cw_topk_item *item = cw_topk_find(s, hash);
	uint32_t rank = 1;

	if (item == NULL)
		return 0;
	for (uint32_t i = 0; i < s->used; i++)
		rank += s->item[i].weight > item->weight;
	return rank;
}

static int heavier_first(const void *pa, const void *pb)
{
	const struct cw_topk_item *a = pa, *b = pb;

	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

double cw_topk_nth(const struct cw_topk *s, uint32_t i)
{
	struct cw_topk_item sorted[CW_TOPK_MAX];

	if (i < 1 || i > s->used)
		return 0;
	memcpy(sorted, s->item, s->used * sizeof(sorted[0]));
	qsort(sorted, s->used, sizeof(sorted[0]), heavier_first);
	return sorted[i - 1].weight;
}

/* What a thing that is not in `s` may weigh there. */
static double unseen(const struct cw_topk *s)
{
	double least;

	if (s->used < s->k)
		return 0;
	least = s->item[0].weight;
	for (uint32_t i = 1; i < s->used; i++)
		least = s->item[i].weight < least ? s->item[i].weight : least;
	return least;
}

void cw_topk_merge(struct cw_state *st, struct cw_topk *s, const struct cw_topk *from)
{
	struct cw_topk_item all[2 * CW_TOPK_MAX];
	double unseen_s = unseen(s), unseen_from = unseen(from);
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->used; i++) {
		const struct cw_topk_item *other = cw_topk_find(from, s->item[i].hash);

		all[n] = s->item[i];
		all[n].weight += other != NULL ? other->weight : unseen_from;
		all[n++].error += other != NULL ? other->error : unseen_from;
	}
	for (uint32_t i = 0; i < from->used; i++) {
		if (cw_topk_find(s, from->item[i].hash) != NULL)
			continue;
		all[n] = from->item[i];
		all[n].weight += unseen_s;
		all[n++].error += unseen_s;
	}
	qsort(all, n, sizeof(all[0]), heavier_first);
	cw_detect_touch(st, s, cw_topk_size(s->k));
	s->total += from->total;
	s->used = n < s->k ? n : s->k;
	memcpy(s->item, all, s->used * sizeof(all[0]));
}
