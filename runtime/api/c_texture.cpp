// The C functions of textures.
#include "api/boundary.hpp"
#include "api/objects.hpp"
#include "assets/image_file.hpp"
#include "core/tensor.hpp"

#include <tessera/runtime.h>

#include <algorithm>
#include <cmath>

namespace tessera::api {
namespace {

constexpr std::uint32_t kMostInputs = 64;

// One input, copied: images and masks of bytes, tensors of float32.
Result<RequestInput> input_of(const tessera_input &from) {
    const tessera_tensor &tensor = from.tensor;
    RequestInput input;
    input.key = from.key != nullptr ? from.key : "";
    const bool is_bytes = tensor.dtype == TESSERA_DTYPE_U8;
    const bool fits = (is_bytes || tensor.dtype == TESSERA_DTYPE_F32) && tensor.data != nullptr &&
                      tensor.memory == TESSERA_MEMORY_HOST &&
                      tensor.layout == TESSERA_LAYOUT_STRIDED &&
                      (tensor.rank == 2 || tensor.rank == 3);
    for (std::int32_t i = 0; fits && i < tensor.rank; ++i) {
        if (tensor.shape[i] < 1 || tensor.shape[i] > std::int64_t{kMaxImageSide}) {
            return make_error(Status::kInvalidArgument,
                              "input '{}' is {}; expected sides of 1 to {}", input.key,
                              shape_text(tensor), kMaxImageSide);
        }
    }
    if (!fits) {
        return make_error(Status::kInvalidArgument,
                          "input '{}' is {} of {}; expected (height, width) or (height, width, "
                          "channels) of u8 or f32 on the host",
                          input.key, shape_text(tensor), dtype_name(tensor.dtype));
    }
    input.image.height = static_cast<std::uint32_t>(tensor.shape[0]);
    input.image.width = static_cast<std::uint32_t>(tensor.shape[1]);
    input.image.channels = tensor.rank == 3 ? static_cast<std::uint32_t>(tensor.shape[2]) : 1;
    const auto copy = [&](auto &out, const auto *data) {
        const std::int64_t step = tensor.rank == 3 ? tensor.stride[2] : 0;
        for (std::int64_t y = 0; y < tensor.shape[0]; ++y) {
            for (std::int64_t x = 0; x < tensor.shape[1]; ++x) {
                for (std::int64_t c = 0; c < input.image.channels; ++c) {
                    out.push_back(data[y * tensor.stride[0] + x * tensor.stride[1] + c * step]);
                }
            }
        }
    };
    if (is_bytes)
        copy(input.image.pixels, static_cast<const std::uint8_t *>(tensor.data));
    else
        copy(input.numbers, static_cast<const float *>(tensor.data));
    return input;
}

Result<Order> order_of(const tessera_texture_desc &desc) {
    Order order;
    order.seed = desc.seed;
    order.preview_every = desc.preview_every;
    order.width = desc.width;
    order.height = desc.height;
    order.maps = desc.maps != 0;
    if (desc.values != nullptr) order.values = desc.values;
    if (desc.input_count > kMostInputs || (desc.input_count > 0 && desc.inputs == nullptr)) {
        return make_error(Status::kInvalidArgument, "{} inputs at {}; expected at most {}",
                          desc.input_count, static_cast<const void *>(desc.inputs), kMostInputs);
    }
    for (std::uint32_t i = 0; i < desc.input_count; ++i) {
        auto input = input_of(desc.inputs[i]);
        if (!input) return input.error();
        order.inputs.push_back(std::move(*input));
    }
    return order;
}

tessera_texture_info info_of(const Texture &texture) {
    tessera_texture_info info{};
    info.struct_size = sizeof info;
    info.state = static_cast<std::uint32_t>(texture.state);
    info.job = texture.job;
    info.step = texture.step;
    info.total_steps = texture.total_steps;
    info.priority = texture.priority;
    info.weight = texture.weight;
    info.status = static_cast<tessera_status>(texture.error.status);
    info.maps = texture.maps != nullptr ? texture.maps->number : 0;
    if (texture.picture != nullptr) {
        info.picture = texture.picture->number;
        info.picture_job = texture.picture->job;
        info.width = texture.picture->width;
        info.height = texture.picture->height;
        info.final = texture.picture->final ? 1 : 0;
    }
    return info;
}

Result<void> copy_pixels(const Pixels &pixels, const tessera_pixels &to) {
    const std::size_t row = std::size_t{pixels.width()} * to.pixel_bytes;
    const std::size_t stride = to.row_bytes != 0 ? to.row_bytes : row;
    const std::size_t needed = stride * (pixels.height() - 1) + row;
    if (stride < row) {
        return make_error(Status::kInvalidArgument,
                          "row_bytes {}; a picture of {} x {} needs at least {}", stride,
                          pixels.width(), pixels.height(), row);
    }
    if (to.bytes < needed) {
        return make_error(Status::kInvalidArgument,
                          "{} bytes; a picture of {} x {} in rows of {} needs {}", to.bytes,
                          pixels.width(), pixels.height(), stride, needed);
    }
    pixels.copy_to(static_cast<std::byte *>(to.data), stride);
    return {};
}

Error none_yet(std::uint32_t map) {
    if (map == TESSERA_MAP_COLOUR) return {Status::kNotFound, "there is no picture yet"};
    return {Status::kNotFound, "there are no maps yet; they come with the final picture of a "
                               "texture that was opened with maps"};
}

Result<std::shared_ptr<const Picture>> newest_picture(const Texture &texture) {
    auto picture = texture.model->runtime->picture(texture);
    if (picture == nullptr) return none_yet(TESSERA_MAP_COLOUR);
    if (auto fetched = picture->fetch(); !fetched) return fetched.error();
    return picture;
}

float plain(float weight) { return std::isnan(weight) ? 0.0F : weight; }

} // namespace
} // namespace tessera::api

