/* core.h - what the files of the pipeline share. Private to pipeline/: others include pipeline/pipeline.h.
 *
 * The three structs to know:
 *
 *   item         one transaction, from admission to its outcome; known by its key; waited for by slots
 *   submission   what one caller handed in: a slot for each transaction, answered as a whole
 *   group        the transactions of one commit
 *
 * An item is in one place at a time (enum item_place), and its link is in the list of that place. It is freed when the
 * pipeline and all slots have let go of it. Memory of outcomes hangs on a reference-counted arena (struct keep), so an
 * outcome lives as long as a slot refers to its item. */
#ifndef CW_PIPELINE_CORE_H
#define CW_PIPELINE_CORE_H

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "pg/conn.h"
#include "pg/pool.h"
#include "pipeline/pipeline.h"

struct cw_arena;
struct cw_map;
struct cw_metric;
struct cw_state;
struct cw_timer;
struct group;
struct recent;
struct reorg;
struct replay;
struct rates;
struct stored_lists;
struct submission;
struct warm;

#define PIPELINE_MAGIC 0x50495045u   /* "PIPE" */

/* An arena that several outcomes share. */
struct keep {
	int refs;
	struct cw_arena *arena;
};
struct keep *cw_keep_new(void);
struct keep *cw_keep_ref(struct keep *keep);
void cw_keep_unref(struct keep **keep);

/* --- admission (admit.c) --- */

#define ITEM_KEY 40                  /* chain id, hash */

enum item_place {
	ITEM_QUEUED = 0,                 /* p->queue: not yet sent */
	ITEM_GROUPED,                    /* in a group; the link is unused */
	ITEM_LOOKUP,                     /* p->lookups: known to the database, its stored verdict is asked for */
	ITEM_DONE,                       /* has its outcome */
};

struct item {
	struct cw_list link;
	struct cw_list slots;            /* who waits for it */
	enum item_place place;
	int refs;                        /* the pipeline's own, and one a slot */
	bool stored;                     /* lookup: evaluated by us; a COMMIT whose answer was lost has committed it */
	bool plain;                      /* stored without what the rules wrote: the database refused that */
	bool provisional;                /* its chain may still drop it */
	bool is_cursor;                  /* no transaction: `input` is name, NUL, position, NUL of a cursor that is written when
	                                  * all before it in the queue is stored; the key is one that no transaction has */
	uint8_t key[ITEM_KEY];
	struct cw_origin origin;         /* of the first submission */
	struct cw_verdict verdict;       /* once evaluated; memory of `keep` */
	struct cw_alert_stored *alerts;  /* one an alert, when they are stored */
	struct keep *keep;
	struct cw_outcome outcome;       /* once done */
	struct cw_err err;
	struct cw_tx_in in;              /* call data and logs stand behind the struct */
	_Alignas(8) uint8_t input[];
};

/* One transaction of a submission. */
struct slot {
	struct cw_list link;             /* in item->slots, until the item is done or the waiter gone */
	struct item *item;
	struct submission *owner;
	bool duplicate;                  /* not the first that asked */
};

struct submission {
	struct cw_list link;             /* p->waiting, in order of deadline; p->answers when complete */
	uint64_t id;
	int64_t deadline_us;
	cw_outcomes_fn *fn;
	void *arg;
	size_t n, open;                  /* transactions, and slots without outcome */
	size_t nslots;                   /* n, and one more for a cursor */
	struct cw_outcome *outcomes;     /* one a slot */
	struct slot slots[];
};

void cw_admit_init(struct cw_pipeline *p);
void cw_admit_release(struct cw_pipeline *p);
/* The outcome is in item->outcome (or item->err); hands it to the slots. The pipeline's reference goes. */
void cw_item_done(struct cw_pipeline *p, struct item *item);
void cw_item_fail(struct cw_pipeline *p, struct item *item, const struct cw_err *err);
void cw_item_requeue(struct cw_pipeline *p, struct item *item);   /* to the head of the queue */
void cw_item_unref(struct item **item);
/* The disk of the database has been full for a while: who waits is told so. */
void cw_admit_full(struct cw_pipeline *p);
/* Calls back every submission that is complete. Call it last: it may come back through submit. */
void cw_admit_answer(struct cw_pipeline *p);
/* What was to become of a rule goes on without the pipeline. */
void cw_rules_forget_writes(struct cw_pipeline *p);

