"""Respacing, schedule tables, time features and unmasking against the official values, all of them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import assert_close, load, top

from tessera_training.errors import UserError
from tessera_training.networks import diffusion
from tessera_training.networks.blocks import TimeEmbedding
from tessera_training.networks.mar import guidance_at, masked_after


def test_every_respacing(fixtures: Path) -> None:
    lines = [line.split() for line in
             (fixtures / "diffusion_schedules" / "timestep_maps_crc32.txt").read_text().splitlines()
             if not line.startswith("#")]
    assert len(lines) == 999
    for count, expected, *_ in lines:
        times = np.array(diffusion.respace(count), "<i4")
        assert f"{zlib.crc32(times.tobytes()):08x}" == expected, f"{count} steps: {times[:8]}"


def test_tables(fixtures: Path) -> None:
    tensors, metadata = load(fixtures / "diffusion_schedules" / "schedules.safetensors")
    assert_close(torch.from_numpy(diffusion.cosine_betas()), tensors["base.betas"], 1e-15, "base.betas")
    for steps in metadata["steps"]:
        table = diffusion.tables(str(steps))
        assert table.timestep_map == tensors[f"steps.{steps}.timestep_map"].tolist()
        for name in ("betas", "alphas_cumprod", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
                     "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
                     "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"):
            expected = tensors[f"steps.{steps}.{name}"]
            actual = torch.from_numpy(getattr(table, name))
            relative = expected.abs().clamp(min=1e-30)
            assert_close(actual / relative, expected / relative, 1e-9, f"steps.{steps}.{name}")


def test_time_features(fixtures: Path) -> None:
    tensors, _ = load(fixtures / "diffusion_schedules" / "schedules.safetensors")
    times = tensors["time_embedding.t"]
    features = TimeEmbedding.features(times)
    # exp() of another PyTorch version differs by one unit in the last place, times up to t = 999
    assert_close(features, tensors["time_embedding.out"], 7e-5, "time_embedding.out")
    small = times < 10
    assert_close(features[small], tensors["time_embedding.out"][small], 1e-6, "time_embedding.out, t < 10")


def test_reverse_step(fixtures: Path) -> None:
    tensors, metadata = load(fixtures / "diffusion_schedules" / "p_sample_example.safetensors")
    table = diffusion.tables(str(metadata["num_sampling_steps"]))
    x, net, noise = tensors["x"], tensors["net_out"], tensors["noise"]
    for temperature in metadata["temperatures"]:
        expected = next(value for name, value in tensors.items() if name.startswith("sample_temperature_")
                        and abs(_number(name) - temperature) < 1e-9)
        for row, index in enumerate(tensors["t"].tolist()):
            assert table.timestep_map[index] == int(tensors["t_original"][row])
            one = slice(row, row + 1)
            actual = diffusion.reverse_step(table, index, x[one], net[one], noise[one], temperature)
            amplified = table.posterior_mean_coef1[index] * table.sqrt_recip_alphas_cumprod[index] * top(x[one])
            assert_close(actual, expected[one], 2e-6 * max(1.0, top(expected[one]), amplified), f"row {row}")


def _number(name: str) -> float:
    digits = name.rsplit("_", 1)[1]
    return float(digits) if "." in digits else float(digits) / 10 ** (len(digits) - 1)


def test_unmasking_and_guidance(fixtures: Path) -> None:
    tensors, _ = load(fixtures / "mask_schedules" / "mask_schedules.safetensors")
    cases = sorted({name.rsplit(".", 1)[0] for name in tensors})
    assert len(cases) > 30
    for case in cases:
        tokens, steps = (int(part[1:]) for part in case.split("."))
        masked, lengths, counts, guidance = tokens, [], [], []
        for step in range(steps):
            lengths.append(masked_after(step, steps, tokens, masked))
            counts.append(masked if step == steps - 1 else masked - lengths[-1])
            guidance.append(guidance_at(3.0, "linear", tokens, lengths[-1]))
            masked = lengths[-1]
        assert lengths == tensors[f"{case}.mask_len"].tolist(), case
        assert counts == tensors[f"{case}.pred_count"].tolist(), case
        assert_close(torch.tensor(guidance), tensors[f"{case}.cfg_iter_linear_3"], 1e-6, case)


@pytest.mark.parametrize("steps", ["0", "1", "-3", "1001", "ddim999", "ten", "10,,5", ""])
def test_impossible_respacings_are_refused_by_name(steps: str) -> None:
    with pytest.raises(UserError, match=f"'{steps}'"):
        diffusion.respace(steps)


def test_known_respacings() -> None:
    assert diffusion.respace("2") == [0, 999]
    assert diffusion.respace("7") == [0, 166, 333, 500, 666, 832, 999]  # halves go to the even number
    assert len(diffusion.respace("1000")) == 1000
