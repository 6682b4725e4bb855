#!/bin/bash
# Runs every build/fuzz/fuzz_* for SECONDS (default 10) on a copy of its corpus; one line per target. A finding fails,
# its input is kept under build/fuzz/found/ and named. More targets than cores wait for each other.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
seconds=${1:-10}
found=$build/fuzz/found
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

run() {   # target
	local name=${1##*/} corpus rc
	corpus=$out/$name.corpus
	mkdir "$corpus"
	cp -R "tests/fuzz/corpus/${name#fuzz_}/." "$corpus" 2>/dev/null
	case $name in fuzz_guard|fuzz_rule) cp rules/*.lua "$corpus" ;; esac   # the best seeds there are, as they are now
	# Writable data of a target (checkpoint files) goes where it is cleared away.
	TMPDIR=$out timeout $((seconds + 120)) "$1" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 \
		-print_final_stats=1 -artifact_prefix="$found/$name-" "$corpus" >"$out/$name.log" 2>&1
	rc=$?
	echo $rc >"$out/$name.rc"
}

targets=()
for t in "$build"/fuzz/fuzz_*; do
	case $t in *.*) ;; *) [ -x "$t" ] && targets+=("$t") ;; esac
done
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz targets under $build/fuzz: make fuzz builds them" >&2; exit 1; }
mkdir -p "$found"
for t in "${targets[@]}"; do
	run "$t" &
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
done
wait

failed=0
for t in "${targets[@]}"; do
	name=${t##*/} log=$out/${t##*/}.log
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	if [ "$(cat "$out/$name.rc")" -eq 0 ] && [ "${runs:-0}" -gt 0 ]; then
		printf '%-24s %9d runs in %d s, nothing found\n' "$name" "$runs" "$seconds"
	else
		printf '%-24s FAILED (exit %d)\n' "$name" "$(cat "$out/$name.rc")"
		grep -aE -A 25 'ERROR: |runtime error:|Test unit written' "$log" | tail -n 60 | sed 's/^/    /'
		failed=$((failed + 1))
	fi
done
rmdir "$found" 2>/dev/null
[ "$failed" -eq 0 ]
