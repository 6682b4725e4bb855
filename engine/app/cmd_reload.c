/* cmd_reload.c - chainwatch reload: asks the running engine to take new rules, scripts and settings. */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/client.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);

	return value != NULL && value->text != NULL ? value->text : "";
}

/* One line a change: "+ rule", "~ rule 1.0.0 -> 1.1.0", "- rule", "~ setting rules.ticks". */
static void print_changes(const char *message, const struct cw_json *changes)
{
	const struct cw_json *rules = cw_json_get(changes, "rules"), *settings = cw_json_get(changes, "settings");

	printf("%s\n", message);
	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next) {
		const char *change = text_of(r, "change"), *from = text_of(r, "from");
		bool candidate = strcmp(text_of(r, "role"), "candidate") == 0;

		printf("%c %s %s %s%s%s\n", change[0] == 'a' ? '+' : change[0] == 'r' ? '-' : '~', candidate ? "candidate" : "rule",
		       text_of(r, "rule"), from, from[0] != '\0' ? " -> " : "", text_of(r, "version"));
	}
	for (const struct cw_json *s = settings != NULL ? settings->first : NULL; s != NULL; s = s->next)
		printf("~ setting %s\n", s->text);
	if (text_of(changes, "notes")[0] != '\0')
		printf("%s\n", text_of(changes, "notes"));
}

/* The answer is the report of the reload, or a problem document whose detail is the reason. */
static int show(const struct cw_cli *cli, int status, const struct cw_buf *reply)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const struct cw_json *body = cw_json_parse(reply->data, reply->len, CW_JSON_DEPTH_DEFAULT, arena, &error);
	const struct cw_json *detail = cw_json_get(body, status == 200 ? "message" : "detail");

	if (cli->json)
		printf("%s\n", reply->data);
	else if (status == 200)
		print_changes(detail != NULL ? detail->text : "reloaded", cw_json_get(body, "changes"));
	else
		fprintf(stderr, "chainwatch reload: %s; the old generation goes on\n",
		        detail != NULL ? detail->text : reply->data);
	cw_arena_free(&arena);
	return status == 200 ? 0 : 1;
}

int cw_cmd_reload(int argc, char **argv)
{
	struct cw_cli cli = {
		.verb = "reload",
		.usage = "reload [options]\n\n"
		         "Makes the running engine take new rules, scripts, lists and settings: all or nothing. Exit 1 with\n"
		         "file, line and reason if something is wrong; then nothing has changed.\n",
	};
	struct cw_buf reply = CW_BUF_INIT;
	struct cw_client *client;
	struct cw_config *config;
	struct cw_err err;
	int opt, rc;

	while ((opt = cw_cli_next(&cli, argc, argv, NULL)) != -1)
		if (opt == '?')
			return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	client = cw_client_open(config, false, &err);
	cw_config_free(&config);
	if (client == NULL)
		return cw_cli_fail(&cli, &err);
	rc = cw_client_call(client, "POST", "/api/v1/admin/reload", NULL, "", 0, &reply, &err);
	rc = rc < 0 ? cw_cli_fail(&cli, &err) : show(&cli, rc, &reply);
	cw_client_close(&client);
	cw_buf_release(&reply);
	return rc;
}
