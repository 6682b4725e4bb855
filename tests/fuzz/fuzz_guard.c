/* fuzz_guard.c - the lexer that writes guards, on arbitrary text: it ends and reads nothing beyond; what compiled
 * before compiles after, in both modes. Seeds: tests/fuzz/corpus/guard. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "lua/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool compiles(lua_State *L, const char *text, size_t len)
{
	bool ok = luaL_loadbufferx(L, text, len, "=fuzz", "t") == 0;

	lua_settop(L, 0);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;
	/* A copy without a byte behind it, so that a read past the end is seen. */
	char *text = malloc(size > 0 ? size : 1);
	bool before;

	if (L == NULL)
		L = luaL_newstate();
	for (size_t i = 0; i < size; i++)
		text[i] = (char)data[i];
	before = compiles(L, text, size);
	for (int jit = 0; jit < 2; jit++) {
		struct cw_buf out = CW_BUF_INIT;
		struct cw_err err = { .code = CW_OK };

		if (cw_guard_rewrite(text, size, jit != 0, "fuzz", &out, &err) == 0) {
			bool after = compiles(L, out.data, out.len);

			/* Texts near LuaJIT's own limits may fail with guards; they are large. */
			if (before && !after && size < 4096)
				abort();
		} else if (err.code != CW_ERR_SCRIPT) {
			abort();
		}
		cw_buf_release(&out);
	}
	free(text);
	return 0;
}
