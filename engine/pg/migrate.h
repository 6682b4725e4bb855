/* migrate.h - schema migrations: files `YYYYMMDDHHMMSS_name.sql` in dbmate's format and its table schema_migrations.
 *
 * Synchronous: runs before the loop or in a CLI verb. A second table, schema_migrations_log, keeps checksum, duration
 * and who. An advisory lock lets one migrator work while others wait. */
#ifndef CW_PG_MIGRATE_H
#define CW_PG_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

struct cw_err;
struct cw_buf;

struct cw_migration {
	char version[16];            /* 14 digits */
	char name[96];
	char *up, *down;             /* SQL text; down may be NULL */
	bool up_transaction, down_transaction;
	char checksum[65];           /* SHA-256 of the file */
	bool applied;
	bool drifted;                /* applied with another checksum */
	int64_t applied_at_us;       /* 0: unknown */
};

struct cw_migrations { struct cw_migration *list; int count; char *dir; };

/* Reads and checks the folder: malformed names, missing sections, double versions are errors with file and line. */
int cw_migrations_load(struct cw_migrations *m, const char *dir, struct cw_err *err);
void cw_migrations_release(struct cw_migrations *m);
/* Fills in what is applied; creates the tables if needed. */
int cw_migrations_status(struct cw_migrations *m, const char *conninfo, struct cw_err *err);

typedef void cw_migrate_progress_fn(void *arg, const struct cw_migration *step, bool up, double seconds);
struct cw_migrate_run {
	const char *conninfo;
	int64_t lock_timeout_ms;     /* per statement, 5000; retried */
	bool dry_run;                /* all steps in one transaction that is rolled back */
	cw_migrate_progress_fn *progress;
	void *arg;
};
/* Up to and including `version` (NULL: all). Returns the number of steps, or -1. */
int cw_migrate_up(struct cw_migrations *m, const struct cw_migrate_run *run, const char *version, struct cw_err *err);
/* The last `steps` (0 with a version: down to that version, exclusive). */
int cw_migrate_down(struct cw_migrations *m, const struct cw_migrate_run *run, int steps, const char *version,
                    struct cw_err *err);
/* Offline SQL of the steps between two versions, ready for psql. */
void cw_migrate_sql(const struct cw_migrations *m, const char *from, const char *to, struct cw_buf *out);

#endif
