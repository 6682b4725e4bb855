/* bind_http.c - tables `http` and `crypto`: what scripts send out, and how they sign it.
 *
 *   http.request { method=, url=, headers={ Name = value }, body=, timeout_ms=, max_bytes=, allow_private= }
 *       -> { status=, body=, content_type=, retry_after=, took_ms= } | nil, err
 *   http.requests { request, ... } -> list of answers, { error = err } where one failed; all at the same time
 *   http.mail { url=, user=, password=, from=, to={}, subject=, text=, timeout_ms= } -> true | nil, err
 *   http.sender() -> sender; http.begin(sender, tag, request); http.begin_mail(sender, tag, message): side by side
 *   http.finished(sender, seconds) -> list of { tag=, status=, ... } or { tag=, error= }: what is done meanwhile
 *   crypto.hmac_sha256(key, text) -> 32 bytes; crypto.sha256(text); crypto.base64(bytes); crypto.unbase64(text) | nil
 *
 * request, requests, mail and finished wait. Private, loopback and link-local addresses are refused unless allow_private
 * is true; redirects
 * are not followed (http/client.h). */
#include <lauxlib.h>
#include <lua.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/mail.h"
#include "loop/loop.h"
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
static void read_request(lua_State *L, int table, struct cw_arena *arena, struct cw_httpc_request *request, bool *private)
{
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
	*private = lua_toboolean(L, -1);
	lua_getfield(L, table, "cut");
	request->cut = lua_toboolean(L, -1);
	lua_pop(L, 2);
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

	read_request(L, 1, cw_job_arena(b->job), &b->list[0].request, &b->list[0].private);
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
		read_request(L, lua_gettop(L), cw_job_arena(b->job), &b->list[i].request, &b->list[i].private);
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

/* The message at `table`; `to` has room for CW_MAIL_TO_MAX + 1: one too many is refused, not left out. */
static void read_mail(lua_State *L, int table, struct cw_mail_message *m, const char **to)
{
	*m = (struct cw_mail_message){ .timeout_ms = number_field(L, table, "timeout_ms", 30000, 1, 600000) };
	m->url = text_field(L, table, "url", NULL);
	m->user = text_field(L, table, "user", NULL);
	m->password = text_field(L, table, "password", NULL);
	m->from = text_field(L, table, "from", NULL);
	m->subject = text_field(L, table, "subject", NULL);
	m->text = text_field(L, table, "text", NULL);
	lua_getfield(L, table, "to");
	luaL_checktype(L, -1, LUA_TTABLE);
	for (m->nto = 0; m->nto <= CW_MAIL_TO_MAX; m->nto++) {
		lua_rawgeti(L, -1, m->nto + 1);
		if (lua_isnil(L, -1))
			break;
		to[m->nto] = luaL_checkstring(L, -1);
		lua_pop(L, 1);
	}
	m->to = to;
}

static int l_mail(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct batch *b = batch_new(L, 1, true);
	struct cw_mail_message m;
	const char *to[CW_MAIL_TO_MAX + 1];

	read_mail(L, 1, &m, to);
	b->mail = cw_mail_send(env->mail, &m, on_mail, b, &b->list[0].err);
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

/* --- a sender: many under way, each told when it is done --- */

#define SENDER_MAX 1024              /* under way and not yet collected */
#define TAG_MAX 256

struct sent {
	struct cw_list link;
	struct sender *sender;
	struct cw_httpc_call *call;
	struct cw_mail *mail;
	struct cw_err err;
	int status;
	struct cw_buf body;
	int64_t retry_after_ms, took_us;
	char tag[TAG_MAX];
};

/* A userdata: what it has sent ends with it. */
struct sender {
	struct cw_list under_way, finished;
	int count, busy;
	struct cw_job *job;              /* that waits; NULL: none */
	uint64_t ticket;
	struct cw_timer *timer;
};

static void wake(void *arg)
{
	struct sender *s = arg;
	struct cw_job *job = s->job;

	cw_timer_clear(s->timer);
	s->job = NULL;
	if (job != NULL)
		cw_job_resume(job, s->ticket);
}

static void sent_done(struct sent *m)
{
	cw_list_remove(&m->link);
	cw_list_append(&m->sender->finished, &m->link);
	m->sender->busy--;
	wake(m->sender);
}

static void on_sent(void *arg, const struct cw_httpc_answer *answer, const struct cw_err *err)
{
	struct sent *m = arg;

	m->call = NULL;
	if (err != NULL) {
		m->err = *err;
	} else {
		m->status = answer->status;
		cw_buf_add(&m->body, answer->body, answer->len);
		m->retry_after_ms = answer->retry_after_ms;
		m->took_us = answer->took_us;
	}
	sent_done(m);
}

static void on_mail_sent(void *arg, const struct cw_err *err)
{
	struct sent *m = arg;

	m->mail = NULL;
	if (err != NULL)
		m->err = *err;
	sent_done(m);
}

static void sent_free(struct sent *m)
{
	cw_list_remove(&m->link);
	m->sender->count--;
	if (m->call != NULL)
		cw_httpc_cancel(&m->call);
	if (m->mail != NULL)
		cw_mail_forget(&m->mail);
	cw_buf_release(&m->body);
	cw_free(m);
}

static const char sender_type[] = "chainwatch.sender";

static struct sender *check_sender(lua_State *L)
{
	return luaL_checkudata(L, 1, sender_type);
}

static int l_sender_gc(lua_State *L)
{
	struct sender *s = check_sender(L);

	while (!cw_list_empty(&s->under_way))
		sent_free(cw_list_entry(s->under_way.next, struct sent, link));
	while (!cw_list_empty(&s->finished))
		sent_free(cw_list_entry(s->finished.next, struct sent, link));
	cw_timer_free(&s->timer);
	return 0;
}

static int l_sender(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct sender *s = lua_newuserdata(L, sizeof(*s));

	(void)job;
	*s = (struct sender){ .count = 0 };
	cw_list_init(&s->under_way);
	cw_list_init(&s->finished);
	s->timer = cw_timer_new(cw_bind_generation(L)->env->loop, wake, s);
	if (luaL_newmetatable(L, sender_type) != 0) {
		lua_pushcfunction(L, l_sender_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
	lua_setmetatable(L, -2);
	return 1;
}

static struct sent *sent_new(lua_State *L, struct sender *s)
{
	size_t len;
	const char *tag = luaL_checklstring(L, 2, &len);
	struct sent *m;

	if (len >= TAG_MAX)
		luaL_error(L, "http: a tag may have %d bytes", TAG_MAX - 1);
	if (s->count == SENDER_MAX)
		luaL_error(L, "http: a sender may have %d messages under way", SENDER_MAX);
	m = cw_zalloc(sizeof(*m));
	m->sender = s;
	m->retry_after_ms = -1;
	cw_buf_init(&m->body);
	memcpy(m->tag, tag, len + 1);
	cw_list_init(&m->link);
	cw_list_append(&s->under_way, &m->link);
	s->count++;
	s->busy++;
	return m;
}

/* begin(sender, tag, request): does not wait. */
static int l_begin(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_job *job = cw_job_check_wait(L);
	struct sender *s = check_sender(L);
	struct cw_httpc_request request = { .method = NULL };
	bool private;
	struct sent *m;

	luaL_checktype(L, 3, LUA_TTABLE);
	read_request(L, 3, cw_job_arena(job), &request, &private);
	m = sent_new(L, s);
	m->call = cw_httpc_start(private ? env->http_any : env->http_public, &request, on_sent, m, &m->err);
	if (m->call == NULL)
		sent_done(m);
	return 0;
}

/* begin_mail(sender, tag, message): does not wait. */
static int l_begin_mail(lua_State *L)
{
	struct sender *s = check_sender(L);
	struct cw_mail_message message;
	const char *to[CW_MAIL_TO_MAX + 1];
	struct sent *m;

	luaL_checktype(L, 3, LUA_TTABLE);
	read_mail(L, 3, &message, to);
	m = sent_new(L, s);
	m->mail = cw_mail_send(cw_bind_generation(L)->env->mail, &message, on_mail_sent, m, &m->err);
	if (m->mail == NULL)
		sent_done(m);
	return 0;
}

static int push_finished(lua_State *L, struct sender *s)
{
	int n = 0;

	lua_newtable(L);
	while (!cw_list_empty(&s->finished)) {
		struct sent *m = cw_list_entry(s->finished.next, struct sent, link);

		if (m->err.code == CW_OK) {
			const struct one o = { .status = m->status, .body = m->body.data, .len = m->body.len, .content_type = "",
			                       .retry_after_ms = m->retry_after_ms, .took_us = m->took_us };

			push_answer(L, &o);
		} else {
			lua_newtable(L);
			cw_bind_push_error(L, &m->err, NULL);
			lua_setfield(L, -2, "error");
		}
		lua_pushstring(L, m->tag);
		lua_setfield(L, -2, "tag");
		lua_rawseti(L, -2, ++n);
		sent_free(m);
	}
	return 1;
}

static void wait_cancel(void *arg)
{
	struct sender *s = arg;

	cw_timer_clear(s->timer);
	s->job = NULL;
}

/* wait(sender, seconds): what is done, or nothing when the time is over. Waits. */
static int l_wait(lua_State *L)
{
	struct sender *s = check_sender(L);
	double seconds = luaL_checknumber(L, 2);
	struct cw_job *job = cw_job_check_wait(L);

	if (!(seconds >= 0 && seconds <= 3600))
		return luaL_error(L, "http.finished takes 0 to 3600 seconds");
	if (!cw_list_empty(&s->finished) || s->busy == 0) {
		lua_pushboolean(L, 1);
		return 1 + push_finished(L, s);
	}
	s->job = job;
	s->ticket = cw_job_ticket(job);
	cw_timer_set_us(s->timer, (int64_t)(seconds * 1e6));
	return cw_job_wait(job, wait_cancel, s);
}

static int l_waited(lua_State *L)
{
	return push_finished(L, cw_job_answer(L));
}

void cw_bind_http(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "request", l_request }, { "requests", l_requests }, { "collect", l_collect },
		{ "mail", l_mail }, { "mailed", l_mailed }, { "sender", l_sender }, { "begin", l_begin },
		{ "begin_mail", l_begin_mail }, { "wait", l_wait }, { "waited", l_waited }, { NULL, NULL },
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
