// Passes of UMD's network: its answer, what is inside, representations, losses, tables.
#include "golden/umd/umd_case.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

class NetworkCheck {
  public:
    NetworkCheck(const CaseContext &context, const CaseFile &file, const umd::UmdModel &model,
                 Report &report)
        : compute_(context.compute), file_(file), model_(model), config_(model.config),
          report_(report), limits_(context.exact ? kUmdExact : kUmdMixed),
          alphas_(umd::alphas_cumprod(config_.schedule, static_cast<int>(config_.times))) {}

    void check_forward();
    void check_evaluations();
    void check_losses();

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    void compare(const std::string &name, const std::vector<float> &ours) {
        attempt(name, [&] {
            const std::vector<float> theirs = file_.floats(name).data;
            report_.compare(name, ours, theirs, limits_.network, std::max(1.0, max_abs(theirs)));
        });
    }
    void compare_whole(const std::string &name, std::span<const std::int64_t> ours) {
        attempt(name, [&] {
            report_.add(name, count_differences(ours, file_.integers(name).data), 0.0);
        });
    }
    void check_layers(umd::Network &network);
    void compare_rows(const std::string &name, const umd::Network &network, bool decoder);
    void check_representations(const sdk::Tensor &tokens, std::int64_t images);
    void check_reconstruction(const Values<float> &images, const sdk::Tensor &tokens);
    void check_denoising(const Values<float> &images);
    [[nodiscard]] Values<float> noised(const Values<float> &images, const Values<float> &noise,
                                       std::span<const std::int64_t> times) const;
    [[nodiscard]] double clean_loss(const Values<float> &images, std::int64_t clean);
    [[nodiscard]] double noisy_loss(const Values<float> &images, std::int64_t noisy);
    void compare_loss(const std::string &name, double ours);

    const sdk::Compute &compute_;
    const CaseFile &file_;
    const umd::UmdModel &model_;
    const umd::UmdConfig &config_;
    Report &report_;
    UmdLimits limits_;
    std::vector<double> alphas_;
};

// ---- forward ------------------------------------------------------------------------------------

void NetworkCheck::check_forward() {
    const blocks::Config call = file_.object("call");
    const Values<float> x = file_.floats("x");
    const std::int64_t images = x.rows(0);
    const bool guides = !call.is_null("cfg");
    std::vector<std::int64_t> labels = umd_labels(file_, "y", config_, images);
    const Values<std::int64_t> t = file_.integers("t");
    std::vector<std::int32_t> times(t.data.begin(), t.data.end());
    Values<float> batch = x;
    if (guides) { // once more without classes
        batch.data.insert(batch.data.end(), x.data.begin(), x.data.end());
        batch.shape[0] *= 2;
        labels.insert(labels.end(), static_cast<std::size_t>(images), -1);
        times.insert(times.end(), t.data.begin(), t.data.end());
    }
    UmdMask mask;
    const double ratio = call.is_null("mask") ? 0.0 : call.number("mask", 0.0, 1.0);
    if (ratio > 0.0) {
        mask = umd_mask(config_, file_.floats("mask_scores"), ratio);
        compare_whole("mask_tokens", mask.removed);
        compare_whole("ids_restore", mask.restore);
        compare_whole("mask_pixels", mask.pixels);
    }
    const sdk::Tensor tokens = umd_tokens(compute_, config_, batch);
    umd::Network network(compute_, model_, batch.rows(0));
    run_umd(network, tokens, times, mask.visible, labels);
    const std::vector<float> output = umd_pictures(compute_, config_, network.output());
    const auto half = output.size() / (guides ? 2 : 1);
    std::vector<float> answer(output.begin(), output.begin() + static_cast<std::ptrdiff_t>(half));
    if (guides) {
        const std::vector<float> null(output.begin() + static_cast<std::ptrdiff_t>(half),
                                      output.end());
        compare("pred_cond", answer);
        compare("pred_null", null);
        const auto scale = static_cast<float>(call.number("cfg", -1e6, 1e6));
        for (std::size_t i = 0; i < half; ++i) answer[i] = null[i] + scale * (answer[i] - null[i]);
    }
    compare("pred", answer);
    compare("pred_f64", answer);
    compare("rep", to_host(compute_, network.pooled()));
    std::vector<float> condition = to_host(compute_, network.condition());
    condition.resize(static_cast<std::size_t>(images * config_.width));
    compare("cond", condition);
    if (file_.has("layer.Encoder")) {
        network.start(tokens, times, mask.visible);
        check_layers(network);
    }
}

