"""`table1`: MAR's Table 1 (arXiv 2406.11838), small: orders of tokens and losses, trained alike, next to the paper's.

One configuration says tokens, steps, seed and sizes. Each loss has three trainings: raster and random order with
causal attention, and random order with bidirectional attention. The last makes two rows: one token a step, and
several. A row is a run of its own below the run directory; an interrupted command continues.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import config as configuration
from ..config import Config
from ..errors import UserError
from ..files import model_dir, safetensors_io
from ..files.export import export_model
from ..networks.mar import SampleSettings
from ..pictures.data import ImagePack
from ..pictures.pixels import from_bytes, to_bytes
from ..pipeline import Run
from . import evaluate, metrics, sheets
from .features import FeatureCache, FeatureNet

LOSSES = {"cross-entropy": "mar_ce", "diffusion": "mar"}


@dataclass(frozen=True, eq=False)
class Row:
    order: str
    attention: str
    variant: str  # of the generator
    sets: bool  # several tokens a step
    paper: dict[str, tuple[float, float]]  # FID without and with guidance, by loss

    @property
    def label(self) -> str:
        return f"{self.order} | {self.attention} | {'sets' if self.sets else '1'}"


ROWS = (
    Row("raster", "causal", "raster", False, {"cross-entropy": (19.58, 4.92), "diffusion": (19.23, 4.69)}),
    Row("random", "causal", "random", False, {"cross-entropy": (16.22, 4.36), "diffusion": (13.07, 4.07)}),
    Row("random", "bidirectional", "", False, {"cross-entropy": (8.75, 3.50), "diffusion": (3.43, 1.84)}),
    Row("random", "bidirectional", "", True, {"cross-entropy": (8.79, 3.69), "diffusion": (3.50, 1.98)}),
)
Score = tuple[float, float]  # KID x 1000 and its spread


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="TOML file, see configs/table1.toml")
    parser.add_argument("--run-dir", type=Path, help="where the rows' runs go (default: from the file)")
    parser.add_argument("--data", type=Path, help="image folder instead of the configured one")
    parser.add_argument("--loss", choices=LOSSES, action="append", help="only this loss; may be repeated")
    parser.add_argument("--variant", choices=[row.variant or "bidirectional" for row in ROWS[:3]], action="append",
                        help="only these orders; may be repeated")
    parser.add_argument("--guidance", type=float, help="with guidance of so much (default: that of the file)")
    parser.add_argument("--generate", type=Path, metavar="PROGRAM", help="tessera-generate, which makes the pictures "
                        "faster than PyTorch")
    parser.add_argument("--per-class", type=int, default=9, help="pictures of a class in a row, at most as many as test "
                        "pictures")
    parser.add_argument("--train-only", action="store_true", help="train and export, measure nothing")
    parser.add_argument("--threads", type=int, default=0)


def run(arguments: argparse.Namespace) -> int:
    config = configuration.load(arguments.config)
    if arguments.run_dir:
        config = dataclasses.replace(config, run_dir=str(arguments.run_dir.resolve()))
    if arguments.data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(arguments.data.resolve())))
    base = Run(config, threads=arguments.threads)
    images = base.pack()
    base.latents()
    chosen = [(loss, row) for loss in LOSSES for row in ROWS if loss in (arguments.loss or LOSSES)
              and (row.variant or "bidirectional") in (arguments.variant or [row.variant or "bidirectional"])]
    models = {(loss, row): trained(base, loss, row) for loss, row in chosen}
    if arguments.train_only:
        return 0
    guidance = arguments.guidance or config.export.defaults.guidance
    cache = FeatureCache(base.dir / "evaluation", FeatureNet())
    counts = [min(count, arguments.per_class) for count in evaluate.class_counts(images, 0)]
    test = cache.features("test images", images.images[images.ids("test")])
    program = arguments.generate
    scores = {key: [measured(model, images, counts, key[1].sets, value, cache, test, program)
                    for value in (1.0, guidance)] for key, model in models.items()}
    print(table(scores, floors(models, images, counts, cache, test), guidance))
    return 0


def trained(base: Run, loss: str, row: Row) -> Path:
    """The model directory of a row, trained first if it is missing; packed images and tokens are those of all."""
    variant = row.variant or "bidirectional"
    folder = base.dir / f"{variant}-{loss}"
    job = Run(row_config(base.config, loss, row, folder))
    for name in ("pack.safetensors", "latents.safetensors"):
        if not (folder / name).exists():
            os.link(base.dir / name, folder / name)
    target = folder / "model"
    if not (target / "generator.safetensors").exists():
        print(f"{variant}, {loss}", flush=True)
        job.train_generator(job.config.generator_training)
        export_model(job, target)
    return target


def row_config(config: Config, loss: str, row: Row, folder: Path) -> Config:
    objective = "mar_causal" if row.variant and loss == "diffusion" else LOSSES[loss]
    generator = dataclasses.replace(config.generator, variant=row.variant, objective=objective)
    return dataclasses.replace(config, name=folder.name, run_dir=str(folder), generator=generator,
                               export=dataclasses.replace(config.export, path=str(folder / "model")))


def measured(path: Path, images: ImagePack, counts: list[int], sets: bool, guidance: float, cache: FeatureCache,
             test: torch.Tensor, program: Path | None = None) -> Score:
    """KID x 1000 of pictures of the model against the test pictures, and its spread over subsets."""
    kept = cache.folder / f"kid-{path.parent.name}-{'sets' if sets else 'single'}-{guidance:g}-{sum(counts)}.json"
    if kept.exists():
        mean, spread = json.loads(kept.read_text())
        return mean, spread
    model = model_dir.load(path)
    assert isinstance(model, model_dir.Model)
    steps = model.settings.steps if sets else model.generator.config.tokens
    settings = dataclasses.replace(model.settings, steps=steps, guidance=guidance)
    if program:
        pictures = by_runtime(program, path, images, counts, settings)
    else:
        pictures = evaluate.generate(model, counts, settings, 1, cache.folder, 0, images.images.shape[1]).images
    mean, spread = metrics.kid(cache.features(path.parent.name, pictures), test)
    kept.write_text(json.dumps([1000 * mean, 1000 * spread]))
    return 1000 * mean, 1000 * spread


def by_runtime(program: Path, model: Path, images: ImagePack, counts: list[int], settings: SampleSettings
               ) -> torch.Tensor:
    """Bytes [N,H,W,3] of `counts` pictures of each class."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(program), "--model", str(model / "generator.safetensors"), "--all-classes", "-q", "--count",
                   str(max(counts)), "--seed", "1", "--threads", "1", "-o", folder, "--set",
                   f"guidance={settings.guidance}"]
        if "variant" not in json.loads(safetensors_io.load_metadata(model / "generator.safetensors")["config"]):
            command += ["--set", f"steps={settings.steps}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{program}: {done.stderr.strip()[-500:]}")
        made = evaluate.read_folder(Path(folder), images.classes, images.images.shape[1], counts)
    return made.images[made.measured]


