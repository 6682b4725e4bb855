/* identity.h - what the front door needs of users and api_keys: every key that is good now, and the first admin. */
#ifndef CW_STORE_IDENTITY_H
#define CW_STORE_IDENTITY_H

#include <stdint.h>

#include "pg/conn.h"

struct cw_arena;
struct cw_array;
struct cw_pool;

/* Rows: id int8, user_id int8, hashed_key bytea (SHA-256), roles text, scopes text (both joined by commas),
 * expires_at timestamptz or null. Keys and users that are switched off are left out. */
uint64_t cw_identity_keys(struct cw_pool *pool, cw_query_fn *fn, void *arg);
enum { CW_KEY_ID = 0, CW_KEY_USER, CW_KEY_HASH, CW_KEY_ROLES, CW_KEY_SCOPES, CW_KEY_EXPIRES };

/* One row: version int8, which changes with everything below. */
uint64_t cw_identity_version(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* Active users: id int8, roles text, token_epoch int8. */
uint64_t cw_identity_users(struct cw_pool *pool, cw_query_fn *fn, void *arg);
enum { CW_USER_ID = 0, CW_USER_ROLES, CW_USER_EPOCH };
/* Sessions that were ended within the last day (an access token lives no longer): id int8. */
uint64_t cw_identity_ended_sessions(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* Access tokens that were ended one by one and would not have expired yet: jti text. */
uint64_t cw_identity_revoked_tokens(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* Writes last_used of keys; `ids` and `times` are arrays of one length made in `arena`. */
uint64_t cw_identity_touch(struct cw_pool *pool, struct cw_array *ids, struct cw_array *times, struct cw_arena *arena,
                           cw_query_fn *fn, void *arg);
/* Deletes sessions that expired a week ago or more, a thousand at most; ended tokens that have expired; and failed logins
 * of more than a day ago, and the oldest beyond 100,000 names. */
uint64_t cw_identity_purge(struct cw_pool *pool, cw_query_fn *fn, void *arg);

/* One row: seq int8, hash bytea, anchor_seq int8, anchor_hash bytea, and the hash of entry `before` or null. */
uint64_t cw_identity_audit_head(struct cw_pool *pool, int64_t before, cw_query_fn *fn, void *arg);
enum { CW_HEAD_SEQ = 0, CW_HEAD_HASH, CW_HEAD_ANCHOR_SEQ, CW_HEAD_ANCHOR_HASH, CW_HEAD_BEFORE };

/* Makes the user `email` with role admin if it is not there, and gives it this key (active again if it was revoked).
 * One row: the key's id. */
uint64_t cw_identity_ensure_admin(struct cw_pool *pool, const char *email, const uint8_t hashed_key[32],
                                  const char *prefix, cw_query_fn *fn, void *arg);

#endif
