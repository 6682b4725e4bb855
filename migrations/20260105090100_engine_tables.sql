-- What the engine keeps beside the nine tables: small, and written seldom but for the outbox.

-- migrate:up

CREATE TABLE rule_states (
	rule_id text PRIMARY KEY,
	status text NOT NULL CHECK (status IN ('enabled', 'disabled', 'quarantined')),
	reason text NOT NULL DEFAULT '',
	faults bigint NOT NULL DEFAULT 0 CHECK (faults >= 0),
	changed_at timestamptz NOT NULL DEFAULT now(),
	changed_by bigint REFERENCES users ON DELETE SET NULL
);
COMMENT ON TABLE rule_states IS 'rules that were switched off or quarantined, so that a restart keeps them so';
COMMENT ON COLUMN rule_states.changed_by IS 'null: the engine itself';

CREATE TABLE cursors (
	name text PRIMARY KEY,
	position jsonb NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE cursors IS 'how far each source has been read; moves in the same transaction as its rows';

CREATE TABLE outbox (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	anomaly_id bigint REFERENCES anomalies ON DELETE CASCADE,
	target text NOT NULL,
	payload jsonb,
	attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	next_attempt_at timestamptz NOT NULL DEFAULT now(),
	created_at timestamptz NOT NULL DEFAULT now(),
	delivered_at timestamptz,
	failed_at timestamptz,
	last_error text
) WITH (fillfactor = 80);
CREATE INDEX outbox_due_idx ON outbox (next_attempt_at, id) WHERE delivered_at IS NULL AND failed_at IS NULL;
CREATE INDEX outbox_anomaly_id_idx ON outbox (anomaly_id) WHERE anomaly_id IS NOT NULL;
CREATE INDEX outbox_created_at_idx ON outbox USING brin (created_at) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON TABLE outbox IS 'deliveries that were promised by a commit: at least once, then delivered_at or failed_at';
COMMENT ON COLUMN outbox.target IS 'name of the configured receiver; its address and secret are not kept here';

CREATE TABLE labels (
	list text NOT NULL,
	address bytea NOT NULL CHECK (octet_length(address) = 20),
	chain_id bigint NOT NULL DEFAULT 0 CHECK (chain_id >= 0),
	label text NOT NULL DEFAULT '',
	category text NOT NULL DEFAULT '',
	source text NOT NULL DEFAULT '',
	confidence double precision CHECK (confidence BETWEEN 0 AND 1),
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by bigint REFERENCES users ON DELETE SET NULL,
	expires_at timestamptz,
	PRIMARY KEY (list, address, chain_id)
);
CREATE INDEX labels_address_idx ON labels (address);
COMMENT ON TABLE labels IS 'address lists (sanctions, exchanges, allow lists, ...)';
COMMENT ON COLUMN labels.chain_id IS '0: on every chain';

CREATE TABLE job_runs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'interrupted')),
	started_at timestamptz NOT NULL DEFAULT now(),
	finished_at timestamptz,
	detail jsonb NOT NULL DEFAULT '{}',
	error text
);
CREATE INDEX job_runs_name_idx ON job_runs (name, id);
COMMENT ON TABLE job_runs IS 'each run of a scheduled job, a retention slice, a backtest or a training';

-- migrate:down

DROP TABLE job_runs;
DROP TABLE labels;
DROP TABLE outbox;
DROP TABLE cursors;
DROP TABLE rule_states;
