// libFuzzer on one target: tessera-fuzz --target=NAME [libFuzzer's options] FOLDER...
#include "fuzz/targets.hpp"

#include "core/log.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {
const tessera::fuzz::Target *target = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int *argc, char ***argv) {
    constexpr std::string_view kOption = "--target=";
    for (int i = 1; i < *argc; ++i) {
        const std::string_view argument((*argv)[i]);
        if (argument.starts_with(kOption)) {
            target = tessera::fuzz::find_target(argument.substr(kOption.size()));
        }
    }
    if (target == nullptr) {
        std::fprintf(stderr, "tessera-fuzz: --target=NAME, one of:");
        for (const auto &known : tessera::fuzz::targets()) std::fprintf(stderr, " %s", known.name);
        std::fprintf(stderr, "\n");
        std::exit(2);
    }
    tessera::log::set_sink({});
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    target->run({reinterpret_cast<const std::byte *>(data), size});
    return 0;
}
