/* cmd_restore.c - chainwatch restore: a backup takes the place of the database.
 *
 * The backup is put back beside the living database and looked at; then the two change places in one step (folders by
 * renameat2 while no server runs, databases by two renames in one transaction), and what was living is kept until it is
 * confirmed. A running engine is told (SIGUSR2) to start itself again, since what it has in memory is of the database that
 * was. */
#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/backup.h"
#include "app/bundle.h"
#include "app/cli.h"
#include "app/client.h"
#include "app/config.h"
#include "app/restore.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "pg/cluster.h"
#include "pg/scratch.h"

#define BACK_WAIT_S 120
#define MANIFEST_MAX (1u << 20)

struct work {
	struct cw_cli cli;
	struct cw_config *config;
	struct cw_backup backup;
	const char *conninfo;
	const char *to;
	bool yes, confirm, undo;
	pid_t engine;                    /* that runs on this data directory; 0: none */
	int64_t down_from_us, switched_us;   /* the database was away from the one to the other; then the engine starts */
};

static int fail(struct work *w, const struct cw_err *err)
{
	return cw_cli_fail(&w->cli, err);
}

static int path_of(char out[PATH_MAX], const char *base, const char *name, struct cw_err *err)
{
	if (snprintf(out, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "path of the data directory is too long");
	return 0;
}

static bool exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* ---- the engine ---- */

static int find_engine(struct work *w, struct cw_err *err)
{
	char address[256];

	if (cw_engine_running(w->config->data_dir, address, sizeof(address), &w->engine) && w->engine == 0)
		return cw_err_set(err, CW_ERR_BUSY, "an engine is starting on \"%s\"; try again when it listens",
		                  w->config->data_dir);
	return 0;
}

/* Until it listens again; it notes its address anew when it does. */
static int restart_engine(struct work *w, struct cw_err *err)
{
	int64_t deadline = cw_clock_mono_us() + BACK_WAIT_S * INT64_C(1000000);
	char address[256], path[PATH_MAX];
	struct stat before, now;
	pid_t pid;

	if (w->engine == 0)
		return 0;
	if (path_of(path, w->backup.base, "engine.pid", err) != 0)
		return -1;
	memset(&before, 0, sizeof(before));
	stat(path, &before);
	if (kill(w->engine, SIGUSR2) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not signal the engine (process %ld): %s", (long)w->engine,
		                  strerror(errno));
	while (cw_clock_mono_us() < deadline) {
		if (stat(path, &now) == 0 && (now.st_mtim.tv_sec != before.st_mtim.tv_sec ||
		                              now.st_mtim.tv_nsec != before.st_mtim.tv_nsec) &&
		    now.st_size > 0 && cw_engine_running(w->config->data_dir, address, sizeof(address), &pid) && address[0] != '\0')
			return 0;
		usleep(20000);
	}
	return cw_err_set(err, CW_ERR_TIMEOUT, "the engine is not back after %d seconds: see its log", BACK_WAIT_S);
}

/* The log has gone back with everything else: an entry says so, for whoever compares it with signed heads. */
static void note(const struct work *w, const char *conninfo, const char *what)
{
	static const char sql[] =
		"INSERT INTO audit_logs (event_type, resource, action, status, severity, details) SELECT 'database.restore',"
		" 'database', $1, 'success', 'critical', json_build_object('restored', $2::text, 'by', session_user)"
		" WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('audit_logs') AND attname = 'seq')";
	const char *values[] = { w->undo ? "undo" : "restore", what };
	struct cw_err err;

	if (cw_pg_run(conninfo, sql, values, 2, &err) != 0)
		fprintf(stderr, "chainwatch restore: the restore could not be noted in the audit log: %s\n", err.msg);
}

/* In the private PostgreSQL that the engine has started; it says there where. */
static void note_living(const struct work *w, const char *what)
{
	struct cw_arena *arena = cw_arena_new();
	char path[PATH_MAX];
	struct cw_err err;
	size_t len;
	const char *text = NULL;
	char *url = NULL;

	if (path_of(path, w->backup.base, "database.url", &err) == 0)
		text = cw_file_read(path, 4096, &len, arena, &err);
	if (text != NULL)
		url = cw_arena_strndup(arena, text, strcspn(text, "\r\n"));
	if (url != NULL)
		note(w, url, what);
	else
		fprintf(stderr, "chainwatch restore: the restore could not be noted in the audit log: %s\n", err.msg);
	cw_arena_free(&arena);
}

static void tell(struct work *w, const char *what, const char *old)
{
	double s = (double)(cw_clock_mono_us() - w->down_from_us) / 1e6;

	if (w->cli.json) {
		printf("{\"restored\":\"%s\",\"old\":\"%s\",\"downtime_s\":%.3f}\n", what, old, s);
		return;
	}
	printf("restored   %s\n", what);
	if (w->switched_us != 0)
		printf("downtime   %.3f s: database %.3f s%s\n", s, (double)(w->switched_us - w->down_from_us) / 1e6,
		       w->engine != 0 ? ", the rest is the engine's start" : "");
	else
		printf("downtime   %.3f s\n", s);
	printf("kept       %s: \"chainwatch restore --confirm\" removes it, \"--undo\" puts it back\n", old);
}

/* ---- physical: folders change places ---- */

/* RFC 3339 into what pgBackRest and PostgreSQL read alike. */
static int format_time(const char *text, char out[48], struct cw_err *err)
{
	int64_t us;
	time_t s;
	struct tm tm;

	if (cw_time_parse(text, &us) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" is neither a time (2026-01-31T23:59:59Z), \"latest\" nor a backup of "
		                  "\"chainwatch backup list\"", text);
	s = (time_t)(us / 1000000);
	gmtime_r(&s, &tm);
	strftime(out, 48, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + strlen(out), 48 - strlen(out), ".%03d+00", (int)(us / 1000 % 1000));
	return 0;
}

/* 20261125-165108F and what hangs on it. */
static bool is_label(const char *text)
{
	return strlen(text) >= 16 && strspn(text, "0123456789-FDI_") == strlen(text) && text[8] == '-' && text[15] == 'F';
}

static int stage(struct work *w, const char *dir, char *what, size_t size, struct cw_err *err)
{
	struct cw_cluster *cluster;
	struct cw_buf facts = CW_BUF_INIT;
	char target[48];
	int rc = 0;

	snprintf(what, size, "%s", w->to);
	if (strcmp(w->to, "latest") == 0) {
		cluster = cw_restore_physical(&w->backup, dir, NULL, "default", NULL, true, err);
	} else if (is_label(w->to)) {
		cluster = cw_restore_physical(&w->backup, dir, w->to, "immediate", NULL, true, err);
	} else {
		if (format_time(w->to, target, err) != 0)
			return -1;
		snprintf(what, size, "%s", target);
		cluster = cw_restore_physical(&w->backup, dir, NULL, "time", target, true, err);
	}
	if (cluster == NULL)
		return -1;
	rc = cw_backup_manifest(cw_cluster_conninfo(cluster), NULL, &facts, err);
	if (rc == 0 && !w->cli.json)
		printf("what is in it:\n%s", facts.data);
	fflush(stdout);
	cw_buf_release(&facts);
	cw_cluster_stop(&cluster);
	return rc;
}

/* The engine exchanges the directories between its end and its start; without one, a start of our own does. */
static int swap_clusters(struct work *w, const char *name, const char *what, struct cw_err *err)
{
	struct cw_cli_database *db;
	char old[PATH_MAX];

	if (path_of(old, w->backup.base, "pg.old", err) != 0 || cw_restore_prepare(&w->backup, name, err) != 0)
		return -1;
	w->down_from_us = cw_clock_mono_us();
	if (w->engine != 0) {
		if (restart_engine(w, err) != 0)
			return -1;
	} else {
		db = cw_cli_database(&w->cli, w->config);
		if (db == NULL)
			return cw_err_set(err, CW_ERR_DB, "the restored PostgreSQL does not start");
		note(w, cw_cli_database_conninfo(db), what);
		cw_cli_database_done(&db);
	}
	if (w->engine != 0)
		note_living(w, what);
	tell(w, what, old);
	return 0;
}

static int restore_physical(struct work *w)
{
	char dir[PATH_MAX], old[PATH_MAX], what[64];
	struct cw_err err;

	if (path_of(dir, w->backup.base, "pg.restore", &err) != 0 || path_of(old, w->backup.base, "pg.old", &err) != 0)
		return fail(w, &err);
	if (exists(old)) {
		fprintf(stderr, "chainwatch restore: the database before the last restore is still kept in \"%s\": restore --confirm or "
		        "--undo first\n", old);
		return 1;
	}
	cw_restore_remove(dir);
	fprintf(stderr, "The database will be what it was at: %s. What was written after that is in the old one, which is kept\n"
	        "in \"%s\"%s.\n", w->to, old, w->engine != 0 ? "; the running engine starts itself again" : "");
	if (!cw_cli_confirm(&w->cli, w->yes, "Restore?"))
		return CW_CLI_NOT_CONFIRMED;
	if (stage(w, dir, what, sizeof(what), &err) != 0) {
		cw_restore_remove(dir);
		return fail(w, &err);
	}
	return swap_clusters(w, "pg.restore", what, &err) == 0 ? 0 : fail(w, &err);
}

/* ---- logical: databases change names ---- */

/* The connection string of another database on the same server. */
static void other_database(const char *conninfo, const char *name, char *out, size_t size)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	size_t n = 0;

	out[0] = '\0';
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL && n < size; o++)
		if (o->val != NULL && strcmp(o->keyword, "dbname") != 0)
			n += (size_t)snprintf(out + n, size - n, "%s='%s' ", o->keyword, o->val);
	if (n < size)
		snprintf(out + n, size - n, "dbname='%s'", name);
	PQconninfoFree(options);
}

