#include "lua/scripts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/role.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http/reply.h"
#include "http/router.h"
#include "loop/loop.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/load.h"
#include "lua/sandbox.h"
#include "lua/schedule.h"
#include "lua/transaction.h"
#include "lua/vm.h"

#define FILE_MAX (256u << 10)
#define LOAD_MS 500              /* loading a file only registers; slower means a loop at top level */

/* The Lua half, compiled in. */
__asm__(".section .rodata\n"
        ".global cw_boot_lua\n"
        "cw_boot_lua:\n"
        ".incbin \"engine/lua/boot.lua\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char cw_boot_lua[];
__asm__(".section .rodata\n"
        ".global cw_retention_lua\n"
        "cw_retention_lua:\n"
        ".incbin \"engine/lua/retention.lua\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char cw_retention_lua[];

struct script_file {
	char *name;                  /* "lib/page.lua" */
	char *text;
	size_t len;
};

struct endpoint {
	struct generation *gen;
	int ref;                     /* its declaration */
	bool streams;
};

/* One lua_State built from all files. Freed when its router has gone and its last job has ended. */
struct generation {
	struct cw_generation bind;   /* first: what C functions find by cw_vm_owner */
	struct cw_scripts *scripts;
	struct cw_vm *vm;
	struct cw_router *router;
	struct cw_map *libs;         /* name -> struct script_file, for require */
	struct script_file *files;
	int nfiles;
	struct endpoint *endpoints;
	int nendpoints;
	int entry_ref, openapi_ref, loaded_ref, run_job_ref;
	int holds;                   /* runs of jobs: they keep the router, and so the generation */
	struct cw_router *held;
	const struct cw_route_limit *limits;      /* the caller's, while files are loaded */
	int nlimits;
	char *openapi;
	struct cw_list link;
};

struct cw_scripts {
	struct cw_script_env env;
	char *conf_json;
	struct cw_list generations;  /* all that live, retired ones too */
	struct generation *live, *prepared;
};

/* --- files --- */

static char *read_file(const char *path, size_t *len, struct cw_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a pipe of that name must not hold us up */
	struct stat st;
	char *text = NULL;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX) {
		cw_err_set(err, CW_ERR_SCRIPT, "could not read \"%s\": %s", path,
		           fd < 0 ? strerror(errno) : !S_ISREG(st.st_mode) ? "not a file" : "too large for a script");
	} else {
		text = cw_zalloc((size_t)st.st_size + 1);
		if (read(fd, text, (size_t)st.st_size) != (ssize_t)st.st_size) {
			cw_err_set(err, CW_ERR_SCRIPT, "could not read \"%s\"", path);
			cw_free(text);
			text = NULL;
		}
		*len = (size_t)st.st_size;
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct script_file *)a)->name, ((const struct script_file *)b)->name);
}

/* Appends the Lua files of `dir`/`sub`; a missing folder has none. */
static int read_folder(struct generation *gen, const char *dir, const char *sub, struct cw_err *err)
{
	char path[1024];
	struct dirent *e;
	DIR *d;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	if (d == NULL)
		return 0;
	while (rc == 0 && (e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);
		struct script_file *f;

		if (e->d_name[0] == '.' || len < 5 || strcmp(e->d_name + len - 4, ".lua") != 0)
			continue;
		gen->files = cw_realloc(gen->files, (size_t)(gen->nfiles + 1) * sizeof(*gen->files));
		f = &gen->files[gen->nfiles];
		snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, e->d_name);
		f->text = read_file(path, &f->len, err);
		f->name = cw_strdup(path + strlen(dir) + 1);
		gen->nfiles++;
		rc = f->text != NULL ? 0 : -1;
	}
	closedir(d);
	return rc;
}

/* --- the VM of a generation --- */

