"""Writes tests.tsv of the GPU bundle from what CTest would run: name, limit, command; copies the files it reads.

    ctest -L gpu --show-only=json-v1 | list_tests.py ROOT OUT
"""

import json
import shutil
import sys
from pathlib import Path

FIRST = ["Linear", "Attention", "Conv", "Norm", "Denoise", "ExactStack"]  # most of an image's time


def main() -> None:
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    lines = []
    for test in json.load(sys.stdin)["tests"]:
        name, command = test["name"].removeprefix("gpu."), test.get("command", [])
        if not command:
            sys.exit(f"{test['name']}: its program is not built")
        if not (out / "bin" / Path(command[0]).name).exists():
            sys.exit(f"{test['name']}: {Path(command[0]).name} is not in the bundle")
        words = [f'"$bin/{Path(command[0]).name}"']
        for word in command[1:]:
            file = Path(word)
            if file.is_absolute() and file.is_file():
                place = out / "data" / Path(*file.parts[file.parts.index("golden") + 2:])
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)
                word = f"$here/{place.relative_to(out)}"
            words.append(f'"{word}"')
        rank = FIRST.index(name) if name in FIRST else len(FIRST) + name.startswith("golden") + 2 * (name == "ring")
        lines.append((rank, name, 25 if name == "ring" else 20, " ".join(words)))
    lines.sort()
    (out / "tests.tsv").write_text("".join(f"{name}\t{limit}\t{words}\n" for _, name, limit, words in lines))


if __name__ == "__main__":
    main()
