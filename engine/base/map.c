#include "base/map.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

struct slot {
	void *key;      /* NULL: free */
	void *value;
	size_t len;
	uint64_t hash;
};

struct cw_map {
	struct slot *slots;
	size_t count, size;   /* size is a power of two */
};

static uint64_t seed[2];
static bool seeded;

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1]; v[1] = ROTL(v[1], 13); v[1] ^= v[0]; v[0] = ROTL(v[0], 32);
	v[2] += v[3]; v[3] = ROTL(v[3], 16); v[3] ^= v[2];
	v[0] += v[3]; v[3] = ROTL(v[3], 21); v[3] ^= v[0];
	v[2] += v[1]; v[1] = ROTL(v[1], 17); v[1] ^= v[2]; v[2] = ROTL(v[2], 32);
}

/* SipHash-1-3, Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012. */
uint64_t cw_siphash(const void *bytes, size_t len, const uint64_t key[2])
{
	const unsigned char *p = bytes;
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
		              key[1] ^ 0x7465646279746573u };
	uint64_t m, last = (uint64_t)len << 56;
	size_t whole = len & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8) {
		memcpy(&m, p + i, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = whole; i < len; i++)
		last |= (uint64_t)p[i] << (8 * (i - whole));
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t hash_of(const void *key, size_t len)
{
	if (!seeded) {
		if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
			seed[0] = (uint64_t)(uintptr_t)&seeded;
		seeded = true;
	}
	return cw_siphash(key, len, seed);
}

struct cw_map *cw_map_new(void)
{
	struct cw_map *map = cw_zalloc(sizeof(*map));

	map->size = 16;
	map->slots = cw_zalloc(map->size * sizeof(*map->slots));
	return map;
}

void cw_map_free(struct cw_map **map)
{
	struct cw_map *m = *map;

	*map = NULL;
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->size; i++)
		cw_free(m->slots[i].key);
	cw_free(m->slots);
	cw_free(m);
}

size_t cw_map_count(const struct cw_map *map)
{
	return map->count;
}

static struct slot *find(const struct cw_map *map, const void *key, size_t len, uint64_t hash)
{
	size_t i = hash & (map->size - 1);

	while (map->slots[i].key != NULL) {
		struct slot *s = &map->slots[i];

		if (s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0)
			return s;
		i = (i + 1) & (map->size - 1);
	}
	return &map->slots[i];
}

void *cw_map_get(const struct cw_map *map, const void *key, size_t len)
{
	struct slot *s = find(map, key, len, hash_of(key, len));

	return s->key != NULL ? s->value : NULL;
}

static void grow(struct cw_map *map)
{
	struct slot *old = map->slots;
	size_t old_size = map->size;

	map->size *= 2;
	map->slots = cw_zalloc(map->size * sizeof(*map->slots));
	for (size_t i = 0; i < old_size; i++)
		if (old[i].key != NULL)
			*find(map, old[i].key, old[i].len, old[i].hash) = old[i];
	cw_free(old);
}

void *cw_map_put(struct cw_map *map, const void *key, size_t len, void *value)
{
	uint64_t hash = hash_of(key, len);
	struct slot *s = find(map, key, len, hash);
	void *older;

	if (s->key != NULL) {
		older = s->value;
		s->value = value;
		return older;
	}
	*s = (struct slot){ cw_memdup(key, len), value, len, hash };
	map->count++;
	if (map->count * 4 > map->size * 3)
		grow(map);
	return NULL;
}

/* Closes the gap at `i`, so that no probe sequence is broken (Knuth, TAOCP 6.4, algorithm R). */
static void close_gap(struct cw_map *map, size_t i)
{
	size_t mask = map->size - 1;

	for (size_t j = (i + 1) & mask; map->slots[j].key != NULL; j = (j + 1) & mask) {
		size_t home = map->slots[j].hash & mask;

		if (((j - home) & mask) >= ((j - i) & mask)) {
			map->slots[i] = map->slots[j];
			i = j;
		}
	}
	map->slots[i] = (struct slot){ 0 };
}

void *cw_map_take(struct cw_map *map, const void *key, size_t len)
{
	struct slot *s = find(map, key, len, hash_of(key, len));
	void *value;

	if (s->key == NULL)
		return NULL;
	value = s->value;
	cw_free(s->key);
	map->count--;
	close_gap(map, (size_t)(s - map->slots));
	return value;
}

void *cw_map_next(const struct cw_map *map, size_t *at, const void **key, size_t *len)
{
	for (; *at < map->size; (*at)++) {
		const struct slot *s = &map->slots[*at];

		if (s->key == NULL)
			continue;
		if (key != NULL)
			*key = s->key;
		if (len != NULL)
			*len = s->len;
		(*at)++;
		return s->value;
	}
	return NULL;
}
