// Only in builds with the address sanitizer, in every program that uses Vulkan: leaks of the
// software driver and of the validation layer are not ours. Both are kept loaded, because a leak
// can be told by its library only while that is there.
#include <dlfcn.h>

extern "C" [[gnu::visibility("default")]] const char *__lsan_default_suppressions();
extern "C" const char *__lsan_default_suppressions() {
    return "leak:libvulkan_lvp.so\nleak:libLLVM\nleak:libVkLayer_khronos_validation.so\n";
}

namespace {
constexpr int kKeep = RTLD_LAZY | RTLD_NODELETE;
[[maybe_unused]] void *const g_driver = dlopen("libvulkan_lvp.so", kKeep);
[[maybe_unused]] void *const g_layer = dlopen("libVkLayer_khronos_validation.so", kKeep);
} // namespace
