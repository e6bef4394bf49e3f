// In builds without the Vulkan base, instead of picture_memory.cpp.
#include "api/picture_memory.hpp"

namespace tessera::api {

Result<std::shared_ptr<PictureMemory>> make_picture_memory(const tessera_vulkan_device & /*device*/,
                                                           std::uint32_t /*family_that_reads*/) {
    return make_error(Status::kUnsupported,
                      "this build of libtessera has no Vulkan compute: volk was not found");
}

} // namespace tessera::api
