/* bench_speed.c - transactions a second through the rules, over the simulator's stream: `make bench-rules`.
 *
 *	bench_speed [transactions [each|here|there]]   default 200000; all of rules/, the simulator's address list included;
 *	                                        each: also what each rule costs alone; here, there: all rules once, in this
 *	                                        process or across the boundary, for a profiler
 *
 * First in this process, as a function call each, then through an evaluator process as in live operation: ring, seccomp,
 * undo log, guards. CPU time of the thread or process that evaluates, so that others on the machine count less; best of
 * five. Yardsticks: the six rules of the foundation 300,000/s across the boundary, which with the guards may cost at
 * most 15 %; all rules 100,000/s. The first quarter warms state and traces and is not counted. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "lua/evaluator.h"
#include "lua/vm.h"
#include "pipeline/evaluate.h"
#include "pipeline/trial.h"
#include "source/simulate.h"
#include "state/state.h"

#define FILES_MAX 256
#define BATCH 128
#define TRIES 5

static const char *const foundation[] = { "eth.fan_in", "eth.fan_out", "eth.gas_spike", "eth.listed_address",
	                                      "eth.new_wallet", "eth.value_outlier" };

static struct cw_tx *txs;
static size_t ntxs = 200000;
static struct cw_arena *kept;
static struct cw_buf list = CW_BUF_INIT;
static struct cw_bundle_file list_file;

static _Noreturn void stop(const struct cw_err *err)
{
	fprintf(stderr, "%s\n", err->msg);
	exit(1);
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* --- the stream --- */

static void make_stream(void)
{
	struct cw_sim_conf conf;
	struct cw_tx_in in;
	struct cw_sim *sim;
	struct cw_err err;
	const char *label;

	cw_sim_conf_init(&conf);
	conf.blocks = ntxs / conf.tx_per_block * 2 + 10;
	sim = cw_sim_new(&conf, &err);
	if (sim == NULL)
		stop(&err);
	txs = cw_alloc(ntxs * sizeof(*txs));
	for (size_t i = 0; i < ntxs && cw_sim_next(sim, &in, &label); i++) {
		txs[i] = in.tx;
		txs[i].seq = i + 1;
		if (in.tx.nlogs > 0) {
			struct cw_tx_log *logs = cw_arena_alloc(kept, in.tx.nlogs * sizeof(*logs));

			memcpy(logs, in.tx.logs, in.tx.nlogs * sizeof(*logs));
			txs[i].logs = logs;
		}
	}
	cw_sim_put_list(sim, &list);
	list_file = (struct cw_bundle_file){ "lists/simulated.csv", list.data, list.len };
	cw_sim_free(&sim);
}

/* --- in this process --- */

static double run_here(const struct cw_bundle *bundle)
{
	const struct cw_state_conf conf = { .max_bytes = (size_t)2 << 30, .journal_bytes = (size_t)64 << 20, .populate = true };
	const struct cw_evaluator_ops *ops = &cw_lua_evaluator;
	struct cw_buf report = CW_BUF_INIT, out = CW_BUF_INIT;
	volatile uint32_t running = 0;
	struct cw_err err;
	struct cw_state *st = cw_state_new(&conf, &err);
	size_t warm = ntxs / 4;
	double from = 0, to;
	void *ctx = st != NULL ? ops->load(bundle, NULL, &report, &err) : NULL;

	if (ctx == NULL || ops->attach(ctx, st, &err) != 0)
		stop(&err);
	for (size_t i = 0; i < ntxs; i++) {
		if (i == warm)
			from = cpu_ns();
		for (int stage = 0; stage < CW_PREFETCH_STAGES; stage++)
			if (i + 9 - 3 * (size_t)stage < ntxs)
				ops->prefetch(ctx, &txs[i + 9 - 3 * (size_t)stage], stage);
		cw_buf_clear(&out);
		ops->evaluate(ctx, &txs[i], &out, &running);
		if (i % BATCH == BATCH - 1)
			cw_state_mark(st, txs[i].seq, txs[i].block_number);
	}
	to = cpu_ns();
	ops->free(ctx);
	cw_state_close(&st);
	cw_buf_release(&report);
	cw_buf_release(&out);
	return (to - from) / (double)(ntxs - warm);
}

/* --- across the boundary --- */

static struct cw_loop *loop;
static struct cw_zygote *zygote;

struct stage {
	struct cw_trial *trial;
	size_t sent;
	uint64_t alerts;
	int64_t warm_cpu_us, warm_wall_us;
};

static void feed(void *arg)
{
	struct stage *g = arg;
	const struct cw_tx *list_of[256];
	uint32_t room;

	while (g->sent < ntxs && (room = cw_trial_room(g->trial)) > 0) {
		uint32_t n = 0;

		while (n < room && n < 256 && g->sent < ntxs)
			list_of[n++] = &txs[g->sent++];
		cw_trial_submit(g->trial, list_of, n);
	}
}

static void on_ready(void *arg, const char *report)
{
	struct stage *g = arg;

	(void)report;
	cw_trial_go(g->trial, NULL, 0);
	feed(g);
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len)
{
	struct stage *g = arg;

	(void)v;
	(void)bytes;
	(void)len;
	if (tx->seq == ntxs / 4) {
		g->warm_cpu_us = cw_trial_cpu_us(g->trial);
		g->warm_wall_us = cw_clock_mono_us();
	}
}

