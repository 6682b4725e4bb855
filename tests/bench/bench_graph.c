/* The graph of transfers: add on 100,000 addresses, questions on that graph, and hubs at their worst. Processor time of
 * this thread, medians of 3 runs; "bench_graph quick" makes one. */
#include <time.h>

#include "detect/graph.h"
#include "detect/keyed.h"
#include "detect/lists.h"
#include "support/detect_env.h"

#define ADDRESSES 100000u
#define TRANSFERS 500000u
#define ASKED     5000u
#define RUNS      3
#define T0        1700000000ll

static struct cw_state *st;
static struct cw_tx *stream;
static int runs = RUNS;

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *x, int n)
{
	qsort(x, (size_t)n, sizeof(*x), by_value);
	return x[n / 2];
}

/* Arena and handle without Check around them. */
static struct env_handle open_graph(const char *options)
{
	const struct cw_state_conf conf = { .max_bytes = 1u << 30, .journal_bytes = 64u << 20 };
	struct env_handle e = { .p = cw_primitive_find("graph", "transfers") };
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_err err = { 0 };
	uint8_t digest[16] = { 1 };
	char text[256];

	st = cw_state_new(&conf, &err);
	snprintf(text, sizeof(text), "%s", options);
	if (st != NULL && env_read(e.p, text, vals, &err) == 0) {
		e.root = cw_state_root_open(st, "bench/graph", digest);
		e.h = e.p->open(st, e.root, vals, &err);
	}
	if (e.h == NULL) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	return e;
}

/* Heavy-tailed as chains are: some addresses are met all the time, most hardly ever. */
static uint64_t draw(uint64_t *rng, bool skewed)
{
	double u = env_uniform(rng);

	return (uint64_t)((skewed ? u * u * u * u : u) * ADDRESSES);
}

static void make_stream(bool skewed)
{
	uint64_t rng = 42;

	for (size_t i = 0; i < TRANSFERS; i++) {
		stream[i] = env_tx(draw(&rng, skewed), draw(&rng, skewed), T0 + (int64_t)i / 15, 1 + env_below(&rng, 1000000000));
		stream[i].hash.b[0] = (uint8_t)i;
		stream[i].hash.b[1] = (uint8_t)(i >> 8);
		stream[i].hash.b[2] = (uint8_t)(i >> 16);
	}
}

/* Every 1,000th address is labelled. */
static void make_labels(void)
{
	struct cw_lists *lists = cw_lists_new();
	struct cw_err err = { 0 };

	for (uint64_t i = 500; i < ADDRESSES; i += 1000) {
		struct cw_list_entry e = { .address = env_address(i), .category = "mixer", .confidence = 1 };

		cw_lists_add(lists, "bench", &e, &err);
	}
	cw_lists_seal(lists);
	cw_lists_use(lists);
}

static double fill(const struct env_handle *e)
{
	const struct cw_method *add = env_method(e, "add");
	double start = cpu_ns();

	for (size_t i = 0; i < TRANSFERS; i++) {
		if (i + 8 < TRANSFERS)
			e->p->prefetch(e->h, &stream[i + 8], 0);
		if (i + 4 < TRANSFERS)
			e->p->prefetch(e->h, &stream[i + 4], 1);
		add->fn(e->h, &stream[i], NAN, NAN);
		if (i % 200 == 199)
			cw_state_mark(st, i, 0);
	}
	return (cpu_ns() - start) / TRANSFERS;
}

static void ask(const struct env_handle *e, const char *name, bool walks)
{
	const struct cw_method *m = env_method(e, name);
	double each[RUNS], worst = 0, work = 0;
	uint32_t cut = 0;

	for (int run = 0; run < runs; run++) {
		double start = cpu_ns(), before = start;

		for (uint32_t i = 0; i < ASKED; i++) {
			double got = m->fn(e->h, &stream[TRANSFERS - 1 - i * 7], m->a == CW_ARG_FIELD ? CW_FIELD_FROM : NAN, NAN);

			work += cw_graph_work_done(e->h);
			cut += isnan(got) && cw_graph_work_done(e->h) > 0;
			if (i % 100 == 99) {
				double now = cpu_ns();

				worst = now - before > worst ? now - before : worst;
				before = now;
			}
		}
		each[run] = (cpu_ns() - start) / ASKED;
	}
	printf("  %-14s %9.3f us each, slowest hundred %8.2f us each", name, median(each, runs) / 1e3, worst / 1e5);
	if (walks)
		printf(", %6.0f edges, %5.1f %% gave up", work / (double)runs / ASKED, 100.0 * cut / (double)runs / ASKED);
	printf("\n");
}

static void bench(const char *title, bool skewed, const char *options)
{
	static const char *const methods[] = { "taint", "fan_in", "hops", "hops_out", "cycle", "peel", "common_funder" };
	double each[RUNS];
	struct env_handle e = { 0 };

	make_stream(skewed);
	for (int run = 0; run < runs; run++) {
		if (st != NULL) {
			env_close(&e);
			cw_state_close(&st);
		}
		e = open_graph(options);
		each[run] = fill(&e);
	}
	printf("%s: %s\n  %-14s %9.3f us each, %.0f bytes an address\n", title, options, "add", median(each, runs) / 1e3,
	       (double)cw_state_account(st, e.root->owner).bytes / (double)cw_state_account(st, e.root->owner).keys);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		ask(&e, methods[i], i >= 2);
	env_close(&e);
	cw_state_close(&st);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "quick") == 0)
		runs = 1;
	stream = malloc(TRANSFERS * sizeof(*stream));
	make_labels();
	bench("random graph", false, "labels=mixer");
	bench("heavy tails", true, "labels=mixer");
	bench("heavy tails, first in first out", true, "labels=mixer;method=fifo");
	bench("heavy tails, long lists", true, "labels=mixer;edges=1024;work=100000");
	free(stream);
	return 0;
}
