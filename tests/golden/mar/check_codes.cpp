// Recorded runs of models whose tokens are codes: the likeliest code at every step, so that nothing
// is drawn.
#include "golden/mar/mar_case.hpp"

#include "blocks/shell/token_run.hpp"

#include <algorithm>

namespace tessera::golden {
namespace {

// The codes of a run, (images, S); tokens are entries of the codebook bit by bit.
std::vector<std::int64_t> codes_of(const std::vector<float> &tokens,
                                   const std::vector<float> &codebook, std::size_t width) {
    std::vector<std::int64_t> codes;
    for (auto token = tokens.begin(); token != tokens.end();
         token += static_cast<std::ptrdiff_t>(width)) {
        std::int64_t found = -1;
        for (std::size_t code = 0; code * width < codebook.size() && found < 0; ++code) {
            const auto entry = codebook.begin() + static_cast<std::ptrdiff_t>(code * width);
            if (std::equal(entry, entry + static_cast<std::ptrdiff_t>(width), token)) {
                found = static_cast<std::int64_t>(code);
            }
        }
        codes.push_back(found);
    }
    return codes;
}

void check_run(const CaseContext &context, const CaseFile &file, const mar::TokenModel &model,
               Report &report) {
    const mar::TokenConfig &shape = model.shape();
    const blocks::Config call = file.object("call");
    const Values<std::int64_t> orders = file.integers("orders"); // last to first
    const std::int64_t images = orders.rows(0);
    if (shape.codes == 0 || orders.shape != std::vector<std::int64_t>{images, shape.tokens()}) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file.path() + ": not a case of these weights");
    }
    blocks::RunSpec spec;
    spec.labels = case_labels(file, images);
    spec.steps = static_cast<int>(call.integer("num_iter", 1, 1 << 20));
    spec.diffusion.guidance = call.number("cfg", -1e6, 1e6);
    spec.diffusion.schedule = call.text("cfg_schedule") == "constant"
                                  ? blocks::GuidanceSchedule::kConstant
                                  : blocks::GuidanceSchedule::kLinear;
    spec.diffusion.temperature = 0.0;
    spec.diffusion.denoise_steps = "2";
    for (std::int64_t image = 0; image < images; ++image) {
        const std::vector<std::int64_t> order = orders.at(image).data;
        spec.orders.emplace_back(order.begin(), order.end());
    }
    blocks::TokenRun run(context.compute, model, spec);
    while (!run.is_done()) run.run_unit();
    const std::vector<std::int64_t> ours =
        codes_of(to_host(context.compute, run.tokens()), to_host(context.compute, model.codebook()),
                 static_cast<std::size_t>(shape.token_width()));
    const std::vector<std::int64_t> theirs = file.integers("codes").data;
    double wrong = ours.size() == theirs.size() ? 0.0 : 1e9;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        wrong += ours[i] != theirs[i] ? 1.0 : 0.0;
    }
    report.add("codes that differ", wrong, context.exact ? 0.0 : 1e9);
}

void check_codes(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    const std::string config = weights.metadata("config").value_or("{}");
    if (blocks::Config::parse(config, weights.path() + ": config").has("variant")) {
        return check_run(context, file, load_causal(context, weights), report);
    }
    check_run(context, file, load_model(context, weights), report);
}

const Kind kKind("mar_codes", check_codes);

} // namespace
} // namespace tessera::golden
