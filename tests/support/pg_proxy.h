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
/* What befalls a line at a message of the protocol. */
enum pg_proxy_fault {
	PG_PROXY_CUT = 0,        /* both ends are closed before it */
	PG_PROXY_CUT_INSIDE,     /* ... after its first byte */
	PG_PROXY_HALF_CLOSE,     /* its receiver sees the end, its sender may go on: what it says is lost */
	PG_PROXY_DRIP,           /* it and all that follows comes a few bytes at a time */
	PG_PROXY_FAULTS,
};
/* At the `nth` message from now on (counted from 1, over all lines) in one direction; 0: no more. */
void pg_proxy_trip(struct pg_proxy *proxy, int from_server, int nth, enum pg_proxy_fault fault);
int pg_proxy_tripped(const struct pg_proxy *proxy);          /* how often that has happened */
/* Nobody gets through: lines are cut, new ones are refused; until 0. */
void pg_proxy_block(struct pg_proxy *proxy, int blocked);

#endif
