/* Every repository against a real database: results as JSON, refusals, pages, relations. Plans: test_plans.c. */
#include "store/repo.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/build.h"
#include "store/ops.h"
#include "support/pgtest.h"
#include "support/slow.h"
#include "support/store_env.h"

static struct pgtest *pg;
static struct cw_loop *loop;
static struct cw_pool *pool;
static struct cw_arena *arena;

/* What the last call brought. */
static struct {
	bool done;
	struct cw_err err;
	struct cw_buf json;              /* a page, or the rows one after another */
	char next[64];
	int count;
	int64_t affected, first_id;
} got;

/* 300 transactions; every third has an anomaly of changing severity and rule, every second of those is reviewed. */
static const char fill[] =
	"INSERT INTO models (name, model_type) VALUES ('ruleset', 'ruleset'), ('r.a', 'rule'), ('r.b', 'rule');"
	"INSERT INTO model_versions (model_id, version, checksum) SELECT id, '1.0', name FROM models ORDER BY id;"
	"INSERT INTO transactions (chain_id, hash, block_number, timestamp, from_address, to_address, value, gas, gas_price,"
	" nonce, status, input_data, input_size) SELECT 1 + i % 2, decode(lpad(to_hex(i), 64, '0'), 'hex'), 100 + i / 10,"
	" to_timestamp(1767225600 + i), decode(lpad(to_hex(i % 7), 40, 'a'), 'hex'), CASE WHEN i % 10 = 0 THEN NULL ELSE"
	" decode(lpad(to_hex(i % 5), 40, 'a'), 'hex') END, i * 1000000000000000000::numeric, 21000, 30, i, 1, '\\x0102', 2"
	" FROM generate_series(1, 300) i;"
	"INSERT INTO predictions (transaction_id, model_version_id, is_anomaly, confidence, anomaly_score) SELECT id, 1,"
	" id % 3 = 0, 0.5, 0.25 FROM transactions ORDER BY id;"
	"INSERT INTO anomalies (transaction_id, model_id, anomaly_score, severity, confidence, rule_id, rule_version, title,"
	" features_used, explanation, detected_at, reviewed, false_positive, shadow) SELECT id, 2 + (id / 3) % 2, 0.5,"
	" (ARRAY['low','medium','high','critical'])[1 + id % 4]::severity, 0.75, CASE WHEN (id / 3) % 2 = 0 THEN 'r.a' ELSE"
	" 'r.b' END, '1.0', 'title', '{\"n\": 1}', 'because', to_timestamp(1767229200 + id / 9), id % 6 = 0,"
	" CASE WHEN id % 6 = 0 THEN id % 12 = 0 END, id = 3 FROM transactions WHERE id % 3 = 0 ORDER BY id;"
	"ANALYZE";

static void up(void)
{
	struct cw_pool_conf conf = cw_pool_conf_default;
	struct cw_err err = { 0 };

	cw_log_set_level(NULL, CW_LOG_OFF);
	conf.conninfo = store_env_database(pg);
	store_env_exec(pg, fill);
	loop = cw_loop_new();
	conf.size = 2;
	pool = cw_pool_new(loop, &conf, &err);
	ck_assert_ptr_nonnull(pool);
	arena = cw_arena_new();
	cw_buf_init(&got.json);
}

static void down(void)
{
	cw_pool_free(&pool);
	cw_loop_free(&loop);
	cw_arena_free(&arena);
	cw_buf_release(&got.json);
}

static void on_rows(void *arg, const struct cw_rows *rows, const struct cw_err *err)
{
	(void)arg;
	got.done = true;
	if (err != NULL) {
		got.err = *err;
		return;
	}
	got.count = rows->count;
	got.affected = rows->affected;
	snprintf(got.next, sizeof(got.next), "%s", rows->next != NULL ? rows->next : "");
	if (rows->res != NULL && rows->count > 0 && cw_rows_column(rows, "id") >= 0)
		got.first_id = cw_result_i64(rows->res, 0, cw_rows_column(rows, "id"));
	if (rows->op->kind == CW_OP_PAGE)
		cw_rows_put_page(rows, &got.json);
	for (int i = 0; i < rows->count && rows->op->kind != CW_OP_PAGE; i++)
		cw_rows_put_json(rows, i, &got.json);
}

static void wait_for_it(void)
{
	int64_t end = cw_clock_mono_us() + INT64_C(10000000) * slow_factor();

	while (!got.done) {
		ck_assert_msg(cw_clock_mono_us() < end, "no answer");
		cw_loop_run_once(loop);
	}
}

/* "name=value&name=value" */
static void set_all(struct cw_args *args, const char *text)
{
	struct cw_err err = { 0 };

	while (*text != '\0') {
		size_t name = strcspn(text, "="), value = strcspn(text + name + 1, "&");
		char *key = cw_arena_strndup(arena, text, name);

		ck_assert_msg(cw_args_set(args, key, text + name + 1, value, &err) == 0, "%s", err.msg);
		text += name + 1 + value;
		text += *text == '&';
	}
}

static void start_call(const char *repo, const char *name, const char *text)
{
	const struct cw_op *op = cw_op_find(repo, name);
	struct cw_args args;
	struct cw_err err = { 0 };

	ck_assert_msg(op != NULL, "%s.%s", repo, name);
	cw_args_init(&args, op, arena);
	set_all(&args, text);
	got.done = false;
	got.err = (struct cw_err){ .code = CW_OK };
	cw_buf_clear(&got.json);
	ck_assert_msg(cw_repo_call(pool, &args, on_rows, NULL, &err) != NULL, "%s", err.msg);
	ck_assert(!got.done);
}

