/* bind_identity.c - table `auth`: what endpoints need to let people in; hashes of passwords never reach Lua.
 *
 *   auth.login(email, password, past)    -> user | nil, err     waits; user.rehash: a better hash, to be stored
 *   auth.verify(user_id, password, past) -> the same for a user that is known; past: a row of login_failures, or nil
 *   auth.account(email or user_id)   -> hashed_name of login_failures
 *   auth.hash(password)              -> hash | nil, err     waits
 *   auth.refresh()                   -> true | nil, err     waits: what is committed by now decides who may enter
 *   auth.fault(password, email)      -> what is wrong with a new password, or nil
 *   auth.issue(user_id, session_id, token_epoch) -> access token, seconds
 *   auth.claims(token)               -> {user_id=, session_id=, jti=, expires_at=} of a good access token, or nil
 *   auth.new_key()                   -> key, its prefix, its digest
 *   auth.new_token(prefix)           -> token, its digest
 *   auth.digest(text)                -> "0x..." SHA-256
 *   auth.allow()                     -> true | nil, err     one from the address's bucket for logins
 *   auth.settings()                  -> {registration=, session_s=, forget_s=}, as they are now
 *
 * A wrong password, an unknown address and an account that is switched off are one error, take the same work, and are
 * answered on the same quarter of a second. Failures are counted by account (auth/attempts.h). */
#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/keys.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "http/request.h"
#include "loop/loop.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "pg/result.h"
#include "store/ops.h"

#define GRID_MS        250 /* a refusal comes at a multiple of it, whatever was done for it */
#define NAME_MAX_BYTES 320

struct login {
	struct cw_job *job;
	const struct cw_script_env *env;
	uint64_t ticket;
	struct cw_call *call;
	struct cw_password_job *hashing;
	struct cw_timer *timer;
	char name[NAME_MAX_BYTES]; /* what attempts are counted by; "": nothing has begun */
	char *password;            /* in the job's arena; wiped */
	size_t password_len;
	int64_t start_us;
	struct cw_buf user;
	char rehash[CW_PASSWORD_HASH];
	bool hash_only, waits; /* waits: for the directory */
	bool refused;
	int64_t retry_ms;
	struct cw_err err;
};

static struct cw_auth *auth_of(lua_State *L)
{
	struct cw_auth *auth = cw_bind_generation(L)->env->auth;

	if (auth == NULL)
		luaL_error(L, "there is no auth here");
	return auth;
}

static void login_release(void *arg)
{
	struct login *w = arg;

	if (w->password != NULL)
		sodium_memzero(w->password, w->password_len);
	sodium_memzero(w->rehash, sizeof(w->rehash));
	cw_buf_release(&w->user);
	cw_timer_free(&w->timer);
}

static void login_cancel(void *arg)
{
	struct login *w = arg;

	cw_repo_cancel(&w->call);
	if (w->hashing != NULL)
		cw_password_cancel(w->hashing);
	w->hashing = NULL;
	cw_timer_free(&w->timer);
	if (w->waits)
		cw_directory_forget(w->env->auth->directory, w);
	if (w->name[0] != '\0')
		cw_attempts_dropped(w->env->auth->attempts, w->name, strlen(w->name));
	w->name[0] = '\0';
}

static struct login *login_new(lua_State *L, struct cw_job *job)
{
	struct cw_arena *arena = cw_job_arena(job);
	struct login *w = cw_arena_zalloc(arena, sizeof(*w));

	w->job = job;
	w->env = cw_bind_generation(L)->env;
	w->ticket = cw_job_ticket(job);
	w->start_us = cw_clock_mono_us();
	cw_buf_init(&w->user);
	cw_arena_cleanup(arena, login_release, w);
	return w;
}

static void resume(void *arg)
{
	struct login *w = arg;

	cw_job_resume(w->job, w->ticket);
}

static void resume_on_grid(struct login *w)
{
	int64_t past_ms = (cw_clock_mono_us() - w->start_us) / 1000;

	w->timer = cw_timer_new(w->env->loop, resume, w);
	cw_timer_set(w->timer, GRID_MS - past_ms % GRID_MS);
}

static void give_up(struct login *w, const struct cw_err *err)
{
	w->err = *err;
	cw_attempts_dropped(w->env->auth->attempts, w->name, strlen(w->name));
	w->name[0] = '\0';
	cw_job_resume(w->job, w->ticket);
}

