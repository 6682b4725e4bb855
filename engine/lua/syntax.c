/* The parser: recursive descent, one token ahead. */
#include "lua/syntax.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "lua/lexer.h"

#define DEPTH_MAX 220            /* LuaJIT ends at 200 */
#define LOCALS_MAX 4000          /* visible at one place; LuaJIT allows 200 a function */

struct parser {
	struct cw_lexer lx;
	const char *name;
	int depth;
	uint32_t last_to;            /* end of the token before `now` */
	struct cw_token now, ahead;
	bool looked, failed;
	struct cw_arena *arena;
	struct cw_err *err;
	struct cw_node *locals[LOCALS_MAX];
	int nlocals;
};

static void fail(struct parser *p, const char *what)
{
	if (!p->failed)
		cw_err_set(p->err, CW_ERR_SCRIPT, "%s:%d: %s", p->name, p->lx.line, what);
	p->failed = true;
	p->lx.at = p->lx.end;            /* everything ends now */
	p->now.t = T_EOF;
	p->looked = false;
}

static void advance(struct parser *p)
{
	p->last_to = p->now.to;
	p->now = p->looked ? p->ahead : cw_lex(&p->lx);
	p->looked = false;
	if (p->lx.fault != NULL)
		fail(p, p->lx.fault);
}

static const struct cw_token *peek(struct parser *p)
{
	if (!p->looked)
		p->ahead = cw_lex(&p->lx);
	p->looked = true;
	return &p->ahead;
}

static bool is(const struct parser *p, char c)
{
	return p->now.t == T_SINGLE && p->now.c == c;
}

static bool accept(struct parser *p, char c)
{
	if (!is(p, c))
		return false;
	advance(p);
	return true;
}

static bool accept_token(struct parser *p, enum cw_token_kind t)
{
	if (p->now.t != t)
		return false;
	advance(p);
	return true;
}

static void expect(struct parser *p, char c)
{
	char what[40];

	snprintf(what, sizeof(what), "'%c' expected", c);
	if (!accept(p, c))
		fail(p, what);
}

static void expect_token(struct parser *p, enum cw_token_kind t)
{
	char what[40];

	snprintf(what, sizeof(what), "'%s' expected", t >= T_AND ? cw_token_keyword(t) : "token");
	if (!accept_token(p, t))
		fail(p, what);
}

/* --- nodes --- */

static struct cw_node *node_new(struct parser *p, enum cw_node_kind kind)
{
	struct cw_node *n = cw_arena_zalloc(p->arena, sizeof(*n));

	n->kind = kind;
	n->from = p->now.from;
	n->to = p->now.to;
	n->line = n->name_line = p->now.line;
	n->column = n->name_column = p->now.column;
	return n;
}

/* A node that begins where `first` does. */
static struct cw_node *node_over(struct parser *p, enum cw_node_kind kind, struct cw_node *first)
{
	struct cw_node *n = node_new(p, kind);

	n->name_line = n->line;
	n->name_column = n->column;
	n->at = n->from;
	n->at_to = n->to;
	n->from = first->from;
	n->line = first->line;
	n->column = first->column;
	n->a = first;
	return n;
}

static struct cw_node *end_node(const struct parser *p, struct cw_node *n)
{
	n->to = p->last_to;
	return n;
}

struct list { struct cw_node *first, **last; };

static void add(struct list *list, struct cw_node *n)
{
	if (list->last == NULL)
		list->last = &list->first;
	*list->last = n;
	list->last = &n->next;
}

static struct cw_node *take_name(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_NAME);

	n->text = p->now.text != NULL ? p->now.text : "";
	n->len = p->now.len;
	if (p->now.t == T_NAME)
		advance(p);
	else
		fail(p, "name expected");
	return n;
}

static void declare(struct parser *p, struct cw_node *name)
{
	name->declared = name;
	if (p->nlocals < LOCALS_MAX)
		p->locals[p->nlocals++] = name;
	else
		fail(p, "too many local variables");
}

