/* engine.c - brings the parts up in order, reloads them, takes them down. */
#include "app/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/audit_export.h"
#include "app/backup.h"
#include "app/backup_job.h"
#include "app/bundle.h"
#include "app/checkpoints.h"
#include "app/config.h"
#include "app/denials.h"
#include "app/eval.h"
#include "app/gate.h"
#include "app/identity.h"
#include "app/label_files.h"
#include "app/labels.h"
#include "app/instance.h"
#include "app/ops.h"
#include "app/parts.h"
#include "app/process_metrics.h"
#include "app/reload.h"
#include "app/systemd.h"
#include "app/rule_sources.h"
#include "app/sources.h"
#include "app/tested.h"
#include "app/version.h"
#include "app/workbench.h"
#include "auth/keys.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http/client.h"
#include "http/server.h"
#include "http/sse.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "lua/scripts.h"
#include "pg/cluster.h"
#include "pg/conn.h"
#include "pg/migrate.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "pipeline/pipeline.h"
#include "state/state.h"
#include "store/db_stats.h"
#include "store/labels.h"
#include "store/job_runs.h"
#include "store/partitions.h"
#include "store/position.h"
#include "store/rules.h"

#define MEMORY_RESERVE ((size_t)8 << 20)   /* given up when there is no memory, so that requests under way can end */
#define DRAIN_MS 10000           /* for requests in flight at the end; then they are cut */
#define CLUSTER_CHECK_MS 250     /* a private PostgreSQL that died is started again */
#define MAIL_THREADS 4           /* mails under way at a time */
#define DESCRIPTORS 65536        /* as many as may be open at once, where the system allows it */
#define REACH_AGAIN_MS 500       /* one of somebody else that is away at start is asked again */
#define SSE_RING 4096
#define SSE_HEARTBEAT_MS 15000

/* --- the pid file: one engine on a data directory, and where it listens --- */

static int make_folder(const char *path, struct cw_err *err)
{
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	return cw_err_errno(err, CW_ERR_INVALID, "could not make the data directory \"%s\"", path);
}

static int lock_data_dir(struct cw_engine *e, struct cw_err *err)
{
	char path[512];

	if (make_folder(e->config->data_dir, err) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/engine.pid", e->config->data_dir);
	e->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (e->pid_fd < 0)
		return cw_err_errno(err, CW_ERR_INVALID, "could not open \"%s\"", path);
	if (flock(e->pid_fd, LOCK_EX | LOCK_NB) != 0)
		return cw_err_set(err, CW_ERR_BUSY, "another engine runs on the data directory \"%s\"", e->config->data_dir);
	if (ftruncate(e->pid_fd, 0) != 0)   /* what another has left is not ours */
		return cw_err_errno(err, CW_ERR_SYSTEM, "could not write \"%s\"", path);
	return 0;
}

static int note_address(struct cw_engine *e, struct cw_err *err)
{
	if (ftruncate(e->pid_fd, 0) == 0 && lseek(e->pid_fd, 0, SEEK_SET) == 0 &&
	    dprintf(e->pid_fd, "%d\n%s\n", (int)getpid(), cw_server_address(e->server)) > 0)
		return 0;
	return cw_err_errno(err, CW_ERR_SYSTEM, "could not write \"%s/engine.pid\"", e->config->data_dir);
}

/* For CLI verbs that need the database of a running engine. */
static void note_database(struct cw_engine *e, const char *conninfo)
{
	struct cw_err err;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/database.url", e->config->data_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%s\n", conninfo) < 0) {
		cw_err_errno(&err, CW_ERR_SYSTEM, "could not write \"%s\"", path);
		cw_log_err(CW_LOG_WARN, "app", "verbs must be told the database", &err);
	}
	if (fd >= 0)
		close(fd);
}

/* --- waiting at start-up: the loop turns until an answer is there --- */

static void on_answer(void *arg, const struct cw_err *err)
{
	struct cw_answer *a = arg;

	a->done = true;
	a->failed = err != NULL;
	if (err != NULL)
		a->err = *err;
}


