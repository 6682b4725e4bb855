#include "lua/match.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "lua/guard.h"

#define CAPTURES_MAX 32
#define DEPTH_MAX 200
#define STEPS_A_TICK 32

enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct capture {
	const char *from;
	ptrdiff_t len;           /* or one of the enum */
};

struct matcher {
	lua_State *L;
	const char *text, *text_end, *pattern_end;
	int depth, ncaptures;
	unsigned steps;
	struct capture captures[CAPTURES_MAX];
};

static const char *match_here(struct matcher *m, const char *s, const char *p);

static _Noreturn void refuse(struct matcher *m, const char *what)
{
	luaL_error(m->L, "%s", what);
	abort();                 /* luaL_error does not return */
}

static void step(struct matcher *m)
{
	if (++m->steps % STEPS_A_TICK == 0 && cw_guard_work(1))
		cw_guard_raise(m->L);
}

/* --- single characters --- */

/* Behind the class that starts at `p`: a character, an escape, or a set. */
static const char *class_end(struct matcher *m, const char *p)
{
	if (*p == '%') {
		if (p + 1 >= m->pattern_end)
			refuse(m, "malformed pattern (ends with '%')");
		return p + 2;
	}
	if (*p++ != '[')
		return p;
	if (p < m->pattern_end && *p == '^')
		p++;
	do {                     /* the first ']' stands for itself */
		if (p >= m->pattern_end)
			refuse(m, "malformed pattern (missing ']')");
		if (*p++ == '%' && p < m->pattern_end)
			p++;
	} while (p >= m->pattern_end || *p != ']');
	return p + 1;
}

static bool in_class(unsigned char c, unsigned char name)
{
	bool yes;

	switch (name | 0x20) {
	case 'a': yes = isalpha(c) != 0; break;
	case 'c': yes = iscntrl(c) != 0; break;
	case 'd': yes = isdigit(c) != 0; break;
	case 'g': yes = isgraph(c) != 0; break;
	case 'l': yes = islower(c) != 0; break;
	case 'p': yes = ispunct(c) != 0; break;
	case 's': yes = isspace(c) != 0; break;
	case 'u': yes = isupper(c) != 0; break;
	case 'w': yes = isalnum(c) != 0; break;
	case 'x': yes = isxdigit(c) != 0; break;
	case 'z': yes = c == 0; break;
	default: return name == c;
	}
	return isupper(name) ? !yes : yes;
}

/* `set` at '[', `end` at its ']'. */
static bool in_set(struct matcher *m, unsigned char c, const char *set, const char *end)
{
	bool found = true;

	if (*++set == '^') {
		found = false;
		set++;
	}
	for (; set < end; set++) {
		step(m);
		if (*set == '%') {
			if (in_class(c, (unsigned char)*++set))
				return found;
		} else if (set + 2 < end && set[1] == '-') {
			if ((unsigned char)set[0] <= c && c <= (unsigned char)set[2])
				return found;
			set += 2;
		} else if ((unsigned char)*set == c) {
			return found;
		}
	}
	return !found;
}

static bool match_single(struct matcher *m, const char *s, const char *p, const char *p_end)
{
	unsigned char c;

	step(m);
	if (s >= m->text_end)
		return false;
	c = (unsigned char)*s;   /* NOLINT(clang-analyzer-core.NullDereference): no text is NULL */
	switch (*p) {
	case '.': return true;
	case '%': return in_class(c, (unsigned char)p[1]);
	case '[': return in_set(m, c, p, p_end - 1);
	default: return (unsigned char)*p == c;
	}
}

/* --- items --- */

static const char *match_balance(struct matcher *m, const char *s, const char *p)
{
	int open = 1;

	if (p + 1 >= m->pattern_end)
		refuse(m, "malformed pattern (missing arguments to '%b')");
	if (s >= m->text_end || *s != p[0])
		return NULL;
	for (s++; s < m->text_end; s++) {
		step(m);
		if (*s == p[1]) {
			if (--open == 0)
				return s + 1;
		} else if (*s == p[0]) {
			open++;
		}
	}
	return NULL;
}

