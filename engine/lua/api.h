/* api.h - everything a script can see, in one table: docs/LUA_API.md and the LuaLS stubs of scripts/meta come from it.
 *
 * Primitives (detect/primitive.h) and repository operations (store/repo.h) tell about themselves and are not repeated
 * here. tests/unit/test_api.c walks what a rule and a script really reach and compares: a function that is missing
 * here, or is here and does not exist, fails there. */
#ifndef CW_LUA_API_H
#define CW_LUA_API_H

struct cw_buf;
struct cw_err;

enum cw_api_world { CW_API_RULES = 1, CW_API_SCRIPTS = 2, CW_API_BOTH = 3 };

enum cw_api_kind {
	CW_API_GLOBAL = 0,        /* a global function, or a member of a global table: "json.encode" */
	CW_API_PLAIN,             /* the same, but as in Lua 5.1 or LuaJIT: editors know it already */
	CW_API_FIELD,             /* a field or method of a class: "cw.Tx.value" */
};

struct cw_api_item {
	enum cw_api_world world;
	enum cw_api_kind kind;
	const char *name;
	const char *type;         /* in the notation of LuaLS: "number?", "fun(value: any): string" */
	const char *doc;
};

/* Ends with name NULL. What belongs together stands together. */
extern const struct cw_api_item cw_api_items[];

/* The pages, made anew. docs/LUA_API.md: */
void cw_api_markdown(struct cw_buf *out);
/* LuaLS definition files by index: their names ("rules.lua", ...), NULL behind the last. */
const char *cw_api_stub(int index, struct cw_buf *out);

#endif