/* `living` becomes `old`, `fresh` becomes `living`. New connections are kept out for the moment between. */
static int swap_databases(struct work *w, const char *admin, const char *living, const char *fresh, const char *old,
                          struct cw_err *err)
{
	char sql[512];

	w->down_from_us = cw_clock_mono_us();
	snprintf(sql, sizeof(sql), "ALTER DATABASE \"%s\" ALLOW_CONNECTIONS false", living);
	if (cw_pg_exec(admin, sql, err) != 0)
		return -1;
	snprintf(sql, sizeof(sql), "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname IN ('%s', '%s')",
	         living, fresh);
	if (cw_pg_exec(admin, sql, err) == 0) {
		snprintf(sql, sizeof(sql), "ALTER DATABASE \"%s\" RENAME TO \"%s\"; ALTER DATABASE \"%s\" RENAME TO \"%s\"; "
		         "ALTER DATABASE \"%s\" ALLOW_CONNECTIONS true", living, old, fresh, living, living);
		if (cw_pg_exec(admin, sql, err) == 0) {
			w->switched_us = cw_clock_mono_us();
			return 0;
		}
	}
	snprintf(sql, sizeof(sql), "ALTER DATABASE \"%s\" ALLOW_CONNECTIONS true", living);
	cw_pg_exec(admin, sql, NULL);
	return -1;
}

