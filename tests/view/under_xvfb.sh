#!/usr/bin/env bash
# Runs a program on a virtual display of its own. Exit code 77 (skipped) when there is no Xvfb.
#   under_xvfb.sh PROGRAM [ARGUMENTS...]
set -u
for needed in xvfb-run Xvfb xauth; do
  if ! command -v "$needed" >/dev/null; then
    echo "skipped: $needed is not installed (Debian packages xvfb, xauth)" >&2
    exit 77
  fi
done
exec xvfb-run -a -s "-screen 0 1280x720x24 -noreset" "$@"
