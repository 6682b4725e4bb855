-- Indexes for the lists that the repositories give, and the identities of imported history.
--
-- The time of a block is the same for all its transactions, so equal keys share an entry: 7 bytes a row.

-- migrate:up

CREATE INDEX transactions_timestamp_idx ON transactions (timestamp);
CREATE INDEX transactions_high_value_idx ON transactions (timestamp, id) WHERE value >= 100000000000000000000;
COMMENT ON INDEX transactions_high_value_idx IS 'from 100 ether on: few, and asked for often';

CREATE INDEX anomalies_queue_idx ON anomalies
	((CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END), detected_at, id)
	WHERE NOT reviewed AND NOT shadow;
COMMENT ON INDEX anomalies_queue_idx IS 'what waits for a review: critical first, then the oldest';


CREATE SEQUENCE transactions_history_seq INCREMENT BY -1;
COMMENT ON SEQUENCE transactions_history_seq IS 'identities of imported transactions, below those that are judged and replayed';

-- migrate:down

DROP SEQUENCE transactions_history_seq;
DROP INDEX anomalies_queue_idx;
DROP INDEX transactions_high_value_idx;
DROP INDEX transactions_timestamp_idx;
