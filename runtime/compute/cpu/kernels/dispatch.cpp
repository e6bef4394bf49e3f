#include "compute/cpu/kernels/dispatch.hpp"

#include <string>

#ifdef TESSERA_CPU_ARM
#include <sys/auxv.h>
#endif

namespace tessera::cpu {
namespace {

bool always() { return true; }

#ifdef TESSERA_CPU_X86
// What the files of a level are compiled with, see CMakeLists.txt.
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("f16c") && __builtin_cpu_supports("aes") &&
           __builtin_cpu_supports("pclmul");
}
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif
#ifdef TESSERA_CPU_ARM
bool has_neon() { return (getauxval(AT_HWCAP) & HWCAP_AES) != 0; } // every ARM has the rest
#endif

constexpr Level kLevels[] = {
#ifdef TESSERA_CPU_X86
    {"avx512_bf16", has_avx512_bf16, avx512_bf16::kernels},
    {"avx512", has_avx512, avx512::kernels},
    {"avx2", has_avx2, avx2::kernels},
#endif
#ifdef TESSERA_CPU_ARM
    {"neon", has_neon, neon::kernels},
#endif
    {"generic", always, generic::kernels},
    {"emulated", always, emulated::kernels},
};

} // namespace

std::span<const Level> levels() { return kLevels; }

Result<const Kernels *> choose_kernels(std::string_view name) {
    std::string known;
    for (const Level &level : kLevels) {
        if (name.empty() ? level.available() : name == level.name) {
            if (level.available()) return &level.kernels();
            return make_error(Status::kUnsupported,
                              "instruction set \"{}\" is not available on this machine", name);
        }
        known += fmt::format("{}{}", known.empty() ? "" : ", ", level.name);
    }
    return make_error(Status::kInvalidArgument,
                      "instruction set \"{}\" is unknown; expected one of {}", name, known);
}

} // namespace tessera::cpu
