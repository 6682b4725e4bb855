/* lintcheck.c - the checks: the declaration, and every place where the rule uses the API. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/suggest.h"
#include "lua/lint_internal.h"
#include "lua/rule_internal.h"
#include "lua/ruletest.h"

/* " (did you mean "x"?)" or "". */
static const char *hint(const char *word, const char *const *names)
{
	return cw_rule_suggest(word, names);
}

/* --- the declaration --- */

static const char *literal_text(struct lint_file *f, struct cw_node *node)
{
	struct cw_node *value = lint_value_of(f, node);

	return value != NULL && value->kind == CW_NODE_STRING ? value->text : NULL;
}

static bool is_empty_table(struct lint_file *f, struct cw_node *node)
{
	struct cw_node *value = lint_value_of(f, node);

	return value == NULL || (value->kind == CW_NODE_TABLE && value->a == NULL);
}

/* Keys of a table constructor that are not in `names`. */
static void check_keys(struct lint_file *f, const struct cw_node *table, const char *what, const char *const *names)
{
	if (table == NULL || table->kind != CW_NODE_TABLE)
		return;
	for (struct cw_node *n = table->a; n != NULL; n = n->next)
		if (n->a == NULL)
			LINT_ERROR(f, n, "unknown-key", "%s: an entry without a name", what);
		else if (n->a->kind == CW_NODE_STRING && !lint_listed(n->a->text, names))
			LINT_ERROR(f, n->a, "unknown-key", "%s: unknown key \"%s\"%s", what, n->a->text, hint(n->a->text, names));
}

static void check_choice(struct lint_file *f, const struct cw_node *table, const char *key, const char *const *choices,
                         const char *said)
{
	struct cw_node *node = cw_node_field(table, key);
	const char *text = node != NULL && node->kind == CW_NODE_STRING ? node->text : NULL;

	if (text != NULL && !lint_listed(text, choices))
		LINT_ERROR(f, node, "bad-value", "\"%s\" must be %s, not \"%s\"%s", key, said, text, hint(text, choices));
	else if (node != NULL && (node->kind == CW_NODE_NUMBER || node->kind == CW_NODE_TABLE))
		LINT_ERROR(f, node, "bad-value", "\"%s\" must be %s", key, said);
}

static const char *const severities[] = { "low", "medium", "high", "critical", NULL };
static const char *const statuses[] = { "stable", "experimental", "shadow", NULL };

static void check_metadata(struct lint_file *f)
{
	static const struct { const char *key, *why; } wanted[] = {
		{ "references", "where the method or the threat is described" },
		{ "false_positives", "what ordinary traffic may look like this, and what to do then" },
		{ "tags", "what reports group alerts by" },
	};
	static const char *const required[] = { "id", "version", "severity", "title", "description", "evaluate", "tests" };
	const char *text;

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (cw_node_field(f->rule, required[i]) == NULL)
			LINT_ERROR(f, f->rule, strcmp(required[i], "tests") == 0 ? "missing-tests" : "missing-key",
			           "rule: \"%s\" is missing", required[i]);
	check_choice(f, f->rule, "severity", severities, "low, medium, high or critical");
	check_choice(f, f->rule, "status", statuses, "stable, experimental or shadow");
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (is_empty_table(f, cw_node_field(f->rule, wanted[i].key)))
			LINT_WARN(f, f->rule, "missing-metadata", "rule: no \"%s\": %s", wanted[i].key, wanted[i].why);
	text = literal_text(f, cw_node_field(f->rule, "description"));
	if (text != NULL && strlen(text) < 20)
		LINT_WARN(f, cw_node_field(f->rule, "description"), "missing-metadata",
		          "rule: the description says little: what does it find, and why is that bad?");
}

static bool is_not_finite(struct lint_file *f, struct cw_node *node)
{
	node = lint_value_of(f, node);
	if (node == NULL)
		return false;
	if (node->kind == CW_NODE_NUMBER)
		return !isfinite(node->number);
	if (node->kind == CW_NODE_UNARY)
		return node->op == CW_OP_NEG && is_not_finite(f, node->a);
	if (node->kind == CW_NODE_INDEX)
		return node->a->kind == CW_NODE_NAME && strcmp(node->a->text, "math") == 0 && lint_index_name(node) != NULL &&
		       strcmp(lint_index_name(node), "huge") == 0;
	return node->kind == CW_NODE_BINARY && node->op == CW_OP_DIV && node->b->kind == CW_NODE_NUMBER &&
	       node->b->number == 0;
}

