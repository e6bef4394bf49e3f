// A generator that is its model: parameters, inputs, activation, jobs.
#include "blocks/shell/generator.hpp"

#include "blocks/pictures/codec_pictures.hpp"
#include "blocks/texture/picture_style.hpp"
#include "blocks/texture/pictures.hpp"

#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr std::int64_t kMaxSteps = 1024; // offered when no model says how many tokens there are

[[noreturn]] void fail(sdk::Status status, const std::string &message) {
    throw sdk::Failure(status, message);
}

sdk::IntParam side_param(std::uint32_t id, const char *key, const char *name, const Sides &sides) {
    return {.id = id,
            .key = key,
            .name = name,
            .group = "Picture",
            .unit = "px",
            .min = sides.min,
            .max = sides.max,
            .initial = sides.initial,
            .step = sides.step,
            .help = "Of the picture."};
}

const sdk::ChoiceParam kClass{
    .id = 1, .key = "class", .name = "Class", .group = "Picture", .help = "What to generate."};

} // namespace

ModelGenerator::ModelGenerator(sdk::Host host, const char *model, const char *name,
                               Abilities abilities)
    : host_(host), name_(name), abilities_(abilities),
      class_(kClass), mix_class_{.id = 30,
                                 .key = "mix_class",
                                 .name = "Mix with",
                                 .group = "Picture",
                                 .flags = TESSERA_PARAM_ADVANCED,
                                 .help =
                                     "A second class that takes the first one's place in part."},
      mix_{.id = 31,
           .key = "mix",
           .name = "Mix",
           .group = "Picture",
           .flags = TESSERA_PARAM_ADVANCED,
           .help = "How much of the second class: 0 is none of it, 1 is it alone."},
      steps_{.id = 2,
             .key = "steps",
             .name = "Steps",
             .group = "Sampling",
             .min = 1,
             .max = kMaxSteps,
             .initial = 16,
             .help = abilities.diffusion == DiffusionScope::kLevels
                         ? "Noise levels that a picture goes through. More is slower and usually "
                           "better."
                         : "Autoregressive steps: each one adds a group of tokens. More is slower "
                           "and usually better."},
      watch_{.id = 32,
             .key = TESSERA_KEY_WATCH_TOKEN,
             .name = "Watched token",
             .group = "Inspect",
             .min = -1,
             .max = kMaxSteps - 1,
             .initial = -1,
             .flags = TESSERA_PARAM_ADVANCED,
             .help = "Keeps every denoising step of this token, counted by rows from 0, to look "
                     "at. -1 is none."},
      seamless_{.id = 33,
                .key = "seamless",
                .name = "Seamless",
                .group = "Picture",
                .help = "Makes the tokens at the border again as neighbours of those across it, "
                        "so that the picture repeats without a seam. Takes about half as many "
                        "steps more."},
      width_(side_param(34, TESSERA_KEY_WIDTH, "Width", abilities.sides.value_or(Sides{}))),
      height_(side_param(35, TESSERA_KEY_HEIGHT, "Height", abilities.sides.value_or(Sides{}))),
      layer_{.id = 36,
             .key = TESSERA_KEY_FEATURE_LAYER,
             .name = "Feature layer",
             .group = "Inspect",
             .min = 1,
             .flags = TESSERA_PARAM_ADVANCED,
             .help = "After which block of the encoder a picture's representation is taken, "
                     "counted from 1."},
      diffusion_(abilities.diffusion) {
    if (model != nullptr) model_ = model;
}

void ModelGenerator::init() {
    if (model_) open_model();
    describe_params();
    describe_inputs();
    describe_features();
    add_slots(inputs_, features_);
}

