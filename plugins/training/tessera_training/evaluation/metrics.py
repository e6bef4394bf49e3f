"""Measures of generated images: distances between sets, class agreement, memorisation, seams, reconstruction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..pictures.pixels import from_bytes

KID_SUBSETS, KID_SUBSET = 100, 200


def _kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The cubic kernel of KID (arXiv 1801.01401, section 4)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _discrepancy(inside_x: torch.Tensor, inside_y: torch.Tensor, across: torch.Tensor) -> float:
    """Unbiased squared maximum mean discrepancy from kernel matrices."""
    n, m = len(inside_x), len(inside_y)
    same = (inside_x.sum() - inside_x.trace()) / (n * (n - 1)) + (inside_y.sum() - inside_y.trace()) / (m * (m - 1))
    return float(same - 2 * across.mean())


def kid(x: torch.Tensor, y: torch.Tensor, seed: int = 0) -> tuple[float, float]:
    """KID of two feature sets [N,F], [M,F] and its standard deviation over random subsets."""
    generator = torch.Generator().manual_seed(seed)
    x, y = x.double(), y.double()
    inside_x, inside_y, across = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    size = max(2, min(KID_SUBSET, len(x) // 2, len(y) // 2))
    values = []
    for _ in range(KID_SUBSETS):
        rows = torch.randperm(len(x), generator=generator)[:size]
        columns = torch.randperm(len(y), generator=generator)[:size]
        values.append(_discrepancy(inside_x[rows][:, rows], inside_y[columns][:, columns], across[rows][:, columns]))
    return _discrepancy(inside_x, inside_y, across), float(torch.tensor(values).std())


def _root(features: torch.Tensor) -> torch.Tensor:
    """A matrix R with R^T R the covariance of [N,F] features, of at most F rows."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred


def fid(x: torch.Tensor, y: torch.Tensor) -> float:
    """Squared Frechet distance of two Gaussians fitted to the features (arXiv 1706.08500, equation 6)."""
    x, y = x.double(), y.double()
    a, b = _root(x), _root(y)
    cross = torch.linalg.svdvals(a @ b.T).sum()  # trace of the root of the covariances' product
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * cross)


class Classifier:
    """Softmax regression on standardised features of real training images."""

    def __init__(self, features: torch.Tensor, labels: torch.Tensor, classes: int, steps: int = 400) -> None:
        self.mean, self.std = features.mean(0), features.std(0) + 1e-3
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(features.shape[1], classes)
        weights = len(labels) / labels.bincount(minlength=classes).clamp(min=1).float() / classes
        optimizer = torch.optim.AdamW(self.layer.parameters(), lr=3e-3, weight_decay=0.3)
        x = self._standard(features)
        generator = torch.Generator().manual_seed(0)
        with torch.enable_grad():
            for step in range(steps):
                rows = torch.randint(len(x), (min(512, len(x)),), generator=generator)
                loss = F.cross_entropy(self.layer(x[rows]), labels[rows], weight=weights)
                for group in optimizer.param_groups:
                    group["lr"] = 3e-3 * (1 - step / steps)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def _standard(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean) / self.std

    @torch.no_grad()
    def agreement(self, features: torch.Tensor, labels: torch.Tensor, among: int = 1) -> torch.Tensor:
        """Per image, whether its class is among the `among` most probable ones; [N] bool."""
        best = self.layer(self._standard(features)).topk(min(among, self.layer.out_features)).indices
        return (best == labels[:, None]).any(1)


def nearest(x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Cosine distance of each row of `x` to the nearest row of `known`, [N]."""
    similarity = F.normalize(x, dim=1) @ F.normalize(known, dim=1).T
    return 1 - similarity.max(1).values


def thumbnails(images: torch.Tensor, side: int = 32) -> torch.Tensor:
    """[N,H,W,3] bytes (may be memory-mapped) -> [N,3,side,side] in [-1,1]."""
    return torch.cat([F.interpolate(from_bytes(part), (side, side), mode="area")
                      for part in images.split(256)])


def nearest_pixels(images: torch.Tensor, labels: torch.Tensor, known: torch.Tensor, known_labels: torch.Tensor
                   ) -> torch.Tensor:
    """Root mean squared difference to the nearest thumbnail of the same class, [N]; NaN where there is none.

    All cyclic shifts and the mirror image of the [N,3,S,S] `images` are tried.
    """
    side = images.shape[-1]
    out = torch.full((len(images),), float("nan"))
    for label in labels.unique().tolist():
        those = known[known_labels == label]
        if not len(those):
            continue
        those = torch.cat([those, those.flip(3)])
        spectra, energy = torch.fft.rfft2(those), (those**2).sum((1, 2, 3))
        for row in torch.nonzero(labels == label).flatten().tolist():
            product = (torch.fft.rfft2(images[row:row + 1]).conj() * spectra).sum(1)
            correlation = torch.fft.irfft2(product, s=(side, side)).amax((1, 2))
            square = (images[row] ** 2).sum() + energy - 2 * correlation
            out[row] = (square.min().clamp(min=0) / images[row].numel()).sqrt()
    return out


def share_nearer(samples: torch.Tensor, reference: torch.Tensor, quantile: float = 0.05) -> float:
    """Share of `samples` nearer than the given quantile of `reference`; about the quantile if nothing is copied."""
    return float((samples < torch.quantile(reference, quantile)).float().mean())


def seam(images: torch.Tensor) -> torch.Tensor:
    """Steps across the wrap over steps inside, [N]; one where edges meet like any two neighbouring rows."""
    ratios = []
    for axis in (2, 3):
        steps = (images - images.roll(1, axis)).abs().mean((1, 5 - axis))  # [N,length]; entry 0 crosses the wrap
        ratios.append(steps[:, 0] / (steps[:, 1:].mean(1) + 1e-3))
    return torch.stack(ratios).mean(0)


def border(images: torch.Tensor, top: int, left: int, side: int) -> torch.Tensor:
    """Steps across the border of a square over steps inside it, [N]; about one where it belongs to its picture."""
    ratios = []
    for x, first, other in ((images, top, left), (images.transpose(2, 3), left, top)):
        steps = (x - x.roll(1, 2)).abs()[..., other:other + side].mean((1, 3))  # [N,rows]; entry i is from i-1 to i
        across = (steps[:, first] + steps[:, first + side]) / 2
        ratios.append(across / (steps[:, first + 1:first + side].mean(1) + 1e-3))
    return torch.stack(ratios).mean(0)


def psnr(images: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Per image in dB, for values in [-1,1]; [N]."""
    return 10 * torch.log10(4 / ((out.clamp(-1, 1) - images) ** 2).mean((1, 2, 3)).clamp(min=1e-10))
