/* syntax.h - the text of a script as a tree: for lint, and for the tracing of explain. Never for running it.
 *
 * Lua 5.1 with `goto`, as LuaJIT reads it. Names are resolved: a name node knows the declaration it means, or none (a
 * global). Every node knows its bytes, line and column. Pure: text in, tree out, all of it in the caller's arena. */
#ifndef CW_LUA_SYNTAX_H
#define CW_LUA_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_arena;
struct cw_err;

enum cw_node_kind {
	/* expressions */
	CW_NODE_NIL = 1, CW_NODE_TRUE, CW_NODE_FALSE, CW_NODE_VARARG,
	CW_NODE_NUMBER,               /* number */
	CW_NODE_STRING,               /* text, len: decoded */
	CW_NODE_NAME,                 /* text; declared: the NAME node that declares it, NULL: global */
	CW_NODE_INDEX,                /* a[b]; of a.name b is a STRING */
	CW_NODE_CALL,                 /* a(b...) */
	CW_NODE_METHOD,               /* a:text(b...) */
	CW_NODE_FUNCTION,             /* a: parameters (NAMEs); b: body */
	CW_NODE_TABLE,                /* a: FIELDs */
	CW_NODE_FIELD,                /* a: key or NULL (positional); b: value. Of `name = v` the key is a STRING */
	CW_NODE_BINARY,               /* a op b */
	CW_NODE_UNARY,                /* op a */
	CW_NODE_PAREN,                /* (a) */
	/* statements */
	CW_NODE_LOCAL,                /* a: NAMEs; b: expressions */
	CW_NODE_ASSIGN,               /* a: targets; b: expressions */
	CW_NODE_EXPRESSION,           /* a: a call */
	CW_NODE_DO,                   /* b: body */
	CW_NODE_WHILE,                /* a: condition; b: body */
	CW_NODE_REPEAT,               /* b: body; a: condition */
	CW_NODE_IF,                   /* a: CLAUSEs */
	CW_NODE_CLAUSE,               /* a: condition, NULL for else; b: body */
	CW_NODE_FOR,                  /* a: NAMEs; c: expressions; b: body */
	CW_NODE_DEFINE,               /* function a ...: c is the FUNCTION; `local function` has a NAME that declares */
	CW_NODE_RETURN,               /* a: expressions */
	CW_NODE_BREAK,
	CW_NODE_GOTO,                 /* text */
	CW_NODE_LABEL,                /* text */
};

enum cw_node_op {
	CW_OP_OR = 1, CW_OP_AND, CW_OP_LT, CW_OP_GT, CW_OP_LE, CW_OP_GE, CW_OP_NE, CW_OP_EQ, CW_OP_CONCAT, CW_OP_ADD,
	CW_OP_SUB, CW_OP_MUL, CW_OP_DIV, CW_OP_MOD, CW_OP_NOT, CW_OP_LEN, CW_OP_NEG, CW_OP_POW,
};

struct cw_node {
	enum cw_node_kind kind;
	enum cw_node_op op;
	uint32_t from, to;            /* bytes [from, to) of the text */
	uint32_t at, at_to;           /* the bytes of a BINARY's operator */
	int line, column;             /* of the first byte, from 1; of INDEX and METHOD the last name is at name_line ... */
	int name_line, name_column;
	struct cw_node *next;         /* in a list of arguments, statements, fields ... */
	struct cw_node *a, *b, *c;
	struct cw_node *declared;
	int uses;                     /* of a declaration */
	const char *text;
	size_t len;
	double number;
};

/* The statements of the file, a list; NULL for an empty file with *ok set. `name` is for messages: "name:line: what". */
struct cw_node *cw_syntax_parse(const char *text, size_t len, const char *name, struct cw_arena *arena, bool *ok,
                                struct cw_err *err);

/* Calls fn for every node below (lists are followed), parents first; children are skipped where fn returns false. */
typedef bool cw_node_fn(void *arg, struct cw_node *node);
void cw_syntax_walk(struct cw_node *list, cw_node_fn *fn, void *arg);

/* The value of the field `name` of a table constructor; NULL. */
struct cw_node *cw_node_field(const struct cw_node *table, const char *name);
/* Parentheses taken off. */
struct cw_node *cw_node_bare(struct cw_node *node);
static inline bool cw_op_compares(enum cw_node_op op) { return op >= CW_OP_LT && op <= CW_OP_EQ; }

#endif
