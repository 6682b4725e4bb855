/* cmd_migrate.c - chainwatch migrate up|down|status|sql: the schema of the database. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/config.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "pg/migrate.h"

struct work {
	struct cw_cli cli;
	struct cw_migrations migrations;
	long long steps;
	const char *to, *from;
	bool dry_run;
};

static void on_step(void *arg, const struct cw_migration *step, bool up, double seconds)
{
	const struct work *w = arg;

	if (!w->cli.json)
		printf("%s %s_%s (%.0f ms)\n", up ? "up  " : "down", step->version, step->name, 1000 * seconds);
}

static int status(struct work *w)
{
	struct cw_buf out = CW_BUF_INIT;
	int pending = 0;

	cw_buf_putc(&out, '[');
	for (int i = 0; i < w->migrations.count; i++) {
		const struct cw_migration *m = &w->migrations.list[i];
		const char *state = !m->applied ? "pending" : m->drifted ? "drifted" : "applied";
		char at[32] = "";

		pending += !m->applied;
		if (m->applied_at_us != 0)
			cw_time_format(m->applied_at_us, at);
		if (!w->cli.json)
			printf("%-8s %s_%s%s%s\n", state, m->version, m->name, at[0] != '\0' ? "  " : "", at);
		cw_buf_printf(&out, "%s{\"version\":\"%s\",\"name\":\"%s\",\"state\":\"%s\",\"applied_at\":", i > 0 ? "," : "",
		              m->version, m->name, state);
		if (at[0] != '\0')
			cw_json_put_cstring(&out, at);
		else
			cw_buf_puts(&out, "null");
		cw_buf_putc(&out, '}');
	}
	if (w->cli.json)
		printf("%s]\n", out.data);
	cw_buf_release(&out);
	return pending > 0;
}

static int run(struct work *w, const char *verb, const char *conninfo)
{
	struct cw_migrate_run how = { .conninfo = conninfo, .lock_timeout_ms = 5000, .dry_run = w->dry_run,
		                          .progress = on_step, .arg = w };
	struct cw_err err;
	int n;

	if (strcmp(verb, "status") == 0)
		return cw_migrations_status(&w->migrations, conninfo, &err) == 0 ? status(w) : cw_cli_fail(&w->cli, &err);
	if (strcmp(verb, "up") == 0)
		n = cw_migrate_up(&w->migrations, &how, w->to, &err);
	else
		n = cw_migrate_down(&w->migrations, &how, (int)w->steps, w->to, &err);
	if (n < 0)
		return cw_cli_fail(&w->cli, &err);
	if (w->cli.json)
		printf("{\"steps\":%d,\"dry_run\":%s}\n", n, w->dry_run ? "true" : "false");
	else
		printf("%d step%s%s\n", n, n == 1 ? "" : "s", w->dry_run ? ", taken back (dry run)" : "");
	return 0;
}

static int with_database(struct work *w, const char *verb, const struct cw_config *config)
{
	struct cw_cli_database *db = cw_cli_database(&w->cli, config);
	int rc;

	if (db == NULL)
		return 69;
	rc = run(w, verb, cw_cli_database_conninfo(db));
	cw_cli_database_done(&db);
	return rc;
}

static int offline_sql(struct work *w)
{
	struct cw_buf out = CW_BUF_INIT;

	cw_migrate_sql(&w->migrations, w->from, w->to, &out);
	fputs(out.data, stdout);
	cw_buf_release(&out);
	return 0;
}

int cw_cmd_migrate(int argc, char **argv)
{
	static const struct option own[] = {
		{ "to", required_argument, NULL, 256 },   { "from", required_argument, NULL, 257 },
		{ "steps", required_argument, NULL, 258 }, { "dry-run", no_argument, NULL, 259 },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = {
		.cli = { .verb = "migrate",
		         .usage = "migrate up|down|status|sql [options]\n\n"
		                  "  up       apply what is pending (--to VERSION: up to that one)\n"
		                  "  down     take back the last step (--steps N, --to VERSION: down to it, it stays; --to 0: all)\n"
		                  "  status   what is applied, pending, or drifted; exit 1 if something is pending\n"
		                  "  sql      print the SQL of the steps between --from and --to, for psql\n\n"
		                  "      --to VERSION  --from VERSION  --steps N\n"
		                  "      --dry-run            run the steps, then roll them back\n" },
		.steps = 0,
	};
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	struct cw_config *config;
	struct cw_err err;
	int opt, rc;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&w.cli, argc, argv, own)) != -1) {
		switch (opt) {
		case 256: w.to = optarg; break;
		case 257: w.from = optarg; break;
		case 258:
			if (!cw_cli_number(&w.cli, "--steps", optarg, 1, 100000, &w.steps))
				return 2;
			break;
		case 259: w.dry_run = true; break;
		default: return 2;
		}
	}
	if (w.cli.help)
		return cw_cli_help(&w.cli);
	if (strcmp(verb, "up") != 0 && strcmp(verb, "down") != 0 && strcmp(verb, "status") != 0 && strcmp(verb, "sql") != 0)
		return cw_cli_usage_error(&w.cli, "say up, down, status or sql%s%s%s", verb[0] != '\0' ? ", not \"" : "", verb,
		                          verb[0] != '\0' ? "\"" : "");
	if (w.steps == 0 && w.to == NULL)
		w.steps = 1;
	config = cw_cli_config(&w.cli);
	if (config == NULL)
		return 2;
	if (cw_migrations_load(&w.migrations, config->migrations_dir, &err) != 0) {
		cw_config_free(&config);
		return cw_cli_fail(&w.cli, &err);
	}
	rc = strcmp(verb, "sql") == 0 ? offline_sql(&w) : with_database(&w, verb, config);
	cw_migrations_release(&w.migrations);
	cw_config_free(&config);
	return rc;
}
