#include "pg/migrate.h"

#include <check.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "support/pgtest.h"

static struct pgtest *pg;
static char dir[64];

static void pg_up(void)
{
	pg = pgtest_start();
}

static void pg_down(void)
{
	pgtest_stop(&pg);
}

static void make_dir(void)
{
	strcpy(dir, "/tmp/cwt-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void drop_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static void put_bytes(const char *name, const char *text, size_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

static struct cw_migrations load(const char *from)
{
	struct cw_migrations m;
	struct cw_err err = { .msg = "" };

	ck_assert_msg(cw_migrations_load(&m, from, &err) == 0, "%s", err.msg);
	return m;
}

static void refused(const char *file, const char *text, const char *message)
{
	struct cw_migrations m;
	struct cw_err err = { .msg = "" };
	char path[256];

	put(file, text);
	ck_assert_int_eq(cw_migrations_load(&m, dir, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, message);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	remove(path);
}

/* ---- files ---- */

START_TEST(file_is_read_into_its_parts)
{
	put("20260101000000_first-One.sql", "-- a word before\n\n--  migrate:up transaction:false\nSELECT 1;\nSELECT 2;\n"
	                                    "-- migrate:down\nSELECT 3;");
	put("20260102000000_second.sql", "-- migrate:up\r\nSELECT 1;\r\n");
	put("README.md", "no migration");
	put(".20260103000000_hidden.sql", "nonsense");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(m.count, 2);
	ck_assert_str_eq(m.list[0].version, "20260101000000");
	ck_assert_str_eq(m.list[0].name, "first-One");
	ck_assert_str_eq(m.list[0].up, "SELECT 1;\nSELECT 2;\n");
	ck_assert_int_eq(m.list[0].up_line, 4);
	ck_assert_str_eq(m.list[0].down, "SELECT 3;");
	ck_assert_int_eq(m.list[0].down_line, 7);
	ck_assert(!m.list[0].up_transaction);
	ck_assert(m.list[0].down_transaction);
	ck_assert_str_eq(m.list[1].up, "SELECT 1;\r\n");
	ck_assert_ptr_null(m.list[1].down);
	cw_migrations_release(&m);
	put("20260104000000_known.sql", "-- migrate:up\n");
	m = load(dir);
	/* sha256sum of that line */
	ck_assert_str_eq(m.list[2].checksum, "076c9c75f021636d841ff8afee1971f4e0f632a40c4cfcc1b8130f89fb64be54");
	cw_migrations_release(&m);
}
END_TEST

START_TEST(malformed_files_are_refused_with_file_and_line)
{
	struct cw_migrations m;
	struct cw_err err = { .msg = "" };

	refused("1_x.sql", "-- migrate:up\n", "1_x.sql: the name of a migration is YYYYMMDDHHMMSS_name.sql");
	refused("20260101000000_.sql", "-- migrate:up\n",
	        "20260101000000_.sql: the name of a migration is YYYYMMDDHHMMSS_name.sql");
	refused("20260101000000_a b.sql", "-- migrate:up\n",
	        "20260101000000_a b.sql: ' ' is not allowed in the name of a migration");
	refused("20260101000000_a.sql", "", "20260101000000_a.sql: no \"-- migrate:up\" section");
	refused("20260101000000_a.sql", "-- migrate:down\nSELECT 1;\n",
	        "20260101000000_a.sql: no \"-- migrate:up\" section");
	refused("20260101000000_a.sql", "-- c\n\nSELECT 1;\n-- migrate:up\n",
	        "20260101000000_a.sql:3: statement before \"-- migrate:up\"");
	refused("20260101000000_a.sql", "-- migrate:up\n\n-- migrate:up\n",
	        "20260101000000_a.sql:3: second \"-- migrate:up\" section, the first is in line 1");
	refused("20260101000000_a.sql", "-- migrate:up\n-- migrate:down\n-- migrate:down\n",
	        "20260101000000_a.sql:3: second \"-- migrate:down\" section, the first is in line 2");
	refused("20260101000000_a.sql", "-- migrate:down\n-- migrate:up\n",
	        "20260101000000_a.sql:1: \"-- migrate:down\" stands before \"-- migrate:up\"");
	refused("20260101000000_a.sql", "-- migrate:upp\n",
	        "20260101000000_a.sql:1: expected \"-- migrate:up\" or \"-- migrate:down\"");
	refused("20260101000000_a.sql", "\n-- migrate:up transaktion:false\n",
	        "20260101000000_a.sql:2: unknown option \"transaktion:false\"");
	put_bytes("20260101000000_a.sql", "-- migrate:up\n\0", 15);
	ck_assert_int_eq(cw_migrations_load(&m, dir, &err), -1);
	ck_assert_str_eq(err.msg, "20260101000000_a.sql: contains a NUL byte at offset 14");
	put("20260101000000_a.sql", "-- migrate:up\n");
	refused("20260101000000_b.sql", "-- migrate:up\n",
	        "20260101000000_b.sql: version 20260101000000 is taken by \"20260101000000_a.sql\"");
	ck_assert_int_eq(cw_migrations_load(&m, "/nonexistent", &err), -1);
	ck_assert_str_eq(err.msg, "could not read the folder of migrations \"/nonexistent\": No such file or directory");
}
END_TEST

START_TEST(odd_files_are_read_or_refused)
{
	char path[256], name[200];
	struct cw_migrations m;
	struct cw_err err = { .msg = "" };

	put("20260101000000_a.sql", " \t\n  -- a word\n\t--\n--\tmigrate:up   transaction:true \n");
	m = load(dir);
	ck_assert(m.list[0].up_transaction);
	ck_assert_str_eq(m.list[0].up, "");
	cw_migrations_release(&m);
	refused("20260101000000_a.sql", "-- migrate:downwards\n", "20260101000000_a.sql:1: expected \"-- migrate:up\" or \"-- migrate:down\"");
	refused("20260101000000_a.sql", "-- migrate:\n", "20260101000000_a.sql:1: expected \"-- migrate:up\" or \"-- migrate:down\"");
	refused("20260101000000_a.sql", "- migrate:up\n", "20260101000000_a.sql:1: statement before \"-- migrate:up\"");
	refused("20260101000000_a.sql", "-- migrate:up transaction:falsy12\n",
	        "20260101000000_a.sql:1: unknown option \"transaction:falsy12\"");
	refused("20260101000000.sql", "", "20260101000000.sql: the name of a migration is YYYYMMDDHHMMSS_name.sql");
	snprintf(name, sizeof(name), "20260101000000_%096d.sql", 1);
	snprintf(path, sizeof(path), "%s: the name is longer than 95 characters", name);
	refused(name, "-- migrate:up\n", path);
	snprintf(path, sizeof(path), "%s/20260101000000_a.sql", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(cw_migrations_load(&m, dir, &err), -1);
	ck_assert_str_eq(err.msg, "20260101000000_a.sql: not a file of at most 16 MiB");
	ck_assert_int_eq(rmdir(path), 0);
	put("20260101000000_a.sql", "");
	ck_assert_int_eq(truncate(path, (16 << 20) + 1), 0);
	ck_assert_int_eq(cw_migrations_load(&m, dir, &err), -1);
	ck_assert_str_eq(err.msg, "20260101000000_a.sql: not a file of at most 16 MiB");
	ck_assert_int_eq(remove(path), 0);
	ck_assert_int_eq(symlink("/nowhere", path), 0);
	ck_assert_int_eq(cw_migrations_load(&m, dir, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not read \""));
	ck_assert_int_eq(remove(path), 0);
	m = load(dir);                       /* an empty folder is fine */
	ck_assert_int_eq(m.count, 0);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(new_files_come_after_all_others)
{
	static const char *const bad[] = { "", "two words", "a/b", "a.sql" };
	struct rlimit limit = { 0, RLIM_INFINITY };
	char path[256], shorter[16], name[128];
	struct cw_migrations m;
	struct cw_err err = { .msg = "" };

	put("20990228235959_future.sql", "-- migrate:up\n");
	m = load(dir);
	ck_assert_msg(cw_migrate_new(&m, "one", "CREATE TABLE x ();", NULL, path, sizeof(path), &err) == 0, "%s", err.msg);
	ck_assert_ptr_nonnull(strstr(path, "/20990301000000_one.sql"));
	ck_assert_int_eq(cw_migrate_new(&m, "one", NULL, NULL, path, sizeof(path), &err), -1);      /* it is there */
	cw_migrations_release(&m);
	m = load(dir);
	ck_assert_int_eq(m.count, 2);
	ck_assert_str_eq(m.list[1].up, "\nCREATE TABLE x ();\n");
	ck_assert_str_eq(m.list[1].down, "\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(cw_migrate_new(&m, bad[i], NULL, NULL, path, sizeof(path), &err), -1);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
	}
	snprintf(name, sizeof(name), "%0100d", 1);
	ck_assert_int_eq(cw_migrate_new(&m, name, NULL, NULL, path, sizeof(path), &err), -1);
	ck_assert_int_eq(cw_migrate_new(&m, "two", NULL, NULL, shorter, sizeof(shorter), &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "too long"));
	/* A disk that is full leaves no half of a migration. */
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(cw_migrate_new(&m, "two", "SELECT 1;", NULL, path, sizeof(path), &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not write"));
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	cw_migrations_release(&m);
	drop_dir();
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	m = load(dir);
	ck_assert_int_eq(cw_migrate_new(&m, "now", NULL, "DROP TABLE x;", path, sizeof(path), &err), 0);
	ck_assert_ptr_nonnull(strstr(path, "_now.sql"));
	ck_assert_int_eq(strncmp(strrchr(path, '/'), "/20", 3), 0);
	cw_migrations_release(&m);
}
END_TEST

/* ---- against a server ---- */

static int up(struct cw_migrations *m, const char *conninfo, const char *version, struct cw_err *err)
{
	struct cw_migrate_run run = { .conninfo = conninfo };

	*err = (struct cw_err){ .msg = "" };
	return cw_migrate_up(m, &run, version, err);
}

static int down(struct cw_migrations *m, const char *conninfo, int steps, const char *version, struct cw_err *err)
{
	struct cw_migrate_run run = { .conninfo = conninfo };

	*err = (struct cw_err){ .msg = "" };
	return cw_migrate_down(m, &run, steps, version, err);
}

/* The schema as pg_dump writes it, without the table of the log, whose rows and sequence go on. */
static char *dump(const char *conninfo, size_t *len)
{
	struct cw_buf out = CW_BUF_INIT;
	char command[4096], line[8192];
	FILE *p;

	snprintf(command, sizeof(command), "pg_dump --schema-only --dbname='%s' | grep -v '^.\\(un\\)\\?restrict'", conninfo);
	p = popen(command, "r");
	ck_assert_ptr_nonnull(p);
	while (fgets(line, sizeof(line), p) != NULL)
		cw_buf_puts(&out, line);
	ck_assert_int_eq(pclose(p), 0);
	return cw_buf_take(&out, len);
}

START_TEST(repository_goes_up_down_and_up_again)
{
	struct cw_migrations m = load("migrations");
	const char *conninfo = pgtest_create_database(pg, "roundtrip");
	struct cw_err err;
	char *first, *second, *empty;
	size_t len;

	ck_assert_int_ge(m.count, 2);
	ck_assert_msg(up(&m, conninfo, NULL, &err) == m.count, "%s", err.msg);
	first = dump(conninfo, &len);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 0);
	ck_assert_msg(down(&m, conninfo, 0, "0", &err) == m.count, "%s", err.msg);
	empty = dump(conninfo, &len);
	ck_assert_ptr_null(strstr(empty, "CREATE TYPE"));
	ck_assert_ptr_null(strstr(empty, "transactions"));
	ck_assert_ptr_null(strstr(empty, "CREATE FUNCTION"));
	ck_assert_msg(up(&m, conninfo, NULL, &err) == m.count, "%s", err.msg);
	second = dump(conninfo, &len);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	free(empty);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(repository_has_what_the_design_fixes)
{
	struct cw_migrations m = load("migrations");
	const char *conninfo = pgtest_conninfo(pg);
	struct cw_err err;

	ck_assert_msg(up(&m, conninfo, NULL, &err) == m.count, "%s", err.msg);
	ck_assert_str_eq(pgtest_value(pg, "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relname IN ('users', "
	                                  "'api_keys', 'transactions', 'anomalies', 'models', 'model_versions', "
	                                  "'predictions', 'audit_logs', 'system_metrics')"), "9");
	ck_assert_int_ge(atoi(pgtest_value(pg, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0")),
	                 12);
	ck_assert_str_eq(pgtest_value(pg, "SELECT string_agg(enumlabel, ' ' ORDER BY enumsortorder) FROM pg_enum WHERE "
	                                  "enumtypid = 'severity'::regtype"), "low medium high critical");
	/* every table explains itself */
	ck_assert_str_eq(pgtest_value(pg, "SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relkind IN ('r', 'p') "
	                                  "AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'schema_%' AND "
	                                  "obj_description(oid, 'pg_class') IS NULL"), "");
	/* no index is a prefix of another one of the same method and predicate */
	ck_assert_str_eq(pgtest_value(pg, "SELECT coalesce(string_agg(a.indexrelid::regclass::text, ' '), '') FROM pg_index "
	                                  "a JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid <> b.indexrelid AND "
	                                  "(SELECT relam FROM pg_class WHERE oid = a.indexrelid) = (SELECT relam FROM pg_class "
	                                  "WHERE oid = b.indexrelid) AND "
	                                  "b.indkey::text LIKE a.indkey::text || ' %' AND a.indpred IS NOT DISTINCT FROM "
	                                  "b.indpred AND NOT a.indisunique WHERE a.indrelid IN (SELECT oid FROM pg_class WHERE "
	                                  "relnamespace = 'public'::regnamespace)"), "");
	ck_assert_int_eq(down(&m, conninfo, 99, NULL, &err), m.count);
	cw_migrations_release(&m);
}
END_TEST

static char *text_of(const char *conninfo, const char *sql)
{
	PGconn *conn = PQconnectdb(conninfo);
	PGresult *res = PQexec(conn, sql);
	char *text;

	ck_assert_msg(PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK, "%s: %s", sql,
	              PQerrorMessage(conn));
	text = strdup(PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
	return text;
}

static void expect(const char *conninfo, const char *sql, const char *value)
{
	char *text = text_of(conninfo, sql);

	ck_assert_msg(strcmp(text, value) == 0, "%s: %s, not %s", sql, text, value);
	free(text);
}

static void denied(const char *conninfo, const char *sql, const char *sqlstate)
{
	PGconn *conn = PQconnectdb(conninfo);
	PGresult *res = PQexec(conn, sql);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	ck_assert_msg(state != NULL && strcmp(state, sqlstate) == 0, "%s: %s", sql, PQerrorMessage(conn));
	PQclear(res);
	PQfinish(conn);
}

#define BEFORE_PARTITIONS "20260105090100"
#define PARTITIONS "20260120090000"
#define ALL_ROWS "SELECT md5(string_agg(t, chr(10) ORDER BY t)) FROM (SELECT 'p' || p.*::text FROM predictions p UNION ALL" \
	" SELECT 'a' || a.*::text FROM audit_logs a UNION ALL SELECT 's' || s.*::text FROM system_metrics s) AS all_rows (t)"

/* Tables with rows become partitioned ones and plain ones again: the same rows, the same schema. */
START_TEST(partitions_keep_rows_and_schema_both_ways)
{
	struct cw_migrations m = load("migrations");
	char conninfo[512], *before, *after, *rows;
	struct cw_err err;
	size_t len;

	snprintf(conninfo, sizeof(conninfo), "%s", pgtest_create_database(pg, "partitions"));
	ck_assert_msg(up(&m, conninfo, BEFORE_PARTITIONS, &err) >= 1, "%s", err.msg);
	free(text_of(conninfo,
	             "INSERT INTO users (email) VALUES ('a@example.com'); INSERT INTO models (name, model_type) VALUES ('m', 'x');"
	             "INSERT INTO model_versions (model_id, version) VALUES (1, '1');"
	             "INSERT INTO transactions (chain_id, block_number, timestamp, gas, nonce, hash, from_address, value, gas_price)"
	             " SELECT 1, 1, now(), 1, i, sha256(i::text::bytea), '\\x0000000000000000000000000000000000000001', 1, 1"
	             " FROM generate_series(1, 500) i;"
	             "INSERT INTO predictions (transaction_id, model_version_id, user_id, created_at, anomaly_score, confidence,"
	             " is_anomaly) SELECT i, 1, 1, timestamptz '2026-01-31 23:00+00' + i * interval '12 minutes', 0, 1, false"
	             " FROM generate_series(1, 500) i; DELETE FROM predictions WHERE id = 500;"
	             "INSERT INTO system_metrics (metric_name, metric_value, timestamp) SELECT 'm', i,"
	             " timestamptz '2025-12-31 23:59:59.999999+00' + i * interval '1 microsecond' FROM generate_series(0, 9) i;"
	             "INSERT INTO audit_logs (event_type, user_id, details, timestamp, previous_hash, hash) SELECT 'e', 1,"
	             " '{\"b\":1, \"a\":2}', timestamptz '2026-02-27 00:00+00' + i * interval '1 day', sha256('x'),"
	             " sha256(i::text::bytea) FROM generate_series(1, 5) i"));
	rows = text_of(conninfo, ALL_ROWS);
	before = dump(conninfo, &len);
	ck_assert_msg(up(&m, conninfo, PARTITIONS, &err) == 1, "%s", err.msg);

	expect(conninfo, ALL_ROWS, rows);
	expect(conninfo, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace ="
	       " 'partitions'::regnamespace", "audit_logs_2026_02 audit_logs_2026_03 audit_logs_default predictions_2026_01"
	       " predictions_2026_02 predictions_default system_metrics_2025_12 system_metrics_2026_01 system_metrics_default");
	expect(conninfo, "SELECT count(*) FROM partitions.predictions_2026_01", "4");
	expect(conninfo, "SELECT count(*) FROM partitions.system_metrics_2025_12", "1");
	expect(conninfo, "SELECT (SELECT count(*) FROM partitions.predictions_default) + (SELECT count(*) FROM"
	       " partitions.audit_logs_default) + (SELECT count(*) FROM partitions.system_metrics_default)", "0");
	/* identities go on where they were, rows of a month to come wait in the default partition until it has its own */
	free(text_of(conninfo, "INSERT INTO predictions (transaction_id, model_version_id, created_at, anomaly_score, confidence,"
	             " is_anomaly) VALUES (1, 1, '2031-05-05', 0, 1, false)"));
	expect(conninfo, "SELECT id FROM partitions.predictions_default", "501");
	expect(conninfo, "SELECT partition_add('predictions', '2031-05-01')", "predictions_2031_05");
	expect(conninfo, "SELECT coalesce(partition_add('predictions', '2031-05-31'), 'there')", "there");
	expect(conninfo, "SELECT tableoid::regclass FROM predictions WHERE id = 501", "partitions.predictions_2031_05");
	free(text_of(conninfo, "DELETE FROM predictions WHERE id = 501; SELECT setval('predictions_id_seq', 500)"));
	denied(conninfo, "UPDATE audit_logs SET action = 'x'", "42501");
	denied(conninfo, "DELETE FROM audit_logs", "42501");
	denied(conninfo, "TRUNCATE audit_logs", "42501");
	denied(conninfo, "TRUNCATE partitions.audit_logs_2026_02", "42501");
	denied(conninfo, "TRUNCATE partitions.audit_logs_default", "42501");
	denied(conninfo, "INSERT INTO predictions (transaction_id, model_version_id, anomaly_score, confidence, is_anomaly)"
	        " VALUES (999, 1, 0, 1, false)", "23503");

	ck_assert_msg(down(&m, conninfo, 0, BEFORE_PARTITIONS, &err) == 1, "%s", err.msg);
	expect(conninfo, ALL_ROWS, rows);
	after = dump(conninfo, &len);
	ck_assert_str_eq(before, after);
	expect(conninfo, "SELECT last_value FROM predictions_id_seq", "501");
	free(before);
	free(after);
	free(rows);
	cw_migrations_release(&m);
}
END_TEST

/* A statement that begins while rows move to the partition of their month sees all of them. */
START_TEST(rows_that_move_are_seen)
{
	struct cw_migrations m = load("migrations");
	PGconn *mover, *reader;
	PGresult *res;
	char conninfo[512];
	struct cw_err err;

	snprintf(conninfo, sizeof(conninfo), "%s", pgtest_create_database(pg, "moves"));
	ck_assert_msg(up(&m, conninfo, 0, &err) >= 1, "%s", err.msg);
	free(text_of(conninfo, "INSERT INTO system_metrics (metric_name, metric_value) SELECT 'm', i FROM generate_series(1, 50) i"));
	mover = PQconnectdb(conninfo);
	reader = PQconnectdb(conninfo);
	PQclear(PQexec(mover, "BEGIN"));
	res = PQexec(mover, "SELECT partition_add('system_metrics', (now() AT TIME ZONE 'UTC')::date)");
	ck_assert_msg(PQresultStatus(res) == PGRES_TUPLES_OK, "%s", PQerrorMessage(mover));
	PQclear(res);
	ck_assert_int_eq(PQsendQuery(reader, "SELECT count(*) FROM system_metrics"), 1);
	while (strcmp(pgtest_value(pg, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE"
	                           " 'SELECT count(*) FROM system_metrics%'"), "1") != 0)
		usleep(10000);
	PQclear(PQexec(mover, "COMMIT"));
	res = PQgetResult(reader);
	ck_assert_msg(PQresultStatus(res) == PGRES_TUPLES_OK, "%s", PQerrorMessage(reader));
	ck_assert_str_eq(PQgetvalue(res, 0, 0), "50");
	PQclear(res);
	PQfinish(reader);
	PQfinish(mover);
	expect(conninfo, "SELECT count(*) FROM partitions.system_metrics_default", "0");
	cw_migrations_release(&m);
}
END_TEST

START_TEST(versions_choose_the_steps)
{
	const char *conninfo = pgtest_create_database(pg, "versions");
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n");
	put("20260102000000_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n-- migrate:down\nDROP TABLE b;\n");
	put("20260103000000_c.sql", "-- migrate:up\nCREATE TABLE c (x int);\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, "20260102000000", &err), 2);
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[0].applied && m.list[1].applied && !m.list[2].applied);
	ck_assert(m.list[0].applied_at_us > 1700000000000000);
	ck_assert_int_eq(up(&m, conninfo, "20269999999999", &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_int_eq(down(&m, conninfo, 0, NULL, &err), -1);
	ck_assert_str_eq(err.msg, "say how many migrations to undo, or down to which version");
	ck_assert_int_eq(down(&m, conninfo, 1, NULL, &err), 1);
	ck_assert(!m.list[1].applied);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 2);
	/* c cannot be undone: then nothing is */
	ck_assert_int_eq(down(&m, conninfo, 0, "20260101000000", &err), -1);
	ck_assert_str_eq(err.msg, "20260103000000_c.sql: no \"-- migrate:down\" section, so it cannot be undone");
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[1].applied && m.list[2].applied);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(failing_step_leaves_nothing_and_names_the_line)
{
	const char *conninfo = pgtest_create_database(pg, "failing");
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n");
	put("20260102000000_b.sql", "-- three lines\n-- before\n-- migrate:up\nCREATE TABLE b (x int);\n"
	                            "INSERT INTO b VALUES (1); -- \xc3\xa4\xc3\xb6\n\nSELECT nonsense FROM b;\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_DB);
	ck_assert_str_eq(err.sqlstate, "42703");
	ck_assert_str_eq(err.msg, "20260102000000_b.sql:7: column \"nonsense\" does not exist (42703)");
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[0].applied && !m.list[1].applied);
	cw_migrations_release(&m);
	/* b was rolled back: the corrected file runs */
	put("20260102000000_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n");
	m = load(dir);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 1);
	cw_migrations_release(&m);
	put("20260103000000_c.sql", "-- migrate:up\nCREATE TABLE c (x int);\nCOMMIT;\n");
	m = load(dir);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), -1);
	ck_assert_str_eq(err.msg, "20260103000000_c.sql: it ends the transaction that it runs in; write "
	                          "\"transaction:false\" and no COMMIT");
	cw_migrations_release(&m);
}
END_TEST

START_TEST(step_outside_a_transaction_runs)
{
	const char *conninfo = pgtest_create_database(pg, "outside");
	struct cw_migrate_run dry = { .conninfo = conninfo, .dry_run = true };
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n");
	put("20260102000000_b.sql", "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n"
	                            "-- migrate:down transaction:false\nDROP INDEX CONCURRENTLY a_x;\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(cw_migrate_up(&m, &dry, NULL, &err), -1);
	ck_assert_str_eq(err.msg, "20260102000000_b.sql: it runs outside a transaction, so it cannot be tried dry");
	ck_assert_msg(up(&m, conninfo, NULL, &err) == 2, "%s", err.msg);
	ck_assert_msg(down(&m, conninfo, 1, NULL, &err) == 1, "%s", err.msg);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(dry_run_changes_nothing)
{
	const char *conninfo = pgtest_create_database(pg, "dry");
	struct cw_migrate_run dry = { .conninfo = conninfo, .dry_run = true };
	struct cw_migrations m = load("migrations");
	struct cw_err err = { .msg = "" };
	char *before, *after;
	size_t len;

	before = dump(conninfo, &len);
	ck_assert_msg(cw_migrate_up(&m, &dry, NULL, &err) == m.count, "%s", err.msg);
	after = dump(conninfo, &len);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	ck_assert(!m.list[0].applied);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), m.count);
	ck_assert_int_eq(cw_migrate_down(&m, &dry, 99, NULL, &err), m.count);
	ck_assert(m.list[0].applied);
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[0].applied);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(drift_and_missing_files_are_seen)
{
	const char *conninfo = pgtest_create_database(pg, "drift");
	struct cw_err err;
	char path[128];

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n-- migrate:down\nDROP TABLE a;\n");
	put("20260102000000_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\n-- migrate:down\nDROP TABLE b;\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 2);
	cw_migrations_release(&m);
	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int); -- edited\n-- migrate:down\nDROP TABLE a;\n");
	snprintf(path, sizeof(path), "%s/20260102000000_b.sql", dir);
	remove(path);
	m = load(dir);
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert_int_eq(m.count, 2);
	ck_assert(m.list[0].applied && m.list[0].drifted && !m.list[0].missing);
	ck_assert(m.list[1].applied && m.list[1].missing && !m.list[1].drifted);
	ck_assert_str_eq(m.list[1].name, "b");
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert_int_eq(m.count, 2);
	ck_assert_int_eq(down(&m, conninfo, 1, NULL, &err), -1);
	ck_assert_str_eq(err.msg, "migration 20260102000000 is applied, but its file is missing");
	cw_migrations_release(&m);
}
END_TEST

START_TEST(what_dbmate_applied_is_known)
{
	const char *conninfo = pgtest_conninfo(pg);
	struct cw_err err;

	/* dbmate's own table, without our log */
	pgtest_exec(pg, "DROP TABLE IF EXISTS schema_migrations, schema_migrations_log; "
	                "CREATE TABLE public.schema_migrations (version varchar(128) PRIMARY KEY); "
	                "INSERT INTO schema_migrations VALUES ('20260101000000')");
	put("20260101000000_a.sql", "-- migrate:up\nSELECT fails;\n");
	put("20260102000000_b.sql", "-- migrate:up\nCREATE TABLE dbmate_b (x int);\n");
	put("20260103000000_c.sql", "-- migrate:up\nSELECT fails;\n");
	struct cw_migrations m = load(dir);
	struct cw_migrate_run run = { .conninfo = conninfo };

	ck_assert_int_eq(up(&m, conninfo, "20260102000000", &err), 1);
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[0].applied && !m.list[0].drifted);
	ck_assert_int_eq(m.list[0].applied_at_us, 0);
	ck_assert_int_eq(cw_migrate_stamp(&m, &run, "20260103000000", &err), 0);
	ck_assert_int_eq(cw_migrate_stamp(&m, &run, "20260103000000", &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_CONFLICT);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 0);
	ck_assert_str_eq(pgtest_value(pg, "SELECT string_agg(version, ' ' ORDER BY version) FROM schema_migrations"),
	                 "20260101000000 20260102000000 20260103000000");
	ck_assert_str_eq(pgtest_value(pg, "SELECT string_agg(direction || ' ' || applied_by, ',' ORDER BY id) FROM "
	                                  "schema_migrations_log"), "up chainwatch,stamp chainwatch");
	pgtest_exec(pg, "DROP TABLE schema_migrations, schema_migrations_log, dbmate_b");
	cw_migrations_release(&m);
}
END_TEST

static void count_steps(void *arg, const struct cw_migration *step, bool is_up, double seconds)
{
	ck_assert(is_up);
	ck_assert_ptr_nonnull(step->up);
	ck_assert(seconds >= 0);
	++*(int *)arg;
}

START_TEST(two_at_once_do_the_work_once)
{
	char conninfo[512];
	struct cw_err err = { .msg = "" };
	int steps = 0, status;

	snprintf(conninfo, sizeof(conninfo), "%s", pgtest_create_database(pg, "twice"));
	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\nSELECT pg_sleep(0.3);\n");
	put("20260102000000_b.sql", "-- migrate:up\nCREATE TABLE b (x int);\nSELECT pg_sleep(0.3);\n");
	struct cw_migrations m = load(dir);
	pid_t other = fork();

	if (other == 0)
		_exit(up(&m, conninfo, NULL, &err) & 0xff);
	struct cw_migrate_run run = { .conninfo = conninfo, .progress = count_steps, .arg = &steps };
	int mine = cw_migrate_up(&m, &run, NULL, &err);

	ck_assert_msg(mine >= 0, "%s", err.msg);
	ck_assert_int_eq(mine, steps);
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	ck_assert_int_eq(mine + WEXITSTATUS(status), 2);
	ck_assert(mine == 0 || mine == 2);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(lock_that_is_not_granted_is_asked_for_again)
{
	char conninfo[512];
	struct cw_err err = { .msg = "" };
	PGconn *blocker;

	snprintf(conninfo, sizeof(conninfo), "%s", pgtest_create_database(pg, "locked"));
	blocker = PQconnectdb(conninfo);
	PQclear(PQexec(blocker, "CREATE TABLE a (x int)"));
	PQclear(PQexec(blocker, "BEGIN"));
	PQclear(PQexec(blocker, "SELECT * FROM a"));
	put("20260101000000_a.sql", "-- migrate:up\nALTER TABLE a ADD y int;\n");
	struct cw_migrations m = load(dir);
	struct cw_migrate_run run = { .conninfo = conninfo, .lock_timeout_ms = 50 };
	pid_t other = fork();
	int status;

	if (other == 0)
		_exit(cw_migrate_up(&m, &run, NULL, &err) == 1 ? 0 : 1);
	usleep(400000);              /* it has failed at least once */
	PQclear(PQexec(blocker, "COMMIT"));
	ck_assert_int_eq(waitpid(other, &status, 0), other);
	ck_assert_int_eq(status, 0);
	PQfinish(blocker);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(offline_sql_gives_the_same_schema)
{
	char online[512], offline[512], command[1024];
	struct cw_migrations m = load("migrations");
	struct cw_buf sql = CW_BUF_INIT;
	struct cw_err err;
	char *a, *b;
	size_t len;

	snprintf(online, sizeof(online), "%s", pgtest_create_database(pg, "online"));
	snprintf(offline, sizeof(offline), "%s", pgtest_create_database(pg, "offline"));
	ck_assert_int_eq(up(&m, online, NULL, &err), m.count);
	cw_migrate_sql(&m, NULL, NULL, &sql);
	put("all.txt", sql.data);
	snprintf(command, sizeof(command), "psql -qX '%s' -f '%s/all.txt' >/dev/null", offline, dir);
	ck_assert_int_eq(system(command), 0);
	a = dump(online, &len);
	b = dump(offline, &len);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	ck_assert_int_eq(up(&m, offline, NULL, &err), 0);
	/* and down again */
	cw_buf_clear(&sql);
	cw_migrate_sql(&m, m.list[m.count - 1].version, "0", &sql);
	put("down.txt", sql.data);
	snprintf(command, sizeof(command), "psql -qX '%s' -f '%s/down.txt' >/dev/null", offline, dir);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(cw_migrations_status(&m, offline, &err), 0);
	for (int i = 0; i < m.count; i++)
		ck_assert(!m.list[i].applied);
	cw_buf_release(&sql);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(versions_that_are_not_there)
{
	const char *conninfo = pgtest_create_database(pg, "unknown");
	struct cw_migrate_run run = { .conninfo = conninfo };
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nSELECT 1;\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, "20250101000000", &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_str_eq(err.msg, "there is no migration \"20250101000000\"");
	ck_assert_int_eq(down(&m, conninfo, 0, "20250101000000", &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_int_eq(down(&m, conninfo, 0, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_int_eq(cw_migrate_stamp(&m, &run, "20250101000000", &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 1);
	ck_assert_int_eq(down(&m, conninfo, 1, NULL, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "it cannot be undone"));
	cw_migrations_release(&m);
}
END_TEST

START_TEST(drift_is_accepted_by_a_stamp)
{
	const char *conninfo = pgtest_create_database(pg, "accepted");
	struct cw_migrate_run run = { .conninfo = conninfo };
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 1);
	cw_migrations_release(&m);
	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int); -- edited\n");
	m = load(dir);
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), 0);             /* left alone, with a warning */
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[0].drifted);
	ck_assert_int_eq(cw_migrate_stamp(&m, &run, "20260101000000", &err), 0);
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(m.list[0].applied && !m.list[0].drifted);
	cw_migrations_release(&m);
}
END_TEST

static void no_event(void *arg, const struct cw_migrate_event *event)
{
	(void)event;
	++*(int *)arg;
}

/* The tables of migrations are not what they should be: said, and nothing of a step remains. */
START_TEST(tables_that_are_in_the_way)
{
	const char *conninfo = pgtest_create_database(pg, "in_the_way");
	struct cw_migrate_run run = { .conninfo = conninfo };
	char only_read[512];
	struct cw_err err;
	PGconn *conn = PQconnectdb(conninfo);
	int events = 0;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int); DROP TABLE schema_migrations_log;\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, NULL, &err), -1);
	ck_assert_msg(strstr(err.msg, "could not record the migration: relation \"schema_migrations_log\" does not exist") != NULL,
	              "%s", err.msg);
	ck_assert_str_eq(err.sqlstate, "42P01");
	PQclear(PQexec(conn, "SELECT x FROM a"));
	ck_assert_ptr_nonnull(strstr(PQerrorMessage(conn), "\"a\" does not exist"));
	PQclear(PQexec(conn, "ALTER TABLE schema_migrations_log RENAME direction TO way"));
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not read which migrations are applied"));
	ck_assert_int_eq(up(&m, conninfo, NULL, &err), -1);
	ck_assert_int_eq(cw_migrate_stamp(&m, &run, "20260101000000", &err), -1);
	ck_assert_int_eq(cw_migrate_history(conninfo, no_event, &events, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not read the history of migrations"));
	PQclear(PQexec(conn, "DROP TABLE schema_migrations_log"));
	snprintf(only_read, sizeof(only_read), "%s options='-c default_transaction_read_only=on'", conninfo);
	ck_assert_int_eq(cw_migrations_status(&m, only_read, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "could not make the tables of migrations"));
	ck_assert_int_eq(cw_migrate_history(only_read, no_event, &events, &err), -1);
	ck_assert_int_eq(cw_migrate_history("host=/nowhere", no_event, &events, &err), -1);
	run.conninfo = "host=/nowhere";
	ck_assert_int_eq(cw_migrate_stamp(&m, &run, "20260101000000", &err), -1);
	ck_assert_int_eq(cw_migrations_status(&m, "host=/nowhere", &err), -1);
	ck_assert_int_eq(events, 0);
	PQfinish(conn);
	cw_migrations_release(&m);
}
END_TEST

static char told[512];

static void tell_event(void *arg, const struct cw_migrate_event *event)
{
	(void)arg;
	ck_assert_int_gt(event->at_us, INT64_C(1700000000000000));
	ck_assert_int_ge(event->duration_ms, 0);
	ck_assert_str_eq(event->by, "chainwatch");
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s %s %s;", event->direction, event->version, event->name);
}

static void tell_step(void *arg, const struct cw_migration *step, bool is_up, double seconds)
{
	(void)arg;
	ck_assert(seconds >= 0);
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s %s;", is_up ? "up" : "down", step->name);
}

START_TEST(what_ran_is_told_while_it_runs_and_afterwards)
{
	const char *conninfo = pgtest_create_database(pg, "told");
	struct cw_migrate_run run = { .conninfo = conninfo, .progress = tell_step };
	struct cw_buf sql = CW_BUF_INIT;
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int)\n-- migrate:down\nDROP TABLE a");
	put("20260102000000_b.sql", "-- migrate:up transaction:false\nCREATE TABLE b (x int);");
	struct cw_migrations m = load(dir);

	told[0] = '\0';
	ck_assert_int_eq(cw_migrate_up(&m, &run, "20260101000000", &err), 1);
	ck_assert_int_eq(cw_migrate_down(&m, &run, 1, NULL, &err), 1);
	ck_assert_int_eq(cw_migrate_up(&m, &run, NULL, &err), 2);
	ck_assert_str_eq(told, "up a;down a;up a;up b;");
	told[0] = '\0';
	ck_assert_int_eq(cw_migrate_history(conninfo, tell_event, NULL, &err), 0);
	ck_assert_str_eq(told, "up 20260101000000 a;down 20260101000000 a;up 20260101000000 a;up 20260102000000 b;");
	/* Offline: what cannot be undone is said, and nothing of it is run. */
	cw_migrate_sql(&m, "20260102000000", "0", &sql);
	ck_assert_ptr_nonnull(strstr(sql.data, "-- 20260102000000_b.sql, down\n-- it has no down section: it cannot be undone\n\n"
	                                       "-- 20260101000000_a.sql, down\nBEGIN;"));
	ck_assert_ptr_nonnull(strstr(sql.data, "DROP TABLE a\n;\nDELETE FROM schema_migrations"));
	cw_buf_clear(&sql);
	cw_migrate_sql(&m, NULL, NULL, &sql);
	ck_assert_ptr_nonnull(strstr(sql.data, "-- 20260102000000_b.sql, up\nCREATE TABLE b (x int);\n;\nINSERT INTO schema_migrations"));
	cw_buf_release(&sql);
	cw_migrations_release(&m);
}
END_TEST

/* The session ends in the middle of a step. */
START_TEST(a_connection_that_is_lost_is_told)
{
	const char *conninfo = pgtest_create_database(pg, "lost");
	struct cw_err err;

	put("20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int);\nSELECT pg_terminate_backend(pg_backend_pid());\n");
	struct cw_migrations m = load(dir);

	ck_assert_int_eq(up(&m, conninfo, NULL, &err), -1);
	ck_assert_msg(strstr(err.msg, "20260101000000_a.sql") != NULL, "%s", err.msg);
	ck_assert_int_eq(cw_migrations_status(&m, conninfo, &err), 0);
	ck_assert(!m.list[0].applied);
	cw_migrations_release(&m);
}
END_TEST

START_TEST(no_server_is_an_error)
{
	struct cw_migrations m = load("migrations");
	struct cw_err err;

	ck_assert_int_eq(up(&m, "host=/nonexistent dbname=x", NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_DB);
	ck_assert_msg(strncmp(err.msg, "could not connect to the database: ", 35) == 0, "%s", err.msg);
	cw_migrations_release(&m);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("migrate");
	TCase *files = tcase_create("files"), *server = tcase_create("server");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(files, make_dir, drop_dir);
	tcase_add_test(files, file_is_read_into_its_parts);
	tcase_add_test(files, malformed_files_are_refused_with_file_and_line);
	tcase_add_test(files, odd_files_are_read_or_refused);
	tcase_add_test(files, new_files_come_after_all_others);
	suite_add_tcase(suite, files);
	tcase_set_timeout(server, 60);
	tcase_add_unchecked_fixture(server, pg_up, pg_down);
	tcase_add_checked_fixture(server, make_dir, drop_dir);
	tcase_add_test(server, repository_goes_up_down_and_up_again);
	tcase_add_test(server, repository_has_what_the_design_fixes);
	tcase_add_test(server, partitions_keep_rows_and_schema_both_ways);
	tcase_add_test(server, rows_that_move_are_seen);
	tcase_add_test(server, versions_choose_the_steps);
	tcase_add_test(server, failing_step_leaves_nothing_and_names_the_line);
	tcase_add_test(server, step_outside_a_transaction_runs);
	tcase_add_test(server, dry_run_changes_nothing);
	tcase_add_test(server, drift_and_missing_files_are_seen);
	tcase_add_test(server, what_dbmate_applied_is_known);
	tcase_add_test(server, two_at_once_do_the_work_once);
	tcase_add_test(server, lock_that_is_not_granted_is_asked_for_again);
	tcase_add_test(server, offline_sql_gives_the_same_schema);
	tcase_add_test(server, versions_that_are_not_there);
	tcase_add_test(server, drift_is_accepted_by_a_stamp);
	tcase_add_test(server, tables_that_are_in_the_way);
	tcase_add_test(server, what_ran_is_told_while_it_runs_and_afterwards);
	tcase_add_test(server, a_connection_that_is_lost_is_told);
	tcase_add_test(server, no_server_is_an_error);
	suite_add_tcase(suite, server);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
