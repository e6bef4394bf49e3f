"""BENCHMARKS.md and BENCHMARKS.svg from the logs of report.sh.

    report.py LOGS FOLDER
"""

import math
import os
import re
import sys
from pathlib import Path

NUMBER = r"([\d.]+)"


class Log:
    """One part: when it ran, the command, what it printed."""

    def __init__(self, file: Path) -> None:
        self.file = file
        first, second, *self.lines = file.read_text(errors="replace").splitlines()
        self.when, self.command = first.lstrip("# "), second.lstrip("# ").strip()
        self.text = "\n".join(self.lines)
        load = re.search(r"load ([\d.]+)", self.when)
        self.shared = load is not None and float(load[1]) > os.cpu_count() + 0.5

    def next_to(self, part: str):
        """The log of another part of the same measurement, or None."""
        file = self.file.with_name(f"{part}.log")
        return Log(file) if file.exists() else None

    def find(self, pattern: str):
        """The numbers of the first line that matches, or None."""
        found = re.search(pattern, self.text)
        return [float(group) for group in found.groups()] if found else None


def machine() -> str:
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"flags\s*: (.*)", text)
    sets = [s for s in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni") if flags and s in flags.group(1).split()]
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    size = int(memory.group(1)) / 1e6 if memory else 0
    return f"{os.cpu_count()} cores of {name.group(1) if name else 'an unknown processor'} ({', '.join(sets)}), {size:.0f} GB"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def contestants(line: str) -> dict:
    """Of a line of bench_ops: microseconds, quartiles and GFLOP/s by name."""
    pattern = rf"\| ([\w ]+?) {NUMBER} us \({NUMBER}-{NUMBER}(?:, {NUMBER} GFLOP/s)?\)"
    return {m[0]: tuple(float(x or 0) for x in m[1:]) for m in re.findall(pattern, line)}


def products(log: Log) -> list[str]:
    """Also attention."""
    rows, threads, peaks = [], "1", []
    for line in log.lines:
        if found := re.match(r"== .*, (\d+) threads", line):
            threads = found[1]
        sides = contestants(line)
        ours, other = sides.get("f32"), sides.get("oneDNN f32")
        if not ours or not other or (log.shared and threads != "1"):
            continue
        share = ""
        if "peak" in sides:
            peaks.append(sides["peak"][3])
            share = f"{100 * sides['peak'][0] / ours[0]:.0f}%"
        rows.append([line.split("|")[0].strip(), threads, f"{ours[0]:.0f} us ({ours[1]:.0f} to {ours[2]:.0f})",
                     f"{other[0]:.0f} us ({other[1]:.0f} to {other[2]:.0f})", f"{other[0] / ours[0]:.2f}", share])
    out = []
    if log.shared:
        out += ["With one thread, in CPU time. Two threads are measured on the wall, which says nothing while others want the cores.", ""]
    out += table(["float32", "threads", "ours (quartiles)", "oneDNN (quartiles)", "ratio", "of the core's peak"], rows)
    if peaks:
        peaks.sort()
        out += [f"The core's peak, fused multiply-adds on registers, in turns with each line: {peaks[len(peaks) // 2]:.0f} "
                f"GFLOP/s ({peaks[0]:.0f} to {peaks[-1]:.0f}). Single rows are bound by reading the weights.", ""]
    return out


def convolutions(log: Log) -> list[str]:
    pattern = (r"conv (\S+ /\d +\d+ px +\d+ -> +\d+) +ours +([\d.]+) ms \( *(\d+) %\).*?oneDNN direct +([\d.]+) ms, ratio ([\d.]+)"
               r"(?: +ours exact +([\d.]+) ms)?")
    rows = [[" ".join(m[0].split()), f"{m[1]} ms ({m[2]}%)", f"{m[3]} ms", m[4], f"{float(m[3]) / float(m[5]):.2f}" if m[5] else ""]
            for m in re.findall(pattern, log.text)]
    return table(["convolution", "ours (spread)", "oneDNN, direct", "ratio", "ratio, ours exact"], rows)


def mar(log: Log) -> list[str]:
    peer = re.search(r"peer:\s+(.*)", log.text)
    rows = []
    for line in log.lines:
        found = re.match(rf"(\S.*?)  +{NUMBER}x +{NUMBER}x +{NUMBER}x +{NUMBER}x +{NUMBER}x +goal {NUMBER}x", line)
        if found:
            rows.append([found[1], *found.groups()[1:6], found[7]])
        found = re.match(rf"(float32 / refresh 9) +{NUMBER}x +{NUMBER}x +goal {NUMBER}x, of both towers {NUMBER}x", line)
        if found:
            rows.append(["float32, `guidance_refresh` 9", f"both: {found[5]}", "", "", found[2], found[3], found[4]])
    share = log.find(rf"float32 / peak +{NUMBER}% +{NUMBER}% +of {NUMBER} GFLOP/s, the peak of {NUMBER} threads")
    seconds = [[m[0].strip(), *m[1:]] for m in re.findall(
        rf"((?:ours|PyTorch), [\w ]+?) +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}\n", log.text + "\n")]
    return [f"MAR-B of made-up weights, 256 x 256, 64 x 100 with guidance 3, against {peer.group(1) if peer else 'nothing'}.", "",
            *table(["PyTorch / ours", "encoder", "decoder", "denoiser", "picture", "all", "goal"], rows),
            *table(["seconds", "encoder", "decoder", "denoiser", "picture", "all"], seconds),
            *([f"Our encoder reaches {share[0]:.0f}% and our decoder {share[1]:.0f}% of the {share[2]:.0f} GFLOP/s that {share[3]:.0f} threads do of fused",
               f"multiply-adds on registers in the same run: without leaving work out the towers could be {100 / min(share[:2]):.1f} times as fast at most.", ""]
              if share else [])]


def plain(log: Log) -> list[str]:
    return ["```text", *(line for line in log.lines if line.strip()), "```", ""]


def causal(log: Log) -> list[str]:
    with_cache, without = log.find(rf"with the cache +{NUMBER} s"), log.find(rf"without it +{NUMBER} s, +{NUMBER}x")
    torch = log.find(rf"PyTorch, cached +{NUMBER} s, +{NUMBER}x")
    rows = [["without the cache", f"{with_cache[0]} s", f"{without[0]} s", f"{without[1]}"]]
    if torch:
        rows.append(["PyTorch's loop with a cache", f"{with_cache[0]} s", f"{torch[0]} s", f"{torch[1]}"])
    return table(["a causal MAR against", "ours", "the other", "ratio"], rows)


def frames(log: Log) -> list[str]:
    rows = [[m[0].strip(), m[2], m[3], m[4]] for m in re.findall(
        rf"((?:off again|off|on)) +{NUMBER} fps +p50 +{NUMBER} ms +p99 +{NUMBER} ms +worst +{NUMBER} ms", log.text)]
    ratio = log.find(rf"on / off +p50 {NUMBER} +p99 {NUMBER}")
    if ratio:
        rows.append(["on / off (goal for p99: 1.25)", f"**{ratio[0]}**", f"**{ratio[1]}**", ""])
    return table(["generation", "p50 ms", "p99 ms", "worst ms"], rows)


def textures(log: Log) -> list[str]:
    one, queued = log.find(rf"one at a time +{NUMBER} textures/s"), log.find(rf"all queued +{NUMBER} textures/s +\({NUMBER}x\)")
    p99, memory = log.find(rf"p99 ratio {NUMBER}"), log.find(rf"memory +{NUMBER} MiB a texture.*?, {NUMBER} MiB a player")
    idle = log.next_to("textures-nice20")
    first, loop = log.find(rf"first picture +{NUMBER} ms"), log.find(rf"in the loop +{NUMBER} textures/s")
    what = log.lines[0]
    rows = [["textures a second: queued / one at a time", f"{queued[0]}", f"{one[0]}", f"{queued[1]}"],
            ["p99 of a frame: with textures / without", "", "", f"{p99[0]}"]]
    if idle:
        p99, queued = idle.find(rf"p99 ratio {NUMBER}"), idle.find(rf"in the loop +{NUMBER} textures/s")
        rows += [["the same with `nice` 20 (goal: 1.1)", "", "", f"{p99[0]}"],
                 ["textures a second in the frame loop, `nice` 20", f"{queued[0]}", "", ""]]
    if first and loop:
        rows += [["ms to the first picture in the frame loop", f"{first[0]}", "", ""],
                 ["textures a second in the frame loop", f"{loop[0]}", "", ""]]
    if memory:
        rows.append(["MiB: a player / a texture", f"{memory[0]}", f"{memory[1]}", f"{memory[1] / memory[0]:.1f}"])
    return [f"`libtessera`: {what}.", "", *table(["", "ours", "the other", "ratio"], rows),
            "A batch of textures is no faster on a CPU: one of them has 256 rows or more for each product, enough for the arithmetic, not",
            "the reading of weights, to be what takes the time (products above; 62% of the time of a texture is in them).", ""]


def latency(log: Log) -> list[str]:
    rows = [[f"{m[0]} x {m[0]}, {m[1]}", m[2], f"{m[3]} ({m[4]} to {m[5]})", f"{m[6]} ({m[7]} to {m[8]})"] for m in re.findall(
        rf"(\d+) +(\w+) +model +{NUMBER} ms, coarse picture +{NUMBER} ms \({NUMBER} to {NUMBER}\), finished +{NUMBER} ms \({NUMBER} to {NUMBER}\)",
        log.text)]
    return [*table(["`materials`, ms on the wall", "model ready", "coarse picture (goal: 150)", "finished (goals: 350 and 1200)"], rows)]


def presets(log: Log) -> list[str]:
    rows = [[m[0], f"{m[1]} ({m[2]} to {m[3]})", m[4]] for m in re.findall(
        rf"(\w+) +{NUMBER} ms of CPU an image \({NUMBER} to {NUMBER}\) +{NUMBER} of the default", log.text)]
    return table(["preset", "ms of CPU an image (spread)", "of the default"], rows)


PARTS = [
    ("mar", "MAR-B against PyTorch", mar),
    ("causal", "Causal models", causal),
    ("products-linear", "Products against oneDNN", products),
    ("products-attention", "Attention against oneDNN", products),
    ("convolutions", "Convolutions against oneDNN", convolutions),
    ("frames", "Frame times with generation off, on and off again", frames),
    ("textures", "Many textures in one program", textures),
    ("latency", "From the start of the program to a picture", latency),
    ("presets-materials", "Presets of `materials`", presets),
    ("presets-materials_mar_latents", "Presets of `materials_mar_latents`", presets),
]


def part(logs: Path, name: str, title: str, body) -> list[str]:
    file = logs / f"{name}.log"
    if not file.exists():
        return [f"## {title}", "", "Not measured.", ""]
    log = Log(file)
    try:
        lines = body(log)
    except (TypeError, IndexError):  # a line that the program prints no more
        print(f"{name}: not read; its log stands on the page", file=sys.stderr)
        lines = plain(log)
    return [f"## {title}", "", *lines, f"`{log.command}`, {log.when}.", ""]


def power(small, large) -> float:
    """The exponent b of y = a x^b through two points (x, y)."""
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])


