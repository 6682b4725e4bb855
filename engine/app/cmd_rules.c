/* cmd_rules.c - chainwatch rules: one function a sub-verb, and what the sub-verbs share. */
#include "app/cmd_rules.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/config.h"
#include "app/labels.h"
#include "app/reload.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/suggest.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pipeline/evaluate.h"
#include "store/labels.h"

static const struct sub {
	const char *name;
	int (*fn)(int argc, char **argv, struct cw_zygote *zygote);
	const char *what;
} subs[] = {
	{ "new", cw_rules_new, "write a rule to start from, with tests that pass" },
	{ "lint", cw_rules_lint, "look files over: unknown fields, options and methods, missing tests, metadata" },
	{ "test", cw_rules_test, "run the tests of rules, as a reload would; shows what a failing one saw" },
	{ "explain", cw_rules_explain, "why rules fired on a transaction, or did not: values, baselines, comparisons" },
	{ "backtest", cw_rules_backtest, "what rules would have found in stored history or in files" },
	{ "diff", cw_rules_diff, "two versions over the same stream: files, history, or the trial on live traffic" },
	{ "bench", cw_rules_bench, "what rules cost: a transaction, a call of a state" },
	{ "list", cw_rules_list, "the rules of the running engine: version, status, counts, cost" },
	{ "show", cw_rules_show, "one of them, with its candidate; or its text" },
	{ "submit", cw_rules_submit, "try a version on live traffic, in shadow, beside the live one" },
	{ "promote", cw_rules_promote, "make the candidate the live version" },
	{ "withdraw", cw_rules_withdraw, "end a trial" },
	{ "quarantine", cw_rules_cmd_quarantine, "take a version of a rule out" },
	{ "release", cw_rules_cmd_release, "let it out of quarantine" },
	{ "disable", cw_rules_cmd_disable, "take a rule out, whatever its version" },
	{ "enable", cw_rules_cmd_enable, "let it judge again" },
	{ "alarms", cw_rules_alarms, "rules that fell silent or flooded" },
};
#define SUBS (sizeof(subs) / sizeof(*subs))

/* --- shared --- */

int cw_rules_next(struct cw_cli *cli, int argc, char **argv, const struct option *own, struct cw_operands *operands)
{
	for (;;) {
		int opt = cw_cli_next(cli, argc, argv, own);
		bool all = optind > 1 && optind <= argc && strcmp(argv[optind - 1], "--") == 0;

		if (opt != -1 || optind >= argc)
			return opt;
		do {
			if (operands->n == CW_OPERANDS_MAX) {
				cw_cli_usage_error(cli, "more than %d files", CW_OPERANDS_MAX);
				return '?';
			}
			operands->list[operands->n++] = argv[optind++];
		} while (all && optind < argc);
	}
}

int cw_rules_read(const struct cw_config *config, const struct cw_operands *operands, struct cw_bundle *bundle,
                  struct cw_arena *arena, struct cw_err *err)
{
	if (cw_reload_read_bundle(config, bundle, arena, err) != 0) {
		if (operands->n == 0 || err->code != CW_ERR_NOT_FOUND)
			return -1;
		bundle->nrules = bundle->nlists = 0;      /* no folder of rules here: the files named are all there is */
	}
	return operands->n > 0 ? cw_bundle_read_paths(bundle, operands->list, operands->n, arena, err) : 0;
}

static void on_signal(void *arg, int signal)
{
	struct cw_rules_bench *bench = arg;

	(void)signal;
	bench->interrupted = true;
}

