#!/bin/sh
# A logical backup without the engine: pg_dump of one snapshot, with a note of what was in it, and rotation.
#
# usage: DATABASE_URL=postgresql://... backup.sh [FOLDER]       FOLDER: default ./backups
#
# KEEP (default 30): dumps kept. Prints the path of the dump. test_backup.sh proves it, restore_database.sh puts it back.
# The password in DATABASE_URL shows in the list of processes; use PGPASSWORD or ~/.pgpass on shared machines.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${DATABASE_URL:?set it to the database}"
folder=${1:-backups}
keep=${KEEP:-30}
mkdir -p "$folder"
chmod 700 "$folder"
name=$folder/chainwatch-$(date -u +%Y%m%dT%H%M%SZ)
work=$(mktemp -d)
trap 'rm -rf "$work" "$name.part"' EXIT INT TERM

# One session holds the snapshot open (its commands come through a pipe), the other programs read the same moment.
mkfifo "$work/in"
psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$DATABASE_URL" <"$work/in" >"$work/snapshot" &
holder=$!
exec 3>"$work/in"
echo "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();" >&3
while [ ! -s "$work/snapshot" ]; do
	kill -0 "$holder" 2>/dev/null || { echo "backup: could not connect" >&2; exit 69; }
	sleep 0.1
done
snapshot=$(head -n 1 "$work/snapshot")

{
	echo "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
	echo "SET TRANSACTION SNAPSHOT '$snapshot';"
	echo "SET search_path = pg_catalog;"
	cat "$here/facts.sql"
	echo ";"
} | psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$DATABASE_URL" >"$work/facts"
pg_dump -d "$DATABASE_URL" --format=custom --compress=6 --no-owner --no-privileges --snapshot="$snapshot" --file="$name.part"
exec 3>&-
wait "$holder"
mv "$work/facts" "$name.txt"
mv "$name.part" "$name.dump"

# Oldest first; the note goes with its dump.
find "$folder" -maxdepth 1 -name 'chainwatch-*.dump' | sort | head -n "-$keep" | while read -r old; do
	rm -f "$old" "${old%.dump}.txt"
done
echo "$name.dump"
