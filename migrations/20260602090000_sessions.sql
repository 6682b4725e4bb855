-- Logins: a session is what one login began; its refresh tokens follow each other, each used once. Invitations let a
-- person set a password of their own. auth_version is how an engine sees, with one small read, that something that it
-- keeps in memory has changed.

-- migrate:up

CREATE TABLE auth_sessions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	last_used timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	revoked_at timestamptz,
	revoked_reason text,
	ip_address inet,
	user_agent text
);
CREATE INDEX auth_sessions_user_id_idx ON auth_sessions (user_id, id);
CREATE INDEX auth_sessions_revoked_at_idx ON auth_sessions (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX auth_sessions_expires_at_idx ON auth_sessions (expires_at);
COMMENT ON TABLE auth_sessions IS 'what a login began: access tokens name it, refresh tokens belong to it';
COMMENT ON COLUMN auth_sessions.revoked_reason IS 'logout, password, reuse, admin, or deactivated';

CREATE TABLE refresh_tokens (
	hashed_token bytea PRIMARY KEY CHECK (octet_length(hashed_token) = 32),
	session_id bigint NOT NULL REFERENCES auth_sessions ON DELETE CASCADE,
	issued_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	used_at timestamptz
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
COMMENT ON TABLE refresh_tokens IS 'only their SHA-256 is kept; one that is used twice ends its session';

CREATE TABLE invitations (
	hashed_token bytea PRIMARY KEY CHECK (octet_length(hashed_token) = 32),
	user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
	created_by bigint REFERENCES users ON DELETE SET NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	used_at timestamptz
);
CREATE INDEX invitations_user_id_idx ON invitations (user_id);
COMMENT ON TABLE invitations IS 'one-time tokens with which a user sets the first password, or a new one';

CREATE TABLE auth_version (
	id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
	version bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 10);
INSERT INTO auth_version DEFAULT VALUES;
COMMENT ON TABLE auth_version IS 'one row: goes up with every change of users, keys and sessions that decides who may enter';

CREATE FUNCTION auth_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
	UPDATE auth_version SET version = version + 1;
	RETURN NULL;
END
$$;
CREATE TRIGGER users_changed AFTER INSERT OR DELETE OR UPDATE OF roles, is_active ON users
	FOR EACH STATEMENT EXECUTE FUNCTION auth_changed();
CREATE TRIGGER api_keys_changed AFTER INSERT OR DELETE OR UPDATE OF user_id, hashed_key, scopes, is_active, expires_at
	ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION auth_changed();
CREATE TRIGGER auth_sessions_changed AFTER UPDATE OF revoked_at ON auth_sessions
	FOR EACH STATEMENT EXECUTE FUNCTION auth_changed();

-- migrate:down

DROP TRIGGER auth_sessions_changed ON auth_sessions;
DROP TRIGGER api_keys_changed ON api_keys;
DROP TRIGGER users_changed ON users;
DROP FUNCTION auth_changed();
DROP TABLE auth_version;
DROP TABLE invitations;
DROP TABLE refresh_tokens;
DROP TABLE auth_sessions;
