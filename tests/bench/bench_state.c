/* Figures of the state layer, each beside its yardstick: medians of 5. Touch, updates and rewind in processor time,
 * checkpoints in wall time: run it on a quiet machine. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "state/checkpoint.h"
#include "state/dict.h"
#include "state/state.h"
#include "support/statework.h"

#define KEYS    1000000u
#define BLOCK   2000u             /* updates: 200 transactions with 10 keys each */
#define UPDATES (BLOCK * 400)
#define RUNS    5

struct stats { uint64_t count; double sum; int64_t last; };

static struct cw_state *st;
static struct cw_dict *dict;
static struct cw_dict_key *stream;
static uint64_t seq;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Of this thread: what other programs take from the machine is left out (their use of caches and memory is not). */
static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts in place. */
static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), by_value);
	return values[n / 2];
}

static void report(const char *what, double value, const char *unit, const char *goal)
{
	printf("%-58s %10.2f %-8s %s\n", what, value, unit, goal);
	fflush(stdout);
}

static void mark_next(void)
{
	seq++;
	cw_state_mark(st, seq, seq);
}

static struct cw_dict_key key_of(uint64_t n)
{
	struct cw_dict_key key = { { 0 } };
	uint64_t random = n, word = statework_random(&random);

	memcpy(key.b, &word, sizeof(word));
	memcpy(key.b + 8, &n, sizeof(n));
	return key;
}

static void prepare(void)
{
	struct cw_state_conf conf = { .max_bytes = 1ul << 30, .journal_bytes = 256 << 20, .populate = true };
	struct cw_dict_conf dict_conf = { .value_size = sizeof(struct stats), .max_keys = KEYS, .owner = 1 };
	struct cw_err err;
	uint64_t random = 1;
	double start;

	st = cw_state_new(&conf, &err);
	cw_assert(st != NULL);
	dict = cw_dict_open(st, &dict_conf, cw_state_ptr(st, cw_state_alloc(st, 0, 64)), &err);
	cw_assert(dict != NULL);
	start = cpu_ns();
	for (uint32_t i = 0; i < KEYS; i++) {
		struct cw_dict_key key = key_of(i);

		cw_assert(cw_dict_upsert(dict, &key, i, NULL) != NULL);
		if (i % BLOCK == 0)
			mark_next();
	}
	report("insert of a new key, journaled", (cpu_ns() - start) / KEYS, "ns", "");
	stream = cw_alloc(UPDATES * sizeof(*stream));
	for (uint32_t i = 0; i < UPDATES; i++)
		stream[i] = key_of(statework_random(&random) % KEYS);
}

/* ---------------------------------------------------------------- touch */

static double touch_run(bool journaled)
{
	enum { WORDS = 256, PASSES = 100000 };
	uint64_t *words = cw_state_ptr(st, cw_state_alloc(st, 2, WORDS * 8));
	double start;

	cw_state_touch(st, words, WORDS * 8);
	start = cpu_ns();
	for (int pass = 0; pass < PASSES; pass++)
		for (int i = 0; i < WORDS; i++) {
			if (journaled)
				cw_state_touch(st, &words[i], 8);
			words[i]++;
			__asm__ volatile("" ::: "memory");
		}
	start = cpu_ns() - start;
	cw_state_free(st, 2, cw_state_ref(st, words), WORDS * 8);
	return start / WORDS / PASSES;
}

static void bench_touch(void)
{
	double with[RUNS], without[RUNS];

	for (int i = 0; i < RUNS; i++) {
		without[i] = touch_run(false);
		with[i] = touch_run(true);
	}
	report("hot touch", median(with, RUNS) - median(without, RUNS), "ns", "goal <= 2");
}

/* ---------------------------------------------------------------- updates */

enum kind { PLAIN, JOURNALED, UPSERT, PREFETCHED };

/* 16 keys ahead the bucket, 8 ahead the entry: half a transaction and less. */
static double update_run(enum kind kind)
{
	double start = cpu_ns();

	for (uint32_t i = 0; i < UPDATES; i++) {
		struct stats *value;

		if (kind == PREFETCHED && i + 16 < UPDATES) {
			(void)cw_dict_ahead(dict, i + 16);
			cw_dict_fetch(dict, i + 16, &stream[i + 16]);
			cw_dict_fetch_on(dict, i + 8, 1);
		}
		if (kind == UPSERT || kind == PREFETCHED) {
			value = cw_dict_upsert(dict, &stream[i], i, NULL);
		} else {
			value = cw_dict_find(dict, &stream[i]);
			if (kind == JOURNALED)
				cw_state_touch(st, value, sizeof(*value));
		}
		value->count++;
		value->sum += 1.5;
		value->last = i;
		if ((i + 1) % BLOCK == 0 && kind != PLAIN)
			mark_next();
	}
	return (cpu_ns() - start) / UPDATES;
}

static void bench_updates(void)
{
	double times[4][RUNS], medians[4];

	for (int i = 0; i < RUNS; i++)
		for (int kind = 0; kind < 4; kind++)
			times[kind][i] = update_run((enum kind)kind);
	for (int kind = 0; kind < 4; kind++)
		medians[kind] = median(times[kind], RUNS);
	report("update among 1 M keys, plain", medians[PLAIN], "ns", "");
	report("update among 1 M keys, journaled", medians[JOURNALED], "ns", "");
	report("ratio", medians[JOURNALED] / medians[PLAIN], "", "goal <= 1.5");
	report("upsert among 1 M keys, journaled", medians[UPSERT], "ns", "");
	report("upsert among 1 M keys, journaled and prefetched", medians[PREFETCHED], "ns", "");
	report("prefetch gain", medians[UPSERT] / medians[PREFETCHED], "times", "");
}

