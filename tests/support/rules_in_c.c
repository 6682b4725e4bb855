#include "support/rules_in_c.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/living.h"
#include "state/state.h"

struct count { uint64_t n, hash; };
struct lack { uint64_t gap, last, seen; };   /* gap: first seq that was not given, 0: all were; last: judged by the others */

struct ctx {
	struct cw_state *st;
	struct count *all;
	struct cw_living *living;
	struct lack *lack;               /* NULL: rule 1 has no state */
	char version[32];
	bool disabled[3];
};

static struct cw_rule_meter *meters;

static void bind_meters(struct cw_rule_meter *all)
{
	meters = all;
}

static volatile char *volatile nowhere;

__attribute__((noinline, no_sanitize("undefined", "address"))) static void crash(void)
{
	*nowhere = 1;
}

static void *load(const struct cw_bundle *bundle, struct cw_state *scratch, struct cw_buf *report, struct cw_err *err)
{
	const char *version = bundle->rules[0].text;
	struct ctx *ctx;

	(void)scratch;
	if (strcmp(version, "bad") == 0) {
		cw_err_set(err, CW_ERR_SCRIPT, "rules/count.lua:3: unexpected symbol near 'bad'");
		return NULL;
	}
	ctx = cw_zalloc(sizeof(*ctx));
	snprintf(ctx->version, sizeof(ctx->version), "%s", version);
	if (strcmp(version, "torn") == 0 || strcmp(version, "no list") == 0 || strcmp(version, "no id") == 0) {
		cw_buf_puts(report, version[0] == 't' ? "{\"digest\":" : version[3] == 'l' ? "{\"rules\":7}" : "{\"rules\":[{}]}");
		return ctx;
	}
	cw_buf_printf(report, "{\"digest\":\"digest-%s\",\"lists\":%d,\"rules\":[", version, bundle->nlists);
	cw_buf_printf(report, "{\"index\":0,\"id\":\"test.count\",\"version\":\"1.0\",\"sha256\":\"sha-%s\","
	              "\"severity\":\"high\",\"status\":\"stable\",\"title\":\"Counted\",\"tags\":[\"a\"],\"tests\":2},", version);
	cw_buf_puts(report, "{\"index\":1,\"id\":\"test.shadow\",\"version\":\"2.0\",\"sha256\":\"same\",\"status\":\"shadow\","
	            "\"title\":\"Shadow\"},{\"index\":2,\"id\":\"test.fault\",\"version\":\"3.0\",\"sha256\":\"same3\","
	            "\"status\":\"stable\",\"title\":\"Faulty\"}]}");
	return ctx;
}

static int attach_living(struct ctx *ctx, struct cw_err *err)
{
	struct cw_state_root *root;
	uint8_t digest[16];

	cw_living_digest(3600, digest);
	root = cw_state_root_open(ctx->st, "test/" CW_LIVING_ROOT, digest);
	if (root == NULL)
		return cw_err_set(err, CW_ERR_INTERNAL, "the directory is full");
	ctx->living = cw_living_open(ctx->st, root, 3600, err);
	return ctx->living != NULL ? 0 : -1;
}

static int attach_lack(struct ctx *ctx, struct cw_err *err)
{
	static const uint8_t digest[16] = { 8 };
	struct cw_state_root *root;

	if (strstr(ctx->version, "lacks") == NULL)
		return 0;
	root = cw_state_root_open(ctx->st, ctx->version, digest);
	if (root == NULL)
		return cw_err_set(err, CW_ERR_INTERNAL, "the directory is full");
	if (root->ref == 0) {
		cw_state_touch(ctx->st, root, sizeof(*root));
		root->ref = cw_state_alloc(ctx->st, root->owner, sizeof(*ctx->lack));
		ctx->lack = cw_state_ptr(ctx->st, root->ref);
		cw_state_touch(ctx->st, ctx->lack, sizeof(*ctx->lack));
		*ctx->lack = (struct lack){ .gap = 1, .last = cw_state_seq(ctx->st) };
	}
	ctx->lack = cw_state_ptr(ctx->st, root->ref);
	meters[1].gap = ctx->lack->gap;
	return 0;
}

static int attach(void *arg, struct cw_state *st, struct cw_err *err)
{
	static const uint8_t digest[16] = { 7 };
	struct ctx *ctx = arg;
	struct cw_state_root *root = cw_state_root_open(st, "test/count", digest);

	if (strcmp(ctx->version, "loose") == 0)
		return cw_err_set(err, CW_ERR_INVALID, "attach was told to fail");
	if (root == NULL)
		return cw_err_set(err, CW_ERR_INTERNAL, "the directory is full");
	ctx->st = st;
	if (root->ref == 0) {
		cw_state_touch(st, root, sizeof(*root));
		root->ref = cw_state_alloc(st, root->owner, sizeof(*ctx->all));
	}
	ctx->all = cw_state_ptr(st, root->ref);
	return attach_living(ctx, err) == 0 ? attach_lack(ctx, err) : -1;
}

static void spin_us(uint64_t us)
{
	struct timespec now;
	uint64_t end = 0, at;

	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		at = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
		end = end > 0 ? end : at + us;
	} while (at < end);
}

