/* cmd_ingest.c - chainwatch ingest FILE...: sends records to the engine in batches, shows what became of them.
 *
 * Known hashes are answered as duplicates, so an interrupted ingest is resumed by running it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/client.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "source/file.h"

#define BATCH_BYTES (2u << 20)
#define RETRY_MAX 60                /* refused batches are sent again, about a minute in all */
#define ERRORS_SHOWN 20

struct batch {
	struct cw_buf body;
	struct cw_buf lines;            /* uint64_t line numbers of the records */
	int count, tries;
};

struct ingest {
	struct cw_cli cli;
	struct cw_client *client;
	struct cw_records *records;
	const char *path;
	long long batch_size;
	bool quiet, failed;
	struct batch batches[CW_CLIENT_SLOTS];
	uint64_t total, fresh, duplicates, anomalies, refused;
	int64_t start_us, shown_us;
	struct cw_arena *arena;
};

static void show_progress(struct ingest *in, bool end)
{
	int64_t now = cw_clock_mono_us();
	double seconds = (double)(now - in->start_us) / 1e6, share = cw_records_progress(in->records);
	double rate = seconds > 0 ? (double)in->total / seconds : 0;
	char bar[31];

	if (in->quiet || !isatty(2) || (!end && now - in->shown_us < 100000))
		return;
	in->shown_us = now;
	if (end)
		share = 1;
	memset(bar, '.', 30);
	bar[30] = '\0';
	memset(bar, '#', (size_t)(30 * (share < 0 ? 0 : share > 1 ? 1 : share)));
	fprintf(stderr, "\r%s [%s] %3.0f %%  %llu transactions  %.0f/s  %llu anomalous%s", in->path, bar,
	        share < 0 ? 0 : 100 * share, (unsigned long long)in->total, rate, (unsigned long long)in->anomalies,
	        end ? "\n" : "");
}

static void show_refusal(struct ingest *in, uint64_t line, const char *what)
{
	in->refused++;
	if (in->refused <= ERRORS_SHOWN)
		fprintf(stderr, "%s%s:%llu: %s\n", isatty(2) && !in->quiet ? "\r\033[K" : "", in->path,
		        (unsigned long long)line, what);
	if (in->refused == ERRORS_SHOWN + 1)
		fprintf(stderr, "%s: further refusals are counted only\n", in->path);
}

/* One line of the answer: a verdict, or a problem document. */
static void count_answer(struct ingest *in, uint64_t line, const struct cw_json *answer)
{
	const struct cw_json *detail = cw_json_get(answer, "detail"), *errors = cw_json_get(answer, "errors");
	const struct cw_json *status = cw_json_get(answer, "status"), *flag = cw_json_get(answer, "duplicate");
	char text[512];
	int n;

	if (status != NULL && detail != NULL) {
		n = snprintf(text, sizeof(text), "%s", detail->text);
		for (const struct cw_json *e = errors != NULL ? errors->first : NULL; e != NULL; e = e->next) {
			const struct cw_json *pointer = cw_json_get(e, "pointer"), *what = cw_json_get(e, "detail");

			if (pointer != NULL && what != NULL && n < (int)sizeof(text))
				n += snprintf(text + n, sizeof(text) - (size_t)n, "; %s %s", pointer->text, what->text);
		}
		show_refusal(in, line, text);
		return;
	}
	if (flag != NULL && flag->type == CW_JSON_TRUE) {
		in->duplicates++;
		return;
	}
	in->fresh++;
	flag = cw_json_get(answer, "is_anomaly");
	in->anomalies += flag != NULL && flag->type == CW_JSON_TRUE;
}

static int read_answers(struct ingest *in, const struct batch *b, const struct cw_buf *reply)
{
	const uint64_t *lines = (const void *)b->lines.data;
	const char *p = reply->data;
	struct cw_json_error error;
	int n = 0;

	for (; *p != '\0' && n < b->count; n++) {
		const char *eol = strchrnul(p, '\n');
		const struct cw_json *answer = cw_json_parse(p, (size_t)(eol - p), CW_JSON_DEPTH_DEFAULT, in->arena, &error);

		if (answer == NULL)
			break;
		count_answer(in, lines[n], answer);
		cw_arena_clear(in->arena);
		p = *eol != '\0' ? eol + 1 : eol;
	}
	in->total += (uint64_t)n;
	if (n == b->count)
		return 0;
	fprintf(stderr, "chainwatch ingest: %d answers came for %d transactions\n", n, b->count);
	return -1;
}

static void send_batch(struct ingest *in, int slot)
{
	struct batch *b = &in->batches[slot];

	cw_client_start(in->client, "POST", "/api/v1/predict/batch", "application/x-ndjson", b->body.data, b->body.len);
}

/* Waits for one answer; sends a refused batch again. Returns the slot that is free now, or -1. */
static int collect(struct ingest *in)
{
	const struct cw_buf *reply;
	struct cw_err err;
	int status, slot = cw_client_wait(in->client, &status, &reply, &err);
	struct batch *b;

	if (slot < 0)
		return -1;
	b = &in->batches[slot];
	if (status == 200)
		return read_answers(in, b, reply) == 0 ? slot : -1;
	if ((status == 0 || status == 503 || status == 507 || status == 429) && b->tries++ < RETRY_MAX) {
		usleep(status == 0 ? 1000000 : 500000);
		send_batch(in, slot);
		return collect(in);
	}
	if (status == 0)
		cw_cli_fail(&in->cli, &err);
	else
		fprintf(stderr, "chainwatch ingest: the engine answered %d: %.400s\n", status, reply->data);
	return -1;
}

