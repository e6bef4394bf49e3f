#!/usr/bin/env bash
# The raylib example runs until its textures are there, on a display of its own.
# Usage: raylib_test.sh LIBRARY MODULE
set -euo pipefail
for python in "${PYTHON:-}" /usr/bin/python3 python3; do
  [ -n "$python" ] && "$python" -c 'import pyray' >/dev/null 2>&1 && break
  python=
done
[ -n "$python" ] || { echo "no Python with raylib (pip install raylib)"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
TESSERA_LIBRARY=$1 PYTHONPATH=$2 PYTHONDONTWRITEBYTECODE=1 xvfb-run -a -s "-screen 0 1280x800x24" \
  "$python" "$2/examples/raylib_scene.py" --screenshot "$folder/scene.png"
# Not one colour for each thing: the grey that textures begin with is gone.
"$python" - "$folder/scene.png" <<'END'
import sys
import pyray as rl
image = rl.load_image(sys.argv[1])
pixels = rl.load_image_colors(image)
colours = {(pixels[i].r, pixels[i].g, pixels[i].b) for i in range(image.width * image.height)}
print(len(colours), "colours")
sys.exit(0 if len(colours) > 20_000 else 1)
END
