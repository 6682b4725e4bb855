/* Figures of the layer detect, each beside its goal where there is one: nanoseconds a call in processor time of this
 * thread, the least of 5 runs (what else runs on the machine only adds). "hot": 20 keys, so that key, state and
 * transaction are in the cache; "wide": 100,000 keys and transactions in random order, as they come from a chain. A
 * mark after every 200 calls, as a block has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "detect/bloom.h"
#include "detect/cms.h"
#include "detect/ddsketch.h"
#include "detect/hll.h"
#include "detect/lists.h"
#include "support/detect_env.h"

#define CALLS 400000
#define BLOCK 200
#define RUNS  5
#define HOT   1000                        /* transactions of the hot stream: it goes round */

static struct cw_tx *stream[2];          /* hot, wide */
static const char *const stream_names[2] = { "hot", "wide" };
static int over;

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double least(const double *x)
{
	double best = x[0];

	for (int i = 1; i < RUNS; i++)
		best = x[i] < best ? x[i] : best;
	return best;
}

static void print(const char *what, const char *how, double ns, double goal)
{
	if (goal > 0) {
		printf("%-34s %-5s %8.1f ns   goal %.0f%s\n", what, how, ns, goal, ns <= goal ? "" : "   OVER");
		over += ns > goal;
	} else {
		printf("%-34s %-5s %8.1f ns\n", what, how, ns);
	}
}

static void make_streams(void)
{
	uint64_t rng = 1;

	for (int k = 0; k < 2; k++) {
		int n = k == 0 ? HOT : CALLS;

		stream[k] = cw_alloc((size_t)n * sizeof(struct cw_tx));
		for (int i = 0; i < n; i++) {
			stream[k][i] = env_random_tx(&rng, 1700000000 + i / 15, k == 0 ? 20 : 100000);
			stream[k][i].has |= CW_TX_HAS_TO | CW_TX_HAS_INPUT;
		}
	}
}

/* One method over a stream; with `prefetch` the next transactions are hinted at as the evaluator does. */
static void run(const char *what, const char *options, const char *method, int k, bool prefetch, double goal)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, what, options);
	cw_method_fn *fn = env_method(&e, method)->fn;
	double ns[RUNS], sum = 0;
	char name[96];
	uint64_t seq = 1;

	for (int r = -1; r < RUNS; r++) {
		double start = cpu_ns();

		for (int i = 0; i < CALLS; i++) {
			struct cw_tx *tx = &stream[k][k == 0 ? i % HOT : i];

			if (prefetch && i + 8 < CALLS) {
				e.p->prefetch(e.h, tx + 8, 0);
				e.p->prefetch(e.h, tx + 4, 1);
			}
			tx->timestamp = 1700000000 + (r + 1) * (CALLS / 15) + i / 15;
			sum += fn(e.h, tx, NAN, NAN) > 0;
			if (i % BLOCK == 0)
				cw_state_mark(st, ++seq, (uint64_t)i / BLOCK);
		}
		if (r >= 0)
			ns[r] = (cpu_ns() - start) / CALLS;
	}
	snprintf(name, sizeof(name), "%s:%s%s", what, method, prefetch ? " prefetch" : "");
	print(name, stream_names[k], least(ns), goal);
	if (sum < 0)
		puts("");
	env_close(&e);
	cw_state_close(&st);
}

static void both(const char *what, const char *options, const char *method, double goal)
{
	run(what, options, method, 0, false, goal);
	run(what, options, method, 1, false, 0);
	run(what, options, method, 1, true, 0);
}

/* Structures by themselves, in plain memory. */
static void plain(void)
{
	static double x[CALLS];
	static uint64_t h[CALLS];
	struct cw_ddsketch *dd = cw_zalloc(cw_ddsketch_size(2048));
	struct cw_hll *hll = cw_zalloc(cw_hll_size(12));
	struct cw_cms_line *cms = cw_zalloc(4096 * sizeof(*cms));
	struct cw_bloom_conf conf = cw_bloom_plan(1e6, 0.01);
	struct cw_bloom_line *bloom = cw_zalloc(conf.lines * sizeof(*bloom));
	double ns[5][RUNS], start;
	uint64_t rng = 2, sum = 0;

	cw_ddsketch_init(NULL, dd, 2048, 0.01);
	cw_hll_init(NULL, hll, 12);
	for (int i = 0; i < CALLS; i++) {
		x[i] = exp(env_normal(&rng) * 2 + 40);
		h[i] = env_random(&rng);
	}
#define TIME(at, expression) \
	start = cpu_ns(); \
	for (int i = 0; i < CALLS; i++) \
		expression; \
	ns[at][r] = (cpu_ns() - start) / CALLS
	for (int r = 0; r < RUNS; r++) {
		TIME(0, cw_ddsketch_add(NULL, dd, x[i]));
		TIME(1, cw_hll_add(NULL, hll, h[i]));
		TIME(2, sum += cw_cms_add(NULL, cms, 4096, h[i], 1));
		TIME(3, sum += cw_bloom_add(NULL, bloom, &conf, h[i]));
		TIME(4, sum += cw_hash64(stream[0][i % HOT].from.b, 20, 0));
	}
#undef TIME
	print("ddsketch add (2048 bins)", "plain", least(ns[0]), 30);
	print("hll add", "plain", least(ns[1]), 30);
	print("count-min add", "plain", least(ns[2]), 30);
	print("bloom add (1.3 MB)", "plain", least(ns[3]), 0);
	print("hash of 20 bytes", "plain", least(ns[4]), 0);
	if (sum == 0)
		puts("");
	cw_free(dd);
	cw_free(hll);
	cw_free(cms);
	cw_free(bloom);
}

