/* The undo log. A batch saves each 64-byte granule once, before its first change; a mark ends the batch.
 *
 * The order of stores in cw_state_touch_slow() is the whole crash safety: record, head, fence, dirty bit, and only then
 * the caller's write. Whatever has changed since a mark has its record in the log; a killed process needs nothing else.
 * A reader that copies the arena meanwhile (checkpoint.c) reads the data first and the head last, for the same reason.
 * Positions count bytes and only a rewind lowers them. */
#include "state/state.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "state/state_internal.h"

/* A test defines it to kill the process between any two stores. */
#ifndef CW_JOURNAL_STEP
#define CW_JOURNAL_STEP() ((void)0)
#endif

#define RECORD sizeof(struct cw_record)
#define AHEAD  16u                /* records */

static inline uint64_t load_head(const struct cw_state *st)
{
	return atomic_load_explicit(&st->control->head, memory_order_acquire);
}

static inline uint64_t load_nmarks(const struct cw_state *st)
{
	return atomic_load_explicit(&st->control->nmarks, memory_order_acquire);
}

void cw_state_touch_slow(struct cw_state *st, uint64_t granule)
{
	uint64_t head = atomic_load_explicit(&st->control->head, memory_order_relaxed);
	struct cw_record *record = cw_record_at(st, head);

	cw_assert(granule < st->granules);
	record->granule = granule;
	memcpy(record->old, st->hot.base + granule * CW_GRANULE, CW_GRANULE);
	CW_JOURNAL_STEP();
	atomic_store_explicit(&st->control->head, head + RECORD, memory_order_release);
	atomic_thread_fence(memory_order_release);
	CW_JOURNAL_STEP();
	st->hot.dirty[granule >> 6] |= 1ull << (granule & 63);
	CW_JOURNAL_STEP();
}

/* The oldest mark whose slot no writer may be about to overwrite. */
static uint64_t oldest_mark(const struct cw_state *st, uint64_t nmarks)
{
	return nmarks >= st->nslots ? nmarks - st->nslots + 1 : 0;
}

/* False when the slot was used again meanwhile or the mark is out of the log's reach. */
static bool read_mark(const struct cw_state *st, uint64_t index, struct cw_mark_slot *slot)
{
	const struct cw_mark_slot *from = &st->slots[index & (st->nslots - 1)];

	memcpy(slot, from, sizeof(*slot));
	atomic_thread_fence(memory_order_acquire);
	return index >= oldest_mark(st, load_nmarks(st)) && slot->position % RECORD == 0 &&
	       cw_position_reachable(st, slot->position, load_head(st));
}

/* The bits of a batch are found by its own records, so a mark costs what the batch has touched. */
static void clear_dirty(struct cw_state *st, uint64_t from, uint64_t to)
{
	if (!cw_position_reachable(st, from, to)) {
		memset(st->hot.dirty, 0, (cw_arena_head(st)->brk / CW_GRANULE + 63) / 64 * sizeof(uint64_t));
		return;
	}
	for (uint64_t at = from; at < to; at += RECORD) {
		uint64_t granule = cw_record_at(st, at)->granule;

		st->hot.dirty[granule >> 6] &= ~(1ull << (granule & 63));
	}
}

void cw_state_mark(struct cw_state *st, uint64_t seq, uint64_t block)
{
	struct cw_arena_head *arena = cw_arena_head(st);
	uint64_t n = load_nmarks(st);
	const struct cw_mark_slot *last = &st->slots[(n - 1) & (st->nslots - 1)];
	struct cw_mark_slot *slot = &st->slots[n & (st->nslots - 1)];
	uint64_t from = last->position, top = last->top, head;

	cw_state_touch(st, arena, CW_GRANULE);
	arena->seq = seq;
	arena->block = block;

	head = load_head(st);
	if (!cw_position_reachable(st, from, head))
		atomic_fetch_add_explicit(&st->control->overflows, 1, memory_order_relaxed);
	clear_dirty(st, from, head);
	CW_JOURNAL_STEP();
	*slot = (struct cw_mark_slot){ .seq = seq, .block = block, .position = head, .top = block > top ? block : top };
	CW_JOURNAL_STEP();
	atomic_store_explicit(&st->control->nmarks, n + 1, memory_order_release);
	CW_JOURNAL_STEP();
}

