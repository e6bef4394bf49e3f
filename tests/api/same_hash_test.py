"""One picture, four ways: the library by Python, tessera-generate, and the window by a script make the same bytes, and
the hash of the library is that of the header.

Usage: same_hash_test.py GENERATE SANDBOX (with TESSERA_LIBRARY and PYTHONPATH as python_test.sh sets them)
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import tessera
from PIL import Image

VALUES = {"class": "bark", "width": 64, "height": 64, "steps": 2}
SEED = 7
SKIP = 77


def hash_of(pixels: numpy.ndarray) -> int:
    """FNV-1a of width, height and bytes, as tessera/runtime.h has it."""
    value = 0xCBF29CE484222325
    sides = b"".join(int(side).to_bytes(4, "little") for side in (pixels.shape[1], pixels.shape[0]))
    for byte in sides + pixels.tobytes():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


def picture(path: pathlib.Path) -> numpy.ndarray:
    return numpy.asarray(Image.open(path).convert("RGBA"))


def main() -> int:
    generate, sandbox = sys.argv[1:3]
    hashes = {}
    with tessera.Runtime(threads=1) as runtime:
        texture = runtime.model("materials").texture(seed=SEED, values=VALUES).wait()
        hashes["library"] = texture.info().hash
        hashes["Python's array"] = hash_of(texture.pixels())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        settings = [part for key, value in VALUES.items() for part in ("--set", f"{key}={value}")]
        common = ["--model", "materials", "--seed", str(SEED), *settings]
        subprocess.run([generate, "-q", *common, "-o", str(folder / "a.png")], check=True)
        hashes["tessera-generate"] = hash_of(picture(folder / "a.png"))
        script = folder / "script.json"
        script.write_text(json.dumps(["play", "wait_done", {"save_image": str(folder / "b.png")}]))
        ran = subprocess.run([sandbox, *common, "--script", str(script)], text=True, capture_output=True, check=False)
        if ran.returncode != 0 and "Vulkan" in ran.stderr:
            print(f"no window here: {ran.stderr}")
            return SKIP
        if ran.returncode != 0:
            print(f"the window: exit code {ran.returncode}, {ran.stderr}")
            return 1
        hashes["tessera-sandbox"] = hash_of(picture(folder / "b.png"))
    print(hashes)
    return 0 if len(set(hashes.values())) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