static void on_verified(void *arg, const struct cw_password_result *result)
{
	struct login *w = arg;
	struct cw_attempts *attempts = w->env->auth->attempts;
	struct cw_err busy;

	w->hashing = NULL;
	if (result->unknown) {
		cw_err_set(&busy, CW_ERR_BUSY, "there is no memory to check a password, try again later");
		give_up(w, &busy);
		return;
	}
	w->refused = !result->good;
	if (w->refused)
		w->retry_ms = cw_attempts_failed(attempts, w->name, strlen(w->name), cw_clock_mono_us());
	else
		cw_attempts_passed(attempts, w->name, strlen(w->name));
	w->name[0] = '\0';
	memcpy(w->rehash, result->hash, sizeof(w->rehash));
	if (w->refused)
		resume_on_grid(w);
	else
		cw_job_resume(w->job, w->ticket);
}

static void on_user(void *arg, const struct cw_rows *rows, const struct cw_err *err)
{
	struct login *w = arg;
	const char *hash = NULL;
	struct cw_err busy;

	w->call = NULL;
	if (err != NULL) {
		give_up(w, err);
		return;
	}
	if (rows->count > 0 && cw_result_bool(rows->res, 0, cw_rows_column(rows, "is_active"))) {
		int at = cw_rows_column(rows, "hashed_password");

		cw_rows_put_json(rows, 0, &w->user);
		hash = cw_result_is_null(rows->res, 0, at) ? NULL : cw_result_text(rows->res, 0, at, NULL);
	}
	w->hashing = cw_password_verify(w->env->auth->passwords, w->password, w->password_len, hash, on_verified, w, &busy);
	sodium_memzero(w->password, w->password_len);
	w->password_len = 0;
	if (w->hashing == NULL)
		give_up(w, &busy);
}

static void push_refusal(lua_State *L, int status, const char *code, const char *message, int64_t retry_ms)
{
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, status);
	lua_setfield(L, -2, "status");
	lua_pushstring(L, code);
	lua_setfield(L, -2, "code");
	lua_pushstring(L, message);
	lua_setfield(L, -2, "message");
	if (retry_ms > 0) {
		lua_pushinteger(L, (lua_Integer)(retry_ms + 999) / 1000);
		lua_setfield(L, -2, "retry_after");
	}
}

/* true, nil, err for boot.lua: answered at once. */
static int refuse(lua_State *L, int status, const char *code, const char *message, int64_t retry_ms)
{
	lua_pushboolean(L, 1);
	lua_pushnil(L);
	push_refusal(L, status, code, message, retry_ms);
	return 3;
}

static int refuse_err(lua_State *L, const struct cw_err *err)
{
	lua_pushboolean(L, 1);
	lua_pushnil(L);
	cw_bind_push_error(L, err, NULL);
	return 3;
}

static bool take_password(lua_State *L, int index, struct login *w)
{
	const char *text = luaL_checklstring(L, index, &w->password_len);

	w->password = cw_arena_strndup(cw_job_arena(w->job), text, w->password_len);
	return w->password_len <= CW_PASSWORD_MAX;
}

/* `args` names the account; w->name what attempts are counted by. */
static int begin_verify(lua_State *L, struct login *w, const struct cw_args *args)
{
	int64_t wait_ms;
	struct cw_err err;
	char name[NAME_MAX_BYTES];

	memcpy(name, w->name, sizeof(name));
	w->name[0] = '\0';
	wait_ms = cw_attempts_begin(w->env->auth->attempts, name, strlen(name), cw_clock_mono_us());
	if (wait_ms > 0)
		return refuse(L, 429, "too_many_attempts", "too many failed attempts with this account; wait", wait_ms);
	memcpy(w->name, name, sizeof(name));
	w->call = cw_repo_call(w->env->pool, args, on_user, w, &err);
	if (w->call != NULL)
		return cw_job_wait(w->job, login_cancel, w);
	cw_attempts_dropped(w->env->auth->attempts, name, strlen(name));
	w->name[0] = '\0';
	return refuse_err(L, &err);
}

/* One account however it is written: the database compares in lower case, too. */
static void name_account(char name[NAME_MAX_BYTES], const char *email, size_t len)
{
	size_t n = len < NAME_MAX_BYTES - 1 ? len : NAME_MAX_BYTES - 1;

	for (size_t i = 0; i < n; i++)
		name[i] = (char)tolower((unsigned char)email[i]);
	name[n] = '\0';
}

static void name_user(char name[NAME_MAX_BYTES], int64_t id)
{
	snprintf(name, NAME_MAX_BYTES, "#%lld", (long long)id);
}

