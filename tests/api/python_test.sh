#!/usr/bin/env bash
# The Python module on the library of this build, next to its header. Usage: python_test.sh LIBRARY MODULE TESTS
set -euo pipefail
for python in "${PYTHON:-}" /usr/bin/python3 python3; do
  [ -n "$python" ] && "$python" -c 'import numpy' 2>/dev/null && break
  python=
done
[ -n "$python" ] || { echo "no Python with numpy (Debian: python3-numpy)"; exit 77; }
TESSERA_LIBRARY=$1 PYTHONPATH=$2 PYTHONDONTWRITEBYTECODE=1 "$python" "$3/python_test.py" "$2/../api/tessera/runtime.h"
