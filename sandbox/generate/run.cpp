#include "sandbox/generate/run.hpp"

#include "assets/contact_sheet.hpp"
#include "assets/image_seam.hpp"
#include "assets/output_file.hpp"
#include "host/generator/preset.hpp"
#include "host/plugin/services.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/session.hpp"
#include "sandbox/generate/list.hpp"
#include "sandbox/generate/material.hpp"
#include "sandbox/generate/output.hpp"
#include "sandbox/generate/progress_bar.hpp"
#include "sandbox/generate/report.hpp"

#include <tessera/ext/features.h>
#include <tessera/values/clock.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tessera {
namespace {

using values::monotonic_us;

constexpr std::uint32_t kSheetGap = 4; // pixels
constexpr std::string_view kClassKey = "class";
constexpr std::string_view kStyleKey = "style"; // of an input
constexpr std::string_view kNoClass = "none";   // label of a generator's unconditional choice

// One setting of the parameters to run, with the name its files get.
struct Variant {
    std::string label;
    std::optional<std::pair<std::uint32_t, double>> value; // parameter id and value to set
};

class Run {
  public:
    Run(GenerateOptions options, const std::atomic<bool> &cancelled, std::uint64_t started_us)
        : options_(std::move(options)), cancelled_(cancelled), started_us_(started_us),
          frames_([this](const tessera_tensor &frame, const FrameInfo &info) {
              return take_frame(frame, info);
          }),
          bar_(!options_.quiet) {}

    int run();

  private:
    Result<void> load();
    Result<void> set_values();
    Result<void> load_inputs();
    Result<void> take_size(const Image &image);
    Result<void> list_variants();
    Result<void> generate_all();
    Result<void> generate_batch(const Variant &variant, std::uint32_t first, std::uint32_t count);
    Result<void> take_frame(const tessera_tensor &frame, const FrameInfo &info);
    void take_event(const PlayerEvent &event);
    Result<void> write_sheet();
    Result<void> write_report();
    PictureName name_of(std::uint32_t image) const;
    int complain(const Error &error, int code);

    GenerateOptions options_;
    const std::atomic<bool> &cancelled_;
    std::uint64_t started_us_;
    MemoryFrames frames_;
    ProgressBar bar_;
    std::shared_ptr<Host> host_;
    std::unique_ptr<Session> session_;
    std::optional<GenerateOutput> output_;
    std::unique_ptr<MaterialWriter> material_; // null: none is wanted
    std::vector<RequestInput> inputs_;
    std::vector<Variant> variants_;
    GenerateRecord record_;

