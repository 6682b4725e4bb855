/* linttype.c - what the names of a rule's text mean: which is the transaction, which states there are, which parameters. */
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "lua/lint_internal.h"

/* --- values of locals --- */

static void note_value(struct lint_file *f, const struct cw_node *declared, struct cw_node *value)
{
	if (f->nvalues == f->room) {
		int room = f->room > 0 ? 2 * f->room : 64;
		struct lint_value *grown = cw_arena_alloc(f->lint->arena, (size_t)room * sizeof(*grown));

		if (f->nvalues > 0)
			memcpy(grown, f->values, (size_t)f->nvalues * sizeof(*grown));
		f->values = grown;
		f->room = room;
	}
	f->values[f->nvalues++] = (struct lint_value){ declared, value };
}

/* Another value, or one that cannot be told. */
static void forget_value(struct lint_file *f, const struct cw_node *declared)
{
	for (int i = 0; i < f->nvalues; i++)
		if (f->values[i].declared == declared)
			f->values[i].value = NULL;
}

static bool collect_value(void *arg, struct cw_node *n)
{
	struct lint_file *f = arg;

	if (n->kind == CW_NODE_LOCAL) {
		struct cw_node *value = n->b;

		for (struct cw_node *name = n->a; name != NULL; name = name->next) {
			bool many = value != NULL && value->next == NULL && name->next != NULL &&
			            (value->kind == CW_NODE_CALL || value->kind == CW_NODE_METHOD);

			note_value(f, name, many ? NULL : value);
			value = value != NULL && !many ? value->next : NULL;
		}
	} else if (n->kind == CW_NODE_DEFINE && n->a->kind == CW_NODE_NAME && n->a->declared == n->a) {
		note_value(f, n->a, n->c);
	} else if (n->kind == CW_NODE_ASSIGN) {
		for (const struct cw_node *target = n->a; target != NULL; target = target->next) {
			const struct cw_node *base = target;

			while (base->kind == CW_NODE_INDEX)
				base = base->a;
			if (base->kind == CW_NODE_NAME && base->declared != NULL)
				forget_value(f, base->declared);
		}
	}
	return true;
}

struct cw_node *lint_value_of(struct lint_file *f, struct cw_node *node)
{
	for (int hops = 0; hops < 8; hops++) {
		bool moved = false;

		node = cw_node_bare(node);
		if (node == NULL || node->kind != CW_NODE_NAME || node->declared == NULL)
			return node;
		for (int i = 0; i < f->nvalues && !moved; i++)
			if (f->values[i].declared == node->declared && f->values[i].value != NULL) {
				node = f->values[i].value;
				moved = true;
			}
		if (!moved)
			return node;
	}
	return node;
}

struct cw_node *lint_function_of(struct lint_file *f, struct cw_node *node)
{
	node = lint_value_of(f, node);
	return node != NULL && node->kind == CW_NODE_FUNCTION ? node : NULL;
}

/* --- roles --- */

const char *lint_index_name(const struct cw_node *node)
{
	return node->kind == CW_NODE_INDEX && node->b != NULL && node->b->kind == CW_NODE_STRING ? node->b->text : NULL;
}

bool lint_is_table_of_primitives(const char *name)
{
	for (int i = 0; cw_primitives[i] != NULL; i++)
		if (strcmp(cw_primitives[i]->table, name) == 0)
			return true;
	return false;
}

const struct cw_primitive *lint_constructor(const struct cw_node *fn)
{
	const char *name = lint_index_name(fn);

	if (name == NULL || fn->a->kind != CW_NODE_NAME || fn->a->declared != NULL)
		return NULL;
	return cw_primitive_find(fn->a->text, name);
}

struct lint_state *lint_state_named(struct lint_file *f, const char *name)
{
	for (int i = 0; i < f->nstates; i++)
		if (strcmp(f->states[i].name, name) == 0)
			return &f->states[i];
	return NULL;
}

struct lint_param *lint_param_named(struct lint_file *f, const char *name)
{
	for (int i = 0; i < f->nparams; i++)
		if (strcmp(f->params[i].name, name) == 0)
			return &f->params[i];
	return NULL;
}

static enum lint_type role_of(const struct lint_file *f, const struct cw_node *declared, const struct lint_state **state)
{
	for (int i = 0; i < f->nroles; i++)
		if (f->roles[i].declared == declared) {
			*state = f->roles[i].state;
			return f->roles[i].type;
		}
	return LINT_UNKNOWN;
}

enum lint_type lint_type_of(struct lint_file *f, struct cw_node *node, const struct lint_state **state)
{
	const struct lint_state *none;
	const char *name;

	*state = NULL;
	node = cw_node_bare(node);
	if (node == NULL)
		return LINT_UNKNOWN;
	if (node->kind == CW_NODE_NAME && node->declared != NULL) {
		enum lint_type type = role_of(f, node->declared, state);
		struct cw_node *value;

		if (type != LINT_UNKNOWN)
			return type;
		value = lint_value_of(f, node);
		return value != node && value != NULL && value->kind != CW_NODE_NAME ? lint_type_of(f, value, state) :
		       value != NULL && value->kind == CW_NODE_NAME && value->declared != NULL ?
		       role_of(f, value->declared, state) : LINT_UNKNOWN;
	}
	name = lint_index_name(node);
	if (name == NULL || lint_type_of(f, node->a, &none) != LINT_STATES)
		return LINT_UNKNOWN;
	*state = lint_state_named(f, name);
	return *state != NULL ? LINT_HANDLE : LINT_UNKNOWN;
}

