/* pipeline.h - the way of a transaction: admit -> evaluate -> commit -> publish.
 *
 * Acknowledged is committed: an outcome without error means that PostgreSQL has committed the transaction, its
 * prediction and its anomalies. Identity is (chain_id, hash): a known one is not evaluated again, its stored verdict is
 * the outcome. Arrivals that come while a commit is in flight go as one group with the next. A group that was evaluated
 * is retried until it commits, so state never counts a transaction twice or for nothing. */
#ifndef CW_PIPELINE_PIPELINE_H
#define CW_PIPELINE_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/tx.h"
#include "pipeline/supervise.h"
#include "pipeline/verdict.h"

struct cw_arena;
struct cw_err;
struct cw_loop;
struct cw_pipeline;
struct cw_pool;
struct cw_state;

struct cw_pipeline_conf {
	uint32_t queue_limit;         /* transactions admitted and not yet committed, 16384; above: CW_ERR_BUSY */
	uint32_t group_max;           /* transactions in one commit, 1000 */
	uint32_t insert_rows;         /* in one INSERT, 128 (0 is that): of a larger group the first are judged while the rest go in */
	int64_t commit_linger_us;     /* 0: a lone request commits at once */
	uint32_t commit_lanes;        /* connections that take turns in committing: 1 (0 is 1) or 2 */
	uint32_t lane_rows;           /* the second is for groups of so many, 256 */
	uint32_t recent_hashes;       /* kept in memory, 1 << 16 */
	int64_t wait_ms;              /* a transaction's waiters get CW_ERR_TIMEOUT after this, 30000 */
	uint64_t replay_max;          /* at most so many of the newest transactions are replayed, 1000000; 0: none */
	uint64_t warm_max;            /* a rule whose state begins empty is given so many of the newest transactions, 1000000 */
	int64_t rate_check_ms;        /* how often rules are looked at that may be silent or flooding, 60000; 0: never */
	int64_t warm_hours;           /* and none that is older than this before the newest, 168; 0: any */
};
extern const struct cw_pipeline_conf cw_pipeline_conf_default;

/* Alerts of rules on trial (CW_ALERT_SHADOW) are stored, and never in an outcome. */
enum cw_alert_event { CW_EVENT_NONE = 0, CW_EVENT_NEW, CW_EVENT_UPDATED };
struct cw_outcome_alert {
	int64_t id;                   /* anomalies.id of the living alert */
	bool founded;                 /* here; false: this transaction is further evidence of it */
	bool provisional;             /* its chain may still drop this transaction */
	int64_t reborn_of;            /* a retracted alert that this one is again; 0: none */
	enum cw_alert_event event;    /* what the world is told: an update when its severity rises or its fires double */
	const char *rule, *version, *title;
	const struct cw_alert *alert; /* NULL for a stored one: then the fields below are all there is */
	enum cw_severity severity;
	double score, confidence;
	const char *explanation, *features;
	enum cw_alert_role role;      /* of: */
	const char *entity;           /* the address that it is about, "" if there is none */
	const char *labels;           /* JSON array: entries of lists that it rests on */
};

/* Valid during the callback. */
struct cw_outcome {
	const struct cw_tx *tx;
	bool duplicate;               /* known before: this is the stored verdict */
	int64_t transaction_id;
	bool is_anomaly;
	double score, confidence;
	enum cw_severity severity;    /* highest of the alerts */
	const char *ruleset;          /* digest of the rules that judged */
	int nalerts;
	int nsuppressed;              /* alerts beside these that a suppression hides; they do not make it an anomaly */
	const struct cw_outcome_alert *alerts;
	const struct cw_err *err;     /* set: this one failed; nothing else is valid but tx */
};

/* An outcome's error that comes of the values in its row: again, it would end the same way. */
bool cw_is_data_error(const struct cw_err *err);

/* A source that reads on and on, and may have to take back what it gave: a follower of a chain, a consumer of a bus. */
struct cw_source {
	const char *name;             /* of its row in cursors; NULL: it keeps none */
	const char *cursor;           /* JSON: how far it has read once this submission is stored. Written in the database
	                               * transaction of the last row, never before; of several, the latest */
	bool provisional;             /* its chain may still drop these: cw_pipeline_rewind, cw_pipeline_finalise */
};

struct cw_origin {
	const struct cw_source *source;   /* NULL: what is told once is final. Needed during the call only */
	int64_t user_id;              /* 0: none */
	char request_id[65];
	int64_t start_us;             /* monotonic, for response_time_ms */
};

/* Once, when all transactions of the submission have their outcome, in the order they were given. Never before submit
 * has returned. */
typedef void cw_outcomes_fn(void *arg, const struct cw_outcome *outcomes, size_t n);

struct cw_pipeline *cw_pipeline_new(struct cw_loop *loop, struct cw_pool *pool, struct cw_zygote *zygote,
                                    struct cw_state *st, const struct cw_pipeline_conf *conf,
                                    const struct cw_supervisor_conf *supervisor, struct cw_err *err);