void ModelGenerator::open_model() {
    weights_.emplace(host_, *model_);
    const std::optional<std::string> text = weights_->metadata("config");
    if (!text) {
        fail(sdk::Status::kInvalidArgument,
             weights_->path() + ": metadata 'config' is missing: not a " + name_ +
                 " model. Published weights become one with `python -m tessera_training convert`; "
                 "of a model in shards, give the .safetensors.index.json");
    }
    if (const auto kind = weights_->metadata("kind"); kind && kind->ends_with("vae_weights")) {
        fail(sdk::Status::kInvalidArgument,
             weights_->path() + ": an autoencoder (" + *kind +
                 "); give the generator.safetensors that goes with it");
    }
    info_ = describe(Config::parse(*text, weights_->path() + ": config"));
    if (info_.codes) diffusion_ = DiffusionParams(DiffusionScope::kCodes);
    if (info_.any_set) diffusion_.offer_guidance_refresh();
    if (info_.keeps_tokens) diffusion_.offer_token_refresh();
    if (info_.means) diffusion_.offer_means(info_.samples);
    if (info_.sides) use_sides(*info_.sides);
    read_classes();
    defaults_ = Config::parse(weights_->metadata("defaults").value_or("{}"),
                              weights_->path() + ": defaults");
    if (abilities_.sides) read_sides();
    watch_.max = info_.grid.tokens() - 1;
    if (abilities_.diffusion != DiffusionScope::kLevels) steps_.max = info_.grid.tokens();
    steps_.initial = std::min<std::int64_t>(64, steps_.max);
    layer_.max = layer_.initial = info_.feature_layers;
    read_defaults();
    read_limits();
}

void ModelGenerator::read_classes() {
    if (const auto names = weights_->metadata("classes")) {
        classes_ = parse_text_list(*names, weights_->path() + ": classes");
        if (static_cast<std::int64_t>(classes_.size()) != info_.classes) {
            fail(sdk::Status::kInvalidArgument,
                 weights_->path() + ": metadata 'classes' has " + std::to_string(classes_.size()) +
                     " names, expected " + std::to_string(info_.classes) +
                     ", one for each class of the model");
        }
    }
    for (auto i = static_cast<std::int64_t>(classes_.size()); i < info_.classes; ++i) {
        classes_.push_back(std::to_string(i));
    }
}

TokenGrid ModelGenerator::sized(std::int64_t width, std::int64_t height) const {
    TokenGrid grid = info_.grid;
    const std::int64_t cell = grid.patch * grid.latent_stride;
    grid.rows = height / cell;
    grid.columns = width / cell;
    return grid;
}

// Of the model, which starts at its own size.
void ModelGenerator::use_sides(const Sides &sides) {
    abilities_.sides = sides;
    width_ = side_param(width_.id, width_.key, width_.name, sides);
    height_ = side_param(height_.id, height_.key, height_.name, sides);
    width_.initial = info_.grid.width();
    height_.initial = info_.grid.height();
}

void ModelGenerator::read_sides() {
    for (sdk::IntParam *side : {&width_, &height_}) {
        if (!defaults_.has(side->key)) continue;
        side->initial = defaults_.integer(side->key, side->min, side->max);
        if (side->initial % side->step == 0) continue;
        defaults_.reject(side->key, "is no multiple of " + std::to_string(side->step));
    }
    info_.grid = sized(width_.initial, height_.initial);
}

// What the model's makers recommend; every value is optional.
void ModelGenerator::read_defaults() {
    diffusion_.recommend_denoising(info_.denoise_steps);
    if (defaults_.has("steps")) steps_.initial = defaults_.integer("steps", 1, steps_.max);
    diffusion_.read_defaults(defaults_);
    if (info_.styled) style_.read_defaults(defaults_);
}

// Where the model still makes pictures; every limit is optional.
void ModelGenerator::read_limits() {
    const std::optional<std::string> text = weights_->metadata("limits");
    if (!text) return;
    const Config limits = Config::parse(*text, weights_->path() + ": limits");
    for (const std::string &key : limits.keys()) {
        if (!DiffusionParams::is_limit(key)) {
            limits.reject(key, "is not known, expected tokens, guidance, temperature, eta or "
                               "denoise_steps");
        }
    }
    diffusion_.read_limits(limits);
}

void ModelGenerator::describe_params() {
    std::vector<std::string> labels = classes_;
    labels.emplace_back("none");
    params_.add(class_, labels);
    params_.add(mix_class_, labels);
    params_.add(mix_);
    if (!info_.one_by_one) params_.add(steps_);
    if (abilities_.seamless && info_.seamless) params_.add(seamless_);
    if (info_.samples) diffusion_.add_to(params_);
    if (abilities_.watches && !info_.codes) params_.add(watch_);
    if (abilities_.sides) {
        params_.add(width_);
        params_.add(height_);
    }
    if (info_.feature_layers > 0) params_.add(layer_);
    add_params(params_);
    if (info_.styled) style_.add_to(params_);
    constexpr std::string_view kOwn[] = {"class", "mix_class", "mix", "guidance", "temperature"};
    for (std::uint32_t i = 0; i < params_.size(); ++i) {
        const tessera_param &param = *params_.get(i);
        if (std::find(std::begin(kOwn), std::end(kOwn), param.key) == std::end(kOwn)) continue;
        batch_params_.push_back(param.id);
    }
    if (info_.styled) style_.add_ids(batch_params_);
    add_canvas_params();
}

