#!/bin/bash
# Runs suites with what `make asan` or `make tsan` built. What a sanitizer says goes to files, so that a report counts
# whoever made it: a child of a test, a verb whose output nobody reads, an engine that was killed afterwards. (A locked-in
# evaluator writes to its last words, which end in the engine's log: specs look there.)
#
# usage: sanitize.sh asan|tsan SUITE...      suites as in run.sh
cd "$(dirname "$0")/.." || exit 1
kind=$1
shift
export BUILD=build/$kind CHAINWATCH_BIN=build/$kind/chainwatch
reports=$PWD/build/$kind/reports
rm -rf "$reports"
mkdir -p "$reports"
chmod 1777 "$reports"   # PostgreSQL's user runs tests' children too

# Signals stay signals: tests crash evaluators on purpose and look at how they died. To see where an unexpected crash was,
# run that test alone with handle_segv=1.
common=log_path=$reports/report:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0
# verify_asan_link_order: a library that turns the clock is loaded ahead of the sanitizer's.
export ASAN_OPTIONS=$common:detect_stack_use_after_return=0:allocator_may_return_null=1:verify_asan_link_order=0:$ASAN_OPTIONS
export UBSAN_OPTIONS=log_path=$reports/report:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0
export TSAN_OPTIONS=$common:suppressions=$PWD/tests/support/tsan.supp:history_size=4:die_after_fork=0:$TSAN_OPTIONS
# Code is 3 times as slow, so limits in tests are longer.
export CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-4} CHAINWATCH_TEST_SLOW=${CHAINWATCH_TEST_SLOW:-4}
export TEST_SECONDS=${TEST_SECONDS:-2400}

tests/run.sh "$@"
rc=$?
for report in "$reports"/*; do
	[ -s "$report" ] || continue
	echo "--- $report"
	head -n 60 "$report"
	rc=1
done
exit $rc
