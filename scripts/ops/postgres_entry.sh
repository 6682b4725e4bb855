#!/bin/sh
# Entry of the PostgreSQL container: makes the cluster at the first start, then becomes the server. Settings come from
# /etc/chainwatch-postgres. PGDATA, POSTGRES_PASSWORD: see k8s/base/postgres-statefulset.yaml.
set -eu
: "${PGDATA:?}" "${POSTGRES_PASSWORD:?the secret postgres-secret is empty}"
bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	rm -rf "$PGDATA.new"
	printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
	"$bin/initdb" -D "$PGDATA.new" -U chainwatch --pwfile=/tmp/password --auth-local=peer --auth-host=scram-sha-256 -E UTF8 \
		--locale=C -k
	rm -f /tmp/password
	# Whoever this container runs as is chainwatch to PostgreSQL.
	echo "chainwatch \"$(id -un 2>/dev/null || echo chainwatch)\" chainwatch" >"$PGDATA.new/pg_ident.conf"
	echo "CREATE DATABASE chainwatch" | "$bin/postgres" --single -D "$PGDATA.new" postgres >/dev/null
	mv "$PGDATA.new" "$PGDATA"
fi
# The stanza wants a server; until it is made, WAL waits.
(
	for _ in $(seq 60); do
		sleep 5
		if "$bin/pg_isready" -q -h /var/run/postgresql -U chainwatch && pgbackrest --stanza=chainwatch stanza-create; then exit 0; fi
	done
) &
exec "$bin/postgres" -D "$PGDATA" -c config_file=/etc/chainwatch-postgres/postgresql.conf \
	-c ident_file="$PGDATA/pg_ident.conf" -c data_directory="$PGDATA"
