/* evaluator.c - the operations that the evaluator process calls: a bundle becomes a set of rules, transactions become
 * verdicts. */
#include "lua/evaluator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "detect/lists.h"
#include "lua/guard.h"
#include "lua/rule.h"
#include "lua/rulestate.h"
#include "lua/ruletest.h"
#include "lua/run.h"
#include "pipeline/evaluate.h"
#include "pipeline/verdict.h"
#include "state/state.h"

#define CONTEXT_MAGIC 0x6c756165u

struct context {
	uint32_t magic;
	struct cw_rules *rules;
	struct cw_lists *lists;
	const struct cw_lists *lists_before;
	struct cw_state *st;
	uint64_t judged;                  /* seq of the last transaction */
	struct cw_rule_meter *meters, *own_meters;
	struct cw_buf dropped, note;      /* verdicts of history; how the verdict at hand came about */
	uint32_t turn;                    /* counts transactions, to sample */
	uint32_t words;                   /* of the sets below: bit i % 64 of word i / 64 is rule i */
	uint64_t calm[CW_RULES_MAX / 64], warming[CW_RULES_MAX / 64];
};

static struct cw_rule_meter *bound_meters;

/* --- options --- */

static int read_count(const struct cw_json *options, const char *key, double min, double max, double *out,
                      struct cw_err *err)
{
	const struct cw_json *value = cw_json_get(options, key);

	if (value == NULL)
		return 0;
	if (value->type != CW_JSON_NUMBER || !cw_json_to_double(value, out) || *out < min || *out > max)
		return cw_err_set(err, CW_ERR_INVALID, "rules: option \"%s\" must be a number from %.15g to %.15g", key, min, max);
	return 0;
}

static int read_flag(const struct cw_json *options, const char *key, bool *out, struct cw_err *err)
{
	const struct cw_json *value = cw_json_get(options, key);

	if (value == NULL)
		return 0;
	if (value->type != CW_JSON_TRUE && value->type != CW_JSON_FALSE)
		return cw_err_set(err, CW_ERR_INVALID, "rules: option \"%s\" must be true or false", key);
	*out = value->type == CW_JSON_TRUE;
	return 0;
}

static int check_names(const struct cw_json *options, struct cw_err *err)
{
	static const char *const known[] = { "ticks", "wall_ms", "memory_bytes", "state_bytes", "jit", "run_tests",
	                                    "loose_params", "run", "trace" };

	for (const struct cw_json *m = options->first; m != NULL; m = m->next) {
		bool is = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is = is || strcmp(m->key, known[i]) == 0;
		if (!is)
			return cw_err_set(err, CW_ERR_INVALID, "rules: unknown option \"%s\"", m->key);
	}
	return 0;
}

/* `run`: the world in which the first file is run once instead of loading rules, or NULL. */
static int read_run(const struct cw_json *options, const char **run, struct cw_err *err)
{
	const struct cw_json *value = cw_json_get(options, "run");

	*run = NULL;
	if (value == NULL)
		return 0;
	if (value->type != CW_JSON_STRING || (strcmp(value->text, "rules") != 0 && strcmp(value->text, "scripts") != 0))
		return cw_err_set(err, CW_ERR_INVALID, "rules: option \"run\" must be rules or scripts");
	*run = value->text;
	return 0;
}

static int read_options(const char *text, struct cw_rules_conf *conf, bool *run_tests, const char **run,
                        struct cw_arena *arena, struct cw_err *err)
{
	double ticks = (double)conf->ticks, wall_ms = (double)conf->wall_us / 1000;
	double memory = (double)conf->memory_bytes, state = (double)conf->state_bytes;
	const struct cw_json *options;
	struct cw_json_error fault;

