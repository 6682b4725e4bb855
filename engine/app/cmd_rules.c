/* cmd_rules.c - chainwatch rules list|test: what is live, and whether the files would be taken. */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/client.h"
#include "app/config.h"
#include "app/try_rules.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);

	return value != NULL && value->text != NULL ? value->text : "";
}

static void print_rules(const char *json, size_t len)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const struct cw_json *body = cw_json_parse(json, len, CW_JSON_DEPTH_DEFAULT, arena, &error);
	const struct cw_json *rules = cw_json_get(body, "rules");

	printf("ruleset %.16s\n", text_of(body, "digest"));
	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next) {
		const struct cw_json *out = cw_json_get(r, "quarantined");

		printf("%-28s %-8s %-9s %-12s %s\n", text_of(r, "id"), text_of(r, "version"), text_of(r, "severity"),
		       out != NULL && out->type == CW_JSON_TRUE ? "quarantined" : text_of(r, "status"), text_of(r, "title"));
	}
	cw_arena_free(&arena);
}

static int list(const struct cw_cli *cli, const struct cw_config *config)
{
	struct cw_buf reply = CW_BUF_INIT;
	struct cw_err err;
	struct cw_client *client = cw_client_open(config, false, &err);
	int status, rc;

	if (client == NULL)
		return cw_cli_fail(cli, &err);
	status = cw_client_call(client, "GET", "/api/v1/ruleset", NULL, NULL, 0, &reply, &err);
	rc = status == 200 ? 0 : 1;
	if (status < 0)
		rc = cw_cli_fail(cli, &err);
	else if (status != 200)
		fprintf(stderr, "chainwatch rules: the engine answered %d: %.300s\n", status, reply.data);
	else if (cli->json)
		printf("%s\n", reply.data);
	else
		print_rules(reply.data, reply.len);
	cw_client_close(&client);
	cw_buf_release(&reply);
	return rc;
}

static int test(const struct cw_cli *cli, const struct cw_config *config, struct cw_zygote *zygote)
{
	struct cw_buf report = CW_BUF_INIT;
	struct cw_err err;
	int rc = 0;

	if (cw_try_rules(config, zygote, &report, &err) != 0) {
		fprintf(stderr, "%s\n", err.msg);
		rc = 1;
	} else if (cli->json) {
		printf("%s\n", report.data);
	} else {
		print_rules(report.data, report.len);
		printf("all tests passed\n");
	}
	cw_buf_release(&report);
	return rc;
}

int cw_cmd_rules(int argc, char **argv, struct cw_zygote **zygote)
{
	struct cw_cli cli = {
		.verb = "rules",
		.usage = "rules list|test [options]\n\n"
		         "  list     the rules of the running engine: version, severity, status\n"
		         "  test     load the rules of the files and run their tests, as a reload would; exit 1 if one fails\n",
	};
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	struct cw_config *config;
	int opt, rc;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&cli, argc, argv, NULL)) != -1)
		if (opt == '?')
			return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	if (strcmp(verb, "list") != 0 && strcmp(verb, "test") != 0)
		return cw_cli_usage_error(&cli, "say list or test%s%s%s", verb[0] != '\0' ? ", not \"" : "", verb,
		                          verb[0] != '\0' ? "\"" : "");
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = strcmp(verb, "list") == 0 ? list(&cli, config) : test(&cli, config, *zygote);
	cw_config_free(&config);
	return rc;
}
