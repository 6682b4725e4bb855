/* evaluator.h - the rules VM as an evaluator of the pipeline (pipeline/evaluate.h).
 *
 * Options (bundle->options_json): "ticks" of one rule call, 1,000,000; "wall_ms" of it, 50; "memory_bytes" of the VM,
 * 64 MiB; "state_bytes" that one rule may keep in the arena, 0 for no cap; "jit", true; "run_tests", true; "loose_params",
 * false: overrides for rules that are not in the bundle are passed over; "run", "rules" or "scripts": the first file is
 * no rule but is run once, as `chainwatch lua run` does, and the report is {"output"}; "trace", false: each verdict
 * carries a note {"rules":[...]} of how it came about (cw_rule_explain). An unknown
 * option is refused. One context a process may be attached: the address lists are the process's. */
#ifndef CW_LUA_EVALUATOR_H
#define CW_LUA_EVALUATOR_H

struct cw_bundle;
struct cw_evaluator_ops;

extern const struct cw_evaluator_ops cw_lua_evaluator;

/* Digest of a ruleset as the report has it: SHA-256 in hex over the files of rules and lists sorted by name (name and
 * text, each with its length) and the parameters. */
void cw_lua_bundle_digest(const struct cw_bundle *bundle, char out[65]);

#endif
