"""Reading PyTorch checkpoint files as data: no object of the pickle is ever created and no code of it ever run.

A checkpoint is a zip file whose `<folder>/data.pkl` describes the tensors and whose `<folder>/data/<key>` members
hold their bytes, uncompressed. The pickle is read by a small machine that knows containers, numbers, texts and
the few names PyTorch writes for tensors. Any other name, and whatever is called or made with it, becomes a
`Placeholder`: optimizers, configurations and loggers saved next to the weights are no obstacle, and whoever wants
a tensor and finds a placeholder refuses it. Tensor bytes stay in the mapped file until used, so a file of many
gigabytes needs no memory of its own.

PyTorch's own `weights_only` loader refuses the Namespace that training scripts save next to the weights and reads
all tensors at once; it serves here for the old format from before PyTorch 1.6, which is not a zip file.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import UserError
from . import file_kind

_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}
_ZIP_ERRORS = (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError, OverflowError,
               struct.error, IndexError, KeyError, zlib.error)  # all that damaged files make `zipfile` raise
_MAX_RANK = 64
_MAX_PICKLE = 256 << 20  # bytes of description; real checkpoints have well below one megabyte


class Refused(UserError):
    """The file asks for something other than tensors and plain containers, or does not make sense."""


@dataclass(frozen=True)
class Name:
    """A class or function the pickle mentions by name."""

    text: str


@dataclass(eq=False)
class Placeholder:
    """Something of another library, or made by one: its name is all that is known, and it does nothing."""

    text: str


@dataclass
class Record:
    """An object of which only the attributes are known (an argparse Namespace)."""

    name: str
    values: dict


@dataclass(frozen=True)
class Storage:
    """The bytes of one or several tensors: a member of the zip file."""

    dtype: torch.dtype
    key: str
    elements: int


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies in its storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) > _MAX_RANK or len(self.shape) != len(self.strides) \
                or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
            shown = [n if type(n) is int else type(n).__name__ for n in numbers[:8]]
            raise Refused(f"a tensor of {len(self.shape)} dimensions and {len(self.strides)} strides has offset, shape "
                          f"and strides {shown}")
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides))
        count = math.prod(self.shape)
        if count and (last >= self.storage.elements or count > self.storage.elements):
            raise Refused(f"a tensor of shape {self.shape} reaches beyond the {self.storage.elements} elements of "
                          f"storage '{self.storage.key}'")


_MARK = object()


class _Machine:
    """Executes the opcodes of a pickle on a stack of inert values."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        try:
            for opcode, argument, _ in pickletools.genops(io.BytesIO(self.data)):
                if opcode.name == "STOP":
                    return self.pop()
                self.step(opcode.name, argument)
        except Refused:
            raise
        except (ValueError, IndexError, KeyError, TypeError, struct.error, UnicodeDecodeError) as error:
            raise Refused(f"the description of the tensors is damaged ({error or type(error).__name__})") from error
        raise Refused("the description of the tensors has no end")

    def pop(self) -> object:
        value = self.stack.pop()
        if value is _MARK:
            raise Refused("the description of the tensors is damaged (a mark where a value belongs)")
        return value

    def pop_to_mark(self) -> list:
        values: list = []
        while self.stack[-1] is not _MARK:
            values.append(self.stack.pop())
        self.stack.pop()
        return values[::-1]

    def step(self, name: str, argument: object) -> None:
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            values = [self.pop() for _ in range(count)][::-1]
            self.stack.append(tuple(values))
        elif name in _HANDLERS:
            _HANDLERS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"the file uses the pickle instruction {name}, which tensors do not need")

    def put(self, argument: object) -> None:
        self.memo[argument if isinstance(argument, int) else len(self.memo)] = self.stack[-1]

    def get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def name(self, argument: str) -> None:
        self.stack.append(Name(argument))

    def stack_name(self, _: object) -> None:
        attribute, module = self.pop(), self.pop()
        if not isinstance(attribute, str) or not isinstance(module, str):
            raise Refused("the file names a function by something other than text")
        self.name(f"{module} {attribute}")

    def set_items(self, values: list) -> None:
        target = self.stack[-1]
        if len(values) % 2 or not isinstance(target, (dict, Placeholder)):
            raise Refused("the description of the tensors is damaged (items for something that is no dictionary)")
        if isinstance(target, dict):
            target.update(zip(map(_plain_key, values[::2]), values[1::2]))

    def dictionary(self, _: object) -> None:
        values = self.pop_to_mark()
        self.stack.append({})
        self.set_items(values)

    def set_item(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def extend(self, values: list) -> None:
        target = self.stack[-1]
        if isinstance(target, set):
            target.update(map(_plain_key, values))
        elif isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Placeholder):
            raise Refused("the description of the tensors is damaged (elements for something that is no list)")

    def call(self, _: object) -> None:
        arguments, callee = self.pop(), self.pop()
        self.make(callee, arguments)

    def call_with_keywords(self, _: object) -> None:
        self.pop()
        self.call(None)

    def call_marked(self, _: object) -> None:
        callee, *arguments = self.pop_to_mark()
        self.make(callee, tuple(arguments))

    def instance(self, argument: str) -> None:
        self.make(Name(argument), tuple(self.pop_to_mark()))

    def make(self, callee: object, arguments: object) -> None:
        if not isinstance(arguments, tuple):
            raise Refused("the description of the tensors is damaged (a call without arguments)")
        if not isinstance(callee, (Name, Placeholder)):
            raise Refused(f"the file calls a {type(callee).__name__}")
        self.stack.append(_call(callee.text, arguments) if isinstance(callee, Name) else callee)

    def build(self, _: object) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Record) and isinstance(state, dict):
            target.values.update(state)
        elif not isinstance(target, (dict, Placeholder)):  # an OrderedDict's attributes (`_metadata`) are not needed
            raise Refused(f"the file sets attributes of a {type(target).__name__}")

    def persistent(self, _: object) -> None:
        values = self.pop()
        if not (isinstance(values, tuple) and len(values) == 5 and values[0] == "storage"
                and isinstance(values[1], Name) and isinstance(values[2], str) and type(values[4]) is int):
            raise Refused("the file refers to an outside object that is no storage")
        module, _space, name = values[1].text.partition(" ")
        known = module == "torch" and name in _DTYPES
        self.stack.append(Storage(_DTYPES[name], values[2], values[4]) if known
                          else Placeholder(_dotted(values[1].text)))


