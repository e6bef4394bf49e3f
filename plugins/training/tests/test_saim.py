"""SAIM's masks, targets, loss, gradients and representations against the authors' code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import assert_close, load, top

from tessera_training.networks.saim import Saim, SaimConfig, _visible
from tessera_training.objectives.saim import SaimObjective


def _model(fixtures: Path, name: str) -> Saim:
    weights, metadata = load(fixtures / "saim_tiny" / f"weights_{name}.safetensors")
    model = Saim(SaimConfig(**{key: value for key, value in metadata["config"].items()  # type: ignore[attr-defined]
                               if key in SaimConfig.__dataclass_fields__}))
    assert_close(model.pos_embed, weights["pos_embed"], 1e-6, "pos_embed")
    model.load_state_dict(weights)
    return model


@pytest.mark.parametrize("case", ["b_random", "shared_random", "a_ties"])
def test_loss_and_gradients(fixtures: Path, case: str) -> None:
    model = _model(fixtures, case.split("_")[0])
    tensors, _ = load(fixtures / "saim_tiny" / f"case_{case}.safetensors")
    for name, rule in (("visible_h", torch.le), ("visible_g", torch.lt)):
        assert torch.equal(_visible(tensors["u"], rule), tensors[name].bool())
    target = model.target(tensors["images"])
    assert_close(target, tensors["target"], 1e-5 * max(1.0, top(target)), "target")
    loss, _ = SaimObjective(model, None)({"images": tensors["images"], "u": tensors["u"]})
    assert_close(loss, tensors["loss"].reshape(()), 1e-5, "loss")
    loss.backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    recorded = {name[5:]: value for name, value in tensors.items() if name.startswith("grad.")}
    for name, value in recorded.items():
        assert_close(gradients[name], value, 1e-5 * max(top(each) for each in recorded.values()), name)
    norm = torch.cat([value.flatten().double() for value in gradients.values()]).norm()
    assert abs(float(norm) / float(tensors["grad_norm"]) - 1) < 1e-5


@pytest.mark.parametrize("name", ["a", "b"])
def test_representations(fixtures: Path, name: str) -> None:
    tensors, _ = load(fixtures / "saim_tiny" / f"features_{name}.safetensors")
    pooled, mean = _model(fixtures, name).encode(tensors["images"])
    assert_close(pooled, tensors["feat.cls"], 5e-6 * max(1.0, top(pooled)), "feat.cls")
    assert_close(mean, tensors["feat.mean"], 5e-6 * max(1.0, top(mean)), "feat.mean")


def test_no_patch_sees_itself_or_later_ones(fixtures: Path) -> None:
    model = _model(fixtures, "b")
    tensors, _ = load(fixtures / "saim_tiny" / "case_b_random.safetensors")
    images, u = tensors["images"][:1].clone().requires_grad_(), tensors["u"][:1]
    last = int(u[0].argmax())
    first = int(u[0].argmin())
    made = model.streams(images, u)[0, 1:]
    patch = model.config.patch_size
    gradient = torch.autograd.grad(made[first].sum(), images, retain_graph=True, allow_unused=True)[0]
    assert gradient is None or float(gradient.abs().max()) == 0
    gradient = torch.autograd.grad(made[last].sum(), images)[0][0]
    side = images.shape[-1] // patch
    seen = gradient.abs().sum(0).unflatten(1, (side, patch)).unflatten(0, (side, patch)).sum((1, 3)).flatten()
    assert float(seen[last]) == 0 and int((seen > 0).sum()) == len(seen) - 1


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_the_head_learns_what_the_config_says_of_latents(prediction: str) -> None:
    config = SaimConfig(img_size=4, patch_size=1, in_chans=5, embed_dim=8, depth=2, query_depth=1, num_heads=2,
                        diffloss_d=1, diffloss_w=8, prediction=prediction, vae_stride=8)
    objective = SaimObjective(Saim(config), None)
    generator = torch.Generator().manual_seed(1)
    draws = {"images": torch.randn(2, 5, 4, 4, generator=generator), "u": torch.rand(2, 16, generator=generator),
             "t": torch.full((2, 16, 1), 999), "noise": torch.randn(2, 16, 1, 5, generator=generator)}
    _, parts = objective(draws)  # the head starts at zero, and at the last time nothing of the picture is left
    wanted = draws["noise"] if prediction == "epsilon" else draws["images"]
    assert_close(parts["mse"], (wanted**2).mean(), 1e-3, "mse")