/* Not on the stack: after a signal nobody waits any more, but the parts answer when they are taken down. */
static struct cw_answer *new_answer(struct cw_engine *e)
{
	return cw_arena_zalloc(e->kept, sizeof(struct cw_answer));
}

static int wait_answer(struct cw_engine *e, const struct cw_answer *a, struct cw_err *err)
{
	while (!a->done && !e->stopping)
		cw_loop_run_once(e->loop);
	if (a->done && !a->failed)
		return 0;
	if (a->done)
		*err = a->err;
	else
		cw_err_set(err, CW_ERR_CANCELLED, "stopped before it was up");
	return -1;
}

/* --- the parts, in order --- */

static void check_cluster(void *arg)
{
	struct cw_engine *e = arg;
	struct cw_err err;

	if (cw_cluster_revive(e->cluster, &err) != 0)
		cw_log_err(CW_LOG_ERROR, "pg", "could not start the private PostgreSQL again", &err);
	cw_timer_set(e->cluster_timer, CLUSTER_CHECK_MS);
}

static void on_reached(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	(void)conn;
	on_answer(arg, err);
}

static void on_pause_over(void *arg)
{
	on_answer(arg, NULL);
}

static int try_database(struct cw_engine *e, struct cw_err *err)
{
	struct cw_answer *reached = new_answer(e);
	struct cw_conn *conn = cw_conn_new(e->loop, e->conninfo, e->config->connect_ms, on_reached, reached);
	int rc = wait_answer(e, reached, err);

	cw_conn_free(&conn);
	return rc;
}

/* Machines start in any order, and one of us may be started again while the database is. */
static int reach_database(struct cw_engine *e, struct cw_err *err)
{
	int64_t until_us = cw_clock_mono_us() + e->config->start_wait_s * 1000000;

	for (bool told = false; try_database(e, err) != 0; told = true) {
		struct cw_answer *pause = new_answer(e);
		struct cw_timer *timer;
		struct cw_err stopped;

		if (e->stopping || cw_clock_mono_us() >= until_us)
			return -1;
		if (!told)
			cw_log_err(CW_LOG_WARN, "pg", "waiting for the database (database.start_wait_s)", err);
		timer = cw_timer_new(e->loop, on_pause_over, pause);
		cw_timer_set(timer, REACH_AGAIN_MS);
		if (wait_answer(e, pause, &stopped) != 0)
			*err = stopped;
		cw_timer_free(&timer);
	}
	return 0;
}

static int start_database(struct cw_engine *e, struct cw_err *err)
{
	struct cw_cluster_conf conf = { .shared_buffers = e->config->shared_buffers };
	struct cw_backup *backup = cw_arena_zalloc(e->kept, sizeof(*backup));
	struct cw_err why;
	char dir[512];

	/* A copy: a reload replaces the configuration. */
	e->conninfo = cw_arena_strndup(e->kept, e->config->database_url, strlen(e->config->database_url));
	if (e->conninfo[0] != '\0')
		return reach_database(e, err);
	snprintf(dir, sizeof(dir), "%s/pg", e->config->data_dir);
	conf.dir = dir;
	if (cw_backup_open(backup, e->config, err) != 0)
		return cw_err_wrap(err, "backup");
	cw_backup_cluster(backup, &conf);
	e->cluster = cw_cluster_start(&conf, err);
	if (e->cluster == NULL)
		return cw_err_wrap(err, "could not start the private PostgreSQL");
	if (conf.archive_command != NULL && cw_backup_stanza(backup, cw_cluster_conninfo(e->cluster), &why) != 0)
		cw_log_err(CW_LOG_ERROR, "backup", "the repository cannot be used, WAL is kept until it can", &why);
	e->conninfo = cw_cluster_conninfo(e->cluster);
	note_database(e, e->conninfo);
	e->cluster_timer = cw_timer_new(e->loop, check_cluster, e);
	cw_timer_set(e->cluster_timer, CLUSTER_CHECK_MS);
	return 0;
}

static void on_step(void *arg, const struct cw_migration *step, bool up, double seconds)
{
	(void)arg;
	(void)up;
	cw_log(CW_LOG_INFO, "migrate", "applied", "version=%s name=%s ms=%.0f", step->version, step->name, 1000 * seconds);
}

