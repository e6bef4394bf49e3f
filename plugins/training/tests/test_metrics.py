"""Measures against closed forms and cases with a known answer."""

from __future__ import annotations

import pytest
import torch

from tessera_training.evaluation import metrics


def _normal(count: int, width: int, mean: float = 0.0, std: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator) * std + mean


def test_discrepancy_is_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over many small sets of one distribution is zero, and grows with a shift."""
    monkeypatch.setattr(metrics, "KID_SUBSETS", 2)
    values = [metrics.kid(_normal(20, 4, seed=2 * i), _normal(20, 4, seed=2 * i + 1))[0] for i in range(100)]
    mean, error = torch.tensor(values).mean(), torch.tensor(values).std() / 100**0.5
    assert abs(float(mean)) < 4 * float(error)
    near, far = (metrics.kid(_normal(200, 4), _normal(200, 4, mean=shift, seed=1))[0] for shift in (0.2, 1.0))
    assert 0 < near < far


def test_discrepancy_by_hand() -> None:
    x, y = torch.tensor([[1.], [2.]]), torch.tensor([[0.], [1.]])
    inside_x, inside_y, across = 27., 1., (1 + 8 + 1 + 27) / 4  # (a b + 1)^3
    assert metrics.kid(x, y)[0] == pytest.approx(inside_x + inside_y - 2 * across)


def test_frechet_distance_of_known_gaussians() -> None:
    a, b = _normal(200_000, 2), _normal(200_000, 2, mean=1.0, std=2.0, seed=1)
    assert metrics.fid(a, b) == pytest.approx(2 * 1 + 2 * (2 - 1) ** 2, rel=0.02)
    assert metrics.fid(a[:500], a[:500]) == pytest.approx(0, abs=1e-9)
    few, many = _normal(20, 50), _normal(30, 50, seed=1)  # fewer images than features
    assert metrics.fid(few, many) > 1
    assert metrics.fid(few, many) == pytest.approx(metrics.fid(many, few))


def test_classifier_learns_what_is_separable() -> None:
    labels = torch.arange(300) % 3
    features = _normal(300, 8) + torch.eye(3, 8)[labels] * 8
    classifier = metrics.Classifier(features[:150], labels[:150], 3, steps=200)
    assert float(classifier.agreement(features[150:], labels[150:]).float().mean()) > 0.95
    assert bool(classifier.agreement(features[150:], labels[150:], among=3).all())
    wrong = (labels[150:] + 1) % 3
    assert float(classifier.agreement(features[150:], wrong).float().mean()) < 0.05


def test_nearest_features() -> None:
    known = _normal(50, 16)
    assert float(metrics.nearest(known[:5] * 3, known).abs().max()) < 1e-5  # direction only
    assert float(metrics.nearest(_normal(5, 16, seed=9), known).min()) > 0.1


def test_nearest_pixels_finds_shifted_and_mirrored_copies() -> None:
    known = _normal(6, 3 * 16 * 16).reshape(6, 3, 16, 16)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    copies = torch.stack([known[1].roll((3, -5), (1, 2)), known[4].flip(2).roll((0, 7), (1, 2)), known[4]])
    distances = metrics.nearest_pixels(copies, torch.tensor([0, 1, 0]), known, labels)
    assert float(distances[:2].max()) < 1e-3
    assert float(distances[2]) > 0.5  # its original belongs to another class
    shift = known[1] + 0.3
    assert float(metrics.nearest_pixels(shift[None], torch.tensor([0]), known, labels)) == pytest.approx(0.3, rel=1e-3)
    assert bool(metrics.nearest_pixels(copies[:1], torch.tensor([2]), known, labels).isnan())


def test_share_of_copies() -> None:
    reference = torch.linspace(0, 1, 1001)
    assert metrics.share_nearer(torch.zeros(10), reference) == 1
    assert metrics.share_nearer(reference, reference) == pytest.approx(0.05, abs=0.001)


def test_seams() -> None:
    x = torch.linspace(0, 2 * torch.pi, 65)[:64]
    seamless = torch.sin(x)[:, None] + torch.cos(2 * x)[None]
    ramp = torch.linspace(-1, 1, 64)[:, None] + torch.zeros(64)[None]
    values = metrics.seam(torch.stack([seamless, ramp]).unsqueeze(1).expand(-1, 3, -1, -1))
    assert 0.5 < float(values[0]) < 2.5 and float(values[1]) > 10


def test_signal_to_noise() -> None:
    image = torch.zeros(2, 3, 8, 8)
    out = torch.stack([image[0] + 0.2, image[1] + 5])  # the second is clamped to one
    assert metrics.psnr(image, out).tolist() == pytest.approx([20.0, 6.0206], abs=1e-3)


def test_thumbnails_average_areas() -> None:
    images = torch.zeros(3, 64, 64, 3, dtype=torch.uint8)
    images[:, ::2] = 255
    small = metrics.thumbnails(images, 32)
    assert small.shape == (3, 3, 32, 32) and float(small.abs().max()) < 1e-6


def test_border_of_a_square() -> None:
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float((metrics.border(noise, 8, 8, 16) - 1).abs().max()) < 0.2
    noise[:, :, 8:24, 8:24] += 5
    assert float(metrics.border(noise, 8, 8, 16).min()) > 3
