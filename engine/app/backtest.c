#include "app/backtest.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/config.h"
#include "app/offline.h"
#include "app/position.h"
#include "app/tally.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "detect/primitive.h"
#include "lua/evaluator.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/workbench.h"

#define SAVE_MS 30000
#define REVIEWS_MAX 1000000
#define TIME_MAX_US 253402300800000000   /* the year 10000: no block is so late */

struct cw_backtest {
	struct cw_backtest_conf conf;
	cw_backtest_fn *fn;
	void *arg;
	cw_backtest_fire_fn *on_fire;
	void *fire_arg;
	struct cw_tally tally;
	struct cw_offline *run;
	struct cw_arena *arena;
	struct cw_timer *saver;
	uint64_t query;
	uint64_t first, last, warm_after;    /* stored: the range is first < id <= last */
	struct cw_map *reviews, *labels;     /* "id rule" -> 1 or 2; address -> itself */
	FILE *alerts;
	char alerts_path[600], state_path[600], position_path[600];
	uint8_t digest[32];
	uint64_t resume_seq;
	int64_t started_us, cpu_before_us, ended_us, cpu_us;
	struct cw_rule_meter *meters;        /* at the end */
	struct cw_buf quarantined;           /* JSON objects */
	int nquarantined;
	struct cw_err err;
	bool over, loaded;
	struct cw_config config;             /* a copy: the engine's may change */
};

/* --- the end --- */

static void tell(void *arg)
{
	struct cw_backtest *b = arg;

	b->fn(b->arg, b->err.code != CW_OK ? &b->err : NULL);
}

static void keep_costs(struct cw_backtest *b)
{
	if (b->run == NULL)
		return;
	for (int i = 0; i < b->tally.nrules && b->meters != NULL; i++)
		(void)cw_offline_meter(b->run, (uint32_t)i, &b->meters[i]);
	if (cw_offline_cpu_us(b->run) > 0)
		b->cpu_us = cw_offline_cpu_us(b->run);
}

static void finish(struct cw_backtest *b, const struct cw_err *err)
{
	if (b->over)
		return;
	b->over = true;
	b->ended_us = cw_clock_mono_us();
	keep_costs(b);
	if (err != NULL)
		b->err = *err;
	if (b->alerts != NULL && fflush(b->alerts) != 0 && err == NULL)
		cw_err_errno(&b->err, CW_ERR_INVALID, "could not write \"%s\"", b->alerts_path);
	cw_loop_defer(b->conf.loop, tell, b);
}

/* --- one fire --- */

static bool in_range(const struct cw_backtest *b, int64_t time_s)
{
	return (b->conf.from_us == INT64_MIN || time_s >= b->conf.from_us / 1000000) &&
	       (b->conf.to_us == INT64_MAX || time_s < (b->conf.to_us + 999999) / 1000000);
}

static int review_of(const struct cw_backtest *b, uint64_t id, const char *rule)
{
	char key[100];
	int n = snprintf(key, sizeof(key), "%" PRIu64 " %s", id, rule);

	return (int)(intptr_t)cw_map_get(b->reviews, key, (size_t)n);
}

static bool is_labelled(const struct cw_backtest *b, const struct cw_tx *tx)
{
	return cw_map_get(b->labels, tx->from.b, sizeof(tx->from.b)) != NULL ||
	       ((tx->has & CW_TX_HAS_TO) != 0 && cw_map_get(b->labels, tx->to.b, sizeof(tx->to.b)) != NULL);
}