static void resolve(struct parser *p, struct cw_node *name)
{
	for (int i = p->nlocals; i-- > 0;)
		if (strcmp(p->locals[i]->text, name->text) == 0) {
			name->declared = p->locals[i];
			name->declared->uses++;
			return;
		}
}

static bool enter(struct parser *p)
{
	if (++p->depth <= DEPTH_MAX)
		return true;
	fail(p, "nested too deeply");
	return false;
}

/* --- expressions --- */

static struct cw_node *parse_expression(struct parser *p, int limit);
static struct cw_node *parse_block(struct parser *p);

static struct cw_node *parse_list(struct parser *p)
{
	struct list list = { NULL, NULL };

	do
		add(&list, parse_expression(p, 0));
	while (!p->failed && accept(p, ','));
	return list.first;
}

/* At the parameters; `n` is the FUNCTION. */
static struct cw_node *parse_function(struct parser *p, struct cw_node *n, bool method)
{
	struct list params = { NULL, NULL };
	int outer = p->nlocals;

	if (method) {
		struct cw_node *self = node_new(p, CW_NODE_NAME);

		self->text = "self";
		declare(p, self);
		self->uses = 1;
		add(&params, self);
	}
	expect(p, '(');
	while (!p->failed && !is(p, ')')) {
		if (p->now.t == T_DOTS) {
			add(&params, node_new(p, CW_NODE_VARARG));
			advance(p);
			break;
		}
		struct cw_node *name = take_name(p);

		declare(p, name);
		add(&params, name);
		if (!accept(p, ','))
			break;
	}
	expect(p, ')');
	n->a = params.first;
	n->b = parse_block(p);
	expect_token(p, T_END);
	p->nlocals = outer;
	return end_node(p, n);
}

static struct cw_node *parse_field(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_FIELD);

	if (p->now.t == T_NAME && peek(p)->t == T_SINGLE && peek(p)->c == '=') {
		n->a = node_new(p, CW_NODE_STRING);
		n->a->text = p->now.text;
		n->a->len = p->now.len;
		advance(p);
		advance(p);
	} else if (accept(p, '[')) {
		n->a = parse_expression(p, 0);
		expect(p, ']');
		expect(p, '=');
	}
	n->b = parse_expression(p, 0);
	return end_node(p, n);
}

static struct cw_node *parse_table(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_TABLE);
	struct list fields = { NULL, NULL };

	expect(p, '{');
	while (!p->failed && !is(p, '}')) {
		add(&fields, parse_field(p));
		if (!accept(p, ',') && !accept(p, ';'))
			break;
	}
	expect(p, '}');
	n->a = fields.first;
	return end_node(p, n);
}

static struct cw_node *parse_string(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_STRING);

	n->text = p->now.text;
	n->len = p->now.len;
	advance(p);
	return n;
}

static struct cw_node *parse_arguments(struct parser *p)
{
	struct cw_node *args = NULL;

	if (p->now.t == T_STRING)
		return parse_string(p);
	if (is(p, '{'))
		return parse_table(p);
	expect(p, '(');
	if (!p->failed && !is(p, ')'))
		args = parse_list(p);
	expect(p, ')');
	return args;
}

static struct cw_node *parse_suffixes(struct parser *p, struct cw_node *n)
{
	while (!p->failed) {
		if (is(p, '.')) {
			struct cw_node *name;

			n = node_over(p, CW_NODE_INDEX, n);
			advance(p);
			name = take_name(p);
			name->kind = CW_NODE_STRING;
			n->b = name;
			n->name_line = name->line;
			n->name_column = name->column;
		} else if (is(p, '[')) {
			n = node_over(p, CW_NODE_INDEX, n);
			advance(p);
			n->b = parse_expression(p, 0);
			n->name_line = n->b->line;
			n->name_column = n->b->column;
			expect(p, ']');
		} else if (is(p, ':')) {
			struct cw_node *name;

			n = node_over(p, CW_NODE_METHOD, n);
			advance(p);
			name = take_name(p);
			n->text = name->text;
			n->len = name->len;
			n->name_line = name->line;
			n->name_column = name->column;
			n->b = parse_arguments(p);
		} else if (is(p, '(') || is(p, '{') || p->now.t == T_STRING) {
			n = node_over(p, CW_NODE_CALL, n);
			n->b = parse_arguments(p);
		} else {
			break;
		}
		end_node(p, n);
	}
	return n;
}

