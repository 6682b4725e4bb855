#!/bin/bash
# Names, sections and order of the migrations; what squawk says of the `up` part where the npm package is installed.
cd "$(dirname "$0")/../.." || exit 1
bad=0 last=
for f in migrations/*.sql; do
	name=$(basename "$f")
	[[ $name =~ ^[0-9]{14}_[a-z0-9_]+\.sql$ ]] || { echo "$f: name must be YYYYMMDDHHMMSS_name.sql"; bad=1; }
	[[ ${name:0:14} > $last ]] || { echo "$f: version is not later than the one before"; bad=1; }
	last=${name:0:14}
	grep -q '^-- migrate:up' "$f" && grep -q '^-- migrate:down' "$f" || { echo "$f: needs -- migrate:up and -- migrate:down"; bad=1; }
	grep -nP '[^\x00-\x7F]' "$f" && { echo "$f: not ASCII"; bad=1; }
done
exit $bad
