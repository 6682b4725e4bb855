/* guardtext.c - the lexer that writes guards into Lua source.
 *
 * One pass over the tokens with the previous token and a stack of open blocks and brackets; the text is copied as it
 * is, guards go between tokens on the same line. What is a statement start is seen lexically: a keyword that can only
 * begin one, or a name (or `function`) after something that ends an expression or statement, outside of brackets. */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "lua/guard.h"

#define WEIGHT_MAX 16         /* calls and comparisons of straight-line code between two guards */
#define STATEMENT_MAX 2000    /* the same within one statement, which no guard can divide */

static const char guard_a[] = " if __cwG()~=0 then __cwS()end ";
static const char guard_b[] = " __cwG(); ";
static const char prologue[] = "local __cwG,__cwS=... return function(...)";

enum token {
	T_START, T_NAME, T_LITERAL, T_OP,
	T_LPAREN, T_RPAREN, T_LBRACKET, T_RBRACKET, T_LBRACE, T_RBRACE,
	T_SEMICOLON, T_CONCAT, T_DOTS, T_COMPARE, T_COLONS, T_LABEL_END, T_HEAD_END,
	/* keywords */
	T_AND, T_BREAK, T_DO, T_ELSE, T_ELSEIF, T_END, T_FALSE, T_FOR, T_FUNCTION, T_GOTO, T_IF, T_IN, T_LOCAL, T_NIL,
	T_NOT, T_OR, T_REPEAT, T_RETURN, T_THEN, T_TRUE, T_UNTIL, T_WHILE,
	T_EOF,
};

static const char *const keywords[] = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function",
	                                    "goto", "if", "in", "local", "nil", "not", "or", "repeat", "return",
	                                    "then", "true", "until", "while" };

/* Straight-line work since the last guard. */
struct work {
	bool concat;
	int weight;
};

enum frame_kind { F_CODE, F_FUNCTION, F_PAREN, F_BRACKET, F_BRACE };

struct frame {
	enum frame_kind kind;
	bool head;               /* of a function, before its parameters are over */
	bool last;               /* a `return` or `break` was seen: nothing may follow it in this block */
	bool return_open;        /* `return_at` may still get a guard */
	bool label;              /* the last statement was a label */
	size_t return_at;        /* place in `out` before the `return` */
	int operators;           /* of the statement so far */
	struct work before;      /* what was pending when the block began */
};

struct lexer {
	const char *text, *end, *at;
	const char *from;        /* start of the current token */
	int line;
	enum token prev;
	bool colons_open;        /* inside :: name :: */
	struct work pending;
	struct frame *frames;
	int nframes, room;
	const char *guard;
	struct cw_buf *out;
	const char *name;
	struct cw_err *err;
	bool failed;
};

static void fail(struct lexer *lx, const char *what, const char *token, size_t len)
{
	if (!lx->failed)
		cw_err_set(lx->err, CW_ERR_SCRIPT, "%s:%d: %s near '%.*s'", lx->name, lx->line, what,
		           (int)(len < 40 ? len : 40), token);
	lx->failed = true;
}

/* --- characters --- */

static bool is_ident(const char *p, const char *end)
{
	unsigned char c = p < end ? (unsigned char)*p : 0;

	return isalnum(c) || c == '_' || c >= 128;
}

/* A newline and its partner (CR LF, LF CR) count once. */
static const char *skip_newline(struct lexer *lx, const char *p)
{
	char c = *p++;

	if (p < lx->end && (*p == '\n' || *p == '\r') && *p != c)
		p++;
	lx->line++;
	return p;
}

/* At '[': the number of '=' if a long bracket opens here, else -1. */
static int long_level(const struct lexer *lx, const char *p)
{
	int level = 0;

	for (p++; p < lx->end && *p == '='; p++)
		level++;
	return p < lx->end && *p == '[' ? level : -1;
}

static const char *skip_long(struct lexer *lx, const char *p, int level)
{
	p += level + 2;
	while (p < lx->end) {
		if (*p == '\n' || *p == '\r') {
			p = skip_newline(lx, p);
		} else if (*p == ']') {
			const char *q = p + 1;

			while (q < lx->end && *q == '=')
				q++;
			if (q < lx->end && *q == ']' && q - p - 1 == level)
				return q + 1;
			p = q;
		} else {
			p++;
		}
	}
	return p;
}

static const char *skip_string(struct lexer *lx, const char *p)
{
	char quote = *p++;

	while (p < lx->end && *p != quote) {
		if (*p == '\\' && p + 1 < lx->end)
			p++;
		if (*p == '\n' || *p == '\r')
			p = skip_newline(lx, p);
		else
			p++;
	}
	return p < lx->end ? p + 1 : p;
}

