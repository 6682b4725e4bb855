/* utf8.h - checks and writes UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef CW_BASE_UTF8_H
#define CW_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the valid sequence that `text` starts with, 1 to 4; 0 if there is none. */
size_t cw_utf8_sequence(const char *text, size_t len);

/* How many bytes from the start are valid; `len` if all are. */
size_t cw_utf8_check(const char *text, size_t len);

/* The longest part of the first `max` bytes of valid text that does not cut a character in two. */
size_t cw_utf8_truncate(const char *text, size_t len, size_t max);

/* Writes the code point, returns the bytes written; what is not a scalar value is written as U+FFFD. */
size_t cw_utf8_encode(uint32_t code, char out[4]);

#endif
