/* parts.h - what the files of the wiring share (engine.c, reload.c, ops.c). Private to app/. */
#ifndef CW_APP_PARTS_H
#define CW_APP_PARTS_H

#include <stdbool.h>

#include "app/gate.h"
#include "app/instance.h"
#include "auth/auth.h"
#include "base/err.h"
#include "base/list.h"
#include "http/server.h"
#include "pg/pool.h"
#include "pipeline/pipeline.h"

struct cw_audit_export;
struct cw_audit_writer;
struct cw_config;
struct cw_httpc;
struct cw_arena;
struct cw_label_watch;
struct cw_reload;
struct cw_tested;

struct cw_engine {
	struct cw_config *config;        /* the live settings */
	const char *const *sets;         /* --set of the command line, applied again at a reload */
	int nsets;
	char *conf_json;                 /* what scripts may read of the settings */
	char instance[CW_INSTANCE_TEXT];
	const char *conninfo;
	struct cw_arena *kept;           /* what lives as long as the engine: conninfo, answers that may come late */
	struct cw_loop *loop;
	struct cw_work_pool *work;
	struct cw_work_pool *mail;       /* a mail waits for its server: nothing else may wait with it */
	struct cw_cluster *cluster;      /* NULL: an outside database */
	struct cw_timer *cluster_timer, *drain_timer;
	struct cw_pool *pool;
	struct cw_db_stats *db_stats;
	struct cw_state *state;
	struct cw_checkpoints *checkpoints;
	struct cw_pipeline *pipeline;
	struct cw_auth auth;
	struct cw_audit_export *audit_export;
	struct cw_audit_writer *audit;   /* what is no change of the database */
	struct cw_gate gate;
	struct cw_sse *anomalies;
	struct cw_scripts *scripts;
	struct cw_httpc *http_public, *http_any;   /* of the scripts */
	struct cw_sources *sources;
	struct cw_server *server;
	struct cw_label_watch *labels;
	struct cw_label_files *label_files;
	struct cw_tested *tested;        /* which rules have passed their tests */
	struct cw_reload *reload;        /* one at a time; NULL: none */
	unsigned char scripts_digest[32]; /* of the live generation of scripts and the settings it sees; zero: not known */
	char *changes;                   /* of the last reload, JSON */
	struct cw_watcher *watcher;      /* of files, in dev mode */
	struct cw_backup_job *backup_job;
	struct cw_watchdog *watchdog;    /* the service manager's; not the one of rules */
	uint64_t chain_id;               /* of transactions that name none */
	struct cw_workbench *workbench;  /* explain and backtests */
	struct cw_zygote *zygote;        /* main's: evaluators come from it */
	struct { struct cw_list list; int n; } evals;    /* app/eval.c */
	int pid_fd, exit_code;
	bool up, stopping;
};

struct cw_answer { bool done, failed; struct cw_err err; };

/* Settings as the parts take them. */
struct cw_pool_conf cw_engine_pool_conf(const struct cw_engine *e, const struct cw_config *c);
struct cw_pipeline_conf cw_engine_pipeline_conf(const struct cw_config *c);
struct cw_server_conf cw_engine_server_conf(const struct cw_config *c);

#endif
