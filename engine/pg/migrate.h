/* migrate.h - schema migrations: files `YYYYMMDDHHMMSS_name.sql` in dbmate's format and its table schema_migrations.
 *
 * Synchronous: runs before the loop or in a CLI verb. A second table, schema_migrations_log, keeps checksum, duration
 * and who. An advisory lock lets one migrator work while others wait. A step and its record are one transaction unless
 * the file says `transaction:false`; a lock that is not granted within lock_timeout is asked for again, so that a
 * migration never blocks the queries that queue behind it for long.
 *
 *     -- migrate:up                      (or: -- migrate:up transaction:false)
 *     CREATE TABLE ...;
 *     -- migrate:down
 *     DROP TABLE ...;
 *
 * Before the first section only comments may stand. The down section may be left out: such a step cannot be undone. */
#ifndef CW_PG_MIGRATE_H
#define CW_PG_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_buf;

struct cw_migration {
	char version[16];            /* 14 digits */
	char name[96];
	char *up, *down;             /* SQL text; down may be NULL; both NULL when `missing` */
	int up_line, down_line;      /* where the text begins in the file */
	bool up_transaction, down_transaction;
	char checksum[65];           /* SHA-256 of the file */
	bool applied;
	bool drifted;                /* applied with another checksum */
	bool missing;                /* applied, but there is no such file */
	int64_t applied_at_us;       /* 0: unknown */
};

/* In order of version. */
struct cw_migrations { struct cw_migration *list; int count; char *dir; };

/* Reads and checks the folder: malformed names, missing sections, double versions are errors with file and line.
 * Files that do not end in .sql are left alone. */
int cw_migrations_load(struct cw_migrations *m, const char *dir, struct cw_err *err);
void cw_migrations_release(struct cw_migrations *m);
/* Fills in what is applied (and adds entries for what is `missing`); creates the tables if needed. */
int cw_migrations_status(struct cw_migrations *m, const char *conninfo, struct cw_err *err);

typedef void cw_migrate_progress_fn(void *arg, const struct cw_migration *step, bool up, double seconds);
struct cw_migrate_run {
	const char *conninfo;
	int64_t lock_timeout_ms;     /* per statement, 5000 (also what 0 means); retried */
	bool dry_run;                /* all steps in one transaction that is rolled back */
	cw_migrate_progress_fn *progress;
	void *arg;
};
/* Up to and including `version` (NULL: all). Returns the number of steps, or -1. A migration that drifted is logged as
 * a warning and otherwise left alone. */
int cw_migrate_up(struct cw_migrations *m, const struct cw_migrate_run *run, const char *version, struct cw_err *err);
/* The last `steps` (0 with a version: down to that version, exclusive; "0": all). Returns as above. */
int cw_migrate_down(struct cw_migrations *m, const struct cw_migrate_run *run, int steps, const char *version,
                    struct cw_err *err);
/* Records a migration as applied without running it, for a database that has its schema already; for one that drifted,
 * accepts the file as it is now. */
int cw_migrate_stamp(struct cw_migrations *m, const struct cw_migrate_run *run, const char *version,
                     struct cw_err *err);
/* What ran when: rows of schema_migrations_log, oldest first. */
struct cw_migrate_event {
	const char *version, *name, *direction;   /* up, down or stamp */
	int64_t at_us, duration_ms;
	const char *by;
};
typedef void cw_migrate_event_fn(void *arg, const struct cw_migrate_event *event);
int cw_migrate_history(const char *conninfo, cw_migrate_event_fn *fn, void *arg, struct cw_err *err);
/* Writes `YYYYMMDDHHMMSS_name.sql` with the two sections (empty where NULL), later than every migration of `m`. Its path
 * goes to `path`. */
int cw_migrate_new(const struct cw_migrations *m, const char *name, const char *up, const char *down, char *path,
                   size_t size, struct cw_err *err);
/* Offline SQL of the steps between two versions, ready for psql: up from `from` (exclusive; NULL or "0": the empty
 * database) to `to` (inclusive; NULL: all); down where `from` is the higher one. */
void cw_migrate_sql(const struct cw_migrations *m, const char *from, const char *to, struct cw_buf *out);

#endif
