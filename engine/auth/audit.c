#include "auth/audit.h"

#include <string.h>

#include "base/utf8.h"
#include "http/request.h"

void cw_audit_actor_of(const struct cw_request *req, struct cw_audit_actor *out)
{
	struct cw_slice agent = cw_request_header(req, "User-Agent");
	size_t len = strcspn(req->remote, "%");      /* a link-local address names its interface, which is no address */

	memset(out, 0, sizeof(*out));
	out->user_id = req->user_id;
	out->key_id = req->key_id;
	if (strpbrk(req->remote, ".:") != NULL && len < sizeof(out->ip))
		memcpy(out->ip, req->remote, len);
	if (agent.len > 0 && cw_utf8_check(agent.p, agent.len) == agent.len)
		memcpy(out->agent, agent.p, cw_utf8_truncate(agent.p, agent.len, sizeof(out->agent) - 1));
	memcpy(out->request_id, req->id, sizeof(out->request_id));
}
