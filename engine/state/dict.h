/* dict.h - keyed dictionary of bounded size in the state arena.
 *
 * Linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980), one bucket split an
 * insert, so growth never stalls and never floods the undo log. At `max_keys` (or at the owner's cap) an insert evicts:
 * a hand looks at the next 8 entries in slab order and takes the one with the oldest event time (tie: the lower
 * number). Hand and order are state, and neither depends on the hash: the same calls evict the same keys. Small keys
 * and values share one 64-byte line. Values never move while their entry lives. */
#ifndef CW_STATE_DICT_H
#define CW_STATE_DICT_H

#include "state/state.h"

#define CW_DICT_KEY 24            /* bytes; shorter keys are padded with zeros by the caller */

struct cw_dict_key { uint8_t b[CW_DICT_KEY]; };

/* Frees what a value refers to, before its entry goes: eviction, removal, drop. May be NULL. Must not change the
 * dictionary. */
typedef void cw_dict_evict_fn(struct cw_state *st, uint32_t owner, void *value, void *arg);

struct cw_dict_conf {
	uint32_t value_size;          /* bytes, 0 to 1 MiB, aligned to 8; 24 and less fit the line of the key, larger ones
	                               * follow it: an entry takes 40 + value_size, rounded up to 64 */
	uint32_t max_keys;            /* 1 to 2^30 */
	uint32_t owner;               /* is charged; its `keys` and `evictions` are counted */
	bool touch_parts;             /* upsert announces no old value: the caller touches what it writes. For large values
	                               * of which a call changes a small part */
	cw_dict_evict_fn *evict;
	void *evict_arg;
};

struct cw_dict;                   /* handle of this process; the state is in the arena */

/* `*root` (in the arena) 0: makes an empty one and stores its place there (touched). Else attaches; the conf must be
 * the one it was made with (CW_ERR_INVALID), owner included. CW_ERR_BUSY when there is no memory in the arena. */
struct cw_dict *cw_dict_open(struct cw_state *st, const struct cw_dict_conf *conf, cw_ref *root, struct cw_err *err);
void cw_dict_close(struct cw_dict **dict);
void cw_dict_drop(struct cw_dict **dict, cw_ref *root);   /* frees everything in the arena too; *root = 0 (touched) */

uint32_t cw_dict_count(const struct cw_dict *dict);
/* The value, or NULL. Touch before writing. */
void *cw_dict_find(const struct cw_dict *dict, const struct cw_dict_key *key);
/* Event time and key of a value that find or upsert returned. */
int64_t cw_dict_time(const void *value);
const struct cw_dict_key *cw_dict_key_of(const void *value);
/* Finds or inserts; the entry's event time becomes the later of its own and `now`; a new value is zeroed and already
 * touched, an old one is touched for `value_size` bytes (unless touch_parts). NULL: no memory and nothing to evict.
 * `created` may be NULL. May evict: pointers to other values of this dictionary are void. */
void *cw_dict_upsert(struct cw_dict *dict, const struct cw_dict_key *key, int64_t now, bool *created);
bool cw_dict_remove(struct cw_dict *dict, const struct cw_dict_key *key);
/* Evicts one entry as an insert at the limit would, to make room for what values refer to. False when empty. */
bool cw_dict_evict(struct cw_dict *dict);
/* Prefetching, some transactions before the look-up: first cw_dict_ahead(), which says whether it pays (false where few
 * of those asked for were looked up lately), then cw_dict_fetch() for the bucket, later cw_dict_fetch_on() with stage 1 for
 * the first entry of its chain and its dirty word, and with stage 2 for the second one if the first is another's. `slot`,
 * taken modulo CW_DICT_AHEAD, tells apart what is on its way. Nothing of it changes what is found. */
#define CW_DICT_AHEAD 32u
bool cw_dict_ahead(struct cw_dict *dict, unsigned slot);
void cw_dict_fetch(struct cw_dict *dict, unsigned slot, const struct cw_dict_key *key);
void cw_dict_fetch_on(const struct cw_dict *dict, unsigned slot, int stage);
/* Walk in slab order: start with *at = 0; false at the end. No changes meanwhile. Each out parameter may be NULL. */
bool cw_dict_next(const struct cw_dict *dict, uint32_t *at, struct cw_dict_key *key, void **value, int64_t *time);

#endif
