#!/bin/bash
# Runs the tests with a coverage build (`make coverage` builds it) and says what they reach: a line per layer, before it the
# files that are below the limit of theirs; all of it, line by line, under $BUILD/html. Fails when a layer is below its limit.
#
#   COVERAGE=all       every test (the default)
#   COVERAGE=unit      only the unit tests in C
#   COVERAGE=none      no test: report again what has been counted
#   COVERAGE="tests/unit/test_token.c tests/scenario/auth_spec.lua"    these, added to what has been counted
#
# What is counted: every line and every branch of engine/, at -O0, in the engine, in its evaluators and in the test programs
# (counters.c). What is not: branches that stand on a line without code (a closing brace) or that the compiler made for
# exceptions, and both ways of cw_assert(), whose other way is the end of the program. Nothing else is left out, and the
# sources bear no marks for it.
cd "$(dirname "$0")/../.." || exit 1
export BUILD=${BUILD:-build/coverage}
what=${COVERAGE:-all}
layers="http pg pipeline auth state lua"
least_lines=90 least_branches=85
export CHAINWATCH_BIN=$BUILD/chainwatch GCOV_ERROR_FILE=/dev/null

case $what in all | unit) find "$BUILD" -name '*.gcda' -delete ;; esac
failed=0
case $what in
none) ;;
all) tests/run.sh unit lua scenario || failed=1 ;;
unit) tests/run.sh unit || failed=1 ;;
*)
	for t in $what; do
		case $t in
		*.c) "$BUILD/unit/$(basename "$t" .c)" ;;
		*) busted --lua=luajit -o TAP "$t" ;;
		esac || failed=1
	done ;;
esac

mkdir -p "$BUILD/html"
# Counters of a process that was killed in between may tell of a branch that was taken more often than its line was run:
# gcov then says "taken -1", which is that branch's loss and no reason to stop.
gcovr --root . --filter 'engine/' --gcov-ignore-parse-errors --exclude-unreachable-branches --exclude-throw-branches \
	--exclude-branches-by-pattern '.*\bcw_assert\(' --object-directory . -j 2 \
	--csv "$BUILD/coverage.csv" --json "$BUILD/coverage.json" --html-details "$BUILD/html/index.html" \
	"$BUILD/engine" || exit 1

awk -F, -v layers="$layers" -v least_lines=$least_lines -v least_branches=$least_branches '
function percent(part, whole) { return whole ? 100 * part / whole : 100 }
function row(name, l, lc, b, bc, mark) {
	printf "%-34s %6d lines %5.1f %%   %6d branches %5.1f %%%s\n", name, l, percent(lc, l), b, percent(bc, b), mark
}
BEGIN { n = split(layers, list, " "); for (i = 1; i <= n; i++) limited[list[i]] = 1 }
FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
	split($at["filename"], part, "/"); layer = part[2]
	l[layer] += $at["line_total"]; lc[layer] += $at["line_covered"]
	b[layer] += $at["branch_total"]; bc[layer] += $at["branch_covered"]
	if (layer in limited) files[layer] = files[layer] $0 "\n"
}
END {
	count = split("app auth base chain detect http loop lua model pg pipeline source state store", all, " ")
	for (i = 1; i <= n; i++) {
		m = split(files[list[i]], rows, "\n")
		for (j = 1; j < m; j++) {
			split(rows[j], cell, ",")
			low = percent(cell[at["line_covered"]], cell[at["line_total"]]) < least_lines || \
				percent(cell[at["branch_covered"]], cell[at["branch_total"]]) < least_branches
			if (low)
				row(cell[at["filename"]], cell[at["line_total"]], cell[at["line_covered"]], \
					cell[at["branch_total"]], cell[at["branch_covered"]], "")
		}
	}
	print ""
	for (i = 1; i <= count; i++) {
		k = all[i]; bad = ""
		if (k in limited && (percent(lc[k], l[k]) < least_lines || percent(bc[k], b[k]) < least_branches)) {
			bad = "  BELOW " least_lines " / " least_branches; failed = 1
		}
		row("engine/" k, l[k], lc[k], b[k], bc[k], bad)
	}
	exit failed
}' "$BUILD/coverage.csv" || failed=1
echo "line by line: $BUILD/html/index.html"
exit $failed
