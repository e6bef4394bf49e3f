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

// A function of the layer by its name; nullptr: there is no layer.
template <class Function>
Function layer_function(const char *name) {
    static void *const layer = dlopen(TESSERA_LOSING_LAYERS "/losing_layer.so", RTLD_NOW);
    return layer != nullptr ? reinterpret_cast<Function>(dlsym(layer, name)) : nullptr;
}

// `wishes` as in TESSERA_LOSE, counted from now; empty: no device is lost any more.
inline bool lose_devices(const char *wishes) {
    const auto lose = layer_function<void (*)(const char *)>("tessera_lose");
    if (lose == nullptr) return false;
    lose(wishes);
    return true;
}

// So far, see losing_layer.cpp; with the layer.
inline long shared_buffers() { return layer_function<long (*)()>("tessera_shared_buffers")(); }

} // namespace tessera::test
