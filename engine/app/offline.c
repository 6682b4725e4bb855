#include "app/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pipeline/trial.h"
#include "source/file.h"
#include "source/fill.h"
#include "state/checkpoint.h"
#include "state/state.h"

#define CHUNK 128u               /* records read from a file before the loop turns again */
#define SET_FIRST (1u << 12)
#define SET_MAX (1u << 24)       /* hashes that are remembered: 128 MiB; known ones beyond are judged again */

enum phase { PHASE_LOADING, PHASE_RUNNING, PHASE_TRACING, PHASE_LAST, PHASE_OVER };

struct cw_offline {
	struct cw_offline_conf conf;
	struct cw_offline_fns fns;
	void *arg;
	enum phase phase;
	struct cw_trial *trial;
	struct cw_history *history;
	uint32_t slots;
	struct cw_offline_label *labels;     /* of what is under way, by seq modulo slots */
	/* files */
	struct cw_records *records;
	struct cw_fill *fill;
	int file;
	uint64_t seq, begin;
	struct cw_arena *arena;              /* the record at hand */
	struct cw_buf record;
	struct cw_tx_in last;                /* the one to explain; its logs in `kept` */
	struct cw_arena *kept;
	bool have_last, at_end, fed;
	uint64_t *set, nset;
	uint32_t set_room;
	uint64_t skipped;
	char skip_reason[256];
	int64_t ticks, wall_ms, memory_bytes;
	bool jit;
	struct cw_err err;
};

/* --- the end --- */

static void tell_done(void *arg)
{
	struct cw_offline *r = arg;

	r->fns.done(r->arg, r->err.code != CW_OK ? &r->err : NULL);
}

static void finish(struct cw_offline *r, const struct cw_err *err)
{
	if (r->phase == PHASE_OVER)
		return;
	r->phase = PHASE_OVER;
	if (err != NULL)
		r->err = *err;
	cw_loop_defer(r->conf.loop, tell_done, r);
}

/* --- known hashes: live traffic takes a transaction once --- */

static bool set_put(uint64_t *set, uint32_t room, uint64_t key)
{
	uint32_t at = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & (room - 1);

	while (set[at] != 0 && set[at] != key)
		at = (at + 1) & (room - 1);
	if (set[at] == key)
		return false;
	set[at] = key;
	return true;
}

/* False: known. */
static bool is_new(struct cw_offline *r, const struct cw_tx *tx)
{
	uint64_t key;

	memcpy(&key, tx->hash.b + 8, sizeof(key));
	key = (key ^ tx->chain_id) | 1;
	if (2 * r->nset >= r->set_room && r->set_room < SET_MAX) {
		uint32_t room = r->set_room > 0 ? 2 * r->set_room : SET_FIRST;
		uint64_t *set = cw_zalloc(room * sizeof(*set));

		for (uint32_t i = 0; i < r->set_room; i++)
			if (r->set[i] != 0)
				set_put(set, room, r->set[i]);
		cw_free(r->set);
		r->set = set;
		r->set_room = room;
	}
	if (2 * r->nset >= r->set_room)
		return true;
	if (!set_put(r->set, r->set_room, key))
		return false;
	r->nset++;
	return true;
}

/* --- files --- */

static void skip(struct cw_offline *r, const char *what)
{
	if (r->skipped++ == 0)
		snprintf(r->skip_reason, sizeof(r->skip_reason), "%.100s:%" PRIu64 ": %.120s", r->conf.files[r->file],
		         r->records != NULL ? cw_records_line(r->records) : 0, what);
}

static void read_label(const struct cw_json *json, struct cw_offline_label *label)
{
	const struct cw_json *name = cw_json_get(json, "label"), *incident = cw_json_get(json, "incident");
	double number = 0;

	*label = (struct cw_offline_label){ .incident = 0 };
	if (name != NULL && name->type == CW_JSON_STRING)
		snprintf(label->name, sizeof(label->name), "%.31s", name->text);
	if (incident != NULL && incident->type == CW_JSON_NUMBER && cw_json_to_double(incident, &number))
		label->incident = (uint64_t)number;
}

