#include "chain/hex.h"

#include <string.h>

#include "chain/keccak.h"

/* Value of a digit, 0xff for what is none. */
static const uint8_t values[256] = {
	[0 ... '0' - 1] = 0xff, ['0'] = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ['9' + 1 ... 'A' - 1] = 0xff,
	['A'] = 10, 11, 12, 13, 14, 15, ['F' + 1 ... 'a' - 1] = 0xff, ['a'] = 10, 11, 12, 13, 14, 15,
	['f' + 1 ... 255] = 0xff,
};
static const char digits[] = "0123456789abcdef";

bool cw_hex_decode(uint8_t *out, const char *text, size_t len)
{
	unsigned bad = 0;

	if (len % 2 != 0)
		return false;
	for (size_t i = 0; i < len; i += 2) {
		unsigned high = values[(unsigned char)text[i]], low = values[(unsigned char)text[i + 1]];

		bad |= high | low;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return bad < 16;
}

void cw_hex_encode(char *out, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

static bool has_prefix(const char *text, size_t len)
{
	return len >= 2 && text[0] == '0' && text[1] == 'x';
}

bool cw_hash_parse(struct cw_hash *out, const char *text, size_t len)
{
	struct cw_hash hash;

	if (len != CW_HASH_TEXT - 1 || !has_prefix(text, len) || !cw_hex_decode(hash.b, text + 2, 64))
		return false;
	*out = hash;
	return true;
}

char *cw_hash_format(const struct cw_hash *hash, char out[CW_HASH_TEXT])
{
	memcpy(out, "0x", 2);
	cw_hex_encode(out + 2, hash->b, 32);
	return out;
}

/* Upper case where the hash of the lower-case text has a digit of 8 or more: EIP-55, "Mixed-case checksum address
 * encoding". `text` is 40 lower-case digits. */
static void apply_checksum(char *text)
{
	uint8_t hash[32];

	cw_keccak256(text, 40, hash);
	for (int i = 0; i < 40; i++) {
		unsigned nibble = i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15;

		if (text[i] >= 'a' && nibble >= 8)
			text[i] = (char)(text[i] - 'a' + 'A');
	}
}

enum cw_address_fault cw_address_parse(struct cw_address *out, const char *text, size_t len)
{
	struct cw_address address;
	bool upper = false, lower = false;
	char want[41];

	if (len != CW_ADDRESS_TEXT - 1 || !has_prefix(text, len) || !cw_hex_decode(address.b, text + 2, 40))
		return CW_ADDRESS_MALFORMED;
	for (size_t i = 2; i < len; i++) {
		upper = upper || (text[i] >= 'A' && text[i] <= 'F');
		lower = lower || text[i] >= 'a';
	}
	if (upper && lower) {
		cw_hex_encode(want, address.b, 20);
		apply_checksum(want);
		if (memcmp(want, text + 2, 40) != 0)
			return CW_ADDRESS_CHECKSUM;
	}
	*out = address;
	return CW_ADDRESS_OK;
}

char *cw_address_format(const struct cw_address *address, char out[CW_ADDRESS_TEXT])
{
	memcpy(out, "0x", 2);
	cw_hex_encode(out + 2, address->b, 20);
	return out;
}

char *cw_address_format_eip55(const struct cw_address *address, char out[CW_ADDRESS_TEXT])
{
	cw_address_format(address, out);
	apply_checksum(out + 2);
	return out;
}
