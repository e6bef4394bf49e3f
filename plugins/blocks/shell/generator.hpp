// A generator that is its model: derive, say what the model's file holds, load it, make runs. The
// shell does the rest: the class, sampling and inspection parameters with the model's defaults,
// inputs and features, activation, the codec of `tokenizer`, given pictures, deadlines, jobs.
//
//   class Toy final : public blocks::ModelGenerator {
//     public:
//       static constexpr sdk::Info kInfo{.id = "org.example.toy", .name = "Toy", ...};
//       Toy(sdk::Host host, const char *model) : ModelGenerator(host, model, kInfo.name) {}
//
//     private:
//       blocks::ModelInfo describe(const blocks::Config &config) override;
//       void load(blocks::WeightLoader &loader, tessera_dtype precision) override;
//       void unload() override { model_.reset(); }
//       std::unique_ptr<blocks::Run> make_run(const sdk::Request &, blocks::RunSpec) override;
//   };
//   TESSERA_PLUGIN(Toy)
//
// Metadata that the shell reads from the model's file: config, classes, tokenizer, defaults, limits
// (plugins/mar/README.md describes them).
#pragma once

#include "blocks/codec/latent_codec.hpp"
#include "blocks/diffusion/diffusion_params.hpp"
#include "blocks/model/config.hpp"
#include "blocks/pictures/pixel_pictures.hpp"
#include "blocks/shell/completion.hpp"
#include "blocks/shell/job.hpp"
#include "blocks/texture/style_params.hpp"

#include <tessera/sdk/generator.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera::blocks {

// Sides of pictures that a generator makes in more than one size: multiples of `step`, in pixels.
// They are the parameters "width" and "height".
struct Sides {
    std::int64_t min = 0, max = 0, step = 1;
    std::int64_t initial = 0; // where no model says otherwise
};

// What a model's file says before anything of it is loaded.
struct ModelInfo {
    TokenGrid grid; // with sides (below): rows and columns are those of the initial values
    std::int64_t classes = 0;
    std::string denoise_steps = "100";  // as respace reads it
    std::optional<PixelScale> pixels{}; // tokens are patches of these; none: of a codec's latents
    bool samples = true;                // by diffusion; false: it has no use for its parameters
    bool means = false;                 // it also has a head for the mean of a token
    int feature_layers = 0;    // that a picture's representation can be taken after; 0: it has none
    bool codes = false;        // tokens are entries of a codebook: `rounding` gives it
    bool one_by_one = false;   // as SetModel says: the number of steps is no choice
    bool seamless = true;      // its runs can close a seam
    bool any_set = false;      // its network may be asked for any set (GuidanceCache)
    bool keeps_tokens = false; // its sets may leave out tokens (DiffusionSettings::token_refresh)
    bool styled = false; // tokens are a texture's wavelet tokens (blocks/texture), with a style
    std::optional<Sides> sides{}; // in the place of those of the abilities
};

// What a kind of generator offers; known without a model.
struct Abilities {
    DiffusionScope diffusion = DiffusionScope::kSets;
    bool seamless = true;            // its runs read RunSpec::seamless
    bool watches = true;             // its runs read RunSpec::watched
    bool encodes = false;            // models may have feature_layers
    bool batches = false;            // its runs read RunSpec::own, and tokens given to each image
    std::optional<Sides> sides = {}; // those of any model; without: the model says, or has one size
};

class ModelGenerator {
  public:
    using Job = ModelJob;

    // `name` is for messages.
    ModelGenerator(sdk::Host host, const char *model, const char *name, Abilities abilities = {});
    virtual ~ModelGenerator() = default;

    // What the SDK asks of a generator.
    void init();
    [[nodiscard]] const sdk::ParamList &params() const { return params_; }
    [[nodiscard]] const sdk::InputList &inputs() const { return inputs_; }
    [[nodiscard]] const sdk::FeatureList &features() const { return features_; }
    [[nodiscard]] const sdk::ParamIds *batch_params() const {
        return abilities_.batches ? &batch_params_ : nullptr;
    }
    [[nodiscard]] sdk::InputKeys batch_inputs() const {
        return abilities_.batches ? sdk::InputKeys{TESSERA_INPUT_LATENTS} : sdk::InputKeys{};
    }
    void activate(const sdk::Activation &activation, sdk::Sink sink);
    void deactivate();
    std::unique_ptr<ModelJob> begin(const sdk::Request &request, sdk::Sink sink);

  protected:
    // ---- what every generator gives; all throw Failure ------------------------------------------

    // [init] Reads and checks the metadata `config`.
    [[nodiscard]] virtual ModelInfo describe(const Config &config) = 0;
    // [activate] Runs `loader` on the model's tensors.
    virtual void load(WeightLoader &loader, tessera_dtype precision) = 0;
    virtual void unload() = 0;
    // [begin] The spec is checked and its grid that of the request.
    [[nodiscard]] virtual std::unique_ptr<Run> make_run(const sdk::Request &request,
                                                        RunSpec spec) = 0;
    // [begin] A run of one step that keeps the given tokens and has `features`, after block `layer`
    // of ModelInfo::feature_layers.
    [[nodiscard]] virtual std::unique_ptr<Run> make_encoding(const sdk::Request &request,
                                                             RunSpec spec, int layer);