/* The next record of the files in `in`; false at the end of all, or after a failure (phase OVER). */
static bool next_record(struct cw_offline *r, struct cw_tx_in *in, struct cw_offline_label *label)
{
	struct cw_err err;

	for (;;) {
		struct cw_tx_faults faults = { .count = 0 };
		struct cw_json_error fault;
		const struct cw_json *json;
		uint64_t before;
		int rc;

		if (r->records == NULL) {
			if (r->file == r->conf.nfiles)
				return false;
			r->records = cw_records_open(r->conf.files[r->file], &err);
			if (r->records == NULL) {
				finish(r, &err);
				return false;
			}
		}
		before = cw_records_line(r->records);
		rc = cw_records_next(r->records, &r->record, &err);
		if (rc == 0) {
			cw_records_close(&r->records);
			r->file++;
			continue;
		}
		if (rc < 0 && cw_records_line(r->records) == before) {
			finish(r, &err);
			return false;
		}
		cw_arena_clear(r->arena);
		if (rc > 0)
			cw_fill_record(r->fill, &r->record);
		json = rc > 0 ? cw_json_parse(r->record.data, r->record.len, CW_JSON_DEPTH_DEFAULT, r->arena, &fault) : NULL;
		if (json == NULL) {
			skip(r, rc < 0 ? err.msg : fault.what);
		} else if (json->type != CW_JSON_OBJECT ||
		           cw_tx_from_json(in, json, r->conf.chain_id, r->arena, &faults) != 0) {
			char what[280];

			snprintf(what, sizeof(what), "%s %s", faults.count > 0 ? faults.list[0].pointer : "",
			         faults.count > 0 ? faults.list[0].what : "not an object");
			skip(r, what);
		} else if (!is_new(r, &in->tx)) {
			skip(r, "the transaction came before");
		} else {
			read_label(json, label);
			return true;
		}
	}
}

/* The one to explain is kept aside until the trace is ready. */
static void keep_last(struct cw_offline *r, const struct cw_tx_in *in)
{
	struct cw_tx_log *logs = NULL;

	r->last = *in;
	if (in->tx.nlogs > 0) {
		logs = cw_arena_alloc(r->kept, in->tx.nlogs * sizeof(*logs));
		memcpy(logs, in->tx.logs, in->tx.nlogs * sizeof(*logs));
	}
	r->last.tx.logs = logs;
	r->have_last = r->at_end = true;
}

static void feed_more(void *arg);

/* Some records, then the loop's turn: verdicts come in between. */
static void feed_files(struct cw_offline *r)
{
	for (uint32_t i = 0; i < CHUNK && !r->at_end && r->phase == PHASE_RUNNING; i++) {
		struct cw_offline_label label;
		const struct cw_tx *list;
		struct cw_tx_in in;

		if (cw_trial_room(r->trial) == 0)
			return;                   /* room() calls again */
		if (!next_record(r, &in, &label)) {
			r->at_end = true;
			break;
		}
		in.tx.seq = ++r->seq;
		if (r->seq <= r->begin) {         /* judged before it was interrupted */
			if (r->fns.passed != NULL)
				r->fns.passed(r->arg, &in.tx, &label);
			continue;
		}
		r->labels[r->seq % r->slots] = label;
		if (r->conf.explain_hash != NULL && memcmp(in.tx.hash.b, r->conf.explain_hash->b, sizeof(in.tx.hash.b)) == 0) {
			keep_last(r, &in);
			break;
		}
		list = &in.tx;
		cw_trial_submit(r->trial, &list, 1);
	}
	if (!r->at_end && r->phase == PHASE_RUNNING) {
		cw_loop_undefer(r->conf.loop, feed_more, r);
		cw_loop_defer(r->conf.loop, feed_more, r);
	}
}

/* --- phases --- */

static void trace_last(struct cw_offline *r);

