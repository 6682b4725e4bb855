#!/bin/bash
# Runs the suites (unit, lua, scenario; all by default) or single files (tests/scenario/x_spec.lua, test_x); closes with the
# line "N passed, N failed". JOBS run at once (default 2).
# TEST_SECONDS limits one file (default 600); UNIT_UNDER is a command to run unit tests under, such as valgrind.
# Tests wait for real servers, and a busy machine may starve one: a file that failed beside others is run once more, alone,
# and both are told. RETRY=0: it is not. What failed is told again at the end, where a long log is read first.
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
suites=${*:-unit lua scenario}
export CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-5}   # limits are for hangs, and others share the machine
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
again=() told=()

# name, log, code, "last" where it is not run again: counts Check's summary line and busted's TAP lines.
count() {
	local name=$1 log=$2 rc=$3 p=0 f=0 checks failures errors faults
	while IFS=, read -r checks failures errors; do
		checks=${checks##*: } failures=${failures##*: } errors=${errors##*: }
		p=$((p + checks - failures - errors)) f=$((f + failures + errors))
	done < <(grep -aE '^[0-9]+%: Checks: ' "$log")
	p=$((p + $(grep -acE '^ok [0-9]' "$log")))
	f=$((f + $(grep -acE '^not ok [0-9]' "$log")))
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
	if [ "$f" -gt 0 ] || [ "$rc" -ne 0 ]; then
		printf '%-32s %4d passed, %d FAILED (exit %d)\n' "$name" "$p" "$f" "$rc"
		grep -avE '^ok [0-9]' "$log" | tail -n 60 | sed 's/^/    /'
		faults=$(grep -aE -A 3 '^not ok [0-9]|:[0-9]+:[FE]:' "$log" | head -n 12)
		if [ "${4:-}" != last ]; then
			again+=("$name")
			return
		fi
		told+=("$name (exit $rc): ${faults:-$(tail -n 5 "$log")}")
	fi
	passed=$((passed + p)) failed=$((failed + f))
	if [ "$f" -eq 0 ]; then
		printf '%-32s %4d passed%s\n' "$name" "$p" "$(grep -am1 -oiE 'skipped: .*' "$log" | sed 's/^/   /')"
	fi
}

run_one() {   # name, command...
	local name=$1 log=$out/$1.log
	shift
	timeout "${TEST_SECONDS:-600}" "$@" >"$log" 2>&1 </dev/null
	echo $? >"$log.rc"
}

# Lines "name command" on stdin. What waits longest begins first, so that nothing is left to wait for alone at the end.
slow='delivery_spec backup_spec follow_spec operation_docs_spec migrate_spec state_spec secrets_spec'
run_all() {
	local name cmd names=() lines first once=
	[ "${RETRY:-1}" != 0 ] || once=last
	lines=$(cat)
	first=$(for name in $slow; do grep -E "^[a-z]+-$name\.lua " <<<"$lines"; done)
	while read -r name cmd; do
		[ -n "$name" ] || continue
		names+=("$name")
		# shellcheck disable=SC2086
		run_one "$name" $cmd &
		while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-2}" ]; do wait -n; done
	done < <(printf '%s\n' "$first"; grep -vxF -e "${first:-none}" <<<"$lines")
	wait
	mapfile -t names < <(printf '%s\n' "${names[@]}" | sort)
	for name in "${names[@]}"; do count "$name" "$out/$name.log" "$(cat "$out/$name.log.rc")" $once; done
	for name in "${again[@]}"; do
		cmd=$(grep -E "^$name " <<<"$lines")
		# shellcheck disable=SC2086
		run_one "$name" ${cmd#* }
		echo "again, alone:"
		count "$name" "$out/$name.log" "$(cat "$out/$name.log.rc")" last
	done
}

spec() {   # tests/fault/x_spec.lua is called fault-x_spec.lua: two folders may have one of a name
	local name=${1#tests/}
	echo "${name//\//-} busted --lua=luajit -o TAP $1"
}

: >"$out/list"
for suite in $suites; do
	case $suite in
	unit)
		for t in "$build"/unit/test_*; do
			case $t in *.d) ;; *) [ -x "$t" ] && echo "$(basename "$t") ${UNIT_UNDER:-} $t" ;; esac
		done >>"$out/list" ;;
	lua)
		for t in tests/lua/*_spec.lua; do
			[ -e "$t" ] && spec "$t"
		done >>"$out/list" ;;
	scenario)
		for t in tests/scenario/*_spec.lua tests/reload/*_spec.lua tests/fault/*_spec.lua; do
			[ -e "$t" ] && spec "$t"
		done >>"$out/list" ;;
	*_spec.lua) spec "$suite" >>"$out/list" ;;
	test_*) echo "$suite ${UNIT_UNDER:-} $build/unit/$suite" >>"$out/list" ;;
	*) echo "unknown suite $suite" >&2; exit 2 ;;
	esac
done
run_all <"$out/list"
[ ${#told[@]} -eq 0 ] || printf '%s\n' "${told[@]}" | sed 's/^/FAILED: /'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
