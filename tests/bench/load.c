/* load.c - load generator for the engine: closed or open loop, on one thread.
 *
 *	load HOST:PORT KIND [-c CONNECTIONS] [-t SECONDS] [-r RATE] [-k KEY] [-s SEED] [-n KNOWN]
 *
 * KIND: health, predict, batch:N (JSON), ndjson:N, lookup (hashes 1..KNOWN of the seed). RATE 0 (default): closed loop,
 * each connection sends when it has its answer. Otherwise requests are due at a constant rate and latency counts from
 * the time a request was due, so that a server that falls behind shows it. Prints one line:
 *	requests/s=... items/s=... p50_ms=... p99_ms=... acked=... errors=...
 * `acked` are transactions in answers 2xx; what was sent is a pure function of seed and number. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OUT_MAX (1 << 20)
#define IN_MAX (1 << 20)
#define LATENCIES (8 << 20)

enum kind { HEALTH, PREDICT, BATCH, NDJSON, LOOKUP };

struct client {
	int fd;
	bool busy, writing;
	char *out, *in;
	size_t out_len, out_at, in_len;
	int64_t due_us;
};

static enum kind kind;
static int nconns = 64, items = 1;
static double seconds = 5, rate;
static uint64_t seed = 1, known = 1000, counter;
static const char *key = "";
static uint32_t *latencies;
static size_t nlatencies;
static uint64_t acked, errors;

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* splitmix64, Steele, Lea and Flood, 2014 */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static int put_hash(char *out, uint64_t number)
{
	uint64_t x = mix(seed * 0x1000193u + number);

	return sprintf(out, "0x%016lx%016lx%016lx%016lx", x, mix(x), mix(x + 1), mix(x + 2));
}

/* Addresses from a pool of 20000, so that rules see activity. */
static int put_tx(char *out)
{
	uint64_t n = ++counter, r = mix(n ^ (seed << 32));
	char hash[80];

	put_hash(hash, n);
	return sprintf(out,
	               "{\"hash\":\"%s\",\"blockNumber\":%lu,\"timestamp\":%lu,\"from\":\"0x%040lx\",\"to\":\"0x%040lx\","
	               "\"value\":\"%lu\",\"gas\":21000,\"gasPrice\":\"%lu\",\"nonce\":%lu,\"input\":\"0x\"}",
	               hash, 21000000 + n / 200, 1760000000 + n / 17, 1 + r % 20000, 1 + (r >> 20) % 20000,
	               1000000000000000u + r % 900000000000000000u, 20000000000u + r % 5000000000u, n % 1000);
}

static void put_request(struct client *c, const char *method, const char *path, const char *type, const char *body,
                        size_t len)
{
	int n = sprintf(c->out, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path);

	if (key[0] != '\0')
		n += sprintf(c->out + n, "X-API-Key: %s\r\n", key);
	if (body != NULL)
		n += sprintf(c->out + n, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, len);
	n += sprintf(c->out + n, "\r\n");
	if (body != NULL)
		memcpy(c->out + n, body, len);
	c->out_len = (size_t)n + len;
	c->out_at = 0;
}

static void make_request(struct client *c)
{
	static char body[OUT_MAX - 4096];
	char path[128], hash[80];
	size_t len = 0;

	switch (kind) {
	case HEALTH: put_request(c, "GET", "/health", NULL, NULL, 0); return;
	case LOOKUP:
		put_hash(hash, 1 + mix(++counter) % known);
		snprintf(path, sizeof(path), "/api/v1/transactions/%s", hash);
		put_request(c, "GET", path, NULL, NULL, 0);
		return;
	case PREDICT:
		len = (size_t)put_tx(body);
		put_request(c, "POST", "/api/v1/predict", "application/json", body, len);
		return;
	case BATCH:
		len = (size_t)sprintf(body, "{\"transactions\":[");
		for (int i = 0; i < items; i++) {
			if (i > 0)
				body[len++] = ',';
			len += (size_t)put_tx(body + len);
		}
		len += (size_t)sprintf(body + len, "]}");
		put_request(c, "POST", "/api/v1/predict/batch", "application/json", body, len);
		return;
	case NDJSON:
		for (int i = 0; i < items; i++) {
			len += (size_t)put_tx(body + len);
			body[len++] = '\n';
		}
		put_request(c, "POST", "/api/v1/predict/batch", "application/x-ndjson", body, len);
		return;
	}
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void connect_client(struct client *c, const struct sockaddr_in *to, int ep)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
	c->out = malloc(OUT_MAX);
	c->in = malloc(IN_MAX);
}

static void want(struct client *c, int ep, bool writing)
{
	struct epoll_event ev = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c };

	if (c->writing == writing)
		return;
	c->writing = writing;
	epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void push_out(struct client *c, int ep)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			want(c, ep, true);
			return;
		}
		if (n < 0)
			die("send");
		c->out_at += (size_t)n;
	}
	want(c, ep, false);
}

static void start(struct client *c, int ep, int64_t due)
{
	make_request(c);
	c->busy = true;
	c->due_us = due;
	c->in_len = 0;
	push_out(c, ep);
}

