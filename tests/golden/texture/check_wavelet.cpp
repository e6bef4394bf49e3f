// A recorded picture as wavelet tokens, its style, and back.
#include "golden/texture/texture_case.hpp"

namespace tessera::golden {
namespace {

// Absolute.
constexpr double kTokenLimit = 1e-5;
constexpr double kNormalisedLimit = 1e-4; // a division by deviations from 1e-2 up
constexpr double kStyleLimit = 1e-3;      // logarithms of spectra

void check_wavelet(const CaseContext &context, const CaseFile &file, Report &report) {
    const Values<float> picture = channels_last(file.floats("picture"));
    const std::int64_t height = picture.rows(1), width = picture.rows(2);
    const std::int64_t rows = height / blocks::kWaveletCell, columns = width / blocks::kWaveletCell;
    expect_shape(file, "picture, channels last", picture.shape,
                 {1, blocks::kWaveletCell * rows, blocks::kWaveletCell * columns, 3});
    const auto compare = [&](const char *stage, const char *tensor, std::span<const float> ours,
                             double limit) {
        report.attempt(file, stage,
                       [&] { report.compare(stage, ours, file.floats(tensor).data, limit, 1.0); });
    };
    const blocks::Wavelet wavelet(context.compute);
    const blocks::WaveletRun there(wavelet, blocks::WaveletRun::Direction::kAnalysis, rows,
                                   columns);
    context.compute.upload(sdk::host_view(picture.data.data(), {height, width, 3}),
                           there.picture());
    there.run_all();
    std::vector<float> tokens = to_host(context.compute, there.tokens());
    compare("picture to tokens", "tokens", tokens, kTokenLimit);

    blocks::Style style = blocks::exact_style(tokens, {});
    blocks::take_out(style, tokens);
    blocks::describe_style(picture.data, height, width, tokens, {}, style);
    compare("tokens without style", "normalised", tokens, kNormalisedLimit);
    compare("style", "style_raw", style, kStyleLimit);

    blocks::put_back(style, 0.0, tokens);
    compare("style put back", "tokens", tokens, kTokenLimit);
    const blocks::WaveletRun back(wavelet, blocks::WaveletRun::Direction::kSynthesis, rows,
                                  columns);
    context.compute.upload(sdk::host_view(tokens.data(), {rows, columns, texture::kTokenNumbers}),
                           back.tokens());
    back.run_all();
    report.attempt(file, "tokens to picture", [&] {
        report.compare("tokens to picture", to_host(context.compute, back.picture()),
                       channels_last(file.floats("restored")).data, kTokenLimit, 1.0);
    });
}

const Kind kKind("wavelet_io", check_wavelet);

} // namespace
} // namespace tessera::golden
