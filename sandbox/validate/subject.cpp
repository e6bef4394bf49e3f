#include "sandbox/validate/subject.hpp"

#include "core/log.hpp"
#include "host/plugin/elf_file.hpp"

#include <tessera/ext/inputs.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>

#include <dlfcn.h>

namespace tessera::validate {
namespace {

constexpr std::size_t kRoom = std::size_t{1} << 16; // round a frame that is not guarded
constexpr std::size_t kMostFrames = 64;
constexpr std::uint32_t kMaxSide = 16384;

// Where a job under test reports to. It answers OK to everything, so that the plugin goes on, and
// notes what was wrong.
class Sink {
  public:
    Sink(const RunSettings &settings, RunResult &result) : settings_(settings), result_(result) {
        result_.pictures.resize(settings.images);
        frames_.reserve(kMostFrames);
        table_ = {this,
                  [](const tessera_sink *sink, std::uint32_t width, std::uint32_t height,
                     tessera_tensor *out) { return self(sink).acquire(width, height, out); },
                  [](const tessera_sink *sink, const tessera_event *event) {
                      return self(sink).emit(event);
                  },
                  [](const tessera_sink *sink) -> std::int32_t {
                      return self(sink).settings_.stop ? 1 : 0;
                  }};
    }

    [[nodiscard]] const tessera_sink &table() const { return table_; }

  private:
    struct Frame {
        std::unique_ptr<TrapMemory> trap;
        std::vector<std::uint8_t> room;
        std::uint8_t *data = nullptr;
        std::uint32_t width = 0, height = 0;
        bool is_held = false;
    };

    static Sink &self(const tessera_sink *sink) { return *static_cast<Sink *>(sink->sink_data); }
    static void note(std::string &where, std::string text) {
        if (where.empty()) where = std::move(text);
    }

    tessera_status acquire(std::uint32_t width, std::uint32_t height, tessera_tensor *out) {
        const Uncounted uncounted;
        const auto held = static_cast<std::size_t>(
            std::count_if(frames_.begin(), frames_.end(), [](auto &f) { return f.is_held; }));
        result_.most_frames = std::max(result_.most_frames, held + 1);
        if (width == 0 || height == 0 || width > kMaxSide || height > kMaxSide ||
            held >= kMostFrames) {
            if (held < kMostFrames) {
                note(result_.bad_image, fmt::format("asks for a frame of {} x {}", width, height));
            }
            return TESSERA_ERROR_INVALID_ARGUMENT;
        }
        Frame frame;
        frame.width = width;
        frame.height = height;
        frame.is_held = true;
        const std::size_t size = std::size_t{width} * height * 4;
        if (settings_.frames == Frames::kRoomy) {
            frame.room.assign(size + 2 * kRoom, 0);
            frame.data = frame.room.data() + kRoom;
        } else {
            frame.trap = std::make_unique<TrapMemory>(size);
            frame.data = frame.trap->data();
        }
        *out = {frame.data,
                TESSERA_DTYPE_U8,
                TESSERA_MEMORY_HOST,
                TESSERA_LAYOUT_STRIDED,
                3,
                {height, width, 4, 1},
                {std::int64_t{width} * 4, 4, 1, 0}};
        frames_.push_back(std::move(frame));
        return TESSERA_OK;
    }

    tessera_status emit(const tessera_event *event) {
        const Uncounted uncounted;
        if (event == nullptr) {
            note(result_.bad_type, "emits NULL");
            return TESSERA_OK;
        }
        tessera_event local{};
        std::memcpy(&local, event, std::min<std::size_t>(event->struct_size, sizeof local));
        if (local.image >= settings_.images) {
            note(result_.bad_image, fmt::format("an event of image {}; the job has {}", local.image,
                                                settings_.images));
            return TESSERA_OK;
        }
        if (local.step > local.total_steps || local.step < last_step_) {
            note(result_.bad_progress, fmt::format("says step {} of {} after step {}", local.step,
                                                   local.total_steps, last_step_));
        }
        last_step_ = std::max(last_step_, local.step);
        switch (local.type) {
        case TESSERA_EVENT_PROGRESS:
            break;
        case TESSERA_EVENT_IMAGE:
            show(local);
            break;
        case TESSERA_EVENT_CELLS:
            look_at_cells(local);
            break;
        case TESSERA_EVENT_FEATURES:
            if (local.name == nullptr || local.tensor == nullptr || local.tensor->data == nullptr) {
                note(result_.bad_features, "features without a name or a tensor");
            }
            break;
        default:
            note(result_.bad_type, fmt::format("an event of the unknown type {}", local.type));
        }
        return TESSERA_OK;
    }

