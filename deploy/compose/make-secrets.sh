#!/usr/bin/env bash
# Draw every secret of the compose file, once: `bash deploy/compose/make-secrets.sh [FOLDER]`. What is there stays.
# Needs openssl. Passwords go into files only; the folder is closed to others.
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/secrets}
days=825

draw() { LC_ALL=C tr -dc "$2" </dev/urandom | head -c "$1" || true; }  # tr is told of the closed pipe
kept() { [ -e "$folder/$1" ]; }
put() { kept "$1" || printf '%s\n' "$2" >"$folder/$1"; }

# Who runs the containers that read these files: you, but never root.
if [ "$(id -u)" = 0 ]; then owner=10001:10001; else owner=$(id -u):$(id -g); fi
mkdir -p "$folder"

put postgres_password "$(draw 32 A-Za-z0-9)"
put grafana_password "$(draw 24 A-Za-z0-9)"
put operator_key "xs_$(draw 12 a-z2-7)_$(draw 52 a-z2-7)"
kept policy_key || openssl genpkey -algorithm ed25519 -out "$folder/policy_key" 2>/dev/null

# Two logins: one owns the tables and migrates, the other may take on the brokers' two roles and owns nothing.
if ! kept roles.sql; then
  migrator=$(draw 32 A-Za-z0-9) broker=$(draw 32 A-Za-z0-9)
  cat >"$folder/roles.sql" <<SQL
CREATE ROLE xisuan_city NOLOGIN;
CREATE ROLE xisuan_hub NOLOGIN;
CREATE ROLE migrator LOGIN PASSWORD '$migrator';
CREATE ROLE broker LOGIN NOINHERIT PASSWORD '$broker';
GRANT xisuan_city, xisuan_hub TO broker;
ALTER DATABASE xisuan OWNER TO migrator;
SQL
  rm -f "$folder/dsn" "$folder/dsn_owner"
  put dsn_owner "postgresql://migrator:$migrator@postgres:5432/xisuan"
  put dsn "postgresql://broker:$broker@postgres:5432/xisuan"
fi

# An authority of our own, and the broker's certificate.
if ! kept tls_cert.pem; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days $days -subj "/CN=xisuan CA" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" \
    -keyout "$folder/ca_key.pem" -out "$folder/ca.pem" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=broker" \
    -keyout "$folder/tls_key.pem" -out "$folder/request.pem" 2>/dev/null
  printf 'subjectAltName=DNS:broker,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' |
    openssl x509 -req -in "$folder/request.pem" -CA "$folder/ca.pem" -CAkey "$folder/ca_key.pem" -days $days \
      -CAcreateserial -extfile /dev/stdin -out "$folder/tls_cert.pem" 2>/dev/null
  rm -f "$folder/request.pem" "$folder/ca.srl"
fi

# Containers of others (PostgreSQL, Grafana) run as users of their own: what they read is open inside this closed folder.
chmod 0444 "$folder"/{postgres_password,grafana_password,roles.sql,ca.pem,tls_cert.pem}
chmod 0400 "$folder"/{operator_key,policy_key,dsn,dsn_owner,tls_key.pem,ca_key.pem}
if [ "$(id -u)" = 0 ]; then chown "$owner" "$folder"/{operator_key,policy_key,dsn,dsn_owner,tls_key.pem}; fi
[ "$folder" != "$here/secrets" ] || printf 'XISUAN_USER=%s\n' "$owner" >"$here/.env"
echo "secrets are in $folder"
