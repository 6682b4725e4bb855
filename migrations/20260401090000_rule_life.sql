-- The life of a rule: which version was switched off and as what, versions that came in over HTTP, alarms about the rate
-- of alerts.

-- migrate:up

ALTER TABLE rule_states
	ADD COLUMN role text NOT NULL DEFAULT 'live' CHECK (role IN ('live', 'candidate')),
	ADD COLUMN sha256 text NOT NULL DEFAULT '';
ALTER TABLE rule_states DROP CONSTRAINT rule_states_pkey, ADD PRIMARY KEY (rule_id, role);
COMMENT ON COLUMN rule_states.role IS 'the version that judges, or the candidate beside it';
COMMENT ON COLUMN rule_states.sha256 IS 'of the version that was quarantined: another one is not; empty: any version';

CREATE TABLE rule_sources (
	rule_id text NOT NULL,
	role text NOT NULL CHECK (role IN ('candidate', 'promoted')),
	sha256 text NOT NULL,
	source text NOT NULL CHECK (octet_length(source) <= 65536),
	replaces text NOT NULL DEFAULT '',
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by bigint REFERENCES users ON DELETE SET NULL,
	PRIMARY KEY (rule_id, role)
);
COMMENT ON TABLE rule_sources IS 'rules whose text is not that of a file: candidates on trial, and versions that were promoted';
COMMENT ON COLUMN rule_sources.replaces IS 'promoted: SHA-256 of the file it stands in for, until that file changes; empty: there was none';

CREATE TABLE rule_alarms (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule_id text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('silent', 'flood')),
	observed double precision NOT NULL,
	expected_min double precision NOT NULL,
	expected_max double precision NOT NULL,
	basis text NOT NULL CHECK (basis IN ('declared', 'learnt')),
	message text NOT NULL,
	raised_at timestamptz NOT NULL DEFAULT now(),
	cleared_at timestamptz
);
CREATE UNIQUE INDEX rule_alarms_open_key ON rule_alarms (rule_id, kind) WHERE cleared_at IS NULL;
CREATE INDEX rule_alarms_raised_at_idx ON rule_alarms (raised_at, id);
COMMENT ON TABLE rule_alarms IS 'rules that fell silent or flooded: alerts a day against what was declared or learnt';
COMMENT ON COLUMN rule_alarms.observed IS 'alerts in the last day (silent), or in the last hour times 24 (flood)';

-- migrate:down

DROP TABLE rule_alarms;
DROP TABLE rule_sources;
DELETE FROM rule_states WHERE role <> 'live';
ALTER TABLE rule_states DROP CONSTRAINT rule_states_pkey, ADD PRIMARY KEY (rule_id);
ALTER TABLE rule_states DROP COLUMN role, DROP COLUMN sha256;
