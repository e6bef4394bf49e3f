"""Time and quality of a model's sampling presets, by the runtime itself, as a table for the READMEs."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import config as configuration
from ..errors import UserError
from ..files import safetensors_io, texture_file
from ..pictures.pixels import from_bytes
from . import metrics
from .evaluate import class_counts, default_config, open_images, read_folder
from .features import FeatureCache, FeatureNet
from .report import replace_section

BEGIN, END = "<!-- presets:begin -->", "<!-- presets:end -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="model directory; its presets/*.json are measured next to the default")
    parser.add_argument("--generate", type=Path, required=True, help="the tessera-generate program")
    parser.add_argument("--per-class", type=int, default=9, help="generated images of each class")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--config", type=Path, help="training configuration, for its [data] (default: that of the model)")
    parser.add_argument("--cache", type=Path, help="folder of packed images and features (default: in the run directory)")
    parser.add_argument("--threads", type=int, default=1, help="compute threads of the runtime")
    parser.add_argument("--write", type=Path, action="append", default=[],
                        help=f"file whose text between {BEGIN} and {END} is replaced; may be repeated")


@dataclass(frozen=True)
class Row:
    name: str
    values: str
    seconds: float  # median of an image
    kid: float
    spread: float
    agreement: float


def run(arguments: argparse.Namespace) -> int:
    metadata = safetensors_io.load_metadata(arguments.model / "generator.safetensors")
    classes: list[str] = json.loads(metadata.get("classes", "[]"))
    config = configuration.load(arguments.config or default_config(metadata.get("name", arguments.model.name)))
    cache_path = arguments.cache or Path(config.run_dir) / "evaluation"
    real = open_images(config.data, cache_path)
    counts = [min(count, arguments.per_class) for count in class_counts(real, 0)]
    cache = FeatureCache(cache_path, FeatureNet())
    train_ids = real.ids("train")
    train = cache.features("training images", real.images[train_ids])
    test = cache.features("test images", real.images[real.ids("test")])
    classifier = metrics.Classifier(train, real.labels[train_ids], len(real.classes))
    presets = [None, *sorted((arguments.model / "presets").glob("*.json"))]
    rows = []
    # Of a model of any size: the size of the real images, for their grain to be compared.
    size = real.images.shape[1] if metadata.get("kind") == texture_file.KIND else 0
    for preset in presets:
        with tempfile.TemporaryDirectory() as folder:
            seconds = generate(arguments, preset, size, Path(folder))
            made = read_folder(Path(folder), classes, real.images.shape[1], counts)
        images, labels = made.images[made.measured], made.labels[made.measured]
        features = torch.cat([cache.net.pooled(from_bytes(part)) for part in images.split(16)])
        kid, spread = metrics.kid(features, test)
        agreement = float(classifier.agreement(features, labels).float().mean())
        rows.append(Row(preset.stem if preset else "default", describe(preset), seconds, kid, spread, agreement))
        print(line(rows[-1], rows[0].seconds), flush=True)
    text = table(rows, sum(counts), arguments)
    for path in arguments.write:
        replace_section(path, text, BEGIN, END)
    print(text)
    return 0


def generate(arguments: argparse.Namespace, preset: Path | None, size: int, folder: Path) -> float:
    """Pictures of all classes into `folder`; the median time of one."""
    command = [str(arguments.generate), "--model", str(arguments.model), "--all-classes", "-q", "--json", "-",
               "--count", str(arguments.per_class), "--seed", str(arguments.seed), "--batch", "1",
               "--threads", str(arguments.threads), "-o", str(folder)]
    if size:
        command += ["--set", f"width={size}", "--set", f"height={size}"]
    if preset:
        command += ["--preset", str(preset)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
    return statistics.median(image_seconds(json.loads(done.stdout)))


def image_seconds(report: dict) -> list[float]:
    """Time of every image in a report of tessera-generate, which made them one by one."""
    return [job["seconds"]["total"] / job["image_count"] for job in report["jobs"]]


def describe(preset: Path | None) -> str:
    if preset is None:
        return "as the model recommends"
    values = json.loads(preset.read_text())["values"]
    names = {key: value["name"] if isinstance(value, dict) else value for key, value in values.items()}
    return ", ".join(f"{key} {value}" for key, value in names.items())


def line(row: Row, default_seconds: float) -> str:
    return (f"| {row.name} | {row.values} | {row.seconds / default_seconds:.2f} | {row.kid * 1e3:.0f} ± "
            f"{row.spread * 1e3:.0f} | {row.agreement:.0%} |")


def table(rows: list[Row], images: int, arguments: argparse.Namespace) -> str:
    lines = "\n".join(line(row, rows[0].seconds) for row in rows)
    default = rows[0].seconds * 1e3
    config = f" --config configs/{arguments.config.name}" if arguments.config else ""
    return f"""{BEGIN}
| preset | settings | time | KID x 1000 | class agreement |
| --- | --- | --- | --- | --- |
{lines}

Time is the median of an image against the default's ({default:.0f} ms on {arguments.threads} thread where this was made); {images}
images each. Made by `python -m tessera_training presets {arguments.model.name} --generate tessera-generate{config}`.
{END}"""
