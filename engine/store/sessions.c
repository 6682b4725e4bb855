/* auth_sessions, refresh_tokens, invitations - what a login began, and how it goes on. Tokens come as their SHA-256. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("id", "s.id", 0),
	CW_COLUMN("user_id", "s.user_id", 0),
	CW_COLUMN("created_at", "s.created_at", 0),
	CW_COLUMN("last_used", "s.last_used", 0),
	CW_COLUMN("expires_at", "s.expires_at", 0),
	CW_COLUMN("revoked_at", "s.revoked_at", 0),
	CW_COLUMN("revoked_reason", "s.revoked_reason", 0),
	CW_COLUMN("ip_address", "host(s.ip_address)", 0),
	CW_COLUMN("user_agent", "s.user_agent", 0),
};

/* With what an access token needs to know of the user. */
static const struct cw_column begun_columns[] = {
	CW_COLUMN("id", "s.id", 0),
	CW_COLUMN("user_id", "s.user_id", 0),
	CW_COLUMN("expires_at", "s.expires_at", 0),
	CW_COLUMN("token_epoch", "(SELECT e.token_epoch FROM users e WHERE e.id = s.user_id)", 0),
};

static const struct cw_arg_spec open_args[] = {
	{ .name = "user_id", .type = CW_ARG_INT, .required = true },
	{ .name = "hashed_token", .type = CW_ARG_BYTES, .required = true },
	{ .name = "seconds", .type = CW_ARG_INT, .min = 1, .max = 31622400, .required = true },
	{ .name = "ip_address" },
	{ .name = "user_agent" },
};

static void build_open(struct cw_build *b)
{
	cw_build_value(b, "user_id",
	               "WITH s AS (INSERT INTO auth_sessions (user_id, expires_at, ip_address, user_agent)"
	               " VALUES (%");
	cw_build_value(b, "seconds", ", now() + % * interval '1 second'");
	cw_build_value(b, "ip_address", ", %::text::inet");
	cw_build_value(b, "user_agent", ", %) RETURNING *),");
	cw_build_value(b, "hashed_token",
	               " t AS (INSERT INTO refresh_tokens (hashed_token, session_id, expires_at)"
	               " SELECT %, s.id, s.expires_at FROM s),");
	cw_build_sql(b, " u AS (UPDATE users SET last_login = now() WHERE id IN (SELECT user_id FROM s)) ");
	cw_build_select(b);
	cw_build_sql(b, " FROM s");
}

const struct cw_op cw_sessions_open = {
	.repo = "sessions",
	.name = "open",
	.kind = CW_OP_EXEC,
	.summary = "A login: a new session with its first refresh token.",
	CW_OP_ARGS(open_args),
	CW_OP_COLUMNS(begun_columns),
	.build = build_open,
};

static const struct cw_arg_spec rotate_args[] = {
	{ .name = "hashed_token", .type = CW_ARG_BYTES, .required = true },
	{ .name = "next_token", .type = CW_ARG_BYTES, .required = true },
};

/* The update of the old token decides: of two who bring it at once, one sees it unused. */
static void build_rotate(struct cw_build *b)
{
	cw_build_value(b, "hashed_token",
	               "WITH old AS (UPDATE refresh_tokens r SET used_at = now() FROM auth_sessions s, users u"
	               " WHERE r.hashed_token = % AND r.used_at IS NULL AND r.expires_at > now() AND s.id = r.session_id"
	               " AND s.revoked_at IS NULL AND s.expires_at > now() AND u.id = s.user_id AND u.is_active"
	               " RETURNING r.session_id, r.expires_at),");
	cw_build_value(b, "next_token",
	               " t AS (INSERT INTO refresh_tokens (hashed_token, session_id, expires_at)"
	               " SELECT %, session_id, expires_at FROM old),");
	cw_build_sql(b, " s AS (UPDATE auth_sessions SET last_used = now() WHERE id IN (SELECT session_id FROM old)"
	                " RETURNING *) ");
	cw_build_select(b);
	cw_build_sql(b, " FROM s");
}

const struct cw_op cw_sessions_rotate = {
	.repo = "sessions",
	.name = "rotate",
	.kind = CW_OP_EXEC,
	.summary = "Takes a refresh token, once, and puts the next one in its place; no row: it is not good.",
	CW_OP_ARGS(rotate_args),
	CW_OP_COLUMNS(begun_columns),
	.build = build_rotate,
};

static const struct cw_column token_columns[] = {
	CW_COLUMN("session_id", "r.session_id", 0), CW_COLUMN("user_id", "s.user_id", 0),
	CW_COLUMN("used_at", "r.used_at", 0),       CW_COLUMN("expires_at", "r.expires_at", 0),
	CW_COLUMN("revoked_at", "s.revoked_at", 0),
};

static const struct cw_arg_spec token_args[] = { { .name = "hashed_token", .type = CW_ARG_BYTES, .required = true } };

