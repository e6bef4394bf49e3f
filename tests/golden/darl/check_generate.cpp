// A recorded run of DARL: chains of patches, what the backbone says of the recorded patches with
// and without its cache, then the whole run.
#include "golden/darl/darl_case.hpp"

#include "darl/backbone.hpp"
#include "darl/patch_sampler.hpp"

#include "blocks/pictures/patches.hpp"
#include "blocks/shell/token_run.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::golden {
namespace {

class GenerateCheck {
  public:
    GenerateCheck(const CaseContext &context, const CaseFile &file, const darl::DarlModel &model,
                  Report &report)
        : compute_(context.compute), file_(file), model_(model), report_(report),
          limits_(context.exact ? kDarlExact : kDarlMixed), patches_(file.floats("patches")),
          images_(patches_.rows(0)), count_(model.config.grid().tokens()),
          labels_(darl_labels(file, model, images_)) {
        const blocks::Config call = file.object("call");
        mean_ = call.has("mean") && call.boolean("mean");
        if (call.has("cfg")) guidance_ = call.number("cfg", -1e6, 1e6);
        if (call.has("eta")) eta_ = call.number("eta", 0.0, 1.0);
        if (call.has("tau")) temperature_ = call.number("tau", 0.0, 1e6);
        if (call.has("n")) evaluations_ = static_cast<int>(call.integer("n", 1, 1 << 20));
        if (call.has("lam")) std::tie(range_.low, range_.high) = call.range("lam", -1e3, 1e3);
        require_shape(file, "patches", {images_, count_, width()});
        require_shape(file, "z", {count_, halves(), images_, model.config.width});
        require_shape(file, "noise_init", {count_, images_, width()});
        require_shape(file, "known", {count_});
        require_shape(file, "given", {images_, count_, width()});
        if (evaluations_ > 1) {
            require_shape(file, "noise_steps", {count_, evaluations_ - 1, images_, width()});
        }
        if (file.has("known")) {
            const std::vector<std::int64_t> known = file.integers("known").data;
            known_.assign(known.begin(), known.end());
        }
    }

    void run() {
        attempt("level grid", [&] { check_levels(); });
        attempt("guidance", [&] { check_guidance(); });
        attempt("backbone on recorded patches", [&] { check_backbone(true); });
        attempt("backbone without its cache", [&] { check_backbone(false); });
        for (const std::string &name : file_.names_ending(".x0")) {
            attempt("chains", [&] { check_chain(name.substr(0, name.size() - 3)); });
        }
        attempt("whole run", [&] { check_run(); });
    }

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    [[nodiscard]] std::int64_t width() const { return model_.config.patch_width(); }
    [[nodiscard]] std::int64_t halves() const { return blocks::is_guided(guidance_) ? 2 : 1; }
    [[nodiscard]] blocks::Integrator integrator() const {
        return mean_ ? blocks::Integrator::kMean : blocks::Integrator::kDdim;
    }
    [[nodiscard]] blocks::RunSpec spec() const;
    [[nodiscard]] std::vector<std::int32_t> tokens() const {
        return darl::sequence(model_.config.grid(), model_.config.nested);
    }
    void check_levels();
    void check_guidance();
    void check_backbone(bool cached);
    void check_chain(const std::string &name);
    [[nodiscard]] std::vector<float> run_images(std::int64_t first, std::int64_t count) const;
    void check_run();

    const sdk::Compute &compute_;
    const CaseFile &file_;
    const darl::DarlModel &model_;
    Report &report_;
    DarlLimits limits_;
    Values<float> patches_;
    std::int64_t images_;
    std::int64_t count_;
    std::vector<std::int64_t> labels_;
    std::vector<std::uint8_t> known_;
    bool mean_ = false;
    double guidance_ = 1.0;
    double eta_ = 1.0;
    double temperature_ = 1.0;
    int evaluations_ = 1;
    blocks::LevelRange range_;
};

blocks::RunSpec GenerateCheck::spec() const {
    blocks::RunSpec spec;
    spec.grid = model_.config.grid();
    spec.labels = labels_;
    spec.steps = static_cast<int>(count_);
    spec.known = known_;
    spec.diffusion.guidance = guidance_;
    spec.diffusion.temperature = temperature_;
    spec.diffusion.integrator = integrator();
    spec.diffusion.eta = eta_;
    spec.diffusion.level_count = evaluations_;
    spec.diffusion.levels = range_;
    return spec;
}

void GenerateCheck::check_levels() {
    const Values<double> grid = file_.doubles("lambda_grid");
    const auto steps = blocks::level_steps(range_, evaluations_, integrator(), eta_, temperature_);
    double worst =
        std::abs(static_cast<double>(steps.size()) - static_cast<double>(grid.data.size()));
    for (std::size_t i = 0; i < std::min(steps.size(), grid.data.size()); ++i) {
        worst = std::max(worst, std::abs(steps[i].level - grid.data[i]));
    }
    report_.add("level grid", worst, 1e-12);
}

void GenerateCheck::check_guidance() {
    const Values<double> recorded = file_.doubles("guidance");
    require_shape(file_, "guidance", {count_});
    const std::vector<std::int32_t> all = tokens();
    double worst = 0.0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        worst = std::max(worst, std::abs(model_.guidance(spec(), all[i], 0) - recorded.data.at(i)));
    }
    report_.add("guidance", worst, 1e-12);
}

