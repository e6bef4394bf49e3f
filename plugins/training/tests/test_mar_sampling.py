"""The sampler against recorded runs of the official code: stage by stage, then end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import Tensors, assert_close, fixture_file, load, load_mar, top

from tessera_training.errors import UserError
from tessera_training.networks import diffusion
from tessera_training.networks.mar import Mar, MarConfig, SampleSettings, sample, seeded_noise

CASES = ("mar_tiny/case_cfg1", "mar_tiny/case_cfg3_linear", "mar_tiny/case_cfg2_constant_t090",
         "mar_tiny/case_uncond", "mar_tiny/case_cfg3_linear_steps100", "mar_tiny/case_one_token_per_step",
         "mar_tiny/case_single_iter", "mar_rect/case_steps25_cfg2_linear", "mar_rect/case_steps7_cfg1",
         "mar_rect/case_steps7_cfg4_constant")
STAGE_LIMIT = 5e-6  # encoder and decoder, of the largest value
NET_LIMIT = 5e-5  # denoiser with guidance, of max(1, largest value)
STEP_LIMIT = 2e-6  # one reverse step, of its scale


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, fixtures: Path) -> tuple[Tensors, dict, Mar]:
    path = fixture_file(fixtures, f"{request.param}.safetensors")
    tensors, metadata = load(path)
    return tensors, metadata, load_mar(path.with_name("weights.safetensors"))


def _settings(metadata: dict) -> SampleSettings:
    call = metadata["call"]
    return SampleSettings(call["num_iter"], call["cfg"], call["cfg_schedule"], call["temperature"],
                          str(call["num_sampling_steps"]))


@torch.no_grad()
def test_end_to_end(case: tuple[Tensors, dict, Mar]) -> None:
    tensors, metadata, model = case

    def recorded(step: int, draw: int, rows: int) -> torch.Tensor:
        noise = tensors[f"step.{step:02d}.noise_init"] if draw == 0 else tensors[f"step.{step:02d}.noise_steps"][draw - 1]
        assert len(noise) == rows
        return noise

    latents = sample(model, tensors.get("labels"), tensors["orders"], _settings(metadata), recorded)
    assert_close(latents, tensors["latents"], 8 * metadata["f32_vs_f64_max_abs"]["latents"], "latents")


@torch.no_grad()
def test_stages(case: tuple[Tensors, dict, Mar]) -> None:
    tensors, metadata, model = case
    settings = _settings(metadata)
    table = diffusion.tables(settings.denoise_steps)
    assert table.timestep_map == metadata["timestep_map"]
    for step in range(settings.steps):
        here = {name[8:]: value for name, value in tensors.items() if name.startswith(f"step.{step:02d}.")}
        _check_towers(model, here, tensors.get("labels"), guided=settings.guidance != 1.0)
        if "x_steps" in here:
            _check_denoiser(model, table, here, settings)


def _check_towers(model: Mar, here: Tensors, labels: torch.Tensor | None, guided: bool) -> None:
    batch, copies = len(here["mask"]), 2 if guided else 1
    classes = model.class_vector(labels, batch)
    if guided:
        classes = torch.cat([classes, model.class_vector(None, batch)])
    mask = here["mask"].bool().repeat(copies, 1)
    encoded = model.encode(here["tokens_in"].repeat(copies, 1, 1), mask, classes)
    assert_close(encoded, here["enc_out"], STAGE_LIMIT * top(here["enc_out"]), "enc_out")
    decoded = model.decode(here["enc_out"], mask, here["tokens_in"])
    assert_close(decoded, here["dec_out"], STAGE_LIMIT * top(here["dec_out"]), "dec_out")


def _check_denoiser(model: Mar, table: diffusion.Tables, here: Tensors, settings: SampleSettings) -> None:
    images, positions = here["pred_index"].T
    z = here["dec_out"][images, positions]
    free = here["dec_out"][images + len(here["mask"]), positions] if settings.guidance != 1.0 else None
    last, width = len(table.timestep_map) - 1, here["x_steps"].shape[-1]
    for draw in range(last + 1):
        index, x, expected = last - draw, here["x_steps"][draw], here["net_steps"][draw]
        times = torch.full((len(x),), table.timestep_map[index])
        net = model.diffloss.net(x, times, z)
        if free is not None:
            eps = model.diffloss.net(x, times, free)[:, :width]
            net[:, :width] = eps + float(here["cfg_iter"]) * (net[:, :width] - eps)
        assert_close(net, expected, NET_LIMIT * max(1.0, top(expected)), f"net_steps[{draw}]")
        after = here["x_steps"][draw + 1]
        actual = diffusion.reverse_step(table, index, x, expected, here["noise_steps"][draw], settings.temperature)
        amplified = table.posterior_mean_coef1[index] * table.sqrt_recip_alphas_cumprod[index] * top(x)
        assert_close(actual, after, STEP_LIMIT * max(1.0, top(after), amplified), f"x_steps[{draw + 1}]")


def _small_model(local_kernel: int = 0) -> Mar:
    torch.manual_seed(0)
    config = MarConfig(img_size=32, vae_stride=8, patch_size=1, vae_embed_dim=3, encoder_embed_dim=24,
                       encoder_depth=1, encoder_num_heads=2, decoder_embed_dim=16, decoder_depth=1,
                       decoder_num_heads=2, class_num=3, buffer_size=2, diffloss_d=1, diffloss_w=20,
                       local_kernel=local_kernel)
    return Mar(config).eval()


@pytest.mark.parametrize("local_kernel", [0, 3])
def test_one_seed_one_picture(local_kernel: int) -> None:
    model = _small_model(local_kernel)
    orders = torch.rand(2, 16, generator=torch.Generator().manual_seed(1)).argsort(1)
    settings = SampleSettings(steps=4, guidance=2.0, denoise_steps="5")
    first, again, other = (sample(model, torch.tensor([0, 2]), orders, settings, seeded_noise(seed, 3))
                           for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("local_kernel", [0, 3])
def test_decoding_needs_nothing_but_known_tokens(local_kernel: int) -> None:
    """Values at masked positions never reach the conditions."""
    model = _small_model(local_kernel)
    tokens, mask = torch.randn(1, 16, 3), torch.arange(16)[None] % 2 == 0
    changed = torch.where(mask[..., None], torch.full_like(tokens, 1e3), tokens)
    classes = model.class_vector(torch.tensor([1]), 1)
    with torch.no_grad():
        one, other = (model.decode(model.encode(values, mask, classes), mask, values) for values in (tokens, changed))
    assert torch.equal(one, other)


def test_local_contexts_follow_the_torus() -> None:
    """Rolled tokens give rolled contexts; unknown tokens count as the mean of the known ones."""
    mix, side = _small_model(3).local_mix, 4
    tokens, mask = torch.randn(1, 16, 3), torch.arange(16)[None] % 3 == 0

    def rolled(rows: torch.Tensor) -> torch.Tensor:
        return torch.roll(rows.reshape(1, side, side, -1), (1, 2), (1, 2)).reshape(1, 16, -1)
    with torch.no_grad():
        contexts = mix(tokens, mask)
        assert_close(mix(rolled(tokens), rolled(mask)[..., 0]), rolled(contexts), 1e-5, "rolled")
        filled = torch.where(mask[..., None], tokens[~mask].mean(0), tokens)
        assert_close(mix(filled, torch.zeros_like(mask)), contexts, 1e-5, "filled")
        nothing = mix(tokens, torch.ones_like(mask))
        assert_close(nothing, mix.bias.expand_as(nothing), 1e-6, "nothing known")


@pytest.mark.parametrize("kernel", [2, 5])
def test_a_local_window_has_a_middle_and_fits(kernel: int) -> None:
    with pytest.raises(UserError, match=f"local_kernel = {kernel}"):
        _small_model(kernel)


def test_a_sampled_token_is_guess_and_difference() -> None:
    model, seen = _small_model(3), {}
    with torch.no_grad():
        model.guess.weight.normal_()
    orders = torch.arange(16)[None]
    latents = sample(model, torch.tensor([1]), orders, SampleSettings(steps=1, guidance=3.0, denoise_steps="5",
                                                                      guidance_schedule="constant"),
                     seeded_noise(2, 3), lambda step, what, value: seen.setdefault(what, value))
    conditional, free = model.guesses(seen["dec_out"]).detach()
    guess = free + 3.0 * (conditional - free)
    assert float((conditional - free).abs().max()) > 1e-3
    assert_close(latents.flatten(2)[0].T, guess + seen["sampled"], 1e-5 * top(latents), "tokens")
