"""`evaluate`: measures a model directory against held-out images and writes the table of its card."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .. import config as configuration
from ..errors import UserError
from ..files import model_dir, safetensors_io
from ..files.texture_file import TextureModel
from ..networks import wavelet
from ..pictures.data import ImagePack, pack
from ..pictures.pixels import from_bytes, to_bytes
from . import metrics, report, sheets
from .features import FeatureCache, FeatureNet, second_net
from .report import Results

LEAST_TEST_IMAGES = 8
AnyModel = model_dir.Model | TextureModel
HOLES = 64  # test pictures that get a hole
_SETTINGS = ("steps", "guidance", "temperature", "denoise_steps", "jitter")
_PACKAGE = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="model directory")
    parser.add_argument("--config", type=Path, help="training configuration, for its [data] "
                        "(default: configs/<name of the model>.toml)")
    parser.add_argument("--cache", type=Path, help="folder for packed images, features and samples "
                        "(default: evaluation/ in the run directory)")
    parser.add_argument("--images", type=Path, help="measure these PNG files (as tessera-generate --all-classes "
                        "writes them, or in class folders) instead of sampling")
    parser.add_argument("--samples", type=int, default=0, help="generated images (default: as many as test images)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--denoise-steps")
    parser.add_argument("--jitter", type=float, help="noise on the style of a texture model")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-card", action="store_true", help="leave README.md, evaluation.json and the sheet alone")


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = model_dir.load(arguments.model)
    settings = chosen_settings(model, arguments)
    config = configuration.load(arguments.config or default_config(model.name))
    cache = arguments.cache or Path(config.run_dir) / "evaluation"
    real = open_images(config.data, cache)
    if real.classes != model.classes:
        raise UserError(f"the data of '{config.name}' has the classes {', '.join(real.classes)}; "
                        f"the model {', '.join(model.classes)}")
    if len(real.ids("test")) < LEAST_TEST_IMAGES:
        raise UserError(f"'{config.data.path}' has {len(real.ids('test'))} test images; "
                        f"at least {LEAST_TEST_IMAGES} are needed to compare with")
    counts = class_counts(real, arguments.samples)
    if arguments.images:
        made = read_folder(arguments.images, model.classes, real.images.shape[1], counts)
        source = f"the pictures of '{arguments.images.name}'"
    else:
        made = generate(model, counts, settings, arguments.seed, cache, config.export.columns,
                        real.images.shape[1])
        chosen = dataclasses.asdict(settings) | {"seed": arguments.seed}
        source = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in chosen.items())
    counts = made.labels[made.measured].bincount(minlength=len(real.classes)).tolist()
    results, per_class = measure(model, real, made, counts, FeatureCache(cache, FeatureNet()))
    other = second_net()
    if other:
        results |= second_opinion(real, made, FeatureCache(cache, other))
    weakest = sorted(((name, values["agreement"]) for name, values in per_class.items()), key=lambda item: item[1])[:4]
    facts: dict[str, object] = {
        "generated": int(made.measured.sum()), "test": len(real.ids("test")), "size": real.images.shape[1],
        "settings": source, "weakest": weakest, "command": model.path.name, "model": model.name}
    print(report.table(results))
    if not arguments.no_card:
        write_all(model, made, config.export.columns, report.section(results, facts), results, facts, per_class)
    return 0


def default_config(name: str) -> Path:
    path = _PACKAGE / "configs" / f"{name}.toml"
    if not path.is_file():
        raise UserError(f"no configuration '{path}' for the model '{name}'; give --config")
    return path


def chosen_settings(model: AnyModel, arguments: argparse.Namespace) -> Any:
    """The model's defaults with what the command line says."""
    given = {name: getattr(arguments, name) for name in _SETTINGS if getattr(arguments, name) is not None}
    unknown = [name for name in given if not hasattr(model.settings, name)]
    if unknown:
        raise UserError(f"--{unknown[0].replace('_', '-')} means nothing to this kind of model")
    return dataclasses.replace(model.settings, **given)


def open_images(data: configuration.DataConfig, cache: Path) -> ImagePack:
    """The real images as training saw them: from the run's pack if it fits, else packed into the cache."""
    for path in (cache.parent / "pack.safetensors", cache / "pack.safetensors"):
        if path.exists() and safetensors_io.load_metadata(path).get("settings") == data.fingerprint():
            return ImagePack(path, data)
    pack(data, cache / "pack.safetensors")
    return ImagePack(cache / "pack.safetensors", data)


def class_counts(real: ImagePack, samples: int) -> list[int]:
    """Generated images per class: as the test split has them, scaled to about `samples` in all."""
    counts = real.labels[real.ids("test")].bincount(minlength=len(real.classes)).tolist()
    if samples:
        counts = [round(count * samples / sum(counts)) for count in counts]
    return counts


@dataclass
class Made:
    """Generated images as bytes [N,H,W,3], class by class, and which of them are measured (the rest are shown)."""

    images: torch.Tensor
    labels: torch.Tensor
    measured: torch.Tensor


