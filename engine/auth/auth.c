#include "auth/auth.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "base/clock.h"

const char *cw_auth_claims(const struct cw_auth *auth, const char *token, size_t len, struct cw_claims *claims)
{
	struct cw_token_rules rules = {
		.issuer = auth->conf.issuer,
		.audience = auth->conf.audience,
		.leeway_s = auth->conf.leeway_s,
		.now_s = cw_clock_wall_us() / 1000000,
	};

	return cw_token_verify(auth->keyring, token, len, &rules, claims);
}

const char *cw_auth_token(const struct cw_auth *auth, const char *token, size_t len, struct cw_identity *out)
{
	struct cw_claims claims;
	const char *wrong = cw_auth_claims(auth, token, len, &claims);

	if (wrong != NULL)
		return wrong;
	return cw_directory_session(auth->directory, &claims, out) ? NULL : CW_AUTH_UNKNOWN;
}

void cw_auth_issue(const struct cw_auth *auth, int64_t user_id, int64_t session_id, int64_t epoch, struct cw_buf *out)
{
	struct cw_claims claims = { .user_id = user_id, .session_id = session_id, .epoch = epoch };
	unsigned char random[16];

	claims.issued_s = claims.not_before_s = cw_clock_wall_us() / 1000000;
	claims.expires_s = claims.issued_s + auth->conf.access_s;
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(claims.id, sizeof(claims.id), random, sizeof(random));
	cw_token_sign(auth->keyring, &claims, auth->conf.issuer, auth->conf.audience, out);
}
