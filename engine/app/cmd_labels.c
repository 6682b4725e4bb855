/* cmd_labels.c - chainwatch labels import|list|show|remove|versions|withdrawals|export|suppress: address lists in the
 * database, without a running engine too. A running one takes a change within a second or two. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/cli.h"
#include "app/cli_sql.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "source/labels.h"

#define FILE_MAX ((size_t)512 << 20)
#define SHOW_DEFAULT 100

struct labels {
	struct cw_cli cli;
	const struct cw_config *config;
	struct cw_arena *arena;
	PGconn *conn;
	const char *events;          /* "t" where alerts have receivers */
	struct cw_labels_conf conf;
	const char *list, *address, *category, *chain, *rules, *side, *max_severity, *reason, *version, *output;
	const char *operands[CW_OPERANDS_MAX + 1];
	long long limit;
	bool replace, dry_run, yes, all, off;
};

static int fail(const struct labels *l, const struct cw_err *err)
{
	return cw_cli_fail(&l->cli, err);
}

static bool is_list_name(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	return name[0] != '\0' && strlen(name) <= 63 && strspn(name, good) == strlen(name) && name[0] != '.' && name[0] != '-';
}

/* --- import --- */

static const char *read_input(struct labels *l, const char *path, size_t *len, struct cw_err *err)
{
	struct cw_buf text = CW_BUF_INIT;
	const char *kept = NULL;
	char part[65536];
	size_t n;

	if (strcmp(path, "-") != 0)
		return cw_file_read(path, FILE_MAX, len, l->arena, err);
	while ((n = fread(part, 1, sizeof(part), stdin)) > 0 && text.len <= FILE_MAX)
		cw_buf_add(&text, part, n);
	if (text.len > FILE_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "standard input has more than %zu bytes", FILE_MAX);
	} else {
		*len = text.len;
		kept = cw_arena_strndup(l->arena, text.len > 0 ? text.data : "", text.len);
	}
	cw_buf_release(&text);
	return kept;
}

static void say_faults(const struct labels *l, const struct cw_labels *labels)
{
	for (int i = 0; i < labels->nfaults; i++)
		fprintf(stderr, "skipped %s:%u: %s%s%s\n", l->conf.file, labels->faults[i].line, labels->faults[i].field,
		        labels->faults[i].field[0] != '\0' ? ": " : "", labels->faults[i].what);
	if (labels->skipped > (size_t)labels->nfaults)
		fprintf(stderr, "... and %zu more\n", labels->skipped - (size_t)labels->nfaults);
}

static const char *cell(const PGresult *res, int column)
{
	return PQntuples(res) > 0 && !PQgetisnull(res, 0, column) ? PQgetvalue(res, 0, column) : NULL;
}

static size_t without_category(const struct cw_labels *labels)
{
	size_t n = 0;

	for (size_t i = 0; i < labels->n; i++)
		n += labels->rows[i].category[0] == '\0';
	return n;
}

static void report(const struct labels *l, const struct cw_labels *labels, const PGresult *res)
{
	const char *version = cell(res, 0);
	struct cw_buf out = CW_BUF_INIT;

	if (l->cli.json) {
		cw_buf_printf(&out, "{\"list\":\"%s\",\"dry_run\":%s,", l->list, l->dry_run ? "true" : "false");
		cw_labels_put_report(labels, &out);
		if (version != NULL)
			cw_buf_printf(&out, ",\"version\":%s,\"added\":%s,\"changed\":%s,\"removed\":%s,\"reopened\":%s,"
			              "\"entries\":%s,\"checksum\":\"%s\"}", version, cell(res, 1), cell(res, 2), cell(res, 3),
			              cell(res, 4), cell(res, 5), cell(res, 6));
		else
			cw_buf_puts(&out, ",\"version\":null,\"added\":0,\"changed\":0,\"removed\":0,\"reopened\":0}");
		puts(out.data);
		cw_buf_release(&out);
		return;
	}
	printf("%s: read %zu labels (%s)", l->conf.file, labels->n, cw_labels_format_name(labels->format));
	if (labels->skipped > 0)
		printf(", skipped %zu bad rows", labels->skipped);
	if (labels->repeated > 0)
		printf(", %zu repeated", labels->repeated);
	if (labels->foreign > 0)
		printf(", %zu of networks that are no EVM chains", labels->foreign);
	if (version == NULL)
		printf("\nlist \"%s\": nothing changes\n", l->list);
	else
		printf("\nlist \"%s\" %s version %s: %s added, %s changed, %s removed, %s entries; %s alerts %s\n", l->list,
		       l->dry_run ? "would be" : "is", version, cell(res, 1), cell(res, 2), cell(res, 3), cell(res, 5), cell(res, 4),
		       l->dry_run ? "would be opened again" : "opened again");
	if (without_category(labels) > 0)
		fprintf(stderr, "note: %zu labels have no category, and rules look for categories: --category says one\n",
		        without_category(labels));
}

