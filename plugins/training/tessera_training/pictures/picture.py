"""Pictures as a viewer shows them: upright, 8 bits a channel, without transparency."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

_MOST_TRANSPARENT = 0.5  # of an image that is still worth showing on white
_TIFF_BITS = 258  # the tag that says how many bits a sample has


def open_picture(path: Path) -> Image.Image:
    """An RGB image. ValueError with a reason where a file cannot be shown faithfully; PIL's own errors pass."""
    with path.open("rb") as file, Image.open(file) as opened:  # given the name, Pillow 13 misreads turned TIFFs
        bits = _bits(opened)
        opened.load()
        image = opened.copy() if opened.format == "TIFF" else _upright(opened)  # PIL turns TIFF by itself
    if image.mode.startswith("I") or image.mode == "F":
        image = _scaled(image, bits)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = _on_white(path, image)
    return image.convert("RGB")


def _bits(image: Image.Image) -> int:
    """Of a sample of a grey image with more than 8; 0 where the format does not say where white is."""
    if image.mode == "I" and image.format != "PNG":
        return 0
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, 16)
    bits = bits[0] if isinstance(bits, tuple) and bits else bits
    return bits if isinstance(bits, int) and 8 < bits <= 16 else 16


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) or image
    except (ValueError, TypeError, KeyError, SyntaxError, ZeroDivisionError, struct.error, OSError):
        return image.copy()  # the picture is good, only what the camera wrote about it is not


def _scaled(image: Image.Image, bits: int) -> Image.Image:
    """Grey of more than 8 bits; PIL would cut everything above 255 to white."""
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        if not (0 <= low and high <= 1):
            raise ValueError(f"floating-point values from {low:g} to {high:g}, expected 0 (black) to 1 (white)")
        white = 1.0
    elif not bits or low < 0 or high >= 1 << bits:
        raise ValueError(f"whole numbers of 32 bits from {low:g} to {high:g}, which does not tell where white is; "
                         "convert it to 8 or 16 bits")
    else:
        white = float((1 << bits) - 1)
    scaled = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):  # the one grey value that is a hole
        scaled.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return scaled


def _on_white(path: Path, image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"))
    if alpha.min() == 255:
        return rgba.convert("RGB")
    clear = float((alpha < 128).mean())
    if clear > _MOST_TRANSPARENT:
        raise ValueError(f"{clear:.0%} of it is transparent")
    print(f"{path}: partly transparent ({clear:.0%}), shown on white", flush=True)
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
