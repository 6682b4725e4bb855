#include "app/cli_sql.h"

#include <errno.h>
#include <pwd.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/cli.h"
#include "auth/role.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

static int say(PGconn *conn, const PGresult *res, struct cw_err *err)
{
	const char *text = PQerrorMessage(conn), *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	bool taken = state != NULL && strcmp(state, "23505") == 0;

	if (taken)
		return cw_err_set(err, CW_ERR_CONFLICT, "it exists already");
	if (strncmp(text, "ERROR:  ", 8) == 0)
		text += 8;
	return cw_err_set(err, state == NULL || strncmp(state, "08", 2) == 0 ? CW_ERR_DB : CW_ERR_INVALID, "%.*s",
	                  (int)strcspn(text, "\n"), text);
}

int cw_cli_next_any(struct cw_cli *cli, int argc, char **argv, const struct option *own,
                    const char *operands[CW_OPERANDS_MAX + 1])
{
	int n = 0;

	while (operands[n] != NULL)
		n++;
	for (;;) {
		int opt = cw_cli_next(cli, argc, argv, own);
		bool rest = optind > 1 && optind <= argc && strcmp(argv[optind - 1], "--") == 0;

		if (opt != -1 || optind >= argc)
			return opt;
		do {
			if (n == CW_OPERANDS_MAX) {
				cw_cli_usage_error(cli, "one operand too many: \"%s\"", argv[optind]);
				return '?';
			}
			operands[n++] = argv[optind++];
		} while (rest && optind < argc);
	}
}

PGconn *cw_sql_open(const char *conninfo, struct cw_err *err)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	say(conn, NULL, err);
	cw_err_wrap(err, "could not connect to the database");
	PQfinish(conn);
	return NULL;
}

PGresult *cw_sql(PGconn *conn, struct cw_err *err, const char *sql, int nvalues, const char *const *values)
{
	PGresult *res = PQexecParams(conn, sql, nvalues, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return res;
	say(conn, res, err);
	PQclear(res);
	return NULL;
}

int cw_sql_do(PGconn *conn, struct cw_err *err, const char *sql, int nvalues, const char *const *values)
{
	PGresult *res = cw_sql(conn, err, sql, nvalues, values);
	int n;

	if (res == NULL)
		return -1;
	n = atoi(PQcmdTuples(res));
	PQclear(res);
	return n;
}

static const char *who(void)
{
	const struct passwd *p = getpwuid(getuid());

	return p != NULL ? p->pw_name : "?";
}

int cw_sql_audit(PGconn *conn, struct cw_err *err, const char *type, const char *resource, const char *action, ...)
{
	const char *values[4] = { type, resource, action, NULL }, *name;
	struct cw_buf details = CW_BUF_INIT;
	va_list ap;
	int rc;

	cw_buf_puts(&details, "{\"by\":\"command line\",\"system_user\":");
	cw_json_put_cstring(&details, who());
	va_start(ap, action);
	while ((name = va_arg(ap, const char *)) != NULL) {
		const char *text = va_arg(ap, const char *);

		cw_buf_putc(&details, ',');
		cw_json_put_cstring(&details, name);
		cw_buf_putc(&details, ':');
		cw_json_put_cstring(&details, text != NULL ? text : "");
	}
	va_end(ap);
	cw_buf_putc(&details, '}');
	values[3] = details.data;
	rc = cw_sql_do(conn, err,
	               "INSERT INTO audit_logs (event_type, resource, action, status, details)"
	               " VALUES ($1, $2, $3, 'success', $4::json)",
	               4, values);
	cw_buf_release(&details);
	return rc < 0 ? cw_err_wrap(err, "could not write the audit log") : 0;
}

bool cw_cli_roles(const struct cw_cli *cli, const char *text, bool empty, char *out, size_t size)
{
	uint32_t roles;

	if (!cw_roles_parse_list(text, &roles) || (roles == 0 && !empty)) {
		cw_cli_usage_error(cli, "roles are viewer, analyst, operator, admin, service, joined by commas, not \"%s\"",
		                   text);
		return false;
	}
	snprintf(out, size, "{");
	for (uint32_t role = CW_ROLE_VIEWER; role <= CW_ROLE_SERVICE; role <<= 1)
		if (roles & role)
			snprintf(out + strlen(out), size - strlen(out), "%s%s", strlen(out) > 1 ? "," : "", cw_role_name(role));
	snprintf(out + strlen(out), size - strlen(out), "}");
	return true;
}

/* --- a password --- */

static bool read_line(char *out, size_t size)
{
	size_t n = 0;
	char c;

	/* Byte by byte and unbuffered: nothing of it stays in a buffer of stdio. */
	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
		if (n + 1 >= size)
			return false;
		out[n++] = c;
	}
	if (n > 0 && out[n - 1] == '\r')
		n--;
	out[n] = '\0';
	return n > 0;
}

static bool ask(const char *prompt, char *out, size_t size)
{
	struct termios was, quiet;
	bool good;

	if (tcgetattr(STDIN_FILENO, &was) != 0)
		return false;
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	fflush(stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	good = read_line(out, size);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	fputc('\n', stderr);
	return good;
}

bool cw_cli_password(const struct cw_cli *cli, char *out, size_t size)
{
	char again[1100];
	bool good;

	if (!isatty(STDIN_FILENO)) {
		if (read_line(out, size))
			return true;
		cw_cli_usage_error(cli, "a password is read from standard input, one line of at most %zu bytes", size - 1);
		return false;
	}
	good = ask("Password: ", out, size) && ask("Again: ", again, sizeof(again)) && strcmp(out, again) == 0;
	sodium_memzero(again, sizeof(again));
	if (!good)
		cw_cli_usage_error(cli, "the two passwords differ, or there is none");
	return good;
}
