/* Linear hashing over entries in slabs. All numbers of entries are "number + 1" where 0 means none.
 *
 *   head --> segments[] --> buckets (1024 a segment): first entry of the chain, its hash, is it the only one
 *        \-> slabs[]    --> entries (up to 1024 a slab): next, hash, key, time, value
 *
 * What a bucket says of its first entry saves lines: that a key is not there, and how a bucket splits, is mostly known from
 * the buckets alone. Both directories double when full; segments and slabs never move. Small dictionaries get small ones. */
#include "state/dict.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#define DICT_MAGIC  0x43445743u
#define LIVE        0x80000000u   /* set in the hash of an entry in use */
#define MORE        0x80000000u   /* in the number of a bucket: the chain has more entries than this one */
#define PREFETCH_BYTES 256u       /* of an entry */
#define WIDE_BUCKETS (1u << 19)
#define HAND        8u            /* entries that compete for an eviction */
#define REVIEW      1024u         /* transactions after which prefetching is looked at */
#define PAYS        8u            /* it pays where one of so many transactions looks its key up */
#define MAX_VALUE   (1u << 20)
#define MAX_KEYS    (1u << 30)
#define FULL_SHIFT  10u           /* 1024 buckets a segment, at most as many entries a slab */
#define SLAB_BYTES  (64u << 10)   /* of larger entries fewer, so that one slab is never a stall */

struct dict_head {                /* one line: an insert logs it once */
	uint32_t magic;
	uint32_t value_size, max_keys, owner;
	uint32_t entry_bytes;
	uint16_t slab_shift, segment_shift;
	uint32_t count, buckets, hand;
	uint32_t high;                /* entries ever used */
	uint32_t free;                /* first of the removed ones */
	cw_ref slabs, segments;       /* directories */
	uint32_t slabs_cap, segments_cap;
	uint32_t spare;
};
_Static_assert(sizeof(struct dict_head) == 64, "one line");

struct bucket {
	uint32_t first;               /* with MORE */
	uint32_t hash;                /* of the first entry; 0: none */
};

struct entry {
	uint32_t next;
	uint32_t hash;                /* 0: removed, `next` is the next free one */
	struct cw_dict_key key;
	int64_t time;
	uint8_t value[];
};
_Static_assert(sizeof(struct entry) == 40, "24 bytes of value share the line");

/* What is on its way, and whether it is worth it. Of this process, not of the state. */
struct ahead {
	uint32_t asked, used;         /* since the last review: transactions, look-ups */
	bool pays;
	uint32_t hash[CW_DICT_AHEAD]; /* by slot; 0: nothing is on its way */
};

struct cw_dict {
	struct cw_state *st;
	struct dict_head *head;
	struct ahead *ahead;
	uint64_t seed;
	bool touch_parts;
	cw_dict_evict_fn *evict;
	void *evict_arg;
};

/* ---------------------------------------------------------------- places */

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Multiply and fold over the three words of the key; the constants are odd digits of pi. */
static inline uint32_t hash_of(const struct cw_dict *dict, const struct cw_dict_key *key)
{
	uint64_t w[3], h;

	memcpy(w, key->b, sizeof(w));
	h = fold(w[0] ^ 0x243f6a8885a308d3ull ^ dict->seed, w[1] ^ 0x13198a2e03707345ull);
	h = fold(h ^ w[2], dict->seed ^ 0xa4093822299f31d1ull);
	h = fold(h ^ 0x082efa98ec4e6c89ull, 0x452821e638d01377ull);
	return (uint32_t)(h ^ (h >> 32)) | LIVE;
}

static inline uint32_t bucket_of(uint32_t buckets, uint32_t hash)
{
	uint32_t mask = buckets > 1 ? (1u << (32 - __builtin_clz(buckets - 1))) - 1 : 0;
	uint32_t bucket = hash & ~LIVE & mask;

	return bucket < buckets ? bucket : bucket & (mask >> 1);
}

static inline struct bucket *bucket_at(const struct cw_dict *dict, uint32_t bucket)
{
	const struct dict_head *head = dict->head;
	const cw_ref *dir = cw_state_ptr(dict->st, head->segments);
	struct bucket *segment = cw_state_ptr(dict->st, dir[bucket >> head->segment_shift]);

	return &segment[bucket & ((1u << head->segment_shift) - 1)];
}

