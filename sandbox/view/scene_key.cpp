#include "sandbox/view/scene_key.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <imgui.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tessera {
namespace {

class Key {
  public:
    void add_bytes(const void *data, std::size_t size_bytes) {
        value_ = XXH3_64bits_withSeed(data, size_bytes, value_);
    }
    // Nothing with padding.
    template <class... Values>
    void add(const Values &...values) {
        static_assert((std::is_arithmetic_v<Values> && ...));
        (add_bytes(&values, sizeof values), ...);
    }
    [[nodiscard]] std::uint64_t value() const { return value_; }

  private:
    std::uint64_t value_ = 0;
};

// As the renderer will place it.
void add_place(Key &key, const ViewRegion &region, ViewTransform transform, int tiles) {
    transform.set_region(region);
    transform.set_tiles(tiles);
    key.add(region.x, region.y, region.width, region.height, transform.origin().x,
            transform.origin().y, transform.scale());
}

void add_look(Key &key, const ViewLook &look) {
    key.add(look.smooth, look.checker, look.tiles, look.checker_size, look.shadow_radius);
    for (const Colour &colour : {look.background, look.checker_colour}) {
        key.add(colour.red, colour.green, colour.blue);
    }
}

template <class T>
void add_list(Key &key, const ImVector<T> &list) {
    key.add(list.Size);
    key.add_bytes(list.Data, static_cast<std::size_t>(list.size_in_bytes()));
}

} // namespace

std::uint64_t scene_key(const Scene &scene, const ImDrawData *interface) {
    Key key;
    add_place(key, scene.region, *scene.transform, scene.look.tiles);
    add_look(key, scene.look);
    key.add(scene.pinned.has_value());
    if (scene.pinned) {
        add_place(key, scene.pinned->region, scene.pinned->transform, scene.look.tiles);
    }
    if (interface == nullptr) return key.value();
    key.add(interface->DisplaySize.x, interface->DisplaySize.y, interface->FramebufferScale.x);
    for (int i = 0; i < interface->CmdListsCount; ++i) {
        const ImDrawList &list = *interface->CmdLists[i];
        add_list(key, list.VtxBuffer);
        add_list(key, list.IdxBuffer);
        for (const ImDrawCmd &command : list.CmdBuffer) {
            key.add(command.ClipRect.x, command.ClipRect.y, command.ClipRect.z, command.ClipRect.w,
                    command.ElemCount, command.IdxOffset, command.VtxOffset);
        }
    }
    return key.value();
}

bool has_new_picture(const Scene &scene) {
    if (scene.ring != nullptr && scene.ring->has_frame()) return true;
    return scene.pinned && scene.pinned->ring != nullptr && scene.pinned->ring->has_frame();
}

} // namespace tessera