static void on_failed(void *arg, const struct cw_err *err)
{
	(void)arg;
	stop(err);
}

static double run_there(const struct cw_bundle *bundle, double *wall_ns)
{
	static const struct cw_trial_fns fns = { .ready = on_ready, .verdict = on_verdict, .room = feed, .failed = on_failed };
	const struct cw_trial_conf conf = { .state_bytes = (size_t)2 << 30, .journal_bytes = (size_t)64 << 20 };
	struct stage g = { 0 };
	struct cw_err err;
	double ns;

	g.trial = cw_trial_new(loop, zygote, &conf, &fns, &g, &err);
	if (g.trial == NULL || cw_trial_load(g.trial, bundle, &err) != 0)
		stop(&err);
	while (g.sent < ntxs || !cw_trial_idle(g.trial))
		cw_loop_run_once(loop);
	ns = (double)(cw_trial_cpu_us(g.trial) - g.warm_cpu_us) * 1e3 / (double)(ntxs - ntxs / 4);
	*wall_ns = (double)(cw_clock_mono_us() - g.warm_wall_us) * 1e3 / (double)(ntxs - ntxs / 4);
	cw_trial_free(&g.trial);
	return ns;
}

/* --- rules --- */

static void read_file(struct cw_bundle_file *file, const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = cw_arena_alloc(kept, 1 << 16);
	size_t n = f != NULL ? fread(text, 1, (1 << 16) - 1, f) : 0;

	if (f == NULL) {
		fprintf(stderr, "could not read \"%s\"\n", path);
		exit(1);
	}
	text[n] = '\0';
	*file = (struct cw_bundle_file){ cw_arena_strndup(kept, path, strlen(path)), text, n };
	fclose(f);
}

static bool is_foundation(const struct cw_bundle_file *file)
{
	for (size_t i = 0; i < sizeof(foundation) / sizeof(foundation[0]); i++) {
		char id[64];

		snprintf(id, sizeof(id), "\"%s\"", foundation[i]);
		if (strstr(file->text, id) != NULL)
			return true;
	}
	return false;
}

static void bench(const char *what, const struct cw_bundle *bundle, double goal)
{
	double here = INFINITY, there = INFINITY, wall = INFINITY, w;

	for (int i = 0; i < TRIES; i++) {
		here = fmin(here, run_here(bundle));
		there = fmin(there, run_there(bundle, &w));
		wall = fmin(wall, w);
	}
	printf("%-20s %3d rules  in process %7.0f ns   evaluator process %7.0f ns = %7.0f/s (goal %.0f; wall %.0f/s)   "
	       "boundary %+.1f %%\n", what, bundle->nrules, here, there, 1e9 / there, goal, 1e9 / wall, (there / here - 1) * 100);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct cw_bundle_file all[FILES_MAX], six[8];
	struct cw_bundle bundle = { .rules = all, .lists = &list_file, .nlists = 1, .params_json = "{}", .options_json = "{}",
		                        .tested = true };
	struct cw_bundle base = bundle;
	struct cw_err err;
	glob_t found = { 0 };

	zygote = cw_zygote_start(&cw_lua_evaluator, &err);
	if (zygote == NULL)
		stop(&err);
	cw_vm_prepare_process();
	cw_log_set_level(NULL, CW_LOG_ERROR);
	loop = cw_loop_new();
	kept = cw_arena_new();
	ntxs = argc > 1 ? strtoul(argv[1], NULL, 10) : ntxs;
	make_stream();
	base.rules = six;
	if (glob("rules/*.lua", 0, NULL, &found) != 0)
		return 1;
	for (size_t i = 0; i < found.gl_pathc && bundle.nrules < FILES_MAX; i++) {
		struct cw_bundle_file *file = &all[bundle.nrules++];

		read_file(file, found.gl_pathv[i]);
		if (is_foundation(file) && base.nrules < 8)
			six[base.nrules++] = *file;
	}
	if (argc > 2 && strcmp(argv[2], "here") == 0) {
		printf("in process %.0f ns\n", run_here(&bundle));
		return 0;
	}
	if (argc > 2 && strcmp(argv[2], "there") == 0) {
		double wall = 0;

		printf("evaluator process %.0f ns\n", run_there(&bundle, &wall));
		return 0;
	}
	printf("%zu transactions of the simulator, the last three quarters counted, best of %d\n", ntxs, TRIES);
	bench("foundation", &base, 300000);
	bench("all", &bundle, 100000);
	for (int i = 0; argc > 2 && strcmp(argv[2], "each") == 0 && i < bundle.nrules; i++) {
		struct cw_bundle one = bundle;

		one.rules = &all[i];
		one.nrules = 1;
		printf("%-34s %7.0f ns\n", all[i].name, run_here(&one));
	}
	globfree(&found);
	cw_loop_free(&loop);
	cw_zygote_stop(&zygote);
	cw_arena_free(&kept);
	cw_buf_release(&list);
	cw_free(txs);
	return 0;
}
