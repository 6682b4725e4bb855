/* cmd_audit.c - chainwatch audit verify|list|head: the hash chain of the audit log. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/audit_verify.h"
#include "app/cli.h"
#include "app/config.h"
#include "app/identity.h"
#include "auth/audit_head.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

struct audit {
	struct cw_cli cli;
	const struct cw_config *config;
	const char *conninfo;
	const char *heads, *public_key, *type, *since;
	long long limit;
};

/* --- verify --- */

static const char *heads_path(const struct audit *a, char *path, size_t size)
{
	if (a->heads != NULL)
		return a->heads;
	if (a->config->audit_heads[0] != '\0')
		return a->config->audit_heads;
	snprintf(path, size, "%s/audit.heads", a->config->data_dir);
	return path;
}

static int find_key(const struct audit *a, struct cw_audit_key *key, bool make, struct cw_err *err)
{
	char path[512];

	if (a->public_key != NULL)
		return cw_audit_key_parse(key, a->public_key, err);
	cw_identity_path(a->config->data_dir, a->config->audit_key, "audit.key", path, sizeof(path));
	return cw_audit_key_load(key, path, make, err);
}

/* The exported heads; none, with a word to stderr, where nothing was exported yet. */
static int read_heads(const struct audit *a, struct cw_audit_head **heads, size_t *count, struct cw_err *err)
{
	struct cw_audit_key key;
	char path[512];
	const char *file = heads_path(a, path, sizeof(path));

	*heads = NULL;
	*count = 0;
	if (find_key(a, &key, false, err) != 0) {
		if (err->code != CW_ERR_NOT_FOUND || a->heads != NULL)
			return cw_err_wrap(err, "the signed heads cannot be checked");
		fprintf(stderr, "chainwatch audit verify: no key for signed heads here: only the chain itself is checked\n");
		return 0;
	}
	*heads = cw_audit_heads_read(file, &key, count, err);
	cw_audit_key_release(&key);
	if (*heads != NULL)
		return 0;
	if (err->code != CW_ERR_NOT_FOUND || a->heads != NULL)
		return -1;
	fprintf(stderr, "chainwatch audit verify: no signed heads in \"%s\": only the chain itself is checked\n", file);
	return 0;
}

/* The entries are whole and only the signed heads disagree: that is what a restore looks like, and what a forger makes. */
static void print_way_on(const struct cw_audit_report *r)
{
	if (r->agreed_seq > 0)
		printf("     The entries that are there are whole, and up to entry %" PRId64 " they are what was signed.\n",
		       r->agreed_seq);
	else
		printf("     The entries that are there are whole, but none of them is one whose head was signed.\n");
	if (r->restored_seq > 0)
		printf("     Entry %" PRId64 " says that the database was restored, %s.\n", r->restored_seq, r->restored_at);
	else
		printf("     No entry says that the database was restored.\n");
	printf("     If it was, and by you: keep audit.heads with the record of the restore (mv it away, stop and start the\n"
	       "     engine); a new file begins. If not, somebody has changed the log.\n");
}