/* require "lib.page" or "page": a file of scripts/lib, run once a generation. At load only, or from another file. */
static int l_require(lua_State *L)
{
	struct generation *gen = (struct generation *)cw_bind_generation(L);
	const char *name = luaL_checkstring(L, 1);
	struct script_file *f;
	struct cw_err err;
	char key[160];

	if (strncmp(name, "lib.", 4) == 0)
		name += 4;
	snprintf(key, sizeof(key), "lib/%s.lua", name);
	f = cw_map_get(gen->libs, key, strlen(key));
	if (f == NULL)
		return luaL_error(L, "there is no \"scripts/%s\"", key);
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->loaded_ref);
	lua_getfield(L, -1, key);
	if (lua_isboolean(L, -1))
		return luaL_error(L, "\"%s\" requires itself", key);
	if (!lua_isnil(L, -1))
		return 1;
	lua_pop(L, 1);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, key);
	if (cw_load(gen->vm, key, f->text, f->len, &err) != 0)
		return luaL_error(L, "%s", err.msg);
	lua_xmove(cw_vm_state(gen->vm), L, cw_vm_state(gen->vm) == L ? 0 : 1);
	lua_call(L, 0, 1);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, key);
	return 1;
}

static int call(struct generation *gen, int nargs, int nresults, struct cw_err *err)
{
	static const struct cw_budget budget = { .ticks = 100000000, .time_us = LOAD_MS * 1000, .cpu_time = true };
	struct cw_vm_report report;

	if (cw_vm_call(gen->vm, cw_vm_state(gen->vm), nargs, nresults, &budget, &report) == 0)
		return 0;
	return cw_err_set(err, CW_ERR_SCRIPT, "%s", report.message);
}

/* What boot.lua gets: the table of C functions. */
static void push_functions(struct generation *gen, lua_State *L)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const struct cw_json *conf;

	lua_newtable(L);
	cw_bind_json(L);
	lua_setfield(L, -2, "json");
	cw_bind_request(L);
	lua_setfield(L, -2, "request");
	cw_bind_predict(L);
	lua_setfield(L, -2, "predict");
	cw_bind_identity(L);
	lua_setfield(L, -2, "auth");
	cw_bind_http(L);
	lua_setfield(L, -2, "http");
	cw_bind_crypto(L);
	lua_setfield(L, -2, "crypto");
	cw_bind_labels(L);
	lua_setfield(L, -2, "labels");
	cw_bind_engine(L);
	conf = cw_json_parse(gen->scripts->conf_json, strlen(gen->scripts->conf_json), 32, arena, &error);
	if (conf != NULL) {
		cw_bind_push_json(L, conf);
		lua_getfield(L, -1, "version");
		lua_setfield(L, -3, "version");
		lua_setfield(L, -2, "settings");
	}
	lua_setfield(L, -2, "engine");
	cw_bind_db(L);
	lua_setfield(L, -2, "db");
	lua_pushcfunction(L, cw_bind_db_collect);
	lua_setfield(L, -2, "db_collect");
	cw_bind_jobs(L);
	lua_setfield(L, -2, "jobs");
	cw_bind_transaction(L);
	lua_setfield(L, -2, "transaction");
	cw_arena_free(&arena);
}

static int l_openapi(lua_State *L)
{
	const struct generation *gen = (const struct generation *)cw_bind_generation(L);

	lua_pushstring(L, gen->openapi != NULL ? gen->openapi : "{}");
	return 1;
}

/* The tables inside the table on top become frozen views. */
static void freeze_members(lua_State *L)
{
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (!lua_istable(L, -1)) {
			lua_pop(L, 1);
			continue;
		}
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		cw_sandbox_freeze(L);
		lua_rawset(L, -4);
	}
}

/* Exposes each member of boot's `globals`; tables as frozen views. */
static void expose_globals(lua_State *L)
{
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		const char *name = lua_tostring(L, -2);

		if (lua_istable(L, -1)) {
			freeze_members(L);
			cw_sandbox_freeze(L);
		}
		cw_sandbox_expose(L, name);
	}
}