static int fill_database(struct work *w, const char *admin, const char *fresh, const char *path, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf found = CW_BUF_INIT, words = CW_BUF_INIT;
	char sql[160], conninfo[2048], text[PATH_MAX];
	const char *manifest;
	size_t len;
	int rc;

	snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\" TEMPLATE template0", fresh);
	other_database(w->conninfo, fresh, conninfo, sizeof(conninfo));
	rc = cw_pg_exec(admin, sql, err);
	if (rc == 0)
		rc = cw_restore_dump(path, conninfo, err);
	if (rc == 0)
		rc = cw_backup_manifest(conninfo, NULL, &found, err);
	snprintf(text, sizeof(text), "%.*s.txt", (int)(strlen(path) - 5), path);
	manifest = rc == 0 && exists(text) ? cw_file_read(text, MANIFEST_MAX, &len, arena, err) : NULL;
	if (rc == 0 && manifest != NULL && cw_backup_compare(manifest, found.data, &words) > 0)
		rc = cw_err_set(err, CW_ERR_INTERNAL, "what was restored is not what was dumped: %.400s", words.data);
	if (rc == 0 && !w->cli.json)
		printf("what is in it%s:\n%s", manifest != NULL ? " (as noted with the dump)" : "", found.data);
	fflush(stdout);
	if (rc != 0) {
		snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS \"%s\"", fresh);
		cw_pg_exec(admin, sql, NULL);
	}
	cw_buf_release(&found);
	cw_buf_release(&words);
	cw_arena_free(&arena);
	return rc;
}

