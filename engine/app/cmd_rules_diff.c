/* cmd_rules_diff.c - chainwatch rules diff: two versions of rules over the same stream. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/backtest.h"
#include "app/cmd_rules.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "loop/loop.h"
#include "pipeline/evaluate.h"

#define FIRES_MAX 2000000          /* kept in memory, some 300 bytes each; beyond it the diff says that it is not whole */
#define TOLD 20
#define ENTITIES_TOLD 1000

struct wanted {
	struct cw_operands rules;
	char *files[CW_OPERANDS_MAX];
	int nfiles;
	int64_t from_us, to_us, warm_us;
	bool quiet;
};

/* A transaction on which one of the two fired: with what, and where it belongs. */
struct fire {
	char hash[CW_HASH_TEXT], rule[65], dedup[CW_VERDICT_DEDUP_MAX + 1];
	bool in[2], founds[2];
	enum cw_severity severity[2];
	double score[2];
};

struct side {
	struct cw_backtest *backtest;
	bool done;
	struct cw_err err;
	uint64_t fires, alerts;
	double ns;                         /* of all its rules, a transaction */
};

struct diff {
	struct side sides[2];
	int at;                            /* the side that runs */
	struct cw_map *fires;
	uint64_t lost;
};

static void on_done(void *arg, const struct cw_err *err)
{
	struct side *s = arg;

	s->done = true;
	s->err = (struct cw_err){ .code = CW_OK };
	if (err != NULL)
		s->err = *err;
}

static void on_fire(void *arg, const struct cw_backtest_fire *f)
{
	struct diff *d = arg;
	char key[CW_HASH_TEXT + 70], hash[CW_HASH_TEXT];
	int n = snprintf(key, sizeof(key), "%s %s", cw_hash_format(&f->tx->hash, hash), f->rule);
	struct fire *fire = cw_map_get(d->fires, key, (size_t)n);
	bool founds = f->alert->founder == f->tx->seq;

	d->sides[d->at].fires++;
	d->sides[d->at].alerts += founds;
	if (fire == NULL && cw_map_count(d->fires) >= FIRES_MAX) {
		d->lost++;
		return;
	}
	if (fire == NULL) {
		fire = cw_zalloc(sizeof(*fire));
		memcpy(fire->hash, hash, sizeof(fire->hash));
		snprintf(fire->rule, sizeof(fire->rule), "%s", f->rule);
		snprintf(fire->dedup, sizeof(fire->dedup), "%s", f->alert->dedup);
		cw_map_put(d->fires, key, (size_t)n, fire);
	}
	fire->in[d->at] = true;
	fire->founds[d->at] = founds;
	fire->severity[d->at] = f->alert->severity;
	fire->score[d->at] = f->alert->score;
}

/* --- one side --- */

static int run_side(struct diff *d, int at, const struct wanted *w, const struct cw_config *config,
                    struct cw_rules_bench *bench, struct cw_zygote *zygote, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle bundle = { .params_json = "{}" };
	struct side *s = &d->sides[at];
	struct cw_operands one = { .n = 1, .list = { w->rules.list[at] } };
	int rc = cw_rules_read(config, &one, &bundle, arena, err);

	d->at = at;
	if (rc == 0) {
		const struct cw_backtest_conf conf = {
			.loop = bench->loop, .zygote = zygote, .config = config, .bundle = &bundle, .pool = bench->pool,
			.files = (char *const *)w->files, .nfiles = w->nfiles, .from_us = w->from_us, .to_us = w->to_us,
			.warm_us = w->warm_us, .labels = "",
		};

		s->backtest = cw_backtest_new(&conf, on_done, s, err);
		rc = s->backtest != NULL ? 0 : -1;
	}
	if (rc == 0)
		cw_backtest_on_fire(s->backtest, on_fire, d);
	while (rc == 0 && !s->done && !bench->interrupted) {
		if (isatty(2) && !w->quiet)
			fprintf(stderr, "\r%s: %3.0f %%  ", at == 0 ? "old" : "new", 100 * cw_backtest_progress(s->backtest));
		cw_loop_run_once(bench->loop);
	}
	if (isatty(2) && !w->quiet)
		fprintf(stderr, "\r\033[K");
	if (rc == 0 && s->done && s->err.code != CW_OK) {
		*err = s->err;
		rc = -1;
	}
	for (int i = 0; rc == 0 && i < cw_backtest_rules(s->backtest); i++)
		s->ns += cw_backtest_rule_ns(s->backtest, i);
	cw_arena_free(&arena);
	return rc;
}