static struct cw_node *parse_prefix(struct parser *p)
{
	struct cw_node *n;

	if (is(p, '(')) {
		n = node_new(p, CW_NODE_PAREN);
		advance(p);
		n->a = parse_expression(p, 0);
		expect(p, ')');
		return parse_suffixes(p, end_node(p, n));
	}
	n = take_name(p);
	resolve(p, n);
	return parse_suffixes(p, n);
}

static struct cw_node *parse_leaf(struct parser *p, enum cw_node_kind kind)
{
	struct cw_node *n = node_new(p, kind);

	n->number = p->now.number;
	advance(p);
	return n;
}

static struct cw_node *parse_simple(struct parser *p)
{
	struct cw_node *n;

	switch (p->now.t) {
	case T_NIL: return parse_leaf(p, CW_NODE_NIL);
	case T_TRUE: return parse_leaf(p, CW_NODE_TRUE);
	case T_FALSE: return parse_leaf(p, CW_NODE_FALSE);
	case T_NUMBER: return parse_leaf(p, CW_NODE_NUMBER);
	case T_DOTS: return parse_leaf(p, CW_NODE_VARARG);
	case T_STRING: return parse_string(p);
	case T_FUNCTION:
		n = node_new(p, CW_NODE_FUNCTION);
		advance(p);
		return parse_function(p, n, false);
	default:
		return is(p, '{') ? parse_table(p) : parse_prefix(p);
	}
}

/* Left and right priority of binary operators (Lua reference manual 2.5.6). */
static bool priorities(const struct parser *p, enum cw_node_op *op, int *left, int *right)
{
	*op = p->now.t == T_AND ? CW_OP_AND : p->now.t == T_OR ? CW_OP_OR : p->now.t == T_OPERATOR ? p->now.op : 0;
	switch (*op) {
	case CW_OP_OR: *left = *right = 1; return true;
	case CW_OP_AND: *left = *right = 2; return true;
	case CW_OP_LT: case CW_OP_GT: case CW_OP_LE: case CW_OP_GE: case CW_OP_NE: case CW_OP_EQ:
		*left = *right = 3;
		return true;
	case CW_OP_CONCAT: *left = 5; *right = 4; return true;
	case CW_OP_ADD: case CW_OP_SUB: *left = *right = 6; return true;
	case CW_OP_MUL: case CW_OP_DIV: case CW_OP_MOD: *left = *right = 7; return true;
	case CW_OP_POW: *left = 10; *right = 9; return true;
	default: return false;
	}
}

#define UNARY_PRIORITY 8

static struct cw_node *parse_expression(struct parser *p, int limit)
{
	enum cw_node_op op = p->now.t == T_NOT ? CW_OP_NOT : p->now.t != T_OPERATOR ? 0 :
	                     p->now.op == CW_OP_SUB ? CW_OP_NEG : p->now.op == CW_OP_LEN ? CW_OP_LEN : 0;
	struct cw_node *n;
	int left, right;

	if (!enter(p))
		return node_new(p, CW_NODE_NIL);
	if (op != 0) {
		n = node_new(p, CW_NODE_UNARY);
		n->op = op;
		advance(p);
		n->a = parse_expression(p, UNARY_PRIORITY);
		end_node(p, n);
	} else {
		n = parse_simple(p);
	}
	while (!p->failed && priorities(p, &op, &left, &right) && left > limit) {
		n = node_over(p, CW_NODE_BINARY, n);
		n->op = op;
		advance(p);
		n->b = parse_expression(p, right);
		end_node(p, n);
	}
	p->depth--;
	return n;
}

/* --- statements --- */

static struct cw_node *parse_names(struct parser *p)
{
	struct list names = { NULL, NULL };

	do
		add(&names, take_name(p));
	while (!p->failed && accept(p, ','));
	return names.first;
}

