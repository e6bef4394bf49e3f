// What cases of DARL share.
#include "golden/darl/darl_case.hpp"

namespace tessera::golden {
namespace {

using darl::DarlConfig;

DarlConfig read_config(const sdk::Weights &weights) {
    const auto text = weights.metadata("config");
    if (!text) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'config' is missing");
    }
    return DarlConfig::read(blocks::Config::parse(*text, weights.path() + ": config"));
}

bool fits(const DarlConfig &a, const DarlConfig &b) {
    return a.height == b.height && a.columns == b.columns && a.channels == b.channels &&
           a.patch == b.patch && a.width == b.width && a.depth == b.depth && a.heads == b.heads &&
           a.mlp_ratio == b.mlp_ratio && a.classes == b.classes && a.clamp == b.clamp &&
           a.rope_base == b.rope_base && a.nested == b.nested;
}

} // namespace

darl::DarlModel load_darl(const CaseContext &context, const CaseFile &file) {
    const sdk::Weights weights(context.host, context.weights);
    const DarlConfig config = read_config(weights);
    if (!fits(config, read_config(file.weights()))) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file.path() + ": its config is not that of " + weights.path());
    }
    blocks::WeightLoader loader(weights, context.compute);
    return loader.run([&](blocks::WeightLoader &l) {
        return darl::DarlModel::load(config, l,
                                     context.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16);
    });
}

std::vector<std::int64_t> darl_labels(const CaseFile &file, const darl::DarlModel &model,
                                      std::int64_t images) {
    if (!file.has("labels")) {
        return std::vector<std::int64_t>(static_cast<std::size_t>(images), darl::kUnlabelled);
    }
    require_shape(file, "labels", {images});
    std::vector<std::int64_t> labels = file.integers("labels").data;
    for (std::int64_t &label : labels) {
        if (label < 0 || label > model.config.classes) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file.path() + ": label " + std::to_string(label) +
                                   ", expected 0 to " + std::to_string(model.config.classes));
        }
        if (label == model.config.classes) label = -1; // the row of "no class"
    }
    return labels;
}

void require_shape(const CaseFile &file, const std::string &tensor,
                   const std::vector<std::int64_t> &shape) {
    const auto found = file.weights().find(tensor);
    if (!found || std::vector<std::int64_t>(found->shape, found->shape + found->rank) == shape) {
        return;
    }
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       file.path() + ": tensor '" + tensor + "' has shape " +
                           sdk::shape_text(*found) + ", expected " +
                           sdk::shape_text(sdk::make_view(nullptr, TESSERA_DTYPE_F32, shape)) +
                           " for these weights");
}

} // namespace tessera::golden
