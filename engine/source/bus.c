#include "source/bus.h"

#include <stddef.h>

#include "base/err.h"

#ifdef CW_HAVE_KAFKA

#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pipeline/pipeline.h"

#define BUS_MAGIC 0x42555343u        /* "BUSC" */
#define BATCH_MAX 1000               /* messages of one submission */
#define BATCHES_MAX 8                /* submitted and not answered */
#define MESSAGE_MAX (4u << 20)
#define AGAIN_MS 500                 /* after a refusal or a failure */
#define LOOK_MS 1000                 /* also without a sign: librdkafka's own events */

struct batch {
	struct cw_list link;             /* bus->batches, in order of reading */
	struct cw_bus *bus;
	struct cw_arena *arena;
	struct cw_tx_in *txs;
	size_t n, messages;
	uint64_t submission;             /* 0: not with the pipeline */
	bool done;
	rd_kafka_topic_partition_list_t *next;   /* what is committed when it is done */
};

struct cw_bus {
	uint32_t magic;
	struct cw_loop *loop;
	struct cw_pipeline *pipeline;
	char *name;
	uint64_t chain_id;
	rd_kafka_t *rk;
	int fd;
	struct cw_watch *watch;
	struct cw_timer *timer;
	struct cw_list batches;
	int nbatches;
	uint64_t messages, transactions, skipped;
	struct cw_err error;             /* code OK: nothing holds it up */
	struct cw_metric *m_messages, *m_transactions, *m_skipped;
};

static void pump(struct cw_bus *b);

/* --- what is done is committed, in order --- */

static void batch_free(struct batch *batch)
{
	cw_list_remove(&batch->link);
	batch->bus->nbatches--;
	rd_kafka_topic_partition_list_destroy(batch->next);
	cw_arena_free(&batch->arena);
}

static void commit_done(struct cw_bus *b)
{
	while (!cw_list_empty(&b->batches)) {
		struct batch *first = cw_list_entry(b->batches.next, struct batch, link);

		if (!first->done)
			return;
		/* Refused after a rebalance: then the messages come again, to whoever has the partition now. */
		rd_kafka_commit(b->rk, first->next, 1);
		b->transactions += first->n;
		cw_metric_add(b->m_transactions, (double)first->n);
		batch_free(first);
	}
}

static void on_outcomes(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	struct batch *batch = arg;
	struct cw_bus *b = batch->bus;
	bool again = false;

	batch->submission = 0;
	for (size_t i = 0; i < n; i++) {
		if (outcomes[i].err == NULL)
			continue;
		if (cw_is_data_error(outcomes[i].err)) {
			b->skipped++;
			cw_metric_add(b->m_skipped, 1);
			cw_log_err(CW_LOG_ERROR, "source", "a transaction is left out", outcomes[i].err);
		} else {
			again = true;
			b->error = *outcomes[i].err;
		}
	}
	batch->done = !again;
	if (batch->done)
		b->error.code = CW_OK;
	commit_done(b);
	cw_timer_set(b->timer, again ? AGAIN_MS : 0);
}

/* --- reading --- */

static void refuse(struct cw_bus *b, const rd_kafka_message_t *m, const char *why)
{
	char quoted[400];

	b->skipped++;
	cw_metric_add(b->m_skipped, 1);
	cw_log(CW_LOG_WARN, "source", "a message is no transaction", "source=%s topic=%s partition=%d offset=%" PRId64 " reason=%s",
	       b->name, rd_kafka_topic_name(m->rkt), m->partition, m->offset, cw_log_quote(quoted, sizeof(quoted), why));
}

