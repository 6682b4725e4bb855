#include "app/explain.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/offline.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/position.h"
#include "store/transactions.h"
#include "store/workbench.h"

struct cw_explain {
	struct cw_explain_conf conf;
	cw_explain_fn *fn;
	void *arg;
	struct cw_hash hash;
	struct cw_arena *arena;              /* everything that is kept */
	struct cw_timer *deadline;
	uint64_t query;
	struct cw_bundle bundle;
	struct cw_offline *run;
	uint64_t id, begin;
	const char *tx_json, *live_alerts, *prediction;   /* of the store */
	const char *state_path;
	uint8_t state_digest[32];
	uint64_t replayed;
	struct cw_buf out;                   /* the answer */
	struct cw_err err;
	bool over;
};

/* --- the end --- */

static void tell(void *arg)
{
	struct cw_explain *x = arg;

	x->fn(x->arg, x->err.code == CW_OK ? x->out.data : NULL, x->err.code != CW_OK ? &x->err : NULL);
}

static void finish(struct cw_explain *x, const struct cw_err *err)
{
	if (x->over)
		return;
	x->over = true;
	if (err != NULL)
		x->err = *err;
	if (x->deadline != NULL)
		cw_timer_clear(x->deadline);
	cw_loop_defer(x->conf.loop, tell, x);
}

__attribute__((format(printf, 3, 4)))
static void refuse(struct cw_explain *x, enum cw_code code, const char *format, ...)
{
	char what[300];
	struct cw_err err;
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	cw_err_set(&err, code, "%s", what);
	finish(x, &err);
}

/* --- the answer --- */

static const struct cw_json *parse(const char *text, struct cw_arena *arena)
{
	struct cw_json_error fault;

	return text != NULL ? cw_json_parse(text, strlen(text), CW_JSON_DEPTH_DEFAULT, arena, &fault) : NULL;
}

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = object != NULL ? cw_json_get(object, name) : NULL;

	return value != NULL && value->text != NULL ? value->text : "";
}

static double number_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = object != NULL ? cw_json_get(object, name) : NULL;
	double x = -1;

	return value != NULL && cw_json_to_double(value, &x) ? x : -1;
}

/* What live traffic said of this rule: an alert, a fault, or NULL for quiet. */
static const struct cw_json *live_of(const struct cw_json *list, const char *rule)
{
	for (const struct cw_json *e = list != NULL ? list->first : NULL; e != NULL; e = e->next)
		if (strcmp(text_of(e, "rule"), rule) == 0)
			return e;
	return NULL;
}

static bool same_alert(const struct cw_alert *alert, const struct cw_json *live)
{
	return alert != NULL && live != NULL && strcmp(text_of(live, "dedup"), alert->dedup) == 0 &&
	       strcmp(text_of(live, "severity"), cw_severity_name(alert->severity)) == 0 &&
	       number_of(live, "score") == alert->score && number_of(live, "confidence") == alert->confidence;
}

static void put_alert(struct cw_buf *out, const struct cw_alert *a)
{
	cw_buf_printf(out, "{\"severity\":\"%s\",\"score\":", cw_severity_name(a->severity));
	cw_json_put_double(out, a->score);
	cw_buf_puts(out, ",\"confidence\":");
	cw_json_put_double(out, a->confidence);
	cw_buf_puts(out, ",\"dedup\":");
	cw_json_put_cstring(out, a->dedup);
	cw_buf_printf(out, ",\"founder\":\"%" PRIu64 "\",\"occurrences\":%u,\"explanation\":", a->founder, a->occurrences);
	cw_json_put_cstring(out, a->explanation);
	cw_buf_printf(out, ",\"features\":%s}", a->features);
}

/* "live" and "agrees": whether live traffic said the same; null where it cannot be told. */
static void put_live(struct cw_explain *x, const struct cw_json *rule, const struct cw_alert *alert, bool failed)
{
	const struct cw_json *live = live_of(parse(x->live_alerts, x->arena), text_of(rule, "rule"));
	const struct cw_json *prediction = parse(x->prediction, x->arena), *fault;
	const char *agrees;

	if (x->prediction == NULL || prediction == NULL || prediction->type != CW_JSON_OBJECT) {
		cw_buf_puts(&x->out, ",\"live\":null,\"agrees\":null");
		return;
	}
	fault = live_of(cw_json_get(prediction, "faults"), text_of(rule, "rule"));
	if (live != NULL && strcmp(text_of(live, "version"), text_of(rule, "version")) != 0 &&
	    strncmp(text_of(live, "version"), text_of(rule, "version"), strlen(text_of(rule, "version"))) != 0)
		agrees = "null";
	else if (fault != NULL || failed)
		agrees = fault != NULL && failed ? "true" : "false";
	else
		agrees = (live == NULL) == (alert == NULL) && (live == NULL || same_alert(alert, live)) ? "true" : "false";
	cw_buf_printf(&x->out, ",\"live\":{\"outcome\":\"%s\",\"version\":", live != NULL ? "alert" : fault != NULL ? "fault" :
	              "quiet");
	cw_json_put_cstring(&x->out, live != NULL ? text_of(live, "version") : "");
	if (live != NULL)
		cw_buf_printf(&x->out, ",\"score\":%s,\"severity\":\"%s\",\"anomaly_id\":%s", text_of(live, "score"),
		              text_of(live, "severity"), text_of(live, "anomaly_id"));
	cw_buf_printf(&x->out, "},\"agrees\":%s", agrees);
}