static int migrate(struct cw_engine *e, struct cw_err *err)
{
	struct cw_migrate_run run = { .conninfo = e->conninfo, .lock_timeout_ms = 5000, .progress = on_step };
	struct cw_migrations m = { 0 };
	int pending = 0, rc;

	if (cw_migrations_load(&m, e->config->migrations_dir, err) != 0)
		return -1;
	rc = cw_migrations_status(&m, e->conninfo, err);
	for (int i = 0; rc == 0 && i < m.count; i++)
		pending += !m.list[i].applied;
	if (rc == 0 && pending > 0 && !e->config->migrate)
		rc = cw_err_set(err, CW_ERR_INVALID, "%d migration%s pending: run \"chainwatch migrate up\", or set "
		                "database.migrate", pending, pending == 1 ? " is" : "s are");
	else if (rc == 0 && pending > 0)
		rc = cw_migrate_up(&m, &run, NULL, err) < 0 ? -1 : 0;
	cw_migrations_release(&m);
	return rc;
}

struct cw_pool_conf cw_engine_pool_conf(const struct cw_engine *e, const struct cw_config *c)
{
	struct cw_pool_conf conf = cw_pool_conf_default;

	conf.conninfo = e->conninfo;
	conf.size = (int)c->pool_size;
	conf.overflow = (int)c->pool_overflow;
	conf.wait_ms = c->pool_wait_ms;
	conf.recycle_s = c->pool_recycle_s;
	conf.connect_ms = c->connect_ms;
	conf.statement_ms = c->statement_ms;
	conf.queue_limit = (int)c->pool_queue;
	return conf;
}

struct cw_pipeline_conf cw_engine_pipeline_conf(const struct cw_config *c)
{
	struct cw_pipeline_conf conf = cw_pipeline_conf_default;

	conf.queue_limit = (uint32_t)c->queue_limit;
	conf.group_max = (uint32_t)c->group_max;
	/* A small pool has none to spare. */
	conf.commit_lanes = c->pool_size + c->pool_overflow < 4 ? 1 : (uint32_t)c->commit_lanes;
	conf.commit_linger_us = c->commit_linger_us;
	conf.recent_hashes = (uint32_t)c->recent_hashes;
	conf.wait_ms = c->wait_ms;
	conf.replay_max = (uint64_t)c->replay_max;
	conf.warm_max = (uint64_t)c->warm_max;
	conf.warm_hours = c->warm_hours;
	conf.rate_check_ms = c->rate_check_s * 1000;
	return conf;
}

struct cw_server_conf cw_engine_server_conf(const struct cw_config *c)
{
	struct cw_server_conf conf = cw_server_conf_default;

	conf.listen = c->listen;
	conf.limits.headers = (size_t)c->header_bytes;
	conf.limits.body = (uint64_t)c->body_bytes;
	conf.max_connections = (int)c->max_connections;
	conf.address_connections = (int)c->address_connections;
	conf.head_ms = c->head_ms;
	conf.body_ms = c->body_ms;
	conf.idle_ms = c->idle_ms;
	conf.write_ms = c->write_ms;
	conf.reply_ms = c->reply_ms;
	conf.tls_cert = c->tls_cert[0] != '\0' ? c->tls_cert : NULL;
	conf.tls_key = c->tls_key[0] != '\0' ? c->tls_key : NULL;
	conf.access_log = c->access_log;
	return conf;
}

struct position {
	struct cw_answer answer;
	char database[256];
	int64_t newest, anomaly;
};

static void on_position(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct position *p = arg;

	if (err == NULL) {
		snprintf(p->database, sizeof(p->database), "%s", cw_result_text(res, 0, CW_POSITION_DATABASE, NULL));
		p->newest = cw_result_i64(res, 0, CW_POSITION_NEWEST);
		p->anomaly = cw_result_i64(res, 0, CW_POSITION_ANOMALY);
	}
	on_answer(&p->answer, err);
}

