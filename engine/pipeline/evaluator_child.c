#include "pipeline/evaluator_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/wake.h"
#include "pipeline/bundle.h"
#include "pipeline/lockdown.h"
#include "pipeline/ring.h"

/* A batch is the unit of delivery: larger ones save marks and wake-ups, smaller ones give the first verdict earlier. */
#define BATCH_MAX 128u
/* How far ahead the stages of prefetch look. */
static const uint64_t ahead[CW_PREFETCH_STAGES] = { 9, 6, 3 };
#define SCRATCH_JOURNAL (16ul << 20)

struct child {
	const struct cw_evaluator_ops *ops;
	void *ctx;
	struct cw_page *page;
	struct cw_ring *ring;
	struct cw_state *state, *scratch;
	struct cw_bundle bundle;
	void *bundle_bytes;
	size_t bundle_size, log_limit;
	struct cw_buf out;
	uint64_t at;                       /* position of the next transaction */
	uint64_t fetched[CW_PREFETCH_STAGES];   /* prefetched up to here, by stage */
	uint64_t seq, block;               /* of the last transaction */
	struct cw_tx tx;                   /* the one at work, if it has logs */
	bool open;                         /* there are changes after the last mark */
	uint32_t switches;
	uint8_t disabled[CW_RULES_MAX];
};

static void set_phase(struct child *c, enum cw_phase phase)
{
	atomic_store(&c->page->phase, (uint32_t)phase);
	cw_wake(CW_FD_ENGINE);
}

static _Noreturn void fail(struct child *c, const struct cw_err *err)
{
	c->page->err = *err;
	set_phase(c, CW_PHASE_FAILED);
	_exit(0);
}

/* --- before the lock: everything that needs a descriptor --- */

/* The three that stay get their numbers, all others are closed. */
static int keep_descriptors(const int fds[CW_PASS_COUNT], struct cw_err *err)
{
	int words = fcntl(fds[CW_PASS_WORDS], F_DUPFD, CW_FD_FIRST_CLOSED);
	int wake = fcntl(fds[CW_PASS_WAKE], F_DUPFD, CW_FD_FIRST_CLOSED);
	int engine = fcntl(fds[CW_PASS_ENGINE], F_DUPFD, CW_FD_FIRST_CLOSED);

	if (dup2(words, CW_FD_WORDS) < 0 || dup2(wake, CW_FD_WAKE) < 0 || dup2(engine, CW_FD_ENGINE) < 0 ||
	    close_range(0, CW_FD_WORDS - 1, 0) != 0 || close_range(CW_FD_FIRST_CLOSED, ~0u, 0) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not arrange descriptors: %s", strerror(errno));
	return 0;
}

/* The handle of the arena owns its descriptors, but they are closed with all others: mappings stay. */
static int map_all(struct child *c, const struct cw_spawn *spawn, const int fds[CW_PASS_COUNT], struct cw_err *err)
{
	const struct cw_state_conf scratch = { .max_bytes = spawn->scratch_bytes, .journal_bytes = SCRATCH_JOURNAL };
	int state_fds[CW_STATE_FDS];

	memcpy(state_fds, fds + CW_PASS_STATE, sizeof(state_fds));
	c->state = cw_state_attach(&spawn->state, state_fds, err);
	if (c->state == NULL)
		return -1;
	c->log_limit = cw_state_conf(c->state)->journal_bytes / 8;
	if (cw_state_protect(c->state, true, err) != 0)   /* another one may be at work on it */
		return -1;
	c->ring = cw_ring_attach(fds[CW_PASS_RING], err);
	if (c->ring == NULL)
		return -1;
	cw_ring_set_wake(c->ring, CW_FD_ENGINE);
	if (!spawn->tested) {
		c->scratch = cw_state_new(&scratch, err);
		if (c->scratch == NULL)
			return -1;
	}
	c->bundle_size = spawn->bundle_size;
	c->bundle_bytes = mmap(NULL, c->bundle_size, PROT_READ, MAP_PRIVATE, fds[CW_PASS_BUNDLE], 0);
	if (c->bundle_bytes == MAP_FAILED)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not map the rules' sources: %s", strerror(errno));
	if (cw_bundle_unpack(&c->bundle, c->bundle_bytes, c->bundle_size) != 0)
		return cw_err_set(err, CW_ERR_INTERNAL, "could not read the rules' sources");
	c->bundle.tested = spawn->tested != 0;
	return 0;
}

/* --- load --- */

static void load(struct child *c, struct cw_err *err)
{
	struct cw_buf report = CW_BUF_INIT;

	if (c->ops->bind_stop != NULL)
		c->ops->bind_stop(&c->page->stop);
	if (c->ops->bind_meters != NULL)
		c->ops->bind_meters(c->page->meters);
	c->ctx = c->ops->load(&c->bundle, c->scratch, &report, err);
	if (c->ctx == NULL) {
		if (err->code == CW_OK)
			cw_err_set(err, CW_ERR_INTERNAL, "the rules did not load, without a reason");
		fail(c, err);
	}
	if (report.len > CW_REPORT_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "the report of %zu bytes is larger than %u", report.len, CW_REPORT_MAX);
		fail(c, err);
	}
	memcpy(c->page->report, report.data, report.len);
	c->page->report_len = (uint32_t)report.len;
	cw_buf_release(&report);
	cw_bundle_release(&c->bundle);
	munmap(c->bundle_bytes, c->bundle_size);
	cw_state_close(&c->scratch);
}