def generate(model: AnyModel, counts: list[int], settings: Any, seed: int, cache: Path, columns: int, size: int
             ) -> Made:
    """`counts` images per class, at least `columns` for the sheet; batches done before are read back."""
    drawn = [max(count, columns) for count in counts]
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(drawn))
    measured = torch.cat([torch.arange(many) < count for many, count in zip(drawn, counts)])
    files = ["generator.safetensors"] + ([] if isinstance(model, TextureModel) else [model.metadata["tokenizer"]])
    key = hashlib.sha256(b"".join((model.path / name).read_bytes() for name in files)
                         + f"{settings}{seed}{drawn}".encode()).hexdigest()[:24]
    parts = []
    for number, batch in enumerate(labels.split(64)):
        path = cache / f"samples-{key}-{number}.safetensors"
        if not path.exists():
            own = {"size": size} if isinstance(model, TextureModel) else {}
            images = to_bytes(model.images(batch, seed * 1000 + number, settings, **own))
            safetensors_io.save(path, {"images": images})
            print(f"generated {min(64 * (number + 1), len(labels))} of {len(labels)}", flush=True)
        parts.append(safetensors_io.load(path)[0]["images"])
    return Made(torch.cat(parts), labels, measured)


def read_folder(folder: Path, classes: list[str], size: int, counts: list[int]) -> Made:
    """PNG files whose folder is a class, or whose name begins with one; the first `counts` of each are measured."""
    found: list[tuple[int, Path]] = []
    for path in sorted(folder.rglob("*.png")):
        names = [name for name in classes
                 if path.parent.name == name or path.name.startswith(re.sub(r"[^\w-]", "_", name, flags=re.ASCII))]
        if names:
            found.append((classes.index(max(names, key=len)), path))
    if not found:
        raise UserError(f"{folder}: no PNG file in a class folder or with a class name in front")
    images = []
    for _, path in sorted(found):
        try:
            with Image.open(path) as opened:
                images.append(torch.from_numpy(np.array(opened.convert("RGB").resize((size, size), Image.Resampling.BOX))))
        except OSError as error:
            raise UserError(f"{path}: {error}") from error
    labels = torch.tensor([label for label, _ in sorted(found)])
    measured = torch.cat([torch.arange(int((labels == label).sum())) < count for label, count in enumerate(counts)])
    return Made(torch.stack(images), labels, measured)


def matched(real: ImagePack, counts: list[int], seed: int) -> torch.Tensor:
    """Random training images, `counts` of each class (or as many as there are)."""
    generator = torch.Generator().manual_seed(seed)
    ids = real.ids("train")
    chosen = []
    for label, count in enumerate(counts):
        those = ids[real.labels[ids] == label]
        chosen.append(those[torch.randperm(len(those), generator=generator)[:count]])
    return torch.cat(chosen)


def measure(model: AnyModel, real: ImagePack, made: Made, counts: list[int], cache: FeatureCache
            ) -> tuple[Results, dict[str, dict[str, float]]]:
    """All numbers, and those of each class."""
    train_ids, test_ids = real.ids("train"), real.ids("test")
    train = cache.features("training images", real.images[train_ids])
    test = cache.features("test images", real.images[test_ids])
    images, labels = made.images[made.measured], made.labels[made.measured]
    features = cache.features("generated images", images)
    results: Results = {}
    results["kid"], results["kid_spread"] = metrics.kid(features, test)
    results["fid"] = metrics.fid(features, test)
    results.update(_floor(model, real, counts, train, test, cache))
    if isinstance(model, TextureModel):
        bare = to_bytes(model.style_alone(labels, real.images.shape[1]))
        bare = cache.features("pictures of style alone", bare)
        results["kid_style"], results["kid_style_spread"] = metrics.kid(bare, test)
        results |= _holes(model, real)
    classifier = metrics.Classifier(train, real.labels[train_ids], len(real.classes))
    test_labels = real.labels[test_ids]
    for name, x, truth in (("", features, labels), ("_test", test, test_labels)):
        results[f"agreement{name}"] = float(classifier.agreement(x, truth).float().mean())
        results[f"agreement_top3{name}"] = float(classifier.agreement(x, truth, 3).float().mean())
    results.update(_memorisation(real, images, labels, features, train, test))
    results.update(_seams(real, images))
    results["psnr"] = reconstruction(model, real)
    per_class = {}
    for label, name in enumerate(real.classes):
        mine, theirs = labels == label, test_labels == label
        if mine.any():
            per_class[name] = {
                "agreement": float(classifier.agreement(features[mine], labels[mine]).float().mean()),
                "agreement_test": float(classifier.agreement(test[theirs], test_labels[theirs]).float().mean()),
                "generated": int(mine.sum()), "test": int(theirs.sum())}
    return results, per_class


