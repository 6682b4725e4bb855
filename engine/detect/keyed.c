/* keyed.c - the dictionary behind a keyed primitive. */
#include "detect/keyed.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"

/* Entries that make room for one block at most: blocks of other sizes may not help. */
#define EVICTIONS_MAX 8

void *cw_keyed_new(const struct cw_keyed_conf *conf, struct cw_state *st, struct cw_state_root *root,
                   const union cw_opt_value *vals, struct cw_err *err)
{
	struct cw_keyed *k = cw_zalloc(conf->handle_size);
	const struct cw_dict_conf dict_conf = {
		.value_size = (uint32_t)conf->value_size,
		.max_keys = (uint32_t)vals[CW_OPT_AT_MAX_KEYS].number,
		.owner = root->owner,
		.touch_parts = conf->touch_parts,
		.evict = conf->evict,
		.evict_arg = k,
	};

	k->magic = conf->magic;
	k->key = vals[CW_OPT_AT_KEY].key;
	k->st = st;
	k->root = root;
	k->dict = cw_dict_open(st, &dict_conf, &root->ref, err);
	if (k->dict == NULL) {
		cw_free(k);
		return NULL;
	}
	return k;
}

void *cw_keyed_plain(size_t handle_size, uint32_t magic, struct cw_state *st, struct cw_state_root *root,
                     const union cw_opt_value *vals, size_t value_size, struct cw_err *err)
{
	const struct cw_keyed_conf conf = { .magic = magic, .handle_size = handle_size, .value_size = value_size };

	return cw_keyed_new(&conf, st, root, vals, err);
}

void cw_keyed_close(void *handle)
{
	struct cw_keyed *k = handle;

	cw_dict_close(&k->dict);
	cw_free(k);
}

void cw_keyed_drop(void *handle)
{
	struct cw_keyed *k = handle;

	cw_dict_drop(&k->dict, &k->root->ref);
	cw_free(k);
}

void cw_keyed_prefetch(void *handle, const struct cw_tx *tx, int stage)
{
	const struct cw_keyed *k = handle;
	struct cw_dict_key key;

	if (stage > 0)
		cw_dict_fetch_on(k->dict, (unsigned)tx->seq, stage);
	else if (cw_dict_ahead(k->dict, (unsigned)tx->seq) && cw_fieldset_key(tx, k->key, &key))
		cw_dict_fetch(k->dict, (unsigned)tx->seq, &key);
}

void *cw_keyed_find(const struct cw_keyed *k, const struct cw_tx *tx, double field)
{
	cw_fieldset fields = k->key;
	struct cw_dict_key key;

	if (!isnan(field)) {
		if (!(field > CW_FIELD_NONE && field < CW_FIELD_COUNT))
			return NULL;
		fields = (cw_fieldset)field;
	}
	if (!cw_fieldset_key(tx, fields, &key))
		return NULL;
	return cw_dict_find(k->dict, &key);
}

cw_ref cw_keyed_alloc(const struct cw_keyed *k, const struct cw_tx *tx, size_t size, void **value)
{
	cw_ref ref = cw_state_try_alloc(k->st, k->root->owner, size);

	for (int i = 0; ref == 0 && i < EVICTIONS_MAX && cw_dict_count(k->dict) > 1; i++) {
		cw_dict_evict(k->dict);
		*value = cw_keyed_find(k, tx, NAN);
		if (*value == NULL)
			return 0;
		ref = cw_state_try_alloc(k->st, k->root->owner, size);
	}
	return ref;
}