static int start_state(struct cw_engine *e, struct cw_err *err)
{
	const struct cw_config *c = e->config;
	struct cw_state_conf conf = {
		.max_bytes = (size_t)c->state_mb << 20, .journal_bytes = (size_t)c->journal_mb << 20,
	};
	struct position *position = cw_arena_zalloc(e->kept, sizeof(*position));

	randombytes_buf(&conf.hash_seed, sizeof(conf.hash_seed));
	e->state = cw_state_new(&conf, err);
	if (e->state == NULL)
		return -1;
	cw_position(e->pool, on_position, position);
	if (wait_answer(e, &position->answer, err) != 0)
		return cw_err_wrap(err, "could not ask the database for its position");
	e->checkpoints = cw_checkpoints_open(e, position->database, position->newest);
	e->anomalies = cw_sse_new(e->loop, SSE_RING, SSE_HEARTBEAT_MS);
	cw_sse_seed(e->anomalies, (uint64_t)position->anomaly);
	return 0;
}

/* Not waited for: what comes before goes to the default partition. */
static void on_partitions(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	if (err != NULL && err->code != CW_ERR_CANCELLED)
		cw_log_err(CW_LOG_WARN, "store", "could not make the partitions of the coming months", err);
	else if (err == NULL && cw_result_i64(res, 0, 0) > 0)
		cw_log(CW_LOG_INFO, "store", "made partitions", "count=%d", (int)cw_result_i64(res, 0, 0));
}

static int start_pipeline(struct cw_engine *e, struct cw_err *err)
{
	const struct cw_config *c = e->config;
	struct cw_supervisor_conf supervisor = cw_supervisor_conf_default;
	struct cw_pipeline_conf pipeline = cw_engine_pipeline_conf(c);
	struct cw_pool_conf pool = cw_engine_pool_conf(e, c);

	supervisor.ring_slots = (uint32_t)c->ring_slots;
	supervisor.hang_ms = c->hang_ms;
	supervisor.wall_ms = c->wall_ms;
	supervisor.quarantine_after = (int)c->quarantine_after;
	supervisor.load_ms = c->load_ms;
	e->pool = cw_pool_new(e->loop, &pool, err);
	if (e->pool == NULL || start_state(e, err) != 0)
		return -1;
	if (c->db_stats_s > 0)
		e->db_stats = cw_db_stats_new(e->loop, e->pool, c->db_stats_s);
	cw_partitions_ahead(e->pool, CW_PARTITIONS_AHEAD, on_partitions, e);
	e->pipeline = cw_pipeline_new(e->loop, e->pool, e->zygote, e->state, &pipeline, &supervisor, err);
	if (e->pipeline == NULL)
		return -1;
	cw_pipeline_on_publish(e->pipeline, cw_ops_publish, e);
	cw_pipeline_want_events(e->pipeline, c->deliver.n > 0);
	cw_pipeline_on_alarm(e->pipeline, cw_ops_alarm, e);
	cw_pipeline_on_retract(e->pipeline, cw_ops_retract, e);
	cw_checkpoints_start(e->checkpoints);
	return 0;
}

static void on_admin(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)res;
	on_answer(arg, err);
}

static int start_keys(struct cw_engine *e, struct cw_err *err)
{
	struct cw_answer *admin = new_answer(e), *first = new_answer(e);

	if (cw_identity_start(e, err) != 0)
		return -1;
	if (cw_keys_admin_file(e->pool, e->config->data_dir, on_admin, admin, err) == 0 || wait_answer(e, admin, err) != 0)
		return cw_err_wrap(err, "could not make the admin key");
	cw_directory_start(e->auth.directory, on_answer, first);
	if (wait_answer(e, first, err) != 0)
		return cw_err_wrap(err, "could not read the API keys");
	return 0;
}

struct stored {
	struct cw_answer answer, lists_answer, loaded;
	struct cw_rule_sources sources;
	struct cw_arena *arena;
	struct cw_engine *engine;
	const struct cw_bundle *bundle;      /* that is being loaded */
	int64_t lists_state;
};

