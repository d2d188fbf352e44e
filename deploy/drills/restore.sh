#!/usr/bin/env bash
# The restore drill: save a hub that serves, put it back elsewhere, serve from there, and prove that it is the same hub.
#   bash deploy/drills/restore.sh HOME [BACKUPS]
# HOME is the home of the running hub (embedded database). Nothing of it is changed. Ends with 0 when every step held; prints
# how long each took. Needs `xisuan` on the path.
set -euo pipefail

home=${1:?usage: restore.sh HOME [BACKUPS]}
work=$(mktemp -d)
chmod 711 "$work" # PostgreSQL's own user must pass through when root runs this
backups=${2:-$work/backups}
new=$work/home
broker=""

finish() {
  status=$?
  if [ -n "$broker" ]; then kill -TERM "$broker" 2>/dev/null && wait "$broker" || true; fi
  [ $status = 0 ] || { echo "the drill FAILED; what there is of a log:" >&2; tail -n 20 "$work/broker.log" >&2 2>/dev/null || true; }
  rm -rf "$work"
  exit $status
}
trap finish EXIT

step() { printf '%-46s' "$1 ..."; began=$(date +%s%N); }
done_() { printf 'ok, %d ms\n' $((($(date +%s%N) - began) / 1000000)); }
ended() { # every job that has ended, in the broker at $2 with the keys of $1
  xisuan --home "$1" ${2:+--endpoint "$2"} jobs --operator --limit 0 --json \
    --state succeeded --state failed --state cancelled --state expired
}
compare() { # those of the restored hub are the old hub's, to the letter; the old one may have more by now
  python3 -c '
import json, sys
before, after = ({job["job_id"]: job for job in json.load(open(name))["jobs"]} for name in sys.argv[1:])
differ = [job for job in after if after[job] != before.get(job)]
sys.exit(f"{len(differ)} jobs differ, such as {differ[0]}" if differ else 0)' "$@"
}

step "back up while it serves"
backup=$(xisuan backup make "$backups" --home "$home" 2>/dev/null)
done_

step "restore into a new home"
xisuan backup restore "$backup" --home "$new" 2>/dev/null
done_

step "audit of the restored tables"
xisuan --home "$new" admin audit >"$work/audit.txt" || { cat "$work/audit.txt" >&2; exit 1; }
done_

step "books of the restored ledger"
xisuan --home "$new" ledger verify >"$work/books.txt" || { cat "$work/books.txt" >&2; exit 1; }
done_

step "serve from there, with the old keys"
xisuan serve --home "$new" --listen 127.0.0.1:0 --metrics-listen '' >"$work/broker.log" 2>&1 &
broker=$!
for _ in $(seq 600); do
  endpoint=$(sed -n 's/^serving at \([^;]*\);.*/\1/p' "$work/broker.log")
  [ -z "$endpoint" ] || break
  kill -0 "$broker"
  sleep 0.1
done
[ -n "$endpoint" ]
done_

step "the jobs that had ended are the same"
ended "$new" "$endpoint" >"$work/after.json"
ended "$home" >"$work/before.json"
compare "$work/before.json" "$work/after.json"
done_

echo "the hub in $home can be restored: $backup"
