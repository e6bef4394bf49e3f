"""The small Table 1: rows of one set of tokens, a tokenizer taken as it is, codes found among its latents."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tessera_training import config as configuration
from tessera_training.errors import UserError
from tessera_training.evaluation import table1
from tessera_training.files import model_dir, safetensors_io
from tessera_training.files.export import export_model
from tessera_training.networks.codes import k_means, nearest
from tessera_training.pipeline import Run


def test_codes_are_means_of_what_is_nearest_to_them() -> None:
    generator = torch.Generator().manual_seed(1)
    corners = 5 * torch.randn(6, 3, generator=generator)
    rows = corners[torch.arange(600) % 6] + 0.01 * torch.randn(600, 3, generator=generator)
    found = k_means(rows, 12, generator)
    chosen = nearest(rows, found)
    for code in chosen.unique():
        torch.testing.assert_close(found[code], rows[chosen == code].mean(0), atol=1e-4, rtol=1e-4)
    with pytest.raises(UserError, match="too few"):
        k_means(rows[:5], 12, generator)


@pytest.fixture()
def base(tiny_config: configuration.Config, tmp_path: Path) -> Run:
    """A run whose tokenizer is that of an exported model."""
    first = dataclasses.replace(tiny_config, run_dir=str(tmp_path / "first"), export=dataclasses.replace(
        tiny_config.export, path=str(tmp_path / "first_model")))
    job = Run(first)
    job.train_tokenizer(first.tokenizer_training)
    job.train_generator(first.generator_training)
    export_model(job, tmp_path / "first_model")
    start = configuration.TrainConfig(start=str(tmp_path / "first_model" / "tokenizer.safetensors"))
    return Run(dataclasses.replace(tiny_config, tokenizer_training=start, generator=dataclasses.replace(
        tiny_config.generator, patch_size=1, codes=8, width=32, depth=1, heads=2)))


def test_rows_share_tokens_and_make_pictures(base: Run) -> None:
    base.pack()
    base.latents()
    for loss, row, kind in (("cross-entropy", table1.ROWS[2], "bidirectional"), ("diffusion", table1.ROWS[0], "raster")):
        folder = table1.trained(base, loss, row)
        assert folder == base.dir / f"{kind}-{loss}" / "model"
        assert not (folder / "tokenizer.safetensors").exists()  # named, not copied
        model = model_dir.load(folder)
        assert isinstance(model, model_dir.Model)
        made = model.images(torch.tensor([0, 1]), 1, model.settings)
        assert made.shape == (2, 3, 32, 32) and bool(made.isfinite().all())
    codes = safetensors_io.load(base.dir / "bidirectional-cross-entropy" / "codebook.safetensors")[0]["codebook"]
    assert codes.shape == (8, 4)
    before = (folder / "generator.safetensors").stat().st_mtime_ns
    table1.trained(base, "diffusion", table1.ROWS[0])
    assert (folder / "generator.safetensors").stat().st_mtime_ns == before  # what is there is not made again


def test_another_tokenizer_than_configured_is_refused(base: Run) -> None:
    other = dataclasses.replace(base.config.tokenizer, latent_channels=5)
    with pytest.raises(UserError, match="latent_channels"):
        Run(dataclasses.replace(base.config, tokenizer=other)).tokenizer()


def test_the_table_says_whether_the_order_comes_out() -> None:
    scores = {("diffusion", row): [(kid, 1.0), (kid / 2, 9.0)] for row, kid in zip(table1.ROWS, (40.0, 30.0, 10.0, 12.0))}
    text = table1.table(scores, {"real pictures": (2.0, 0.5)}, 2.0)
    assert "| raster | causal | 1 | diffusion | 40.0 ± 1.0 | 20.0 ± 9.0 | 19.23 | 4.69 |" in text
    assert "diffusion, without guidance: 6 of 6 pairs of rows in the paper's order, 5 of them clearly" in text
    assert "diffusion, guided: 6 of 6 pairs of rows in the paper's order, 0 of them clearly" in text
