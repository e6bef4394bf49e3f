#!/usr/bin/env bash
# Runs plugins/training's tests. Usage: pytest.sh SOURCE_DIR BUILD_DIR
# PYTHON names the interpreter; otherwise the first one that can import torch and pytest.
set -euo pipefail
export TESSERA_BIN="$2/bin" # so that `check` finds tessera-check-case
cd "$1/plugins/training"
for python in "${PYTHON:-}" /usr/bin/python3 python3; do
  [ -n "$python" ] || continue
  if "$python" -c 'import torch, pytest' 2>/dev/null; then
    exec "$python" -m pytest -q -p no:cacheprovider tests
  fi
done
echo "no Python with torch and pytest (Debian: python3-torch python3-pytest)"
exit 77