/* A row of login_failures at `index`, if there is one: what was counted elsewhere, or before this engine's start. */
static void merge_past(lua_State *L, int index, const struct login *w)
{
	lua_Number failures, age_s;

	if (!lua_istable(L, index))
		return;
	lua_getfield(L, index, "failures");
	lua_getfield(L, index, "age_s");
	failures = lua_tonumber(L, -2);
	age_s = lua_tonumber(L, -1);
	lua_pop(L, 2);
	if (failures >= 1 && failures < 1e9 && age_s >= 0 && age_s < 1e9)
		cw_attempts_merge(w->env->auth->attempts, w->name, strlen(w->name), (int64_t)failures,
		                  cw_clock_mono_us() - (int64_t)(1e6 * age_s));
}

static int l_login(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct login *w;
	struct cw_args args;
	struct cw_err err;
	const char *email;
	size_t len;

	auth_of(L);
	email = luaL_checklstring(L, 1, &len);
	w = login_new(L, job);
	if (!take_password(L, 2, w))
		return refuse(L, 401, "invalid_credentials", "e-mail address or password is wrong", 0);
	cw_args_init(&args, &cw_users_by_email, cw_job_arena(job));
	if (cw_args_set(&args, "email", email, len, &err) != 0)
		return refuse_err(L, &err);
	name_account(w->name, email, len);
	merge_past(L, 3, w);
	return begin_verify(L, w, &args);
}

static int l_verify(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	int64_t id = (int64_t)luaL_checknumber(L, 1);
	struct login *w;
	struct cw_args args;

	auth_of(L);
	w = login_new(L, job);
	if (!take_password(L, 2, w))
		return refuse(L, 401, "invalid_credentials", "the password is wrong", 0);
	cw_args_init(&args, &cw_users_secret, cw_job_arena(job));
	cw_args_int(&args, "id", id);
	name_user(w->name, id);
	merge_past(L, 3, w);
	return begin_verify(L, w, &args);
}

static int push_user(lua_State *L, struct login *w)
{
	struct cw_json_error error;
	const struct cw_json *user =
	    cw_json_parse(w->user.data, w->user.len, CW_JSON_DEPTH_DEFAULT, cw_job_arena(w->job), &error);

	if (user == NULL)
		return luaL_error(L, "could not read the user: %s", error.what);
	cw_bind_push_json(L, user);
	if (w->rehash[0] != '\0') {
		lua_pushstring(L, w->rehash);
		lua_setfield(L, -2, "rehash");
	}
	return 1;
}

static int l_collect(lua_State *L)
{
	struct login *w = cw_job_answer(L);

	cw_job_check_wait(L);
	w->waits = false;
	if (w->err.code != CW_OK) {
		lua_pushnil(L);
		cw_bind_push_error(L, &w->err, NULL);
		return 2;
	}
	if (w->refused) {
		lua_pushnil(L);
		push_refusal(L, 401, "invalid_credentials", "e-mail address or password is wrong", w->retry_ms);
		return 2;
	}
	if (w->hash_only) {
		lua_pushstring(L, w->rehash);
		return 1;
	}
	if (w->user.len > 0)
		return push_user(L, w);
	lua_pushboolean(L, 1);
	return 1;
}

static void on_hashed(void *arg, const struct cw_password_result *result)
{
	struct login *w = arg;

	w->hashing = NULL;
	memcpy(w->rehash, result->hash, sizeof(w->rehash));
	if (!result->good)
		cw_err_set(&w->err, CW_ERR_BUSY, "there is no memory for a password's hash, try again later");
	cw_job_resume(w->job, w->ticket);
}

static int l_hash(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_auth *auth = auth_of(L);
	struct login *w = login_new(L, job);
	struct cw_err err;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	w->hash_only = true;
	w->hashing = cw_password_hash(auth->passwords, text, len, on_hashed, w, &err);
	return w->hashing != NULL ? cw_job_wait(job, login_cancel, w) : refuse_err(L, &err);
}

static void on_refreshed(void *arg, const struct cw_err *err)
{
	struct login *w = arg;

	w->waits = false;
	if (err != NULL)
		w->err = *err;
	cw_job_resume(w->job, w->ticket);
}

static int l_refresh(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_auth *auth = auth_of(L);
	struct login *w = login_new(L, job);

	w->waits = true;
	cw_directory_refresh(auth->directory, on_refreshed, w);
	return cw_job_wait(job, login_cancel, w);
}

/* --- at once --- */

static int l_fault(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	const char *fault = cw_password_fault(&auth_of(L)->conf.password, text, len, luaL_optstring(L, 2, ""));

	if (fault == NULL)
		return 0;
	lua_pushstring(L, fault);
	return 1;
}

