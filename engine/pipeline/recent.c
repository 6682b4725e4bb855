#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "pipeline/core.h"

/* A ring of keys, oldest overwritten, and a map from key to its place in the ring (+1). */
struct recent {
	struct cw_map *map;
	uint8_t (*keys)[ITEM_KEY];
	bool *used;
	uint32_t limit, head;
};

struct recent *cw_recent_new(uint32_t limit)
{
	struct recent *r = cw_zalloc(sizeof(*r));

	cw_recent_resize(r, limit);
	return r;
}

void cw_recent_free(struct recent **recent)
{
	struct recent *r = *recent;

	*recent = NULL;
	if (r == NULL)
		return;
	cw_map_free(&r->map);
	cw_free(r->keys);
	cw_free(r->used);
	cw_free(r);
}

void cw_recent_resize(struct recent *recent, uint32_t limit)
{
	cw_map_free(&recent->map);
	cw_free(recent->keys);
	cw_free(recent->used);
	recent->map = cw_map_new();
	recent->keys = cw_alloc((size_t)limit * sizeof(*recent->keys));
	recent->used = cw_zalloc((size_t)limit * sizeof(*recent->used));
	recent->limit = limit;
	recent->head = 0;
}

bool cw_recent_has(const struct recent *recent, const uint8_t key[ITEM_KEY])
{
	return cw_map_get(recent->map, key, ITEM_KEY) != NULL;
}

void cw_recent_add(struct recent *recent, const uint8_t key[ITEM_KEY])
{
	uint32_t at = recent->head;

	if (recent->limit == 0 || cw_recent_has(recent, key))
		return;
	if (recent->used[at])
		cw_map_take(recent->map, recent->keys[at], ITEM_KEY);
	memcpy(recent->keys[at], key, ITEM_KEY);
	recent->used[at] = true;
	cw_map_put(recent->map, key, ITEM_KEY, (void *)((uintptr_t)at + 1));
	recent->head = (at + 1) % recent->limit;
}

void cw_recent_remove(struct recent *recent, const uint8_t key[ITEM_KEY])
{
	uintptr_t at = (uintptr_t)cw_map_take(recent->map, key, ITEM_KEY);

	if (at != 0)
		recent->used[at - 1] = false;
}