    // Of the job under way.
    const Variant *variant_ = nullptr;
    std::uint32_t first_ = 0;
    std::vector<Image> newest_; // per image of the job
    std::string values_;        // TESSERA_FEATURE_VALUES of the last run
    std::uint64_t images_done_ = 0;
    std::vector<Image> sheet_;
};

int Run::complain(const Error &error, int code) {
    bar_.clear();
    fmt::print(stderr, "tessera-generate: {}\n", error.message);
    record_.error = error.message;
    return code;
}

Result<void> Run::load() {
    if (!options_.preset.empty()) {
        auto preset = load_preset(options_.preset);
        if (!preset) return preset.error();
        if (options_.plugin.empty()) options_.plugin = preset->plugin;
        if (options_.model.empty()) options_.model = preset->model;
        if (!options_.has_seed) options_.seed = preset->seed;
    }
    SessionConfig config;
    config.plugin = options_.plugin;
    config.model = options_.model;
    config.backend = options_.backend;
    config.precision = options_.precision;
    config.threads = options_.threads;
    config.frames = &frames_;
    config.step_budget_us = 100'000; // nobody waits for a step here; this is how often ^C is seen
    config.host = host_;
    auto session = Session::create(std::move(config));
    if (!session) return session.error();
    session_ = std::move(*session);
    record_.seed = options_.seed;
    record_.load_us = monotonic_us() - started_us_;
    return {};
}

Result<void> Run::set_values() {
    if (!options_.preset.empty()) {
        auto preset = load_preset(options_.preset);
        if (!preset) return preset.error();
        auto unused = session_->params().load_json(preset->values);
        if (!unused) return unused.error();
        for (const std::string &key : *unused) {
            fmt::print(stderr, "tessera-generate: {}: '{}' is of no use to {}\n",
                       options_.preset.string(), key, session_->info().id);
        }
    }
    for (const auto &[key, text] : options_.values) {
        auto set = session_->params().set_text(key, text);
        if (!set) return set.error();
    }
    return list_variants();
}

Result<void> Run::list_variants() {
    const Param *const param = session_->params().find(kClassKey);
    if (!options_.all_classes) {
        variants_.push_back(
            {param != nullptr ? session_->params().format(*param) : session_->info().name,
             std::nullopt});
        return {};
    }
    if (param == nullptr) {
        return make_error(Status::kInvalidArgument,
                          "--all-classes: {} has no parameter with the key '{}'",
                          session_->info().id, kClassKey);
    }
    const double step = std::max(param->step, 1.0);
    const int count = 1 + static_cast<int>((param->max - param->min) / step);
    for (int i = 0; i < count; ++i) {
        const double value = param->min + step * i;
        std::string label = format_value(*param, value);
        if (label == kNoClass) continue;
        variants_.push_back({std::move(label), std::pair(param->id, value)});
    }
    return {};
}

Result<void> Run::load_inputs() {
    if (!options_.style_image.empty()) {
        auto style = read_image(options_.style_image, 4);
        if (!style) return style.error();
        inputs_.push_back({std::string(kStyleKey), std::move(*style)});
    }
    if (options_.init_image.empty()) return {};
    auto image = read_image(options_.init_image, 4);
    if (!image) return image.error();
    auto mask = read_image(options_.mask_image, 1);
    if (!mask) return mask.error();
    if (auto sized = take_size(*image); !sized) return sized;
    inputs_.push_back({TESSERA_INPUT_IMAGE, std::move(*image)});
    inputs_.push_back({TESSERA_INPUT_MASK, std::move(*mask)});
    return {};
}

// A given picture decides the size, where it is a parameter and was not set.
Result<void> Run::take_size(const Image &image) {
    const auto &slots = session_->inputs();
    const bool follows = std::any_of(slots.begin(), slots.end(), [](const InputSlot &slot) {
        return slot.key == TESSERA_INPUT_IMAGE && slot.follows_size;
    });
    if (!follows) return {};
    for (const auto &[key, side] :
         {std::pair<std::string_view, std::uint32_t>(TESSERA_KEY_WIDTH, image.width),
          {TESSERA_KEY_HEIGHT, image.height}}) {
        const auto &set = options_.values;
        const bool was_set = std::any_of(set.begin(), set.end(),
                                         [&key](const auto &value) { return value.first == key; });
        if (was_set) continue;
        if (auto taken = session_->params().set_text(key, std::to_string(side)); !taken) {
            return taken.error();
        }
    }
    return {};
}

PictureName Run::name_of(std::uint32_t image) const {
    return {variant_->label, options_.seed, first_ + image};
}

Result<void> Run::take_frame(const tessera_tensor &frame, const FrameInfo &info) {
    Image image = rgb_of(frame);
    record_.width = image.width;
    record_.height = image.height;
    if (output_->has_frames()) {
        auto written = write_image(output_->frame_path_of(name_of(info.image), info.step), image);
        if (!written) return written;
    }
    newest_[info.image] = std::move(image);
    return {};
}

void Run::take_event(const PlayerEvent &event) {
    if (event.type == PlayerEvent::Type::kCells && event.shape.size() == 2) {
        record_.tokens = static_cast<std::uint64_t>(event.shape[0] * event.shape[1]);
    }
    if (event.type == PlayerEvent::Type::kFeatures && event.name == TESSERA_FEATURE_VALUES) {
        values_.assign(reinterpret_cast<const char *>(event.bytes.data()), event.bytes.size());
    }
    if (event.total_steps == 0 || variant_ == nullptr) return;
    const auto total = static_cast<double>(variants_.size() * options_.count);
    const double job =
        static_cast<double>(event.step) / event.total_steps * static_cast<double>(newest_.size());
    bar_.show((static_cast<double>(images_done_) + job) / total,
              fmt::format("{}  step {}/{}", variant_->label, event.step, event.total_steps));
}

Result<void> Run::generate_batch(const Variant &variant, std::uint32_t first, std::uint32_t count) {
    variant_ = &variant;
    first_ = first;
    newest_.assign(count, Image());
    values_.clear();
    PlayRequest request;
    request.seed = options_.seed;
    request.first_image = first;
    request.image_count = count;
    request.preview_every = output_->has_frames() ? 1 : 0;
    request.inputs = inputs_;
    SessionCallbacks callbacks;
    callbacks.on_event = [this](const PlayerEvent &event) { take_event(event); };
    callbacks.should_stop = [this] { return cancelled_.load(); };
    auto report = session_->run(session_->job(std::move(request)), callbacks);
    if (!report) return report.error();
    JobRecord job{variant.label, first, count, {}, {}, std::move(*report), std::move(values_)};
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto path = output_->path_of(name_of(i));
        auto written = write_image(path, newest_[i]);
        if (!written) return written;
        if (record_.first_image_us == 0) record_.first_image_us = monotonic_us() - started_us_;
        job.files.push_back(path.string());
        if (!options_.json.empty()) job.seams.push_back(wrap_seam(newest_[i]));
        if (!options_.quiet && options_.json != "-") {
            bar_.clear();
            fmt::print("{}\n", path.string());
            std::fflush(stdout);
        }
        if (material_) {
            auto made =
                material_->write(output_->material_path_of(name_of(i)), variant.label, newest_[i]);
            if (!made) return made;
        }
        if (!options_.contact_sheet.empty()) sheet_.push_back(std::move(newest_[i]));
    }
    images_done_ += count;
    record_.jobs.push_back(std::move(job));
    return {};
}