/* Runs boot.lua. Leaves its result, the table of entry points, on the stack. */
static int l_boot(lua_State *L)
{
	struct generation *gen = lua_touserdata(L, 1);

	if (luaL_loadbuffer(L, cw_boot_lua, strlen(cw_boot_lua), "=boot.lua") != 0)
		return lua_error(L);
	push_functions(gen, L);
	if (luaL_loadbuffer(L, cw_retention_lua, strlen(cw_retention_lua), "=retention.lua") != 0)
		return lua_error(L);
	lua_setfield(L, -2, "load_retention");
	lua_getfield(L, -1, "engine");
	lua_pushcfunction(L, l_openapi);
	lua_setfield(L, -2, "openapi");
	lua_pop(L, 1);
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "globals");
	expose_globals(L);
	lua_pop(L, 1);
	lua_pushcfunction(L, l_require);
	cw_sandbox_expose(L, "require");
	lua_getfield(L, -1, "entry");
	gen->entry_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_getfield(L, -1, "openapi");
	gen->openapi_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_getfield(L, -1, "run_job");
	gen->run_job_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	gen->loaded_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 1;
}

static int boot(struct generation *gen, struct cw_err *err)
{
	lua_State *L = cw_vm_state(gen->vm);

	lua_pushcfunction(L, l_boot);
	lua_pushlightuserdata(L, gen);
	return call(gen, 1, 1, err);
}

/* --- requests --- */

static void answer_script_error(struct cw_request *req, const struct cw_vm_report *report)
{
	struct cw_problem problem = { .status = 500, .code = "script_error", .detail = "the handler failed; see the log" };
	char text[800];

	cw_log(CW_LOG_ERROR, "script", "handler failed", "req=%s route=\"%s\" error=%s", req->id,
	       req->route != NULL ? req->route->pattern : "", cw_log_quote(text, sizeof(text), report->message));
	cw_metric_add(cw_counter("chainwatch_script_errors_total", "Handlers that failed.", NULL), 1);
	cw_reply_problem(req, &problem);
}

static const char *field(lua_State *L, int index, const char *name)
{
	const char *text = NULL;

	lua_getfield(L, index, name);
	if (lua_type(L, -1) == LUA_TSTRING)
		text = lua_tostring(L, -1);   /* stays alive: the table holds it */
	lua_pop(L, 1);
	return text;
}

static void answer_problem(struct cw_request *req, lua_State *L, int status)
{
	struct cw_problem problem = { .status = status, .code = "internal", .detail = lua_tostring(L, 3) };

	if (lua_istable(L, 4)) {
		problem.code = field(L, 4, "code");
		problem.title = field(L, 4, "title");
		problem.errors_json = field(L, 4, "errors");
		lua_getfield(L, 4, "retry_after");
		problem.retry_after_s = (int)lua_tointeger(L, -1);
		lua_getfield(L, 4, "detail_hidden");
		if (lua_toboolean(L, -1)) {
			char text[800];

			cw_log(CW_LOG_ERROR, "script", "request failed", "req=%s code=%s error=%s", req->id, problem.code,
			       cw_log_quote(text, sizeof(text), problem.detail));
			problem.detail = status == 503 ? "the system could not give what this needs; see the log"
			                                : "internal error; see the log";
		}
		lua_pop(L, 2);
	}
	if (problem.code == NULL)
		problem.code = "error";
	if (status == 401)               /* RFC 9110 15.5.2: says how */
		cw_reply_header(req, "WWW-Authenticate", "Bearer realm=\"chainwatch\"");
	cw_reply_problem(req, &problem);
}

/* A value without control characters. */
static bool is_value(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			return false;
	return true;
}

