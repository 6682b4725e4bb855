/* embed.h - the text of a Lua file as part of the program. Paths start at the top of the repository. */
#ifndef CW_LUA_EMBED_H
#define CW_LUA_EMBED_H

/* Declares `symbol` and `symbol_end`. */
#define CW_EMBED(symbol, path) \
	__asm__(".section .rodata\n.global " #symbol "\n.global " #symbol "_end\n" #symbol ":\n.incbin \"" path "\"\n" \
	        #symbol "_end:\n.byte 0\n.previous\n"); \
	extern const char symbol[], symbol##_end[]

#endif
