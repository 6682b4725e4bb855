/* u256.h - exact 256-bit unsigned amounts. Pure: no allocation, no locale, no floating point but cw_u256_to_double.
 *
 * Arithmetic that does not fit says so; nothing wraps silently. */
#ifndef CW_CHAIN_U256_H
#define CW_CHAIN_U256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_u256 {
	uint64_t w[4];   /* w[0] is the least significant word */
};

#define CW_U256_DECIMAL_MAX 79   /* 78 digits and a NUL */

static inline struct cw_u256 cw_u256_from_u64(uint64_t value)
{
	return (struct cw_u256){ { value, 0, 0, 0 } };
}
bool cw_u256_is_zero(const struct cw_u256 *a);
bool cw_u256_fits_u64(const struct cw_u256 *a);
int cw_u256_cmp(const struct cw_u256 *a, const struct cw_u256 *b);   /* -1, 0, 1 */

/* Return false when the exact result is not in range (overflow, negative, division by zero); *out is then unchanged. */
bool cw_u256_add(struct cw_u256 *out, const struct cw_u256 *a, const struct cw_u256 *b);
bool cw_u256_sub(struct cw_u256 *out, const struct cw_u256 *a, const struct cw_u256 *b);
bool cw_u256_mul(struct cw_u256 *out, const struct cw_u256 *a, const struct cw_u256 *b);
bool cw_u256_divmod(struct cw_u256 *quotient, struct cw_u256 *remainder, const struct cw_u256 *a,
                    const struct cw_u256 *b);

double cw_u256_to_double(const struct cw_u256 *a);   /* correctly rounded */

/* Digits only, no sign, no spaces, at least one; leading zeros are allowed. */
bool cw_u256_parse_decimal(struct cw_u256 *out, const char *text, size_t len);
/* Digits without 0x; at least one. */
bool cw_u256_parse_hex(struct cw_u256 *out, const char *text, size_t len);
/* Writes digits and a NUL; returns the number of digits. */
size_t cw_u256_format_decimal(const struct cw_u256 *a, char out[CW_U256_DECIMAL_MAX]);

void cw_u256_to_be(const struct cw_u256 *a, uint8_t out[32]);
struct cw_u256 cw_u256_from_be(const uint8_t *bytes, size_t len);   /* len <= 32 */

#endif
