#include "store/db_stats.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"

/* Months count for their table, and their indexes for its. Sizes need no lock that anybody waits for. */
static const struct cw_stmt stats_stmt = {
	"db_stats",
	"WITH rel AS (SELECT c.oid, coalesce(p.relname, c.relname) AS name FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid ="
	" c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace,"
	" 'partitions'::regnamespace)), tab AS (SELECT r.name, sum(pg_table_size(r.oid)) AS bytes, sum(pg_indexes_size(r.oid)) AS"
	" indexes, sum(s.n_live_tup) AS live, sum(s.n_dead_tup) AS dead, sum(s.seq_scan) AS seq, sum(coalesce(s.idx_scan, 0)) AS"
	" idx, sum(s.n_tup_ins) AS ins, sum(s.n_tup_upd) AS upd, sum(s.n_tup_del) AS del FROM rel r JOIN pg_stat_all_tables s ON"
	" s.relid = r.oid GROUP BY r.name), ind AS (SELECT coalesce(p.relname, s.indexrelname) AS name, sum(s.idx_scan) AS scans,"
	" sum(pg_relation_size(s.indexrelid)) AS bytes FROM pg_stat_user_indexes s LEFT JOIN pg_inherits i ON i.inhrelid ="
	" s.indexrelid LEFT JOIN pg_class p ON p.oid = i.inhparent WHERE s.schemaname IN ('public', 'partitions') GROUP BY 1)"
	" SELECT m::text, l::text, v::float8 FROM ("
	" SELECT 'table_bytes' AS m, name AS l, bytes AS v FROM tab UNION ALL SELECT 'table_index_bytes', name, indexes FROM tab"
	" UNION ALL SELECT 'table_live_rows', name, live FROM tab UNION ALL SELECT 'table_dead_rows', name, dead FROM tab"
	" UNION ALL SELECT 'table_seq_scans_total', name, seq FROM tab UNION ALL SELECT 'table_index_scans_total', name, idx FROM"
	" tab UNION ALL SELECT 'table_inserts_total', name, ins FROM tab UNION ALL SELECT 'table_updates_total', name, upd FROM tab"
	" UNION ALL SELECT 'table_deletes_total', name, del FROM tab"
	" UNION ALL SELECT 'index_scans_total', name, scans FROM ind UNION ALL SELECT 'index_bytes', name, bytes FROM ind"
	" UNION ALL SELECT 'size_bytes', '', pg_database_size(current_database())"
	" UNION ALL SELECT 'xid_age', '', age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
	" UNION ALL SELECT u.m, '', u.v FROM pg_stat_database d CROSS JOIN LATERAL (VALUES ('commits_total', d.xact_commit),"
	" ('rollbacks_total', d.xact_rollback), ('blocks_hit_total', d.blks_hit), ('blocks_read_total', d.blks_read),"
	" ('deadlocks_total', d.deadlocks), ('temp_bytes_total', d.temp_bytes), ('backends', d.numbackends)) u (m, v)"
	" WHERE d.datname = current_database()"
	" UNION ALL SELECT 'max_connections', '', current_setting('max_connections')::float8"
	" UNION ALL SELECT 'oldest_transaction_seconds', '', coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)"
	" FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
	" UNION ALL SELECT 'lock_waiters', '', count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
	" UNION ALL SELECT 'replicas', '', count(*) FROM pg_stat_replication"
	" UNION ALL SELECT 'replication_lag_seconds', '', coalesce(max(extract(epoch FROM replay_lag)), 0) FROM pg_stat_replication"
	" UNION ALL SELECT 'replication_lag_bytes', '', coalesce(max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN"
	" pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn)), 0) FROM pg_stat_replication"
	" UNION ALL SELECT 'archived_total', '', archived_count FROM pg_stat_archiver"
	" UNION ALL SELECT 'archive_failures_total', '', failed_count FROM pg_stat_archiver"
	" UNION ALL SELECT 'archive_lag_seconds', '', CASE WHEN current_setting('archive_mode') = 'off' THEN 0 ELSE"
	" coalesce(extract(epoch FROM clock_timestamp() - last_archived_time), 0) END FROM pg_stat_archiver"
	" UNION ALL SELECT 'held_back_bytes', '', coalesce(max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN"
	" pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)), 0) FROM pg_replication_slots) all_of_it",
};

