#include "base/buf.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

char cw_buf_empty[1];

void cw_buf_init(struct cw_buf *buf)
{
	*buf = (struct cw_buf)CW_BUF_INIT;
}

void cw_buf_release(struct cw_buf *buf)
{
	if (buf->cap > 0)
		cw_free(buf->data);
	cw_buf_init(buf);
}

void cw_buf_clear(struct cw_buf *buf)
{
	buf->len = 0;
	if (buf->cap > 0)
		buf->data[0] = '\0';
}

void cw_buf_reserve(struct cw_buf *buf, size_t more)
{
	size_t need = buf->len + more + 1;
	size_t cap = buf->cap > 0 ? buf->cap : 64;

	cw_assert(need > more && need < SIZE_MAX / 2);
	if (buf->cap >= need)
		return;
	while (cap < need)
		cap *= 2;
	buf->data = cw_realloc(buf->cap > 0 ? buf->data : NULL, cap);
	buf->cap = cap;
	buf->data[buf->len] = '\0';
}

void cw_buf_vprintf(struct cw_buf *buf, const char *format, va_list args)
{
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n <= 0)
		return;
	cw_buf_reserve(buf, (size_t)n);
	vsnprintf(buf->data + buf->len, (size_t)n + 1, format, args);
	buf->len += (size_t)n;
}

void cw_buf_printf(struct cw_buf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	cw_buf_vprintf(buf, format, args);
	va_end(args);
}

void cw_buf_uint(struct cw_buf *buf, uint64_t value)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	cw_buf_add(buf, text + at, sizeof(text) - at);
}

char *cw_buf_take(struct cw_buf *buf, size_t *len)
{
	char *data = buf->cap > 0 ? buf->data : cw_zalloc(1);

	if (len != NULL)
		*len = buf->len;
	cw_buf_init(buf);
	return data;
}
