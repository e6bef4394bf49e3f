// Devices of this process get lost at will: by the layer of losing_layer.cpp.
#pragma once

#include <cstdlib>
#include <string>

#include <dlfcn.h>

namespace tessera::test {

// Before the first Vulkan instance.
inline void load_losing_layer() {
    setenv("VK_ADD_LAYER_PATH", TESSERA_LOSING_LAYERS, 1);
    setenv("VK_INSTANCE_LAYERS", "VK_LAYER_TESSERA_losing", 1);
}

// `wishes` as in TESSERA_LOSE, counted from now; empty: no device is lost any more.
inline bool lose_devices(const char *wishes) {
    static void *const layer = dlopen(TESSERA_LOSING_LAYERS "/losing_layer.so", RTLD_NOW);
    if (layer == nullptr) return false;
    using Lose = void (*)(const char *);
    reinterpret_cast<Lose>(dlsym(layer, "tessera_lose"))(wishes);
    return true;
}

} // namespace tessera::test