static void on_lists(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct stored *s = arg;

	if (err == NULL) {
		struct cw_arena *arena = cw_arena_new();
		int n;
		struct cw_bundle_file *files = cw_labels_files(res, &n, &s->lists_state, arena);

		cw_pipeline_set_lists(s->engine->pipeline, files, n);
		cw_arena_free(&arena);
	}
	on_answer(&s->lists_answer, err);
}

static void on_stored(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct stored *s = arg;

	if (err == NULL)
		cw_rule_sources_read(&s->sources, res, s->arena);
	on_answer(&s->answer, err);
}

static void on_loaded(void *arg, const char *report, const struct cw_err *err)
{
	struct stored *s = arg;

	if (err == NULL && s->bundle != NULL)
		cw_tested_note(s->engine->tested, s->bundle, report);
	on_answer(&s->loaded, err);
}

static int load_rules(struct cw_engine *e, struct cw_arena *arena, struct cw_err *err)
{
	struct stored *stored = cw_arena_zalloc(e->kept, sizeof(*stored));
	struct cw_rule_change none = { .kind = CW_CHANGE_NONE };
	struct cw_bundle bundle = { 0 };
	struct cw_buf notes = CW_BUF_INIT;
	int rc;

	stored->arena = e->kept;
	cw_rule_sources_all(e->pool, on_stored, stored);
	if (wait_answer(e, &stored->answer, err) != 0)
		return cw_err_wrap(err, "could not read candidates and promoted rules");
	stored->engine = e;
	stored->bundle = &bundle;
	cw_labels_documents(e->pool, on_lists, stored);
	if (wait_answer(e, &stored->lists_answer, err) != 0)
		return cw_err_wrap(err, "could not read the address lists");
	if (cw_reload_read_bundle(e->config, &bundle, arena, err) != 0 ||
	    cw_rule_sources_merge(&stored->sources, &none, &bundle, arena, err) != 0)
		return -1;
	do {
		cw_tested_recall(e->tested, &bundle, arena);
		stored->loaded = (struct cw_answer){ 0 };
		rc = cw_pipeline_load_rules(e->pipeline, &bundle, on_loaded, stored, err);
		if (rc == 0)
			rc = wait_answer(e, &stored->loaded, err);
	} while (rc != 0 && cw_rule_sources_leave_out(&stored->sources, &bundle, err, &notes));
	cw_buf_release(&notes);
	stored->bundle = NULL;
	if (rc == 0) {
		cw_rule_sources_forget_over(e->pool, &stored->sources);
		e->label_files = cw_label_files_new(e);
		cw_label_files_take(e->label_files, &bundle);
		e->labels = cw_label_watch_new(e, stored->lists_state);
	}
	return rc;
}

static int start_rules(struct cw_engine *e, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	int rc = load_rules(e, arena, err);

	cw_arena_free(&arena);
	return rc;
}

static int start_sources(struct cw_engine *e, struct cw_err *err)
{
	e->sources = cw_sources_new(e);
	return cw_sources_apply(e->sources, e->config, err);
}

static int start_http(struct cw_engine *e, struct cw_err *err)
{
	struct cw_server_conf conf = cw_engine_server_conf(e->config);
	struct cw_router *router;

	conf.inherited_fd = cw_systemd_socket();
	e->server = cw_server_new(e->loop, &conf, err);
	if (e->server == NULL)
		return -1;
	cw_server_set_gate(e->server, cw_gate_pass, &e->gate);
	router = cw_scripts_router(e->scripts);
	cw_server_set_router(e->server, router);
	cw_router_unref(&router);
	return note_address(e, err);
}

static int start_scripts(struct cw_engine *e, struct cw_err *err)
{
	struct cw_scripts_conf conf = cw_ops_scripts_conf(e->config);
	struct cw_script_env env = {
		.loop = e->loop, .pool = e->pool, .pipeline = e->pipeline, .call = cw_ops_call, .call_arg = e,
		.chain_id = &e->chain_id,
	};

	cw_instance_read(e->config->data_dir, e->instance);
	cw_job_runs_orphaned(e->pool, e->instance);
	env.instance = e->instance;
	e->workbench = cw_workbench_open(e);
	e->http_public = cw_httpc_new(e->loop, &(struct cw_httpc_conf){ .public_only = true });
	e->http_any = cw_httpc_new(e->loop, NULL);
	env.http_public = e->http_public;
	env.http_any = e->http_any;
	env.work = e->work;
	env.mail = e->mail;
	env.anomalies = e->anomalies;
	env.auth = &e->auth;
	env.conf_json = cw_ops_conf_json(e, e->config);
	e->scripts = cw_scripts_new(&env, &conf, err);
	return e->scripts != NULL ? 0 : -1;
}

