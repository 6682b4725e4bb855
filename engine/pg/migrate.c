#include "pg/migrate.h"

#include <libpq-fe.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#define LOCK_KEY       "4856011529483"   /* any number will do, as long as every migrator takes the same */
#define LOCK_WAIT_S    600               /* another migrator may build an index for minutes */
#define LOCK_TRIES     6                 /* of a statement that did not get its lock: over about half a minute */
#define LOCK_TIMEOUT_MS 5000

/* varchar and the names are dbmate's. */
static const char make_tables[] =
	"CREATE TABLE IF NOT EXISTS schema_migrations (version varchar PRIMARY KEY);\n"
	"CREATE TABLE IF NOT EXISTS schema_migrations_log (\n"
	"\tid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
	"\tversion text NOT NULL,\n"
	"\tname text NOT NULL,\n"
	"\tdirection text NOT NULL CHECK (direction IN ('up', 'down', 'stamp')),\n"
	"\tchecksum text NOT NULL,\n"
	"\tapplied_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n"
	"\tduration_ms bigint NOT NULL,\n"
	"\tapplied_by text NOT NULL DEFAULT current_user\n"
	");\n";

static const char read_applied[] =
	"SELECT m.version, l.checksum, l.name,\n"
	"       (extract(epoch FROM l.applied_at) * 1000000)::bigint\n"
	"FROM schema_migrations m LEFT JOIN LATERAL\n"
	"     (SELECT checksum, name, applied_at FROM schema_migrations_log g\n"
	"      WHERE g.version = m.version AND g.direction <> 'down' ORDER BY id DESC LIMIT 1) l ON true\n"
	"ORDER BY m.version COLLATE \"C\"";

static void nap_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- connection ---- */

static int fail(struct cw_err *err, const PGresult *res, const char *what)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	cw_err_set(err, CW_ERR_DB, "%s: %s", what, text != NULL ? text : PQresultErrorMessage(res));
	if (err != NULL && state != NULL)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	return -1;
}

static bool succeeded(const PGresult *res)
{
	return PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
}

static int exec(PGconn *conn, const char *sql, const char *what, struct cw_err *err)
{
	PGresult *res = PQexec(conn, sql);
	int rc = succeeded(res) ? 0 : fail(err, res, what);

	PQclear(res);
	return rc;
}

static void on_notice(void *arg, const PGresult *res)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	char quoted[512];

	(void)arg;
	if (text != NULL)
		cw_log(CW_LOG_DEBUG, "migrate", "notice", "text=%s", cw_log_quote(quoted, sizeof(quoted), text));
}

static PGconn *open_conn(const char *conninfo, struct cw_err *err)
{
	PGconn *conn = PQconnectdb(conninfo);
	const char *text;

	if (PQstatus(conn) == CONNECTION_OK) {
		PQsetNoticeReceiver(conn, on_notice, NULL);
		return conn;
	}
	text = PQerrorMessage(conn);
	cw_err_set(err, CW_ERR_DB, "could not connect to the database: %.*s", (int)strcspn(text, "\n"), text);
	PQfinish(conn);
	return NULL;
}

/* One migrator works, the others ask again and again; the lock goes with the session. */
static int take_lock(PGconn *conn, struct cw_err *err)
{
	int64_t deadline = cw_clock_mono_us() + LOCK_WAIT_S * INT64_C(1000000);

	for (bool told = false;; told = true) {
		PGresult *res = PQexec(conn, "SELECT pg_try_advisory_lock(" LOCK_KEY ")");
		bool ok = succeeded(res);
		bool got = ok && PQgetvalue(res, 0, 0)[0] == 't';

		if (!ok)
			fail(err, res, "could not take the lock of migrations");
		PQclear(res);
		if (!ok)
			return -1;
		if (got)
			return 0;
		if (cw_clock_mono_us() > deadline)
			return cw_err_set(err, CW_ERR_TIMEOUT, "another migrator has held the lock for %d seconds", LOCK_WAIT_S);
		if (!told)
			cw_log(CW_LOG_INFO, "migrate", "waiting for another migrator", NULL);
		nap_ms(50);
	}
}

/* ---- what is applied ---- */

static struct cw_migration *find(const struct cw_migrations *m, const char *version)
{
	for (int i = 0; i < m->count; i++)
		if (strcmp(m->list[i].version, version) == 0)
			return &m->list[i];
	return NULL;
}

static int by_version(const void *a, const void *b)
{
	return strcmp(((const struct cw_migration *)a)->version, ((const struct cw_migration *)b)->version);
}

