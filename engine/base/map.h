/* map.h - hash map from bytes to pointers. Keys are copied; values are the caller's.
 *
 * Open addressing, SipHash-1-3 with a key drawn at the first use, so that clients cannot choose colliding keys.
 * Not for detector state: that lives in state/ and hashes without a seed. */
#ifndef CW_BASE_MAP_H
#define CW_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct cw_map;

struct cw_map *cw_map_new(void);
void cw_map_free(struct cw_map **map);
size_t cw_map_count(const struct cw_map *map);

void *cw_map_get(const struct cw_map *map, const void *key, size_t len);   /* NULL: not there */
/* Replaces an older value and returns it, or NULL. `value` must not be NULL. */
void *cw_map_put(struct cw_map *map, const void *key, size_t len, void *value);
void *cw_map_take(struct cw_map *map, const void *key, size_t len);        /* removes and returns it */

/* Walk: start with *at = 0; NULL at the end. The map must not change meanwhile. */
void *cw_map_next(const struct cw_map *map, size_t *at, const void **key, size_t *len);

uint64_t cw_siphash(const void *bytes, size_t len, const uint64_t key[2]);

#endif
