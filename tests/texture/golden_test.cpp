// Runs recorded from PyTorch (plugins/training), down to the bytes of the picture. A folder in
// TESSERA_TEXTURE_CASES, with weights and cases of a real model, is checked as well.
#include "tests/texture/test_model.hpp"

#include "tests/golden/case_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace tessera::texture {
namespace {

using golden::CaseFile;

struct Case {
    std::string path;
    std::string weights;
};

std::vector<Case> cases(const char *kind) {
    const TestDevice device;
    std::vector<std::pair<std::string, std::string>> folders{
        {data_path(""), data_path("weights.safetensors")}};
    if (const char *more = std::getenv("TESSERA_TEXTURE_CASES")) {
        folders.emplace_back(std::string(more) + "/cases",
                             std::string(more) + "/generator.safetensors");
    }
    std::vector<Case> found;
    for (const auto &[folder, weights] : folders) {
        for (const auto &entry : std::filesystem::directory_iterator(folder)) {
            const std::string name = entry.path().filename();
            if (!name.starts_with("case_")) continue;
            if (CaseFile(device.plugin_host, entry.path()).text("kind") != kind) continue;
            found.push_back({entry.path(), weights});
        }
    }
    return found;
}

template <class Values>
double largest_difference(const Values &a, std::span<const float> b) {
    EXPECT_EQ(a.size(), b.size());
    double worst = 0;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
    }
    return worst;
}

// (3, h, w) of a case to (h, w, 3).
std::vector<float> channels_last(const std::vector<float> &planes) {
    std::vector<float> pixels;
    const std::size_t count = planes.size() / 3;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t c = 0; c < 3; ++c) pixels.push_back(planes[c * count + i]);
    }
    return pixels;
}

TEST(TextureGolden, CodecAndStyle) {
    const TestDevice device;
    const auto all = cases("wavelet_io");
    ASSERT_FALSE(all.empty());
    for (const Case &one : all) {
        SCOPED_TRACE(one.path);
        const CaseFile file(device.plugin_host, one.path);
        const auto recorded = file.floats("picture");
        const std::vector<float> picture = channels_last(recorded.data);
        const auto tokens = file.floats("tokens");
        const std::int64_t rows = tokens.shape[1], columns = tokens.shape[2];
        const blocks::Wavelet wavelet(device.compute);
        const blocks::WaveletRun there(wavelet, blocks::WaveletRun::Direction::kAnalysis, rows,
                                       columns);
        device.compute.upload(sdk::host_view(picture.data(), {8 * rows, 8 * columns, 3}),
                              there.picture());
        there.run_all();
        std::vector<float> made = to_host(device.compute, there.tokens());
        EXPECT_LT(largest_difference(tokens.data, made), 1e-5);

        blocks::Style style = blocks::exact_style(made, {});
        blocks::take_out(style, made);
        blocks::describe_style(picture, 8 * rows, 8 * columns, made, {}, style);
        EXPECT_LT(largest_difference(file.floats("normalised").data, made), 1e-4);
        EXPECT_LT(largest_difference(file.floats("style_raw").data, style), 1e-3);

        blocks::put_back(style, 0.0, made);
        EXPECT_LT(largest_difference(tokens.data, made), 1e-5);
        const blocks::WaveletRun back(wavelet, blocks::WaveletRun::Direction::kSynthesis, rows,
                                      columns);
        device.compute.upload(sdk::host_view(made.data(), {rows, columns, kTokenNumbers}),
                              back.tokens());
        back.run_all();
        EXPECT_LT(largest_difference(channels_last(file.floats("restored").data),
                                     to_host(device.compute, back.picture())),
                  1e-5);
    }
}