void NetworkCheck::compare_rows(const std::string &name, const umd::Network &network,
                                bool decoder) {
    const sdk::View rows = network.rows(decoder);
    const sdk::Tensor dense = compute_.allocate({rows.shape[0], rows.shape[1], rows.shape[2]});
    compute_.copy(rows, dense);
    compare(name, to_host(compute_, dense));
}

void NetworkCheck::check_layers(umd::Network &network) {
    int next = 0;
    const auto run_to = [&](int unit) {
        for (; next <= unit; ++next) network.run_unit(next);
    };
    for (const bool decoder : {false, true}) {
        const std::int64_t depth = decoder ? config_.decoder_depth : config_.depth;
        const std::string tower = decoder ? "layer.Decoder" : "layer.Encoder";
        for (std::int64_t i = 0; i < depth; ++i) {
            run_to(network.unit_after(decoder, i));
            compare_rows(tower + "/Encoder1DBlock_" + std::to_string(i), network, decoder);
        }
        if (decoder) continue;
        run_to(next); // the norm
        compare_rows(tower, network, decoder);
    }
    attempt("layer.sinusoidal_pos_emb", [&] {
        const std::vector<float> theirs = file_.floats("layer.sinusoidal_pos_emb").data;
        const Values<std::int64_t> t = file_.integers("t");
        std::vector<float> ours(theirs.size());
        const auto width = static_cast<std::size_t>(config_.width);
        for (std::size_t i = 0; i < t.data.size(); ++i) {
            umd::time_features(static_cast<std::int32_t>(t.data[i]),
                               std::span(ours).subspan(i * width, width));
        }
        report_.compare("layer.sinusoidal_pos_emb", ours, theirs, limits_.features, 1.0);
    });
}

// ---- representations, reconstruction, denoising -------------------------------------------------

void NetworkCheck::check_evaluations() {
    const Values<float> images = file_.floats("images");
    const sdk::Tensor tokens = umd_tokens(compute_, config_, images);
    check_representations(tokens, images.rows(0));
    attempt("reconstruction", [&] { check_reconstruction(images, tokens); });
    attempt("denoising", [&] { check_denoising(images); });
}

Values<float> NetworkCheck::noised(const Values<float> &images, const Values<float> &noise,
                                   std::span<const std::int64_t> times) const {
    Values<float> x = images;
    const std::size_t size = x.data.size() / times.size();
    for (std::size_t i = 0; i < x.data.size(); ++i) {
        const double abar = alphas_[static_cast<std::size_t>(times[i / size])];
        x.data[i] = static_cast<float>(std::sqrt(abar) * static_cast<double>(images.data[i]) +
                                       std::sqrt(1.0 - abar) * static_cast<double>(noise.data[i]));
    }
    return x;
}

void NetworkCheck::check_representations(const sdk::Tensor &tokens, std::int64_t images) {
    umd::Network network(compute_, model_, images);
    const auto encode = [&](const sdk::Tensor &from, std::int32_t time) {
        const std::vector<std::int32_t> times(static_cast<std::size_t>(images), time);
        network.start_encoder(from, times, {}, config_.depth);
        network.run_all();
    };
    encode(tokens, 0);
    compare("features_clean", to_host(compute_, network.pooled()));
    const sdk::View patches = network.patches();
    const sdk::Tensor dense = compute_.allocate({images, config_.tokens(), config_.width});
    compute_.copy(patches, dense);
    compare("dense_clean", to_host(compute_, dense));
    attempt("features_t50", [&] {
        const std::vector<std::int64_t> level(static_cast<std::size_t>(images), 50);
        encode(umd_tokens(compute_, config_,
                          noised(file_.floats("images"), file_.floats("noise_t50"), level)),
               51);
        compare("features_t50", to_host(compute_, network.pooled()));
    });
}

void NetworkCheck::check_reconstruction(const Values<float> &images, const sdk::Tensor &tokens) {
    const UmdMask mask =
        umd_mask(config_, file_.floats("recon_mask_scores"), config_.mask_ratio_clean);
    compare_whole("recon_mask_tokens", mask.removed);
    compare_whole("recon_ids_restore", mask.restore);
    compare_whole("recon_mask_pixels", mask.pixels);
    umd::Network network(compute_, model_, images.rows(0));
    const std::vector<std::int32_t> times(static_cast<std::size_t>(images.rows(0)), 0);
    const std::vector<std::int64_t> labels(times.size(), -1);
    run_umd(network, tokens, times, mask.visible, labels);
    const std::vector<float> made =
        head_of(umd_pictures(compute_, config_, network.output()), config_.channels, 0);
    compare("recon_x0", made);
    std::vector<float> combined = made;
    double error = 0.0, removed = 0.0;
    for (std::size_t i = 0; i < made.size(); ++i) {
        const bool gone = mask.pixels[i / static_cast<std::size_t>(config_.channels)] != 0;
        const double difference =
            static_cast<double>(made[i]) - static_cast<double>(images.data[i]);
        error += gone ? difference * difference : 0.0;
        removed += gone ? 1.0 : 0.0;
        combined[i] = std::clamp(gone ? made[i] : images.data[i], -1.0F, 1.0F);
    }
    compare("recon_combined", combined);
    compare("recon_loss", {static_cast<float>(error / removed)});
}

