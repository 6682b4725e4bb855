/* cmd_user.c - chainwatch user create|list|disable|enable|set-password|roles: people, without a running engine too. A
 * running one takes a change within a second. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/cli_sql.h"
#include "app/config.h"
#include "auth/password.h"
#include "base/err.h"

#define PASSWORD_BUF (CW_PASSWORD_MAX + 2)

struct user {
	struct cw_cli cli;
	const struct cw_config *config;
	const char *email, *roles;
	bool no_password;
	PGconn *conn;
};

static int fail(const struct user *u, struct cw_err *err)
{
	cw_err_wrap(err, "user \"%s\"", u->email);
	return cw_cli_fail(&u->cli, err);
}

/* A hash of a password that was typed in and may be used. */
static int take_password(const struct user *u, char hash[CW_PASSWORD_HASH])
{
	struct cw_password_conf conf = {
		.memory_kib = u->config->argon2_memory_kib,
		.passes = u->config->argon2_passes,
		.min_length = u->config->password_min,
	};
	char text[PASSWORD_BUF];
	const char *fault;
	int rc = 0;

	if (!cw_cli_password(&u->cli, text, sizeof(text)))
		return 2;
	fault = cw_password_fault(&conf, text, strlen(text), u->email);
	if (fault != NULL)
		rc = cw_cli_usage_error(&u->cli, "the password %s", fault);
	else if (!cw_password_hash_now(&conf, text, strlen(text), hash))
		rc = cw_cli_usage_error(&u->cli, "there is no memory for the password's hash");
	sodium_memzero(text, sizeof(text));
	return rc;
}

/* The act and its audit entry, or none of both. */
static int commit(const struct user *u, int done, struct cw_err *err)
{
	if (done == 0)
		cw_err_set(err, CW_ERR_NOT_FOUND, "there is no such user");
	if (done > 0 && cw_sql_do(u->conn, err, "COMMIT", 0, NULL) >= 0)
		return 0;
	return fail(u, err);
}

static int create(struct user *u)
{
	char hash[CW_PASSWORD_HASH], roles[80];
	const char *values[3] = { u->email, hash, roles };
	struct cw_err err;
	int rc, n;

	if (strchr(u->email, '@') == NULL || strpbrk(u->email, " \t\r\n") != NULL)
		return cw_cli_usage_error(&u->cli, "\"%s\" is no e-mail address", u->email);
	if (!cw_cli_roles(&u->cli, u->roles != NULL ? u->roles : "viewer", false, roles, sizeof(roles)))
		return 2;
	rc = u->no_password ? 0 : take_password(u, hash);
	if (rc != 0)
		return rc;
	if (u->no_password)
		values[1] = NULL;
	if (cw_sql_do(u->conn, &err, "BEGIN", 0, NULL) < 0)
		return fail(u, &err);
	n = cw_sql_do(u->conn, &err, "INSERT INTO users (email, hashed_password, roles) VALUES ($1, $2, $3::text[])", 3,
	              values);
	if (n > 0 && cw_sql_audit(u->conn, &err, "user.create", u->email, "create", "email", u->email, "roles", roles,
	                          CW_PAIRS_END) != 0)
		n = -1;
	rc = commit(u, n, &err);
	if (rc == 0)
		printf("made user %s %s\n", u->email, roles);
	return rc;
}

static int set_active(struct user *u, bool active)
{
	const char *values[2] = { u->email, active ? "true" : "false" };
	struct cw_err err;
	int n;

	if (cw_sql_do(u->conn, &err, "BEGIN", 0, NULL) < 0)
		return fail(u, &err);
	n = cw_sql_do(u->conn, &err, "UPDATE users SET is_active = $2::bool WHERE lower(email) = lower($1)", 2, values);
	if (n > 0 && !active &&
	    cw_sql_do(u->conn, &err,
	              "UPDATE auth_sessions SET revoked_at = now(), revoked_reason = 'deactivated' WHERE"
	              " revoked_at IS NULL AND user_id = (SELECT id FROM users WHERE lower(email) = lower($1))",
	              1, values) < 0)
		n = -1;
	if (n > 0 && cw_sql_audit(u->conn, &err, active ? "user.enable" : "user.disable", u->email, "update", "email",
	                          u->email, CW_PAIRS_END) != 0)
		n = -1;
	n = commit(u, n, &err);
	if (n == 0)
		printf("%s user %s\n", active ? "enabled" : "disabled", u->email);
	return n;
}

static int set_password(struct user *u)
{
	char hash[CW_PASSWORD_HASH];
	const char *values[2] = { u->email, hash };
	struct cw_err err;
	int rc = take_password(u, hash), n;

	if (rc != 0)
		return rc;
	if (cw_sql_do(u->conn, &err, "BEGIN", 0, NULL) < 0)
		return fail(u, &err);
	n = cw_sql_do(u->conn, &err, "UPDATE users SET hashed_password = $2, token_epoch = token_epoch + 1 WHERE lower(email) = lower($1)", 2, values);
	if (n > 0 && cw_sql_do(u->conn, &err,
	                       "UPDATE auth_sessions SET revoked_at = now(), revoked_reason = 'password' WHERE"
	                       " revoked_at IS NULL AND user_id = (SELECT id FROM users WHERE lower(email) = lower($1))",
	                       1, values) < 0)
		n = -1;
	if (n > 0 && cw_sql_audit(u->conn, &err, "user.password", u->email, "update", "email", u->email, CW_PAIRS_END) != 0)
		n = -1;
	rc = commit(u, n, &err);
	if (rc == 0)
		printf("set the password of user %s; all sessions have ended\n", u->email);
	return rc;
}