static void take(struct cw_bus *b, struct batch *batch, const rd_kafka_message_t *m)
{
	struct cw_json_error fault;
	struct cw_tx_faults faults;
	const struct cw_json *json;
	char why[300];

	if (m->payload == NULL || m->len == 0) {
		refuse(b, m, "it is empty");
		return;
	}
	if (m->len > MESSAGE_MAX) {
		refuse(b, m, "it is too large");
		return;
	}
	json = cw_json_parse(m->payload, m->len, CW_JSON_DEPTH_DEFAULT, batch->arena, &fault);
	if (json == NULL) {
		refuse(b, m, fault.what);
	} else if (cw_tx_from_json(&batch->txs[batch->n], json, b->chain_id, batch->arena, &faults) != 0) {
		snprintf(why, sizeof(why), "%s %s", faults.list[0].pointer, faults.list[0].what);
		refuse(b, m, why);
	} else {
		batch->n++;
	}
}

static void note_next(struct batch *batch, const rd_kafka_message_t *m)
{
	const char *topic = rd_kafka_topic_name(m->rkt);
	rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_find(batch->next, topic, m->partition);

	if (at == NULL)
		at = rd_kafka_topic_partition_list_add(batch->next, topic, m->partition);
	at->offset = m->offset + 1;
}

static void note_error(struct cw_bus *b, const rd_kafka_message_t *m)
{
	struct cw_err err;
	char quoted[600];

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return;
	cw_err_set(&err, CW_ERR_BUSY, "%s", rd_kafka_message_errstr(m));
	if (b->error.code == CW_OK)
		cw_log(CW_LOG_WARN, "source", "held up", "source=%s reason=%s", b->name,
		       cw_log_quote(quoted, sizeof(quoted), err.msg));
	b->error = err;
}

static struct batch *read_batch(struct cw_bus *b)
{
	struct cw_arena *arena = cw_arena_new();
	struct batch *batch = cw_arena_zalloc(arena, sizeof(*batch));
	rd_kafka_message_t *m;

	batch->arena = arena;
	batch->bus = b;
	batch->txs = cw_arena_alloc(arena, BATCH_MAX * sizeof(*batch->txs));
	batch->next = rd_kafka_topic_partition_list_new(4);
	cw_list_init(&batch->link);
	cw_list_append(&b->batches, &batch->link);
	b->nbatches++;
	while (batch->messages < BATCH_MAX && (m = rd_kafka_consumer_poll(b->rk, 0)) != NULL) {
		if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
			note_error(b, m);
		} else {
			batch->messages++;
			take(b, batch, m);
			note_next(batch, m);
		}
		rd_kafka_message_destroy(m);
	}
	b->messages += batch->messages;
	cw_metric_add(b->m_messages, (double)batch->messages);
	if (batch->messages > 0)
		return batch;
	batch_free(batch);
	return NULL;
}

/* False: not now. */
static bool submit(struct cw_bus *b, struct batch *batch)
{
	struct cw_origin origin = { .start_us = cw_clock_mono_us() };
	struct cw_err err;

	if (batch->n == 0) {
		batch->done = true;
		commit_done(b);
		return true;
	}
	batch->submission = cw_pipeline_submit(b->pipeline, batch->txs, batch->n, &origin, on_outcomes, batch, &err);
	if (batch->submission != 0)
		return true;
	b->error = err;
	return false;
}

static void pump(struct cw_bus *b)
{
	struct cw_list *link, *tmp;
	struct batch *batch;

	/* What was refused or has failed goes first, so that order is kept. */
	cw_list_each(link, tmp, &b->batches) {
		batch = cw_list_entry(link, struct batch, link);
		if (!batch->done && batch->submission == 0 && !submit(b, batch)) {
			cw_timer_set(b->timer, AGAIN_MS);
			return;
		}
	}
	while (b->nbatches < BATCHES_MAX && cw_pipeline_room(b->pipeline) >= BATCH_MAX) {
		batch = read_batch(b);
		if (batch == NULL)
			break;
		if (!submit(b, batch)) {
			cw_timer_set(b->timer, AGAIN_MS);
			return;
		}
	}
	if (!cw_timer_pending(b->timer))
		cw_timer_set(b->timer, LOOK_MS);
}

static void on_timer(void *arg)
{
	pump(CW_CAST(arg, BUS_MAGIC));
}