void NetworkCheck::check_denoising(const Values<float> &images) {
    const Values<std::int64_t> t = file_.integers("t_denoise");
    const Values<float> noise = file_.floats("noise_denoise");
    const Values<float> x = noised(images, noise, t.data);
    compare("denoise_x_t", x.data);
    std::vector<std::int32_t> times;
    for (const std::int64_t time : t.data) times.push_back(static_cast<std::int32_t>(time) + 1);
    umd::Network network(compute_, model_, images.rows(0));
    const sdk::Tensor tokens = umd_tokens(compute_, config_, x);
    run_umd(network, tokens, times, {}, umd_labels(file_, "labels", config_, images.rows(0)));
    const std::vector<float> output = umd_pictures(compute_, config_, network.output());
    const std::vector<float> clean = head_of(output, config_.channels, 0);
    const std::vector<float> eps = head_of(output, config_.channels, 1);
    compare("denoise_x0", clean);
    std::vector<float> from_eps(eps.size());
    double error = 0.0;
    const std::size_t size = eps.size() / t.data.size();
    for (std::size_t i = 0; i < eps.size(); ++i) {
        const double abar = alphas_[static_cast<std::size_t>(t.data[i / size])];
        from_eps[i] = static_cast<float>(
            (static_cast<double>(x.data[i]) - std::sqrt(1.0 - abar) * static_cast<double>(eps[i])) /
            std::sqrt(abar));
        const double a = static_cast<double>(eps[i]) - static_cast<double>(noise.data[i]);
        const double b = static_cast<double>(clean[i]) - static_cast<double>(images.data[i]);
        error += (a * a + b * b) / 2.0;
    }
    compare("denoise_x0_from_eps", from_eps);
    compare("denoise_loss", {static_cast<float>(error / static_cast<double>(eps.size()))});
}

// ---- losses -------------------------------------------------------------------------------------

void NetworkCheck::compare_loss(const std::string &name, double ours) {
    for (const std::string &tensor : {"part." + name, "part." + name + "_f64"}) {
        attempt(tensor, [&] {
            const double theirs = file_.doubles(tensor).data.at(0);
            report_.add(tensor, std::abs(ours - theirs),
                        limits_.network * std::max(1.0, std::abs(theirs)));
        });
    }
}

Values<float> part_of(const Values<float> &all, std::int64_t first, std::int64_t count) {
    const auto size = static_cast<std::ptrdiff_t>(all.data.size()) / all.rows(0);
    Values<float> part{
        all.shape, {all.data.begin() + first * size, all.data.begin() + (first + count) * size}};
    part.shape[0] = count;
    return part;
}

// Sum of squares where the mask is `wanted`, over how often it is.
double masked_error(const std::vector<float> &a, std::span<const float> b,
                    const std::vector<std::int64_t> &mask, std::int64_t wanted,
                    std::int64_t channels) {
    double error = 0.0, count = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const bool counts = mask.empty() || mask[i / static_cast<std::size_t>(channels)] == wanted;
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        error += counts ? difference * difference : 0.0;
        count += counts ? 1.0 : 0.0;
    }
    return count > 0.0 ? error / count : 0.0;
}

double NetworkCheck::clean_loss(const Values<float> &images, std::int64_t clean) {
    const Values<float> part = part_of(images, images.rows(0) - clean, clean);
    const UmdMask mask =
        umd_mask(config_, file_.floats("mask_scores.clean"), config_.mask_ratio_clean);
    compare_whole("mask_tokens.clean", mask.removed);
    const sdk::Tensor tokens = umd_tokens(compute_, config_, part);
    umd::Network network(compute_, model_, clean);
    const std::vector<std::int32_t> times(static_cast<std::size_t>(clean), 0);
    run_umd(network, tokens, times, mask.visible,
            std::vector<std::int64_t>(static_cast<std::size_t>(clean), -1));
    const double loss = masked_error(
        head_of(umd_pictures(compute_, config_, network.output()), config_.channels, 0), part.data,
        mask.pixels, 1, config_.channels);
    compare_loss("mae_loss", loss);
    return loss;
}