static int store(struct labels *l, const struct cw_labels *labels, struct cw_err *err)
{
	struct cw_buf rows = CW_BUF_INIT;
	const char *values[7] = { l->list, NULL, l->replace ? "t" : "f", cw_labels_format_name(labels->format), l->conf.file, NULL,
		                      l->events };
	PGresult *res = NULL;
	int rc = -1;

	cw_labels_put_rows(labels, 0, SIZE_MAX, &rows);
	values[1] = rows.data;
	if (cw_sql_do(l->conn, err, "BEGIN", 0, NULL) >= 0)
		res = cw_sql(l->conn, err, "SELECT version, added, changed, removed, reopened, entries, checksum"
		             " FROM label_import($1, $2::jsonb, $3::bool, $4, $5, $6::int8, $7::bool) WHERE list IS NOT NULL", 7, values);
	cw_buf_release(&rows);
	if (res == NULL)
		return -1;
	if (cell(res, 0) == NULL ||
	    cw_sql_audit(l->conn, err, "label.import", l->list, "import", "file", l->conf.file, "version", cell(res, 0),
	                 "added", cell(res, 1), "changed", cell(res, 2), "removed", cell(res, 3), "reopened", cell(res, 4),
	                 CW_PAIRS_END) == 0)
		rc = cw_sql_do(l->conn, err, l->dry_run ? "ROLLBACK" : "COMMIT", 0, NULL) >= 0 ? 0 : -1;
	if (rc == 0)
		report(l, labels, res);
	PQclear(res);
	return rc;
}

static int import(struct labels *l)
{
	struct cw_labels labels;
	struct cw_err err = { 0 };
	const char *text;
	size_t len;

	l->conf.file = strcmp(l->operands[0], "-") == 0 ? "standard input" : l->operands[0];
	text = read_input(l, l->operands[0], &len, &err);
	if (text == NULL || cw_labels_read(&labels, text, len, &l->conf, l->arena, &err) != 0 || store(l, &labels, &err) != 0)
		return fail(l, &err);
	say_faults(l, &labels);
	return 0;
}

/* --- looking --- */

/* Rows whose last column is JSON: that, or the others as a table. */
static int print_rows(struct labels *l, const char *head, const int *widths, const char *sql, int n, const char *const *values)
{
	struct cw_err err = { 0 };
	PGresult *res = cw_sql(l->conn, &err, sql, n, values);
	int rows, columns;

	if (res == NULL)
		return fail(l, &err);
	rows = PQntuples(res);
	columns = PQnfields(res) - 1;
	if (l->cli.json)
		printf("[");
	else
		printf("%s\n", head);
	for (int i = 0; i < rows; i++) {
		if (l->cli.json) {
			printf("%s%s", i > 0 ? ",\n" : "", PQgetvalue(res, i, columns));
			continue;
		}
		for (int c = 0; c < columns; c++)
			printf("%s%*s", c > 0 ? "  " : "", c + 1 < columns ? -widths[c] : 0, PQgetvalue(res, i, c));
		printf("\n");
	}
	if (l->cli.json)
		printf("]\n");
	PQclear(res);
	return 0;
}

