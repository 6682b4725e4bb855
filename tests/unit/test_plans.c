/* Plans of every operation against a filled database: whatever combination of arguments is given, no big table is read
 * from end to end, and a page in the depth costs what the first one costs.
 *
 * 200,000 transactions over 90 days. Values are bound, so that the planner sees what it sees for the first executions
 * of a prepared statement; it goes on to a general plan only when that is no dearer. */
#include <check.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/build.h"
#include "store/ops.h"
#include "support/pgtest.h"
#include "support/store_env.h"

#define BIG 5000                     /* rows of a table that may not be read as a whole */

static struct pgtest *pg;
static PGconn *conn;
static struct cw_arena *arena;

/* Triggers and foreign keys are for those who insert one by one. */
static const char fill[] =
	"SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '64MB';"
	"SELECT partition_add(t, m::date) FROM unnest('{predictions, audit_logs, system_metrics}'::regclass[]) t,"
	" generate_series(timestamp '2026-01-01', '2026-03-01', '1 month') m;"
	"INSERT INTO users (email) SELECT 'user' || i || '@example.com' FROM generate_series(1, 3000) i;"
	"INSERT INTO api_keys (user_id, name, hashed_key, prefix) SELECT i, 'key', sha256(i::text::bytea), 'cw_' || i"
	" FROM generate_series(1, 3000) i;"
	"INSERT INTO models (name, model_type) SELECT 'rule.' || i, CASE WHEN i % 10 = 0 THEN 'iforest' ELSE 'rule' END"
	" FROM generate_series(1, 2500) i;"
	"INSERT INTO model_versions (model_id, version, checksum, is_deployed) SELECT i, v, md5(i || ' ' || v), v = 3"
	" FROM generate_series(1, 2500) i, generate_series(1, 3) v;"
	"INSERT INTO transactions (chain_id, hash, block_number, timestamp, created_at, from_address, to_address, value, gas,"
	" gas_price, nonce, status) SELECT 1, sha256(i::text::bytea), 1000 + i / 20, t, t,"
	" substring(sha256(('a' || (i * 7919 % 4000) * (i % 7) / 3)::bytea) FOR 20), CASE WHEN i % 50 > 0 THEN"
	" substring(sha256(('a' || i * 104729 % 3000)::bytea) FOR 20) END, CASE WHEN i % 400 = 0 THEN 250 * 10::numeric ^ 18"
	" ELSE i * 10::numeric ^ 12 END, 21000, 30, i, (i % 20 > 0)::int FROM (SELECT i, timestamptz '2026-01-01 00:00+00' +"
	" (i / 20) * interval '777 seconds' AS t FROM generate_series(1, 200000::int8) i) s;"
	"INSERT INTO predictions (transaction_id, model_version_id, is_anomaly, confidence, anomaly_score, created_at, faults)"
	" SELECT id, 1 + id % 3, id % 10 = 0, 0.5, 0.25, created_at, CASE WHEN id % 500 = 0 THEN '[]'::jsonb END"
	" FROM transactions ORDER BY id;"
	"INSERT INTO anomalies (transaction_id, model_id, anomaly_score, severity, confidence, rule_id, rule_version,"
	" detected_at, reviewed, false_positive, shadow, dedup_key) SELECT id, 1 + id / 10 % 7500, 0.5,"
	" (ARRAY['low','medium','high','critical'])[1 + id / 10 % 4]::severity, 0.75, 'rule.' || id / 10 % 50, '1', created_at,"
	" id % 30 > 0, CASE WHEN id % 30 > 0 THEN id % 40 = 0 END, id % 110 = 0, 'k' || id / 10 % 3000"
	" FROM transactions WHERE id % 10 = 0 ORDER BY id;"
	"INSERT INTO audit_logs (event_type, user_id, timestamp, seq, previous_hash, hash, severity) SELECT 'event.' || i % 20,"
	" 1 + i % 3000, timestamptz '2026-01-01 00:00+00' + i * interval '2 minutes', i, sha256('x'), sha256(i::text::bytea),"
	" (ARRAY['info','warning','error','critical'])[1 + i % 4] FROM generate_series(1, 50000) i;"
	"INSERT INTO system_metrics (metric_name, metric_value, tags, timestamp) SELECT 'metric.' || i % 40, i, '{\"core\": \"0\"}',"
	" timestamptz '2026-01-01 00:00+00' + i * interval '1 minute' FROM generate_series(1, 100000) i;"
	"INSERT INTO labels (list, address, category) SELECT 'list.' || i % 5, substring(sha256(i::text::bytea) FOR 20),"
	" 'c' || i % 7 FROM generate_series(1, 20000) i;"
	"INSERT INTO outbox (anomaly_id, target, delivered_at) SELECT id, 'hook', CASE WHEN id % 50 > 0 THEN now() END"
	" FROM anomalies;"
	"INSERT INTO job_runs (name, status) SELECT 'job.' || i % 8, 'succeeded' FROM generate_series(1, 20000) i;"
	"INSERT INTO cursors (name, position) SELECT 'c' || i, '{}' FROM generate_series(1, 5) i;";