static void on_sign(void *arg, int fd, int flags)
{
	struct cw_bus *b = CW_CAST(arg, BUS_MAGIC);
	uint64_t count;

	(void)flags;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		cw_bug("could not read an eventfd: %s", strerror(errno));
	pump(b);
}

/* --- life --- */

/* By way of the queue: on the loop's thread. */
static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
	char quoted[700];

	(void)rk;
	cw_log(level <= 3 ? CW_LOG_ERROR : level <= 4 ? CW_LOG_WARN : CW_LOG_DEBUG, "source", "librdkafka", "facility=%s text=%s",
	       fac, cw_log_quote(quoted, sizeof(quoted), text));
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, struct cw_err *err)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
		return 0;
	return cw_err_set(err, CW_ERR_INVALID, "option \"%s\": %s", name, text);
}

static rd_kafka_conf_t *make_conf(const struct cw_bus_conf *c, struct cw_err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	/* Ours, not to be changed: offsets move after our commit. */
	const struct cw_bus_option ours[] = {
		{ "bootstrap.servers", c->brokers }, { "group.id", c->group }, { "enable.auto.commit", "false" },
		{ "enable.auto.offset.store", "false" }, { "log.queue", "true" },
	};

	if (set(conf, "auto.offset.reset", "earliest", err) != 0 || set(conf, "client.id", "chainwatch", err) != 0)
		goto bad;
	for (int i = 0; i < c->noptions; i++) {
		for (size_t k = 0; k < sizeof(ours) / sizeof(*ours); k++)
			if (strcmp(c->options[i].name, ours[k].name) == 0) {
				cw_err_set(err, CW_ERR_INVALID, "option \"%s\" is the engine's own", ours[k].name);
				goto bad;
			}
		if (set(conf, c->options[i].name, c->options[i].value, err) != 0)
			goto bad;
	}
	for (size_t k = 0; k < sizeof(ours) / sizeof(*ours); k++)
		if (set(conf, ours[k].name, ours[k].value, err) != 0)
			goto bad;
	rd_kafka_conf_set_log_cb(conf, on_log);
	return conf;
bad:
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static int subscribe(struct cw_bus *b, const struct cw_bus_conf *c, struct cw_err *err)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(c->ntopics);
	rd_kafka_resp_err_t rc;

	for (int i = 0; i < c->ntopics; i++)
		rd_kafka_topic_partition_list_add(topics, c->topics[i], RD_KAFKA_PARTITION_UA);
	rc = rd_kafka_subscribe(b->rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
		return cw_err_set(err, CW_ERR_INVALID, "could not subscribe: %s", rd_kafka_err2str(rc));
	return 0;
}

static void make_metrics(struct cw_bus *b)
{
	struct cw_buf labels = CW_BUF_INIT;

	cw_metric_label(&labels, "source", b->name);
	b->m_messages = cw_counter("chainwatch_source_messages_total", "Messages read from a bus", labels.data);
	b->m_transactions = cw_counter("chainwatch_source_transactions_total", "Transactions read and stored", labels.data);
	b->m_skipped = cw_counter("chainwatch_source_skipped_total", "Transactions left out because they make no sense",
	                          labels.data);
	cw_buf_release(&labels);
}

static void watch_queue(struct cw_bus *b)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(b->rk);
	static const uint64_t one = 1;

	b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cw_assert(b->fd >= 0);
	rd_kafka_queue_io_event_enable(queue, b->fd, &one, sizeof(one));
	rd_kafka_queue_destroy(queue);
	b->watch = cw_watch_new(b->loop, b->fd, on_sign, b);
	cw_watch_set(b->watch, CW_WATCH_READ);
	b->timer = cw_timer_new(b->loop, on_timer, b);
	cw_timer_set(b->timer, 0);
}

struct cw_bus *cw_bus_new(struct cw_loop *loop, struct cw_pipeline *pipeline, const struct cw_bus_conf *c,
                          struct cw_err *err)
{
	rd_kafka_conf_t *conf = make_conf(c, err);
	struct cw_bus *b;
	char text[256];

