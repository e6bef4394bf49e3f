// What cases of UMD share.
#include "golden/umd/umd_case.hpp"

#include <algorithm>
#include <numeric>

namespace tessera::golden {

umd::UmdModel load_umd(const CaseContext &context, const sdk::Weights &weights) {
    const auto text = weights.metadata("config");
    if (!text) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'config' is missing");
    }
    const auto config =
        umd::UmdConfig::read(blocks::Config::parse(*text, weights.path() + ": config"));
    blocks::WeightLoader loader(weights, context.compute);
    return loader.run([&](blocks::WeightLoader &l) {
        return umd::UmdModel::load(config, l,
                                   context.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16);
    });
}

sdk::Tensor umd_tokens(const sdk::Compute &compute, const umd::UmdConfig &config,
                       const Values<float> &pictures) {
    const std::int64_t batch = pictures.rows(0), side = config.side();
    const std::int64_t expected[] = {batch, config.image_size, config.image_size, config.channels};
    if (!std::equal(pictures.shape.begin(), pictures.shape.end(), expected, expected + 4)) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           "the pictures of the case have another size than those of the weights");
    }
    const sdk::Tensor map = to_device(compute, pictures);
    sdk::Tensor tokens = compute.allocate({batch, config.tokens(), config.token_width()});
    compute.pixel_unshuffle(map, static_cast<std::uint32_t>(config.patch),
                            sdk::reshape(tokens, {batch, side, side, config.token_width()}));
    compute.synchronize();
    return tokens;
}

std::vector<float> umd_pictures(const sdk::Compute &compute, const umd::UmdConfig &config,
                                const sdk::View &tokens) {
    const std::int64_t side = config.side(), size = config.image_size;
    const std::int64_t batch =
        sdk::element_count(tokens) / tokens.shape[tokens.rank - 1] / config.tokens();
    const std::int64_t width = tokens.shape[tokens.rank - 1];
    const sdk::Tensor map =
        compute.allocate({batch, size, size, width / (config.patch * config.patch)});
    compute.pixel_shuffle(sdk::reshape(tokens, {batch, side, side, width}),
                          static_cast<std::uint32_t>(config.patch), map);
    return to_host(compute, map);
}

std::vector<std::int64_t> umd_labels(const CaseFile &file, const char *name,
                                     const umd::UmdConfig &config, std::int64_t images) {
    std::vector<std::int64_t> labels(static_cast<std::size_t>(images), -1);
    if (config.classes == 0 || !file.has(name)) return labels;
    labels = file.integers(name).data;
    for (std::int64_t &label : labels) {
        if (label == config.classes) label = -1;
    }
    return labels;
}

UmdMask umd_mask(const umd::UmdConfig &config, const Values<float> &scores, double ratio) {
    const std::int64_t tokens = config.tokens(), p = config.patch, side = config.side();
    const auto kept = static_cast<std::int64_t>(static_cast<double>(tokens) * (1.0 - ratio));
    UmdMask mask;
    for (std::int64_t entry = 0; entry < scores.rows(0); ++entry) {
        const std::vector<float> row = scores.at(entry).data;
        std::vector<std::int64_t> order(static_cast<std::size_t>(tokens));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
            return row[static_cast<std::size_t>(a)] < row[static_cast<std::size_t>(b)];
        });
        std::vector<std::int64_t> place(order.size());
        for (std::size_t i = 0; i < order.size(); ++i) {
            place[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
        }
        for (std::int64_t token = 0; token < tokens; ++token) {
            mask.removed.push_back(place[static_cast<std::size_t>(token)] >= kept ? 1 : 0);
        }
        for (std::int64_t i = 0; i < kept; ++i) {
            mask.visible.push_back(static_cast<std::int32_t>(order[static_cast<std::size_t>(i)]));
        }
        for (std::int64_t pixel = 0; pixel < config.image_size * config.image_size; ++pixel) {
            const std::int64_t y = pixel / config.image_size / p, x = pixel % config.image_size / p;
            mask.pixels.push_back(
                mask.removed[static_cast<std::size_t>(entry * tokens + y * side + x)]);
        }
        mask.restore.insert(mask.restore.end(), place.begin(), place.end());
    }
    return mask;
}

Values<float> unfolded(Values<float> values, std::int64_t count) {
    values.shape[0] /= count;
    values.shape.insert(values.shape.begin(), count);
    return values;
}

void run_umd(umd::Network &network, const sdk::View &tokens, std::span<const std::int32_t> times,
             std::span<const std::int32_t> visible, std::span<const std::int64_t> labels) {
    for (std::size_t entry = 0; entry < labels.size(); ++entry) {
        network.set_class(static_cast<std::int64_t>(entry), labels[entry], {});
    }
    network.start(tokens, times, visible);
    network.run_all();
}

std::vector<float> head_of(const std::vector<float> &output, std::int64_t channels, int head) {
    std::vector<float> part;
    for (std::size_t i = 0; i < output.size(); ++i) {
        const auto channel = static_cast<std::int64_t>(i) % (2 * channels);
        if (channel / channels == head) part.push_back(output[i]);
    }
    return part;
}

double count_differences(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
    if (a.size() != b.size()) return static_cast<double>(std::max(a.size(), b.size()));
    double count = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i] ? 1.0 : 0.0;
    return count;
}

} // namespace tessera::golden
