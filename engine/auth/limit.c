#include "auth/limit.h"

#include <sodium.h>
#include <string.h>

#include "base/mem.h"

#define WAYS 8
#define SETS 2048                    /* 16,384 buckets, 256 KiB */

struct bucket { uint64_t name; int64_t full_us; };      /* name 0: empty */

struct cw_limits {
	unsigned char secret[crypto_shorthash_KEYBYTES];
	struct bucket buckets[SETS][WAYS];
};

struct cw_limits *cw_limits_new(void)
{
	struct cw_limits *l = cw_zalloc(sizeof(*l));

	randombytes_buf(l->secret, sizeof(l->secret));
	return l;
}

void cw_limits_free(struct cw_limits **limits)
{
	cw_free(*limits);
	*limits = NULL;
}

static struct bucket *find(struct cw_limits *l, char kind, const void *name, size_t len, int64_t now_us)
{
	char text[96];
	struct bucket *set, *fullest;
	uint64_t hash;

	if (len > sizeof(text) - 1)
		len = sizeof(text) - 1;
	text[0] = kind;
	memcpy(text + 1, name, len);
	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text, len + 1, l->secret);
	hash |= 1;
	set = l->buckets[(hash >> 32) % SETS];
	fullest = set;
	for (int i = 0; i < WAYS; i++) {
		if (set[i].name == hash)
			return &set[i];
		if (set[i].full_us < fullest->full_us)
			fullest = &set[i];
	}
	*fullest = (struct bucket){ .name = hash, .full_us = now_us };
	return fullest;
}

static bool take(struct cw_limits *l, char kind, const void *name, size_t len, const struct cw_rate *rate, int64_t now_us,
                 int64_t cost, struct cw_limit_state *state)
{
	struct bucket *b = find(l, kind, name, len, now_us);
	int64_t burst = rate->burst > 0 ? rate->burst : 1, from = b->full_us > now_us ? b->full_us : now_us;
	double each_us = 1e6 / (double)rate->per_s;
	double missing = (double)(from - now_us) / each_us;
	bool ok = missing + 1 <= (double)burst + 1e-9;

	if (ok && cost > 0) {
		/* Rounded up, so that a bucket is never fuller than it should be. */
		b->full_us = from + (int64_t)each_us + 1;
		missing += 1;
	}
	*state = (struct cw_limit_state){ .limit = burst, .reset_s = (int64_t)(missing * each_us / 1e6) + 1 };
	state->remaining = burst - (int64_t)missing > 0 ? burst - (int64_t)missing : 0;
	if (!ok) {
		state->remaining = 0;
		state->retry_s = (int64_t)((missing + 1 - (double)burst) * each_us / 1e6) + 1;
	}
	return ok;
}

bool cw_limits_take(struct cw_limits *limits, char kind, const void *name, size_t len, const struct cw_rate *rate,
                    int64_t now_us, struct cw_limit_state *state)
{
	return take(limits, kind, name, len, rate, now_us, 1, state);
}

bool cw_limits_peek(struct cw_limits *limits, char kind, const void *name, size_t len, const struct cw_rate *rate,
                    int64_t now_us, struct cw_limit_state *state)
{
	return take(limits, kind, name, len, rate, now_us, 0, state);
}
