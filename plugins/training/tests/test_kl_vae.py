"""The KL autoencoder against recorded runs of the official code, and the whole way from tokens to bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import assert_close, load, top

from tessera_training.files import safetensors_io
from tessera_training.networks.kl_vae import KlVae, KlVaeConfig
from tessera_training.pictures.pixels import to_bytes

LIMIT = 3e-5  # absolute


def _load_vae(path: Path) -> KlVae:
    tensors, metadata = safetensors_io.load(path)
    vae = KlVae(KlVaeConfig.from_json(metadata["config"]))
    vae.load_state_dict(tensors)
    return vae.eval()


@pytest.fixture
def vae(fixtures: Path) -> KlVae:
    return _load_vae(fixtures / "klvae_tiny" / "weights.safetensors")


@torch.no_grad()
def test_encode_and_decode(vae: KlVae, fixtures: Path) -> None:
    tensors, _ = load(fixtures / "klvae_tiny" / "encode_decode.safetensors")
    assert_close(vae.moments(tensors["image"]), tensors["moments"], LIMIT, "moments")
    mean, logvar = vae.encode(tensors["image"])
    assert_close(mean, tensors["mean"], LIMIT, "mean")
    assert_close(logvar, tensors["logvar"], LIMIT, "logvar")
    sampled = mean + (logvar / 2).exp() * tensors["sample_noise"]
    assert_close(sampled, tensors["sample"], LIMIT, "sample")
    assert_close(vae.decode(tensors["z"]), tensors["decoded"], LIMIT, "decoded")


@torch.no_grad()
def test_latents_to_bytes(vae: KlVae, fixtures: Path) -> None:
    tensors, metadata = load(fixtures / "e2e_tiny" / "e2e.safetensors")
    assert_close(tensors["latents"] / float(metadata["latent_scale"]), tensors["decoder_input"], 1e-6, "decoder_input")
    image = vae.decode(tensors["decoder_input"])
    assert_close(image, tensors["decoded"], LIMIT * max(1.0, top(tensors["decoded"])), "decoded")
    assert torch.equal(to_bytes(tensors["decoded"]), tensors["rgb8_round_half_even"])


def test_kl16_is_the_default_configuration(fixtures: Path) -> None:
    lines = (fixtures / "state_dicts" / "kl16_state_dict.txt").read_text().splitlines()
    expected = {name: shape for name, shape, _ in (line.split() for line in lines if not line.startswith("#"))}
    actual = {name: "x".join(map(str, value.shape)) for name, value in KlVae(KlVaeConfig()).state_dict().items()}
    assert actual == expected
