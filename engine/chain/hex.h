/* hex.h - hashes and addresses as text. Pure.
 *
 * Text outside is `0x` and lower-case hex; addresses are read in any case unless they claim an EIP-55 checksum (mixed
 * case), which then must be right. */
#ifndef CW_CHAIN_HEX_H
#define CW_CHAIN_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_hash { uint8_t b[32]; };
struct cw_address { uint8_t b[20]; };

#define CW_HASH_TEXT 67      /* "0x" + 64 + NUL */
#define CW_ADDRESS_TEXT 43   /* "0x" + 40 + NUL */

/* Digits without 0x, an even number of them; false if one is not hex. `out` takes len / 2 bytes. */
bool cw_hex_decode(uint8_t *out, const char *text, size_t len);
/* Writes 2 * len digits and a NUL. */
void cw_hex_encode(char *out, const uint8_t *bytes, size_t len);

bool cw_hash_parse(struct cw_hash *out, const char *text, size_t len);
char *cw_hash_format(const struct cw_hash *hash, char out[CW_HASH_TEXT]);

enum cw_address_fault { CW_ADDRESS_OK = 0, CW_ADDRESS_MALFORMED, CW_ADDRESS_CHECKSUM };
enum cw_address_fault cw_address_parse(struct cw_address *out, const char *text, size_t len);
char *cw_address_format(const struct cw_address *address, char out[CW_ADDRESS_TEXT]);
/* EIP-55 mixed-case checksum form. */
char *cw_address_format_eip55(const struct cw_address *address, char out[CW_ADDRESS_TEXT]);

#endif
