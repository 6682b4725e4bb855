/* cluster.h - the private PostgreSQL: initdb, start, stop.
 *
 * Runs at start-up and blocks there. As root it runs under an unprivileged user ("postgres" if there is one, else
 * "nobody"); it listens on a socket in a short run directory only, and gets PR_SET_PDEATHSIG SIGINT, so that it ends
 * with the engine even after kill -9. A stale postmaster.pid of a dead server is cleared by PostgreSQL itself; a server
 * that still runs on the directory (of an engine that was killed a moment ago) is waited for. */
#ifndef CW_PG_CLUSTER_H
#define CW_PG_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

struct cw_err;
struct cw_cluster;

struct cw_cluster_conf {
	const char *dir;             /* made if it does not exist */
	const char *shared_buffers;  /* "128MB" */
	const char *bin_dir;         /* NULL: found by pg_config or in /usr/lib/postgresql */
};

struct cw_cluster *cw_cluster_start(const struct cw_cluster_conf *conf, struct cw_err *err);
/* Fast shutdown, waits. */
void cw_cluster_stop(struct cw_cluster **cluster);
const char *cw_cluster_conninfo(const struct cw_cluster *cluster);
pid_t cw_cluster_pid(const struct cw_cluster *cluster);
/* Starts it again if it has died (the engine calls this on SIGCHLD and by timer); does not wait for it to be ready. */
int cw_cluster_revive(struct cw_cluster *cluster, struct cw_err *err);

#endif