static void print_report(const struct audit *a, const struct cw_audit_report *r)
{
	struct cw_buf out = CW_BUF_INIT;

	if (!a->cli.json) {
		if (r->good)
			printf("good: %" PRId64 " entries, %" PRId64 " to %" PRId64 ", head %.16s..., %" PRId64 " of %" PRId64
			       " signed heads compared%s\n",
			       r->entries, r->first_seq, r->last_seq, r->head_hash, r->heads_checked, r->heads,
			       r->anchor_seq > 0 ? " (what is older was deleted by retention)" : "");
		else
			printf("BAD: %s\n", r->why);
		if (!r->good && r->chain_good && r->heads > 0)
			print_way_on(r);
		return;
	}
	cw_buf_printf(&out,
	              "{\"good\":%s,\"chain_good\":%s,\"agreed\":%" PRId64 ",\"restored\":%" PRId64 ",\"entries\":%" PRId64 ",\"first\":%" PRId64 ",\"last\":%" PRId64
	              ",\"head\":{\"seq\":%" PRId64 ",\"hash\":\"%s\"},\"anchor\":%" PRId64 ",\"heads\":%" PRId64
	              ",\"heads_compared\":%" PRId64 ",\"bad\":",
	              r->good ? "true" : "false", r->chain_good ? "true" : "false", r->agreed_seq, r->restored_seq, r->entries, r->first_seq, r->last_seq, r->head_seq, r->head_hash,
	              r->anchor_seq, r->heads, r->heads_checked);
	if (r->good) {
		cw_buf_puts(&out, "null}");
	} else {
		cw_buf_printf(&out, "{\"seq\":%" PRId64 ",\"id\":%" PRId64 ",\"why\":", r->bad_seq, r->bad_id);
		cw_json_put_cstring(&out, r->why);
		cw_buf_puts(&out, "}}");
	}
	printf("%s\n", out.data);
	cw_buf_release(&out);
}

/* Heads that do not hold are a finding like any other. */
static int verify(struct audit *a)
{
	struct cw_audit_report report = { 0 };
	struct cw_audit_head *heads;
	struct cw_err err;
	size_t count;
	int rc;

	if (read_heads(a, &heads, &count, &err) != 0) {
		if (err.code != CW_ERR_DENIED && err.code != CW_ERR_INVALID)
			return cw_cli_fail(&a->cli, &err);
		snprintf(report.why, sizeof(report.why), "%.299s", err.msg);
		print_report(a, &report);
		return 1;
	}
	rc = cw_audit_verify(a->conninfo, heads, count, &report, &err);
	if (heads != NULL)
		cw_free(heads);
	if (rc != 0)
		return cw_cli_fail(&a->cli, &err);
	print_report(a, &report);
	return report.good ? 0 : 1;
}

/* --- head --- */

static int head(struct audit *a)
{
	struct cw_audit_key key;
	struct cw_audit_head head, *heads;
	struct cw_buf line = CW_BUF_INIT;
	struct cw_err err;
	char path[512];
	const char *file = heads_path(a, path, sizeof(path));
	size_t count = 0;
	int rc = 0;

	if (cw_audit_read_head(a->conninfo, &head, &err) != 0 || find_key(a, &key, true, &err) != 0)
		return cw_cli_fail(&a->cli, &err);
	heads = cw_audit_heads_read(file, &key, &count, &err);
	if (heads == NULL && err.code != CW_ERR_NOT_FOUND)
		rc = cw_cli_fail(&a->cli, &err);
	head.n = heads != NULL && count > 0 ? heads[count - 1].n + 1 : 1;
	head.time_us = cw_clock_wall_us();
	if (rc == 0 && key.secret == NULL)
		rc = cw_cli_usage_error(&a->cli, "a head is signed with the key itself, not with --public-key");
	if (rc == 0) {
		cw_audit_head_sign(&head, &key, &line);
		fputs(line.data, stdout);
	}
	cw_free(heads);
	cw_buf_release(&line);
	cw_audit_key_release(&key);
	return rc;
}

/* --- list --- */

static const char list_sql[] =
    "SELECT to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), seq, severity, event_type, status,"
    " coalesce(user_id::text, '-'), coalesce(host(ip_address), '-'), trim(resource || ' ' || action),"
    " coalesce(details::text, ''),"
    " jsonb_build_object('seq', seq, 'timestamp', timestamp, 'event_type', event_type, 'user_id', user_id, "
    "'api_key_id',"
    "  api_key_id, 'resource', resource, 'action', action, 'status', status, 'ip_address', host(ip_address), "
    "'user_agent',"
    "  user_agent, 'request_id', request_id, 'severity', severity, 'details', details, 'hash', encode(hash, "
    "'hex'))::text"
    " FROM audit_logs WHERE ($1::text IS NULL OR event_type = $1 OR (right($1, 1) = '.' AND starts_with(event_type, "
    "$1)))"
    " AND ($2::timestamptz IS NULL OR timestamp >= $2) ORDER BY seq DESC LIMIT $3::bigint";

