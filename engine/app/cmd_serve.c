/* cmd_serve.c - chainwatch serve: runs the engine in the foreground. */
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "app/cli.h"
#include "app/config.h"
#include "app/engine.h"
#include "base/err.h"

/* An option of this verb is a --set in short: a reload applies it again. */
static void set(struct cw_cli *cli, char text[512], const char *key, const char *value)
{
	snprintf(text, 512, "%s=%s", key, value);
	if (cli->nsets < (int)(sizeof(cli->sets) / sizeof(*cli->sets)))
		cli->sets[cli->nsets++] = text;
}

int cw_cmd_serve(int argc, char **argv, struct cw_zygote **zygote)
{
	static const struct option own[] = {
		{ "listen", required_argument, NULL, 'l' }, { "data-dir", required_argument, NULL, 'd' },
		{ "migrate", no_argument, NULL, 256 },      { "dev", no_argument, NULL, 257 },
		{ NULL, 0, NULL, 0 },
	};
	struct cw_cli cli = {
		.verb = "serve",
		.usage = "serve [options]\n\n"
		         "Runs the engine until SIGTERM; SIGHUP reloads. Without DATABASE_URL it starts a private PostgreSQL\n"
		         "under the data directory. The first start writes <data-dir>/admin.key.\n\n"
		         "  -l, --listen ADDRESS     address:port, [v6]:port or unix:/path\n"
		         "  -d, --data-dir DIR\n"
		         "      --migrate            apply pending migrations\n"
		         "      --dev                reload when a rule or script changes\n",
	};
	static char texts[4][512];
	struct cw_config *config;
	struct cw_engine *engine;
	struct cw_err err;
	int opt, rc;

	while ((opt = cw_cli_next(&cli, argc, argv, own)) != -1) {
		switch (opt) {
		case 'l': set(&cli, texts[0], "http.listen", optarg); break;
		case 'd': set(&cli, texts[1], "general.data_dir", optarg); break;
		case 256: set(&cli, texts[2], "database.migrate", "true"); break;
		case 257: set(&cli, texts[3], "general.dev", "true"); break;
		default: return 2;
		}
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (optind != argc)
		return cw_cli_usage_error(&cli, "takes no operand, but was given \"%s\"", argv[optind]);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	/* Keys and the connection string must not end up in a core file. */
	prctl(PR_SET_DUMPABLE, 0);
	engine = cw_engine_start(&config, cli.sets, cli.nsets, *zygote, &err);
	if (engine == NULL && err.code == CW_ERR_CANCELLED)
		return 0;   /* SIGTERM before it was up: as clean an end as any */
	if (engine == NULL)
		return cw_cli_fail(&cli, &err);
	rc = cw_engine_run(engine);
	cw_engine_free(&engine);
	return rc;
}