/* --- what differs --- */

struct sums { uint64_t added, removed, common, severity_up, severity_down, scores, added_alerts, removed_alerts; };

static int compare_fires(const void *a, const void *b)
{
	const struct fire *x = *(struct fire *const *)a, *y = *(struct fire *const *)b;
	int by = strcmp(x->rule, y->rule);

	if (by == 0)
		by = strcmp(x->dedup, y->dedup);
	return by != 0 ? by : strcmp(x->hash, y->hash);
}

static size_t sort_fires(const struct diff *d, struct fire ***out)
{
	size_t n = 0, at = 0, len;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	struct fire **list = cw_zalloc((cw_map_count(d->fires) + 1) * sizeof(*list)), *f;
	const void *key;

	while ((f = cw_map_next(d->fires, &at, &key, &len)) != NULL)
		list[n++] = f;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression) */
	qsort(list, n, sizeof(*list), compare_fires);
	*out = list;
	return n;
}

static struct sums sum_up(struct fire *const *list, size_t n)
{
	struct sums s = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct fire *f = list[i];

		s.added += !f->in[0];
		s.removed += !f->in[1];
		s.added_alerts += f->founds[1] && !f->in[0];
		s.removed_alerts += f->founds[0] && !f->in[1];
		if (!f->in[0] || !f->in[1])
			continue;
		s.common++;
		s.severity_up += f->severity[1] > f->severity[0];
		s.severity_down += f->severity[1] < f->severity[0];
		s.scores += f->score[1] != f->score[0];
	}
	return s;
}

/* Entities of whom only the one or only the other told. */
struct entities { uint64_t added, removed, common; };

/* By entity: how many fires of each kind one (rule, dedup) has. */
struct group { const struct fire *first; uint64_t added, removed, common, changed; };

static size_t group_fires(struct fire *const *list, size_t n, struct group *out, size_t max)
{
	size_t groups = 0;

	for (size_t i = 0; i < n; i++) {
		const struct fire *f = list[i];
		struct group *g = groups > 0 ? &out[groups - 1] : NULL;

		if (g == NULL || strcmp(g->first->rule, f->rule) != 0 || strcmp(g->first->dedup, f->dedup) != 0) {
			if (groups == max)
				break;
			g = &out[groups++];
			*g = (struct group){ .first = f };
		}
		g->added += !f->in[0];
		g->removed += !f->in[1];
		g->common += f->in[0] && f->in[1];
		g->changed += f->in[0] && f->in[1] && f->severity[0] != f->severity[1];
	}
	return groups;
}

static struct entities count_entities(const struct group *groups, size_t n)
{
	struct entities e = { 0 };

	for (size_t i = 0; i < n; i++) {
		bool old = groups[i].removed + groups[i].common > 0, fresh = groups[i].added + groups[i].common > 0;

		e.added += !old;
		e.removed += !fresh;
		e.common += old && fresh;
	}
	return e;
}

static int compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	uint64_t p = x->added + x->removed + x->changed, q = y->added + y->removed + y->changed;

	if (p != q)
		return p < q ? 1 : -1;
	return strcmp(x->first->dedup, y->first->dedup);
}

