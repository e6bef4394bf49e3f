"""Reading and writing safetensors files with nothing but torch and numpy.

Layout: u64 little-endian header length, JSON header, raw little-endian tensor data in C order.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import numpy as np
import torch

from .errors import UserError

_DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_HEADER = 100 << 20


def _raw(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _converted(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`tensor` in `dtype`; values that are not finite there are refused."""
    value = tensor.detach().to(dtype)
    if not bool(torch.isfinite(value).all()):
        raise UserError(f"tensor '{name}' holds values that are not finite in {_NAMES[dtype]}; nothing was written")
    return value


def save(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None,
         dtype: torch.dtype | None = None) -> None:
    """Write `tensors` to `path`; the file appears only once it is complete.

    With `dtype`, floating-point tensors are converted to it one after the other while writing.
    """
    types = {name: dtype if dtype and tensor.is_floating_point() else tensor.dtype for name, tensor in tensors.items()}
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * torch.empty(0, dtype=types[name]).element_size()
        header[name] = {"dtype": _NAMES[types[name]], "shape": list(tensor.shape),
                        "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name, tensor in tensors.items():
                converts = dtype is not None and tensor.is_floating_point()
                file.write(_raw(_converted(name, tensor, types[name]) if converts else tensor))
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        if error.errno == errno.ENOSPC:
            raise UserError(f"{path}: the disk is full ({offset / 1e6:.0f} MB were to be written)") from error
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def _header(path: Path) -> tuple[dict, int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_MAX_HEADER, size - 8):
            raise UserError(f"{path}: not a safetensors file (header of {length} bytes, file of {size})")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise UserError(f"{path}: not a safetensors file (header is not JSON: {error})") from error
    return header, 8 + length


def load_metadata(path: Path) -> dict[str, str]:
    """The string-to-string metadata of a file, without reading its tensors."""
    return _header(path)[0].get("__metadata__", {})


def load(path: Path, mapped: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata; with `mapped` the data stays on disk until touched (do not write to it)."""
    header, start = _header(path)
    metadata = header.pop("__metadata__", {})
    data = np.memmap(path, dtype=np.uint8, mode="c")[start:] if path.stat().st_size > start \
        else np.empty(0, np.uint8)
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise UserError(f"{path}: tensor '{name}' has the unknown dtype {entry['dtype']}")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if not 0 <= begin <= end <= len(data) or end - begin != count * torch.empty(0, dtype=dtype).element_size():
            raise UserError(f"{path}: tensor '{name}' of shape {entry['shape']} does not fit its bytes {begin}..{end}")
        raw = torch.from_numpy(data[begin:end] if mapped else data[begin:end].copy())
        tensors[name] = (raw.view(dtype) if count else torch.empty(0, dtype=dtype)).reshape(entry["shape"])
    return tensors, metadata
