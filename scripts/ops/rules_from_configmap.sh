#!/bin/sh
# Rules of the image and of a ConfigMap, joined in one folder; then a reload whenever the ConfigMap changes.
#
# usage: rules_from_configmap.sh [--once]       --once: join and end, before the engine starts
#
# SHIPPED, SITE, RULES: the folders. A file of SITE takes the place of a shipped one of the same name; rules.lua there
# holds parameters and is read by the engine where it is.
set -eu
shipped=${SHIPPED:-/usr/local/share/chainwatch/rules}
site=${SITE:-/etc/chainwatch/site}
rules=${RULES:-/rules}

state() { for f in "$site"/*.lua; do [ -e "$f" ] && cksum <"$f" && echo "$f"; done | cksum; }
join() {
	mkdir -p "$rules/.next"
	cp -R "$shipped/." "$rules/.next/"
	for f in "$site"/*.lua; do
		[ -e "$f" ] || continue
		[ "$(basename "$f")" = rules.lua ] || cp -L "$f" "$rules/.next/"
	done
	# The names that are gone go, the others are replaced one by one, whole.
	for f in "$rules"/*; do
		[ ! -e "$f" ] || [ -e "$rules/.next/$(basename "$f")" ] || rm -rf "$f"
	done
	for f in "$rules/.next"/*; do
		if [ -d "$f" ]; then rm -rf "${rules:?}/$(basename "$f")"; fi
		mv -f "$f" "$rules/"
	done
	rmdir "$rules/.next"
}

if [ "${1:-}" = --once ]; then
	join
	exit 0
fi
seen=$(state)
while sleep "${EVERY:-5}"; do
	now=$(state)
	[ "$now" != "$seen" ] || continue
	seen=$now
	join
	chainwatch reload || echo "rules_from_configmap: the reload was refused, the old rules go on" >&2
done
