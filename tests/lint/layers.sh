#!/bin/bash
# Includes point downwards only: proves the table of docs/ARCHITECTURE.md from the #include lines.
cd "$(dirname "$0")/../.." || exit 1
allowed() {
	case $1 in
	base) echo "" ;;
	loop | chain | state) echo "base" ;;
	detect) echo "state chain base" ;;
	pg | http) echo "loop base" ;;
	store) echo "pg chain loop base" ;;
	model) echo "store pg detect state chain loop base" ;;
	auth) echo "http store pg loop base" ;;
	pipeline) echo "http store pg state chain loop base" ;;
	source) echo "pipeline http store pg chain loop base" ;;
	lua) echo "source pipeline auth http model store pg detect state chain loop base" ;;
	app) echo "lua source pipeline auth http model store pg detect state chain loop base" ;;
	*) echo "?" ;;
	esac
}
bad=0
for dir in engine/*/; do
	layer=$(basename "$dir")
	may=" $layer $(allowed "$layer") "
	# pg knows uint256 for its numeric type: chain is pure and below everything that waits.
	[ "$layer" = pg ] && may="$may chain "
	while IFS=: read -r file line text; do
		target=$(sed -n 's/.*#include "\([a-z]*\)\/.*/\1/p' <<<"$text")
		case $may in *" $target "*) ;; *) echo "$file:$line: $layer must not include $target"; bad=1 ;; esac
	done < <(grep -nE '#include "[a-z]+/' "$dir"*.[ch] /dev/null)
done
exit $bad
