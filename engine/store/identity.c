#include "store/identity.h"

#include <string.h>

#include "base/arena.h"
#include "pg/pool.h"

static const struct cw_stmt keys = {
	"identity_keys",
	"SELECT k.id, k.user_id, k.hashed_key, array_to_string(u.roles, ','), array_to_string(k.scopes, ','), k.expires_at"
	"  FROM api_keys k JOIN users u ON u.id = k.user_id"
	" WHERE k.is_active AND u.is_active AND (k.expires_at IS NULL OR k.expires_at > now())",
};

static const struct cw_stmt version = { "identity_version", "SELECT version FROM auth_version" };

static const struct cw_stmt users = {
	"identity_users", "SELECT id, array_to_string(roles, ','), token_epoch::bigint FROM users WHERE is_active",
};

static const struct cw_stmt ended = {
	"identity_ended_sessions", "SELECT id FROM auth_sessions WHERE revoked_at > now() - interval '25 hours'",
};

static const struct cw_stmt revoked = {
	"identity_revoked_tokens", "SELECT jti FROM revoked_tokens WHERE expires_at > now() - interval '10 minutes'",
};

static const struct cw_stmt touch = {
	"identity_touch",
	"UPDATE api_keys k SET last_used = t.used FROM unnest($1::bigint[], $2::timestamptz[]) AS t (id, used)"
	" WHERE k.id = t.id AND (k.last_used IS NULL OR k.last_used < t.used)",
};

static const struct cw_stmt purge = {
	"identity_purge",
	"WITH tokens AS (DELETE FROM revoked_tokens WHERE expires_at < now() - interval '1 hour'),"
	" names AS (DELETE FROM login_failures WHERE last_at < greatest(now() - interval '1 day',"
	"  (SELECT last_at FROM login_failures ORDER BY last_at DESC OFFSET 100000 LIMIT 1)))"
	" DELETE FROM auth_sessions WHERE id IN (SELECT id FROM auth_sessions WHERE expires_at < now() - interval '7 days'"
	" ORDER BY expires_at LIMIT 1000)",
};

static const struct cw_stmt audit_head = {
	"identity_audit_head",
	"SELECT seq, hash, anchor_seq, anchor_hash, (SELECT l.hash FROM audit_logs l WHERE l.seq = $1 LIMIT 1) FROM audit_head",
};

static const struct cw_stmt ensure_admin = {
	"identity_ensure_admin",
	"WITH made AS ("
	"  INSERT INTO users (email, roles) VALUES ($1, '{admin}')"
	"  ON CONFLICT (lower(email)) DO UPDATE SET is_active = true RETURNING id)"
	" INSERT INTO api_keys (user_id, name, hashed_key, prefix)"
	" SELECT id, 'admin', $2, $3 FROM made"
	" ON CONFLICT (hashed_key) DO UPDATE SET is_active = true, expires_at = NULL RETURNING id",
};

uint64_t cw_identity_keys(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &keys, NULL, fn, arg);
}

uint64_t cw_identity_version(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &version, NULL, fn, arg);
}

uint64_t cw_identity_users(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &users, NULL, fn, arg);
}

uint64_t cw_identity_ended_sessions(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &ended, NULL, fn, arg);
}

uint64_t cw_identity_revoked_tokens(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &revoked, NULL, fn, arg);
}

uint64_t cw_identity_touch(struct cw_pool *pool, struct cw_array *ids, struct cw_array *times, struct cw_arena *arena,
                           cw_query_fn *fn, void *arg)
{
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_array(&params, ids);
	cw_params_array(&params, times);
	return cw_pool_query(pool, &touch, &params, fn, arg);
}

uint64_t cw_identity_purge(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_query(pool, &purge, NULL, fn, arg);
}

uint64_t cw_identity_audit_head(struct cw_pool *pool, int64_t before, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, before);
	query = cw_pool_read(pool, &audit_head, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

uint64_t cw_identity_ensure_admin(struct cw_pool *pool, const char *email, const uint8_t hashed_key[32],
                                  const char *prefix, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, email);
	cw_params_bytea(&params, hashed_key, 32);
	cw_params_cstring(&params, prefix);
	query = cw_pool_query(pool, &ensure_admin, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
