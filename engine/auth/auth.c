#include "auth/auth.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "base/clock.h"

const char *cw_auth_token(const struct cw_auth *auth, const char *token, size_t len, struct cw_identity *out)
{
	struct cw_token_rules rules = {
		.issuer = auth->conf.issuer,
		.audience = auth->conf.audience,
		.leeway_s = auth->conf.leeway_s,
		.now_s = cw_clock_wall_us() / 1000000,
	};
	struct cw_claims claims;
	const char *wrong = cw_token_verify(auth->keyring, token, len, &rules, &claims);

	if (wrong != NULL)
		return wrong;
	if (!cw_directory_session(auth->directory, claims.user_id, claims.session_id, out))
		return CW_AUTH_UNKNOWN;
	return NULL;
}

void cw_auth_issue(const struct cw_auth *auth, int64_t user_id, int64_t session_id, struct cw_buf *out)
{
	struct cw_claims claims = { .user_id = user_id, .session_id = session_id };
	unsigned char random[16];

	claims.issued_s = claims.not_before_s = cw_clock_wall_us() / 1000000;
	claims.expires_s = claims.issued_s + auth->conf.access_s;
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(claims.id, sizeof(claims.id), random, sizeof(random));
	cw_token_sign(auth->keyring, &claims, auth->conf.issuer, auth->conf.audience, out);
}
