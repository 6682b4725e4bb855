#!/bin/bash
# Every check that needs no running engine. Prints what it runs and how long it took, and the end of what a failed step
# said; exits with the number of failed steps. `lint.sh STEP...` runs only these: see the end of the file for the names.
cd "$(dirname "$0")/../.." || exit 1
failed=0
only=" $* "
flags=$(pkg-config --cflags luajit libevent libpq libsodium libseccomp check) || exit 1
warn="-std=gnu17 -D_GNU_SOURCE -Iengine -Itests $flags -Wall -Wextra -Werror -Wshadow -Wconversion -Wvla \
	-Wmissing-prototypes -Wstrict-prototypes"
budget="-Xclang -analyzer-config -Xclang max-nodes=30000"
export warn budget
mapfile -t shell_files < <(find scripts tests -name '*.sh'; echo .ci/run)

step() {   # name, description, command...
	local name=$1 what=$2 log rc begun=$SECONDS
	shift 2
	case $only in "  " | *" $name "*) ;; *) return ;; esac
	log=$("$@" 2>&1)
	rc=$?
	if [ "$rc" -eq 0 ]; then
		echo "lint: $name ok: $what, $((SECONDS - begun)) s"
	else
		echo "lint: $name FAILED: $what"
		printf '%s\n' "$log" | tail -n 60
		failed=$((failed + 1))
	fi
}

gcc_build() { make -s -j2 all; }

# clang folds constant array sizes as gcc does: with -Wextra it says so each time.
clang_syntax() {
	# shellcheck disable=SC2086
	find engine tests -name '*.c' | sort | xargs -P2 -n8 clang $warn -Wno-gnu-folding-constant -fsyntax-only
}

# Shows findings without the analyzer's path to them: clang-tidy on the file alone does. What it says on stderr counts
# warnings in system headers. max-nodes: the analyzer's budget for one function, of 225000 by default; three quarters of
# the time went where nothing new was found.
tidy() {
	# shellcheck disable=SC2016
	find engine -name '*.c' | sort | xargs -P2 -n3 sh -c \
		'said=$(clang-tidy -quiet --warnings-as-errors="*" "$@" -- $warn $budget 2>&1) ||
		{ printf "%s\n" "$said" | grep -A 2 "error:" || printf "%s\n" "$said"; exit 1; }' tidy
}

check_cpp() {
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c11 \
		--template='{file}:{line}: {id}: {message}' --suppressions-list=tests/lint/cppcheck.txt -Iengine -j2 engine
}

lua_check() { luacheck -q --no-color rules scripts tests conf; }

# SC2317, code never reached: functions called through a variable, as here.
shell_check() {
	local bad=0 file
	for file in "${shell_files[@]}"; do
		case $(head -n 1 "$file") in */sh) sh -n "$file" || bad=1 ;; *) bash -n "$file" || bad=1 ;; esac
	done
	shellcheck --severity=warning --exclude=SC2317 "${shell_files[@]}" || bad=1
	return $bad
}

step gcc "build with -Wall -Wextra -Werror" gcc_build
step clang "-Wall -Wextra -Werror over engine and tests" clang_syntax
step tidy "clang-tidy" tidy
step cppcheck "cppcheck" check_cpp
step layers "includes point downwards" tests/lint/layers.sh
step headers "each header stands alone" tests/lint/headers.sh
step text "sizes, words, white space" tests/lint/text.sh
step lua "luacheck" lua_check
step shell "bash -n, shellcheck" shell_check
step migrations "names and sections of migrations" tests/lint/migrations.sh
step manifests "Kubernetes manifests and Dockerfile" node tests/lint/manifests.mjs
[ "$failed" -eq 0 ] || echo "lint: $failed failed"
exit "$failed"