static void declare_all(struct parser *p, struct cw_node *names)
{
	for (struct cw_node *n = names; n != NULL; n = n->next)
		declare(p, n);
}

static struct cw_node *parse_if(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_IF);
	struct list clauses = { NULL, NULL };
	bool more = true;

	while (more && !p->failed) {
		struct cw_node *clause = node_new(p, CW_NODE_CLAUSE);

		if (accept_token(p, T_ELSE)) {
			more = false;
		} else {
			advance(p);
			clause->a = parse_expression(p, 0);
			expect_token(p, T_THEN);
		}
		clause->b = parse_block(p);
		add(&clauses, end_node(p, clause));
		more = more && (p->now.t == T_ELSEIF || p->now.t == T_ELSE);
	}
	expect_token(p, T_END);
	n->a = clauses.first;
	return end_node(p, n);
}

static struct cw_node *parse_for(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_FOR);
	int outer = p->nlocals;

	advance(p);
	n->a = parse_names(p);
	if (!accept(p, '='))
		expect_token(p, T_IN);
	n->c = parse_list(p);
	declare_all(p, n->a);
	expect_token(p, T_DO);
	n->b = parse_block(p);
	expect_token(p, T_END);
	p->nlocals = outer;
	return end_node(p, n);
}

static struct cw_node *parse_local(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_LOCAL);

	advance(p);
	if (p->now.t == T_FUNCTION) {
		n->kind = CW_NODE_DEFINE;
		advance(p);
		n->a = take_name(p);
		declare(p, n->a);
		n->c = parse_function(p, node_new(p, CW_NODE_FUNCTION), false);
		return end_node(p, n);
	}
	n->a = parse_names(p);
	if (accept(p, '='))
		n->b = parse_list(p);
	declare_all(p, n->a);
	return end_node(p, n);
}

/* function a.b:c() ... */
static struct cw_node *parse_define(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_DEFINE);
	bool method = false;

	advance(p);
	n->a = take_name(p);
	resolve(p, n->a);
	while (!method && !p->failed && (is(p, '.') || is(p, ':'))) {
		method = is(p, ':');
		n->a = node_over(p, CW_NODE_INDEX, n->a);
		advance(p);
		n->a->b = take_name(p);
		n->a->b->kind = CW_NODE_STRING;
		end_node(p, n->a);
	}
	n->c = parse_function(p, node_new(p, CW_NODE_FUNCTION), method);
	return end_node(p, n);
}

static struct cw_node *parse_loop(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_WHILE);

	advance(p);
	n->a = parse_expression(p, 0);
	expect_token(p, T_DO);
	n->b = parse_block(p);
	expect_token(p, T_END);
	return end_node(p, n);
}

static struct cw_node *parse_body(struct parser *p);

/* The condition sees the locals of the body. */
static struct cw_node *parse_repeat(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_REPEAT);
	int outer = p->nlocals;

	advance(p);
	n->b = parse_body(p);
	expect_token(p, T_UNTIL);
	n->a = parse_expression(p, 0);
	p->nlocals = outer;
	return end_node(p, n);
}

static struct cw_node *parse_return(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_RETURN);

	advance(p);
	if (p->now.t != T_END && p->now.t != T_EOF && p->now.t != T_ELSE && p->now.t != T_ELSEIF && p->now.t != T_UNTIL &&
	    !is(p, ';'))
		n->a = parse_list(p);
	return end_node(p, n);
}

static struct cw_node *parse_assignment(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_EXPRESSION);
	struct list targets = { NULL, NULL };

	n->a = parse_prefix(p);
	if (is(p, ',') || is(p, '=')) {
		n->kind = CW_NODE_ASSIGN;
		add(&targets, n->a);
		while (!p->failed && accept(p, ','))
			add(&targets, parse_prefix(p));
		expect(p, '=');
		n->b = parse_list(p);
	} else if (n->a->kind != CW_NODE_CALL && n->a->kind != CW_NODE_METHOD) {
		fail(p, "a statement must be a call or an assignment");
	}
	return end_node(p, n);
}

