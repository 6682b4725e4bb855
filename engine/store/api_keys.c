/* api_keys - opaque tokens of users; only their SHA-256 is kept. */
#include "store/build.h"
#include "store/ops.h"

#define KEY_COLUMNS \
	CW_COLUMN("id", "k.id", 0), CW_COLUMN("user_id", "k.user_id", 0), CW_COLUMN("name", "k.name", 0), \
	CW_COLUMN("prefix", "k.prefix", 0), CW_COLUMN("scopes", "k.scopes", 0), \
	CW_COLUMN("is_active", "k.is_active", 0), CW_COLUMN("created_at", "k.created_at", 0), \
	CW_COLUMN("last_used", "k.last_used", 0), CW_COLUMN("expires_at", "k.expires_at", 0)

static const struct cw_column columns[] = { KEY_COLUMNS };

static const struct cw_column owner_columns[] = {
	KEY_COLUMNS,
	CW_COLUMN("hashed_key", "k.hashed_key", CW_COL_HIDDEN),
	CW_COLUMN("user", NULL, CW_COL_OPEN),
	CW_COLUMN("id", "u.id", 0),
	CW_COLUMN("email", "u.email", 0),
	CW_COLUMN("roles", "u.roles", 0),
	CW_COLUMN("is_active", "u.is_active", 0),
	CW_COLUMN("", NULL, CW_COL_CLOSE),
};

static const struct cw_arg_spec hash_args[] = { { .name = "hashed_key", .type = CW_ARG_BYTES, .required = true } };

static void build_by_hash(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM api_keys k JOIN users u ON u.id = k.user_id");
	cw_build_filter(b, "hashed_key", "k.hashed_key = %");
}

const struct cw_op cw_api_keys_by_hash = {
	.repo = "api_keys", .name = "by_hash", .kind = CW_OP_ONE,
	.summary = "A key and its user by the SHA-256 of the token, whatever its state.",
	CW_OP_ARGS(hash_args), CW_OP_COLUMNS(owner_columns), .build = build_by_hash,
};

static const struct cw_arg_spec prefix_args[] = { { .name = "prefix", .required = true } };

static void build_by_prefix(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM api_keys k JOIN users u ON u.id = k.user_id");
	cw_build_filter(b, "prefix", "k.prefix = %");
	cw_build_sql(b, " ORDER BY k.id");
}

const struct cw_op cw_api_keys_by_prefix = {
	.repo = "api_keys", .name = "by_prefix", .kind = CW_OP_ROWS,
	.summary = "Keys and their users by what a person sees of the token.",
	CW_OP_ARGS(prefix_args), CW_OP_COLUMNS(owner_columns), .build = build_by_prefix,
};

static const struct cw_arg_spec list_args[] = {
	{ .name = "user_id", .type = CW_ARG_INT },
	{ .name = "is_active", .type = CW_ARG_BOOL },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM api_keys k");
	cw_build_filter(b, "user_id", "k.user_id = %");
	cw_build_flag(b, "is_active", "k.is_active", "NOT k.is_active");
}

const struct cw_op cw_api_keys_list = {
	.repo = "api_keys", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Keys, newest first.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "k.id",
};

static const struct cw_arg_spec create_args[] = {
	{ .name = "user_id", .type = CW_ARG_INT, .required = true },
	{ .name = "name", .required = true },
	{ .name = "hashed_key", .type = CW_ARG_BYTES, .required = true },
	{ .name = "prefix", .required = true },
	{ .name = "scopes", .type = CW_ARG_TEXTS },
	{ .name = "expires_at", .type = CW_ARG_TIME },
};

static void build_create(struct cw_build *b)
{
	cw_build_value(b, "user_id", "INSERT INTO api_keys AS k (user_id, name, hashed_key, prefix, scopes, expires_at)"
	               " VALUES (%");
	cw_build_value(b, "name", ", %");
	cw_build_value(b, "hashed_key", ", %");
	cw_build_value(b, "prefix", ", %");
	cw_build_value(b, "scopes", ", coalesce(%, '{}')");
	cw_build_value(b, "expires_at", ", %)");
	cw_build_returning(b);
}

const struct cw_op cw_api_keys_create = {
	.repo = "api_keys", .name = "create", .kind = CW_OP_EXEC,
	.summary = "A new key of a user.",
	CW_OP_ARGS(create_args), CW_OP_COLUMNS(columns), .build = build_create,
};

static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true } };

static void build_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM api_keys k");
	cw_build_filter(b, "id", "k.id = %");
}

const struct cw_op cw_api_keys_get = {
	.repo = "api_keys", .name = "get", .kind = CW_OP_ONE,
	.summary = "One key.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_get,
};

static const struct cw_arg_spec revoke_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "user_id", .type = CW_ARG_INT },
};

static void build_revoke(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE api_keys k SET is_active = false");
	cw_build_filter(b, "id", "k.id = %");
	cw_build_filter(b, "user_id", "k.user_id = %");
	cw_build_returning(b);
}

const struct cw_op cw_api_keys_revoke = {
	.repo = "api_keys", .name = "revoke", .kind = CW_OP_EXEC,
	.summary = "Ends a key; with user_id only if it is that user's.",
	CW_OP_ARGS(revoke_args), CW_OP_COLUMNS(columns), .build = build_revoke,
};

/* Once a minute is enough to see what is in use, and spares a write a request. */
static void build_touch(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE api_keys k SET last_used = now()");
	cw_build_filter(b, "id", "k.id = %");
	cw_build_sql(b, " AND (k.last_used IS NULL OR k.last_used < now() - interval '1 minute')");
}

const struct cw_op cw_api_keys_touch = {
	.repo = "api_keys", .name = "touch", .kind = CW_OP_EXEC,
	.summary = "Notes that a key was used, once a minute at most.",
	CW_OP_ARGS(id_args), .columns = NULL, .ncolumns = 0, .build = build_touch,
};
