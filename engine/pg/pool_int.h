/* pool_int.h - what the two halves of the pool share: pool.c (requests, queue, answers) and pool_slots.c (connections).
 */
#ifndef CW_PG_POOL_INT_H
#define CW_PG_POOL_INT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/list.h"
#include "pg/pool.h"

struct cw_map;
struct cw_metric;
struct cw_timer;

enum slot_state {
	SLOT_CONNECTING = 0,
	SLOT_CHECKING,               /* idle for long: asked whether it is still there */
	SLOT_IDLE,                   /* most recently used first: few warm connections beat many lukewarm ones */
	SLOT_BUSY,                   /* with requests of the pool */
	SLOT_LEASED,
	SLOT_DRAINING,               /* given back with answers outstanding */
	SLOT_STATES,
};

/* One connection. In the list of its state, always: slot_set_state is the only place that moves it. */
struct slot {
	uint32_t magic;
	struct cw_list link;
	struct cw_pool *pool;
	enum slot_state state;
	struct cw_conn *conn;
	uint64_t generation;         /* of the settings it was made with */
	int64_t expires_us, idle_since_us, last_answer_us;
	uint64_t proven;             /* the dispatch for which it need not be checked: it has just answered */
	int64_t group_from_us;       /* when the server began with the group of reads that is being answered */
	struct cw_list running;      /* requests, in order of sending */
	int depth;                   /* how many of them */
	int slow;                    /* how many of them may take long */
	int64_t backlog_us;          /* what they are expected to take, one after the other */
	struct cw_lease *lease;
	bool doomed;                 /* what ran on it was cancelled: the cancel may come late and hit the next statement */
};

struct cw_pool {
	struct cw_loop *loop;
	struct cw_pool_conf conf;
	char *conninfo;
	uint64_t generation;         /* counts changes of conninfo, and sessions outlived */
	int64_t renewed_us;          /* when that was last */
	uint64_t dispatch;           /* number of the next one, from 1 */
	struct cw_list slots[SLOT_STATES];
	int nslots[SLOT_STATES];
	struct cw_list waiting;      /* requests, in order of arrival */
	int nwaiting, nleases;       /* nleases: of the waiting ones */
	struct cw_list answers;      /* requests whose answer is known, but must not come from inside a call */
	uint64_t last_id;
	bool scheduled, closing;
	bool *gone;                  /* set when the pool is freed under a callback */
	struct cw_timer *deadline, *backoff, *housekeeping;
	int hot;                     /* so many busy connections are enough for fast statements */
	int64_t deadline_us;         /* for when the timer is set */
	int failures;                /* attempts to connect in a row */
	struct cw_err why;           /* the last of them */
	struct cw_map *stats;        /* statement name -> struct stat */
	uint64_t random;
	struct cw_metric *waits;     /* histogram: from the call to its connection */
	uint64_t checkouts, timeouts, refused, recycled, failed;
};

/* pool.c */
void cw_pool_schedule(struct cw_pool *pool);          /* dispatch at the end of this turn */

/* pool_slots.c */
void slot_set_state(struct slot *slot, enum slot_state state);
/* The best idle connection, or NULL; those that are too old are closed on the way, those idle for long are checked. */
struct slot *cw_pool_take_idle(struct cw_pool *pool);
/* Opens up to `want` connections more than are on their way already, within `limit` of all. */
void cw_pool_grow(struct cw_pool *pool, int want, int limit);
void cw_slot_close(struct slot *slot);
/* Closed, idle or draining, whatever its connection is fit for. */
void cw_slot_give_back(struct slot *slot, bool clean);
int cw_pool_open_slots(const struct cw_pool *pool);
void cw_pool_housekeeping(void *arg);
void cw_pool_backoff_over(void *arg);

#endif
