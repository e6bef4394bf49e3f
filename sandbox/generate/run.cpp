#include "sandbox/generate/run.hpp"

#include "assets/contact_sheet.hpp"
#include "assets/image_resize.hpp"
#include "assets/image_seam.hpp"
#include "assets/output_file.hpp"
#include "core/text.hpp"
#include "host/generator/preset.hpp"
#include "host/plugin/services.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/session.hpp"
#include "sandbox/generate/encode.hpp"
#include "sandbox/generate/inputs.hpp"
#include "sandbox/generate/list.hpp"
#include "sandbox/generate/material.hpp"
#include "sandbox/generate/output.hpp"
#include "sandbox/generate/progress_bar.hpp"
#include "sandbox/generate/report.hpp"

#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>
#include <tessera/values/clock.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tessera {
namespace {

using values::monotonic_us;

constexpr std::string_view kClassKey = "class";
constexpr std::string_view kNoClass = "none"; // label of a generator's unconditional choice

// One setting of the parameters to run.
struct Variant {
    std::string label;
    std::string part;                                      // of its files' names
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
    Result<void> take_values();
    [[nodiscard]] Result<void> check_init() const;
    Result<void> take_inputs();
    [[nodiscard]] std::vector<InputSlot> slots_for_given() const;
    Result<void> take_size(const Image &image);
    Result<void> take_style();
    Result<void> list_variants();
    Result<void> open_output();
    Result<void> save_used();
    void tell(std::string_view note);
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
    std::optional<Preset> preset_;
    std::unique_ptr<Session> session_;
    std::optional<GenerateOutput> output_;
    std::unique_ptr<MaterialWriter> material_; // null: none is wanted
    std::uint64_t seed_ = 0;
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
    tell(error.message);
    record_.error = error.message;
    return code;
}

void Run::tell(std::string_view note) {
    bar_.clear();
    // Not by fmt, which throws when nobody can be told.
    std::fputs(fmt::format("tessera-generate: {}\n", note).c_str(), stderr);
}

Result<void> Run::load() {
    auto preset = settle_options(options_, *host_);
    if (!preset) return preset.error();
    preset_ = std::move(*preset);
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
    seed_ = record_.seed = options_.seed.value_or(0);
    record_.load_us = monotonic_us() - started_us_;
    return {};
}

Result<void> Run::take_values() {
    Params &params = session_->params();
    const auto unknown = set_values(
        preset_, options_, [&](std::string_view json) { return params.load_json(json); },
        [&](std::string_view key, std::string_view text) { return params.set_text(key, text); });
    if (!unknown) return unknown.error();
    for (const std::string &key : *unknown) {
        tell(fmt::format("{}: '{}' is of no use to {}", options_.preset.string(), key,
                         session_->info().id));
    }
    return list_variants();
}

Result<void> Run::list_variants() {
    const Param *const param = session_->params().find(kClassKey);
    if (param == nullptr && options_.all_classes) {
        return make_error(Status::kInvalidArgument,
                          "--all-classes: {} has no parameter with the key '{}'",
                          session_->info().id, kClassKey);
    }
    const bool names_class = std::any_of(options_.values.begin(), options_.values.end(),
                                         [](const auto &set) { return set.first == kClassKey; });
    if (options_.all_classes && names_class) {
        return make_error(Status::kInvalidArgument,
                          "--all-classes and a class; expected one of the two");
    }
    if (param == nullptr) {
        const std::string &name = session_->info().name;
        variants_.push_back({name, file_part(name), std::nullopt});
        return {};
    }
    const auto parts = distinct_file_parts(param->labels);
    const auto variant_of = [&](double value) {
        const bool is_choice = param->type == ParamType::kChoice;
        std::string label =
            is_choice ? format_value(*param, value) : session_->params().format(*param);
        std::string part = is_choice ? parts[static_cast<std::size_t>(value)] : file_part(label);
        return Variant{std::move(label), std::move(part), std::pair(param->id, value)};
    };
    if (!options_.all_classes) {
        variants_.push_back(variant_of(session_->params().value_of(kClassKey, 0)));
        variants_.back().value.reset();
        return {};
    }
    const double step = std::max(param->step, 1.0);
    const int count = 1 + static_cast<int>((param->max - param->min) / step);
    for (int i = 0; i < count; ++i) {
        Variant variant = variant_of(param->min + step * i);
        if (variant.label != kNoClass) variants_.push_back(std::move(variant));
    }
    return {};
}

// Whoever takes a mask has to be told what to make again.
Result<void> Run::check_init() const {
    const bool alone = !options_.init_image.empty() && options_.mask_image.empty();
    if (!alone || find_slot(session_->inputs(), TESSERA_INPUT_MASK) == nullptr) return {};
    return make_error(Status::kInvalidArgument,
                      "--init {} without --mask: {} takes a mask, which says what to make again",
                      options_.init_image.string(), session_->info().id);
}

Result<void> Run::take_inputs() {
    if (auto styled = take_style(); !styled) return styled;
    auto given = load_inputs(options_.init_image, options_.mask_image, slots_for_given());
    if (!given) return given.error();
    for (const std::string &note : given->notes) tell(note);
    for (RequestInput &input : given->list) {
        if (input.key == TESSERA_INPUT_IMAGE) {
            if (auto sized = take_size(input.image); !sized) return sized;
        }
        inputs_.push_back(std::move(input));
    }
    return {};
}

Result<void> Run::take_style() {
    if (options_.style_image.empty()) return {};
    auto style = read_image(options_.style_image, 4);
    if (!style) return style.error();
    if (lay_over_black(*style)) {
        tell(options_.style_image.string() + ": its transparent parts are taken as black");
    }
    inputs_.push_back({std::string(kStyleInput), std::move(*style)});
    return {};
}

// Where the size is a parameter, a picture may have any; one that the user set is the size to fit.
std::vector<InputSlot> Run::slots_for_given() const {
    std::vector<InputSlot> slots = session_->inputs();
    const auto side_of = [&](std::string_view key) {
        const auto &set = options_.values;
        const bool was_set = std::any_of(set.begin(), set.end(),
                                         [&](const auto &value) { return value.first == key; });
        return was_set ? static_cast<std::uint32_t>(session_->params().value_of(key, 0)) : 0;
    };
    for (InputSlot &slot : slots) {
        if (!slot.follows_size) continue;
        slot.width = side_of(TESSERA_KEY_WIDTH);
        slot.height = side_of(TESSERA_KEY_HEIGHT);
        slot.cell_columns = slot.cell_rows = 0;
    }
    return slots;
}

// A given picture decides the size, where it is a parameter and was not set.
Result<void> Run::take_size(const Image &image) {
    const InputSlot *const slot = find_slot(session_->inputs(), TESSERA_INPUT_IMAGE);
    if (slot == nullptr || !slot->follows_size) return {};
    for (const auto &[key, side] :
         {std::pair<std::string_view, std::uint32_t>(TESSERA_KEY_WIDTH, image.width),
          {TESSERA_KEY_HEIGHT, image.height}}) {
        if (auto taken = session_->params().set_text(key, std::to_string(side)); !taken) {
            return make_error(
                taken.error().status,
                "{}: {} x {} pixels: {}; or set the width and the height to fit it to",
                options_.init_image.string(), image.width, image.height, taken.error().message);
        }
    }
    return {};
}

Result<void> Run::open_output() {
    std::vector<PictureName> names;
    for (const Variant &variant : variants_) names.push_back({variant.part, seed_, 0});
    auto output = GenerateOutput::open(options_, names, options_.count);
    if (!output) return output.error();
    output_ = std::move(*output);
    const InputSlot *const slot = find_slot(session_->inputs(), TESSERA_INPUT_IMAGE);
    if (slot == nullptr) return {};
    const InputSlot picture = sized(*slot, session_->params());
    return output_->check_sheet(picture.width, picture.height);
}

Result<void> Run::save_used() {
    if (options_.save_preset.empty()) return {};
    const std::string model = session_->info().model;
    const Preset preset{
        session_->info().id,
        model.empty() ? model : model_for_preset(model, options_.save_preset, host_->model_dirs()),
        seed_, session_->params().to_json()};
    return save_preset(options_.save_preset, preset);
}

PictureName Run::name_of(std::uint32_t image) const {
    return {variant_->part, seed_, first_ + image};
}

Result<void> Run::take_frame(const tessera_tensor &frame, const FrameInfo &info) {
    if (!output_) return {}; // pictures are encoded, not made
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
    request.seed = seed_;
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
        if (!options_.quiet && !options_.writes_to_standard_output()) {
            bar_.clear();
            fmt::print("{}\n", path.string());
            std::fflush(stdout);
        }
        if (material_) {
            const PictureName name = name_of(i);
            auto made = material_->write(output_->material_path_of(name), name.stem(), name.part,
                                         newest_[i]);
            if (!made) return made;
        }
        if (!options_.contact_sheet.empty()) sheet_.push_back(std::move(newest_[i]));
    }
    images_done_ += count;
    record_.jobs.push_back(std::move(job));
    return output_->check_sheet(record_.width, record_.height); // now that the size is known
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
    auto sheet = contact_sheet(sheet_, output_->sheet_columns(), kSheetGap);
    if (!sheet) return sheet.error();
    return write_image(options_.contact_sheet, *sheet);
}