/* --- work --- */

static void sleep_until_woken(void)
{
	uint64_t n;

	/* Whatever it says, the caller looks again whether there is work. */
	if (read(CW_FD_WAKE, &n, sizeof(n)) < 0)
		return;
}

static void apply_switches(struct child *c)
{
	uint32_t switches = atomic_load(&c->page->switches);

	if (switches == c->switches)
		return;
	c->switches = switches;
	for (uint32_t rule = 0; rule < CW_RULES_MAX; rule++) {
		uint8_t disabled = atomic_load_explicit(&c->page->disabled[rule], memory_order_relaxed);

		if (disabled == c->disabled[rule])
			continue;
		c->disabled[rule] = disabled;
		c->ops->set_enabled(c->ctx, rule, disabled == 0);
	}
}

/* Verdicts stand in the ring, then the arena is marked with the sequence of the last, then both are published: the
 * engine sees a verdict only if its mark exists. */
static void finish_batch(struct child *c)
{
	if (c->open)
		cw_state_mark(c->state, c->seq, c->block);
	c->open = false;
	cw_ring_flush(c->ring);
}

static void wait_for_room(struct child *c)
{
	finish_batch(c);
	while (cw_ring_room(c->ring) < CW_VERDICT_MAX) {
		cw_ring_evaluator_waits(c->ring, CW_RING_FOR_ROOM);
		if (cw_ring_room(c->ring) < CW_VERDICT_MAX)
			sleep_until_woken();
		cw_ring_evaluator_waits(c->ring, CW_RING_AWAKE);
	}
}

static void prefetch(struct child *c, uint64_t sent, int stage)
{
	uint64_t until = c->at + ahead[stage] < sent ? c->at + ahead[stage] + 1 : sent;
	struct cw_tx copy;

	if (c->fetched[stage] < c->at)
		c->fetched[stage] = c->at;
	for (; c->fetched[stage] < until; c->fetched[stage]++)
		c->ops->prefetch(c->ctx, cw_ring_tx_full(c->ring, c->fetched[stage], &copy), stage);
}

/* History: counts for rules that lack it and for nobody else. Sequence and block stay those of the last transaction that
 * was judged; how far each rule has got is state. */
static void warm(struct child *c, const struct cw_tx *tx)
{
	struct cw_page *page = c->page;
	struct cw_tx plain = *tx;

	plain.has &= ~(CW_TX_WARM | CW_TX_WARM_END);
	atomic_store_explicit(&page->begun, c->at + 1, memory_order_relaxed);
	page->stop = 0;
	if (c->ops->warm != NULL)
		c->ops->warm(c->ctx, &plain, (tx->has & CW_TX_WARM_END) != 0, &page->running);
	page->running = 0;
	cw_buf_clear(&c->out);
	cw_verdict_begin(&c->out, tx->seq);
	cw_verdict_end(&c->out);
	cw_ring_write(c->ring, c->out.data, c->out.len);
	c->open = true;
}

