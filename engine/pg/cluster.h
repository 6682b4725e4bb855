/* cluster.h - the private PostgreSQL: initdb, start, stop.
 *
 * Runs at start-up, on the main thread, and blocks there. As root the server runs under an unprivileged user (the owner
 * of an existing data directory, else "postgres" if there is one, else "nobody"); it listens on a socket in a run
 * directory of its own only (mode 0700, peer authentication: root, the engine's user and the server's user may enter),
 * and gets PR_SET_PDEATHSIG SIGINT, so that it ends with the engine even after kill -9. A stale postmaster.pid is
 * cleared; a server that still runs on the directory (of an engine that was killed a moment ago) is waited for; a
 * second engine on the same directory is refused.
 *
 * In `dir`: data/ (PostgreSQL's), run/ (the socket; in /tmp/cw-XXXXXX when the path would be too long or is closed to
 * the server's user), postgres.log, lock. What PostgreSQL's user cannot reach because a parent directory is closed to
 * it is handed over as an open directory (/proc/self/fd), so a data directory below /root works. */
#ifndef CW_PG_CLUSTER_H
#define CW_PG_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

struct cw_err;
struct cw_cluster;

struct cw_cluster_conf {
	const char *dir;             /* made if it does not exist */
	const char *shared_buffers;  /* "128MB"; NULL: that */
	const char *bin_dir;         /* NULL: found in /usr/lib/postgresql, by pg_config, or in PATH */
	bool scratch;                /* for tests: nothing is synced to disk, a power failure may lose all */
	const char *archive_command; /* of continuous archiving; NULL: off. "": WAL is kept for whoever archives it later */
	int archive_timeout_s;       /* a segment is archived after so long at the latest */
	/* Called when it is sure that no server runs on the directory, before ours starts. May exchange data/ as a whole: a
	 * server that runs writes pg_control by its absolute path, so never under one. */
	int (*before_start)(void *arg, struct cw_err *err);
	void *arg;
	int ready_wait_s;            /* 0: 300; a restore may replay for longer */
	const char *template_dir;    /* for tests: an initialised data directory is kept here and copied; NULL: initdb */
};

/* First start: initdb into data.new, then a rename, so that one that is interrupted begins again. Waits until the
 * server accepts connections (crash recovery included, up to five minutes). */
struct cw_cluster *cw_cluster_start(const struct cw_cluster_conf *conf, struct cw_err *err);
/* Fast shutdown, waits. */
void cw_cluster_stop(struct cw_cluster **cluster);
/* Key/value connection string to the database "chainwatch" as its owner; and the directory of the socket. */
const char *cw_cluster_conninfo(const struct cw_cluster *cluster);
const char *cw_cluster_socket_dir(const struct cw_cluster *cluster);
/* Where PostgreSQL's files are, as an absolute path; whose they are; where its programs are. */
const char *cw_cluster_data_dir(const struct cw_cluster *cluster);
void cw_cluster_owner(const struct cw_cluster *cluster, uid_t *uid, gid_t *gid);
const char *cw_cluster_bin_dir(const struct cw_cluster *cluster);
/* False: the server's user cannot walk to its directory, so tools that run as that user cannot either. */
bool cw_cluster_reachable(const struct cw_cluster *cluster);
pid_t cw_cluster_pid(const struct cw_cluster *cluster);
/* Starts it again if it has died, once a second at most (the engine calls this on SIGCHLD and by timer); does not wait for it to be ready. */
int cw_cluster_revive(struct cw_cluster *cluster, struct cw_err *err);

#endif
