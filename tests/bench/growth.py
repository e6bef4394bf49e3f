"""CPU time and memory of one texture over its size, of the bundled model: medians and spread.

    growth.py build/release/bin/tessera-generate [--rounds N] [--sizes 128 256 512 1024]
"""

import argparse
import statistics
import tempfile

from presets import cpu_seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generate")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        for size in options.sizes:
            made = [cpu_seconds([options.generate, "-q", "--seed", "1", "--set", f"width={size}", "--set",
                                 f"height={size}", "-o", f"{out}/x.png"]) for _ in range(options.rounds)]
            seconds = [run[0] for run in made]
            print(f"{size:5} pixels {statistics.median(seconds):8.3f} s of CPU ({min(seconds):.3f} to {max(seconds):.3f}), "
                  f"{max(run[1] for run in made):.0f} MB", flush=True)


if __name__ == "__main__":
    main()
