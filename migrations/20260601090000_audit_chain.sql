-- The audit log chains itself: whoever inserts a row (engine, script, psql), a trigger numbers it without gaps and writes
-- its hash over the hash before it. The head of the chain is one row; its lock puts auditing commits one after another
-- and nobody else.

-- migrate:up

-- Rows that are there already are chained below, in their order.
CREATE TEMP TABLE audit_logs_before ON COMMIT DROP AS TABLE audit_logs;
SET LOCAL chainwatch.audit_retention = on;
DELETE FROM audit_logs;
SET LOCAL chainwatch.audit_retention = off;

ALTER TABLE audit_logs ADD COLUMN seq bigint NOT NULL, ADD COLUMN request_id text;
CREATE INDEX audit_logs_seq_idx ON audit_logs (seq);
COMMENT ON COLUMN audit_logs.seq IS 'place in the chain, without gaps; given by the trigger';
COMMENT ON COLUMN audit_logs.request_id IS 'X-Request-Id of the request that did it; null: the engine itself, or a tool';

CREATE TABLE audit_head (
	id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
	seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
	hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(hash) = 32),
	anchor_seq bigint NOT NULL DEFAULT 0 CHECK (anchor_seq BETWEEN 0 AND seq),
	anchor_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(anchor_hash) = 32),
	updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);
INSERT INTO audit_head DEFAULT VALUES;
COMMENT ON TABLE audit_head IS 'one row: the newest link of the audit chain, and the link behind which it begins';
COMMENT ON COLUMN audit_head.anchor_seq IS 'entries up to here were deleted by retention; 0: none';
COMMENT ON COLUMN audit_head.anchor_hash IS 'hash of that entry, which the first one kept continues';

-- Each field as "length:bytes", a null as "-": no two rows have the same text.
CREATE FUNCTION audit_text(VARIADIC fields text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(coalesce(octet_length(f) || ':' || f, '-'), ',' ORDER BY n)
	FROM unnest(fields) WITH ORDINALITY AS t (f, n)
$$;
COMMENT ON FUNCTION audit_text(text[]) IS 'canonical text of an audit entry; "chainwatch audit verify" makes the same';

CREATE FUNCTION audit_logs_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
	head audit_head;
BEGIN
	SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
	NEW.seq := head.seq + 1;
	NEW.previous_hash := head.hash;
	NEW.hash := sha256(NEW.previous_hash || convert_to(audit_text(NEW.seq::text, NEW.id::text,
		(extract(epoch FROM NEW.timestamp) * 1000000)::bigint::text, NEW.event_type, NEW.user_id::text,
		NEW.api_key_id::text, NEW.resource, NEW.action, NEW.status, NEW.ip_address::text, NEW.user_agent,
		NEW.request_id, NEW.severity, NEW.details::text), 'UTF8'));
	UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash, updated_at = now();
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION audit_logs_chain() IS 'fills seq, previous_hash and hash, whatever was given, and moves the head';
CREATE TRIGGER audit_logs_chain BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION audit_logs_chain();

CREATE FUNCTION audit_anchor() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
	head audit_head;
	kept record;
BEGIN
	SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
	SELECT l.seq - 1 AS seq, l.previous_hash AS hash INTO kept FROM (
		SELECT seq, previous_hash, lag(seq) OVER (ORDER BY seq) AS before
		FROM (SELECT seq, previous_hash FROM audit_logs ORDER BY seq LIMIT 1000) AS oldest) AS l
	WHERE l.before IS NULL OR l.before < l.seq - 1 ORDER BY l.seq DESC LIMIT 1;
	IF NOT FOUND THEN
		SELECT head.seq AS seq, head.hash AS hash INTO kept;
	END IF;
	IF kept.seq <= head.anchor_seq THEN
		RETURN head.anchor_seq;
	END IF;
	UPDATE audit_head SET anchor_seq = kept.seq, anchor_hash = kept.hash, updated_at = now();
	INSERT INTO audit_logs (event_type, resource, action, status, details)
	VALUES ('audit.anchor', 'audit_logs', 'retain', 'success',
		json_build_object('seq', kept.seq, 'hash', encode(kept.hash, 'hex')));
	RETURN kept.seq;
END
$$;
COMMENT ON FUNCTION audit_anchor() IS
	'after retention deleted the oldest entries, in the same transaction: the chain begins behind them, and says so';

INSERT INTO audit_logs (id, event_type, user_id, api_key_id, resource, action, status, ip_address, user_agent, details,
	severity, timestamp) OVERRIDING SYSTEM VALUE
SELECT id, event_type, user_id, api_key_id, resource, action, status, ip_address, user_agent, details, severity, timestamp
FROM audit_logs_before ORDER BY id;

-- migrate:down

DROP TRIGGER audit_logs_chain ON audit_logs;
DROP FUNCTION audit_anchor();
DROP FUNCTION audit_logs_chain();
DROP FUNCTION audit_text(text[]);
DROP TABLE audit_head;
DROP INDEX audit_logs_seq_idx;
ALTER TABLE audit_logs DROP COLUMN request_id, DROP COLUMN seq;