/* %f[set]: between a character outside the set and one inside; both ends of the text count as '\0'. */
static const char *match_frontier(struct matcher *m, const char *s, const char *p)
{
	const char *end;
	unsigned char before = s == m->text ? 0 : (unsigned char)s[-1];
	unsigned char here = s < m->text_end ? (unsigned char)*s : 0;

	if (p >= m->pattern_end || *p != '[')
		refuse(m, "missing '[' after '%f' in pattern");
	end = class_end(m, p);
	if (in_set(m, before, p, end - 1) || !in_set(m, here, p, end - 1))
		return NULL;
	return match_here(m, s, end);
}

static const char *match_again(struct matcher *m, const char *s, int which)
{
	const struct capture *c = &m->captures[which];

	if (which < 0 || which >= m->ncaptures || c->len == CAPTURE_OPEN)
		refuse(m, "invalid capture index");
	if (c->len < 0 || m->text_end - s < c->len)
		return c->len < 0 ? s : NULL;
	for (ptrdiff_t i = 0; i < c->len; i += STEPS_A_TICK)
		step(m);
	return memcmp(c->from, s, (size_t)c->len) == 0 ? s + c->len : NULL;
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t kind)
{
	const char *end;

	if (m->ncaptures >= CAPTURES_MAX)
		refuse(m, "too many captures");
	m->captures[m->ncaptures++] = (struct capture){ s, kind };
	end = match_here(m, s, p);
	if (end == NULL)
		m->ncaptures--;
	return end;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p)
{
	int i = m->ncaptures - 1;
	const char *end;

	while (i >= 0 && m->captures[i].len != CAPTURE_OPEN)
		i--;
	if (i < 0)
		refuse(m, "invalid pattern capture");
	m->captures[i].len = s - m->captures[i].from;
	end = match_here(m, s, p);
	if (end == NULL)
		m->captures[i].len = CAPTURE_OPEN;
	return end;
}

/* As many as possible first (`*`, `+`), then fewer. */
static const char *match_most(struct matcher *m, const char *s, const char *p, const char *p_end)
{
	ptrdiff_t n = 0;

	while (match_single(m, s + n, p, p_end))
		n++;
	for (; n >= 0; n--) {
		const char *end = match_here(m, s + n, p_end + 1);

		if (end != NULL)
			return end;
	}
	return NULL;
}

static const char *match_least(struct matcher *m, const char *s, const char *p, const char *p_end)
{
	for (;; s++) {
		const char *end = match_here(m, s, p_end + 1);

		if (end != NULL)
			return end;
		if (!match_single(m, s, p, p_end))
			return NULL;
	}
}

/* Items that are no single character; *handled is false for those that are. */
static const char *match_special(struct matcher *m, const char *s, const char *p, bool *handled)
{
	*handled = true;
	if (*p == '(' && p + 1 < m->pattern_end && p[1] == ')')
		return open_capture(m, s, p + 2, CAPTURE_POSITION);
	if (*p == '(')
		return open_capture(m, s, p + 1, CAPTURE_OPEN);
	if (*p == ')')
		return close_capture(m, s, p + 1);
	if (*p == '$' && p + 1 == m->pattern_end)
		return s == m->text_end ? s : NULL;
	if (*p == '%' && p + 1 < m->pattern_end) {
		if (p[1] == 'b') {
			s = match_balance(m, s, p + 2);
			return s != NULL ? match_here(m, s, p + 4) : NULL;
		}
		if (p[1] == 'f')
			return match_frontier(m, s, p + 2);
		if (isdigit((unsigned char)p[1])) {
			s = match_again(m, s, p[1] - '1');
			return s != NULL ? match_here(m, s, p + 2) : NULL;
		}
	}
	*handled = false;
	return NULL;
}

static const char *match_items(struct matcher *m, const char *s, const char *p)
{
	while (p < m->pattern_end) {
		bool special;
		const char *end = match_special(m, s, p, &special);
		const char *p_end;

		if (special)
			return end;
		p_end = class_end(m, p);
		switch (p_end < m->pattern_end ? *p_end : '\0') {
		case '?':
			if (match_single(m, s, p, p_end) && (end = match_here(m, s + 1, p_end + 1)) != NULL)
				return end;
			p = p_end + 1;
			break;
		case '*':
			return match_most(m, s, p, p_end);
		case '+':
			return match_single(m, s, p, p_end) ? match_most(m, s + 1, p, p_end) : NULL;
		case '-':
			return match_least(m, s, p, p_end);
		default:
			if (!match_single(m, s, p, p_end))
				return NULL;
			s++;
			p = p_end;
		}
	}
	return s;
}

