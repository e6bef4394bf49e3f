// What cases of textures share.
#include "golden/texture/texture_case.hpp"

#include "golden/picture_bytes.hpp"

#include "blocks/texture/pictures.hpp"

#include <algorithm>

namespace tessera::golden {

using texture::kTokenNumbers;
using texture::kTokenWidth;

void expect_shape(const CaseFile &file, const char *name, const std::vector<std::int64_t> &shape,
                  const std::vector<std::int64_t> &expected) {
    if (shape == expected) return;
    std::string text;
    for (const std::int64_t side : expected) {
        text += (text.empty() ? "" : ", ") + std::to_string(side);
    }
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       file.path() + ": '" + name + "' is not of shape (" + text + ")");
}

blocks::RunSpec texture_spec(const CaseFile &file, const texture::TextureModel &model,
                             std::int64_t rows, std::int64_t columns) {
    blocks::RunSpec spec;
    spec.grid.rows = rows;
    spec.grid.columns = columns;
    spec.grid.latent_channels = kTokenWidth;
    spec.grid.latent_stride = blocks::kWaveletCell;
    spec.labels = file.integers("labels").data;
    for (const std::int64_t label : spec.labels) {
        if (label < 0 || label >= model.config.classes) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file.path() + ": not a case of these weights");
        }
    }
    const blocks::Config settings = file.object("settings");
    spec.steps = static_cast<int>(settings.integer("steps", 1, 1000));
    spec.diffusion.guidance = settings.number("guidance", 0, 100);
    spec.diffusion.temperature = settings.number("temperature", 0, 100);
    const Values<float> styles = file.floats("styles");
    expect_shape(file, "styles", styles.shape, {spec.images(), blocks::kStyleNumbers});
    for (std::int64_t image = 0; image < spec.images(); ++image) {
        blocks::Style style{};
        std::copy_n(styles.data.data() + image * blocks::kStyleNumbers, style.size(),
                    style.begin());
        spec.style.styles.push_back(model.bank.raw(style));
    }
    if (file.has("known")) {
        const Values<std::int64_t> known = file.integers("known");
        expect_shape(file, "known", known.shape, {1, rows, columns});
        for (const std::int64_t one : known.data) {
            spec.known.push_back(static_cast<std::uint8_t>(one));
        }
    }
    return spec;
}

void give_tokens(const CaseContext &context, const CaseFile &file, const blocks::RunSpec &spec,
                 blocks::Run &run) {
    if (spec.known.empty()) return;
    const Values<float> given = file.floats("given");
    expect_shape(file, "given", given.shape, {1, spec.grid.rows, spec.grid.columns, kTokenNumbers});
    const blocks::Style &style = spec.style.styles.front();
    Values<float> wide{{1, spec.grid.tokens(), kTokenWidth}, {}};
    for (std::int64_t token = 0; token < spec.grid.tokens(); ++token) {
        const float *from = given.data.data() + token * kTokenNumbers;
        wide.data.insert(wide.data.end(), from, from + kTokenNumbers);
        wide.data.insert(wide.data.end(), style.begin(), style.end());
    }
    run.give(to_device(context.compute, wide));
}

std::vector<float> without_style(const sdk::Compute &compute, const sdk::View &tokens) {
    const std::vector<float> wide = to_host(compute, tokens);
    std::vector<float> narrow;
    for (auto token = wide.begin(); token != wide.end(); token += kTokenWidth) {
        narrow.insert(narrow.end(), token, token + kTokenNumbers);
    }
    return narrow;
}

void check_result(const CaseContext &context, const CaseFile &file, const blocks::RunSpec &spec,
                  const blocks::Run &run, const TextureLimits &limits, Report &report) {
    report.attempt(file, "tokens", [&] {
        report.compare("tokens", without_style(context.compute, run.tokens()),
                       file.floats("tokens").data, limits.tokens, 1.0);
    });
    const blocks::Wavelet wavelet(context.compute);
    Values<float> pictures{{spec.images(), spec.grid.height(), spec.grid.width(), 3}, {}};
    for (std::int64_t image = 0; image < spec.images(); ++image) {
        texture::TexturePictures made(context.compute, wavelet, {spec.grid.rows, spec.grid.columns},
                                      {0.0}, {}, {});
        made.start(sdk::slice(run.tokens(), 0, image, 1), 0);
        for (int unit = 0; unit < made.units(); ++unit) made.run(unit);
        const std::vector<float> pixels = to_host(context.compute, made.picture());
        pictures.data.insert(pictures.data.end(), pixels.begin(), pixels.end());
    }
    report.attempt(file, "picture", [&] {
        report.compare("picture", pictures.data, channels_last(file.floats("picture")).data,
                       limits.picture, 1.0);
    });
    report.attempt(file, "bytes of our picture", [&] {
        report.add("bytes of our picture",
                   largest_byte_difference(to_bytes(context.compute, pictures),
                                           file.integers("rgb8").data),
                   limits.bytes);
    });
}

} // namespace tessera::golden
