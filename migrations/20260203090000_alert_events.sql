-- What happened to an alert is promised to receivers by the commit in which it happened.

-- migrate:up

ALTER TABLE outbox
	ADD COLUMN kind text NOT NULL DEFAULT 'new' CHECK (kind IN ('new', 'updated', 'retracted', 'reborn')),
	ADD COLUMN event_id uuid NOT NULL DEFAULT gen_random_uuid();
COMMENT ON COLUMN outbox.kind IS
	'of the alert: new, risen in severity, retracted by a reorg, or there again after one';
COMMENT ON COLUMN outbox.event_id IS 'the same for every attempt and every receiver';

-- migrate:down

ALTER TABLE outbox DROP COLUMN event_id, DROP COLUMN kind;