    void show(const tessera_event &event) {
        const auto frame = std::find_if(frames_.begin(), frames_.end(), [&](const Frame &f) {
            return f.is_held && event.tensor != nullptr && f.data == event.tensor->data;
        });
        if (frame == frames_.end()) {
            note(result_.foreign_frame, "emits a picture in a frame that it does not hold");
            return;
        }
        Picture &picture = result_.pictures[event.image];
        if (picture.is_final) {
            note(result_.bad_image,
                 fmt::format("image {} comes again after it was final", event.image));
        }
        const bool is_final = (event.flags & TESSERA_EVENT_FINAL) != 0;
        if (!is_final && event.image == 0) ++result_.previews;
        picture = {frame->width,
                   frame->height,
                   {frame->data, frame->data + std::size_t{frame->width} * frame->height * 4},
                   is_final};
        frame->is_held = false;
        if (settings_.frames == Frames::kGone) frame->trap->close();
    }

    void look_at_cells(const tessera_event &event) {
        const tessera_tensor *const cells = event.tensor;
        if (cells == nullptr || cells->data == nullptr || cells->dtype != TESSERA_DTYPE_U8 ||
            cells->memory != TESSERA_MEMORY_HOST || cells->rank != 2) {
            note(result_.bad_cells, "cells are no (rows, columns) U8 on the host");
            return;
        }
        for (std::int64_t y = 0; y < cells->shape[0]; ++y) {
            for (std::int64_t x = 0; x < cells->shape[1]; ++x) {
                const auto value = static_cast<const std::uint8_t *>(
                    cells->data)[y * cells->stride[0] + x * cells->stride[1]];
                if (value > TESSERA_CELL_GIVEN) {
                    note(result_.bad_cells, fmt::format("cell {}, {} is {}", y, x, value));
                }
            }
        }
    }

    // The sink's own memory is not the plugin's.
    struct Uncounted {
        Uncounted() { allocations::count(false); }
        ~Uncounted() { allocations::count(true); }
        Uncounted(const Uncounted &) = delete;
        Uncounted &operator=(const Uncounted &) = delete;
    };

