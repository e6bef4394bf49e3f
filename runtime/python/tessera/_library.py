"""The C side: structs and functions of tessera/runtime.h, in its order."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

ABI_VERSION = 2  # 0 << 16 | 2

OK = 0
STATUS_NAMES = {-1: "FAILED", -2: "INVALID_ARGUMENT", -3: "UNSUPPORTED", -4: "NOT_FOUND", -5: "OUT_OF_MEMORY",
                -6: "BUSY", -7: "IO", -8: "CANCELLED"}


class Sized(ctypes.Structure):
    """A growable struct: struct_size is set."""

    def __init__(self, **values: object) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **values)


class Handle(ctypes.Structure):
    _fields_ = [("id", c_uint64)]


class Callbacks(Sized):
    LOG = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p, c_char_p)
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("user", c_void_p), ("log", LOG),
                ("allocate", c_void_p), ("deallocate", c_void_p), ("open", c_void_p), ("read", c_void_p),
                ("close", c_void_p), ("submit", c_void_p)]


class RuntimeDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("abi_version", c_uint32), ("program", c_char_p),
                ("plugin_dirs", POINTER(c_char_p)), ("model_dirs", POINTER(c_char_p)), ("threads", c_uint32),
                ("nice", c_int32), ("cpu_bytes", c_uint64), ("gpu_bytes", c_uint64), ("step_timeout_ms", c_uint32),
                ("reload_ms", c_uint32), ("callbacks", POINTER(Callbacks))]


class RuntimeEvent(Sized):
    _fields_ = [("struct_size", c_uint32), ("type", c_uint32), ("model", Handle), ("texture", Handle),
                ("job", c_uint64), ("step", c_uint32), ("total_steps", c_uint32), ("status", c_int32),
                ("reserved", c_uint32), ("plugin", c_char_p), ("text", c_char_p)]


class FrameInfo(Sized):
    _fields_ = [("struct_size", c_uint32), ("cpu_us", c_uint32), ("gpu_us", c_uint32), ("hidden", c_uint32)]


class Stats(Sized):
    _fields_ = [("struct_size", c_uint32), ("models", c_uint32), ("textures_waiting", c_uint32),
                ("textures_running", c_uint32), ("cpu_bytes", c_uint64), ("gpu_bytes", c_uint64), ("steps", c_uint64),
                ("done", c_uint64), ("cancelled", c_uint64), ("failed", c_uint64), ("dropped_events", c_uint64),
                ("last_step_us", c_uint32), ("worst_step_us", c_uint32), ("threads", c_uint32),
                ("reserved", c_uint32)]


class PluginInfo(Sized):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("id", c_char_p), ("name", c_char_p),
                ("vendor", c_char_p), ("version", c_char_p), ("description", c_char_p), ("path", c_char_p),
                ("error", c_char_p)]


class ModelEntry(Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("model", c_char_p), ("plugin", c_char_p),
                ("generator", c_char_p), ("path", c_char_p), ("metadata", c_char_p)]


class BackendInfo(Sized):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("name", c_char_p), ("missing", c_char_p)]


class ModelDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("exact", c_uint32), ("plugin", c_char_p), ("model", c_char_p),
                ("backend", c_char_p), ("weights", c_void_p), ("weights_bytes", c_uint64), ("lazy", c_uint32),
                ("batch", c_uint32)]


class ModelInfo(Sized):
    _fields_ = [("struct_size", c_uint32), ("state", c_uint32), ("loaded", c_float), ("on_gpu", c_uint32),
                ("width", c_uint32), ("height", c_uint32), ("sizes", c_uint32), ("param_count", c_uint32),
                ("bytes", c_uint64), ("plugin", c_char_p), ("name", c_char_p), ("path", c_char_p),
                ("device", c_char_p), ("metadata", c_char_p), ("abilities", c_uint32), ("input_count", c_uint32),
                ("max_side", c_uint32), ("reserved", c_uint32)]


class Param(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("id", c_uint32), ("key", c_char_p), ("type", c_uint32),
                ("flags", c_uint32), ("name", c_char_p), ("group", c_char_p), ("unit", c_char_p), ("help", c_char_p),
                ("min", c_double), ("max", c_double), ("initial", c_double), ("step", c_double),
                ("labels", POINTER(c_char_p)), ("label_count", c_uint32), ("reserved", c_uint32),
                ("initial_text", c_char_p)]


class InputSlot(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("type", c_uint32), ("key", c_char_p), ("name", c_char_p),
                ("help", c_char_p), ("width", c_uint32), ("height", c_uint32), ("cell_columns", c_uint32),
                ("cell_rows", c_uint32), ("flags", c_uint32), ("reserved", c_uint32)]


class Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("dtype", c_int32), ("memory", c_int32), ("layout", c_int32), ("rank", c_int32),
                ("shape", c_int64 * 4), ("stride", c_int64 * 4)]


class Input(ctypes.Structure):
    _fields_ = [("key", c_char_p), ("tensor", Tensor)]


class TextureDesc(Sized):
    _fields_ = [("struct_size", c_uint32), ("preview_every", c_uint32), ("seed", c_uint64), ("width", c_uint32),
                ("height", c_uint32), ("priority", c_int32), ("weight", c_float), ("values", c_char_p),
                ("inputs", POINTER(Input)), ("input_count", c_uint32), ("paused", c_uint32), ("maps", c_uint32),
                ("reserved", c_uint32)]


class TextureInfo(Sized):
    _fields_ = [("struct_size", c_uint32), ("state", c_uint32), ("job", c_uint64), ("picture", c_uint64),
                ("picture_job", c_uint64), ("hash", c_uint64), ("step", c_uint32), ("total_steps", c_uint32),
                ("width", c_uint32), ("height", c_uint32), ("priority", c_int32), ("weight", c_float),
                ("status", c_int32), ("final", c_uint32), ("maps", c_uint64)]


class Pixels(Sized):
    _fields_ = [("struct_size", c_uint32), ("row_bytes", c_uint32), ("data", c_void_p), ("bytes", c_uint64),
                ("width", c_uint32), ("height", c_uint32), ("picture", c_uint64), ("map", c_uint32),
                ("pixel_bytes", c_uint32)]


ON_EVENT = ctypes.CFUNCTYPE(None, c_void_p, POINTER(RuntimeEvent))

FUNCTIONS = {
    "tessera_last_error": [c_char_p, c_size_t, POINTER(c_size_t)],
    "tessera_runtime_open": [POINTER(RuntimeDesc), POINTER(Handle)],
    "tessera_runtime_close": [Handle, c_uint32],
    "tessera_runtime_frame": [Handle, POINTER(FrameInfo), ON_EVENT, c_void_p],
    "tessera_runtime_poll": [Handle, c_uint32, POINTER(RuntimeEvent)],
    "tessera_runtime_stats": [Handle, POINTER(Stats)],
    "tessera_runtime_trim": [Handle, c_uint64, c_uint64],
    "tessera_runtime_scan": [Handle, c_uint32],
    "tessera_runtime_plugin": [Handle, c_uint32, POINTER(PluginInfo)],
    "tessera_runtime_model": [Handle, c_uint32, POINTER(ModelEntry)],
    "tessera_runtime_backend": [Handle, c_uint32, POINTER(BackendInfo)],
    "tessera_model_open": [Handle, POINTER(ModelDesc), POINTER(Handle)],
    "tessera_model_close": [Handle],
    "tessera_model_wait": [Handle, c_uint32],
    "tessera_model_get": [Handle, POINTER(ModelInfo)],
    "tessera_model_estimate": [Handle, POINTER(ModelDesc), POINTER(c_uint64)],
    "tessera_model_param": [Handle, c_uint32, POINTER(POINTER(Param))],
    "tessera_model_input": [Handle, c_uint32, POINTER(POINTER(InputSlot))],
    "tessera_texture_open": [Handle, POINTER(TextureDesc), POINTER(Handle)],
    "tessera_texture_close": [Handle],
    "tessera_texture_restart": [Handle, POINTER(TextureDesc)],
    "tessera_texture_set": [Handle, c_char_p, c_char_p],
    "tessera_texture_priority": [Handle, c_int32, c_float],
    "tessera_texture_pause": [Handle, c_int32],
    "tessera_texture_cancel": [Handle],
    "tessera_texture_wait": [Handle, c_uint32],
    "tessera_texture_get": [Handle, POINTER(TextureInfo)],
    "tessera_texture_read": [Handle, POINTER(Pixels)],
    "tessera_texture_values": [Handle, c_char_p, c_size_t, POINTER(c_size_t)],
    "tessera_texture_save": [Handle, c_char_p],
}


def _path() -> str:
    given = os.environ.get("TESSERA_LIBRARY")
    if given:
        return given
    built = Path(__file__).resolve().parents[3] / "build" / "release" / "lib" / "libtessera.so"
    return str(built) if built.exists() else "libtessera.so.0.2"


def load() -> ctypes.CDLL:
    """The library with its functions declared; OSError says what is missing."""
    library = ctypes.CDLL(_path())
    library.tessera_version.argtypes = []
    library.tessera_version.restype = c_uint32
    version = library.tessera_version()
    if version >> 8 != ABI_VERSION:
        raise OSError(f"{_path()} is version {version >> 16}.{version >> 8 & 255}; this module needs 0.{ABI_VERSION}")
    for name, arguments in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = c_int32
    return library
