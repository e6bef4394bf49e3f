#!/usr/bin/env python3
"""Writes seeds/ and regressions/: small valid files, and one file for each pattern that broke a parser somewhere.

The patterns are those of the advisories on readers of GGUF, ONNX, safetensors, PNG, JPEG, ELF and JSON: counts and
sizes that overflow when multiplied or added, offsets past the end, ranges that overlap, names that repeat or lead
out of the folder, nesting that exhausts the stack, sizes that ask for more memory than there is.
"""

from __future__ import annotations

import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent
U64 = (1 << 64) - 1


def put(kind: str, target: str, name: str, data: bytes | str) -> None:
    path = HERE / kind / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def seed(target: str, name: str, data: bytes | str) -> None:
    put("seeds", target, name, data)


def regression(target: str, name: str, data: bytes | str) -> None:
    put("regressions", target, name, data)


# ---- safetensors ---------------------------------------------------------------------------------------------------

def tensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str, shape: list, begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors() -> None:
    good = {"__metadata__": {"kind": "mar_weights", "config": "{}"}, "a": entry("F32", [2, 3], 0, 24),
            "b": entry("U8", [4], 24, 28), "c": entry("BF16", [], 28, 30), "d": entry("I64", [0], 30, 30)}
    seed("safetensors", "two_tensors", tensors(good, bytes(30)))
    seed("safetensors", "empty", tensors({}))
    seed("safetensors", "scalars", tensors({"x": entry("F64", [], 0, 8), "y": entry("BOOL", [1, 1, 1, 1], 8, 9)}, bytes(9)))
    bad = {
        "header_length_wraps": tensors(good, bytes(30), U64),
        "header_length_wraps_with_prefix": tensors(good, bytes(30), U64 - 7),
        "header_length_of_gigabytes": tensors(good, bytes(30), 1 << 40),
        "header_longer_than_the_file": tensors(good, b"", 10_000),
        "header_of_no_bytes": tensors(b"", bytes(30)),
        "seven_bytes": b"1234567",
        "shape_product_wraps_to_zero": tensors({"a": entry("U8", [1 << 32, 1 << 32], 0, 0)}),
        "shape_product_wraps_to_size": tensors({"a": entry("F32", [(1 << 62) + 1], 0, 4)}, bytes(4)),
        "shape_times_size_overflows": tensors({"a": entry("F64", [1 << 61], 0, 8)}, bytes(8)),
        "dimension_beyond_63_bits": tensors({"a": entry("U8", [1 << 63], 0, 4)}, bytes(4)),
        "negative_dimension": tensors({"a": entry("U8", [-1, -4], 0, 4)}, bytes(4)),
        "dimensions_by_the_thousand": tensors({"a": entry("U8", [1] * 5000, 0, 1)}, bytes(1)),
        "offsets_past_the_end": tensors({"a": entry("U8", [4], 1 << 40, (1 << 40) + 4)}, bytes(4)),
        "offsets_wrap": tensors({"a": entry("U8", [4], U64 - 3, 1)}, bytes(4)),
        "offsets_backwards": tensors({"a": entry("U8", [4], 4, 0)}, bytes(4)),
        "offsets_overlap": tensors({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6)),
        "offsets_leave_a_hole": tensors({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 4, 6)}, bytes(6)),
        "bytes_after_the_last_tensor": tensors({"a": entry("U8", [4], 0, 4)}, bytes(9) + b"PK\3\4"),
        "offsets_as_floats": tensors(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0.0,4e0]}}', bytes(4)),
        "offsets_too_many": tensors(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,9]}}', bytes(4)),
        "name_twice": tensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                              b'"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', bytes(2)),
        "name_twice_by_escape": tensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                        b'"\\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', bytes(2)),
        "field_twice": tensors(b'{"a":{"dtype":"U8","dtype":"F64","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "zero_byte_in_name": tensors(b'{"a\\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "no_utf8_in_name": tensors(b'{"\xff\xfe":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "lone_surrogate": tensors(b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "unknown_type": tensors({"a": entry("F8_E4M3", [4], 0, 4)}, bytes(4)),
        "nested_thirty_thousand_times": tensors(b'{"a":' * 30_000),
        "arrays_thirty_thousand_times": tensors(b'{"a":' + b"[" * 30_000),
        "metadata_of_numbers": tensors({"__metadata__": {"a": 1}}),
        "metadata_twice": tensors(b'{"__metadata__":{},"__metadata__":{"a":"b"}}'),
        "metadata_as_tensor": tensors({"__metadata__": entry("U8", [1], 0, 1)}, bytes(1)),
        "header_is_an_array": tensors(b"[]"),
        "second_object_after_the_header": tensors(b'{}{"a":1}'),
        "number_of_a_thousand_digits": tensors(b'{"a":{"dtype":"U8","shape":[' + b"9" * 1000 + b'],"data_offsets":[0,1]}}'),
        "many_empty_tensors": tensors({f"t{n}": entry("F32", [0], 0, 0) for n in range(400)}),
    }
    for name, data in bad.items():
        regression("safetensors", name, data)


def shard_index() -> None:
    seed("shard_index", "two_shards", json.dumps({
        "metadata": {"total_size": 28, "config": "{}"},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    seed("shard_index", "one_shard", '\ufeff{"weight_map": {"a": "x.safetensors"}, "extra": [1, {"b": null}]}')
    for name, shard in {"parent_folder": "../../etc/passwd", "absolute": "/etc/passwd", "backslashes": "..\\..\\x",
                        "dots": "..", "dot": ".", "empty": "", "zero_byte": "a\0b", "subfolder": "a/b",
                        "dots_inside": "a/../../b", "drive": "C:\\x", "long": "a" * 5000}.items():
        regression("shard_index", f"shard_{name}", json.dumps({"weight_map": {"a": shard}}))
    regression("shard_index", "tensor_twice", '{"weight_map":{"a":"x","a":"../y"}}')
    regression("shard_index", "map_twice", '{"weight_map":{"a":"x"},"weight_map":{"a":"../y"}}')
    regression("shard_index", "map_nested", '{"weight_map":{"weight_map":{"a":"../y"}}}')
    regression("shard_index", "map_in_metadata", '{"metadata":{"weight_map":{"a":"../y"}}}')
    regression("shard_index", "five_thousand_shards",
               json.dumps({"weight_map": {f"t{n}": f"s{n}" for n in range(5_000)}}))
    regression("shard_index", "deep", '{"x":' + "[" * 30_000)
    regression("shard_index", "numbers", '{"weight_map":{"a":1e999}}')


# ---- texts ---------------------------------------------------------------------------------------------------------

def texts() -> None:
    seed("model_config", "mar", json.dumps({
        "img_size": 32, "vae_stride": 8, "patch_size": 1, "vae_embed_dim": 4, "mlp_ratio": 4.0, "encoder_depth": 2,
        "num_sampling_steps": "25", "prediction": "v", "labels": [0, 9], "names": ["a", "b"], "x": None, "y": True}))
    seed("model_config", "steps_in_sections", '{"num_sampling_steps": "10,20,30"}')
    seed("model_config", "steps_ddim", '{"num_sampling_steps": "ddim50", "img_size": 1e3}')
    seed("model_config", "classes", '["asphalt", "brick", "gr\\u00fcn"]')
    for name, steps in {"zero": "0", "one": "1", "huge": "99999999999999999999", "negative": "-5", "commas": ",,,",
                        "sections_of_zero": "0,0", "more_than_times": "600,600", "ddim_zero": "ddim0",
                        "ddim_none": "ddim", "thousand_sections": ",".join(["1"] * 1000), "blank": " 25",
                        "exponent": "1e3", "sections_by_the_thousand": "1," * 10_000}.items():
        regression("model_config", f"steps_{name}", json.dumps({"num_sampling_steps": steps}))
    regression("model_config", "deep", '{"a":' * 30_000)
    regression("model_config", "deep_array", "[" * 30_000)
    regression("model_config", "number_out_of_range", '{"img_size": 1e999, "encoder_depth": -1e-999}')
    regression("model_config", "integer_beyond_64_bits", '{"img_size": 18446744073709551616}')
    regression("model_config", "integer_as_float", '{"img_size": 9.3e18, "num_sampling_steps": 1.5}')
    regression("model_config", "key_twice", '{"img_size": 1, "img_size": 2}')

    seed("preset", "whole", json.dumps({
        "format": "tessera-preset/1", "plugin": "org.tessera.mar", "model": "materials", "seed": 7,
        "values": {"steps": 12, "class": "brick", "flip": True, "temperature": 0.9}}))
    seed("preset", "smallest", '{"format":"tessera-preset/1","plugin":"a"}')
    for name, values in {"deep": "[" * 40 + "]" * 40, "deeper": "[" * 20_000, "no_utf8": '"\udcff"'}.items():
        text = f'{{"format":"tessera-preset/1","plugin":"a","values":{{"x":{values}}}}}'
        regression("preset", f"values_{name}", text.encode("utf-8", "surrogateescape"))
    regression("preset", "brackets_in_texts", '{"format":"tessera-preset/1","plugin":"' + "[{\\\"" * 50 + '"}')
    regression("preset", "seed_beyond_64_bits", '{"format":"tessera-preset/1","plugin":"a","seed":18446744073709551616}')
    regression("preset", "seed_negative", '{"format":"tessera-preset/1","plugin":"a","seed":-1}')
    regression("preset", "key_twice", '{"format":"tessera-preset/1","plugin":"a","plugin":5}')
    regression("preset", "zero_bytes", b'{"format":"tessera-preset/1","plugin":"a\\u0000b"}\0\0')

    seed("script", "every_kind", """[
      {"set": {"class": "brick", "steps": 12, "flip": true}}, {"seed": 7}, "play",
      {"wait_steps": 6}, {"brush": [[1, 2], [3.5, -4]]}, {"rectangle": [[0, 0], [9, 9]]},
      {"save_view": "half.png"}, {"wheel": [10, 20, -3]}, {"canvas": true}, {"key": "ctrl+z"}
    ]""")
    regression("script", "deep", "[" * 30_000)
    regression("script", "deep_argument", '[{"set": {"a": ' + "[" * 20_000 + "]" * 20_000 + "}}]")
    regression("script", "numbers_out_of_range", '[{"click": [1e999, 1]}, {"seed": 1e18}, {"wheel": [1, 2, 3e9]}]')
    regression("script", "points_by_the_thousand", '[{"brush": [' + ",".join(["[1,2]"] * 10_001) + "]}]")
    regression("script", "numbers_over_lines", "[\n1\n,\n2\n\n,3]")
    regression("script", "cut_in_a_text", '["pl')
    regression("script", "no_utf8", b'["\xff\xfe"]')


# ---- the program's own files ---------------------------------------------------------------------------------------

def fnv(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & U64
    return value


def plan_cache() -> None:
    key, blob = b"device 1.0 of vendor 2", b"the plan" * 5

    def plan(key_bytes: int = len(key), blob_bytes: int = len(blob), check: int | None = None) -> bytes:
        return b"TSRPLAN1" + struct.pack("<QQQ", key_bytes, blob_bytes,
                                         fnv(key + blob) if check is None else check) + key + blob
    seed("plan_cache", "whole", plan())
    regression("plan_cache", "blob_of_gigabytes", plan(blob_bytes=1 << 40))
    regression("plan_cache", "blob_of_64_megabytes_that_are_not_there", plan(blob_bytes=64 << 20))
    regression("plan_cache", "sizes_wrap", plan(key_bytes=U64, blob_bytes=U64))
    regression("plan_cache", "checksum_of_another", plan(check=1))
    regression("plan_cache", "cut_in_the_header", plan()[:20])
    regression("plan_cache", "byte_after_the_end", plan() + b"x")


def elf_library() -> None:
    def header(phoff: int = 64, phnum: int = 1, phentsize: int = 56, kind: int = 3, size: int = 64) -> bytes:
        return (b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, phoff, 0, 0, size,
                                                          phentsize, phnum, 0, 0, 0))

    def part(kind: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, 5, offset, 0, 0, size, size, 4096)
    seed("elf_library", "one_part", header() + part(1, 0, 120))
    seed("elf_library", "dynamic", header(phnum=2) + part(1, 0, 176) + part(2, 64, 16))
    bad = {"part_past_the_end": header() + part(1, 0, 1 << 40), "part_wraps": header() + part(1, U64 - 10, 20),
           "table_past_the_end": header(phoff=1 << 40) + part(1, 0, 1), "table_wraps": header(phoff=U64 - 20, phnum=65535),
           "table_of_65535": header(phnum=65535) + part(1, 0, 1), "entries_of_no_bytes": header(phentsize=0, phnum=65535),
           "cut_in_the_header": header()[:30], "only_magic": b"\x7fELF", "program": header(kind=2) + part(1, 0, 120),
           "table_of_the_header_itself": header(phoff=0, phnum=2)}
    for name, data in bad.items():
        regression("elf_library", name, data)


# ---- pictures ------------------------------------------------------------------------------------------------------

def chunk(kind: bytes, data: bytes, check: int | None = None, length: int | None = None) -> bytes:
    return (struct.pack(">I", len(data) if length is None else length) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data) if check is None else check))


def png(width: int, height: int, depth: int, colour: int, rows: bytes | None = None, extra: bytes = b"",
        interlace: int = 0, end: bytes = chunk(b"IEND", b"")) -> bytes:
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    if rows is None:
        rows = b"".join(b"\0" + bytes((x * 31 + y * 7) % 256 for x in range((width * samples * depth + 7) // 8))
                        for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
            + extra + chunk(b"IDAT", zlib.compress(rows)) + end)


def jpeg() -> bytes:
    """8x8 grey: every coefficient zero."""
    dqt = b"\xff\xdb\0\x43\0" + bytes([16] * 64)
    sof = b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0"
    dht = b"\xff\xc4\0\x14\0\x01" + bytes(15) + b"\0" + b"\xff\xc4\0\x14\x10\x01" + bytes(15) + b"\0"
    return b"\xff\xd8" + dqt + sof + dht + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"\x3f" + b"\xff\xd9"


def exif(entries: bytes, count: int = 1, offset: int = 8, order: bytes = b"II*\0") -> bytes:
    body = b"Exif\0\0" + order + struct.pack("<IH", offset, count) + entries
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def image() -> None:
    palette = chunk(b"PLTE", bytes(range(48)))
    for name, data in {
            "grey": png(5, 4, 8, 0), "grey_1_bit": png(9, 3, 1, 0), "grey_16": png(3, 3, 16, 0), "rgb": png(4, 4, 8, 2),
            "rgb_16": png(2, 2, 16, 2), "rgba": png(4, 4, 8, 6), "grey_alpha": png(4, 4, 8, 4),
            "rgba_16": png(2, 2, 16, 6), "palette": png(4, 4, 4, 3, bytes([0, 1, 35] * 4), palette),
            "palette_transparent": png(4, 4, 4, 3, bytes([0, 1, 35] * 4), palette + chunk(b"tRNS", bytes([0, 128, 255]))),
            "gamma": png(3, 3, 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 45455))),
            "interlaced": png(1, 1, 8, 0, interlace=1), "jpeg": jpeg()}.items():
        seed("image", name, data)
    turned = struct.pack("<HHII", 0x112, 3, 1, 6)
    with_exif = jpeg()[:2] + exif(turned) + jpeg()[2:]
    seed("image", "jpeg_turned", with_exif)
    whole = png(8, 8, 8, 2)
    bad = {
        "png_of_4_billion": png(0xFFFFFFFF, 0xFFFFFFFF, 8, 6, b"\0"), "png_of_16_bits_overflow": png(65536, 65536, 16, 6, b"\0"),
        "png_without_width": png(0, 5, 8, 2, b"\0"), "png_of_negative_width": png(0x80000000, 1, 8, 0, b"\0"),
        "png_bomb": png(16384, 4096, 8, 0, bytes(1000)), "png_row_too_short": png(8, 8, 8, 2, b"\0" * 10),
        "png_without_palette": png(4, 4, 8, 3), "png_index_beyond_palette": png(4, 4, 8, 3, b"\0\xff\xff\xff\xff" * 4, palette),
        "png_transparency_beyond_palette": png(4, 4, 8, 3, b"\0\1\1\1\1" * 4, palette + chunk(b"tRNS", bytes(256))),
        "png_unknown_filter": png(4, 4, 8, 0, b"\x09\1\1\1\1" * 4), "png_of_depth_3": png(4, 4, 3, 0),
        "png_colour_type_5": png(4, 4, 8, 5), "png_wrong_check": whole[:-20] + bytes(4) + whole[-16:],
        "png_chunk_past_the_end": whole[:33] + struct.pack(">I", 0x7FFFFFFF) + b"IDAT" + b"x",
        "png_cut": whole[:len(whole) // 2], "png_only_magic": whole[:8], "png_text_bomb": png(
            1, 1, 8, 0, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))),
        "png_profile_bomb": png(1, 1, 8, 0, extra=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20)))),
        "jpeg_without_height": jpeg().replace(b"\xff\xc0\0\x0b\x08\0\x08", b"\xff\xc0\0\x0b\x08\0\0"),
        "jpeg_of_65535": jpeg().replace(b"\x08\0\x08\0\x08\x01", b"\x08\xff\xff\xff\xff\x01"),
        "jpeg_sampling_of_zero": jpeg().replace(b"\x01\x01\x11\0\xff\xc4", b"\x01\x01\0\0\xff\xc4"),
        "jpeg_table_beyond": jpeg().replace(b"\x01\x01\x11\0\xff\xc4", b"\x01\x01\x11\x09\xff\xc4"),
        "jpeg_huffman_too_long": jpeg().replace(b"\xff\xc4\0\x14\0\x01", b"\xff\xc4\0\x14\0\xff"),
        "jpeg_segment_past_the_end": b"\xff\xd8\xff\xdb\xff\xff\0", "jpeg_cut": jpeg()[:-5], "jpeg_only_start": b"\xff\xd8\xff",
        "jpeg_marker_without_length": b"\xff\xd8\xff\xe1", "jpeg_length_of_zero": b"\xff\xd8\xff\xe1\0\0\xff\xd9",
        "exif_offset_past_the_end": jpeg()[:2] + exif(turned, offset=0xFFFFFFF0) + jpeg()[2:],
        "exif_offset_to_itself": jpeg()[:2] + exif(turned, offset=0) + jpeg()[2:],
        "exif_of_65535_entries": jpeg()[:2] + exif(turned, count=65535) + jpeg()[2:],
        "exif_orientation_99": jpeg()[:2] + exif(struct.pack("<HHII", 0x112, 3, 1, 99)) + jpeg()[2:],
        "exif_orientation_as_text": jpeg()[:2] + exif(struct.pack("<HHII", 0x112, 2, 400, 0xFFFFFF)) + jpeg()[2:],
        "exif_without_body": jpeg()[:2] + b"\xff\xe1\0\x08Exif\0\0" + jpeg()[2:],
        "exif_of_unknown_order": jpeg()[:2] + exif(turned, order=b"XX*\0") + jpeg()[2:],
    }
    for name, data in bad.items():
        regression("image", name, data)


