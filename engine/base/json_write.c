/* The writer's half of json.h. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

/* 0: goes out as it is; 'u': \u00XX; 'x': look at it as UTF-8; else the letter after the backslash. */
static const char escapes[256] = {
	[0 ... 0x07] = 'u', ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', [0x0b] = 'u', ['\f'] = 'f', ['\r'] = 'r',
	[0x0e ... 0x1f] = 'u',
	['"'] = '"', ['\\'] = '\\', [0x7f] = 'u', [0x80 ... 0xff] = 'x',
};

/* Writes what one special byte, or the sequence it begins, becomes; returns how many bytes were taken. */
static size_t put_special(struct cw_buf *out, const char *text, size_t len)
{
	unsigned char c = (unsigned char)text[0];
	char code[8];
	size_t n;

	if (escapes[c] == 'x') {
		n = cw_utf8_sequence(text, len);
		if (n == 0)
			cw_buf_puts(out, "\xef\xbf\xbd");
		else
			cw_buf_add(out, text, n);
		return n > 0 ? n : 1;
	}
	if (escapes[c] == 'u')
		snprintf(code, sizeof(code), "\\u%04x", c);
	else
		snprintf(code, sizeof(code), "\\%c", escapes[c]);
	cw_buf_puts(out, code);
	return 1;
}

void cw_json_put_string(struct cw_buf *out, const char *text, size_t len)
{
	size_t start = 0, at = 0;

	cw_buf_reserve(out, len + 2);
	cw_buf_putc(out, '"');
	while (at < len) {
		if (escapes[(unsigned char)text[at]] == 0) {
			at++;
			continue;
		}
		cw_buf_add(out, text + start, at - start);
		at += put_special(out, text + at, len - at);
		start = at;
	}
	cw_buf_add(out, text + start, at - start);
	cw_buf_putc(out, '"');
}

void cw_json_put_cstring(struct cw_buf *out, const char *text)
{
	cw_json_put_string(out, text, strlen(text));
}

/* Writes `digits` / 10^places, e.g. 912 and 3 as 0.912. */
static void put_decimal(struct cw_buf *out, uint64_t digits, int places)
{
	char text[32];
	size_t at = sizeof(text);

	for (int i = 0; i < places; i++, digits /= 10)
		text[--at] = (char)('0' + digits % 10);
	if (places > 0)
		text[--at] = '.';
	do {
		text[--at] = (char)('0' + digits % 10);
		digits /= 10;
	} while (digits > 0);
	cw_buf_add(out, text + at, sizeof(text) - at);
}

/* Numbers with at most 15 significant digits and few places, which most are. Two decimals of 15 digits never share a
 * double, and the quotient of two exact integers is rounded as a reader of the text would: so the first hit is both
 * right and the shortest. */
static bool put_short(struct cw_buf *out, double value)
{
	static const double powers[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };

	for (int places = 0; places < (int)(sizeof(powers) / sizeof(*powers)); places++) {
		double scaled = nearbyint(value * powers[places]);

		if (scaled >= 1e15)
			return false;
		if (scaled / powers[places] == value) {
			put_decimal(out, (uint64_t)scaled, places);
			return true;
		}
	}
	return false;
}

/* The 16-digit neighbour above `text` (as "%.15e" wrote it). At a power of two the gap below is half the gap above, so
 * the nearest 16-digit decimal may miss where the next one still reads back. */
static bool step_up(char *text)
{
	char *p = strchr(text, 'e') - 1;

	while (p >= text && (*p == '9' || *p == '.')) {
		if (*p == '9')
			*p = '0';
		p--;
	}
	if (p < text)
		return false;
	(*p)++;
	return true;
}

void cw_json_put_double(struct cw_buf *out, double value)
{
	char text[40];
	int exponent;

	if (!isfinite(value)) {
		cw_buf_puts(out, "null");
		return;
	}
	if (signbit(value)) {
		cw_buf_putc(out, '-');
		value = -value;
	}
	if (put_short(out, value))
		return;
	for (int digits = 15; digits <= 16; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value) {
			cw_buf_puts(out, text);
			return;
		}
	}
	if (frexp(value, &exponent) == 0.5) {
		snprintf(text, sizeof(text), "%.15e", value);
		if (step_up(text) && strtod(text, NULL) == value) {
			cw_buf_puts(out, text);
			return;
		}
	}
	snprintf(text, sizeof(text), "%.17g", value);
	cw_buf_puts(out, text);
}

void cw_json_put_value(struct cw_buf *out, const struct cw_json *value)
{
	bool object = value->type == CW_JSON_OBJECT;

	switch (value->type) {
	case CW_JSON_NULL:
		cw_buf_puts(out, "null");
		return;
	case CW_JSON_FALSE:
		cw_buf_puts(out, "false");
		return;
	case CW_JSON_TRUE:
		cw_buf_puts(out, "true");
		return;
	case CW_JSON_NUMBER:
		cw_buf_add(out, value->text, value->len);
		return;
	case CW_JSON_STRING:
		cw_json_put_string(out, value->text, value->len);
		return;
	case CW_JSON_ARRAY:
	case CW_JSON_OBJECT:
		break;
	}
	/* Recursion is as deep as the reader allowed. */
	cw_buf_putc(out, object ? '{' : '[');
	for (const struct cw_json *m = value->first; m != NULL; m = m->next) {
		if (m != value->first)
			cw_buf_putc(out, ',');
		if (object) {
			cw_json_put_string(out, m->key, m->key_len);
			cw_buf_putc(out, ':');
		}
		cw_json_put_value(out, m);
	}
	cw_buf_putc(out, object ? '}' : ']');
}
