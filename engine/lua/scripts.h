/* scripts.h - the scripts VM: endpoint handlers, policies and jobs as coroutines that wait on repositories.
 *
 * A generation is one lua_State built aside from all files; its endpoints make a router. When anything is wrong the
 * error names file and line and the old generation goes on. Requests in flight end on the generation they began with,
 * and so do runs of jobs (lua/schedule.h). */
#ifndef CW_LUA_SCRIPTS_H
#define CW_LUA_SCRIPTS_H

#include <stdint.h>

struct cw_auth;
struct cw_work_pool;
struct cw_httpc;
struct cw_err;
struct cw_loop;
struct cw_pipeline;
struct cw_pool;
struct cw_router;
struct cw_scripts;
struct cw_sse;

/* What scripts reach. Owned by the caller, must outlive the scripts. */
struct cw_script_env {
	struct cw_loop *loop;
	struct cw_pool *pool;            /* repositories: db.* */
	struct cw_pipeline *pipeline;    /* predict */
	struct cw_sse *anomalies;        /* event stream */
	struct cw_auth *auth;            /* passwords, tokens; NULL: none here */
	struct cw_httpc *http_public, *http_any;    /* http.*: without and with private addresses */
	struct cw_work_pool *work;       /* labels.read */
	struct cw_work_pool *mail;       /* http.mail */
	const char *instance;            /* of the engine: the same after a restart; NULL: none */
	const char *conf_json;           /* settings that scripts may read; copied */
	const uint64_t *chain_id;        /* of transactions that name none; read at each request */
	/* Operations that app offers to scripts by name: engine.call("reload") etc. Each answers once, later, with a JSON
	 * text or an error. */
	void (*call)(void *arg, const char *name, const char *args_json,
	             void (*done)(void *done_arg, const char *json, const struct cw_err *err), void *done_arg);
	void *call_arg;
};

/* What settings say of a route, over what its declaration says. 0: nothing. */
struct cw_route_limit {
	const char *route;               /* "POST /api/v1/predict" */
	int64_t rate, burst, body_bytes, timeout_ms;
};

struct cw_scripts_conf {
	const char *dir;                 /* "scripts": api/, policy/, jobs/, lib/ */
	unsigned long memory_bytes;      /* soft limit of the VM, 256 MiB */
	long turn_ms;                    /* CPU time of one handler turn, 1000 */
	const struct cw_route_limit *routes;      /* looked at while files are loaded */
	int nroutes;
};

/* Loads the first generation. Reads files: at start-up, or on a reload. */
struct cw_scripts *cw_scripts_new(const struct cw_script_env *env, const struct cw_scripts_conf *conf,
                                  struct cw_err *err);
void cw_scripts_free(struct cw_scripts **scripts);
/* Builds a generation aside from all files; nothing is live yet. Then cw_scripts_commit makes it live, or
 * cw_scripts_discard forgets it. `conf` may differ from the live one; it is copied. */
/* Settings that the next generation shall see; copied. */
void cw_scripts_set_settings(struct cw_scripts *scripts, const char *conf_json);
int cw_scripts_prepare(struct cw_scripts *scripts, const struct cw_scripts_conf *conf, struct cw_err *err);
void cw_scripts_commit(struct cw_scripts *scripts);
void cw_scripts_discard(struct cw_scripts *scripts);
/* Number of routes of the live generation. */
int cw_scripts_routes(const struct cw_scripts *scripts);
/* Routes of the live generation, a new reference. */
struct cw_router *cw_scripts_router(struct cw_scripts *scripts);
/* OpenAPI 3.1 document of the live generation, JSON. */
const char *cw_scripts_openapi(struct cw_scripts *scripts);

#endif