/* A token (RFC 9110 5.6.2) that is not about the message's frame, which is the server's. */
static bool is_header_name(const char *text, size_t len)
{
	static const char *const own[] = { "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Date",
		                               "Trailer", "Upgrade", "Keep-Alive", "TE", "X-Request-Id" };

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (strcasecmp(text, own[i]) == 0)
			return false;
	return len > 0 && strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

static void answer_headers(struct cw_request *req, lua_State *L)
{
	if (!lua_istable(L, 4))
		return;
	lua_pushnil(L);
	while (lua_next(L, 4) != 0) {
		size_t name_len = 0, len = 0;
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &name_len) : "";
		const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

		if (value != NULL && is_header_name(name, name_len) && is_value(value, len)) {
			cw_reply_header(req, name, value);
		} else {
			char text[160];

			cw_log(CW_LOG_WARN, "script", "a header that cannot be sent was left out", "req=%s route=\"%s\" name=%s",
			       req->id, req->route != NULL ? req->route->pattern : "", cw_log_quote(text, sizeof(text), name));
		}
		lua_pop(L, 1);
	}
}

/* The results of a handler: status, content type, body, headers; a light userdata means that C has taken over. */
static void on_end(void *arg, struct cw_job *job, lua_State *co, int n, const struct cw_vm_report *report)
{
	struct cw_request *req = cw_job_request(job);
	struct cw_vm_report wrong = { .message = "a handler must return what reply() or problem() gave" };
	int status;
	size_t len;
	const char *body;

	(void)arg;
	if (n >= 1 && lua_islightuserdata(co, 1))
		return;
	cw_request_on_abort(req, NULL, NULL);
	if (n < 0) {
		answer_script_error(req, report);
		return;
	}
	if (n < 3 || !lua_isnumber(co, 1) || lua_type(co, 2) != LUA_TSTRING || lua_type(co, 3) != LUA_TSTRING) {
		answer_script_error(req, &wrong);
		return;
	}
	lua_settop(co, 4);
	status = (int)lua_tointeger(co, 1);
	if (status < 200 || status > 599) {
		answer_script_error(req, &wrong);
		return;
	}
	if (strcmp(lua_tostring(co, 2), "problem") == 0) {
		answer_problem(req, co, status);
		return;
	}
	body = lua_tolstring(co, 2, &len);
	if (len == 0 || !is_value(body, len)) {
		snprintf(wrong.message, sizeof(wrong.message), "the content type of a reply must be text on one line");
		answer_script_error(req, &wrong);
		return;
	}
	answer_headers(req, co);
	body = lua_tolstring(co, 3, &len);
	cw_reply_send(req, status, lua_tostring(co, 2), body, len);
}

/* The client has gone, or the time is up: what the job waits for is cancelled; the answer gives the request back. */
static void on_abort(void *arg, struct cw_request *req)
{
	struct cw_problem problem = { .status = 503, .code = "cancelled", .detail = "the request was given up" };

	cw_job_cancel(arg);
	cw_reply_problem(req, &problem);
}

static void handle(void *arg, struct cw_request *req)
{
	struct endpoint *ep = arg;
	struct generation *gen = ep->gen;
	struct cw_job *job = cw_job_new(gen->bind.jobs, req->arena, req, on_end, gen);
	lua_State *co = cw_job_thread(job);

	if (!ep->streams)
		cw_request_on_abort(req, on_abort, job);
	lua_rawgeti(co, LUA_REGISTRYINDEX, gen->entry_ref);
	lua_rawgeti(co, LUA_REGISTRYINDEX, ep->ref);
	cw_job_run(job, 1);
	cw_vm_tidy(gen->vm);
}

/* --- building --- */

static enum cw_method method_of(const char *name)
{
	return strcmp(name, "GET") == 0    ? CW_METHOD_GET
	       : strcmp(name, "POST") == 0 ? CW_METHOD_POST
	       : strcmp(name, "PUT") == 0  ? CW_METHOD_PUT
	       : strcmp(name, "PATCH") == 0 ? CW_METHOD_PATCH
	                                    : CW_METHOD_DELETE;
}