static void put_line(struct cw_buf *out, const struct cw_tally_rule *rule, const struct cw_tx *tx,
                     const struct cw_alert *a, const struct cw_tally_fire *fire)
{
	char hash[CW_HASH_TEXT], address[CW_ADDRESS_TEXT];

	cw_buf_puts(out, "{\"rule\":");
	cw_json_put_cstring(out, rule->id);
	cw_buf_puts(out, ",\"version\":");
	cw_json_put_cstring(out, rule->version);
	cw_buf_printf(out, ",\"severity\":\"%s\",\"score\":", cw_severity_name(a->severity));
	cw_json_put_double(out, a->score);
	cw_buf_puts(out, ",\"confidence\":");
	cw_json_put_double(out, a->confidence);
	cw_buf_puts(out, ",\"dedup\":");
	cw_json_put_cstring(out, a->dedup);
	cw_buf_printf(out, ",\"founder\":%" PRIu64 ",\"occurrences\":%u,\"shadow\":%s,\"seq\":%" PRIu64
	              ",\"chainId\":\"%" PRIu64 "\",\"hash\":\"%s\",\"blockNumber\":\"%" PRIu64 "\",\"timestamp\":%" PRId64
	              ",\"from\":\"%s\",\"to\":", a->founder, a->occurrences, fire->shadow ? "true" : "false", tx->seq,
	              tx->chain_id, cw_hash_format(&tx->hash, hash), tx->block_number, tx->timestamp,
	              cw_address_format(&tx->from, address));
	if ((tx->has & CW_TX_HAS_TO) != 0)
		cw_buf_printf(out, "\"%s\"", cw_address_format(&tx->to, address));
	else
		cw_buf_puts(out, "null");
	cw_buf_puts(out, ",\"label\":");
	cw_json_put_cstring(out, fire->label);
	cw_buf_printf(out, ",\"incident\":%" PRIu64 ",\"labelled_address\":%s,\"review\":%d,\"explanation\":", fire->incident,
	              fire->labelled_address ? "true" : "false", fire->review);
	cw_json_put_cstring(out, a->explanation);
	cw_buf_printf(out, ",\"features\":%s}\n", a->features);
}

static void take_fire(struct cw_backtest *b, const struct cw_tx *tx, const struct cw_alert *a,
                      const struct cw_offline_label *label)
{
	static const struct cw_tally_rule nobody;
	const struct cw_tally_rule *rule = (int)a->rule < b->tally.nrules ? &b->tally.rules[a->rule] : &nobody;
	const struct cw_tally_fire fire = {
		.rule = (int)a->rule, .time_s = tx->timestamp, .founds = a->founder == tx->seq,
		.shadow = (a->flags & CW_ALERT_SHADOW) != 0, .severity = a->severity, .dedup = a->dedup,
		.label = label->name, .incident = label->incident, .labelled_address = is_labelled(b, tx),
		.review = b->conf.pool != NULL ? review_of(b, tx->seq, rule->id) : 0,
	};

	cw_tally_fire(&b->tally, &fire);
	if (b->on_fire != NULL) {
		const struct cw_backtest_fire out = { tx, a, rule->id, rule->version, label->name };

		b->on_fire(b->fire_arg, &out);
	}
	if (b->alerts != NULL) {
		struct cw_buf line = CW_BUF_INIT;

		put_line(&line, rule, tx, a, &fire);
		fwrite(line.data, 1, line.len, b->alerts);
		cw_buf_release(&line);
	}
}

static void on_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const struct cw_offline_label *label)
{
	struct cw_backtest *b = arg;

	if (!in_range(b, tx->timestamp)) {
		b->tally.warmed++;
		return;
	}
	cw_tally_transaction(&b->tally, tx->timestamp);
	cw_tally_label(&b->tally, label->name, label->incident);
	b->tally.faults += v->nfaults;
	for (uint32_t i = 0; i < v->nfaults; i++)
		if ((int)v->faults[i].rule < b->tally.nrules)
			b->tally.rules[v->faults[i].rule].faults++;
	for (uint32_t i = 0; i < v->nalerts; i++)
		take_fire(b, tx, &v->alerts[i], label);
}

static void on_passed(void *arg, const struct cw_tx *tx, const struct cw_offline_label *label)
{
	struct cw_backtest *b = arg;

	if (in_range(b, tx->timestamp))
		cw_tally_label(&b->tally, label->name, label->incident);
}

