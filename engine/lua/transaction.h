/* transaction.h - the database transaction of a job: one leased connection from db.transaction() to its end.
 *
 * The job holds it (cw_job_hold): whatever ends the job, cancelled or failed, ends the transaction by closing its
 * connection. Private to lua/. */
#ifndef CW_LUA_TRANSACTION_H
#define CW_LUA_TRANSACTION_H

struct cw_conn;
struct cw_err;
struct cw_job;
struct cw_transaction;
struct lua_State;

/* NULL: the job has none open. */
struct cw_transaction *cw_transaction_of(const struct cw_job *job);
/* The connection for its next statement; NULL and the reason when it has failed already. */
struct cw_conn *cw_transaction_conn(const struct cw_transaction *tx, struct cw_err *err);
/* A statement failed: nothing but a rollback is possible now. `err` becomes why the transaction failed, which may have
 * been before (its time was over). */
void cw_transaction_failed(struct cw_transaction *tx, struct cw_err *err);

/* Pushes the table of C functions for boot.lua: start, finish, collect, depth. */
void cw_bind_transaction(struct lua_State *L);

#endif
