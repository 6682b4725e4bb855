/* keyed.c - the dictionary behind a keyed primitive. */
#include "detect/keyed.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"

int cw_keyed_open(struct cw_keyed *k, const union cw_opt_value *vals, size_t value_size, cw_dict_evict_fn *evict,
                  void *evict_arg, struct cw_err *err)
{
	const struct cw_dict_conf conf = {
		.value_size = (uint32_t)value_size,
		.max_keys = (uint32_t)vals[CW_OPT_AT_MAX_KEYS].number,
		.owner = k->root->owner,
		.evict = evict,
		.evict_arg = evict_arg,
	};

	k->key = vals[CW_OPT_AT_KEY].key;
	k->dict = cw_dict_open(k->st, &conf, &k->root->ref, err);
	return k->dict != NULL ? 0 : -1;
}

void *cw_keyed_new(size_t size, uint32_t magic, struct cw_state *st, struct cw_state_root *root,
                   const union cw_opt_value *vals, size_t value_size, struct cw_err *err)
{
	struct cw_keyed *k = cw_zalloc(size);

	k->magic = magic;
	k->st = st;
	k->root = root;
	if (cw_keyed_open(k, vals, value_size, NULL, NULL, err) != 0) {
		cw_free(k);
		return NULL;
	}
	return k;
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

	if (cw_fieldset_key(tx, k->key, &key))
		cw_dict_prefetch(k->dict, &key, stage);
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

void *cw_keyed_upsert(const struct cw_keyed *k, const struct cw_tx *tx)
{
	struct cw_dict_key key;
	bool created;

	if (!cw_fieldset_key(tx, k->key, &key))
		return NULL;
	return cw_dict_upsert(k->dict, &key, tx->timestamp, &created);
}
