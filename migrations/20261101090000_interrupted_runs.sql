-- What an engine had under way when it was killed goes on when it is started again: a run that was interrupted gives its slot
-- back, and deliveries say whose they are.

-- migrate:up

DROP INDEX job_runs_slot_key;
CREATE UNIQUE INDEX job_runs_slot_key ON job_runs (name, slot) WHERE slot IS NOT NULL AND status <> 'interrupted';
CREATE INDEX job_runs_interrupted_idx ON job_runs (name, slot) WHERE status = 'interrupted';
ALTER TABLE outbox ADD COLUMN claimed_by text;
COMMENT ON COLUMN outbox.claimed_by IS 'the engine that sends it, until next_attempt_at';

-- migrate:down

ALTER TABLE outbox DROP COLUMN claimed_by;
DROP INDEX job_runs_interrupted_idx;
-- A slot that was run again is in two rows: the older gives it up.
UPDATE job_runs SET slot = NULL WHERE status = 'interrupted';
DROP INDEX job_runs_slot_key;
CREATE UNIQUE INDEX job_runs_slot_key ON job_runs (name, slot) WHERE slot IS NOT NULL;
