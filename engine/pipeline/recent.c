/* Keys that were committed not long ago: a ring of them, the oldest overwritten, behind a table with open addressing.
 * The table holds the whole hash of each key, so that a look-up of an unknown key touches one line and no key. */
#include <string.h>
#include <sys/random.h>

#include "base/map.h"
#include "base/mem.h"
#include "pipeline/core.h"

struct place {
	uint64_t hash;
	uint32_t at;                     /* in the ring, + 1; 0: free */
};

struct key {
	uint64_t hash;
	uint8_t bytes[ITEM_KEY];
	bool used;
};

struct recent {
	struct place *table;
	struct key *ring;
	uint64_t mask;                   /* of the table: at most half full */
	uint32_t limit, head;
	uint64_t seed[2];                /* hashes come from clients: they must not choose collisions */
};

struct recent *cw_recent_new(uint32_t limit)
{
	struct recent *r = cw_zalloc(sizeof(*r));

	if (getrandom(r->seed, sizeof(r->seed), 0) != (ssize_t)sizeof(r->seed))
		r->seed[0] = (uint64_t)(uintptr_t)r;
	cw_recent_resize(r, limit);
	return r;
}

void cw_recent_free(struct recent **recent)
{
	struct recent *r = *recent;

	*recent = NULL;
	if (r == NULL)
		return;
	cw_free(r->table);
	cw_free(r->ring);
	cw_free(r);
}

void cw_recent_resize(struct recent *recent, uint32_t limit)
{
	uint64_t size = 16;

	while (size < 2 * (uint64_t)limit)
		size *= 2;
	cw_free(recent->table);
	cw_free(recent->ring);
	recent->table = cw_zalloc(size * sizeof(*recent->table));
	recent->ring = cw_zalloc((size_t)limit * sizeof(*recent->ring));
	recent->mask = size - 1;
	recent->limit = limit;
	recent->head = 0;
}

/* Where the key is, or the free place where it would be. */
static struct place *find(const struct recent *r, const uint8_t key[ITEM_KEY], uint64_t hash)
{
	for (uint64_t i = hash & r->mask;; i = (i + 1) & r->mask) {
		struct place *p = &r->table[i];

		if (p->at == 0 || (p->hash == hash && memcmp(r->ring[p->at - 1].bytes, key, ITEM_KEY) == 0))
			return p;
	}
}

/* Closes the gap, so that no probe sequence is broken (Knuth, TAOCP 6.4, algorithm R). */
static void remove_place(struct recent *r, struct place *p)
{
	uint64_t i = (uint64_t)(p - r->table);

	r->ring[p->at - 1].used = false;
	for (uint64_t j = (i + 1) & r->mask; r->table[j].at != 0; j = (j + 1) & r->mask) {
		uint64_t home = r->table[j].hash & r->mask;

		if (((j - home) & r->mask) >= ((j - i) & r->mask)) {
			r->table[i] = r->table[j];
			i = j;
		}
	}
	r->table[i] = (struct place){ 0 };
}

bool cw_recent_has(const struct recent *recent, const uint8_t key[ITEM_KEY])
{
	return find(recent, key, cw_siphash(key, ITEM_KEY, recent->seed))->at != 0;
}

void cw_recent_add(struct recent *recent, const uint8_t key[ITEM_KEY])
{
	uint64_t hash = cw_siphash(key, ITEM_KEY, recent->seed);
	struct key *oldest;
	struct place *p;

	if (recent->limit == 0 || find(recent, key, hash)->at != 0)
		return;
	oldest = &recent->ring[recent->head];
	if (oldest->used)
		remove_place(recent, find(recent, oldest->bytes, oldest->hash));
	p = find(recent, key, hash);             /* removing has moved places */
	*p = (struct place){ hash, recent->head + 1 };
	oldest->hash = hash;
	memcpy(oldest->bytes, key, ITEM_KEY);
	oldest->used = true;
	recent->head = (recent->head + 1) % recent->limit;
}

void cw_recent_remove(struct recent *recent, const uint8_t key[ITEM_KEY])
{
	struct place *p = find(recent, key, cw_siphash(key, ITEM_KEY, recent->seed));

	if (p->at != 0)
		remove_place(recent, p);
}
