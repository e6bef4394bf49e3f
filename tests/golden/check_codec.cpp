// Latent codecs against recorded images and latents, and latents to image bytes.
#include "golden/check_case.hpp"
#include "golden/picture_bytes.hpp"

#include "blocks/codec/codec_decoder.hpp"
#include "blocks/codec/kl_vae.hpp"
#include "blocks/codec/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace tessera::golden {
namespace {

constexpr double kCodecLimit = 3e-5; // absolute

// Inner maps: absolute below 1, relative above.
void compare_layer(Report &report, const std::string &stage, std::span<const float> ours,
                   std::span<const float> theirs) {
    report.compare(stage, ours, theirs, kCodecLimit, std::max(1.0, max_abs(theirs)));
}

// A recorded layer name of a program's operation: "decoder.mid.block_1" is "layer.dec.mid.block_1".
std::string layer_name(const std::string &name, const std::string &program) {
    const std::string root = program == "enc" ? "encoder." : "decoder.";
    const std::string plain = name.starts_with(root) ? name.substr(root.size()) : name;
    return "layer." + program + "." + plain;
}

// Runs a program on every entry of `input` (batch, h, w, c); layers are compared for the first one.
std::vector<float> run_program(const CaseContext &context, const blocks::LayerProgram &program,
                               const std::string &label, const CaseFile &file,
                               const Values<float> &input, Report &report) {
    if (input.rows(3) != program.input_channels) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file.path() + ": input of the codec has " +
                               std::to_string(input.rows(3)) + " channels, expected " +
                               std::to_string(program.input_channels));
    }
    const blocks::LayerRun run(context.compute, program, input.rows(1), input.rows(2));
    std::vector<float> output;
    for (std::int64_t entry = 0; entry < input.rows(0); ++entry) {
        const Values<float> one = one_of(input, entry);
        context.compute.upload(
            sdk::host_view(one.data.data(), {1, input.rows(1), input.rows(2), input.rows(3)}),
            run.input());
        for (int i = 0; i < run.size(); ++i) {
            run.run(i);
            const std::string name = layer_name(run.name(i), label);
            if (entry > 0 || run.name(i).empty()) continue;
            report.attempt(file, file.has(name) ? name : "layers of " + label, [&] {
                std::vector<float> expected = one_of(channels_last(file.floats(name)), 0).data;
                if (name.ends_with("norm_out")) { // recorded before the activation, ours is after
                    for (float &v : expected) v = v / (1.0f + std::exp(-v));
                }
                compare_layer(report, name, to_host(context.compute, run.result(i)), expected);
            });
        }
        const std::vector<float> result = to_host(context.compute, run.output());
        output.insert(output.end(), result.begin(), result.end());
    }
    return output;
}

blocks::LatentCodec load_codec(const CaseContext &context, const sdk::Weights &weights) {
    blocks::WeightLoader loader(weights, context.compute);
    return loader.run([&](blocks::WeightLoader &l) {
        return blocks::LatentCodec::load(l, weights, context.exact);
    });
}

// Through a decoder that takes noise off a picture, with the recorded noise (steps x batch, H, W,
// c).
std::vector<float> run_noisy(const CaseContext &context, const blocks::LatentCodec &codec,
                             const CaseFile &file, const Values<float> &z) {
    const Values<float> noise = file.floats("noise");
    blocks::CodecDecoder decoder(context.compute, codec, z.rows(1), z.rows(2), false);
    const sdk::View &shape = decoder.output();
    const auto steps = static_cast<std::int64_t>(codec.noisy_steps().size());
    if (noise.shape != std::vector<std::int64_t>{steps * z.rows(0), shape.shape[1], shape.shape[2],
                                                 shape.shape[3]}) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file.path() + ": 'noise' is not of the " + std::to_string(steps) +
                               " steps of this decoder and the size of the picture");
    }
    std::vector<float> output;
    for (std::int64_t entry = 0; entry < z.rows(0); ++entry) {
        const Values<float> one = one_of(z, entry);
        context.compute.upload(
            sdk::host_view(one.data.data(), {1, z.rows(1), z.rows(2), z.rows(3)}), decoder.input());
        std::vector<sdk::Tensor> draws;
        for (std::int64_t step = 0; step < steps; ++step) {
            draws.push_back(to_device(context.compute, noise.at(step * z.rows(0) + entry)));
        }
        decoder.start(0, [&](int step) { return draws[static_cast<std::size_t>(step)].view(); });
        for (int i = 0; i < decoder.size(); ++i) decoder.run(i);
        const std::vector<float> result = to_host(context.compute, decoder.output());
        output.insert(output.end(), result.begin(), result.end());
    }
    return output;
}

// The first or second half of the channels of moments (batch, h, w, 2 c).
std::vector<float> half_of(const std::vector<float> &moments, std::int64_t channels, int half) {
    std::vector<float> part;
    for (std::size_t i = 0; i < moments.size(); i += static_cast<std::size_t>(2 * channels)) {
        const auto from = moments.begin() + static_cast<std::ptrdiff_t>(i) + half * channels;
        part.insert(part.end(), from, from + channels);
    }
    return part;
}