static void put_json(const struct diff *d, const struct sums *s, const struct group *groups, size_t n, struct cw_buf *out)
{
	struct entities e = count_entities(groups, n);

	cw_buf_printf(out, "{\"transactions\":%" PRIu64, cw_backtest_transactions(d->sides[1].backtest));
	for (int i = 0; i < 2; i++)
		cw_buf_printf(out, ",\"%s\":{\"fires\":%" PRIu64 ",\"alerts\":%" PRIu64 ",\"ns_per_transaction\":%.0f}",
		              i == 0 ? "old" : "new", d->sides[i].fires, d->sides[i].alerts, d->sides[i].ns);
	cw_buf_printf(out, ",\"added\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"common\":%" PRIu64 ",\"added_alerts\":%" PRIu64
	              ",\"removed_alerts\":%" PRIu64 ",\"severity_raised\":%" PRIu64 ",\"severity_lowered\":%" PRIu64
	              ",\"score_changed\":%" PRIu64 ",\"cost_ratio\":", s->added, s->removed, s->common, s->added_alerts,
	              s->removed_alerts, s->severity_up, s->severity_down, s->scores);
	if (d->sides[0].ns > 0)
		cw_json_put_double(out, d->sides[1].ns / d->sides[0].ns);
	else
		cw_buf_puts(out, "null");
	cw_buf_printf(out, ",\"not_compared\":%" PRIu64 ",\"entities_added\":%" PRIu64 ",\"entities_removed\":%" PRIu64
	              ",\"entities_common\":%" PRIu64 ",\"entities\":[", d->lost, e.added, e.removed, e.common);
	for (size_t i = 0; i < n && i < ENTITIES_TOLD; i++) {
		cw_buf_printf(out, "%s{\"rule\":", i > 0 ? "," : "");
		cw_json_put_cstring(out, groups[i].first->rule);
		cw_buf_puts(out, ",\"dedup\":");
		cw_json_put_cstring(out, groups[i].first->dedup);
		cw_buf_printf(out, ",\"added\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"common\":%" PRIu64 ",\"severity_changed\":%" PRIu64
		              "}", groups[i].added, groups[i].removed, groups[i].common, groups[i].changed);
	}
	cw_buf_puts(out, "]}\n");
}

static void put_text(const struct diff *d, const struct sums *s, const struct group *groups, size_t n, struct cw_buf *out)
{
	struct entities e = count_entities(groups, n);

	cw_buf_printf(out, "%" PRIu64 " transactions\n%-8s %8s %8s %10s\n", cw_backtest_transactions(d->sides[1].backtest), "",
	              "fires", "alerts", "ns/tx");
	for (int i = 0; i < 2; i++)
		cw_buf_printf(out, "%-8s %8" PRIu64 " %8" PRIu64 " %10.0f\n", i == 0 ? "old" : "new", d->sides[i].fires,
		              d->sides[i].alerts, d->sides[i].ns);
	cw_buf_printf(out, "\nadded %" PRIu64 ", removed %" PRIu64 ", common %" PRIu64 " (severity raised %" PRIu64 ", lowered %" PRIu64
	              ", another score %" PRIu64 ")", s->added, s->removed, s->common, s->severity_up, s->severity_down, s->scores);
	if (d->sides[0].ns > 0)
		cw_buf_printf(out, "; cost %.2f times the old", d->sides[1].ns / d->sides[0].ns);
	cw_buf_putc(out, '\n');
	cw_buf_printf(out, "entities: %" PRIu64 " told by the new only, %" PRIu64 " by the old only, %" PRIu64 " by both\n", e.added,
	              e.removed, e.common);
	if (d->lost > 0)
		cw_buf_printf(out, "%" PRIu64 " fires were too many to be compared\n", d->lost);
	for (size_t i = 0; i < n && i < TOLD; i++) {
		const struct group *g = &groups[i];

		if (g->added + g->removed + g->changed == 0)
			break;
		if (i == 0)
			cw_buf_puts(out, "\n   added removed  common  entity\n");
		cw_buf_printf(out, "  %6" PRIu64 " %7" PRIu64 " %7" PRIu64 "  %s %s%s\n", g->added, g->removed, g->common,
		              g->first->rule, g->first->dedup[0] != '\0' ? g->first->dedup : "(no dedup)",
		              g->changed > 0 ? "  another severity" : "");
	}
}

/* 1 if they differ. */
static int tell(const struct diff *d, const struct cw_cli *cli)
{
	struct cw_buf out = CW_BUF_INIT;
	struct fire **list;
	size_t n = sort_fires(d, &list), ngroups;
	struct sums sums = sum_up(list, n);
	struct group *groups = cw_zalloc((n + 1) * sizeof(*groups));

	ngroups = group_fires(list, n, groups, n);
	qsort(groups, ngroups, sizeof(*groups), compare_groups);
	if (cli->json)
		put_json(d, &sums, groups, ngroups, &out);
	else
		put_text(d, &sums, groups, ngroups, &out);
	fwrite(out.data, 1, out.len, stdout);
	cw_buf_release(&out);
	cw_free(groups);
	cw_free(list);
	return sums.added + sums.removed + sums.severity_up + sums.severity_down + sums.scores > 0;
}