/* Name of the database that an earlier restore has put aside; "" if none. */
static int kept_database(const char *admin, const char *living, char *out, size_t size, struct cw_err *err)
{
	char sql[256];

	snprintf(sql, sizeof(sql), "SELECT datname FROM pg_database WHERE datname LIKE '%s\\_old\\_%%' ORDER BY datname DESC LIMIT 1",
	         living);
	return cw_pg_value(admin, sql, out, size, err);
}

static int names(struct work *w, char *living, size_t size, char *admin, size_t admin_size, struct cw_err *err)
{
	if (cw_pg_value(w->conninfo, "SELECT current_database()", living, size, err) != 0)
		return -1;
	if (strpbrk(living, "\"'\\") != NULL)
		return cw_err_set(err, CW_ERR_INVALID, "the name of the database has a quote in it");
	other_database(w->conninfo, "postgres", admin, admin_size);
	return 0;
}

static int restore_logical(struct work *w)
{
	char living[64], fresh[96], old[96], admin[2048], path[PATH_MAX];
	struct cw_err err;

	snprintf(path, sizeof(path), "%s", w->to);
	if (strchr(w->to, '/') == NULL && snprintf(path, sizeof(path), "%.3000s/%s", w->backup.dumps, w->to) < 0)
		return 1;
	if (!exists(path))
		return cw_cli_usage_error(&w->cli, "there is no dump \"%s\"", path);
	if (names(w, living, sizeof(living), admin, sizeof(admin), &err) != 0 ||
	    kept_database(admin, living, old, sizeof(old), &err) != 0)
		return fail(w, &err);
	if (old[0] != '\0') {
		fprintf(stderr, "chainwatch restore: the database before the last restore is still kept as \"%s\": restore --confirm or "
		        "--undo first\n", old);
		return 1;
	}
	snprintf(fresh, sizeof(fresh), "%s_new_%lld", living, (long long)time(NULL));
	snprintf(old, sizeof(old), "%s_old_%lld", living, (long long)time(NULL));
	fprintf(stderr, "The database \"%s\" will be what \"%s\" holds. The old one is kept as \"%s\"%s.\n", living, path, old,
	        w->engine != 0 ? "; the running engine starts itself again" : "");
	if (!cw_cli_confirm(&w->cli, w->yes, "Restore?"))
		return CW_CLI_NOT_CONFIRMED;
	if (fill_database(w, admin, fresh, path, &err) != 0 || swap_databases(w, admin, living, fresh, old, &err) != 0 ||
	    restart_engine(w, &err) != 0)
		return fail(w, &err);
	note(w, w->conninfo, path);
	tell(w, path, old);
	return 0;
}

/* ---- afterwards ---- */

/* An old folder or an old database; whichever there is. 0 none, 1 folder, 2 database, -1 error. */
static int find_kept(struct work *w, char old[PATH_MAX], char *living, size_t size, char *admin, size_t admin_size,
                     struct cw_err *err)
{
	if (path_of(old, w->backup.base, "pg.old", err) != 0)
		return -1;
	if (w->backup.private_cluster && exists(old))
		return 1;
	if (names(w, living, size, admin, admin_size, err) != 0 || kept_database(admin, living, old, 96, err) != 0)
		return -1;
	return old[0] != '\0' ? 2 : 0;
}

static int afterwards(struct work *w)
{
	char old[PATH_MAX], living[64], admin[2048], fresh[96], sql[160];
	struct cw_err err;
	int kind = find_kept(w, old, living, sizeof(living), admin, sizeof(admin), &err);

	if (kind < 0)
		return fail(w, &err);
	if (kind == 0)
		return cw_cli_usage_error(&w->cli, "there is no earlier database: nothing to %s", w->confirm ? "confirm" : "undo");
	fprintf(stderr, w->confirm ? "\"%s\", which was living before the restore, will be removed.\n"
	                           : "\"%s\" will be living again, and what was restored is kept in its place.\n", old);
	if (!cw_cli_confirm(&w->cli, w->yes, w->confirm ? "Remove it?" : "Put it back?"))
		return CW_CLI_NOT_CONFIRMED;
	if (kind == 1 && w->confirm) {
		cw_restore_remove(old);
		printf("removed    %s\n", old);
		return 0;
	}
	if (kind == 1)
		return swap_clusters(w, "pg.old", "the database before the restore", &err) == 0 ? 0 : fail(w, &err);
	if (w->confirm) {
		snprintf(sql, sizeof(sql), "DROP DATABASE \"%.90s\"", old);
		if (cw_pg_exec(admin, sql, &err) != 0)
			return fail(w, &err);
		printf("removed    %s\n", old);
		return 0;
	}
	for (long long now = (long long)time(NULL);; now++) {   /* one kept within the same second has another name */
		snprintf(fresh, sizeof(fresh), "%s_old_%lld", living, now);
		if (strcmp(fresh, old) != 0)
			break;
	}
	if (swap_databases(w, admin, living, old, fresh, &err) != 0 || restart_engine(w, &err) != 0)
		return fail(w, &err);
	note(w, w->conninfo, "the database before the restore");
	tell(w, "the database before the restore", fresh);
	return 0;
}