static int list(struct audit *a)
{
	PGconn *conn = PQconnectdb(a->conninfo);
	char limit[32];
	const char *values[3] = { a->type, a->since, limit };
	PGresult *res;
	struct cw_err err;
	int rc = 0;

	snprintf(limit, sizeof(limit), "%lld", a->limit);
	res = PQexecParams(conn, list_sql, 3, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		const char *text = PQerrorMessage(conn);

		cw_err_set(&err, CW_ERR_DB, "could not read the audit log: %.*s", (int)strcspn(text, "\n"), text);
		rc = cw_cli_fail(&a->cli, &err);
	}
	for (int i = 0; rc == 0 && i < PQntuples(res); i++) {
		if (a->cli.json)
			printf("%s\n", PQgetvalue(res, i, 9));
		else
			printf("%s %6s %-8s %-22s %-8s user=%s from=%s %s %s\n", PQgetvalue(res, i, 0), PQgetvalue(res, i, 1),
			       PQgetvalue(res, i, 2), PQgetvalue(res, i, 3), PQgetvalue(res, i, 4), PQgetvalue(res, i, 5),
			       PQgetvalue(res, i, 6), PQgetvalue(res, i, 7), PQgetvalue(res, i, 8));
	}
	PQclear(res);
	PQfinish(conn);
	return rc;
}

int cw_cmd_audit(int argc, char **argv)
{
	static const struct option own[] = {
		{ "heads", required_argument, NULL, 256 }, { "public-key", required_argument, NULL, 257 },
		{ "limit", required_argument, NULL, 258 }, { "type", required_argument, NULL, 259 },
		{ "since", required_argument, NULL, 260 }, { NULL, 0, NULL, 0 },
	};
	struct audit a = {
		.cli = { .verb = "audit",
		         .usage =
		             "audit verify|list|head [options]\n\n"
		             "  verify   check every entry, the chain, its end, and the signed heads; exit 1 and the first bad "
		             "entry\n"
		             "  list     entries, newest first\n"
		             "  head     sign the head of the chain as it is now and print it, to be kept elsewhere\n\n"
		             "      --heads FILE         signed heads (default: audit.heads, else <data dir>/audit.heads)\n"
		             "      --public-key KEY     of the heads (default: of the key in <data dir>/audit.key)\n"
		             "      --limit N            entries to list (50)\n"
		             "      --type TYPE          only these; a type that ends in a dot is a family\n"
		             "      --since TIME         only from then on\n" },
		.limit = 50,
	};
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	struct cw_cli_database *db;
	struct cw_config *config;
	int opt, rc;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&a.cli, argc, argv, own)) != -1) {
		switch (opt) {
		case 256: a.heads = optarg; break;
		case 257: a.public_key = optarg; break;
		case 258:
			if (!cw_cli_number(&a.cli, "--limit", optarg, 1, 1000000, &a.limit))
				return 2;
			break;
		case 259: a.type = optarg; break;
		case 260: a.since = optarg; break;
		default: return 2;
		}
	}
	if (a.cli.help)
		return cw_cli_help(&a.cli);
	if (strcmp(verb, "verify") != 0 && strcmp(verb, "list") != 0 && strcmp(verb, "head") != 0)
		return cw_cli_usage_error(&a.cli, "say verify, list or head%s%s%s", verb[0] != '\0' ? ", not \"" : "", verb,
		                          verb[0] != '\0' ? "\"" : "");
	config = cw_cli_config(&a.cli);
	if (config == NULL)
		return 2;
	a.config = config;
	db = cw_cli_database(&a.cli, config);
	if (db == NULL) {
		cw_config_free(&config);
		return 69;
	}
	a.conninfo = cw_cli_database_conninfo(db);
	rc = verb[0] == 'v' ? verify(&a) : verb[0] == 'l' ? list(&a) : head(&a);
	cw_cli_database_done(&db);
	cw_config_free(&config);
	return rc;
}
