#!/usr/bin/env bash
# Fails when clang-format would change a source file. Usage: format.sh SOURCE_DIR
set -euo pipefail
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
cd "$1"
find runtime plugins interop sandbox shaders tests \
  \( -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
