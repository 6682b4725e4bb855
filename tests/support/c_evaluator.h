/* c_evaluator.h - an evaluator in C that does what transactions and rule texts tell it, for tests and benchmarks.
 *
 * Rule 0 counts in the arena: transactions, a running hash over all of them, and for each sender a count in a
 * dictionary with a block of its own. Rule 1 obeys the command in the first byte of the call data; `nonce` is its
 * argument. Names of files mean nothing; texts are commands for load: "fail", "fail silently", "crash", "hang",
 * "attach fails", "attach crashes", "big report"; a text "v<n>" sets the version that alerts tell. */
#ifndef CW_TESTS_C_EVALUATOR_H
#define CW_TESTS_C_EVALUATOR_H

#include <stdint.h>

#include "pipeline/evaluate.h"

enum c_command {
	C_QUIET = 0,
	C_ALERT,          /* explanation "v<version> #<count>" */
	C_FAULT,
	C_SEGV,
	C_ABORT,          /* after a word on stderr */
	C_HANG,           /* for ever, deaf */
	C_LOOP,           /* for ever, but stops when told: a fault TIME */
	C_SPIN,           /* nonce microseconds */
	C_SYSCALL,        /* number nonce, with three zeros */
	C_EXIT,           /* status nonce */
	C_RECURSE,        /* nonce MiB of stack */
	C_NONSENSE,       /* a verdict that is none */
	C_WRONG_SEQ,
	C_BIG,            /* nonce alerts of 16 KiB */
	C_MEMORY,         /* allocates and frees, maps code pages like a JIT does; alert if all went well */
	C_WRITE_CODE,     /* maps memory writable and executable */
};

/* Lies at the root "count/all". */
struct c_count { uint64_t count, hash; };

extern const struct cw_evaluator_ops c_evaluator;

/* A transaction with this sequence number, command and argument, from one of 256 senders, 50 to a block. */
struct cw_tx c_tx(uint64_t seq, enum c_command command, uint64_t nonce);

#endif
