/* cmd_rules_bench.c - chainwatch rules bench: what rules cost, a transaction and a call of a state. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd_rules.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "loop/loop.h"
#include "lua/rule.h"
#include "pipeline/evaluate.h"
#include "pipeline/trial.h"
#include "source/file.h"
#include "source/simulate.h"
#include "state/state.h"

#define TXS_DEFAULT 50000
#define CALLS_MAX 1024                 /* kinds of calls: state and method of a rule */
#define CHUNK 256u

struct samples { uint32_t *ns; size_t n; };

struct call {
	char rule[65], state[32], primitive[64], method[32];
	struct samples samples;
};

struct bench {
	const struct cw_cli *cli;
	const struct cw_config *config;
	struct cw_bundle bundle;
	struct cw_arena *arena;
	struct cw_tx *txs;
	size_t n, warm;                    /* the first quarter warms */
	struct cw_state *st;
	struct samples *rules;
	struct call *calls;
	int ncalls;
	const char *rule;                  /* at work */
	bool counting;
	double process_tps, alone_tps, clock_ns;
	/* through the process */
	struct cw_trial *trial;
	size_t next;
	uint64_t judged;
	bool failed;
	struct cw_err err;
};

/* --- the stream, in memory --- */

static void keep_tx(struct bench *b, const struct cw_tx_in *in, size_t max)
{
	struct cw_tx *tx;

	if (b->n == max)
		return;
	tx = &b->txs[b->n++];
	*tx = in->tx;
	tx->seq = b->n;
	if (tx->nlogs > 0) {
		struct cw_tx_log *logs = cw_arena_alloc(b->arena, tx->nlogs * sizeof(*logs));

		memcpy(logs, in->tx.logs, tx->nlogs * sizeof(*logs));
		tx->logs = logs;
	}
}

static int read_stream(struct bench *b, const char *path, size_t max, struct cw_err *err)
{
	struct cw_records *records = cw_records_open(path, err);
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf record = CW_BUF_INIT;
	int rc = records != NULL ? 1 : -1;

	while (rc > 0 && b->n < max) {
		struct cw_tx_faults faults;
		struct cw_json_error fault;
		const struct cw_json *json;
		struct cw_tx_in in;

		rc = cw_records_next(records, &record, err);
		json = rc > 0 ? cw_json_parse(record.data, record.len, CW_JSON_DEPTH_DEFAULT, arena, &fault) : NULL;
		if (json != NULL && cw_tx_from_json(&in, json, (uint64_t)b->config->chain_id, arena, &faults) == 0)
			keep_tx(b, &in, max);
		cw_arena_clear(arena);
	}
	cw_records_close(&records);
	cw_buf_release(&record);
	cw_arena_free(&arena);
	return rc < 0 ? -1 : 0;
}

static int simulate_stream(struct bench *b, size_t max, struct cw_err *err)
{
	struct cw_sim_conf conf;
	struct cw_sim *sim;
	struct cw_tx_in in;
	const char *label;

	cw_sim_conf_init(&conf);
	conf.blocks = max / 100 + 10;
	sim = cw_sim_new(&conf, err);
	if (sim == NULL)
		return -1;
	while (b->n < max && cw_sim_next(sim, &in, &label))
		keep_tx(b, &in, max);
	cw_sim_free(&sim);
	return 0;
}

/* --- in this process: each rule by itself, each call of a state --- */

