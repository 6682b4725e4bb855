/* server.h - listener, connections, limits, time-outs, drain.
 *
 * Requests of a connection are answered in order, at most `pipeline_max` wait. Time-outs are for the whole head, the
 * whole body, an idle connection, a reply that the client does not read, and a handler that does not answer; where
 * bodies and replies are streams, each 64 KiB have to move within the time. They are looked at every 10 to 250 ms.
 * Knows nothing of Lua and SQL: the router's handlers do the work. */
#ifndef CW_HTTP_SERVER_H
#define CW_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "http/parser.h"
#include "http/router.h"

struct cw_err;
struct cw_loop;
struct cw_server;

struct cw_server_conf {
	const char *listen;            /* "127.0.0.1:8080", "[::]:8080", ":8080" (all), port 0: any; "unix:/path" */
	int inherited_fd;              /* a listening socket (socket activation), taken over; `listen` is not used. -1: none */
	struct cw_http_limits limits;
	int max_connections;           /* 4096: above it a connection is answered 503 and closed */
	int address_connections;       /* the same for those of one address; 0: no limit */
	int pipeline_max;              /* 16 */
	int64_t head_ms, body_ms, idle_ms, write_ms, reply_ms;   /* 10 s, 60 s, 60 s, 30 s, 30 s */
	int64_t half_close_ms;         /* 2 s: FIN may mean "no more requests" or "gone": time to get an answer out */
	int64_t linger_ms;             /* 2 s: after the last reply input is read and dropped, lest a reset destroy it */
	uint64_t bodies;               /* 256 MiB: bytes of request bodies in memory at once; 503 above */
	const char *tls_cert, *tls_key;   /* PEM files; NULL: plain */
	bool access_log;
};
extern const struct cw_server_conf cw_server_conf_default;

/* Runs for each request with a complete head, before its body is read; req->route is already there, NULL if nothing
 * matched (404 and 405 are answered after the gate). True: go on. False: it has answered, or will, or will call
 * cw_request_proceed. Authentication and rate limits hang here. */
typedef bool cw_gate_fn(void *arg, struct cw_request *req);

/* Listens when it returns. Texts of `conf` are copied. */
struct cw_server *cw_server_new(struct cw_loop *loop, const struct cw_server_conf *conf, struct cw_err *err);
/* Cuts all connections (on_abort runs for what is unanswered). Not from within a handler or callback of this layer. */
void cw_server_free(struct cw_server **server);
void cw_server_set_router(struct cw_server *server, struct cw_router *router);   /* takes a reference */
void cw_server_set_gate(struct cw_server *server, cw_gate_fn *fn, void *arg);
/* New limits, time-outs, certificates, address: all or, with an error, nothing. Connections keep their certificate. A
 * changed address is bound before the old one is given up. inherited_fd is not looked at. */
int cw_server_reconfigure(struct cw_server *server, const struct cw_server_conf *conf, struct cw_err *err);
/* "127.0.0.1:41233" or "unix:/path". */
const char *cw_server_address(const struct cw_server *server);
/* Stops accepting, lets requests in flight finish, closes idle connections, then calls fn; after grace_ms it closes
 * the rest. */
void cw_server_drain(struct cw_server *server, int64_t grace_ms, void (*fn)(void *arg), void *arg);

struct cw_server_stats { int connections, in_flight; uint64_t accepted, refused, requests; };
struct cw_server_stats cw_server_stats(const struct cw_server *server);

#endif
