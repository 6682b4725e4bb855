/* users - people and services. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("id", "u.id", 0),
	CW_COLUMN("email", "u.email", 0),
	CW_COLUMN("roles", "u.roles", 0),
	CW_COLUMN("is_active", "u.is_active", 0),
	CW_COLUMN("created_at", "u.created_at", 0),
	CW_COLUMN("last_login", "u.last_login", 0),
};

/* For the login alone: the hash never enters JSON. */
static const struct cw_column secret_columns[] = {
	CW_COLUMN("id", "u.id", 0),
	CW_COLUMN("email", "u.email", 0),
	CW_COLUMN("roles", "u.roles", 0),
	CW_COLUMN("is_active", "u.is_active", 0),
	CW_COLUMN("created_at", "u.created_at", 0),
	CW_COLUMN("last_login", "u.last_login", 0),
	CW_COLUMN("hashed_password", "u.hashed_password", CW_COL_HIDDEN),
};

#define ROLES "viewer|analyst|operator|admin|service"

static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true } };

static const struct cw_arg_spec list_args[] = {
	{ .name = "email" },
	{ .name = "is_active", .type = CW_ARG_BOOL },
	{ .name = "role", .type = CW_ARG_CHOICE, .choices = ROLES },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM users u");
	cw_build_filter(b, "email", "lower(u.email) = lower(%)");
	cw_build_flag(b, "is_active", "u.is_active", "NOT u.is_active");
	cw_build_filter(b, "role", "% = ANY (u.roles)");
}

const struct cw_op cw_users_list = {
	.repo = "users", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Users, newest first.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .keys = "u.id",
};

static void build_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM users u");
	cw_build_filter(b, "id", "u.id = %");
}

const struct cw_op cw_users_get = {
	.repo = "users", .name = "get", .kind = CW_OP_ONE,
	.summary = "One user.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_get,
};

static const struct cw_arg_spec email_args[] = { { .name = "email", .required = true } };

static void build_by_email(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM users u");
	cw_build_filter(b, "email", "lower(u.email) = lower(%)");
}

const struct cw_op cw_users_by_email = {
	.repo = "users", .name = "by_email", .kind = CW_OP_ONE,
	.summary = "One user by e-mail address, in any case.",
	CW_OP_ARGS(email_args), CW_OP_COLUMNS(secret_columns), .build = build_by_email,
};

static void build_secret(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM users u");
	cw_build_filter(b, "id", "u.id = %");
}

const struct cw_op cw_users_secret = {
	.repo = "users", .name = "secret", .kind = CW_OP_ONE,
	.summary = "One user with the password's hash, which only C sees.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(secret_columns), .build = build_secret,
};

static const struct cw_arg_spec create_args[] = {
	{ .name = "email", .required = true },
	{ .name = "hashed_password" },
	{ .name = "roles", .type = CW_ARG_CHOICES, .choices = ROLES },
};

static void build_create(struct cw_build *b)
{
	cw_build_value(b, "email", "INSERT INTO users AS u (email, hashed_password, roles) VALUES (%");
	cw_build_value(b, "hashed_password", ", %");
	cw_build_value(b, "roles", ", coalesce(%, '{viewer}'))");
	cw_build_returning(b);
}

const struct cw_op cw_users_create = {
	.repo = "users", .name = "create", .kind = CW_OP_EXEC,
	.summary = "A new user; the e-mail address must be free.",
	CW_OP_ARGS(create_args), CW_OP_COLUMNS(columns), .build = build_create,
};

static const struct cw_arg_spec update_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "roles", .type = CW_ARG_CHOICES, .choices = ROLES },
	{ .name = "is_active", .type = CW_ARG_BOOL },
};

static void build_update(struct cw_build *b)
{
	cw_build_value(b, "roles", "UPDATE users u SET roles = coalesce(%, u.roles)");
	cw_build_value(b, "is_active", ", is_active = coalesce(%, u.is_active)");
	cw_build_filter(b, "id", "u.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_users_update = {
	.repo = "users", .name = "update", .kind = CW_OP_EXEC,
	.summary = "Changes what is given.",
	CW_OP_ARGS(update_args), CW_OP_COLUMNS(columns), .build = build_update,
};

static const struct cw_arg_spec password_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "hashed_password", .required = true },
};

static void build_password(struct cw_build *b)
{
	cw_build_value(b, "hashed_password", "UPDATE users u SET token_epoch = u.token_epoch + 1, hashed_password = %");
	cw_build_filter(b, "id", "u.id = %");
	cw_build_returning(b);
}

static const struct cw_column changed_columns[] = {
	CW_COLUMN("id", "u.id", 0),
	CW_COLUMN("email", "u.email", 0),
	CW_COLUMN("roles", "u.roles", 0),
	CW_COLUMN("is_active", "u.is_active", 0),
	CW_COLUMN("created_at", "u.created_at", 0),
	CW_COLUMN("last_login", "u.last_login", 0),
	CW_COLUMN("token_epoch", "u.token_epoch", 0),
};

const struct cw_op cw_users_set_password = {
	.repo = "users", .name = "set_password", .kind = CW_OP_EXEC,
	.summary = "Another password: access tokens that are out end with the old one.",
	CW_OP_ARGS(password_args), CW_OP_COLUMNS(changed_columns), .build = build_password,
};

static void build_rehash(struct cw_build *b)
{
	cw_build_value(b, "hashed_password", "UPDATE users u SET hashed_password = %");
	cw_build_filter(b, "id", "u.id = %");
}

const struct cw_op cw_users_rehash = {
	.repo = "users", .name = "rehash", .kind = CW_OP_EXEC,
	.summary = "A better hash of the same password.",
	CW_OP_ARGS(password_args), .columns = NULL, .ncolumns = 0, .build = build_rehash,
};

static const struct cw_column epoch_columns[] = { CW_COLUMN("token_epoch", "u.token_epoch", 0) };

static void build_sign_out(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE users u SET token_epoch = u.token_epoch + 1");
	cw_build_filter(b, "id", "u.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_users_sign_out = {
	.repo = "users", .name = "sign_out", .kind = CW_OP_EXEC,
	.summary = "Ends every access token of a user that is out.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(epoch_columns), .build = build_sign_out,
};

static void build_touch(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE users u SET last_login = now()");
	cw_build_filter(b, "id", "u.id = %");
}

const struct cw_op cw_users_touch = {
	.repo = "users", .name = "touch", .kind = CW_OP_EXEC,
	.summary = "Notes a login.",
	CW_OP_ARGS(id_args), .columns = NULL, .ncolumns = 0, .build = build_touch,
};

static const struct cw_column count_columns[] = {
	CW_COLUMN("users", "count(*)", 0),
	CW_COLUMN("admins", "count(*) FILTER (WHERE u.is_active AND 'admin' = ANY (u.roles))", 0),
};

static void build_count(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM users u");
}

const struct cw_op cw_users_count = {
	.repo = "users", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many users, and active admins.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(count_columns), .build = build_count,
};