static int compare_ns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void add_sample(struct samples *s, size_t room, int64_t ns)
{
	if (s->ns == NULL)
		s->ns = cw_alloc(room * sizeof(*s->ns));
	if (s->n < room)
		s->ns[s->n++] = ns < 0 ? 0 : ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static void on_call(void *arg, const char *state, const char *table, const char *primitive, const char *method, uint64_t ns)
{
	struct bench *b = arg;
	struct call *c = NULL;

	if (!b->counting)
		return;
	for (int i = 0; i < b->ncalls && c == NULL; i++)
		if (strcmp(b->calls[i].rule, b->rule) == 0 && strcmp(b->calls[i].state, state) == 0 &&
		    strcmp(b->calls[i].method, method) == 0)
			c = &b->calls[i];
	if (c == NULL) {
		if (b->ncalls == CALLS_MAX)
			return;
		c = &b->calls[b->ncalls++];
		snprintf(c->rule, sizeof(c->rule), "%s", b->rule);
		snprintf(c->state, sizeof(c->state), "%s", state);
		snprintf(c->primitive, sizeof(c->primitive), "%s.%s", table, primitive);
		snprintf(c->method, sizeof(c->method), "%s", method);
	}
	add_sample(&c->samples, b->n, (int64_t)ns - (int64_t)b->clock_ns);
}

/* Half of the samples of an empty measurement take no longer. */
static double clock_cost(void)
{
	uint32_t ns[1001];

	for (int i = 0; i < 1001; i++) {
		int64_t before = cw_clock_mono_ns();

		ns[i] = (uint32_t)(cw_clock_mono_ns() - before);
	}
	qsort(ns, 1001, sizeof(ns[0]), compare_ns);
	return ns[500];
}

/* All rules on all transactions. `timed`: each rule by the clock; else only the whole. */
static int run_rules(struct bench *b, bool jit, bool calls, bool timed, struct cw_err *err)
{
	struct cw_rules_conf conf = cw_rules_conf_default;
	struct cw_rules *rules;
	int64_t from = 0;
	int rc;

	conf.jit = jit;
	conf.ticks = b->config->ticks;
	conf.loose_params = true;
	cw_state_reset(b->st);
	rules = cw_rules_load(&b->bundle, &conf, err);
	if (rules == NULL)
		return -1;
	rc = cw_rules_attach(rules, b->st, err);
	if (rc == 0 && b->rules == NULL)
		b->rules = cw_zalloc(((size_t)cw_rules_count(rules) + 1) * sizeof(*b->rules));
	if (calls)
		cw_rules_on_call(rules, on_call, b);
	for (size_t i = 0; rc == 0 && i < b->n; i++) {
		struct cw_rule_result result;

		b->counting = i >= b->warm;
		if (i == b->warm)
			from = cw_clock_mono_ns();
		cw_rules_set_tx(rules, &b->txs[i]);
		for (uint32_t k = 0; k < cw_rules_count(rules); k++) {
			struct cw_rule *rule = cw_rules_at(rules, k);
			int64_t before = timed ? cw_clock_mono_ns() : 0;

			b->rule = rule->id;
			cw_rule_run(rules, rule->live, &result);
			if (timed && b->counting)
				add_sample(&b->rules[k], b->n, cw_clock_mono_ns() - before - (int64_t)b->clock_ns);
		}
		if (i % 128 == 127)
			cw_state_mark(b->st, b->txs[i].seq, b->txs[i].block_number);
		cw_vm_tidy(cw_rules_vm(rules));
	}
	if (rc == 0 && !timed && !calls)
		b->alone_tps = (double)(b->n - b->warm) * 1e9 / (double)(cw_clock_mono_ns() - from);
	cw_rules_free(&rules);
	return rc;
}

/* --- through the evaluator process --- */

static void on_ready(void *arg, const char *report)
{
	(void)report;
	cw_trial_go(((struct bench *)arg)->trial, NULL, 0);
}

static void feed(void *arg)
{
	struct bench *b = arg;

	while (b->next < b->n) {
		const struct cw_tx *list[CHUNK];
		uint32_t room = cw_trial_room(b->trial), n = 0;

		while (n < room && n < CHUNK && b->next < b->n)
			list[n++] = &b->txs[b->next++];
		if (n == 0)
			return;
		cw_trial_submit(b->trial, list, n);
	}
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len)
{
	(void)tx;
	(void)v;
	(void)bytes;
	(void)len;
	((struct bench *)arg)->judged++;
}

static void on_failed(void *arg, const struct cw_err *err)
{
	struct bench *b = arg;

	b->failed = true;
	b->err = *err;
}

static int run_process(struct bench *b, struct cw_zygote *zygote, struct cw_err *err)
{
	static const struct cw_trial_fns fns = { on_ready, on_verdict, feed, NULL, on_failed };
	const struct cw_trial_conf conf = { .state_bytes = (size_t)b->config->state_mb << 20,
		                                .supervisor = { .ring_slots = 4096 } };
	struct cw_bundle bundle = b->bundle;
	struct cw_loop *loop = cw_loop_new();
	char options[160];
	int64_t from = 0;
	int rc = -1;

	snprintf(options, sizeof(options), "{\"ticks\":%lld,\"run_tests\":false,\"loose_params\":true}",
	         (long long)b->config->ticks);
	bundle.options_json = options;
	b->trial = cw_trial_new(loop, zygote, &conf, &fns, b, err);
	if (b->trial != NULL)
		rc = cw_trial_load(b->trial, &bundle, err);
	while (rc == 0 && !b->failed && b->judged < b->n) {
		cw_loop_run_once(loop);
		if (from == 0 && b->judged >= b->warm) {
			from = cw_clock_mono_ns();
			b->warm = b->judged;
		}
	}
	if (rc == 0 && b->failed) {
		*err = b->err;
		rc = -1;
	}
	if (rc == 0 && b->n > b->warm)
		b->process_tps = (double)(b->n - b->warm) * 1e9 / (double)(cw_clock_mono_ns() - from);
	cw_trial_free(&b->trial);
	cw_loop_free(&loop);
	return rc;
}

/* --- telling --- */

static double mean_of(const struct samples *s)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += s->ns[i];
	return s->n > 0 ? sum / (double)s->n : 0;
}