/* The note's rules, each with its alert or fault and what live said. */
static void put_rules(struct cw_explain *x, const struct cw_verdict *v)
{
	const struct cw_json *note = parse(v->note, x->arena), *rules = note != NULL ? cw_json_get(note, "rules") : NULL;
	const char *comma = "";

	for (const struct cw_json *rule = rules != NULL ? rules->first : NULL; rule != NULL; rule = rule->next) {
		const struct cw_alert *alert = NULL;
		const struct cw_rule_fault *fault = NULL;
		double index = number_of(rule, "index");

		if (x->conf.rule[0] != '\0' && strcmp(text_of(rule, "rule"), x->conf.rule) != 0)
			continue;
		for (uint32_t i = 0; i < v->nalerts; i++)
			alert = v->alerts[i].rule == index ? &v->alerts[i] : alert;
		for (uint32_t i = 0; i < v->nfaults; i++)
			fault = v->faults[i].rule == index ? &v->faults[i] : fault;
		cw_buf_puts(&x->out, comma);
		cw_json_put_value(&x->out, rule);
		x->out.data[--x->out.len] = '\0';           /* its closing brace */
		if (alert != NULL) {
			cw_buf_puts(&x->out, ",\"alert\":");
			put_alert(&x->out, alert);
		}
		if (fault != NULL) {
			cw_buf_printf(&x->out, ",\"fault\":{\"kind\":\"%s\",\"message\":", cw_rule_fault_name(fault->kind));
			cw_json_put_cstring(&x->out, fault->message);
			cw_buf_putc(&x->out, '}');
		}
		put_live(x, rule, alert, fault != NULL);
		cw_buf_putc(&x->out, '}');
		comma = ",";
	}
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const struct cw_offline_label *label)
{
	struct cw_explain *x = arg;
	const struct cw_tx_in in = { .tx = *tx };

	(void)label;
	if (v->note == NULL) {
		x->replayed++;
		return;
	}
	cw_buf_puts(&x->out, "{\"transaction\":");
	if (x->tx_json != NULL) {
		cw_buf_puts(&x->out, x->tx_json);
	} else {
		cw_buf_putc(&x->out, '{');
		cw_tx_to_json(&x->out, &in);
		cw_buf_putc(&x->out, '}');
	}
	cw_buf_printf(&x->out, ",\"replayed\":%" PRIu64 ",\"replayed_after\":\"%" PRIu64 "\",\"rules\":[", x->replayed,
	              cw_offline_after(x->run));
	put_rules(x, v);
	cw_buf_puts(&x->out, "]}");
}

static void on_done(void *arg, const struct cw_err *err)
{
	struct cw_explain *x = arg;
	struct cw_err none;

	if (err == NULL && x->out.len == 0)
		cw_err_set(&none, CW_ERR_NOT_FOUND, "no verdict came for the transaction: a reorg has dropped it");
	finish(x, err != NULL ? err : x->out.len == 0 ? &none : NULL);
}

/* --- the run --- */

static void start_run(struct cw_explain *x)
{
	static const struct cw_offline_fns fns = { .verdict = on_verdict, .done = on_done };
	const struct cw_offline_conf conf = {
		.loop = x->conf.loop, .zygote = x->conf.zygote, .config = x->conf.config, .bundle = &x->bundle,
		.pool = x->conf.pool, .after = x->begin, .up_to = x->id, .explain_id = x->id,
		.files = x->conf.files, .nfiles = x->conf.nfiles, .chain_id = (uint64_t)x->conf.config->chain_id,
		.explain_hash = x->conf.pool == NULL ? &x->hash : NULL, .checkpoint = x->state_path,
	};
	struct cw_offline_conf with = conf;
	struct cw_err err;

	memcpy(with.digest, x->state_digest, sizeof(with.digest));
	x->run = cw_offline_new(&with, &fns, x, &err);
	if (x->run == NULL)
		finish(x, &err);
}

static bool failed(struct cw_explain *x, const struct cw_err *err)
{
	x->query = 0;
	if (err != NULL)
		finish(x, err);
	return err != NULL || x->over;
}

static char *keep(struct cw_explain *x, const char *text)
{
	return cw_arena_strndup(x->arena, text, strlen(text));
}

