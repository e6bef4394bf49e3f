"""The probe tells apart what can be told apart, and nothing else."""

from __future__ import annotations

from pathlib import Path

import torch

from tessera_training.evaluation.probe import _BUNDLED, HEAD, linear, neighbours, randomise, row, standardised
from tessera_training.files import safetensors_io


def _classes(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """200 points around four far corners, and which one each is of."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(200) % 4
    corners = torch.randn(4, 12, generator=generator) * 5
    return corners[labels] + spread * torch.randn(200, 12, generator=generator), labels


def test_separate_classes_are_found_and_noise_is_not() -> None:
    for spread, low, high in ((1.0, 0.97, 1.0), (1000.0, 0.1, 0.42)):
        points, labels = _classes(spread)
        train, test = standardised(points[:160], points[160:])
        for measure in (neighbours, linear):
            assert low <= measure(train, labels[:160], test, labels[160:]) <= high, (measure.__name__, spread)


def test_the_scale_of_a_feature_does_not_matter() -> None:
    points, labels = _classes(3.0)
    scaled = points * torch.logspace(-3, 3, 12) + 7
    results = []
    for rows in (points, scaled):
        train, test = standardised(rows[:160], rows[160:])
        results.append([measure(train, labels[:160], test, labels[160:]) for measure in (neighbours, linear)])
    assert results[0] == results[1]


def test_rows_fit_their_table() -> None:
    rows = [row("raw pixels", 768, (0.25, 0.5)), row("umd", 112, (1.0, 0.125), (0.1, 0.2))]
    assert rows == ["| raw pixels | 768 | 25.0% | 50.0% |  |", "| umd | 112 | 100.0% | 12.5% | 10.0%, 20.0% |"]
    assert {line.count("|") for line in [*HEAD.splitlines(), *rows]} == {6}


def test_random_weights_are_a_model_of_the_same_shape(tmp_path: Path) -> None:
    models = _BUNDLED.glob("*/generator.safetensors")
    for path in models:
        target = tmp_path / "generator.safetensors"
        assert randomise(path, target, 1) == path.parent.name
        (theirs, metadata), (ours, other) = safetensors_io.load(path), safetensors_io.load(target)
        assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
        assert other["kind"] == metadata["kind"] and other.get("classes") == metadata.get("classes")
        assert any(not torch.equal(ours[name].float(), value.float()) for name, value in theirs.items())
