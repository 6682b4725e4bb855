/* evaluator.h - the rules VM as an evaluator of the pipeline (pipeline/evaluate.h). */
#ifndef CW_LUA_EVALUATOR_H
#define CW_LUA_EVALUATOR_H

struct cw_evaluator_ops;

extern const struct cw_evaluator_ops cw_lua_evaluator;

#endif