static int list_lists(struct labels *l)
{
	static const int widths[] = { 24, 7, 9, 20, 16 };

	return print_rows(l, "list                      version  entries    changed               checksum          hides alerts",
	                  widths,
	                  "SELECT n.list, n.version, n.entries, to_char(n.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),"
	                  " left(n.checksum, 16), coalesce('of ' || coalesce(array_to_string(s.rules, ','), 'all rules') || ', '"
	                  " || s.side || ' listed, up to ' || s.max_severity || ', ' || s.hidden || ' hidden', 'no'),"
	                  " jsonb_build_object('list', n.list, 'version', n.version, 'entries', n.entries, 'checksum', n.checksum,"
	                  " 'updated_at', n.updated_at, 'suppress', CASE WHEN s.id IS NOT NULL THEN jsonb_build_object('rules',"
	                  " s.rules, 'side', s.side, 'max_severity', s.max_severity, 'hidden', s.hidden, 'reason', s.reason) END)"
	                  " FROM label_lists n LEFT JOIN suppressions s ON s.list = n.list AND s.ended_at IS NULL ORDER BY n.list",
	                  0, NULL);
}

static int show(struct labels *l)
{
	static const int widths[] = { 20, 42, 6, 18, 30, 16, 5 };
	char limit[24];
	const char *values[5] = { l->list, l->address, l->category, l->chain, limit };

	snprintf(limit, sizeof(limit), "%lld", l->limit);
	return print_rows(l, "list                  address                                     chain   category            name"
	                  "                            source            sure   expires", widths,
	                  "SELECT list, '0x' || encode(address, 'hex'), chain_id, category, left(label, 30), left(source, 16),"
	                  " confidence, coalesce(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), ''),"
	                  " jsonb_build_object('list', list, 'address', '0x' || encode(address, 'hex'), 'chain_id', chain_id,"
	                  " 'category', category, 'name', label, 'source', source, 'confidence', confidence, 'first_seen',"
	                  " first_seen, 'last_seen', last_seen, 'expires_at', expires_at, 'version', version) FROM labels"
	                  " WHERE ($1::text IS NULL OR list = $1) AND ($2::text IS NULL OR address = decode(substr($2, 3), 'hex'))"
	                  " AND ($3::text IS NULL OR category = $3) AND ($4::int8 IS NULL OR chain_id IN (0, $4::int8))"
	                  " ORDER BY list, address, chain_id, category LIMIT $5::int8", 5, values);
}

static int versions(struct labels *l)
{
	static const int widths[] = { 7, 8, 20, 9, 8, 8, 8, 8, 16, 20 };
	const char *values[1] = { l->list };

	return print_rows(l, "version  action    when                  entries    added     changed   removed   reopened  checksum"
	                  "          file", widths,
	                  "SELECT v.version, v.action, to_char(v.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), v.entries,"
	                  " v.added, v.changed, v.removed, v.reopened, left(v.checksum, 16), v.file, coalesce(u.email, ''),"
	                  " jsonb_build_object('version', v.version, 'action', v.action, 'created_at', v.created_at, 'entries',"
	                  " v.entries, 'added', v.added, 'changed', v.changed, 'removed', v.removed, 'reopened', v.reopened,"
	                  " 'checksum', v.checksum, 'format', v.format, 'file', v.file, 'created_by', u.email)"
	                  " FROM label_versions v LEFT JOIN users u ON u.id = v.created_by WHERE v.list = $1 ORDER BY v.version DESC",
	                  1, values);
}

static int withdrawals(struct labels *l)
{
	static const int widths[] = { 8, 7, 42, 16, 12, 13, 30 };
	const char *values[2] = { l->list, l->version };

	return print_rows(l, "anomaly   version  address                                     category          use           was"
	                  "            rule                            severity", widths,
	                  "SELECT w.anomaly_id, w.version, '0x' || encode(w.address, 'hex'), w.category, w.use, w.previous_status,"
	                  " a.rule_id, a.severity, jsonb_build_object('anomaly_id', w.anomaly_id, 'version', w.version, 'address',"
	                  " '0x' || encode(w.address, 'hex'), 'chain_id', w.chain_id, 'category', w.category, 'use', w.use,"
	                  " 'previous_status', w.previous_status, 'withdrawn_at', w.withdrawn_at, 'rule', a.rule_id, 'severity',"
	                  " a.severity, 'status', a.status) FROM label_withdrawals w JOIN anomalies a ON a.id = w.anomaly_id"
	                  " WHERE w.list = $1 AND ($2::int8 IS NULL OR w.version = $2::int8) ORDER BY w.id DESC LIMIT 10000",
	                  2, values);
}

