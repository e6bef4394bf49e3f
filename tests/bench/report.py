"""BENCHMARKS.md from the logs of report.sh, on standard output.

    report.py LOGS
"""

import math
import os
import re
import sys
from pathlib import Path

PARTS = {
    "mar": "MAR-B, 64 x 100 with guidance, against PyTorch",
    "products": "Products against oneDNN",
    "products-attention": "Attention against oneDNN",
    "convolutions": "Convolutions against oneDNN",
    "frames": "Frame times with generation off, on and off again",
    "presets": "Presets of the bundled model, in turns",
}


def machine() -> str:
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"flags\s*: (.*)", text)
    sets = [s for s in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni") if flags and s in flags.group(1).split()]
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    size = int(memory.group(1)) / 1e6 if memory else 0
    return f"{os.cpu_count()} cores of {name.group(1) if name else 'an unknown processor'} ({', '.join(sets)}), {size:.0f} GB"


def read(file: Path):
    lines = file.read_text(errors="replace").splitlines()
    return lines[0].lstrip("# "), lines[1].lstrip("# "), [line.rstrip() for line in lines[2:] if line.strip()]


def growth(logs: Path) -> list[str]:
    rows = []
    for file in sorted(logs.glob("growth-*.log")):
        when, _, lines = read(file)
        text = "\n".join(lines)
        what = re.search(r"(\w+) +\w+ batch (\d+), (\d+) tokens.*?tokens +([\d.]+) ms", text)
        parts = re.search(r"encoder ([\d.]+), decoder ([\d.]+), denoiser ([\d.]+)", text)
        picture = re.search(r"picture ([\d.]+) ms", text)
        memory = re.search(r"peak memory (\d+) MB", text)
        if what and parts and picture and memory:
            rows.append((what[1], int(what[2]), int(what[3]), float(what[4]), *map(float, parts.groups()),
                         float(picture[1]), int(memory[1]), when))
    if not rows:
        return []
    out = ["## Cost as work grows", "",
           "Made-up weights; two autoregressive steps of four denoising steps with guidance, and one picture; milliseconds",
           "an image, peak memory of the whole process.", "",
           "| model | batch | tokens | encoder | decoder | denoiser | picture | memory MB |", "|---|---|---|---|---|---|---|---|"]
    rows.sort(key=lambda r: (["base", "large", "huge", "tiny"].index(r[0]), r[1], r[2]))
    out += [f"| {r[0]} | {r[1]} | {r[2]} | {r[4]:.0f} | {r[5]:.0f} | {r[6]:.1f} | {r[7]:.0f} | {r[8]} |" for r in rows]
    by_tokens = [r for r in rows if r[0] == "base" and r[1] == 1]
    if len(by_tokens) > 1:
        a, b = by_tokens[0], by_tokens[-1]
        def power(i):
            return math.log(b[i] / a[i]) / math.log(b[2] / a[2])
        out += ["", f"From {a[2]} to {b[2]} tokens the decoder grows with the power {power(5):.2f} of their number, the encoder "
                f"with {power(4):.2f}, the picture with {power(7):.2f}, memory with {power(8):.2f}. The quadratic part is attention."]
    return [*out, "", f"Measured {rows[0][9]}.", ""]


def main() -> None:
    logs = Path(sys.argv[1])
    out = ["# Benchmarks", "", "Made by `tests/bench/report.sh`, which runs each part in turns with its alternative: read the ratios, not the",
           "absolute times. A ratio above 1 means that ours is faster, where nothing else is said.", "", f"Machine: {machine()}.", ""]
    for part, title in PARTS.items():
        file = logs / f"{part}.log"
        if not file.exists():
            out += [f"## {title}", "", "Not measured yet.", ""]
            continue
        when, command, lines = read(file)
        out += [f"## {title}", "", f"`{command.strip()}`, {when}:", "", "```text", *lines, "```", ""]
    out += growth(logs)
    out += ["## CUDA", "", "Nothing has run on a GPU yet. `tests/bench/gpu_bundle.sh OUT` packs what a machine with one needs to fill in this",
            "part in six minutes."]
    print("\n".join(out))


if __name__ == "__main__":
    main()
