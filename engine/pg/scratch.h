/* scratch.h - a PostgreSQL for a moment: an empty cluster in a temporary directory, unsynced, gone with its user.
 *
 * For what wants to try something aside: the declared schema, a backup that is verified. Needs a PostgreSQL server on this
 * machine. Synchronous. */
#ifndef CW_PG_SCRATCH_H
#define CW_PG_SCRATCH_H

#include <stddef.h>

struct cw_err;
struct cw_scratch;

/* `parent`: where the directory is made, NULL for $TMPDIR or /tmp. */
struct cw_scratch *cw_scratch_start(const char *parent, struct cw_err *err);
/* Stops it, removes its files, sets *scratch to NULL. */
void cw_scratch_stop(struct cw_scratch **scratch);
const char *cw_scratch_dir(const struct cw_scratch *scratch);
/* The cluster itself; `dir` may hold a data directory already (a backup that was put there). */
struct cw_cluster;
struct cw_cluster *cw_scratch_cluster(struct cw_scratch *scratch);
/* Makes an empty database; its connection string goes to `conninfo`. */
int cw_scratch_database(struct cw_scratch *scratch, const char *name, char *conninfo, size_t size, struct cw_err *err);
/* Runs statements; what fails is in the message. */
int cw_pg_exec(const char *conninfo, const char *sql, struct cw_err *err);
/* One statement with parameters, as text. */
int cw_pg_run(const char *conninfo, const char *sql, const char *const *values, int n, struct cw_err *err);
/* First column of the first row as text, "" for null or no row. */
int cw_pg_value(const char *conninfo, const char *sql, char *out, size_t size, struct cw_err *err);

#endif
