#include "app/ops.h"

#include <stdio.h>
#include <string.h>

#include "app/archive.h"
#include "app/config.h"
#include "app/eval.h"
#include "app/labels.h"
#include "app/parts.h"
#include "app/reload.h"
#include "app/rule_sources.h"
#include "app/sources.h"
#include "app/version.h"
#include "app/workbench.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/sse.h"
#include "loop/loop.h"
#include "lua/scripts.h"
#include "pg/result.h"
#include "pipeline/diff.h"
#include "store/rules.h"

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
		cw_buf_printf(&json, ",\"changes\":%s}", cw_reload_changes(rc->engine));
		rc->call->json = cw_buf_take(&json, NULL);
	}
	cw_loop_defer(rc->engine->loop, answer, rc->call);
	cw_free(rc);
}

/* --- a change of the rules that is no file --- */

static const struct { const char *name; enum cw_rule_change_kind kind; } changes[] = {
	{ "rules.submit", CW_CHANGE_SUBMIT }, { "rules.withdraw", CW_CHANGE_WITHDRAW },
	{ "rules.promote", CW_CHANGE_PROMOTE },
};

static void on_changed(void *arg, const struct cw_rule_change *change, const char *message, const struct cw_err *err)
{
	struct reload_call *rc = arg;
	struct cw_rule_view view = { .version = "", .status = "" };
	struct cw_buf json = CW_BUF_INIT;
	struct cw_err none;

	if (err != NULL) {
		rc->call->failed = true;
		rc->call->err = *err;
	} else {
		cw_pipeline_view_rule(rc->engine->pipeline, change->id, change->kind == CW_CHANGE_SUBMIT, &view, &none);
		cw_buf_puts(&json, "{\"message\":");
		cw_json_put_cstring(&json, message);
		cw_buf_puts(&json, ",\"rule\":");
		cw_json_put_cstring(&json, change->id);
		cw_buf_puts(&json, ",\"version\":");
		cw_json_put_cstring(&json, view.version);
		cw_buf_printf(&json, ",\"status\":\"%s\",\"sha256\":\"%s\",\"replaces\":\"%s\",\"source\":", view.status,
		              change->sha256 != NULL ? change->sha256 : "", change->replaces != NULL ? change->replaces : "");
		cw_json_put_cstring(&json, change->source != NULL ? change->source : "");
		cw_buf_puts(&json, "}");
		rc->call->json = cw_buf_take(&json, NULL);
	}
	cw_loop_defer(rc->engine->loop, answer, rc->call);
	cw_free(rc);
}

/* A candidate goes live: it must be there, at work, and know what it would know had it been live. */
static int check_promotion(struct cw_engine *e, struct cw_rule_change *change, bool force, struct cw_err *err)
{
	struct cw_rule_view candidate, live;
	struct cw_err none;

	if (cw_pipeline_view_rule(e->pipeline, change->id, true, &candidate, err) != 0)
		return -1;
	if (strcmp(candidate.status, "quarantined") == 0 || strcmp(candidate.status, "disabled") == 0)
		return cw_err_set(err, CW_ERR_CONFLICT, "the candidate of rule \"%s\" cannot be promoted: it is %s", change->id,
		                  candidate.status);
	if (!candidate.warm && !force)
		return cw_err_set(err, CW_ERR_CONFLICT, "the candidate of rule \"%s\" cannot be promoted yet: it is warming; wait, "
		                  "or force it", change->id);
	change->sha256 = candidate.sha256;
	change->replaces = cw_pipeline_view_rule(e->pipeline, change->id, false, &live, &none) == 0 ? live.sha256 : "";
	return 0;
}

static const char *text_of(const struct cw_json *args, const char *key)
{
	const struct cw_json *value = cw_json_get(args, key);

	return value != NULL && value->type == CW_JSON_STRING ? value->text : NULL;
}

