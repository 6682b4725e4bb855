#include "pipeline/living.h"

#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "state/dict.h"

/* In the arena, on the line of its key. */
struct life {
	uint64_t founder;                /* seq of the transaction that founded it */
	int64_t last;                    /* event time of the last fire, seconds */
	uint32_t age;                    /* last - event time of the first, seconds */
	uint32_t fires : 30, severity : 2;
};
_Static_assert(sizeof(struct life) == 24, "fits the line of a key");

struct cw_living {
	struct cw_state *st;
	struct cw_dict *dict;
	int64_t cooldown_s, life_s;
};

void cw_living_digest(int64_t cooldown_s, uint8_t digest[16])
{
	static const char what[] = "living alerts 1";   /* changes with struct life and with what is decided here */
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, 16);
	crypto_generichash_update(&hash, (const uint8_t *)what, sizeof(what));
	crypto_generichash_update(&hash, (const uint8_t *)&cooldown_s, sizeof(cooldown_s));
	crypto_generichash_final(&hash, digest, 16);
}

static struct cw_dict *open_dict(struct cw_state *st, struct cw_state_root *root, struct cw_err *err)
{
	const struct cw_dict_conf conf = { .value_size = sizeof(struct life), .max_keys = CW_LIVING_KEYS,
		                               .owner = root->owner };

	return cw_dict_open(st, &conf, &root->ref, err);
}

struct cw_living *cw_living_open(struct cw_state *st, struct cw_state_root *root, int64_t cooldown_s, struct cw_err *err)
{
	struct cw_living *l = cw_zalloc(sizeof(*l));

	l->st = st;
	l->cooldown_s = cooldown_s;
	l->life_s = cooldown_s > CW_LIVING_DAY_S ? cooldown_s : CW_LIVING_DAY_S;
	l->dict = open_dict(st, root, err);
	if (l->dict == NULL)
		cw_living_close(&l);
	return l;
}

void cw_living_close(struct cw_living **living)
{
	struct cw_living *l = *living;

	*living = NULL;
	if (l == NULL)
		return;
	if (l->dict != NULL)
		cw_dict_close(&l->dict);
	cw_free(l);
}

void cw_living_drop(struct cw_state *st, struct cw_state_root *root)
{
	struct cw_err err;
	struct cw_dict *dict = root->ref != 0 ? open_dict(st, root, &err) : NULL;

	if (dict != NULL)
		cw_dict_drop(&dict, &root->ref);
	cw_state_root_drop(st, root);
}

static struct cw_dict_key key_of(const struct cw_tx *tx, const char *dedup)
{
	crypto_generichash_state hash;
	struct cw_dict_key key;

	crypto_generichash_init(&hash, NULL, 0, sizeof(key.b));
	crypto_generichash_update(&hash, (const uint8_t *)&tx->chain_id, sizeof(tx->chain_id));
	crypto_generichash_update(&hash, (const uint8_t *)dedup, strlen(dedup));
	crypto_generichash_final(&hash, key.b, sizeof(key.b));
	return key;
}

/* Late transactions belong to the alert as well, but not those of another time: history may be read in any order. */
static bool continues(const struct cw_living *l, const struct life *life, int64_t now)
{
	int64_t first = life->last - (int64_t)life->age;

	return now < life->last + l->cooldown_s && now < first + l->life_s && now > first - l->cooldown_s;
}

void cw_living_note(struct cw_living *living, const struct cw_tx *tx, struct cw_alert *alert)
{
	struct cw_dict_key key;
	struct life *life;
	bool created;

	alert->founder = tx->seq;
	alert->occurrences = 1;
	if (living->cooldown_s == 0 || alert->dedup == NULL || alert->dedup[0] == '\0')
		return;
	key = key_of(tx, alert->dedup);
	life = cw_dict_upsert(living->dict, &key, tx->timestamp, &created);
	if (life == NULL)
		return;
	if (created || !continues(living, life, tx->timestamp)) {
		*life = (struct life){ .founder = tx->seq, .last = tx->timestamp, .fires = 1,
			                   .severity = (unsigned)alert->severity & 3 };
		return;
	}
	if (tx->timestamp > life->last) {
		life->age += (uint32_t)(tx->timestamp - life->last);
		life->last = tx->timestamp;
	}
	if (life->fires < (1u << 30) - 1)
		life->fires++;
	if (life->severity < (unsigned)alert->severity) {
		life->severity = (unsigned)alert->severity & 3;
		alert->flags |= CW_ALERT_ROSE;
	}
	alert->founder = life->founder;
	alert->occurrences = life->fires;
}
