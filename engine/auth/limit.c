#include "auth/limit.h"

#include <sodium.h>
#include <string.h>

#include "base/mem.h"

#define WAYS 8
#define SETS 2048 /* 16,384 buckets, 256 KiB */

struct bucket {
	uint64_t name;
	int64_t full_ns;
}; /* name 0: empty; rates up to 1e9 */

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

static struct bucket *find(struct cw_limits *l, char kind, const void *name, size_t len, int64_t now)
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
		if (set[i].full_ns < fullest->full_ns)
			fullest = &set[i];
	}
	*fullest = (struct bucket){ .name = hash, .full_ns = now };
	return fullest;
}

static bool take(struct cw_limits *l, char kind, const void *name, size_t len, const struct cw_rate *rate,
                 int64_t now_us, int64_t cost, struct cw_limit_state *state)
{
	int64_t now = 1000 * now_us, burst = rate->burst > 0 ? rate->burst : 1, each = 1000000000 / rate->per_s;
	struct bucket *b = find(l, kind, name, len, now);
	int64_t from = b->full_ns > now ? b->full_ns : now;
	bool ok = from - now + each <= burst * each;

	if (ok && cost > 0)
		b->full_ns = from += each;
	*state = (struct cw_limit_state){ .limit = burst,
		                              .remaining = burst - (from - now + each - 1) / each,
		                              .reset_s = (from - now + 999999999) / 1000000000 };
	if (ok)
		return true;
	state->remaining = 0;
	state->retry_s = (from - now + each - burst * each) / 1000000000 + 1;
	return false;
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