static void on_loaded(void *arg, const char *report)
{
	struct cw_backtest *b = arg;

	cw_tally_rules(&b->tally, report);
	if (b->meters == NULL)
		b->meters = cw_zalloc((size_t)(b->tally.nrules > 0 ? b->tally.nrules : 1) * sizeof(*b->meters));
	b->loaded = true;
}

static void on_quarantined(void *arg, int rule, const char *reason)
{
	struct cw_backtest *b = arg;

	cw_buf_puts(&b->quarantined, b->nquarantined++ > 0 ? ",{\"rule\":" : "{\"rule\":");
	cw_json_put_cstring(&b->quarantined, rule >= 0 && rule < b->tally.nrules ? b->tally.rules[rule].id : "");
	cw_buf_puts(&b->quarantined, ",\"reason\":");
	cw_json_put_cstring(&b->quarantined, reason);
	cw_buf_putc(&b->quarantined, '}');
}

static void on_done(void *arg, const struct cw_err *err)
{
	finish(arg, err);
}

/* --- keeping and going on --- */

int cw_backtest_save(struct cw_backtest *b, struct cw_err *err)
{
	struct cw_buf out = CW_BUF_INIT;
	char tmp[640], old[640];
	FILE *f;
	int rc = 0;

	if (b->conf.state_dir == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "there is no folder to keep the run in (--state FOLDER)");
	if (b->run == NULL || cw_offline_seq(b->run) == 0 || b->over)
		return cw_err_set(err, CW_ERR_INVALID, "there is nothing to keep yet");
	/* The position names the state that belongs to it, so the two can never be of different moments. */
	snprintf(tmp, sizeof(tmp), "%.500s/backtest-%" PRIu64 ".ckpt", b->conf.state_dir, cw_offline_seq(b->run));
	if (fflush(b->alerts) != 0 || cw_offline_save(b->run, tmp, err) != 0)
		return -1;
	snprintf(old, sizeof(old), "%s", b->state_path);
	snprintf(b->state_path, sizeof(b->state_path), "%.599s", tmp);
	cw_position_put(&(struct cw_position){
		.seq = (int64_t)cw_offline_seq(b->run), .alerts_bytes = ftell(b->alerts),
		.transactions = (int64_t)b->tally.transactions, .warmed = (int64_t)b->tally.warmed,
		.faults = (int64_t)b->tally.faults, .first_s = b->tally.first_s, .last_s = b->tally.last_s,
		.cpu_us = b->cpu_before_us + (cw_offline_cpu_us(b->run) > 0 ? cw_offline_cpu_us(b->run) : 0),
		.wall_us = cw_clock_mono_us() - b->started_us }, &out);
	snprintf(tmp, sizeof(tmp), "%s.tmp", b->position_path);
	f = fopen(tmp, "we");
	if (f == NULL || fwrite(out.data, 1, out.len, f) != out.len || fflush(f) != 0 || fsync(fileno(f)) != 0)
		rc = cw_err_errno(err, CW_ERR_INVALID, "could not write \"%s\"", tmp);
	if (f != NULL)
		fclose(f);
	if (rc == 0 && rename(tmp, b->position_path) != 0)
		rc = cw_err_errno(err, CW_ERR_INVALID, "could not rename \"%s\"", tmp);
	if (rc == 0 && old[0] != '\0' && strcmp(old, b->state_path) != 0)
		unlink(old);
	cw_buf_release(&out);
	return rc;
}

void cw_backtest_forget(const struct cw_backtest *b)
{
	if (b->conf.state_dir == NULL)
		return;
	if (b->state_path[0] != '\0')
		unlink(b->state_path);
	unlink(b->position_path);
	if (b->conf.alerts == NULL)
		unlink(b->alerts_path);
}

