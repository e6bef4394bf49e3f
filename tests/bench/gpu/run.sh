#!/bin/bash
# First minutes on a GPU: copy this folder there and run it. Needs bash and coreutils, the NVIDIA
# driver and libcublasLt of CUDA 13 (of the toolkit or of PyTorch); no package, no compiler, no network.
#
#   ./run.sh [RESULTS]      default: results, next to this file
#
# The most valuable comes first: facts, smoke test, operations against the reference, recorded cases,
# frames shared with Vulkan, images of MAR-B, textures, PyTorch next to it, sanitizers, larger models. Each part
# has a limit of its own, is ended when it hangs, and leaves its log and a line of the table at once.
# TESSERA_GPU_SECONDS (360) is the limit of all, and TESSERA_GPU_PATIENCE (1) multiplies that of each part, for
# the execution double. TESSERA_CUDA_MODULE names another module to test.
# Exit status: 0 nothing failed, 1 a part failed or hung, 77 no device (every part has said so).
here=$(cd "$(dirname "$0")" && pwd)
results=${1:-$here/results}
mkdir -p "$results"
results=$(cd "$results" && pwd)
table=$results/table.txt
python=${TESSERA_PYTHON:-python3}
begin=$SECONDS
limit_of_all=${TESSERA_GPU_SECONDS:-360}
export TESSERA_CUDA_MODULE=${TESSERA_CUDA_MODULE:-$here/lib/tessera_cuda.so}
export TESSERA_VULKAN_MODULE=${TESSERA_VULKAN_MODULE:-$here/lib/tessera_vulkan.so}
: >"$table"
failed=0
absent=0
passed=0

left() { echo $((limit_of_all - (SECONDS - begin))); }

# note NAME RESULT SECONDS FIGURE: a line of the table, on the screen and in the file.
note() { printf '%-22s %-10s %4s s  %s\n' "$@" | tee -a "$table"; }

# The line of a log that says most.
figure() {
  local line
  grep -qa 'Running 0 tests' "$1" && { echo "no test for cuda: its module finds no device"; return; }
  line=$(grep -aE 'total +[0-9.]+ ms an image|(one at a time|all queued) +[0-9.]+ textures/s' "$1" | sed 's/^ *//; s/  */ /g' | paste -sd ';' | cut -c1-150)
  [[ -z $line ]] && line=$(grep -aE '^no device|compute backend .(cuda|vulkan)|no CUDA device|Vulkan loader|no Vulkan device' "$1" | head -1)
  [[ -z $line ]] && line=$(grep -aE 'NO  |FAILED TEST|^\[  PASSED|take another way|SKIPPED|worst|ERROR SUMMARY|RACECHECK SUMMARY' "$1" | tail -1)
  [[ -z $line ]] && line=$(grep -av '^ *$' "$1" | tail -1)
  echo "${line:0:150}"
}

# part NAME LIMIT COMMAND...: in a process group of its own, so that what hangs can be ended whole.
part() {
  local name=$1 limit=$(($2 * ${TESSERA_GPU_PATIENCE:-1})) log status start=$SECONDS result
  shift 2
  log=$results/$name.log
  if (($(left) < 5)); then
    note "$name" "no time" 0 ""
    return
  fi
  (($(left) < limit)) && limit=$(left)
  local path=$libraries
  [[ $1 == "$python" ]] && path=${LD_LIBRARY_PATH:-} # PyTorch brings its own
  if ! command -v "$1" >/dev/null; then
    note "$name" "skipped" 0 "$1 is not here"
    return
  fi
  LD_LIBRARY_PATH=$path setsid "$@" >"$log" 2>&1 </dev/null &
  local process=$!
  while kill -0 $process 2>/dev/null && ((SECONDS - start < limit)); do sleep 0.1; done
  if kill -0 $process 2>/dev/null; then
    kill -TERM -- -$process 2>/dev/null
    sleep 1
    kill -KILL -- -$process 2>/dev/null
    echo "ended after $limit s" >>"$log"
    status=124
    disown $process 2>/dev/null # one that the driver holds is not waited for
  else
    wait $process 2>/dev/null
    status=$?
    ((status > 128)) && echo "ended by signal $((status - 128))" >>"$log"
  fi
  if grep -qaE "^no device|compute backend .(cuda|vulkan).: |no CUDA device|Running 0 tests|No CUDA GPUs|has no CUDA" "$log"; then
    result="no device"
    absent=$((absent + 1))
  elif grep -qa "No module named 'torch'" "$log"; then
    result="skipped"
  elif ((status == 124)); then
    result="hung"
    failed=$((failed + 1))
  elif ((status != 0 && status != 77)); then
    result="FAILED $status"
    failed=$((failed + 1))
  elif ((status == 77)) || grep -qa 'SKIPPED' "$log"; then
    result="skipped"
  else
    result="ok"
    passed=$((passed + 1))
  fi
  note "$name" "$result" $((SECONDS - start)) "$(figure "$log")"
}

