/* living.h - which alerts live: one for each (rule, chain, dedup key) until it has been quiet for its cool-down.
 *
 * Decided where rules run, in event time, from state in the arena: live, replay, a rewind after a kill and a backtest
 * agree bit for bit. A fire within the cool-down continues the alert and extends it, so an attack that goes on is one
 * alert that grows; but none lives longer than a day (or than its cool-down, if that is longer). */
#ifndef CW_PIPELINE_LIVING_H
#define CW_PIPELINE_LIVING_H

#include <stdint.h>

#include "pipeline/verdict.h"
#include "state/state.h"

struct cw_err;
struct cw_living;
struct cw_tx;

#define CW_LIVING_ROOT "!alerts"       /* name of the root within a rule's: no state can be called that */
#define CW_LIVING_DEFAULT_S 3600      /* cool-down of a rule that declares none */
#define CW_LIVING_MAX_S (30 * 86400)  /* longest cool-down */
#define CW_LIVING_DAY_S 86400         /* an alert is founded anew after this, if its cool-down is not longer */
#define CW_LIVING_KEYS 65536          /* alerts of one rule that can be alive: above, the longest quiet one is forgotten */

/* For the root in which one rule keeps its alerts. */
void cw_living_digest(int64_t cooldown_s, uint8_t digest[16]);
/* `root` was opened with that digest. NULL: no memory in the arena. */
struct cw_living *cw_living_open(struct cw_state *st, struct cw_state_root *root, int64_t cooldown_s, struct cw_err *err);
void cw_living_close(struct cw_living **living);
/* Gives the memory of a root back, whatever cool-down it was opened with, and the root itself. */
void cw_living_drop(struct cw_state *st, struct cw_state_root *root);

/* The rule has fired: fills in `founder`, `occurrences` and CW_ALERT_ROSE. An alert without dedup key stands alone, and so
 * does every one when the cool-down is 0. */
void cw_living_note(struct cw_living *living, const struct cw_tx *tx, struct cw_alert *alert);

#endif
