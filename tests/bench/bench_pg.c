/* What PostgreSQL gives on this machine: rows a second by group size, and look-ups through the pool beside plain libpq.
 *
 *     build/bench/bench_pg [SECONDS [inserts|lookups|once]]     each figure runs that long (default 3)
 *
 * Its own synced cluster below /tmp with the repository's schema. Client and server share the machine's cores. */
#include <dirent.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "chain/u256.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/migrate.h"
#include "pg/pool.h"
#include "pg/result.h"

#define LOOKUP "SELECT * FROM transactions WHERE hash = $1 AND chain_id = $2"

static struct cw_cluster *cluster;
static const char *conninfo;
static double seconds = 3;
static uint64_t made;                     /* transactions so far: the n-th has a hash that follows from n */
static struct cw_loop *loop;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	cw_cluster_stop(&cluster);
	exit(1);
}

static uint64_t mix(uint64_t x)           /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void bytes_of(uint64_t n, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(mix(n + (i / 8) * 1000003) >> (i % 8 * 8));
}

/* CPU time of all server processes, seconds. */
static double server_cpu(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	double ticks = 0;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char path[300], text[512];
		long user, system, parent, ended_user, ended_system;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		if (atol(e->d_name) <= 0 || (f = fopen(path, "r")) == NULL)
			continue;
		if (fgets(text, sizeof(text), f) != NULL && strrchr(text, ')') != NULL &&
		    sscanf(strrchr(text, ')') + 1, " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld %ld %ld", &parent, &user,
		           &system, &ended_user, &ended_system) == 5 &&
		    (parent == cw_cluster_pid(cluster) || atol(e->d_name) == cw_cluster_pid(cluster)))
			ticks += (double)(user + system + ended_user + ended_system);
		fclose(f);
	}
	if (d != NULL)
		closedir(d);
	return ticks / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + (double)u.ru_stime.tv_sec +
	       (double)u.ru_stime.tv_usec / 1e6;
}

static double now(void)
{
	return (double)cw_clock_mono_us() / 1e6;
}

struct measure {
	double from, own, server;
};

static struct measure begin(void)
{
	return (struct measure){ now(), own_cpu(), server_cpu() };
}

static void report(const char *what, struct measure m, uint64_t n)
{
	double s = now() - m.from, own = own_cpu() - m.own, server = server_cpu() - m.server;

	printf("%-58s %8.0f /s   client %5.1f us   server %6.1f us each\n", what, (double)n / s, own * 1e6 / (double)n,
	       server * 1e6 / (double)n);
	fflush(stdout);
}

/* ---- inserts ---- */

static const struct cw_stmt insert_stmt = {
	"insert",
	"WITH t AS (INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, to_address, value, gas, "
	"gas_price, nonce, input_data, input_size) SELECT * FROM unnest($1::int8[], $2::bytea[], $3::int8[], "
	"$4::timestamptz[], $5::bytea[], $6::bytea[], $7::numeric[], $8::int8[], $9::numeric[], $10::int8[], $11::bytea[], "
	"$12::int4[]) ON CONFLICT (hash, chain_id) WHERE canonical DO NOTHING RETURNING id) "
	"INSERT INTO predictions (transaction_id, model_version_id, user_id, is_anomaly, confidence, anomaly_score, "
	"request_id, response_time_ms) SELECT id, 1, 1, false, 0.5, 0.1, 'req-' || id, 1.5 FROM t",
};

struct writer {
	struct cw_conn *conn;
	struct cw_arena *arena;
	int rows;
	double until;
	uint64_t *done;
	int *running;
};

static void group(struct writer *w, struct cw_params *p)
{
	static const enum cw_elem types[12] = { CW_ELEM_I64, CW_ELEM_BYTEA, CW_ELEM_I64, CW_ELEM_TIME, CW_ELEM_BYTEA,
		                                    CW_ELEM_BYTEA, CW_ELEM_NUMERIC, CW_ELEM_I64, CW_ELEM_NUMERIC, CW_ELEM_I64,
		                                    CW_ELEM_BYTEA, CW_ELEM_I32 };
	struct cw_array *a[12];

	for (int i = 0; i < 12; i++)
		a[i] = cw_array_begin(w->arena, types[i], (size_t)w->rows);
	for (int i = 0; i < w->rows; i++) {
		uint64_t n = ++made;
		uint8_t hash[32], from[20], to[20], input[68];
		struct cw_u256 value = { { mix(n) / 100000 * 100000, n & 255, 0, 0 } };
		struct cw_u256 price = cw_u256_from_u64(1000000000 + mix(n) % 100000000000);

		bytes_of(n, hash, 32);
		bytes_of(mix(n) % 50000, from, 20);
		bytes_of(mix(n + 1) % 50000, to, 20);
		bytes_of(n, input, 68);
		cw_array_i64(a[0], 1);
		cw_array_bytes(a[1], hash, 32);
		cw_array_i64(a[2], (int64_t)(n / 150));
		cw_array_time(a[3], INT64_C(1767225600000000) + (int64_t)(n / 150) * 12000000);
		cw_array_bytes(a[4], from, 20);
		cw_array_bytes(a[5], to, 20);
		cw_array_numeric(a[6], &value);
		cw_array_i64(a[7], 21000);
		cw_array_numeric(a[8], &price);
		cw_array_i64(a[9], (int64_t)(n % 1000));
		cw_array_bytes(a[10], input, n % 2 ? 68 : 0);
		cw_array_i32(a[11], n % 2 ? 68 : 0);
	}
	cw_params_init(p, w->arena);
	for (int i = 0; i < 12; i++)
		cw_params_array(p, a[i]);
}

