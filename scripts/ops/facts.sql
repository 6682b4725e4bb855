-- What is in a database, one fact a line: of a dump and of what it is restored to, they must be equal. Facts of tables
-- that are not there (an older schema) are left out.
SELECT string_agg(fact, E'\n' ORDER BY fact) FROM (
  SELECT format('rows %I.%I=', n.nspname, c.relname) || (xpath('//x/text()', query_to_xml(format(
    'SELECT count(*) AS x FROM %I.%I', n.nspname, c.relname), false, false, '')))[1] AS fact
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT format('sum %s.%s=', t, a) || (xpath('//x/text()', query_to_xml(format(
    'SELECT coalesce(sum(%I::numeric), 0) AS x FROM public.%I', a, t), false, false, '')))[1]
  FROM (VALUES ('transactions', 'value'), ('transactions', 'gas_price'), ('transactions', 'nonce'),
    ('anomalies', 'anomaly_score'), ('anomalies', 'transaction_id'), ('predictions', 'transaction_id')) v (t, a)
  WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.' || t) AND attname = a)
  UNION ALL
  SELECT 'audit head=' || (xpath('//x/text()', query_to_xml(
    'SELECT encode(hash, ''hex'') AS x FROM public.audit_logs ORDER BY id DESC LIMIT 1', false, false, '')))[1]
  WHERE to_regclass('public.audit_logs') IS NOT NULL
  UNION ALL
  SELECT 'migrations=' || (xpath('//x/text()', query_to_xml(
    'SELECT string_agg(version, '','' ORDER BY version) AS x FROM public.schema_migrations', false, false, '')))[1]
  WHERE to_regclass('public.schema_migrations') IS NOT NULL) f