/* --- export: what is imported again, and may stand in the folder of lists --- */

#define CELL(column) "'\"' || replace(" column ", '\"', '\"\"') || '\"'"

static int export_list(struct labels *l)
{
	static const char head[] =
	    "SELECT '# list ' || n.list || E'\\n# version ' || n.version || ' checksum ' || n.checksum || E'\\n'"
	    " FROM label_lists n WHERE n.list = $1";
	static const char body[] =
	    "SELECT '0x' || encode(address, 'hex') || ',' || chain_id || ',' || " CELL("category") " || ',' || " CELL("label")
	    " || ',' || " CELL("source") " || ',' || coalesce(confidence::text, '') || ','"
	    " || coalesce(to_char(first_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') || ','"
	    " || coalesce(to_char(last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') || ','"
	    " || coalesce(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '')"
	    " FROM labels WHERE list = $1 ORDER BY address, chain_id, category";
	const char *values[1] = { l->list };
	struct cw_err err = { 0 };
	FILE *out = l->output != NULL ? fopen(l->output, "w") : stdout;
	PGresult *res = NULL;
	int rc = 0;

	if (out == NULL)
		return cw_cli_usage_error(&l->cli, "cannot write \"%s\"", l->output);
	res = cw_sql(l->conn, &err, head, 1, values);
	if (res != NULL && PQntuples(res) == 0)
		rc = cw_err_set(&err, CW_ERR_NOT_FOUND, "there is no list \"%s\"", l->list);
	else if (res != NULL)
		fprintf(out, "#%s", PQgetvalue(res, 0, 0) + 1);
	PQclear(res);
	if (res != NULL && rc == 0) {
		fprintf(out, "address,chain_id,category,name,source,confidence,first_seen,last_seen,expires\n");
		res = cw_sql(l->conn, &err, body, 1, values);
		for (int i = 0; res != NULL && i < PQntuples(res); i++)
			fprintf(out, "%s\n", PQgetvalue(res, i, 0));
		PQclear(res);
	}
	if (out != stdout && fclose(out) != 0 && rc == 0)
		rc = cw_err_set(&err, CW_ERR_INVALID, "could not write \"%s\"", l->output);
	return res == NULL || rc != 0 ? fail(l, &err) : 0;
}

/* --- changing --- */

/* Ends the database transaction of a change, with its line in the audit log; says what it did. */
static int commit(struct labels *l, PGresult *res, const char *type, const char *nothing, struct cw_err *err)
{
	const char *version = cell(res, 0);
	int rc;

	if (version == NULL) {
		cw_sql_do(l->conn, err, "ROLLBACK", 0, NULL);
		cw_err_set(err, CW_ERR_NOT_FOUND, "%s", nothing);
		return -1;
	}
	rc = cw_sql_audit(l->conn, err, type, l->list, strchr(type, '.') + 1, "version", version, "removed", cell(res, 1), "reopened",
	                  cell(res, 2), "address", l->address != NULL ? l->address : "", "reason",
	                  l->reason != NULL ? l->reason : "", CW_PAIRS_END);
	if (rc == 0 && cw_sql_do(l->conn, err, l->dry_run ? "ROLLBACK" : "COMMIT", 0, NULL) < 0)
		rc = -1;
	if (rc == 0 && l->cli.json)
		printf("{\"list\":\"%s\",\"dry_run\":%s,\"version\":%s,\"removed\":%s,\"reopened\":%s,\"entries\":%s}\n", l->list,
		       l->dry_run ? "true" : "false", version, cell(res, 1), cell(res, 2), cell(res, 3));
	else if (rc == 0)
		printf("list \"%s\" %s version %s: %s removed, %s entries; %s alerts %s\n", l->list, l->dry_run ? "would be" : "is",
		       version, cell(res, 1), cell(res, 3), cell(res, 2), l->dry_run ? "would be opened again" : "opened again");
	return rc;
}

