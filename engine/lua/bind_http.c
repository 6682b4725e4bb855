/* bind_http.c - tables `http` and `crypto`: what scripts send out, and how they sign it.
 *
 *   http.request { method=, url=, headers={ Name = value }, body=, timeout_ms=, max_bytes=, allow_private= }
 *       -> { status=, body=, content_type=, retry_after=, took_ms= } | nil, err
 *   http.requests { request, ... } -> list of answers, { error = err } where one failed; all at the same time
 *   http.mail { url=, user=, password=, from=, to={}, subject=, text=, timeout_ms= } -> true | nil, err
 *   crypto.hmac_sha256(key, text) -> 32 bytes; crypto.sha256(text); crypto.base64(bytes); crypto.unbase64(text) | nil
 *
 * The first three wait. Private, loopback and link-local addresses are refused unless allow_private is true; redirects
 * are not followed (http/client.h). */
#include <lauxlib.h>
#include <lua.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "http/client.h"
#include "http/mail.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/scripts.h"

#define REQUESTS_MAX 64
#define HEADERS_MAX 32

struct one {
	struct batch *batch;
	struct cw_httpc_request request;      /* texts live in the script's table, which is on the stack */
	bool private;
	struct cw_httpc_call *call;
	struct cw_err err;
	int status;
	char *body, *content_type;
	size_t len;
	int64_t retry_after_ms, took_us;
};

struct batch {
	struct cw_job *job;
	uint64_t ticket;
	int n, left;
	bool single;
	struct one *list;
	struct cw_mail *mail;
};

static void on_answer(void *arg, const struct cw_httpc_answer *answer, const struct cw_err *err)
{
	struct one *o = arg;
	struct batch *b = o->batch;

	o->call = NULL;
	if (err != NULL) {
		o->err = *err;
	} else {
		struct cw_arena *arena = cw_job_arena(b->job);

		o->status = answer->status;
		o->body = cw_arena_strndup(arena, answer->body, answer->len);
		o->len = answer->len;
		o->content_type = cw_arena_strndup(arena, answer->content_type, strlen(answer->content_type));
		o->retry_after_ms = answer->retry_after_ms;
		o->took_us = answer->took_us;
	}
	if (--b->left == 0)
		cw_job_resume(b->job, b->ticket);
}

static void cancel(void *arg)
{
	struct batch *b = arg;

	for (int i = 0; i < b->n; i++)
		if (b->list[i].call != NULL)
			cw_httpc_cancel(&b->list[i].call);
}

static int64_t number_field(lua_State *L, int table, const char *key, int64_t def, int64_t min, int64_t max)
{
	int64_t n = def;

	lua_getfield(L, table, key);
	if (!lua_isnil(L, -1)) {
		if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= (double)min && lua_tonumber(L, -1) <= (double)max))
			luaL_error(L, "http: \"%s\" must be a number from %d to %d", key, (int)min, (int)max);
		n = (int64_t)lua_tonumber(L, -1);
	}
	lua_pop(L, 1);
	return n;
}

/* The text stays alive in the table. */
static const char *text_field(lua_State *L, int table, const char *key, size_t *len)
{
	const char *text;

	lua_getfield(L, table, key);
	if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "http: \"%s\" must be text", key);
	text = lua_tolstring(L, -1, len);
	lua_pop(L, 1);
	return text;
}

static int read_headers(lua_State *L, int table, struct cw_arena *arena, const char **headers)
{
	int n = 0;

	lua_getfield(L, table, "headers");
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return 0;
	}
	luaL_checktype(L, -1, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		char *line;
		size_t size;

		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING || n == HEADERS_MAX)
			luaL_error(L, "http: \"headers\" must be a table of up to %d texts", HEADERS_MAX);
		size = lua_objlen(L, -2) + lua_objlen(L, -1) + 3;
		line = cw_arena_alloc(arena, size);
		snprintf(line, size, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
		headers[n++] = line;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return n;
}