/* The rest of the pattern at `s`: where the match ends, or NULL. */
static const char *match_here(struct matcher *m, const char *s, const char *p)
{
	const char *end;

	step(m);
	if (++m->depth > DEPTH_MAX)
		refuse(m, "pattern too complex");
	end = match_items(m, s, p);
	m->depth--;
	return end;
}

/* --- Lua functions --- */

static void push_capture(struct matcher *m, int i)
{
	const struct capture *c = &m->captures[i];

	if (c->len == CAPTURE_OPEN)
		refuse(m, "unfinished capture");
	if (c->len == CAPTURE_POSITION)
		lua_pushinteger(m->L, c->from - m->text + 1);
	else
		lua_pushlstring(m->L, c->from, (size_t)c->len);
}

/* Pushes the captures, or the whole match where there are none and it is wanted. */
static int push_captures(struct matcher *m, const char *from, const char *end, bool whole)
{
	if (m->ncaptures == 0 && whole) {
		lua_pushlstring(m->L, from, (size_t)(end - from));
		return 1;
	}
	luaL_checkstack(m->L, m->ncaptures, "too many captures");
	for (int i = 0; i < m->ncaptures; i++)
		push_capture(m, i);
	return m->ncaptures;
}

/* The first match at or after `from`. */
static const char *search(struct matcher *m, const char **from, const char *p, bool anchored)
{
	size_t last = anchored ? 0 : (size_t)(m->text_end - *from);

	for (size_t i = 0; i <= last; i++) {
		const char *end;

		m->ncaptures = 0;
		m->depth = 0;
		end = match_here(m, *from + i, p);
		if (end != NULL) {
			*from += i;
			return end;
		}
	}
	return NULL;
}

/* The place that the optional argument `init` means; the end if it is behind that. */
static const char *start_at(lua_State *L, int arg, const char *text, size_t len)
{
	double init = luaL_optnumber(L, arg, 1);

	if (init < 0)
		init += (double)len + 1;
	if (!(init >= 1))
		init = 1;
	return init - 1 <= (double)len ? text + (size_t)(init - 1) : text + len;
}

static bool is_plain(const char *pattern, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr("^$*+?.([%-", pattern[i]) != NULL && pattern[i] != '\0')
			return false;
	return true;
}

static int find_plain(lua_State *L, const char *from, const char *text, size_t len, const char *what, size_t what_len)
{
	const char *hit;

	if (cw_guard_work((int64_t)(len / 1024) + 1))
		return cw_guard_raise(L);
	hit = memmem(from, len - (size_t)(from - text), what, what_len);
	if (hit == NULL) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushinteger(L, hit - text + 1);
	lua_pushinteger(L, hit - text + (ptrdiff_t)what_len);
	return 2;
}

enum mode { MODE_FIND, MODE_MATCH, MODE_SEARCH };

static int run(lua_State *L, enum mode mode)
{
	size_t len, pattern_len;
	const char *text = luaL_checklstring(L, 1, &len), *pattern = luaL_checklstring(L, 2, &pattern_len);
	const char *from = start_at(L, 3, text, len), *end;
	bool option = lua_toboolean(L, 4);
	struct matcher m = { .L = L, .text = text, .text_end = text + len, .pattern_end = pattern + pattern_len };
	bool anchored = pattern_len > 0 && *pattern == '^' && !(mode == MODE_SEARCH && option);
	int n = 0;

	if (mode == MODE_FIND && (option || is_plain(pattern, pattern_len)))
		return find_plain(L, from, text, len, pattern, pattern_len);
	end = search(&m, &from, pattern + anchored, anchored);
	if (end == NULL) {
		lua_pushnil(L);
		return 1;
	}
	if (mode != MODE_MATCH) {
		lua_pushinteger(L, from - text + 1);
		lua_pushinteger(L, end - text);
		n = 2;
	}
	return n + push_captures(&m, from, end, mode != MODE_FIND);
}

int cw_match_find(lua_State *L)
{
	return run(L, MODE_FIND);
}

int cw_match_match(lua_State *L)
{
	return run(L, MODE_MATCH);
}

int cw_match_search(lua_State *L)
{
	return run(L, MODE_SEARCH);
}
