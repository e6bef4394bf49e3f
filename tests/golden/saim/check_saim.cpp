// Recorded cases of SAIM: two streams, what they are trained towards, representations, completion.
#include "golden/check_case.hpp"
#include "saim/encoding.hpp"
#include "saim/network.hpp"

#include "blocks/shell/token_run.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::golden {
namespace {

// Limits; the second ones are for bf16 weights, where only gross mistakes can be told from
// rounding.
struct Limits {
    double prediction; // of max(1, largest value)
    double completion;
    double features;
    double block; // of the largest value
};
constexpr Limits kExactLimits{1e-5, 2e-5, 5e-6, 5e-6};
constexpr Limits kMixedLimits{5e-2, 2e-1, 5e-2, 5e-2};
constexpr double kTargetLimit = 1e-5; // made on the host

saim::SaimModel load_model(const CaseContext &context, const sdk::Weights &weights) {
    const auto text = weights.metadata("config");
    if (!text) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'config' is missing");
    }
    const auto config =
        saim::SaimConfig::read(blocks::Config::parse(*text, weights.path() + ": config"), weights);
    blocks::WeightLoader loader(weights, context.compute);
    return loader.run([&](blocks::WeightLoader &l) {
        return saim::SaimModel::load(config, l,
                                     context.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16);
    });
}

class SaimCheck {
  public:
    SaimCheck(const CaseContext &context, const CaseFile &file, const saim::SaimModel &model,
              Report &report)
        : compute_(context.compute), file_(file), model_(model), config_(model.config),
          report_(report), limits_(context.exact ? kExactLimits : kMixedLimits) {}

    void check_streams();
    void check_features();
    void check_completion();

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    void compare(const std::string &name, const std::vector<float> &ours, double limit) {
        attempt(name, [&] {
            const std::vector<float> theirs = file_.floats(name).data;
            report_.compare(name, ours, theirs, limit, std::max(1.0, max_abs(theirs)));
        });
    }
    [[nodiscard]] Values<float> pictures() const {
        const Values<float> images = channels_last(file_.floats("images"));
        if (images.rows(1) != config_.image_size || images.rows(2) != config_.image_size) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file_.path() +
                                   ": pictures of another size than those of the weights");
        }
        return images;
    }
    [[nodiscard]] sdk::Tensor tokens_of(const Values<float> &pictures) const;
    // (rows, d) tokens as the file has patches: (row, column, channel).
    [[nodiscard]] std::vector<float> as_patches(const std::vector<float> &tokens) const;
    // The lowest number of each of a row's distinct values is 0, then 1, ...
    [[nodiscard]] static std::vector<std::int32_t> ranks_of(const std::vector<float> &scores);

    void check_masks(const std::vector<std::vector<std::int32_t>> &ranks);
    void check_whole_pass(const sdk::Tensor &tokens,
                          const std::vector<std::vector<std::int32_t>> &ranks);
    void check_by_cache(const sdk::Tensor &tokens, std::int64_t image,
                        const std::vector<std::int32_t> &ranks, std::vector<float> &made);
    void check_block_layers(const std::string &name, const sdk::View &rows);
    void check_target(const Values<float> &pictures);
    [[nodiscard]] std::vector<float> blurred(const Values<float> &pictures) const;
    [[nodiscard]] std::vector<float> target_of(const std::vector<float> &pictures,
                                               std::int64_t images) const;

    const sdk::Compute &compute_;
    const CaseFile &file_;
    const saim::SaimModel &model_;
    const saim::SaimConfig &config_;
    Report &report_;
    Limits limits_;
};

sdk::Tensor SaimCheck::tokens_of(const Values<float> &pictures) const {
    const std::int64_t images = pictures.rows(0), side = config_.side();
    sdk::Tensor tokens = compute_.allocate({images, config_.tokens(), config_.token_width()});
    const sdk::Tensor map = to_device(compute_, pictures);
    compute_.pixel_unshuffle(map, static_cast<std::uint32_t>(config_.patch),
                             sdk::reshape(tokens, {images, side, side, config_.token_width()}));
    compute_.synchronize();
    return tokens;
}