static struct cw_node *parse_named(struct parser *p, enum cw_node_kind kind)
{
	struct cw_node *n = node_new(p, kind);

	advance(p);
	n->text = take_name(p)->text;
	if (kind == CW_NODE_LABEL)
		expect_token(p, T_COLONS);
	return end_node(p, n);
}

static struct cw_node *parse_do(struct parser *p)
{
	struct cw_node *n = node_new(p, CW_NODE_DO);

	advance(p);
	n->b = parse_block(p);
	expect_token(p, T_END);
	return end_node(p, n);
}

static struct cw_node *parse_statement(struct parser *p)
{
	switch (p->now.t) {
	case T_IF: return parse_if(p);
	case T_WHILE: return parse_loop(p);
	case T_DO: return parse_do(p);
	case T_FOR: return parse_for(p);
	case T_REPEAT: return parse_repeat(p);
	case T_FUNCTION: return parse_define(p);
	case T_LOCAL: return parse_local(p);
	case T_RETURN: return parse_return(p);
	case T_BREAK: return parse_leaf(p, CW_NODE_BREAK);
	case T_COLONS: return parse_named(p, CW_NODE_LABEL);
	case T_NAME:
		if (strcmp(p->now.text, "goto") == 0 && peek(p)->t == T_NAME)
			return parse_named(p, CW_NODE_GOTO);
		return parse_assignment(p);
	default: return parse_assignment(p);
	}
}

static bool at_end(const struct parser *p)
{
	return p->now.t == T_EOF || p->now.t == T_END || p->now.t == T_ELSE || p->now.t == T_ELSEIF || p->now.t == T_UNTIL;
}

static struct cw_node *parse_body(struct parser *p)
{
	struct list list = { NULL, NULL };

	if (!enter(p))
		return NULL;
	while (!p->failed && !at_end(p))
		if (!accept(p, ';'))
			add(&list, parse_statement(p));
	p->depth--;
	return list.first;
}

static struct cw_node *parse_block(struct parser *p)
{
	int outer = p->nlocals;
	struct cw_node *list = parse_body(p);

	p->nlocals = outer;
	return list;
}

struct cw_node *cw_syntax_parse(const char *text, size_t len, const char *name, struct cw_arena *arena, bool *ok,
                                struct cw_err *err)
{
	struct parser *p = cw_arena_zalloc(arena, sizeof(*p));
	struct cw_node *list;

	p->lx = (struct cw_lexer){ .text = text, .at = text, .line_start = text, .end = text + len, .line = 1, .arena = arena };
	p->name = name;
	p->arena = arena;
	p->err = err;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		p->lx.at += 3;
	if (p->lx.at < p->lx.end && *p->lx.at == '#')
		while (p->lx.at < p->lx.end && *p->lx.at != '\n' && *p->lx.at != '\r')
			p->lx.at++;
	advance(p);
	list = parse_block(p);
	if (!p->failed && p->now.t != T_EOF)
		fail(p, "end of file expected");
	*ok = !p->failed;
	return *ok ? list : NULL;
}

/* --- looking at trees --- */

void cw_syntax_walk(struct cw_node *list, cw_node_fn *fn, void *arg)
{
	for (struct cw_node *n = list; n != NULL; n = n->next) {
		if (!fn(arg, n))
			continue;
		cw_syntax_walk(n->a, fn, arg);
		cw_syntax_walk(n->c, fn, arg);
		cw_syntax_walk(n->b, fn, arg);
	}
}

struct cw_node *cw_node_field(const struct cw_node *table, const char *name)
{
	if (table == NULL || table->kind != CW_NODE_TABLE)
		return NULL;
	for (struct cw_node *f = table->a; f != NULL; f = f->next)
		if (f->a != NULL && f->a->kind == CW_NODE_STRING && strcmp(f->a->text, name) == 0)
			return cw_node_bare(f->b);
	return NULL;
}

struct cw_node *cw_node_bare(struct cw_node *node)
{
	while (node != NULL && node->kind == CW_NODE_PAREN)
		node = node->a;
	return node;
}