static const char *ask(const char *repo, const char *name, const char *text)
{
	start_call(repo, name, text);
	wait_for_it();
	ck_assert_msg(got.err.code == CW_OK, "%s.%s{%s}: %s", repo, name, text, got.err.msg);
	return got.json.data;
}

static enum cw_code fails(const char *repo, const char *name, const char *text)
{
	start_call(repo, name, text);
	wait_for_it();
	return got.err.code;
}

static void refused(const char *repo, const char *name, const char *text, const char *message)
{
	struct cw_args args;
	struct cw_err err;

	cw_args_init(&args, cw_op_find(repo, name), arena);
	set_all(&args, text);
	ck_assert_ptr_null(cw_repo_call(pool, &args, on_rows, NULL, &err));
	ck_assert_str_eq(err.msg, message);
}

/* The text is JSON; a member by path "a.b.0.c", as text. */
static const char *member(const char *json, const char *path)
{
	struct cw_json_error fault;
	const struct cw_json *at = cw_json_parse(json, strlen(json), 32, arena, &fault);
	struct cw_buf out = CW_BUF_INIT;

	ck_assert_msg(at != NULL, "%s at %zu: %s", fault.what, fault.offset, json);
	while (*path != '\0' && at != NULL) {
		size_t n = strcspn(path, ".");
		char *key = cw_arena_strndup(arena, path, n);

		if (at->type == CW_JSON_ARRAY) {
			at = at->first;
			for (int i = atoi(key); i > 0 && at != NULL; i--)
				at = at->next;
		} else {
			at = cw_json_get(at, key);
		}
		path += n + (path[n] == '.');
	}
	if (at == NULL)
		return "(none)";
	if (at->type == CW_JSON_STRING)
		return at->text;
	cw_json_put_value(&out, at);
	path = cw_arena_strndup(arena, out.data, out.len);
	cw_buf_release(&out);
	return path;
}

#define HASH3 "0x0000000000000000000000000000000000000000000000000000000000000003"
#define HASH6 "0x0000000000000000000000000000000000000000000000000000000000000006"

/* --- transactions --- */

START_TEST(transaction_by_hash)
{
	const char *json = ask("transactions", "get", "hash=" HASH6);

	ck_assert_int_eq(got.count, 1);
	ck_assert_str_eq(member(json, "hash"), HASH6);
	ck_assert_str_eq(member(json, "value"), "6000000000000000000");
	ck_assert_str_eq(member(json, "chainId"), "1");
	ck_assert_str_eq(member(json, "timestamp"), "1767225606");
	ck_assert_str_eq(member(json, "from"), "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa6");
	ck_assert_str_eq(member(json, "input"), "0x0102");
	ck_assert_str_eq(member(json, "status"), "1");
	ck_assert_str_eq(member(json, "gasUsed"), "null");
	ck_assert_str_eq(member(json, "anomalies"), "(none)");
	ask("transactions", "get", "hash=" HASH6 "&chain_id=2");
	ck_assert_int_eq(got.count, 0);
}
END_TEST

START_TEST(transaction_with_relations)
{
	const char *json = ask("transactions", "get", "hash=" HASH6 "&include=anomalies,predictions");

	ck_assert_str_eq(member(json, "anomalies.0.rule"), "r.a");
	ck_assert_str_eq(member(json, "anomalies.0.features.n"), "1");
	ck_assert_str_eq(member(json, "anomalies.1"), "(none)");
	ck_assert_str_eq(member(json, "predictions.0.is_anomaly"), "true");
	json = ask("transactions", "get", "hash=" HASH3 "&include=anomalies");
	ck_assert_str_eq(member(json, "anomalies.0"), "(none)");       /* that of a rule in shadow */
	ck_assert_str_eq(member(json, "predictions"), "(none)");
	json = ask("transactions", "get", "hash=0x" "ff00000000000000000000000000000000000000000000000000000000000003"
	           "&include=anomalies");
	ck_assert_int_eq(got.count, 0);
}
END_TEST

/* Walks all pages; returns how many items there were, and checks that ids fall and none comes twice. */
static int walk(const char *repo, const char *name, const char *text, int limit)
{
	char query[512];
	int total = 0, pages = 0;
	long last = 1000000;

	got.next[0] = '\0';
	do {
		const char *json;

		if (got.next[0] != '\0')
			snprintf(query, sizeof(query), "%s%slimit=%d&cursor=%s", text, text[0] != '\0' ? "&" : "", limit, got.next);
		else
			snprintf(query, sizeof(query), "%s%slimit=%d", text, text[0] != '\0' ? "&" : "", limit);
		json = ask(repo, name, query);
		ck_assert_int_le(got.count, limit);
		for (int i = 0; i < got.count; i++) {
			char path[32];
			long id;

			snprintf(path, sizeof(path), "items.%d.id", i);
			id = atol(member(json, path));
			ck_assert_int_gt(id, 0);
			ck_assert_int_lt(id, last);
			last = id;
		}
		total += got.count;
		ck_assert_int_lt(pages++, 400);
		ck_assert_str_eq(member(json, "next"), got.next[0] != '\0' ? got.next : "null");
	} while (got.next[0] != '\0');
	return total;
}

START_TEST(transactions_by_address)
{
	const char *a3 = "address=0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3";
	char text[128];

	/* from: i % 7 = 3 (43 of them), to: i % 5 = 3 and not i % 10 = 0 (60), both: 9 */
	ck_assert_int_eq(walk("transactions", "by_address", a3, 7), 94);
	ck_assert_int_eq(walk("transactions", "by_address", a3, 1000), 94);
	snprintf(text, sizeof(text), "%s&direction=out", a3);
	ck_assert_int_eq(walk("transactions", "by_address", text, 10), 43);
	snprintf(text, sizeof(text), "%s&direction=in", a3);
	ck_assert_int_eq(walk("transactions", "by_address", text, 60), 60);
	snprintf(text, sizeof(text), "%s&chain_id=1&since=1767225700&until=1767225800", a3);
	ck_assert_int_eq(walk("transactions", "by_address", text, 5),
	                 (int)store_env_number(pg, "SELECT count(*) FROM transactions WHERE chain_id = 1 AND timestamp >="
	                                       " to_timestamp(1767225700) AND timestamp < to_timestamp(1767225800) AND"
	                                       " '\\xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3' IN (from_address, to_address)"));
	ck_assert_int_eq(walk("transactions", "by_address", "address=0x0000000000000000000000000000000000000001", 5), 0);
}
END_TEST

