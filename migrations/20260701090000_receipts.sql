-- What a receipt adds to a transaction: the contract it made and its logs.

-- migrate:up

ALTER TABLE transactions
	ADD COLUMN created_address bytea,
	ADD COLUMN logs bytea;
ALTER TABLE transactions
	ADD CONSTRAINT transactions_created_address_check CHECK (octet_length(created_address) = 20) NOT VALID;
ALTER TABLE transactions VALIDATE CONSTRAINT transactions_created_address_check;
COMMENT ON COLUMN transactions.created_address IS 'of the contract it made, as its receipt says';
COMMENT ON COLUMN transactions.logs IS 'decoded logs, packed by the engine (engine/chain/logs.c); null: no receipt was given';

-- migrate:down

ALTER TABLE transactions
	DROP COLUMN created_address,
	DROP COLUMN logs;