static void sql(const char *text)
{
	PGresult *res = PQexec(conn, text);

	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK) {
		fprintf(stderr, "%s", PQerrorMessage(conn));
		exit(99);
	}
	PQclear(res);
}

static void up(void)
{
	pg = store_env_start();
	conn = PQconnectdb(store_env_database(pg));
	sql(fill);
	sql("RESET ALL");
	sql("VACUUM (ANALYZE)");
}

static void down(void)
{
	PQfinish(conn);
	pgtest_stop(&pg);
}

static void case_up(void)
{
	arena = cw_arena_new();
}

static void case_down(void)
{
	cw_arena_free(&arena);
}

/* --- one statement --- */

struct ask {
	struct cw_args args;
	struct cw_build b;
};

static void begin(struct ask *a, const struct cw_op *op)
{
	cw_args_init(&a->args, op, arena);
	a->b = (struct cw_build){ .args = &a->args, .arena = arena, .sql = CW_BUF_INIT, .limit = 50,
		                      .ascending = op->ascending };
	cw_params_init(&a->b.params, arena);
}

static void set(struct ask *a, const char *name, const char *text)
{
	struct cw_err err;

	ck_assert_msg(cw_args_set(&a->args, name, text, strlen(text), &err) == 0, "%s", err.msg);
}

/* The plan as text. */
static char *explain(struct ask *a, const char *options)
{
	static const int binary[CW_PARAMS_MAX] = { [0 ... CW_PARAMS_MAX - 1] = 1 };
	const struct cw_op *op = a->args.op;
	struct cw_buf text = CW_BUF_INIT, plan = CW_BUF_INIT;
	PGresult *res;

	op->build(&a->b);
	if (a->b.fault != NULL) {            /* these arguments do not go together: nothing would be asked */
		cw_buf_release(&a->b.sql);
		return strdup("");
	}
	if (op->kind == CW_OP_PAGE)
		cw_build_page(&a->b, op->keys);
	cw_buf_printf(&text, "EXPLAIN %s %s", options, a->b.sql.data);
	res = PQexecParams(conn, text.data, a->b.params.count, a->b.params.types, a->b.params.values, a->b.params.lengths,
	                   binary, 0);
	ck_assert_msg(PQresultStatus(res) == PGRES_TUPLES_OK, "%s.%s: %s\n%s", op->repo, op->name, PQerrorMessage(conn),
	              a->b.sql.data);
	for (int i = 0; i < PQntuples(res); i++)
		cw_buf_printf(&plan, "%s\n", PQgetvalue(res, i, 0));
	PQclear(res);
	cw_buf_release(&text);
	cw_buf_release(&a->b.sql);
	return cw_buf_take(&plan, NULL);
}

/* --- no table from end to end --- */

static bool is_big(const char *table, size_t len)
{
	char query[256], name[80];
	PGresult *res;
	bool big;

	snprintf(name, sizeof(name), "%.*s", (int)len, table);
	snprintf(query, sizeof(query), "SELECT max(reltuples) >= %d FROM pg_class WHERE relname = '%s'", BIG, name);
	res = PQexec(conn, query);
	big = PQntuples(res) == 1 && PQgetvalue(res, 0, 0)[0] == 't';
	PQclear(res);
	return big;
}

/* Small tables, and months without rows, are best read as a whole. */
static const char *big_seq_scan(const char *plan)
{
	for (const char *at = plan; (at = strstr(at, "Seq Scan on ")) != NULL;) {
		at += strlen("Seq Scan on ");
		if (is_big(at, strcspn(at, " \n")))
			return at;
	}
	return NULL;
}