static void limit_route(const struct generation *gen, struct cw_route *route)
{
	char name[256];

	snprintf(name, sizeof(name), "%s %s", cw_method_name(route->method), route->pattern);
	for (int i = 0; i < gen->nlimits; i++) {
		const struct cw_route_limit *l = &gen->limits[i];

		if (strcmp(l->route, name) != 0)
			continue;
		if (l->timeout_ms > 0)
			route->timeout_ms = l->timeout_ms;
		if (l->body_bytes > 0)
			route->body_limit = (uint64_t)l->body_bytes;
	}
}

/* The declaration is on top of the stack; popped. */
static int add_route(struct generation *gen, struct endpoint *ep, struct cw_err *err)
{
	lua_State *L = cw_vm_state(gen->vm);
	int at = lua_gettop(L);
	const char *auth = field(L, at, "auth");
	struct cw_route route = {
		.method = method_of(field(L, at, "method")),
		.pattern = field(L, at, "path"),
		.roles = strcmp(auth, "user") == 0 ? CW_ROLES_ALL : cw_role_parse(auth, strlen(auth)),
		.fn = handle,
		.arg = ep,
	};

	lua_getfield(L, at, "timeout_ms");
	route.timeout_ms = (int64_t)lua_tonumber(L, -1);
	lua_getfield(L, at, "body_limit");
	route.body_limit = (uint64_t)lua_tonumber(L, -1);
	lua_getfield(L, at, "body");
	if (lua_istable(L, -1)) {
		lua_getfield(L, -1, "stream");
		ep->streams = lua_toboolean(L, -1);
	}
	route.flags = ep->streams ? CW_ROUTE_STREAM_BODY : 0;
	limit_route(gen, &route);
	ep->gen = gen;
	if (cw_router_add(gen->router, &route, err) != 0) {
		const char *file = field(L, at, "file");

		return cw_err_wrap(err, "%s", file != NULL ? file : "endpoint");
	}
	lua_settop(L, at);
	ep->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static int run_file(struct generation *gen, const struct script_file *f, int boot_at, struct cw_err *err)
{
	lua_State *L = cw_vm_state(gen->vm);

	lua_getfield(L, boot_at, "begin_file");
	lua_pushstring(L, f->name);
	if (call(gen, 1, 0, err) != 0 || cw_load(gen->vm, f->name, f->text, f->len, err) != 0)
		return -1;
	if (call(gen, 0, 0, err) == 0)
		return 0;
	/* Errors raised in C, and those that are no text, do not say where. */
	return strstr(err->msg, f->name) != NULL ? -1 : cw_err_wrap(err, "%s", f->name);
}

static int register_endpoints(struct generation *gen, int boot_at, struct cw_err *err)
{
	lua_State *L = cw_vm_state(gen->vm);
	int n;

	lua_getfield(L, boot_at, "end_load");
	if (call(gen, 0, 1, err) != 0)
		return -1;
	n = (int)lua_objlen(L, -1);
	gen->endpoints = cw_zalloc((size_t)(n > 0 ? n : 1) * sizeof(*gen->endpoints));
	for (; gen->nendpoints < n; gen->nendpoints++) {
		lua_rawgeti(L, -1, gen->nendpoints + 1);
		if (add_route(gen, &gen->endpoints[gen->nendpoints], err) != 0)
			return -1;
	}
	lua_pop(L, 1);
	if (n == 0)
		return cw_err_set(err, CW_ERR_SCRIPT, "the scripts declare no endpoint");
	return 0;
}

static int make_openapi(struct generation *gen, struct cw_err *err)
{
	lua_State *L = cw_vm_state(gen->vm);

	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->openapi_ref);
	if (call(gen, 0, 1, err) != 0)
		return cw_err_wrap(err, "could not write the OpenAPI document");
	gen->openapi = cw_strdup(lua_tostring(L, -1));
	lua_pop(L, 1);
	return 0;
}

/* --- jobs --- */

static void hold(void *owner)
{
	struct generation *gen = owner;

	if (gen->holds++ == 0)
		gen->held = cw_router_ref(gen->router);
}