static const struct { const char *key, *label, *help; } kinds[] = {
	{ "table_bytes", "table", "size of a table on disk, without its indexes" },
	{ "table_index_bytes", "table", "size of a table's indexes" },
	{ "table_live_rows", "table", "rows, estimated" },
	{ "table_dead_rows", "table", "rows that vacuum has not removed yet, estimated" },
	{ "table_seq_scans_total", "table", "sequential scans" },
	{ "table_index_scans_total", "table", "index scans" },
	{ "table_inserts_total", "table", "rows inserted" },
	{ "table_updates_total", "table", "rows updated" },
	{ "table_deletes_total", "table", "rows deleted" },
	{ "index_scans_total", "index", "scans of an index; one that stays at 0 is not needed" },
	{ "index_bytes", "index", "size of an index" },
	{ "size_bytes", NULL, "size of the database" },
	{ "xid_age", NULL, "transactions since the oldest one that is not frozen; autovacuum acts at 200 million" },
	{ "commits_total", NULL, "committed transactions" },
	{ "rollbacks_total", NULL, "transactions rolled back" },
	{ "blocks_hit_total", NULL, "blocks found in shared buffers" },
	{ "blocks_read_total", NULL, "blocks read from the operating system" },
	{ "deadlocks_total", NULL, "deadlocks" },
	{ "temp_bytes_total", NULL, "bytes written to temporary files" },
	{ "backends", NULL, "connections to the database, of everybody" },
	{ "max_connections", NULL, "connections that the server takes" },
	{ "oldest_transaction_seconds", NULL, "age of the oldest open transaction" },
	{ "lock_waiters", NULL, "sessions that wait for a lock" },
	{ "replicas", NULL, "standbys that stream from this server" },
	{ "replication_lag_seconds", NULL, "replay lag of the slowest standby" },
	{ "replication_lag_bytes", NULL, "WAL that the slowest standby has not replayed" },
	{ "archived_total", NULL, "WAL files archived" },
	{ "archive_failures_total", NULL, "failed attempts to archive a WAL file" },
	{ "archive_lag_seconds", NULL, "since the last WAL file was archived; 0 when nothing is" },
	{ "held_back_bytes", NULL, "WAL kept for the replication slot that is furthest behind" },
};

struct cw_db_stats {
	struct cw_loop *loop;
	struct cw_pool *pool;
	int64_t every_s;
	struct cw_timer *timer;
	uint64_t query;
};

static void set_up(int up)
{
	cw_metric_set(cw_gauge("chainwatch_db_up", "whether the database answered when it was asked last", NULL), up);
}

static void set(const char *key, const char *label, double value)
{
	struct cw_buf name = CW_BUF_INIT, labels = CW_BUF_INIT;
	size_t i = 0, n = strlen(key);

	while (i < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[i].key, key) != 0)
		i++;
	if (i == sizeof(kinds) / sizeof(*kinds))
		return;
	cw_buf_printf(&name, "chainwatch_db_%s", key);
	if (kinds[i].label != NULL)
		cw_metric_label(&labels, kinds[i].label, label);
	cw_metric_set(n > 6 && strcmp(key + n - 6, "_total") == 0
	                  ? cw_counter(name.data, kinds[i].help, kinds[i].label != NULL ? labels.data : NULL)
	                  : cw_gauge(name.data, kinds[i].help, kinds[i].label != NULL ? labels.data : NULL),
	              value);
	cw_buf_release(&name);
	cw_buf_release(&labels);
}

static void on_stats(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_db_stats *s = arg;

	s->query = 0;
	cw_timer_set(s->timer, s->every_s * 1000);
	set_up(err == NULL);
	if (err != NULL) {
		cw_log_err(CW_LOG_DEBUG, "store", "could not read the database's statistics", err);
		return;
	}
	for (int i = 0; i < cw_result_rows(res); i++)
		set(cw_result_text(res, i, 0, NULL), cw_result_text(res, i, 1, NULL), cw_result_f64(res, i, 2));
}

static void ask(void *arg)
{
	struct cw_db_stats *s = arg;

	s->query = cw_pool_read(s->pool, &stats_stmt, NULL, on_stats, s);
}

struct cw_db_stats *cw_db_stats_new(struct cw_loop *loop, struct cw_pool *pool, int64_t every_s)
{
	struct cw_db_stats *s = cw_zalloc(sizeof(*s));

	s->loop = loop;
	s->pool = pool;
	s->every_s = every_s;
	s->timer = cw_timer_new(loop, ask, s);
	cw_timer_set(s->timer, 0);
	return s;
}

void cw_db_stats_free(struct cw_db_stats **stats)
{
	struct cw_db_stats *s = *stats;

	*stats = NULL;
	if (s == NULL)
		return;
	if (s->query != 0)
		cw_pool_cancel(s->pool, s->query);
	cw_timer_free(&s->timer);
	cw_free(s);
}
