/* gate.h - who may call which route: looks at the key of a request and at the roles of its route. */
#ifndef CW_APP_GATE_H
#define CW_APP_GATE_H

#include <stdbool.h>

struct cw_keys;
struct cw_request;

struct cw_gate {
	const struct cw_keys *keys;
	bool required;               /* false: everybody is admin (http.auth = false) */
};

/* As cw_gate_fn of http/server.h. Takes `Authorization: Bearer` and `X-API-Key`; two different ones are refused. */
bool cw_gate_pass(void *arg, struct cw_request *req);

#endif