/* ---------------------------------------------------------------- rewind */

static void bench_rewind(uint32_t blocks, const char *goal)
{
	double times[RUNS], log = 0;
	char what[64];

	for (int run = 0; run < RUNS; run++) {
		struct cw_state_mark mark, newest;
		uint64_t target = seq;
		double start;

		for (uint32_t i = 0; i < blocks * BLOCK; i++) {
			struct stats *value = cw_dict_upsert(dict, &stream[i % UPDATES], i, NULL);

			value->count++;
			if ((i + 1) % BLOCK == 0)
				mark_next();
		}
		cw_assert(cw_state_find_seq(st, target, &mark) && cw_state_find_seq(st, seq, &newest));
		log = (double)(newest.position - mark.position) / blocks;
		start = cpu_ns();
		cw_assert(cw_state_rewind(st, &mark, NULL) == 0);
		times[run] = (cpu_ns() - start) / 1e6;
		seq = target;
	}
	snprintf(what, sizeof(what), "rewind of %u blocks with 2000 updates each", blocks);
	report(what, median(times, RUNS), "ms", goal);
	report("log of such a block", log / 1e3, "kB", "");
}

/* ---------------------------------------------------------------- checkpoint */

struct shared {
	_Atomic uint64_t updates;
	_Atomic double longest_ms;    /* of 2000 updates, since it was set to 0 */
};

static void evaluate(struct shared *shared)
{
	for (uint64_t n = 0;; n++) {
		double start = now_ns(), took;

		for (uint32_t i = 0; i < BLOCK; i++) {
			struct stats *value = cw_dict_upsert(dict, &stream[(n * BLOCK + i) % UPDATES], (int64_t)n, NULL);

			value->count++;
		}
		mark_next();
		took = (now_ns() - start) / 1e6;
		if (took > shared->longest_ms)
			shared->longest_ms = took;
		shared->updates += BLOCK;
	}
}

static void nap_ms(long ms)
{
	struct timespec span = { .tv_sec = 0, .tv_nsec = ms * 1000000 };

	nanosleep(&span, NULL);
}

static void bench_checkpoint(const char *folder)
{
	static const uint8_t digest[CW_CHECKPOINT_DIGEST];
	struct shared *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double freeze[RUNS], write[RUNS], load[RUNS], with[RUNS], without[RUNS], rate_with[RUNS], rate_without[RUNS];
	struct cw_checkpoint *cp = cw_checkpoint_new();
	struct cw_err err;
	char path[4096];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/bench_state.checkpoint", folder);
	cw_assert(shared != MAP_FAILED);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		evaluate(shared);
	}
	nap_ms(300);
	for (int run = 0; run < RUNS; run++) {
		double start, took;
		uint64_t updates;

		shared->longest_ms = 0;
		updates = shared->updates;
		start = now_ns();
		nap_ms(150);
		rate_without[run] = (double)(shared->updates - updates) / (now_ns() - start) * 1e3;
		without[run] = shared->longest_ms;

		shared->longest_ms = 0;
		updates = shared->updates;
		start = now_ns();
		if (cw_checkpoint_freeze(cp, st, UINT64_MAX, &err) != 0)
			printf("%s\n", err.msg);
		took = now_ns() - start;
		freeze[run] = took / 1e6;
		if (cw_checkpoint_write(cp, digest, path, &err) != 0)
			printf("%s\n", err.msg);
		write[run] = (now_ns() - start - took) / 1e6;
		rate_with[run] = (double)(shared->updates - updates) / (now_ns() - start) * 1e3;
		with[run] = shared->longest_ms;
		nap_ms(50);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	report("checkpoint of 1 M keys: first freeze (maps its buffer)", freeze[0], "ms", "");
	report("checkpoint of 1 M keys: freeze", median(freeze, RUNS), "ms", "");
	report("checkpoint of 1 M keys: checksum, write, fdatasync, rename", median(write, RUNS), "ms", "");
	report("longest block of 2000 updates beside it", median(with, RUNS), "ms", "");
	report("longest block of 2000 updates without it", median(without, RUNS), "ms", "");
	report("updates beside it", median(rate_with, RUNS), "M/s", "");
	report("updates without it", median(rate_without, RUNS), "M/s", "");
	for (int run = 0; run < RUNS; run++) {
		double start = now_ns();

		if (cw_checkpoint_load(st, path, digest, NULL, &err) != 0)
			printf("%s\n", err.msg);
		load[run] = (now_ns() - start) / 1e6;
	}
	report("load of such a checkpoint", median(load, RUNS), "ms", "");
	cw_checkpoint_free(&cp);
	unlink(path);
}

int main(int argc, char **argv)
{
	prepare();
	report("memory of 1 M keys with count, sum, last", (double)cw_state_used(st) / (1 << 20), "MiB", "goal <= 70");
	bench_touch();
	bench_updates();
	bench_rewind(64, "goal <= 3");
	bench_rewind(256, "");
	bench_checkpoint(argc > 1 ? argv[1] : "/tmp");
	cw_dict_close(&dict);
	cw_state_close(&st);
	cw_free(stream);
	return 0;
}
