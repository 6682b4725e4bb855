/* audit.h - who does something, and from where, as the audit log keeps it. */
#ifndef CW_AUTH_AUDIT_H
#define CW_AUTH_AUDIT_H

#include <stdint.h>

struct cw_request;

struct cw_audit_actor {
	int64_t user_id, key_id;      /* 0: nobody, or no key */
	char ip[64];                  /* "": no address (a unix socket) */
	char agent[256];              /* User-Agent, cut off; "": none, or no text */
	char request_id[65];
};

/* Who makes this request, as far as the gate has found out. */
void cw_audit_actor_of(const struct cw_request *req, struct cw_audit_actor *out);

#endif