static void note_applied(struct cw_migrations *m, const PGresult *res, int row)
{
	const char *version = PQgetvalue(res, row, 0), *checksum = PQgetvalue(res, row, 1);
	struct cw_migration *step = find(m, version);

	if (step == NULL) {
		m->list = cw_realloc(m->list, (size_t)(m->count + 1) * sizeof(*m->list));
		step = &m->list[m->count++];
		*step = (struct cw_migration){ .missing = true };
		snprintf(step->version, sizeof(step->version), "%s", version);
		snprintf(step->name, sizeof(step->name), "%s", PQgetvalue(res, row, 2));
		snprintf(step->checksum, sizeof(step->checksum), "%s", checksum);
	}
	step->applied = true;
	step->drifted = !step->missing && !PQgetisnull(res, row, 1) && strcmp(step->checksum, checksum) != 0;
	step->applied_at_us = PQgetisnull(res, row, 3) ? 0 : strtoll(PQgetvalue(res, row, 3), NULL, 10);
}

/* Where they are there nothing is made: a role that may not create tables can still ask what is applied. */
static int have_tables(PGconn *conn, struct cw_err *err)
{
	PGresult *res = PQexec(conn, "SELECT to_regclass('schema_migrations') IS NOT NULL AND"
	                       " to_regclass('schema_migrations_log') IS NOT NULL");
	bool there = PQresultStatus(res) == PGRES_TUPLES_OK && PQgetvalue(res, 0, 0)[0] == 't';

	PQclear(res);
	return there ? 0 : exec(conn, make_tables, "could not make the tables of migrations", err);
}

static int read_status(struct cw_migrations *m, PGconn *conn, struct cw_err *err)
{
	PGresult *res;
	int kept = 0, rc = 0;

	if (have_tables(conn, err) != 0)
		return -1;
	res = PQexec(conn, read_applied);
	if (!succeeded(res)) {
		rc = fail(err, res, "could not read which migrations are applied");
		PQclear(res);
		return rc;
	}
	for (int i = 0; i < m->count; i++) {
		if (m->list[i].missing)
			continue;
		m->list[kept] = m->list[i];
		m->list[kept].applied = m->list[kept].drifted = false;
		m->list[kept++].applied_at_us = 0;
	}
	m->count = kept;
	for (int i = 0; i < PQntuples(res); i++)
		note_applied(m, res, i);
	PQclear(res);
	if (m->count > 1)
		qsort(m->list, (size_t)m->count, sizeof(*m->list), by_version);
	return 0;
}

int cw_migrations_status(struct cw_migrations *m, const char *conninfo, struct cw_err *err)
{
	PGconn *conn = open_conn(conninfo, err);
	int rc;

	if (conn == NULL)
		return -1;
	rc = take_lock(conn, err);
	if (rc == 0)
		rc = read_status(m, conn, err);
	PQfinish(conn);
	return rc;
}

/* ---- one step ---- */

/* Line of the file in which the error happened; the position counts characters (UTF-8), from 1. 0: unknown. */
static int line_of(const PGresult *res, const char *sql, int first_line)
{
	const char *field = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
	long position = field != NULL ? strtol(field, NULL, 10) : 0;
	int line = first_line;

	if (position <= 0)
		return 0;
	for (const char *p = sql; *p != '\0'; p++) {
		if (((unsigned char)*p & 0xc0) != 0x80 && --position == 0)
			break;
		line += *p == '\n';
	}
	return line;
}

static int fail_step(const struct cw_migration *step, bool up, const PGresult *res, struct cw_err *err)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	int line = line_of(res, up ? step->up : step->down, up ? step->up_line : step->down_line);
	char where[32] = "";

	if (line > 0)
		snprintf(where, sizeof(where), ":%d", line);
	cw_err_set(err, CW_ERR_DB, "%s_%s.sql%s: %s%s%s (%s)", step->version, step->name, where,
	           text != NULL ? text : PQresultErrorMessage(res), detail != NULL ? ": " : "",
	           detail != NULL ? detail : "", state != NULL ? state : "connection lost");
	if (err != NULL && state != NULL)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	return -1;
}

/* The entry in the audit log, once there is one that chains its entries; PL/pgSQL looks at the table when it comes to the
 * statement only. Version, name and checksum are of letters and digits (pg/migration_file.c). */
static void put_audit(struct cw_buf *out, const struct cw_migration *step, const char *direction)
{
	cw_buf_printf(out,
	              "DO $audit$ BEGIN IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('audit_logs')"
	              " AND attname = 'seq') THEN\n"
	              "INSERT INTO audit_logs (event_type, resource, action, status, severity, details) VALUES"
	              " ('schema.migrate', 'schema', '%s', 'success', 'warning', json_build_object("
	              "'version', '%s', 'name', '%s', 'checksum', '%s', 'by', session_user));\n"
	              "END IF; END $audit$;\n",
	              direction, step->version, step->name, step->checksum);
}

