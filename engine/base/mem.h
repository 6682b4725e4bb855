/* mem.h - memory that does not fail, and memory that may.
 *
 * cw_alloc and friends stop the process when the system has no memory: the sizes are ours and small.
 * Sizes that come from outside go through cw_try_alloc and a limit. */
#ifndef CW_BASE_MEM_H
#define CW_BASE_MEM_H

#include <stddef.h>

/* Never return NULL; a size of 0 gives a pointer that may be freed. */
void *cw_alloc(size_t size);
void *cw_zalloc(size_t size);
void *cw_realloc(void *ptr, size_t size);
char *cw_strdup(const char *text);
void *cw_memdup(const void *ptr, size_t size);

/* May return NULL. */
void *cw_try_alloc(size_t size);

void cw_free(void *ptr);

#endif
