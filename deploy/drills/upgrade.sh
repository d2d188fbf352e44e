#!/usr/bin/env bash
# The upgrade drill: the release before serves and takes jobs; its tables are migrated under it; the new broker takes over its port;
# the old agent and the jobs that run stay. Ends with 0 when nothing was lost, nothing was started again, and the audit is clean.
#   bash deploy/drills/upgrade.sh OLD            (a tag or commit of this repository: the release before)
# Needs git, and the environment of this checkout (make setup); both releases run with its packages.
set -euo pipefail
old_ref=${1:?usage: upgrade.sh OLD}
here=$(cd "$(dirname "$0")/../.." && pwd)
python=$here/.venv/bin/python
work=$(mktemp -d)
chmod 711 "$work"
home=$work/home
export XISUAN_HOME=$home XISUAN_CITY=ganzhou
jobs=0
pids=()

finish() {
  status=$?
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  [ $status = 0 ] || { echo "the drill FAILED" >&2; tail -n 15 "$work"/*.log >&2 || true; }
  git -C "$here" worktree remove --force "$work/old" 2>/dev/null || true
  rm -rf "$work"
  exit $status
}
trap finish EXIT

export PYTHONSAFEPATH=1 # the release is the one that PYTHONPATH names, wherever this is started
old() { PYTHONPATH=$work/old "$python" -m broker.cli.main "$@"; }
new() { PYTHONPATH=$here "$python" -m broker.cli.main "$@"; }
background() { # RELEASE LOG ARGUMENTS: start a program, whose number is then in $started
  PYTHONPATH=$1 "$python" -m broker.cli.main "${@:3}" >"$2" 2>&1 &
  started=$!
  pids+=("$started")
}
step() { printf '%-52s' "$1 ..."; began=$(date +%s%N); }
done_() { printf 'ok, %d ms\n' $((($(date +%s%N) - began) / 1000000)); }
says() { # FILE TEXT: wait until it is there
  for _ in $(seq 1200); do grep -q "$2" "$1" 2>/dev/null && return; sleep 0.1; done
  return 1
}
submit() { # WHICH: one more job; its receipt counts
  "$1" submit --stack cann --cards 1 --name "job-of-$1-$jobs" --json -- true >/dev/null
  jobs=$((jobs + 1))
}

git -C "$here" worktree add --quiet --detach "$work/old" "$old_ref"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
listen=(--home "$home" --listen "127.0.0.1:$port" --metrics-listen '')
echo 'pools: [{pool: a, model: ascend-910b, nodes: 2, cards: 8, cpu_milli: 64000, memory_mib: 65536}]' >"$work/pools.yaml"

step "the old release serves"
background "$work/old" "$work/old.log" serve "${listen[@]}"
broker=$started
says "$work/old.log" "serving at"
old cluster attach --cluster lab --hub qingyang --owner lab --inventory "$work/pools.yaml" --ask ascend-910b=1 >/dev/null 2>&1
background "$work/old" "$work/agent.log" agent --config "$home/agents/lab.yaml"
says "$work/agent.log" "attached"
done_

step "a job runs, others come"
old submit --stack cann --cards 1 --name long --json -- sh -c "until [ -e $work/may-end ]; do sleep 0.1; done" >"$work/long.json"
long=$(sed -n 's/.*"job_id": *"\(job-[0-9]*\)".*/\1/p' "$work/long.json")
jobs=1
for _ in 1 2 3 4 5; do submit old; done
for _ in $(seq 600); do old job "$long" --json | grep -q RUNNING && break; sleep 0.2; done
done_

step "the new release migrates under it"
new migrate --home "$home" --json | tr -d '\n ' | sed 's/.*"migrations":\[\(.*\)\].*/(\1) /'
submit old # the old one takes jobs on the new tables
done_

step "the new broker takes over"
kill -TERM "$broker"; wait "$broker"
background "$here" "$work/new.log" serve "${listen[@]}"
says "$work/new.log" "serving at"
done_

step "the old agent serves it, new jobs end"
for _ in 1 2 3; do submit new; done
touch "$work/may-end"
for _ in $(seq 600); do
  left=$(new jobs --limit 0 --state pending --state leased --state running --json | grep -c '"job_id"' || true)
  [ "$left" = 0 ] && break
  sleep 0.2
done
[ "$left" = 0 ]
done_

step "nothing was lost or started again"
[ "$(new jobs --limit 0 --state succeeded --json | grep -c '"job_id"')" = "$jobs" ]
new job "$long" --json | grep -q '"attempt": 1\b'
new admin audit >"$work/audit.txt" || { cat "$work/audit.txt" >&2; exit 1; }
done_
echo "from $old_ref to this checkout: $jobs jobs, none lost"