void cw_rewind_begin(struct cw_state *st)
{
	uint64_t n = atomic_load_explicit(&st->control->rewinds, memory_order_relaxed);

	atomic_store_explicit(&st->control->rewinds, n + 1 + (n & 1), memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
}

void cw_rewind_end(struct cw_state *st)
{
	uint64_t n = atomic_load_explicit(&st->control->rewinds, memory_order_relaxed);

	atomic_store_explicit(&st->control->rewinds, n + 1, memory_order_release);
}

void cw_journal_restart(struct cw_state *st, uint64_t seq, uint64_t block)
{
	uint64_t head = load_head(st);

	head += RECORD - head % RECORD;   /* whatever was left there */
	memset(st->slots, 0, sizeof(st->slots[0]));
	st->slots[0] = (struct cw_mark_slot){ .seq = seq, .block = block, .position = head, .top = block };
	atomic_store_explicit(&st->control->head, head, memory_order_release);
	atomic_store_explicit(&st->control->nmarks, 1, memory_order_release);
	cw_rewind_end(st);
}

uint64_t cw_state_seq(const struct cw_state *st)
{
	return __atomic_load_n(&cw_arena_head(st)->seq, __ATOMIC_RELAXED);
}

uint64_t cw_state_block(const struct cw_state *st)
{
	return __atomic_load_n(&cw_arena_head(st)->block, __ATOMIC_RELAXED);
}

static void to_mark(const struct cw_mark_slot *slot, struct cw_state_mark *mark)
{
	*mark = (struct cw_state_mark){ .seq = slot->seq, .block = slot->block, .position = slot->position };
}

bool cw_state_find_seq(const struct cw_state *st, uint64_t seq, struct cw_state_mark *mark)
{
	uint64_t n = load_nmarks(st), oldest = oldest_mark(st, n);
	struct cw_mark_slot slot;

	for (uint64_t i = n; i > oldest && read_mark(st, i - 1, &slot); i--) {
		if (slot.seq > seq)
			continue;
		to_mark(&slot, mark);
		return true;
	}
	return false;
}

bool cw_state_find_block(const struct cw_state *st, uint64_t block, struct cw_state_mark *mark)
{
	uint64_t n = load_nmarks(st), oldest = oldest_mark(st, n);
	struct cw_mark_slot slot;

	for (uint64_t i = n; i > oldest && read_mark(st, i - 1, &slot); i--) {
		if (slot.top > block)
			continue;
		to_mark(&slot, mark);
		return true;
	}
	return false;
}

/* The number of a mark, by its position; false if it is none that can be reached. */
static bool find_index(const struct cw_state *st, const struct cw_state_mark *mark, uint64_t *index)
{
	uint64_t n = load_nmarks(st), oldest = oldest_mark(st, n);
	struct cw_mark_slot slot;

	for (uint64_t i = n; i > oldest && read_mark(st, i - 1, &slot); i--) {
		if (slot.position != mark->position)
			continue;
		*index = i - 1;
		return slot.seq == mark->seq && slot.block == mark->block;
	}
	return false;
}

/* Nothing is changed unless the whole stretch makes sense: the writer may have gone wild before it died. */
static int check_records(const struct cw_state *st, uint64_t from, uint64_t to, struct cw_err *err)
{
	for (uint64_t at = to; at > from; at -= RECORD) {
		uint64_t granule = cw_record_at(st, at - RECORD)->granule;

		if (granule >= st->granules)
			return cw_err_set(err, CW_ERR_INTERNAL,
			                  "cannot rewind: undo record at %" PRIu64 " names granule %" PRIu64 " of %" PRIu64,
			                  at - RECORD, granule, st->granules);
	}
	return 0;
}

static void undo_records(struct cw_state *st, uint64_t from, uint64_t to)
{
	for (uint64_t at = to; at > from; at -= RECORD) {
		const struct cw_record *record = cw_record_at(st, at - RECORD);

		/* The granules are scattered: without the hint each one waits for memory. */
		if (at - from > AHEAD * RECORD) {
			uint64_t granule = cw_record_at(st, at - (AHEAD + 1) * RECORD)->granule;

			__builtin_prefetch(st->hot.base + granule * CW_GRANULE, 1);
			__builtin_prefetch(&st->hot.dirty[granule >> 6], 1);
		}
		memcpy(st->hot.base + record->granule * CW_GRANULE, record->old, CW_GRANULE);
		st->hot.dirty[record->granule >> 6] &= ~(1ull << (record->granule & 63));
		CW_JOURNAL_STEP();
	}
}

int cw_state_rewind(struct cw_state *st, const struct cw_state_mark *mark, struct cw_err *err)
{
	uint64_t head = load_head(st), index;

	if (head % RECORD != 0)
		return cw_err_set(err, CW_ERR_INTERNAL, "cannot rewind: the log's head %" PRIu64 " is inside a record", head);
	if (!find_index(st, mark, &index))
		return cw_err_set(err, CW_ERR_NOT_FOUND,
		                  "cannot rewind to seq %" PRIu64 ": the undo log does not reach back to it",
		                  mark->seq);
	if (check_records(st, mark->position, head, err) != 0)
		return -1;

	cw_rewind_begin(st);
	CW_JOURNAL_STEP();
	undo_records(st, mark->position, head);
	/* The head moves last: until then the same work can be done again from the start. */
	atomic_store_explicit(&st->control->nmarks, index + 1, memory_order_release);
	CW_JOURNAL_STEP();
	atomic_store_explicit(&st->control->head, mark->position, memory_order_release);
	CW_JOURNAL_STEP();
	cw_rewind_end(st);

	if (cw_arena_head(st)->magic != CW_ARENA_MAGIC || cw_state_seq(st) != mark->seq ||
	    cw_state_used(st) > st->max_bytes)
		return cw_err_set(err, CW_ERR_INTERNAL, "arena is damaged: rewound to seq %" PRIu64 " it says seq %" PRIu64,
		                  mark->seq, cw_state_seq(st));
	return 0;
}

/* Positions rise with the number of the mark. */
static bool oldest_reachable(const struct cw_state *st, struct cw_mark_slot *slot)
{
	uint64_t n = load_nmarks(st), low = oldest_mark(st, n), high = n;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (read_mark(st, middle, slot))
			high = middle;
		else
			low = middle + 1;
	}
	return low < n && read_mark(st, low, slot);
}

uint64_t cw_state_journal_depth(const struct cw_state *st)
{
	struct cw_mark_slot slot;

	return oldest_reachable(st, &slot) ? load_head(st) - slot.position : 0;
}

uint64_t cw_state_journal_blocks(const struct cw_state *st)
{
	struct cw_mark_slot slot;
	uint64_t now = cw_state_block(st);

	return oldest_reachable(st, &slot) && slot.top < now ? now - slot.top : 0;
}

uint64_t cw_state_open_bytes(const struct cw_state *st)
{
	uint64_t n = load_nmarks(st);

	return load_head(st) - st->slots[(n - 1) & (st->nslots - 1)].position;
}

bool cw_state_overflowed(const struct cw_state *st)
{
	struct cw_mark_slot slot;

	return !read_mark(st, load_nmarks(st) - 1, &slot);
}

uint64_t cw_state_overflows(const struct cw_state *st)
{
	return atomic_load_explicit(&st->control->overflows, memory_order_relaxed);
}
