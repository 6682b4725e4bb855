/* cli.h - what the CLI verbs share: options, settings, messages, exit codes.
 *
 * Exit codes: 0 ok, 1 failed or differs, 2 usage or configuration, 69 unavailable, 75 temporary. Results go to stdout,
 * everything else to stderr. */
#ifndef CW_APP_CLI_H
#define CW_APP_CLI_H

#include <stdbool.h>
#include <getopt.h>

struct cw_config;
struct cw_err;
struct cw_zygote;

/* Options that every verb takes: -c/--config FILE, --set SECTION.KEY=VALUE, --json, -h/--help. */
struct cw_cli {
	const char *verb;            /* "migrate up" */
	const char *usage;           /* text for -h, without the common options */
	const char *config_path;
	const char *sets[32];
	int nsets;
	bool json, help;
};

/* getopt_long with the verb's own options (val >= 256 or a letter) and the common ones, which it takes itself. Returns
 * the value of an own option, -1 at the end (optind is then the first operand), '?' after a message: exit 2. */
int cw_cli_next(struct cw_cli *cli, int argc, char **argv, const struct option *own);
/* Prints the usage to stdout. Returns 0. */
int cw_cli_help(const struct cw_cli *cli);
/* Message to stderr and the exit code that belongs to it. */
int cw_cli_usage_error(const struct cw_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cw_cli_fail(const struct cw_cli *cli, const struct cw_err *err);
/* Settings with --config and --set applied, log levels set. NULL after a message. */
struct cw_config *cw_cli_config(const struct cw_cli *cli);
/* A whole number in [min, max] out of an option's text; false after a message. */
bool cw_cli_number(const struct cw_cli *cli, const char *option, const char *text, long long min, long long max,
                   long long *out);
/* Whether to go on with what cannot be undone, after its plan was printed: `yes` is the option --yes; else a terminal is
 * asked. False after a message: return CW_CLI_NOT_CONFIRMED. */
enum { CW_CLI_NOT_CONFIRMED = 2 };
bool cw_cli_confirm(const struct cw_cli *cli, bool yes, const char *question);
/* The connection string of the database: DATABASE_URL, or the private cluster of a running engine, or one that is
 * started for this process. NULL after a message; release with cw_cli_database_done. */
struct cw_cli_database;
struct cw_cli_database *cw_cli_database(const struct cw_cli *cli, const struct cw_config *config);
const char *cw_cli_database_conninfo(const struct cw_cli_database *db);
void cw_cli_database_done(struct cw_cli_database **db);

/* The verbs. argv[0] is the verb. */
int cw_cmd_serve(int argc, char **argv, struct cw_zygote **zygote);
int cw_cmd_check(int argc, char **argv, struct cw_zygote **zygote);
int cw_cmd_rules(int argc, char **argv, struct cw_zygote **zygote);
int cw_cmd_reload(int argc, char **argv);
int cw_cmd_ingest(int argc, char **argv);
int cw_cmd_migrate(int argc, char **argv);
int cw_cmd_backup(int argc, char **argv);
int cw_cmd_restore(int argc, char **argv);
int cw_cmd_simulate(int argc, char **argv);
int cw_cmd_detect(int argc, char **argv);
int cw_cmd_lua(int argc, char **argv);
int cw_cmd_audit(int argc, char **argv);
int cw_cmd_user(int argc, char **argv);
int cw_cmd_key(int argc, char **argv);
int cw_cmd_token(int argc, char **argv);
int cw_cmd_labels(int argc, char **argv);
int cw_cmd_retention(int argc, char **argv);
int cw_cmd_version(int argc, char **argv);

#endif