START_TEST(transactions_with_relations)
{
	const char *json;

	ck_assert_int_eq(walk("transactions", "list", "", 33), 300);
	ck_assert_int_eq(walk("transactions", "list", "chain_id=2", 100), 150);
	ck_assert_int_eq(walk("transactions", "list", "include=anomalies,predictions", 100), 300);
	json = ask("transactions", "list", "limit=3&include=anomalies");
	ck_assert_str_eq(member(json, "items.0.id"), "300");
	ck_assert_str_eq(member(json, "items.0.anomalies.0.severity"), "low");
	ck_assert_str_eq(member(json, "items.1.anomalies"), "[]");
	ck_assert_str_eq(member(json, "items.0.input"), "(none)");
	ck_assert_str_eq(member(json, "items.0.to"), "null");
}
END_TEST

/* Ids of a page in its order, "5,4,3". */
static const char *ids(const char *json)
{
	static char text[512];
	int n = 0;

	text[0] = '\0';
	for (int i = 0; i < got.count; i++) {
		char path[32];

		snprintf(path, sizeof(path), "items.%d.id", i);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%s", i > 0 ? "," : "", member(json, path));
	}
	return text;
}

START_TEST(pages_go_both_ways_by_key_and_by_number)
{
	char next[64], text[160];
	struct cw_args args;
	struct cw_err err;

	ck_assert_str_eq(ids(ask("transactions", "list", "limit=3&order=asc")), "1,2,3");
	snprintf(next, sizeof(next), "%s", got.next);
	snprintf(text, sizeof(text), "limit=3&order=asc&cursor=%s", next);
	ck_assert_str_eq(ids(ask("transactions", "list", text)), "4,5,6");
	ck_assert_str_eq(ids(ask("transactions", "list", "limit=3&offset=10")), "290,289,288");
	ck_assert_str_eq(ids(ask("transactions", "list", "limit=3&offset=299")), "1");
	ck_assert_str_eq(got.next, "");
	ck_assert_str_eq(ids(ask("transactions", "by_address",
	                         "address=0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3&order=asc&limit=3&offset=2")), "10,13,17");
	/* a cursor is of one direction, and does not go with an offset */
	cw_args_init(&args, &cw_transactions_list, arena);
	snprintf(text, sizeof(text), "cursor=%s", next);
	set_all(&args, text);
	ck_assert_ptr_null(cw_repo_call(pool, &args, on_rows, NULL, &err));
	ck_assert_str_eq(err.msg, "\"cursor\" is none that transactions.list has given");
	snprintf(text, sizeof(text), "offset=5&order=asc&cursor=%s", next);
	cw_args_init(&args, &cw_transactions_list, arena);
	set_all(&args, text);
	ck_assert_ptr_null(cw_repo_call(pool, &args, on_rows, NULL, &err));
	ck_assert_str_eq(err.msg, "\"cursor\" and \"offset\" exclude each other");
}
END_TEST

START_TEST(transactions_by_time_value_and_block)
{
	const char *json;

	ck_assert_int_eq(walk("transactions", "by_time", "since=1767225610&until=1767225690", 7), 80);
	ck_assert_int_eq(walk("transactions", "by_time", "", 50), 300);
	ck_assert_str_eq(ids(ask("transactions", "by_time", "since=1767225610&order=asc&limit=2&include=anomalies")), "10,11");
	/* value is the id in ether: below and above the line of the index of high values */
	ck_assert_int_eq(walk("transactions", "by_time", "min_value=50000000000000000000", 40), 251);
	ck_assert_int_eq(walk("transactions", "by_time", "min_value=0x56bc75e2d63100000", 40), 201);
	ck_assert_int_eq(walk("transactions", "by_time", "min_value=250000000000000000000&max_value=260000000000000000000", 4), 11);
	ck_assert_int_eq(walk("transactions", "by_time", "creation=true", 40), 30);
	json = ask("transactions", "by_block", "chain_id=2&block_number=100");
	ck_assert_int_eq(got.count, 5);
	ck_assert_ptr_nonnull(strstr(json, "\"id\":1,"));
	json = ask("transactions", "count", "since=0&min_value=100000000000000000000");
	ck_assert_str_eq(member(json, "count"), "201");
}
END_TEST

START_TEST(history_is_imported_below_zero)
{
	static const char rows[] =
		"rows=[{\"hash\":\"0x0000000000000000000000000000000000000000000000000000000000009999\",\"chainId\":\"1\","
		"\"blockNumber\":\"7\",\"timestamp\":\"1600000000\",\"from\":\"0x00000000000000000000000000000000000000a1\","
		"\"to\":null,\"value\":\"115792089237316195423570985008687907853269984665640564039457584007913129639935\","
		"\"gas\":21000,\"gasPrice\":\"1\",\"nonce\":\"5\",\"input\":\"0x0102\"}]";

	ask("transactions", "bulk_create", rows);
	ck_assert_int_eq(got.affected, 1);
	ask("transactions", "bulk_create", rows);
	ck_assert_int_eq(got.affected, 0);
	ck_assert_str_eq(store_env_value(pg, "SELECT id < 0 AND value = 2::numeric ^ 256 - 1 AND input_size = 2 AND timestamp ="
	                                 " to_timestamp(1600000000) FROM transactions ORDER BY id LIMIT 1"), "t");
	ck_assert_int_eq(fails("transactions", "bulk_create", "rows=[{\"hash\":\"0x12\"}]"), CW_ERR_INVALID);
	ck_assert_int_eq(fails("transactions", "bulk_create", "rows={}"), CW_ERR_INVALID);
}
END_TEST