def _floor(model: AnyModel, real: ImagePack, counts: list[int], train: torch.Tensor, test: torch.Tensor,
           cache: FeatureCache) -> Results:
    """Real training images against test images, in the sizes of the generated set; then after the tokenizer."""
    row_of = torch.full((len(real.labels),), -1).scatter(0, real.ids("train"), torch.arange(len(train)))
    draws = [train[row_of[matched(real, counts, seed)]] for seed in range(5)]
    kids = [metrics.kid(draw, test) for draw in draws]
    rebuilt = cache.features("reconstructed images", reconstructed(model, real, matched(real, counts, 0)))
    kid, spread = metrics.kid(rebuilt, test)
    return {"kid_floor": float(np.mean([value for value, _ in kids])),
            "kid_floor_spread": float(np.mean([deviation for _, deviation in kids])),
            "fid_floor": float(np.mean([metrics.fid(draw, test) for draw in draws])),
            "kid_reconstructed": kid, "kid_reconstructed_spread": spread, "fid_reconstructed": metrics.fid(rebuilt, test)}


def reconstructed(model: AnyModel, real: ImagePack, ids: torch.Tensor) -> torch.Tensor:
    """Images through the tokenizer or codec, as bytes [N,H,W,3]."""
    return torch.cat([to_bytes(model.rebuilt(real.plain(part))) for part in ids.split(16)])


def _memorisation(real: ImagePack, images: torch.Tensor, labels: torch.Tensor, features: torch.Tensor,
                  train: torch.Tensor, test: torch.Tensor) -> Results:
    """Nearest training neighbours of generated images against those of test images."""
    train_ids, test_ids = real.ids("train"), real.ids("test")
    near, near_test = metrics.nearest(features, train), metrics.nearest(test, train)
    known, known_labels = metrics.thumbnails(real.images[train_ids]), real.labels[train_ids]
    pixels = metrics.nearest_pixels(metrics.thumbnails(images), labels, known, known_labels)
    pixels_test = metrics.nearest_pixels(metrics.thumbnails(real.images[test_ids]), real.labels[test_ids],
                                         known, known_labels)
    return {"nearest_features": float(near.median()), "nearest_features_test": float(near_test.median()),
            "copied_features": metrics.share_nearer(near, near_test),
            "nearest_pixels": float(pixels.median()), "nearest_pixels_test": float(pixels_test.median()),
            "copied_pixels": metrics.share_nearer(pixels, pixels_test)}


def _seams(real: ImagePack, images: torch.Tensor) -> Results:
    test_ids = real.ids("test")
    groups = {"seam": images, "seam_tileable": real.images[test_ids[real.tileable[test_ids]]],
              "seam_cut": real.images[test_ids[~real.tileable[test_ids]]]}
    results: Results = {}
    for name, group in groups.items():
        values = metrics.seam(from_bytes(group)) if len(group) else torch.tensor([float("nan")])
        results[name], results[f"{name}_high"] = float(values.mean()), float(values.quantile(0.95))
    return results


def reconstruction(model: AnyModel, real: ImagePack) -> float:
    """Mean PSNR of the test images after tokenizer or codec."""
    return float(torch.cat([metrics.psnr(image, model.rebuilt(image).clamp(-1, 1))
                            for image in map(real.plain, real.ids("test").split(16))]).mean())


def _holes(model: TextureModel, real: ImagePack) -> Results:
    """A hole of a quarter of the area in test pictures that tile, completed."""
    ids = real.ids("test")
    ids = ids[real.tileable[ids]]
    ids = ids[::max(1, len(ids) // HOLES)][:HOLES]
    if not len(ids):
        return {}
    images, grid = real.plain(ids), real.images.shape[1] // wavelet.CELL
    top, side = grid // 4, grid // 2
    known = torch.ones(len(ids), grid, grid)
    known[:, top:top + side, top:top + side] = 0
    made = torch.cat([model.completed(picture, labels, flags) for picture, labels, flags in
                      zip(images.split(16), real.labels[ids].split(16), known.split(16))])
    place = (top * wavelet.CELL, top * wavelet.CELL, side * wavelet.CELL)
    return {"hole_border": float(metrics.border(made, *place).mean()),
            "hole_border_real": float(metrics.border(images, *place).mean())}


def second_opinion(real: ImagePack, made: Made, cache: FeatureCache) -> Results:
    """KID in the features of another network."""
    test = cache.features("test images", real.images[real.ids("test")])
    features = cache.features("generated images", made.images[made.measured])
    kid, spread = metrics.kid(features, test)
    return {"kid_second": kid, "kid_second_spread": spread}


def write_all(model: AnyModel, made: Made, columns: int, section: str, results: Results,
              facts: dict[str, object], per_class: dict[str, dict[str, float]]) -> None:
    """Card, numbers and contact sheet, all next to the weights."""
    report.write_card(model.path / "README.md", section)
    report.write_json(model.path / "evaluation.json", results, facts, per_class)
    rows = [torch.nonzero(made.labels == label).flatten()[:columns] for label in range(len(model.classes))]
    if all(len(row) == columns for row in rows):
        sheets.save_classes(model.path / "contact_sheet.webp", from_bytes(made.images[torch.cat(rows)]), model.classes)
    print(f"wrote README.md, evaluation.json and contact_sheet.webp in {model.path}")
