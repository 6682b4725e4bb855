/* bench_rules.c - the shipped rules over a stream of transactions, in one process, as the evaluator runs them.
 *
 *	bench_rules [transactions] [rules/x.lua ...]      default 200000, all of rules/
 *
 * Prints transactions a second with and without prefetch and with the JIT off, nanoseconds of each rule, and what one
 * call of each kind costs. The stream is the simulator's: heavy tails, half of it calls, attacks of every kind. The first
 * quarter warms state and traces and is not timed. Yardstick: 100,000 transactions a second with prefetch for the whole
 * pack. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "lua/evaluator.h"
#include "lua/rule.h"
#include "lua/vm.h"
#include "pipeline/evaluate.h"
#include "source/simulate.h"
#include "state/state.h"

#define ADDRESSES 100000
#define BATCH 128
#define FILES_MAX 128

/* The simulator's stream, attacks of every kind in it. */
static void make_stream(struct cw_tx *txs, size_t n)
{
	struct cw_sim_conf conf;
	struct cw_sim *sim;
	struct cw_tx_in in;
	struct cw_err err;
	const char *label;
	size_t i;

	cw_sim_conf_init(&conf);
	conf.blocks = n / conf.tx_per_block * 2 + 100;
	sim = cw_sim_new(&conf, &err);
	for (i = 0; sim != NULL && i < n && cw_sim_next(sim, &in, &label); i++) {
		txs[i] = in.tx;
		txs[i].seq = i + 1;
		if (in.tx.nlogs > 0) {
			struct cw_tx_log *logs = cw_alloc(in.tx.nlogs * sizeof(*logs));

			memcpy(logs, in.tx.logs, in.tx.nlogs * sizeof(*logs));
			txs[i].logs = logs;   /* to the end of the process */
		}
	}
	if (i < n) {
		fprintf(stderr, "the simulator gave %zu transactions\n", i);
		exit(1);
	}
	cw_sim_free(&sim);
}

/* CPU time of this thread: other processes on the machine do not count. */
static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

struct stream { struct cw_tx *txs; size_t n; };

static void read_file(struct cw_bundle_file *file, const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = cw_alloc(1 << 16);

	if (f == NULL) {
		fprintf(stderr, "could not read \"%s\"\n", path);
		exit(1);
	}
	*file = (struct cw_bundle_file){ path, text, fread(text, 1, 1 << 16, f) };
	fclose(f);
}

static _Noreturn void stop(const struct cw_err *err)
{
	fprintf(stderr, "%s\n", err->msg);
	exit(1);
}

/* Runs the stream; ns for each transaction after the first quarter. */
static double run(const struct cw_bundle *bundle, const struct stream *stream, const char *options, bool prefetch,
                  uint64_t *alerts)
{
	const struct cw_state_conf conf = { .max_bytes = (size_t)2 << 30, .journal_bytes = (size_t)64 << 20, .populate = true };
	const struct cw_evaluator_ops *ops = &cw_lua_evaluator;
	struct cw_bundle own = *bundle;
	struct cw_buf report = CW_BUF_INIT, out = CW_BUF_INIT;
	volatile uint32_t running = 0;
	struct cw_err err;
	struct cw_state *st = cw_state_new(&conf, &err);
	size_t warm = stream->n / 4, quiet = 0;
	double from = 0, to;
	void *ctx;

	own.options_json = options;
	own.tested = true;
	ctx = st != NULL ? ops->load(&own, NULL, &report, &err) : NULL;
	if (ctx == NULL || ops->attach(ctx, st, &err) != 0)
		stop(&err);
	for (size_t i = 0; i < stream->n; i++) {
		if (i == warm)
			from = cpu_ns();
		for (int stage = 0; prefetch && i + 9 < stream->n && stage < 3; stage++)
			ops->prefetch(ctx, &stream->txs[i + 9 - 3 * (size_t)stage], stage);
		cw_buf_clear(&out);
		ops->evaluate(ctx, &stream->txs[i], &out, &running);
		quiet = i == 0 ? out.len : quiet < out.len ? quiet : out.len;
		*alerts += out.len > quiet;
		if (i % BATCH == BATCH - 1)
			cw_state_mark(st, stream->txs[i].seq, stream->txs[i].block_number);
	}
	to = cpu_ns();
	ops->free(ctx);
	cw_state_close(&st);
	cw_buf_release(&report);
	cw_buf_release(&out);
	return (to - from) / (double)(stream->n - warm);
}

