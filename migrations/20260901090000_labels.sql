-- Labels with versions: who changed a list, when and how; which alerts rested on which label, so that those are found
-- again when it is withdrawn. Lists may declare that they hide alerts.

-- migrate:up

ALTER TABLE labels
	ADD COLUMN first_seen timestamptz,
	ADD COLUMN last_seen timestamptz,
	ADD COLUMN version bigint NOT NULL DEFAULT 0 CHECK (version >= 0);
ALTER TABLE labels DROP CONSTRAINT labels_pkey, ADD PRIMARY KEY (list, address, chain_id, category);
COMMENT ON COLUMN labels.version IS 'of the list, in which the entry came or changed last';
COMMENT ON COLUMN labels.expires_at IS 'transactions of this block time and later do not match it';

CREATE TABLE label_lists (
	list text PRIMARY KEY CHECK (list <> ''),
	version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
	entries bigint NOT NULL DEFAULT 0,
	checksum text NOT NULL DEFAULT '',
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO label_lists (list, entries) SELECT list, count(*) FROM labels GROUP BY list;
COMMENT ON TABLE label_lists IS 'the newest version of each list; its lock puts changes of a list one after another';

CREATE TABLE label_versions (
	list text NOT NULL REFERENCES label_lists ON DELETE CASCADE,
	version bigint NOT NULL CHECK (version > 0),
	action text NOT NULL CHECK (action IN ('import', 'remove', 'suppress')),
	checksum text NOT NULL,
	entries bigint NOT NULL,
	added bigint NOT NULL DEFAULT 0,
	changed bigint NOT NULL DEFAULT 0,
	removed bigint NOT NULL DEFAULT 0,
	reopened bigint NOT NULL DEFAULT 0,
	format text NOT NULL DEFAULT '',
	file text NOT NULL DEFAULT '',
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by bigint REFERENCES users ON DELETE SET NULL,
	PRIMARY KEY (list, version)
);
COMMENT ON TABLE label_versions IS 'every change of a list';
COMMENT ON COLUMN label_versions.checksum IS 'SHA-256 over all entries after the change, in order of address';
COMMENT ON COLUMN label_versions.reopened IS 'alerts that rested on what it took away';
COMMENT ON COLUMN label_versions.created_by IS 'null: a tool on the command line';

CREATE TABLE label_state (
	id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
	version bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 10);
INSERT INTO label_state DEFAULT VALUES;
COMMENT ON TABLE label_state IS 'one row: goes up with every change of labels, so that engines see it with one small read';

CREATE FUNCTION labels_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
	UPDATE label_state SET version = version + 1;
	RETURN NULL;
END
$$;
CREATE TRIGGER labels_changed AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON labels
	FOR EACH STATEMENT EXECUTE FUNCTION labels_changed();
CREATE TRIGGER label_lists_changed AFTER INSERT OR DELETE OR UPDATE ON label_lists
	FOR EACH STATEMENT EXECUTE FUNCTION labels_changed();

ALTER TABLE suppressions
	ADD COLUMN list text CHECK (list <> ''),
	ADD COLUMN rules text[],
	ADD COLUMN side text CHECK (side IN ('entity', 'counterparty', 'either')),
	ADD COLUMN max_severity severity,
	ADD COLUMN from_file boolean NOT NULL DEFAULT false;
ALTER TABLE suppressions DROP CONSTRAINT suppressions_check;
ALTER TABLE suppressions ADD CONSTRAINT suppressions_check CHECK (num_nonnulls(rule_id, address, dedup_key, list) > 0);
CREATE UNIQUE INDEX suppressions_list_key ON suppressions (list) WHERE list IS NOT NULL AND ended_at IS NULL;
COMMENT ON COLUMN suppressions.list IS 'an address list that hides alerts: the evaluator says which, by the other three columns';
COMMENT ON COLUMN suppressions.rules IS 'patterns of rule ids and tags, * for anything; null: all rules';
COMMENT ON COLUMN suppressions.side IS 'whose address must be on the list: the one the alert is about, the other one, or either';
COMMENT ON COLUMN suppressions.from_file IS 'the list is a file, which declares it';
COMMENT ON COLUMN suppressions.max_severity IS 'alerts above it are told all the same';

ALTER TABLE anomalies
	ADD COLUMN entity bytea CHECK (octet_length(entity) = 20),
	ADD COLUMN role text NOT NULL DEFAULT 'unknown' CHECK (role IN ('actor', 'victim', 'counterparty', 'unknown')),
	ADD COLUMN label_withdrawn_at timestamptz;
CREATE INDEX anomalies_label_withdrawn_at_idx ON anomalies (label_withdrawn_at, id) WHERE label_withdrawn_at IS NOT NULL;
CREATE INDEX anomalies_entity_idx ON anomalies (entity, id) WHERE entity IS NOT NULL;
COMMENT ON COLUMN anomalies.entity IS 'the address that it is about';
COMMENT ON COLUMN anomalies.role IS 'what that address did: actor, victim, or the other side of what an actor did';
COMMENT ON COLUMN anomalies.label_withdrawn_at IS 'when a label that it rested on was taken away, and it was opened again';

CREATE TABLE anomaly_labels (
	anomaly_id bigint NOT NULL REFERENCES anomalies ON DELETE CASCADE,
	list text NOT NULL,
	address bytea NOT NULL CHECK (octet_length(address) = 20),
	chain_id bigint NOT NULL DEFAULT 0 CHECK (chain_id >= 0),
	category text NOT NULL DEFAULT '',
	use text NOT NULL CHECK (use IN ('evidence', 'suppression')),
	version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
	last_version bigint NOT NULL DEFAULT 0,
	file_checksum text NOT NULL DEFAULT '',
	label text NOT NULL DEFAULT '',
	source text NOT NULL DEFAULT '',
	confidence double precision,
	noted_at timestamptz NOT NULL DEFAULT now(),
	withdrawn_at timestamptz,
	withdrawn_version bigint,
	PRIMARY KEY (anomaly_id, list, address, chain_id, category, use)
) WITH (fillfactor = 90);
CREATE INDEX anomaly_labels_label_idx ON anomaly_labels (list, address) WHERE withdrawn_at IS NULL;
CREATE INDEX anomaly_labels_noted_at_idx ON anomaly_labels (list, noted_at) WHERE withdrawn_at IS NULL;
COMMENT ON TABLE anomaly_labels IS 'what an alert rests on, and what hid it: entries of address lists, as they were then';
COMMENT ON COLUMN anomaly_labels.chain_id IS 'of the entry; 0: it holds on every chain';
COMMENT ON COLUMN anomaly_labels.version IS 'of the list at the first fire that used it; 0: the list is a file';
COMMENT ON COLUMN anomaly_labels.last_version IS 'at the last one';
COMMENT ON COLUMN anomaly_labels.file_checksum IS 'of a list that is a file: SHA-256 of its text, 16 digits of it';

CREATE TABLE label_withdrawals (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	anomaly_id bigint NOT NULL REFERENCES anomalies ON DELETE CASCADE,
	list text NOT NULL,
	version bigint NOT NULL,
	address bytea NOT NULL,
	chain_id bigint NOT NULL DEFAULT 0,
	category text NOT NULL DEFAULT '',
	use text NOT NULL,
	previous_status text NOT NULL,
	previous_false_positive boolean,
	withdrawn_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX label_withdrawals_list_idx ON label_withdrawals (list, version, id);
CREATE INDEX label_withdrawals_anomaly_id_idx ON label_withdrawals (anomaly_id);
COMMENT ON TABLE label_withdrawals IS 'alerts that were opened again, each with the label that they lost';

ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check
	CHECK (kind IN ('new', 'updated', 'retracted', 'reborn', 'label_withdrawn'));
COMMENT ON COLUMN outbox.kind IS
	'of the alert: new, risen in severity, retracted by a reorg, there again after one, or a label it rested on is gone';

-- Marks what rested on the entries given as arrays, opens those alerts again, notes it for receivers and auditors.
-- Returns how many alerts.
CREATE FUNCTION label_withdraw(p_list text, p_version bigint, p_file boolean, p_addresses bytea[], p_chains bigint[],
	p_categories text[], p_user bigint, p_events boolean) RETURNS bigint LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
	ids bigint[];
BEGIN
	WITH gone AS MATERIALIZED (SELECT * FROM unnest(p_addresses, p_chains, p_categories) AS g (address, chain_id, category)),
	hit AS (UPDATE anomaly_labels x SET withdrawn_at = now(), withdrawn_version = p_version FROM gone g
		WHERE x.list = p_list AND x.address = g.address AND x.chain_id = g.chain_id AND x.category = g.category
		AND x.withdrawn_at IS NULL AND (x.version = 0) = p_file
		RETURNING x.anomaly_id, x.address, x.chain_id, x.category, x.use),
	was AS MATERIALIZED (SELECT a.id, a.status, a.false_positive, a.shadow, a.finality, h.hidden FROM anomalies a
		JOIN (SELECT anomaly_id, bool_or(use = 'suppression') AS hidden FROM hit GROUP BY anomaly_id) h
		ON h.anomaly_id = a.id),
	opened AS (UPDATE anomalies a SET status = 'open', reviewed = false, false_positive = NULL, label_withdrawn_at = now(),
		suppressed_by = CASE WHEN was.hidden AND EXISTS (SELECT FROM suppressions s WHERE s.id = a.suppressed_by
			AND s.list = p_list) THEN NULL ELSE a.suppressed_by END
		FROM was WHERE a.id = was.id RETURNING a.id, a.shadow, a.finality, a.suppressed_by, a.severity),
	noted AS (INSERT INTO label_withdrawals (anomaly_id, list, version, address, chain_id, category, use, previous_status,
		previous_false_positive) SELECT h.anomaly_id, p_list, p_version, h.address, h.chain_id, h.category, h.use,
		was.status, was.false_positive FROM hit h JOIN was ON was.id = h.anomaly_id ORDER BY h.anomaly_id),
	told AS (INSERT INTO outbox (anomaly_id, kind, target, payload) SELECT o.id, 'label_withdrawn', '',
		jsonb_build_object('severity', o.severity, 'list', p_list, 'version', p_version) FROM opened o
		WHERE p_events AND NOT o.shadow AND o.finality <> 'retracted' AND o.suppressed_by IS NULL ORDER BY o.id)
	SELECT array_agg(id ORDER BY id) INTO ids FROM opened;
	INSERT INTO audit_logs (event_type, user_id, resource, action, status, details)
		SELECT 'anomaly.reopen', p_user, 'anomaly/' || w.anomaly_id, 'reopen', 'success',
			jsonb_build_object('reason', 'label_withdrawn', 'list', p_list, 'version', p_version,
			'addresses', w.addresses, 'previous_status', w.status)
		FROM (SELECT anomaly_id, jsonb_agg('0x' || encode(address, 'hex') ORDER BY address) AS addresses,
			min(previous_status) AS status FROM label_withdrawals
			WHERE list = p_list AND version = p_version AND anomaly_id = ANY (ids) AND withdrawn_at = now()
			GROUP BY anomaly_id) w ORDER BY w.anomaly_id;
	RETURN coalesce(cardinality(ids), 0);
END
$$;

-- Notes a version of a list whose entries have been changed in this database transaction.
CREATE FUNCTION label_version(p_list text, p_version bigint, p_action text, p_added bigint, p_changed bigint,
	p_removed bigint, p_reopened bigint, p_format text, p_file text, p_user bigint) RETURNS label_versions
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
	v label_versions;
	n bigint;
	digest text;
BEGIN
	SELECT count(*), encode(sha256(convert_to(coalesce(string_agg(concat_ws('|', encode(address, 'hex'), chain_id,
		quote_literal(category), quote_literal(label), quote_literal(source), coalesce(confidence::text, '-'),
		coalesce(extract(epoch FROM first_seen)::text, '-'), coalesce(extract(epoch FROM last_seen)::text, '-'),
		coalesce(extract(epoch FROM expires_at)::text, '-')), E'\n' ORDER BY address, chain_id, category), ''), 'UTF8')),
		'hex') INTO n, digest FROM labels WHERE list = p_list;
	UPDATE label_lists SET version = p_version, entries = n, checksum = digest, updated_at = now() WHERE list = p_list;
	INSERT INTO label_versions (list, version, action, checksum, entries, added, changed, removed, reopened, format, file,
		created_by) VALUES (p_list, p_version, p_action, digest, n, p_added, p_changed, p_removed, p_reopened, p_format,
		p_file, p_user) RETURNING * INTO v;
	RETURN v;
END
$$;

CREATE FUNCTION label_lock(p_list text) RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
	v bigint;
BEGIN
	SELECT version INTO v FROM label_lists WHERE list = p_list FOR UPDATE;
	IF NOT FOUND THEN
		INSERT INTO label_lists (list) VALUES (p_list) ON CONFLICT DO NOTHING;
		SELECT version INTO STRICT v FROM label_lists WHERE list = p_list FOR UPDATE;
	END IF;
	RETURN v;
END
$$;
COMMENT ON FUNCTION label_lock(text) IS 'the version of a list, which nobody else changes until this transaction ends';

-- Rows are objects: address, chain_id, category, label, source, confidence, first_seen, last_seen, expires_at (times in
-- seconds). p_replace: what is not among them leaves the list. Nothing to change: the version stays, null is returned.
CREATE FUNCTION label_import(p_list text, p_rows jsonb, p_replace boolean, p_format text, p_file text, p_user bigint,
	p_events boolean) RETURNS label_versions LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_nestloop = off AS $$
DECLARE
	v bigint := label_lock(p_list) + 1;
	n_added bigint;
	n_changed bigint;
	g_addresses bytea[];
	g_chains bigint[];
	g_categories text[];
	reopened bigint := 0;
BEGIN
	WITH j AS MATERIALIZED (SELECT DISTINCT ON (1, 2, 3) decode(substr(r.address, 3), 'hex') AS address,
		coalesce(r.chain_id, 0) AS chain_id, coalesce(r.category, '') AS category, coalesce(r.label, '') AS label,
		coalesce(r.source, '') AS source, r.confidence, to_timestamp(r.first_seen) AS first_seen,
		to_timestamp(r.last_seen) AS last_seen, to_timestamp(r.expires_at) AS expires_at
		FROM jsonb_to_recordset(p_rows) AS r (address text, chain_id int8, category text, label text, source text,
		confidence float8, first_seen int8, last_seen int8, expires_at int8)),
	gone AS (DELETE FROM labels l WHERE p_replace AND l.list = p_list AND NOT EXISTS (SELECT FROM j
		WHERE j.address = l.address AND j.chain_id = l.chain_id AND j.category = l.category)
		RETURNING l.address, l.chain_id, l.category),
	put AS (INSERT INTO labels AS l (list, address, chain_id, category, label, source, confidence, first_seen, last_seen,
		expires_at, version) SELECT p_list, j.address, j.chain_id, j.category, j.label, j.source, j.confidence,
		j.first_seen, j.last_seen, j.expires_at, v FROM j LEFT JOIN labels o ON o.list = p_list AND o.address = j.address
		AND o.chain_id = j.chain_id AND o.category = j.category WHERE o.list IS NULL
		OR (o.label, o.source, o.confidence, o.first_seen, o.last_seen, o.expires_at) IS DISTINCT FROM
		(j.label, j.source, j.confidence, j.first_seen, j.last_seen, j.expires_at)
		ON CONFLICT (list, address, chain_id, category) DO UPDATE SET label = excluded.label, source = excluded.source,
		confidence = excluded.confidence, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
		expires_at = excluded.expires_at, version = excluded.version RETURNING (l.xmax = 0) AS is_new)
	SELECT (SELECT count(*) FROM put WHERE is_new), (SELECT count(*) FROM put WHERE NOT is_new), array_agg(address),
		array_agg(chain_id), array_agg(category) INTO n_added, n_changed, g_addresses, g_chains, g_categories FROM gone;
	IF n_added + n_changed + coalesce(cardinality(g_addresses), 0) = 0 AND v > 1 THEN
		RETURN NULL;
	END IF;
	IF cardinality(g_addresses) > 0 THEN
		reopened := label_withdraw(p_list, v, false, g_addresses, g_chains, g_categories, p_user, p_events);
	END IF;
	RETURN label_version(p_list, v, 'import', n_added, n_changed, coalesce(cardinality(g_addresses), 0), reopened,
		p_format, p_file, p_user);
END
$$;

-- Takes entries off a list: of one address (on one chain, of one category, where these are given), or all of them. Null:
-- there are none.
CREATE FUNCTION label_remove(p_list text, p_address bytea, p_chain bigint, p_category text, p_user bigint,
	p_events boolean) RETURNS label_versions LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
	v bigint;
	g_addresses bytea[];
	g_chains bigint[];
	g_categories text[];
	reopened bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM label_lists WHERE list = p_list) THEN
		RETURN NULL;
	END IF;
	v := label_lock(p_list) + 1;
	WITH gone AS (DELETE FROM labels l WHERE l.list = p_list AND (p_address IS NULL OR l.address = p_address)
		AND (p_chain IS NULL OR l.chain_id = p_chain) AND (p_category IS NULL OR l.category = p_category)
		RETURNING l.address, l.chain_id, l.category)
	SELECT array_agg(address), array_agg(chain_id), array_agg(category) INTO g_addresses, g_chains, g_categories FROM gone;
	IF g_addresses IS NULL THEN
		RETURN NULL;
	END IF;
	reopened := label_withdraw(p_list, v, false, g_addresses, g_chains, g_categories, p_user, p_events);
	RETURN label_version(p_list, v, 'remove', 0, 0, cardinality(g_addresses), reopened, '', '', p_user);
END
$$;

-- Alerts that were committed by judgement under a version before the one that took their label away.
CREATE FUNCTION label_settle(p_events boolean) RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
	l record;
	reopened bigint := 0;
BEGIN
	FOR l IN SELECT x.list, min(ll.version) AS version, array_agg(x.address) AS addresses, array_agg(x.chain_id) AS chains,
		array_agg(x.category) AS categories FROM label_lists ll JOIN anomaly_labels x ON x.list = ll.list
		AND x.withdrawn_at IS NULL AND x.noted_at >= ll.updated_at - interval '5 minutes'
		WHERE x.version > 0 AND x.last_version < ll.version AND NOT EXISTS (SELECT FROM labels k WHERE k.list = x.list
		AND k.address = x.address AND k.chain_id = x.chain_id AND k.category = x.category) GROUP BY x.list
	LOOP
		reopened := reopened + label_withdraw(l.list, l.version, false, l.addresses, l.chains, l.categories, NULL, p_events);
	END LOOP;
	RETURN reopened;
END
$$;

-- The list hides alerts from now on (p_on), or does not any more. Null: there is no such list, or it was so already.
CREATE FUNCTION label_suppress(p_list text, p_on boolean, p_rules text[], p_side text, p_max text, p_reason text,
	p_user bigint) RETURNS label_versions LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
	v bigint;
	was boolean;
BEGIN
	IF NOT EXISTS (SELECT FROM label_lists WHERE list = p_list) THEN
		RETURN NULL;
	END IF;
	v := label_lock(p_list) + 1;
	UPDATE suppressions SET ended_at = now(), ended_by = p_user WHERE list = p_list AND ended_at IS NULL AND NOT from_file;
	was := FOUND;
	IF NOT p_on AND NOT was THEN
		RETURN NULL;
	END IF;
	IF p_on THEN
		INSERT INTO suppressions (list, rules, side, max_severity, reason, owner_id, expires_at)
			VALUES (p_list, p_rules, p_side, p_max::severity, p_reason, p_user, 'infinity');
	END IF;
	RETURN label_version(p_list, v, 'suppress', 0, 0, 0, 0, '', '', p_user);
END
$$;

-- migrate:down

DROP FUNCTION label_suppress(text, boolean, text[], text, text, text, bigint);
DROP FUNCTION label_settle(boolean);
DROP FUNCTION label_remove(text, bytea, bigint, text, bigint, boolean);
DROP FUNCTION label_import(text, jsonb, boolean, text, text, bigint, boolean);
DROP FUNCTION label_lock(text);
DROP FUNCTION label_version(text, bigint, text, bigint, bigint, bigint, bigint, text, text, bigint);
DROP FUNCTION label_withdraw(text, bigint, boolean, bytea[], bigint[], text[], bigint, boolean);
DELETE FROM outbox WHERE kind = 'label_withdrawn';
ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('new', 'updated', 'retracted', 'reborn'));
COMMENT ON COLUMN outbox.kind IS
	'of the alert: new, risen in severity, retracted by a reorg, or there again after one';