// The request that a case was recorded from.
RunRequest request_of(const CaseFile &file, const TextureModel &model) {
    const blocks::Config settings = file.object("settings");
    RunRequest request;
    const auto noise = file.floats("noise");
    request.grid = {noise.shape[1], noise.shape[2]};
    request.labels.clear();
    for (const std::int64_t label : file.integers("labels").data) request.labels.push_back(label);
    request.steps = static_cast<int>(settings.integer("steps", 1, 1000));
    request.guidance = settings.number("guidance", 0, 100);
    request.temperature = settings.number("temperature", 0, 100);
    const auto styles = file.floats("styles");
    for (std::size_t i = 0; i < request.labels.size(); ++i) {
        blocks::Style style{};
        std::copy_n(styles.data.begin() + static_cast<std::ptrdiff_t>(i * style.size()),
                    style.size(), style.begin());
        request.style.styles.push_back(model.bank.raw(style));
    }
    if (!file.has("known")) return request;
    for (const std::int64_t known : file.integers("known").data) {
        request.known.push_back(static_cast<std::uint8_t>(known));
    }
    const auto given = file.floats("given");
    const blocks::Style &style = request.style.styles.front();
    for (std::int64_t token = 0; token < request.grid.tokens(); ++token) {
        const float *from = given.data.data() + token * kTokenNumbers;
        request.given.insert(request.given.end(), from, from + kTokenNumbers);
        request.given.insert(request.given.end(), style.begin(), style.end());
    }
    return request;
}

std::vector<float> without_style(std::span<const float> tokens) {
    std::vector<float> narrow;
    for (std::size_t i = 0; i < tokens.size(); i += kTokenWidth) {
        narrow.insert(narrow.end(), tokens.begin() + static_cast<std::ptrdiff_t>(i),
                      tokens.begin() + static_cast<std::ptrdiff_t>(i + kTokenNumbers));
    }
    return narrow;
}

// Runs level by level; what it takes tokens to be is compared where it was recorded.
void check_levels(const TestDevice &device, const CaseFile &file, const RunRequest &request,
                  TextureRun &run) {
    for (int level = 0; !run.is_done(); ++level) {
        while (!run.run_unit()) {
        }
        char name[32];
        std::snprintf(name, sizeof name, "step.%02d.clean", level);
        if (!file.has(name)) continue;
        const auto clean = file.floats(name);
        const std::vector<float> made = without_style(to_host(device.compute, run.tokens()));
        double worst = 0;
        for (std::size_t i = 0; i < made.size(); ++i) {
            const std::size_t token = i / kTokenNumbers;
            if (!request.known.empty() && request.known[token] != 0) continue;
            worst = std::max(worst, std::abs(static_cast<double>(made[i]) - clean.data[i]));
        }
        EXPECT_LT(worst, 2e-3) << name;
    }
}

TEST(TextureGolden, Sampling) {
    const auto all = cases("texture_sample");
    ASSERT_FALSE(all.empty());
    const TestDevice device(2);
    for (const Case &one : all) {
        SCOPED_TRACE(one.path);
        const CaseFile file(device.plugin_host, one.path);
        const TextureModel model = load_model(device, one.weights);
        const RunRequest request = request_of(file, model);
        const auto noise = file.floats("noise");
        const auto rows = static_cast<std::int64_t>(noise.data.size()) / kTokenNumbers;
        const sdk::Tensor recorded =
            device.compute.to_device(sdk::host_view(noise.data.data(), {rows, kTokenNumbers}));
        blocks::RunSpec spec = spec_of(request);
        spec.recorded = [&](int) { return blocks::StepNoise{recorded.view(), {}}; };
        TextureRun run(device.compute, model, std::move(spec), request.sets);
        if (!request.given.empty()) {
            const sdk::Tensor given = device.compute.to_device(
                sdk::host_view(request.given.data(), {1, request.grid.tokens(), kTokenWidth}));
            run.give(given);
        }
        check_levels(device, file, request, run);

        const std::vector<float> tokens = to_host(device.compute, run.tokens());
        EXPECT_LT(largest_difference(file.floats("tokens").data, without_style(tokens)), 5e-3);
        const auto pictures = file.floats("picture");
        const auto bytes = file.integers("rgb8");
        const auto size = static_cast<std::size_t>(request.grid.tokens() * kTokenWidth);
        for (std::size_t image = 0; image < request.labels.size(); ++image) {
            const std::vector<float> own(tokens.begin() + static_cast<std::ptrdiff_t>(image * size),
                                         tokens.begin() +
                                             static_cast<std::ptrdiff_t>((image + 1) * size));
            const std::vector<float> made = picture_of(device, own, request.grid);
            const auto at = static_cast<std::int64_t>(image);
            EXPECT_LT(largest_difference(channels_last(pictures.at(at).data), made), 2e-2);
            const auto expected = bytes.at(at).data;
            std::int64_t worst = 0;
            for (std::size_t i = 0; i < made.size(); ++i) {
                const double byte =
                    std::nearbyint((std::clamp(made[i], -1.0F, 1.0F) + 1.0F) * 127.5F);
                worst = std::max(worst, std::abs(static_cast<std::int64_t>(byte) - expected[i]));
            }
            EXPECT_LE(worst, 1);
        }
    }
}

