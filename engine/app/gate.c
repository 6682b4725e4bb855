#include "app/gate.h"

#include <string.h>
#include <strings.h>

#include "auth/keys.h"
#include "auth/role.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/router.h"

static bool refuse(struct cw_request *req, int status, const char *code, const char *detail)
{
	struct cw_problem problem = { .status = status, .code = code, .detail = detail };

	if (status == 401)
		cw_reply_header(req, "WWW-Authenticate", "Bearer realm=\"chainwatch\"");
	cw_reply_problem(req, &problem);
	return false;
}

/* The token of either header; false when the request is contradictory or malformed. */
static bool find_token(const struct cw_request *req, struct cw_slice *token)
{
	struct cw_slice bearer = cw_request_header(req, "Authorization"), key = cw_request_header(req, "X-API-Key");

	*token = key;
	if (bearer.len == 0)
		return true;
	if (bearer.len < 8 || strncasecmp(bearer.p, "Bearer ", 7) != 0)
		return false;
	token->p = bearer.p + 7;
	token->len = bearer.len - 7;
	return key.len == 0 || (key.len == token->len && memcmp(key.p, token->p, key.len) == 0);
}

bool cw_gate_pass(void *arg, struct cw_request *req)
{
	const struct cw_gate *gate = arg;
	struct cw_identity who = { 0 };
	struct cw_slice token;

	if (req->route == NULL || req->route->roles == 0)
		return true;
	if (!gate->required) {
		req->roles = cw_roles_expand(CW_ROLE_ADMIN);
		return true;
	}
	if (!find_token(req, &token))
		return refuse(req, 401, "unauthorized", "the Authorization header must be \"Bearer\" and an API key, and agree "
		                                        "with X-API-Key if both are there");
	if (token.len == 0)
		return refuse(req, 401, "unauthorized", "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY");
	if (!cw_keys_check(gate->keys, token.p, token.len, &who))
		return refuse(req, 401, "unauthorized", "this API key is not known");
	req->user_id = who.user_id;
	req->key_id = who.key_id;
	req->roles = who.roles;
	if ((who.roles & req->route->roles) == 0)
		return refuse(req, 403, "forbidden", "this API key may not call this route");
	return true;
}
