/* cmd_lua.c - chainwatch lua run FILE: a file in the sandbox and under the budgets of production, by hand. */
#include <stdio.h>
#include <string.h>

#include "app/bundle.h"
#include "app/cli.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
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

int cw_cmd_lua(int argc, char **argv)
{
	static const struct option own[] = { { "world", required_argument, NULL, 256 }, { NULL, 0, NULL, 0 } };
	struct cw_cli cli = {
		.verb = "lua",
		.usage = "lua run [--world rules|scripts] FILE\n\n"
		         "Runs a file in the very sandbox, guards and budgets of production and prints what it returns, one value\n"
		         "a line. Exit 1 with file, line and reason if it fails or is stopped.\n\n"
		         "      --world W            rules (default): with the constructors of states; scripts: the base\n",
	};
	enum cw_world world = CW_WORLD_RULES;
	struct cw_config *config;
	bool verb = argc > 1 && strcmp(argv[1], "run") == 0;
	int opt, rc;

	if (verb) {
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
	if (!verb || optind != argc - 1)
		return cw_cli_usage_error(&cli, "say run and one file");
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = run(&cli, config, world, argv[optind]);
	cw_config_free(&config);
	return rc;
}
