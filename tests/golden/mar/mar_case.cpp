// What cases of MAR share.
#include "golden/mar/mar_case.hpp"

namespace tessera::golden {

namespace {

template <class Model, class Config>
Model load_as(const CaseContext &context, const sdk::Weights &weights) {
    const auto text = weights.metadata("config");
    if (!text) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights.path() + ": metadata 'config' is missing");
    }
    const auto config = Config::read(blocks::Config::parse(*text, weights.path() + ": config"));
    blocks::WeightLoader loader(weights, context.compute);
    return loader.run([&](blocks::WeightLoader &l) {
        return Model::load(config, l, context.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16);
    });
}

} // namespace

mar::MarModel load_model(const CaseContext &context, const sdk::Weights &weights) {
    return load_as<mar::MarModel, mar::MarConfig>(context, weights);
}

mar::CausalModel load_causal(const CaseContext &context, const sdk::Weights &weights) {
    return load_as<mar::CausalModel, mar::CausalConfig>(context, weights);
}

std::vector<std::int64_t> case_labels(const CaseFile &file, std::int64_t images) {
    const blocks::Config call = file.object("call");
    if (call.is_null("labels")) return std::vector<std::int64_t>(images, -1);
    return call.integers("labels", 0, 1 << 20);
}

} // namespace tessera::golden
