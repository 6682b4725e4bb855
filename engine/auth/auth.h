/* auth.h - the parts of identity together, as gate, scripts and wiring share them. Owned by app. */
#ifndef CW_AUTH_AUTH_H
#define CW_AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/attempts.h"
#include "auth/directory.h"
#include "auth/limit.h"
#include "auth/password.h"
#include "auth/token.h"

struct cw_buf;

struct cw_auth_conf {
	char registration[16], issuer[128], audience[128];
	int64_t access_s, session_s; /* life of an access token, and of a login */
	int64_t leeway_s;
	struct cw_password_conf password;
	struct cw_attempts_conf attempts;
	struct cw_rate login; /* by address: logins, refreshes, registrations */
};

struct cw_auth {
	struct cw_auth_conf conf;
	struct cw_directory *directory;
	struct cw_passwords *passwords;
	struct cw_attempts *attempts;
	struct cw_limits *limits;
	struct cw_keyring *keyring;
};

#define CW_AUTH_UNKNOWN "the token was revoked" /* or its user is not known here yet */

/* The access token of a request: NULL and who it is, or what is wrong. */
const char *cw_auth_token(const struct cw_auth *auth, const char *token, size_t len, struct cw_identity *out);
/* The claims of an access token that is ours and has not expired; what is wrong otherwise. Revoked ones are ours, too. */
const char *cw_auth_claims(const struct cw_auth *auth, const char *token, size_t len, struct cw_claims *claims);
/* Appends a new access token for this session, of the user's epoch as the database has it. */
void cw_auth_issue(const struct cw_auth *auth, int64_t user_id, int64_t session_id, int64_t epoch, struct cw_buf *out);

#endif