def growth_of_materials(logs: Path):
    """(pixels, seconds, MB) by size; [] if it was not measured."""
    file = logs / "growth-materials.log"
    if not file.exists():
        return [], None
    log = Log(file)
    rows = re.findall(rf"(\d+) pixels +{NUMBER} s of CPU \({NUMBER} to {NUMBER}\), (\d+) MB", log.text)
    return [(int(r[0]), float(r[1]), int(r[4]), f"{r[2]} to {r[3]}") for r in rows], log


def growth_of_mar(logs: Path):
    rows = []
    for file in logs.glob("growth-mar-*.log"):
        log = Log(file)
        what = re.search(r"(\w+) +\w+ batch (\d+), (\d+) tokens", log.text)
        parts = log.find(rf"encoder {NUMBER}, decoder {NUMBER}, denoiser {NUMBER}")
        end = log.find(rf"picture {NUMBER} ms.*peak memory {NUMBER} MB")
        if what and parts and end:
            rows.append((what[1], int(what[2]), int(what[3]), *parts, *end, log))
    return sorted(rows, key=lambda r: (["base", "large", "huge"].index(r[0]), r[1], r[2]))


def growth(logs: Path, folder: Path) -> list[str]:
    materials, log = growth_of_materials(logs)
    mar_rows = growth_of_mar(logs)
    out = ["## Cost as work grows", ""]
    lines = {}
    if len(materials) > 1:
        out += table(["`materials`", "s of CPU (spread)", "MB"], [[f"{m[0]} x {m[0]}", f"{m[1]:.2f} ({m[3]})", str(m[2])] for m in materials])
        first, last = materials[0], materials[-1]
        out += [f"From {first[0]} to {last[0]} pixels a side, time grows with the power "
                f"{power((first[0] ** 2, first[1]), (last[0] ** 2, last[1])):.2f} of the number of pixels and the memory of the process with "
                f"{power((first[0] ** 2, first[2]), (last[0] ** 2, last[2])):.2f}. `{log.command}`, {log.when}.", ""]
        lines["materials, a picture"] = [(m[0] ** 2, m[1] * 1e3) for m in materials]
    if mar_rows:
        out += ["MAR of made-up weights, one set of tokens with guidance, four denoising steps of it and one picture; milliseconds an image,",
                "of CPU where the command has `--cpu-time`.", ""]
        out += table(["model", "batch", "tokens", "encoder", "decoder", "denoiser", "picture", "MB"],
                     [[r[0], str(r[1]), str(r[2]), *(f"{x:.0f}" for x in r[3:7]), f"{r[7]:.0f}"] for r in mar_rows])
        tokens = [r for r in mar_rows if r[0] == "base" and r[1] == 1]
        names = {4: "decoder", 6: "picture", 7: "memory"}
        if len(tokens) > 1:
            powers = {name: power((tokens[0][2], tokens[0][i]), (tokens[-1][2], tokens[-1][i])) for i, name in names.items()}
            out += [f"From {tokens[0][2]} to {tokens[-1][2]} tokens: decoder {powers['decoder']:.2f}, picture {powers['picture']:.2f}, "
                    f"memory {powers['memory']:.2f} as powers of their number. What is quadratic is attention, of every token to every other."]
            for i in (4, 6):
                lines[f"MAR-B, {names[i]}"] = [(r[2] * 256, r[i]) for r in tokens]
        batches = [r for r in mar_rows if r[0] == "base" and r[2] == 256]
        if len(batches) > 1:
            a, b = batches[0], batches[-1]
            whole = [sum(r[3:6]) for r in (a, b)]
            out += [f"A batch of {b[1]} costs {whole[1] / whole[0]:.2f} of an image's tokens alone, each."]
        whens = sorted(r[-1].when for r in mar_rows)
        out += ["", f"`{mar_rows[0][-1].command}` and the like, {whens[0]} to {whens[-1]}.", ""]
    if not lines:
        return [*out, "Not measured.", ""]
    (folder / "BENCHMARKS.svg").write_text(plot(lines))
    return [*out, "![Milliseconds over pixels, both on logarithmic axes](BENCHMARKS.svg)", ""]