/* Answers everything that waits with CW_ERR_CANCELLED, ends the evaluator. Not from a callback of the pipeline. */
void cw_pipeline_free(struct cw_pipeline **pipeline);
void cw_pipeline_reconfigure(struct cw_pipeline *pipeline, const struct cw_pipeline_conf *conf);

/* `n` may be 0 where the origin has a cursor (an empty block): `fn` is called when that is stored. With a cursor,
 * outcomes[n] is the cursor's: no err, it is stored.
 *
 * Copies what it needs. Returns a number for cw_pipeline_cancel, or 0 with CW_ERR_BUSY (queue full, or draining: answer
 * 503 with Retry-After) or CW_ERR_INVALID (none, or more than the queue can ever hold) - then nothing was taken. */
uint64_t cw_pipeline_submit(struct cw_pipeline *pipeline, const struct cw_tx_in *txs, size_t n,
                            const struct cw_origin *origin, cw_outcomes_fn *fn, void *arg, struct cw_err *err);
/* `fn` will not be called; the transactions go on. */
void cw_pipeline_cancel(struct cw_pipeline *pipeline, uint64_t submission);
uint32_t cw_pipeline_room(const struct cw_pipeline *pipeline);    /* how many more could be submitted now */

/* --- chains that change their mind --- */

/* Canonical transactions of the chain in block `from_block` and above that name their block (CW_TX_HAS_BLOCK_HASH) are
 * dropped, if it is one that the source has handed over (store/source_blocks.h; all where it keeps no list): marked non-canonical, no evidence any more. Alerts that keep no evidence are retracted, others lose what they
 * gained by it. Detectors go back to where they were before the first of them, and judge again what other chains had after
 * it (stored verdicts of those stay). A transaction that comes again, in another block, is judged anew and stored beside
 * the dropped one. */
struct cw_reorg {
	uint64_t chain_id, from_block;
	const char *source, *cursor;  /* whose blocks; row of cursors that moves back with it (JSON). NULL: none */
};
struct cw_rewound {
	uint64_t transactions, retracted;     /* dropped; alerts that went with them */
	uint64_t judged_again;        /* transactions of other chains, or all of history where the undo log is too short */
};
/* Once: everything is done and what is submitted from here on follows the new branch; or err CW_ERR_CANCELLED: the engine
 * stops. A database that is away is waited for. */
typedef void cw_rewound_fn(void *arg, const struct cw_rewound *what, const struct cw_err *err);
/* What is in the queue waits and is judged afterwards, so a source must have its outcomes before it calls. One at a time:
 * -1 and CW_ERR_BUSY; `fn` is not called then. */
int cw_pipeline_rewind(struct cw_pipeline *pipeline, const struct cw_reorg *reorg, cw_rewound_fn *fn, void *arg,
                       struct cw_err *err);
/* Blocks up to this one stay: alerts founded in them become final. Not while the database is away: a source says it anew
 * with each head. */
void cw_pipeline_finalise(struct cw_pipeline *pipeline, uint64_t chain_id, uint64_t up_to_block);

/* Loads a generation of rules, registers it in models / model_versions, activates it. `fn` once: the report or the
 * reason why the old generation goes on. */
int cw_pipeline_load_rules(struct cw_pipeline *pipeline, const struct cw_bundle *bundle, cw_load_fn *fn, void *arg,
                           struct cw_err *err);
/* Address lists that are no files. They join every bundle that is loaded from here on; their names begin so: */
#define CW_LISTS_STORED "stored:"
/* At the start, before the first rules. Copies. */
void cw_pipeline_set_lists(struct cw_pipeline *pipeline, const struct cw_bundle_file *lists, int n);
/* Adds copies of them, as they are live now, to a bundle that was read aside: what is judged aside sees the same. */
void cw_pipeline_join_lists(const struct cw_pipeline *pipeline, struct cw_bundle *bundle, struct cw_arena *arena);
/* Loads the live rules again with these instead of those before: a hot swap at a batch boundary. As cw_pipeline_load_rules. */
int cw_pipeline_load_lists(struct cw_pipeline *pipeline, const struct cw_bundle_file *lists, int n, cw_load_fn *fn, void *arg,
                           struct cw_err *err);
/* JSON of the ruleset that is live: digest, since, rules with version, status, warm or not, calls, fires, faults, time,
 * state; "" before the first. Valid until the next call. */
const char *cw_pipeline_ruleset(struct cw_pipeline *pipeline);
/* JSON object: for each live rule the alerts that its own tests raise, as objects chain, from, to, dedup (at most 64).
 * Valid until the next call of this or of cw_pipeline_ruleset. */
const char *cw_pipeline_rule_fires(struct cw_pipeline *pipeline);
/* What the newest generation has that the one before had not, as a JSON array: [{"rule","role","change":"added|changed|
 * removed","version","from"}]. */
const char *cw_pipeline_changes(const struct cw_pipeline *pipeline);
/* One rule of it, "" if there is none; `candidate` is the version on trial. Valid until the next call. */
const char *cw_pipeline_rule(struct cw_pipeline *pipeline, const char *id, bool candidate);