static double number_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *v = object != NULL ? cw_json_get(object, name) : NULL;
	double x = 0;

	return v != NULL && cw_json_to_double(v, &x) && fabs(x) < 9e15 ? x : 0;   /* what an integer can take */
}

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *v = object != NULL ? cw_json_get(object, name) : NULL;

	return v != NULL && v->text != NULL ? v->text : "";
}

static bool flag_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *v = object != NULL ? cw_json_get(object, name) : NULL;

	return v != NULL && v->type == CW_JSON_TRUE;
}

/* A line that was written before the interruption counts again. */
static void count_line(struct cw_backtest *b, const struct cw_json *json)
{
	struct cw_tally_fire fire = {
		.rule = -1, .time_s = (int64_t)number_of(json, "timestamp"),
		.founds = number_of(json, "founder") == number_of(json, "seq"), .shadow = flag_of(json, "shadow"),
		.dedup = text_of(json, "dedup"), .label = text_of(json, "label"),
		.incident = (uint64_t)number_of(json, "incident"), .labelled_address = flag_of(json, "labelled_address"),
		.review = (int)number_of(json, "review"),
	};

	for (int i = 0; i < b->tally.nrules; i++)
		if (strcmp(b->tally.rules[i].id, text_of(json, "rule")) == 0)
			fire.rule = i;
	if (cw_severity_parse(text_of(json, "severity"), &fire.severity))
		cw_tally_fire(&b->tally, &fire);
}

