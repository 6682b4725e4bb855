/* pgtest.h - a scratch PostgreSQL for tests: its own cluster in a temporary directory, gone with the test.
 *
 * Start it in an unchecked fixture (once a test case, in the parent of the forked tests):
 *
 *     static struct pgtest *pg;
 *     static void up(void) { pg = pgtest_start(); }
 *     static void down(void) { pgtest_stop(&pg); }
 *     tcase_add_unchecked_fixture(tc, up, down);
 *
 * It lives in $TMPDIR, else in memory (/dev/shm with 1 GiB to spare), else in /tmp. The first start runs initdb into a
 * template directory there; later ones copy it: about 0.15 s. Any failure prints the reason and exits with 99. */
#ifndef CW_TESTS_PGTEST_H
#define CW_TESTS_PGTEST_H

struct cw_cluster;
struct pgtest;

struct pgtest *pgtest_start(void);
/* The same, with all migrations of the repository applied (found in the working directory: run tests from the top). */
struct pgtest *pgtest_start_migrated(void);
void pgtest_stop(struct pgtest **pg);

/* Key/value connection string to the database "chainwatch". */
const char *pgtest_conninfo(const struct pgtest *pg);
struct cw_cluster *pgtest_cluster(struct pgtest *pg);
const char *pgtest_dir(const struct pgtest *pg);

/* Runs SQL (several statements are fine) over a connection of its own; prints and exits with 99 on an error. */
void pgtest_exec(const struct pgtest *pg, const char *sql);
/* First column of the first row as text, "" for null or no row; valid until the next call. */
const char *pgtest_value(const struct pgtest *pg, const char *sql);
/* An empty database of that name; returns its connection string, valid until the next call. */
const char *pgtest_create_database(const struct pgtest *pg, const char *name);

#endif
