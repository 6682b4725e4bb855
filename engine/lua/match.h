/* match.h - Lua patterns with a bound: the same language as string.find and string.match, another matcher.
 *
 * Backtracking can take time exponential in the pattern, and nothing stops a C function from outside; this one counts
 * ticks (one for 32 steps) and looks at the stop flag with them, so it ends with the budget. Recursion is limited to
 * 200 levels. All are lua_CFunctions. */
#ifndef CW_LUA_MATCH_H
#define CW_LUA_MATCH_H

struct lua_State;

/* find(s, pattern [, init [, plain]]) -> first, last, captures ... | nil */
int cw_match_find(struct lua_State *L);
/* match(s, pattern [, init]) -> captures, or the whole match | nil */
int cw_match_match(struct lua_State *L);
/* search(s, pattern, init [, literal]) -> first, last, captures or the whole match | nil. `literal`: a leading '^' is no
 * anchor. What gmatch and gsub are made of. */
int cw_match_search(struct lua_State *L);

#endif
