// In builds without the Vulkan base, instead of picture_memory.cpp.
#include "api/picture_memory.hpp"

namespace tessera::api {
namespace {

class NoMemory final : public PictureMemory {
  public:
    Result<void> open_queue() override { return why(); }
    [[nodiscard]] const tessera_vulkan_device *for_compute() const override { return nullptr; }
    Result<std::shared_ptr<const PicturePlace>> take(std::uint64_t /*size_bytes*/) override {
        return why();
    }
    Result<std::shared_ptr<const PicturePlace>>
    take_shared(std::uint64_t /*size_bytes*/, const tessera_ext_cuda & /*cuda*/) override {
        return why();
    }
    [[nodiscard]] std::uint64_t bytes() const override { return 0; }
    [[nodiscard]] bool is_idle() const override { return true; }
    void trim() override {}

  private:
    static Error why() {
        return make_error(Status::kUnsupported,
                          "this build of libtessera has no Vulkan of its own: volk was not found");
    }
};

} // namespace

std::shared_ptr<PictureMemory> make_picture_memory(const ProgramVulkan & /*program*/) {
    return std::make_shared<NoMemory>();
}

} // namespace tessera::api
