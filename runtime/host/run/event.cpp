#include "host/run/event.hpp"

#include "core/tensor.hpp"

#include <cstring>

namespace tessera {
namespace {

// Copies a strided tensor without its gaps.
void copy_elements(const tessera_tensor &tensor, std::vector<std::byte> &out) {
    const auto element = static_cast<std::int64_t>(dtype_size(tensor.dtype));
    const auto *const data = static_cast<const std::byte *>(tensor.data);
    const auto shape = [&](std::int32_t i) { return i < tensor.rank ? tensor.shape[i] : 1; };
    const auto offset = [&](std::int32_t i, std::int64_t index) {
        return i < tensor.rank ? index * tensor.stride[i] * element : 0;
    };
    static_assert(TESSERA_MAX_RANK == 4);
    for (std::int64_t a = 0; a < shape(0); ++a) {
        for (std::int64_t b = 0; b < shape(1); ++b) {
            for (std::int64_t c = 0; c < shape(2); ++c) {
                for (std::int64_t d = 0; d < shape(3); ++d) {
                    const std::byte *const from =
                        data + offset(0, a) + offset(1, b) + offset(2, c) + offset(3, d);
                    out.insert(out.end(), from, from + element);
                }
            }
        }
    }
}

PlayerEvent::Type event_type(tessera_event_type type) {
    switch (type) {
    case TESSERA_EVENT_IMAGE:
        return PlayerEvent::Type::kImage;
    case TESSERA_EVENT_CELLS:
        return PlayerEvent::Type::kCells;
    case TESSERA_EVENT_FEATURES:
        return PlayerEvent::Type::kFeatures;
    default:
        return PlayerEvent::Type::kProgress;
    }
}

} // namespace

PlayerEvent copy_event(const tessera_event &from, std::uint64_t job, std::uint64_t tag) {
    PlayerEvent event;
    event.type = event_type(from.type);
    event.final = (from.flags & TESSERA_EVENT_FINAL) != 0;
    event.job = job;
    event.tag = tag;
    event.image = from.image;
    event.step = from.step;
    event.total_steps = from.total_steps;
    if (from.name != nullptr) event.name = from.name;
    const bool has_data = from.type == TESSERA_EVENT_CELLS || from.type == TESSERA_EVENT_FEATURES;
    if (!has_data) return event;
    const tessera_tensor &tensor = *from.tensor;
    event.dtype = tensor.dtype;
    event.shape.assign(tensor.shape, tensor.shape + tensor.rank);
    if (tensor.memory != TESSERA_MEMORY_HOST) return event;
    const auto *const data = static_cast<const std::byte *>(tensor.data);
    const auto size = static_cast<std::size_t>(*size_bytes(tensor));
    if (is_contiguous(tensor)) {
        event.bytes.assign(data, data + size);
    } else {
        event.bytes.reserve(size);
        copy_elements(tensor, event.bytes);
    }
    return event;
}

std::vector<float> floats_of(std::span<const std::byte> bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
}

} // namespace tessera
