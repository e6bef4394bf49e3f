// The MAR generator as a plugin: parameters, inputs, activation, jobs.
#include "blocks/shell/job.hpp"

#include "blocks/diffusion/diffusion_params.hpp"

#include <tessera/ext/features.h>
#include <tessera/sdk/generator.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
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
[[noreturn]] void fail(sdk::Status status, const std::string &message) {
    throw sdk::Failure(status, message);
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
    void read_defaults();
    void describe_params();
    void describe_inputs();
    void load_codec(const sdk::Activation &activation, sdk::Sink sink);
    [[nodiscard]] TokenRunSpec token_spec(const sdk::Request &request) const;
    void set_deadline(const sdk::Request &request, sdk::Sink sink, MarJob::Spec &spec);

    sdk::Host host_;
    std::optional<sdk::Weights> weights_;
    MarConfig config_;
    std::vector<std::string> classes_;

    sdk::ChoiceParam class_{
        .id = 1, .key = "class", .name = "Class", .group = "Picture", .help = "What to generate."};
    sdk::ChoiceParam mix_class_{.id = 30,
                                .key = "mix_class",
                                .name = "Mix with",
                                .group = "Picture",
                                .flags = TESSERA_PARAM_ADVANCED,
                                .help = "A second class that takes the first one's place in part."};
    sdk::FloatParam mix_{.id = 31,
                         .key = "mix",
                         .name = "Mix",
                         .group = "Picture",
                         .flags = TESSERA_PARAM_ADVANCED,
                         .help = "How much of the second class: 0 is none of it, 1 is it alone."};
    sdk::IntParam steps_ = steps_param();
    sdk::IntParam watch_{.id = 32,
                         .key = TESSERA_KEY_WATCH_TOKEN,
                         .name = "Watched token",
                         .group = "Inspect",
                         .min = -1,
                         .initial = -1,
                         .flags = TESSERA_PARAM_ADVANCED,
                         .help = "Keeps every denoising step of this token, counted by rows from "
                                 "0, to look at. -1 is none."};
    sdk::BoolParam seamless_{
        .id = 33,
        .key = "seamless",
        .name = "Seamless",
        .group = "Picture",
        .help =
            "Makes the tokens at the border again as neighbours of those across it, so that the "
            "picture repeats without a seam. Takes about half as many steps more."};
    blocks::DiffusionParams diffusion_;
    sdk::ParamList params_;
    sdk::InputList inputs_;
    sdk::FeatureList features_;

    std::optional<sdk::Compute> compute_;
    std::unique_ptr<MarModel> model_;
    std::unique_ptr<blocks::LatentCodec> codec_;
    blocks::Paces paces_; // of this device, for deadlines
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

// What the model's makers recommend; every value is optional.
void Mar::read_defaults() {
    diffusion_.recommend_denoising(config_.denoise_steps);
    const std::optional<std::string> text = weights_->metadata("defaults");
    if (!text) return;
    const blocks::Config defaults = blocks::Config::parse(*text, weights_->path() + ": defaults");
    if (defaults.has("steps")) steps_.initial = defaults.integer("steps", 1, steps_.max);
    diffusion_.read_defaults(defaults);
}

void Mar::describe_params() {
    std::vector<std::string> labels = classes_;
    labels.emplace_back("none");
    params_.add(class_, labels);
    params_.add(mix_class_, labels);
    params_.add(mix_);
    params_.add(steps_);
    params_.add(seamless_);
    diffusion_.add_to(params_);
    watch_.max = weights_ ? config_.tokens() - 1 : kMaxSteps - 1;
    params_.add(watch_);
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
    features_.push_back({sizeof(tessera_feature),
                         2,
                         TESSERA_FEATURE_VALUES,
                         "Parameters that make a run with a deadline again without one.",
                         {1 + blocks::kHurryLevels, 2, 0, 0}});
    features_.push_back({sizeof(tessera_feature),
                         2,
                         TESSERA_FEATURE_CHAIN,
                         "The watched token before its first and after every denoising step.",
                         {0, known ? config_.token_width() : 0, 0, 0}});
}

void Mar::activate(const sdk::Activation &activation, sdk::Sink sink) {
    if (!weights_) {
        fail(sdk::Status::kInvalidArgument,
             "no model was chosen: MAR needs the path of a generator.safetensors");
    }
    compute_ = activation.compute;
    paces_ = {};
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
    codec_ = std::make_unique<blocks::LatentCodec>(loader.run([&](blocks::WeightLoader &l) {
        return blocks::LatentCodec::load(l, file, activation.exact);
    }));
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
    set_deadline(request, sink, spec);
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
    const int mix_label = request[mix_class_];
    const double mix = request[mix_];
    if (mix_label < 0 || mix_label > config_.classes || !(mix >= 0.0 && mix <= 1.0)) {
        fail(sdk::Status::kInvalidArgument,
             "mix " + std::to_string(mix) + " with class " + std::to_string(mix_label) +
                 ", expected 0 to 1 with 0 to " + std::to_string(config_.classes));
    }
    spec.mix = {mix_label < config_.classes ? mix_label : -1, static_cast<float>(mix)};
    const bool has_class =
        (label < config_.classes && mix < 1.0) || (spec.mix.label >= 0 && mix > 0.0);
    spec.labels.assign(request.image_count(), label < config_.classes ? label : -1);
    spec.steps = request[steps_];
    spec.diffusion = diffusion_.read(request);
    // Without a class both rows would be equal, so guidance changes nothing.
    if (!has_class) spec.diffusion.guidance = 1.0;
    if (spec.steps < 1) {
        fail(sdk::Status::kInvalidArgument,
             "steps " + std::to_string(spec.steps) + ", expected at least 1");
    }
    spec.seamless = request[seamless_];
    spec.watched = static_cast<std::int32_t>(request[watch_]);
    spec.seed = request.seed();
    spec.first_image = request.first_image();
    return spec;
}

// The time of a deadline begins here. What it did goes to the log and, as values, to the host.
void Mar::set_deadline(const sdk::Request &request, sdk::Sink sink, MarJob::Spec &spec) {
    const double seconds = diffusion_.deadline(request) * request.image_count();
    if (seconds == 0.0) return;
    spec.deadline.emplace(
        seconds,
        [] {
            return std::chrono::duration<double>(
                       std::chrono::steady_clock::now().time_since_epoch())
                .count();
        },
        paces_);
    spec.report = [this, sink](const blocks::RunPlan &plan, const blocks::Deadline &deadline,
                               sdk::Progress progress) {
        const std::vector<double> values = diffusion_.values_of(plan.hurry_starts());
        sink.features(
            TESSERA_FEATURE_VALUES,
            sdk::host_view(values.data(), {static_cast<std::int64_t>(values.size() / 2), 2}),
            progress);
        char times[64];
        std::snprintf(times, sizeof times, "%.3f of %.3f s", deadline.elapsed(),
                      deadline.seconds());
        host_.info(std::string("deadline: ") + times + ", " + std::to_string(plan.size()) +
                   " steps; the same again with " + diffusion_.text_of(plan.hurry_starts()));
    };
}

} // namespace
} // namespace tessera::mar

TESSERA_PLUGIN(tessera::mar::Mar)