// Latents to the entries of a codebook.
void check_codes(const CaseContext &context, const sdk::Weights &weights, const CaseFile &file,
                 const std::vector<float> &latents, Report &report) {
    blocks::WeightLoader loader(weights, context.compute);
    report.attempt(file, "encode: codes", [&] {
        constexpr const char *kTable = "quantize.embedding.weight";
        const Values<float> theirs = channels_last(file.floats("codes"));
        Values<float> ours = theirs;
        ours.data = latents;
        const blocks::LayerProgram rounding = blocks::rounding_program(
            loader, kTable, weights.find(kTable)->shape[0], theirs.rows(3));
        report.compare("encode: codes", run_program(context, rounding, "round", file, ours, report),
                       theirs.data, 0.0, 0.0);
    });
}

void check_codec(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    const blocks::LatentCodec codec = load_codec(context, weights);

    const auto compare = [&](const std::string &stage, const std::vector<float> &ours,
                             const std::string &tensor) {
        report.attempt(file, stage, [&] {
            report.compare(stage, ours, channels_last(file.floats(tensor)).data, kCodecLimit, 1.0);
        });
    };
    report.attempt(file, "encode", [&] {
        const Values<float> image = channels_last(file.floats("image"));
        const std::vector<float> moments =
            run_program(context, codec.encoder(), "enc", file, image, report);
        compare("encode: moments", moments, "moments");
        if (weights.metadata("kind").value_or("") == blocks::kVqVaeKind) {
            return check_codes(context, weights, file, moments, report); // no variance
        }
        compare("encode: mean", half_of(moments, codec.latent_channels(), 0), "mean");
        std::vector<float> log_variance = half_of(moments, codec.latent_channels(), 1);
        for (float &v : log_variance) v = std::clamp(v, -30.0f, 20.0f);
        compare("encode: log variance", log_variance, "logvar");
    });
    report.attempt(file, "decode", [&] {
        const Values<float> z = channels_last(file.floats("z"));
        compare("decode",
                codec.noisy_steps().empty()
                    ? run_program(context, codec.decoder(), "dec", file, z, report)
                    : run_noisy(context, codec, file, z),
                "decoded");
    });
}

void check_end_to_end(const CaseContext &context, const CaseFile &file, Report &report) {
    const std::string codec_path =
        context.decoder.empty() ? next_to(file, file.text("vae_weights")) : context.decoder;
    const sdk::Weights weights(context.host, codec_path);
    const blocks::LatentCodec codec = load_codec(context, weights);

    report.attempt(file, "latents / scale", [&] {
        const Values<float> latents = channels_last(file.floats("latents"));
        const float scale = std::stof(file.text("latent_scale"));
        const sdk::Tensor scaled = to_device(context.compute, latents);
        context.compute.scale_offset(scaled, 1.0f / scale, 0.0f, scaled);
        report.compare("latents / scale", to_host(context.compute, scaled),
                       channels_last(file.floats("decoder_input")).data, 1e-6);
    });
    const auto compare_bytes = [&](const std::string &stage, const Values<float> &picture,
                                   double limit) {
        report.attempt(file, stage, [&] {
            report.add(stage,
                       largest_byte_difference(to_bytes(context.compute, picture),
                                               file.integers("rgb8_round_half_even").data),
                       limit);
        });
    };
    report.attempt(file, "bytes of the recorded picture", [&] {
        compare_bytes("bytes of the recorded picture", channels_last(file.floats("decoded")), 0.0);
    });
    report.attempt(file, "decode", [&] {
        const Values<float> input = channels_last(file.floats("decoder_input"));
        Values<float> decoded = input;
        decoded.data = run_program(context, codec.decoder(), "dec", file, input, report);
        const std::int64_t factor = codec.stride();
        decoded.shape = {input.rows(0), input.rows(1) * factor, input.rows(2) * factor, 3};
        report.attempt(file, "decode: picture", [&] {
            report.compare("decode: picture", decoded.data,
                           channels_last(file.floats("decoded")).data, kCodecLimit, 1.0);
        });
        compare_bytes("bytes of our picture", decoded, 1.0);
    });

    // The latents themselves, when the sampling case and its weights are at hand.
    report.attempt(file, "sampling", [&] {
        const std::string path = next_to(file, file.text("mar_case"));
        if (context.weights == "-" || !std::filesystem::exists(path)) {
            throw MissingStage(file.path(), "the sampling case or its weights");
        }
        const CaseFile run(context.host, path);
        if (run.floats("latents").data == file.floats("latents").data) {
            check_by_kind(context, run, report);
        }
    });
}

const Kind kCodec("klvae_io", check_codec);
const Kind kEndToEnd("e2e", check_end_to_end);

} // namespace
} // namespace tessera::golden
