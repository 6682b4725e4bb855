-- A database as the reference system's ORM makes it: text ids, doubles, times without a zone, enums with names of its own.
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('b7c1d2e3f4a5');
CREATE TYPE severity AS ENUM ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL');
CREATE TABLE users (id varchar(36) PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, hashed_password varchar(255) NOT NULL,
	roles json, is_active boolean, is_superuser boolean, created_at timestamp, last_login timestamp);
CREATE TABLE api_keys (id varchar(36) PRIMARY KEY, user_id varchar(36) NOT NULL REFERENCES users, name varchar(100),
	hashed_key varchar(255) NOT NULL UNIQUE, prefix varchar(16), scopes json, is_active boolean, created_at timestamp,
	last_used timestamp, expires_at timestamp);
CREATE TABLE models (id varchar(36) PRIMARY KEY, name varchar(255) NOT NULL, model_type varchar(50), description text,
	is_active boolean, created_by varchar(36) REFERENCES users, created_at timestamp);
CREATE TABLE model_versions (id varchar(36) PRIMARY KEY, model_id varchar(36) NOT NULL REFERENCES models, version varchar(50),
	storage_path varchar(500), checksum varchar(64), training_dataset_size integer, training_duration_seconds double precision,
	hyperparameters json, metrics json, is_deployed boolean, deployed_at timestamp, traffic_percentage double precision,
	created_at timestamp, created_by varchar(36) REFERENCES users);
CREATE TABLE transactions (id varchar(36) PRIMARY KEY, hash varchar(66) NOT NULL UNIQUE, block_number integer NOT NULL,
	"timestamp" timestamp NOT NULL, from_address varchar(42) NOT NULL, to_address varchar(42), value double precision NOT NULL,
	gas integer, gas_price double precision, nonce integer, input_data text, created_at timestamp DEFAULT now());
CREATE INDEX transactions_from_address_idx ON transactions (from_address);
CREATE TABLE anomalies (id varchar(36) PRIMARY KEY, transaction_id varchar(36) NOT NULL REFERENCES transactions,
	model_id varchar(36) REFERENCES models, anomaly_score double precision, severity severity, confidence double precision,
	features_used json, explanation text, detected_at timestamp, reviewed boolean, reviewed_by varchar(36) REFERENCES users,
	reviewed_at timestamp, false_positive boolean);
CREATE TABLE predictions (id varchar(36) PRIMARY KEY, transaction_id varchar(36) NOT NULL REFERENCES transactions,
	model_version_id varchar(36) REFERENCES model_versions, user_id varchar(36) REFERENCES users, is_anomaly boolean,
	confidence double precision, anomaly_score double precision, request_id varchar(64), response_time_ms double precision,
	created_at timestamp);
CREATE TABLE audit_logs (id varchar(36) PRIMARY KEY, event_type varchar(50), user_id varchar(36) REFERENCES users,
	resource varchar(255), action varchar(50), status varchar(20), ip_address varchar(45), user_agent text, details json,
	severity varchar(20), "timestamp" timestamp, previous_hash varchar(64), hash varchar(64));
CREATE TABLE system_metrics (id varchar(36) PRIMARY KEY, metric_name varchar(100), metric_value double precision, tags json,
	"timestamp" timestamp);

INSERT INTO users SELECT md5('u' || i)::uuid::text, 'User' || i || '@Example.org',
	'$2b$12$' || substr(md5('p' || i) || md5('q' || i), 1, 53), CASE i % 3 WHEN 0 THEN '["admin"]' WHEN 1 THEN '["analyst", "user"]'
	ELSE '["user"]' END::json, i <> 7, i = 1, timestamp '2024-01-01 10:00' + i * interval '1 day', NULL FROM generate_series(1, 20) i;
