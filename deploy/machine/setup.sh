#!/usr/bin/env bash
# Set up .venv on a Debian machine with Python 3.11. Needs root or sudo only when a Debian package is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

# Debian packages, installed only if what they give is missing.
missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -d /usr/share/zoneinfo ] || missing+=(tzdata)
command -v openssl >/dev/null || missing+=(openssl)          # tests/deploy: secrets of the compose file,
command -v systemd-analyze >/dev/null || missing+=(systemd)  # systemd units,
[ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)           # brokers behind a pooler
[ -x /usr/bin/chromium ] || missing+=(chromium fonts-dejavu-core)  # tests of the console
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)  # tests of dashboards, alerts
if [ ${#missing[@]} -gt 0 ]; then
  line="apt-get update -qq && apt-get install -y -qq --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" = 0 ]; then
    bash -c "$line" >/dev/null
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo bash -c "$line" >/dev/null
  else
    echo "Some Debian packages are missing. Run this once as root, then try again:" >&2
    echo "  $line" >&2
    exit 1
  fi
fi

"$python" - <<'PY' || { echo "Python 3.11 or newer is needed; say which with: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
PY

echo "setting up .venv (about 1.6 GB; two minutes) ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install -q --require-hashes -r requirements-dev.lock
.venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
echo "done: .venv is ready"