/* The rules are not loaded yet, so their names are found by the bundle's later; lines are read when they are. */
static int read_lines(struct cw_backtest *b, long bytes, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	FILE *f = fopen(b->alerts_path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	long at = 0;
	int rc = 0;

	if (f == NULL)
		rc = cw_err_errno(err, CW_ERR_INVALID, "could not open \"%s\"", b->alerts_path);
	while (rc == 0 && at < bytes && (n = getline(&line, &room, f)) > 0) {
		struct cw_json_error fault;
		const struct cw_json *json = cw_json_parse(line, (size_t)n, CW_JSON_DEPTH_DEFAULT, arena, &fault);

		if (json != NULL)
			count_line(b, json);
		cw_arena_clear(arena);
		at += n;
	}
	if (rc == 0 && at != bytes)
		rc = cw_err_set(err, CW_ERR_INVALID, "cannot resume: \"%s\" is shorter than it was", b->alerts_path);
	free(line);
	if (f != NULL)
		fclose(f);
	cw_arena_free(&arena);
	return rc;
}

static int read_position(struct cw_backtest *b, struct cw_err *err)
{
	size_t len;
	const char *text = cw_file_read(b->position_path, CW_POSITION_MAX, &len, b->arena, err);
	struct cw_position at;
	struct cw_err why;
	struct stat st;

	if (text == NULL)
		return cw_err_set(err, CW_ERR_NOT_FOUND, "there is no interrupted run in \"%s\"", b->conf.state_dir);
	if (cw_position_read(&at, text, len, b->arena, &why) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "cannot resume: \"%s\" is damaged: %s", b->position_path, why.msg);
	if (stat(b->alerts_path, &st) != 0 || st.st_size < at.alerts_bytes)
		return cw_err_set(err, CW_ERR_INVALID, "cannot resume: \"%s\" is gone, or shorter than it was", b->alerts_path);
	if (truncate(b->alerts_path, at.alerts_bytes) != 0)
		return cw_err_errno(err, CW_ERR_INVALID, "cannot resume: \"%s\"", b->alerts_path);
	b->resume_seq = (uint64_t)at.seq;
	snprintf(b->state_path, sizeof(b->state_path), "%.500s/backtest-%" PRIu64 ".ckpt", b->conf.state_dir, b->resume_seq);
	b->tally.transactions = (uint64_t)at.transactions;
	b->tally.warmed = (uint64_t)at.warmed;
	b->tally.faults = (uint64_t)at.faults;
	b->tally.first_s = at.first_s;
	b->tally.last_s = at.last_s;
	b->cpu_before_us = at.cpu_us;
	b->started_us -= at.wall_us;
	return read_lines(b, at.alerts_bytes, err);
}

/* What a kept run belongs to: rules, parameters, stream, range. */
static void make_digest(struct cw_backtest *b)
{
	struct cw_buf text = CW_BUF_INIT;
	char rules[65];

	cw_lua_bundle_digest(b->conf.bundle, rules);
	cw_buf_printf(&text, "%s %" PRId64 " %" PRId64 " %" PRId64 " %d", rules, b->conf.from_us, b->conf.to_us, b->conf.warm_us,
	              b->conf.pool != NULL);
	for (int i = 0; i < b->conf.nfiles; i++)
		cw_buf_printf(&text, " %s", b->conf.files[i]);
	crypto_hash_sha256(b->digest, (const uint8_t *)text.data, text.len);
	cw_buf_release(&text);
}

static int open_files(struct cw_backtest *b, struct cw_err *err)
{
	const char *dir = b->conf.state_dir;

	if (b->conf.resume && dir == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "there is no folder in which a run could have been kept (--state FOLDER)");
	if (dir != NULL) {
		if (mkdir(dir, 0755) != 0 && errno != EEXIST)
			return cw_err_errno(err, CW_ERR_INVALID, "could not make the folder \"%s\"", dir);
		snprintf(b->position_path, sizeof(b->position_path), "%.500s/backtest.json", dir);
	}
	if (b->conf.alerts != NULL)
		snprintf(b->alerts_path, sizeof(b->alerts_path), "%.590s", b->conf.alerts);
	else if (dir != NULL)
		snprintf(b->alerts_path, sizeof(b->alerts_path), "%.500s/alerts.ndjson", dir);
	if (b->conf.resume && read_position(b, err) != 0)
		return -1;
	if (b->alerts_path[0] == '\0')
		return 0;
	b->alerts = fopen(b->alerts_path, b->conf.resume ? "ae" : "we");
	if (b->alerts == NULL)
		return cw_err_errno(err, CW_ERR_INVALID, "could not write \"%s\"", b->alerts_path);
	return 0;
}

static void on_save(void *arg)
{
	struct cw_backtest *b = arg;
	struct cw_err err;

	if (b->over)
		return;
	(void)cw_backtest_save(b, &err);
	cw_timer_set(b->saver, SAVE_MS);
}

/* --- labels --- */

static void add_label(struct cw_backtest *b, const struct cw_address *address)
{
	if (cw_map_put(b->labels, address->b, sizeof(address->b), b) == NULL)
		b->tally.labelled_addresses++;
}

/* The first cell of each line that is an address. */
static void read_labels(struct cw_backtest *b, const char *csv)
{
	for (const char *p = csv; *p != '\0';) {
		size_t len = strcspn(p, "\n"), cell = strcspn(p, ",\r\n");
		struct cw_address address;

		if (cw_address_parse(&address, p, cell) == CW_ADDRESS_OK)
			add_label(b, &address);
		p += len + (p[len] == '\n');
	}
}

/* --- the run --- */

static void start_run(struct cw_backtest *b)
{
	static const struct cw_offline_fns fns = { on_loaded, on_verdict, on_quarantined, on_passed, on_done };
	struct cw_offline_conf conf = {
		.loop = b->conf.loop, .zygote = b->conf.zygote, .config = &b->config, .bundle = b->conf.bundle,
		.run_tests = b->conf.run_tests, .pool = b->conf.pool, .after = b->warm_after, .up_to = b->last,
		.files = b->conf.files, .nfiles = b->conf.nfiles, .chain_id = (uint64_t)b->config.chain_id,
		.checkpoint = b->conf.resume ? b->state_path : NULL, .resume = b->conf.resume,
	};
	struct cw_err err;

	memcpy(conf.digest, b->digest, sizeof(conf.digest));
	b->run = cw_offline_new(&conf, &fns, b, &err);
	if (b->run == NULL) {
		finish(b, &err);
		return;
	}
	if (b->conf.state_dir != NULL) {
		b->saver = cw_timer_new(b->conf.loop, on_save, b);
		cw_timer_set(b->saver, SAVE_MS);
	}
}

static bool failed(struct cw_backtest *b, const struct cw_err *err)
{
	b->query = 0;
	if (err != NULL)
		finish(b, err);
	return err != NULL || b->over;
}

static void on_labels(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_backtest *b = arg;

	if (failed(b, err))
		return;
	for (int i = 0; i < cw_result_rows(res); i++) {
		struct cw_address address;
		size_t len;
		const uint8_t *bytes = cw_result_bytea(res, i, 0, &len);

		if (len == sizeof(address.b)) {
			memcpy(address.b, bytes, len);
			add_label(b, &address);
		}
	}
	start_run(b);
}

static void on_reviews(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_backtest *b = arg;

	if (failed(b, err))
		return;
	for (int i = 0; i < cw_result_rows(res) && i < REVIEWS_MAX; i++) {
		char key[100];
		int n = snprintf(key, sizeof(key), "%" PRId64 " %s", cw_result_i64(res, i, 0), cw_result_text(res, i, 1, NULL));

		cw_map_put(b->reviews, key, (size_t)n, (void *)(intptr_t)(cw_result_bool(res, i, 2) ? 2 : 1));
	}
	if (b->conf.labels != NULL)
		start_run(b);
	else
		b->query = cw_workbench_labels(b->conf.pool, on_labels, b);
}

static void on_warm_range(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_backtest *b = arg;

	if (failed(b, err))
		return;
	if (cw_result_i64(res, 0, 2) > 0)
		b->warm_after = (uint64_t)cw_result_i64(res, 0, 0);
	b->query = cw_workbench_reviews(b->conf.pool, b->first, b->last, on_reviews, b);
}

static void on_range(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_backtest *b = arg;
	struct cw_err none;

	if (failed(b, err))
		return;
	if (cw_result_i64(res, 0, 2) == 0) {
		cw_err_set(&none, CW_ERR_NOT_FOUND, "no stored transaction lies in the range");
		finish(b, &none);
		return;
	}
	b->first = (uint64_t)cw_result_i64(res, 0, 0);
	b->last = (uint64_t)cw_result_i64(res, 0, 1);
	if (b->conf.warm_us < 0 || b->conf.from_us == INT64_MIN) {
		b->warm_after = 0;
		b->query = cw_workbench_reviews(b->conf.pool, b->first, b->last, on_reviews, b);
		return;
	}
	b->warm_after = b->first;
	b->query = cw_workbench_range(b->conf.pool, b->conf.from_us > b->conf.warm_us ? b->conf.from_us - b->conf.warm_us : 0,
	                              b->conf.from_us, on_warm_range, b);
}

static void begin(void *arg)
{
	struct cw_backtest *b = arg;

	if (b->conf.pool != NULL)
		b->query = cw_workbench_range(b->conf.pool, b->conf.from_us > 0 ? b->conf.from_us : 0,
		                              b->conf.to_us < TIME_MAX_US ? b->conf.to_us : TIME_MAX_US, on_range, b);
	else
		start_run(b);
}

/* Names of rules are needed to count lines again, before anything is loaded: they stand in the sources. */
static void name_rules(struct cw_backtest *b)
{
	struct cw_buf json = CW_BUF_INIT;

	cw_buf_puts(&json, "{\"rules\":[");
	for (int i = 0; i < b->conf.bundle->nrules; i++) {
		const char *id = strstr(b->conf.bundle->rules[i].text, "id = \"");

		id = id != NULL ? id + 6 : "";
		cw_buf_printf(&json, "%s{\"id\":\"%.*s\"}", i > 0 ? "," : "", (int)strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_."),
		              id);
	}
	cw_buf_puts(&json, "]}");
	cw_tally_rules(&b->tally, json.data);
	cw_buf_release(&json);
}

struct cw_backtest *cw_backtest_new(const struct cw_backtest_conf *conf, cw_backtest_fn *fn, void *arg,
                                    struct cw_err *err)
{
	struct cw_backtest *b = cw_zalloc(sizeof(*b));

	b->conf = *conf;
	b->fn = fn;
	b->arg = arg;
	b->config = *conf->config;
	b->conf.config = NULL;
	b->started_us = cw_clock_mono_us();
	b->arena = cw_arena_new();
	b->quarantined = (struct cw_buf)CW_BUF_INIT;
	b->reviews = cw_map_new();
	b->labels = cw_map_new();
	cw_tally_init(&b->tally);
	make_digest(b);
	if (conf->labels != NULL)
		read_labels(b, conf->labels);
	if (conf->resume)
		name_rules(b);
	if (open_files(b, err) != 0) {
		cw_backtest_free(&b);
		return NULL;
	}
	cw_loop_defer(conf->loop, begin, b);
	return b;
}

void cw_backtest_free(struct cw_backtest **backtest)
{
	struct cw_backtest *b = *backtest;

	*backtest = NULL;
	if (b == NULL)
		return;
	cw_loop_undefer(b->conf.loop, tell, b);
	cw_loop_undefer(b->conf.loop, begin, b);
	if (b->query != 0)
		cw_pool_cancel(b->conf.pool, b->query);
	cw_offline_free(&b->run);
	cw_timer_free(&b->saver);
	if (b->alerts != NULL)
		fclose(b->alerts);
	cw_map_free(&b->reviews);
	cw_map_free(&b->labels);
	cw_tally_release(&b->tally);
	cw_buf_release(&b->quarantined);
	cw_free(b->meters);
	cw_arena_free(&b->arena);
	cw_free(b);
}

double cw_backtest_progress(const struct cw_backtest *b)
{
	return b->over ? 1 : b->run != NULL ? cw_offline_progress(b->run) : 0;
}

uint64_t cw_backtest_transactions(const struct cw_backtest *b)
{
	return b->tally.transactions + b->tally.warmed;
}

uint64_t cw_backtest_alerts(const struct cw_backtest *b)
{
	return b->tally.alerts;
}

bool cw_backtest_warm(const char *text, int64_t *us)
{
	double span;

	if (strcmp(text, "all") == 0) {
		*us = -1;
		return true;
	}
	if (!cw_span_parse(text, &span) || span > 1e9)
		return false;
	*us = (int64_t)(span * 1e6);
	return true;
}

void cw_backtest_on_fire(struct cw_backtest *b, cw_backtest_fire_fn *fn, void *arg)
{
	b->on_fire = fn;
	b->fire_arg = arg;
}

/* --- the report --- */

static struct cw_rule_meter meter_of(const struct cw_backtest *b, int rule)
{
	struct cw_rule_meter m = { 0 };

	if (b->meters != NULL)
		m = b->meters[rule];
	if (!b->over && b->run != NULL)
		(void)cw_offline_meter(b->run, (uint32_t)rule, &m);
	return m;
}

double cw_backtest_rule_ns(const struct cw_backtest *b, int rule)
{
	struct cw_rule_meter m = meter_of(b, rule);

	return m.sampled > 0 ? (double)m.sampled_ns / (double)m.sampled : 0;
}

int cw_backtest_rules(const struct cw_backtest *b)
{
	return b->tally.nrules;
}

const char *cw_backtest_rule_id(const struct cw_backtest *b, int rule)
{
	return b->tally.rules[rule].id;
}

static double seconds_of(const struct cw_backtest *b)
{
	return (double)((b->over ? b->ended_us : cw_clock_mono_us()) - b->started_us) / 1e6;
}

static int64_t cpu_of(const struct cw_backtest *b)
{
	int64_t now = !b->over && b->run != NULL ? cw_offline_cpu_us(b->run) : b->cpu_us;

	return b->cpu_before_us + (now > 0 ? now : 0);
}

void cw_backtest_put_json(const struct cw_backtest *b, struct cw_buf *out)
{
	uint64_t all = cw_backtest_transactions(b);
	struct cw_buf filled = CW_BUF_INIT;

	cw_buf_putc(out, '{');
	cw_tally_put_json(&b->tally, out);
	cw_buf_puts(out, ",\"rules\":[");
	for (int i = 0; i < b->tally.nrules; i++) {
		const struct cw_tally_rule *r = &b->tally.rules[i];
		struct cw_rule_meter m = meter_of(b, i);

		cw_buf_printf(out, "%s{\"id\":", i > 0 ? "," : "");
		cw_json_put_cstring(out, r->id);
		cw_buf_puts(out, ",\"version\":");
		cw_json_put_cstring(out, r->version);
		cw_buf_printf(out, ",\"alerts\":%" PRIu64 ",\"fires\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"reviewed\":%" PRIu64
		              ",\"false_positives\":%" PRIu64 ",\"ns_per_transaction\":%.0f,\"ticks_per_transaction\":%.1f}", r->alerts,
		              r->fires, r->faults, r->reviewed, r->false_positives, cw_backtest_rule_ns(b, i),
		              m.calls > 0 ? (double)m.ticks / (double)m.calls : 0);
	}
	cw_buf_printf(out, "],\"quarantined\":[%s],\"cost\":{\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"ns_per_transaction\":%.0f,"
	              "\"transactions_per_second\":%.0f}", b->quarantined.data, seconds_of(b), (double)cpu_of(b) / 1e6,
	              all > 0 ? 1000.0 * (double)cpu_of(b) / (double)all : 0,
	              seconds_of(b) > 0 ? (double)all / seconds_of(b) : 0);
	cw_buf_printf(out, ",\"skipped\":{\"records\":%" PRIu64 ",\"first\":", b->run != NULL ? cw_offline_skipped(b->run) : 0);
	cw_json_put_cstring(out, b->run != NULL ? cw_offline_skip_reason(b->run) : "");
	cw_buf_puts(out, "},\"filled_in\":");
	if (b->run != NULL)
		cw_offline_tell_filled(b->run, &filled);
	cw_json_put_cstring(out, filled.data);
	cw_buf_puts(out, "}");
	cw_buf_release(&filled);
}

void cw_backtest_put_text(const struct cw_backtest *b, struct cw_buf *out)
{
	uint64_t all = cw_backtest_transactions(b);
	struct cw_buf filled = CW_BUF_INIT;

	cw_tally_put_text(&b->tally, out);
	cw_buf_printf(out, "\n%-32s %-10s %8s %8s %7s %12s\n", "rule", "version", "alerts", "fires", "faults", "ns a call");
	for (int i = 0; i < b->tally.nrules; i++) {
		const struct cw_tally_rule *r = &b->tally.rules[i];

		cw_buf_printf(out, "%-32s %-10s %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %12.0f\n", r->id, r->version, r->alerts,
		              r->fires, r->faults, cw_backtest_rule_ns(b, i));
	}
	if (b->nquarantined > 0)
		cw_buf_printf(out, "switched off during the run: %s\n", b->quarantined.data);
	if (b->run != NULL && cw_offline_skipped(b->run) > 0)
		cw_buf_printf(out, "%" PRIu64 " records were not judged, the first: %s\n", cw_offline_skipped(b->run),
		              cw_offline_skip_reason(b->run));
	if (b->run != NULL)
		cw_offline_tell_filled(b->run, &filled);
	if (filled.len > 0)
		cw_buf_printf(out, "%s\n", filled.data);
	cw_buf_release(&filled);
	cw_buf_printf(out, "%.1f s, %.0f transactions a second, %.0f ns of CPU a transaction\n", seconds_of(b),
	              seconds_of(b) > 0 ? (double)all / seconds_of(b) : 0,
	              all > 0 ? 1000.0 * (double)cpu_of(b) / (double)all : 0);
}
