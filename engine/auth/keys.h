/* keys.h - API keys: `cw_live_` + 30 base62 characters + 6 of checksum; only their SHA-256 is kept.
 *
 * The checksum (CRC-32 in base62, as GitHub does) tells a mistyped key from an unknown one without asking anybody, and
 * lets scanners of repositories find a leaked one. */
#ifndef CW_AUTH_KEYS_H
#define CW_AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_err;
struct cw_pool;

#define CW_KEY_TEXT    45 /* 8 + 30 + 6 and a NUL */
#define CW_KEY_PREFIX  16 /* characters that are kept, so that a person can tell which key it is */
#define CW_OPAQUE_TEXT 53 /* refresh tokens and invitations: a prefix of 8 or less and 44 characters, and a NUL */

/* A new random key. */
void cw_key_make(char out[CW_KEY_TEXT]);
/* Form and checksum. */
bool cw_key_well_formed(const char *text, size_t len);
/* What is kept of a key, and of any other secret that is random. */
void cw_key_digest(const char *key, unsigned char hash[32]);
/* A new random token: `prefix` ("cw_ref_", "cw_inv_"), and characters up to the full length: more than 256 bits. */
void cw_token_make(const char *prefix, char out[CW_OPAQUE_TEXT]);

/* First start: makes <data_dir>/admin.key (mode 0600) if it is not there, and sees to it that the database knows the
 * key in it. `fn` tells. 0: the file is not usable. */
uint64_t cw_keys_admin_file(struct cw_pool *pool, const char *data_dir, cw_query_fn *fn, void *arg, struct cw_err *err);

#endif
