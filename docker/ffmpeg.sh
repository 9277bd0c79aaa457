#!/usr/bin/env bash
# ffmpeg.sh FOLDER: installs Debian's ffmpeg and copies the programs to FOLDER with the libraries that they link. What
# the packages bring for displays and sound cards stays out: Mesa and LLVM alone are half of them. The records of the
# packages come along, so that scanners of images know the versions.
set -euo pipefail
out=$1
dpkg-query -W -f '${Package}\n' | sort > /tmp/base
apt-get update -qq
apt-get install -y -qq --no-install-recommends ffmpeg
libraries=$(ldd /usr/bin/ffmpeg /usr/bin/ffprobe | awk '$2 == "=>" { print $3 }' | sort -u)
mkdir -p "$out/var/lib/dpkg/status.d"
for file in /usr/bin/ffmpeg /usr/bin/ffprobe $libraries; do
  real=$(readlink -f "$file")
  package=$(dpkg-query -S "$real" "${real#/usr}" 2>/dev/null | head -1 | cut -d: -f1 || true)
  if [ -n "$package" ] && grep -qx "$package" /tmp/base; then continue; fi  # the base image has it
  install -D "$real" "$out$(readlink -f "$(dirname "$file")")/$(basename "$file")"
  if [ -n "$package" ]; then dpkg-query -s "$package" > "$out/var/lib/dpkg/status.d/$package"; fi
done
