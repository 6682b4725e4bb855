/* pg_proxy.h - stands between client and PostgreSQL on a unix socket and cuts the line at a chosen moment. */
#ifndef CW_TESTS_PG_PROXY_H
#define CW_TESTS_PG_PROXY_H

struct pg_proxy;

/* Listens in a directory of its own, on a thread. */
struct pg_proxy *pg_proxy_start(const char *server_dir);
void pg_proxy_stop(struct pg_proxy **proxy);
const char *pg_proxy_dir(const struct pg_proxy *proxy);      /* host= for clients */
/* The next `times` times that the server answers a COMMIT: the answer is dropped and the line cut. */
void pg_proxy_cut_commit_answers(struct pg_proxy *proxy, int times);
int pg_proxy_cuts(const struct pg_proxy *proxy);             /* how many lines were cut so */
/* Nobody gets through: lines are cut, new ones are refused; until 0. */
void pg_proxy_block(struct pg_proxy *proxy, int blocked);

#endif
