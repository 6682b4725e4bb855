/* cmd_rules_live.c - chainwatch rules list, show, submit, withdraw, promote, enable, disable, quarantine, release, diff
 * --live, alarms: what the running engine has, and what is done to it. Each is one request; the engine says what is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bundle.h"
#include "app/client.h"
#include "app/cmd_rules.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* One call of a verb: its options and the answer. */
struct ask {
	struct cw_cli cli;
	struct cw_operands operands;
	bool candidate, force, source;
	const char *reason, *since, *live;
	struct cw_buf reply;
	struct cw_arena *arena;
};

/* --- reading answers --- */

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);

	return value != NULL && value->text != NULL ? value->text : "";
}

static double number_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);
	double number = 0;

	if (value != NULL && value->type == CW_JSON_NUMBER)
		cw_json_to_double(value, &number);
	return number;
}

static bool is_true(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);

	return value != NULL && value->type == CW_JSON_TRUE;
}

static const struct cw_json *parse(struct ask *a)
{
	struct cw_json_error error;

	return cw_json_parse(a->reply.data, a->reply.len, CW_JSON_DEPTH_DEFAULT, a->arena, &error);
}

/* --- the request --- */

/* Exit code; 0: 2xx, and the answer is in a->reply. */
static int request(struct ask *a, const struct cw_config *config, const char *method, const char *path,
                   const char *content_type, const char *body, size_t len)
{
	struct cw_err err;
	struct cw_client *client = cw_client_open(config, false, &err);
	const char *detail;
	int status;

	if (client == NULL)
		return cw_cli_fail(&a->cli, &err);
	cw_buf_clear(&a->reply);
	status = cw_client_call(client, method, path, content_type, body, len, &a->reply, &err);
	cw_client_close(&client);
	if (status < 0)
		return cw_cli_fail(&a->cli, &err);
	if (status >= 200 && status < 300)
		return 0;
	detail = text_of(parse(a), "detail");
	fprintf(stderr, "chainwatch %s: %s\n", a->cli.verb, detail[0] != '\0' ? detail : a->reply.data);
	return status == 503 || status == 429 ? 75 : 1;
}

static void put_escaped(struct cw_buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~", *text) != NULL)
			cw_buf_putc(out, *text);
		else
			cw_buf_printf(out, "%%%02X", (unsigned char)*text);
}

/* "/api/v1/rules/<id>/<what>?role=..&reason=..", in the arena. */
static const char *path_of(struct ask *a, const char *id, const char *what)
{
	struct cw_buf path = CW_BUF_INIT;
	const char *mark = "?", *text;

	cw_buf_puts(&path, "/api/v1/rules/");
	put_escaped(&path, id);
	cw_buf_puts(&path, what);
	if (a->candidate) {
		cw_buf_printf(&path, "%srole=candidate", mark);
		mark = "&";
	}
	if (a->force) {
		cw_buf_printf(&path, "%sforce=true", mark);
		mark = "&";
	}
	if (a->reason != NULL) {
		cw_buf_printf(&path, "%sreason=", mark);
		put_escaped(&path, a->reason);
		mark = "&";
	}
	if (a->since != NULL) {
		cw_buf_printf(&path, "%ssince=", mark);
		put_escaped(&path, a->since);
	}
	text = cw_arena_strndup(a->arena, path.data, path.len);
	cw_buf_release(&path);
	return text;
}

/* --- options --- */

enum { OPT_CANDIDATE = 256, OPT_FORCE, OPT_REASON, OPT_SINCE, OPT_SOURCE, OPT_LIVE };

/* -1 to go on, else the exit code. `own` lists the options of this verb. */
static int begin(struct ask *a, int argc, char **argv, const struct option *own, int operands, const char *what,
                 struct cw_config **config)
{
	int opt;

	*config = NULL;
	while ((opt = cw_rules_next(&a->cli, argc, argv, own, &a->operands)) != -1) {
		switch (opt) {
		case OPT_CANDIDATE: a->candidate = true; break;
		case OPT_FORCE: a->force = true; break;
		case OPT_SOURCE: a->source = true; break;
		case OPT_REASON: a->reason = optarg; break;
		case OPT_SINCE: a->since = optarg; break;
		case OPT_LIVE: a->live = optarg; break;
		default: return 2;
		}
	}
	if (a->cli.help)
		return cw_cli_help(&a->cli);
	if (a->operands.n < operands)
		return cw_cli_usage_error(&a->cli, "say which %s", what);
	if (a->operands.n > operands)
		return cw_cli_usage_error(&a->cli, "takes no argument \"%s\"", a->operands.list[operands]);
	*config = cw_cli_config(&a->cli);
	if (*config == NULL)
		return 2;
	a->arena = cw_arena_new();
	return -1;
}

