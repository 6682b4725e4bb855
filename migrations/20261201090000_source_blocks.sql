-- Which blocks of which branch a source has handed over: so that a reorg drops the rows of these, and no others.

-- migrate:up

CREATE TABLE source_blocks (
	source text NOT NULL,
	number bigint NOT NULL CHECK (number >= 0),
	hash bytea NOT NULL CHECK (octet_length(hash) = 32),
	PRIMARY KEY (source, number)
);
COMMENT ON TABLE source_blocks IS
	'blocks that a source has begun to hand over, written before the first of their rows; newest only, see max_reorg';
COMMENT ON COLUMN source_blocks.source IS 'as in cursors';

-- migrate:down

DROP TABLE source_blocks;