static int audit(PGconn *conn, const struct cw_migration *step, const char *direction, struct cw_err *err)
{
	struct cw_buf sql = CW_BUF_INIT;
	int rc;

	put_audit(&sql, step, direction);
	rc = exec(conn, sql.data, "could not note the migration in the audit log", err);
	cw_buf_release(&sql);
	return rc;
}

static int record(PGconn *conn, const struct cw_migration *step, const char *direction, double seconds,
                  struct cw_err *err)
{
	const char *log_sql = "INSERT INTO schema_migrations_log (version, name, direction, checksum, duration_ms) "
	                      "VALUES ($1, $2, $3, $4, $5::bigint)";
	const char *sql = strcmp(direction, "down") == 0 ? "DELETE FROM schema_migrations WHERE version = $1"
	                  : "INSERT INTO schema_migrations (version) VALUES ($1) ON CONFLICT DO NOTHING";
	char ms[24];
	const char *values[] = { step->version, step->name, direction, step->checksum, ms };
	PGresult *res;
	int rc = 0;

	snprintf(ms, sizeof(ms), "%.0f", seconds * 1000);
	res = PQexecParams(conn, sql, 1, NULL, values, NULL, NULL, 0);
	if (succeeded(res)) {
		PQclear(res);
		res = PQexecParams(conn, log_sql, 5, NULL, values, NULL, NULL, 0);
	}
	if (!succeeded(res))
		rc = fail(err, res, "could not record the migration");
	PQclear(res);
	return rc == 0 ? audit(conn, step, direction, err) : -1;
}

/* The SQL itself, then the record; inside the caller's transaction if there is one. */
static int run_and_record(PGconn *conn, const struct cw_migration *step, bool up, bool transaction, struct cw_err *err)
{
	int64_t from = cw_clock_mono_us();
	PGresult *res = PQexec(conn, up ? step->up : step->down);
	ExecStatusType status = PQresultStatus(res);
	int rc = succeeded(res) || status == PGRES_EMPTY_QUERY ? 0 : fail_step(step, up, res, err);

	PQclear(res);
	if (rc != 0)
		return -1;
	if (transaction != (PQtransactionStatus(conn) == PQTRANS_INTRANS))
		return cw_err_set(err, CW_ERR_INVALID, "%s_%s.sql: %s", step->version, step->name, transaction
		                  ? "it ends the transaction that it runs in; write \"transaction:false\" and no COMMIT"
		                  : "it leaves a transaction open");
	return record(conn, step, up ? "up" : "down", (double)(cw_clock_mono_us() - from) / 1e6, err);
}

static int set_lock_timeout(PGconn *conn, const struct cw_migrate_run *run, bool local, struct cw_err *err)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "SET %s lock_timeout = %lld", local ? "LOCAL" : "SESSION",
	         (long long)(run->lock_timeout_ms > 0 ? run->lock_timeout_ms : LOCK_TIMEOUT_MS));
	return exec(conn, sql, "could not set lock_timeout", err);
}

static void roll_back(PGconn *conn)
{
	if (PQtransactionStatus(conn) != PQTRANS_IDLE)
		PQclear(PQexec(conn, "ROLLBACK"));
}

/* One try. On failure of a step in a transaction nothing of it remains. */
static int try_step(PGconn *conn, const struct cw_migration *step, bool up, const struct cw_migrate_run *run,
                    struct cw_err *err)
{
	bool transaction = up ? step->up_transaction : step->down_transaction;

	if (run->dry_run)
		return run_and_record(conn, step, up, true, err);
	if (transaction && exec(conn, "BEGIN", "could not begin", err) != 0)
		return -1;
	if (set_lock_timeout(conn, run, transaction, err) != 0 || run_and_record(conn, step, up, transaction, err) != 0 ||
	    (transaction && exec(conn, "COMMIT", "could not commit", err) != 0)) {
		roll_back(conn);
		return -1;
	}
	return 0;
}

/* Tries again when a lock was not granted: the statement that stood in the queue would have blocked all behind it. */
static int run_step(PGconn *conn, const struct cw_migration *step, bool up, const struct cw_migrate_run *run,
                    struct cw_err *err)
{
	int64_t from = cw_clock_mono_us();
	struct cw_err why = { .code = CW_OK };

