/* store_env.h - a database with the schema for tests, emptied before each. */
#ifndef CW_TESTS_STORE_ENV_H
#define CW_TESTS_STORE_ENV_H

#include "chain/tx.h"

struct pgtest;

/* Starts PostgreSQL and migrates; once a test file, before the tests fork. */
struct pgtest *store_env_start(void);
/* The database, emptied; its connection string, valid until the next call. */
const char *store_env_database(struct pgtest *pg);
/* First column of the first row as text. */
const char *store_env_value(struct pgtest *pg, const char *sql);
long store_env_number(struct pgtest *pg, const char *sql);
void store_env_exec(struct pgtest *pg, const char *sql);
/* Nobody else reads or writes the table until it is released: their statements wait. One at a time. */
void store_env_lock(struct pgtest *pg, const char *table);
void store_env_release(void);

/* A plausible transaction, the same for the same n; its hash holds n. */
struct cw_tx_in store_env_tx(uint64_t n);
const char *store_env_hash(uint64_t n);          /* as text, valid until the next call */

#endif
