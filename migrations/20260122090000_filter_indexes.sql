-- Indexes for filters that a list may be asked with alone.

-- migrate:up

CREATE INDEX anomalies_status_idx ON anomalies (status, detected_at, id);
CREATE INDEX anomalies_dedup_key_idx ON anomalies (dedup_key, detected_at, id);
CREATE INDEX model_versions_checksum_idx ON model_versions (checksum);
CREATE INDEX api_keys_prefix_idx ON api_keys (prefix);
CREATE INDEX outbox_failed_idx ON outbox (id) WHERE failed_at IS NOT NULL;

-- migrate:down

DROP INDEX outbox_failed_idx;
DROP INDEX api_keys_prefix_idx;
DROP INDEX model_versions_checksum_idx;
DROP INDEX anomalies_dedup_key_idx;
DROP INDEX anomalies_status_idx;
