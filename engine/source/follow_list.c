/* Where a source stands, in the tables: its cursor, and the list of blocks whose rows it has begun to write.
 *
 * What is on the list above the cursor was perhaps stored in part when the last engine ended. It stays in the trail: should
 * the chain have changed its mind meanwhile, it is taken back like everything else. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "source/follow_internal.h"
#include "store/source_blocks.h"

#define AGAIN_MS 500
#define LIST_MAX 256                 /* blocks in one statement */
#define TRAIL_MAX 1024               /* blocks of the list that the trail begins with */
#define KEEP_MIN 2048                /* blocks that stay on the list behind the newest; max_reorg, if that is more */

/* The list is denser than what the cursor says, and goes beyond it. It has to have the cursor's block; else only what lies
 * above counts. */
static void read_list(struct cw_follow *f, const struct cw_result *res, int first)
{
	struct cw_source_block block;
	struct cw_hash hash = { .b = { 0 } };
	uint64_t tip = 0;
	bool empty = !cw_trail_tip(f->trail, &tip, &hash), same = empty;
	const char *none;
	size_t len;

	for (int i = first; i < cw_result_rows(res); i++)
		if (cw_source_blocks_row(res, i, &block, &none, &len) && block.number == tip &&
		    memcmp(&block.hash, &hash, sizeof(hash)) == 0)
			same = true;
	for (int i = first; i < cw_result_rows(res); i++)
		if (cw_source_blocks_row(res, i, &block, &none, &len) && (same || block.number > tip))
			cw_trail_add(f->trail, block.number, &block.hash);
}

/* The cursor and then the list, or the list alone, of a source that was cut off in its first submission. */
static int read_stand(struct cw_follow *f, const struct cw_result *res, struct cw_err *err)
{
	struct cw_source_block block;
	struct cw_hash hash;
	uint64_t tip;
	const char *text;
	size_t len;

	if (cw_result_rows(res) == 0)
		return 0;
	if (cw_source_blocks_row(res, 0, &block, &text, &len)) {
		f->next = f->committed = block.number;
		read_list(f, res, 0);
		return 0;
	}
	if (cw_trail_from_json(f->trail, f->conf.chain_id, text, len, err) != 0)
		return cw_err_wrap(err, "cursor \"%s\"", f->name);
	if (cw_trail_tip(f->trail, &tip, &hash))
		f->next = f->committed = tip + 1;
	read_list(f, res, 1);
	return 0;
}

static void on_stand(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_follow *f = CW_CAST(arg, CW_FOLLOW_MAGIC);
	struct cw_err fault;

	f->query = 0;
	if (err != NULL) {
		cw_follow_note(f, err);
		cw_timer_set(f->poll_timer, AGAIN_MS);
		return;
	}
	cw_follow_set_state(f, CW_FOLLOW_WAITING);
	if (read_stand(f, res, &fault) != 0) {
		cw_follow_set_state(f, CW_FOLLOW_HALTED);
		cw_follow_note(f, &fault);
		return;
	}
	cw_follow_list_reset(f);
	cw_follow_note(f, NULL);
	cw_follow_poll(f);
}

void cw_follow_load(struct cw_follow *f)
{
	f->query = cw_source_blocks_load(f->pool, f->name, TRAIL_MAX, on_stand, f);
}

/* --- new blocks --- */

static void on_listed(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_follow *f = CW_CAST(arg, CW_FOLLOW_MAGIC);

	(void)res;
	f->list_query = 0;
	if (err != NULL)
		cw_follow_note(f, err);
	else if (!f->list_stale)
		f->listed = f->list_to;
	cw_follow_pump_later(f, err != NULL ? AGAIN_MS : 0);
}

void cw_follow_list(struct cw_follow *f)
{
	uint64_t keep = f->conf.max_reorg > KEEP_MIN ? (uint64_t)f->conf.max_reorg : KEEP_MIN;
	struct cw_source_block *blocks;
	const struct cw_follow_slot *before = NULL;
	size_t n = 0;

	if (f->list_query != 0)
		return;
	if (f->listed < f->next)
		f->listed = f->next;
	blocks = cw_alloc(LIST_MAX * sizeof(*blocks));
	for (uint64_t at = f->listed; n < LIST_MAX && at - f->next < (uint64_t)f->conf.window && at <= f->target; at++) {
		const struct cw_follow_slot *slot = cw_follow_slot(f, at);

		if (at > f->next)
			before = cw_follow_slot(f, at - 1);
		if (slot->state != CW_SLOT_READY || !cw_follow_fits(f, &slot->block) ||
		    (before != NULL && memcmp(&before->block.hash, &slot->block.parent, sizeof(slot->block.parent)) != 0))
			break;
		blocks[n++] = (struct cw_source_block){ at, slot->block.hash };
	}
	if (n > 0) {
		f->list_stale = false;
		f->list_to = f->listed + n;
		f->list_query = cw_source_blocks_add(f->pool, f->name, blocks, n, f->listed > keep ? f->listed - keep : 0, on_listed, f);
	}
	cw_free(blocks);
}

void cw_follow_list_reset(struct cw_follow *f)
{
	f->listed = f->next;
	f->list_stale = true;
}
