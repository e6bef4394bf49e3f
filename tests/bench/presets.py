"""Seconds of the presets of a model, in turns with the defaults: medians, spread and the ratio.

    presets.py build/release/bin/tessera-generate [--model NAME] [--threads N] [--rounds N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def seconds(options, preset, folder):
    report = Path(folder) / "report.json"
    command = [options.generate, "-m", options.model, "--threads", str(options.threads), "--count", "3", "-q",
               "-o", str(folder), "--json", str(report), "--seed", "1"]
    command += ["--preset", str(preset)] if preset else []
    subprocess.run(command, check=True, capture_output=True)
    jobs = json.loads(report.read_text())["jobs"]
    return statistics.median(1e3 * job["seconds"]["total"] / job["image_count"] for job in jobs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generate")
    parser.add_argument("--model", default="materials")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(__file__).resolve().parents[2] / "plugins" / "models" / options.model / "presets"
    presets = {"default": None, **{file.stem: file for file in sorted(folder.glob("*.json"))}}
    times = {name: [] for name in presets}
    with tempfile.TemporaryDirectory() as out:
        for _ in range(options.rounds):
            for name, preset in presets.items():
                times[name].append(seconds(options, preset, out))
    usual = statistics.median(times["default"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:10} {middle:8.1f} ms an image ({min(values):.1f} to {max(values):.1f})  {middle / usual:.2f} of the default")


if __name__ == "__main__":
    sys.exit(main())
