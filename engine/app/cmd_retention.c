/* cmd_retention.c - chainwatch retention plan|run: what the policy would do now; do it. Asks the running engine. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app/cli.h"
#include "app/client.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define POLL_MS 200

struct work {
	const struct cw_cli *cli;
	struct cw_client *client;
	struct cw_arena *arena;
	struct cw_buf reply;
	bool wait;
};

/* The parsed answer, or NULL: then the reason was printed. */
static const struct cw_json *call(struct work *w, const char *method, const char *path, int expected)
{
	struct cw_json_error error;
	struct cw_err err;
	const struct cw_json *body, *detail;
	int status;

	cw_buf_clear(&w->reply);
	status = cw_client_call(w->client, method, path, NULL, "", 0, &w->reply, &err);
	if (status < 0) {
		fprintf(stderr, "chainwatch retention: %s\n", err.msg);
		return NULL;
	}
	body = cw_json_parse(w->reply.data, w->reply.len, CW_JSON_DEPTH_DEFAULT, w->arena, &error);
	if (status == expected && body != NULL)
		return body;
	detail = cw_json_get(body, "detail");
	fprintf(stderr, "chainwatch retention: %s\n", detail != NULL ? detail->text : w->reply.data);
	return NULL;
}

static const char *text(const struct cw_json *object, const char *key)
{
	const struct cw_json *value = cw_json_get(object, key);

	return value != NULL && value->text != NULL ? value->text : "";
}

static unsigned months(const struct cw_json *rule)
{
	const struct cw_json *list = cw_json_get(rule, "months");

	return list != NULL && list->type == CW_JSON_ARRAY ? list->count : 0;
}

static int plan(struct work *w)
{
	const struct cw_json *body = call(w, "GET", "/api/v1/admin/retention", 200), *rules = cw_json_get(body, "rules");

	if (body == NULL)
		return 1;
	if (w->cli->json) {
		printf("%s\n", w->reply.data);
		return 0;
	}
	printf("%-20s %-15s %-10s %6s %12s %8s %7s  %s\n", "rule", "table", "action", "keep", "rows", "held", "months", "oldest");
	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next)
		printf("%-20s %-15s %-10s %6s %12s %8s %7u  %s\n", text(r, "name"), text(r, "table"), text(r, "action"),
		       text(r, "keep"), text(r, "rows"), text(r, "held"), months(r), text(r, "oldest"));
	return 0;
}

static int report(const struct work *w, const struct cw_json *run)
{
	const struct cw_json *rules = cw_json_get(cw_json_get(run, "detail"), "rules");
	bool failed = strcmp(text(run, "status"), "succeeded") != 0;

	if (w->cli->json) {
		printf("%s\n", w->reply.data);
		return failed;
	}
	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next)
		printf("%-20s %-15s %-10s %12s rows %3u months\n", text(r, "name"), text(r, "table"), text(r, "action"),
		       text(r, "rows"), months(r));
	if (failed)
		fprintf(stderr, "chainwatch retention: run %s %s: %s\n", text(run, "id"), text(run, "status"), text(run, "error"));
	return failed;
}

static int run(struct work *w)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	const struct cw_json *body = call(w, "POST", "/api/v1/admin/retention", 202);
	char path[80];

	if (body == NULL)
		return 1;
	if (!w->wait) {
		if (w->cli->json)
			printf("%s\n", w->reply.data);
		else
			printf("run %s has begun\n", text(body, "id"));
		return 0;
	}
	snprintf(path, sizeof(path), "/api/v1/jobs/retention/runs/%.20s", text(body, "id"));
	do {
		nanosleep(&pause, NULL);
		cw_arena_free(&w->arena);
		w->arena = cw_arena_new();
		body = call(w, "GET", path, 200);
	} while (body != NULL && strcmp(text(body, "status"), "running") == 0);
	return body != NULL ? report(w, body) : 1;
}

int cw_cmd_retention(int argc, char **argv)
{
	struct cw_cli cli = {
		.verb = "retention",
		.usage = "retention plan|run [options]\n\n"
		         "  plan   what scripts/policy/retention.lua would do now: rows, legal holds, whole months\n"
		         "  run    do it now, beside the schedule; waits for the end\n\n"
		         "      --no-wait            run: only begin\n\n",
	};
	static const struct option options[] = { { "no-wait", no_argument, NULL, 'n' }, { NULL, 0, NULL, 0 } };
	struct work w = { .cli = &cli, .reply = CW_BUF_INIT, .wait = true };
	struct cw_config *config;
	struct cw_err err;
	const char *what = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	int opt, rc;

	if (what[0] != '\0') {             /* options follow */
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&cli, argc, argv, options)) != -1) {
		if (opt == '?')
			return 2;
		w.wait = w.wait && opt != 'n';
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (optind < argc)
		return cw_cli_usage_error(&cli, "one operand too many: \"%s\"", argv[optind]);
	if (strcmp(what, "plan") != 0 && strcmp(what, "run") != 0)
		return cw_cli_usage_error(&cli, "say plan or run");
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	w.client = cw_client_open(config, false, &err);
	cw_config_free(&config);
	if (w.client == NULL)
		return cw_cli_fail(&cli, &err);
	w.arena = cw_arena_new();
	rc = strcmp(what, "plan") == 0 ? plan(&w) : run(&w);
	cw_arena_free(&w.arena);
	cw_client_close(&w.client);
	cw_buf_release(&w.reply);
	return rc;
}
