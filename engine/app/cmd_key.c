/* cmd_key.c - chainwatch key create|list|revoke: API keys; chainwatch token list|rotate: the keys behind access tokens. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/cli_sql.h"
#include "app/config.h"
#include "app/identity.h"
#include "auth/keys.h"
#include "auth/token.h"
#include "base/err.h"

struct key {
	struct cw_cli cli;
	const struct cw_config *config;
	const char *email, *name, *scopes, *operand;
	long long days;
	PGconn *conn;
};

static int create(struct key *k)
{
	static const char sql[] =
	    "INSERT INTO api_keys (user_id, name, hashed_key, prefix, scopes, expires_at)"
	    " SELECT id, $2, decode($3, 'hex'), $4, $5::text[], now() + $6::bigint * interval '1 day' FROM users"
	    " WHERE lower(email) = lower($1) RETURNING id";
	char key[CW_KEY_TEXT], prefix[CW_KEY_PREFIX + 1], hex[65], scopes[80], days[32], resource[40];
	const char *values[6] = { k->email, k->name, hex, prefix, scopes, k->days > 0 ? days : NULL };
	unsigned char hash[32];
	struct cw_err err;
	PGresult *res;
	int rc = -1;

	if (!cw_cli_roles(&k->cli, k->scopes != NULL ? k->scopes : "", true, scopes, sizeof(scopes)))
		return 2;
	cw_key_make(key);
	cw_key_digest(key, hash);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(prefix, sizeof(prefix), "%.*s", CW_KEY_PREFIX, key);
	snprintf(days, sizeof(days), "%lld", k->days);
	if (cw_sql_do(k->conn, &err, "BEGIN", 0, NULL) >= 0 && (res = cw_sql(k->conn, &err, sql, 6, values)) != NULL) {
		if (PQntuples(res) != 1) {
			cw_err_set(&err, CW_ERR_NOT_FOUND, "there is no user \"%s\"", k->email);
		} else {
			snprintf(resource, sizeof(resource), "api_key/%s", PQgetvalue(res, 0, 0));
			rc = cw_sql_audit(k->conn, &err, "api_key.create", resource, "create", "name", k->name, "prefix", prefix,
			                  "owner", k->email, "scopes", scopes, CW_PAIRS_END);
		}
		PQclear(res);
	}
	if (rc == 0 && cw_sql_do(k->conn, &err, "COMMIT", 0, NULL) < 0)
		rc = -1;
	if (rc == 0 && k->cli.json)
		printf("{\"id\":%s,\"key\":\"%s\",\"prefix\":\"%s\"}\n", strchr(resource, '/') + 1, key, prefix);
	else if (rc == 0)
		printf("%s\n", key);
	sodium_memzero(key, sizeof(key));
	return rc == 0 ? 0 : cw_cli_fail(&k->cli, &err);
}

static int list(struct key *k)
{
	static const char sql[] =
	    "SELECT k.id, k.prefix, k.name, u.email, array_to_string(k.scopes, ','), CASE WHEN NOT k.is_active THEN "
	    "'revoked'"
	    " WHEN NOT u.is_active THEN 'user off' WHEN k.expires_at <= now() THEN 'expired' ELSE 'active' END,"
	    " coalesce(to_char(k.last_used AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'never'),"
	    " jsonb_build_object('id', k.id, 'prefix', k.prefix, 'name', k.name, 'user', u.email, 'scopes', k.scopes, "
	    "'is_active',"
	    "  k.is_active, 'created_at', k.created_at, 'expires_at', k.expires_at, 'last_used', k.last_used)::text"
	    " FROM api_keys k JOIN users u ON u.id = k.user_id WHERE $1::text IS NULL OR lower(u.email) = lower($1) ORDER "
	    "BY k.id";
	const char *values[1] = { k->email };
	struct cw_err err;
	PGresult *res = cw_sql(k->conn, &err, sql, 1, values);

	if (res == NULL)
		return cw_cli_fail(&k->cli, &err);
	if (k->cli.json)
		printf("[");
	for (int i = 0; i < PQntuples(res); i++) {
		if (k->cli.json)
			printf("%s%s", i > 0 ? ",\n" : "", PQgetvalue(res, i, 7));
		else
			printf("%6s  %s...  %-20s %-28s %-16s %-8s last used %s\n", PQgetvalue(res, i, 0), PQgetvalue(res, i, 1),
			       PQgetvalue(res, i, 2), PQgetvalue(res, i, 3), PQgetvalue(res, i, 4), PQgetvalue(res, i, 5),
			       PQgetvalue(res, i, 6));
	}
	if (k->cli.json)
		printf("]\n");
	PQclear(res);
	return 0;
}

/* By number, or by the beginning of the key where that names one. */
static int revoke(struct key *k)
{
	const char *values[1] = { k->operand };
	char resource[40], prefix[32];
	struct cw_err err;
	PGresult *res = NULL;
	int rc = -1;

	if (cw_sql_do(k->conn, &err, "BEGIN", 0, NULL) >= 0)
		res = cw_sql(k->conn, &err,
		             "UPDATE api_keys SET is_active = false WHERE is_active AND id IN (SELECT id FROM api_keys"
		             " WHERE id::text = $1 OR (length($1) >= 12 AND starts_with($1, prefix)) OR prefix = $1)"
		             " RETURNING id, prefix",
		             1, values);
	if (res != NULL && PQntuples(res) != 1) {
		cw_err_set(&err, PQntuples(res) == 0 ? CW_ERR_NOT_FOUND : CW_ERR_CONFLICT,
		           PQntuples(res) == 0 ? "there is no active key \"%.16s\"" : "\"%.16s\" names more than one key",
		           k->operand);
	} else if (res != NULL) {
		snprintf(resource, sizeof(resource), "api_key/%s", PQgetvalue(res, 0, 0));
		snprintf(prefix, sizeof(prefix), "%s", PQgetvalue(res, 0, 1));
		rc = cw_sql_audit(k->conn, &err, "api_key.revoke", resource, "revoke", "prefix", prefix, CW_PAIRS_END);
	}
	PQclear(res);
	if (rc == 0 && cw_sql_do(k->conn, &err, "COMMIT", 0, NULL) < 0)
		rc = -1;
	if (rc != 0)
		return cw_cli_fail(&k->cli, &err);
	printf("revoked %s (%s...)\n", resource, prefix);
	return 0;
}