static int end(struct ask *a, struct cw_config **config, int rc)
{
	cw_config_free(config);
	cw_arena_free(&a->arena);
	cw_buf_release(&a->reply);
	return rc;
}

/* --- list, show --- */

static const char *warmth(const struct cw_json *rule, char out[16])
{
	if (is_true(rule, "warm"))
		return "warm";
	snprintf(out, 16, "%.0f %%", 100 * number_of(rule, "warm_progress"));
	return out;
}

static void print_rules(const struct cw_json *body)
{
	const struct cw_json *rules = cw_json_get(body, "rules");

	printf("ruleset %.16s since %s\n", text_of(body, "digest"), text_of(body, "since"));
	printf("%-26s %-9s %-11s %-5s %10s %8s %7s %8s %-20s %s\n", "rule", "version", "status", "warm", "calls", "fires",
	       "errors", "mean us", "since", "alarm");
	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next) {
		char progress[16];

		printf("%-26s %-9s %-11s %-5s %10.0f %8.0f %7.0f %8.2f %-20.19s %s\n", text_of(r, "id"), text_of(r, "version"),
		       text_of(r, "status"), warmth(r, progress), number_of(r, "calls"), number_of(r, "fires"),
		       number_of(r, "faults"), number_of(cw_json_get(r, "cost"), "mean_us"), text_of(r, "since"),
		       text_of(cw_json_get(r, "alarm"), "kind"));
	}
}

int cw_rules_list(int argc, char **argv, struct cw_zygote *zygote)
{
	struct ask a = {
		.cli = { .verb = "rules list",
		         .usage = "rules list [options]\n\n"
		                  "The rules of the running engine: version, status (live, shadow, candidate, warming,\n"
		                  "quarantined, disabled), warm or how far, calls, fires, errors, time of a call, alarms.\n" },
		.reply = CW_BUF_INIT,
	};
	struct cw_config *config;
	int rc = begin(&a, argc, argv, NULL, 0, "", &config);

	(void)zygote;
	if (rc != -1)
		return rc;
	rc = request(&a, config, "GET", "/api/v1/ruleset", NULL, NULL, 0);
	if (rc == 0 && a.cli.json)
		printf("%s\n", a.reply.data);
	else if (rc == 0)
		print_rules(parse(&a));
	return end(&a, &config, rc);
}

static void print_rule(const struct cw_json *r, const char *title)
{
	const struct cw_json *cost = cw_json_get(r, "cost"), *state = cw_json_get(r, "state"), *rate = cw_json_get(r, "rate");
	const struct cw_json *expected = cw_json_get(rate, "expected"), *breaches = cw_json_get(r, "breaches");
	char progress[16];

	printf("%s%s %s (%.12s)  %s\n", title, text_of(r, "id"), text_of(r, "version"), text_of(r, "sha256"),
	       text_of(r, "title"));
	printf("  status   %s since %s, %s%s%s\n", text_of(r, "status"), text_of(r, "since"), warmth(r, progress),
	       text_of(r, "reason")[0] != '\0' ? ": " : "", text_of(r, "reason"));
	printf("  calls    %.0f, fires %.0f, errors %.0f, ticks %.0f, time %.0f, memory %.0f, stack %.0f\n",
	       number_of(r, "calls"), number_of(r, "fires"), number_of(r, "errors"), number_of(breaches, "ticks"),
	       number_of(breaches, "time"), number_of(breaches, "memory"), number_of(breaches, "stack"));
	printf("  cost     mean %.2f us, half below %g us, 99 %% below %g us, %.1f ticks\n", number_of(cost, "mean_us"),
	       number_of(cost, "p50_us"), number_of(cost, "p99_us"), number_of(cost, "mean_ticks"));
	printf("  state    %.0f keys, %.0f bytes, %.0f evicted\n", number_of(state, "keys"), number_of(state, "bytes"),
	       number_of(state, "evictions"));
	if (expected != NULL)
		printf("  alerts   %g in the last hour, %g in the last day; expected %g to %g a day (%s)%s%s\n",
		       number_of(rate, "last_hour"), number_of(rate, "last_day"), number_of(expected, "min"),
		       number_of(expected, "max"), text_of(expected, "basis"),
		       text_of(cw_json_get(r, "alarm"), "kind")[0] != '\0' ? ": ALARM, " : "",
		       text_of(cw_json_get(r, "alarm"), "kind"));
}

