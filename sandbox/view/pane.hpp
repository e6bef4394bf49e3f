// A place for one picture on the screen: its view, and the ring by which recorded pictures get
// there. The control thread's.
#pragma once

#include "assets/image_file.hpp"
#include "interop/ring/staging_ring.hpp"
#include "sandbox/view/view.hpp"

#include <memory>

namespace tessera {

class Pane {
  public:
    // Draws into passes that are compatible with `pass`. The device outlives the pane.
    [[nodiscard]] static Result<std::unique_ptr<Pane>> create(VulkanDevice &device,
                                                              VkRenderPass pass);

    // The next frames take their pictures from `ring`, which outlives the pane, until `show`.
    void follow(FrameRing &ring);
    // The next frame shows this; nothing to do when it is what was shown last.
    [[nodiscard]] Result<void> show(const std::shared_ptr<const Image> &image,
                                    const FrameInfo &info);

    [[nodiscard]] View &view() { return *view_; }
    [[nodiscard]] const View &view() const { return *view_; }
    [[nodiscard]] FrameRing &ring() const { return followed_ != nullptr ? *followed_ : *own_; }

  private:
    Pane() = default;

    std::unique_ptr<View> view_;
    std::unique_ptr<StagingRing> own_;    // this thread writes to it
    FrameRing *followed_ = nullptr;       // in its place
    std::shared_ptr<const Image> record_; // the last one in own_; kept so that no other is like it
};

} // namespace tessera