def _dotted(name: str) -> str:
    return name.replace(" ", ".")


def _plain_key(key: object) -> object:
    """Numbers and texts as they are; hashing anything else (deeply nested tuples) could exhaust the stack."""
    return key if key is None or isinstance(key, (str, int, float, bytes)) else Placeholder(type(key).__name__)


def _call(name: str, arguments: tuple) -> object:
    """What the few known functions would return, for any other a placeholder."""
    first = arguments[0] if arguments else None
    if name in _TENSORS:
        if isinstance(first, Placeholder):  # numbers of a kind that is not known here
            return first
        if name.startswith("torch._utils _rebuild_parameter"):
            if isinstance(first, TensorEntry):
                return first
        elif name == "torch._tensor _rebuild_from_type_v2":
            if len(arguments) == 4 and isinstance(first, Name) and isinstance(arguments[2], tuple) \
                    and first.text in _TENSORS and first.text != name:
                return _call(first.text, arguments[2])
        elif len(arguments) >= 4 and isinstance(first, Storage):
            return TensorEntry(first, arguments[1], tuple(arguments[2]), tuple(arguments[3]))
        raise Refused(f"the file calls {_dotted(name)} with {len(arguments)} unexpected argument(s)")
    if name in ("collections OrderedDict", "collections defaultdict"):
        given = arguments[0] if arguments and name.endswith("OrderedDict") else {}
        if isinstance(given, Placeholder):
            return given
        return {_plain_key(key): value for key, value in (given.items() if isinstance(given, dict) else given)}
    if name == "argparse Namespace":
        return Record(name, {})
    if name == "torch Size" and len(arguments) == 1:
        return tuple(arguments[0])
    return Placeholder(_dotted(name))


_TENSORS = {"torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
            "torch._utils _rebuild_parameter_with_state", "torch._tensor _rebuild_from_type_v2"}

_PUSHED = {"INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "STRING",
           "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BINBYTES",
           "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"}
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_DICT": dict,
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set, "MARK": lambda: _MARK}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_HANDLERS: dict[str, Callable] = {
    "PUT": _Machine.put, "BINPUT": _Machine.put, "LONG_BINPUT": _Machine.put, "MEMOIZE": _Machine.put,
    "GET": _Machine.get, "BINGET": _Machine.get, "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name, "STACK_GLOBAL": _Machine.stack_name,
    "POP": lambda machine, _: machine.pop(), "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": _Machine.dictionary, "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "FROZENSET": lambda machine, _: machine.stack.append(set(map(_plain_key, machine.pop_to_mark()))),
    "SETITEM": _Machine.set_item, "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "REDUCE": _Machine.call, "NEWOBJ": _Machine.call, "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.call_marked, "INST": _Machine.instance, "BUILD": _Machine.build, "BINPERSID": _Machine.persistent,
}