static void check_params(struct lint_file *f)
{
	for (int i = 0; i < f->nparams; i++) {
		const struct lint_param *p = &f->params[i];
		struct cw_node *value = lint_value_of(f, (struct cw_node *)(uintptr_t)p->value);

		if (is_not_finite(f, value))
			LINT_ERROR(f, p->value, "bad-param", "parameter \"%s\" is not a finite number", p->name);
		else if (value != NULL && (value->kind == CW_NODE_FUNCTION || value->kind == CW_NODE_NIL))
			LINT_ERROR(f, p->value, "bad-param", "parameter \"%s\" must be a number, text, boolean or list", p->name);
	}
}

static void check_tests(struct lint_file *f)
{
	struct cw_node *tests = lint_value_of(f, cw_node_field(f->rule, "tests"));
	int firing = 0, quiet = 0, unknown = 0;

	if (tests == NULL || tests->kind != CW_NODE_TABLE)
		return;
	for (struct cw_node *n = tests->a; n != NULL; n = n->next) {
		struct cw_node *test = lint_value_of(f, n->b), *expect = cw_node_field(test, "expect"), *alerts;

		check_keys(f, test, "test", cw_ruletest_test_keys);
		if (test != NULL && test->kind == CW_NODE_TABLE)
			for (int k = 0; k < 3; k++) {
				static const char *const needed[] = { "name", "given", "expect" };

				if (cw_node_field(test, needed[k]) == NULL)
					LINT_ERROR(f, test, "missing-key", "test: \"%s\" is missing", needed[k]);
			}
		check_keys(f, expect, "expect", cw_ruletest_expect_keys);
		alerts = cw_node_field(expect, "alerts");
		if (expect == NULL || (expect->kind != CW_NODE_STRING && expect->kind != CW_NODE_TABLE))
			unknown++;
		else if (expect->kind == CW_NODE_STRING ? strcmp(expect->text, "quiet") == 0 :
		         alerts != NULL && alerts->kind == CW_NODE_NUMBER && alerts->number == 0)
			quiet++;
		else
			firing++;
	}
	if (unknown == 0 && (firing == 0 || quiet == 0))
		LINT_ERROR(f, tests, "missing-tests", "\"tests\" needs at least one that fires and one that stays quiet: "
		           "%d fire, %d stay quiet", firing, quiet);
}

void lint_check_rule(struct lint_file *f)
{
	check_keys(f, f->rule, "rule", cw_rule_keys);
	check_metadata(f);
	check_params(f);
	check_tests(f);
}

/* --- constructors --- */

static const char *const *names_of_table(const char *table)
{
	static const char *names[LINT_NAMES_MAX];
	int n = 0;

	for (int i = 0; cw_primitives[i] != NULL && n < LINT_NAMES_MAX - 1; i++)
		if (strcmp(cw_primitives[i]->table, table) == 0)
			names[n++] = cw_primitives[i]->name;
	names[n] = NULL;
	return names;
}

static const struct cw_opt *find_option(const struct cw_primitive *p, const char *name)
{
	for (const struct cw_opt *opt = p->opts; opt->name != NULL; opt++)
		if (strcmp(opt->name, name) == 0)
			return opt;
	return NULL;
}

/* A value that passes, so that one option can be looked at without the others. */
static struct cw_raw_opt stand_in(const struct cw_opt *opt)
{
	struct cw_raw_opt raw = { .name = opt->name };

	switch (opt->type) {
	case CW_OPT_KEY: raw.type = CW_RAW_TEXT; raw.text = "from"; break;
	case CW_OPT_FIELD: raw.type = CW_RAW_TEXT; raw.text = "value"; break;
	case CW_OPT_TEXT: raw.type = CW_RAW_TEXT; raw.text = "x"; break;
	case CW_OPT_BOOL: raw.type = CW_RAW_BOOL; break;
	case CW_OPT_SPAN: case CW_OPT_COUNT: case CW_OPT_NUMBER:
		raw.type = CW_RAW_NUMBER;
		raw.number = opt->min > 1 ? opt->min : opt->max < 1 ? opt->max : 1;
		break;
	}
	return raw;
}