// "canvas_steps" of the defaults is what "steps" is on a canvas; of any number likewise.
void ModelGenerator::add_canvas_params() {
    constexpr std::uint32_t kFirstId = 10000;
    constexpr std::string_view kPrefix = TESSERA_KEY_CANVAS;
    for (const std::string &key : defaults_.keys()) {
        if (!key.starts_with(kPrefix)) continue;
        const tessera_param *const of = params_.find(key.substr(kPrefix.size()));
        if (of == nullptr || (of->type != TESSERA_PARAM_INT && of->type != TESSERA_PARAM_FLOAT)) {
            defaults_.reject(key, "is of no parameter with a number");
        }
        const double value =
            of->type == TESSERA_PARAM_FLOAT
                ? defaults_.number(key, of->min, of->max)
                : static_cast<double>(defaults_.integer(key, static_cast<std::int64_t>(of->min),
                                                        static_cast<std::int64_t>(of->max)));
        params_.add_canvas(*of, kFirstId + of->id, value);
    }
}

// Without a model: whether there are some that can.
bool ModelGenerator::encodes() const {
    return weights_ ? info_.feature_layers > 0 : abilities_.encodes;
}

void ModelGenerator::describe_inputs() {
    const TokenGrid &grid = info_.grid;
    const auto add = [&](std::uint32_t type, const char *key, const char *name, const char *help,
                         std::int64_t width, std::int64_t height) {
        inputs_.push_back({sizeof(tessera_input_slot), type, key, name, help,
                           static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height),
                           static_cast<std::uint32_t>(grid.columns),
                           static_cast<std::uint32_t>(grid.rows),
                           abilities_.sides ? std::uint32_t{TESSERA_INPUT_FOLLOWS_SIZE} : 0u, 0});
    };
    add(TESSERA_INPUT_TYPE_RGBA8, TESSERA_INPUT_IMAGE, "Image", "What the kept part is taken from.",
        grid.width(), grid.height());
    add(TESSERA_INPUT_TYPE_MASK8, TESSERA_INPUT_MASK, "Mask",
        "Which part to generate; the rest is kept.", grid.width(), grid.height());
    add(TESSERA_INPUT_TYPE_F32, TESSERA_INPUT_LATENTS, "Latents",
        "Of an earlier picture: its kept tokens are taken exactly.", grid.latent_width(),
        grid.latent_height());
    if (info_.styled) inputs_.push_back(texture::style_slot());
    if (!encodes()) return;
    add(TESSERA_INPUT_TYPE_RGBA8, TESSERA_INPUT_ENCODE, "To encode",
        "A picture to represent; nothing is made of it.", grid.width(), grid.height());
}

void ModelGenerator::describe_features() {
    const TokenGrid &grid = info_.grid;
    const std::int64_t width = grid.tokens() > 0 ? grid.token_width() : 0;
    const std::int64_t open = abilities_.sides ? 0 : 1; // which sizes say
    features_.push_back(
        {sizeof(tessera_feature),
         3,
         TESSERA_FEATURE_LATENTS,
         "Latents of the tokens so far; unknown ones are 0.",
         {open * grid.latent_height(), open * grid.latent_width(), grid.latent_channels, 0}});
    features_.push_back({sizeof(tessera_feature),
                         1,
                         TESSERA_FEATURE_VALUES,
                         "Parameters that make a run with a deadline again without one.",
                         {0, 0, 0, 0}});
    if (encodes()) {
        features_.push_back({sizeof(tessera_feature),
                             1,
                             TESSERA_FEATURE_POOLED,
                             "One vector for a picture that was encoded.",
                             {0, 0, 0, 0}});
        features_.push_back({sizeof(tessera_feature),
                             3,
                             TESSERA_FEATURE_DENSE,
                             "A vector for each of its tokens.",
                             {open * grid.rows, open * grid.columns, 0, 0}});
    }
    if (!abilities_.watches || info_.codes) return;
    features_.push_back({sizeof(tessera_feature),
                         2,
                         TESSERA_FEATURE_CHAIN,
                         "The watched token before its first and after every denoising step.",
                         {0, width, 0, 0}});
}

