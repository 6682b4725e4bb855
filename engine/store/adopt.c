#include "store/adopt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/embed.h"
#include "base/err.h"
#include "pg/scratch.h"

CW_EMBED(cw_adopt_sql, "engine/store/adopt.sql");

#define NINE "'{users,api_keys,models,model_versions,transactions,anomalies,predictions,audit_logs,system_metrics," \
             "alembic_version}'::text[]"

int cw_adopt_state(const char *conninfo, enum cw_adopt_state *state, struct cw_err *err)
{
	char text[16];
	const char *sql =
		"SELECT CASE WHEN to_regclass('legacy.adoption') IS NOT NULL THEN 3\n"
		"WHEN to_regclass('legacy.transactions') IS NOT NULL THEN 2\n"
		"WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.transactions') AND attname = 'id' AND\n"
		"atttypid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'uuid'::regtype)) THEN 1 ELSE 0 END";

	if (cw_pg_value(conninfo, sql, text, sizeof(text), err) != 0)
		return -1;
	*state = (enum cw_adopt_state)atoi(text);
	return 0;
}

/* The name of a column of the old table, for the first of several. */
static int column(const char *conninfo, const char *names, char *out, size_t size, struct cw_err *err)
{
	char sql[512];

	snprintf(sql, sizeof(sql), "SELECT quote_ident(attname) FROM unnest('{%s}'::text[]) WITH ORDINALITY n (name, i) JOIN "
	         "pg_attribute ON attname = n.name AND NOT attisdropped AND attrelid = coalesce(to_regclass('legacy.transactions'), "
	         "to_regclass('public.transactions')) ORDER BY i LIMIT 1", names);
	return cw_pg_value(conninfo, sql, out, size, err);
}

static int look_at(const char *conninfo, const char *names, double *largest, bool *whole, struct cw_err *err)
{
	char name[128], sql[1024], text[128];
	const char *where = "CASE WHEN to_regclass('legacy.transactions') IS NOT NULL THEN 'legacy' ELSE 'public' END";

	*largest = 0;
	*whole = true;
	if (column(conninfo, names, name, sizeof(name), err) != 0)
		return -1;
	if (name[0] == '\0')
		return 0;
	snprintf(sql, sizeof(sql), "SELECT (xpath('//x/text()', query_to_xml(format('SELECT coalesce(max(%s::float8), 0) || '':'' || "
	         "coalesce(bool_and(%s::float8 = floor(%s::float8)), true)::int AS x FROM %%I.transactions', %s), false, true, '')))"
	         "[1]", name, name, name, where);
	if (cw_pg_value(conninfo, sql, text, sizeof(text), err) != 0)
		return -1;
	*largest = strtod(text, NULL);
	*whole = strchr(text, ':') != NULL && strchr(text, ':')[1] == '1';
	return 0;
}

int cw_adopt_look(const char *conninfo, struct cw_adopt_look *look, struct cw_err *err)
{
	const char *sql =
		"SELECT coalesce(json_agg(json_build_object('table', t, 'rows', (xpath('//c/text()', query_to_xml(format(\n"
		"'SELECT count(*) AS c FROM %s', r), false, true, '')))[1]::text::bigint) ORDER BY n), '[]')\n"
		"FROM (SELECT t, n, coalesce(to_regclass('legacy.' || t), to_regclass('public.' || t)) AS r\n"
		"FROM unnest(" NINE ") WITH ORDINALITY u (t, n)) x WHERE r IS NOT NULL";

	if (cw_pg_value(conninfo, sql, look->tables, sizeof(look->tables), err) != 0 ||
	    look_at(conninfo, "value,amount,value_eth,value_wei", &look->max_value, &look->whole_value, err) != 0)
		return -1;
	return look_at(conninfo, "gas_price", &look->max_gas_price, &look->whole_gas_price, err);
}

/* Tables with their sequences, indexes and constraints, and the enums that their columns have. */
static int move(const char *conninfo, const char *from, const char *to, struct cw_err *err)
{
	char sql[2048];

	snprintf(sql, sizeof(sql),
	         "DO $$\nDECLARE t text;\nBEGIN\n"
	         "SET LOCAL lock_timeout = '10s';\n"
	         "CREATE SCHEMA IF NOT EXISTS %s;\n"
	         "FOREACH t IN ARRAY " NINE " LOOP\n"
	         "  IF to_regclass('%s.' || t) IS NOT NULL THEN EXECUTE format('ALTER TABLE %s.%%I SET SCHEMA %s', t); END IF;\n"
	         "END LOOP;\n"
	         "FOR t IN SELECT DISTINCT quote_ident(y.typname) FROM pg_type y JOIN pg_attribute a ON a.atttypid = y.oid\n"
	         "  JOIN pg_class c ON c.oid = a.attrelid WHERE y.typtype = 'e' AND y.typnamespace = '%s'::regnamespace\n"
	         "  AND c.relnamespace = '%s'::regnamespace LOOP\n"
	         "  EXECUTE format('ALTER TYPE %s.%%s SET SCHEMA %s', t);\n"
	         "END LOOP;\nEND $$", to, from, from, to, from, to, from, to);
	return cw_pg_exec(conninfo, sql, err);
}

int cw_adopt_move(const char *conninfo, struct cw_err *err)
{
	return move(conninfo, "public", "legacy", err);
}

int cw_adopt_move_back(const char *conninfo, struct cw_err *err)
{
	if (cw_pg_exec(conninfo, "DROP TABLE IF EXISTS legacy.adoption, legacy.adopted_ids", err) != 0 ||
	    move(conninfo, "legacy", "public", err) != 0)
		return -1;
	return cw_pg_exec(conninfo, "DROP SCHEMA legacy", err);
}

int cw_adopt_fill(const char *conninfo, const struct cw_adopt_conf *conf, struct cw_err *err)
{
	struct cw_buf sql = CW_BUF_INIT;
	int rc;

	cw_buf_printf(&sql, "SELECT set_config('adopt.amounts', '%s', true), set_config('adopt.gas_price', '%s', true), "
	                    "set_config('adopt.chain_id', '%lld', true), set_config('adopt.skip_invalid', '%s', true);\n",
	              conf->amounts, conf->gas_price, (long long)conf->chain_id, conf->skip_invalid ? "on" : "off");
	cw_buf_add(&sql, cw_adopt_sql, cw_adopt_sql_len);
	rc = cw_pg_exec(conninfo, sql.data, err);
	cw_buf_release(&sql);
	return rc;
}

int cw_adopt_report(const char *conninfo, char *out, size_t size, struct cw_err *err)
{
	return cw_pg_value(conninfo, "SELECT coalesce(json_agg(json_build_object('table', tab, 'what', what, 'legacy', legacy, "
	                             "'adopted', adopted) ORDER BY n), '[]') FROM legacy.adoption", out, size, err);
}

int cw_adopt_drop(const char *conninfo, struct cw_err *err)
{
	return cw_pg_exec(conninfo, "DROP SCHEMA legacy CASCADE", err);
}
