/* A Kafka cluster for scenarios: librdkafka's mock, as a process of its own.
 *
 * usage: mock TOPIC PARTITIONS        prints "BROKERS CONTROLPORT"; ends with its standard input
 * Control, a line at a time on one TCP connection after the other:
 *   produce PARTITION TEXT            no answer
 *   flush                             "ok" when all that was produced is there
 *   committed GROUP                   what the group has committed, over all partitions
 *   down BROKER, up BROKER            "ok" */
#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PARTITIONS_MAX 64

static rd_kafka_t *producer;
static rd_kafka_mock_cluster_t *cluster;
static const char *topic;
static int partitions;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static rd_kafka_conf_t *conf_with(const char *name, const char *value)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		die(name, text);
	return conf;
}

static void start_cluster(void)
{
	char text[256];

	producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf_with("test.mock.num.brokers", "2"), text, sizeof(text));
	if (producer == NULL)
		die("could not start", text);
	cluster = rd_kafka_handle_mock_cluster(producer);
	if (rd_kafka_mock_topic_create(cluster, topic, partitions, 1) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die(topic, "could not be made");
}

static void produce(char *args)
{
	char *text;
	long partition = strtol(args, &text, 10);

	text += *text == ' ';
	while (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)partition),
	                         RD_KAFKA_V_VALUE(text, strlen(text)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
	                         RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		rd_kafka_poll(producer, 10);
}

static long committed(const char *group)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	rd_kafka_conf_t *conf = conf_with("bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster));
	char text[256];
	rd_kafka_t *reader;
	long sum = 0;

	if (rd_kafka_conf_set(conf, "group.id", group, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		die("group.id", text);
	reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	for (int p = 0; p < partitions; p++)
		rd_kafka_topic_partition_list_add(list, topic, p);
	if (rd_kafka_committed(reader, list, 5000) != RD_KAFKA_RESP_ERR_NO_ERROR)
		sum = -1;
	for (int p = 0; sum >= 0 && p < partitions; p++)
		sum += list->elems[p].offset > 0 ? (long)list->elems[p].offset : 0;
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(reader);
	return sum;
}

static void obey(char *line, FILE *out)
{
	line[strcspn(line, "\r\n")] = '\0';
	if (strncmp(line, "produce ", 8) == 0) {
		produce(line + 8);
		return;
	}
	if (strcmp(line, "flush") == 0)
		fprintf(out, "%s\n", rd_kafka_flush(producer, 10000) == RD_KAFKA_RESP_ERR_NO_ERROR ? "ok" : "late");
	else if (strncmp(line, "committed ", 10) == 0)
		fprintf(out, "%ld\n", committed(line + 10));
	else if (strncmp(line, "down ", 5) == 0)
		fprintf(out, "%s\n", rd_kafka_mock_broker_set_down(cluster, atoi(line + 5)) == 0 ? "ok" : "no");
	else if (strncmp(line, "up ", 3) == 0)
		fprintf(out, "%s\n", rd_kafka_mock_broker_set_up(cluster, atoi(line + 3)) == 0 ? "ok" : "no");
	else
		fprintf(out, "what?\n");
	fflush(out);
}

static void serve(int fd)
{
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, in) > 0)
		obey(line, out);
	free(line);
	fclose(in);
	fclose(out);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 3 || (partitions = atoi(argv[2])) < 1 || partitions > PARTITIONS_MAX)
		die("usage", "mock TOPIC PARTITIONS");
	topic = argv[1];
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(listener, 8) != 0 ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) != 0)
		die("listen", "could not");
	start_cluster();
	printf("%s %d\n", rd_kafka_mock_cluster_bootstraps(cluster), ntohs(addr.sin_port));
	fflush(stdout);
	for (;;) {
		struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .fd = listener, .events = POLLIN } };

		poll(fds, 2, 100);
		rd_kafka_poll(producer, 0);
		if (fds[0].revents != 0)
			break;
		if (fds[1].revents != 0)
			serve(accept(listener, NULL, NULL));
	}
	rd_kafka_destroy(producer);
	return 0;
}