static int diff(const struct cw_cli *cli, const struct cw_config *config, const struct wanted *w, struct cw_zygote *zygote)
{
	struct diff d = { .at = 0 };
	struct cw_rules_bench bench;
	struct cw_err err;
	const void *key;
	size_t at = 0, len;
	struct fire *f;
	int rc = cw_rules_bench_open(&bench, cli, config, w->nfiles == 0);

	if (rc != 0)
		return rc;
	d.fires = cw_map_new();
	for (int i = 0; i < 2 && rc == 0 && !bench.interrupted; i++)
		rc = run_side(&d, i, w, config, &bench, zygote, &err);
	if (rc != 0)
		rc = cw_cli_fail(cli, &err);
	else
		rc = bench.interrupted ? 130 : tell(&d, cli);
	while ((f = cw_map_next(d.fires, &at, &key, &len)) != NULL)
		cw_free(f);
	cw_map_free(&d.fires);
	cw_backtest_free(&d.sides[0].backtest);
	cw_backtest_free(&d.sides[1].backtest);
	cw_rules_bench_close(&bench);
	return rc;
}

int cw_rules_diff(int argc, char **argv, struct cw_zygote *zygote)
{
	static const struct option own[] = {
		{ "from", required_argument, NULL, 256 }, { "to", required_argument, NULL, 257 },
		{ "file", required_argument, NULL, 258 }, { "warm", required_argument, NULL, 259 },
		{ "live", required_argument, NULL, 260 }, { "since", required_argument, NULL, 261 },
		{ "quiet", no_argument, NULL, 'q' }, { NULL, 0, NULL, 0 },
	};
	static struct wanted w;
	struct cw_cli cli = {
		.verb = "rules diff",
		.usage = "rules diff [options] OLD NEW\n       chainwatch rules diff --live ID [--since TIME]\n\n"
		         "Two versions of a rule (or two folders of rules) over the same stream: alerts added, removed and common, by\n"
		         "entity, changes of severity, and what the new one costs beside the old. The stream is stored history, or\n"
		         "the transactions of --file. Exit 0: they say the same, 1: they differ. With --live: what the candidate of a\n"
		         "rule has said on live traffic and the live version has not, and the other way round.\n\n"
		         "      --from T, --to T     block times, from <= t < to\n"
		         "      --file F             transactions from a file (may be repeated)\n"
		         "      --warm SPAN          history before --from that warms the rules up: 7d, 0, all (default)\n"
		         "      --live ID            the candidate of this rule in the running engine\n"
		         "      --since TIME         alerts of this time or later; else since the trial is warm\n"
		         "  -q, --quiet              no progress\n",
	};
	struct cw_config *config;
	const char *live = NULL, *since = NULL;
	int opt, rc;
	bool good = true;

	memset(&w, 0, sizeof(w));
	w.from_us = INT64_MIN;
	w.to_us = INT64_MAX;
	w.warm_us = -1;
	while ((opt = cw_rules_next(&cli, argc, argv, own, &w.rules)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 256)
			good = cw_rules_time(&cli, "--from", optarg, &w.from_us);
		else if (opt == 257)
			good = cw_rules_time(&cli, "--to", optarg, &w.to_us);
		else if (opt == 258 && w.nfiles < CW_OPERANDS_MAX)
			w.files[w.nfiles++] = optarg;
		else if (opt == 259 && !cw_backtest_warm(optarg, &w.warm_us))
			return cw_cli_usage_error(&cli, "--warm takes a duration like 7d, 0 or all, not \"%s\"", optarg);
		live = opt == 260 ? optarg : live;
		since = opt == 261 ? optarg : since;
		w.quiet = w.quiet || opt == 'q';
		if (!good)
			return 2;
	}
	if (cli.help)
		return cw_cli_help(&cli);
	if (live != NULL && w.rules.n > 0)
		return cw_cli_usage_error(&cli, "takes no argument \"%s\" with --live", w.rules.list[0]);
	if (live != NULL)
		return cw_rules_diff_live(&cli, live, since);
	if (since != NULL)
		return cw_cli_usage_error(&cli, "--since goes with --live");
	if (w.rules.n != 2)
		return cw_cli_usage_error(&cli, "say two: the old and the new rule (or folder)");
	if (w.from_us >= w.to_us)
		return cw_cli_usage_error(&cli, "--from must be before --to");
	config = cw_cli_config(&cli);
	if (config == NULL)
		return 2;
	rc = diff(&cli, config, &w, zygote);
	cw_config_free(&config);
	return rc;
}
