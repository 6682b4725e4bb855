/* bind_engine.c - tables `log`, `time`, `engine`, and what boot.lua needs of the engine. */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/suggest.h"
#include "chain/hex.h"
#include "http/request.h"
#include "http/sse.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "lua/vm.h"
#include "lua/verdict_json.h"
#include "pg/pool.h"
#include "pipeline/pipeline.h"

#define CALL_MAGIC 0x43414c4cu

struct cw_generation *cw_bind_generation(lua_State *L)
{
	return cw_vm_owner(cw_vm_of(L));
}

void cw_bind_push_error(lua_State *L, const struct cw_err *err, const char *details_json)
{
	int status = cw_code_http_status(err->code);

	lua_createtable(L, 0, 6);
	lua_pushstring(L, cw_code_name(err->code));
	lua_setfield(L, -2, "code");
	lua_pushstring(L, err->msg);
	lua_setfield(L, -2, "message");
	lua_pushinteger(L, status);
	lua_setfield(L, -2, "status");
	if (status == 503 || status == 507) {
		lua_pushinteger(L, 1);
		lua_setfield(L, -2, "retry_after");
	}
	if (err->sqlstate[0] != '\0') {
		lua_pushstring(L, err->sqlstate);
		lua_setfield(L, -2, "sqlstate");
	}
	if (details_json != NULL) {
		lua_pushstring(L, details_json);
		lua_setfield(L, -2, "errors");
	}
}

/* --- log --- */

/* log.info(message, {key = value}); upvalue 1 is the level. */
static int l_log(lua_State *L)
{
	enum cw_log_level level = (enum cw_log_level)lua_tointeger(L, lua_upvalueindex(1));
	const char *msg = luaL_checkstring(L, 1);
	char quoted[1024];
	struct cw_buf fields = CW_BUF_INIT;

	if (!cw_log_enabled(level, "script"))
		return 0;
	if (lua_istable(L, 2)) {
		lua_pushnil(L);
		while (lua_next(L, 2) != 0) {
			if (lua_type(L, -2) == LUA_TSTRING && (lua_isstring(L, -1) || lua_isboolean(L, -1))) {
				const char *value = lua_isboolean(L, -1) ? (lua_toboolean(L, -1) ? "true" : "false")
				                                         : lua_tostring(L, -1);

				cw_buf_printf(&fields, "%s%s=%s", fields.len > 0 ? " " : "", lua_tostring(L, -2),
				              cw_log_quote(quoted, sizeof(quoted), value));
			}
			lua_pop(L, 1);
		}
	}
	cw_log(level, "script", msg, "%s", fields.data);
	cw_buf_release(&fields);
	return 0;
}

static void push_log(lua_State *L)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	lua_newtable(L);
	for (int i = 0; i < 4; i++) {
		lua_pushinteger(L, i);
		lua_pushcclosure(L, l_log, 1);
		lua_setfield(L, -2, names[i]);
	}
}

/* --- time: seconds since 1970 as numbers --- */

static int l_now(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)cw_clock_wall_us() / 1e6);
	return 1;
}

static int l_format_time(lua_State *L)
{
	char text[32];

	lua_Number seconds = luaL_checknumber(L, 1);

	luaL_argcheck(L, fabs(seconds) < 2.5e11, 1, "not a time between the years -5900 and 9890");
	lua_pushstring(L, cw_time_format((int64_t)(seconds * 1e6), text));
	return 1;
}

#define SECONDS_MAX 1e11   /* the year 5138 */

/* RFC 3339, or seconds as a number or digits; nil if it is neither. */
static int l_parse_time(lua_State *L)
{
	int64_t us;
	double seconds;
	char *end;
	const char *text;

	if (lua_type(L, 1) == LUA_TNUMBER) {
		seconds = lua_tonumber(L, 1);
		lua_settop(L, 1);
		return seconds >= 0 && seconds <= SECONDS_MAX ? 1 : 0;
	}
	text = luaL_checkstring(L, 1);
	if (cw_time_parse(text, &us) == 0) {
		lua_pushnumber(L, (lua_Number)us / 1e6);
		return 1;
	}
	seconds = strtod(text, &end);
	if (end == text || *end != '\0' || strspn(text, "0123456789.") != strlen(text) || seconds > SECONDS_MAX)
		return 0;
	lua_pushnumber(L, seconds);
	return 1;
}

/* --- for boot.lua --- */

/* parse_address(text) -> lower-case text | nil */
static int l_parse_address(lua_State *L)
{
	struct cw_address address;
	char out[CW_ADDRESS_TEXT];
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	if (cw_address_parse(&address, text, len) != CW_ADDRESS_OK)
		return 0;
	lua_pushstring(L, cw_address_format(&address, out));
	return 1;
}

/* suggest(word, names) -> name | nil */
static int l_suggest(lua_State *L)
{
	const char *word = luaL_checkstring(L, 1), *names[65], *found;
	size_t n;

	luaL_checktype(L, 2, LUA_TTABLE);
	n = lua_objlen(L, 2);
	luaL_checkstack(L, 70, "names");
	if (n > 64)
		n = 64;
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, 2, (int)i + 1);
		names[i] = luaL_checkstring(L, -1);
	}
	names[n] = NULL;
	found = cw_suggest(word, names);
	if (found == NULL)
		return 0;
	lua_pushstring(L, found);
	return 1;
}

