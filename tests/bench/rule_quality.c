/* rule_quality.c - the rules over a file of transactions, in one process, every alert on a line.
 *
 *	rule_quality [--rules DIR] [--lists DIR] [--jit off] FILE.ndjson > alerts.ndjson
 *
 * Partial records are completed as by `chainwatch ingest --fill`. Each line of the output is one fire: number of the
 * transaction, its hash, sender, receiver and label, the rule, severity, score, dedup key, the address it is about, whether
 * it founded an alert. The last line sums up: transactions, those that could not be read, evaluation time. What the lines
 * mean is worked out by rule_quality.lua. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/bundle.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "lua/evaluator.h"
#include "lua/vm.h"
#include "pipeline/evaluate.h"
#include "source/fill.h"
#include "state/state.h"

#define BATCH 128

struct work {
	const char *rules_dir, *lists_dir, *options;
	void *ctx;
	struct cw_state *st;
	char **ids;                       /* of the rules, by index */
	struct cw_arena *keep, *line;
	struct cw_fill *fill;
	struct cw_buf record;
	uint64_t read, bad;
	double ns;
};

static _Noreturn void stop(const struct cw_err *err)
{
	fprintf(stderr, "rule_quality: %s\n", err->msg);
	exit(1);
}

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* The ids of the rules out of the report of the load. */
static void read_ids(struct work *w, const struct cw_buf *report)
{
	struct cw_json_error error;
	const struct cw_json *json = cw_json_parse(report->data, report->len, CW_JSON_DEPTH_DEFAULT, w->keep, &error);
	const struct cw_json *rules = cw_json_get(json, "rules");
	size_t i = 0;

	w->ids = cw_arena_alloc(w->keep, (rules->count + 1) * sizeof(*w->ids));
	for (const struct cw_json *r = rules->first; r != NULL; r = r->next)
		w->ids[i++] = (char *)(uintptr_t)cw_json_get(r, "id")->text;
}

static void load(struct work *w)
{
	const struct cw_state_conf conf = { .max_bytes = (size_t)2 << 30, .journal_bytes = (size_t)64 << 20 };
	struct cw_buf report = CW_BUF_INIT;
	struct cw_bundle bundle = { 0 };
	struct cw_err err;

	if (cw_bundle_read(&bundle, w->rules_dir, w->lists_dir, w->keep, &err) != 0)
		stop(&err);
	bundle.options_json = w->options;
	bundle.tested = true;
	w->st = cw_state_new(&conf, &err);
	if (w->st == NULL)
		stop(&err);
	w->ctx = cw_lua_evaluator.load(&bundle, NULL, &report, &err);
	if (w->ctx == NULL || cw_lua_evaluator.attach(w->ctx, w->st, &err) != 0)
		stop(&err);
	read_ids(w, &report);
	cw_buf_release(&report);
}

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = cw_json_get(object, name);

	return value != NULL && value->type == CW_JSON_STRING ? value->text : "";
}

static void print_alerts(const struct work *w, const struct cw_tx *tx, const struct cw_json *json,
                         const struct cw_verdict *v)
{
	struct cw_buf out = CW_BUF_INIT;
	char from[CW_ADDRESS_TEXT], to[CW_ADDRESS_TEXT] = "", entity[CW_ADDRESS_TEXT];

	cw_address_format(&tx->from, from);
	if ((tx->has & CW_TX_HAS_TO) != 0)
		cw_address_format(&tx->to, to);
	for (uint32_t i = 0; i < v->nalerts; i++) {
		const struct cw_alert *a = &v->alerts[i];

		cw_buf_printf(&out, "{\"n\":%" PRIu64 ",\"time\":%lld,\"from\":\"%s\",\"to\":\"%s\",\"label\":", w->read,
		              (long long)tx->timestamp, from, to);
		cw_json_put_cstring(&out, text_of(json, "label"));
		cw_buf_printf(&out, ",\"rule\":\"%s\",\"severity\":\"%s\",\"score\":%.6g,\"dedup\":", w->ids[a->rule],
		              cw_severity_name(a->severity), a->score);
		cw_json_put_cstring(&out, a->dedup);
		cw_buf_printf(&out, ",\"founds\":%s,\"entity\":\"%s\"", a->founder == v->seq ? "true" : "false",
		              (a->flags & CW_ALERT_HAS_ENTITY) != 0 ? cw_address_format(&a->entity, entity) : "");
		cw_buf_printf(&out, ",\"explain\":%s,\"hash\":", a->features);
		cw_json_put_cstring(&out, text_of(json, "hash"));
		cw_buf_puts(&out, "}\n");
	}
	for (uint32_t i = 0; i < v->nfaults; i++)
		fprintf(stderr, "rule_quality: transaction %" PRIu64 ": %s\n", w->read, v->faults[i].message);
	if (out.len > 0)
		fwrite(out.data, 1, out.len, stdout);
	cw_buf_release(&out);
}

