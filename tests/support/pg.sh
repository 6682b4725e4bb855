#!/bin/sh
# A scratch PostgreSQL for tests and benchmarks, on a unix socket, unsynced.
#
#   tests/support/pg.sh start [DIR]   starts one (DIR: a new one in $TMPDIR, /dev/shm or /tmp), prints two lines:
#                                     PGTEST_DIR=... and DATABASE_URL=..., fit for `eval`
#   tests/support/pg.sh stop DIR      stops it and removes DIR
#
# As root it runs under the user "postgres" (or "nobody"). Only that user and root can enter its directory.
# PG_OPTIONS: further options of postgres, e.g. "-c shared_buffers=1GB -c fsync=on".
set -eu

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || bin=$(pg_config --bindir)

as() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
	else
		"$@"
	fi
}

if [ "$(id -u)" = 0 ]; then
	user=postgres
	id "$user" >/dev/null 2>&1 || user=nobody
fi

case "${1:-}" in
start)
	dir=${2:-}
	if [ -z "$dir" ]; then
		tmp=${TMPDIR:-}
		if [ -z "$tmp" ] && [ -w /dev/shm ] && [ "$(df -k --output=avail /dev/shm | tail -1)" -gt 1048576 ]; then
			tmp=/dev/shm
		fi
		dir=$(mktemp -d "${tmp:-/tmp}/cwt-XXXXXX")
	else
		mkdir -p "$dir"
		dir=$(cd "$dir" && pwd)
	fi
	chmod 700 "$dir"
	if [ "$(id -u)" = 0 ]; then chown "$user" "$dir"; fi
	cd /
	as "$bin/initdb" -D "$dir/data" -U chainwatch -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; exit 1; }
	as "$bin/pg_ctl" -D "$dir/data" -l "$dir/postgres.log" -w -t 60 -s start -o \
		"-k $dir -c listen_addresses= -c fsync=off -c full_page_writes=off -c jit=off -c timezone=UTC ${PG_OPTIONS:-}" ||
		{ cat "$dir/postgres.log" >&2; exit 1; }
	"$bin/createdb" -h "$dir" -U chainwatch chainwatch
	echo "PGTEST_DIR=$dir"
	echo "DATABASE_URL=postgresql://chainwatch@/chainwatch?host=$dir"
	;;
stop)
	dir=${2:?directory}
	cd /
	as "$bin/pg_ctl" -D "$dir/data" -m immediate -w -s stop || true
	rm -rf "$dir"
	;;
*)
	sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