static void on_sources(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_explain *x = arg;
	int n;

	if (failed(x, err))
		return;
	n = cw_result_rows(res);
	if (n == 0) {
		refuse(x, CW_ERR_NOT_FOUND, "no source of rule \"%s\"%s%s is stored", x->conf.rule,
		       x->conf.version[0] != '\0' ? ", version " : "", x->conf.version);
		return;
	}
	x->bundle.rules = cw_arena_zalloc(x->arena, (size_t)n * sizeof(*x->bundle.rules));
	for (int i = 0; i < n; i++) {
		struct cw_buf name = CW_BUF_INIT;

		cw_buf_printf(&name, "%s@%s", cw_result_text(res, i, 0, NULL), cw_result_text(res, i, 1, NULL));
		x->bundle.rules[i].name = keep(x, name.data);
		x->bundle.rules[i].text = keep(x, cw_result_text(res, i, 3, NULL));
		x->bundle.rules[i].len = strlen(x->bundle.rules[i].text);
		cw_buf_release(&name);
	}
	x->bundle.nrules = n;
	start_run(x);
}

static void on_range(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_explain *x = arg;

	if (failed(x, err))
		return;
	x->begin = (uint64_t)cw_result_i64(res, 0, 0);
	if (x->begin >= x->id)
		x->begin = 0;                /* older than what a start replays: all of it, then */
	if (x->conf.given)
		start_run(x);
	else
		x->query = cw_workbench_sources(x->conf.pool, x->conf.rule, x->conf.version, on_sources, x);
}

static void on_position(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_explain *x = arg;
	const char *database;
	char path[512];

	if (failed(x, err))
		return;
	database = cw_result_text(res, 0, CW_POSITION_DATABASE, NULL);
	crypto_hash_sha256(x->state_digest, (const uint8_t *)database, strlen(database));
	snprintf(path, sizeof(path), "%s/state.ckpt", x->conf.config->data_dir);
	x->state_path = keep(x, path);
	x->query = cw_transactions_replay_range(x->conf.pool, (uint64_t)x->conf.config->replay_max, on_range, x);
}

static void on_found(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_explain *x = arg;

	if (failed(x, err))
		return;
	if (cw_result_rows(res) == 0) {
		refuse(x, CW_ERR_NOT_FOUND, "transaction %s is not stored", x->conf.hash);
		return;
	}
	if (!cw_result_bool(res, 0, CW_WORKBENCH_CANONICAL)) {
		refuse(x, CW_ERR_NOT_FOUND, "transaction %s was dropped by a reorg", x->conf.hash);
		return;
	}
	if (cw_result_i64(res, 0, CW_WORKBENCH_ID) <= 0) {
		refuse(x, CW_ERR_NOT_FOUND, "transaction %s was imported and never judged", x->conf.hash);
		return;
	}
	x->id = (uint64_t)cw_result_i64(res, 0, CW_WORKBENCH_ID);
	x->tx_json = keep(x, cw_result_text(res, 0, CW_WORKBENCH_TX, NULL));
	x->live_alerts = keep(x, cw_result_text(res, 0, CW_WORKBENCH_ALERTS, NULL));
	x->prediction = keep(x, cw_result_text(res, 0, CW_WORKBENCH_PREDICTION, NULL));
	x->query = cw_position(x->conf.pool, on_position, x);
}

static void on_deadline(void *arg)
{
	struct cw_explain *x = arg;

	if (x->over)
		return;
	cw_offline_free(&x->run);
	refuse(x, CW_ERR_TIMEOUT, "the history before the transaction was not replayed in time");
}

static void begin(void *arg)
{
	struct cw_explain *x = arg;

	if (x->conf.pool != NULL)
		x->query = cw_workbench_find(x->conf.pool, &x->hash, x->conf.chain, on_found, x);
	else
		start_run(x);
}

struct cw_explain *cw_explain_new(const struct cw_explain_conf *conf, cw_explain_fn *fn, void *arg, struct cw_err *err)
{
	struct cw_explain *x = cw_zalloc(sizeof(*x));

	x->conf = *conf;
	x->fn = fn;
	x->arg = arg;
	x->bundle = *conf->bundle;
	x->out = (struct cw_buf)CW_BUF_INIT;
	x->arena = cw_arena_new();
	if (!cw_hash_parse(&x->hash, conf->hash, strlen(conf->hash))) {
		cw_err_set(err, CW_ERR_INVALID, "a transaction hash is 0x and 64 hex digits, not \"%.80s\"", conf->hash);
		cw_explain_free(&x);
		return NULL;
	}
	x->conf.hash = keep(x, conf->hash);
	x->conf.rule = keep(x, conf->rule != NULL ? conf->rule : "");
	x->conf.version = keep(x, conf->version != NULL ? conf->version : "");
	if (conf->deadline_ms > 0) {
		x->deadline = cw_timer_new(conf->loop, on_deadline, x);
		cw_timer_set(x->deadline, conf->deadline_ms);
	}
	cw_loop_defer(conf->loop, begin, x);
	return x;
}

void cw_explain_free(struct cw_explain **explain)
{
	struct cw_explain *x = *explain;

	*explain = NULL;
	if (x == NULL)
		return;
	cw_loop_undefer(x->conf.loop, tell, x);
	cw_loop_undefer(x->conf.loop, begin, x);
	if (x->query != 0)
		cw_pool_cancel(x->conf.pool, x->query);
	cw_offline_free(&x->run);
	cw_timer_free(&x->deadline);
	cw_buf_release(&x->out);
	cw_arena_free(&x->arena);
	cw_free(x);
}
