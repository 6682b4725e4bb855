/* connect.h - gets a libpq connection without blocking the loop. Inside pg only.
 *
 * Walks the hosts of the connection string one by one, each with the whole time-out (libpq's own asynchronous connect
 * has none, so a dead first host would hide a living second one). Names are resolved on a thread of their own, since
 * libpq's look-up blocks; a name with several addresses is tried at each. target_session_attrs holds. */
#ifndef CW_PG_CONNECT_H
#define CW_PG_CONNECT_H

#include <libpq-fe.h>
#include <stdint.h>

struct cw_connect;
struct cw_err;
struct cw_loop;

/* Exactly once, never before cw_connect_new has returned: a connection, which is the callee's from now on, or NULL and
 * the reason. The callee calls cw_connect_free. */
typedef void cw_connect_fn(void *arg, PGconn *pg, const struct cw_err *err);

struct cw_connect *cw_connect_new(struct cw_loop *loop, const char *conninfo, int64_t timeout_ms, cw_connect_fn *fn,
                                  void *arg);
void cw_connect_free(struct cw_connect **connect);
/* Says what is wrong with a connection string, without connecting. */
int cw_conninfo_check(const char *conninfo, struct cw_err *err);

#endif