static inline struct entry *entry_at(const struct cw_dict *dict, uint32_t number)
{
	const struct dict_head *head = dict->head;
	const cw_ref *dir = cw_state_ptr(dict->st, head->slabs);
	uint8_t *slab = cw_state_ptr(dict->st, dir[number >> head->slab_shift]);
	size_t offset = (size_t)(number & ((1u << head->slab_shift) - 1)) * head->entry_bytes;

	return (struct entry *)(void *)(slab + offset);
}

static inline bool same_key(const struct cw_dict_key *a, const struct cw_dict_key *b)
{
	return memcmp(a->b, b->b, CW_DICT_KEY) == 0;
}

static inline struct entry *look_up(const struct cw_dict *dict, const struct cw_dict_key *key, uint32_t hash)
{
	const struct bucket *bucket = bucket_at(dict, bucket_of(dict->head->buckets, hash));
	uint32_t id = bucket->first & ~MORE;

	dict->ahead->used++;
	if (bucket->hash != hash && (bucket->first & MORE) == 0)
		return NULL;
	while (id != 0) {
		struct entry *entry = entry_at(dict, id - 1);

		if (entry->hash == hash && same_key(&entry->key, key))
			return entry;
		id = entry->next;
	}
	return NULL;
}

/* ---------------------------------------------------------------- open, drop */

static uint16_t shift_for(uint32_t n)
{
	return n > 1 ? (uint16_t)(32 - __builtin_clz(n - 1)) : 0;
}

static void plan_head(struct dict_head *head, const struct cw_dict_conf *conf)
{
	uint16_t shift;

	head->magic = DICT_MAGIC;
	head->value_size = conf->value_size;
	head->max_keys = conf->max_keys;
	head->owner = conf->owner;
	head->entry_bytes = (uint32_t)(sizeof(struct entry) + conf->value_size + 63) / 64 * 64;
	shift = shift_for(conf->max_keys);
	head->segment_shift = shift < FULL_SHIFT ? shift : FULL_SHIFT;
	head->slab_shift = head->segment_shift;
	while (head->slab_shift > 0 && ((size_t)head->entry_bytes << head->slab_shift) > SLAB_BYTES)
		head->slab_shift--;
}

static size_t segment_bytes(const struct dict_head *head)
{
	return sizeof(struct bucket) << head->segment_shift;
}

static size_t slab_bytes(const struct dict_head *head)
{
	return (size_t)head->entry_bytes << head->slab_shift;
}

/* Appends one block to a directory. All or nothing. */
static bool append_block(struct cw_dict *dict, cw_ref *dir, uint32_t *cap, uint32_t used, size_t bytes)
{
	struct dict_head *head = dict->head;
	cw_ref block, *list;

	if (used == *cap) {
		uint32_t wider = *cap > 0 ? *cap * 2 : 4;
		cw_ref copy = cw_state_try_alloc(dict->st, head->owner, wider * sizeof(cw_ref));

		if (copy == 0)
			return false;
		list = cw_state_ptr(dict->st, copy);
		cw_state_touch(dict->st, list, used * sizeof(cw_ref));
		if (used > 0)
			memcpy(list, cw_state_ptr(dict->st, *dir), used * sizeof(cw_ref));
		cw_state_free(dict->st, head->owner, *dir, *cap * sizeof(cw_ref));
		cw_state_touch(dict->st, head, sizeof(*head));
		*dir = copy;
		*cap = wider;
	}
	block = cw_state_try_alloc(dict->st, head->owner, bytes);
	if (block == 0)
		return false;
	list = cw_state_ptr(dict->st, *dir);
	cw_state_touch(dict->st, &list[used], sizeof(cw_ref));
	list[used] = block;
	return true;
}

static bool add_segment(struct cw_dict *dict, uint32_t used)
{
	struct dict_head *head = dict->head;

	return append_block(dict, &head->segments, &head->segments_cap, used, segment_bytes(head));
}

static bool add_slab(struct cw_dict *dict, uint32_t used)
{
	struct dict_head *head = dict->head;

	return append_block(dict, &head->slabs, &head->slabs_cap, used, slab_bytes(head));
}

static void free_directory(struct cw_dict *dict, cw_ref dir, uint32_t cap, uint32_t used, size_t bytes)
{
	const cw_ref *list = cw_state_ptr(dict->st, dir);
	uint32_t owner = dict->head->owner;

	for (uint32_t i = 0; i < used; i++)
		cw_state_free(dict->st, owner, list[i], bytes);
	cw_state_free(dict->st, owner, dir, cap * sizeof(cw_ref));
}

