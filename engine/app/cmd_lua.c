/* cmd_lua.c - chainwatch lua run FILE: a file in the sandbox and under the budgets of production, by hand; api and
 * stubs: what there is to see. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/bundle.h"
#include "app/cli.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "lua/api.h"
#include "lua/load.h"
#include "lua/run.h"

static int run(const struct cw_cli *cli, const struct cw_config *config, enum cw_world world, const char *path)
{
	struct cw_run_conf conf = {
		.world = world,
		.jit = config->jit,
		.ticks = config->ticks,
		.memory_bytes = (size_t)(world == CW_WORLD_RULES ? config->rule_memory_mb : config->script_memory_mb) << 20,
	};
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;
	size_t len;
	const char *text = cw_file_read(path, CW_LOAD_MAX, &len, arena, &err);
	int rc = 0;

	if (text == NULL) {
		rc = cw_cli_fail(cli, &err);
	} else if (cw_lua_run(&conf, path, text, len, &out, &err) != 0) {
		fprintf(stderr, "%s\n", err.msg);
		rc = 1;
	} else {
		fwrite(out.data, 1, out.len, stdout);
	}
	cw_buf_release(&out);
	cw_arena_free(&arena);
	return rc;
}

/* --- stubs --- */

static int write_stub(const struct cw_cli *cli, const char *dir, const char *name, const struct cw_buf *text)
{
	struct cw_err err;
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (f == NULL || fwrite(text->data, 1, text->len, f) != text->len || fclose(f) != 0) {
		cw_err_errno(&err, CW_ERR_INVALID, "could not write \"%s\"", path);
		return cw_cli_fail(cli, &err);
	}
	printf("%s\n", path);
	return 0;
}

static int stubs(const struct cw_cli *cli, const char *dir)
{
	int rc = mkdir(dir, 0777) == 0 || errno == EEXIST ? 0 : -1;
	struct cw_err err;

	if (rc != 0) {
		cw_err_errno(&err, CW_ERR_INVALID, "could not make \"%s\"", dir);
		return cw_cli_fail(cli, &err);
	}
	for (int i = 0; rc == 0; i++) {
		struct cw_buf text = CW_BUF_INIT;
		const char *name = cw_api_stub(i, &text);

		if (name == NULL)
			break;
		rc = write_stub(cli, dir, name, &text);
		cw_buf_release(&text);
	}
	return rc;
}

static int api(void)
{
	struct cw_buf text = CW_BUF_INIT;

	cw_api_markdown(&text);
	fwrite(text.data, 1, text.len, stdout);
	cw_buf_release(&text);
	return 0;
}

int cw_cmd_lua(int argc, char **argv)
{
	static const struct option own[] = { { "world", required_argument, NULL, 256 }, { NULL, 0, NULL, 0 } };
	struct cw_cli cli = {
		.verb = "lua",
		.usage = "lua run [--world rules|scripts] FILE | lua api | lua stubs DIR\n\n"
		         "Runs a file in the very sandbox, guards and budgets of production and prints what it returns, one value\n"
		         "a line. Exit 1 with file, line and reason if it fails or is stopped.\n\n"
		         "api prints everything that rules and scripts can see, as docs/LUA_API.md has it. stubs writes the same as\n"
		         "definition files for lua-language-server: name the folder in its workspace.library.\n\n"
		         "      --world W            rules (default): with the constructors of states; scripts: the base\n",
	};
	enum cw_world world = CW_WORLD_RULES;
	struct cw_config *config;
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	int opt, rc;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&cli, argc, argv, own)) != -1) {
		if (opt == '?')
			return 2;
		if (strcmp(optarg, "rules") != 0 && strcmp(optarg, "scripts") != 0)
			return cw_cli_usage_error(&cli, "--world must be rules or scripts, not \"%s\"", optarg);
		world = strcmp(optarg, "rules") == 0 ? CW_WORLD_RULES : CW_WORLD_SCRIPTS;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (strcmp(verb, "run") != 0 && strcmp(verb, "api") != 0 && strcmp(verb, "stubs") != 0)
		return cw_cli_usage_error(&cli, "say run and one file, api, or stubs and a folder");
	if (optind != argc - (strcmp(verb, "api") == 0 ? 0 : 1))
		return cw_cli_usage_error(&cli, "%s", strcmp(verb, "api") == 0 ? "api takes no argument" :
		                          strcmp(verb, "run") == 0 ? "run takes one file" : "stubs takes one folder");
	if (strcmp(verb, "api") == 0)
		return api();
	if (strcmp(verb, "stubs") == 0)
		return stubs(&cli, argv[optind]);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = run(&cli, config, world, argv[optind]);
	cw_config_free(&config);
	return rc;
}
