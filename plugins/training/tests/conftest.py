"""Common to all tests: the package on the path, few threads, and the numeric fixtures where they exist."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PACKAGE))
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

_REPOSITORY = PACKAGE.parents[1]


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of golden tensors recorded from the official code; tests that need it are skipped without."""
    folder = Path(os.environ.get("TESSERA_FIXTURES_DIR", _REPOSITORY.parent / "shared" / "fixtures"))
    if not (folder / "mar_tiny" / "weights.safetensors").is_file():
        pytest.skip(f"numeric fixtures not found in '{folder}'")
    return folder
