/* backups.h - when the database was last backed up and a backup last verified: rows of job_runs. */
#ifndef CW_STORE_BACKUPS_H
#define CW_STORE_BACKUPS_H

#include "pg/conn.h"

struct cw_pool;

enum { CW_BACKUPS_RUN = 0, CW_BACKUPS_VERIFIED, CW_BACKUPS_FAILED };
/* One row of seconds since 1970 (float8; null: never): the last good run, the last good verification, the last failure of
 * either. */
void cw_backups_last(struct cw_pool *pool, cw_query_fn *fn, void *arg);

#endif
