#!/usr/bin/env bash
# Every figure of BENCHMARKS.md again, in about 15 minutes on a quiet machine of two cores: each as a
# ratio to an alternative that ran in turns with it. Writes BENCHMARKS.md at the top of the tree.
# Usage: report.sh [BUILD_DIR]      default: build/release
# TESSERA_PYTHON    a Python with PyTorch, for the comparison with it (default: python3)
# TESSERA_BENCH_RUN a command that every measurement is run through, such as "nice -n -5"
# TESSERA_BENCH_PARTS  the parts to run (default: all); what an earlier run of the others left is kept
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
logs=$build/report
python=${TESSERA_PYTHON:-python3}
parts=${TESSERA_BENCH_PARTS:-products convolutions mar frames presets growth}
threads=2
mkdir -p "$logs"

# measure PART COMMAND...: keeps the part's log, with when and how it was made, if it succeeds.
measure() {
  local part=$1 status
  shift
  [[ " $parts " == *" ${part%%-*} "* ]] || return 0
  {
    echo "# $(date -u +%F) load $(cut -d' ' -f1 /proc/loadavg) before"
    echo "# $(printf '%q ' "$@" | sed "s#$build/##g; s#$root/##g; s#$python#python3#g")"
    # shellcheck disable=SC2086
    ${TESSERA_BENCH_RUN:-} "$@" 2>&1
  } >"$logs/$part.new"
  status=$?
  if ((status == 0)); then
    mv "$logs/$part.new" "$logs/$part.log"
  else
    echo "$part: exit status $status; see $logs/$part.new" >&2
  fi
  return 0
}

bench() { find "$build" -name "$1" -type f -perm -u+x | head -1; }

measure products "$(bench bench_ops)" --only linear --rounds 9
measure products-attention "$(bench bench_ops)" --only attention --rounds 9
measure convolutions "$(bench bench_conv)" $threads 5 64
measure mar "$(bench bench_step)" --threads $threads --repeats 3 --positions 2 --python "$python"
measure frames "$(bench bench_frame)" --offscreen --seconds 5
measure presets "$python" "$root/tests/bench/presets.py" "$(bench tessera-generate)" --threads $threads
for size in 128 256 512; do
  measure growth-tokens-$size "$(bench bench_cuda)" --backend cpu --size $size --steps 2 --denoise-steps 4 --repeats 1
done
for batch in 2 4; do
  measure growth-batch-$batch "$(bench bench_cuda)" --backend cpu --batch $batch --steps 2 --denoise-steps 4 --repeats 1
done
for shape in large huge; do
  measure growth-model-$shape "$(bench bench_cuda)" --backend cpu --shape $shape --steps 2 --denoise-steps 4 --repeats 1
done

python3 "$root/tests/bench/report.py" "$logs" >"$root/BENCHMARKS.md" && echo "$root/BENCHMARKS.md"