static uint32_t blocks_for(uint32_t n, uint16_t shift)
{
	return (uint32_t)(((uint64_t)n + (1ull << shift) - 1) >> shift);
}

static void free_parts(struct cw_dict *dict)
{
	struct dict_head *head = dict->head;
	uint32_t owner = head->owner;

	free_directory(dict, head->slabs, head->slabs_cap, blocks_for(head->high, head->slab_shift), slab_bytes(head));
	free_directory(dict, head->segments, head->segments_cap, blocks_for(head->buckets, head->segment_shift),
	               segment_bytes(head));
	cw_state_free(dict->st, owner, cw_state_ref(dict->st, head), sizeof(*head));
	dict->head = NULL;
}

static int no_memory(const struct cw_dict_conf *conf, struct cw_err *err)
{
	return cw_err_set(err, CW_ERR_BUSY, "could not make a dictionary: no memory left for owner %" PRIu32, conf->owner);
}

static int make_head(struct cw_dict *dict, const struct cw_dict_conf *conf, cw_ref *root, struct cw_err *err)
{
	cw_ref ref = cw_state_alloc(dict->st, conf->owner, sizeof(struct dict_head));

	if (ref == 0)
		return no_memory(conf, err);
	dict->head = cw_state_ptr(dict->st, ref);
	cw_state_touch(dict->st, dict->head, sizeof(*dict->head));
	plan_head(dict->head, conf);
	if (!add_segment(dict, 0)) {
		free_parts(dict);
		return no_memory(conf, err);
	}
	dict->head->buckets = 1;
	cw_state_touch(dict->st, root, sizeof(*root));
	*root = ref;
	return 0;
}

static int find_head(struct cw_dict *dict, const struct cw_dict_conf *conf, cw_ref root, struct cw_err *err)
{
	const struct dict_head *head;

	if (root % 4 != 0 || (size_t)root * 16 + sizeof(*head) > cw_state_used(dict->st))
		return cw_err_set(err, CW_ERR_INTERNAL, "no dictionary at %" PRIu32, root);
	head = cw_state_ptr(dict->st, root);
	if (head->magic != DICT_MAGIC)
		return cw_err_set(err, CW_ERR_INTERNAL, "no dictionary at %" PRIu32, root);
	if (head->value_size != conf->value_size || head->max_keys != conf->max_keys || head->owner != conf->owner)
		return cw_err_set(err, CW_ERR_INVALID,
		                  "dictionary was made with value_size %" PRIu32 ", max_keys %" PRIu32 ", owner %" PRIu32
		                  ", not %" PRIu32 ", %" PRIu32 ", %" PRIu32,
		                  head->value_size, head->max_keys, head->owner, conf->value_size, conf->max_keys, conf->owner);
	dict->head = cw_state_ptr(dict->st, root);
	return 0;
}

struct cw_dict *cw_dict_open(struct cw_state *st, const struct cw_dict_conf *conf, cw_ref *root, struct cw_err *err)
{
	struct cw_dict *dict;

	if (conf->value_size > MAX_VALUE || conf->max_keys < 1 || conf->max_keys > MAX_KEYS ||
	    conf->owner >= CW_STATE_OWNERS) {
		cw_err_set(err, CW_ERR_INVALID,
		           "dictionary of %" PRIu32 " keys with values of %" PRIu32 " bytes for owner %" PRIu32
		           ": must be 1 to 2^30 keys, up to 1 MiB, owner below %d",
		           conf->max_keys, conf->value_size, conf->owner, CW_STATE_OWNERS);
		return NULL;
	}
	dict = cw_zalloc(sizeof(*dict));
	dict->ahead = cw_zalloc(sizeof(*dict->ahead));
	dict->ahead->pays = true;
	dict->st = st;
	dict->seed = cw_state_hash_seed(st);
	dict->touch_parts = conf->touch_parts;
	dict->evict = conf->evict;
	dict->evict_arg = conf->evict_arg;
	if ((*root == 0 ? make_head(dict, conf, root, err) : find_head(dict, conf, *root, err)) != 0)
		cw_dict_close(&dict);
	return dict;
}

void cw_dict_close(struct cw_dict **dict)
{
	if (*dict != NULL)
		cw_free((*dict)->ahead);
	cw_free(*dict);
	*dict = NULL;
}

