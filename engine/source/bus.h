/* bus.h - transactions from Kafka topics, as one member of a consumer group.
 *
 * A message is one transaction in JSON, as over HTTP. Offsets are committed to the broker after our own commit, in order for
 * each partition: a crash or a rebalance brings messages again, never loses one, and those that come again are known by
 * their hash. Partitions are the unit by which several engines share the work; key messages by address, so that what a
 * detector counts together comes to one engine. A message that is no transaction is logged, counted and left behind.
 *
 * Built on librdkafka, whose threads do the talking; without it (CW_HAVE_KAFKA not defined) cw_bus_new says so. */
#ifndef CW_SOURCE_BUS_H
#define CW_SOURCE_BUS_H

#include <stdbool.h>
#include <stdint.h>

struct cw_buf;
struct cw_bus;
struct cw_err;
struct cw_loop;
struct cw_pipeline;

#define CW_BUS_TOPICS_MAX 16
#define CW_BUS_OPTIONS_MAX 32

struct cw_bus_option { const char *name, *value; };      /* of librdkafka: "security.protocol", ... */

struct cw_bus_conf {
	const char *name;             /* of the source */
	const char *brokers;          /* "a:9092,b:9092" */
	const char *group;
	const char *topics[CW_BUS_TOPICS_MAX];
	int ntopics;
	struct cw_bus_option options[CW_BUS_OPTIONS_MAX];
	int noptions;
	uint64_t chain_id;            /* of messages that name none */
};

/* NULL and CW_ERR_INVALID if the settings make no sense; does not wait for a broker. */
struct cw_bus *cw_bus_new(struct cw_loop *loop, struct cw_pipeline *pipeline, const struct cw_bus_conf *conf,
                          struct cw_err *err);
/* Leaves the group; what was not committed comes again to whoever takes over. */
void cw_bus_free(struct cw_bus **bus);
const char *cw_bus_name(const struct cw_bus *bus);
/* {"name","kind":"kafka","state","error","partitions","messages","transactions","skipped","in_flight"} */
void cw_bus_status(const struct cw_bus *bus, struct cw_buf *out);

#endif
