#!/usr/bin/env bash
# install.sh VENV LOCK: a virtual environment with the locked packages, for machines without a GPU.
# The lock is whole, so nothing is resolved: mediapipe declares packages that face detection does not need.
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
# The CPU build of torch: from PyTorch's own index where it is reached, else from wherever pip is told to look.
"$venv/bin/python" -m pip install --quiet --no-deps --retries 0 --timeout 20 \
  --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0
"$venv/bin/python" -m pip install --quiet --no-deps -r "$lock"
"$venv/bin/python" -c 'import torch' || "$venv/bin/python" -m pip install --quiet torch==2.13.0