	for (int i = 0; try_step(conn, step, up, run, &why) != 0; i++) {
		if (strcmp(why.sqlstate, "55P03") != 0 || run->dry_run || i + 1 == LOCK_TRIES) {
			if (err != NULL)
				*err = why;
			return -1;
		}
		cw_log(CW_LOG_WARN, "migrate", "a lock was not granted, trying again", "version=%s try=%d", step->version, i + 2);
		nap_ms(100L << i);
	}
	if (run->progress != NULL)
		run->progress(run->arg, step, up, (double)(cw_clock_mono_us() - from) / 1e6);
	return 0;
}

/* ---- a run: several steps ---- */

static int check_step(const struct cw_migration *step, bool up, bool dry_run, struct cw_err *err)
{
	if (step->missing)
		return cw_err_set(err, CW_ERR_INVALID, "migration %s is applied, but its file is missing", step->version);
	if (!up && step->down == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "%s_%s.sql: no \"-- migrate:down\" section, so it cannot be undone",
		                  step->version, step->name);
	if (dry_run && !(up ? step->up_transaction : step->down_transaction))
		return cw_err_set(err, CW_ERR_INVALID, "%s_%s.sql: it runs outside a transaction, so it cannot be tried dry",
		                  step->version, step->name);
	return 0;
}

/* Marks what is to be done in `plan` (indices, in order); returns how many, -1 on error. */
static int plan_up(const struct cw_migrations *m, const char *version, int *plan, struct cw_err *err)
{
	int n = 0;

	if (version != NULL && find(m, version) == NULL)
		return cw_err_set(err, CW_ERR_NOT_FOUND, "there is no migration \"%s\"", version);
	for (int i = 0; i < m->count; i++) {
		const struct cw_migration *step = &m->list[i];

		if (step->drifted)
			cw_log(CW_LOG_WARN, "migrate", "the file changed after it was applied", "file=%s_%s.sql", step->version,
			       step->name);
		if (!step->applied && (version == NULL || strcmp(step->version, version) <= 0))
			plan[n++] = i;
	}
	return n;
}

static int plan_down(const struct cw_migrations *m, int steps, const char *version, int *plan, struct cw_err *err)
{
	int n = 0;

	if (steps <= 0 && version == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "say how many migrations to undo, or down to which version");
	if (version != NULL && strcmp(version, "0") != 0 && find(m, version) == NULL)
		return cw_err_set(err, CW_ERR_NOT_FOUND, "there is no migration \"%s\"", version);
	for (int i = m->count - 1; i >= 0; i--)
		if (m->list[i].applied && (version != NULL ? strcmp(m->list[i].version, version) > 0 : n < steps))
			plan[n++] = i;
	return n;
}

static int run_plan(struct cw_migrations *m, PGconn *conn, const struct cw_migrate_run *run, bool up, const int *plan,
                    int n, struct cw_err *err)
{
	for (int i = 0; i < n; i++)
		if (check_step(&m->list[plan[i]], up, run->dry_run, err) != 0)
			return -1;
	for (int i = 0; i < n; i++) {
		if (run_step(conn, &m->list[plan[i]], up, run, err) != 0)
			return -1;
		m->list[plan[i]].applied = up != run->dry_run;
	}
	return n;
}

/* `steps` < 0: up. The plan is made under the lock, so of two migrators the second finds nothing left to do. */
static int run_all(struct cw_migrations *m, const struct cw_migrate_run *run, int steps, const char *version,
                   struct cw_err *err)
{
	PGconn *conn = open_conn(run->conninfo, err);
	int *plan = NULL;
	int n = -1;

	if (conn == NULL)
		return -1;
	if (take_lock(conn, err) == 0 && (!run->dry_run || (exec(conn, "BEGIN", "could not begin", err) == 0 &&
	                                                    set_lock_timeout(conn, run, true, err) == 0)) &&
	    read_status(m, conn, err) == 0) {
		plan = cw_alloc((size_t)m->count * sizeof(*plan));
		n = steps < 0 ? plan_up(m, version, plan, err) : plan_down(m, steps, version, plan, err);
		if (n > 0)
			n = run_plan(m, conn, run, steps < 0, plan, n, err);
	}
	roll_back(conn);             /* the dry run, or what is left of a failure */
	cw_free(plan);
	PQfinish(conn);
	return n;
}

int cw_migrate_up(struct cw_migrations *m, const struct cw_migrate_run *run, const char *version, struct cw_err *err)
{
	return run_all(m, run, -1, version, err);
}

int cw_migrate_down(struct cw_migrations *m, const struct cw_migrate_run *run, int steps, const char *version,
                    struct cw_err *err)
{
	return run_all(m, run, steps > 0 ? steps : 0, version, err);
}

