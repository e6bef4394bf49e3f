// The picture to start from and its mask, as the generator takes them.
#pragma once

#include "core/result.hpp"
#include "host/generator/slots.hpp"
#include "host/run/request.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

struct GivenInputs {
    std::vector<RequestInput> list;
    std::vector<std::string> notes; // what the user should be told, with the file's name
};

// Reads both and fits them to `slots`: of another size they are resized when the shape agrees, and
// an error names both sizes when it does not.
[[nodiscard]] Result<GivenInputs> load_inputs(const std::filesystem::path &picture,
                                              const std::filesystem::path &mask,
                                              const std::vector<InputSlot> &slots);

} // namespace tessera