/* The request table is at `table`. Raises, so before anything is sent. */
static void read_request(lua_State *L, int table, struct one *o)
{
	struct cw_arena *arena = cw_job_arena(o->batch->job);
	struct cw_httpc_request *request = &o->request;
	const char **headers = cw_arena_alloc(arena, HEADERS_MAX * sizeof(*headers));

	luaL_checktype(L, table, LUA_TTABLE);
	request->headers = headers;
	request->method = text_field(L, table, "method", NULL);
	request->url = text_field(L, table, "url", NULL);
	request->body = text_field(L, table, "body", &request->len);
	request->deadline_ms = number_field(L, table, "timeout_ms", 10000, 1, 600000);
	request->max_bytes = (size_t)number_field(L, table, "max_bytes", 1 << 20, 1, 64 << 20);
	request->nheaders = read_headers(L, table, arena, headers);
	lua_getfield(L, table, "allow_private");
	o->private = lua_toboolean(L, -1);
	lua_pop(L, 1);
	if (request->url == NULL)
		luaL_error(L, "http: \"url\" is missing");
}

/* A URL that makes no sense is this request's error, not the script's. */
static void send_request(const struct cw_script_env *env, struct one *o)
{
	o->call = cw_httpc_start(o->private ? env->http_any : env->http_public, &o->request, on_answer, o, &o->err);
	if (o->call != NULL)
		o->batch->left++;
}

static struct batch *batch_new(lua_State *L, int n, bool single)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct batch *b = cw_arena_zalloc(cw_job_arena(job), sizeof(*b));

	b->job = job;
	b->n = n;
	b->single = single;
	b->ticket = cw_job_ticket(job);
	b->list = cw_arena_zalloc(cw_job_arena(job), (size_t)n * sizeof(*b->list));
	for (int i = 0; i < n; i++)
		b->list[i].batch = b;
	return b;
}

static void push_answer(lua_State *L, const struct one *o)
{
	lua_newtable(L);
	lua_pushinteger(L, o->status);
	lua_setfield(L, -2, "status");
	lua_pushlstring(L, o->body, o->len);
	lua_setfield(L, -2, "body");
	lua_pushstring(L, o->content_type);
	lua_setfield(L, -2, "content_type");
	lua_pushnumber(L, (double)o->took_us / 1e3);
	lua_setfield(L, -2, "took_ms");
	if (o->retry_after_ms >= 0) {
		lua_pushnumber(L, (double)o->retry_after_ms / 1e3);
		lua_setfield(L, -2, "retry_after");
	}
}

