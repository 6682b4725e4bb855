/* The lexer: as LuaJIT reads, comments left out. */
#include "lua/lexer.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static const char *const keywords[] = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if",
	                                    "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until",
	                                    "while" };

const char *cw_token_keyword(enum cw_token_kind t)
{
	return t >= T_AND && t <= T_WHILE ? keywords[t - T_AND] : "";
}

static bool is_ident(const char *at, const char *end)
{
	unsigned char c = at < end ? (unsigned char)*at : 0;

	return isalnum(c) || c == '_' || c >= 128;
}

static void newline(struct cw_lexer *p)
{
	char c = *p->at++;

	if (p->at < p->end && (*p->at == '\n' || *p->at == '\r') && *p->at != c)
		p->at++;
	p->line++;
	p->line_start = p->at;
}

/* At '[': the number of '=' of a long bracket, or -1. */
static int long_level(const struct cw_lexer *p)
{
	const char *q = p->at + 1;

	while (q < p->end && *q == '=')
		q++;
	return q < p->end && *q == '[' ? (int)(q - p->at - 1) : -1;
}

/* Behind the closing bracket; what is between goes to *text. */
static void skip_long(struct cw_lexer *p, int level, const char **text, size_t *len)
{
	p->at += level + 2;
	if (p->at < p->end && (*p->at == '\n' || *p->at == '\r'))
		newline(p);
	*text = p->at;
	while (p->at < p->end) {
		const char *q = p->at;

		if (*q == '\n' || *q == '\r') {
			newline(p);
			continue;
		}
		p->at++;
		if (*q != ']')
			continue;
		while (p->at < p->end && *p->at == '=')
			p->at++;
		if (p->at < p->end && *p->at == ']' && p->at - q - 1 == level) {
			*len = (size_t)(q - *text);
			p->at++;
			return;
		}
	}
	*len = (size_t)(p->at - *text);
}

static void skip_blank(struct cw_lexer *p)
{
	while (p->at < p->end) {
		const char *text;
		size_t len;

		if (*p->at == '\n' || *p->at == '\r') {
			newline(p);
		} else if (*p->at == ' ' || (*p->at >= '\t' && *p->at <= '\r')) {
			p->at++;
		} else if (*p->at == '-' && p->at + 1 < p->end && p->at[1] == '-') {
			int level;

			p->at += 2;
			level = p->at < p->end && *p->at == '[' ? long_level(p) : -1;
			if (level >= 0)
				skip_long(p, level, &text, &len);
			else
				while (p->at < p->end && *p->at != '\n' && *p->at != '\r')
					p->at++;
		} else {
			return;
		}
	}
}

static void lex_number(struct cw_lexer *p, struct cw_token *t)
{
	bool hex = p->at + 1 < p->end && p->at[0] == '0' && (p->at[1] | 0x20) == 'x';
	char exponent = hex ? 'p' : 'e', text[64];
	const char *from = p->at;
	char c = *p->at++;

	while (is_ident(p->at, p->end) ||
	       (p->at < p->end && (*p->at == '.' || ((*p->at == '-' || *p->at == '+') && (c | 0x20) == exponent))))
		c = *p->at++;
	snprintf(text, sizeof(text), "%.*s", (int)(p->at - from), from);
	t->t = T_NUMBER;
	t->number = strtod(text, NULL);
}

