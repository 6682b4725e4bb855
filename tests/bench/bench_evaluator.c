/* Round trips, throughput and replacement of an evaluator, through the ring, with seccomp and the undo log on.
 *
 * usage: bench_evaluator [look-ups per transaction, default 24] [keys, default 1000000] [seconds per figure, default 2]
 *
 * The evaluator is C and does what 6 rules with 4 primitives each would do to the arena: so many counts in a dictionary
 * of {count, sum, last}, addresses drawn evenly, and one plain verdict. Prints one figure a line: name, value, unit. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pipeline/supervise.h"
#include "state/dict.h"
#include "state/state.h"

#define LOOKUPS_MAX 256
#define SAMPLES_MAX 200000

struct value { uint64_t count; double sum; int64_t last; };

static unsigned lookups = 24, keys = 1000000;
static int seconds = 2;

/* --- the evaluator --- */

static struct cw_dict *dict;

static void *load(const struct cw_bundle *bundle, struct cw_state *scratch, struct cw_buf *report, struct cw_err *err)
{
	(void)bundle;
	(void)scratch;
	(void)err;
	cw_buf_puts(report, "{}");
	return &dict;
}

static int attach(void *ctx, struct cw_state *st, struct cw_err *err)
{
	static const uint8_t digest[16];
	struct cw_state_root *root = cw_state_root_open(st, "bench/keys", digest);
	struct cw_dict_conf conf = { .value_size = sizeof(struct value), .max_keys = keys, .owner = root->owner };

	(void)ctx;
	dict = cw_dict_open(st, &conf, &root->ref, err);
	return dict != NULL ? 0 : -1;
}

static void make_key(struct cw_dict_key *key, uint64_t seq, unsigned i)
{
	uint64_t x = (seq * LOOKUPS_MAX + i) * 0x9e3779b97f4a7c15u;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	x = (x >> 32) * keys >> 32;
	memset(key, 0, sizeof(*key));
	memcpy(key->b, &x, sizeof(x));
}

static void evaluate(void *ctx, const struct cw_tx *tx, struct cw_buf *out, volatile uint32_t *running)
{
	(void)ctx;
	cw_verdict_begin(out, tx->seq);
	for (unsigned i = 0; i < lookups; i++) {
		struct cw_dict_key key;
		struct value *v;

		if (i % 4 == 0)
			*running = i / 4 + 1;
		make_key(&key, tx->seq, i);
		v = cw_dict_upsert(dict, &key, tx->timestamp, NULL);
		v->count++;
		v->sum += (double)tx->nonce;
		v->last = tx->timestamp;
	}
	*running = 0;
	cw_verdict_end(out);
}

static void prefetch(void *ctx, const struct cw_tx *tx, int stage)
{
	(void)ctx;
	for (unsigned i = 0; i < lookups; i++) {
		struct cw_dict_key key;

		make_key(&key, tx->seq, i);
		if (stage == 0 && !cw_dict_ahead(dict, i))
			continue;
		cw_dict_fetch(dict, i, &key);    /* one dictionary stands for many here: its slots are not enough */
		if (stage > 0)
			cw_dict_fetch_on(dict, i, stage);
	}
}

static void set_enabled(void *ctx, uint32_t rule, bool enabled)
{
	(void)ctx;
	(void)rule;
	(void)enabled;
}

static void release(void *ctx)
{
	(void)ctx;
	cw_dict_close(&dict);
}

static const struct cw_evaluator_ops ops = { .load = load, .attach = attach, .evaluate = evaluate,
	.prefetch = prefetch, .set_enabled = set_enabled, .free = release };

/* --- the engine's side --- */

static struct cw_loop *loop;
static struct cw_supervisor *s;
static uint64_t sent, received;
static int activated, replaced;
static struct cw_tx tx = { .timestamp = 1700000000 };
static int64_t samples[SAMPLES_MAX];

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	(void)len;
	received = seq;
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	(void)arg;
	(void)rule;
	activated += event == CW_ACTIVATED;
	replaced += event == CW_EVALUATOR_REPLACED;
	if (event == CW_STATE_LOST || event == CW_ACTIVATION_FAILED) {
		fprintf(stderr, "event %d: %s\n", (int)event, reason);
		exit(1);
	}
}

static void on_load(void *arg, const char *report, const struct cw_err *err)
{
	(void)arg;
	(void)report;
	if (err != NULL) {
		fprintf(stderr, "%s\n", err->msg);
		exit(1);
	}
	cw_supervisor_activate(s, NULL, 0);
}

