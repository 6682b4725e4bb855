#include "app/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/config.h"
#include "app/identity.h"
#include "app/label_files.h"
#include "app/data_file.h"
#include "app/ops.h"
#include "app/parts.h"
#include "app/rule_sources.h"
#include "app/sources.h"
#include "app/tested.h"
#include "auth/audit.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "lua/scripts.h"
#include "store/rules.h"

#define SETTLE_MS 300            /* an editor writes a file in several steps */

struct cw_reload {
	struct cw_engine *engine;    /* NULL: cancelled while a worker reads */
	struct cw_config *config;    /* the new one, until it is live */
	struct cw_arena *arena;
	struct cw_bundle bundle;
	struct cw_rule_sources sources;
	struct cw_rule_change change;
	struct cw_buf notes;         /* what the operator should know, line by line */
	struct cw_err err;
	uint64_t query;
	int read_rc, routes_before;
	bool again, prepared, digest_known;
	struct cw_timer *busy;       /* set while lists are being swapped: then it goes on. NULL: not so */
	int64_t busy_until_us;       /* 0: it has not waited yet */
	unsigned char scripts_digest[32];
	cw_reload_fn *fn;
	cw_reload_change_fn *change_fn;
	void *arg;
};

#define BUSY_MS 50
#define BUSY_MAX_US (20 * INT64_C(1000000))
#define WATCHED_FOLDERS 6
#define WATCHED_FILES 2

struct cw_watcher {
	struct cw_engine *engine;
	int fd;
	struct cw_watch *watch;
	struct cw_timer *settle;
	int folders[WATCHED_FOLDERS], nfolders;
	/* Settings, parameters of rules. `folder`: all of its folder is watched anyhow. */
	struct { int wd; bool folder; char name[256]; } files[WATCHED_FILES];
};

/* --- reading --- */

int cw_reload_read_params(const struct cw_config *config, struct cw_bundle *bundle, struct cw_arena *arena,
                          struct cw_err *err)
{
	struct cw_buf json = CW_BUF_INIT;
	int rc = 0;

	if (access(config->rules_conf, F_OK) == 0)
		rc = cw_data_file_to_json(config->rules_conf, &json, err);
	else
		cw_buf_puts(&json, "{}");
	bundle->params_json = cw_arena_strndup(arena, json.data, json.len);
	bundle->options_json = cw_bundle_options(config, arena);
	cw_buf_release(&json);
	return rc;
}

int cw_reload_read_bundle(const struct cw_config *config, struct cw_bundle *bundle, struct cw_arena *arena,
                          struct cw_err *err)
{
	if (cw_reload_read_params(config, bundle, arena, err) != 0)
		return -1;
	return cw_bundle_read(bundle, config->rules_dir, config->lists_dir, arena, err);
}

static struct cw_config *read_config(struct cw_engine *e, struct cw_err *err)
{
	struct cw_config *config = cw_config_load(e->config->path, err);

	for (int i = 0; config != NULL && i < e->nsets; i++) {
		const char *value = strchr(e->sets[i], '=');
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)(value - e->sets[i]), e->sets[i]);
		if (cw_config_set(config, key, value + 1, err) != 0)
			cw_config_free(&config);
	}
	return config;
}

/* --- the steps --- */

static void count(bool success)
{
	cw_metric_add(cw_counter("chainwatch_reloads_total", "Reloads of rules, scripts and settings.",
	                         success ? "result=\"success\"" : "result=\"failure\""), 1);
	cw_metric_set(cw_gauge("chainwatch_reload_success", "1 if the last reload was taken, 0 if it was refused.", NULL),
	              success ? 1 : 0);
}

/* Also those by signal and by file watch, which no request stands for. */
static void note(struct cw_engine *e, const char *message, const struct cw_err *err)
{
	struct cw_buf details = CW_BUF_INIT;
	struct cw_audit_event event = { .type = "config.reload", .resource = "config", .action = "reload",
		                            .status = err == NULL ? "success" : "failure", .severity = err == NULL ? "info" : "warning" };

	if (e->audit == NULL)
		return;
	cw_buf_puts(&details, err == NULL ? "{\"message\":" : "{\"error\":");
	cw_json_put_cstring(&details, err == NULL ? message : err->msg);
	cw_buf_putc(&details, '}');
	event.details = details.data;
	cw_audit_write(e->audit, &event, NULL, NULL);
	cw_buf_release(&details);
}

