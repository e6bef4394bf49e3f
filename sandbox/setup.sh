# Shared by sandbox/run.sh and tests/run.sh: installs what Debian 12 lacks, configures and builds.
# To be sourced. Expects $root (the source tree); says what it installs; quick when all is there.

packages_build=(
  g++ cmake ninja-build pkg-config glslc
  libvulkan-dev libvulkan-volk-dev mesa-vulkan-drivers
  libglfw3-dev libimgui-dev libstb-dev libglm-dev fonts-dejavu-core
  libvkfft-dev glslang-dev glslang-tools spirv-tools
  libfmt-dev nlohmann-json3-dev libcli11-dev libpng-dev libjpeg62-turbo-dev
  libwebp-dev liblcms2-dev libexif-dev libxxhash-dev libhwy-dev libkissfft-dev
)
packages_test=(
  libgtest-dev libgmock-dev libdnnl-dev vulkan-validationlayers xvfb xauth
  clang clang-format clang-tidy libclang-rt-14-dev
  python3-torch python3-numpy python3-pil python3-pytest python3-hypothesis
)

# install_packages NAME...: the missing ones only, through apt; with sudo when not root.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null; then
    echo "tessera: no apt-get here; please install what corresponds to: ${missing[*]}" >&2
    return 1
  fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "tessera: these packages are missing and there is no sudo to install them:" \
        "${missing[*]}" >&2
      return 1
    }
    as_root=(sudo)
  fi
  echo "tessera: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# configure_and_build PRESET [cmake options...]: into build/PRESET.
configure_and_build() {
  local preset=$1
  shift
  local build="$root/build/$preset"
  if [ ! -f "$build/build.ninja" ] || [ $# -gt 0 ]; then
    # Without a GPU one architecture shows that the CUDA backend builds; all of them take minutes.
    [ -e /dev/nvidiactl ] || set -- "$@" -DTESSERA_CUDA_ARCHITECTURES=90
    cmake -S "$root" --preset "$preset" "$@"
  fi
  cmake --build "$build"
}
