#!/bin/sh
# Puts a dump in the place of a database, without the engine: restored beside it, then the two change names in one
# transaction. The old one is kept.
#
# usage: DATABASE_URL=postgresql://... restore_database.sh [--yes] DUMP
#        DATABASE_URL=postgresql://... restore_database.sh [--yes] --undo | --confirm
#
# --undo: the old database is the living one again. --confirm: removes the old one. Shows a plan and asks, unless --yes.
# Restart the engine afterwards: what it has in memory is of the database that was.
set -eu
: "${DATABASE_URL:?set it to the database}"
yes='' verb=restore dump=''
for arg in "$@"; do
	case $arg in
	--yes | -y) yes=1 ;;
	--undo) verb=undo ;;
	--confirm) verb=confirm ;;
	-*) echo "restore_database: unknown option \"$arg\"" >&2; exit 2 ;;
	*) dump=$arg ;;
	esac
done
[ "$verb" != restore ] || [ -f "$dump" ] || { echo "restore_database: there is no dump \"$dump\"" >&2; exit 2; }

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }
living=$(ask "$DATABASE_URL" "SELECT current_database()")
# The same address with another database: postgresql://user@host:port/NAME?options
in_database() { printf '%s\n' "$DATABASE_URL" | sed -E "s#^(postgres(ql)?://[^/?]*)/?[^?]*#\1/$1#"; }
admin=$(in_database postgres)
kept=$(ask "$admin" "SELECT datname FROM pg_database WHERE datname LIKE '${living}\\_old\\_%' ORDER BY 1 DESC LIMIT 1")
now=$(date +%s)
[ "$kept" != "${living}_old_$now" ] || now=$((now + 1))     # one kept within the same second has another name

confirm() {
	echo "$1" >&2
	[ -z "$yes" ] || return 0
	[ -t 0 ] || { echo "restore_database: nothing was done: say --yes to go on without being asked" >&2; exit 2; }
	printf 'Go on? [y/N] ' >&2
	read -r answer
	case $answer in [yY]*) ;; *) echo "nothing was done" >&2; exit 2 ;; esac
}
swap() {   # the database that comes, the name of the one that goes
	begun=$(date +%s.%N)
	ask "$admin" "ALTER DATABASE \"$living\" ALLOW_CONNECTIONS false"
	ask "$admin" "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname IN ('$living', '$1')" >/dev/null
	if ! psql -X -q -v ON_ERROR_STOP=1 -d "$admin" <<-SQL
		BEGIN;
		ALTER DATABASE "$living" RENAME TO "$2";
		ALTER DATABASE "$1" RENAME TO "$living";
		ALTER DATABASE "$living" ALLOW_CONNECTIONS true;
		COMMIT;
	SQL
	then
		ask "$admin" "ALTER DATABASE \"$living\" ALLOW_CONNECTIONS true"
		exit 1
	fi
	echo "downtime $(echo "$(date +%s.%N) $begun" | awk '{ printf "%.3f", $1 - $2 }') s; the old database is \"$2\""
}

case $verb in
restore)
	[ -z "$kept" ] || { echo "restore_database: \"$kept\" of the last restore is still there: --confirm or --undo first" >&2; exit 1; }
	confirm "The database \"$living\" will be what \"$dump\" holds. The old one is kept as \"${living}_old_$now\"."
	ask "$admin" "CREATE DATABASE \"${living}_new_$now\" TEMPLATE template0"
	if ! pg_restore -d "$(in_database "${living}_new_$now")" --exit-on-error --no-owner --jobs=2 "$dump"; then
		ask "$admin" "DROP DATABASE \"${living}_new_$now\""
		echo "restore_database: \"$dump\" cannot be restored; the living database was not touched" >&2
		exit 1
	fi
	swap "${living}_new_$now" "${living}_old_$now"
	;;
undo)
	[ -n "$kept" ] || { echo "restore_database: there is no earlier database" >&2; exit 2; }
	confirm "\"$kept\" will be the living database again; what is living now is kept as \"${living}_old_$now\"."
	swap "$kept" "${living}_old_$now"
	;;
confirm)
	[ -n "$kept" ] || { echo "restore_database: there is no earlier database" >&2; exit 2; }
	confirm "\"$kept\" will be removed."
	ask "$admin" "DROP DATABASE \"$kept\""
	;;
esac
