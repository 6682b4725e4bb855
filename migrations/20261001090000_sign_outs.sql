-- Access tokens end before their time: all of a user by an epoch that goes up, single ones by their id. Failed logins are
-- counted here, so that every engine sees them and a restart forgets none.

-- migrate:up

ALTER TABLE users ADD COLUMN token_epoch integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.token_epoch IS 'access tokens of an earlier epoch are refused';

CREATE FUNCTION users_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.roles IS DISTINCT FROM OLD.roles OR NEW.is_active IS DISTINCT FROM OLD.is_active THEN
		NEW.token_epoch := greatest(NEW.token_epoch, OLD.token_epoch + 1);
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION users_epoch() IS 'other roles, switched off or on: the tokens that are out end, whoever did it';
CREATE TRIGGER users_epoch BEFORE UPDATE OF roles, is_active ON users FOR EACH ROW EXECUTE FUNCTION users_epoch();
DROP TRIGGER users_changed ON users;
CREATE TRIGGER users_changed AFTER INSERT OR DELETE OR UPDATE OF roles, is_active, token_epoch ON users
	FOR EACH STATEMENT EXECUTE FUNCTION auth_changed();

CREATE TABLE revoked_tokens (
	jti text PRIMARY KEY CHECK (octet_length(jti) BETWEEN 1 AND 64),
	user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
	revoked_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL
);
CREATE INDEX revoked_tokens_user_id_idx ON revoked_tokens (user_id);
CREATE INDEX revoked_tokens_expires_at_idx ON revoked_tokens (expires_at);
COMMENT ON TABLE revoked_tokens IS 'single access tokens that were ended; kept until they would have expired';
CREATE TRIGGER revoked_tokens_changed AFTER INSERT ON revoked_tokens
	FOR EACH STATEMENT EXECUTE FUNCTION auth_changed();

CREATE TABLE login_failures (
	hashed_name bytea PRIMARY KEY CHECK (octet_length(hashed_name) = 32),
	failures integer NOT NULL CHECK (failures > 0),
	last_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failures_last_at_idx ON login_failures (last_at);
COMMENT ON TABLE login_failures IS 'failed logins by the name that was tried, whether there is such an account or not';
COMMENT ON COLUMN login_failures.hashed_name IS 'SHA-256 of the name in lower case';

-- migrate:down

DROP TABLE login_failures;
DROP TABLE revoked_tokens;
DROP TRIGGER users_changed ON users;
CREATE TRIGGER users_changed AFTER INSERT OR DELETE OR UPDATE OF roles, is_active ON users
	FOR EACH STATEMENT EXECUTE FUNCTION auth_changed();
DROP TRIGGER users_epoch ON users;
DROP FUNCTION users_epoch();
ALTER TABLE users DROP COLUMN token_epoch;
