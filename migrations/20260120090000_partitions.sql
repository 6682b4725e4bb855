-- What grows without bound goes by month: predictions, audit_logs, system_metrics. A month is dropped in an instant where
-- a delete would take hours and leave a table full of holes; queries over a period read the months of that period.
--
-- Partitions live in a schema of their own, so that the tables keep their shape for everyone who looks at them. The
-- engine makes those of the coming months; what fits none goes to the default partition, so nothing is ever refused.
-- docs/decisions/0006-partitions.md says what was weighed.

-- migrate:up

CREATE SCHEMA partitions;
COMMENT ON SCHEMA partitions IS 'months of predictions, audit_logs and system_metrics; read and write them through their tables';

CREATE FUNCTION partition_add(parent regclass, month date) RETURNS text LANGUAGE plpgsql
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
	base text := (SELECT relname FROM pg_class WHERE oid = parent);
	name text := base || to_char(month, '_YYYY_MM');
	low timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
	high timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
	key text := (SELECT a.attname FROM pg_partitioned_table p JOIN pg_attribute a
		ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = parent);
	referenced regclass;
BEGIN
	IF to_regclass(format('partitions.%I', name)) IS NOT NULL THEN
		RETURN NULL;
	END IF;
	-- In the order in which an insert takes them, so that neither waits for the other in a circle.
	FOR referenced IN SELECT DISTINCT confrelid FROM pg_constraint WHERE conrelid = parent AND contype = 'f' ORDER BY 1
	LOOP
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', referenced);
	END LOOP;
	EXECUTE format('LOCK TABLE partitions.%I IN ACCESS EXCLUSIVE MODE', base || '_default');
	EXECUTE format('CREATE TABLE partitions.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) WITH '
		'(autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)', name, parent);
	PERFORM set_config('chainwatch.audit_retention', 'on', true);
	EXECUTE format('WITH moved AS (DELETE FROM partitions.%I WHERE %I >= %L AND %I < %L RETURNING *) '
		'INSERT INTO partitions.%I SELECT * FROM moved', base || '_default', key, low, key, high, name);
	PERFORM set_config('chainwatch.audit_retention', 'off', true);
	EXECUTE format('ALTER TABLE %s ATTACH PARTITION partitions.%I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
	IF base = 'audit_logs' THEN
		EXECUTE format('CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON partitions.%I '
			'FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard()', name);
	END IF;
	RETURN name;
END
$$;
COMMENT ON FUNCTION partition_add(regclass, date) IS
	'the partition of a month (UTC), with the rows of that month which the default partition had taken; null: it is there';

CREATE FUNCTION partitions_ahead(months integer) RETURNS integer LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
	this_month date := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
	PERFORM pg_advisory_xact_lock(hashtext('chainwatch.partitions'));
	RETURN (SELECT count(partition_add(parent, (this_month + i * interval '1 month')::date))
		FROM unnest('{predictions, audit_logs, system_metrics}'::regclass[]) AS t (parent), generate_series(0, months) AS i);
END
$$;
COMMENT ON FUNCTION partitions_ahead(integer) IS
	'makes the partitions of this month and so many to come, one caller at a time; returns how many were missing';

ALTER TABLE predictions SET SCHEMA partitions;
CREATE TABLE predictions (
	id bigint GENERATED ALWAYS AS IDENTITY,
	transaction_id bigint NOT NULL REFERENCES transactions ON DELETE CASCADE,
	model_version_id bigint NOT NULL REFERENCES model_versions,
	user_id bigint REFERENCES users ON DELETE SET NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	anomaly_score double precision NOT NULL,
	confidence double precision NOT NULL,
	response_time_ms real,
	is_anomaly boolean NOT NULL,
	request_id text,
	faults jsonb,
	PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE partitions.predictions_default PARTITION OF predictions DEFAULT;
CREATE INDEX predictions_transaction_id_idx ON predictions (transaction_id);
CREATE INDEX predictions_created_at_idx ON predictions USING brin (created_at)
	WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE predictions IS 'the verdict on each transaction, quiet or not';
COMMENT ON COLUMN predictions.model_version_id IS 'version of the ruleset that judged; its checksum is the digest';
COMMENT ON COLUMN predictions.faults IS 'rules that failed on this transaction; null: none';
INSERT INTO predictions OVERRIDING SYSTEM VALUE SELECT * FROM partitions.predictions ORDER BY id;
SELECT setval('predictions_id_seq', last_value, is_called) FROM partitions.predictions_id_seq;
DROP TABLE partitions.predictions;
SELECT partition_add('predictions', m::date) FROM (SELECT DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC') AS m
	FROM partitions.predictions_default) AS months ORDER BY m;

ALTER TABLE audit_logs SET SCHEMA partitions;
CREATE TABLE audit_logs (
	id bigint GENERATED ALWAYS AS IDENTITY,
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
	hash bytea NOT NULL CHECK (octet_length(hash) = 32),
	PRIMARY KEY (id, timestamp),
	UNIQUE (hash, timestamp)
) PARTITION BY RANGE (timestamp);
CREATE TABLE partitions.audit_logs_default PARTITION OF audit_logs DEFAULT;
CREATE INDEX audit_logs_user_id_idx ON audit_logs (user_id, id);
CREATE INDEX audit_logs_event_type_idx ON audit_logs (event_type, id);
CREATE INDEX audit_logs_timestamp_idx ON audit_logs USING brin (timestamp) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON TABLE audit_logs IS 'append-only chain: each hash covers the row and the hash before it';
COMMENT ON COLUMN audit_logs.details IS 'json, not jsonb: the hash covers the text as it was written';
INSERT INTO audit_logs OVERRIDING SYSTEM VALUE SELECT * FROM partitions.audit_logs ORDER BY id;
SELECT setval('audit_logs_id_seq', last_value, is_called) FROM partitions.audit_logs_id_seq;
DROP TABLE partitions.audit_logs;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
	FOR EACH ROW EXECUTE FUNCTION audit_logs_guard();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
	FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON partitions.audit_logs_default
	FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard();
SELECT partition_add('audit_logs', m::date) FROM (SELECT DISTINCT date_trunc('month', timestamp AT TIME ZONE 'UTC') AS m
	FROM partitions.audit_logs_default) AS months ORDER BY m;

ALTER TABLE system_metrics SET SCHEMA partitions;
CREATE TABLE system_metrics (
	id bigint GENERATED ALWAYS AS IDENTITY,
	metric_name text NOT NULL,
	metric_value double precision NOT NULL,
	tags jsonb NOT NULL DEFAULT '{}',
	timestamp timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);
CREATE TABLE partitions.system_metrics_default PARTITION OF system_metrics DEFAULT;
CREATE INDEX system_metrics_name_idx ON system_metrics (metric_name, timestamp);
COMMENT ON TABLE system_metrics IS 'samples of the engine''s own metrics, kept as long as the retention policy says';
INSERT INTO system_metrics OVERRIDING SYSTEM VALUE SELECT * FROM partitions.system_metrics ORDER BY id;
SELECT setval('system_metrics_id_seq', last_value, is_called) FROM partitions.system_metrics_id_seq;
DROP TABLE partitions.system_metrics;
SELECT partition_add('system_metrics', m::date) FROM (SELECT DISTINCT date_trunc('month', timestamp AT TIME ZONE 'UTC') AS m
	FROM partitions.system_metrics_default) AS months ORDER BY m;

-- migrate:down

ALTER TABLE system_metrics SET SCHEMA partitions;
CREATE TABLE system_metrics (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	metric_name text NOT NULL,
	metric_value double precision NOT NULL,
	tags jsonb NOT NULL DEFAULT '{}',
	timestamp timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX system_metrics_name_idx ON system_metrics (metric_name, timestamp);
COMMENT ON TABLE system_metrics IS 'samples of the engine''s own metrics, kept as long as the retention policy says';
INSERT INTO system_metrics OVERRIDING SYSTEM VALUE SELECT * FROM partitions.system_metrics ORDER BY id;
SELECT setval('system_metrics_id_seq', last_value, is_called) FROM partitions.system_metrics_id_seq;
DROP TABLE partitions.system_metrics;

ALTER TABLE audit_logs SET SCHEMA partitions;
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
INSERT INTO audit_logs OVERRIDING SYSTEM VALUE SELECT * FROM partitions.audit_logs ORDER BY id;
SELECT setval('audit_logs_id_seq', last_value, is_called) FROM partitions.audit_logs_id_seq;
DROP TABLE partitions.audit_logs;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
	FOR EACH ROW EXECUTE FUNCTION audit_logs_guard();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
	FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard();

ALTER TABLE predictions SET SCHEMA partitions;
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
INSERT INTO predictions OVERRIDING SYSTEM VALUE SELECT * FROM partitions.predictions ORDER BY id;
SELECT setval('predictions_id_seq', last_value, is_called) FROM partitions.predictions_id_seq;
DROP TABLE partitions.predictions;

DROP FUNCTION partitions_ahead(integer);
DROP FUNCTION partition_add(regclass, date);
DROP SCHEMA partitions;
