#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

#define HIGH_BITS 0x8080808080808080u
#define REPLACEMENT 0xfffdu

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The table of well-formed sequences in Unicode 15, section 3.9 (table 3-7). */
size_t cw_utf8_sequence(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	if (p[0] < 0xe0)
		return len >= 2 && is_tail(p[1]) ? 2 : 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (len < 3 || p[1] < low || p[1] > high || !is_tail(p[2]))
		return 0;
	if (p[0] < 0xf0)
		return 3;
	return len >= 4 && is_tail(p[3]) ? 4 : 0;
}

size_t cw_utf8_check(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint64_t word;
		size_t n;

		if (len - at >= 8) {
			memcpy(&word, text + at, 8);
			if ((word & HIGH_BITS) == 0) {
				at += 8;
				continue;
			}
		}
		n = cw_utf8_sequence(text + at, len - at);
		if (n == 0)
			return at;
		at += n;
	}
	return at;
}

size_t cw_utf8_truncate(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && is_tail((unsigned char)text[max]))
		max--;
	return max;
}

size_t cw_utf8_encode(uint32_t code, char out[4])
{
	if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		code = REPLACEMENT;
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}
