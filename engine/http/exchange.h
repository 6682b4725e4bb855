/* exchange.h - what the files of this folder share and nobody else includes: server, connection, exchange.
 *
 * An exchange is a request and its reply, the private whole of which handlers see the first member. It is in one place
 * at a time: in the queue of its connection; among the server's orphans, when the connection has gone or has answered
 * by itself, and a handler still has to; or spare, to be used again with its parser, arena and buffers. */
#ifndef CW_HTTP_EXCHANGE_H
#define CW_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "http/parser.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/router.h"
#include "http/server.h"

struct cw_map;
struct cw_metric;
struct cw_timer;
struct cw_watch;
struct ssl_ctx_st;
struct ssl_st;

#define CW_REQUEST_MAGIC 0x63777271u
#define CW_CONN_MAGIC 0x6377636eu

#define CW_READ_BYTES 65536        /* read at once; also what may wait unparsed in a connection */
#define CW_OUT_HIGH 262144         /* bytes that wait for a client: producers pause above, ... */
#define CW_OUT_LOW 65536           /* ... go on below */
#define CW_KEEP_BYTES 65536        /* buffers up to this size are kept for later use */

/* ---- routes ---- */

/* Metrics of a route: a child for each status that it has answered, found once. */
struct cw_route_metrics {
	struct { int status; struct cw_metric *count; } by_status[8];
	struct cw_metric *seconds;
};

struct cw_routed {
	struct cw_route route;         /* first: requests point to it */
	struct cw_routed *next;        /* other methods of the same path */
	char *params[8];
	unsigned nparams;
	struct cw_route_metrics metrics;
};

/* Writes at most text.len bytes, returns how many; `out` may be text.p. Malformed escapes stay as they are. */
size_t cw_uri_decode(char *out, struct cw_slice text);

/* ---- exchange ---- */

enum cw_stage {
	CW_STAGE_HEAD = 0,   /* the head is being read */
	CW_STAGE_TURN,       /* waits for earlier requests to be answered */
	CW_STAGE_GATE,       /* the gate holds it */
	CW_STAGE_ADMIT,      /* the gate has let it pass */
	CW_STAGE_BODY,       /* the body is being read */
	CW_STAGE_RUN,        /* complete */
};
enum cw_answer { CW_ANSWER_NONE = 0, CW_ANSWER_BEGUN, CW_ANSWER_SENT };

struct cw_exchange {
	struct cw_request req;         /* first: handlers hold a pointer to it */
	struct cw_server *server;      /* NULL: it has gone before the answer came */
	struct cw_list link;
	struct cw_parser *parser;
	struct cw_router *router;      /* reference; keeps req.route alive */
	struct cw_buf body;
	struct cw_buf held;            /* reply bytes that wait for earlier replies */
	struct cw_buf headers;         /* of the reply, set by the handler */
	uint64_t sent_bytes, body_bytes, dropped_bytes;
	enum cw_stage stage;
	enum cw_answer answer;
	enum cw_method method;         /* 0 until the head is there */
	int minor, status;
	bool keep_alive;               /* the client wants it */
	bool close;                    /* this reply says that it is the last */
	bool safe;                     /* GET, HEAD, OPTIONS: may run beside others */
	bool owned;                    /* a handler or gate has it and will answer */
	bool counted;                  /* in server->in_flight */
	bool expects;                  /* the client waits for 100 Continue */
	bool streams, paused;          /* body to be handed over in pieces */
	bool chunked;                  /* reply framing */
	bool early;                    /* refused before its chunks have come: the reply is held, until req.deadline_us */
	bool full;                     /* the handler was told to pause producing */
	bool cache_control;            /* the handler has set it */
	unsigned generation;           /* of the server's limits, which the parser has */
	cw_abort_fn *on_abort;
	void *abort_arg;
	cw_body_fn *on_body;
	void *body_arg;
	cw_drain_fn *on_drain;
	void *drain_arg;
};

static inline struct cw_exchange *cw_exchange_of(struct cw_request *req)
{
	return (struct cw_exchange *)(void *)req;
}

struct cw_exchange *cw_exchange_take(struct cw_server *server);
/* To the spare ones, or freed. Not while it is in a queue. */
void cw_exchange_release(struct cw_exchange *x);

/* Out of its queue. An owned one becomes an orphan and on_abort runs; others are released. */
void cw_exchange_drop(struct cw_exchange *x);
/* The server answers in the handler's place: with 503. */
void cw_exchange_time_out(struct cw_exchange *x);
/* Waits for something other than the client's bytes. */
bool cw_exchange_is_blocked(const struct cw_exchange *x);

