/* cmd_rules_backtest.c - chainwatch rules backtest: what rules would have found in stored history or in files. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/backtest.h"
#include "app/bundle.h"
#include "app/cmd_rules.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "loop/loop.h"

#define LABELS_MAX (64u << 20)

struct wanted {
	struct cw_operands rules;
	char *files[CW_OPERANDS_MAX];
	int nfiles;
	int64_t from_us, to_us, warm_us;
	const char *out, *labels, *state_dir, *rule;
	bool resume, quiet;
};

struct run {
	struct cw_backtest *backtest;
	struct cw_timer *timer;
	struct cw_err err;
	bool done, failed, bar;
	int64_t started_us;
};

bool cw_rules_time(const struct cw_cli *cli, const char *option, const char *text, int64_t *us)
{
	char day[40];
	char *end;
	long long seconds = strtoll(text, &end, 10);

	if (end != text && *end == '\0' && seconds >= 0 && seconds < 253402300800) {
		*us = seconds * 1000000;
		return true;
	}
	snprintf(day, sizeof(day), "%.20sT00:00:00Z", text);
	if (cw_time_parse(text, us) == 0 || (strlen(text) == 10 && cw_time_parse(day, us) == 0))
		return true;
	cw_cli_usage_error(cli, "%s takes a time like 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970, not \"%s\"", option,
	                   text);
	return false;
}

static void on_done(void *arg, const struct cw_err *err)
{
	struct run *r = arg;

	r->done = true;
	r->failed = err != NULL;
	if (err != NULL)
		r->err = *err;
}

static void show(void *arg)
{
	struct run *r = arg;
	double share = cw_backtest_progress(r->backtest);
	double seconds = (double)(cw_clock_mono_us() - r->started_us) / 1e6;
	char bar[31];

	memset(bar, '.', 30);
	bar[30] = '\0';
	memset(bar, '#', (size_t)(30 * (share < 0 ? 0 : share > 1 ? 1 : share)));
	fprintf(stderr, "\r[%s] %3.0f %%  %" PRIu64 " transactions  %.0f/s  %" PRIu64 " alerts  ", bar, share < 0 ? 0 : 100 * share,
	        cw_backtest_transactions(r->backtest), (double)cw_backtest_transactions(r->backtest) / seconds,
	        cw_backtest_alerts(r->backtest));
	cw_timer_set(r->timer, 200);
}

static int report(const struct cw_cli *cli, struct run *r, const struct cw_rules_bench *bench, const struct wanted *w)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err;
	int rc = 0;

	if (r->bar)
		fprintf(stderr, "\r\033[K");
	if (r->failed) {
		rc = cw_cli_fail(cli, &r->err);
	} else if (!r->done && bench->interrupted) {
		rc = 130;
		if (cw_backtest_save(r->backtest, &err) == 0)
			fprintf(stderr, "interrupted after %" PRIu64 " transactions; the same command with --resume goes on\n",
			        cw_backtest_transactions(r->backtest));
		else
			fprintf(stderr, "interrupted; %s\n", err.msg);
	} else {
		if (cli->json)
			cw_backtest_put_json(r->backtest, &out);
		else
			cw_backtest_put_text(r->backtest, &out);
		printf("%s%s", out.data, cli->json ? "\n" : "");
		cw_backtest_forget(r->backtest);
		if (cw_backtest_transactions(r->backtest) == 0) {
			fprintf(stderr, "chainwatch rules backtest: no transaction was judged\n");
			rc = 1;
		}
		if (w->out != NULL && !cli->json)
			printf("the alerts are in %s\n", w->out);
	}
	cw_buf_release(&out);
	return rc;
}

static int backtest(const struct cw_cli *cli, const struct cw_config *config, const struct wanted *w,
                    struct cw_zygote *zygote)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle bundle = { .params_json = "{}" };
	struct run r = { .started_us = cw_clock_mono_us(), .bar = isatty(2) && !w->quiet };
	struct cw_rules_bench bench;
	const char *labels = NULL;
	char dir[560];
	struct cw_err err = { .code = CW_OK };
	size_t len;
	int rc;

	snprintf(dir, sizeof(dir), "%.500s/backtest", config->data_dir);
	rc = cw_rules_read(config, &w->rules, &bundle, arena, &err);
	if (rc == 0 && w->labels != NULL && (labels = cw_file_read(w->labels, LABELS_MAX, &len, arena, &err)) == NULL)
		rc = -1;
	if (rc != 0) {
		cw_arena_free(&arena);
		cw_cli_fail(cli, &err);
		return 2;
	}
	rc = cw_rules_bench_open(&bench, cli, config, w->nfiles == 0);
	if (rc == 0 && cw_rules_bench_lists(&bench, &bundle, arena, &err) != 0) {
		rc = cw_cli_fail(cli, &err);
		cw_rules_bench_close(&bench);
	}
	if (rc == 0) {
		const struct cw_backtest_conf conf = {
			.loop = bench.loop, .zygote = zygote, .config = config, .bundle = &bundle, .run_tests = false,
			.pool = bench.pool, .files = w->files, .nfiles = w->nfiles, .from_us = w->from_us, .to_us = w->to_us,
			.warm_us = w->warm_us, .labels = labels, .alerts = w->out,
			.state_dir = w->state_dir != NULL ? w->state_dir : access(config->data_dir, W_OK) == 0 ? dir : NULL,
			.resume = w->resume,
		};

		r.backtest = cw_backtest_new(&conf, on_done, &r, &err);
		if (r.backtest != NULL && r.bar) {
			r.timer = cw_timer_new(bench.loop, show, &r);
			cw_timer_set(r.timer, 300);
		}
		while (r.backtest != NULL && !r.done && !bench.interrupted)
			cw_loop_run_once(bench.loop);
		rc = r.backtest != NULL ? report(cli, &r, &bench, w) : cw_cli_fail(cli, &err);
		cw_timer_free(&r.timer);
		cw_backtest_free(&r.backtest);
		cw_rules_bench_close(&bench);
	}
	cw_arena_free(&arena);
	return rc;
}

static bool read_option(struct cw_cli *cli, struct wanted *w, int opt)
{
	switch (opt) {
	case 256: return cw_rules_time(cli, "--from", optarg, &w->from_us);
	case 257: return cw_rules_time(cli, "--to", optarg, &w->to_us);
	case 258:
		if (w->nfiles == CW_OPERANDS_MAX) {
			cw_cli_usage_error(cli, "more than %d files", CW_OPERANDS_MAX);
			return false;
		}
		w->files[w->nfiles++] = optarg;
		return true;
	case 259:
		if (w->rules.n == CW_OPERANDS_MAX) {
			cw_cli_usage_error(cli, "more than %d files", CW_OPERANDS_MAX);
			return false;
		}
		w->rules.list[w->rules.n++] = optarg;
		return true;
	case 260: w->out = optarg; return true;
	case 261:
		if (cw_backtest_warm(optarg, &w->warm_us))
			return true;
		cw_cli_usage_error(cli, "--warm takes a duration like 7d, 0 or all, not \"%s\"", optarg);
		return false;
	case 262: w->labels = optarg; return true;
	case 263: w->state_dir = optarg; return true;
	case 264: w->resume = true; return true;
	default: w->quiet = true; return true;
	}
}

int cw_rules_backtest(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "from", required_argument, NULL, 256 }, { "to", required_argument, NULL, 257 },
		{ "file", required_argument, NULL, 258 }, { "rules", required_argument, NULL, 259 },
		{ "out", required_argument, NULL, 260 }, { "warm", required_argument, NULL, 261 },
		{ "labels", required_argument, NULL, 262 }, { "state", required_argument, NULL, 263 },
		{ "resume", no_argument, NULL, 264 }, { "quiet", no_argument, NULL, 'q' }, { NULL, 0, NULL, 0 },
	};
	static struct wanted w;
	struct cw_cli cli = {
		.verb = "rules backtest",
		.usage = "rules backtest [options] [FILE|FOLDER...]\n\n"
		         "What rules would have found, judged by the code of live traffic in a process aside; nothing is changed.\n"
		         "FILE and FOLDER are rules (default: those of the settings). The transactions are the stored history, or\n"
		         "those of --file. Reports alerts over time, by severity and entity, precision against reviews and labels,\n"
		         "and what it costs.\n\n"
		         "      --from T, --to T     block times, from <= t < to: 2026-01-31, RFC 3339, or seconds\n"
		         "      --file F             transactions from a file (NDJSON or CSV, gzip; may be repeated); partial\n"
		         "                           records are completed as by `ingest --fill`\n"
		         "      --rules FILE|FOLDER  the same as an operand\n"
		         "      --warm SPAN          history before --from that warms the rules up: 7d, 0, all (default)\n"
		         "      --labels CSV         addresses (first column) that alerts should touch (default: table labels)\n"
		         "      --out FILE           every fire as a line of JSON\n"
		         "      --resume             go on with the run that was interrupted (Ctrl-C keeps it)\n"
		         "      --state FOLDER       where it is kept (default: DATA_DIR/backtest)\n"
		         "  -q, --quiet              no progress bar\n",
	};
	struct cw_config *config;
	int opt, rc;

	memset(&w, 0, sizeof(w));
	w.from_us = INT64_MIN;
	w.to_us = INT64_MAX;
	w.warm_us = -1;
	while ((opt = cw_rules_next(&cli, argc, argv, own, &w.rules)) != -1)
		if (opt == '?' || !read_option(&cli, &w, opt))
			return 2;
	if (cli.help)
		return cw_cli_help(&cli);
	if (w.from_us >= w.to_us)
		return cw_cli_usage_error(&cli, "--from must be before --to");
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = backtest(&cli, config, &w, zygote);
	cw_config_free(&config);
	return rc;
}