# ---- where things are ----

# cuBLASLt of CUDA 13: the loader's own places, the toolkit's, PyTorch's packages.
cublas=""
for place in /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib \
  /usr/lib/x86_64-linux-gnu /opt/cuda/lib64 \
  $("$python" -c 'import sys; print(*(p + "/nvidia/*/lib" for p in sys.path if "packages" in p))' 2>/dev/null); do
  for at in $place; do [[ -z $cublas && -e $at/libcublasLt.so.13 ]] && cublas=$at; done
done
libraries=$here/lib:$cublas
# The libraries of GCC that this machine has, unless our programs do not start with them.
LD_LIBRARY_PATH=$libraries "$here/bin/bench_cuda" --help >/dev/null 2>&1 || libraries=$here/lib/gcc:$libraries
[[ -n $cublas ]] && (cat "$cublas/libcublasLt.so.13" >/dev/null 2>&1 &) # into the page cache

# Vulkan without an entry for the driver: one of our own over its library.
icd=$(ls /etc/vulkan/icd.d/nvidia*.json /usr/share/vulkan/icd.d/nvidia*.json 2>/dev/null | head -1)
if [[ -z $icd ]]; then
  for library in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
    ldconfig -p 2>/dev/null | grep -q $library || continue
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
      $library >"$results/nvidia_icd.json"
    export VK_DRIVER_FILES=$results/nvidia_icd.json VK_ICD_FILENAMES=$results/nvidia_icd.json
    break
  done
fi

{
  date
  uname -a
  echo "glibc: $(ldd --version 2>/dev/null | head -1); needed: $(cat "$here/glibc.txt")"
  LD_LIBRARY_PATH=$libraries ldd "$here"/bin/bench_cuda
  echo "cublasLt: ${cublas:-not found}; Vulkan: ${icd:-${VK_DRIVER_FILES:-no entry for NVIDIA}}"
  nvidia-smi 2>&1
  nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,clocks.max.sm,power.limit --format=csv 2>&1
} >"$results/machine.txt"

# ---- the parts ----

bin=$here/bin
echo "$(date -u +%F) $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)" | tee -a "$table"
part facts 20 "$bin/gpu_facts"
part smoke.bf16 25 "$bin/bench_cuda" --shape tiny --steps 8 --denoise-steps 20
part smoke.graphs 15 "$bin/bench_cuda" --shape tiny --steps 8 --denoise-steps 20 --backend cuda:denoise_graphs=1
part smoke.f32 15 "$bin/bench_cuda" --shape tiny --steps 8 --denoise-steps 20 --precision f32
part smoke.vulkan 20 "$bin/bench_cuda" --shape tiny --steps 8 --denoise-steps 20 --backend vulkan
while IFS=$'\t' read -r name limit arguments; do
  eval "part $name $limit $arguments"
done <"$here/tests.tsv"
part base 60 "$bin/bench_cuda" --shape base --batch 1 8 --repeats 2
# Many textures of one model: one at a time, and several in a job.
part textures 30 "$bin/bench_embed" --backend cuda --loops 0 --players 0
# The same picture by Vulkan compute, and the operations against the reference there.
part vulkan.ops 60 env TESSERA_TEST_VULKAN=plain=0 "$bin/compute_operations_test" "--gtest_filter=*EqualsReference*/vulkan"
part vulkan.base 60 "$bin/bench_cuda" --shape base --repeats 1 --backend vulkan:nvidia # not in software
part torch.base 75 "$python" "$here/torch_gpu.py" --shape base --batch 1 8 --timed 4
part base.graphs 30 "$bin/bench_cuda" --shape base --repeats 1 --backend cuda:denoise_graphs=1
part base.library 30 "$bin/bench_cuda" --shape base --repeats 1 --backend cuda:library_products=1
part large 40 "$bin/bench_cuda" --shape large --repeats 1
part torch.base.head 60 "$python" "$here/torch_gpu.py" --shape base --mode head --timed 3
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -1)
for tool in memcheck racecheck; do
  if [[ -n $sanitizer ]]; then
    part "$tool" 40 "$sanitizer" --tool $tool --error-exitcode 3 --kernel-regex kns=tessera \
      "$bin/compute_operations_test" "--gtest_filter=*DenoiseTest.EqualsReference/cuda:*AttentionTest.EqualsReference/cuda"
  else
    note $tool "skipped" 0 "compute-sanitizer is not here"
  fi
done
part huge 50 "$bin/bench_cuda" --shape huge --repeats 1
part base.f32 40 "$bin/bench_cuda" --shape base --precision f32 --repeats 1

echo
echo "table: $table; logs next to it; $((SECONDS - begin)) s"
((failed > 0)) && exit 1
((passed == 0)) && exit 77
exit 0