static const char *skip_comment(struct lexer *lx, const char *p)
{
	if (p < lx->end && *p == '[') {
		int level = long_level(lx, p);

		if (level >= 0)
			return skip_long(lx, p, level);
	}
	while (p < lx->end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

static void skip_blank(struct lexer *lx)
{
	while (lx->at < lx->end) {
		const char *p = lx->at;

		if (*p == '\n' || *p == '\r')
			lx->at = skip_newline(lx, p);
		else if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
			lx->at++;
		else if (*p == '-' && p + 1 < lx->end && p[1] == '-')
			lx->at = skip_comment(lx, p + 2);
		else
			break;
	}
}

/* As LuaJIT reads numbers: all identifier characters, dots, and a sign after the exponent's letter. */
static void lex_number(struct lexer *lx)
{
	const char *p = lx->at;
	char exponent = p + 1 < lx->end && p[0] == '0' && (p[1] | 0x20) == 'x' ? 'p' : 'e';
	char c = *p++, last;

	while (is_ident(p, lx->end) || (p < lx->end && (*p == '.' || ((*p == '-' || *p == '+') &&
	                                                             (c | 0x20) == exponent))))
		c = *p++;
	last = (char)(c | 0x20);
	if (last == 'l' || last == 'i')
		fail(lx, "64-bit and imaginary number literals are not allowed", lx->at, (size_t)(p - lx->at));
	lx->at = p;
}

static enum token lex_name(struct lexer *lx)
{
	const char *from = lx->at;
	size_t len;

	while (is_ident(lx->at, lx->end))
		lx->at++;
	len = (size_t)(lx->at - from);
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strlen(keywords[i]) == len && memcmp(keywords[i], from, len) == 0)
			return (enum token)(T_AND + (int)i);
	if (len >= sizeof(CW_GUARD_PREFIX) - 1 && memcmp(from, CW_GUARD_PREFIX, sizeof(CW_GUARD_PREFIX) - 1) == 0)
		fail(lx, "names that start with \"" CW_GUARD_PREFIX "\" are reserved", from, len);
	return T_NAME;
}

static bool next_is(const struct lexer *lx, char c)
{
	return lx->at < lx->end && *lx->at == c;
}

static enum token lex_dots(struct lexer *lx)
{
	if (!next_is(lx, '.'))
		return T_OP;
	lx->at++;
	if (!next_is(lx, '.'))
		return T_CONCAT;
	lx->at++;
	return T_DOTS;
}

static enum token lex_operator(struct lexer *lx)
{
	char c = *lx->at++;

	switch (c) {
	case '(': return T_LPAREN;
	case ')': return T_RPAREN;
	case ']': return T_RBRACKET;
	case '{': return T_LBRACE;
	case '}': return T_RBRACE;
	case ';': return T_SEMICOLON;
	case '[': return T_LBRACKET;
	case '.': return lex_dots(lx);
	case ':':
		if (!next_is(lx, ':'))
			return T_OP;
		lx->at++;
		return T_COLONS;
	case '<':
	case '>':
		if (next_is(lx, '='))
			lx->at++;
		return T_COMPARE;
	case '=':
	case '~':
		if (next_is(lx, '='))
			lx->at++;
		return T_OP;
	default:
		return T_OP;
	}
}

/* Leaves the token between lx->from and lx->at. */
static enum token lex(struct lexer *lx)
{
	int level;

	skip_blank(lx);
	lx->from = lx->at;
	if (lx->at >= lx->end)
		return T_EOF;
	if (isdigit((unsigned char)*lx->at) ||
	    (*lx->at == '.' && lx->at + 1 < lx->end && isdigit((unsigned char)lx->at[1]))) {
		lex_number(lx);
		return T_LITERAL;
	}
	if (is_ident(lx->at, lx->end))
		return lex_name(lx);
	if (*lx->at == '"' || *lx->at == '\'') {
		lx->at = skip_string(lx, lx->at);
		return T_LITERAL;
	}
	if (*lx->at == '[' && (level = long_level(lx, lx->at)) >= 0) {
		lx->at = skip_long(lx, lx->at, level);
		return T_LITERAL;
	}
	return lex_operator(lx);
}

/* The token after the current one, without moving. */
static enum token peek(const struct lexer *lx)
{
	struct lexer ahead = *lx;

	ahead.failed = true;     /* faults are reported when it is read for good */
	return lex(&ahead);
}

/* --- blocks --- */

static struct frame *top(struct lexer *lx)
{
	return &lx->frames[lx->nframes - 1];
}

static bool in_code(struct lexer *lx)
{
	const struct frame *f = top(lx);

	return (f->kind == F_CODE || f->kind == F_FUNCTION) && !f->head;
}

static void push(struct lexer *lx, enum frame_kind kind)
{
	if (lx->nframes == lx->room) {
		lx->room = lx->room > 0 ? 2 * lx->room : 64;
		lx->frames = cw_realloc(lx->frames, (size_t)lx->room * sizeof(*lx->frames));
	}
	lx->frames[lx->nframes++] = (struct frame){ .kind = kind, .before = lx->pending };
}

/* The frame at the bottom stays: unbalanced text ends in an empty stack otherwise. */
static void pop(struct lexer *lx)
{
	if (lx->nframes > 1)
		lx->nframes--;
}

/* A block may not run at all, so what was pending before it still is; a function body is not run here. */
static void pop_block(struct lexer *lx)
{
	const struct frame f = *top(lx);

	if (f.kind == F_FUNCTION) {
		lx->pending = f.before;
	} else {
		lx->pending.concat |= f.before.concat;
		if (lx->pending.weight < f.before.weight)
			lx->pending.weight = f.before.weight;
	}
	pop(lx);
}

/* --- guards --- */

static void put_guard(struct lexer *lx)
{
	cw_buf_puts(lx->out, lx->guard);
	lx->pending = (struct work){ 0 };
}

static bool is_due(const struct lexer *lx)
{
	return lx->pending.concat || lx->pending.weight >= WEIGHT_MAX;
}

/* What follows a `return` cannot be guarded behind it, so the guard goes before it. */
static void guard_return(struct lexer *lx, struct frame *f)
{
	struct cw_buf *out = lx->out;
	size_t len = strlen(lx->guard);

	cw_buf_reserve(out, len);
	memmove(out->data + f->return_at + len, out->data + f->return_at, out->len - f->return_at + 1);
	memcpy(out->data + f->return_at, lx->guard, len);
	out->len += len;
	f->return_open = false;
	lx->pending = (struct work){ 0 };
}

static struct frame *code_frame(struct lexer *lx)
{
	int i = lx->nframes - 1;

	while (i > 0 && lx->frames[i].kind != F_CODE && lx->frames[i].kind != F_FUNCTION)
		i--;
	return &lx->frames[i];
}

static void add_work(struct lexer *lx, bool concat)
{
	struct frame *f = code_frame(lx);

	if (concat)
		lx->pending.concat = true;
	else
		lx->pending.weight++;
	if (++f->operators > STATEMENT_MAX)
		fail(lx, "too many operators and calls in one statement", lx->from, (size_t)(lx->at - lx->from));
	if (f->return_open && is_due(lx))
		guard_return(lx, f);
}

/* --- statements --- */

/* Can the token end an expression or a statement, or open a block? */
static bool is_boundary(enum token t)
{
	switch (t) {
	case T_START: case T_NAME: case T_LITERAL: case T_NIL: case T_TRUE: case T_FALSE: case T_RPAREN:
	case T_RBRACKET: case T_RBRACE: case T_DOTS: case T_END: case T_SEMICOLON: case T_LABEL_END: case T_HEAD_END:
	case T_THEN: case T_ELSE: case T_DO: case T_REPEAT: case T_BREAK:
		return true;
	default:
		return false;
	}
}

/* `goto` is a name unless a name follows it and a statement can start here. */
static enum token resolve_goto(struct lexer *lx)
{
	return is_boundary(lx->prev) && in_code(lx) && peek(lx) == T_NAME ? T_GOTO : T_NAME;
}

static bool starts_statement(struct lexer *lx, enum token t)
{
	if (!in_code(lx))
		return false;
	switch (t) {
	case T_LOCAL: case T_IF: case T_WHILE: case T_FOR: case T_REPEAT: case T_RETURN: case T_BREAK: case T_GOTO:
		return true;
	case T_COLONS:
		return !lx->colons_open;
	case T_DO:       /* a block of its own; after `while` and `for` the previous token is an expression's end too */
		return false;
	case T_FUNCTION: case T_NAME: case T_LPAREN:
		/* `f(x)` and `a b`: a parenthesis after a name is a call, so it only starts a statement after these. */
		if (t == T_LPAREN && lx->prev != T_SEMICOLON && lx->prev != T_THEN && lx->prev != T_ELSE &&
		    lx->prev != T_DO && lx->prev != T_REPEAT && lx->prev != T_START && lx->prev != T_HEAD_END)
			return false;
		return !lx->colons_open && is_boundary(lx->prev);
	default:
		return false;
	}
}

static void begin_statement(struct lexer *lx, enum token t)
{
	struct frame *f = top(lx);

	if (t == T_GOTO || (is_due(lx) && !f->last))
		put_guard(lx);
	f->operators = 0;
	f->label = false;
	if (t == T_RETURN || t == T_BREAK) {
		f->last = true;
		f->return_open = t == T_RETURN;
		f->return_at = lx->out->len;
	}
}

/* Before `end`, `else`, `elseif`, `until`: a guard if one is due and the block may go on here. */
static void end_block(struct lexer *lx)
{
	const struct frame *f = top(lx);

	if (is_due(lx) && in_code(lx) && !f->last && !f->label)
		put_guard(lx);
}

/* What a token does before it is copied. */
static void before_token(struct lexer *lx, enum token t)
{
	if (t != T_SEMICOLON && t != T_END && t != T_ELSE && t != T_ELSEIF && t != T_UNTIL && t != T_EOF &&
	    !starts_statement(lx, t))
		top(lx)->label = top(lx)->label && lx->colons_open;
	if (starts_statement(lx, t))
		begin_statement(lx, t);
	if (t == T_END || t == T_ELSE || t == T_ELSEIF || t == T_UNTIL)
		end_block(lx);
	if (t == T_LPAREN || t == T_COMPARE)
		add_work(lx, false);
	if (t == T_CONCAT)
		add_work(lx, true);
	if ((t == T_LITERAL || t == T_LBRACE) && (lx->prev == T_NAME || lx->prev == T_RPAREN || lx->prev == T_RBRACKET))
		add_work(lx, false);
}

static enum token close_paren(struct lexer *lx)
{
	pop(lx);
	if (top(lx)->kind != F_FUNCTION || !top(lx)->head)
		return T_RPAREN;
	top(lx)->head = false;
	put_guard(lx);
	return T_HEAD_END;
}

static void open_code(struct lexer *lx, bool guarded)
{
	push(lx, F_CODE);
	if (guarded)
		put_guard(lx);
}

/* What a token does once it is copied; returns what the next one sees as its predecessor. */
static enum token after_token(struct lexer *lx, enum token t)
{
	switch (t) {
	case T_DO:
	case T_REPEAT:
		open_code(lx, true);
		break;
	case T_THEN:
		open_code(lx, false);
		break;
	case T_ELSE:
		pop_block(lx);
		open_code(lx, false);
		break;
	case T_ELSEIF:
	case T_END:
	case T_UNTIL:
		pop_block(lx);
		break;
	case T_FUNCTION:
		push(lx, F_FUNCTION);
		top(lx)->head = true;
		break;
	case T_LPAREN:
		push(lx, F_PAREN);
		break;
	case T_LBRACKET:
		push(lx, F_BRACKET);
		break;
	case T_LBRACE:
		push(lx, F_BRACE);
		break;
	case T_RPAREN:
		return close_paren(lx);
	case T_RBRACKET:
	case T_RBRACE:
		pop(lx);
		break;
	case T_COLONS:
		lx->colons_open = !lx->colons_open;
		if (lx->colons_open)
			break;
		top(lx)->label = true;
		return T_LABEL_END;
	default:
		break;
	}
	return t;
}

/* A BOM is dropped and a first line with # becomes a comment, so that line numbers stay. */
static void skip_preamble(struct lexer *lx)
{
	if (lx->end - lx->at >= 3 && memcmp(lx->at, "\xef\xbb\xbf", 3) == 0)
		lx->at += 3;
	if (lx->at < lx->end && *lx->at == '#') {
		const char *from = lx->at;

		while (lx->at < lx->end && *lx->at != '\n' && *lx->at != '\r')
			lx->at++;
		cw_buf_puts(lx->out, "--");
		cw_buf_add(lx->out, from, (size_t)(lx->at - from));
	}
}

int cw_guard_rewrite(const char *text, size_t len, bool jit, const char *name, struct cw_buf *out, struct cw_err *err)
{
	struct lexer lx = { .text = text, .at = text, .end = text + len, .line = 1, .prev = T_START,
		                .guard = jit ? guard_a : guard_b, .out = out, .name = name, .err = err };
	enum token t;

	cw_buf_puts(out, prologue);
	push(&lx, F_FUNCTION);
	put_guard(&lx);
	skip_preamble(&lx);
	do {
		const char *copied = lx.at;

		t = lex(&lx);
		if (t == T_GOTO)
			t = resolve_goto(&lx);
		cw_buf_add(out, copied, (size_t)(lx.from - copied));
		before_token(&lx, t);
		cw_buf_add(out, lx.from, (size_t)(lx.at - lx.from));
		lx.prev = after_token(&lx, t);
	} while (t != T_EOF && !lx.failed);
	cw_buf_puts(out, "\nend");
	cw_free(lx.frames);
	return lx.failed ? -1 : 0;
}
