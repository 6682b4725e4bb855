#!/bin/bash
# Unit tests under memcheck (make valgrind builds them first), two at a time. What is reported fails the test it was found
# in: its process ends with 99.
#
# usage: valgrind.sh [TEST...]      all but the left out ones without names
cd "$(dirname "$0")/.." || exit 1

# Evaluators are made by clone(CLONE_PARENT), which memcheck does not carry out, and locked in by seccomp, which kills
# memcheck itself: none of these tests goes without one. `make asan` runs them.
left_out=" test_supervise test_pipeline test_pipeline_retry test_commit test_reorg test_trial test_warm test_bus test_refused "

tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
	for source in tests/unit/test_*.c; do
		name=$(basename "$source" .c)
		case $left_out in *" $name "*) ;; *) tests+=("$name") ;; esac
	done
fi
export BUILD=build/valgrind TEST_SECONDS=3000 CHAINWATCH_TEST_MEMCHECK=1
# Code is 20 to 50 times as slow, so limits in tests are longer.
export CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-50} CHAINWATCH_TEST_SLOW=${CHAINWATCH_TEST_SLOW:-20}
# 64 MiB: what the VM asks of the stack. Programs that a test starts (PostgreSQL) run as they are.
export UNIT_UNDER="valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
--main-stacksize=67108864 --trace-children=no --num-callers=24 --suppressions=tests/support/valgrind.supp"
tests/run.sh "${tests[@]}"
