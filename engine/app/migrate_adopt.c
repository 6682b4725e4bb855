/* migrate_adopt.c - chainwatch migrate adopt: a database of the reference system becomes ours. */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/config.h"
#include "app/migrate_cli.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "pg/migrate.h"
#include "pg/scratch.h"
#include "store/adopt.h"

/* Supply: there are some 1.2e8 ether, so nothing larger is an amount in ether; and a billionth of a billionth is dust. */
#define MOST_ETHER 1.3e8
#define LEAST_WEI  1e9
#define MOST_GWEI  1e6

static const char *guess(double largest, bool whole, double most_big, double least_small, const char *big)
{
	if (largest <= most_big && !(whole && largest > least_small))
		return big;
	if (whole && largest >= least_small)
		return "wei";
	return NULL;
}

static int choose(const struct cw_migrate_cli *w, const struct cw_adopt_look *look, struct cw_adopt_conf *conf)
{
	conf->amounts = w->amounts;
	conf->gas_price = w->gas_price;
	if (conf->amounts == NULL || strcmp(conf->amounts, "auto") == 0)
		conf->amounts = guess(look->max_value, look->whole_value, MOST_ETHER, LEAST_WEI, "ether");
	if (conf->gas_price == NULL || strcmp(conf->gas_price, "auto") == 0)
		conf->gas_price = guess(look->max_gas_price, look->whole_gas_price, MOST_GWEI, MOST_GWEI, "gwei");
	if (conf->amounts == NULL)
		return cw_cli_usage_error(&w->cli, "the unit of the values cannot be guessed: say --amounts ether or wei");
	if (conf->gas_price == NULL)
		return cw_cli_usage_error(&w->cli, "the unit of the gas prices cannot be guessed: say --gas-price gwei or wei");
	if (strcmp(conf->amounts, "ether") != 0 && strcmp(conf->amounts, "wei") != 0)
		return cw_cli_usage_error(&w->cli, "--amounts is ether, wei or auto, not \"%s\"", conf->amounts);
	if (strcmp(conf->gas_price, "gwei") != 0 && strcmp(conf->gas_price, "wei") != 0)
		return cw_cli_usage_error(&w->cli, "--gas-price is gwei, wei or auto, not \"%s\"", conf->gas_price);
	return 0;
}

/* A JSON array of objects as lines: "what: value" and so on, the table first. */
static void print_rows(const char *json)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const struct cw_json *rows = cw_json_parse(json, strlen(json), 8, arena, &error);

	for (const struct cw_json *row = rows != NULL ? rows->first : NULL; row != NULL; row = row->next) {
		const struct cw_json *what = cw_json_get(row, "what"), *adopted = cw_json_get(row, "adopted");

		printf("  %-15s", cw_json_get(row, "table")->text);
		if (what == NULL)
			printf(" %s rows\n", cw_json_get(row, "rows")->text);
		else if (adopted->text == NULL || strcmp(adopted->text, "-") == 0)
			printf(" %s: %s\n", what->text, cw_json_get(row, "legacy")->text);
		else
			printf(" %s: %s = %s\n", what->text, cw_json_get(row, "legacy")->text, adopted->text);
	}
	cw_arena_free(&arena);
}

static int undo(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_migrate_run run = { .conninfo = conninfo };
	struct cw_err err;

	fprintf(stderr, "Our tables will be dropped with all that came since, and those of the schema \"legacy\" go back.\n");
	if (!cw_cli_confirm(&w->cli, w->yes, "Undo the adoption?"))
		return CW_CLI_NOT_CONFIRMED;
	if (cw_migrate_down(&w->migrations, &run, 0, "0", &err) < 0 ||
	    cw_pg_exec(conninfo, "DROP TABLE schema_migrations, schema_migrations_log", &err) != 0 ||
	    cw_adopt_move_back(conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	printf("undone\n");
	return 0;
}

static int drop_old(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_err err;

	fprintf(stderr, "The schema \"legacy\" will be dropped: the old tables, and the map from old ids to new ones.\n");
	if (!cw_cli_confirm(&w->cli, w->yes, "Drop it?"))
		return CW_CLI_NOT_CONFIRMED;
	if (cw_adopt_drop(conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	printf("dropped the schema \"legacy\"\n");
	return 0;
}

static int fill(struct cw_migrate_cli *w, const char *conninfo, const struct cw_adopt_conf *conf)
{
	struct cw_migrate_run run = { .conninfo = conninfo };
	struct cw_err err;
	char report[16384];

	if (cw_migrate_up(&w->migrations, &run, NULL, &err) < 0 || cw_adopt_fill(conninfo, conf, &err) != 0) {
		cw_cli_fail(&w->cli, &err);
		fprintf(stderr, "The old tables are in the schema \"legacy\", untouched. Run adopt again when the cause is mended, or\n"
		                "\"chainwatch migrate adopt --undo\" to have them back where they were.\n");
		return 1;
	}
	if (cw_adopt_report(conninfo, report, sizeof(report), &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	if (w->cli.json)
		printf("%s\n", report);
	else
		print_rows(report);
	return w->drop ? drop_old(w, conninfo) : 0;
}

static int adopt(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_adopt_conf conf = { .chain_id = w->chain_id >= 0 ? w->chain_id : w->config->chain_id,
		                          .skip_invalid = w->skip_invalid };
	enum cw_adopt_state state;
	struct cw_adopt_look look;
	struct cw_err err;
	int rc;

	if (cw_adopt_state(conninfo, &state, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	if (w->undo && (state == CW_ADOPT_MOVED || state == CW_ADOPT_DONE))
		return undo(w, conninfo);
	if (w->drop && state == CW_ADOPT_DONE)
		return drop_old(w, conninfo);
	if (w->undo || state == CW_ADOPT_NONE || state == CW_ADOPT_DONE)
		return cw_cli_usage_error(&w->cli, "%s", state == CW_ADOPT_DONE ? "this database has been adopted already (--drop "
		                          "removes the old tables, --undo takes it back)" : w->undo ? "there is nothing to undo"
		                          : "no table \"transactions\" with text ids in the schema \"public\": this is no database of "
		                            "the reference system");
	if (cw_adopt_look(conninfo, &look, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	rc = choose(w, &look, &conf);
	if (rc != 0)
		return rc;
	fprintf(stderr, "To be taken over (stop whatever writes to them first):\n");
	if (!w->cli.json)
		print_rows(look.tables);
	fprintf(stderr, "values are in %s (largest %g), gas prices in %s (largest %g), chain %lld, times in UTC;\n"
	                "the old tables go to the schema \"legacy\" and stay there\n", conf.amounts, look.max_value,
	        conf.gas_price, look.max_gas_price, (long long)conf.chain_id);
	if (!cw_cli_confirm(&w->cli, w->yes, "Take them over?"))
		return CW_CLI_NOT_CONFIRMED;
	if (state == CW_ADOPT_FOUND && cw_adopt_move(conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	return fill(w, conninfo, &conf);
}

int cw_migrate_cli_adopt(struct cw_migrate_cli *w)
{
	struct cw_cli_database *db = cw_cli_database(&w->cli, w->config);
	int rc;

	if (db == NULL)
		return 69;
	rc = adopt(w, cw_cli_database_conninfo(db));
	cw_cli_database_done(&db);
	return rc;
}