std::vector<float> SaimCheck::as_patches(const std::vector<float> &tokens) const {
    const std::int64_t d = config_.token_width(), pixels = config_.patch * config_.patch;
    std::vector<float> patches(tokens.size());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(tokens.size()); ++i) {
        const std::int64_t channel = i % d / pixels, pixel = i % pixels;
        patches[static_cast<std::size_t>(i / d * d + pixel * config_.channels + channel)] =
            tokens[static_cast<std::size_t>(i)];
    }
    return patches;
}

std::vector<std::int32_t> SaimCheck::ranks_of(const std::vector<float> &scores) {
    std::vector<float> distinct = scores;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    std::vector<std::int32_t> ranks;
    for (const float score : scores) {
        ranks.push_back(static_cast<std::int32_t>(
            std::lower_bound(distinct.begin(), distinct.end(), score) - distinct.begin()));
    }
    return ranks;
}

// ---- the two streams ----------------------------------------------------------------------------

void SaimCheck::check_streams() {
    const Values<float> images = pictures();
    const sdk::Tensor tokens = tokens_of(images);
    const Values<float> u = file_.floats("u");
    std::vector<std::vector<std::int32_t>> ranks;
    for (std::int64_t i = 0; i < u.rows(0); ++i) ranks.push_back(ranks_of(u.at(i).data));
    check_masks(ranks);
    check_whole_pass(tokens, ranks);
    attempt("pred, by the cache", [&] {
        const Values<float> pred = file_.floats("pred");
        const double scale = std::max(1.0, max_abs(pred.data));
        for (std::int64_t image = 0; image < images.rows(0); ++image) {
            std::vector<float> made(
                static_cast<std::size_t>(config_.tokens() * config_.token_width()));
            check_by_cache(tokens, image, ranks[static_cast<std::size_t>(image)], made);
            const std::vector<float> rows = pred.at(image).data; // the first one is the class row's
            report_.compare(
                "pred, by the cache", as_patches(made),
                std::span(rows).subspan(static_cast<std::size_t>(config_.token_width())),
                limits_.prediction, scale);
        }
    });
    check_target(images);
}

void SaimCheck::check_masks(const std::vector<std::vector<std::int32_t>> &ranks) {
    const std::int64_t rows = 1 + config_.tokens();
    for (const bool content : {true, false}) {
        const std::string name = content ? "visible_h" : "visible_g";
        attempt(name, [&] {
            const Values<std::int64_t> theirs = file_.integers(name);
            double different = 0.0;
            for (std::size_t image = 0; image < ranks.size(); ++image) {
                const std::vector<std::int64_t> mask =
                    theirs.at(static_cast<std::int64_t>(image)).data;
                for (std::int64_t i = 0; i < rows * rows; ++i) {
                    const auto query = i / rows, key = i % rows;
                    bool sees = key == 0;
                    if (query > 0 && key > 0) {
                        const auto a = ranks[image][static_cast<std::size_t>(query - 1)];
                        const auto b = ranks[image][static_cast<std::size_t>(key - 1)];
                        sees = content ? b <= a : b < a;
                    }
                    different += (mask[static_cast<std::size_t>(i)] != 0) != sees ? 1.0 : 0.0;
                }
            }
            report_.add(name, different, 0.0);
        });
    }
}

void SaimCheck::check_block_layers(const std::string &name, const sdk::View &rows) {
    attempt(name, [&] {
        const std::vector<float> theirs = file_.floats(name).data;
        // Errors of the blocks before it add up.
        report_.compare(name, to_host(compute_, rows), theirs, 4.0 * limits_.block);
    });
}