static void write_next(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct writer *w = arg;
	struct cw_params p;

	(void)res;
	if (err != NULL)
		fail("insert", err->msg);
	*w->done += (uint64_t)w->rows;
	if (now() >= w->until) {
		if (--*w->running == 0)
			cw_loop_stop(loop);
		return;
	}
	cw_arena_clear(w->arena);
	group(w, &p);
	cw_conn_exec(w->conn, &insert_stmt, &p, write_next, w);
}

static void on_ready(void *arg, struct cw_conn *conn, const struct cw_err *err)
{
	struct writer *w = arg;
	struct cw_params p;

	(void)conn;
	if (err != NULL)
		fail("connect", err->msg);
	group(w, &p);
	cw_conn_exec(w->conn, &insert_stmt, &p, write_next, w);
}

static void bench_inserts(int rows, int connections, double time)
{
	struct writer writers[4];
	uint64_t done = 0;
	int running = connections;
	char what[80];
	struct measure m = begin();

	for (int i = 0; i < connections; i++) {
		writers[i] = (struct writer){ .rows = rows, .until = m.from + time, .done = &done, .running = &running };
		writers[i].arena = cw_arena_new();
		writers[i].conn = cw_conn_new(loop, conninfo, 5000, on_ready, &writers[i]);
	}
	cw_loop_run(loop);
	snprintf(what, sizeof(what), "insert, %4d rows a commit, %d connection%s (rows)", rows, connections,
	         connections > 1 ? "s" : "");
	report(what, m, done);
	for (int i = 0; i < connections; i++) {
		cw_conn_free(&writers[i].conn);
		cw_arena_free(&writers[i].arena);
	}
}

/* ---- look-ups: plain libpq, one thread a connection ---- */

static atomic_ulong plain_done;
static double plain_until;

static void *plain_thread(void *arg)
{
	static const unsigned types[2] = { 17, 20 };
	static const int lengths[2] = { 32, 8 }, formats[2] = { 1, 1 };
	PGconn *conn = PQconnectdb(conninfo);
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	uint8_t hash[32], chain[8] = { 0, 0, 0, 0, 0, 0, 0, 1 };
	const char *values[2] = { (char *)hash, (char *)chain };

	PQclear(PQprepare(conn, "l", LOOKUP, 2, types));
	while (now() < plain_until) {
		bytes_of(mix(++seed * 7919) % made + 1, hash, 32);
		PGresult *res = PQexecPrepared(conn, "l", 2, values, lengths, formats, 1);

		if (PQntuples(res) != 1)
			fail("plain look-up", PQresultErrorMessage(res));
		PQclear(res);
		atomic_fetch_add(&plain_done, 1);
	}
	PQfinish(conn);
	return NULL;
}

static void bench_plain(int threads)
{
	pthread_t ids[64];
	char what[80];
	struct measure m = begin();

	atomic_store(&plain_done, 0);
	plain_until = m.from + seconds;
	for (int i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, plain_thread, (void *)(uintptr_t)(i * 1000003 + 1));
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	snprintf(what, sizeof(what), "look-up, plain libpq, %d connections, a thread each", threads);
	report(what, m, atomic_load(&plain_done));
}

/* ---- look-ups: through the pool ---- */

typedef uint64_t pool_fn(struct cw_pool *pool, const struct cw_stmt *stmt, const struct cw_params *params,
                         cw_query_fn *fn, void *arg);

struct reader {
	struct cw_pool *pool;
	pool_fn *ask;
	struct cw_arena *arena;
	uint64_t seed, *done;
	double until;
	int *running;
};