static void release(struct cw_reload *r)
{
	cw_config_free(&r->config);
	cw_arena_free(&r->arena);
	cw_buf_release(&r->notes);
	cw_timer_free(&r->busy);
	cw_free(r);
}

static void finish(struct cw_reload *r, const char *message, const struct cw_err *err)
{
	struct cw_engine *e = r->engine;
	bool again = r->again;

	count(err == NULL);
	note(e, message, err);
	if (err != NULL) {
		if (r->prepared)
			cw_scripts_discard(e->scripts);
		cw_log_err(CW_LOG_ERROR, "reload", "refused, the old generation goes on", err);
	} else {
		char text[512];

		cw_log(CW_LOG_INFO, "reload", "done", "result=%s", cw_log_quote(text, sizeof(text), message));
	}
	e->reload = NULL;
	if (r->fn != NULL)
		r->fn(r->arg, message, err);
	if (r->change_fn != NULL)
		r->change_fn(r->arg, &r->change, message, err);
	release(r);
	if (again)
		cw_reload_start(e, NULL, NULL);
}

/* Settings that the parts take while running. What cannot be applied is refused before anything is live, so the few
 * calls that may fail come first. */
static int apply_config(struct cw_engine *e, const struct cw_config *fresh, struct cw_err *err)
{
	struct cw_server_conf server = cw_engine_server_conf(fresh);
	struct cw_pool_conf pool = cw_engine_pool_conf(e, fresh);
	struct cw_pipeline_conf pipeline = cw_engine_pipeline_conf(fresh);

	server.listen = e->config->listen;
	server.inherited_fd = -1;
	if (cw_server_reconfigure(e->server, &server, err) != 0 || cw_pool_reconfigure(e->pool, &pool, err) != 0 ||
	    cw_identity_apply(e, fresh, err) != 0 || cw_config_apply_log(fresh, err) != 0)
		return -1;
	if (e->sources != NULL && cw_sources_apply(e->sources, fresh, err) != 0)
		return -1;
	cw_pipeline_reconfigure(e->pipeline, &pipeline);
	cw_pipeline_want_events(e->pipeline, fresh->deliver.n > 0);
	e->chain_id = (uint64_t)fresh->chain_id;
	return 0;
}

/* For the operator, and for whoever reads it over HTTP. */
static void note_changes(struct cw_reload *r)
{
	struct cw_engine *e = r->engine;
	struct cw_buf out = CW_BUF_INIT;

	cw_buf_printf(&out, "{\"rules\":%s,\"settings\":[", cw_pipeline_changes(e->pipeline));
	cw_config_changes(e->config, r->config, &out);
	cw_buf_printf(&out, "],\"lists\":%d,\"routes\":%d,\"notes\":", r->bundle.nlists, cw_scripts_routes(e->scripts));
	cw_json_put_cstring(&out, r->notes.len > 0 ? r->notes.data : "");
	cw_buf_putc(&out, '}');
	cw_free(e->changes);
	e->changes = cw_buf_take(&out, NULL);
}

const char *cw_reload_changes(const struct cw_engine *e)
{
	return e->changes != NULL ? e->changes : "{}";
}

