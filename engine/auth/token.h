/* token.h - access tokens: JSON Web Tokens (RFC 7519, 7515), HS256 or EdDSA (Ed25519, RFC 8037).
 *
 * The algorithm belongs to the key, never to the token: a header that names another one than its key has is refused, as
 * are "none", keys that the header brings along (jwk, jku, x5u, ...), critical extensions, doubled members, padding and
 * every other spelling than the one. Keys are told apart by `kid`, so that they can be exchanged while tokens of the one
 * before are still good: the first key of the file signs, all of them verify. Key bytes live in locked memory. */
#ifndef CW_AUTH_TOKEN_H
#define CW_AUTH_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_arena;
struct cw_buf;
struct cw_err;
struct cw_keyring;

enum cw_token_alg { CW_TOKEN_HS256 = 1, CW_TOKEN_EDDSA };

#define CW_TOKEN_KID 33       /* letters, digits, - and _; with NUL */
#define CW_TOKEN_MAX 4096     /* bytes of a token; longer ones are not looked at */
#define CW_TOKEN_TYP "at+jwt" /* RFC 9068 */

struct cw_claims {
	int64_t user_id, session_id; /* sub and sid */
	int64_t epoch;               /* of the user, when it was issued */
	int64_t issued_s, not_before_s, expires_s;
	char id[33]; /* jti */
};

/* --- keys --- */

struct cw_keyring *cw_keyring_new(void);
void cw_keyring_free(struct cw_keyring **ring);
/* `kid`: see CW_TOKEN_KID. HS256: at least 32 bytes. EdDSA: the seed of 32 bytes. The first one signs. */
int cw_keyring_add(struct cw_keyring *ring, const char *kid, enum cw_token_alg alg, const void *key, size_t len,
                   struct cw_err *err);
/* Lines "kid HS256|EdDSA base64url"; # begins a comment. Nobody else may be able to read the file. */
struct cw_keyring *cw_keyring_load(const char *path, struct cw_err *err);
/* A new random key in front of those in the file; makes the file (mode 0600) if it is not there. `keep`: how many keys
 * the file has at most afterwards. The name of the new key goes to `kid`. */
int cw_keyring_rotate(const char *path, enum cw_token_alg alg, int keep, char kid[CW_TOKEN_KID], struct cw_err *err);
int cw_keyring_count(const struct cw_keyring *ring);
const char *cw_keyring_kid(const struct cw_keyring *ring, int at, enum cw_token_alg *alg);

/* --- tokens --- */

/* Appends the token. `issuer` and `audience` as below. */
void cw_token_sign(const struct cw_keyring *ring, const struct cw_claims *claims, const char *issuer,
                   const char *audience, struct cw_buf *out);
/* What is expected of a token beside its signature. */
struct cw_token_rules {
	const char *issuer, *audience;
	int64_t now_s, leeway_s; /* of clocks that do not quite agree */
};
/* NULL: good, and `claims` are filled. Else what is wrong, for the log and for the client: it names no key. */
const char *cw_token_verify(const struct cw_keyring *ring, const char *token, size_t len,
                            const struct cw_token_rules *rules, struct cw_claims *claims);
/* Only form and signature (RFC 7515): the payload's bytes in the arena, NUL-terminated, or NULL and what is wrong. */
const char *cw_token_open(const struct cw_keyring *ring, const char *token, size_t len, const char *typ,
                          struct cw_arena *arena, size_t *payload_len, const char **wrong);

#endif
