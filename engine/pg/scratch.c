#include "pg/scratch.h"

#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "pg/cluster.h"

/* Owned by who started it. */
struct cw_scratch {
	char dir[PATH_MAX];
	struct cw_cluster *cluster;
};

struct cw_scratch *cw_scratch_start(const char *parent, struct cw_err *err)
{
	struct cw_scratch *s = cw_zalloc(sizeof(*s));
	struct cw_cluster_conf conf = { .dir = s->dir, .shared_buffers = "64MB", .scratch = true };

	if (parent == NULL)
		parent = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
	if (snprintf(s->dir, sizeof(s->dir), "%s/cw-scratch-XXXXXX", parent) >= (int)sizeof(s->dir) ||
	    mkdtemp(s->dir) == NULL || chmod(s->dir, 0711) != 0) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not make a scratch directory in \"%s\": %s", parent, strerror(errno));
		s->dir[0] = '\0';
	} else {
		s->cluster = cw_cluster_start(&conf, err);
		if (s->cluster == NULL)
			cw_err_wrap(err, "could not start a scratch PostgreSQL");
	}
	if (s->cluster == NULL)
		cw_scratch_stop(&s);
	return s;
}

static void remove_tree(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void cw_scratch_stop(struct cw_scratch **scratch)
{
	struct cw_scratch *s = *scratch;

	*scratch = NULL;
	if (s == NULL)
		return;
	if (s->cluster != NULL)
		cw_cluster_stop(&s->cluster);
	if (s->dir[0] != '\0')
		remove_tree(s->dir);
	cw_free(s);
}

const char *cw_scratch_dir(const struct cw_scratch *scratch)
{
	return scratch->dir;
}

struct cw_cluster *cw_scratch_cluster(struct cw_scratch *scratch)
{
	return scratch->cluster;
}

int cw_scratch_database(struct cw_scratch *scratch, const char *name, char *conninfo, size_t size, struct cw_err *err)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "CREATE DATABASE \"%.60s\"", name);
	if (cw_pg_exec(cw_cluster_conninfo(scratch->cluster), sql, err) != 0)
		return -1;
	snprintf(conninfo, size, "host=%s port=5432 user=chainwatch dbname=%s", cw_cluster_socket_dir(scratch->cluster), name);
	return 0;
}

static void ignore_notice(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static int value(const char *conninfo, const char *sql, const char *const *values, int n, char *out, size_t size,
                 struct cw_err *err)
{
	PGconn *conn = PQconnectdb(conninfo);
	PGresult *res = NULL;
	const char *text, *state = NULL;
	int rc = 0;

	if (PQstatus(conn) == CONNECTION_OK) {
		PQsetNoticeProcessor(conn, ignore_notice, NULL);
		res = n > 0 ? PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0) : PQexec(conn, sql);
	}
	if (res != NULL && (PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK ||
	                    PQresultStatus(res) == PGRES_EMPTY_QUERY)) {
		if (out != NULL)
			snprintf(out, size, "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	} else {
		text = res != NULL ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
		state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
		if (text == NULL)
			text = PQerrorMessage(conn);
		rc = cw_err_set(err, CW_ERR_DB, "%.*s", (int)strcspn(text, "\n"), text);
		if (err != NULL && state != NULL)
			snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	}
	PQclear(res);
	PQfinish(conn);
	return rc;
}

int cw_pg_exec(const char *conninfo, const char *sql, struct cw_err *err)
{
	return value(conninfo, sql, NULL, 0, NULL, 0, err);
}

int cw_pg_run(const char *conninfo, const char *sql, const char *const *values, int n, struct cw_err *err)
{
	return value(conninfo, sql, values, n, NULL, 0, err);
}

int cw_pg_value(const char *conninfo, const char *sql, char *out, size_t size, struct cw_err *err)
{
	return value(conninfo, sql, NULL, 0, out, size, err);
}
