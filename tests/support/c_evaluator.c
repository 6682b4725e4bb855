#include "support/c_evaluator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "state/dict.h"
#include "state/state.h"

#define SENDERS_MAX 200u   /* fewer than there are, so that some are evicted */

struct c_ctx {
	int version;
	bool attach_fails, attach_crashes, disabled[2];
	struct cw_state *st;
	struct cw_dict *senders;
	struct c_count *all;
	uint32_t owner;
};

struct sender { uint64_t count; cw_ref block; uint32_t size; };

static volatile int *stop;
static volatile char *volatile nowhere;

/* A sanitizer must not make something tamer of it. */
__attribute__((noinline, no_sanitize("undefined", "address"))) static void crash(void)
{
	*nowhere = 1;
}

static void bind_stop(volatile int *word)
{
	stop = word;
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

/* --- load --- */

static int obey_text(struct c_ctx *c, const char *text, struct cw_buf *report, struct cw_err *err)
{
	if (strcmp(text, "fail") == 0)
		return cw_err_set(err, CW_ERR_SCRIPT, "rules/bad.lua:7: this rule does not load");
	if (strcmp(text, "fail silently") == 0)
		return -1;
	if (strcmp(text, "crash") == 0)
		crash();
	for (volatile bool on = strcmp(text, "hang") == 0; on;)
		;
	if (strncmp(text, "sleep ", 6) == 0)
		spin_us((uint64_t)atoi(text + 6) * 1000);
	if (strcmp(text, "big report") == 0)
		for (int i = 0; i < 5 << 20; i++)
			cw_buf_putc(report, 'x');
	c->attach_fails = c->attach_fails || strcmp(text, "attach fails") == 0;
	c->attach_crashes = c->attach_crashes || strcmp(text, "attach crashes") == 0;
	if (text[0] == 'v')
		c->version = atoi(text + 1);
	return 0;
}

/* The scratch arena is there for tests, works, and can be emptied. */
static int use_scratch(struct cw_state *scratch, bool tested, struct cw_err *err)
{
	if ((scratch == NULL) != tested)
		return cw_err_set(err, CW_ERR_INTERNAL, "scratch arena and tests do not go together");
	for (int i = 0; i < 3 && scratch != NULL; i++) {
		if (cw_state_alloc(scratch, 1, 1000) == 0)
			return cw_err_set(err, CW_ERR_INTERNAL, "scratch arena does not work");
		cw_state_mark(scratch, (uint64_t)i, 0);
		cw_state_reset(scratch);
	}
	return 0;
}

static void *load(const struct cw_bundle *bundle, struct cw_state *scratch, struct cw_buf *report, struct cw_err *err)
{
	struct c_ctx *c = cw_zalloc(sizeof(*c));
	int bad = use_scratch(scratch, bundle->tested, err);

	for (int i = 0; i < bundle->nrules && bad == 0; i++)
		bad = obey_text(c, bundle->rules[i].text, report, err);
	if (bad != 0) {
		cw_free(c);
		return NULL;
	}
	cw_buf_printf(report, "{\"digest\":\"v%d\",\"rules\":%d,\"lists\":%d,\"params\":%s}", c->version, bundle->nrules,
	              bundle->nlists, bundle->params_json);
	return c;
}

/* --- attach --- */

static void drop_sender(struct cw_state *st, uint32_t owner, void *value, void *arg)
{
	struct sender *s = value;

	(void)arg;
	cw_state_free(st, owner, s->block, s->size);
}

static struct cw_state_root *open_root(struct c_ctx *c, const char *name)
{
	static const uint8_t digest[16] = { 1, 2, 3 };

	return cw_state_root_open(c->st, name, digest);
}

static int attach(void *ctx, struct cw_state *st, struct cw_err *err)
{
	struct cw_dict_conf conf = { .value_size = sizeof(struct sender), .max_keys = SENDERS_MAX, .evict = drop_sender };
	struct cw_state_root *all, *senders;
	struct c_ctx *c = ctx;

	if (c->attach_crashes)
		crash();
	if (c->attach_fails)
		return cw_err_set(err, CW_ERR_INVALID, "attach was told to fail");
	c->st = st;
	all = open_root(c, "count/all");
	senders = open_root(c, "count/senders");
	c->owner = conf.owner = all->owner;
	cw_state_touch(st, all, sizeof(*all));
	if (all->ref == 0)
		all->ref = cw_state_alloc(st, c->owner, sizeof(*c->all));
	c->all = cw_state_ptr(st, all->ref);
	c->senders = cw_dict_open(st, &conf, &senders->ref, err);
	return c->senders != NULL ? 0 : -1;
}

/* --- evaluate --- */

static void count(struct c_ctx *c, const struct cw_tx *tx)
{
	struct cw_dict_key key = { .b = { 0 } };
	struct sender *s;
	bool created;

	cw_state_touch(c->st, c->all, sizeof(*c->all));
	c->all->count++;
	c->all->hash = (c->all->hash ^ tx->seq) * 0x9e3779b97f4a7c15u;
	memcpy(key.b, tx->from.b, sizeof(tx->from.b));
	s = cw_dict_upsert(c->senders, &key, tx->timestamp, &created);
	cw_state_touch(c->st, s, sizeof(*s));
	s->count++;
	cw_state_free(c->st, c->owner, s->block, s->size);
	s->size = 16 + (uint32_t)(c->all->hash >> 55);
	s->block = cw_state_alloc(c->st, c->owner, s->size);
	uint64_t *word = cw_state_ptr(c->st, s->block);
	cw_state_touch(c->st, word, sizeof(*word));
	*word = tx->seq;
}

static size_t recurse(size_t left, volatile char *outer)
{
	volatile char frame[4096];

	frame[0] = outer != NULL ? outer[0] : 1;
	if (left <= sizeof(frame))
		return (size_t)frame[0];
	return recurse(left - sizeof(frame), frame) + (size_t)frame[0];
}

static bool use_memory(void)
{
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };   /* mov eax, 42; ret */
	size_t size = 1 << 16;
	char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool good = page != MAP_FAILED;

	if (good) {
		memcpy(page, code, sizeof(code));
		good = mprotect(page, size, PROT_READ | PROT_EXEC) == 0;
	}
#ifdef __x86_64__
	good = good && ((int (*)(void))(uintptr_t)page)() == 42;
#endif
	good = good && munmap(page, size) == 0;
	for (size_t n = 1; n <= 64u << 20; n *= 4) {
		char *block = malloc(n);

		memset(block, 1, n);
		block = realloc(block, 2 * n);
		free(block);
	}
	return good;
}

