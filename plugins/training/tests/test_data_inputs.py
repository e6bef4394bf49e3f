"""Training data as people have it: pictures of every kind, folders with litter, tables from spreadsheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tessera_training import config as configuration
from tessera_training.errors import UserError
from tessera_training.pictures.data import ImagePack, pack, scan
from tessera_training.pictures.picture import open_picture
from tessera_training.pictures.table import read_table

SIZE = 32


def _ramp() -> np.ndarray:
    """(32, 32) grey from dark to light, rising from left to right and more slowly from top to bottom."""
    return (np.arange(SIZE)[None] * 6 + np.arange(SIZE)[:, None]).astype(np.uint8)


def _shown(path: Path, image: Image.Image, **options: object) -> np.ndarray:
    image.save(path, **options)
    return np.asarray(open_picture(path))


# ---- pictures ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    wide = Image.fromarray(_ramp().astype(np.uint16) * 257)
    shown = _shown(tmp_path / f"x.{suffix}", wide)
    assert shown.shape == (SIZE, SIZE, 3) and np.abs(shown[..., 0].astype(int) - _ramp()).max() <= 1


def test_dark_sixteen_bits_stay_dark(tmp_path: Path) -> None:
    """The file says 16 bits, so values below 256 are nearly black."""
    dark = Image.fromarray(np.full((SIZE, SIZE), 200, np.uint16))
    assert _shown(tmp_path / "x.png", dark).max() <= 1


def test_twelve_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(_ramp().astype(np.uint16) * 16).save(path, tiffinfo={258: 16})
    data = path.read_bytes()
    entry = data.index(b"\x02\x01\x03\x00\x01\x00\x00\x00")  # BitsPerSample, one short
    path.write_bytes(data[:entry + 8] + b"\x0c\x00" + data[entry + 10:])
    try:
        shown = np.asarray(open_picture(path))
    except (OSError, ValueError, SyntaxError):
        return  # PIL may not read packed samples; then it is skipped by name
    assert shown.max() > 0


@pytest.mark.parametrize("values,message", [
    (np.full((SIZE, SIZE), 3.5, np.float32), "floating-point values from 3.5 to 3.5"),
    (np.full((SIZE, SIZE), np.nan, np.float32), "floating-point values"),
    (np.full((SIZE, SIZE), 70000, np.int32), "32 bits from 70000 to 70000"),
])
def test_values_without_a_white_are_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match=message):
        open_picture(tmp_path / "x.tif")


def test_floating_point_from_zero_to_one(tmp_path: Path) -> None:
    shown = _shown(tmp_path / "x.tif", Image.fromarray(_ramp().astype(np.float32) / 255))
    assert np.array_equal(shown[..., 0], _ramp())


def _holes(mode: str) -> Image.Image:
    """Grey 100, the upper quarter clear, with red hidden under it where the mode has colours."""
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    alpha[:SIZE // 4] = 0
    if mode == "LA":
        return Image.fromarray(np.dstack([np.full((SIZE, SIZE), 100, np.uint8), alpha]), "LA")
    colour = np.full((SIZE, SIZE, 3), 100, np.uint8)
    colour[:SIZE // 4] = (255, 0, 0)
    image = Image.fromarray(np.dstack([colour, alpha]), "RGBA")
    return image if mode == "RGBA" else image.quantize(4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_holes_are_white_and_said_aloud(tmp_path: Path, capsys: pytest.CaptureFixture, mode: str) -> None:
    shown = _shown(tmp_path / "x.png", _holes(mode))
    assert shown[:SIZE // 4].min() > 250 and np.abs(shown[SIZE // 4:].astype(int) - 100).max() <= 2
    assert f"{tmp_path / 'x.png'}: partly transparent (25%), shown on white" in capsys.readouterr().out


@pytest.mark.parametrize("mode,clear", [("RGB", (255, 0, 0)), ("L", 255)])
def test_a_transparent_colour(tmp_path: Path, mode: str, clear: object) -> None:
    image = Image.new(mode, (SIZE, SIZE), clear)
    image.paste((9, 9, 9) if mode == "RGB" else 9, (0, 8, SIZE, SIZE))
    shown = _shown(tmp_path / "x.png", image, transparency=clear)
    assert shown[:8].min() == 255 and shown[8:].max() == 9


def test_mostly_transparent_is_skipped(tmp_path: Path) -> None:
    image = _holes("RGBA")
    image.putalpha(Image.fromarray(255 - np.asarray(image.getchannel("A"))))
    image.save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="75% of it is transparent"):
        open_picture(tmp_path / "x.png")


def test_opaque_alpha_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    image = Image.merge("RGBA", [Image.fromarray(_ramp())] * 3 + [Image.new("L", (SIZE, SIZE), 255)])
    assert np.array_equal(_shown(tmp_path / "x.png", image)[..., 1], _ramp())
    assert not capsys.readouterr().out


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.fromarray(_ramp()[:, :24])
    stored = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
              4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
              7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}[orientation]
    image = upright.transpose(stored) if stored is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix in ("jpg", "webp") else {}
    if suffix == "tif":
        shown = _shown(tmp_path / "x.tif", image, tiffinfo={274: orientation})
    else:
        shown = _shown(tmp_path / f"x.{suffix}", image.convert("RGB"), exif=exif, **options)
    assert shown.shape == (SIZE, 24, 3)
    assert np.abs(shown[..., 1].astype(int) - _ramp()[:, :24]).max() <= 12


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
                                  b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0"])
def test_a_damaged_note_of_the_camera_is_no_obstacle(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(_ramp()).save(tmp_path / "x.jpg", exif=exif)
    assert open_picture(tmp_path / "x.jpg").size == (SIZE, SIZE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_layouts(tmp_path: Path, mode: str) -> None:
    shown = _shown(tmp_path / "x.tif", Image.fromarray(_ramp()).convert("RGB").convert(mode))
    assert shown.shape == (SIZE, SIZE, 3) and abs(float(shown.mean()) - float(_ramp().mean())) < 12


# ---- folders -------------------------------------------------------------------------------------------------------

def _litter(folder: Path) -> None:
    whole = next((folder / "red").glob("*.png")).read_bytes()
    for name in (".ipynb_checkpoints", "__MACOSX", ".git", ".thumbnails", "@eaDir", "$RECYCLE.BIN"):
        (folder / name).mkdir()
        (folder / name / "0.png").write_bytes(whole)
    for name in ("._0.png", ".hidden.png", "Thumbs.db", "desktop.ini", ".DS_Store", "~$0.png"):
        (folder / "red" / name).write_bytes(b"litter")
    (folder / "red" / ".ipynb_checkpoints").mkdir()
    (folder / "red" / "inner.png").mkdir()
    (folder / "notes.txt").write_text("not a class")


def test_litter_is_passed_over(image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _litter(image_folder)
    settings = configuration.DataConfig(path=str(image_folder), size=SIZE)
    pack(settings, tmp_path / "pack")
    packed = ImagePack(tmp_path / "pack", settings)
    assert packed.classes == ["blue", "red"] and len(packed.labels) == 10
    assert "ignored" not in capsys.readouterr().out


def test_files_of_another_kind_are_counted(image_folder: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a.heic", "b.heic", "notes.txt", "README"):
        (image_folder / "red" / name).write_bytes(b"x")
    assert len(scan(configuration.DataConfig(path=str(image_folder)))) == 10
    assert "1 without a suffix, 2 .heic, 1 .txt" in capsys.readouterr().out


# ---- tables --------------------------------------------------------------------------------------------------------

ROWS = [["id", "class_name", "split", "tileable"], ["a_0", "Ziegel für Dächer", "train", "1"], ["a_1", "Holz", "test", "0"]]


def _table(separator: str, end: str = "\n") -> str:
    return "".join(separator.join(row) + end for row in ROWS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_spreadsheets(tmp_path: Path, encoding: str, separator: str, end: str) -> None:
    (tmp_path / "index.csv").write_bytes(_table(separator, end).encode(encoding))
    first, second = read_table(tmp_path / "index.csv")
    assert (first.id, first.class_name, first.split, first.tileable) == ("a_0", "Ziegel für Dächer", "train", True)
    assert (second.split, second.tileable) == ("test", False)


@pytest.mark.parametrize("text", ["sep=;\n" + _table(";"), "\n\n" + _table(","), _table(",") + "\n,,,\n\n",
                                  '"ID","Class_Name" ,"split"\n"a_0","Ziegel für Dächer","TRAIN"\na_1,Holz,val\n',
                                  "".join(line + ",,\n" for line in _table(",").splitlines()),
                                  "id,class_name,split\na_0, Ziegel für Dächer ,train\na_1,Holz,validation"])
def test_harmless_variations(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.csv").write_text(text, encoding="utf-8")
    first, second = read_table(tmp_path / "index.csv")
    assert (first.class_name, first.split, second.split) == ("Ziegel für Dächer", "train", "test")


@pytest.mark.parametrize("content,message", [
    (_table(";").encode("cp1252"), r"line 2: byte 0xFC is no UTF-8; save the table as UTF-8"),
    (_table(",").encode("utf-16-le"), "save the table as UTF-8"), (b"", "empty"), (b"\n\n", "empty"),
    (b"id class_name split\na b train\n", "missing column"),
    (b"id;class_name\na;b\n", r"missing column\(s\) split; .*semicolons"),
    (b"id,class_name,split\na,b\n", "line 2: 2 values, expected 3"),
    (b"id,class_name,split\na,b,train,c\n", "line 2: 4 values, expected 3"),
    (b"id,class_name,split\na,b,trian\n", "line 2: split 'trian'"),
    (b"id,class_name,split,tileable\na,b,train,maybe\n", "line 2: tileable 'maybe'"),
    (b"id,class_name,split\n,b,train\n", "line 2: id ''"),
    (b"id,class_name,split\na,../../etc,train\n", "line 2: class_name '../../etc'"),
    (b"id,class_name,split\n/etc/passwd,b,train\n", "line 2: id '/etc/passwd'"),
    (b'id,class_name,split\n"a,b,train\n', "unexpected end of data"), (b"PK\x03\x04" + bytes(30), "zero bytes"),
], ids=range(15))
def test_unusable_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"index\.csv: .*" + message):
        read_table(tmp_path / "index.csv")
