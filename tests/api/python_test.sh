#!/usr/bin/env bash
# A test in Python with the module on the library of this build.
# Usage: python_test.sh LIBRARY MODULE TESTS PROGRAM ARGUMENTS...
set -euo pipefail
for python in "${PYTHON:-}" /usr/bin/python3 python3; do
  [ -n "$python" ] && "$python" -c 'import numpy, PIL' 2>/dev/null && break
  python=
done
[ -n "$python" ] || { echo "no Python with numpy and PIL (Debian: python3-numpy python3-pil)"; exit 77; }
TESSERA_LIBRARY=$1 PYTHONPATH=$2 PYTHONDONTWRITEBYTECODE=1 exec "$python" "$3/$4" "${@:5}"