int cw_rules_bench_open(struct cw_rules_bench *bench, const struct cw_cli *cli, const struct cw_config *config,
                        bool database)
{
	struct cw_pool_conf conf = cw_pool_conf_default;
	struct cw_err err;

	cw_log_set_level(NULL, CW_LOG_WARN);      /* what an evaluator does is not for the analyst */
	*bench = (struct cw_rules_bench){ .loop = cw_loop_new() };
	cw_loop_on_signal(bench->loop, SIGINT, on_signal, bench);
	cw_loop_on_signal(bench->loop, SIGTERM, on_signal, bench);
	if (!database)
		return 0;
	bench->database = cw_cli_database(cli, config);
	if (bench->database == NULL) {
		cw_rules_bench_close(bench);
		return 69;
	}
	conf.conninfo = cw_cli_database_conninfo(bench->database);
	conf.size = 2;
	conf.overflow = 0;
	conf.statement_ms = 600000;
	bench->pool = cw_pool_new(bench->loop, &conf, &err);
	if (bench->pool != NULL)
		return 0;
	cw_rules_bench_close(bench);
	return cw_cli_fail(cli, &err);
}

struct stored_lists {
	struct cw_arena *arena;
	struct cw_bundle_file *files;
	int n;
	bool done;
	struct cw_err err;
};

static void on_lists(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct stored_lists *lists = arg;
	int64_t state;

	lists->done = true;
	if (err != NULL)
		lists->err = *err;
	else
		lists->files = cw_labels_files(res, &lists->n, &state, lists->arena);
}

int cw_rules_bench_lists(struct cw_rules_bench *bench, struct cw_bundle *bundle, struct cw_arena *arena, struct cw_err *err)
{
	struct stored_lists lists = { .arena = arena };
	struct cw_bundle_file *all;
	uint64_t query;

	if (bench->pool == NULL)
		return 0;
	query = cw_labels_documents(bench->pool, on_lists, &lists);
	while (!lists.done && !bench->interrupted)
		cw_loop_run_once(bench->loop);
	if (!lists.done)
		cw_pool_cancel(bench->pool, query);
	if (strcmp(lists.err.sqlstate, "42P01") == 0)      /* a schema of before there were versions of lists */
		return 0;
	if (lists.err.code != CW_OK) {
		*err = lists.err;
		return cw_err_wrap(err, "could not read the address lists");
	}
	all = cw_arena_zalloc(arena, ((size_t)bundle->nlists + (size_t)lists.n + 1) * sizeof(*all));
	if (bundle->nlists > 0)
		memcpy(all, bundle->lists, (size_t)bundle->nlists * sizeof(*all));
	if (lists.n > 0)
		memcpy(all + bundle->nlists, lists.files, (size_t)lists.n * sizeof(*all));
	bundle->lists = all;
	bundle->nlists += lists.n;
	return 0;
}

void cw_rules_bench_close(struct cw_rules_bench *bench)
{
	cw_pool_free(&bench->pool);
	cw_cli_database_done(&bench->database);
	cw_loop_free(&bench->loop);
}

/* --- the verb --- */

static int usage(FILE *out)
{
	fprintf(out, "usage: chainwatch rules VERB [options]\n\n");
	for (size_t i = 0; i < SUBS; i++)
		fprintf(out, "  %-10s %s\n", subs[i].name, subs[i].what);
	fprintf(out, "\n\"chainwatch rules VERB --help\" tells more; docs/RULES.md is the tutorial.\n");
	return out == stdout ? 0 : 2;
}

int cw_cmd_rules(int argc, char **argv, struct cw_zygote **zygote)
{
	const char *names[SUBS + 1], *near;

	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	for (size_t i = 0; i < SUBS; i++) {
		if (strcmp(argv[1], subs[i].name) == 0)
			return subs[i].fn(argc - 1, argv + 1, *zygote);
		names[i] = subs[i].name;
	}
	names[SUBS] = NULL;
	near = cw_suggest(argv[1], names);
	fprintf(stderr, "chainwatch rules: unknown verb \"%s\"%s%s%s\n", argv[1], near != NULL ? " (did you mean \"" : "",
	        near != NULL ? near : "", near != NULL ? "\"?)" : "");
	return usage(stderr);
}