static void unhold(void *owner)
{
	struct generation *gen = owner;
	struct cw_router *router = gen->held;

	if (--gen->holds > 0)
		return;
	gen->held = NULL;
	cw_router_unref(&router);
}

/* Everything that was declared in jobs/. Runs nothing before cw_schedule_start. */
static int make_schedule(struct generation *gen, int boot_at, struct cw_err *err)
{
	const struct cw_script_env *env = gen->bind.env;
	lua_State *L = cw_vm_state(gen->vm);
	struct cw_schedule_conf conf = {
		.loop = env->loop, .pool = env->pool, .vm = gen->vm, .jobs = gen->bind.jobs, .run_ref = gen->run_job_ref,
		.instance = env->instance, .hold = hold, .unhold = unhold, .owner = gen,
	};

	lua_getfield(L, boot_at, "declared_jobs");
	if (call(gen, 0, 1, err) != 0)
		return -1;
	if (env->loop == NULL || env->pool == NULL)
		return 0;
	gen->bind.schedule = cw_schedule_new(&conf);
	for (int i = 1, n = (int)lua_objlen(L, -1); i <= n; i++) {
		lua_rawgeti(L, -1, i);
		cw_schedule_add(gen->bind.schedule, L);
	}
	return 0;
}

static void generation_free(struct generation *gen)
{
	cw_schedule_free(&gen->bind.schedule);
	if (gen->held != NULL) {
		cw_router_on_free(gen->held, NULL, NULL);
		cw_router_unref(&gen->held);
	}
	cw_jobs_free(&gen->bind.jobs);
	cw_vm_free(&gen->vm);
	cw_map_free(&gen->libs);
	for (int i = 0; i < gen->nfiles; i++) {
		cw_free(gen->files[i].name);
		cw_free(gen->files[i].text);
	}
	cw_free(gen->files);
	cw_free(gen->endpoints);
	cw_free(gen->openapi);
	cw_list_remove(&gen->link);
	cw_free(gen);
}

static void free_later(void *arg)
{
	generation_free(arg);
}

/* The router's last reference has gone: no request of this generation is left. It may have gone with the answer that
 * the generation's own job is giving right now, so the end of the turn is early enough. */
static void on_router_free(void *arg)
{
	const struct generation *gen = arg;

	if (gen->scripts->env.loop != NULL)
		cw_loop_defer(gen->scripts->env.loop, free_later, arg);
}

static int build(struct generation *gen, const struct cw_scripts_conf *conf, struct cw_err *err)
{
	struct cw_vm_conf vm = { .world = CW_WORLD_SCRIPTS, .soft_bytes = conf->memory_bytes, .jit = true };
	int boot_at;

	gen->limits = conf->routes;
	gen->nlimits = conf->nroutes;
	if (read_folder(gen, conf->dir, "lib", err) != 0 || read_folder(gen, conf->dir, "api", err) != 0)
		return -1;
	if (gen->nfiles > 0 &&
	    (read_folder(gen, conf->dir, "policy", err) != 0 || read_folder(gen, conf->dir, "jobs", err) != 0))
		return -1;
	if (gen->nfiles == 0)
		return cw_err_set(err, CW_ERR_SCRIPT, "there are no scripts in \"%s/api\"", conf->dir);
	qsort(gen->files, (size_t)gen->nfiles, sizeof(*gen->files), by_name);
	for (int i = 0; i < gen->nfiles; i++)
		if (strncmp(gen->files[i].name, "lib/", 4) == 0)
			cw_map_put(gen->libs, gen->files[i].name, strlen(gen->files[i].name), &gen->files[i]);
	gen->vm = cw_vm_new(&vm, err);
	if (gen->vm == NULL)
		return -1;
	cw_vm_set_owner(gen->vm, &gen->bind);
	gen->bind.jobs = cw_jobs_new(gen->vm, (int64_t)conf->turn_ms * 1000);
	if (boot(gen, err) != 0)
		return -1;
	boot_at = lua_gettop(cw_vm_state(gen->vm));
	for (int i = 0; i < gen->nfiles; i++)
		if (strncmp(gen->files[i].name, "lib/", 4) != 0 && run_file(gen, &gen->files[i], boot_at, err) != 0)
			return -1;
	if (register_endpoints(gen, boot_at, err) != 0 || make_schedule(gen, boot_at, err) != 0)
		return -1;
	lua_settop(cw_vm_state(gen->vm), 0);
	return make_openapi(gen, err);
}

