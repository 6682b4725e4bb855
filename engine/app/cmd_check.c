/* cmd_check.c - chainwatch check: everything that `serve` or a reload would refuse, found without a running engine. */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/config.h"
#include "app/ops.h"
#include "app/try_rules.h"
#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"
#include "lua/scripts.h"
#include "pg/migrate.h"

struct check {
	struct cw_cli cli;
	struct cw_config *config;
	struct cw_zygote *zygote;
	int failed;
};

static void say(struct check *c, const char *what, int rc, const struct cw_err *err)
{
	if (rc == 0)
		printf("%-12s ok\n", what);
	else
		printf("%-12s %s\n", what, err->msg);
	c->failed |= rc != 0;
}

static int check_migrations(struct check *c, struct cw_err *err)
{
	struct cw_migrations m = { 0 };
	int rc = cw_migrations_load(&m, c->config->migrations_dir, err);

	cw_migrations_release(&m);
	return rc;
}

static int check_rules(struct check *c, struct cw_err *err)
{
	struct cw_buf report = CW_BUF_INIT;
	int rc = cw_try_rules(c->config, c->zygote, &report, err);

	cw_buf_release(&report);
	return rc;
}

static int check_scripts(struct check *c, struct cw_err *err)
{
	struct cw_scripts_conf conf = cw_ops_scripts_conf(c->config);
	struct cw_script_env env = { .conf_json = "{\"version\":\"check\"}" };
	struct cw_scripts *scripts = cw_scripts_new(&env, &conf, err);
	int rc = scripts != NULL ? 0 : -1;

	cw_scripts_free(&scripts);
	return rc;
}

static void show_settings(const struct check *c)
{
	struct cw_buf json = CW_BUF_INIT;

	cw_config_to_json(c->config, &json);
	printf("%s\n", json.data);
	cw_buf_release(&json);
}

int cw_cmd_check(int argc, char **argv, struct cw_zygote **zygote)
{
	static const struct option own[] = {
		{ "settings", no_argument, NULL, 256 }, { "defaults", no_argument, NULL, 257 }, { NULL, 0, NULL, 0 },
	};
	struct check c = {
		.cli = { .verb = "check",
		         .usage = "check [options]\n\n"
		                  "Looks over settings, migrations, rules (with their tests) and scripts. Exit 2 if something is wrong.\n\n"
		                  "      --settings           print the effective settings as JSON, secrets masked\n"
		                  "      --defaults           print a commented settings file with all defaults\n" },
		.zygote = *zygote,
	};
	struct cw_buf text = CW_BUF_INIT;
	struct cw_err err;
	bool settings = false;
	int opt;

	while ((opt = cw_cli_next(&c.cli, argc, argv, own)) != -1) {
		if (opt == '?')
			return 2;
		settings |= opt == 256;
		if (opt == 257) {
			cw_config_write_default(&text);
			fputs(text.data, stdout);
			cw_buf_release(&text);
			return 0;
		}
	}
	if (c.cli.help)
		return cw_cli_help(&c.cli);
	c.config = cw_cli_config(&c.cli);
	if (c.config == NULL)
		return 2;
	if (settings) {
		show_settings(&c);
	} else {
		say(&c, "settings", 0, NULL);
		say(&c, "migrations", check_migrations(&c, &err), &err);
		say(&c, "rules", check_rules(&c, &err), &err);
		say(&c, "scripts", check_scripts(&c, &err), &err);
	}
	cw_config_free(&c.config);
	return c.failed ? 2 : 0;
}