static void submit(unsigned n)
{
	const struct cw_tx *list = &tx;

	/* The ring's wake-up is for the first alone; a batch comes as one, like a group of the pipeline. */
	static struct cw_tx txs[4096];
	static const struct cw_tx *ptrs[4096];

	if (n == 1) {
		tx.seq = ++sent;
		tx.block_number = sent / 200;
		cw_supervisor_submit(s, &list, 1);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		txs[i] = tx;
		txs[i].seq = ++sent;
		txs[i].block_number = sent / 200;
		ptrs[i] = &txs[i];
	}
	cw_supervisor_submit(s, ptrs, n);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void print_quantiles(const char *name, int n)
{
	qsort(samples, (size_t)n, sizeof(samples[0]), by_size);
	printf("%-34s p50 %8.1f us   p99 %8.1f us   (%d)\n", name, (double)samples[n / 2], (double)samples[n * 99 / 100], n);
	fflush(stdout);
}

static void round_trips(const char *name, unsigned batch, int64_t idle_us)
{
	int64_t end = cw_clock_mono_us() + (int64_t)seconds * 1000000;
	int n = 0;

	while (n < SAMPLES_MAX && cw_clock_mono_us() < end) {
		int64_t start = cw_clock_mono_us();

		while (cw_clock_mono_us() - start < idle_us)
			;
		start = cw_clock_mono_us();
		submit(batch);
		while (received < sent)
			cw_loop_run_once(loop);
		samples[n++] = cw_clock_mono_us() - start;
	}
	print_quantiles(name, n);
}

static double pipelined(int for_seconds)
{
	int64_t start = cw_clock_mono_us(), end = start + (int64_t)for_seconds * 1000000;
	uint64_t first = received;

	while (cw_clock_mono_us() < end) {
		uint32_t room = cw_supervisor_room(s);

		if (room >= 64)
			submit(room > 1024 ? 1024 : room);
		cw_loop_run_once(loop);
	}
	while (received < sent)
		cw_loop_run_once(loop);
	return (double)(received - first) / ((double)(cw_clock_mono_us() - start) / 1e6);
}

static void replacements(int tries)
{
	for (int i = 0; i < tries; i++) {
		int64_t start;

		submit(64);
		start = cw_clock_mono_us();
		kill((pid_t)cw_supervisor_stats(s).pid, SIGKILL);
		while (replaced == i || received < sent)
			cw_loop_run_once(loop);
		samples[i] = cw_clock_mono_us() - start;
	}
	print_quantiles("kill to verdicts of 64", tries);
}

static void reloads(int tries)
{
	struct cw_bundle bundle = { .params_json = "{}" };

	for (int i = 0; i < tries; i++) {
		int64_t start = cw_clock_mono_us();
		int want = activated + 1;

		if (cw_supervisor_load(s, &bundle, on_load, NULL, NULL) != 0)
			exit(1);
		while (activated < want)
			cw_loop_run_once(loop);
		samples[i] = cw_clock_mono_us() - start;
	}
	print_quantiles("load to activated", tries);
}

int main(int argc, char **argv)
{
	const struct cw_state_conf state = { .max_bytes = 1ul << 30, .journal_bytes = 256u << 20 };
	struct cw_err err = { .code = CW_OK };
	struct cw_zygote *zygote;
	struct cw_state *st;
	double best = 0;

	lookups = argc > 1 ? (unsigned)atoi(argv[1]) : lookups;
	keys = argc > 2 ? (unsigned)atoi(argv[2]) : keys;
	seconds = argc > 3 ? atoi(argv[3]) : seconds;
	if (lookups < 1 || lookups > LOOKUPS_MAX || keys < 1 || seconds < 1) {
		fprintf(stderr, "usage: bench_evaluator [look-ups 1-%d] [keys] [seconds]\n", LOOKUPS_MAX);
		return 2;
	}
	zygote = cw_zygote_start(&ops, &err);
	cw_log_set_level(NULL, CW_LOG_ERROR);
	loop = cw_loop_new();
	st = cw_state_new(&state, &err);
	if (zygote != NULL && st != NULL)
		s = cw_supervisor_new(loop, zygote, st, &cw_supervisor_conf_default, on_verdict, on_event, NULL, &err);
	if (s == NULL) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	reloads(1);
	printf("%u look-ups a transaction among %u keys\n", lookups, keys);
	while (sent < 4ull * keys / lookups)     /* nearly all keys exist, the log is warm */
		pipelined(1);
	round_trips("one, back to back", 1, 0);
	round_trips("one, after 0.5 ms idle", 1, 500);
	round_trips("64, back to back", 64, 0);
	round_trips("64, after 0.5 ms idle", 64, 500);
	for (int i = 0; i < 3; i++) {
		double rate = pipelined(seconds);

		best = rate > best ? rate : best;
		printf("%-34s %12.0f transactions/s\n", "pipelined", rate);
	}
	printf("%-34s %12.0f transactions/s\n", "pipelined, best of three", best);
	replacements(100);
	reloads(100);
	cw_supervisor_free(&s);
	cw_state_close(&st);
	cw_loop_free(&loop);
	cw_zygote_stop(&zygote);
	return 0;
}
