#!/usr/bin/env bash
# fonts.sh FOLDER: copies small fonts of Debian (10 MB) to FOLDER, for the scripts that DejaVu Sans lacks: Chinese and
# Japanese, Devanagari, Thai, Ethiopic. The records of the packages come along, so that scanners of images know them.
set -euo pipefail
out=$1
packages=(fonts-droid-fallback fonts-lohit-deva fonts-tlwg-loma-ttf fonts-sil-abyssinica)
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}"
mkdir -p "$out/var/lib/dpkg/status.d"
for package in "${packages[@]}"; do
  dpkg-query -L "$package" | grep -E '^/usr/share/fonts/.*\.(ttf|otf)$' | while read -r file; do
    install -D -m 644 "$(readlink -f "$file")" "$out$file"
  done
  dpkg-query -s "$package" > "$out/var/lib/dpkg/status.d/$package"
done
