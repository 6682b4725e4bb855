/* cmd_rules_explain.c - chainwatch rules explain: why rules fired on a transaction, or did not. */
#include <stdio.h>
#include <string.h>

#include "app/bundle.h"
#include "app/cmd_rules.h"
#include "app/config.h"
#include "app/explain.h"
#include "app/explain_text.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "loop/loop.h"

struct wanted {
	const char *hash, *rule, *version;
	char *files[CW_OPERANDS_MAX];        /* streams */
	int nfiles;
	struct cw_operands rules;
	bool all;                            /* also rules that were skipped or quiet, without --rule */
};

struct answer { struct cw_buf json; struct cw_err err; bool done, failed; };

static void on_answer(void *arg, const char *json, const struct cw_err *err)
{
	struct answer *a = arg;

	a->done = true;
	a->failed = err != NULL;
	if (err != NULL)
		a->err = *err;
	else
		cw_buf_puts(&a->json, json);
}

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = object != NULL ? cw_json_get(object, name) : NULL;

	return value != NULL && value->text != NULL ? value->text : "";
}

static void put_verdict(const struct cw_json *rule, struct cw_buf *out)
{
	const struct cw_json *alert = cw_json_get(rule, "alert"), *fault = cw_json_get(rule, "fault");
	const struct cw_json *agrees = cw_json_get(rule, "agrees"), *live = cw_json_get(rule, "live");

	cw_buf_printf(out, "%s %s: %s", text_of(rule, "rule"), text_of(rule, "version"), text_of(rule, "outcome"));
	if (alert != NULL)
		cw_buf_printf(out, ", %s, score %s, dedup %s\n  %s", text_of(alert, "severity"), text_of(alert, "score"),
		              text_of(alert, "dedup"), text_of(alert, "explanation"));
	if (fault != NULL)
		cw_buf_printf(out, " (%s)\n  %s", text_of(fault, "kind"), text_of(fault, "message"));
	cw_buf_putc(out, '\n');
	if (agrees != NULL && agrees->type == CW_JSON_TRUE)
		cw_buf_puts(out, "  live traffic said the same\n");
	else if (agrees != NULL && agrees->type == CW_JSON_FALSE)
		cw_buf_printf(out, "  live traffic said otherwise: %s %s (state or version was another then)\n", text_of(live, "outcome"),
		              text_of(live, "version"));
}

static void print(const struct answer *a, const struct wanted *w)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *json = cw_json_parse(a->json.data, a->json.len, CW_JSON_DEPTH_DEFAULT, arena, &fault);
	const struct cw_json *tx = json != NULL ? cw_json_get(json, "transaction") : NULL;
	const struct cw_json *rules = json != NULL ? cw_json_get(json, "rules") : NULL;
	struct cw_buf out = CW_BUF_INIT;
	int others = 0;

	cw_buf_printf(&out, "transaction %s\n  block %s, time %s, from %s to %s, %s wei\n  after %s transactions of history\n",
	              text_of(tx, "hash"), text_of(tx, "blockNumber"), text_of(tx, "timestamp"), text_of(tx, "from"),
	              text_of(tx, "to")[0] != '\0' ? text_of(tx, "to") : "(creation)", text_of(tx, "value"),
	              text_of(json, "replayed"));
	for (const struct cw_json *rule = rules != NULL ? rules->first : NULL; rule != NULL; rule = rule->next) {
		bool told = w->rule != NULL || w->all || strcmp(text_of(rule, "outcome"), "alert") == 0 ||
		            strcmp(text_of(rule, "outcome"), "fault") == 0 || rules->first->next == NULL;

		cw_buf_putc(&out, told ? '\n' : ' ');
		if (!told)
			out.len--;
		if (!told)
			others++;
		if (!told)
			continue;
		put_verdict(rule, &out);
		cw_explain_put_text(rule, "  ", &out);
	}
	out.data[out.len] = '\0';
	if (others > 0)
		cw_buf_printf(&out, "\n%d rule%s said nothing: --rule ID or --all shows why\n", others, others == 1 ? "" : "s");
	fwrite(out.data, 1, out.len, stdout);
	cw_buf_release(&out);
	cw_arena_free(&arena);
}

/* The rules of files, where they are given or where there is no store to take them from; of them the one wanted. */
static int read_rules(const struct wanted *w, const struct cw_config *config, struct cw_bundle *bundle,
                      struct cw_arena *arena, struct cw_err *err)
{
	int n = 0;