/* Whether a whole reply given now is early; asked when its head is written. */
bool cw_exchange_is_early(const struct cw_exchange *x);
/* The chunks did not come in time: the reply goes out. x may be gone afterwards. */
void cw_exchange_give_early(struct cw_exchange *x);
/* Where the next bytes of this reply go; NULL: nowhere. */
struct cw_buf *cw_exchange_out(struct cw_exchange *x);
/* Whether this reply must be the last of its connection; asked when its head is written. */
bool cw_exchange_is_last(const struct cw_exchange *x);
/* Bytes of this reply, and of those before it, that the client has not taken yet. */
size_t cw_exchange_pending(const struct cw_exchange *x);
/* The reply is complete: counts and logs it, hands it on, gives the exchange back when nothing else holds it. */
void cw_exchange_answered(struct cw_exchange *x);

/* ---- connection ---- */

enum cw_phase { CW_PHASE_NONE = 0, CW_PHASE_FIRST, CW_PHASE_IDLE, CW_PHASE_HEAD, CW_PHASE_BODY, CW_PHASE_LINGER };

/* Owned by the server. Closed at once, freed at the end of the turn. */
struct cw_peer {
	uint32_t magic;
	struct cw_server *server;
	struct cw_list link;           /* server->conns, then server->dead */
	struct cw_list dirty;          /* server->dirty: to be settled at the end of the turn */
	int fd;
	struct ssl_st *ssl;            /* NULL: plain */
	struct cw_watch *watch;
	struct cw_list queue;          /* exchanges in order; replies of the first go to `out`, others hold theirs */
	struct cw_exchange *current;   /* of the queue: the one that is being read */
	int nqueue, nunsafe;
	struct cw_buf in, out;         /* read, not yet parsed; to be written */
	size_t in_at, out_at;
	enum cw_phase phase;
	uint64_t serial, phase_serial; /* requests begun; the one that the phase is for */
	int64_t phase_due_us, write_due_us, half_due_us;   /* 0: none */
	uint64_t phase_bytes;          /* read in the present stride */
	uint64_t written, write_mark;  /* by us; by the client's kernel when the present stride began */
	bool eof;                      /* the client sends no more */
	bool closing;                  /* no more requests are read; ends when the queue is done */
	bool last_sent;                /* the last reply has been handed over, what follows in the queue is dropped */
	bool cut;                      /* to be closed without ceremony */
	bool lingering, dead;
	bool busy;                     /* inside settle: no need to ask for it */
	bool ssl_wants_write;
	char remote[64];
};

/* Takes over fd, and ssl (NULL: plain). With `refuse` the connection gets a 503 and is closed. */
void cw_peer_open(struct cw_server *server, int fd, struct ssl_st *ssl, const char *remote, bool refuse);
/* At once; on_abort runs for what is unanswered. */
void cw_peer_close(struct cw_peer *conn);
/* Parses and runs what the bytes hold, as far as the limits of the connection allow. Returns the bytes used. */
size_t cw_peer_consume(struct cw_peer *conn, const char *data, size_t len);
/* Answers what is being read with an error, or cuts it off, and reads no more. */
void cw_peer_fail(struct cw_peer *conn, int status, const char *code, const char *detail);
static inline size_t cw_peer_out_pending(const struct cw_peer *conn)
{
	return conn->out.len - conn->out_at;
}
/* Frees what is left of a closed one. */
void cw_peer_free(struct cw_peer *conn);
/* Asks for cw_peer_settle at the end of this turn. */
void cw_peer_touch(struct cw_peer *conn);
/* Parses what waits, writes what can be written, closes what is due. */
void cw_peer_settle(struct cw_peer *conn);
/* Looks at the time-outs. */
void cw_peer_sweep(struct cw_peer *conn, int64_t now_us);

/* ---- server ---- */

struct cw_address_count { int connections; };

struct cw_server {
	struct cw_loop *loop;
	struct cw_server_conf conf;    /* texts are our copies */
	struct ssl_ctx_st *tls;
	int listen_fd;
	struct cw_watch *listen_watch;
	char address[160];
	char *unix_path;               /* to be unlinked */
	struct cw_timer *sweep, *retry_accept, *grace;
	struct cw_router *router;
	cw_gate_fn *gate;
	void *gate_arg;
	struct cw_list conns, dirty, dead, orphans, spare;
	int nconns, norphans, nspare;
	struct cw_map *addresses;      /* remote -> struct cw_address_count, of open connections */
	int in_flight;
	unsigned generation;
	uint64_t accepted, refused, requests;
	uint64_t body_bytes;           /* of request bodies in memory */
	uint64_t turn_bytes;           /* written since the turn began */
	char *read_buf;                /* CW_READ_BYTES, of whoever reads just now */
	struct cw_buf spare_out[64];   /* output buffers for whoever writes next */
	int nspare_out;
	bool scheduled, draining, accept_failed;
	void (*on_drained)(void *arg);
	void *on_drained_arg;
	struct cw_route_metrics unmatched;
	struct cw_metric *connections_gauge;
};

/* Runs the end-of-turn work of this server once more. */
void cw_server_schedule(struct cw_server *server);

#endif