// All rows at once under the masks, block by block.
void SaimCheck::check_whole_pass(const sdk::Tensor &tokens,
                                 const std::vector<std::vector<std::int32_t>> &ranks) {
    const std::int64_t images = tokens.shape(0), rows = 1 + config_.tokens(), w = config_.width;
    const auto rows_of = [&](std::int64_t width) {
        return compute_.allocate({images * rows, width});
    };
    const sdk::Tensor normed = rows_of(w), qkv = rows_of(3 * w), heads = rows_of(w);
    const sdk::Tensor hidden = rows_of(config_.hidden), query = rows_of(w), keys = rows_of(2 * w);
    const sdk::Tensor h = compute_.allocate({images, rows, w}),
                      g = compute_.allocate({images, rows, w});
    const sdk::Tensor embedded = compute_.allocate({images, config_.tokens(), w});
    compute_.linear(tokens, model_.token_in.weight, {.bias = model_.token_in.bias.optional()},
                    embedded);
    attempt("layer.patch_embed", [&] { check_block_layers("layer.patch_embed", embedded); });
    compute_.add(embedded, sdk::slice(model_.positions.view(), 0, 1, config_.tokens()),
                 sdk::slice(h.view(), 1, 1, config_.tokens()));
    std::vector<std::int32_t> all; // with the class row's
    for (std::int64_t i = 0; i < images; ++i) {
        compute_.copy(model_.class_row, sdk::slice(sdk::at(h.view(), i), 0, 0, 1));
        compute_.copy(model_.positions, sdk::at(g.view(), i));
        all.push_back(-1);
        const auto &own = ranks[static_cast<std::size_t>(i)];
        all.insert(all.end(), own.begin(), own.end());
    }
    const sdk::View rank = sdk::host_view(all.data(), {images, rows});
    tessera_attention options{};
    options.sink_count = options.sink_isolated = 1;
    options.query_rank = options.key_rank = &rank;
    const auto flat = [&](const sdk::Tensor &x) { return sdk::reshape(x, {images * rows, w}); };
    for (std::int64_t i = 0; i < config_.depth; ++i) {
        const auto &block = model_.blocks[static_cast<std::size_t>(i)];
        options.rule = TESSERA_RANK_LESS_OR_EQUAL;
        blocks::run_block(compute_, block, options, {normed, qkv, heads, hidden}, h);
        check_block_layers("layer.enc.block." + std::to_string(i) + ".out", h);
        if ((i + 1) % config_.cadence() != 0) continue;
        const std::int64_t j = i / config_.cadence();
        const blocks::TransformerBlock &decoder = model_.decoder(j);
        decoder.project_query(compute_, flat(g), normed, query);
        decoder.project_key_value(compute_, flat(h), normed, keys);
        options.rule = TESSERA_RANK_LESS;
        decoder.attend(compute_, blocks::batch_columns(query, images, 0, w),
                       blocks::batch_columns(keys, images, 0, w),
                       blocks::batch_columns(keys, images, w, w), options,
                       blocks::batch_columns(heads, images, 0, w));
        decoder.finish(compute_, heads, flat(g), normed, hidden);
        check_block_layers("layer.dec.block." + std::to_string(j) + ".out", g);
    }
    model_.norm.apply(compute_, g, g);
    check_block_layers("layer.norm", g);
    const sdk::Tensor made = compute_.allocate({images * rows, config_.token_width()});
    const sdk::Tensor scratch =
        compute_.allocate({images * rows, std::max<std::int64_t>(config_.head_hidden, 1)});
    model_.predict(compute_, flat(g), scratch, made);
    const std::vector<float> patches = as_patches(to_host(compute_, made));
    compare("pred", patches, limits_.prediction);
    compare("pred_f64", patches, limits_.prediction);
}

// Set by set, as a run does it: those of one rank become known together.
void SaimCheck::check_by_cache(const sdk::Tensor &tokens, std::int64_t image,
                               const std::vector<std::int32_t> &ranks, std::vector<float> &made) {
    blocks::RunSpec spec;
    spec.grid = config_.grid();
    spec.labels = {-1};
    saim::Network network(compute_, model_, spec, 1);
    network.set_ranks(0, ranks);
    std::vector<std::int32_t> every(ranks.size());
    std::iota(every.begin(), every.end(), 0);
    network.embed(sdk::slice(tokens.view(), 0, image, 1), every, 1, 0);
    const std::int32_t last = *std::max_element(ranks.begin(), ranks.end());
    const std::int64_t d = config_.token_width();
    for (std::int32_t rank = 0; rank <= last; ++rank) {
        std::vector<std::int32_t> known, wanted;
        for (const std::int32_t token : every) {
            const std::int32_t own = ranks[static_cast<std::size_t>(token)];
            if (own < rank) known.push_back(token);
            if (own == rank) wanted.push_back(token);
        }
        network.start(known, wanted);
        for (int unit = 0; unit < network.unit_count(); ++unit) network.run_unit(unit);
        const auto count = static_cast<std::int64_t>(wanted.size());
        const sdk::Tensor rows = compute_.allocate({count, d});
        const sdk::Tensor scratch =
            compute_.allocate({count, std::max<std::int64_t>(config_.head_hidden, 1)});
        model_.predict(compute_, sdk::reshape(network.conditions(), {count, config_.width}),
                       scratch, rows);
        const std::vector<float> values = to_host(compute_, rows);
        for (std::int64_t i = 0; i < count; ++i) {
            std::copy_n(values.begin() + i * d, d,
                        made.begin() + wanted[static_cast<std::size_t>(i)] * d);
        }
    }
}

