"""Reading and writing safetensors files with nothing but torch and numpy.

Layout: u64 little-endian header length, JSON header, raw little-endian tensor data in C order.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import torch

from ..errors import UserError
from . import file_kind

_DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000  # bytes, the format's own limit
_MAX_RANK = 32


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
            file.flush()
            with contextlib.suppress(OSError):  # some network shares cannot
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        if error.errno == errno.ENOSPC:
            raise UserError(f"{path}: the disk is full ({offset / 1e6:.0f} MB were to be written)") from error
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def looks_like_one(path: Path) -> bool:
    """Whether a file begins like safetensors: a length, then JSON."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER


def _header(path: Path) -> tuple[dict, int]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > _MAX_HEADER or not looks_like_one(path):
                raise UserError(f"{path}: not a safetensors file but {file_kind.describe(path)}")
            if length > size - 8:
                raise UserError(f"{path}: cut off (its header has {length} bytes, the file {size})")
            header = json.loads(file.read(length), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a safetensors file (its header is no proper JSON: {error})") from error
    if not isinstance(header, dict):
        raise UserError(f"{path}: not a safetensors file (its header is no dictionary)")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UserError(f"{path}: its metadata is not made of texts")
    return header, 8 + length


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' occurs twice")
    return values


def load_metadata(path: Path) -> dict[str, str]:
    """The string-to-string metadata of a file, without reading its tensors."""
    return _header(path)[0].get("__metadata__", {})


def rewrite_metadata(path: Path, changes: dict[str, str | None]) -> None:
    """Change or remove (None) metadata of a file; its tensors stay byte for byte as they are."""
    header, start = _header(path)
    metadata = {**header.pop("__metadata__", {}), **changes}
    text = json.dumps({"__metadata__": {k: v for k, v in metadata.items() if v is not None}, **header},
                      ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(len(text).to_bytes(8, "little") + text + path.read_bytes()[start:])
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def load(path: Path, mapped: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata; with `mapped` the data stays on disk until touched (do not write to it)."""
    header, start = _header(path)
    metadata = header.pop("__metadata__", {})
    data = np.memmap(path, dtype=np.uint8, mode="c")[start:] if path.stat().st_size > start \
        else np.empty(0, np.uint8)
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in header.items():
        dtype, shape, begin, end = _checked(path, name, entry, len(data))
        raw = torch.from_numpy(data[begin:end] if mapped else data[begin:end].copy())
        try:
            tensors[name] = (raw.view(dtype) if end > begin else torch.empty(0, dtype=dtype)).reshape(shape)
        except RuntimeError:  # a view needs an aligned start, which files do not promise
            tensors[name] = raw.clone().view(dtype).reshape(shape)
    return tensors, metadata


def _checked(path: Path, name: str, entry: object, size: int) -> tuple[torch.dtype, list[int], int, int]:
    """Type, shape, first and last byte of a tensor; refused when they do not fit each other or the file."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise UserError(f"{path}: tensor '{name}' is not described by dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise UserError(f"{path}: tensor '{name}' has the type {str(entry['dtype'])[:20]}, expected one of "
                        f"{', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2 or len(shape) > _MAX_RANK \
            or not all(type(n) is int and 0 <= n < 1 << 63 for n in (*shape, *offsets)):
        raise UserError(f"{path}: shape and data_offsets of tensor '{name}' are not whole numbers from 0")
    begin, end = offsets
    if begin > end or end - begin != math.prod(shape) * torch.empty(0, dtype=dtype).element_size():
        raise UserError(f"{path}: tensor '{name}' of shape {shape} does not fit its bytes {begin}..{end}")
    if end > size:
        raise UserError(f"{path}: tensor '{name}' ends at byte {end} of {size}; the file is cut off")
    return dtype, shape, begin, end


def settings_of(path: Path) -> str | None:
    """The metadata entry `settings` of a whole file; None, said aloud where it is damaged, when there is none."""
    if not path.exists():
        return None
    try:
        return load(path, mapped=True)[1].get("settings", "")
    except UserError as error:
        print(f"{error}; it is made again", flush=True)
        return None


def load_any(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Mapped tensors of one file, or of all shards that an index (`*.safetensors.index.json`) lists."""
    if not path.name.endswith(".index.json"):
        return load(path, mapped=True)
    tensors: dict[str, torch.Tensor] = {}
    metadata: dict[str, str] = {}
    places = _weight_map(path)
    for shard in sorted(set(places.values())):
        held, shard_metadata = load(path.parent / shard, mapped=True)
        metadata.update(shard_metadata)
        wrong = [name for name in held if places.get(name) != shard]
        if wrong:
            raise UserError(f"{path.parent / shard}: holds '{wrong[0]}', which the index {path.name} "
                            + (f"puts into {places[wrong[0]]}" if wrong[0] in places else "does not list"))
        tensors.update(held)
    missing = [name for name in places if name not in tensors]
    if missing:
        raise UserError(f"{path.parent / places[missing[0]]}: has no tensor '{missing[0]}', which the index "
                        f"{path.name} puts there")
    return tensors, metadata


def _weight_map(path: Path) -> dict[str, str]:
    """The file name of the shard of every tensor; names that lead out of the folder are refused."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not an index of shards ({error})") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise UserError(f"{path}: not an index of shards (it has no 'weight_map')")
    for name, shard in places.items():
        if not isinstance(shard, str) or not shard or Path(shard).name != shard or shard in (".", "..") \
                or "\\" in shard or "\0" in shard:
            raise UserError(f"{path}: the shard of '{name}' is {shard!r}, expected the name of a file next to the "
                            "index")
        if not (path.parent / shard).is_file():
            raise UserError(f"{path}: shard '{shard}' is missing; download it into {path.parent}")
    return places