START_TEST(statistics_of_transactions)
{
	const char *json = ask("transactions", "statistics", "since=2026-01-01T00:00:00Z&until=1767225611");

	ck_assert_str_eq(member(json, "count"), "10");
	ck_assert_str_eq(member(json, "value"), "55000000000000000000");
	ck_assert_str_eq(member(json, "contract_creations"), "1");
	ck_assert_str_eq(member(json, "first"), "2026-01-01T00:00:01Z");
	json = ask("predictions", "statistics", "since=0");
	ck_assert_str_eq(member(json, "count"), "300");
	ck_assert_str_eq(member(json, "anomalies"), "100");
	ck_assert_int_eq(walk("predictions", "list", "is_anomaly=true", 30), 100);
	ck_assert_int_eq(walk("predictions", "list", "hash=" HASH6, 30), 1);
}
END_TEST

/* --- anomalies --- */

START_TEST(anomalies_by_filter)
{
	ck_assert_int_eq(walk("anomalies", "list", "", 7), 99);         /* one is in shadow */
	ck_assert_int_eq(walk("anomalies", "list", "shadow=true", 7), 1);
	ck_assert_int_eq(walk("anomalies", "list", "severity=high", 4), 25);
	ck_assert_int_eq(walk("anomalies", "list", "min_severity=high", 50), 49);
	ck_assert_int_eq(walk("anomalies", "list", "rule=r.a", 50), 50);
	ck_assert_int_eq(walk("anomalies", "list", "reviewed=true", 50), 50);
	ck_assert_int_eq(walk("anomalies", "list", "reviewed=false", 50), 49);
	ck_assert_int_eq(walk("anomalies", "list", "false_positive=true", 50), 25);
	ck_assert_int_eq(walk("anomalies", "list", "false_positive=false", 50), 74);
	ck_assert_int_eq(walk("anomalies", "list", "status=confirmed", 50), 0);
	ck_assert_int_eq(walk("anomalies", "list", "hash=" HASH6, 50), 1);
	ck_assert_int_eq(walk("anomalies", "list", "chain_id=1", 50), 50);
	ck_assert_int_eq(walk("anomalies", "list", "min_score=0.6", 50), 0);
	ck_assert_int_eq(walk("anomalies", "list", "since=1767229210&until=1767229220", 8), 30);
	ck_assert_int_eq(walk("anomalies", "list", "address=0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3", 9),
	                 (int)store_env_number(pg, "SELECT count(*) FROM transactions t JOIN anomalies a ON a.transaction_id ="
	                                       " t.id WHERE NOT a.shadow AND '\\xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3' IN"
	                                       " (from_address, to_address)"));
	ck_assert_int_eq(walk("anomalies", "list", "severity=low&rule=r.b&reviewed=false&chain_id=1", 50), 0);
	ask("anomalies", "count", "severity=high");
	ck_assert_str_eq(member(got.json.data, "count"), "25");
	ask("anomalies", "count", "address=0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3&severity=high");
}
END_TEST

START_TEST(anomaly_tells_its_transaction)
{
	const char *json = ask("anomalies", "get", "id=2");

	ck_assert_str_eq(member(json, "transaction.hash"), HASH6);
	ck_assert_str_eq(member(json, "transaction.value"), "6000000000000000000");
	ck_assert_str_eq(member(json, "transaction.to"), "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1");
	ck_assert_str_eq(member(json, "features.n"), "1");
	ck_assert_str_eq(member(json, "score"), "0.5");
	ck_assert_str_eq(member(json, "detected_at"), "2026-01-01T01:00:00Z");
	ck_assert_str_eq(member(json, "reviewed_at"), "null");
	ask("anomalies", "get", "id=99999");
	ck_assert_int_eq(got.count, 0);
	ck_assert_str_eq(got.json.data, "");
}
END_TEST

START_TEST(review_is_written)
{
	const char *json;

	store_env_exec(pg, "INSERT INTO users (email) VALUES ('a@b') ON CONFLICT DO NOTHING");
	json = ask("anomalies", "review", "id=1&false_positive=true&note=known+exchange");
	ck_assert_int_eq(got.affected, 1);
	ck_assert_str_eq(member(json, "reviewed"), "true");
	ck_assert_str_eq(member(json, "status"), "dismissed");
	ck_assert_str_eq(member(json, "review_note"), "known+exchange");
	json = ask("anomalies", "review", "id=1&false_positive=false");
	ck_assert_str_eq(member(json, "status"), "confirmed");
	ck_assert_str_eq(member(json, "review_note"), "known+exchange");
	json = ask("anomalies", "review", "id=1&status=investigating");
	ck_assert_str_eq(member(json, "status"), "investigating");
	ck_assert_str_eq(member(json, "false_positive"), "false");
	ask("anomalies", "review", "id=99999&status=open");
	ck_assert_int_eq(got.affected, 0);
	ck_assert_int_eq(fails("anomalies", "review", "id=1&reviewed_by=99999"), CW_ERR_CONFLICT);
}
END_TEST

