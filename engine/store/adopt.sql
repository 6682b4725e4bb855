-- Fills the nine tables from those of the reference system, which stand in the schema "legacy". One transaction: the text
-- is sent as one query. Settings: adopt.amounts (ether, wei), adopt.gas_price (gwei, wei), adopt.chain_id,
-- adopt.skip_invalid (on, off).
-- Columns are taken by their names where they exist, under any of the names that the reference system and its
-- descendants gave them. Counts and sums go to legacy.adoption; what does not agree ends it all with an error.

CREATE TABLE legacy.adopted_ids (tab text, old_id text, new_id bigint NOT NULL, PRIMARY KEY (tab, old_id));
CREATE TABLE legacy.adoption (n int GENERATED ALWAYS AS IDENTITY, tab text, what text, legacy text, adopted text, ok boolean);

-- The first of the columns that the old table has, as text, or the fallback (an expression).
CREATE FUNCTION legacy.pick(tab text, names text[], fallback text) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT coalesce((SELECT format('o.%I', a.attname) FROM unnest(names) WITH ORDINALITY n (name, i)
		JOIN pg_attribute a ON a.attrelid = to_regclass('legacy.' || tab) AND a.attname = n.name AND NOT a.attisdropped
		ORDER BY i LIMIT 1), fallback)
