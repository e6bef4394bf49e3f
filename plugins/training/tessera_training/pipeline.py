"""The stages of a training run, each skipped once done.

`pack`, `texture` and `export` make a texture model; `pack`, `pixels` and `export` one on patches of pixels. A
configuration with a tokenizer and a MAR generator has the stages `tokenizer` and `generator` between `pack` and
`export`.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from . import pixel_models
from .config import Config, TrainConfig
from .errors import UserError
from .evaluation import sheets
from .files import checkpoint, export, model_dir, safetensors_io, texture_file
from .files.texture_file import TextureModel
from .networks import causal, codes, style
from .networks.causal import CausalConfig, CausalMar
from .networks.mar import Mar, MarConfig, SampleSettings, sample, seeded_noise
from .networks.style import Bank
from .networks.texture import Texture, Trunk
from .networks.texture_mar import TextureMar
from .networks.tokenizer import TextureVae
from .networks.vq_vae import VqVae, VqVaeConfig
from .objectives.mar import MarObjective
from .objectives.mar_causal import MarCausalObjective
from .objectives.mar_ce import MarCeObjective
from .objectives.texture import TextureObjective, balanced
from .objectives.texture_mar import TextureMarObjective
from .objectives.tokenizer import TokenizerObjective, test_psnr
from .objectives.vq_tokenizer import VqTokenizerObjective
from .pictures import latents
from .pictures.data import ImagePack, pack
from .pictures.latents import LatentPack
from .trainer import Hook, Trainer

STAGES = ("pack", "texture", "tokenizer", "generator", "pixels", "export")
OBJECTIVES = {"mar": MarObjective, "mar_causal": MarCausalObjective, "mar_ce": MarCeObjective}  # and further ones


def vq_config(config: Config) -> VqVaeConfig:
    """The tokenizer with a codebook, without attention."""
    return VqVaeConfig(**dataclasses.asdict(config.vq), resolution=config.data.size, encoder_attn_resolutions=(),
                       decoder_attn_resolutions=())


def generator_config(config: Config, classes: int, latent_scale: float = 1.0) -> MarConfig | CausalConfig:
    """The generator's shape: the configured part and what follows from data and tokenizer."""
    chosen, kind = config.generator, CausalConfig if config.generator.variant else MarConfig
    expected = "mar_causal" if chosen.variant else "mar"
    if chosen.objective not in (expected, "mar_ce"):
        raise UserError(f"generator.objective = '{chosen.objective}': expected '{expected}' or 'mar_ce' with "
                        f"generator.variant = '{chosen.variant}'")
    entries = config.vq.n_embed or chosen.codes
    if (chosen.objective == "mar_ce") > (entries > 0):
        raise UserError("generator.objective = 'mar_ce' needs a codebook: set vq.n_embed, or generator.codes")
    tokenizer = vq_config(config) if config.vq.n_embed else config.tokenizer
    shared = {name: getattr(chosen, name) for name in kind.__dataclass_fields__ if hasattr(chosen, name)}
    return kind(img_size=config.data.size, vae_stride=tokenizer.stride, vae_embed_dim=tokenizer.latent_channels,
                class_num=classes, latent_scale=latent_scale,
                codebook=entries if chosen.objective == "mar_ce" else 0, **shared)