/* A literal, or a parameter with a literal default. */
static bool literal_option(struct lint_file *f, struct cw_node *node, struct cw_raw_opt *raw)
{
	const struct lint_state *state;
	struct cw_node *value = lint_value_of(f, node);

	if (value != NULL && lint_index_name(value) != NULL && lint_type_of(f, value->a, &state) == LINT_PARAMS) {
		const struct lint_param *param = lint_param_named(f, lint_index_name(value));

		value = param != NULL ? lint_value_of(f, (struct cw_node *)(uintptr_t)param->value) : NULL;
	}
	if (value == NULL)
		return false;
	switch (value->kind) {
	case CW_NODE_NUMBER: raw->type = CW_RAW_NUMBER; raw->number = value->number; return true;
	case CW_NODE_STRING: raw->type = CW_RAW_TEXT; raw->text = value->text; return true;
	case CW_NODE_TRUE: case CW_NODE_FALSE:
		raw->type = CW_RAW_BOOL;
		raw->number = value->kind == CW_NODE_TRUE;
		return true;
	default: return false;
	}
}

/* Fields of which no two transactions have the same. */
static const char *const unbounded[] = { "hash", NULL };

static void check_option(struct lint_file *f, const struct cw_primitive *p, struct cw_node *field)
{
	const struct cw_opt *opt = find_option(p, field->a->text);
	struct cw_raw_opt raw[CW_PRIMITIVE_OPTS_MAX + 1] = { { .name = field->a->text } };
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	const char *names[CW_PRIMITIVE_OPTS_MAX + 1];
	size_t n = 1;
	struct cw_err err;

	if (opt == NULL) {
		int count = 0;

		for (opt = p->opts; opt->name != NULL && count < CW_PRIMITIVE_OPTS_MAX; opt++)
			names[count++] = opt->name;
		names[count] = NULL;
		LINT_ERROR(f, field->a, "unknown-option", "%s.%s: unknown option \"%s\"%s", p->table, p->name,
		           field->a->text, hint(field->a->text, names));
		return;
	}
	if (!literal_option(f, field->b, &raw[0]))
		return;
	for (const struct cw_opt *other = p->opts; other->name != NULL; other++)
		if (other->required && other != opt && n < CW_PRIMITIVE_OPTS_MAX)
			raw[n++] = stand_in(other);
	if (cw_primitive_read_options(p, raw, n, vals, &err) != 0)
		LINT_ERROR(f, field->b, "bad-option", "%s", err.msg);
	else if (opt->type == CW_OPT_KEY && raw[0].type == CW_RAW_TEXT && strcmp(opt->name, "key") == 0)
		for (int i = 0; unbounded[i] != NULL; i++)
			if (strstr(raw[0].text, unbounded[i]) != NULL)
				LINT_WARN(f, field->b, "unbounded-key", "%s.%s: every transaction gets an entry of its own by \"%s\"",
				          p->table, p->name, unbounded[i]);
}

static void check_constructor(struct lint_file *f, struct cw_node *call, const char *table, const char *name)
{
	const struct cw_primitive *p = cw_primitive_find(table, name);
	const struct cw_node *args = cw_node_bare(call->b);

	if (p == NULL) {
		LINT_NAME(f, call->a, "unknown-primitive", "there is no %s.%s%s", table, name,
		          hint(name, names_of_table(table)));
		return;
	}
	if (args == NULL || args->kind != CW_NODE_TABLE) {
		if (args == NULL)
			LINT_ERROR(f, call, "bad-option", "%s.%s: needs a table of options, like %s.%s { key = \"from\" }", table, name,
			           table, name);
		return;
	}
	for (struct cw_node *n = args->a; n != NULL; n = n->next)
		if (n->a != NULL && n->a->kind == CW_NODE_STRING)
			check_option(f, p, n);
		else if (n->a == NULL)
			LINT_ERROR(f, n, "bad-option", "%s.%s: options have names, like span = \"10m\"", table, name);
	for (const struct cw_opt *opt = p->opts; opt->name != NULL; opt++)
		if (opt->required && cw_node_field(args, opt->name) == NULL)
			LINT_ERROR(f, call, "bad-option", "%s.%s: option \"%s\" is missing: %s", table, name, opt->name, opt->doc);
}

