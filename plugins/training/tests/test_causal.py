"""The causal variants against their golden files, and the objectives of both heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from golden import Tensors, assert_close, load, top
from tessera_training.files import safetensors_io
from tessera_training.networks.blocks import unpatchify
from tessera_training.networks.codes import nearest
from tessera_training.networks.causal import CausalConfig, CausalMar, orders_of, sample
from tessera_training.config import GeneratorConfig
from tessera_training.errors import UserError
from tessera_training.networks.mar import SampleSettings
from tessera_training.objectives.mar_causal import MarCausalObjective
from tessera_training.objectives.mar_ce import MarCeObjective

ROW_LIMIT = 5e-5  # of max(1, value)
RUNS = ["raster_cfg1", "raster_cfg3_linear", "raster_cfg3_linear_steps100", "random_uncond",
        "random_cfg2_constant_t090"]


@pytest.fixture(scope="module")
def folder(fixtures: Path) -> Path:
    return Path(__file__).resolve().parents[3] / "tests" / "golden" / "data" / "mar_causal"


def load_model(path: Path) -> CausalMar:
    tensors, metadata = safetensors_io.load(path)
    model = CausalMar(CausalConfig.from_json(metadata["config"]))
    model.load_state_dict(tensors)
    return model.eval()


class _NoPack:
    """Stands in for the latents: `forward` gets recorded draws and never asks for any."""


@pytest.fixture(params=["raster", "random"])
def teacher(request: pytest.FixtureRequest, folder: Path) -> tuple[Tensors, dict, CausalMar]:
    tensors, metadata = load(folder / f"teacher_{request.param}.safetensors")
    return tensors, metadata, load_model(folder / f"weights_{request.param}.safetensors")


def test_conditions_and_layers(teacher: tuple[Tensors, dict, CausalMar]) -> None:
    tensors, _, model = teacher
    classes = model.class_vector(tensors["labels"], len(tensors["labels"]), tensors["label_dropped"].bool())
    assert torch.equal(classes, tensors["class_rows"])
    rows = model.rows(tensors["tokens"], tensors["order"], classes)
    assert_close(rows, tensors["layer.rows"], 5e-6 * max(1, top(rows)), "rows")
    z = model(tensors["tokens"], tensors["order"], classes)
    assert_close(z, tensors["z"], 5e-6 * max(1, top(z)), "z")


def test_loss_and_gradients(teacher: tuple[Tensors, dict, CausalMar]) -> None:
    tensors, metadata, model = teacher
    config = GeneratorConfig(diffusion_batch_mul=metadata["diffusion_batch_mul"])
    objective = MarCausalObjective(model, _NoPack(), config)  # type: ignore[arg-type]
    loss, parts = objective({"tokens": tensors["tokens"], "order": tensors["order"], "labels": tensors["labels"],
                             "dropped": tensors["label_dropped"].bool(), "t": tensors["t"],
                             "noise": tensors["noise"]})
    for name, value in (("loss", loss), ("loss_mse", parts["mse"]), ("loss_vb", parts["vb"])):
        assert_close(value.reshape(1), tensors[name], ROW_LIMIT * max(1, top(tensors[name])), name)
    loss.backward()
    limit = ROW_LIMIT * max(top(value) for name, value in tensors.items() if name.startswith("grad."))
    compared = 0
    for name, parameter in model.named_parameters():
        if f"grad.{name}" in tensors:
            compared += 1
            assert_close(parameter.grad, tensors[f"grad.{name}"], limit, f"grad.{name}")
    assert compared > 10


@pytest.mark.parametrize("name", RUNS)
def test_runs_with_and_without_cache(name: str, folder: Path) -> None:
    tensors, metadata = load(folder / f"generate_{name}.safetensors")
    model, call = load_model(folder / f"weights_{name.split('_')[0]}.safetensors"), metadata["call"]
    settings = SampleSettings(model.config.tokens, call["cfg"], call["cfg_schedule"], call["temperature"],
                              call["num_sampling_steps"])

    def noise(i: int, draw: int, rows: int) -> torch.Tensor:
        return tensors["noise_init"][i] if draw == 0 else tensors["noise_steps"][i, draw - 1]
    deviations = metadata["f32_vs_f64_max_abs"]
    limit = 8 * max(deviations["tokens"], deviations["cached_vs_uncached_f32"])
    for cached in (True, False):
        latents = sample(model, tensors.get("labels"), tensors["order"], settings, noise, cached)
        assert_close(latents, tensors["latents"], limit, f"cached {cached}")
    assert torch.equal(unpatchify(tensors["tokens"], model.config.patch_size), tensors["latents"])


def test_no_row_sees_what_comes_later(folder: Path) -> None:
    tensors, _ = load(folder / "teacher_random.safetensors")
    model = load_model(folder / "weights_random.safetensors")
    classes = model.class_vector(tensors["labels"], 2)
    z = model(tensors["tokens"], tensors["order"], classes)
    for i in range(model.config.tokens):
        changed = tensors["tokens"].clone()
        for image, place in enumerate(tensors["order"][:, i]):
            changed[image, place] = 1e3
        again = model(changed, tensors["order"], classes)
        assert torch.equal(again[:, :i + 1], z[:, :i + 1])
        assert i + 1 == model.config.tokens or not torch.equal(again[:, i + 1:], z[:, i + 1:])


def _tiny(variant: str, codebook: int = 0) -> CausalMar:
    torch.manual_seed(1)
    model = CausalMar(CausalConfig(img_size=16, vae_stride=4, patch_size=1, vae_embed_dim=3, width=32, depth=2, heads=2,
                                   class_num=2, diffloss_d=1, diffloss_w=16, variant=variant, codebook=codebook))
    if codebook:
        model.codebook.copy_(torch.randn(codebook, 3, generator=torch.Generator().manual_seed(2)))
    return model


@pytest.mark.parametrize("variant", ["raster", "random"])
def test_codes_are_learnt_from_what_came_before(variant: str) -> None:
    """Every picture is one code throughout: after the first token the rest is certain."""
    model = _tiny(variant, codebook=7)
    objective = MarCeObjective(model, _NoPack(), GeneratorConfig())  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(3)
    loss = torch.zeros(())
    for _ in range(80):
        codes = torch.randint(7, (16, 1), generator=generator).expand(-1, 16)
        loss, parts = objective({"codes": codes, "order": orders_of(model.config, 16, generator).contiguous(),
                                 "labels": torch.zeros(16, dtype=torch.long), "dropped": torch.zeros(16).bool()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.4 and float(parts["hit"]) > 0.9  # of the 1/16 that is open, ln 7 / 16 = 0.12
    order = orders_of(model.config, 5, generator)

    def noise(i: int, draw: int, rows: int) -> torch.Tensor:
        return torch.randn(rows, 3, generator=generator)
    latents = sample(model.eval(), None, order, SampleSettings(temperature=1.0), noise)
    codes = nearest(latents.permute(0, 2, 3, 1), model.codebook).flatten(1)
    assert float((codes == codes.mode(1).values[:, None]).float().mean()) > 0.8


def test_the_nearest_code_is_the_first_of_equals() -> None:
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    assert nearest(torch.tensor([[0.1, 0.9], [0.9, 0.2], [-3.0, 0.0]]), table).tolist() == [1, 0, 3]


def test_what_no_model_can_be_is_said() -> None:
    with pytest.raises(UserError, match="variant = 'spiral'"):
        _tiny("spiral")
    with pytest.raises(UserError, match="prefix = 2: expected 1 in random order"):
        CausalConfig(16, 4, 1, 3, 32, 2, 2, 2, variant="random", prefix=2)
    with pytest.raises(UserError, match="patch_size = 2: expected 1 with a codebook"):
        CausalConfig(16, 4, 2, 3, 32, 2, 2, 2, codebook=4)
