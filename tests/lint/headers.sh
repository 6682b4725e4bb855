#!/bin/bash
# Each header compiles on its own and has an include guard named after its path.
cd "$(dirname "$0")/../.." || exit 1
bad=0
flags=$(pkg-config --cflags luajit libevent libpq)
for h in engine/*/*.h; do
	guard=CW_$(sed 's#engine/##; s#[/.]#_#g' <<<"$h" | tr a-z A-Z)
	grep -q "#ifndef $guard" "$h" || { echo "$h: include guard should be $guard"; bad=1; }
	# shellcheck disable=SC2086
	gcc -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Iengine $flags -fsyntax-only -x c - <<<"#include \"${h#engine/}\"" ||
		{ echo "$h: does not stand alone"; bad=1; }
done
exit $bad
