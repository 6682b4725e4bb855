/* state.h - the arena in which all detector state lives: shared memory, offsets, an allocator, accounts, an undo log.
 *
 * One process writes at a time (the evaluator); the engine creates the arena, takes checkpoints while the evaluator
 * works and rewinds only when no evaluator lives. Nothing here reads a clock or draws randomness: the same calls give
 * the same bytes, so arenas compare with memcmp up to cw_state_used(). Knows nothing of Lua, files or sockets
 * (state/checkpoint.h alone writes a file).
 *
 * Rules for writers: call cw_state_touch() on the bytes *before* changing them, header words too; keep no pointer over
 * a call that may evict. The address range is reserved once, so pointers survive growth. After a rewind, a reset or a
 * load, handles on things that were made later (dictionaries, roots) are void: open them again. */
#ifndef CW_STATE_STATE_H
#define CW_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_state;

typedef uint32_t cw_ref;          /* a place in the arena, in units of 16 bytes; 0 is nowhere */

struct cw_state_conf {
	size_t max_bytes;             /* address space reserved and limit of use, e.g. 1 GiB; 256 KiB to 63 GiB. Memory
	                               * is taken page by page as it is used. Rounded up to 4 KiB */
	size_t journal_bytes;         /* undo log, e.g. 256 MiB; the depth of a rewind is counted in it. 16 KiB to 64 GiB,
	                               * rounded up to a power of two */
	uint64_t hash_seed;           /* of the dictionaries; part of the state. Results do not depend on it, run time
	                               * under colliding keys does: draw one in production, leave 0 in tests */
	bool populate;                /* take the log's memory now and not at its first pass: no page faults later */
};

/* Creates arena, journal and control page as memory files. */
struct cw_state *cw_state_new(const struct cw_state_conf *conf, struct cw_err *err);
/* The descriptors to pass to another process (SCM_RIGHTS), and the other process's half. Ownership of the descriptors
 * moves to the handle, also when NULL is returned. `conf` must be the one it was made with (seed and populate are not
 * looked at). A forked child needs neither: it may use the handle it inherits. */
#define CW_STATE_FDS 3
void cw_state_fds(const struct cw_state *st, int fds[CW_STATE_FDS]);
struct cw_state *cw_state_attach(const struct cw_state_conf *conf, const int fds[CW_STATE_FDS], struct cw_err *err);
void cw_state_close(struct cw_state **st);
/* As it was made or attached, for cw_state_attach in another process. */
const struct cw_state_conf *cw_state_conf(const struct cw_state *st);
/* Until it is this process's turn to write: neither reads nor writes reach the arena, its log or its marks. */
int cw_state_protect(struct cw_state *st, bool off_limits, struct cw_err *err);
/* Back to an empty arena, whatever is in it: no owners, no roots, one mark with seq 0. Gives the memory back. */
void cw_state_reset(struct cw_state *st);

static inline void *cw_state_ptr(const struct cw_state *st, cw_ref ref);   /* NULL for 0 */
static inline cw_ref cw_state_ref(const struct cw_state *st, const void *ptr);
const void *cw_state_base(const struct cw_state *st);  /* first byte, for comparisons */
size_t cw_state_used(const struct cw_state *st);       /* bytes from the start that have ever been used */
uint64_t cw_state_hash_seed(const struct cw_state *st);

/* --- accounts: each rule's state is an owner with a cap --- */
#define CW_STATE_OWNERS 1024      /* owner 0 is the arena's own: the directory */
struct cw_state_account { uint64_t bytes, cap, keys, evictions, refused; };
/* 0: no cap but the arena's end. Caps are state: a rewind takes them back, so set them after attaching. */
void cw_state_set_cap(struct cw_state *st, uint32_t owner, uint64_t cap_bytes);
struct cw_state_account cw_state_account(const struct cw_state *st, uint32_t owner);
/* For dictionaries and the like: adds to the counters. */
void cw_state_count(struct cw_state *st, uint32_t owner, int64_t keys, uint64_t evictions);

/* Zeroed, aligned to 16, from 64 bytes on to 64. Sizes are rounded up to 16 32 48 64 128 192 256 and from there on to
 * quarters of a power of two; that is what the account is charged. 0: the owner's cap or the arena's end is reached
 * (counted in `refused`). Fresh memory costs nothing until it is written, whatever its size. */