static bool add_role(struct lint_file *f, const struct cw_node *name, enum lint_type type,
                     const struct lint_state *state)
{
	const struct lint_state *had;

	if (name == NULL || name->kind != CW_NODE_NAME || role_of(f, name, &had) != LINT_UNKNOWN ||
	    f->nroles == (int)(sizeof(f->roles) / sizeof(f->roles[0])))
		return false;
	f->roles[f->nroles].declared = name;
	f->roles[f->nroles].type = type;
	f->roles[f->nroles++].state = state;
	return true;
}

struct passing { struct lint_file *f; bool changed; };

/* helper(tx, s.seen, p): its parameters are what is passed to it. */
static bool pass_roles(void *arg, struct cw_node *n)
{
	struct passing *passing = arg;
	struct lint_file *f = passing->f;
	struct cw_node *fn, *param;

	if (n->kind != CW_NODE_CALL || (fn = lint_function_of(f, n->a)) == NULL)
		return true;
	param = fn->a;
	for (struct cw_node *a = n->b; a != NULL && param != NULL; a = a->next, param = param->next) {
		const struct lint_state *state;
		enum lint_type type = lint_type_of(f, a, &state);

		if (type != LINT_UNKNOWN)
			passing->changed |= add_role(f, param, type, state);
	}
	return true;
}

static void give_roles(struct lint_file *f)
{
	struct cw_node *evaluate = lint_function_of(f, cw_node_field(f->rule, "evaluate"));
	struct cw_node *state = lint_function_of(f, cw_node_field(f->rule, "state"));
	struct cw_node *when = lint_function_of(f, cw_node_field(f->rule, "when"));
	struct passing passing = { .f = f, .changed = true };

	if (evaluate != NULL && evaluate->a != NULL) {
		add_role(f, evaluate->a, LINT_TX, NULL);
		if (evaluate->a->next != NULL) {
			add_role(f, evaluate->a->next, LINT_STATES, NULL);
			add_role(f, evaluate->a->next->next, LINT_PARAMS, NULL);
		}
	}
	if (state != NULL)
		add_role(f, state->a, LINT_PARAMS, NULL);
	if (when != NULL)
		add_role(f, when->a, LINT_PARAMS, NULL);
	for (int rounds = 0; rounds < 8 && passing.changed; rounds++) {
		passing.changed = false;
		cw_syntax_walk(f->tree, pass_roles, &passing);
	}
}

/* --- parameters and states --- */

static void learn_params(struct lint_file *f)
{
	struct cw_node *field = cw_node_field(f->rule, "params"), *table = lint_value_of(f, field);

	f->params_known = field == NULL || (table != NULL && table->kind == CW_NODE_TABLE);
	if (field == NULL || !f->params_known)
		return;
	for (struct cw_node *n = table->a; n != NULL; n = n->next) {
		if (n->a == NULL || n->a->kind != CW_NODE_STRING || f->nparams == LINT_PARAMS_MAX) {
			f->params_known = false;
			continue;
		}
		f->params[f->nparams++] = (struct lint_param){ n->a->text, n->a, cw_node_bare(n->b), false };
	}
}

struct returns { struct cw_node *list[8]; int n; const struct cw_node *function; };

/* Not those of functions inside. */
static bool collect_return(void *arg, struct cw_node *n)
{
	struct returns *r = arg;

	if (n->kind == CW_NODE_FUNCTION)
		return false;
	if (n->kind == CW_NODE_RETURN && r->n < 8)
		r->list[r->n++] = n->a;
	return true;
}

static void learn_states(struct lint_file *f)
{
	struct cw_node *field = cw_node_field(f->rule, "state"), *function = lint_function_of(f, field);
	struct returns returns = { .n = 0 };
	struct cw_node *table;

	f->states_known = field == NULL;
	if (function == NULL)
		return;
	cw_syntax_walk(function->b, collect_return, &returns);
	table = returns.n == 1 ? lint_value_of(f, returns.list[0]) : NULL;
	if (table == NULL || table->kind != CW_NODE_TABLE)
		return;
	f->states_known = true;
	for (struct cw_node *n = table->a; n != NULL; n = n->next) {
		struct cw_node *value = lint_value_of(f, n->b);

		if (n->a == NULL || n->a->kind != CW_NODE_STRING || f->nstates == LINT_STATES_MAX) {
			f->states_known = false;
			continue;
		}
		f->states[f->nstates++] = (struct lint_state){
			.name = n->a->text, .at = n->a, .options = value != NULL && value->kind == CW_NODE_CALL ? value->b : NULL,
			.primitive = value != NULL && value->kind == CW_NODE_CALL ? lint_constructor(value->a) : NULL,
		};
	}
}

static bool find_rule(void *arg, struct cw_node *n)
{
	struct lint_file *f = arg;

	if (f->rule == NULL && n->kind == CW_NODE_CALL && lint_is_global(n->a, "rule") && n->b != NULL) {
		struct cw_node *table = lint_value_of(f, n->b);

		if (table != NULL && table->kind == CW_NODE_TABLE)
			f->rule = table;
	}
	return f->rule == NULL;
}

void lint_learn(struct lint_file *f)
{
	struct cw_node *id;

	cw_syntax_walk(f->tree, collect_value, f);
	cw_syntax_walk(f->tree, find_rule, f);
	if (f->rule == NULL)
		return;
	id = lint_value_of(f, cw_node_field(f->rule, "id"));
	f->id = id != NULL && id->kind == CW_NODE_STRING ? id->text : NULL;
	learn_params(f);
	learn_states(f);
	give_roles(f);
}