def plot(lines: dict) -> str:
    """Points (pixels, milliseconds) on logarithmic axes."""
    width, height, left, bottom = 640, 380, 60, 40
    points = [p for series in lines.values() for p in series]
    x0, x1 = (math.log10(f(p[0] for p in points)) for f in (min, max))
    y0, y1 = math.floor(math.log10(min(p[1] for p in points))), math.ceil(math.log10(max(p[1] for p in points)))

    def at(x, y):
        return (left + (math.log10(x) - x0) / (x1 - x0) * (width - left - 170), (height - bottom) - (math.log10(y) - y0) / (y1 - y0) * (height - bottom - 20))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for decade in range(y0, y1 + 1):
        _, y = at(points[0][0], 10**decade)
        out += [f'<path d="M{left} {y:.1f}H{width - 170}" stroke="#ddd"/>', f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10**decade if decade >= 0 else 10.0**decade} ms</text>']
    for side in sorted({round(math.sqrt(p[0])) for p in points}):
        x, _ = at(side**2, points[0][1])
        out += [f'<path d="M{x:.1f} 20V{height - bottom}" stroke="#ddd"/>', f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{side} px</text>']
    for (name, series), colour in zip(lines.items(), ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*p) for p in series))
        x, y = at(*series[-1])
        out += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', f'<text x="{min(x, width - 170) + 6:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>']
    return "\n".join([*out, "</svg>", ""])