/* The best of three: another process on the machine can only make it slower. */
static double best(const struct cw_bundle *bundle, const struct stream *stream, const char *options, bool prefetch,
                   uint64_t *alerts)
{
	double least = INFINITY;

	for (int i = 0; i < 3; i++) {
		*alerts = 0;
		least = fmin(least, run(bundle, stream, options, prefetch, alerts));
	}
	return least;
}

static void show(const char *what, double ns, uint64_t alerts, size_t n)
{
	printf("%-34s %8.0f ns  %8.0f tx/s  %6.2f alerts per 1000\n", what, ns, 1e9 / ns, (double)alerts * 1e3 / (double)n);
	fflush(stdout);
}

/* A rule that does one thing each transaction, to see what it costs. */
static const struct { const char *what, *state, *body; } calls[] = {
	{ "an empty rule", "", "" },
	{ "three numbers of tx", "", "local x = tx.value + tx.gas + tx.timestamp" },
	{ "one text of tx", "", "local x = tx.from" },
	{ "window.count:add", "window.count { key = 'from', span = '10m' }", "s.x:add(tx)" },
	{ "window.sum:add", "window.sum { key = 'from', of = 'value', span = '1h' }", "s.x:add(tx)" },
	{ "window.distinct:add", "window.distinct { key = 'from', of = 'to', span = '10m' }", "s.x:add(tx)" },
	{ "stat.robust:add, one entry", "stat.robust { of = 'value', min = 1 }", "s.x:add(tx)" },
	{ "stat.robust:add, by sender", "stat.robust { key = 'from', of = 'value', min = 1 }", "s.x:add(tx)" },
	{ "stat.ewma:add", "stat.ewma { of = 'gas_price' }", "s.x:add(tx)" },
	{ "key.first_seen:add", "key.first_seen { key = 'from' }", "s.x:add(tx)" },
	{ "list.contains:has", "list.contains { category = 'mixer' }", "s.x:has(tx, 'from')" },
};

static void bench_call(int i, const struct stream *stream)
{
	char text[1024];
	struct cw_bundle_file file = { "call.lua", text, 0 };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1 };
	uint64_t alerts;

	file.len = (size_t)snprintf(text, sizeof(text),
		"return rule { id = 'x.y', version = '1.0.0', severity = 'low', title = 't', description = 'd',\n"
		"state = function(p) return { %s%s } end, evaluate = function(tx, s, p) %s end,\n"
		"tests = { { name = 'a', given = tx {}, expect = 'quiet' }, { name = 'b', given = tx {}, expect = 'alert' } } }",
		calls[i].state[0] != '\0' ? "x = " : "", calls[i].state, calls[i].body);
	show(calls[i].what, best(&bundle, stream, "{}", true, &alerts), 0, 1);
}

int main(int argc, char **argv)
{
	static struct cw_bundle_file files[FILES_MAX];
	struct cw_bundle bundle = { .rules = files };
	struct stream stream = { .n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000 };
	uint64_t alerts = 0;
	glob_t found = { 0 };
	double ns;

	cw_vm_prepare_process();
	if (argc <= 2 && glob("rules/*.lua", 0, NULL, &found) == 0) {
		argv = found.gl_pathv - 2;
		argc = (int)found.gl_pathc + 2;
	}
	for (int i = 2; i < argc && bundle.nrules < FILES_MAX; i++)
		read_file(&files[bundle.nrules++], argv[i]);
	stream.txs = cw_alloc(stream.n * sizeof(*stream.txs));
	make_stream(stream.txs, stream.n);
	ns = best(&bundle, &stream, "{}", true, &alerts);
	show("all rules, prefetch", ns, alerts, stream.n);
	ns = best(&bundle, &stream, "{}", false, &alerts);
	show("all rules, no prefetch", ns, alerts, stream.n);
	ns = best(&bundle, &stream, "{\"jit\":false}", true, &alerts);
	show("all rules, prefetch, JIT off", ns, alerts, stream.n);
	for (int i = 0; i < bundle.nrules; i++) {
		struct cw_bundle one = { .rules = &files[i], .nrules = 1 };

		ns = best(&one, &stream, "{}", true, &alerts);
		show(files[i].name, ns, alerts, stream.n);
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		bench_call((int)i, &stream);
	globfree(&found);
	cw_free(stream.txs);
	for (int i = 0; i < bundle.nrules; i++)
		cw_free((void *)(uintptr_t)files[i].text);
	return 0;
}
