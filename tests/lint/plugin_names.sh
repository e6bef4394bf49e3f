#!/bin/sh
# Host, window and command line know generators only by what they say of themselves: none names one.
set -eu
cd "$1"
names=$(sed -n 's/^foreach(_plugin \(.*\))$/\1/p' plugins/CMakeLists.txt | tr ' ' '|')
[ -n "$names" ] || { echo "no list of plugins in plugins/CMakeLists.txt"; exit 1; }
if grep -rnE "org\.tessera\.[a-z]|\"($names)\"" runtime/host sandbox \
    --include='*.cpp' --include='*.hpp'; then
    echo "these lines name a plugin"
    exit 1
fi
