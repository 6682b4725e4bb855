/* trace.h - what a rule does on one transaction, step by step: the calls of its states with their results and contents,
 * every comparison that was made with both sides, every condition with its outcome, and where it returned.
 *
 * For explain and for tests that fail; never in live traffic. A VM with a trace runs without the JIT, which changes no
 * verdict. Rules are rewritten a second time, behind the guards, so ticks stay what they are: `a < b` becomes a call that
 * compares and notes, a condition passes through one, `return` is announced. What cannot be rewritten (a function at
 * LuaJIT's limits) runs as it is, and the trace says that comparisons are missing. */
#ifndef CW_LUA_TRACE_H
#define CW_LUA_TRACE_H

#include <stdbool.h>
#include <stddef.h>

struct cw_buf;
struct cw_method;
struct cw_primitive;
struct cw_trace;
struct cw_tx;
struct lua_State;
union cw_opt_value;

struct cw_trace *cw_trace_new(void);
void cw_trace_free(struct cw_trace **trace);
/* Makes the functions that rewritten code calls; once per VM, in protected mode. */
void cw_trace_open(struct cw_trace *trace, struct lua_State *L);
/* Pushes the table of them, nil without a trace. */
void cw_trace_push(const struct cw_trace *trace, struct lua_State *L);
/* Appends guarded code rewritten; false: it cannot be. */
bool cw_trace_rewrite(struct cw_trace *trace, const char *name, const char *guarded, size_t len, struct cw_buf *out);

/* Around one call of a rule: between the two everything is noted (the first and the last few hundred steps of long
 * calls). */
void cw_trace_begin(struct cw_trace *trace);
void cw_trace_end(struct cw_trace *trace);
/* A method of a state was called. `a`, `b` as the method got them, NaN: not given. */
void cw_trace_call(struct cw_trace *trace, struct lua_State *L, const char *state, const struct cw_primitive *p,
                   const union cw_opt_value *vals, void *handle, const struct cw_method *m, const struct cw_tx *tx,
                   double a, double b, double result);
/* Appends JSON members: "steps":[...],"steps_left_out":n,"comparisons":bool,"decision":{...}|null,"returned":line|null.
 * The decision is the last condition before the return, with the comparisons made in it. */
void cw_trace_put_json(const struct cw_trace *trace, struct cw_buf *out);

#endif
