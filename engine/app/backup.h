/* backup.h - backups of the database: pgBackRest (physical, to any second) and pg_dump (logical), and what proves them.
 *
 * The private PostgreSQL archives into a repository of its own settings (backup.*); for another one, a pgbackrest.conf of
 * the operator's is taken, or dumps are all there is. pgBackRest runs under the user that PostgreSQL runs under.
 *
 * In <data_dir>/backup: pgbackrest.conf, cipher.key, repo/, dumps/, log/, lock/, spool/. A manifest says what was in the
 * database at a moment, one fact a line ("rows public.users=20"); restoring to that moment must give the same lines.
 * Synchronous: for CLI verbs and start-up. */
#ifndef CW_APP_BACKUP_H
#define CW_APP_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <limits.h>
#include <sys/types.h>

#include "base/buf.h"

struct cw_cluster_conf;
struct cw_config;
struct cw_err;

struct cw_backup {
	const struct cw_config *config;
	char base[PATH_MAX];             /* <data_dir>, absolute */
	char dir[PATH_MAX];              /* <data_dir>/backup */
	char dumps[PATH_MAX];
	char conf[PATH_MAX];             /* pgbackrest.conf; empty: no physical backups */
	char archive_command[2 * PATH_MAX];
	uid_t uid;                       /* of PostgreSQL */
	gid_t gid;
	bool private_cluster;
};

/* Finds the places, makes folders and, for the private cluster with backup.enabled, pgbackrest.conf. */
int cw_backup_open(struct cw_backup *b, const struct cw_config *config, struct cw_err *err);
/* Archiving, where it is to be, and a restore that waits for the start (see restore.h). `b` must outlive the start. */
void cw_backup_cluster(struct cw_backup *b, struct cw_cluster_conf *conf);
/* The stanza in the repository; the cluster must run. Nothing happens if it is there. */
int cw_backup_stanza(const struct cw_backup *b, const char *conninfo, struct cw_err *err);

/* One pgBackRest command; further arguments up to NULL. What it says goes to `said`. Exit code 0, or an error that quotes
 * its words. `conninfo` NULL: without a database. */
int cw_backup_pgbackrest(const struct cw_backup *b, const char *conninfo, struct cw_buf *said, struct cw_err *err,
                         const char *command, ...) __attribute__((sentinel));
/* A PostgreSQL client program on a database, its password in the environment. Further arguments up to NULL. */
int cw_backup_client(const char *conninfo, struct cw_err *err, const char *program, ...) __attribute__((sentinel));

/* A snapshot that lives until it is released, for several readers of one moment. */
struct cw_hold;
struct cw_hold *cw_pg_hold_snapshot(const char *conninfo, char *snapshot, size_t size, struct cw_err *err);
void cw_pg_release_snapshot(struct cw_hold **hold);
/* The facts of a database, at the moment of the snapshot if one is given. */
int cw_backup_manifest(const char *conninfo, const char *snapshot, struct cw_buf *out, struct cw_err *err);
/* Facts at a restore point of that name, exactly: writers are held for the blink of an eye in which both are made. */
int cw_backup_mark(const char *conninfo, const char *name, struct cw_buf *out, struct cw_err *err);
/* Lines that differ go to `out` as "fact: there, here"; returns how many. */
int cw_backup_compare(const char *wanted, const char *found, struct cw_buf *out);
/* A row in job_runs: `detail` is JSON, `error` NULL for a success. */
int cw_backup_record(const char *conninfo, const char *job, const char *started, const char *detail, const char *error,
                     struct cw_err *err);

#endif
