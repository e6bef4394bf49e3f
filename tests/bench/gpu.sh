#!/usr/bin/env bash
# Everything that needs a GPU, in under eight minutes: builds, tests labelled gpu, compute-sanitizer,
# then whole MAR images of three shapes next to PyTorch on the same device.
# Usage: gpu.sh [BUILD_DIR]   An existing build is used as it is; default: a new one in build/gpu.
# Exit status: 0 all passed, 1 a test failed, 77 no device (what could be done without one was done).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/gpu}
jobs=$(nproc)
python=${TESSERA_PYTHON:-python3}
status=0
skipped=()
deadline=$(($(date +%s) + ${TESSERA_GPU_SECONDS:-450}))

section() { printf '\n== %s (%s s left)\n' "$1" $((deadline - $(date +%s))); }
skip() { skipped+=("$1"); echo "skipped: $1"; }
# Runs a command with what is left of the time, at most $1 seconds.
within() {
  local limit=$1 left=$((deadline - $(date +%s)))
  shift
  ((left < 5)) && { skip "no time left for: $*"; return 77; }
  timeout $((left < limit ? left : limit)) "$@"
}

section "device"
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d '. ')
  device=yes
else
  echo "no NVIDIA device, or no driver"
  capability=""
  device=no
fi

section "build"
export PATH=$PATH:/usr/local/cuda/bin
programs=(compute_operations_test tessera-check-case bench_cuda)
if [[ -x $build/bin/bench_cuda && -f $build/lib/tessera/tessera_cuda.so ]]; then
  echo "using $build"
elif ! command -v nvcc >/dev/null; then
  skip "the build: nvcc not found"
else
  # Machine code for this device only: that is most of the time nvcc takes.
  cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTESSERA_CUDA=ON -DTESSERA_TESTS=ON \
    -DTESSERA_SANDBOX=OFF ${capability:+-DTESSERA_CUDA_ARCHITECTURES=$capability} >"$build.log" 2>&1 &&
    within 300 cmake --build "$build" -j "$jobs" --target tessera_cuda "${programs[@]}" >>"$build.log" 2>&1
  if [[ ! -x $build/bin/bench_cuda || ! -f $build/lib/tessera/tessera_cuda.so ]]; then
    tail -20 "$build.log"
    echo "the build failed"
    exit 1
  fi
fi
export TESSERA_CUDA_MODULE=$build/lib/tessera/tessera_cuda.so

section "tests labelled gpu"
if [[ -f $build/CTestTestfile.cmake ]]; then
  within 120 ctest --test-dir "$build" -L '^gpu$' -j 4 --output-on-failure || status=1
else
  skip "tests: no build"
fi

section "compute-sanitizer"
operations=$build/tests/compute/compute_operations_test
if [[ $device == no ]]; then
  skip "compute-sanitizer: no device"
elif ! command -v compute-sanitizer >/dev/null; then
  skip "compute-sanitizer: not installed"
else
  for tool in memcheck racecheck; do
    within 60 compute-sanitizer --tool "$tool" --error-exitcode 3 --kernel-regex kns=tessera \
      "$operations" '--gtest_filter=*EqualsReference*cuda*:*GroupNorm*cuda*:-*LikeTheReference*' \
      >"$build.$tool.log" 2>&1
    case $? in
    0) echo "$tool: clean" ;;
    77 | 124) skip "$tool: did not end in time" ;;
    *) status=1; tail -25 "$build.$tool.log" ;;
    esac
  done
fi

section "images"
if [[ $device == no ]]; then
  skip "images: no device"
  within 60 "$build/bin/bench_cuda" --shape tiny # says why
else
  # Device memory: the most that was in use while a program ran, less what was in use before.
  used() { nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1; }
  for shape in base large huge; do
    for batch in 1 8; do
      before=$(used) peak=0
      within 60 "$build/bin/bench_cuda" --shape "$shape" --batch "$batch" &
      bench=$!
      while kill -0 $bench 2>/dev/null; do
        now=$(used)
        ((now > peak)) && peak=$now
        sleep 0.2
      done
      wait $bench || skip "bench_cuda $shape batch $batch: status $?"
      echo "       device memory: $((peak - before)) MiB"
    done
  done
  # The denoiser as graphs, next to the persistent kernel above: which of the two wins where.
  for shape in base large; do
    for batch in 1 8; do
      within 60 "$build/bin/bench_cuda" --shape "$shape" --batch "$batch" --backend cuda:denoise_graphs=1 ||
        skip "bench_cuda $shape batch $batch graphs"
    done
  done
  within 60 "$build/bin/bench_cuda" --shape base --precision f32 || skip "bench_cuda base f32"
fi

section "PyTorch"
if ! "$python" -c 'import torch' 2>/dev/null; then
  skip "PyTorch: $python cannot import torch (TESSERA_PYTHON names another)"
elif [[ $device == no ]]; then
  skip "PyTorch: no device"
else
  for mode in eager compile; do
    for shape in base large huge; do
      for batch in 1 8; do
        within 75 "$python" "$root/tests/bench/torch_gpu.py" --shape "$shape" --batch "$batch" \
          --mode "$mode" 2>"$build.torch.log" || skip "PyTorch $mode $shape batch $batch"
      done
    done
  done
fi

section "end"
printf 'skipped: %s\n' "${skipped[@]:-nothing}"
[[ $status != 0 ]] && exit 1
[[ $device == no ]] && exit 77
exit 0