$$;
-- A point in time: without a zone it is UTC; a number is seconds (or, past the year 5000, milliseconds) since 1970.
CREATE FUNCTION legacy.instant(tab text, names text[], fallback text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	col text := legacy.pick(tab, names, NULL);
	kind text := (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a WHERE a.attrelid = to_regclass('legacy.' || tab)
		AND format('o.%I', a.attname) = col);
	seconds text := format('CASE WHEN %1$s::float8 > 1e11 THEN %1$s::float8 / 1000 ELSE %1$s::float8 END', col);
BEGIN
	RETURN CASE
		WHEN col IS NULL THEN fallback
		WHEN kind = 'timestamp with time zone' THEN format('coalesce(%s, %s)', col, fallback)
		WHEN kind IN ('integer', 'bigint', 'double precision', 'numeric', 'real')
			THEN format('coalesce(to_timestamp(%s), %s)', seconds, fallback)
		ELSE format('coalesce((%s)::timestamp AT TIME ZONE ''UTC'', %s)', col, fallback) END;
END
$$;
CREATE FUNCTION legacy.bytes(hex text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN hex ~ '^(0[xX])?([0-9a-fA-F]{2})*$' THEN decode(regexp_replace(hex, '^0[xX]', ''), 'hex') END
$$;
-- A double as the shortest decimal number that reads back as the same double: its text. A cast to numeric would keep
-- 15 digits only.
CREATE FUNCTION legacy.exact(amount text, factor numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN amount ~ '^[0-9.]+(e[-+]?[0-9]+)?$' THEN round(amount::numeric * factor) END
$$;
CREATE FUNCTION legacy.try_json(value text) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN value::json;
EXCEPTION WHEN OTHERS THEN
	RETURN to_json(value);
END
$$;
CREATE FUNCTION legacy.try_inet(value text) RETURNS inet LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN value::inet;
EXCEPTION WHEN OTHERS THEN
	RETURN NULL;
END
$$;
CREATE FUNCTION legacy.is_true(value text, fallback boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN lower(value) IN ('t', 'true', '1', 'yes', 'on') THEN true
		WHEN lower(value) IN ('f', 'false', '0', 'no', 'off') THEN false ELSE fallback END
$$;
-- Roles in any form (text, json, array): the words that we know; admin, analyst, operator stay, "user" becomes viewer.
CREATE FUNCTION legacy.roles(value text, superuser boolean) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
	SELECT coalesce(array_agg(DISTINCT r ORDER BY r), '{viewer}') FROM (
		SELECT CASE w WHEN 'administrator' THEN 'admin' WHEN 'superuser' THEN 'admin' WHEN 'user' THEN 'viewer'
			WHEN 'readonly' THEN 'viewer' WHEN 'read_only' THEN 'viewer' WHEN 'api' THEN 'service' ELSE w END AS r
		FROM regexp_split_to_table(lower(coalesce(value, '')), '[^a-z_]+') w
		UNION SELECT 'admin' WHERE superuser) x
	WHERE r IN ('viewer', 'analyst', 'operator', 'admin', 'service')
$$;
-- Numbers the rows of a table, in the order of `sort`, behind what is there already.
CREATE FUNCTION legacy.number(tab text, sort text, condition text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	IF to_regclass('legacy.' || tab) IS NULL THEN
		RETURN 0;
	END IF;
	EXECUTE format('INSERT INTO legacy.adopted_ids SELECT %1$L, o.id::text, row_number() OVER (ORDER BY %2$s, o.id) + '
		'(SELECT coalesce(max(id), 0) FROM public.%1$I) FROM legacy.%1$I o WHERE %3$s', tab, sort, condition);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
CREATE FUNCTION legacy.check_equal(tab text, what text, old text, new text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a text;
	b text;
BEGIN
	EXECUTE old INTO a;
	EXECUTE new INTO b;
	INSERT INTO legacy.adoption (tab, what, legacy, adopted, ok) VALUES (tab, what, a, b, a IS NOT DISTINCT FROM b);
END
$$;
-- Rows that cannot be taken over as they stand: an error, or left behind and counted.
CREATE FUNCTION legacy.refuse(tab text, condition text, why text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	first text;
BEGIN
	IF to_regclass('legacy.' || tab) IS NULL THEN
		RETURN;
	END IF;
	EXECUTE format('SELECT count(*), min(o.id::text) FROM legacy.%I o WHERE NOT coalesce(%s, false)', tab, condition) INTO n, first;
	IF n > 0 AND current_setting('adopt.skip_invalid') <> 'on' THEN
		RAISE EXCEPTION '% row(s) of %: % (the first: id %); mend them, or say --skip-invalid', n, tab, why, first;
	ELSIF n > 0 THEN
		INSERT INTO legacy.adoption (tab, what, legacy, adopted, ok) VALUES (tab, 'left behind: ' || why, n::text, '-', true);
	END IF;
END
$$;

DO $adopt$
DECLARE
	eth numeric := CASE current_setting('adopt.amounts') WHEN 'ether' THEN 1e18 ELSE 1 END;
	gas numeric := CASE current_setting('adopt.gas_price') WHEN 'gwei' THEN 1e9 ELSE 1 END;
	top constant text := '115792089237316195423570985008687907853269984665640564039457584007913129639935';
	good text;
	value text;
	price text;
	number text;
	missing bigint;
	t text;
BEGIN
	SET LOCAL search_path = public, pg_temp;
	SET LOCAL extra_float_digits = 1;
	FOREACH t IN ARRAY '{users,api_keys,models,model_versions,transactions,anomalies,predictions,audit_logs,system_metrics}'::text[]
	LOOP
		IF to_regclass('legacy.' || t) IS NOT NULL THEN
			EXECUTE format('LOCK TABLE legacy.%I IN SHARE MODE', t);
		END IF;
	END LOOP;

	-- users; bcrypt hashes are kept, the first login turns them into Argon2id
	good := format($f$octet_length(o.email) BETWEEN 3 AND 254 AND NOT EXISTS (SELECT FROM legacy.users d
		WHERE lower(d.email) = lower(o.email) AND d.id < o.id)$f$);
	PERFORM legacy.refuse('users', good, 'no e-mail address, or one that an earlier user has in another case');
	PERFORM legacy.number('users', legacy.instant('users', '{created_at}', 'now()'), good);
	IF to_regclass('legacy.users') IS NOT NULL THEN
		EXECUTE format('INSERT INTO users (id, email, hashed_password, roles, is_active, created_at, last_login) OVERRIDING '
			'SYSTEM VALUE SELECT i.new_id, o.email, %s, legacy.roles(%s, legacy.is_true(%s, false)), '
			'legacy.is_true(%s, true), %s, %s FROM legacy.users o JOIN legacy.adopted_ids i ON i.tab = ''users'' '
			'AND i.old_id = o.id::text ORDER BY i.new_id',
			legacy.pick('users', '{hashed_password,password_hash,password}', 'NULL'),
			legacy.pick('users', '{roles,role}', '''''') || '::text',
			legacy.pick('users', '{is_superuser,is_admin}', '''''') || '::text',
			legacy.pick('users', '{is_active,active}', '''t''') || '::text', legacy.instant('users', '{created_at}', 'now()'),
			legacy.instant('users', '{last_login,last_login_at}', 'NULL'));
	END IF;

	-- API keys; a SHA-256 in hex goes on to work, any other hash does not: such a key has to be issued again
	good := $f$EXISTS (SELECT FROM legacy.adopted_ids i WHERE i.tab = 'users' AND i.old_id = o.user_id::text)$f$;
	PERFORM legacy.refuse('api_keys', good, 'their user is not there');
	PERFORM legacy.number('api_keys', legacy.instant('api_keys', '{created_at}', 'now()'), good);
	IF to_regclass('legacy.api_keys') IS NOT NULL THEN
		value := legacy.pick('api_keys', '{hashed_key,key_hash}', 'o.id') || '::text';
		EXECUTE format('INSERT INTO api_keys (id, user_id, name, hashed_key, prefix, scopes, is_active, created_at, last_used, '
			'expires_at) OVERRIDING SYSTEM VALUE SELECT i.new_id, u.new_id, coalesce(%1$s, ''''), '
			'CASE WHEN %2$s ~ ''^[0-9a-fA-F]{64}$'' THEN decode(%2$s, ''hex'') ELSE sha256(convert_to(%2$s, ''UTF8'')) END, '
			'coalesce(%3$s, ''''), ARRAY(SELECT w FROM regexp_split_to_table(coalesce(%4$s, ''''), ''[^A-Za-z0-9_:.*-]+'') w '
			'WHERE w <> ''''), legacy.is_true(%5$s, true) AND %2$s ~ ''^[0-9a-fA-F]{64}$'', %6$s, %7$s, %8$s '
			'FROM legacy.api_keys o JOIN legacy.adopted_ids i ON i.tab = ''api_keys'' AND i.old_id = o.id::text '
			'JOIN legacy.adopted_ids u ON u.tab = ''users'' AND u.old_id = o.user_id::text ORDER BY i.new_id',
			legacy.pick('api_keys', '{name}', 'NULL') || '::text', value,
			legacy.pick('api_keys', '{prefix,key_prefix}', 'NULL') || '::text',
			legacy.pick('api_keys', '{scopes,permissions}', 'NULL') || '::text',
			legacy.pick('api_keys', '{is_active,active}', '''t''') || '::text', legacy.instant('api_keys', '{created_at}', 'now()'),
			legacy.instant('api_keys', '{last_used,last_used_at}', 'NULL'), legacy.instant('api_keys', '{expires_at}', 'NULL'));
		EXECUTE format('SELECT count(*) FROM legacy.api_keys o WHERE %s !~ ''^[0-9a-fA-F]{64}$''', value) INTO missing;
		IF missing > 0 THEN
			INSERT INTO legacy.adoption (tab, what, legacy, adopted, ok)
			VALUES ('api_keys', 'inactive, to be issued again: their hash is no SHA-256', missing::text, '-', true);
		END IF;
	END IF;

	-- models and their versions; old names need not be unique, ours are
	PERFORM legacy.number('models', legacy.instant('models', '{created_at}', 'now()'), 'true');
	IF to_regclass('legacy.models') IS NOT NULL THEN
		EXECUTE format('INSERT INTO models (id, name, model_type, description, is_active, created_by, created_at) OVERRIDING '
			'SYSTEM VALUE SELECT i.new_id, x.name || CASE WHEN row_number() OVER (PARTITION BY x.name ORDER BY i.new_id) > 1 '
			'OR EXISTS (SELECT FROM models m WHERE m.name = x.name) THEN ''~'' || i.new_id ELSE '''' END, coalesce(%s, ''legacy''), '
			'coalesce(%s, ''''), legacy.is_true(%s, true), u.new_id, %s FROM legacy.models o JOIN legacy.adopted_ids i ON '
			'i.tab = ''models'' AND i.old_id = o.id::text LEFT JOIN legacy.adopted_ids u ON u.tab = ''users'' AND u.old_id = %s, '
			'LATERAL (SELECT coalesce(%s, o.id::text) AS name) x ORDER BY i.new_id',
			legacy.pick('models', '{model_type,type,algorithm}', 'NULL') || '::text',
			legacy.pick('models', '{description}', 'NULL') || '::text',
			legacy.pick('models', '{is_active,active}', '''t''') || '::text', legacy.instant('models', '{created_at}', 'now()'),
			legacy.pick('models', '{created_by}', 'NULL') || '::text', legacy.pick('models', '{name}', 'NULL') || '::text');
	END IF;
	good := $f$EXISTS (SELECT FROM legacy.adopted_ids i WHERE i.tab = 'models' AND i.old_id = o.model_id::text)$f$;
	PERFORM legacy.refuse('model_versions', good, 'their model is not there');
	PERFORM legacy.number('model_versions', legacy.instant('model_versions', '{created_at}', 'now()'), good);
	IF to_regclass('legacy.model_versions') IS NOT NULL THEN
		EXECUTE format('INSERT INTO model_versions (id, model_id, version, storage_path, checksum, training_dataset_size, '
			'training_duration_seconds, hyperparameters, metrics, is_deployed, deployed_at, traffic_percentage, created_at, '
			'created_by) OVERRIDING SYSTEM VALUE SELECT i.new_id, m.new_id, x.version || CASE WHEN row_number() OVER '
			'(PARTITION BY m.new_id, x.version ORDER BY i.new_id) > 1 THEN ''~'' || i.new_id ELSE '''' END, %s, %s, '
			'greatest(%s::bigint, 0), greatest(%s::float8, 0), coalesce(legacy.try_json(%s)::jsonb, ''{}''), '
			'coalesce(legacy.try_json(%s)::jsonb, ''{}''), legacy.is_true(%s, false), %s, least(greatest(coalesce(%s::float8, 0), '
			'0), 100), %s, u.new_id FROM legacy.model_versions o JOIN legacy.adopted_ids i ON i.tab = ''model_versions'' AND '
			'i.old_id = o.id::text JOIN legacy.adopted_ids m ON m.tab = ''models'' AND m.old_id = o.model_id::text '
			'LEFT JOIN legacy.adopted_ids u ON u.tab = ''users'' AND u.old_id = %s, LATERAL (SELECT coalesce(%s, o.id::text) AS '
			'version) x ORDER BY i.new_id',
			legacy.pick('model_versions', '{storage_path,file_path,path}', 'NULL') || '::text',
			legacy.pick('model_versions', '{checksum}', 'NULL') || '::text',
			legacy.pick('model_versions', '{training_dataset_size}', 'NULL'),
			legacy.pick('model_versions', '{training_duration_seconds}', 'NULL'),
			legacy.pick('model_versions', '{hyperparameters,parameters}', 'NULL') || '::text',
			legacy.pick('model_versions', '{metrics}', 'NULL') || '::text',
			legacy.pick('model_versions', '{is_deployed,deployed,is_active}', '''f''') || '::text',
			legacy.instant('model_versions', '{deployed_at}', 'NULL'),
			legacy.pick('model_versions', '{traffic_percentage}', 'NULL'),
			legacy.instant('model_versions', '{created_at}', 'now()'),
			legacy.pick('model_versions', '{created_by}', 'NULL') || '::text',
			legacy.pick('model_versions', '{version,version_number}', 'NULL') || '::text');
	END IF;
	-- what judged without leaving its name
	PERFORM setval(pg_get_serial_sequence(n, 'id'), greatest(top_id, 1), top_id IS NOT NULL)
	FROM (SELECT 'models' AS n, max(id) AS top_id FROM models UNION ALL SELECT 'model_versions', max(id) FROM model_versions) x;
	INSERT INTO models (name, model_type, description, is_active)
	VALUES ('legacy', 'legacy', 'the reference system, where a row does not say which model judged', false) ON CONFLICT (name) DO NOTHING;
	INSERT INTO model_versions (model_id, version) SELECT id, '0' FROM models WHERE name = 'legacy' ON CONFLICT (model_id, version) DO NOTHING;

	-- transactions, in the order of the chain: their new ids are the order in which a replay evaluates them
	value := legacy.pick('transactions', '{value,amount,value_eth,value_wei}', '0') || '::text';
	price := legacy.pick('transactions', '{gas_price}', '0') || '::text';
	number := legacy.pick('transactions', '{block_number}', '0');
	good := format($f$coalesce(o.%1$s, '') ~ '^(0[xX])?[0-9a-fA-F]{64}$' AND coalesce(o.from_address, '') ~ '^(0[xX])?[0-9a-fA-F]{40}$'
		AND coalesce(o.to_address, '') ~ '^((0[xX])?[0-9a-fA-F]{40})?$' AND legacy.exact(%2$s, %3$s) BETWEEN 0 AND %4$s
		AND coalesce(legacy.exact(%5$s, %6$s), 0) BETWEEN 0 AND %4$s AND coalesce(%7$s, 0) >= 0
		AND NOT EXISTS (SELECT FROM legacy.transactions d WHERE legacy.bytes(d.%1$s) = legacy.bytes(o.%1$s) AND d.id < o.id)$f$,
		substr(legacy.pick('transactions', '{hash,tx_hash,transaction_hash}', 'o.hash'), 3), value, eth, top, price, gas, number);
	CREATE INDEX ON legacy.adopted_ids (new_id) WHERE tab = 'transactions';
	EXECUTE format('CREATE INDEX adopt_hash ON legacy.transactions (legacy.bytes(%s))',
		substr(legacy.pick('transactions', '{hash,tx_hash,transaction_hash}', 'o.hash'), 3));
	PERFORM legacy.refuse('transactions', good, 'hash, addresses, value or gas price are not those of a transaction, or it is '
		'there twice');
	PERFORM legacy.number('transactions', number || ', ' || legacy.instant('transactions',
		'{timestamp,block_timestamp,created_at}', 'now()'), good);
	EXECUTE format('INSERT INTO transactions (id, chain_id, block_number, timestamp, gas, gas_used, nonce, created_at, tx_index, '
		'input_size, status, hash, from_address, to_address, value, gas_price, block_hash, input_data) OVERRIDING SYSTEM VALUE '
		'SELECT i.new_id, %s, coalesce(%s::bigint, 0), %s, greatest(coalesce(%s::bigint, 0), 0), greatest(%s::bigint, 0), '
		'greatest(coalesce(%s::bigint, 0), 0), %s, %s::int, coalesce(octet_length(x.input), 0), %s, legacy.bytes(%s), '
		'legacy.bytes(o.from_address), nullif(legacy.bytes(o.to_address), ''''), legacy.exact(%s, %s), '
		'coalesce(legacy.exact(%s, %s), 0), CASE WHEN octet_length(legacy.bytes(%s)) = 32 THEN legacy.bytes(%s) END, x.input '
		'FROM legacy.transactions o JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.old_id = o.id::text, '
		'LATERAL (SELECT nullif(legacy.bytes(%s), '''') AS input) x ORDER BY i.new_id',
		format('coalesce(%s::bigint, %s)', legacy.pick('transactions', '{chain_id}', 'NULL'), current_setting('adopt.chain_id')),
		number, legacy.instant('transactions', '{timestamp,block_timestamp,created_at}', 'now()'),
		legacy.pick('transactions', '{gas,gas_limit,gas_used}', 'NULL'), legacy.pick('transactions', '{gas_used}', 'NULL'),
		legacy.pick('transactions', '{nonce}', 'NULL'), legacy.instant('transactions', '{created_at}', 'now()'),
		legacy.pick('transactions', '{transaction_index,tx_index}', 'NULL'),
		format('CASE WHEN lower(%1$s) IN (''1'', ''t'', ''true'', ''success'', ''confirmed'') THEN 1 WHEN lower(%1$s) IN (''0'', '
			'''f'', ''false'', ''failed'', ''reverted'') THEN 0 END', legacy.pick('transactions', '{status}', 'NULL') || '::text'),
		legacy.pick('transactions', '{hash,tx_hash,transaction_hash}', 'o.hash'), value, eth, price, gas,
		legacy.pick('transactions', '{block_hash}', 'NULL') || '::text',
		legacy.pick('transactions', '{block_hash}', 'NULL') || '::text',
		legacy.pick('transactions', '{input_data,input,data}', 'NULL') || '::text');

	-- anomalies name a transaction by id, and a model, a version of one, or nothing
	good := $f$EXISTS (SELECT FROM legacy.adopted_ids i WHERE i.tab = 'transactions' AND i.old_id = o.transaction_id::text)$f$;
	PERFORM legacy.refuse('anomalies', good, 'their transaction is not there');
	PERFORM legacy.number('anomalies', legacy.instant('anomalies', '{detected_at,created_at}', 'now()'), good);
	IF to_regclass('legacy.anomalies') IS NOT NULL THEN
		EXECUTE format('INSERT INTO anomalies (id, transaction_id, model_id, anomaly_score, severity, confidence, rule_id, '
			'rule_version, title, features_used, explanation, detected_at, reviewed, reviewed_by, reviewed_at, review_note, '
			'false_positive, status) OVERRIDING SYSTEM VALUE SELECT i.new_id, t.new_id, coalesce(v.new_id, w.id, z.id), '
			'least(greatest(coalesce(%1$s::float8, 0), 0), 1), CASE WHEN lower(%2$s) IN (''low'', ''medium'', ''high'', '
			'''critical'') THEN lower(%2$s)::severity ELSE ''medium'' END, least(greatest(coalesce(%3$s::float8, 0), 0), 1), '
			'coalesce(%4$s, ''legacy''), ''0'', coalesce(%5$s, ''''), coalesce(legacy.try_json(%6$s)::jsonb, ''{}''), '
			'coalesce(%7$s, ''''), %8$s, legacy.is_true(%9$s, false), r.new_id, %10$s, %11$s, CASE WHEN legacy.is_true(%9$s, false) '
			'THEN legacy.is_true(%12$s, NULL) END, CASE WHEN NOT legacy.is_true(%9$s, false) THEN ''open'' WHEN '
			'legacy.is_true(%12$s, false) THEN ''dismissed'' ELSE ''confirmed'' END FROM legacy.anomalies o '
			'JOIN legacy.adopted_ids i ON i.tab = ''anomalies'' AND i.old_id = o.id::text '
			'JOIN legacy.adopted_ids t ON t.tab = ''transactions'' AND t.old_id = o.transaction_id::text '
			'LEFT JOIN legacy.adopted_ids v ON v.tab = ''model_versions'' AND v.old_id = %13$s '
			'LEFT JOIN legacy.adopted_ids m ON m.tab = ''models'' AND m.old_id = %14$s '
			'LEFT JOIN LATERAL (SELECT max(id) AS id FROM model_versions WHERE model_id = m.new_id) w ON true '
			'LEFT JOIN legacy.adopted_ids r ON r.tab = ''users'' AND r.old_id = %15$s, '
			'(SELECT id FROM model_versions WHERE model_id = (SELECT id FROM models WHERE name = ''legacy'')) z ORDER BY i.new_id',
			legacy.pick('anomalies', '{anomaly_score,score}', 'NULL'), legacy.pick('anomalies', '{severity}', 'NULL') || '::text',
			legacy.pick('anomalies', '{confidence,anomaly_score}', 'NULL'), legacy.pick('anomalies', '{rule_id,anomaly_type}', 'NULL') || '::text',
			legacy.pick('anomalies', '{title,anomaly_type}', 'NULL') || '::text',
			legacy.pick('anomalies', '{features_used,features}', 'NULL') || '::text',
			legacy.pick('anomalies', '{explanation,description}', 'NULL') || '::text',
			legacy.instant('anomalies', '{detected_at,created_at}', 'now()'),
			legacy.pick('anomalies', '{reviewed,is_reviewed}', '''f''') || '::text',
			legacy.instant('anomalies', '{reviewed_at}', 'NULL'), legacy.pick('anomalies', '{review_note,review_notes,notes}', 'NULL') || '::text',
			legacy.pick('anomalies', '{false_positive,is_false_positive}', 'NULL') || '::text',
			legacy.pick('anomalies', '{model_version_id,model_id}', 'NULL') || '::text',
			legacy.pick('anomalies', '{model_id}', 'NULL') || '::text', legacy.pick('anomalies', '{reviewed_by}', 'NULL') || '::text');
	END IF;

	good := $f$EXISTS (SELECT FROM legacy.adopted_ids i WHERE i.tab = 'transactions' AND i.old_id = o.transaction_id::text)$f$;
	PERFORM legacy.refuse('predictions', good, 'their transaction is not there');
	PERFORM legacy.number('predictions', legacy.instant('predictions', '{created_at,predicted_at}', 'now()'), good);
	IF to_regclass('legacy.predictions') IS NOT NULL THEN
		EXECUTE format('INSERT INTO predictions (id, transaction_id, model_version_id, user_id, is_anomaly, confidence, '
			'anomaly_score, request_id, response_time_ms, created_at) OVERRIDING SYSTEM VALUE SELECT i.new_id, t.new_id, '
			'coalesce(v.new_id, w.id, z.id), u.new_id, legacy.is_true(%s, false), coalesce(%s::float8, 0), coalesce(%s::float8, 0), '
			'%s, %s::real, %s FROM legacy.predictions o JOIN legacy.adopted_ids i ON i.tab = ''predictions'' AND i.old_id = o.id::text '
			'JOIN legacy.adopted_ids t ON t.tab = ''transactions'' AND t.old_id = o.transaction_id::text '
			'LEFT JOIN legacy.adopted_ids v ON v.tab = ''model_versions'' AND v.old_id = %s '
			'LEFT JOIN legacy.adopted_ids m ON m.tab = ''models'' AND m.old_id = %s '
			'LEFT JOIN LATERAL (SELECT max(id) AS id FROM model_versions WHERE model_id = m.new_id) w ON true '
			'LEFT JOIN legacy.adopted_ids u ON u.tab = ''users'' AND u.old_id = %s, '
			'(SELECT id FROM model_versions WHERE model_id = (SELECT id FROM models WHERE name = ''legacy'')) z ORDER BY i.new_id',
			legacy.pick('predictions', '{is_anomaly}', '''f''') || '::text', legacy.pick('predictions', '{confidence}', 'NULL'),
			legacy.pick('predictions', '{anomaly_score,score}', 'NULL'), legacy.pick('predictions', '{request_id}', 'NULL') || '::text',
			legacy.pick('predictions', '{response_time_ms,latency_ms}', 'NULL'), legacy.instant('predictions', '{created_at,predicted_at}', 'now()'),
			legacy.pick('predictions', '{model_version_id,model_id}', 'NULL') || '::text',
			legacy.pick('predictions', '{model_id}', 'NULL') || '::text', legacy.pick('predictions', '{user_id}', 'NULL') || '::text');
	END IF;

	-- the log enters our chain in its old order; its own chain, if it had one, stays readable in the details
	PERFORM legacy.number('audit_logs', legacy.instant('audit_logs', '{timestamp,created_at}', 'now()'), 'true');
	IF to_regclass('legacy.audit_logs') IS NOT NULL THEN
		EXECUTE format('INSERT INTO audit_logs (id, event_type, user_id, resource, action, status, ip_address, user_agent, details, '
			'severity, timestamp) OVERRIDING SYSTEM VALUE SELECT i.new_id, coalesce(%s, ''legacy''), u.new_id, coalesce(%s, ''''), '
			'coalesce(%s, ''''), coalesce(%s, ''''), legacy.try_inet(%s), %s, json_strip_nulls(json_build_object(''details'', '
			'legacy.try_json(%s), ''legacy_id'', o.id, ''legacy_user'', %s, ''legacy_hash'', %s, ''legacy_previous_hash'', %s)), '
			'CASE WHEN lower(%s) IN (''info'', ''warning'', ''error'', ''critical'') THEN lower(%s) ELSE ''info'' END, %s '
			'FROM legacy.audit_logs o JOIN legacy.adopted_ids i ON i.tab = ''audit_logs'' AND i.old_id = o.id::text '
			'LEFT JOIN legacy.adopted_ids u ON u.tab = ''users'' AND u.old_id = %s ORDER BY i.new_id',
			legacy.pick('audit_logs', '{event_type}', 'NULL') || '::text', legacy.pick('audit_logs', '{resource,resource_type}', 'NULL') || '::text',
			legacy.pick('audit_logs', '{action}', 'NULL') || '::text', legacy.pick('audit_logs', '{status}', 'NULL') || '::text',
			legacy.pick('audit_logs', '{ip_address,ip}', 'NULL') || '::text', legacy.pick('audit_logs', '{user_agent}', 'NULL') || '::text',
			legacy.pick('audit_logs', '{details}', 'NULL') || '::text', legacy.pick('audit_logs', '{user_id}', 'NULL') || '::text',
			legacy.pick('audit_logs', '{hash,entry_hash}', 'NULL') || '::text',
			legacy.pick('audit_logs', '{previous_hash,prev_hash}', 'NULL') || '::text',
			legacy.pick('audit_logs', '{severity}', 'NULL') || '::text', legacy.pick('audit_logs', '{severity}', 'NULL') || '::text',
			legacy.instant('audit_logs', '{timestamp,created_at}', 'now()'), legacy.pick('audit_logs', '{user_id}', 'NULL') || '::text');
	END IF;

	PERFORM legacy.number('system_metrics', legacy.instant('system_metrics', '{timestamp,recorded_at,created_at}', 'now()'),
		legacy.pick('system_metrics', '{metric_value,value}', '0') || ' IS NOT NULL');
	IF to_regclass('legacy.system_metrics') IS NOT NULL THEN
		EXECUTE format('INSERT INTO system_metrics (id, metric_name, metric_value, tags, timestamp) OVERRIDING SYSTEM VALUE SELECT '
			'i.new_id, coalesce(%s, ''legacy''), %s::float8, coalesce(legacy.try_json(%s)::jsonb, ''{}''), %s FROM '
			'legacy.system_metrics o JOIN legacy.adopted_ids i ON i.tab = ''system_metrics'' AND i.old_id = o.id::text '
			'ORDER BY i.new_id', legacy.pick('system_metrics', '{metric_name,name}', 'NULL') || '::text',
			legacy.pick('system_metrics', '{metric_value,value}', '0'), legacy.pick('system_metrics', '{tags,labels}', 'NULL') || '::text',
			legacy.instant('system_metrics', '{timestamp,recorded_at,created_at}', 'now()'));
	END IF;

	-- sequences go on behind the last id; the months get their partitions
	FOREACH t IN ARRAY '{users,api_keys,models,model_versions,transactions,anomalies,predictions,audit_logs,system_metrics}'::text[]
	LOOP
		EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, ''id''), greatest((SELECT max(id) FROM %I), 1), '
			'(SELECT max(id) FROM %I) IS NOT NULL)', t, t, t);
		CONTINUE WHEN to_regclass('legacy.' || t) IS NULL;
		-- counts: what was numbered must have arrived
		PERFORM legacy.check_equal(t, 'rows', format('SELECT count(*) FROM legacy.adopted_ids WHERE tab = %L', t),
			format('SELECT count(*) FROM %I n JOIN legacy.adopted_ids i ON i.tab = %L AND i.new_id = n.id', t, t));
	END LOOP;
	FOREACH t IN ARRAY '{predictions,audit_logs,system_metrics}'::text[]
	LOOP
		IF to_regclass('partitions.' || t || '_default') IS NOT NULL THEN
			EXECUTE format('SELECT count(partition_add(%1$L, m::date)) FROM (SELECT DISTINCT date_trunc(''month'', %2$I AT TIME ZONE '
				'''UTC'') AS m FROM partitions.%3$I) months', t, CASE t WHEN 'predictions' THEN 'created_at' ELSE 'timestamp' END,
				t || '_default');
		END IF;
	END LOOP;

	-- sums: exact on both sides, since the old ones are summed as the decimal numbers that they print as
	PERFORM legacy.check_equal('transactions', 'sum of value, wei', format('SELECT sum(legacy.exact(%s, %s)) FROM legacy.transactions o '
		'JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.old_id = o.id::text', value, eth),
		'SELECT sum(value) FROM transactions n JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.new_id = n.id');
	PERFORM legacy.check_equal('transactions', 'sum of gas price, wei', format('SELECT sum(coalesce(legacy.exact(%s, %s), 0)) FROM '
		'legacy.transactions o JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.old_id = o.id::text', price, gas),
		'SELECT sum(gas_price) FROM transactions n JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.new_id = n.id');
	PERFORM legacy.check_equal('transactions', 'values that read back as the same double', format('SELECT count(*) FROM legacy.transactions o '
		'JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.old_id = o.id::text WHERE %s::float8 = 0 OR %s::float8 * %s >= 1', value, value, eth),
		format('SELECT count(*) FROM legacy.transactions o JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.old_id = o.id::text '
		'JOIN transactions n ON n.id = i.new_id WHERE (%1$s::float8 = 0 OR %1$s::float8 * %2$s >= 1) AND abs((n.value / %2$s)::float8 - %1$s::float8) '
		'<= 0.5 / %2$s', value, eth));
	PERFORM legacy.check_equal('transactions', 'first and last time', format('SELECT concat(min(%1$s), '' '', max(%1$s)) FROM legacy.transactions o '
		'JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.old_id = o.id::text', legacy.instant('transactions',
		'{timestamp,block_timestamp,created_at}', 'now()')),
		'SELECT concat(min(timestamp), '' '', max(timestamp)) FROM transactions n JOIN legacy.adopted_ids i ON i.tab = ''transactions'' AND i.new_id = n.id');
	IF to_regclass('legacy.users') IS NOT NULL THEN
		PERFORM legacy.check_equal('users', 'password hashes', format('SELECT md5(string_agg(%s, '','' ORDER BY lower(o.email) COLLATE "C")) FROM '
			'legacy.users o JOIN legacy.adopted_ids i ON i.tab = ''users'' AND i.old_id = o.id::text',
			legacy.pick('users', '{hashed_password,password_hash,password}', 'NULL')),
			'SELECT md5(string_agg(hashed_password, '','' ORDER BY lower(email) COLLATE "C")) FROM users n JOIN legacy.adopted_ids i ON '
			'i.tab = ''users'' AND i.new_id = n.id');
	END IF;
	IF to_regclass('legacy.anomalies') IS NOT NULL THEN
		PERFORM legacy.check_equal('anomalies', 'reviewed', format('SELECT count(*) FROM legacy.anomalies o JOIN legacy.adopted_ids i ON '
			'i.tab = ''anomalies'' AND i.old_id = o.id::text WHERE legacy.is_true(%s, false)',
			legacy.pick('anomalies', '{reviewed,is_reviewed}', '''f''') || '::text'),
			'SELECT count(*) FROM anomalies n JOIN legacy.adopted_ids i ON i.tab = ''anomalies'' AND i.new_id = n.id WHERE reviewed');
	END IF;
	IF to_regclass('legacy.system_metrics') IS NOT NULL THEN
		PERFORM legacy.check_equal('system_metrics', 'sum of values', format('SELECT sum(%1$s::float8::text::numeric) FROM legacy.system_metrics o WHERE '
			'%1$s::float8 NOT IN (''NaN'', ''Infinity'', ''-Infinity'')', legacy.pick('system_metrics', '{metric_value,value}', '0')),
			'SELECT sum(metric_value::text::numeric) FROM system_metrics n JOIN legacy.adopted_ids i ON i.tab = ''system_metrics'' AND i.new_id = n.id '
			'WHERE metric_value NOT IN (''NaN'', ''Infinity'', ''-Infinity'')');
	END IF;
	DROP INDEX legacy.adopt_hash;
	SELECT string_agg(format('%s, %s: %s there, %s here', a.tab, a.what, a.legacy, a.adopted), '; ') INTO t FROM legacy.adoption a WHERE NOT ok;
	IF t IS NOT NULL THEN
		RAISE EXCEPTION 'it does not come out even: %', t;
	END IF;
	INSERT INTO audit_logs (event_type, resource, action, status, details)
	SELECT 'database.adopted', 'database', 'adopt', 'success', json_agg(json_build_object('table', tab, 'what', what, 'legacy', a.legacy,
		'adopted', a.adopted)) FROM legacy.adoption a;
END
$adopt$;
DROP FUNCTION legacy.pick, legacy.instant, legacy.bytes, legacy.exact, legacy.try_json, legacy.try_inet, legacy.is_true, legacy.roles,
	legacy.number, legacy.check_equal, legacy.refuse;