int cw_rules_show(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "source", no_argument, NULL, OPT_SOURCE }, { "candidate", no_argument, NULL, OPT_CANDIDATE }, { NULL, 0, NULL, 0 },
	};
	struct ask a = {
		.cli = { .verb = "rules show",
		         .usage = "rules show ID [options]\n\nOne rule of the running engine, and its candidate.\n\n"
		                  "      --source             print its text as it runs, e.g. to bring the file up to a promotion\n"
		                  "      --candidate          with --source: that of the candidate\n" },
		.reply = CW_BUF_INIT,
	};
	const struct cw_json *body, *candidate;
	struct cw_config *config;
	int rc = begin(&a, argc, argv, own, 1, "rule", &config);

	(void)zygote;
	if (rc != -1)
		return rc;
	rc = request(&a, config, "GET", path_of(&a, a.operands.list[0], a.source ? "/source" : ""), NULL, NULL, 0);
	if (rc == 0 && a.source) {
		fwrite(a.reply.data, 1, a.reply.len, stdout);
	} else if (rc == 0 && a.cli.json) {
		printf("%s\n", a.reply.data);
	} else if (rc == 0) {
		body = parse(&a);
		candidate = cw_json_get(body, "candidate");
		print_rule(body, "");
		if (candidate != NULL && candidate->type == CW_JSON_OBJECT)
			print_rule(candidate, "candidate ");
	}
	return end(&a, &config, rc);
}

/* --- acts --- */

static int act(int argc, char **argv, struct ask *a, const struct option *own, const char *method, const char *what,
               const char *done)
{
	struct cw_config *config;
	int rc = begin(a, argc, argv, own, 1, "rule", &config);

	if (rc != -1)
		return rc;
	rc = request(a, config, method, path_of(a, a->operands.list[0], what), NULL, "", 0);
	if (rc == 0 && a->cli.json)
		printf("%s\n", a->reply.data);
	else if (rc == 0)
		printf("%s%s %s\n", a->candidate ? "candidate of " : "", a->operands.list[0], done);
	return end(a, &config, rc);
}

#define SWITCH(name, word, does, done) \
	int name(int argc, char **argv, struct cw_zygote *zygote) \
	{ \
		static const struct option own[] = { { "candidate", no_argument, NULL, OPT_CANDIDATE }, \
			                                 { "reason", required_argument, NULL, OPT_REASON }, { NULL, 0, NULL, 0 } }; \
		struct ask a = { \
			.cli = { .verb = "rules " word, \
			         .usage = "rules " word " ID [options]\n\n" does "\n\n" \
			                  "      --candidate          the version on trial, not the live one\n" \
			                  "      --reason TEXT        kept with the rule and in the audit log\n" }, \
			.reply = CW_BUF_INIT, \
		}; \
		(void)zygote; \
		return act(argc, argv, &a, own, "POST", "/" word, done); \
	}

SWITCH(cw_rules_cmd_enable, "enable", "Lets a rule judge again; what it missed it is given first.", "is enabled")
SWITCH(cw_rules_cmd_disable, "disable", "Takes a rule out at once, whatever its version, until it is enabled.", "is disabled")
SWITCH(cw_rules_cmd_quarantine, "quarantine", "Takes this version of a rule out; ends by a release or another version.",
       "is quarantined")
SWITCH(cw_rules_cmd_release, "release", "Lets a rule out of quarantine; what it missed it is given first.", "is released")

int cw_rules_promote(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = { { "force", no_argument, NULL, OPT_FORCE }, { NULL, 0, NULL, 0 } };
	struct ask a = {
		.cli = { .verb = "rules promote",
		         .usage = "rules promote ID [options]\n\n"
		                  "The candidate becomes the live version, with the state that it has. It stands in for the file of\n"
		                  "the rule until that changes: \"rules show ID --source\" prints the text to put there.\n\n"
		                  "      --force              though it is warming still\n" },
		.reply = CW_BUF_INIT,
	};

	(void)zygote;
	return act(argc, argv, &a, own, "POST", "/promote", "is promoted");
}

int cw_rules_withdraw(int argc, char **argv, struct cw_zygote *zygote)
{
	struct ask a = {
		.cli = { .verb = "rules withdraw", .usage = "rules withdraw ID [options]\n\nEnds the trial of a rule's candidate.\n" },
		.reply = CW_BUF_INIT,
	};

	(void)zygote;
	return act(argc, argv, &a, NULL, "DELETE", "/candidate", "has no candidate any more");
}