WeightLoader::Progress ModelGenerator::progress(sdk::Sink sink, int before) const {
    return [sink, before, all = tensors_](int done, int) {
        sink.progress({before + done, std::max(before + done, all)}, "weights");
        return !sink.should_stop();
    };
}

void ModelGenerator::activate(const sdk::Activation &activation, sdk::Sink sink) {
    if (!weights_) {
        fail(sdk::Status::kInvalidArgument,
             "no model was chosen: " + name_ + " needs the path of a generator.safetensors");
    }
    compute_ = activation.compute;
    paces_ = {};
    std::optional<std::string> codec = weights_->metadata("tokenizer");
    if (info_.pixels) codec.reset();
    tensors_ = static_cast<int>(weights_->count());
    if (codec) tensors_ += static_cast<int>(sdk::Weights(host_, *codec, &*weights_).count());
    try {
        WeightLoader loader(*weights_, activation.compute, progress(sink, 0));
        load(loader, activation.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16);
        load_codec(activation, sink);
        if (info_.styled) wavelet_ = std::make_unique<Wavelet>(activation.compute);
    } catch (...) {
        deactivate(); // nothing stays on the device
        throw;
    }
}

void ModelGenerator::deactivate() {
    codec_.reset();
    wavelet_.reset();
    unload();
}

void ModelGenerator::load_codec(const sdk::Activation &activation, sdk::Sink sink) {
    const std::optional<std::string> name = weights_->metadata("tokenizer");
    if (!name || info_.pixels) return; // make_pictures says so
    const sdk::Weights file(host_, *name, &*weights_);
    WeightLoader loader(file, activation.compute,
                        progress(sink, static_cast<int>(weights_->count())));
    codec_ = std::make_unique<LatentCodec>(
        loader.run([&](WeightLoader &l) { return LatentCodec::load(l, file, activation.exact); }));
    const TokenGrid &grid = info_.grid;
    if (codec_->latent_channels() != grid.latent_channels ||
        codec_->stride() != grid.latent_stride) {
        fail(sdk::Status::kInvalidArgument,
             file.path() + ": latents have " + std::to_string(codec_->latent_channels()) +
                 " channels at stride " + std::to_string(codec_->stride()) +
                 ", the model expects " + std::to_string(grid.latent_channels) + " at stride " +
                 std::to_string(grid.latent_stride));
    }
}

std::unique_ptr<Pictures> ModelGenerator::make_pictures(const sdk::Request &, const RunSpec &spec,
                                                        std::optional<Completion> completion) {
    if (info_.styled) return texture_pictures(spec, std::move(completion));
    if (info_.pixels) {
        return std::make_unique<PixelPictures>(*compute_, spec.grid, *info_.pixels,
                                               std::move(completion));
    }
    if (!codec_) {
        fail(sdk::Status::kUnsupported,
             weights_->path() + ": metadata 'tokenizer' is missing: the model makes latents, and "
                                "nothing says how to turn them into pixels");
    }
    return std::make_unique<CodecPictures>(*compute_, *codec_, spec.grid, std::move(completion),
                                           spec.seamless, spec.seed, spec.first_image, rounding());
}

// A given picture has the colours that it has.
std::unique_ptr<Pictures>
ModelGenerator::texture_pictures(const RunSpec &spec, std::optional<Completion> completion) const {
    const texture::Grid grid{spec.grid.rows, spec.grid.columns};
    const bool has_picture = completion && completion->latents.empty();
    std::vector<double> hues;
    for (std::size_t i = 0; i < spec.labels.size(); ++i) {
        hues.push_back(has_picture ? 0.0 : spec.image(i).style.hue);
    }
    std::vector<float> given;
    if (completion) {
        given = texture::given_tokens(*completion, grid, *compute_, *wavelet_, *styles(),
                                      spec.labels.front());
    }
    return std::make_unique<texture::TexturePictures>(*compute_, *wavelet_, grid, std::move(hues),
                                                      std::move(completion), std::move(given));
}

