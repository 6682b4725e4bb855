/* sandbox.h - what a script may see: private copies of the harmless libraries, limits on their results, no way out.
 *
 * Both worlds: assert error getmetatable ipairs next pairs pcall rawequal rawget rawset select setmetatable tonumber
 * tostring type unpack xpcall, and the frozen tables math, string, table, bit. Writing a global raises, so does
 * reading one that does not exist. Patterns run on the bounded matcher (lua/match.h); string results end at
 * CW_SANDBOX_STRING_RULES / _SCRIPTS bytes; tostring and format show no addresses. In the rules world nothing depends
 * on the process: pairs and next go in the order of the keys (numbers, strings, booleans), there is no random, weak
 * tables are refused. Scripts have pairs and next as they are, and math.random. */
#ifndef CW_LUA_SANDBOX_H
#define CW_LUA_SANDBOX_H

#include <stddef.h>

struct lua_State;

#define CW_SANDBOX_STRING_RULES ((size_t)1 << 20)      /* bytes that rep, format, concat, gsub may return */
#define CW_SANDBOX_STRING_SCRIPTS ((size_t)16 << 20)
#define CW_SANDBOX_VALUES 250                          /* values that unpack and byte may return */

/* Called by cw_vm_new with the libraries open, in protected mode: raises on failure. */
void cw_sandbox_open(struct lua_State *L);

/* Pushes a new environment for one file: empty, frozen, reads from the base. */
void cw_sandbox_env(struct lua_State *L);
/* Pushes the table of all globals that scripts can read. For engine code: it can be written. */
void cw_sandbox_base(struct lua_State *L);
/* Pops a value and makes it readable as global `name` in every environment of this VM, earlier ones too. */
void cw_sandbox_expose(struct lua_State *L, const char *name);
/* Pops a table and pushes a frozen view of it: reads pass through, writes raise, its metatable is hidden. Reading a
 * key that does not exist gives nil. Raises only on a wrong argument. */
void cw_sandbox_freeze(struct lua_State *L);

#endif
