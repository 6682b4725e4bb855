-- Scheduled jobs run once, however many engines there are: a slot is taken by who inserts its row first, and one run of a
-- job at a time is running. Legal holds name what retention may not touch.

-- migrate:up

ALTER TABLE job_runs ADD COLUMN slot timestamptz, ADD COLUMN worker text, ADD COLUMN heartbeat_at timestamptz;
CREATE UNIQUE INDEX job_runs_slot_key ON job_runs (name, slot) WHERE slot IS NOT NULL;
CREATE UNIQUE INDEX job_runs_running_key ON job_runs (name) WHERE status = 'running' AND worker IS NOT NULL;
COMMENT ON COLUMN job_runs.slot IS 'the time it was planned for; null: started by hand';
COMMENT ON COLUMN job_runs.worker IS 'the engine that runs it';
COMMENT ON COLUMN job_runs.heartbeat_at IS 'when that engine said so last; a run whose engine is silent is taken for interrupted';

CREATE TABLE legal_holds (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	hash bytea CHECK (octet_length(hash) = 32),
	address bytea CHECK (octet_length(address) = 20),
	rule_id text CHECK (rule_id <> ''),
	reason text NOT NULL CHECK (reason <> ''),
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by bigint REFERENCES users ON DELETE SET NULL,
	released_at timestamptz,
	released_by bigint REFERENCES users ON DELETE SET NULL,
	CHECK (num_nonnulls(hash, address, rule_id) = 1)
);
CREATE INDEX legal_holds_hash_idx ON legal_holds (hash) WHERE released_at IS NULL AND hash IS NOT NULL;
CREATE INDEX legal_holds_address_idx ON legal_holds (address) WHERE released_at IS NULL AND address IS NOT NULL;
CREATE INDEX legal_holds_rule_id_idx ON legal_holds (rule_id) WHERE released_at IS NULL AND rule_id IS NOT NULL;
COMMENT ON TABLE legal_holds IS 'what must be kept, whatever the retention policy says: a transaction, all of an address, all that a rule found';
COMMENT ON COLUMN legal_holds.rule_id IS 'anomalies of this rule and the transactions they were found on';

CREATE INDEX transactions_created_at_idx ON transactions USING brin (created_at)
	WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX transactions_orphaned_idx ON transactions (id) WHERE NOT canonical;
COMMENT ON INDEX transactions_created_at_idx IS 'for retention, which goes by arrival';

CREATE FUNCTION is_held(of_transaction bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM legal_holds WHERE released_at IS NULL) AND EXISTS (
		SELECT FROM transactions t JOIN legal_holds h ON h.released_at IS NULL AND (h.hash = t.hash OR h.address = t.from_address
			OR h.address = t.to_address OR h.rule_id IN (SELECT a.rule_id FROM anomalies a WHERE a.transaction_id = t.id))
		WHERE t.id = of_transaction)
$$;
COMMENT ON FUNCTION is_held(bigint) IS 'is this transaction, or something that was found on it, under a legal hold?';

CREATE FUNCTION partition_drop(parent regclass, name text) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp SET lock_timeout = '300ms' AS $$
BEGIN
	IF name LIKE '%\_default' OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent AND
			inhrelid = to_regclass(format('partitions.%I', name))) THEN
		RAISE EXCEPTION '"%" is no month of %', name, parent USING ERRCODE = 'invalid_parameter_value';
	END IF;
	EXECUTE format('ALTER TABLE %s DETACH PARTITION partitions.%I', parent, name);
	EXECUTE format('DROP TABLE partitions.%I', name);
	IF parent = 'audit_logs'::regclass THEN
		PERFORM audit_anchor();
	END IF;
END
$$;
COMMENT ON FUNCTION partition_drop(regclass, text) IS
	'detaches a month and drops it, in an instant or not at all (55P03: the table was busy); the audit chain is anchored behind it';

-- migrate:down

DROP FUNCTION partition_drop(regclass, text);
DROP FUNCTION is_held(bigint);
DROP INDEX transactions_orphaned_idx;
DROP INDEX transactions_created_at_idx;
DROP TABLE legal_holds;
DROP INDEX job_runs_running_key;
DROP INDEX job_runs_slot_key;
ALTER TABLE job_runs DROP COLUMN heartbeat_at, DROP COLUMN worker, DROP COLUMN slot;