void cw_dict_drop(struct cw_dict **dict, cw_ref *root)
{
	struct cw_dict *d = *dict;
	uint32_t at = 0, owner = d->head->owner, count = d->head->count;
	void *value;

	if (d->evict != NULL)
		while (cw_dict_next(d, &at, NULL, &value, NULL))
			d->evict(d->st, owner, value, d->evict_arg);
	free_parts(d);
	cw_state_count(d->st, owner, -(int64_t)count, 0);
	cw_state_touch(d->st, root, sizeof(*root));
	*root = 0;
	cw_dict_close(dict);
}

/* ---------------------------------------------------------------- find, insert, evict */

uint32_t cw_dict_count(const struct cw_dict *dict)
{
	return dict->head->count;
}

void *cw_dict_find(const struct cw_dict *dict, const struct cw_dict_key *key)
{
	struct entry *entry = look_up(dict, key, hash_of(dict, key));

	return entry != NULL ? entry->value : NULL;
}

int64_t cw_dict_time(const void *value)
{
	return ((const struct entry *)(const void *)((const uint8_t *)value - sizeof(struct entry)))->time;
}

const struct cw_dict_key *cw_dict_key_of(const void *value)
{
	return &((const struct entry *)(const void *)((const uint8_t *)value - sizeof(struct entry)))->key;
}

/* Makes the entry `id` (0: none) the first of the bucket. */
static void set_first(struct cw_dict *dict, struct bucket *bucket, uint32_t id)
{
	const struct entry *entry = id != 0 ? entry_at(dict, id - 1) : NULL;

	cw_state_touch(dict->st, bucket, sizeof(*bucket));
	bucket->first = entry != NULL && entry->next != 0 ? id | MORE : id;
	bucket->hash = entry != NULL ? entry->hash : 0;
}

/* Takes the entry out of its chain and tells the owner of its value. */
static void unlink_entry(struct cw_dict *dict, uint32_t number)
{
	struct entry *entry = entry_at(dict, number), *before = NULL;
	struct bucket *bucket = bucket_at(dict, bucket_of(dict->head->buckets, entry->hash));
	uint32_t first = bucket->first & ~MORE, id = first;

	while (id != number + 1) {
		cw_assert(id != 0);
		before = entry_at(dict, id - 1);
		id = before->next;
	}
	if (dict->evict != NULL)
		dict->evict(dict->st, dict->head->owner, entry->value, dict->evict_arg);
	if (before != NULL) {
		cw_state_touch(dict->st, &before->next, sizeof(before->next));
		before->next = entry->next;
		set_first(dict, bucket, first);
	} else {
		set_first(dict, bucket, entry->next);
	}
	cw_state_touch(dict->st, dict->head, sizeof(*dict->head));
	dict->head->count--;
}

/* The number of an entry that is now nobody's. The caller makes sure that there are entries. */
static uint32_t evict_oldest(struct cw_dict *dict)
{
	struct dict_head *head = dict->head;
	uint32_t best = UINT32_MAX, number = head->hand < head->high ? head->hand : 0;
	int64_t best_time = 0;

	/* Removed entries do not compete; they are only met when the caller evicts below the limit. */
	for (uint32_t seen = 0, steps = 0; seen < HAND && steps < head->high; steps++) {
		const struct entry *entry = entry_at(dict, number);

		if (entry->hash != 0) {
			if (best == UINT32_MAX || entry->time < best_time || (entry->time == best_time && number < best)) {
				best = number;
				best_time = entry->time;
			}
			seen++;
		}
		number = number + 1 < head->high ? number + 1 : 0;
	}
	cw_assert(best != UINT32_MAX);
	cw_state_touch(dict->st, head, sizeof(*head));
	head->hand = number;
	unlink_entry(dict, best);
	cw_state_count(dict->st, head->owner, -1, 1);
	return best;
}

/* A number for a new entry; UINT32_MAX when there is no memory and nothing to evict. */
static uint32_t take_number(struct cw_dict *dict)
{
	struct dict_head *head = dict->head;
	uint32_t number;

	if (head->count >= head->max_keys)
		return evict_oldest(dict);
	if (head->free != 0) {
		number = head->free - 1;
		cw_state_touch(dict->st, head, sizeof(*head));
		head->free = entry_at(dict, number)->next;
		return number;
	}
	if ((head->high & ((1u << head->slab_shift) - 1)) == 0 && !add_slab(dict, head->high >> head->slab_shift))
		return head->count > 0 ? evict_oldest(dict) : UINT32_MAX;
	cw_state_touch(dict->st, head, sizeof(*head));
	return head->high++;
}

