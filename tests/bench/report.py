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
    p99, memory = log.find(rf"p99 ratio {NUMBER} \({NUMBER} to {NUMBER}\)"), log.find(rf"memory +{NUMBER} MiB a texture.*?, {NUMBER} MiB a player")
    first, loop = log.find(rf"first picture +{NUMBER} ms"), log.find(rf"in the loop +{NUMBER} textures/s")
    what = log.lines[0]
    rows = [["textures a second: queued / one at a time", f"{queued[0]}", f"{one[0]}", f"{queued[1]}"],
            ["p99 of a frame: with textures / without (goal: 1.1)", "", "", f"{p99[0]} ({p99[1]} to {p99[2]})"]]
    if first and loop:
        rows += [["ms to the first picture in the frame loop", f"{first[0]}", "", ""],
                 ["textures a second in the frame loop", f"{loop[0]}", "", ""]]
    if memory:
        rows.append(["MiB: a player / a texture", f"{memory[0]}", f"{memory[1]}", f"{memory[1] / memory[0]:.1f}"])
    return [f"`libtessera`: {what}.", "", *table(["", "ours", "the other", "ratio"], rows),
            "A batch of textures is no faster on a CPU: one of them has 256 rows or more for each product, enough for the arithmetic, not",
            "the reading of weights, to be what takes the time (products above; 62% of the time of a texture is in them).",
            "On CUDA it saves launches: 46.1 a picture in a job of 16 in place of 390 one at a time (`bench_embed --backend cuda`,",
            "counted on the execution double). What that is in time is to be measured on a card.", ""]


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


class Growth:
    """What one run of bench_cuda cost: an image of a batch, in milliseconds, and MB of the whole process."""

    def __init__(self, log: Log, block: str, numbers: float) -> None:
        self.log, self.numbers = log, numbers  # millions of the model
        what = re.search(r"(\w+) +\w+ +batch (\d+), (\d+) tokens", block)
        parts = re.search(rf"encoder {NUMBER}, decoder {NUMBER}, denoiser {NUMBER}", block)
        end = re.search(rf"picture {NUMBER} ms.*peak memory {NUMBER} MB", block)
        self.model, self.batch, self.tokens = what[1], int(what[2]), int(what[3])
        self.encoder, self.decoder, self.denoiser = (float(part) for part in parts.groups())
        self.picture, self.memory = float(end[1]), float(end[2])

    @property
    def batch_time(self) -> float:
        return self.batch * (self.encoder + self.decoder + self.denoiser)

    def row(self) -> list[str]:
        picture = f"{self.picture:.0f}" if self.picture > 0 else ""
        return [f"{self.model}, {self.numbers:.0f} million", str(self.batch), str(self.tokens),
                *(f"{ms:.0f}" for ms in (self.encoder, self.decoder, self.denoiser)), picture, f"{self.memory:.0f}"]


def growth_of_mar(logs: Path) -> list[Growth]:
    runs = []
    for file in logs.glob("growth-mar-*.log"):
        log = Log(file)
        numbers = log.find(rf"{NUMBER} million numbers")
        if numbers is None:  # of an earlier version
            continue
        for block in re.findall(r"\S+ +\w+ +batch \d+, .*?peak memory .*? MB", log.text, re.DOTALL):
            runs.append(Growth(log, block, numbers[0]))
    return sorted(runs, key=lambda run: (run.numbers, run.tokens, run.batch))


class Series:
    """One thing that grows: work, milliseconds, MB, from the least to the most."""

    def __init__(self, name: str, of: str, points: list) -> None:
        self.name, self.of, self.points = name, of, sorted(points)

    def power(self, column: int) -> float:
        return power(*((point[0], point[column]) for point in (self.points[0], self.points[-1])))

    def sentence(self) -> str:
        first, last = self.points[0][0], self.points[-1][0]
        return (f"| {self.name} | {self.of}, {first:g} to {last:g} | {self.power(1):.2f} | {self.power(2):.2f} |")