/* Keys that were committed not long ago (recent.c). */
struct recent *cw_recent_new(uint32_t limit);
void cw_recent_free(struct recent **recent);
void cw_recent_resize(struct recent *recent, uint32_t limit);   /* forgets all */
bool cw_recent_has(const struct recent *recent, const uint8_t key[ITEM_KEY]);
void cw_recent_add(struct recent *recent, const uint8_t key[ITEM_KEY]);
void cw_recent_remove(struct recent *recent, const uint8_t key[ITEM_KEY]);

/* --- generations of rules (rules.c) --- */

struct rule_info {
	const char *id, *version, *title, *sha256;
	const char *declared;            /* status in the file */
	const char *json;                /* its other members as they were reported, without braces */
	bool candidate;                  /* on trial beside the live version of the same id */
	const char *fires;               /* JSON array: what its tests fired on; NULL: they have not run */
	int64_t version_id;              /* model_versions.id */
	bool disabled, quarantined;
	char reason[160];                /* why it is disabled */
	uint64_t alerts, faults;
	uint32_t logged;                 /* bit set of fault kinds that have been logged */
	int64_t since_us, changed_us;    /* this version is here; it was switched off or on. 0: never */
	struct cw_rule_meter before;     /* counts of evaluators of earlier generations, same id and role */
	bool expects;                    /* its author says how many alerts a day are ordinary */
	double expect_min, expect_max;
	struct cw_rule_alarm alarm;
};
/* Of all evaluators that this rule has had. */
void cw_rule_meter_of(const struct cw_pipeline *p, uint32_t rule, struct cw_rule_meter *out);
const char *cw_rule_status_of(const struct cw_pipeline *p, uint32_t rule);   /* live, shadow, candidate, warming, ... */
struct rule_info *cw_rule_find(struct cw_pipeline *p, const char *id, bool candidate, uint32_t *index);

struct generation {
	int refs;
	struct cw_arena *arena;
	const char *report;
	const char *digest;
	int64_t since_us;
	int64_t version_id;              /* of the ruleset */
	uint32_t nrules;
	struct rule_info *rules;
};
/* Copies of lists (lists.c). */
struct stored_lists {
	struct cw_arena *arena;
	struct cw_bundle_file *files;
	int n;
};
struct stored_lists *cw_stored_lists_new(const struct cw_bundle_file *files, int n);
void cw_stored_lists_free(struct stored_lists **lists);
/* Makes a bundle of `from` with these as its stored lists (NULL: none); the arrays are of the arena. */
void cw_stored_lists_join(struct cw_bundle *out, const struct cw_bundle *from, const struct stored_lists *lists,
                          struct cw_arena *arena);

struct generation *cw_generation_ref(struct generation *gen);
void cw_generation_unref(struct generation **gen);

void cw_rules_release(struct cw_pipeline *p);
void cw_rules_note_changes(struct cw_pipeline *p, const struct generation *old);
/* Begins to switch to the generation that waits, if one does and no verdict is outstanding. Nothing is submitted until
 * the evaluator says that it is at work (p->activating). */
void cw_rules_boundary(struct cw_pipeline *p);
void cw_rules_activated(struct cw_pipeline *p, bool ok, const char *reason);
void cw_rules_faults(struct cw_pipeline *p, struct generation *gen, const struct cw_verdict *v);
void cw_rules_quarantined(struct cw_pipeline *p, int rule, const char *reason);

/* --- commit (commit.c, group.c) --- */

enum group_state {
	GROUP_INSERTING = 0,             /* sent; which are new is not known yet */
	GROUP_READY,                     /* its transaction is open, the new ones wait for the evaluator */
	GROUP_EVALUATING,
	GROUP_JUDGED,                    /* its commit waits for that of the group before it */
	GROUP_COMMITTING,                /* verdicts and COMMIT are sent */
	GROUP_KEPT,                      /* evaluated, not committed: waits to be sent again */
	GROUP_REINSERTING,               /* sent again */
};

struct group {
	struct cw_list link;             /* p->kept in state GROUP_KEPT */
	enum group_state state;
	int lane;                        /* while it is on the stream */
	bool evaluated, on_stream, cut;
	bool renumber;                   /* its identities belong to others now */
	struct generation *gen;          /* that judges it; set when it is evaluated */
	struct keep *keep;
	size_t n;                        /* items that are its own: the known ones have left */
	size_t chunk;                    /* rows of each INSERT that it was sent as */
	size_t fresh;                    /* of them: answered to be new; the INSERTs of those behind are still to be answered */
	size_t submitted, judged;        /* of these */
	struct item **items;
	struct cw_list cursors;          /* items that are cursors: written with its COMMIT */
	int64_t started_us;
};
struct group *cw_group_new(size_t max);
void cw_group_free(struct group **group);    /* the items are the caller's */

