#!/usr/bin/env python3
"""All classes of a model over the whole range of its settings: is every picture one?

    tests/bench/limits.py build/release/bin/tessera-generate --model materials

Runs guidance 1 to 20, temperature 0 to 2 and every integrator for every class, and counts pictures that
are flat (a standard deviation below --flat) and runs that failed. Exit status 0 when there are none.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def pictures(options, settings, folder):
    command = [options.generate, "-m", options.model, "--all-classes", "-q", "-o", str(folder)]
    command += ["--plugin", options.plugin] if options.plugin else []
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr.strip().splitlines()[-1:], sorted(Path(folder).glob("*.png"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generate")
    parser.add_argument("--model", default="materials")
    parser.add_argument("--plugin", help="path of a plugin library, where it is not found by itself")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1, 2.5, 4, 7, 10, 20])
    parser.add_argument("--temperature", type=float, nargs="+", default=[0, 0.5, 1, 1.6, 2])
    parser.add_argument("--integrator", nargs="+", default=["ancestral", "ddim", "dpm++2m"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--flat", type=float, default=2.0)
    options = parser.parse_args()
    common = dict(text.split("=", 1) for text in options.set)
    bad = total = 0
    for guidance, temperature, integrator in itertools.product(options.guidance, options.temperature,
                                                               options.integrator):
        settings = {"guidance": guidance, "temperature": temperature, "integrator": integrator, **common}
        with tempfile.TemporaryDirectory() as folder:
            status, message, files = pictures(options, settings, folder)
            spread = {file.stem: float(np.asarray(Image.open(file).convert("RGB"), np.float64).std())
                      for file in files}
        flat = sorted(name for name, value in spread.items() if value < options.flat)
        total += len(files)
        bad += len(flat) + (status != 0)
        print(json.dumps({**settings, "pictures": len(files), "flat": flat,
                          "least spread": round(min(spread.values(), default=0.0), 1),
                          **({"failed": message} if status else {})}), flush=True)
    print(f"{total} pictures, {bad} flat or failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
