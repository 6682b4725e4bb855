/* embed.h - the text of a file (Lua, SQL) as part of the program. Paths start at the top of the repository; the object
 * must depend on the file in the Makefile. */
#ifndef CW_BASE_EMBED_H
#define CW_BASE_EMBED_H

#include <stddef.h>

/* Declares the text `symbol` (a NUL follows it) and its length `symbol_len`. */
#define CW_EMBED(symbol, path) \
	__asm__(".section .rodata\n.global " #symbol "\n.global " #symbol "_len\n" \
	        #symbol ":\n.incbin \"" path "\"\n0:\n.byte 0\n.balign 8\n" \
	        #symbol "_len:\n.quad 0b - " #symbol "\n.previous\n"); \
	extern const char symbol[]; \
	extern const size_t symbol##_len

#endif
