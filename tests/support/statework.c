#include "support/statework.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "state/dict.h"
#include "state/state.h"

#define ARENA_BYTES (16ul << 20)
#define BLOCKS      48
#define EXTRA_ROOTS 6

/* A value that owns a block. */
struct holder {
	cw_ref ref;
	uint32_t size;
};

struct statework {
	struct cw_state *st;
	struct cw_dict *plain, *holders, *wide;
	struct holder *blocks;       /* in the arena */
};

uint64_t statework_random(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t below(uint64_t *seed, uint32_t n)
{
	return (uint32_t)(statework_random(seed) % n);
}

unsigned statework_rounds(unsigned few, unsigned many)
{
	const char *set = getenv("CW_LONG");

	return set != NULL && strcmp(set, "1") == 0 ? many : few;
}

struct cw_state *statework_arena(size_t journal_bytes)
{
	struct cw_state_conf conf = { .max_bytes = ARENA_BYTES, .journal_bytes = journal_bytes };
	struct cw_err err;
	struct cw_state *st = cw_state_new(&conf, &err);

	if (st == NULL) {
		fprintf(stderr, "%s\n", err.msg);
		exit(99);
	}
	return st;
}

/* ---------------------------------------------------------------- open */

static struct cw_state_root *open_root(struct cw_state *st, const char *name)
{
	static const uint8_t digest[16] = { 7 };
	struct cw_state_root *root = cw_state_root_open(st, name, digest);

	cw_assert(root != NULL);
	return root;
}

static void free_holder(struct cw_state *st, uint32_t owner, void *value, void *arg)
{
	struct holder *holder = value;

	(void)arg;
	cw_state_free(st, owner, holder->ref, holder->size);
}

static struct cw_dict *open_dict(struct cw_state *st, const char *name, struct cw_dict_conf conf)
{
	struct cw_state_root *root = open_root(st, name);
	struct cw_err err;
	struct cw_dict *dict;

	conf.owner = root->owner;
	dict = cw_dict_open(st, &conf, &root->ref, &err);
	if (dict == NULL) {
		fprintf(stderr, "%s: %s\n", name, err.msg);
		exit(99);
	}
	return dict;
}

struct statework *statework_open(struct cw_state *st)
{
	struct statework *work = cw_zalloc(sizeof(*work));
	struct cw_state_root *blocks = open_root(st, "blocks/all");
	uint32_t wide_owner = open_root(st, "wide/keys")->owner;

	work->st = st;
	work->plain = open_dict(st, "plain/keys", (struct cw_dict_conf){ .value_size = 24, .max_keys = 1500 });
	work->holders = open_dict(st, "holders/keys", (struct cw_dict_conf){ .value_size = sizeof(struct holder),
		.max_keys = 300, .evict = free_holder });
	cw_state_set_cap(st, wide_owner, 96 << 10);
	work->wide = open_dict(st, "wide/keys", (struct cw_dict_conf){ .value_size = 300, .max_keys = 100000,
		.touch_parts = true });
	if (blocks->ref == 0) {
		cw_ref ref = cw_state_alloc(st, blocks->owner, BLOCKS * sizeof(struct holder));

		cw_assert(ref != 0);
		cw_state_touch(st, blocks, sizeof(*blocks));
		blocks->ref = ref;
	}
	work->blocks = cw_state_ptr(st, blocks->ref);
	return work;
}

void statework_close(struct statework **work)
{
	struct statework *w = *work;

	*work = NULL;
	if (w == NULL)
		return;
	cw_dict_close(&w->plain);
	cw_dict_close(&w->holders);
	cw_dict_close(&w->wide);
	cw_free(w);
}

/* ---------------------------------------------------------------- one batch */

static struct cw_dict_key key_of(uint32_t n)
{
	struct cw_dict_key key = { { 0 } };

	memcpy(key.b + 8, &n, sizeof(n));
	return key;
}

static void on_plain(struct statework *w, uint64_t *seed, int64_t now)
{
	struct cw_dict_key key = key_of(below(seed, 4000));
	bool created;
	uint64_t *value;

	if (below(seed, 12) == 0) {
		cw_dict_remove(w->plain, &key);
		return;
	}
	value = cw_dict_upsert(w->plain, &key, now, &created);
	cw_assert(value != NULL && (!created || (value[0] == 0 && value[1] == 0 && value[2] == 0)));
	value[0]++;
	value[1] += below(seed, 1000);
	value[2] = (uint64_t)now;
}

static void on_holder(struct statework *w, uint64_t *seed, int64_t now)
{
	struct cw_dict_key key = key_of(below(seed, 600));
	struct holder *value = cw_dict_upsert(w->holders, &key, now, NULL);
	uint32_t size = 1 + below(seed, 700);
	uint32_t owner = open_root(w->st, "holders/keys")->owner;
	uint8_t *block;

	cw_assert(value != NULL);
	if (value->ref != 0 && below(seed, 2) == 0) {
		cw_state_free(w->st, owner, value->ref, value->size);
		value->ref = 0;
	}
	if (value->ref == 0) {
		value->ref = cw_state_alloc(w->st, owner, size);
		value->size = size;
	}
	cw_assert(value->ref != 0);
	block = cw_state_ptr(w->st, value->ref);
	cw_state_touch(w->st, block, value->size);
	memset(block, (int)below(seed, 256), value->size);
}

static void on_wide(struct statework *w, uint64_t *seed, int64_t now)
{
	struct cw_dict_key key = key_of(below(seed, 900));
	uint32_t cell = below(seed, 37);
	uint64_t *value;

	if (below(seed, 40) == 0) {
		cw_dict_evict(w->wide);
		return;
	}
	value = cw_dict_upsert(w->wide, &key, now, NULL);
	cw_assert(value != NULL);
	cw_state_touch(w->st, &value[cell], sizeof(*value));
	value[cell] += statework_random(seed);
}

static void on_block(struct statework *w, uint64_t *seed)
{
	struct holder *block = &w->blocks[below(seed, BLOCKS)];
	uint32_t owner = open_root(w->st, "blocks/all")->owner;
	uint8_t *bytes;

	cw_state_touch(w->st, block, sizeof(*block));
	if (block->ref != 0 && below(seed, 3) == 0) {
		cw_state_free(w->st, owner, block->ref, block->size);
		*block = (struct holder){ 0 };
		return;
	}
	if (block->ref == 0) {
		block->size = 1 + below(seed, below(seed, 8) == 0 ? 30000 : 500);
		block->ref = cw_state_alloc(w->st, owner, block->size);
		cw_assert(block->ref != 0);
	}
	bytes = cw_state_ptr(w->st, block->ref);
	for (int i = 0; i < 4; i++) {
		uint32_t at = below(seed, block->size);

		cw_state_touch(w->st, bytes + at, 1);
		bytes[at]++;
	}
}

/* Another generation of rules brings a state along or drops one. */
static void on_root(struct statework *w, uint64_t *seed)
{
	char name[32];
	struct cw_state_root *root;
	struct cw_dict *dict;
	struct cw_dict_conf conf = { .value_size = 8 + below(seed, 3) * 40, .max_keys = 16 };

	snprintf(name, sizeof(name), "extra%u/x", below(seed, EXTRA_ROOTS));
	root = open_root(w->st, name);
	conf.owner = root->owner;
	if (root->ref == 0) {
		dict = cw_dict_open(w->st, &conf, &root->ref, NULL);
		cw_assert(dict != NULL);
		for (uint32_t i = 0; i < 20; i++) {
			struct cw_dict_key key = key_of(i);

			cw_assert(cw_dict_upsert(dict, &key, i, NULL) != NULL);
		}
		cw_dict_close(&dict);
		return;
	}
	dict = NULL;
	for (uint32_t i = 0; i < 3 && dict == NULL; i++) {   /* it has one of three sizes */
		conf.value_size = 8 + i * 40;
		dict = cw_dict_open(w->st, &conf, &root->ref, NULL);
	}
	cw_assert(dict != NULL);
	cw_dict_drop(&dict, &root->ref);
	cw_assert(cw_state_account(w->st, root->owner).bytes == 0);
	cw_state_root_drop(w->st, root);
}

static void do_batch(struct statework *w, uint64_t seed, uint64_t number, unsigned share)
{
	uint64_t random = seed * 0x100000001b3ull + number;
	uint32_t ops = (10 + below(&random, 150)) / share;

	for (uint32_t i = 0; i < ops; i++) {
		int64_t now = (int64_t)(number * 12 + below(&random, 40));

		switch (below(&random, 16)) {
		case 0: on_root(w, &random); break;
		case 1: case 2: case 3: on_block(w, &random); break;
		case 4: case 5: case 6: on_holder(w, &random, now); break;
		case 7: case 8: case 9: on_wide(w, &random, now); break;
		default: on_plain(w, &random, now);
		}
	}
}

void statework_batch(struct statework *work, uint64_t seed, uint64_t number)
{
	do_batch(work, seed, number, 1);
}

void statework_part(struct statework *work, uint64_t seed, uint64_t number)
{
	do_batch(work, seed, number, 2);
}

void statework_run(struct cw_state *st, uint64_t seed, uint64_t from, uint64_t to)
{
	struct statework *work;

	if (from >= to)
		return;
	work = statework_open(st);
	for (uint64_t n = from + 1; n <= to; n++) {
		statework_batch(work, seed, n);
		cw_state_mark(st, n, n / 4);
	}
	statework_close(&work);
}

/* ---------------------------------------------------------------- comparing */

bool statework_equal(const struct cw_state *a, const struct cw_state *b)
{
	return cw_state_used(a) == cw_state_used(b) && memcmp(cw_state_base(a), cw_state_base(b), cw_state_used(a)) == 0;
}

void statework_same(const struct cw_state *a, const struct cw_state *b, const char *what)
{
	const uint8_t *x = cw_state_base(a), *y = cw_state_base(b);
	size_t used = cw_state_used(a), at = 0;

	if (statework_equal(a, b))
		return;
	while (at < used && x[at] == y[at])
		at++;
	fprintf(stderr, "%s: arenas of seq %lu and %lu differ: %zu and %zu bytes used, first difference at %zu\n", what,
	        (unsigned long)cw_state_seq(a), (unsigned long)cw_state_seq(b), used, cw_state_used(b), at);
	exit(1);
}

bool statework_clean(const struct cw_state *st)
{
	const struct cw_state_hot *hot = (const void *)st;
	size_t used = cw_state_used(st);
	const uint8_t *base = cw_state_base(st);

	for (size_t i = 0; i < ARENA_BYTES / 64 / 64; i++)
		if (hot->dirty[i] != 0)
			return false;
	/* A page at a time would be enough, but a stray byte is what we look for. */
	for (size_t at = used; at < used + (256 << 10) && at < ARENA_BYTES; at++)
		if (base[at] != 0)
			return false;
	return true;
}
