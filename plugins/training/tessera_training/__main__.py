"""Command line: `python -m tessera_training <command> ...`.

Commands beyond the built-in ones are modules with `add_arguments(parser)` and `run(arguments)`; they are
imported only when called.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from .errors import UserError

COMMANDS = {
    "train": "train all stages of a configuration, or some",
    "pack": "check the images and pack them into one file",
    "sample": "draw a sheet of samples from a run",
    "export": "write the model directory of a run",
    "convert": "turn published checkpoints into model files",
    "check": "compare PyTorch and the runtime on the same noise",
    "evaluate": "measure a model against held-out images",
    "limits": "how far a model file lets its settings go",
    "campaign": "write a folder for a few minutes of one GPU",
    "probe": "what a model's representations know of classes",
    "table1": "orders of tokens and losses, trained alike: MAR's Table 1, small",
    "presets": "time and quality of a model's sampling presets",
}

MODULES = {
    "campaign": "campaign",
    "check": "checks.check",
    "convert": "files.convert",
    "evaluate": "evaluation.evaluate",
    "limits": "evaluation.limits",
    "presets": "evaluation.presets",
    "probe": "evaluation.probe",
    "table1": "evaluation.table1",
}


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] not in COMMANDS:
        lines = "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
        print(f"usage: python -m tessera_training <command> ...\n{lines}")
        return 0 if given and given[0] in ("-h", "--help") else 2
    name = MODULES.get(given[0], "commands")
    module = importlib.import_module(f".{name}", __package__)
    parser = argparse.ArgumentParser(prog=f"python -m tessera_training {given[0]}", description=COMMANDS[given[0]])
    try:
        if name == "commands":
            module.add_arguments(parser, given[0])
            module.run(given[0], parser.parse_args(given[1:]))
        else:
            module.add_arguments(parser)
            return module.run(parser.parse_args(given[1:])) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads leave the cores to others
    sys.exit(main())
