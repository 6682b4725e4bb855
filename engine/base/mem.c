#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"

static void out_of_memory(void)
{
	static const char text[] = "level=error group=base msg=\"out of memory\"\n";
	ssize_t written = write(2, text, sizeof(text) - 1);

	(void)written;
	abort();
}

void *cw_alloc(size_t size)
{
	void *ptr = malloc(size > 0 ? size : 1);

	if (ptr == NULL)
		out_of_memory();
	return ptr;
}

void *cw_zalloc(size_t size)
{
	void *ptr = calloc(1, size > 0 ? size : 1);

	if (ptr == NULL)
		out_of_memory();
	return ptr;
}

void *cw_realloc(void *ptr, size_t size)
{
	void *grown = realloc(ptr, size > 0 ? size : 1);

	if (grown == NULL)
		out_of_memory();
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
