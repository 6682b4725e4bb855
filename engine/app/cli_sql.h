/* cli_sql.h - what the verbs about people share: a database connection, an act with its audit entry, a password typed in.
 *
 * Synchronous, over libpq, so that they work without a running engine too. */
#ifndef CW_APP_CLI_SQL_H
#define CW_APP_CLI_SQL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

struct cw_cli;
struct cw_err;
struct option;

/* As cw_cli_next, with options and operands in any order: operands go to `operands`, NULL-terminated. */
#define CW_OPERANDS_MAX 4
int cw_cli_next_any(struct cw_cli *cli, int argc, char **argv, const struct option *own,
                    const char *operands[CW_OPERANDS_MAX + 1]);

PGconn *cw_sql_open(const char *conninfo, struct cw_err *err);
/* NULL and `err` on failure. Parameters are text, NULL is a null. */
PGresult *cw_sql(PGconn *conn, struct cw_err *err, const char *sql, int nvalues, const char *const *values);
/* The same, for what gives no rows back; returns the rows that it changed, or -1. */
int cw_sql_do(PGconn *conn, struct cw_err *err, const char *sql, int nvalues, const char *const *values);
/* An entry of the audit log in the open transaction; `details` are pairs of JSON name and text, ended by CW_PAIRS_END. Who runs
 * the command is added. */
#define CW_PAIRS_END ((const char *)NULL)
int cw_sql_audit(PGconn *conn, struct cw_err *err, const char *type, const char *resource, const char *action, ...);

/* "analyst,viewer" as a text[] literal "{analyst,viewer}"; false after a message: an unknown role. `empty` may be. */
bool cw_cli_roles(const struct cw_cli *cli, const char *text, bool empty, char *out, size_t size);
/* From a terminal, asked for twice and not shown; else the first line of standard input. False after a message. The
 * caller wipes it. */
bool cw_cli_password(const struct cw_cli *cli, char *out, size_t size);

#endif
