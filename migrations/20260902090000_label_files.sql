-- Entries of lists that are files, on which alerts rest: looked for when the files change.

-- migrate:up

CREATE INDEX anomaly_labels_files_idx ON anomaly_labels (list, address, chain_id, category)
	WHERE version = 0 AND withdrawn_at IS NULL;

-- migrate:down

DROP INDEX anomaly_labels_files_idx;
