#!/bin/bash
# What report.py makes of logs of what grows: tiny runs of bench_cuda in the place of MAR-B.
# Usage: growth_test.sh BENCH_CUDA
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/logs"

# run PART ARGUMENTS...: a log as report.sh leaves it; the tiny shape has the name of the base one there.
run() {
  {
    echo "# 2030-01-01 00:00, load 0.00"
    echo "# bench_cuda ${*:2}"
    "$bench" --backend cpu --cpu-time --cold --sets 1 --denoise-steps 4 --repeats 1 --shape tiny "${@:2}" | sed 's/^tiny /base /'
  } >"$folder/logs/growth-mar-$1.log"
}
bench=$1
run batch --batch 1 2
run more --batch 4 --tokens-only
sed -i 's/, 16 tokens/, 256 tokens/' "$folder"/logs/*.log
python3 "$here/report.py" "$folder/logs" "$folder"

page=$folder/BENCHMARKS.md
expect() { grep -qE "$1" "$page" || { echo "no line '$1' in"; cat "$page"; exit 1; }; }
expect '^\| MAR-B, tokens of a batch \| images, 1 to 4 \| -?[0-9.]+ \| -?[0-9.]+ \|$'
for batch in 1 2 4; do expect "^\| base, [0-9]+ million \| $batch \| 256 \| [0-9]+ \|"; done
grep -q 'MAR-B, tokens of a batch, over images' "$folder/BENCHMARKS.svg"
