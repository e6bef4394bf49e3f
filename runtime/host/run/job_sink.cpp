#include "host/run/job_sink.hpp"

#include "assets/image_file.hpp"
#include "core/log.hpp"
#include "core/tensor.hpp"
#include "host/plugin/plugin_text.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kMaxAcquired = 256;                        // frames held at once
constexpr std::int64_t kMaxFeatureBytes = std::int64_t{1} << 28; // of one tensor in an event

JobSink &sink_of(const tessera_sink *table) { return *static_cast<JobSink *>(table->sink_data); }

// What was thrown, for people: the library's own word for a lack of memory is the name of a type.
const char *words_of(const std::exception &thrown) {
    const bool is_memory = dynamic_cast<const std::bad_alloc *>(&thrown) != nullptr;
    return is_memory ? "out of memory" : thrown.what();
}

bool is_same_view(const tessera_tensor &a, const tessera_tensor &b) {
    if (a.data != b.data || a.dtype != b.dtype || a.memory != b.memory || a.layout != b.layout ||
        !has_same_shape(a, b)) {
        return false;
    }
    return std::equal(a.stride, a.stride + a.rank, b.stride);
}

// A tensor that the host is going to read, in its own memory or in `device`'s.
Result<void> check_tensor(const tessera_tensor &tensor,
                          tessera_memory device = TESSERA_MEMORY_HOST) {
    const auto bytes = size_bytes(tensor);
    if (tensor.data == nullptr || !bytes || *bytes == 0 || *bytes > kMaxFeatureBytes) {
        return make_error(Status::kInvalidArgument, "{} of {} at {}; expected 1 to {} bytes",
                          shape_text(tensor), dtype_name(tensor.dtype),
                          static_cast<const void *>(tensor.data), kMaxFeatureBytes);
    }
    const bool within_reach = tensor.memory == TESSERA_MEMORY_HOST || tensor.memory == device;
    if (!within_reach || tensor.layout != TESSERA_LAYOUT_STRIDED) {
        return make_error(Status::kInvalidArgument, "a tensor that is not plain {} memory",
                          device == TESSERA_MEMORY_HOST ? "host" : "host or device");
    }
    return {};
}

} // namespace

JobSink::JobSink(JobSinkConfig config)
    : config_(std::move(config)), has_picture_(config_.image_count, false) {
    table_.sink_data = this;
    table_.acquire_frame = [](const tessera_sink *sink, std::uint32_t width, std::uint32_t height,
                              tessera_tensor *out_frame) {
        return sink_of(sink).acquire_frame(width, height, out_frame);
    };
    table_.emit = [](const tessera_sink *sink, const tessera_event *event) {
        return sink_of(sink).emit(event);
    };
    table_.should_stop = [](const tessera_sink *sink) -> std::int32_t {
        const JobSink &self = sink_of(sink);
        return self.fault_ || (self.config_.should_stop && self.config_.should_stop()) ? 1 : 0;
    };
}

JobSink::~JobSink() { abandon_frames(); }

void JobSink::abandon_frames() {
    for (const Acquired &one : acquired_) config_.frames->abandon(one.frame());
    acquired_.clear();
}

std::optional<std::uint32_t> JobSink::missing_image() const {
    const auto at = std::find(has_picture_.begin(), has_picture_.end(), false);
    if (at == has_picture_.end()) return std::nullopt;
    return static_cast<std::uint32_t>(at - has_picture_.begin());
}

tessera_status JobSink::keep_fault(const Error &error) {
    log::error(config_.generator, "{}", error.message);
    if (!fault_) {
        fault_ = make_error(error.status, "{}: {}", config_.generator, error.message);
    }
    return static_cast<tessera_status>(error.status);
}

tessera_status JobSink::acquire_frame(std::uint32_t width, std::uint32_t height,
                                      tessera_tensor *out_frame) {
    if (out_frame == nullptr) {
        return keep_fault(make_error(Status::kInvalidArgument, "acquire_frame: without a result"));
    }
    *out_frame = {};
    if (width == 0 || height == 0 || width > kMaxImageSide || height > kMaxImageSide) {
        return keep_fault(make_error(Status::kInvalidArgument,
                                     "acquire_frame: {} x {} pixels; expected sides of 1 to {}",
                                     width, height, kMaxImageSide));
    }
    if (acquired_.size() >= kMaxAcquired) {
        return keep_fault(make_error(Status::kInvalidArgument,
                                     "acquire_frame: {} frames are out already; emit some first",
                                     acquired_.size()));
    }
    // Memory may run out; nothing may be thrown into a plugin.
    try {
        acquired_.reserve(acquired_.size() + 1); // before there is a frame that could be lost
        auto frame = config_.frames->acquire(width, height);
        if (!frame) return keep_fault(frame.error());
        acquired_.push_back({*frame, nullptr});
        if (config_.guards_frames && frame->memory == TESSERA_MEMORY_HOST) {
            acquired_.back().guard = std::make_unique<FrameGuard>(*frame);
            acquired_.back().given = acquired_.back().guard->given();
        }
        *out_frame = acquired_.back().given;
        return TESSERA_OK;
    } catch (const std::exception &exception) {
        return keep_fault(make_error(Status::kOutOfMemory, "acquire_frame: {} x {} pixels: {}",
                                     width, height, words_of(exception)));
    }
}