static void make_live(struct cw_reload *r)
{
	struct cw_engine *e = r->engine;
	struct cw_buf restart = CW_BUF_INIT;
	struct cw_router *router;
	struct cw_config *old = e->config;
	char message[400];

	note_changes(r);
	cw_rule_sources_forget_over(e->pool, &r->sources);
	cw_label_files_take(e->label_files, &r->bundle);
	if (r->prepared) {
		cw_scripts_commit(e->scripts);
		router = cw_scripts_router(e->scripts);
		cw_server_set_router(e->server, router);
		cw_router_unref(&router);
		memset(e->scripts_digest, 0, sizeof(e->scripts_digest));
		if (r->digest_known)
			memcpy(e->scripts_digest, r->scripts_digest, sizeof(e->scripts_digest));
	}
	cw_config_restart_needed(old, r->config, &restart);
	e->config = r->config;
	r->config = old;
	snprintf(message, sizeof(message), "%d rules, %d lists, %d routes live%s%.200s", r->bundle.nrules,
	         r->bundle.nlists, cw_scripts_routes(e->scripts), restart.len > 0 ? "; needs a restart: " : "",
	         restart.data);
	cw_buf_release(&restart);
	finish(r, message, NULL);
}

static void on_rules(void *arg, const char *report, const struct cw_err *err);
static void load(void *arg);

/* True: a candidate was to blame, and all else is being loaded without it. */
static bool again_without(struct cw_reload *r, const struct cw_err *err)
{
	return cw_rule_sources_leave_out(&r->sources, &r->bundle, err, &r->notes) &&
	       cw_pipeline_load_rules(r->engine->pipeline, &r->bundle, on_rules, r, &r->err) == 0;
}

static void on_rules(void *arg, const char *report, const struct cw_err *err)
{
	struct cw_reload *r = arg;

	if (r->engine == NULL) {
		release(r);
		return;
	}
	if (err != NULL && r->change.kind != CW_CHANGE_SUBMIT && again_without(r, err))
		return;
	if (err != NULL) {
		apply_config(r->engine, r->engine->config, NULL);   /* all or nothing: the settings go back too */
		finish(r, NULL, err);
	} else {
		cw_tested_note(r->engine->tested, &r->bundle, report);
		make_live(r);
	}
}

/* Lists that changed in the database are swapped by the same evaluators: not the caller's fault, and soon over. */
static bool wait_for_lists(struct cw_reload *r)
{
	int64_t now = cw_clock_mono_us();

	if (r->err.code != CW_ERR_BUSY)
		return false;
	if (r->busy == NULL)
		r->busy = cw_timer_new(r->engine->loop, load, r);
	if (r->busy_until_us == 0)
		r->busy_until_us = now + BUSY_MAX_US;
	if (now >= r->busy_until_us)
		return false;
	cw_timer_set(r->busy, BUSY_MS);
	return true;
}

static void load(void *arg)
{
	struct cw_reload *r = arg;
	struct cw_engine *e = r->engine;

	if (apply_config(e, r->config, &r->err) == 0) {
		if (cw_pipeline_load_rules(e->pipeline, &r->bundle, on_rules, r, &r->err) == 0) {
			cw_timer_free(&r->busy);
			return;
		}
		apply_config(e, e->config, NULL);
		if (wait_for_lists(r))
			return;
	}
	finish(r, NULL, &r->err);
}

static void on_files(void *arg, bool ran)
{
	struct cw_reload *r = arg;
	struct cw_engine *e = r->engine;

	if (e == NULL || !ran) {
		if (e != NULL)
			e->reload = NULL;
		release(r);
		return;
	}
	if (r->read_rc != 0) {
		finish(r, NULL, &r->err);
		return;
	}
	load(r);
}

/* On a worker thread: touches only what `r` owns. */
static void read_files(void *arg)
{
	struct cw_reload *r = arg;

	r->read_rc = cw_bundle_read(&r->bundle, r->config->rules_dir, r->config->lists_dir, r->arena, &r->err);
	if (r->read_rc == 0)
		r->read_rc = cw_rule_sources_merge(&r->sources, &r->change, &r->bundle, r->arena, &r->err);
}

static void on_sources(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_reload *r = arg;

	r->query = 0;
	if (err != NULL) {
		r->err = *err;
		cw_err_wrap(&r->err, "could not read candidates and promoted rules");
		finish(r, NULL, &r->err);
		return;
	}
	cw_rule_sources_read(&r->sources, res, r->arena);
	if (cw_work_submit(r->engine->work, read_files, on_files, r) == 0)
		return;
	cw_err_set(&r->err, CW_ERR_BUSY, "the worker threads are busy");
	finish(r, NULL, &r->err);
}