static int run(struct key *k, const char *verb)
{
	struct cw_cli_database *db = cw_cli_database(&k->cli, k->config);
	struct cw_err err;
	int rc;

	if (db == NULL)
		return 69;
	k->conn = cw_sql_open(cw_cli_database_conninfo(db), &err);
	if (k->conn == NULL)
		rc = cw_cli_fail(&k->cli, &err);
	else
		rc = verb[0] == 'c' ? create(k) : verb[0] == 'l' ? list(k) : revoke(k);
	if (k->conn != NULL)
		PQfinish(k->conn);
	cw_cli_database_done(&db);
	return rc;
}

int cw_cmd_key(int argc, char **argv)
{
	static const struct option own[] = {
		{ "user", required_argument, NULL, 256 },
		{ "name", required_argument, NULL, 257 },
		{ "scopes", required_argument, NULL, 258 },
		{ "days", required_argument, NULL, 259 },
		{ NULL, 0, NULL, 0 },
	};
	struct key k = {
		.cli = { .verb = "key",
		         .usage =
		             "key create|list|revoke [options]\n\n"
		             "  create --user EMAIL --name NAME   a new key, printed this once (--scopes A,B: roles that it "
		             "is\n"
		             "                                    narrowed to; --days N: until it expires)\n"
		             "  list                              keys, without the keys themselves (--user EMAIL: of one)\n"
		             "  revoke ID                         or the beginning of the key; refused within a second\n\n" },
	};
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	const char *given[CW_OPERANDS_MAX + 1] = { NULL };
	struct cw_config *config;
	int opt, rc;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next_any(&k.cli, argc, argv, own, given)) != -1) {
		switch (opt) {
		case 256: k.email = optarg; break;
		case 257: k.name = optarg; break;
		case 258: k.scopes = optarg; break;
		case 259:
			if (!cw_cli_number(&k.cli, "--days", optarg, 1, 36500, &k.days))
				return 2;
			break;
		default: return 2;
		}
	}
	if (k.cli.help)
		return cw_cli_help(&k.cli);
	if (strcmp(verb, "create") != 0 && strcmp(verb, "list") != 0 && strcmp(verb, "revoke") != 0)
		return cw_cli_usage_error(&k.cli, "say create, list or revoke");
	if (verb[0] == 'c' && (k.email == NULL || k.name == NULL || k.name[0] == '\0'))
		return cw_cli_usage_error(&k.cli, "create takes --user EMAIL and --name NAME");
	if (given[verb[0] == 'r'] != NULL || (verb[0] == 'r' && given[0] == NULL))
		return cw_cli_usage_error(&k.cli, verb[0] == 'r' ? "revoke takes one ID" : "there is no operand");
	k.operand = given[0];
	config = cw_cli_config(&k.cli);
	if (config == NULL)
		return 2;
	k.config = config;
	rc = run(&k, verb);
	cw_config_free(&config);
	return rc;
}