static int change(struct labels *l, const char *type, const char *sql, int n, const char *const *values, const char *nothing)
{
	struct cw_err err = { 0 };
	PGresult *res = NULL;
	int rc = -1;

	if (cw_sql_do(l->conn, &err, "BEGIN", 0, NULL) >= 0)
		res = cw_sql(l->conn, &err, sql, n, values);
	if (res != NULL)
		rc = commit(l, res, type, nothing, &err);
	PQclear(res);
	return rc == 0 ? 0 : fail(l, &err);
}

static int remove_labels(struct labels *l)
{
	const char *values[5] = { l->list, l->address, l->chain, l->category, l->events };

	if (l->address == NULL && !l->all)
		return cw_cli_usage_error(&l->cli, "remove takes LIST and ADDRESS, or LIST and --all");
	if (l->all && !l->dry_run && !cw_cli_confirm(&l->cli, l->yes, "Take all labels off this list?"))
		return CW_CLI_NOT_CONFIRMED;
	return change(l, "label.remove",
	              "SELECT version, removed, reopened, entries FROM label_remove($1, decode(substr($2, 3), 'hex'), $3::int8, $4,"
	              " NULL, $5::bool) WHERE list IS NOT NULL", 5, values, "there is no such label on this list");
}

static int suppress(struct labels *l)
{
	const char *values[6] = { l->list, l->off ? "f" : "t", l->rules, l->side != NULL ? l->side : "either",
		                      l->max_severity != NULL ? l->max_severity : "high", l->reason };

	if (!l->off && l->reason == NULL)
		return cw_cli_usage_error(&l->cli, "suppress needs --reason: why its alerts need not be seen");
	return change(l, "label.suppress",
	              "SELECT version, removed, reopened, entries FROM label_suppress($1, $2::bool, string_to_array($3, ','), $4,"
	              " $5, $6, NULL) WHERE list IS NOT NULL", 6, values,
	              l->off ? "this list hides no alerts" : "there is no such list");
}

/* --- the verb --- */

static const struct { const char *name; int (*fn)(struct labels *l); int least, most; const char *takes; } verbs[] = {
	{ "import", import, 1, 1, "one FILE (- is standard input)" }, { "list", list_lists, 0, 0, "no operand" },
	{ "show", show, 0, 1, "one LIST at most" }, { "remove", remove_labels, 1, 2, "LIST and ADDRESS" },
	{ "versions", versions, 1, 1, "one LIST" }, { "withdrawals", withdrawals, 1, 1, "one LIST" },
	{ "export", export_list, 1, 1, "one LIST" }, { "suppress", suppress, 1, 1, "one LIST" },
};
#define VERBS (sizeof(verbs) / sizeof(*verbs))

static int run(struct labels *l, int verb)
{
	struct cw_cli_database *db = cw_cli_database(&l->cli, l->config);
	struct cw_err err;
	int rc;

	if (db == NULL)
		return 69;
	l->conn = cw_sql_open(cw_cli_database_conninfo(db), &err);
	rc = l->conn != NULL ? verbs[verb].fn(l) : fail(l, &err);
	if (l->conn != NULL)
		PQfinish(l->conn);
	cw_cli_database_done(&db);
	return rc;
}

enum { OPT_LIST = 256, OPT_FORMAT, OPT_CATEGORY, OPT_SOURCE, OPT_CONFIDENCE, OPT_CHAIN, OPT_REPLACE, OPT_SKIP, OPT_DRY,
	   OPT_LIMIT, OPT_ADDRESS, OPT_ALL, OPT_YES, OPT_VERSION, OPT_RULES, OPT_SIDE, OPT_MAX, OPT_REASON, OPT_OFF };

