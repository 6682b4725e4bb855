/* supervise_internal.h - what supervise.c, watchdog.c and death.c share. Not for other files.
 *
 * All changes of who works go through cw_supervisor_step(): it looks at what is wanted (an activation or a pause at a
 * position, the live generation otherwise) and at what is there, and does the next thing. Everything else only notes a
 * wish or a death and calls it. Only one evaluator has the turn at a time, and none while the engine touches the arena. */
#ifndef CW_PIPELINE_SUPERVISE_INTERNAL_H
#define CW_PIPELINE_SUPERVISE_INTERNAL_H

#include "base/buf.h"
#include "base/log.h"
#include "pipeline/evaluator.h"
#include "pipeline/supervise.h"

#define CW_NEVER UINT64_MAX

struct cw_arena;
struct cw_ring;
struct cw_timer;
struct cw_watch;

/* One set of rules: its sources, for successors, and what has become of each rule. */
struct cw_generation {
	int bundle_fd;
	size_t bundle_size;
	bool disabled[CW_RULES_MAX];
	uint32_t faults[CW_RULES_MAX];
	struct cw_rule_meter meters[CW_RULES_MAX];   /* of evaluators that are gone */
};

enum cw_role { CW_ROLE_LOADING = 0, CW_ROLE_LOADED, CW_ROLE_STARTING, CW_ROLE_LIVE };

/* A process and what the supervisor knows of it. */
struct cw_worker {
	struct cw_supervisor *s;
	struct cw_evaluator *evaluator;
	struct cw_watch *watch;
	struct cw_generation *generation;
	enum cw_role state;
	int64_t since_us;                /* this state */
	int64_t stopped_us;              /* seen standing still since then; 0: it does not */
	bool idle;                       /* killed because nothing moved, and without the CPU time that a rule would have used */
	struct cw_err nonsense;          /* set: it sent some, nothing more is read from it */
};

/* What the watchdog saw when something last moved. */
struct cw_glimpse {
	uint64_t begun, received;
	int running;
	int64_t since_us, cpu_us;
	bool stop_sent;
};

struct cw_supervisor {
	struct cw_loop *loop;
	struct cw_zygote *zygote;
	struct cw_state *st;
	struct cw_supervisor_conf conf;
	cw_verdict_fn *on_verdict;
	cw_supervisor_event_fn *on_event;
	cw_warmed_fn *on_warmed;
	void *arg;

	struct cw_ring *ring;
	int engine_fd;
	struct cw_watch *engine_watch;
	struct cw_timer *timer;
	struct cw_buf bytes;
	struct cw_arena *arena;          /* for verdicts that are looked at */

	uint64_t sent, received;         /* transactions; positions in the ring */
	uint64_t acked;                  /* seq of the last verdict received, or what the arena began with */
	struct cw_generation *generation;   /* that works, or will again */
	struct cw_generation *coming;       /* loading, loaded, or on its way in */
	struct cw_worker *live, *next;      /* has the turn or gets it next; loads aside */
	cw_load_fn *load_fn;             /* NULL once it was told */
	void *load_arg;
	uint64_t activate_at, pause_at;  /* positions, or CW_NEVER */
	void (*pause_fn)(void *arg);
	void *pause_arg;
	bool paused, busy;               /* busy: in the middle of a death, step() waits */

	struct cw_glimpse glimpse;
	char reason[512];                /* why the last one died; "": did not */
	int failures;                    /* deaths in a row without a verdict between them */
	int64_t retry_us;
	int killed_rule;                 /* at work when a foreign SIGKILL struck, and on which transaction */
	uint64_t killed_position;
	struct cw_supervisor_stats stats;
};

/* --- supervise.c --- */
void cw_supervisor_step(struct cw_supervisor *s);
void cw_supervisor_take(struct cw_supervisor *s);                 /* verdicts, and what phase the live one is in */
uint64_t cw_supervisor_limit(const struct cw_supervisor *s);      /* where the live one is to end, or CW_NEVER */
void cw_supervisor_tell(struct cw_supervisor *s, enum cw_supervisor_event event, int rule, const char *reason);
void cw_supervisor_tell_load(struct cw_supervisor *s, const char *report, const struct cw_err *err);
void cw_supervisor_quarantine(struct cw_supervisor *s, struct cw_worker *w, uint32_t rule, const char *reason);
void cw_supervisor_log(enum cw_log_level level, const char *msg, int rule, const char *reason);
/* Keeps what the dead one has counted. */
void cw_supervisor_keep_meters(struct cw_worker *w);
void cw_generation_free(struct cw_generation **generation);
void cw_worker_free(struct cw_worker **worker);
/* Of the generation that is on its way in. */
bool cw_worker_is_fresh(const struct cw_supervisor *s, const struct cw_worker *w);

/* --- watchdog.c --- */
void cw_watchdog_soon(struct cw_supervisor *s);                   /* there is something to watch */
void cw_watchdog_look(void *supervisor);                          /* the timer's function */
void cw_watchdog_glimpse(struct cw_supervisor *s, int64_t now_us);

/* --- death.c --- */
void cw_supervisor_on_live_death(struct cw_supervisor *s, struct cw_worker *w, const struct cw_obituary *obituary);
void cw_supervisor_on_next_death(struct cw_supervisor *s, struct cw_worker *w, const struct cw_obituary *o);
/* A death, or no start at all: the next try may have to wait. */
void cw_supervisor_note_failure(struct cw_supervisor *s);
/* A verdict, or a second of life. */
void cw_supervisor_note_recovery(struct cw_supervisor *s);
bool cw_supervisor_is_failing(const struct cw_supervisor *s);
/* The arena, back to the mark of the last verdict that was received. */
int cw_supervisor_rewind(struct cw_supervisor *s, struct cw_err *err);

#endif
