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