DROP TABLE label_withdrawals;
DROP TABLE anomaly_labels;
ALTER TABLE anomalies DROP COLUMN label_withdrawn_at, DROP COLUMN role, DROP COLUMN entity;
UPDATE anomalies a SET suppressed_by = NULL FROM suppressions s WHERE s.id = a.suppressed_by AND s.list IS NOT NULL;
UPDATE anomaly_evidence e SET suppressed_by = NULL FROM suppressions s WHERE s.id = e.suppressed_by AND s.list IS NOT NULL;
DELETE FROM suppressions WHERE list IS NOT NULL;
ALTER TABLE suppressions DROP CONSTRAINT suppressions_check;
ALTER TABLE suppressions DROP COLUMN from_file, DROP COLUMN max_severity, DROP COLUMN side, DROP COLUMN rules, DROP COLUMN list;
ALTER TABLE suppressions ADD CONSTRAINT suppressions_check CHECK (num_nonnulls(rule_id, address, dedup_key) > 0);
DROP TRIGGER labels_changed ON labels;
DROP TABLE label_versions;
DROP TABLE label_lists;
DROP FUNCTION labels_changed();
DROP TABLE label_state;
COMMENT ON COLUMN labels.expires_at IS NULL;
ALTER TABLE labels DROP CONSTRAINT labels_pkey;
-- Only one entry for each address of a list has room: the surest.
DELETE FROM labels l USING labels k WHERE k.list = l.list AND k.address = l.address AND k.chain_id = l.chain_id
	AND (coalesce(k.confidence, 1), k.category) > (coalesce(l.confidence, 1), l.category);
ALTER TABLE labels ADD PRIMARY KEY (list, address, chain_id);
ALTER TABLE labels DROP COLUMN version, DROP COLUMN last_seen, DROP COLUMN first_seen;
