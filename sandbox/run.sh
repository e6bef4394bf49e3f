#!/usr/bin/env bash
# From a fresh clone to textures: installs what is missing, builds, and starts the sandbox on the
# bundled model. Without a display it generates one image of every class and says where they are.
# Arguments go to tessera-sandbox (or, without a display, to tessera-generate).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/sandbox/setup.sh"

install_packages "${packages_build[@]}"
options=()
[ -f "$root/build/release/build.ninja" ] || options=(-DTESSERA_TESTS=OFF) # they need more packages
configure_and_build release "${options[@]}"

bin="$root/build/release/bin"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
  exec "$bin/tessera-sandbox" "$@"
fi
out="$root/out"
mkdir -p "$out"
echo "tessera: no display; generating one image of every class instead"
"$bin/tessera-generate" --all-classes --output "$out" --contact-sheet "$out/contact_sheet.png" "$@"
echo "tessera: the contact sheet is $out/contact_sheet.png"
