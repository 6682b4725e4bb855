#!/bin/bash
# Names, sections and order of the migrations; then what squawk says of the `up` part, with the exceptions given below.
cd "$(dirname "$0")/../.." || exit 1
bad=0 last=
squawk=tests/tools/node_modules/.bin/squawk
up_parts=$(mktemp -d)
trap 'rm -rf "$up_parts"' EXIT
for f in migrations/*.sql; do
	name=$(basename "$f")
	[[ $name =~ ^[0-9]{14}_[a-z0-9_]+\.sql$ ]] || { echo "$f: name must be YYYYMMDDHHMMSS_name.sql"; bad=1; }
	[[ ${name:0:14} > $last ]] || { echo "$f: version is not later than the one before"; bad=1; }
	last=${name:0:14}
	grep -q '^-- migrate:up' "$f" && grep -q '^-- migrate:down' "$f" || { echo "$f: needs -- migrate:up and -- migrate:down"; bad=1; }
	grep -nP '[^\x00-\x7F]' "$f" && { echo "$f: not ASCII"; bad=1; }
	# Same lines, so that what squawk says fits the file.
	awk '/^-- *migrate:down/ { exit } /^-- *migrate:/ { print "--"; next } { print }' "$f" >"$up_parts/$name"
done

# Rules that do not fit here:
#   prefer-robust-stmts         a step and its record are one transaction, so IF NOT EXISTS would only hide a mistake
#   require-timeout-settings    the runner sets lock_timeout for every step and asks again
#   prefer-bigint-over-*        a narrow column is a choice: its CHECK or its meaning says the range
#   ban-drop-*                  what goes is told in the file's head and in the changelog; a linter cannot judge it
exclude=prefer-robust-stmts,require-timeout-settings,prefer-bigint-over-int,prefer-bigint-over-smallint
exclude=$exclude,ban-drop-table,ban-drop-column,ban-drop-not-null
# Up to the first release every table is empty when its step runs: locks and rewrites cost nothing there. Later files
# are held to these rules too; an exception is a line "file rule,rule  reason" in squawk.txt.
first_release=20260899999999
on_rows=adding-foreign-key-constraint,constraint-missing-not-valid,require-concurrent-index-creation
on_rows=$on_rows,require-concurrent-index-deletion,adding-required-field,adding-not-nullable-field
on_rows=$on_rows,adding-field-with-default,disallowed-unique-constraint,changing-column-type,adding-serial-primary-key-field
if [ -x "$squawk" ]; then
	for part in "$up_parts"/*.sql; do
		name=$(basename "$part") rules=$exclude
		[ "${name:0:14}" -gt "$first_release" ] || rules=$rules,$on_rows
		own=$(awk -v f="$name" '$1 == f { print $2 }' tests/lint/squawk.txt)
		said=$("$squawk" --assume-in-transaction --pg-version 15 --exclude "$rules${own:+,$own}" "$part" 2>&1) ||
			{ printf '%s\n' "$said" | sed "s#$up_parts/#migrations/#" | head -n 60; bad=1; }
	done
else
	echo "squawk is not installed (make deps): the statements were not looked at"
fi
exit $bad