START_TEST(statistics_of_anomalies)
{
	const char *json = ask("anomalies", "statistics", "since=0");

	ck_assert_int_eq(got.count, 4);      /* number and rule of an id go together */
	ck_assert_ptr_nonnull(strstr(json, "\"rule\":\"r.a\",\"severity\":\"low\",\"count\":"));
	json = ask("anomalies", "false_positive_rate", "");
	ck_assert_str_eq(member(json, "rate"), "0.5");
	json = ask("anomalies", "false_positive_rate", "rule=none");
	ck_assert_str_eq(member(json, "rate"), "null");
}
END_TEST

START_TEST(queue_is_critical_first_then_oldest)
{
	const char *json = ask("anomalies", "unreviewed", "limit=200");
	char path[64], severity[16] = "critical";
	long last = 0;

	ck_assert_int_eq(got.count, 49);     /* of 100 half are reviewed, one is of a rule in shadow */
	for (int i = 0; i < got.count; i++) {
		snprintf(path, sizeof(path), "items.%d.severity", i);
		if (strcmp(member(json, path), severity) != 0) {
			ck_assert_str_ne(member(json, path), "critical");
			snprintf(severity, sizeof(severity), "%s", member(json, path));
			last = 0;
		}
		snprintf(path, sizeof(path), "items.%d.id", i);
		ck_assert_int_gt(atol(member(json, path)), last);
		last = atol(member(json, path));
	}
	int total = 0;

	ask("anomalies", "unreviewed", "limit=10");
	for (total = got.count; got.next[0] != '\0'; total += got.count) {
		char text[100];

		snprintf(text, sizeof(text), "limit=10&cursor=%s", got.next);
		ask("anomalies", "unreviewed", text);
	}
	ck_assert_int_eq(total, 49);
	json = ask("anomalies", "by_entity", "since=0&limit=3");
	ck_assert_ptr_nonnull(strstr(json, "\"anomalies\":"));
	ck_assert_int_eq(got.count, 3);
	ask("anomalies", "recent", "hours=87600");
	ck_assert_int_eq(got.count, 50);
}
END_TEST

/* --- models, users, keys, logs, metrics --- */

START_TEST(models_and_versions)
{
	const char *json = ask("models", "create", "name=forest&model_type=iforest");
	char id[32], text[128];

	snprintf(id, sizeof(id), "%s", member(json, "id"));
	ck_assert_str_eq(member(json, "description"), "");
	ck_assert_int_eq(fails("models", "create", "name=forest&model_type=hbos"), CW_ERR_CONFLICT);
	snprintf(text, sizeof(text), "id=%s&description=trees&is_active=false", id);
	json = ask("models", "update", text);
	ck_assert_str_eq(member(json, "is_active"), "false");
	ck_assert_int_eq(walk("models", "list", "", 2), 4);
	ck_assert_int_eq(walk("models", "list", "model_type=rule", 2), 2);
	ck_assert_int_eq(walk("models", "list", "is_active=false", 2), 1);
	for (int i = 1; i <= 3; i++) {
		snprintf(text, sizeof(text), "model_id=%s&version=%d.0&metrics={\"auc\":0.9}&training_dataset_size=1000", id, i);
		json = ask("model_versions", "create", text);
		ck_assert_str_eq(member(json, "metrics.auc"), "0.9");
		ck_assert_str_eq(member(json, "hyperparameters"), "{}");
		ck_assert_str_eq(member(json, "is_deployed"), "false");
	}
	snprintf(text, sizeof(text), "model_id=%s", id);
	ck_assert_int_eq(walk("model_versions", "list", text, 2), 3);
	ask("model_versions", "deploy", "id=4");
	json = ask("model_versions", "deploy", "id=5&traffic_percentage=25");
	ck_assert_str_eq(store_env_value(pg, "SELECT string_agg(concat_ws(' ', id, is_deployed, traffic_percentage), ';'"
	                                 " ORDER BY id) FROM model_versions WHERE id > 3"), "4 t 75;5 t 25;6 f 0");
	ask("model_versions", "deploy", "id=6&traffic_percentage=50");
	ck_assert_str_eq(store_env_value(pg, "SELECT string_agg(traffic_percentage::text, ' ' ORDER BY id) FROM model_versions"
	                                 " WHERE id > 3"), "37.5 12.5 50");
	ask("model_versions", "deploy", "id=6");
	ck_assert_str_eq(store_env_value(pg, "SELECT string_agg(concat_ws(' ', id, is_deployed, traffic_percentage), ';'"
	                                 " ORDER BY id) FROM model_versions WHERE id > 3"), "4 f 0;5 f 0;6 t 100");
	json = ask("model_versions", "latest", text);
	ck_assert_str_eq(member(json, "version"), "3.0");
	snprintf(text, sizeof(text), "model_id=%s&shares={\"4\":12.5,\"6\":87.5}", id);
	ask("model_versions", "split", text);
	snprintf(text, sizeof(text), "model_id=%s", id);
	json = ask("model_versions", "traffic", text);
	ck_assert_int_eq(got.count, 2);
	ck_assert_ptr_nonnull(strstr(json, "\"traffic_percentage\":87.5"));
	snprintf(text, sizeof(text), "model_id=%s&shares={\"4\":40,\"1\":60}", id);
	ask("model_versions", "split", text);                /* one of another model: nothing is changed */
	ck_assert_int_eq(got.count, 0);
	refused("model_versions", "split", "model_id=1&shares={\"4\":40}", "model_versions.split: the shares must sum to 100");
	json = ask("models", "list", "name=forest&include=deployed");
	ck_assert_str_eq(member(json, "items.0.deployed.1.version"), "1.0");
	refused("models", "update", "id=1", "models.update: there is nothing to change");
	json = ask("model_versions", "withdraw", "id=6");
	ck_assert_str_eq(member(json, "is_deployed"), "false");
	json = ask("model_versions", "get", "id=6");
	ck_assert_str_eq(member(json, "name"), "forest");
	ck_assert_str_eq(member(json, "source"), "null");
	ask("rule_states", "list", "");
}
END_TEST