	options = cw_json_parse(text, strlen(text), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	if (options == NULL || options->type != CW_JSON_OBJECT)
		return cw_err_set(err, CW_ERR_INVALID, "rules: options are not a JSON object");
	if (check_names(options, err) != 0 || read_count(options, "ticks", 1000, 1e12, &ticks, err) != 0 ||
	    read_count(options, "wall_ms", 0, 60000, &wall_ms, err) != 0 ||
	    read_count(options, "memory_bytes", 8 << 20, 1e12, &memory, err) != 0 ||
	    read_count(options, "state_bytes", 0, 1e13, &state, err) != 0 ||
	    read_flag(options, "jit", &conf->jit, err) != 0 || read_flag(options, "run_tests", run_tests, err) != 0 ||
	    read_flag(options, "loose_params", &conf->loose_params, err) != 0 ||
	    read_flag(options, "trace", &conf->trace, err) != 0 || read_run(options, run, err) != 0)
		return -1;
	conf->ticks = (int64_t)ticks;
	conf->wall_us = (int64_t)(wall_ms * 1000);
	conf->memory_bytes = (size_t)memory;
	conf->state_bytes = (size_t)state;
	return 0;
}

/* --- digest --- */

/* libsodium and not OpenSSL: this runs behind the seccomp filter, and OpenSSL opens its configuration at first use. */

/* Each part with its length in front, so that no two bundles feed the same bytes. */
static void feed(crypto_hash_sha256_state *sha, const char *bytes, size_t len)
{
	uint64_t size = len;

	crypto_hash_sha256_update(sha, (const uint8_t *)&size, sizeof(size));
	crypto_hash_sha256_update(sha, (const uint8_t *)bytes, len);
}

static int compare_files(const void *a, const void *b)
{
	const struct cw_bundle_file *x = *(const struct cw_bundle_file *const *)a;
	const struct cw_bundle_file *y = *(const struct cw_bundle_file *const *)b;

	return strcmp(x->name, y->name);
}

static void feed_files(crypto_hash_sha256_state *sha, const struct cw_bundle_file *files, int n)
{
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	const struct cw_bundle_file **sorted = cw_alloc((size_t)n * sizeof(*sorted));
	uint64_t count = (uint64_t)n;

	for (int i = 0; i < n; i++)
		sorted[i] = &files[i];
	/* NOLINTNEXTLINE(bugprone-sizeof-expression) */
	qsort(sorted, (size_t)n, sizeof(*sorted), compare_files);
	crypto_hash_sha256_update(sha, (const uint8_t *)&count, sizeof(count));
	for (int i = 0; i < n; i++) {
		feed(sha, sorted[i]->name, strlen(sorted[i]->name));
		feed(sha, sorted[i]->text, sorted[i]->len);
	}
	cw_free(sorted);
}

void cw_lua_bundle_digest(const struct cw_bundle *bundle, char out[65])
{
	crypto_hash_sha256_state sha;
	const char *params = bundle->params_json != NULL ? bundle->params_json : "{}";
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_init(&sha);
	feed_files(&sha, bundle->rules, bundle->nrules);
	feed_files(&sha, bundle->lists, bundle->nlists);
	feed(&sha, params, strlen(params));
	crypto_hash_sha256_final(&sha, hash);
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* --- load --- */

/* "lists/labels.csv" is the list "labels". */
static int load_list(struct cw_lists *lists, const struct cw_bundle_file *file, struct cw_err *err)
{
	const char *slash = strrchr(file->name, '/'), *base = slash != NULL ? slash + 1 : file->name;
	uint8_t digest[crypto_hash_sha256_BYTES];
	char name[128], checksum[17];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	crypto_hash_sha256(digest, (const uint8_t *)file->text, file->len);
	sodium_bin2hex(checksum, sizeof(checksum), digest, 8);
	if (cw_lists_add_csv(lists, name, file->text, file->len, checksum, err) < 0)
		return cw_err_wrap(err, "%s", file->name);
	return 0;
}

static int load_lists(struct context *c, const struct cw_bundle *bundle, struct cw_err *err)
{
	c->lists = cw_lists_new();
	for (int i = 0; i < bundle->nlists; i++)
		if (load_list(c->lists, &bundle->lists[i], err) != 0)
			return -1;
	cw_lists_seal(c->lists);
	return 0;
}

static void write_report(const struct context *c, const struct cw_bundle *bundle, const struct cw_rules_conf *conf,
                         struct cw_buf *out)
{
	char digest[65];

	cw_lua_bundle_digest(bundle, digest);
	cw_buf_printf(out, "{\"digest\":\"%s\",\"ticks\":%lld,\"wall_ms\":%lld,\"memory_bytes\":%zu,\"jit\":%s,"
	              "\"list_entries\":%zu,\"rules\":[", digest, (long long)conf->ticks, (long long)conf->wall_us / 1000,
	              conf->memory_bytes, conf->jit ? "true" : "false", cw_lists_count(c->lists));
	for (uint32_t i = 0; i < cw_rules_count(c->rules); i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		cw_rule_describe(c->rules, cw_rules_at(c->rules, i), out);
	}
	cw_buf_puts(out, "]}");
}

static void ops_free(void *ctx)
{
	struct context *c = CW_CAST(ctx, CONTEXT_MAGIC);

	cw_rules_free(&c->rules);
	if (cw_lists_current() == c->lists)
		cw_lists_use(c->lists_before);
	cw_lists_free(&c->lists);
	cw_free(c->own_meters);
	cw_buf_release(&c->dropped);
	cw_buf_release(&c->note);
	c->magic = 0;
	cw_free(c);
}

/* Option "run": the first file is no rule; it is run once in that world, and the report is {"output"}. */
static int run_once(const struct cw_bundle *bundle, const struct cw_rules_conf *rules, const char *world,
                    struct cw_buf *report, struct cw_err *err)
{
	const struct cw_bundle_file *file = &bundle->rules[0];
	struct cw_run_conf conf = { .world = CW_WORLD_RULES, .jit = rules->jit, .ticks = rules->ticks,
		                        .memory_bytes = rules->memory_bytes };
	struct cw_buf out = CW_BUF_INIT;
	int rc;

	if (strcmp(world, "scripts") == 0)
		conf.world = CW_WORLD_SCRIPTS;
	rc = cw_lua_run(&conf, file->name, file->text, file->len, &out, err);
	if (rc == 0) {
		cw_buf_puts(report, "{\"output\":");
		cw_json_put_string(report, out.data, out.len);
		cw_buf_putc(report, '}');
	}
	cw_buf_release(&out);
	return rc;
}

static int load(struct context *c, const struct cw_bundle *bundle, struct cw_state *scratch, struct cw_arena *arena,
                struct cw_buf *report, struct cw_err *err)
{
	struct cw_rules_conf conf = cw_rules_conf_default;
	const char *options = bundle->options_json != NULL ? bundle->options_json : "{}";
	bool run_tests = true;
	const char *run = NULL;

	if (read_options(options, &conf, &run_tests, &run, arena, err) != 0)
		return -1;
	if (run != NULL && bundle->nrules == 1)
		return run_once(bundle, &conf, run, report, err);
	if (load_lists(c, bundle, err) != 0)
		return -1;
	/* The rules that go live come from a VM in which no test has run. */
	c->rules = cw_rules_load(bundle, &conf, err);
	if (c->rules == NULL)
		return -1;
	if (run_tests && !bundle->tested && scratch != NULL && cw_ruletest_bundle(bundle, &conf, scratch, c->rules, err) != 0)
		return -1;
	write_report(c, bundle, &conf, report);
	return 0;
}

static void *ops_load(const struct cw_bundle *bundle, struct cw_state *scratch, struct cw_buf *report,
                      struct cw_err *err)
{
	struct context *c = cw_zalloc(sizeof(*c));
	struct cw_arena *arena = cw_arena_new();
	int failed;

	c->magic = CONTEXT_MAGIC;
	c->dropped = c->note = (struct cw_buf)CW_BUF_INIT;
	c->meters = bound_meters;
	if (c->meters == NULL)
		c->meters = c->own_meters = cw_zalloc(CW_RULES_MAX * sizeof(*c->meters));
	failed = load(c, bundle, scratch, arena, report, err);
	cw_arena_free(&arena);
	if (failed) {
		ops_free(c);
		return NULL;
	}
	return c;
}

/* How complete the state of a rule is, for the engine to see. */
static void show_state(const struct context *c, uint32_t i)
{
	const struct cw_rule *rule = cw_rules_at(c->rules, i);

	c->meters[i].gap = rule->warming ? cw_rulestate_seen(rule) + 1 : 0;
	c->meters[i].from = cw_rulestate_from(rule);
	c->meters[i].owner = cw_rulestate_owner(rule);
}

/* Which rules take part as they are, and which of the others are to be looked at before each transaction. */
static void sort_rules(struct context *c)
{
	c->words = (cw_rules_count(c->rules) + 63) / 64;
	memset(c->calm, 0, sizeof(c->calm));
	memset(c->warming, 0, sizeof(c->warming));
	for (uint32_t i = 0; i < cw_rules_count(c->rules); i++) {
		const struct cw_rule *rule = cw_rules_at(c->rules, i);

		if (rule->enabled)
			(rule->warming ? c->warming : c->calm)[i / 64] |= 1ull << (i % 64);
	}
}

static int ops_attach(void *ctx, struct cw_state *st, struct cw_err *err)
{
	struct context *c = CW_CAST(ctx, CONTEXT_MAGIC);

	c->lists_before = cw_lists_use(c->lists);
	c->st = st;
	c->judged = cw_state_seq(st);
	if (cw_rules_attach(c->rules, st, err) != 0)
		return -1;
	for (uint32_t i = 0; i < cw_rules_count(c->rules); i++)
		show_state(c, i);
	sort_rules(c);
	return 0;
}

/* --- evaluate --- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void measure(struct cw_rule_meter *m, uint64_t ns)
{
	int i = 0;

	while (i < CW_METER_BUCKETS - 1 && ns > cw_meter_bounds_ns[i])
		i++;
	m->buckets[i]++;
	m->sampled++;
	m->sampled_ns += ns;
}

/* One rule on the current transaction. */
static void judge(struct context *c, struct cw_rule *rule, struct cw_rule_meter *m, struct cw_buf *out)
{
	struct cw_rule_result result;

	cw_rule_run(c->rules, rule->live, &result);
	if (cw_rules_conf(c->rules)->trace) {
		cw_buf_puts(&c->note, c->note.len > 0 ? "," : "{\"rules\":[");
		cw_rule_explain(c->rules, rule->live, &result, &c->note);
	}
	m->calls += !result.skipped;
	m->ticks += (uint64_t)result.ticks;
	if (result.kind == CW_RULE_ALERTED) {
		m->fires++;
		cw_verdict_alert(out, &result.alert);
	} else if (result.kind == CW_RULE_FAILED) {
		m->faults[result.fault.kind]++;
		cw_verdict_fault(out, &result.fault);
	}
}

/* A rule that lacks nothing of what was judged so far takes part from now on. */
static bool is_ready(struct context *c, uint32_t i)
{
	struct cw_rule *rule = cw_rules_at(c->rules, i);

	if (!rule->enabled)
		return false;
	if (!rule->warming)
		return true;
	if (cw_rulestate_seen(rule) < c->judged)
		return false;
	cw_rulestate_set_seen(rule, c->st, CW_RULESTATE_COMPLETE);
	cw_rulestate_set_from(rule, c->st, c->judged);
	show_state(c, i);
	sort_rules(c);
	return true;
}

static void ops_evaluate(void *ctx, const struct cw_tx *tx, struct cw_buf *out, volatile uint32_t *running)
{
	struct context *c = CW_CAST(ctx, CONTEXT_MAGIC);
	bool sampled = c->turn++ % CW_METER_SAMPLE == 0;
	uint64_t before = sampled ? now_ns() : 0;

	cw_verdict_begin(out, tx->seq);
	cw_rules_set_tx(c->rules, tx);
	for (uint32_t w = 0; w < c->words; w++)
		for (uint64_t left = (c->calm[w] & cw_rules_wanted(c->rules, w)) | c->warming[w]; left != 0; left &= left - 1) {
			uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(left);

			if ((c->calm[w] & left & -left) == 0 && !is_ready(c, i))
				continue;
			*running = i + 1;
			judge(c, cw_rules_at(c->rules, i), &c->meters[i], out);
			if (sampled) {
				uint64_t after = now_ns();

				measure(&c->meters[i], after - before);
				before = after;
			}
		}
	*running = 0;
	c->judged = tx->seq;
	if (c->note.len > 0) {
		cw_buf_puts(&c->note, "]}");
		cw_verdict_note(out, c->note.data);
		cw_buf_clear(&c->note);
	}
	cw_verdict_end(out);
	cw_vm_tidy(cw_rules_vm(c->rules));
}

static void ops_warm(void *ctx, const struct cw_tx *tx, bool end, volatile uint32_t *running)
{
	struct context *c = CW_CAST(ctx, CONTEXT_MAGIC);
	struct cw_rule_meter unused = { 0 };
	bool set = false;

	for (uint32_t i = 0; i < cw_rules_count(c->rules); i++) {
		struct cw_rule *rule = cw_rules_at(c->rules, i);

		if (!rule->enabled || !rule->warming || cw_rulestate_seen(rule) >= tx->seq)
			continue;
		if (!end) {
			if (!set)
				cw_rules_set_tx(c->rules, tx);
			set = true;
			*running = i + 1;
			cw_buf_clear(&c->dropped);
			cw_verdict_begin(&c->dropped, tx->seq);
			judge(c, rule, &unused, &c->dropped);
			c->meters[i].warmed++;
		}
		cw_rulestate_set_seen(rule, c->st, tx->seq);
		show_state(c, i);
		(void)is_ready(c, i);
	}
	sort_rules(c);
	*running = 0;
	cw_vm_tidy(cw_rules_vm(c->rules));
}

static void ops_prefetch(void *ctx, const struct cw_tx *tx, int stage)
{
	struct context *c = CW_CAST(ctx, CONTEXT_MAGIC);

	cw_rules_prefetch(c->rules, tx, stage);
}

static void ops_set_enabled(void *ctx, uint32_t rule, bool enabled)
{
	struct context *c = CW_CAST(ctx, CONTEXT_MAGIC);
	struct cw_rule *r = cw_rules_at(c->rules, rule);

	if (r == NULL)
		return;
	/* What it will not see from here on it lacks. */
	if (r->enabled && !enabled && !r->warming && c->st != NULL) {
		cw_rulestate_set_seen(r, c->st, c->judged);
		show_state(c, rule);
	}
	r->enabled = enabled;
	sort_rules(c);
}

static void bind_meters(struct cw_rule_meter *meters)
{
	bound_meters = meters;
}

const struct cw_evaluator_ops cw_lua_evaluator = {
	.load = ops_load,
	.attach = ops_attach,
	.evaluate = ops_evaluate,
	.prefetch = ops_prefetch,
	.set_enabled = ops_set_enabled,
	.free = ops_free,
	.bind_stop = cw_guard_watch,
	.bind_meters = bind_meters,
	.warm = ops_warm,
};
