/* The Kafka source against librdkafka's mock cluster, and a real pipeline with PostgreSQL behind it. */
#include "source/bus.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "support/pgtest.h"
#include "support/pipeline_env.h"
#include "support/slow.h"
#include "support/store_env.h"

#ifdef CW_HAVE_KAFKA
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define PARTITIONS 3

static struct pgtest *pg;
static const char *conninfo;
static rd_kafka_t *producer;
static rd_kafka_mock_cluster_t *cluster;
static struct cw_bus *bus;

static void up(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];

	conninfo = store_env_database(pg);
	env_up(conninfo, "v1");
	env_until_ready();
	ck_assert_int_eq(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", text, sizeof(text)), RD_KAFKA_CONF_OK);
	producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	ck_assert_msg(producer != NULL, "%s", text);
	cluster = rd_kafka_handle_mock_cluster(producer);
	ck_assert_ptr_nonnull(cluster);
	ck_assert_int_eq(rd_kafka_mock_topic_create(cluster, "txs", PARTITIONS, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void down(void)
{
	cw_bus_free(&bus);
	env_down();
	rd_kafka_destroy(producer);
	rd_kafka_wait_destroyed(10000);     /* the source leaves its group aside */
	cw_metrics_free();
}

static void produce(const char *text, int partition)
{
	ck_assert_int_eq(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("txs"), RD_KAFKA_V_PARTITION(partition),
	                                   RD_KAFKA_V_VALUE((void *)(uintptr_t)text, strlen(text)),
	                                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
	                 RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void produce_txs(uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++) {
		struct cw_tx_in in = store_env_tx(n);
		struct cw_buf text = CW_BUF_INIT;

		cw_buf_putc(&text, '{');
		cw_tx_to_json(&text, &in);
		cw_buf_putc(&text, '}');
		produce(text.data, (int)(n % PARTITIONS));
		cw_buf_release(&text);
	}
	ck_assert_int_eq(rd_kafka_flush(producer, 10000), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void start(void)
{
	struct cw_bus_conf conf = {
		.name = "bus", .brokers = rd_kafka_mock_cluster_bootstraps(cluster), .group = "cw", .topics = { "txs" }, .ntopics = 1,
		.options = { { "session.timeout.ms", "6000" }, { "heartbeat.interval.ms", "500" } }, .noptions = 2, .chain_id = 1,
	};
	struct cw_err err;

	bus = cw_bus_new(env.loop, env.p, &conf, &err);
	ck_assert_msg(bus != NULL, "%s", err.msg);
}

/* A number out of the status. */
static long status(const char *name)
{
	struct cw_buf text = CW_BUF_INIT;
	char key[32];
	const char *at;
	long value;

	snprintf(key, sizeof(key), "\"%s\":", name);
	cw_bus_status(bus, &text);
	at = strstr(text.data, key);
	ck_assert_msg(at != NULL, "%s", text.data);
	value = strtol(at + strlen(key), NULL, 10);
	cw_buf_release(&text);
	return value;
}

static void until_status(const char *name, long value)
{
	int64_t until = cw_clock_mono_us() + INT64_C(20000000) * slow_factor();

	while (status(name) != value && cw_clock_mono_us() < until)
		env_turn();
	ck_assert_int_eq(status(name), value);
}

/* What the group has committed, over all partitions. */
static long committed(void)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];
	rd_kafka_t *reader;
	long sum = 0;

	rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), text, sizeof(text));
	rd_kafka_conf_set(conf, "group.id", "cw", text, sizeof(text));
	reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	for (int p = 0; p < PARTITIONS; p++)
		rd_kafka_topic_partition_list_add(list, "txs", p);
	ck_assert_int_eq(rd_kafka_committed(reader, list, 5000), RD_KAFKA_RESP_ERR_NO_ERROR);
	for (int p = 0; p < PARTITIONS; p++)
		sum += list->elems[p].offset > 0 ? (long)list->elems[p].offset : 0;
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(reader);
	return sum;
}

static void until_committed(long value)
{
	for (int i = 0; i < 50 && committed() != value; i++)
		env_idle(50);
	ck_assert_int_eq(committed(), value);
}

START_TEST(messages_are_stored_and_then_committed)
{
	produce_txs(1, 2500);
	start();
	until_status("transactions", 2500);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM transactions"), 2500);
	until_committed(2500);
	ck_assert_int_eq(status("partitions"), PARTITIONS);
	produce_txs(2501, 2510);
	until_status("transactions", 2510);
}
END_TEST

START_TEST(what_is_no_transaction_is_left_behind)
{
	produce("not json", 0);
	produce("{\"hash\":\"0x12\"}", 0);
	produce("", 0);
	produce_txs(1, 30);
	start();
	until_status("transactions", 30);
	ck_assert_int_eq(status("skipped"), 3);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM transactions"), 30);
	until_committed(33);
}
END_TEST

/* Nothing is committed to the broker that is not in the tables, and what was not comes again. */
START_TEST(another_engine_goes_on_where_the_tables_end)
{
	produce_txs(1, 300);
	start();
	until_status("transactions", 300);
	until_committed(300);
	cw_bus_free(&bus);
	env_restart(conninfo, "v1");
	env_until_ready();
	produce_txs(250, 400);          /* some of them again */
	start();
	until_status("transactions", 151);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM transactions"), 400);
	until_committed(451);
}
END_TEST

START_TEST(nothing_is_committed_while_the_database_refuses)
{
	store_env_exec(pg, "CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS"
	               " 'BEGIN RAISE EXCEPTION ''not now'' USING ERRCODE = ''53300''; END'");
	store_env_exec(pg, "CREATE TRIGGER busy BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION busy()");
	produce_txs(1, 20);
	start();
	until_status("messages", 20);
	env_idle(500);
	ck_assert_int_eq(committed(), 0);
	store_env_exec(pg, "DROP TRIGGER busy ON transactions");
	until_status("transactions", 20);
	until_committed(20);
	ck_assert_int_eq(store_env_number(pg, "SELECT count(*) FROM transactions"), 20);
}
END_TEST

START_TEST(broker_errors_are_survived)
{
	rd_kafka_mock_push_request_errors(cluster, 1 /* Fetch */, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	                                  RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
	rd_kafka_mock_push_request_errors(cluster, 8 /* OffsetCommit */, 1, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
	produce_txs(1, 100);
	start();
	until_status("transactions", 100);
	produce_txs(101, 110);
	until_status("transactions", 110);
	until_committed(110);
}
END_TEST

START_TEST(settings_that_make_no_sense_are_refused)
{
	struct cw_bus_conf conf = { .name = "x", .brokers = "h:1", .group = "g", .topics = { "t" }, .ntopics = 1,
		                        .options = { { "no.such.thing", "1" } }, .noptions = 1 };
	struct cw_err err;

	ck_assert_ptr_null(cw_bus_new(env.loop, env.p, &conf, &err));
	ck_assert_str_eq(err.msg, "source \"x\": option \"no.such.thing\": No such configuration property: \"no.such.thing\"");
	conf.options[0] = (struct cw_bus_option){ "enable.auto.commit", "true" };
	ck_assert_ptr_null(cw_bus_new(env.loop, env.p, &conf, &err));
	ck_assert_str_eq(err.msg, "source \"x\": option \"enable.auto.commit\" is the engine's own");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus");
	TCase *tc = tcase_create("bus");
	SRunner *runner;
	int failed;

	pg = store_env_start();
	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 90);
	tcase_add_test(tc, messages_are_stored_and_then_committed);
	tcase_add_test(tc, what_is_no_transaction_is_left_behind);
	tcase_add_test(tc, another_engine_goes_on_where_the_tables_end);
	tcase_add_test(tc, nothing_is_committed_while_the_database_refuses);
	tcase_add_test(tc, broker_errors_are_survived);
	tcase_add_test(tc, settings_that_make_no_sense_are_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pgtest_stop(&pg);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#else

int main(void)
{
	puts("skipped: built without librdkafka");
	return EXIT_SUCCESS;
}

#endif
