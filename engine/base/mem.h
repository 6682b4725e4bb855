/* mem.h - memory that does not fail, and memory that may.
 *
 * cw_alloc and friends never return NULL: the sizes are ours and small. When the system refuses, a reserve that was set
 * aside at start is given back to it and the allocation tried again, so that what is under way can end; from then on new
 * work is turned away (cw_mem_short) until the reserve could be taken again. Only a second refusal stops the process.
 * Sizes that come from outside go through cw_try_alloc and a limit. */
#ifndef CW_BASE_MEM_H
#define CW_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Never return NULL; a size of 0 gives a pointer that may be freed. */
void *cw_alloc(size_t size);
void *cw_zalloc(size_t size);
void *cw_realloc(void *ptr, size_t size);
char *cw_strdup(const char *text);
void *cw_memdup(const void *ptr, size_t size);

/* May return NULL. */
void *cw_try_alloc(size_t size);

void cw_free(void *ptr);

/* Sets `bytes` aside (0: none, as at first); an earlier reserve is given back. Call it before there are threads. */
void cw_mem_keep_reserve(size_t bytes);
/* An allocation of `wanted` bytes was refused: gives the reserve back, if it is there, and says so on descriptor 2. For
 * allocators that do their own second try. Any thread. */
void cw_mem_relieve(size_t wanted);
/* The reserve is gone and cannot be had again yet: turn new work away. Tries to take it, so ask once a request. */
bool cw_mem_short(void);
/* Allocations that were refused at the first try, since the start of the process. */
uint64_t cw_mem_refused(void);

#endif
