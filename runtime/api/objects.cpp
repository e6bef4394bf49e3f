#include "api/objects.hpp"

#include <atomic>

namespace tessera::api {
namespace {

std::atomic<void (*)(const Runtime &)> forget_others{nullptr};

template <class T>
Handles<T> &immortal() {
    static auto *const handles = new Handles<T>;
    return *handles;
}

} // namespace

std::uint64_t next_handle() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

Handles<Runtime> &runtimes() { return immortal<Runtime>(); }
Handles<Model> &models() { return immortal<Model>(); }
Handles<Texture> &textures() { return immortal<Texture>(); }

void on_runtime_closed(void (*forget)(const Runtime &runtime)) { forget_others = forget; }

void forget_all_of(const Runtime &runtime) {
    textures().drop_if(
        [&](const Texture &texture) { return texture.model->runtime.get() == &runtime; });
    models().drop_if([&](const Model &model) { return model.runtime.get() == &runtime; });
    if (auto *const forget = forget_others.load()) forget(runtime);
}

} // namespace tessera::api
