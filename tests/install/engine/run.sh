#!/usr/bin/env bash
# The outside engine under the validation layer, with the loader and with a volk of its own; then the
# same picture from Python and from the command line. Usage: run.sh FOLDER_OF_ENGINES TESSERA_GENERATE PYTHON_MODULE LIBTESSERA
set -euo pipefail
engines=$1 generate=$2 module=$3 library=$4
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
export VK_LAYER_ENABLES=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
if ! compgen -G '/usr/share/vulkan/explicit_layer.d/*validation*' >/dev/null &&
  ! compgen -G '/etc/vulkan/explicit_layer.d/*validation*' >/dev/null; then
  echo "no validation layer here (vulkan-validationlayers)"
  exit 77
fi
run() { # run ENGINE: its hash
  local output
  output=$("$engines/$1" bark 42 2>&1) || { echo "$1: $output" >&2; return 1; }
  echo "$1: $output" >&2
  if grep -qiE 'validation|VUID|SYNC-HAZARD|UNASSIGNED' <<<"$output"; then return 1; fi
  sed -n 's/^hash \([0-9a-f]*\),.*/\1/p' <<<"$output"
}
hash=$(run engine)
[ -n "$hash" ] || { echo "the engine printed no hash"; exit 1; }
volk=$(run engine_volk)
[ "$volk" = "$hash" ] || { echo "with volk: $volk; expected $hash"; exit 1; }

unset VK_INSTANCE_LAYERS VK_LAYER_ENABLES
for python in "${PYTHON:-}" /usr/bin/python3 python3; do
  [ -n "$python" ] && "$python" -c 'import PIL, numpy' 2>/dev/null && break
  python=
done
if [ -z "$python" ]; then
  echo "no Python with numpy and PIL: the other two are not asked"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$generate" --model materials --backend cpu --class bark --seed 42 --set width=256 --set height=256 \
  --output "$folder/bark.png" >/dev/null
TESSERA_LIBRARY=$library PYTHONPATH=$module PYTHONDONTWRITEBYTECODE=1 "$python" - "$hash" "$folder/bark.png" <<'PYTHON'
import sys

import numpy
import PIL.Image
import tessera

with tessera.Runtime() as runtime:
    texture = runtime.model("materials", backend="cpu").texture(seed=42, values={"class": "bark"}, width=256, height=256)
    pixels = texture.wait().pixels()
    made = f"{texture.info().hash:016x}"
line = numpy.asarray(PIL.Image.open(sys.argv[2]).convert("RGBA"))
print("engine", sys.argv[1], "python", made, "command line the same:", numpy.array_equal(line, pixels))
sys.exit(made != sys.argv[1] or not numpy.array_equal(line, pixels))
PYTHON