enum stream_state {
	STREAM_DOWN = 0,
	STREAM_LEASING,
	STREAM_OPEN,
	STREAM_FAILING,                  /* an error: waits for the answers that are still to come, then rolls back */
	STREAM_BACKOFF,                  /* waits before it tries again, with or without a connection */
};

/* One connection of the stream. */
struct lane {
	struct cw_pipeline *p;
	struct cw_lease *lease;
	struct cw_conn *conn;            /* NULL: none */
	uint64_t request;                /* for one, 0: none */
	int64_t again_us;                /* not asked for before this time */
	bool open;                       /* a group's transaction may be open on it */
	bool rolled_back;
};
#define STREAM_LANES 2

struct stream {
	enum stream_state state;
	struct lane lanes[STREAM_LANES];
	int outstanding;                 /* answers that are to come, on all lanes */
	struct cw_err err;               /* the first error since it was open */
	struct group *culprit;           /* whose query had it; NULL: nobody's */
	int attempts;                    /* failures in a row */
	bool full;                       /* the last of them for want of room on the database's disk: nobody waits for that */
	int64_t commit_sent_us, commit_us;   /* when the last COMMIT was sent; how long one takes, about */
	size_t cohort;                   /* transactions of the last commit: as many come back, perhaps */
	struct cw_timer *backoff;
};


/* --- its connections (stream.c) --- */

struct cw_conn *cw_group_conn(const struct cw_pipeline *p, const struct group *g);
void cw_stream_init(struct cw_pipeline *p);
void cw_stream_release(struct cw_pipeline *p);
void cw_stream_open(struct cw_pipeline *p);      /* asks for what is missing */
/* Open, and its connections live. A lease does not tell when they die: ask before anything is sent. */
bool cw_stream_alive(struct cw_pipeline *p);
bool cw_stream_turns(const struct cw_pipeline *p);   /* what is queued is worth a connection of its own */
int cw_stream_lane(const struct cw_pipeline *p, size_t n);   /* for the next group, of n; the stream is alive */
/* Counts an answer; true if the stream goes on with it. */
bool cw_stream_answered(struct cw_pipeline *p, struct group *g, const struct cw_err *err);
/* Rolls back what is open on all lanes; when the last answer is in, cw_stream_settle has the groups recovered. */
void cw_stream_fail(struct cw_pipeline *p, struct group *culprit, const struct cw_err *err);
void cw_stream_settle(struct cw_pipeline *p);
bool cw_is_taken_identity(const struct cw_err *err);

/* --- */

/* The stream has failed and all its answers are in: what becomes of the groups that were on it. */
void cw_commit_recover(struct cw_pipeline *p);
void cw_commit_init(struct cw_pipeline *p);
void cw_commit_release(struct cw_pipeline *p);
/* Does what can be done now: open the stream, send the next group. */
void cw_commit_pump(struct cw_pipeline *p);
void cw_commit_kick(struct cw_pipeline *p);      /* the same at the end of this turn */
/* Gives the evaluator what waits for it. */
void cw_commit_evaluate(struct cw_pipeline *p);
void cw_commit_verdict(struct cw_pipeline *p, uint64_t seq, const void *bytes, size_t len);
/* The arena is gone: what the evaluator has in hand counts as not evaluated. */
void cw_commit_state_lost(struct cw_pipeline *p);

/* --- verdicts (judged.c), outcomes (publish.c) --- */

/* Reads a verdict into the item (memory of item->keep), makes it storable, counts its alerts and faults. */
void cw_verdict_take(struct cw_pipeline *p, struct generation *gen, struct item *item, const void *bytes, size_t len);
void cw_verdict_send_predictions(struct cw_pipeline *p, struct group *g, cw_query_fn *fn);
bool cw_verdict_send_alerts(struct cw_pipeline *p, struct group *g, cw_query_fn *fn);      /* false: there are none */
/* What became of the alerts. */
void cw_verdict_take_stored(struct group *g, const struct cw_result *res);

/* The group is committed: outcomes, answers, then the publisher. Frees it. */
void cw_publish_group(struct cw_pipeline *p, struct group **group);

/* --- stored verdicts of known transactions (known.c) --- */

void cw_known_init(struct cw_pipeline *p);
void cw_known_release(struct cw_pipeline *p);
void cw_known_ask(struct cw_pipeline *p, struct item *item);

/* --- replay (replay.c) --- */

