/* bind.h - what the binding files of the scripts VM share: opening, errors, JSON to and from Lua. Private to lua/. */
#ifndef CW_LUA_BIND_H
#define CW_LUA_BIND_H

#include <stdbool.h>
#include <stddef.h>

struct cw_arena;
struct cw_buf;
struct cw_err;
struct cw_json;
struct cw_script_env;
struct cw_vm;
struct lua_State;

/* A generation of scripts as C functions find it: cw_vm_owner() of their VM. The first member is what lua/job.h asks
 * for. */
struct cw_jobs;
struct cw_schedule;
struct cw_generation {
	struct cw_jobs *jobs;
	struct cw_schedule *schedule;    /* NULL: without a loop there is none */
	const struct cw_script_env *env;
};
struct cw_generation *cw_bind_generation(struct lua_State *L);

/* Each pushes one table of C functions for boot.lua. */
void cw_bind_json(struct lua_State *L);
void cw_bind_request(struct lua_State *L);
void cw_bind_predict(struct lua_State *L);
void cw_bind_db(struct lua_State *L);
int cw_bind_db_collect(struct lua_State *L);
void cw_bind_engine(struct lua_State *L);
void cw_bind_jobs(struct lua_State *L);
void cw_bind_identity(struct lua_State *L);
void cw_bind_http(struct lua_State *L);
void cw_bind_crypto(struct lua_State *L);
void cw_bind_labels(struct lua_State *L);

/* Pushes {code=, message=, status=, sqlstate=} for an error. `details_json` (or NULL) becomes field `errors`, raw. */
void cw_bind_push_error(struct lua_State *L, const struct cw_err *err, const char *details_json);

/* Pushes a value: objects and arrays as tables, null as json.null, integers beyond 2^53 as strings. May raise. */
void cw_bind_push_json(struct lua_State *L, const struct cw_json *value);
/* Whether a value is a table that was an array in JSON, or was marked as one. */
bool cw_bind_is_array(struct lua_State *L, int index);
/* Appends the value at `index`; raises on what has no JSON form, naming it. */
void cw_bind_put_json(struct lua_State *L, int index, struct cw_buf *out);

#endif
