-- One alert for each case: it gains evidence instead of being told again, and may be hidden for a while by a suppression.

-- migrate:up

CREATE TABLE suppressions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	rule_id text CHECK (rule_id <> ''),
	address bytea CHECK (octet_length(address) = 20),
	dedup_key text CHECK (dedup_key <> ''),
	chain_id bigint CHECK (chain_id >= 0),
	reason text NOT NULL CHECK (reason <> ''),
	owner_id bigint REFERENCES users ON DELETE SET NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	ended_at timestamptz,
	ended_by bigint REFERENCES users ON DELETE SET NULL,
	hidden bigint NOT NULL DEFAULT 0,
	last_hidden_at timestamptz,
	CHECK (num_nonnulls(rule_id, address, dedup_key) > 0)
) WITH (fillfactor = 70);
CREATE INDEX suppressions_active_idx ON suppressions (expires_at) WHERE ended_at IS NULL;
COMMENT ON TABLE suppressions IS 'alerts that nobody wants to see for a while: what they match is stored and not told';
COMMENT ON COLUMN suppressions.address IS 'sender or receiver; columns that are null match everything';
COMMENT ON COLUMN suppressions.owner_id IS 'who answers for it';
COMMENT ON COLUMN suppressions.hidden IS 'fires that it has kept from being told';

ALTER TABLE anomalies
	ADD COLUMN founder bigint,
	ADD COLUMN occurrences bigint NOT NULL DEFAULT 1,
	ADD COLUMN last_seen timestamptz NOT NULL DEFAULT now(),
	ADD COLUMN suppressed_by bigint REFERENCES suppressions ON DELETE SET NULL;
UPDATE anomalies a SET founder = transaction_id,
	last_seen = (SELECT t.timestamp FROM transactions t WHERE t.id = a.transaction_id);
CREATE UNIQUE INDEX anomalies_founder_idx ON anomalies (founder, rule_id, shadow);
CREATE INDEX anomalies_suppressed_by_idx ON anomalies (suppressed_by) WHERE suppressed_by IS NOT NULL;
COMMENT ON COLUMN anomalies.founder IS
	'evaluation order of the transaction that founded the alert, as the evaluator says it; further fires find the row by it. Null: stored by another hand';
COMMENT ON COLUMN anomalies.occurrences IS 'transactions on which it fired';
COMMENT ON COLUMN anomalies.last_seen IS 'block time of the last of them';
COMMENT ON COLUMN anomalies.suppressed_by IS 'nobody was told: every fire so far was hidden by a suppression';

CREATE TABLE anomaly_evidence (
	transaction_id bigint NOT NULL REFERENCES transactions ON DELETE CASCADE,
	anomaly_id bigint NOT NULL REFERENCES anomalies ON DELETE CASCADE,
	model_id bigint NOT NULL REFERENCES model_versions,
	anomaly_score double precision NOT NULL CHECK (anomaly_score BETWEEN 0 AND 1),
	confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
	detected_at timestamptz NOT NULL DEFAULT now(),
	severity severity NOT NULL,
	suppressed_by bigint REFERENCES suppressions ON DELETE SET NULL,
	features_used jsonb NOT NULL DEFAULT '{}',
	explanation text NOT NULL DEFAULT '',
	PRIMARY KEY (transaction_id, anomaly_id)
);
CREATE INDEX anomaly_evidence_anomaly_id_idx ON anomaly_evidence (anomaly_id, transaction_id);
CREATE INDEX anomaly_evidence_suppressed_by_idx ON anomaly_evidence (suppressed_by) WHERE suppressed_by IS NOT NULL;
COMMENT ON TABLE anomaly_evidence IS 'each fire of an alert, the founding one included: what the rule said there';
COMMENT ON COLUMN anomaly_evidence.suppressed_by IS 'what kept this fire from being told';
INSERT INTO anomaly_evidence (transaction_id, anomaly_id, model_id, anomaly_score, confidence, detected_at, severity,
	features_used, explanation)
	SELECT transaction_id, id, model_id, anomaly_score, confidence, detected_at, severity, features_used, explanation
	FROM anomalies;

-- migrate:down

DROP TABLE anomaly_evidence;
DROP INDEX anomalies_suppressed_by_idx;
DROP INDEX anomalies_founder_idx;
ALTER TABLE anomalies DROP COLUMN suppressed_by, DROP COLUMN last_seen, DROP COLUMN occurrences, DROP COLUMN founder;
DROP TABLE suppressions;
