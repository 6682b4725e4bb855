#include "base/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"

/* A mapping of its own and not malloc's: given back it is address space and commit charge for anybody at once. */
static _Atomic(void *) reserve;
static size_t reserve_bytes;
static atomic_uint_fast64_t refused;

/* Without any memory: digits by hand, one write. */
static void say(const char *what, size_t size)
{
	char text[160] = "level=error group=base msg=\"", digits[24];
	size_t at = strlen(text), n = 0;
	ssize_t written;

	memcpy(text + at, what, strlen(what));
	at += strlen(what);
	memcpy(text + at, "\" bytes=", 8);
	at += 8;
	do
		digits[n++] = (char)('0' + size % 10);
	while ((size /= 10) > 0);
	while (n > 0)
		text[at++] = digits[--n];
	text[at++] = '\n';
	written = write(2, text, at);
	(void)written;
}

static _Noreturn void out_of_memory(size_t size)
{
	say("out of memory", size);
	abort();
}

static void *map_reserve(void)
{
	void *pages = mmap(NULL, reserve_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages != MAP_FAILED ? pages : NULL;
}

void cw_mem_keep_reserve(size_t bytes)
{
	void *pages = atomic_exchange(&reserve, NULL);

	if (pages != NULL)
		munmap(pages, reserve_bytes);
	reserve_bytes = bytes;
	if (bytes > 0)
		atomic_store(&reserve, map_reserve());
}

void cw_mem_relieve(size_t wanted)
{
	void *pages = atomic_exchange(&reserve, NULL);

	atomic_fetch_add(&refused, 1);
	if (pages == NULL)
		return;
	munmap(pages, reserve_bytes);
	say("memory is short, the reserve is in use", wanted);
}

bool cw_mem_short(void)
{
	if (reserve_bytes == 0 || atomic_load_explicit(&reserve, memory_order_relaxed) != NULL)
		return false;
	atomic_store(&reserve, map_reserve());
	return atomic_load(&reserve) == NULL;
}

uint64_t cw_mem_refused(void)
{
	return atomic_load(&refused);
}

void *cw_alloc(size_t size)
{
	void *ptr = malloc(size > 0 ? size : 1);

	if (ptr == NULL) {
		cw_mem_relieve(size);
		ptr = malloc(size > 0 ? size : 1);
	}
	if (ptr == NULL)
		out_of_memory(size);
	return ptr;
}

void *cw_zalloc(size_t size)
{
	void *ptr = calloc(1, size > 0 ? size : 1);

	if (ptr == NULL) {
		cw_mem_relieve(size);
		ptr = calloc(1, size > 0 ? size : 1);
	}
	if (ptr == NULL)
		out_of_memory(size);
	return ptr;
}

void *cw_realloc(void *ptr, size_t size)
{
	void *grown = realloc(ptr, size > 0 ? size : 1);

	if (grown == NULL) {
		cw_mem_relieve(size);
		grown = realloc(ptr, size > 0 ? size : 1);
	}
	if (grown == NULL)
		out_of_memory(size);
	return grown;
}

char *cw_strdup(const char *text)
{
	return cw_memdup(text, strlen(text) + 1);
}

void *cw_memdup(const void *ptr, size_t size)
{
	void *copy = cw_alloc(size);

	if (size > 0)
		memcpy(copy, ptr, size);
	return copy;
}

void *cw_try_alloc(size_t size)
{
	if (CW_FAULT("mem.try"))
		return NULL;
	return malloc(size > 0 ? size : 1);
}

void cw_free(void *ptr)
{
	free(ptr);
}