	if (cw_rules_read(config, &w->rules, bundle, arena, err) != 0)
		return -1;
	if (w->rule == NULL)
		return 0;
	for (int i = 0; i < bundle->nrules; i++) {      /* by its text: loading is what comes next */
		char quoted[80];

		snprintf(quoted, sizeof(quoted), "\"%s\"", w->rule);
		if (strstr(bundle->rules[i].text, quoted) != NULL)
			bundle->rules[n++] = bundle->rules[i];
	}
	bundle->nrules = n;
	return n > 0 ? 0 : cw_err_set(err, CW_ERR_NOT_FOUND, "no file has rule \"%s\"", w->rule);
}

static int explain(const struct cw_cli *cli, const struct cw_config *config, const struct wanted *w,
                   struct cw_zygote *zygote)
{
	struct cw_arena *arena = cw_arena_new();
	struct answer answer = { .json = CW_BUF_INIT };
	struct cw_bundle bundle = { .params_json = "{}" };
	struct cw_rules_bench bench;
	struct cw_explain *x = NULL;
	bool given = w->rules.n > 0 || w->nfiles > 0;
	int rc = cw_rules_bench_open(&bench, cli, config, w->nfiles == 0);
	struct cw_err err = { .code = CW_OK };

	if (rc != 0) {
		cw_arena_free(&arena);
		return rc;
	}
	rc = given ? read_rules(w, config, &bundle, arena, &err) : cw_rules_read(config, &w->rules, &bundle, arena, &err);
	if (rc == 0)
		rc = cw_rules_bench_lists(&bench, &bundle, arena, &err);
	if (rc == 0) {
		const struct cw_explain_conf conf = {
			.loop = bench.loop, .zygote = zygote, .config = config, .pool = bench.pool,
			.files = w->files, .nfiles = w->nfiles, .hash = w->hash, .rule = w->rule, .version = w->version,
			.bundle = &bundle, .given = given,
		};

		x = cw_explain_new(&conf, on_answer, &answer, &err);
	}
	while (x != NULL && !answer.done && !bench.interrupted)
		cw_loop_run_once(bench.loop);
	cw_explain_free(&x);
	if (err.code == CW_OK && answer.failed)
		err = answer.err;
	if (err.code != CW_OK)
		rc = cw_cli_fail(cli, &err);
	else if (!answer.done)
		rc = 130;
	else if (cli->json)
		printf("%s\n", answer.json.data);
	else
		print(&answer, w);
	cw_buf_release(&answer.json);
	cw_rules_bench_close(&bench);
	cw_arena_free(&arena);
	return rc;
}

int cw_rules_explain(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "rule", required_argument, NULL, 256 }, { "version", required_argument, NULL, 257 },
		{ "file", required_argument, NULL, 258 }, { "rules", required_argument, NULL, 259 },
		{ "all", no_argument, NULL, 260 }, { NULL, 0, NULL, 0 },
	};
	static struct wanted w;
	struct cw_cli cli = {
		.verb = "rules explain",
		.usage = "rules explain [options] TXHASH\n\n"
		         "Why rules fired on a transaction, or did not: parameters, the calls of their states with results and\n"
		         "contents, both sides of every comparison, and the condition that decided. The rules run over the stored\n"
		         "history before the transaction, aside; a running engine does not notice.\n\n"
		         "      --rule ID            this rule only, fired or not\n"
		         "      --version V          a version of it that was live once (with --rule)\n"
		         "      --file FILE          take the transactions from a file instead (may be repeated)\n"
		         "      --rules FILE|FOLDER  rules from files instead of the live ones (may be repeated)\n"
		         "      --all                show the rules that said nothing too\n",
	};
	struct cw_operands operands = { .n = 0 };
	struct cw_config *config;
	int opt, rc;

	memset(&w, 0, sizeof(w));
	while ((opt = cw_rules_next(&cli, argc, argv, own, &operands)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 256)
			w.rule = optarg;
		else if (opt == 257)
			w.version = optarg;
		else if (opt == 258 && w.nfiles < CW_OPERANDS_MAX)
			w.files[w.nfiles++] = optarg;
		else if (opt == 259 && w.rules.n < CW_OPERANDS_MAX)
			w.rules.list[w.rules.n++] = optarg;
		w.all = w.all || opt == 260;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (operands.n != 1)
		return cw_cli_usage_error(&cli, "say one transaction hash");
	if (w.version != NULL && (w.rule == NULL || w.nfiles > 0 || w.rules.n > 0))
		return cw_cli_usage_error(&cli, "--version goes with --rule and stored history, not with --file or --rules");
	w.hash = operands.list[0];
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = explain(&cli, config, &w, zygote);
	cw_config_free(&config);
	return rc;
}
