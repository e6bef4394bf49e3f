"""How far a model file lets its settings go, written into it: `python -m tessera_training limits`.

`tokens` bounds the clean tokens that the sampler estimates; any other name is a parameter of the
generator, whose range becomes the one given. The weights stay byte for byte as they are.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from ..errors import UserError
from ..files import safetensors_io


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="generator.safetensors; rewritten in place")
    parser.add_argument("limits", nargs="*", metavar="NAME=LOW:HIGH",
                        help="tokens=-6:6, guidance=0:10, ...; NAME= takes one out; none shows what is there")


def read_limits(texts: list[str]) -> dict[str, list[float] | None]:
    limits: dict[str, list[float] | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        ends = value.split(":")
        try:
            numbers = [float(end) for end in ends] if value else None
        except ValueError:
            numbers = []
        if not name or not equals or (numbers is not None and not (
                len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] < numbers[1])):
            raise UserError(f"'{text}': expected NAME=LOW:HIGH with LOW below HIGH, or NAME= to take one out")
        limits[name] = numbers
    return limits


def run(arguments: argparse.Namespace) -> None:
    changes = read_limits(arguments.limits)
    limits = json.loads(safetensors_io.load_metadata(arguments.file).get("limits", "{}"))
    for name, value in changes.items():
        limits.pop(name, None)
        if value is not None:
            limits[name] = value
    if changes:
        safetensors_io.rewrite_metadata(arguments.file, {"limits": json.dumps(limits) if limits else None})
    for name, (low, high) in limits.items():
        print(f"{name}: {low:g} to {high:g}")
