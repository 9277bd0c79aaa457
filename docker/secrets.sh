#!/usr/bin/env bash
# secrets.sh [NAME]: makes the secrets of docker-compose.yml that are missing, in docker/secrets, and prints the API key
# of the caller NAME (default: local) once. Kept is only its sha256.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
for name in redis_password grafana_password; do
  [ -s "secrets/$name" ] || random > "secrets/$name"
done
if [ ! -s secrets/api_keys ]; then
  key=$(random)
  printf '%s:%s\n' "${1:-local}" "$(printf %s "$key" | sha256sum | cut -d' ' -f1)" > secrets/api_keys
  echo "API key of ${1:-local}: $key"
fi
[ -e secrets/webhook_secrets ] || : > secrets/webhook_secrets
chmod 644 secrets/*  # within a folder that is yours alone: a container sees the file, not the folder
