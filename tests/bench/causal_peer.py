"""The PyTorch side of bench_causal: times a cached loop over all tokens of an image, on the request `cached`.

Guidance is on: every pass has two rows, as in the runtime.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "training"))

from tessera_training.networks.causal import Cache, CausalConfig, CausalMar, inputs, orders_of  # noqa: E402


def cached(model: CausalMar) -> float:
    config = model.config
    order = orders_of(config, 2, torch.Generator())
    tokens = torch.full((2, config.tokens, config.token_width), 0.4)
    classes = model.class_vector(None, 2)
    start = time.perf_counter()
    cache = Cache(model, 2)
    for i in range(config.tokens):
        cache.step(inputs(model, classes, order, tokens, i))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--config", required=True, help="of the model, as in its metadata")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")  # nothing else may write there
    os.dup2(2, 1)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = CausalMar(CausalConfig.from_json(arguments.config)).eval()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", file=answers, flush=True)
    with torch.inference_mode():
        for _ in sys.stdin:
            print(f"{cached(model):.9f}", file=answers, flush=True)


if __name__ == "__main__":
    main()