/* --- signals and the end --- */

static void on_exported(void *arg)
{
	struct cw_engine *e = arg;

	cw_loop_stop(e->loop);
}

/* Everything is in the log now: its head is signed. */
static void on_noted(void *arg)
{
	struct cw_engine *e = arg;

	if (!cw_audit_export_finish(e->audit_export, on_exported, e))
		cw_loop_stop(e->loop);
}

static void on_drained_pipeline(void *arg)
{
	struct cw_engine *e = arg;

	if (!cw_denials_finish(e->gate.denials, on_noted, e))
		on_noted(e);
}

static void on_drained_server(void *arg)
{
	struct cw_engine *e = arg;

	cw_pipeline_drain(e->pipeline, on_drained_pipeline, e);
}

static void on_drain_late(void *arg)
{
	struct cw_engine *e = arg;

	cw_log(CW_LOG_WARN, "app", "not everything was answered in time", NULL);
	cw_loop_stop(e->loop);
}

static void on_terminate(void *arg, int signal)
{
	struct cw_engine *e = arg;

	if (e->stopping && signal == SIGINT) {
		e->exit_code = 130;
		cw_loop_stop(e->loop);
	}
	if (e->stopping)
		return;
	e->stopping = true;
	cw_systemd_notify("STOPPING=1");
	cw_log(CW_LOG_INFO, "app", "stopping", "signal=%d", signal);
	if (!e->up)
		return;
	cw_sources_free(&e->sources);
	cw_sse_close_all(e->anomalies);
	cw_timer_set(e->drain_timer, DRAIN_MS + 2000);
	cw_server_drain(e->server, DRAIN_MS, on_drained_server, e);
}

/* What is in memory (hashes, positions, detector state) is of the database that was: all of it goes, by the front door. */
static void on_restart(void *arg, int signal)
{
	struct cw_engine *e = arg;

	/* A socket that was passed on is gone with the server: then whoever passed it starts us again. */
	if (!e->stopping && e->up)
		e->exit_code = getenv("LISTEN_FDS") != NULL ? 75 : CW_ENGINE_RESTART;
	on_terminate(arg, signal);
}

static void on_hangup(void *arg, int signal)
{
	(void)signal;
	cw_reload_start(arg, NULL, NULL);
}

static void on_loaded_log(const struct cw_engine *e, int64_t from_us)
{
	cw_log(CW_LOG_INFO, "app", "listening", "address=%s version=%s commit=%s start_ms=%.0f",
	       cw_server_address(e->server), cw_version, cw_commit, (double)(cw_clock_mono_us() - from_us) / 1000);
}

static int start_tested(struct cw_engine *e, struct cw_err *err)
{
	(void)err;
	e->tested = cw_tested_open(e);
	return 0;
}

static int start_part(struct cw_engine *e, const char *name, int (*part)(struct cw_engine *e, struct cw_err *err),
                      struct cw_err *err)
{
	int64_t from_us = cw_clock_mono_us();

	if (part(e, err) != 0)
		return -1;
	cw_log(CW_LOG_DEBUG, "app", "a part is up", "part=\"%s\" ms=%.1f", name, (double)(cw_clock_mono_us() - from_us) / 1000);
	return 0;
}