/* Sorts a chain into two, in order; `heads` are the first entries of the lower and the upper half. */
static void split_chain(struct cw_dict *dict, uint32_t id, uint32_t fresh, uint32_t heads[2])
{
	uint32_t *tails[2] = { &heads[0], &heads[1] };

	heads[0] = heads[1] = 0;
	while (id != 0) {
		struct entry *entry = entry_at(dict, id - 1);
		uint32_t half = bucket_of(fresh + 1, entry->hash) == fresh;

		if (*tails[half] != id) {
			if (tails[half] != &heads[half])
				cw_state_touch(dict->st, tails[half], sizeof(uint32_t));
			*tails[half] = id;
		}
		tails[half] = &entry->next;
		id = entry->next;
	}
	for (int half = 0; half < 2; half++)
		if (*tails[half] != 0) {
			cw_state_touch(dict->st, tails[half], sizeof(uint32_t));
			*tails[half] = 0;
		}
}

/* Moves one bucket's upper half into a new one. Without memory the chains just grow longer. */
static void split_bucket(struct cw_dict *dict)
{
	struct dict_head *head = dict->head;
	uint32_t fresh = head->buckets, heads[2];
	struct bucket *from, *high;

	if ((fresh & ((1u << head->segment_shift) - 1)) == 0 && !add_segment(dict, fresh >> head->segment_shift))
		return;
	cw_state_touch(dict->st, head, sizeof(*head));
	head->buckets = fresh + 1;
	from = bucket_at(dict, bucket_of(fresh, fresh));
	high = bucket_at(dict, fresh);
	if ((from->first & MORE) == 0) {
		if (from->first == 0 || bucket_of(fresh + 1, from->hash) != fresh)
			return;
		cw_state_touch(dict->st, from, sizeof(*from));
		cw_state_touch(dict->st, high, sizeof(*high));
		*high = *from;
		*from = (struct bucket){ 0 };
		return;
	}
	split_chain(dict, from->first & ~MORE, fresh, heads);
	set_first(dict, from, heads[0]);
	set_first(dict, high, heads[1]);
}

/* The chain that is split at the next insertion but one, and the second entry of that at the next: by then they are at
 * hand. */
static void prefetch_splits(const struct cw_dict *dict)
{
	const uint32_t buckets = dict->head->buckets;
	const struct bucket *next = bucket_at(dict, bucket_of(buckets, buckets));
	const struct bucket *second = bucket_at(dict, bucket_of(buckets + 1, buckets + 1));

	if ((second->first & MORE) != 0)
		__builtin_prefetch(entry_at(dict, (second->first & ~MORE) - 1));
	if ((next->first & MORE) != 0)
		__builtin_prefetch(entry_at(dict, entry_at(dict, (next->first & ~MORE) - 1)->next - 1));
}

/* Two for each entry, so that chains are short; one in large dictionaries, where their memory counts. */
static bool wants_buckets(const struct dict_head *head)
{
	return head->buckets < (head->buckets < WIDE_BUCKETS ? head->count * 2u : head->count);
}

static void *insert(struct cw_dict *dict, const struct cw_dict_key *key, uint32_t hash, int64_t now)
{
	struct dict_head *head = dict->head;
	uint32_t number = take_number(dict);
	struct entry *entry;
	struct bucket *bucket;

	if (number == UINT32_MAX)
		return NULL;
	entry = entry_at(dict, number);
	bucket = bucket_at(dict, bucket_of(head->buckets, hash));
	cw_state_touch(dict->st, entry, head->entry_bytes);
	memset(entry, 0, head->entry_bytes);
	entry->next = bucket->first & ~MORE;
	entry->hash = hash;
	entry->key = *key;
	entry->time = now;
	cw_state_touch(dict->st, bucket, sizeof(*bucket));
	*bucket = (struct bucket){ .first = (number + 1) | (entry->next != 0 ? MORE : 0), .hash = hash };
	cw_state_touch(dict->st, head, sizeof(*head));
	head->count++;
	cw_state_count(dict->st, head->owner, 1, 0);
	for (int i = 0; i < 2 && wants_buckets(head); i++)
		split_bucket(dict);
	prefetch_splits(dict);
	return entry->value;
}