static bool is_one_of(const char *text, const char *const *words)
{
	while (*words != NULL && strcmp(text, *words) != 0)
		words++;
	return *words != NULL;
}

/* False after a message. */
static bool take_option(struct labels *l, int opt)
{
	static const char *const sides[] = { "entity", "counterparty", "either", NULL };
	static const char *const severities[] = { "low", "medium", "high", "critical", NULL };
	long long number;
	char *end;

	switch (opt) {
	case OPT_LIST: l->list = optarg; return true;
	case OPT_CATEGORY: l->category = l->conf.category = optarg; return true;
	case OPT_SOURCE: l->conf.source = optarg; return true;
	case OPT_REPLACE: l->replace = true; return true;
	case OPT_SKIP: l->conf.skip_bad = true; return true;
	case OPT_DRY: l->dry_run = true; return true;
	case OPT_ADDRESS: l->address = optarg; return true;
	case OPT_ALL: l->all = true; return true;
	case OPT_YES: l->yes = true; return true;
	case OPT_RULES: l->rules = optarg; return true;
	case OPT_REASON: l->reason = optarg; return true;
	case OPT_OFF: l->off = true; return true;
	case 'o': l->output = optarg; return true;
	case OPT_LIMIT: return cw_cli_number(&l->cli, "--limit", optarg, 1, 10000000, &l->limit);
	case OPT_VERSION: l->version = optarg; return cw_cli_number(&l->cli, "--version", optarg, 1, INT64_MAX, &number);
	case OPT_CHAIN:
		if (strcmp(optarg, "any") == 0) {
			l->conf.chain_id = 0;
			return true;
		}
		l->chain = optarg;
		if (!cw_cli_number(&l->cli, "--chain", optarg, 0, INT64_MAX, &number))
			return false;
		l->conf.chain_id = number;
		return true;
	case OPT_FORMAT:
		if (cw_labels_format_parse(optarg, &l->conf.format))
			return true;
		cw_cli_usage_error(&l->cli, "--format is auto, csv, tagpack, ofac or plain, not \"%s\"", optarg);
		return false;
	case OPT_CONFIDENCE:
		l->conf.confidence = strtod(optarg, &end);
		if (end != optarg && *end == '\0' && l->conf.confidence >= 0 && l->conf.confidence <= 1)
			return true;
		cw_cli_usage_error(&l->cli, "--confidence is a number from 0 to 1, not \"%s\"", optarg);
		return false;
	case OPT_SIDE:
		l->side = optarg;
		if (is_one_of(optarg, sides))
			return true;
		cw_cli_usage_error(&l->cli, "--side is entity, counterparty or either, not \"%s\"", optarg);
		return false;
	case OPT_MAX:
		l->max_severity = optarg;
		if (is_one_of(optarg, severities))
			return true;
		cw_cli_usage_error(&l->cli, "--max-severity is low, medium, high or critical, not \"%s\"", optarg);
		return false;
	default: return false;
	}
}

/* 0, or the exit status after a message. */
static int check(struct labels *l, int verb)
{
	struct cw_address address;
	int n = 0;

	while (l->operands[n] != NULL)
		n++;
	if (n < verbs[verb].least || n > verbs[verb].most)
		return cw_cli_usage_error(&l->cli, "%s takes %s", verbs[verb].name, verbs[verb].takes);
	if (verbs[verb].fn == import) {
		if (l->list == NULL)
			return cw_cli_usage_error(&l->cli, "import needs --list NAME");
	} else if (n > 0) {
		l->list = l->operands[0];
	}
	if (n > 1)
		l->address = l->operands[1];
	if (l->list != NULL && !is_list_name(l->list))
		return cw_cli_usage_error(&l->cli, "\"%s\" is no name of a list: letters, digits, _, - and dots, 63 at most", l->list);
	if (l->address != NULL && cw_address_parse(&address, l->address, strlen(l->address)) != CW_ADDRESS_OK)
		return cw_cli_usage_error(&l->cli, "\"%s\" is no address, or its checksum is wrong", l->address);
	if (verbs[verb].fn == show && l->list == NULL && l->address == NULL)
		return cw_cli_usage_error(&l->cli, "show takes a LIST, or --address");
	return 0;
}

