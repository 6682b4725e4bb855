#include "auth/attempts.h"

#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define WAYS       8 /* places where a name may be kept */
#define SETS       1024
#define PENDING_MS 250 /* try again when the attempt before is decided */

const struct cw_attempts_conf cw_attempts_conf_default = { .free = 5, .max_wait_s = 900, .forget_s = 3600 };

struct slot {
	uint64_t name; /* keyed hash; 0: empty */
	int64_t last_us;
	uint32_t failures, pending;
};

struct cw_attempts {
	struct cw_attempts_conf conf;
	unsigned char secret[crypto_shorthash_KEYBYTES];
	struct slot slots[SETS][WAYS];
};

struct cw_attempts *cw_attempts_new(const struct cw_attempts_conf *conf)
{
	struct cw_attempts *a = cw_zalloc(sizeof(*a));

	a->conf = *conf;
	randombytes_buf(a->secret, sizeof(a->secret));
	return a;
}

void cw_attempts_free(struct cw_attempts **attempts)
{
	cw_free(*attempts);
	*attempts = NULL;
}

void cw_attempts_configure(struct cw_attempts *attempts, const struct cw_attempts_conf *conf)
{
	attempts->conf = *conf;
}

/* The slot of a name; with `make` the quietest one of its set is taken for it. */
static struct slot *find(struct cw_attempts *a, const char *name, size_t len, bool make)
{
	struct slot *set, *quietest;
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)name, len, a->secret);
	hash |= 1;
	set = a->slots[(hash >> 32) % SETS];
	quietest = set;
	for (int i = 0; i < WAYS; i++) {
		if (set[i].name == hash)
			return &set[i];
		if (set[i].last_us < quietest->last_us)
			quietest = &set[i];
	}
	if (!make)
		return NULL;
	*quietest = (struct slot){ .name = hash };
	return quietest;
}

static int64_t wait_us(const struct cw_attempts *a, const struct slot *s)
{
	int64_t over = (int64_t)s->failures - a->conf.free, wait_s;

	if (over < 0)
		return 0;
	wait_s = over < 40 ? INT64_C(1) << over : a->conf.max_wait_s;
	return 1000000 * (wait_s < a->conf.max_wait_s ? wait_s : a->conf.max_wait_s);
}

void cw_attempts_merge(struct cw_attempts *attempts, const char *name, size_t len, int64_t failures, int64_t last_us)
{
	struct slot *s;

	if (failures <= 0)
		return;
	s = find(attempts, name, len, true);
	if (failures > s->failures)
		s->failures = failures < UINT32_MAX ? (uint32_t)failures : UINT32_MAX;
	if (last_us > s->last_us)
		s->last_us = last_us;
}

int64_t cw_attempts_begin(struct cw_attempts *attempts, const char *name, size_t len, int64_t now_us)
{
	struct slot *s = find(attempts, name, len, true);
	int64_t left_us;

	if (now_us - s->last_us > 1000000 * attempts->conf.forget_s)
		s->failures = 0;
	left_us = s->last_us + wait_us(attempts, s) - now_us;
	if (left_us > 0 && s->failures > 0)
		return left_us / 1000 + 1;
	if ((int64_t)s->failures >= attempts->conf.free && s->pending > 0)
		return PENDING_MS;
	s->pending++;
	if (s->failures == 0)
		s->last_us = now_us;
	return 0;
}

static void decided(struct slot *s)
{
	if (s->pending > 0)
		s->pending--;
}

int64_t cw_attempts_failed(struct cw_attempts *attempts, const char *name, size_t len, int64_t now_us)
{
	struct slot *s = find(attempts, name, len, true);

	decided(s);
	s->failures++;
	s->last_us = now_us;
	return wait_us(attempts, s) / 1000;
}

void cw_attempts_passed(struct cw_attempts *attempts, const char *name, size_t len)
{
	struct slot *s = find(attempts, name, len, false);

	if (s == NULL)
		return;
	decided(s);
	s->failures = 0;
}

void cw_attempts_dropped(struct cw_attempts *attempts, const char *name, size_t len)
{
	struct slot *s = find(attempts, name, len, false);

	if (s != NULL)
		decided(s);
}
