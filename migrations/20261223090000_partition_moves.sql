-- A statement that was planned before a month got its partition, and then waited for the default one, whose rows moved,
-- found them in neither: it knew of no partition but those of its plan. A month that has begun may have rows to move, so
-- its table is closed until they have moved; months to come, which are made ahead, hold up nobody as before.

-- migrate:up

CREATE OR REPLACE FUNCTION partition_add(parent regclass, month date) RETURNS text LANGUAGE plpgsql
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
	base text := (SELECT relname FROM pg_class WHERE oid = parent);
	name text := base || to_char(month, '_YYYY_MM');
	low timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
	high timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
	key text := (SELECT a.attname FROM pg_partitioned_table p JOIN pg_attribute a
		ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = parent);
	referenced regclass;
BEGIN
	IF to_regclass(format('partitions.%I', name)) IS NOT NULL THEN
		RETURN NULL;
	END IF;
	-- In the order in which an insert takes them, so that neither waits for the other in a circle.
	FOR referenced IN SELECT DISTINCT confrelid FROM pg_constraint WHERE conrelid = parent AND contype = 'f' ORDER BY 1
	LOOP
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', referenced);
	END LOOP;
	IF low <= now() THEN
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', parent);
	END IF;
	EXECUTE format('LOCK TABLE partitions.%I IN ACCESS EXCLUSIVE MODE', base || '_default');
	EXECUTE format('CREATE TABLE partitions.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) WITH '
		'(autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)', name, parent);
	PERFORM set_config('chainwatch.audit_retention', 'on', true);
	EXECUTE format('WITH moved AS (DELETE FROM partitions.%I WHERE %I >= %L AND %I < %L RETURNING *) '
		'INSERT INTO partitions.%I SELECT * FROM moved', base || '_default', key, low, key, high, name);
	PERFORM set_config('chainwatch.audit_retention', 'off', true);
	EXECUTE format('ALTER TABLE %s ATTACH PARTITION partitions.%I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
	IF base = 'audit_logs' THEN
		EXECUTE format('CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON partitions.%I '
			'FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard()', name);
	END IF;
	RETURN name;
END
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION partition_add(parent regclass, month date) RETURNS text LANGUAGE plpgsql
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
	base text := (SELECT relname FROM pg_class WHERE oid = parent);
	name text := base || to_char(month, '_YYYY_MM');
	low timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
	high timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
	key text := (SELECT a.attname FROM pg_partitioned_table p JOIN pg_attribute a
		ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = parent);
	referenced regclass;
BEGIN
	IF to_regclass(format('partitions.%I', name)) IS NOT NULL THEN
		RETURN NULL;
	END IF;
	-- In the order in which an insert takes them, so that neither waits for the other in a circle.
	FOR referenced IN SELECT DISTINCT confrelid FROM pg_constraint WHERE conrelid = parent AND contype = 'f' ORDER BY 1
	LOOP
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', referenced);
	END LOOP;
	EXECUTE format('LOCK TABLE partitions.%I IN ACCESS EXCLUSIVE MODE', base || '_default');
	EXECUTE format('CREATE TABLE partitions.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) WITH '
		'(autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)', name, parent);
	PERFORM set_config('chainwatch.audit_retention', 'on', true);
	EXECUTE format('WITH moved AS (DELETE FROM partitions.%I WHERE %I >= %L AND %I < %L RETURNING *) '
		'INSERT INTO partitions.%I SELECT * FROM moved', base || '_default', key, low, key, high, name);
	PERFORM set_config('chainwatch.audit_retention', 'off', true);
	EXECUTE format('ALTER TABLE %s ATTACH PARTITION partitions.%I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
	IF base = 'audit_logs' THEN
		EXECUTE format('CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON partitions.%I '
			'FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_guard()', name);
	END IF;
	RETURN name;
END
$$;
