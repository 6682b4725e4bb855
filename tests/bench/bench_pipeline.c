/* The commit stream beside its yardsticks, without HTTP: 64 clients with one transaction each against pgbench's
 * single-row commits at 16 clients; submissions of 1000 against the same rows sent by bare unnest statements. Durable
 * (synchronous_commit on, a cluster that syncs), rules in C, runs alternated, medians; CPU of engine, evaluator and
 * PostgreSQL a transaction beside each, since rates mean little on a shared machine.
 *
 * With SCRATCH=1 in the environment nothing is synced: for the CPU figures on a machine whose disk is busy.
 *
 * LANES=2: two connections take turns (pipeline.commit_lanes).
 *
 * usage: bench_pipeline [ROUNDS [SECONDS [KINDS]]]      from the top of the repository; KINDS e.g. 24: only these */
#include <dirent.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/conn.h"
#include "pg/migrate.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "pipeline/pipeline.h"
#include "state/state.h"
#include "store/alerts.h"
#include "store/ingest.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"

#define ROUNDS_MAX 15
#define BATCH 1000

struct figure { double rate, engine_us, evaluator_us, pg_us; };
enum { PGBENCH, SINGLE, BARE, BATCHES, KINDS };
static const char *const names[] = { "pgbench, 16 clients, a row a commit", "pipeline, 64 clients, one each",
	                                 "bare unnest of 1000, a commit each", "pipeline, submissions of 1000" };

static char dir[48];
static struct cw_cluster *cluster;
static struct cw_loop *loop;
static struct cw_pool *pool;
static struct cw_pipeline *p;
static struct cw_arena *arena;
static uint64_t next_tx = 1;
static int64_t end_us;
static long done;
static int running;
static bool flag;

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* --- CPU --- */

/* With `ended`, of its children that have ended, too. */
static double process_us(long pid, bool ended)
{
	char path[64], text[1024];
	unsigned long user = 0, sys = 0, child_user = 0, child_sys = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL && strrchr(text, ')') != NULL)
		sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &user, &sys, &child_user,
		       &child_sys);
	fclose(f);
	if (ended)
		user += child_user + child_sys;
	return (double)(user + sys) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static long parent_of(long pid)
{
	char path[64], text[1024];
	long parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL && strrchr(text, ')') != NULL)
		sscanf(strrchr(text, ')') + 2, "%*c %ld", &parent);
	fclose(f);
	return parent;
}

static double server_us(void)
{
	DIR *proc = opendir("/proc");
	long postmaster = cw_cluster_pid(cluster);
	double sum = process_us(postmaster, true);
	struct dirent *e;

	while ((e = readdir(proc)) != NULL) {
		long pid = atol(e->d_name);

		if (pid > 0 && parent_of(pid) == postmaster)
			sum += process_us(pid, false);
	}
	closedir(proc);
	return sum;
}

static double engine_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* --- pipeline --- */

static void send_some(size_t n);

static void on_outcomes(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		if (outcomes[i].err != NULL || outcomes[i].duplicate)
			fail("outcome", outcomes[i].err != NULL ? outcomes[i].err->msg : "duplicate");
	done += (long)n;
	running--;
	if (cw_clock_mono_us() < end_us)
		send_some(n);
}

static void send_some(size_t n)
{
	static struct cw_tx_in txs[BATCH];
	struct cw_origin origin = { .request_id = "0123456789abcdef", .start_us = cw_clock_mono_us() };
	struct cw_err err = { 0 };

	for (size_t i = 0; i < n; i++) {
		txs[i] = store_env_tx(next_tx++);
		if (next_tx % 50 == 0)
			txs[i].tx.gas = TOLD_ALERT;      /* 2 % */
	}
	if (cw_pipeline_submit(p, txs, n, &origin, on_outcomes, NULL, &err) == 0)
		fail("submit", err.msg);
	running++;
}

static void run_pipeline(int clients, size_t n, double seconds)
{
	end_us = cw_clock_mono_us() + (int64_t)(seconds * 1e6);
	for (int i = 0; i < clients; i++)
		send_some(n);
	while (running > 0)
		cw_loop_run_once(loop);
}

/* --- yardsticks --- */

static struct cw_conn *conn;

static void on_ready(void *arg, struct cw_conn *c, const struct cw_err *err)
{
	(void)arg;
	(void)c;
	if (err != NULL)
		fail("connect", err->msg);
	flag = true;
}

static void on_bare(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	if (err != NULL)
		fail("insert", err->msg);
	flag = true;
}

static int64_t first_id;

static void on_ids(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	on_bare(arg, res, err);
	first_id = cw_result_i64(res, 0, 0);
}

static void wait_flag(void)
{
	while (!flag)
		cw_loop_run_once(loop);
	flag = false;
}