static int push_batch(lua_State *L, const struct batch *b)
{
	if (b->single) {
		if (b->list[0].err.code == CW_OK) {
			push_answer(L, &b->list[0]);
			return 1;
		}
		lua_pushnil(L);
		cw_bind_push_error(L, &b->list[0].err, NULL);
		return 2;
	}
	lua_createtable(L, b->n, 0);
	for (int i = 0; i < b->n; i++) {
		if (b->list[i].err.code == CW_OK) {
			push_answer(L, &b->list[i]);
		} else {
			lua_newtable(L);
			cw_bind_push_error(L, &b->list[i].err, NULL);
			lua_setfield(L, -2, "error");
		}
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

/* What is known at once comes as true, results: see boot.lua. */
static int send_all(lua_State *L, struct batch *b)
{
	for (int i = 0; i < b->n; i++)
		send_request(cw_bind_generation(L)->env, &b->list[i]);
	if (b->left > 0)
		return cw_job_wait(b->job, cancel, b);
	lua_pushboolean(L, 1);
	return 1 + push_batch(L, b);
}

static int l_request(lua_State *L)
{
	struct batch *b = batch_new(L, 1, true);

	read_request(L, 1, &b->list[0]);
	return send_all(L, b);
}

static int l_requests(lua_State *L)
{
	struct batch *b;

	luaL_checktype(L, 1, LUA_TTABLE);
	if (lua_objlen(L, 1) > REQUESTS_MAX)
		return luaL_error(L, "http.requests takes at most %d", REQUESTS_MAX);
	b = batch_new(L, (int)lua_objlen(L, 1), false);
	for (int i = 0; i < b->n; i++) {
		lua_rawgeti(L, 1, i + 1);
		read_request(L, lua_gettop(L), &b->list[i]);
		lua_pop(L, 1);
	}
	return send_all(L, b);
}

static int l_collect(lua_State *L)
{
	return push_batch(L, cw_job_answer(L));
}

/* --- mail --- */

static void on_mail(void *arg, const struct cw_err *err)
{
	struct batch *b = arg;

	b->mail = NULL;
	if (err != NULL)
		b->list[0].err = *err;
	cw_job_resume(b->job, b->ticket);
}

static void cancel_mail(void *arg)
{
	struct batch *b = arg;

	cw_mail_forget(&b->mail);
}

static int l_mail(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct batch *b = batch_new(L, 1, true);
	struct cw_mail_message m = { .timeout_ms = number_field(L, 1, "timeout_ms", 30000, 1, 600000) };
	const char *to[CW_MAIL_TO_MAX + 1];   /* one too many is refused, not left out */

	m.url = text_field(L, 1, "url", NULL);
	m.user = text_field(L, 1, "user", NULL);
	m.password = text_field(L, 1, "password", NULL);
	m.from = text_field(L, 1, "from", NULL);
	m.subject = text_field(L, 1, "subject", NULL);
	m.text = text_field(L, 1, "text", NULL);
	lua_getfield(L, 1, "to");
	luaL_checktype(L, -1, LUA_TTABLE);
	for (m.nto = 0; m.nto <= CW_MAIL_TO_MAX; m.nto++) {
		lua_rawgeti(L, -1, m.nto + 1);
		if (lua_isnil(L, -1))
			break;
		to[m.nto] = luaL_checkstring(L, -1);
		lua_pop(L, 1);
	}
	m.to = to;
	b->mail = cw_mail_send(env->work, &m, on_mail, b, &b->list[0].err);
	if (b->mail != NULL)
		return cw_job_wait(b->job, cancel_mail, b);
	lua_pushboolean(L, 1);
	lua_pushnil(L);
	cw_bind_push_error(L, &b->list[0].err, NULL);
	return 3;
}

static int l_mailed(lua_State *L)
{
	struct batch *b = cw_job_answer(L);

	if (b->list[0].err.code == CW_OK) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushnil(L);
	cw_bind_push_error(L, &b->list[0].err, NULL);
	return 2;
}

void cw_bind_http(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "request", l_request }, { "requests", l_requests }, { "collect", l_collect },
		{ "mail", l_mail }, { "mailed", l_mailed }, { NULL, NULL },
	};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}

/* --- crypto --- */

static int l_hmac_sha256(lua_State *L)
{
	unsigned char out[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state state;
	size_t key_len, len;
	const char *key = luaL_checklstring(L, 1, &key_len), *text = luaL_checklstring(L, 2, &len);

	crypto_auth_hmacsha256_init(&state, (const unsigned char *)key, key_len);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, len);
	crypto_auth_hmacsha256_final(&state, out);
	lua_pushlstring(L, (const char *)out, sizeof(out));
	return 1;
}

static int l_sha256(lua_State *L)
{
	unsigned char out[crypto_hash_sha256_BYTES];
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	crypto_hash_sha256(out, (const unsigned char *)text, len);
	lua_pushlstring(L, (const char *)out, sizeof(out));
	return 1;
}

static int l_base64(lua_State *L)
{
	size_t len, size;
	const char *bytes = luaL_checklstring(L, 1, &len);
	char *out;

	if (len > 1 << 20)
		return luaL_error(L, "crypto.base64 takes at most 1 MiB");
	size = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
	out = lua_newuserdata(L, size);
	sodium_bin2base64(out, size, (const unsigned char *)bytes, len, sodium_base64_VARIANT_ORIGINAL);
	lua_pushstring(L, out);
	return 1;
}

/* nil if it is none. */
static int l_unbase64(lua_State *L)
{
	size_t len, got;
	const char *text = luaL_checklstring(L, 1, &len);
	unsigned char *out = lua_newuserdata(L, len + 1);

	if (sodium_base642bin(out, len + 1, text, len, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return 0;
	lua_pushlstring(L, (const char *)out, got);
	return 1;
}

void cw_bind_crypto(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "hmac_sha256", l_hmac_sha256 }, { "sha256", l_sha256 }, { "base64", l_base64 }, { "unbase64", l_unbase64 },
		{ NULL, NULL },
	};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}
