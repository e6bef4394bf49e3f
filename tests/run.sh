#!/usr/bin/env bash
# From a fresh clone to passed tests: installs what is missing, builds, runs CTest.
#   tests/run.sh [PRESET] [ctest options...]     PRESET: release (default), dev, asan, tsan
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/sandbox/setup.sh"

preset=release
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
  preset=$1
  shift
fi
install_packages "${packages_build[@]}" "${packages_test[@]}"
configure_and_build "$preset" -DTESSERA_TESTS=ON
cd "$root"
ctest --preset "$preset" --parallel "$(nproc)" --timeout 900 "$@"
