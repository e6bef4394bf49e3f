// A second generator on the shell, of another kind than MAR: all unknown tokens at once, from noise
// to the colour of the class over a number of levels. No token steps, no tokenizer: a token is a
// cell of colour, and the picture has the size that the request asks for.
#include "blocks/shell/generator.hpp"
#include "blocks/shell/given_tokens.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace tessera::blocks {
namespace {

constexpr std::int64_t kCell = 4; // pixels along a token

// Level k of n: x += (colour - x) / (n - k), so that the last one arrives.
class ToyRun final : public Run {
  public:
    ToyRun(const sdk::Compute &compute, const sdk::Tensor &colours, RunSpec spec)
        : compute_(compute), colours_(colours), spec_(std::move(spec)), given_(compute, spec_) {
        const std::int64_t tokens = spec_.grid.tokens(), rows = spec_.images() * tokens;
        x_ = compute_.allocate({spec_.images(), tokens, 3});
        change_ = compute_.allocate({tokens, 3});
        std::vector<std::int32_t> places;
        for (std::int64_t row = 0; row < rows; ++row) {
            places.push_back(static_cast<std::int32_t>(spec_.first_image + row / tokens));
            places.push_back(static_cast<std::int32_t>(row % tokens));
        }
        const sdk::View index = sdk::host_view(places.data(), {rows, 2});
        tessera_random random{};
        random.stream = TESSERA_STREAM_INITIAL_NOISE;
        random.seed = spec_.seed;
        random.index = &index;
        compute_.normal(random, sdk::reshape(x_, {rows, 3}));
        compute_.synchronize();
    }

    void give(const sdk::View &tokens) override {
        given_.take(tokens);
        given_.put_into(x_);
    }
    [[nodiscard]] int step_count() const override { return spec_.steps; }
    [[nodiscard]] int steps_done() const override { return level_; }
    [[nodiscard]] double next_flops() const override { return 1e5; }
    bool run_unit() override {
        const float share = 1.0f / static_cast<float>(spec_.steps - level_);
        for (std::int64_t image = 0; image < spec_.images(); ++image) {
            const std::int64_t label = spec_.labels[image];
            const sdk::View colour = sdk::at(colours_.view(), label < 0 ? 0 : label + 1);
            const sdk::View x = sdk::at(x_.view(), image);
            compute_.scale_offset(x, 1.0f / share - 1.0f, 0.0f, x);
            compute_.add(x, colour, change_);
            compute_.scale_offset(change_, share, 0.0f, x);
        }
        given_.put_into(x_);
        ++level_;
        return true;
    }
    [[nodiscard]] const sdk::View &tokens() const override { return x_; }

  private:
    sdk::Compute compute_;
    const sdk::Tensor &colours_;
    RunSpec spec_;
    GivenTokens given_;
    sdk::Tensor x_, change_;
    int level_ = 0;
};

// A token is spread over its cell; given pixels are their cell's first pixel.
class ToyPictures final : public Pictures {
  public:
    ToyPictures(const sdk::Compute &compute, const TokenGrid &grid,
                const std::optional<Completion> &given)
        : compute_(compute), grid_(grid) {
        picture_ = compute_.allocate({1, grid.height() * grid.width(), 3});
        latents_ = compute_.allocate({grid.rows, grid.columns, 3});
        for (std::int64_t i = 0; i < grid.height() * grid.width(); ++i) {
            const std::int64_t y = i / grid.width() / kCell, x = i % grid.width() / kCell;
            source_.push_back(static_cast<std::int32_t>(y * grid.columns + x));
        }
        if (!given) return;
        std::vector<float> tokens = given->latents;
        tokens.resize(static_cast<std::size_t>(grid.tokens() * 3));
        for (std::size_t i = given->latents.empty() ? 3 * source_.size() : 0; i-- > 0;) {
            tokens[static_cast<std::size_t>(source_[i / 3]) * 3 + i % 3] = given->pixels[i];
        }
        given_ = compute_.to_device(sdk::host_view(tokens.data(), {1, grid.tokens(), 3}));
    }
    sdk::View given_tokens() override { return given_ ? given_.view() : sdk::View{}; }
    void start(const sdk::View &tokens, int) override {
        compute_.copy(sdk::reshape(tokens, {grid_.rows, grid_.columns, 3}), latents_);
    }
    void run(int) override {
        compute_.gather_rows(sdk::reshape(latents_, {1, grid_.tokens(), 3}),
                             sdk::host_view(source_.data(), {1, grid_.height() * grid_.width()}),
                             picture_);
    }
    [[nodiscard]] sdk::View picture() const override {
        return sdk::reshape(picture_, {grid_.height(), grid_.width(), 3});
    }
    [[nodiscard]] sdk::View latents() const override { return latents_; }

  private:
    sdk::Compute compute_;
    TokenGrid grid_;
    std::vector<std::int32_t> source_; // the token of each pixel
    sdk::Tensor picture_, latents_, given_;
};

class Toy final : public ModelGenerator {
  public:
    static constexpr sdk::Info kInfo{
        .id = "org.tessera.test.toy", .name = "Toy", .vendor = "Tessera", .version = "1.0.0"};
    Toy(sdk::Host host, const char *model)
        : ModelGenerator(host, model, kInfo.name,
                         {.diffusion = DiffusionScope::kLevels,
                          .seamless = false,
                          .watches = false,
                          .sides = Sides{.min = kCell, .max = 64, .step = kCell, .initial = 24}}) {}

  private:
    ModelInfo describe(const Config &config) override {
        return {{.latent_channels = 3, .latent_stride = kCell}, config.integer("classes", 1, 100)};
    }
    void load(WeightLoader &loader, tessera_dtype) override {
        colours_ = loader.run([&](WeightLoader &l) {
            return l.vector("colours", {info().classes + 1, 3}); // the first: no class
        });
    }
    void unload() override { colours_.reset(); }
    std::unique_ptr<Pictures> make_pictures(const sdk::Request &, const RunSpec &spec,
                                            std::optional<Completion> given) override {
        return std::make_unique<ToyPictures>(compute(), spec.grid, given);
    }
    std::unique_ptr<Run> make_run(const sdk::Request &, RunSpec spec) override {
        return std::make_unique<ToyRun>(compute(), colours_, std::move(spec));
    }

    sdk::Tensor colours_;
};

} // namespace
} // namespace tessera::blocks

TESSERA_PLUGIN(tessera::blocks::Toy)
