/* rules_in_c.h - an evaluator in C with three rules, for tests of the pipeline: what it does is told by `gas`.
 *
 * It counts transactions in the arena, and every alert's features tell the count: {"n":12,"hash":"..."}; the hash runs
 * over all transactions it has ever counted. So a table of anomalies shows whether each was counted once and in order. */
#ifndef CW_TESTS_RULES_IN_C_H
#define CW_TESTS_RULES_IN_C_H

#include "pipeline/evaluate.h"

enum told {
	TOLD_QUIET = 21000,
	TOLD_ALERT = 1,              /* rule 0 "test.count", high */
	TOLD_SHADOW,                 /* rule 1 "test.shadow" */
	TOLD_FAULT,                  /* rule 2 "test.fault" */
	TOLD_TWO,                    /* rule 0 low, rule 2 critical */
	TOLD_SPIN,                   /* nonce microseconds, then as TOLD_ALERT */
	TOLD_UNSTORABLE,             /* rule 0, with features that are JSON and not jsonb */
	TOLD_CRASH,                  /* SIGSEGV, as long as rule 2 is enabled */
	TOLD_NO_RULE,                /* an alert of rule 77 */
	TOLD_LIVE,                   /* rule 0, with the nonce modulo 4 as dedup key and a cool-down of an hour; high, but
	                              * critical where the nonce is a multiple of 10 */
};

extern const struct cw_evaluator_ops rules_in_c;

/* A bundle whose rules have this version. Valid until the next call. Some versions are commands:
 * - "bad" does not load, "loose" does not attach, "torn", "no list" and "no id" have a report that is none;
 * - "... lacks": rule 1 begins with a state of its own that lacks all of history. It counts what it has been given, as history
 *   or live, and while it lacks nothing its alerts tell the count beside that of rule 0: {"seen":12,"n":12}. */
const struct cw_bundle *rules_in_c_bundle(const char *version);

#endif