/* --- alerts --- */

struct search { struct lint_file *f; struct cw_node *found; };

/* tx.hash anywhere below. */
static bool find_unbounded(void *arg, struct cw_node *n)
{
	struct search *s = arg;
	const struct lint_state *state;
	const char *name = lint_index_name(n);

	if (name != NULL && lint_listed(name, unbounded) && lint_type_of(s->f, n->a, &state) == LINT_TX)
		s->found = n;
	return s->found == NULL;
}

static void check_share(struct lint_file *f, const struct cw_node *table, const char *key)
{
	struct cw_node *node = cw_node_field(table, key);

	if (node == NULL)
		return;
	if (node->kind == CW_NODE_STRING || node->kind == CW_NODE_TABLE || node->kind == CW_NODE_TRUE ||
	    node->kind == CW_NODE_FALSE || is_not_finite(f, node))
		LINT_ERROR(f, node, "bad-alert", "alert: \"%s\" must be a number from 0 to 1", key);
	else if (node->kind == CW_NODE_NUMBER && (node->number < 0 || node->number > 1))
		LINT_WARN(f, node, "bad-alert", "alert: \"%s\" is clipped to 0 to 1", key);
}

static void check_alert(struct lint_file *f, struct cw_node *call)
{
	struct cw_node *table = lint_value_of(f, call->b), *dedup = cw_node_field(table, "dedup"), *value;
	struct search search = { .f = f };

	if (call->b == NULL || (table != NULL && table->kind != CW_NODE_TABLE && table->kind != CW_NODE_NAME)) {
		LINT_ERROR(f, call, "bad-alert", "alert: needs a table, like alert { score = 0.8, explain = { ... } }");
		return;
	}
	if (table == NULL || table->kind != CW_NODE_TABLE)
		return;
	check_keys(f, table, "alert", cw_rule_alert_keys);
	check_choice(f, table, "severity", severities, "low, medium, high or critical");
	check_share(f, table, "score");
	check_share(f, table, "confidence");
	if (cw_node_field(table, "score") == NULL)
		LINT_ERROR(f, call, "bad-alert", "alert: \"score\" is missing");
	value = cw_node_field(table, "explain");
	if (value == NULL)
		LINT_WARN(f, call, "no-explain", "alert: no \"explain\": the analyst sees no values");
	else if (value->kind == CW_NODE_STRING || value->kind == CW_NODE_NUMBER)
		LINT_ERROR(f, value, "bad-alert", "alert: \"explain\" must be a table with names, like { receivers = n }");
	if (dedup == NULL) {
		LINT_WARN(f, call, "no-dedup", "alert: no \"dedup\": nothing says which alerts are one case; usually an address");
		return;
	}
	cw_syntax_walk(lint_value_of(f, dedup), find_unbounded, &search);
	if (search.found != NULL)
		LINT_WARN(f, dedup, "unbounded-dedup", "alert: \"dedup\" contains the transaction's %s, so no two alerts are ever "
		          "the same case", lint_index_name(search.found));
}

/* --- methods --- */

