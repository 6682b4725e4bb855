/* The binary format of numeric (src/backend/utils/adt/numeric.c, numeric_send): number of digits, weight of the first
 * digit, sign, digits after the decimal point; all 16 bit. Then digits of base 10000, without zeros at either end. */
#include "pg/wire.h"

#include <stdio.h>

#include "base/buf.h"
#include "chain/u256.h"

#define SIGN_NEGATIVE 0x4000
#define SIGN_NAN      0xc000
#define SIGN_PINF     0xd000
#define SIGN_NINF     0xf000
#define FOUR_DIGITS   UINT64_C(10000000000000000)   /* 10000^4: four digits a division */
#define DIGITS_MAX    20                            /* 2^256 has 78 decimal digits */

/* Divides in place, returns the remainder. */
static uint64_t divide(uint64_t w[4], uint64_t by)
{
	unsigned __int128 rest = 0;

	for (int i = 3; i >= 0; i--) {
		rest = rest << 64 | w[i];
		w[i] = (uint64_t)(rest / by);
		rest %= by;
	}
	return (uint64_t)rest;
}

size_t cw_wire_put_numeric(uint8_t out[CW_WIRE_NUMERIC_MAX], const struct cw_u256 *value)
{
	uint64_t w[4] = { value->w[0], value->w[1], value->w[2], value->w[3] };
	uint16_t digits[DIGITS_MAX] = { 0 };  /* least significant first */
	int n = 0, low = 0;

	while ((w[0] | w[1] | w[2] | w[3]) != 0) {
		uint64_t four = divide(w, FOUR_DIGITS);

		for (int i = 0; i < 4; i++) {
			digits[n++] = (uint16_t)(four % 10000);
			four /= 10000;
		}
	}
	while (n > 0 && digits[n - 1] == 0)
		n--;
	while (low < n && digits[low] == 0)   /* amounts in wei often end in 18 zeros */
		low++;
	cw_wire_put16(out, (uint16_t)(n - low));
	cw_wire_put16(out + 2, (uint16_t)(n > 0 ? n - 1 : 0));
	cw_wire_put32(out + 4, 0);
	for (int i = 0; i < n - low; i++)
		cw_wire_put16(out + 8 + (ptrdiff_t)2 * i, digits[n - 1 - i]);
	return 8 + 2 * (size_t)(n - low);
}

/* value = value * 10000 + digit; false: it does not fit */
static bool append_digit(uint64_t w[4], unsigned digit)
{
	unsigned __int128 carry = digit;

	for (int i = 0; i < 4; i++) {
		carry += (unsigned __int128)w[i] * 10000;
		w[i] = (uint64_t)carry;
		carry >>= 64;
	}
	return carry == 0;
}

static bool well_formed(const uint8_t *in, size_t len)
{
	return len >= 8 && len == 8 + 2 * (size_t)cw_wire_get16(in);
}

bool cw_wire_get_numeric(const uint8_t *in, size_t len, struct cw_u256 *out)
{
	uint64_t w[4] = { 0, 0, 0, 0 };
	int n, weight;

	if (!well_formed(in, len) || cw_wire_get16(in + 4) != 0)
		return false;
	n = cw_wire_get16(in);
	weight = (int16_t)cw_wire_get16(in + 2);
	if (n > 0 && weight >= DIGITS_MAX)
		return false;
	for (int i = 0; i < n || i <= weight; i++) {
		unsigned digit = i < n ? cw_wire_get16(in + 8 + (ptrdiff_t)2 * i) : 0;

		if (n == 0)
			break;
		if (digit > 9999 || (i > weight && digit != 0))
			return false;
		if (i <= weight && !append_digit(w, digit))
			return false;
	}
	*out = (struct cw_u256){ { w[0], w[1], w[2], w[3] } };
	return true;
}

static unsigned digit_at(const uint8_t *in, int n, int i)
{
	return i >= 0 && i < n ? cw_wire_get16(in + 8 + (ptrdiff_t)2 * i) : 0;
}

bool cw_wire_numeric_text(const uint8_t *in, size_t len, struct cw_buf *out)
{
	int n, weight, scale;
	unsigned sign;

	if (!well_formed(in, len))
		return false;
	n = cw_wire_get16(in);
	weight = (int16_t)cw_wire_get16(in + 2);
	sign = cw_wire_get16(in + 4);
	scale = cw_wire_get16(in + 6);
	if (sign == SIGN_NAN || sign == SIGN_PINF || sign == SIGN_NINF) {
		cw_buf_puts(out, sign == SIGN_NAN ? "NaN" : sign == SIGN_PINF ? "Infinity" : "-Infinity");
		return true;
	}
	if (sign == SIGN_NEGATIVE)
		cw_buf_putc(out, '-');
	if (weight < 0)
		cw_buf_putc(out, '0');
	for (int i = 0; i <= weight; i++)
		cw_buf_printf(out, i == 0 ? "%u" : "%04u", digit_at(in, n, i));
	if (scale == 0)
		return true;
	cw_buf_putc(out, '.');
	for (int i = 0; i < scale; i += 4) {
		char four[16];
		int keep = scale - i < 4 ? scale - i : 4;

		snprintf(four, sizeof(four), "%04u", digit_at(in, n, weight + 1 + i / 4) % 10000);
		cw_buf_add(out, four, (size_t)keep);
	}
	return true;
}