static int l_issue(lua_State *L)
{
	const struct cw_auth *auth = auth_of(L);
	int64_t user = (int64_t)luaL_checknumber(L, 1), session = (int64_t)luaL_checknumber(L, 2);
	int64_t epoch = (int64_t)luaL_checknumber(L, 3);
	struct cw_buf token = CW_BUF_INIT;

	cw_auth_issue(auth, user, session, epoch, &token);
	lua_pushlstring(L, token.data, token.len);
	cw_buf_release(&token);
	lua_pushnumber(L, (lua_Number)auth->conf.access_s);
	return 2;
}

static void push_digest(lua_State *L, const char *text)
{
	unsigned char hash[32];
	char hex[2 + 64 + 1] = "0x";

	cw_key_digest(text, hash);
	sodium_bin2hex(hex + 2, sizeof(hex) - 2, hash, sizeof(hash));
	lua_pushstring(L, hex);
}

static int l_new_key(lua_State *L)
{
	char key[CW_KEY_TEXT];

	cw_key_make(key);
	lua_pushstring(L, key);
	lua_pushlstring(L, key, CW_KEY_PREFIX);
	push_digest(L, key);
	sodium_memzero(key, sizeof(key));
	return 3;
}

static int l_new_token(lua_State *L)
{
	const char *prefix = luaL_checkstring(L, 1);
	char token[CW_OPAQUE_TEXT];

	if (strlen(prefix) > 8)
		return luaL_error(L, "a prefix has at most 8 characters");
	cw_token_make(prefix, token);
	lua_pushstring(L, token);
	push_digest(L, token);
	sodium_memzero(token, sizeof(token));
	return 2;
}

static int l_digest(lua_State *L)
{
	push_digest(L, luaL_checkstring(L, 1));
	return 1;
}

static int l_account(lua_State *L)
{
	char name[NAME_MAX_BYTES];
	size_t len;
	const char *email;

	if (lua_type(L, 1) == LUA_TNUMBER) {
		name_user(name, (int64_t)lua_tonumber(L, 1));
	} else {
		email = luaL_checklstring(L, 1, &len);
		name_account(name, email, len);
	}
	push_digest(L, name);
	return 1;
}

static int l_claims(lua_State *L)
{
	size_t len;
	const char *token = luaL_checklstring(L, 1, &len);
	struct cw_claims claims;

	if (cw_auth_claims(auth_of(L), token, len, &claims) != NULL)
		return 0;
	lua_createtable(L, 0, 4);
	lua_pushnumber(L, (lua_Number)claims.user_id);
	lua_setfield(L, -2, "user_id");
	lua_pushnumber(L, (lua_Number)claims.session_id);
	lua_setfield(L, -2, "session_id");
	lua_pushstring(L, claims.id);
	lua_setfield(L, -2, "jti");
	lua_pushnumber(L, (lua_Number)claims.expires_s);
	lua_setfield(L, -2, "expires_at");
	return 1;
}

static int l_allow(lua_State *L)
{
	struct cw_auth *auth = auth_of(L);
	struct cw_job *job = cw_job_current(L);
	const struct cw_request *req = job != NULL ? cw_job_request(job) : NULL;
	struct cw_limit_state state;

	if (req == NULL || auth->conf.login.per_s == 0 ||
	    cw_limits_take(auth->limits, 'l', req->remote, strlen(req->remote), &auth->conf.login, cw_clock_mono_us(),
	                   &state)) {
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushnil(L);
	push_refusal(L, 429, "rate_limited", "too many logins from this address; wait", 1000 * state.retry_s);
	return 2;
}

static int l_settings(lua_State *L)
{
	const struct cw_auth_conf *conf = &auth_of(L)->conf;

	lua_createtable(L, 0, 2);
	lua_pushstring(L, conf->registration);
	lua_setfield(L, -2, "registration");
	lua_pushnumber(L, (lua_Number)conf->session_s);
	lua_setfield(L, -2, "session_s");
	lua_pushnumber(L, (lua_Number)conf->attempts.forget_s);
	lua_setfield(L, -2, "forget_s");
	return 1;
}

void cw_bind_identity(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "login", l_login },     { "verify", l_verify },   { "hash", l_hash },
		{ "refresh", l_refresh }, { "collect", l_collect }, { "fault", l_fault },
		{ "issue", l_issue },     { "new_key", l_new_key }, { "new_token", l_new_token },
		{ "digest", l_digest },   { "allow", l_allow },     { "settings", l_settings },
		{ "account", l_account }, { "claims", l_claims },
		{ NULL, NULL },
	};

	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name != NULL; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
}