static int begin(struct cw_reload *r)
{
	struct cw_engine *e = r->engine;
	struct cw_scripts_conf scripts;
	const char *conf;

	r->config = read_config(e, &r->err);
	if (r->config == NULL || cw_reload_read_params(r->config, &r->bundle, r->arena, &r->err) != 0)
		return -1;
	scripts = cw_ops_scripts_conf(r->config);
	conf = cw_ops_conf_json(e, r->config);
	r->digest_known = r->config->nroutes == 0 && e->config->nroutes == 0 && cw_scripts_digest(r->config->scripts_dir, conf, r->scripts_digest, r->arena);
	/* Building them takes a while in which the loop does nothing else: not for the same ones again. */
	if (!r->digest_known || memcmp(r->scripts_digest, e->scripts_digest, sizeof(r->scripts_digest)) != 0) {
		cw_scripts_set_settings(e->scripts, conf);
		if (cw_scripts_prepare(e->scripts, &scripts, &r->err) != 0)
			return -1;
		r->prepared = true;
	}
	r->query = cw_rule_sources_all(e->pool, on_sources, r);
	return 0;
}

static void start(struct cw_engine *e, const struct cw_rule_change *change, cw_reload_fn *fn,
                  cw_reload_change_fn *change_fn, void *arg)
{
	struct cw_reload *r = cw_zalloc(sizeof(*r));

	r->engine = e;
	r->arena = cw_arena_new();
	cw_buf_init(&r->notes);
	if (change != NULL) {
		r->change = *change;
		r->change.id = cw_arena_strndup(r->arena, change->id, strlen(change->id));
		if (change->source != NULL)
			r->change.source = cw_arena_strndup(r->arena, change->source, strlen(change->source));
		if (change->sha256 != NULL)
			r->change.sha256 = cw_arena_strndup(r->arena, change->sha256, strlen(change->sha256));
		if (change->replaces != NULL)
			r->change.replaces = cw_arena_strndup(r->arena, change->replaces, strlen(change->replaces));
	}
	r->fn = fn;
	r->change_fn = change_fn;
	r->arg = arg;
	e->reload = r;
	if (begin(r) != 0)
		finish(r, NULL, &r->err);
}

void cw_reload_start(struct cw_engine *e, cw_reload_fn *fn, void *arg)
{
	struct cw_err err;

	if (e->reload == NULL) {
		start(e, NULL, fn, NULL, arg);
		return;
	}
	cw_err_set(&err, CW_ERR_BUSY, "a reload is under way");
	if (fn != NULL)
		fn(arg, NULL, &err);
	else
		e->reload->again = true;
}

void cw_reload_change(struct cw_engine *e, const struct cw_rule_change *change, cw_reload_change_fn *fn, void *arg)
{
	struct cw_err err;

	if (e->reload == NULL) {
		start(e, change, NULL, fn, arg);
		return;
	}
	cw_err_set(&err, CW_ERR_BUSY, "a reload is under way");
	fn(arg, NULL, NULL, &err);
}

void cw_reload_cancel(struct cw_engine *e)
{
	if (e->watcher != NULL) {
		cw_watch_free(&e->watcher->watch);
		cw_timer_free(&e->watcher->settle);
		close(e->watcher->fd);
		cw_free(e->watcher);
		e->watcher = NULL;
	}
	if (e->reload != NULL && e->reload->query != 0) {
		cw_pool_cancel(e->pool, e->reload->query);
		release(e->reload);
	} else if (e->reload != NULL && e->reload->busy != NULL) {
		release(e->reload);
	} else if (e->reload != NULL) {
		e->reload->engine = NULL;
	}
	e->reload = NULL;
}

/* --- dev mode --- */

