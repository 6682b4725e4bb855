/* lint_internal.h - what lint.c (files, findings), linttype.c (what a name means) and lintcheck.c (the checks) share. */
#ifndef CW_LUA_LINT_INTERNAL_H
#define CW_LUA_LINT_INTERNAL_H

#include "detect/primitive.h"
#include "lua/lint.h"
#include "lua/syntax.h"

#define LINT_NAMES_MAX 512
#define LINT_STATES_MAX 64
#define LINT_PARAMS_MAX 128

/* What an expression is, as far as the text tells. */
enum lint_type { LINT_UNKNOWN = 0, LINT_TX, LINT_STATES, LINT_PARAMS, LINT_HANDLE };

struct lint_state {
	const char *name;
	const struct cw_node *at;             /* its name */
	const struct cw_primitive *primitive; /* NULL: not known */
	const struct cw_node *options;        /* the table it was made with; NULL */
	bool used;
};

struct lint_param {
	const char *name;
	const struct cw_node *at, *value;
	bool used;
};

/* A local and the one value it ever has. */
struct lint_value { const struct cw_node *declared; struct cw_node *value; };

struct lint_file {
	struct lint *lint;
	const char *name, *text;
	size_t len;
	struct cw_node *tree, *rule;          /* the table of rule { ... }; NULL */
	const char *id;                       /* NULL: not found */
	struct lint_value *values;
	int nvalues, room;
	struct { const struct cw_node *declared; enum lint_type type; const struct lint_state *state; } roles[128];
	int nroles;
	struct lint_state states[LINT_STATES_MAX];
	int nstates;
	bool states_known, states_escape;     /* all are seen in the text; the whole table is passed on */
	struct lint_param params[LINT_PARAMS_MAX];
	int nparams;
	bool params_known, params_escape;
};

/* A run over a bundle. */
struct lint {
	struct cw_arena *arena;
	struct cw_finding *list;
	int n, room;
	const char *globals[LINT_NAMES_MAX], *fields[LINT_NAMES_MAX];   /* end with NULL */
};

/* --- lint.c --- */
__attribute__((format(printf, 6, 7)))
void lint_add(struct lint_file *f, int line, int column, const char *code, bool error,
              const char *format, ...);
#define LINT_ERROR(f, node, code, ...) lint_add(f, (node)->line, (node)->column, code, true, __VA_ARGS__)
#define LINT_WARN(f, node, code, ...) lint_add(f, (node)->line, (node)->column, code, false, __VA_ARGS__)
/* At the name of an INDEX or METHOD. */
#define LINT_NAME(f, node, code, ...) lint_add(f, (node)->name_line, (node)->name_column, code, true, __VA_ARGS__)
bool lint_has(const struct lint_file *f, int line, int column);    /* a finding there already */
bool lint_listed(const char *word, const char *const *names);
bool lint_is_global(const struct cw_node *node, const char *name);

/* --- linttype.c --- */
void lint_learn(struct lint_file *f);     /* values, params, states, roles */
struct cw_node *lint_value_of(struct lint_file *f, struct cw_node *node);        /* a local's only value, or itself */
enum lint_type lint_type_of(struct lint_file *f, struct cw_node *node, const struct lint_state **state);
const char *lint_index_name(const struct cw_node *node);                         /* of a.name or a["name"]; else NULL */
const struct cw_primitive *lint_constructor(const struct cw_node *fn);           /* window.count -> it, else NULL */
bool lint_is_table_of_primitives(const char *name);
struct lint_state *lint_state_named(struct lint_file *f, const char *name);
struct lint_param *lint_param_named(struct lint_file *f, const char *name);
/* The function that `node` is or names; NULL. */
struct cw_node *lint_function_of(struct lint_file *f, struct cw_node *node);

/* --- lintcheck.c --- */
void lint_check_rule(struct lint_file *f);
void lint_check_uses(struct lint_file *f);

#endif