Result<void> JobSink::check_event(const tessera_event &event) const {
    if (event.image >= config_.image_count) {
        return make_error(Status::kInvalidArgument, "about image {}; the job has {}", event.image,
                          config_.image_count);
    }
    if (event.step > event.total_steps) {
        return make_error(Status::kInvalidArgument, "step {} of {}", event.step, event.total_steps);
    }
    const bool has_tensor = event.type != TESSERA_EVENT_PROGRESS;
    if (has_tensor && event.tensor == nullptr) {
        return make_error(Status::kInvalidArgument, "without a tensor");
    }
    if (event.type == TESSERA_EVENT_CELLS) {
        const tessera_tensor &cells = *event.tensor;
        if (cells.rank != 2 || cells.dtype != TESSERA_DTYPE_U8) {
            return make_error(Status::kInvalidArgument,
                              "cells {} of {}; expected (rows, columns) of u8", shape_text(cells),
                              dtype_name(cells.dtype));
        }
        return check_tensor(cells);
    }
    if (event.type == TESSERA_EVENT_FEATURES) {
        if (event.name == nullptr || *event.name == '\0') {
            return make_error(Status::kInvalidArgument, "features without a name");
        }
        return check_tensor(*event.tensor, config_.memory);
    }
    return {};
}

Result<void> JobSink::publish(const tessera_event &event) {
    const auto at = std::find_if(acquired_.begin(), acquired_.end(), [&](const Acquired &one) {
        return one.given.data == event.tensor->data;
    });
    if (at == acquired_.end()) {
        return make_error(Status::kInvalidArgument,
                          "an image that is not an acquired frame (or was emitted before)");
    }
    if (!is_same_view(at->given, *event.tensor)) {
        return make_error(Status::kInvalidArgument,
                          "an image {} of {}; the frame was acquired as {} of {}",
                          shape_text(*event.tensor), dtype_name(event.tensor->dtype),
                          shape_text(at->given), dtype_name(at->given.dtype));
    }
    if (at->guard != nullptr) { // a frame that is refused comes back with the others
        if (auto taken = at->guard->take_pixels(); !taken) return taken;
    }
    const tessera_tensor frame = at->frame();
    acquired_.erase(at);
    FrameInfo info;
    info.image = event.image;
    info.step = event.step;
    info.total_steps = event.total_steps;
    info.final = (event.flags & TESSERA_EVENT_FINAL) != 0;
    const bool has_own = !config_.addresses.empty();
    info.job = has_own ? config_.addresses[event.image].job : config_.job;
    info.tag = has_own ? config_.addresses[event.image].tag : config_.tag;
    auto published = config_.frames->publish(frame, info);
    if (published) has_picture_[event.image] = true;
    return published;
}

tessera_status JobSink::emit(const tessera_event *event) {
    if (event == nullptr || event->struct_size < sizeof(std::uint32_t) + sizeof event->type) {
        return keep_fault(make_error(Status::kInvalidArgument, "emit: an event without a type"));
    }
    const tessera_event local = read_growable(event);
    const bool known = local.type >= TESSERA_EVENT_PROGRESS && local.type <= TESSERA_EVENT_FEATURES;
    if (!known) return TESSERA_OK; // of a later version: nothing this host has to know
    try {
        auto done = check_event(local);
        if (done && local.type == TESSERA_EVENT_IMAGE) done = publish(local);
        if (done && config_.on_event) done = config_.on_event(local);
        if (!done) {
            return keep_fault(make_error(done.error().status, "emit: {}", done.error().message));
        }
        if (local.step > last_step_) {
            last_step_ = local.step;
            ++progress_count_;
        }
        return TESSERA_OK;
    } catch (const std::exception &exception) {
        return keep_fault(make_error(Status::kOutOfMemory, "emit: {}", words_of(exception)));
    }
}

} // namespace tessera
