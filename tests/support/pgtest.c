#include "support/pgtest.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "pg/cluster.h"
#include "pg/migrate.h"

struct pgtest {
	struct cw_cluster *cluster;
	char dir[256];
	char other[512];   /* connection string of the last database that was made */
	char value[65536];
};

static _Noreturn void pgtest_die(const char *what, const char *why)
{
	fprintf(stderr, "scratch PostgreSQL: %s: %s\n", what, why);
	exit(99);
}

/* Memory where there is enough: clusters that come and go by the thousand files slow a disk's file system down. */
static const char *pgtest_tmp(void)
{
	struct statvfs vfs;

	if (getenv("TMPDIR") != NULL)
		return getenv("TMPDIR");
	if (access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &vfs) == 0 &&
	    (unsigned long long)vfs.f_bavail * vfs.f_frsize >= 1ULL << 30)
		return "/dev/shm";
	return "/tmp";
}

struct pgtest *pgtest_start(void)
{
	const char *tmp = pgtest_tmp();
	struct pgtest *pg = calloc(1, sizeof(*pg));
	char template[300];
	struct cw_err err;

	snprintf(pg->dir, sizeof(pg->dir), "%s/cwt-XXXXXX", tmp);
	if (mkdtemp(pg->dir) == NULL || chmod(pg->dir, 0711) != 0)
		pgtest_die("mkdtemp", pg->dir);
	snprintf(template, sizeof(template), "%s/cwt-template-%ld-v1", tmp, (long)getuid());
	struct cw_cluster_conf conf = { .dir = pg->dir, .shared_buffers = "32MB", .scratch = true,
		                            .template_dir = template };

	pg->cluster = cw_cluster_start(&conf, &err);
	if (pg->cluster == NULL)
		pgtest_die("start", err.msg);
	return pg;
}

struct pgtest *pgtest_start_migrated(void)
{
	struct pgtest *pg = pgtest_start();
	struct cw_migrate_run run = { .conninfo = cw_cluster_conninfo(pg->cluster) };
	struct cw_migrations m;
	struct cw_err err;

	if (cw_migrations_load(&m, "migrations", &err) != 0 || cw_migrate_up(&m, &run, NULL, &err) < 1)
		pgtest_die("migrate", err.msg);
	cw_migrations_release(&m);
	return pg;
}

void pgtest_stop(struct pgtest **pg)
{
	struct pgtest *p = *pg;
	char command[300];

	*pg = NULL;
	if (p == NULL)
		return;
	cw_cluster_stop(&p->cluster);
	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	if (system(command) != 0)
		pgtest_die("remove", p->dir);
	free(p);
}

const char *pgtest_conninfo(const struct pgtest *pg)
{
	return cw_cluster_conninfo(pg->cluster);
}

struct cw_cluster *pgtest_cluster(struct pgtest *pg)
{
	return pg->cluster;
}

const char *pgtest_dir(const struct pgtest *pg)
{
	return pg->dir;
}

static void pgtest_quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

static PGconn *pgtest_connect(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		pgtest_die("connect", PQerrorMessage(conn));
	PQsetNoticeProcessor(conn, pgtest_quiet, NULL);
	return conn;
}

static PGresult *pgtest_run(PGconn *conn, const char *sql)
{
	PGresult *res = PQexec(conn, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		pgtest_die(sql, PQerrorMessage(conn));
	return res;
}

void pgtest_exec(const struct pgtest *pg, const char *sql)
{
	PGconn *conn = pgtest_connect(pgtest_conninfo(pg));

	PQclear(pgtest_run(conn, sql));
	PQfinish(conn);
}

const char *pgtest_value(const struct pgtest *pg, const char *sql)
{
	struct pgtest *p = (struct pgtest *)pg;
	PGconn *conn = pgtest_connect(pgtest_conninfo(pg));
	PGresult *res = pgtest_run(conn, sql);

	snprintf(p->value, sizeof(p->value), "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
	return p->value;
}

const char *pgtest_create_database(const struct pgtest *pg, const char *name)
{
	struct pgtest *p = (struct pgtest *)pg;
	char sql[256];

	snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\"", name);
	pgtest_exec(pg, sql);
	snprintf(p->other, sizeof(p->other), "host=%s port=5432 user=chainwatch dbname=%s",
	         cw_cluster_socket_dir(pg->cluster), name);
	return p->other;
}