/* read_body(text) -> value | nil, status, code, detail */
static int l_read_body(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_json_error error;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	const struct cw_json *value = cw_json_parse(text, len, CW_JSON_DEPTH_DEFAULT, cw_job_arena(job), &error);
	const char *code;

	if (value != NULL) {
		cw_bind_push_json(L, value);
		return 1;
	}
	lua_pushnil(L);
	lua_pushinteger(L, cw_json_error_status(&error, &code));
	lua_pushstring(L, code);
	lua_pushfstring(L, "line %d, column %d: %s", (int)error.line, (int)error.column, error.what);
	return 4;
}

/* media_json(content_type) -> whether such a body may be read as JSON */
static int l_media_json(lua_State *L)
{
	struct cw_slice field;

	field.p = luaL_checklstring(L, 1, &field.len);
	lua_pushboolean(L, cw_media_json(field));
	return 1;
}

/* is_array(value) -> whether it is a table that was an array in JSON */
static int l_is_array(lua_State *L)
{
	lua_pushboolean(L, cw_bind_is_array(L, 1));
	return 1;
}

/* --- engine --- */

/* health() -> database ok, evaluator ok */
static int l_health(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;

	lua_pushboolean(L, env->pool != NULL && cw_pool_healthy(env->pool));
	lua_pushboolean(L, env->pipeline != NULL && cw_pipeline_ready(env->pipeline));
	return 2;
}

static int l_metrics(lua_State *L)
{
	struct cw_buf out = CW_BUF_INIT;

	cw_metrics_write(&out);
	lua_pushlstring(L, out.data, out.len);
	cw_buf_release(&out);
	return 1;
}

static int l_ruleset(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;

	lua_pushstring(L, cw_pipeline_ruleset(env->pipeline));
	return 1;
}

/* rule_fires() -> JSON text: what the live rules' own tests fire on */
static int l_rule_fires(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;

	lua_pushstring(L, cw_pipeline_rule_fires(env->pipeline));
	return 1;
}

/* Pushes nil and the error. */
static int push_failure(lua_State *L, const struct cw_err *err)
{
	lua_pushnil(L);
	cw_bind_push_error(L, err, NULL);
	return 2;
}

/* rule(id, candidate) -> JSON text | nil, err */
static int l_rule(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	const char *id = luaL_checkstring(L, 1);
	bool candidate = lua_toboolean(L, 2) != 0;
	struct cw_rule_view view;
	struct cw_err err;

	if (cw_pipeline_view_rule(env->pipeline, id, candidate, &view, &err) != 0)
		return push_failure(L, &err);
	lua_pushstring(L, cw_pipeline_rule(env->pipeline, id, candidate));
	return 1;
}

static enum cw_rule_switch check_switch(lua_State *L, int arg)
{
	static const char *const names[] = { "enable", "disable", "quarantine", "release", NULL };

	return (enum cw_rule_switch)luaL_checkoption(L, arg, NULL, names);
}

/* may_switch_rule(id, candidate, what) -> {version=, sha256=, status=, faults=} | nil, err. `what` is enable, disable,
 * quarantine or release. */
static int l_may_switch_rule(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	const char *id = luaL_checkstring(L, 1);
	bool candidate = lua_toboolean(L, 2) != 0;
	struct cw_rule_view view;
	struct cw_err err;

	if (cw_pipeline_may_switch(env->pipeline, id, candidate, check_switch(L, 3), &err) != 0 ||
	    cw_pipeline_view_rule(env->pipeline, id, candidate, &view, &err) != 0)
		return push_failure(L, &err);
	lua_createtable(L, 0, 4);
	lua_pushstring(L, view.version);
	lua_setfield(L, -2, "version");
	lua_pushstring(L, view.sha256);
	lua_setfield(L, -2, "sha256");
	lua_pushstring(L, view.status);
	lua_setfield(L, -2, "status");
	lua_pushnumber(L, (lua_Number)view.faults);
	lua_setfield(L, -2, "faults");
	return 1;
}

/* switch_rule(id, candidate, what, reason) -> true | nil, err: from the next batch on. Keeps nothing: see rule_states. */
static int l_switch_rule(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	const char *id = luaL_checkstring(L, 1);
	struct cw_err err;

	if (cw_pipeline_switch_rule(env->pipeline, id, lua_toboolean(L, 2) != 0, check_switch(L, 3),
	                            luaL_optstring(L, 4, ""), &err) != 0)
		return push_failure(L, &err);
	lua_pushboolean(L, 1);
	return 1;
}

struct stream_filter { int least; char rule[96]; };

