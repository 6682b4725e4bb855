/* arena.h - memory of one request: allocated piece by piece, freed at once.
 *
 * Cleanups (close a handle, unref a connection) hang on the arena and run in reverse order when it is cleared or
 * freed, so error paths have nothing to forget. Not thread-safe. */
#ifndef CW_BASE_ARENA_H
#define CW_BASE_ARENA_H

#include <stddef.h>

struct cw_arena;
typedef void cw_cleanup_fn(void *arg);

struct cw_arena *cw_arena_new(void);
void cw_arena_free(struct cw_arena **arena);
/* Runs the cleanups, forgets all pieces, keeps the first block for the next request. */
void cw_arena_clear(struct cw_arena *arena);

void *cw_arena_alloc(struct cw_arena *arena, size_t size);   /* aligned to 16; never NULL */
void *cw_arena_zalloc(struct cw_arena *arena, size_t size);
char *cw_arena_strndup(struct cw_arena *arena, const char *text, size_t len);   /* adds a NUL */
void cw_arena_cleanup(struct cw_arena *arena, cw_cleanup_fn *fn, void *arg);
size_t cw_arena_bytes(const struct cw_arena *arena);         /* allocated from the system */

#endif