/* Realistic values: of a busy address, of one of the last of the ninety days. */
static const char *value_of(const struct cw_arg_spec *spec)
{
	static const struct { const char *name, *text; } named[] = {
		{ "hash", "0x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b" }, { "since", "2026-03-30T00:00:00Z" },
		{ "until", "2026-03-31T00:00:00Z" }, { "rule", "rule.7" }, { "event_type", "event.3" }, { "chain_id", "1" },
		{ "block_number", "5000" }, { "user_id", "77" }, { "after", "150000" }, { "before", "150100" },
		{ "name", "metric.3" }, { "bucket", "3600" }, { "dedup_key", "k77" }, { "model_type", "iforest" },
		{ "not_type", "rule" }, { "list", "list.2" }, { "category", "c3" }, { "shares", "{\"1\":100}" }, { "email", "user7@example.com" },
		{ "details", "{}" }, { "ip_address", "10.0.0.1" }, { "prefix", "cw_77" }, { "checksum", "abc" }, { "hours", "24" },
		{ "min_value", "250000000000000000000" }, { "max_value", "900000000000000000000" }, { "limit", "50" },
		{ "min_score", "0.4" }, { "target", "hook" }, { "rows", "[]" }, { "samples", "[]" }, { "order", "desc" },
		{ "table", "predictions" }, { "months", "0" }, { "retry_at", "2026-01-01T00:00:00Z" }, { "ids", "[77]" }, { "names", "job.3" }, { "worker", "w" }, { "tags", "{\"core\": \"0\"}" }, { "user_agent", "x" },
	};
	static char choice[32];

	if (strcmp(spec->name, "after") == 0 && spec->type == CW_ARG_ADDRESS)
		return "0x8000000000000000000000000000000000000000";
	if (strcmp(spec->name, "before") == 0 && spec->type == CW_ARG_TIME)
		return "2026-01-02T00:00:00Z";
	for (int i = 0; i < CW_COUNT(named); i++)
		if (strcmp(named[i].name, spec->name) == 0)
			return named[i].text;
	if (spec->choices != NULL) {
		const char *last = strrchr(spec->choices, '|');

		snprintf(choice, sizeof(choice), "%s", last != NULL ? last + 1 : spec->choices);
		return choice;
	}
	switch (spec->type) {
	case CW_ARG_INT: return spec->max == 1 ? "1" : "77";
	case CW_ARG_NUMBER: return "0.5";
	case CW_ARG_BOOL: return "true";
	case CW_ARG_TIME: return "2026-02-10T00:00:00Z";
	case CW_ARG_HASH:
	case CW_ARG_BYTES: return "0x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
	case CW_ARG_ADDRESS: return "0x5feceb66ffc86f38d952786c6d696c79c2dbc239";
	case CW_ARG_INET: return "192.0.2.1";
	case CW_ARG_AMOUNT: return "1000000000000000000000";
	case CW_ARG_JSON: return "{}";
	default: return "some text";
	}
}

static bool is_paging(const char *name)
{
	return strcmp(name, "cursor") == 0 || strcmp(name, "offset") == 0 || strcmp(name, "include") == 0;
}

/* The whole table is what they are about: without a filter they count or list all there is of something small. */
static bool may_read_all(const struct cw_op *op, int with)
{
	static const char *const names[] = { "models.count", "model_versions.count", "users.count", "labels.lists",
		                                 "anomalies.count", "anomalies.statistics", "anomalies.false_positive_rate" };
	char name[64];

	snprintf(name, sizeof(name), "%s.%s", op->repo, op->name);
	if (strcmp(name, "audit_logs.statistics") == 0)      /* sums over the whole log, if no period is given */
		return true;
	for (int i = 0; i < CW_COUNT(names); i++)
		if (strcmp(names[i], name) == 0)
			return with < op->nargs && (with == -1 || op->args[with].type == CW_ARG_BOOL || op->args[with].type == CW_ARG_CHOICE ||
			       op->args[with].type == CW_ARG_NUMBER || strncmp(op->args[with].name, "chain", 5) == 0 ||
			       strstr(op->args[with].name, "_type") != NULL || strcmp(op->args[with].name, "until") == 0);
	return false;
}

/* with: -1: only what is required; nargs: everything; else the required and that one. */
static bool try(const struct cw_op *op, int with)
{
	struct ask a;
	char *plan;

	begin(&a, op);
	for (int i = 0; i < op->nargs; i++)
		if (!is_paging(op->args[i].name) && (op->args[i].required || i == with || with == op->nargs))
			set(&a, op->args[i].name, value_of(&op->args[i]));
	if (op->build == cw_build_update && with != op->nargs && (with < 0 || op->args[with].column == NULL))
		return true;
	plan = explain(&a, "");
	if (big_seq_scan(plan) != NULL && !may_read_all(op, with)) {
		printf("%s.%s with %s reads a big table from end to end:\n%s\n", op->repo, op->name,
		       with < 0 ? "nothing" : with == op->nargs ? "all" : op->args[with].name, plan);
		free(plan);
		return false;
	}
	free(plan);
	return true;
}

