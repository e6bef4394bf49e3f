// tessera-fuzz-replay TARGET FOLDER...: runs a target on every kept file, in any build.
#include "fuzz/targets.hpp"

#include "assets/mapped_file.hpp"

#include <cstdio>
#include <filesystem>

int main(int argc, char **argv) {
    const auto *const target = argc > 2 ? tessera::fuzz::find_target(argv[1]) : nullptr;
    if (target == nullptr) {
        std::fprintf(stderr, "usage: tessera-fuzz-replay TARGET FOLDER...\n");
        return 2;
    }
    int count = 0;
    for (int i = 2; i < argc; ++i) {
        std::error_code code;
        for (const auto &entry : std::filesystem::recursive_directory_iterator(argv[i], code)) {
            if (!entry.is_regular_file()) continue;
            const auto file = tessera::MappedFile::open(entry.path());
            if (!file) {
                std::fprintf(stderr, "%s\n", file.error().message.c_str());
                return 1;
            }
            std::printf("%s\n", entry.path().filename().c_str()); // the last one is what crashed
            std::fflush(stdout);
            target->run(file->bytes());
            ++count;
        }
    }
    std::printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