cw_ref cw_state_alloc(struct cw_state *st, uint32_t owner, size_t size);
/* The same for callers that have another way out (a dictionary evicts): a refusal is not counted. */
cw_ref cw_state_try_alloc(struct cw_state *st, uint32_t owner, size_t size);
/* `owner` and `size` as in the call that allocated it; ref 0 is allowed. */
void cw_state_free(struct cw_state *st, uint32_t owner, cw_ref ref, size_t size);

/* --- directory: named roots, found again after reload, rewind and recovery --- */
struct cw_state_root {
	char name[96];                /* "<rule id>/<state name>" */
	uint8_t digest[16];           /* of the declaration: a changed one starts empty */
	cw_ref ref;                   /* what the primitive stored; 0 until it did */
	uint32_t owner;               /* one for each rule: roots with the same text before the "/" share it */
};
/* Finds the root or makes it with ref = 0 and an owner: that of the rule's other roots, or the lowest free one, with
 * an empty account. A root of the same name and another digest is left alone: both exist until cw_state_root_drop. The
 * pointer stays valid; touch before writing ref. NULL: directory or owners full, or the name is empty or longer than
 * 95 bytes. */
struct cw_state_root *cw_state_root_open(struct cw_state *st, const char *name, const uint8_t digest[16]);
/* In order of address; NULL gives the first. Safe on an arena that an evaluator has damaged: the walk ends, names end.
 * Beside a running writer: copy the name with a bound. */
struct cw_state_root *cw_state_root_next(struct cw_state *st, const struct cw_state_root *after);
void cw_state_root_drop(struct cw_state *st, struct cw_state_root *root);   /* the blocks must have been freed */

/* --- undo log (state/journal.c) --- */

/* Saves the old bytes of the 64-byte granules under [ptr, ptr + len), once per batch. */
static inline void cw_state_touch(struct cw_state *st, void *ptr, size_t len);

struct cw_state_mark { uint64_t seq; uint64_t block; uint64_t position; };
/* Ends a batch: everything up to here belongs to `seq`. `seq` is part of the state (journaled). */
void cw_state_mark(struct cw_state *st, uint64_t seq, uint64_t block);
uint64_t cw_state_seq(const struct cw_state *st);      /* of the newest mark */
uint64_t cw_state_block(const struct cw_state *st);
/* The newest mark that can still be reached and has seq <= `seq`; or before which no block above `block` was marked.
 * May be asked while another process writes. */
bool cw_state_find_seq(const struct cw_state *st, uint64_t seq, struct cw_state_mark *mark);
bool cw_state_find_block(const struct cw_state *st, uint64_t block, struct cw_state_mark *mark);
/* Undoes everything after the mark (and an open batch). Checks each record against bounds: -1 and CW_ERR_INTERNAL when
 * the log makes no sense, CW_ERR_NOT_FOUND when the mark is out of reach; then nothing has changed and only checkpoint
 * and replay help. May be killed and run again. */
int cw_state_rewind(struct cw_state *st, const struct cw_state_mark *mark, struct cw_err *err);
uint64_t cw_state_journal_depth(const struct cw_state *st);   /* bytes between the oldest reachable mark and now */
/* Distance in blocks between the oldest reachable mark and now. */
uint64_t cw_state_journal_blocks(const struct cw_state *st);
/* Size of the open batch in the log. */
uint64_t cw_state_open_bytes(const struct cw_state *st);
/* The open batch has outgrown the log, so not even the newest mark can be reached: should the writer die before its
 * next mark, the arena is lost (a rewind refuses). The next mark mends it. */
bool cw_state_overflowed(const struct cw_state *st);
uint64_t cw_state_overflows(const struct cw_state *st);       /* batches of that kind so far */

/* --- debug aid: writes that were not announced --- */
struct cw_state_shadow { uint8_t *bytes; size_t used; };
/* Copies the arena; call it right after a mark. Takes over from an older copy; start with { 0 }. */
void cw_state_shadow_take(struct cw_state_shadow *shadow, const struct cw_state *st);
void cw_state_shadow_release(struct cw_state_shadow *shadow);
/* Before the next mark: the offset of the first byte that differs from the copy though its granule was not touched; -1
 * when there is none. */
int64_t cw_state_check(const struct cw_state *st, const struct cw_state_shadow *shadow);

/* Hints: the lines that the coming transactions will need. */
static inline void cw_state_prefetch(const struct cw_state *st, const void *ptr);

#include "state/state_inline.h"

#endif