static void judge(struct work *w, const char *text, size_t len)
{
	volatile uint32_t running = 0;
	struct cw_json_error error;
	const struct cw_json *json;
	struct cw_buf out = CW_BUF_INIT;
	struct cw_tx_faults faults;
	struct cw_verdict v;
	struct cw_tx_in in;
	struct cw_err err;
	size_t used;
	double from;

	w->read++;
	cw_buf_clear(&w->record);
	cw_buf_add(&w->record, text, len);
	cw_fill_record(w->fill, &w->record);
	json = cw_json_parse(w->record.data, w->record.len, CW_JSON_DEPTH_DEFAULT, w->line, &error);
	if (json == NULL || cw_tx_from_json(&in, json, 1, w->line, &faults) != 0) {
		if (w->bad++ == 0)
			fprintf(stderr, "rule_quality: line %" PRIu64 ": %s %s\n", w->read, json == NULL ? "" : faults.list[0].pointer,
			        json == NULL ? error.what : faults.list[0].what);
		return;
	}
	in.tx.seq = w->read;
	from = now_ns();
	cw_lua_evaluator.evaluate(w->ctx, &in.tx, &out, &running);
	w->ns += now_ns() - from;
	if (w->read % BATCH == 0)
		cw_state_mark(w->st, w->read, in.tx.block_number);
	if (cw_verdict_read(&v, out.data, out.len, &used, w->line, &err) != 0)
		stop(&err);
	if (v.nalerts + v.nfaults > 0)
		print_alerts(w, &in.tx, json, &v);
	cw_buf_release(&out);
}

static int run(struct work *w, const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	if (file == NULL) {
		fprintf(stderr, "rule_quality: could not read \"%s\"\n", path);
		return 1;
	}
	while ((len = getline(&text, &room, file)) > 0) {
		judge(w, text, (size_t)len);
		cw_arena_clear(w->line);
	}
	free(text);
	if (file != stdin)
		fclose(file);
	printf("{\"transactions\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"ns\":%.0f}\n", w->read, w->bad,
	       w->read > 0 ? w->ns / (double)w->read : 0);
	return 0;
}

int main(int argc, char **argv)
{
	struct work w = { .rules_dir = "rules", .lists_dir = "/nowhere", .options = "{}" };
	int at = 1, rc;

	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
		if (strcmp(argv[at], "--rules") == 0)
			w.rules_dir = argv[at + 1];
		else if (strcmp(argv[at], "--lists") == 0)
			w.lists_dir = argv[at + 1];
		else if (strcmp(argv[at], "--jit") == 0)
			w.options = strcmp(argv[at + 1], "off") == 0 ? "{\"jit\":false}" : "{}";
		else
			break;
	}
	if (at + 1 != argc) {
		fprintf(stderr, "usage: rule_quality [--rules DIR] [--lists DIR] [--jit off] FILE.ndjson\n");
		return 2;
	}
	cw_vm_prepare_process();
	w.keep = cw_arena_new();
	w.line = cw_arena_new();
	w.fill = cw_fill_new(1);
	cw_buf_init(&w.record);
	load(&w);
	rc = run(&w, argv[at]);
	cw_lua_evaluator.free(w.ctx);
	cw_state_close(&w.st);
	cw_arena_free(&w.keep);
	cw_arena_free(&w.line);
	cw_fill_free(&w.fill);
	cw_buf_release(&w.record);
	return rc;
}
