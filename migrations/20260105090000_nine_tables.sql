-- The nine tables. Hashes and addresses are bytea, amounts are exact numeric(78,0) within uint256, times are UTC.
--
-- transactions and predictions take every row that comes in, so each of their indexes answers a query that is made, and
-- nothing is indexed twice: what follows arrival (time, block) has one BRIN index of a few pages.

-- migrate:up

CREATE TYPE severity AS ENUM ('low', 'medium', 'high', 'critical');

CREATE TABLE users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email text NOT NULL CHECK (octet_length(email) BETWEEN 3 AND 254),
	hashed_password text,
	roles text[] NOT NULL DEFAULT '{viewer}',
	is_active boolean NOT NULL DEFAULT true,
	created_at timestamptz NOT NULL DEFAULT now(),
	last_login timestamptz
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
COMMENT ON TABLE users IS 'people and services; deactivated, not deleted, once the audit log names them';
COMMENT ON COLUMN users.hashed_password IS 'Argon2id in PHC form; null: no login by password';
COMMENT ON COLUMN users.roles IS 'viewer, analyst, operator, admin, service';

CREATE TABLE api_keys (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
	name text NOT NULL,
	hashed_key bytea NOT NULL UNIQUE CHECK (octet_length(hashed_key) = 32),
	prefix text NOT NULL,
	scopes text[] NOT NULL DEFAULT '{}',
	is_active boolean NOT NULL DEFAULT true,
	created_at timestamptz NOT NULL DEFAULT now(),
	last_used timestamptz,
	expires_at timestamptz
);
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id);
COMMENT ON TABLE api_keys IS 'opaque tokens; only their SHA-256 is kept';
COMMENT ON COLUMN api_keys.prefix IS 'beginning of the key, so that a person can tell which one it is';

CREATE TABLE models (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE,
	model_type text NOT NULL,
	description text NOT NULL DEFAULT '',
	is_active boolean NOT NULL DEFAULT true,
	created_by bigint REFERENCES users ON DELETE SET NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE models IS 'whatever judges transactions: rules, rulesets, trained models; told apart by model_type';
COMMENT ON COLUMN models.model_type IS 'rule, ruleset, or the method of a trained model (iforest, hbos, ...)';

CREATE TABLE model_versions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	model_id bigint NOT NULL REFERENCES models ON DELETE CASCADE,
	version text NOT NULL,
	storage_path text,
	checksum text,
	source text,
	training_dataset_size bigint CHECK (training_dataset_size >= 0),
	training_duration_seconds double precision CHECK (training_duration_seconds >= 0),
	hyperparameters jsonb NOT NULL DEFAULT '{}',
	metrics jsonb NOT NULL DEFAULT '{}',
	is_deployed boolean NOT NULL DEFAULT false,
	deployed_at timestamptz,
	traffic_percentage double precision NOT NULL DEFAULT 0 CHECK (traffic_percentage BETWEEN 0 AND 100),
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by bigint REFERENCES users ON DELETE SET NULL,
	UNIQUE (model_id, version)
);
COMMENT ON TABLE model_versions IS 'one row for each version that has ever run; anomalies and predictions name it';
COMMENT ON COLUMN model_versions.checksum IS 'SHA-256 (hex) of the artefact, of the rule''s source, or of the ruleset';
COMMENT ON COLUMN model_versions.source IS 'a rule''s source text: the very code that fired can be read and run again';