/* Brings the state up to the newest stored transaction, if the evaluator is there; p->replay is set while it runs. */
void cw_replay_start(struct cw_pipeline *p);
void cw_replay_verdict(struct cw_pipeline *p, uint64_t seq);
void cw_replay_step(struct cw_pipeline *p);      /* goes on; no effect when none runs */
bool cw_replay_judging(const struct cw_pipeline *p);
double cw_replay_progress(const struct cw_pipeline *p);      /* 0 to 1 */
/* From the beginning again: the arena was lost meanwhile. */
void cw_replay_restart(struct cw_pipeline *p);
void cw_replay_release(struct cw_pipeline *p);

/* --- reorgs (reorg.c); while p->reorg is set no new group begins --- */

void cw_reorg_step(struct cw_pipeline *p);       /* goes on; no effect when none is under way */
/* The arena is ahead of the tables, or no evaluator lives: neither replay nor other rules may begin. */
bool cw_reorg_holds(const struct cw_pipeline *p);
void cw_reorg_release(struct cw_pipeline *p);

/* --- metrics of rules (rules_metrics.c), alarms about their rates (rates.c) --- */

void cw_rules_collect(struct cw_pipeline *p);
void cw_rates_init(struct cw_pipeline *p);
void cw_rates_release(struct cw_pipeline *p);
void cw_rates_reconfigured(struct cw_pipeline *p);

/* --- warm-up (warm.c) --- */

void cw_warm_init(struct cw_pipeline *p);
void cw_warm_release(struct cw_pipeline *p);
void cw_warm_step(struct cw_pipeline *p);        /* begins, or goes on */
/* Begins again from what the rules have seen: a new generation, or the arena was rewound or lost. */
void cw_warm_restart(struct cw_pipeline *p, bool ring_is_empty);
bool cw_warm_judging(const struct cw_pipeline *p);
bool cw_warm_holds(const struct cw_pipeline *p); /* nothing new is to be judged for a moment */
double cw_warm_progress(const struct cw_pipeline *p, uint64_t gap);   /* 0 to 1 */

/* The evaluator has transactions in hand. */
bool cw_pipeline_judging(const struct cw_pipeline *p);

struct pipeline_metrics {
	struct cw_metric *fresh, *duplicate, *failed, *queued, *group_size, *commit_seconds, *severity[4], *reorgs, *retracted;
};

struct cw_pipeline {
	uint32_t magic;
	struct cw_loop *loop;
	struct cw_list status_writes;    /* of rules, on their way to the database */
	struct cw_pool *pool;
	struct cw_state *st;
	struct cw_supervisor *supervisor;
	struct cw_pipeline_conf conf;
	struct pipeline_metrics metrics;
	struct cw_pipeline_stats stats;

	/* admission */
	struct cw_map *in_flight;        /* key -> item */
	struct recent *recent;
	struct cw_list queue;
	uint32_t queued, load;           /* load: items that are not done, and slots that wait beside the first */
	struct cw_list waiting, answers; /* submissions */
	struct cw_timer *deadline;
	uint64_t last_id, last_cursor;
	bool draining, answering;
	void (*drained)(void *arg);
	void *drained_arg;

	/* rules */
	struct generation *gen, *next_gen;
	bool activating;
	struct load *load_job;
	struct stored_lists *lists;      /* address lists that are no files; NULL: none */
	struct cw_buf ruleset;           /* JSON */
	struct cw_buf changes;           /* of the newest generation, JSON */

	/* commit */
	struct stream stream;
	struct group *front;             /* being inserted or evaluated */
	struct group *committing;
	struct cw_list kept;             /* groups to be committed again, in order */
	uint32_t *cuts;                  /* sizes of the next groups: halves of one that failed */
	uint32_t ncuts, cuts_cap;
	struct cw_timer *again;          /* linger, or look again whether an evaluator is there */
	struct cw_arena *scratch;        /* parameters of the query that is being sent */
	bool lingered, kicked;

	/* known transactions */
	struct cw_list lookups;
	struct lookup *lookup;
	struct cw_timer *lookup_again;
	int lookup_failures;

	/* replay */
	struct replay *replay;
	bool replay_needed, replayed;
	struct warm *warm;
	struct rates *rates;
	cw_alarm_fn *on_alarm;
	void *on_alarm_arg;
	struct reorg *reorg;
	bool want_events;                /* rows of outbox */

	cw_publish_fn *publish;
	void *publish_arg;
	cw_retract_fn *retract;
	void *retract_arg;
	cw_restore_fn *restore;
	void *restore_arg;
	cw_discard_fn *discard;
	void *discard_arg;
};

#endif