/* An escape behind the backslash; appends to `out`. */
static char *lex_escape(struct cw_lexer *p, char *out)
{
	static const char letters[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
	char c = *p->at;
	const char *at = strchr(letters, c);
	int number = 0;

	if (c == '\n' || c == '\r') {
		newline(p);
		*out++ = '\n';
	} else if (c == 'z') {
		p->at++;
		while (p->at < p->end && isspace((unsigned char)*p->at)) {
			if (*p->at == '\n' || *p->at == '\r')
				newline(p);
			else
				p->at++;
		}
	} else if (isdigit((unsigned char)c)) {
		for (int i = 0; i < 3 && p->at < p->end && isdigit((unsigned char)*p->at); i++)
			number = 10 * number + (*p->at++ - '0');
		*out++ = (char)number;
	} else if (c == 'x' && p->end - p->at > 2) {
		const char hex[3] = { p->at[1], p->at[2], '\0' };

		*out++ = (char)strtol(hex, NULL, 16);
		p->at += 3;
	} else {
		*out++ = c != '\0' && at != NULL ? values[at - letters] : c;
		p->at++;
	}
	return out;
}

static void lex_string(struct cw_lexer *p, struct cw_token *t)
{
	const char *from = p->at;
	char quote = *p->at++;
	char *copy, *out;

	while (p->at < p->end && *p->at != quote) {      /* its bytes at most */
		if (*p->at == '\\' && p->at + 1 < p->end)
			p->at++;
		p->at++;
	}
	copy = out = cw_arena_alloc(p->arena, (size_t)(p->at - from) + 1);
	p->at = from + 1;
	while (p->at < p->end && *p->at != quote) {
		if (*p->at == '\\' && p->at + 1 < p->end) {
			p->at++;
			out = lex_escape(p, out);
		} else if (*p->at == '\n' || *p->at == '\r') {
			p->fault = "unfinished string";
			break;
		} else {
			*out++ = *p->at++;
		}
	}
	if (p->at < p->end)
		p->at++;
	*out = '\0';
	t->t = T_STRING;
	t->text = copy;
	t->len = (size_t)(out - copy);
}

static void lex_name(struct cw_lexer *p, struct cw_token *t)
{
	const char *from = p->at;

	while (is_ident(p->at, p->end))
		p->at++;
	t->len = (size_t)(p->at - from);
	t->t = T_NAME;
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strlen(keywords[i]) == t->len && memcmp(keywords[i], from, t->len) == 0)
			t->t = (enum cw_token_kind)(T_AND + (int)i);
	t->text = cw_arena_strndup(p->arena, from, t->len);
}

static bool take(struct cw_lexer *p, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
		return false;
	p->at += len;
	return true;
}

static void lex_operator(struct cw_lexer *p, struct cw_token *t)
{
	static const struct { const char *word; enum cw_node_op op; } list[] = {
		{ "..", CW_OP_CONCAT }, { "==", CW_OP_EQ }, { "~=", CW_OP_NE }, { "<=", CW_OP_LE }, { ">=", CW_OP_GE },
		{ "<", CW_OP_LT }, { ">", CW_OP_GT }, { "+", CW_OP_ADD }, { "-", CW_OP_SUB }, { "*", CW_OP_MUL },
		{ "/", CW_OP_DIV }, { "%", CW_OP_MOD }, { "^", CW_OP_POW }, { "#", CW_OP_LEN },
	};

	if (take(p, "...")) {
		t->t = T_DOTS;
		return;
	}
	if (take(p, "::")) {
		t->t = T_COLONS;
		return;
	}
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (take(p, list[i].word)) {
			t->t = T_OPERATOR;
			t->op = list[i].op;
			return;
		}
	t->t = T_SINGLE;
	t->c = *p->at++;
}

struct cw_token cw_lex(struct cw_lexer *p)
{
	struct cw_token t = { .t = T_EOF };

	skip_blank(p);
	t.from = (uint32_t)(p->at - p->text);
	t.line = p->line;
	t.column = (int)(p->at - p->line_start) + 1;
	if (p->at < p->end) {
		if (isdigit((unsigned char)*p->at) ||
		    (*p->at == '.' && p->at + 1 < p->end && isdigit((unsigned char)p->at[1]))) {
			lex_number(p, &t);
		} else if (is_ident(p->at, p->end)) {
			lex_name(p, &t);
		} else if (*p->at == '"' || *p->at == '\'') {
			lex_string(p, &t);
		} else if (*p->at == '[' && long_level(p) >= 0) {
			skip_long(p, long_level(p), &t.text, &t.len);
			t.text = cw_arena_strndup(p->arena, t.text, t.len);
			t.t = T_STRING;
		} else {
			lex_operator(p, &t);
		}
	}
	t.to = (uint32_t)(p->at - p->text);
	return t;
}
