/* cmd_rules_test.c - chainwatch rules test: the tests that rules carry, in the sandbox and under the budgets of production;
 * results for people, TAP, JUnit or JSON. */
#include <stdio.h>
#include <string.h>

#include "app/cmd_rules.h"
#include "app/config.h"
#include "app/explain_text.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "lua/rule.h"
#include "lua/ruletest.h"
#include "pipeline/evaluate.h"
#include "state/state.h"

enum format { FORMAT_TEXT = 0, FORMAT_TAP, FORMAT_JUNIT, FORMAT_JSON };

struct report {
	enum format format;
	int total, failed;
	const char *file;                /* of the last result */
	struct cw_buf body;
	struct cw_arena *arena;
};

/* --- one result in each format --- */

static void put_explanation(struct report *r, const struct cw_ruletest_result *t, const char *indent)
{
	struct cw_json_error fault;
	const struct cw_json *json;

	if (t->explain[0] == '\0')
		return;
	json = cw_json_parse(t->explain, strlen(t->explain), CW_JSON_DEPTH_DEFAULT, r->arena, &fault);
	if (json == NULL)
		return;
	cw_buf_printf(&r->body, "%swhat the rule saw on transaction %llu:\n", indent, (unsigned long long)t->explained);
	cw_explain_put_text(json, indent, &r->body);
	cw_arena_clear(r->arena);
}

static void put_text(struct report *r, const struct cw_ruletest_result *t)
{
	if (r->file == NULL || strcmp(r->file, t->file) != 0)
		cw_buf_printf(&r->body, "%s%s%s%s\n", t->file, t->rule[0] != '\0' ? "  " : "", t->rule, "");
	cw_buf_printf(&r->body, "  %-4s %s", t->failed ? "FAIL" : "ok", t->name);
	if (!t->failed)
		cw_buf_printf(&r->body, "  (%llu transactions, %.1f ms)\n", (unsigned long long)t->transactions, (double)t->us / 1000);
	else
		cw_buf_printf(&r->body, "\n       %s\n", t->message);
	if (t->failed)
		put_explanation(r, t, "       ");
}

/* Behind every line feed, so that a diagnostic stays one. */
static void put_lines(struct cw_buf *out, const char *text, const char *before)
{
	for (const char *p = text; *p != '\0';) {
		size_t len = strcspn(p, "\n");

		cw_buf_printf(out, "%s%.*s\n", before, (int)len, p);
		p += len + (p[len] == '\n');
	}
}

static void put_tap(struct report *r, const struct cw_ruletest_result *t)
{
	struct cw_buf own = r->body;

	cw_buf_printf(&r->body, "%sok %d - %s%s%s\n", t->failed ? "not " : "", r->total, t->rule[0] != '\0' ? t->rule : t->file,
	              ": ", t->name);
	if (!t->failed)
		return;
	put_lines(&r->body, t->message, "# ");
	own = r->body;
	r->body = (struct cw_buf)CW_BUF_INIT;
	put_explanation(r, t, "");
	put_lines(&own, r->body.data, "# ");
	cw_buf_release(&r->body);
	r->body = own;
}

static void put_xml(struct cw_buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '<': cw_buf_puts(out, "&lt;"); break;
		case '>': cw_buf_puts(out, "&gt;"); break;
		case '&': cw_buf_puts(out, "&amp;"); break;
		case '"': cw_buf_puts(out, "&quot;"); break;
		default:
			/* XML 1.0 has no other control characters, not even as references */
			cw_buf_putc(out, (unsigned char)*text >= 32 || *text == '\n' || *text == '\t' ? *text : '?');
		}
}

static void put_junit(struct report *r, const struct cw_ruletest_result *t)
{
	struct cw_buf own;

	cw_buf_puts(&r->body, "    <testcase classname=\"");
	put_xml(&r->body, t->rule[0] != '\0' ? t->rule : t->file);
	cw_buf_puts(&r->body, "\" name=\"");
	put_xml(&r->body, t->name);
	cw_buf_puts(&r->body, "\" file=\"");
	put_xml(&r->body, t->file);
	cw_buf_printf(&r->body, "\" time=\"%.6f\"", (double)t->us / 1e6);
	if (!t->failed) {
		cw_buf_puts(&r->body, "/>\n");
		return;
	}
	cw_buf_puts(&r->body, ">\n      <failure message=\"");
	put_xml(&r->body, t->message);
	cw_buf_puts(&r->body, "\">");
	own = r->body;
	r->body = (struct cw_buf)CW_BUF_INIT;
	put_explanation(r, t, "");
	put_xml(&own, r->body.data);
	cw_buf_release(&r->body);
	r->body = own;
	cw_buf_puts(&r->body, "</failure>\n    </testcase>\n");
}

static void put_json(struct report *r, const struct cw_ruletest_result *t)
{
	cw_buf_printf(&r->body, "%s{\"file\":", r->total > 1 ? "," : "");
	cw_json_put_cstring(&r->body, t->file);
	cw_buf_puts(&r->body, ",\"rule\":");
	cw_json_put_cstring(&r->body, t->rule);
	cw_buf_puts(&r->body, ",\"name\":");
	cw_json_put_cstring(&r->body, t->name);
	cw_buf_printf(&r->body, ",\"passed\":%s,\"line\":%d,\"transactions\":%llu,\"ms\":%.3f,\"message\":",
	              t->failed ? "false" : "true", t->line, (unsigned long long)t->transactions, (double)t->us / 1000);
	cw_json_put_cstring(&r->body, t->message);
	if (t->explain[0] != '\0')
		cw_buf_printf(&r->body, ",\"explained\":%llu,\"explain\":%s", (unsigned long long)t->explained, t->explain);
	cw_buf_putc(&r->body, '}');
}