static void run_bare(double seconds)
{
	static struct cw_tx_in txs[BATCH];
	static const struct cw_tx_in *list[BATCH];
	static struct cw_new_prediction rows[BATCH];
	static struct cw_alert_row alerts[BATCH / 50];
	static struct cw_alert_fire fires[BATCH / 50];

	end_us = cw_clock_mono_us() + (int64_t)(seconds * 1e6);
	do {
		for (int i = 0; i < BATCH; i++) {
			txs[i] = store_env_tx(next_tx++);
			list[i] = &txs[i];
		}
		cw_ingest_begin(conn, NULL, NULL);
		cw_ingest_transactions(conn, list, BATCH, false, arena, on_ids, NULL);
		cw_conn_flush(conn);
		wait_flag();
		for (int i = 0; i < BATCH; i++)
			rows[i] = (struct cw_new_prediction){ .transaction_id = first_id + i, .model_version_id = 1,
				.request_id = "0123456789abcdef", .response_time_ms = 1 };
		for (int i = 0; i < BATCH / 50; i++) {
			alerts[i] = (struct cw_alert_row){ .founder = first_id + i * 50, .model_version_id = 2,
				.rule_id = "test.count", .rule_version = "1.0", .title = "Counted", .ruleset = "digest-v1", .dedup = "d" };
			fires[i] = (struct cw_alert_fire){ .row = (uint32_t)i, .transaction_id = first_id + i * 50, .score = 0.7,
				.confidence = 0.5, .severity = "high", .features = "{\"n\":1}", .explanation = "told to" };
		}
		cw_ingest_predictions(conn, rows, BATCH, arena, NULL, NULL);
		cw_alerts_store(conn, alerts, BATCH / 50, fires, BATCH / 50, false, arena, NULL, NULL);
		cw_ingest_commit(conn, on_bare, NULL);
		cw_conn_sync(conn, NULL, NULL);
		wait_flag();
		cw_arena_clear(arena);
		done += BATCH;
	} while (cw_clock_mono_us() < end_us);
}

/* One row in transactions and predictions, and in one of 50 an anomaly, in one statement and one commit. */
static void run_pgbench(double seconds)
{
	char command[1024], line[256];
	FILE *out;

	snprintf(command, sizeof(command), "%s/script", dir);
	out = fopen(command, "w");
	fputs("\\set n random(1, 1000000000000)\n\\set a random(1, 50)\n"
	      "WITH t AS (INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, to_address, value,"
	      " gas, gas_price, gas_used, nonce, input_size, status) VALUES (1, sha256(int8send(:n::int8)), 18000000, now(),"
	      " substring(sha256(int8send(:n::int8 % 4096)) FROM 1 FOR 20), substring(sha256(int8send(:n::int8 % 256)) FROM 1 FOR 20),"
	      " 1000000007, 21000, 30000000000, 21000, 1, 0, 1) ON CONFLICT (chain_id, hash) DO NOTHING RETURNING id),"
	      " a AS (INSERT INTO anomalies (transaction_id, model_id, anomaly_score, severity, confidence, rule_id,"
	      " rule_version) SELECT id, 2, 0.7, 'high', 0.5, 'test.count', '1.0' FROM t WHERE :a = 1)"
	      " INSERT INTO predictions (transaction_id, model_version_id, is_anomaly, confidence, anomaly_score, request_id,"
	      " response_time_ms) SELECT id, 1, false, 0, 0, '0123456789abcdef', 1 FROM t;\n", out);
	fclose(out);
	snprintf(command, sizeof(command), "$(pg_config --bindir)/pgbench -n -M prepared -c 16 -j 1 -T %.0f -f %s/script"
	         " -h %s -U chainwatch chainwatch 2>&1", seconds, dir, cw_cluster_socket_dir(cluster));
	out = popen(command, "r");
	while (fgets(line, sizeof(line), out) != NULL) {
		sscanf(line, "number of transactions actually processed: %ld", &done);
		if (strstr(line, "ERROR") != NULL)
			fail("pgbench", line);
	}
	if (pclose(out) != 0)
		fail("pgbench", line);
}

/* --- */

static struct figure measure(int kind, double seconds)
{
	double cpu, server, judge;
	int64_t begin;
	struct figure f;

	usleep(300000);                  /* until the sessions of the run before are counted as ended */
	cpu = engine_us();
	server = server_us();
	judge = process_us((long)cw_pipeline_supervisor_stats(p).pid, false);
	begin = cw_clock_mono_us();

