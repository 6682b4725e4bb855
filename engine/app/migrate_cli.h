/* migrate_cli.h - what the files of the verb migrate share. */
#ifndef CW_APP_MIGRATE_CLI_H
#define CW_APP_MIGRATE_CLI_H

#include <stdbool.h>

#include "app/cli.h"
#include "pg/migrate.h"

struct cw_config;

struct cw_migrate_cli {
	struct cw_cli cli;
	const struct cw_config *config;
	struct cw_migrations migrations;
	const char *operand;             /* NULL: none */
	const char *to, *from, *write, *amounts, *gas_price;
	long long steps, chain_id;
	bool dry_run, yes, capture, offline, drop, undo, skip_invalid;
};

/* Each returns the exit code. */
int cw_migrate_cli_diff(struct cw_migrate_cli *w);
int cw_migrate_cli_verify(struct cw_migrate_cli *w);
int cw_migrate_cli_adopt(struct cw_migrate_cli *w);

#endif