std::unique_ptr<Run> ModelGenerator::make_encoding(const sdk::Request &, RunSpec, int) {
    fail(sdk::Status::kUnsupported, name_ + " does not encode pictures");
}

std::unique_ptr<ModelJob> ModelGenerator::begin(const sdk::Request &request, sdk::Sink sink) {
    RunSpec spec = run_spec(request);
    if (request.has_images()) read_images(request, spec);
    ModelJob::Spec job;
    job.grid = spec.grid;
    job.images = static_cast<int>(spec.images());
    job.preview_every = spec.preview_every;
    job.clock = [clock = sdk::Clock(host_)] { return clock.now(); };
    job.deadline = deadline(request);
    job.raised = DiffusionParams::raised(spec.diffusion);
    spec.deadline = job.deadline.get();
    job.report = [this, sink, kept = spec.deadline](const std::string &hurried,
                                                    sdk::Progress progress) {
        report(sink, hurried, *kept, progress);
    };
    std::optional<Completion> completion = read_given(request, spec.grid);
    if (completion) job.known = spec.known = completion->known;
    std::unique_ptr<Pictures> pictures = make_pictures(request, spec, std::move(completion));
    std::unique_ptr<Run> run = request.input(TESSERA_INPUT_ENCODE) != nullptr
                                   ? make_encoding(request, std::move(spec), layer_of(request))
                                   : make_run(request, std::move(spec));
    return std::make_unique<ModelJob>(*compute_, std::move(job), std::move(run),
                                      std::move(pictures), sink);
}

// Of images of several requests, each one's latents.
std::optional<Completion> ModelGenerator::read_given(const sdk::Request &request,
                                                     const TokenGrid &grid) const {
    const std::int64_t channels = codec_         ? codec_->image_channels()
                                  : info_.pixels ? info_.grid.latent_channels
                                                 : 3;
    if (const sdk::View *const whole = request.input(TESSERA_INPUT_ENCODE)) {
        return read_whole(grid, channels, *whole, TESSERA_INPUT_ENCODE);
    }
    const sdk::Request first = request.has_images() ? request.image(0) : request;
    std::optional<Completion> given =
        read_completion(grid, channels, first.input(TESSERA_INPUT_IMAGE),
                        first.input(TESSERA_INPUT_MASK), first.input(TESSERA_INPUT_LATENTS));
    const bool has_own = request.has_images() && given && !given->latents.empty() &&
                         request.input(TESSERA_INPUT_LATENTS) == nullptr;
    for (std::uint32_t i = 1; has_own && i < request.image_count(); ++i) {
        const sdk::View *const own = request.image(i).input(TESSERA_INPUT_LATENTS);
        if (own == nullptr) {
            fail(sdk::Status::kInvalidArgument,
                 "image " + std::to_string(i) + " has no input 'latents', the first one has");
        }
        const std::vector<float> latents = read_latents(grid, *own);
        given->latents.insert(given->latents.end(), latents.begin(), latents.end());
    }
    return given;
}

TokenGrid ModelGenerator::grid(const sdk::Request &request) const {
    if (!abilities_.sides) return info_.grid;
    for (const sdk::IntParam *param : {&width_, &height_}) {
        const std::int64_t side = request[*param];
        if (side >= param->min && side <= param->max && side % param->step == 0) continue;
        fail(sdk::Status::kInvalidArgument, std::string(param->key) + " " + std::to_string(side) +
                                                ", expected " + std::to_string(param->min) +
                                                " to " + std::to_string(param->max) +
                                                " in steps of " + std::to_string(param->step));
    }
    return sized(request[width_], request[height_]);
}

std::optional<PixelScale> ModelGenerator::pixels_of(std::int64_t channels) const {
    if (weights_->metadata("tokenizer") || (channels != 1 && channels != 3)) return std::nullopt;
    return PixelScale::plain(channels);
}

int ModelGenerator::choice(const sdk::Request &request, const sdk::ChoiceParam &param, int count) {
    const int value = request[param];
    if (value >= 0 && value < count) return value;
    fail(sdk::Status::kInvalidArgument, std::string(param.key) + " " + std::to_string(value) +
                                            ", expected 0 to " + std::to_string(count - 1));
}

