#!/bin/bash
# GET /health of the http layer beside nginx `return 200`: one core each for server and wrk, runs alternated, medians.
#
# usage: tests/bench/http_nginx.sh [ROUNDS] [SECONDS]    from the top of the repository, after `make build/bench/http_hello`
# Absolute rates mean little on a shared machine; the ratio and the CPU time a request are what to look at.
set -eu
rounds=${1:-3} seconds=${2:-3} hello=${BUILD:-build}/bench/http_hello
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

mkfifo "$dir/address"
taskset -c 0 "$hello" 127.0.0.1:0 >"$dir/address" 2>/dev/null &
ours_pid=$!
pids+=("$ours_pid")
read -r ours <"$dir/address"

cat >"$dir/nginx.conf" <<EOF
worker_processes 1; daemon off; master_process off; pid $dir/pid; error_log $dir/error.log;
events { worker_connections 4096; }
http {
	access_log off; keepalive_requests 1000000000; client_body_temp_path $dir; proxy_temp_path $dir;
	fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir; default_type application/json;
	server { listen unix:$dir/ready; listen 127.0.0.1:${NGINX_PORT:-18189}; location /health { return 200 '{"status":"healthy"}'; } }
}
EOF
taskset -c 0 nginx -c "$dir/nginx.conf" -p "$dir" 2>/dev/null &
nginx_pid=$!
pids+=("$nginx_pid")
for _ in $(seq 100); do [ -S "$dir/ready" ] && break; sleep 0.05; done

cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# run NAME ADDRESS PID: appends "rate us" to $dir/NAME
run() {
	local before after out
	before=$(cpu_ticks "$3")
	out=$(taskset -c 1 wrk -t1 -c64 -d"${seconds}s" "http://$2/health")
	after=$(cpu_ticks "$3")
	if grep -qE 'Non-2xx|Socket errors' <<<"$out"; then
		echo "$1 failed:" && echo "$out" && exit 1
	fi >&2
	awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
		/requests in/ { n = $1 } /Requests\/sec/ { rate = $2 }
		END { printf "%.0f %.2f\n", rate, ticks / hz * 1e6 / n }' <<<"$out" | tee -a "$dir/$1" | sed "s/^/$1 /" >&2
}
median() { sort -n -k"$2" "$dir/$1" | awk -v c="$2" '{ v[NR] = $c } END { print v[int((NR + 1) / 2)] }'; }

for _ in $(seq "$rounds"); do
	run ours "$ours" "$ours_pid"
	run nginx "127.0.0.1:${NGINX_PORT:-18189}" "$nginx_pid"
done
# Pairs ran right after one another: their ratio suffers least from what else the machine does.
ratio=$(paste -d' ' "$dir/ours" "$dir/nginx" | awk '{ print $1 / $3 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
awk -v r="$ratio" -v a="$(median ours 1)" -v b="$(median nginx 1)" -v ca="$(median ours 2)" -v cb="$(median nginx 2)" 'BEGIN {
	printf "http /health: %d/s, %.2f us CPU a request; nginx return 200: %d/s, %.2f us; median ratio %.2f\n", a, ca, b, cb, r }'
