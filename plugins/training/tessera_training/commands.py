"""The built-in commands: train, pack, sample, export."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist

from . import config as configuration
from .errors import UserError
from .pipeline import STAGES, Run, run_stages


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("config", type=Path, help="TOML file, see configs/")
    parser.add_argument("--run-dir", type=Path, help="where checkpoints and curves go (default: from the file)")
    parser.add_argument("--data", type=Path, help="image folder instead of the configured one")
    parser.add_argument("--out", type=Path, help="model directory (or picture, for `sample`) instead of the configured")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: as PyTorch decides)")
    if command in ("export", "sample"):
        parser.add_argument("--columns", type=int, help="samples per class on the sheet")
    if command == "train":
        parser.add_argument("--minutes", type=float, help="time budget of all training stages together")
        parser.add_argument("--stage", action="append", choices=STAGES, help="only this stage; may be repeated")
        parser.add_argument("--restart", action="store_true", help="ignore checkpoints instead of resuming")
        parser.add_argument("--resume", action="store_true", help="resume from checkpoints (the default)")


def _load(arguments: argparse.Namespace) -> configuration.Config:
    import dataclasses
    config = configuration.load(arguments.config)
    if arguments.run_dir:
        config = dataclasses.replace(config, run_dir=str(arguments.run_dir.resolve()))
    if arguments.data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(arguments.data.resolve())))
    if arguments.out:
        config = dataclasses.replace(config, export=dataclasses.replace(config.export,
                                                                        path=str(arguments.out.resolve())))
    if getattr(arguments, "columns", None):
        config = dataclasses.replace(config, export=dataclasses.replace(config.export, columns=arguments.columns))
    return config


def run(command: str, arguments: argparse.Namespace) -> None:
    config = _load(arguments)
    if command == "train":
        _join_processes()
        try:
            run_stages(config, arguments.stage or list(STAGES), arguments)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
        return
    job = Run(config, threads=arguments.threads)
    if command == "pack":
        job.pack()
    elif command == "export":
        from .files.export import export_model
        if not config.export.path:
            raise UserError("export: no model directory (export.path in the configuration, or --out)")
        export_model(job, Path(config.export.path))
    else:
        images = job.pack()
        if config.texture_training.minutes or config.texture_training.steps:
            job.texture_sheet(job.texture(images)[0], arguments.out or job.dir / "sheets" / "samples.png",
                              config.export.columns)
            return
        model, _ = job.generator(len(images.classes))
        job.sample_sheet(model, job.tokenizer(), job.latents(), images.classes,
                         arguments.out or job.dir / "sheets" / "samples.png", config.export.columns)


def _join_processes() -> None:
    """Under torchrun, join the process group (one process per GPU or, with gloo, per core group)."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
