"""What a file that is no checkpoint really is, from its first bytes: for messages that help."""

from __future__ import annotations

import json
from pathlib import Path

_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer to the file; fetch it with `git lfs pull`"),
    (b"GGUF", "a GGUF file (llama.cpp, quantised); download the PyTorch or safetensors version"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras); download the PyTorch or safetensors version"),
    (b"\x93NUMPY", "a NumPy array; expected a dictionary of weights"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first (gunzip)"),
    (b"BZh", "compressed with bzip2; unpack it first (bunzip2)"),
    (b"\xfd7zXZ\x00", "compressed with xz; unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x89PNG", "a picture (PNG)"), (b"\xff\xd8\xff", "a picture (JPEG)"), (b"GIF8", "a picture (GIF)"),
    (b"%PDF", "a PDF document"), (b"\x7fELF", "a program or library (ELF)"),
)


def describe(path: Path) -> str:
    """A clause such as "a picture (PNG)"; "of a kind that is not known here" when nothing fits."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        return "empty; the download did not begin or was cleared, fetch it again"
    for magic, text in _MAGICS:
        if head.startswith(magic):
            return text
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a picture (WebP)"
    if len(head) > 262 and head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if head.count(0) == len(head):
        return "all zeros at its beginning, an interrupted download; fetch it again"
    if head[:1] == b"\x08" and b"\x12" in head[1:4] and (b"pytorch" in head[:64] or b"onnx" in head[:256].lower()):
        return "an ONNX model; download the PyTorch or safetensors version"
    return _describe_text(path, head)


def _describe_text(path: Path, head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
        return "a web page, probably an error message in place of a download; open it in a text editor"
    if start.startswith((b"{", b"[")):
        try:
            whole = json.loads(path.read_bytes()) if path.stat().st_size < 1 << 26 else None
        except (ValueError, RecursionError):
            return "JSON text, cut off or damaged"
        if isinstance(whole, dict) and "weight_map" in whole:
            return "an index of shards; give it a name that ends in .safetensors.index.json, next to its shards"
        return "JSON text, a configuration perhaps; give the file of weights"
    text = head.decode("utf-8", "replace").removesuffix("\ufffd").lstrip("\ufeff")
    if all(letter.isprintable() or letter.isspace() for letter in text) and "\ufffd" not in text:
        return f"a text that begins with '{(text.strip().splitlines() or [''])[0][:60]}'"
    return "of a kind that is not known here"
