/* lexer.h - the tokens of a Lua text, for lua/syntax.c. */
#ifndef CW_LUA_LEXER_H
#define CW_LUA_LEXER_H

#include <stddef.h>
#include <stdint.h>

#include "lua/syntax.h"

enum cw_token_kind {
	T_EOF, T_NAME, T_NUMBER, T_STRING, T_OPERATOR, T_SINGLE, T_DOTS, T_COLONS,
	T_AND, T_BREAK, T_DO, T_ELSE, T_ELSEIF, T_END, T_FALSE, T_FOR, T_FUNCTION, T_IF, T_IN, T_LOCAL, T_NIL, T_NOT,
	T_OR, T_REPEAT, T_RETURN, T_THEN, T_TRUE, T_UNTIL, T_WHILE,
};
const char *cw_token_keyword(enum cw_token_kind t);   /* of T_AND and those after it */

/* Of OPERATOR the op as a binary one, of SINGLE the character. */
struct cw_token {
	enum cw_token_kind t;
	enum cw_node_op op;
	char c;
	uint32_t from, to;
	int line, column;
	const char *text;
	size_t len;
	double number;
};

struct cw_lexer {
	const char *text, *end, *at, *line_start;
	int line;
	const char *fault;           /* what is wrong; NULL: nothing so far */
	struct cw_arena *arena;
};

struct cw_token cw_lex(struct cw_lexer *lx);

#endif
