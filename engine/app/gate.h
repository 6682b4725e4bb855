/* gate.h - who may call which route, and how often: looks at the key or token of a request, at the roles of its route,
 * and at the limits.
 *
 * Takes `Authorization: Bearer` (an API key or an access token) and `X-API-Key` (a key); both at once must be the same
 * key. Deny by default: a route without roles is open to everybody and says so in its declaration. Refusals are audited,
 * those of a kind together (app/denials.h). */
#ifndef CW_APP_GATE_H
#define CW_APP_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/limit.h"

struct cw_auth;
struct cw_config;
struct cw_denials;
struct cw_loop;
struct cw_map;
struct cw_pool;
struct cw_request;
struct cw_route_limit;

struct cw_gate {
	struct cw_auth *auth;
	struct cw_denials *denials;
	struct cw_map *running; /* user id -> requests under way */
	struct cw_rate key, user, address, ingest, failed;
	int64_t concurrency;
	const struct cw_route_limit *routes; /* of the live settings */
	int nroutes;
	bool required; /* false: everybody is admin (http.auth = false) */
};

void cw_gate_configure(struct cw_gate *gate, const struct cw_config *config);
void cw_gate_open(struct cw_gate *gate, struct cw_loop *loop, struct cw_pool *pool, struct cw_auth *auth);
/* After the server, before the pool. */
void cw_gate_close(struct cw_gate *gate);
/* As cw_gate_fn of http/server.h. */
bool cw_gate_pass(void *arg, struct cw_request *req);

#endif
