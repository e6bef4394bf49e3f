// Recorded runs of MAR on the tokens of textures: orders, all noise, and what came out.
#include "golden/texture/texture_case.hpp"

#include "blocks/shell/token_run.hpp"
#include "mar/torus.hpp"

namespace tessera::golden {
namespace {

constexpr TextureLimits kExactLimits{1e-4, 1e-4, 1.0};

void check_torus(const CaseContext &context, const CaseFile &file, Report &report) {
    const auto model = load_texture<mar::TorusModel>(context, mar::TorusConfig::read);
    const Values<float> tokens = file.floats("tokens");
    blocks::RunSpec spec = texture_spec(file, model.trunk, tokens.rows(1), tokens.rows(2));
    expect_shape(file, "tokens", tokens.shape,
                 {spec.images(), spec.grid.rows, spec.grid.columns, texture::kTokenNumbers});
    spec.diffusion.schedule = blocks::GuidanceSchedule::kConstant;
    spec.diffusion.denoise_steps = file.object("settings").text_or_integer("denoise_steps");
    const Values<std::int64_t> orders = file.integers("orders");
    expect_shape(file, "orders", orders.shape, {spec.images(), spec.grid.tokens()});
    for (std::int64_t image = 0; image < spec.images(); ++image) {
        const std::vector<std::int64_t> order = orders.at(image).data;
        spec.orders.emplace_back(order.begin(), order.end());
    }
    sdk::Tensor initial;
    sdk::Tensor steps;
    spec.recorded = [&](int step) {
        initial = to_device(context.compute, file.floats(at_step(step, "initial")));
        steps = to_device(context.compute, file.floats(at_step(step, "noise")));
        return blocks::StepNoise{initial.view(), steps.view()};
    };
    report.attempt(file, "run", [&] {
        blocks::TokenRun run(context.compute, model, spec);
        give_tokens(context, file, spec, run);
        while (!run.is_done()) run.run_unit();
        check_result(context, file, spec, run, context.exact ? kExactLimits : kTextureMixed,
                     report);
    });
}

const Kind kKind("texture_mar_sample", check_torus);

} // namespace
} // namespace tessera::golden