double NetworkCheck::noisy_loss(const Values<float> &images, std::int64_t noisy) {
    const Values<float> part = part_of(images, 0, noisy);
    const Values<std::int64_t> t = file_.integers("t_diff");
    const Values<float> noise = file_.floats("noise");
    UmdMask mask;
    if (config_.mask_ratio > 0.0) {
        mask = umd_mask(config_, file_.floats("mask_scores.noisy"), config_.mask_ratio);
        compare_whole("mask_tokens.noisy", mask.removed);
    }
    std::vector<std::int64_t> labels = umd_labels(file_, "labels", config_, images.rows(0));
    labels.resize(static_cast<std::size_t>(noisy));
    if (config_.classes > 0 && file_.has("label_dropped")) {
        const Values<std::int64_t> dropped = file_.integers("label_dropped");
        for (std::size_t i = 0; i < labels.size(); ++i) {
            if (dropped.data.at(i) != 0) labels[i] = -1;
        }
    }
    std::vector<std::int32_t> times;
    for (const std::int64_t time : t.data) times.push_back(static_cast<std::int32_t>(time) + 1);
    const sdk::Tensor tokens = umd_tokens(compute_, config_, noised(part, noise, t.data));
    umd::Network network(compute_, model_, noisy);
    run_umd(network, tokens, times, mask.visible, labels);
    const std::vector<float> output = umd_pictures(compute_, config_, network.output());
    const double eps = masked_error(head_of(output, config_.channels, 1), noise.data, mask.pixels,
                                    0, config_.channels);
    const double clean = masked_error(head_of(output, config_.channels, 0), part.data, mask.pixels,
                                      1, config_.channels);
    compare_loss("eps_loss", eps);
    compare_loss("x0_loss", clean);
    compare_loss("dit_loss", (eps + clean) / 2.0);
    return (eps + clean) / 2.0;
}

void NetworkCheck::check_losses() {
    const Values<float> images = file_.floats("images");
    const std::int64_t all = images.rows(0), clean = file_.integers("n_clean").data.at(0);
    const double share = static_cast<double>(clean) / static_cast<double>(all);
    double loss = 0.0;
    if (clean > 0) loss += share * clean_loss(images, clean);
    if (clean < all) loss += (1.0 - share) * noisy_loss(images, all - clean);
    compare_loss("loss", loss);
}

// ---- kinds --------------------------------------------------------------------------------------

template <void (NetworkCheck::*check)()>
void check_umd(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    const umd::UmdModel model = load_umd(context, weights);
    (NetworkCheck(context, file, model, report).*check)();
}

void check_tables(const CaseContext &, const CaseFile &file, Report &report) {
    for (const auto &[name, schedule] : {std::pair("cosine", umd::BetaSchedule::kCosine),
                                         {"linear", umd::BetaSchedule::kLinear}}) {
        const std::string tensor = std::string(name) + ".alphas_cumprod";
        report.attempt(file, tensor, [&] {
            const Values<double> theirs = file.doubles(tensor);
            const auto ours = umd::alphas_cumprod(schedule, static_cast<int>(theirs.rows(0)));
            for (std::size_t i = 0; i < ours.size(); ++i) {
                report.add(tensor, std::abs(ours[i] - theirs.data[i]), 1e-12);
            }
        });
    }
    for (const std::string &name : file.names_ending(".t_next")) {
        if (!name.starts_with("grid.")) continue;
        const std::string steps = name.substr(5, name.size() - 12);
        const auto ours = umd::even_evaluations(std::stoi(steps), 1000);
        std::vector<std::int64_t> now, next;
        for (const umd::Evaluation &at : ours) {
            now.push_back(at.time);
            next.push_back(at.next);
        }
        report.add("grid", count_differences(now, file.integers("grid." + steps + ".t").data), 0.0);
        report.add("grid", count_differences(next, file.integers(name).data), 0.0);
    }
    for (const std::string &name : file.names_ending("")) {
        if (!name.starts_with("time_embedding.") || name == "time_embedding.t") continue;
        const Values<std::int64_t> t = file.integers("time_embedding.t");
        const Values<float> theirs = file.floats(name);
        std::vector<float> ours(theirs.data.size());
        const auto width = static_cast<std::size_t>(theirs.rows(1));
        for (std::size_t i = 0; i < t.data.size(); ++i) {
            umd::time_features(static_cast<std::int32_t>(t.data[i]),
                               std::span(ours).subspan(i * width, width));
        }
        report.compare("time features", ours, theirs.data, kUmdExact.features, 1.0);
    }
}

const Kind kForward("umd_forward", check_umd<&NetworkCheck::check_forward>);
const Kind kEvaluations("umd_evals", check_umd<&NetworkCheck::check_evaluations>);
const Kind kLosses("umd_loss", check_umd<&NetworkCheck::check_losses>);
const Kind kTables("umd_tables", check_tables);

} // namespace
} // namespace tessera::golden
