"""The start values and the extra loss of short trainings."""

from __future__ import annotations

import math

import torch

from tessera_training.config import GeneratorConfig
from tessera_training.mar import Mar, MarConfig, start_local, torus_positions
from tessera_training.objectives.mar import GUESS_MOST_UNKNOWN, MarObjective, mask_rate

SMALL = MarConfig(img_size=48, vae_stride=8, patch_size=1, vae_embed_dim=3, encoder_embed_dim=40, encoder_depth=1,
                  encoder_num_heads=2, decoder_embed_dim=40, decoder_depth=1, decoder_num_heads=2, class_num=2,
                  buffer_size=2, diffloss_d=1, diffloss_w=32)


class _Noise:
    """Stands for packed latents."""

    labels = torch.zeros(8, dtype=torch.long)

    def draw(self, ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(len(ids), 3, 6, 6, generator=generator)

    def variance_within(self) -> torch.Tensor:
        return torch.tensor([0.2, 0.5, 1.0])


def test_positions_depend_on_the_wrapped_offset_only() -> None:
    for side, width in ((6, 64), (8, 40)):
        positions = torus_positions(side, width, torch.Generator().manual_seed(1))
        assert positions.shape == (side**2, width)
        torch.testing.assert_close(positions.square().mean(), torch.tensor(1.0))
        if width < side**2:
            continue  # too narrow to keep every wave
        inner = (positions @ positions.T / width).view(side, side, side, side)
        first = inner[0, 0]
        for row in range(side):
            for column in range(side):
                torch.testing.assert_close(inner[row, column].roll((-row, -column), (0, 1)), first, atol=1e-5, rtol=0)
        assert first[0, 0] > first[0, 1] > first[0, 2] and first[1, 1] > first[2, 2]
        torch.testing.assert_close(first[0, 1], first[0, side - 1], atol=1e-5, rtol=0)


def test_a_local_start_attends_to_neighbours() -> None:
    torch.manual_seed(0)
    model = Mar(SMALL)
    start_local(model, torch.Generator().manual_seed(2))
    block = model.decoder_blocks[0]
    x = model.decoder_pos_embed_learned
    query, key, _ = block.attn.qkv(block.norm1(x)).reshape(-1, 3, 2, 20).permute(1, 2, 0, 3)
    weights = (query @ key.transpose(1, 2) / math.sqrt(20)).softmax(-1)[:, 2:, 2:].mean(0)  # of the 36 tokens
    near = weights.view(6, 6, 6, 6)[2, 3]
    neighbours = torch.stack([near[1, 3], near[3, 3], near[2, 2], near[2, 4]])
    assert neighbours.mean() > 2 * near[5, 0] and near[2, 3] > neighbours.max()


def test_the_guess_teaches_the_transformer_and_is_not_exported() -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(guess_weight=0.5, mask_ratio_min=0.1, mask_ratio_std=0.6)
    objective = MarObjective(Mar(SMALL), _Noise(), config)  # type: ignore[arg-type]
    counted = set()
    for seed in range(12):
        draws = objective.draw(torch.arange(8), torch.Generator().manual_seed(seed))
        loss, parts = objective(draws)
        counts = float(draws["mask"].float().mean()) <= GUESS_MOST_UNKNOWN
        torch.testing.assert_close(loss.detach(), parts["mse"] + parts["vb"] + 0.5 * counts * parts["guess"])
        objective.zero_grad()
        loss.backward()
        assert objective.guess is not None and objective.guess.weight.grad is not None
        assert bool(objective.guess.weight.grad.abs().max() > 0) == counts
        # The denoiser starts at zero, so in the first step only the guess reaches the transformer.
        assert bool(objective.model.decoder_blocks[0].attn.qkv.weight.grad.abs().max() > 0) == counts
        counted.add(counts)
    assert counted == {False, True}
    assert not [name for name in objective.model.state_dict() if "guess" in name]
    plain = MarObjective(objective.model, _Noise(), GeneratorConfig())  # type: ignore[arg-type]
    assert plain.guess is None and "guess" not in plain(plain.draw(torch.arange(8), torch.Generator()))[1]


def test_mask_rates_reach_down_to_the_least() -> None:
    generator = torch.Generator().manual_seed(1)
    rates = torch.tensor([mask_rate(generator, 0.1, 0.6) for _ in range(2000)])
    assert 0.1 <= float(rates.min()) < 0.15 and float(rates.max()) <= 1
    assert 0.5 < float(rates.mean()) < 0.65