    // ---- what one may give ----------------------------------------------------------------------

    // [init] Parameters of its own, after the shell's. Ids from 100.
    virtual void add_params(sdk::ParamList &) {}
    // [init] Inputs and features of its own, after image, mask and latents.
    virtual void add_slots(sdk::InputList &, sdk::FeatureList &) {}
    // [begin] The grid of a request: by its sides, or the model's.
    [[nodiscard]] virtual TokenGrid grid(const sdk::Request &request) const;
    // [begin] Of a model of codes: what given pictures are rounded by (codec/rounding.hpp).
    [[nodiscard]] virtual const LayerProgram *rounding() const { return nullptr; }
    // [begin] Of a styled model: the styles that it draws from.
    [[nodiscard]] virtual const StyleBank *styles() const { return nullptr; }
    // [begin] What makes pixels of tokens: the wavelet of a styled model, ModelInfo::pixels, or the
    // latent codec that the metadata `tokenizer` names. Throws UNSUPPORTED without any.
    [[nodiscard]] virtual std::unique_ptr<Pictures>
    make_pictures(const sdk::Request &request, const RunSpec &spec,
                  std::optional<Completion> completion);

    // ---- what the shell has ---------------------------------------------------------------------

    [[nodiscard]] const sdk::Host &host() const { return host_; }
    [[nodiscard]] const sdk::Weights &weights() const { return *weights_; } // with a model
    [[nodiscard]] const sdk::Compute &compute() const { return *compute_; } // while active
    [[nodiscard]] const ModelInfo &info() const { return info_; }
    // The scale of tokens that are patches of pictures of `channels`; none where they are a codec's
    // latents, or no picture's.
    [[nodiscard]] std::optional<PixelScale> pixels_of(std::int64_t channels) const;
    // [begin] What a request says of a parameter with `count` labels. Throws Failure.
    [[nodiscard]] static int choice(const sdk::Request &request, const sdk::ChoiceParam &param,
                                    int count);

  private:
    void open_model();
    // Tells how far loading is, `before` tensors after its start.
    [[nodiscard]] WeightLoader::Progress progress(sdk::Sink sink, int before) const;
    void read_classes();
    void use_sides(const Sides &sides);
    void read_sides();
    void read_defaults();
    void read_limits();
    void load_codec(const sdk::Activation &activation, sdk::Sink sink);
    void describe_params();
    void add_canvas_params();
    void describe_inputs();
    void describe_features();
    [[nodiscard]] bool encodes() const;
    [[nodiscard]] TokenGrid sized(std::int64_t width, std::int64_t height) const;
    [[nodiscard]] std::unique_ptr<Pictures>
    texture_pictures(const RunSpec &spec, std::optional<Completion> completion) const;
    [[nodiscard]] RunSpec run_spec(const sdk::Request &request) const;
    [[nodiscard]] int layer_of(const sdk::Request &request) const;
    [[nodiscard]] std::optional<Completion> read_given(const sdk::Request &request,
                                                       const TokenGrid &grid) const;
    void read_class(const sdk::Request &request, RunSpec &spec) const;
    void read_images(const sdk::Request &request, RunSpec &spec) const;
    [[nodiscard]] std::unique_ptr<Deadline> deadline(const sdk::Request &request);
    void report(sdk::Sink sink, const std::string &hurried, const Deadline &deadline,
                sdk::Progress progress) const;

    sdk::Host host_;
    std::optional<std::string> model_; // its path
    std::string name_;
    Abilities abilities_;
    std::optional<sdk::Weights> weights_;
    ModelInfo info_;
    std::vector<std::string> classes_;
    Config defaults_;

    sdk::ChoiceParam class_;
    sdk::ChoiceParam mix_class_;
    sdk::FloatParam mix_;
    sdk::IntParam steps_;
    sdk::IntParam watch_;
    sdk::BoolParam seamless_;
    sdk::IntParam width_;
    sdk::IntParam height_;
    sdk::IntParam layer_;
    DiffusionParams diffusion_;
    sdk::ParamList params_;
    sdk::InputList inputs_;
    sdk::FeatureList features_;
    sdk::ParamIds batch_params_; // what ImageSpec holds

    texture::StyleParams style_;

    std::optional<sdk::Compute> compute_;
    std::unique_ptr<LatentCodec> codec_;
    std::unique_ptr<Wavelet> wavelet_; // of a styled model
    int tensors_ = 0;                  // of the model and its codec
    Paces paces_;                      // of this device, for deadlines
};

} // namespace tessera::blocks