/* For the person at the terminal, in plain words beside the log. */
static void on_dev_reloaded(void *arg, const char *message, const struct cw_err *err)
{
	const struct cw_watcher *w = arg;

	if (err != NULL && err->code == CW_ERR_BUSY)
		cw_timer_set(w->settle, SETTLE_MS);
	else if (err != NULL)
		fprintf(stderr, "\n  not taken: %s\n  the old generation goes on\n\n", err->msg);
	else
		fprintf(stderr, "\n  taken: %s\n  %s\n\n", message, cw_reload_changes(w->engine));
}

static void on_settled(void *arg)
{
	struct cw_watcher *w = arg;

	cw_reload_start(w->engine, on_dev_reloaded, w);
}

static bool ends_with(const char *name, const char *ending)
{
	size_t n = strlen(name), m = strlen(ending);

	return n > m && strcmp(name + n - m, ending) == 0;
}

/* Files of editors (.swp, ~, 4913) change nothing. In the folder of a single file only that one counts. */
static bool counts(const struct cw_watcher *w, const struct inotify_event *event)
{
	if (event->len == 0 || event->name[0] == '.' || (!ends_with(event->name, ".lua") && !ends_with(event->name, ".csv")))
		return false;
	for (int i = 0; i < WATCHED_FILES; i++)
		if (w->files[i].wd == event->wd && strcmp(w->files[i].name, event->name) == 0)
			return true;
	for (int i = 0; i < WATCHED_FILES; i++)
		if (w->files[i].wd == event->wd && !w->files[i].folder)
			return false;
	return true;
}

static void on_change(void *arg, int fd, int flags)
{
	_Alignas(struct inotify_event) char events[4096];
	struct cw_watcher *w = arg;
	bool any = false;
	ssize_t n;

	(void)flags;
	while ((n = read(fd, events, sizeof(events))) > 0)
		for (char *at = events; at < events + n;) {
			const struct inotify_event *event = (const void *)at;

			any = any || counts(w, event);
			at += sizeof(*event) + event->len;
		}
	if (any)
		cw_timer_set(w->settle, SETTLE_MS);
}

#define WATCHED (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

/* A file is watched by its folder: an editor puts another in its place. Where that folder is watched as a whole already,
 * everything in it counts. */
static void watch_file(struct cw_watcher *w, int slot, const char *path)
{
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;
	char folder[512] = ".";

	w->files[slot].wd = -1;
	if (path == NULL || path[0] == '\0')
		return;
	if (slash != NULL)
		snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	snprintf(w->files[slot].name, sizeof(w->files[slot].name), "%s", slash != NULL ? slash + 1 : path);
	w->files[slot].wd = inotify_add_watch(w->fd, folder, WATCHED);
	for (int i = 0; i < w->nfolders; i++)
		w->files[slot].folder = w->files[slot].folder || w->folders[i] == w->files[slot].wd;
}

static void watch_folder(struct cw_watcher *w, const char *path)
{
	int wd = inotify_add_watch(w->fd, path, WATCHED);

	if (wd >= 0 && w->nfolders < WATCHED_FOLDERS)
		w->folders[w->nfolders++] = wd;
}

void cw_reload_watch(struct cw_engine *e)
{
	static const char *const below[] = { "api", "policy", "jobs", "lib" };
	struct cw_watcher *w;
	char path[512];

	if (!e->config->dev)
		return;
	w = cw_zalloc(sizeof(*w));
	w->engine = e;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	watch_folder(w, e->config->rules_dir);
	watch_folder(w, e->config->lists_dir);
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
		snprintf(path, sizeof(path), "%s/%s", e->config->scripts_dir, below[i]);
		watch_folder(w, path);
	}
	watch_file(w, 0, e->config->path);
	watch_file(w, 1, e->config->rules_conf);
	w->watch = cw_watch_new(e->loop, w->fd, on_change, w);
	w->settle = cw_timer_new(e->loop, on_settled, w);
	cw_watch_set(w->watch, CW_WATCH_READ);
	e->watcher = w;
	cw_log(CW_LOG_INFO, "reload", "watching files", "rules=%s scripts=%s", e->config->rules_dir,
	       e->config->scripts_dir);
}