int cw_rules_submit(int argc, char **argv, struct cw_zygote *zygote)
{
	struct ask a = {
		.cli = { .verb = "rules submit",
		         .usage = "rules submit FILE [options]\n\n"
		                  "Tries a version of a rule on live traffic, beside the live one and in shadow: its alerts are kept\n"
		                  "apart and never published. Its tests run first. \"rules diff --live ID\" compares the two.\n" },
		.reply = CW_BUF_INIT,
	};
	const struct cw_json *body;
	struct cw_config *config;
	struct cw_err err;
	const char *text;
	size_t len;
	int rc = begin(&a, argc, argv, NULL, 1, "file", &config);

	(void)zygote;
	if (rc != -1)
		return rc;
	text = cw_file_read(a.operands.list[0], CW_RULE_FILE_MAX, &len, a.arena, &err);
	if (text == NULL)
		return end(&a, &config, cw_cli_fail(&a.cli, &err));
	rc = request(&a, config, "POST", "/api/v1/rules/candidates", "text/plain", text, len);
	if (rc == 0 && a.cli.json) {
		printf("%s\n", a.reply.data);
	} else if (rc == 0) {
		body = parse(&a);
		printf("%s %s is a candidate now, %s\n", text_of(body, "rule"), text_of(body, "version"), text_of(body, "status"));
	}
	return end(&a, &config, rc);
}

/* --- diff --live --- */

static void print_alerts(const struct cw_json *list, const char *sign)
{
	for (const struct cw_json *x = list != NULL ? list->first : NULL; x != NULL; x = x->next)
		printf("%s %s %-8s %.3f %s  %s\n", sign, text_of(x, "hash"), text_of(x, "severity"), number_of(x, "score"),
		       text_of(x, "entity"), text_of(x, "explanation"));
}

static void print_version(const struct cw_json *v, const char *what)
{
	printf("%-10s %-9s %.12s %-11s %.2f us a call\n", what, text_of(v, "version"), text_of(v, "sha256"),
	       text_of(v, "status"), number_of(v, "mean_us"));
}

static void print_diff(const struct cw_json *d)
{
	const struct cw_json *versions = cw_json_get(d, "versions"), *alerts = cw_json_get(d, "alerts");
	const struct cw_json *entities = cw_json_get(d, "entities");

	print_version(cw_json_get(versions, "live"), "live");
	print_version(cw_json_get(versions, "candidate"), "candidate");
	printf("alerts: live %.0f, candidate %.0f: %.0f common, %.0f added, %.0f removed, %.0f of another severity\n",
	       number_of(d, "live"), number_of(d, "candidate"), number_of(d, "common"), number_of(d, "added"),
	       number_of(d, "removed"), number_of(d, "severity_changed"));
	for (const struct cw_json *e = entities != NULL ? entities->first : NULL; e != NULL; e = e->next)
		if (number_of(e, "added") + number_of(e, "removed") > 0)
			printf("  %-44s live %4.0f, candidate %4.0f, added %4.0f, removed %4.0f\n", text_of(e, "entity"),
			       number_of(e, "live"), number_of(e, "candidate"), number_of(e, "added"), number_of(e, "removed"));
	print_alerts(cw_json_get(alerts, "added"), "+");
	print_alerts(cw_json_get(alerts, "removed"), "-");
}

int cw_rules_diff_live(const struct cw_cli *cli, const char *id, const char *since)
{
	struct ask a = { .cli = *cli, .since = since, .reply = CW_BUF_INIT, .arena = cw_arena_new() };
	struct cw_config *config = cw_cli_config(cli);
	int rc = 2;

	if (config != NULL)
		rc = request(&a, config, "GET", path_of(&a, id, "/diff"), NULL, NULL, 0);
	if (rc == 0 && cli->json)
		printf("%s\n", a.reply.data);
	else if (rc == 0)
		print_diff(parse(&a));
	return end(&a, &config, rc);
}

/* --- alarms --- */

int cw_rules_alarms(int argc, char **argv, struct cw_zygote *zygote)
{
	struct ask a = {
		.cli = { .verb = "rules alarms", .usage = "rules alarms [options]\n\nRules that fell silent or flooded, newest first.\n" },
		.reply = CW_BUF_INIT,
	};
	const struct cw_json *items;
	struct cw_config *config;
	int rc = begin(&a, argc, argv, NULL, 0, "", &config);

	(void)zygote;
	if (rc != -1)
		return rc;
	rc = request(&a, config, "GET", "/api/v1/rules/alarms", NULL, NULL, 0);
	if (rc == 0 && a.cli.json) {
		printf("%s\n", a.reply.data);
	} else if (rc == 0) {
		items = cw_json_get(parse(&a), "items");
		for (const struct cw_json *x = items != NULL ? items->first : NULL; x != NULL; x = x->next)
			printf("%-20.19s %-6s %-26s %s%s%.19s\n", text_of(x, "raised_at"), text_of(x, "kind"), text_of(x, "rule"),
			       text_of(x, "message"), text_of(x, "cleared_at")[0] != '\0' ? "; over since " : "", text_of(x, "cleared_at"));
	}
	return end(&a, &config, rc);
}
