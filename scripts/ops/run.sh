#!/bin/bash
# make run: starts the engine with its private PostgreSQL, takes in a simulated day of chain traffic with attacks in it,
# says where to look, and stays until Ctrl-C. Settings by the usual environment variables.
set -eu
cd "$(dirname "$0")/../.."

bin=build/chainwatch
data=${CHAINWATCH_DATA_DIR:-var}
blocks=${CHAINWATCH_DEMO_BLOCKS:-7200}
mkdir -p "$data"

# The port of the settings, or any free one where that is taken.
listen=${CHAINWATCH_LISTEN:-127.0.0.1:8080}
if [ -z "${CHAINWATCH_LISTEN:-}" ] && (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; then
	listen=127.0.0.1:0
fi

# The simulator's own list of addresses: the attack on a listed address needs one.
mkdir -p "$data/lists"
"$bin" simulate --seed 7 --blocks 1 --out /dev/null --labels "$data/lists/simulated.csv"

"$bin" serve --listen "$listen" --data-dir "$data" --set "rules.lists=$data/lists" 2>"$data/engine.log" &
engine=$!
stop() {
	trap - INT TERM EXIT
	kill -TERM "$engine" 2>/dev/null && echo "stopping"
	wait "$engine" 2>/dev/null || true
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

address=
for _ in $(seq 1 600); do
	kill -0 "$engine" 2>/dev/null || { echo "the engine did not start:"; tail -n 5 "$data/engine.log"; exit 1; }
	address=$(sed -n 2p "$data/engine.pid" 2>/dev/null || true)
	[ -n "$address" ] && curl -fsS -o /dev/null "http://$address/health/ready" 2>/dev/null && break
	sleep 0.1
done
[ -n "$address" ] || { echo "the engine was not ready in a minute, see $data/engine.log"; exit 1; }
echo "chainwatch is up at http://$address (log: $data/engine.log)"
echo "a simulated day of traffic comes in: $blocks blocks, attacks of every kind in it"

# One day, starting where block 21,000,000 stood; the same every time, so a second run finds it all known.
"$bin" simulate --seed 7 --blocks "$blocks" --tx-per-block 20 --scenario all --out - |
	CHAINWATCH_DATA_DIR=$data "$bin" ingest -

cat <<TEXT

Look at what it found (the key is in $data/admin.key):

  curl -H "X-API-Key: \$(cat $data/admin.key)" "http://$address/api/v1/anomalies?severity=high&limit=3"
  curl -H "X-API-Key: \$(cat $data/admin.key)" "http://$address/api/v1/ruleset"
  curl "http://$address/metrics"

Change a rule in rules/ and run: CHAINWATCH_DATA_DIR=$data $bin reload
Ctrl-C stops the engine and its PostgreSQL.

TEXT
curl -fsS -H "X-API-Key: $(cat "$data/admin.key")" "http://$address/api/v1/anomalies?severity=high&limit=2" || true
echo
# A signal interrupts the wait; the trap ends the script.
wait "$engine"
