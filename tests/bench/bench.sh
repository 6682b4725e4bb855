#!/bin/bash
# make bench: the engine end to end beside its yardsticks, in one run on one machine: alternated rounds, medians, ratios.
#
#	tests/bench/bench.sh [ROUNDS [SECONDS [OPTION...]]]    default 3 rounds of 4 s each; options of `serve`, as --set
#
# Yardsticks: pgbench single-row commits on the same server and schema; multi-row unnest inserts of a bare libpq client;
# prepared point queries of pgbench; nginx with a fixed string. Absolute figures depend on the machine and on what else
# it does: read the ratios. Afterwards rows are counted: every acknowledged transaction must be there.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-3} seconds=${2:-4}
options=("${@:3}")
build=${BUILD:-build} load=$build/bench/load
dir=$(mktemp -d /tmp/cw-bench-XXXXXX)
chmod 755 "$dir"
engine='' nginx=''
finish() {
	[ -z "$nginx" ] || kill "$nginx" 2>/dev/null || true
	[ -z "$engine" ] || { kill -TERM "$engine" 2>/dev/null && wait "$engine" 2>/dev/null; } || true
	rm -rf "$dir"
}
trap finish EXIT

start_engine() {
	"$build/chainwatch" serve --listen 127.0.0.1:0 --data-dir "$dir/data" "${options[@]}" 2>"$dir/engine.log" &
	engine=$!
	for _ in $(seq 600); do
		grep -q 'group=app msg="listening"' "$dir/engine.log" && return
		kill -0 "$engine" 2>/dev/null || { cat "$dir/engine.log"; exit 1; }
		sleep 0.05
	done
	exit 1
}
stop_engine() {
	kill -TERM "$engine"
	wait "$engine" || true
}
start_ms() { sed -n 's/.*msg="listening" address.*start_ms=\([0-9]*\).*/\1/p' "$dir/engine.log" | tail -1; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
field() { sed -n "s/.*$2=\([0-9.]*\).*/\1/p" <<<"$1"; }
row() { printf '%-44s %12s %12s %8s   %s\n' "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }'; }

# --- start-up and memory ---
mkdir -p "$dir/data"
start_engine
first=$(start_ms)
stop_engine
: >"$dir/engine.log"
start_engine
second=$(start_ms)
address=$(sed -n 2p "$dir/data/engine.pid")
key=$(cat "$dir/data/admin.key")
sleep 1
pss=0
for p in $engine $(pgrep -f "serve --listen 127.0.0.1:0 --data-dir $dir/data" || true); do
	[ -r "/proc/$p/smaps_rollup" ] || continue
	[ "$(cat "/proc/$p/comm")" != postgres ] || continue
	case " ${seen:-} " in *" $p "*) continue ;; esac
	seen="${seen:-} $p"
	pss=$((pss + $(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup")))
done
rss=$(awk '/^VmRSS:/ { print $2 }' "/proc/$engine/status")
conninfo=$(cat "$dir/data/database.url")
version=$(psql -XAtq "$conninfo" -c "SELECT max(id) FROM model_versions")

cat >"$dir/single.sql" <<SQL
WITH t AS (
  INSERT INTO transactions (chain_id, block_number, timestamp, gas, nonce, hash, from_address, to_address, value, gas_price)
  VALUES (1, 21000000, to_timestamp(1760000000), 21000, 1, decode(md5(random()::text) || md5(random()::text), 'hex'),
    decode(substr(md5((random() * 20000)::int::text) || md5('x'), 1, 40), 'hex'),
    decode(substr(md5((random() * 20000)::int::text) || md5('y'), 1, 40), 'hex'), 1000000000000000, 20000000000)
  ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO predictions (transaction_id, model_version_id, is_anomaly, confidence, anomaly_score)
SELECT id, $version, false, 0, 0 FROM t;
SQL
cat >"$dir/lookup.sql" <<SQL
\set id random(1, 20000)
SELECT * FROM transactions WHERE hash = (SELECT hash FROM known WHERE id = :id) AND chain_id = 1 AND canonical;
SQL

drive() {   # kind, connections, more options: prints load's line
	local line
	line=$("$load" "$address" "$1" -c "$2" -t "$seconds" -k "$key" -s "$RANDOM$RANDOM" "${@:3}") || {
		echo "errors under $1: $line" >&2
		exit 1
	}
	case $1 in predict | batch:* | ndjson:*) echo "$(field "$line" acked)" >>"$dir/acked" ;; esac
	echo "$line"
}
pgb() { pgbench -n -M prepared -f "$dir/$1.sql" -c "$2" -j 2 -T "$seconds" "$conninfo" 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p'; }

# Known hashes for the look-ups.
"$load" "$address" ndjson:1000 -c 2 -t 2 -k "$key" -s 777 >"$dir/known" || { cat "$dir/known"; exit 1; }
echo "$(field "$(cat "$dir/known")" acked)" >>"$dir/acked"
psql -XAtq "$conninfo" -c "CREATE TABLE known AS SELECT row_number() OVER () AS id, hash FROM (SELECT hash FROM transactions LIMIT 20000) x" \
	-c "ALTER TABLE known ADD PRIMARY KEY (id)" -c "ANALYZE"
known=$(psql -XAtq "$conninfo" -c "SELECT count(*) FROM known")

cat >"$dir/nginx.conf" <<EOF
worker_processes 1; daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/error.log;
events { worker_connections 4096; }
http {
	access_log off; keepalive_requests 1000000000; client_body_temp_path $dir; proxy_temp_path $dir;
	fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir; default_type application/json;
	server { listen 127.0.0.1:${NGINX_PORT:-18189}; location /health { return 200 '{"status":"ok"}'; } }
}
EOF
nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
nginx=$!
taskset -pc 0 "$nginx" >/dev/null

health() {   # address: one core for the server, the other for wrk
	taskset -c 1 wrk -t1 -c64 -d"${seconds}s" "http://$1" | awk '/Requests\/sec/ { print int($2) }'
}

for round in $(seq "$rounds"); do
	echo "round $round of $rounds" >&2
	taskset -apc 0 "$engine" >/dev/null
	health "$address/health" >>"$dir/health"
	health "$address/health/live" >>"$dir/live"
	health "127.0.0.1:${NGINX_PORT:-18189}/health" >>"$dir/nginx"
	taskset -apc 0,1 "$engine" >/dev/null
	pgb single 16 >>"$dir/single"
	line=$(drive predict 64)
	field "$line" 'requests.s' >>"$dir/predict"
	field "$line" p50_ms >>"$dir/predict50"
	field "$line" p99_ms >>"$dir/predict99"
	pgb single 16 >>"$dir/single"
	field "$(drive batch:100 16)" 'items.s' >>"$dir/batch100"
	field "$(drive batch:1000 8)" 'items.s' >>"$dir/batch1000"
	field "$(drive ndjson:1000 8)" 'items.s' >>"$dir/ndjson1000"
	"$build/bench/bench_pg" "$seconds" once 2>/dev/null | sed -n 's/.*1000 rows a commit, 1 connection (rows) *\([0-9]*\).*/\1/p' | head -1 >>"$dir/unnest"
	field "$(drive lookup 64 -s 777 -n "$known")" 'requests.s' >>"$dir/lookup"
	pgb lookup 64 >>"$dir/points"
done
peak=$(median <"$dir/predict")
open=$(drive predict 64 -r "$(awk -v p="$peak" 'BEGIN { printf "%.0f", 0.6 * p }')")

total=$(awk '{ s += $1 } END { print s }' "$dir/acked")
# Rows of the engine only: what pgbench wrote names no user, and would hide what is missing.
stored=$(psql -XAtq "$conninfo" -c "SELECT count(*) FROM transactions t WHERE EXISTS (SELECT 1 FROM predictions p WHERE p.transaction_id = t.id AND p.user_id IS NOT NULL)")

m() { median <"$dir/$1"; }
echo
echo "$(nproc) cores, load average before: $(cut -d' ' -f1-3 /proc/loadavg); medians of $rounds rounds of $seconds s"
row what engine yardstick ratio goal
row "POST /predict, 64 connections, durable (tx/s)" "$(m predict)" "$(m single)" "$(ratio "$(m predict)" "$(m single)")" ">= 2.5 x pgbench single-row commits, 16 clients"
row "  p50 / p99 closed loop (ms)" "$(m predict50)" "$(m predict99)" "" ""
row "  p99 open loop at 60 % of the peak (ms)" "$(field "$open" p99_ms)" "" "" "< 15 ms"
row "batches of 100, JSON (tx/s)" "$(m batch100)" "$(m unnest)" "$(ratio "$(m batch100)" "$(m unnest)")" ""
row "batches of 1000, JSON (tx/s)" "$(m batch1000)" "$(m unnest)" "$(ratio "$(m batch1000)" "$(m unnest)")" ">= 0.9 x unnest inserts of 1000, bare libpq"
row "batches of 1000, NDJSON (tx/s)" "$(m ndjson1000)" "$(m unnest)" "$(ratio "$(m ndjson1000)" "$(m unnest)")" ""
row "look-up by hash, 64 connections (/s)" "$(m lookup)" "$(m points)" "$(ratio "$(m lookup)" "$(m points)")" ">= 0.6 x point queries, 64 connections"
row "GET /health, one core (/s)" "$(m health)" "$(m nginx)" "$(ratio "$(m health)" "$(m nginx)")" ">= 0.8 x nginx, fixed string"
row "GET /health/live, one core (/s)" "$(m live)" "$(m nginx)" "$(ratio "$(m live)" "$(m nginx)")" ""
row "first start: initdb, migrations (ms)" "$first" "" "" "< 3000"
row "start, cluster initialised (ms)" "$second" "" "" "< 500"
row "idle: RSS of the engine / PSS of all (MiB)" "$((rss / 1024))" "$((pss / 1024))" "" "< 40"
row "acknowledged / stored" "$total" "$stored" "" "nothing is missing"
[ "$stored" -ge "$total" ] || { echo "acknowledged transactions are missing"; exit 1; }
