// Tensors of a fixture file as arrays of doubles.
#pragma once

#include "assets/mapped_file.hpp"
#include "assets/safetensors.hpp"
#include "reference.hpp"

#include <string>
#include <string_view>

namespace tessera::testing {

class FixtureFile {
  public:
    static Result<FixtureFile> open(const std::string &path);

    // F32 and I64 tensors; an empty array, and a test failure, when there is none of this name.
    [[nodiscard]] reference::Array array(std::string_view name) const;
    // (batch, channels, height, width) turned into (batch, height, width, channels).
    [[nodiscard]] reference::Array channels_last(std::string_view name) const;

  private:
    MappedFile file_;
    SafetensorsHeader header_;
};

} // namespace tessera::testing
