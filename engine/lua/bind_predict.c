/* bind_predict.c - table `predict`: transactions from a request's body into the pipeline.
 *
 *   predict.transaction() -> JSON text of the verdict | nil, err
 * waits; the batch form, which answers the request itself, is in lua/batch.c. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/request.h"
#include "http/router.h"
#include "lua/batch.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "lua/verdict_json.h"
#include "pipeline/pipeline.h"

struct wait {
	struct cw_job *job;
	struct cw_pipeline *pipeline;
	uint64_t ticket, submission;
	struct cw_buf json;
	struct cw_err err;
};

static void wait_release(void *arg)
{
	struct wait *w = arg;

	cw_buf_release(&w->json);
}

static void wait_cancel(void *arg)
{
	struct wait *w = arg;

	cw_pipeline_cancel(w->pipeline, w->submission);
}

static void on_outcome(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	struct wait *w = arg;

	(void)n;
	if (outcomes[0].err != NULL)
		w->err = *outcomes[0].err;
	else
		cw_put_verdict(&w->json, &outcomes[0]);
	cw_job_resume(w->job, w->ticket);
}

/* true, nil, err for boot.lua: answered at once. */
static int refuse(lua_State *L, int status, const char *code, const char *message, const char *errors)
{
	lua_pushboolean(L, 1);
	lua_pushnil(L);
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, status);
	lua_setfield(L, -2, "status");
	lua_pushstring(L, code);
	lua_setfield(L, -2, "code");
	lua_pushstring(L, message);
	lua_setfield(L, -2, "message");
	if (errors != NULL) {
		lua_pushstring(L, errors);
		lua_setfield(L, -2, "errors");
	}
	return 3;
}

static int refuse_json(lua_State *L, const struct cw_json_error *error)
{
	struct cw_buf text = CW_BUF_INIT;
	const char *code;
	int status = cw_json_error_status(error, &code), n;

	cw_put_json_error(&text, error);
	n = refuse(L, status, code, text.data, NULL);
	cw_buf_release(&text);
	return n;
}

static int refuse_faults(lua_State *L, const struct cw_tx_faults *faults)
{
	struct cw_buf text = CW_BUF_INIT, list = CW_BUF_INIT;
	int count = 0, n;

	for (int i = 0; i < faults->count; i++)
		cw_buf_printf(&text, "%s%s %s", i > 0 ? "; " : "",
		              faults->list[i].pointer[0] != '\0' ? faults->list[i].pointer : "the body", faults->list[i].what);
	cw_buf_putc(&list, '[');
	cw_put_tx_faults(&list, "", faults, &count);
	cw_buf_putc(&list, ']');
	n = refuse(L, 422, "transaction_invalid", text.data, list.data);
	cw_buf_release(&text);
	cw_buf_release(&list);
	return n;
}

static int l_start(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_request *req = cw_job_request(job);
	struct cw_origin origin;
	struct cw_tx_faults faults;
	struct cw_json_error error;
	struct cw_tx_in in;
	const struct cw_json *body;
	struct cw_slice kind;
	struct wait *w;

	if (req == NULL)
		return luaL_error(L, "predict.transaction works inside a request only");
	kind = cw_request_header(req, "Content-Type");
	if (!cw_media_json(kind))
		return refuse(L, 415, "media_type", "the body must be application/json", NULL);
	body = cw_json_parse(req->body, req->body_len, CW_JSON_DEPTH_DEFAULT, req->arena, &error);
	if (body == NULL)
		return refuse_json(L, &error);
	if (cw_tx_from_json(&in, body, env->chain_id != NULL ? *env->chain_id : 1, req->arena, &faults) != 0)
		return refuse_faults(L, &faults);
	w = cw_arena_zalloc(req->arena, sizeof(*w));
	w->job = job;
	w->pipeline = env->pipeline;
	w->ticket = cw_job_ticket(job);
	cw_buf_init(&w->json);
	cw_arena_cleanup(req->arena, wait_release, w);
	cw_origin_of(req, &origin);
	w->submission = cw_pipeline_submit(env->pipeline, &in, 1, &origin, on_outcome, w, &w->err);
	if (w->submission == 0) {
		lua_pushboolean(L, 1);
		lua_pushnil(L);
		cw_bind_push_error(L, &w->err, NULL);
		return 3;
	}
	return cw_job_wait(job, wait_cancel, w);
}

static int l_collect(lua_State *L)
{
	struct wait *w = cw_job_answer(L);

	if (w->err.code != CW_OK) {
		lua_pushnil(L);
		cw_bind_push_error(L, &w->err, NULL);
		return 2;
	}
	lua_pushlstring(L, w->json.data, w->json.len);
	return 1;
}

/* predict.batch(): takes the request over. */
static int l_batch(lua_State *L)
{
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_job *job = cw_job_check_wait(L);

	struct cw_request *req = cw_job_request(job);

	if (req == NULL || req->route == NULL || (req->route->flags & CW_ROUTE_STREAM_BODY) == 0)
		return luaL_error(L, "predict.batch works inside a request whose endpoint has body = { stream = true } only");
	cw_batch_take(env, req);
	lua_pushlightuserdata(L, cw_job_request(job));
	return 1;
}

void cw_bind_predict(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "start", l_start }, { "collect", l_collect }, { "batch", l_batch }, { NULL, NULL },
	};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}
