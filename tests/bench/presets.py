"""CPU time of the presets of a model, in turns with the defaults: medians, spread and the ratio.

CPU time is that of the whole process, its threads and its start among it: other programs on the machine
change it little, where they change the time on the wall.

    presets.py build/release/bin/tessera-generate [--model NAME] [--threads N] [--count N] [--rounds N]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def cpu_seconds(command):
    """Of a process that succeeds, and the most memory that it had, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"exit status {process.returncode}: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generate")
    parser.add_argument("--model", default="materials")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=1, help="images of a process")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(__file__).resolve().parents[2] / "plugins" / "models" / options.model / "presets"
    presets = {"default": None, **{file.stem: file for file in sorted(folder.glob("*.json"))}}
    times = {name: [] for name in presets}
    with tempfile.TemporaryDirectory() as out:
        command = [options.generate, "-m", options.model, "--threads", str(options.threads), "-q", "--seed", "1",
                   "--count", str(options.count), "-o", out + "/"]
        for _ in range(options.rounds):
            for name, preset in presets.items():
                seconds, _ = cpu_seconds(command + (["--preset", str(preset)] if preset else []))
                times[name].append(1e3 * seconds / options.count)
    usual = statistics.median(times["default"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:10} {middle:8.1f} ms of CPU an image ({min(values):.1f} to {max(values):.1f})  "
              f"{middle / usual:.2f} of the default", flush=True)


if __name__ == "__main__":
    main()