static int read_change(struct cw_engine *e, struct cw_rule_change *change, const struct cw_json *args, struct cw_err *err)
{
	const struct cw_json *force = cw_json_get(args, "force");
	struct cw_rule_view view;

	change->id = text_of(args, "rule");
	change->source = text_of(args, "source");
	if (change->id == NULL || (change->kind == CW_CHANGE_SUBMIT && change->source == NULL))
		return cw_err_set(err, CW_ERR_INVALID, "the name of the rule or its text is missing");
	if (strlen(change->id) > 64 || strspn(change->id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
	    strlen(change->id))
		return cw_err_set(err, CW_ERR_INVALID, "\"%.80s\" cannot be the id of a rule", change->id);
	if (change->kind == CW_CHANGE_PROMOTE)
		return check_promotion(e, change, force != NULL && force->type == CW_JSON_TRUE, err);
	if (change->kind == CW_CHANGE_WITHDRAW)
		return cw_pipeline_view_rule(e->pipeline, change->id, true, &view, err);
	return 0;
}

static void change_rules(struct cw_engine *e, struct call *c, enum cw_rule_change_kind kind, const char *args_json)
{
	struct cw_rule_change change = { .kind = kind };
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *args = cw_json_parse(args_json, strlen(args_json), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	struct reload_call *rc;

	if (args == NULL)
		cw_err_set(&c->err, CW_ERR_INVALID, "the arguments are not JSON: %s", fault.what);
	if (args == NULL || read_change(e, &change, args, &c->err) != 0) {
		c->failed = true;
		cw_loop_defer(e->loop, answer, c);
	} else {
		rc = cw_zalloc(sizeof(*rc));
		rc->engine = e;
		rc->call = c;
		cw_reload_change(e, &change, on_changed, rc);
	}
	cw_arena_free(&arena);
}

/* --- a candidate against the live version --- */

struct diff {
	struct cw_engine *engine;
	struct call *call;
	struct cw_arena *arena;
	const char *id;
	size_t listed;
};

static void put_version(struct cw_buf *out, const char *key, const struct cw_rule_view *view)
{
	cw_buf_printf(out, "\"%s\":{\"version\":", key);
	cw_json_put_cstring(out, view->version);
	cw_buf_printf(out, ",\"sha256\":\"%s\",\"status\":\"%s\",\"mean_us\":%.3f,\"mean_ticks\":%.1f},", view->sha256,
	              view->status, view->mean_us, view->mean_ticks);
}

static void on_alerts(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct diff *d = arg;
	int n = err == NULL ? cw_result_rows(res) : 0;
	struct cw_diff_alert *alerts = cw_arena_zalloc(d->arena, ((size_t)n + 1) * sizeof(*alerts));
	struct cw_rule_view live = { .version = "", .sha256 = "", .status = "" }, candidate = live;
	struct cw_buf json = CW_BUF_INIT;
	struct cw_err none;

	for (int i = 0; i < n; i++)
		alerts[i] = (struct cw_diff_alert){
			.seq = (uint64_t)cw_result_i64(res, i, 0), .candidate = cw_result_bool(res, i, 1),
			.hash = cw_result_text(res, i, 2, NULL), .entity = cw_result_text(res, i, 3, NULL),
			.severity = cw_result_text(res, i, 4, NULL), .score = cw_result_f64(res, i, 5),
			.explanation = cw_result_text(res, i, 6, NULL),
		};
	if (err != NULL) {
		d->call->failed = true;
		d->call->err = *err;
	} else {
		cw_buf_puts(&json, "{\"rule\":");
		cw_json_put_cstring(&json, d->id);
		cw_buf_puts(&json, ",\"versions\":{");
		if (cw_pipeline_view_rule(d->engine->pipeline, d->id, false, &live, &none) == 0)
			put_version(&json, "live", &live);
		if (cw_pipeline_view_rule(d->engine->pipeline, d->id, true, &candidate, &none) == 0)
			put_version(&json, "candidate", &candidate);
		if (json.data[json.len - 1] == ',')
			json.data[--json.len] = '\0';
		cw_buf_printf(&json, "},\"after\":%llu,", (unsigned long long)candidate.from);
		cw_diff_alerts(alerts, (size_t)n, d->listed, &json);
		cw_buf_putc(&json, '}');
		d->call->json = cw_buf_take(&json, NULL);
	}
	cw_loop_defer(d->engine->loop, answer, d->call);
	cw_arena_free(&d->arena);
}

static void diff_rules(struct cw_engine *e, struct call *c, const char *args_json)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *args = cw_json_parse(args_json, strlen(args_json), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	const struct cw_json *listed = cw_json_get(args, "limit"), *since = cw_json_get(args, "since");
	struct cw_rule_view candidate, live = { 0 };
	struct diff *d = cw_arena_zalloc(arena, sizeof(*d));
	double number = 100, since_s = 0;
	struct cw_err none;

	*d = (struct diff){ .engine = e, .call = c, .arena = arena, .id = text_of(args, "rule") };
	if (listed != NULL)
		cw_json_to_double(listed, &number);
	if (since != NULL && since->type == CW_JSON_NUMBER)
		cw_json_to_double(since, &since_s);
	d->listed = (size_t)number;
	if (d->id == NULL)
		cw_err_set(&c->err, CW_ERR_INVALID, "the name of the rule is missing");
	if (d->id == NULL || cw_pipeline_view_rule(e->pipeline, d->id, true, &candidate, &c->err) != 0) {
		c->failed = true;
		cw_loop_defer(e->loop, answer, c);
		cw_arena_free(&arena);
		return;
	}
	cw_pipeline_view_rule(e->pipeline, d->id, false, &live, &none);
	cw_rule_alerts(e->pool, d->id, live.version_id, candidate.version_id, candidate.from, (int64_t)(since_s * 1e6),
	               on_alerts, d);
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

/* --- an object for the archive --- */

static void on_archived(void *arg, const char *json, const struct cw_err *err)
{
	struct call *c = arg;

	c->failed = err != NULL;
	if (err != NULL)
		c->err = *err;
	else
		c->json = cw_strdup(json);
	answer(c);
}

static void put_archive(struct cw_engine *e, struct call *c, const char *args_json)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *args = cw_json_parse(args_json, strlen(args_json), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	const char *to = text_of(args, "to"), *key = text_of(args, "key"), *text = text_of(args, "text");

	if (to != NULL && key != NULL && text != NULL) {
		cw_archive_put(e, to, key, text, on_archived, c);
	} else {
		c->failed = true;
		cw_err_set(&c->err, CW_ERR_INVALID, "archive.put takes { to, key, text }");
		cw_loop_defer(e->loop, answer, c);
	}
	cw_arena_free(&arena);
}

/* --- labels that have been committed go live --- */

struct refresh {
	struct cw_engine *engine;
	struct call *call;
};

static void on_live(void *arg, const struct cw_err *err)
{
	struct refresh *r = arg;

	if (err != NULL) {
		r->call->failed = true;
		r->call->err = *err;
	} else {
		r->call->json = cw_strdup("{\"live\":true}");
	}
	cw_loop_defer(r->engine->loop, answer, r->call);
	cw_free(r);
}

static void refresh_labels(struct cw_engine *e, struct call *c)
{
	struct refresh *r;

	if (e->labels == NULL) {
		c->failed = true;
		cw_err_set(&c->err, CW_ERR_BUSY, "no rules are live yet");
		cw_loop_defer(e->loop, answer, c);
		return;
	}
	r = cw_zalloc(sizeof(*r));
	r->engine = e;
	r->call = c;
	cw_label_watch_refresh(e->labels, on_live, r);
}

void cw_ops_call(void *engine, const char *name, const char *args_json, cw_ops_done_fn *done, void *done_arg)
{
	struct cw_engine *e = engine;
	struct call *c;

	if (e->workbench != NULL && cw_workbench_call(e->workbench, name, args_json, done, done_arg))
		return;
	c = cw_zalloc(sizeof(*c));
	c->done = done;
	c->arg = done_arg;
	if (strcmp(name, "reload") == 0) {
		struct reload_call *rc = cw_zalloc(sizeof(*rc));

		rc->engine = e;
		rc->call = c;
		cw_reload_start(e, on_reloaded, rc);
		return;
	}
	if (strcmp(name, "labels.refresh") == 0) {
		refresh_labels(e, c);
		return;
	}
	if (strcmp(name, "rules.diff") == 0) {
		diff_rules(e, c, args_json);
		return;
	}
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
		if (strcmp(name, changes[i].name) == 0) {
			change_rules(e, c, changes[i].kind, args_json);
			return;
		}
	if (strcmp(name, "sources") == 0) {
		struct cw_buf json = CW_BUF_INIT;

		cw_sources_status(e->sources, &json);
		c->json = cw_buf_take(&json, NULL);
		cw_loop_defer(e->loop, answer, c);
		return;
	}
	if (strcmp(name, "archive.put") == 0) {
		put_archive(e, c, args_json);
		return;
	}
	c->failed = true;
	if (strcmp(name, "deliver.targets") == 0) {
		c->failed = false;
		c->json = cw_strdup(e->config->deliver.json != NULL ? e->config->deliver.json : "[]");
		cw_loop_defer(e->loop, answer, c);
		return;
	}
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
	cw_buf_printf(out, ",\"features\":%s,\"role\":\"%s\",\"entity\":", a->features, cw_alert_role_name(a->role));
	if (a->entity[0] != '\0')
		cw_json_put_cstring(out, a->entity);
	else
		cw_buf_puts(out, "null");
	cw_buf_printf(out, ",\"labels\":%s", a->labels);
	if (a->alert != NULL)
		cw_buf_printf(out, ",\"occurrences\":%u,\"finality\":\"%s\"", a->alert->occurrences,
		              a->provisional ? "provisional" : "final");
	if (a->reborn_of != 0)
		cw_buf_printf(out, ",\"reborn_of\":%lld", (long long)a->reborn_of);
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

void cw_ops_retract(void *engine, const struct cw_retraction *r)
{
	struct cw_engine *e = engine;
	struct cw_buf data = CW_BUF_INIT;

	cw_buf_printf(&data, "{\"id\":%lld,\"rule\":", (long long)r->anomaly_id);
	cw_json_put_cstring(&data, r->rule);
	cw_buf_puts(&data, ",\"version\":");
	cw_json_put_cstring(&data, r->version);
	cw_buf_puts(&data, ",\"title\":");
	cw_json_put_cstring(&data, r->title);
	cw_buf_printf(&data, ",\"severity\":\"%s\",\"dedup_key\":", cw_severity_name(r->severity));
	cw_json_put_cstring(&data, r->dedup);
	cw_buf_printf(&data, ",\"finality\":\"retracted\",\"reorg\":%lld,\"chainId\":\"%llu\"}", (long long)r->reorg_id,
	              (unsigned long long)r->chain_id);
	cw_sse_publish(e->anomalies, 0, "anomaly.retracted", data.data, data.len);
	cw_buf_release(&data);
}

void cw_ops_alarm(void *engine, const char *rule, const struct cw_rule_alarm *alarm, bool raised, const char *message)
{
	struct cw_engine *e = engine;
	struct cw_buf data = CW_BUF_INIT;

	cw_buf_puts(&data, "{\"rule\":");
	cw_json_put_cstring(&data, rule);
	cw_buf_printf(&data, ",\"kind\":\"%s\",\"raised\":%s,\"message\":", alarm->kind, raised ? "true" : "false");
	cw_json_put_cstring(&data, message);
	cw_buf_putc(&data, '}');
	cw_sse_publish(e->anomalies, 0, "rule.alarm", data.data, data.len);
	cw_buf_release(&data);
}

struct cw_scripts_conf cw_ops_scripts_conf(const struct cw_config *config)
{
	return (struct cw_scripts_conf){
		.dir = config->scripts_dir,
		.memory_bytes = (unsigned long)config->script_memory_mb << 20,
		.turn_ms = (long)config->turn_ms,
		.routes = config->routes,
		.nroutes = config->nroutes,
	};
}

const char *cw_ops_conf_json(struct cw_engine *e, const struct cw_config *config)
{
	struct cw_buf json = CW_BUF_INIT;

	cw_buf_printf(&json, "{\"version\":\"%s\",\"commit\":\"%s\",\"chain_id\":%lld,\"settings\":", cw_version, cw_commit,
	              (long long)config->chain_id);
	cw_config_to_json(config, &json);
	cw_buf_puts(&json, "}");
	cw_free(e->conf_json);
	e->conf_json = cw_buf_take(&json, NULL);
	return e->conf_json;
}