static struct generation *generation_new(struct cw_scripts *scripts, const struct cw_scripts_conf *conf,
                                         struct cw_err *err)
{
	struct generation *gen = cw_zalloc(sizeof(*gen));

	gen->scripts = scripts;
	gen->bind.env = &scripts->env;
	gen->libs = cw_map_new();
	gen->router = cw_router_new();
	cw_list_append(&scripts->generations, &gen->link);
	if (build(gen, conf, err) != 0) {
		cw_router_unref(&gen->router);
		generation_free(gen);
		return NULL;
	}
	cw_router_on_free(gen->router, on_router_free, gen);
	return gen;
}

static void retire(struct generation **gen)
{
	struct generation *g = *gen;
	struct cw_router *router;

	*gen = NULL;
	if (g == NULL)
		return;
	if (g->bind.schedule != NULL)
		cw_schedule_stop(g->bind.schedule);
	router = g->router;
	g->router = NULL;
	cw_router_unref(&router);
}

struct cw_scripts *cw_scripts_new(const struct cw_script_env *env, const struct cw_scripts_conf *conf,
                                  struct cw_err *err)
{
	struct cw_scripts *scripts = cw_zalloc(sizeof(*scripts));

	scripts->env = *env;
	scripts->conf_json = cw_strdup(env->conf_json != NULL ? env->conf_json : "{}");
	cw_list_init(&scripts->generations);
	if (cw_scripts_prepare(scripts, conf, err) != 0) {
		cw_scripts_free(&scripts);
		return NULL;
	}
	cw_scripts_commit(scripts);
	return scripts;
}

void cw_scripts_free(struct cw_scripts **scripts)
{
	struct cw_scripts *s = *scripts;

	*scripts = NULL;
	if (s == NULL)
		return;
	retire(&s->prepared);
	retire(&s->live);
	while (!cw_list_empty(&s->generations)) {
		struct generation *gen = cw_list_entry(s->generations.next, struct generation, link);

		if (s->env.loop != NULL)
			cw_loop_undefer(s->env.loop, free_later, gen);
		generation_free(gen);
	}
	cw_free(s->conf_json);
	cw_free(s);
}

void cw_scripts_set_settings(struct cw_scripts *scripts, const char *conf_json)
{
	cw_free(scripts->conf_json);
	scripts->conf_json = cw_strdup(conf_json);
}

int cw_scripts_prepare(struct cw_scripts *scripts, const struct cw_scripts_conf *conf, struct cw_err *err)
{
	cw_scripts_discard(scripts);
	scripts->prepared = generation_new(scripts, conf, err);
	return scripts->prepared != NULL ? 0 : -1;
}

void cw_scripts_commit(struct cw_scripts *scripts)
{
	if (scripts->prepared == NULL)
		return;
	retire(&scripts->live);
	scripts->live = scripts->prepared;
	scripts->prepared = NULL;
	if (scripts->live->bind.schedule != NULL)
		cw_schedule_start(scripts->live->bind.schedule);
}

void cw_scripts_discard(struct cw_scripts *scripts)
{
	retire(&scripts->prepared);
}

struct cw_router *cw_scripts_router(struct cw_scripts *scripts)
{
	return cw_router_ref(scripts->live->router);
}

int cw_scripts_routes(const struct cw_scripts *scripts)
{
	return scripts->live->nendpoints;
}

const char *cw_scripts_openapi(struct cw_scripts *scripts)
{
	return scripts->live->openapi;
}