// Teacher-forced: the recorded patches give the recorded conditions, one patch after the other.
void GenerateCheck::check_backbone(bool cached) {
    const Values<float> z = file_.floats("z");
    const std::int64_t batch = halves() * images_;
    darl::Backbone backbone(compute_, model_, model_.config.grid(), batch);
    for (std::int64_t entry = 0; entry < batch; ++entry) {
        backbone.set_class(entry, entry < images_ ? labels_[entry] : -1, {});
    }
    const std::vector<std::int32_t> all = tokens();
    const char *stage = cached ? "backbone on recorded patches" : "backbone without its cache";
    for (std::size_t t = 0; t < all.size(); ++t) {
        if (!cached) backbone.forget();
        backbone.start({}, std::vector<std::int32_t>(static_cast<std::size_t>(batch), all[t]));
        for (int i = 0; i < backbone.unit_count(); ++i) backbone.run_unit(i);
        const std::vector<float> expected = z.at(static_cast<std::int64_t>(t)).data;
        report_.compare(stage, to_host(compute_, backbone.conditions()), expected, limits_.rows,
                        std::max(1.0, max_abs(expected)));
        Values<float> one{{images_, 1, width()}, {}};
        for (std::int64_t image = 0; image < images_; ++image) {
            const auto from =
                patches_.data.begin() + (image * count_ + static_cast<std::int64_t>(t)) * width();
            one.data.insert(one.data.end(), from, from + width());
        }
        const sdk::Tensor patch = to_device(compute_, one);
        const std::vector<std::int32_t> places(static_cast<std::size_t>(images_), all[t]);
        for (std::int64_t first = 0; first < batch; first += images_) {
            backbone.embed(patch, places, images_, first);
        }
        compute_.synchronize();
    }
}

// `chain.<t>`: every evaluation and every step from its recorded input.
void GenerateCheck::check_chain(const std::string &name) {
    const std::int64_t t = std::stoll(name.substr(name.rfind('.') + 1));
    const Values<float> x = file_.floats(name + ".x"), x0 = file_.floats(name + ".x0");
    require_shape(file_, name + ".x", {evaluations_, images_, width()});
    require_shape(file_, name + ".x0", {evaluations_, images_, width()});
    if (t < 0 || t >= count_ || mean_ || model_.config.prefix || !model_.decoder) return;
    const sdk::Tensor z = to_device(compute_, file_.floats("z").at(t));
    const auto steps = blocks::level_steps(range_, evaluations_, integrator(), eta_, temperature_);
    std::vector<float> levels;
    for (const auto &step : steps) levels.push_back(static_cast<float>(step.level));
    const sdk::Tensor table = model_.decoder->level_table(compute_, levels);
    darl::PatchDecoderRun decoder(compute_, *model_.decoder, halves() * images_, 1);
    decoder.see(sdk::reshape(z, {halves() * images_, model_.config.width}));
    const sdk::Tensor made = compute_.allocate({halves() * images_, width()});
    const sdk::Tensor clean = compute_.allocate({images_, width()});
    for (std::int64_t j = 0; j < evaluations_; ++j) {
        const sdk::Tensor noisy = to_device(compute_, x.at(j));
        decoder.predict(noisy, sdk::at(table.view(), j), made);
        if (halves() == 2) {
            compute_.guide(sdk::slice(made.view(), 0, 0, images_),
                           sdk::slice(made.view(), 0, images_, images_),
                           static_cast<float>(model_.guidance(spec(), tokens().at(t), 0)),
                           static_cast<std::uint32_t>(width()), clean);
        } else {
            compute_.copy(made, clean);
        }
        const std::vector<float> expected = x0.at(j).data;
        report_.compare("chains: x to x0", to_host(compute_, clean), expected, limits_.patches,
                        std::max({1.0, std::abs(guidance_), max_abs(expected)}));
        if (j + 1 == evaluations_) break;
        const sdk::Tensor recorded = to_device(compute_, x0.at(j));
        const sdk::Tensor noise = to_device(compute_, file_.floats("noise_steps").at(t).at(j));
        tessera_reverse options = steps[static_cast<std::size_t>(j)].reverse;
        options.noise = &noise.view();
        compute_.reverse_step(noisy, recorded, options, noisy);
        const std::vector<float> next = x.at(j + 1).data;
        report_.compare("chains: x0 to the next x", to_host(compute_, noisy), next, 1e-5,
                        std::max(1.0, max_abs(next)));
    }
}