int cw_cmd_labels(int argc, char **argv)
{
	static const struct option own[] = {
		{ "list", required_argument, NULL, OPT_LIST }, { "format", required_argument, NULL, OPT_FORMAT },
		{ "category", required_argument, NULL, OPT_CATEGORY }, { "source", required_argument, NULL, OPT_SOURCE },
		{ "confidence", required_argument, NULL, OPT_CONFIDENCE }, { "chain", required_argument, NULL, OPT_CHAIN },
		{ "replace", no_argument, NULL, OPT_REPLACE }, { "skip-bad", no_argument, NULL, OPT_SKIP },
		{ "dry-run", no_argument, NULL, OPT_DRY }, { "limit", required_argument, NULL, OPT_LIMIT },
		{ "address", required_argument, NULL, OPT_ADDRESS }, { "all", no_argument, NULL, OPT_ALL },
		{ "yes", no_argument, NULL, OPT_YES }, { "version", required_argument, NULL, OPT_VERSION },
		{ "rules", required_argument, NULL, OPT_RULES }, { "side", required_argument, NULL, OPT_SIDE },
		{ "max-severity", required_argument, NULL, OPT_MAX }, { "reason", required_argument, NULL, OPT_REASON },
		{ "off", no_argument, NULL, OPT_OFF }, { "output", required_argument, NULL, 'o' }, { NULL, 0, NULL, 0 },
	};
	struct labels l = {
		.cli = { .verb = "labels", .usage =
			"labels import|list|show|remove|versions|withdrawals|export|suppress [options]\n\n"
			"  import FILE --list NAME   labels of a file (- is standard input) go to a list of the database\n"
			"      --format F            csv, tagpack (GraphSense YAML), ofac (SDN as XML, CSV or text), plain; default auto\n"
			"      --category C --source S --confidence X   where the file says none\n"
			"      --chain ID|any        of all labels, whatever the file says\n"
			"      --replace             what is not in the file leaves the list; alerts that rested on it open again\n"
			"      --skip-bad            leave bad rows out and say which; without it one bad row refuses the file\n"
			"      --dry-run             say what would change\n"
			"  list                      all lists, their versions, whether they hide alerts\n"
			"  show [LIST]               its labels (--address A, --category C, --chain ID, --limit N: default 100)\n"
			"  remove LIST ADDRESS       takes labels away (--category C, --chain ID); --all [--yes] instead of ADDRESS: all\n"
			"  versions LIST             every change: counts, checksum, who, when\n"
			"  withdrawals LIST          alerts that were opened again (--version N)\n"
			"  export LIST               as CSV (-o FILE), which can be imported, or stand in the folder of lists\n"
			"  suppress LIST --reason R  alerts of listed addresses are hidden: --rules PATTERN,... (ids and tags),\n"
			"                            --side entity|counterparty|either, --max-severity S (default high); --off ends it\n\n"
			"A running engine takes a change within a second or two.\n\n" },
		.conf = { .confidence = NAN, .chain_id = -1 },
		.limit = SHOW_DEFAULT,
	};
	const char *name = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	struct cw_config *config;
	int opt, rc, verb = 0;

	if (name[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next_any(&l.cli, argc, argv, own, l.operands)) != -1)
		if (!take_option(&l, opt))
			return 2;
	if (l.cli.help)
		return cw_cli_help(&l.cli);
	while (verb < (int)VERBS && strcmp(name, verbs[verb].name) != 0)
		verb++;
	if (verb == (int)VERBS)
		return cw_cli_usage_error(&l.cli, "say import, list, show, remove, versions, withdrawals, export or suppress");
	rc = check(&l, verb);
	if (rc != 0)
		return rc;
	config = cw_cli_config(&l.cli);
	if (config == NULL)
		return 2;
	l.config = config;
	l.events = config->deliver.n > 0 ? "t" : "f";
	l.arena = cw_arena_new();
	rc = run(&l, verb);
	cw_arena_free(&l.arena);
	cw_config_free(&config);
	return rc;
}
