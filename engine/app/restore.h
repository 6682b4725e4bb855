/* restore.h - backups put back beside the living database: into a cluster of their own, or a new database. */
#ifndef CW_APP_RESTORE_H
#define CW_APP_RESTORE_H

#include <stdbool.h>
#include <stddef.h>

struct cw_backup;
struct cw_cluster;
struct cw_err;

/* A physical backup, recovered and open for writing, in `dir` (made; "data" in it). `type` is pgBackRest's: "name" or "time"
 * with `target`, "immediate" (as the backup was taken) or "default" (all there is); `label` NULL: the backup that fits. With
 * `keep_wal`, WAL waits for being archived once the directory is the living one; else nothing of it ever is. */
struct cw_cluster *cw_restore_physical(const struct cw_backup *b, const char *dir, const char *label, const char *type,
                                       const char *target, bool keep_wal, struct cw_err *err);
/* A dump, into the empty database. */
int cw_restore_dump(const char *path, const char *conninfo, struct cw_err *err);
/* Label of the newest physical backup, "" if there is none. */
int cw_restore_newest(const struct cw_backup *b, char *label, size_t size, struct cw_err *err);
/* File name of the newest dump, "" if there is none. */
void cw_restore_newest_dump(const struct cw_backup *b, char *name, size_t size);
/* <data_dir>/`name`/data is to take the place of the living data directory at the next start of the private PostgreSQL. */
int cw_restore_prepare(const struct cw_backup *b, const char *name, struct cw_err *err);
/* Does that, if it was asked for: the two change places in one step, and what was living is in <data_dir>/pg.old. Only
 * while no server runs. What a crash interrupts is ended by the next call. */
int cw_restore_settle(const struct cw_backup *b, struct cw_err *err);
void cw_restore_remove(const char *path);

#endif
