#!/bin/sh
# Installs the Debian packages that are missing, as root or through sudo. Says nothing when there is nothing to do.
#
# usage: deps.sh [run]        run: what building and running take; else also what tests, linters and benchmarks take
set -eu
what=${1:-}

packages="gcc make pkg-config git curl ca-certificates
libluajit2-5.1-dev luajit2 libevent-dev libpq-dev libsodium-dev libcrypt-dev libssl-dev libseccomp-dev libcurl4-openssl-dev zlib1g-dev libyaml-dev librdkafka-dev
lua-cjson postgresql-15"
[ "$what" = run ] || packages="$packages
check lua-busted lua-check lua-socket prometheus prometheus-alertmanager pgbackrest faketime wrk nginx-light
clang clang-tidy cppcheck shellcheck libclang-rt-14-dev valgrind gcovr"
# An EVM node, dbmate, linters and S3 servers come from npm; any Node.js from 18 on will do.
[ "$what" = run ] || command -v npm >/dev/null || packages="$packages nodejs npm"

missing=
for p in $packages; do
	dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
tools=$(dirname "$0")/../../tests/tools
npm_tools() {
	if [ "$what" = run ]; then return; fi
	installed=$tools/node_modules/.package-lock.json
	if [ -e "$installed" ] && [ -z "$(find "$tools/package-lock.json" -newer "$installed")" ]; then return; fi
	echo "installing the test tools of $tools/package.json"
	(cd "$tools" && npm install --no-save --silent)
	touch "$installed"
}
[ -n "$missing" ] || { npm_tools; exit 0; }

if [ "$(id -u)" -eq 0 ]; then
	run=
elif command -v sudo >/dev/null; then
	run=sudo
else
	echo "missing packages:$missing" >&2
	echo "install them as root, or install sudo" >&2
	exit 1
fi
echo "installing:$missing"
# No cluster of Debian's own: the engine and the tests start theirs.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	$run mkdir -p /etc/postgresql-common
	echo "create_main_cluster = false" | $run tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
export DEBIAN_FRONTEND=noninteractive
$run env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	-o Dpkg::Options::=--force-confold $missing >/dev/null
npm_tools