static void put_alert(struct c_ctx *c, struct cw_buf *out)
{
	char text[64];

	snprintf(text, sizeof(text), "v%d #%llu", c->version, (unsigned long long)c->all->count);
	cw_verdict_alert(out, &(struct cw_alert){ .rule = 1, .severity = CW_SEVERITY_HIGH, .score = 0.9, .confidence = 1,
		.explanation = text });
}

static void put_big(struct cw_buf *out, uint64_t n)
{
	static char features[CW_VERDICT_FEATURES_MAX];

	memset(features, ' ', sizeof(features));
	features[0] = '{';
	features[sizeof(features) - 2] = '}';
	features[sizeof(features) - 1] = '\0';
	for (uint64_t i = 0; i < n; i++)
		cw_verdict_alert(out, &(struct cw_alert){ .rule = (uint32_t)(i % CW_RULES_MAX), .score = 0.5,
			.features = features });
}

static void put_fault(struct cw_buf *out, enum cw_rule_fault_kind kind, const char *message)
{
	cw_verdict_fault(out, &(struct cw_rule_fault){ .rule = 1, .kind = kind, .message = message });
}

static void obey(struct c_ctx *c, const struct cw_tx *tx, struct cw_buf *out)
{
	switch ((enum c_command)tx->input_head[0]) {
	case C_QUIET:
	case C_WRONG_SEQ:
		break;
	case C_ALERT:
		put_alert(c, out);
		break;
	case C_FAULT:
		put_fault(out, CW_FAULT_ERROR, "told to");
		break;
	case C_SEGV:
		crash();
		break;
	case C_ABORT:
		if (write(2, "told to\nabort", 13) == 13)
			abort();
		break;
	case C_HANG:
		for (volatile int on = 1; on;)
			;
		break;
	case C_LOOP:
		while (*stop == 0)
			;
		put_fault(out, CW_FAULT_TIME, "stopped");
		break;
	case C_SPIN:
		spin_us(tx->nonce);
		break;
	case C_SYSCALL:
		syscall((long)tx->nonce, 0, 0, 0);
		break;
	case C_EXIT:
		_exit((int)tx->nonce);
	case C_RECURSE:
		if (recurse(tx->nonce << 20, NULL) > 0)
			put_alert(c, out);
		break;
	case C_NONSENSE:
		cw_buf_puts(out, "nonsense");
		break;
	case C_BIG:
		put_big(out, tx->nonce);
		break;
	case C_MEMORY:
		if (use_memory())
			put_alert(c, out);
		break;
	case C_WRITE_CODE:
		mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	}
}

static void evaluate(void *ctx, const struct cw_tx *tx, struct cw_buf *out, volatile uint32_t *running)
{
	struct c_ctx *c = ctx;

	cw_verdict_begin(out, tx->input_head[0] == C_WRONG_SEQ && !c->disabled[1] ? tx->seq + 1 : tx->seq);
	*running = 1;
	if (!c->disabled[0])
		count(c, tx);
	*running = 2;
	if (!c->disabled[1])
		obey(c, tx, out);
	*running = 0;
	cw_verdict_end(out);
}

static void prefetch(void *ctx, const struct cw_tx *tx, int stage)
{
	struct cw_dict_key key = { .b = { 0 } };
	struct c_ctx *c = ctx;

	memcpy(key.b, tx->from.b, sizeof(tx->from.b));
	if (stage > 0)
		cw_dict_fetch_on(c->senders, (unsigned)tx->seq, stage);
	else if (cw_dict_ahead(c->senders, (unsigned)tx->seq))
		cw_dict_fetch(c->senders, (unsigned)tx->seq, &key);
}

static void set_enabled(void *ctx, uint32_t rule, bool enabled)
{
	struct c_ctx *c = ctx;

	if (rule < 2)
		c->disabled[rule] = !enabled;
}

static void release(void *ctx)
{
	struct c_ctx *c = ctx;

	cw_dict_close(&c->senders);
	cw_free(c);
}

const struct cw_evaluator_ops c_evaluator = {
	.load = load,
	.attach = attach,
	.evaluate = evaluate,
	.prefetch = prefetch,
	.set_enabled = set_enabled,
	.free = release,
	.bind_stop = bind_stop,
};

struct cw_tx c_tx(uint64_t seq, enum c_command command, uint64_t nonce)
{
	struct cw_tx tx = { .seq = seq, .block_number = seq / 50, .timestamp = (int64_t)(1700000000 + seq / 10),
		.nonce = nonce, .input_size = 1, .input_head_size = 1 };

	tx.from.b[0] = (uint8_t)(seq * 2654435761u >> 11);
	tx.input_head[0] = (uint8_t)command;
	return tx;
}