def series_of(materials: list, runs: list[Growth]) -> list[Series]:
    one = [run for run in runs if run.model == "base" and run.batch == 1]
    pictures = [run for run in one if run.picture > 0]
    batches = [run for run in runs if run.model == "base" and run.tokens == 256]
    models = [run for run in runs if run.tokens == 256 and run.batch == 1]
    all_of_them = [
        Series("`materials`, a picture", "pixels", [(m[0] ** 2, m[1] * 1e3, m[2]) for m in materials]),
        Series("MAR-B, decoder", "tokens", [(run.tokens, run.decoder, run.memory) for run in one]),
        Series("MAR-B, picture", "tokens", [(run.tokens, run.picture, run.memory) for run in pictures]),
        Series("MAR-B, tokens of a batch", "images", [(run.batch, run.batch_time, run.memory) for run in batches]),
        Series("MAR-B, L, H, tokens", "million numbers", [(run.numbers, run.batch_time, run.memory) for run in models]),
    ]
    return [series for series in all_of_them if len(series.points) > 1]


def growth(logs: Path, folder: Path) -> list[str]:
    materials, log = growth_of_materials(logs)
    runs = growth_of_mar(logs)
    out = ["## Cost as work grows", ""]
    series = series_of(materials, runs)
    if not series:
        return [*out, "Not measured.", ""]
    out += ["With k times the work, time and memory are k to the power below times as much: 1 is in proportion. Memory is that of the whole",
            "process, the model among it.", "", "| what | work | power of time | power of memory |", "|---|---|---|---|",
            *(one.sentence() for one in series), "",
            "What is quadratic is attention, of every token to every other.", "",
            "![How many times as long, and as much memory, over how many times the work](BENCHMARKS.svg)", ""]
    if materials:
        out += table(["`materials`", "s of CPU (spread)", "MB"], [[f"{m[0]} x {m[0]}", f"{m[1]:.2f} ({m[3]})", str(m[2])] for m in materials])
        out += [f"`{log.command}`, {log.when}.", ""]
    if runs:
        out += ["MAR of made-up weights: one set of tokens of 64, from the middle of a run, with guidance and four denoising steps, and one",
                "picture; milliseconds an image of the batch, of CPU.", ""]
        out += table(["model", "batch", "tokens", "encoder", "decoder", "denoiser", "picture", "MB"], [run.row() for run in runs])
        whens = sorted(run.log.when for run in runs)
        out += [f"`{runs[0].log.command}` and the like, {whens[0]} to {whens[-1]}.", ""]
    (folder / "BENCHMARKS.svg").write_text(plot(series))
    return out


def plot(all_series: list[Series]) -> str:
    """Two panels of logarithmic axes: times the work to times the time, and to times the memory."""
    side, left, top, gap = 280, 50, 30, 70
    most = max(point[column] / one.points[0][column] for one in all_series for point in one.points for column in (0, 1, 2))
    decades = max(1, math.ceil(math.log10(most)))
    width, height = left + 2 * side + gap + 30, top + side + 40 + 16 * len(all_series)
    colours = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for panel, (column, title) in enumerate(((1, "times as long"), (2, "times as much memory"))):
        x0 = left + panel * (side + gap)

        def at(work: float, cost: float) -> tuple[float, float]:
            return x0 + math.log10(work) / decades * side, top + side - math.log10(cost) / decades * side

        out += [f'<text x="{x0}" y="{top - 10}">{title}, over times the work</text>']
        for decade in range(decades + 1):
            x, y = at(10**decade, 10**decade)
            out += [f'<path d="M{x0} {y:.1f}H{x0 + side}M{x:.1f} {top}V{top + side}" stroke="#ddd"/>',
                    f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{10**decade}</text>',
                    f'<text x="{x:.1f}" y="{top + side + 16}" text-anchor="middle">{10**decade}</text>']
        out += [f'<path d="M{x0} {top + side}L{x0 + side} {top}" stroke="#999" stroke-dasharray="4 4"/>']
        for one, colour in zip(all_series, colours):
            first = one.points[0]
            places = [at(point[0] / first[0], max(point[column] / first[column], 1)) for point in one.points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            out += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    for line, (one, colour) in enumerate(zip(all_series, colours)):
        y = top + side + 40 + 16 * line
        name = one.name.replace("`", "")
        out += [f'<path d="M{left} {y - 4}h20" stroke="{colour}" stroke-width="2"/>',
                f'<text x="{left + 28}" y="{y}">{name}, over {one.of}: {one.power(1):.2f} of time, {one.power(2):.2f} of memory</text>']
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