/* A million labels: load, memory, look-ups of strangers. */
static void labels(void)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_state *st = env_state();
	double start = cpu_ns(), ns[RUNS];
	struct env_handle e;
	double sum = 0;

	for (uint64_t i = 0; i < 1000000; i++) {
		struct cw_list_entry entry = { .address = env_address(i * 2), .category = "phishing", .confidence = 1 };

		cw_lists_add(l, "labels", &entry, NULL);
	}
	cw_lists_seal(l);
	printf("%-34s       %8.0f ms   %.0f bytes an entry\n", "lists: a million entries", (cpu_ns() - start) / 1e6,
	       (double)cw_lists_bytes(l) / 1e6);
	cw_lists_use(l);
	e = env_open(st, "list.contains", "category=phishing,mixer");
	for (int r = 0; r < RUNS; r++) {
		start = cpu_ns();
		for (int i = 0; i < CALLS; i++)
			sum += env_method(&e, "has")->fn(e.h, &stream[1][i], NAN, NAN);
		ns[r] = (cpu_ns() - start) / CALLS;
	}
	print("list.contains:has (of a million)", "wide", least(ns), 0);
	if (sum < 0)
		puts("");
	env_close(&e);
	cw_lists_use(NULL);
	cw_lists_free(&l);
	cw_state_close(&st);
}

int main(void)
{
	make_streams();
	plain();
	both("window.count", "key=from;span=10m", "add", 60);
	both("window.sum", "key=from;of=value;span=10m", "add", 60);
	both("window.max", "key=from;of=value;span=10m", "add", 60);
	both("window.distinct", "key=from;of=to;span=10m", "add", 0);
	both("window.last", "key=from;of=value", "add", 60);
	both("window.session", "key=from;gap=2m", "add", 60);
	both("window.tumbling", "key=from;span=1d;of=value", "add", 60);
	both("key.first_seen", "key=from", "add", 60);
	both("stat.welford", "key=from;of=value", "add", 60);
	both("stat.ewma", "key=from;of=value", "add", 60);
	both("stat.robust", "key=from;of=value", "add", 0);
	run("stat.robust", "of=value", "add", 1, false, 0);
	run("stat.robust", "of=value", "score", 1, false, 0);
	both("stat.quantile", "key=from;of=gas_price", "add", 0);
	run("stat.quantile", "of=gas_price", "add", 1, false, 60);
	both("stat.histogram", "key=from;of=gas;lo=21000;hi=1000000;scale=log", "add", 0);
	both("stat.benford", "key=from;of=value", "add", 0);
	both("stat.entropy", "key=from;of=to", "add", 0);
	both("stat.season", "key=from;of=value", "add", 0);
	both("stat.activity", "key=from", "add", 0);
	both("sequence.steps", "key=from;span=1h", "done", 0);
	both("sequence.repeats", "key=from;of=to+selector", "add", 0);
	both("sequence.nonce", "", "add", 60);
	both("sequence.sandwich", "", "add", 0);
	both("drift.page_hinkley", "key=from;of=gas_price", "add", 0);
	both("drift.cusum", "key=from;of=gas", "add", 0);
	both("drift.ddm", "key=from", "add", 0);
	both("drift.hddm_a", "key=from", "add", 0);
	both("drift.adwin", "key=from;of=input_size", "add", 0);
	run("drift.kswin", "key=from;of=gas;window=100;recent=30", "add", 0, false, 0);
	run("sketch.distinct", "of=from", "add", 1, false, 60);
	run("sketch.count", "of=from", "add", 1, false, 60);
	run("sketch.top", "of=from", "add", 1, false, 0);
	run("sketch.seen", "of=from", "add", 1, false, 0);
	run("sketch.sample", "of=gas_price", "add", 1, false, 0);
	labels();
	for (int k = 0; k < 2; k++)
		cw_free(stream[k]);
	if (over > 0)
		printf("%d over their goal\n", over);
	return 0;
}
