#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK_BYTES 4000   /* first block and least size of the others: a small request fits into one */

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(16) char bytes[];
};

struct cleanup {
	struct cleanup *next;
	cw_cleanup_fn *fn;
	void *arg;
};

struct cw_arena {
	struct block *head;     /* newest first; the last one is the first block */
	struct cleanup *cleanups;
	size_t bytes;
};

static struct block *block_new(size_t size)
{
	struct block *b = cw_alloc(sizeof(*b) + size);

	b->next = NULL;
	b->used = 0;
	b->size = size;
	return b;
}

struct cw_arena *cw_arena_new(void)
{
	struct cw_arena *arena = cw_zalloc(sizeof(*arena));

	arena->head = block_new(BLOCK_BYTES);
	arena->bytes = BLOCK_BYTES;
	return arena;
}

void cw_arena_clear(struct cw_arena *arena)
{
	while (arena->cleanups != NULL) {
		struct cleanup *c = arena->cleanups;

		arena->cleanups = c->next;
		c->fn(c->arg);
	}
	while (arena->head->next != NULL) {
		struct block *b = arena->head;

		arena->head = b->next;
		arena->bytes -= b->size;
		cw_free(b);
	}
	arena->head->used = 0;
}

void cw_arena_free(struct cw_arena **arena)
{
	struct cw_arena *a = *arena;

	*arena = NULL;
	if (a == NULL)
		return;
	cw_arena_clear(a);
	cw_free(a->head);
	cw_free(a);
}

void *cw_arena_alloc(struct cw_arena *arena, size_t size)
{
	struct block *b = arena->head;
	size_t need = (size + 15) & ~(size_t)15;
	void *ptr;

	if (b->size - b->used < need) {
		b = block_new(need > BLOCK_BYTES ? need : BLOCK_BYTES);
		b->next = arena->head;
		arena->head = b;
		arena->bytes += b->size;
	}
	ptr = b->bytes + b->used;
	b->used += need;
	return ptr;
}

void *cw_arena_zalloc(struct cw_arena *arena, size_t size)
{
	return memset(cw_arena_alloc(arena, size), 0, size);
}

char *cw_arena_strndup(struct cw_arena *arena, const char *text, size_t len)
{
	char *copy = cw_arena_alloc(arena, len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void cw_arena_cleanup(struct cw_arena *arena, cw_cleanup_fn *fn, void *arg)
{
	struct cleanup *c = cw_arena_alloc(arena, sizeof(*c));

	c->fn = fn;
	c->arg = arg;
	c->next = arena->cleanups;
	arena->cleanups = c;
}

size_t cw_arena_bytes(const struct cw_arena *arena)
{
	return arena->bytes;
}
