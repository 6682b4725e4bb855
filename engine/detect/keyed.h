/* keyed.h - what all primitives with a key share: the dictionary, the options "key" and "max_keys", touching.
 *
 * The dictionary's place is root->ref; a key's value is zero when it is new. A primitive that keeps blocks outside of
 * the dictionary passes an evict function that frees them; dropping calls it for each entry too. */
#ifndef CW_DETECT_KEYED_H
#define CW_DETECT_KEYED_H

#include "detect/primitive.h"

struct cw_keyed {
	uint32_t magic;               /* of the primitive; first, so that handles can be checked */
	cw_fieldset key;
	struct cw_state *st;
	struct cw_state_root *root;
	struct cw_dict *dict;
};

/* The two options every keyed primitive has, first in its list. */
enum { CW_OPT_AT_KEY = 0, CW_OPT_AT_MAX_KEYS, CW_OPT_AT_OWN };
#define CW_KEYED_OPTS \
	{ .name = "key", .type = CW_OPT_KEY, \
	  .doc = "field or fields that tell entries apart; left out: one entry for each chain" }, \
	{ .name = "max_keys", .type = CW_OPT_COUNT, .def = 100000, .min = 1, .max = 50e6, \
	  .doc = "entries kept; beyond it the entry whose last event is oldest among 8 makes room" }

/* Optional second key of methods that look up: get(tx, "to"). */
#define CW_ARG_LOOKUP_DOC "; a field as argument looks up that field's entry instead of the key's"

/* How the value of a key is kept. */
struct cw_keyed_conf {
	uint32_t magic;
	size_t handle_size;           /* of a handle that starts with a struct cw_keyed */
	size_t value_size;
	bool touch_parts;             /* the value is large: upsert touches nothing of it unless it is new */
	cw_dict_evict_fn *evict;      /* gets the handle as its argument */
};

/* Makes a handle and opens or makes the dictionary in root->ref. NULL with err when the arena has no room. */
void *cw_keyed_new(const struct cw_keyed_conf *conf, struct cw_state *st, struct cw_state_root *root,
                   const union cw_opt_value *vals, struct cw_err *err);
/* The same for values without more. */
void *cw_keyed_plain(size_t handle_size, uint32_t magic, struct cw_state *st, struct cw_state_root *root,
                     const union cw_opt_value *vals, size_t value_size, struct cw_err *err);
/* `close`, `drop` and `prefetch` of handles that start with a struct cw_keyed and own nothing else. */
void cw_keyed_close(void *handle);
void cw_keyed_drop(void *handle);
void cw_keyed_prefetch(void *handle, const struct cw_tx *tx, int stage);

/* The value of the transaction's key, or NULL. Read only: touch before writing. `field` as it came from a method with
 * CW_ARG_FIELD: NaN means the primitive's own key. */
void *cw_keyed_find(const struct cw_keyed *k, const struct cw_tx *tx, double field);
/* The same, made if absent; touched. NULL: the transaction lacks the key, or there is no memory. */
static inline void *cw_keyed_upsert(const struct cw_keyed *k, const struct cw_tx *tx)
{
	struct cw_dict_key key;

	return cw_fieldset_key(tx, k->key, &key) ? cw_dict_upsert(k->dict, &key, tx->timestamp, NULL) : NULL;
}
/* A zeroed block beside the dictionary. Where the arena or the owner's cap is full, other entries make room; `*value`
 * (of the transaction's key) is looked up again after that, NULL if it went itself. 0: no memory. */
cw_ref cw_keyed_alloc(const struct cw_keyed *k, const struct cw_tx *tx, size_t size, void **value);

/* Structures that live in the arena or in plain memory (`st` NULL, for tests and training). */
static inline void cw_detect_touch(struct cw_state *st, void *ptr, size_t len)
{
	if (st != NULL)
		cw_state_touch(st, ptr, len);
}

/* Event times and block numbers as they are kept with a key; they saturate (in the year 2106). */
static inline uint32_t cw_time32(int64_t time)
{
	return time <= 0 ? 0 : time >= (int64_t)UINT32_MAX ? UINT32_MAX : (uint32_t)time;
}

#endif
