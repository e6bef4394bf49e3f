// The table of targets, and what they share.
#include "fuzz/targets.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace tessera::fuzz {
namespace {

constexpr Target kTargets[] = {
    {"safetensors", safetensors},
    {"shard_index", shard_index},
    {"model_config", model_config},
    {"preset", preset},
    {"script", script},
    {"plan_cache", plan_cache},
    {"image", image},
    {"mask", mask},
    {"elf_library", elf_library},
};

} // namespace

std::span<const Target> targets() { return kTargets; }

const Target *find_target(std::string_view name) {
    for (const Target &target : kTargets) {
        if (name == target.name) return &target;
    }
    return nullptr;
}

void require(bool holds, const char *promise) {
    if (holds) return;
    std::fprintf(stderr, "broken promise: %s\n", promise);
    std::abort();
}

std::filesystem::path memory_file(std::span<const std::byte> bytes) {
    static const int file = ::memfd_create("tessera-fuzz", MFD_CLOEXEC);
    require(file >= 0 && ::ftruncate(file, 0) == 0, "a file in memory");
    std::size_t written = 0;
    while (written < bytes.size()) {
        const ssize_t count = ::pwrite(file, bytes.data() + written, bytes.size() - written,
                                       static_cast<off_t>(written));
        require(count > 0, "a file in memory takes its bytes");
        written += static_cast<std::size_t>(count);
    }
    return "/proc/self/fd/" + std::to_string(file);
}

} // namespace tessera::fuzz
