// What is known of a model once its generator was made, as programs read it.
#pragma once

#include "assets/weight_cache.hpp"
#include "host/run/session.hpp"

#include <tessera/runtime.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera::api {

// Constant but for a new build of the plugin.
struct ModelFacts {
    std::string plugin, name, path;
    std::string metadata; // JSON
    Params params;        // with initial values
    std::vector<InputSlot> inputs;
    Batch batch;                         // which textures may be made in one job
    std::vector<tessera_param> c_params; // point to what is above and below
    std::vector<std::vector<const char *>> labels;
    std::vector<tessera_input_slot> c_inputs;
    std::uint32_t abilities = 0; // TESSERA_CAN_*
    std::uint32_t width = 0, height = 0;
    std::uint32_t max_side = 0; // of a texture, windows put together
    bool sizes = false;
    std::uint64_t bytes = 0;
};

// `weights` may be nullptr.
[[nodiscard]] std::unique_ptr<const ModelFacts> facts_of(const Session &session,
                                                         const WeightSet *weights);
// Whatever a program has read of the one stays true for the other.
[[nodiscard]] bool same_facts(const ModelFacts &a, const ModelFacts &b);

// In memory.
[[nodiscard]] std::uint64_t tensor_bytes(const WeightSet &weights);
// The texts of a file by key, as JSON.
[[nodiscard]] std::string metadata_json(const WeightSet &weights);

} // namespace tessera::api
