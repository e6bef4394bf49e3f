"""The evaluation as JSON, and as a section of the model card."""

from __future__ import annotations

import json
import math
from pathlib import Path

from ..errors import UserError
from .features import NETWORK, SECOND

BEGIN, END = "<!-- evaluation:begin -->", "<!-- evaluation:end -->"
Results = dict[str, float]


def _pair(results: Results, name: str, scale: float, digits: int) -> str:
    """Value and spread of one measure."""
    return f"{results[name] * scale:.{digits}f} ± {results[name + '_spread'] * scale:.{digits}f}"


def table(results: Results) -> str:
    """One table: each measure, the generated images, and what it should be compared with."""
    def percent(name: str) -> str:
        return f"{results[name]:.1%}"

    def seams(name: str) -> str:
        if math.isnan(results[name]):
            return "none"
        return f"{results[name]:.2f}; {results[name + '_high']:.2f}"

    rows = [
        (f"KID x 1000, lower is better ({NETWORK})", _pair(results, "kid", 1e3, 2),
         f"{_pair(results, 'kid_floor', 1e3, 2)} real training images against the same test images; "
         f"{_pair(results, 'kid_reconstructed', 1e3, 2)} those after the tokenizer"
         + (f"; {_pair(results, 'kid_style', 1e3, 2)} white noise in the styles of the model, without the network"
            if "kid_style" in results else "")),
        ("FID in the same features, not comparable with published values", f"{results['fid']:.1f}",
         f"{results['fid_floor']:.1f} real training images; {results['fid_reconstructed']:.1f} after the tokenizer"),
        ("class agreement: a classifier trained on real images sees the class asked for", percent("agreement"),
         f"{percent('agreement_test')} on real test images"),
        ("the class asked for is among its first three", percent("agreement_top3"),
         f"{percent('agreement_top3_test')} on real test images"),
        ("distance to the nearest training image, features (median cosine distance)",
         f"{results['nearest_features']:.3f}", f"{results['nearest_features_test']:.3f} for real test images"),
        ("nearer to a training image than 95% of test images are, features",
         percent("copied_features"), "5% if nothing is memorised"),
        ("distance to the nearest training image of the class, 32x32 pixels under all shifts (median RMS)",
         f"{results['nearest_pixels']:.3f}", f"{results['nearest_pixels_test']:.3f} for real test images"),
        ("nearer to a training image than 95% of test images are, pixels",
         percent("copied_pixels"), "5% if nothing is memorised"),
        ("seam: steps across the wrap over steps inside (mean; 95th percentile)",
         seams("seam"), f"{seams('seam_tileable')} for test images that tile, {seams('seam_cut')} for others"),
        ("tokenizer: PSNR of reconstructed test images", f"{results['psnr']:.2f} dB", ""),
    ]
    if "hole_border" in results:
        rows.append(("steps across the border of a completed hole over steps inside it, test pictures",
                     f"{results['hole_border']:.3f}", f"{results['hole_border_real']:.3f} in the pictures themselves"))
    if "kid_second" in results:
        rows.insert(1, (f"KID x 1000 ({SECOND})", _pair(results, "kid_second", 1e3, 2), ""))
    lines = ["| measure | this model | to compare with |", "| --- | --- | --- |"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def section(results: Results, facts: dict[str, object]) -> str:
    """The text between the markers of the card."""
    weakest = ", ".join(f"{name} {share:.0%}" for name, share in facts["weakest"])  # type: ignore[attr-defined]
    return f"""{BEGIN}
{facts['generated']} generated images ({facts['settings']}) and {facts['test']} held-out ones, at
{facts['size']}x{facts['size']} pixels. No class has more generated than held-out images; the real training images that set
the floor are as many of each class as the generated ones.

{table(results)}

± is the deviation over random subsets. Classes recognised least often: {weakest}.
Made by `python -m tessera_training evaluate {facts['command']}`; the numbers are also in `evaluation.json`.
{END}"""


def write_json(path: Path, results: Results, facts: dict[str, object], per_class: dict[str, dict[str, float]]) -> None:
    numbers = {name: round(value, 6) if math.isfinite(value) else None for name, value in results.items()}
    path.write_text(json.dumps({"results": numbers,
                                "facts": facts, "classes": per_class}, indent=1) + "\n")


def write_card(path: Path, text: str) -> None:
    """Replace what is between the markers, or append the section."""
    replace_section(path, text, BEGIN, END)


def replace_section(path: Path, text: str, begin: str, end: str) -> None:
    """Replace what is between two markers of a file by `text`, which has them too; append it if they are missing."""
    try:
        card = path.read_text() if path.exists() else f"# {path.parent.name}\n"
        if card.count(begin) != card.count(end) or card.count(begin) > 1:
            raise UserError(f"{path}: expected one '{begin}' and one '{end}' after it")
        if begin in card:
            head, rest = card.split(begin)
            if end not in rest:
                raise UserError(f"{path}: '{end}' comes before '{begin}'")
            card = head + text + rest.split(end)[1]
        else:
            card = f"{card.rstrip()}\n\n## Measured\n\n{text}\n"
        path.write_text(card)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
