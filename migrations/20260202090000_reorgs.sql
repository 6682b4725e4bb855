-- Blocks that a chain takes back: their transactions stay, as non-canonical ones, and may come again in another block.

-- migrate:up

CREATE TABLE reorgs (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	chain_id bigint NOT NULL CHECK (chain_id >= 0),
	from_block bigint NOT NULL CHECK (from_block >= 0),
	transactions bigint NOT NULL DEFAULT 0,
	retracted bigint NOT NULL DEFAULT 0,
	happened_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reorgs_chain_id_idx ON reorgs (chain_id, id);
COMMENT ON TABLE reorgs IS 'each time a chain dropped blocks that had been judged';
COMMENT ON COLUMN reorgs.transactions IS 'that were dropped with the blocks';
COMMENT ON COLUMN reorgs.retracted IS 'alerts that kept no evidence';

ALTER TABLE transactions DROP CONSTRAINT transactions_hash_chain_id_key;
CREATE UNIQUE INDEX transactions_hash_chain_id_key ON transactions (hash, chain_id) WHERE canonical;
CREATE INDEX transactions_dropped_idx ON transactions (hash, chain_id) WHERE NOT canonical;
COMMENT ON INDEX transactions_hash_chain_id_key IS
	'identity; hash leads, so that the index also answers a look-up by hash alone';
COMMENT ON COLUMN transactions.canonical IS
	'false after a reorg that dropped it; should it come again, in another block, that is another row';

ALTER TABLE anomalies
	ADD COLUMN finality text NOT NULL DEFAULT 'final' CHECK (finality IN ('provisional', 'final', 'retracted')),
	ADD COLUMN reorg_id bigint REFERENCES reorgs ON DELETE SET NULL,
	ADD COLUMN reborn_of bigint REFERENCES anomalies ON DELETE SET NULL;
CREATE INDEX anomalies_provisional_idx ON anomalies (transaction_id) WHERE finality = 'provisional';
CREATE INDEX anomalies_retracted_idx ON anomalies (rule_id, dedup_key, id) WHERE finality = 'retracted';
CREATE INDEX anomalies_reorg_id_idx ON anomalies (reorg_id) WHERE reorg_id IS NOT NULL;
CREATE INDEX anomalies_reborn_of_idx ON anomalies (reborn_of) WHERE reborn_of IS NOT NULL;
COMMENT ON COLUMN anomalies.finality IS
	'provisional: its chain may still drop the block in which it was founded; retracted: it did, and no evidence is left';
COMMENT ON COLUMN anomalies.reorg_id IS 'that retracted it';
COMMENT ON COLUMN anomalies.reborn_of IS 'the retracted alert of the same rule and key that this one is again';

-- migrate:down

DROP INDEX anomalies_reborn_of_idx;
DROP INDEX anomalies_reorg_id_idx;
DROP INDEX anomalies_retracted_idx;
DROP INDEX anomalies_provisional_idx;
ALTER TABLE anomalies DROP COLUMN reborn_of, DROP COLUMN reorg_id, DROP COLUMN finality;
DROP INDEX transactions_dropped_idx;
DROP INDEX transactions_hash_chain_id_key;
-- Only one row for each (chain, hash) has room: that of the canonical block, else the newest.
DELETE FROM transactions t USING transactions k
	WHERE k.hash = t.hash AND k.chain_id = t.chain_id AND NOT t.canonical AND (k.canonical OR k.id > t.id);
ALTER TABLE transactions ADD UNIQUE (hash, chain_id);
COMMENT ON CONSTRAINT transactions_hash_chain_id_key ON transactions IS
	'identity; hash leads, so that the index also answers a look-up by hash alone';
COMMENT ON COLUMN transactions.canonical IS 'false after a reorg that dropped it';
DROP TABLE reorgs;