START_TEST(no_operation_reads_a_big_table_from_end_to_end)
{
	int wrong = 0;

	for (int i = 0; cw_ops[i] != NULL; i++) {
		const struct cw_op *op = cw_ops[i];

		for (int with = -1; with <= op->nargs; with++)
			if (with < 0 || with == op->nargs || (!op->args[with].required && !is_paging(op->args[with].name)))
				wrong += !try(op, with);
	}
	ck_assert_msg(wrong == 0, "%d statements", wrong);
}
END_TEST

/* --- deep pages --- */

/* Blocks of the database that were touched for a page. */
static long buffers(const struct cw_op *op, const char *args, const struct cw_cursor *cursor)
{
	struct ask a;
	char *plan, *at, name[32], value[80];
	long sum = 0;

	begin(&a, op);
	while (*args != '\0') {
		size_t n = strcspn(args, "="), v = strcspn(args + n + 1, "&");

		snprintf(name, sizeof(name), "%.*s", (int)n, args);
		snprintf(value, sizeof(value), "%.*s", (int)v, args + n + 1);
		set(&a, name, value);
		args += n + 1 + v;
		args += *args == '&';
	}
	if (cursor != NULL) {
		a.b.cursor = *cursor;
		a.b.has_cursor = true;
	}
	plan = explain(&a, "(ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)");
	at = strstr(plan, "Buffers: ");              /* of the uppermost node: all below included */
	ck_assert_msg(at != NULL, "%s", plan);
	if ((at = strstr(plan, "shared hit=")) != NULL && at < strchr(strstr(plan, "Buffers: "), '\n'))
		sum += atol(at + strlen("shared hit="));
	if ((at = strstr(plan, "read=")) != NULL && at < strchr(strstr(plan, "Buffers: "), '\n'))
		sum += atol(at + strlen("read="));
	free(plan);
	return sum;
}

static const struct {
	const char *repo, *name, *args;
	struct cw_cursor deep;
} pages[] = {
	{ "transactions", "list", "", { 1, { 1000 }, { false } } },
	{ "transactions", "by_time", "", { 2, { 1767300000000000, 2000 }, { true, false } } },
	{ "transactions", "by_time", "since=2026-01-02T00:00:00Z&until=2026-06-01T00:00:00Z",
	  { 2, { 1767400000000000, 4000 }, { true, false } } },
	{ "transactions", "by_time", "min_value=200000000000000000000", { 2, { 1767800000000000, 15000 }, { true, false } } },
	{ "transactions", "by_address", "address=0x43974ed74066b207c30ffd0fed5146762e6c60745ac977004bc14507c7c42b50", { 1, { 3000 }, { false } } },
	{ "anomalies", "list", "", { 2, { 1767400000000000, 400 }, { true, false } } },
	{ "anomalies", "list", "severity=high", { 2, { 1767400000000000, 400 }, { true, false } } },
	{ "anomalies", "list", "rule=rule.7", { 2, { 1768000000000000, 1500 }, { true, false } } },
	{ "anomalies", "unreviewed", "", { 3, { 2, 1770000000000000, 5000 }, { false, true, false } } },
	{ "predictions", "list", "", { 1, { 1000 }, { false } } },
	{ "audit_logs", "list", "", { 1, { 500 }, { false } } },
	{ "audit_logs", "list", "event_type=event.3", { 1, { 1500 }, { false } } },
	{ "system_metrics", "list", "name=metric.3", { 2, { 1768000000000000, 5000 }, { true, false } } },
	{ "outbox", "list", "", { 1, { 500 }, { false } } },
};

START_TEST(deep_page_costs_what_the_first_costs)
{
	const struct cw_op *op = cw_op_find(pages[_i].repo, pages[_i].name);
	char args[160];
	long first, deep;

	ck_assert_ptr_nonnull(op);
	/* an address is 20 bytes of that hash */
	snprintf(args, sizeof(args), "%s", pages[_i].args);
	if (strncmp(args, "address=", 8) == 0)
		args[8 + 42] = '\0';
	first = buffers(op, args, NULL);
	deep = buffers(op, args, &pages[_i].deep);
	ck_assert_msg(deep > 0 && deep <= 2 * first + 60, "%s.%s{%s}: %ld buffers for the first page, %ld in the depth", op->repo,
	              op->name, args, first, deep);
	ck_assert_msg(first < 1500, "%s.%s{%s}: %ld buffers for one page", op->repo, op->name, args, first);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plans");
	TCase *tc = tcase_create("plans");
	SRunner *runner;
	int failed;

	tcase_add_unchecked_fixture(tc, up, down);
	tcase_add_checked_fixture(tc, case_up, case_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, no_operation_reads_a_big_table_from_end_to_end);
	tcase_add_loop_test(tc, deep_page_costs_what_the_first_costs, 0, CW_COUNT(pages));
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
