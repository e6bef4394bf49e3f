"""Any bytes as a checkpoint: data comes back or `Refused` is raised, and nothing of the file runs.

TESSERA_FUZZ_EXAMPLES=100000 looks for longer.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed (Debian: python3-hypothesis)")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tessera_training.files.torch_file import (  # noqa: E402
    Name,
    Placeholder,
    Record,
    Refused,
    Storage,
    TensorEntry,
    TorchFile,
    _Machine,
)

EXAMPLES = int(os.environ.get("TESSERA_FUZZ_EXAMPLES", "400"))
QUICK = settings(max_examples=EXAMPLES, deadline=None, derandomize="TESSERA_FUZZ_EXAMPLES" not in os.environ,
                 suppress_health_check=list(HealthCheck), database=None)
INERT = (int, float, str, bytes, bytearray, bool, type(None), dict, list, tuple, set, Name, Placeholder, Record, Storage,
         TensorEntry)


def _checkpoint() -> bytes:
    file = io.BytesIO()
    whole = torch.arange(12.).reshape(3, 4)
    torch.save({"model": OrderedDict(a=whole, b=whole.T, c=torch.zeros(2, dtype=torch.bfloat16)),
                "epoch": 3, "args": __import__("argparse").Namespace(lr=0.1, names=["x"])}, file)
    return file.getvalue()


CHECKPOINT = _checkpoint()
PICKLES = [zipfile.ZipFile(io.BytesIO(CHECKPOINT)).read("archive/data.pkl"),
           *(pickle.dumps({"a": [1, (2.5, None)], "b": {"c": {1, 2}, "d": b"x" * 300}, "e": print}, protocol)
             for protocol in range(6))]
# Every instruction of the pickle language, with arguments that mean something or not.
ARGUMENTS = {"decimalnl_short": b"7\n", "decimalnl_long": b"9L\n", "floatnl": b"1e9\n", "stringnl": b"'os'\n",
             "stringnl_noescape": b"os\n", "stringnl_noescape_pair": b"os\nsystem\n", "unicodestringnl": b"os\n",
             "uint1": b"\x02", "uint2": b"\x02\0", "int4": b"\x02\0\0\0", "uint4": b"\x02\0\0\0", "uint8": b"\x02" + bytes(7),
             "long1": b"\x01\x05", "long4": b"\x01\0\0\0\x05", "float8": bytes(8), "string1": b"\x02os", "string4":
             b"\x02\0\0\0os", "bytes1": b"\x02os", "bytes4": b"\x02\0\0\0os", "bytes8": b"\x02" + bytes(7) + b"os",
             "bytearray8": b"\x02" + bytes(7) + b"os", "unicodestring1": b"\x02os", "unicodestring4": b"\x02\0\0\0os",
             "unicodestring8": b"\x02" + bytes(7) + b"os"}
CODES = [code.code.encode("latin-1") + (ARGUMENTS[code.arg.name] if code.arg else b"") for code in pickletools.opcodes]
CODES += [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cargparse\nNamespace\n",
          b"ctorch\nFloatStorage\n", b"ctorch._tensor\n_rebuild_from_type_v2\n", b"X\x07\0\0\0storage", b"(", b"}", b"]", b")"]


def _check_inert(root: object) -> None:
    """Only values of ours and plain ones, however nested; every tensor lies in its storage."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        assert type(value) in INERT, type(value)
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value
        elif isinstance(value, Record):
            waiting.append(value.values)


def _run(data: bytes) -> None:
    modules = set(sys.modules)
    try:
        root = _Machine(data).run()
    except Refused as error:
        assert len(str(error)) < 5000 + len(data)
        return
    finally:
        assert not {name for name in set(sys.modules) - modules if not name.startswith("encodings")}
    _check_inert(root)


@QUICK
@given(st.lists(st.sampled_from(CODES), max_size=60))
def test_programs_of_instructions(codes: list[bytes]) -> None:
    _run(b"\x80\x02" + b"".join(codes) + b".")


@st.composite
def _mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["set", "cut", "insert", "copy", "huge"]))
        if kind == "set":
            data[at:at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del data[at:at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.one_of(st.sampled_from(CODES), st.binary(max_size=8)))
        elif kind == "copy":
            data[at:at] = data[:draw(st.integers(0, 60))]
        else:
            data[at:at + 4] = draw(st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", bytes(4)]))
    return bytes(data)


@QUICK
@given(_mutated(PICKLES))
def test_damaged_descriptions(data: bytes) -> None:
    _run(data)


@QUICK
@given(_mutated([CHECKPOINT]))
def test_damaged_files(data: bytes) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"tessera-fuzz-{os.getpid()}.pth"
    path.write_bytes(data)
    try:
        opened = TorchFile(path)
        _check_inert(opened.root)
        model = opened.root.get("model") if isinstance(opened.root, dict) else None
        for value in model.values() if isinstance(model, dict) else ():
            if isinstance(value, TensorEntry):
                assert opened.tensor(value).numel() <= 1 << 20
        opened.check_sums()
        opened.content()
    except Refused:
        pass
    finally:
        path.unlink(missing_ok=True)
