#!/bin/bash
# Every check that needs no running engine. Prints what it runs; stops at the end with the number of failures.
cd "$(dirname "$0")/../.." || exit 1
failed=0
step() {
	local name=$1 log
	shift
	log=$("$@" 2>&1)
	if [ $? -eq 0 ]; then
		echo "lint: $name ok"
	else
		echo "lint: $name FAILED"
		printf '%s\n' "$log" | tail -n 60
		failed=$((failed + 1))
	fi
}
flags=$(pkg-config --cflags luajit libevent libpq libsodium libseccomp check)
warn="-std=gnu17 -D_GNU_SOURCE -Iengine -Itests $flags -Wall -Wextra -Werror -Wshadow -Wconversion -Wvla \
	-Wmissing-prototypes -Wstrict-prototypes"

gcc_build() { make -s -j2 all; }
clang_syntax() {
	# shellcheck disable=SC2086
	printf '%s\n' engine/*/*.c tests/unit/*.c tests/support/*.c | xargs -P2 -n8 clang $warn -Wno-gnu-folding-constant -fsyntax-only
}
tidy() {
	# shellcheck disable=SC2086
	printf '%s\n' engine/*/*.c | xargs -P2 -n6 clang-tidy -quiet --warnings-as-errors='*' -- $warn 2>/dev/null | grep -E 'error:' && return 1
	return 0
}
check_cpp() {
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c11 \
		--suppressions-list=tests/lint/cppcheck.txt -Iengine -j2 engine
}
lua_check() { luacheck -q rules scripts tests conf; }

step "gcc -Wall -Wextra -Werror" gcc_build
step "clang -Wall -Wextra -Werror" clang_syntax
step "clang-tidy" tidy
step "cppcheck" check_cpp
step "layers" tests/lint/layers.sh
step "headers stand alone" tests/lint/headers.sh
step "luacheck" lua_check
step "migrations" tests/lint/migrations.sh
[ "$failed" -eq 0 ] || echo "lint: $failed failed"
exit "$failed"