static int start_parts(struct cw_engine *e, struct cw_zygote *zygote, struct cw_err *err)
{
	static const struct {
		const char *name;
		int (*start)(struct cw_engine *e, struct cw_err *err);
	} parts[] = {
		{ "data directory", lock_data_dir }, { "tests of rules", start_tested }, { "database", start_database }, { "migrations", migrate },
		{ "pipeline", start_pipeline }, { "keys", start_keys }, { "scripts", start_scripts }, { "rules", start_rules },
		{ "http", start_http }, { "sources", start_sources },
	};

	e->zygote = zygote;
	cw_list_init(&e->evals.list);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (start_part(e, parts[i].name, parts[i].start, err) != 0)
			return -1;
	return 0;
}

/* The usual soft limit of 1024 is for programs that call select(). */
static void raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= DESCRIPTORS)
		return;
	files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &files);
}

struct cw_engine *cw_engine_start(struct cw_config **config, const char *const *sets, int nsets,
                                  struct cw_zygote *zygote, struct cw_err *err)
{
	struct cw_engine *e = cw_zalloc(sizeof(*e));
	int64_t from_us = cw_clock_mono_us();

	cw_mem_keep_reserve(MEMORY_RESERVE);
	raise_descriptors();
	e->config = *config;
	e->chain_id = (uint64_t)e->config->chain_id;
	*config = NULL;
	e->sets = sets;
	e->nsets = nsets;
	e->pid_fd = -1;
	e->kept = cw_arena_new();
	e->loop = cw_loop_new();
	cw_loop_watch_clock(e->loop);
	e->work = cw_work_pool_new(e->loop, 2, 256);
	e->mail = cw_work_pool_new(e->loop, MAIL_THREADS, 256);
	e->drain_timer = cw_timer_new(e->loop, on_drain_late, e);
	cw_loop_on_signal(e->loop, SIGTERM, on_terminate, e);
	cw_loop_on_signal(e->loop, SIGINT, on_terminate, e);
	cw_loop_on_signal(e->loop, SIGHUP, on_hangup, e);
	cw_loop_on_signal(e->loop, SIGUSR2, on_restart, e);
	if (start_parts(e, zygote, err) != 0) {
		cw_engine_free(&e);
		return NULL;
	}
	e->up = true;
	cw_process_metrics_start();
	e->backup_job = cw_backup_job_start(e);
	cw_reload_watch(e);
	on_loaded_log(e, from_us);
	e->watchdog = cw_systemd_watchdog(e->loop);
	cw_systemd_notify("READY=1\nSTATUS=listening");
	return e;
}

int cw_engine_run(struct cw_engine *engine)
{
	if (!engine->stopping)
		cw_loop_run(engine->loop);
	cw_log(CW_LOG_INFO, "app", "stopped", NULL);
	return engine->exit_code;
}

void cw_engine_free(struct cw_engine **engine)
{
	struct cw_engine *e = *engine;

	*engine = NULL;
	if (e == NULL)
		return;
	cw_reload_cancel(e);
	cw_backup_job_stop(&e->backup_job);
	cw_systemd_watchdog_stop(&e->watchdog);
	cw_eval_stop(e);
	cw_workbench_close(&e->workbench);
	cw_sources_free(&e->sources);
	cw_server_free(&e->server);
	cw_scripts_free(&e->scripts);
	cw_httpc_free(&e->http_public);
	cw_httpc_free(&e->http_any);
	cw_sse_free(&e->anomalies);
	cw_identity_stop(e);
	cw_label_files_free(&e->label_files);
	cw_label_watch_free(&e->labels);
	cw_tested_close(&e->tested);
	cw_pipeline_free(&e->pipeline);
	cw_checkpoints_close(&e->checkpoints, e->up);
	cw_db_stats_free(&e->db_stats);
	cw_pool_free(&e->pool);
	cw_state_close(&e->state);
	cw_work_pool_free(&e->mail);
	cw_work_pool_free(&e->work);
	cw_timer_free(&e->cluster_timer);
	cw_timer_free(&e->drain_timer);
	cw_loop_free(&e->loop);
	if (e->cluster != NULL)
		cw_cluster_stop(&e->cluster);
	if (e->pid_fd >= 0)
		close(e->pid_fd);
	cw_metrics_free();
	cw_free(e->conf_json);
	cw_free(e->changes);
	cw_config_free(&e->config);
	cw_arena_free(&e->kept);
	cw_free(e);
}
