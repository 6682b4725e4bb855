/* rpc.h - the nodes of one chain: JSON-RPC in batches over several endpoints, with failover.
 *
 * An endpoint is used once it has said that it is of the right chain. cw_rpc_poll asks all of them for chain id and head; the
 * best one is followed, and left only when it fails or another is ahead of it by more than `lag_blocks`, or by less for ten
 * polls: two nodes that disagree about the newest block must not look like a reorg every second. Errors (no connection, 429, 5xx, what is no
 * JSON-RPC) put an endpoint aside, each time for longer or as long as Retry-After says, and the call goes to another.
 * An endpoint is asked for as many calls at once as it takes: a batch that it refuses, in any way, is halved, and grows again.
 * What it does not know is asked for in another way: its newest block by eth_blockNumber, its chain by net_version; one that
 * can say neither chain id is believed.
 * URLs may hold keys: names and labels are what is shown. Loop thread only. */
#ifndef CW_SOURCE_RPC_H
#define CW_SOURCE_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"

struct cw_err;
struct cw_httpc;
struct cw_json;
struct cw_loop;
struct cw_rpc;
struct cw_rpc_call;

#define CW_RPC_ENDPOINTS_MAX 16
#define CW_RPC_BATCH_MAX 4096

struct cw_rpc_endpoint_conf {
	const char *name;             /* NULL: scheme, host and port of the URL */
	const char *url;
	const char *header;           /* "Authorization: Bearer ..."; NULL: none */
	int weight;                   /* share of the calls that any endpoint can answer; 1 */
};

struct cw_rpc_conf {
	const char *source;           /* label of metrics */
	uint64_t chain_id;
	const struct cw_rpc_endpoint_conf *endpoints;
	int nendpoints;
	int64_t deadline_ms;          /* of a call, 10000 */
	size_t max_bytes;             /* of an answer, 64 MiB */
	int lag_blocks;               /* 3 */
	bool finalized;               /* ask for the finalized block as well */
};

/* NULL if the settings make no sense. They are copied. */
struct cw_rpc *cw_rpc_new(struct cw_loop *loop, struct cw_httpc *http, const struct cw_rpc_conf *conf,
                          struct cw_err *err);
void cw_rpc_free(struct cw_rpc **rpc);

/* --- heads --- */

struct cw_rpc_head {
	uint64_t number;
	struct cw_hash hash;
	bool has_finalized;
	uint64_t finalized;
};

/* Asks every endpoint that is not set aside. `fn` once, when all have answered or failed; it must not free the set. Not
 * twice at a time. */
typedef void cw_rpc_poll_fn(void *arg);
void cw_rpc_poll(struct cw_rpc *rpc, cw_rpc_poll_fn *fn, void *arg);
/* Head of the endpoint that is followed, as it was last seen. -1: none can be used; the reason is in `err`. */
int cw_rpc_head(const struct cw_rpc *rpc, struct cw_rpc_head *head, struct cw_err *err);

/* --- calls --- */

struct cw_rpc_ask {
	const char *method;
	char params[96];              /* JSON array */
};

struct cw_rpc_reply {
	const struct cw_json *result; /* NULL: an error */
	int64_t code;                 /* of the error */
	const char *message;
};

/* -32601, or what nodes say instead. */
bool cw_rpc_is_unknown_method(const struct cw_rpc_reply *reply);

enum cw_rpc_who {
	CW_RPC_BEST = 0,              /* the endpoint that is followed, or one that takes its place */
	CW_RPC_ANY,                   /* any whose head is at least `block` */
};

/* Once, not before the call has returned. `replies` in the order of the asks, valid during the call; NULL when `err` is
 * set: no endpoint could answer (CW_ERR_BUSY: try again after cw_rpc_wait_ms). Must not free the set. */
typedef void cw_rpc_fn(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err);

/* n <= CW_RPC_BATCH_MAX. Copies. */
struct cw_rpc_call *cw_rpc_call(struct cw_rpc *rpc, enum cw_rpc_who who, uint64_t block, const struct cw_rpc_ask *asks,
                                int n, cw_rpc_fn *fn, void *arg);
void cw_rpc_cancel(struct cw_rpc_call **call);
/* The answer of the call that is being told is wrong in itself (blocks that do not fit together): its endpoint is set
 * aside like one that gave none. Only from within the callback. */
void cw_rpc_blame(struct cw_rpc *rpc, const char *why);
/* Until an endpoint may be asked again; 0: now. */
int64_t cw_rpc_wait_ms(const struct cw_rpc *rpc);

/* --- status --- */

struct cw_rpc_endpoint_stats {
	const char *name;
	const char *state;            /* "new", "ok", "followed", "wrong chain", "set aside" */
	uint64_t head, requests, errors;
	int64_t wait_ms;              /* set aside for so long */
	double latency_s;             /* of the last answer */
	const char *last_error;       /* "" */
};
int cw_rpc_endpoints(const struct cw_rpc *rpc);
struct cw_rpc_endpoint_stats cw_rpc_endpoint_stats(const struct cw_rpc *rpc, int i);

#endif
