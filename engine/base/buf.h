/* buf.h - a growing byte buffer. Always ends in a NUL that `len` does not count, so `data` may be printed.
 *
 * The struct is the caller's: start from CW_BUF_INIT, end with cw_buf_release. Appending never fails. */
#ifndef CW_BASE_BUF_H
#define CW_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cw_buf {
	char *data;
	size_t len, cap;
};

extern char cw_buf_empty[1];
#define CW_BUF_INIT { .data = cw_buf_empty, .len = 0, .cap = 0 }

void cw_buf_init(struct cw_buf *buf);
void cw_buf_release(struct cw_buf *buf);
void cw_buf_clear(struct cw_buf *buf);                 /* keeps the memory */
void cw_buf_reserve(struct cw_buf *buf, size_t more);  /* room for `more` bytes and the NUL */
void cw_buf_printf(struct cw_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cw_buf_vprintf(struct cw_buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void cw_buf_uint(struct cw_buf *buf, uint64_t value);  /* decimal */
/* Moves the bytes out (free them with cw_free); the buffer is empty after it. */
char *cw_buf_take(struct cw_buf *buf, size_t *len);

static inline void cw_buf_add(struct cw_buf *buf, const void *bytes, size_t len)
{
	if (buf->cap - buf->len <= len || buf->cap == 0)
		cw_buf_reserve(buf, len);
	memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

static inline void cw_buf_puts(struct cw_buf *buf, const char *text)
{
	cw_buf_add(buf, text, strlen(text));
}

static inline void cw_buf_putc(struct cw_buf *buf, char c)
{
	cw_buf_add(buf, &c, 1);
}

#endif