// ---- what it is trained towards -----------------------------------------------------------------

// With zeros around the picture.
std::vector<float> SaimCheck::blurred(const Values<float> &pictures) const {
    if (config_.blur == 0) return pictures.data;
    const std::int64_t size = config_.image_size, channels = config_.channels, k = config_.blur;
    std::vector<float> out(pictures.data.size());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(out.size()); ++i) {
        const std::int64_t x = i / channels % size, y = i / channels / size % size;
        double sum = 0.0;
        for (std::int64_t tap = 0; tap < k * k; ++tap) {
            const std::int64_t dy = tap / k - k / 2, dx = tap % k - k / 2;
            if (y + dy < 0 || y + dy >= size || x + dx < 0 || x + dx >= size) continue;
            sum += static_cast<double>(model_.blur[static_cast<std::size_t>(tap)]) *
                   static_cast<double>(
                       pictures.data[static_cast<std::size_t>(i + (dy * size + dx) * channels)]);
        }
        out[static_cast<std::size_t>(i)] = static_cast<float>(sum);
    }
    return out;
}

std::vector<float> SaimCheck::target_of(const std::vector<float> &pictures,
                                        std::int64_t images) const {
    const sdk::Tensor tokens =
        tokens_of({{images, config_.image_size, config_.image_size, config_.channels}, pictures});
    std::vector<float> target = as_patches(to_host(compute_, tokens));
    if (!config_.normalises) return target;
    const auto d = static_cast<std::size_t>(config_.token_width());
    for (std::size_t first = 0; first < target.size(); first += d) {
        const std::span<float> patch = std::span(target).subspan(first, d);
        double mean = 0.0, variance = 0.0;
        for (const float value : patch) mean += static_cast<double>(value) / static_cast<double>(d);
        for (const float value : patch) {
            const double off = static_cast<double>(value) - mean;
            variance += off * off / static_cast<double>(d - 1);
        }
        for (float &value : patch) {
            value = static_cast<float>((static_cast<double>(value) - mean) /
                                       std::sqrt(variance + 1e-6));
        }
    }
    return target;
}

void SaimCheck::check_target(const Values<float> &pictures) {
    const std::vector<float> soft = blurred(pictures);
    attempt("blurred", [&] {
        const std::vector<float> theirs = channels_last(file_.floats("blurred")).data;
        report_.compare("blurred", soft, theirs, kTargetLimit, std::max(1.0, max_abs(theirs)));
    });
    compare("target", target_of(soft, pictures.rows(0)), kTargetLimit);
}

// ---- representations ----------------------------------------------------------------------------

void SaimCheck::check_features() {
    const sdk::Tensor tokens = tokens_of(pictures());
    const std::int64_t images = tokens.shape(0), w = config_.width, depth = config_.depth;
    const auto encode = [&](std::int64_t layer) {
        auto encoding = std::make_unique<saim::Encoding>(
            compute_, model_, images, static_cast<int>(layer), saim::Pool::kClass);
        encoding->give(tokens);
        while (!encoding->is_done()) encoding->run_unit();
        return encoding;
    };
    for (std::int64_t layer = 1; layer < depth; ++layer) {
        compare("feat.block." + std::to_string(layer - 1) + ".out",
                to_host(compute_, encode(layer)->rows()), limits_.features);
    }
    const auto last = encode(depth);
    const std::vector<float> rows = to_host(compute_, last->rows());
    const std::vector<float> mean = to_host(compute_, last->mean());
    compare("feat.norm", rows, limits_.features);
    compare("feat.mean", mean, limits_.features);
    std::vector<float> first;
    for (std::int64_t image = 0; image < images; ++image) {
        const auto at = rows.begin() + image * (1 + config_.tokens()) * w;
        first.insert(first.end(), at, at + w);
    }
    compare("feat.cls", first, limits_.features);
    attempt("feat.mean_fc_norm", [&] {
        const sdk::Tensor gamma = to_device(compute_, file_.floats("fc_norm.weight"));
        const sdk::Tensor beta = to_device(compute_, file_.floats("fc_norm.bias"));
        const sdk::Tensor normed = compute_.allocate({images, w});
        compute_.layer_norm(last->mean(), gamma.optional(), beta.optional(), config_.epsilon,
                            normed);
        compare("feat.mean_fc_norm", to_host(compute_, normed), limits_.features);
    });
}