static uint32_t quantile(const struct samples *s, double q)
{
	return s->n > 0 ? s->ns[(size_t)(q * (double)(s->n - 1))] : 0;
}

static void put_samples(const struct samples *s, struct cw_buf *out)
{
	cw_buf_printf(out, "\"ns\":%.0f,\"p50\":%u,\"p99\":%u", mean_of(s), quantile(s, 0.5), quantile(s, 0.99));
}

static void sort_samples(struct samples *s)
{
	if (s->n > 1)
		qsort(s->ns, s->n, sizeof(*s->ns), compare_ns);
}

static void print(struct bench *b, const char *const *ids, int nrules)
{
	struct cw_buf out = CW_BUF_INIT;
	double measured = (double)(b->n - b->warm);

	for (int i = 0; i < nrules; i++)
		sort_samples(&b->rules[i]);
	for (int i = 0; i < b->ncalls; i++)
		sort_samples(&b->calls[i].samples);
	if (b->cli->json) {
		cw_buf_printf(&out, "{\"transactions\":%zu,\"per_second\":%.0f,\"per_second_without_process\":%.0f,"
		              "\"ns_per_transaction\":%.0f,\"rules\":[", b->n, b->process_tps, b->alone_tps, 1e9 / b->alone_tps);
		for (int i = 0; i < nrules; i++) {
			cw_buf_printf(&out, "%s{\"id\":\"%s\",", i > 0 ? "," : "", ids[i]);
			put_samples(&b->rules[i], &out);
			cw_buf_putc(&out, '}');
		}
		cw_buf_puts(&out, "],\"calls\":[");
		for (int i = 0; i < b->ncalls; i++) {
			const struct call *c = &b->calls[i];

			cw_buf_printf(&out, "%s{\"rule\":\"%s\",\"state\":\"%s\",\"primitive\":\"%s\",\"method\":\"%s\",\"per_transaction\":%.4f,",
			              i > 0 ? "," : "", c->rule, c->state, c->primitive, c->method, (double)c->samples.n / measured);
			put_samples(&c->samples, &out);
			cw_buf_putc(&out, '}');
		}
		cw_buf_puts(&out, "]}\n");
	} else {
		cw_buf_printf(&out, "%zu transactions, the first quarter warms up\n%.0f a second through the evaluator process, %.0f "
		              "without it (%.0f ns a transaction)\n\n%-34s %8s %8s %8s\n", b->n, b->process_tps, b->alone_tps,
		              1e9 / b->alone_tps, "rule (JIT and guards on)", "ns", "p50", "p99");
		for (int i = 0; i < nrules; i++)
			cw_buf_printf(&out, "%-34s %8.0f %8u %8u\n", ids[i], mean_of(&b->rules[i]), quantile(&b->rules[i], 0.5),
			              quantile(&b->rules[i], 0.99));
		cw_buf_printf(&out, "\n%-34s %-22s %-12s %6s %8s %8s %8s\n", "call of a state", "primitive", "method", "per tx", "ns",
		              "p50", "p99");
		for (int i = 0; i < b->ncalls; i++) {
			const struct call *c = &b->calls[i];
			char name[110];

			snprintf(name, sizeof(name), "%s/%s", c->rule, c->state);
			cw_buf_printf(&out, "%-34s %-22s %-12s %6.3f %8.0f %8u %8u\n", name, c->primitive, c->method,
			              (double)c->samples.n / measured, mean_of(&c->samples), quantile(&c->samples, 0.5),
			              quantile(&c->samples, 0.99));
		}
	}
	fwrite(out.data, 1, out.len, stdout);
	cw_buf_release(&out);
}