class TorchFile:
    """A checkpoint: `root` is its content with `TensorEntry` for tensors, `tensor` reads one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise
        except _ZIP_ERRORS as error:
            raise Refused(f"{path}: not a complete PyTorch zip file ({error}); was its download cut off?") from error
        names = [name for name in self._zip.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(names) != 1:
            raise Refused(f"{path}: no PyTorch checkpoint (a zip file with {len(names)} members named */data.pkl)")
        self._folder = names[0].rsplit("/", 1)[0]
        self._bytes = np.memmap(path, dtype=np.uint8, mode="c")  # writes would go to memory, never to the file
        order = f"{self._folder}/byteorder"
        if order in self._zip.namelist() and self._member(order).tobytes().strip() != b"little":
            raise Refused(f"{path}: written on a big-endian machine")
        try:
            description = self._member(names[0])
            if len(description) > _MAX_PICKLE:
                raise Refused(f"a description of {len(description)} bytes, at most {_MAX_PICKLE} expected")
            self.root = _Machine(description.tobytes()).run()
        except Refused as error:
            raise Refused(f"{path}: {error}") from error

    def _member(self, name: str) -> np.ndarray:
        """The bytes of a stored (uncompressed) member, still in the file."""
        try:
            info = self._zip.getinfo(name)
        except KeyError as error:
            raise Refused(f"{self.path}: member '{name}' is missing") from error
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refused(f"{self.path}: member '{name}' is compressed")
        head = self._bytes[info.header_offset:info.header_offset + 30].tobytes()
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            raise Refused(f"{self.path}: member '{name}' has no local header at byte {info.header_offset}")
        start = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
        if start + info.file_size > len(self._bytes):
            raise Refused(f"{self.path}: member '{name}' reaches beyond the end of the file")
        return self._bytes[start:start + info.file_size]

    def check_sums(self) -> None:
        """Reads the whole file; refuses one whose members are not as they were written."""
        try:
            damaged = self._zip.testzip()
        except _ZIP_ERRORS as error:
            raise Refused(f"{self.path}: not a complete PyTorch zip file ({error})") from error
        if damaged is not None:
            raise Refused(f"{self.path}: member '{damaged}' is damaged, its checksum is another")

    def content(self) -> object:
        """`root` with every tensor read into memory of its own."""
        known: dict[int, object] = {}  # what is mentioned often is read once

        def read(value: object) -> object:
            if id(value) not in known:
                if isinstance(value, TensorEntry):
                    known[id(value)] = self.tensor(value).clone()
                elif isinstance(value, dict):
                    known[id(value)] = {key: read(item) for key, item in value.items()}
                elif isinstance(value, (list, tuple)):
                    known[id(value)] = type(value)(read(item) for item in value)
                else:
                    return value
            return known[id(value)]
        try:
            return read(self.root)
        except RecursionError as error:
            raise Refused(f"{self.path}: its content is nested too deeply") from error

    def tensor(self, entry: TensorEntry) -> torch.Tensor:
        """The tensor, as a view of the mapped file where its alignment allows."""
        storage = entry.storage
        raw = self._member(f"{self._folder}/data/{storage.key}")
        size = torch.empty(0, dtype=storage.dtype).element_size()
        if len(raw) != storage.elements * size:
            raise Refused(f"{self.path}: storage '{storage.key}' has {len(raw)} bytes, "
                          f"{storage.elements} x {size} expected")
        if not raw.size:
            return torch.empty(entry.shape, dtype=storage.dtype)
        if raw.ctypes.data % size:
            raw = raw.copy()
        flat = torch.from_numpy(raw).view(storage.dtype)
        return flat.as_strided(entry.shape, entry.strides, entry.offset)


def open_checkpoint(path: Path) -> tuple[object, Callable[[object], torch.Tensor]]:
    """The content of a checkpoint file, and a function that turns its tensor entries into tensors."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if magic == b"PK\x03\x04":
        opened = TorchFile(path)
        return opened.root, opened.tensor  # type: ignore[return-value]
    if magic[:1] != b"\x80":  # with which every pickle of PyTorch begins
        raise Refused(f"{path}: not a PyTorch checkpoint but {file_kind.describe(path)}")
    return _open_old_format(path), lambda tensor: tensor  # type: ignore[return-value,arg-type]


def _open_old_format(path: Path) -> object:
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2] if part.isdigit())
    if version < (2, 6):  # earlier `weights_only` loaders could be made to run code
        raise Refused(f"{path}: not a zip file; the format from before PyTorch 1.6 needs PyTorch 2.6 or later here")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the loader raises, the file is what is wrong
        raise Refused(f"{path}: not a PyTorch checkpoint ({str(error).splitlines()[0]})") from error