static bool want_event(void *arg, const char *event, const char *data, size_t len)
{
	static const char *const names[] = { "\"severity\":\"low\"", "\"severity\":\"medium\"", "\"severity\":\"high\"" };
	const struct stream_filter *f = arg;
	char rule[112];

	(void)event;
	for (int i = 0; i < f->least && i < 3; i++)
		if (memmem(data, len, names[i], strlen(names[i])) != NULL)
			return false;
	if (f->rule[0] == '\0')
		return true;
	snprintf(rule, sizeof(rule), "\"rule\":\"%s\"", f->rule);
	return memmem(data, len, rule, strlen(rule)) != NULL;
}

/* What came before the ring: a list of JSON texts, each with its id at the same place of the list `ids`. */
static void replay(lua_State *L, int backlog, struct cw_request *req, struct stream_filter *filter)
{
	lua_getfield(L, backlog, "ids");
	for (int i = 1; lua_istable(L, -1) && i <= (int)lua_objlen(L, backlog); i++) {
		const char *text;
		size_t len = 0;

		lua_rawgeti(L, -1, i);
		lua_rawgeti(L, backlog, i);
		text = lua_tolstring(L, -1, &len);
		if (text != NULL && req->head->method != CW_METHOD_HEAD && want_event(filter, "anomaly", text, len))
			cw_sse_replay(req, (uint64_t)lua_tonumber(L, -2), "anomaly", text, len);
		lua_pop(L, 2);
	}
	lua_pop(L, 1);
}

/* newest_anomaly() -> id of the newest event there was */
static int l_newest_anomaly(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;

	lua_pushnumber(L, (lua_Number)cw_sse_newest(env->anomalies));
	return 1;
}

/* anomalies.stream(last_id, least_severity, rule, backlog): takes the request over. Severity 0 (low) to 3 (critical). The
 * backlog comes first: JSON texts, `ids` a list beside them, all up to last_id. nil: what came after last_id has left the
 * memory of the engine, and nothing has been sent. */
static int l_stream_anomalies(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_request *req = cw_job_request(cw_job_check_wait(L));
	struct stream_filter filter = { .least = (int)luaL_optinteger(L, 2, 0) }, *kept;
	lua_Number after = luaL_checknumber(L, 1);
	uint64_t last = after > 0 && after < 9e15 ? (uint64_t)after : 0;

	if (req == NULL)
		return luaL_error(L, "anomalies.stream works inside a request only");
	snprintf(filter.rule, sizeof(filter.rule), "%s", luaL_optstring(L, 3, ""));
	if (lua_istable(L, 4) && cw_sse_holds(env->anomalies, last))
		replay(L, 4, req, &filter);
	kept = cw_memdup(&filter, sizeof(filter));
	if (cw_sse_subscribe(env->anomalies, req, last, want_event, kept, cw_free)) {
		lua_pushlightuserdata(L, req);
		return 1;
	}
	cw_free(kept);
	lua_pushnil(L);
	return 1;
}

/* engine.call: an operation of app, by name */
struct call {
	uint32_t magic;
	struct cw_job *job;      /* NULL: the job has gone */
	uint64_t ticket;
	char *json;
	struct cw_err err;
};

static void call_free(struct call *c)
{
	cw_free(c->json);
	cw_free(c);
}

static void call_done(void *arg, const char *json, const struct cw_err *err)
{
	struct call *c = arg;

	if (c->job == NULL) {
		call_free(c);
		return;
	}
	c->json = cw_strdup(json != NULL ? json : "null");
	if (err != NULL)
		c->err = *err;
	cw_job_resume(c->job, c->ticket);
}

static void call_cancel(void *arg)
{
	struct call *c = arg;

	c->job = NULL;
}

static int l_call_start(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_job *job = cw_job_check_wait(L);
	const char *name = luaL_checkstring(L, 1), *args = luaL_optstring(L, 2, "{}");
	struct call *c = cw_zalloc(sizeof(*c));

	c->job = job;
	c->ticket = cw_job_ticket(job);
	env->call(env->call_arg, name, args, call_done, c);
	return cw_job_wait(job, call_cancel, c);
}

static int l_call_collect(lua_State *L)
{
	struct call *c = cw_job_answer(L);
	struct cw_err err = c->err;

	lua_settop(L, 0);
	if (err.code == CW_OK)
		lua_pushstring(L, c->json);
	call_free(c);
	if (err.code == CW_OK)
		return 1;
	lua_pushnil(L);
	cw_bind_push_error(L, &err, NULL);
	return 2;
}

void cw_bind_engine(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "now", l_now },
		{ "format_time", l_format_time },
		{ "parse_time", l_parse_time },
		{ "parse_address", l_parse_address },
		{ "suggest", l_suggest },
		{ "read_body", l_read_body },
		{ "media_json", l_media_json },
		{ "is_array", l_is_array },
		{ "health", l_health },
		{ "metrics", l_metrics },
		{ "ruleset", l_ruleset },
		{ "rule_fires", l_rule_fires },
		{ "rule", l_rule },
		{ "may_switch_rule", l_may_switch_rule },
		{ "switch_rule", l_switch_rule },
		{ "stream_anomalies", l_stream_anomalies },
		{ "newest_anomaly", l_newest_anomaly },
		{ "call_start", l_call_start },
		{ "call_collect", l_call_collect },
		{ NULL, NULL },
	};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
	push_log(L);
	lua_setfield(L, -2, "log");
}
