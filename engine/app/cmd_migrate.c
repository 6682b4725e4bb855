/* cmd_migrate.c - chainwatch migrate: the schema of the database. diff and verify are in migrate_schema.c, adopt in
 * migrate_adopt.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/config.h"
#include "app/migrate_cli.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "pg/migrate.h"

static void on_step(void *arg, const struct cw_migration *step, bool up, double seconds)
{
	const struct cw_migrate_cli *w = arg;

	if (!w->cli.json)
		printf("%s %s_%s (%.0f ms)\n", up ? "up  " : "down", step->version, step->name, 1000 * seconds);
}

/* ---- what is there ---- */

static const char *state_of(const struct cw_migration *m)
{
	return m->missing ? "missing" : !m->applied ? "pending" : m->drifted ? "drifted" : "applied";
}

static int status(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;
	int bad = 0;

	if (cw_migrations_status(&w->migrations, conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	cw_buf_putc(&out, '[');
	for (int i = 0; i < w->migrations.count; i++) {
		const struct cw_migration *m = &w->migrations.list[i];
		char at[32] = "";

		bad += !m->applied || m->drifted || m->missing;
		if (m->applied_at_us != 0)
			cw_time_format(m->applied_at_us, at);
		if (!w->cli.json)
			printf("%-8s %s_%s%s%s\n", state_of(m), m->version, m->name, at[0] != '\0' ? "  " : "", at);
		cw_buf_printf(&out, "%s{\"version\":\"%s\",\"name\":\"%s\",\"state\":\"%s\",\"applied_at\":", i > 0 ? "," : "",
		              m->version, m->name, state_of(m));
		if (at[0] != '\0')
			cw_json_put_cstring(&out, at);
		else
			cw_buf_puts(&out, "null");
		cw_buf_putc(&out, '}');
	}
	if (w->cli.json)
		printf("%s]\n", out.data);
	cw_buf_release(&out);
	return bad > 0;
}

struct history { const struct cw_migrate_cli *w; struct cw_buf json; };

static void on_event(void *arg, const struct cw_migrate_event *e)
{
	struct history *h = arg;
	char at[32];

	cw_time_format(e->at_us, at);
	if (!h->w->cli.json) {
		printf("%s  %-5s %s_%s (%lld ms) by %s\n", at, e->direction, e->version, e->name, (long long)e->duration_ms, e->by);
		return;
	}
	cw_buf_printf(&h->json, "%s{\"at\":\"%s\",\"direction\":\"%s\",\"version\":\"%s\",\"name\":\"%s\",\"duration_ms\":%lld,"
	                        "\"by\":", h->json.len > 0 ? "," : "", at, e->direction, e->version, e->name,
	              (long long)e->duration_ms);
	cw_json_put_cstring(&h->json, e->by);
	cw_buf_putc(&h->json, '}');
}

static int history(struct cw_migrate_cli *w, const char *conninfo)
{
	struct history h = { .w = w, .json = CW_BUF_INIT };
	struct cw_err err;
	int rc = cw_migrate_history(conninfo, on_event, &h, &err);

	if (rc == 0 && w->cli.json)
		printf("[%s]\n", h.json.data);
	cw_buf_release(&h.json);
	return rc == 0 ? 0 : cw_cli_fail(&w->cli, &err);
}

/* ---- up, down, goto, stamp ---- */

static struct cw_migrate_run how(struct cw_migrate_cli *w, const char *conninfo)
{
	return (struct cw_migrate_run){ .conninfo = conninfo, .dry_run = w->dry_run, .progress = on_step, .arg = w };
}

static int report(const struct cw_migrate_cli *w, int n)
{
	if (w->cli.json)
		printf("{\"steps\":%d,\"dry_run\":%s}\n", n, w->dry_run ? "true" : "false");
	else
		printf("%d step%s%s\n", n, n == 1 ? "" : "s", w->dry_run ? ", taken back (dry run)" : "");
	return 0;
}

static int up(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_migrate_run run = how(w, conninfo);
	struct cw_err err;
	int n = cw_migrate_up(&w->migrations, &run, w->to, &err);

	return n < 0 ? cw_cli_fail(&w->cli, &err) : report(w, n);
}

static bool known(const struct cw_migrate_cli *w, const char *version)
{
	for (int i = 0; i < w->migrations.count; i++)
		if (strcmp(w->migrations.list[i].version, version) == 0)
			return true;
	return strcmp(version, "0") == 0;
}

/* Prints the steps that would be taken back and asks. -1: go on. */
static int plan_down(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_err err;
	long long left = w->to != NULL ? 1000000 : w->steps;
	int n = 0;

	if (cw_migrations_status(&w->migrations, conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	if (w->to != NULL && !known(w, w->to))
		return cw_cli_usage_error(&w->cli, "there is no migration \"%s\"", w->to);
	for (int i = w->migrations.count - 1; i >= 0 && left > 0; i--) {
		const struct cw_migration *m = &w->migrations.list[i];

		if (!m->applied || (w->to != NULL && strcmp(m->version, w->to) <= 0))
			continue;
		if (n++ == 0 && !w->dry_run)
			fprintf(stderr, "These steps will be taken back, with the data in what they made:\n");
		if (!w->dry_run)
			fprintf(stderr, "  %s_%s\n", m->version, m->name);
		left--;
	}
	if (n > 0 && !w->dry_run && !cw_cli_confirm(&w->cli, w->yes, "Take them back?"))
		return CW_CLI_NOT_CONFIRMED;
	return -1;
}

static int down(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_migrate_run run = how(w, conninfo);
	struct cw_err err;
	int n, rc = plan_down(w, conninfo);

	if (rc >= 0)
		return rc;
	n = cw_migrate_down(&w->migrations, &run, (int)w->steps, w->to, &err);
	return n < 0 ? cw_cli_fail(&w->cli, &err) : report(w, n);
}

/* Later steps are taken back, then what is missing up to the version is applied. */
static int go_to(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_migrate_run run = how(w, conninfo);
	struct cw_err err;
	int back, forth = 0, rc;

	w->to = w->operand;
	rc = plan_down(w, conninfo);
	if (rc >= 0)
		return rc;
	back = cw_migrate_down(&w->migrations, &run, 0, w->to, &err);
	if (back >= 0 && strcmp(w->to, "0") != 0)
		forth = cw_migrate_up(&w->migrations, &run, w->to, &err);
	return back < 0 || forth < 0 ? cw_cli_fail(&w->cli, &err) : report(w, back + forth);
}

/* All that is pending up to the version, which itself may be one that drifted. */
static int stamp(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_migrate_run run = how(w, conninfo);
	struct cw_err err;
	int n = 0;

	if (cw_migrations_status(&w->migrations, conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	if (!known(w, w->operand) || strcmp(w->operand, "0") == 0)
		return cw_cli_usage_error(&w->cli, "there is no migration \"%s\"", w->operand);
	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1 && n > 0 && !cw_cli_confirm(&w->cli, w->yes, "Record them?"))
			return CW_CLI_NOT_CONFIRMED;
		if (pass == 1)
			n = 0;
		for (int i = 0; i < w->migrations.count; i++) {
			const struct cw_migration m = w->migrations.list[i];
			int order = strcmp(m.version, w->operand);

			if (m.missing || order > 0 || (m.applied && !(order == 0 && m.drifted)))
				continue;
			if (pass == 0 && n == 0)
				fprintf(stderr, "These will be recorded as applied, and not run:\n");
			if (pass == 0)
				fprintf(stderr, "  %s_%s\n", m.version, m.name);
			else if (cw_migrate_stamp(&w->migrations, &run, m.version, &err) != 0)
				return cw_cli_fail(&w->cli, &err);
			n++;
		}
	}
	return report(w, n);
}

/* ---- files only ---- */

static int offline_sql(struct cw_migrate_cli *w)
{
	struct cw_buf out = CW_BUF_INIT;
	const char *ends[] = { w->from, w->to };

	for (int i = 0; i < 2; i++)
		if (ends[i] != NULL && !known(w, ends[i]))
			return cw_cli_usage_error(&w->cli, "there is no migration \"%s\"", ends[i]);
	cw_migrate_sql(&w->migrations, w->from, w->to, &out);
	fputs(out.data, stdout);
	cw_buf_release(&out);
	return 0;
}

static int new_file(struct cw_migrate_cli *w)
{
	struct cw_err err;
	char path[4096];

	if (cw_migrate_new(&w->migrations, w->operand, NULL, NULL, path, sizeof(path), &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	printf("%s\n", path);
	return 0;
}

/* ---- the verb ---- */

static const struct verb {
	const char *name;
	const char *operand;             /* what it wants; NULL: nothing */
	int (*with_database)(struct cw_migrate_cli *w, const char *conninfo);
	int (*alone)(struct cw_migrate_cli *w);
} verbs[] = {
	{ "new", "a name", NULL, new_file },
	{ "up", NULL, up, NULL },
	{ "down", NULL, down, NULL },
	{ "goto", "a version, or 0", go_to, NULL },
	{ "status", NULL, status, NULL },
	{ "history", NULL, history, NULL },
	{ "sql", NULL, NULL, offline_sql },
	{ "diff", NULL, NULL, cw_migrate_cli_diff },
	{ "verify", NULL, NULL, cw_migrate_cli_verify },
	{ "stamp", "a version", stamp, NULL },
	{ "adopt", NULL, NULL, cw_migrate_cli_adopt },
};

static const char usage[] =
	"migrate VERB [options]\n\n"
	"  new NAME       write an empty migration into the folder and print its path\n"
	"  up             apply what is pending (--to VERSION: up to that one)\n"
	"  down           take back the last step (--steps N, --to VERSION: down to it, it stays; --to 0: all)\n"
	"  goto VERSION   up or down, until exactly the steps up to VERSION are applied\n"
	"  status         what is applied, pending, drifted or missing; exit 1 if not all is applied as it stands\n"
	"  history        what ran when, in either direction\n"
	"  sql            print the SQL of the steps between --from and --to, in either direction, for psql\n"
	"  diff           print the migration that turns the live schema into the declared one (that of the folder),\n"
	"                 with its reverse; exit 1 if they differ. --from and --to each take live, declared, a\n"
	"                 connection string or a .sql file; --capture: from declared to live; --write NAME: into the\n"
	"                 folder, as a new migration\n"
	"  verify         files against what was applied; each step down and up again in a scratch database; the live\n"
	"                 schema against the declared one (--offline: without the live database)\n"
	"  stamp VERSION  record as applied, up to VERSION, without running; accepts a drifted VERSION as it is now\n"
	"  adopt          take over a database of the reference system: see docs/DATABASE_MIGRATION_GUIDE.md\n"
	"                 (--amounts ether|wei|auto, --gas-price wei|gwei|auto, --chain-id N, --skip-invalid, --undo,\n"
	"                 --drop: remove the old tables afterwards)\n\n"
	"      --to VERSION  --from VERSION  --steps N\n"
	"      --dry-run            run the steps, then roll them back\n"
	"  -y, --yes                do not ask before what cannot be undone\n";

static int read_options(struct cw_migrate_cli *w, int argc, char **argv)
{
	static const struct option own[] = {
		{ "to", required_argument, NULL, 256 },      { "from", required_argument, NULL, 257 },
		{ "steps", required_argument, NULL, 258 },   { "dry-run", no_argument, NULL, 259 },
		{ "yes", no_argument, NULL, 'y' },           { "capture", no_argument, NULL, 260 },
		{ "write", required_argument, NULL, 261 },   { "offline", no_argument, NULL, 262 },
		{ "amounts", required_argument, NULL, 263 }, { "gas-price", required_argument, NULL, 264 },
		{ "drop", no_argument, NULL, 265 },          { "undo", no_argument, NULL, 266 },
		{ "chain-id", required_argument, NULL, 267 }, { "skip-invalid", no_argument, NULL, 268 },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = cw_cli_next(&w->cli, argc, argv, own)) != -1) {
		switch (opt) {
		case 256: w->to = optarg; break;
		case 257: w->from = optarg; break;
		case 258:
			if (!cw_cli_number(&w->cli, "--steps", optarg, 1, 100000, &w->steps))
				return -1;
			break;
		case 259: w->dry_run = true; break;
		case 'y': w->yes = true; break;
		case 260: w->capture = true; break;
		case 261: w->write = optarg; break;
		case 262: w->offline = true; break;
		case 263: w->amounts = optarg; break;
		case 264: w->gas_price = optarg; break;
		case 265: w->drop = true; break;
		case 266: w->undo = true; break;
		case 267:
			if (!cw_cli_number(&w->cli, "--chain-id", optarg, 0, INT64_MAX, &w->chain_id))
				return -1;
			break;
		case 268: w->skip_invalid = true; break;
		default: return -1;
		}
	}
	return 0;
}

static int run(struct cw_migrate_cli *w, const struct verb *verb)
{
	struct cw_cli_database *db;
	int rc;

	if (verb->alone != NULL)
		return verb->alone(w);
	db = cw_cli_database(&w->cli, w->config);
	if (db == NULL)
		return 69;
	rc = verb->with_database(w, cw_cli_database_conninfo(db));
	cw_cli_database_done(&db);
	return rc;
}

/* "goto VERSION --yes": the operand may stand before the options. */
static int read_operand(struct cw_migrate_cli *w, const struct verb *verb, int *argc, char ***argv)
{
	if (verb->operand != NULL && *argc > 1 && (*argv)[1][0] != '-') {
		w->operand = (*argv)[1];
		(*argv)[1] = (*argv)[0];
		(*argc)--;
		(*argv)++;
	}
	if (read_options(w, *argc, *argv) != 0)
		return 2;
	if (w->cli.help)
		return 0;
	if (verb->operand != NULL && w->operand == NULL && optind < *argc)
		w->operand = (*argv)[optind++];
	if (verb->operand != NULL && w->operand == NULL)
		return cw_cli_usage_error(&w->cli, "%s needs %s", verb->name, verb->operand);
	if (optind < *argc)
		return cw_cli_usage_error(&w->cli, "one operand too many: \"%s\"", (*argv)[optind]);
	return 0;
}

int cw_cmd_migrate(int argc, char **argv)
{
	struct cw_migrate_cli w = { .cli = { .verb = "migrate", .usage = usage }, .chain_id = -1 };
	const struct verb *verb = NULL;
	const char *word = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
	struct cw_config *config;
	struct cw_err err;
	int rc;

	for (size_t i = 0; word != NULL && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(word, verbs[i].name) == 0)
			verb = &verbs[i];
	if (verb == NULL) {
		if (word == NULL && read_options(&w, argc, argv) == 0 && w.cli.help)
			return cw_cli_help(&w.cli);
		return cw_cli_usage_error(&w.cli, "say new, up, down, goto, status, history, sql, diff, verify, stamp or adopt"
		                          "%s%s%s", word != NULL ? ", not \"" : "", word != NULL ? word : "",
		                          word != NULL ? "\"" : "");
	}
	argv[1] = argv[0];
	argc--;
	argv++;
	rc = read_operand(&w, verb, &argc, &argv);
	if (rc != 0)
		return rc;
	if (w.cli.help)
		return cw_cli_help(&w.cli);
	if (w.steps == 0 && w.to == NULL)
		w.steps = 1;
	config = cw_cli_config(&w.cli);
	if (config == NULL)
		return 2;
	w.config = config;
	rc = cw_migrations_load(&w.migrations, config->migrations_dir, &err) == 0 ? run(&w, verb) : cw_cli_fail(&w.cli, &err);
	cw_migrations_release(&w.migrations);
	cw_config_free(&config);
	return rc;
}
