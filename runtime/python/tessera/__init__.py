"""Tessera's runtime: textures made by models, many at a time, next to whatever else a program does.

    with tessera.Runtime() as runtime:
        bark = runtime.model("materials").texture(seed=7, values={"class": "bark"})
        bark.wait()
        print(bark.pixels().shape)

Every call may be made from any thread. Only wait, poll and close wait, each with a timeout in seconds.
"""

from __future__ import annotations

import collections.abc
import ctypes
import itertools
import json
import operator
import os
import typing
from dataclasses import dataclass

from . import _library as c

if typing.TYPE_CHECKING:
    import numpy

__all__ = ["Backend", "Error", "Event", "Input", "Model", "ModelEntry", "ModelInfo", "Param", "Plugin", "Runtime",
           "Texture", "TextureInfo"]

READY, PICTURE, DONE, CANCELLED, FAILED, HUNG, EVICTED, RELOADED = range(1, 9)
_STATES = ("waiting", "running", "paused", "done", "cancelled", "failed")
_EVENTS = ("", "ready", "picture", "done", "cancelled", "failed", "hung", "evicted", "reloaded")
_MAPS = ("colour", "height", "normal", "orm", "occlusion", "roughness", "metallic")
_MODEL_STATES = ("loading", "ready", "evicted", "failed", "hung")
_ABILITIES = ("complete", "start", "style", "reconstruct", "encode", "extend")
_INPUT_TYPES = ("", "rgba8", "mask8", "f32")
_TYPES = ("", "int", "float", "bool", "choice", "text")
_DTYPES = {"uint8": 4, "float32": 1}

_c: typing.Optional[ctypes.CDLL] = None


