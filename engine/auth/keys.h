/* keys.h - API keys: `cw_live_` + 30 base62 characters + 6 of checksum; only their SHA-256 is kept.
 *
 * All keys that are good live in memory and are read again every second, so a revocation holds within a second, a
 * check costs one hash, and a database that is away locks nobody out. The checksum (CRC-32 in base62, as GitHub does)
 * tells a mistyped key from an unknown one without asking anybody. */
#ifndef CW_AUTH_KEYS_H
#define CW_AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_keys;
struct cw_loop;
struct cw_pool;

#define CW_KEY_TEXT 45            /* 8 + 30 + 6 and a NUL */

struct cw_identity {
	int64_t user_id, key_id;
	uint32_t roles;               /* expanded; a key with scopes has the common part of both */
};

/* A new random key. */
void cw_key_make(char out[CW_KEY_TEXT]);
/* Form and checksum. */
bool cw_key_well_formed(const char *text, size_t len);

struct cw_keys *cw_keys_new(struct cw_loop *loop, struct cw_pool *pool);
void cw_keys_free(struct cw_keys **keys);
/* Reads the keys and goes on reading them; `done` once, after the first reading (err NULL) or its failure. */
void cw_keys_start(struct cw_keys *keys, void (*done)(void *arg, const struct cw_err *err), void *arg);
bool cw_keys_check(const struct cw_keys *keys, const char *token, size_t len, struct cw_identity *out);

/* First start: makes <data_dir>/admin.key (mode 0600) if it is not there, and sees to it that the database knows the
 * key in it. */
int cw_keys_admin_file(struct cw_keys *keys, const char *data_dir, void (*done)(void *arg, const struct cw_err *err),
                       void *arg, struct cw_err *err);

#endif
