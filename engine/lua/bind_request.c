/* bind_request.c - the request as a handler sees it: fields read when they are asked for.
 *
 *   req.method req.path req.id req.remote req.body    text
 *   req.address req.agent  as the audit log keeps them, or nil
 *   req.user      {id=, key_id= or session_id=, roles={...}} or nil
 *   req.json      the body as a value; a body that is not JSON raises the problem document
 *   req:header(name) -> text | nil
 *   raw query and path parameters for boot.lua, which checks them against the endpoint's contract */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "auth/audit.h"
#include "auth/role.h"
#include "base/err.h"
#include "http/request.h"
#include "lua/bind.h"
#include "lua/job.h"

static struct cw_request *request_of(lua_State *L)
{
	struct cw_job *job = cw_job_current(L);
	struct cw_request *req = job != NULL ? cw_job_request(job) : NULL;

	if (req == NULL)
		luaL_error(L, "there is no request here");
	return req;
}

static const char *method_name(enum cw_method method)
{
	switch (method) {
	case CW_METHOD_GET: return "GET";
	case CW_METHOD_HEAD: return "HEAD";
	case CW_METHOD_POST: return "POST";
	case CW_METHOD_PUT: return "PUT";
	case CW_METHOD_PATCH: return "PATCH";
	case CW_METHOD_DELETE: return "DELETE";
	case CW_METHOD_OPTIONS: return "OPTIONS";
	}
	return "";
}

static void push_user(lua_State *L, const struct cw_request *req)
{
	int n = 0;

	if (req->user_id == 0 && req->roles == 0) {
		lua_pushnil(L);
		return;
	}
	lua_createtable(L, 0, 4);
	lua_pushnumber(L, (lua_Number)req->user_id);
	lua_setfield(L, -2, "id");
	if (req->key_id != 0) {
		lua_pushnumber(L, (lua_Number)req->key_id);
		lua_setfield(L, -2, "key_id");
	}
	if (req->session_id != 0) {
		lua_pushnumber(L, (lua_Number)req->session_id);
		lua_setfield(L, -2, "session_id");
	}
	lua_newtable(L);
	for (uint32_t role = 1; role <= CW_ROLE_SERVICE; role <<= 1) {
		if ((req->roles & role) == 0)
			continue;
		lua_pushstring(L, cw_role_name(role));
		lua_rawseti(L, -2, ++n);
	}
	lua_setfield(L, -2, "roles");
}

static void push_origin(lua_State *L, const struct cw_request *req, bool address)
{
	struct cw_audit_actor actor;
	const char *text = address ? actor.ip : actor.agent;

	cw_audit_actor_of(req, &actor);
	if (text[0] != '\0')
		lua_pushstring(L, text);
	else
		lua_pushnil(L);
}

static int l_header(lua_State *L)
{
	struct cw_request *req = request_of(L);
	struct cw_slice value = cw_request_header(req, luaL_checkstring(L, 2));

	if (value.p == NULL)
		return 0;
	lua_pushlstring(L, value.p, value.len);
	return 1;
}

/* __index of every request object; upvalue 1 is l_header. */
static int l_index(lua_State *L)
{
	struct cw_request *req = request_of(L);
	const char *key = luaL_checkstring(L, 2);

	if (strcmp(key, "body") == 0)
		lua_pushlstring(L, req->body != NULL ? req->body : "", req->body_len);
	else if (strcmp(key, "method") == 0)
		lua_pushstring(L, method_name(req->head->method));
	else if (strcmp(key, "path") == 0)
		lua_pushstring(L, req->path);
	else if (strcmp(key, "id") == 0)
		lua_pushstring(L, req->id);
	else if (strcmp(key, "remote") == 0)
		lua_pushstring(L, req->remote);
	else if (strcmp(key, "address") == 0 || strcmp(key, "agent") == 0)
		push_origin(L, req, key[1] == 'd');
	else if (strcmp(key, "user") == 0)
		push_user(L, req);
	else if (strcmp(key, "header") == 0)
		lua_pushvalue(L, lua_upvalueindex(1));
	else
		lua_pushnil(L);
	return 1;
}

/* raw() -> {name = text}, or nil, message: query and path parameters together; a path parameter wins. A query parameter
 * that comes twice is an error: which one is meant cannot be known. */
static int l_raw(lua_State *L)
{
	struct cw_request *req = request_of(L);
	const struct cw_param *params;
	struct cw_err err;
	int n = cw_request_query(req, &params, &err);

	if (n < 0) {
		lua_pushnil(L);
		lua_pushstring(L, err.msg);
		return 2;
	}
	lua_newtable(L);
	for (int i = 0; i < n; i++) {
		lua_getfield(L, -1, params[i].name);
		if (!lua_isnil(L, -1)) {
			lua_pushnil(L);
			lua_pushfstring(L, "query parameter \"%s\" is given twice", params[i].name);
			return 2;
		}
		lua_pop(L, 1);
		lua_pushlstring(L, params[i].value, params[i].len);
		lua_setfield(L, -2, params[i].name);
	}
	for (unsigned i = 0; i < req->npath_params; i++) {
		lua_pushlstring(L, req->path_params[i].value, req->path_params[i].len);
		lua_setfield(L, -2, req->path_params[i].name);
	}
	return 1;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
	if (text[0] == '\0')
		return;
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

/* actor() -> who and from where, as columns of the audit log; nothing outside of a request. */
static int l_actor(lua_State *L)
{
	struct cw_job *job = cw_job_current(L);
	const struct cw_request *req = job != NULL ? cw_job_request(job) : NULL;
	struct cw_audit_actor actor;

	if (req == NULL)
		return 0;
	cw_audit_actor_of(req, &actor);
	lua_createtable(L, 0, 5);
	if (actor.user_id != 0) {
		lua_pushnumber(L, (lua_Number)actor.user_id);
		lua_setfield(L, -2, "user_id");
	}
	if (actor.key_id != 0) {
		lua_pushnumber(L, (lua_Number)actor.key_id);
		lua_setfield(L, -2, "api_key_id");
	}
	set_text(L, "ip_address", actor.ip);
	set_text(L, "user_agent", actor.agent);
	set_text(L, "request_id", actor.request_id);
	return 1;
}

void cw_bind_request(lua_State *L)
{
	lua_newtable(L);
	lua_pushcfunction(L, l_raw);
	lua_setfield(L, -2, "raw");
	lua_pushcfunction(L, l_actor);
	lua_setfield(L, -2, "actor");
	lua_pushcfunction(L, l_header);
	lua_pushcclosure(L, l_index, 1);
	lua_setfield(L, -2, "index");
}
