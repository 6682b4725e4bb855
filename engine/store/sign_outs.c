/* revoked_tokens, login_failures - access tokens that were ended one by one; failed logins by the name that was tried. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_arg_spec token_args[] = {
	{ .name = "jti", .required = true },
	{ .name = "user_id", .type = CW_ARG_INT, .required = true },
	{ .name = "expires_at", .type = CW_ARG_TIME, .required = true },
};

static void build_token(struct cw_build *b)
{
	cw_build_value(b, "jti", "INSERT INTO revoked_tokens (jti, user_id, expires_at) VALUES (%");
	cw_build_value(b, "user_id", ", %");
	cw_build_value(b, "expires_at", ", %) ON CONFLICT DO NOTHING");
}

const struct cw_op cw_revoked_tokens_add = {
	.repo = "revoked_tokens",
	.name = "add",
	.kind = CW_OP_EXEC,
	.summary = "Ends one access token.",
	CW_OP_ARGS(token_args),
	.columns = NULL,
	.ncolumns = 0,
	.build = build_token,
};

/* --- failed logins --- */

static const struct cw_column failure_columns[] = {
	CW_COLUMN("failures", "f.failures", 0),
	CW_COLUMN("age_s", "extract(epoch FROM now() - f.last_at)::float8", 0),
};

static const struct cw_arg_spec name_args[] = { { .name = "hashed_name", .type = CW_ARG_BYTES, .required = true } };

static const struct cw_arg_spec failure_args[] = {
	{ .name = "hashed_name", .type = CW_ARG_BYTES, .required = true },
	{ .name = "forget_s", .type = CW_ARG_INT, .min = 1, .max = 31622400, .required = true },
};

static void build_failures(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM login_failures f");
	cw_build_filter(b, "hashed_name", "f.hashed_name = %");
}

const struct cw_op cw_login_failures_get = {
	.repo = "login_failures",
	.name = "get",
	.kind = CW_OP_ONE,
	.summary = "How often logins with a name have failed, and how long ago the last one was.",
	CW_OP_ARGS(name_args),
	CW_OP_COLUMNS(failure_columns),
	.build = build_failures,
};

static void build_failed(struct cw_build *b)
{
	cw_build_value(b, "hashed_name", "INSERT INTO login_failures AS f (hashed_name, failures) VALUES (%, 1)"
	               " ON CONFLICT (hashed_name) DO UPDATE SET last_at = now(), failures = CASE WHEN f.last_at <");
	cw_build_value(b, "forget_s", " now() - % * interval '1 second' THEN 1 ELSE least(f.failures + 1, 1000000) END");
	cw_build_returning(b);
}

const struct cw_op cw_login_failures_add = {
	.repo = "login_failures",
	.name = "add",
	.kind = CW_OP_EXEC,
	.summary = "One more; the first again when the last one is older than forget_s.",
	CW_OP_ARGS(failure_args),
	CW_OP_COLUMNS(failure_columns),
	.build = build_failed,
};

static void build_clear(struct cw_build *b)
{
	cw_build_sql(b, "DELETE FROM login_failures f");
	cw_build_filter(b, "hashed_name", "f.hashed_name = %");
}

const struct cw_op cw_login_failures_clear = {
	.repo = "login_failures",
	.name = "clear",
	.kind = CW_OP_EXEC,
	.summary = "A login has succeeded.",
	CW_OP_ARGS(name_args),
	.columns = NULL,
	.ncolumns = 0,
	.build = build_clear,
};