/* The stream is over when everything that was fed has its verdict. */
static void look_for_end(struct cw_offline *r)
{
	struct cw_err err;

	if (r->phase == PHASE_LAST && cw_trial_idle(r->trial) && (r->history == NULL || r->fed)) {
		finish(r, NULL);
		return;
	}
	if (r->phase != PHASE_RUNNING || !(r->conf.pool != NULL ? r->fed : r->at_end) || !cw_trial_idle(r->trial))
		return;
	if (r->conf.explain_id == 0 && r->conf.explain_hash == NULL) {
		finish(r, NULL);
	} else if (!cw_trial_active(r->trial)) {
		return;                       /* room() comes when it is */
	} else if (r->conf.pool == NULL && !r->have_last) {
		cw_err_set(&err, CW_ERR_NOT_FOUND, "the transaction is not in the file%s", r->conf.nfiles > 1 ? "s" : "");
		finish(r, &err);
	} else {
		trace_last(r);
	}
}

static void feed_more(void *arg)
{
	struct cw_offline *r = arg;

	if (r->history != NULL)
		cw_history_step(r->history);
	else if (r->phase == PHASE_RUNNING)
		feed_files(r);
	look_for_end(r);
}

static void on_fed(void *arg, const struct cw_err *err)
{
	struct cw_offline *r = arg;

	r->fed = true;
	if (err != NULL)
		finish(r, err);
	else
		look_for_end(r);
}

static int load(struct cw_offline *r, bool trace, struct cw_err *err)
{
	struct cw_bundle bundle = *r->conf.bundle;
	char options[256];

	snprintf(options, sizeof(options), "{\"ticks\":%lld,\"wall_ms\":%lld,\"memory_bytes\":%lld,\"jit\":%s,\"run_tests\":%s,"
	         "\"loose_params\":true,\"trace\":%s}", (long long)r->ticks, trace ? 60000 : (long long)r->wall_ms,
	         (long long)r->memory_bytes, r->jit ? "true" : "false",
	         r->conf.run_tests && !trace ? "true" : "false", trace ? "true" : "false");
	bundle.options_json = options;
	return cw_trial_load(r->trial, &bundle, err);
}

/* The same rules again, with a trace, over the same arena. */
static void trace_last(struct cw_offline *r)
{
	struct cw_err err;

	r->phase = PHASE_TRACING;
	if (load(r, true, &err) != 0)
		finish(r, &err);
}

static void submit_last(struct cw_offline *r)
{
	const struct cw_tx *tx = &r->last.tx;

	r->phase = PHASE_LAST;
	cw_trial_go(r->trial, NULL, 0);
	if (r->conf.pool == NULL) {
		cw_trial_submit(r->trial, &tx, 1);
		return;
	}
	cw_history_free(&r->history);
	r->fed = false;
	r->history = cw_history_new(r->conf.loop, r->conf.pool, r->trial, r->conf.explain_id - 1, r->conf.explain_id, on_fed, r);
	cw_history_step(r->history);
}

/* --- state to begin with --- */

static bool has_root(const struct cw_state *st, const char *rule, const char *state)
{
	struct cw_state_root *root = NULL;
	char name[sizeof(root->name)];

	snprintf(name, sizeof(name), "%s/%s", rule, state);
	while ((root = cw_state_root_next((struct cw_state *)(uintptr_t)st, root)) != NULL)
		if (strcmp(root->name, name) == 0)
			return true;
	return false;
}

