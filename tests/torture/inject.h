/* inject.h - what torture.lua and the preloaded library share: one page file, mapped by both. */
#ifndef CW_TORTURE_INJECT_H
#define CW_TORTURE_INJECT_H

#include <stdint.h>

#define INJECT_MAGIC 0x746f7274u
#define INJECT_FOUND 16384       /* a power of two */
#define INJECT_STACK 16
#define INJECT_MODULES 48

enum inject_mode { INJECT_OFF, INJECT_COUNT, INJECT_FAIL };
enum inject_kind { INJECT_ALLOC = 1, INJECT_SYS = 2, INJECT_PQ = 4 };
enum inject_role { INJECT_MAIN = 1, INJECT_CHILDREN = 2 };   /* the first process; what it forks, and so on */

/* A place that can fail: one call, reached by one chain of callers. */
struct inject_place {
	uint64_t hash;               /* of kind, function and stack; 0: free */
	uint32_t kind, passed;
	uint64_t stack[INJECT_STACK];   /* module << 48 | offset, the caller first */
	char name[24];
};

struct inject {
	uint32_t magic;
	volatile uint32_t mode, kinds, roles, depth;
	volatile uint64_t want;      /* INJECT_FAIL: the place that fails, once */
	volatile uint32_t skip;      /* after so many passes */
	volatile uint32_t fired;
	volatile uint64_t passed;    /* points passed in all */
	volatile uint32_t lock, nplaces, nmodules;
	char modules[INJECT_MODULES][256];
	struct inject_place places[INJECT_FOUND];
};

#endif
