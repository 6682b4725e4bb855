/* cmd_ingest.c - chainwatch ingest FILE...: sends records to the engine in long requests, shows what became of them.
 *
 * The engine takes the lines of a request in order, several parts at a time; requests follow one another, the next one is
 * read while one is under way. So records are judged in the order of the file. What could not be stored for a passing
 * reason is sent again before anything else. Known hashes are answered as duplicates, so an interrupted ingest is resumed
 * by running it again. */
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
#include "source/fill.h"
#include "source/join.h"

#define BATCH_BYTES (16u << 20)
#define DRIVE_EVERY 256             /* records read, then the request that is under way gets its turn */
#define RETRY_MAX 60                /* refused batches are sent again, about a minute in all */
#define ERRORS_SHOWN 20

struct batch {
	struct cw_buf body;
	struct cw_buf lines;            /* uint64_t line numbers of the records */
	int count, tries, again;        /* again: records that are to be sent once more, at the front after an answer */
};

struct ingest {
	struct cw_cli cli;
	struct cw_client *client;
	struct cw_records *records;
	struct cw_join *join;           /* NULL: transactions alone */
	struct cw_fill *fill;           /* NULL: records are sent as they are */
	const char *path, *receipts, *logs;
	long long batch_size;
	bool quiet, failed, partial;    /* partial: something is missing that could be filled in */
	struct batch batches[2];
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

static bool can_be_filled(const struct cw_json *pointer, const struct cw_json *what)
{
	static const char *const names[] = { "/timestamp", "/gas", "/gasPrice", "/nonce" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(pointer->text, names[i]) == 0)
			return strcmp(what->text, "is required") == 0;
	return false;
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

			if (pointer != NULL && what != NULL)
				in->partial = in->partial || can_be_filled(pointer, what);
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

/* Says that it may work later: not the fault of the record. */
static bool is_passing(const struct cw_json *answer)
{
	const struct cw_json *status = cw_json_get(answer, "status");
	int64_t n;

	return status != NULL && cw_json_to_i64(status, &n) && (n == 503 || n == 507 || n == 429);
}

/* Moves record `n` of the batch to the front, behind those that are there already. */
static void keep_record(struct batch *b, const char *record, size_t len, int n)
{
	uint64_t *lines = (void *)b->lines.data;

	memmove(b->body.data + b->body.len, record, len);
	b->body.len += len;
	lines[b->again++] = lines[n];
}

/* Counts what was answered; records that have to be sent again stay in the batch. */
static int read_answers(struct ingest *in, struct batch *b, const struct cw_buf *reply)
{
	const uint64_t *lines = (const void *)b->lines.data;
	const char *p = reply->data, *record = b->body.data, *stop = record + b->body.len;
	struct cw_json_error error;
	int n = 0;

	b->body.len = 0;
	b->again = 0;
	for (; *p != '\0' && n < b->count; n++) {
		const char *eol = strchrnul(p, '\n'), *end = memchr(record, '\n', (size_t)(stop - record));
		const struct cw_json *answer = cw_json_parse(p, (size_t)(eol - p), CW_JSON_DEPTH_DEFAULT, in->arena, &error);

		if (answer == NULL || end == NULL)
			break;
		if (b->tries < RETRY_MAX && is_passing(answer)) {
			keep_record(b, record, (size_t)(end + 1 - record), n);
		} else {
			count_answer(in, lines[n], answer);
			in->total++;
		}
		cw_arena_clear(in->arena);
		record = end + 1;
		p = *eol != '\0' ? eol + 1 : eol;
	}
	if (n != b->count) {
		fprintf(stderr, "chainwatch ingest: %d answers came for %d transactions\n", n, b->count);
		return -1;
	}
	b->body.data[b->body.len] = '\0';
	b->count = b->again;
	return 0;
}

static void send_batch(struct ingest *in, struct batch *b)
{
	cw_client_start(in->client, "POST", "/api/v1/predict/batch", "application/x-ndjson", b->body.data, b->body.len);
}

/* Waits for the answer; sends again what was refused for a passing reason. */
static int collect(struct ingest *in, struct batch *b)
{
	for (;;) {
		const struct cw_buf *reply;
		struct cw_err err;
		int status;

		if (cw_client_wait(in->client, &status, &reply, &err) < 0)
			return -1;
		if (status == 200) {
			if (read_answers(in, b, reply) != 0)
				return -1;
			if (b->count == 0)
				return 0;
		} else if (status == 0 && b->tries == RETRY_MAX) {
			return cw_cli_fail(&in->cli, &err), -1;
		} else if ((status != 0 && status != 503 && status != 507 && status != 429) || b->tries == RETRY_MAX) {
			fprintf(stderr, "chainwatch ingest: the engine answered %d: %.400s\n", status, reply->data);
			return -1;
		}
		b->tries++;
		usleep(status == 0 ? 1000000 : 500000);
		send_batch(in, b);
	}
}

static int next_record(struct ingest *in, struct cw_buf *record, uint64_t *line, struct cw_err *err)
{
	int rc;

	if (in->join != NULL) {
		rc = cw_join_next(in->join, record, err);
		*line = cw_join_line(in->join);
	} else {
		rc = cw_records_next(in->records, record, err);
		*line = cw_records_line(in->records);
	}
	return rc;
}

/* Fills one batch; false at the end of the file. */
static bool fill_batch(struct ingest *in, struct batch *b)
{
	struct cw_buf record = CW_BUF_INIT;
	struct cw_err err;
	uint64_t line = 0, before;
	int rc = 1;

	cw_buf_clear(&b->body);
	cw_buf_clear(&b->lines);
	b->count = b->tries = 0;
	while (b->count < in->batch_size && b->body.len < BATCH_BYTES) {
		before = line;
		rc = next_record(in, &record, &line, &err);
		if (rc == 0)
			break;
		if (rc < 0) {
			in->refused++;
			fprintf(stderr, "%s\n", err.msg);
			if (line == before || (in->join != NULL && cw_join_failed(in->join))) {
				in->failed = true;
				break;
			}
			continue;
		}
		if (in->fill != NULL)
			cw_fill_record(in->fill, &record);
		cw_buf_add(&b->body, record.data, record.len);
		cw_buf_putc(&b->body, '\n');
		cw_buf_add(&b->lines, &line, sizeof(line));
		if (++b->count % DRIVE_EVERY == 0)
			cw_client_drive(in->client);
	}
	cw_buf_release(&record);
	return rc > 0;
}

static int run(struct ingest *in)
{
	struct batch *now = &in->batches[0], *next = &in->batches[1], *swap;
	bool more = fill_batch(in, now);

	while (now->count > 0) {
		send_batch(in, now);
		next->count = 0;
		if (more)
			more = fill_batch(in, next);
		if (collect(in, now) != 0)
			return -1;
		show_progress(in, false);
		swap = now;
		now = next;
		next = swap;
	}
	show_progress(in, true);
	return in->failed ? -1 : 0;
}

/* Receipts and logs that were not used, and transactions without: worth a word, no failure. */
static void show_join(const struct ingest *in)
{
	struct cw_join_stats stats = cw_join_stats(in->join);

	if (stats.bare > 0)
		fprintf(stderr, "%s: %llu transactions have no receipt in %s\n", in->path, (unsigned long long)stats.bare, in->receipts);
	if (stats.lost_receipts > 0)
		fprintf(stderr, "%s: %llu receipts are of no transaction in %s\n", in->receipts,
		        (unsigned long long)stats.lost_receipts, in->path);
	if (stats.lost_logs > 0)
		fprintf(stderr, "%s: %llu logs are of no transaction in %s\n", in->logs, (unsigned long long)stats.lost_logs, in->path);
}

/* What was made up, or that it could be. */
static void show_fill(const struct ingest *in)
{
	struct cw_buf text = CW_BUF_INIT;

	if (in->fill != NULL)
		cw_fill_tell(in->fill, &text);
	else if (in->partial)
		cw_buf_puts(&text, "records lack what every node gives; with --fill it is worked out from the rest");
	if (text.len > 0)
		fprintf(stderr, "chainwatch ingest: %s\n", text.data);
	cw_buf_release(&text);
}

static int ingest_file(struct ingest *in, const char *path)
{
	struct cw_err err;
	int rc;

	in->path = path;
	in->records = cw_records_open(path, &err);
	if (in->records == NULL)
		return cw_cli_fail(&in->cli, &err);
	if (in->receipts != NULL || in->logs != NULL) {
		in->join = cw_join_new(in->records, path, in->receipts, in->logs, &err);
		if (in->join == NULL) {
			cw_records_close(&in->records);
			return cw_cli_fail(&in->cli, &err);
		}
	}
	rc = run(in);
	if (in->join != NULL && rc == 0)
		show_join(in);
	cw_join_free(&in->join);
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
		{ "batch", required_argument, NULL, 256 },    { "receipts", required_argument, NULL, 257 },
		{ "logs", required_argument, NULL, 258 },     { "fill", no_argument, NULL, 259 },
		{ "quiet", no_argument, NULL, 'q' },          { NULL, 0, NULL, 0 },
	};
	static struct ingest in = {
		.cli = { .verb = "ingest",
		         .usage = "ingest [options] FILE...\n\n"
		                  "Sends transactions to the engine (starts one where none runs). FILE is NDJSON or CSV with a\n"
		                  "header, plain or gzip; - is standard input. Known transactions are skipped, so an interrupted\n"
		                  "run is resumed by running it again. They are judged in the order of the file. Exit 1 if a\n"
		                  "record was refused.\n\n"
		                  "      --receipts FILE      their receipts, as ethereum-etl writes them\n"
		                  "      --logs FILE          their logs; both files, and FILE, in the order of the chain: by block,\n"
		                  "                           transaction, log\n"
		                  "      --fill               complete partial records, as of data sets: time by block number (mainnet), gas\n"
		                  "                           limit by gas used, price 0, nonces counted; says what it filled in\n"
		                  "      --batch N            transactions in a request, 1 to 100000 (default 10000)\n"
		                  "  -q, --quiet              no progress bar\n" },
		.batch_size = 10000,
	};
	struct cw_config *config;
	struct cw_err err;
	bool fill = false;
	int opt, rc = 0;

	while ((opt = cw_cli_next(&in.cli, argc, argv, own)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 'q')
			in.quiet = true;
		else if (opt == 257)
			in.receipts = optarg;
		else if (opt == 258)
			in.logs = optarg;
		else if (opt == 259)
			fill = true;
		else if (!cw_cli_number(&in.cli, "--batch", optarg, 1, 100000, &in.batch_size))
			return 2;
	}
	if (in.cli.help)
		return cw_cli_help(&in.cli);
	if (optind == argc)
		return cw_cli_usage_error(&in.cli, "no file given (- is standard input)");
	if ((in.receipts != NULL || in.logs != NULL) && argc - optind > 1)
		return cw_cli_usage_error(&in.cli, "receipts and logs go with one file of transactions");
	config = cw_cli_config(&in.cli);
	if (config == NULL)
		return 2;
	in.client = cw_client_open(config, true, &err);
	if (in.client == NULL) {
		cw_config_free(&config);
		return cw_cli_fail(&in.cli, &err);
	}
	in.fill = fill ? cw_fill_new((uint64_t)config->chain_id) : NULL;
	for (int i = 0; i < 2; i++) {
		cw_buf_init(&in.batches[i].body);
		cw_buf_init(&in.batches[i].lines);
	}
	in.arena = cw_arena_new();
	in.start_us = cw_clock_mono_us();
	for (int i = optind; i < argc && rc == 0; i++)
		rc = ingest_file(&in, argv[i]);
	show_fill(&in);
	summary(&in);
	cw_fill_free(&in.fill);
	for (int i = 0; i < 2; i++) {
		cw_buf_release(&in.batches[i].body);
		cw_buf_release(&in.batches[i].lines);
	}
	cw_arena_free(&in.arena);
	cw_client_close(&in.client);
	cw_config_free(&config);
	return rc != 0 ? rc : in.refused > 0;
}