/* Does the arena hold all states of the rules as they are declared? */
static bool is_warm(struct cw_offline *r, const char *report)
{
	const struct cw_state *st = cw_trial_state(r->trial);
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *json = cw_json_parse(report, strlen(report), CW_JSON_DEPTH_DEFAULT, arena, &fault), *rules;
	bool warm = json != NULL;

	rules = json != NULL ? cw_json_get(json, "rules") : NULL;
	for (const struct cw_json *rule = rules != NULL ? rules->first : NULL; rule != NULL; rule = rule->next) {
		const struct cw_json *states = cw_json_get(rule, "states"), *id = cw_json_get(rule, "id");

		for (const struct cw_json *s = states != NULL ? states->first : NULL; s != NULL && id != NULL; s = s->next) {
			const struct cw_json *name = cw_json_get(s, "name"), *digest = cw_json_get(s, "digest");
			struct cw_state_root *root = NULL;
			bool same = false;
			char full[sizeof(root->name)], hex[33];

			snprintf(full, sizeof(full), "%s/%s", id->text, name != NULL && name->text != NULL ? name->text : "");
			while (!same && (root = cw_state_root_next((struct cw_state *)(uintptr_t)st, root)) != NULL) {
				cw_hex_encode(hex, root->digest, sizeof(root->digest));
				same = strcmp(root->name, full) == 0 && digest != NULL && strcmp(hex, digest->text) == 0;
			}
			warm = warm && same;
		}
		/* Which alerts live is state too. */
		warm = warm && id != NULL && has_root(st, id->text, "!alerts");
	}
	cw_arena_free(&arena);
	return warm;
}

static int restore(struct cw_offline *r, struct cw_err *err)
{
	struct cw_checkpoint_info info;
	struct cw_state *st = cw_trial_state(r->trial);

	if (r->conf.checkpoint == NULL)
		return 0;
	if (cw_checkpoint_load(st, r->conf.checkpoint, r->conf.digest, &info, err) != 0) {
		cw_state_reset(st);
		return r->conf.resume ? cw_err_wrap(err, "cannot resume") : 0;
	}
	if (!r->conf.resume && (info.seq <= r->conf.after ||
	                        info.seq >= (r->conf.explain_id > 0 ? r->conf.explain_id : r->conf.up_to))) {
		cw_state_reset(st);
		return 0;
	}
	r->begin = info.seq;
	return 0;
}

/* --- from the trial --- */

static void start(struct cw_offline *r, const char *report)
{
	uint64_t up_to = r->conf.explain_id > 0 ? r->conf.explain_id - 1 : r->conf.up_to;

	if (r->begin > 0 && !r->conf.resume && !is_warm(r, report)) {
		cw_state_reset(cw_trial_state(r->trial));
		r->begin = 0;
	}
	if (r->conf.pool != NULL && r->begin > r->conf.after)
		r->conf.after = r->begin;
	r->phase = PHASE_RUNNING;
	cw_trial_go(r->trial, NULL, 0);
	if (r->conf.pool != NULL)
		r->history = cw_history_new(r->conf.loop, r->conf.pool, r->trial, r->conf.after, up_to, on_fed, r);
	feed_more(r);
}

static void on_ready(void *arg, const char *report)
{
	struct cw_offline *r = arg;

	if (r->phase == PHASE_TRACING) {
		submit_last(r);
		return;
	}
	if (r->phase != PHASE_LOADING)
		return;
	if (r->fns.loaded != NULL)
		r->fns.loaded(r->arg, report);
	start(r, report);
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len)
{
	static const struct cw_offline_label none;
	struct cw_offline *r = arg;

	(void)bytes;
	(void)len;
	if (r->phase == PHASE_OVER)
		return;
	r->fns.verdict(r->arg, tx, v, r->conf.pool == NULL ? &r->labels[tx->seq % r->slots] : &none);
}

static void on_room(void *arg)
{
	feed_more(arg);
}

static void on_quarantined(void *arg, int rule, const char *reason)
{
	struct cw_offline *r = arg;

	if (r->fns.quarantined != NULL && r->phase != PHASE_OVER)
		r->fns.quarantined(r->arg, rule, reason);
}

static void on_failed(void *arg, const struct cw_err *err)
{
	finish(arg, err);
}

