"""From the start of tessera-generate to the first thing to see and to the finished picture of the bundled model.

The time on the wall, with its parts as the program reports them: reading and activating the model, and the first
step, whose picture is the coarse one (the whole time less the other steps). The first round of each size is printed apart: files may come from the disk.

    latency.py build/release/bin/tessera-generate [--threads N] [--rounds N]
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def once(generate, size, threads, folder):
    report = Path(folder) / "report.json"
    start = time.perf_counter()
    subprocess.run([generate, "-q", "--threads", str(threads), "--set", f"width={size}", "--set", f"height={size}", "-o",
                    f"{folder}/x.png", "--json", str(report)], check=True)
    whole = time.perf_counter() - start
    made = json.loads(report.read_text())
    loaded = made["seconds"]["load"] + made["seconds"]["activate"]
    job = made["jobs"][0]["seconds"]
    return loaded, whole - sum(job["steps"][1:]) - job["end"], whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in (128, 256):
            runs = [once(options.generate, size, options.threads, folder) for _ in range(options.rounds + 1)]
            for name, some in (("first", runs[:1]), ("warm", runs[1:])):
                if not some:
                    continue
                loaded, coarse, whole = (sorted(1e3 * run[i] for run in some) for i in range(3))
                print(f"{size:4} {name:5} model {statistics.median(loaded):7.1f} ms, coarse picture {statistics.median(coarse):7.1f} ms "
                      f"({coarse[0]:.1f} to {coarse[-1]:.1f}), finished {statistics.median(whole):7.1f} ms ({whole[0]:.1f} to {whole[-1]:.1f})",
                      flush=True)


if __name__ == "__main__":
    main()
