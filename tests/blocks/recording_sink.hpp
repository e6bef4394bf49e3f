// A sink that keeps what a job sends.
#pragma once

#include <tessera/ext/features.h>
#include <tessera/sdk/generator.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace tessera::blocks {

using Picture = std::vector<std::uint8_t>;

class RecordingSink {
  public:
    struct Image {
        Picture pixels;
        std::int64_t height, width;
        std::uint32_t image;
        std::uint32_t step;
        bool is_final;
    };

    RecordingSink() {
        table_.sink_data = this;
        table_.acquire_frame = [](const tessera_sink *sink, std::uint32_t width,
                                  std::uint32_t height, tessera_tensor *out) -> tessera_status {
            auto &self = *static_cast<RecordingSink *>(sink->sink_data);
            self.frame_.assign(static_cast<std::size_t>(width) * height * 4, 7);
            *out = sdk::host_view(self.frame_.data(), {height, width, 4});
            return TESSERA_OK;
        };
        table_.emit = [](const tessera_sink *sink, const tessera_event *event) -> tessera_status {
            static_cast<RecordingSink *>(sink->sink_data)->keep(*event);
            return TESSERA_OK;
        };
        table_.should_stop = [](const tessera_sink *sink) -> std::int32_t {
            return static_cast<RecordingSink *>(sink->sink_data)->stop ? 1 : 0;
        };
    }
    RecordingSink(const RecordingSink &) = delete;
    RecordingSink &operator=(const RecordingSink &) = delete;

    [[nodiscard]] const tessera_sink *table() const { return &table_; }
    [[nodiscard]] sdk::Sink sink() const { return sdk::Sink(&table_); }
    [[nodiscard]] std::vector<Picture> final_pictures() const {
        std::vector<Picture> pictures;
        for (const Image &image : images) {
            if (image.is_final) pictures.push_back(image.pixels);
        }
        return pictures;
    }

    std::vector<Image> images;
    std::vector<std::vector<float>> latents;
    std::vector<std::int64_t> latent_shape, cell_shape; // of all of them
    std::vector<Picture> cells;
    std::vector<float> pooled, dense; // of a picture that was encoded
    std::vector<std::uint32_t> progress;
    std::uint32_t total = 0;
    bool stop = false;
    const sdk::Compute *device = nullptr; // that reads features which lie there

  private:
    void keep(const tessera_event &event) {
        const auto *bytes = event.tensor != nullptr
                                ? static_cast<const std::uint8_t *>(event.tensor->data)
                                : nullptr;
        const std::size_t size = event.tensor != nullptr
                                     ? static_cast<std::size_t>(sdk::element_count(*event.tensor))
                                     : 0;
        switch (event.type) {
        case TESSERA_EVENT_PROGRESS:
            progress.push_back(event.step);
            total = event.total_steps;
            break;
        case TESSERA_EVENT_IMAGE:
            images.push_back({Picture(bytes, bytes + size), event.tensor->shape[0],
                              event.tensor->shape[1], event.image, event.step,
                              (event.flags & TESSERA_EVENT_FINAL) != 0});
            break;
        case TESSERA_EVENT_CELLS:
            cells.emplace_back(bytes, bytes + size);
            cell_shape.assign(event.tensor->shape, event.tensor->shape + event.tensor->rank);
            break;
        case TESSERA_EVENT_FEATURES: {
            const std::string name = event.name;
            if (event.tensor->dtype != TESSERA_DTYPE_F32) break;
            std::vector<float> values(size);
            if (event.tensor->memory == TESSERA_MEMORY_HOST) {
                std::memcpy(values.data(), bytes, size * sizeof(float));
            } else if (device != nullptr) {
                const std::span shape(event.tensor->shape,
                                      static_cast<std::size_t>(event.tensor->rank));
                device->download(*event.tensor, sdk::make_view(values.data(), TESSERA_DTYPE_F32,
                                                               shape, TESSERA_MEMORY_HOST));
                device->synchronize();
            } else {
                break; // nobody here reads it
            }
            if (name == TESSERA_FEATURE_POOLED) pooled = values;
            if (name == TESSERA_FEATURE_DENSE) dense = values;
            if (name != TESSERA_FEATURE_LATENTS) break;
            latents.push_back(std::move(values));
            latent_shape.assign(event.tensor->shape, event.tensor->shape + event.tensor->rank);
            break;
        }
        default:
            ADD_FAILURE() << "event type " << event.type;
        }
    }
    tessera_sink table_{};
    Picture frame_;
};

} // namespace tessera::blocks
