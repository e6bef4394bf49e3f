"""`index.csv` as spreadsheets save it: any usual separator, UTF-8 or UTF-16; anything else is refused in a sentence."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

_NEEDED = ("id", "class_name", "split")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SPLITS = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


@dataclass(frozen=True)
class Row:
    id: str
    class_name: str
    split: str  # "train" or "test"
    tileable: bool


def read_table(path: Path) -> list[Row]:
    """All rows; every problem names file, line and what was expected."""
    lines = _decoded(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 1
    if lines and lines[0].lower().startswith("sep="):  # a hint that some spreadsheets write
        lines, first = lines[1:], 2
    while len(lines) > 1 and not lines[0].strip():
        lines, first = lines[1:], first + 1
    if not lines or not lines[0].strip():
        raise UserError(f"{path}: empty; expected a first line with the columns {', '.join(_NEEDED)}")
    separator = max(_SEPARATORS, key=lines[0].count)
    columns = [name.strip().strip('"').lower() for name in lines[0].rstrip(separator).split(separator)]
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise UserError(f"{path}: missing column(s) {', '.join(missing)}; its first line, taken as separated by "
                        f"{_SEPARATORS[separator]}, has {', '.join(columns)[:200]}")
    rows = []
    reader = csv.reader(lines[1:], delimiter=separator, strict=True)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                rows.append(_row(f"{path}: line {first + reader.line_num}", columns, values))
    except csv.Error as error:
        raise UserError(f"{path}: line {first + reader.line_num}: {error}") from error
    return rows


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
                           (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            break
    else:
        encoding = "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: line {line}: byte 0x{data[error.start]:02X} is no {encoding.removesuffix('-sig').upper()}"
                        "; save the table as UTF-8 (spreadsheets call it 'CSV UTF-8')") from error
    if "\0" in text:
        raise UserError(f"{path}: holds zero bytes; save the table as UTF-8 text (spreadsheets call it 'CSV UTF-8')")
    return text


def _row(place: str, columns: list[str], values: list[str]) -> Row:
    if len(values) != len(columns) and any(values[len(columns):]) or len(values) < len(columns):
        raise UserError(f"{place}: {len(values)} values, expected {len(columns)}")
    row = {name: value.strip() for name, value in zip(columns, values)}
    for name in ("id", "class_name"):
        if not row[name] or row[name].startswith(("/", "\\")) or ".." in Path(row[name]).parts:
            raise UserError(f"{place}: {name} '{row[name]}', expected a name within the folder of the table")
    split, tileable = row["split"].lower(), row.get("tileable", "").lower()
    if split not in _SPLITS:
        raise UserError(f"{place}: split '{row['split']}', expected one of {', '.join(_SPLITS)}")
    if tileable not in _SWITCH:
        raise UserError(f"{place}: tileable '{row['tileable']}', expected 1 or 0")
    return Row(row["id"], row["class_name"], _SPLITS[split], _SWITCH[tileable])
