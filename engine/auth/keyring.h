/* keyring.h - the keys that sign and verify tokens. For auth/ alone; token.h has what others may do with them. */
#ifndef CW_AUTH_KEYRING_H
#define CW_AUTH_KEYRING_H

#include "auth/token.h"

struct cw_token_key {
	char kid[CW_TOKEN_KID];
	enum cw_token_alg alg;
	unsigned char *bytes; /* sodium_malloc; Ed25519: seed and public key, as libsodium has its secret keys */
	size_t len;
};

/* The first key; a keyring that is in use has one. */
const struct cw_token_key *cw_keyring_signer(const struct cw_keyring *ring);
const struct cw_token_key *cw_keyring_find(const struct cw_keyring *ring, const char *kid);

#endif