using namespace tessera;
using namespace tessera::api;

extern "C" {

tessera_status tessera_texture_open(tessera_model model, const tessera_texture_desc *from,
                                    tessera_texture *out) {
    return answer([&]() -> Result<void> {
        if (out == nullptr) return make_error(Status::kInvalidArgument, "out is NULL");
        *out = {};
        auto found = models().find(model.id, "model");
        if (!found) return found.error();
        auto desc = read_struct(from, "texture desc");
        if (!desc) return desc.error();
        auto order = order_of(*desc);
        if (!order) return order.error();
        const std::uint64_t id = next_handle();
        auto texture = (*found)->runtime->open_texture(
            id, *found, std::move(*order), desc->priority, plain(desc->weight), desc->paused != 0);
        if (!texture) return texture.error();
        *out = {id};
        return {};
    });
}

tessera_status tessera_texture_close(tessera_texture texture) {
    return answer([&]() -> Result<void> {
        auto taken = textures().take(texture.id, "texture");
        if (!taken) return taken.error();
        (*taken)->model->runtime->close_texture(**taken);
        return {};
    });
}

tessera_status tessera_texture_restart(tessera_texture texture, const tessera_texture_desc *from) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        Runtime &runtime = *(*found)->model->runtime;
        if (from == nullptr) return runtime.restart(**found, std::nullopt, std::nullopt);
        auto desc = read_struct(from, "texture desc");
        if (!desc) return desc.error();
        auto order = order_of(*desc);
        if (!order) return order.error();
        {
            const auto guard = runtime.lock();
            (*found)->priority = desc->priority;
            (*found)->weight = plain(desc->weight);
        }
        return runtime.restart(**found, std::move(*order), desc->paused != 0);
    });
}

tessera_status tessera_texture_set(tessera_texture texture, const char *key, const char *value) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        if (key == nullptr || value == nullptr) {
            return make_error(Status::kInvalidArgument, "{} is NULL",
                              key == nullptr ? "key" : "value");
        }
        return (*found)->model->runtime->set_value(**found, key, value);
    });
}

tessera_status tessera_texture_priority(tessera_texture texture, int32_t priority, float weight) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        const auto guard = (*found)->model->runtime->lock();
        (*found)->priority = priority;
        (*found)->weight = plain(weight);
        return {};
    });
}

tessera_status tessera_texture_pause(tessera_texture texture, int32_t paused) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        (*found)->model->runtime->pause(**found, paused != 0);
        return {};
    });
}

tessera_status tessera_texture_cancel(tessera_texture texture) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        (*found)->model->runtime->cancel(**found);
        return {};
    });
}

tessera_status tessera_texture_wait(tessera_texture texture, uint32_t timeout_ms) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        const auto timeout = std::chrono::milliseconds(std::min(timeout_ms, 1u << 30));
        return (*found)->model->runtime->wait_texture(**found, timeout);
    });
}

tessera_status tessera_texture_get(tessera_texture texture, tessera_texture_info *out) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        tessera_texture_info info{};
        std::shared_ptr<const Picture> picture;
        {
            const auto guard = (*found)->model->runtime->lock();
            info = info_of(**found);
            picture = (*found)->picture;
        }
        if (picture != nullptr && picture->final) {
            if (auto fetched = picture->fetch(); !fetched) return fetched;
            info.hash = picture->hash();
        }
        return write_struct(info, out, "texture info");
    });
}

tessera_status tessera_texture_read(tessera_texture texture, tessera_pixels *io) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        auto pixels = read_struct(io, "pixels");
        if (!pixels) return pixels.error();
        const std::uint32_t pixel_bytes = pixel_bytes_of(pixels->map);
        if (pixel_bytes == 0) {
            return make_error(Status::kInvalidArgument, "map {}; expected {} to {}", pixels->map,
                              int{TESSERA_MAP_COLOUR}, int{TESSERA_MAP_METALLIC});
        }
        const Pixels newest = (*found)->model->runtime->pixels(**found, pixels->map);
        if (!newest) return none_yet(pixels->map);
        if (newest.picture != nullptr && pixels->data != nullptr) {
            if (auto fetched = newest.picture->fetch(); !fetched) return fetched;
        }
        pixels->width = newest.width();
        pixels->height = newest.height();
        pixels->picture = newest.number();
        pixels->pixel_bytes = pixel_bytes;
        auto written = write_struct(*pixels, io, "pixels");
        if (!written || pixels->data == nullptr) return written;
        return copy_pixels(newest, *pixels);
    });
}

tessera_status tessera_texture_values(tessera_texture texture, char *json, size_t bytes,
                                      size_t *needed) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        auto preset = (*found)->model->runtime->preset(**found);
        if (!preset) return preset.error();
        return write_text(*preset, json, bytes, needed);
    });
}

tessera_status tessera_texture_save(tessera_texture texture, const char *path) {
    return answer([&]() -> Result<void> {
        auto found = textures().find(texture.id, "texture");
        if (!found) return found.error();
        if (path == nullptr) return make_error(Status::kInvalidArgument, "path is NULL");
        auto picture = newest_picture(**found);
        if (!picture) return picture.error();
        const auto pixels = (*picture)->pixels();
        Image image{(*picture)->width, (*picture)->height, 4, {}};
        image.pixels.resize(pixels.size());
        std::memcpy(image.pixels.data(), pixels.data(), pixels.size());
        return write_image(path, image);
    });
}

} // extern "C"
