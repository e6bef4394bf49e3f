"""Training loss, gradients, clipping, one AdamW and one EMA step against the official code."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from golden import Tensors, assert_close, fixture_file, load, load_mar, top
from torch import nn

from tessera_training import optim
from tessera_training.config import GeneratorConfig
from tessera_training.networks import diffusion
from tessera_training.networks.blocks import patchify
from tessera_training.networks.mar import Mar, MarConfig
from tessera_training.objectives.mar import MarObjective, mask_of, mask_rate
from tessera_training.trainer import Ema

ROW_LIMIT = 5e-5  # of max(1, value)
GRADIENT_LIMIT = 1e-4  # of the largest entry of the whole gradient


@pytest.fixture(params=["loss_eval", "loss_train"])
def case(request: pytest.FixtureRequest, fixtures: Path) -> tuple[Tensors, dict, Mar]:
    tensors, metadata = load(fixture_file(fixtures, f"mar_loss/{request.param}.safetensors"))
    return tensors, metadata, load_mar(fixtures / "mar_tiny" / "weights.safetensors")


def _conditions(model: Mar, case: Tensors) -> torch.Tensor:
    dropped = case["label_dropped"].bool() if "label_dropped" in case else None
    mask = case["mask"].bool()
    classes = model.class_vector(case["labels"], len(mask), dropped)
    return model.decode(model.encode(case["tokens"], mask, classes), mask, case["tokens"])


def _check_gradients(model: Mar, case: Tensors) -> None:
    limit = GRADIENT_LIMIT * max(top(value) for name, value in case.items() if name.startswith("grad."))
    for name, parameter in model.named_parameters():
        if f"grad.{name}" in case:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert_close(grad, case[f"grad.{name}"], limit, f"grad.{name}")


def test_masking(case: tuple[Tensors, dict, Mar]) -> None:
    tensors, _, model = case
    masked = int(tensors["num_masked"])
    assert masked == -(-model.config.tokens * float(tensors["mask_rate"]) // 1)
    assert torch.equal(mask_of(tensors["orders"], masked), tensors["mask"].bool())
    assert torch.equal(patchify(tensors["latents"], model.config.patch_size), tensors["tokens"])


def test_loss_rows_and_gradients(case: tuple[Tensors, dict, Mar]) -> None:
    tensors, _, model = case
    z = _conditions(model, tensors)
    assert_close(z, tensors["dec_out"], 5e-6 * top(tensors["dec_out"]), "dec_out")
    z.retain_grad()
    x0 = tensors["tokens"].flatten(0, 1)
    copies = len(tensors["t"]) // len(x0)
    x0, mask = x0.repeat(copies, 1), tensors["row_mask"].float().flatten()
    table = diffusion.tables()
    x_t = diffusion.noised(table, x0, tensors["t"], tensors["noise"])
    assert_close(x_t, tensors["x_t"], 2e-6 * max(1.0, top(x_t)), "x_t")
    net = model.diffloss.net(x_t, tensors["t"], z.flatten(0, 1).repeat(copies, 1))
    assert_close(net, tensors["net_out"], ROW_LIMIT * max(1.0, top(tensors["net_out"])), "net_out")
    mse, bound = diffusion.loss_rows(table, net, x0, x_t, tensors["t"], tensors["noise"])
    for name, rows in (("mse", mse), ("vb", bound)):
        relative = tensors[name].abs().clamp(min=1)
        assert_close(rows / relative, tensors[name] / relative, ROW_LIMIT, name)
        mean = (rows * mask).sum() / mask.sum()
        assert_close(mean, tensors[f"loss_{name}"].reshape(()), ROW_LIMIT, f"loss_{name}")
    loss = ((mse + bound) * mask).sum() / mask.sum()
    assert_close(loss, tensors["loss"].reshape(()), ROW_LIMIT, "loss")
    loss.backward()
    _check_gradients(model, tensors)
    assert_close(z.grad, tensors["grad.dec_out"], GRADIENT_LIMIT * top(tensors["grad.dec_out"]), "grad.dec_out")


class _NoPack:
    """Stands in for the latents: `forward` gets recorded draws and never asks for any."""


def test_objective_computes_the_same_from_masked_rows_only(case: tuple[Tensors, dict, Mar]) -> None:
    tensors, metadata, model = case
    copies = metadata["config"]["diffusion_batch_mul"]
    objective = MarObjective(model, _NoPack(), GeneratorConfig(diffusion_batch_mul=copies))  # type: ignore[arg-type]
    batch, count, _ = tensors["tokens"].shape
    mask = tensors["mask"].bool()
    width = tensors["tokens"].shape[-1]

    def masked(rows: torch.Tensor) -> torch.Tensor:  # official tiling [copies B S, ...] -> [B, masked, copies, ...]
        rows = rows.reshape(copies, batch, count, -1).permute(1, 2, 0, 3)
        return rows[mask].reshape(batch, -1, copies, rows.shape[-1])

    dropped = tensors.get("label_dropped", torch.zeros(batch)).bool()
    loss, parts = objective({
        "tokens": tensors["tokens"], "labels": tensors["labels"], "mask": mask, "dropped": dropped,
        "t": masked(tensors["t"])[..., 0], "noise": masked(tensors["noise"]).reshape(batch, -1, copies, width)})
    assert_close(loss, tensors["loss"].reshape(()), ROW_LIMIT, "loss")
    assert_close(parts["mse"], tensors["loss_mse"].reshape(()), ROW_LIMIT, "loss_mse")
    assert_close(parts["vb"], tensors["loss_vb"].reshape(()), ROW_LIMIT, "loss_vb")
    loss.backward()
    _check_gradients(model, tensors)


def test_clipping_adamw_and_ema(fixtures: Path) -> None:
    tensors, metadata = load(fixture_file(fixtures, "mar_loss/loss_eval.safetensors"))
    model = load_mar(fixtures / "mar_tiny" / "weights.safetensors")
    settings = metadata["optimizer"]
    for name, parameter in model.named_parameters():
        if name != "fake_latent":  # nothing was dropped in this case: no gradient, so no update and no decay
            parameter.grad = tensors[f"grad.{name}"]
    optimizer = optim.build(model, settings["lr"], settings["weight_decay"], muon_lr=0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(parameter)] for group in optimizer.param_groups if group["weight_decay"]
               for parameter in group["params"]}
    assert decayed == set(metadata["weight_decay_applies_to"])
    ema = Ema(model, settings["ema_rate"])
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings["grad_clip_norm"])
    assert_close(norm / tensors["grad_norm"].reshape(()), torch.tensor(1.0), 1e-5, "grad_norm")
    optimizer.step()
    ema.update(model, step=10**9)  # past the short memory of the first steps
    compared = 0
    for name, parameter in model.named_parameters():
        if f"adamw.param.{name}" in tensors:
            compared += 1
            assert_close(parameter, tensors[f"adamw.param.{name}"], 1e-6, f"adamw.param.{name}")
            assert_close(ema.values[name], tensors[f"adamw.ema.{name}"], 1e-6, f"adamw.ema.{name}")
    assert compared > 5


def test_mask_rates_follow_the_truncated_normal() -> None:
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([mask_rate(generator, 0.7) for _ in range(4000)])
    assert 0.7 <= float(rates.min()) and float(rates.max()) <= 1
    # mean of 1 - |N(0, 0.25)| below a cut at 0.3 = 1.2 deviations
    grid = torch.linspace(0, 0.3, 3001, dtype=torch.float64)
    density = torch.exp(-0.5 * (grid / 0.25) ** 2)
    assert abs(float(rates.mean()) - (1 - float((grid * density).sum() / density.sum()))) < 0.005


def test_velocity_is_the_same_chain_as_its_noise() -> None:
    """Of a network that is exact, epsilon and v lead to the same distribution, and both losses vanish."""
    table = diffusion.tables()
    generator = torch.Generator().manual_seed(3)
    x0, noise = (torch.randn(50, 6, generator=generator) for _ in range(2))
    t = torch.randint(0, 1000, (50,), generator=generator)
    t[0] = 999
    x_t = diffusion.noised(table, x0, t, noise)
    value = torch.zeros_like(x0)
    exact = {"epsilon": torch.cat([noise, value], 1),
             "v": torch.cat([diffusion.velocity(table, x0, t, noise), value], 1)}
    for prediction, net in exact.items():
        told = t < (900 if prediction == "epsilon" else 1000)  # later, float32 cannot tell x0 from the noise
        clean = diffusion.clean_estimate(table, t, x_t, net[:, :6], prediction)
        torch.testing.assert_close(clean[told], x0[told], atol=1e-5, rtol=0)
        mse, _ = diffusion.loss_rows(table, net, x0, x_t, t, noise, prediction=prediction)
        assert float(mse.max()) < 1e-9
    mse, _ = diffusion.loss_rows(table, exact["epsilon"], x0, x_t, t, noise, prediction="v")
    assert float(mse.mean()) > 0.1


def test_sampled_mask_rates_cover_the_whole_run() -> None:
    generator = torch.Generator().manual_seed(4)
    rates = [mask_rate(generator, 0.7, "cosine") for _ in range(2000)]
    assert min(rates) < 0.01 and max(rates) > 0.99
    assert abs(sum(rates) / len(rates) - 2 / math.pi) < 0.02  # the mean of a cosine
    assert min(mask_rate(generator, 0.7) for _ in range(500)) >= 0.7


def test_positions_on_the_torus_tell_offsets() -> None:
    model = Mar(MarConfig(img_size=64, vae_stride=8, patch_size=1, vae_embed_dim=4, encoder_embed_dim=128,
                          encoder_depth=1, encoder_num_heads=2, decoder_embed_dim=128, decoder_depth=1,
                          decoder_num_heads=2, class_num=2, buffer_size=3, diffloss_d=1, diffloss_w=32))
    before = model.decoder_pos_embed_learned.detach().clone()
    model.start_positions_on_torus(torch.Generator().manual_seed(1))
    added = (model.decoder_pos_embed_learned.detach() - before)[0, -model.config.tokens:]
    side = model.config.side
    products = (added @ added.T).reshape(side, side, side, side)
    # Of all positions the same one is most like itself, and its torus neighbours are all about as near.
    for y in range(side):
        for x in range(side):
            rolled = torch.roll(products[y, x], (-y, -x), (0, 1))
            assert rolled.argmax() == 0
            neighbours = torch.stack([rolled[0, 1], rolled[0, -1], rolled[1, 0], rolled[-1, 0]])
            assert float(neighbours.max() - neighbours.min()) < 0.4 * float(rolled[0, 0])
    assert torch.equal((model.decoder_pos_embed_learned - before)[0, :-model.config.tokens],
                       torch.zeros_like(before[0, :-model.config.tokens]))


def test_guesses_find_a_neighbour_at_once() -> None:
    """Every token equals the one to its left: with a local window a few steps are enough to see it."""
    config = MarConfig(img_size=48, vae_stride=8, patch_size=1, vae_embed_dim=4, encoder_embed_dim=16, encoder_depth=1,
                       encoder_num_heads=2, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2, class_num=1,
                       buffer_size=1, diffloss_d=1, diffloss_w=16, local_kernel=3, prediction="v")
    torch.manual_seed(1)
    model = Mar(config)
    rows = torch.randn(64, 6, 1, 4).expand(-1, -1, 6, -1).reshape(64, 36, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(2)
    missed = torch.zeros(())
    for _ in range(60):
        mask = mask_of(torch.rand(64, 36, generator=generator).argsort(1), 12)
        classes = model.class_vector(torch.zeros(64, dtype=torch.long), 64)
        z = model.decode(model.encode(rows, mask, classes), mask, rows)[mask]
        missed = ((model.guesses(z) - rows[mask]) ** 2).mean()
        optimizer.zero_grad()
        missed.backward()
        optimizer.step()
    assert float(missed.detach()) < 0.5 * float((rows**2).mean())