// The trunk alone, on recorded inputs.
TEST(TextureGolden, Trunk) {
    const TestDevice device;
    for (const Case &one : cases("texture_sample")) {
        SCOPED_TRACE(one.path);
        const CaseFile file(device.plugin_host, one.path);
        const TextureModel model = load_model(device, one.weights);
        const RunRequest request = request_of(file, model);
        const auto images = static_cast<std::int64_t>(request.labels.size());
        const bool guided = request.guidance != 1.0;
        Trunk trunk(device.compute, model, request.grid, images, guided);
        // Who, as the plugin makes it: class and style; then neither.
        const TextureConfig &c = model.config;
        const auto styles = file.floats("styles");
        const sdk::Tensor rows = device.compute.to_device(
            sdk::host_view(styles.data.data(), {images, blocks::kStyleNumbers}));
        const sdk::Tensor hidden = device.compute.allocate({images, c.condition});
        const sdk::Tensor style = device.compute.allocate({images, c.condition});
        device.compute.linear(rows, model.style[0].weight,
                              {model.style[0].bias.optional(), TESSERA_ACTIVATION_SILU}, hidden);
        device.compute.linear(hidden, model.style[1].weight, {model.style[1].bias.optional()},
                              style);
        std::vector<float> who = to_host(device.compute, style);
        for (std::int64_t i = 0; i < images * c.condition; ++i) {
            who[static_cast<std::size_t>(i)] += model.classes[static_cast<std::size_t>(
                request.labels[static_cast<std::size_t>(i / c.condition)] * c.condition +
                i % c.condition)];
        }
        for (std::int64_t i = 0; i < c.condition; ++i) {
            who.push_back(model.classes[static_cast<std::size_t>(c.classes * c.condition + i)] +
                          model.no_style[static_cast<std::size_t>(i)]);
        }
        const std::vector<double> times = run_times(request.steps);
        trunk.set_conditions(who, std::span(times).first(times.size() - 1));

        for (int step = 0; step < request.steps; ++step) {
            char prefix[32];
            std::snprintf(prefix, sizeof prefix, "step.%02d.", step);
            const std::string name = prefix;
            if (!file.has(name + "x")) continue;
            const auto x = file.floats(name + "x");
            std::vector<float> input;
            const std::int64_t batch = guided ? 2 * images : images;
            for (std::int64_t entry = 0; entry < batch; ++entry) {
                for (std::int64_t token = 0; token < request.grid.tokens(); ++token) {
                    const float *from =
                        x.data.data() +
                        (entry % images * request.grid.tokens() + token) * kTokenNumbers;
                    input.insert(input.end(), from, from + kTokenNumbers);
                    const bool known = !request.known.empty() &&
                                       request.known[static_cast<std::size_t>(token)] != 0;
                    input.push_back(known ? 1.0F : 0.0F);
                }
            }
            device.compute.upload(
                sdk::host_view(input.data(),
                               {batch, request.grid.rows, request.grid.columns, kTokenNumbers + 1}),
                trunk.input());
            trunk.start(step, guided);
            for (int unit = 0; unit < trunk.size(); ++unit) trunk.run(unit);
            std::vector<float> v = to_host(device.compute, trunk.output());
            for (std::size_t i = 0; i < v.size(); ++i) {
                const auto entry =
                    static_cast<std::int64_t>(i) / (request.grid.tokens() * kTokenNumbers);
                v[i] += trunk.gain(entry)[i % kTokenNumbers] *
                        input[i / kTokenNumbers * (kTokenNumbers + 1) + i % kTokenNumbers];
            }
            const std::span<const float> all = v;
            const auto given = file.floats(name + "v_given");
            EXPECT_LT(largest_difference(given.data, all.first(given.data.size())), 3e-4) << name;
            if (!guided) continue;
            EXPECT_LT(largest_difference(file.floats(name + "v_free").data,
                                         all.subspan(given.data.size())),
                      3e-4)
                << name;
        }
    }
}

} // namespace
} // namespace tessera::texture
