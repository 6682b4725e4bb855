-- Rows of a label list come in parts: one value of a hundred megabytes would hold up whoever sends it.

-- migrate:up

-- More rows for the label_import of this transaction.
CREATE FUNCTION label_stage(p_rows jsonb) RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp
SET client_min_messages = warning AS $$
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS label_staged (rows jsonb NOT NULL) ON COMMIT DROP;
	INSERT INTO pg_temp.label_staged VALUES (p_rows);
	RETURN jsonb_array_length(p_rows);
END
$$;

-- With what was staged before, and with nothing else where p_rows is null.
CREATE OR REPLACE FUNCTION label_import(p_list text, p_rows jsonb, p_replace boolean, p_format text, p_file text, p_user bigint,
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
	PERFORM label_stage(coalesce(p_rows, '[]'));
	WITH j AS MATERIALIZED (SELECT DISTINCT ON (1, 2, 3) decode(substr(r.address, 3), 'hex') AS address,
		coalesce(r.chain_id, 0) AS chain_id, coalesce(r.category, '') AS category, coalesce(r.label, '') AS label,
		coalesce(r.source, '') AS source, r.confidence, to_timestamp(r.first_seen) AS first_seen,
		to_timestamp(r.last_seen) AS last_seen, to_timestamp(r.expires_at) AS expires_at
		FROM pg_temp.label_staged s, jsonb_to_recordset(s.rows) AS r (address text, chain_id int8, category text, label text, source text,
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
	DELETE FROM pg_temp.label_staged;
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

-- migrate:down

CREATE OR REPLACE FUNCTION label_import(p_list text, p_rows jsonb, p_replace boolean, p_format text, p_file text, p_user bigint,
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

DROP FUNCTION label_stage(jsonb);