class Error(Exception):
    """A status that is no OK, with the library's text: the thing, the value, what was expected."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = c.STATUS_NAMES.get(status, str(status))


def _lib() -> ctypes.CDLL:
    global _c
    if _c is None:
        _c = c.load()
    return _c


def _call(name: str, *arguments: object) -> None:
    status = getattr(_lib(), name)(*arguments)
    if status == c.OK:
        return
    text = ctypes.create_string_buffer(2048)
    _lib().tessera_last_error(text, len(text), None)
    raise Error(status, text.value.decode())


def _bytes(text: typing.Union[None, str, bytes, os.PathLike[str]]) -> typing.Optional[bytes]:
    """A text or a path for the library, which would take a zero for its end."""
    if text is None:
        return None
    given = os.fspath(text)
    data = given if isinstance(given, bytes) else given.encode("utf-8", "surrogateescape")
    if 0 in data:
        raise Error(-2, f"{text!r} has a zero in it")
    return data


def _whole(value: typing.SupportsIndex, name: str, bits: int, signed: bool = False) -> int:
    """A number that fits: ctypes would cut off what does not."""
    number = operator.index(value)
    least, most = (-1 << bits - 1, (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not least <= number <= most:
        raise Error(-2, f"{name} is {number}; expected {least} to {most}")
    return number


def _ms(seconds: float) -> int:
    return max(0, min(int(seconds * 1000), 1 << 30))


@dataclass(frozen=True)
class Event:
    type: str  # "ready", "picture", "done", "cancelled", "failed", "hung", "evicted", "reloaded"
    texture: int  # Texture.id; 0: the news is the model's
    model: int
    job: int
    step: int
    total_steps: int
    plugin: str
    text: str


@dataclass(frozen=True)
class TextureInfo:
    state: str  # "waiting", "running", "paused", "done", "cancelled", "failed"
    job: int
    picture: int
    hash: int
    step: int
    total_steps: int
    width: int
    height: int
    final: bool


@dataclass(frozen=True)
class Param:
    key: str
    type: str  # "int", "float", "bool", "choice", "text"
    help: str
    min: float
    max: float
    initial: float
    labels: typing.Tuple[str, ...]


@dataclass(frozen=True)
class Plugin:
    id: str
    name: str
    vendor: str
    version: str
    description: str
    path: str
    error: str  # why it cannot be used; "": it can


@dataclass(frozen=True)
class ModelEntry:
    """What Runtime.model can be asked for."""

    model: str  # "": the generator needs none
    plugin: str
    generator: str
    path: str
    metadata: typing.Dict[str, str]


@dataclass(frozen=True)
class Backend:
    name: str
    missing: str  # why it cannot be used; "": it can


@dataclass(frozen=True)
class Input:
    key: str
    type: str  # "rgba8", "mask8", "f32"
    name: str
    help: str
    width: int
    height: int


@dataclass(frozen=True)
class ModelInfo:
    state: str  # "loading", "ready", "evicted", "failed", "hung"
    loaded: float
    width: int
    height: int
    sizes: bool
    max_side: int
    bytes: int
    plugin: str
    name: str
    path: str
    device: str
    metadata: typing.Dict[str, str]
    abilities: typing.Tuple[str, ...]  # "complete", "start", "style", "reconstruct", "encode", "extend"


class Runtime:
    """Plugins, threads and memory; one per program."""

    def __init__(self, *, program: str = "python", threads: int = 0, nice: int = 0,
                 plugin_dirs: typing.Sequence[str] = (), model_dirs: typing.Sequence[str] = (), cpu_bytes: int = 0,
                 gpu_bytes: int = 0, step_timeout: float = 0, reload: float = 0) -> None:
        desc = c.RuntimeDesc(abi_version=c.ABI_VERSION, program=_bytes(program), threads=_whole(threads, "threads", 32),
                             nice=_whole(nice, "nice", 32, signed=True),
                             cpu_bytes=_whole(cpu_bytes, "cpu_bytes", 64), gpu_bytes=_whole(gpu_bytes, "gpu_bytes", 64),
                             step_timeout_ms=_ms(step_timeout), reload_ms=_ms(reload))
        for field, paths in (("plugin_dirs", plugin_dirs), ("model_dirs", model_dirs)):
            list_type = ctypes.c_char_p * (len(paths) + 1)
            setattr(desc, field, ctypes.cast(list_type(*[_bytes(p) for p in paths], None),
                                             ctypes.POINTER(ctypes.c_char_p)))
        self._scanned = False
        self._handle = c.Handle()
        _call("tessera_runtime_open", ctypes.byref(desc), ctypes.byref(self._handle))

    def close(self, timeout: float = 10) -> None:
        """Raises BUSY when a plugin does not return in time; the runtime is gone in any case."""
        if self._handle.id:
            handle, self._handle = self._handle, c.Handle()
            _call("tessera_runtime_close", handle, _ms(timeout))

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def model(self, model: typing.Union[None, str, os.PathLike[str]] = None, *, plugin: typing.Optional[str] = None,
              backend: typing.Optional[str] = None, exact: bool = False, lazy: bool = False) -> Model:
        """Loads behind. `lazy`: is only described, and loads when a texture needs it."""
        desc = c.ModelDesc(model=_bytes(model or None), plugin=_bytes(plugin), backend=_bytes(backend),
                           exact=int(exact), lazy=int(lazy))
        out = c.Handle()
        _call("tessera_model_open", self._handle, ctypes.byref(desc), ctypes.byref(out))
        return Model(out)

    def scan(self, timeout: float = 60) -> None:
        """Looks (again) into the folders; plugins and models do so the first time."""
        _call("tessera_runtime_scan", self._handle, _ms(timeout))
        self._scanned = True

    def plugins(self) -> typing.List[Plugin]:
        """Every generator, and every library that is no good."""
        if not self._scanned:
            self.scan()
        return [Plugin(*(getattr(i, name).decode() for name in Plugin.__dataclass_fields__))
                for i in _entries("tessera_runtime_plugin", self._handle, c.PluginInfo)]

    def models(self) -> typing.List[ModelEntry]:
        """Everything that can be opened."""
        if not self._scanned:
            self.scan()
        return [ModelEntry(i.model.decode(), i.plugin.decode(), i.generator.decode(), i.path.decode(),
                           json.loads(i.metadata))
                for i in _entries("tessera_runtime_model", self._handle, c.ModelEntry)]

    def backends(self) -> typing.List[Backend]:
        return [Backend(i.name.decode(), i.missing.decode())
                for i in _entries("tessera_runtime_backend", self._handle, c.BackendInfo)]

    def frame(self, cpu_us: int = 0, gpu_us: int = 0) -> typing.List[Event]:
        """For a program with a frame loop: hands out time, and gives what happened since."""
        events: typing.List[Event] = []
        callback = c.ON_EVENT(lambda _, event: events.append(_event(event.contents)))
        info = c.FrameInfo(cpu_us=_whole(cpu_us, "cpu_us", 32), gpu_us=_whole(gpu_us, "gpu_us", 32))
        _call("tessera_runtime_frame", self._handle, ctypes.byref(info), callback, None)
        return events

    def poll(self, timeout: float = 0) -> typing.Optional[Event]:
        event = c.RuntimeEvent()
        try:
            _call("tessera_runtime_poll", self._handle, _ms(timeout), ctypes.byref(event))
        except Error as error:
            if error.status == "NOT_FOUND" and self._handle.id:
                return None
            raise
        return _event(event)

    def stats(self) -> typing.Dict[str, int]:
        stats = c.Stats()
        _call("tessera_runtime_stats", self._handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name, _ in c.Stats._fields_ if name not in ("struct_size", "reserved")}


def _entries(function: str, handle: c.Handle, kind: typing.Any) -> typing.Iterator[typing.Any]:
    """All that a function gives by index: until it says that there are no more."""
    for index in itertools.count():
        out = kind()
        try:
            _call(function, handle, index, ctypes.byref(out))
        except Error as error:
            if error.status == "NOT_FOUND" and index:
                return
            raise
        yield out


def _event(event: c.RuntimeEvent) -> Event:
    return Event(_EVENTS[event.type], event.texture.id, event.model.id, event.job, event.step, event.total_steps,
                 event.plugin.decode(), event.text.decode())


class Model:
    """A generator with its weights; loaded once, for any number of textures."""

    def __init__(self, handle: c.Handle) -> None:
        self._handle = handle

    @property
    def id(self) -> int:
        return int(self._handle.id)

    def wait(self, timeout: float = 60) -> Model:
        _call("tessera_model_wait", self._handle, _ms(timeout))
        return self

    def close(self) -> None:
        _call("tessera_model_close", self._handle)

    def info(self) -> ModelInfo:
        i = c.ModelInfo()
        _call("tessera_model_get", self._handle, ctypes.byref(i))
        abilities = tuple(name for bit, name in enumerate(_ABILITIES) if i.abilities >> bit & 1)
        return ModelInfo(_MODEL_STATES[i.state], i.loaded, i.width, i.height, bool(i.sizes), i.max_side, i.bytes, i.plugin.decode(),
                         i.name.decode(), i.path.decode(), i.device.decode(), json.loads(i.metadata), abilities)

    def params(self) -> typing.Dict[str, Param]:
        """What can be set, once the model is described; the classes are params()["class"].labels."""
        params: typing.Dict[str, Param] = {}
        for p in self._described("tessera_model_param", c.Param):
            labels = tuple(p.labels[i].decode() for i in range(p.label_count))
            params[p.key.decode()] = Param(p.key.decode(), _TYPES[p.type], p.help.decode(), p.min, p.max, p.initial,
                                           labels)
        return params

    def inputs(self) -> typing.Dict[str, Input]:
        """What a texture can be given."""
        return {i.key.decode(): Input(i.key.decode(), _INPUT_TYPES[i.type], i.name.decode(), i.help.decode(), i.width,
                                      i.height)
                for i in self._described("tessera_model_input", c.InputSlot)}

    def _described(self, function: str, kind: typing.Any) -> typing.Iterator[typing.Any]:
        self.info()  # a closed model is an error; what comes to its end is none
        for index in itertools.count():
            out = ctypes.POINTER(kind)()
            try:
                _call(function, self._handle, index, ctypes.byref(out))
            except Error as error:
                if error.status == "NOT_FOUND":
                    return
                raise
            yield out.contents

    def texture(self, seed: int = 0, *, values: typing.Optional[typing.Mapping[str, object]] = None, width: int = 0,
                height: int = 0, preview_every: int = 0, priority: int = 0, weight: float = 0,
                inputs: typing.Optional[typing.Mapping[str, numpy.ndarray]] = None, maps: bool = False) -> Texture:
        """Queued at once. `inputs`: (height, width[, channels]) arrays of uint8 or float32. `maps`: see
        Texture.pixels."""
        arrays = dict(inputs or {})
        c_inputs = (c.Input * max(1, len(arrays)))()
        for at, (key, array) in zip(c_inputs, arrays.items()):
            if not hasattr(array, "ctypes"):
                raise Error(-2, f"input '{key}' is of {type(array).__name__}; expected a numpy array")
            if str(array.dtype) not in _DTYPES or array.ndim not in (2, 3):
                raise Error(-2, f"input '{key}' is {array.shape} of {array.dtype}; expected (height, width) or "
                                "(height, width, channels) of uint8 or float32")
            at.key = _bytes(key)
            at.tensor = c.Tensor(array.ctypes.data, _DTYPES[str(array.dtype)], 0, 0, array.ndim)
            for i in range(4):
                at.tensor.shape[i] = array.shape[i] if i < array.ndim else 1
                at.tensor.stride[i] = array.strides[i] // array.itemsize if i < array.ndim else 0
        if values is not None and not isinstance(values, collections.abc.Mapping):
            raise Error(-2, f"values are of {type(values).__name__}; expected a mapping by key")
        desc = c.TextureDesc(seed=_whole(seed, "seed", 64), width=_whole(width, "width", 32),
                             height=_whole(height, "height", 32),
                             preview_every=_whole(preview_every, "preview_every", 32),
                             priority=_whole(priority, "priority", 32, signed=True), weight=weight, values=json.dumps(dict(values)).encode() if values else None,
                             inputs=c_inputs, input_count=len(arrays), maps=int(maps))
        out = c.Handle()
        _call("tessera_texture_open", self._handle, ctypes.byref(desc), ctypes.byref(out))
        return Texture(out)


class Texture:
    """A picture that is made, and made again; its newest picture stays until there is a newer one."""

    def __init__(self, handle: c.Handle) -> None:
        self._handle = handle

    @property
    def id(self) -> int:
        return int(self._handle.id)

    def wait(self, timeout: float = 60) -> Texture:
        """Until it is done. Raises BUSY when it takes longer, CANCELLED, or why it failed."""
        _call("tessera_texture_wait", self._handle, _ms(timeout))
        return self

    def close(self) -> None:
        _call("tessera_texture_close", self._handle)

    def restart(self) -> None:
        _call("tessera_texture_restart", self._handle, None)

    def set(self, key: str, value: object) -> None:
        """One value; starts the run again."""
        _call("tessera_texture_set", self._handle, _bytes(key), _bytes(str(value)))

    def priority(self, priority: int, weight: float = 0) -> None:
        _call("tessera_texture_priority", self._handle, _whole(priority, "priority", 32, signed=True), weight)

    def pause(self, paused: bool = True) -> None:
        _call("tessera_texture_pause", self._handle, int(paused))

    def cancel(self) -> None:
        _call("tessera_texture_cancel", self._handle)

    def info(self) -> TextureInfo:
        i = c.TextureInfo()
        _call("tessera_texture_get", self._handle, ctypes.byref(i))
        return TextureInfo(_STATES[i.state], i.job, i.picture, i.hash, i.step, i.total_steps, i.width, i.height,
                           bool(i.final))

    def pixel_bytes(self, map: str = "colour") -> typing.Tuple[int, int, bytearray]:
        """Width, height and pixels of the newest picture, RGBA, or of a map."""
        if map not in _MAPS:
            raise Error(-2, f"map '{map}'; expected one of {', '.join(_MAPS)}")
        pixels = c.Pixels(map=_MAPS.index(map))
        while True:
            _call("tessera_texture_read", self._handle, ctypes.byref(pixels))
            width, height = pixels.width, pixels.height
            data = bytearray(width * height * pixels.pixel_bytes)
            pixels.data = ctypes.addressof((ctypes.c_char * len(data)).from_buffer(data))
            pixels.bytes = len(data)
            _call("tessera_texture_read", self._handle, ctypes.byref(pixels))
            if (pixels.width, pixels.height) == (width, height):  # no other one came in between
                return width, height, data
            pixels = c.Pixels(map=_MAPS.index(map))

    def pixels(self, map: str = "colour") -> numpy.ndarray:
        """(height, width, 4) of uint8, sRGB. Of a texture that was opened with maps also its "normal" and "orm"
        (likewise, linear), "height" (height, width) of uint16, "occlusion", "roughness", "metallic" of uint8."""
        import numpy

        width, height, data = self.pixel_bytes(map)
        if map == "height":
            return numpy.frombuffer(data, numpy.uint16).reshape(height, width)
        channels = (4,) if map in ("colour", "normal", "orm") else ()
        return numpy.frombuffer(data, numpy.uint8).reshape(height, width, *channels)

    def values(self) -> str:
        """A preset that makes the picture again, here and with tessera-generate --preset."""
        needed = ctypes.c_size_t()
        _call("tessera_texture_values", self._handle, None, 0, ctypes.byref(needed))
        text = ctypes.create_string_buffer(needed.value)
        _call("tessera_texture_values", self._handle, text, len(text), None)
        return text.value.decode()

    def save(self, path: typing.Union[str, bytes, os.PathLike[str]]) -> None:
        _call("tessera_texture_save", self._handle, _bytes(path))
