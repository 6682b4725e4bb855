#include "store/cursor.h"

#include <string.h>
#include <zlib.h>

#define VERSION 1
#define HEAD 4                       /* version, count, which are times, 0 */
#define BYTES_MAX (HEAD + 8 * CW_CURSOR_KEYS + 4)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
_Static_assert((BYTES_MAX * 4 + 2) / 3 < CW_CURSOR_TEXT, "room for the text");

static void put_be(uint8_t *out, uint64_t value, int bytes)
{
	for (int i = bytes; i-- > 0; value >>= 8)
		out[i] = (uint8_t)value;
}

static uint64_t get_be(const uint8_t *in, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | in[i];
	return value;
}

/* Over owner and bytes, so that a cursor of another operation does not fit. */
static uint32_t checksum(const char *owner, const uint8_t *bytes, size_t len)
{
	uLong crc = crc32(0, (const Bytef *)owner, (uInt)strlen(owner));

	return (uint32_t)crc32(crc, bytes, (uInt)len);
}

void cw_cursor_format(const struct cw_cursor *cursor, const char *owner, char out[CW_CURSOR_TEXT])
{
	uint8_t bytes[BYTES_MAX + 2] = { VERSION, (uint8_t)cursor->count };
	size_t len = HEAD, at = 0;

	for (int i = 0; i < cursor->count; i++, len += 8) {
		bytes[2] |= (uint8_t)(cursor->is_time[i] << i);
		put_be(bytes + len, (uint64_t)cursor->keys[i], 8);
	}
	put_be(bytes + len, checksum(owner, bytes, len), 4);
	len += 4;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t word = (uint32_t)get_be(bytes + i, 3);
		size_t n = len - i >= 3 ? 4 : len - i + 1;

		for (size_t k = 0; k < n; k++)
			out[at++] = digits[word >> (18 - 6 * k) & 63];
	}
	out[at] = '\0';
}

static bool decode(uint8_t *out, size_t *out_len, const char *text, size_t len)
{
	uint32_t word = 0;
	size_t bits = 0;

	*out_len = 0;
	for (size_t i = 0; i < len; i++) {
		const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

		if (digit == NULL)
			return false;
		word = word << 6 | (uint32_t)(digit - digits);
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		out[(*out_len)++] = (uint8_t)(word >> bits);
	}
	return bits < 6 && (word & ((1u << bits) - 1)) == 0;     /* one text for each cursor */
}

bool cw_cursor_parse(struct cw_cursor *cursor, const char *owner, const char *text, size_t len)
{
	uint8_t bytes[CW_CURSOR_TEXT];
	size_t n;

	memset(cursor, 0, sizeof(*cursor));
	if (len >= CW_CURSOR_TEXT || !decode(bytes, &n, text, len))
		return false;
	if (n < HEAD + 4 || bytes[0] != VERSION || bytes[1] < 1 || bytes[1] > CW_CURSOR_KEYS || bytes[3] != 0)
		return false;
	cursor->count = bytes[1];
	if (n != HEAD + 8 * (size_t)cursor->count + 4 || bytes[2] >= 1u << cursor->count)
		return false;
	if (get_be(bytes + n - 4, 4) != checksum(owner, bytes, n - 4))
		return false;
	for (int i = 0; i < cursor->count; i++) {
		cursor->is_time[i] = (bytes[2] >> i & 1) != 0;
		cursor->keys[i] = (int64_t)get_be(bytes + HEAD + 8 * i, 8);
	}
	return true;
}
