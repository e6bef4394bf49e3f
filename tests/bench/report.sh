#!/usr/bin/env bash
# Every figure of BENCHMARKS.md again, in at most 15 minutes on two cores: each as a ratio to an
# alternative that ran in turns with it. Writes BENCHMARKS.md and its plot at the top of the tree.
# Usage: report.sh [BUILD_DIR]      default: build/release
# TESSERA_PYTHON    a Python with PyTorch, for the comparison with it (default: python3)
# TESSERA_BENCH_RUN a command that every measurement is run through, such as "nice -n -5"
# TESSERA_BENCH_PARTS  the parts to run, by name or by the first word of it (default: all); what an
#                   earlier run left of the others stays on the page, with its own date and load
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
logs=$build/report
python=${TESSERA_PYTHON:-python3}
parts=${TESSERA_BENCH_PARTS:-products convolutions mar causal frames textures latency presets growth}
threads=2
failed=0
mkdir -p "$logs"

# measure PART LIMIT COMMAND...: keeps the part's log, with when and how it was made, if it succeeds
# within so many seconds.
measure() {
  local part=$1 limit=$2 status
  shift 2
  [[ " $parts " == *" ${part%%-*} "* || " $parts " == *" $part "* ]] || return 0
  if [[ -z $1 ]] || ! command -v "$1" >/dev/null; then
    echo "$part: its program is not built; configure with TESSERA_TESTS=ON" >&2
    failed=1
    return 0
  fi
  {
    echo "# $(date -u +'%F %H:%M'), load $(cut -d' ' -f1 /proc/loadavg)"
    echo "# $(printf '%q ' "$@" | sed "s#$build/##g; s#$root/##g; s#$python#python3#g")"
    # shellcheck disable=SC2086
    timeout "$limit" ${TESSERA_BENCH_RUN:-} "$@" 2>&1
  } >"$logs/$part.new"
  status=$?
  if ((status == 0)); then
    mv "$logs/$part.new" "$logs/$part.log"
    echo "$part: measured"
  else
    echo "$part: exit status $status (124: longer than $limit s); see $logs/$part.new" >&2
    failed=1
  fi
  return 0
}

bench() { find "$build" -name "$1" -type f -perm -u+x | head -1; }
generate=$build/bin/tessera-generate
growth() { measure "growth-mar-$1" 120 "$(bench bench_cuda)" --backend cpu --cpu-time --cold --sets 1 --denoise-steps 4 --repeats 1 "${@:2}"; }

measure products-linear 60 "$(bench bench_ops)" --only linear --rounds 9
measure products-attention 60 "$(bench bench_ops)" --only attention --rounds 9
measure convolutions 60 "$(bench bench_conv)" $threads 5 64
measure mar 300 "$(bench bench_step)" --threads $threads --repeats 2 --positions 2 --python "$python"
measure causal 120 "$(bench bench_causal)" --threads $threads --side 8 --repeats 3 --python "$python"
measure frames 60 "$(bench bench_frame)" --offscreen --seconds 5
measure textures 120 "$(bench bench_embed)"
measure latency 60 "$python" "$root/tests/bench/latency.py" "$generate" --threads $threads
measure presets-materials 120 "$python" "$root/tests/bench/presets.py" "$generate" --rounds 3
measure presets-materials_mar_latents 60 "$python" "$root/tests/bench/presets.py" "$generate" --model materials_mar_latents --threads 1 --count 4 --rounds 3
measure growth-materials 120 "$python" "$root/tests/bench/growth.py" "$generate"
growth batch --batch 1 2 4
for size in 128 512; do growth size-$size --size $size; done
for shape in large huge; do growth shape-$shape --shape $shape --tokens-only; done

python3 "$root/tests/bench/report.py" "$logs" "$root" && echo "$root/BENCHMARKS.md"
exit $failed
