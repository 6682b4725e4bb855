#include "app/eval.h"

#include <string.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pipeline/supervise.h"
#include "state/state.h"

#define LOAD_MS 5000          /* ticks and the second of wall time end a run long before; this ends what they cannot */

struct eval {
	struct cw_list link;
	struct cw_engine *engine;
	struct cw_state *st;
	struct cw_supervisor *supervisor;
	cw_eval_fn *fn;
	void *arg;
	char *report;
	struct cw_err err;
};

static void eval_free(void *arg)
{
	struct eval *v = arg;

	v->engine->evals.n--;
	cw_list_remove(&v->link);
	cw_supervisor_free(&v->supervisor);
	cw_state_close(&v->st);
	cw_free(v->report);
	cw_free(v);
}

static void finish(void *arg)
{
	struct eval *v = arg;

	v->fn(v->arg, v->report, v->report == NULL ? &v->err : NULL);
	eval_free(v);
}

/* The supervisor must not be freed in here. */
static void on_loaded(void *arg, const char *report, const struct cw_err *err)
{
	struct eval *v = arg;

	if (err != NULL)
		v->err = *err;
	else
		v->report = cw_strdup(report);
	cw_loop_defer(v->engine->loop, finish, v);
}

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	(void)arg;
	(void)seq;
	(void)bytes;
	(void)len;
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	(void)arg;
	(void)event;
	(void)rule;
	(void)reason;
}

static int load(struct eval *v, enum cw_world world, const char *text, size_t len, struct cw_err *err)
{
	const struct cw_config *config = v->engine->config;
	bool rules = world == CW_WORLD_RULES;
	struct cw_bundle_file file = { .name = "eval.lua", .text = text, .len = len };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = "{}", .tested = true };
	struct cw_buf options = CW_BUF_INIT;
	int rc;

	cw_buf_printf(&options, "{\"run\":\"%s\",\"jit\":%s,\"ticks\":%lld,\"memory_bytes\":%lld}",
	              rules ? "rules" : "scripts", config->jit ? "true" : "false", (long long)config->ticks,
	              (long long)(rules ? config->rule_memory_mb : config->script_memory_mb) << 20);
	bundle.options_json = options.data;
	rc = cw_supervisor_load(v->supervisor, &bundle, on_loaded, v, err);
	cw_buf_release(&options);
	return rc;
}

int cw_eval_start(struct cw_engine *e, enum cw_world world, const char *text, size_t len, cw_eval_fn *fn, void *arg,
                  struct cw_err *err)
{
	static const struct cw_state_conf state = { .max_bytes = 1u << 20, .journal_bytes = 1u << 20 };
	struct cw_supervisor_conf conf = cw_supervisor_conf_default;
	struct eval *v;

	if (len > CW_EVAL_TEXT_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "the text has %zu bytes, more than %zu", len, CW_EVAL_TEXT_MAX);
	if (e->evals.n >= CW_EVAL_AT_ONCE)
		return cw_err_set(err, CW_ERR_BUSY, "%d scripts are being run already", CW_EVAL_AT_ONCE);
	v = cw_zalloc(sizeof(*v));
	*v = (struct eval){ .engine = e, .fn = fn, .arg = arg };
	cw_list_append(&e->evals.list, &v->link);
	e->evals.n++;
	conf.ring_slots = 64;
	conf.load_ms = LOAD_MS;
	v->st = cw_state_new(&state, err);
	if (v->st != NULL)
		v->supervisor = cw_supervisor_new(e->loop, e->zygote, v->st, &conf, on_verdict, on_event, v, err);
	if (v->supervisor == NULL || load(v, world, text, len, err) != 0) {
		eval_free(v);
		return -1;
	}
	return 0;
}

void cw_eval_stop(struct cw_engine *e)
{
	while (e->evals.n > 0) {
		struct eval *v = cw_list_entry(e->evals.list.next, struct eval, link);

		cw_loop_undefer(e->loop, finish, v);
		cw_free(v->report);
		v->report = NULL;
		cw_err_set(&v->err, CW_ERR_CANCELLED, "the engine is stopping");
		finish(v);
	}
}
