#!/usr/bin/env bash
# What leaves libtessera.so is what its headers declare, and nothing else; what it needs is no loader,
# no window and no program of ours. Usage: symbols.sh LIBRARY HEADER_FOLDER NM READELF
set -euo pipefail
library=$1 headers=$2 nm=$3 readelf=$4
vulkan=()
"$nm" -D --defined-only "$library" | grep -q tessera_vulkan_open && vulkan=("$headers/runtime_vulkan.h")
declared=$(cat "$headers/runtime.h" ${vulkan[@]+"${vulkan[@]}"} | tr '\n' ' ' |
  grep -o 'TESSERA_API [a-z0-9_ ]*\**tessera_[a-z_]*(' | grep -o 'tessera_[a-z_]*(' | tr -d '(' | sort)
exported=$("$nm" -D --defined-only "$library" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort)
[ "$(wc -l <<<"$declared")" -gt 20 ] || { echo "found few declarations: $declared"; exit 1; }
diff <(echo "$declared") <(echo "$exported") || { echo "declared (<) and exported (>) differ"; exit 1; }
"$nm" -D --defined-only "$library" | grep 'tessera_texture_open' | grep -q '@@TESSERA_' ||
  { echo "its symbols have no version"; exit 1; }
needed=$("$readelf" -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if grep -E 'vulkan|glfw|imgui|CLI11|X11|cuda' <<<"$needed"; then
  echo "a program should not have to have these"
  exit 1
fi
"$readelf" -d "$library" | grep -q 'SONAME.*libtessera\.so\.[0-9]' || { echo "no soname"; exit 1; }
# A library call ends no program (_exit ends a child that tries a plugin, in programs without threads).
if "$nm" -D --undefined-only "$library" | awk '{print $2}' | sed 's/@.*//' | grep -E '^(exit|quick_exit|abort|__assert_fail)$'; then
  echo "it ends the process"
  exit 1
fi