    const RunSettings &settings_;
    RunResult &result_;
    tessera_sink table_{};
    std::vector<Frame> frames_;
    std::uint32_t last_step_ = 0;
};

std::shared_ptr<Host> make_services() {
    HostConfig config;
    config.program = "tessera-validate";
    return Host::create(config);
}

} // namespace

tessera_status guarded_call(std::string_view what, std::string &error,
                            const std::function<tessera_status()> &call) {
    (void)log::take_last_error();
    tessera_status status = TESSERA_ERROR_FAILED;
    try {
        status = call();
    } catch (const std::exception &exception) {
        fail("{} throws: {}", what, exception.what());
    } catch (...) {
        fail("{} throws", what);
    }
    error = log::take_last_error();
    return status;
}

void check_status(std::string_view what, tessera_status status, const std::string &error) {
    if (status == TESSERA_OK || status == TESSERA_ERROR_CANCELLED) return;
    if (status < TESSERA_ERROR_CANCELLED || status > 0) {
        fail("{} answers {}, which is no status for it", what, status);
    }
    if (error.empty()) fail("{} answers error {} and logs no reason", what, status);
}

Plugin::Plugin(const Options &options, const tessera_host *table)
    : services_(make_services()), table_(table != nullptr ? table : services_->table()) {
    if (auto checked = check_elf_library(options.library); !checked) {
        fail("{}", checked.error().message);
    }
    handle_ = ::dlopen(options.library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) fail("cannot be loaded: {}", ::dlerror());
    entry_ = static_cast<const tessera_entry *>(::dlsym(handle_, TESSERA_ENTRY_SYMBOL));
    if (entry_ == nullptr) fail("exports no " TESSERA_ENTRY_SYMBOL);
    if (entry_->abi_version != TESSERA_ABI_VERSION) {
        fail("built for ABI {}.{}; this program has {}.{}", entry_->abi_version >> 16,
             entry_->abi_version & 0xffff, TESSERA_ABI_VERSION >> 16, TESSERA_ABI_VERSION & 0xffff);
    }
    if (entry_->init == nullptr || entry_->deinit == nullptr || entry_->get_factory == nullptr) {
        fail("its entry lacks init, deinit or get_factory");
    }
    std::string error;
    const tessera_status status = guarded_call(
        "entry: init", error, [&] { return entry_->init(table_, options.library.c_str()); });
    if (status != TESSERA_OK) {
        entry_ = nullptr; // an entry that failed is not deinitialised
        fail("entry: init answers {}: {}", status, error.empty() ? "(no reason)" : error);
    }
}

Plugin::~Plugin() {
    if (entry_ != nullptr) entry_->deinit();
    if (handle_ != nullptr) ::dlclose(handle_);
}

const tessera_generator_factory &Plugin::factory() const {
    const auto *const factory = static_cast<const tessera_generator_factory *>(
        entry_->get_factory(TESSERA_GENERATOR_FACTORY));
    if (factory == nullptr) fail("has no " TESSERA_GENERATOR_FACTORY);
    if (factory->get_count == nullptr || factory->get_descriptor == nullptr ||
        factory->create == nullptr) {
        fail("its factory lacks get_count, get_descriptor or create");
    }
    return *factory;
}

std::string Plugin::first_id() const {
    const tessera_descriptor *const first = factory().get_descriptor(0);
    if (first == nullptr || first->id == nullptr) fail("its first descriptor has no id");
    return first->id;
}

Instance::Instance(const Plugin &plugin, const Options &options) {
    const std::string id = options.id.empty() ? plugin.first_id() : options.id;
    const tessera_creation creation{sizeof creation, 0,
                                    options.model.empty() ? nullptr : options.model.c_str()};
    std::string error;
    table_ = nullptr;
    (void)guarded_call("create", error, [&] {
        table_ = plugin.factory().create(plugin.host(), id.c_str(), &creation);
        return TESSERA_OK;
    });
    if (table_ == nullptr) fail("create gives NULL for '{}': {}", id, error);
    tessera_status status = TESSERA_OK;
    try {
        status = guarded_call("init", error, [&] { return table_->init(table_); });
        if (status != TESSERA_OK) fail("init answers {}: {}", status, error);
        auto params = Params::read(*table_);
        if (!params) fail("its parameters: {}", params.error().message);
        params_ = std::move(*params);
        for (const auto &[key, text] : options.settings) {
            if (auto set = params_.set_text(key, text); !set) {
                fail("--set {}={}: {}", key, text, set.error().message);
            }
        }
    } catch (...) {
        table_->destroy(table_);
        throw;
    }
}

std::vector<std::string> Instance::input_keys() const {
    std::vector<std::string> keys;
    const auto *const slots =
        static_cast<const tessera_ext_inputs *>(table_->get_extension(table_, TESSERA_EXT_INPUTS));
    for (std::uint32_t i = 0; slots != nullptr && i < slots->get_count(table_); ++i) {
        keys.emplace_back(slots->get(table_, i)->key);
    }
    return keys;
}

Instance::~Instance() { table_->destroy(table_); }

Active::Active(const Options &options, const tessera_host *table)
    : plugin_(options, table), instance_(plugin_, options) {
    auto device = Device::open(options.backend, options.threads, nullptr);
    if (!device) skip("backend {}: {}", options.backend, device.error().message);
    device_ = std::move(*device);
    scope_.emplace(plugin_.services(), &device_->threads());
    const ParamSnapshot values = params().snapshot();
    const tessera_activation activation{sizeof activation,
                                        TESSERA_PRECISION_DEFAULT,
                                        &device_->compute(),
                                        values.values.data(),
                                        static_cast<std::uint32_t>(values.values.size()),
                                        0};
    RunSettings settings;
    RunResult ignored;
    const Sink sink(settings, ignored);
    std::string error;
    const tessera_status status = guarded_call("activate", error, [&] {
        return this->table()->activate(this->table(), &activation, &sink.table());
    });
    allocations::count(false);
    if (status != TESSERA_OK) {
        check_status("activate", status, error);
        fail("activate answers {}: {}", status, error);
    }
}

Active::~Active() { table()->deactivate(table()); }

RunResult run(Active &active, const RunSettings &settings) {
    RunResult result;
    const Sink sink(settings, result);
    const ParamSnapshot snapshot = active.params().snapshot();
    const auto &values = settings.values != nullptr ? *settings.values : snapshot.values;
    tessera_request request{settings.request_size,
                            settings.preview_every,
                            settings.seed,
                            settings.first_image,
                            settings.images,
                            static_cast<std::uint32_t>(values.size()),
                            static_cast<std::uint32_t>(settings.inputs.size()),
                            values.data(),
                            settings.inputs.data(),
                            settings.own != nullptr ? settings.own->data() : nullptr};
    // A bigger struct than this one, with bytes behind that mean nothing yet; or one at a page's
    // end.
    alignas(tessera_request) std::uint8_t room[sizeof(tessera_request) + 64];
    std::memset(room, 0x5a, sizeof room);
    const TrapMemory trap(sizeof request);
    const std::size_t size = std::min<std::size_t>(settings.request_size, sizeof room);
    std::uint8_t *const place = size <= sizeof request ? trap.data() + sizeof request - size : room;
    std::memcpy(place, &request, std::min(size, sizeof request));
    const tessera_generator *const table = active.table();
    tessera_job *job = nullptr;
    result.begun = guarded_call("begin", result.error, [&] {
        return table->begin(table, reinterpret_cast<const tessera_request *>(place), &sink.table(),
                            &job);
    });
    allocations::count(false);
    if (result.begun != TESSERA_OK) return result;
    if (job == nullptr) fail("begin answers OK and gives no job");
    try {
        while (settings.steps < 0 || result.steps < static_cast<std::uint64_t>(settings.steps)) {
            const auto start = std::chrono::steady_clock::now();
            const std::uint64_t before = allocations::so_far();
            result.ended = guarded_call("step", result.error, [&] {
                allocations::count(true);
                const tessera_status status = table->step(table, job, settings.budget_us);
                allocations::count(false);
                return status;
            });
            result.allocations += allocations::so_far() - before;
            const std::chrono::duration<double, std::milli> took =
                std::chrono::steady_clock::now() - start;
            result.longest_step_ms = std::max(result.longest_step_ms, took.count());
            ++result.steps;
            if (result.ended != TESSERA_MORE) break;
        }
    } catch (...) {
        allocations::count(false);
        table->end(table, job);
        throw;
    }
    table->end(table, job);
    allocations::count(false);
    return result;
}

RunResult whole_run(Active &active, const RunSettings &settings) {
    RunResult result = run(active, settings);
    if (result.begun != TESSERA_OK) {
        check_status("begin", result.begun, result.error);
        fail("begin answers {}: {}", result.begun, result.error);
    }
    if (result.ended == TESSERA_MORE) fail("the job does not end");
    if (result.ended != TESSERA_OK) {
        check_status("step", result.ended, result.error);
        fail("step answers {}: {}", result.ended, result.error);
    }
    return result;
}

} // namespace tessera::validate