START_TEST(users_and_keys)
{
	const char *json;
	char id[32], text[256];

	store_env_exec(pg, "DELETE FROM api_keys; DELETE FROM users");
	json = ask("users", "create", "email=Ann@Example.com&roles=analyst,admin&hashed_password=secret");
	snprintf(id, sizeof(id), "%s", member(json, "id"));
	ck_assert_str_eq(member(json, "roles.1"), "admin");
	ck_assert_ptr_null(strstr(json, "secret"));
	ck_assert_int_eq(fails("users", "create", "email=ann@example.COM"), CW_ERR_CONFLICT);
	ck_assert_int_eq(fails("users", "create", "email=x"), CW_ERR_INVALID);
	json = ask("users", "by_email", "email=ANN@example.com");
	ck_assert_str_eq(member(json, "id"), id);
	ck_assert_ptr_null(strstr(json, "secret"));
	json = ask("users", "count", "");
	ck_assert_str_eq(member(json, "admins"), "1");
	snprintf(text, sizeof(text), "id=%s&is_active=false", id);
	json = ask("users", "update", text);
	ck_assert_str_eq(member(json, "is_active"), "false");
	ck_assert_str_eq(member(json, "roles.0"), "analyst");
	ck_assert_int_eq(walk("users", "list", "role=admin", 10), 1);
	ck_assert_int_eq(walk("users", "list", "is_active=true", 10), 0);
	snprintf(text, sizeof(text), "id=%s&hashed_password=other", id);
	ask("users", "set_password", text);
	snprintf(text, sizeof(text), "id=%s", id);
	ask("users", "touch", text);
	ck_assert_int_eq(got.affected, 1);
	ck_assert_str_eq(store_env_value(pg, "SELECT hashed_password || (last_login IS NOT NULL) FROM users"), "othertrue");

	snprintf(text, sizeof(text), "user_id=%s&name=ci&prefix=cw_ab&scopes=service&hashed_key=0x"
	         "0101010101010101010101010101010101010101010101010101010101010101&expires_at=2030-01-01T00:00:00Z", id);
	json = ask("api_keys", "create", text);
	ck_assert_str_eq(member(json, "scopes.0"), "service");
	ck_assert_ptr_null(strstr(json, "0101"));
	ck_assert_int_eq(fails("api_keys", "create", text), CW_ERR_CONFLICT);
	json = ask("api_keys", "by_hash", "hashed_key=0x0101010101010101010101010101010101010101010101010101010101010101");
	ck_assert_str_eq(member(json, "user.email"), "Ann@Example.com");
	ck_assert_str_eq(member(json, "user.is_active"), "false");
	ck_assert_ptr_null(strstr(json, "0101"));
	ask("api_keys", "by_prefix", "prefix=cw_ab");
	ck_assert_int_eq(got.count, 1);
	snprintf(text, sizeof(text), "id=%lld", (long long)got.first_id);
	ask("api_keys", "touch", text);
	ck_assert_int_eq(got.affected, 1);
	ask("api_keys", "touch", text);
	ck_assert_int_eq(got.affected, 0);               /* not within the minute */
	snprintf(text, sizeof(text), "id=%lld&user_id=4711", (long long)got.first_id);
	ask("api_keys", "revoke", text);
	ck_assert_int_eq(got.affected, 0);
	snprintf(text, sizeof(text), "id=%lld", (long long)got.first_id);
	json = ask("api_keys", "revoke", text);
	ck_assert_str_eq(member(json, "is_active"), "false");
	ck_assert_int_eq(walk("api_keys", "list", "is_active=true", 10), 0);
	ck_assert_int_eq(walk("api_keys", "list", "", 10), 1);
}
END_TEST

START_TEST(audit_chain)
{
	const char *json;
	char hash[80];

	json = ask("audit_logs", "last", "");
	if (got.count == 0)
		ck_assert_str_eq(json, "");
	ask("audit_logs", "append", "event_type=login&action=create&ip_address=::1&details={\"b\":1, \"a\":2}&request_id=r1");
	json = ask("audit_logs", "last", "");
	snprintf(hash, sizeof(hash), "%s", member(json, "hash"));
	ask("audit_logs", "append", "event_type=login&action=create&ip_address=::1&details={\"b\":1, \"a\":2}");
	json = ask("audit_logs", "list", "event_type=login&limit=1");
	ck_assert_str_eq(member(json, "items.0.ip_address"), "::1");
	ck_assert_str_eq(member(json, "items.0.details"), "{\"b\":1,\"a\":2}");
	ck_assert_str_eq(store_env_value(pg, "SELECT details FROM audit_logs ORDER BY id DESC LIMIT 1"), "{\"b\":1, \"a\":2}");
	ck_assert_str_eq(member(json, "items.0.severity"), "info");
	ask("audit_logs", "chain", "after=0&limit=10");
	ck_assert_int_ge(got.count, 1);
	json = ask("audit_logs", "list", "event_type=log.&limit=1");
	ck_assert_int_eq(got.count, 0);
	json = ask("audit_logs", "list", "event_type=login&limit=1");
	ck_assert_str_eq(member(json, "items.0.previous_hash"), hash);
	json = ask("audit_logs", "statistics", "event_type=login&action=create&ip_address=::1");
	ck_assert_ptr_nonnull(strstr(json, "\"event_type\":\"login\",\"status\":\"success\",\"severity\":\"info\",\"count\":"));
	ck_assert_int_eq(fails("audit_logs", "append", "event_type=x&details={"), CW_ERR_INVALID);
	ck_assert_int_eq(fails("audit_logs", "append", "event_type=x&ip_address=nonsense"), CW_ERR_INVALID);
}
END_TEST

