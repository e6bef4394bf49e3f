"""The tokenizer with a codebook: what it does, its training, its published file; and models of its codes."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from golden import load

from tessera_training import __main__ as program
from tessera_training.config import Config, TrainConfig, VqConfig
from tessera_training.errors import UserError
from tessera_training.files import convert, model_dir, safetensors_io
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig
from tessera_training.networks.vq_vae import VqVae, VqVaeConfig
from tessera_training.objectives.vq_tokenizer import VqTokenizerObjective
from tessera_training.pipeline import STAGES, generator_config, run_stages
from tessera_training.trainer import Trainer

ARGUMENTS = argparse.Namespace(restart=False, threads=0, minutes=None)
TINY = VqVaeConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, resolution=16, z_channels=3, embed_dim=2, n_embed=9,
                   encoder_attn_resolutions=(8,), decoder_attn_resolutions=(8,))


def _vae(config: VqVaeConfig = TINY) -> VqVae:
    torch.manual_seed(4)
    vae = VqVae(config)
    vae.start_from(torch.rand(4, 3, 16, 16) * 2 - 1, torch.Generator().manual_seed(1))
    return vae


def test_both_ways_through_the_codes() -> None:
    vae = _vae()
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    z, logvar = vae.encode(image)
    assert z.shape == (2, 2, 8, 8) and bool((logvar.exp() == 0).all())
    chosen = vae.quantize(z)
    distances = ((z[:, None] - vae.quantize.embedding.weight[None, :, :, None, None]) ** 2).sum(2)
    assert torch.equal(vae.quantize.codes(z), distances.argmin(1))
    assert torch.equal(vae.quantize(chosen), chosen)
    assert torch.equal(vae.decode(z), vae.decode(chosen))


def test_gradients_pass_the_choice() -> None:
    vae = _vae()
    objective = VqTokenizerObjective(vae, None, TrainConfig(evenness_weight=0))  # type: ignore[arg-type]
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    loss, parts = objective({"image": image})
    z = vae.moments(image)
    chosen = vae.quantize(z)
    out = vae.decode(z)
    assert float(parts["l1"]) == pytest.approx(float((out - image).abs().mean()), rel=1e-4)
    assert float(parts["codebook"]) == pytest.approx(1.25 * float(((chosen - z) ** 2).mean()), rel=1e-4)
    loss.backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name
    # A code moves towards its latents only: by twice their mean distance, over all numbers of the latents.
    codes = vae.quantize.codes(z)
    spread = z.detach().permute(0, 2, 3, 1)
    for index in range(TINY.n_embed):
        mine = codes == index
        if bool(mine.any()):
            entry = vae.quantize.embedding.weight[index].detach()
            expected = 2 * (entry - spread[mine]).sum(0) / spread.numel()
            torch.testing.assert_close(vae.quantize.embedding.weight.grad[index], expected, atol=1e-6, rtol=1e-4)


def test_codes_that_nothing_chooses_come_back() -> None:
    vae = _vae(dataclasses.replace(TINY, n_embed=4))
    objective = VqTokenizerObjective(vae, None, TrainConfig())  # type: ignore[arg-type]
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    z = corners.T.reshape(1, 2, 2, 2)
    entries = vae.quantize.embedding.weight
    entries.data.copy_(corners)
    assert float(objective.unevenness(z, vae.quantize(z))) == pytest.approx(0, abs=1e-5)  # each corner has its own
    entries.data[0] = torch.tensor([3.0, 3.0])
    entries.data[1] = torch.tensor([0.9, 0.0])  # takes the left corner's too
    assert vae.quantize.codes(z).unique().tolist() == [1, 2, 3]
    loss = objective.unevenness(z, vae.quantize(z))
    loss.backward()
    assert float(loss) > 0.1 and entries.grad is not None
    assert bool((entries.grad[0] > 0).all())  # down its gradient it comes nearer


def test_it_learns_a_few_pictures() -> None:
    vae = _vae(dataclasses.replace(TINY, n_embed=32))
    images = torch.rand(4, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3) * 2 - 1
    objective = VqTokenizerObjective(vae, None, TrainConfig())  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(vae.parameters(), lr=2e-3)
    first, parts = objective({"image": images})
    for _ in range(25):
        loss, parts = objective({"image": images})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.6 * float(first) and float(parts["perplexity"]) > 4


def test_published_files(tmp_path: Path) -> None:
    """VQ-f16 and KL-f8 of latent diffusion, small, as their checkpoints have them."""
    vq = _vae()
    state = {**vq.state_dict(), "loss.discriminator.main.0.weight": torch.zeros(3)}
    torch.save({"state_dict": state, "global_step": 5}, tmp_path / "vq.ckpt")
    out = tmp_path / "vq.safetensors"
    assert program.main(["convert", str(tmp_path / "vq.ckpt"), str(out), "--dtype", "f32", "--set", "resolution=16"]) == 0
    tensors, metadata = load(out)
    assert metadata["kind"] == "vqvae_weights" and set(tensors) == set(vq.state_dict())
    assert VqVaeConfig.from_json(json.dumps(metadata["config"])) == TINY
    again = model_dir.load_tokenizer(out)
    assert isinstance(again, VqVae)
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(again.decode(again.encode(image)[0]), vq.decode(vq.encode(image)[0]))

    kl = KlVae(KlVaeConfig(ch=32, ch_mult=(1, 2, 2, 2), num_res_blocks=1, z_channels=4, embed_dim=4,
                           encoder_attn_resolutions=()))
    torch.save({"state_dict": kl.state_dict()}, tmp_path / "kl.ckpt")
    assert program.main(["convert", str(tmp_path / "kl.ckpt"), str(tmp_path / "kl.safetensors")]) == 0
    _, metadata = load(tmp_path / "kl.safetensors")
    assert metadata["kind"] == "klvae_weights" and metadata["config"]["ch_mult"] == [1, 2, 2, 2]
    assert metadata["config"]["embed_dim"] == 4 and metadata["config"]["encoder_attn_resolutions"] == []


@pytest.mark.skipif(int(torch.__version__.split(".")[0]) < 2, reason="needs tensors without memory")
def test_the_shape_of_vq_f16() -> None:
    with torch.device("meta"):
        entries = dict(VqVae(VqVaeConfig()).state_dict())
    assert entries["quantize.embedding.weight"].shape == (16384, 8)
    assert entries["quant_conv.weight"].shape == (8, 8, 1, 1) and "decoder.up.4.attn.0.q.weight" in entries
    assert convert.kind_of(entries, Path("x")) == "vqvae_weights"
    assert convert.vqvae_config(entries, {}) == VqVaeConfig()


@pytest.mark.parametrize("name,message", [
    ("model.diffusion_model.input_blocks.0.0.weight", "a whole latent diffusion model"),
    ("encoder.down_blocks.0.resnets.0.norm1.weight", "the names of diffusers"),
    ("quantize.embed.weight", "Gumbel codebook")])
def test_wrong_kinds_are_named(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        convert.kind_of({name: torch.zeros(1)}, Path("x"))


def test_codebooks_that_are_not_known() -> None:
    entries = dict(_vae().state_dict())
    entries["quantize.embed.weight"] = entries.pop("quantize.embedding.weight")
    with pytest.raises(UserError, match="another kind .'quantize.embed.weight'."):
        convert.kind_of(entries, Path("x"))
    entries = dict(_vae().state_dict())
    entries["quantize.embedding.weight"] = torch.zeros(9, 5)
    with pytest.raises(UserError, match="a codebook of 5 numbers an entry"):
        convert.vqvae_config(entries, {})


def _with(config: Config, vq: VqConfig, **generator: object) -> Config:
    changed = {"patch_size": 1, "width": 32, "depth": 2, "heads": 2, **generator}
    return dataclasses.replace(config, vq=vq, generator=dataclasses.replace(config.generator, **changed))


class Killed(Exception):
    pass


@pytest.mark.parametrize("variant,objective,entries", [("raster", "mar_causal", 0), ("random", "mar_ce", 6),
                                                       ("", "mar_ce", 6)])
def test_train_resume_and_export(tiny_config: Config, monkeypatch: pytest.MonkeyPatch, variant: str, objective: str,
                                 entries: int) -> None:
    vq = VqConfig(n_embed=entries, ch=32, ch_mult=(1, 1, 1), z_channels=3, embed_dim=3)
    config = _with(tiny_config, vq, variant=variant, objective=objective)
    run_stages(config, list(STAGES), ARGUMENTS)
    folder = Path(config.export.path)
    weights, metadata = safetensors_io.load(folder / "generator.safetensors")
    assert metadata["kind"] == "mar_weights"
    shape = json.loads(metadata["config"])
    assert shape.get("codebook", 0) == entries and shape.get("variant", "") == variant
    assert ("diffloss_w" in shape) == (entries == 0)
    assert ("top_k" in json.loads(metadata["defaults"])) == (objective == "mar_ce")
    model = model_dir.load(folder)
    assert model.images(torch.tensor([0, 1]), 1, model.settings).shape == (2, 3, 32, 32)
    if entries:
        vae = model.tokenizer
        assert isinstance(vae, VqVae) and shape["latent_scale"] > 0
        expected = vae.quantize.embedding.weight * shape["latent_scale"]
        torch.testing.assert_close(weights["codebook"].float(), expected, atol=0.02, rtol=0.02)  # bf16

    # Killed in the middle, a second run ends with the same weights.
    whole = torch.load(Path(config.run_dir) / "generator.checkpoint.pt")
    again = dataclasses.replace(config, run_dir=config.run_dir + "_again")
    original = Trainer.train_step

    def train_step(self: Trainer, module: torch.nn.Module) -> dict[str, torch.Tensor]:
        if self.stage == "generator" and self.step == 3:
            self.save()
            raise Killed
        return original(self, module)
    monkeypatch.setattr(Trainer, "train_step", train_step)
    with pytest.raises(Killed):
        run_stages(again, list(STAGES), ARGUMENTS)
    monkeypatch.setattr(Trainer, "train_step", original)
    run_stages(again, list(STAGES), ARGUMENTS)
    resumed = torch.load(Path(again.run_dir) / "generator.checkpoint.pt")
    assert resumed["step"] == whole["step"]
    for name, value in whole["ema"].items():
        assert torch.equal(resumed["ema"][name], value), name


def test_combinations_that_make_no_sense(tiny_config: Config) -> None:
    for vq, changes, message in (
            (VqConfig(), {"variant": "raster", "objective": "mar"}, "expected 'mar_causal' or 'mar_ce'"),
            (VqConfig(), {"variant": "", "objective": "mar_causal"}, "expected 'mar' or 'mar_ce'"),
            (VqConfig(), {"variant": "raster", "objective": "mar_ce"}, "set vq.n_embed"),
            (VqConfig(), {"variant": "spiral", "objective": "mar_causal"}, "variant = 'spiral'")):
        with pytest.raises(UserError, match=message):
            generator_config(_with(tiny_config, vq, **changes), 2)