static void build_by_token(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM refresh_tokens r JOIN auth_sessions s ON s.id = r.session_id");
	cw_build_filter(b, "hashed_token", "r.hashed_token = %");
}

const struct cw_op cw_sessions_by_token = {
	.repo = "sessions",
	.name = "by_token",
	.kind = CW_OP_ONE,
	.summary = "What became of a refresh token.",
	CW_OP_ARGS(token_args),
	CW_OP_COLUMNS(token_columns),
	.build = build_by_token,
};

static const struct cw_arg_spec revoke_args[] = {
	{ .name = "id", .type = CW_ARG_INT },
	{ .name = "user_id", .type = CW_ARG_INT },
	{ .name = "except", .type = CW_ARG_INT },
	{ .name = "reason", .type = CW_ARG_CHOICE, .choices = "logout|password|reuse|admin|deactivated", .required = true },
};

static void build_revoke(struct cw_build *b)
{
	cw_build_value(b, "reason", "UPDATE auth_sessions s SET revoked_at = now(), revoked_reason = %");
	cw_build_and(b);
	cw_build_sql(b, "s.revoked_at IS NULL");
	cw_build_filter(b, "id", "s.id = %");
	cw_build_filter(b, "user_id", "s.user_id = %");
	cw_build_filter(b, "except", "s.id <> %");
	if (cw_build_arg(b, "id") == NULL && cw_build_arg(b, "user_id") == NULL) {
		cw_build_and(b);
		cw_build_sql(b, "false");
	}
}

const struct cw_op cw_sessions_revoke = {
	.repo = "sessions",
	.name = "revoke",
	.kind = CW_OP_EXEC,
	.summary = "Ends one session, or all of a user (but one); their tokens are good for nothing any more.",
	CW_OP_ARGS(revoke_args),
	.columns = NULL,
	.ncolumns = 0,
	.build = build_revoke,
};

static const struct cw_arg_spec list_args[] = {
	{ .name = "user_id", .type = CW_ARG_INT },
	{ .name = "open", .type = CW_ARG_BOOL },
	CW_PAGE_ARGS,
};

static void build_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM auth_sessions s");
	cw_build_filter(b, "user_id", "s.user_id = %");
	cw_build_flag(b, "open", "(s.revoked_at IS NULL AND s.expires_at > now())",
	              "(s.revoked_at IS NOT NULL OR s.expires_at <= now())");
}

const struct cw_op cw_sessions_list = {
	.repo = "sessions",
	.name = "list",
	.kind = CW_OP_PAGE,
	.summary = "Sessions, newest first.",
	CW_OP_ARGS(list_args),
	CW_OP_COLUMNS(columns),
	.build = build_list,
	.keys = "s.id",
};

/* --- invitations --- */

static const struct cw_column invitation_columns[] = {
	CW_COLUMN("user_id", "i.user_id", 0),
	CW_COLUMN("created_at", "i.created_at", 0),
	CW_COLUMN("expires_at", "i.expires_at", 0),
};

static const struct cw_arg_spec invite_args[] = {
	{ .name = "user_id", .type = CW_ARG_INT, .required = true },
	{ .name = "hashed_token", .type = CW_ARG_BYTES, .required = true },
	{ .name = "created_by", .type = CW_ARG_INT },
	{ .name = "seconds", .type = CW_ARG_INT, .min = 1, .max = 31622400, .required = true },
};

static void build_invite(struct cw_build *b)
{
	cw_build_value(b, "hashed_token",
	               "INSERT INTO invitations AS i (hashed_token, user_id, created_by, expires_at)"
	               " VALUES (%");
	cw_build_value(b, "user_id", ", %");
	cw_build_value(b, "created_by", ", %");
	cw_build_value(b, "seconds", ", now() + % * interval '1 second')");
	cw_build_returning(b);
}

const struct cw_op cw_invitations_create = {
	.repo = "invitations",
	.name = "create",
	.kind = CW_OP_EXEC,
	.summary = "A one-time token with which a user sets a password.",
	CW_OP_ARGS(invite_args),
	CW_OP_COLUMNS(invitation_columns),
	.build = build_invite,
};

static void build_take(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE invitations i SET used_at = now()");
	cw_build_filter(b, "hashed_token", "i.hashed_token = %");
	cw_build_sql(b, " AND i.used_at IS NULL AND i.expires_at > now()"
	                " AND EXISTS (SELECT FROM users u WHERE u.id = i.user_id AND u.is_active)");
	cw_build_returning(b);
}

const struct cw_op cw_invitations_take = {
	.repo = "invitations",
	.name = "take",
	.kind = CW_OP_EXEC,
	.summary = "Uses an invitation up; no row: it is not good.",
	CW_OP_ARGS(token_args),
	CW_OP_COLUMNS(invitation_columns),
	.build = build_take,
};