def main() -> None:
    logs, folder = Path(sys.argv[1]), Path(sys.argv[2])
    heads = [file.read_text(errors="replace").splitlines()[0] for file in logs.glob("*.log")]
    loads = [float(load) for head in heads for load in re.findall(r"load ([\d.]+)", head)]
    shared = (f"Other programs used the machine while this was measured (load {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} cores): "
              "absolute times are too long, and the spread is theirs." if loads and max(loads) > os.cpu_count() + 0.5 else "Nothing else of weight ran.")
    out = ["# Benchmarks", "",
           "Made by `tests/bench/report.sh`. Each figure stands next to an alternative that ran in turns with it: read the ratios. A ratio",
           "above 1 means that ours is faster, or takes less, where nothing else is said. Times are medians.", "",
           f"Machine: {machine()}.", shared, ""]
    for name, title, body in PARTS:
        out += part(logs, name, title, body)
    out += growth(logs, folder)
    out += ["## Not here", "",
            "- CUDA: nothing has run on a GPU yet. `tests/bench/gpu_bundle.sh OUT` packs what a machine with one needs, for six minutes.",
            "- Quality (KID, class agreement) of the presets: `python -m tessera_training presets MODEL --generate tessera-generate`, which",
            "  needs the training images.", ""]
    (folder / "BENCHMARKS.md").write_text("\n".join(out))


if __name__ == "__main__":
    main()