struct cw_rule_view {
	const char *id, *version, *sha256, *status;     /* status as in the JSON: live, shadow, candidate, warming, ... */
	int64_t changed_us, version_id;
	uint64_t faults;
	uint64_t from;                /* it judges what comes after this transaction; 0: not known */
	double mean_us, mean_ticks;   /* of a call */
	bool warm;
};
/* -1 and CW_ERR_NOT_FOUND, with the nearest name. Valid until the next generation. */
int cw_pipeline_view_rule(struct cw_pipeline *pipeline, const char *id, bool candidate, struct cw_rule_view *view,
                          struct cw_err *err);

enum cw_rule_switch { CW_RULE_ENABLE = 0, CW_RULE_DISABLE, CW_RULE_QUARANTINE, CW_RULE_RELEASE };
/* Whether that is possible now: -1 and CW_ERR_NOT_FOUND or CW_ERR_CONFLICT, with the state it is in. */
int cw_pipeline_may_switch(struct cw_pipeline *pipeline, const char *id, bool candidate, enum cw_rule_switch what,
                           struct cw_err *err);
/* Does it, at the next batch. That it stays so over a restart is the caller's care (rule_states). */
int cw_pipeline_switch_rule(struct cw_pipeline *pipeline, const char *id, bool candidate, enum cw_rule_switch what,
                            const char *reason, struct cw_err *err);

/* How many alerts a rule gives, and whether that is out of the ordinary. */
struct cw_rule_alarm {
	bool known;                   /* the rates below are */
	double hour, day;             /* alerts in the last hour and day */
	double min, max;              /* expected a day */
	bool declared;                /* by the rule; else learnt from the week before */
	char kind[8];                 /* "", "silent", "flood" */
	int64_t raised_us;
};

/* Told when an alarm begins and when it is over (`raised` false). */
typedef void cw_alarm_fn(void *arg, const char *rule, const struct cw_rule_alarm *alarm, bool raised, const char *message);
void cw_pipeline_on_alarm(struct cw_pipeline *pipeline, cw_alarm_fn *fn, void *arg);

/* Rules are live, history has been replayed, the database answers: no group has been on its way for more than 5 s. */
bool cw_pipeline_ready(const struct cw_pipeline *pipeline);

struct cw_pipeline_stats {
	uint64_t fresh, duplicate, failed;    /* outcomes of transactions */
	uint64_t groups, retries, alerts, refused, timeouts, reorgs, replayed, warmed;
	uint64_t committed_id;        /* transactions.id of the newest committed one: what a checkpoint may contain */
	uint32_t queued, load;        /* waiting for a group; admitted and not done */
	bool replaying;
	double replay_progress;       /* 0 to 1 while it is */
};
struct cw_pipeline_stats cw_pipeline_stats(const struct cw_pipeline *pipeline);
struct cw_supervisor_stats cw_pipeline_supervisor_stats(const struct cw_pipeline *pipeline);

/* Told after each commit, for SSE and deliveries. Valid during the call. */
typedef void cw_publish_fn(void *arg, const struct cw_outcome *outcome);
void cw_pipeline_on_publish(struct cw_pipeline *pipeline, cw_publish_fn *fn, void *arg);
/* An alert that was told of and is none any more: its chain dropped all that it rested on. Valid during the call. */
struct cw_retraction {
	int64_t anomaly_id, reorg_id;
	uint64_t chain_id;
	const char *rule, *version, *title, *dedup;
	enum cw_severity severity;
};
typedef void cw_retract_fn(void *arg, const struct cw_retraction *retraction);
void cw_pipeline_on_retract(struct cw_pipeline *pipeline, cw_retract_fn *fn, void *arg);
/* Whether there are receivers: each commit then leaves a row in outbox for an alert that is new, has risen in severity, is
 * retracted or reborn, with an empty target for the delivery to fill in. Off at first. Never for shadow or suppressed
 * ones. */
void cw_pipeline_want_events(struct cw_pipeline *pipeline, bool wanted);
/* Asked before a reorg: checkpoints that hold transactions from `seq` on must be gone for good, and none may come before the
 * pipeline says so (stats.replaying is set until then). false: not yet, ask again soon. */
typedef bool cw_discard_fn(void *arg, uint64_t seq);
void cw_pipeline_on_discard(struct cw_pipeline *pipeline, cw_discard_fn *fn, void *arg);
/* Told when the arena was lost, while no evaluator lives: may fill it from a checkpoint; history is then replayed from
 * cw_state_seq() on. At the start the owner does the same before cw_pipeline_new. */
typedef void cw_restore_fn(void *arg, struct cw_state *st);
void cw_pipeline_on_state_lost(struct cw_pipeline *pipeline, cw_restore_fn *fn, void *arg);
/* Waits until everything admitted is answered and committed (while the database is away: answered, if only by the
 * time-out), then calls fn (shutdown). New submissions get CW_ERR_BUSY. */
void cw_pipeline_drain(struct cw_pipeline *pipeline, void (*fn)(void *arg), void *arg);

#endif
