// The MAR generator as a plugin: parameters, inputs, activation, jobs.
#include "mar/job.hpp"

#include <tessera/sdk/generator.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera::mar {
namespace {

constexpr std::int64_t kMaxSteps = 1024; // offered when no model says how many tokens there are

sdk::IntParam steps_param() {
    return {.id = 2,
            .key = "steps",
            .name = "Steps",
            .group = "Sampling",
            .min = 1,
            .max = kMaxSteps,
            .initial = 16,
            .help = "Autoregressive steps: each one adds a group of tokens. More is slower and "
                    "usually better."};
}
sdk::FloatParam guidance_param() {
    return {.id = 3,
            .key = "guidance",
            .name = "Guidance",
            .group = "Sampling",
            .min = 0.0,
            .max = 20.0,
            .initial = 1.0,
            .help = "How strongly the picture is pushed towards its class. 1 is off, and twice as "
                    "fast."};
}
sdk::ChoiceParam schedule_param() {
    return {.id = 4,
            .key = "guidance_schedule",
            .name = "Guidance schedule",
            .group = "Sampling",
            .help = "Linear grows with the tokens already there; constant is the same throughout."};
}
sdk::FloatParam temperature_param() {
    return {.id = 5,
            .key = "temperature",
            .name = "Temperature",
            .group = "Sampling",
            .min = 0.0,
            .max = 2.0,
            .initial = 1.0,
            .help = "Scales the noise of every denoising step. Lower is smoother and less varied."};
}
sdk::IntParam denoise_param() {
    return {.id = 6,
            .key = "denoise_steps",
            .name = "Denoising steps",
            .group = "Sampling",
            .min = 2,
            .max = blocks::kTrainSteps,
            .initial = 100,
            .flags = TESSERA_PARAM_LOG_SCALE,
            .help = "Reverse diffusion steps of each token."};
}
sdk::ChoiceParam spacing_param() {
    return {.id = 7,
            .key = "denoise_spacing",
            .name = "Denoising times",
            .group = "Sampling",
            .flags = TESSERA_PARAM_ADVANCED,
            .help =
                "Even includes both ends; stride takes every k-th time, for counts that a whole "
                "k gives; model uses the model's own list and its own number of steps."};
}
enum Spacing { kEven = 0, kStride = 1, kModelOwn = 2 };

[[noreturn]] void fail(sdk::Status status, const std::string &message) {
    throw sdk::Failure(status, message);
}

bool is_whole_number(const std::string &text) {
    return !text.empty() && text.size() < 6 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class Mar {
  public:
    using Job = MarJob;
    static constexpr sdk::Info kInfo{.id = "org.tessera.mar",
                                     .name = "MAR",
                                     .vendor = "Tessera",
                                     .version = "0.1.0",
                                     .description =
                                         "Masked autoregressive generation over continuous tokens"};

    Mar(sdk::Host host, const char *model) : host_(host) {
        if (model != nullptr) open_model(model);
        describe_params();
        describe_inputs();
    }

    [[nodiscard]] const sdk::ParamList &params() const { return params_; }
    [[nodiscard]] const sdk::InputList &inputs() const { return inputs_; }
    [[nodiscard]] const sdk::FeatureList &features() const { return features_; }

    void activate(const sdk::Activation &activation, sdk::Sink sink);
    void deactivate() {
        codec_.reset();
        model_.reset();
    }
    std::unique_ptr<Job> begin(const sdk::Request &request, sdk::Sink sink);

  private:
    void open_model(const std::string &name);
    void recommend_denoising(const std::string &spec);
    void read_defaults();
    void describe_params();
    void describe_inputs();
    void load_codec(const sdk::Activation &activation, sdk::Sink sink);
    [[nodiscard]] TokenRunSpec token_spec(const sdk::Request &request) const;
    [[nodiscard]] std::string denoise_spec(const sdk::Request &request) const;

    sdk::Host host_;
    std::optional<sdk::Weights> weights_;
    MarConfig config_;
    std::vector<std::string> classes_;
    std::string own_spacing_; // denoising times that no number and spacing describe; may be empty

    sdk::ChoiceParam class_{
        .id = 1, .key = "class", .name = "Class", .group = "Picture", .help = "What to generate."};
    sdk::IntParam steps_ = steps_param();
    sdk::FloatParam guidance_ = guidance_param();
    sdk::ChoiceParam schedule_ = schedule_param();
    sdk::FloatParam temperature_ = temperature_param();
    sdk::IntParam denoise_ = denoise_param();
    sdk::ChoiceParam spacing_ = spacing_param();
    sdk::ParamList params_;
    sdk::InputList inputs_;
    sdk::FeatureList features_;

    std::optional<sdk::Compute> compute_;
    std::unique_ptr<MarModel> model_;
    std::unique_ptr<blocks::LatentCodec> codec_;
};

void Mar::open_model(const std::string &name) {
    weights_.emplace(host_, name);
    const std::optional<std::string> text = weights_->metadata("config");
    if (!text) {
        fail(sdk::Status::kInvalidArgument,
             weights_->path() + ": metadata 'config' is missing: not a MAR model");
    }
    config_ = MarConfig::read(blocks::Config::parse(*text, weights_->path() + ": config"));
    if (const auto names = weights_->metadata("classes")) {
        classes_ = blocks::parse_text_list(*names, weights_->path() + ": classes");
        if (static_cast<std::int64_t>(classes_.size()) != config_.classes) {
            fail(sdk::Status::kInvalidArgument,
                 weights_->path() + ": metadata 'classes' has " + std::to_string(classes_.size()) +
                     " names, expected class_num " + std::to_string(config_.classes));
        }
    }
    for (std::int64_t i = static_cast<std::int64_t>(classes_.size()); i < config_.classes; ++i) {
        classes_.push_back(std::to_string(i));
    }
    steps_.max = config_.tokens();
    steps_.initial = std::min<std::int64_t>(64, steps_.max);
    read_defaults();
}

// "100" and "ddim25" become a number and a spacing that people can change; anything else is offered
// as the model's own list.
void Mar::recommend_denoising(const std::string &spec) {
    constexpr std::string_view kStridePrefix = "ddim";
    static_cast<void>(blocks::respace(spec)); // a bad one fails here
    const bool stride = spec.starts_with(kStridePrefix);
    const std::string count = stride ? spec.substr(kStridePrefix.size()) : spec;
    if (is_whole_number(count)) {
        denoise_.initial = std::stoll(count);
        spacing_.initial = stride ? kStride : kEven;
    } else {
        own_spacing_ = spec;
        spacing_.initial = kModelOwn;
    }
}

// What the model's makers recommend; every value is optional.
void Mar::read_defaults() {
    recommend_denoising(config_.denoise_steps);
    const std::optional<std::string> text = weights_->metadata("defaults");
    if (!text) return;
    const blocks::Config defaults = blocks::Config::parse(*text, weights_->path() + ": defaults");
    if (defaults.has("steps")) steps_.initial = defaults.integer("steps", 1, steps_.max);
    if (defaults.has("guidance")) {
        guidance_.initial = defaults.number("guidance", guidance_.min, guidance_.max);
    }
    if (defaults.has("guidance_schedule")) {
        const std::string name = defaults.text("guidance_schedule");
        if (name != "linear" && name != "constant") {
            defaults.reject("guidance_schedule",
                            "is '" + name + "', expected 'linear' or 'constant'");
        }
        schedule_.initial = name == "constant" ? 1 : 0;
    }
    if (defaults.has("temperature")) {
        temperature_.initial = defaults.number("temperature", temperature_.min, temperature_.max);
    }
    if (defaults.has("denoise_steps")) {
        recommend_denoising(defaults.text_or_integer("denoise_steps"));
    }
}

void Mar::describe_params() {
    std::vector<std::string> labels = classes_;
    labels.emplace_back("none");
    params_.add(class_, labels);
    params_.add(steps_);
    params_.add(guidance_);
    params_.add(schedule_, {"linear", "constant"});
    params_.add(temperature_);
    params_.add(denoise_);
    std::vector<std::string> spacings = {"even", "stride"};
    if (!own_spacing_.empty()) spacings.emplace_back("model");
    params_.add(spacing_, spacings);
}

void Mar::describe_inputs() {
    const bool known = weights_.has_value();
    const auto size = static_cast<std::uint32_t>(known ? config_.pixel_side() : 0);
    const auto side = static_cast<std::uint32_t>(known ? config_.side() : 0);
    inputs_.push_back({sizeof(tessera_input_slot), TESSERA_INPUT_TYPE_RGBA8, TESSERA_INPUT_IMAGE,
                       "Image", "What the kept part is taken from.", size, size, side, side});
    inputs_.push_back({sizeof(tessera_input_slot), TESSERA_INPUT_TYPE_MASK8, TESSERA_INPUT_MASK,
                       "Mask", "Which part to generate; the rest is kept.", size, size, side,
                       side});
    const std::int64_t latent = known ? config_.latent_side() : 0;
    const auto latent_side = static_cast<std::uint32_t>(latent);
    inputs_.push_back({sizeof(tessera_input_slot), TESSERA_INPUT_TYPE_F32, TESSERA_INPUT_LATENTS,
                       "Latents", "Of an earlier picture: its kept tokens are taken exactly.",
                       latent_side, latent_side, side, side});
    features_.push_back({sizeof(tessera_feature),
                         3,
                         TESSERA_FEATURE_LATENTS,
                         "Latents of the tokens so far; unknown ones are 0.",
                         {latent, latent, known ? config_.latent_channels : 0, 0}});
}

void Mar::activate(const sdk::Activation &activation, sdk::Sink sink) {
    if (!weights_) {
        fail(sdk::Status::kInvalidArgument,
             "no model was chosen: MAR needs the path of a generator.safetensors");
    }
    compute_ = activation.compute;
    const tessera_dtype precision = activation.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16;
    try {
        blocks::WeightLoader loader(*weights_, activation.compute,
                                    [sink] { return sink.should_stop(); });
        model_ = std::make_unique<MarModel>(loader.run(
            [&](blocks::WeightLoader &l) { return MarModel::load(config_, l, precision); }));
        load_codec(activation, sink);
    } catch (...) {
        deactivate(); // nothing stays on the device
        throw;
    }
}

void Mar::load_codec(const sdk::Activation &activation, sdk::Sink sink) {
    const std::optional<std::string> name = weights_->metadata("tokenizer");
    if (!name) return; // begin says so: features could still be of use one day
    const sdk::Weights file(host_, *name, &*weights_);
    blocks::WeightLoader loader(file, activation.compute, [sink] { return sink.should_stop(); });
    codec_ = std::make_unique<blocks::LatentCodec>(
        loader.run([&](blocks::WeightLoader &l) { return blocks::LatentCodec::load(l, file); }));
    if (codec_->latent_channels() != config_.latent_channels ||
        codec_->stride() != config_.latent_stride) {
        fail(sdk::Status::kInvalidArgument,
             file.path() + ": latents have " + std::to_string(codec_->latent_channels()) +
                 " channels at stride " + std::to_string(codec_->stride()) +
                 ", the model expects " + std::to_string(config_.latent_channels) + " at stride " +
                 std::to_string(config_.latent_stride));
    }
}

std::unique_ptr<MarJob> Mar::begin(const sdk::Request &request, sdk::Sink sink) {
    if (!codec_) {
        fail(sdk::Status::kUnsupported,
             weights_->path() + ": metadata 'tokenizer' is missing: the model makes latents, and "
                                "nothing says how to turn them into pixels");
    }
    MarJob::Spec spec;
    spec.tokens = token_spec(request);
    spec.preview_every = request.preview_every();
    spec.completion =
        read_completion(config_, codec_->image_channels(), request.input(TESSERA_INPUT_IMAGE),
                        request.input(TESSERA_INPUT_MASK), request.input(TESSERA_INPUT_LATENTS));
    if (spec.completion) spec.tokens.known = spec.completion->known;
    return std::make_unique<MarJob>(*compute_, *model_, *codec_, std::move(spec), sink);
}

TokenRunSpec Mar::token_spec(const sdk::Request &request) const {
    TokenRunSpec spec;
    const int label = request[class_];
    if (label < 0 || label > config_.classes) {
        fail(sdk::Status::kInvalidArgument, "class " + std::to_string(label) + ", expected 0 to " +
                                                std::to_string(config_.classes));
    }
    const bool has_class = label < config_.classes;
    spec.labels.assign(request.image_count(), has_class ? label : -1);
    spec.steps = request[steps_];
    spec.guidance = request[guidance_];
    // Without a class both rows would be equal, so guidance changes nothing.
    if (!has_class) spec.guidance = 1.0;
    spec.temperature = request[temperature_];
    if (spec.steps < 1 || !std::isfinite(spec.guidance) || !(spec.temperature >= 0.0)) {
        fail(sdk::Status::kInvalidArgument,
             "steps " + std::to_string(spec.steps) + ", guidance " + std::to_string(spec.guidance) +
                 ", temperature " + std::to_string(spec.temperature) +
                 ": expected at least 1 step, a finite guidance and no negative temperature");
    }
    spec.schedule = request[schedule_] == 1 ? blocks::GuidanceSchedule::kConstant
                                            : blocks::GuidanceSchedule::kLinear;
    spec.denoise_steps = denoise_spec(request);
    spec.seed = request.seed();
    spec.first_image = request.first_image();
    return spec;
}

std::string Mar::denoise_spec(const sdk::Request &request) const {
    switch (request[spacing_]) {
    case kStride:
        return "ddim" + std::to_string(request[denoise_]);
    case kModelOwn:
        return own_spacing_;
    default:
        return std::to_string(request[denoise_]);
    }
}

} // namespace
} // namespace tessera::mar

TESSERA_PLUGIN(tessera::mar::Mar)
