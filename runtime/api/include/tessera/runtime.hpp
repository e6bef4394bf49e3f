// The C++ side of runtime.h: handles that close themselves, results that carry the text.
// Header-only, C++17; throws nothing and needs nothing but the C header.
//
//   auto runtime = tessera::Runtime::open();
//   auto model = runtime->model({.model = "materials"});          // C++20; in 17 fill a
//   tessera_model_desc auto bark = model->texture({.seed = 7, .values = R"({"class": "bark"})"});
//   if (!bark->wait(60'000)) std::puts(bark->wait(0).text.c_str());
//
// What is not here is one call away: every object has its handle, and runtime.h all functions. A
// model or texture may outlive its runtime: its handle is stale then, and its functions say
// NOT_FOUND.
#pragma once

#include <tessera/runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tessera {

// A status with this thread's text for it.
struct Outcome {
    tessera_status status = TESSERA_OK;
    std::string text;

    explicit operator bool() const { return status == TESSERA_OK; }

    static Outcome of(tessera_status status) {
        Outcome outcome{status, {}};
        if (status == TESSERA_OK) return outcome;
        std::size_t needed = 0;
        tessera_last_error(nullptr, 0, &needed);
        outcome.text.resize(needed);
        tessera_last_error(outcome.text.data(), needed, &needed);
        outcome.text.resize(needed - 1); // without the zero
        return outcome;
    }
};

// An object, or why there is none.
template <class T>
struct Opened {
    std::optional<T> object;
    Outcome outcome;

    explicit operator bool() const { return object.has_value(); }
    T &operator*() { return *object; }
    T *operator->() { return &*object; }
};

namespace detail {

// Owns a handle. Movable, as all below.
template <class Handle, tessera_status (*Close)(Handle)>
class Owned {
  public:
    Owned() = default;
    explicit Owned(Handle handle) : handle_(handle) {}
    Owned(Owned &&other) noexcept : handle_(std::exchange(other.handle_, Handle{})) {}
    Owned &operator=(Owned &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    Owned(const Owned &) = delete;
    Owned &operator=(const Owned &) = delete;
    ~Owned() {
        if (handle_.id != 0) Close(handle_);
    }
    [[nodiscard]] Handle handle() const { return handle_; }

  private:
    Handle handle_{};
};

inline tessera_status close_runtime(tessera_runtime runtime) {
    return tessera_runtime_close(runtime, 10'000);
}

template <class T>
T sized(T desc = {}) {
    desc.struct_size = sizeof desc;
    return desc;
}

} // namespace detail

class Texture : public detail::Owned<tessera_texture, tessera_texture_close> {
  public:
    using Owned::Owned;

    [[nodiscard]] Outcome wait(std::uint32_t timeout_ms) const {
        return Outcome::of(tessera_texture_wait(handle(), timeout_ms));
    }
    Outcome restart() const { return Outcome::of(tessera_texture_restart(handle(), nullptr)); }
    Outcome set(const char *key, const char *value) const {
        return Outcome::of(tessera_texture_set(handle(), key, value));
    }
    Outcome priority(std::int32_t priority, float weight) const {
        return Outcome::of(tessera_texture_priority(handle(), priority, weight));
    }
    Outcome pause(bool paused) const {
        return Outcome::of(tessera_texture_pause(handle(), paused));
    }
    Outcome cancel() const { return Outcome::of(tessera_texture_cancel(handle())); }
    [[nodiscard]] Outcome save(const char *path) const {
        return Outcome::of(tessera_texture_save(handle(), path));
    }
    // Zeros when the handle is stale.
    [[nodiscard]] tessera_texture_info info() const {
        auto info = detail::sized<tessera_texture_info>();
        tessera_texture_get(handle(), &info);
        return info;
    }
    // Rows without gaps, as TESSERA_MAP_* says; empty: there is no such picture.
    [[nodiscard]] std::vector<std::uint8_t>
    pixels(std::uint32_t map = TESSERA_MAP_COLOUR) const {
        std::vector<std::uint8_t> bytes;
        auto pixels = detail::sized<tessera_pixels>();
        pixels.map = map;
        // Between the two calls a picture of another size may come.
        while (tessera_texture_read(handle(), &pixels) == TESSERA_OK) {
            const auto size = [&] {
                return std::size_t{pixels.width} * pixels.height * pixels.pixel_bytes;
            };
            bytes.resize(size());
            pixels.data = bytes.data();
            pixels.bytes = bytes.size();
            const bool read = tessera_texture_read(handle(), &pixels) == TESSERA_OK;
            if (read && bytes.size() == size()) return bytes;
            pixels = detail::sized<tessera_pixels>();
            pixels.map = map;
        }
        return {};
    }
};

class Model : public detail::Owned<tessera_model, tessera_model_close> {
  public:
    using Owned::Owned;

    [[nodiscard]] Outcome wait(std::uint32_t timeout_ms) const {
        return Outcome::of(tessera_model_wait(handle(), timeout_ms));
    }
    // struct_size is filled in.
    [[nodiscard]] Opened<Texture> texture(tessera_texture_desc desc) const {
        desc = detail::sized(desc);
        tessera_texture out{};
        const auto outcome = Outcome::of(tessera_texture_open(handle(), &desc, &out));
        if (!outcome) return {std::nullopt, outcome};
        return {Texture(out), outcome};
    }
    [[nodiscard]] tessera_model_info info() const {
        auto info = detail::sized<tessera_model_info>();
        tessera_model_get(handle(), &info);
        return info;
    }
};

class Runtime : public detail::Owned<tessera_runtime, detail::close_runtime> {
  public:
    using Owned::Owned;

    // struct_size and abi_version are filled in.
    [[nodiscard]] static Opened<Runtime> open(tessera_runtime_desc desc = {}) {
        desc = detail::sized(desc);
        desc.abi_version = TESSERA_ABI_VERSION;
        tessera_runtime out{};
        const auto outcome = Outcome::of(tessera_runtime_open(&desc, &out));
        if (!outcome) return {std::nullopt, outcome};
        return {Runtime(out), outcome};
    }
    [[nodiscard]] Opened<Model> model(tessera_model_desc desc) const {
        desc = detail::sized(desc);
        tessera_model out{};
        const auto outcome = Outcome::of(tessera_model_open(handle(), &desc, &out));
        if (!outcome) return {std::nullopt, outcome};
        return {Model(out), outcome};
    }
    // Calls on_event(const tessera_runtime_event &) for what happened.
    template <class OnEvent>
    Outcome frame(tessera_frame_info info, OnEvent &&on_event) const {
        info = detail::sized(info);
        using Function = std::remove_reference_t<OnEvent>;
        return Outcome::of(tessera_runtime_frame(
            handle(), &info,
            [](void *user, const tessera_runtime_event *event) {
                (*static_cast<Function *>(user))(*event);
            },
            const_cast<std::remove_const_t<Function> *>(std::addressof(on_event))));
    }
    [[nodiscard]] tessera_stats stats() const {
        auto stats = detail::sized<tessera_stats>();
        tessera_runtime_stats(handle(), &stats);
        return stats;
    }
};

} // namespace tessera