Result<void> Run::write_report() {
    if (options_.json.empty()) return {};
    record_.total_us = monotonic_us() - started_us_;
    return write_file(options_.json, report_json(options_, *session_, record_));
}

int Run::run() {
    HostConfig config;
    config.program = "tessera-generate";
    config.plugin_dirs = options_.plugin_dirs;
    config.model_dirs = options_.model_dirs;
    host_ = Host::create(config);
    if (options_.list) {
        if (print_list(host_, options_)) return kExitOk;
        return complain(make_error(Status::kOutOfMemory, "out of memory"), kExitFailure);
    }
    if (auto loaded = load(); !loaded) return complain(loaded.error(), kExitFailure);
    if (auto taken = take_values(); !taken) return complain(taken.error(), kExitUsage);
    if (auto fits = check_init(); !fits) return complain(fits.error(), kExitUsage);
    if (!options_.encoded.empty()) {
        auto encoded = encode_pictures(
            *session_, options_, [this] { return cancelled_.load(); },
            [this](std::string_view note) { tell(note); });
        return encoded ? kExitOk : complain(encoded.error(), kExitFailure);
    }
    if (!options_.material.empty()) {
        auto material = MaterialWriter::create(options_.material_values, options_.threads);
        if (!material) return complain(material.error(), kExitUsage);
        material_ = std::move(*material);
    }
    for (const auto step : {&Run::take_inputs, &Run::open_output, &Run::save_used}) {
        if (auto done = (this->*step)(); !done) return complain(done.error(), kExitFailure);
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