def floors(models: dict[tuple[str, Row], Path], images: ImagePack, counts: list[int], cache: FeatureCache,
           test: torch.Tensor) -> dict[str, Score]:
    """What real pictures reach: as they are, and through the tokens of each loss."""
    ids = evaluate.matched(images, counts, 0)
    kid = metrics.kid(cache.features("real pictures", images.images[ids]), test)
    rows = {"real pictures": (1000 * kid[0], 1000 * kid[1])}
    for loss in LOSSES:
        path = next((path for (name, _), path in models.items() if name == loss), None)
        if path is None:
            continue
        model = model_dir.load(path)
        assert isinstance(model, model_dir.Model)
        rebuilt = torch.cat([to_bytes(model.rebuilt(from_bytes(images.images[part]))) for part in ids.split(16)])
        kid = metrics.kid(cache.features(f"pictures through the tokens of {loss}", rebuilt), test)
        rows[f"through the tokens of {loss}"] = (1000 * kid[0], 1000 * kid[1])
    return rows


def table(scores: dict[tuple[str, Row], list[Score]], real: dict[str, Score], guidance: float) -> str:
    """In markdown; then whether the rows of each loss come in the paper's order."""
    lines = [f"| order | attention | tokens a step | loss | KID x 1000 | guidance {guidance:g} | FID of the paper | "
             "guided |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for (loss, row), values in scores.items():
        ours = " | ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in values)
        lines.append(f"| {row.label} | {loss} | {ours} | {row.paper[loss][0]} | {row.paper[loss][1]} |")
    lines += ["", "; ".join(f"{name}: {mean:.1f} ± {spread:.1f}" for name, (mean, spread) in real.items()) + "."]
    lines += ["", *(verdict(scores, loss, column) for loss in LOSSES for column in (0, 1)
                    if any(name == loss for name, _ in scores))]
    return "\n".join(lines)


def verdict(scores: dict[tuple[str, Row], list[Score]], loss: str, column: int) -> str:
    """How many pairs of rows the paper's order holds for, and how many of those by more than both spreads."""
    rows = [(row.paper[loss][column], *values[column]) for (name, row), values in scores.items() if name == loss]
    pairs = [(a, b) for number, a in enumerate(rows) for b in rows[number + 1:]]
    held = [(a, b) for a, b in pairs if (a[0] - b[0]) * (a[1] - b[1]) > 0]
    clear = [pair for pair in held if abs(pair[0][1] - pair[1][1]) > pair[0][2] + pair[1][2]]
    name = "guided" if column else "without guidance"
    return f"- {loss}, {name}: {len(held)} of {len(pairs)} pairs of rows in the paper's order, {len(clear)} of them clearly"
