#!/bin/sh
# Proves a dump: restores it into a scratch PostgreSQL and compares what is in it with what was noted when it was made.
#
# usage: test_backup.sh [DUMP | FOLDER]       FOLDER: its newest dump; default ./backups
#
# Exit 0: equal; 1: something differs, said on stdout; 2: there is no dump.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dump=${1:-backups}
[ -d "$dump" ] && dump=$(find "$dump" -maxdepth 1 -name '*.dump' | sort | tail -n 1)
[ -n "$dump" ] && [ -f "$dump" ] || { echo "test_backup: there is no dump" >&2; exit 2; }
facts=${dump%.dump}.txt
[ -f "$facts" ] || { echo "test_backup: \"$facts\" is missing: nothing to compare with" >&2; exit 2; }

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(pg_config --bindir)
work=$(mktemp -d)
user=$(id -un)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
	user=postgres
	id "$user" >/dev/null 2>&1 || user=nobody
	as() { setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; }
	chown "$user" "$work"
fi
stop() {
	[ ! -e "$work/data/postmaster.pid" ] || as "$bin/pg_ctl" -D "$work/data" -m immediate -w -s stop || true
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM
dump=$(cd "$(dirname "$dump")" && pwd)/$(basename "$dump")
facts=${dump%.dump}.txt
cd "$work"
as "$bin/initdb" -D "$work/data" -U chainwatch -A trust -E UTF8 --locale=C -N >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
as "$bin/pg_ctl" -D "$work/data" -l "$work/data/server.log" -w -s start -o "-k $work -c listen_addresses= -c fsync=off" ||
	{ cat "$work/data/server.log" >&2; exit 1; }
url="postgresql://chainwatch@/restored?host=$work"
"$bin/createdb" -h "$work" -U chainwatch restored
"$bin/pg_restore" -d "$url" --exit-on-error --no-owner --jobs=2 "$dump" || { echo "test_backup: \"$dump\" cannot be restored"; exit 1; }
{
	echo "SET search_path = pg_catalog;"
	cat "$here/facts.sql"
} | psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$url" >"$work/found"
# A note of the engine has one fact more, which it alone can tell.
grep -v '^schema=' "$facts" | grep . >"$work/expected"
if diff "$work/expected" "$work/found"; then
	echo "ok: $dump"
else
	echo "test_backup: \"$dump\" is not what was dumped (< noted, > restored)"
	exit 1
fi