static void put_alert(struct ctx *ctx, struct cw_buf *out, uint32_t rule, enum cw_severity severity)
{
	char features[96];

	if (rule == 1 && ctx->lack != NULL && ctx->lack->gap != 0)
		return;
	if (rule == 1 && ctx->lack != NULL)
		snprintf(features, sizeof(features), "{\"seen\":%llu,\"n\":%llu}", (unsigned long long)ctx->lack->seen,
		         (unsigned long long)ctx->all->n);
	else
		snprintf(features, sizeof(features), "{\"n\":%llu,\"hash\":\"%016llx\"}", (unsigned long long)ctx->all->n,
		         (unsigned long long)ctx->all->hash);
	cw_verdict_alert(out, &(struct cw_alert){ .rule = rule, .severity = severity, .score = rule == 2 ? 0.9 : 0.7,
		.confidence = 0.5, .features = features, .explanation = "told to", .dedup = "d",
		.flags = rule == 1 ? CW_ALERT_SHADOW : 0 });
}

static void put_living(struct ctx *ctx, const struct cw_tx *tx, struct cw_buf *out)
{
	char features[96], dedup[32];
	struct cw_alert alert = { .severity = tx->nonce % 10 == 0 ? CW_SEVERITY_CRITICAL : CW_SEVERITY_HIGH,
		                      .score = (double)(tx->nonce % 100) / 100, .confidence = 0.5, .features = features,
		                      .explanation = "lives", .dedup = dedup };

	snprintf(features, sizeof(features), "{\"nonce\":%llu}", (unsigned long long)tx->nonce);
	snprintf(dedup, sizeof(dedup), "key %llu", (unsigned long long)tx->nonce % 4);
	cw_living_note(ctx->living, tx, &alert);
	cw_verdict_alert(out, &alert);
}

static void obey(struct ctx *ctx, const struct cw_tx *tx, struct cw_buf *out)
{
	switch (tx->gas) {
	case TOLD_SPIN: spin_us(tx->nonce); /* fall through */
	case TOLD_ALERT: put_alert(ctx, out, 0, CW_SEVERITY_HIGH); return;
	case TOLD_SHADOW: put_alert(ctx, out, 1, CW_SEVERITY_CRITICAL); return;
	case TOLD_FAULT:
		if (!ctx->disabled[2])
			cw_verdict_fault(out, &(struct cw_rule_fault){ .rule = 2, .kind = CW_FAULT_TICKS, .message = "too long" });
		return;
	case TOLD_TWO:
		put_alert(ctx, out, 0, CW_SEVERITY_LOW);
		put_alert(ctx, out, 2, CW_SEVERITY_CRITICAL);
		return;
	case TOLD_UNSTORABLE:
		cw_verdict_alert(out, &(struct cw_alert){ .severity = CW_SEVERITY_LOW, .score = 0.1, .confidence = 0.1,
			.features = "{\"n\":1e400000}", .explanation = "too big" });
		return;
	case TOLD_LIVE: put_living(ctx, tx, out); return;
	case TOLD_NO_RULE: put_alert(ctx, out, 77, CW_SEVERITY_LOW); return;
	default: return;
	}
}

static void note_lack(struct ctx *ctx, const struct cw_tx *tx)
{
	struct lack *l = ctx->lack;

	if (l == NULL)
		return;
	cw_state_touch(ctx->st, l, sizeof(*l));
	l->last = tx->seq;
	l->seen += l->gap == 0;
}

static void warm(void *arg, const struct cw_tx *tx, bool end, volatile uint32_t *running)
{
	struct ctx *ctx = arg;
	struct lack *l = ctx->lack;

	(void)running;
	if (l == NULL || l->gap == 0 || (!end && tx->seq < l->gap))
		return;
	cw_state_touch(ctx->st, l, sizeof(*l));
	l->seen += !end;
	l->gap = end || tx->seq >= l->last ? 0 : tx->seq + 1;
	meters[1].gap = l->gap;
}

static void evaluate(void *arg, const struct cw_tx *tx, struct cw_buf *out, volatile uint32_t *running)
{
	struct ctx *ctx = arg;

	cw_verdict_begin(out, tx->seq);
	*running = 3;
	if (tx->gas == TOLD_CRASH && !ctx->disabled[2])
		crash();
	*running = 1;
	cw_state_touch(ctx->st, ctx->all, sizeof(*ctx->all));
	ctx->all->n++;
	for (int i = 0; i < 32; i++)
		ctx->all->hash = (ctx->all->hash ^ tx->hash.b[i]) * 0x100000001b3u;
	note_lack(ctx, tx);
	obey(ctx, tx, out);
	*running = 0;
	cw_verdict_end(out);
}

static void set_enabled(void *arg, uint32_t rule, bool enabled)
{
	struct ctx *ctx = arg;

	if (rule < 3)
		ctx->disabled[rule] = !enabled;
}

static void release(void *arg)
{
	struct ctx *ctx = arg;

	cw_living_close(&ctx->living);
	cw_free(ctx);
}

const struct cw_evaluator_ops rules_in_c = {
	.load = load,
	.attach = attach,
	.evaluate = evaluate,
	.set_enabled = set_enabled,
	.free = release,
	.bind_meters = bind_meters,
	.warm = warm,
};

const struct cw_bundle *rules_in_c_bundle(const char *version)
{
	static struct cw_bundle_file file;
	static struct cw_bundle bundle;

	file = (struct cw_bundle_file){ "rules/count.lua", version, strlen(version) };
	bundle = (struct cw_bundle){ .rules = &file, .nrules = 1, .params_json = "{}", .options_json = "{}" };
	return &bundle;
}