/* Length of the answer at the beginning of `in`; 0: not complete. */
static size_t complete(const struct client *c)
{
	const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4), *field;
	size_t head, at;

	if (end == NULL)
		return 0;
	head = (size_t)(end + 4 - c->in);
	field = memmem(c->in, head, "Content-Length: ", 16);
	if (field != NULL) {
		size_t len = strtoul(field + 16, NULL, 10);

		return c->in_len >= head + len ? head + len : 0;
	}
	for (at = head; at < c->in_len;) {   /* chunked */
		const char *eol = memmem(c->in + at, c->in_len - at, "\r\n", 2);
		size_t size;

		if (eol == NULL)
			return 0;
		size = strtoul(c->in + at, NULL, 16);
		at = (size_t)(eol + 2 - c->in) + size + 2;
		if (size == 0)
			return at <= c->in_len ? at : 0;
	}
	return 0;
}

static void count(struct client *c)
{
	int64_t latency = now_us() - c->due_us;

	if (nlatencies < LATENCIES)
		latencies[nlatencies++] = (uint32_t)(latency < UINT32_MAX ? latency : UINT32_MAX);
	if (memcmp(c->in, "HTTP/1.1 200", 12) == 0)
		acked += (uint64_t)items;
	else if (errors++ == 0)
		fprintf(stderr, "load: first error: %.*s\n", (int)(c->in_len < 600 ? c->in_len : 600), c->in);
	c->busy = false;
}

static void on_input(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - 1 - c->in_len, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		errno = n == 0 ? ECONNRESET : errno;
		die("connection closed by the server");
	}
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	if (complete(c) > 0)
		count(c);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double quantile(double q)
{
	return nlatencies > 0 ? (double)latencies[(size_t)(q * (double)(nlatencies - 1))] / 1000 : 0;
}

/* Sleeps until something happens or a request is due: a spinning client would take a core from the server. */
static int wait_events(int ep, struct epoll_event events[256], int64_t us)
{
	struct timespec ts = { .tv_sec = us > 0 ? us / 1000000 : 0, .tv_nsec = us > 0 ? us % 1000000 * 1000 : 0 };

	return epoll_pwait2(ep, events, 256, &ts, NULL);
}

static void run(const struct sockaddr_in *to)
{
	struct client *clients = calloc((size_t)nconns, sizeof(*clients));
	struct epoll_event events[256];
	int ep = epoll_create1(0);
	int64_t begin, end, due_next;
	uint64_t sent = 0;
	bool left = true;

	for (int i = 0; i < nconns; i++)
		connect_client(&clients[i], to, ep);
	begin = due_next = now_us();
	end = begin + (int64_t)(seconds * 1e6);
	while (left) {
		int64_t now = now_us();
		bool idle = false;
		int n;

		left = now < end;
		for (int i = 0; i < nconns; i++) {
			struct client *c = &clients[i];

			if (!c->busy && now < end && (rate == 0 || due_next <= now)) {
				start(c, ep, rate == 0 ? now : due_next);
				if (rate > 0)
					due_next = begin + (int64_t)((double)++sent * 1e6 / rate);
			}
			left |= c->busy;
			idle |= !c->busy;
		}
		n = wait_events(ep, events, rate > 0 && now < end && idle ? due_next - now_us() : 100000);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				push_out(c, ep);
			if (events[i].events & (EPOLLIN | EPOLLHUP))
				on_input(c);
		}
	}
	seconds = (double)(now_us() - begin) / 1e6;
}

static int usage(void)
{
	fprintf(stderr, "usage: load HOST:PORT health|predict|batch:N|ndjson:N|lookup [-c N] [-t S] [-r RATE] [-k KEY] [-s SEED] "
	                "[-n KNOWN]\n");
	return 2;
}

static bool read_kind(const char *text)
{
	if (strcmp(text, "health") == 0)
		kind = HEALTH;
	else if (strcmp(text, "predict") == 0)
		kind = PREDICT;
	else if (strcmp(text, "lookup") == 0)
		kind = LOOKUP;
	else if (sscanf(text, "batch:%d", &items) == 1)
		kind = BATCH;
	else if (sscanf(text, "ndjson:%d", &items) == 1)
		kind = NDJSON;
	else
		return false;
	return items >= 1 && items <= 2000;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char *colon;
	int opt;

	if (argc < 3 || (colon = strrchr(argv[1], ':')) == NULL || !read_kind(argv[2]))
		return usage();
	*colon = '\0';
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	optind = 3;
	while ((opt = getopt(argc, argv, "c:t:r:k:s:n:")) != -1) {
		switch (opt) {
		case 'c': nconns = atoi(optarg); break;
		case 't': seconds = atof(optarg); break;
		case 'r': rate = atof(optarg); break;
		case 'k': key = optarg; break;
		case 's': seed = strtoull(optarg, NULL, 10); break;
		case 'n': known = strtoull(optarg, NULL, 10); break;
		default: return usage();
		}
	}
	latencies = malloc(LATENCIES * sizeof(*latencies));
	run(&to);
	qsort(latencies, nlatencies, sizeof(*latencies), by_size);
	printf("requests/s=%.0f items/s=%.0f p50_ms=%.2f p99_ms=%.2f acked=%lu errors=%lu\n",
	       (double)nlatencies / seconds, (double)nlatencies * items / seconds, quantile(0.5), quantile(0.99), acked,
	       errors);
	return errors > 0;
}