static void on_result(void *arg, const struct cw_ruletest_result *t)
{
	struct report *r = arg;

	r->total++;
	r->failed += t->failed;
	switch (r->format) {
	case FORMAT_TEXT: put_text(r, t); break;
	case FORMAT_TAP: put_tap(r, t); break;
	case FORMAT_JUNIT: put_junit(r, t); break;
	case FORMAT_JSON: put_json(r, t); break;
	}
	r->file = t->file;
}

/* --- the whole --- */

/* Only together it shows that two files have the same id, or that an override does not fit. */
static void try_together(struct report *r, const struct cw_bundle *bundle, const struct cw_rules_conf *conf)
{
	struct cw_err err;
	struct cw_rules *rules = r->failed == 0 ? cw_rules_load(bundle, conf, &err) : NULL;
	const struct cw_ruletest_result result = { .file = "all files", .rule = "", .name = "the files load together",
		                                       .failed = rules == NULL, .message = rules == NULL ? err.msg : "",
		                                       .explain = "" };

	if (r->failed == 0 && rules == NULL)
		on_result(r, &result);
	cw_rules_free(&rules);
}

static void print(const struct report *r, double seconds)
{
	switch (r->format) {
	case FORMAT_TEXT:
		printf("%s%d test%s, %d failed, %.2f s\n", r->body.data, r->total, r->total == 1 ? "" : "s", r->failed, seconds);
		break;
	case FORMAT_TAP: printf("TAP version 13\n1..%d\n%s", r->total, r->body.data); break;
	case FORMAT_JUNIT:
		printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%d\" failures=\"%d\" time=\"%.3f\">\n"
		       "  <testsuite name=\"chainwatch rules\" tests=\"%d\" failures=\"%d\" time=\"%.3f\">\n%s  </testsuite>\n"
		       "</testsuites>\n", r->total, r->failed, seconds, r->total, r->failed, seconds, r->body.data);
		break;
	case FORMAT_JSON:
		printf("{\"tests\":[%s],\"passed\":%d,\"failed\":%d,\"seconds\":%.3f}\n", r->body.data, r->total - r->failed,
		       r->failed, seconds);
	}
}

static int run(const struct cw_cli *cli, const struct cw_config *config, const struct cw_operands *operands,
               enum format format, const char *rule, const char *filter)
{
	static const struct cw_state_conf state = { .max_bytes = 256u << 20, .journal_bytes = 16u << 20 };
	struct cw_rules_conf conf = cw_rules_conf_default;
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle bundle = { .params_json = "{}" };
	struct report report = { .format = format, .body = CW_BUF_INIT, .arena = cw_arena_new() };
	int64_t from_us = cw_clock_mono_us();
	struct cw_state *scratch = NULL;
	struct cw_err err;
	int rc = cw_rules_read(config, operands, &bundle, arena, &err);

	conf.ticks = config->ticks;
	conf.memory_bytes = (size_t)config->rule_memory_mb << 20;
	conf.loose_params = operands->n > 0;
	if (rc == 0 && (scratch = cw_state_new(&state, &err)) == NULL)
		rc = -1;
	if (rc == 0) {
		cw_ruletest_each(&bundle, &conf, scratch, rule, filter, on_result, &report);
		try_together(&report, &bundle, &conf);
		print(&report, (double)(cw_clock_mono_us() - from_us) / 1e6);
		rc = report.failed > 0;
		if (report.total == 0) {
			fprintf(stderr, "chainwatch rules test: no test matches\n");
			rc = 1;
		}
	} else {
		cw_cli_fail(cli, &err);
		rc = 2;
	}
	cw_state_close(&scratch);
	cw_buf_release(&report.body);
	cw_arena_free(&report.arena);
	cw_arena_free(&arena);
	return rc;
}

static int parse_format(const char *text)
{
	static const char *const names[] = { "text", "tap", "junit", "json" };

	for (int i = 0; i < 4; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return -1;
}

int cw_rules_test(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "format", required_argument, NULL, 256 }, { "rule", required_argument, NULL, 257 },
		{ "filter", required_argument, NULL, 258 }, { NULL, 0, NULL, 0 },
	};
	struct cw_cli cli = {
		.verb = "rules test",
		.usage = "rules test [options] [FILE|FOLDER...]\n\n"
		         "Runs the tests that rules carry, in the sandbox and under the budgets of production, with the JIT on and\n"
		         "off. For a test that fails it shows what the rule saw: values, comparisons, contents of its states.\n"
		         "Without files: those of the settings (rules.dir). Exit 0: all pass, 1: one fails, 2: files cannot be read.\n\n"
		         "      --format F           text (default), tap, junit, json (as --json)\n"
		         "      --rule ID            only the tests of this rule\n"
		         "      --filter TEXT        only tests whose name contains it\n",
	};
	struct cw_operands operands = { .n = 0 };
	const char *rule = NULL, *filter = NULL;
	struct cw_config *config;
	int opt, rc, format = FORMAT_TEXT;

	(void)zygote;
	while ((opt = cw_rules_next(&cli, argc, argv, own, &operands)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 256 && (format = parse_format(optarg)) < 0)
			return cw_cli_usage_error(&cli, "--format must be text, tap, junit or json, not \"%s\"", optarg);
		rule = opt == 257 ? optarg : rule;
		filter = opt == 258 ? optarg : filter;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = run(&cli, config, &operands, cli.json ? FORMAT_JSON : (enum format)format, rule, filter);
	cw_config_free(&config);
	return rc;
}
