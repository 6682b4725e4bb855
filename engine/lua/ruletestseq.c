/* ruletestseq.c - lists of what tests give: nested ones made flat, and seq { ... }, the same again and again. */
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "lua/rule_internal.h"

bool cw_ruletest_is_spec(const struct cw_rules *rules, lua_State *L, int index)
{
	bool is;

	if (lua_type(L, index) != LUA_TTABLE || lua_getmetatable(L, index) == 0)
		return false;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.spec);
	is = lua_rawequal(L, -1, -2) != 0;
	lua_pop(L, 2);
	return is;
}

void cw_ruletest_flatten(const struct cw_rules *rules, lua_State *L, int list, int depth)
{
	int n = lua_istable(L, -1) && !cw_ruletest_is_spec(rules, L, -1) && depth < 8 ? (int)lua_objlen(L, -1) : -1;

	luaL_checkstack(L, 8, "transactions of a test");
	if (n < 0 || (n == 0 && depth > 0)) {
		lua_rawseti(L, list, (int)lua_objlen(L, list) + 1);
		return;
	}
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		cw_ruletest_flatten(rules, L, list, depth + 1);
	}
	lua_pop(L, 1);
}

/* A copy of the table on top, marks and all; replaces it. */
static void copy_spec(lua_State *L)
{
	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, -3) != 0) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, -4);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, cw_rules_of(L)->refs.spec);
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}

/* seq { times = 3, pause = "1h", tx { ... }, txs { ... } }: the same again and again, as a list. */
int cw_ruletest_seq(lua_State *L)
{
	static const char *const keys[] = { "times", "pause", NULL };
	const struct cw_rules *rules = cw_rules_of(L);
	int times, n;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_pushliteral(L, "times");
	lua_rawget(L, 1);
	times = lua_isnil(L, -1) ? 1 : (int)lua_tointeger(L, -1);
	if (times < 1 || times > 1000)
		return luaL_error(L, "seq: \"times\" must be a number from 1 to 1000");
	lua_pushliteral(L, "pause");
	lua_rawget(L, 1);                 /* at 3 */
	lua_newtable(L);                  /* at 4: what is repeated */
	lua_pushnil(L);
	while (lua_next(L, 1) != 0) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;

		if (key != NULL && strcmp(key, "times") != 0 && strcmp(key, "pause") != 0)
			return luaL_error(L, "seq: unknown key \"%s\"%s", key, cw_rule_suggest(key, keys));
		lua_pop(L, 1);
	}
	for (int i = 1, end = (int)lua_objlen(L, 1); i <= end; i++) {
		lua_rawgeti(L, 1, i);
		cw_ruletest_flatten(rules, L, 4, 0);
	}
	n = (int)lua_objlen(L, 4);
	lua_newtable(L);                  /* at 5 */
	for (int round = 0; round < times; round++)
		for (int i = 1; i <= n; i++) {
			lua_rawgeti(L, 4, i);
			if (!cw_ruletest_is_spec(rules, L, -1))
				return luaL_error(L, "seq: holds tx { ... }, txs { ... } and lists of them only");
			if (round > 0 && i == 1 && !lua_isnil(L, 3)) {
				copy_spec(L);
				lua_pushvalue(L, 3);
				lua_setfield(L, -2, "after");
			}
			lua_rawseti(L, 5, round * n + i);
		}
	return 1;
}