// Images [first, first + count) from recorded noise; those of one run share what is known.
std::vector<float> GenerateCheck::run_images(std::int64_t first, std::int64_t count) const {
    const auto rows = [&](const Values<float> &all) { // (images, D) of some images
        Values<float> part{{count, width()}, {}};
        const auto from = all.data.begin() + first * width();
        part.data.assign(from, from + count * width());
        return part;
    };
    std::vector<std::int64_t> places; // of unknown patches in the sequence
    const std::vector<std::int32_t> all = tokens();
    for (std::size_t t = 0; t < all.size(); ++t) {
        if (known_.empty() || known_[static_cast<std::size_t>(all[t])] == 0) {
            places.push_back(static_cast<std::int64_t>(t));
        }
    }
    blocks::RunSpec run_spec = spec();
    run_spec.labels.assign(labels_.begin() + first, labels_.begin() + first + count);
    sdk::Tensor initial, steps;
    const auto recorded = [&](int k) {
        const std::int64_t t = places.at(static_cast<std::size_t>(k));
        initial = to_device(compute_, rows(file_.floats("noise_init").at(t)));
        if (evaluations_ == 1) return blocks::StepNoise{initial, {}};
        const Values<float> noise = file_.floats("noise_steps").at(t);
        Values<float> mine{{evaluations_ - 1, count, width()}, {}};
        for (std::int64_t j = 0; j + 1 < evaluations_; ++j) {
            const std::vector<float> step = rows(noise.at(j)).data;
            mine.data.insert(mine.data.end(), step.begin(), step.end());
        }
        steps = to_device(compute_, mine);
        return blocks::StepNoise{initial, steps};
    };
    if (!mean_) run_spec.recorded = recorded;
    blocks::TokenRun run(compute_, model_, run_spec);
    sdk::Tensor given;
    if (!known_.empty()) {
        Values<float> one = file_.floats("given").at(first);
        one.shape = {1, count_, width()};
        given = to_device(compute_, one);
        run.give(given);
    }
    while (!run.is_done()) run.run_unit();
    return to_host(compute_, run.tokens());
}

void GenerateCheck::check_run() {
    std::vector<float> made;
    if (known_.empty()) {
        made = run_images(0, images_);
    } else {
        for (std::int64_t image = 0; image < images_; ++image) {
            const std::vector<float> one = run_images(image, 1);
            made.insert(made.end(), one.begin(), one.end());
        }
    }
    const blocks::Config noise = file_.object("f32_vs_f64_max_abs");
    double own = noise.number("patches", 0.0, 1e30);
    if (noise.has("cached_vs_uncached_f32")) {
        own = std::max(own, noise.number("cached_vs_uncached_f32", 0.0, 1e30));
    }
    for (const char *tensor : {"patches", "patches_f64"}) {
        const std::string stage = std::string("whole run: ") + tensor;
        attempt(stage,
                [&] { report_.compare(stage, made, file_.floats(tensor).data, limits_.run, own); });
    }
    attempt("whole run: images", [&] {
        const Values<float> images = channels_last(file_.floats("images"));
        const blocks::TokenGrid grid = model_.config.grid();
        const sdk::Tensor map =
            compute_.allocate({grid.latent_height(), grid.latent_width(), grid.latent_channels});
        for (std::int64_t image = 0; image < images_; ++image) {
            Values<float> one{{count_, width()}, {}};
            const auto from = made.begin() + image * count_ * width();
            one.data.assign(from, from + count_ * width());
            const sdk::Tensor tokens_in = to_device(compute_, one);
            blocks::join_patches(compute_, grid, tokens_in, map);
            report_.compare("whole run: images", to_host(compute_, map), images.at(image).data,
                            limits_.run, own);
        }
    });
}

void check_darl_generate(const CaseContext &context, const CaseFile &file, Report &report) {
    const darl::DarlModel model = load_darl(context, file);
    GenerateCheck(context, file, model, report).run();
}

const Kind kKind("darl_generate", check_darl_generate);

} // namespace
} // namespace tessera::golden