void *cw_dict_upsert(struct cw_dict *dict, const struct cw_dict_key *key, int64_t now, bool *created)
{
	uint32_t hash = hash_of(dict, key);
	struct entry *entry = look_up(dict, key, hash);

	if (created != NULL)
		*created = entry == NULL;
	if (entry == NULL)
		return insert(dict, key, hash, now);
	if (dict->touch_parts) {
		if (now > entry->time)
			cw_state_touch(dict->st, &entry->time, sizeof(entry->time));
	} else {
		cw_state_touch(dict->st, entry, sizeof(*entry) + dict->head->value_size);
	}
	if (now > entry->time)
		entry->time = now;
	return entry->value;
}

/* Puts a number that is in no chain on the list of free ones. */
static void put_number(struct cw_dict *dict, uint32_t number)
{
	struct dict_head *head = dict->head;
	struct entry *entry = entry_at(dict, number);

	cw_state_touch(dict->st, entry, sizeof(*entry));
	entry->hash = 0;
	entry->next = head->free;
	cw_state_touch(dict->st, head, sizeof(*head));
	head->free = number + 1;
}

bool cw_dict_remove(struct cw_dict *dict, const struct cw_dict_key *key)
{
	uint32_t hash = hash_of(dict, key);
	uint32_t id = bucket_at(dict, bucket_of(dict->head->buckets, hash))->first & ~MORE;

	while (id != 0) {
		const struct entry *entry = entry_at(dict, id - 1);

		if (entry->hash == hash && same_key(&entry->key, key))
			break;
		id = entry->next;
	}
	if (id == 0)
		return false;
	unlink_entry(dict, id - 1);
	put_number(dict, id - 1);
	cw_state_count(dict->st, dict->head->owner, -1, 0);
	return true;
}

bool cw_dict_evict(struct cw_dict *dict)
{
	if (dict->head->count == 0)
		return false;
	put_number(dict, evict_oldest(dict));
	return true;
}

/* ---------------------------------------------------------------- prefetch, walk */

static void prefetch_entry(const struct cw_dict *dict, const struct entry *entry)
{
	uint32_t bytes = dict->head->entry_bytes < PREFETCH_BYTES ? dict->head->entry_bytes : PREFETCH_BYTES;

	cw_state_prefetch(dict->st, entry);
	for (uint32_t at = 64; at < bytes; at += 64)
		__builtin_prefetch((const uint8_t *)entry + at);
}

bool cw_dict_ahead(struct cw_dict *dict, unsigned slot)
{
	struct ahead *ahead = dict->ahead;

	ahead->hash[slot % CW_DICT_AHEAD] = 0;
	if (++ahead->asked == REVIEW) {
		ahead->pays = ahead->used >= REVIEW / PAYS;
		ahead->asked = ahead->used = 0;
	}
	return ahead->pays;
}

void cw_dict_fetch(struct cw_dict *dict, unsigned slot, const struct cw_dict_key *key)
{
	uint32_t hash = hash_of(dict, key);

	dict->ahead->hash[slot % CW_DICT_AHEAD] = hash;
	__builtin_prefetch(bucket_at(dict, bucket_of(dict->head->buckets, hash)));
}

void cw_dict_fetch_on(const struct cw_dict *dict, unsigned slot, int stage)
{
	uint32_t hash = dict->ahead->hash[slot % CW_DICT_AHEAD];
	const struct bucket *bucket;
	const struct entry *entry;

	if (hash == 0)
		return;
	bucket = bucket_at(dict, bucket_of(dict->head->buckets, hash));
	if (bucket->hash != hash && (bucket->first & MORE) == 0)
		return;
	entry = entry_at(dict, (bucket->first & ~MORE) - 1);
	if (stage == 1)
		prefetch_entry(dict, entry);
	else if (entry->hash != hash && entry->next != 0)
		prefetch_entry(dict, entry_at(dict, entry->next - 1));
}

bool cw_dict_next(const struct cw_dict *dict, uint32_t *at, struct cw_dict_key *key, void **value, int64_t *time)
{
	while (*at < dict->head->high) {
		struct entry *entry = entry_at(dict, (*at)++);

		if (entry->hash == 0)
			continue;
		if (key != NULL)
			*key = entry->key;
		if (value != NULL)
			*value = entry->value;
		if (time != NULL)
			*time = entry->time;
		return true;
	}
	return false;
}
