#include "sandbox/view/pane.hpp"

#include <cstring>
#include <utility>

namespace tessera {

Result<std::unique_ptr<Pane>> Pane::create(VulkanDevice &device, VkRenderPass pass) {
    auto view = View::create(device, pass);
    if (!view) return view.error();
    auto ring = StagingRing::create(device);
    if (!ring) return ring.error();
    auto pane = std::unique_ptr<Pane>(new Pane());
    pane->view_ = std::move(*view);
    pane->own_ = std::move(*ring);
    return pane;
}

void Pane::follow(FrameRing &ring) {
    followed_ = &ring;
    record_.reset();
}

Result<void> Pane::show(const std::shared_ptr<const Image> &image, const FrameInfo &info) {
    followed_ = nullptr;
    if (image == nullptr || image == record_) return {};
    auto frame = own_->acquire(image->width, image->height);
    if (!frame) return frame.error();
    std::memcpy(frame->data, image->pixels.data(), image->pixels.size());
    if (auto published = own_->publish(*frame, info); !published) return published;
    record_ = image;
    return {};
}

} // namespace tessera
