#include "chain/u256.h"

#include <math.h>
#include <string.h>

typedef unsigned __int128 wide;

#define CHUNK_DIGITS 19   /* as many decimal digits as always fit into 64 bits */
#define CHUNK 10000000000000000000u

bool cw_u256_is_zero(const struct cw_u256 *a)
{
	return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

bool cw_u256_fits_u64(const struct cw_u256 *a)
{
	return (a->w[1] | a->w[2] | a->w[3]) == 0;
}

int cw_u256_cmp(const struct cw_u256 *a, const struct cw_u256 *b)
{
	for (int i = 3; i >= 0; i--)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}

bool cw_u256_add(struct cw_u256 *out, const struct cw_u256 *a, const struct cw_u256 *b)
{
	struct cw_u256 sum;
	wide carry = 0;

	for (int i = 0; i < 4; i++) {
		carry += (wide)a->w[i] + b->w[i];
		sum.w[i] = (uint64_t)carry;
		carry >>= 64;
	}
	if (carry != 0)
		return false;
	*out = sum;
	return true;
}

bool cw_u256_sub(struct cw_u256 *out, const struct cw_u256 *a, const struct cw_u256 *b)
{
	struct cw_u256 left;
	uint64_t borrow = 0;

	for (int i = 0; i < 4; i++) {
		wide d = (wide)a->w[i] - b->w[i] - borrow;

		left.w[i] = (uint64_t)d;
		borrow = (uint64_t)(d >> 64) & 1;
	}
	if (borrow != 0)
		return false;
	*out = left;
	return true;
}

bool cw_u256_mul(struct cw_u256 *out, const struct cw_u256 *a, const struct cw_u256 *b)
{
	uint64_t product[8] = { 0 };

	for (int i = 0; i < 4; i++) {
		uint64_t carry = 0;

		for (int j = 0; j < 4; j++) {
			wide t = (wide)a->w[i] * b->w[j] + product[i + j] + carry;

			product[i + j] = (uint64_t)t;
			carry = (uint64_t)(t >> 64);
		}
		product[i + 4] = carry;
	}
	if ((product[4] | product[5] | product[6] | product[7]) != 0)
		return false;
	memcpy(out->w, product, sizeof(out->w));
	return true;
}

/* Divides in place, returns the remainder. `words`: how many of a's words can be other than 0. */
static uint64_t divide_small(uint64_t *a, int words, uint64_t divisor)
{
	wide rest = 0;

	for (int i = words - 1; i >= 0; i--) {
		rest = rest << 64 | a[i];
		a[i] = (uint64_t)(rest / divisor);
		rest %= divisor;
	}
	return (uint64_t)rest;
}

static int words_used(const struct cw_u256 *a)
{
	int n = 4;

	while (n > 0 && a->w[n - 1] == 0)
		n--;
	return n;
}

/* One digit of the quotient: how often v (n words, top bit set) goes into the n + 1 words at u; leaves the rest in u.
 * Knuth, TAOCP volume 2, 4.3.1, algorithm D, steps D3 to D6. */
static uint64_t divide_step(uint64_t *u, const uint64_t *v, int n)
{
	wide top = (wide)u[n] << 64 | u[n - 1];
	wide q = u[n] >= v[n - 1] ? (wide)UINT64_MAX : top / v[n - 1];
	wide rest = top - q * v[n - 1];
	uint64_t borrow = 0, carry = 0;

	while (rest >> 64 == 0 && q * v[n - 2] > (rest << 64 | u[n - 2])) {
		q--;
		rest += v[n - 1];
	}
	for (int i = 0; i < n; i++) {
		wide product = q * v[i] + borrow;
		uint64_t low = (uint64_t)product;

		borrow = (uint64_t)(product >> 64) + (u[i] < low);
		u[i] -= low;
	}
	if (u[n] >= borrow) {
		u[n] -= borrow;
		return (uint64_t)q;
	}
	u[n] -= borrow;   /* q was one too large: add v back */
	for (int i = 0; i < n; i++) {
		wide sum = (wide)u[i] + v[i] + carry;

		u[i] = (uint64_t)sum;
		carry = (uint64_t)(sum >> 64);
	}
	u[n] += carry;
	return (uint64_t)q - 1;
}

/* Shifts left by less than 64 bits; returns what falls out at the top. */
static uint64_t shift_left(uint64_t *out, const uint64_t *in, int words, int bits)
{
	uint64_t carry = 0;

	for (int i = 0; i < words; i++) {
		uint64_t word = in[i];

		out[i] = word << bits | carry;
		carry = bits > 0 ? word >> (64 - bits) : 0;
	}
	return carry;
}

bool cw_u256_divmod(struct cw_u256 *quotient, struct cw_u256 *remainder, const struct cw_u256 *a,
                    const struct cw_u256 *b)
{
	struct cw_u256 q = { { 0 } }, r = { { 0 } };
	int n = words_used(b), shift;
	uint64_t u[5], v[4];

	if (n == 0)
		return false;
	if (cw_u256_cmp(a, b) < 0) {
		r = *a;
	} else if (n == 1) {
		q = *a;
		r.w[0] = divide_small(q.w, 4, b->w[0]);
	} else {
		shift = __builtin_clzll(b->w[n - 1]);
		shift_left(v, b->w, n, shift);
		u[4] = shift_left(u, a->w, 4, shift);
		for (int j = 4 - n; j >= 0; j--)
			q.w[j] = divide_step(u + j, v, n);
		for (int i = 0; i < n; i++) {
			r.w[i] = u[i] >> shift;
			if (shift > 0 && i + 1 < n)
				r.w[i] |= u[i + 1] << (64 - shift);
		}
	}
	if (quotient != NULL)
		*quotient = q;
	if (remainder != NULL)
		*remainder = r;
	return true;
}

double cw_u256_to_double(const struct cw_u256 *a)
{
	int n = words_used(a), zeros;
	uint64_t top, rest = 0;

	if (n <= 1)
		return (double)a->w[0];
	zeros = __builtin_clzll(a->w[n - 1]);
	top = a->w[n - 1] << zeros;
	if (zeros > 0)
		top |= a->w[n - 2] >> (64 - zeros);
	rest = zeros > 0 ? a->w[n - 2] << zeros : a->w[n - 2];
	for (int i = 0; i < n - 2; i++)
		rest |= a->w[i];
	/* 64 bits are rounded to 53 once; a bit below them that is set can only break a tie, and bit 0 does that. */
	return ldexp((double)(top | (rest != 0)), 64 * (n - 1) - zeros);
}

/* out = out * factor + add over `words` words; returns the carry. */
static uint64_t multiply_add(uint64_t *out, int words, uint64_t factor, uint64_t add)
{
	uint64_t carry = add;

	for (int i = 0; i < words; i++) {
		wide t = (wide)out[i] * factor + carry;

		out[i] = (uint64_t)t;
		carry = (uint64_t)(t >> 64);
	}
	return carry;
}

static bool read_chunk(const char *text, size_t len, uint64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(unsigned char)text[i] - '0';

		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

bool cw_u256_parse_decimal(struct cw_u256 *out, const char *text, size_t len)
{
	struct cw_u256 sum = { { 0 } };
	size_t first;

	if (len == 0)
		return false;
	while (len > 1 && *text == '0') {
		text++;
		len--;
	}
	if (len >= CW_U256_DECIMAL_MAX)
		return false;
	first = len % CHUNK_DIGITS;
	if (!read_chunk(text, first, &sum.w[0]))
		return false;
	for (size_t at = first; at < len; at += CHUNK_DIGITS) {
		uint64_t chunk;

		if (!read_chunk(text + at, CHUNK_DIGITS, &chunk) || multiply_add(sum.w, 4, CHUNK, chunk) != 0)
			return false;
	}
	*out = sum;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool cw_u256_parse_hex(struct cw_u256 *out, const char *text, size_t len)
{
	struct cw_u256 sum = { { 0 } };

	if (len == 0)
		return false;
	while (len > 1 && *text == '0') {
		text++;
		len--;
	}
	if (len > 64)
		return false;
	for (size_t i = 0; i < len; i++) {
		int digit = hex_digit(text[len - 1 - i]);

		if (digit < 0)
			return false;
		sum.w[i / 16] |= (uint64_t)digit << (4 * (i % 16));
	}
	*out = sum;
	return true;
}

static const char pairs[] =
	"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
	"555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/* Writes backwards from `end`, at least `least` digits; returns the first. */
static char *write_back(char *end, uint64_t value, int least)
{
	char *start = end;

	while (value >= 100) {
		start -= 2;
		memcpy(start, pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10) {
		start -= 2;
		memcpy(start, pairs + 2 * value, 2);
	} else {
		*--start = (char)('0' + value);
	}
	while (end - start < least)
		*--start = '0';
	return start;
}

size_t cw_u256_format_decimal(const struct cw_u256 *a, char out[CW_U256_DECIMAL_MAX])
{
	struct cw_u256 rest = *a;
	char text[CW_U256_DECIMAL_MAX + CHUNK_DIGITS];
	char *end = text + sizeof(text), *at = end;
	int words = words_used(a);
	size_t n;

	while (words > 1 || (words == 1 && rest.w[0] >= CHUNK)) {
		at = write_back(at, divide_small(rest.w, words, CHUNK), CHUNK_DIGITS);
		while (words > 0 && rest.w[words - 1] == 0)
			words--;
	}
	if (rest.w[0] != 0 || at == end)
		at = write_back(at, rest.w[0], 1);
	n = (size_t)(end - at);
	memcpy(out, at, n);
	out[n] = '\0';
	return n;
}

void cw_u256_to_be(const struct cw_u256 *a, uint8_t out[32])
{
	for (int i = 0; i < 4; i++) {
		uint64_t word = __builtin_bswap64(a->w[3 - i]);

		memcpy(out + 8 * i, &word, 8);
	}
}

struct cw_u256 cw_u256_from_be(const uint8_t *bytes, size_t len)
{
	struct cw_u256 value;
	uint8_t full[32] = { 0 };

	memcpy(full + 32 - len, bytes, len);
	for (int i = 0; i < 4; i++) {
		uint64_t word;

		memcpy(&word, full + 8 * i, 8);
		value.w[3 - i] = __builtin_bswap64(word);
	}
	return value;
}