// ---- completion ---------------------------------------------------------------------------------

void SaimCheck::check_completion() {
    const Values<float> images = pictures();
    const sdk::Tensor tokens = tokens_of(images);
    const Values<std::int64_t> known = file_.integers("known"), order = file_.integers("order");
    const Values<std::int64_t> sizes = file_.integers("group_sizes");
    const saim::SaimSets sets(model_, saim::Order::kRandom, true);
    std::vector<float> made;
    for (std::int64_t image = 0; image < images.rows(0); ++image) { // each has its own known set
        blocks::RunSpec spec;
        spec.grid = config_.grid();
        spec.labels = {-1};
        spec.steps = static_cast<int>(sizes.rows(0));
        spec.diffusion.denoise_steps = std::to_string(2); // of no sampler
        for (const std::int64_t k : known.at(image).data) {
            spec.known.push_back(static_cast<std::uint8_t>(k));
        }
        const std::vector<std::int64_t> first_to_last = order.at(image).data;
        spec.orders.emplace_back(first_to_last.rbegin(), first_to_last.rend());
        blocks::TokenRun run(compute_, sets, std::move(spec));
        for (int k = 0; k < run.plan().size(); ++k) {
            const blocks::UnmaskStep step = run.plan()[k].tokens;
            report_.add("group sizes",
                        std::abs(static_cast<double>(step.unknown_before - step.first -
                                                     sizes.data.at(static_cast<std::size_t>(k)))),
                        0.0);
        }
        run.give(sdk::slice(tokens.view(), 0, image, 1));
        while (!run.is_done()) run.run_unit();
        const std::vector<float> own = to_host(compute_, run.tokens());
        made.insert(made.end(), own.begin(), own.end());
    }
    const std::vector<float> patches = as_patches(made);
    attempt("patches", [&] {
        const Values<float> theirs = file_.floats("patches");
        const auto d = static_cast<std::size_t>(config_.token_width());
        double worst = 0.0;
        for (std::size_t token = 0; token < known.data.size(); ++token) {
            if (known.data[token] != 0) continue; // the file may leave these open
            worst = std::max(worst, max_difference(std::span(patches).subspan(token * d, d),
                                                   std::span(theirs.data).subspan(token * d, d)));
        }
        report_.add("patches", worst, limits_.completion * std::max(1.0, max_abs(theirs.data)));
    });
    const std::int64_t side = config_.side(), size = config_.image_size;
    const sdk::Tensor map = compute_.allocate({images.rows(0), size, size, config_.channels});
    const sdk::Tensor all = compute_.to_device(
        sdk::host_view(made.data(), {images.rows(0), side, side, config_.token_width()}));
    compute_.pixel_shuffle(all, static_cast<std::uint32_t>(config_.patch), map);
    const std::vector<float> completed = to_host(compute_, map);
    for (const char *name : {"completed", "completed_f64"}) {
        attempt(name, [&] {
            const std::vector<float> theirs = channels_last(file_.floats(name)).data;
            report_.compare(name, completed, theirs, limits_.completion,
                            std::max(1.0, max_abs(theirs)));
        });
    }
}

// ---- kinds --------------------------------------------------------------------------------------

template <void (SaimCheck::*check)()>
void check_saim(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    const saim::SaimModel model = load_model(context, weights);
    (SaimCheck(context, file, model, report).*check)();
}

const Kind kStreams("saim_case", check_saim<&SaimCheck::check_streams>);
const Kind kFeatures("saim_features", check_saim<&SaimCheck::check_features>);
const Kind kCompletion("saim_complete", check_saim<&SaimCheck::check_completion>);

} // namespace
} // namespace tessera::golden