/* The ids in the order of the rules. */
static int name_rules(struct bench *b, const char ***ids, struct cw_err *err)
{
	struct cw_rules_conf conf = cw_rules_conf_default;
	struct cw_rules *rules;
	int n = 0;

	conf.loose_params = true;
	rules = cw_rules_load(&b->bundle, &conf, err);
	if (rules == NULL)
		return -1;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	*ids = cw_arena_alloc(b->arena, (cw_rules_count(rules) + 1) * sizeof(**ids));
	for (; (uint32_t)n < cw_rules_count(rules); n++)
		(*ids)[n] = cw_arena_strndup(b->arena, cw_rules_at(rules, (uint32_t)n)->id, strlen(cw_rules_at(rules, (uint32_t)n)->id));
	cw_rules_free(&rules);
	return n;
}

static int bench(const struct cw_cli *cli, const struct cw_config *config, const struct cw_operands *operands,
                 const char *stream, size_t max, struct cw_zygote *zygote)
{
	static const struct cw_state_conf state = { .max_bytes = (size_t)2 << 30, .journal_bytes = 64u << 20 };
	struct bench b = { .cli = cli, .config = config, .bundle = { .params_json = "{}" }, .arena = cw_arena_new() };
	const char **ids = NULL;
	struct cw_err err = { .code = CW_OK };
	size_t warm;
	int nrules = -1, rc = cw_rules_read(config, operands, &b.bundle, b.arena, &err);

	b.txs = cw_alloc(max * sizeof(*b.txs));
	b.calls = cw_zalloc(CALLS_MAX * sizeof(*b.calls));
	if (rc == 0)
		rc = stream != NULL ? read_stream(&b, stream, max, &err) : simulate_stream(&b, max, &err);
	if (rc == 0 && b.n < 100)
		rc = cw_err_set(&err, CW_ERR_INVALID, "the stream has %zu transactions, fewer than 100", b.n);
	if (rc == 0 && (b.st = cw_state_new(&state, &err)) == NULL)
		rc = -1;
	b.warm = warm = b.n / 4;
	b.clock_ns = clock_cost();
	if (rc == 0 && (nrules = name_rules(&b, &ids, &err)) < 0)
		rc = -1;
	if (rc == 0)
		rc = run_process(&b, zygote, &err);
	b.warm = warm;
	if (rc == 0)
		rc = run_rules(&b, true, false, false, &err);
	if (rc == 0)
		rc = run_rules(&b, true, false, true, &err);
	if (rc == 0)
		rc = run_rules(&b, false, true, false, &err);
	if (rc == 0)
		print(&b, ids, nrules);
	else
		rc = cw_cli_fail(cli, &err);
	for (int i = 0; i < nrules && b.rules != NULL; i++)
		cw_free(b.rules[i].ns);
	for (int i = 0; i < b.ncalls; i++)
		cw_free(b.calls[i].samples.ns);
	cw_state_close(&b.st);
	cw_free(b.rules);
	cw_free(b.calls);
	cw_free(b.txs);
	cw_arena_free(&b.arena);
	return rc;
}

int cw_rules_bench(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "file", required_argument, NULL, 256 }, { "transactions", required_argument, NULL, 257 }, { NULL, 0, NULL, 0 },
	};
	struct cw_cli cli = {
		.verb = "rules bench",
		.usage = "rules bench [options] [FILE|FOLDER...]\n\n"
		         "What rules cost: transactions a second through the evaluator process and without it, time of each rule on a\n"
		         "transaction (JIT and guards on; mean, p50, p99), and of each call of a state. The cost of the clock is taken\n"
		         "off. FILE and FOLDER are rules (default: those of the settings).\n\n"
		         "      --file F             transactions from a file (default: a simulated stream)\n"
		         "      --transactions N     so many at most, 100 to 1000000 (default 50000)\n",
	};
	struct cw_operands operands = { .n = 0 };
	const char *stream = NULL;
	long long max = TXS_DEFAULT;
	struct cw_config *config;
	int opt, rc;

	while ((opt = cw_rules_next(&cli, argc, argv, own, &operands)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 256)
			stream = optarg;
		else if (!cw_cli_number(&cli, "--transactions", optarg, 100, 1000000, &max))
			return 2;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	cw_log_set_level(NULL, CW_LOG_WARN);
	rc = bench(&cli, config, &operands, stream, (size_t)max, zygote);
	cw_config_free(&config);
	return rc;
}
