#!/usr/bin/env bash
# Fails when the name of a test carries bytes, addresses or the number of its parameter, so that it
# says nothing and differs from build to build. Usage: test_names.sh BUILD_DIR
set -euo pipefail
names=$(ctest --test-dir "$1" -N | sed -n 's/^ *Test *#[0-9]*: //p')
[ "$(wc -l <<<"$names")" -gt 100 ] || { echo "ctest -N lists no tests"; exit 1; }
if grep -E 'GetParam|object <|0x[0-9a-f]{4}|/[0-9]+$|/[0-9]+\.|[^ -~]' <<<"$names"; then
  echo "the tests above need a name generator (see INSTANTIATE_TEST_SUITE_P)"
  exit 1
fi
if sort <<<"$names" | uniq -d | grep .; then
  echo "the names above occur twice"
  exit 1
fi