int cw_migrate_stamp(struct cw_migrations *m, const struct cw_migrate_run *run, const char *version,
                     struct cw_err *err)
{
	struct cw_migration *step;
	PGconn *conn = open_conn(run->conninfo, err);
	int rc = -1;

	if (conn == NULL)
		return -1;
	if (take_lock(conn, err) == 0 && read_status(m, conn, err) == 0) {
		step = find(m, version);
		if (step == NULL)
			cw_err_set(err, CW_ERR_NOT_FOUND, "there is no migration \"%s\"", version);
		else if (step->applied && (step->missing || !step->drifted))
			cw_err_set(err, CW_ERR_CONFLICT, "migration %s is applied already", version);
		else if (exec(conn, "BEGIN", "could not begin", err) == 0 && record(conn, step, "stamp", 0, err) == 0)
			rc = exec(conn, "COMMIT", "could not commit", err);
	}
	PQfinish(conn);
	return rc;
}

int cw_migrate_history(const char *conninfo, cw_migrate_event_fn *fn, void *arg, struct cw_err *err)
{
	PGconn *conn = open_conn(conninfo, err);
	PGresult *res;
	int rc = -1;

	if (conn == NULL)
		return -1;
	if (take_lock(conn, err) == 0 && have_tables(conn, err) == 0) {
		res = PQexec(conn, "SELECT version, name, direction, (extract(epoch FROM applied_at) * 1000000)::bigint, "
		                   "duration_ms, applied_by FROM schema_migrations_log ORDER BY id");
		rc = succeeded(res) ? 0 : fail(err, res, "could not read the history of migrations");
		for (int i = 0; rc == 0 && i < PQntuples(res); i++) {
			struct cw_migrate_event event = {
				.version = PQgetvalue(res, i, 0), .name = PQgetvalue(res, i, 1), .direction = PQgetvalue(res, i, 2),
				.at_us = strtoll(PQgetvalue(res, i, 3), NULL, 10),
				.duration_ms = strtoll(PQgetvalue(res, i, 4), NULL, 10), .by = PQgetvalue(res, i, 5),
			};

			fn(arg, &event);
		}
		PQclear(res);
	}
	PQfinish(conn);
	return rc;
}

/* ---- offline ---- */

static void put_step(struct cw_buf *out, const struct cw_migration *step, bool up)
{
	bool transaction = up ? step->up_transaction : step->down_transaction;
	const char *sql = up ? step->up : step->down;
	size_t n = sql != NULL ? strlen(sql) : 0;

	cw_buf_printf(out, "\n-- %s_%s.sql, %s\n", step->version, step->name, up ? "up" : "down");
	if (sql == NULL) {
		cw_buf_puts(out, "-- it has no down section: it cannot be undone\n");
		return;
	}
	if (transaction)
		cw_buf_printf(out, "BEGIN;\nSET LOCAL lock_timeout = %d;\n", LOCK_TIMEOUT_MS);
	cw_buf_add(out, sql, n);
	if (n > 0 && sql[n - 1] != '\n')
		cw_buf_putc(out, '\n');
	cw_buf_putc(out, ';');       /* in case the last statement has none */
	cw_buf_putc(out, '\n');
	if (up)
		cw_buf_printf(out, "INSERT INTO schema_migrations (version) VALUES ('%s');\n", step->version);
	else
		cw_buf_printf(out, "DELETE FROM schema_migrations WHERE version = '%s';\n", step->version);
	cw_buf_printf(out, "INSERT INTO schema_migrations_log (version, name, direction, checksum, duration_ms) VALUES "
	                   "('%s', '%s', '%s', '%s', 0);\n", step->version, step->name, up ? "up" : "down", step->checksum);
	put_audit(out, step, up ? "up" : "down");
	if (transaction)
		cw_buf_puts(out, "COMMIT;\n");
}

void cw_migrate_sql(const struct cw_migrations *m, const char *from, const char *to, struct cw_buf *out)
{
	const char *low = from != NULL ? from : "0", *high = to != NULL ? to : "9";

	cw_buf_puts(out, "\\set ON_ERROR_STOP on\n");
	cw_buf_puts(out, make_tables);
	if (strcmp(low, high) <= 0) {
		for (int i = 0; i < m->count; i++)
			if (!m->list[i].missing && strcmp(m->list[i].version, low) > 0 && strcmp(m->list[i].version, high) <= 0)
				put_step(out, &m->list[i], true);
		return;
	}
	for (int i = m->count - 1; i >= 0; i--)
		if (!m->list[i].missing && strcmp(m->list[i].version, high) > 0 && strcmp(m->list[i].version, low) <= 0)
			put_step(out, &m->list[i], false);
}
