/* state_internal.h - what state.c, journal.c and checkpoint.c share. Not for other folders.
 *
 * Three memory files: the arena (state, journaled), the ring (undo records), and the control file (positions, marks,
 * dirty bits; not journaled). The evaluator writes all three, and the engine must not trust it: every number read from
 * them is checked against bounds before it is followed. */
#ifndef CW_STATE_STATE_INTERNAL_H
#define CW_STATE_STATE_INTERNAL_H

#include <stdatomic.h>

#include "state/state.h"

#define CW_GRANULE 64u

/* --- ring --- */

struct cw_record {
	uint64_t granule;
	uint8_t old[CW_GRANULE];
};
_Static_assert(sizeof(struct cw_record) == 72, "records are packed");

/* --- control file --- */

struct cw_mark_slot {
	uint64_t seq, block, position;
	uint64_t top;                 /* highest block of this and all earlier marks */
};

#define CW_CONTROL_MAGIC 0x4c544e4f43455743ull
#define CW_CONTROL_BYTES 4096u

struct cw_control {
	uint64_t magic;
	uint64_t max_bytes, journal_bytes, nslots;
	uint64_t hash_seed;
	_Alignas(64) _Atomic uint64_t head;     /* bytes of records ever written; a rewind takes it back */
	_Alignas(64) _Atomic uint64_t nmarks;   /* mark i stands in slot i % nslots */
	_Alignas(64) _Atomic uint64_t rewinds;  /* raised before and after: odd while bytes are undone */
	_Atomic uint64_t overflows;             /* batches that were larger than the log */
};
_Static_assert(sizeof(struct cw_control) <= CW_CONTROL_BYTES, "control fits its page");

/* --- arena --- */

#define CW_ARENA_MAGIC  0x314154535f574357ull
#define CW_ARENA_LAYOUT 2u        /* raise it with any change of this struct, the size classes or the dictionary */
#define CW_CLASSES      120u

struct cw_account_slot {
	_Alignas(64) struct cw_state_account account;
};

struct cw_arena_head {
	uint64_t magic;
	uint32_t layout;
	cw_ref roots;                 /* first chunk of the directory */
	uint64_t brk;                 /* bytes; from here on everything is zero */
	uint64_t seq, block;          /* of the newest mark */
	uint64_t hash_seed;
	uint64_t spare;
	_Alignas(64) cw_ref free[CW_CLASSES];   /* first free block of each size class */
	struct cw_account_slot accounts[CW_STATE_OWNERS];
};

/* --- the handle --- */

struct cw_state {
	struct cw_state_hot hot;      /* first: the inline functions read it */
	struct cw_state_conf conf;
	struct cw_control *control;
	struct cw_mark_slot *slots;
	uint8_t *ring;                /* mapped twice back to back, so that no record is ever split */
	uint64_t granules;
	size_t max_bytes, journal_bytes, control_bytes;
	uint64_t nslots;              /* a power of two */
	size_t backed;                /* bytes from the start for which huge pages were asked; of this handle */
	int fds[CW_STATE_FDS];        /* arena, ring, control */
};

static inline struct cw_arena_head *cw_arena_head(const struct cw_state *st)
{
	return (struct cw_arena_head *)(void *)st->hot.base;
}

static inline struct cw_record *cw_record_at(const struct cw_state *st, uint64_t position)
{
	return (struct cw_record *)(void *)(st->ring + (position & (st->journal_bytes - 1)));
}

/* Can everything after `position` still be undone? The record that a killed or running writer was about to publish
 * counts as written. */
static inline bool cw_position_reachable(const struct cw_state *st, uint64_t position, uint64_t head)
{
	return position <= head && head + sizeof(struct cw_record) - position <= st->journal_bytes;
}

/* Whoever copies the arena meanwhile must see that it was changed behind the log's back. Begins again where one was
 * killed. */
void cw_rewind_begin(struct cw_state *st);
void cw_rewind_end(struct cw_state *st);
/* Forgets all marks and starts a log whose oldest mark is the arena as it is now. Ends what
 * cw_arena_wipe() began. */
void cw_journal_restart(struct cw_state *st, uint64_t seq, uint64_t block);
/* Asks for huge pages for the first `used` bytes, where that was not done yet. */
void cw_arena_back(struct cw_state *st, size_t used);
/* All zero, dirty bits too; the caller writes the header and calls cw_journal_restart(). */
void cw_arena_wipe(struct cw_state *st);
/* Header, free lists and directory of an arena that came from a file stay within their bounds. CW_ERR_INVALID. */
int cw_arena_check(const struct cw_state *st, struct cw_err *err);

#endif