static const struct cw_method *find_method(const struct cw_primitive *p, const char *name)
{
	for (const struct cw_method *m = p->methods; m->name != NULL; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

static const char *const *field_names(void)
{
	static const char *names[CW_FIELD_COUNT];
	int n = 0;

	for (int i = CW_FIELD_NONE + 1; i < CW_FIELD_COUNT; i++)
		names[n++] = cw_field_name((enum cw_field)i);
	names[n] = NULL;
	return names;
}

static void check_argument(struct lint_file *f, const struct cw_primitive *p, const struct cw_method *m,
                           struct cw_node *node, enum cw_arg arg)
{
	node = cw_node_bare(node);
	if (arg == CW_ARG_NONE)
		LINT_WARN(f, node, "bad-argument", "%s.%s:%s takes no such argument", p->table, p->name, m->name);
	else if (arg == CW_ARG_FIELD && node->kind == CW_NODE_STRING && cw_field_parse(node->text) == CW_FIELD_NONE)
		LINT_ERROR(f, node, "unknown-field", "%s.%s:%s: there is no field \"%s\"%s", p->table, p->name, m->name,
		           node->text, hint(node->text, field_names()));
	else if (arg == CW_ARG_FIELD && node->kind == CW_NODE_NUMBER)
		LINT_ERROR(f, node, "bad-argument", "%s.%s:%s needs the name of a field, not a number", p->table, p->name, m->name);
	else if (arg == CW_ARG_NUMBER && (node->kind == CW_NODE_STRING || node->kind == CW_NODE_TABLE))
		LINT_ERROR(f, node, "bad-argument", "%s.%s:%s needs a number", p->table, p->name, m->name);
}

static void check_method(struct lint_file *f, struct cw_node *n)
{
	const struct lint_state *state, *none;
	const struct cw_primitive *p;
	const struct cw_method *m;
	struct cw_node *arg = n->b;

	if (lint_type_of(f, n->a, &state) != LINT_HANDLE || state->primitive == NULL)
		return;
	p = state->primitive;
	m = find_method(p, n->text);
	if (m == NULL) {
		const char *names[32];
		int count = 0;

		for (m = p->methods; m->name != NULL && count < 31; m++)
			names[count++] = m->name;
		names[count] = NULL;
		LINT_NAME(f, n, "unknown-method", "%s.%s has no method \"%s\"%s", p->table, p->name, n->text,
		          hint(n->text, names));
		return;
	}
	if (m->takes_tx) {
		const struct cw_node *bare = cw_node_bare(arg);
		enum lint_type type = arg != NULL ? lint_type_of(f, arg, &none) : LINT_UNKNOWN;

		if (arg == NULL || (type != LINT_UNKNOWN && type != LINT_TX) || bare->kind == CW_NODE_STRING ||
		    bare->kind == CW_NODE_NUMBER || bare->kind == CW_NODE_NIL)
			LINT_NAME(f, n, "bad-argument", "%s.%s:%s needs the transaction as its first argument", p->table, p->name, m->name);
		if (arg == NULL)
			return;
		arg = arg->next;
	}
	for (int i = 0; arg != NULL; arg = arg->next, i++)
		check_argument(f, p, m, arg, i == 0 ? m->a : i == 1 ? m->b : CW_ARG_NONE);
}

/* --- fields, names --- */

static void check_index(struct lint_file *f, struct cw_node *n)
{
	const struct lint_state *state;
	enum lint_type type = lint_type_of(f, n->a, &state);
	const char *name = lint_index_name(n);
	const char *names[LINT_PARAMS_MAX + LINT_STATES_MAX + 1];
	int count = 0;

	if (type == LINT_STATES && name == NULL)
		f->states_escape = true;
	if (type == LINT_PARAMS && name == NULL)
		f->params_escape = true;
	if (name == NULL)
		return;
	if (type == LINT_TX && !lint_listed(name, f->lint->fields)) {
		LINT_NAME(f, n, "unknown-field", "the transaction has no field \"%s\"%s", name, hint(name, f->lint->fields));
	} else if (type == LINT_STATES) {
		struct lint_state *s = lint_state_named(f, name);

		if (s != NULL)
			s->used = true;
		for (int i = 0; i < f->nstates; i++)
			names[count++] = f->states[i].name;
		names[count] = NULL;
		if (s == NULL && f->states_known)
			LINT_NAME(f, n, "unknown-state", "there is no state \"%s\"%s", name, hint(name, names));
	} else if (type == LINT_PARAMS) {
		struct lint_param *p = lint_param_named(f, name);

		if (p != NULL)
			p->used = true;
		for (int i = 0; i < f->nparams; i++)
			names[count++] = f->params[i].name;
		names[count] = NULL;
		if (p == NULL && f->params_known)
			LINT_NAME(f, n, "unknown-param", "there is no parameter \"%s\"%s", name, hint(name, names));
	}
}

/* s or p as a whole goes somewhere that is not followed. */
static void check_escape(struct lint_file *f, struct cw_node *node)
{
	const struct lint_state *state;

	for (; node != NULL; node = node->next) {
		enum lint_type type = cw_node_bare(node)->kind == CW_NODE_NAME ? lint_type_of(f, node, &state) : LINT_UNKNOWN;

		f->states_escape = f->states_escape || type == LINT_STATES;
		f->params_escape = f->params_escape || type == LINT_PARAMS;
	}
}

static void check_call(struct lint_file *f, struct cw_node *n)
{
	const struct lint_state *state;
	const char *name = lint_index_name(n->a);

	if (lint_function_of(f, n->a) == NULL)
		check_escape(f, n->b);
	if (lint_is_global(n->a, "alert")) {
		check_alert(f, n);
	} else if (lint_is_global(n->a, "tx")) {
		check_keys(f, cw_node_bare(n->b), "tx", cw_ruletest_tx_keys);
	} else if (lint_is_global(n->a, "txs")) {
		check_keys(f, cw_node_bare(n->b), "txs", cw_ruletest_txs_keys);
	} else if (name != NULL && n->a->a->kind == CW_NODE_NAME && n->a->a->declared == NULL &&
	           lint_is_table_of_primitives(n->a->a->text)) {
		check_constructor(f, n, n->a->a->text, name);
	} else if (name != NULL && lint_type_of(f, n->a->a, &state) == LINT_HANDLE) {
		LINT_NAME(f, n->a, "call-with-dot", "methods are called with a colon: %s:%s(...)",
		          state->name, name);
	}
}

static void check_name(struct lint_file *f, struct cw_node *n)
{
	if (n->declared == NULL && !lint_listed(n->text, f->lint->globals) && !lint_has(f, n->line, n->column))
		LINT_ERROR(f, n, "unknown-global", "there is no variable \"%s\"%s", n->text, hint(n->text, f->lint->globals));
}

/* Declared outside of evaluate and assigned in it. */
static bool is_of_file(struct lint_file *f, const struct cw_node *name)
{
	const struct cw_node *evaluate = lint_function_of(f, cw_node_field(f->rule, "evaluate"));

	return evaluate != NULL && name->from > evaluate->from && name->to <= evaluate->to &&
	       name->declared->from < evaluate->from;
}

static void check_target(struct lint_file *f, struct cw_node *target)
{
	const struct lint_state *state;

	if (target->kind == CW_NODE_NAME && target->declared == NULL) {
		LINT_ERROR(f, target, "global-write", "globals cannot be set: write local %s", target->text);
	} else if (target->kind == CW_NODE_NAME && is_of_file(f, target)) {
		LINT_ERROR(f, target, "keeps-values", "\"%s\" is a variable of the file: a restart would forget it and a replay would "
		           "give other verdicts; keep values between transactions in state", target->text);
	} else if (target->kind == CW_NODE_INDEX) {
		enum lint_type type = lint_type_of(f, target->a, &state);

		if (type != LINT_UNKNOWN)
			LINT_ERROR(f, target, "read-only", "%s cannot be changed; keep values between transactions in state",
			           type == LINT_TX ? "the transaction" : type == LINT_STATES ? "the table of states" :
			           type == LINT_PARAMS ? "the table of parameters" : "a state");
	}
}

/* Fields that every transaction has: a key of them is never missing. */
static bool key_may_be_missing(const struct lint_state *state)
{
	static const char *const always[] = { "from", "hash", "chain", "value", "gas", "gas_price", "nonce", "block", "timestamp",
		                                  NULL };
	const struct cw_node *key = cw_node_field(state->options, "key");
	char word[32];

	if (key == NULL)
		return false;
	if (key->kind != CW_NODE_STRING)
		return true;
	for (const char *p = key->text; *p != '\0';) {
		size_t len = strcspn(p, "+");

		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		if (!lint_listed(word, always))
			return true;
		p += len + (p[len] == '+');
	}
	return false;
}

/* add, get and score: nil where the key is missing, and statistics before they are warm. */
static bool may_be_nil(const struct lint_state *state, const struct cw_method *m)
{
	if (m == NULL || m->result != CW_RESULT_NUMBER ||
	    (strcmp(m->name, "add") != 0 && strcmp(m->name, "get") != 0 && strcmp(m->name, "score") != 0))
		return false;
	return strcmp(state->primitive->table, "stat") == 0 || key_may_be_missing(state);
}

/* A direct comparison of what may be nil: an error at the first transaction that lacks it. */
static void check_comparison(struct lint_file *f, struct cw_node *n)
{
	static const char *const optional[] = { "gas_used", "fee", "status", "index", NULL };

	if (n->op == CW_OP_EQ || n->op == CW_OP_NE)
		return;
	for (int side = 0; side < 2; side++) {
		struct cw_node *x = cw_node_bare(side == 0 ? n->a : n->b);
		const struct lint_state *state;
		const struct cw_method *m;

		if (x->kind == CW_NODE_METHOD && lint_type_of(f, x->a, &state) == LINT_HANDLE && state->primitive != NULL) {
			m = find_method(state->primitive, x->text);
			if (may_be_nil(state, m))
				LINT_WARN(f, x, "may-be-nil", "%s:%s is nil when the transaction lacks the key or nothing is known yet: "
				          "(... or 0)", state->name, x->text);
		} else if (lint_index_name(x) != NULL && lint_listed(lint_index_name(x), optional) &&
		           lint_type_of(f, x->a, &state) == LINT_TX) {
			LINT_WARN(f, x, "may-be-nil", "tx.%s is nil where the source does not give it: (tx.%s or 0)",
			          lint_index_name(x), lint_index_name(x));
		}
	}
}

static bool check_node(void *arg, struct cw_node *n)
{
	struct lint_file *f = arg;

	switch (n->kind) {
	case CW_NODE_NAME: check_name(f, n); break;
	case CW_NODE_INDEX: check_index(f, n); break;
	case CW_NODE_CALL: check_call(f, n); break;
	case CW_NODE_METHOD:
		check_method(f, n);
		check_escape(f, n->b);
		break;
	case CW_NODE_BINARY:
		if (cw_op_compares(n->op))
			check_comparison(f, n);
		break;
	case CW_NODE_ASSIGN:
		for (struct cw_node *t = n->a; t != NULL; t = t->next)
			check_target(f, t);
		check_escape(f, n->b);
		break;
	case CW_NODE_DEFINE:
		if (n->a->kind == CW_NODE_NAME && n->a->declared == NULL)
			check_target(f, n->a);
		break;
	case CW_NODE_LOCAL:
		for (const struct cw_node *name = n->a; name != NULL; name = name->next)
			if (name->uses == 0 && name->text[0] != '_')
				LINT_WARN(f, name, "unused-variable", "\"%s\" is never used", name->text);
		break;
	case CW_NODE_FIELD: check_escape(f, n->b); break;
	case CW_NODE_RETURN: check_escape(f, n->a); break;
	default: break;
	}
	return true;
}

static bool returns_plain_table(void *arg, struct cw_node *n)
{
	struct lint_file *f = arg;
	const struct cw_node *value;

	if (n->kind == CW_NODE_FUNCTION)
		return false;
	value = n->kind == CW_NODE_RETURN ? cw_node_bare(n->a) : NULL;
	if (value != NULL && value->kind == CW_NODE_TABLE)
		LINT_ERROR(f, value, "bad-alert", "evaluate returns a plain table; write return alert { ... }");
	else if (value != NULL && (value->kind == CW_NODE_TRUE || value->kind == CW_NODE_FALSE ||
	                           value->kind == CW_NODE_NUMBER || value->kind == CW_NODE_STRING))
		LINT_ERROR(f, value, "bad-alert", "evaluate must return nothing or alert { ... }");
	return true;
}

void lint_check_uses(struct lint_file *f)
{
	struct cw_node *evaluate = lint_function_of(f, cw_node_field(f->rule, "evaluate"));

	cw_syntax_walk(f->tree, check_node, f);
	if (evaluate != NULL)
		cw_syntax_walk(evaluate->b, returns_plain_table, f);
	for (int i = 0; i < f->nstates; i++)
		if (!f->states[i].used && !f->states_escape && evaluate != NULL)
			LINT_WARN(f, f->states[i].at, "unused-state", "state \"%s\" is never used", f->states[i].name);
	for (int i = 0; i < f->nparams; i++)
		if (!f->params[i].used && !f->params_escape && evaluate != NULL)
			LINT_WARN(f, f->params[i].at, "unused-param", "parameter \"%s\" is never used", f->params[i].name);
}