static void evaluate(struct child *c, const struct cw_tx *tx)
{
	struct cw_page *page = c->page;

	if (tx->has & CW_TX_WARM) {
		warm(c, tx);
		return;
	}
	/* A mark at each change of block, so that a reorg finds the end of any block. */
	if (c->open && tx->block_number != c->block)
		cw_state_mark(c->state, c->seq, c->block);
	atomic_store_explicit(&page->begun, c->at + 1, memory_order_relaxed);
	page->stop = 0;
	cw_buf_clear(&c->out);
	c->ops->evaluate(c->ctx, tx, &c->out, &page->running);
	page->running = 0;
	cw_verdict_shrink(&c->out);
	cw_ring_write(c->ring, c->out.data, c->out.len);
	c->seq = tx->seq;
	c->block = tx->block_number;
	c->open = true;
}

static void run_batch(struct child *c, uint64_t sent)
{
	uint64_t end = sent - c->at > BATCH_MAX ? c->at + BATCH_MAX : sent;

	for (; c->at < end; c->at++) {
		if (cw_ring_room(c->ring) < CW_VERDICT_MAX)
			wait_for_room(c);
		for (int stage = 0; c->ops->prefetch != NULL && stage < CW_PREFETCH_STAGES; stage++)
			prefetch(c, sent, stage);
		evaluate(c, cw_ring_tx_full(c->ring, c->at, &c->tx));
		/* A batch that outgrew the undo log could not be undone. */
		if (cw_state_open_bytes(c->state) > c->log_limit)
			finish_batch(c);
	}
	finish_batch(c);
}

static void wait_for_work(struct child *c)
{
	cw_ring_evaluator_waits(c->ring, CW_RING_FOR_TX);
	if (cw_ring_sent(c->ring) == c->at && atomic_load(&c->page->limit) != c->at &&
	    atomic_load(&c->page->switches) == c->switches)
		sleep_until_woken();
	cw_ring_evaluator_waits(c->ring, CW_RING_AWAKE);
}

static _Noreturn void work(struct child *c)
{
	for (;;) {
		uint64_t limit = atomic_load(&c->page->limit), sent = cw_ring_sent(c->ring);

		if (sent > limit)
			sent = limit;
		apply_switches(c);
		if (c->at < sent) {
			run_batch(c, sent);
		} else if (c->at >= limit) {
			set_phase(c, CW_PHASE_DONE);
			_exit(0);
		} else {
			wait_for_work(c);
		}
	}
}

_Noreturn void cw_evaluator_main(const struct cw_evaluator_ops *ops, const struct cw_spawn *spawn,
                                 const int fds[CW_PASS_COUNT])
{
	static struct child child;
	struct child *c = &child;
	struct cw_err err = { .code = CW_OK };

	c->ops = ops;
	c->out = (struct cw_buf)CW_BUF_INIT;
	c->page = mmap(NULL, sizeof(*c->page), PROT_READ | PROT_WRITE, MAP_SHARED, fds[CW_PASS_PAGE], 0);
	if (c->page == MAP_FAILED)
		_exit(1);
	/* Where set_phase will write, should this fail. */
	if (map_all(c, spawn, fds, &err) != 0 || keep_descriptors(fds, &err) != 0) {
		dup2(fds[CW_PASS_ENGINE], CW_FD_ENGINE);
		fail(c, &err);
	}
	cw_log_set_role("evaluator");
	if (cw_lockdown_begin("cw-evaluator", spawn->engine_pid, &err) != 0 || cw_lockdown_finish(&err) != 0)
		fail(c, &err);
	load(c, &err);
	set_phase(c, CW_PHASE_LOADED);
	while (atomic_load(&c->page->go) == 0)
		sleep_until_woken();

	cw_ring_begin(c->ring);
	c->at = c->page->start;
	c->switches = ~atomic_load(&c->page->switches);   /* look at all of them once */
	if (cw_state_protect(c->state, false, &err) != 0 || c->ops->attach(c->ctx, c->state, &err) != 0)
		fail(c, &err);
	/* What attaching changed (states that are new, states that nobody wants any more) is part of the last batch. */
	c->seq = cw_state_seq(c->state);
	c->block = cw_state_block(c->state);
	cw_state_mark(c->state, c->seq, c->block);
	set_phase(c, CW_PHASE_LIVE);
	work(c);
}