static int set_roles(struct user *u, const char *text)
{
	char roles[80];
	const char *values[2] = { u->email, roles };
	struct cw_err err;
	int n;

	if (!cw_cli_roles(&u->cli, text, false, roles, sizeof(roles)))
		return 2;
	if (cw_sql_do(u->conn, &err, "BEGIN", 0, NULL) < 0)
		return fail(u, &err);
	n = cw_sql_do(u->conn, &err, "UPDATE users SET roles = $2::text[] WHERE lower(email) = lower($1)", 2, values);
	if (n > 0 && cw_sql_audit(u->conn, &err, "user.roles", u->email, "update", "email", u->email, "roles", roles,
	                          CW_PAIRS_END) != 0)
		n = -1;
	n = commit(u, n, &err);
	if (n == 0)
		printf("user %s is %s now\n", u->email, roles);
	return n;
}

static int list(struct user *u)
{
	static const char sql[] =
	    "SELECT id, email, array_to_string(roles, ','), CASE WHEN is_active THEN 'active' ELSE 'disabled' END,"
	    " coalesce(to_char(last_login AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'never'),"
	    " CASE WHEN hashed_password IS NULL THEN 'no password' ELSE '' END,"
	    " jsonb_build_object('id', id, 'email', email, 'roles', roles, 'is_active', is_active, 'created_at', "
	    "created_at,"
	    "  'last_login', last_login, 'has_password', hashed_password IS NOT NULL)::text"
	    " FROM users ORDER BY id";
	struct cw_err err;
	PGresult *res = cw_sql(u->conn, &err, sql, 0, NULL);

	if (res == NULL)
		return cw_cli_fail(&u->cli, &err);
	if (u->cli.json)
		printf("[");
	for (int i = 0; i < PQntuples(res); i++) {
		if (u->cli.json)
			printf("%s%s", i > 0 ? ",\n" : "", PQgetvalue(res, i, 6));
		else
			printf("%6s  %-32s %-24s %-8s last login %s %s\n", PQgetvalue(res, i, 0), PQgetvalue(res, i, 1),
			       PQgetvalue(res, i, 2), PQgetvalue(res, i, 3), PQgetvalue(res, i, 4), PQgetvalue(res, i, 5));
	}
	if (u->cli.json)
		printf("]\n");
	PQclear(res);
	return 0;
}

static int run(struct user *u, const char *verb, const char *operand)
{
	struct cw_cli_database *db = cw_cli_database(&u->cli, u->config);
	struct cw_err err;
	int rc;

	if (db == NULL)
		return 69;
	u->conn = cw_sql_open(cw_cli_database_conninfo(db), &err);
	if (u->conn == NULL)
		rc = cw_cli_fail(&u->cli, &err);
	else
		rc = strcmp(verb, "create") == 0         ? create(u)
		     : strcmp(verb, "list") == 0         ? list(u)
		     : strcmp(verb, "set-password") == 0 ? set_password(u)
		     : strcmp(verb, "roles") == 0        ? set_roles(u, operand)
		                                         : set_active(u, verb[0] == 'e');
	if (u->conn != NULL)
		PQfinish(u->conn);
	cw_cli_database_done(&db);
	return rc;
}

int cw_cmd_user(int argc, char **argv)
{
	static const struct option own[] = {
		{ "roles", required_argument, NULL, 256 },
		{ "no-password", no_argument, NULL, 257 },
		{ NULL, 0, NULL, 0 },
	};
	static const char *const verbs[] = { "create", "list", "disable", "enable", "set-password", "roles", NULL };
	struct user u = {
		.cli = { .verb = "user",
		         .usage =
		             "user create|list|disable|enable|set-password|roles [EMAIL] [options]\n\n"
		             "  create EMAIL         a new user (--roles A,B: default viewer; --no-password: for keys alone)\n"
		             "  list                 all of them\n"
		             "  disable EMAIL        keys and logins are refused within a second\n"
		             "  enable EMAIL\n"
		             "  set-password EMAIL   all logins of the user end\n"
		             "  roles EMAIL A,B      viewer, analyst, operator, admin, service\n\n"
		             "A password is asked for at the terminal, else it is the first line of standard input.\n\n" },
	};
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	struct cw_config *config;
	const char *given[CW_OPERANDS_MAX + 1] = { NULL };
	int opt, rc, known = 0, operands, n = 0;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next_any(&u.cli, argc, argv, own, given)) != -1) {
		switch (opt) {
		case 256: u.roles = optarg; break;
		case 257: u.no_password = true; break;
		default: return 2;
		}
	}
	if (u.cli.help)
		return cw_cli_help(&u.cli);
	while (verbs[known] != NULL && strcmp(verb, verbs[known]) != 0)
		known++;
	if (verbs[known] == NULL)
		return cw_cli_usage_error(&u.cli, "say create, list, disable, enable, set-password or roles");
	operands = strcmp(verb, "list") == 0 ? 0 : strcmp(verb, "roles") == 0 ? 2 : 1;
	while (given[n] != NULL)
		n++;
	if (n != operands)
		return cw_cli_usage_error(&u.cli, "%s takes %s", verb,
		                          operands == 0   ? "no operand"
		                          : operands == 1 ? "one EMAIL"
		                                          : "EMAIL and ROLES");
	u.email = operands > 0 ? given[0] : "";
	config = cw_cli_config(&u.cli);
	if (config == NULL)
		return 2;
	u.config = config;
	rc = run(&u, verb, given[1]);
	cw_config_free(&config);
	return rc;
}