def mask() -> None:
    seed("mask", "image_and_pixels", bytes([0, 0, 1, 2, 1, 0, 0, 0]) + bytes(range(256)) * 4)
    seed("mask", "latents_and_cells", bytes([20, 0, 1, 2, 0, 0, 0, 1]) + bytes(64))
    seed("mask", "nothing", bytes([12] + [0] * 7))
    regression("mask", "image_of_another_size", bytes([0, 0, 5, 2, 1, 0, 0, 0]) + bytes(64))
    regression("mask", "mask_of_no_rows", bytes([0, 0, 1, 2, 2, 0, 0, 0]) + bytes(64))
    regression("mask", "mask_without_memory", bytes([0, 0, 1, 2, 255, 0, 0, 0]) + bytes(64))
    regression("mask", "ranks_of_every_kind", bytes([0, 0, 1, 251, 1, 253, 0, 252]) + bytes(64))
    regression("mask", "types_of_every_kind", bytes([0, 252, 1, 2, 1, 0, 0, 0]) + bytes(64))
    regression("mask", "latents_of_nan", bytes([28, 0, 1, 2, 0, 0, 0, 1]) + b"\xff" * 4000)


if __name__ == "__main__":
    for make in (safetensors, shard_index, texts, plan_cache, elf_library, image, mask):
        make()
    print(f"{sum(1 for path in HERE.glob('*/*/*') if path.is_file())} files")