int ModelGenerator::layer_of(const sdk::Request &request) const {
    if (info_.feature_layers == 0) {
        fail(sdk::Status::kUnsupported, name_ + " does not encode pictures");
    }
    if (request.image_count() != 1) {
        fail(sdk::Status::kInvalidArgument, std::string("input '") + TESSERA_INPUT_ENCODE +
                                                "' with " + std::to_string(request.image_count()) +
                                                " images, expected 1");
    }
    const int layer = request[layer_];
    if (layer < 1 || layer > info_.feature_layers) {
        fail(sdk::Status::kInvalidArgument, std::string(layer_.key) + " " + std::to_string(layer) +
                                                ", expected 1 to " +
                                                std::to_string(info_.feature_layers));
    }
    return layer;
}

RunSpec ModelGenerator::run_spec(const sdk::Request &request) const {
    RunSpec spec;
    spec.grid = grid(request);
    spec.diffusion = diffusion_.read(request);
    read_class(request, spec);
    spec.steps = request[steps_];
    if (spec.steps < 1) {
        fail(sdk::Status::kInvalidArgument,
             "steps " + std::to_string(spec.steps) + ", expected at least 1");
    }
    spec.seamless = request[seamless_];
    spec.watched = static_cast<std::int32_t>(request[watch_]);
    spec.seed = request.seed();
    spec.first_image = request.first_image();
    spec.preview_every = request.preview_every();
    if (!info_.styled) return spec;
    spec.style = style_.read(request);
    if (const auto style = texture::read_style(request, *compute_, *wavelet_)) {
        spec.style.styles.push_back(*style);
    }
    return spec;
}

void ModelGenerator::read_images(const sdk::Request &request, RunSpec &spec) const {
    for (std::uint32_t i = 0; i < request.image_count(); ++i) {
        const RunSpec one = run_spec(request.image(i));
        spec.own.push_back(one.image(0));
        spec.labels[i] = one.labels.front();
    }
}

void ModelGenerator::read_class(const sdk::Request &request, RunSpec &spec) const {
    const auto classes = static_cast<int>(info_.classes);
    const int label = request[class_];
    if (label < 0 || label > classes) {
        fail(sdk::Status::kInvalidArgument,
             "class " + std::to_string(label) + ", expected 0 to " + std::to_string(classes));
    }
    const int mix_label = request[mix_class_];
    const double mix = request[mix_];
    if (mix_label < 0 || mix_label > classes || !(mix >= 0.0 && mix <= 1.0)) {
        fail(sdk::Status::kInvalidArgument,
             "mix " + std::to_string(mix) + " with class " + std::to_string(mix_label) +
                 ", expected 0 to 1 with 0 to " + std::to_string(classes));
    }
    spec.mix = {mix_label < classes ? mix_label : -1, static_cast<float>(mix)};
    spec.labels.assign(request.image_count(), label < classes ? label : -1);
    // Without a class both rows would be equal, so guidance changes nothing.
    const bool has_class = (label < classes && mix < 1.0) || (spec.mix.label >= 0 && mix > 0.0);
    if (!has_class) spec.diffusion.guidance = 1.0;
}

// The time begins here; NULL: there is no deadline.
std::unique_ptr<Deadline> ModelGenerator::deadline(const sdk::Request &request) {
    const double seconds = diffusion_.deadline(request) * request.image_count();
    if (seconds == 0.0) return nullptr;
    return std::make_unique<Deadline>(
        seconds, [clock = sdk::Clock(host_)] { return clock.now(); }, paces_);
}

// What a deadline did goes to the log and, as values, to the host.
void ModelGenerator::report(sdk::Sink sink, const std::string &hurried, const Deadline &deadline,
                            sdk::Progress progress) const {
    const std::string values = diffusion_.json_of(hurried);
    sink.features(TESSERA_FEATURE_VALUES, sdk::host_view(std::span(values)), progress);
    char times[64];
    std::snprintf(times, sizeof times, "%.3f of %.3f s", deadline.elapsed(), deadline.seconds());
    host_.info(std::string("deadline: ") + times + ", " + std::to_string(progress.total) +
               " steps; the same again with deadline=0 hurry=" + hurried);
}

} // namespace tessera::blocks