/* Fills one batch; false at the end of the file. */
static bool fill_batch(struct ingest *in, struct batch *b)
{
	struct cw_buf record = CW_BUF_INIT;
	struct cw_err err;
	int rc = 1;

	cw_buf_clear(&b->body);
	cw_buf_clear(&b->lines);
	b->count = b->tries = 0;
	while (b->count < in->batch_size && b->body.len < BATCH_BYTES) {
		uint64_t line, before = cw_records_line(in->records);

		rc = cw_records_next(in->records, &record, &err);
		if (rc == 0)
			break;
		line = cw_records_line(in->records);
		if (rc < 0) {
			in->refused++;
			fprintf(stderr, "%s\n", err.msg);
			if (line == before) {
				in->failed = true;
				break;
			}
			continue;
		}
		cw_buf_add(&b->body, record.data, record.len);
		cw_buf_putc(&b->body, '\n');
		cw_buf_add(&b->lines, &line, sizeof(line));
		b->count++;
	}
	cw_buf_release(&record);
	return rc > 0;
}

static int run(struct ingest *in)
{
	bool more = true;
	int slot = 0, started = 0;

	while (more) {
		/* Slots are taken one after another at first, later as they come free. */
		slot = started < CW_CLIENT_SLOTS ? started++ : collect(in);
		if (slot < 0)
			return -1;
		more = fill_batch(in, &in->batches[slot]);
		if (in->batches[slot].count > 0)
			send_batch(in, slot);
		else
			break;
		show_progress(in, false);
	}
	while (cw_client_busy(in->client) > 0)
		if (collect(in) < 0)
			return -1;
	show_progress(in, true);
	return in->failed ? -1 : 0;
}

static int ingest_file(struct ingest *in, const char *path)
{
	struct cw_err err;
	int rc;

	in->path = path;
	in->records = cw_records_open(path, &err);
	if (in->records == NULL)
		return cw_cli_fail(&in->cli, &err);
	rc = run(in);
	cw_records_close(&in->records);
	return rc == 0 ? 0 : 1;
}

static void summary(const struct ingest *in)
{
	double seconds = (double)(cw_clock_mono_us() - in->start_us) / 1e6;

	if (in->cli.json)
		printf("{\"transactions\":%llu,\"new\":%llu,\"duplicates\":%llu,\"anomalous\":%llu,\"refused\":%llu,"
		       "\"seconds\":%.3f}\n",
		       (unsigned long long)in->total, (unsigned long long)in->fresh, (unsigned long long)in->duplicates,
		       (unsigned long long)in->anomalies, (unsigned long long)in->refused, seconds);
	else
		printf("%llu transactions: %llu new (%llu anomalous), %llu known, %llu refused, %.1f s, %.0f/s\n",
		       (unsigned long long)in->total, (unsigned long long)in->fresh, (unsigned long long)in->anomalies,
		       (unsigned long long)in->duplicates, (unsigned long long)in->refused, seconds,
		       seconds > 0 ? (double)in->total / seconds : 0);
}

int cw_cmd_ingest(int argc, char **argv)
{
	static const struct option own[] = {
		{ "batch", required_argument, NULL, 256 }, { "quiet", no_argument, NULL, 'q' }, { NULL, 0, NULL, 0 },
	};
	static struct ingest in = {
		.cli = { .verb = "ingest",
		         .usage = "ingest [options] FILE...\n\n"
		                  "Sends transactions to the engine (starts one where none runs). FILE is NDJSON or CSV with a\n"
		                  "header, plain or gzip; - is standard input. Known transactions are skipped, so an interrupted\n"
		                  "run is resumed by running it again. Exit 1 if a record was refused.\n\n"
		                  "      --batch N            transactions in a request, 1 to 1000 (default 1000)\n"
		                  "  -q, --quiet              no progress bar\n" },
		.batch_size = 1000,
	};
	struct cw_config *config;
	struct cw_err err;
	int opt, rc = 0;

	while ((opt = cw_cli_next(&in.cli, argc, argv, own)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 'q')
			in.quiet = true;
		else if (!cw_cli_number(&in.cli, "--batch", optarg, 1, 1000, &in.batch_size))
			return 2;
	}
	if (in.cli.help)
		return cw_cli_help(&in.cli);
	if (optind == argc)
		return cw_cli_usage_error(&in.cli, "no file given (- is standard input)");
	config = cw_cli_config(&in.cli);
	if (config == NULL)
		return 2;
	in.client = cw_client_open(config, true, &err);
	if (in.client == NULL) {
		cw_config_free(&config);
		return cw_cli_fail(&in.cli, &err);
	}
	for (int i = 0; i < CW_CLIENT_SLOTS; i++) {
		cw_buf_init(&in.batches[i].body);
		cw_buf_init(&in.batches[i].lines);
	}
	in.arena = cw_arena_new();
	in.start_us = cw_clock_mono_us();
	for (int i = optind; i < argc && rc == 0; i++)
		rc = ingest_file(&in, argv[i]);
	summary(&in);
	for (int i = 0; i < CW_CLIENT_SLOTS; i++) {
		cw_buf_release(&in.batches[i].body);
		cw_buf_release(&in.batches[i].lines);
	}
	cw_arena_free(&in.arena);
	cw_client_close(&in.client);
	cw_config_free(&config);
	return rc != 0 ? rc : in.refused > 0;
}
