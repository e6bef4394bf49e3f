// Which generators there are: every library in the search path, each with what it holds or what is
// wrong with it.
#pragma once

#include "core/result.hpp"
#include "host/plugin/library.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Host;

// One generator of one library, or one library that could not be used (then `error` is set and the
// descriptor is empty).
struct ScanEntry {
    std::filesystem::path path;
    Descriptor descriptor;
    Error error{Status::kOk, {}};

    [[nodiscard]] bool usable() const { return error.status == Status::kOk; }
};

// [main] Opens and closes each library; in the order of the search path, then of the file names.
[[nodiscard]] std::vector<ScanEntry> scan_plugins(Host &host);

struct FoundGenerator {
    std::shared_ptr<Library> library;
    Descriptor descriptor;
};

// [main] A generator by its id, or the only one in a library by its path (a name with '/').
// The error collects why other libraries were no good.
[[nodiscard]] Result<FoundGenerator> find_generator(Host &host, const std::string &plugin);

} // namespace tessera