struct cw_offline *cw_offline_new(const struct cw_offline_conf *conf, const struct cw_offline_fns *fns, void *arg,
                                  struct cw_err *err)
{
	static const struct cw_trial_fns trial_fns = { on_ready, on_verdict, on_room, on_quarantined, on_failed };
	const struct cw_config *c = conf->config;
	struct cw_trial_conf trial = {
		.state_bytes = (size_t)c->state_mb << 20,
		.journal_bytes = (size_t)16 << 20,
		.supervisor = { .ring_slots = 4096, .hang_ms = c->hang_ms, .wall_ms = c->wall_ms, .load_ms = c->load_ms,
		                .quarantine_after = (int)c->quarantine_after },
	};
	struct cw_offline *r = cw_zalloc(sizeof(*r));

	r->conf = *conf;
	r->fns = *fns;
	r->arg = arg;
	r->ticks = c->ticks;
	r->wall_ms = c->wall_ms;
	r->memory_bytes = c->rule_memory_mb << 20;
	r->jit = c->jit;
	if (conf->explain_id > 0 || conf->explain_hash != NULL) {   /* a call that is traced takes its time */
		trial.supervisor.wall_ms = 0;
		trial.supervisor.hang_ms = 30000;
	}
	r->arena = cw_arena_new();
	r->fill = cw_fill_new(conf->chain_id);
	r->kept = cw_arena_new();
	r->record = (struct cw_buf)CW_BUF_INIT;
	r->trial = cw_trial_new(conf->loop, conf->zygote, &trial, &trial_fns, r, err);
	if (r->trial == NULL || restore(r, err) != 0 || load(r, false, err) != 0) {
		cw_offline_free(&r);
		return NULL;
	}
	r->conf.config = NULL;
	r->slots = cw_trial_room(r->trial);
	r->labels = cw_zalloc(r->slots * sizeof(*r->labels));
	return r;
}

void cw_offline_free(struct cw_offline **run)
{
	struct cw_offline *r = *run;

	*run = NULL;
	if (r == NULL)
		return;
	cw_loop_undefer(r->conf.loop, tell_done, r);
	cw_loop_undefer(r->conf.loop, feed_more, r);
	cw_history_free(&r->history);
	cw_trial_free(&r->trial);
	cw_records_close(&r->records);
	cw_buf_release(&r->record);
	cw_fill_free(&r->fill);
	cw_arena_free(&r->arena);
	cw_arena_free(&r->kept);
	cw_free(r->labels);
	cw_free(r->set);
	cw_free(r);
}

double cw_offline_progress(const struct cw_offline *r)
{
	uint64_t up_to = r->conf.explain_id > 0 ? r->conf.explain_id : r->conf.up_to, at = cw_trial_seq(r->trial);
	double share;

	if (r->phase == PHASE_OVER)
		return 1;
	if (r->conf.pool != NULL)
		return up_to <= r->conf.after ? 1 : at <= r->conf.after ? 0 :
		       (double)(at - r->conf.after) / (double)(up_to - r->conf.after);
	share = r->records != NULL ? cw_records_progress(r->records) : 0;
	return share < 0 ? -1 : (r->file + share) / (r->conf.nfiles > 0 ? r->conf.nfiles : 1);
}

uint64_t cw_offline_seq(const struct cw_offline *r)
{
	return cw_trial_seq(r->trial);
}

uint64_t cw_offline_after(const struct cw_offline *r)
{
	return r->conf.pool != NULL ? r->conf.after : r->begin;
}

uint64_t cw_offline_skipped(const struct cw_offline *r)
{
	return r->skipped;
}

void cw_offline_tell_filled(const struct cw_offline *r, struct cw_buf *out)
{
	cw_fill_tell(r->fill, out);
}

const char *cw_offline_skip_reason(const struct cw_offline *r)
{
	return r->skip_reason;
}

int64_t cw_offline_cpu_us(const struct cw_offline *r)
{
	return cw_trial_cpu_us(r->trial);
}

bool cw_offline_meter(const struct cw_offline *r, uint32_t rule, struct cw_rule_meter *out)
{
	return cw_trial_meter(r->trial, rule, out);
}

int cw_offline_save(struct cw_offline *r, const char *path, struct cw_err *err)
{
	return cw_trial_save(r->trial, r->conf.digest, path, err);
}
