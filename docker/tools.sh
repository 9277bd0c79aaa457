#!/usr/bin/env bash
# tools.sh PROGRAM[=PACKAGE]…: installs each missing program by apt-get, from its package or that of the same name.
set -euo pipefail
missing=()
for program in "$@"; do
  command -v "${program%%=*}" >/dev/null || missing+=("${program#*=}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
if ! command -v apt-get >/dev/null || { [ ${#sudo[@]} -gt 0 ] && ! command -v sudo >/dev/null; }; then
  echo "Please install: ${missing[*]}" >&2
  exit 1
fi
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
