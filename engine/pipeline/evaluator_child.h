/* evaluator_child.h - the inside of an evaluator process, and the page it shares with the engine.
 *
 * The page is of one process; the ring and the arena go from one evaluator to the next. What the evaluator writes is
 * checked by the engine before it is used. */
#ifndef CW_PIPELINE_EVALUATOR_CHILD_H
#define CW_PIPELINE_EVALUATOR_CHILD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pipeline/evaluate.h"
#include "state/state.h"

#define CW_REPORT_MAX (4u << 20)
#define CW_WORDS_MAX 16384u            /* of what it writes to stderr */

enum cw_phase { CW_PHASE_LOADING = 0, CW_PHASE_LOADED, CW_PHASE_LIVE, CW_PHASE_DONE, CW_PHASE_FAILED };

struct cw_page {
	/* The engine writes; after the last four words it also writes CW_FD_WAKE, whether the evaluator sleeps or not. */
	uint64_t start;                            /* position of its first transaction */
	volatile int stop;                         /* see bind_stop */
	_Atomic uint32_t go;                       /* 1: its turn has come */
	_Atomic uint64_t limit;                    /* it ends before this position */
	_Atomic uint32_t switches;                 /* counts changes of `disabled` */
	_Atomic uint8_t disabled[CW_RULES_MAX];

	/* The evaluator writes; after a change of phase it also writes CW_FD_ENGINE. */
	_Alignas(64) _Atomic uint32_t phase;
	_Atomic uint64_t begun;                    /* position of the transaction at work, + 1 */
	volatile uint32_t running;                 /* rule at work, + 1 */
	struct cw_err err;                         /* FAILED: why */
	struct cw_rule_meter meters[CW_RULES_MAX];
	uint32_t report_len;
	char report[CW_REPORT_MAX];
};

/* What the zygote hands to a new evaluator. */
enum { CW_PASS_STATE = 0, CW_PASS_RING = CW_STATE_FDS, CW_PASS_PAGE, CW_PASS_BUNDLE, CW_PASS_WORDS, CW_PASS_WAKE,
	   CW_PASS_ENGINE, CW_PASS_COUNT };

struct cw_spawn {
	int64_t engine_pid;
	struct cw_state_conf state;
	uint64_t scratch_bytes;
	uint64_t bundle_size;
	uint32_t tested;                           /* bool */
};

/* Never returns; owns the descriptors. */
_Noreturn void cw_evaluator_main(const struct cw_evaluator_ops *ops, const struct cw_spawn *spawn,
                                 const int fds[CW_PASS_COUNT]);

#endif