CREATE TABLE transactions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	chain_id bigint NOT NULL CHECK (chain_id >= 0),
	block_number bigint NOT NULL CHECK (block_number >= 0),
	timestamp timestamptz NOT NULL,
	gas bigint NOT NULL CHECK (gas >= 0),
	gas_used bigint CHECK (gas_used >= 0),
	nonce bigint NOT NULL CHECK (nonce >= 0),
	created_at timestamptz NOT NULL DEFAULT now(),
	tx_index integer CHECK (tx_index >= 0),
	input_size integer NOT NULL DEFAULT 0 CHECK (input_size >= 0),
	status smallint CHECK (status IN (0, 1)),
	canonical boolean NOT NULL DEFAULT true,
	hash bytea NOT NULL CHECK (octet_length(hash) = 32),
	from_address bytea NOT NULL CHECK (octet_length(from_address) = 20),
	to_address bytea CHECK (octet_length(to_address) = 20),
	value numeric(78, 0) NOT NULL CHECK (value BETWEEN 0 AND
		115792089237316195423570985008687907853269984665640564039457584007913129639935),
	gas_price numeric(78, 0) NOT NULL CHECK (gas_price BETWEEN 0 AND
		115792089237316195423570985008687907853269984665640564039457584007913129639935),
	block_hash bytea CHECK (octet_length(block_hash) = 32),
	input_data bytea,
	UNIQUE (hash, chain_id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX transactions_from_address_idx ON transactions (from_address, id);
CREATE INDEX transactions_to_address_idx ON transactions (to_address, id) WHERE to_address IS NOT NULL;
CREATE INDEX transactions_order_idx ON transactions USING brin (timestamp, block_number)
	WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE transactions IS 'what came in, once for each (chain_id, hash)';
COMMENT ON CONSTRAINT transactions_hash_chain_id_key ON transactions IS
	'identity; hash leads, so that the index also answers a look-up by hash alone';
COMMENT ON COLUMN transactions.id IS 'also the order of evaluation, which a replay follows: one stream draws them';
COMMENT ON COLUMN transactions.to_address IS 'null: contract creation';
COMMENT ON COLUMN transactions.input_size IS 'bytes of the full call data; input_data may hold only its beginning';
COMMENT ON COLUMN transactions.canonical IS 'false after a reorg that dropped it';

CREATE TABLE anomalies (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	transaction_id bigint NOT NULL REFERENCES transactions ON DELETE CASCADE,
	model_id bigint NOT NULL REFERENCES model_versions,
	anomaly_score double precision NOT NULL CHECK (anomaly_score BETWEEN 0 AND 1),
	severity severity NOT NULL,
	confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
	rule_id text NOT NULL,
	rule_version text NOT NULL,
	title text NOT NULL DEFAULT '',
	features_used jsonb NOT NULL DEFAULT '{}',
	explanation text NOT NULL DEFAULT '',
	ruleset text NOT NULL DEFAULT '',
	dedup_key text NOT NULL DEFAULT '',
	shadow boolean NOT NULL DEFAULT false,
	detected_at timestamptz NOT NULL DEFAULT now(),
	reviewed boolean NOT NULL DEFAULT false,
	reviewed_by bigint REFERENCES users ON DELETE SET NULL,
	reviewed_at timestamptz,
	review_note text,
	false_positive boolean,
	status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'investigating', 'confirmed', 'dismissed'))
) WITH (fillfactor = 85);
CREATE INDEX anomalies_transaction_id_idx ON anomalies (transaction_id);
CREATE INDEX anomalies_detected_at_idx ON anomalies (detected_at, id);
CREATE INDEX anomalies_severity_idx ON anomalies (severity, detected_at, id);
CREATE INDEX anomalies_rule_id_idx ON anomalies (rule_id, detected_at, id);
CREATE INDEX anomalies_unreviewed_idx ON anomalies (detected_at, id) WHERE NOT reviewed;
COMMENT ON TABLE anomalies IS 'alerts of rules and models, one for each that fired on a transaction';
COMMENT ON COLUMN anomalies.model_id IS 'model_versions.id: the exact code or model that fired';
COMMENT ON COLUMN anomalies.features_used IS 'values, limits and baselines at the time';
COMMENT ON COLUMN anomalies.ruleset IS 'digest of all rules that were live';
COMMENT ON COLUMN anomalies.shadow IS 'of a rule in shadow: stored, never published';
COMMENT ON COLUMN anomalies.false_positive IS 'the reviewer''s word; null before the review';

CREATE TABLE predictions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	transaction_id bigint NOT NULL REFERENCES transactions ON DELETE CASCADE,
	model_version_id bigint NOT NULL REFERENCES model_versions,
	user_id bigint REFERENCES users ON DELETE SET NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	anomaly_score double precision NOT NULL,
	confidence double precision NOT NULL,
	response_time_ms real,
	is_anomaly boolean NOT NULL,
	request_id text,
	faults jsonb
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX predictions_transaction_id_idx ON predictions (transaction_id);
CREATE INDEX predictions_created_at_idx ON predictions USING brin (created_at)
	WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE predictions IS 'the verdict on each transaction, quiet or not';
COMMENT ON COLUMN predictions.model_version_id IS 'version of the ruleset that judged; its checksum is the digest';
COMMENT ON COLUMN predictions.faults IS 'rules that failed on this transaction; null: none';

CREATE TABLE audit_logs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	event_type text NOT NULL,
	user_id bigint REFERENCES users,
	api_key_id bigint REFERENCES api_keys,
	resource text NOT NULL DEFAULT '',
	action text NOT NULL DEFAULT '',
	status text NOT NULL DEFAULT '',
	ip_address inet,
	user_agent text,
	details json,
	severity text NOT NULL DEFAULT 'info' CHECK (severity IN ('info', 'warning', 'error', 'critical')),
	timestamp timestamptz NOT NULL DEFAULT now(),
	previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
	hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32)
);
CREATE INDEX audit_logs_user_id_idx ON audit_logs (user_id, id);
CREATE INDEX audit_logs_event_type_idx ON audit_logs (event_type, id);
CREATE INDEX audit_logs_timestamp_idx ON audit_logs USING brin (timestamp) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON TABLE audit_logs IS 'append-only chain: each hash covers the row and the hash before it';
COMMENT ON COLUMN audit_logs.details IS 'json, not jsonb: the hash covers the text as it was written';

CREATE FUNCTION audit_logs_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND current_setting('chainwatch.audit_retention', true) = 'on' THEN
		RETURN OLD;
	END IF;
	RAISE EXCEPTION 'audit_logs is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION audit_logs_guard() IS
	'retention may delete after SET LOCAL chainwatch.audit_retention = on; nothing else changes a row';
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
	FOR EACH ROW EXECUTE FUNCTION audit_logs_guard();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
	FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard();

CREATE TABLE system_metrics (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	metric_name text NOT NULL,
	metric_value double precision NOT NULL,
	tags jsonb NOT NULL DEFAULT '{}',
	timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX system_metrics_name_idx ON system_metrics (metric_name, timestamp);
COMMENT ON TABLE system_metrics IS 'samples of the engine''s own metrics, kept as long as the retention policy says';

-- migrate:down

DROP TABLE system_metrics;
DROP TABLE audit_logs;
DROP FUNCTION audit_logs_guard();
DROP TABLE predictions;
DROP TABLE anomalies;
DROP TABLE transactions;
DROP TABLE model_versions;
DROP TABLE models;
DROP TABLE api_keys;
DROP TABLE users;
DROP TYPE severity;
