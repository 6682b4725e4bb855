#include "app/ops.h"

#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/eval.h"
#include "app/parts.h"
#include "app/reload.h"
#include "app/version.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/sse.h"
#include "loop/loop.h"
#include "lua/scripts.h"

struct call {
	cw_ops_done_fn *done;
	void *arg;
	char *json;
	struct cw_err err;
	bool failed;
};

/* Answers at the end of the turn: an operation that is refused at once must not answer inside the call. */
static void answer(void *arg)
{
	struct call *c = arg;

	c->done(c->arg, c->json, c->failed ? &c->err : NULL);
	cw_free(c->json);
	cw_free(c);
}

struct reload_call {
	struct cw_engine *engine;
	struct call *call;
};

static void on_reloaded(void *arg, const char *message, const struct cw_err *err)
{
	struct reload_call *rc = arg;
	struct cw_buf json = CW_BUF_INIT;

	if (err != NULL) {
		rc->call->failed = true;
		rc->call->err = *err;
	} else {
		cw_buf_puts(&json, "{\"message\":");
		cw_json_put_cstring(&json, message);
		cw_buf_puts(&json, "}");
		rc->call->json = cw_buf_take(&json, NULL);
	}
	cw_loop_defer(rc->engine->loop, answer, rc->call);
	cw_free(rc);
}

/* --- lua --- */

static void on_evaluated(void *arg, const char *report_json, const struct cw_err *err)
{
	struct call *c = arg;

	c->done(c->arg, report_json, err);
	cw_free(c);
}

static int start_eval(struct cw_engine *e, const char *args_json, struct call *c, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *args = cw_json_parse(args_json, strlen(args_json), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	const struct cw_json *world = args != NULL ? cw_json_get(args, "world") : NULL;
	const struct cw_json *text = args != NULL ? cw_json_get(args, "text") : NULL;
	int rc = -1;

	if (!e->config->allow_eval)
		cw_err_set(err, CW_ERR_DENIED, "running texts is off: admin.allow_eval is false");
	else if (world == NULL || world->type != CW_JSON_STRING || text == NULL || text->type != CW_JSON_STRING)
		cw_err_set(err, CW_ERR_INVALID, "\"lua\" needs world and text");
	else
		rc = cw_eval_start(e, strcmp(world->text, "scripts") == 0 ? CW_WORLD_SCRIPTS : CW_WORLD_RULES, text->text,
		                   text->len, on_evaluated, c, err);
	cw_arena_free(&arena);
	return rc;
}

void cw_ops_call(void *engine, const char *name, const char *args_json, cw_ops_done_fn *done, void *done_arg)
{
	struct cw_engine *e = engine;
	struct call *c = cw_zalloc(sizeof(*c));

	c->done = done;
	c->arg = done_arg;
	if (strcmp(name, "reload") == 0) {
		struct reload_call *rc = cw_zalloc(sizeof(*rc));

		rc->engine = e;
		rc->call = c;
		cw_reload_start(e, on_reloaded, rc);
		return;
	}
	c->failed = true;
	if (strcmp(name, "lua") == 0) {
		if (start_eval(e, args_json, c, &c->err) != 0)
			cw_loop_defer(e->loop, answer, c);
		return;
	}
	cw_err_set(&c->err, CW_ERR_NOT_FOUND, "the engine has no operation \"%s\"", name);
	cw_loop_defer(e->loop, answer, c);
}

static void put_event(struct cw_buf *out, const struct cw_outcome *o, const struct cw_outcome_alert *a)
{
	char hash[CW_HASH_TEXT], address[CW_ADDRESS_TEXT];

	cw_buf_printf(out, "{\"id\":%lld,\"rule\":", (long long)a->id);
	cw_json_put_cstring(out, a->rule);
	cw_buf_puts(out, ",\"version\":");
	cw_json_put_cstring(out, a->version);
	cw_buf_puts(out, ",\"title\":");
	cw_json_put_cstring(out, a->title);
	cw_buf_printf(out, ",\"severity\":\"%s\",\"score\":", cw_severity_name(a->severity));
	cw_json_put_double(out, a->score);
	cw_buf_puts(out, ",\"confidence\":");
	cw_json_put_double(out, a->confidence);
	cw_buf_puts(out, ",\"explanation\":");
	cw_json_put_cstring(out, a->explanation);
	cw_buf_printf(out, ",\"features\":%s", a->features);
	if (a->alert != NULL)
		cw_buf_printf(out, ",\"occurrences\":%u", a->alert->occurrences);
	cw_buf_printf(out, ",\"chainId\":\"%llu\",\"hash\":\"%s\",\"from\":\"%s\",\"to\":",
	              (unsigned long long)o->tx->chain_id, cw_hash_format(&o->tx->hash, hash),
	              cw_address_format(&o->tx->from, address));
	if (o->tx->has & CW_TX_HAS_TO)
		cw_buf_printf(out, "\"%s\"}", cw_address_format(&o->tx->to, address));
	else
		cw_buf_puts(out, "null}");
}

void cw_ops_publish(void *engine, const struct cw_outcome *outcome)
{
	struct cw_engine *e = engine;

	for (int i = 0; i < outcome->nalerts; i++) {
		const struct cw_outcome_alert *a = &outcome->alerts[i];
		struct cw_buf data = CW_BUF_INIT;

		if (a->event == CW_EVENT_NONE)
			continue;
		put_event(&data, outcome, a);
		/* One that was hidden until now has an id from before. */
		cw_sse_publish(e->anomalies, a->event == CW_EVENT_NEW && (uint64_t)a->id > cw_sse_newest(e->anomalies) ?
		               (uint64_t)a->id : 0, a->event == CW_EVENT_NEW ? "anomaly" : "anomaly.updated", data.data, data.len);
		cw_buf_release(&data);
	}
}

struct cw_scripts_conf cw_ops_scripts_conf(const struct cw_config *config)
{
	return (struct cw_scripts_conf){
		.dir = config->scripts_dir,
		.memory_bytes = (unsigned long)config->script_memory_mb << 20,
		.turn_ms = (long)config->turn_ms,
	};
}

const char *cw_ops_conf_json(struct cw_engine *e)
{
	struct cw_buf json = CW_BUF_INIT;

	cw_buf_printf(&json, "{\"version\":\"%s\",\"commit\":\"%s\",\"chain_id\":%lld,\"settings\":", cw_version, cw_commit,
	              (long long)e->config->chain_id);
	cw_config_to_json(e->config, &json);
	cw_buf_puts(&json, "}");
	cw_free(e->conf_json);
	e->conf_json = cw_buf_take(&json, NULL);
	return e->conf_json;
}