INSERT INTO api_keys SELECT md5('k' || i)::uuid::text, md5('u' || i)::uuid::text, 'key ' || i,
	CASE WHEN i % 2 = 0 THEN encode(sha256(('secret' || i)::bytea), 'hex') ELSE '$2b$12$' || md5('k' || i) || substr(md5('l' || i), 1, 21) END,
	'cw_' || i, '["predict:write", "anomalies:read"]', true, timestamp '2024-02-01' + i * interval '1 hour', NULL, NULL
	FROM generate_series(1, 10) i;
INSERT INTO models SELECT md5('m' || i)::uuid::text, 'forest ' || (i % 2), 'isolation_forest', NULL, i > 1,
	md5('u' || i)::uuid::text, timestamp '2024-01-05' + i * interval '1 day' FROM generate_series(1, 3) i;
INSERT INTO model_versions SELECT md5('v' || i)::uuid::text, md5('m' || (i % 3 + 1))::uuid::text, '1.' || i / 3, 's3://models/' || i,
	md5('c' || i), 1000 * i, 12.5, '{"trees": 100}', '{"f1": 0.9}', i = 6, NULL, 100, timestamp '2024-01-06' + i * interval '1 day', NULL
	FROM generate_series(1, 6) i;
INSERT INTO transactions SELECT md5('t' || i)::uuid::text, '0x' || md5('h' || i) || md5('g' || i), 19000000 + i / 5,
	timestamp '2024-03-01 00:00' + i * interval '3 seconds', '0x' || substr(md5('a' || i % 50) || md5('b'), 1, 40),
	CASE WHEN i % 20 = 0 THEN NULL ELSE '0x' || upper(substr(md5('r' || i % 70) || md5('s'), 1, 40)) END,
	CASE WHEN i % 7 = 0 THEN 0 ELSE (i * 7919 % 100003) / 1e4 + 1e-9 * i END, 21000 + i, 20.5 + i % 100, i,
	CASE WHEN i % 4 = 0 THEN '0xa9059cbb' || md5('d' || i) ELSE '0x' END FROM generate_series(1, 2000) i;
INSERT INTO anomalies SELECT md5('n' || i)::uuid::text, md5('t' || i * 10)::uuid::text,
	CASE WHEN i % 5 = 0 THEN NULL ELSE md5('m' || (i % 3 + 1))::uuid::text END, i / 100.0,
	(ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'])[i % 4 + 1]::severity,
	0.8, '{"value_z": 4.2}', 'large value', timestamp '2024-03-02' + i * interval '1 minute', i % 3 = 0,
	CASE WHEN i % 3 = 0 THEN md5('u2')::uuid::text END, CASE WHEN i % 3 = 0 THEN timestamp '2024-03-03' END,
	CASE WHEN i % 3 = 0 THEN i % 2 = 0 END FROM generate_series(1, 90) i;
INSERT INTO predictions SELECT md5('x' || i)::uuid::text, md5('t' || i)::uuid::text, md5('v' || (i % 6 + 1))::uuid::text,
	md5('u' || (i % 20 + 1))::uuid::text, i % 10 = 0, 0.5, 0.25, 'req-' || i, 3.5, timestamp '2024-03-01' + i * interval '3 seconds'
	FROM generate_series(1, 1500) i;
INSERT INTO audit_logs SELECT md5('l' || i)::uuid::text, 'auth.login', CASE WHEN i % 2 = 0 THEN md5('u' || (i % 20 + 1))::uuid::text END,
	'users', 'login', 'success', CASE WHEN i % 3 = 0 THEN 'unknown' ELSE '10.0.0.' || i % 250 END, 'curl', '{"n": 1}', 'info',
	timestamp '2024-03-01' + i * interval '1 minute', md5('w' || i), md5('w' || i + 1) FROM generate_series(1, 200) i;
INSERT INTO system_metrics SELECT md5('y' || i)::uuid::text, 'cpu_percent', i * 0.1, '{"host": "a"}',
	timestamp '2024-03-01' + i * interval '1 minute' FROM generate_series(1, 300) i;