	done = 0;
	switch (kind) {
	case PGBENCH: run_pgbench(seconds); break;
	case SINGLE: run_pipeline(64, 1, seconds); break;
	case BARE: run_bare(seconds); break;
	default: run_pipeline(4, BATCH, seconds); break;
	}
	f.rate = (double)done * 1e6 / (double)(cw_clock_mono_us() - begin);
	f.engine_us = (engine_us() - cpu) / (double)done;
	f.pg_us = (server_us() - server) / (double)done;
	f.evaluator_us = (process_us((long)cw_pipeline_supervisor_stats(p).pid, false) - judge) / (double)done;
	printf("%-36s %8.0f/s  engine %5.2f  evaluator %5.2f  PostgreSQL %6.2f us\n", names[kind], f.rate, f.engine_us,
	       f.evaluator_us, f.pg_us);
	fflush(stdout);
	return f;
}

static int by_rate(const void *a, const void *b)
{
	const struct figure *x = a, *y = b;

	return x->rate < y->rate ? -1 : x->rate > y->rate;
}

static void on_load(void *arg, const char *report, const struct cw_err *err)
{
	(void)arg;
	(void)report;
	if (err != NULL)
		fail("rules", err->msg);
}

static void start(struct cw_zygote *zygote)
{
	static const struct cw_state_conf state_conf = { .max_bytes = 64u << 20, .journal_bytes = 64u << 20 };
	struct cw_cluster_conf conf = { .dir = dir, .shared_buffers = "512MB", .scratch = getenv("SCRATCH") != NULL };
	struct cw_pipeline_conf pipeline_conf = cw_pipeline_conf_default;
	struct cw_pool_conf pool_conf = cw_pool_conf_default;
	struct cw_migrate_run run = { .lock_timeout_ms = 5000 };
	struct cw_migrations m;
	struct cw_err err = { 0 };

	snprintf(dir, sizeof(dir), "%s/cwb-XXXXXX", getenv("SCRATCH") != NULL ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL || chmod(dir, 0711) != 0)
		fail("mkdtemp", dir);
	cluster = cw_cluster_start(&conf, &err);
	if (cluster == NULL)
		fail("cluster", err.msg);
	run.conninfo = pool_conf.conninfo = cw_cluster_conninfo(cluster);
	if (cw_migrations_load(&m, "migrations", &err) != 0 || cw_migrate_up(&m, &run, NULL, &err) < 0)
		fail("migrate", err.msg);
	cw_migrations_release(&m);
	loop = cw_loop_new();
	pool = cw_pool_new(loop, &pool_conf, &err);
	if (getenv("LANES") != NULL)
		pipeline_conf.commit_lanes = (uint32_t)atoi(getenv("LANES"));
	p = cw_pipeline_new(loop, pool, zygote, cw_state_new(&state_conf, &err), &pipeline_conf,
	                    &cw_supervisor_conf_default, &err);
	if (p == NULL || cw_pipeline_load_rules(p, rules_in_c_bundle("v1"), on_load, NULL, &err) != 0)
		fail("pipeline", err.msg);
	while (!cw_pipeline_ready(p))
		cw_loop_run_once(loop);
	conn = cw_conn_new(loop, run.conninfo, 5000, on_ready, NULL);
	wait_flag();
	arena = cw_arena_new();
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 3;
	double seconds = argc > 2 ? atof(argv[2]) : 3;
	static struct figure figures[KINDS][ROUNDS_MAX];
	struct figure *mid[KINDS];
	struct cw_err err = { 0 };
	struct cw_zygote *zygote = cw_zygote_start(&rules_in_c, &err);
	char command[64];

	if (zygote == NULL)
		fail("zygote", err.msg);
	rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
	cw_log_set_level(NULL, CW_LOG_WARN);
	start(zygote);
	for (int i = 0; i < rounds; i++)
		for (int kind = 0; kind < KINDS; kind++)
			if (argc <= 3 || strchr(argv[3], '1' + kind) != NULL)
				figures[kind][i] = measure(kind, seconds);
	for (int kind = 0; kind < KINDS; kind++) {
		qsort(figures[kind], (size_t)rounds, sizeof(struct figure), by_rate);
		mid[kind] = &figures[kind][rounds / 2];
	}
	printf("one by one: %.2f x pgbench (goal 2.5); batches: %.2f x bare unnest (goal 0.9); engine %.2f us (goal 5), "
	       "PostgreSQL %.1f us (goal 75)\n", mid[SINGLE]->rate / mid[PGBENCH]->rate, mid[BATCHES]->rate / mid[BARE]->rate,
	       mid[SINGLE]->engine_us, mid[SINGLE]->pg_us);
	cw_pipeline_free(&p);
	cw_conn_free(&conn);
	cw_pool_free(&pool);
	cw_loop_free(&loop);
	cw_cluster_stop(&cluster);
	cw_zygote_stop(&zygote);
	cw_arena_free(&arena);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}