START_TEST(system_metrics)
{
	const char *json;

	ask("system_metrics", "append", "samples=[{\"name\":\"rss\",\"value\":1.5},{\"name\":\"cpu\",\"value\":2,\"tags\":"
	    "{\"core\":\"0\"}}]");
	ck_assert_int_eq(got.affected, 2);
	ask("system_metrics", "append", "samples=[{\"name\":\"cpu\",\"value\":3}]&timestamp=2026-01-01T00:00:00Z");
	ck_assert_int_eq(walk("system_metrics", "list", "name=rss", 1), 1);
	json = ask("system_metrics", "list", "name=cpu");
	ck_assert_int_eq(got.count, 2);
	ck_assert_str_eq(member(json, "items.0.tags.core"), "0");
	ck_assert_str_eq(member(json, "items.1.metric_value"), "3");
	json = ask("system_metrics", "list", "name=cpu&tags={\"core\":\"0\"}");
	ck_assert_int_eq(got.count, 1);
	json = ask("system_metrics", "series", "name=rss&since=0&until=4000000000&bucket=31622400");
	ck_assert_ptr_nonnull(strstr(json, "\"max\":"));
	refused("system_metrics", "series", "name=rss&since=0&until=4000000000&bucket=60",
	        "system_metrics.series: more than 10000 buckets: take a longer one, or a shorter period");
	ask("system_metrics", "names", "");
	ck_assert_str_eq(got.json.data, "{\"metric_name\":\"cpu\"}{\"metric_name\":\"rss\"}");
	ck_assert_int_ne(fails("system_metrics", "append", "samples=[{\"name\":null,\"value\":1}]"), CW_OK);
	ck_assert_int_ne(fails("system_metrics", "append", "samples=7"), CW_OK);
}
END_TEST

START_TEST(labels_outbox_and_cursors)
{
	const char *json;
	char text[100];

	ask("labels", "import", "list=ofac&rows=[{\"address\":\"0x00000000000000000000000000000000000000a1\",\"label\":\"one\","
	    "\"category\":\"x\"}]&file=f.csv");
	json = ask("labels", "import", "list=ofac&replace=true&rows=[{\"address\":\"0x00000000000000000000000000000000000000a1\","
	           "\"label\":\"two\",\"category\":\"x\"}]");
	ck_assert_ptr_nonnull(strstr(json, "\"version\":2,\"list\":\"ofac\",\"action\":\"import\""));
	ck_assert_ptr_nonnull(strstr(json, "\"added\":0,\"changed\":1,\"removed\":0"));
	ask("labels", "import", "list=ofac&rows=[{\"address\":\"0x00000000000000000000000000000000000000a1\",\"label\":\"two\","
	    "\"category\":\"x\"}]");
	ck_assert_int_eq(got.count, 0);              /* nothing changes: no version */
	ask("labels", "import", "list=cex&rows=[{\"address\":\"0x00000000000000000000000000000000000000a1\",\"label\":\"l\"},"
	    "{\"address\":\"0x00000000000000000000000000000000000000a2\"},"
	    "{\"address\":\"0x00000000000000000000000000000000000000a2\",\"chain_id\":5}]");
	json = ask("labels", "of", "address=0x00000000000000000000000000000000000000a1&chain_id=7");
	ck_assert_ptr_nonnull(strstr(json, "\"list\":\"ofac\",\"address\":\"0x00000000000000000000000000000000000000a1\",\"chain_id\":0,"
	                             "\"category\":\"x\",\"name\":\"two\""));
	ck_assert_int_eq(got.count, 2);
	ask("labels", "list", "list=cex&limit=10&after=0x00000000000000000000000000000000000000a1");
	ck_assert_int_eq(got.count, 2);
	ask("labels", "list", "list=cex&limit=1&after=0x00000000000000000000000000000000000000a1");
	ck_assert_int_eq(got.count, 2);              /* all of one address */
	json = ask("labels", "lists", "");
	ck_assert_int_eq(got.count, 2);
	ck_assert_ptr_nonnull(strstr(json, "{\"list\":\"cex\",\"version\":1,\"entries\":3"));
	ask("labels", "versions", "list=ofac");
	ck_assert_int_eq(got.count, 2);
	ask("labels", "suppress", "list=cex&on=true&reason=ours&max_severity=low");
	ck_assert_ptr_nonnull(strstr(ask("labels", "lists", "list=cex"), "\"max_severity\": \"low\""));
	ask("labels", "remove", "list=cex&address=0x00000000000000000000000000000000000000a2");
	ck_assert_ptr_nonnull(strstr(got.json.data, "\"removed\":2"));
	ask("labels", "remove", "list=cex&address=0x00000000000000000000000000000000000000a2");
	ck_assert_int_eq(got.count, 0);
	ask("labels", "sanctioned", "list=cex");
	ask("labels", "withdrawals", "list=cex");
	store_env_exec(pg, "DELETE FROM suppressions; DELETE FROM label_lists");
	store_env_exec(pg, "TRUNCATE labels");

	json = ask("outbox", "create", "target=hook&payload={\"a\":1}");
	snprintf(text, sizeof(text), "id=%s&error=refused&retry_at=2000-01-01T00:00:00Z", member(json, "id"));
	json = ask("outbox", "failed", text);
	ck_assert_str_eq(member(json, "attempts"), "1");
	ck_assert_str_eq(member(json, "failed_at"), "null");
	ask("outbox", "due", "limit=5");
	ck_assert_int_eq(got.count, 1);
	text[strcspn(text, "&")] = '\0';
	json = ask("outbox", "delivered", text);
	ck_assert_str_eq(member(json, "attempts"), "2");
	ask("outbox", "again", text);
	ck_assert_int_eq(got.count, 0);
	ask("outbox", "list", "state=delivered");
	ck_assert_int_eq(got.count, 1);

	ask("cursors", "put", "name=c&position={\"n\":1}");
	json = ask("cursors", "put", "name=c&position={\"n\":2}");
	ck_assert_str_eq(member(json, "position.n"), "2");
	ask("cursors", "delete", "name=c");
	ck_assert_int_eq(got.affected, 1);
	store_env_exec(pg, "TRUNCATE outbox");
}
END_TEST

