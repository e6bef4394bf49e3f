#!/usr/bin/env bash
# Fails on a clang-tidy finding in a source file that was built.
#   tidy.sh SOURCE_DIR BUILD_DIR [--analyze]     --analyze: the path-sensitive checks too, thrice as long
set -euo pipefail
command -v run-clang-tidy >/dev/null || { echo "clang-tidy is not installed"; exit 77; }
cd "$1"
# Product sources: tests are held to the compiler's warnings only, which keeps this within minutes.
# Flags of GCC's that clang does not know are left out; the CUDA backend is read as its execution
# double compiles it, not as nvcc does.
database=$(mktemp -d)
trap 'rm -rf "$database"' EXIT
python3 - "$2/compile_commands.json" > "$database/compile_commands.json" <<'PYTHON'
import json, sys
entries = [e for e in json.load(open(sys.argv[1])) if "--expt-relaxed-constexpr" not in e["command"]]
for entry in entries:
    for flag in (" -fno-gnu-unique", " -Wno-maybe-uninitialized"):
        entry["command"] = entry["command"].replace(flag, "")
json.dump(entries, sys.stdout)
PYTHON
checks=-clang-analyzer-*
[ "${3:-}" != --analyze ] || checks=
run-clang-tidy -quiet -p "$database" -j "$(nproc)" -checks="$checks" "^$1/(runtime|plugins|interop|sandbox)/.*"