/* --- token --- */

static int list_tokens(const struct cw_cli *cli, const char *path)
{
	struct cw_err err;
	struct cw_keyring *ring = cw_keyring_load(path, &err);
	enum cw_token_alg alg;

	if (ring == NULL)
		return cw_cli_fail(cli, &err);
	for (int i = 0; i < cw_keyring_count(ring); i++) {
		const char *kid = cw_keyring_kid(ring, i, &alg);

		printf("%-32s %s %s\n", kid, alg == CW_TOKEN_HS256 ? "HS256" : "EdDSA",
		       i == 0 ? "signs and verifies" : "verifies");
	}
	cw_keyring_free(&ring);
	return 0;
}

int cw_cmd_token(int argc, char **argv)
{
	static const struct option own[] = {
		{ "alg", required_argument, NULL, 256 },
		{ "keep", required_argument, NULL, 257 },
		{ NULL, 0, NULL, 0 },
	};
	struct cw_cli cli = {
		.verb = "token",
		.usage =
		    "token list|rotate [options]\n\n"
		    "  list     names of the keys for access tokens: the first signs, all verify\n"
		    "  rotate   a new key in front, --alg HS256 (default) or EdDSA; the one before it stays, so that its "
		    "tokens\n"
		    "           are good until they expire (--keep N keys in all, 2; --keep 1: they are refused at once)\n\n"
		    "A running engine takes it with \"chainwatch reload\".\n\n",
	};
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "", *alg = "HS256";
	struct cw_config *config;
	char path[512], kid[CW_TOKEN_KID];
	long long keep = 2;
	struct cw_err err;
	int opt, rc = 0;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&cli, argc, argv, own)) != -1) {
		if (opt == 256)
			alg = optarg;
		else if (opt != 257 || !cw_cli_number(&cli, "--keep", optarg, 1, 16, &keep))
			return 2;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (strcmp(verb, "list") != 0 && strcmp(verb, "rotate") != 0)
		return cw_cli_usage_error(&cli, "say list or rotate");
	if (strcmp(alg, "HS256") != 0 && strcmp(alg, "EdDSA") != 0)
		return cw_cli_usage_error(&cli, "--alg is HS256 or EdDSA, not \"%s\"", alg);
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	cw_identity_path(config->data_dir, config->token_keys, "token.keys", path, sizeof(path));
	if (verb[0] == 'l')
		rc = list_tokens(&cli, path);
	else if (cw_keyring_rotate(path, alg[0] == 'H' ? CW_TOKEN_HS256 : CW_TOKEN_EDDSA, (int)keep, kid, &err) != 0)
		rc = cw_cli_fail(&cli, &err);
	else
		printf("%s signs from the next reload on\n", kid);
	cw_config_free(&config);
	return rc;
}
