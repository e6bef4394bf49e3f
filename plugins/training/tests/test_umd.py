"""UMD's loss, gradients and weight files against the authors' code; exact resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from golden import assert_close, load, top

from tessera_training import pixel_models
from tessera_training.config import Config, PixelsConfig
from tessera_training.errors import UserError
from tessera_training.networks.umd import UmdConfig, from_flax, to_flax
from tessera_training.objectives.umd import UmdObjective
from tessera_training.pipeline import Run


@pytest.mark.parametrize("model_name,case", [("cls", "cls_finetune"), ("pre", "pre_pretrain"), ("mae", "mae_mae")])
def test_loss_and_gradients(fixtures: Path, model_name: str, case: str) -> None:
    weights, metadata = load(fixtures / "umd_tiny" / f"weights_{model_name}.safetensors")
    config = UmdConfig(**{name: value for name, value in metadata["config"].items()  # type: ignore[attr-defined]
                          if name in UmdConfig.__dataclass_fields__})
    model = from_flax(weights, config)
    for name, value in to_flax(model.state_dict(), config).items():
        assert torch.equal(value, weights[name]), name
    tensors, _ = load(fixtures / "umd_tiny" / f"loss_{case}.safetensors")
    images, count = tensors["images"].permute(0, 3, 1, 2), len(tensors["images"])
    clean = torch.arange(count) >= count - int(tensors["n_clean"])

    def spread(kind: str, rest: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Recorded draws of the clean and of the noisy pictures in one batch."""
        whole = torch.zeros(count, *shape, dtype=dtype)
        for name, where in ((kind, clean), (rest, ~clean)):
            if name in tensors and bool(where.any()):
                whole[where] = tensors[name].to(dtype)
        return whole
    loss, parts = UmdObjective(model, None)({
        "images": images, "labels": tensors["labels"], "clean": clean,
        "dropped": spread("", "label_dropped", (), torch.bool), "t": spread("", "t_diff", (), torch.long),
        "noise": spread("", "noise", tuple(tensors["images"].shape[1:])).permute(0, 3, 1, 2),
        "scores": spread("mask_scores.clean", "mask_scores.noisy", (config.tokens,))})
    assert_close(loss, tensors["part.loss"].reshape(()), 1e-5, "loss")
    for name, value in parts.items():
        if f"part.{name}" in tensors:
            assert_close(value, tensors[f"part.{name}"].reshape(()), 1e-5, name)
    loss.backward()
    gradients = to_flax({name: torch.zeros_like(value) if value.grad is None else value.grad
                         for name, value in model.named_parameters()}, config)
    recorded = {name[5:]: value for name, value in tensors.items() if name.startswith("grad.")}
    limit = 1e-5 * max(top(value) for value in recorded.values())
    assert len(recorded) > 30
    for name, value in recorded.items():
        assert_close(gradients[name], value, limit, name)


def test_files_are_read_strictly(fixtures: Path, tmp_path: Path) -> None:
    weights, metadata = load(fixtures / "umd_tiny" / "weights_pre.safetensors")
    config = UmdConfig(**{name: value for name, value in metadata["config"].items()  # type: ignore[attr-defined]
                          if name in UmdConfig.__dataclass_fields__})
    del weights["cls"]
    with pytest.raises(UserError, match="cls"):
        from_flax(weights, config)


@pytest.mark.parametrize("kind", ["umd", "saim"])
def test_a_stopped_training_goes_on_as_it_would_have(tiny_config: Config, tmp_path: Path, kind: str) -> None:
    shapes = {"umd": dataclasses.replace(tiny_config.umd, patch_size=16, width=16, depth=1, dec_depth=1, num_heads=2),
              "saim": dataclasses.replace(tiny_config.saim, patch_size=16, embed_dim=16, depth=2, query_depth=1,
                                          num_heads=2, diffloss_d=1, diffloss_w=16)}

    def trained(folder: str, stops: list[int]) -> dict[str, torch.Tensor]:
        for steps in stops:
            config = dataclasses.replace(
                tiny_config, run_dir=str(tmp_path / folder), pixels=PixelsConfig(objective=kind), **shapes,
                pixels_training=dataclasses.replace(tiny_config.generator_training, steps=6, muon_lr=0.0))
            run = Run(config)
            run.pack()
            from tessera_training import trainer as training
            original = training.Trainer.progress
            if steps < 6:
                training.Trainer.progress = lambda self: 1.0 if self.step >= steps else self.step / 6  # type: ignore
            try:
                run.train_pixels(config.pixels_training)
            finally:
                training.Trainer.progress = original  # type: ignore
            if steps < 6:
                _unfinish(run.dir / "pixels.checkpoint.pt")
        model, _ = run.pixels(run.pack())
        path = tmp_path / folder / "generator.safetensors"
        pixel_models.save(path, kind, model, ["blue", "red"], {"name": kind}, torch.float32)
        return pixel_models.load(path)[1].state_dict()
    whole, parts = trained("whole", [6]), trained("parts", [3, 6])
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def _unfinish(path: Path) -> None:
    """A checkpoint of a run that was stopped, not of one that was done."""
    state = torch.load(path)
    state["done"] = False
    torch.save(state, path)


def test_latents_are_not_clipped_like_pixels():
    on_latents = pixel_models.kind_of("umd").on_latents(UmdConfig(), 16, 8)
    assert (on_latents.channels, on_latents.vae_stride, on_latents.clip_denoised) == (16, 8, False)