/* ---- the verb ---- */

static const char usage[] =
	"restore --to WHAT | --confirm | --undo\n\n"
	"      --to TIME            2026-01-31T23:59:59Z: the private PostgreSQL as it was then\n"
	"      --to latest          all that was archived\n"
	"      --to BACKUP          a label or a dump of \"backup list\", or the path of a dump\n"
	"      --confirm            remove the database that was living before the last restore\n"
	"      --undo               put it back\n"
	"  -y, --yes                do not ask\n\n"
	"The backup is put back beside the living database, looked at, and then takes its place in one step.\n";

static bool is_dump(const char *text)
{
	size_t n = strlen(text);

	return n > 5 && strcmp(text + n - 5, ".dump") == 0;
}

static int with_database(struct work *w, int (*fn)(struct work *w))
{
	struct cw_cli_database *db = cw_cli_database(&w->cli, w->config);
	int rc;

	if (db == NULL)
		return 69;
	w->conninfo = cw_cli_database_conninfo(db);
	rc = fn(w);
	cw_cli_database_done(&db);
	return rc;
}

static int run(struct work *w)
{
	struct cw_err err;
	char old[PATH_MAX];

	if (cw_backup_open(&w->backup, w->config, &err) != 0 || path_of(old, w->backup.base, "pg.old", &err) != 0 ||
	    find_engine(w, &err) != 0)
		return fail(w, &err);
	/* Folders are exchanged without a server of ours on them. */
	if (w->confirm || w->undo)
		return w->backup.private_cluster && exists(old) ? afterwards(w) : with_database(w, afterwards);
	if (is_dump(w->to))
		return with_database(w, restore_logical);
	if (w->backup.conf[0] == '\0' || !w->backup.private_cluster)
		return cw_cli_usage_error(&w->cli, "%s", w->backup.private_cluster
		                          ? "a time or a physical backup needs backup.enabled; dumps end in .dump"
		                          : "a time or a physical backup is restored where PostgreSQL runs (pgbackrest restore); here only "
		                            "dumps (.dump) are");
	return restore_physical(w);
}

int cw_cmd_restore(int argc, char **argv)
{
	static const struct option own[] = {
		{ "to", required_argument, NULL, 256 }, { "confirm", no_argument, NULL, 257 }, { "undo", no_argument, NULL, 258 },
		{ "yes", no_argument, NULL, 'y' },      { NULL, 0, NULL, 0 },
	};
	struct work w = { .cli = { .verb = "restore", .usage = usage } };
	int opt, rc;

	while ((opt = cw_cli_next(&w.cli, argc, argv, own)) != -1) {
		switch (opt) {
		case 256: w.to = optarg; break;
		case 257: w.confirm = true; break;
		case 258: w.undo = true; break;
		case 'y': w.yes = true; break;
		default: return 2;
		}
	}
	if (w.cli.help)
		return cw_cli_help(&w.cli);
	if ((w.to != NULL) + w.confirm + w.undo != 1)
		return cw_cli_usage_error(&w.cli, "say one of --to, --confirm and --undo");
	if (optind < argc)
		return cw_cli_usage_error(&w.cli, "takes no operand, but was given \"%s\"", argv[optind]);
	w.config = cw_cli_config(&w.cli);
	if (w.config == NULL)
		return 2;
	rc = run(&w);
	cw_config_free(&w.config);
	return rc;
}