Result<void> Run::generate_all() {
    const std::uint64_t activating = monotonic_us();
    if (auto activated = session_->activate(session_->params().snapshot(), {}); !activated) {
        return activated;
    }
    record_.activate_us = monotonic_us() - activating;
    for (const Variant &variant : variants_) {
        if (variant.value) {
            auto set = session_->params().set(variant.value->first, variant.value->second);
            if (!set) return set.error();
        }
        for (std::uint32_t first = 0; first < options_.count; first += options_.batch) {
            const std::uint32_t count = std::min(options_.batch, options_.count - first);
            if (auto done = generate_batch(variant, first, count); !done) return done;
        }
    }
    bar_.clear();
    return write_sheet();
}

Result<void> Run::write_sheet() {
    if (options_.contact_sheet.empty()) return {};
    const auto columns =
        static_cast<std::uint32_t>(std::ceil(std::sqrt(static_cast<double>(sheet_.size()))));
    auto sheet = contact_sheet(sheet_, columns, kSheetGap);
    if (!sheet) return sheet.error();
    return write_image(options_.contact_sheet, *sheet);
}

Result<void> Run::write_report() {
    if (options_.json.empty()) return {};
    record_.total_us = monotonic_us() - started_us_;
    const std::string report = report_json(options_, *session_, record_);
    if (options_.json != "-") return write_file(options_.json, report);
    fmt::print("{}", report);
    if (std::fflush(stdout) != 0) return make_error(Status::kIo, "cannot write the report");
    return {};
}

int Run::run() {
    HostConfig config;
    config.program = "tessera-generate";
    host_ = Host::create(config);
    if (options_.list) {
        print_list(host_, options_);
        return kExitOk;
    }
    if (auto loaded = load(); !loaded) return complain(loaded.error(), kExitFailure);
    if (auto set = set_values(); !set) return complain(set.error(), kExitUsage);
    if (!options_.material.empty()) {
        auto material = MaterialWriter::create(options_.material_values);
        if (!material) return complain(material.error(), kExitUsage);
        material_ = std::move(*material);
    }
    if (auto inputs = load_inputs(); !inputs) return complain(inputs.error(), kExitFailure);
    auto output = GenerateOutput::open(options_, variants_.size() * options_.count);
    if (!output) return complain(output.error(), kExitFailure);
    output_ = std::move(*output);
    if (!options_.save_preset.empty()) {
        const Preset preset{session_->info().id, options_.model, options_.seed,
                            session_->params().to_json()};
        auto saved = save_preset(options_.save_preset, preset);
        if (!saved) return complain(saved.error(), kExitFailure);
    }
    int code = kExitOk;
    if (auto done = generate_all(); !done) code = complain(done.error(), kExitFailure);
    if (auto written = write_report(); !written) code = complain(written.error(), kExitFailure);
    return code;
}

} // namespace

int generate(GenerateOptions options, const std::atomic<bool> &cancelled,
             std::uint64_t started_us) {
    return Run(std::move(options), cancelled, started_us).run();
}

} // namespace tessera