class Run:
    """One run directory and what its files hold."""

    def __init__(self, config: Config, resume: bool = True, threads: int = 0) -> None:
        self.config, self.resume = config, resume
        self.dir = Path(config.run_dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        if threads:
            torch.set_num_threads(threads)
        self.rank = dist.get_rank() if dist.is_initialized() else 0

    def pack(self) -> ImagePack:
        """The packed images, written first if they are missing or were packed with other settings."""
        path = self.dir / "pack.safetensors"
        if self.rank == 0:
            if safetensors_io.settings_of(path) != self.config.data.fingerprint():
                pack(self.config.data, path)
        self._wait()
        return ImagePack(path, self.config.data)

    def tokenizer(self) -> TextureVae | VqVae:
        """The trained tokenizer, or the given one."""
        given = self.given_tokenizer()
        if given:
            return self._read_tokenizer(given)
        path = self.dir / "tokenizer.checkpoint.pt"
        if not checkpoint.exists(path):
            raise UserError(f"{self.dir}: no trained tokenizer yet (stage 'tokenizer')")
        vae = self._new_tokenizer()
        with checkpoint.same_shapes(path):
            vae.load_state_dict({name[4:]: value for name, value in checkpoint.read(path)["ema"].items()})
        return vae.eval()

    def given_tokenizer(self) -> Path | None:
        """The file of a tokenizer that is taken as it is."""
        train = self.config.tokenizer_training
        return Path(train.start) if train.start else None

    def _read_tokenizer(self, path: Path) -> TextureVae:
        vae, chosen = model_dir.load_tokenizer(path), self.config.tokenizer
        if not isinstance(vae, TextureVae) or (vae.config.stride, vae.config.latent_channels) != (
                chosen.stride, chosen.latent_channels):
            raise UserError(f"tokenizer_training.start = '{path}': expected a tokenizer of this trainer with the stride "
                            f"{chosen.stride} and the {chosen.latent_channels} latent_channels of [tokenizer]")
        return vae

    def _new_tokenizer(self) -> TextureVae | VqVae:
        return VqVae(vq_config(self.config)) if self.config.vq.n_embed else TextureVae(self.config.tokenizer)

    def generator(self, classes: int) -> tuple[Mar | CausalMar, dict]:
        """The generator with averaged parameters, and its checkpoint."""
        path = self.dir / "generator.checkpoint.pt"
        if not checkpoint.exists(path):
            raise UserError(f"{self.dir}: no trained generator yet (stage 'generator')")
        state = checkpoint.read(path)
        model = self._new_generator(classes, self.latents())
        with checkpoint.same_shapes(path):
            averages = {name[6:]: value for name, value in state["ema"].items()}
            model.load_state_dict({**dict(model.named_buffers()), **averages})
        return model.eval(), state

    def _new_generator(self, classes: int, encoded: LatentPack) -> Mar | CausalMar:
        vq = bool(self.config.vq.n_embed)
        scale = 1 / float(encoded.channel_std[0]) if vq else 1.0  # else the tokenizer takes it up
        shape = generator_config(self.config, classes, scale)
        dropout = self.config.generator.dropout
        model = CausalMar(shape, dropout) if isinstance(shape, CausalConfig) else Mar(shape, dropout)
        if shape.codebook:
            vae = self.tokenizer()
            model.codebook.copy_(vae.quantize.embedding.weight.detach() * scale if isinstance(vae, VqVae)
                                 else self._found_codes(encoded, shape.codebook))
        return model

    def _found_codes(self, encoded: LatentPack, count: int) -> torch.Tensor:
        """Entries [count,C] found among the latents, once."""
        path = self.dir / "codebook.safetensors"
        if self.rank == 0 and not path.exists():
            found = codes.k_means(encoded.plain_rows(), count, torch.Generator().manual_seed(self.config.seed))
            safetensors_io.save(path, {"codebook": found}, {})
        self._wait()
        kept = safetensors_io.load(path)[0]["codebook"]
        if len(kept) != count:
            raise UserError(f"{path}: {len(kept)} entries, expected generator.codes = {count}; remove it to search again")
        return kept

    def latents(self) -> LatentPack:
        """The encoded images, written first if they are missing or older than the tokenizer."""
        path, source = self.dir / "latents.safetensors", self.dir / "tokenizer.checkpoint.pt"
        source = self.given_tokenizer() or (source if source.exists() else checkpoint.previous(source))
        if self.rank == 0 and (safetensors_io.settings_of(path) is None
                               or path.stat().st_mtime < source.stat().st_mtime):
            images = self.pack()
            ids = images.ids("train")
            if self.config.generator.tileable_only:
                ids = ids[images.tileable[ids]]
            latents.encode_pack(self.tokenizer(), images, ids, self.config.generator.latent_versions,
                                self.config.seed, path)
        self._wait()
        return LatentPack(path, "as is" if self.given_tokenizer() else "one" if self.config.vq.n_embed else "channels")

    def styles(self, images: ImagePack) -> tuple[Bank, torch.Tensor]:
        """The bank of styles of the training images, and the range of their tokens.

        A training that starts from a model keeps the scale of that model's styles.
        """
        path, size = self.dir / "styles.safetensors", self.config.texture_loss.sizes[-1]
        source = str([self.config.data.fingerprint(), size, self.config.texture_training.start])
        if self.rank == 0 and not (path.exists() and safetensors_io.load_metadata(path).get("source") == source):
            ids = self.texture_ids(images)
            start = self._start()
            scale = (start.bank.mean, start.bank.deviation) if start else None
            bank, limit = style.measure(lambda part: images.plain(part, size), ids, images.labels[ids],
                                        len(images.classes), scale)
            safetensors_io.save(path, {"styles": bank.styles, "counts": torch.tensor(bank.counts), "mean": bank.mean,
                                       "deviation": bank.deviation, "limit": limit}, {"source": source})
        self._wait()
        kept = safetensors_io.load(path)[0]
        return Bank(kept["styles"], kept["counts"].tolist(), kept["mean"], kept["deviation"]), kept["limit"]

    def texture_ids(self, images: ImagePack) -> torch.Tensor:
        """The training images that tile."""
        ids = images.ids("train")
        ids = ids[images.tileable[ids]]
        if not len(ids):
            raise UserError("a texture model learns from images that repeat without a seam, and none does; set "
                            "data.tileable or data.make_seamless")
        return ids

    def _start(self) -> TextureModel | None:
        start = self.config.texture_training.start
        return texture_file.load(Path(start)) if start else None

    def texture(self, images: ImagePack) -> tuple[TextureModel, dict]:
        """The texture model with averaged parameters, and its checkpoint."""
        path = self.dir / "texture.checkpoint.pt"
        if not checkpoint.exists(path):
            raise UserError(f"{self.dir}: no trained texture model yet (stage 'texture')")
        state = checkpoint.read(path)
        model = self._texture_model(images, self._trunk(images))
        with checkpoint.same_shapes(path):
            model.trunk.load_state_dict({name[6:]: value for name, value in state["ema"].items()})
        model.trunk.eval()
        return model, state

    def _trunk(self, images: ImagePack) -> Trunk:
        return texture_file.build(dataclasses.replace(self.config.texture, classes=len(images.classes)))

    def _texture_model(self, images: ImagePack, trunk: Trunk) -> TextureModel:
        return TextureModel(trunk, *self.styles(images), images.classes, self.config.export.texture)

    def train_texture(self, train: TrainConfig) -> None:
        images = self.pack()
        torch.manual_seed(self.config.seed)
        model = self._texture_model(images, self._trunk(images))
        started = self._start()
        if started:
            if started.classes != images.classes:
                raise UserError(f"{train.start}: a model of other classes than the data")
            with checkpoint.same_shapes(Path(train.start)):
                if isinstance(model.trunk, TextureMar) and isinstance(started.trunk, Texture):
                    model.trunk.start_from(started.trunk)
                else:
                    model.trunk.load_state_dict(started.trunk.state_dict())
        kind = TextureMarObjective if isinstance(model.trunk, TextureMar) else TextureObjective
        objective = kind(model.trunk, images, model.bank, self.config.texture_loss)
        ids = balanced(self.texture_ids(images), images.labels, self.config.texture_loss.balance)
        self._train("texture", objective, ids, train, lambda _: self.texture_sheet(
            model, self.dir / "sheets" / f"texture-{time.strftime('%H%M%S')}.png"))

    def texture_sheet(self, model: TextureModel, path: Path, columns: int = 4) -> None:
        """One row of samples per class, with the default settings and the size of the bank's pictures."""
        labels = torch.arange(len(model.classes)).repeat_interleave(columns)
        images = torch.cat([model.images(part, self.config.seed + number, size=self.config.texture_loss.sizes[-1])
                            for number, part in enumerate(labels.split(32))])
        sheets.save_classes(path, images, model.classes)
        print(f"wrote {path}", flush=True)

    def _pixel_model(self, images: ImagePack) -> Any:
        kind = pixel_models.kind_of(self.config.pixels.objective)
        classes = len(images.classes) if self.config.pixels.classes else 0
        shape, size = getattr(self.config, self.config.pixels.objective), self.config.data.size
        if self.given_tokenizer():
            if kind.on_latents is None:
                raise UserError(f"pixels.objective = '{self.config.pixels.objective}' knows no latents: leave out "
                                "tokenizer_training.start")
            tokenizer = self.config.tokenizer
            shape, size = kind.on_latents(shape, tokenizer.latent_channels, tokenizer.stride), size // tokenizer.stride
        return kind.build(kind.configure(shape, size, classes))

    def pixels(self, images: ImagePack) -> tuple[Any, dict]:
        """The model on patches of pixels with averaged parameters, and its checkpoint."""
        path = self.dir / "pixels.checkpoint.pt"
        if not checkpoint.exists(path):
            raise UserError(f"{self.dir}: no trained model on pixels yet (stage 'pixels')")
        state, model = checkpoint.read(path), self._pixel_model(images)
        with checkpoint.same_shapes(path):
            model.load_state_dict({name[6:]: value for name, value in state["ema"].items()}, strict=False)
        return model.eval(), state

    def train_pixels(self, train: TrainConfig) -> None:
        images = self.pack()
        torch.manual_seed(self.config.seed)
        model = self._pixel_model(images)
        kind, drop = pixel_models.kind_of(self.config.pixels.objective), self.config.pixels.label_drop_prob
        if self.given_tokenizer():
            encoded = self.latents()
            self._train("pixels", kind.objective(model, encoded, drop), torch.arange(len(encoded)), train, lambda _: None)
            return
        self._train("pixels", kind.objective(model, images, drop), images.ids("train"), train,
                    lambda _: self._show_redrawn(kind, model, images))

    def _show_redrawn(self, kind: pixel_models.Kind, model: Any, images: ImagePack) -> None:
        ids = images.ids("test") if len(images.ids("test")) else images.ids("train")
        shown = images.plain(ids[:: max(1, len(ids) // 16)][:16])
        sheets.save(self.dir / "sheets" / f"pixels-{time.strftime('%H%M%S')}.png",
                    torch.stack([shown, kind.redraw(model, shown)], 1).flatten(0, 1), 8)

    def train_tokenizer(self, train: TrainConfig) -> None:
        images = self.pack()
        torch.manual_seed(self.config.seed)
        vae = self._new_tokenizer()
        ids = images.ids("train")
        if isinstance(vae, VqVae):
            vae.start_from(images.plain(ids[::max(1, len(ids) // 64)]),
                           torch.Generator().manual_seed(self.config.seed))
            objective: torch.nn.Module = VqTokenizerObjective(vae, images, train)
            linear = None
        else:
            vae.start_from_pca(images.plain(ids[::4]))
            objective, linear = TokenizerObjective(vae, images, train), test_psnr(vae, images)
        self._train("tokenizer", objective, ids, train,
                    lambda _: self._show_reconstructions("tokenizer", vae, images, linear))

    def train_generator(self, train: TrainConfig) -> None:
        images, encoded, vae = self.pack(), self.latents(), self.tokenizer()
        torch.manual_seed(self.config.seed)
        model = self._new_generator(len(images.classes), encoded)
        if self.config.generator.torus_positions and isinstance(model, Mar):
            model.start_positions_on_torus(torch.Generator().manual_seed(self.config.seed))
        kind = OBJECTIVES.get(self.config.generator.objective)
        if kind is None:
            raise UserError(f"generator.objective = '{self.config.generator.objective}': "
                            f"expected one of {', '.join(OBJECTIVES)}")
        self._train("generator", kind(model, encoded, self.config.generator), torch.arange(len(encoded)), train,
                    lambda _: self.sample_sheet(model, vae, encoded, images.classes,
                                                self.dir / "sheets" / f"generator-{time.strftime('%H%M%S')}.png"))

    def sample_sheet(self, model: Mar | CausalMar, vae: TextureVae | VqVae, encoded: LatentPack, classes: list[str],
                     path: Path, columns: int = 4) -> None:
        """One row of samples per class (at most 32 classes), with the default settings."""
        names = classes[:32]
        labels = torch.arange(len(names)).repeat_interleave(columns)
        generator = torch.Generator().manual_seed(self.config.seed)
        chosen = self.config.export.defaults
        settings = SampleSettings(chosen.steps, chosen.guidance, chosen.guidance_schedule, chosen.temperature,
                                  chosen.denoise_steps)
        noise = seeded_noise(self.config.seed, model.config.token_width)
        if isinstance(model, CausalMar):
            order = causal.orders_of(model.config, len(labels), generator)
            z = causal.sample(model, labels, order, settings, noise)
        else:
            orders = torch.rand(len(labels), model.config.tokens, generator=generator).argsort(1)
            z = sample(model, labels, orders, settings, noise)
        with torch.no_grad():
            sheets.save_classes(path, vae.decode(encoded.restore(z)), names)
        print(f"wrote {path}", flush=True)

    def _show_reconstructions(self, stage: str, vae: TextureVae | VqVae, images: ImagePack, linear: float | None) -> None:
        ids = images.ids("test")
        ids = (ids if len(ids) else images.ids("train"))[:: max(1, len(ids) // 16)][:16]
        shown = images.plain(ids)
        out = vae.decode(vae.encode(shown)[0])
        sheets.save(self.dir / "sheets" / f"{stage}-{time.strftime('%H%M%S')}.png",
                    torch.stack([shown, out], 1).flatten(0, 1), 8)
        if len(images.ids("test")):
            note = f" (linear baseline {linear:.2f} dB)" if linear else ""
            print(f"{stage}: test PSNR {test_psnr(vae, images):.2f} dB{note}", flush=True)

    def _train(self, stage: str, objective: torch.nn.Module, ids: torch.Tensor, train: TrainConfig, show: Hook) -> None:
        trainer = Trainer(stage, objective, ids, train, self.config.seed, self.dir, show)
        if self.resume and trainer.resume():
            print(f"{stage}: continuing after step {trainer.step}", flush=True)
        trainer.run()

    def _wait(self) -> None:
        if dist.is_initialized():
            dist.barrier()


def budget(train: TrainConfig, minutes: float | None) -> TrainConfig:
    return dataclasses.replace(train, minutes=minutes, steps=0) if minutes else train


def run_stages(config: Config, stages: list[str], arguments: argparse.Namespace) -> None:
    """Run `stages`; `--minutes` is shared in the proportion of the configured budgets when several train."""
    run = Run(config, not arguments.restart, arguments.threads)
    training = {"texture": config.texture_training, "tokenizer": config.tokenizer_training,
                "generator": config.generator_training, "pixels": config.pixels_training}
    chosen = {name: train for name, train in training.items() if name in stages and (train.minutes or train.steps)}
    total = sum(train.minutes for train in chosen.values())
    for stage in stages:
        if stage == "pack":
            run.pack()
        elif stage == "export":
            if run.rank == 0 and config.export.path:
                export.export_model(run, Path(config.export.path))
        elif stage in chosen:
            train = chosen[stage]
            share = train.minutes / total if total else 1 / len(chosen)
            minutes = arguments.minutes * share if arguments.minutes else None
            getattr(run, f"train_{stage}")(budget(train, minutes))
