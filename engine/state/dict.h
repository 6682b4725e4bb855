/* dict.h - keyed dictionary of bounded size in the state arena.
 *
 * Linear hashing (Litwin, 1980), one bucket split an insert, so growth never stalls and never floods the undo log.
 * At `max_keys` (or at the owner's cap) an insert evicts: a hand looks at the next 8 entries in slab order and takes
 * the one with the oldest event time. Hash without seed, hand and order are state: the same calls evict the same keys.
 * Small keys and values share one 64-byte line. */
#ifndef CW_STATE_DICT_H
#define CW_STATE_DICT_H

#include "state/state.h"

#define CW_DICT_KEY 24            /* bytes; shorter keys are padded with zeros by the caller */

struct cw_dict_key { uint8_t b[CW_DICT_KEY]; };

/* Frees what a value refers to, before its entry goes. May be NULL. */
typedef void cw_dict_evict_fn(struct cw_state *st, uint32_t owner, void *value, void *arg);

struct cw_dict_conf {
	uint32_t value_size;          /* bytes; 24 and less fit the line of the key */
	uint32_t max_keys;
	uint32_t owner;
	cw_dict_evict_fn *evict;
	void *evict_arg;
};

struct cw_dict;                   /* handle of this process; the state is in the arena */

/* `*root` 0: makes an empty one and stores its place there (touched). Else attaches; the conf must be the one it was
 * made with. NULL when there is no memory in the arena. */
struct cw_dict *cw_dict_open(struct cw_state *st, const struct cw_dict_conf *conf, cw_ref *root, struct cw_err *err);
void cw_dict_close(struct cw_dict **dict);
void cw_dict_drop(struct cw_dict **dict, cw_ref *root);   /* frees everything in the arena too */

uint32_t cw_dict_count(const struct cw_dict *dict);
/* The value, or NULL. Touch before writing. */
void *cw_dict_find(const struct cw_dict *dict, const struct cw_dict_key *key);
/* Finds or inserts; the entry's event time becomes the later of its own and `now`; a new value is zeroed and already
 * touched, an old one is touched for `value_size` bytes. NULL: no memory and nothing to evict. */
void *cw_dict_upsert(struct cw_dict *dict, const struct cw_dict_key *key, int64_t now, bool *created);
bool cw_dict_remove(struct cw_dict *dict, const struct cw_dict_key *key);
/* Stage 0 fetches the bucket, stage 1 the entry and its dirty word. */
void cw_dict_prefetch(const struct cw_dict *dict, const struct cw_dict_key *key, int stage);
/* Walk in slab order: start with *at = 0; false at the end. No changes meanwhile. */
bool cw_dict_next(const struct cw_dict *dict, uint32_t *at, struct cw_dict_key *key, void **value, int64_t *time);

#endif
