/* Stored transactions as the stream of a trial. One page is read ahead while the evaluator works on the last. */
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "pipeline/trial.h"
#include "store/transactions.h"

#define PAGE 2000u
#define CHUNK 256u
#define TRIES_MAX 25                 /* with AGAIN_MS between them: five seconds */
#define AGAIN_MS 200

struct cw_history {
	struct cw_loop *loop;
	struct cw_pool *pool;
	struct cw_trial *trial;
	uint64_t query;                  /* under way, 0: none */
	uint64_t read, submitted_id, up_to;
	uint32_t n, submitted;           /* of the page at hand */
	uint32_t ahead;                  /* in the page that was read ahead */
	bool at_end, finished, stepping;
	int tries;
	struct cw_timer *again;
	struct cw_err err;
	cw_history_fn *done;
	void *arg;
	struct cw_tx pages[2][PAGE];
	struct cw_arena *arenas[2];      /* their logs */
	int page;                        /* the one at hand */
};

static void tell(void *arg)
{
	struct cw_history *h = arg;

	h->done(h->arg, h->err.code != CW_OK ? &h->err : NULL);
}

static void finish(struct cw_history *h)
{
	if (h->finished)
		return;
	h->finished = true;
	cw_loop_defer(h->loop, tell, h);
}

static void on_page(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_history *h = arg;
	struct cw_tx *page = h->pages[1 - h->page];
	struct cw_arena *arena = h->arenas[1 - h->page];
	int rows;

	h->query = 0;
	if (err != NULL) {
		h->err = *err;
		if (++h->tries < TRIES_MAX) {
			h->err.code = CW_OK;
			cw_timer_set(h->again, AGAIN_MS);
		} else {
			finish(h);
		}
		return;
	}
	h->tries = 0;
	rows = cw_result_rows(res);
	cw_arena_clear(arena);
	h->ahead = 0;
	for (int i = 0; i < rows && i < (int)PAGE; i++) {
		h->read = (uint64_t)cw_result_i64(res, i, 0);
		if (cw_transactions_read(res, i, arena, &page[h->ahead]))
			h->ahead++;
		else
			cw_log(CW_LOG_ERROR, "pipeline", "a stored transaction makes no sense", "id=%llu",
			       (unsigned long long)h->read);
	}
	h->at_end = rows < (int)PAGE || h->read >= h->up_to;
	cw_history_step(h);
}

static void submit(struct cw_history *h)
{
	while (h->submitted < h->n) {
		const struct cw_tx *txs[CHUNK];
		uint32_t room = cw_trial_room(h->trial), n = 0;

		while (n < room && n < CHUNK && h->submitted < h->n)
			txs[n++] = &h->pages[h->page][h->submitted++];
		if (n == 0)
			return;
		h->submitted_id = txs[n - 1]->seq;
		cw_trial_submit(h->trial, txs, n);
	}
}

/* The page that was read ahead becomes the one at hand. */
static void turn_page(struct cw_history *h)
{
	h->page = 1 - h->page;
	h->n = h->ahead;
	h->submitted = h->ahead = 0;
}

static void step(struct cw_history *h)
{
	submit(h);
	if (h->submitted == h->n && h->ahead > 0) {
		turn_page(h);
		submit(h);
	}
	if (h->query == 0 && h->ahead == 0 && !h->at_end && !cw_timer_pending(h->again))
		h->query = cw_transactions_replay_page(h->pool, h->read, h->up_to, PAGE, on_page, h);
	if (h->at_end && h->submitted == h->n && h->ahead == 0)
		finish(h);
}

/* A verdict may come, and room() with it, while we submit. */
void cw_history_step(struct cw_history *history)
{
	if (history->finished || history->stepping)
		return;
	history->stepping = true;
	step(history);
	history->stepping = false;
}

static void on_again(void *arg)
{
	cw_history_step(arg);
}

struct cw_history *cw_history_new(struct cw_loop *loop, struct cw_pool *pool, struct cw_trial *trial, uint64_t after,
                                  uint64_t up_to, cw_history_fn *done, void *arg)
{
	struct cw_history *h = cw_zalloc(sizeof(*h));

	h->loop = loop;
	h->pool = pool;
	h->trial = trial;
	h->read = h->submitted_id = after;
	h->up_to = up_to;
	h->at_end = after >= up_to;
	h->done = done;
	h->arg = arg;
	h->arenas[0] = cw_arena_new();
	h->arenas[1] = cw_arena_new();
	h->again = cw_timer_new(loop, on_again, h);
	return h;
}

void cw_history_free(struct cw_history **history)
{
	struct cw_history *h = *history;

	*history = NULL;
	if (h == NULL)
		return;
	if (h->query != 0)
		cw_pool_cancel(h->pool, h->query);
	cw_loop_undefer(h->loop, tell, h);
	cw_timer_free(&h->again);
	cw_arena_free(&h->arenas[0]);
	cw_arena_free(&h->arenas[1]);
	cw_free(h);
}

uint64_t cw_history_position(const struct cw_history *history)
{
	return history->submitted_id;
}
