#!/usr/bin/env bash
# Fails on a clang-tidy finding in a source file that was built. Usage: tidy.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
command -v run-clang-tidy >/dev/null || { echo "clang-tidy is not installed"; exit 77; }
cd "$1"
# Product sources: tests are held to the compiler's warnings only, which keeps this within minutes.
run-clang-tidy -quiet -p "$2" -j "$(nproc)" "^$1/(runtime|plugins|interop|sandbox)/.*"