	if (conf == NULL) {
		cw_err_wrap(err, "source \"%s\"", c->name);
		return NULL;
	}
	b = cw_zalloc(sizeof(*b));
	b->magic = BUS_MAGIC;
	b->loop = loop;
	b->pipeline = pipeline;
	b->name = cw_strdup(c->name);
	b->chain_id = c->chain_id;
	b->fd = -1;
	cw_list_init(&b->batches);
	make_metrics(b);
	b->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (b->rk == NULL) {
		rd_kafka_conf_destroy(conf);
		cw_err_set(err, CW_ERR_INVALID, "source \"%s\": %s", c->name, text);
		cw_bus_free(&b);
		return NULL;
	}
	rd_kafka_set_log_queue(b->rk, NULL);
	rd_kafka_poll_set_consumer(b->rk);
	watch_queue(b);
	if (subscribe(b, c, err) == 0)
		return b;
	cw_err_wrap(err, "source \"%s\"", c->name);
	cw_bus_free(&b);
	return NULL;
}

/* Leaving a group waits for brokers: not on the loop. */
static void *leave(void *rk)
{
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return NULL;
}

static void leave_aside(rd_kafka_t *rk)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, leave, rk) != 0)
		rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void cw_bus_free(struct cw_bus **bus)
{
	struct cw_bus *b = *bus;

	*bus = NULL;
	if (b == NULL)
		return;
	while (!cw_list_empty(&b->batches)) {
		struct batch *batch = cw_list_entry(b->batches.next, struct batch, link);

		if (batch->submission != 0)
			cw_pipeline_cancel(b->pipeline, batch->submission);
		batch_free(batch);
	}
	cw_watch_free(&b->watch);
	cw_timer_free(&b->timer);
	if (b->rk != NULL) {
		rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(b->rk);

		rd_kafka_queue_io_event_enable(queue, -1, NULL, 0);
		rd_kafka_queue_destroy(queue);
		leave_aside(b->rk);
	}
	if (b->fd >= 0)
		close(b->fd);
	cw_free(b->name);
	cw_free(b);
}

const char *cw_bus_name(const struct cw_bus *b)
{
	return b->name;
}

void cw_bus_status(const struct cw_bus *b, struct cw_buf *out)
{
	rd_kafka_topic_partition_list_t *assigned = NULL;
	int partitions = 0;

	if (rd_kafka_assignment(b->rk, &assigned) == RD_KAFKA_RESP_ERR_NO_ERROR) {
		partitions = assigned->cnt;
		rd_kafka_topic_partition_list_destroy(assigned);
	}
	cw_buf_puts(out, "{\"name\":");
	cw_json_put_cstring(out, b->name);
	cw_buf_printf(out, ",\"kind\":\"kafka\",\"state\":\"%s\",\"error\":", partitions > 0 ? "running" : "waiting");
	if (b->error.code != CW_OK)
		cw_json_put_cstring(out, b->error.msg);
	else
		cw_buf_puts(out, "null");
	cw_buf_printf(out, ",\"partitions\":%d,\"messages\":%" PRIu64 ",\"transactions\":%" PRIu64 ",\"skipped\":%" PRIu64
	              ",\"in_flight\":%d}", partitions, b->messages, b->transactions, b->skipped, b->nbatches);
}

#else

struct cw_bus *cw_bus_new(struct cw_loop *loop, struct cw_pipeline *pipeline, const struct cw_bus_conf *conf,
                          struct cw_err *err)
{
	(void)loop;
	(void)pipeline;
	cw_err_set(err, CW_ERR_INVALID, "source \"%s\": this build has no Kafka; build it with librdkafka-dev installed",
	           conf->name);
	return NULL;
}

void cw_bus_free(struct cw_bus **bus)
{
	(void)bus;
}

const char *cw_bus_name(const struct cw_bus *bus)
{
	(void)bus;
	return "";
}

void cw_bus_status(const struct cw_bus *bus, struct cw_buf *out)
{
	(void)bus;
	(void)out;
}

#endif
