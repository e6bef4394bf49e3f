"""AdamW equals PyTorch's; Muon's step is nearly orthogonal, each of q, k and v on its own."""

from __future__ import annotations

import torch
from torch import nn

from tessera_training import optim


def test_adamw_equals_pytorch() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 7), nn.Linear(5, 7)
    theirs.load_state_dict(ours.state_dict())
    first = optim.build(ours, 1e-2, 0.1, 0.0)
    second = torch.optim.AdamW([{"params": [theirs.weight], "weight_decay": 0.1},
                                {"params": [theirs.bias], "weight_decay": 0.0}], lr=1e-2, betas=(0.9, 0.95))
    for _ in range(5):
        x = torch.randn(4, 5)
        for layer, optimizer in ((ours, first), (theirs, second)):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_orthogonalise_flattens_the_spectrum() -> None:
    matrix = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(optim.orthogonalise(matrix, 5))
    assert values.min() > 0.5 and values.max() < 1.3


def test_muon_trains_the_matrices_between_hidden_layers_of_every_network() -> None:
    inner = ("encoder_blocks.0.attn.qkv.weight", "blocks.3.mlp.fc1.weight", "model.encoder.blocks.0.fc2.weight",
             "model.patch_decoder.block.attn.proj.weight", "model.query_blocks.1.attn.q.weight",
             "diffloss.net.res_blocks.0.mlp.0.weight", "vae.decoder.up.0.block.1.conv1.weight", "trunk.layers.2.fc1.weight")
    others = ("blocks.0.attn.qkv.bias", "model.encoder.blocks.0.modulation.weight", "trunk.layers.2.depthwise.weight",
              "diffloss.net.res_blocks.0.adaLN_modulation.1.weight", "patch_embed.weight", "head_linear.weight")
    assert [name for name in inner + others if optim._is_inner(name)] == list(inner)


def test_stacked_matrices_do_not_mix() -> None:
    q, k, v = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(2))
    joined = optim._muon_updates([torch.cat([q, 100 * k, v])])[0]
    assert torch.allclose(joined[:16], optim._muon_updates([q])[0], atol=1e-5)
    assert torch.allclose(joined[16:32], optim._muon_updates([k])[0], atol=1e-5)
