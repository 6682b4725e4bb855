-- Many audit entries in one transaction: each leaves a dead version of the head behind, and finding the live one among them
-- took longer with each. Its place is remembered for the rest of the transaction; that is a hint, not trusted: where the
-- head is not there (a savepoint was rolled back), it is looked for.

-- migrate:up

CREATE OR REPLACE FUNCTION audit_logs_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
	place text := current_setting('chainwatch.audit_place', true);
	known boolean := false;
	head record;
BEGIN
	IF place ~ '^\(\d+,\d+\)$' THEN
		SELECT ctid, seq, hash INTO head FROM audit_head WHERE ctid = place::tid FOR UPDATE;
		known := FOUND;
	END IF;
	IF NOT known THEN
		SELECT ctid, seq, hash INTO STRICT head FROM audit_head FOR UPDATE;
	END IF;
	NEW.seq := head.seq + 1;
	NEW.previous_hash := head.hash;
	NEW.hash := sha256(NEW.previous_hash || convert_to(audit_text(NEW.seq::text, NEW.id::text,
		(extract(epoch FROM NEW.timestamp) * 1000000)::bigint::text, NEW.event_type, NEW.user_id::text,
		NEW.api_key_id::text, NEW.resource, NEW.action, NEW.status, NEW.ip_address::text, NEW.user_agent,
		NEW.request_id, NEW.severity, NEW.details::text), 'UTF8'));
	UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash, updated_at = now() WHERE ctid = head.ctid
		RETURNING ctid INTO STRICT head.ctid;
	PERFORM set_config('chainwatch.audit_place', head.ctid::text, true);
	RETURN NEW;
END
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION audit_logs_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
