/* follow_internal.h - what follow.c, follow_fetch.c, follow_list.c and follow_reorg.c share. Not for other files. */
#ifndef CW_SOURCE_FOLLOW_INTERNAL_H
#define CW_SOURCE_FOLLOW_INTERNAL_H

#include "base/err.h"
#include "base/list.h"
#include "source/blocks.h"
#include "source/follow.h"
#include "source/trail.h"

#define CW_FOLLOW_MAGIC 0x464f4c4cu  /* "FOLL" */
#define CW_FOLLOW_PARALLEL_MAX 32
#define CW_FOLLOW_POISON_MAX 64

struct cw_arena;
struct cw_metric;
struct cw_timer;

enum cw_follow_state {
	CW_FOLLOW_LOADING = 0,       /* the cursor is being read */
	CW_FOLLOW_WAITING,           /* no head yet, or no start: nothing is known of the chain */
	CW_FOLLOW_RUNNING,
	CW_FOLLOW_LOCATING,          /* a reorg, or a start: the newest common block is looked for */
	CW_FOLLOW_DRAINING,          /* it is known; what was submitted must have its outcome first */
	CW_FOLLOW_REWINDING,         /* the pipeline takes blocks back */
	CW_FOLLOW_HALTED,            /* `error` says why; looked at again with each poll */
};

enum cw_slot_state { CW_SLOT_EMPTY = 0, CW_SLOT_ASKED, CW_SLOT_READY };

/* One block of the window, at its number modulo the size of the window. */
struct cw_follow_slot {
	enum cw_slot_state state;
	struct cw_block block;
	struct cw_arena *arena;          /* of a ready block */
	bool best;                       /* a block of another endpoint did not fit: ask the one that is followed */
};

/* A call for blocks `first` to `first + n - 1`. */
struct cw_follow_fetch {
	struct cw_follow *follow;
	struct cw_rpc_call *call;        /* NULL: free */
	uint64_t first;
	int n;
};

/* What the pipeline has and has not yet answered, oldest first. */
struct cw_follow_batch {
	struct cw_list link;
	struct cw_follow *follow;
	uint64_t submission;
	uint64_t last;                   /* block; the cursor says it where `whole` */
	bool whole;                      /* false: more of the same block follows */
	bool done;
	size_t n;
};

struct cw_follow {
	uint32_t magic;
	struct cw_loop *loop;
	struct cw_pool *pool;
	struct cw_pipeline *pipeline;
	struct cw_follow_conf conf;
	char *name;
	struct cw_rpc *rpc;
	struct cw_heads *heads;          /* NULL: none */
	enum cw_follow_state state;
	struct cw_err error;             /* what holds it up; code OK: nothing */
	struct cw_timer *poll_timer, *pump_timer;
	uint64_t query;                  /* for the cursor and the list */
	bool polling, kicked, freed;

	struct cw_trail *trail;          /* what was submitted, also above `next`: what may be there of a start that was cut off */
	uint64_t next;                   /* the next block to submit; all below it were */
	uint64_t committed;              /* blocks below it are in the tables, and the cursor says so */
	struct cw_rpc_head head;
	bool has_head, has_target, verified;
	uint64_t target;                 /* the newest block to read */
	uint64_t final;                  /* the newest final one that was told, + 1 */
	int shrunk;                      /* polls in a row that told a head below the last block, */
	uint64_t last_head;              /* and not above the poll before */

	/* the window */
	struct cw_follow_slot *slots;
	uint64_t asked;                  /* blocks below it have been asked for once */
	uint64_t listed;                 /* fitting blocks from `next` up to it are on the list (store/source_blocks.h) */
	uint64_t list_query, list_to;    /* under way, and what `listed` is then */
	bool list_stale;                 /* the answer says nothing any more */
	size_t held_bytes;
	struct cw_follow_fetch fetches[CW_FOLLOW_PARALLEL_MAX];
	bool single_receipts;            /* mode AUTO: what the nodes know */
	int64_t receipts_missing_us;     /* none of use since; 0: they come */
	bool had_receipts;               /* of a whole block */
	struct cw_list batches;
	size_t in_flight;                /* transactions */
	bool failed;                     /* a submission failed: wait for the others, then begin behind the last good one */
	struct cw_hash poison[CW_FOLLOW_POISON_MAX];   /* transactions that the database refuses */
	int npoison;

	/* a reorg */
	struct cw_rpc_call *locate;
	uint64_t locate_from;            /* newest block that is still to be compared, + 1 */
	int locate_n;                    /* compared in this call */
	uint64_t locate_numbers[64];
	bool has_ancestor;
	uint64_t ancestor;
	int false_alarms;

	uint64_t reorgs, deepest, transactions, skipped;
	struct cw_metric *m_block, *m_head, *m_lag, *m_reorgs, *m_depth, *m_transactions, *m_skipped;
};

/* --- follow.c --- */
/* Does what can be done now. */
void cw_follow_pump(struct cw_follow *f);
void cw_follow_pump_later(struct cw_follow *f, int64_t after_ms);
/* What holds it up; logged when it is new. NULL: nothing any more. */
void cw_follow_note(struct cw_follow *f, const struct cw_err *err);
void cw_follow_set_state(struct cw_follow *f, enum cw_follow_state state);
/* Asks the nodes for their heads, now. */
void cw_follow_poll(struct cw_follow *f);
bool cw_follow_fits(const struct cw_follow *f, const struct cw_block *block);

/* --- follow_fetch.c --- */
void cw_follow_fetch(struct cw_follow *f);
/* Forgets what was fetched and what is on its way. */
void cw_follow_fetch_reset(struct cw_follow *f);
struct cw_follow_slot *cw_follow_slot(struct cw_follow *f, uint64_t number);
void cw_follow_slot_clear(struct cw_follow *f, struct cw_follow_slot *slot);

/* --- follow_list.c --- */
/* Where the source stands: cursor and newest blocks are read, then heads are asked for. */
void cw_follow_load(struct cw_follow *f);
/* Puts the blocks that are there and fit, from `listed` on, on the list. */
void cw_follow_list(struct cw_follow *f);
void cw_follow_list_reset(struct cw_follow *f);

/* --- follow_reorg.c --- */
/* Looks for the newest block that both know, then takes back what is above. */
void cw_follow_locate(struct cw_follow *f, const char *why);
void cw_follow_locate_step(struct cw_follow *f);
void cw_follow_rewind(struct cw_follow *f);
/* A rewind holds on to the follower. */
void cw_follow_release(struct cw_follow *f);

#endif