/* --- calls --- */

START_TEST(cancelled_call_is_not_answered)
{
	struct cw_args args;
	struct cw_call *call;

	cw_args_init(&args, &cw_transactions_list, arena);
	set_all(&args, "include=anomalies,predictions");
	for (int turns = 0; turns < 6; turns++) {
		got.done = false;
		call = cw_repo_call(pool, &args, on_rows, NULL, NULL);
		for (int i = 0; i < turns && !got.done; i++)
			cw_loop_poll(loop);
		if (!got.done)
			cw_repo_cancel(&call);
		cw_buf_clear(&got.json);
		got.done = false;
		for (int i = 0; i < 20; i++)
			cw_loop_poll(loop);
		ck_assert(!got.done);
	}
	ask("transactions", "get", "hash=" HASH6);
}
END_TEST

/* Each operation runs with nothing but what it needs, and with everything set: no combination is wrong SQL. */
START_TEST(every_operation_is_good_sql)
{
	static const char *const samples[] = {
		[CW_ARG_TEXT] = "some text", [CW_ARG_INT] = "1", [CW_ARG_NUMBER] = "0.5", [CW_ARG_BOOL] = "true",
		[CW_ARG_TIME] = "2026-01-01T00:00:00Z", [CW_ARG_HASH] = HASH3,
		[CW_ARG_ADDRESS] = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3",
		[CW_ARG_BYTES] = "0x0202020202020202020202020202020202020202020202020202020202020202", [CW_ARG_JSON] = "[]",
		[CW_ARG_TEXTS] = "x", [CW_ARG_INET] = "::1", [CW_ARG_AMOUNT] = "1000000000000000000000",
	};

	for (int i = 0; cw_ops[i] != NULL; i++) {
		for (int all = 0; all < 2; all++) {
			const struct cw_op *op = cw_ops[i];
			struct cw_args args;
			struct cw_err err = { 0 };

			cw_args_init(&args, op, arena);
			for (int k = 0; k < op->nargs; k++) {
				const struct cw_arg_spec *spec = &op->args[k];
				const char *text = spec->choices == NULL ? samples[spec->type] : NULL;
				char choice[32];

				if ((!all && !spec->required) || strcmp(spec->name, "cursor") == 0)
					continue;
				if (spec->choices != NULL) {
					snprintf(choice, sizeof(choice), "%.*s", (int)strcspn(spec->choices, "|"), spec->choices);
					text = choice;
				}
				if (strcmp(spec->name, "ip_address") == 0)
					text = "10.0.0.1";
				if (strcmp(spec->name, "details") == 0 || strcmp(spec->name, "metadata") == 0)
					text = "{}";
				if (strcmp(spec->name, "months") == 0)
					text = "0";
				if (strcmp(spec->name, "ids") == 0)
					text = "[1]";
				if (strcmp(spec->name, "bucket") == 0)
					text = "86400";
				if (strcmp(spec->name, "shares") == 0)
					text = "{\"1\":100}";
				if (strcmp(spec->name, "email") == 0)
					text = "new@example.com";
				ck_assert_msg(cw_args_set(&args, spec->name, text, strlen(text), &err) == 0, "%s", err.msg);
			}
			got.done = false;
			got.err = (struct cw_err){ .code = CW_OK };
			if (cw_repo_call(pool, &args, on_rows, NULL, &err) == NULL) {
				/* arguments that do not go together, or none where one is needed: said before anything is sent */
				ck_assert_int_eq(err.code, CW_ERR_INVALID);
				ck_assert_ptr_nonnull(strchr(err.msg, ':'));
				continue;
			}
			wait_for_it();
			ck_assert_msg(got.err.code == CW_OK || strncmp(got.err.sqlstate, "23", 2) == 0 ||
			              strcmp(got.err.sqlstate, "22023") == 0, "%s.%s: %s %s", op->repo, op->name,
			              got.err.sqlstate, got.err.msg);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store");
	TCase *tc = tcase_create("store");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, transaction_by_hash);
	tcase_add_test(tc, transaction_with_relations);
	tcase_add_test(tc, transactions_by_address);
	tcase_add_test(tc, transactions_with_relations);
	tcase_add_test(tc, history_is_imported_below_zero);
	tcase_add_test(tc, transactions_by_time_value_and_block);
	tcase_add_test(tc, pages_go_both_ways_by_key_and_by_number);
	tcase_add_test(tc, statistics_of_transactions);
	tcase_add_test(tc, anomalies_by_filter);
	tcase_add_test(tc, anomaly_tells_its_transaction);
	tcase_add_test(tc, review_is_written);
	tcase_add_test(tc, statistics_of_anomalies);
	tcase_add_test(tc, queue_is_critical_first_then_oldest);
	tcase_add_test(tc, models_and_versions);
	tcase_add_test(tc, users_and_keys);
	tcase_add_test(tc, audit_chain);
	tcase_add_test(tc, system_metrics);
	tcase_add_test(tc, labels_outbox_and_cursors);
	tcase_add_test(tc, cancelled_call_is_not_answered);
	tcase_add_test(tc, every_operation_is_good_sql);
	suite_add_tcase(s, tc);
	pg = store_env_start();
	srunner_run_all(runner, CK_NORMAL);
	pgtest_stop(&pg);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
