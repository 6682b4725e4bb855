-- What waits or was given up, by target: for senders and for operators. Small: what has arrived is not in it.

-- migrate:up

CREATE INDEX outbox_target_idx ON outbox (target, id) WHERE delivered_at IS NULL;
COMMENT ON INDEX outbox_target_idx IS 'an empty target: not yet routed';

-- migrate:down

DROP INDEX outbox_target_idx;
