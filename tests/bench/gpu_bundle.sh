#!/usr/bin/env bash
# Packs what a bare machine with a GPU needs to test and time the CUDA and Vulkan backends in six minutes: one
# folder of at most 45 MiB with run.sh (tests/bench/gpu/run.sh), to be copied there and run.
# Usage: gpu_bundle.sh OUT [BUILD_DIR]    default build: build/gpu, made here for capability 9.0 and PTX
#        gpu_bundle.sh --double OUT BUILD_DIR    with the execution double in the place of the module,
#        to rehearse on a machine without a GPU (TESSERA_CUDA_MODULE=lib/tessera_cuda_double.so)
set -euo pipefail
double=no
[[ ${1:-} == --double ]] && { double=yes; shift; }
out=${1:?usage: gpu_bundle.sh [--double] OUT [BUILD_DIR]}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${2:-$root/build/gpu}
most_kib=$((45 * 1024))

# The module is stripped: nvcc's machine code needs no symbols.
programs=(compute_operations_test tessera-check-case bench_cuda cuda_ring_test gpu_facts bench_embed)
modules=(tessera_cuda tessera_vulkan)
targets=("${programs[@]}" tessera_cuda tessera_vulkan_compute)
if [[ $double == yes ]]; then
  modules=(tessera_vulkan)
  targets=("${programs[@]}" tessera_cuda_double tessera_vulkan_compute)
fi
unused=-Wl,--gc-sections  # what a program does not call stays at home
[[ -f $build/CMakeCache.txt ]] || cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTESSERA_CUDA=ON \
  -DTESSERA_TESTS=ON -DTESSERA_CUDA_ARCHITECTURES="${TESSERA_CUDA_ARCHITECTURES:-90}" \
  -DCMAKE_CXX_FLAGS="-ffunction-sections -fdata-sections" -DCMAKE_EXE_LINKER_FLAGS=$unused \
  -DCMAKE_SHARED_LINKER_FLAGS=$unused -DCMAKE_MODULE_LINKER_FLAGS=$unused
cmake --build "$build" --target "${targets[@]}"

rm -rf "$out"
mkdir -p "$out"/{bin,lib/tessera/plugins,data,share/tessera/models/materials}
out=$(cd "$out" && pwd)
for program in "${programs[@]}"; do
  file=$(find "$build" -name "$program" -type f -perm -u+x | head -1)
  strip -o "$out/bin/$program" "$file"
done
for module in "${modules[@]}"; do
  strip -o "$out/lib/$module.so" "$build/lib/tessera/$module.so"
done
# What bench_embed makes textures with, where the library looks for it.
strip -o "$out/lib/tessera/plugins/texture.so" "$(find "$build" -path '*tessera/plugins/texture.so' | head -1)"
cp "$root/plugins/models/materials/generator.safetensors" "$out/share/tessera/models/materials/"
[[ $double == yes ]] && cp "$(find "$build" -name tessera_cuda_double.so | head -1)" "$out/lib/"

# Every library but glibc's own, and the Vulkan loader, which is loaded by name.
for file in "$out"/bin/* "$out"/lib/*.so "$out"/lib/tessera/plugins/*; do ldd "$file"; done | awk '/=> \// {print $3}' | sort -u |
  grep -vE '/(ld-linux|libc|libm|libdl|libpthread|librt|libresolv|libutil)[-.]' |
  while read -r library; do cp -L "$library" "$out/lib/"; done
strip "$out"/lib/libtessera.so.*
# GCC's own only where the other machine has none that is new enough: ours asks for a newer glibc.
mkdir "$out/lib/gcc"
mv "$out"/lib/libstdc++.so.6 "$out"/lib/libgcc_s.so.1 "$out/lib/gcc/"
vulkan=$(/sbin/ldconfig -p | awk '/libvulkan\.so\.1 / {path = $NF} END {print path}')
if [[ -n $vulkan ]]; then
  cp -L "$vulkan" "$out/lib/libvulkan.so.1"
else
  echo "no Vulkan loader here: frames shared with Vulkan will be skipped" >&2
fi
# The newest glibc that any of them asks for (but for GCC's own): what the other machine must have.
find "$out"/bin "$out"/lib -maxdepth 1 -type f -exec objdump -T {} + |
  grep -o 'GLIBC_2\.[0-9]*' | sort -V | tail -1 >"$out/glibc.txt"

# The tests labelled gpu, as CTest would run them, with the files they read.
ctest --test-dir "$build" -L '^gpu$' --show-only=json-v1 |
  python3 "$root/tests/bench/gpu/list_tests.py" "$root" "$out"

mkdir -p "$out/tessera_training/networks"
cp "$root"/plugins/training/tessera_training/{__init__,errors}.py "$out/tessera_training/"
# What torch_gpu.py imports, and what that does.
cp "$root"/plugins/training/tessera_training/networks/{__init__,blocks,codes,diffusion,kl_vae,mar}.py "$out/tessera_training/networks/"
cp "$root"/tests/bench/torch_gpu.py "$root"/tests/bench/gpu/run.sh "$out/"
{ git -C "$root" log -1 --format='%H %cs' 2>/dev/null || true; } >"$out/commit.txt"

kib=$(du -sk --apparent-size "$out" | cut -f1)
echo "$out: $((kib / 1024)) MiB, needs $(cat "$out/glibc.txt")"
if ((kib > most_kib)); then
  echo "too large: $kib KiB; expected at most $most_kib" >&2
  exit 1
fi
