/* detect_env.h - an arena, transactions and primitives by name, for the tests of the layer detect. */
#ifndef CW_TESTS_DETECT_ENV_H
#define CW_TESTS_DETECT_ENV_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/err.h"
#include "detect/primitive.h"

/* Not Check's: the benchmarks use this header too. */
#define env_check(condition, ...) \
	((condition) ? (void)0 : (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(99)))

/* A generator that is the same everywhere (SplitMix64). */
static inline uint64_t env_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline uint64_t env_below(uint64_t *state, uint64_t n)
{
	return env_random(state) % n;
}

static inline double env_uniform(uint64_t *state)   /* (0, 1) */
{
	return ((double)(env_random(state) >> 12) + 0.5) * 0x1p-52;
}

static inline double env_normal(uint64_t *state)
{
	double u = env_uniform(state), v = env_uniform(state);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static inline struct cw_state *env_state(void)
{
	const struct cw_state_conf conf = { .max_bytes = 512u << 20, .journal_bytes = 64u << 20 };
	struct cw_err err = { 0 };
	struct cw_state *st = cw_state_new(&conf, &err);

	env_check(st != NULL, "%s", err.msg);
	return st;
}

/* One declared primitive, ready to be called. */
struct env_handle {
	const struct cw_primitive *p;
	struct cw_state_root *root;
	void *h;
};

/* Options in the text form "key=from;span=10m;n=5"; numbers are tried as numbers where the option is one. */
static inline int env_read(const struct cw_primitive *p, char *text, union cw_opt_value *vals, struct cw_err *err)
{
	struct cw_raw_opt raw[CW_PRIMITIVE_OPTS_MAX];
	size_t n = 0;

	for (char *word = strtok(text, ";"); word != NULL; word = strtok(NULL, ";")) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		raw[n] = (struct cw_raw_opt){ .name = word, .type = CW_RAW_TEXT, .text = value };
		for (const struct cw_opt *o = p->opts; o->name != NULL; o++) {
			if (strcmp(o->name, word) != 0)
				continue;
			if (o->type == CW_OPT_COUNT || o->type == CW_OPT_NUMBER)
				raw[n] = (struct cw_raw_opt){ word, CW_RAW_NUMBER, atof(value), NULL };
			else if (o->type == CW_OPT_BOOL)
				raw[n] = (struct cw_raw_opt){ word, CW_RAW_BOOL, strcmp(value, "true") == 0, NULL };
		}
		n++;
	}
	return cw_primitive_read_options(p, raw, n, vals, err);
}

/* Opens "window.count" with its options under a name of its own. */
static inline struct env_handle env_open(struct cw_state *st, const char *what, const char *options)
{
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct env_handle e = { 0 };
	struct cw_err err = { 0 };
	char table[32], text[512], root[96];
	uint8_t digest[16];

	snprintf(table, sizeof(table), "%s", what);
	*strchr(table, '.') = '\0';
	e.p = cw_primitive_find(table, strchr(what, '.') + 1);
	env_check(e.p != NULL, "no primitive %s", what);
	snprintf(text, sizeof(text), "%s", options);
	env_check(env_read(e.p, text, vals, &err) == 0, "%s", err.msg);
	cw_primitive_digest(e.p, vals, digest);
	snprintf(root, sizeof(root), "test/%s", what);
	e.root = cw_state_root_open(st, root, digest);
	env_check(e.root != NULL, "no root");
	e.h = e.p->open(st, e.root, vals, &err);
	env_check(e.h != NULL, "%s", err.msg);
	return e;
}

static inline const struct cw_method *env_method(const struct env_handle *e, const char *name)
{
	for (const struct cw_method *m = e->p->methods; m->name != NULL; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	env_check(false, "no method %s", name);
	return NULL;
}

static inline double env_call2(const struct env_handle *e, const char *name, const struct cw_tx *tx, double a, double b)
{
	return env_method(e, name)->fn(e->h, tx, a, b);
}

static inline double env_call1(const struct env_handle *e, const char *name, const struct cw_tx *tx, double a)
{
	return env_call2(e, name, tx, a, NAN);
}

static inline double env_call(const struct env_handle *e, const char *name, const struct cw_tx *tx)
{
	return env_call2(e, name, tx, NAN, NAN);
}

static inline void env_close(struct env_handle *e)
{
	e->p->close(e->h);
	e->h = NULL;
}

static inline struct cw_address env_address(uint64_t n)
{
	struct cw_address a;
	uint64_t state = n;

	for (int i = 0; i < 20; i++)
		a.b[i] = (uint8_t)env_random(&state);
	return a;
}

/* A plain transfer from account `from` to account `to`. */
static inline struct cw_tx env_tx(uint64_t from, uint64_t to, int64_t time, uint64_t value)
{
	struct cw_tx tx = { .chain_id = 1, .timestamp = time, .block_number = (uint64_t)time / 12, .gas = 21000 };

	tx.from = env_address(from);
	tx.to = env_address(to);
	tx.has = CW_TX_HAS_TO | CW_TX_HAS_INPUT;
	tx.value = cw_u256_from_u64(value);
	tx.gas_price = cw_u256_from_u64(1000000000);
	return tx;
}

/* A transaction with something in every field, drawn at random; `accounts` senders and receivers. */
static inline struct cw_tx env_random_tx(uint64_t *rng, int64_t time, uint64_t accounts)
{
	struct cw_tx tx = env_tx(env_below(rng, accounts), env_below(rng, accounts), time,
	                         (uint64_t)exp(env_uniform(rng) * 43));

	tx.gas = 21000 + env_below(rng, 1000000);
	tx.gas_used = tx.gas / 2;
	tx.nonce = env_below(rng, 50);
	tx.gas_price = cw_u256_from_u64(1 + env_below(rng, 200000000000ull));
	tx.index = (uint32_t)env_below(rng, 200);
	tx.status = env_below(rng, 10) > 0;
	for (int i = 0; i < 32; i += 8) {
		uint64_t w = env_random(rng);

		memcpy(tx.hash.b + i, &w, 8);
	}
	tx.input_size = (uint32_t)env_below(rng, 600);
	tx.input_head_size = tx.input_size < CW_TX_INPUT_HEAD ? tx.input_size : CW_TX_INPUT_HEAD;
	tx.input_head[0] = (uint8_t)env_below(rng, 5);
	tx.has |= CW_TX_HAS_GAS_USED | CW_TX_HAS_STATUS | CW_TX_HAS_INDEX;
	if (env_below(rng, 20) == 0)
		tx.has &= ~(uint32_t)(CW_TX_HAS_TO | CW_TX_HAS_GAS_USED | CW_TX_HAS_INPUT);
	return tx;
}

/* The folder of test data, or NULL: then the caller says that it was skipped. */
static inline FILE *env_data(const char *file)
{
	const char *folder = getenv("CHAINWATCH_TEST_DATA");
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : "../shared/data", file);
	f = fopen(path, "r");
	if (f == NULL)
		fprintf(stderr, "skipped: no %s (CHAINWATCH_TEST_DATA names the folder)\n", path);
	return f;
}

static inline int env_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

#endif