static void read_next(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	static const struct cw_stmt lookup = { "lookup", LOOKUP };
	struct reader *r = arg;
	struct cw_params p;
	uint8_t hash[32];

	if (err != NULL || (res != NULL && cw_result_rows(res) != 1))
		fail("look-up", err != NULL ? err->msg : "no row");
	*r->done += res != NULL;
	if (now() >= r->until) {
		if (--*r->running == 0)
			cw_loop_stop(loop);
		return;
	}
	bytes_of(mix(++r->seed * 7919) % made + 1, hash, 32);
	cw_arena_clear(r->arena);
	cw_params_init(&p, r->arena);
	cw_params_bytea(&p, hash, 32);
	cw_params_i64(&p, 1);
	r->ask(r->pool, &lookup, &p, read_next, r);
}

static void bench_pool(int clients, int size, pool_fn *ask, const char *name)
{
	struct cw_pool_conf conf = cw_pool_conf_default;
	struct reader *readers = calloc((size_t)clients, sizeof(*readers));
	struct cw_err err;
	uint64_t done = 0;
	int running = clients;
	char what[80];
	struct measure m = begin();

	conf.conninfo = conninfo;
	conf.size = size;
	struct cw_pool *pool = cw_pool_new(loop, &conf, &err);

	if (pool == NULL)
		fail("pool", err.msg);
	for (int i = 0; i < clients; i++) {
		readers[i] = (struct reader){ .pool = pool, .ask = ask, .arena = cw_arena_new(), .done = &done,
			                          .seed = (uint64_t)i * 1000003, .until = m.from + seconds, .running = &running };
		read_next(&readers[i], NULL, NULL);
	}
	cw_loop_run(loop);
	snprintf(what, sizeof(what), "look-up, %s, %d clients, pool %d (%d open)", name, clients, size,
	         cw_pool_stats(pool).size);
	report(what, m, done);
	cw_pool_free(&pool);
	for (int i = 0; i < clients; i++)
		cw_arena_free(&readers[i].arena);
	free(readers);
}

static void prepare(void)
{
	struct cw_migrate_run run = { .conninfo = conninfo };
	struct cw_migrations m;
	struct cw_err err;
	PGconn *conn;

	if (cw_migrations_load(&m, "migrations", &err) != 0 || cw_migrate_up(&m, &run, NULL, &err) < 0)
		fail("migrate", err.msg);
	cw_migrations_release(&m);
	conn = PQconnectdb(conninfo);
	PQclear(PQexec(conn, "INSERT INTO users (email) VALUES ('bench@example.org'); INSERT INTO models (name, model_type) "
	                     "VALUES ('bench', 'ruleset'); INSERT INTO model_versions (model_id, version) VALUES (1, '1')"));
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/cwt-bench-XXXXXX", command[64];
	struct cw_cluster_conf conf = { .dir = dir, .shared_buffers = "512MB" };
	const char *part = argc > 2 ? argv[2] : NULL;
	struct cw_err err;

	if (argc > 1)
		seconds = atof(argv[1]);
	if (mkdtemp(dir) == NULL || chmod(dir, 0711) != 0)
		return 1;
	double from = now();

	cluster = cw_cluster_start(&conf, &err);
	if (cluster == NULL)
		fail("cluster", err.msg);
	printf("private cluster, first start: %.0f ms\n", (now() - from) * 1e3);
	conninfo = cw_cluster_conninfo(cluster);
	loop = cw_loop_new();
	prepare();
	if (part != NULL && strcmp(part, "once") == 0)
		bench_inserts(1000, 1, seconds);
	for (int round = 0; round < (part == NULL || strcmp(part, "inserts") == 0 ? 2 : 0); round++) {
		bench_inserts(1, 1, seconds);
		bench_inserts(32, 1, seconds);
		bench_inserts(32, 2, seconds);
		bench_inserts(1000, 1, seconds);
		bench_inserts(1000, 2, seconds);
	}
	if (part == NULL || strcmp(part, "once") != 0)
		bench_inserts(1000, 2, made < 100000 ? 4 : 0.1);     /* something to look up */
	for (int round = 0; round < (part == NULL || strcmp(part, "lookups") == 0 ? 2 : 0); round++) {
		bench_plain(1);
		bench_plain(16);
		bench_pool(1, 20, cw_pool_read, "pool read");
		bench_pool(64, 4, cw_pool_read, "pool read");
		bench_pool(64, 20, cw_pool_read, "pool read");
		bench_pool(64, 4, cw_pool_query, "pool query");
		bench_pool(64, 20, cw_pool_query, "pool query");
	}
	cw_loop_free(&loop);
	cw_cluster_stop(&cluster);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}
